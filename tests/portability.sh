#!/bin/sh
# Other compilers, processors and systems: builds, and runs where an emulator is at hand. What is missing is named and skipped.
#   sh tests/portability.sh [PART...]    native flags copies here i686 aarch64 armhf riscv64 s390x bytes musl windows msvc arm wasm web cortex
# Each takes one to three minutes of a processor, all half an hour. At its end it prints a table of the targets: README.md has it. What
# is left out there: the tests that look inside the header, but for test_portable (i686 has quant, s390x basics and gguf_models,
# aarch64 gemm and ops); the tool (Windows and s390x have it); metrics and templates among the reference numbers.
# Debian: apt-get install clang musl-tools gcc-mingw-w64-x86-64 wine qemu-user emscripten nodejs chromium chromium-driver qemu-system-arm
#     gcc-arm-none-eabi libnewlib-arm-none-eabi gcc-{aarch64,s390x,riscv64,i686}-linux-gnu gcc-arm-linux-gnueabihf
#     libc6-dev-{arm64,s390x,riscv64,i386,armhf}-cross
work=build/portability
shared=$(realpath -m "${PEFT_SHARED:-../shared}")
passed=0 failed=0 skipped=0
log=$work/log.$$ table=$work/table.$$  # its own: two may run at a time
mkdir -p $work
export PEFT_SHARED="$shared" WINEDEBUG=-all WINEPREFIX="${WINEPREFIX:-$PWD/$work/wine}" NODE_PATH="${NODE_PATH:-/usr/share/nodejs}"

# What is missing is a failure where everything was installed for it.
skip() {
    if [ -n "$CI" ]; then failed=$((failed + 1)); echo "FAIL    $*"; else skipped=$((skipped + 1)); echo "skipped: $*"; fi
}
there() { command -v "$1" > /dev/null 2>&1; }
# step NAME SECONDS command...: must end with status 0 in time; the last lines of a failure are shown
step() {
    name=$1 limit=$2
    shift 2
    timeout "$limit" "$@" > $log 2>&1
    code=$?
    if [ $code -eq 0 ]; then passed=$((passed + 1)); echo "ok      $name: $(tail -n 1 $log | cut -c1-100)"; return 0; fi
    failed=$((failed + 1))
    if [ $code -eq 124 ]; then echo "FAIL    $name: not done after $limit seconds"; else echo "FAIL    $name: exit status $code"; fi
    { grep -a FAIL $log | head -n 20; tail -n 8 $log; } | cut -c1-200 | sed 's/^/        /'
    return 1
}

# refused WORDS command...: must fail with the words in what it says
refused() {
    words=$1
    shift
    if timeout 300 "$@" > $log 2>&1; then failed=$((failed + 1)); echo "FAIL    not refused: $*"; return 1; fi
    if ! grep -q -e "$words" $log; then failed=$((failed + 1)); echo "FAIL    no \"$words\": $*"; return 1; fi
    passed=$((passed + 1))
    echo "ok      refused: $*" | cut -c1-110
}

printf '#define PEFT_IMPLEMENTATION\n#include "../../peft.h"\nint main(void) { return peft_status_text(PEFT_OK) == 0; }\n' > $work/one.c
cp $work/one.c $work/one.cpp
warn="-Wall -Wextra -Werror"
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

# The header is compiled once per target, together with the two that look inside it: test_portable, and golden, which compares with the
# reference libraries' numbers. Their program is the former without an argument. Tests that use nothing but the interface are linked with it.
printf '%s\n' '#define main golden' '#include "../../tests/golden.c"' '#undef main' '#define main portable' '#include "../../tests/test_portable.c"' > $work/inside.c
printf '%s\n' 'int golden(int argc, char **argv);' 'int portable(void);' \
    'int main(int argc, char **argv) { return argc > 1 ? golden(argc, argv) : portable(); }' > $work/main.c
units="archives gguf data chat saving"
reference="tests/data/reference/golden/* tests/data/reference/hf tests/data/reference/nf4.safetensors tests/data/reference/tokenizers.jsonl"

# target NAME RUNNER COMPILER FLAGS...: builds without a warning, runs, and adds a line to the table: tests that passed, golden comparisons
# that passed, code (all functions of the header, without the C library), and memory (the peak of test_portable's context). The programs run
# in a folder of the target's own, as tests write into build/ and two targets may run at a time.
count() { sed -n 's/^\([a-z_]*: \)\{0,1\}\([0-9]*\) passed, 0 failed.*/\2/p' $log | tail -n 1; }
row() { printf '| %-24s | %-8s | %-6s | %-6s | %8s | %7s |\n' "$@" >> $table; }
target() {
    of=$1 run=$2 end=$3
    shift 3
    there "$1" || { skip "$of: $1 is not installed"; return; }
    [ -z "$run" ] || there "${run%% *}" || { skip "$of: no $run to run programs with"; return; }
    names=nm compiles=yes tests=0 golden=- bytes=- memory=-
    there "${1%gcc}nm" && names=${1%gcc}nm
    rm -rf $work/$of.*
    folder=$work/$of.run
    mkdir -p $folder/build
    ln -s "$PWD/tests" "$PWD/examples" $folder
    command="env -C $folder $run"
    step "$of: the header, golden and test_portable, build" 1500 "$@" $warn -I. -c -o $work/$of.o $work/inside.c &&
        step "$of: link" 300 "$@" $warn -o $work/$of.portable$end $work/main.c $work/$of.o -lm || { row "$of" NO - - - -; return; }
    if step "$of: test_portable" 600 $command "$PWD/$work/$of.portable$end"; then tests=$(count); else tests=FAIL; fi
    memory=$(sed -n 's/^memory \([0-9]*\).*/\1/p' $log | awk '{ printf "%.1f MB", $1 / 1e6 }')
    bytes=$($names -S -t d $work/$of.o 2> /dev/null | awk '$3 ~ /^[tT]$/ && $4 ~ /^peft_/ { n += $2 } END { if (n) printf "%.0f kB", n / 1e3 }')
    for t in $units; do
        step "$of: test_$t, build" 300 "$@" $warn -DPEFT_IMPLEMENTED -I. -o $work/$of.$t$end tests/test_$t.c $work/$of.o -lm || { compiles=NO; continue; }
        if step "$of: test_$t" 600 $command "$PWD/$work/$of.$t$end"; then [ "$tests" = FAIL ] || tests=$((tests + $(count))); else tests=FAIL; fi
    done
    if step "$of: golden" 1500 $command "$PWD/$work/$of.portable$end" $reference; then golden=$(count); else golden=FAIL; fi
    row "$of" $compiles "$tests" "$golden" "${bytes:--}" "${memory:--}"
}

# i686: floats in SSE registers, or not at all. There the tests of arithmetic run, too: pointers have 32 bits.
i686() {
    cross=i686-linux-gnu-gcc
    if there $cross; then refused "wider registers" $cross $c11; fi
    run=
    case $(uname -m) in x86_64 | i?86) ;; *) run=qemu-i386 ;; esac
    target i686 "$run" "" $cross -std=c11 -O1 -msse2 -mfpmath=sse -static
    for t in quant; do
        there $cross && step "i686: test_$t, build" 900 $cross -std=c11 -O1 -msse2 -mfpmath=sse -static -I. -o $work/i686.$t tests/test_$t.c -DPEFT_USE_PTHREADS -pthread -lm &&
            step "i686: test_$t" 900 $run $work/i686.$t
    done
}

# Bytes of a number the other way round. -std=c11 there computes floats in doubles.
s390x() {
    cross=s390x-linux-gnu-gcc
    if there $cross; then refused "wider registers" $cross $c11; fi
    target s390x qemu-s390x "" $cross -std=gnu11 -O1 -static
}

# What a big-endian machine writes is byte for byte what this one writes; the tests of formats pass there.
bytes() {
    cross=s390x-linux-gnu-gcc
    there $cross && there qemu-s390x || { skip "s390x: no $cross and qemu-s390x"; return; }
    for t in basics gguf_models; do
        step "s390x: test_$t, build" 900 $cross -std=gnu11 -O1 -static -I. -o $work/s390x_$t tests/test_$t.c -DPEFT_USE_PTHREADS -pthread -lm &&
            step "s390x: test_$t" 900 qemu-s390x $work/s390x_$t
    done
    step "s390x: tool" 900 $cross -std=gnu11 -O0 -I. -static -o $work/peft_s390x tools/peft.c -DPEFT_USE_PTHREADS -pthread -lm || return
    step "tool" 900 cc -std=c11 -O0 -I. -o $work/peft_here tools/peft.c -DPEFT_USE_PTHREADS -pthread -lm || return
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

here() { target "$(uname -m)" "" "" cc -std=c11 -O1; }
aarch64() { target aarch64 qemu-aarch64 "" aarch64-linux-gnu-gcc -std=c11 -O1 -static; }
# 64 bits: in folders of the machine beneath, qemu's 32 bits cannot count
armhf() { target armhf qemu-arm "" arm-linux-gnueabihf-gcc -std=c11 -O1 -static -D_FILE_OFFSET_BITS=64; }
riscv64() { target riscv64 qemu-riscv64 "" riscv64-linux-gnu-gcc -std=c11 -O1 -static; }
musl() { target musl "" "" musl-gcc -std=c11 -O1 -static; }

# No operating system at all: a Cortex-M4 that qemu plays trains two networks; its losses are those of this machine. golden runs there,
# too, with this machine's files (its folder of results has the only process's number); without hf/, as newlib lists no folders.
cortex() {
    there arm-none-eabi-gcc && there qemu-system-arm || { skip "Cortex-M: no arm-none-eabi-gcc and qemu-system-arm"; return; }
    compiles=yes tests=FAIL golden=FAIL
    step "Cortex-M: build" 900 make -s build/cortex-m/main.elf CFLAGS=-O1 || compiles=NO
    step "Cortex-M: runs as here" 1500 make -s cortex-m CFLAGS=-O1 && tests=$(sed -n 's/^\([0-9]*\) losses as on this machine/\1/p' $log)
    bytes=$(sed -n 's/^target: code \([0-9]*\).*/\1/p' $log | awk '{ printf "%.0f kB", $1 / 1e3 }')
    memory=$(sed -n 's/.*arena at most \([0-9]*\).*/\1/p' $log | awk '{ printf "%.1f MB", $1 / 1e6 }')
    m4="arm-none-eabi-gcc -std=gnu11 -Os -mcpu=cortex-m4 -mthumb -mfloat-abi=hard -mfpu=fpv4-sp-d16 -Wall -Wextra -ffunction-sections -fdata-sections"
    mkdir -p /tmp/peft_golden_1
    step "Cortex-M: golden, build" 900 $m4 -DPEFT_NO_SIMD -Dmain=golden -I. -c -o $work/cortex.o tests/golden.c &&
        step "Cortex-M: golden, link" 60 $m4 -T tests/cortex_golden.ld -nostartfiles -Wl,--gc-sections,--no-warn-execstack --specs=rdimon.specs \
            -o $work/cortex.elf tests/cortex_golden.c $work/cortex.o -lm &&
        step "Cortex-M: golden" 1500 qemu-system-arm -M mps2-an386 -display none -monitor none -serial none -kernel $work/cortex.elf \
            -semihosting-config "enable=on,target=native,arg=golden$(printf ',arg=%s' $(echo $reference | tr ' ' '\n' | grep -v /hf$))" && golden=$(count)
    row "Cortex-M4, bare metal" $compiles "$tests" "$golden" "$bytes" "$memory"
}

# The page: trains in Chromium, with the losses of the native portable build.
web() {
    there emcc && there chromium || { skip "the page: no emcc and chromium"; return; }
    if step "the page in Chromium" 1500 make -s test-web CFLAGS=-O1; then row "WASM, Chromium" yes "$(sed -n 's/test_web: \([0-9]* passed\).*/\1/p' $log)" "20 losses" \
        "$(wc -c < build/web/peft.wasm | awk '{ printf "%.0f kB", $1 / 1e3 }')" -; else row "WASM, Chromium" yes FAIL - - -; fi
}

windows() {
    cross=x86_64-w64-mingw32-gcc
    there $cross || { skip "Windows: $cross is not installed"; return; }
    wine=
    for w in wine64 /usr/lib/wine/wine64 wine; do if there $w; then wine=$w; break; fi; done
    [ -n "$wine" ] || { skip "Windows: no wine to run programs with"; return; }
    units="archives gguf data chat"  # what test_saving tests is POSIX
    target Windows "$wine" .exe $cross -std=c11 -O1 -static
    units="$units saving"
    step "Windows: tool" 900 $cross -std=c11 $warn -O0 -I. -static -o $work/peft.exe tools/peft.c || return
    rm -rf $work/new_folder
    step "Windows: peft quantize into a new folder" 300 $wine $work/peft.exe quantize tests/data/model "$work/new_folder\\" --type nf4
    step "Windows: its files are there" 10 ls $work/new_folder/config.json $work/new_folder/model.safetensors
    step "Windows: peft generate" 300 $wine $work/peft.exe generate tests/data/model "Repeat: Anna met Ben." --max-new-tokens 12
}

# clang as cl takes it, portable code only: Debian has no headers of the Windows SDK, and mingw's lack a few macros there and define
# attributes away. So errors are counted outside of them; the last line is one, which shows that all was read.
msvc() {
    there clang && [ -d /usr/x86_64-w64-mingw32/include ] || { skip "MSVC: no clang and mingw headers"; return; }
    printf '#define PEFT_IMPLEMENTATION\n#include "../../peft.h"\nint last = nothing_of_this_name;\n' > $work/msvc.c
    clang -target x86_64-pc-windows-msvc -fms-compatibility-version=19.30 -std=c11 -fsyntax-only -Wall -Wextra -D_CRT_SECURE_NO_WARNINGS -DPEFT_NO_SIMD \
        -ferror-limit=0 -nostdlibinc -isystem /usr/x86_64-w64-mingw32/include $work/msvc.c 2>&1 | grep -E '(error|warning):' | grep -v '^/usr/x86_64-w64-mingw32' > $work/msvc.log
    cat $work/msvc.log
    step "MSVC's dialect, portable code, compiled only" 10 sh -c "grep -q nothing_of_this_name $work/msvc.log && [ \$(wc -l < $work/msvc.log) -eq 1 ]"
}

# NEON against the portable code
arm() {
    cross=aarch64-linux-gnu-gcc
    there $cross || { skip "ARM: $cross is not installed"; return; }
    for t in gemm ops; do
        step "ARM: test_$t, build" 900 $cross -std=c11 -O1 -static -I. -o $work/arm_$t tests/test_$t.c -DPEFT_USE_PTHREADS -pthread -lm || continue
        if there qemu-aarch64; then step "ARM: test_$t, NEON against portable" 600 qemu-aarch64 $work/arm_$t 11; else skip "ARM: no qemu-aarch64 to run test_$t with"; fi
    done
}

# clang 14 (emscripten 3.1.6) makes wrong code of the portable product when it pairs up scalars for SIMD itself: not its pairing, then.
wasm() {
    there emcc && there node || { skip "WebAssembly: no emcc and node"; return; }
    step "WebAssembly: make wasm" 900 make -s -B wasm && step "WebAssembly: own_network" 300 node build/own_network.js
    node="node --no-experimental-fetch"  # old emscripten takes Node's fetch for a browser's
    $node -e 0 2> /dev/null || node=node
    step "WebAssembly: test_gemm, build" 900 emcc -std=c11 -O1 -msimd128 -fno-slp-vectorize -I. -sALLOW_MEMORY_GROWTH -o $work/test_gemm.js tests/test_gemm.c &&
        step "WebAssembly: test_gemm, SIMD against portable" 300 $node $work/test_gemm.js 3
    units="archives gguf data chat" warn="$warn -Wno-unused-command-line-argument"  # settings of the linker, when compiling
    target wasm "$node" .js emcc -std=c11 -O1 -msimd128 -fno-slp-vectorize -sALLOW_MEMORY_GROWTH -sNODERAWFS
    units="$units saving" warn=${warn% *}
}

all="native flags copies here i686 aarch64 armhf riscv64 s390x bytes musl windows msvc arm wasm web cortex"
[ $# -gt 0 ] || set -- $all
for part in "$@"; do
    case " $all " in *" $part "*) $part ;; *) echo "no such part: $part"; exit 2 ;; esac
done
if [ -e $table ]; then
    printf '| %-24s | %-8s | %-6s | %-6s | %8s | %7s |\n' target compiles tests golden code memory
    printf '|---|---|--:|--:|--:|--:|\n'
    cat $table
fi
rm -f $log $table
echo "$passed passed, $failed failed, $skipped skipped"
[ $failed -eq 0 ]
