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
printf 'Say hi.\n' > $work/text.of
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
c_template_bars_in_the_completion() { train 2 'the completion template has ||| in it' --data $work/two.jsonl --prompt '{{dialogue}}' --completion '{{summary}} ||| b'; }
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
    printf '{"task":"two","prompt":"Tom: hi","reference":"Tom greets."}\n{"task":"two","prompt":"Ann: bye","reference":"Ann leaves."}\n{"task":"table","prompt":"Q first","reference":"1"}\n{"task":"table","prompt":"Q second","reference":"2"}\n' > $work/expected
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
    gives 2 '\-\-completion is of --examples FILE' $peft generate $model --data $work/plain.jsonl --completion x
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
    gives 2 'did you mean --shots?' $peft eval $model --num_fewshot 3
    gives 2 'did you mean --system?' $peft chat $model --system-prompt x
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
    for pair in trian:train finetune:train fine-tune:train evaluate:eval genrate:generate quantise:quantize save:export; do
        gives 2 "did you mean peft ${pair#*:}?" $peft ${pair%:*}
    done
    gives 2 'there is no command xyzzy$' $peft xyzzy
}
c_methods_of_other_tools() {
    for pair in p-tuning:ptuning p_tuning:ptuning P-Tuning:ptuning prompt_tuning:prompt prefix-tuning:prefix adapter:bottleneck lroa:lora ful:full 'qlora:lora --weights nf4'; do
        train 2 "unknown; did you mean --method ${pair#*:}?" --data $work/plain.jsonl --method "${pair%%:*}"
    done
    train 2 '\-\-method xyzzy: unknown; peft methods MODEL lists them' --data $work/plain.jsonl --method xyzzy
}
c_weights_that_are_quantized_already() {  # they stay as they are, so another format has no effect
    gives 0 '' $peft quantize $model $work/nf4 --type nf4 --force  # of T5, wo stays wide
    gives 0 'weights as int8: 64 of 72 are quantized already and stay so, such as encoder.*(nf4)' $peft generate $work/nf4 hello --weights i8 --max-new-tokens 1
    gives 0 '' $peft generate $work/nf4 hello --weights nf4 --embeddings bf16 --max-new-tokens 1
    lacks 'quantized already'
    gives 0 '' $peft train tests/data/chat --init --method full --data $work/plain.jsonl --max-steps 1 --out $work/decoder --force
    gives 0 '' $peft quantize $work/decoder $work/nf4_chat --type nf4 --force
    for type in i8 bf16; do
        gives 2 'weights cannot be kept as .*weight is quantized already (nf4), as are all' $peft generate $work/nf4_chat hello --weights $type --max-new-tokens 1
    done
}
c_warmup_as_long_as_the_run() {
    train 2 'warmup_steps is 5, so the rate of the only step is 0' --data $work/plain.jsonl --warmup 5
    gives 0 'warning: warmup_steps is 5, and the training has 2 steps: the rate gets to 1/5 of 0.001' \
        $peft train $model --data $work/plain.jsonl --out $work/x --max-steps 2 --lr 1e-3 --warmup 5
    gives 0 '' $peft train $model --data $work/plain.jsonl --out $work/x --force --max-steps 2 --warmup 1
    lacks warmup_steps
    rm -rf $work/x
}
c_names_in_any_case() {
    train 0 'adapter written' --data $work/plain.jsonl --method LoRA --schedule Cosine --optimizer AdamW --bias None
    gives 0 '' $peft generate $model hello --weights NF4 --max-new-tokens 1
}
c_zero_is_zero() {  # where a descriptor's 0 means the default, a 0 that is typed in is refused
    for option in r alpha batch epochs max-steps accumulation max-source max-target lr num-virtual-tokens threads lora-plus; do
        for value in 0 -1; do gives 2 "\-\-$option is $value, not above 0" $peft train $model --data $work/plain.jsonl --out $work/x --$option $value; done
    done
    for option in max-new-tokens beams top-p; do gives 2 "\-\-$option is 0, not above 0" $peft generate $model hello --$option 0; done
    gives 2 '\-\-batch is -1, not above 0' $peft memory $model --batch -1
    gives 2 '\-\-limit is 0, not above 0' $peft eval $model --data $work/plain.jsonl --limit 0
    gives 2 '\-\-top-p is nan, not above 0' $peft generate $model hello --temperature 1 --top-p nan
    gives 2 '\-\-shots is -1\|\-\-shots -1 is negative' $peft benchmark mmlu --data $work --shots -1
    train 0 '' --data $work/plain.jsonl --max-grad-norm 0 --weight-decay 0 --dropout 0 --warmup 0 --seed 0
    gives 0 '' $peft generate $model hello --beams 2 --length-penalty 0 --max-new-tokens 2
    gives 0 '' $peft grow $model $work/flat --token '<sep>' --noise 0
}
c_token_ids_that_are_none() {
    for id in 99999999 -1 4294967297; do gives 2 "there is no token $id: the vocabulary has" $peft tokenize $model --decode -- $id; done
}
c_benchmarks_that_are_not_there() {  # 57 subjects, one line
    mkdir -p $work/mmlu/test $work/mmlu/dev
    gives 1 'not found: .*abstract_algebra_test.csv, .* and [0-9]* more' $peft benchmark mmlu --data $work/mmlu
    if [ "$(cat $work/err $work/out | wc -l)" -ne 1 ]; then wrong=1; echo "  more than one line"; fi
    printf 'How many?,1,2,3,4,B\n' > $work/mmlu/test/anatomy_test.csv && cp $work/mmlu/test/anatomy_test.csv $work/mmlu/dev/anatomy_dev.csv
    gives 0 'left out, as not found: .*abstract_algebra_test.csv, .* and [0-9]* more' $peft benchmark mmlu --data $work/mmlu
    if [ "$(wc -l < $work/err)" -ne 1 ]; then wrong=1; echo "  more than one line of warnings"; fi
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
    gives 0 '' $peft eval $stories --data $cases/data/tiny_bos.jsonl --loss-only  # <s> is not put before <s>
    gives 0 '1 of 1 prompts have, with their answers, more tokens than the window' $peft generate $stories hello --max-new-tokens 600 --stop .
}
c_info_shows_the_window() {
    gives 0 'window .*no limit' $peft info $model
    gives 0 '"window":null' $peft info $model --json
    from models/gpt2-tiny-with-tokenizer && gives 0 'window  *[0-9][0-9]* tokens' $peft info $cases/models/gpt2-tiny-with-tokenizer
}
c_info_of_a_json_file() { gives 1 'config.json: no weight_map, so it is no index of safetensors files; give the folder that it is in' $peft info $model/config.json; }
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
c_eval_shows_how_far_it_is() {
    if ! command -v script > /dev/null; then skip=1; return; fi
    for i in $(seq 1 70); do printf '{"prompt": "add %s and %s", "completion": "%s"}\n' $i $i $((2 * i)); done > $work/seventy.jsonl
    gives 0 '' $peft eval $model --data $work/seventy.jsonl --loss-only
    cp $work/out $work/elsewhere
    script -q -e -c "$peft eval $model --data $work/seventy.jsonl --loss-only" $work/terminal > /dev/null 2>&1 < /dev/null
    for text in 'loss of examples: 32 of 70' 'loss of examples: 64 of 70' "$(cat $work/elsewhere)"; do
        if ! grep -q "$text" $work/terminal; then wrong=1; echo "  no \"$text\" on a terminal"; fi
    done
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
    gives 0 '' $peft grow $model $work/grown --token '<sep>'
    gives 2 'is there already' $peft grow $model $work/grown --token '<sep>'
    gives 0 '' $peft grow $model $work/grown --token '<sep>' --force
    gives 0 '' $peft train $model --data $work/plain.jsonl --out $work/slashed// --max-steps 1
    mkdir -p $work/empty && gives 0 '' $peft merge $model $work/kept $work/empty
}
c_never_what_is_being_read() {
    rm -rf $work/base && cp -r $model $work/base && ln -sfn base $work/link
    [ -d $work/kept ] || gives 0 '' $peft train $model --data $work/plain.jsonl --out $work/kept --max-steps 1
    for out in $work/base $work/base/ $work/./base $work/link; do
        gives 2 'is being read' $peft merge $work/base $work/kept $out --force
        gives 2 'is being read' $peft quantize $work/base $out --force
        gives 2 'is being read' $peft grow $work/base $out --token x --force
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

# ---- templates from files, mixtures

# Three templates for reviews as promptsource publishes its own: tags, quotes of all kinds, blocks, metadata.
reviews() {
    printf '{"title":"Great","content":"I loved it.","label":1}\n{"title":"Bad","content":"It broke.","label":0}\n{"title":"Good","content":"Works well.","label":1}\n{"title":"Awful","content":"Never again.","label":0}\n' > $work/reviews.jsonl
    printf '{"dialogue":"Tom: hi\\nAnn: hello","summary":"Tom greets Ann."}\n{"dialogue":"Ben: I am ill.","summary":"Ben is ill."}\n' > $work/talks.jsonl
    cat > $work/templates.yaml << 'END'
dataset: amazon_polarity
templates:
  1e90a24a-1c2b-43c5-a2d4-54a3e3e3f5a8: !Template
    answer_choices: No ||| Yes
    id: 1e90a24a-1c2b-43c5-a2d4-54a3e3e3f5a8
    jinja: 'Title: {{title}}

      Review: {{content}}

      Doesn''t it sound good? |||

      {{answer_choices[label]}}'
    metadata: !TemplateMetadata
      choices_in_prompt: false
      languages:
      - en
      metrics: &id001
      - Accuracy
      original_task: true
    name: sounds_good
    reference: ''
  3: !Template  # a block
    answer_choices: "Negative ||| \u0050ositive"
    jinja: |-
      {{content}}
      This review is ||| {{answer_choices[label]}}
    metadata: !TemplateMetadata {languages: [en], metrics: [Accuracy]}
    name: this review is
    reference: null
  4: !Template
    answer_choices: null
    jinja: >
      A review of {{title}}:
      {{content}} |||
      {% if label %}good{% else %}bad{% endif %}
    metadata: *id001
    name: "long \
      name"
END
}
c_promptsource_templates_of_a_file() {
    reviews
    gives 0 '"task":"sounds_good","examples":4' $peft eval $model --data $work/reviews.jsonl --template $work/templates.yaml --max-new-tokens 1 --json --output $work/said.jsonl
    gives 0 '"task":"long name","examples":4' $peft eval $model --data $work/reviews.jsonl --template $work/templates.yaml --max-new-tokens 1 --json
    cat $work/said.jsonl > $work/out
    for row in '"prompt":"Title: Great\\nReview: I loved it.\\nDoesn.t it sound good?",.*"reference":"Yes"' '"prompt":"It broke.\\nThis review is",.*"reference":"Negative"' \
               '"prompt":"A review of Bad: It broke.",.*"reference":"bad"'; do
        if ! grep -q "$row" $work/said.jsonl; then wrong=1; echo "  no $row"; fi
    done
    gives 0 '4 examples are none of their answers' $peft eval $model --data $work/reviews.jsonl --answer-choices 'a ||| b' --prompt '{{content}}' --completion '{{title}}' --max-new-tokens 1
    gives 0 'right for [0-9] of 4' $peft eval $model --data $work/reviews.jsonl --template "$work/templates.yaml:this review is" --max-new-tokens 1
    gives 0 '"choice_accuracy":' $peft eval $model --data $work/reviews.jsonl --template $work/templates.yaml:sounds_good --template "$work/templates.yaml:long name" --max-new-tokens 1 --json
    lacks 'this review'
}
c_templates_that_are_none() {
    reviews
    gives 1 'has no template "nope"; it has: sounds_good, this review is, long name' $peft eval $model --data $work/reviews.jsonl --template $work/templates.yaml:nope
    gives 1 'nothing.yaml: No such file' $peft eval $model --data $work/reviews.jsonl --template $work/nothing.yaml
    gives 1 'not a JSON list of' $peft eval $model --data $work/reviews.jsonl --template $work/reviews.jsonl
    printf '[["a"]]' > $work/pairs.json && gives 1 '1 is not \["prompt", "completion"\]' $peft eval $model --data $work/reviews.jsonl --template $work/pairs.json
    printf '{"x": 3}' > $work/pairs.json && gives 1 'x. is not \["prompt", "completion"\]' $peft eval $model --data $work/reviews.jsonl --template $work/pairs.json
    printf '[]' > $work/pairs.json && gives 1 'no templates in it' $peft eval $model --data $work/reviews.jsonl --template $work/pairs.json
    printf 'templates:\n  a: !Template\n    name: x\n    jinja: "never closed\n' > $work/t.yaml && gives 1 't.yaml:[45]: a quoted text that does not end' $peft eval $model --data $work/reviews.jsonl --template $work/t.yaml
    printf 'templates:\n  a: !Template\n    name: x\n   jinja: b\n' > $work/t.yaml && gives 1 't.yaml:4: ' $peft eval $model --data $work/reviews.jsonl --template $work/t.yaml
    printf 'templates:\n  a: !Template\n    name: x\n' > $work/t.yaml && gives 1 'template a has no jinja' $peft eval $model --data $work/reviews.jsonl --template $work/t.yaml
    printf 'a: b\n' > $work/t.yaml && gives 1 'no templates in it' $peft eval $model --data $work/reviews.jsonl --template $work/t.yaml
    gives 2 'standard input can be read once' $peft eval $model --data - --template $work/templates.yaml
    gives 2 '\-\-template and --prompt exclude each other' $peft eval $model --data $work/reviews.jsonl --template $work/templates.yaml --prompt '{{content}}'
}
c_templates_of_flan() {
    reviews
    gives 0 '"task":"talks 7","examples":2' $peft eval $model --data $work/talks.jsonl --template examples/summaries_flan.json --template-style flan --loss-only --json
    gives 0 '"prompt":"Dialogue:\\nBen: I am ill.\\n\\nSummary:"' $peft generate $model --data $work/talks.jsonl --template examples/summaries_flan.json:6 --template-style flan --max-new-tokens 1 --json
    gives 2 '\-\-template-style flan takes fields in single braces' $peft eval $model --data $work/talks.jsonl --template examples/summaries_flan.json --loss-only
    printf '{"sum": [["{dialogue}", "{summary}"], ["Sum {dialogue}", "{summary}"]], "other": [["{summary}", "{dialogue}"]]}' > $work/tasks.json
    gives 0 '^4 examples' $peft eval $model --data $work/talks.jsonl --template $work/tasks.json:sum --template-style flan --loss-only
    gives 0 'Sum Ben: I am ill.' $peft generate $model --data $work/talks.jsonl --template $work/tasks.json:sum.2 --template-style flan --max-new-tokens 1 --json
    gives 2 '\-\-template-style x is not jinja or flan' $peft eval $model --data $work/talks.jsonl --template-style x
    gives 2 '\-\-template-style is of --prompt' $peft eval $model --data $work/talks.jsonl --template-style flan
}
c_the_slides_typed_in() {
    reviews
    gives 0 '"event":"done".*"task":"prompt 1","examples":4.*"task":"prompt 3","examples":4.*"task":"talks 1","examples":2.*"task":"talks 7","examples":2' \
        $peft train $model --out $work/slides --force --max-steps 3 --json \
        --data $work/reviews.jsonl --answer-choices 'Negative ||| Positive' \
        --prompt 'Title: {{title}}\nReview: {{content}}\nIs the review positive or negative? ||| {{answer_choices[label]}}' \
        --prompt '{{content}}\nBased on this review, would the user recommend this product? ||| {% if label %}Yes{% else %}No{% endif %}' \
        --prompt 'Is this product review {{answer_choices | join(" or ") | lower}}?\nTitle: {{title}}\nReview: {{content}}\nAnswer: ||| {{answer_choices[label]}}' \
        --data $work/talks.jsonl --template examples/summaries_flan.json --template-style flan
    gives 0 'right for [0-9] of 4' $peft eval $model --adapter $work/slides --data $work/reviews.jsonl --answer-choices 'Negative ||| Positive' \
        --prompt '{{content}} ||| {{answer_choices[label]}}' --max-new-tokens 1
}
c_mixtures_with_their_own_templates() {
    reviews
    mixture="--data $work/reviews.jsonl --template $work/templates.yaml --task mood --data $work/talks.jsonl --prompt {{dialogue}} --completion {{summary}}"
    gives 0 '"tasks":\[{"task":"mood","examples":12,.*{"task":"talks","examples":2' $peft eval $model $mixture --loss-only --json
    gives 0 'mood  *12  *[0-9.]* ' $peft eval $model $mixture --loss-only
    gives 0 '"task":"mood","examples":1,.*"task":"talks","examples":1,' $peft train $model $mixture --cap 1 --out $work/mixed --force --max-steps 2 --json
    gives 0 '"task":"mood","examples":[4-9],.*"task":"talks","examples":[4-9]' $peft train $model $mixture --temperature-mix 1000 --out $work/mixed --force --max-steps 2 --json
    gives 0 '"held_out":[1-9].*"before":{"loss":[0-9.]*,"rouge":.*"after":{"loss":' $peft train $model $mixture --split 0.3 --out $work/mixed --force --max-steps 2 --max-new-tokens 1 --json --report $work/mixed.html
    for row in "<td>mood</td><td class=.n.>[0-9]" "<td>template</td><td>$work/templates.yaml</td>" '<td>prompt</td><td>{{dialogue}}</td>'; do
        if ! grep -q "$row" $work/mixed.html; then wrong=1; echo "  no $row in the report"; fi
    done
    gives 0 '"tasks":\[{"task":"one","examples":2' $peft eval $model --data $work/talks.jsonl --task one --prompt '{{dialogue}}' --completion '{{summary}}' --loss-only --json
    gives 0 '"tasks":\[{"task":"one","examples":2' $peft train $model --data $work/talks.jsonl --task one --prompt '{{dialogue}}' --completion '{{summary}}' --max-steps 1 --out $work/mixed --force --json
    gives 2 '\-\-task x names the --data before it' $peft eval $model --task x $mixture
    gives 2 'is named mood already' $peft eval $model --data $work/reviews.jsonl --task mood --task x
    gives 2 '\-\-temperature-mix is of several tasks' $peft train $model --data $work/talks.jsonl --prompt '{{dialogue}}' --completion '{{summary}}' --temperature-mix 2 --out $work/mixed --force
    gives 2 '\-\-cap is -1, not above 0' $peft train $model $mixture --cap -1 --out $work/mixed --force
}
c_task_losses_are_those_of_the_tasks() {
    reviews
    gives 0 '' $peft eval $model --data $work/reviews.jsonl --prompt '{{content}}' --completion '{{title}}' --data $work/talks.jsonl --prompt '{{dialogue}}' --completion '{{summary}}' --loss-only --json
    both=$(sed 's/.*"task":"reviews","examples":4,"loss":\([0-9.]*\).*"task":"talks","examples":2,"loss":\([0-9.]*\).*/\1 \2/' $work/out)
    gives 0 '' $peft eval $model --data $work/reviews.jsonl --prompt '{{content}}' --completion '{{title}}' --loss-only --json
    one=$(sed 's/.*"loss":\([0-9.]*\),.*/\1/' $work/out)
    gives 0 '' $peft eval $model --data $work/talks.jsonl --prompt '{{dialogue}}' --completion '{{summary}}' --loss-only --json
    if [ "$both" != "$one $(sed 's/.*"loss":\([0-9.]*\),.*/\1/' $work/out)" ]; then wrong=1; echo "  $both: not those of the files alone"; fi
}
c_one_object_is_no_data() {
    printf '{\n  "prompt": "a",\n  "completion": "b"\n}\n' > $work/pretty.json
    printf '{\n  "version": 1,\n  "data": [\n    {"prompt": "a", "completion": "b"}\n  ]\n}\n' > $work/wrapped.json
    gives 1 'is one JSON object over several lines' $peft eval $model --data $work/pretty.json --loss-only
    gives 1 "jq -c '.' " $peft eval $model --data $work/pretty.json --loss-only
    gives 1 "jq -c '.data\[\]' " $peft eval $model --data $work/wrapped.json --loss-only
    printf '{"prompt": "a", "completion": b}\n' > $work/bad.jsonl && gives 1 'bad.jsonl:1: JSON' $peft eval $model --data $work/bad.jsonl --loss-only
    lacks 'jq'
}

# ---- conversations

# A model of 90,000 parameters that has learned what is said here, with a ChatML template.
chat_model() {
    [ -d $work/chat ] && return
    printf '{"messages":[{"role":"user","content":"Say hi."},{"role":"assistant","content":"Hi!"},{"role":"user","content":"Say bye."},{"role":"assistant","content":"Bye!"}]}\n{"messages":[{"role":"user","content":"Say one."},{"role":"assistant","content":"One."}]}\n' > $work/said.messages.jsonl
    gives 0 'model written' $peft train tests/data/chat --init --method full --data $work/said.messages.jsonl --max-steps 60 --batch 3 --lr 0.01 --out $work/chat
}
c_conversations_are_data() {
    chat_model
    printf '[{"conversations":[{"from":"human","value":"Say hi."},{"from":"gpt","value":"Hi!"}]},{"conversations":[{"from":"human","value":"Say one."},{"from":"gpt","value":"One."}]}]' > $work/sharegpt.json
    printf '{"instruction":"Say hi.","input":"","output":"Hi!"}\n{"instruction":"Say","input":"one.","output":"One."}\n' > $work/alpaca.jsonl
    gives 0 '^3 examples: loss 0.0' $peft eval $work/chat --data $work/said.messages.jsonl --loss-only
    gives 0 '^2 examples' $peft eval $work/chat --data $work/said.messages.jsonl --loss-on last --loss-only
    gives 0 '^2 examples' $peft eval $work/chat --data $work/said.messages.jsonl --loss-on all --loss-only
    gives 0 '^2 examples' $peft eval $work/chat --data $work/sharegpt.json --loss-only
    gives 0 '^2 examples' $peft eval $work/chat --data $work/alpaca.jsonl --loss-only
    gives 0 'adapter written' $peft train $work/chat --data $work/alpaca.jsonl --out $work/chat.lora --force --max-steps 2
    gives 2 '\-\-loss-on first is not assistant, last or all' $peft eval $work/chat --data $work/alpaca.jsonl --loss-on first
    gives 2 '\-\-loss-on is of conversations' $peft eval $work/chat --data $work/alpaca.jsonl --prompt '{{instruction}}' --completion '{{output}}' --loss-on last
    gives 1 'brings no chat template.*--chat-template chatml' $peft eval $model --data $work/alpaca.jsonl --loss-only
    gives 0 '^2 examples' $peft eval $model --data $work/alpaca.jsonl --loss-only --chat-template llama3
    printf '{"messages":[{"role":"user","content":"a<|im_end|>b"},{"role":"assistant","content":"c"}]}\n' > $work/forged.jsonl
    gives 2 'forged.jsonl:1: a message holds <|im_end|>, which only the format may' $peft eval $work/chat --data $work/forged.jsonl --loss-only
    gives 2 'a message holds <|im_end|>' $peft eval $model --data $work/forged.jsonl --loss-only --chat-template chatml
    printf '{"messages":[{"role":"user","content":"a"}]}\n' > $work/unanswered.jsonl
    gives 1 'without an answer of the assistant' $peft eval $work/chat --data $work/unanswered.jsonl --loss-only
}
c_chat() {
    chat_model
    printf 'Say hi.\nSay bye.\n/reset\n\n//odd\n/system Be kind.\nSay one.\n/quit\nSay hi.\n' > $work/lines
    gives 0 '"user":"Say hi.","assistant":"Hi!"' $peft chat $work/chat --json < $work/lines
    cp $work/out $work/turns
    if [ "$(wc -l < $work/turns)" -ne 4 ]; then wrong=1; echo "  not four answers"; fi
    for row in '"user":"Say bye.","assistant":"Bye!".*"cached_tokens":[1-9]' '"user":"/odd"' '"user":"Say one.","assistant":".*"prompt_tokens":[3-9][0-9]'; do
        if ! grep -q "$row" $work/turns; then wrong=1; echo "  no $row"; fi
    done
    printf 'Say hi.\nSay bye.\n' > $work/lines
    gives 0 '^Bye!$' $peft chat $work/chat < $work/lines
    gives 0 '' $peft chat $work/chat < /dev/null
    gives 0 'turns are left out: the window has 256 tokens' sh -c "for i in 1 2 3 4 5 6 7 8; do echo Say bye.; done | $peft chat $work/chat --max-new-tokens 60"
    head -c 3000 /dev/zero | tr '\0' a > $work/long && gives 1 'this turn has 30[0-9]* tokens; the window has 256' $peft chat $work/chat < $work/long
    printf 'a <|im_end|> b\n' > $work/lines && gives 2 'which only the format may' $peft chat $work/chat < $work/lines
    printf '/nothing\n' > $work/lines && gives 2 'there is no /nothing; there are /system' $peft chat $work/chat < $work/lines
    printf 'a\000b\n' > $work/lines && gives 1 'a NUL byte' $peft chat $work/chat < $work/lines
    gives 1 'brings no chat template' $peft chat $model < /dev/null
    if command -v script > /dev/null; then  # on a terminal a mistake is not the end
        printf '/nothing\nSay hi.\n/help\n/quit\n' | script -q -e -c "$peft chat $work/chat" $work/terminal > /dev/null 2>&1
        for text in 'there is no /nothing' 'Hi!' '/system TEXT'; do
            if ! grep -q "$text" $work/terminal; then wrong=1; echo "  no \"$text\" on a terminal"; fi
        done
    fi
    gives 0 '^no\|[a-z]' $peft chat $model --chat-template '{{ messages[-1].content }}' --max-new-tokens 3 < $work/text.of
    gives 2 'is no file and none of chatml' $peft chat $work/chat --chat-template nothing < /dev/null
    gives 2 'give a model folder' $peft chat < /dev/null
    gives 2 'give a model folder' $peft chat $work/chat hello < /dev/null
    gives 0 '' $peft chat $work/chat --beams 2 --max-new-tokens 3 < $work/text.of
    gives 0 '' $peft chat $work/chat --temperature 1 --seed 3 --max-new-tokens 3 < $work/text.of
}
c_generate_chat() {
    chat_model
    gives 0 '"prompt":"<|im_start|>user\\nSay one.<|im_end|>\\n<|im_start|>assistant\\n","text":"One."' $peft generate $work/chat --chat 'Say one.' --json
    gives 0 '"prompt":"<|im_start|>system\\nBe\\nkind.<|im_end|>\\n<|im_start|>user\\na<' $peft generate $work/chat --chat a --system 'Be\nkind.' --json --max-new-tokens 1
    gives 0 '"prompt":"\[INST\] <<SYS>>\\nBe.\\n<</SYS>>\\n\\na \[/INST\]"' $peft generate $work/chat --chat a --system Be. --chat-template llama2 --json --max-new-tokens 1
    gives 0 '"prompt":"<|start_header_id|>user<|end_header_id|>\\n\\na<|eot_id|><|start_header_id|>assistant<|end_header_id|>\\n\\n"' \
        $peft generate $work/chat --chat a --chat-template llama3 --json --max-new-tokens 1
    gives 0 '"prompt":"<|im_start|>user\\na b c<' $peft generate $work/chat --chat --data $work/plain.jsonl --json --max-new-tokens 1
    gives 2 '\-\-system is of --chat' $peft generate $work/chat a --system x
    gives 2 '\-\-chat-template is of --chat' $peft generate $work/chat a --chat-template chatml
    gives 1 'brings no chat template' $peft generate $model --chat a
}

# ---- examples before the question

c_shots_and_their_window() {
    chat_model
    printf '{"prompt":"1+1?","completion":"2"}\n{"prompt":"2+2?","completion":"4"}\n{"prompt":"3+3?","completion":"6"}\n' > $work/sums.jsonl
    gives 0 'prompt 1: 2 of 2 examples, 21 tokens; the window has 256, 4 of them kept for the answer' $peft generate $work/chat --shots 2 --examples $work/sums.jsonl '5+5?' --max-new-tokens 4
    gives 0 '"prompt":"1+1? 2\\n\\n3+3? 6\\n\\n2+2?"' $peft generate $work/chat --shots 5 --examples $work/sums.jsonl '2+2?' --max-new-tokens 4 --json
    gives 0 '"window":20,"kept_for_answer":4,"shown":\[3\],"dropped":\[1\]' $peft generate $work/chat --shots 5 --examples $work/sums.jsonl '2+2?' --max-new-tokens 4 --window 20 --json
    gives 0 'dropped: example 1$' $peft generate $work/chat --shots 5 --examples $work/sums.jsonl '2+2?' --max-new-tokens 4 --window 20
    gives 0 'the window has no limit' $peft generate $model --shots 1 --examples $work/sums.jsonl --random --seed 3 '5+5?' --max-new-tokens 1
    gives 0 'prompt 3: ' $peft generate $work/chat --shots 1 --examples $work/sums.jsonl --data $work/sums.jsonl --max-new-tokens 1
    gives 0 '"prompt":"Add.\\nQ: 1+1? A: 2; Q: 5"' $peft generate $work/chat --shots 1 --examples $work/sums.jsonl --instruction 'Add.\n' --shot 'Q: {{prompt}} A: {{completion}}; ' --query 'Q: {{prompt}}' 5 --max-new-tokens 1 --json
    gives 1 'without any example the prompt has' $peft generate $work/chat --shots 1 --examples $work/sums.jsonl '2+2?' --window 3 --max-new-tokens 1
    gives 2 '\-\-shots needs --examples' $peft generate $work/chat --shots 1 '2+2?'
    gives 2 '\-\-random is of --shots' $peft generate $work/chat --random '2+2?'
    gives 2 '\-\-chat and --shots exclude' $peft generate $work/chat --chat --shots 1 --examples $work/sums.jsonl '2+2?'
    gives 0 '"shots":{"per_prompt":2,"prompts_with_dropped":3,"dropped":3}' $peft eval $work/chat --shots 2 --examples $work/sums.jsonl --data $work/sums.jsonl --window 24 --max-new-tokens 4 --json
    gives 0 '3 had no room in the window, before 3 of the prompts' $peft eval $work/chat --shots 2 --examples $work/sums.jsonl --data $work/sums.jsonl --window 24 --max-new-tokens 4 --output $work/shown.jsonl
    if ! grep -q '"prompt":"2+2? 4\\n\\n3+3?"\|"prompt":"2+2? 4\\n\\n1+1?"\|"prompt":"3+3? 6\\n\\n1+1?"' $work/shown.jsonl; then wrong=1; echo "  no shot in the predictions"; fi
}

# ---- stopped without warning

c_killed_twenty_times() {
    if ! command -v sleep > /dev/null; then skip=1; return; fi
    printf '{"prompt":"1+1?","completion":"2"}\n{"prompt":"2+2?","completion":"4"}\n{"prompt":"3+3?","completion":"6"}\n{"prompt":"4+4?","completion":"8"}\n' > $work/kill.jsonl
    run="$peft train tests/data/chat --init --method full --data $work/kill.jsonl --batch 2 --max-steps 400 --dropout 0.1 --seed 7 --json --threads 1"
    gives 0 '"event":"done"' $run --out $work/unharmed
    kills=0 turn=0
    while [ $kills -lt 20 ] && [ $turn -lt 60 ]; do
        turn=$((turn + 1)) wanted=$((4 + turn * 7 % 11))
        $run --out $work/harmed --checkpoint-every 3 --resume > $work/steps 2> $work/err &
        pid=$!
        while kill -0 $pid 2> /dev/null && [ "$(grep -c '"event":"step"' $work/steps)" -lt $wanted ]; do sleep 0.01; done
        kill -9 $pid 2> /dev/null && kills=$((kills + 1))
        wait $pid 2> /dev/null
        [ -d $work/harmed ] && break
    done
    if [ $kills -lt 20 ]; then wrong=1; echo "  killed $kills times only"; fi
    [ -d $work/harmed ] || gives 0 '"event":"done"' $run --out $work/harmed --checkpoint-every 3 --resume
    if grep -q '"step":1,' $work/out; then wrong=1; echo "  the last run began from the beginning"; fi
    same $work/unharmed/model.safetensors $work/harmed/model.safetensors
    absent $work/harmed.checkpoint
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

# ---- scores, on the cases of PEFT_SHARED

# scores TEXT METRIC PREDICTIONS REFERENCES [OPTION ...]: the output of peft score has that text
scores() {
    text=$1 metric=$2 said=$cases/metrics/$3 right=$cases/metrics/$4
    shift 4
    gives 0 "$text" $peft score $metric --predictions $said --references $right "$@"
}
c_equal_confidences_share_a_bin() {
    from metrics/conf_ties.txt || return
    for right in right_first right_alternating; do scores '^ece_mass  *0.4000' calibration conf_ties.txt $right.txt; done
    scores '^selective  *0.5000' calibration sel_conf.txt sel_right.txt
}
c_f1_of_the_positive_label_alone() { from metrics/ones.txt && scores '^f1  *1.0000' f1 ones.txt ones.txt; }
c_zero_of_a_metric_is_zero() {
    from metrics/meteor_h.txt || return
    scores '^meteor  *1.0000.*g:0|' meteor meteor_h.txt meteor_r.txt --gamma 0
    scores 'beta:0|' chrf meteor_h.txt meteor_r.txt --beta 0
    scores '|a:0|' meteor meteor_h.txt meteor_r.txt --alpha 0
    scores 'smooth:floor.0' bleu meteor_h.txt meteor_r.txt --smoothing floor --smooth-value 0
}
c_a_file_is_what_it_is() {  # records of a prediction and a reference that share no word, whatever the file is called
    for file in lines.json lines.jsonl lines.ndjson pred.csv pred.tsv; do
        from metrics/$file && scores '^rouge1  *0.0000' rouge $file $file
    done
}
c_lists_of_references() {
    from metrics/refs_list.jsonl && scores '^bleu  *100.0000  *nrefs:2' bleu refs_list.jsonl refs_list.jsonl
    from metrics/squad_hf.jsonl && scores '^exact_match  *1.0000' squad squad_hf.jsonl squad_hf.jsonl
    from metrics/two_fields.jsonl && scores '^bleu  *100.0000  *nrefs:2' bleu two_fields.jsonl two_fields.jsonl --field p --reference-field r1 \
        --references $cases/metrics/two_fields.jsonl --reference-field r2
}
c_p_values_of_two_lines() {  # of the four ways to swap them two are as good
    from metrics/nn.txt && scores 'below 30 neither p-values' rouge nn.txt rr.txt --baseline $cases/metrics/oo.txt
    from metrics/nn.txt && scores '^rouge1 .*randomization p = 0.5[01]' rouge nn.txt rr.txt --baseline $cases/metrics/oo.txt
}
c_three_human_summaries() {
    test=$shared/data/dialogsum/dialogsum.test.jsonl
    if [ ! -e $test ]; then skip=1; return; fi
    gives 0 '^rouge1  *0.5365' $peft score rouge --stemmer --predictions $shared/data/dialogsum/bart_test_output.txt \
        --references $test --reference-field summary1 --references $test --reference-field summary2 --references $test --reference-field summary3
}
c_output_regex_and_empty_answers() {
    from metrics/reg_pred.jsonl || return
    mkdir -p $work/said && cp $cases/metrics/reg_pred.jsonl $work/said/reg.jsonl
    gives 0 '^reg  *2  *100.00  *exact_str_match 100.00' $peft benchmark bigbench --data $cases/metrics/bigbench --tasks reg --predictions $work/said
    gives 0 '^boolq  *4  *0.00  *quasi_exact_match 0.00, exact_match 0.00' $peft benchmark helm --data $cases/metrics/helm_data --tasks boolq --predictions $cases/metrics/helm_predictions
    gives 0 '^multistep_arithmetic_two .*100.00' $peft benchmark bbh --data $cases/metrics/bbh_bom --tasks multistep_arithmetic_two --shots 0 --predictions $cases/metrics/bbh_bom_pred
}
c_a_small_config_costs_little() {  # a million blocks of nothing
    from reliability/layers_bomb && gives 1 '1000000 blocks' $peft info $cases/reliability/layers_bomb
}

for name in ${*:-$(sed -n 's/^c_\([a-z0-9_]*\)() {.*/\1/p' "$0")}; do
    wrong=0 skip=0
    if command -v "c_$name" > /dev/null; then c_$name; else wrong=1; echo "  there is no such case"; fi
    if [ $wrong -ne 0 ]; then failed=$((failed + 1)); echo "FAIL: $name"
    elif [ $skip -ne 0 ]; then skipped=$((skipped + 1)); echo "skipped, in part or wholly: $name (no cases at $cases: set PEFT_SHARED)"
    else passed=$((passed + 1)); fi
done
echo "$passed passed, $failed failed, $skipped skipped"
[ $failed -eq 0 ]
