// The command line: look at a model, talk to it, fine-tune it, score what it says.
//   cc -O2 -I. -o build/peft tools/peft.c -DPEFT_USE_PTHREADS -pthread -lm
#define PEFT_IMPLEMENTATION
#include "peft.h"

#include "cli.h"
#include "report.h"

// ---- what all commands share

typedef struct session {
    const char *command;
    int64_t threads, seed;
    const char *simd;
    bool json, quiet, help, force;
    peft_context *ctx;
    texts rest;  // arguments that are no options
} session;

static session s;

#define COMMON_OPTIONS                                                                                   \
    {"threads", OPTION_INT, &s.threads, "N", "threads (default: all cores); results do not depend on it"}, \
    {"simd", OPTION_WORD, &s.simd, "NAME", "portable, avx2, avx512, neon: instead of the widest there is"}, \
    {"json", OPTION_FLAG, &s.json, "", "machine-readable output"},                                       \
    {"quiet", OPTION_FLAG, &s.quiet, "", "no progress, no warnings"},                                    \
    {"help", OPTION_FLAG, &s.help, "", "this text"}

#define FORCE_OPTION {"force", OPTION_FLAG, &s.force, "", "replace what is there already"}

// A sign of life in every phase: on a terminal how far it is, elsewhere a line when it begins. It begins with
// done = 0, and ends with done = total.
static void phase(const char *what, int64_t done, int64_t total) {
    if (s.quiet || total <= 0) return;
    if (!is_terminal(stderr)) {
        if (!done) fprintf(stderr, "%s: %lld\n", what, (long long)total);
    } else if (done < total) {
        fprintf(stderr, "\r%s: %lld of %lld   ", what, (long long)done, (long long)total);
    } else {
        fprintf(stderr, "\r%*s\r", 70, "");
    }
    fflush(stderr);
}

static void on_log(const char *line, void *user) {
    (void)user;
    if (!s.quiet) fprintf(stderr, "peft %s: %s\n", s.command, line);
}

static int fail(peft_status status) {
    const char *why = peft_error(s.ctx);
    fprintf(stderr, "peft %s: %s\n", s.command, status == PEFT_ERROR_MEMORY ? "out of memory" : *why ? why : peft_status_text(status));
    return exit_code_of(status);
}

static int wrong(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fprintf(stderr, "peft %s: ", s.command);
    vfprintf(stderr, format, arguments);
    fprintf(stderr, "; see peft %s --help\n", s.command);
    va_end(arguments);
    return EXIT_USAGE;
}

static int open_context(void) {
    peft_context_desc d = {.log = on_log, .threads = s.threads > 0 ? (int)s.threads : cores()};
    static const peft_simd all[] = {PEFT_SIMD_PORTABLE, PEFT_SIMD_NEON, PEFT_SIMD_WASM, PEFT_SIMD_AVX2, PEFT_SIMD_AVX512};
    if (s.threads < 0 || s.threads > 256) return wrong("--threads %lld is not 1 to 256", (long long)s.threads);
    for (int i = 0; s.simd && i < COUNT(all); i++)
        if (strcmp(s.simd, peft_simd_name(all[i])) == 0) d.simd = all[i];
    if (s.simd && !d.simd) return wrong("--simd %s: unknown", s.simd);
    peft_status status = peft_context_create(&d, &s.ctx);
    if (status) {
        fprintf(stderr, "peft %s: no context: %s\n", s.command, status == PEFT_ERROR_UNSUPPORTED ? "this machine has no such SIMD" : peft_status_text(status));
        return exit_code_of(status);
    }
    return EXIT_OK;
}

// ---- the format in which weights are kept

static struct {
    const char *weights, *embeddings;
    int64_t block;
    bool double_quant;
} w;

#define WEIGHT_OPTIONS                                                                                                    \
    {"weights", OPTION_WORD, &w.weights, "NAME", "keep linear weights as f16, bf16, i8, nf4 or fp4 (as stored)"},         \
    {"double-quant", OPTION_FLAG, &w.double_quant, "", "nf4, fp4: scales in 8 bits too"},                                 \
    {"block", OPTION_INT, &w.block, "N", "weights that share a scale: 32, 64 (default), ... 4096"},                       \
    {"embeddings", OPTION_WORD, &w.embeddings, "NAME", "the same for the embedding and the output layer"}

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
    return name && *out == PEFT_F32 && strcmp(name, "f32") != 0 ? wrong("--%s %s is not f32, f16, bf16, i8, nf4 or fp4", option, name) : EXIT_OK;
}

// The model is the first argument of most commands.
static int open_model(const char *path, bool config_only, peft_model **out) {
    peft_model_desc desc = {.context = s.ctx, .path = path, .config_only = config_only, .seed = (uint64_t)s.seed, .block = w.block, .double_quant = w.double_quant};
    int code = parse_weights("weights", w.weights, &desc.weights);
    if (!code) code = parse_weights("embeddings", w.embeddings, &desc.embeddings);
    if (code) return code;
    peft_status status = peft_model_load(&desc, out);
    return status ? fail(status) : EXIT_OK;
}

static int open_adapter(peft_model *model, const char *folder, peft_adapter **out) {
    *out = NULL;
    peft_status status = folder ? peft_adapter_load(model, folder, out) : PEFT_OK;
    return status ? fail(status) : EXIT_OK;
}

static void human_count(char *out, size_t size, double n) {
    if (n >= 1e9) snprintf(out, size, "%.2f G", n / 1e9);
    else if (n >= 1e6) snprintf(out, size, "%.2f M", n / 1e6);
    else if (n >= 1e4) snprintf(out, size, "%.1f k", n / 1e3);
    else snprintf(out, size, "%.0f", n);
}

// ---- texts in files: lines, or one field of JSON lines

typedef struct text_list {
    char **items;
    int64_t count;
    char *memory;  // of plain lines; JSON lines own theirs one by one
    bool separate;
} text_list;

static void text_list_free(text_list *t) {
    for (int64_t i = 0; t->separate && i < t->count; i++) peft_free(s.ctx, t->items[i]);
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
        fprintf(stderr, "peft %s: %s: a NUL byte: not a text file\n", s.command, path);
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
        peft_status status = peft_template_fill(s.ctx, "{{prediction}}", t->items[i], &text);
        if (status) {
            fprintf(stderr, "peft %s: %s, line %lld: %s\n", s.command, path, (long long)i + 1, peft_error(s.ctx));
            return exit_code_of(status);
        }
        t->items[t->count++] = text;
    }
    return EXIT_OK;
}

// ---- info

static const char *activation_name(peft_activation_kind kind) {
    static const char *const names[] = {"relu", "gelu", "gelu (tanh)", "silu", "tanh"};
    return names[kind];
}

static void info_tensors(peft_model *m) {
    for (int64_t i = 0; i < peft_model_tensor_count(m); i++) {
        const peft_tensor *t = peft_model_tensor(m, i);
        if (s.json) {
            printf("%s{", i ? "," : "");
            json_pair(stdout, "name", t->name, ",");
            printf("\"rows\":%lld,\"cols\":%lld,\"type\":\"%s\"}", (long long)t->rows, (long long)t->cols, peft_dtype_name(t->type));
        } else {
            printf("  %-72s %6lld x %-6lld %s\n", t->name, (long long)t->rows, (long long)t->cols, peft_dtype_name(t->type));
        }
    }
}

static void info_json(peft_model *m, const char *path, bool tensors) {
    const peft_config *c = peft_model_config(m);
    const peft_tokenizer *tk = peft_model_tokenizer(m);
    printf("{");
    json_pair(stdout, "model", path, ",");
    json_pair(stdout, "type", c->model_type, ",");
    printf("\"parameters\":%lld,\"tensors\":%lld,\"d_model\":%lld,\"d_ff\":%lld,\"d_kv\":%lld,\"heads\":%lld,\"layers\":%lld,"
           "\"decoder_layers\":%lld,\"vocab_size\":%lld,\"tokenizer_pieces\":%lld,\"tied\":%s,\"window\":",
           (long long)peft_model_parameter_count(m), (long long)peft_model_tensor_count(m),
               (long long)c->d_model, (long long)c->d_ff,
           (long long)c->d_kv, (long long)c->heads, (long long)c->layers, (long long)c->decoder_layers,
               (long long)c->vocab_size,
           (long long)(tk ? peft_vocab_size(tk) : 0), c->tied ? "true" : "false");
    if (c->max_positions) printf("%lld", (long long)c->max_positions);
    else printf("null");
    if (tensors) {
        printf(",\"tensor_list\":[");
        info_tensors(m);
        printf("]");
    }
}

static void info_print(peft_model *m, const char *path, bool tensors) {
    const peft_config *c = peft_model_config(m);
    const peft_tokenizer *tk = peft_model_tokenizer(m);
    char parameters[32];
    human_count(parameters, sizeof(parameters), (double)peft_model_parameter_count(m));
    printf("%s: %s, %s parameters in %lld tensors\n", path, c->model_type, parameters, (long long)peft_model_tensor_count(m));
    printf("  layers        %lld encoder, %lld decoder\n", (long long)c->layers, (long long)c->decoder_layers);
    printf("  width         %lld, %lld heads of %lld, feed-forward %lld (%s%s)\n", (long long)c->d_model, (long long)c->heads, (long long)c->d_kv,
           (long long)c->d_ff, c->gated ? "gated " : "", activation_name(c->activation));
    printf("  vocabulary    %lld, head %s\n", (long long)c->vocab_size, c->tied ? "tied to the embedding" : "of its own");
    if (c->max_positions) printf("  window        %lld tokens\n", (long long)c->max_positions);
    else printf("  window        no limit (positions are relative)\n");
    if (tk) printf("  tokenizer     %lld pieces\n", (long long)peft_vocab_size(tk));
    else printf("  tokenizer     none in the folder\n");
    printf("  this machine  %s, %d threads\n", peft_simd_name(peft_simd_in_use(s.ctx)), peft_thread_count(s.ctx));
    if (tensors) info_tensors(m);
}

// ---- info of an adapter: from its own files, for its base may not be at hand

// The value of a key of adapter_config.json as text; "" where there is none. To be freed.
static char *info_key(const char *config, const char *key) {
    char pattern[80], *out = NULL;
    snprintf(pattern, sizeof(pattern), "{{%s}}", key);
    if (peft_template_fill(s.ctx, pattern, config, &out)) return NULL;
    return out;
}

static void info_adapter_line(const char *config, const char *says, const char *key) {
    char *value = info_key(config, key);
    if (value && *value) printf("  %-20s  ", says);
    for (const char *p = value; p && *p; p++)  // of a list, its items
        if (!strchr("[]{}\"\n\r", *p) && (*p != ' ' || p[1] != ' ')) putchar(*p);
    if (value && *value) putchar('\n');
    peft_free(s.ctx, value);
}

static int info_adapter_folder(const char *folder, const char *config, bool list) {
    static const char *const lines[][2] = {{"method", "peft_type"}, {"base model", "base_model_name_or_path"},
                                           {"r", "r"}, {"alpha", "lora_alpha"},
                                           {"dropout", "lora_dropout"}, {"target modules", "target_modules"},
                                               {"feedforward modules", "feedforward_modules"},
                                           {"modules saved whole", "modules_to_save"},
                                               {"layers", "layers_to_transform"},
                                                   {"rank pattern", "rank_pattern"},
                                           {"alpha pattern", "alpha_pattern"}, {"rsLoRA", "use_rslora"},
                                               {"DoRA", "use_dora"}, {"bias", "bias"},
                                           {"virtual tokens", "num_virtual_tokens"}, {"task", "task_type"}};
    char path[1024];
    peft_archive *a = NULL;
    snprintf(path, sizeof(path), "%s/adapter_model.safetensors", folder);
    peft_status status = peft_archive_open(s.ctx, path, &a);
    if (status) return fail(status);
    int64_t parameters = 0, count = peft_archive_count(a);
    for (int64_t i = 0; i < count; i++)
        parameters += peft_archive_at(a, i)->rows * peft_archive_at(a, i)->cols;
    if (s.json) {
        printf("{");
        json_pair(stdout, "adapter", folder, ",");
        printf("\"parameters\":%lld,\"tensors\":%lld,\"config\":", (long long)parameters, (long long)count);
        for (const char *p = config; *p; p++)  // on one line: JSON has line ends between values only
            if (*p != '\n' && *p != '\r') putchar(*p);
        printf("}\n");
    } else {
        printf("%s: an adapter of %lld parameters in %lld tensors\n", folder, (long long)parameters,
               (long long)count);
        for (int i = 0; i < COUNT(lines); i++) info_adapter_line(config, lines[i][0], lines[i][1]);
        for (int64_t i = 0; list && i < count; i++) {
            const peft_tensor *x = peft_archive_at(a, i);
            printf("  %-90s %6lld x %-6lld %s\n", x->name, (long long)x->rows, (long long)x->cols,
                   peft_dtype_name(x->type));
        }
    }
    peft_archive_close(a);
    return EXIT_OK;
}

static bool info_list;
static texts info_adapters;
static const option info_options[] = {{"tensors", OPTION_FLAG, &info_list, "", "list every tensor"},
                                      {"adapter", OPTION_TEXTS, &info_adapters, "DIR",
                                       "look at this adapter, too; can be given more than once"},
                                      COMMON_OPTIONS};

static const char *method_name(const peft_adapter *a) {
    const peft_method_info *info = peft_method_at((int64_t)peft_adapter_settings(a)->method);
    return info ? info->name : "?";
}

// The settings that a method has, as loaded for this model: its rank, or its virtual tokens.
static void info_adapter_print(const peft_model *m, const peft_adapter *a, const char *folder) {
    const peft_adapter_desc *x = peft_adapter_settings(a);
    double share = 100.0 * (double)peft_adapter_parameter_count(a) / (double)peft_model_parameter_count(m);
    bool low_rank = x->method == PEFT_LORA || x->method == PEFT_DORA,
        prompt = x->method == PEFT_PROMPT_TUNING || x->method == PEFT_PREFIX_TUNING ||
            x->method == PEFT_P_TUNING;
    printf("  adapter       %s: %s", folder, method_name(a));
    if (low_rank)
        printf(", r %lld, alpha %g%s", (long long)x->r, (double)x->alpha, x->use_rslora ? ", rsLoRA" : "");
    if (prompt) printf(", %lld virtual tokens", (long long)x->num_virtual_tokens);
    if ((low_rank || x->method == PEFT_IA3) && x->target_modules) printf(", modules %s", x->target_modules);
    printf("\n                %lld parameters (%.3f %%) in %lld tensors\n",
           (long long)peft_adapter_parameter_count(a), share, (long long)peft_adapter_tensor_count(a));
    for (int64_t i = 0; info_list && i < peft_adapter_tensor_count(a); i++) {
        const peft_tensor *x_i = peft_adapter_tensor(a, i);
        printf("  %-90s %6lld x %lld\n", x_i->name, (long long)x_i->rows, (long long)x_i->cols);
    }
}

static void info_adapter_json(const peft_adapter *a, const char *folder) {
    const peft_adapter_desc *x = peft_adapter_settings(a);
    printf("{");
    json_pair(stdout, "adapter", folder, ",");
    json_pair(stdout, "method", method_name(a), ",");
    if (x->method == PEFT_LORA || x->method == PEFT_DORA)
        printf("\"r\":%lld,\"alpha\":%g,", (long long)x->r, (double)x->alpha);
    if (x->target_modules) json_pair(stdout, "target_modules", x->target_modules, ",");
    printf("\"parameters\":%lld,\"tensors\":%lld}", (long long)peft_adapter_parameter_count(a),
           (long long)peft_adapter_tensor_count(a));
}

static int run_info(void) {
    if (s.rest.count != 1) return wrong("give one model or adapter folder");
    const char *path = s.rest.items[0];
    char inside[1024];
    snprintf(inside, sizeof(inside), "%s/config.json", path);
    bool model = file_is_there(inside);
    snprintf(inside, sizeof(inside), "%s/adapter_config.json", path);
    if (!model && file_is_there(inside)) {
        char *config = info_adapters.count ? NULL : read_file(inside, NULL);
        if (!config) return info_adapters.count ? wrong("%s is an adapter itself", path) : EXIT_DATA;
        int done = info_adapter_folder(path, config, info_list);
        free(config);
        return done;
    }
    peft_model *m = NULL;
    peft_adapter **adapters = (peft_adapter **)calloc((size_t)info_adapters.count + 1, sizeof(peft_adapter *));
    int code = adapters ? open_model(path, false, &m) : EXIT_MEMORY;
    for (int i = 0; i < info_adapters.count && !code; i++) code = open_adapter(m, info_adapters.items[i], &adapters[i]);
    if (!code && s.json) info_json(m, path, info_list);
    else if (!code) info_print(m, path, info_list);
    for (int i = 0; i < info_adapters.count && !code; i++) {
        if (s.json) printf("%s", i ? "," : ",\"adapters\":[");
        if (s.json) info_adapter_json(adapters[i], info_adapters.items[i]);
        else info_adapter_print(m, adapters[i], info_adapters.items[i]);
    }
    if (!code && s.json) printf("%s}\n", info_adapters.count ? "]" : "");
    for (int i = 0; adapters && i < info_adapters.count; i++) peft_adapter_destroy(adapters[i]);
    free(adapters);
    peft_model_destroy(m);
    return code;
}

// ---- tokenize

static bool tokenize_decode, tokenize_special;
static const option tokenize_options[] = {{"decode", OPTION_FLAG, &tokenize_decode, "", "the other way: ids to text"},
                                          {"special", OPTION_FLAG, &tokenize_special, "", "</s>, <extra_id_0>, ... in the text are tokens"},
                                          COMMON_OPTIONS};

static int tokenize_one(const peft_tokenizer *t, const char *text) {
    peft_ids ids = {0};
    size_t n = strlen(text);
    peft_status status = tokenize_special ? peft_encode_special(t, text, n, &ids) : peft_encode(t, text, n, &ids);
    if (status) return fail(status);
    if (s.json) printf("{\"ids\":[");
    for (int64_t i = 0; i < ids.count; i++) printf("%s%d", i ? s.json ? "," : " " : "", ids.data[i]);
    if (s.json) {
        printf("],\"tokens\":[");
        for (int64_t i = 0; i < ids.count; i++) {
            if (i) printf(",");
            json_text(stdout, peft_token_text(t, ids.data[i]));
        }
        printf("]}");
    }
    printf("\n");
    peft_ids_free(s.ctx, &ids);
    return EXIT_OK;
}

static int detokenize_one(const peft_tokenizer *t, const char *text) {
    int32_t ids[4096];
    int64_t n = 0;
    for (const char *p = text; *p;) {
        char *end;
        if (isspace((unsigned char)*p) || *p == ',') {
            p++;
            continue;
        }
        long id = strtol(p, &end, 10);
        if (end == p || n == COUNT(ids)) return wrong(end == p ? "\"%.20s\" is not a token id" : "more than 4096 ids in a line (at \"%.20s\")", p);
        ids[n++] = (int32_t)id;
        p = end;
    }
    char *out;
    peft_status status = peft_decode(t, ids, n, false, &out, NULL);
    if (status) return fail(status);
    if (s.json) {
        printf("{");
        json_pair(stdout, "text", out, "}\n");
    } else {
        printf("%s\n", out);
    }
    peft_free(s.ctx, out);
    return EXIT_OK;
}

static int run_tokenize(void) {
    if (s.rest.count < 1) return wrong("give a model folder or a tokenizer file, and texts (or texts on standard input, one per line)");
    peft_tokenizer *t;
    peft_status status = peft_tokenizer_load(s.ctx, s.rest.items[0], &t);
    if (status) return fail(status);
    int code = EXIT_OK;
    for (int i = 1; i < s.rest.count && !code; i++) code = tokenize_decode ? detokenize_one(t, s.rest.items[i]) : tokenize_one(t, s.rest.items[i]);
    text_list lines = {0};
    if (s.rest.count == 1) code = read_texts("-", &lines);
    for (int64_t i = 0; i < lines.count && !code; i++) code = tokenize_decode ? detokenize_one(t, lines.items[i]) : tokenize_one(t, lines.items[i]);
    text_list_free(&lines);
    peft_tokenizer_destroy(t);
    return code;
}

// ---- generation options, shared by generate, eval and train

static struct {
    int64_t max_new, min_new, beams, no_repeat, top_k;
    double length_penalty, repetition_penalty, temperature, top_p, min_p;
    bool early;
    texts stop;
} g;

#define GENERATION_OPTIONS                                                                                      \
    {"max-new-tokens", OPTION_INT, &g.max_new, "N", "at most that many tokens (64)"},                           \
    {"min-new-tokens", OPTION_INT, &g.min_new, "N", "no end before that many (0)"},                             \
    {"beams", OPTION_INT, &g.beams, "N", "beam search with that many beams (1: greedy)"},                       \
    {"length-penalty", OPTION_REAL, &g.length_penalty, "X", "of beam search (1)"},                              \
    {"early-stopping", OPTION_FLAG, &g.early, "", "beam search ends when all beams have ended"},                \
    {"no-repeat-ngram", OPTION_INT, &g.no_repeat, "N", "no N tokens occur twice (0: off)"},                     \
    {"repetition-penalty", OPTION_REAL, &g.repetition_penalty, "X", "above 1: less repetition (1)"},            \
    {"temperature", OPTION_REAL, &g.temperature, "X", "above 0: sampling (0)"},                                 \
    {"top-k", OPTION_INT, &g.top_k, "N", "sample among the N most likely (0: off)"},                            \
    {"top-p", OPTION_REAL, &g.top_p, "X", "sample among the likeliest that make up X (1: off)"}, \
    {"min-p", OPTION_REAL, &g.min_p, "X", "sample among those with X of the likeliest one's probability (0: off)"}, \
    {"stop", OPTION_TEXTS, &g.stop, "TEXT", "the text ends before this; can be given more than once"}

static texts stops;  // --stop with its line breaks

static peft_generate_desc generation(peft_model *m, const peft_adapter *a) {
    while (stops.count < g.stop.count) {
        const char *text = unescape(g.stop.items[stops.count]);
        if (!text || !texts_add(&stops, text)) break;
    }
    return (peft_generate_desc){.model = m, .adapter = a, .max_new_tokens = g.max_new, .min_new_tokens = g.min_new, .beams = g.beams,
                                .length_penalty = (float)g.length_penalty, .early_stopping = g.early, .no_repeat_ngram = g.no_repeat,
                                .repetition_penalty = (float)g.repetition_penalty, .temperature = (float)g.temperature, .top_k = g.top_k,
                                .top_p = (float)g.top_p, .min_p = (float)g.min_p, .stop = stops.items, .stop_count = stops.count,
                                .seed = (uint64_t)s.seed};
}

// ---- the dataset, shared by generate, eval and train

static struct {
    texts data, prompts, completions;
    int64_t limit;
    const char *format, *quotes;
} d;

// Repeated: a --prompt and a --completion per --data, in order, or one for all.
#define PROMPT_OPTION                       \
    {"prompt", OPTION_TEXTS, &d.prompts, "TEXT", \
     "template of the input, e.g. \"Summarize: {{dialogue}}\" ({{prompt}}); one for all or one per --data"}
#define COMPLETION_OPTION                           \
    {"completion", OPTION_TEXTS, &d.completions, "TEXT", \
     "template of the answer ({{completion}}); one for all or one per --data"}
#define DATA_OPTIONS                                                                                           \
    {"data", OPTION_TEXTS, &d.data, "FILE", ".jsonl, .json, .csv or .tsv; -: standard input; can be repeated"}, \
    PROMPT_OPTION,                                                                                             \
    {"limit", OPTION_INT, &d.limit, "N", "only the first N examples of a file"},                               \
    {"data-format", OPTION_WORD, &d.format, "NAME", "jsonl, json, csv or tsv (what the file's name says)"},    \
    {"quotes", OPTION_WORD, &d.quotes, "NAME", "of tables: rfc4180 (default), or none: characters like others"}


// The template of file i out of `count`.
static const char *template_of(const texts *t, int i, int count) {
    return !t->count ? NULL : t->items[t->count == 1 || t->count != count ? 0 : i];
}

static int data_check(const texts *files, const char *option) {
    const texts *const lists[] = {&d.prompts, &d.completions};
    for (int k = 0; k < 2; k++)
        if (lists[k]->count > 1 && lists[k]->count != files->count)
            return wrong("%d --%s for %d --%s: give one for all, or one for each, in their order",
                         lists[k]->count, k ? "completion" : "prompt", files->count, option);
    if (d.quotes && strcmp(d.quotes, "none") != 0 && strcmp(d.quotes, "rfc4180") != 0)
        return wrong("--quotes %s is not rfc4180 or none", d.quotes);
    return EXIT_OK;
}

// One file, its templates those of file i of `count`.
static int open_dataset(const char *path, int64_t limit, int i, int count, peft_dataset **out) {
    char *prompt = unescape(template_of(&d.prompts, i, count)),
        *completion = unescape(template_of(&d.completions, i, count));
    peft_dataset_desc desc = {.context = s.ctx, .path = path, .prompt = prompt, .completion = completion,
                              .limit = limit, .format = d.format};
    if (d.quotes) desc.quotes = strcmp(d.quotes, "none") == 0 ? PEFT_QUOTES_NONE : PEFT_QUOTES_RFC4180;
    peft_status status = peft_dataset_load(&desc, out);
    free(prompt);
    free(completion);
    if (status) return fail(status);
    if (peft_dataset_count(*out) > 0) return EXIT_OK;
    fprintf(stderr, "peft %s: %s: no examples\n", s.command, path);
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
            "peft %s: all %lld completions are \"%.80s\": there is nothing to learn from them. The completion's template is \"%s\"%s%s\n", s.command,
            (long long)n, peft_dataset_completion(data, 0), d.completions.count ? d.completions.items[0]
                : "{{completion}}", *fields ? "; fields that there are: " : "", fields);
    return EXIT_DATA;
}

static int open_lessons(const texts *files, int64_t limit, peft_dataset **out) {
    int code = open_datasets(files, "data", limit, out);
    return code ? code : check_lessons(*out);
}

// ---- generate

static const char *generate_prompt;
static texts generate_adapters;
static bool generate_stream, generate_lines;

static bool print_piece(const char *piece, size_t size, int64_t prompt, void *user) {
    (void)prompt, (void)user;
    fwrite(piece, 1, size, stdout);
    fflush(stdout);
    return !interrupted;
}

static const option generate_options[] = {{"prompt-text", OPTION_TEXT, &generate_prompt, "TEXT", "the prompt (or give it as arguments, or on standard input)"},
                                          {"lines", OPTION_FLAG, &generate_lines, "",
                                           "every line of standard input is a prompt (it is one prompt)"},
                                          {"adapter", OPTION_TEXTS, &generate_adapters, "DIR",
                                           "with this adapter; several work together"},
                                          WEIGHT_OPTIONS,
                                          DATA_OPTIONS,
                                          GENERATION_OPTIONS,
                                          {"stream", OPTION_FLAG, &generate_stream, "", "print the text while it is written; Ctrl-C ends it"},
                                          {"seed", OPTION_INT, &s.seed, "N", "of sampling"},
                                          COMMON_OPTIONS};

static int generate_print(const peft_generate_desc *given, const char *const *prompts, int64_t count) {
    peft_generate_desc desc = *given;
    bool stream = generate_stream && !s.json;
    if (stream) {
        desc.on_text = print_piece;
        signal(SIGINT, on_interrupt);
    }
    for (int64_t i = 0; i < count && !interrupted; i++) {
        char *text;
        peft_status status = peft_generate_text(&desc, prompts[i], &text);
        if (status) return fail(status);
        if (s.json) {
            printf("{");
            json_pair(stdout, "prompt", prompts[i], ",");
            json_pair(stdout, "text", text, "}\n");
        } else {
            printf("%s\n", stream ? "" : text);
        }
        fflush(stdout);
        peft_free(s.ctx, text);
    }
    return interrupted ? EXIT_INTERRUPTED : EXIT_OK;
}

// Standard input: one prompt, without the line end that closes it, or a prompt a line.
static int generate_stdin(const peft_generate_desc *desc) {
    if (is_terminal(stdin) && !s.quiet) fprintf(stderr, "The prompt, to be ended with Ctrl-D:\n");
    text_list lines = {0};
    int code = EXIT_OK;
    if (generate_lines) {
        code = read_texts("-", &lines);
        if (!code) code = generate_print(desc, (const char *const *)lines.items, lines.count);
        text_list_free(&lines);
        return code;
    }
    size_t size = 0;
    char *text = read_file("-", &size);
    if (!text) return EXIT_DATA;
    if (memchr(text, 0, size)) {
        fprintf(stderr, "peft generate: standard input: a NUL byte: not a text\n");
        code = EXIT_DATA;
    }
    char *begin = text + utf8_mark(text, size);
    if (size && text[size - 1] == '\n') text[--size] = 0;
    if (size && text + size > begin && text[size - 1] == '\r') text[--size] = 0;
    const char *prompt = begin;
    if (!code) code = generate_print(desc, &prompt, 1);
    free(text);
    return code;
}

static int generate_all(const peft_generate_desc *desc) {
    peft_dataset *data = NULL;
    int code = EXIT_OK;
    if (d.data.count) {
        if (!texts_add(&d.completions, "")) return EXIT_MEMORY;  // nobody asks for the right answers
        code = open_datasets(&d.data, "data", d.limit, &data);
        for (int64_t i = 0; !code && i < peft_dataset_count(data); i++) {
            const char *prompt = peft_dataset_prompt(data, i);
            code = generate_print(desc, &prompt, 1);
        }
        peft_dataset_destroy(data);
        return code;
    }
    if (!generate_prompt && s.rest.count == 1) return generate_stdin(desc);
    for (int i = 1; i < s.rest.count + (generate_prompt != NULL) && !code; i++) {
        char *text = unescape(generate_prompt ? generate_prompt : s.rest.items[i]);
        code = text ? generate_print(desc, (const char *const *)&text, 1) : EXIT_MEMORY;
        free(text);
    }
    return code;
}

static int run_generate(void) {
    if (s.rest.count < 1) return wrong("give a model folder");
    if ((s.rest.count > 1) + (generate_prompt != NULL) + (d.data.count > 0) > 1)
        return wrong("prompts come from one place: arguments, --prompt-text or --data");
    if (generate_lines && (s.rest.count > 1 || generate_prompt || d.data.count))
        return wrong("--lines is of standard input");
    if (generate_adapters.count > PEFT_MAX_PATHS)
        return wrong("%d adapters, at most %d are possible", generate_adapters.count, PEFT_MAX_PATHS);
    peft_model *m = NULL;
    peft_adapter *adapters[PEFT_MAX_PATHS] = {NULL};
    peft_active_adapter active[PEFT_MAX_PATHS];
    memset(active, 0, sizeof(active));
    int code = open_model(s.rest.items[0], false, &m);
    for (int i = 0; i < generate_adapters.count && !code; i++) {
        code = open_adapter(m, generate_adapters.items[i], &adapters[i]);
        active[i].adapter = adapters[i], active[i].scale = 1;
    }
    if (!code) {
        peft_generate_desc desc = generation(m, NULL);
        desc.adapters = active, desc.adapter_count = generate_adapters.count;
        if (!desc.adapter_count) desc.adapters = NULL;
        code = generate_all(&desc);
    }
    for (int i = 0; i < PEFT_MAX_PATHS; i++) peft_adapter_destroy(adapters[i]);
    peft_model_destroy(m);
    return code;
}

// ---- scores of what a model writes for a dataset

typedef struct outcome {
    int64_t count;
    char **texts;
    peft_rouge_result rouge;
    double loss;
} outcome;

static void outcome_free(outcome *o) {
    for (int64_t i = 0; o->texts && i < o->count; i++) peft_free(s.ctx, o->texts[i]);
    free(o->texts);
    o->texts = NULL;
}

enum { PHASE_PROMPTS = 32 };  // answered between two signs of life

static int outcome_make(peft_model *m, const peft_adapter *a, const peft_dataset *data, int64_t count,
                        const char *what, outcome *o) {
    memset(o, 0, sizeof(*o));
    o->count = count < peft_dataset_count(data) ? count : peft_dataset_count(data);
    o->texts = (char **)calloc((size_t)o->count + 1, sizeof(char *));
    const char **prompts = (const char **)calloc((size_t)o->count + 1, sizeof(char *)), **references = (const char **)calloc((size_t)o->count + 1, sizeof(char *));
    if (!o->texts || !prompts || !references) return EXIT_MEMORY;
    for (int64_t i = 0; i < o->count; i++) prompts[i] = peft_dataset_prompt(data, i), references[i] = peft_dataset_completion(data, i);
    peft_generate_desc desc = generation(m, a);
    peft_status status = PEFT_OK;
    for (int64_t i = 0; i < o->count && !status && !interrupted; i += PHASE_PROMPTS) {
        phase(what, i, o->count);
        status = peft_generate_texts(&desc, prompts + i, o->count - i < PHASE_PROMPTS ? o->count - i
                                     : PHASE_PROMPTS, o->texts + i);
    }
    phase(what, o->count, o->count);
    if (!status && !interrupted && o->count)
        status = peft_rouge(&(peft_rouge_desc){.context = s.ctx, .predictions = (const char *const *)o->texts, .references = references, .count = o->count,
                                               .use_stemmer = true, .bootstrap_samples = 1000, .seed = (uint64_t)s.seed}, &o->rouge);
    free((void *)prompts);
    free((void *)references);
    return status ? fail(status) : interrupted ? EXIT_INTERRUPTED : EXIT_OK;
}

static void print_rouge_json(FILE *f, const peft_rouge_scores *r) {
    fprintf(f, "{\"rouge1\":%.6f,\"rouge2\":%.6f,\"rougeL\":%.6f,\"rougeLsum\":%.6f}", r->rouge1.f1, r->rouge2.f1, r->rougeL.f1, r->rougeLsum.f1);
}

static void print_rouge_row(const char *name, const peft_rouge_result *r) {
    printf("  %-14s %6.2f  %6.2f  %6.2f  %6.2f    (ROUGE-L 95 %%: %.2f to %.2f)\n", name, 100 * r->mean.rouge1.f1, 100 * r->mean.rouge2.f1,
           100 * r->mean.rougeL.f1, 100 * r->mean.rougeLsum.f1, 100 * r->low.rougeL.f1, 100 * r->high.rougeL.f1);
}

// ---- eval

static const char *eval_adapter, *eval_output;
static int64_t eval_source, eval_target;
static bool eval_loss_only;
static const option eval_options[] = {{"adapter", OPTION_TEXT, &eval_adapter, "DIR", "with this adapter"},
                                      WEIGHT_OPTIONS,
                                      DATA_OPTIONS,
                                      COMPLETION_OPTION,
                                      {"output", OPTION_TEXT, &eval_output, "FILE", "write prompts, predictions and references as JSON lines"},
                                      {"loss-only", OPTION_FLAG, &eval_loss_only, "", "no generation, no ROUGE"},
                                      {"max-source", OPTION_INT, &eval_source, "N", "tokens of the input, the rest is cut (512)"},
                                      {"max-target", OPTION_INT, &eval_target, "N", "tokens of the answer (128)"},
                                      GENERATION_OPTIONS,
                                      {"seed", OPTION_INT, &s.seed, "N", "of sampling and of the bootstrap"},
                                      COMMON_OPTIONS};

static int write_predictions(const char *path, const peft_dataset *data, const outcome *o) {
    output out;
    FILE *f = output_open(&out, s.command, path);
    if (!f) return EXIT_DATA;
    for (int64_t i = 0; i < o->count; i++) {
        fputc('{', f);
        json_pair(f, "prompt", peft_dataset_prompt(data, i), ",");
        json_pair(f, "prediction", o->texts[i], ",");
        json_pair(f, "reference", peft_dataset_completion(data, i), "}\n");
    }
    return output_close(&out, true);
}

static int run_eval(void) {
    if (s.rest.count != 1 || !d.data.count) return wrong("give a model folder and --data FILE");
    peft_model *m = NULL;
    peft_adapter *a = NULL;
    peft_dataset *data = NULL;
    outcome o = {0};
    double loss = 0;
    int code = open_model(s.rest.items[0], false, &m);
    if (!code) code = open_adapter(m, eval_adapter, &a);
    if (!code) code = open_datasets(&d.data, "data", d.limit, &data);
    if (!code) {
        phase("loss of examples", 0, peft_dataset_count(data));
        peft_status status = peft_evaluate_loss(m, a, data, eval_source, eval_target, &loss);
        phase("", 1, 1);
        if (status) code = fail(status);
    }
    if (!code && !eval_loss_only) code = outcome_make(m, a, data, peft_dataset_count(data), "answers", &o);
    if (!code && eval_output && o.texts) code = write_predictions(eval_output, data, &o);
    if (!code && s.json) {
        json_print(stdout, "{\"examples\":%lld,\"loss\":%.6f,\"perplexity\":%.6f", (long long)peft_dataset_count(data), loss, exp(loss));
        if (o.texts) {
            printf(",\"rouge\":");
            print_rouge_json(stdout, &o.rouge.mean);
            printf(",");
            json_pair(stdout, "signature", o.rouge.signature, "");
        }
        printf("}\n");
    } else if (!code) {
        printf("%lld examples: loss %.4f per token, perplexity %.2f\n", (long long)peft_dataset_count(data), loss, exp(loss));
        if (o.texts) {
            printf("                  R-1     R-2     R-L  R-Lsum\n");
            print_rouge_row("ROUGE F1", &o.rouge);
            printf("  signature: %s\n", o.rouge.signature);
        }
    }
    outcome_free(&o);
    peft_dataset_destroy(data);
    peft_adapter_destroy(a);
    peft_model_destroy(m);
    return code;
}

// ---- the adapter to be trained, shared by train, methods, sweep, compare and forget

static struct {
    const char *method, *target, *feedforward, *bias, *modules_to_save, *layers, *rank_pattern, *alpha_pattern, *init_text, *activation, *place, *type, *base_name;
    const char *exclude, *parameters, *layers_pattern, *tokens_trained;
    int64_t r, tokens, hidden, encoder_layers, bottleneck;
    double alpha, dropout, reduction;
    bool rslora, pissa, random_init, projection, lstm, pfeiffer, lora_bias;
} ad;

#define RANK_OPTION {"r", OPTION_INT, &ad.r, "N", "lora, dora: rank (8)"}
#define ADAPTER_OPTIONS                                                                                                           \
    {"method", OPTION_WORD, &ad.method, "NAME", "lora (default), dora, ia3, prompt, prefix, ptuning, bottleneck, bitfit, norms, head, selected, full"}, \
    {"alpha", OPTION_REAL, &ad.alpha, "X", "lora, dora: strength is alpha / r (16)"},                                             \
    {"use-rslora", OPTION_FLAG, &ad.rslora, "", "lora, dora: strength is alpha / sqrt(r)"},                                       \
    {"pissa", OPTION_FLAG, &ad.pissa, "", "lora: start from the weights' main directions"},                                                    \
    {"adapter-type", OPTION_WORD, &ad.type, "NAME", "lora: f32 (default), f16 or bf16 with master weights in f32 while it is trained"}, \
    {"lora-dropout", OPTION_REAL, &ad.dropout, "X", "lora, dora: dropout of the adapter's input (0)"},                            \
    {"target-modules", OPTION_TEXT, &ad.target, "NAMES", "e.g. q,v or all-linear (the architecture's default); lora: embeddings by name; selected: parameters"}, \
    {"feedforward-modules", OPTION_TEXT, &ad.feedforward, "NAMES", "ia3: target modules whose input is scaled"},                  \
    {"bias", OPTION_WORD, &ad.bias, "NAME", "lora: train biases, too: none (default), all, lora_only"},                           \
    {"lora-bias", OPTION_FLAG, &ad.lora_bias, "", "lora: B has a bias"},                                                          \
    {"exclude-modules", OPTION_TEXT, &ad.exclude, "NAMES", "lora, dora, ia3: no targets"},                                        \
    {"target-parameters", OPTION_TEXT, &ad.parameters, "NAMES", "lora: parameters beside the target modules"},                    \
    {"modules-to-save", OPTION_TEXT, &ad.modules_to_save, "NAMES", "lora, dora, ia3: modules trained whole"},                     \
    {"trainable-token-indices", OPTION_TEXT, &ad.tokens_trained, "LIST", "lora, dora, ia3: these rows of the embedding"},         \
    {"layers-pattern", OPTION_TEXT, &ad.layers_pattern, "NAME", "what stands before a block's number"},                           \
    {"layers", OPTION_TEXT, &ad.layers, "LIST", "only these blocks, e.g. 0,1"},                                                   \
    {"rank-pattern", OPTION_TEXT, &ad.rank_pattern, "LIST", "lora: other ranks, e.g. q=4,v=16"},                                  \
    {"alpha-pattern", OPTION_TEXT, &ad.alpha_pattern, "LIST", "lora: other alphas"},                                              \
    {"base-name", OPTION_TEXT, &ad.base_name, "NAME", "the base's name in adapter_config.json (where it was loaded from)"},       \
    {"num-virtual-tokens", OPTION_INT, &ad.tokens, "N", "prompt, prefix, ptuning: how many (20)"},                                \
    {"init-text", OPTION_TEXT, &ad.init_text, "TEXT", "prompt, prefix: start from this text (prompt: from random words)"},        \
    {"random-init", OPTION_FLAG, &ad.random_init, "", "prompt: start from noise"},                                                \
    {"prefix-projection", OPTION_FLAG, &ad.projection, "", "prefix: made by a small network"},                                    \
    {"prompt-place", OPTION_WORD, &ad.place, "NAME", "prompt, ptuning of encoder-decoder models: encoder (default), decoder, both"}, \
    {"encoder-hidden", OPTION_INT, &ad.hidden, "N", "ptuning, prefix: width of that network (the model's)"},                      \
    {"encoder-lstm", OPTION_FLAG, &ad.lstm, "", "ptuning: an LSTM before the MLP"},                                               \
    {"encoder-layers", OPTION_INT, &ad.encoder_layers, "N", "ptuning: of the LSTM (2)"},                                          \
    {"bottleneck", OPTION_INT, &ad.bottleneck, "N", "bottleneck: width (the model's / the reduction factor)"},                    \
    {"reduction-factor", OPTION_REAL, &ad.reduction, "X", "bottleneck: 16"},                                                      \
    {"activation", OPTION_WORD, &ad.activation, "NAME", "bottleneck: relu (default), gelu, silu, tanh"},                          \
    {"pfeiffer", OPTION_FLAG, &ad.pfeiffer, "", "bottleneck: behind the feed-forward only"}

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

static int check_method(const char *name) {
    if (name && strcmp(name, "full") != 0 && !peft_method_named(name)) return wrong("--method %s: unknown; peft methods MODEL lists them", name);
    return EXIT_OK;
}

static char *init_text;  // --init-text with its line breaks

// What the options say of an adapter.
static int adapter_settings(peft_model *model, const peft_method_info *info, peft_adapter_desc *out) {
    peft_activation_kind activation;
    peft_prompt_place place;
    peft_dtype type;
    int code = parse_activation(ad.activation, &activation);
    if (!code) code = parse_place(ad.place, &place);
    if (!code) code = parse_weights("adapter-type", ad.type, &type);
    if (code) return code;
    if (!init_text) init_text = unescape(ad.init_text);
    *out = (peft_adapter_desc){.model = model, .method = info->method, .r = ad.r, .alpha = (float)ad.alpha, .dropout = (float)ad.dropout, .use_rslora = ad.rslora,
                               .pissa = ad.pissa, .target_modules = ad.target, .feedforward_modules = ad.feedforward, .bias = ad.bias,
                               .modules_to_save = ad.modules_to_save, .layers_to_transform = ad.layers, .rank_pattern = ad.rank_pattern,
                               .alpha_pattern = ad.alpha_pattern, .num_virtual_tokens = ad.tokens, .random_init = ad.random_init, .init_text = init_text,
                               .prefix_projection = ad.projection, .prompt_place = place, .encoder_hidden = ad.hidden, .encoder_lstm = ad.lstm,
                               .encoder_layers = ad.encoder_layers, .lora_bias = ad.lora_bias,
                               .exclude_modules = ad.exclude, .target_parameters = ad.parameters, .layers_pattern = ad.layers_pattern,
                               .trainable_token_indices = ad.tokens_trained, .bottleneck = ad.bottleneck, .reduction_factor = (float)ad.reduction,
                               .activation = activation, .pfeiffer = ad.pfeiffer, .seed = (uint64_t)s.seed, .type = type,
                               .base_model_name_or_path = ad.base_name};
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
    int64_t epochs, max_steps, batch, accumulation, warmup, max_source, max_target, eval_every, checkpoint_every, samples;
    double lr, lora_plus, decay, norm, dropout, split;
    bool keep_best, resume, resume_anyway, init;
    const char *optimizer, *optimizer_file;
    bool checkpoint_blocks;
} t;

#define SAVING_OPTIONS                                                                                     \
    {"optimizer", OPTION_WORD, &t.optimizer, "NAME", "adamw (default), adamw8bit, adafactor, sgd, lion"}, \
    {"checkpoint-blocks", OPTION_FLAG, &t.checkpoint_blocks, "", "less memory: compute blocks again on the way back"}

static int parse_optimizer(peft_optimizer_kind *out) {
    *out = PEFT_ADAMW;
    return t.optimizer && !peft_optimizer_named(t.optimizer, out) ? wrong("--optimizer %s is not adamw, adamw8bit, adafactor, sgd or lion", t.optimizer) : EXIT_OK;
}

static const option train_options[] = {
    DATA_OPTIONS,
    COMPLETION_OPTION,
    {"validation", OPTION_TEXTS, &t.validation, "FILE",
     "held-out examples with the same fields; can be given more than once"},
    {"split", OPTION_REAL, &t.split, "X", "hold out this part of --data instead (0.1: a tenth)"},
    {"out", OPTION_TEXT, &t.out, "DIR", "where the adapter, or the whole model, goes"},
    FORCE_OPTION,
    ADAPTER_OPTIONS,
    RANK_OPTION,
    WEIGHT_OPTIONS,
    SAVING_OPTIONS,
    {"optimizer-file", OPTION_TEXT, &t.optimizer_file, "FILE", "a scratch file for its state, mapped into memory"},
    {"epochs", OPTION_INT, &t.epochs, "N", "times through the data (3)"},
    {"max-steps", OPTION_INT, &t.max_steps, "N", "optimizer steps, instead of epochs"},
    {"batch", OPTION_INT, &t.batch, "N", "examples per batch (8)"},
    {"accumulation", OPTION_INT, &t.accumulation, "N", "batches per optimizer step (1)"},
    {"lr", OPTION_REAL, &t.lr, "X", "learning rate (the method's, see peft methods; full 1e-4)"},
    {"lora-plus", OPTION_REAL, &t.lora_plus, "X", "lora: B learns X times as fast as A (1)"},
    {"schedule", OPTION_WORD, &t.schedule, "NAME", "linear (default), cosine, constant"},
    {"warmup", OPTION_INT, &t.warmup, "N", "steps (0)"},
    {"weight-decay", OPTION_REAL, &t.decay, "X", "of AdamW (0)"},
    {"max-grad-norm", OPTION_REAL, &t.norm, "X", "gradients are clipped to it (1; negative: never)"},
    {"dropout", OPTION_REAL, &t.dropout, "X", "in the model (0)"},
    {"max-source", OPTION_INT, &t.max_source, "N", "tokens of the input, the rest is cut (512)"},
    {"max-target", OPTION_INT, &t.max_target, "N", "tokens of the answer (128)"},
    {"eval-every", OPTION_INT, &t.eval_every, "N", "steps (once per epoch)"},
    {"keep-best", OPTION_FLAG, &t.keep_best, "", "save the weights of the best evaluation, not the last ones"},
    {"checkpoint", OPTION_TEXT, &t.checkpoint, "FILE", "where Ctrl-C and --checkpoint-every save (OUT.checkpoint)"},
    {"checkpoint-every", OPTION_INT, &t.checkpoint_every, "N", "steps (only on Ctrl-C)"},
    {"resume", OPTION_FLAG, &t.resume, "", "go on from the checkpoint, bit for bit; from the beginning if there is none"},
    {"resume-anyway", OPTION_FLAG, &t.resume_anyway, "", "the same with other data or settings, which are told"},
    {"report", OPTION_TEXT, &t.report, "FILE", "write an HTML page with curves, ROUGE and samples"},
    {"samples", OPTION_INT, &t.samples, "N", "held-out examples for ROUGE before and after (32; 0: none)"},
    {"init", OPTION_FLAG, &t.init, "", "start from random weights: MODEL needs only config.json and a tokenizer"},
    {"type", OPTION_WORD, &t.type, "NAME", "of a saved model: f32 (default), f16, bf16, i8, nf4, fp4"},
    GENERATION_OPTIONS,
    {"seed", OPTION_INT, &s.seed, "N", "of everything random"},
    COMMON_OPTIONS};

typedef struct watcher {
    curve loss, eval;
    int64_t last_line, last_length, stopped_at;
    double smooth;
} watcher;

static void clock_text(char *out, size_t size, double seconds) {
    if (seconds >= 3600) snprintf(out, size, "%.0f:%02.0f h", floor(seconds / 3600), floor(fmod(seconds, 3600) / 60));
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
    FILE *f = s.json ? stdout : stderr;
    if (s.json)
        json_print(f,
                "{\"event\":\"step\",\"step\":%lld,\"steps\":%lld,\"epoch\":%lld,\"loss\":%.6f,\"eval_loss\":%.6f,\"smoothed_loss\":%.6f,\"lr\":%g,\"grad_norm\":%.5f,\"tokens_per_second\":%.1f,\"eta\":%.1f}\n",
                (long long)p->step, (long long)p->steps, (long long)p->epoch, p->loss, or_null(p->eval_loss),
                    smooth, p->learning_rate, p->gradient_norm, p->tokens_per_second, p->seconds_left);
    else
        fprintf(f, "step %lld/%lld  loss (smoothed) %.4f%s", (long long)p->step, (long long)p->steps, smooth,
                p->eval_loss < 0 ? "" : "  ");
    if (!s.json && p->eval_loss >= 0) fprintf(f, "validation %.4f", p->eval_loss);
    if (!s.json) fprintf(f, "  lr %.2e  %.0f tok/s  %.0f s left\n", p->learning_rate, p->tokens_per_second, p->seconds_left);
    fflush(f);
}

static bool watch(const peft_progress *p, void *user) {
    watcher *w = (watcher *)user;
    w->smooth = w->loss.count ? 0.9 * w->smooth + 0.1 * p->loss : p->loss;
    curve_add(&w->loss, (double)p->step, w->smooth);
    if (p->evaluated) curve_add(&w->eval, (double)p->step, p->eval_loss);
    w->stopped_at = p->step;
    if (s.json) {
        show_line(p, w->smooth);
    } else if (!s.quiet && is_terminal(stderr)) {
        show_bar(p, w->smooth);
    } else if (!s.quiet && (p->evaluated || p->step == 1 || p->step - w->last_line >= (p->steps + 19) / 20 || p->step == p->steps)) {
        show_line(p, w->smooth);
        w->last_line = p->step;
    }
    return !interrupted;
}

typedef struct training {
    peft_model *model;
    peft_adapter *adapter;
    peft_dataset *all, *data, *validation;
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
    if (s.rest.count != 1 || !d.data.count || !t.out)
        return wrong("give a model folder, --data FILE and --out DIR");
    int bad = check_method(ad.method);
    if (bad) return bad;
    if (parse_optimizer(&r->optimizer)) return EXIT_USAGE;
    if (!(t.split >= 0 && t.split < 1)) return wrong("--split %g is not between 0 and 1", t.split);
    if (t.split > 0 && t.validation.count) return wrong("--split and --validation exclude each other");
    if (t.schedule) {
        int k = 0;
        while (k < COUNT(schedules) && strcmp(t.schedule, schedules[k]) != 0) k++;
        if (k == COUNT(schedules)) return wrong("--schedule %s is not linear, cosine or constant", t.schedule);
        r->schedule = (peft_schedule)k;
    }
    size_t n = strlen(t.out);
    r->checkpoint = (char *)malloc(n + 16 + (t.checkpoint ? strlen(t.checkpoint) : 0));
    if (!r->checkpoint) return EXIT_MEMORY;
    while (n > 1 && t.out[n - 1] == '/') n--;
    if (t.checkpoint) strcpy(r->checkpoint, t.checkpoint);
    else sprintf(r->checkpoint, "%.*s.checkpoint", (int)n, t.out);
    if (t.samples < 0) return wrong("--samples %lld is negative", (long long)t.samples);
    int code = parse_weights("type", t.type, &r->type);
    if (!code) code = output_may_go("train", t.out, s.force, s.rest.items, s.rest.count);
    if (!code) code = output_check_folder("train", t.out);
    if (!code && t.report) code = output_check("train", t.report);
    return code;
}

static int train_open(training *r) {
    int code = open_model(s.rest.items[0], t.init, &r->model);
    if (!code) code = open_lessons(&d.data, d.limit, &r->all);
    r->data = r->all;
    if (!code && t.validation.count) code = open_datasets(&t.validation, "validation", 0, &r->validation);
    peft_status status = PEFT_OK;
    if (!code && t.split > 0) {
        r->data = NULL;
        status = peft_dataset_split(r->all, t.split, (uint64_t)s.seed, &r->data, &r->validation);
    }
    if (!code && status) code = fail(status);
    if (!code && t.split > 0 && (!peft_dataset_count(r->data) || !peft_dataset_count(r->validation)))
        return wrong("--split %g of %lld examples leaves %lld to learn from and %lld held out", t.split, (long long)peft_dataset_count(r->all),
                     (long long)peft_dataset_count(r->data), (long long)peft_dataset_count(r->validation));
    return code ? code : make_adapter(r->model, ad.method, &r->adapter);
}

static void train_announce(const training *r) {
    int64_t total = peft_model_parameter_count(r->model), trainable = r->adapter ? peft_adapter_parameter_count(r->adapter) : total;
    if (s.json)
        printf("{\"event\":\"start\",\"examples\":%lld,\"validation\":%lld,\"trainable\":%lld,\"total\":%lld,\"threads\":%d,\"simd\":\"%s\"}\n",
               (long long)peft_dataset_count(r->data), (long long)(r->validation ? peft_dataset_count(r->validation) : 0), (long long)trainable,
               (long long)total, peft_thread_count(s.ctx), peft_simd_name(peft_simd_in_use(s.ctx)));
    else if (!s.quiet)
        fprintf(stderr, "%lld examples, %lld held out; training %lld parameters beside %lld (%.3f %%); %s, %d threads\n", (long long)peft_dataset_count(r->data),
                (long long)(r->validation ? peft_dataset_count(r->validation) : 0), (long long)trainable, (long long)total, 100.0 * (double)trainable / (double)total,
                peft_simd_name(peft_simd_in_use(s.ctx)), peft_thread_count(s.ctx));
}

static double train_default_rate(const training *r) {
    double rate = (double)peft_default_learning_rate(r->model, r->adapter);
    return r->optimizer == PEFT_LION ? 0.3 * rate : r->optimizer == PEFT_SGD ? 10 * rate : rate;
}

static peft_status train_run(training *r) {
    peft_train_desc desc = {.model = r->model, .adapter = r->adapter, .data = r->data, .validation = r->validation, .epochs = t.epochs,
                            .max_steps = t.max_steps, .batch_size = t.batch, .accumulation = t.accumulation, .optimizer = r->optimizer,
                            .optimizer_file = t.optimizer_file, .checkpoint_blocks = t.checkpoint_blocks, .learning_rate = (float)t.lr,
                            .lora_plus_ratio = (float)t.lora_plus,
                            .weight_decay = (float)t.decay, .max_gradient_norm = (float)t.norm, .schedule = r->schedule, .warmup_steps = t.warmup,
                            .dropout = (float)t.dropout, .max_source = t.max_source, .max_target = t.max_target, .eval_every = t.eval_every,
                            .keep_best = t.keep_best, .checkpoint = r->checkpoint, .checkpoint_every = t.checkpoint_every, .resume = t.resume || t.resume_anyway,
                            .resume_anyway = t.resume_anyway,
                            .seed = (uint64_t)s.seed, .progress = watch, .progress_user = &r->w};
    r->rate = t.lr > 0 ? t.lr : train_default_rate(r);
    signal(SIGINT, on_interrupt);
    signal(SIGTERM, on_interrupt);
    return peft_train(&desc, &r->result);
}

// The command that goes on, with every argument that was given.
static void train_hint(int argc, char **argv) {
    fprintf(stderr, "\nStopped; the state is saved. To go on:\n  peft");
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--resume") == 0) continue;
        bool plain = *argv[i] && !argv[i][strspn(argv[i], "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./=,-+:")];
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
                   {"seconds", "%.1f", r->result.seconds, true},
                   {"learning rate", "%g", r->rate, true},
                   {"batch", "%.0f", (double)or_else(t.batch, 8), true},
                   {"accumulation", "%.0f", (double)or_else(t.accumulation, 1), true},
                   {"warmup steps", "%.0f", (double)t.warmup, true},
                   {"max source", "%.0f", (double)or_else(t.max_source, 512), true},
                   {"max target", "%.0f", (double)or_else(t.max_target, 128), true},
                   {"r", "%.0f", low_rank ? (double)a->r : 0, low_rank},
                   {"alpha", "%g", low_rank ? (double)a->alpha : 0, low_rank},
                   {"dropout of the adapter", "%g", low_rank ? (double)a->dropout : 0, low_rank},
                   {"virtual tokens", "%.0f", prompt ? (double)a->num_virtual_tokens : 0, prompt},
                   {"last step's loss", "%.4f", r->result.loss, true},
                   {"smoothed loss", "%.4f", r->w.smooth, true},
                   {"best validation loss", "%.4f", r->result.best_eval_loss, r->result.best_eval_loss >= 0},
                   {"peak memory, MB", "%.0f", (double)peft_memory_peak(s.ctx) / 1e6, true},
                   {"threads", "%.0f", (double)peft_thread_count(s.ctx), true},
                   {"seed", "%.0f", (double)s.seed, true}};
    for (int i = 0; i < d.data.count; i++) {
        const char *const file[] = {"data", d.data.items[i]}, *p = template_of(&d.prompts, i, d.data.count),
            *c = template_of(&d.completions, i, d.data.count);
        const char *const rows[][2] = {{"prompt", p ? p : "{{prompt}}"}, {"completion", c ? c
                                                                          : "{{completion}}"}};
        report_row(f, "td", file, 2, 2);
        for (int k = 0; k < 2; k++) report_row(f, "td", rows[k], 2, 2);
    }
    const char *const words[][2] = {{"model", s.rest.items[0]}, {"method", r->adapter
                                                                 ? method_name(r->adapter) : "full"},
                                    {"target modules", a && a->target_modules ? a->target_modules : "all"},
                                    {"optimizer", peft_optimizer_name(r->optimizer)},
                                        {"schedule", t.schedule ? t.schedule : "linear"},
                                    {"instructions", peft_simd_name(peft_simd_in_use(s.ctx))}};
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
        const char *cells[] = {peft_dataset_prompt(r->validation, i), peft_dataset_completion(r->validation, i), r->before.texts[i], r->after.texts[i]};
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

static int write_report(const training *r) {
    output o;
    FILE *f = output_open(&o, "train", t.report);
    if (!f) return EXIT_DATA;
    report_begin(f, "Fine-tuning report");
    report_heading(f, "Loss per token");
    const curve curves[] = {r->w.loss, r->w.eval};
    svg_curves(f, curves, 2, "step", "loss");
    if (r->after.texts && r->before.texts) {
        static const char *const names[] = {"ROUGE-1", "ROUGE-2", "ROUGE-L", "ROUGE-Lsum"}, *const series[] = {"before", "after"},
                                *const colors[] = {"#9aa7b5", "#1f77b4"};
        const peft_rouge_scores *b = &r->before.rouge.mean, *a = &r->after.rouge.mean;
        const double values[] = {100 * b->rouge1.f1, 100 * a->rouge1.f1, 100 * b->rouge2.f1, 100 * a->rouge2.f1,
                                 100 * b->rougeL.f1, 100 * a->rougeL.f1, 100 * b->rougeLsum.f1, 100 * a->rougeLsum.f1};
        report_heading(f, "ROUGE F1 on held-out examples, in percent");
        svg_bars(f, names, 4, series, colors, 2, values, "%.1f");
        fputs("<p>", f);
        html_text(f, r->after.rouge.signature);
        fprintf(f, ", %lld examples</p>\n", (long long)r->after.count);
        report_heading(f, "Samples");
        report_samples(f, r);
    }
    report_heading(f, "Settings");
    report_settings(f, r);
    report_end(f);
    return output_close(&o, true);
}

static void train_summary(const training *r) {
    if (s.json) {
        json_print(stdout,
                "{\"event\":\"done\",\"steps\":%lld,\"tokens\":%lld,\"loss\":%.6f,\"smoothed_loss\":%.6f,\"best_eval_loss\":%.6f,\"seconds\":%.2f,\"trainable\":%lld,\"total\":%lld,\"peak_bytes\":%lld,"
               "\"cut_examples\":%lld,\"cut_tokens\":%lld",
               (long long)r->result.steps, (long long)r->result.tokens, r->result.loss, r->w.smooth,
                   or_null(r->result.best_eval_loss), r->result.seconds,
               (long long)r->result.trainable, (long long)r->result.total, (long long)peft_memory_peak(s.ctx),
                   (long long)r->result.cut_examples,
               (long long)r->result.cut_tokens);
        if (r->before.texts && r->after.texts) {
            printf(",\"before\":");
            print_rouge_json(stdout, &r->before.rouge.mean);
            printf(",\"after\":");
            print_rouge_json(stdout, &r->after.rouge.mean);
        }
        printf(",");
        json_pair(stdout, "out", t.out, "}\n");
        return;
    }
    printf("%lld steps in %.1f s; loss of the last step %.4f, smoothed %.4f", (long long)r->result.steps,
           r->result.seconds, r->result.loss, r->w.smooth);
    if (r->result.best_eval_loss >= 0) printf(", best validation loss %.4f", r->result.best_eval_loss);
    printf("; peak memory %.0f MB\n", (double)peft_memory_peak(s.ctx) / 1e6);
    if (r->before.texts && r->after.texts) {
        printf("                  R-1     R-2     R-L  R-Lsum    on %lld held-out examples\n", (long long)r->after.count);
        print_rouge_row("before", &r->before.rouge);
        print_rouge_row("after", &r->after.rouge);
    }
    printf("%s written to %s\n", r->adapter ? "adapter" : "model", t.out);
    if (t.report) printf("report written to %s\n", t.report);
}

static int saved_argc;
static char **saved_argv;

static int train_all(training *r) {
    int code = train_check(r);
    if (!code) code = train_open(r);
    if (code) return code;
    train_announce(r);
    bool sample = r->validation && t.samples > 0;
    if (sample)
        code = outcome_make(r->model, NULL, r->validation, t.samples, "answers before training", &r->before);
    if (code) return code;
    peft_status status = train_run(r);
    if (status == PEFT_CANCELLED) {
        train_hint(saved_argc, saved_argv);
        return EXIT_INTERRUPTED;
    }
    if (status) return fail(status);
    status = r->adapter ? peft_adapter_save(r->adapter, t.out) : peft_model_save(r->model, t.out, r->type);
    if (status) return fail(status);
    remove(r->checkpoint);
    if (sample)
        code = outcome_make(r->model, r->adapter, r->validation, t.samples, "answers after training",
                            &r->after);
    if (!code && t.report) code = write_report(r);
    if (!code) train_summary(r);
    return code;
}

static int run_train(void) {
    training r;
    memset(&r, 0, sizeof(r));
    r.w.loss.name = "training (smoothed)", r.w.loss.color = "#1f77b4";
    r.w.eval.name = "validation", r.w.eval.color = "#d62728";
    int code = train_all(&r);
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
static const option merge_options[] = {{"type", OPTION_WORD, &merge_type, "NAME",
                                        "of the merged model: f32 (default), f16, bf16, i8, nf4, fp4"},
                                       {"scale", OPTION_REAL, &merge_scale, "X", "strength of the adapter (1)"},
                                       FORCE_OPTION,
                                       COMMON_OPTIONS};

static int run_merge(void) {
    peft_model *m = NULL;
    peft_adapter *a = NULL;
    peft_dtype type;
    peft_requantize_error error = {0};
    if (s.rest.count != 3) return wrong("give MODEL ADAPTER OUT");
    int code = parse_weights("type", merge_type, &type);
    if (!code) code = output_may_go("merge", s.rest.items[2], s.force, s.rest.items, 2);
    if (!code) code = open_model(s.rest.items[0], false, &m);
    if (!code) code = open_adapter(m, s.rest.items[1], &a);
    if (!code) {
        peft_status status = peft_adapter_merge(a, (float)merge_scale);
        if (!status && type >= PEFT_I8) status = peft_adapter_requantize(a, &error);
        if (!status) status = peft_model_save(m, s.rest.items[2], type);
        if (status) code = fail(status);
    }
    if (!code && s.json) {
        printf("{");
        json_pair(stdout, "out", s.rest.items[2], "");
        if (error.tensors)
            printf(",\"requantized\":%lld,\"relative_error\":%.6g,\"error_of_update\":%.6g,\"max_error\":%.6g,\"mean_error\":%.6g", (long long)error.tensors, error.relative,
                   error.of_update, error.max, error.mean);
        printf("}\n");
    } else if (!code) {
        printf("%s with %s merged in: %s\n", s.rest.items[0], s.rest.items[1], s.rest.items[2]);
        if (error.tensors)
            printf("%lld tensors quantized again: relative error %.3f %%, %.1f %% of what the adapter had added, at most %.3e, mean %.3e\n", (long long)error.tensors,
                   100 * error.relative, 100 * error.of_update, error.max, error.mean);
    }
    peft_adapter_destroy(a);
    peft_model_destroy(m);
    return code;
}

#include "cmd_generation.h"
#include "convert.h"
#include "cmd_benchmark.h"
#include "cmd_score.h"
#include "cmd_adapters.h"
#include "cmd_memory.h"

// ---- options that would do nothing are refused, with what they are for

// Which methods use an option; what is not listed is every method's.
static const char *const method_options[][2] = {
    {"r", "lora,dora"}, {"alpha", "lora,dora"}, {"use-rslora", "lora,dora"}, {"lora-dropout", "lora,dora"},
        {"lora-plus", "lora,dora"},
    {"bias", "lora,dora"}, {"modules-to-save", "lora,dora,ia3"}, {"lora-bias", "lora"},
    {"exclude-modules", "lora,dora,ia3"}, {"target-parameters", "lora"}, {"trainable-token-indices", "lora,dora,ia3"},
    {"layers-pattern", "lora,dora,ia3"}, {"rank-pattern", "lora,dora"},
        {"alpha-pattern", "lora,dora"},
    {"pissa", "lora"}, {"adapter-type", "lora"}, {"target-modules", "lora,dora,ia3,selected"},
        {"feedforward-modules", "ia3"},
    {"layers", "lora,dora,ia3,bottleneck,bitfit,norms,head,selected"}, {"num-virtual-tokens",
                                                                        "prompt,prefix,ptuning"},
    {"init-text", "prompt,prefix"}, {"random-init", "prompt"}, {"prefix-projection", "prefix"},
        {"prompt-place", "prompt,ptuning"},
    {"encoder-hidden", "prefix,ptuning"}, {"encoder-lstm", "ptuning"}, {"encoder-layers", "ptuning"},
        {"bottleneck", "bottleneck"},
    {"reduction-factor", "bottleneck"}, {"activation", "bottleneck"}, {"pfeiffer", "bottleneck"}};

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
    const char *chosen = ad.method ? ad.method : "lora";
    if (!named_in("train,sweep,compare,methods,forget", command) || (many && !ad.method)) return EXIT_OK;
    for (int i = 0; i < COUNT(method_options); i++)
        if (option_given(method_options[i][0]) && !lists_meet(chosen, method_options[i][1]))
            return wrong("--method %s does not use --%s; %s: %s", chosen, method_options[i][0],
                         strchr(method_options[i][1], ',') ? "these do" : "this does", method_options[i][1]);
    return EXIT_OK;
}

static bool if_sampling(void) { return g.temperature > 0; }
static bool if_beams(void) { return g.beams > 1; }
static bool if_held_out(void) { return t.validation.count || t.split > 0; }
static bool if_samples(void) { return if_held_out() || t.samples == 0; }
static bool if_answers(void) { return if_held_out() && t.samples > 0; }
static bool if_whole(void) { return ad.method && strcmp(ad.method, "full") == 0; }
static bool if_adapter(void) { return !if_whole(); }
static bool if_epochs(void) { return !t.max_steps; }
static bool if_data(void) { return d.data.count > 0; }
static bool if_written(void) { return !eval_loss_only; }
static bool if_text(void) { return !s.json; }
static bool if_encoding(void) { return !tokenize_decode; }
static bool if_four_bits(void) { return named_in("nf4,fp4", w.weights ? w.weights : "") ||
                                named_in("nf4,fp4", w.embeddings ? w.embeddings : ""); }
static bool if_blocks(void) { return if_four_bits() || named_in("i8,int8", w.weights ? w.weights : "") ||
                             named_in("i8,int8", w.embeddings ? w.embeddings : ""); }
static bool if_type_four_bits(void) { return !q.type || named_in("nf4,fp4", q.type); }
static bool if_plan_low_rank(void) { return !y.method || named_in("lora,qlora", y.method); }
static bool if_plan_prompt(void) { return !y.method || strcmp(y.method, "prompt") == 0; }
static bool if_measured(void) { return y.measure; }
static bool if_density(void) { return cb.kind && named_in("ties,dare_linear", cb.kind); }
static bool if_dare(void) { return cb.kind && strcmp(cb.kind, "dare_linear") == 0; }
static bool if_no_rate(void) { return t.lr == 0; }

#define ANSWER_OPTIONS "max-new-tokens,min-new-tokens,beams,length-penalty,early-stopping,no-repeat-ngram,repetition-penalty,temperature,top-k,top-p,min-p,stop"

// Of these commands (NULL: all), these options do something only if that holds.
static const struct {
    const char *commands, *options;
    bool (*holds)(void);
    const char *says;
} option_rules[] = {
    {"generate,eval", "prompt,completion,limit,data-format,quotes", if_data,
     "is of --data FILE; what the model is to answer goes into --prompt-text or behind the model"},
    {"train", ANSWER_OPTIONS, if_answers,
     "is of answers to held-out examples: --validation or --split, and --samples"},
    {"eval", ANSWER_OPTIONS ",output", if_written, "is of answers, which --loss-only leaves out"},
    {NULL, "top-k,top-p,min-p", if_sampling, "is of sampling: give --temperature above 0"},
    {"generate", "seed", if_sampling, "is of sampling: give --temperature above 0"},
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
     "  peft info flan-t5-small\n  peft info my-lora\n  peft info flan-t5-small --adapter my-lora --tensors\n", info_options, COUNT(info_options), run_info},
    {"tokenize", "MODEL [TEXT ...]", "text to token ids and back",
     "  peft tokenize flan-t5-small \"Hello world\"\n  peft tokenize spiece.model --json < lines.txt\n  peft tokenize flan-t5-small --decode \"8774 296\"\n",
     tokenize_options, COUNT(tokenize_options), run_tokenize},
    {"generate", "MODEL [PROMPT ...]", "let the model answer",
     "  peft generate flan-t5-small \"Translate to German: How are you?\"\n  peft generate flan-t5-small --adapter my-lora --beams 4 < dialogue.txt\n"
     "  peft generate flan-t5-small --lines < prompts.txt\n"
     "  peft generate flan-t5-small --data test.jsonl --prompt 'Summarize: {{dialogue}}' --json\n",
     generate_options, COUNT(generate_options), run_generate},
    {"train", "MODEL --data FILE --out DIR", "fine-tune: an adapter of any method, or all weights",
     "  peft train flan-t5-small --data train.jsonl --prompt 'Summarize.\\n\\n{{dialogue}}' --completion '{{summary}}' --split 0.1 --out my-lora --report report.html\n"
     "  peft train flan-t5-small --data train.jsonl --method ia3 --out my-ia3\n"
     "  peft train flan-t5-small --data a.jsonl --prompt 'Sum: {{x}}' --data b.csv --prompt 'Label: {{text}}' --completion '{{y}}' --completion '{{label}}' --out both\n"
     "  peft train flan-t5-small --data train.jsonl --method prompt --num-virtual-tokens 30 --init-text 'Summarize the dialogue:' --out my-prompt\n"
     "  peft train flan-t5-small --data train.jsonl --method full --lr 1e-4 --epochs 1 --out tuned\n"
     "  Ctrl-C saves a checkpoint and says how to go on.\n",
     train_options, COUNT(train_options), run_train},
    {"eval", "MODEL --data FILE", "loss, perplexity and ROUGE on a dataset",
     "  peft eval flan-t5-small --adapter my-lora --data test.jsonl --prompt 'Summarize.\\n\\n{{dialogue}}' --completion '{{summary}}' --output predictions.jsonl\n",
     eval_options, COUNT(eval_options), run_eval},
    {"perplexity", "MODEL --file FILE", "how well a decoder-only model foresees a text",
     "  peft perplexity gpt2 --file book.txt\n  peft perplexity smollm --adapter my-lora --file held-out.txt --window 256\n", perplexity_options,
     COUNT(perplexity_options), run_perplexity},
    {"export", "MODEL OUT", "write a model, or an adapter, as GGUF or as a folder",
     "  peft export flan-t5-small flan.gguf --type q8_0\n  peft export smollm --adapter my-lora my-lora.gguf\n  peft export model.gguf folder --type bf16\n",
     export_options, COUNT(export_options), run_export},
    {"convert", "MODEL.bin OUT", "make a folder of a checkpoint of llama2.c",
     "  peft convert stories260K.bin stories\n", convert_options, COUNT(convert_options), run_convert},
    {"merge", "MODEL ADAPTER OUT", "add an adapter to the weights", "  peft merge flan-t5-small my-lora merged --type bf16\n", merge_options,
     COUNT(merge_options), run_merge},
    {"score", "METRIC ... --predictions FILE --references FILE", "score texts, labels or numbers; compare two systems",
     "  peft score rouge bleu --predictions out.txt --references human1.txt --references human2.txt\n"
     "  peft score rouge --stemmer --bootstrap 1000 --predictions predictions.jsonl --references predictions.jsonl\n"
     "  peft score bleu chrf --predictions new.txt --baseline old.txt --references human.txt\n"
     "  peft score accuracy f1 mcc --positive spam --predictions said.txt --references labels.txt\n"
     "  peft score diversity toxicity --words insults.txt --predictions out.txt\n"
     "Metrics\n"
     "  of texts            rouge bleu chrf chrf++ ter nist meteor cider coco_rouge coco_bleu squad\n"
     "  of labels           accuracy f1 mcc\n"
     "  of numbers          pearson spearman; auc calibration (against 0 and 1)\n"
     "  without references  diversity bias toxicity\n",
     score_options, COUNT(score_options), run_score},
    {"benchmark", "NAME --data DIR [MODEL ...]", "run models on GLUE, SuperGLUE, MMLU, BIG-bench, HELM or summaries",
     "  peft benchmark mmlu --data mmlu/data flan-t5-small flan-t5-base --limit 20\n"
     "  peft benchmark bbh --data bbh flan-t5-small --adapter my-lora --tasks navigate,snarks --save predictions --format html --output bbh.html\n"
     "  peft benchmark glue --data glue --predictions my-glue-predictions\n  peft benchmark superglue --data superglue     (lists its tasks and files)\n",
     benchmark_options, COUNT(benchmark_options), run_benchmark},
    ADAPTER_COMMANDS,
    {"quantize", "MODEL OUT", "store a model's linear weights in 4 or 8 bits, and tell what that costs",
     "  peft quantize flan-t5-base flan-t5-base-nf4 --type nf4 --double-quant\n  peft quantize flan-t5-base small --type i8 --block 128 --tensors\n",
     quantize_options, COUNT(quantize_options), run_quantize},
    {"memory", "MODEL|config.json", "where memory goes when a model is trained: full, LoRA, QLoRA and prompt tuning side by side",
     "  peft memory flan-t5-base --batch 4 --max-source 512 --max-target 128 --svg memory.svg\n  peft memory llama-65b/config.json --batch 1 --json\n"
     "  peft memory flan-t5-base --method qlora --batch 1 --max-source 256 --max-target 64 --measure\n",
     memory_options, COUNT(memory_options), run_memory},
};

// What other tools call the same, or what is spelled nearly so. NULL: none.
static const char *command_meant(const char *asked) {
    static const char *const synonyms[][2] = {{"finetune", "train"}, {"fine-tune", "train"},
            {"tune", "train"}, {"fit", "train"}, {"evaluate", "eval"}, {"test", "eval"},
                                              {"validate", "eval"}, {"run", "generate"},
                                                  {"infer", "generate"}, {"predict", "generate"},
                                                      {"complete", "generate"},
                                              {"ppl", "perplexity"}, {"convert", "export"},
                                                  {"save", "export"}, {"quantise", "quantize"},
                                                      {"quant", "quantize"},
                                              {"metrics", "score"}, {"rouge", "score"}, {"bleu", "score"},
                                                  {"bench", "benchmark"}, {"mem", "memory"},
                                                      {"plan", "memory"},
                                              {"fuse", "merge"}, {"show", "info"}, {"inspect", "info"},
                                                  {"list", "methods"}, {"encode", "tokenize"},
                                                      {"decode", "tokenize"}};
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
    for (int i = 0; i < COUNT(commands); i++) fprintf(f, "  peft %-10s %s\n", commands[i].name, commands[i].says);
    fprintf(f, "\npeft COMMAND --help has options and examples.\n"
               "Exit status: 0 done, 1 wrong data, 2 wrong command line, 3 out of memory, 4 not supported, 130 interrupted.\n");
}

// What was printed has arrived, or it is an error.
static int finish(int code) {
    if (code || (!fflush(stdout) && !ferror(stdout))) return code;
    fprintf(stderr, "peft %s: standard output: %s\n", s.command, strerror(errno));
    return EXIT_DATA;
}

static int run_command(const command *c, int argc, char **argv) {
    s.command = c->name;
    if (!options_parse(c->name, argc, argv, c->options, c->option_count, &s.rest)) return EXIT_USAGE;
    if (s.help) {
        printf("peft %s %s\n  %s\n\n", c->name, c->arguments, c->says);
        options_print(c->options, c->option_count);
        printf("\nExamples\n%s", c->examples);
        return finish(EXIT_OK);
    }
    int code = check_options(c->name);
    if (!code) code = open_context();
    if (!code) code = c->run();
    peft_context_destroy(s.ctx);
    texts *const lists[] = {&s.rest, &sc.references, &g.stop, &d.data, &d.prompts, &d.completions,
                            &t.validation, &ex.test, &generate_adapters, &info_adapters, &options_given};
    for (int i = 0; i < COUNT(lists); i++) free((void *)lists[i]->items);
    for (int i = 0; i < stops.count; i++) free((void *)(uintptr_t)stops.items[i]);
    free((void *)stops.items);
    free(init_text);
    return finish(code);
}

int main(int argc, char **argv) {
    saved_argc = argc, saved_argv = argv;
    t.samples = 32;
    if (argc < 2) {
        print_overview(stderr);
        return EXIT_USAGE;
    }
    s.command = argv[1];
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
