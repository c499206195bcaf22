#!/bin/sh
# Makes the project's own model from nothing: its data, its vocabulary, its weights.
#   sh tools/make_model.sh OUTPUT_FOLDER
# Half an hour on two cores with AVX-512 BF16 and OPTIONS="--compute bf16 --threads 2", which are given to every training;
# several elsewhere. EXAMPLES=110000 in the environment is a fifth of the long part, a small number makes all parts
# short, to try it out. SIZE=small or SIZE=large makes a model of about a quarter or four times the weights.
# Heads are given positions to look at (tools/set_positions.c), then short texts, where copying and who does what
# are learned in minutes, then all tasks. Heads first: trained at 3e-3 before they have positions, they never copy.
# Words of the summaries are in the vocabulary, but summaries in no task: what one is the model does not know.
set -eu
out=$1
work=build/model${SIZE:+-$SIZE}
case ${SIZE:-medium} in
small) d_model=64 d_kv=16 d_ff=128 ;;
medium) d_model=128 d_kv=32 d_ff=256 ;;
large) d_model=256 d_kv=64 d_ff=512 ;;
*) echo "make_model.sh: SIZE=$SIZE is not small, medium or large" >&2; exit 2 ;;
esac
most=${EXAMPLES:-550000}
at_most() { if [ $1 -lt $most ]; then echo $1; else echo $most; fi; }
mkdir -p $work/init "$(dirname "$out")"
sed "s/\"d_model\": [0-9]*/\"d_model\": $d_model/; s/\"d_kv\": [0-9]*/\"d_kv\": $d_kv/; s/\"d_ff\": [0-9]*/\"d_ff\": $d_ff/" \
    tools/model_config.json > $work/init/config.json
for task in copy list entity entity write shots; do
    seed=$((${seed:-1} + 1))
    build/make_data $task $(at_most 16000) $seed
done > $work/short.jsonl
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
build/set_positions $work/init $work/positions
$train $work/positions --data $work/short.jsonl --lr 1e-3 --schedule constant --out $work/short
$train $work/short --data $work/mixture.jsonl --validation $work/validation.jsonl --eval-every 250 --lr 1e-3 \
    --schedule linear --type bf16 --out "$out" --checkpoint-every 250 --checkpoint $work/checkpoint ${RESUME:+--resume}
