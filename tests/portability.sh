#!/bin/sh
# Other compilers, processors and systems: builds, and runs where an emulator is at hand. What is missing is named and skipped.
#   sh tests/portability.sh [native] [flags] [copies] [i686] [s390x] [windows] [arm] [wasm]   (all: a quarter of an hour on two cores)
# Debian: apt-get install clang gcc-mingw-w64-x86-64 wine gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user emscripten nodejs
#     gcc-i686-linux-gnu libc6-dev-i386-cross gcc-s390x-linux-gnu libc6-dev-s390x-cross
work=build/portability
shared=${PEFT_SHARED:-../shared}
passed=0 failed=0 skipped=0
mkdir -p $work
export PEFT_SHARED="$shared" WINEDEBUG=-all WINEPREFIX="${WINEPREFIX:-$PWD/$work/wine}" NODE_PATH="${NODE_PATH:-/usr/share/nodejs}"

skip() { skipped=$((skipped + 1)); echo "skipped: $*"; }
there() { command -v "$1" > /dev/null 2>&1; }
# step NAME SECONDS command...: must end with status 0 in time; the last lines of a failure are shown
step() {
    name=$1 limit=$2
    shift 2
    timeout "$limit" "$@" > $work/log 2>&1
    code=$?
    if [ $code -eq 0 ]; then passed=$((passed + 1)); echo "ok      $name: $(tail -n 1 $work/log | cut -c1-100)"; return 0; fi
    failed=$((failed + 1))
    if [ $code -eq 124 ]; then echo "FAIL    $name: not done after $limit seconds"; else echo "FAIL    $name: exit status $code"; fi
    tail -n 8 $work/log | cut -c1-200 | sed 's/^/        /'
    return 1
}

# refused WORDS command...: must fail with the words in what it says
refused() {
    words=$1
    shift
    if timeout 300 "$@" > $work/log 2>&1; then failed=$((failed + 1)); echo "FAIL    not refused: $*"; return 1; fi
    if ! grep -q -e "$words" $work/log; then failed=$((failed + 1)); echo "FAIL    no \"$words\": $*"; return 1; fi
    passed=$((passed + 1))
    echo "ok      refused: $*" | cut -c1-110
}

printf '#define PEFT_IMPLEMENTATION\n#include "../../peft.h"\nint main(void) { return peft_status_text(PEFT_OK) == 0; }\n' > $work/one.c
cp $work/one.c $work/one.cpp
c11="-std=c11 -Wall -Wextra -Wpedantic -Wshadow -Werror -fsyntax-only $work/one.c"

native() {
    for compiler in gcc clang; do
        there $compiler || { skip "$compiler is not installed"; continue; }
        for options in "" -DPEFT_NO_SIMD -DPEFT_NO_STDIO -DPEFT_USE_PTHREADS -DPEFT_ONLY_METRICS -DPEFT_NO_METRICS "-DPEFT_STATIC -DPEFT_NO_SIMD -DPEFT_NO_STDIO"; do
            step "$compiler $options" 120 $compiler $options $c11
        done
        case $compiler in gcc) plus=g++ ;; *) plus=clang++ ;; esac
        step "$compiler, C23" 120 $compiler -std=c2x -Wall -Wextra -Wpedantic -Wshadow -Werror -fsyntax-only $work/one.c
        there $plus || { skip "$plus is not installed"; continue; }
        for standard in c++11 c++17 c++20 c++2b; do
            step "$plus, $standard" 120 $plus -std=$standard -Wall -Wextra -Wpedantic -Wshadow -Werror -fsyntax-only $work/one.cpp
        done
    done
    for t in basics gemm ops quant gguf tokenizer data metrics scores benchmarks train; do
        [ -f tests/test_$t.c ] || continue
        step "test_$t without SIMD: build" 300 cc -std=c11 -O2 -DPEFT_NO_SIMD -I. -o $work/test_$t tests/test_$t.c -DPEFT_USE_PTHREADS -pthread -lm &&
            step "test_$t without SIMD" 300 $work/test_$t
    done
    for t in gemm ops quant train; do
        there clang || break
        step "test_$t by clang: build" 300 clang -std=c11 -O2 -I. -o $work/clang_$t tests/test_$t.c -DPEFT_USE_PTHREADS -pthread -lm && step "test_$t by clang" 300 $work/clang_$t
    done
}

# What would compute something else is refused: when compiling or, where the compiler does not tell, when a context is made.
flags() {
    for flag in -ffast-math -funsafe-math-optimizations "-fassociative-math -fno-signed-zeros -fno-trapping-math"; do
        refused "order they are written" gcc $flag $c11
    done
    refused "NaN and infinity" gcc -ffinite-math-only $c11
    case $(uname -m) in x86_64) refused "wider registers" gcc -mfpmath=387 $c11 ;; esac
    printf '#define PEFT_IMPLEMENTATION\n#include "../../peft.h"\nstatic void say(const char *line, void *user) { (void)user, puts(line); }\n' > $work/context.c
    printf 'int main(void) { peft_context *c; peft_context_desc d = {.log = say}; return peft_context_create(&d, &c); }\n' >> $work/context.c
    there clang || { skip "clang is not installed"; return; }
    step "clang: a context" 300 clang -O1 -o $work/context $work/context.c -lm && step "clang: a context is made" 20 $work/context
    step "clang -funsafe-math-optimizations" 300 clang -O1 -funsafe-math-optimizations -o $work/context $work/context.c -lm &&
        refused "built with -funsafe-math" $work/context
}

# A program without threads, and a library with threads and a copy of its own.
copies() {
    printf '#define PEFT_IMPLEMENTATION\n#include "../../peft.h"\nint threads(void) {\n    peft_context *c;\n    peft_context_desc d = {.threads = 2};\n' > $work/copy.c
    printf '    if (peft_context_create(&d, &c)) return -1;\n    int n = peft_thread_count(c);\n    peft_context_destroy(c);\n    return n;\n}\n' >> $work/copy.c
    printf '#define PEFT_IMPLEMENTATION\n#include "../../peft.h"\nint threads(void);\nint main(void) {\n    peft_context *c;\n' > $work/host.c
    printf '    return peft_context_create(NULL, &c) || peft_thread_count(c) != 1 || threads() != 2;\n}\n' >> $work/host.c
    step "a library's own copy" 300 cc -std=c11 -O0 -fPIC -shared "-DPEFTDEF=__attribute__((visibility(\"hidden\")))" \
        -DPEFT_USE_PTHREADS -pthread -o $work/libcopy.so $work/copy.c -lm &&
        step "a program with another" 300 cc -std=c11 -O0 -o $work/host $work/host.c $work/libcopy.so -Wl,-rpath,$PWD/$work -lm &&
        step "two copies do not mix" 20 $work/host
}

# i686: floats in SSE registers, or not at all
i686() {
    cross=i686-linux-gnu-gcc
    there $cross || { skip "i686: $cross is not installed"; return; }
    refused "wider registers" $cross $c11
    run=
    case $(uname -m) in x86_64 | i?86) ;; *) run=qemu-i386 ;; esac
    for t in portable quant train; do
        step "i686: test_$t, build" 300 $cross -std=c11 -O1 -msse2 -mfpmath=sse -static -I. -o $work/i686_$t tests/test_$t.c -DPEFT_USE_PTHREADS -pthread -lm || continue
        if [ -z "$run" ] || there $run; then step "i686: test_$t" 300 $run $work/i686_$t; else skip "i686: no $run to run test_$t with"; fi
    done
}

# The bytes of a number the other way round. -std=c11 there computes floats in doubles.
s390x() {
    cross=s390x-linux-gnu-gcc
    there $cross || { skip "s390x: $cross is not installed"; return; }
    refused "wider registers" $cross $c11
    step "s390x: header" 300 $cross -std=gnu11 -Wall -Wextra -Werror -fsyntax-only $work/one.c
    step "s390x: test_portable, build" 300 $cross -std=gnu11 -O1 -static -I. -o $work/s390x_portable tests/test_portable.c -lm
    step "s390x: tool" 300 $cross -std=gnu11 -O0 -I. -static -o $work/peft_s390x tools/peft.c -DPEFT_USE_PTHREADS -pthread -lm || return
    step "tool" 300 cc -std=c11 -O0 -I. -o $work/peft_here tools/peft.c -DPEFT_USE_PTHREADS -pthread -lm || return
    there qemu-s390x || { skip "s390x: no qemu-s390x to run programs with"; return; }
    step "s390x: test_portable" 300 qemu-s390x $work/s390x_portable
    prompt="Repeat: Anna met Ben."
    $work/peft_here generate tests/data/model "$prompt" --max-new-tokens 12 --simd portable > $work/here.txt 2> /dev/null
    qemu-s390x $work/peft_s390x generate tests/data/model "$prompt" --max-new-tokens 12 > $work/there.txt 2> /dev/null
    step "s390x: a text" 10 grep -q . $work/here.txt
    step "s390x: the same text" 10 cmp $work/here.txt $work/there.txt
    rm -rf $work/s390x_nf4 $work/here_nf4
    $work/peft_here quantize tests/data/model $work/here_nf4 --type nf4 > /dev/null 2>&1
    qemu-s390x $work/peft_s390x quantize tests/data/model $work/s390x_nf4 --type nf4 > /dev/null 2>&1
    step "s390x: the same file" 10 cmp $work/here_nf4/model.safetensors $work/s390x_nf4/model.safetensors
}

windows() {
    cross=x86_64-w64-mingw32-gcc
    there $cross || { skip "Windows: $cross is not installed"; return; }
    step "Windows: header" 300 $cross $c11
    step "Windows: tool" 300 $cross -std=c11 -Wall -Wextra -Werror -O2 -I. -static -o $work/peft.exe tools/peft.c
    step "Windows: test_gemm, build" 300 $cross -std=c11 -O2 -I. -static -o $work/test_gemm.exe tests/test_gemm.c
    wine=
    for w in wine64 /usr/lib/wine/wine64 wine; do if there $w; then wine=$w; break; fi; done
    [ -n "$wine" ] || { skip "Windows: no wine to run programs with"; return; }
    step "Windows: test_gemm" 300 $wine $work/test_gemm.exe 5
    rm -rf $work/new_folder
    step "Windows: peft quantize into a new folder" 300 $wine $work/peft.exe quantize tests/data/model "$work/new_folder\\" --type nf4
    step "Windows: its files are there" 10 ls $work/new_folder/config.json $work/new_folder/model.safetensors
    step "Windows: test_portable, build" 300 $cross -std=c11 -O1 -I. -static -o $work/test_portable.exe tests/test_portable.c
    step "Windows: test_portable" 300 $wine $work/test_portable.exe
    step "Windows: peft generate" 300 $wine $work/peft.exe generate tests/data/model "Repeat: Anna met Ben." --max-new-tokens 12
}

arm() {
    cross=aarch64-linux-gnu-gcc
    there $cross || { skip "ARM: $cross is not installed"; return; }
    step "ARM: header" 300 $cross $c11
    for t in portable gemm ops; do
        step "ARM: test_$t, build" 300 $cross -std=c11 -O2 -static -I. -o $work/arm_$t tests/test_$t.c -DPEFT_USE_PTHREADS -pthread -lm || continue
        if there qemu-aarch64; then step "ARM: test_$t, NEON against portable" 600 qemu-aarch64 $work/arm_$t 11; else skip "ARM: no qemu-aarch64 to run test_$t with"; fi
    done
}

# clang 14 (emscripten 3.1.6) makes wrong code of the portable product when it pairs up scalars for SIMD itself: not its pairing, then.
wasm() {
    there emcc || { skip "WebAssembly: emcc is not installed"; return; }
    flags="-std=c11 -O2 -msimd128 -fno-slp-vectorize -I. -sALLOW_MEMORY_GROWTH"
    node="node --no-experimental-fetch"  # old emscripten takes Node's fetch for a browser's
    $node -e 0 2> /dev/null || node=node
    step "WebAssembly: own_network, build" 300 emcc $flags -o $work/own_network.js examples/own_network.c
    there node && step "WebAssembly: own_network" 300 $node $work/own_network.js
    for t in gemm ops; do
        step "WebAssembly: test_$t, build" 300 emcc $flags -o $work/test_$t.js tests/test_$t.c || continue
        if there node; then step "WebAssembly: test_$t, SIMD against portable" 300 $node $work/test_$t.js 3; else skip "WebAssembly: no node to run test_$t with"; fi
    done
}

[ $# -gt 0 ] || set -- native flags copies i686 s390x windows arm wasm
for part in "$@"; do
    case $part in native | flags | copies | i686 | s390x | windows | arm | wasm) $part ;; *) echo "no such part: $part"; exit 2 ;; esac
done
echo "$passed passed, $failed failed, $skipped skipped"
[ $failed -eq 0 ]
