#!/bin/sh
# peft benchmark: files of the official layouts, a model, recorded predictions, all forms of the table.
. tests/shell.sh

mkdir -p $work/glue/RTE $work/glue/CoLA $work/glue/STS-B $work/superglue/BoolQ $work/superglue/COPA $work/mmlu/dev $work/mmlu/test
printf 'index\tsentence1\tsentence2\tlabel\n0\tIt rains.\tIt is dry.\tnot_entailment\n1\tTom ate.\tTom ate.\tentailment\n' > $work/glue/RTE/dev.tsv
printf 'gj04\t1\t\tThe cat sat.\ngj04\t0\t*\tCat the sat.\nbc01\t1\t\tShe ran.\nbc01\t0\t*\tRan she he.\n' > $work/glue/CoLA/dev.tsv
printf 'index\tgenre\tfilename\tyear\told_index\tsource1\tsource2\tsentence1\tsentence2\tscore\n0\tm\tf\t1\t1\tn\tn\tA man.\tA boy.\t1.0\n1\tm\tf\t1\t2\tn\tn\tB.\tC.\t2.0\n' \
    > $work/glue/STS-B/dev.tsv
printf '{"question": "is ice cold", "passage": "Ice is frozen water.", "idx": 0, "label": true}\n{"question": "is fire cold", "passage": "Fire burns.", "idx": 1, "label": false}\n' \
    > $work/superglue/BoolQ/val.jsonl
printf '{"premise": "It rained.", "choice1": "It was dry.", "choice2": "The street got wet.", "question": "effect", "label": 1, "idx": 0}\n' > $work/superglue/COPA/val.jsonl
for split in dev test; do
    printf '"What is 2+2?",1,2,4,5,C\n"Once upon a",car,time,dog,cat,B\n"Choose a",a,b,c,d,A\n' > $work/mmlu/$split/astronomy_$split.csv
    printf '"Which is a bone?",femur,heart,skin,lung,A\n' > $work/mmlu/$split/anatomy_$split.csv
done

runs "help" 0 $peft benchmark --help; has "help" "--predictions DIR"; has "help" Examples
runs "nothing given" 2 $peft benchmark; has "nothing given" "glue superglue mmlu bbh"
runs "no such benchmark" 2 $peft benchmark clue --data $work/glue $model; has "no such benchmark" 'no benchmark "clue"'
runs "no such task" 2 $peft benchmark glue --data $work/glue --tasks RTE,SQuAD $model; has "no such task" SQuAD
runs "no such format" 2 $peft benchmark glue --data $work/glue --format xml $model; has "no such format" "text, json, csv, html"
runs "no such change" 2 $peft benchmark glue --data $work/glue --perturb typos,thunder $model; has "no such change" thunder
runs "an adapter too many" 2 $peft benchmark glue --data $work/glue --adapter x --adapter y $model; has "an adapter too many" "2 adapters for 1 models"
runs "no such model" 1 $peft benchmark glue --data $work/glue --tasks RTE $work/none; has "no such model" config.json
runs "no files at all" 1 $peft benchmark superglue --data $work/glue --tasks WiC,CB $model; has "no files at all" "CB/val.jsonl"

runs "what is there" 0 $peft benchmark glue --data $work/glue --quiet; has "what is there" "CoLA .* 4  $work/glue/CoLA/dev.tsv"; has "what is there" "QNLI/dev.tsv  (not there)"
runs "the same in JSON" 0 $peft benchmark glue --data $work/glue --json --tasks RTE; has "the same in JSON" '"examples":2,"missing":false,"labelled":true'

runs "glue" 0 $peft benchmark glue --data $work/glue --tasks RTE,CoLA,QQP $model --save $work/glue_out
has "glue" "style:plain"; has "glue" "CoLA  *4 .*matthews"; has "glue" "QQP/dev.tsv"; has "glue" "average  *2 of 3"; has "glue" "tokens/s"
cp $work/out $work/first
runs "its predictions, scored again" 0 $peft benchmark glue --data $work/glue --tasks RTE,CoLA,QQP --predictions $work/glue_out
if [ "$(grep '^RTE\|^CoLA\|^average' $work/first | cut -c1-36)" = "$(grep '^RTE\|^CoLA\|^average' $work/out | cut -c1-36)" ]; then ok; else bad "recorded predictions score otherwise"; fi
runs "T5's own prompts, by generation" 0 $peft benchmark glue --data $work/glue --tasks STS-B --style t5 $model; has "T5's own prompts" "pearson"
mkdir -p $work/right && printf 'index\tprediction\n0\tnot_entailment\n1\tentailment\n' > $work/right/RTE.tsv
runs "a perfect system" 0 $peft benchmark glue --data $work/glue --tasks RTE,CoLA --predictions $work/right; has "a perfect system" "RTE  *2  *100.00"
has "the other file is named" "right/CoLA.tsv"
printf 'index\tprediction\n0\tnot_entailment\n0\tentailment\n' > $work/right/RTE.tsv
runs "two answers to one question" 1 $peft benchmark glue --data $work/glue --tasks RTE --predictions $work/right; has "two answers" "RTE.tsv:3"

runs "superglue, against predictions" 0 $peft benchmark superglue --data $work/superglue --tasks BoolQ,COPA,WiC $model --save $work/super_out
runs "two columns" 0 $peft benchmark superglue --data $work/superglue --tasks BoolQ,COPA $model --predictions $work/super_out --format text
has "two columns" "mean win rate  *50.00  *50.00"
runs "two columns, JSON" 0 $peft benchmark superglue --data $work/superglue --tasks BoolQ --predictions $work/super_out --predictions $work/super_out --json
has "two columns, JSON" '"super_out"'
runs "HTML" 0 $peft benchmark superglue --data $work/superglue --tasks BoolQ,COPA,CB --predictions $work/super_out --format html --output $work/table.html
has "HTML: a missing file is named" "CB/val.jsonl"
cp $work/table.html $work/out; has "HTML" "<svg"; lacks "HTML without links" "http"
runs "a place that is not there" 1 $peft benchmark superglue --data $work/superglue --tasks BoolQ --predictions $work/super_out --output $work/none/x; has "a place" "none/x"

runs "mmlu" 0 $peft benchmark mmlu --data $work/mmlu --tasks astronomy,anatomy --limit 2 $model --format csv; has "mmlu" "mmlu,model,astronomy,STEM,accuracy,"
runs "five shots and none" 0 $peft benchmark mmlu --data $work/mmlu --tasks anatomy --shots 0 $model; has "no shots" "shots:0"
runs "mmlu in other words" 0 $peft benchmark mmlu --data $work/mmlu --tasks anatomy $model --shots 0 --perturb lowercase,gender; has "in other words" "robustness"; has "in other words" "fairness"
printf 'bone\tossicle\nwhich\twhat\n' > $work/words.tsv; printf 'bone ossicle\n' > $work/no_words.tsv
runs "mmlu in the user's words" 0 $peft benchmark mmlu --data $work/mmlu --tasks anatomy $model --shots 0 --perturb-words $work/words.tsv; has "the user's words" "fairness"; lacks "the user's words" "robustness"
runs "words without a tab" 1 $peft benchmark mmlu --data $work/mmlu --tasks anatomy $model --perturb-words $work/no_words.tsv; has "words without a tab" "no_words.tsv, line 1"

# A decoder with a window of 64 tokens, a byte each: shots are left out, and then the beginning of the question.
if [ -d "$shared/golden/gpt2/model" ]; then
    small=$work/small
    mkdir -p $small && cp "$shared"/golden/gpt2/model/* $small/ && chmod u+w $small/*
    awk 'BEGIN { printf "{\"\\u0120\":0,\"\\u010a\":1,\"<|endoftext|>\":2"
                 for (i = 33; i < 127; i++) { c = sprintf("%c", i); if (c == "\"" || c == "\\") c = "\\" c; printf ",\"%s\":%d", c, i }
                 print "}" }' > $small/vocab.json
    echo "#version: 0.2" > $small/merges.txt
    runs "a decoder" 0 $peft benchmark mmlu --data $work/mmlu --tasks astronomy,anatomy $small $model --limit 1; has "a decoder" "mean win rate"
    runs "a decoder's generation" 0 $peft benchmark glue --data $work/glue --tasks STS-B $small --max-new-tokens 8; has "a decoder's generation" "spearman"
else
    skip "no decoder at $shared/golden/gpt2 (set PEFT_SHARED)"
fi

if [ -d "$shared/data/bbh" ]; then
    bbh="bbh --data $shared/data/bbh --tasks boolean_expressions,navigate,snarks --limit 2"
    runs "bbh" 0 $peft benchmark $bbh $model --save $work/bbh_out; has "bbh" "average  *3 of 3"; has "bbh" "average of 23 tasks"; has "bbh" "|cot"
    for task in boolean_expressions navigate snarks; do if [ "$(wc -l < $work/bbh_out/$task.jsonl)" -eq 2 ]; then ok; else bad "no two predictions of $task"; fi; done
    runs "bbh, recorded" 0 $peft benchmark $bbh --predictions $work/bbh_out; has "bbh, recorded" "boolean_expressions  *2 "
    runs "bbh, direct" 0 $peft benchmark $bbh $model --direct --max-new-tokens 4 --shots 1; lacks "bbh, direct" "|cot"; has "bbh, direct" "shots:1"
    mkdir -p $work/bbh_right && printf 'So the answer is False.\nSo the answer is True.\n' > $work/bbh_right/boolean_expressions.txt
    runs "bbh, written elsewhere" 0 $peft benchmark $bbh --predictions $work/bbh_right --predictions $work/bbh_out; has "bbh, written elsewhere" "bbh_right/navigate.jsonl"
    has "bbh, written elsewhere" "mean win rate"
else
    skip "no BIG-Bench Hard at $shared/data/bbh (set PEFT_SHARED)"
fi

finish
