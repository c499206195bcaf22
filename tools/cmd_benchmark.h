// peft benchmark: runs models on GLUE, SuperGLUE, MMLU, BIG-bench, HELM and summarization sets, or scores what others wrote for them.
#ifndef PEFT_CMD_BENCHMARK_H
#define PEFT_CMD_BENCHMARK_H

#include "benchmarks.h"
#include <math.h>
#if defined(_WIN32)
#include <direct.h>
#elif defined(__unix__) || defined(__APPLE__)
#include <sys/stat.h>
#endif

static struct {
    const char *data, *split, *tasks, *style, *save, *format, *output, *perturb, *perturb_words;
    texts adapters, predictions;
    int64_t shots, limit, max_new, max_source;
    bool direct;
} b;

static const option benchmark_options[] = {
    {"data", OPTION_TEXT, &b.data, "DIR", "the benchmark's own files; without a model: what is there"},
    {"adapter", OPTION_TEXTS, &b.adapters, "DIR", "of the model; the k-th one is the k-th model's (none: without)"},
    {"predictions", OPTION_TEXTS, &b.predictions, "DIR", "score what was written elsewhere: one file per task; may be given again"},
    {"tasks", OPTION_TEXT, &b.tasks, "NAMES", "only these, separated by commas"},
    {"split", OPTION_TEXT, &b.split, "NAME", "train, dev, test, ... (the one that is scored in public)"},
    {"shots", OPTION_INT, &b.shots, "N", "examples before the question (mmlu 5, bbh 3, others 0)"},
    {"limit", OPTION_COUNT, &b.limit, "N", "only the first N examples of each task"},
    {"style", OPTION_TEXT, &b.style, "NAME", "of GLUE's and SuperGLUE's prompts: plain (default), or t5 as T5 was trained"},
    {"direct", OPTION_FLAG, &b.direct, "", "bbh: the answer at once, without a chain of thought"},
    {"max-new-tokens", OPTION_COUNT, &b.max_new, "N", "of a generated answer (the task's own)"},
    {"max-source", OPTION_COUNT, &b.max_source, "N", "tokens of a prompt: shots that do not fit are left out, then its beginning (the model's window)"},
    {"perturb", OPTION_TEXT, &b.perturb, "NAMES", "ask again with typos, lowercase, gender, ... (all): robustness and fairness"},
    {"perturb-words", OPTION_TEXT, &b.perturb_words, "FILE", "ask again with other words (a dialect, names): lines of a word, a tab, its replacement"},
    {"save", OPTION_TEXT, &b.save, "DIR", "write the predictions as the leaderboards take them"},
    {"format", OPTION_TEXT, &b.format, "NAME", "of the table: text (default), json, csv, html"},
    {"output", OPTION_TEXT, &b.output, "FILE", "where the table goes (standard output)"},
    {"seed", OPTION_INT, &cli.seed, "N", "of perturbations"},
    COMMON_OPTIONS};

// One column of the table: a model, or a folder of predictions. Its context is its own, so that its peak memory is.
typedef struct benchmark_system {
    peft_context *ctx;
    peft_model *model;
    peft_adapter *adapter;
    peft_tape *tape;
    peft_benchmark *bench;
    peft_ids ids, whole;
    int64_t tokens;  // read and written so far
    int64_t behind;  // tokens that the longest answer may take
    char name[64];
} benchmark_system;

// ---- asking a model

static peft_status benchmark_token(const peft_tokenizer *tokenizer, int32_t id, peft_ids *ids) {
    const char *text = peft_token_text(tokenizer, id);
    return text ? peft_encode_special(tokenizer, text, strlen(text), ids) : PEFT_OK;
}

// Tokens of a prompt as the model wants them: a start token where it has been trained with one, T5's end token.
static peft_status benchmark_encode(benchmark_system *y, const char *prompt, const char *more, peft_ids *ids) {
    const peft_config *c = peft_model_config(y->model);
    const peft_tokenizer *tokenizer = peft_model_tokenizer(y->model);
    bool starts = peft_model_begins_with_bos(y->model);
    char *text = (char *)malloc(strlen(prompt) + strlen(more) + 1);
    if (!text) return PEFT_ERROR_MEMORY;
    sprintf(text, "%s%s", prompt, more);
    ids->count = 0;
    peft_status status = starts ? benchmark_token(tokenizer, c->bos_id, ids) : PEFT_OK;
    if (!status) status = peft_encode(tokenizer, text, strlen(text), ids);
    if (!status && c->encoder_decoder) status = benchmark_token(tokenizer, c->eos_id, ids);
    free(text);
    return status;
}

// How many tokens a prompt may have beside `behind` more; 0: any number.
static int64_t benchmark_room(const benchmark_system *y, int64_t behind) {
    const peft_config *c = peft_model_config(y->model);
    int64_t window = c->max_positions > 0 && !c->encoder_decoder ? c->max_positions - behind : 0;
    if (window < 0) window = 1;  // such an answer cannot be generated at all; peft_generate says so
    return b.max_source > 0 && (!window || b.max_source < window) ? b.max_source : window;
}

// The end of a prompt that is too long: that is where the question stands.
static void benchmark_cut(peft_ids *ids, int64_t room) {
    if (!room || ids->count <= room) return;
    memmove(ids->data, ids->data + ids->count - room, (size_t)room * sizeof(int32_t));
    ids->count = room;
}

static bool benchmark_fits(const char *prompt, void *user) {
    benchmark_system *y = (benchmark_system *)user;
    int64_t room = benchmark_room(y, y->behind);
    return !room || (benchmark_encode(y, prompt, "", &y->ids) == PEFT_OK && y->ids.count <= room);
}

static peft_status benchmark_generate(const char *prompt, int64_t max_new_tokens, const char *stop, char **text, void *user) {
    benchmark_system *y = (benchmark_system *)user;
    peft_ids answer = {0};
    bool decoder_only = !peft_model_config(y->model)->encoder_decoder;
    peft_status status = benchmark_encode(y, prompt, "", &y->ids);
    if (!status) benchmark_cut(&y->ids, benchmark_room(y, max_new_tokens));
    peft_generate_desc desc = {.model = y->model, .adapter = y->adapter, .max_new_tokens = max_new_tokens};
    if (!status) status = peft_generate(&desc, y->ids.data, y->ids.count, &answer);
    int64_t begin = decoder_only ? y->ids.count : 1;
    if (!status) status = peft_decode(peft_model_tokenizer(y->model), answer.data + begin, answer.count - begin, true, text, NULL);
    if (!status) {
        y->tokens += y->ids.count + answer.count - begin;
        char *end = stop ? strstr(*text, stop) : NULL;
        if (end) *end = 0;
    }
    peft_ids_free(y->ctx, &answer);
    return status;
}

// Minus the loss is log p, summed over the rows with labels.
static peft_status benchmark_sum(benchmark_system *y, const peft_batch *batch, double *out) {
    peft_active_adapter active = {.adapter = y->adapter};
    peft_tape_reset(y->tape, 0);
    peft_tensor *loss = peft_model_loss(y->model, y->tape, batch, &active, y->adapter != NULL, 1);
    if (loss) *out = -(double)*(const float *)loss->data;
    return loss ? PEFT_OK : peft_tape_status(y->tape);
}

// T5: the choice and its end token are what the decoder should say.
static peft_status benchmark_likelihood_t5(benchmark_system *y, const char *choice, double *out) {
    const peft_config *c = peft_model_config(y->model);
    peft_status status = benchmark_encode(y, "", choice, &y->whole);
    int64_t n = y->whole.count, source_offsets[2] = {0, y->ids.count}, target_offsets[2] = {0, n};
    int32_t *input = (int32_t *)malloc((size_t)(n + 1) * sizeof(int32_t));
    if (!status && !input) status = PEFT_ERROR_MEMORY;
    if (!status) {
        input[0] = c->decoder_start_id;
        memcpy(input + 1, y->whole.data, (size_t)n * sizeof(int32_t));
        peft_batch batch = {.count = 1, .source = y->ids.data, .source_offsets = source_offsets, .decoder_input = input, .labels = y->whole.data,
                            .target_offsets = target_offsets};
        status = benchmark_sum(y, &batch, out);
        y->tokens += n;
    }
    free(input);
    return status;
}

// Others: prompt and choice are one text; what counts is behind the prompt's tokens. A choice that the prompt's last token has
// swallowed still counts with its last one.
static peft_status benchmark_likelihood_decoder(benchmark_system *y, const char *prompt, const char *choice, double *out) {
    peft_status status = benchmark_encode(y, prompt, choice, &y->whole);
    if (status) return status;
    int64_t n = y->whole.count, behind = n - y->ids.count < 1 ? 1 : n - y->ids.count;
    if (n < 2) {  // nothing to go by: all such choices are equal
        *out = 0;
        return PEFT_OK;
    }
    if (behind >= n) behind = n - 1;
    int64_t room = benchmark_room(y, 0);
    benchmark_cut(&y->whole, room && room < behind + 1 ? behind + 1 : room);
    n = y->whole.count;
    int64_t rows = n - 1, target_offsets[2] = {0, rows};
    int32_t *labels = (int32_t *)malloc((size_t)rows * sizeof(int32_t));
    if (!labels) return PEFT_ERROR_MEMORY;
    for (int64_t i = 0; i < rows; i++) labels[i] = i < rows - behind ? -100 : y->whole.data[i + 1];
    peft_batch batch = {.count = 1, .decoder_input = y->whole.data, .labels = labels, .target_offsets = target_offsets};
    status = benchmark_sum(y, &batch, out);
    y->tokens += n;
    free(labels);
    return status;
}

static peft_status benchmark_likelihood(const char *prompt, const char *const *choices, int64_t count, double *out, void *user) {
    benchmark_system *y = (benchmark_system *)user;
    bool t5 = peft_model_config(y->model)->encoder_decoder;
    peft_status status = benchmark_encode(y, prompt, "", &y->ids);
    int64_t prompt_tokens = y->ids.count;
    if (t5) benchmark_cut(&y->ids, benchmark_room(y, 0));
    for (int64_t k = 0; k < count && !status; k++) {
        status = t5 ? benchmark_likelihood_t5(y, choices[k], &out[k]) : benchmark_likelihood_decoder(y, prompt, choices[k], &out[k]);
        if (t5) y->tokens += prompt_tokens;
    }
    return status;
}

static bool benchmark_progress(const char *task, int64_t done, int64_t count, void *user) {
    (void)user;
    if (!cli.quiet && is_terminal(stderr)) fprintf(stderr, "\r\033[K%s  %lld/%lld%s", task, (long long)done, (long long)count, done == count ? "\r\033[K" : "");
    return !interrupted;
}

// ---- the settings

static int benchmark_choose(const char *option_name, const char *given, const char *const *names, int count, int *out) {
    for (int k = 0; k < count; k++)
        if (!given || strcmp(given, names[k]) == 0) {
            *out = given ? k : 0;
            return EXIT_OK;
        }
    char known[128] = "";
    for (int k = 0; k < count; k++) snprintf(known + strlen(known), sizeof(known) - strlen(known), "%s%s", k ? ", " : "", names[k]);
    return wrong("--%s %s is none of %s", option_name, given, known);
}

// The words of --perturb-words: from, to, from, to, ...
static struct {
    text_list lines;
    const char **pairs;
} perturb_words;

static int benchmark_words(void) {
    text_list *lines = &perturb_words.lines;
    int code = b.perturb_words ? read_texts(b.perturb_words, lines) : EXIT_OK;
    if (!code) perturb_words.pairs = (const char **)calloc((size_t)lines->count * 2 + 1, sizeof(char *));
    if (!code && !perturb_words.pairs) code = EXIT_MEMORY;
    for (int64_t i = 0; i < lines->count && !code; i++) {
        char *tab = strchr(lines->items[i], '\t');
        if (!tab || tab == lines->items[i]) {
            fprintf(stderr, "peft benchmark: %s, line %lld: \"%.40s\" is no word, tab, word\n", b.perturb_words, (long long)i + 1, lines->items[i]);
            return EXIT_DATA;
        }
        *tab = 0;
        perturb_words.pairs[2 * i] = lines->items[i];
        perturb_words.pairs[2 * i + 1] = tab + 1;
    }
    return code;
}

static void benchmark_words_free(void) {
    text_list_free(&perturb_words.lines);
    free((void *)perturb_words.pairs);
}

enum { BENCHMARK_VERSIONS = PEFT_PERTURB_WORDS + 1 };

// The versions of --perturb: names separated by commas, or all that need no words of the user's; and that with the user's words.
static int benchmark_perturbations(peft_perturbation list[BENCHMARK_VERSIONS], int64_t *count) {
    const char *at = b.perturb ? b.perturb : "";
    *count = 0;
    memset(list, 0, BENCHMARK_VERSIONS * sizeof(list[0]));
    for (int k = 0; k < PEFT_PERTURB_WORDS && strcmp(at, "all") == 0; k++) list[(*count)++].kind = (peft_perturbation_kind)k;
    while (*at && !*count) {
        int64_t n = 0;
        for (; *at; at += *at == ',') {
            size_t size = strcspn(at, ",");
            int k = 0;
            while (k < PEFT_PERTURB_WORDS && (strlen(peft_perturbation_name((peft_perturbation_kind)k)) != size ||
                                              strncmp(at, peft_perturbation_name((peft_perturbation_kind)k), size) != 0)) k++;
            if (k == PEFT_PERTURB_WORDS || n == PEFT_PERTURB_WORDS) return wrong("--perturb: there is no \"%.*s\"", (int)size, at);
            list[n++].kind = (peft_perturbation_kind)k;
            at += size;
        }
        *count = n;
    }
    if (b.perturb_words)
        list[(*count)++] = (peft_perturbation){.kind = PEFT_PERTURB_WORDS, .pairs = perturb_words.pairs, .pair_count = perturb_words.lines.count};
    for (int64_t k = 0; k < *count; k++) list[k].seed = (uint64_t)cli.seed;
    return EXIT_OK;
}

static int benchmark_open(benchmark_system *y, peft_prompt_style style) {
    if (b.shots < 0) return wrong("--shots %lld is negative", (long long)b.shots);
    int64_t shots = option_given("shots") && b.shots == 0 ? -1 : b.shots;  // to the library 0 is the benchmark's own number
    peft_benchmark_desc desc = {.context = cli.ctx, .name = cli.rest.items[0], .folder = b.data, .split = b.split, .tasks = b.tasks, .shots = shots,
                                .limit = b.limit, .style = style, .direct = b.direct, .max_new_tokens = b.max_new};
    peft_status status = peft_benchmark_load(&desc, &y->bench);
    return status ? fail(status) : EXIT_OK;
}

// What is there, when there is no model to ask.
static void benchmark_list(const peft_benchmark *bench) {
    if (!cli.json) printf("%-50s %9s  file\n", "task", "examples");
    for (int64_t i = 0; i < peft_benchmark_task_count(bench); i++) {
        peft_benchmark_task task = peft_benchmark_task_at(bench, i);
        if (cli.json) {
            printf("{");
            json_pair(stdout, "task", task.name, ",");
            json_pair(stdout, "group", task.group, ",");
            json_pair(stdout, "file", task.file, ",");
            printf("\"examples\":%lld,\"missing\":%s,\"labelled\":%s}\n", (long long)task.examples, task.missing ? "true" : "false", task.labelled ? "true" : "false");
        } else {
            printf("%-50s %9lld  %s%s\n", task.name, (long long)task.examples, task.file,
                   task.missing ? "  (not there)" : task.labelled ? "" : "  (no right answers)");
        }
    }
}

// ---- running

static void benchmark_name(char *out, size_t size, const char *model, const char *adapter) {
    const char *end = model + strlen(model);
    while (end > model + 1 && (end[-1] == '/' || end[-1] == '\\')) end--;
    const char *begin = end;
    while (begin > model && begin[-1] != '/' && begin[-1] != '\\') begin--;
    snprintf(out, size, "%.*s", (int)(end - begin), begin);
    size_t n = strlen(out);
    if (adapter && n + 4 < size) {
        strcpy(out + n, " + ");
        benchmark_name(out + n + 3, size - n - 3, adapter, NULL);
    }
}

// The room that answers need: what may be generated, or the choices, a byte being a token at most.
static int64_t benchmark_longest(const peft_benchmark *bench) {
    int64_t longest = 1;
    for (int64_t i = 0; i < peft_benchmark_task_count(bench); i++) {
        const peft_benchmark_example *e;
        for (int64_t k = 0; (e = peft_benchmark_example_at(bench, i, k)) != NULL; k++) {
            if (!e->choices && e->max_new_tokens > longest) longest = e->max_new_tokens;
            for (int64_t c = 0; c < e->choice_count && e->choices; c++)
                if ((int64_t)strlen(e->choices[c]) > longest) longest = (int64_t)strlen(e->choices[c]);
        }
    }
    return longest;
}

static int benchmark_ask(benchmark_system *y, int k, peft_benchmark_results *results) {
    const char *adapter = k < b.adapters.count && strcmp(b.adapters.items[k], "none") != 0 ? b.adapters.items[k] : NULL;
    peft_perturbation versions[BENCHMARK_VERSIONS];
    int64_t version_count = 0;
    benchmark_name(y->name, sizeof(y->name), cli.rest.items[k + 1], adapter);
    int code = open_model(cli.rest.items[k + 1], false, &y->model);
    if (!code) code = open_adapter(y->model, adapter, &y->adapter);
    if (!code) code = benchmark_perturbations(versions, &version_count);
    if (code) return code;
    if (!peft_model_tokenizer(y->model)) {
        fprintf(stderr, "peft benchmark: %s: the model's folder has no tokenizer\n", cli.rest.items[k + 1]);
        return EXIT_DATA;
    }
    peft_status status = peft_tape_create(cli.ctx, &y->tape);
    if (status) return fail(status);
    peft_tape_inference(y->tape, true);
    y->behind = benchmark_longest(y->bench);
    peft_benchmark_runner runner = {.generate = benchmark_generate, .loglikelihood = benchmark_likelihood, .fits = benchmark_fits, .progress = benchmark_progress,
                                    .user = y, .model = y->name, .tokens = &y->tokens, .perturbations = versions, .perturbation_count = version_count};
    status = peft_benchmark_run(y->bench, &runner, results);
    if (status == PEFT_CANCELLED) fprintf(stderr, "peft benchmark: stopped\n");
    else if (!status && b.save) status = peft_benchmark_write_predictions(y->bench, results, b.save);
    return status == PEFT_CANCELLED ? EXIT_INTERRUPTED : status ? fail(status) : EXIT_OK;
}

static void benchmark_close(benchmark_system *y) {  // the context stays: the results are in it
    peft_ids_free(y->ctx, &y->ids);
    peft_ids_free(y->ctx, &y->whole);
    peft_tape_destroy(y->tape);
    peft_adapter_destroy(y->adapter);
    peft_model_destroy(y->model);
    peft_benchmark_destroy(y->bench);
}

static int benchmark_system_run(benchmark_system *y, int k, int models, peft_prompt_style style, peft_benchmark_results *results) {
    int code = cli.ctx ? EXIT_OK : open_context();
    if (code) return code;
    y->ctx = cli.ctx;
    bool quiet = cli.quiet;
    cli.quiet = quiet || k > 0;  // files that are not there are named once
    code = benchmark_open(y, style);
    cli.quiet = quiet;
    if (!code && k < models) {
        code = benchmark_ask(y, k, results);
    } else if (!code) {
        const char *folder = b.predictions.items[k - models];
        benchmark_name(y->name, sizeof(y->name), folder, NULL);
        peft_status status = peft_benchmark_score_files(y->bench, folder, y->name, results);
        if (status) code = fail(status);
    }
    benchmark_close(y);
    return code;
}

// Why a task has no score, where the table has no room for it. (Tasks without examples were named when the files were read.)
static void benchmark_complain(const peft_benchmark_results *results) {
    for (int64_t i = 0; i < results->count && !cli.quiet; i++)
        if (results->tasks[i].status && results->tasks[i].examples)
            fprintf(stderr, "peft benchmark: %s: %s: not scored: %s\n", results->model, results->tasks[i].task, results->tasks[i].note);
}

static int benchmark_write(const char *text) {
    if (!b.output) {
        fputs(text, stdout);
        return EXIT_OK;  // main looks whether it has arrived
    }
    output o;
    FILE *f = output_open(&o, "benchmark", b.output);
    if (!f) return EXIT_DATA;
    fputs(text, f);
    return output_close(&o, true);
}

static int benchmark_table(const peft_benchmark_results *results, int count, int format) {
    char *text = NULL;
    for (int k = 0; k < count; k++)
        if (count > 1 || format || b.output) benchmark_complain(&results[k]);
    peft_status status = peft_benchmark_table(results, count, (peft_table_format)format, &text);
    if (status) return fail(status);
    int code = benchmark_write(text);
    peft_free(results->context, text);
    return code;
}

static int benchmark_check(int models, int *format, int *style) {
    static const char *const formats[] = {"text", "json", "csv", "html"}, *const styles[] = {"plain", "t5"};
    char known[512] = "";
    for (int64_t i = 0; peft_benchmark_name(i); i++) snprintf(known + strlen(known), sizeof(known) - strlen(known), " %s", peft_benchmark_name(i));
    if (cli.rest.count < 1 || !b.data) return wrong("give a benchmark (%s) and --data DIR", known + 1);
    if (b.adapters.count > models) return wrong("%d adapters for %d models", b.adapters.count, models);
    if (b.save && models != 1) return wrong("--save takes one model, not %d", models);
    if (b.limit < 0 || b.max_new < 0 || b.max_source < 0) return wrong("--limit, --max-new-tokens and --max-source take no negative numbers");
    peft_perturbation versions[BENCHMARK_VERSIONS];
    int64_t version_count;
    int code = benchmark_words();
    if (!code) code = benchmark_perturbations(versions, &version_count);
    if (!code) code = benchmark_choose("format", cli.json && !b.format ? "json" : b.format, formats, COUNT(formats), format);
    if (!code) code = benchmark_choose("style", b.style, styles, COUNT(styles), style);
    return code;
}

static int benchmark_folder(void) {
#if defined(_WIN32)
    bool made = _mkdir(b.save) == 0 || errno == EEXIST;
#elif defined(__unix__) || defined(__APPLE__)
    bool made = mkdir(b.save, 0777) == 0 || errno == EEXIST;
#else
    bool made = true;
#endif
    if (made) return EXIT_OK;
    fprintf(stderr, "peft benchmark: %s: %s\n", b.save, strerror(errno));
    return EXIT_DATA;
}

static int run_benchmark(void) {
    int models = cli.rest.count - 1, count = models + b.predictions.count, format = 0, style = 0, done = 0;
    int code = benchmark_check(models, &format, &style);
    if (!code && count == 0) {
        benchmark_system only = {0};
        code = benchmark_open(&only, (peft_prompt_style)style);
        if (!code) benchmark_list(only.bench);
        peft_benchmark_destroy(only.bench);
    }
    if (code || count == 0) {
        benchmark_words_free();
        return code;
    }
    benchmark_system *systems = (benchmark_system *)calloc((size_t)count, sizeof(benchmark_system));
    peft_benchmark_results *results = (peft_benchmark_results *)calloc((size_t)count, sizeof(peft_benchmark_results));
    if (!systems || !results) code = EXIT_MEMORY;
    signal(SIGINT, on_interrupt);
    if (!code && b.save) code = benchmark_folder();
    for (; done < count && !code; done++) {
        if (done) cli.ctx = NULL;
        code = benchmark_system_run(&systems[done], done, models, (peft_prompt_style)style, &results[done]);
    }
    if (!code) code = benchmark_table(results, count, format);
    for (int k = 0; k < done; k++) {
        peft_benchmark_results_free(&results[k]);
        if (systems[k].ctx != cli.ctx) peft_context_destroy(systems[k].ctx);  // the last one is the command's
    }
    free(systems);
    free(results);
    free((void *)b.adapters.items);
    free((void *)b.predictions.items);
    benchmark_words_free();
    return code;
}

#endif
