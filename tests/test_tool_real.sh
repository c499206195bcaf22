#!/bin/sh
# Real data: DialogSum and FLAN-T5's vocabulary (in PEFT_SHARED) with a model of FLAN-T5-small's shape and random weights.
. tests/shell.sh
data=$shared/data/dialogsum/dialogsum.dev.jsonl

if [ ! -f "$data" ] || [ ! -f "$shared/tokenizers/t5/spiece.model" ]; then
    skip "no DialogSum at $data (set PEFT_SHARED)"
    finish
    exit
fi
mkdir -p $work/flan
cp "$shared/tokenizers/t5/spiece.model" $work/flan/
cat > $work/flan/config.json << 'END'
{"model_type": "t5", "architectures": ["T5ForConditionalGeneration"], "is_encoder_decoder": true, "vocab_size": 32128, "d_model": 512, "d_kv": 64,
 "d_ff": 1024, "num_layers": 8, "num_decoder_layers": 8, "num_heads": 6, "relative_attention_num_buckets": 32, "relative_attention_max_distance": 128,
 "feed_forward_proj": "gated-gelu", "tie_word_embeddings": false, "layer_norm_epsilon": 1e-06, "dropout_rate": 0.1, "pad_token_id": 0, "eos_token_id": 1,
 "decoder_start_token_id": 0}
END
common="train $work/flan --init --seed 1 --prompt Summarize.\\n\\n{{dialogue}} --completion {{summary}} --batch 2 --max-source 64 --max-target 32 --json"
kilobytes() { sed -n 's/^VmRSS:[^0-9]*\([0-9]*\) kB/\1/p' /proc/$1/status 2> /dev/null; }
# waits until step $2 of process $1 is reported
reach() { while kill -0 $1 2> /dev/null && ! grep -q "\"step\":$2," $work/out; do sleep 0.05; done; }
loss_at() { sed -n "s/.*\"step\":$1,.*\"loss\":\([0-9.]*\),\"eval.*/\1/p" $work/out; }

# all weights: the loss falls, memory stays as it is from the fourth step on
: > $work/out
$peft $common --data "$data" --method full --optimizer adafactor --lr 1e-3 --max-steps 12 --out $work/full > $work/out 2> $work/err &
pid=$!
reach $pid 4
early=$(kilobytes $pid)
reach $pid 11
late=$(kilobytes $pid)
wait $pid
got=$?
if [ $got -eq 0 ] && [ -s $work/full/model.safetensors ]; then ok; else bad "training all weights: exit status $got"; fi
rm -f $work/full/model.safetensors
if awk "BEGIN { exit !($(loss_at 1) > 9 && $(loss_at 12) < 0.8 * $(loss_at 1)) }"; then ok; else bad "the loss goes from $(loss_at 1) to $(loss_at 12)"; fi
if [ -z "$early" ] || [ -z "$late" ]; then echo "(this system does not tell the memory of a process)"
elif [ $late -lt $((early + early / 50)) ]; then ok; else bad "memory grows from $early to $late kB"; fi

# a LoRA, stopped by Ctrl-C and resumed: the same bits
lora="$common --max-steps 6 --lora-dropout 0.1 --warmup 2"
if $peft $lora --data "$data" --out $work/whole > $work/out 2> $work/err; then ok; else bad "a LoRA"; fi
: > $work/out
$peft $lora --data "$data" --out $work/parts > $work/out 2> $work/err &
pid=$!
reach $pid 2
kill -INT $pid
wait $pid
got=$?
if [ $got -eq 130 ] && [ -s $work/parts.checkpoint ] && grep -q -e "--resume" $work/err; then ok; else bad "interrupted: exit status $got"; fi
if $peft $lora --data "$data" --out $work/parts --resume > $work/out 2> $work/err; then ok; else bad "resumed"; fi
if cmp -s $work/whole/adapter_model.safetensors $work/parts/adapter_model.safetensors; then ok; else bad "the resumed adapter differs"; fi

finish
