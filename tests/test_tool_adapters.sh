#!/bin/sh
# The commands about adapters: methods, train --method, prompt, combine, sweep, compare, forget; right and wrong.
. tests/shell.sh

build/make_data copy 30 1 > $work/copy.jsonl
build/make_data copy 4 1 --split test > $work/copy.test.jsonl
build/make_data arithmetic 30 1 > $work/sums.jsonl
build/make_data arithmetic 4 1 --split test > $work/sums.test.jsonl
short="--max-steps 2 --batch 4 --max-new-tokens 12"

for c in methods prompt combine sweep compare forget; do runs "$c --help" 0 $peft $c --help; has "$c --help" Examples; done

runs "methods" 0 $peft methods $model; has "methods" "4,608"; has "methods" "86 %"
for m in lora dora ia3 prompt prefix ptuning bottleneck bitfit norms head selected full; do has "methods" "^  $m "; done
runs "methods --json" 0 $peft methods $model --json; has "methods --json" '"method":"ia3"'
runs "methods --r" 0 $peft methods $model --method lora --r 4 --json; has "methods --r" '"parameters":24576'
runs "methods of nothing" 1 $peft methods $work

runs "grow" 0 $peft grow $model $work/grown --token '<sep>' --token '<a b>' --json; has "grow" '"tokens":'
runs "a grown token" 0 $peft tokenize $work/grown 'x<sep>' --json
runs "rows of a grown model" 0 $peft info $work/grown
runs "grow by nothing" 2 $peft grow $model $work/x; has "grow by nothing" "token TEXT"
runs "grow over itself" 2 $peft grow $model $model --rows 99999
runs "grow to fewer" 2 $peft grow $model $work/x --rows 3
runs "grow in four bits" 2 $peft grow $model $work/x --rows 99999 --type nf4

runs "unknown method" 2 $peft train $model --data $work/copy.jsonl --method lore --out $work/x; has "unknown method" "lore"
runs "selected without names" 2 $peft train $model --data $work/copy.jsonl --method selected --out $work/x; has "selected without names" target_modules
for m in lora dora ia3 prompt prefix ptuning bottleneck bitfit norms head; do
    runs "train $m" 0 $peft train $model --data $work/copy.jsonl --method $m --max-steps 2 --batch 4 --samples 0 --out $work/$m
    runs "generate with $m" 0 $peft generate $model --adapter $work/$m "Repeat: Anna met Ben." --max-new-tokens 4
done
runs "train selected" 0 $peft train $model --data $work/copy.jsonl --method selected --target-modules decoder.block.0 --max-steps 2 --samples 0 --out $work/selected
runs "train pissa" 0 $peft train $model --data $work/copy.jsonl --pissa --lora-plus 16 --use-rslora --max-steps 2 --samples 0 --out $work/pissa
runs "info of pissa" 0 $peft info $model --adapter $work/pissa --tensors; has "info of pissa" "lora_A.weight *16 x"

for o in "ptuning --encoder-hidden 24" "prompt --prompt-place both" "bottleneck --reduction-factor 8 --pfeiffer" "lora --target-modules embed_tokens,q"; do
    runs "train $o" 0 $peft train $model --data $work/copy.jsonl --method $o --max-steps 2 --batch 4 --samples 0 --out $work/variant --force
    runs "generate with $o" 0 $peft generate $model --adapter $work/variant "Repeat: Anna met Ben." --max-new-tokens 4
done
runs "prompt at no place" 2 $peft train $model --data $work/copy.jsonl --method prompt --prompt-place front --out $work/x; has "prompt at no place" front

runs "prompt" 0 $peft prompt $work/prompt $model --nearest 3 --report $work/prompt.html; has "prompt" "^  19 "
cp $work/prompt.html $work/out; has "prompt's picture" "<svg"
runs "prompt --json" 0 $peft prompt $work/ptuning $model --json; has "prompt --json" '"distance":'
runs "prompt of a LoRA" 4 $peft prompt $work/lora $model; has "prompt of a LoRA" "no virtual tokens"
runs "prompt of a prefix" 4 $peft prompt $work/prefix $model

for k in linear cat ties dare_linear; do
    runs "combine $k" 0 $peft combine $model $work/lora $work/lora --kind $k --scale 0.5,0.5 --out $work/combined --force
done
runs "combined" 0 $peft generate $model --adapter $work/combined "Repeat: Anna met Ben." --max-new-tokens 4
runs "combine others" 2 $peft combine $model $work/lora $work/ia3 --out $work/x; has "combine others" "no plain LoRA"
runs "combine unequal ranks" 1 $peft combine $model $work/lora $work/pissa --out $work/x; has "combine unequal ranks" "rank"
runs "too few weights" 2 $peft combine $model $work/lora $work/lora --scale 1 --out $work/x

runs "sweep" 0 $peft sweep $model --data $work/copy.jsonl --test $work/copy.test.jsonl --r 1,2 --seeds 2 $short --report $work/sweep.html
has "sweep" "r = 2"; has "sweep" "CIDEr"; has "sweep" "+-"
cp $work/sweep.html $work/out; has "sweep's page" "<svg"
runs "sweep of no ranks" 2 $peft sweep $model --data $work/copy.jsonl --r 1,x
runs "sweep of a rankless method" 2 $peft sweep $model --data $work/copy.jsonl --method ia3
runs "compare" 0 $peft compare $model --data $work/copy.jsonl --test $work/copy.test.jsonl --method norms,full --seeds 1 $short --markdown
has "compare" "| norms | .* | 2,816 |"; has "compare" "| full |"; has "compare" "base model"
runs "compare --json" 0 $peft compare $model --data $work/copy.jsonl --test $work/copy.test.jsonl --method ia3 --seeds 1 $short --json; has "compare --json" '"METEOR"'
runs "compare what is not there" 2 $peft compare $model --data $work/copy.jsonl --method lora,lore
runs "forget" 0 $peft forget $model copy=$work/copy.jsonl,$work/copy.test.jsonl sums=$work/sums.jsonl,$work/sums.test.jsonl $short --report $work/forget.html
has "forget" "full, all tasks"; has "forget" "exact match"; has "forget" "mean of others"
cp $work/forget.html $work/out; has "forget's page" "<svg"
runs "forget, two seeds" 0 $peft forget $model copy=$work/copy.jsonl,$work/copy.test.jsonl sums=$work/sums.jsonl,$work/sums.test.jsonl $short --seeds 2 --markdown
has "forget, two seeds" "| full, first task | [0-9.]* ± "
runs "forget one task" 2 $peft forget $model copy=$work/copy.jsonl,$work/copy.test.jsonl
runs "forget without a test" 2 $peft forget $model copy=$work/copy.jsonl sums=$work/sums.jsonl; has "forget without a test" "NAME=TRAIN"

finish
