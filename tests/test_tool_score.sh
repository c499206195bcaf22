#!/bin/sh
# peft score: labels, numbers, two systems, the settings of BLEU and METEOR.
. tests/shell.sh

# labels: spam is right twice, said twice and true three times; eggs is a class of its own
printf 'spam\nham\nham\nspam\neggs\n' > $work/said
printf 'spam\nspam\nham\nspam\nham\n' > $work/true
runs "labels" 0 $peft score accuracy f1 mcc --positive spam --predictions $work/said --references $work/true
has "accuracy" "^accuracy  *0.6000"; has "f1 of spam" "^f1  *0.8000   P 1.0000  R 0.6667"; has "macro: (0.8 + 0.5 + 0) / 3" "^f1_macro  *0.4333"; has "micro" "^f1_micro  *0.6000"
has "weighted: (3 * 0.8 + 2 * 0.5) / 5" "^f1_weighted  *0.6800"; has "mcc" "^mcc  *0.36"
runs "no such label" 2 $peft score f1 --positive bacon --predictions $work/said --references $work/true; has "no such label" bacon
runs "two files of labels" 2 $peft score mcc --predictions $work/said --references $work/true --references $work/true; has "two files of labels" "one file"
printf '1\n0\n1\n0\n' > $work/p; printf '1\n0\n0\n0\n' > $work/r
runs "0 and 1" 0 $peft score f1 mcc auc --predictions $work/p --references $work/r --json
has "the positive class is 1" '"metric":"f1","score":0.666666666667,'; has "mcc" '"metric":"mcc","score":0.57735026919,'; has "auc" '"metric":"auc","score":0.833333333333,'
printf '1\n2\n3\n4.5\n' > $work/p; printf '2\n4\n6\n9\n' > $work/r
runs "correlations" 0 $peft score pearson spearman --predictions $work/p --references $work/r; has "pearson" "^pearson  *1.0000"; has "spearman" "^spearman  *1.0000"
printf '1\n2\nthree\n4.5\n' > $work/bad
runs "a word among numbers" 1 $peft score pearson --predictions $work/bad --references $work/r; has "a word among numbers" 'bad: text 3, "three"'
printf '5\n5\n5\n5\n' > $work/flat
runs "a constant" 1 $peft score pearson --predictions $work/flat --references $work/r

# two systems
i=0
while [ $i -lt 40 ]; do
    echo "the cat number $i sat on the old mat by the door" >> $work/human
    echo "the cat number $i sat on the mat by the door" >> $work/good
    echo "a dog $i sat near the door of my house" >> $work/poor
    i=$((i + 1))
done
runs "two systems" 0 $peft score bleu chrf chrf++ ter rouge meteor cider coco_rouge squad accuracy --predictions $work/good --baseline $work/poor --references $work/human --samples 200
for m in bleu chrf chrf++ ter rouge1 rouge2 rougeL rougeLsum meteor cider coco_rouge token_f1; do
    has "$m: bootstrap" "^$m  *baseline .* bootstrap p = 0.0050 \*"; has "$m: randomization" "^$m  *baseline .* randomization p = 0.0050 \*"
done
has "accuracy of both is 0" "^accuracy  *baseline 0.0000, this 0.0000"
runs "a system against itself" 0 $peft score bleu --predictions $work/good --baseline $work/good --references $work/human --samples 100; has "against itself" "(+0.0000), bootstrap p = [0-9.]*   "
runs "a baseline that is too short" 1 $peft score bleu --predictions $work/good --baseline $work/said --references $work/human; has "too short" "good has 40 texts, .*said has 5"
runs "scores of whole lists" 0 $peft score nist coco_bleu --predictions $work/good --baseline $work/poor --references $work/human --samples 100
for m in nist coco_bleu4; do has "$m: bootstrap" "^$m  *baseline .* bootstrap p = 0.0099 \*"; has "$m: randomization" "^$m  *baseline .* randomization p = 0.0099 \*"; done
runs "no paired test" 2 $peft score diversity --predictions $work/good --baseline $work/poor; has "no paired test" diversity
runs "no references" 2 $peft score bleu --predictions $work/good; has "no references" "bleu needs --references"
runs "intervals" 0 $peft score rouge bleu chrf ter meteor nist --predictions $work/good --references $work/human --bootstrap 50 --json
has "rouge's interval" '"metric":"rougeL".*"low":'
for m in bleu chrf ter meteor nist; do has "$m's interval" "\"metric\":\"$m\",\"test\":\"interval\",\"score\":[0-9.]*,\"mean\":[0-9.]*,\"ci\":[0-9]"; done
i=0
while [ $i -lt 60 ]; do
    echo $((i % 2)) >> $work/truth
    echo $(((i % 7 == 0) != (i % 2))) >> $work/nearly; echo $((i / 3 % 2)) >> $work/guess
    echo "0.$((i % 2 * 3 + i % 5 + 1))" >> $work/sure; echo "0.$((i / 2 % 7 + 1))" >> $work/unsure
    i=$((i + 1))
done
runs "labels of two systems" 0 $peft score f1 mcc --predictions $work/nearly --baseline $work/guess --references $work/truth --samples 200
has "f1" "^f1  *baseline 0.6667, this 0.8525.* bootstrap p = 0.0[0-9]* \*"; has "mcc" "^mcc  *baseline 0.3333, this 0.7004.* randomization p = 0.0[0-9]* \*"
runs "numbers of two systems" 0 $peft score auc pearson spearman calibration --predictions $work/sure --baseline $work/unsure --references $work/truth --samples 200
for m in auc pearson spearman; do has "$m" "^$m  *baseline [-0-9.]*, this 0\.[0-9]* (+0.*bootstrap p = 0.00[0-9]* \*"; done
has "calibration" "^brier  *0\."; has "calibration after Platt scaling" "^platt_ece  *0\."
runs "the same labels twice" 0 $peft score mcc --predictions $work/guess --baseline $work/guess --references $work/truth --samples 50; has "twice" "(+0.0000), bootstrap p = [0-9.]*   "

# every line, and the predictions by themselves
runs "lines" 0 $peft score rouge bleu chrf ter meteor accuracy --predictions $work/good --references $work/human --lines $work/lines.jsonl
if [ "$(wc -l < $work/lines.jsonl)" -eq 40 ]; then ok; else bad "not one line per line"; fi
cp $work/lines.jsonl $work/out; has "lines" '^{"line":40,"rouge1":0.9[0-9]*,.*"bleu":[0-9.]*,"chrf":[0-9.]*,"ter":[0-9.]*,"meteor":0.[0-9]*,"accuracy":0}$'
runs "a place that is not there" 1 $peft score bleu --predictions $work/good --references $work/human --lines $work/none/x; has "a place" "none/x"
runs "diversity" 0 $peft score diversity --predictions $work/good; has "diversity" "^longest  *11.0000"; has "diversity" "^distinct-4  *0\.[0-9]"
printf 'he saw her and his car\nyou fool\n' > $work/a; printf 'fool\n' > $work/b
runs "bias and toxicity" 0 $peft score bias toxicity --words $work/b --predictions $work/a; has "bias" "^bias  *0\."; has "toxicity" "^toxicity  *0.5000"
runs "toxicity of what" 2 $peft score toxicity --predictions $work/a; has "toxicity of what" "needs --words"
printf '\357\273\277yes\r\nno' > $work/a; printf 'yes\nno\n' > $work/b
runs "a byte order mark, CRLF, no end of line" 0 $peft score accuracy --predictions $work/a --references $work/b; has "a mark" "^accuracy  *1.0000"

# settings
echo "It is cold outside." > $work/a; echo "It is very cold outside" > $work/b
for t in 13a intl char zh none; do runs "tokenizer $t" 0 $peft score bleu --tokenizer $t --predictions $work/a --references $work/b; has "tokenizer $t" "tok:$t|"; done
for t in exp none; do runs "smoothing $t" 0 $peft score bleu --smoothing $t --predictions $work/a --references $work/b; has "smoothing $t" "smooth:$t|"; done
runs "smoothing floor" 0 $peft score bleu --smoothing floor --smooth-value 0.5 --predictions $work/a --references $work/b; has "smoothing floor" "floor\[0.50*\]"
runs "smoothing add-k" 0 $peft score bleu --smoothing add-k --predictions $work/a --references $work/b; has "smoothing add-k" "add-k\[1"
runs "no such tokenizer" 2 $peft score bleu --tokenizer 13b --predictions $work/a --references $work/b; has "no such tokenizer" "13a, intl"
echo "The mat is on the cat" > $work/p; echo "The cat is on the mat" > $work/r
runs "TER's settings" 0 $peft score ter --normalized --no-punct --case-sensitive --asian-support --predictions $work/p --references $work/r; has "TER's settings" "case:mixed|tok:tercom|norm:yes|punct:no|asian:yes"
runs "orders" 0 $peft score bleu chrf nist coco_bleu --max-order 2 --char-order 3 --beta 1 --effective-order --predictions $work/p --references $work/r
has "BLEU's order" "eff:yes"; has "chrF's order" "nc:3|.*beta:1"; has "NIST's order" "order:2"; has "COCO's order" "^coco_bleu2"
runs "no such order" 2 $peft score bleu --max-order 9 --predictions $work/p --references $work/r; has "no such order" "1..8"
runs "no such smoothing" 2 $peft score bleu --smoothing k --predictions $work/a --references $work/b
runs "captions" 0 $peft score coco_bleu coco_rouge cider nist --predictions $work/good --references $work/human; has "captions" "^coco_bleu4  *0\.[0-9]"
runs "answers" 0 $peft score squad --predictions $work/human --references $work/human; has "answers" "^exact_match  *1.0000"

# a WordNet of one synset: car, auto
mkdir -p $work/dict
for pos in noun verb adj adv; do : > $work/dict/index.$pos; : > $work/dict/data.$pos; : > $work/dict/$pos.exc; done
printf '00000000 06 n 02 car 0 auto 0 000 | a motor vehicle  \n' > $work/dict/data.noun
printf 'auto n 1 0 1 0 00000000  \ncar n 1 0 1 0 00000000  \n' > $work/dict/index.noun
echo "my car is red" > $work/a; echo "my auto is red" > $work/b
runs "METEOR" 0 $peft score meteor --predictions $work/a --references $work/b; has "METEOR" "^meteor  *0.6389"
runs "METEOR with synonyms" 0 $peft score meteor --predictions $work/a --references $work/b --wordnet $work/dict; has "METEOR with synonyms" "^meteor  *0.9922"
runs "no WordNet there" 1 $peft score meteor --predictions $work/a --references $work/b --wordnet $work/none; has "no WordNet there" "none/"

# a file is what it is, whatever its name
line='{"prediction":"completely wrong answer here","reference":"the cat sat on the mat"}'
for name in a.json a.ndjson A.JSONL a.txt; do
    printf '%s\n' "$line" > $work/$name
    runs "records in $name" 0 $peft score bleu --predictions $work/$name --references $work/$name --json; has "records in $name" '"score":0,'
done
printf '[%s,\n %s]\n' "$line" "$line" > $work/list.json
runs "an array of records" 0 $peft score accuracy --predictions $work/list.json --references $work/list.json --json; has "an array" '"score":0,'; has "an array" "n:2"
printf 'prediction,reference\ncompletely wrong,right\n' > $work/p.csv
runs "a table" 0 $peft score accuracy --predictions $work/p.csv --references $work/p.csv; has "a table" "^accuracy  *0.0000"
printf 'prediction\treference\nwrong\tright\n' > $work/P.TSV
runs "a table with tabs" 0 $peft score accuracy --predictions $work/P.TSV --references $work/P.TSV; has "a table with tabs" "^accuracy  *0.0000"
printf '[laughs]\n{not JSON}\n' > $work/plain
runs "texts in brackets" 0 $peft score accuracy --predictions $work/plain --references $work/plain; has "texts in brackets" "^accuracy  *1.0000"
runs "a field that is missing" 1 $peft score accuracy --predictions $work/a.json --field said --references $work/a.json; has "its name" '"said"'; has "those that are there" "prediction reference"
# a list of references is a list of references
printf '{"prediction":"the cat sat on the mat","reference":["a","the cat sat on the mat"]}\n' > $work/refs.jsonl
runs "a list" 0 $peft score bleu --predictions $work/refs.jsonl --references $work/refs.jsonl; has "a list" "^bleu  *100.0000   nrefs:2"
printf '{"prediction":"Paris","answers":{"text":["Paris","Paris, France"],"answer_start":[1,1]}}\n{"prediction":"","answers":{"text":[],"answer_start":[]}}\n' > $work/squad.jsonl
runs "SQuAD's layout" 0 $peft score squad --predictions $work/squad.jsonl --references $work/squad.jsonl; has "SQuAD's layout" "^exact_match  *1.0000"
runs "the same, named" 0 $peft score squad --predictions $work/squad.jsonl --references $work/squad.jsonl --reference-field answers.text; has "named" "^exact_match  *1.0000"
runs "no references for BLEU" 1 $peft score bleu --predictions $work/squad.jsonl --references $work/squad.jsonl; has "no references" "empty list"
printf '{"prediction":"a b c d","reference":["a b c e","a b c d"]}\n{"prediction":"x y z w","reference":["x y z w"]}\n' > $work/uneven.jsonl
runs "lists of different length" 2 $peft score cider --predictions $work/uneven.jsonl --references $work/uneven.jsonl; has "of different length" "as many references"
# a field for each file
printf '{"p":"a b c d","r1":"a b c d","r2":"x y z w"}\n' > $work/two.jsonl
runs "two fields" 0 $peft score bleu --predictions $work/two.jsonl --field p --references $work/two.jsonl --reference-field r1 --references $work/two.jsonl --reference-field r2
has "two fields" "^bleu  *100.0000   nrefs:2"
runs "two fields, three files" 2 $peft score bleu --predictions $work/two.jsonl --field p --references $work/two.jsonl --references $work/two.jsonl --references $work/two.jsonl --reference-field r1 --reference-field r2
has "two fields, three files" "once for each"
# p-values of two lines; no star
printf 'a b c d\nx y z w\n' > $work/nn; printf 'a b q d\nx y q w\n' > $work/oo
runs "two lines" 0 $peft score bleu chrf nist meteor accuracy --predictions $work/nn --baseline $work/oo --references $work/nn; has "a warning" "2 lines are few"
for m in bleu chrf meteor accuracy; do has "$m of two lines: one half" "^$m .* randomization p = 0\.[45][0-9]*   "; done
# an explicit 0 is 0
echo "b a c" > $work/h; echo "a b c" > $work/r1; echo "a b" > $work/h2
runs "METEOR without its penalty" 0 $peft score meteor --gamma 0 --predictions $work/h --references $work/r1; has "without its penalty" "^meteor  *1.0000"
runs "chrF's precision" 0 $peft score chrf --beta 0 --predictions $work/h2 --references $work/r1; has "precision" "^chrf  *100.0000"
runs "words only" 0 $peft score chrf++ --char-order 0 --predictions $work/h2 --references $work/r1; has "words only" "nc:0|nw:2"
runs "no smoothing" 0 $peft score bleu --smoothing floor --smooth-value 0 --predictions $work/h2 --references $work/r1; has "no smoothing" "floor\[0.00\]"
runs "order 0" 2 $peft score bleu --max-order 0 --predictions $work/h2 --references $work/r1
runs "a negative beta" 2 $peft score chrf --beta -1 --predictions $work/h2 --references $work/r1
# only the positive label; more labels than a table of classes would hold
printf '1\n1\n' > $work/ones
runs "ones" 0 $peft score f1 --predictions $work/ones --references $work/ones; has "ones" "^f1  *1.0000"
i=0; while [ $i -lt 1500 ]; do echo "answer $i"; i=$((i + 1)); done > $work/many
runs "1500 different texts" 0 $peft score accuracy mcc --predictions $work/many --references $work/many; has "1500" "^accuracy  *1.0000 .*classes:1500"
printf 'A cat. A dog.\n' > $work/split; printf 'A dog. A cat.\n' > $work/other
runs "summaries as lines" 0 $peft score rouge --predictions $work/split --references $work/other; has "as lines" "^rougeLsum  *0.5000"
runs "summaries in sentences" 0 $peft score rouge --split-summaries --predictions $work/split --references $work/other; has "in sentences" "^rougeLsum  *1.0000"

finish
