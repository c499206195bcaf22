#!/bin/sh
# The command line where memory is concerned: quantizing models, planning, training in few bits and with small optimizers.
. tests/shell.sh

build/make_data dialogsum 60 1 > $work/train.jsonl
build/make_data dialogsum 12 1 --split test > $work/test.jsonl
summary="--prompt Summarize.\\n\\n{{dialogue}} --completion {{summary}}"

for c in quantize memory; do runs "$c --help" 0 $peft $c --help; has "$c --help" Examples; done

runs "quantize" 0 $peft quantize $model $work/nf4 --type nf4 --double-quant; has "quantize" "relative error"
grep -q '"load_in_4bit": true' $work/nf4/config.json && ok || bad "quantize: config.json"
runs "quantize --json" 0 $peft quantize $model $work/fp4 --type fp4 --block 128 --json; has "quantize --json" '"relative_error":0\.[01]'
runs "quantize --tensors" 0 $peft quantize $model $work/i8 --type i8 --tensors; has "quantize --tensors" "encoder.block.0.layer.0.SelfAttention.q.weight"
# T5's second feed-forward matrices are written as they were: transformers has them in floats
runs "quantize, wo" 0 $peft quantize $model $work/x --type nf4 --tensors; has "quantize, wo" "DenseReluDense.wi"
if grep -q "\.wo\.weight" $work/out; then bad "wo has lost something"; else ok; fi
rm -r $work/x
runs "quantize to nothing" 2 $peft quantize $model; has "quantize to nothing" "MODEL and OUT"
runs "quantize onto itself" 2 $peft quantize $model $model
runs "quantize to bf16" 2 $peft quantize $model $work/x --type bf16; has "quantize to bf16" "nf4, fp4 or i8"
runs "quantize in odd blocks" 2 $peft quantize $model $work/x --block 100; has "quantize in odd blocks" "power of two"
runs "info" 0 $peft info $work/nf4 --tensors; has "info" nf4
for m in nf4 fp4 i8; do runs "generate $m" 0 $peft generate $work/$m "Repeat: Anna met Ben." --max-new-tokens 6; done

# the same weights whether they are quantized in a file or at load (four bits: but for wo)
runs "eval of a file" 0 $peft eval $work/i8 --data $work/test.jsonl $summary --loss-only --json; cp $work/out $work/a
runs "eval at load" 0 $peft eval $model --weights i8 --data $work/test.jsonl $summary --loss-only --json
if cmp -s $work/out $work/a; then ok; else bad "the loss differs from the file's"; fi
runs "generate --weights" 0 $peft generate $model --weights i8 --embeddings bf16 "Repeat: Anna met Ben." --max-new-tokens 6
runs "unknown weights" 2 $peft generate $model --weights nf5 hello; has "unknown weights" nf5

for o in adamw adamw8bit adafactor sgd lion; do
    runs "train --optimizer $o" 0 $peft train $model --data $work/train.jsonl $summary --out $work/lora --force --weights nf4 --double-quant --target-modules all-linear \
        --optimizer $o --checkpoint-blocks --max-steps 3 --batch 4
done
runs "train on a quantized model" 0 $peft train $work/fp4 --data $work/train.jsonl $summary --out $work/lora --force --optimizer-file $work/scratch --max-steps 2
if [ -e $work/scratch ]; then bad "the scratch file was left behind"; else ok; fi
runs "train --adapter-type" 0 $peft train $work/nf4 --data $work/train.jsonl $summary --out $work/half --adapter-type bf16 --max-steps 2
runs "compare on 4 bits" 0 $peft compare $model --method lora --data $work/train.jsonl --test $work/test.jsonl $summary --weights nf4 --optimizer adamw8bit \
    --checkpoint-blocks --max-steps 2 --seeds 1 --max-new-tokens 4
runs "unknown adapter type" 2 $peft train $model --data $work/train.jsonl $summary --out $work/x --adapter-type bf15; has "unknown adapter type" bf15
runs "unknown optimizer" 2 $peft train $model --data $work/train.jsonl --out $work/x --optimizer adam; has "unknown optimizer" adamw8bit
runs "merge into 4 bits" 0 $peft merge $work/fp4 $work/lora $work/merged --type fp4; has "merge into 4 bits" "of what the adapter had added"
runs "merge --json" 0 $peft merge $work/fp4 $work/lora $work/merged --type fp4 --force --json; has "merge --json" '"relative_error":0\.[01]'
runs "merged" 0 $peft generate $work/merged "Repeat: Anna met Ben." --max-new-tokens 6

runs "memory" 0 $peft memory $model --batch 2 --max-source 64 --max-target 16 --svg $work/m.svg; has "memory" qlora; has "memory" "to allocate"
cp $work/m.svg $work/out; has "picture" "</svg>"; has "picture" "activations"
runs "memory of config.json" 0 $peft memory $model/config.json --json; has "memory of config.json" '"method":"prompt"'
runs "memory --measure" 0 $peft memory $model --method qlora --batch 2 --max-source 64 --max-target 16 --measure --json; has "memory --measure" '"resident":'
runs "memory --measure --init" 0 $peft memory $model --method full --optimizer adafactor --batch 1 --max-source 64 --max-target 16 --measure --init; has "measure --init" "measured in two steps"
runs "memory of nothing" 1 $peft memory $work/nothing; has "memory of nothing" "config.json"
runs "unknown method" 2 $peft memory $model --method dora; has "unknown method" "full, lora, qlora or prompt"
runs "measure all" 2 $peft memory $model --measure; has "measure all" "needs a --method"

finish
