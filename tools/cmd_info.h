// peft info and peft tokenize: what a folder holds, what a tokenizer makes of a text.
#ifndef PEFT_CMD_INFO_H
#define PEFT_CMD_INFO_H

// ---- info

static const char *activation_name(peft_activation_kind kind) {
    static const char *const names[] = {"relu", "gelu", "gelu (tanh)", "silu", "tanh"};
    return names[kind];
}

static void info_tensors(peft_model *m) {
    for (int64_t i = 0; i < peft_model_tensor_count(m); i++) {
        const peft_tensor *t = peft_model_tensor(m, i);
        if (cli.json) {
            printf("%s{", i ? "," : "");
            json_pair(stdout, "name", t->name, ",");
            printf("\"rows\":%lld,\"cols\":%lld,\"type\":\"%s\"}", (long long)t->rows, (long long)t->cols,
                   peft_tensor_format(t));
        } else {
            printf("  %-72s %6lld x %-6lld %s\n", t->name, (long long)t->rows, (long long)t->cols,
                   peft_tensor_format(t));
        }
    }
}

// What the weights take in memory, by format: "Q4_K 61.2 MB, Q6_K 20.0 MB, f32 0.3 MB", or of JSON
// {"Q4_K":61200000,...}.
static void info_weights(peft_model *m) {
    struct {
        const char *name;
        size_t bytes;
    } kinds[64] = {{NULL, 0}};
    int count = 0;
    for (int64_t i = 0; i < peft_model_tensor_count(m); i++) {
        const peft_tensor *t = peft_model_tensor(m, i);
        const char *name = peft_tensor_format(t);
        int k = 0;
        while (k < count && strcmp(kinds[k].name, name) != 0) k++;
        if (k == COUNT(kinds)) continue;  // there are not so many formats
        if (k == count) kinds[count++].name = name;
        kinds[k].bytes += peft_tensor_bytes(t);
    }
    for (int k = 0; k < count; k++) {
        char size[32];
        human_bytes(size, sizeof(size), kinds[k].bytes);
        if (cli.json) printf("%s\"%s\":%zu", k ? "," : "", kinds[k].name, kinds[k].bytes);
        else printf("%s%s %s", k ? ", " : "", kinds[k].name, size);
    }
}

static void info_json(peft_model *m, const char *path, bool tensors) {
    const peft_config *c = peft_model_config(m);
    const peft_tokenizer *tk = peft_model_tokenizer(m);
    printf("{");
    json_pair(stdout, "model", path, ",");
    json_pair(stdout, "type", c->model_type, ",");
    printf("\"parameters\":%lld,\"tensors\":%lld,\"d_model\":%lld,\"d_ff\":%lld,\"d_kv\":%lld,\"heads\":%lld,"
           "\"layers\":%lld,"
           "\"decoder_layers\":%lld,\"vocab_size\":%lld,\"tokenizer_pieces\":%lld,\"tied\":%s,\"window\":",
           (long long)peft_model_parameter_count(m), (long long)peft_model_tensor_count(m),
           (long long)c->d_model, (long long)c->d_ff, (long long)c->d_kv, (long long)c->heads,
           (long long)c->layers, (long long)c->decoder_layers, (long long)c->vocab_size,
           (long long)(tk ? peft_vocab_size(tk) : 0), c->tied ? "true" : "false");
    if (c->max_positions) printf("%lld", (long long)c->max_positions);
    else printf("null");
    printf(",\"weights\":{");
    info_weights(m);
    printf("}");
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
    say_number(parameters, sizeof(parameters), (double)peft_model_parameter_count(m), "");
    printf("%s: %s, %s parameters in %lld tensors\n", path, c->model_type, parameters,
           (long long)peft_model_tensor_count(m));
    printf("  weights       ");
    info_weights(m);
    printf("\n  layers        %lld encoder, %lld decoder\n", (long long)c->layers,
           (long long)c->decoder_layers);
    printf("  width         %lld, %lld heads of %lld, feed-forward %lld (%s%s)\n", (long long)c->d_model,
           (long long)c->heads, (long long)c->d_kv, (long long)c->d_ff, c->gated ? "gated " : "",
           activation_name(c->activation));
    printf("  vocabulary    %lld, head %s\n", (long long)c->vocab_size,
           c->tied ? "tied to the embedding" : "of its own");
    if (c->max_positions) printf("  window        %lld tokens\n", (long long)c->max_positions);
    else printf("  window        no limit (positions are relative)\n");
    if (tk) printf("  tokenizer     %lld pieces\n", (long long)peft_vocab_size(tk));
    else printf("  tokenizer     none in the folder\n");
    printf("  this machine  %s, %d threads\n", peft_simd_name(peft_simd_in_use(cli.ctx)),
           peft_thread_count(cli.ctx));
    if (tensors) info_tensors(m);
}

// ---- info of an adapter: from its own files, for its base may not be at hand

// The value of a key of adapter_config.json as text; "" where there is none. To be freed.
static char *info_key(const char *config, const char *key) {
    char pattern[80], *out = NULL;
    snprintf(pattern, sizeof(pattern), "{{%s}}", key);
    if (peft_template_fill(cli.ctx, pattern, config, &out)) return NULL;
    return out;
}

static void info_adapter_line(const char *config, const char *says, const char *key) {
    char *value = info_key(config, key);
    if (value && *value) printf("  %-20s  ", says);
    for (const char *p = value; p && *p; p++)  // of a list, its items
        if (!strchr("[]{}\"\n\r", *p) && (*p != ' ' || p[1] != ' ')) putchar(*p);
    if (value && *value) putchar('\n');
    peft_free(cli.ctx, value);
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
    peft_status status = peft_archive_open(cli.ctx, path, &a);
    if (status) return fail(status);
    int64_t parameters = 0, count = peft_archive_count(a);
    for (int64_t i = 0; i < count; i++)
        parameters += peft_archive_at(a, i)->rows * peft_archive_at(a, i)->cols;
    if (cli.json) {
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
    if (cli.rest.count != 1) return wrong("give one model or adapter folder");
    const char *path = cli.rest.items[0];
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
    peft_adapter **adapters =
        (peft_adapter **)calloc((size_t)info_adapters.count + 1, sizeof(peft_adapter *));
    int code = adapters ? open_model(path, false, &m) : EXIT_MEMORY;
    for (int i = 0; i < info_adapters.count && !code; i++)
        code = open_adapter(m, info_adapters.items[i], &adapters[i]);
    if (!code && cli.json) info_json(m, path, info_list);
    else if (!code) info_print(m, path, info_list);
    for (int i = 0; i < info_adapters.count && !code; i++) {
        if (cli.json) printf("%s", i ? "," : ",\"adapters\":[");
        if (cli.json) info_adapter_json(adapters[i], info_adapters.items[i]);
        else info_adapter_print(m, adapters[i], info_adapters.items[i]);
    }
    if (!code && cli.json) printf("%s}\n", info_adapters.count ? "]" : "");
    for (int i = 0; adapters && i < info_adapters.count; i++) peft_adapter_destroy(adapters[i]);
    free(adapters);
    peft_model_destroy(m);
    return code;
}

// ---- tokenize

static bool tokenize_decode, tokenize_special;
static const option tokenize_options[] = {
    {"decode", OPTION_FLAG, &tokenize_decode, "", "the other way: ids to text"},
    {"special", OPTION_FLAG, &tokenize_special, "", "</s>, <extra_id_0>, ... in the text are tokens"},
    COMMON_OPTIONS};

static int tokenize_one(const peft_tokenizer *t, const char *text) {
    peft_ids ids = {0};
    size_t n = strlen(text);
    peft_status status =
        tokenize_special ? peft_encode_special(t, text, n, &ids) : peft_encode(t, text, n, &ids);
    if (status) return fail(status);
    if (cli.json) printf("{\"ids\":[");
    for (int64_t i = 0; i < ids.count; i++) printf("%s%d", i ? cli.json ? "," : " " : "", ids.data[i]);
    if (cli.json) {
        printf("],\"tokens\":[");
        for (int64_t i = 0; i < ids.count; i++) {
            if (i) printf(",");
            json_text(stdout, peft_token_text(t, ids.data[i]));
        }
        printf("]}");
    }
    printf("\n");
    peft_ids_free(cli.ctx, &ids);
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
        if (end == p || n == COUNT(ids))
            return wrong(
                end == p ? "\"%.20s\" is not a token id" : "more than 4096 ids in a line (at \"%.20s\")", p);
        if (id < 0 || id >= peft_vocab_size(t))
            return wrong("there is no token %ld: the vocabulary has %lld", id, (long long)peft_vocab_size(t));
        ids[n++] = (int32_t)id;
        p = end;
    }
    char *out;
    peft_status status = peft_decode(t, ids, n, false, &out, NULL);
    if (status) return fail(status);
    if (cli.json) {
        printf("{");
        json_pair(stdout, "text", out, "}\n");
    } else {
        printf("%s\n", out);
    }
    peft_free(cli.ctx, out);
    return EXIT_OK;
}

static int run_tokenize(void) {
    if (cli.rest.count < 1)
        return wrong(
            "give a model folder or a tokenizer file, and texts (or texts on standard input, one per line)");
    peft_tokenizer *t;
    peft_status status = peft_tokenizer_load(cli.ctx, cli.rest.items[0], &t);
    if (status) return fail(status);
    int code = EXIT_OK;
    for (int i = 1; i < cli.rest.count && !code; i++)
        code = tokenize_decode ? detokenize_one(t, cli.rest.items[i]) : tokenize_one(t, cli.rest.items[i]);
    text_list lines = {0};
    if (cli.rest.count == 1) code = read_texts("-", &lines);
    for (int64_t i = 0; i < lines.count && !code; i++)
        code = tokenize_decode ? detokenize_one(t, lines.items[i]) : tokenize_one(t, lines.items[i]);
    text_list_free(&lines);
    peft_tokenizer_destroy(t);
    return code;
}

#endif
