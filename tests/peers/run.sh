#!/bin/sh
# Compares peft.h with today's libraries, both ways, on random models:  make peers [SEED=N] [PEERS_MODELS=a,b] [PEERS_PYTHON=path]
# PEERS_PYTHON: a Python that has the packages already. Otherwise they are installed with pip under build/peers/venv, newest
# versions: of torch the newest build for CPUs that pip finds, else its newest, which under Linux brings gigabytes of CUDA. PEERS_TORCH
# and PEERS_PIP (options such as --index-url) say which torch, and from where. `make build/golden` comes first.
# PEERS_PARTS: some of "adapters models ours saving tokenizers templates configurations"; default: all. The table keeps what
# other parts have counted before. PEERS_CONFIGS, PEERS_TEXTS, PEERS_RANDOM: how many random config.json (400), texts for each
# tokenizer.json (5000), random tokenizer.json (300).
out=build/peers
seed=${SEED:-1}
models=${PEERS_MODELS:+--models $PEERS_MODELS}
python=${PEERS_PYTHON:-$out/venv/bin/python}
parts=${PEERS_PARTS:-adapters models ours saving tokenizers templates configurations}
HF_HUB_OFFLINE=1 PYTHONWARNINGS=ignore
export HF_HUB_OFFLINE PYTHONWARNINGS
packages="transformers peft tokenizers safetensors bitsandbytes sentencepiece protobuf accelerate gguf jinja2"
mkdir -p $out

if [ -z "$PEERS_PYTHON" ] && [ ! -x $out/venv/bin/python ]; then
    python3 -m venv $out/venv && pip=$out/venv/bin/pip || exit 1
    cpu=$($pip index versions torch $PEERS_PIP 2> /dev/null | grep -o '[0-9.]*+cpu' | head -n 1)
    $pip install -q $PEERS_PIP ${PEERS_TORCH:-torch${cpu:+==$cpu}} $packages || { rm -rf $out/venv; exit 1; }
fi
$python - torch $packages > $out/versions <<'END_OF_PYTHON' || exit 1
import importlib.metadata as m, platform, sys
print("Python", platform.python_version() + ";", ", ".join(f"{p} {m.version(p)}" for p in sys.argv[1:]))
END_OF_PYTHON
cat $out/versions

failed=0
log=$out/log
touch $out/counts
begin() { part=$1; echo "== $2"; sed -i "/^$1 /d" $out/counts; }
asked() { case " $parts " in *" $1 "*) ;; *) return 1 ;; esac; }
run() { "$@" > $log 2>&1 || { failed=1; tail -n 3 $log; }; }

# row COLUMN [ROW]: what the last lines of the log count, "ROW: N right, N refused, N wrong", goes into the table. A part that counts
# nothing has failed.
row() {
    grep -a '^[^ ]*: [0-9]* right, [0-9]* refused, [0-9]* wrong$' $log | sed "s|^[^ ]*/\([a-z]*\): |\1: |; s|^|$part $1 |" > $out/row
    [ -s $out/row ] || { echo "FAIL $part: nothing was counted"; failed=1; }
    cat $out/row >> $out/counts
    sed 's/^[a-z]* [a-z]* /  /' $out/row
}

if asked adapters; then
    begin adapters "adapters of Hugging Face peft, opened by peft.h"
    rm -rf $out/adapters  # folders of an earlier run would be compared again
    run $python tests/peers/make_adapters.py $out/adapters --seed $seed $models
    grep '^left out' $log | sed 's|: .*peft |: peft |' | sort | uniq -c | sort -rn | head -n 40
    build/golden $out/adapters > $log 2>&1 || failed=1
    grep -a FAIL $log
    row theirs
fi
if asked models; then
    begin models "models of transformers, opened by peft.h"
    rm -rf $out/models
    run $python tests/peers/make_models.py $out/models --seed $seed $models
    run $python tests/peers/make_blocks.py $out/models/gguf --seed $seed
    build/golden $out/models > $log 2>&1 || failed=1
    grep -a FAIL $log
    row theirs
fi
if asked ours; then
    begin ours "adapters and models of peft.h, opened by Hugging Face's libraries"
    rm -rf $out/ours
    $python tests/peers/check_adapters.py $out/ours $out/write_adapters --seed $seed $models --base tests/data/model > $log 2>&1 || failed=1
    grep -a FAIL $log
    row ours
fi
# check PART SCRIPT COLUMN WHAT ARGUMENT...
check() {
    asked $1 || return
    begin $1 "$4"
    script=$2 column=$3
    shift 4
    $python tests/peers/$script.py "$@" > $log 2>&1 || failed=1
    grep -aE 'FAIL|differ' $log | grep -v ' 0 of ' | head -n 20
    row $column
}
asked saving && rm -rf $out/saving  # peft replaces nothing unasked
check saving check_saving ours "what peft.h saves: formats, four bits, tokenizers, grown vocabularies" build/peft $out/saving ${PEFT_SHARED:-../shared}
check tokenizers check_tokenizers theirs "tokenizer.json" $out/encode_texts --seed $seed --texts ${PEERS_TEXTS:-5000} --random ${PEERS_RANDOM:-300}
check templates check_templates theirs "templates" $out/render_templates $seed
if asked configurations; then
    begin configurations "config.json of every family"
    rm -rf $out/configurations
    run $python tests/peers/make_configs.py $out/configurations --all --random ${PEERS_CONFIGS:-400} --seed $seed
    build/golden $out/configurations > $log 2>&1 || failed=1
    grep -a FAIL $log
    row theirs
fi

# The table of the README.
awk -v versions="$(cat $out/versions)" '
    function version(name) { return match(versions, name " [0-9][^,;]*") ? substr(versions, RSTART, RLENGTH) : name }
    function cell(c, r) { return (c, r) in right ? right[c, r] " / " refused[c, r] " / " wrong[c, r] : "" }
    function line(r, what) { print "| " what " | " cell("theirs", r) " | " cell("ours", r) " |" }
    { sub(":", "", $3); right[$2, $3] += $4; refused[$2, $3] += $6; wrong[$2, $3] += $8 }
    END {
        print "| right / refused by name / wrong | theirs, opened by peft.h | ours, opened by theirs |\n|---|--:|--:|"
        line("adapters", "adapters of " version("peft"))
        line("models", "models of " version("transformers") ", 4 bits of " version("bitsandbytes") ", blocks of " version("gguf"))
        line("configurations", "its config.json of every family, with random settings")
        line("tokenizers", "texts under tokenizer.json, " version("tokenizers"))
        line("templates", "templates, " version("jinja2"))
    }' $out/counts | tee $out/table
exit $failed
