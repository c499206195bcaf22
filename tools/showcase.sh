#!/bin/sh
# What fine-tuning does to a real instruction-tuned model, measured on one task, and what it does to everything else.
#   sh tools/showcase.sh MODEL TRAIN TEST [OUT]
# TRAIN: records with a dialogue and a summary. TEST: records with a dialogue and one to three human summaries (summary, or summary1 to
# summary3). Compares prompts (zero, one and few examples in the context window) with prompt tuning, LoRA on 16-bit weights, QLoRA (a GGUF
# file's blocks as they are; of a folder, NF4) and, where PARTS says so, all weights, and all weights on a mixture with the model's own
# answers to general questions. Prints a table: ROUGE with 95 % intervals, paired tests against zero-shot, what training takes, and what is
# left of general knowledge (the perplexity of a text, ten questions). OUT (build/showcase) has the table, report.html with curves and
# samples side by side, one dialogue before and after, answers and logs. Rows that it has already are kept.
# PROMPT: the instruction as the model was taught it; its default is ChatML, which SmolLM2 and Qwen speak. SYSTEM: its first turn.
# QUESTION: a question of general knowledge, the same way. SHOT: how an example stands before the question.
# EPOCHS (2), LIMIT: test examples (100), EXAMPLES: of TRAIN (all), WINDOW: tokens of a prompt (1280), THREADS, COMPUTE (auto: bf16 where it is),
# TEXT: a file for the perplexity (one is here), MORE: further options of peft train, PARTS: "zero one few prompt lora qlora", "full", "mixture".
peft=${PEFT:-build/peft}
[ $# -ge 3 ] || { sed -n '2,16s/^# \{0,1\}//p' "$0" >&2; exit 2; }
model=$1 train=$2 test=$3 out=${4:-build/showcase}
system=${SYSTEM:-'<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n'}
prompt=${PROMPT:-$system'<|im_start|>user\nSummarize this conversation in one or two sentences.\n\n{{dialogue}}<|im_end|>\n<|im_start|>assistant\n'}
question=${QUESTION:-$system'<|im_start|>user\n{{question}}<|im_end|>\n<|im_start|>assistant\n'}
shot=${SHOT:-'{{prompt}}{{completion}}<|im_end|>\n'}
limit=${LIMIT:-100} window=${WINDOW:-1280}
common="--compute ${COMPUTE:-auto} --json ${THREADS:+--threads $THREADS}"
learn="--split 0.05 ${EXAMPLES:+--limit $EXAMPLES} --max-source $window --epochs ${EPOCHS:-2} --batch 2 --accumulation 4 --checkpoint-blocks --samples 0 --force $common $MORE"
set -e
mkdir -p "$out"
trap '[ $? -eq 0 ] || for log in "$out/$name.train.log" "$out/$name.log"; do [ ! -s "$log" ] || { echo "$log:"; tail -n 3 "$log"; } >&2; done' EXIT
head -n "$limit" "$test" > "$out/test.jsonl"
first=summary fields="--reference-field summary" references="--references $out/test.jsonl"
if head -n 1 "$out/test.jsonl" | grep -q '"summary1"'; then
    first=summary1 fields= references=
    for i in 1 2 3; do fields="$fields --reference-field summary$i" references="$references --references $out/test.jsonl"; done
fi

# ---- what is asked beside the task

sed "s/\"summary\"/\"$first\"/" > "$out/dialogue.jsonl" << 'END'
{"dialogue": "#Person1#: Good evening, Harbour Hotel. What can I do for you?\n#Person2#: Hello. I'd like a room for two nights, from Friday on. A quiet one, if you have it.\n#Person1#: Let me see. There is one left that looks onto the garden, at eighty-five dollars a night. Shall I keep it for you?\n#Person2#: Is breakfast included?\n#Person1#: It is, until ten o'clock.\n#Person2#: Good, I'll take it. My name is Tommy Sandals.\n#Person1#: Sandals, as one wears on the beach?\n#Person2#: Exactly. I'll come late, around eleven at night. Is that a problem?\n#Person1#: Not at all, Mr. Sandals. The night porter will have your key.", "summary": "Tommy Sandals books a quiet room with breakfast at the Harbour Hotel for two nights and will come late on Friday."}
END
cat > "$out/general.txt" << 'END'
Water covers most of the surface of the Earth. Nearly all of it is salt water in the oceans; only a small part is fresh, and most of that
is frozen in glaciers near the poles. The sun warms the sea, and some of the water rises into the air as vapor. High above the ground it
cools, turns into tiny drops and forms clouds. When the drops grow heavy enough, they fall as rain or snow. Rivers carry the water back to
the sea, and the cycle begins again.

People have always settled near rivers. A river gives water to drink, fish to eat and fertile soil, and boats can travel on it. Many of the
oldest cities in the world were built on the banks of the Nile, the Euphrates and the Indus. Their inhabitants learned to dig canals, to
store grain for bad years and to keep records of what they owned. Writing was invented there, first to count sheep and sacks of barley,
and later to tell stories and to write down laws.

A good scientist begins with a question. She looks closely at what happens, makes a guess about the reason, and then tries to prove herself
wrong. If the guess survives many such attempts, others begin to trust it. This is slow work, and most guesses turn out to be mistaken, but
it is the best way that anybody has found to learn how the world works. Medicine, electricity and the computer all came from it.

In the evening the market was almost empty. An old man packed the last apples into a wooden box and counted his coins. A boy asked whether
he could have the one with the brown spot. The man laughed, gave him two, and told him to come back in the morning, when the bread would
still be warm.
END
cat > "$out/questions.jsonl" << 'END'
{"question": "What is the capital of France?", "answer": "Paris"}
{"question": "What is the capital of Japan?", "answer": "Tokyo"}
{"question": "Who wrote Romeo and Juliet?", "answer": "Shakespeare"}
{"question": "What is the opposite of hot?", "answer": "cold"}
{"question": "How many days does a week have?", "answer": "seven|7"}
{"question": "Which planet do we live on?", "answer": "Earth"}
{"question": "What is frozen water called?", "answer": "ice"}
{"question": "In which country are the pyramids of Giza?", "answer": "Egypt"}
{"question": "Which gas do plants take in from the air?", "answer": "carbon dioxide|CO2"}
{"question": "Which animal says meow?", "answer": "cat"}
END
# What the model itself says to these stands for what it was taught before, in the mixture.
for topic in "the moon" "bicycles" "bread" "the heart" "volcanoes" "chess" "honey" "democracy" "the violin" "rust" "tides" "inflation" "penguins" "the telephone" "sleep" \
    "the number zero"; do
    for ask in "Explain %s in two sentences." "What is the most important fact about %s?" "Write one question about %s." "Tell me something surprising about %s."; do
        printf "{\"question\": \"$ask\", \"answer\": \"-\"}\n" "$topic"
    done
done > "$out/topics.jsonl"

value() { sed -n "s/.*\"$1\":\([-0-9.e+]*\).*/\1/p" "$2" | tail -n 1; }

# answers NAME MODEL options...: the answers to the test, to ten questions and to one dialogue, and their line of the table
answers() {
    name=$1 base=$2
    shift 2
    if [ ! -s "$out/$name.dialogue" ]; then
        start=$(date +%s)
        "$peft" eval "$base" --data "$out/test.jsonl" --prompt "$prompt" --completion "{{$first}}" --max-source "$window" \
            --output "$out/$name.jsonl" $common "$@" > "$out/$name.eval" 2> "$out/$name.log"
        echo "{\"answered_in\":$(($(date +%s) - start))}" >> "$out/$name.eval"
        case $name in one | few) ;; *)
            "$peft" eval "$base" --data "$out/questions.jsonl" --prompt "$question" --completion '{{answer}}' \
                --output "$out/$name.general.jsonl" $common "$@" > "$out/$name.general" 2>> "$out/$name.log"
            "$peft" perplexity "$base" --file "${TEXT:-$out/general.txt}" $common "$@" >> "$out/$name.general" 2>> "$out/$name.log" || : ;;  # of a decoder-only model
        esac
        "$peft" eval "$base" --data "$out/dialogue.jsonl" --prompt "$prompt" --completion "{{$first}}" --max-source "$window" \
            --output "$out/$name.dialogue.jsonl" $common "$@" > "$out/$name.partly" 2>> "$out/$name.log"
        mv "$out/$name.partly" "$out/$name.dialogue"
    fi
    if [ ! -s "$out/$name.score" ] || [ "$out/zero.jsonl" -nt "$out/$name.score" ]; then  # with tests against zero, if that is there
        baseline=
        [ "$name" = zero ] || [ ! -e "$out/zero.jsonl" ] || baseline="--baseline $out/zero.jsonl"
        "$peft" score rouge --stemmer --bootstrap 1000 --predictions "$out/$name.jsonl" $references $fields $baseline --json > "$out/$name.score"
    fi
    row "$name"
}

# score METRIC FILE: in percent, with its interval
score() {
    sed -n "s/.*\"metric\":\"$1\",\"score\":\([-0-9.e]*\).*\"low\":\([-0-9.e]*\),\"high\":\([-0-9.e]*\).*/\1 \2 \3/p" "$2" |
        awk '{ printf "%.1f (%.1f to %.1f)", 100 * $1, 100 * $2, 100 * $3 }'
}

# How many of the ten answers hold what they must.
right() {
    sed -n 's/.*"prediction":"\(.*\)","reference":"\([^"]*\)"}$/\2\t\1/p' "$1" |
        awk -F '\t' '{ n = split(tolower($1), any, "|"); for (i = 1; i <= n; i++) if (tolower($2) ~ "(^|[^a-z0-9])" any[i] "([^a-z0-9]|$)") { right++; break } } END { print right + 0 }'
}

# row NAME: ROUGE against the human summaries, what training took, and what is left of general knowledge
row() {
    made="$out/$1.train" trained=- minutes=- memory=- size=- foreseen=- known=-
    if [ -e "$made" ]; then
        trained=$(value trainable "$made") memory=$(awk "BEGIN { printf \"%.0f MB\", $(value peak_bytes "$made") / 1e6 }")
        minutes=$(awk "BEGIN { printf \"%.1f\", $(value seconds "$made") / 60 }")
        size=$(wc -c < "$(ls "$out/$1"/*model.safetensors | head -n 1)" | awk '{ printf $1 < 1e6 ? "%.0f kB" : "%.1f MB", $1 / ($1 < 1e6 ? 1e3 : 1e6) }')
    fi
    if [ -e "$out/$1.general" ]; then foreseen=$(value perplexity "$out/$1.general") known="$(right "$out/$1.general.jsonl") of 10"; fi
    p=$(sed -n '/"metric":"rougeL","test":"randomization"/s/.*"p":\([0-9.e-]*\).*/\1/p' "$out/$1.score")
    dropped=$(value prompts_with_dropped "$out/$1.eval")
    echo "| $1${dropped:+ ($(value per_prompt "$out/$1.eval") shown, fewer in $dropped prompts)} | $(score rouge1 "$out/$1.score") | $(score rouge2 "$out/$1.score") |" \
         "$(score rougeL "$out/$1.score") | $([ -z "$p" ] && echo - || printf '%.4f' "$p") | $trained | $minutes | $memory | $size | $(value answered_in "$out/$1.eval") |" \
         "$(echo "$foreseen" | awk '{ print /^-$/ ? $1 : sprintf("%.1f", $1) }') | $known |" | tee -a "$out/table.md"
    rows="$rows $1"
}

# trained NAME MODEL OPTIONS...: trains, then answers
trained() {
    name=$1 base=$2
    shift 2
    [ -s "$out/$name.dialogue" ] || "$peft" train "$base" --data "$train" --prompt "$prompt" --completion '{{summary}}' $learn \
        --report "$out/$name.html" --out "$out/$name" "$@" > "$out/$name.train" 2> "$out/$name.train.log"
    if [ -e "$out/$name/config.json" ]; then answers "$name" "$out/$name"
    else answers "$name" "$base" --adapter "$out/$name"; fi
}

# shown NAME N: answers with N examples of the training set in the window
shown() {
    head -n "$2" "$train" | sed "s/\"summary\":/\"$first\":/" > "$out/shown.jsonl"
    answers "$1" "$model" --shots "$2" --examples "$out/shown.jsonl" --window "$window" --shot "$shot"
}

# ---- a page: the table, curves, and samples side by side. `<` becomes an escape, so that no text ends the script.
list() { sed 's/</\\u003c/g' "$@" | paste -s -d , -; }
page() {
    cat << 'END'
<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Fine-tuning a real model</title>
<style>body{font:15px/1.5 system-ui,sans-serif;max-width:1200px;margin:2em auto;padding:0 1em}table{border-collapse:collapse;width:100%}
td,th{padding:.35em .6em;border-bottom:1px solid #bbb;text-align:left;vertical-align:top}pre{white-space:pre-wrap;margin:0;font-size:13px}</style>
<h1>Fine-tuning a real model</h1><div id="page"></div><script>
END
    printf 'const table = ['
    sed 's/[\\"]/\\&/g; s/</\\u003c/g; s/.*/"&"/' "$out/table.md" | paste -s -d , -
    printf '], records = [' && head -n 12 "$out/test.jsonl" | list && printf '], dialogue = ' && list "$out/dialogue.jsonl" && printf ', runs = {'
    for name in $rows; do
        printf '"%s": {curve: [' "$name"
        [ ! -e "$out/$name.train" ] || grep '"event":"step"' "$out/$name.train" | list
        printf '], answers: [' && head -n 12 "$out/$name.jsonl" | list && printf '], dialogue: ' && list "$out/$name.dialogue.jsonl" && printf '},'
    done
    cat << 'END'
};
const page = document.getElementById('page'), add = (to, tag, text) => { const e = to.appendChild(document.createElement(tag)); if (text !== undefined) e.textContent = text; return e; };
function grid(rows, pre) {
    const t = add(page, 'table');
    rows.forEach((row, i) => { const r = add(t, 'tr'); row.forEach(c => pre && i ? add(add(r, 'td'), 'pre', c) : add(r, i ? 'td' : 'th', c)); });
}
grid(table.filter(l => !l.startsWith('|--')).map(l => l.slice(2, -2).split(' | ')));
add(page, 'h2', 'Loss per token: smoothed in training (line), held out (dots)');
const trained = Object.entries(runs).filter(r => r[1].curve.length), dashes = ['none', '9 5', '2 4', '12 4 2 4', '5 5'], colors = ['#1f77b4', '#d62728', '#2ca02c', '#9467bd', '#ff7f0e'];
if (trained.length) {
    const steps = Math.max(...trained.map(r => r[1].curve.length)), all = trained.flatMap(r => r[1].curve.map(s => s.smoothed_loss)), low = Math.min(...all, ...trained.flatMap(r => r[1].curve.map(s => s.eval_loss ?? 99))), high = Math.max(...all);
    const x = s => 60 + 1100 * (s - 1) / Math.max(steps - 1, 1), y = v => 310 - 290 * (v - low) / (high - low || 1);
    let svg = '';
    for (let i = 0; i <= 4; i++) { const v = low + (high - low) * i / 4; svg += `<line x1="60" x2="1160" y1="${y(v)}" y2="${y(v)}" stroke="#ddd"/><text x="8" y="${y(v) + 4}">${v.toFixed(2)}</text>`; }
    trained.forEach(([name, r], k) => {
        const c = colors[k % colors.length];
        svg += `<line x1="${80 + 120 * k}" x2="${160 + 120 * k}" y1="346" y2="346" stroke-width="2" stroke="${c}" stroke-dasharray="${dashes[k % 5]}"/><polyline fill="none" stroke-width="2" stroke="${c}" stroke-dasharray="${dashes[k % 5]}" points="${r.curve.map(s => x(s.step) + ',' + y(s.smoothed_loss)).join(' ')}"/><text x="${80 + 120 * k}" y="340" fill="${c}">${name}</text>`;
        r.curve.filter((s, i) => s.eval_loss != null && s.eval_loss !== r.curve[i - 1]?.eval_loss).forEach(s => svg += `<circle cx="${x(s.step)}" cy="${y(s.eval_loss)}" r="5" fill="${c}"/>`);
    });
    add(page, 'div').innerHTML = `<svg viewBox="0 0 1200 350" width="100%" font-size="13">${svg}</svg>`;
}
const names = Object.keys(runs);
add(page, 'h2', 'One dialogue, before (zero) and after');
grid([['dialogue', 'human', ...names], [dialogue.dialogue, dialogue.summary1 ?? dialogue.summary, ...names.map(n => runs[n].dialogue.prediction)]], true);
add(page, 'h2', 'The first of the test');
grid([['dialogue', 'human', ...names], ...records.map((r, i) => [r.dialogue, r.summary1 ?? r.summary, ...names.map(n => runs[n].answers[i].prediction)])], true);
</script></html>
END
}

rows=
{
    echo "| method | ROUGE-1 | ROUGE-2 | ROUGE-L | p (against zero) | trained | minutes | allocated in training | file | seconds to answer | perplexity of a general text | questions right |"
    echo "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|"
} | tee "$out/table.md"
case $model in *.gguf) few= ;; *) few="--weights nf4 --double-quant" ;; esac
for part in ${PARTS:-zero one few prompt lora qlora}; do
    case $part in
    zero) answers zero "$model" ;;
    one) shown one 1 ;;
    few) shown few 3 ;;
    prompt) trained prompt "$model" --method prompt --num-virtual-tokens 20 ;;
    lora)
        wide=$model
        case $model in *.gguf)
            wide=$out/bf16
            [ -e "$wide" ] || "$peft" export "$model" "$wide" --type bf16 > "$out/export.log" 2>&1 ;;
        esac
        trained lora "$wide" --target-modules all-linear ;;
    qlora) trained qlora "$model" --target-modules all-linear $few ;;
    full) trained full "$model" --method full ;;
    mixture)
        [ -s "$out/general.jsonl" ] || "$peft" eval "$model" --data "$out/topics.jsonl" --prompt "$question" --completion '{{answer}}' \
            --output "$out/general.jsonl" $common > "$out/topics.eval" 2>&1
        trained mixture "$model" --method full --data "$out/general.jsonl" --prompt '{{prompt}}' --completion '{{prediction}}' ;;
    *) echo "showcase.sh: $part is not one of zero one few prompt lora qlora full mixture" >&2 && exit 2 ;;
    esac
done
page > "$out/report.html"
for name in $rows; do
    printf '\n%s: ' "$name"
    sed -n 's/.*"prediction":"\(.*\)","reference":"[^"]*"}$/\1/p' "$out/$name.dialogue.jsonl"
done
echo
echo "report: $out/report.html"
