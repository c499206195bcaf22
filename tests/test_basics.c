// Chapters 1 and 2: contexts, memory, files, threads, text, JSON, half floats, random numbers. What is public of files is in
// test_archives.c.
//   cc -std=c11 -O2 -DPEFT_USE_PTHREADS -I. tests/test_basics.c -o build/test_basics -pthread -lm
#define PEFT_NO_METRICS  // what this program needs of the header
#define PEFT_IMPLEMENTATION
#include "peft.h"
#include <locale.h>
#include "check.h"
#include "counter.h"
#include <stdio.h>

static int passed, failed, skipped;
static peft_context *ctx;

static void check(bool ok, const char *what) {
    if (test_count(&passed, &failed, ok, what)) printf("FAIL %s (%s)\n", what, peft_error(ctx));
}

// ---- contexts

static peft_context_desc counting(counter *c) {
    peft_context_desc d;
    memset(&d, 0, sizeof d);
    COUNT_IN(d, *c);
    return d;
}

static void keep_line(const char *line, void *user) {
    snprintf((char *)user, 200, "%s", line);
}

static void test_contexts(void) {
    peft_context *c = ctx;
    peft_context_desc d;
    check(!peft_context_create(NULL, &c) && c && peft_thread_count(c) == 1 && peft_simd_in_use(c) == peft__simd_widest(), "defaults");
    check(peft_memory_in_use(c) == 0 && *peft_error(c) == 0, "a fresh context holds nothing");
    peft_context_destroy(c);
    peft_context_destroy(NULL);
    memset(&d, 0, sizeof d);
    d.allocator.alloc = count_alloc;
    check(peft_context_create(&d, &c) == PEFT_ERROR_ARGUMENT && !c, "half an allocator");
    memset(&d, 0, sizeof d);
    int found = 0;
    for (int i = PEFT_SIMD_PORTABLE; i <= PEFT_SIMD_AVX512; i++) {
        d.simd = (peft_simd)i;
        peft_status status = peft_context_create(&d, &c);
        check(status == PEFT_OK ? c && peft_simd_in_use(c) == d.simd : status == PEFT_ERROR_UNSUPPORTED && !c, "an instruction set");
        found += status == PEFT_OK;
        peft_context_destroy(c);
    }
    check(found >= 1, "the portable code is always there");
    d.simd = (peft_simd)99;
    char line[200] = "";
    d.log = keep_line, d.log_user = line;
    check(peft_context_create(&d, &c) == PEFT_ERROR_UNSUPPORTED && !c && strstr(line, "no instruction set"), "an instruction set that does not exist");
    d.simd = PEFT_SIMD_AUTO, d.threads = 5000;
    check(peft_context_create(&d, &c) == PEFT_ERROR_ARGUMENT && !c && strstr(line, "5000 threads"), "too many threads");
    d.threads = 1, d.compute = PEFT_NF4;
    check(peft_context_create(&d, &c) == PEFT_ERROR_ARGUMENT && !c && strstr(line, "`compute`"), "compute in four bits");
    d.compute = PEFT_F32, d.files = peft_files_stdio(), d.files.rename = NULL;
    check(peft_context_create(&d, &c) == PEFT_ERROR_ARGUMENT && !c && strstr(line, "`files`"), "half of the file callbacks");
    for (int threads = 0; threads <= 4; threads += 1) {  // every allocation of creating a context fails once
        for (long n = 1;; n++) {
            counter k = {.fail_at = n};
            d = counting(&k);
            d.threads = threads;
            peft_status status = peft_context_create(&d, &c);
            if (!status) check(peft_thread_count(c) == (threads < 1 ? 1 : threads), "threads as asked for");
            else check((status == PEFT_ERROR_MEMORY || (threads > 1 && !PEFT_USE_PTHREADS)) && !c && k.live == 0, "a context without memory");
            peft_context_destroy(c);
            check(k.live == 0, "a context leaves nothing");
            if (!status || n > 20) break;
        }
    }
}

static void test_memory(void) {
    static const size_t shifts[] = {0, 8, 16, 40};
    for (int i = 0; i < 4; i++) {
        counter k = {.shift = shifts[i]};
        peft_context_desc d = counting(&k);
        peft_context *c = NULL;
        peft_context_create(&d, &c);
        void *p[20];
        size_t sum = 0;
        for (int n = 0; n < 20; n++) {
            p[n] = peft__alloc(c, (size_t)n * 37);
            check(p[n] && (uintptr_t)p[n] % PEFT__ALIGN == 0, "blocks are aligned");
            memset(p[n], n, (size_t)n * 37);
            sum += (size_t)n * 37;
        }
        check(peft_memory_in_use(c) == sum && peft_memory_peak(c) == sum, "memory in use");
        p[3] = peft__realloc(c, p[3], 500);
        bool kept = true;
        for (int n = 0; n < 111; n++) kept = kept && ((char *)p[3])[n] == 3;
        p[19] = peft__realloc(c, p[19], 5);
        check(kept && ((char *)p[19])[4] == 19 && peft_memory_in_use(c) == sum - 111 + 500 - 703 + 5, "changing sizes");
        size_t peak = peft_memory_peak(c);
        check(peak >= sum + 500, "peak while both blocks exist");
        char *zero = (char *)peft__calloc(c, 10, 10);
        bool all = true;
        for (int n = 0; n < 100; n++) all = all && zero[n] == 0;
        check(all, "calloc clears");
        peft_free(c, zero);
        size_t before = peft_memory_in_use(c);
        check(!peft__alloc(c, SIZE_MAX) && !peft__alloc(c, SIZE_MAX - 70) && !peft__alloc(c, (size_t)1 << 60), "more than there is");
        check(strcmp(peft_error(c), "out of memory: 1152921504606846976 bytes") == 0, "its error");
        check(!peft__calloc(c, -1, 4) && !peft__calloc(c, INT64_MAX, 8) && !peft__calloc(c, INT64_MAX / 4, 4), "calloc of what overflows");
        check(!peft__realloc(c, p[5], SIZE_MAX / 2) && ((char *)p[5])[184] == 5, "a failed realloc leaves the block");
        check(peft_memory_in_use(c) == before && peft_memory_peak(c) == peak, "failures are not counted");
        for (int n = 0; n < 20; n++) peft_free(c, p[n]);
        peft_free(c, NULL);
        check(peft_memory_in_use(c) == 0 && k.live == 1, "all of it is back");
        peft_context_destroy(c);
        check(k.live == 0, "the context too");
    }
    int64_t r = 0;
    check(peft__mul(3, 4, &r) && r == 12 && peft__mul(0, INT64_MAX, &r) && r == 0 && peft__mul(INT64_MAX, 1, &r) && r == INT64_MAX, "products");
    check(!peft__mul(-1, 1, &r) && !peft__mul(1, -1, &r) && !peft__mul((int64_t)1 << 32, (int64_t)1 << 31, &r), "products that overflow");
}

// ---- threads

typedef struct tally {
    int *counts;
} tally;

static void tally_task(void *arg, int64_t i) {
    ((tally *)arg)->counts[i]++;
}

static void test_threads(void) {
    static int counts[1000];
    for (int threads = 1; threads <= 9; threads += 4) {
        peft_context_desc d;
        memset(&d, 0, sizeof d);
        d.threads = threads;
        peft_context *c = NULL;
        if (peft_context_create(&d, &c)) continue;  // built without threads
        tally t = {counts};
        bool ok = true;
        for (int round = 0; round < 300; round++) {
            int n = round * 7 % 1000;
            memset(counts, 0, sizeof counts);
            peft__parallel(c, n, tally_task, &t);
            for (int i = 0; i < 1000; i++) ok = ok && counts[i] == (i < n);
        }
        check(ok, "every task runs once");
        peft_context_destroy(c);
    }
}

// ---- text

static bool prints(double v, const char *want) {
    char text[64];
    peft__string_into(text, sizeof text, "%g", v);
    if (strcmp(text, want) == 0) return true;
    printf("  %s instead of %s\n", text, want);
    return false;
}

static void test_text(void) {
    char text[200];
    peft__string_into(text, sizeof text, "%d %u %lld %llu %zu %c %s %.*s %% %ld %s|", -5, 7u, -9000000000ll, 18446744073709551615ull, (size_t)3, 'x', "abc", 2,
                      "abc", 4l, (const char *)NULL);
    check(strcmp(text, "-5 7 -9000000000 18446744073709551615 3 x abc ab % 4 (none)|") == 0, "formats");
    peft__string_into(text, sizeof text, "%d %lld", INT32_MIN, (long long)INT64_MIN);
    check(strcmp(text, "-2147483648 -9223372036854775808") == 0, "smallest integers");
    peft__string_into(text, 5, "%s", "abcdefgh");
    check(strcmp(text, "abcd") == 0, "text that is cut");
    peft__string_into(text, sizeof text, "100%");
    check(strcmp(text, "100%") == 0, "a percent sign at the end");
    check(prints(0, "0") && prints(-0.0, "-0") && prints(1, "1") && prints(-17, "-17") && prints(1e14, "100000000000000"), "whole numbers");
    check(prints(0.5, "0.5") && prints(0.1, "0.1") && prints((double)0.1f, "0.1") && prints(0.1000000001, "0.1000000001") && prints(1e-5, "0.00001") && prints(1e-6, "1e-6"), "fractions");
    check(prints(1e300, "1e300") && prints(1.5e-7, "1.5e-7") && prints(123456.7, "123456.7") && prints(1e15, "1000000000000000"), "exponents");
    check(prints(INFINITY, "inf") && prints(-INFINITY, "-inf") && prints(NAN, "nan"), "no numbers");
    static const double hard[] = {999.9999999999999, 99999.95, 999999.5, 9999995, 0.00099999999999999, 1e-310, 5e-324, 1.7976931348623157e308, 2.2250738585072014e-308,
                                  1e22, 1e23, 123456789012345680, 0.30000000000000004, 9.999999999999999e22, 4.35, 1e-292, 1e-293, 1e-300, 3.4e38};
    peft_rng rng;
    peft_rng_seed(&rng, 3);
    double worst = 0;
    bool singles = true;
    for (int i = 0; i < 200000; i++) {
        uint64_t bits = peft__rng_next(&rng);
        double v, back;
        memcpy(&v, &bits, 8);
        if (i < (int)PEFT__COUNT(hard)) v = hard[i];
        if (v - v != 0) continue;
        peft__string_into(text, sizeof text, "%g", v);
        back = strtod(text, NULL);
        worst = PEFT__MAX(worst, fabs(back - v) / PEFT__MAX(fabs(v), 1e-300));
        float f = peft__bits_float((uint32_t)(bits >> 32)), g;
        if (f - f != 0) continue;
        peft__string_into(text, sizeof text, "%g", (double)f);
        g = strtof(text, NULL);
        singles = singles && f == g;
    }
    check(worst < 1e-15, "doubles read back within rounding");
    if (!(worst < 1e-15)) printf("  worst %g\n", worst);
    check(singles, "floats read back as they were");
    peft__string s;
    peft__string_init(&s, ctx);
    for (int i = 0; i < 500; i++) peft__string_format(&s, "%d,", i);
    check(s.size == 10 * 2 + 90 * 3 + 400 * 4 && strncmp(s.data, "0,1,2,3,", 8) == 0 && s.data[s.size] == 0, "a string that grows");
    size_t before = s.size;
    char *longer = (char *)peft__alloc(ctx, 5001);
    memset(longer, 'y', 5000), longer[5000] = 0;
    check(peft__string_format(&s, "<%s>", longer) && s.size == before + 5002 && s.data[s.size - 1] == '>', "a long piece");
    peft_free(ctx, longer);
    peft__string_free(&s);
    peft__fail(ctx, PEFT_ERROR_IO, "one");
    check(peft__fail(ctx, PEFT_ERROR_FORMAT, "%s, two", peft_error(ctx)) == PEFT_ERROR_FORMAT && strcmp(peft_error(ctx), "one, two") == 0, "an error within an error");
    peft__fail(ctx, PEFT_OK, "");
}

static void log_line(const char *line, void *user) {
    strcpy((char *)user, line);
}

static void test_log(void) {
    char line[PEFT__ERROR_SIZE] = "";
    peft_context_desc d;
    memset(&d, 0, sizeof d);
    d.log = log_line, d.log_user = line;
    peft_context *c = NULL;
    peft_context_create(&d, &c);
    peft__log(c, "step %d of %s", 3, "ten");
    check(strcmp(line, "step 3 of ten") == 0, "a line of the log");
    peft_context_destroy(c);
    peft__log(ctx, "nobody listens");
}

static void test_arena(void) {
    peft__arena a;
    size_t before = peft_memory_in_use(ctx);
    peft__arena_init(&a, ctx);
    size_t used = 0;
    for (int round = 0; round < 3; round++) {
        char *blocks[300];
        bool ok = true;
        for (int i = 0; i < 300; i++) {
            size_t n = (size_t)(i * 131 % 7000);
            blocks[i] = (char *)peft__arena_alloc(&a, n);
            ok = ok && blocks[i] && (uintptr_t)blocks[i] % PEFT__ALIGN == 0;
            if (ok) memset(blocks[i], i, n);
        }
        for (int i = 0; ok && i < 300; i++)
            for (size_t k = 0; k < (size_t)(i * 131 % 7000); k++) ok = ok && blocks[i][k] == (char)i;
        check(ok, "blocks of an arena do not overlap");
        if (round) check(peft_memory_in_use(ctx) == used, "an arena that was reset takes no new memory");
        used = peft_memory_in_use(ctx);
        peft__arena_reset(&a);
    }
    check(!peft__arena_alloc(&a, SIZE_MAX) && !peft__arena_alloc(&a, SIZE_MAX / 2 + 1), "an arena block of everything");
    char *copy = peft__arena_strdup(&a, "hello", 4);
    check(copy && strcmp(copy, "hell") == 0, "a copied text");
    peft__arena_free(&a);
    check(peft_memory_in_use(ctx) == before, "an arena gives everything back");
}

static void test_map(void) {
    enum { N = 5000 };
    static char keys[N][8];
    peft__map m;
    peft__map_init(&m, ctx);
    check(peft__map_get(&m, "a", 1, -7) == -7, "an empty map");
    bool ok = true;
    for (int i = 0; i < N; i++) {
        snprintf(keys[i], sizeof keys[i], "k%d", i);
        ok = ok && peft__map_set(&m, keys[i], strlen(keys[i]), i);
    }
    ok = ok && peft__map_set(&m, keys[17], strlen(keys[17]), 99) && peft__map_set(&m, "", 0, 5) && peft__map_set(&m, "a\0b", 3, 6);
    for (int i = 0; i < N; i++) ok = ok && peft__map_get(&m, keys[i], strlen(keys[i]), -1) == (i == 17 ? 99 : i);
    check(ok && m.count == N + 2, "a map finds what it was given");
    check(peft__map_get(&m, "", 0, -1) == 5 && peft__map_get(&m, "a\0b", 3, -1) == 6 && peft__map_get(&m, "a\0c", 3, -1) == -1 && peft__map_get(&m, "k5000", 5, -1) == -1,
          "keys are bytes");
    peft__map_free(&m);
}

static void test_utf8(void) {
    bool ok = true;
    for (uint32_t cp = 0; cp < 0x110000; cp++) {
        char text[5] = "";
        size_t n = peft__utf8_put(text, cp), i = 0;
        uint32_t back;
        bool valid = peft__utf8_next(text, n, &i, &back), surrogate = cp >= 0xD800 && cp < 0xE000;
        ok = ok && (surrogate ? !valid && back == 0xFFFD && i == 1 : valid && back == cp && i == n);
        for (size_t cut = 1; cut < n; cut++) {  // incomplete
            i = 0;
            ok = ok && !peft__utf8_next(text, cut, &i, &back) && i == 1;
        }
    }
    check(ok, "every code point to UTF-8 and back");
    unsigned char kept[PEFT__UC_KEPT];
    peft__uc_keep(kept);
    for (uint32_t cp = 0; cp < 0x110000; cp++) ok = ok && peft__uc_kept(kept, cp) == peft__uc_bit(cp);
    check(ok, "kept categories are those of the runs");
    check(peft__utf8_run("a\xC3\xA9z\xC3", 5, 1) == 4 && peft__utf8_run("a\xFF", 2, 0) == 1 && peft__utf8_run("ab", 2, 2) == 2,
          "where a text ceases to be UTF-8");
    static const char *const bad[] = {"\x80", "\xC0\x80", "\xC1\xBF", "\xE0\x80\x80", "\xE0\x9F\xBF", "\xF0\x80\x80\x80", "\xF0\x8F\xBF\xBF", "\xF4\x90\x80\x80",
                                      "\xF5\x80\x80\x80", "\xFF", "\xC2\x41", "\xE1\x80\x41", "\xED\xA0\x80"};
    for (int k = 0; k < (int)PEFT__COUNT(bad); k++) {
        size_t i = 0;
        uint32_t cp;
        check(!peft__utf8_next(bad[k], strlen(bad[k]), &i, &cp) && cp == 0xFFFD && i == 1, "invalid UTF-8");
    }
}

// ---- JSON

static void dump(peft__string *s, const peft__json *v) {
    static const char *const words[] = {"null", "false", "true"};
    switch (v->type) {
    case PEFT__JSON_NULL: peft__string_puts(s, words[0]); break;
    case PEFT__JSON_BOOL: peft__string_puts(s, words[1 + v->boolean]); break;
    case PEFT__JSON_NUMBER: peft__string_format(s, "%g", v->number); break;
    case PEFT__JSON_STRING: peft__json_quote(s, v->string, v->length); break;
    default: {
        bool object = v->type == PEFT__JSON_OBJECT;
        size_t count = 0;
        peft__string_puts(s, object ? "{" : "[");
        for (const peft__json *e = v->child; e; e = e->next, count++) {
            if (e != v->child) peft__string_puts(s, ",");
            if (object) {
                peft__json_quote(s, e->key, e->key_length);
                peft__string_puts(s, ":");
            }
            dump(s, e);
        }
        check(count == v->length, "count of items");
        peft__string_puts(s, object ? "}" : "]");
    }
    }
}

// What a text is parsed as, written out again; or the error's text behind '!'.
static void json_is_n(const char *text, size_t n, const char *want) {
    size_t before = peft_memory_in_use(ctx);
    char *exact = (char *)malloc(n ? n : 1);  // so that a sanitizer sees a read behind the end
    memcpy(exact, text, n);
    peft__arena a;
    peft__arena_init(&a, ctx);
    peft__json *root = NULL;
    peft_status status = peft__json_parse(ctx, &a, exact, n, "file", &root);
    peft__string s;
    peft__string_init(&s, ctx);
    if (status) peft__string_format(&s, "!%s", peft_error(ctx));
    else dump(&s, root);
    bool ok = strcmp(s.data, want) == 0 && (status == PEFT_OK || status == PEFT_ERROR_FORMAT);
    check(ok, "JSON");
    if (!ok) printf("  %s\n  gave %s\n  want %s\n", text, s.data, want);
    peft__string_free(&s);
    peft__arena_free(&a);
    free(exact);
    check(peft_memory_in_use(ctx) == before, "JSON leaves nothing");
}

static void json_is(const char *text, const char *want) {
    json_is_n(text, strlen(text), want);
}

static void test_json(void) {
    json_is("null", "null");
    json_is(" true\n", "true");
    json_is("\t\r\n false ", "false");
    json_is("[]", "[]");
    json_is("{ }", "{}");
    json_is("[1,[2,{}],{\"a\":[null]}]", "[1,[2,{}],{\"a\":[null]}]");
    json_is("{\"a\" : 1 , \"b\":\"x\",\"a\":2}", "{\"a\":1,\"b\":\"x\",\"a\":2}");
    json_is("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\\"\\\\/\\u0008\\u000c\\n\\r\\t\"");
    json_is("\"\\u0041\\u00e9\\u20AC\\ud83d\\ude00\"", "\"A\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80\"");
    json_is("\"\\u0000x\"", "\"\\u0000x\"");
    json_is("\"\\ud83d\"", "\"\xEF\xBF\xBD\"");
    json_is("\"\\ude00\\ud83dx\"", "\"\xEF\xBF\xBD\xEF\xBF\xBDx\"");
    json_is("\"\\ud83d\\ud83d\\ude00\"", "\"\xEF\xBF\xBD\xF0\x9F\x98\x80\"");
    json_is("\"\\ud83d\\u0041\"", "\"\xEF\xBF\xBD" "A\"");
    json_is("\"\"", "\"\"");
    json_is("[0,-0,1,-1,10,0.5,-0.25,1e3,1E+3,1e-3,2.5e+2,123456789012]", "[0,-0,1,-1,10,0.5,-0.25,1000,1000,0.001,250,123456789012]");
    json_is("0.10000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000", "0.1");
    json_is("1000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000", "1e105");
    json_is("[1e999,-1e999,1e-999]", "[inf,-inf,0]");
    static const char *const no_value[] = {"",    " ",   "01",   "-",    "-01",  "1.",   ".5",  "-.5",  "+1",   "1e",   "1e+",  "1.e3", "0x10", "NaN",  "Infinity", "-Infinity",
                                           "nul", "tru", "True", "'a'",  "a",    "[,]",  "[1,]", "{,}", "\x00", "[1.]", "[-]",  "1.2.3", "--1", "1-",   "1e1.5",    "00"};
    for (int i = 0; i < (int)PEFT__COUNT(no_value); i++) {
        peft__arena a;
        peft__arena_init(&a, ctx);
        peft__json *root = NULL;
        check(peft__json_parse(ctx, &a, no_value[i], strlen(no_value[i]), "file", &root) == PEFT_ERROR_FORMAT, no_value[i]);
        peft__arena_free(&a);
    }
    json_is("", "!file:1: JSON: ends in the middle");
    json_is("[1\n,\n", "!file:3: JSON: ends in the middle");
    json_is("[1 2]", "!file:1: JSON: a ',' is missing");
    json_is("[1}", "!file:1: JSON: a ',' is missing");
    json_is("{\"a\"}", "!file:1: JSON: a ':' is missing");
    json_is("{\"a\" 1}", "!file:1: JSON: a ':' is missing");
    json_is("{\"a\":}", "!file:1: JSON: not a value");
    json_is("{a:1}", "!file:1: JSON: a member without a name");
    json_is("{\"a\":1,}", "!file:1: JSON: a member without a name");
    json_is("1 2", "!file:1: JSON: something behind the end");
    json_is("nullx", "!file:1: JSON: something behind the end");
    json_is("\"abc", "!file:1: JSON: a string without its closing quote");
    json_is("\"abc\\\"", "!file:1: JSON: a string without its closing quote");
    json_is("\"abc\\", "!file:1: JSON: a string without its closing quote");
    json_is("\"\\x\"", "!file:1: JSON: an unknown escape in a string");
    json_is("\"\\u12\"", "!file:1: JSON: a bad \\u escape");
    json_is("\"\\u12g4\"", "!file:1: JSON: a bad \\u escape");
    json_is("\"\\ud83d\\u12\"", "!file:1: JSON: a bad \\u escape");
    json_is("\"a\nb\"", "!file:2: JSON: a control character in a string");
    json_is_n("\"\\\0\"", 4, "!file:1: JSON: an unknown escape in a string");
    json_is_n("nul\0", 4, "!file:1: JSON: not a value");
    json_is_n("1\0", 2, "!file:1: JSON: something behind the end");
    static char deep[2 * PEFT__JSON_DEPTH + 3];
    for (int depth = PEFT__JSON_DEPTH; depth <= PEFT__JSON_DEPTH + 1; depth++) {
        memset(deep, '[', (size_t)depth), memset(deep + depth, ']', (size_t)depth);
        json_is_n(deep, 2 * (size_t)depth, depth > PEFT__JSON_DEPTH ? "!file:1: JSON: nested too deep" : (deep[2 * depth] = 0, deep));
    }
    static const char whole[] = "{\"a\": [1.5, \"x\\u00e9\\n\", {\"b\": null, \"c\": [true, false]}], \"d\": -2e3}";
    for (size_t n = 0; n < sizeof whole - 1; n++) {  // every truncation fails and leaves nothing
        peft__arena a;
        peft__arena_init(&a, ctx);
        peft__json *root = NULL;
        check(peft__json_parse(ctx, &a, whole, n, "file", &root) == PEFT_ERROR_FORMAT, "truncated JSON");
        peft__arena_free(&a);
    }
    peft__arena a;
    peft__arena_init(&a, ctx);
    peft__json *root = NULL;
    static const char text[] = "{\"i\": 7, \"h\": 7.9, \"n\": -3, \"big\": 1e30, \"t\": true, \"s\": \"str\", \"z\": null, \"\": 1}";
    check(!peft__json_parse(ctx, &a, text, sizeof text - 1, "file", &root), "an object");
    check(peft__json_int(root, "i", 0) == 7 && peft__json_int(root, "n", 0) == -3 && peft__json_int(root, "none", 5) == 5 && peft__json_int(root, "s", 5) == 5 &&
              peft__json_int(root, "big", 5) == 5 && peft__json_int(root, "", 0) == 1,
          "integers of an object");
    check(peft__json_double(root, "h", 0) == 7.9 && peft__json_bool(root, "t", false) && peft__json_bool(root, "z", true) && !peft__json_bool(root, "s", false), "values of an object");
    check(strcmp(peft__json_text(root, "s", "?"), "str") == 0 && strcmp(peft__json_text(root, "i", "?"), "?") == 0, "texts of an object");
    check(!peft__json_get(NULL, "a") && !peft__json_get(peft__json_get(root, "i"), "a"), "members of what is no object");
    peft__arena_free(&a);
}

// Numbers of options, tables and files have a point, whatever the program's locale has.
static void numbers_have_points(const char *what) {
    const char *text = " -2.5e-1,7", *end;
    check(peft__read_double(text, &end) == -0.25 && strcmp(end, ",7") == 0, what);
    check(peft__read_double("3", &end) == 3 && !*end, what);
    text = "x1", check(peft__read_double(text, &end) == 0 && end == text, what);
    text = "", check(peft__read_double(text, &end) == 0 && end == text, what);
    check(peft__read_double("0.10000000000000000000000000000000000000000000001", NULL) == 0.1, what);
    peft__string s;
    peft__string_init(&s, ctx);
    peft__python_float(&s, 0.1), peft__string_puts(&s, " "), peft__python_float(&s, -1e-7), peft__string_puts(&s, " ");
    peft__python_float(&s, 1.5e300), peft__string_puts(&s, " "), peft__python_float(&s, 42);
    check(strcmp(s.data, "0.1 -1e-07 1.5e+300 42.0") == 0, what);
    peft__string_free(&s);
}

static void test_locale(void) {
    static const char *const names[] = {"de_DE.UTF-8", "de_DE.utf8", "de_DE", "fr_FR.UTF-8", "fr_FR.utf8", "de-DE"};
    bool found = false;
    for (int i = 0; i < (int)PEFT__COUNT(names) && !found; i++) found = setlocale(LC_NUMERIC, names[i]) != NULL;
    if (!found || strcmp(localeconv()->decimal_point, ",") != 0) {
        printf("skipped: no locale with a decimal comma on this machine\n");
        skipped++;
    } else {
        json_is("[1.5,-0.25e-1,0.1]", "[1.5,-0.025,0.1]");
        json_is("1,5", "!file:1: JSON: something behind the end");
        numbers_have_points("numbers where a comma is the decimal point");
    }
    setlocale(LC_NUMERIC, "C");
    numbers_have_points("numbers in the C locale");
}

// ---- half floats

static double half_value(uint16_t h, int exponent_bits, int mantissa_bits) {
    int exponent = h >> mantissa_bits & ((1 << exponent_bits) - 1), mantissa = h & ((1 << mantissa_bits) - 1), bias = (1 << (exponent_bits - 1)) - 1;
    double sign = h & 0x8000 ? -1 : 1;
    if (exponent == (1 << exponent_bits) - 1) return mantissa ? NAN : sign * INFINITY;
    if (!exponent) return sign * ldexp(mantissa, 1 - bias - mantissa_bits);
    return sign * ldexp(mantissa + (1 << mantissa_bits), exponent - bias - mantissa_bits);
}

static bool same_number(double a, double b) {
    return a != a ? b != b : a == b && !signbit(a) == !signbit(b);
}

static uint16_t to_half(float f, bool brain) {
    return brain ? peft__f32_to_bf16(f) : peft__f32_to_f16(f);
}

static void test_halves(bool brain) {
    int e = brain ? 8 : 5, m = brain ? 7 : 10;
    uint16_t infinity = brain ? 0x7F80 : 0x7C00;
    bool widen = true, back = true, round = true;
    for (int i = 0; i < 65536; i++) {
        uint16_t h = (uint16_t)i;
        float f = brain ? peft__bf16_to_f32(h) : peft__f16_to_f32(h);
        widen = widen && same_number(half_value(h, e, m), (double)f);
        uint16_t again = to_half(f, brain);
        back = back && (f != f ? (again & 0x7FFF) > infinity && (again & 0x8000) == (h & 0x8000) : again == h);
        if ((h & 0x7FFF) >= infinity) continue;
        // Between h and its neighbour (infinity stands for one exponent more): halfway goes to the even one, what is nearer to the nearer one.
        double next = (h & 0x7FFF) + 1 == infinity ? ldexp(h & 0x8000 ? -1 : 1, 1 << (e - 1)) : half_value((uint16_t)(h + 1), e, m);
        float middle = (float)(((double)f + next) / 2);
        if (middle - middle != 0) continue;
        round = round && to_half(middle, brain) == (h & 1 ? h + 1 : h) && to_half(nextafterf(middle, 0), brain) == h &&
                to_half(nextafterf(middle, h & 0x8000 ? -INFINITY : INFINITY), brain) == h + 1;
    }
    check(widen, brain ? "every bf16 as f32" : "every f16 as f32");
    check(back, brain ? "every bf16 back" : "every f16 back");
    check(round, brain ? "rounding to bf16" : "rounding to f16");
    // No f32 has a nearer neighbour than the one it is rounded to.
    bool nearest = true;
    for (uint64_t u = 0; u <= 0xFFFFFFFFu; u += 601) {
        float f = peft__bits_float((uint32_t)u);
        uint16_t h = to_half(f, brain);
        if (f != f) {
            nearest = nearest && (h & 0x7FFF) > infinity;
            continue;
        }
        double v = half_value(h, e, m), d = fabs(v - (double)f);
        if (v - v != 0) {
            nearest = nearest && fabs((double)f) >= ldexp(2 - ldexp(1, -m - 1), (1 << (e - 1)) - 1);
            continue;
        }
        nearest = nearest && !signbit(v) == !signbit(f) && d <= fabs(half_value((uint16_t)(h + 1), e, m) - (double)f) &&
                  ((h & 0x7FFF) == 0 || d <= fabs(half_value((uint16_t)(h - 1), e, m) - (double)f));
    }
    check(nearest, brain ? "nearest bf16" : "nearest f16");
}

// ---- random numbers

static void test_random(void) {
    static const uint64_t split[] = {6457827717110365317ull, 3203168211198807973ull, 9817491932198370423ull, 4593380528125082431ull, 16408922859458223821ull};
    static const uint64_t xoshiro[] = {11520, 0, 1509978240, 1215971899390074240ull, 1216172134540287360ull, 607988272756665600ull, 16172922978634559625ull};
    uint64_t state = 1234567;
    for (int i = 0; i < 5; i++) check(peft__splitmix(&state) == split[i], "splitmix64's published sequence");
    peft_rng r = {{1, 2, 3, 4}}, s;
    for (int i = 0; i < 7; i++) check(peft__rng_next(&r) == xoshiro[i], "xoshiro256**'s published sequence");
    peft_rng_seed(&r, 5), peft_rng_seed(&s, 5);
    for (int i = 0; i < 100; i++) check(peft_rng_uniform(&r) == peft_rng_uniform(&s) && peft_rng_normal(&r) == peft_rng_normal(&s), "same seed, same numbers");
    peft_rng_seed(&s, 6);
    check(peft_rng_uniform(&r) != peft_rng_uniform(&s), "another seed");
    enum { N = 200000 };
    double mean = 0, square = 0, sum = 0, sum2 = 0, sum4 = 0;
    bool inside = true, finite = true;
    for (int i = 0; i < N; i++) {
        double u = peft_rng_uniform(&r), z = peft_rng_normal(&r);
        inside = inside && u >= 0 && u < 1;
        finite = finite && z - z == 0;
        mean += u, square += u * u, sum += z, sum2 += z * z, sum4 += z * z * z * z;
    }
    check(inside && finite && fabs(mean / N - 0.5) < 0.003 && fabs(square / N - 1.0 / 3) < 0.003, "uniform numbers");
    check(fabs(sum / N) < 0.01 && fabs(sum2 / N - 1) < 0.02 && fabs(sum4 / N - 3) < 0.15, "normal numbers");
    int64_t counts[7] = {0}, items[50];
    for (int i = 0; i < 70000; i++) counts[peft__rng_below(&r, 7)]++;
    for (int i = 0; i < 7; i++) check(counts[i] > 9600 && counts[i] < 10400, "integers below 7");
    check(peft__rng_below(&r, 1) == 0 && peft__rng_below(&r, INT64_MAX) >= 0, "bounds");
    int64_t first = 0, seen = 0;
    for (int k = 0; k < 1000; k++) {
        for (int i = 0; i < 50; i++) items[i] = i;
        peft__shuffle(&r, items, 50);
        int64_t bits = 0;
        for (int i = 0; i < 50; i++) bits |= (int64_t)1 << items[i];
        seen += bits == ((int64_t)1 << 50) - 1;
        first += items[0];
    }
    check(seen == 1000 && fabs((double)first / 1000 - 24.5) < 2, "shuffling keeps every item");
    check(peft__mix_seed(1, 2, 3) == peft__mix_seed(1, 2, 3) && peft__mix_seed(1, 2, 3) != peft__mix_seed(1, 3, 2) && peft__mix_seed(0, 0, 1) != peft__mix_seed(0, 1, 0),
          "seeds of parts");
}

// ---- files

#define FOLDER "build/basics_test"

static bool file_holds(const char *path, const char *text) {
    char *data = NULL;
    size_t n = 0;
    bool same = !peft__read_all(ctx, path, &data, &n) && n == strlen(text) && memcmp(data, text, n) == 0 && data[n] == 0;
    peft_free(ctx, data);
    return same;
}

static void test_files(void) {
    char buffer[8];
    peft__file f;
    peft_context *c = NULL;
    peft_context_create(NULL, &c);
    check(!peft_mount(c, "a/b", "first", 5) && !peft_mount(c, "a/b", "second", 6) && !peft_mount(c, "empty", NULL, 0), "mounting");
    check(!peft__file_open(c, "a/b", &f) && f.size == 6 && !peft__file_read(&f, 1, buffer, 3) && memcmp(buffer, "eco", 3) == 0, "the newest mount counts");
    check(peft__file_read(&f, 4, buffer, 3) == PEFT_ERROR_FORMAT && strstr(peft_error(c), "a/b: truncated"), "reading behind the end");
    check(peft__file_read(&f, UINT64_MAX, buffer, 1) == PEFT_ERROR_FORMAT && peft__file_read(&f, 1, buffer, SIZE_MAX) == PEFT_ERROR_FORMAT, "reading far behind the end");
    check(!peft__file_read(&f, 6, buffer, 0), "reading nothing at the end");
    peft__file_close(&f);
    check(!peft__file_open(c, "empty", &f) && f.size == 0, "an empty mount");
    peft__file_close(&f);
    check(peft__file_open(c, "", &f) == PEFT_ERROR_ARGUMENT && peft__file_open(c, NULL, &f) == PEFT_ERROR_ARGUMENT, "no path");
    check(peft__file_open(c, "a/c", &f) == PEFT_ERROR_MISSING && strstr(peft_error(c), "a/c"), "a file that is not there");
    char kept[64];
    snprintf(kept, sizeof kept, "%.60s", peft_error(c));
    check(peft__file_exists(c, "a/b") && !peft__file_exists(c, "nothing") && strncmp(peft_error(c), kept, 60) == 0, "asking for a file is no error");
    check(peft__file_open(c, ".", &f) == PEFT_ERROR_IO, "a folder is no file");
    peft_context_destroy(c);

    peft__writer w;
    check(!peft__writer_open(ctx, FOLDER "/x", &w) && !peft__write(&w, "abc", 3) && peft__file_exists(ctx, FOLDER "/x.part") && !peft__file_exists(ctx, FOLDER "/x"),
          "a file is written under another name");
    check(!peft__writer_commit(&w) && file_holds(FOLDER "/x", "abc") && !peft__file_exists(ctx, FOLDER "/x.part"), "and renamed at the end");
    check(!peft__writer_open(ctx, FOLDER "/x", &w) && !peft__write(&w, "longer text", 11), "writing over it");
    peft__writer_abort(&w);
    check(file_holds(FOLDER "/x", "abc") && !peft__file_exists(ctx, FOLDER "/x.part"), "given up: the old file stays");
    check(!peft__writer_open(ctx, FOLDER "/x", &w) && !peft__write(&w, "", 0) && !peft__writer_commit(&w) && file_holds(FOLDER "/x", ""), "an empty file");
    check(peft__writer_open(ctx, FOLDER "/no/x", &w) == PEFT_ERROR_IO && strstr(peft_error(ctx), FOLDER "/no/x"), "a folder that is not there");
    check(peft__write(&w, "a", 1) == PEFT_ERROR_IO && peft__writer_commit(&w) == PEFT_ERROR_IO, "a writer that failed to open");
    remove(FOLDER "/x");
}

int main(void) {
    setvbuf(stdout, NULL, _IOLBF, 0);  // what failed is seen even if a later test crashes
    peft_context_create(NULL, &ctx);
    check(!peft__make_folder(ctx, "build") && !peft__make_folder(ctx, FOLDER), "a folder for the output");
    test_contexts();
    test_memory();
    test_threads();
    test_text();
    test_log();
    test_arena();
    test_map();
    test_utf8();
    test_json();
    test_locale();
    test_halves(false);
    test_halves(true);
    test_random();
    test_files();
    check(peft_memory_in_use(ctx) == 0, "everything is given back");
    peft_context_destroy(ctx);
    printf("%d passed, %d failed, %d skipped\n", passed, failed, skipped);
    return failed != 0;
}
