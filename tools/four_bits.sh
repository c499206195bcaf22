#!/bin/sh
# What few bits cost and save, measured: the tables of the README.
#   sh tools/four_bits.sh [quality | training | memory] ...      all three: about 15 minutes on two cores
# quality: the model trained by `make demo`, its weights in 16, 8 and 4 bits. training: LoRA on f32 against QLoRA, five seeds each.
# memory: a step of a model of FLAN-T5-base's shape (random weights), with one saving after the other.
peft=build/peft
work=build/four_bits
mkdir -p $work
prompt='Summarize the following conversation.\n\n{{dialogue}}\n\nSummary:'

field() { sed -n "s/.*\"$1\":\([-0-9.e+]*\).*/\1/p" | head -n 1; }

quality() {
    $peft merge tests/data/model build/demo/lora $work/merged > /dev/null || exit 1
    echo "| weights | linear weights, bytes | bits per weight | perplexity | ROUGE-1 | ROUGE-L |"
    echo "|---|--:|--:|--:|--:|--:|"
    for row in f32 bf16 i8 fp4 nf4 "nf4 --double-quant"; do
        $peft quantize tests/data/model $work/few --type ${row%% *} > /dev/null 2>&1
        bytes=$($peft memory $work/merged --method lora --weights $row --linear-bytes)
        $peft eval $work/merged --weights $row --data build/demo/test.jsonl --prompt "$prompt" --completion '{{summary}}' --max-new-tokens 60 --json > $work/eval
        echo "| $row | $bytes | $(field perplexity < $work/eval) | |"
    done
}
