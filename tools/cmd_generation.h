// Commands about models that write: generate, perplexity of a text, export to GGUF.
#ifndef PEFT_CMD_GENERATION_H
#define PEFT_CMD_GENERATION_H

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
                                          {"seed", OPTION_INT, &cli.seed, "N", "of sampling"},
                                          COMMON_OPTIONS};

static int generate_print(const peft_generate_desc *given, const char *const *prompts, int64_t count) {
    peft_generate_desc desc = *given;
    bool stream = generate_stream && !cli.json;
    if (stream) {
        desc.on_text = print_piece;
        signal(SIGINT, on_interrupt);
    }
    for (int64_t i = 0; i < count && !interrupted; i++) {
        char *text;
        peft_status status = peft_generate_text(&desc, prompts[i], &text);
        if (status) return fail(status);
        if (cli.json) {
            printf("{");
            json_pair(stdout, "prompt", prompts[i], ",");
            json_pair(stdout, "text", text, "}\n");
        } else {
            printf("%s\n", stream ? "" : text);
        }
        fflush(stdout);
        peft_free(cli.ctx, text);
    }
    return interrupted ? EXIT_INTERRUPTED : EXIT_OK;
}

// Standard input: one prompt, without the line end that closes it, or a prompt a line.
static int generate_stdin(const peft_generate_desc *desc) {
    if (is_terminal(stdin) && !cli.quiet) fprintf(stderr, "The prompt, to be ended with Ctrl-D:\n");
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
    if (input.data.count) {
        if (!texts_add(&input.completions, "")) return EXIT_MEMORY;  // nobody asks for the right answers
        code = open_datasets(&input.data, "data", input.limit, &data);
        for (int64_t i = 0; !code && i < peft_dataset_count(data); i++) {
            const char *prompt = peft_dataset_prompt(data, i);
            code = generate_print(desc, &prompt, 1);
        }
        peft_dataset_destroy(data);
        return code;
    }
    if (!generate_prompt && cli.rest.count == 1) return generate_stdin(desc);
    for (int i = 1; i < cli.rest.count + (generate_prompt != NULL) && !code; i++) {
        char *text = unescape(generate_prompt ? generate_prompt : cli.rest.items[i]);
        code = text ? generate_print(desc, (const char *const *)&text, 1) : EXIT_MEMORY;
        free(text);
    }
    return code;
}

static int run_generate(void) {
    if (cli.rest.count < 1) return wrong("give a model folder");
    if ((cli.rest.count > 1) + (generate_prompt != NULL) + (input.data.count > 0) > 1)
        return wrong("prompts come from one place: arguments, --prompt-text or --data");
    if (generate_lines && (cli.rest.count > 1 || generate_prompt || input.data.count))
        return wrong("--lines is of standard input");
    if (generate_adapters.count > PEFT_MAX_PATHS)
        return wrong("%d adapters, at most %d are possible", generate_adapters.count, PEFT_MAX_PATHS);
    peft_model *m = NULL;
    peft_adapter *adapters[PEFT_MAX_PATHS] = {NULL};
    peft_active_adapter active[PEFT_MAX_PATHS];
    memset(active, 0, sizeof(active));
    int code = open_model(cli.rest.items[0], false, &m);
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

// ---- perplexity

static const char *perplexity_adapter, *perplexity_file;
static int64_t perplexity_window, perplexity_stride;
static const option perplexity_options[] = {{"file", OPTION_TEXT, &perplexity_file, "FILE", "the text, UTF-8"},
                                            {"adapter", OPTION_TEXT, &perplexity_adapter, "DIR", "with this adapter"},
                                            {"window", OPTION_INT, &perplexity_window, "N", "tokens that are read at once (the model's context, at most 1024)"},
                                            {"stride", OPTION_INT, &perplexity_stride, "N", "tokens by which windows move on (half a window)"},
                                            COMMON_OPTIONS};

static int run_perplexity(void) {
    if (cli.rest.count != 1 || !perplexity_file) return wrong("give a model and --file FILE");
    peft_model *m = NULL;
    peft_adapter *a = NULL;
    peft_perplexity_result r;
    int code = open_model(cli.rest.items[0], false, &m);
    if (!code) code = open_adapter(m, perplexity_adapter, &a);
    if (!code) {
        peft_text_perplexity_desc pd = {.model = m, .adapter = a, .path = perplexity_file, .window = perplexity_window, .stride = perplexity_stride};
        peft_status status = peft_text_perplexity(&pd, &r);
        if (status) code = fail(status);
    }
    if (!code && cli.json)
        json_print(stdout, "{\"perplexity\":%.6f,\"tokens\":%lld,\"per_word\":%.6f,\"words\":%lld,\"bits_per_byte\":%.6f,\"bytes\":%lld}\n", r.per_token, (long long)r.tokens,
               r.per_word, (long long)r.words, r.bits_per_byte, (long long)r.bytes);
    else if (!code)
        printf("perplexity %.4f per token (%lld), %.2f per word (%lld), %.4f bits per byte (%lld)\n", r.per_token, (long long)r.tokens, r.per_word,
               (long long)r.words, r.bits_per_byte, (long long)r.bytes);
    peft_adapter_destroy(a);
    peft_model_destroy(m);
    return code;
}

// ---- export

static const char *export_adapter, *export_type;
static const option export_options[] = {{"type", OPTION_WORD, &export_type, "NAME",
                                         "of the weights: f32 (default), f16, bf16; in .gguf also q8_0"},
                                        {"adapter", OPTION_TEXT, &export_adapter, "DIR", "write this LoRA adapter instead of the model"},
                                        FORCE_OPTION,
                                        COMMON_OPTIONS};

static int run_export(void) {
    if (cli.rest.count != 2) return wrong("give a model and the path to write");
    if (export_adapter && export_type) return wrong("--type is for models; adapters are written as f32");
    const char *path = cli.rest.items[1];
    peft_dtype type = PEFT_I8;
    peft_model *m = NULL;
    peft_adapter *a = NULL;
    bool q8_0 = export_type && strcmp(export_type, "q8_0") == 0;
    if (q8_0 && !ends_with(path, ".gguf")) return wrong("--type q8_0 is for paths that end in .gguf");
    int code = q8_0 ? EXIT_OK : parse_weights("type", export_type ? export_type : "f32", &type);
    const char *const read[] = {cli.rest.items[0], export_adapter};
    if (!code) code = output_may_go("export", path, cli.force, read, 2);
    if (!code) code = open_model(cli.rest.items[0], false, &m);
    if (!code) code = open_adapter(m, export_adapter, &a);
    if (!code) {
        peft_status status = a ? peft_adapter_save(a, path) : peft_model_save(m, path, type);
        if (status) code = fail(status);
    }
    if (!code && cli.json) {
        printf("{");
        json_pair(stdout, "written", path, "}\n");
    } else if (!code && !cli.quiet) {
        printf("%s written to %s\n", a ? "adapter" : "model", path);
    }
    peft_adapter_destroy(a);
    peft_model_destroy(m);
    return code;
}

#endif
