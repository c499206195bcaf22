// Compares templates (chapter 11) with a folder of what Jinja2 makes of them: promptsource.jsonl and
// chat.jsonl (its templates in chat/). Every line is a case. Include after peft.h with PEFT_IMPLEMENTATION
// (it uses the JSON reader of chapter 2).
#ifndef GOLDEN_TEMPLATES_H
#define GOLDEN_TEMPLATES_H

#include <stdio.h>
#include <string.h>

typedef struct gt {
    peft_context *ctx;
    peft__arena arena;  // of the case under way
    const char *folder, *label;
    int *passed, *failed;
} gt;

static void gt_fail(gt *g, const char *what, const char *got, const char *want) {
    printf("%s FAIL: %s\n  got:  %.600s\n  want: %.600s\n", g->label, what, got ? got : "(none)",
           want ? want : "(none)");
}

static int64_t gt_noon(void *user) {  // the time at which the texts were made: 2026-11-30 12:00:00
    (void)user;
    return 1796040000;
}

static peft__json *gt_member(gt *g, peft__json *object, const char *key, peft__json_type type) {
    peft__json *j = (peft__json *)peft__arena_alloc(&g->arena, sizeof(peft__json));
    memset(j, 0, sizeof(*j));
    j->type = type;
    j->key = key;
    j->key_length = strlen(key);
    if (object) {
        j->next = object->child;
        object->child = j;
        object->length++;
    }
    return j;
}

static void gt_text(gt *g, peft__json *object, const char *key, const char *text, size_t n) {
    peft__json *j = gt_member(g, object, key, PEFT__JSON_STRING);
    j->string = peft__arena_strdup(&g->arena, text, n);
    j->length = n;
}

static const char gt_bars[] = "3ed2dface8203c4c9dfb1a5dc58e41e0";  // stands for ||| in a record

static const char *gt_swap(gt *g, const char *text, const char *from, const char *to) {
    peft__string s;
    peft__string_init(&s, g->ctx);
    for (const char *p; (p = strstr(text, from)) != NULL; text = p + strlen(from)) {
        peft__string_append(&s, text, (size_t)(p - text));
        peft__string_puts(&s, to);
    }
    peft__string_puts(&s, text);
    const char *copy = peft__arena_strdup(&g->arena, s.data, s.size);
    peft__string_free(&s);
    return copy;
}

static peft_template *gt_template(gt *g, const char *text, const char *name, bool chat) {
    peft_template *t = NULL;
    peft_template_desc d;
    memset(&d, 0, sizeof(d));
    d.context = g->ctx;
    d.text = text;
    d.length = strlen(text);
    d.name = name;
    d.chat = chat;
    d.now = gt_noon;
    if (!*text) d.text = " ", d.length = 1;
    return peft_template_create(&d, &t) ? NULL : t;
}

// The parts of a rendering between |||, stripped. -> how many, or -1
static int gt_parts(gt *g, const char *jinja, const char *name, const peft__json *record, const char **parts,
                    int most) {
    peft_template *t = gt_template(g, jinja, name, false);
    if (!t || peft__template_run(t, record)) {
        peft_template_destroy(t);
        return -1;
    }
    int n = 0;
    for (const char *at = t->out.data; at && n < most; n++) {
        const char *bar = strstr(at, "|||");
        peft__value part = peft__stripped(peft__text(at, bar ? (size_t)(bar - at) : strlen(at)), 3);
        parts[n] = gt_swap(g, peft__arena_strdup(&g->arena, part.text, part.size), gt_bars, "|||");
        at = bar ? bar + 3 : NULL;
    }
    peft_template_destroy(t);
    return n;
}

static bool gt_promptsource(gt *g, peft__json *c) {
    enum { MOST = 256 };
    const char *parts[MOST], *choices[MOST], *name = peft__json_text(c, "name", "(no name)"),
                                             *choice = peft__json_text(c, "answer_choices", NULL);
    const peft__json *want = peft__json_get(c, "completion");
    peft__json *record = gt_member(g, NULL, "record", PEFT__JSON_OBJECT);
    *record = *peft__json_get(c, "record");
    for (peft__json *m = record->child; m; m = m->next)
        if (m->type == PEFT__JSON_STRING && strstr(m->string, "|||")) {
            m->string = gt_swap(g, m->string, "|||", gt_bars);
            m->length = strlen(m->string);
        }
    int n = choice ? gt_parts(g, choice, name, record, choices, MOST) : 0;
    if (n < 0) {
        gt_fail(g, "answer_choices", peft_error(g->ctx), "no error");
        return false;
    }
    peft__json *list = gt_member(g, record, "answer_choices", choice ? PEFT__JSON_ARRAY : PEFT__JSON_NULL);
    for (int i = n - 1; i >= 0; i--) gt_text(g, list, "", choices[i], strlen(choices[i]));
    n = gt_parts(g, peft__json_text(c, "jinja", ""), name, record, parts, MOST);
    if (peft__json_get(c, "error")) {
        if (n >= 0) gt_fail(g, name, parts[0], "an error");
        return n < 0;
    }
    if (n < 0) {
        gt_fail(g, name, peft_error(g->ctx), peft__json_text(c, "prompt", NULL));
        return false;
    }
    bool ok = strcmp(parts[0], peft__json_text(c, "prompt", "")) == 0;
    if (!ok) gt_fail(g, name, parts[0], peft__json_text(c, "prompt", ""));
    bool same = (size_t)n - 1 == want->length;
    if (!same) gt_fail(g, "number of completions", name, NULL);
    int i = 1;
    for (const peft__json *w = want->child; w && same; w = w->next, i++) {
        same = strcmp(parts[i], w->string) == 0;
        if (!same) gt_fail(g, name, parts[i], w->string);
    }
    return ok && same;
}

static bool gt_chat(gt *g, peft__json *c) {
    const char *name = peft__json_text(c, "template", ""), *text = NULL,
               *want = peft__json_text(c, "text", "");
    const peft__json *wanted = peft__json_get(c, "text");
    bool error = !wanted;
    char path[2048], *source = NULL;
    snprintf(path, sizeof(path), "%s/chat/%s", g->folder, name);
    if (peft__read_all(g->ctx, path, &source, NULL)) {
        gt_fail(g, path, peft_error(g->ctx), "a template");
        return false;
    }
    peft__json *record = gt_member(g, NULL, "", PEFT__JSON_OBJECT);
    for (peft__json *m = c->child, *next; m; m = next) {
        next = m->next;
        if (strcmp(m->key, "template") == 0 || strcmp(m->key, "text") == 0 || strcmp(m->key, "error") == 0)
            continue;
        m->next = record->child;
        record->child = m;
    }
    gt_member(g, record, "tools", PEFT__JSON_NULL);
    gt_member(g, record, "documents", PEFT__JSON_NULL);
    peft_template *t = gt_template(g, source, name, true);
    bool ran = t && !peft__template_run(t, record);
    if (ran) text = t->out.data;
    bool ok = error ? !ran : ran && t->out.size == wanted->length && strcmp(text, want) == 0;
    if (!ok) gt_fail(g, name, ran ? text : peft_error(g->ctx), error ? "an error" : want);
    peft_template_destroy(t);
    peft__free(g->ctx, source);
    return ok;
}

static void gt_file(gt *g, const char *name, bool (*run)(gt *, peft__json *)) {
    char path[2048], label[2200], *text = NULL;
    int64_t line = 0;
    int right = 0, wrong = 0;
    snprintf(path, sizeof(path), "%s/%s", g->folder, name);
    if (!peft__file_exists(g->ctx, path)) return;
    if (peft__read_all(g->ctx, path, &text, NULL)) {
        printf("%s FAIL: %s\n", path, peft_error(g->ctx));
        ++*g->failed;
        return;
    }
    for (char *at = text, *end; *at; at = end) {
        end = at + strcspn(at, "\n");
        peft__json *c = NULL;
        line++;
        snprintf(label, sizeof(label), "%s:%lld", path, (long long)line);
        g->label = label;
        peft__arena_reset(&g->arena);
        if (end > at && peft__json_parse(g->ctx, &g->arena, at, (size_t)(end - at), path, &c)) {
            printf("%s FAIL: %s\n", label, peft_error(g->ctx));
            wrong++;
        } else if (c && run(g, c)) right++;
        else if (c) wrong++;
        end += *end == '\n';
    }
    printf("%-72s %d of %d cases equal  %s\n", path, right, right + wrong, wrong || !right ? "FAIL" : "ok");
    *g->passed += right;
    *g->failed += wrong + (right + wrong == 0);
    peft__free(g->ctx, text);
}

static void golden_templates(peft_context *ctx, const char *folder, int *passed, int *failed) {
    gt g = {ctx, {NULL, NULL, NULL}, folder, "", passed, failed};
    peft__arena_init(&g.arena, ctx);
    gt_file(&g, "promptsource.jsonl", gt_promptsource);
    gt_file(&g, "chat.jsonl", gt_chat);
    peft__arena_free(&g.arena);
}

#endif
