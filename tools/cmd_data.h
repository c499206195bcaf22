// The data of train, eval, generate, sweep, compare and forget: opened here, whatever form it has.
#ifndef PEFT_CMD_DATA_H
#define PEFT_CMD_DATA_H

// ---- the dataset, shared by generate, eval and train

static struct {
    texts data, prompts, completions;
    int64_t limit;
    const char *format, *quotes;
} input;

// Repeated: a --prompt and a --completion per --data, in order, or one for all.
#define PROMPT_OPTION                       \
    {"prompt", OPTION_TEXTS, &input.prompts, "TEXT", \
     "template of the input, e.g. \"Summarize: {{dialogue}}\" ({{prompt}}); one for all or one per --data"}
#define COMPLETION_OPTION                           \
    {"completion", OPTION_TEXTS, &input.completions, "TEXT", \
     "template of the answer ({{completion}}); one for all or one per --data"}
#define DATA_OPTIONS                                                                                           \
    {"data", OPTION_TEXTS, &input.data, "FILE", ".jsonl, .json, .csv or .tsv; -: standard input; can be repeated"}, \
    PROMPT_OPTION,                                                                                             \
    {"limit", OPTION_INT, &input.limit, "N", "only the first N examples of a file"},                               \
    {"data-format", OPTION_WORD, &input.format, "NAME", "jsonl, json, csv or tsv (what the file's name says)"},    \
    {"quotes", OPTION_WORD, &input.quotes, "NAME", "of tables: rfc4180 (default), or none: characters like others"}


// The template of file i out of `count`.
static const char *template_of(const texts *t, int i, int count) {
    return !t->count ? NULL : t->items[t->count == 1 || t->count != count ? 0 : i];
}

static int data_check(const texts *files, const char *option) {
    const texts *const lists[] = {&input.prompts, &input.completions};
    for (int k = 0; k < 2; k++)
        if (lists[k]->count > 1 && lists[k]->count != files->count)
            return wrong("%d --%s for %d --%s: give one for all, or one for each, in their order",
                         lists[k]->count, k ? "completion" : "prompt", files->count, option);
    if (input.quotes && strcmp(input.quotes, "none") != 0 && strcmp(input.quotes, "rfc4180") != 0)
        return wrong("--quotes %s is not rfc4180 or none", input.quotes);
    return EXIT_OK;
}

// One file, its templates those of file i of `count`.
static int open_dataset(const char *path, int64_t limit, int i, int count, peft_dataset **out) {
    char *prompt = unescape(template_of(&input.prompts, i, count)),
        *completion = unescape(template_of(&input.completions, i, count));
    peft_dataset_desc desc = {.context = cli.ctx, .path = path, .prompt = prompt, .completion = completion,
                              .limit = limit, .format = input.format};
    if (input.quotes) desc.quotes = strcmp(input.quotes, "none") == 0 ? PEFT_QUOTES_NONE : PEFT_QUOTES_RFC4180;
    peft_status status = peft_dataset_load(&desc, out);
    free(prompt);
    free(completion);
    if (status) return fail(status);
    if (peft_dataset_count(*out) > 0) return EXIT_OK;
    fprintf(stderr, "peft %s: %s: no examples\n", cli.command, path);
    return EXIT_DATA;
}

// All files of an option as one dataset, in their order.
static int open_datasets(const texts *files, const char *option, int64_t limit, peft_dataset **out) {
    int code = data_check(files, option);
    peft_dataset **parts = (peft_dataset **)calloc((size_t)files->count + 1, sizeof(peft_dataset *));
    *out = NULL;
    if (!parts) return EXIT_MEMORY;
    for (int i = 0; i < files->count && !code; i++)
        code = open_dataset(files->items[i], limit, i, files->count, &parts[i]);
    if (!code && files->count == 1) {
        *out = parts[0], parts[0] = NULL;
    } else if (!code) {
        peft_status status = peft_dataset_join((const peft_dataset *const *)parts, files->count, out);
        if (status) code = fail(status);
    }
    for (int i = 0; i < files->count; i++) peft_dataset_destroy(parts[i]);
    free(parts);
    return code;
}

// Examples to learn from: nothing can be learned from answers that are all the same.
static int check_lessons(const peft_dataset *data) {
    int64_t n = peft_dataset_count(data);
    for (int64_t i = 1; i < n; i++)
        if (strcmp(peft_dataset_completion(data, i), peft_dataset_completion(data, 0)) != 0) return EXIT_OK;
    if (n < 2) return EXIT_OK;
    const char *fields = peft_dataset_fields(data);
    fprintf(stderr,
            "peft %s: all %lld completions are \"%.80s\": there is nothing to learn from them. The completion's template is \"%s\"%s%s\n", cli.command,
            (long long)n, peft_dataset_completion(data, 0), input.completions.count ? input.completions.items[0]
                : "{{completion}}", *fields ? "; fields that there are: " : "", fields);
    return EXIT_DATA;
}

static int open_lessons(const texts *files, int64_t limit, peft_dataset **out) {
    int code = open_datasets(files, "data", limit, out);
    return code ? code : check_lessons(*out);
}

#endif
