// The command line: look at a model, talk to it, fine-tune it, score what it says.
//   cc -O2 -I. -o build/peft tools/peft.c -DPEFT_USE_PTHREADS -pthread -lm
#define PEFT_IMPLEMENTATION
#include "peft.h"

#include "cli.h"
#include "cmd_common.h"
#include "cmd_templates.h"
#include "cmd_data.h"
#include "cmd_shots.h"
#include "cmd_info.h"
#include "cmd_chat.h"
#include "cmd_generation.h"
#include "cmd_eval.h"
#include "cmd_train.h"
#include "convert.h"
#include "cmd_benchmark.h"
#include "cmd_score.h"
#include "cmd_adapters.h"
#include "cmd_experiments.h"
#include "cmd_memory.h"

// ---- options that would do nothing are refused, with what they are for

// Which methods use an option; what is not listed is every method's.
static const char *const method_options[][2] = {
    {"r", "lora,dora"},
    {"alpha", "lora,dora"},
    {"use-rslora", "lora,dora"},
    {"lora-dropout", "lora,dora"},
    {"lora-plus", "lora,dora"},
    {"bias", "lora,dora"},
    {"modules-to-save", "lora,dora,ia3"},
    {"lora-bias", "lora"},
    {"exclude-modules", "lora,dora,ia3"},
    {"target-parameters", "lora"},
    {"trainable-token-indices", "lora,dora,ia3"},
    {"layers-pattern", "lora,dora,ia3"},
    {"rank-pattern", "lora,dora"},
    {"alpha-pattern", "lora,dora"},
    {"pissa", "lora"},
    {"adapter-type", "lora"},
    {"target-modules", "lora,dora,ia3,selected"},
    {"feedforward-modules", "ia3"},
    {"layers", "lora,dora,ia3,bottleneck,bitfit,norms,head,selected"},
    {"num-virtual-tokens", "prompt,prefix,ptuning"},
    {"init-text", "prompt"},
    {"random-init", "prompt"},
    {"prefix-projection", "prefix"},
    {"prompt-place", "prompt,ptuning"},
    {"encoder-hidden", "prefix,ptuning"},
    {"bottleneck", "bottleneck"},
    {"reduction-factor", "bottleneck"},
    {"activation", "bottleneck"},
    {"pfeiffer", "bottleneck"}};

// Whether two lists of names, between commas, have one in common.
static bool lists_meet(const char *a, const char *b) {
    char name[64];
    for (const char *p = a; *p;) {
        size_t n = strcspn(p, ",");
        snprintf(name, sizeof(name), "%.*s", (int)n, p);
        if (named_in(b, name)) return true;
        p += n + (p[n] == ',');
    }
    return false;
}

static int check_method_use(const char *command) {
    bool many = named_in("compare,methods", command);
    const char *chosen = tuned.method ? tuned.method : "lora";
    if (!named_in("train,sweep,compare,methods,forget", command) || (many && !tuned.method)) return EXIT_OK;
    for (int i = 0; i < COUNT(method_options); i++)
        if (option_given(method_options[i][0]) && !lists_meet(chosen, method_options[i][1]))
            return wrong("--method %s does not use --%s; %s: %s", chosen, method_options[i][0],
                         strchr(method_options[i][1], ',') ? "these do" : "this does", method_options[i][1]);
    return EXIT_OK;
}

static bool if_sampling(void) { return answers.temperature > 0; }
static bool if_seed(void) { return if_sampling() || shots.random; }
static bool if_chat(void) { return asked.chat; }
static bool if_chat_or_data(void) { return asked.chat || input.data.count > 0; }
static bool if_answers_shown(void) { return shots.files.count > 0; }
static bool if_shots(void) { return shots.count > 0; }
static bool if_beams(void) { return answers.beams > 1; }
static bool if_held_out(void) { return train.validation.count || train.split > 0; }
static bool if_samples(void) { return if_held_out() || train.samples == 0; }
static bool if_answers(void) { return if_held_out() && train.samples > 0; }
static bool if_whole(void) { return tuned.method && strcmp(tuned.method, "full") == 0; }
static bool if_adapter(void) { return !if_whole(); }
static bool if_epochs(void) { return !train.max_steps; }
static bool if_data_or_shots(void) { return input.data.count > 0 || shots.files.count > 0; }
static bool if_written(void) { return !eval_loss_only; }
static bool if_text(void) { return !cli.json; }
static bool if_encoding(void) { return !tokenize_decode; }
static bool if_four_bits(void) { return named_in("nf4,fp4", kept.weights ? kept.weights : "") ||
                                named_in("nf4,fp4", kept.embeddings ? kept.embeddings : ""); }
static bool if_blocks(void) {
    return if_four_bits() || named_in("i8,int8", kept.weights ? kept.weights : "") ||
           named_in("i8,int8", kept.embeddings ? kept.embeddings : "");
}
static bool if_type_four_bits(void) { return !quantize.type || named_in("nf4,fp4", quantize.type); }
static bool if_plan_low_rank(void) { return !planned.method || named_in("lora,qlora", planned.method); }
static bool if_plan_prompt(void) { return !planned.method || strcmp(planned.method, "prompt") == 0; }
static bool if_measured(void) { return planned.measure; }
static bool if_density(void) { return combine.kind && named_in("ties,dare_linear", combine.kind); }
static bool if_dare(void) { return combine.kind && strcmp(combine.kind, "dare_linear") == 0; }
static bool if_no_rate(void) { return train.lr == 0; }

#define ANSWER_OPTIONS \
 "" \
 "max-new-tokens,min-new-tokens,beams,length-penalty,early-stopping,no-repeat-ngram,repetition-penalty,temperature,top-k,top-p,min-p,stop"

// Of these commands (NULL: all), these options do something only if that holds.
static const struct {
    const char *commands, *options;
    bool (*holds)(void);
    const char *says;
} option_rules[] = {
    {"generate", "prompt,template,template-style,answer-choices,task,loss-on,limit,data-format,quotes",
     if_data_or_shots,
     "is of --data FILE; what the model is to answer goes into --prompt-text or behind the model"},
    {"train", ANSWER_OPTIONS, if_answers,
     "is of answers to held-out examples: --validation or --split, and --samples"},
    {"eval", ANSWER_OPTIONS ",output", if_written, "is of answers, which --loss-only leaves out"},
    {"generate", "completion", if_answers_shown, "is of --examples FILE: a prompt needs no answer"},
    {"generate", "chat-template", if_chat_or_data, "is of --chat, or of conversations in --data"},
    {"generate", "system", if_chat, "is of --chat"},
    {"generate,eval", "random,shot,query,instruction,window,examples", if_shots, "is of --shots N"},
    {NULL, "top-k,top-p,min-p", if_sampling, "is of sampling: give --temperature above 0"},
    {"generate,chat", "seed", if_seed, "is of sampling: give --temperature above 0"},
    {NULL, "length-penalty,early-stopping", if_beams, "is of beam search: give --beams above 1"},
    {"train", "eval-every,keep-best", if_held_out, "needs held-out examples: --validation or --split"},
    {"train", "samples", if_samples, "needs held-out examples: --validation or --split"},
    {"train", "type", if_whole, "is of whole models (--method full); adapters have --adapter-type"},
    {"train", "weights,embeddings,block,double-quant", if_adapter,
     "is of a base that stays as it is; --method full trains all weights as f32"},
    {"train,sweep,compare,forget", "epochs", if_epochs, "and --max-steps exclude each other"},
    {"sweep,compare,forget", "lr-factor", if_no_rate, "is of the methods' own rates; --lr sets another"},
    {"generate,eval,train,sweep,compare", "double-quant", if_four_bits, "is of --weights nf4 or fp4"},
    {"generate,eval,train,sweep,compare", "block", if_blocks, "is of --weights nf4, fp4 or i8"},
    {"quantize", "double-quant", if_type_four_bits, "is of --type nf4 or fp4"},
    {"generate", "stream", if_text, "and --json exclude each other"},
    {"tokenize", "special", if_encoding, "is of texts, not of ids"},
    {"memory", "r,target-modules,lora-dropout", if_plan_low_rank, "is of --method lora and qlora"},
    {"memory", "num-virtual-tokens", if_plan_prompt, "is of --method prompt"},
    {"memory", "init", if_measured, "is of --measure"},
    {"combine", "density", if_density, "is of --kind ties and dare_linear"},
    {"combine", "seed", if_dare, "is of --kind dare_linear"}};

static int check_options(const char *command) {
    for (int i = 0; i < COUNT(option_rules); i++) {
        if ((option_rules[i].commands && !named_in(option_rules[i].commands, command)) ||
            option_rules[i].holds()) continue;
        for (int k = 0; k < options_given.count; k++)
            if (named_in(option_rules[i].options, options_given.items[k]))
                return wrong("--%s %s", options_given.items[k], option_rules[i].says);
    }
    return check_method_use(command);
}

// ---- the table of commands

typedef struct command {
    const char *name, *arguments, *says, *examples;
    const option *options;
    int option_count;
    int (*run)(void);
} command;

static const command commands[] = {
    {"info", "MODEL|ADAPTER", "what a model folder or an adapter holds",
     "  peft info flan-t5-small\n  peft info my-lora\n  peft info flan-t5-small --adapter my-lora "
     "--tensors\n",
     info_options, COUNT(info_options), run_info},
    {"tokenize", "MODEL [TEXT ...]", "text to token ids and back",
     "  peft tokenize flan-t5-small \"Hello world\"\n  peft tokenize spiece.model --json < lines.txt\n  peft "
     "tokenize flan-t5-small --decode \"8774 296\"\n",
     tokenize_options, COUNT(tokenize_options), run_tokenize},
    {"generate", "MODEL [PROMPT ...]", "let the model answer",
     "  peft generate flan-t5-small \"Translate to German: How are you?\"\n  peft generate flan-t5-small "
     "--adapter my-lora --beams 4 < dialogue.txt\n"
     "  peft generate flan-t5-small --lines < prompts.txt\n"
     "  peft generate flan-t5-small --data test.jsonl --prompt 'Summarize: {{dialogue}}' --json\n"
     "  peft generate smollm-instruct --chat 'What is a bird?'\n"
     "  peft generate gpt2 --shots 4 --examples train.jsonl --prompt 'Review: {{text}}\\nMood:' --completion "
     "'{{label}}' 'Review: Never again.\\nMood:'\n",
     generate_options, COUNT(generate_options), run_generate},
    {"chat", "MODEL", "talk with a model that was trained to",
     "  peft chat smollm-instruct --system 'You answer in rhymes.' --temperature 0.7\n  peft chat "
     "flan-t5-small --adapter my-chat --chat-template chatml < questions.txt\n"
     "What can be typed\n"
     "  /system TEXT   what the model is told about its part; begins anew\n  /reset         forget what was "
     "said\n  /help, /quit\n"
     "An answer has at most 256 tokens, or half of a small window, where --max-new-tokens does not say. "
     "Where the window is full,\n"
     "the oldest turns are left out. From a file or a pipe every line is a turn, and a mistake is the end.\n",
     chat_options, COUNT(chat_options), run_chat},
    {"train", "MODEL --data FILE --out DIR", "fine-tune: an adapter of any method, or all weights",
     "  peft train flan-t5-small --data train.jsonl --prompt 'Summarize.\\n\\n{{dialogue}}' --completion "
     "'{{summary}}' --split 0.1 --out my-lora --report report.html\n"
     "  peft train flan-t5-small --data train.jsonl --method ia3 --out my-ia3\n"
     "  peft train flan-t5-small --data a.jsonl --prompt 'Sum: {{x}}' --data b.csv --prompt 'Label: "
     "{{text}}' --completion '{{y}}' --completion '{{label}}' --out both\n"
     "  peft train flan-t5-small --data train.jsonl --method prompt --num-virtual-tokens 30 --init-text "
     "'Summarize the dialogue:' --out my-prompt\n"
     "  peft train flan-t5-small --data train.jsonl --method full --lr 1e-4 --epochs 1 --out tuned\n"
     "  Ctrl-C saves a checkpoint and says how to go on.\n",
     train_options, COUNT(train_options), run_train},
    {"eval", "MODEL --data FILE", "loss, perplexity and ROUGE on a dataset",
     "  peft eval flan-t5-small --adapter my-lora --data test.jsonl --prompt 'Summarize.\\n\\n{{dialogue}}' "
     "--completion '{{summary}}' --output predictions.jsonl\n",
     eval_options, COUNT(eval_options), run_eval},
    {"perplexity", "MODEL --file FILE", "how well a decoder-only model foresees a text",
     "  peft perplexity gpt2 --file book.txt\n  peft perplexity smollm --adapter my-lora --file "
     "held-out.txt --window 256\n",
     perplexity_options, COUNT(perplexity_options), run_perplexity},
    {"export", "MODEL OUT", "write a model, or an adapter, as GGUF or as a folder",
     "  peft export flan-t5-small flan.gguf --type q8_0\n  peft export smollm --adapter my-lora "
     "my-lora.gguf\n  peft export model.gguf folder --type bf16\n",
     export_options, COUNT(export_options), run_export},
    {"convert", "MODEL.bin OUT", "make a folder of a checkpoint of llama2.c",
     "  peft convert stories260K.bin stories\n", convert_options, COUNT(convert_options), run_convert},
    {"merge", "MODEL ADAPTER OUT", "add an adapter to the weights",
     "  peft merge flan-t5-small my-lora merged --type bf16\n", merge_options, COUNT(merge_options),
     run_merge},
    {"score", "METRIC ... --predictions FILE --references FILE",
     "score texts, labels or numbers; compare two systems",
     "  peft score rouge bleu --predictions out.txt --references human1.txt --references human2.txt\n"
     "  peft score rouge --stemmer --bootstrap 1000 --predictions predictions.jsonl --references "
     "predictions.jsonl\n"
     "  peft score bleu chrf --predictions new.txt --baseline old.txt --references human.txt\n"
     "  peft score accuracy f1 mcc --positive spam --predictions said.txt --references labels.txt\n"
     "  peft score diversity toxicity --words insults.txt --predictions out.txt\n"
     "Metrics\n"
     "  of texts            rouge bleu chrf chrf++ ter nist meteor cider coco_rouge coco_bleu squad\n"
     "  of labels           accuracy f1 mcc\n"
     "  of numbers          pearson spearman; auc calibration (against 0 and 1)\n"
     "  without references  diversity bias toxicity\n",
     score_options, COUNT(score_options), run_score},
    {"benchmark", "NAME --data DIR [MODEL ...]",
     "run models on GLUE, SuperGLUE, MMLU, BIG-bench, HELM or summaries",
     "  peft benchmark mmlu --data mmlu/data flan-t5-small flan-t5-base --limit 20\n"
     "  peft benchmark bbh --data bbh flan-t5-small --adapter my-lora --tasks navigate,snarks --save "
     "predictions --format html --output bbh.html\n"
     "  peft benchmark glue --data glue --predictions my-glue-predictions\n  peft benchmark superglue --data "
     "superglue     (lists its tasks and files)\n",
     benchmark_options, COUNT(benchmark_options), run_benchmark},
    ADAPTER_COMMANDS,
    {"quantize", "MODEL OUT", "store a model's linear weights in 4 or 8 bits, and tell what that costs",
     "  peft quantize flan-t5-base flan-t5-base-nf4 --type nf4 --double-quant\n  peft quantize flan-t5-base "
     "small --type i8 --block 128 --tensors\n",
     quantize_options, COUNT(quantize_options), run_quantize},
    {"memory", "MODEL|config.json",
     "where memory goes when a model is trained: full, LoRA, QLoRA and prompt tuning side by side",
     "  peft memory flan-t5-base --batch 4 --max-source 512 --max-target 128 --svg memory.svg\n  peft memory "
     "llama-65b/config.json --batch 1 --json\n"
     "  peft memory flan-t5-base --method qlora --batch 1 --max-source 256 --max-target 64 --measure\n",
     memory_options, COUNT(memory_options), run_memory},
};

// What other tools call the same, or what is spelled nearly so. NULL: none.
static const char *command_meant(const char *asked) {
    static const char *const synonyms[][2] = {
        {"finetune", "train"},    {"fine-tune", "train"},  {"tune", "train"},        {"fit", "train"},
        {"evaluate", "eval"},     {"test", "eval"},        {"validate", "eval"},     {"run", "generate"},
        {"infer", "generate"},    {"predict", "generate"}, {"complete", "generate"}, {"talk", "chat"},
        {"converse", "chat"},     {"ppl", "perplexity"},   {"save", "export"},
        {"quantise", "quantize"}, {"quant", "quantize"},   {"metrics", "score"},     {"rouge", "score"},
        {"bleu", "score"},        {"bench", "benchmark"},  {"mem", "memory"},        {"plan", "memory"},
        {"fuse", "merge"},        {"show", "info"},        {"inspect", "info"},      {"list", "methods"},
        {"encode", "tokenize"},   {"decode", "tokenize"}};
    const char *nearest = NULL;
    int least = (int)strlen(asked) / 3 + 2;
    for (int i = 0; i < COUNT(synonyms); i++)
        if (strcmp(synonyms[i][0], asked) == 0) return synonyms[i][1];
    for (int i = 0; i < COUNT(commands); i++) {
        int n = likeness(asked, commands[i].name);
        if (n < least && n < 4) least = n, nearest = commands[i].name;
    }
    return nearest;
}

static void print_overview(FILE *f) {
    fprintf(f, "peft %s: fine-tuning of language models on any CPU\n\n", PEFT_VERSION);
    for (int i = 0; i < COUNT(commands); i++)
        fprintf(f, "  peft %-10s %s\n", commands[i].name, commands[i].says);
    fprintf(f, "\npeft COMMAND --help has options and examples.\n"
               "Exit status: 0 done, 1 wrong data, 2 wrong command line, 3 out of memory, 4 not supported, "
               "130 interrupted.\n");
}

// What was printed has arrived, or it is an error.
static int finish(int code) {
    if (code || (!fflush(stdout) && !ferror(stdout))) return code;
    fprintf(stderr, "peft %s: standard output: %s\n", cli.command, strerror(errno));
    return EXIT_DATA;
}

static int run_command(const command *c, int argc, char **argv) {
    cli.command = c->name;
    if (!options_parse(c->name, argc, argv, c->options, c->option_count, &cli.rest)) return EXIT_USAGE;
    if (cli.help) {
        printf("peft %s %s\n  %s\n\n", c->name, c->arguments, c->says);
        options_print(c->options, c->option_count);
        printf("\nExamples\n%s", c->examples);
        return finish(EXIT_OK);
    }
    int code = check_options(c->name);
    if (!code) code = open_context();
    if (!code) code = c->run();
    peft_context_destroy(cli.ctx);
    mounted_free();
    for (int i = 0; i < c->option_count && c->run != run_benchmark; i++)  // which frees its own lists
        if (c->options[i].kind == OPTION_TEXTS) free((void *)((texts *)c->options[i].into)->items);
    free((void *)cli.rest.items);
    free((void *)options_given.items);
    for (int i = 0; i < stops.count; i++) free((void *)(uintptr_t)stops.items[i]);
    free((void *)stops.items);
    free(init_text);
    return finish(code);
}

int main(int argc, char **argv) {
    saved_argc = argc, saved_argv = argv;
    train.samples = 32;
    if (argc < 2) {
        print_overview(stderr);
        return EXIT_USAGE;
    }
    cli.command = argv[1];
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "help") == 0) {
        print_overview(stdout);
        return finish(EXIT_OK);
    }
    if (strcmp(argv[1], "--version") == 0) {
        printf("peft %s\n", PEFT_VERSION);
        return finish(EXIT_OK);
    }
    for (int i = 0; i < COUNT(commands); i++)
        if (strcmp(argv[1], commands[i].name) == 0) return run_command(&commands[i], argc - 2, argv + 2);
    const char *meant = command_meant(argv[1]);
    fprintf(stderr, "peft: there is no command %s", argv[1]);
    if (meant) fprintf(stderr, " (did you mean peft %s?)", meant);
    fprintf(stderr, "\n\n");
    print_overview(stderr);
    return EXIT_USAGE;
}
