// Renders templates for check_templates.py: reads lines {"jinja": text, "chat": bool, "record": object},
// writes {"text": ...} or
// {"error": message, "status": number} for each.
//   cc -std=c11 -O1 -I. tests/peers/render_templates.c -o build/render_templates -lm &&
//   build/render_templates CASES
#define PEFT_IMPLEMENTATION
#include "peft.h"
#include <stdio.h>

static int64_t noon(void *user) {
    (void)user;
    return 1796040000;  // 2026-11-30 12:00:00
}

static void run(peft_context *ctx, peft__arena *arena, const char *line, size_t n) {
    peft__json *c = NULL;
    peft_template *t = NULL;
    peft__string out;
    peft__arena_reset(arena);
    peft__string_init(&out, ctx);
    peft_status status = peft__json_parse(ctx, arena, line, n, "case", &c);
    const peft__json *text = status ? NULL : peft__json_get(c, "jinja");
    if (text && text->length) {
        peft_template_desc d;
        memset(&d, 0, sizeof(d));
        d.context = ctx;
        d.text = text->string;
        d.length = text->length;
        d.chat = peft__json_bool(c, "chat", false);
        d.now = noon;
        status = peft_template_create(&d, &t);
        if (!status) status = peft__template_run(t, peft__json_get(c, "record"));
    }
    peft__string_puts(&out, status ? "{\"error\": " : "{\"text\": ");
    if (status) peft__json_quote(&out, peft_error(ctx), strlen(peft_error(ctx)));
    else peft__json_quote(&out, t ? t->out.data : "", t ? t->out.size : 0);
    peft__string_format(&out, ", \"status\": %d}", (int)status);
    puts(out.data);
    peft__string_free(&out);
    peft_template_destroy(t);
}

int main(int argc, char **argv) {
    peft_context *ctx = NULL;
    char *text = NULL;
    peft__arena arena;
    if (argc != 2 || peft_context_create(NULL, &ctx)) return 2;
    peft__arena_init(&arena, ctx);
    if (peft__read_all(ctx, argv[1], &text, NULL)) {
        fprintf(stderr, "%s\n", peft_error(ctx));
        return 2;
    }
    for (char *at = text, *end; *at; at = end + (*end != 0)) {
        end = at + strcspn(at, "\n");
        run(ctx, &arena, at, (size_t)(end - at));
    }
    peft__free(ctx, text);
    peft__arena_free(&arena);
    peft_context_destroy(ctx);
    return 0;
}
