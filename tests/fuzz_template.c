// Any bytes as a template and its values: up to the first NUL the template, behind it the JSON. The first
// byte chooses the rules. Both kinds of result are right, an error with a message or a text; what is rendered
// twice is equal.
//   clang -O1 -g -fsanitize=fuzzer,address,undefined -DPEFT_NO_SIMD -I. tests/fuzz_template.c -lm -o fuzz_template
//   cc -DPEFT_FUZZ_MAIN -DPEFT_NO_SIMD -I. tests/fuzz_template.c -lm -o fuzz_template && ./fuzz_template FILE ...
#define PEFT_NO_METRICS  // what this program needs of the header
#define PEFT_IMPLEMENTATION
#include "peft.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef __cplusplus
extern "C"
#endif
    int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int64_t noon(void *user) {
    (void)user;
    return 1796040000;
}

static void once(peft_context *ctx, const char *text, size_t length, const char *json, size_t json_length,
                 bool chat) {
    peft_template *t = NULL;
    peft_template_desc d;
    memset(&d, 0, sizeof(d));
    d.context = ctx;
    d.text = text;
    d.length = length;
    d.chat = chat;
    d.now = noon;
    d.limits.max_steps = 20000;
    d.limits.max_depth = 100;
    d.limits.max_output = 1 << 16;
    d.limits.max_memory = 1 << 20;
    if (peft_template_create(&d, &t)) {
        if (!*peft_error(ctx) || t) abort();
        return;
    }
    const char *got = NULL;
    size_t n = 0, again = 0;
    if (peft_template_render(t, json, json_length, &got, &n)) {
        if (!*peft_error(ctx) || got) abort();
    } else {
        char *copy = (char *)malloc(n + 1);
        memcpy(copy, got, n + 1);
        if (strlen(got) > n || n > 1 << 16) abort();
        if (peft_template_render(t, json, json_length, &got, &again) || again != n ||
            memcmp(copy, got, n) != 0)
            abort();
        free(copy);
    }
    peft_template_destroy(t);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const char standard[] =
        "{\"a\": 1, \"b\": \"text\", \"c\": [1, 2.5, null], \"d\": {\"k\": true}, \"messages\": [{\"role\": "
        "\"user\", \"content\": \"x\"}]}";
    peft_context *ctx;
    if (size < 2 || size > 4096) return 0;
    if (peft_context_create(NULL, &ctx)) abort();
    char *exact = (char *)malloc(size);  // no NUL behind it
    memcpy(exact, data + 1, size - 1);
    const char *bar = (const char *)memchr(exact, 0, size - 1);
    size_t length = bar ? (size_t)(bar - exact) : size - 1;
    size_t rest = bar && size - 2 > length ? size - 2 - length : 0;
    if (length)
        once(ctx, exact, length, rest ? bar + 1 : standard, rest ? rest : sizeof(standard) - 1, data[0] & 1);
    free(exact);
    if (peft_memory_in_use(ctx)) abort();
    peft_context_destroy(ctx);
    return 0;
}

#include "fuzz_main.h"
