# What shell tests share. Each begins with `. tests/shell.sh`, which makes its folder $work, and ends with `finish`.
peft=build/peft
model=tests/data/model
shared=${PEFT_SHARED:-../shared}
work=build/$(basename "$0" .sh)
passed=0 failed=0 skipped=0
rm -rf $work && mkdir -p $work
: > $work/out > $work/err

ok() { passed=$((passed + 1)); }
bad() { failed=$((failed + 1)); echo "FAIL: $*"; sed 's/^/    /' $work/out $work/err | cut -c1-300 | head -n 12; }
# check NAME GOT WANTED
check() { if [ "$2" = "$3" ]; then ok; else failed=$((failed + 1)); echo "FAIL $1: $2, not $3"; fi; }
# skip REASON: what needs a file that is not here. missing PROGRAM...: where all were installed for it, that is a failure.
skip() { skipped=$((skipped + 1)); echo "skipped: $*"; }
missing() { if [ -n "$CI" ]; then failed=$((failed + 1)); echo "FAIL: $*"; else skip "$@"; fi; }
# runs NAME EXIT_STATUS command...: the status must be that one
runs() {
    name=$1 want=$2
    shift 2
    "$@" > $work/out 2> $work/err
    got=$?
    if [ $got -eq $want ]; then ok; else bad "$name: exit status $got instead of $want"; fi
}
# has NAME TEXT, lacks NAME TEXT: what the last command printed has it, or has it not (a basic regular expression)
has() { if grep -q -e "$2" $work/out $work/err; then ok; else bad "$1: no \"$2\" in the output"; fi; }
lacks() { if grep -q -e "$2" $work/out $work/err; then bad "$1: \"$2\" in the output"; else ok; fi; }
# same NAME FILE FILE: two files of the folder
same() { if cmp -s $work/$2 $work/$3; then ok; else bad "$1: $2 and $3 differ"; fi; }
finish() {
    echo "$passed passed, $failed failed, $skipped skipped"
    [ $failed -eq 0 ]
}
