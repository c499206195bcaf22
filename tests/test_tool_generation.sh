#!/bin/sh
# The command line around generation: stop strings, streaming, perplexity, export.
. tests/shell.sh

for c in perplexity export; do runs "$c --help" 0 $peft $c --help; has "$c --help" Examples; done
runs "generate" 0 $peft generate $model "Repeat: Anna met Ben." --max-new-tokens 12; cp $work/out $work/plain
runs "stream" 0 $peft generate $model "Repeat: Anna met Ben." --max-new-tokens 12 --stream; cp $work/out $work/streamed
same "stream" plain streamed
runs "bad min-p" 2 $peft generate $model hello --temperature 1 --min-p 2; has "bad min-p" min_p
runs "stop with beams" 2 $peft generate $model hello --stop x --beams 2; has "stop with beams" beams
word=$(head -c 4 $work/plain | tail -c 2)
runs "stop" 0 $peft generate $model "Repeat: Anna met Ben." --max-new-tokens 12 --stop "$word"
if [ "$(wc -c < $work/out)" -lt "$(wc -c < $work/plain)" ]; then ok; else bad "stop: nothing was cut"; fi

for type in f32 f16 q8_0; do
    runs "export $type" 0 $peft export $model $work/$type.gguf --type $type; has "export $type" "written to"
    runs "info $type" 0 $peft info $work/$type.gguf --json; has "info $type" '"tokenizer_pieces":1536'
done
if [ "$(wc -c < $work/q8_0.gguf)" -lt "$(wc -c < $work/f16.gguf)" ]; then ok; else bad "q8_0 is not smaller than f16"; fi
runs "generate from GGUF" 0 $peft generate $work/f32.gguf "Repeat: Anna met Ben." --max-new-tokens 12; cp $work/out $work/gguf
same "generate from GGUF" plain gguf
runs "GGUF to a folder" 0 $peft export $work/f32.gguf $work/folder --type bf16
runs "that folder" 0 $peft info $work/folder; has "that folder" "parameters"
runs "q8_0 of a folder" 2 $peft export $model $work/x --type q8_0; has "q8_0 of a folder" gguf
runs "unknown type" 2 $peft export $model $work/x.gguf --type q9; has "unknown type" q9
runs "onto itself" 2 $peft export $work/f32.gguf $work/f32.gguf
build/make_data dialogsum 8 1 > $work/train.jsonl
runs "train" 0 $peft train $model --data $work/train.jsonl --prompt '{{dialogue}}' --completion '{{summary}}' --out $work/lora --max-steps 1 --samples 0 --quiet
runs "export an adapter" 0 $peft export $model $work/lora.gguf --adapter $work/lora; has "export an adapter" "adapter written"
runs "adapter with a type" 2 $peft export $model $work/lora.gguf --adapter $work/lora --type f16
printf 'Once upon a time, there was a little girl.' > $work/text
runs "perplexity of T5" 4 $peft perplexity $model --file $work/text; has "perplexity of T5" encoder
runs "perplexity without a file" 2 $peft perplexity $model

stories=$shared/models/stories260K/stories260K.bin
if [ -f "$stories" ]; then
    runs "a checkpoint of llama2.c" 4 $peft perplexity "$stories" --file $work/text; has "a checkpoint of llama2.c" "peft convert"
    runs "convert" 0 $peft convert "$stories" $work/stories; has "convert" "5 layers of width 64, 512 tokens"
    runs "convert twice" 2 $peft convert "$stories" $work/stories
    runs "convert nothing" 1 $peft convert $work/text $work/none; has "convert nothing" "not a checkpoint"
    stories=$work/stories
    runs "perplexity" 0 $peft perplexity "$stories" --file $work/text --json; has "perplexity" '"perplexity":[1-9]\.'
    runs "no such text" 1 $peft perplexity "$stories" --file $work/nothing; has "no such text" nothing
    runs "story" 0 $peft generate "$stories" --prompt-text "" --max-new-tokens 60 --stream --stop "Lily"; has "story" "girl named $"
    runs "story as q8_0" 0 $peft export "$stories" $work/stories.gguf --type q8_0
    runs "its perplexity" 0 $peft perplexity $work/stories.gguf --file $work/text; has "its perplexity" "per token"
else
    skip "no llama2.c model at $stories (set PEFT_SHARED)"
fi

finish
