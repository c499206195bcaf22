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
    bool json, quiet, help;
    peft_context *ctx;
    texts rest;  // arguments that are no options
} session;

static session s;

#define COMMON_OPTIONS                                                                                   \
    {"threads", OPTION_INT, &s.threads, "N", "threads (default: all cores); results do not depend on it"}, \
    {"simd", OPTION_TEXT, &s.simd, "NAME", "portable, avx2, avx512, neon: instead of the widest there is"}, \
    {"json", OPTION_FLAG, &s.json, "", "machine-readable output"},                                       \
    {"quiet", OPTION_FLAG, &s.quiet, "", "no progress, no warnings"},                                    \
    {"help", OPTION_FLAG, &s.help, "", "this text"}

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
    {"weights", OPTION_TEXT, &w.weights, "NAME", "keep linear weights as f16, bf16, i8, nf4 or fp4 (as stored)"},         \
    {"double-quant", OPTION_FLAG, &w.double_quant, "", "nf4, fp4: scales in 8 bits too"},                                 \
    {"block", OPTION_INT, &w.block, "N", "weights that share a scale: 32, 64 (default), ... 4096"},                       \
    {"embeddings", OPTION_TEXT, &w.embeddings, "NAME", "the same for the embedding and the output layer"}

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

static int read_texts(const char *path, const char *field, text_list *t) {
    memset(t, 0, sizeof(*t));
    size_t size = 0;
    t->memory = read_file(path, &size);
    if (!t->memory) return EXIT_DATA;
    if (memchr(t->memory, 0, size)) {
        fprintf(stderr, "peft %s: %s: a NUL byte: not a text file\n", s.command, path);
        return EXIT_DATA;
    }
    size_t mark = size >= 3 && memcmp(t->memory, "\xEF\xBB\xBF", 3) == 0 ? 3 : 0;  // some editors begin UTF-8 with a mark
    t->items = split_lines(t->memory + mark, size - mark, &t->count);
    if (!t->items) return EXIT_MEMORY;
    if (!field && !ends_with(path, ".jsonl")) return EXIT_OK;
    char pattern[256];
    snprintf(pattern, sizeof(pattern), "{{%s}}", field ? field : "prediction");
    t->separate = true;
    int64_t lines = t->count;
    t->count = 0;
    for (int64_t i = 0; i < lines; i++) {
        if (!*t->items[i]) continue;
        char *text = NULL;
        peft_status status = peft_template_fill(s.ctx, pattern, t->items[i], &text);
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

static void info_print(peft_model *m, const char *path, bool tensors, const peft_adapter *a) {
    const peft_config *c = peft_model_config(m);
    const peft_tokenizer *t = peft_model_tokenizer(m);
    char parameters[32];
    human_count(parameters, sizeof(parameters), (double)peft_model_parameter_count(m));
    if (s.json) {
        printf("{");
        json_pair(stdout, "model", path, ",");
        json_pair(stdout, "type", c->model_type, ",");
        printf("\"parameters\":%lld,\"tensors\":%lld,\"d_model\":%lld,\"d_ff\":%lld,\"d_kv\":%lld,\"heads\":%lld,\"layers\":%lld,\"decoder_layers\":%lld,"
               "\"vocab_size\":%lld,\"tokenizer_pieces\":%lld,\"tied\":%s",
               (long long)peft_model_parameter_count(m), (long long)peft_model_tensor_count(m), (long long)c->d_model, (long long)c->d_ff,
               (long long)c->d_kv, (long long)c->heads, (long long)c->layers, (long long)c->decoder_layers, (long long)c->vocab_size,
               (long long)(t ? peft_vocab_size(t) : 0), c->tied ? "true" : "false");
        if (tensors) {
            printf(",\"tensor_list\":[");
            info_tensors(m);
            printf("]");
        }
        if (a) printf(",\"adapter_parameters\":%lld,\"adapter_tensors\":%lld", (long long)peft_adapter_parameter_count(a), (long long)peft_adapter_tensor_count(a));
        printf("}\n");
        return;
    }
    printf("%s: %s, %s parameters in %lld tensors\n", path, c->model_type, parameters, (long long)peft_model_tensor_count(m));
    printf("  layers        %lld encoder, %lld decoder\n", (long long)c->layers, (long long)c->decoder_layers);
    printf("  width         %lld, %lld heads of %lld, feed-forward %lld (%s%s)\n", (long long)c->d_model, (long long)c->heads, (long long)c->d_kv,
           (long long)c->d_ff, c->gated ? "gated " : "", activation_name(c->activation));
    printf("  vocabulary    %lld, head %s\n", (long long)c->vocab_size, c->tied ? "tied to the embedding" : "of its own");
    if (t) printf("  tokenizer     %lld pieces\n", (long long)peft_vocab_size(t));
    else printf("  tokenizer     none in the folder\n");
    printf("  this machine  %s, %d threads\n", peft_simd_name(peft_simd_in_use(s.ctx)), peft_thread_count(s.ctx));
    if (tensors) info_tensors(m);
}

static bool info_list;
static const char *info_adapter;
static const option info_options[] = {{"tensors", OPTION_FLAG, &info_list, "", "list every tensor"},
                                      {"adapter", OPTION_TEXT, &info_adapter, "DIR", "look at this adapter, too"},
                                      COMMON_OPTIONS};

static int run_info(void) {
    if (s.rest.count != 1) return wrong("give one model folder");
    peft_model *m;
    int code = open_model(s.rest.items[0], false, &m);
    if (code) return code;
    peft_adapter *a = NULL;
    code = open_adapter(m, info_adapter, &a);
    if (!code) info_print(m, s.rest.items[0], info_list, a);
    if (!code && a && !s.json) {
        double share = 100.0 * (double)peft_adapter_parameter_count(a) / (double)peft_model_parameter_count(m);
        printf("  adapter       %lld parameters (%.3f %%) in %lld tensors\n", (long long)peft_adapter_parameter_count(a), share, (long long)peft_adapter_tensor_count(a));
        for (int64_t i = 0; info_list && i < peft_adapter_tensor_count(a); i++) {
            const peft_tensor *t = peft_adapter_tensor(a, i);
            printf("  %-90s %6lld x %lld\n", t->name, (long long)t->rows, (long long)t->cols);
        }
    }
    peft_adapter_destroy(a);
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
    if (s.rest.count == 1) code = read_texts("-", NULL, &lines);
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

static peft_generate_desc generation(peft_model *m, const peft_adapter *a) {
    return (peft_generate_desc){.model = m, .adapter = a, .max_new_tokens = g.max_new, .min_new_tokens = g.min_new, .beams = g.beams,
                                .length_penalty = (float)g.length_penalty, .early_stopping = g.early, .no_repeat_ngram = g.no_repeat,
                                .repetition_penalty = (float)g.repetition_penalty, .temperature = (float)g.temperature, .top_k = g.top_k,
                                .top_p = (float)g.top_p, .min_p = (float)g.min_p, .stop = g.stop.items, .stop_count = g.stop.count,
                                .seed = (uint64_t)s.seed};
}

// ---- the dataset, shared by generate, eval and train

static struct {
    const char *data, *prompt, *completion;
    int64_t limit;
} d;

#define DATA_OPTIONS                                                                                             \
    {"data", OPTION_TEXT, &d.data, "FILE", ".jsonl, .csv or .tsv"},                                             \
    {"prompt", OPTION_TEXT, &d.prompt, "TEXT", "template of the input, e.g. \"Summarize: {{dialogue}}\" ({{prompt}})"}, \
    {"completion", OPTION_TEXT, &d.completion, "TEXT", "template of the answer ({{completion}})"},              \
    {"limit", OPTION_INT, &d.limit, "N", "only the first N examples"}

// "\n" in a template given on the command line is a line break.
static char *unescape(const char *text) {
    char *out = text ? (char *)malloc(strlen(text) + 1) : NULL, *o = out;
    for (const char *p = text; out && *p; p++) {
        if (p[0] == '\\' && p[1] == 'n') *o++ = '\n', p++;
        else *o++ = *p;
    }
    if (out) *o = 0;
    return out;
}

static int open_dataset(const char *path, int64_t limit, peft_dataset **out) {
    char *prompt = unescape(d.prompt), *completion = unescape(d.completion);
    peft_status status = peft_dataset_load(&(peft_dataset_desc){.context = s.ctx, .path = path, .prompt = prompt, .completion = completion, .limit = limit}, out);
    free(prompt);
    free(completion);
    if (status) return fail(status);
    if (peft_dataset_count(*out) > 0) return EXIT_OK;
    fprintf(stderr, "peft %s: %s: no examples\n", s.command, path);
    return EXIT_DATA;
}

// ---- generate

static const char *generate_adapter, *generate_prompt;
static bool generate_stream;

static bool print_piece(const char *piece, size_t size, int64_t prompt, void *user) {
    (void)prompt, (void)user;
    fwrite(piece, 1, size, stdout);
    fflush(stdout);
    return !interrupted;
}

static const option generate_options[] = {{"prompt-text", OPTION_TEXT, &generate_prompt, "TEXT", "the prompt (or give it as arguments, or on standard input)"},
                                          {"adapter", OPTION_TEXT, &generate_adapter, "DIR", "with this adapter"},
                                          WEIGHT_OPTIONS,
                                          DATA_OPTIONS,
                                          GENERATION_OPTIONS,
                                          {"stream", OPTION_FLAG, &generate_stream, "", "print the text while it is written; Ctrl-C ends it"},
                                          {"seed", OPTION_INT, &s.seed, "N", "of sampling"},
                                          COMMON_OPTIONS};

static int generate_print(peft_model *m, const peft_adapter *a, const char *const *prompts, int64_t count) {
    peft_generate_desc desc = generation(m, a);
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

static int run_generate(void) {
    if (s.rest.count < 1) return wrong("give a model folder");
    peft_model *m = NULL;
    peft_adapter *a = NULL;
    peft_dataset *data = NULL;
    text_list lines = {0};
    int code = open_model(s.rest.items[0], false, &m);
    if (!code) code = open_adapter(m, generate_adapter, &a);
    if (!code && generate_prompt) {
        char *text = unescape(generate_prompt);
        code = generate_print(m, a, (const char *const *)&text, 1);
        free(text);
    } else if (!code && d.data) {
        if (!d.completion) d.completion = "";
        code = open_dataset(d.data, d.limit, &data);
        for (int64_t i = 0; !code && i < peft_dataset_count(data); i++) {
            const char *prompt = peft_dataset_prompt(data, i);
            code = generate_print(m, a, &prompt, 1);
        }
    } else if (!code && s.rest.count > 1) {
        code = generate_print(m, a, s.rest.items + 1, s.rest.count - 1);
    } else if (!code) {
        code = read_texts("-", NULL, &lines);
        if (!code) code = generate_print(m, a, (const char *const *)lines.items, lines.count);
    }
    text_list_free(&lines);
    peft_dataset_destroy(data);
    peft_adapter_destroy(a);
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

static int outcome_make(peft_model *m, const peft_adapter *a, const peft_dataset *data, int64_t count, outcome *o) {
    memset(o, 0, sizeof(*o));
    o->count = count < peft_dataset_count(data) ? count : peft_dataset_count(data);
    o->texts = (char **)calloc((size_t)o->count + 1, sizeof(char *));
    const char **prompts = (const char **)calloc((size_t)o->count + 1, sizeof(char *)), **references = (const char **)calloc((size_t)o->count + 1, sizeof(char *));
    if (!o->texts || !prompts || !references) return EXIT_MEMORY;
    for (int64_t i = 0; i < o->count; i++) prompts[i] = peft_dataset_prompt(data, i), references[i] = peft_dataset_completion(data, i);
    peft_generate_desc desc = generation(m, a);
    peft_status status = peft_generate_texts(&desc, prompts, o->count, o->texts);
    if (!status && o->count)
        status = peft_rouge(&(peft_rouge_desc){.context = s.ctx, .predictions = (const char *const *)o->texts, .references = references, .count = o->count,
                                               .use_stemmer = true, .bootstrap_samples = 1000, .seed = (uint64_t)s.seed}, &o->rouge);
    free((void *)prompts);
    free((void *)references);
    return status ? fail(status) : EXIT_OK;
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
    if (s.rest.count != 1 || !d.data) return wrong("give a model folder and --data FILE");
    peft_model *m = NULL;
    peft_adapter *a = NULL;
    peft_dataset *data = NULL;
    outcome o = {0};
    double loss = 0;
    int code = open_model(s.rest.items[0], false, &m);
    if (!code) code = open_adapter(m, eval_adapter, &a);
    if (!code) code = open_dataset(d.data, d.limit, &data);
    if (!code) {
        peft_status status = peft_evaluate_loss(m, a, data, eval_source, eval_target, &loss);
        if (status) code = fail(status);
    }
    if (!code && !eval_loss_only) code = outcome_make(m, a, data, peft_dataset_count(data), &o);
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
    const char *method, *target, *feedforward, *bias, *modules_to_save, *layers, *rank_pattern, *alpha_pattern, *init_text, *activation, *place, *type;
    int64_t r, tokens, hidden, encoder_layers, bottleneck;
    double alpha, dropout, reduction;
    bool rslora, pissa, random_init, projection, lstm, pfeiffer;
} ad;

#define RANK_OPTION {"r", OPTION_INT, &ad.r, "N", "lora, dora: rank (8)"}
#define ADAPTER_OPTIONS                                                                                                           \
    {"method", OPTION_TEXT, &ad.method, "NAME", "lora (default), dora, ia3, prompt, prefix, ptuning, bottleneck, bitfit, norms, head, selected, full"}, \
    {"alpha", OPTION_REAL, &ad.alpha, "X", "lora, dora: strength is alpha / r (16)"},                                             \
    {"use-rslora", OPTION_FLAG, &ad.rslora, "", "lora, dora: strength is alpha / sqrt(r)"},                                       \
    {"pissa", OPTION_FLAG, &ad.pissa, "", "lora: start from the weights' main directions"},                                                    \
    {"adapter-type", OPTION_TEXT, &ad.type, "NAME", "lora: f32 (default), f16 or bf16 with master weights in f32 while it is trained"}, \
    {"lora-dropout", OPTION_REAL, &ad.dropout, "X", "lora, dora: dropout of the adapter's input (0)"},                            \
    {"target-modules", OPTION_TEXT, &ad.target, "NAMES", "e.g. q,v or all-linear (the architecture's default); lora: embeddings by name; selected: parameters"}, \
    {"feedforward-modules", OPTION_TEXT, &ad.feedforward, "NAMES", "ia3: target modules whose input is scaled"},                  \
    {"bias", OPTION_TEXT, &ad.bias, "NAME", "lora: train biases, too: none (default), all, lora_only"},                           \
    {"modules-to-save", OPTION_TEXT, &ad.modules_to_save, "NAMES", "lora: modules trained whole"},                                \
    {"layers", OPTION_TEXT, &ad.layers, "LIST", "only these blocks, e.g. 0,1"},                                                   \
    {"rank-pattern", OPTION_TEXT, &ad.rank_pattern, "LIST", "lora: other ranks, e.g. q=4,v=16"},                                  \
    {"alpha-pattern", OPTION_TEXT, &ad.alpha_pattern, "LIST", "lora: other alphas"},                                              \
    {"num-virtual-tokens", OPTION_INT, &ad.tokens, "N", "prompt, prefix, ptuning: how many (20)"},                                \
    {"init-text", OPTION_TEXT, &ad.init_text, "TEXT", "prompt, prefix: start from this text (prompt: from random words)"},        \
    {"random-init", OPTION_FLAG, &ad.random_init, "", "prompt: start from noise"},                                                \
    {"prefix-projection", OPTION_FLAG, &ad.projection, "", "prefix: made by a small network"},                                    \
    {"prompt-place", OPTION_TEXT, &ad.place, "NAME", "prompt, ptuning of encoder-decoder models: encoder (default), decoder, both"}, \
    {"encoder-hidden", OPTION_INT, &ad.hidden, "N", "ptuning, prefix: width of that network (the model's)"},                      \
    {"encoder-lstm", OPTION_FLAG, &ad.lstm, "", "ptuning: an LSTM before the MLP"},                                               \
    {"encoder-layers", OPTION_INT, &ad.encoder_layers, "N", "ptuning: of the LSTM (2)"},                                          \
    {"bottleneck", OPTION_INT, &ad.bottleneck, "N", "bottleneck: width (the model's / the reduction factor)"},                    \
    {"reduction-factor", OPTION_REAL, &ad.reduction, "X", "bottleneck: 16"},                                                      \
    {"activation", OPTION_TEXT, &ad.activation, "NAME", "bottleneck: relu (default), gelu, silu, tanh"},                          \
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
                               .encoder_layers = ad.encoder_layers, .bottleneck = ad.bottleneck, .reduction_factor = (float)ad.reduction,
                               .activation = activation, .pfeiffer = ad.pfeiffer, .seed = (uint64_t)s.seed, .type = type};
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
    const char *out, *validation, *schedule, *report, *checkpoint, *type;
    int64_t epochs, max_steps, batch, accumulation, warmup, max_source, max_target, eval_every, checkpoint_every, samples;
    double lr, lora_plus, decay, norm, dropout, split;
    bool keep_best, resume, resume_anyway, init;
    const char *optimizer, *optimizer_file;
    bool checkpoint_blocks;
} t;

#define SAVING_OPTIONS                                                                                     \
    {"optimizer", OPTION_TEXT, &t.optimizer, "NAME", "adamw (default), adamw8bit, adafactor, sgd, lion"}, \
    {"checkpoint-blocks", OPTION_FLAG, &t.checkpoint_blocks, "", "less memory: compute blocks again on the way back"}

static int parse_optimizer(peft_optimizer_kind *out) {
    *out = PEFT_ADAMW;
    return t.optimizer && !peft_optimizer_named(t.optimizer, out) ? wrong("--optimizer %s is not adamw, adamw8bit, adafactor, sgd or lion", t.optimizer) : EXIT_OK;
}

static const option train_options[] = {
    DATA_OPTIONS,
    {"validation", OPTION_TEXT, &t.validation, "FILE", "held-out examples with the same fields"},
    {"split", OPTION_REAL, &t.split, "X", "hold out this part of --data instead (0.1: a tenth)"},
    {"out", OPTION_TEXT, &t.out, "DIR", "where the adapter, or the whole model, goes"},
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
    {"schedule", OPTION_TEXT, &t.schedule, "NAME", "linear (default), cosine, constant"},
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
    {"type", OPTION_TEXT, &t.type, "NAME", "of a saved model: f32 (default), f16, bf16, i8, nf4, fp4"},
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
    fprintf(stderr, "\r[%s] %lld/%lld  loss %.4f", bar, (long long)p->step, (long long)p->steps, smooth);
    if (p->eval_loss >= 0) fprintf(stderr, "  validation %.4f", p->eval_loss);
    fprintf(stderr, "  %.0f tok/s  %s left   ", p->tokens_per_second, left);
    if (p->step == p->steps) fputc('\n', stderr);
}

static void show_line(const peft_progress *p, double smooth) {
    FILE *f = s.json ? stdout : stderr;
    if (s.json)
        json_print(f, "{\"event\":\"step\",\"step\":%lld,\"steps\":%lld,\"epoch\":%lld,\"loss\":%.6f,\"eval_loss\":%.6f,\"lr\":%g,\"grad_norm\":%.5f,\"tokens_per_second\":%.1f,\"eta\":%.1f}\n",
                (long long)p->step, (long long)p->steps, (long long)p->epoch, p->loss, p->eval_loss, p->learning_rate, p->gradient_norm, p->tokens_per_second, p->seconds_left);
    else
        fprintf(f, "step %lld/%lld  loss %.4f%s", (long long)p->step, (long long)p->steps, smooth, p->eval_loss < 0 ? "" : "  ");
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
    peft_train_result result;
    peft_dtype type;
    peft_schedule schedule;
    peft_optimizer_kind optimizer;
    char *checkpoint;
} training;

static int train_check(training *r) {
    static const char *const schedules[] = {"linear", "cosine", "constant"};
    if (s.rest.count != 1 || !d.data || !t.out) return wrong("give a model folder, --data FILE and --out DIR");
    int bad = check_method(ad.method);
    if (bad) return bad;
    if (parse_optimizer(&r->optimizer)) return EXIT_USAGE;
    if (!(t.split >= 0 && t.split < 1)) return wrong("--split %g is not between 0 and 1", t.split);
    if (t.split > 0 && t.validation) return wrong("--split and --validation exclude each other");
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
    if (!code) code = output_check_folder("train", t.out);
    if (!code && t.report) code = output_check("train", t.report);
    return code;
}

static int train_open(training *r) {
    int code = open_model(s.rest.items[0], t.init, &r->model);
    if (!code) code = open_dataset(d.data, d.limit, &r->all);
    r->data = r->all;
    if (!code && t.validation) code = open_dataset(t.validation, 0, &r->validation);
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

static void report_settings(FILE *f, const training *r) {
    char text[256];
    fputs("<table>\n", f);
    const struct {
        const char *name, *format;
        double value;
    } numbers[] = {{"examples", "%.0f", (double)peft_dataset_count(r->data)},
                   {"held out", "%.0f", r->validation ? (double)peft_dataset_count(r->validation) : 0},
                   {"trainable parameters", "%.0f", (double)r->result.trainable},
                   {"all parameters", "%.0f", (double)r->result.total},
                   {"steps", "%.0f", (double)r->result.steps},
                   {"tokens", "%.0f", (double)r->result.tokens},
                   {"seconds", "%.1f", r->result.seconds},
                   {"learning rate (0: the default)", "%g", t.lr},
                   {"batch (0: 8)", "%.0f", (double)t.batch},
                   {"r (0: 8)", "%.0f", (double)ad.r},
                   {"alpha (0: 16)", "%g", ad.alpha},
                   {"last loss", "%.4f", r->result.loss},
                   {"best validation loss", "%.4f", r->result.best_eval_loss},
                   {"peak memory, MB", "%.0f", (double)peft_memory_peak(s.ctx) / 1e6},
                   {"threads", "%.0f", (double)peft_thread_count(s.ctx)},
                   {"seed", "%.0f", (double)s.seed}};
    const char *const words[][2] = {{"model", s.rest.items[0]}, {"data", d.data}, {"method", ad.method ? ad.method : "lora"},
                                    {"target modules", ad.target ? ad.target : "default"}, {"prompt", d.prompt ? d.prompt : "{{prompt}}"},
                                    {"completion", d.completion ? d.completion : "{{completion}}"}, {"instructions", peft_simd_name(peft_simd_in_use(s.ctx))}};
    for (int i = 0; i < COUNT(words); i++) report_row(f, "td", words[i], 2, 2);
    for (int i = 0; i < COUNT(numbers); i++) {
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
        json_print(stdout, "{\"event\":\"done\",\"steps\":%lld,\"tokens\":%lld,\"loss\":%.6f,\"best_eval_loss\":%.6f,\"seconds\":%.2f,\"trainable\":%lld,\"total\":%lld,\"peak_bytes\":%lld",
               (long long)r->result.steps, (long long)r->result.tokens, r->result.loss, r->result.best_eval_loss, r->result.seconds,
               (long long)r->result.trainable, (long long)r->result.total, (long long)peft_memory_peak(s.ctx));
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
    printf("%lld steps in %.1f s; loss %.4f", (long long)r->result.steps, r->result.seconds, r->result.loss);
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
    if (sample) code = outcome_make(r->model, NULL, r->validation, t.samples, &r->before);
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
    if (sample) code = outcome_make(r->model, r->adapter, r->validation, t.samples, &r->after);
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
static const option merge_options[] = {{"type", OPTION_TEXT, &merge_type, "NAME", "of the merged model: f32 (default), f16, bf16, i8, nf4, fp4"},
                                       {"scale", OPTION_REAL, &merge_scale, "X", "strength of the adapter (1)"},
                                       COMMON_OPTIONS};

static int run_merge(void) {
    peft_model *m = NULL;
    peft_adapter *a = NULL;
    peft_dtype type;
    peft_requantize_error error = {0};
    if (s.rest.count != 3) return wrong("give MODEL ADAPTER OUT");
    int code = parse_weights("type", merge_type, &type);
    if (!code && strcmp(s.rest.items[0], s.rest.items[2]) == 0) code = wrong("OUT is the model itself");
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
#include "cmd_benchmark.h"
#include "cmd_score.h"
#include "cmd_adapters.h"
#include "cmd_memory.h"

// ---- the table of commands

typedef struct command {
    const char *name, *arguments, *says, *examples;
    const option *options;
    int option_count;
    int (*run)(void);
} command;

static const command commands[] = {
    {"info", "MODEL", "what a model folder (or an adapter) holds",
     "  peft info flan-t5-small\n  peft info flan-t5-small --adapter my-lora --tensors\n", info_options, COUNT(info_options), run_info},
    {"tokenize", "MODEL [TEXT ...]", "text to token ids and back",
     "  peft tokenize flan-t5-small \"Hello world\"\n  peft tokenize spiece.model --json < lines.txt\n  peft tokenize flan-t5-small --decode \"8774 296\"\n",
     tokenize_options, COUNT(tokenize_options), run_tokenize},
    {"generate", "MODEL [PROMPT ...]", "let the model answer",
     "  peft generate flan-t5-small \"Translate to German: How are you?\"\n  peft generate flan-t5-small --adapter my-lora --beams 4 < prompts.txt\n"
     "  peft generate flan-t5-small --data test.jsonl --prompt 'Summarize: {{dialogue}}' --json\n",
     generate_options, COUNT(generate_options), run_generate},
    {"train", "MODEL --data FILE --out DIR", "fine-tune: an adapter of any method, or all weights",
     "  peft train flan-t5-small --data train.jsonl --prompt 'Summarize.\\n\\n{{dialogue}}' --completion '{{summary}}' --split 0.1 --out my-lora --report report.html\n"
     "  peft train flan-t5-small --data train.jsonl --method ia3 --out my-ia3\n"
     "  peft train flan-t5-small --data train.jsonl --method prompt --num-virtual-tokens 30 --init-text 'Summarize the dialogue:' --out my-prompt\n"
     "  peft train flan-t5-small --data train.jsonl --method full --lr 1e-4 --epochs 1 --out tuned\n"
     "  Ctrl-C saves a checkpoint and says how to go on.\n",
     train_options, COUNT(train_options), run_train},
    {"eval", "MODEL --data FILE", "loss, perplexity and ROUGE on a dataset",
     "  peft eval flan-t5-small --adapter my-lora --data test.jsonl --prompt 'Summarize.\\n\\n{{dialogue}}' --completion '{{summary}}' --output predictions.jsonl\n",
     eval_options, COUNT(eval_options), run_eval},
    {"perplexity", "MODEL --file FILE", "how well a decoder-only model foresees a text",
     "  peft perplexity gpt2 --file book.txt\n  peft perplexity stories260K.bin --adapter my-lora --file held-out.txt --window 256\n", perplexity_options,
     COUNT(perplexity_options), run_perplexity},
    {"export", "MODEL OUT", "write a model, or an adapter, as GGUF or as a folder",
     "  peft export flan-t5-small flan.gguf --type q8_0\n  peft export smollm --adapter my-lora my-lora.gguf\n  peft export model.gguf folder --type bf16\n",
     export_options, COUNT(export_options), run_export},
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
     "  peft memory flan-t5-base --batch 4 --source 512 --target 128 --svg memory.svg\n  peft memory llama-65b/config.json --batch 1 --json\n"
     "  peft memory flan-t5-base --method qlora --batch 1 --source 256 --target 64 --measure\n",
     memory_options, COUNT(memory_options), run_memory},
};

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
    int code = open_context();
    if (!code) code = c->run();
    peft_context_destroy(s.ctx);
    free((void *)s.rest.items);
    free((void *)sc.references.items);
    free((void *)g.stop.items);
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
    fprintf(stderr, "peft: there is no command %s\n\n", argv[1]);
    print_overview(stderr);
    return EXIT_USAGE;
}
