#!/bin/sh
# The book of the header: its pages are there, and every link within it has its target.
. tests/shell.sh
book=${BOOK:-build/book_pages}
make -s build/book_pages || exit 1
rm -rf build/book && mkdir -p build/book
$book peft.h build/book > build/book.log; check "it runs" $? 0
chapters=$(grep -c '^// [0-9][0-9]*\. [A-Z]' peft.h)
check "a page for each chapter" "$(ls build/book/chapter-*.html | wc -l | tr -d ' ')" "$chapters"
for page in index interface; do check "$page" "$([ -s build/book/$page.html ] && echo there)" there; done
check "a figure" "$(grep -c '<svg' build/book/index.html)" 1
check "nothing from elsewhere" "$(grep -l -E '<(script|link|img|iframe)|(src|href)="?https?:' build/book/*.html | wc -l | tr -d ' ')" 0
lost=$(cd build/book && awk '
    { line = $0
      while (match(line, /(id|href)="[^"]*"/)) {
          word = substr(line, RSTART, RLENGTH); line = substr(line, RSTART + RLENGTH)
          value = word; sub(/^[a-z]*="/, "", value); sub(/"$/, "", value)
          if (word ~ /^id/) ids[FILENAME "#" value] = 1
          else { if (value ~ /^#/) value = FILENAME value; links[value] = 1 } }
      files[FILENAME] = 1 }
    END { for (l in links) if (!(l ~ /#/ ? l in ids : l in files)) { print l; n++ } print n + 0 > "/dev/stderr" }
    ' *.html 2>&1 >lost.txt); rm -f build/book/lost.txt.tmp
check "links without a target" "$lost" 0
[ "$lost" = 0 ] || head -5 build/book/lost.txt
rm -f build/book/lost.txt
# a name that is nowhere, and a chapter whose opening names no function, are told
rule='// ============================================================================'
printf '// interface\nint peft_here(void);\n#if defined(PEFT_IMPLEMENTATION)\n%s\n// 1. ONE\n//    Nothing.\n%s\nint peft_here(void) {\n    return peft_nowhere();\n}\n' \
    "$rule" "$rule" > build/book_small.h
mkdir -p build/book_small
$book build/book_small.h build/book_small > build/book_small.log
check "a name without a definition" "$(grep -c 'name without a definition: peft_nowhere' build/book_small.log)" 1
check "a chapter without an opening" "$(grep -c '^opening: 1. One' build/book_small.log)" 1
check "a definition is linked" "$(grep -c 'href="chapter-1.html#peft_here"' build/book_small/interface.html)" 1
finish
