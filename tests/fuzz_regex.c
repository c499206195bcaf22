// Any bytes as flags, a regular expression, and behind the first NUL a text: it compiles or says why not;
// what matches lies in the text, a match of the whole text begins at its beginning, and the steps are bounded
// by program x text.
//   clang -O1 -g -fsanitize=fuzzer,address,undefined -DPEFT_NO_SIMD -I. tests/fuzz_regex.c -lm -o fuzz_regex
//   cc -DPEFT_FUZZ_MAIN -DPEFT_NO_SIMD -I. tests/fuzz_regex.c -lm -o fuzz_regex && ./fuzz_regex FILE ...
#define PEFT_ONLY_METRICS  // what this program needs of the header
#define PEFT_IMPLEMENTATION
#include "peft.h"

#ifdef __cplusplus
extern "C"
#endif
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void match_all(peft__regex_scratch *s, const peft__regex *re, const char *text, size_t n) {
    size_t *groups = (size_t *)malloc((size_t)re->slots * sizeof(size_t)), at = 0;
    s->steps = 0;
    if (peft__regex_begin(s, re, text, n)) abort();
    // a lookaround's table takes one pass more for each loop in a loop: at most as many as brackets may be
    // nested
    if (s->steps > (long long)re->count * (long long)(n + 1) * (re->looks ? re->looks * 200 : 0)) abort();
    for (int more = 0; peft__regex_match(s, at, PEFT__REGEX_SEARCH | more, groups);) {
        if (groups[0] < at || groups[1] < groups[0] || groups[1] > n ||
            (more && groups[0] == at && groups[1] == at)) abort();
        for (int k = 2; k < re->slots; k += 2)
            if (groups[k] != SIZE_MAX && (groups[k] > groups[k + 1] || groups[k + 1] > n)) abort();
        at = groups[1];
        more = groups[0] == groups[1] ? PEFT__REGEX_NOT_EMPTY : 0;
    }
    s->steps = 0;
    bool whole = peft__regex_match(s, 0, PEFT__REGEX_FULLMATCH, groups);
    if (whole && (groups[0] != 0 || groups[1] != n)) abort();
    if (whole && !peft__regex_match(s, 0, PEFT__REGEX_MATCH, NULL)) abort();
    if (s->steps > 2 * re->count * (long long)(n + 1)) abort();
    free(groups);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    peft_context *ctx;
    peft__regex *re;
    peft__regex_scratch s;
    if (size < 1 || size > 4096) return 0;
    const uint8_t *nul = (const uint8_t *)memchr(data + 1, 0, size - 1);
    size_t n = nul ? (size_t)(nul - data) - 1 : size - 1, left = nul ? size - n - 2 : 0;
    char *pattern = (char *)malloc(n + 1), *text = (char *)malloc(left + 1);  // without a NUL behind them
    memcpy(pattern, data + 1, n);
    if (left) memcpy(text, nul + 1, left);
    if (peft_context_create(NULL, &ctx)) abort();
    peft__regex_scratch_init(&s, ctx);
    if (peft__regex_compile(ctx, pattern, n, data[0] & 3, &re)) {
        if (!*peft_error(ctx) || re) abort();
    } else if (re->count <= 2000) {
        match_all(&s, re, text, PEFT__MIN(left, (size_t)200));
    }
    peft__regex_free(re);
    peft__regex_scratch_free(&s);
    if (peft_memory_in_use(ctx)) abort();
    peft_context_destroy(ctx);
    free(pattern);
    free(text);
    return 0;
}

#include "fuzz_main.h"
