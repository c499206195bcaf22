// Commands about models that write: perplexity of a text, export to GGUF.

// ---- perplexity

static const char *perplexity_adapter, *perplexity_file;
static int64_t perplexity_window, perplexity_stride;
static const option perplexity_options[] = {{"file", OPTION_TEXT, &perplexity_file, "FILE", "the text, UTF-8"},
                                            {"adapter", OPTION_TEXT, &perplexity_adapter, "DIR", "with this adapter"},
                                            {"window", OPTION_INT, &perplexity_window, "N", "tokens that are read at once (the model's context, at most 1024)"},
                                            {"stride", OPTION_INT, &perplexity_stride, "N", "tokens by which windows move on (half a window)"},
                                            COMMON_OPTIONS};

static int run_perplexity(void) {
    if (s.rest.count != 1 || !perplexity_file) return wrong("give a model and --file FILE");
    peft_model *m = NULL;
    peft_adapter *a = NULL;
    peft_perplexity_result r;
    int code = open_model(s.rest.items[0], false, &m);
    if (!code) code = open_adapter(m, perplexity_adapter, &a);
    if (!code) {
        peft_text_perplexity_desc pd = {.model = m, .adapter = a, .path = perplexity_file, .window = perplexity_window, .stride = perplexity_stride};
        peft_status status = peft_text_perplexity(&pd, &r);
        if (status) code = fail(status);
    }
    if (!code && s.json)
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
    if (s.rest.count != 2) return wrong("give a model and the path to write");
    if (export_adapter && export_type) return wrong("--type is for models; adapters are written as f32");
    const char *path = s.rest.items[1];
    peft_dtype type = PEFT_I8;
    peft_model *m = NULL;
    peft_adapter *a = NULL;
    bool q8_0 = export_type && strcmp(export_type, "q8_0") == 0;
    if (q8_0 && !ends_with(path, ".gguf")) return wrong("--type q8_0 is for paths that end in .gguf");
    int code = q8_0 ? EXIT_OK : parse_weights("type", export_type ? export_type : "f32", &type);
    const char *const read[] = {s.rest.items[0], export_adapter};
    if (!code) code = output_may_go("export", path, s.force, read, 2);
    if (!code) code = open_model(s.rest.items[0], false, &m);
    if (!code) code = open_adapter(m, export_adapter, &a);
    if (!code) {
        peft_status status = a ? peft_adapter_save(a, path) : peft_model_save(m, path, type);
        if (status) code = fail(status);
    }
    if (!code && s.json) {
        printf("{");
        json_pair(stdout, "written", path, "}\n");
    } else if (!code && !s.quiet) {
        printf("%s written to %s\n", a ? "adapter" : "model", path);
    }
    peft_adapter_destroy(a);
    peft_model_destroy(m);
    return code;
}
