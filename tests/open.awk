# Makes what is internal in peft.h visible to tests that are linked with one object of it, so that the header is
# compiled once for all of them:
#   awk -f tests/open.awk peft.h > open.c                  the functions of the implementation are not static
#   awk -v declare=1 -f tests/open.awk peft.h > peft.h     the same file with their bodies left out
# Types, macros, tables and inline functions are in both. A line stays on its line.
# It rests on how peft.h is written: what begins at the margin with static, PEFT__NOINLINE or PEFTDEF and ends
# in ") {" is a function, and its "}" is at the margin too.
BEGIN { HEAD = "^(static|PEFT__NOINLINE|PEFTDEF) " }

declare && /^#(if|define).*PEFT_IMPLEMENTED/ { gsub(/PEFT_IMPLEMENTED/, "PEFT__DECLARED") }
/^#if defined\(PEFT_IMPLEMENTATION\)/ { inside = 1 }
!declare && /^#define PEFT_SELF / { sub(/"peft.h"/, "\"open.c\"") }  # it includes itself
!inside { print; next }
# Of the kernels the tests call the plain ones by name. The others are reached through tables.
declare && /^#define PEFT__PASS PEFT__PASS_/ { other = !/PLAIN/ }
declare && other && /^#(define PEFT__PASS PEFT__PASS_|include PEFT_SELF)/ { print ""; next }
skipping { print ""; if (/^}/) skipping = 0; next }

# The head of a function, which may take several lines, begins at the margin and ends in { or ;
!head && ($0 ~ HEAD) && /\(/ && !/inline/ && !/^[^(]* = / && !/\) = [{]/ {
    head = 1
    sub(/^(static|PEFT__NOINLINE) /, "")
}
head && /;( *\/\/.*)?$/ && !/\) \{/ { head = 0; print; next }   # a declaration
head && /\) \{/ {
    head = 0
    if (declare) {
        if (/\{( *\/\/.*)?$/) skipping = 1   # else the whole function is on this line
        sub(/\) \{.*/, ");")
    }
}
{ print }
