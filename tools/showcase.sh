#!/bin/sh
# What fine-tuning does to a real instruction-tuned model, measured on one task.
#   sh tools/showcase.sh MODEL TRAIN TEST [OUT]
# TRAIN: records with a dialogue and a summary. TEST: records with a dialogue and one to three human summaries (summary, or summary1 to
# summary3). Compares prompts (zero, one and few examples in the context window) with prompt tuning, LoRA, QLoRA and, where PARTS says so, all
# weights, and prints a table; answers, logs and pages of curves lie in OUT (build/showcase).
# PROMPT: the instruction as the model was taught it; its default is ChatML, which SmolLM2 and Qwen speak. SYSTEM: its first turn.
# SHOT: how an example stands before the question.
# EPOCHS (2), LIMIT: test examples (100), WINDOW: tokens of a prompt (1024), THREADS, PARTS: "zero one few prompt lora qlora" and "full".
peft=${PEFT:-build/peft}
[ $# -ge 3 ] || { sed -n '2,9s/^# \{0,1\}//p' "$0" >&2; exit 2; }
model=$1 train=$2 test=$3 out=${4:-build/showcase}
system=${SYSTEM:-'<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n'}
prompt=${PROMPT:-$system'<|im_start|>user\nSummarize this conversation in one or two sentences.\n\n{{dialogue}}<|im_end|>\n<|im_start|>assistant\n'}
shot=${SHOT:-'{{prompt}}{{completion}}<|im_end|>\n'}
epochs=${EPOCHS:-2} limit=${LIMIT:-100} window=${WINDOW:-1024}
threads=${THREADS:+--threads $THREADS}
set -e
mkdir -p "$out"
head -n "$limit" "$test" > "$out/test.jsonl"
first=summary fields="--reference-field summary" references="--references $out/test.jsonl"
if head -n 1 "$out/test.jsonl" | grep -q '"summary1"'; then
    first=summary1 fields= references=
    for i in 1 2 3; do fields="$fields --reference-field summary$i" references="$references --references $out/test.jsonl"; done
fi

value() { sed -n "s/.*\"$1\":\([-0-9.e+]*\).*/\1/p" "$2" | tail -n 1; }

# answers NAME options...: the answers to the test, and their line of the table
answers() {
    name=$1
    shift
    start=$(date +%s)
    "$peft" eval "$model" --data "$out/test.jsonl" --prompt "$prompt" --completion "{{$first}}" --max-source "$window" \
        --output "$out/$name.jsonl" $threads --json "$@" > "$out/$name.eval" 2> "$out/$name.log"
    baseline=
    [ "$name" = zero ] || [ ! -e "$out/zero.jsonl" ] || baseline="--baseline $out/zero.jsonl"
    "$peft" score rouge --stemmer --bootstrap 1000 --predictions "$out/$name.jsonl" $references $fields $baseline --json > "$out/$name.score"
    row "$name" $(($(date +%s) - start))
}

# row NAME SECONDS: ROUGE against the human summaries, and what training took
row() {
    score() { awk "BEGIN { printf \"%.1f\", 100 * $(sed -n "/\"metric\":\"$1\",\"score\"/s/.*\"score\":\([0-9.]*\).*/\1/p" "$2") }"; }
    made="$out/$1.train" trained=- minutes=- memory=-
    if [ -e "$made" ]; then
        trained=$(value trainable "$made") memory=$(awk "BEGIN { printf \"%.0f MB\", $(value peak_bytes "$made") / 1e6 }")
        minutes=$(awk "BEGIN { printf \"%.1f\", $(value seconds "$made") / 60 }")
    fi
    p=$(sed -n '/"metric":"rougeL","test":"randomization"/s/.*"p":\([0-9.e-]*\).*/\1/p' "$out/$1.score")
    echo "| $1 | $(score rouge1 "$out/$1.score") | $(score rouge2 "$out/$1.score") | $(score rougeL "$out/$1.score") | ${p:--} |" \
         "$trained | $minutes | $memory | $2 |" | tee -a "$out/table.md"
}

# tuned NAME OPTIONS...: trains, then answers
tuned() {
    name=$1
    shift
    "$peft" train "$model" --data "$train" --split 0.05 --prompt "$prompt" --completion '{{summary}}' --max-source "$window" --epochs "$epochs" \
        --batch 2 --accumulation 4 --checkpoint-blocks --samples 0 --report "$out/$name.html" --out "$out/$name" --force $threads --json "$@" > "$out/$name.train" 2> "$out/$name.log"
    answers "$name" --adapter "$out/$name"
}

# shown NAME N: answers with N examples of the training set in the window
shown() {
    head -n "$2" "$train" | sed "s/\"summary\":/\"$first\":/" > "$out/shown.jsonl"
    answers "$1" --shots "$2" --examples "$out/shown.jsonl" --window "$window" --shot "$shot"
}

: > "$out/table.md"
{
    echo "| method | ROUGE-1 | ROUGE-2 | ROUGE-L | p (against zero) | trained | minutes | memory of training | seconds to answer |"
    echo "|---|--:|--:|--:|--:|--:|--:|--:|--:|"
} | tee -a "$out/table.md"
for part in ${PARTS:-zero one few prompt lora qlora}; do
    case $part in
    zero) answers zero ;;
    one) shown one 1 ;;
    few) shown few 3 ;;
    prompt) tuned prompt --method prompt --num-virtual-tokens 20 ;;
    lora) tuned lora --target-modules all-linear ;;
    qlora) tuned qlora --target-modules all-linear --weights nf4 --double-quant ;;
    full)
        "$peft" train "$model" --data "$train" --split 0.05 --prompt "$prompt" --completion '{{summary}}' --max-source "$window" --epochs "$epochs" \
            --method full --batch 2 --accumulation 4 --checkpoint-blocks --samples 0 --report "$out/full.html" --out "$out/full" --force $threads --json > "$out/full.train" 2> "$out/full.log"
        base=$model model=$out/full
        answers full
        model=$base ;;
    *) echo "showcase.sh: $part is not one of zero one few prompt lora qlora full" >&2 && exit 2 ;;
    esac
done
