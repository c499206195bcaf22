// Any bytes as JSON. What is parsed is written out, parsed again and written again: both texts are equal.
//   clang -O1 -g -fsanitize=fuzzer,address,undefined -DPEFT_NO_SIMD -I. tests/fuzz_json.c -lm -o fuzz_json
//   cc -DPEFT_FUZZ_MAIN -DPEFT_NO_SIMD -I. tests/fuzz_json.c -lm -o fuzz_json && ./fuzz_json FILE ...
#define PEFT_NO_METRICS  // what this program needs of the header
#define PEFT_IMPLEMENTATION
#include "peft.h"

#ifdef __cplusplus
extern "C"
#endif
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void dump(peft__string *s, const peft__json *v) {
    switch (v->type) {
    case PEFT__JSON_NULL: peft__string_puts(s, "null"); break;
    case PEFT__JSON_BOOL: peft__string_puts(s, v->boolean ? "true" : "false"); break;
    case PEFT__JSON_NUMBER:  // infinity has no JSON; of doubles that are no floats the last digit may move
        if (v->number - v->number != 0) peft__string_puts(s, v->number > 0 ? "1e999" : "-1e999");
        else peft__string_format(s, "%g", (double)(float)PEFT__MAX(-1e38, PEFT__MIN(1e38, v->number)));
        break;
    case PEFT__JSON_STRING: peft__json_quote(s, v->string, v->length); break;
    default:
        peft__string_puts(s, v->type == PEFT__JSON_OBJECT ? "{" : "[");
        for (const peft__json *e = v->child; e; e = e->next) {
            if (e != v->child) peft__string_puts(s, ",");
            if (v->type == PEFT__JSON_OBJECT) {
                peft__json_quote(s, e->key, e->key_length);
                peft__string_puts(s, ":");
                if (strlen(e->key) == e->key_length && !peft__json_get(v, e->key)) abort();  // a member is found under its name
            }
            dump(s, e);
        }
        peft__string_puts(s, v->type == PEFT__JSON_OBJECT ? "}" : "]");
    }
}

// Empty on error.
static peft__string again(peft_context *ctx, const char *text, size_t n) {
    peft__arena a;
    peft__string s;
    peft__json *root;
    peft__arena_init(&a, ctx);
    peft__string_init(&s, ctx);
    if (!peft__json_parse(ctx, &a, text, n, "x", &root)) dump(&s, root);
    else if (!*peft_error(ctx)) abort();
    peft__arena_free(&a);
    return s;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    peft_context *ctx;
    char *exact = (char *)malloc(size ? size : 1), *filled = NULL;  // no NUL behind it
    if (peft_context_create(NULL, &ctx)) abort();
    memcpy(exact, data, size);
    peft__string once = again(ctx, exact, size);
    if (once.size) {
        peft__string twice = again(ctx, once.data, once.size);
        if (once.size != twice.size || memcmp(once.data, twice.data, once.size) != 0) abort();
        peft_template_fill(ctx, "a {{a}} {{ b }} {{c}}", once.data, &filled);
        peft_free(ctx, filled);
        peft__string_free(&twice);
    }
    peft__string_free(&once);
    if (peft_memory_in_use(ctx)) abort();
    peft_context_destroy(ctx);
    free(exact);
    return 0;
}

#include "fuzz_main.h"
