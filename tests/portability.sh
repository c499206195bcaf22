#!/bin/sh
# Other compilers, processors and systems: builds, and runs where an emulator is at hand. What is missing is named and skipped.
#   sh tests/portability.sh [native] [windows] [arm] [wasm]      (all of them takes about ten minutes on two cores)
# Debian: apt-get install clang gcc-mingw-w64-x86-64 wine gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user emscripten nodejs
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
        if there $plus; then step "$plus" 120 $plus -std=c++17 -Wall -Wextra -Wpedantic -Wshadow -Werror -fsyntax-only $work/one.cpp; else skip "$plus is not installed"; fi
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
    step "Windows: peft generate" 300 $wine $work/peft.exe generate tests/data/model "Repeat: Anna met Ben." --max-new-tokens 12
}

arm() {
    cross=aarch64-linux-gnu-gcc
    there $cross || { skip "ARM: $cross is not installed"; return; }
    step "ARM: header" 300 $cross $c11
    for t in gemm ops; do
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

[ $# -gt 0 ] || set -- native windows arm wasm
for part in "$@"; do
    case $part in native | windows | arm | wasm) $part ;; *) echo "no such part: $part"; exit 2 ;; esac
done
echo "$passed passed, $failed failed, $skipped skipped"
[ $failed -eq 0 ]
