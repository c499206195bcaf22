// Commands about adapters: methods, prompt, combine, grow.
#ifndef PEFT_CMD_ADAPTERS_H
#define PEFT_CMD_ADAPTERS_H

// ---- methods

static const option methods_options[] = {ADAPTER_OPTIONS, RANK_OPTION, COMMON_OPTIONS};

typedef struct method_row {
    const char *name, *family, *trains, *initial;
    int64_t parameters, bytes;
    double rate;
    const char *why_not;  // NULL: it can be used
} method_row;

// The last block's number, as text: what `selected` stands for in tables when nothing was chosen.
static const char *last_block(const peft_model *m) {
    static char text[32];
    snprintf(text, sizeof(text), "%lld", (long long)peft_model_config(m)->decoder_layers - 1);
    return text;
}

// One method among others: options that are another method's are left out. `selected` without names: the last
// block.
static peft_status plain_adapter(peft_model *m, const peft_method_info *info, uint64_t seed,
                                 peft_adapter **out) {
    peft_adapter_desc desc;
    *out = NULL;
    if (adapter_settings(m, info, &desc)) return PEFT_ERROR_ARGUMENT;
    desc.seed = seed;
    if (info->method == PEFT_IA3 && tuned.target && strcmp(tuned.target, "all-linear") == 0)
        desc.target_modules = NULL;
    if (info->method == PEFT_SELECTED && (!tuned.target || strcmp(tuned.target, "all-linear") == 0))
        desc.target_modules = "*", desc.layers_to_transform = last_block(m);
    if (info->method != PEFT_PROMPT_TUNING) desc.init_text = NULL;
    if (info->method != PEFT_LORA) desc.pissa = false, desc.type = PEFT_F32;
    return peft_adapter_create(&desc, out);
}

static int check_methods(const char *list) {
    for (const char *p = list; p && *p;) {
        char name[32];
        size_t m = strcspn(p, ",");
        snprintf(name, sizeof(name), "%.*s", (int)m, p);
        if (check_method(name)) return EXIT_USAGE;
        p += m + (p[m] == ',');
    }
    return EXIT_OK;
}

static void methods_row_print(const method_row *r, int64_t total) {
    double share = 100.0 * (double)r->parameters / (double)total;
    if (cli.json) {
        printf("{");
        json_pair(stdout, "method", r->name, ",");
        json_pair(stdout, "family", r->family, ",");
        json_pair(stdout, "trains", r->trains, ",");
        json_pair(stdout, "initial", r->initial, ",");
        if (r->why_not) json_pair(stdout, "error", r->why_not, ",");
        printf("\"parameters\":%lld,\"share\":%.8f,\"learning_rate\":%g,\"bytes\":%lld}\n",
               (long long)r->parameters, share / 100, r->rate, (long long)r->bytes);
    } else if (r->why_not) {
        printf("  %-11s %-23s %-47s %s\n", r->name, r->family, r->trains, r->why_not);
    } else {
        printf("  %-11s %-23s %-47s %11lld %8.3f %% %8g %12lld  %s\n", r->name, r->family, r->trains,
               (long long)r->parameters, share, r->rate, (long long)r->bytes, r->initial);
    }
}

static int run_methods(void) {
    if (cli.rest.count != 1) return wrong("give one model folder");
    peft_model *m;
    int code = check_methods(tuned.method);
    if (!code) code = open_model(cli.rest.items[0], false, &m);
    if (code) return code;
    int64_t total = peft_model_parameter_count(m);
    if (!cli.json)
        printf("%s: %lld parameters\n  %-11s %-23s %-47s %11s %10s %8s %12s  %s\n", cli.rest.items[0],
               (long long)total, "method", "family", "trains", "parameters", "share", "rate", "bytes on disk",
               "begins as");
    for (int64_t i = 0; peft_method_at(i); i++) {
        const peft_method_info *info = peft_method_at(i);
        if (!named_in(tuned.method, info->name)) continue;
        method_row r = {info->name, info->family, info->trains, info->initial, 0, 0, 0, NULL};
        peft_adapter *a = NULL;
        peft_status status = plain_adapter(m, info, (uint64_t)cli.seed, &a);
        if (!status) status = peft_adapter_file_size(a, &r.bytes);
        if (status) r.why_not = peft_error(cli.ctx);
        else
            r.parameters = peft_adapter_parameter_count(a), r.rate = (double)peft_default_learning_rate(m, a);
        if (info->method == PEFT_SELECTED && (!tuned.target || strcmp(tuned.target, "all-linear") == 0))
            r.trains = "parameters by name; here the last block";
        methods_row_print(&r, total);
        peft_adapter_destroy(a);
    }
    method_row full = {"full",
                       "full fine-tuning",
                       "every weight",
                       "the model's own",
                       total,
                       4 * total,
                       (double)peft_default_learning_rate(m, NULL),
                       NULL};
    if (named_in(tuned.method, "full")) methods_row_print(&full, total);
    if (!cli.json && !tuned.method)
        printf("\nWhy a low rank saves: a 512 x 64 matrix has 32,768 weights; B (512 x 8) and A (8 x 64) "
               "have 4,608 together, 86 %% fewer.\n"
               "Rates are the defaults of peft train for this model.\n");
    peft_model_destroy(m);
    return EXIT_OK;
}

// ---- prompt: what a soft prompt says

static int64_t prompt_nearest = 5;
static const char *prompt_report;
static const option prompt_options[] = {
    {"nearest", OPTION_COUNT, &prompt_nearest, "N", "vocabulary entries per virtual token (5)"},
    {"report", OPTION_TEXT, &prompt_report, "FILE", "write an HTML page with the picture"},
    COMMON_OPTIONS};

enum { MOST_NEAREST = 20 };

// A row of boxes per virtual token: the darker, the nearer.
static void prompt_picture(FILE *f, const peft_tokenizer *t, const int32_t *ids, const float *distances,
                           int64_t tokens, int64_t k) {
    fprintf(f, "<svg viewBox=\"0 0 960 %lld\" role=\"img\">\n", (long long)(26 * tokens + 10));
    double width = 900.0 / (double)k;
    for (int64_t i = 0; i < tokens; i++) {
        fprintf(f, "<text x=\"30\" y=\"%lld\" text-anchor=\"end\">%lld</text>\n", (long long)(26 * i + 19),
                (long long)i);
        for (int64_t j = 0; j < k; j++) {
            double d = (double)distances[i * k + j], near = fmax(0, fmin(1, 1 - d));
            fprintf(f,
                    "<rect x=\"%.1f\" y=\"%lld\" width=\"%.1f\" height=\"24\" class=\"c1 b\" "
                    "fill-opacity=\"%.3f\"/><text x=\"%.1f\" y=\"%lld\">",
                    40 + width * (double)j, (long long)(26 * i + 2), width - 2, 0.08 + 0.6 * near,
                    46 + width * (double)j, (long long)(26 * i + 19));
            html_text(f, peft_token_text(t, ids[i * k + j]));
            fprintf(f, " %.2f</text>\n", d);
        }
    }
    fputs("</svg>\n", f);
}

static int prompt_write(const peft_tokenizer *t, const int32_t *ids, const float *distances, int64_t tokens,
                        int64_t k) {
    output o;
    FILE *f = output_open(&o, "prompt", prompt_report);
    if (!f) return EXIT_DATA;
    report_begin(f, "What a soft prompt says");
    fputs("<p>Each row is a virtual token; its boxes are the vocabulary entries nearest to it, with their "
          "cosine distance (0: the same direction).</p>\n",
          f);
    prompt_picture(f, t, ids, distances, tokens, k);
    report_end(f);
    return output_close(&o, true);
}

static void prompt_line(const peft_tokenizer *t, int64_t token, const int32_t *ids, const float *distances,
                        int64_t k) {
    if (cli.json) printf("{\"virtual_token\":%lld,\"nearest\":[", (long long)token);
    else printf("%4lld ", (long long)token);
    for (int64_t j = 0; j < k; j++) {
        const char *text = peft_token_text(t, ids[j]);
        if (cli.json) {
            printf("%s{\"id\":%d,", j ? "," : "", ids[j]);
            json_pair(stdout, "token", text, ",");
            printf("\"distance\":%.6f}", (double)distances[j]);
        } else {
            printf(" %14s %.3f", text ? text : "?", (double)distances[j]);
        }
    }
    printf("%s\n", cli.json ? "]}" : "");
}

static int run_prompt(void) {
    peft_model *m = NULL;
    peft_adapter *a = NULL;
    if (cli.rest.count != 2) return wrong("give ADAPTER MODEL");
    if (prompt_nearest < 1 || prompt_nearest > MOST_NEAREST)
        return wrong("--nearest %lld is not 1 to %d", (long long)prompt_nearest, MOST_NEAREST);
    int code = open_model(cli.rest.items[1], false, &m);
    if (!code) code = open_adapter(m, cli.rest.items[0], &a);
    const peft_tokenizer *t = m ? peft_model_tokenizer(m) : NULL;
    if (!code && !t) code = wrong("%s has no tokenizer", cli.rest.items[1]);
    int64_t tokens = code ? 0 : peft_adapter_settings(a)->num_virtual_tokens, k = prompt_nearest;
    int32_t *ids = (int32_t *)calloc((size_t)(tokens * k) + 1, sizeof(int32_t));
    float *distances = (float *)calloc((size_t)(tokens * k) + 1, sizeof(float));
    if (!code && (!ids || !distances)) code = EXIT_MEMORY;
    for (int64_t i = 0; i < tokens && !code; i++) {
        peft_status status = peft_prompt_nearest(a, i, k, ids + i * k, distances + i * k);
        if (status) code = fail(status);
        else prompt_line(t, i, ids + i * k, distances + i * k, k);
    }
    if (!code && prompt_report) code = prompt_write(t, ids, distances, tokens, k);
    free(ids);
    free(distances);
    peft_adapter_destroy(a);
    peft_model_destroy(m);
    return code;
}

// ---- combine

static struct {
    const char *kind, *weights, *out;
    double density;
} combine;
static const option combine_options[] = {
    {"out", OPTION_TEXT, &combine.out, "DIR", "where the result goes"},
    {"kind", OPTION_WORD, &combine.kind, "NAME", "linear (default), cat, ties, dare_linear"},
    {"scale", OPTION_TEXT, &combine.weights, "LIST", "strength of each adapter, e.g. 0.7,0.3 (all 1)"},
    FORCE_OPTION,
    {"density", OPTION_ABOVE, &combine.density, "X", "ties, dare_linear: the part that is kept (0.5)"},
    {"seed", OPTION_INT, &cli.seed, "N", "of dare_linear"},
    COMMON_OPTIONS};

enum { MOST_COMBINED = 32, MOST_NUMBERS = 32 };

// "1,2.5,..." into numbers; -1: something else.
static int parse_numbers(const char *text, double *out) {
    int n = 0;
    for (const char *p = text; *p;) {
        char *end;
        double v = strtod(p, &end);
        if (end == p || (*end && *end != ',') || n == MOST_NUMBERS) return -1;
        out[n++] = v;
        p = end + (*end == ',');
    }
    return n;
}

static int run_combine(void) {
    static const char *const kinds[] = {"linear", "cat", "ties", "dare_linear"};
    peft_adapter *adapters[MOST_COMBINED] = {NULL}, *out = NULL;
    double numbers[MOST_NUMBERS];
    float weights[MOST_COMBINED];
    int kind = 0, count = cli.rest.count - 1;
    if (count < 1 || count > MOST_COMBINED || !combine.out)
        return wrong("give MODEL ADAPTER ... and --out DIR");
    while (combine.kind && kind < COUNT(kinds) && strcmp(combine.kind, kinds[kind]) != 0) kind++;
    if (kind == COUNT(kinds)) return wrong("--kind %s is not linear, cat, ties or dare_linear", combine.kind);
    if (combine.weights && parse_numbers(combine.weights, numbers) != count)
        return wrong("--scale %s: %d numbers are needed", combine.weights, count);
    for (int i = 0; i < count; i++) weights[i] = combine.weights ? (float)numbers[i] : 1;
    peft_model *m = NULL;
    int code = output_may_go("combine", combine.out, cli.force, cli.rest.items, cli.rest.count);
    if (!code) code = open_model(cli.rest.items[0], false, &m);
    for (int i = 0; i < count && !code; i++) code = open_adapter(m, cli.rest.items[1 + i], &adapters[i]);
    if (!code) {
        peft_combine_desc desc = {.adapters = (const peft_adapter *const *)adapters,
                                  .weights = weights,
                                  .count = count,
                                  .kind = (peft_combine_kind)kind,
                                  .density = (float)combine.density,
                                  .seed = (uint64_t)cli.seed};
        peft_status status = peft_adapter_combine(&desc, &out);
        if (!status) status = peft_adapter_save(out, combine.out);
        if (status) code = fail(status);
    }
    if (!code && cli.json)
        printf("{\"adapters\":%d,\"kind\":\"%s\",\"r\":%lld,\"parameters\":%lld}\n", count, kinds[kind],
               (long long)peft_adapter_settings(out)->r, (long long)peft_adapter_parameter_count(out));
    else if (!code)
        printf("%d adapters, %s: rank %lld, written to %s\n", count, kinds[kind],
               (long long)peft_adapter_settings(out)->r, combine.out);
    peft_adapter_destroy(out);
    for (int i = 0; i < count; i++) peft_adapter_destroy(adapters[i]);
    peft_model_destroy(m);
    return code;
}

// ---- grow: more tokens

static struct {
    texts tokens;
    const char *type;
    int64_t rows;
    double noise;
    bool special;
} grow = {.noise = NAN};
static const option grow_options[] = {
    {"token", OPTION_TEXTS, &grow.tokens, "TEXT", "a new token; may be given again"},
    {"special", OPTION_FLAG, &grow.special, "", "they are control tokens, which decoding leaves out"},
    {"rows", OPTION_COUNT, &grow.rows, "N", "rows of the embedding afterwards (as many as there are tokens)"},
    {"noise", OPTION_REAL, &grow.noise, "X",
     "of new rows around the mean of the old ones, in their deviations (3.2e-5)"},
    {"type", OPTION_WORD, &grow.type, "NAME", "of the weights: f32 (default), f16, bf16"},
    FORCE_OPTION,
    COMMON_OPTIONS};

static int run_grow(void) {
    peft_model *m = NULL;
    peft_dtype type = PEFT_F32;
    if (cli.rest.count != 2) return wrong("give MODEL and OUT");
    if (!grow.tokens.count && !grow.rows) return wrong("give --token TEXT or --rows N");
    int code = grow.type ? parse_weights("type", grow.type, &type) : EXIT_OK;
    if (!code && type > PEFT_BF16) code =
        wrong("--type %s: a vocabulary is grown before the model is quantized", grow.type);
    if (!code) code = output_may_go("grow", cli.rest.items[1], cli.force, cli.rest.items, 1);
    if (!code) code = open_model(cli.rest.items[0], false, &m);
    if (code) return code;
    int64_t before = peft_model_config(m)->vocab_size, had = peft_model_tokenizer(m)
        ? peft_vocab_size(peft_model_tokenizer(m)) : 0;
    peft_status status = peft_model_grow(&(peft_grow_desc){.model = m,
                                                           .tokens = grow.tokens.items,
                                                           .token_count = grow.tokens.count,
                                                           .special = grow.special,
                                                           .vocab_size = grow.rows,
                                                           .noise = isnan(grow.noise) ? 0
                                                               : grow.noise == 0 ? -1 : (float)grow.noise,
                                                           .seed = (uint64_t)cli.seed});
    int64_t rows = peft_model_config(m)->vocab_size, has = peft_model_tokenizer(m)
        ? peft_vocab_size(peft_model_tokenizer(m)) : 0;
    if (!status) status = peft_model_save(m, cli.rest.items[1], type);
    if (!status && cli.json) {
        printf("{");
        json_pair(stdout, "out", cli.rest.items[1], ",");
        printf("\"tokens\":%lld,\"tokens_before\":%lld,\"rows\":%lld,\"rows_before\":%lld}\n", (long long)has,
               (long long)had, (long long)rows, (long long)before);
    } else if (!status && !cli.quiet) {
        printf("%lld tokens (%lld new), %lld rows (%lld new): %s\n", (long long)has, (long long)(has - had),
               (long long)rows, (long long)(rows - before), cli.rest.items[1]);
    }
    peft_model_destroy(m);
    return status ? fail(status) : EXIT_OK;
}

#endif
