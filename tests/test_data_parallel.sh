#!/bin/sh
# examples/data_parallel.c: 1, 2 and 4 processes have the same losses, all ranks the same bits, and a run that stops goes on.
. tests/shell.sh
if ! command -v mpicc > /dev/null || ! command -v mpirun > /dev/null; then
    missing "data_parallel: mpicc or mpirun is not installed"
    finish
    exit
fi
make -s build/data_parallel || exit 1
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
run() { mpirun --oversubscribe -n "$@" 2> $work/errors || echo "failed: $(cat $work/errors)"; }
for n in 1 2 4; do
    rm -f build/data_parallel.peft
    run $n build/data_parallel > $work/$n
    check "$n processes: steps" "$(grep -c '^step ' $work/$n)" 12
    check "$n processes: weights" "$(grep -c "the same bits on $n ranks" $work/$n)" 1
    paste -d ' ' $work/1 $work/$n | awk '/^step/ { d = $8 / $4 - 1; if (d < -2e-5 || d > 2e-5) print $2, $4, $8 }' > $work/differences
    check "$n processes: losses other than those of one" "$(cat $work/differences)" ""
done
rm -f build/data_parallel.peft
set -- tests/data/model names.jsonl 12
run 2 build/data_parallel "$@" 5 > $work/first
run 2 build/data_parallel "$@" 0 > $work/second
check "resumed: steps" "$(cat $work/first $work/second | grep '^step ')" "$(grep '^step ' $work/2)"
check "resumed: weights" "$(grep '^weights' $work/second)" "$(grep '^weights' $work/2)"
rm -f build/data_parallel.peft
finish
