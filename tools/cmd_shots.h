// In-context learning: examples before the question, as many as the model's window has room for.
#ifndef PEFT_CMD_SHOTS_H
#define PEFT_CMD_SHOTS_H

static struct {
    int64_t count, window;
    texts files;
    const char *shot, *query, *instruction;
    bool random;
} shots = {.window = -1};

#define SHOT_OPTIONS \
    HEADING("Examples in the prompt"), \
    {"shots", OPTION_INT, &shots.count, "N", "show N examples before the question"}, \
    {"examples", OPTION_TEXTS, &shots.files, "FILE", \
     "where they come from, under --prompt and --completion"}, \
    {"random", OPTION_FLAG, &shots.random, "", \
     "drawn with --seed, for each question anew (the first ones)"}, \
    {"shot", OPTION_TEXT, &shots.shot, "TEXT", \
     "template of an example (\"{{prompt}} {{completion}}\\n\\n\")"}, \
    {"query", OPTION_TEXT, &shots.query, "TEXT", "template of the question behind them ({{prompt}})"}, \
    {"instruction", OPTION_TEXT, &shots.instruction, "TEXT", "a text before everything"}, \
    {"window", OPTION_COUNT, &shots.window, "N", \
     "tokens of prompt and answer together; examples that do not fit are dropped, the first ones first " \
     "(the model's; 0: no limit)"}

static int shots_check(void) {
    if (shots.count < 0) return wrong("--shots %lld is negative", (long long)shots.count);
    if (shots.count && !shots.files.count) return wrong("--shots needs --examples FILE");
    if (shots.window < -1) return wrong("--window %lld is negative", (long long)shots.window);
    return EXIT_OK;
}

static int64_t shots_window(const peft_model *m) {
    return shots.window >= 0 ? shots.window : peft_model_config(m)->max_positions;
}

static int shots_open(peft_dataset **out) { return open_datasets(&shots.files, "examples", 0, NULL, out); }

// The prompt of a question; the result is to be freed with peft_few_shot_free. `number` tells questions
// apart.
static int shots_prompt(const peft_model *m, const peft_dataset *examples, const char *question,
                        int64_t number, peft_few_shot_result *out) {
    char *shot = unescape(shots.shot), *query = unescape(shots.query),
         *instruction = unescape(shots.instruction);
    peft_few_shot_desc desc = {.context = cli.ctx,
                               .tokenizer = peft_model_tokenizer(m),
                               .examples = examples,
                               .shots = shots.count,
                               .random = shots.random,
                               .seed = (uint64_t)(cli.seed + number),
                               .instruction = instruction,
                               .shot = shot,
                               .query = query,
                               .question = question,
                               .context_window = shots_window(m),
                               .reserve = answers.max_new > 0 ? answers.max_new : 64};
    peft_status status = peft_few_shot(&desc, out);
    free(shot), free(query), free(instruction);
    if (status == PEFT_ERROR_SHAPE)
        fprintf(stderr, "question %lld, %.*s:\n", (long long)number + 1,
                (int)PEFT__MIN(strcspn(question, "\n"), 60), question);
    return status ? fail(status) : EXIT_OK;
}

// Which examples stand in the prompt and which had no room, by their places in --examples, from 1.
static void shots_tell(const peft_model *m, const peft_few_shot_result *r, int64_t number) {
    long long window = (long long)shots_window(m),
              kept = (long long)(answers.max_new > 0 ? answers.max_new : 64);
    if (cli.json) {
        printf("\"shots\":{\"tokens\":%lld,\"window\":", (long long)r->tokens);
        if (window) printf("%lld,\"kept_for_answer\":%lld", window, kept);
        else printf("null,\"kept_for_answer\":null");
        for (int k = 0; k < 2; k++) {
            int64_t begin = k ? 0 : r->dropped, end = k ? r->dropped : r->chosen;
            printf(",\"%s\":[", k ? "dropped" : "shown");
            for (int64_t i = begin; i < end; i++)
                printf("%s%lld", i > begin ? "," : "", (long long)r->indices[i] + 1);
            printf("]");
        }
        printf("},");
    } else if (!cli.quiet) {
        fprintf(stderr, "prompt %lld: %lld of %lld examples, %lld tokens; ", (long long)number + 1,
                (long long)(r->chosen - r->dropped), (long long)r->chosen, (long long)r->tokens);
        if (window) fprintf(stderr, "the window has %lld, %lld of them kept for the answer", window, kept);
        else fprintf(stderr, "the window has no limit");
        for (int64_t i = 0; i < r->dropped; i++)
            fprintf(stderr, "%s%lld",
                    i                ? ", "
                    : r->dropped > 1 ? "; dropped: examples "
                                     : "; dropped: example ",
                    (long long)r->indices[i] + 1);
        fprintf(stderr, "\n");
    }
}

// The same examples with other prompts: the shots before each. *dropped: shots that had no room, *prompts: of
// so many.
static int shots_dataset(const peft_model *m, const peft_dataset *data, peft_dataset **out, int64_t *dropped,
                         int64_t *prompts) {
    int64_t n = peft_dataset_count(data), made = 0;
    peft_dataset *examples = NULL;
    char **texts_of = (char **)calloc((size_t)n + 1, sizeof(char *));
    const char **completions = (const char **)calloc((size_t)n + 1, sizeof(char *));
    int code = texts_of && completions ? shots_open(&examples) : EXIT_MEMORY;
    for (; made < n && !code; made++) {
        peft_few_shot_result r;
        code = shots_prompt(m, examples, peft_dataset_prompt(data, made), made, &r);
        if (code) break;
        *dropped += r.dropped, *prompts += r.dropped > 0;
        texts_of[made] = copy_of(r.text);
        completions[made] = peft_dataset_completion(data, made);
        peft_few_shot_free(cli.ctx, &r);
        if (!texts_of[made]) code = EXIT_MEMORY;
    }
    if (!code) {
        peft_status status = make_dataset((const char *const *)texts_of, completions, n, out);
        if (status) code = fail(status);
    }
    for (int64_t i = 0; texts_of && i < n; i++) free(texts_of[i]);
    free(texts_of);
    free((void *)completions);
    peft_dataset_destroy(examples);
    return code;
}

#endif
