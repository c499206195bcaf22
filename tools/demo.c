// The main job: a small instruction-tuned T5 learns to summarize dialogues: by examples in the prompt, by a soft prompt, by
// LoRA, with all its weights, and with all of them on old tasks too. Each is scored on held-out dialogues, and on old tasks.
//   build/demo_run MODEL FOLDER    FOLDER has train, validation, test, old.train and old.test.jsonl, and names.txt
#define PEFT_IMPLEMENTATION
#include "peft.h"

#include "cli.h"

static const char *const prompt = "Summarize the following conversation.\n\n{{dialogue}}\n\nSummary:";
enum { SHOTS = 2, SAMPLES = 8, SEED = 1 };

enum { BASE, FEW_SHOT, PROMPT, LORA, FULL, MIXTURE, RUNS };

typedef struct run {
    const char *key, *name;
    int look;
    peft_rouge_result rouge;
    double known_words, faithful, old_tasks;  // shares; negative: nothing to count
    char **texts;
    double seconds, loss;
    int64_t trainable, total, bytes;
    curve training, validation;
    double smooth;
} run;

static run runs[RUNS] = {
    {.key = "base", .name = "base model, zero-shot", .look = LOOK_BASE},
    {.key = "few_shot", .name = "2 examples in the prompt", .look = LOOK_BASE},
    {.key = "prompt", .name = "prompt tuning", .look = LOOK_ADDITIVE},
    {.key = "lora", .name = "LoRA r 8, all linear", .look = LOOK_LOW_RANK},
    {.key = "full", .name = "full fine-tuning", .look = LOOK_WHOLE},
    {.key = "mixture", .name = "full, old tasks mixed in", .look = LOOK_WHOLE}};

typedef struct list {
    char **items;
    int64_t count, capacity;
} list;

static peft_context *ctx;
static peft_dataset *train, *validation, *test, *old_train, *old_test, *mixed, *shots;
static int64_t count, old_count;                       // of test examples
static const char **prompts, **humans, **with_shots, **old_prompts, **old_answers;
static list words, names;                              // of the training texts; people, places, days and times
static int64_t order[SAMPLES];                         // the dialogues that are shown, drawn at random

static int complain(const char *what) {
    fprintf(stderr, "demo: %s: %s\n", what, peft_error(ctx));
    return EXIT_DATA;
}

// ---- are its words English, are its names those of the dialogue?

static bool in_word(char c) { return isalnum((unsigned char)c) || c == '\'' || (unsigned char)c >= 128; }

static bool add(list *l, const char *s, size_t n) {
    if (l->count == l->capacity) {
        int64_t capacity = l->capacity ? 2 * l->capacity : 256;
        char **items = (char **)realloc(l->items, (size_t)capacity * sizeof(char *));
        if (!items) return false;
        l->items = items, l->capacity = capacity;
    }
    char *copy = (char *)malloc(n + 1);
    if (!copy) return false;
    memcpy(copy, s, n);
    copy[n] = 0;
    l->items[l->count++] = copy;
    return true;
}

static int by_text(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

static bool add_words(list *l, const char *s) {
    while (*s) {
        size_t n = 0;
        while (in_word(s[n])) n++;
        if (n && !add(l, s, n)) return false;
        s += n ? n : 1;
    }
    return true;
}

// Where `what` stands in s as whole words, or NULL.
static const char *find_words(const char *s, const char *what) {
    size_t n = strlen(what);
    for (const char *at = s; (at = strstr(at, what)) != NULL; at++)
        if ((at == s || !in_word(at[-1])) && !in_word(at[n])) return at;
    return NULL;
}

// The share of its words that training texts or the prompt have; the share of its names that the dialogue has.
static bool check_words(run *r, const char *const *asked) {
    int64_t known = 0, all = 0, faithful = 0, named = 0;
    for (int64_t i = 0; i < count; i++) {
        list mine = {NULL, 0, 0};
        bool ok = add_words(&mine, r->texts[i]);
        for (int64_t k = 0; k < mine.count; k++) {
            known += bsearch(&mine.items[k], words.items, (size_t)words.count, sizeof(char *), by_text) ||
                     find_words(asked[i], mine.items[k]);
            all++;
            free(mine.items[k]);
        }
        free(mine.items);
        if (!ok) return false;
        for (int64_t k = 0; k < names.count; k++)
            for (const char *at = r->texts[i]; (at = find_words(at, names.items[k])) != NULL; at++, named++)
                faithful += find_words(prompts[i], names.items[k]) != NULL;
    }
    r->known_words = all ? (double)known / (double)all : -1;
    r->faithful = named ? (double)faithful / (double)named : -1;
    return true;
}

static bool watch(const peft_progress *p, void *user) {
    run *r = (run *)user;
    r->smooth = p->step == 1 ? p->loss : 0.9 * r->smooth + 0.1 * p->loss;
    curve_add(&r->training, (double)p->step, r->smooth);
    if (p->evaluated) curve_add(&r->validation, (double)p->step, p->eval_loss);
    if (is_terminal(stderr) && (p->step % 5 == 0 || p->step == p->steps))
        fprintf(stderr, "\r  step %lld/%lld  loss (smoothed) %.3f  %.0f tok/s  %.0f s left   %s", (long long)p->step, (long long)p->steps, r->smooth, p->tokens_per_second,
                p->seconds_left, p->step == p->steps ? "\r                                                             \r" : "");
    r->loss = p->eval_loss;
    return true;
}

static peft_status score(run *r, peft_model *m, const peft_adapter *a) {
    r->texts = (char **)calloc((size_t)count, sizeof(char *));
    char **old = (char **)calloc((size_t)old_count, sizeof(char *));
    if (!r->texts || !old) return PEFT_ERROR_MEMORY;
    if (is_terminal(stderr)) fprintf(stderr, "\r  %lld answers ...   \r", (long long)(count + old_count));
    peft_generate_desc g = {.model = m, .adapter = a, .max_new_tokens = 60};
    const char **asked = r == &runs[FEW_SHOT] ? with_shots : prompts;
    peft_status status = peft_generate_texts(&g, asked, count, r->texts);
    if (!status) status = peft_generate_texts(&g, old_prompts, old_count, old);
    int64_t right = 0;
    for (int64_t i = 0; i < old_count && !status; i++) right += strcmp(old[i], old_answers[i]) == 0;
    r->old_tasks = (double)right / (double)old_count;
    for (int64_t i = 0; i < old_count; i++) peft_free(ctx, old[i]);
    free(old);
    if (status) return status;
    if (!check_words(r, asked)) return PEFT_ERROR_MEMORY;
    return peft_rouge(&(peft_rouge_desc){.context = ctx, .predictions = (const char *const *)r->texts, .references = humans,
                                         .count = count, .use_stemmer = true, .bootstrap_samples = 1000, .seed = SEED},
                      &r->rouge);
}

static int64_t file_size(const char *folder, const char *name) {
    char path[2048];
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    FILE *f = fopen(path, "rb");
    if (!f) return 0;
    int64_t n = fseek(f, 0, SEEK_END) ? 0 : (int64_t)ftell(f);
    fclose(f);
    return n;
}

// One row of the table: train, save, generate, score.
static peft_status tune(int which, const char *path, const char *folder) {
    run *r = &runs[which];
    peft_model *m = NULL;
    peft_adapter *a = NULL;
    peft_train_result result = {0};
    bool full = which == FULL || which == MIXTURE;
    char out[1024];
    snprintf(out, sizeof(out), "%s/%s", folder, r->key);
    peft_adapter_desc how = {.r = 8, .alpha = 32, .target_modules = "all-linear", .seed = SEED};
    if (which == PROMPT) how = (peft_adapter_desc){.method = PEFT_PROMPT_TUNING, .num_virtual_tokens = 20, .seed = SEED};
    peft_status status = peft_model_load(&(peft_model_desc){.context = ctx, .path = path}, &m);
    how.model = m;
    if (!status && !full) status = peft_adapter_create(&how, &a);
    peft_train_desc t = {.model = m, .adapter = a, .data = which == MIXTURE ? mixed : train, .validation = validation,
                         .epochs = which == MIXTURE ? 3 : 1, .batch_size = which == MIXTURE ? 16 : 8,
                         .learning_rate = full ? 1e-3f : which == LORA ? 5e-3f : 0,
                         .warmup_steps = 10, .max_source = 256, .max_target = 64, .eval_every = 50, .seed = SEED,
                         .progress = watch, .progress_user = r};
    if (!status) status = peft_train(&t, &result);
    if (!status) status = full ? peft_model_save(m, out, PEFT_F32) : peft_adapter_save(a, out);
    r->seconds = result.seconds;
    r->trainable = result.trainable, r->total = result.total;
    r->bytes = file_size(out, full ? "model.safetensors" : "adapter_model.safetensors");
    if (!status) status = score(r, m, a);
    peft_adapter_destroy(a);
    peft_model_destroy(m);
    return status;
}

static void share(char *out, size_t size, double x) {
    if (x < 0) snprintf(out, size, "-");
    else snprintf(out, size, "%.1f", 100 * x);
}

static void print_table(FILE *f, bool html) {
    enum { COLUMNS = 11 };
    static const char *const head[COLUMNS] = {"method", "ROUGE-1", "ROUGE-2", "ROUGE-L", "95 % of it", "known words",
                                              "faithful", "old tasks", "trained", "seconds", "file, kB"};
    static const int width[COLUMNS] = {-25, 8, 8, 8, 14, 12, 9, 10, 9, 8, 9};
    if (html) {
        fputs("<table>\n", f);
        report_row(f, "th", head, COLUMNS, 1);
    }
    for (int i = html ? 0 : -1; i < RUNS; i++) {
        char cell[COLUMNS][64];
        const char *row[COLUMNS];
        for (int c = 0; c < COLUMNS; c++) row[c] = i < 0 ? head[c] : cell[c];
        if (i >= 0) {
            const run *r = &runs[i];
            snprintf(cell[0], 64, "%s", r->name);
            snprintf(cell[1], 64, "%.2f", 100 * r->rouge.mean.rouge1.f1);
            snprintf(cell[2], 64, "%.2f", 100 * r->rouge.mean.rouge2.f1);
            snprintf(cell[3], 64, "%.2f", 100 * r->rouge.mean.rougeL.f1);
            snprintf(cell[4], 64, "%.1f to %.1f", 100 * r->rouge.low.rougeL.f1, 100 * r->rouge.high.rougeL.f1);
            share(cell[5], 64, r->known_words);
            share(cell[6], 64, r->faithful);
            share(cell[7], 64, r->old_tasks);
            snprintf(cell[8], 64, "%lld", (long long)r->trainable);
            snprintf(cell[9], 64, "%.1f", r->seconds);
            snprintf(cell[10], 64, "%.0f", (double)r->bytes / 1000);
        }
        if (html) report_row(f, "td", row, COLUMNS, 1);
        else for (int c = 0; c < COLUMNS; c++) fprintf(f, "%*s%s", width[c], row[c], c + 1 < COLUMNS ? "" : "\n");
    }
    if (html) fputs("</table>\n", f);
}

static FILE *create(const char *folder, const char *name, char *path, size_t size) {
    snprintf(path, size, "%s/%s", folder, name);
    FILE *f = fopen(path, "wb");
    if (!f) fprintf(stderr, "demo: %s: %s\n", path, strerror(errno));
    return f;
}

static void json_share(FILE *f, const char *key, double x) {
    if (x < 0) fprintf(f, ",\"%s\":null", key);
    else fprintf(f, ",\"%s\":%.6f", key, x);
}

static bool write_json(const char *folder) {
    char path[1024];
    FILE *f = create(folder, "report.json", path, sizeof(path));
    if (!f) return false;
    fputc('{', f);
    for (int i = 0; i < RUNS; i++) {
        const run *r = &runs[i];
        const peft_rouge_scores *m = &r->rouge.mean;
        fprintf(f, "%s\"%s\":{\"rouge1\":%.6f,\"rouge2\":%.6f,\"rougeL\":%.6f,\"rougeLsum\":%.6f", i ? "," : "", r->key,
                m->rouge1.f1, m->rouge2.f1, m->rougeL.f1, m->rougeLsum.f1);
        json_share(f, "known_words", r->known_words);
        json_share(f, "faithful", r->faithful);
        json_share(f, "old_tasks", r->old_tasks);
        if (r->trainable)
            fprintf(f, ",\"trainable\":%lld,\"total\":%lld,\"seconds\":%.3f,\"bytes\":%lld", (long long)r->trainable,
                    (long long)r->total, r->seconds, (long long)r->bytes);
        fputc('}', f);
    }
    fprintf(f, ",\"examples\":%lld,\"old_examples\":%lld,", (long long)count, (long long)old_count);
    json_pair(f, "signature", runs[0].rouge.signature, "}\n");
    return fclose(f) == 0;
}

// The held-out dialogue that a method summarized worst, by ROUGE-L.
static int64_t worst_of(const run *r) {
    int64_t worst = 0;
    double low = 2;
    for (int64_t i = 0; i < count; i++) {
        peft_rouge_scores s;
        if (peft_rouge_pair(ctx, r->texts[i], humans[i], true, &s) || s.rougeL.f1 >= low) continue;
        low = s.rougeL.f1, worst = i;
    }
    return worst;
}

static void html_sample(FILE *f, int64_t i) {
    const char *cells[RUNS + 2] = {prompts[i], humans[i]};
    for (int r = 0; r < RUNS; r++) cells[2 + r] = runs[r].texts[i];
    fputs("<tr>", f);
    for (int c = 0; c < RUNS + 2; c++) {
        fputs("<td><pre>", f);
        html_text(f, cells[c]);
        fputs("</pre></td>", f);
    }
    fputs("</tr>\n", f);
}

static bool write_html(const char *folder) {
    static const char *const scores[] = {"ROUGE-1", "ROUGE-2", "ROUGE-L"};
    const char *head[RUNS + 2] = {"dialogue", "human"};
    bar_row rows[RUNS];
    double values[3 * RUNS];
    char path[1024];
    FILE *f = create(folder, "report.html", path, sizeof(path));
    if (!f) return false;
    report_begin(f, "Dialogue summaries, before and after");
    print_table(f, true);
    fputs("<p>", f);
    html_text(f, runs[0].rouge.signature);
    fprintf(f, ", %lld held-out dialogues, the interval by bootstrap. Known words: the share of its words that the training "
            "texts or the prompt have; faithful: the share of its people, places, days and times that the dialogue has; "
            "old tasks: the share of %lld held-out examples of them that is answered word for word.</p>\n",
            (long long)count, (long long)old_count);
    for (int i = 0; i < RUNS; i++) {
        head[2 + i] = runs[i].name, rows[i] = (bar_row){runs[i].name, NULL, runs[i].look};
        values[i] = 100 * runs[i].rouge.mean.rouge1.f1;
        values[RUNS + i] = 100 * runs[i].rouge.mean.rouge2.f1;
        values[2 * RUNS + i] = 100 * runs[i].rouge.mean.rougeL.f1;
    }
    report_heading(f, "ROUGE F1, in percent");
    report_bars(f, scores, 3, rows, RUNS, values, "%.1f", 100);
    curve curves[RUNS];
    for (int i = PROMPT; i < RUNS; i++) {
        curves[i - PROMPT] = runs[i].validation;
        curves[i - PROMPT].name = runs[i].name, curves[i - PROMPT].look = runs[i].look;
    }
    report_curves(f, "Loss per token of the held-out dialogues", curves, RUNS - PROMPT, "step");
    report_heading(f, "Samples, drawn at random");
    fputs("<table>\n", f);
    report_row(f, "th", head, RUNS + 2, RUNS + 2);
    for (int i = 0; i < SAMPLES; i++) html_sample(f, order[i]);
    fputs("</table>\n", f);
    report_heading(f, "The worst of LoRA and of full fine-tuning");
    fputs("<table>\n", f);
    report_row(f, "th", head, RUNS + 2, RUNS + 2);
    html_sample(f, worst_of(&runs[LORA]));
    html_sample(f, worst_of(&runs[FULL]));
    fputs("</table>\n", f);
    report_end(f);
    return fclose(f) == 0;
}

static bool load(const char *folder, const char *name, const char *asks, const char *answers, peft_dataset **out) {
    char path[1024];
    snprintf(path, sizeof(path), "%s/%s.jsonl", folder, name);
    return !peft_dataset_load(&(peft_dataset_desc){.context = ctx, .path = path, .prompt = asks, .completion = answers}, out);
}

static bool read_names(const char *folder) {
    char path[1024], line[128];
    snprintf(path, sizeof(path), "%s/names.txt", folder);
    FILE *f = fopen(path, "r");
    if (!f) {
        fprintf(stderr, "demo: %s: %s\n", path, strerror(errno));
        return false;
    }
    bool ok = true;
    while (ok && fgets(line, sizeof(line), f)) ok = add(&names, line, strcspn(line, "\n"));
    fclose(f);
    return ok;
}

// The texts of a dataset as arrays.
static bool texts_of(const peft_dataset *d, int64_t *n, const char ***asks, const char ***answers) {
    *n = peft_dataset_count(d);
    *asks = (const char **)calloc((size_t)*n, sizeof(char *)), *answers = (const char **)calloc((size_t)*n, sizeof(char *));
    for (int64_t i = 0; i < *n && *asks && *answers; i++)
        (*asks)[i] = peft_dataset_prompt(d, i), (*answers)[i] = peft_dataset_completion(d, i);
    return *asks && *answers;
}

// The dialogues under examples of the training split, drawn anew for each.
static peft_status show_examples(const peft_model *m, peft_dataset *questions) {
    for (int64_t i = 0; i < count; i++) {
        peft_few_shot_result r;
        peft_status status = peft_few_shot(&(peft_few_shot_desc){
            .context = ctx, .tokenizer = peft_model_tokenizer(m), .examples = shots, .shots = SHOTS, .random = true,
            .seed = (uint64_t)(SEED + i), .shot = "Dialogue: {{prompt}}\nSummary: {{completion}}\n\n",
            .query = "Dialogue: {{prompt}}\nSummary:", .question = peft_dataset_prompt(questions, i)}, &r);
        if (status) return status;
        with_shots[i] = r.text;
        peft_free(ctx, r.indices);
    }
    return PEFT_OK;
}

static void tell(const run *r, int64_t i) {
    printf("  %-26s %s\n", r->name, r->texts[i]);
    fflush(stdout);
}

static int demo(const char *path, const char *folder) {
    peft_dataset *questions = NULL;
    if (!load(folder, "train", prompt, "{{summary}}", &train) || !load(folder, "validation", prompt, "{{summary}}", &validation) ||
        !load(folder, "test", prompt, "{{summary}}", &test) || !load(folder, "train", "{{dialogue}}", "{{summary}}", &shots) ||
        !load(folder, "test", "{{dialogue}}", "{{summary}}", &questions) || !load(folder, "old.train", NULL, NULL, &old_train) ||
        !load(folder, "old.test", NULL, NULL, &old_test)) return complain("data");
    if (!read_names(folder)) return EXIT_DATA;
    const peft_dataset *const both[] = {train, old_train};
    if (peft_dataset_mix(&(peft_mix_desc){.datasets = both, .count = 2, .seed = SEED}, &mixed)) return complain("mixture");
    if (!texts_of(test, &count, &prompts, &humans) || !texts_of(old_test, &old_count, &old_prompts, &old_answers)) return EXIT_MEMORY;
    with_shots = (const char **)calloc((size_t)count, sizeof(char *));
    for (int64_t i = 0; i < peft_dataset_count(train); i++)
        if (!add_words(&words, peft_dataset_prompt(train, i)) || !add_words(&words, peft_dataset_completion(train, i))) return EXIT_MEMORY;
    qsort(words.items, (size_t)words.count, sizeof(char *), by_text);
    uint64_t random = SEED;
    for (int i = 0; i < SAMPLES; i++) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        order[i] = (int64_t)((random >> 33) % (uint64_t)count);
    }

    peft_model *m;
    if (peft_model_load(&(peft_model_desc){.context = ctx, .path = path}, &m)) return complain("model");
    printf("A T5 of %lld parameters that never saw a summary; %lld dialogues to learn from, %lld held-out ones to score.\n\n%s\n\n  %-26s %s\n",
           (long long)peft_model_parameter_count(m), (long long)peft_dataset_count(train), (long long)count, prompts[order[0]],
           "a human", humans[order[0]]);
    fflush(stdout);
    peft_status status = show_examples(m, questions);
    for (int r = BASE; r <= FEW_SHOT && !status; r++) {
        status = score(&runs[r], m, NULL);
        if (!status) tell(&runs[r], order[0]);
    }
    peft_model_destroy(m);
    peft_dataset_destroy(questions);
    if (status) return complain("base model");
    for (int r = PROMPT; r < RUNS; r++) {
        if (tune(r, path, folder)) return complain(runs[r].name);
        tell(&runs[r], order[0]);
    }
    int64_t more[] = {order[1], order[2], worst_of(&runs[LORA])};
    for (int i = 0; i < COUNT(more); i++) {
        printf("\n%s\n%s\n\n  %-26s %s\n", i < 2 ? "Another, drawn at random:" : "Where LoRA is worst:",
               strchr(prompts[more[i]], '\n') + 1, "a human", humans[more[i]]);
        for (int r = 0; r < RUNS; r++) tell(&runs[r], more[i]);
    }
    printf("\n");
    print_table(stdout, false);
    if (!write_html(folder) || !write_json(folder)) return EXIT_DATA;
    printf("\nknown words: of the training texts or the prompt; faithful: people, places, days and times that the dialogue has;\n"
           "old tasks: answered word for word. Curves and more samples: %s/report.html    Figures: %s/report.json\n", folder, folder);
    return EXIT_OK;
}

static void forget(list *l) {
    for (int64_t i = 0; i < l->count; i++) free(l->items[i]);
    free(l->items);
}

int main(int argc, char **argv) {
    if (argc != 3) {
        fprintf(stderr, "usage: demo_run MODEL FOLDER\n");
        return EXIT_USAGE;
    }
    if (peft_context_create(&(peft_context_desc){.threads = cores()}, &ctx)) return EXIT_MEMORY;
    int code = demo(argv[1], argv[2]);
    for (int r = 0; r < RUNS; r++) {
        for (int64_t i = 0; runs[r].texts && i < count; i++) peft_free(ctx, runs[r].texts[i]);
        free(runs[r].texts);
        curve_free(&runs[r].training);
        curve_free(&runs[r].validation);
    }
    for (int64_t i = 0; with_shots && i < count; i++) peft_free(ctx, (void *)with_shots[i]);
    peft_dataset *const data[] = {train, validation, test, old_train, old_test, mixed, shots};
    for (int i = 0; i < COUNT(data); i++) peft_dataset_destroy(data[i]);
    const char **const arrays[] = {prompts, humans, with_shots, old_prompts, old_answers};
    for (int i = 0; i < COUNT(arrays); i++) free((void *)arrays[i]);
    forget(&words);
    forget(&names);
    peft_context_destroy(ctx);
    return code;
}
