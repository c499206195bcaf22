#!/bin/sh
# Makes the project's own model from nothing: its data, its vocabulary, its weights.
#   sh tools/make_model.sh OUTPUT_FOLDER
# EXAMPLES=200000 in the environment pre-trains on more of them (32000, twenty minutes).
# Short texts first, where copying is learned soon; then heads are given positions to look at (tools/set_positions.c);
# then all tasks. Words of the summaries are in the vocabulary, but summaries in no task: what one is the model does
# not know.
set -eu
out=$1
work=build/model
mkdir -p $work/init
cp tools/model_config.json $work/init/config.json
for task in copy list entity write shots; do build/make_data $task 3000 2; done > $work/short.jsonl
build/make_data mixture ${EXAMPLES:-32000} 6 > $work/mixture.jsonl
build/make_data mixture 400 1 --split validation > $work/validation.jsonl
for split in train validation test; do
    build/make_data mixture 20000 3 --split $split
    build/make_data dialogsum 3000 3 --split $split
done > $work/vocabulary.jsonl
echo '{"prompt": "Summarize the following conversation. Summary:"}' >> $work/vocabulary.jsonl
build/train_tokenizer --vocab 540 --output $work/init/spiece.model --jsonl prompt --jsonl completion \
    --jsonl dialogue --jsonl summary $work/vocabulary.jsonl
train="build/peft train --method full --epochs 1 --batch 32 --schedule cosine --max-source 384 --max-target 64
    --warmup 30 --seed 1 --samples 0 --force"
$train $work/init --init --data $work/short.jsonl --lr 3e-3 --out $work/short
build/set_positions $work/short $work/positions
$train $work/positions --data $work/mixture.jsonl --validation $work/validation.jsonl --eval-every 200 --lr 2e-3 \
    --type bf16 --out "$out" --checkpoint-every 200 --checkpoint $work/checkpoint ${RESUME:+--resume}
