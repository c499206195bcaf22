// Commands that train many times: sweep, compare, forget.
#ifndef PEFT_CMD_EXPERIMENTS_H
#define PEFT_CMD_EXPERIMENTS_H

// ---- trials: train, generate, score; what sweep, compare and forget repeat

enum { SCORES = 7 };
static const char *const score_names[SCORES] = {"loss",   "ROUGE-L", "BLEU", "NIST",
                                                "METEOR", "CIDEr",   "exact"};

static struct {
    const char *report, *ranks;
    texts test;
    int64_t seeds;
    double rate_factor;
    bool markdown;
} experiment;

#define EXPERIMENT_OPTIONS \
    HEADING("Training"), \
    {"epochs", OPTION_COUNT, &train.epochs, "N", "times through the data (3)"}, \
    {"max-steps", OPTION_COUNT, &train.max_steps, "N", "optimizer steps, instead of epochs"}, \
    {"batch", OPTION_COUNT, &train.batch, "N", "examples per batch (8)"}, \
    {"lr", OPTION_ABOVE, &train.lr, "X", "learning rate (each method's own)"}, \
    {"lr-factor", OPTION_ABOVE, &experiment.rate_factor, "X", "times each method's own rate (1)"}, \
    {"warmup", OPTION_INT, &train.warmup, "N", "steps (0)"}, \
    MAX_SOURCE_OPTION, \
    {"max-target", OPTION_COUNT, &train.max_target, "N", "tokens of the answer (128)"}, \
    {"report", OPTION_TEXT, &experiment.report, "FILE", "write an HTML page with tables and pictures"}, \
    {"seed", OPTION_INT, &cli.seed, "N", "the first seed"}

// Loss and texts of a model on a dataset, and their scores.
static peft_status trial_scores(peft_model *m, const peft_adapter *a, const peft_dataset *data, double *out) {
    int64_t n = peft_dataset_count(data);
    char **texts = (char **)calloc((size_t)n + 1, sizeof(char *));
    const char **prompts = (const char **)calloc((size_t)n + 1, sizeof(char *)),
               **references = (const char **)calloc((size_t)n + 1, sizeof(char *));
    phase("loss of examples", 0, n);
    peft_status status = texts && prompts && references
                             ? peft_evaluate_loss(m, a, data, input.max_source, train.max_target, &out[0])
                             : PEFT_ERROR_MEMORY;
    for (int64_t i = 0; i < n && !status; i++)
        prompts[i] = peft_dataset_prompt(data, i), references[i] = peft_dataset_completion(data, i);
    peft_generate_desc g_desc = generation(m, a);
    for (int64_t i = 0; i < n && !status && !interrupted; i += PHASE_PROMPTS) {
        phase("answers", i, n);
        status = peft_generate_texts(&g_desc, prompts + i, n - i < PHASE_PROMPTS ? n - i : PHASE_PROMPTS,
                                     texts + i);
    }
    phase("answers", n, n);
    if (!status && interrupted) status = PEFT_CANCELLED;
    const char *const *predictions = (const char *const *)texts;
    peft_rouge_result rouge = {0};
    peft_bleu_result bleu = {0};
    peft_metric_result nist = {0}, meteor = {0}, cider = {0};
    peft_answer_result answers = {0};
    peft_text_desc d_text = {
        .context = cli.ctx, .predictions = predictions, .references = references, .count = n};
    if (!status)
        status = peft_rouge(&(peft_rouge_desc){.context = cli.ctx,
                                               .predictions = predictions,
                                               .references = references,
                                               .count = n,
                                               .use_stemmer = true},
                            &rouge);
    if (!status)
        status = peft_bleu(
            &(peft_bleu_desc){
                .context = cli.ctx, .predictions = predictions, .references = references, .count = n},
            &bleu);
    if (!status) status = peft_nist(&d_text, &nist);
    if (!status) status = peft_meteor(&d_text, &meteor);
    if (!status) status = peft_cider(&d_text, &cider);
    if (!status) status = peft_squad(&d_text, &answers);
    out[1] = 100 * rouge.mean.rougeL.f1, out[2] = bleu.score, out[3] = nist.score,
    out[4] = 100 * meteor.score, out[5] = cider.score, out[6] = 100 * answers.exact_match;
    for (int64_t i = 0; texts && i < n; i++) peft_free(cli.ctx, texts[i]);
    free(texts);
    free((void *)prompts);
    free((void *)references);
    return status;
}

static bool watch_quietly(const peft_progress *p, void *user) {
    (void)user;
    if (!cli.quiet && is_terminal(stderr) && p->step % 10 == 0)
        fprintf(stderr, "\r  step %lld/%lld  loss of this step %.3f   ", (long long)p->step,
                (long long)p->steps, p->loss);
    if (!cli.quiet && is_terminal(stderr) && p->step == p->steps) fprintf(stderr, "\r%*s\r", 60, "");
    return !interrupted;
}

static peft_status trial_train(peft_model *m, peft_adapter *a, const peft_dataset *data, int64_t seed,
                               peft_train_result *result) {
    peft_optimizer_kind optimizer;
    if (parse_optimizer(&optimizer)) return PEFT_ERROR_ARGUMENT;
    double rate = train.lr > 0 ? train.lr : (double)peft_default_learning_rate(m, a);
    return peft_train(
        &(peft_train_desc){.model = m,
                           .adapter = a,
                           .data = data,
                           .epochs = train.epochs,
                           .max_steps = train.max_steps,
                           .batch_size = train.batch,
                           .optimizer = optimizer,
                           .checkpoint_blocks = train.checkpoint_blocks,
                           .learning_rate =
                               (float)(rate * (experiment.rate_factor > 0 ? experiment.rate_factor : 1)),
                           .warmup_steps = train.warmup,
                           .max_source = input.max_source,
                           .max_target = train.max_target,
                           .seed = (uint64_t)seed,
                           .progress = watch_quietly},
        result);
}

// Mean and deviation of each score over the seeds.
typedef struct trials {
    char name[32];
    int64_t parameters, bytes;
    double seconds, mean[SCORES], deviation[SCORES];
    int count;
} trials;

static void trials_add(
    trials *r,
    const double *scores) {  // Welford's running mean; `deviation` holds the sum of squares until the end
    r->count++;
    for (int i = 0; i < SCORES; i++) {
        double off = scores[i] - r->mean[i];
        r->mean[i] += off / r->count;
        r->deviation[i] += off * (scores[i] - r->mean[i]);
    }
}

static void trials_end(trials *r) {
    for (int i = 0; i < SCORES; i++)
        r->deviation[i] = r->count > 1 ? sqrt(fmax(0, r->deviation[i]) / (r->count - 1)) : 0;
    if (r->count) r->seconds /= r->count;
}

// `seeds` runs of one method (NULL: all weights), each on a model that nothing has touched.
static int trials_run(const char *model_path, const peft_method_info *method, const peft_dataset *data,
                      const peft_dataset *test, trials *r) {
    for (int64_t k = 0; k < experiment.seeds; k++) {
        peft_model *m = NULL;
        peft_adapter *a = NULL;
        peft_train_result result = {0};
        double scores[SCORES] = {0};
        int code = open_model(model_path, false, &m);
        if (code) return code;
        peft_status status = method ? plain_adapter(m, method, (uint64_t)(cli.seed + k), &a) : PEFT_OK;
        if (!status) status = trial_train(m, a, data, cli.seed + k, &result);
        if (!status) status = trial_scores(m, a, test, scores);
        r->parameters = result.trainable;
        r->seconds += result.seconds;
        r->bytes = 4 * result.trainable;
        if (!status && a) status = peft_adapter_file_size(a, &r->bytes);
        peft_adapter_destroy(a);
        peft_model_destroy(m);
        if (status) return fail(status);
        trials_add(r, scores);
        if (!cli.quiet)
            fprintf(stderr, "%s, seed %lld: held-out loss %.4f, ROUGE-L %.2f, %.1f s\n", r->name,
                    (long long)(cli.seed + k), scores[0], scores[1], result.seconds);
    }
    trials_end(r);
    return EXIT_OK;
}

static void trials_json(const trials *r) {
    printf("{");
    json_pair(stdout, "name", r->name, ",");
    printf("\"parameters\":%lld,\"bytes\":%lld,\"seconds\":%.2f,\"runs\":%d", (long long)r->parameters,
           (long long)r->bytes, r->seconds, r->count);
    for (int i = 0; i < SCORES; i++)
        printf(",\"%s\":{\"mean\":%.6f,\"deviation\":%.6f}", score_names[i], r->mean[i], r->deviation[i]);
    printf("}\n");
}

// Thousands are set apart where people read them.
static void number_cell(char *cell, int64_t n) {
    char digits[32];
    int size = snprintf(digits, sizeof(digits), "%lld", (long long)n);
    for (int i = 0; i < size; i++) {
        if (experiment.markdown && i && (size - i) % 3 == 0) *cell++ = ',';
        *cell++ = digits[i];
    }
    *cell = 0;
}

static void score_cell(char *cell, const trials *r, int score) {
    if (r->count > 1)
        snprintf(cell, 64, "%.2f %s %.2f", r->mean[score], experiment.markdown ? "\xC2\xB1" : "+-",
                 r->deviation[score]);
    else snprintf(cell, 64, "%.2f", r->mean[score]);
}

// The cells of a row: name, parameters, the scores that are shown, seconds, bytes.
enum { CELLS = 16 };
static int trials_cells(const trials *r, const int *shown, int count, char (*cells)[64]) {
    int n = 0;
    snprintf(cells[n++], 64, "%s", r->name);
    number_cell(cells[n++], r->parameters);
    for (int i = 0; i < count; i++) score_cell(cells[n++], r, shown[i]);
    snprintf(cells[n++], 64, "%.1f", r->seconds);
    number_cell(cells[n++], r->bytes);
    return n;
}

static int trials_head(const char *first, const int *shown, int count, char (*cells)[64]) {
    int n = 0;
    snprintf(cells[n++], 64, "%s", first);
    snprintf(cells[n++], 64, "trainable");
    for (int i = 0; i < count; i++) snprintf(cells[n++], 64, "%s", score_names[shown[i]]);
    snprintf(cells[n++], 64, "seconds");
    snprintf(cells[n++], 64, "bytes on disk");
    return n;
}

static void print_cells(char (*cells)[64], int n, bool head) {
    for (int i = 0; i < n; i++) {
        if (experiment.markdown) printf("%s %s %s", i ? "" : "|", cells[i], "|");
        else if (i == 0) printf("%-14s", cells[i]);
        else printf(" %*s", i == 1 ? 10 : i < n - 2 ? 15 : i == n - 2 ? 9 : 13, cells[i]);
    }
    printf("\n");
    for (int i = 0; i < n && head && experiment.markdown; i++)
        printf("%s%s", i ? "" : "|", i ? "---:|" : "---|");
    if (head && experiment.markdown) printf("\n");
}

static void trials_print(const trials *rows, int count, const char *first, const int *shown,
                         int shown_count) {
    char cells[CELLS][64];
    if (!cli.json) print_cells(cells, trials_head(first, shown, shown_count, cells), true);
    for (int i = 0; i < count; i++) {
        if (cli.json) trials_json(&rows[i]);
        else print_cells(cells, trials_cells(&rows[i], shown, shown_count, cells), false);
    }
}

static void html_cells(FILE *f, const char *tag, char (*cells)[64], int n) {
    const char *row[CELLS];
    for (int i = 0; i < n; i++) row[i] = cells[i];
    report_row(f, tag, row, n, 1);
}

enum { MOST_TRIALS = 32 };

static int trials_report(const trials *rows, int count, const char *title, const char *first,
                         const int *shown, int shown_count) {
    output o;
    FILE *f = output_open(&o, cli.command, experiment.report);
    if (!f) return EXIT_DATA;
    char cells[CELLS][64];
    const char *names[MOST_TRIALS];
    double values[MOST_TRIALS];
    static const char *const color[] = {"#1f77b4"};
    report_begin(f, title);
    fputs("<table>\n", f);
    html_cells(f, "th", cells, trials_head(first, shown, shown_count, cells));
    for (int i = 0; i < count; i++)
        html_cells(f, "td", cells, trials_cells(&rows[i], shown, shown_count, cells));
    fputs("</table>\n", f);
    for (int k = 0; k < shown_count && k < 2; k++) {
        report_heading(f, score_names[shown[k]]);
        for (int i = 0; i < count; i++) names[i] = rows[i].name, values[i] = rows[i].mean[shown[k]];
        svg_bars(f, names, count, &score_names[shown[k]], color, 1, values, "%.2f");
    }
    report_end(f);
    return output_close(&o, true);
}

// The table and, where it is asked for, the page.
static int trials_show(const trials *rows, int count, const char *title, const char *first, const int *shown,
                       int shown_count) {
    trials_print(rows, count, first, shown, shown_count);
    return experiment.report ? trials_report(rows, count, title, first, shown, shown_count) : EXIT_OK;
}

// Training and test data of compare and sweep.
static int experiment_data(peft_dataset **all, peft_dataset **data, peft_dataset **test) {
    *all = *data = *test = NULL;
    if (cli.rest.count != 1 || !input.data.count) return wrong("give a model folder and --data FILE");
    if (experiment.seeds < 1 || experiment.seeds > 100)
        return wrong("--seeds %lld is not 1 to 100", (long long)experiment.seeds);
    peft_optimizer_kind optimizer;
    if (parse_optimizer(&optimizer)) return EXIT_USAGE;
    signal(SIGINT, on_interrupt);
    int code = open_lessons(all, NULL);
    if (!code && experiment.test.count) {
        code = open_datasets(&experiment.test, "test", 0, NULL, test);
        if (!code) *data = *all, *all = NULL;
    } else if (!code) {
        peft_status status = peft_dataset_split(*all, 0.1, (uint64_t)cli.seed, data, test);
        if (status) code = fail(status);
    }
    return code;
}

// ---- sweep: the same budget for each rank

static const option sweep_options[] = {
    {"r", OPTION_TEXT, &experiment.ranks, "LIST", "ranks (1,2,4,8,16)"},
    {"seeds", OPTION_COUNT, &experiment.seeds, "N", "runs of each rank (3)"},
    {"test", OPTION_TEXTS, &experiment.test, "FILE", "held-out examples (default: a tenth of --data)"},
    {"markdown", OPTION_FLAG, &experiment.markdown, "", "the table in Markdown"},
    DATA_OPTIONS,
    COMPLETION_OPTION,
    MIXTURE_OPTIONS,
    EXPERIMENT_OPTIONS,
    SAVING_OPTIONS,
    ADAPTER_OPTIONS,
    WEIGHT_OPTIONS,
    GENERATION_OPTIONS,
    COMMON_OPTIONS};

static int run_sweep(void) {
    static const int shown[] = {0, 1, 2, 3, 4, 5};
    double ranks[MOST_NUMBERS];
    trials rows[MOST_NUMBERS];
    peft_dataset *all, *data, *test;
    if (!experiment.seeds) experiment.seeds = 3;
    int count = parse_numbers(experiment.ranks ? experiment.ranks : "1,2,4,8,16", ranks);
    const peft_method_info *method = method_of(tuned.method);
    if (check_method(tuned.method)) return EXIT_USAGE;
    if (!method || (method->method != PEFT_LORA && method->method != PEFT_DORA))
        return wrong("--method %s has no rank", tuned.method);
    if (count < 1) return wrong("--r %s is no list of ranks", experiment.ranks);
    for (int i = 0; i < count; i++)
        if (!(ranks[i] >= 1 && ranks[i] <= 65536 && ranks[i] == floor(ranks[i])))
            return wrong("--r %s: %g is no rank", experiment.ranks, ranks[i]);
    int code = experiment_data(&all, &data, &test);
    memset(rows, 0, sizeof(rows));
    for (int i = 0; i < count && !code; i++) {
        tuned.r = (int64_t)ranks[i];
        snprintf(rows[i].name, sizeof(rows[i].name), "r = %lld", (long long)tuned.r);
        code = trials_run(cli.rest.items[0], method, data, test, &rows[i]);
    }
    if (!code) code = trials_show(rows, count, "Rank sweep", "rank", shown, COUNT(shown));
    peft_dataset_destroy(all);
    peft_dataset_destroy(data);
    peft_dataset_destroy(test);
    return code;
}

// ---- compare: every method, the same budget

static const option compare_options[] = {
    {"seeds", OPTION_COUNT, &experiment.seeds, "N", "runs of each method (3)"},
    {"test", OPTION_TEXTS, &experiment.test, "FILE", "held-out examples (default: a tenth of --data)"},
    {"markdown", OPTION_FLAG, &experiment.markdown, "", "the table in Markdown"},
    DATA_OPTIONS,
    COMPLETION_OPTION,
    MIXTURE_OPTIONS,
    EXPERIMENT_OPTIONS,
    SAVING_OPTIONS,
    ADAPTER_OPTIONS,
    RANK_OPTION,
    WEIGHT_OPTIONS,
    GENERATION_OPTIONS,
    COMMON_OPTIONS};

// The base model as the first row.
static int compare_base(const peft_dataset *test, trials *r) {
    peft_model *m = NULL;
    double scores[SCORES] = {0};
    int code = open_model(cli.rest.items[0], false, &m);
    if (code) return code;
    peft_status status = trial_scores(m, NULL, test, scores);
    snprintf(r->name, sizeof(r->name), "base model");
    trials_add(r, scores);
    trials_end(r);
    peft_model_destroy(m);
    return status ? fail(status) : EXIT_OK;
}

static int run_compare(void) {
    static const int shown[] = {1, 0};
    trials rows[MOST_TRIALS];
    peft_dataset *all, *data, *test;
    int count = 0;
    if (!experiment.seeds) experiment.seeds = 3;
    if (check_methods(tuned.method)) return EXIT_USAGE;
    int code = experiment_data(&all, &data, &test);
    memset(rows, 0, sizeof(rows));
    if (!code) code = compare_base(test, &rows[count++]);
    for (int64_t i = 0; peft_method_at(i) && !code; i++) {
        if (!named_in(tuned.method, peft_method_at(i)->name)) continue;
        snprintf(rows[count].name, sizeof(rows[count].name), "%s", peft_method_at(i)->name);
        code = trials_run(cli.rest.items[0], peft_method_at(i), data, test, &rows[count++]);
    }
    if (!code && named_in(tuned.method, "full")) {
        snprintf(rows[count].name, sizeof(rows[count].name), "full");
        code = trials_run(cli.rest.items[0], NULL, data, test, &rows[count++]);
    }
    if (!code) code = trials_show(rows, count, "Methods compared", "method", shown, COUNT(shown));
    peft_dataset_destroy(all);
    peft_dataset_destroy(data);
    peft_dataset_destroy(test);
    return code;
}

// ---- forget: what a model still knows of other tasks

static const option forget_options[] = {
    {"method", OPTION_WORD, &tuned.method, "NAME", "the adapter that is compared (lora)"},
    {"target-modules", OPTION_TEXT, &tuned.target, "NAMES", "of it"},
    RANK_OPTION,
    {"prompt", OPTION_TEXTS, &input.prompts, "TEXT",
     "template of the first task's input ({{prompt}}), or one for each task in order"},
    {"completion", OPTION_TEXTS, &input.completions, "TEXT", "template of its answer ({{completion}})"},
    {"limit", OPTION_COUNT, &input.limit, "N", "only the first N examples of each training file"},
    MIXTURE_OPTIONS,
    {"seeds", OPTION_COUNT, &experiment.seeds, "N", "runs of each (1)"},
    {"markdown", OPTION_FLAG, &experiment.markdown, "", "the tables in Markdown"},
    EXPERIMENT_OPTIONS,
    SAVING_OPTIONS,
    GENERATION_OPTIONS,
    COMMON_OPTIONS};

enum { MOST_TASKS = 12, RUNS = 4 };
static const char *const run_names[RUNS] = {"base model", "full, first task", "full, all tasks",
                                            "adapter, first task"};

typedef struct forgetting {
    char names[MOST_TASKS][32];
    peft_dataset *train[MOST_TASKS], *test[MOST_TASKS], *mixed;
    int count;
    trials cells[RUNS][MOST_TASKS + 1];  // behind the tasks: the mean of all but the first
} forgetting;

// NAME=TRAIN,TEST
static int forget_open(forgetting *r, int i, const char *text) {
    const char *equals = strchr(text, '='), *comma = equals ? strchr(equals, ',') : NULL;
    char path[2][512];
    if (!comma || equals == text) return wrong("\"%s\" is not NAME=TRAIN.jsonl,TEST.jsonl", text);
    snprintf(r->names[i], sizeof(r->names[i]), "%.*s", (int)(equals - text), text);
    snprintf(path[0], sizeof(path[0]), "%.*s", (int)(comma - equals - 1), equals + 1);
    snprintf(path[1], sizeof(path[1]), "%s", comma + 1);
    if (i > 0 && input.prompts.count == 1) input.prompts.count = 0;  // a single template is the first task's
    if (i > 0 && input.completions.count == 1) input.completions.count = 0;
    templates list = {NULL, 0};
    int code = templates_add_typed(&list, "", template_of(&input.prompts, i, r->count),
                                   template_of(&input.completions, i, r->count), NULL)
                   ? EXIT_OK
                   : EXIT_MEMORY;
    if (!code) list.items[0].flan = false;
    if (!code) code = open_dataset(path[0], input.limit, list.items, NULL, &r->train[i]);
    if (!code) code = peft_dataset_count(r->train[i]) ? check_lessons(r->train[i]) : no_examples(path[0]);
    if (!code) code = open_dataset(path[1], 0, list.items, NULL, &r->test[i]);
    if (!code && !peft_dataset_count(r->test[i])) code = no_examples(path[1]);
    templates_free(&list);
    return code;
}

static peft_status forget_run(forgetting *r, int run, int64_t seed, peft_model *m, peft_adapter *a) {
    peft_train_result result = {0};
    peft_status status = PEFT_OK;
    double first = 0, others[SCORES] = {0};
    if (run > 0) status = trial_train(m, a, run == 2 ? r->mixed : r->train[0], seed, &result);
    for (int i = 0; i < r->count && !status; i++) {
        double scores[SCORES] = {0};
        status = trial_scores(m, a, r->test[i], scores);
        trials_add(&r->cells[run][i], scores);
        if (i == 0) first = scores[1];
        for (int k = 0; k < SCORES && i; k++) others[k] += scores[k] / (r->count - 1);
    }
    trials_add(&r->cells[run][r->count], others);
    if (!status && run && !cli.quiet)
        fprintf(stderr, "%s, seed %lld: ROUGE-L %.2f, of the others %.2f, %.1f s of training\n",
                run_names[run], (long long)seed, first, others[1], result.seconds);
    return status;
}

static void forget_json(const forgetting *r) {
    for (int k = 0; k < RUNS; k++)
        for (int i = 0; i < r->count; i++) {
            const trials *c = &r->cells[k][i];
            printf("{\"run\":\"%s\",", run_names[k]);
            json_pair(stdout, "task", r->names[i], ",");
            printf(
                "\"runs\":%d,\"loss\":%.6f,\"rougeL\":%.4f,\"exact_match\":%.4f,\"rougeL_deviation\":%.4f}\n",
                c->count, c->mean[0], c->mean[1], c->mean[6], c->deviation[1]);
        }
}

static void forget_row(char (*cells)[64], int n) {
    for (int i = 0; i < n; i++) {
        if (experiment.markdown) printf("%s %s |", i ? "" : "|", cells[i]);
        else printf(i ? " %15s" : "%-20s", cells[i]);
    }
    printf("\n");
}

static void forget_print(const forgetting *r) {
    static const int shown[] = {1, 6, 0};
    static const char *const says[] = {"ROUGE-L", "exact match, %", "loss per token"};
    char cells[MOST_TASKS + 2][64];
    for (int q = 0; q < COUNT(shown); q++) {
        snprintf(cells[0], 64, "%s", says[q]);
        for (int i = 0; i < r->count; i++) snprintf(cells[1 + i], 64, "%s", r->names[i]);
        snprintf(cells[1 + r->count], 64, "mean of others");
        forget_row(cells, r->count + 2);
        for (int i = 0; i < r->count + 2 && experiment.markdown; i++)
            printf("%s%s", i ? "" : "|", i ? "---:|" : "---|");
        if (experiment.markdown) printf("\n");
        for (int k = 0; k < RUNS; k++) {
            snprintf(cells[0], 64, "%s", run_names[k]);
            for (int i = 0; i <= r->count; i++) score_cell(cells[1 + i], &r->cells[k][i], shown[q]);
            forget_row(cells, r->count + 2);
        }
        printf("\n");
    }
}

static int forget_report(const forgetting *r) {
    static const char *const colors[RUNS] = {"#9aa7b5", "#d62728", "#2ca02c", "#1f77b4"};
    static const int shown[] = {1, 6, 0};
    static const char *const titles[] = {"ROUGE-L of each task", "Exact match of each task, in percent",
                                         "Loss per token of each task"};
    double values[RUNS * MOST_TASKS];
    const char *names[MOST_TASKS];
    output o;
    FILE *f = output_open(&o, "forget", experiment.report);
    if (!f) return EXIT_DATA;
    report_begin(f, "What is forgotten");
    for (int q = 0; q < COUNT(shown); q++) {
        for (int i = 0; i < r->count; i++) names[i] = r->names[i];
        for (int i = 0; i < r->count; i++)
            for (int k = 0; k < RUNS; k++) values[i * RUNS + k] = r->cells[k][i].mean[shown[q]];
        report_heading(f, titles[q]);
        svg_bars(f, names, r->count, run_names, colors, RUNS, values, shown[q] ? "%.0f" : "%.2f");
    }
    report_end(f);
    return output_close(&o, true);
}

static int forget_all(forgetting *r) {
    const char *names[MOST_TASKS];
    int code = EXIT_OK;
    if ((input.prompts.count > 1 && input.prompts.count != r->count) || (input.completions.count > 1 &&
                                                                 input.completions.count != r->count))
        return wrong("give one --prompt and --completion for the first task, or one for each of the %d",
                     r->count);
    for (int i = 0; i < r->count && !code; i++) {
        code = forget_open(r, i, cli.rest.items[1 + i]);
        names[i] = r->names[i];
    }
    if (code) return code;
    peft_status status = peft_dataset_mix(&(peft_mix_desc){.datasets = (const peft_dataset *const *)r->train,
                                                           .names = names,
                                                           .count = r->count,
                                                           .cap = input.cap,
                                                           .temperature = input.mix_temperature,
                                                           .seed = (uint64_t)cli.seed},
                                          &r->mixed);
    if (status) return fail(status);
    int64_t batch = train.batch > 0 ? train.batch : 8, epochs = train.epochs > 0 ? train.epochs : 3;
    if (train.max_steps <= 0)
        train.max_steps =
            epochs * ((peft_dataset_count(r->train[0]) + batch - 1) / batch);  // the same budget for all
    for (int64_t k = 0; k < experiment.seeds * RUNS && !code; k++) {
        peft_model *m = NULL;
        peft_adapter *a = NULL;
        int run = (int)(k % RUNS);
        int64_t seed = cli.seed + k / RUNS;
        if (run == 0 && k) continue;  // the base model is always the same
        code = open_model(cli.rest.items[0], false, &m);
        status = !code && run == 3 ? plain_adapter(m, method_of(tuned.method), (uint64_t)seed, &a) : PEFT_OK;
        if (!code && !status) status = forget_run(r, run, seed, m, a);
        peft_adapter_destroy(a);
        peft_model_destroy(m);
        if (!code && status) code = fail(status);
    }
    for (int i = 0; i < RUNS * (r->count + 1); i++)
        trials_end(&r->cells[i / (r->count + 1)][i % (r->count + 1)]);
    if (!code && cli.json) forget_json(r);
    else if (!code) forget_print(r);
    if (!code && experiment.report) code = forget_report(r);
    return code;
}

static int run_forget(void) {
    if (cli.rest.count < 3 || cli.rest.count - 1 > MOST_TASKS)
        return wrong("give a model folder and 2 to %d tasks as NAME=TRAIN.jsonl,TEST.jsonl", MOST_TASKS);
    if (!experiment.seeds) experiment.seeds = 1;
    if (experiment.seeds < 1 || experiment.seeds > 100)
        return wrong("--seeds %lld is not 1 to 100", (long long)experiment.seeds);
    if (check_method(tuned.method)) return EXIT_USAGE;
    if (!method_of(tuned.method)) return wrong("--method full is compared anyway; give an adapter's");
    forgetting *r = (forgetting *)calloc(1, sizeof(forgetting));
    if (!r) return EXIT_MEMORY;
    r->count = cli.rest.count - 1;
    signal(SIGINT, on_interrupt);
    int code = forget_all(r);
    for (int i = 0; i < r->count; i++) peft_dataset_destroy(r->train[i]), peft_dataset_destroy(r->test[i]);
    peft_dataset_destroy(r->mixed);
    free(r);
    return code;
}

#define ADAPTER_COMMANDS \
    {"methods", "MODEL", "the methods of fine-tuning, and what each would train", \
     "  peft methods flan-t5-small\n  peft methods gpt2 --r 4 --json\n", \
     methods_options, COUNT(methods_options), run_methods}, \
    {"grow", "MODEL OUT", "add tokens to the vocabulary, rows to the embedding and the output layer", \
     "  peft grow flan-t5-small bigger --token '<sep>' --token '<speaker>' --special\n  " \
     "peft grow base bigger --rows 322\n", grow_options, \
     COUNT(grow_options), run_grow}, \
    {"prompt", "ADAPTER MODEL", "what a soft prompt says: the nearest words", \
     "  peft prompt my-prompt flan-t5-small --nearest 5 --report prompt.html\n", \
     prompt_options, COUNT(prompt_options), run_prompt}, \
    {"combine", "MODEL ADAPTER ... --out DIR", "one LoRA made of several: linear, cat, TIES, DARE", \
     "  peft combine flan-t5-small english " \
     "german --scale 0.5,0.5 --kind ties " \
     "--density 0.3 --out both\n", combine_options, COUNT(combine_options), run_combine}, \
    {"sweep", "MODEL --data FILE", "train several ranks with one budget and score them", \
     "  peft sweep flan-t5-small --data train.jsonl --prompt 'Summarize.\\n\\n{{dialogue}}' " \
     "--completion '{{summary}}' --r 1,2,4,8 --seeds 3\n", \
     sweep_options, COUNT(sweep_options), run_sweep}, \
    {"compare", "MODEL --data FILE", "train every method with one budget and score them", \
     "  peft compare flan-t5-small --data train.jsonl --test test.jsonl --seeds 3 --markdown\n  peft " \
     "compare gpt2 --data train.jsonl --method lora,ia3,full\n", \
     compare_options, COUNT(compare_options), run_compare}, \
    {"forget", "MODEL NAME=TRAIN,TEST ...", "what is forgotten of other tasks while the first is learned", \
     "  peft forget flan-t5-small sums=sums.jsonl,sums.test.jsonl " \
     "copy=copy.jsonl,copy.test.jsonl --report forget.html\n", forget_options, \
     COUNT(forget_options), run_forget}

#endif
