#!/bin/sh
# What few bits cost and save, measured: the tables of the README.
#   make four-bits, or sh tools/four_bits.sh [quality | training | memory] ...    all three: about 15 minutes on two cores
# quality: the model that `make demo` has trained, its weights in ever fewer bits. training: LoRA on f32 beside QLoRA, five seeds each.
# memory: a step of a model of FLAN-T5-base's shape with random weights, one saving after the other.
peft=build/peft
demo=build/demo
work=build/four_bits
summary='--completion {{summary}} --max-source 256 --max-target 64 --max-new-tokens 60'
prompt='Summarize the following conversation.\n\n{{dialogue}}\n\nSummary:'
set -e
mkdir -p $work

field() { sed -n "s/.*\"$1\":\([-0-9.e+]*\).*/\1/p" "$2" | head -n 1; }

quality() {
    echo "| weights | bytes | perplexity | ROUGE-1 | ROUGE-2 | ROUGE-L |"
    echo "|---|--:|--:|--:|--:|--:|"
    for weights in "f32" "bf16 --embeddings bf16" "i8 --embeddings bf16" "fp4 --embeddings bf16" "nf4 --embeddings bf16" "nf4 --double-quant --embeddings bf16"; do
        $peft memory $demo/full --method lora --weights $weights --json > $work/plan
        $peft eval $demo/full --weights $weights --data $demo/test.jsonl --prompt "$prompt" $summary --json > $work/eval
        rouge() { awk "BEGIN { printf \"%.2f\", 100 * $(field $1 $work/eval) }"; }
        echo "| ${weights% --embeddings bf16} | $(($(field weights $work/plan) + $(field scales $work/plan))) | $(field perplexity $work/eval) |" \
             "$(rouge rouge1) | $(rouge rouge2) | $(rouge rougeL) |"
    done
}

training() {
    for weights in "" "--weights nf4 --double-quant --optimizer adamw8bit --checkpoint-blocks"; do
        echo "LoRA r 8 on all linear layers $weights"
        $peft compare examples/model --method lora --target-modules all-linear --alpha 32 --lr 3e-3 --epochs 2 --batch 16 --warmup 10 --seeds 5 --seed 1 \
            --data $demo/train.jsonl --test $demo/test.jsonl --prompt "$prompt" $summary $weights --markdown
    done
}

memory() {
    cat > $work/config.json << END
{"model_type": "t5", "d_model": 768, "d_kv": 64, "num_heads": 12, "d_ff": 2048, "num_layers": 12, "num_decoder_layers": 12, "vocab_size": 32128,
 "feed_forward_proj": "gated-gelu", "tie_word_embeddings": false}
END
    echo "| LoRA r 8 on all linear layers, batch 1, 256 and 64 tokens | planned, MB | allocated, MB | resident, MB |"
    echo "|---|--:|--:|--:|"
    options=
    for saving in "" "--weights nf4" --double-quant --checkpoint-blocks "--optimizer adamw8bit" "--embeddings bf16"; do
        options="$options $saving"
        $peft memory $work --init --measure --method lora --batch 1 --max-source 256 --max-target 64 $options --json > $work/measured
        mega() { awk "BEGIN { printf \"%.0f\", $(field $1 $work/measured) / 1e6 }"; }
        echo "| ${saving:-f32 weights, AdamW} | $(mega planned) | $(mega allocated) | $(mega resident) |"
    done
}

for part in ${*:-quality training memory}; do
    case $part in
    quality | training | memory) $part ;;
    *) echo "four_bits.sh: $part is not quality, training or memory" >&2 && exit 2 ;;
    esac
done
