// peft eval, and what train asks of held-out examples too: losses and scores, of all and of each task.
#ifndef PEFT_CMD_EVAL_H
#define PEFT_CMD_EVAL_H

// ---- loss

// The labels of each example, where nothing is cut and nothing about the prompts has to be told. False: not
// so.
static bool label_counts(const peft_model *m, const peft_adapter *a, const peft_dataset *data,
                         int64_t max_source, int64_t max_target, int64_t *counts) {
    const peft_config *c = peft_model_config(m);
    const peft_tokenizer *t = peft_model_tokenizer(m);
    int64_t soft = a ? peft_adapter_settings(a)->num_virtual_tokens : 0;
    peft_ids ids = {0};
    bool plain = t != NULL;
    for (int64_t i = 0; i < peft_dataset_count(data) && plain; i++) {
        const char *texts_of[] = {peft_dataset_prompt(data, i), peft_dataset_completion(data, i)};
        int64_t n[2] = {0, 0};
        for (int k = 0; k < 2 && plain; k++) {
            ids.count = 0;
            plain = peft_encode_special(t, texts_of[k], strlen(texts_of[k]), &ids) == PEFT_OK &&
                    ids.count + 1 <= (k ? max_target : max_source);
            if (plain && !k && ids.count && ids.data[0] == c->bos_id) plain = false;
            n[k] = ids.count;
        }
        if (c->max_positions && n[0] + n[1] + soft + 2 > c->max_positions) plain = false;
        counts[i] = n[1] + (c->eos_id >= 0);
    }
    peft_ids_free(cli.ctx, &ids);
    return plain;
}

enum { LOSS_CHUNK = 32 };  // examples between two signs of life

// peft_evaluate_loss; on a terminal in parts, so that one sees how far it is.
static peft_status dataset_loss(peft_model *m, const peft_adapter *a, const peft_dataset *data,
                                int64_t max_source, int64_t max_target, double *loss) {
    int64_t n = peft_dataset_count(data), labels = 0, *counts = NULL;
    double sum = 0;
    bool parts = n > LOSS_CHUNK && is_terminal(stderr) && !cli.quiet;
    peft_status status = PEFT_OK;
    phase("loss of examples", 0, n);
    if (parts) counts = (int64_t *)calloc((size_t)n, sizeof(int64_t));
    parts = counts &&
            label_counts(m, a, data, max_source ? max_source : 512, max_target ? max_target : 128, counts);
    if (!parts) status = peft_evaluate_loss(m, a, data, max_source, max_target, loss);
    for (int64_t i = 0; parts && i < n && !status; i += LOSS_CHUNK) {
        int64_t size = n - i < LOSS_CHUNK ? n - i : LOSS_CHUNK, of_part = 0;
        const char *texts_of[2][LOSS_CHUNK];
        peft_dataset *part = NULL;
        double mean = 0;
        for (int64_t k = 0; k < size; k++) {
            texts_of[0][k] = peft_dataset_prompt(data, i + k),
            texts_of[1][k] = peft_dataset_completion(data, i + k);
            of_part += counts[i + k];
        }
        status = make_dataset(texts_of[0], texts_of[1], size, &part);
        if (!status) status = peft_evaluate_loss(m, a, part, max_source, max_target, &mean);
        peft_dataset_destroy(part);
        sum += mean * (double)of_part, labels += of_part;
        phase("loss of examples", i + size, n);
        if (interrupted) status = PEFT_CANCELLED;
    }
    if (parts && !status) *loss = labels ? sum / (double)labels : 0;
    phase("", 1, 1);
    free(counts);
    return status;
}

// ---- each task by itself

typedef struct task_result {
    int64_t examples, scored, ranked, right;  // held out; of them answered; with choices, and chosen rightly
    double loss;
    peft_rouge_scores rouge;
} task_result;

// The examples of one task. *prompts is to be freed and holds their completions, too.
static int64_t task_examples(const peft_dataset *data, const task_list *tasks, int task, int64_t most,
                             const char ***prompts) {
    int64_t n = peft_dataset_count(data), count = 0;
    if (!(*prompts = (const char **)calloc(2 * (size_t)n + 2, sizeof(char *)))) return -1;
    for (int64_t i = 0; i < n && i < most; i++)
        if (tasks->of[i] == task)
            (*prompts)[count] = peft_dataset_prompt(data, i),
            (*prompts)[n + count++] = peft_dataset_completion(data, i);
    return count;
}

static int task_losses(peft_model *m, const peft_adapter *a, const peft_dataset *data, const task_list *tasks,
                       int64_t max_source, int64_t max_target, task_result *out) {
    int64_t n = peft_dataset_count(data);
    peft_status status = PEFT_OK;
    log_is_off = true;
    for (int k = 0; k < tasks->count && !status && !interrupted; k++) {
        const char **texts_of = NULL;
        peft_dataset *part = NULL;
        phase("loss of tasks", k, tasks->count);
        out[k].examples = task_examples(data, tasks, k, n, &texts_of);
        status = out[k].examples < 0 ? PEFT_ERROR_MEMORY
                                     : make_dataset(texts_of, texts_of + n, out[k].examples, &part);
        if (!status && out[k].examples)
            status = peft_evaluate_loss(m, a, part, max_source, max_target, &out[k].loss);
        peft_dataset_destroy(part);
        free((void *)texts_of);
    }
    log_is_off = false;
    phase("", 1, 1);
    return status ? fail(status) : EXIT_OK;
}

// ---- scores of what a model writes for a dataset

typedef struct outcome {
    int64_t count;
    char **texts;
    peft_rouge_result rouge;
} outcome;

static void outcome_free(outcome *o) {
    for (int64_t i = 0; o->texts && i < o->count; i++) peft_free(cli.ctx, o->texts[i]);
    free(o->texts);
    o->texts = NULL;
}

enum { PHASE_PROMPTS = 32 };  // answered between two signs of life

static int outcome_make(peft_model *m, const peft_adapter *a, const peft_dataset *data, int64_t count,
                        const char *what, outcome *o) {
    memset(o, 0, sizeof(*o));
    o->count = count < peft_dataset_count(data) ? count : peft_dataset_count(data);
    o->texts = (char **)calloc((size_t)o->count + 1, sizeof(char *));
    const char **prompts = (const char **)calloc((size_t)o->count + 1, sizeof(char *)),
               **references = (const char **)calloc((size_t)o->count + 1, sizeof(char *));
    if (!o->texts || !prompts || !references) return EXIT_MEMORY;
    for (int64_t i = 0; i < o->count; i++)
        prompts[i] = peft_dataset_prompt(data, i), references[i] = peft_dataset_completion(data, i);
    peft_generate_desc desc = generation(m, a);
    peft_status status = PEFT_OK;
    for (int64_t i = 0; i < o->count && !status && !interrupted; i += PHASE_PROMPTS) {
        phase(what, i, o->count);
        status = peft_generate_texts(&desc, prompts + i, o->count - i < PHASE_PROMPTS ? o->count - i
                                     : PHASE_PROMPTS, o->texts + i);
    }
    phase(what, o->count, o->count);
    if (!status && !interrupted && o->count)
        status = peft_rouge(&(peft_rouge_desc){.context = cli.ctx,
                                               .predictions = (const char *const *)o->texts,
                                               .references = references,
                                               .count = o->count,
                                               .use_stemmer = true,
                                               .bootstrap_samples = 1000,
                                               .seed = (uint64_t)cli.seed},
                            &o->rouge);
    free((void *)prompts);
    free((void *)references);
    return status ? fail(status) : interrupted ? EXIT_INTERRUPTED : EXIT_OK;
}

static int task_scores(const peft_dataset *data, const task_list *tasks, const outcome *o, task_result *out) {
    const char **pairs_of = (const char **)calloc(2 * (size_t)o->count + 2, sizeof(char *));
    peft_status status = pairs_of ? PEFT_OK : PEFT_ERROR_MEMORY;
    for (int k = 0; k < tasks->count && !status; k++) {
        int64_t n = 0;
        peft_rouge_result r;
        for (int64_t i = 0; i < o->count; i++)
            if (tasks->of[i] == k)
                pairs_of[n] = o->texts[i], pairs_of[o->count + n++] = peft_dataset_completion(data, i);
        out[k].scored = n;
        if (n)
            status = peft_rouge(&(peft_rouge_desc){.context = cli.ctx,
                                                   .predictions = pairs_of,
                                                   .references = pairs_of + o->count,
                                                   .count = n,
                                                   .use_stemmer = true},
                                &r);
        if (n && !status) out[k].rouge = r.mean;
    }
    free((void *)pairs_of);
    return status ? fail(status) : EXIT_OK;
}

// Of examples with answers to choose from: is the likeliest one the right one? `data` has the prompts,
// `choices` the answers; `all` counts every example, `of_task` each task's.
static int rank_choices(peft_model *m, const peft_adapter *a, const peft_dataset *data,
                        const peft_dataset *choices, const task_list *tasks, task_result *all,
                        task_result *of_task) {
    enum { MOST = 256 };
    int64_t n = peft_dataset_count(data), without = 0;
    peft_status status = PEFT_OK;
    for (int64_t i = 0; i < n && !status && !interrupted; i++) {
        const char *list[MOST], *right = peft_dataset_completion(choices, i);
        double scores[MOST];
        int64_t count = 0, best = 0, gold = -1;
        for (; count < MOST && (list[count] = peft_dataset_choice(choices, i, count)) != NULL; count++)
            if (gold < 0 && strcmp(list[count], right) == 0) gold = count;
        without += count > 0 && gold < 0;
        if (count < 2 || gold < 0) continue;
        if (i % PHASE_PROMPTS == 0) phase("choices", i, n);
        status = peft_score_completions(&(peft_score_desc){.model = m,
                                                           .adapter = a,
                                                           .prompt = peft_dataset_prompt(data, i),
                                                           .completions = list,
                                                           .count = count,
                                                           .with_end = true},
                                        scores);
        for (int64_t k = 1; k < count; k++)
            if (scores[k] > scores[best]) best = k;
        all->ranked++, all->right += best == gold;
        if (tasks->count) of_task[tasks->of[i]].ranked++, of_task[tasks->of[i]].right += best == gold;
    }
    phase("choices", n, n);
    if (without && !cli.quiet)
        fprintf(stderr,
                "peft %s: the completions of %lld examples are none of their answers to choose from: these "
                "are not ranked\n",
                cli.command, (long long)without);
    return status ? fail(status) : interrupted ? EXIT_INTERRUPTED : EXIT_OK;
}

static void print_rouge_json(FILE *f, const peft_rouge_scores *r) {
    fprintf(f, "{\"rouge1\":%.6f,\"rouge2\":%.6f,\"rougeL\":%.6f,\"rougeLsum\":%.6f}", r->rouge1.f1,
            r->rouge2.f1, r->rougeL.f1, r->rougeLsum.f1);
}

static void print_rouge_row(const char *name, const peft_rouge_result *r) {
    printf("  %-14s %6.2f  %6.2f  %6.2f  %6.2f    (ROUGE-L 95 %%: %.2f to %.2f)\n", name,
           100 * r->mean.rouge1.f1, 100 * r->mean.rouge2.f1, 100 * r->mean.rougeL.f1,
           100 * r->mean.rougeLsum.f1, 100 * r->low.rougeL.f1, 100 * r->high.rougeL.f1);
}

// ---- eval

static const char *eval_adapter, *eval_output;
static int64_t eval_source, eval_target;
static bool eval_loss_only;
static const option eval_options[] = {
    {"adapter", OPTION_TEXT, &eval_adapter, "DIR", "with this adapter"},
    DATA_OPTIONS,
    COMPLETION_OPTION,
    SHOT_OPTIONS,
    HEADING("What is measured"),
    {"output", OPTION_TEXT, &eval_output, "FILE", "write prompts, predictions and references as JSON lines"},
    {"loss-only", OPTION_FLAG, &eval_loss_only, "", "no generation, no ROUGE"},
    {"max-source", OPTION_COUNT, &eval_source, "N",
     "tokens of the input, the rest is cut (512; with --shots the window says)"},
    {"max-target", OPTION_COUNT, &eval_target, "N", "tokens of the answer (128)"},
    {"seed", OPTION_INT, &cli.seed, "N", "of sampling, of --random and of the bootstrap"},
    WEIGHT_OPTIONS,
    GENERATION_OPTIONS,
    COMMON_OPTIONS};

static int write_predictions(const char *path, const peft_dataset *data, const task_list *tasks,
                             const outcome *o) {
    output out;
    FILE *f = output_open(&out, cli.command, path);
    if (!f) return EXIT_DATA;
    for (int64_t i = 0; i < o->count; i++) {
        fputc('{', f);
        if (tasks->count) json_pair(f, "task", tasks->names[tasks->of[i]], ",");
        json_pair(f, "prompt", peft_dataset_prompt(data, i), ",");
        json_pair(f, "prediction", o->texts[i], ",");
        json_pair(f, "reference", peft_dataset_completion(data, i), "}\n");
    }
    return output_close(&out, true);
}

typedef struct evaluation {
    peft_model *model;
    peft_adapter *adapter;
    peft_dataset *read, *asked;  // the examples; with shots before their prompts
    const peft_dataset *data;    // one of the two
    task_list tasks;
    task_result all, *of_task;
    int64_t dropped, prompts;    // shots without room, of so many prompts
    outcome o;
} evaluation;

static void eval_json(const evaluation *e) {
    long long n = (long long)peft_dataset_count(e->data);
    json_print(stdout, "{\"examples\":%lld,\"loss\":%.6f,\"perplexity\":%.6f", n, e->all.loss,
               exp(e->all.loss));
    if (e->o.texts) {
        printf(",\"rouge\":");
        print_rouge_json(stdout, &e->o.rouge.mean);
        printf(",");
        json_pair(stdout, "signature", e->o.rouge.signature, "");
    }
    if (e->all.ranked)
        printf(",\"ranked\":%lld,\"choice_accuracy\":%.6f", (long long)e->all.ranked,
               (double)e->all.right / (double)e->all.ranked);
    if (shots.count)
        printf(",\"shots\":{\"per_prompt\":%lld,\"prompts_with_dropped\":%lld,\"dropped\":%lld}",
               (long long)shots.count, (long long)e->prompts, (long long)e->dropped);
    for (int k = 0; k < e->tasks.count; k++) {
        const task_result *t = &e->of_task[k];
        printf("%s{", k ? "," : ",\"tasks\":[");
        json_pair(stdout, "task", e->tasks.names[k], ",");
        json_print(stdout, "\"examples\":%lld,\"loss\":%.6f,\"perplexity\":%.6f", (long long)t->examples,
                   t->loss, exp(t->loss));
        if (t->scored) printf(",\"rouge\":");
        if (t->scored) print_rouge_json(stdout, &t->rouge);
        if (t->ranked)
            printf(",\"ranked\":%lld,\"choice_accuracy\":%.6f", (long long)t->ranked,
                   (double)t->right / (double)t->ranked);
        printf("}%s", k + 1 == e->tasks.count ? "]" : "");
    }
    printf("}\n");
}

static void eval_print(const evaluation *e) {
    printf("%lld examples: loss %.4f per token, perplexity %.2f\n", (long long)peft_dataset_count(e->data),
           e->all.loss, exp(e->all.loss));
    if (e->o.texts) {
        printf("                  R-1     R-2     R-L  R-Lsum\n");
        print_rouge_row("ROUGE F1", &e->o.rouge);
        printf("  signature: %s\n", e->o.rouge.signature);
    }
    if (e->all.ranked)
        printf("  the likeliest of the answers to choose from is right for %lld of %lld: %.2f %%\n",
               (long long)e->all.right, (long long)e->all.ranked,
               100.0 * (double)e->all.right / (double)e->all.ranked);
    if (shots.count) {
        printf("  %lld examples before each prompt", (long long)shots.count);
        if (e->dropped)
            printf("; %lld had no room in the window, before %lld of the prompts", (long long)e->dropped,
                   (long long)e->prompts);
        printf("\n");
    }
    if (e->tasks.count)
        printf("  %-32s %8s %8s %8s %8s %8s %8s\n", "task", "examples", "loss", "R-1", "R-2", "R-L",
               "choices");
    for (int k = 0; k < e->tasks.count; k++) {
        const task_result *t = &e->of_task[k];
        printf("  %-32s %8lld %8.4f", e->tasks.names[k], (long long)t->examples, t->loss);
        if (t->scored)
            printf(" %8.2f %8.2f %8.2f", 100 * t->rouge.rouge1.f1, 100 * t->rouge.rouge2.f1,
                   100 * t->rouge.rougeL.f1);
        else printf(" %8s %8s %8s", "", "", "");
        if (t->ranked) printf(" %7.2f%%", 100.0 * (double)t->right / (double)t->ranked);
        printf("\n");
    }
}

static int eval_all(evaluation *e) {
    int code = shots_check();
    if (!code) code = open_model(cli.rest.items[0], false, &e->model);
    if (!code) code = open_adapter(e->model, eval_adapter, &e->adapter);
    if (!code) code = open_datasets(&input.data, "data", input.limit, &e->tasks, &e->read);
    e->data = e->read;
    if (!code && shots.count) {
        code = shots_dataset(e->model, e->read, &e->asked, &e->dropped, &e->prompts);
        e->data = e->asked;
        if (!eval_source) eval_source = 1 << 20;
    }
    if (code) return code;
    signal(SIGINT, on_interrupt);
    e->of_task = (task_result *)calloc((size_t)e->tasks.count + 1, sizeof(task_result));
    peft_status status =
        e->of_task ? dataset_loss(e->model, e->adapter, e->data, eval_source, eval_target, &e->all.loss)
                   : PEFT_ERROR_MEMORY;
    if (status) return fail(status);
    if (e->tasks.count)
        code = task_losses(e->model, e->adapter, e->data, &e->tasks, eval_source, eval_target, e->of_task);
    if (code || eval_loss_only) return code;
    code = outcome_make(e->model, e->adapter, e->data, peft_dataset_count(e->data), "answers", &e->o);
    if (!code && e->tasks.count) code = task_scores(e->data, &e->tasks, &e->o, e->of_task);
    if (!code) code = rank_choices(e->model, e->adapter, e->data, e->read, &e->tasks, &e->all, e->of_task);
    if (!code && eval_output) code = write_predictions(eval_output, e->data, &e->tasks, &e->o);
    return code;
}

static int run_eval(void) {
    if (cli.rest.count != 1 || !input.data.count) return wrong("give a model folder and --data FILE");
    evaluation e = {0};
    int code = eval_all(&e);
    if (!code && cli.json) eval_json(&e);
    else if (!code) eval_print(&e);
    outcome_free(&e.o);
    tasks_free(&e.tasks);
    free(e.of_task);
    peft_dataset_destroy(e.asked);
    peft_dataset_destroy(e.read);
    peft_adapter_destroy(e.adapter);
    peft_model_destroy(e.model);
    return code;
}

#endif
