#!/bin/sh
# examples/data_parallel.c: 1, 2 and 4 processes have the same losses, all ranks the same bits, and a run that stops goes on.
cd "$(dirname "$0")/.." || exit 1
passed=0 failed=0
check() { if [ "$2" = "$3" ]; then passed=$((passed + 1)); else failed=$((failed + 1)); echo "FAIL $1: $2, not $3"; fi; }
if ! command -v mpicc > /dev/null || ! command -v mpirun > /dev/null; then
    [ -z "$CI" ] || { echo "FAIL: no mpicc or mpirun"; echo "0 passed, 1 failed, 0 skipped"; exit 1; }
    echo "skipped: data_parallel: mpicc or mpirun is not installed"
    echo "0 passed, 0 failed, 1 skipped"
    exit 0
fi
make -s build/data_parallel || exit 1
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
work=build/test_data_parallel
mkdir -p $work
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
echo "$passed passed, $failed failed, 0 skipped"
[ $failed -eq 0 ]
