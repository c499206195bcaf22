#!/bin/sh
# Runs the test programs given as arguments, the shell tests, and build/golden on the reference cases. Shows what each one failed and
# its closing line (its whole output is in build/logs), and sums the closing lines up.
shared=${PEFT_SHARED:-../shared}
passed=0 failed=0 skipped=0 broken=0
mkdir -p build/logs

# run NAME command...
run() {
    log="build/logs/$(echo "$1" | tr ' ' '_').log" name=$1
    shift
    "$@" > "$log" 2>&1
    report "$name" "$log" $?
}

# report NAME LOG STATUS
report() {
    name=$1 log=$2 code=$3
    grep -a -E 'FAIL|^skipped' "$log" | head -n 60 | cut -c1-300
    line=$(sed -n 's/^\([a-z_]*: \)\{0,1\}\([0-9][0-9]* passed, [0-9][0-9]* failed\)/\2/p' "$log" | tail -n 1)
    echo "== $name: ${line:-no closing line}"
    set -- $line
    if [ -z "$line" ]; then
        echo "FAIL $name: no closing line (exit status $code); its last lines:"
        tail -n 20 "$log" | cut -c1-300
        broken=$((broken + 1))
        return
    fi
    passed=$((passed + $1)); failed=$((failed + $3))
    [ -n "$5" ] && skipped=$((skipped + $5))
    if [ $code -ne 0 ] && [ "$3" -eq 0 ]; then echo "FAIL $name: exit status $code"; broken=$((broken + 1)); fi
}

# cases NAME FOLDER...: golden on what is there, else one named skip
cases() {
    name=$1
    shift
    if [ -e "$1" ]; then run "$name" build/golden "$@"
    else echo "skipped: $name: no reference cases at $1 (set PEFT_SHARED)"; skipped=$((skipped + 1)); fi
}

# The programs run two at a time; each is reported in its turn.
printf '%s\n' "$@" | xargs -P 2 -I{} sh -c 'log=build/logs/$(basename {}).log; {} > "$log" 2>&1; echo $? > "$log.status"'
for t in "$@"; do
    log=build/logs/$(basename "$t").log
    report "$(basename "$t")" "$log" "$(cat "$log.status")"
done
run chapters sh tests/chapters.sh
for t in tests/test_*.sh; do [ -f "$t" ] && run "$(basename "$t" .sh)" sh "$t"; done
if [ -x build/golden ]; then
    here=tests/data/reference
    cases "reference training" $here/golden/*
    cases "reference" $here/hf $here/hf_config $here/metrics $here/nf4.safetensors $here/tokenizers.jsonl
    cases golden "$shared"/golden/*
    for folder in hf hf_config templates; do cases "shared $folder" "$shared/reference/$folder"; done
fi
failed=$((failed + broken))
echo "$passed passed, $failed failed, $skipped skipped"
[ $failed -eq 0 ]
