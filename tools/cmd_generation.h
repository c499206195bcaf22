// Commands about models that write: generate, perplexity of a text, export to GGUF.
#ifndef PEFT_CMD_GENERATION_H
#define PEFT_CMD_GENERATION_H

// ---- generate

static struct {
    const char *prompt, *system;
    texts adapters;
    bool stream, lines, chat;
} asked;

static bool print_piece(const char *piece, size_t size, int64_t prompt, void *user) {
    (void)prompt, (void)user;
    fwrite(piece, 1, size, stdout);
    fflush(stdout);
    return !interrupted;
}

static const option generate_options[] = {
    {"prompt-text", OPTION_TEXT, &asked.prompt, "TEXT",
     "the prompt (or give it as arguments, or on standard input)"},
    {"lines", OPTION_FLAG, &asked.lines, "", "every line of standard input is a prompt (it is one prompt)"},
    {"chat", OPTION_FLAG, &asked.chat, "", "prompts are a user's turns: in the model's chat template"},
    {"system", OPTION_TEXT, &asked.system, "TEXT", "--chat: what the model is told about its part"},
    {"adapter", OPTION_TEXTS, &asked.adapters, "DIR", "with this adapter; several work together"},
    {"stream", OPTION_FLAG, &asked.stream, "", "print the text while it is written; Ctrl-C ends it"},
    {"seed", OPTION_INT, &cli.seed, "N", "of sampling, and of --random"},
    DATA_OPTIONS,
    COMPLETION_OPTION,
    SHOT_OPTIONS,
    WEIGHT_OPTIONS,
    GENERATION_OPTIONS,
    COMMON_OPTIONS};

typedef struct generator {
    peft_generate_desc desc;
    peft_dataset *examples;  // of --shots
    peft_chat *chat;         // of --chat
    int64_t done;            // prompts that were answered
} generator;

// One prompt: as it is, behind examples, or in a chat's form.
static int generate_one(generator *g, const char *given) {
    bool stream = asked.stream && !cli.json;
    peft_few_shot_result shown = {0};
    char *chat = NULL, *text = NULL;
    const char *prompt = given;
    int code = EXIT_OK;
    if (asked.chat) {
        code = chat_prompt(g->desc.model, g->chat, asked.system, given, &chat);
        prompt = chat;
    } else if (g->examples) {
        code = shots_prompt(g->desc.model, g->examples, given, g->done, &shown);
        prompt = shown.text;
    }
    if (!code && g->examples && !cli.json) shots_tell(g->desc.model, &shown, g->done);
    if (!code) {
        peft_generate_desc desc = g->desc;
        if (stream) {
            desc.on_text = print_piece;
            signal(SIGINT, on_interrupt);
        }
        peft_status status = peft_generate_text(&desc, prompt, &text);
        if (status) code = fail(status);
    }
    if (!code && cli.json) {
        printf("{");
        json_pair(stdout, "prompt", prompt, ",");
        if (g->examples) shots_tell(g->desc.model, &shown, g->done);
        json_pair(stdout, "text", text, "}\n");
    } else if (!code) {
        printf("%s\n", stream ? "" : text);
    }
    fflush(stdout);
    g->done++;
    peft_free(cli.ctx, text);
    peft_few_shot_free(cli.ctx, &shown);
    free(chat);
    return !code && interrupted ? EXIT_INTERRUPTED : code;
}

// Standard input: one prompt, without the line end that closes it, or a prompt a line.
static int generate_stdin(generator *g) {
    if (is_terminal(stdin) && !cli.quiet) fprintf(stderr, "The prompt, to be ended with Ctrl-D:\n");
    text_list lines = {0};
    int code = EXIT_OK;
    if (asked.lines) {
        code = read_texts("-", &lines);
        for (int64_t i = 0; i < lines.count && !code; i++) code = generate_one(g, lines.items[i]);
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
    if (!code) code = generate_one(g, begin);
    free(text);
    return code;
}

static int generate_all(generator *g) {
    peft_dataset *data = NULL;
    int code = shots.count ? shots_open(&g->examples) : EXIT_OK;
    if (!code && asked.chat)
        code =
            open_chat(cli.rest.items[0], peft_model_tokenizer(g->desc.model), input.chat_template, &g->chat);
    if (code) return code;
    if (input.data.count) {
        input.prompts_only = true, input.as_turns = asked.chat;
        code = open_datasets(&input.data, "data", input.limit, NULL, &data);
        for (int64_t i = 0; !code && i < peft_dataset_count(data); i++)
            code = generate_one(g, peft_dataset_prompt(data, i));
        peft_dataset_destroy(data);
        return code;
    }
    if (!asked.prompt && cli.rest.count == 1) return generate_stdin(g);
    for (int i = 1; i < cli.rest.count + (asked.prompt != NULL) && !code; i++) {
        char *text = unescape(asked.prompt ? asked.prompt : cli.rest.items[i]);
        code = text ? generate_one(g, text) : EXIT_MEMORY;
        free(text);
    }
    return code;
}

static int run_generate(void) {
    if (cli.rest.count < 1) return wrong("give a model folder");
    if ((cli.rest.count > 1) + (asked.prompt != NULL) + (input.data.count > 0) > 1)
        return wrong("prompts come from one place: arguments, --prompt-text or --data");
    if (asked.lines && (cli.rest.count > 1 || asked.prompt || input.data.count))
        return wrong("--lines is of standard input");
    if (asked.chat && shots.count) return wrong("--chat and --shots exclude each other");
    opened o;
    generator g = {.examples = NULL};
    int code = shots_check();
    if (!code) code = open_all(cli.rest.items[0], &asked.adapters, &o);
    else memset(&o, 0, sizeof(o));
    if (!code) {
        g.desc = generation(o.model, NULL);
        g.desc.adapters = o.count ? o.active : NULL, g.desc.adapter_count = o.count;
        code = generate_all(&g);
    }
    peft_dataset_destroy(g.examples);
    peft_chat_close(g.chat);
    close_all(&o);
    return code;
}

// ---- perplexity

static const char *perplexity_adapter, *perplexity_file;
static int64_t perplexity_window, perplexity_stride;
static const option perplexity_options[] = {
    {"file", OPTION_TEXT, &perplexity_file, "FILE", "the text, UTF-8"},
    {"adapter", OPTION_TEXT, &perplexity_adapter, "DIR", "with this adapter"},
    {"window", OPTION_COUNT, &perplexity_window, "N",
     "tokens that are read at once (the model's context, at most 1024)"},
    {"stride", OPTION_COUNT, &perplexity_stride, "N", "tokens by which windows move on (half a window)"},
    COMMON_OPTIONS};

static int run_perplexity(void) {
    if (cli.rest.count != 1 || !perplexity_file) return wrong("give a model and --file FILE");
    peft_model *m = NULL;
    peft_adapter *a = NULL;
    peft_perplexity_result r;
    int code = open_model(cli.rest.items[0], false, &m);
    if (!code) code = open_adapter(m, perplexity_adapter, &a);
    if (!code) {
        peft_text_perplexity_desc pd = {.model = m,
                                        .adapter = a,
                                        .path = perplexity_file,
                                        .window = perplexity_window,
                                        .stride = perplexity_stride};
        peft_status status = peft_text_perplexity(&pd, &r);
        if (status) code = fail(status);
    }
    if (!code && cli.json)
        json_print(stdout,
                   "{\"perplexity\":%.6f,\"tokens\":%lld,\"per_word\":%.6f,\"words\":%lld,\"bits_per_byte\":%"
                   ".6f,\"bytes\":%lld}\n",
                   r.per_token, (long long)r.tokens, r.per_word, (long long)r.words, r.bits_per_byte,
                   (long long)r.bytes);
    else if (!code)
        printf("perplexity %.4f per token (%lld), %.2f per word (%lld), %.4f bits per byte (%lld)\n",
               r.per_token, (long long)r.tokens, r.per_word, (long long)r.words, r.bits_per_byte,
               (long long)r.bytes);
    peft_adapter_destroy(a);
    peft_model_destroy(m);
    return code;
}

// ---- export

static const char *export_adapter, *export_type;
static const option export_options[] = {
    {"type", OPTION_WORD, &export_type, "NAME",
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
