#!/bin/sh
# Compares peft.h with today's libraries, both ways, on random models:  make peers [SEED=N] [PEERS_MODELS=a,b] [PEERS_PYTHON=path]
# PEERS_PYTHON: a Python that has the packages already. Otherwise they are installed with pip under build/peers/venv, newest
# versions; PEERS_TORCH and PEERS_PIP (options such as --index-url) say which torch, and from where. `make build/golden` comes first.
out=build/peers
seed=${SEED:-1}
models=${PEERS_MODELS:+--models $PEERS_MODELS}
python=${PEERS_PYTHON:-$out/venv/bin/python}
HF_HUB_OFFLINE=1 PYTHONWARNINGS=ignore
export HF_HUB_OFFLINE PYTHONWARNINGS
packages="transformers peft tokenizers safetensors bitsandbytes sentencepiece protobuf accelerate gguf jinja2"
mkdir -p $out

if [ -z "$PEERS_PYTHON" ] && [ ! -x $out/venv/bin/python ]; then
    python3 -m venv $out/venv && $out/venv/bin/pip install -q $PEERS_PIP ${PEERS_TORCH:-torch} $packages || { rm -rf $out/venv; exit 1; }
fi
$python - torch $packages <<'END' || exit 1
import importlib.metadata as m, platform, sys
print("Python", platform.python_version() + ";", ", ".join(f"{p} {m.version(p)}" for p in sys.argv[1:]))
END

failed=0
begin() { echo "== $*"; log=$out/log; }
lines() { grep -v '^\(refused\|saved\|log\|Failed to load CPU gemm\)' $log; tail -n 1 $log >> $out/table; }
: > $out/table

# Folders of an earlier run would be compared again.
rm -rf $out/adapters $out/models $out/ours

begin "adapters of Hugging Face peft, opened by peft.h"
$python tests/peers/make_adapters.py $out/adapters --seed $seed $models > $log 2>&1 || failed=1
grep '^left out' $log | sed 's|: .*peft |: peft |' | sort | uniq -c | sort -rn | head -n 40
build/golden $out/adapters > $log 2>&1 || failed=1
grep -v ' right, ' $log | grep -v '^[^:]* passed,' ; awk '/ right, .* refused, .* wrong/ { line = $0 } END { print "adapters: " line }' $log >> $out/table

begin "models of transformers, opened by peft.h"
$python tests/peers/make_models.py $out/models --seed $seed $models > $log 2>&1 || { failed=1; tail -n 3 $log; }
build/golden $out/models > $log 2>&1 || failed=1
grep -v ' right, ' $log | grep -v '^[^:]* passed,'; awk '/ right, .* refused, .* wrong/ { line = $0 } END { print "models: " line }' $log >> $out/table

begin "adapters and models of peft.h, opened by Hugging Face's libraries"
$python tests/peers/check_adapters.py $out/ours $out/write_adapters --seed $seed $models --base tests/data/model > $log 2>&1 || failed=1
lines

# check SCRIPT ARGUMENT...
check() {
    [ -f tests/peers/$1.py ] || return
    begin "$1"
    script=$1
    shift
    $python tests/peers/$script.py "$@" > $log 2>&1 || failed=1
    grep FAIL $log | head -n 20
    echo "$script: $(tail -n 1 $log)" >> $out/table
}
check check_saving build/peft $out/saving ${PEFT_SHARED:-../shared}
check check_tokenizers $out/encode_texts --seed $seed
check check_templates $out/render_templates $seed
if [ -f tests/peers/make_configs.py ]; then
    begin "config.json of every family"
    rm -rf $out/configs
    $python tests/peers/make_configs.py $out/configs --all > $log 2>&1 || { failed=1; tail -n 3 $log; }
    build/golden $out/configs > $log 2>&1 || failed=1
    grep FAIL $log
    awk '/ right, .* refused, .* wrong/ { line = $0 } END { print "configurations: " line }' $log >> $out/table
fi
echo "== in short"
cat $out/table
exit $failed
