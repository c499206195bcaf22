#!/bin/sh
# The tool does what it was told, or says why not: one named case each.
#   sh tests/test_contracts.sh [NAME ...]
peft=build/peft
model=tests/data/model
work=build/test_contracts
shared=${PEFT_SHARED:-../shared}
cases=$shared/cases
passed=0 failed=0 skipped=0
rm -rf $work && mkdir -p $work

# gives STATUS TEXT command...: ends with that status and, in what it prints, that text (a basic regular expression; "" for none)
gives() {
    status=$1 text=$2
    shift 2
    "$@" > $work/out 2> $work/err
    got=$?
    if [ $got -ne $status ]; then
        wrong=1; echo "  $*: exit status $got instead of $status"; head -n 4 $work/out $work/err | cut -c 1-300
    elif [ -n "$text" ] && ! cat $work/out $work/err | grep -q -e "$text"; then
        wrong=1; echo "  $*: no \"$text\" in"; head -n 4 $work/out $work/err | cut -c 1-300
    fi
}
lacks() { if cat $work/out $work/err | grep -q -e "$1"; then wrong=1; echo "  \"$1\" in the output"; fi; }
absent() { if [ -e "$1" ]; then wrong=1; echo "  $1 was left behind"; fi; }
same() { if ! cmp -s "$1" "$2"; then wrong=1; echo "  $1 and $2 differ"; fi; }
from() { if [ -e "$cases/$1" ]; then return 0; fi; skip=1; return 1; }  # a case of PEFT_SHARED
train() { status=$1 text=$2; shift 2; gives $status "$text" $peft train $model --out $work/x --max-steps 1 --batch 2 "$@"; rm -rf $work/x $work/x.checkpoint; }

printf '{"dialogue": "Tom: hi", "summary": "Tom greets.", "id": 1}\n{"dialogue": "Ann: bye", "summary": "Ann leaves.", "id": 2}\n' > $work/two.jsonl
printf '{"prompt": "a b c", "completion": "x y"}\n{"prompt": "d", "completion": "z"}\n' > $work/plain.jsonl
templates="--prompt {{dialogue}} --completion {{summary}}"

# ---- templates

c_template_single_braces() {
    train 2 '"{dialogue}" would stand there as it is; a field is written {{name}}. Fields of .*two.jsonl: dialogue, summary, id' \
        --data $work/two.jsonl --prompt '{dialogue}' --completion '{summary}'
    absent $work/x
}
c_template_flan_samsum() { from data/samsum.jsonl && train 2 'Fields of .*samsum.jsonl: id, summary, dialogue' --data $cases/data/samsum.jsonl --prompt '{dialogue}' --completion '{summary}'; }
c_template_without_a_field() { train 2 'no {{field}} in it, every prompt would be the same. Fields of' --data $work/two.jsonl --prompt 'Summarize.' --completion '{{summary}}'; }
c_template_unclosed() { train 2 'is not closed. Fields of .*two.jsonl: dialogue, summary, id' --data $work/two.jsonl --prompt '{{dialogue' --completion '{{summary}}'; }
c_completions_all_the_same() {
    train 1 'all 2 completions are "1": there is nothing to learn from them.*fields that there are: q, a, b' --data - --prompt '{{q}}' --completion '{{a}}' << END
{"q": "x", "a": 1, "b": 2}
{"q": "y", "a": 1, "b": 3}
END
}
c_missing_field_lists_the_fields() { train 1 'two.jsonl:1: field "dialog" of the prompt template is missing; there are: dialogue, summary, id' --data $work/two.jsonl --prompt '{{dialog}}' --completion '{{summary}}'; }
c_nested_fields() {
    from data/nest.jsonl && gives 0 '"prompt":"HiHello 3"' $peft generate $model --data $cases/data/nest.jsonl --prompt '{{messages[0].content}}{{ messages[-1].content }} {{n}}' --max-new-tokens 1 --json
    from data/nest.jsonl && gives 0 '"prompt":".*Paris..]  *Paris"' $peft generate $model --data $cases/data/nest.jsonl --prompt '{{answers.text}} {{answers.text[0]}}' --max-new-tokens 1 --json
    from data/nest.jsonl && gives 1 '"f" of the prompt template is null; there are: messages, answers, n, f' $peft generate $model --data $cases/data/nest.jsonl --prompt '{{f}}'
}

# ---- options

c_option_given_twice() {
    train 2 '\-\-seed is given twice' --data $work/plain.jsonl --seed 1 --seed 2
    gives 2 '\-\-json is given twice' $peft info $model --json --json
}
c_data_repeats_in_order() {
    printf 'q,a\nfirst,1\nsecond,2\n' > $work/table.csv
    gives 0 '' $peft eval $model --data $work/two.jsonl --data $work/table.csv --prompt '{{dialogue}}' --prompt 'Q {{q}}' --completion '{{summary}}' --completion '{{a}}' \
        --max-new-tokens 1 --output $work/said.jsonl
    sed 's/"prediction":"[^"]*",//' $work/said.jsonl > $work/asked
    printf '{"prompt":"Tom: hi","reference":"Tom greets."}\n{"prompt":"Ann: bye","reference":"Ann leaves."}\n{"prompt":"Q first","reference":"1"}\n{"prompt":"Q second","reference":"2"}\n' > $work/expected
    same $work/asked $work/expected
    train 2 '2 --prompt for 3 --data' --data $work/two.jsonl --data $work/two.jsonl --data $work/two.jsonl --prompt '{{id}}' --prompt '{{id}}'
    train 0 '' --data $work/plain.jsonl --data $work/plain.jsonl
}
c_adapter_repeats() {
    gives 0 '' $peft train $model --data $work/plain.jsonl --out $work/one --max-steps 2
    gives 0 '' $peft train $model --data $work/plain.jsonl --out $work/two --max-steps 3 --seed 4 --lr 0.1
    gives 0 '' $peft generate $model --adapter $work/one --adapter $work/two "a b" --max-new-tokens 3
    gives 0 'modules.*q,v' $peft info $model --adapter $work/one --adapter $work/two
    gives 2 'is given twice' $peft eval $model --adapter $work/one --adapter $work/two --data $work/plain.jsonl
}
c_method_does_not_use_it() {
    train 2 '\-\-method ia3 does not use --r; these do: lora,dora' --data $work/plain.jsonl --method ia3 --r 16
    train 2 '\-\-method prompt does not use --target-modules' --data $work/plain.jsonl --method prompt --target-modules q
    train 2 '\-\-method lora does not use --num-virtual-tokens' --data $work/plain.jsonl --num-virtual-tokens 3
    train 2 '\-\-weights is of a base that stays as it is' --data $work/plain.jsonl --method full --weights nf4
    train 2 '\-\-type is of whole models' --data $work/plain.jsonl --type bf16
    gives 2 '\-\-method ia3 does not use --r' $peft methods $model --method ia3 --r 4
    train 2 '\-\-method prefix does not use --exclude-modules' --data $work/plain.jsonl --method prefix --exclude-modules q
    train 0 '' --data $work/plain.jsonl --method dora --r 2 --alpha 4
    train 0 '' --data $work/plain.jsonl --exclude-modules v --lora-bias --trainable-token-indices embed_tokens:3,4
    train 0 '' --data $work/plain.jsonl --method ia3 --exclude-modules v --modules-to-save lm_head
}
c_command_does_not_use_it() {
    gives 2 '\-\-top-k is of sampling' $peft generate $model hello --top-k 3
    gives 2 '\-\-seed is of sampling' $peft generate $model hello --seed 3
    gives 2 '\-\-length-penalty is of beam search' $peft generate $model hello --length-penalty 2
    gives 2 '\-\-prompt is of --data FILE' $peft generate $model --prompt hello
    gives 2 'there is no option --completion' $peft generate $model --data $work/plain.jsonl --completion x
    gives 2 'prompts come from one place' $peft generate $model hello --data $work/plain.jsonl
    gives 2 '\-\-beams is of answers' $peft eval $model --data $work/plain.jsonl --loss-only --beams 2
    train 2 '\-\-keep-best needs held-out examples' --data $work/plain.jsonl --keep-best
    train 2 '\-\-beams is of answers' --data $work/plain.jsonl --beams 2
    train 2 '\-\-epochs and --max-steps exclude each other' --data $work/plain.jsonl --epochs 2
    gives 2 '\-\-double-quant is of --weights nf4' $peft generate $model hello --double-quant
    gives 2 '\-\-double-quant is of --type nf4' $peft quantize $model $work/x --type i8 --double-quant
    gives 2 '\-\-stream and --json' $peft generate $model hello --stream --json
    gives 2 '\-\-special is of texts' $peft tokenize $model --decode --special 3
    gives 2 '\-\-init is of --measure' $peft memory $model --init
    gives 2 '\-\-r is of --method lora' $peft memory $model --method full --r 4
}
c_options_of_other_tools() {
    for pair in --batch-size:batch --per_device_train_batch_size:batch --learning-rate:lr --learning_rate:lr --output-dir:out --rank:r --lora_r:r --lora-alpha:alpha \
                --num_train_epochs:epochs --max_steps:max-steps --gradient-accumulation-steps:accumulation -o:out --warmup_steps:warmup --optim:optimizer --overwrite:force; do
        train 2 "did you mean --${pair#*:}?" --data $work/plain.jsonl ${pair%:*} 3
    done
    gives 2 'did you mean --prompt-text?' $peft generate $model -p hello
    gives 2 'did you mean --max-source?' $peft memory $model --source 3
    gives 2 'did you mean --max-target?' $peft memory $model --target 3
    gives 2 'did you mean --num-virtual-tokens?' $peft memory $model --virtual-tokens 3
    gives 2 'did you mean --lora-dropout?' $peft memory $model --dropout 0.1
    gives 2 'did you mean --method?' $peft compare $model --methods lora
    gives 2 'did you mean --scale?' $peft combine $model a b --weights 1,2
    gives 2 'did you mean --tensors?' $peft info $model --tesnors
    gives 2 'the model is the first argument' $peft generate --model $model hello
    gives 2 'there is no option --zzzzzzz; see' $peft info $model --zzzzzzz
}
c_commands_of_other_tools() {
    for pair in trian:train finetune:train fine-tune:train evaluate:eval genrate:generate quantise:quantize convert:export; do
        gives 2 "did you mean peft ${pair#*:}?" $peft ${pair%:*}
    done
    gives 2 'there is no command xyzzy$' $peft xyzzy
}
c_names_in_any_case() {
    train 0 'adapter written' --data $work/plain.jsonl --method LoRA --schedule Cosine --optimizer AdamW --bias None
    gives 0 '' $peft generate $model hello --weights NF4 --max-new-tokens 1
}
c_dashes_behind_two_dashes() { gives 0 '"prompt":"-p hello"' $peft generate $model --json --max-new-tokens 1 -- "-p hello"; }

# ---- generate

c_line_breaks_in_prompts() {
    gives 0 '"prompt":"a\\nb"' $peft generate $model 'a\nb' --json --max-new-tokens 1
    gives 0 '"prompt":"a\\nb"' $peft generate $model --prompt-text 'a\nb' --json --max-new-tokens 1
}
c_line_breaks_in_stop_strings() {
    stories=$work/stories
    if [ ! -f "$shared/models/stories260K/stories260K.bin" ]; then skip=1; return; fi
    [ -d $stories ] || $peft convert $shared/models/stories260K/stories260K.bin $stories --quiet
    gives 0 '' $peft generate $stories 'Once upon a time' --max-new-tokens 120
    if [ "$(wc -l < $work/out)" -lt 2 ]; then wrong=1; echo "  no line break to stop at"; fi
    gives 0 '' $peft generate $stories 'Once upon a time' --max-new-tokens 120 --stop '\n'
    if [ "$(wc -l < $work/out)" -ne 1 ]; then wrong=1; echo "  not stopped at the line break"; fi
}
c_standard_input_is_one_prompt() {
    printf 'Tom: hi\nAnn: hello\n' > $work/dialogue
    gives 0 '"prompt":"Tom: hi\\nAnn: hello"' $peft generate $model --json --max-new-tokens 1 < $work/dialogue
    gives 0 '"prompt":"Ann: hello"' $peft generate $model --lines --json --max-new-tokens 1 < $work/dialogue
    if [ "$(wc -l < $work/out)" -ne 2 ]; then wrong=1; echo "  --lines: not two answers"; fi
    gives 2 'of standard input' $peft generate $model --lines hello
}
c_empty_prompts() {
    gives 0 '"prompt":""' $peft generate $model "" --json --max-new-tokens 1
    printf 'a\n\nb\n' > $work/lines
    gives 0 '' $peft generate $model --lines --max-new-tokens 2 < $work/lines
    if [ "$(wc -l < $work/out)" -ne 3 ]; then wrong=1; echo "  --lines: not three answers"; fi
    gives 0 '' $peft generate $model --max-new-tokens 2 < /dev/null
}
c_empty_prompts_of_decoders() {
    gpt2=$cases/models/gpt2-tiny-with-tokenizer
    from models/gpt2-tiny-with-tokenizer || return
    gives 0 '"prompt":""' $peft generate $gpt2 "" --json --max-new-tokens 2
    gives 0 '' $peft generate $gpt2 --lines --max-new-tokens 2 < $work/lines
    printf '{"prompt": "", "completion": "a"}\n{"prompt": "x", "completion": "b"}\n' > $work/empty.jsonl
    gives 0 'perplexity' $peft eval $gpt2 --data $work/empty.jsonl --max-new-tokens 2
}

# ---- nothing is cut in silence

c_cutting_is_told() {
    train 0 '1 of 2 prompts have more tokens than max_source lets in (3): [0-9]* tokens are cut off their ends; the first one.s end is "a b c"' --data $work/plain.jsonl --max-source 3
    gives 0 '1 of 2 completions have more tokens than max_target' $peft eval $model --data $work/plain.jsonl --max-target 2 --loss-only
    train 0 '"cut_examples":1,"cut_tokens":[1-9]' --data $work/plain.jsonl --max-source 3 --json
    train 0 '"cut_examples":0,"cut_tokens":0' --data $work/plain.jsonl --json
    lacks 'have more tokens'
}
c_window_cuts_are_told() {
    from models/gpt2-tiny-with-tokenizer || return
    long=$(printf 'word %.0s' $(seq 1 200))
    printf '{"prompt": "%s", "completion": "a b"}\n' "$long" > $work/long.jsonl
    gives 0 "1 of 1 examples have more tokens than the model's context window lets in" $peft eval $cases/models/gpt2-tiny-with-tokenizer --data $work/long.jsonl --loss-only
}
c_doubtful_prompts_are_told() {
    stories=$work/stories
    if [ ! -f "$shared/models/stories260K/stories260K.bin" ]; then skip=1; return; fi
    [ -d $stories ] || $peft convert $shared/models/stories260K/stories260K.bin $stories --quiet
    from data/tiny_bos.jsonl || return
    gives 0 'prompts begin with <s>, which is put before every prompt anyway' $peft eval $stories --data $cases/data/tiny_bos.jsonl --loss-only
    if [ "$(grep -c anyway $work/err)" -ne 1 ]; then wrong=1; echo "  not told once"; fi
    gives 0 '' $peft eval $stories --data $cases/data/tiny.jsonl --loss-only
    lacks anyway
    gives 0 '1 of 1 prompts have, with their answers, more tokens than the window' $peft generate $stories hello --max-new-tokens 600 --stop .
}
c_info_shows_the_window() {
    gives 0 'window .*no limit' $peft info $model
    gives 0 '"window":null' $peft info $model --json
    from models/gpt2-tiny-with-tokenizer && gives 0 'window  *[0-9][0-9]* tokens' $peft info $cases/models/gpt2-tiny-with-tokenizer
}
c_info_of_an_adapter() {
    [ -d $work/one ] || gives 0 '' $peft train $model --data $work/plain.jsonl --out $work/one --max-steps 2
    gives 0 'method  *LORA' $peft info $work/one
    gives 0 'target modules .*q.*v' $peft info $work/one
    gives 0 ' r  *8$' $peft info $work/one
    gives 0 'lora_A.weight' $peft info $work/one --tensors
    gives 0 '"peft_type": *"LORA"' $peft info $work/one --json
    gives 0 'lora, r 8, alpha 16, modules q,v' $peft info $model --adapter $work/one
    gives 1 'no/where' $peft info $model --adapter $work/no/where --json
    lacks '"model"'
    gives 0 '"method":"lora","r":8' $peft info $model --adapter $work/one --json
}

# ---- progress, labels, JSON

c_signs_of_life() {
    gives 0 'loss of examples: 2' $peft eval $model --data $work/two.jsonl $templates --max-new-tokens 2
    gives 0 'answers: 2' $peft eval $model --data $work/two.jsonl $templates --max-new-tokens 2
    train 0 'answers before training: 2' --data $work/two.jsonl $templates --validation $work/two.jsonl --max-new-tokens 2
    train 0 'answers after training: 2' --data $work/two.jsonl $templates --validation $work/two.jsonl --max-new-tokens 2
    train 0 '' --data $work/two.jsonl $templates --validation $work/two.jsonl --max-new-tokens 2 --quiet
    lacks 'answers'
}
c_losses_are_labelled() {
    train 0 'step 1/1  loss (smoothed) ' --data $work/plain.jsonl
    train 0 'loss of the last step [0-9.]*, smoothed [0-9.]*;' --data $work/plain.jsonl
    train 0 'best validation loss' --data $work/plain.jsonl --validation $work/plain.jsonl --max-new-tokens 1
}
c_null_instead_of_minus_one() {
    train 0 '"eval_loss":null' --data $work/plain.jsonl --json
    train 0 '"best_eval_loss":null' --data $work/plain.jsonl --json
    lacks ':-1'
}
c_report_shows_the_values_used() {
    gives 0 '' $peft train $model --data $work/plain.jsonl --out $work/reported --max-steps 1 --report $work/report.html
    cp $work/report.html $work/out
    for row in '<td>batch</td><td>8</td>' '<td>r</td><td>8</td>' '<td>alpha</td><td>16</td>' '<td>target modules</td><td>q,v</td>' '<td>method</td><td>lora</td>' '<td>max source</td><td>512</td>'; do
        if ! grep -q "$row" $work/report.html; then wrong=1; echo "  no $row in the report"; fi
    done
    lacks '(0:'
    if grep -q '<td>learning rate</td><td>0</td>' $work/report.html; then wrong=1; echo "  learning rate 0"; fi
}

# ---- outputs

c_outputs_only_with_force() {
    rm -rf $work/kept && gives 0 '' $peft train $model --data $work/plain.jsonl --out $work/kept --max-steps 1
    cp $work/kept/adapter_model.safetensors $work/before
    gives 2 'is there already; --force replaces it' $peft train $model --data $work/plain.jsonl --out $work/kept --max-steps 2
    same $work/before $work/kept/adapter_model.safetensors
    gives 0 '' $peft train $model --data $work/plain.jsonl --out $work/kept --max-steps 2 --force
    gives 0 '' $peft merge $model $work/kept $work/merged
    gives 2 'is there already' $peft merge $model $work/kept $work/merged
    gives 2 'is there already' $peft quantize $model $work/merged
    gives 2 'is there already' $peft combine $model $work/kept $work/kept --out $work/merged
    gives 0 '' $peft export $model $work/model.gguf
    gives 2 'is there already' $peft export $model $work/model.gguf
    gives 0 '' $peft export $model $work/model.gguf --force
    gives 0 '' $peft train $model --data $work/plain.jsonl --out $work/slashed// --max-steps 1
    mkdir -p $work/empty && gives 0 '' $peft merge $model $work/kept $work/empty
}
c_never_what_is_being_read() {
    rm -rf $work/base && cp -r $model $work/base && ln -sfn base $work/link
    [ -d $work/kept ] || gives 0 '' $peft train $model --data $work/plain.jsonl --out $work/kept --max-steps 1
    for out in $work/base $work/base/ $work/./base $work/link; do
        gives 2 'is being read' $peft merge $work/base $work/kept $out --force
        gives 2 'is being read' $peft quantize $work/base $out --force
        gives 2 'is being read' $peft train $work/base --data $work/plain.jsonl --method full --out $out --max-steps 1 --force
        gives 2 'is being read' $peft export $work/base $out --force
    done
    gives 2 'is being read' $peft combine $work/base $work/kept $work/kept --out $work/kept --force
    same $model/model.safetensors $work/base/model.safetensors
}

# ---- data

c_json_lists_and_lines() {
    printf '[{"prompt": "a", "completion": "b"},\n {"prompt": "c", "completion": "d"}]\n' > $work/list.json
    cp $work/plain.jsonl $work/lines.ndjson && cp $work/plain.jsonl $work/lines.JSONL
    for f in list.json lines.ndjson lines.JSONL; do gives 0 '^2 examples' $peft eval $model --data $work/$f --loss-only; done
    from data/samsum_train.json && gives 0 'examples: loss' $peft eval $model --data $cases/data/samsum_train.json $templates --loss-only
}
c_data_on_standard_input() {
    gives 0 '^2 examples' $peft eval $model --data - --loss-only < $work/plain.jsonl
    printf 'prompt,completion\na,b\nc,d\ne,f\n' > $work/three.csv
    gives 0 '^3 examples' $peft eval $model --data - --loss-only < $work/three.csv
    tr , '\t' < $work/three.csv > $work/three.tsv
    gives 0 '^3 examples' $peft eval $model --data - --loss-only < $work/three.tsv
    gives 0 '^3 examples' $peft eval $model --data - --data-format csv --loss-only < $work/three.csv
    gives 0 '^2 examples' $peft eval $model --data - --loss-only < $work/list.json
    gives 1 'standard input:1: field "x" of the prompt template is missing; there are: prompt, completion' $peft eval $model --data - --prompt '{{x}}' < $work/plain.jsonl
}
c_a_format_that_is_said() {
    cp $work/three.csv $work/three.txt
    gives 4 'ends in none of .jsonl, .json, .ndjson, .csv, .tsv; say what format it is' $peft eval $model --data $work/three.txt --loss-only
    gives 0 '^3 examples' $peft eval $model --data $work/three.txt --data-format CSV --loss-only
}
c_lone_carriage_returns() {
    from data/cr_only.csv && gives 0 '^2 examples' $peft eval $model --data $cases/data/cr_only.csv --loss-only
    printf 'a\rb\r' > $work/mac.txt && gives 0 '' $peft generate $model --lines --max-new-tokens 1 < $work/mac.txt
    if [ "$(wc -l < $work/out)" -ne 2 ]; then wrong=1; echo "  --lines: not two answers"; fi
    printf 'prompt,completion\ra,b\rc,d\r' > $work/mac.csv
    gives 0 '^2 examples' $peft eval $model --data $work/mac.csv --loss-only
}
c_byte_order_marks() {
    for f in plain.jsonl three.csv list.json; do
        { printf '\357\273\277'; cat $work/$f; } > $work/marked.${f#*.}
        gives 0 'examples: loss' $peft eval $model --data $work/marked.${f#*.} --loss-only
    done
    gpt2=$cases/models/gpt2-tiny-with-tokenizer
    if from models/gpt2-tiny-with-tokenizer; then
        printf 'hello there\n' > $work/text && gives 0 'perplexity' $peft perplexity $gpt2 --file $work/text
        cp $work/out $work/without && { printf '\357\273\277'; cat $work/text; } > $work/text.marked
        gives 0 'perplexity' $peft perplexity $gpt2 --file $work/text.marked
        cp $work/out $work/with && same $work/without $work/with
    fi
    printf '\357\273\277hello\n' > $work/marked
    gives 0 '"prompt":"hello"' $peft generate $model --json --max-new-tokens 1 < $work/marked
}
c_tables_without_quotes() {
    printf 'prompt\tcompletion\n"A\t1\nfine\t0\nB"\t1\nthird\t0\n' > $work/merge.tsv
    gives 1 'merge.tsv:2: a quoted field goes on over the end of the line' $peft eval $model --data $work/merge.tsv --loss-only
    gives 0 '^4 examples' $peft eval $model --data $work/merge.tsv --quotes none --loss-only
    gives 0 '^2 examples' $peft eval $model --data $work/merge.tsv --quotes rfc4180 --loss-only
    from data/tsv_silent_merge.tsv && gives 1 'quotes' $peft eval $model --data $cases/data/tsv_silent_merge.tsv --loss-only
    from data/tsv_silent_merge.tsv && gives 0 '^4 examples' $peft eval $model --data $cases/data/tsv_silent_merge.tsv --quotes none --loss-only
    from data/paws_quotes.tsv && gives 0 '^4 examples' $peft eval $model --data $cases/data/paws_quotes.tsv --quotes none --loss-only
}
c_compressed_files_are_refused() {
    for e in gz bz2 xz zst zip parquet; do printf 'x' > $work/data.jsonl.$e; done
    gives 4 'gunzip -k .*data.jsonl.gz' $peft eval $model --data $work/data.jsonl.gz --loss-only
    gives 4 'read_parquet(.*data.jsonl.parquet.*to_json' $peft eval $model --data $work/data.jsonl.parquet --loss-only
    for e in bz2 xz zst zip; do gives 4 "\\.$e files are not read; to convert it" $peft eval $model --data $work/data.jsonl.$e --loss-only; done
}
c_pipes_do_not_hang() {
    if ! command -v mkfifo > /dev/null || ! command -v timeout > /dev/null; then skip=1; return; fi
    rm -f $work/pipe.jsonl && mkfifo $work/pipe.jsonl
    gives 1 'is a pipe' timeout 20 $peft eval $model --data $work/pipe.jsonl --loss-only
    mkdir -p $work/piped && rm -f $work/piped/config.json && mkfifo $work/piped/config.json
    gives 1 'is a pipe' timeout 20 $peft info $work/piped
}

# ---- epochs

c_epochs_end_short() {
    for n in 3 10; do
        head -n $n << 'END' > $work/many.jsonl
{"prompt": "1", "completion": "a"}
{"prompt": "2", "completion": "b"}
{"prompt": "3", "completion": "c"}
{"prompt": "4", "completion": "d"}
{"prompt": "5", "completion": "e"}
{"prompt": "6", "completion": "f"}
{"prompt": "7", "completion": "g"}
{"prompt": "8", "completion": "h"}
{"prompt": "9", "completion": "i"}
{"prompt": "0", "completion": "j"}
END
        options=$([ $n = 3 ] && echo "--batch 8 --accumulation 4 --epochs 2" || echo "--batch 8 --epochs 3")
        rm -rf $work/x && gives 0 '' $peft train $model --data $work/many.jsonl --out $work/x $options --json
        all=$(sed -n 's/.*"event":"done".*"tokens":\([0-9]*\).*/\1/p' $work/out)
        rm -rf $work/x && gives 0 '' $peft train $model --data $work/many.jsonl --out $work/x --batch $n --epochs 1 --json
        once=$(sed -n 's/.*"event":"done".*"tokens":\([0-9]*\).*/\1/p' $work/out)
        times=$([ $n = 3 ] && echo 2 || echo 3)
        if [ "$all" -ne $((times * once)) ]; then wrong=1; echo "  $n examples: $all tokens, not $times times $once"; fi
        rm -rf $work/x
    done
}

for name in ${*:-$(sed -n 's/^c_\([a-z0-9_]*\)() {.*/\1/p' "$0")}; do
    wrong=0 skip=0
    c_$name
    if [ $wrong -ne 0 ]; then failed=$((failed + 1)); echo "FAIL: $name"
    elif [ $skip -ne 0 ]; then skipped=$((skipped + 1)); echo "skipped, in part or wholly: $name (no cases at $cases: set PEFT_SHARED)"
    else passed=$((passed + 1)); fi
done
echo "$passed passed, $failed failed, $skipped skipped"
[ $failed -eq 0 ]
