// Trains a SentencePiece unigram vocabulary (Kudo 2018) that peft.h, sentencepiece and Hugging Face's T5 read.
//   build/train_tokenizer --vocab 1024 --output spiece.model corpus.txt ...
//   build/train_tokenizer --jsonl dialogue --jsonl summary --output spiece.model train.jsonl
// Seeds are the frequent substrings of words; EM gives them probabilities; the pieces that the likelihood misses least are
// dropped until --vocab are left. Ids: <pad> 0, </s> 1, <unk> 2. Every character of the corpus is a piece.
// A reader that takes it for T5 adds 100 sentinels: a model wants a vocab_size of at least --vocab + 100.
#define PEFT_IMPLEMENTATION
#include "../peft.h"
#include <stdio.h>

enum { MAX_FIELDS = 16, MAX_LENGTH = 16, MAX_SEEDS = 200000, SPECIALS = 3 };

typedef struct word {
    const char *text;  // begins with U+2581
    int32_t size;
    int64_t count;
} word;

typedef struct list {  // pieces with their log probabilities
    peft__piece *items;
    int64_t count, capacity;
} list;

typedef struct trainer {
    peft_context *ctx;
    peft__arena arena;  // texts
    peft__map by_word;
    word *words;
    int64_t word_count, word_capacity;
    int longest;  // bytes of a word
    list pieces;
    peft__trie trie;
    double *expected;  // per piece
} trainer;

static void fail(trainer *t, const char *what) {
    fprintf(stderr, "train_tokenizer: %s\n", what ? what : peft_error(t->ctx));
    exit(1);
}

static void *need(trainer *t, void *p) {
    if (!p) fail(t, NULL);
    return p;
}

// ---- reading

static void add_word(trainer *t, const char *s, size_t n) {
    enum { MAX_WORD = 1024 };
    if (n > MAX_WORD) return;  // no language: base64 and the like
    char key[MAX_WORD + 3];
    memcpy(key, peft__space, 3);
    memcpy(key + 3, s, n);
    int64_t at = peft__map_get(&t->by_word, key, n + 3, -1);
    if (at < 0) {
        if (t->word_count == t->word_capacity) {
            t->word_capacity = PEFT__MAX(4096, 2 * t->word_capacity);
            t->words = (word *)need(t, peft__realloc(t->ctx, t->words, (size_t)t->word_capacity * sizeof(word)));
        }
        at = t->word_count++;
        word *w = &t->words[at];
        w->text = (const char *)need(t, peft__arena_strdup(&t->arena, key, n + 3));
        w->size = (int32_t)n + 3;
        w->count = 0;
        t->longest = PEFT__MAX(t->longest, w->size);
        if (!peft__map_set(&t->by_word, w->text, n + 3, at)) fail(t, NULL);
    }
    t->words[at].count++;
}

static void add_text(trainer *t, const char *s, size_t n) {
    size_t from = 0;
    for (size_t i = 0; i < n;) {
        size_t start = i;
        uint32_t cp;
        bool valid = peft__utf8_next(s, n, &i, &cp);
        if (valid && cp != 0x2581 && !peft__uc_white(cp)) continue;
        if (start > from) add_word(t, s + from, start - from);
        from = i;
    }
    if (n > from) add_word(t, s + from, n - from);
}

static void add_jsonl(trainer *t, const char *path, const char *s, size_t n, const char **fields, int field_count) {
    peft__arena scratch;
    peft__arena_init(&scratch, t->ctx);
    int64_t line = 1;
    for (size_t i = 0, end; i < n; i = end + 1, line++) {
        for (end = i; end < n && s[end] != '\n'; end++) {}
        size_t k = i;
        while (k < end && (s[k] == ' ' || s[k] == '\r' || s[k] == '\t')) k++;
        if (k == end) continue;
        peft__json *v;
        if (peft__json_parse(t->ctx, &scratch, s + i, end - i, path, &v)) {
            fprintf(stderr, "%s line %lld: ", path, (long long)line);
            fail(t, NULL);
        }
        for (int f = 0; f < field_count; f++) {
            const peft__json *text = peft__json_get(v, fields[f]);
            if (peft__json_is(text, PEFT__JSON_STRING)) add_text(t, text->string, text->length);
        }
        peft__arena_reset(&scratch);
    }
    peft__arena_free(&scratch);
}

// ---- seeds

static void add_piece(trainer *t, const char *s, size_t n, double score, bool single) {
    list *l = &t->pieces;
    if (l->count == l->capacity) {
        l->capacity = PEFT__MAX(4096, 2 * l->capacity);
        l->items = (peft__piece *)need(t, peft__realloc(t->ctx, l->items, (size_t)l->capacity * sizeof(peft__piece)));
    }
    peft__piece *p = &l->items[l->count++];
    memset(p, 0, sizeof(*p));
    p->text = p->bytes = s;  // points into a word
    p->size = p->byte_size = (uint32_t)n;
    p->score = (float)score;
    p->whole = single;  // single characters are never dropped
}

static int by_score(const void *a, const void *b) {
    const peft__piece *x = (const peft__piece *)a, *y = (const peft__piece *)b;
    if (x->whole != y->whole) return x->whole ? -1 : 1;
    if (x->score != y->score) return x->score > y->score ? -1 : 1;
    size_t n = PEFT__MIN(x->size, y->size);
    int order = memcmp(x->text, y->text, n);
    return order ? order : (x->size > y->size) - (x->size < y->size);
}

static int kind_of(const char *s, size_t n) {
    int64_t size;
    if (n >= 3 && memcmp(s, peft__space, 3) == 0) return -1;
    return peft__class_at(NULL, s, (int64_t)n, 0, &size);
}

// How many bytes at w->text + start hold `length` characters of one kind (letters, digits, others; a space may lead). 0: none.
static size_t stretch(const word *w, size_t start, int length) {
    size_t at = start, n = (size_t)w->size;
    int kind = -1;
    for (int i = 0; i < length; i++) {
        if (at >= n) return 0;
        int k = kind_of(w->text + at, n - at);
        if (kind >= 0 && k != kind) return 0;
        kind = k;
        uint32_t cp;
        peft__utf8_next(w->text, n, &at, &cp);
    }
    return at - start;
}

// Substrings of one length after the other; only what occurred often enough can be part of something that does.
static void seed(trainer *t) {
    int64_t total = 0;
    for (int64_t i = 0; i < t->word_count; i++) total += t->words[i].size;
    bool *alive = (bool *)need(t, peft__alloc(t->ctx, (size_t)total));
    memset(alive, 1, (size_t)total);
    for (int length = 1; length <= MAX_LENGTH; length++) {
        peft__map counts;
        peft__map_init(&counts, t->ctx);
        for (int pass = 0; pass < 2; pass++) {
            int64_t offset = 0;
            for (int64_t i = 0; i < t->word_count; offset += t->words[i++].size) {
                const word *w = &t->words[i];
                for (int32_t k = 0; k < w->size; k++) {
                    if (((unsigned char)w->text[k] & 0xC0) == 0x80) alive[offset + k] = false;
                    size_t n = alive[offset + k] ? stretch(w, (size_t)k, length) : 0;
                    if (!n) {
                        alive[offset + k] = false;
                        continue;
                    }
                    int64_t count = peft__map_get(&counts, w->text + k, n, 0);
                    if (pass == 0 && !peft__map_set(&counts, w->text + k, n, count + w->count)) fail(t, NULL);
                    if (pass == 1 && length > 1 && count < 2) alive[offset + k] = false;
                }
            }
        }
        for (int64_t i = 0; i < counts.capacity; i++) {
            const peft__map_entry *e = &counts.entries[i];
            if (e->key && (length == 1 || e->value > 1)) add_piece(t, e->key, e->size, (double)e->value * length, length == 1);
        }
        peft__map_free(&counts);
    }
    peft__free(t->ctx, alive);
    list *l = &t->pieces;
    qsort(l->items, (size_t)l->count, sizeof(*l->items), by_score);
    l->count = PEFT__MIN(l->count, MAX_SEEDS);
    double sum = 0;
    for (int64_t i = 0; i < l->count; i++) sum += (double)l->items[i].score;
    for (int64_t i = 0; i < l->count; i++) l->items[i].score = (float)log((double)l->items[i].score / sum);
}

// ---- expectation and maximization

static void rebuild_trie(trainer *t) {
    list *l = &t->pieces;
    peft__trie_key *keys = (peft__trie_key *)need(t, peft__calloc(t->ctx, l->count, sizeof(peft__trie_key)));
    for (int64_t i = 0; i < l->count; i++) {
        keys[i].text = l->items[i].text;
        keys[i].size = l->items[i].size;
        keys[i].value = (int32_t)i;
    }
    peft__free(t->ctx, t->trie.nodes);
    memset(&t->trie, 0, sizeof(t->trie));
    if (peft__trie_build(t->ctx, &t->trie, keys, l->count, l->items, l->count)) fail(t, NULL);
    peft__free(t->ctx, keys);
}

static double log_add(double a, double b) {
    double high = PEFT__MAX(a, b), low = PEFT__MIN(a, b);
    return low == -INFINITY ? high : high + log1p(exp(low - high));
}

// Calls for every piece inside s: fills `hits` with (start, end, piece); returns how many.
typedef struct hit {
    int32_t start, end, piece;
} hit;

static int64_t find_hits(const trainer *t, const char *s, int32_t n, hit *hits) {
    int64_t count = 0;
    for (int32_t i = 0; i < n; i++) {
        int32_t node = 0;
        for (int32_t k = i; k < n; k++) {
            node = peft__trie_step(&t->trie, node, (unsigned char)s[k]);
            if (!node) break;
            if (t->trie.nodes[node].value < 0) continue;
            hits[count].start = i;
            hits[count].end = k + 1;
            hits[count++].piece = t->trie.nodes[node].value;
        }
    }
    return count;
}

// Expected counts of the pieces over all segmentations of all words (forward-backward).
static void expect(trainer *t, hit *hits, double *forward, double *backward) {
    for (int64_t i = 0; i < t->pieces.count; i++) t->expected[i] = 0;
    for (int64_t i = 0; i < t->word_count; i++) {
        const word *w = &t->words[i];
        int64_t n = find_hits(t, w->text, w->size, hits);
        for (int32_t k = 0; k <= w->size; k++) forward[k] = backward[k] = -INFINITY;
        forward[0] = backward[w->size] = 0;
        for (int64_t h = 0; h < n; h++)  // ordered by start: all that reach a start have been seen
            if (forward[hits[h].start] > -INFINITY)
                forward[hits[h].end] = log_add(forward[hits[h].end], forward[hits[h].start] + (double)t->pieces.items[hits[h].piece].score);
        for (int64_t h = n - 1; h >= 0; h--)
            if (backward[hits[h].end] > -INFINITY)
                backward[hits[h].start] = log_add(backward[hits[h].start], backward[hits[h].end] + (double)t->pieces.items[hits[h].piece].score);
        for (int64_t h = 0; h < n; h++) {
            double p = forward[hits[h].start] + (double)t->pieces.items[hits[h].piece].score + backward[hits[h].end] - forward[w->size];
            if (p > -700) t->expected[hits[h].piece] += (double)w->count * exp(p);
        }
    }
}

static double digamma(double x) {
    double r = 0;
    for (; x < 7; x++) r -= 1 / x;
    x -= 0.5;
    double y = 1 / (x * x);
    return r + log(x) + y * (1.0 / 24 - y * (7.0 / 960 - y * (31.0 / 8064)));
}

// Pieces that are hardly ever needed go; the digamma makes the rare ones rarer (a sparse prior).
static void maximize(trainer *t) {
    list *l = &t->pieces;
    int64_t kept = 0;
    double sum = 0;
    for (int64_t i = 0; i < l->count; i++) {
        if (t->expected[i] < 0.5 && !l->items[i].whole) continue;
        l->items[kept] = l->items[i];
        t->expected[kept] = PEFT__MAX(t->expected[i], 0.5);
        sum += t->expected[kept++];
    }
    l->count = kept;
    for (int64_t i = 0; i < kept; i++) l->items[i].score = (float)(digamma(t->expected[i]) - digamma(sum));
    rebuild_trie(t);
}

// The best segmentation of s, without the piece `not_this`: pieces into out (in reverse), returns how many; 0: there is none.
static int32_t segment(const trainer *t, const char *s, int32_t n, int32_t not_this, hit *hits, double *best, int32_t *from, int32_t *out) {
    int64_t count = find_hits(t, s, n, hits);
    for (int32_t k = 0; k <= n; k++) best[k] = -INFINITY;
    best[0] = 0;
    for (int64_t h = 0; h < count; h++) {
        if (hits[h].piece == not_this || best[hits[h].start] == -INFINITY) continue;
        double score = best[hits[h].start] + (double)t->pieces.items[hits[h].piece].score;
        if (score <= best[hits[h].end]) continue;
        best[hits[h].end] = score;
        from[hits[h].end] = (int32_t)h;
    }
    int32_t pieces = 0;
    if (best[n] == -INFINITY) return 0;
    for (int32_t k = n; k > 0; k = hits[from[k]].start) out[pieces++] = hits[from[k]].piece;
    return pieces;
}

// Keeps the pieces whose loss would cost the likelihood of the best segmentation most.
static void prune(trainer *t, int64_t target, hit *hits, double *best, int32_t *from, int32_t *out) {
    list *l = &t->pieces;
    double *used = t->expected, sum = 0;
    for (int64_t i = 0; i < l->count; i++) used[i] = 0;
    for (int64_t i = 0; i < t->word_count; i++) {
        int32_t n = segment(t, t->words[i].text, t->words[i].size, -1, hits, best, from, out);
        for (int32_t k = 0; k < n; k++) used[out[k]] += (double)t->words[i].count;
        sum += (double)n * (double)t->words[i].count;
    }
    peft__piece *kept = (peft__piece *)need(t, peft__calloc(t->ctx, l->count, sizeof(peft__piece)));
    float *scores = (float *)need(t, peft__calloc(t->ctx, l->count, sizeof(float)));
    int64_t count = 0;
    for (int64_t i = 0; i < l->count; i++) {
        const peft__piece *p = &l->items[i];
        scores[i] = p->score;
        double loss = 0;
        if (!p->whole) {
            int32_t n = segment(t, p->text, (int32_t)p->size, (int32_t)i, hits, best, from, out);
            if (used[i] == 0 || (n && best[p->size] > (double)p->score)) continue;
            double alternative = 0, more = log(sum + used[i] * (n - 1));
            for (int32_t k = 0; k < n; k++) alternative += log(used[out[k]] + used[i]) - more;
            loss = n ? used[i] / sum * (log(used[i]) - log(sum) - alternative) : INFINITY;
        }
        kept[count] = *p;
        kept[count].left = (int32_t)i;
        kept[count++].score = (float)loss;
    }
    qsort(kept, (size_t)count, sizeof(*kept), by_score);
    l->count = PEFT__MIN(count, target);
    for (int64_t i = 0; i < l->count; i++) {
        l->items[i] = kept[i];
        l->items[i].score = scores[kept[i].left];
    }
    peft__free(t->ctx, kept);
    peft__free(t->ctx, scores);
    rebuild_trie(t);
}

static void train(trainer *t, int64_t vocab) {
    int64_t singles = 0;
    for (int64_t i = 0; i < t->pieces.count; i++) singles += t->pieces.items[i].whole;
    if (singles + SPECIALS > vocab) {
        fprintf(stderr, "train_tokenizer: the corpus has %lld different characters and there are %d special tokens: --vocab %lld is too small\n",
                (long long)singles, SPECIALS, (long long)vocab);
        exit(1);
    }
    int64_t most = (int64_t)t->longest * (MAX_LENGTH + 1) + 64;
    hit *hits = (hit *)need(t, peft__calloc(t->ctx, most, sizeof(hit)));
    double *forward = (double *)need(t, peft__calloc(t->ctx, t->longest + 2, sizeof(double)));
    double *backward = (double *)need(t, peft__calloc(t->ctx, t->longest + 2, sizeof(double)));
    int32_t *from = (int32_t *)need(t, peft__calloc(t->ctx, t->longest + 2, sizeof(int32_t)));
    int32_t *out = (int32_t *)need(t, peft__calloc(t->ctx, t->longest + 2, sizeof(int32_t)));
    t->expected = (double *)need(t, peft__calloc(t->ctx, t->pieces.count, sizeof(double)));
    rebuild_trie(t);
    int64_t want = vocab - SPECIALS;
    for (;;) {
        for (int k = 0; k < 2; k++) {
            expect(t, hits, forward, backward);
            maximize(t);
        }
        fprintf(stderr, "%lld pieces\n", (long long)t->pieces.count);
        if (t->pieces.count <= want) break;
        prune(t, PEFT__MAX(want, t->pieces.count * 3 / 4), hits, forward, from, out);
    }
    peft__free(t->ctx, hits);
    peft__free(t->ctx, forward);
    peft__free(t->ctx, backward);
    peft__free(t->ctx, from);
    peft__free(t->ctx, out);
}

// ---- writing the ModelProto

static void put_varint(peft__string *s, uint64_t v) {
    for (; v >= 128; v >>= 7) {
        char c = (char)(v | 128);
        peft__string_append(s, &c, 1);
    }
    char c = (char)v;
    peft__string_append(s, &c, 1);
}

static void put_number(peft__string *s, int field, int64_t v) {
    put_varint(s, (uint64_t)field << 3);
    put_varint(s, (uint64_t)v);
}

static void put_bytes(peft__string *s, int field, const char *data, size_t n) {
    put_varint(s, (uint64_t)field << 3 | 2);
    put_varint(s, n);
    peft__string_append(s, data, n);
}

static void put_piece(peft__string *model, const char *text, size_t n, float score, int type) {
    peft__string s;
    peft__string_init(&s, model->ctx);
    put_bytes(&s, 1, text, n);
    put_varint(&s, 2 << 3 | 5);
    uint32_t bits = peft__float_bits(score);
    for (int i = 0; i < 4; i++) {
        char c = (char)(bits >> 8 * i);
        peft__string_append(&s, &c, 1);
    }
    if (type != PEFT__PIECE_NORMAL) put_number(&s, 3, type);
    put_bytes(model, 1, s.data, s.size);
    if (s.failed) model->failed = true;
    peft__string_free(&s);
}

// All white space becomes a plain space. The map is a double array of darts-clone: unit = label | leaf flag << 8 | offset << 10,
// the child for byte c at (place of the unit) ^ offset ^ c. Each node has 256 units of its own.
enum { MAP_NODES = 64 };

static void put_charsmap(peft__string *out) {
    static uint32_t units[256 * MAP_NODES];
    uint32_t nodes = 2;  // block 0 holds the root alone, block 1 its children
    units[0] = 256u << 10;
    for (uint32_t cp = 1; cp < 0x10000; cp++) {
        if (!peft__uc_white(cp) || cp == ' ') continue;
        char key[4];
        size_t n = peft__utf8_put(key, cp);
        uint32_t base = 256;
        for (size_t i = 0; i < n; i++) {
            uint32_t at = base ^ (unsigned char)key[i];
            if (!units[at]) units[at] = (unsigned char)key[i] | (at ^ 256 * nodes++) << 10;
            base = at ^ units[at] >> 10;
            if (i + 1 == n) {
                units[at] |= 1u << 8;
                units[base] = 1u << 31;  // value 0: the replacement at offset 0
            }
        }
    }
    peft__string map;
    peft__string_init(&map, out->ctx);
    for (uint32_t i = 0; i <= 256 * nodes; i++) {
        uint32_t v = i ? units[i - 1] : 4 * 256 * nodes;
        char bytes[4] = {(char)v, (char)(v >> 8), (char)(v >> 16), (char)(v >> 24)};
        peft__string_append(&map, bytes, 4);
    }
    peft__string_append(&map, " ", 2);
    put_bytes(out, 2, map.data, map.size);
    if (map.failed) out->failed = true;
    peft__string_free(&map);
}

static void save(trainer *t, const char *path) {
    list *l = &t->pieces;
    peft__string model, inner;
    peft__string_init(&model, t->ctx);
    peft__string_init(&inner, t->ctx);
    put_piece(&model, "<pad>", 5, 0, PEFT__PIECE_CONTROL);
    put_piece(&model, "</s>", 4, 0, PEFT__PIECE_CONTROL);
    put_piece(&model, "<unk>", 5, 0, PEFT__PIECE_UNKNOWN);
    for (int64_t i = 0; i < l->count; i++) l->items[i].whole = false;
    qsort(l->items, (size_t)l->count, sizeof(*l->items), by_score);
    for (int64_t i = 0; i < l->count; i++) put_piece(&model, l->items[i].text, l->items[i].size, l->items[i].score, PEFT__PIECE_NORMAL);
    put_number(&inner, 3, 1);  // unigram
    put_number(&inner, 4, l->count + SPECIALS);
    put_number(&inner, 40, 2);  // unk_id, bos_id, eos_id, pad_id
    put_number(&inner, 41, -1);
    put_number(&inner, 42, 1);
    put_number(&inner, 43, 0);
    put_bytes(&model, 2, inner.data, inner.size);
    inner.size = 0;
    put_bytes(&inner, 1, "white_space", 11);
    put_charsmap(&inner);
    for (int field = 3; field <= 5; field++) put_number(&inner, field, 1);  // add_dummy_prefix, remove_extra_whitespaces, escape
    put_bytes(&model, 3, inner.data, inner.size);
    if (model.failed || inner.failed) fail(t, NULL);
    peft__writer w;
    if (peft__writer_open(t->ctx, path, &w)) fail(t, NULL);
    peft__write(&w, model.data, model.size);
    if (peft__writer_commit(&w)) fail(t, NULL);
    peft__string_free(&model);
    peft__string_free(&inner);
}

int main(int argc, char **argv) {
    const char *output = "spiece.model", *fields[MAX_FIELDS];
    int field_count = 0;
    long long vocab = 1024;
    trainer t;
    memset(&t, 0, sizeof(t));
    if (peft_context_create(NULL, &t.ctx)) fail(&t, "out of memory");
    peft__arena_init(&t.arena, t.ctx);
    peft__map_init(&t.by_word, t.ctx);
    int files = 0;
    for (int i = 1; i < argc; i++) {
        const char *option = argv[i];
        if (strncmp(option, "--", 2) != 0) {
            char *text;
            size_t n;
            if (peft__read_all(t.ctx, option, &text, &n)) fail(&t, NULL);
            if (field_count) add_jsonl(&t, option, text, n, fields, field_count);
            else add_text(&t, text, n);
            peft_free(t.ctx, text);
            files++;
            continue;
        }
        if (i + 1 == argc) fail(&t, "an option without a value");
        const char *value = argv[++i];
        if (strcmp(option, "--vocab") == 0) vocab = atoll(value);
        else if (strcmp(option, "--output") == 0) output = value;
        else if (strcmp(option, "--jsonl") == 0 && field_count < MAX_FIELDS) fields[field_count++] = value;
        else fail(&t, "options: --vocab N, --output FILE, --jsonl FIELD (before the files; may be repeated)");
    }
    if (!files) fail(&t, "usage: train_tokenizer [--vocab 1024] [--output spiece.model] [--jsonl FIELD] corpus.txt ...");
    if (!t.word_count) fail(&t, "no words in the files (wrong --jsonl field?)");
    if (vocab < 8 || vocab > 1000000) fail(&t, "--vocab must be between 8 and 1000000");
    seed(&t);
    train(&t, vocab);
    save(&t, output);
    fprintf(stderr, "%s: %lld pieces from %lld different words\n", output, (long long)t.pieces.count + SPECIALS, (long long)t.word_count);
    peft__free(t.ctx, t.words);
    peft__free(t.ctx, t.pieces.items);
    peft__free(t.ctx, t.expected);
    peft__free(t.ctx, t.trie.nodes);
    peft__map_free(&t.by_word);
    peft__arena_free(&t.arena);
    peft_context_destroy(t.ctx);
    return 0;
}
