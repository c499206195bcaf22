// What the commands share: the run's settings, the context, models, adapters, texts from files, options of
// answers.
#ifndef PEFT_CMD_COMMON_H
#define PEFT_CMD_COMMON_H

// ---- what all commands share

typedef struct session {
    const char *command;
    int64_t threads, seed;
    const char *simd, *compute;
    bool json, quiet, help, force;
    peft_context *ctx;
    texts rest;  // arguments that are no options
} session;

static session cli;

#define COMMON_OPTIONS \
    HEADING("Machine and output"), \
    {"threads", OPTION_COUNT, &cli.threads, "N", "threads (default: all cores); results do not depend on it"}, \
    {"simd", OPTION_WORD, &cli.simd, "NAME", \
     "portable, avx2, avx512, neon: instead of the widest there is"}, \
    {"compute", OPTION_WORD, &cli.compute, "TYPE", \
     "of matrix products: f32, or bf16 (faster only with AVX-512 BF16), or auto: bf16 where it is; or int8: " \
     "answers faster from weights of int8 and GGUF's blocks, all else as auto"}, \
    {"json", OPTION_FLAG, &cli.json, "", "machine-readable output"}, \
    {"quiet", OPTION_FLAG, &cli.quiet, "", "no progress, no warnings"}, \
    {"help", OPTION_FLAG, &cli.help, "", "this text"}

#define FORCE_OPTION {"force", OPTION_FLAG, &cli.force, "", "replace what is there already"}

// A sign of life in every phase: on a terminal how far it is, elsewhere a line when it begins. It begins with
// done = 0, and ends with done = total.
static void phase(const char *what, int64_t done, int64_t total) {
    if (cli.quiet || total <= 0) return;
    if (!is_terminal(stderr)) {
        if (!done) fprintf(stderr, "%s: %lld\n", what, (long long)total);
    } else if (done < total) {
        fprintf(stderr, "\r%s: %lld of %lld   ", what, (long long)done, (long long)total);
    } else {
        fprintf(stderr, "\r%*s\r", 70, "");
    }
    fflush(stderr);
}

static bool log_is_off;  // while something is asked for a second time: it was told the first time

static void on_log(const char *line, void *user) {
    (void)user;
    if (!cli.quiet && !log_is_off) fprintf(stderr, "peft %s: %s\n", cli.command, line);
}

static int fail(peft_status status) {
    const char *why = peft_error(cli.ctx);
    fprintf(stderr, "peft %s: %s\n", cli.command,
            status == PEFT_ERROR_MEMORY ? "out of memory"
            : *why                      ? why
                                        : peft_status_text(status));
    return exit_code_of(status);
}

static int wrong(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fprintf(stderr, "peft %s: ", cli.command);
    vfprintf(stderr, format, arguments);
    fprintf(stderr, "; see peft %s --help\n", cli.command);
    va_end(arguments);
    return EXIT_USAGE;
}

static int open_context(void) {
    int threads = cli.threads > 0 ? (int)cli.threads : PEFT_USE_PTHREADS ? cores() : 1;
    peft_context_desc desc = {.log = on_log, .threads = threads};
    static const peft_simd all[] = {PEFT_SIMD_PORTABLE, PEFT_SIMD_NEON, PEFT_SIMD_WASM, PEFT_SIMD_AVX2,
                                    PEFT_SIMD_AVX512};
    if (cli.threads < 0 || cli.threads > 256)
        return wrong("--threads %lld is not 1 to 256", (long long)cli.threads);
    for (int i = 0; cli.simd && i < COUNT(all); i++)
        if (strcmp(cli.simd, peft_simd_name(all[i])) == 0) desc.simd = all[i];
    if (cli.simd && !desc.simd) return wrong("--simd %s: unknown", cli.simd);
    bool automatic = cli.compute && strcmp(cli.compute, "auto") == 0;
    static const peft_dtype types[] = {PEFT_F32, PEFT_BF16, PEFT_I8};
    bool known = !cli.compute || automatic;
    for (int i = 0; i < COUNT(types) && !known; i++)
        if (strcmp(cli.compute, peft_dtype_name(types[i])) == 0) known = true, desc.compute = types[i];
    if (!known) return wrong("--compute %s is not f32, bf16, int8 or auto", cli.compute);
    peft_status status = peft_context_create(&desc, &cli.ctx);
    if (!status && automatic && peft_bf16_is_fast(cli.ctx)) {
        desc.compute = PEFT_BF16;
        peft_context_destroy(cli.ctx);
        status = peft_context_create(&desc, &cli.ctx);
    }
    if (!status && automatic && !cli.quiet)
        fprintf(stderr, "peft %s: --compute auto: %s\n", cli.command, peft_dtype_name(desc.compute));
    if (status) {
        fprintf(stderr, "peft %s: no context: %s\n", cli.command,
                desc.simd && status == PEFT_ERROR_UNSUPPORTED ? "this machine has no such SIMD"
                                                              : peft_status_text(status));
        return exit_code_of(status);
    }
    return EXIT_OK;
}

// Whether a list of names between commas has this one; NULL has all.
static bool named_in(const char *list, const char *name) {
    size_t n = strlen(name);
    for (const char *p = list; p && *p;) {
        size_t m = strcspn(p, ",");
        if (m == n && strncmp(p, name, n) == 0) return true;
        p += m + (p[m] == ',');
    }
    return !list;
}

// ---- the format in which weights are kept

static struct {
    const char *weights, *embeddings;
    int64_t block;
    bool double_quant;
} kept;

#define WEIGHT_OPTIONS \
    HEADING("Weights in few bits"), \
    {"weights", OPTION_WORD, &kept.weights, "NAME", \
     "keep linear weights as f16, bf16, i8, nf4 or fp4 (as stored)"}, \
    {"double-quant", OPTION_FLAG, &kept.double_quant, "", "nf4, fp4: scales in 8 bits too"}, \
    {"block", OPTION_COUNT, &kept.block, "N", "weights that share a scale: 32, 64 (default), ... 4096"}, \
    {"embeddings", OPTION_WORD, &kept.embeddings, "NAME", "the same for the embedding and the output layer"}

// "\n" in a text given on the command line is a line break.
static char *unescape(const char *text) {
    char *out = text ? (char *)malloc(strlen(text) + 1) : NULL, *o = out;
    for (const char *p = text; out && *p; p++) {
        if (p[0] == '\\' && p[1] == 'n') *o++ = '\n', p++;
        else *o++ = *p;
    }
    if (out) *o = 0;
    return out;
}

static int parse_weights(const char *option, const char *name, peft_dtype *out) {
    static const char *const names[] = {"f32", "f16", "bf16", "i8", "nf4", "fp4"};
    *out = PEFT_F32;
    for (int i = 0; name && i < COUNT(names); i++)
        if (strcmp(name, names[i]) == 0) *out = (peft_dtype)i;
    if (name && strcmp(name, "int8") == 0) *out = PEFT_I8;
    return name && *out == PEFT_F32 && strcmp(name, "f32") != 0
               ? wrong("--%s %s is not f32, f16, bf16, i8, nf4 or fp4", option, name)
               : EXIT_OK;
}

// The model is the first argument of most commands.
static int open_model(const char *path, bool config_only, peft_model **out) {
    peft_model_desc desc = {.context = cli.ctx,
                            .path = path,
                            .config_only = config_only,
                            .seed = (uint64_t)cli.seed,
                            .block = kept.block,
                            .double_quant = kept.double_quant};
    int code = parse_weights("weights", kept.weights, &desc.weights);
    if (!code) code = parse_weights("embeddings", kept.embeddings, &desc.embeddings);
    if (code) return code;
    peft_status status = peft_model_load(&desc, out);
    return status ? fail(status) : EXIT_OK;
}

static int open_adapter(peft_model *model, const char *folder, peft_adapter **out) {
    *out = NULL;
    peft_status status = folder ? peft_adapter_load(model, folder, out) : PEFT_OK;
    return status ? fail(status) : EXIT_OK;
}

// A model and the adapters that work on it together.
typedef struct opened {
    peft_model *model;
    peft_adapter *adapters[PEFT_MAX_PATHS];
    peft_active_adapter active[PEFT_MAX_PATHS];
    int count;
} opened;

static void close_all(opened *o) {
    for (int i = 0; i < PEFT_MAX_PATHS; i++) peft_adapter_destroy(o->adapters[i]);
    peft_model_destroy(o->model);
}

static int open_all(const char *path, const texts *folders, opened *o) {
    memset(o, 0, sizeof(*o));
    if (folders->count > PEFT_MAX_PATHS)
        return wrong("%d adapters, at most %d are possible", folders->count, PEFT_MAX_PATHS);
    int code = open_model(path, false, &o->model);
    for (; o->count < folders->count && !code; o->count++) {
        code = open_adapter(o->model, folders->items[o->count], &o->adapters[o->count]);
        o->active[o->count].adapter = o->adapters[o->count], o->active[o->count].scale = 1;
    }
    return code;
}

// Two decimals, for columns of bytes; say_number (report.h) gives three digits.
static void human_bytes(char *out, size_t size, size_t n) {
    double v = (double)n;
    if (v >= 1e9) snprintf(out, size, "%.2f GB", v / 1e9);
    else if (v >= 1e6) snprintf(out, size, "%.2f MB", v / 1e6);
    else snprintf(out, size, "%.1f kB", v / 1e3);
}

// ---- texts in files: lines, or one field of JSON lines

typedef struct text_list {
    char **items;
    int64_t count;
    char *memory;  // of plain lines; JSON lines own theirs one by one
    bool separate;
} text_list;

static void text_list_free(text_list *t) {
    for (int64_t i = 0; t->separate && i < t->count; i++) peft_free(cli.ctx, t->items[i]);
    free(t->items);
    free(t->memory);
    memset(t, 0, sizeof(*t));
}

static bool ends_with(const char *text, const char *end) {
    size_t n = strlen(text), m = strlen(end);
    return n >= m && strcmp(text + n - m, end) == 0;
}

static int read_texts(const char *path, text_list *t) {
    memset(t, 0, sizeof(*t));
    size_t size = 0;
    t->memory = read_file(path, &size);
    if (!t->memory) return EXIT_DATA;
    if (memchr(t->memory, 0, size)) {
        fprintf(stderr, "peft %s: %s: a NUL byte: not a text file\n", cli.command, path);
        return EXIT_DATA;
    }
    size_t mark = utf8_mark(t->memory, size);
    t->items = split_lines(t->memory + mark, size - mark, &t->count);
    if (!t->items) return EXIT_MEMORY;
    if (!ends_with(path, ".jsonl")) return EXIT_OK;
    t->separate = true;
    int64_t lines = t->count;
    t->count = 0;
    for (int64_t i = 0; i < lines; i++) {
        if (!*t->items[i]) continue;
        char *text = NULL;
        peft_status status = peft_template_fill(cli.ctx, "{{prediction}}", t->items[i], &text);
        if (status) {
            fprintf(stderr, "peft %s: %s, line %lld: %s\n", cli.command, path, (long long)i + 1,
                    peft_error(cli.ctx));
            return exit_code_of(status);
        }
        t->items[t->count++] = text;
    }
    return EXIT_OK;
}

// ---- generation options, shared by generate, eval and train

static struct {
    int64_t max_new, min_new, beams, no_repeat, top_k;
    double length_penalty, repetition_penalty, temperature, top_p, min_p;
    bool early;
    texts stop;
} answers = {.length_penalty = NAN};

#define GENERATION_OPTIONS \
    HEADING("Answers"), \
    {"max-new-tokens", OPTION_COUNT, &answers.max_new, "N", "at most that many tokens (64)"}, \
    {"min-new-tokens", OPTION_INT, &answers.min_new, "N", "no end before that many (0)"}, \
    {"beams", OPTION_COUNT, &answers.beams, "N", "beam search with that many beams (1: greedy)"}, \
    {"length-penalty", OPTION_REAL, &answers.length_penalty, "X", "of beam search (1)"}, \
    {"early-stopping", OPTION_FLAG, &answers.early, "", "beam search ends when all beams have ended"}, \
    {"no-repeat-ngram", OPTION_INT, &answers.no_repeat, "N", "no N tokens occur twice (0: off)"}, \
    {"repetition-penalty", OPTION_REAL, &answers.repetition_penalty, "X", "above 1: less repetition (1)"}, \
    {"temperature", OPTION_REAL, &answers.temperature, "X", "above 0: sampling (0)"}, \
    {"top-k", OPTION_INT, &answers.top_k, "N", "sample among the N most likely (0: off)"}, \
    {"top-p", OPTION_ABOVE, &answers.top_p, "X", "sample among the likeliest that make up X (1: off)"}, \
    {"min-p", OPTION_REAL, &answers.min_p, "X", \
     "sample among those with X of the likeliest one's probability (0: off)"}, \
    {"stop", OPTION_TEXTS, &answers.stop, "TEXT", "the text ends before this; can be given more than once"}

static texts stops;  // --stop with its line breaks

static peft_generate_desc generation(peft_model *m, const peft_adapter *a) {
    while (stops.count < answers.stop.count) {
        const char *text = unescape(answers.stop.items[stops.count]);
        if (!text || !texts_add(&stops, text)) break;
    }
    return (peft_generate_desc){.model = m,
                                .adapter = a,
                                .max_new_tokens = answers.max_new,
                                .min_new_tokens = answers.min_new,
                                .beams = answers.beams,
                                // 0 itself is next to nothing in the descriptor
                                .length_penalty = isnan(answers.length_penalty) ? 0
                                    : answers.length_penalty == 0 ? -1e-9f : (float)answers.length_penalty,
                                .early_stopping = answers.early,
                                .no_repeat_ngram = answers.no_repeat,
                                .repetition_penalty = (float)answers.repetition_penalty,
                                .temperature = (float)answers.temperature,
                                .top_k = answers.top_k,
                                .top_p = (float)answers.top_p,
                                .min_p = (float)answers.min_p,
                                .stop = stops.items,
                                .stop_count = stops.count,
                                .seed = (uint64_t)cli.seed};
}

#endif
