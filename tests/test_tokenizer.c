// Chapter 7: golden ids of sentencepiece and Hugging Face, sentinels, round trips, damaged files, failing allocations.
//   cc -O2 -I. tests/test_tokenizer.c -o test_tokenizer -lm && ./test_tokenizer      (PEFT_SHARED: where the vocabularies lie)
#define PEFT_NO_METRICS  // what this program needs of the header
#define PEFT_IMPLEMENTATION
#include "peft.h"
#include "check.h"
#include <stdio.h>

static int passed, failed;

static void check(bool ok, const char *what) {
    if (test_count(&passed, &failed, ok, what)) printf("FAIL %s\n", what);
}

static peft_context *ctx;

// ---- a small model of our own, written by hand

static void put(peft__string *s, int c) {
    char byte = (char)c;
    peft__string_append(s, &byte, 1);
}

static void put_piece(peft__string *model, const char *text, float score, int type) {
    size_t n = strlen(text);
    uint32_t bits = peft__float_bits(score);
    put(model, 0x0A), put(model, (int)n + 9), put(model, 0x0A), put(model, (int)n);
    peft__string_append(model, text, n);
    put(model, 0x15);
    for (int i = 0; i < 4; i++) put(model, (int)(bits >> 8 * i & 255));
    put(model, 0x18), put(model, type);
}

#define SP "\xE2\x96\x81"

static void small_model(peft__string *m, int kind, bool bytes) {
    peft__string_init(m, ctx);
    put_piece(m, "<pad>", 0, 3), put_piece(m, "</s>", 0, 3), put_piece(m, "<unk>", 0, 2);
    static const char *const pieces[] = {SP, "a", "b", "c", "ab", "abc", SP "a", SP "ab", "\xC3\xA9", "bc"};
    for (int i = 0; i < 10; i++) put_piece(m, pieces[i], -1.0f - (float)((i * 7) % 10), 1);
    put_piece(m, "[x]", 0, 4);
    for (int i = 0; i < 256 && bytes; i++) {
        char name[8];
        snprintf(name, sizeof name, "<0x%02X>", i);
        put_piece(m, name, 0, 6);
    }
    put(m, 0x12), put(m, 5), put(m, 0x18), put(m, kind), put(m, 0x98), put(m, 0x02), put(m, bytes);  // type, byte_fallback
}

static bool same_ids(const peft_tokenizer *t, const char *text, const int32_t *want, int64_t n, bool special) {
    peft_ids ids = {NULL, 0, 0};
    peft_status s = special ? peft_encode_special(t, text, strlen(text), &ids) : peft_encode(t, text, strlen(text), &ids);
    bool ok = !s && ids.count == n && (!n || memcmp(ids.data, want, (size_t)n * 4) == 0);
    if (!ok) {
        printf("  '%s' gave", text);
        for (int64_t i = 0; i < ids.count && i < 60; i++) printf(" %d", (int)ids.data[i]);
        printf("\n");
    }
    peft_ids_free(ctx, &ids);
    return ok;
}

static peft_tokenizer *mounted(const char *path, const char *data, size_t n) {
    peft_tokenizer *t = NULL;
    peft_mount(ctx, path, data, n);
    if (peft_tokenizer_load(ctx, path, &t)) printf("  %s\n", peft_error(ctx));
    return t;
}

static void test_small(void) {
    peft__string m;
    small_model(&m, 1, false);
    peft_tokenizer *t = mounted("small/spiece.model", m.data, m.size);
    check(t != NULL, "small unigram model loads");
    if (t) {
        peft_special_ids s = peft_tokenizer_special(t);
        check(s.pad == 0 && s.eos == 1 && s.unk == 2 && s.bos == -1, "its special ids");
        check(peft_vocab_size(t) == 114 && peft_token_id(t, "<extra_id_0>") == 113, "sentinels are behind the pieces");
        check(peft_token_text(t, 114) == NULL && peft_token_text(t, -1) == NULL && peft_token_id(t, "nothing") == -1, "no such token");
        const int32_t unknown[] = {3, 2}, user[] = {3, 13}, sentinel[] = {9, 113, 9, 1};
        check(same_ids(t, "zzz", unknown, 2, false), "a run of unknown characters is one token");
        check(same_ids(t, "[x]", user, 2, false), "a user-defined symbol");
        check(same_ids(t, "a <extra_id_0> a </s>", sentinel, 4, true), "special tokens in the text, spaces around swallowed");
        check(same_ids(t, "", NULL, 0, true) && same_ids(t, "  \x00", NULL, 0, false), "nothing");
        const int32_t bad[] = {-1}, far[] = {9, 5000, 113};
        char *text;
        check(peft_decode(t, bad, 1, true, &text, NULL) == PEFT_ERROR_ARGUMENT && !text, "a negative id is refused");
        check(!peft_decode(t, far, 3, true, &text, NULL) && strcmp(text, "a") == 0, "an id behind the vocabulary prints nothing");
        peft_free(ctx, text);
        check(!peft_decode(t, far, 3, false, &text, NULL) && strcmp(text, "a<extra_id_0>") == 0, "special tokens shown on request");
        peft_free(ctx, text);
    }
    peft_tokenizer_destroy(t);
    for (int kind = 1; kind <= 2; kind++)
        for (int bytes = 0; bytes < 2; bytes++) {  // every truncation, and every byte changed
            peft__string x;
            small_model(&x, kind, bytes != 0);
            char *copy = (char *)peft__alloc(ctx, x.size);
            int crashes = 0;
            for (size_t i = 0; i < x.size; i += x.size > 1000 ? 17 : 1)
                for (int how = 0; how < 3; how++) {
                    memcpy(copy, x.data, x.size);
                    if (how) copy[i] = (char)(how == 1 ? copy[i] ^ 0x80 : copy[i] + 1);
                    peft_context *own;
                    peft_context_create(NULL, &own);
                    peft_mount(own, "m", copy, how ? x.size : i);
                    peft_tokenizer *u = NULL;
                    if (!peft_tokenizer_load(own, "m", &u)) {
                        peft_ids ids = {NULL, 0, 0};
                        char *text = NULL;
                        peft_encode_special(u, "ab abc\xC3\xA9 \xFF [x] zz</s>abababababcabcabcabcabcabcabcabcbababcbabcbabcbcbabcbabcb", 68, &ids);
                        peft_decode(u, ids.data, ids.count, false, &text, NULL);
                        peft_free(own, text);
                        peft_ids_free(own, &ids);
                    } else if (!*peft_error(own)) crashes++;
                    peft_tokenizer_destroy(u);
                    if (peft_memory_in_use(own) > sizeof(peft__mounted) + 1) crashes++;
                    peft_context_destroy(own);
                }
            check(!crashes, "damaged models: an error with a text, nothing leaked");
            peft__free(ctx, copy);
            peft__string_free(&x);
        }
    peft__string_free(&m);
}

// ---- failing allocations

static long allowed;
static void *scarce(size_t size, void *user) {
    (void)user;
    return allowed-- > 0 ? malloc(size) : NULL;
}
static void give_back(void *p, void *user) {
    (void)user;
    free(p);
}

static peft_status whole_life(peft_context *c, const char *path) {
    peft_tokenizer *t = NULL;
    peft_ids ids = {NULL, 0, 0};
    char *text = NULL, longer[600];
    peft_status s = peft_tokenizer_load(c, path, &t);
    for (int i = 0; i < 600; i++) longer[i] = (char)("abc"[i % 3]);
    if (!s) s = peft_encode_special(t, "abc ab </s> zz", 14, &ids);
    if (!s) s = peft_encode(t, longer, 600, &ids);
    if (!s) s = peft_decode(t, ids.data, ids.count, false, &text, NULL);
    peft_free(c, text);
    peft_ids_free(c, &ids);
    peft_tokenizer_destroy(t);
    return s;
}

static const char tiny_json[] =
    "{\"added_tokens\":[{\"id\":7,\"content\":\"<|end|>\",\"special\":true}],\"pre_tokenizer\":{\"type\":\"ByteLevel\",\"add_prefix_space\":false},"
    "\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"b\":1,\"c\":2,\"ab\":3,\"abc\":4,\"\\u0120\":5,\"\\u0120ab\":6},"
    "\"merges\":[\"a b\",[\"ab\",\"c\"],\"\\u0120 ab\"]}}";

static void test_memory(void) {
    for (int kind = 1; kind <= 3; kind++) {
        peft__string m;
        small_model(&m, kind == 3 ? 1 : kind, kind == 2);
        bool ok = true, done = false;
        for (long n = 1; n < 2000 && ok && !done; n++) {
            peft_context_desc d;
            memset(&d, 0, sizeof d);
            d.allocator.alloc = scarce, d.allocator.free = give_back;
            allowed = 1000;
            peft_context *c;
            peft_context_create(&d, &c);
            peft_mount(c, "m", kind == 3 ? tiny_json : m.data, kind == 3 ? sizeof tiny_json - 1 : m.size);
            size_t before = peft_memory_in_use(c);
            allowed = n;
            peft_status s = whole_life(c, "m");
            ok = (s == PEFT_OK || s == PEFT_ERROR_MEMORY) && peft_memory_in_use(c) == before;
            done = s == PEFT_OK;
            peft_context_destroy(c);
        }
        check(ok && done, "every allocation may fail");
        peft__string_free(&m);
    }
}

static void test_json(void) {
    peft_tokenizer *t = mounted("tiny.json", tiny_json, sizeof tiny_json - 1);
    check(t != NULL, "tiny tokenizer.json loads");
    if (!t) return;
    const int32_t ids[] = {4, 5, 4, 1}, special[] = {4, 7, 3};
    check(same_ids(t, "abc abcb", ids, 4, false), "byte-level merges");
    check(same_ids(t, "abc<|end|>ab", special, 3, true), "an added token");
    peft_tokenizer_destroy(t);
    static const char unknown[] = "{\"pre_tokenizer\":{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Split\",\"pattern\":{\"Regex\":\"(x+)\\\\1\"},\"behavior\":\"Isolated\",\"invert\":false},"
                                  "{\"type\":\"ByteLevel\",\"use_regex\":false}]},\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[]}}";
    peft_mount(ctx, "regex.json", unknown, sizeof unknown - 1);
    check(peft_tokenizer_load(ctx, "regex.json", &t) == PEFT_ERROR_UNSUPPORTED && strstr(peft_error(ctx), "x+"), "an unknown regex is named");
    // what a file says where it must not, and the words for it
#define MODEL "\"model\":{\"type\":\"WordLevel\",\"vocab\":{\"a\":0},\"unk_token\":\"a\"}"
    static const struct {
        peft_status status;
        const char *json, *message;
    } refused[] = {
        {PEFT_ERROR_FORMAT, "{\"model\":{\"type\":\"WordLevel\"}}", "no vocabulary"},
        {PEFT_ERROR_FORMAT, "{\"model\":{\"type\":\"WordLevel\",\"vocab\":{\"a\":0.5}}}", "token 0 of the vocabulary is damaged"},
        {PEFT_ERROR_UNSUPPORTED, "{\"model\":{\"type\":\"WordLevel\",\"vocab\":{\"a\":0},\"unk_token\":1}}", "model: unk_token"},
        {PEFT_ERROR_FORMAT, "{\"normalizer\":{\"type\":\"Sequence\"}," MODEL "}", "a Sequence without normalizers"},
        {PEFT_ERROR_UNSUPPORTED, "{\"normalizer\":{\"type\":\"Replace\",\"pattern\":{\"String\":\"\"},\"content\":\"b\"}," MODEL "}", "a pattern that is empty"},
        {PEFT_ERROR_FORMAT, "{\"normalizer\":{\"type\":\"Precompiled\",\"precompiled_charsmap\":\"AAAA\"}," MODEL "}", "character map is damaged"},
        {PEFT_ERROR_FORMAT, "{\"pre_tokenizer\":{\"type\":\"Metaspace\",\"replacement\":\"_\",\"add_prefix_space\":false,\"prepend_scheme\":\"first\"}," MODEL "}",
         "add_prefix_space does not fit prepend_scheme"},
        {PEFT_ERROR_FORMAT, "{\"added_tokens\":[{\"id\":1}]," MODEL "}", "an added token is damaged"},
        {PEFT_ERROR_UNSUPPORTED, "{\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":[{\"Sequence\":{\"id\":\"B\"}}]}," MODEL "}",
         "a template that is not one text and tokens around it"}};
#undef MODEL
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        peft_mount(ctx, "refused.json", refused[i].json, strlen(refused[i].json));
        check(peft_tokenizer_load(ctx, "refused.json", &t) == refused[i].status && !t && strstr(peft_error(ctx), refused[i].message), refused[i].message);
    }
    // what a Replace puts before the text, and a step that rewrites it: the tokenizers library writes it twice
#define BEFORE(more, pre) "{\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"Replace\",\"pattern\":{\"Regex\":\"^\"},\"content\":\"b\"}" more "]}," pre \
    "\"model\":{\"type\":\"BPE\",\"unk_token\":\"a\",\"vocab\":{\"a\":0,\"b\":1,\"\u00E9\":2},\"merges\":[]}}"
    static const char *const before[] = {BEFORE(",{\"type\":\"StripAccents\"}", ""), BEFORE(",{\"type\":\"Replace\",\"pattern\":{\"String\":\"\u0301\"},\"content\":\"\"}", ""),
        BEFORE("", "\"pre_tokenizer\":{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"use_regex\":true},")};
#undef BEFORE
    for (int i = 0; i < 3; i++) {
        peft_ids out = {NULL, 0, 0};
        t = mounted("before.json", before[i], strlen(before[i]));
        peft_status status = t ? peft_encode(t, "ba\xCC\x81", 4, &out) : PEFT_ERROR_FORMAT;
        if (i == 1) check(!status && out.count == 3 && out.data[0] == 1 && out.data[2] == 0, "what a Replace puts before the text stands there");
        else check(status == PEFT_ERROR_UNSUPPORTED && !out.count && strstr(peft_error(ctx), "before.json: a Replace puts"), "and is refused where a step rewrites it");
        peft_ids_free(ctx, &out);
        peft_tokenizer_destroy(t);
    }
    for (size_t n = 0; n + 1 < sizeof tiny_json; n++) {
        char name[32];
        snprintf(name, sizeof name, "cut%d.json", (int)n);
        peft_mount(ctx, name, tiny_json, n);
        check(peft_tokenizer_load(ctx, name, &t) != PEFT_OK && !t, "a truncated tokenizer.json is an error");
    }
}

// ---- tests/data/tokenizers.jsonl: every step and key of tokenizer.json, with what the tokenizers library makes of some texts

static bool ids_are(const peft_ids *ids, const peft__json *want) {
    bool same = ids->count == (int64_t)want->length;
    int64_t i = 0;
    for (const peft__json *id = want->child; id && same; id = id->next) same = ids->data[i++] == (int32_t)id->number;
    return same;
}

static void check_result(const peft_tokenizer *t, const char *name, const peft__json *result) {
    const peft__json *text = result->child, *want = text->next, *full = want->next, *back = full->next;
    peft_ids ids[2];
    char *out = NULL;
    size_t size = 0;
    memset(ids, 0, sizeof ids);
    bool ok = !peft_encode_special(t, text->string, text->length, &ids[0]) && ids_are(&ids[0], want);
    if (!ok) printf("  %s: ids of '%s'\n", name, text->string);
    check(ok, "ids of a tokenizer.json");
    ok = !peft_encode_full(t, text->string, text->length, &ids[1]) && ids_are(&ids[1], full);
    if (!ok) printf("  %s: ids around '%s'\n", name, text->string);
    check(ok, "ids around a text");
    ok = !peft_decode(t, ids[0].data, ids[0].count, true, &out, &size) && size == back->length && memcmp(out, back->string, size) == 0;
    if (!ok) printf("  %s: '%s' for '%s'\n", name, out ? out : "(nothing)", back->string);
    check(ok, "text of a tokenizer.json");
    peft_free(ctx, out);
    for (int i = 0; i < 2; i++) peft_ids_free(ctx, &ids[i]);
}

// The text of the tokenizer of a line: the value of its key "tokenizer".
static const char *tokenizer_text(const char *line, size_t n, const char *next, size_t *size) {
    const char *from = strstr(line, "\"tokenizer\":") + strlen("\"tokenizer\":"), *to = from, *hit;
    while ((hit = strstr(to, next)) != NULL && hit < line + n) to = hit + 1;
    *size = (size_t)(to - 1 - from);
    return from;
}

static void test_cases(void) {
    char *lines = NULL;
    size_t n = 0;
    int cases = 0;
    peft__arena a;
    peft__arena_init(&a, ctx);
    check(!peft__read_all(ctx, "tests/data/tokenizers.jsonl", &lines, &n), "tests/data/tokenizers.jsonl is there");
    for (char *p = lines, *end; lines && p < lines + n; p = end + 1) {
        peft__json *v = NULL;
        peft_tokenizer *t = NULL;
        size_t size;
        char path[32];
        end = strchr(p, '\n');
        *end = 0;
        if (peft__json_parse(ctx, &a, p, (size_t)(end - p), "tokenizers.jsonl", &v)) {
            check(false, peft_error(ctx));
            break;
        }
        const char *name = peft__json_text(v, "name", ""), *error = peft__json_text(v, "error", NULL);
        const char *text = tokenizer_text(p, (size_t)(end - p), error ? ",\"error\":" : ",\"results\":", &size);
        snprintf(path, sizeof path, "case%d.json", cases++);
        peft_mount(ctx, path, text, size);
        peft_status status = peft_tokenizer_load(ctx, path, &t);
        bool named = error && status && strstr(peft_error(ctx), error) && strstr(peft_error(ctx), path);
        if (error ? !named : status != PEFT_OK) printf("  %s: %s\n", name, status ? peft_error(ctx) : "it loads");
        check(error ? named : !status, error ? "refused by name" : "a tokenizer.json loads");
        const peft__json *results = peft__json_get(v, "results");
        for (const peft__json *r = t && results ? results->child : NULL; r; r = r->next) check_result(t, name, r);
        peft_tokenizer_destroy(t);
        peft__arena_reset(&a);
    }
    check(cases > 80, "all cases were there");
    peft__free(ctx, lines);
    peft__arena_free(&a);
}

// Words of the published pre-tokenizers, '|' between them, by hand and by the regular expression.
static void test_words(void) {
    static const struct {
        int split;
        bool digits;
        const char *text, *words;
    } cases[] = {
        {PEFT__SPLIT_LLAMA3, false, "I'LL see 12345 a\n\n b   c!?\n\nx", "I|'LL| see| |123|45| a|\n\n| b|  | c|!?\n\n|x"},
        {PEFT__SPLIT_QWEN2, false, "(word) x=12\t\ty \r\n  z  ", "(word|)| x|=|1|2|\t|\ty| \r\n| | z|  "},
        {PEFT__SPLIT_GPT2, false, "I'LL see 123's\n\n b   c!?\n\nx ", "I|'|LL| see| 123|'s|\n\n| b|  | c|!?|\n|\n|x| "},
        {PEFT__SPLIT_GPT2, true, "at 12 \xC3\xA9t\xC3\xA9 3", "at| |1|2| \xC3\xA9t\xC3\xA9| |3"},
    };
    for (size_t k = 0; k < sizeof cases / sizeof cases[0]; k++)
        for (int by_regex = 0; by_regex < 2; by_regex++) {
            static const char name[] = "words.json";
            peft__string json;
            peft__string_init(&json, ctx);
            peft__string_puts(&json, "{\"pre_tokenizer\":{\"type\":\"Sequence\",\"pretokenizers\":[");
            if (cases[k].digits) peft__string_puts(&json, "{\"type\":\"Digits\",\"individual_digits\":true},");
            peft__string_puts(&json, "{\"type\":\"Split\",\"behavior\":\"Isolated\",\"invert\":false,\"pattern\":{\"Regex\":");
            const char *pattern = peft__split_patterns[cases[k].split];
            char longer[300];
            snprintf(longer, sizeof longer, "%s%s", pattern, by_regex ? "|\\s" : "");
            peft__json_quote(&json, longer, strlen(longer));
            peft__string_puts(&json, "}}]},\"model\":{\"type\":\"WordLevel\",\"unk_token\":\"a\",\"vocab\":{\"a\":0}}}");
            peft_tokenizer *t = mounted(name, json.data, json.size);
            peft__encoder e;
            char words[200];
            size_t at = 0;
            check(t != NULL, "a pre-tokenizer loads");
            if (t) {
                check((t->steps[PEFT__PRE_TOKENIZERS][cases[k].digits].regex != NULL) == (by_regex == 1), "by hand, or not");
                peft__encoder_open(&e, t, 1000);
                check(peft__cut_words(&e, cases[k].text, strlen(cases[k].text), 0), "it cuts");
                for (int64_t i = 0; i < e.spans.count; i++) {
                    size_t n = (size_t)(e.spans.data[i].to - e.spans.data[i].from);
                    if (at) words[at++] = '|';
                    memcpy(words + at, e.text.data + e.spans.data[i].from, n);
                    at += n;
                }
                peft__encoder_close(&e);
            }
            words[at] = 0;
            check(strcmp(words, cases[k].words) == 0, "words of a pre-tokenizer");
            if (strcmp(words, cases[k].words) != 0) printf("  %s\n", words);
            peft_tokenizer_destroy(t);
            peft__string_free(&json);
        }
}

// ---- folders: which file counts, and what the files beside it add

static const char unigram_json[] =
    "{\"added_tokens\":[{\"id\":0,\"content\":\"<pad>\",\"special\":true}],\"pre_tokenizer\":{\"type\":\"WhitespaceSplit\"},"
    "\"model\":{\"type\":\"Unigram\",\"unk_id\":1,\"vocab\":[[\"<pad>\",0],[\"?\",-9],[\"a\",-1],[\"b\",-2],[\"c\",-3]]}}";

static void put_file(const char *folder, const char *name, const char *text, size_t n) {
    char path[128];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    peft_mount(ctx, path, text, n);
}

static void test_folders(void) {
    static const char vocab[] = "{\"a\":0,\"b\":1,\"ab\":2,\"<|endoftext|>\":3}", merges[] = "#version: 0.2\na b\n", added[] = "{\"<|sep|>\":4}";
    static const char wrong[] = "{\"<|sep|>\":7}", config[] = "{\"tokenizer_class\":\"GPT2Tokenizer\",\"pad_token\":\"<|pad|>\",\"bos_token\":null}";
    static const char decoder[] = "{\"tokenizer_class\":\"T5Tokenizer\",\"added_tokens_decoder\":{\"114\":{\"content\":\"a b\",\"lstrip\":false,\"rstrip\":true,"
                                  "\"normalized\":false,\"single_word\":false,\"special\":false}}}";
    static const char odd[] = "{\"tokenizer_class\":\"LayoutTokenizer\"}";
    peft__string model;
    peft_tokenizer *t = NULL;
    small_model(&model, 1, false);
    put_file("both", "spiece.model", model.data, model.size);
    put_file("both", "tokenizer.json", unigram_json, sizeof unigram_json - 1);
    check(!peft_tokenizer_load(ctx, "both", &t) && peft_vocab_size(t) == 5, "tokenizer.json comes before spiece.model");
    peft_tokenizer_destroy(t);
    // unigram's unk: a special token where it is among the added ones
    static const char unk_json[] =
        "{\"added_tokens\":[{\"id\":1,\"content\":\"?\",\"special\":true}],"
        "\"model\":{\"type\":\"Unigram\",\"unk_id\":1,\"vocab\":[[\"<pad>\",0],[\"?\",-9],[\"a\",-1],[\"b\",-2]]}}";
    put_file("unk", "tokenizer.json", unk_json, sizeof unk_json - 1);
    for (int k = 0; k < 3; k++) {  // skipped, shown; not special
        const int32_t some[] = {2, 1, 3};
        char *text = NULL;
        check(!peft_tokenizer_load(ctx, k < 2 ? "unk" : "both", &t) && !peft_decode(t, some, 3, k != 1, &text, NULL) &&
              strcmp(text, k ? "a ? b" : "a b") == 0, "unk in a text without special tokens");
        peft_free(ctx, text);
        peft_tokenizer_destroy(t);
    }
    put_file("gpt", "vocab.json", vocab, sizeof vocab - 1);
    put_file("gpt", "merges.txt", merges, sizeof merges - 1);
    put_file("gpt", "added_tokens.json", added, sizeof added - 1);
    put_file("gpt", "tokenizer_config.json", config, sizeof config - 1);
    const int32_t sep[] = {2, 4, 2};
    check(!peft_tokenizer_load(ctx, "gpt", &t), "vocab.json with added tokens");
    if (t) {
        check(same_ids(t, "ab<|sep|>ab", sep, 3, false), "added_tokens.json counts");
        check(peft_tokenizer_special(t).pad == 5 && peft_tokenizer_special(t).bos == -1, "a named token gets the next id; null is none");
    }
    peft_tokenizer_destroy(t);
    put_file("bad", "vocab.json", vocab, sizeof vocab - 1);
    put_file("bad", "merges.txt", merges, sizeof merges - 1);
    put_file("bad", "added_tokens.json", wrong, sizeof wrong - 1);
    check(peft_tokenizer_load(ctx, "bad", &t) == PEFT_ERROR_FORMAT && strstr(peft_error(ctx), "<|sep|>"), "an id that cannot be is named");
    put_file("text", "vocab.json", vocab, sizeof vocab - 1);
    put_file("text", "merges.txt", merges, sizeof merges - 1);
    put_file("text", "added_tokens.json", "{\"x\":\"4\"}", 9);
    check(peft_tokenizer_load(ctx, "text", &t) == PEFT_ERROR_FORMAT && strstr(peft_error(ctx), "added_tokens.json: the id of x"), "an id that is a text");
    put_file("odd", "vocab.json", vocab, sizeof vocab - 1);
    put_file("odd", "merges.txt", merges, sizeof merges - 1);
    put_file("odd", "tokenizer_config.json", odd, sizeof odd - 1);
    check(peft_tokenizer_load(ctx, "odd", &t) == PEFT_ERROR_UNSUPPORTED && strstr(peft_error(ctx), "LayoutTokenizer"), "a class that is not known is named");
    put_file("t5", "spiece.model", model.data, model.size);
    put_file("t5", "tokenizer_config.json", decoder, sizeof decoder - 1);
    const int32_t t5[] = {9, 114, 9, 113, 1}, plain[] = {9, 114, 9};
    check(!peft_tokenizer_load(ctx, "t5", &t), "spiece.model with added tokens");
    if (t) {
        check(same_ids(t, "a a b  a<extra_id_0></s>", t5, 5, true) && same_ids(t, "a a b a", plain, 3, false), "added_tokens_decoder counts");
        peft_ids ids = {NULL, 0, 0};
        check(!peft_encode_full(t, "a", 1, &ids) && ids.count == 2 && ids.data[1] == 1, "T5's texts end with </s>");
        peft_ids_free(ctx, &ids);
    }
    peft_tokenizer_destroy(t);
    peft__string_free(&model);
}

// Llama's class: no space before what follows a special token, one before the text, unless it has it.
static void test_llama_class(void) {
    static const char config[] = "{\"tokenizer_class\":\"LlamaTokenizer\",\"add_bos_token\":true,\"bos_token\":\"</s>\"}";
    static const char legacy[] = "{\"tokenizer_class\":\"LlamaTokenizer\",\"legacy\":true}";
    peft__string model;
    peft_tokenizer *t = NULL;
    small_model(&model, 2, true);
    put_file("llama", "tokenizer.model", model.data, model.size);
    put_file("llama", "tokenizer_config.json", config, sizeof config - 1);
    const int32_t now[] = {9, 1, 4}, spaced[] = {9}, before[] = {9, 1, 9}, full[] = {1, 9};
    peft_ids ids = {NULL, 0, 0};
    check(!peft_tokenizer_load(ctx, "llama", &t), "Llama's class");
    if (t) {
        check(same_ids(t, "a</s>a", now, 3, true) && same_ids(t, " a", spaced, 1, false), "a space before the text only, and not twice");
        check(!peft_encode_full(t, "a", 1, &ids) && ids.count == 2 && memcmp(ids.data, full, sizeof full) == 0, "add_bos_token");
        peft_ids_free(ctx, &ids);
    }
    peft_tokenizer_destroy(t);
    put_file("legacy", "tokenizer.model", model.data, model.size);
    put_file("legacy", "tokenizer_config.json", legacy, sizeof legacy - 1);
    check(!peft_tokenizer_load(ctx, "legacy", &t), "Llama's class before");
    if (t) check(same_ids(t, "a</s>a", before, 3, true), "legacy puts a space behind special tokens");
    peft_tokenizer_destroy(t);
    peft__string_free(&model);
}

// A replacement that is long, of a space: the text may not grow without bound.
static void test_growth(void) {
    peft__string json, text;
    peft_tokenizer *t = NULL;
    peft__string_init(&json, ctx);
    peft__string_init(&text, ctx);
    peft__string_puts(&json, "{\"normalizer\":{\"type\":\"Replace\",\"pattern\":{\"String\":\" \"},\"content\":\"");
    for (int i = 0; i < 100000; i++) peft__string_puts(&json, "a");
    peft__string_puts(&json, "\"},\"model\":{\"type\":\"WordLevel\",\"unk_token\":\"a\",\"vocab\":{\"a\":0}}}");
    for (int i = 0; i < 20000; i++) peft__string_puts(&text, " ");
    peft_mount(ctx, "long.json", json.data, json.size);
    check(!peft_tokenizer_load(ctx, "long.json", &t), "a long replacement loads");
    peft_ids ids = {NULL, 0, 0};
    size_t peak = peft_memory_in_use(ctx);
    if (t) check(peft_encode(t, text.data, text.size, &ids) == PEFT_ERROR_ARGUMENT && !ids.count, "a text that grows too much is an error");
    check(peft_memory_in_use(ctx) == peak, "nothing is kept of it");
    peft_tokenizer_destroy(t);
    peft__string_free(&json);
    peft__string_free(&text);
}

// ---- golden

static const char *shared(const char *path) {
    static char full[1024];
    const char *root = getenv("PEFT_SHARED");
    snprintf(full, sizeof full, "%s/%s", root ? root : "../shared", path);
    return full;
}

static void test_golden(const char *name, const char *path, const char *lines, size_t n, bool decode) {
    peft_tokenizer *t;
    if (peft_tokenizer_load(ctx, shared(path), &t)) {
        check(false, peft_error(ctx));
        return;
    }
    peft__arena a;
    peft__arena_init(&a, ctx);
    for (const char *p = lines, *end; p < lines + n; p = end + 1) {
        if (!(end = (const char *)memchr(p, '\n', (size_t)(lines + n - p)))) end = lines + n;
        peft__json *v;
        if (peft__json_parse(ctx, &a, p, (size_t)(end - p), "golden", &v) || strcmp(peft__json_text(v, "tokenizer", ""), name)) continue;
        const peft__json *text = peft__json_get(v, "text"), *want = peft__json_get(v, "ids"), *back = peft__json_get(v, "decoded");
        peft_ids ids = {NULL, 0, 0};
        bool ok = !peft_encode(t, text->string, text->length, &ids) && ids.count == (int64_t)want->length;
        int64_t i = 0;
        for (const peft__json *id = want->child; id && ok; id = id->next) ok = ids.data[i++] == (int32_t)id->number;
        if (!ok) printf("  %s: ids of '%s'\n", path, text->string);
        check(ok, "golden ids");
        char *out = NULL;
        size_t size = 0;
        ok = !decode || (!peft_decode(t, ids.data, ids.count, true, &out, &size) && size == back->length && memcmp(out, back->string, size) == 0);
        if (!ok) printf("  %s: '%s' for '%s'\n", path, out, back->string);
        check(ok, "golden text");
        peft_free(ctx, out);
        peft_ids_free(ctx, &ids);
        peft__arena_reset(&a);
    }
    peft__arena_free(&a);
    peft_tokenizer_destroy(t);
}

// Cutting the text at spaces, few or many symbols at a time, whole words at once: all of them are to change nothing.
static void test_shortcuts(const char *path, peft_rng *rng) {
    peft_tokenizer *t;
    if (peft_tokenizer_load(ctx, shared(path), &t)) {
        check(false, peft_error(ctx));
        return;
    }
    static const char *const bits[] = {" ", " ", "th", "e", "ing", "  ", "\n", "a", "X", "1", "\xC3\xA9", ".", "lower", "\xE4\xBD\xA0", "\xF0\x9F\x98\x80", "'s"};
    int wrong = 0, torn = 0;
    for (int round = 0; round < 300; round++) {
        peft__string s;
        peft__string_init(&s, ctx);
        int n = 1 + (int)peft__rng_below(rng, 60);
        for (int i = 0; i < n; i++) peft__string_puts(&s, bits[peft__rng_below(rng, 16)]);
        peft_ids ids = {NULL, 0, 0}, plain = {NULL, 0, 0};
        peft_encode(t, s.data, s.size, &ids);
        bool *whole = (bool *)peft__calloc(ctx, t->count, sizeof(bool)), begins = t->space_begins;
        for (int64_t i = 0; i < t->count; i++) whole[i] = t->pieces[i].whole, t->pieces[i].whole = false;
        unsigned char *kept = t->kept;
        t->space_begins = false;
        t->kept = NULL;
        peft_encode(t, s.data, s.size, &plain);
        t->space_begins = begins;
        t->kept = kept;
        for (int64_t i = 0; i < t->count; i++) t->pieces[i].whole = whole[i];
        if (ids.count != plain.count || (ids.count && memcmp(ids.data, plain.data, (size_t)ids.count * 4) != 0)) wrong++;
        char *back = NULL;
        size_t size = 0;
        peft_decode(t, ids.data, ids.count, false, &back, &size);
        if (t->kind != PEFT__UNIGRAM && (size != s.size || memcmp(back, s.data, size) != 0)) torn++;
        peft__free(ctx, whole);
        peft_free(ctx, back);
        peft_ids_free(ctx, &ids);
        peft_ids_free(ctx, &plain);
        peft__string_free(&s);
    }
    check(!wrong, "shortcuts change nothing");
    check(!torn, "lossless vocabularies give the text back");
    peft_tokenizer_destroy(t);
}

// All of Unicode once, and random bytes: nothing breaks, and what decodes is valid UTF-8.
static void test_any_text(const char *path, peft_rng *rng) {
    peft_tokenizer *t;
    if (peft_tokenizer_load(ctx, shared(path), &t)) {
        check(false, peft_error(ctx));
        return;
    }
    peft__string s;
    peft__string_init(&s, ctx);
    for (uint32_t cp = 0; cp < 0x30000; cp++) {
        char text[4];
        if (cp < 0xD800 || cp > 0xDFFF) peft__string_append(&s, text, peft__utf8_put(text, cp));
    }
    for (int i = 0; i < 20000; i++) put(&s, (int)peft__rng_below(rng, 256));
    peft_ids ids = {NULL, 0, 0};
    check(!peft_encode(t, s.data, s.size, &ids) && ids.count > 1000, "all of Unicode encodes");
    char *back;
    size_t size;
    check(!peft_decode(t, ids.data, ids.count, false, &back, &size), "and decodes");
    bool valid = true;
    for (size_t i = 0; i < size && valid;) {
        uint32_t cp;
        valid = peft__utf8_next(back, size, &i, &cp);
    }
    check(valid, "to valid UTF-8");
    peft_free(ctx, back);
    peft_ids_free(ctx, &ids);
    peft__string_free(&s);
    peft_tokenizer_destroy(t);
}

static void test_t5(void) {
    peft_tokenizer *t;
    if (peft_tokenizer_load(ctx, shared("tokenizers/t5"), &t)) {
        check(false, peft_error(ctx));
        return;
    }
    check(peft_vocab_size(t) == 32100 && peft_token_id(t, "<extra_id_0>") == 32099 && peft_token_id(t, "<extra_id_99>") == 32000, "T5's sentinels");
    const int32_t ids[] = {37, 32099, 10681, 16, 32098, 2447, 1};  // Hugging Face's own example of span corruption
    check(same_ids(t, "The <extra_id_0> walks in <extra_id_1> park</s>", ids, 7, true), "sentinels in text");
    peft_tokenizer_destroy(t);
}

int main(void) {
    if (peft_context_create(NULL, &ctx)) return 1;
    peft_rng rng;
    peft_rng_seed(&rng, 7);
    test_small();
    test_memory();
    test_json();
    test_words();
    test_cases();
    test_folders();
    test_llama_class();
    test_growth();
    char *lines = NULL;
    size_t n = 0;
    if (peft__read_all(ctx, shared("golden/tokenizers.jsonl"), &lines, &n)) {
        printf("skipped: golden vocabularies (%s)\n", peft_error(ctx));
    } else {
        test_golden("t5", "tokenizers/t5/spiece.model", lines, n, true);
        test_golden("llama", "tokenizers/llama/tokenizer.model", lines, n, true);
        test_golden("gpt2", "tokenizers/gpt2", lines, n, true);
        test_golden("t5", "tokenizers/t5/tokenizer.json", lines, n, false);  // it leaves out the unknown token
        test_t5();
        static const char *const paths[] = {"tokenizers/t5", "tokenizers/llama", "tokenizers/gpt2", "tokenizers/t5/tokenizer.json"};
        for (int i = 0; i < 3; i++) test_shortcuts(paths[i], &rng);
        for (int i = 0; i < 4; i++) test_any_text(paths[i], &rng);
    }
    peft_free(ctx, lines);
    peft_context_destroy(ctx);
    printf("%d passed, %d failed\n", passed, failed);
    return failed != 0;
}
