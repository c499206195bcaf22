#!/bin/sh
# The command line as its users type it: right commands, wrong ones, interruption and resuming.
. tests/shell.sh

build/make_data dialogsum 60 1 > $work/train.jsonl
build/make_data dialogsum 12 1 --split test > $work/test.jsonl
summary="--prompt Summarize.\\n\\n{{dialogue}} --completion {{summary}}"

runs "help" 0 $peft --help; has "help" "peft train"
runs "no command" 2 $peft
runs "unknown command" 2 $peft trian; has "unknown command" "no command trian"
for c in info tokenize generate train eval merge score; do runs "$c --help" 0 $peft $c --help; has "$c --help" Examples; done
runs "-h" 0 $peft -h; has "-h" "peft train"
runs "train -h" 0 $peft train -h; has "train -h" Examples
runs "unknown option" 2 $peft info --tensor x; has "unknown option" "did you mean --tensors"
runs "option without value" 2 $peft info --threads; has "option without value" "needs a value"
runs "not a number" 2 $peft info --threads two $model; has "not a number" "takes a number"

runs "info" 0 $peft info $model --tensors; has "info" "decoder.final_layer_norm.weight"
runs "info --json" 0 $peft info $model --json; has "info --json" '"type":"t5"'; has "info --json" '"weights":{'; has "info --json" '"bf16":5505024,"f32":12288}'
runs "info of nothing" 1 $peft info $work/nothing; has "info of nothing" "config.json"
mkdir -p $work/broken && cp $model/config.json $work/broken/ && head -c 1000 $model/model.safetensors > $work/broken/model.safetensors
runs "truncated weights" 1 $peft info $work/broken; has "truncated weights" "model.safetensors"

runs "tokenize" 0 $peft tokenize $model "Anna asks Ben."
ids=$(cat $work/out)
runs "decode" 0 $peft tokenize $model --decode "$ids"; has "decode" "Anna asks Ben."
runs "decode garbage" 2 $peft tokenize $model --decode "12 x"; has "decode garbage" "not a token id"

runs "generate" 0 $peft generate $model "Repeat: Anna met Ben." --max-new-tokens 12
printf 'Repeat: Anna met Ben.\nRepeat: Tom is ill.\n' > $work/prompts
runs "generate from a pipe" 0 sh -c "$peft generate $model --json < $work/prompts"; has "generate from a pipe" '"text":'
runs "bad sampling" 2 $peft generate $model hello --temperature -1; has "bad sampling" temperature

runs "train" 0 $peft train $model --data $work/train.jsonl $summary --validation $work/test.jsonl --out $work/lora --max-steps 6 --eval-every 3 --samples 4 \
    --report $work/report.html --threads 2 --seed 3
has "train" "adapter written"; has "train" "step 6/6"
for f in lora/adapter_config.json lora/adapter_model.safetensors report.html; do if [ -s $work/$f ]; then ok; else bad "train: no $f"; fi; done
cp $work/report.html $work/out; has "report" "<svg"; has "report" "ROUGE"
runs "train --json" 0 $peft train $model --data $work/train.jsonl $summary --out $work/lora2 --max-steps 2 --json; has "train --json" '"event":"done"'
runs "field that is not there" 1 $peft train $model --data $work/train.jsonl --prompt '{{dialog}}' --completion '{{summary}}' --out $work/x; has "missing field" "dialog"
if [ -e $work/x ]; then bad "a failed run left $work/x"; else ok; fi
runs "unknown module" 2 $peft train $model --data $work/train.jsonl $summary --target-modules qq --out $work/x; has "unknown module" qq

# stopped in the middle and resumed: the same adapter, bit for bit
common="$model --data $work/train.jsonl --prompt {{dialogue}} --completion {{summary}} --max-steps 40 --batch 4 --lora-dropout 0.1 --seed 5"
runs "uninterrupted" 0 $peft train $common --out $work/whole
: > $work/err  # the first run's steps are not this one's
$peft train $common --out $work/parts > $work/out 2> $work/err &
pid=$!
while kill -0 $pid 2> /dev/null && ! grep -q "step " $work/err; do :; done
kill -INT $pid
wait $pid
got=$?
if [ $got -eq 130 ]; then
    ok; has "interrupted" "--resume"
    if [ -s $work/parts.checkpoint ]; then ok; else bad "no checkpoint"; fi
    runs "resumed" 0 $peft train $common --out $work/parts --resume
else bad "interrupted: exit status $got"; fi
if cmp -s $work/whole/adapter_model.safetensors $work/parts/adapter_model.safetensors; then ok; else bad "the resumed adapter differs"; fi
if [ -e $work/parts.checkpoint ]; then bad "the checkpoint was left behind"; else ok; fi
runs "resume without a checkpoint" 0 $peft train $common --out $work/none --resume; has "resume without a checkpoint" "none.checkpoint"

runs "eval" 0 $peft eval $model --adapter $work/lora --data $work/test.jsonl $summary --output $work/predictions.jsonl; has "eval" "ROUGE"
runs "score jsonl" 0 $peft score rouge bleu --predictions $work/predictions.jsonl --references $work/predictions.jsonl --json; has "score jsonl" rougeLsum
runs "merge" 0 $peft merge $model $work/lora $work/merged --type bf16
runs "merged model" 0 $peft info $work/merged; has "merged model" "parameters"
runs "merge onto itself" 2 $peft merge $model $work/lora $model
runs "adapter of another model" 1 $peft eval $model --adapter $model --data $work/test.jsonl $summary; has "adapter of another model" "adapter_config.json"

# what is wrong is named before anything is trained; a failed run leaves nothing
: > $work/empty.jsonl; printf 'a,b\n1,2\n3\n' > $work/ragged.csv; printf '{"dialogue":"a\377b","summary":"x"}\n' > $work/latin.jsonl; : > $work/file
try() {  # NAME EXIT_STATUS TEXT options...
    name=$1 want=$2 text=$3
    shift 3
    runs "$name" $want $peft train $model --data $work/train.jsonl $summary --batch 2 --out $work/x "$@"
    has "$name" "$text"
    if [ -e $work/x ]; then bad "$name left $work/x"; rm -rf $work/x; else ok; fi
}
try "no examples" 1 "empty.jsonl: no examples" --data $work/empty.jsonl
try "ragged CSV" 1 "ragged.csv:3: 1 fields" --data $work/ragged.csv --prompt '{{a}}' --completion '{{b}}'
try "bad UTF-8" 1 "latin.jsonl:1: not valid UTF-8" --data $work/latin.jsonl
runs "out is a file" 2 $peft train $model --data $work/train.jsonl $summary --out $work/file; has "out is a file" "$work/file is there already; --force"
runs "out in nothing" 1 $peft train $model --data $work/train.jsonl $summary --out $work/no/where; has "out in nothing" "$work/no/where: No such file"
try "report in nothing" 1 "$work/no/report.html: No such file" --report $work/no/report.html
try "negative epochs" 2 "epochs is -1" --epochs -1
try "endless rate" 2 "learning_rate is inf" --lr inf
try "short source" 2 "max_source is 1" --max-source 1
try "split of NaN" 2 "split nan" --split nan
try "split too small" 2 "0 held out" --split 0.001
try "bias" 2 'bias is "some"' --bias some
try "layers" 2 'layers_to_transform is "x"' --layers x
try "rank pattern" 2 'rank_pattern has "q"' --rank-pattern q
runs "a name that matches nothing" 0 $peft train $model --data $work/train.jsonl $summary --max-steps 1 --batch 2 --target-modules q,zz --out $work/x
has "a name that matches nothing" '"zz" of target_modules matches nothing'
if [ -c /dev/full ]; then
    runs "help into a full disk" 1 sh -c "$peft --help > /dev/full"; has "help into a full disk" "standard output"
    runs "info into a full disk" 1 sh -c "$peft info $model > /dev/full"; has "info into a full disk" "standard output"
    runs "predictions into a full disk" 1 $peft eval $model --data $work/test.jsonl $summary --limit 2 --max-new-tokens 2 --output /dev/full; has "predictions into a full disk" "/dev/full"
fi
if command -v python3 > /dev/null; then  # what --json prints is JSON, whatever the text and the numbers
    json() {  # NAME command...: every line
        name=$1
        shift
        "$@" > $work/out 2> $work/err
        if python3 -c 'import json, sys
for line in sys.stdin.buffer: json.loads(line.decode(), parse_constant=lambda name: 1 / 0)' < $work/out 2>> $work/err; then ok; else bad "$name --json: not JSON"; fi
    }
    latin=$(printf 'caf\351 "x" \\ \001')
    printf '1\n1\n1\n' > $work/ones
    json info $peft info $model --json --tensors --adapter $work/lora
    json tokenize $peft tokenize $model --json "$latin"
    json generate $peft generate $model --json "$latin" --max-new-tokens 3
    json train $peft train $model --data $work/train.jsonl $summary --out $work/lora2 --force --max-steps 2 --json --split 0.1 --samples 2
    json eval $peft eval $model --data $work/test.jsonl $summary --json --limit 2 --max-new-tokens 3
    json merge $peft merge $model $work/lora $work/merged --force --json
    json score $peft score rouge bleu pearson spearman --predictions $work/ones --references $work/ones --json
    json methods $peft methods $model --json
    json memory $peft memory $model --json
fi
# a bar on a terminal, lines elsewhere
if command -v script > /dev/null; then
    script -q -e -c "$peft train $model --data $work/train.jsonl $summary --out $work/lora2 --force --max-steps 2" $work/out > /dev/null 2> $work/err < /dev/null
    has "on a terminal" "\\[###"
fi

printf 'It is cold outside\n' > $work/a; printf 'It is very cold outside\n' > $work/b; printf 'one\ntwo\n' > $work/c
runs "score" 0 $peft score rouge --predictions $work/a --references $work/b; has "score" "0.8889"
runs "score of different lengths" 1 $peft score rouge --predictions $work/a --references $work/c; has "score of different lengths" "1 texts"
runs "unknown metric" 2 $peft score rogue --predictions $work/a --references $work/b; has "unknown metric" rogue

finish
