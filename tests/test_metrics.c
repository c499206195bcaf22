// Chapter 13: metrics. Reference values from ../shared/golden/metrics (PEFT_SHARED names another place), then cases that
// need no files. Prints one line per comparison and a final "N passed, N failed".
#define PEFT_IMPLEMENTATION
#define PEFT_ONLY_METRICS  // a program that only scores needs no more
#include "peft.h"

#include "golden_metrics.h"

#include "check.h"
#include "counter.h"
#include <stdio.h>
#include <stdlib.h>

static int passed, failed;
static peft_context *ctx;

static void check(const char *name, bool ok) {
    if (test_count(&passed, &failed, ok, name)) printf("%-58s FAIL %s\n", name, peft_error(ctx));
}

static bool near(double a, double b) { return fabs(a - b) <= 1e-12; }

static bool prf(peft_prf p, double precision, double recall, double f1) {
    return near(p.precision, precision) && near(p.recall, recall) && near(p.f1, f1);
}

static peft_rouge_scores rouge(const char *p, const char *r, bool stem) {
    peft_rouge_scores s;
    memset(&s, 0, sizeof s);
    check(p, peft_rouge_pair(ctx, p, r, stem, &s) == PEFT_OK);
    return s;
}

static void test_rouge(void) {
    // the textbook: prediction of 5 words, reference of 4, 4 in common; bigrams 2 of 4 and of 3
    peft_rouge_scores s = rouge("It is very cold outside", "It is cold outside", false);
    check("rouge-1 of the textbook", prf(s.rouge1, 0.8, 1, 8.0 / 9));
    check("rouge-2 of the textbook", prf(s.rouge2, 0.5, 2.0 / 3, 4.0 / 7));
    check("rouge-l of the textbook", prf(s.rougeL, 0.8, 1, 8.0 / 9));
    s = rouge("It is not cold outside", "It is cold outside", false);
    check("a negation scores the same", prf(s.rouge1, 0.8, 1, 8.0 / 9) && prf(s.rouge2, 0.5, 2.0 / 3, 4.0 / 7));
    s = rouge("cold cold cold cold", "It is cold outside", false);
    check("repetition is clipped", prf(s.rouge1, 0.25, 0.25, 0.25) && prf(s.rouge2, 0, 0, 0));
    s = rouge("outside cold it is", "It is cold outside", false);
    check("order does not matter to rouge-1", prf(s.rouge1, 1, 1, 1) && prf(s.rougeL, 0.5, 0.5, 0.5));
    s = rouge("", "words here", false);
    check("empty prediction", prf(s.rouge1, 0, 0, 0) && prf(s.rougeLsum, 0, 0, 0));
    s = rouge("words here", "", false);
    check("empty reference", prf(s.rouge1, 0, 0, 0) && prf(s.rougeL, 0, 0, 0));
    s = rouge("", "", false);
    check("both empty", prf(s.rouge1, 0, 0, 0));
    s = rouge("the", "the", false);
    check("one token", prf(s.rouge1, 1, 1, 1) && prf(s.rouge2, 0, 0, 0) && prf(s.rougeL, 1, 1, 1));
    s = rouge("abc def", "ghi jkl", false);
    check("no overlap", prf(s.rouge1, 0, 0, 0) && prf(s.rougeL, 0, 0, 0));
    s = rouge("caf\xC3\xA9 na\xC3\xAFve", "caf na ve", false);
    check("non-ASCII letters separate", prf(s.rouge1, 1, 1, 1));
    s = rouge("\xE2\x84\xAAm", "km", false);
    check("the Kelvin sign is a k", prf(s.rouge1, 1, 1, 1));
    s = rouge("bad \xFF\xC3 bytes\xE2", "bad bytes", false);
    check("invalid UTF-8 separates", prf(s.rouge1, 1, 1, 1));
    s = rouge("running dogs", "run dog", true);
    check("stems", prf(s.rouge1, 1, 1, 1));
    // union LCS of the paper (Lin 2004): reference w1..w5, predictions w1 w2 w6 w7 w8 and w1 w3 w8 w9 w5
    s = rouge("w1 w2 w6 w7 w8\nw1 w3 w8 w9 w5", "w1 w2 w3 w4 w5", false);
    check("union LCS", near(s.rougeLsum.recall, 0.8) && near(s.rougeLsum.precision, 0.4));
}

// rougeLsum against its definition: the union over all pairs of sentences, which is what the library leaves
// out pairs of.
static void test_lsum(void) {
    enum { MOST = 400 };
    peft_rng rng;
    bool ok = true;
    peft_rng_seed(&rng, 21);
    for (int round = 0; round < 200; round++) {
        char text[2][MOST];
        peft_rouge_scores s;
        for (int side = 0; side < 2; side++) {
            int n = 0, words = 1 + (int)(peft_rng_uniform(&rng) * 40), letters = 2 + round % 9;
            for (int w = 0; w < words; w++) {
                text[side][n++] = (char)('a' + (int)(peft_rng_uniform(&rng) * letters));
                text[side][n++] = peft_rng_uniform(&rng) < 0.3 ? '\n' : ' ';
            }
            text[side][n] = 0;
        }
        const char *prediction = text[0], *reference = text[1];
        peft_rouge_desc settings;
        peft__metric run;
        peft__work w;
        memset(&settings, 0, sizeof settings), memset(&w, 0, sizeof w);
        if (peft__metric_open(&run, "test", ctx, &prediction, &reference, 1, 0, 1)) exit(1);
        run.desc = &settings, run.width = 1, run.bits = 4000;
        peft__work_begin(&run, &w, 2, MOST, MOST);
        if (run.memory.failed) exit(1);
        peft__load(&run, &w, 0, 1, peft__rouge_read);
        const peft__tokens *p = &w.texts[0], *r = &w.texts[1];
        int left[2][26], hits = 0;
        memset(left, 0, sizeof left);
        for (int32_t i = 0; i < p->count; i++) left[0][p->ids[i]]++;
        for (int32_t i = 0; i < r->count; i++) left[1][r->ids[i]]++;
        for (int32_t a = 0; a < r->sentences; a++) {
            int32_t n = r->sentence[a + 1] - r->sentence[a];
            memset(w.hit, 0, (size_t)n);
            for (int32_t b = 0; b < p->sentences; b++)
                peft__lcs_mark(&w, r->ids + r->sentence[a], n, p->ids + p->sentence[b],
                               p->sentence[b + 1] - p->sentence[b]);
            for (int32_t i = 0; i < n; i++) {
                int32_t id = r->ids[r->sentence[a] + i];
                if (w.hit[i] && left[0][id] > 0 && left[1][id] > 0) hits++, left[0][id]--, left[1][id]--;
            }
        }
        ok = ok && peft_rouge_pair(ctx, text[0], text[1], false, &s) == PEFT_OK;
        if (p->sentences + r->sentences > 2)
            ok = ok && near(s.rougeLsum.recall, (double)hits / r->count) &&
                 near(s.rougeLsum.precision, (double)hits / p->count);
        peft__metric_close(&run);
    }
    check("rougeLsum is the union over all pairs of sentences", ok);
    // 50,000 lines on either side: all pairs would be 2,500,000,000
    enum { LINES = 50000 };
    char *many = (char *)malloc(LINES * 16 + 1);
    size_t n = 0;
    for (int i = 0; i < LINES; i++) n += (size_t)sprintf(many + n, "the w%d x\n", i % 30000);
    peft_rouge_scores s;
    clock_t begun = clock();
    check("many lines", peft_rouge_pair(ctx, many, many, false, &s) == PEFT_OK && near(s.rougeLsum.f1, 1));
    check("in time", (double)(clock() - begun) / CLOCKS_PER_SEC < 60);
    free(many);
}

// A plain LCS table against the bit-parallel one, across the 64-bit boundaries.
static void test_lcs(void) {
    enum { N = 300 };
    static int32_t a[N], b[N], table[N + 1][N + 1];
    static uint64_t masks[8];
    static unsigned char carry[N];
    peft__work w;
    peft_rng rng;
    bool ok = true;
    memset(&w, 0, sizeof w);
    w.masks = masks, w.carry = carry;
    peft_rng_seed(&rng, 7);
    for (int round = 0; round < 60; round++) {
        int n = 1 + (int)(peft_rng_uniform(&rng) * (N - 1)), m = 1 + (int)(peft_rng_uniform(&rng) * (N - 1));
        int letters = 1 + (int)(peft_rng_uniform(&rng) * 8);
        for (int i = 0; i < N; i++) a[i] = (int32_t)(peft_rng_uniform(&rng) * letters), b[i] = (int32_t)(peft_rng_uniform(&rng) * letters);
        for (int i = 1; i <= n; i++)
            for (int j = 1; j <= m; j++)
                table[i][j] = a[i - 1] == b[j - 1] ? table[i - 1][j - 1] + 1 : PEFT__MAX(table[i - 1][j], table[i][j - 1]);
        ok = ok && peft__lcs(&w, a, n, b, m, NULL) == table[n][m];
    }
    check("bit-parallel LCS length", ok);
}

// The LCS that rougeLsum picks out of several must be the one of the plain table.
static void test_lcs_mark(void) {
    enum { N = 150 };
    static int32_t a[N], b[N], table[N + 1][N + 1];
    peft_rng rng;
    bool ok = true;
    static uint64_t masks[16], bits[(N + 1) * (N / 64 + 1)];
    static unsigned char carry[N], found[N];
    peft__work w;
    memset(&w, 0, sizeof w);
    w.masks = masks, w.bits = bits, w.carry = carry, w.hit = found;
    peft_rng_seed(&rng, 8);
    for (int round = 0; round < 200 && ok; round++) {
        int n = 1 + (int)(peft_rng_uniform(&rng) * (N - 1)), m = 1 + (int)(peft_rng_uniform(&rng) * (N - 1));
        int letters = 1 + (int)(peft_rng_uniform(&rng) * 12);
        unsigned char hit[N] = {0};
        for (int i = 0; i < N; i++) a[i] = (int32_t)(peft_rng_uniform(&rng) * letters), b[i] = (int32_t)(peft_rng_uniform(&rng) * letters);
        for (int i = 1; i <= n; i++)
            for (int j = 1; j <= m; j++)
                table[i][j] = a[i - 1] == b[j - 1] ? table[i - 1][j - 1] + 1 : PEFT__MAX(table[i - 1][j], table[i][j - 1]);
        for (int i = n, j = m; i > 0 && j > 0;) {
            if (a[i - 1] == b[j - 1]) hit[--i] = 1, j--;
            else if (table[i][j - 1] > table[i - 1][j]) j--;
            else i--;
        }
        memset(w.hit, 0, N);
        peft__lcs_mark(&w, a, n, b, m);
        ok = memcmp(hit, w.hit, (size_t)n) == 0;
    }
    check("bit-parallel LCS members", ok);
}

static void test_stemmer(void) {
    static const char *const words[][2] = {
        {"caresses", "caress"}, {"ponies", "poni"},     {"ties", "tie"},         {"dies", "die"},       {"cats", "cat"},
        {"feed", "feed"},       {"agreed", "agre"},     {"plastered", "plaster"}, {"motoring", "motor"}, {"sing", "sing"},
        {"conflated", "conflat"}, {"sized", "size"},    {"hopping", "hop"},      {"falling", "fall"},   {"hissing", "hiss"},
        {"failing", "fail"},    {"filing", "file"},     {"happy", "happi"},      {"sky", "sky"},        {"skies", "sky"},
        {"enjoy", "enjoy"},     {"relational", "relat"}, {"conditional", "condit"}, {"rational", "ration"}, {"digitizer", "digit"},
        {"radically", "radic"}, {"vietnamization", "vietnam"}, {"operator", "oper"}, {"hopefulness", "hope"}, {"formaliti", "formal"},
        {"triplicate", "triplic"}, {"formalize", "formal"}, {"electrical", "electr"}, {"goodness", "good"}, {"allowance", "allow"},
        {"adjustment", "adjust"}, {"adoption", "adopt"}, {"effective", "effect"}, {"probate", "probat"}, {"rate", "rate"},
        {"cease", "ceas"},      {"controll", "control"}, {"roll", "roll"},       {"geology", "geolog"}, {"dying", "die"},
        {"innings", "inning"},  {"news", "news"},       {"by", "by"},            {"say", "say"},        {"spied", "spi"},
        {"tied", "tie"},        {"caf\xC3\xA9s", "caf\xC3\xA9"}, {"", ""},       {"s", "s"},            {"yyyyed", "yyyi"}};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        char word[64];
        strcpy(word, words[i][0]);
        size_t n = peft_porter_stem(word, strlen(word));
        char name[160];
        snprintf(name, sizeof name, "stem of %s: %.*s, not %s", words[i][0], (int)n, word, words[i][1]);
        check(name, n == strlen(words[i][1]) && memcmp(word, words[i][1], n) == 0);
    }
}

static peft_bleu_result bleu(const char *p, const char *r, peft_tokenizer_kind tokenizer, bool effective, bool lower) {
    peft_bleu_desc d;
    peft_bleu_result result;
    memset(&d, 0, sizeof d);
    memset(&result, 0, sizeof result);
    d.context = ctx, d.predictions = &p, d.references = &r, d.count = 1;
    d.tokenizer = tokenizer, d.effective_order = effective, d.lowercase = lower;
    check(p, peft_bleu(&d, &result) == PEFT_OK);
    return result;
}

// Words, joined by '|'.
static bool joined(const char *text, const peft__word *cut, int32_t count, const char *want) {
    char out[512];
    size_t n = 0;
    for (int32_t i = 0; i < count; i++) {
        memcpy(out + n, cut[i].text, (size_t)cut[i].size);
        n += (size_t)cut[i].size;
        out[n++] = '|';
    }
    out[n > 0 ? n - 1 : 0] = 0;
    if (strcmp(out, want) != 0) printf("    %s -> %s, not %s\n", text, out, want);
    return strcmp(out, want) == 0;
}

// Those that a tokenizer makes.
static bool tokens(int kind, bool lower, const char *text, const char *want) {
    char bytes[512], *room = bytes;
    peft__word cut[256];
    peft__words w;
    peft__words_init(&w, kind, lower);
    return joined(text, cut, peft__words_read(&w, text, &room, cut), want);
}

static void test_tokenizers(void) {
    int a = PEFT_TOKENIZE_13A, intl = PEFT_TOKENIZE_INTL, zh = PEFT_TOKENIZE_ZH;
    static const char tercom[] = "it's John's. x's y";
    peft__word cut[32];
    check("13a words", tokens(a, false, "Hello, world! (3.14) 1,000 a.b 5-6 x-y U.S.A.", "Hello|,|world|!|(|3.14|)|1,000|a|.|b|5|-|6|x-y|U|.|S|.|A|."));
    check("13a dots", tokens(a, false, "wait... 5.. ..7 .5 5.", "wait|.|.|.|5|.|.|.|.7|.|5|5|."));
    check("13a markup", tokens(a, false, "a &lt;b&gt; &quot;c&quot; &amp;amp; hy-\nphen <skipped>x", "a|<|b|>|\"|c|\"|&|amp|;|hyphen|x"));
    check("13a apostrophe", tokens(a, false, "don't it's", "don't|it's"));
    check("13a blanks of Unicode", tokens(a, false, "a\xC2\xA0" "b\xE3\x80\x80" "c\xE2\x80\x89" "d", "a|b|c|d"));
    check("intl keeps the last dot", tokens(intl, false, "in 2014.", "in|2014."));
    check("intl punctuation", tokens(intl, false, "\xC2\xABHi\xC2\xBB 5\xE2\x82\xAC a\xE2\x80\xA6", "\xC2\xAB|Hi|\xC2\xBB|5|\xE2\x82\xAC|a|\xE2\x80\xA6"));
    check("char", tokens(PEFT_TOKENIZE_CHAR, false, "a\xC3\xA9 b", "a|\xC3\xA9|b"));
    check("zh", tokens(zh, false, "\xE4\xBD\xA0\xE5\xA5\xBD" "abc, 3.5\xE3\x80\x82", "\xE4\xBD\xA0|\xE5\xA5\xBD|abc|,|3.5|\xE3\x80\x82"));
    check("none", tokens(PEFT_TOKENIZE_NONE, false, " a,b  c.\n", "a,b|c."));
    check("zh strips the front", tokens(zh, false, " .5 ", ".5"));
    check("a final sigma has a letter before it and none behind", tokens(PEFT_TOKENIZE_NONE, true, "\xCE\x91'\xCE\xA3. \xCE\xA3 '\xCE\xA3 \xE3\x81\x8B\xCE\xA3 \xCE\x91\xCE\xA3'\xCE\x91",
        "\xCE\xB1'\xCF\x82.|\xCF\x83|'\xCF\x83|\xE3\x81\x8B\xCF\x83|\xCE\xB1\xCF\x83'\xCE\xB1"));
    check("lower case", tokens(PEFT_TOKENIZE_NONE, true, "\xC3\x89T\xC3\x89 \xCE\xA3\xCE\x91\xCE\xA3", "\xC3\xA9t\xC3\xA9|\xCF\x83\xCE\xB1\xCF\x82"));
    check("tercom", joined(tercom, cut, peft__ter_cut(tercom, sizeof tercom - 1, cut), "it|'s|John's|.|x|'s|y"));
}

static void test_bleu(void) {
    peft_bleu_result r = bleu("the cat sat on the mat", "the cat sat on the mat", PEFT_TOKENIZE_13A, false, false);
    check("bleu of equal texts", near(r.score, 100) || fabs(r.score - 100) < 1e-9);
    r = bleu("", "words here", PEFT_TOKENIZE_13A, false, false);
    check("bleu of nothing", r.score == 0 && r.brevity_penalty == 0 && r.reference_length == 2);
    r = bleu("words", "", PEFT_TOKENIZE_13A, true, false);
    check("bleu against nothing", r.score == 0 && r.brevity_penalty == 1);
    r = bleu("the the the the the the the", "the cat is on the mat", PEFT_TOKENIZE_13A, false, false);
    check("the papers' clipped unigrams, 2 of 7", r.counts[0] == 2 && r.totals[0] == 7 && near(r.precisions[0], 200.0 / 7));
    r = bleu("The CAT", "the cat", PEFT_TOKENIZE_13A, true, true);
    check("lower-case bleu", fabs(r.score - 100) < 1e-9 && strcmp(r.signature, "nrefs:1|case:lc|eff:yes|tok:13a|smooth:exp|like:sacrebleu-2.6.0") == 0);
}

static void test_others(void) {
    const char *p = "b c d e a", *r = "a b c d e", *none = "", *other = "x y";
    peft_ter_desc t;
    peft_chrf_desc c;
    peft_text_desc d;
    peft_metric_result m;
    memset(&t, 0, sizeof t);
    t.context = ctx, t.predictions = &p, t.references = &r, t.count = 1;
    check("ter: one shift of five words", peft_ter(&t, &m) == PEFT_OK && near(m.score, 20));
    t.predictions = &none;
    check("ter: nothing needs five edits", peft_ter(&t, &m) == PEFT_OK && near(m.score, 100));
    t.references = &none;
    check("ter: nothing against nothing", peft_ter(&t, &m) == PEFT_OK && m.score == 0);
    t.predictions = &p, t.no_punct = true, t.normalized = true;
    check("ter: words against nothing", peft_ter(&t, &m) == PEFT_OK && near(m.score, 100));
    memset(&c, 0, sizeof c);
    c.context = ctx, c.predictions = &r, c.references = &r, c.count = 1;
    check("chrf of equal texts", peft_chrf(&c, &m) == PEFT_OK && near(m.score, 100));
    c.references = &none;
    check("chrf against nothing", peft_chrf(&c, &m) == PEFT_OK && m.score == 0);
    memset(&d, 0, sizeof d);
    d.context = ctx, d.predictions = &r, d.references = &r, d.count = 1;
    check("meteor of equal texts", peft_meteor(&d, &m) == PEFT_OK && near(m.score, 1 - 0.5 / 125));
    check("coco rouge-l of equal texts", peft_coco_rouge(&d, &m) == PEFT_OK && near(m.score, 1));
    check("nist of one pair: log2 of its words", peft_nist(&d, &m) == PEFT_OK && near(m.orders[0], log(5.0) / log(2.0)));
    check("cider of one pair has no idf", peft_cider(&d, &m) == PEFT_OK && m.score == 0);
    d.predictions = d.references = &none;
    check("coco rouge-l of nothing and nothing is that of an empty word", peft_coco_rouge(&d, &m) == PEFT_OK && m.score == 1);
    d.predictions = d.references = &r;
    check("coco bleu of equal texts", peft_coco_bleu(&d, &m) == PEFT_OK && fabs(m.score - 1) < 1e-8);
    d.predictions = &other;
    check("meteor without a match", peft_meteor(&d, &m) == PEFT_OK && m.score == 0);
    d.predictions = &none;
    check("nothing", peft_meteor(&d, &m) == PEFT_OK && m.score == 0 && peft_nist(&d, &m) == PEFT_OK && m.score == 0 &&
                         peft_cider(&d, &m) == PEFT_OK && peft_coco_rouge(&d, &m) == PEFT_OK && m.score == 0);
}

// "w0 w7 w3 ...": the k-th word is w(k step mod words), begun at `first`.
static const char *numbered(char *text, int count, int step, int words, int first) {
    char *end = text;
    for (int k = 0; k < count; k++) end += sprintf(end, "%sw%d", k ? " " : "", (k + first) % count * step % words);
    return text;
}

static double ter(const char *p, const char *r, bool normalized) {
    peft_ter_desc d;
    peft_metric_result m;
    memset(&d, 0, sizeof d);
    d.context = ctx, d.predictions = &p, d.references = &r, d.count = 1, d.normalized = normalized;
    return peft_ter(&d, &m) == PEFT_OK ? m.score : -1;
}

// Values of sacreBLEU 2.6 where its algorithm is not what one would think: the beam, and references that are normalized twice.
static void test_ter_long(void) {
    static char a[4096], b[4096];
    check("ter: 3 words against 300", near(ter(numbered(a, 3, 1, 9, 0), numbered(b, 300, 7, 11, 0), false), 99));
    check("ter: 300 words against 3", near(ter(b, a, false), 9900));
    check("ter: halves change places", near(ter(numbered(a, 120, 7, 121, 0), numbered(b, 120, 7, 121, 60), false), 100));
    check("ter: repeated words", near(ter(numbered(a, 150, 5, 17, 0), numbered(b, 90, 3, 13, 0), false), 370.0 / 3));
    check("ter: normalized twice", near(ter("s's.(", "s's.(", true), 50) && near(ter("x &amp;lt; y", "x &amp;lt; y", true), 0));
    // two texts of 20,000 words, too far to shift the first word to the end: the band alone is in memory
    enum { WORDS = 20000 };
    char *p = (char *)malloc(WORDS * 8), *r = (char *)malloc(WORDS * 8);
    if (p && r) check("ter: 20,000 words", near(ter(numbered(p, WORDS, 7, 19997, 0), numbered(r, WORDS, 7, 19997, 1), false), 0.01));
    free(p);
    free(r);
}

static void test_answers(void) {
    const char *p[] = {"The Eiffel Tower!", "in  1999", "", "an apple a day", "\xE2\x80\x9Cthe\xE2\x80\x9D cat"};
    const char *r[] = {"eiffel tower", "1999", "a", "apple day", "\xE2\x80\x9C\xE2\x80\x9D cat"};
    double f1[5];
    peft_text_desc d;
    peft_answer_result a;
    memset(&d, 0, sizeof d);
    d.context = ctx, d.predictions = p, d.references = r, d.count = 5, d.pairs = f1;
    const char *marked = "the\xCC\x81 cat a\xE2\x80\x8B", *unmarked = "\xCC\x81 cat \xE2\x80\x8B";
    memset(&d, 0, sizeof d);
    d.context = ctx, d.predictions = &marked, d.references = &unmarked, d.count = 1;
    check("an article ends before a combining mark", peft_squad(&d, &a) == PEFT_OK && a.exact_match == 1);
    const char *vowel = "a\xE0\xA4\xBE b", *bare = "\xE0\xA4\xBE b", *joined = "the_cat an\xC2\xB2";
    d.predictions = &vowel, d.references = &bare;  // of any script: U+093E
    check("before a vowel sign", peft_squad(&d, &a) == PEFT_OK && a.exact_match == 1);
    d.predictions = &joined, d.references = &joined;
    const char *apart = "thecat";
    d.references = &apart;
    check("no article before a number", peft_squad(&d, &a) == PEFT_OK && a.exact_match == 0 &&
          near(a.f1, 2.0 / 3));
    const char *blanks = "a  b", *single = "a b";  // Python's split(" "): a, an empty word, b
    peft_metric_result coco;
    d.predictions = &blanks, d.references = &single;
    check("coco_rouge of two blanks", peft_coco_rouge(&d, &coco) == PEFT_OK &&
          near(coco.score, 2.44 * (2.0 / 3) / (1 + 1.44 * 2 / 3)));
    memset(&d, 0, sizeof d);
    d.context = ctx, d.predictions = p, d.references = r, d.count = 5, d.pairs = f1;
    check("squad", peft_squad(&d, &a) == PEFT_OK && near(a.exact_match, 3.0 / 5) && near(f1[1], 2.0 / 3) && f1[0] == 1 && f1[2] == 1);
    const int32_t yes[] = {1, 0, 1, 1}, gold[] = {1, 0, 0, 1};
    const int64_t question[] = {10, 10, -3, -3};
    peft_multirc_result m;
    check("multirc", peft_multirc(ctx, yes, gold, question, 4, &m) == PEFT_OK && near(m.f1a, 0.8) && near(m.exact_match, 0.5) &&
                         near(m.f1m, (1 + 2.0 / 3) / 2));
    check("diversity of nothing", peft_diversity(ctx, NULL, 1, false, NULL) == PEFT_ERROR_ARGUMENT);
    check("multirc of nothing", peft_multirc(ctx, NULL, NULL, NULL, 1, NULL) == PEFT_ERROR_ARGUMENT);
    const char *texts[] = {"a b a b", "a", ""};
    peft_diversity_result v;
    check("distinct-n and lengths", peft_diversity(ctx, texts, 3, false, &v) == PEFT_OK && near(v.distinct[0], 0.4) &&
                                        near(v.distinct[1], 2.0 / 3) && v.longest == 4 && v.shortest == 0 && near(v.median_length, 1));
    const double x[] = {1, 2, 3, 4}, flat[] = {2, 2, 2, 2};
    double out = 0;
    check("pearson of itself", peft_pearson(ctx, x, x, 4, &out) == PEFT_OK && near(out, 1));
    check("a constant series", peft_spearman(ctx, x, flat, 4, &out) == PEFT_ERROR_NUMERIC);
    check("auc with all tied", peft_auc(ctx, flat, yes, 4, &out) == PEFT_OK && near(out, 0.5));
}

static void test_errors(void) {
    const char *p[] = {"a", "b"}, *hole[] = {"a", NULL};
    peft_rouge_desc d;
    peft_rouge_result r;
    memset(&d, 0, sizeof d);
    d.context = ctx, d.predictions = p, d.references = p, d.count = 2, d.reference_count = 3;
    check("mismatched counts name both", peft_rouge(&d, &r) == PEFT_ERROR_ARGUMENT && strstr(peft_error(ctx), "2 predictions") &&
                                             strstr(peft_error(ctx), "3 references"));
    d.reference_count = 0, d.references = hole;
    check("a NULL reference is named", peft_rouge(&d, &r) == PEFT_ERROR_ARGUMENT && strstr(peft_error(ctx), "prediction 1 is NULL"));
    d.references = p, d.count = 0;
    check("no predictions", peft_rouge(&d, &r) == PEFT_ERROR_ARGUMENT);
    const int32_t y[] = {0, 1, 7}, z[] = {0, -1, 2};
    peft_class_desc c;
    peft_class_result s;
    memset(&c, 0, sizeof c);
    c.context = ctx, c.predictions = y, c.labels = z, c.count = 3;
    check("a negative label is named", peft_classification(&c, &s) == PEFT_ERROR_ARGUMENT && strstr(peft_error(ctx), "label 1 is -1"));
    c.labels = y, c.classes = 4;
    check("a class out of range is named", peft_classification(&c, &s) == PEFT_ERROR_ARGUMENT && strstr(peft_error(ctx), "2 is 7"));
    c.label_count = 9;
    check("counts of labels that differ", peft_classification(&c, &s) == PEFT_ERROR_ARGUMENT && strstr(peft_error(ctx), "but 9 labels"));
    static const char *const text[] = {"a b"};
    peft_text_desc t;
    peft_metric_result m;
    memset(&t, 0, sizeof t);
    t.context = ctx, t.predictions = t.references = text, t.count = 1, t.max_order = 9;
    check("an order of 9", peft_nist(&t, &m) == PEFT_ERROR_ARGUMENT && strstr(peft_error(ctx), "nist: max_order is not 1..8"));
    memset(&d, 0, sizeof d);
    d.context = ctx, d.predictions = d.references = text, d.count = 1, d.bootstrap_samples = -1;
    check("fewer than no samples", peft_rouge(&d, &r) == PEFT_ERROR_ARGUMENT && strstr(peft_error(ctx), "bootstrap_samples is negative"));
    static const double sure[] = {0.5, 1.5};
    static const int32_t ones[] = {1, 1};
    double auc;
    check("one kind of labels", peft_auc(ctx, sure, ones, 2, &auc) == PEFT_ERROR_NUMERIC && strstr(peft_error(ctx), "positive and negative"));
    check("no values", peft_auc(ctx, sure, ones, 0, &auc) == PEFT_ERROR_ARGUMENT && strstr(peft_error(ctx), "no values"));
    peft_calibration_desc e;
    peft_calibration_result f;
    memset(&e, 0, sizeof e);
    e.context = ctx, e.confidence = sure, e.correct = ones, e.count = 2;
    check("a confidence above 1", peft_calibration(&e, &f) == PEFT_ERROR_ARGUMENT && strstr(peft_error(ctx), "confidence 1 is 1.5"));
    e.bins = -1;
    check("bins", peft_calibration(&e, &f) == PEFT_ERROR_ARGUMENT && strstr(peft_error(ctx), "-1 bins"));
}

// Random bytes through every text metric, with every setting; the sanitizers look on.
static void test_noise(void) {
    enum { N = 40 };
    static char text[2 * N][48];
    static const char *const bits[] = {" ", ".", ",", "-", "'s", "&amp;", "\n", "5", "a", "The", "\xC4\xB0", "\xE2\x84\xAA", "\xC8\xBA",
                                       "\xFF", "\xE2\x80", "\xE4\xBD\xA0", "\xC2\xA0", "ing", "<skipped>", "!", "\xF0\x9F\x98\x80"};
    const char *p[N], *r[N];
    peft_rng rng;
    bool ok = true;
    peft_rng_seed(&rng, 3);
    for (int i = 0; i < 2 * N; i++) {
        for (int k = (int)(peft_rng_uniform(&rng) * 12); k > 0 && strlen(text[i]) < 36; k--)
            strcat(text[i], bits[(int)(peft_rng_uniform(&rng) * (double)(sizeof bits / sizeof bits[0]))]);
        if (i < N) p[i] = text[i];
        else r[i - N] = text[i];
    }
    for (int way = 0; way < 20; way++) {
        peft_rouge_desc rd;
        peft_rouge_result rr;
        peft_bleu_desc bd;
        peft_bleu_result br;
        peft_chrf_desc cd;
        peft_ter_desc td;
        peft_text_desc xd;
        peft_metric_result m;
        peft_answer_result a;
        int refs = 1 + way % 2;
        memset(&rd, 0, sizeof rd), memset(&bd, 0, sizeof bd), memset(&cd, 0, sizeof cd), memset(&td, 0, sizeof td);
        memset(&xd, 0, sizeof xd);
        rd.context = bd.context = cd.context = td.context = xd.context = ctx;
        rd.predictions = bd.predictions = cd.predictions = td.predictions = xd.predictions = p;
        rd.references = bd.references = cd.references = td.references = xd.references = r;
        rd.count = bd.count = cd.count = td.count = xd.count = N / refs;
        rd.references_per_prediction = bd.references_per_prediction = cd.references_per_prediction = refs;
        td.references_per_prediction = xd.references_per_prediction = refs;
        rd.use_stemmer = way & 2, rd.split_summaries = way & 4, rd.bootstrap_samples = way;
        bd.tokenizer = (peft_tokenizer_kind)(way % 5), bd.smoothing = (peft_bleu_smoothing)(way % 4), bd.lowercase = way & 4;
        cd.word_order = way % 3, cd.lowercase = way & 4, cd.whitespace = way & 8;
        td.normalized = way & 2, td.no_punct = way & 4, td.case_sensitive = way & 8;
        xd.keep_case = way & 2, xd.plain = way & 4;
        ok = ok && peft_rouge(&rd, &rr) == PEFT_OK && peft_bleu(&bd, &br) == PEFT_OK && peft_chrf(&cd, &m) == PEFT_OK &&
             peft_ter(&td, &m) == PEFT_OK && peft_nist(&xd, &m) == PEFT_OK && peft_meteor(&xd, &m) == PEFT_OK &&
             peft_cider(&xd, &m) == PEFT_OK && peft_coco_rouge(&xd, &m) == PEFT_OK && peft_coco_bleu(&xd, &m) == PEFT_OK &&
             peft_squad(&xd, &a) == PEFT_OK;
        ok = ok && rr.low.rouge1.f1 <= rr.mid.rouge1.f1 && rr.mid.rouge1.f1 <= rr.high.rouge1.f1;
    }
    check("noise", ok);
}

// Every allocation fails once: PEFT_ERROR_MEMORY and nothing leaked.
static void test_memory_failure(void) {
    static char many[1024];
    const char *p[] = {"a b\nc. d's", "b c A"}, *r[] = {"a c\nb", numbered(many, 150, 1, 150, 0)};  // so many words that tables grow
    counter m = {0};
    peft_context_desc cd;
    peft_context *c;
    bool ok = true;
    memset(&cd, 0, sizeof cd);
    COUNT_IN(cd, m);
    if (peft_context_create(&cd, &c) != PEFT_OK) return;
    int64_t base = m.live;
    for (int metric = 0; metric < 12; metric++) {
        peft_status s = PEFT_ERROR_MEMORY;
        for (int64_t at = 0; at < 200 && s == PEFT_ERROR_MEMORY; at++) {
            peft_rouge_desc rd;
            peft_rouge_result rr;
            peft_bleu_desc bd;
            peft_bleu_result br;
            peft_chrf_desc hd;
            peft_ter_desc td;
            peft_text_desc xd;
            peft_metric_result mr;
            peft_answer_result a;
            peft_diversity_result dr;
            const double x[] = {1, 2, 3};
            double out;
            memset(&rd, 0, sizeof rd), memset(&bd, 0, sizeof bd), memset(&hd, 0, sizeof hd), memset(&td, 0, sizeof td);
            memset(&xd, 0, sizeof xd);
            rd.context = bd.context = hd.context = td.context = xd.context = c;
            rd.predictions = bd.predictions = hd.predictions = td.predictions = xd.predictions = p;
            rd.references = bd.references = hd.references = td.references = xd.references = r;
            rd.count = bd.count = hd.count = td.count = xd.count = 2;
            rd.bootstrap_samples = 3, td.no_punct = td.normalized = true;
            m.fail_at = m.calls + at + 1;
            s = metric == 0   ? peft_rouge(&rd, &rr)
                : metric == 1 ? peft_bleu(&bd, &br)
                : metric == 2 ? peft_chrf(&hd, &mr)
                : metric == 3 ? peft_ter(&td, &mr)
                : metric == 4 ? peft_nist(&xd, &mr)
                : metric == 5 ? peft_meteor(&xd, &mr)
                : metric == 6 ? peft_cider(&xd, &mr)
                : metric == 7 ? peft_coco_rouge(&xd, &mr)
                : metric == 8 ? peft_coco_bleu(&xd, &mr)
                : metric == 9 ? peft_squad(&xd, &a)
                : metric == 10 ? peft_diversity(c, p, 2, false, &dr)
                              : peft_spearman(c, x, x, 3, &out);
            m.fail_at = 0;
            ok = ok && m.live == base && (s == PEFT_OK || s == PEFT_ERROR_MEMORY);
        }
        ok = ok && s == PEFT_OK;
    }
    check("out of memory", ok);
    peft_context_destroy(c);
}

// The same numbers for any number of threads, and the same bootstrap for the same seed.
static void test_threads(void) {
    enum { N = 200 };
    static char text[2 * N][128];
    const char *p[N], *r[N];
    peft_rouge_result result[2];
    peft_rng rng;
    peft_rng_seed(&rng, 5);
    for (int i = 0; i < 2 * N; i++) {
        for (int k = 0; k < 20; k++) snprintf(text[i] + strlen(text[i]), 8, "w%d ", (int)(peft_rng_uniform(&rng) * 30));
        if (i < N) p[i] = text[i];
        else r[i - N] = text[i];
    }
    for (int k = 0; k < 2; k++) {
        peft_context_desc cd;
        peft_context *c;
        peft_rouge_desc d;
        memset(&cd, 0, sizeof cd), memset(&d, 0, sizeof d), memset(&result[k], 0, sizeof result[k]);
        cd.threads = k ? 4 : 1;
        if (peft_context_create(&cd, &c) != PEFT_OK) {
            printf("threads: skipped (no PEFT_USE_PTHREADS)\n");
            return;
        }
        d.context = c, d.predictions = p, d.references = r, d.count = N, d.bootstrap_samples = 200, d.seed = 42;
        check("rouge in threads", peft_rouge(&d, &result[k]) == PEFT_OK);
        peft_context_destroy(c);
    }
    check("threads do not matter", memcmp(&result[0], &result[1], sizeof result[0]) == 0);
    check("the interval holds the mean", result[0].low.rouge1.f1 < result[0].mean.rouge1.f1 && result[0].mean.rouge1.f1 < result[0].high.rouge1.f1);
}

int main(void) {
    const char *shared = getenv("PEFT_SHARED");
    char folder[1024];
    if (peft_context_create(NULL, &ctx) != PEFT_OK) return 1;
    snprintf(folder, sizeof folder, "%.900s/golden/metrics", shared ? shared : "../shared");
    golden_metrics(ctx, folder, &passed, &failed);
    test_rouge();
    test_lsum();
    test_lcs();
    test_lcs_mark();
    test_stemmer();
    test_tokenizers();
    test_bleu();
    test_others();
    test_ter_long();
    test_answers();
    test_errors();
    test_noise();
    test_memory_failure();
    test_threads();
    peft_context_destroy(ctx);
    printf("%d passed, %d failed\n", passed, failed);
    return failed != 0;
}
