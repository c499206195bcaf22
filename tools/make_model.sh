#!/bin/sh
# Makes the project's own model from nothing: its data, its vocabulary, its weights. About half an hour on two cores.
#   sh tools/make_model.sh OUTPUT_FOLDER
set -eu
out=$1
work=build/model
mkdir -p $work/init
cp tools/model_config.json $work/init/config.json
build/make_data copy 40000 2 > $work/copying.jsonl
build/make_data mixture 160000 1 > $work/mixture.jsonl
build/make_data mixture 400 1 --split validation > $work/validation.jsonl
head -n 40000 $work/mixture.jsonl > $work/vocabulary.jsonl
build/train_tokenizer --vocab 1436 --output $work/init/spiece.model --jsonl prompt --jsonl completion $work/vocabulary.jsonl
train="build/peft train --method full --epochs 1 --batch 32 --schedule cosine --warmup 200 --max-source 256 --max-target 64 --seed 1 --samples 0 --force"
$train $work/init --init --data $work/copying.jsonl --lr 1.5e-3 --out $work/copying
$train $work/copying --data $work/mixture.jsonl --validation $work/validation.jsonl --eval-every 250 --lr 1e-3 --type bf16 --out "$out" \
    --checkpoint-every 500 --checkpoint $work/checkpoint ${RESUME:+--resume}
