// Templates from files: promptsource's templates.yaml as it is published, and JSON lists of [prompt,
// completion] as FLAN has them. A template has a name, by which FILE:NAME asks for it.
#ifndef PEFT_CMD_TEMPLATES_H
#define PEFT_CMD_TEMPLATES_H

// ---- YAML, as much of it as its own writers make of maps, lists and texts

typedef struct yaml_node {
    char *key, *text;  // NULL: an item of a list; neither a text nor an alias
    bool nothing;      // null or ~ without quotes
    struct yaml_node *child, *next;
} yaml_node;

typedef struct yaml {
    const char *path, *text, *p;
    const char *line;    // where the line of p begins
    const char *wrong;   // the first thing that was not understood; after it nothing is read
    const char *wrong_at;
    int depth;
} yaml;

enum { YAML_DEPTH = 64 };

static void yaml_free(yaml_node *n) {
    while (n) {
        yaml_node *next = n->next;
        yaml_free(n->child);
        free(n->key);
        free(n->text);
        free(n);
        n = next;
    }
}

static void yaml_wrong(yaml *y, const char *why) {
    if (!y->wrong) y->wrong = why, y->wrong_at = y->p;
    y->p += strlen(y->p);
}

static int yaml_column(const yaml *y) { return (int)(y->p - y->line); }
static bool yaml_space(char c) { return c == ' ' || c == '\t'; }
static bool yaml_line_end(char c) { return c == 0 || c == '\n' || c == '\r'; }

static void yaml_spaces(yaml *y) {
    while (yaml_space(*y->p)) y->p++;
}

// Over a line end, if there is one at p.
static bool yaml_break(yaml *y) {
    if (*y->p == '\r' && y->p[1] == '\n') y->p++;
    if (*y->p != '\n' && *y->p != '\r') return false;
    y->line = ++y->p;
    return true;
}

static bool yaml_behind_value(const yaml *y) {
    return yaml_line_end(*y->p) || (*y->p == '#' && (y->p == y->line || yaml_space(y->p[-1])));
}

// To the first character of the next line that has something. False: there is none.
static bool yaml_next(yaml *y) {
    for (;;) {
        while (*y->p == ' ') y->p++;
        if (*y->p == '#' || (y->p == y->line && strncmp(y->p, "---", 3) == 0 && yaml_line_end(y->p[3])))
            y->p += strcspn(y->p, "\r\n");
        const char *tabs = y->p + strspn(y->p, "\t ");
        if (yaml_line_end(*tabs)) y->p = tabs;
        if (!*y->p || (y->p == y->line && strncmp(y->p, "...", 3) == 0)) return false;
        if (!yaml_break(y)) return true;
    }
}

// The line break of a text that goes on: one break is a blank, each empty line behind it a line break.
static void yaml_fold(yaml *y, text_buffer *out) {
    int breaks = 0;
    while (yaml_break(y)) breaks++, yaml_spaces(y);
    if (breaks == 1) buffer_add(out, " ", 1);
    while (breaks-- > 1) buffer_add(out, "\n", 1);
}

static void yaml_escape(yaml *y, text_buffer *out) {
    static const char from[] = "0abt\tnvfre \"\\/N_LP",
                      *const to[] = {"",         "\a",       "\b",           "\t",          "\t", "\n", "\v",
                                     "\f",       "\r",       "\x1b",         " ",           "\"", "\\", "/",
                                     "\xC2\x85", "\xC2\xA0", "\xE2\x80\xA8", "\xE2\x80\xA9"};
    const char *known = *y->p ? strchr(from, *y->p) : NULL;
    int digits = *y->p == 'x' ? 2 : *y->p == 'u' ? 4 : *y->p == 'U' ? 8 : 0;
    unsigned long code = 0;
    if (yaml_line_end(*y->p)) {  // the line goes on without a blank
        yaml_break(y);
        yaml_spaces(y);
        while (yaml_break(y)) buffer_add(out, "\n", 1), yaml_spaces(y);
        return;
    }
    if (known && *y->p != '0') {
        buffer_puts(out, to[known - from]);
        y->p++;
        return;
    }
    y->p++;
    for (int i = 0; i < digits; i++, y->p++) {
        if (!isxdigit((unsigned char)*y->p)) break;
        code = 16 * code + (unsigned long)(isdigit((unsigned char)*y->p)
                                               ? *y->p - '0'
                                               : tolower((unsigned char)*y->p) - 'a' + 10);
    }
    if (!code || code > 0x10FFFF) yaml_wrong(y, "an escape that is not known, or a NUL");
    else buffer_code(out, (uint32_t)code);
}

static void yaml_quoted(yaml *y, text_buffer *out) {
    char quote = *y->p++;
    for (;;) {
        const char *begin = y->p;
        while (*y->p && *y->p != quote && *y->p != '\\' && !yaml_line_end(*y->p)) y->p++;
        if (*y->p == '\\' && quote == '\'') {
            y->p++;
            buffer_add(out, begin, (size_t)(y->p - begin));
            continue;
        }
        const char *end = y->p;
        while (yaml_line_end(*y->p) && end > begin && yaml_space(end[-1])) end--;
        buffer_add(out, begin, (size_t)(end - begin));
        if (!*y->p) {
            yaml_wrong(y, "a quoted text that does not end");
            return;
        }
        if (*y->p == '\\') y->p++, yaml_escape(y, out);
        else if (*y->p != quote) yaml_fold(y, out);
        else if (quote == '\'' && y->p[1] == quote) buffer_add(out, "'", 1), y->p += 2;
        else break;
    }
    y->p++;
}

// A text without quotes, in the lines that are indented further than `indent`.
static void yaml_plain(yaml *y, int indent, text_buffer *out) {
    for (;;) {
        const char *begin = y->p, *end = y->p;
        for (; !yaml_behind_value(y); y->p++) {
            if (*y->p == ':' && (yaml_space(y->p[1]) || yaml_line_end(y->p[1]))) {
                yaml_wrong(y, "a text with a colon in it needs quotes");
                return;
            }
            if (!yaml_space(*y->p)) end = y->p + 1;
        }
        buffer_add(out, begin, (size_t)(end - begin));
        if (*y->p == '#') return;
        yaml ahead = *y;
        while (yaml_break(&ahead)) yaml_spaces(&ahead);
        if (!*ahead.p || yaml_column(&ahead) <= indent || *ahead.p == '#') return;
        yaml_fold(y, out);
    }
}

// "|" keeps lines as they are, ">" folds those that are not indented further.
static void yaml_block(yaml *y, int parent, text_buffer *out) {
    bool folded = *y->p++ == '>', first = true, was_flush = false;
    char chomp = 0;
    int indent = 0;
    for (; *y->p == '+' || *y->p == '-' || isdigit((unsigned char)*y->p); y->p++)
        if (isdigit((unsigned char)*y->p)) indent = (parent < 0 ? 0 : parent) + *y->p - '0';
        else chomp = *y->p;
    yaml_spaces(y);
    if (!yaml_behind_value(y)) yaml_wrong(y, "text behind the mark of a block");
    y->p += strcspn(y->p, "\r\n");
    yaml_break(y);
    int breaks = 0;
    for (;;) {
        while (*y->p == ' ' && (!indent || yaml_column(y) < indent)) y->p++;
        if (*y->p == '\n' || *y->p == '\r') {
            yaml_break(y);
            breaks++;
            continue;
        }
        if (!indent && yaml_column(y) > parent) indent = yaml_column(y);
        if (!*y->p || !indent || yaml_column(y) < indent) break;
        bool flush = !yaml_space(*y->p), joined = folded && !first && was_flush && flush;
        if (joined && breaks == 1) buffer_add(out, " ", 1);
        for (int i = joined ? 1 : 0; i < breaks; i++) buffer_add(out, "\n", 1);
        size_t n = strcspn(y->p, "\r\n");
        buffer_add(out, y->p, n);
        y->p += n;
        breaks = yaml_break(y);
        first = false, was_flush = flush;
    }
    if (first && chomp != '+') breaks = 0;
    if (chomp == '-') breaks = 0;
    if (!chomp && breaks > 1) breaks = 1;
    while (breaks-- > 0) buffer_add(out, "\n", 1);
    y->p = y->line;
}

// [a, b] and {a: b}: none of these is a text that a template needs.
static void yaml_flow(yaml *y) {
    int open = 0;
    text_buffer ignored = {0};
    do {
        open += *y->p == '[' || *y->p == '{';
        open -= *y->p == ']' || *y->p == '}';
        if (*y->p == '"' || *y->p == '\'') yaml_quoted(y, &ignored);
        else if (!yaml_break(y)) y->p += *y->p != 0;
    } while (open > 0 && *y->p);
    buffer_free(&ignored);
    if (open > 0) yaml_wrong(y, "a list or map that is not closed");
}

// Whether a key stands here: a text in one line and a colon behind it.
static bool yaml_at_key(const yaml *y) {
    yaml ahead = *y;
    if (*ahead.p == '"' || *ahead.p == '\'') {
        text_buffer ignored = {0};
        yaml_quoted(&ahead, &ignored);
        buffer_free(&ignored);
        return !ahead.wrong && ahead.line == y->line && *ahead.p == ':';
    }
    for (; !yaml_behind_value(&ahead); ahead.p++)
        if (*ahead.p == ':' && (yaml_space(ahead.p[1]) || yaml_line_end(ahead.p[1]))) return true;
    return false;
}

static bool yaml_at_item(const yaml *y) {
    return *y->p == '-' && (yaml_space(y->p[1]) || yaml_line_end(y->p[1]));
}

static void yaml_value(yaml *y, int indent, yaml_node *into);

// The pairs of a map, or the items of a list, that begin in the column where p is.
static void yaml_children(yaml *y, yaml_node *into) {
    int column = yaml_column(y);
    bool list = yaml_at_item(y);
    yaml_node **tail = &into->child;
    if (++y->depth > YAML_DEPTH) yaml_wrong(y, "nested too deeply");
    while (!y->wrong && yaml_next(y) && yaml_column(y) == column && yaml_at_item(y) == list) {
        yaml_node *n = *tail = (yaml_node *)calloc(1, sizeof(yaml_node));
        text_buffer key = {0};
        if (!n) break;
        tail = &n->next;
        if (list) {
            y->p++;
        } else if (!yaml_at_key(y)) {
            yaml_wrong(y, "a line without a key");
        } else if (*y->p == '"' || *y->p == '\'') {
            yaml_quoted(y, &key);
        } else {
            const char *begin = y->p;
            while (*y->p != ':' || (!yaml_space(y->p[1]) && !yaml_line_end(y->p[1]))) y->p++;
            buffer_add(&key, begin, (size_t)(y->p - begin));
        }
        if (!list && !y->wrong) n->key = buffer_take(&key), y->p++;
        buffer_free(&key);
        if (!y->wrong) yaml_value(y, column, n);
    }
    if (!y->wrong && yaml_next(y) && yaml_column(y) > column)
        yaml_wrong(y, "a line that is indented further than those before it");
    y->depth--;
}

// What stands behind "key:" or "-" in the column `indent`.
static void yaml_value(yaml *y, int indent, yaml_node *into) {
    text_buffer out = {0};
    bool text = true, at_line = false;
    yaml_spaces(y);
    while (*y->p == '!' || *y->p == '&') {  // tags and anchors
        into->nothing = into->nothing || strncmp(y->p, "!!null", 6) == 0;
        y->p += strcspn(y->p, " \t\r\n");
        yaml_spaces(y);
    }
    if (yaml_behind_value(y)) {
        bool more = yaml_next(y);
        at_line = true;
        if (!more || yaml_column(y) < indent ||
            (yaml_column(y) == indent && (!into->key || !yaml_at_item(y)))) {
            if (more) y->p = y->line;
            return;
        }
    }
    bool compact = !at_line && !into->key && (yaml_at_item(y) || yaml_at_key(y));  // "- key: value"
    if (compact || (at_line && (yaml_at_item(y) || yaml_at_key(y)))) {
        yaml_children(y, into);
        return;
    }
    if (*y->p == '|' || *y->p == '>') {
        yaml_block(y, indent, &out);
    } else {
        if (*y->p == '"' || *y->p == '\'') yaml_quoted(y, &out);
        else if (*y->p == '[' || *y->p == '{') yaml_flow(y), text = false;
        else yaml_plain(y, indent, &out), into->nothing = out.data && named_in("null,Null,NULL,~", out.data);
        yaml_spaces(y);
        if (!y->wrong && !yaml_behind_value(y)) yaml_wrong(y, "text behind the value");
        y->p += strcspn(y->p, "\r\n");
        yaml_break(y);
    }
    if (text) into->text = buffer_take(&out);
    buffer_free(&out);
}

// The map that a file is; `root` is to be freed with yaml_free(root->child).
static int yaml_read(const char *path, const char *text, yaml_node *root) {
    yaml y = {path, text, text, text, NULL, NULL, 0};
    memset(root, 0, sizeof(*root));
    if (yaml_next(&y)) yaml_children(&y, root);
    if (!y.wrong && yaml_next(&y)) yaml_wrong(&y, "a line that belongs to nothing before it");
    if (!y.wrong) return EXIT_OK;
    int line = 1;
    for (const char *p = text; p < y.wrong_at; p++) line += *p == '\n';
    fprintf(stderr, "peft %s: %s:%d: %s\n", cli.command, path, line, y.wrong);
    return EXIT_DATA;
}

static const yaml_node *yaml_get(const yaml_node *map, const char *key) {
    for (const yaml_node *n = map ? map->child : NULL; n; n = n->next)
        if (n->key && strcmp(n->key, key) == 0) return n;
    return NULL;
}

// ---- templates with their names

typedef struct named_template {
    char *name, *prompt, *completion,
        *choices;  // completion NULL: behind ||| in the prompt; choices NULL: none
    bool flan;                                   // fields in single braces, where --template-style says so
} named_template;

typedef struct templates {
    named_template *items;
    int count;
} templates;

static void templates_free(templates *t) {
    for (int i = 0; i < t->count; i++) {
        free(t->items[i].name);
        free(t->items[i].prompt);
        free(t->items[i].completion);
        free(t->items[i].choices);
    }
    free(t->items);
    memset(t, 0, sizeof(*t));
}

// Takes the four texts over. False: no memory.
static bool templates_add(templates *t, char *name, char *prompt, char *completion, char *choices,
                          bool flan) {
    named_template *grown =
        (named_template *)realloc(t->items, (size_t)(t->count + 1) * sizeof(named_template));
    if (grown) {
        named_template added = {name, prompt, completion, choices, flan};
        t->items = grown;
        t->items[t->count++] = added;
    } else {
        free(name), free(prompt), free(completion), free(choices);
    }
    return grown && name && prompt;
}

static char *copy_of(const char *text) {
    char *copy = text ? (char *)malloc(strlen(text) + 1) : NULL;
    if (copy) strcpy(copy, text);
    return copy;
}

// promptsource's file: under "templates", each by its id, a name, the Jinja text and maybe answer_choices.
static int templates_of_yaml(const char *path, const char *text, templates *out) {
    yaml_node root;
    int code = yaml_read(path, text, &root);
    const yaml_node *list = yaml_get(&root, "templates");
    if (!code && (!list || !list->child)) {
        fprintf(stderr,
                "peft %s: %s: no templates in it: promptsource's files have them under \"templates:\"\n",
                cli.command, path);
        code = EXIT_DATA;
    }
    for (const yaml_node *n = list ? list->child : NULL; n && !code; n = n->next) {
        const yaml_node *name = yaml_get(n, "name"), *jinja = yaml_get(n, "jinja"),
                        *choices = yaml_get(n, "answer_choices");
        bool chosen = choices && choices->text && *choices->text && !choices->nothing;
        if (!name || !name->text || !jinja || !jinja->text) {
            fprintf(stderr, "peft %s: %s: template %s has no %s\n", cli.command, path, n->key ? n->key : "",
                    name && name->text ? "jinja" : "name");
            code = EXIT_DATA;
        } else if (!templates_add(out, copy_of(name->text), copy_of(jinja->text), NULL,
                                  chosen ? copy_of(choices->text) : NULL, false)) {
            code = EXIT_MEMORY;
        }
    }
    yaml_free(root.child);
    return code;
}

// A JSON value by an expression of Jinja, of {"file": the value}. NULL: an error was set.
static char *json_part(const char *json, const char *expression) {
    char *out = NULL;
    return peft_template_fill(cli.ctx, expression, json, &out) ? NULL : out;
}

// A line for each pair, its name; "!" before what is no pair.
static const char json_pair_names[] =
    "{%- macro pairs(list, of) %}"
    "{% if list is string or list is mapping or list is not iterable %}!{{ of }}\n{% else %}"
    "{% for p in list %}"
    "{% if p is string or p is mapping or p is not iterable or p|length != 2 or p[0] is not string or p[1] "
    "is not string %}!{% endif %}"
    "{{ of }}{{ loop.index }}\n"
    "{% endfor %}{% endif %}{% endmacro %}"
    "{% if file is mapping %}{% for k in file %}{{ pairs(file[k], k ~ '.') }}{% endfor %}"
    "{% else %}{{ pairs(file, '') }}{% endif %}";

// The prompt (0) or the completion (1) of the pair that has this name, to be freed. NULL: an error was set.
static char *json_pair_text(const char *json, const char *name, int which) {
    const char *dot = strrchr(name, '.');
    text_buffer b = {0};
    buffer_puts(&b, "{% set list = file");
    if (dot) buffer_puts(&b, "['");
    for (const char *p = name; dot && p < dot; p++) {
        if (*p == '\'' || *p == '\\') buffer_add(&b, "\\", 1);
        buffer_add(&b, p, 1);
    }
    if (dot) buffer_puts(&b, "']");
    buffer_print(&b, " %%}{{ list[%d][%d] }}", atoi(dot ? dot + 1 : name) - 1, which);
    char *expression = buffer_take(&b), *value = expression ? json_part(json, expression) : NULL;
    char *copy = copy_of(value);
    peft_free(cli.ctx, value);
    free(expression);
    return copy;
}

// [[prompt, completion], ...], whose names are 1, 2, ...; or {"task": [[prompt, completion], ...], ...},
// whose names are task.1, task.2, ...
static int templates_of_json(const char *path, const char *text, templates *out) {
    text_buffer b = {0};
    int code = EXIT_OK;
    buffer_puts(&b, "{\"file\":");
    buffer_puts(&b, text);
    buffer_puts(&b, "}");
    char *json = buffer_take(&b), *names = json ? json_part(json, json_pair_names) : NULL, *next = names;
    if (!names) {
        fprintf(stderr, "peft %s: %s: not a JSON list of [\"prompt\", \"completion\"]: %s\n", cli.command,
                path, peft_error(cli.ctx));
        code = EXIT_DATA;
    }
    while (next && *next && !code) {
        char *name = next;
        next += strcspn(next, "\n");
        if (*next) *next++ = 0;
        if (*name == '!') {
            fprintf(stderr, "peft %s: %s: %s%s is not [\"prompt\", \"completion\"]\n", cli.command, path,
                    name[1] ? "" : "the file", name + 1);
            code = EXIT_DATA;
            break;
        }
        char *prompt = json_pair_text(json, name, 0),
             *completion = prompt ? json_pair_text(json, name, 1) : NULL;
        if (!completion) free(prompt), code = fail(PEFT_ERROR_FORMAT);
        else if (!templates_add(out, copy_of(name), prompt, completion, NULL, true)) code = EXIT_MEMORY;
    }
    if (!code && !out->count) {
        fprintf(stderr, "peft %s: %s: no templates in it\n", cli.command, path);
        code = EXIT_DATA;
    }
    peft_free(cli.ctx, names);
    free(json);
    return code;
}

// --template FILE or FILE:NAME; of a JSON file that has tasks, a task's name stands for all of its templates.
static int templates_read(const char *given, templates *out) {
    char *path = copy_of(given), *name = path && !file_is_there(path) ? strrchr(path, ':') : NULL;
    templates all = {NULL, 0};
    size_t size = 0;
    if (!path) return EXIT_MEMORY;
    if (name) *name++ = 0;
    char *text = read_file(path, &size);
    int code = text ? EXIT_OK : EXIT_DATA, before = out->count;
    if (!code && memchr(text, 0, size)) {
        fprintf(stderr, "peft %s: %s: a NUL byte: not a text file\n", cli.command, path);
        code = EXIT_DATA;
    }
    if (!code) {
        const char *begin = text + utf8_mark(text, size);
        char first = begin[strspn(begin, " \t\r\n")];
        code = first == '[' || first == '{' ? templates_of_json(path, begin, &all)
                                            : templates_of_yaml(path, begin, &all);
    }
    for (int i = 0; i < all.count && !code; i++) {
        named_template *t = &all.items[i];
        size_t n = name ? strlen(name) : 0;
        if (name && strcmp(t->name, name) != 0 &&
            (strncmp(t->name, name, n) != 0 || t->name[n] != '.' ||
             strspn(t->name + n + 1, "0123456789") != strlen(t->name + n + 1)))
            continue;
        if (!templates_add(out, t->name, t->prompt, t->completion, t->choices, t->flan)) code = EXIT_MEMORY;
        memset(t, 0, sizeof(*t));
    }
    if (!code && out->count == before) {
        fprintf(stderr, "peft %s: %s has no template \"%s\"; it has:", cli.command, path, name);
        for (int i = 0; i < all.count; i++) fprintf(stderr, "%s %s", i ? "," : "", all.items[i].name);
        fprintf(stderr, "\n");
        code = EXIT_DATA;
    }
    templates_free(&all);
    free(text);
    free(path);
    return code;
}

// ---- chat templates: the model's own, or one of these that are known by heart

#define CHAT_NO_MARKS(marks) \
    "{% for mark in [" marks "] %}{% if mark in m.content %}{{ raise_exception('a message holds ' + mark + " \
    "', which only the format may') }}{% endif %}{% endfor %}"

static const char *const chat_templates[][2] = {
    {"chatml", "{% for m in messages %}" CHAT_NO_MARKS(
                   "'<|im_start|>', '<|im_end|>'") "<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n"
                                                   "{% endfor %}{% if add_generation_prompt "
                                                   "%}<|im_start|>assistant\n{% endif %}"},
    {"llama2",
     "{% set first = namespace(system='') %}{% for m in messages %}" CHAT_NO_MARKS(
         "'[INST]', '[/INST]', '<<SYS>>', '<</SYS>>', '<s>', '</s>'") "{% if m.role == 'system' and "
                                                                      "loop.first %}{% set first.system = "
                                                                      "'<<SYS>>\\n' + m.content + "
                                                                      "'\\n<</SYS>>\\n\\n' %}"
                                                                      "{% elif m.role == 'user' %}{{ '<s>' "
                                                                      "if first.over }}[INST] {{ "
                                                                      "(first.system + m.content) | trim }} "
                                                                      "[/INST]"
                                                                      "{% set first.system = '' %}{% set "
                                                                      "first.over = true %}"
                                                                      "{% elif m.role == 'assistant' %} {{ "
                                                                      "m.content | trim }} </s>"
                                                                      "{% else %}{{ raise_exception('a "
                                                                      "message of ' + m.role + ' has no "
                                                                      "place here') }}{% endif %}{% endfor "
                                                                      "%}"},
    {"llama3", "{% for m in messages %}" CHAT_NO_MARKS(
                   "'<|start_header_id|>', '<|end_header_id|>', '<|eot_id|>', '<|begin_of_text|>', "
                   "'<|end_of_text|>'") "<|start_header_id|>{{ m.role }}<|end_header_id|>\n\n{{ m.content | "
                                        "trim }}<|eot_id|>{% endfor %}"
                                        "{% if add_generation_prompt "
                                        "%}<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}"}};

// --chat-template: one of these, a file, Jinja itself, or which one of the model's. Not given: the model's.
// `path`: of the model, whose tokenizer is `t`.
static int open_chat(const char *path, const peft_tokenizer *t, const char *given, peft_chat **out) {
    peft_chat_desc desc = {.context = cli.ctx, .path = path, .tokenizer = t};
    char *file = NULL;
    bool known = !given || strstr(given, "{{") || strstr(given, "{%");
    *out = NULL;
    if (given && known && !(desc.text = file = unescape(given))) return EXIT_MEMORY;
    for (int i = 0; i < COUNT(chat_templates) && !known; i++)
        if (strcmp(chat_templates[i][0], given) == 0) desc.text = chat_templates[i][1], known = true;
    if (!known && file_is_there(given)) {
        if (!(desc.text = file = read_file(given, NULL))) return EXIT_DATA;
        known = true;
    }
    if (!known) {  // a model with one template only has it under every name
        desc.name = "no template has this name";
        if (peft_chat_open(&desc, out) == PEFT_OK) {
            peft_chat_close(*out);
            *out = NULL;
            return wrong("--chat-template %s is no file and none of chatml, llama2, llama3; the model has "
                         "one template, without a name",
                         given);
        }
        desc.name = given;
    }
    peft_status status = peft_chat_open(&desc, out);
    free(file);
    if (status == PEFT_ERROR_MISSING) {
        fprintf(stderr, "peft %s: %s; --chat-template chatml, llama2, llama3 or FILE gives it one\n",
                cli.command, peft_error(cli.ctx));
        return EXIT_DATA;
    }
    return status ? fail(status) : EXIT_OK;
}

#endif
