// Conversations with a model: peft chat, and the single questions of peft generate --chat.
#ifndef PEFT_CMD_CHAT_H
#define PEFT_CMD_CHAT_H

// ---- a conversation and its prompt

// Turns alternate: the user's at even places, the model's at odd ones.
typedef struct dialogue {
    const peft_model *model;
    peft_chat *chat;
    char *system;  // NULL: none
    char **turns;
    int count, first;  // those before `first` have no room in the window any more
} dialogue;

static void dialogue_forget(dialogue *d, int count) {
    while (d->count > count) free(d->turns[--d->count]);
    if (d->first > d->count) d->first = 0;
}

static void dialogue_free(dialogue *d) {
    dialogue_forget(d, 0);
    free(d->turns);
    free(d->system);
}

// Takes the text over. False: no memory.
static bool dialogue_add(dialogue *d, char *text) {
    char **grown = text ? (char **)realloc(d->turns, (size_t)(d->count + 1) * sizeof(char *)) : NULL;
    if (!grown) free(text);
    else d->turns = grown, d->turns[d->count++] = text;
    return grown != NULL;
}

static void dialogue_message(text_buffer *b, const char *role, const char *text) {
    buffer_print(b, "%s{\"role\":\"%s\",\"content\":", b->data && b->data[b->size - 1] == '}' ? "," : "",
                 role);
    buffer_json(b, text);
    buffer_puts(b, "}");
}

// The text that the model is given. The beginning that the library puts before every prompt is not in it
// twice.
static peft_status dialogue_render(const dialogue *d, char **out) {
    const peft_config *c = peft_model_config(d->model);
    const char *text = NULL,
               *begin = c->bos_id >= 0 ? peft_token_text(peft_model_tokenizer(d->model), c->bos_id) : NULL;
    bool begins = begin && peft_model_begins_with_bos(d->model);
    text_buffer b = {0};
    buffer_puts(&b, "{\"messages\":[");
    if (d->system) dialogue_message(&b, "system", d->system);
    for (int i = d->first; i < d->count; i++) dialogue_message(&b, i % 2 ? "assistant" : "user", d->turns[i]);
    buffer_puts(&b, "]}");
    char *json = buffer_take(&b);
    peft_status status = json ? peft_chat_text(d->chat, json, true, &text, NULL) : PEFT_ERROR_MEMORY;
    free(json);
    if (status) return status;
    if (begins && strncmp(text, begin, strlen(begin)) == 0) text += strlen(begin);
    *out = copy_of(text);
    return *out ? PEFT_OK : PEFT_ERROR_MEMORY;
}

static int64_t tokens_of(const peft_model *m, const char *text) {
    peft_ids ids = {0};
    peft_status status = peft_encode_special(peft_model_tokenizer(m), text, strlen(text), &ids);
    int64_t n = status ? 0 : ids.count + 1;  // and the one that prompts begin or end with
    peft_ids_free(cli.ctx, &ids);
    return n;
}

// The prompt, to be freed; where it leaves no room for an answer of so many tokens, the oldest turns go.
static int dialogue_prompt(dialogue *d, int64_t answer, char **out) {
    int64_t window = peft_model_config(d->model)->max_positions, tokens = 0;
    int before = d->first;
    for (;;) {
        peft_status status = dialogue_render(d, out);
        if (status) return fail(status);
        tokens = window ? tokens_of(d->model, *out) : 0;
        if (tokens + answer <= window || !window || d->first + 2 >= d->count) break;
        free(*out);
        *out = NULL;
        d->first += 2;
    }
    if (d->first > before && !cli.quiet)
        fprintf(stderr,
                "peft %s: the first %d turns are left out: the window has %lld tokens, %lld of them for the "
                "answer\n",
                cli.command, d->first, (long long)window, (long long)answer);
    if (!window || tokens + answer <= window) return EXIT_OK;
    fprintf(stderr,
            "peft %s: this turn has %lld tokens; the window has %lld, %lld of them for the answer "
            "(--max-new-tokens)\n",
            cli.command, (long long)tokens, (long long)window, (long long)answer);
    return EXIT_DATA;
}

// A question by itself as the prompt of peft generate.
static int chat_prompt(const peft_model *m, peft_chat *chat, const char *system, const char *question,
                       char **out) {
    dialogue d = {.model = m, .chat = chat};
    int code = EXIT_OK;
    *out = NULL;
    if (system && !(d.system = unescape(system))) code = EXIT_MEMORY;
    if (!code && !dialogue_add(&d, copy_of(question))) code = EXIT_MEMORY;
    peft_status status = code ? PEFT_OK : dialogue_render(&d, out);
    dialogue_free(&d);
    return status ? fail(status) : code;
}

// ---- peft chat

static struct {
    texts adapters;
    const char *system;
} talk;

static const option chat_options[] = {
    {"adapter", OPTION_TEXTS, &talk.adapters, "DIR", "with this adapter; several work together"},
    {"system", OPTION_TEXT, &talk.system, "TEXT", "what the model is told about its part, before everything"},
    CHAT_TEMPLATE_OPTION,
    WEIGHT_OPTIONS,
    GENERATION_OPTIONS,
    {"seed", OPTION_INT, &cli.seed, "N", "of sampling"},
    COMMON_OPTIONS};

static const char chat_help[] =
    "  /system TEXT   what the model is told about its part (without TEXT: nothing); begins anew\n"
    "  /reset         forget what was said; what /system told stays\n"
    "  /help          this\n"
    "  /quit          the end, as Ctrl-D\n"
    "  A line that is to begin with / begins with //. Ctrl-C ends an answer.\n";

// A line without its end, to be freed. NULL: no more, or *code says why not.
static char *read_line(FILE *f, int *code) {
    text_buffer b = {0};
    int c = fgetc(f);
    if (c == EOF) return NULL;
    for (; c != EOF && c != '\n'; c = fgetc(f)) {
        char letter = (char)c;
        buffer_add(&b, &letter, 1);
    }
    if (b.size && b.data[b.size - 1] == '\r') b.data[--b.size] = 0;
    bool text = !b.size || !memchr(b.data, 0, b.size);
    if (!text) fprintf(stderr, "peft %s: standard input: a NUL byte: not a text\n", cli.command);
    char *line = buffer_take(&b);
    *code = !line ? EXIT_MEMORY : text ? EXIT_OK : EXIT_DATA;
    if (text) return line;
    free(line);
    return NULL;
}

static bool chat_piece(const char *piece, size_t size, int64_t prompt, void *user) {
    bool *begun = (bool *)user;  // white space before the answer is not shown
    (void)prompt;
    while (!*begun && size && isspace((unsigned char)*piece)) piece++, size--;
    *begun = *begun || size;
    fwrite(piece, 1, size, stdout);
    fflush(stdout);
    return !interrupted;
}

// An answer to the last turn, which stays unless there is none.
static int chat_answer(dialogue *d, const peft_generate_desc *given) {
    peft_generate_desc desc = *given;
    char *prompt = NULL, *text = NULL;
    bool begun = false, stream = !cli.json && desc.beams < 2;
    desc.seed = (uint64_t)(cli.seed + d->count / 2);
    if (stream) desc.on_text = chat_piece, desc.on_text_user = &begun;
    int code = dialogue_prompt(d, desc.max_new_tokens, &prompt);
    signal(SIGINT, on_interrupt);
    peft_status status = code ? PEFT_OK : peft_generate_text(&desc, prompt, &text);
    signal(SIGINT, SIG_DFL);
    if (begun) printf("\n");
    if (status) code = fail(status);
    if (code) {
        dialogue_forget(d, d->count - 1);
        free(prompt);
        return code;
    }
    char *answer = text + strspn(text, " \t\r\n");
    size_t n = strlen(answer);
    while (n && isspace((unsigned char)answer[n - 1])) n--;
    answer[n] = 0;
    if (!stream && !cli.json) printf("%s", answer);
    if (cli.json) {
        printf("{");
        json_pair(stdout, "user", d->turns[d->count - 1], ",");
        json_pair(stdout, "assistant", answer, ",");
        printf("\"prompt_tokens\":%lld,\"cached_tokens\":%lld", (long long)tokens_of(d->model, prompt),
               (long long)peft_session_reused(desc.session));
        printf(",\"turns_left_out\":%d}", d->first);
    }
    if (!begun) printf("\n");
    fflush(stdout);
    free(prompt);
    bool kept = dialogue_add(d, copy_of(answer));
    peft_free(cli.ctx, text);
    return kept ? EXIT_OK : EXIT_MEMORY;
}

// A line that begins with /. False: the end.
static bool chat_command(dialogue *d, const char *line, int *code) {
    size_t n = strcspn(line, " \t");
    const char *rest = line + n + strspn(line + n, " \t");
    if ((strncmp(line, "/quit", n) == 0 && n == 5) || (strncmp(line, "/exit", n) == 0 && n == 5))
        return false;
    if (strncmp(line, "/reset", n) == 0 && n == 6) {
        dialogue_forget(d, 0);
    } else if (strncmp(line, "/system", n) == 0 && n == 7) {
        dialogue_forget(d, 0);
        free(d->system);
        d->system = *rest ? copy_of(rest) : NULL;
        if (*rest && !d->system) *code = EXIT_MEMORY;
    } else if (strncmp(line, "/help", n) == 0 && n == 5) {
        fputs(chat_help, stderr);
    } else {
        fprintf(stderr,
                "peft chat: there is no %.*s; there are /system, /reset, /help and /quit, and // begins a "
                "text with /\n",
                (int)n, line);
        *code = EXIT_USAGE;
    }
    return true;
}

// On a terminal a mistake can be made good; elsewhere it is the end.
static int chat_lines(dialogue *d, const peft_generate_desc *desc) {
    bool person = is_terminal(stdin), first = true, on = true;
    int code = EXIT_OK;
    while (on && (!code || person)) {
        if (person) fprintf(stderr, "> ");
        fflush(stderr);
        char *line = read_line(stdin, &code);
        if (!line) break;
        char *text = line + (first ? utf8_mark(line, strlen(line)) : 0);
        first = false;
        code = EXIT_OK;
        if (*text == '/' && text[1] != '/') on = chat_command(d, text, &code);
        else if (text[strspn(text, " \t")])
            code = dialogue_add(d, copy_of(text + (*text == '/'))) ? chat_answer(d, desc) : EXIT_MEMORY;
        free(line);
        if (interrupted && !person) return EXIT_INTERRUPTED;
        interrupted = 0;
    }
    if (person && on) fprintf(stderr, "\n");
    return person ? EXIT_OK : code;
}

static bool has_virtual_tokens(const opened *o) {
    for (int i = 0; i < o->count; i++) {
        peft_method method = peft_adapter_settings(o->adapters[i])->method;
        if (method == PEFT_PROMPT_TUNING || method == PEFT_PREFIX_TUNING || method == PEFT_P_TUNING)
            return true;
    }
    return false;
}

static int run_chat(void) {
    if (cli.rest.count != 1)
        return wrong(
            "give a model folder; what you say comes from the terminal or from standard input, a line each");
    opened o;
    dialogue d = {0};
    peft_session *session = NULL;
    int code = open_all(cli.rest.items[0], &talk.adapters, &o);
    if (!code && !peft_model_tokenizer(o.model)) code = wrong("%s has no tokenizer", cli.rest.items[0]);
    if (!code)
        code = open_chat(cli.rest.items[0], peft_model_tokenizer(o.model), input.chat_template, &d.chat);
    d.model = o.model;
    if (!code && talk.system && !(d.system = unescape(talk.system))) code = EXIT_MEMORY;
    if (!code && !peft_model_config(o.model)->encoder_decoder && answers.beams < 2 &&
        !has_virtual_tokens(&o)) {
        peft_status status = peft_session_create(o.model, &session);
        if (status) code = fail(status);
    }
    if (!code) {
        peft_generate_desc desc = generation(o.model, NULL);
        int64_t window = peft_model_config(o.model)->max_positions;
        if (!desc.max_new_tokens) desc.max_new_tokens = window && window < 512 ? window / 2 : 256;
        desc.adapters = o.count ? o.active : NULL, desc.adapter_count = o.count, desc.session = session;
        if (is_terminal(stdin) && !cli.quiet)
            fprintf(stderr, "%s; /help shows what else can be typed\n", cli.rest.items[0]);
        code = chat_lines(&d, &desc);
    }
    peft_session_destroy(session);
    dialogue_free(&d);
    peft_chat_close(d.chat);
    close_all(&o);
    return code;
}

#endif
