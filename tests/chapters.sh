#!/bin/sh
# A chapter of peft.h rests only on those above it: cut off behind any chapter, the header still compiles. Its lines have at most 110 columns.
# sh tests/chapters.sh [CHAPTER]: all of them, or one with what the compiler says in full.
cc=${CC:-cc}
mkdir -p build/chapters
passed=0 failed=0
starts=$(grep -n '^// ======' peft.h | awk -F: 'NR % 2 { print $1 }')
number=0
for end in $(echo "$starts" | tail -n +2) $(grep -n '^#endif  // PEFT_IMPLEMENTATION' peft.h | tail -n 1 | cut -d: -f1); do
    number=$((number + 1))
    [ -n "$1" ] && [ "$1" != $number ] && continue
    # what #if has opened and the cut left open is closed again
    { printf '#define PEFT_IMPLEMENTATION\n'; head -n $((end - 1)) peft.h; } |
        awk '{ print } /^#if/ { open++ } /^#endif/ { open-- } END { while (open-- > 0) print "#endif" }' > build/chapters/$number.c
    if $cc -I. -std=c11 -Wall -Wextra -Werror -Wno-unused-function -Wno-unused-variable -Wno-unused-const-variable -fsyntax-only build/chapters/$number.c \
        > build/chapters/$number.log 2>&1; then passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "FAIL behind chapter $number:"
        if [ -n "$1" ]; then cat build/chapters/$number.log; else grep -m 5 'error' build/chapters/$number.log; fi
    fi
done
long=$(awk 'length > 110' peft.h | wc -l)
if [ "$long" -eq 0 ]; then passed=$((passed + 1)); else failed=$((failed + 1)); echo "FAIL: $long lines are longer than 110 columns"; fi
echo "$passed passed, $failed failed"
[ $failed -eq 0 ]
