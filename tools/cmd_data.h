// The data of train, eval, generate, sweep, compare and forget is opened here, whatever form it has: files
// under one template or several, conversations, mixtures of tasks.
#ifndef PEFT_CMD_DATA_H
#define PEFT_CMD_DATA_H

static struct {
    texts data, prompts, completions, choices, templates, styles, tasks;
    int64_t limit, cap, max_source;
    double mix_temperature;
    const char *format, *quotes, *loss_on, *chat_template;
    bool talks;         // conversations were among the files
    bool prompts_only;  // nobody asks for the right answers
    bool as_turns;      // prompts become a user's turns: --chat-template is of these
} input;

#define PROMPT_OPTION \
    {"prompt", OPTION_TEXTS, &input.prompts, "TEXT", \
     "template of the input, e.g. \"Summarize: {{dialogue}}\" ({{prompt}}); one for all or one per " \
     "--data; several behind a --data are a mixture"}
#define COMPLETION_OPTION \
    {"completion", OPTION_TEXTS, &input.completions, "TEXT", \
     "template of the answer ({{completion}}), if it is not behind ||| in --prompt; one for all or one " \
     "per --prompt"}
#define CHAT_TEMPLATE_OPTION {"chat-template", OPTION_TEXT, &input.chat_template, "NAME", \
     "of conversations: chatml, llama2, llama3, a file with Jinja, or one of several that the model " \
     "has (the model's)"}
#define DATA_OPTIONS \
    HEADING("Data"), \
    {"data", OPTION_TEXTS, &input.data, "FILE", \
     ".jsonl, .json, .csv or .tsv; -: standard input; can be repeated"}, \
    PROMPT_OPTION, \
    {"template", OPTION_TEXTS, &input.templates, "FILE", \
     "promptsource's templates.yaml, or a JSON list of [prompt, completion]: all of them, or " \
     "FILE:NAME; can be repeated; those behind a --data are its own"}, \
    {"template-style", OPTION_TEXTS, &input.styles, "NAME", \
     "of --prompt and of JSON lists: jinja (default), or flan: fields in single braces; behind one of " \
     "several --data: its own"}, \
    {"answer-choices", OPTION_TEXTS, &input.choices, "TEXT", \
     "template of the answers to choose from, ||| between them; one for all or one per --prompt"}, \
    {"task", OPTION_TEXTS, &input.tasks, "NAME", \
     "what the --data before it is called in reports (its file's name)"}, \
    {"loss-on", OPTION_WORD, &input.loss_on, "NAME", \
     "of conversations ({\"messages\"}, ShareGPT, Alpaca): assistant's turns (default), the last of " \
     "them, or all"}, \
    CHAT_TEMPLATE_OPTION, \
    {"limit", OPTION_COUNT, &input.limit, "N", "only the first N examples of a file"}, \
    {"data-format", OPTION_WORD, &input.format, "NAME", \
     "jsonl, json, csv or tsv (what the file's name says)"}, \
    {"quotes", OPTION_WORD, &input.quotes, "NAME", \
     "of tables: rfc4180 (default), or none: characters like others"}
#define MAX_SOURCE_OPTION {"max-source", OPTION_COUNT, &input.max_source, "N", \
     "tokens of the input (512): of conversations the oldest turns give way, of other texts the end is cut"}
#define MIXTURE_OPTIONS \
    {"cap", OPTION_COUNT, &input.cap, "N", "a task counts for at most N examples of the mixture (none)"}, \
    {"temperature-mix", OPTION_ABOVE, &input.mix_temperature, "X", \
     "above 1: small tasks get more of the mixture (1)"}

// ---- one file

// One object over several lines is no file of examples, but looks like one: says so and how to make it one.
// False: it is something else.
static bool tell_single_object(const char *path) {
    static const char kind[] = "{% if file is mapping %}.{% for k in file if file[k] is iterable and file[k] "
                               "is not string and file[k] is not mapping %}"
                               "{% if loop.first %}{{ k }}[]{% endif %}{% endfor %}{% endif %}";
    text_buffer json = {0};
    if (strcmp(path, "-") == 0) return false;
    char *text = read_file(path, NULL), *whole, *list = NULL;
    if (text && text[strspn(text, " \t\r\n\xEF\xBB\xBF")] == '{') {
        buffer_puts(&json, "{\"file\":");
        buffer_puts(&json, text + utf8_mark(text, strlen(text)));
        buffer_puts(&json, "}");
    }
    whole = buffer_take(&json);
    free(text);
    if (whole && *whole) list = json_part(whole, kind);
    free(whole);
    if (!list || !*list) return false;
    fprintf(stderr,
            "peft %s: %s is one JSON object over several lines. Examples are an object a line, or a list of "
            "them: [{...}, {...}]. To make it so:\n"
            "  jq -c '%s' %s > %s.lines.jsonl\n",
            cli.command, path, list, path, path);
    peft_free(cli.ctx, list);
    return true;
}

// NULL: the default templates.
static int open_dataset(const char *path, int64_t limit, const named_template *t, peft_chat *chat,
                        peft_dataset **out) {
    peft_dataset_desc desc = {.context = cli.ctx,
                              .path = path,
                              .limit = limit,
                              .format = input.format,
                              .chat = chat,
                              .seed = (uint64_t)cli.seed};
    if (chat && !input.prompts_only) desc.max_source = input.max_source ? input.max_source : 512;
    if (t) desc.prompt = t->prompt, desc.completion = t->completion, desc.answer_choices = t->choices;
    if (input.prompts_only && !chat && !(t && !t->completion && strstr(t->prompt, "|||")))
        desc.completion = "";
    if (input.quotes)
        desc.quotes = strcmp(input.quotes, "none") == 0 ? PEFT_QUOTES_NONE : PEFT_QUOTES_RFC4180;
    if (t && t->flan) desc.style = PEFT_STYLE_FLAN;
    if (input.loss_on)
        desc.turns = strcmp(input.loss_on, "last") == 0  ? PEFT_TURNS_LAST
                     : strcmp(input.loss_on, "all") == 0 ? PEFT_TURNS_ALL
                                                         : PEFT_TURNS_ASSISTANT;
    peft_status status = peft_dataset_load(&desc, out);
    if (!status) return EXIT_OK;
    if (status == PEFT_ERROR_FORMAT && strstr(peft_error(cli.ctx), ":1: JSON:")) {
        char *why = copy_of(peft_error(cli.ctx));
        bool told = tell_single_object(path);
        if (!told) fprintf(stderr, "peft %s: %s\n", cli.command, why ? why : "");
        free(why);
        return EXIT_DATA;
    }
    if (!t || (!*t->name && !strstr(peft_error(cli.ctx), "would stand there as it is"))) return fail(status);
    fprintf(stderr, "peft %s: %s%s%s%s\n", cli.command, *t->name ? "template " : "", t->name,
            *t->name ? ": " : "", peft_error(cli.ctx));
    if (strstr(peft_error(cli.ctx), "would stand there as it is"))
        fprintf(stderr, "--template-style flan takes fields in single braces\n");
    return exit_code_of(status);
}

static int no_examples(const char *path) {
    fprintf(stderr, "peft %s: %s: no examples\n", cli.command, path);
    return EXIT_DATA;
}

// Whether a list of names, ", " between them, has this one.
static bool field_in(const char *fields, const char *name) {
    size_t n = strlen(name);
    for (const char *p = fields; p && *p; p = strstr(p, ", "), p = p ? p + 2 : NULL)
        if (strncmp(p, name, n) == 0 && (!p[n] || p[n] == ',')) return true;
    return false;
}

// Whether the first record is a conversation, and none of the prompts and completions that are the default.
static bool is_conversation(const char *path) {
    peft_dataset *data = NULL;
    peft_dataset_desc desc = {
        .context = cli.ctx, .path = path, .limit = 1, .format = input.format, .prompt = "", .completion = ""};
    if (input.as_turns) return false;
    if (input.loss_on || input.chat_template) return true;
    if (strcmp(path, "-") == 0 || peft_dataset_load(&desc, &data))
        return false;  // what is wrong is said later
    const char *fields = peft_dataset_fields(data);
    bool is = !(field_in(fields, "prompt") && field_in(fields, "completion")) &&
              (field_in(fields, "messages") || field_in(fields, "conversations") ||
               (field_in(fields, "instruction") && field_in(fields, "output")));
    peft_dataset_destroy(data);
    return is;
}

// The chat of conversations, with the tokenizer of the model that is the command's first argument.
static int open_conversations(const char *path, int64_t limit, peft_dataset **out) {
    peft_tokenizer *t = NULL;
    peft_chat *chat = NULL;
    peft_status status = peft_tokenizer_load(cli.ctx, cli.rest.items[0], &t);
    int code = status ? fail(status) : open_chat(cli.rest.items[0], t, input.chat_template, &chat);
    if (!code) code = open_dataset(path, limit, NULL, chat, out);
    peft_chat_close(chat);
    peft_tokenizer_destroy(t);
    return code;
}

// ---- which templates a file has

// The --data before the k-th time that a repeatable option was given; -1: before the first --data.
static int data_before(const char *option, int k) {
    int data = -1;
    for (int i = 0; i < options_given.count; i++) {
        if (strcmp(options_given.items[i], "data") == 0) data++;
        else if (strcmp(options_given.items[i], option) == 0 && k-- == 0) break;
    }
    return data;
}

// Whether each template is its own file's; else they are every file's. They have places if one stands behind
// a --data that is not the last one, or if a typed prompt does and they do not.
static bool templates_have_places(void) {
    bool places = false, behind_last = input.templates.count > 0;
    for (int k = 0; k < input.templates.count; k++) {
        int at = data_before("template", k);
        places = places || (at >= 0 && at + 1 < input.data.count);
        behind_last = behind_last && at >= 0;
    }
    for (int k = 0; k < input.prompts.count && behind_last; k++) {
        int at = data_before("prompt", k);
        places = places || (at >= 0 && at + 1 < input.data.count);
    }
    return places;
}

static bool has_template(int i) {
    bool has = input.templates.count > 0 && !templates_have_places();
    for (int k = 0; k < input.templates.count; k++) has = has || data_before("template", k) == i;
    return has;
}

// The typed template of file i out of `count` whose templates are typed.
static const char *template_of(const texts *t, int i, int count) {
    return !t->count ? NULL : t->items[t->count == 1 || t->count != count ? 0 : i];
}

static bool templates_add_typed(templates *out, const char *name, const char *prompt, const char *completion,
                                const char *choices) {
    return templates_add(out, copy_of(name), unescape(prompt ? prompt : "{{prompt}}"), unescape(completion),
                         unescape(choices), true);
}

static const struct {
    const texts *list;
    const char *name;
} typed_lists[] = {
    {&input.prompts, "prompt"}, {&input.completions, "completion"}, {&input.choices, "answer-choices"}};

// Of the k-th list, how many stand behind --data number `data`; *first is the first of them. A single --data
// has all.
static int typed_at(int k, int data, int *first) {
    int n = 0;
    *first = 0;
    for (int i = 0; i < typed_lists[k].list->count; i++)
        if (input.data.count == 1 || data_before(typed_lists[k].name, i) == data) *first = n++ ? *first : i;
    return n;
}

// Several prompts of one file are a mixture. A completion is then for all of the file's prompts, or there is
// one for each.
static int templates_typed_behind(int data, templates *out) {
    int first[COUNT(typed_lists)], n[COUNT(typed_lists)];
    bool elsewhere[COUNT(typed_lists)] = {
        false};  // a single one, behind another --data: for the prompts here that need one
    for (int k = 0; k < COUNT(typed_lists); k++) n[k] = typed_at(k, data, &first[k]);
    for (int k = 1; k < COUNT(typed_lists); k++) {
        if (!n[k] && typed_lists[k].list->count == 1) n[k] = 1, first[k] = 0, elsewhere[k] = true;
        if (n[k] > 1 && n[k] != n[0])
            return wrong("%d --%s for %d --prompt: give one for all, or one for each, in their order", n[k],
                         typed_lists[k].name, n[0]);
    }
    for (int i = 0; i < n[0]; i++) {
        char name[32] = "";
        const char *parts[COUNT(typed_lists)];
        if (n[0] > 1) snprintf(name, sizeof(name), "prompt %d", i + 1);
        for (int k = 0; k < COUNT(typed_lists); k++)
            parts[k] = n[k] ? typed_lists[k].list->items[first[k] + (n[k] > 1 ? i : 0)] : NULL;
        if (elsewhere[1] && strstr(parts[0], "|||")) parts[1] = NULL;
        if (elsewhere[2] && !strstr(parts[0], "answer_choices")) parts[2] = NULL;
        if (!templates_add_typed(out, name, parts[0], parts[1], parts[2])) return EXIT_MEMORY;
    }
    return EXIT_OK;
}

// Templates of file i of an option; none: the default ones, or a conversation's.
static int templates_of(const texts *files, const char *option, int i, templates *out) {
    bool as_data = files->count == input.data.count, places = templates_have_places(),
         from_file = as_data ? has_template(i) : input.templates.count > 0;
    int own = 0, before = 0, typed = 0, first;  // files without --template; those of them before this one
    if (!as_data && places)
        return wrong("--template is given per --data, but there are %d --%s for %d --data", files->count,
                     option, input.data.count);
    for (int k = 0; k < files->count; k++)
        if (!(as_data ? has_template(k) : from_file)) own++, before += k < i;
    for (int k = 0; k < COUNT(typed_lists); k++) {
        if (from_file && !own && typed_lists[k].list->count)
            return wrong("--template and --%s exclude each other", typed_lists[k].name);
        typed += typed_lists[k].list->count;
    }
    if (from_file) {
        int code = EXIT_OK;
        for (int k = 0; k < input.templates.count && !code; k++)
            if (!places || data_before("template", k) == i)
                code = templates_read(input.templates.items[k], out);
        return code;
    }
    if (!typed) return EXIT_OK;
    bool behind = as_data && typed_lists[0].list->count > own;  // more than one of some file
    for (int k = 0; k < files->count && behind; k++) behind = has_template(k) || typed_at(0, k, &first) > 0;
    if (behind) return templates_typed_behind(i, out);
    for (int k = 0; k < COUNT(typed_lists); k++)
        if (typed_lists[k].list->count > 1 && typed_lists[k].list->count != own)
            return wrong("%d --%s for %d --%s: give one for all, or one for each, in their order",
                         typed_lists[k].list->count, typed_lists[k].name, own, option);
    return templates_add_typed(out, "", template_of(&input.prompts, before, own),
                               template_of(&input.completions, before, own),
                               template_of(&input.choices, before, own))
               ? EXIT_OK
               : EXIT_MEMORY;
}

// Whether the typed templates of file i, and those of its JSON lists, are FLAN's.
static bool style_is_flan(int i) {
    bool flan = false;
    for (int k = 0; k < input.styles.count; k++) {
        int at = data_before("template-style", k);
        if (at < 0 || at == i || input.data.count < 2) flan = strcmp(input.styles.items[k], "flan") == 0;
    }
    return flan;
}

// ---- all files of an option

// One file under one template: a task of the mixture, or a part of one.
typedef struct data_part {
    char *task;
    peft_dataset *data;
} data_part;

typedef struct data_parts {
    data_part *items;
    int count;
} data_parts;

static void parts_close(data_parts *p) {
    for (int i = 0; i < p->count; i++) {
        free(p->items[i].task);
        peft_dataset_destroy(p->items[i].data);
    }
    free(p->items);
    memset(p, 0, sizeof(*p));
}

static bool parts_add(data_parts *p, const char *task, peft_dataset *data) {
    data_part *grown = (data_part *)realloc(p->items, (size_t)(p->count + 1) * sizeof(data_part));
    if (!grown) {
        peft_dataset_destroy(data);
        return false;
    }
    p->items = grown;
    p->items[p->count].task = copy_of(task);
    p->items[p->count].data = data;
    return p->items[p->count++].task != NULL;
}

// What file i is called in reports: --task behind it, or its own name without folder and ending. Of several
// templates without --task, a template's name, to which the file's is put where it is a number only.
static void task_name(const char *path, int i, const named_template *t, const data_parts *others, char *out,
                      size_t size) {
    const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path, *dot = strrchr(base, '.');
    size_t n = 0;
    for (int k = 0; k < input.tasks.count; k++)
        if (data_before("task", k) == i) {
            snprintf(out, size, "%s", input.tasks.items[k]);
            return;
        }
    snprintf(out, size, "%.*s", dot && dot > base ? (int)(dot - base) : (int)strlen(base), base);
    n = strlen(out);
    if (t && t->name[strspn(t->name, "0123456789")]) snprintf(out, size, "%s", t->name);
    else if (t) snprintf(out + n, size - n, " %s", t->name);
    n = strlen(out);
    for (int copy = 1, k = 0; k < others->count; k++)
        if (strcmp(others->items[k].task, out) == 0) snprintf(out + n, size - n, " (%d)", ++copy), k = -1;
}

static int data_check(void) {
    if (input.quotes && !named_in("none,rfc4180", input.quotes))
        return wrong("--quotes %s is not rfc4180 or none", input.quotes);
    for (int k = 0; k < input.styles.count; k++)
        for (char *p = (char *)(uintptr_t)input.styles.items[k]; *p; p++)
            *p = (char)tolower((unsigned char)*p);
    for (int k = 0; k < input.styles.count; k++)
        if (!named_in("jinja,flan", input.styles.items[k]))
            return wrong("--template-style %s is not jinja or flan", input.styles.items[k]);
    if (input.styles.count && !input.prompts.count && !input.completions.count && !input.templates.count)
        return wrong("--template-style is of --prompt, --completion and --template");
    if (input.loss_on && !named_in("assistant,last,all", input.loss_on))
        return wrong("--loss-on %s is not assistant, last or all", input.loss_on);
    if (input.cap < 0) return wrong("--cap %lld is negative", (long long)input.cap);
    for (int k = 0; k < input.tasks.count; k++) {
        int at = data_before("task", k);
        if (at < 0)
            return wrong("--task %s names the --data before it, and there is none", input.tasks.items[k]);
        if (k && at == data_before("task", k - 1))
            return wrong("--task %s: the --data before it is named %s already", input.tasks.items[k],
                         input.tasks.items[k - 1]);
    }
    return EXIT_OK;
}

// File i of an option under each of its templates. *talks: it holds conversations.
static int parts_open_file(const texts *files, const char *option, int i, int64_t limit, data_parts *out,
                           bool *talks) {
    const char *path = files->items[i];
    bool as_data = files->count == input.data.count;
    templates list = {NULL, 0};
    int64_t found = 0;
    int code = templates_of(files, option, i, &list);
    for (int k = 0; k < list.count; k++)
        list.items[k].flan = list.items[k].flan && style_is_flan(as_data ? i : 0);
    if (!code && list.count > 1 && strcmp(path, "-") == 0)
        code = wrong("standard input can be read once, under one template: there are %d", list.count);
    *talks = !code && !list.count && is_conversation(path);
    input.talks = input.talks || *talks;
    for (int k = 0; k < (list.count ? list.count : 1) && !code; k++) {
        const named_template *t = list.count ? &list.items[k] : NULL;
        peft_dataset *data = NULL;
        char name[160];
        code = *talks ? open_conversations(path, limit, &data) : open_dataset(path, limit, t, NULL, &data);
        if (code) break;
        found += peft_dataset_count(data);
        if (!peft_dataset_count(data) && list.count > 1) {
            fprintf(stderr, "peft %s: template %s gives nothing for %s and is left out\n", cli.command,
                    t->name, path);
            peft_dataset_destroy(data);
            continue;
        }
        task_name(as_data ? input.data.items[i] : path, as_data ? i : -2, list.count > 1 ? t : NULL, out,
                  name, sizeof(name));
        if (!parts_add(out, name, data)) code = EXIT_MEMORY;
    }
    templates_free(&list);
    return !code && !found ? no_examples(path) : code;
}

static int parts_open(const texts *files, const char *option, int64_t limit, data_parts *out) {
    int code = data_check();
    bool any = false, talks = false;
    for (int i = 0; i < files->count && !code; i++) {
        code = parts_open_file(files, option, i, limit, out, &talks);
        any = any || talks;
    }
    if (!code && input.loss_on && !any)
        return wrong("--loss-on is of conversations; the files of --%s have templates", option);
    return code;
}

// Which task each example of a dataset is of. Of a dataset without tasks: count 0.
typedef struct task_list {
    char **names;
    int count;
    int *of;  // [examples]
} task_list;

static void tasks_free(task_list *t) {
    for (int i = 0; i < t->count; i++) free(t->names[i]);
    free(t->names);
    free(t->of);
    memset(t, 0, sizeof(*t));
}

// The number of a task; a new one where it is not known. -1: no memory.
static int tasks_find(task_list *t, const char *name) {
    for (int i = 0; i < t->count; i++)
        if (strcmp(t->names[i], name) == 0) return i;
    char **grown = (char **)realloc(t->names, (size_t)(t->count + 1) * sizeof(char *));
    if (!grown) return -1;
    t->names = grown;
    return (t->names[t->count] = copy_of(name)) ? t->count++ : -1;
}

// Those of a mixture, or of a part of one; the names that `out` has already come first.
static int tasks_of_mixture(const peft_dataset *data, task_list *out) {
    int64_t n = peft_dataset_count(data);
    if (!n || !peft_dataset_task(data, 0)) return EXIT_OK;
    if (!(out->of = (int *)calloc((size_t)n, sizeof(int)))) return EXIT_MEMORY;
    for (int64_t i = 0; i < n; i++)
        if ((out->of[i] = tasks_find(out, peft_dataset_task(data, i))) < 0) return EXIT_MEMORY;
    return EXIT_OK;
}

// All files of an option as one dataset, in their order. `tasks` may be NULL.
static int open_datasets(const texts *files, const char *option, int64_t limit, task_list *tasks,
                         peft_dataset **out) {
    data_parts parts = {NULL, 0};
    int code = parts_open(files, option, limit, &parts);
    *out = NULL;
    if (tasks) memset(tasks, 0, sizeof(*tasks));
    if (!code && parts.count == 1 && !(tasks && input.tasks.count)) {
        *out = parts.items[0].data, parts.items[0].data = NULL;
    } else if (!code) {
        const peft_dataset **list =
            (const peft_dataset **)calloc((size_t)parts.count, sizeof(peft_dataset *));
        for (int i = 0; i < parts.count && list; i++) list[i] = parts.items[i].data;
        peft_status status = list ? peft_dataset_join(list, parts.count, out) : PEFT_ERROR_MEMORY;
        free((void *)list);
        if (status) code = fail(status);
        if (!code && tasks) tasks->of = (int *)calloc((size_t)peft_dataset_count(*out) + 1, sizeof(int));
        for (int64_t i = 0, at = 0; i < parts.count && !code && tasks; i++) {
            int task = tasks->of ? tasks_find(tasks, parts.items[i].task) : -1;
            if (task < 0) code = EXIT_MEMORY;
            for (int64_t k = 0; k < peft_dataset_count(parts.items[i].data) && !code; k++)
                tasks->of[at++] = task;
        }
    }
    parts_close(&parts);
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
            "peft %s: all %lld completions are \"%.80s\": there is nothing to learn from them. The "
            "completion's template is \"%s\"%s%s\n",
            cli.command, (long long)n, peft_dataset_completion(data, 0),
            input.completions.count ? input.completions.items[0] : "{{completion}}",
            *fields ? "; fields that there are: " : "", fields);
    return EXIT_DATA;
}

// The parts that have one task's name are joined into the first of them; the others go.
static peft_status parts_join_tasks(data_parts *p) {
    peft_status status = PEFT_OK;
    int kept = 0;
    for (int i = 0; i < p->count; i++) {
        int same = 0;
        while (same < kept && strcmp(p->items[same].task, p->items[i].task) != 0) same++;
        if (same == kept) {
            p->items[kept++] = p->items[i];
            continue;
        }
        const peft_dataset *both[] = {p->items[same].data, p->items[i].data};
        peft_dataset *joined = NULL;
        if (!status) status = peft_dataset_join(both, 2, &joined);
        if (joined) peft_dataset_destroy(p->items[same].data), p->items[same].data = joined;
        peft_dataset_destroy(p->items[i].data);
        free(p->items[i].task);
    }
    p->count = kept;
    return status;
}

// Several files or templates are a mixture of tasks, whose names go to `tasks` (NULL: nobody asks).
static int open_lessons(peft_dataset **out, task_list *tasks) {
    data_parts parts = {NULL, 0};
    int code = parts_open(&input.data, "data", input.limit, &parts), given = parts.count;
    *out = NULL;
    if (!code && given == 1 && !input.cap && !input.tasks.count) {
        *out = parts.items[0].data, parts.items[0].data = NULL;
    } else if (!code) {
        peft_status status = parts_join_tasks(&parts);
        const peft_dataset **list =
            (const peft_dataset **)calloc((size_t)parts.count, sizeof(peft_dataset *));
        const char **names = (const char **)calloc((size_t)parts.count, sizeof(char *));
        for (int i = 0; i < parts.count && list && names; i++)
            list[i] = parts.items[i].data, names[i] = parts.items[i].task;
        if (!list || !names) status = PEFT_ERROR_MEMORY;
        if (!status)
            status = peft_dataset_mix(&(peft_mix_desc){.datasets = list,
                                                       .names = names,
                                                       .count = parts.count,
                                                       .cap = input.cap,
                                                       .temperature = input.mix_temperature,
                                                       .seed = (uint64_t)cli.seed},
                                      out);
        free((void *)list);
        free((void *)names);
        if (status) code = fail(status);
        for (int i = 0; i < parts.count && tasks && !code; i++)
            if (tasks_find(tasks, parts.items[i].task) < 0) code = EXIT_MEMORY;
    }
    parts_close(&parts);
    if (!code && given == 1 && input.mix_temperature != 0)
        code = wrong("--temperature-mix is of several tasks, and there is one");
    return code ? code : check_lessons(*out);
}

// ---- datasets made here

static struct {
    char **texts;
    int count;
} mounted;  // what datasets were read from must stay as long as the context

static void mounted_free(void) {
    for (int i = 0; i < mounted.count; i++) free(mounted.texts[i]);
    free(mounted.texts);
}

// The examples of some prompts and completions, as if they had been read from a file.
static peft_status make_dataset(const char *const *prompts, const char *const *completions, int64_t count,
                                peft_dataset **out) {
    text_buffer lines = {0};
    char path[64];
    char **grown = (char **)realloc(mounted.texts, (size_t)(mounted.count + 1) * sizeof(char *));
    *out = NULL;
    if (!grown) return PEFT_ERROR_MEMORY;
    mounted.texts = grown;
    for (int64_t i = 0; i < count; i++) {
        buffer_puts(&lines, "{\"prompt\":");
        buffer_json(&lines, prompts[i]);
        buffer_puts(&lines, ",\"completion\":");
        buffer_json(&lines, completions[i]);
        buffer_puts(&lines, "}\n");
    }
    size_t size = lines.size;
    char *text = buffer_take(&lines);
    if (!text) return PEFT_ERROR_MEMORY;
    snprintf(path, sizeof(path), "examples made here, %d.jsonl", mounted.count);
    mounted.texts[mounted.count++] = text;
    peft_status status = peft_mount(cli.ctx, path, text, size);
    return status ? status : peft_dataset_load(&(peft_dataset_desc){.context = cli.ctx, .path = path}, out);
}

#endif
