#!/bin/sh
# Pages and pictures of compare, sweep and forget, and the README's: well-formed, and saying what the tables say.
. tests/shell.sh

# has NAME FILE TEXT...: every one of the texts is in it, as it stands
has() {
    name=$1 file=$2
    shift 2
    for text in "$@"; do if grep -qF -e "$text" $file; then ok; else bad "$name: no \"$text\" in $file"; fi; done
}
# counts NAME N PATTERN FILE: so often it occurs in it
counts() {
    n=$(grep -o -e "$3" $4 | wc -l)
    if [ $n -eq $2 ]; then ok; else bad "$1: $n times \"$3\" instead of $2 in $4"; fi
}
# formed FILE: XML as it has to be (a page: each of its pictures), by a parser if one is there; else its elements are paired
formed() {
    if command -v python3 > /dev/null; then
        python3 - $1 2>> $work/err << 'END' && ok || bad "$1: not well-formed"
import re, sys, xml.dom.minidom
text = open(sys.argv[1], encoding="utf-8").read()
parts = [text] if sys.argv[1].endswith(".svg") else re.findall(r"<svg.*?</svg>", text, re.S)
assert parts
for part in parts: xml.dom.minidom.parseString(part.encode())
END
    elif [ $(grep -o '<svg' $1 | wc -l) -eq $(grep -o '</svg>' $1 | wc -l) ]; then ok; else bad "$1: not well-formed"; fi
}
# same_cells NAME FILE COLUMNS BEFORE AFTER: each cell of the Markdown table in out stands in the file between these
same_cells() {
    awk -F ' *\\| *' -v columns="$3" 'NR > 2 && /^\|/ { n = split(columns, c, ","); for (i = 1; i <= n; i++) print $(c[i] + 1) }' $work/out > $work/cells
    [ -s $work/cells ] || bad "$1: no cells"
    while read -r cell; do has "$1" $2 "$4$cell$5"; done < $work/cells
}

build/make_data copy 30 1 > $work/copy.jsonl
build/make_data copy 4 1 --split test > $work/copy.test.jsonl
build/make_data arithmetic 30 1 > $work/sums.jsonl
build/make_data arithmetic 4 1 --split test > $work/sums.test.jsonl
short="--max-steps 2 --batch 4 --max-new-tokens 12 --threads 1"
on="--data $work/copy.jsonl --test $work/copy.test.jsonl"

runs "compare" 0 $peft compare $model $on --method lora,ia3,full --seeds 2 $short --markdown --report $work/compare.html
formed $work/compare.html
same_cells "compare's table" $work/compare.html 1,2,3,4,5,6,7,8 '>' '</td>'
same_cells "compare's picture" $work/compare.html 1,2,4,5,6,7,8 '>' '</text>'
has "compare" $work/compare.html 'prefers-color-scheme:dark' 'width=device-width' '30 examples, 4 held out, 2 runs' 'peak memory of training'
counts "panels of compare" 6 'class="t"' $work/compare.html
for q in 'trained parameters' 'peak memory' 'size on disk'; do
    sed -n "/>$q/,/<.svg>/p" $work/compare.html > $work/panel
    counts "$q: all weights are the longest bar" 1 'class="c4 b" y="[0-9.]*" width="140.0"' $work/panel
    counts "$q: an adapter's is shorter" 0 'class="c[123] b" y="[0-9.]*" width="140.0"' $work/panel
    counts "$q: nothing was trained" 1 'class="c0 b" y="[0-9.]*" width="0.0"' $work/panel
done
runs "compare alone" 0 $peft compare $model $on --method norms --seeds 1 $short --markdown --report $work/compare.svg
formed $work/compare.svg
same_cells "compare alone" $work/compare.svg 1,2,4,5,6,7,8 '>' '</text>'
has "compare alone" $work/compare.svg '<svg xmlns="http://www.w3.org/2000/svg"' '<style>' '<rect class="p" width="100%"'
counts "names once per row of panels" 2 '>norms</text>' $work/compare.svg
if grep -q '<html\|<table' $work/compare.svg; then bad "compare alone: a page"; else ok; fi
runs "compare in a terminal" 0 $peft compare $model $on --method lora,bottleneck --seeds 2 $short
if awk 'length > 80 && !/^Answer/ { exit 1 }' $work/out; then ok; else bad "a table wider than 80"; fi
has "compare in a terminal" $work/out 'memory' 'seconds' 'answer' 'disk' 'a merged one takes 1.00x'
runs "compare --json" 0 $peft compare $model $on --method ia3 --seeds 1 $short --json
has "compare --json" $work/out '"answer_cost":' '"answer_ms":' '"memory":null' '"model":"tests/data/model"'
if awk -F '"memory":' '/"ia3"/ { exit !($2 + 0 > 1e6) }' $work/out; then ok; else bad "peak memory"; fi

sed 's/"d_ff": [0-9]*/"d_ff": 48/' tools/model_config.json > $work/config.json
mkdir -p $work/small && cp $work/config.json tests/data/model/spiece.model $work/small/
vocabulary=$(sed -n 's/.*"vocab_size": \([0-9]*\).*/\1/p' tests/data/model/config.json)
sed -i "s/\"vocab_size\": [0-9]*/\"vocab_size\": $vocabulary/" $work/small/config.json
runs "a smaller model" 0 $peft train $work/small --init --method full --data $work/copy.jsonl --max-steps 1 --samples 0 --out $work/smaller
runs "compare models" 0 $peft compare $model $work/smaller/ $on --method ia3,full --seeds 2 $short --markdown --report $work/sizes.svg
formed $work/sizes.svg
has "compare models" $work/sizes.svg 'parameters of the model' '>base model</text>' '>ia3</text>' '>full</text>'
if [ "$(sed -n 's/^| \([a-z]*\), .*base model.*/\1/p' $work/out | tr '\n' ' ')" = "smaller model " ]; then ok; else bad "models in the order of their size"; fi
counts "a curve per method and panel" 21 '<polyline' $work/sizes.svg
counts "with a point per model, where there is one" 17 'points="[0-9.]*,[0-9.]* [0-9.]*,[0-9.]* "' $work/sizes.svg
runs "compare with nothing" 1 $peft compare $model $work/nothing $on --method ia3 --seeds 1 $short
if grep -q 'seed' $work/err; then bad "trained before all models were read"; else ok; fi
runs "too many models" 2 $peft compare $model $model $model $model $model $model $model $model $model $model $on

runs "sweep" 0 $peft sweep $model $on --r 4,1,2 --seeds 2 $short --markdown --report $work/sweep.html
formed $work/sweep.html
same_cells "sweep" $work/sweep.html 1,2,3,4,5,6,7,8,9,10,11,12 '>' '</td>'
counts "panels of sweep" 11 'class="t"' $work/sweep.html
counts "points of sweep" 11 'points="[0-9.]*,[0-9.]* [0-9.]*,[0-9.]* [0-9.]*,[0-9.]* "' $work/sweep.html
x=$(sed -n 's/.*points="\([0-9.]*\),[0-9.]* \([0-9.]*\),[0-9.]* \([0-9.]*\),.*/\1 \2 \3/p' $work/sweep.html | head -n 1)
if echo "$x" | awk '{ exit !($1 < $2 && $3 - $2 > $2 - $1 - 0.2 && $3 - $2 < $2 - $1 + 0.2) }'; then ok; else bad "ranks 1, 2, 4 at $x"; fi
runs "sweep in a terminal" 0 $peft sweep $model $on --r 1 --seeds 2 $short
if awk 'length > 80 && !/^Answer/ { exit 1 }' $work/out; then ok; else bad "a table wider than 80"; fi
runs "sweep of one rank twice" 2 $peft sweep $model $on --r 1,2,1 $short
has "sweep of one rank twice" $work/err "1 is given twice"
runs "sweep of two models" 2 $peft sweep $model $model $on --r 1 $short

long='ein Name mit Umlauten, ä ö ü ä'  # cut inside of a letter
tasks="copy=$work/copy.jsonl,$work/copy.test.jsonl"
runs "forget" 0 $peft forget $model $tasks "a<b & c=$work/sums.jsonl,$work/sums.test.jsonl" $short --seeds 2 --markdown --report $work/forget.html
formed $work/forget.html
has "forget" $work/forget.html '>a&lt;b &amp; c</text>' '>mean of others</text>' 'full, all tasks: loss per token'
counts "panels of forget" 9 'class="t"' $work/forget.html
sed -n '/^| [a-z]* model /p' $work/out | awk -F ' *\\| *' '{ print $3 }' > $work/before  # of the first task
sed -n '/^| adapter/p' $work/out | awk -F ' *\\| *' '{ print $3 }' > $work/after
paste -d '|' $work/before $work/after > $work/pairs
if [ $(wc -l < $work/pairs) -eq 3 ]; then ok; else bad "forget's table"; fi
while IFS='|' read -r before after; do has "forget's picture" $work/forget.html ">$before → $after</text>"; done < $work/pairs
runs "forget alone" 0 $peft forget $model $tasks "$long=$work/sums.jsonl,$work/sums.test.jsonl" $short --report $work/forget.svg
formed $work/forget.svg

for c in compare sweep; do runs "$c's report in nothing" 1 $peft $c $model $on $short --seeds 1 --report $work/no/report.svg; done
if grep -q 'seed' $work/err; then bad "trained before the report's place was known"; else ok; fi
runs "forget's report in nothing" 1 $peft forget $model $tasks $tasks $short --report $work/no/report.html

runs "memory" 0 $peft memory $model --batch 2 --max-source 64 --max-target 16 --svg $work/memory.svg
formed $work/memory.svg
has "memory" $work/memory.svg 'prefers-color-scheme:dark' "$(awk '$1 == "total" { print $2, $3 }' $work/out)</text>"

methods="base few_shot prompt lora full mixture"
for m in $methods; do
    printf '"%s":{"rougeL":0.%d,"known_words":0.918,"faithful":1,"old_tasks":0,"trainable":119808,"bytes":494321},' $m ${#m}
done | sed 's/^/{/; s/$/"examples":120}/' > $work/report.json
build/picture $work/report.json > $work/demo.svg 2> $work/err; [ $? -eq 0 ] && ok || bad "picture"
formed $work/demo.svg
has "picture" $work/demo.svg 'LoRA r 8, all linear' '119,808 weights, 494 kB' '>40.0</text>' '>91.8</text>' '120 held-out dialogues'
counts "a bar of 70 percent" 1 'class="c4 b" y="[0-9.]*" width="69.3"' $work/demo.svg
for garbage in 's/"lora"/"lore"/' 's/"faithful":1/"faithful":null/' 's/"bytes":494321/"bytes":"many"/g' 's/0.918/nan/' 's/"examples"/"dialogues"/' 's/.*//'; do
    sed "$garbage" $work/report.json > $work/garbage.json
    runs "picture of $garbage" 1 build/picture $work/garbage.json
    has "picture of $garbage" $work/err 'garbage.json: '
done
runs "picture of nothing" 1 build/picture $work/nothing.json
runs "picture" 2 build/picture

finish
