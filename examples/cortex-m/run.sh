#!/bin/sh
# Runs the image in qemu, shows what it says, and compares its losses with those of the program on this machine: to 1 in 1000.
work=build/cortex-m
$work/native > $work/native.txt || { cat $work/native.txt; exit 1; }
timeout 900 $1 -kernel $work/main.elf > $work/target.txt 2>&1  # some versions of qemu say it there
code=$?
cat $work/target.txt
[ $code -eq 0 ] || { echo "FAIL: exit status $code"; exit 1; }
paste -d ' ' $work/native.txt $work/target.txt | awk '/^step/ { n++; d = $8 / $4 - 1; if (d < -1e-3 || d > 1e-3) { print "FAIL: " $0; bad = 1 } }
    END { print n " losses as on this machine"; exit bad || n != 12 }'
