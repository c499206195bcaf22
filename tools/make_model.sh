#!/bin/sh
# Makes the project's own model from nothing: its data, its vocabulary, its weights.
#   sh tools/make_model.sh OUTPUT_FOLDER
# Half an hour on two cores with AVX-512 BF16 and OPTIONS="--compute bf16 --threads 2", which are given to every training;
# several elsewhere. EXAMPLES=130000 in the environment is a fifth of the long part, a small number makes all parts
# short, to try it out. SIZE=small or SIZE=large makes a model of about a quarter or four times the weights.
# Short texts first, where copying is learned soon; then heads are given positions to look at (tools/set_positions.c);
# then all tasks at a high rate, single sentences at a low one, and all tasks at that one: at 2e-3 the loss of questions
# about one sentence stands still, at 8e-4 it falls. Words of the summaries are in the vocabulary, but summaries in no
# task: what one is the model does not know.
set -eu
out=$1
work=build/model${SIZE:+-$SIZE}
case ${SIZE:-medium} in
small) d_model=64 d_kv=16 d_ff=128 ;;
medium) d_model=128 d_kv=32 d_ff=256 ;;
large) d_model=256 d_kv=64 d_ff=512 ;;
*) echo "make_model.sh: SIZE=$SIZE is not small, medium or large" >&2; exit 2 ;;
esac
most=${EXAMPLES:-700000}
at_most() { if [ $1 -lt $most ]; then echo $1; else echo $most; fi; }
mkdir -p $work/init "$(dirname "$out")"
sed "s/\"d_model\": [0-9]*/\"d_model\": $d_model/; s/\"d_kv\": [0-9]*/\"d_kv\": $d_kv/; s/\"d_ff\": [0-9]*/\"d_ff\": $d_ff/" \
    tools/model_config.json > $work/init/config.json
for task in copy list entity write shots; do build/make_data $task $(at_most 3000) 2; done > $work/short.jsonl
build/make_data mixture $(at_most 32000) 6 > $work/first.jsonl
for task in entity entity entity copy list write; do
    seed=$((${seed:-6} + 1))
    build/make_data $task $(at_most 2200) $seed
done > $work/sentences.jsonl
build/make_data mixture $most 16 > $work/mixture.jsonl
build/make_data mixture 400 1 --split validation > $work/validation.jsonl
for split in train validation test; do
    build/make_data mixture 20000 3 --split $split
    build/make_data dialogsum 3000 3 --split $split
done > $work/vocabulary.jsonl
echo '{"prompt": "Summarize the following conversation. Summary:"}' >> $work/vocabulary.jsonl
build/train_tokenizer --vocab 732 --output $work/init/spiece.model --jsonl prompt --jsonl completion \
    --jsonl dialogue --jsonl summary $work/vocabulary.jsonl
train="build/peft train --method full --epochs 1 --batch 32 --max-source 384 --max-target 64 --warmup 30 --seed 1
    --samples 0 --force ${OPTIONS:-}"
$train $work/init --init --data $work/short.jsonl --lr 3e-3 --schedule cosine --out $work/short
build/set_positions $work/short $work/positions
$train $work/positions --data $work/first.jsonl --lr 2e-3 --schedule cosine --out $work/first
$train $work/first --data $work/sentences.jsonl --lr 7e-4 --schedule constant --out $work/sentences
$train $work/sentences --data $work/mixture.jsonl --validation $work/validation.jsonl --eval-every 250 --lr 8e-4 \
    --schedule linear --type bf16 --out "$out" --checkpoint-every 250 --checkpoint $work/checkpoint ${RESUME:+--resume}
