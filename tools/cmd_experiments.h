// Commands that train many times: sweep, compare, forget.
#ifndef PEFT_CMD_EXPERIMENTS_H
#define PEFT_CMD_EXPERIMENTS_H

// ---- trials: train, generate, score; what sweep, compare and forget repeat

// What is measured of a run. The scores come first.
enum { LOSS, ROUGE_L, BLEU, NIST, METEOR, CIDER, EXACT, SCORES,
       TRAINED = SCORES, MEMORY, SECONDS, ANSWER, COST, DISK, QUANTITIES };
static const struct {
    const char *name, *title, *unit;  // of a column, of a panel
    double most;                      // the end of its scale, 0: none
    bool logarithmic;
} quantities[QUANTITIES] = {{"loss", "held-out loss per token", "", 0, false},
                            {"ROUGE-L", "ROUGE-L, percent", "", 100, false},
                            {"BLEU", "BLEU, percent", "", 100, false},
                            {"NIST", "NIST", "", 0, false},
                            {"METEOR", "METEOR, percent", "", 100, false},
                            {"CIDEr", "CIDEr", "", 0, false},
                            {"exact", "exact match, percent", "", 100, false},
                            {"trained", "trained parameters (log scale)", "", 0, true},
                            {"memory", "peak memory of training", "B", 0, false},
                            {"seconds", "seconds of training", "", 0, false},
                            {"ms", "ms per answer", "", 0, false},
                            {"answer", "answering, times the base", "", 0, false},
                            {"disk", "size on disk (log scale)", "B", 0, true}};

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
    {"report", OPTION_TEXT, &experiment.report, "FILE", \
     "write an HTML page with tables and pictures; FILE.svg: the picture alone"}, \
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

// Mean and deviation of each quantity over the seeds.
typedef struct trials {
    const char *name, *model;
    int look, count;
    int64_t model_parameters;
    double mean[QUANTITIES], deviation[QUANTITIES];
} trials;

static void trials_add(trials *r, const double *values, int n) {
    r->count++;  // Welford's running mean; `deviation` holds the sum of squares until the end
    for (int i = 0; i < n; i++) {
        double off = values[i] - r->mean[i];
        r->mean[i] += off / r->count;
        r->deviation[i] += off * (values[i] - r->mean[i]);
    }
}

static void trials_end(trials *r) {
    for (int i = 0; i < QUANTITIES; i++)
        r->deviation[i] = r->count > 1 ? sqrt(fmax(0, r->deviation[i]) / (r->count - 1)) : 0;
}

static int by_size(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

// What answers cost: ms for COST_TOKENS new tokens, and that over the base's. The base answers the same
// prompts in turn with the adapter, again and again for some seconds; the quickest of each counts, as what
// else the machine does only adds.
enum { COST_PROMPTS = 4, COST_ROUNDS = 25, COST_TOKENS = 16 };
static peft_status trial_cost(peft_model *m, const peft_adapter *a, const peft_dataset *data, double *out) {
    double least[2][COST_PROMPTS], sum[2] = {0, 0}, start = peft__seconds();
    peft_status status = PEFT_OK;
    int n = (int)fmin((double)peft_dataset_count(data), COST_PROMPTS);
    for (int k = 0; k < 2 * COST_PROMPTS; k++) least[k / COST_PROMPTS][k % COST_PROMPTS] = HUGE_VAL;
    for (int k = 0; k < COST_ROUNDS * n && !status && (k < 2 * n || peft__seconds() < start + 3); k++)
        for (int side = a ? 0 : 1; side < 2 && !status; side++) {
            char *text = NULL;
            const char *prompt = peft_dataset_prompt(data, k % n);
            peft_generate_desc d = generation(m, side ? a : NULL);
            d.min_new_tokens = d.max_new_tokens = COST_TOKENS, d.stop_count = 0;
            double begun = peft__seconds();
            status = peft_generate_texts(&d, &prompt, 1, &text);
            least[side][k % n] = fmin(least[side][k % n], 1000 * (peft__seconds() - begun));
            peft_free(cli.ctx, text);
        }
    for (int k = 0; k < 2 * n; k++) sum[k % 2] += least[k % 2][k / 2];
    out[ANSWER] = n ? sum[1] / n : 0, out[COST] = a && sum[0] > 0 ? sum[1] / sum[0] : 1;
    return status;
}

// One run: `method` (NULL: all weights) is trained, or with seed -1 nothing. It has a context of its own,
// whose peak of memory is the training's.
static int trial_run(const peft_method_info *method, int64_t seed, const peft_dataset *data,
                     const peft_dataset *test, trials *r) {
    peft_context *outer = cli.ctx;
    bool quiet = cli.quiet;
    cli.quiet = true;  // what the context is was said
    int code = open_context();
    cli.quiet = quiet;
    if (code) {
        cli.ctx = outer;
        return code;
    }
    peft_model *m = NULL;
    peft_adapter *a = NULL;
    peft_train_result result = {0};
    double values[QUANTITIES] = {0};
    int64_t bytes = 0;
    code = open_model(r->model, false, &m);
    peft_status status =
        !code && method && seed >= 0 ? plain_adapter(m, method, (uint64_t)seed, &a) : PEFT_OK;
    if (!code && !status && seed >= 0) status = trial_train(m, a, data, seed, &result);
    values[MEMORY] = (double)peft_memory_peak(cli.ctx);
    if (!code && !status) status = trial_scores(m, a, test, values);
    values[ANSWER] = r->mean[ANSWER], values[COST] = r->mean[COST];  // what the values are does not matter
    if (!code && !status && !r->count) status = trial_cost(m, a, test, values);
    if (!code && !status && a) status = peft_adapter_file_size(a, &bytes);
    if (status && !code) {
        const char *why = peft_error(outer);  // a dataset's
        if (*why && !*peft_error(cli.ctx))
            fprintf(stderr, "peft %s: %s\n", cli.command, why), code = exit_code_of(status);
        else code = fail(status);
    }
    r->model_parameters = m ? peft_model_parameter_count(m) : 0;
    peft_adapter_destroy(a);
    peft_model_destroy(m);
    peft_context_destroy(cli.ctx);
    cli.ctx = outer;
    if (code) return code;
    values[TRAINED] = (double)result.trainable, values[SECONDS] = result.seconds;
    values[DISK] = bytes ? (double)bytes : 4 * values[TRAINED];
    if (seed < 0) values[TRAINED] = values[MEMORY] = values[SECONDS] = values[DISK] = NAN;
    trials_add(r, values, QUANTITIES);
    if (!cli.quiet && seed >= 0)
        fprintf(stderr, "%s, seed %lld: held-out loss %.4f, ROUGE-L %.2f, %.1f s\n", r->name, (long long)seed,
                values[LOSS], values[ROUGE_L], result.seconds);
    return EXIT_OK;
}

static int trials_run(const peft_method_info *method, const peft_dataset *data, const peft_dataset *test,
                      trials *r) {
    int code = EXIT_OK;
    for (int64_t k = 0; k < experiment.seeds && !code; k++)
        code = trial_run(method, cli.seed + k, data, test, r);
    trials_end(r);
    return code;
}

static void trials_json(const trials *r) {
    printf("{");
    json_pair(stdout, "name", r->name, ",");
    json_pair(stdout, "model", r->model, ",");
    json_print(stdout,
        "\"model_parameters\":%lld,\"parameters\":%.0f,\"bytes\":%.0f,\"seconds\":%.2f,\"memory\":%.0f,"
        "\"answer_ms\":%.3f,\"answer_cost\":%.4f,\"runs\":%d",
        (long long)r->model_parameters, r->mean[TRAINED], r->mean[DISK], r->mean[SECONDS], r->mean[MEMORY],
        r->mean[ANSWER], r->mean[COST], r->count);
    for (int i = 0; i < SCORES; i++)
        json_print(stdout, ",\"%s\":{\"mean\":%.6f,\"deviation\":%.6f}", quantities[i].name, r->mean[i],
                   r->deviation[i]);
    printf("}\n");
}

// A quantity as people read it; `page`: where the terminal's restrictions do not hold.
static void quantity_cell(char *cell, const trials *r, int q, bool page) {
    double v = r->mean[q];
    if (isnan(v)) snprintf(cell, 64, "-");  // nothing was trained
    else if (q < SCORES && r->count > 1)
        snprintf(cell, 64, "%.2f %s %.2f", v, page ? "\xC2\xB1" : "+-", r->deviation[q]);
    else if (q < SCORES) snprintf(cell, 64, "%.2f", v);
    else if (q == MEMORY || q == DISK) say_number(cell, 64, v, "B");
    else if (q == TRAINED && page) say_grouped(cell, 64, v);
    else snprintf(cell, 64, q == COST ? "%.2fx" : q == TRAINED ? "%.0f" : "%.1f", v);
}

enum { CELLS = 16, MOST_TRIALS = 256, MOST_MODELS = 9 };

// Quantities of a table, in order, and what is in front of them.
typedef struct trials_table {
    const char *title, *first;  // the page's, the first column's
    trials *rows;
    int count, models;
    const int *shown;
    int shown_count;
    const peft_dataset *data, *test;
} trials_table;

// The cells of a row; row -1: the head. Their number.
static int trials_cells(const trials_table *t, int row, bool page, char (*cells)[64]) {
    const trials *r = &t->rows[row < 0 ? 0 : row];
    int n = 0;
    if (t->models > 1) {
        char size[32];
        int end = (int)strlen(r->model), begin;
        while (end > 1 && r->model[end - 1] == '/') end--;
        for (begin = end; begin && r->model[begin - 1] != '/';) begin--;
        say_number(size, sizeof(size), (double)r->model_parameters, "");
        if (row < 0) snprintf(cells[n++], 64, "model");
        else
            snprintf(cells[n++], 64, "%.*s, %s", end - begin < 30 ? end - begin : 30, r->model + begin, size);
    }
    snprintf(cells[n++], 64, "%s", row < 0 ? t->first : r->name);
    for (int i = 0; i < t->shown_count; i++, n++)
        if (row < 0) snprintf(cells[n], 64, "%s", quantities[t->shown[i]].name);
        else quantity_cell(cells[n], r, t->shown[i], page);
    return n;
}

// On a terminal, columns that do not fit go below the others.
static void trials_print(const trials_table *t) {
    enum { TERMINAL = 80 };
    static char cells[MOST_TRIALS + 1][CELLS][64];
    int n = 0, wide[CELLS] = {0}, left = t->models > 1 ? 2 : 1;
    for (int i = 0; i <= t->count; i++) {
        n = trials_cells(t, i - 1, experiment.markdown, cells[i]);
        for (int c = 0; c < n; c++) wide[c] = (int)fmax(wide[c], (double)strlen(cells[i][c]));
    }
    for (int i = 0; i <= t->count && experiment.markdown; i++) {
        for (int c = 0; c < n; c++) printf("%s %s |", c ? "" : "|", cells[i][c]);
        for (int c = 0; c < n && !i; c++) printf("%s%s", c ? "" : "\n|", c < left ? "---|" : "---:|");
        printf("\n");
    }
    for (int c0 = left, c1; c0 < n && !experiment.markdown; c0 = c1) {
        int width = wide[0] + (left > 1 ? 1 + wide[1] : 0);
        for (c1 = c0; c1 < n && (c1 == c0 || width + 1 + wide[c1] <= TERMINAL); c1++) width += 1 + wide[c1];
        for (int i = 0; i <= t->count; i++) {
            for (int c = 0; c < left; c++) printf("%s%-*s", c ? " " : "", wide[c], cells[i][c]);
            for (int c = c0; c < c1; c++) printf(" %*s", wide[c], cells[i][c]);
            printf("\n");
        }
        if (c1 < n) printf("\n");
    }
}

static const char answers_measured[] = "Answer: the time of 16 new tokens over the base's; adapters work "
                                       "beside the weights (a merged one takes 1.00x).";

// A panel of bars per quantity, a row per method.
static void trials_bars(picture *p, const trials_table *t) {
    static const int shown[] = {ROUGE_L, TRAINED, MEMORY, SECONDS, COST, DISK};
    bar_row rows[MOST_TRIALS];
    double values[MOST_TRIALS], spread[MOST_TRIALS];
    char texts[MOST_TRIALS][64];
    for (int i = 0; i < t->count; i++) rows[i] = (bar_row){t->rows[i].name, NULL, t->rows[i].look};
    p->rows = rows, p->row_count = t->count, p->bar = 140, p->count = COUNT(shown), p->columns = 3;
    picture_begin(p, 13);
    for (int k = 0; k < COUNT(shown); k++) {
        int q = shown[k];
        for (int i = 0; i < t->count; i++) {
            values[i] = t->rows[i].mean[q], spread[i] = t->rows[i].deviation[q];
            quantity_cell(texts[i], &t->rows[i], q, true);
        }
        panel_bars(p, &(bars){quantities[q].title, values, NULL, q < SCORES ? spread : NULL, texts,
                              quantities[q].logarithmic, quantities[q].most});
    }
}

// A panel of curves per quantity: over x, a curve for all rows of one name. Rows are in the order of x.
static void trials_curves(picture *p, const trials_table *t, const double *x, const char *x_name,
                          bool named) {
    static double xs[MOST_TRIALS], ys[MOST_TRIALS], spread[MOST_TRIALS];
    curve curves[32];
    p->count = t->shown_count;
    picture_begin(p, 0);
    for (int k = 0; k < t->shown_count; k++) {
        int q = t->shown[k], count = 0, n = 0;
        for (int i = 0; i < t->count && count < COUNT(curves); i++) {
            bool begun = false;
            for (int j = 0; j < i && named; j++) begun |= strcmp(t->rows[j].name, t->rows[i].name) == 0;
            if (begun || (!named && i)) continue;
            curve *c = &curves[count++];
            *c = (curve){.name = t->rows[i].name, .look = t->rows[i].look, .x = xs + n, .y = ys + n};
            c->spread = spread + n;
            for (int j = i; j < t->count; j++)
                if (!named || strcmp(t->rows[j].name, t->rows[i].name) == 0)
                    xs[n] = x[j], ys[n] = t->rows[j].mean[q], spread[n++] = t->rows[j].deviation[q],
                    c->count++;
        }
        panel_curves(p, quantities[q].title, curves, count, x_name, quantities[q].unit,
                     LOG_X | (quantities[q].logarithmic ? LOG_Y : 0));
    }
}

// Writes the page, or the picture alone. `x`, of each row: curves over it; NULL: bars.
static int trials_report(const trials_table *t, const double *x, const char *x_name) {
    output o;
    if (!experiment.report) return EXIT_OK;
    FILE *f = output_open(&o, cli.command, experiment.report);
    if (!f) return EXIT_DATA;
    char cells[CELLS][64], about[256];
    picture p = {.f = f, .alone = ends_with(experiment.report, ".svg"), .title = t->title,
                 .notes = {about, answers_measured}};
    bool many = t->models > 1;
    if (!p.alone) {
        report_begin(f, t->title);
        fputs("<table class=\"tight\">\n", f);
        for (int i = -1; i < t->count; i++) {
            const char *row[CELLS];
            int n = trials_cells(t, i, true, cells);
            for (int c = 0; c < n; c++) row[c] = cells[c];
            report_row(f, i < 0 ? "th" : "td", row, n, many ? 2 : 1);
        }
        fputs("</table>\n", f);
    }
    snprintf(about, sizeof(about),
             "%.100s: %lld examples, %lld held out, %lld run%s of each; whiskers show the deviation.",
             many ? "Models of several sizes" : t->rows->model, (long long)peft_dataset_count(t->data),
             (long long)peft_dataset_count(t->test), (long long)experiment.seeds,
             experiment.seeds > 1 ? "s" : "");
    if (many || !x)
        p.notes[2] = "Blue: low rank (reparameterization); green: additive; violet: selective; brown, in "
                     "the dark orange: all weights.";
    p.columns = many ? 2 : 3, p.width = many ? 440 : 300, p.height = many ? 320 : 220;
    if (x) trials_curves(&p, t, x, x_name, many);
    else trials_bars(&p, t);
    picture_end(&p);
    if (!p.alone) report_end(f);
    return output_close(&o, true);
}

// The table and, where it is asked for, the picture.
static int trials_show(const trials_table *t, const double *x, const char *x_name) {
    for (int i = 0; i < t->count && cli.json; i++) trials_json(&t->rows[i]);
    if (!cli.json) {
        trials_print(t);
        if (!experiment.markdown) printf("\n%s\n", answers_measured);
    }
    return trials_report(t, x, x_name);
}

// Training and test data of compare and sweep.
static int experiment_data(peft_dataset **all, peft_dataset **data, peft_dataset **test) {
    *all = *data = *test = NULL;
    if (!cli.rest.count || !input.data.count) return wrong("give a model folder and --data FILE");
    if (experiment.seeds < 1 || experiment.seeds > 100)
        return wrong("--seeds %lld is not 1 to 100", (long long)experiment.seeds);
    peft_optimizer_kind optimizer;
    if (parse_optimizer(&optimizer)) return EXIT_USAGE;
    signal(SIGINT, on_interrupt);
    int code = experiment.report ? output_check(cli.command, experiment.report) : EXIT_OK;
    if (!code) code = open_lessons(all, NULL);
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
    static const int shown[] = {TRAINED, LOSS,   ROUGE_L, BLEU, NIST, METEOR,
                                CIDER,   MEMORY, SECONDS, COST, DISK};
    double ranks[MOST_NUMBERS];
    char names[MOST_NUMBERS][32];
    trials rows[MOST_NUMBERS];
    peft_dataset *all, *data, *test;
    if (!experiment.seeds) experiment.seeds = 3;
    int count = parse_numbers(experiment.ranks ? experiment.ranks : "1,2,4,8,16", ranks);
    const peft_method_info *method = method_of(tuned.method);
    if (check_method(tuned.method)) return EXIT_USAGE;
    if (!method || (method->method != PEFT_LORA && method->method != PEFT_DORA))
        return wrong("--method %s has no rank", tuned.method);
    if (cli.rest.count > 1) return wrong("give one model folder");
    if (count < 1) return wrong("--r %s is no list of ranks", experiment.ranks);
    qsort(ranks, (size_t)count, sizeof(double), by_size);
    for (int i = 0; i < count; i++) {
        if (!(ranks[i] >= 1 && ranks[i] <= 65536 && ranks[i] == floor(ranks[i])))
            return wrong("--r %s: %g is no rank", experiment.ranks, ranks[i]);
        if (i && ranks[i] == ranks[i - 1])
            return wrong("--r %s: %g is given twice", experiment.ranks, ranks[i]);
    }
    int code = experiment_data(&all, &data, &test);
    memset(rows, 0, sizeof(rows));
    for (int i = 0; i < count && !code; i++) {
        tuned.r = (int64_t)ranks[i];
        snprintf(names[i], sizeof(names[i]), "r = %lld", (long long)tuned.r);
        rows[i].name = names[i], rows[i].model = cli.rest.items[0], rows[i].look = LOOK_LOW_RANK;
        code = trials_run(method, data, test, &rows[i]);
    }
    trials_table t = {"Rank sweep", "rank", rows, count, 1, shown, COUNT(shown), data, test};
    if (!code) code = trials_show(&t, ranks, "rank");
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

static int look_of(const peft_method_info *method) {
    return !method ? LOOK_WHOLE : strncmp(method->family, "add", 3) == 0 ? LOOK_ADDITIVE
        : strcmp(method->family, "selective") == 0 ? LOOK_SELECTIVE : LOOK_LOW_RANK;
}

// The models by their size: those that cannot be read are found before anything is trained.
static int compare_models(const char **models, double *sizes) {
    int code = EXIT_OK;
    for (int i = 0; i < cli.rest.count && !code; i++) {
        peft_model *m = NULL;
        code = open_model(cli.rest.items[i], true, &m);
        double size = m ? (double)peft_model_parameter_count(m) : 0;
        peft_model_destroy(m);
        int at = i;
        for (; at && sizes[at - 1] > size; at--) sizes[at] = sizes[at - 1], models[at] = models[at - 1];
        sizes[at] = size, models[at] = cli.rest.items[i];
    }
    return code;
}

static int run_compare(void) {
    static const int shown[] = {ROUGE_L, LOSS, TRAINED, MEMORY, SECONDS, COST, DISK};
    const char *models[MOST_MODELS];
    double sizes[MOST_MODELS], *x = NULL;
    peft_dataset *all, *data, *test;
    int count = 0;
    if (!experiment.seeds) experiment.seeds = 3;
    if (cli.rest.count > MOST_MODELS)
        return wrong("%d models, at most %d are compared", cli.rest.count, MOST_MODELS);
    if (check_methods(tuned.method)) return EXIT_USAGE;
    int code = experiment_data(&all, &data, &test);
    trials *rows = (trials *)calloc(MOST_TRIALS, sizeof(trials));
    if (!rows && !code) code = EXIT_MEMORY;
    if (!code) code = compare_models(models, sizes);
    for (int k = 0; k < cli.rest.count && !code; k++) {
        rows[count] = (trials){.name = "base model", .model = models[k], .look = LOOK_BASE};
        code = trial_run(NULL, -1, NULL, test, &rows[count]);
        trials_end(&rows[count++]);
        for (int64_t i = 0; !code; i++) {
            const peft_method_info *method = peft_method_at(i);
            const char *name = method ? method->name : "full";
            if (named_in(tuned.method, name)) {
                rows[count] = (trials){.name = name, .model = models[k], .look = look_of(method)};
                code = trials_run(method, data, test, &rows[count]);
                if (!code) count++;
                if (code == EXIT_LIMIT && !tuned.method)
                    code = EXIT_OK;  // was said; the others can be compared
            }
            if (!method) break;
        }
    }
    if (!code && cli.rest.count > 1 && (x = (double *)malloc((size_t)count * sizeof(double))) == NULL)
        code = EXIT_MEMORY;
    for (int i = 0; i < count && x; i++) x[i] = (double)rows[i].model_parameters;
    trials_table t = {"Methods compared", "method", rows, count, cli.rest.count, shown, COUNT(shown), data,
                      test};
    if (t.models > 1) t.title = "Methods and the size of models";
    if (!code) code = trials_show(&t, x, "parameters of the model");
    free(x);
    free(rows);
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
    char names[MOST_TASKS + 1][32];
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
        trials_add(&r->cells[run][i], scores, SCORES);
        if (i == 0) first = scores[ROUGE_L];
        for (int k = 0; k < SCORES && i; k++) others[k] += scores[k] / (r->count - 1);
    }
    trials_add(&r->cells[run][r->count], others, SCORES);
    if (!status && run && !cli.quiet)
        fprintf(stderr, "%s, seed %lld: ROUGE-L %.2f, of the others %.2f, %.1f s of training\n",
                run_names[run], (long long)seed, first, others[ROUGE_L], result.seconds);
    return status;
}

static void forget_json(const forgetting *r) {
    for (int k = 0; k < RUNS; k++)
        for (int i = 0; i < r->count; i++) {
            const trials *c = &r->cells[k][i];
            printf("{\"run\":\"%s\",", run_names[k]);
            json_pair(stdout, "task", r->names[i], ",");
            json_print(
                stdout,
                "\"runs\":%d,\"loss\":%.6f,\"rougeL\":%.4f,\"exact_match\":%.4f,\"rougeL_deviation\":%.4f}\n",
                c->count, c->mean[LOSS], c->mean[ROUGE_L], c->mean[EXACT], c->deviation[ROUGE_L]);
        }
}

static const int forget_shown[] = {ROUGE_L, EXACT, LOSS};
static const char *const forget_says[] = {"ROUGE-L", "exact match, %", "loss per token"};

static void forget_row(char (*cells)[64], int n) {
    for (int i = 0; i < n; i++) {
        if (experiment.markdown) printf("%s %s |", i ? "" : "|", cells[i]);
        else printf(i ? " %15s" : "%-20s", cells[i]);
    }
    printf("\n");
}

static void forget_print(const forgetting *r) {
    char cells[MOST_TASKS + 2][64];
    for (int q = 0; q < COUNT(forget_shown); q++) {
        snprintf(cells[0], 64, "%s", forget_says[q]);
        for (int i = 0; i <= r->count; i++) snprintf(cells[1 + i], 64, "%s", r->names[i]);
        forget_row(cells, r->count + 2);
        for (int i = 0; i < r->count + 2 && experiment.markdown; i++)
            printf("%s%s", i ? "" : "|", i ? "---:|" : "---|");
        if (experiment.markdown) printf("\n");
        for (int k = 0; k < RUNS; k++) {
            snprintf(cells[0], 64, "%s", run_names[k]);
            for (int i = 0; i <= r->count; i++)
                quantity_cell(cells[1 + i], &r->cells[k][i], forget_shown[q], experiment.markdown);
            forget_row(cells, r->count + 2);
        }
        printf("\n");
    }
}

// A row of panels per quantity, a panel per run: each task before and after.
static int forget_report(const forgetting *r) {
    static const int looks[RUNS] = {LOOK_BASE, LOOK_WHOLE, LOOK_WHOLE, LOOK_LOW_RANK};
    static const char says[] = "Ring: base model; disc: after training on the first task, or on all.";
    double before[MOST_TASKS + 1], after[MOST_TASKS + 1], spread[MOST_TASKS + 1], most[COUNT(forget_shown)];
    char texts[MOST_TASKS + 1][64], cell[64], title[96];
    bar_row rows[MOST_TASKS + 1];
    output o;
    FILE *f = output_open(&o, "forget", experiment.report);
    if (!f) return EXIT_DATA;
    picture p = {.f = f, .alone = ends_with(experiment.report, ".svg"), .title = "What is forgotten",
                 .notes = {says}, .count = (RUNS - 1) * COUNT(forget_shown), .columns = RUNS - 1,
                 .rows = rows, .row_count = r->count + 1, .bar = 96};
    for (int i = 0; i <= r->count; i++) rows[i] = (bar_row){r->names[i], NULL, 0};
    if (!p.alone) report_begin(f, p.title);
    picture_begin(&p, 22);
    for (int k = 1; k < RUNS * COUNT(forget_shown); k++) {
        int run = k % RUNS, q = forget_shown[k / RUNS];
        if (!run) continue;
        most[k / RUNS] = quantities[q].most;  // the same scale for all runs
        for (int i = 0; i < RUNS * (r->count + 1) && !quantities[q].most; i++)
            most[k / RUNS] = fmax(most[k / RUNS], r->cells[i % RUNS][i / RUNS].mean[q]);
        for (int i = 0; i <= r->count; i++) {
            const trials *c = &r->cells[run][i];
            rows[i].look = looks[run], before[i] = r->cells[0][i].mean[q], after[i] = c->mean[q],
            spread[i] = c->deviation[q];
            quantity_cell(cell, c, q, true);
            snprintf(texts[i], 64, "%.2f \xE2\x86\x92 %.40s", before[i], cell);
        }
        snprintf(title, sizeof(title), "%s: %s", run_names[run], forget_says[k / RUNS]);
        panel_bars(&p, &(bars){title, after, before, spread, texts, false, most[k / RUNS]});
    }
    picture_end(&p);
    if (!p.alone) report_end(f);
    return output_close(&o, true);
}

static int forget_all(forgetting *r) {
    const char *names[MOST_TASKS];
    int code = experiment.report ? output_check("forget", experiment.report) : EXIT_OK;
    snprintf(r->names[r->count], sizeof(r->names[0]), "mean of others");
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
    {"compare", "MODEL ... --data FILE", "train every method with one budget: what each costs and brings", \
     "  peft compare flan-t5-small --data train.jsonl --test test.jsonl --seeds 3 --markdown\n  peft " \
     "compare gpt2 --data train.jsonl --method lora,ia3,full --report costs.svg\n  peft " \
     "compare small medium large --data train.jsonl --method lora,prompt,full --report sizes.html\n", \
     compare_options, COUNT(compare_options), run_compare}, \
    {"forget", "MODEL NAME=TRAIN,TEST ...", "what is forgotten of other tasks while the first is learned", \
     "  peft forget flan-t5-small sums=sums.jsonl,sums.test.jsonl " \
     "copy=copy.jsonl,copy.test.jsonl --report forget.html\n", forget_options, \
     COUNT(forget_options), run_forget}

#endif
