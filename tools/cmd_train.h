// peft train and merge, and the options of the adapter that is trained.
#ifndef PEFT_CMD_TRAIN_H
#define PEFT_CMD_TRAIN_H

// ---- the adapter to be trained, shared by train, methods, sweep, compare and forget

static struct {
    const char *method, *target, *feedforward, *bias, *modules_to_save, *layers, *rank_pattern,
        *alpha_pattern, *init_text, *activation, *place, *type, *base_name;
    const char *exclude, *parameters, *layers_pattern, *tokens_trained;
    int64_t r, tokens, hidden, bottleneck;
    double alpha, dropout, reduction;
    bool rslora, pissa, random_init, projection, pfeiffer, lora_bias;
} tuned;

#define RANK_OPTION {"r", OPTION_COUNT, &tuned.r, "N", "lora, dora: rank (8)"}
#define ADAPTER_OPTIONS \
    HEADING("What is trained"), \
    {"method", OPTION_WORD, &tuned.method, "NAME", \
     "lora (default), dora, ia3, prompt, prefix, ptuning, bottleneck, bitfit, norms, head, selected, " \
     "full"}, \
    {"alpha", OPTION_ABOVE, &tuned.alpha, "X", "lora, dora: strength is alpha / r (16)"}, \
    {"use-rslora", OPTION_FLAG, &tuned.rslora, "", "lora, dora: strength is alpha / sqrt(r)"}, \
    {"pissa", OPTION_FLAG, &tuned.pissa, "", "lora: start from the weights' main directions"}, \
    {"adapter-type", OPTION_WORD, &tuned.type, "NAME", \
     "lora: f32 (default), f16 or bf16 with master weights in f32 while it is trained"}, \
    {"lora-dropout", OPTION_REAL, &tuned.dropout, "X", "lora, dora: dropout of the adapter's input (0)"}, \
    {"target-modules", OPTION_TEXT, &tuned.target, "NAMES", \
     "e.g. q,v or all-linear (the architecture's default); lora: embeddings by name; selected: " \
     "parameters"}, \
    {"feedforward-modules", OPTION_TEXT, &tuned.feedforward, "NAMES", \
     "ia3: target modules whose input is scaled"}, \
    {"bias", OPTION_WORD, &tuned.bias, "NAME", "lora: train biases, too: none (default), all, lora_only"}, \
    {"lora-bias", OPTION_FLAG, &tuned.lora_bias, "", "lora: B has a bias"}, \
    {"exclude-modules", OPTION_TEXT, &tuned.exclude, "NAMES", "lora, dora, ia3: no targets"}, \
    {"target-parameters", OPTION_TEXT, &tuned.parameters, "NAMES", \
     "lora: parameters beside the target modules"}, \
    {"modules-to-save", OPTION_TEXT, &tuned.modules_to_save, "NAMES", \
     "lora, dora, ia3: modules trained whole"}, \
    {"trainable-token-indices", OPTION_TEXT, &tuned.tokens_trained, "LIST", \
     "lora, dora, ia3: these rows of the embedding"}, \
    {"layers-pattern", OPTION_TEXT, &tuned.layers_pattern, "NAME", "what stands before a block's number"}, \
    {"layers", OPTION_TEXT, &tuned.layers, "LIST", "only these blocks, e.g. 0,1"}, \
    {"rank-pattern", OPTION_TEXT, &tuned.rank_pattern, "LIST", "lora: other ranks, e.g. q=4,v=16"}, \
    {"alpha-pattern", OPTION_TEXT, &tuned.alpha_pattern, "LIST", "lora: other alphas"}, \
    {"base-name", OPTION_TEXT, &tuned.base_name, "NAME", \
     "the base's name in adapter_config.json (where it was loaded from)"}, \
    {"num-virtual-tokens", OPTION_COUNT, &tuned.tokens, "N", "prompt, prefix, ptuning: how many (20)"}, \
    {"init-text", OPTION_TEXT, &tuned.init_text, "TEXT", \
     "prompt: start from the tokens of this text (from random words)"}, \
    {"random-init", OPTION_FLAG, &tuned.random_init, "", "prompt: start from noise"}, \
    {"prefix-projection", OPTION_FLAG, &tuned.projection, "", "prefix: made by a small network"}, \
    {"prompt-place", OPTION_WORD, &tuned.place, "NAME", \
     "prompt, ptuning of encoder-decoder models: encoder (default), decoder, both"}, \
    {"encoder-hidden", OPTION_COUNT, &tuned.hidden, "N", \
     "ptuning, prefix: width of that network (the model's)"}, \
    {"bottleneck", OPTION_COUNT, &tuned.bottleneck, "N", \
     "bottleneck: width (the model's / the reduction factor)"}, \
    {"reduction-factor", OPTION_ABOVE, &tuned.reduction, "X", "bottleneck: 16"}, \
    {"activation", OPTION_WORD, &tuned.activation, "NAME", "bottleneck: relu (default), gelu, silu, tanh"}, \
    {"pfeiffer", OPTION_FLAG, &tuned.pfeiffer, "", "bottleneck: behind the feed-forward only"}

static int parse_activation(const char *name, peft_activation_kind *out) {
    static const char *const names[] = {"relu", "gelu", "gelu_new", "silu", "tanh"};
    *out = PEFT_RELU;
    for (int i = 0; name && i < COUNT(names); i++)
        if (strcmp(name, names[i]) == 0) {
            *out = (peft_activation_kind)i;
            return EXIT_OK;
        }
    return name ? wrong("--activation %s is not relu, gelu, gelu_new, silu or tanh", name) : EXIT_OK;
}

static int parse_place(const char *name, peft_prompt_place *out) {
    static const char *const names[] = {"encoder", "decoder", "both"};
    *out = PEFT_PROMPT_ENCODER;
    for (int i = 0; name && i < COUNT(names); i++)
        if (strcmp(name, names[i]) == 0) {
            *out = (peft_prompt_place)i;
            return EXIT_OK;
        }
    return name ? wrong("--prompt-place %s is not encoder, decoder or both", name) : EXIT_OK;
}

// NULL: all weights. Wrong names have been reported by check_method.
static const peft_method_info *method_of(const char *name) {
    return name && strcmp(name, "full") == 0 ? NULL : peft_method_named(name ? name : "lora");
}

// The method that a wrong name means: the same without its dashes, another tool's name, or one spelled nearly so. NULL: none.
static const char *method_meant(const char *name) {
    static const char *const others[][2] = {{"prompttuning", "prompt"}, {"softprompt", "prompt"}, {"prefixtuning", "prefix"},
        {"adapter", "bottleneck"}, {"houlsby", "bottleneck"}, {"pfeiffer", "bottleneck --pfeiffer"},
        {"qlora", "lora --weights nf4"}, {"rslora", "lora --use-rslora"}, {"pissa", "lora --pissa"}, {"finetuning", "full"},
        {"finetune", "full"}, {"all", "full"}, {"none", "full"}, {"bias", "bitfit"}, {"layernorm", "norms"}};
    char plain[32];
    const char *nearest = NULL;
    size_t n = 0;
    for (const char *p = name; *p && n + 1 < sizeof(plain); p++)
        if (isalnum((unsigned char)*p)) plain[n++] = (char)tolower((unsigned char)*p);
    plain[n] = 0;
    for (int i = 0; i < COUNT(others); i++)
        if (strcmp(plain, others[i][0]) == 0) return others[i][1];
    int least = (int)n / 3 + 1;
    if (likeness(plain, "full") < least) return "full";
    for (int i = 0; peft_method_at(i); i++) {
        int d = likeness(plain, peft_method_at(i)->name);
        if (d < least) least = d, nearest = peft_method_at(i)->name;
    }
    return nearest;
}

static int check_method(const char *name) {
    if (!name || strcmp(name, "full") == 0 || peft_method_named(name)) return EXIT_OK;
    const char *meant = method_meant(name);
    if (meant) return wrong("--method %s: unknown; did you mean --method %s? peft methods MODEL lists them", name, meant);
    return wrong("--method %s: unknown; peft methods MODEL lists them", name);
}

static char *init_text;  // --init-text with its line breaks

// What the options say of an adapter.
static int adapter_settings(peft_model *model, const peft_method_info *info, peft_adapter_desc *out) {
    peft_activation_kind activation;
    peft_prompt_place place;
    peft_dtype type;
    int code = parse_activation(tuned.activation, &activation);
    if (!code) code = parse_place(tuned.place, &place);
    if (!code) code = parse_weights("adapter-type", tuned.type, &type);
    if (code) return code;
    if (!init_text) init_text = unescape(tuned.init_text);
    *out = (peft_adapter_desc){.model = model,
                               .method = info->method,
                               .r = tuned.r,
                               .alpha = (float)tuned.alpha,
                               .dropout = (float)tuned.dropout,
                               .use_rslora = tuned.rslora,
                               .pissa = tuned.pissa,
                               .target_modules = tuned.target,
                               .feedforward_modules = tuned.feedforward,
                               .bias = tuned.bias,
                               .modules_to_save = tuned.modules_to_save,
                               .layers_to_transform = tuned.layers,
                               .rank_pattern = tuned.rank_pattern,
                               .alpha_pattern = tuned.alpha_pattern,
                               .num_virtual_tokens = tuned.tokens,
                               .random_init = tuned.random_init,
                               .init_text = init_text,
                               .prefix_projection = tuned.projection,
                               .prompt_place = place,
                               .encoder_hidden = tuned.hidden,
                               .lora_bias = tuned.lora_bias,
                               .exclude_modules = tuned.exclude,
                               .target_parameters = tuned.parameters,
                               .layers_pattern = tuned.layers_pattern,
                               .trainable_token_indices = tuned.tokens_trained,
                               .bottleneck = tuned.bottleneck,
                               .reduction_factor = (float)tuned.reduction,
                               .activation = activation,
                               .pfeiffer = tuned.pfeiffer,
                               .seed = (uint64_t)cli.seed,
                               .type = type,
                               .base_model_name_or_path = tuned.base_name};
    return EXIT_OK;
}

static int make_adapter(peft_model *model, const char *method, peft_adapter **out) {
    *out = NULL;
    int code = check_method(method);
    const peft_method_info *info = code ? NULL : method_of(method);
    if (code || !info) return code;
    peft_adapter_desc desc;
    code = adapter_settings(model, info, &desc);
    peft_status status = code ? PEFT_OK : peft_adapter_create(&desc, out);
    return code ? code : status ? fail(status) : EXIT_OK;
}

// ---- train

static struct {
    const char *out, *schedule, *report, *checkpoint, *type;
    texts validation;
    int64_t epochs, max_steps, batch, accumulation, warmup, max_target, eval_every,
        checkpoint_every, samples;
    double lr, lora_plus, decay, norm, dropout, split;
    bool keep_best, resume, resume_anyway, init;
    const char *optimizer, *optimizer_file;
    bool checkpoint_blocks;
} train = {.norm = NAN};

#define SAVING_OPTIONS \
    {"optimizer", OPTION_WORD, &train.optimizer, "NAME", \
     "adamw (default), adamw8bit, adafactor, sgd, lion"}, \
    {"checkpoint-blocks", OPTION_FLAG, &train.checkpoint_blocks, "", \
     "less memory: compute blocks again on the way back"}

static int parse_optimizer(peft_optimizer_kind *out) {
    *out = PEFT_ADAMW;
    return train.optimizer && !peft_optimizer_named(train.optimizer, out)
               ? wrong("--optimizer %s is not adamw, adamw8bit, adafactor, sgd or lion", train.optimizer)
               : EXIT_OK;
}

static const option train_options[] = {
    DATA_OPTIONS,
    COMPLETION_OPTION,
    MIXTURE_OPTIONS,
    {"validation", OPTION_TEXTS, &train.validation, "FILE",
     "held-out examples with the same fields; can be given more than once"},
    {"split", OPTION_REAL, &train.split, "X", "hold out this part of --data instead (0.1: a tenth)"},
    HEADING("Where it goes"),
    {"out", OPTION_TEXT, &train.out, "DIR", "where the adapter, or the whole model, goes"},
    FORCE_OPTION,
    {"type", OPTION_WORD, &train.type, "NAME", "of a saved model: f32 (default), f16, bf16, i8, nf4, fp4"},
    {"report", OPTION_TEXT, &train.report, "FILE", "write an HTML page with curves, ROUGE and samples"},
    {"samples", OPTION_INT, &train.samples, "N",
     "held-out examples for ROUGE before and after (32; 0: none)"},
    ADAPTER_OPTIONS,
    RANK_OPTION,
    HEADING("Training"),
    {"epochs", OPTION_COUNT, &train.epochs, "N", "times through the data (3)"},
    {"max-steps", OPTION_COUNT, &train.max_steps, "N", "optimizer steps, instead of epochs"},
    {"batch", OPTION_COUNT, &train.batch, "N", "examples per batch (8)"},
    {"accumulation", OPTION_COUNT, &train.accumulation, "N", "batches per optimizer step (1)"},
    {"lr", OPTION_ABOVE, &train.lr, "X", "learning rate (the method's, see peft methods; full 1e-4)"},
    {"lora-plus", OPTION_ABOVE, &train.lora_plus, "X", "lora: B learns X times as fast as A (1)"},
    {"schedule", OPTION_WORD, &train.schedule, "NAME", "linear (default), cosine, constant"},
    {"warmup", OPTION_INT, &train.warmup, "N", "steps (0)"},
    {"weight-decay", OPTION_REAL, &train.decay, "X", "of AdamW (0)"},
    {"max-grad-norm", OPTION_REAL, &train.norm, "X", "gradients are clipped to it (1; 0: never)"},
    {"dropout", OPTION_REAL, &train.dropout, "X", "in the model (0)"},
    SAVING_OPTIONS,
    {"optimizer-file", OPTION_TEXT, &train.optimizer_file, "FILE",
     "a scratch file for its state, mapped into memory"},
    MAX_SOURCE_OPTION,
    {"max-target", OPTION_COUNT, &train.max_target, "N", "tokens of the answer (128)"},
    {"eval-every", OPTION_COUNT, &train.eval_every, "N", "steps (once per epoch)"},
    {"keep-best", OPTION_FLAG, &train.keep_best, "",
     "save the weights of the best evaluation, not the last ones"},
    {"init", OPTION_FLAG, &train.init, "",
     "start from random weights: MODEL needs only config.json and a tokenizer"},
    {"seed", OPTION_INT, &cli.seed, "N", "of everything random"},
    HEADING("Stopping and going on"),
    {"checkpoint", OPTION_TEXT, &train.checkpoint, "FILE",
     "where Ctrl-C and --checkpoint-every save (OUT.checkpoint)"},
    {"checkpoint-every", OPTION_COUNT, &train.checkpoint_every, "N", "steps (only on Ctrl-C)"},
    {"resume", OPTION_FLAG, &train.resume, "",
     "go on from the checkpoint, bit for bit; from the beginning if there is none"},
    {"resume-anyway", OPTION_FLAG, &train.resume_anyway, "",
     "the same with other data or settings, which are told"},
    WEIGHT_OPTIONS,
    GENERATION_OPTIONS,
    COMMON_OPTIONS};

typedef struct watcher {
    curve loss, eval;
    int64_t last_line, last_length, stopped_at;
    double smooth;
} watcher;

static void clock_text(char *out, size_t size, double seconds) {
    if (seconds >= 3600)
        snprintf(out, size, "%.0f:%02.0f h", floor(seconds / 3600), floor(fmod(seconds, 3600) / 60));
    else snprintf(out, size, "%.0f:%02.0f", floor(seconds / 60), floor(fmod(seconds, 60)));
}

static void show_bar(const peft_progress *p, double smooth) {
    char bar[31], left[32];
    int full = (int)(30 * p->step / (p->steps > 0 ? p->steps : 1));
    for (int i = 0; i < 30; i++) bar[i] = i < full ? '#' : '.';
    bar[30] = 0;
    clock_text(left, sizeof(left), p->seconds_left);
    fprintf(stderr, "\r[%s] %lld/%lld  loss (smoothed) %.4f", bar, (long long)p->step, (long long)p->steps,
            smooth);
    if (p->eval_loss >= 0) fprintf(stderr, "  validation %.4f", p->eval_loss);
    fprintf(stderr, "  %.0f tok/s  %s left   ", p->tokens_per_second, left);
    if (p->step == p->steps) fputc('\n', stderr);
}

// What is not there is null in JSON.
static double or_null(double loss) {
    return loss < 0 ? (double)NAN : loss;
}

static void show_line(const peft_progress *p, double smooth) {
    FILE *f = cli.json ? stdout : stderr;
    if (cli.json)
        json_print(f,
                   "{\"event\":\"step\",\"step\":%lld,\"steps\":%lld,\"epoch\":%lld,\"loss\":%.6f,\"eval_"
                   "loss\":%.6f,\"smoothed_loss\":%.6f,\"lr\":%g,\"grad_norm\":%.5f,\"tokens_per_second\":%."
                   "1f,\"eta\":%.1f}\n",
                   (long long)p->step, (long long)p->steps, (long long)p->epoch, p->loss,
                   or_null(p->eval_loss), smooth, p->learning_rate, p->gradient_norm, p->tokens_per_second,
                   p->seconds_left);
    else
        fprintf(f, "step %lld/%lld  loss (smoothed) %.4f%s", (long long)p->step, (long long)p->steps, smooth,
                p->eval_loss < 0 ? "" : "  ");
    if (!cli.json && p->eval_loss >= 0) fprintf(f, "validation %.4f", p->eval_loss);
    if (!cli.json)
        fprintf(f, "  lr %.2e  %.0f tok/s  %.0f s left\n", p->learning_rate, p->tokens_per_second,
                p->seconds_left);
    fflush(f);
}

static bool watch(const peft_progress *p, void *user) {
    watcher *w = (watcher *)user;
    w->smooth = w->loss.count ? 0.9 * w->smooth + 0.1 * p->loss : p->loss;
    curve_add(&w->loss, (double)p->step, w->smooth);
    if (p->evaluated) curve_add(&w->eval, (double)p->step, p->eval_loss);
    w->stopped_at = p->step;
    if (cli.json) {
        show_line(p, w->smooth);
    } else if (!cli.quiet && is_terminal(stderr)) {
        show_bar(p, w->smooth);
    } else if (!cli.quiet && (p->evaluated || p->step == 1 ||
                              p->step - w->last_line >= (p->steps + 19) / 20 || p->step == p->steps)) {
        show_line(p, w->smooth);
        w->last_line = p->step;
    }
    return !interrupted;
}

typedef struct training {
    peft_model *model;
    peft_adapter *adapter;
    peft_dataset *all, *data, *validation;
    task_list mixed, tasks;           // of the examples to learn from; of those held out
    task_result *before_of, *after_of;  // of each held-out task
    outcome before, after;
    watcher w;
    double rate;  // the learning rate that the first step began from
    peft_train_result result;
    peft_dtype type;
    peft_schedule schedule;
    peft_optimizer_kind optimizer;
    char *checkpoint;
} training;

static int train_check(training *r) {
    static const char *const schedules[] = {"linear", "cosine", "constant"};
    if (cli.rest.count != 1 || !input.data.count || !train.out)
        return wrong("give a model folder, --data FILE and --out DIR");
    int bad = check_method(tuned.method);
    if (bad) return bad;
    if (parse_optimizer(&r->optimizer)) return EXIT_USAGE;
    if (!(train.split >= 0 && train.split < 1))
        return wrong("--split %g is not between 0 and 1", train.split);
    if (train.split > 0 && train.validation.count)
        return wrong("--split and --validation exclude each other");
    if (train.schedule) {
        int k = 0;
        while (k < COUNT(schedules) && strcmp(train.schedule, schedules[k]) != 0) k++;
        if (k == COUNT(schedules))
            return wrong("--schedule %s is not linear, cosine or constant", train.schedule);
        r->schedule = (peft_schedule)k;
    }
    size_t n = strlen(train.out);
    r->checkpoint = (char *)malloc(n + 16 + (train.checkpoint ? strlen(train.checkpoint) : 0));
    if (!r->checkpoint) return EXIT_MEMORY;
    while (n > 1 && train.out[n - 1] == '/') n--;
    if (train.checkpoint) strcpy(r->checkpoint, train.checkpoint);
    else sprintf(r->checkpoint, "%.*s.checkpoint", (int)n, train.out);
    if (train.samples < 0) return wrong("--samples %lld is negative", (long long)train.samples);
    int code = parse_weights("type", train.type, &r->type);
    if (!code) code = output_may_go("train", train.out, cli.force, cli.rest.items, cli.rest.count);
    if (!code) code = output_check_folder("train", train.out);
    if (!code && train.report) code = output_check("train", train.report);
    return code;
}

static int train_open(training *r) {
    int code = open_model(cli.rest.items[0], train.init, &r->model);
    if (!code) code = open_lessons(&r->all, &r->mixed);
    r->data = r->all;
    if (!code && train.validation.count)
        code = open_datasets(&train.validation, "validation", 0, &r->tasks, &r->validation);
    peft_status status = PEFT_OK;
    if (!code && train.split > 0) {
        r->data = NULL;
        status = peft_dataset_split(r->all, train.split, (uint64_t)cli.seed, &r->data, &r->validation);
    }
    if (!code && status) code = fail(status);
    if (!code && train.split > 0 && (!peft_dataset_count(r->data) || !peft_dataset_count(r->validation)))
        return wrong("--split %g of %lld examples leaves %lld to learn from and %lld held out", train.split,
                     (long long)peft_dataset_count(r->all), (long long)peft_dataset_count(r->data),
                     (long long)peft_dataset_count(r->validation));
    if (!code) code = tasks_of_mixture(r->data, &r->mixed);
    for (int i = 0; i < r->mixed.count && !code && train.split > 0; i++)
        if (tasks_find(&r->tasks, r->mixed.names[i]) < 0) code = EXIT_MEMORY;
    if (!code && train.split > 0) code = tasks_of_mixture(r->validation, &r->tasks);
    r->before_of = (task_result *)calloc(2 * (size_t)r->tasks.count + 2, sizeof(task_result));
    r->after_of = r->before_of ? r->before_of + r->tasks.count + 1 : NULL;
    return code ? code : !r->before_of ? EXIT_MEMORY : make_adapter(r->model, tuned.method, &r->adapter);
}

// Losses and, where there are answers, scores of the held-out tasks.
static int train_tasks(training *r, const peft_adapter *a, const outcome *o, task_result *out) {
    if (!r->tasks.count) return EXIT_OK;
    int code = task_losses(r->model, a, r->validation, &r->tasks, input.max_source, train.max_target, out);
    return code || !o->texts ? code : task_scores(r->validation, &r->tasks, o, out);
}

// The rows of the tasks: those that are learned first, then those that are only held out. False: no more.
typedef struct task_row {
    const char *name;
    int64_t examples;
    const task_result *before, *after;  // NULL: none held out
} task_row;

static bool train_task(const training *r, int k, task_row *row) {
    int known = 0, held = -1;
    memset(row, 0, sizeof(*row));
    if (k < r->mixed.count) {
        row->name = r->mixed.names[k];
        for (int64_t i = 0; i < peft_dataset_count(r->data); i++) row->examples += r->mixed.of[i] == k;
        for (int i = 0; i < r->tasks.count; i++)
            if (strcmp(r->tasks.names[i], row->name) == 0) held = i;
    } else {
        for (int i = 0; i < r->tasks.count && held < 0; i++) {
            bool learned = false;
            for (int j = 0; j < r->mixed.count; j++)
                learned = learned || strcmp(r->tasks.names[i], r->mixed.names[j]) == 0;
            if (!learned && known++ == k - r->mixed.count) held = i;
        }
        if (held < 0) return false;
        row->name = r->tasks.names[held];
    }
    if (held >= 0 && r->after_of[held].examples)
        row->before = &r->before_of[held], row->after = &r->after_of[held];
    return true;
}

static void train_announce(const training *r) {
    int64_t total = peft_model_parameter_count(r->model),
            trainable = r->adapter ? peft_adapter_parameter_count(r->adapter) : total;
    if (cli.json)
        printf("{\"event\":\"start\",\"examples\":%lld,\"validation\":%lld,\"trainable\":%lld,\"total\":%lld,"
               "\"threads\":%d,\"simd\":\"%s\"}\n",
               (long long)peft_dataset_count(r->data),
               (long long)(r->validation ? peft_dataset_count(r->validation) : 0), (long long)trainable,
               (long long)total, peft_thread_count(cli.ctx), peft_simd_name(peft_simd_in_use(cli.ctx)));
    else if (!cli.quiet)
        fprintf(
            stderr,
            "%lld examples, %lld held out; training %lld parameters beside %lld (%.3f %%); %s, %d threads\n",
            (long long)peft_dataset_count(r->data),
            (long long)(r->validation ? peft_dataset_count(r->validation) : 0), (long long)trainable,
            (long long)total, 100.0 * (double)trainable / (double)total,
            peft_simd_name(peft_simd_in_use(cli.ctx)), peft_thread_count(cli.ctx));
}

static double train_default_rate(const training *r) {
    double rate = (double)peft_default_learning_rate(r->model, r->adapter);
    return r->optimizer == PEFT_LION ? 0.3 * rate : r->optimizer == PEFT_SGD ? 10 * rate : rate;
}

static peft_status train_run(training *r) {
    peft_train_desc desc = {.model = r->model,
                            .adapter = r->adapter,
                            .data = r->data,
                            .validation = r->validation,
                            .epochs = train.epochs,
                            .max_steps = train.max_steps,
                            .batch_size = train.batch,
                            .accumulation = train.accumulation,
                            .optimizer = r->optimizer,
                            .optimizer_file = train.optimizer_file,
                            .checkpoint_blocks = train.checkpoint_blocks,
                            .learning_rate = (float)train.lr,
                            .lora_plus_ratio = (float)train.lora_plus,
                            .weight_decay = (float)train.decay,
                            .max_gradient_norm = isnan(train.norm) ? 0 : train.norm == 0 ? -1 : (float)train.norm,
                            .schedule = r->schedule,
                            .warmup_steps = train.warmup,
                            .dropout = (float)train.dropout,
                            .max_source = input.max_source,
                            .max_target = train.max_target,
                            .eval_every = train.eval_every,
                            .keep_best = train.keep_best,
                            .checkpoint = r->checkpoint,
                            .checkpoint_every = train.checkpoint_every,
                            .resume = train.resume || train.resume_anyway,
                            .resume_anyway = train.resume_anyway,
                            .seed = (uint64_t)cli.seed,
                            .progress = watch,
                            .progress_user = &r->w};
    r->rate = train.lr > 0 ? train.lr : train_default_rate(r);
    signal(SIGINT, on_interrupt);
    signal(SIGTERM, on_interrupt);
    return peft_train(&desc, &r->result);
}

// The command that goes on, with every argument that was given.
static void train_hint(int argc, char **argv) {
    fprintf(stderr, "\nStopped; the state is saved. To go on:\n  peft");
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--resume") == 0) continue;
        bool plain =
            *argv[i] &&
            !argv[i]
                 [strspn(argv[i], "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./=,-+:")];
        if (plain) {
            fprintf(stderr, " %s", argv[i]);
            continue;
        }
        fputs(" '", stderr);
        for (const char *p = argv[i]; *p; p++)
            if (*p == '\'') fputs("'\\''", stderr);
            else fputc(*p, stderr);
        fputc('\'', stderr);
    }
    fprintf(stderr, " --resume\n");
}

static int64_t or_else(int64_t given, int64_t usual) {
    return given ? given : usual;
}

// The files and what was said of each, in the order of the command line.
static void report_data(FILE *f) {
    static const struct {
        const char *name;
        const texts *given;
    } lists[] = {{"data", &input.data},
                 {"prompt", &input.prompts},
                 {"completion", &input.completions},
                 {"template", &input.templates},
                 {"answer-choices", &input.choices},
                 {"template-style", &input.styles},
                 {"task", &input.tasks}};
    static const char *const usual[][2] = {{"prompt", "{{prompt}}"}, {"completion", "{{completion}}"}};
    int seen[COUNT(lists)] = {0};
    for (int i = 0; i < options_given.count; i++)
        for (int k = 0; k < COUNT(lists); k++)
            if (strcmp(options_given.items[i], lists[k].name) == 0) {
                const char *const row[] = {lists[k].name, lists[k].given->items[seen[k]++]};
                report_row(f, "td", row, 2, 2);
            }
    bool whole = false;  // prompts with their completions in them
    for (int k = 0; k < input.prompts.count; k++) whole = whole || strstr(input.prompts.items[k], "|||");
    for (int k = 0; k < COUNT(usual) && !input.templates.count && !input.talks; k++)
        if (k ? !input.completions.count && !whole : !input.prompts.count) report_row(f, "td", usual[k], 2, 2);
    const char *const turns[] = {"loss on", input.loss_on ? input.loss_on : "assistant"};
    if (input.talks) report_row(f, "td", turns, 2, 2);
}

// Of the tokens of padded batches, in percent.
static double padding_share(const peft_train_result *r) {
    return 100 * (double)r->padding / (double)(r->tokens + r->padding > 0 ? r->tokens + r->padding : 1);
}

// The values that were used, defaults too.
static void report_settings(FILE *f, const training *r) {
    char text[256];
    fputs("<table>\n", f);
    const peft_adapter_desc *a = r->adapter ? peft_adapter_settings(r->adapter) : NULL;
    bool low_rank = a && (a->method == PEFT_LORA || a->method == PEFT_DORA);
    bool prompt = a && (a->method == PEFT_PROMPT_TUNING || a->method == PEFT_PREFIX_TUNING ||
                        a->method == PEFT_P_TUNING);
    const struct {
        const char *name, *format;
        double value;
        bool shown;
    } numbers[] = {{"examples", "%.0f", (double)peft_dataset_count(r->data), true},
                   {"held out", "%.0f", r->validation ? (double)peft_dataset_count(r->validation) : 0, true},
                   {"examples that were cut", "%.0f", (double)r->result.cut_examples, true},
                   {"tokens cut off", "%.0f", (double)r->result.cut_tokens, true},
                   {"trainable parameters", "%.0f", (double)r->result.trainable, true},
                   {"all parameters", "%.0f", (double)r->result.total, true},
                   {"steps", "%.0f", (double)r->result.steps, true},
                   {"tokens", "%.0f", (double)r->result.tokens, true},
                   {"tokens of padded batches", "%.0f", (double)(r->result.tokens + r->result.padding), true},
                   {"padding avoided, %", "%.1f", padding_share(&r->result), true},
                   {"seconds", "%.1f", r->result.seconds, true},
                   {"learning rate", "%g", r->rate, true},
                   {"batch", "%.0f", (double)or_else(train.batch, 8), true},
                   {"accumulation", "%.0f", (double)or_else(train.accumulation, 1), true},
                   {"warmup steps", "%.0f", (double)train.warmup, true},
                   {"max source", "%.0f", (double)or_else(input.max_source, 512), true},
                   {"max target", "%.0f", (double)or_else(train.max_target, 128), true},
                   {"r", "%.0f", low_rank ? (double)a->r : 0, low_rank},
                   {"alpha", "%g", low_rank ? (double)a->alpha : 0, low_rank},
                   {"dropout of the adapter", "%g", low_rank ? (double)a->dropout : 0, low_rank},
                   {"virtual tokens", "%.0f", prompt ? (double)a->num_virtual_tokens : 0, prompt},
                   {"last step's loss", "%.4f", r->result.loss, true},
                   {"smoothed loss", "%.4f", r->w.smooth, r->w.loss.count > 0},
                   {"best validation loss", "%.4f", r->result.best_eval_loss, r->result.best_eval_loss >= 0},
                   {"peak memory, MB", "%.0f", (double)peft_memory_peak(cli.ctx) / 1e6, true},
                   {"threads", "%.0f", (double)peft_thread_count(cli.ctx), true},
                   {"seed", "%.0f", (double)cli.seed, true}};
    report_data(f);
    const char *const words[][2] = {{"model", cli.rest.items[0]}, {"method", r->adapter
                                                                 ? method_name(r->adapter) : "full"},
                                    {"target modules", a && a->target_modules ? a->target_modules : "all"},
                                    {"optimizer", peft_optimizer_name(r->optimizer)},
                                        {"schedule", train.schedule ? train.schedule : "linear"},
                                    {"instructions", peft_simd_name(peft_simd_in_use(cli.ctx))}};
    for (int i = 0; i < COUNT(words); i++) report_row(f, "td", words[i], 2, 2);
    for (int i = 0; i < COUNT(numbers); i++) {
        if (!numbers[i].shown) continue;
        snprintf(text, sizeof(text), numbers[i].format, numbers[i].value);
        const char *const row[] = {numbers[i].name, text};
        report_row(f, "td", row, 2, 2);
    }
    fputs("</table>\n", f);
}

static void report_samples(FILE *f, const training *r) {
    static const char *const head[] = {"prompt", "human", "before", "after"};
    fputs("<table>\n", f);
    report_row(f, "th", head, 4, 4);
    for (int64_t i = 0; i < r->before.count && i < 8; i++) {
        const char *cells[] = {peft_dataset_prompt(r->validation, i),
                               peft_dataset_completion(r->validation, i), r->before.texts[i],
                               r->after.texts[i]};
        fputs("<tr>", f);
        for (int c = 0; c < 4; c++) {
            fputs("<td><pre>", f);
            html_text(f, cells[c]);
            fputs("</pre></td>", f);
        }
        fputs("</tr>\n", f);
    }
    fputs("</table>\n", f);
}

static void train_tasks_json(const training *r) {
    task_row row;
    for (int k = 0; train_task(r, k, &row); k++) {
        printf("%s{", k ? "," : ",\"tasks\":[");
        json_pair(stdout, "task", row.name, ",");
        printf("\"examples\":%lld,\"held_out\":%lld", (long long)row.examples,
               row.after ? (long long)row.after->examples : 0);
        for (int i = 0; i < 2 && row.after; i++) {
            const task_result *t = i ? row.after : row.before;
            json_print(stdout, ",\"%s\":{\"loss\":%.6f", i ? "after" : "before", t->loss);
            if (t->scored) printf(",\"rouge\":");
            if (t->scored) print_rouge_json(stdout, &t->rouge);
            printf("}");
        }
        printf("}");
    }
    if (r->mixed.count || r->tasks.count) printf("]");
}

// The cells of a task's row, from its name on.
enum { TASK_CELLS = 7 };
static const char *const task_head[TASK_CELLS] = {"task",       "examples",   "held out", "loss before",
                                                  "loss after", "R-L before", "R-L after"};
static void train_task_cells(const task_row *row, char cells[TASK_CELLS][64]) {
    memset(cells, 0, TASK_CELLS * sizeof(cells[0]));
    snprintf(cells[0], 64, "%s", row->name);
    snprintf(cells[1], 64, "%lld", (long long)row->examples);
    snprintf(cells[2], 64, "%lld", row->after ? (long long)row->after->examples : 0);
    for (int i = 0; i < 2 && row->after; i++) {
        const task_result *t = i ? row->after : row->before;
        snprintf(cells[3 + i], 64, "%.4f", t->loss);
        if (t->scored) snprintf(cells[5 + i], 64, "%.2f", 100 * t->rouge.rougeL.f1);
    }
}

static void train_tasks_print(const training *r) {
    task_row row;
    char cells[TASK_CELLS][64];
    for (int k = 0; train_task(r, k, &row); k++) {
        if (!k) printf("  %-32s", task_head[0]);
        for (int i = 1; i < TASK_CELLS && !k; i++)
            printf(" %11s%s", task_head[i], i + 1 == TASK_CELLS ? "\n" : "");
        train_task_cells(&row, cells);
        printf("  %-32s", cells[0]);
        for (int i = 1; i < TASK_CELLS; i++) printf(" %11s%s", cells[i], i + 1 == TASK_CELLS ? "\n" : "");
    }
}

static void report_tasks(FILE *f, const training *r) {
    task_row row;
    char cells[TASK_CELLS][64];
    if (!r->mixed.count && !r->tasks.count) return;
    report_heading(f, "Tasks");
    fputs("<table>\n", f);
    report_row(f, "th", task_head, TASK_CELLS, 1);
    for (int k = 0; train_task(r, k, &row); k++) {
        const char *list[TASK_CELLS];
        train_task_cells(&row, cells);
        for (int i = 0; i < TASK_CELLS; i++) list[i] = cells[i];
        report_row(f, "td", list, TASK_CELLS, 1);
    }
    fputs("</table>\n", f);
}

static int write_report(const training *r) {
    output o;
    FILE *f = output_open(&o, "train", train.report);
    if (!f) return EXIT_DATA;
    report_begin(f, "Fine-tuning report");
    const curve curves[] = {r->w.loss, r->w.eval};
    report_curves(f, "Loss per token", curves, 2, "step");
    if (r->after.texts && r->before.texts) {
        static const char *const names[] = {"ROUGE-1", "ROUGE-2", "ROUGE-L", "ROUGE-Lsum"};
        static const bar_row rows[] = {{"before", NULL, LOOK_BASE}, {"after", NULL, LOOK_LOW_RANK}};
        const peft_rouge_scores *b = &r->before.rouge.mean, *a = &r->after.rouge.mean;
        const double values[] = {100 * b->rouge1.f1,    100 * a->rouge1.f1,   100 * b->rouge2.f1,
                                 100 * a->rouge2.f1,    100 * b->rougeL.f1,   100 * a->rougeL.f1,
                                 100 * b->rougeLsum.f1, 100 * a->rougeLsum.f1};
        report_heading(f, "ROUGE F1 on held-out examples, in percent");
        report_bars(f, names, 4, rows, 2, values, "%.1f", 100);
        fputs("<p>", f);
        html_text(f, r->after.rouge.signature);
        fprintf(f, ", %lld examples</p>\n", (long long)r->after.count);
        report_heading(f, "Samples");
        report_samples(f, r);
    }
    report_tasks(f, r);
    report_heading(f, "Settings");
    report_settings(f, r);
    report_end(f);
    return output_close(&o, true);
}

static void train_summary(const training *r) {
    if (cli.json) {
        json_print(
            stdout,
            "{\"event\":\"done\",\"steps\":%lld,\"tokens\":%lld,\"loss\":%.6f,\"smoothed_loss\":%.6f,\"best_"
            "eval_loss\":%.6f,\"seconds\":%.2f,\"trainable\":%lld,\"total\":%lld,\"peak_bytes\":%lld,"
            "\"cut_examples\":%lld,\"cut_tokens\":%lld,\"padding\":%lld",
            (long long)r->result.steps, (long long)r->result.tokens, r->result.loss, r->w.smooth,
            or_null(r->result.best_eval_loss), r->result.seconds, (long long)r->result.trainable,
            (long long)r->result.total, (long long)peft_memory_peak(cli.ctx),
            (long long)r->result.cut_examples, (long long)r->result.cut_tokens,
            (long long)r->result.padding);
        if (r->before.texts && r->after.texts) {
            printf(",\"before\":");
            print_rouge_json(stdout, &r->before.rouge.mean);
            printf(",\"after\":");
            print_rouge_json(stdout, &r->after.rouge.mean);
        }
        train_tasks_json(r);
        printf(",");
        json_pair(stdout, "out", train.out, "}\n");
        return;
    }
    printf("%lld steps in %.1f s; loss of the last step %.4f", (long long)r->result.steps, r->result.seconds,
           r->result.loss);
    if (r->w.loss.count) printf(", smoothed %.4f", r->w.smooth);
    if (r->result.best_eval_loss >= 0) printf(", best validation loss %.4f", r->result.best_eval_loss);
    printf("; peak memory %.0f MB; without padding, %.0f %% fewer tokens\n",
           (double)peft_memory_peak(cli.ctx) / 1e6, padding_share(&r->result));
    if (r->before.texts && r->after.texts) {
        printf("                  R-1     R-2     R-L  R-Lsum    on %lld held-out examples\n",
               (long long)r->after.count);
        print_rouge_row("before", &r->before.rouge);
        print_rouge_row("after", &r->after.rouge);
    }
    train_tasks_print(r);
    printf("%s written to %s\n", r->adapter ? "adapter" : "model", train.out);
    if (train.report) printf("report written to %s\n", train.report);
}

static int saved_argc;
static char **saved_argv;

static int train_all(training *r) {
    int code = train_check(r);
    if (!code) code = train_open(r);
    if (code) return code;
    train_announce(r);
    bool sample = r->validation && train.samples > 0;
    if (sample)
        code =
            outcome_make(r->model, NULL, r->validation, train.samples, "answers before training", &r->before);
    if (!code) code = train_tasks(r, NULL, &r->before, r->before_of);
    if (code) return code;
    peft_status status = train_run(r);
    if (status == PEFT_CANCELLED) {
        train_hint(saved_argc, saved_argv);
        return EXIT_INTERRUPTED;
    }
    if (status) return fail(status);
    status =
        r->adapter ? peft_adapter_save(r->adapter, train.out) : peft_model_save(r->model, train.out, r->type);
    if (status) return fail(status);
    remove(r->checkpoint);
    if (sample)
        code = outcome_make(r->model, r->adapter, r->validation, train.samples, "answers after training",
                            &r->after);
    if (!code) code = train_tasks(r, r->adapter, &r->after, r->after_of);
    if (!code && train.report) code = write_report(r);
    if (!code) train_summary(r);
    return code;
}

static int run_train(void) {
    training r;
    memset(&r, 0, sizeof(r));
    r.w.smooth = (double)NAN;  // until a step is taken: a run resumed at its end takes none
    r.w.loss.name = "training (smoothed)", r.w.loss.look = LOOK_LOW_RANK;
    r.w.eval.name = "validation", r.w.eval.look = LOOK_WHOLE;
    int code = train_all(&r);
    tasks_free(&r.mixed);
    tasks_free(&r.tasks);
    free(r.before_of);
    outcome_free(&r.before);
    outcome_free(&r.after);
    curve_free(&r.w.loss);
    curve_free(&r.w.eval);
    if (r.data != r.all) peft_dataset_destroy(r.data);
    peft_dataset_destroy(r.all);
    peft_dataset_destroy(r.validation);
    peft_adapter_destroy(r.adapter);
    peft_model_destroy(r.model);
    free(r.checkpoint);
    return code;
}

// ---- merge

static const char *merge_type;
static double merge_scale = 1;
static const option merge_options[] = {
    {"type", OPTION_WORD, &merge_type, "NAME", "of the merged model: f32 (default), f16, bf16, i8, nf4, fp4"},
    {"scale", OPTION_REAL, &merge_scale, "X", "strength of the adapter (1)"},
    FORCE_OPTION,
    COMMON_OPTIONS};

static int run_merge(void) {
    peft_model *m = NULL;
    peft_adapter *a = NULL;
    peft_dtype type;
    peft_requantize_error error = {0};
    if (cli.rest.count != 3) return wrong("give MODEL ADAPTER OUT");
    int code = parse_weights("type", merge_type, &type);
    if (!code) code = output_may_go("merge", cli.rest.items[2], cli.force, cli.rest.items, 2);
    if (!code) code = open_model(cli.rest.items[0], false, &m);
    if (!code) code = open_adapter(m, cli.rest.items[1], &a);
    if (!code) {
        peft_status status = peft_adapter_merge(a, (float)merge_scale);
        if (!status && type >= PEFT_I8) status = peft_adapter_requantize(a, &error);
        if (!status) status = peft_model_save(m, cli.rest.items[2], type);
        if (status) code = fail(status);
    }
    if (!code && cli.json) {
        printf("{");
        json_pair(stdout, "out", cli.rest.items[2], "");
        if (error.tensors)
            printf(",\"requantized\":%lld,\"relative_error\":%.6g,\"error_of_update\":%.6g,\"max_error\":%."
                   "6g,\"mean_error\":%.6g",
                   (long long)error.tensors, error.relative, error.of_update, error.max, error.mean);
        printf("}\n");
    } else if (!code) {
        printf("%s with %s merged in: %s\n", cli.rest.items[0], cli.rest.items[1], cli.rest.items[2]);
        if (error.tensors)
            printf("%lld tensors quantized again: relative error %.3f %%, %.1f %% of what the adapter had "
                   "added, at most %.3e, mean %.3e\n",
                   (long long)error.tensors, 100 * error.relative, 100 * error.of_update, error.max,
                   error.mean);
    }
    peft_adapter_destroy(a);
    peft_model_destroy(m);
    return code;
}

#endif
