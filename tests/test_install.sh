#!/bin/sh
# What `make install` leaves is found: by pkg-config, by CMake's find_package, and CMake's FetchContent takes the repository itself.
. tests/shell.sh
work=$PWD/$work
make -s install PREFIX="$work/usr" > "$work/log" 2>&1; check "make install" $? 0
for f in include/peft.h bin/peft lib/pkgconfig/peft.pc lib/cmake/peft/peft-config.cmake lib/cmake/peft/peft-config-version.cmake; do
    check "$f" "$([ -s "$work/usr/$f" ] && echo there)" there
done
version=$(sed -n 's/^.define PEFT_VERSION "\(.*\)"/\1/p' peft.h)
want="peft.h $version: portable, 2 threads"
# contexts and threads are all that the example uses: without models it compiles in seconds
few=-DPEFT_ONLY_METRICS
if command -v pkg-config > /dev/null; then
    export PKG_CONFIG_PATH="$work/usr/lib/pkgconfig"
    check "pkg-config: version" "$(pkg-config --modversion peft)" "$version"
    cc $few -o "$work/by_pkg" examples/cmake/main.c $(pkg-config --cflags --libs peft) && check "pkg-config: a program" "$("$work/by_pkg")" "$want"
else missing "pkg-config is not installed"; fi
if command -v cmake > /dev/null; then
    for way in find fetch; do
        case $way in
        find) set -- -DCMAKE_PREFIX_PATH="$work/usr" ;;
        fetch) set -- -DPEFT_FETCH=of-no-use-here -DFETCHCONTENT_SOURCE_DIR_PEFT="$PWD" ;;
        esac
        cmake -S examples/cmake -B "$work/$way" -DCMAKE_C_FLAGS=$few "$@" > "$work/log" 2>&1 && cmake --build "$work/$way" >> "$work/log" 2>&1 || tail -n 12 "$work/log"
        check "cmake, $way: a program" "$("$work/$way/peft_example")" "$want"
    done
    printf 'cmake_minimum_required(VERSION 3.14)\nproject(x NONE)\nfind_package(peft 9.0 REQUIRED)\n' > "$work/CMakeLists.txt"
    cmake -S "$work" -B "$work/later" -DCMAKE_PREFIX_PATH="$work/usr" > "$work/log" 2>&1
    check "cmake: a later version is not found" "$(grep -c 'compatible' "$work/log")" 1
else missing "cmake is not installed"; fi
finish
