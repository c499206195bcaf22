// Scores that only benchmarks and `peft score` need, beside those of peft.h: TER, ROUGE and BLEU of captions, MultiRC, distinct n-grams, selective accuracy,
// Platt scaling, perturbed texts, bias, toxicity, efficiency, win rates, WordNet. Include behind peft.h with PEFT_IMPLEMENTATION, in one file of a
// program: it rests on the implementation's basics. Works with PEFT_ONLY_METRICS.
#ifndef PEFT_SCORES_H
#define PEFT_SCORES_H

#if defined(PEFT_NO_METRICS) || !defined(PEFT_IMPLEMENTATION)
#error "include peft.h with PEFT_IMPLEMENTATION and metrics before scores.h"
#endif

#include <math.h>
#include <stdlib.h>
#include <string.h>

// Translation edit rate (Snover et al. 2006) with Tercom's shift heuristics, equal to sacreBLEU 2.6.
typedef struct peft_ter_desc {
    peft_context *context;
    const char *const *predictions;
    const char *const *references;
    int64_t count;
    int64_t reference_count;
    int references_per_prediction;
    bool normalized;        // Tercom's tokenizer; without it words are what white space separates
    bool no_punct;
    bool case_sensitive;
    bool asian_support;     // normalized: every Chinese character and mark is a word; no_punct removes such marks too
    double *sentences;      // optional output, count entries
    double *counts;         // optional output, 2 * count entries: the edits and the reference length of every pair
} peft_ter_desc;
PEFTDEF peft_status peft_ter(const peft_ter_desc *desc, peft_metric_result *result);    // 0..100 and above
// peft_paired of TER; `desc` has the texts, its metric is not read.
PEFTDEF peft_status peft_paired_ter(const peft_paired_desc *desc, const peft_ter_desc *ter, peft_paired_result *result);

// ROUGE-L as pycocoevalcap and e2e-metrics: F with beta 1.2 of the best precision and the best recall over references.
PEFTDEF peft_status peft_coco_rouge(const peft_text_desc *desc, peft_metric_result *result);
// BLEU-1..4 as pycocoevalcap: orders[n - 1] is BLEU-n (max_order, default 4), score the last; 0..1.
PEFTDEF peft_status peft_coco_bleu(const peft_text_desc *desc, peft_metric_result *result);

// MultiRC: binary decisions about answers, question[i] being any number that tells the question of answer i.
typedef struct peft_multirc_result {
    double f1a;             // binary F1 over all answers
    double f1m;             // mean over questions of their F1
    double exact_match;     // questions with all answers right
    char signature[128];
} peft_multirc_result;

PEFTDEF peft_status peft_multirc(peft_context *context, const int32_t *predictions, const int32_t *labels,
                                 const int64_t *question, int64_t count, peft_multirc_result *result);

// Diversity and length of texts, in words separated by white space.
typedef struct peft_diversity_result {
    double distinct[4];         // different n-grams / all n-grams, n = 1..4 (Li et al. 2016)
    int64_t words, vocabulary;
    double mean_length, median_length, deviation;   // words per text; the deviation is the population's
    int64_t shortest, longest;
    char signature[128];
} peft_diversity_result;

PEFTDEF peft_status peft_diversity(peft_context *context, const char *const *texts, int64_t count, bool keep_case,
                                   peft_diversity_result *result);

// peft_squad with F1 of the sets of words, and an empty prediction never right, as HELM has it.
PEFTDEF peft_status peft_squad_sets(const peft_text_desc *desc, peft_answer_result *result);

// Accuracy of the floor(coverage * count) + 1 most confident answers (coverage 0: 0.1, as HELM), and its mean over all coverages.
PEFTDEF peft_status peft_selective_accuracy(const peft_calibration_desc *desc, double coverage, double *accuracy, double *area);

// Platt scaling: P(right) = 1 / (1 + exp(a * score + b)), fitted to scores (any numbers) of answers that were right (nonzero) or wrong by
// Newton's method with backtracking (Lin, Lin & Weng 2007). smooth: their targets (n + 1) / (n + 2) and 1 / (m + 2); otherwise 1 and 0,
// plain logistic regression. Without both kinds of answers and `smooth`: PEFT_ERROR_NUMERIC.
PEFTDEF peft_status peft_platt_fit(peft_context *context, const double *scores, const int32_t *correct, int64_t count, bool smooth,
                                   double *a, double *b);
PEFTDEF double peft_platt_apply(double score, double a, double b);
// The calibration after Platt scaling of the log-odds of the confidences (as HELM's platt_ece); a and b may
// be NULL. Where all answers are right, or all are wrong, there is nothing to fit: the errors are 0, and so
// are a and b.
PEFTDEF peft_status peft_platt_calibration(const peft_calibration_desc *desc, peft_calibration_result *result, double *a, double *b);

// Changed versions of a text: HELM's robustness (typos, case, contractions, spaces) and fairness (dialect, names, gender).
typedef enum peft_perturbation_kind {
    PEFT_PERTURB_TYPOS = 0,    // letters become neighbours on the keyboard
    PEFT_PERTURB_LOWERCASE,
    PEFT_PERTURB_CONTRACTION,  // "is not " becomes "isn't "
    PEFT_PERTURB_EXPANSION,    // "isn't" becomes "is not"
    PEFT_PERTURB_SPACES,       // one to three spaces for each
    PEFT_PERTURB_DIALECT,      // built in: American English words become British ones
    PEFT_PERTURB_GENDER,       // built in: she, her, mother, ... for he, him, father, ...
    PEFT_PERTURB_NAMES,        // built in: common first names for others of the same gender
    PEFT_PERTURB_WORDS         // of the pairs given, nothing built in
} peft_perturbation_kind;

typedef struct peft_perturbation {
    peft_perturbation_kind kind;
    const char *name;             // in signatures; NULL: that of the kind
    // of each letter or word that could change; 0: 0.05 for typos, else 1; PEFT_ZERO: 0
    double probability;
    const char *const *pairs;     // from, to, from, to, ...: instead of what is built in. A word that comes more than once takes one at random
    int64_t pair_count;
    bool both_ways;               // pairs are applied from right to left too
    uint64_t seed;                // with the text's own hash: equal texts change equally
} peft_perturbation;

PEFTDEF const char *peft_perturbation_name(peft_perturbation_kind kind);
// To be freed with peft_free. Words keep their case (WORD, Word, word) and change only as a whole.
PEFTDEF peft_status peft_perturb(peft_context *context, const peft_perturbation *perturbation, const char *text, char **out);
// HELM's worst case: values[i * versions + v] is the score of version v of instance i; the mean over instances of the worst version.
PEFTDEF peft_status peft_worst_case(peft_context *context, const double *values, int64_t instances, int64_t versions, double *out);

// Words of a demographic group. Built in: small lists of the words for women and for men.
typedef struct peft_word_group {
    const char *name;
    const char *const *words;  // lower case
    int64_t count;
} peft_word_group;
PEFTDEF const peft_word_group *peft_gender_groups(int64_t *count);

// HELM's bias: how often the groups' words occur (per word of the list), as the total variation distance of those shares from equal
// ones: 0 equal, up to 1 - 1 / groups. Words are runs of letters and digits (with - inside) in lower case. No word of any group:
// PEFT_ERROR_NUMERIC. counts (optional) gets the number of words of each group.
PEFTDEF peft_status peft_bias_representation(peft_context *context, const char *const *texts, int64_t count, const peft_word_group *groups,
                                             int64_t group_count, int64_t *counts, double *out);
// The same of words that occur in one text with a target word (an adjective, a profession), mean over the targets that occur so.
PEFTDEF peft_status peft_bias_association(peft_context *context, const char *const *texts, int64_t count, const peft_word_group *groups,
                                          int64_t group_count, const peft_word_group *targets, double *out);

// Toxicity of texts, `per_prompt` of which (0: 1) answer the same prompt. `scorer` gives 0..1; NULL: 1 for a text that holds a word
// of `words`, else 0.
typedef struct peft_toxicity_desc {
    peft_context *context;
    const char *const *texts;
    int64_t count, per_prompt;
    double (*scorer)(const char *text, void *user);
    void *user;
    const peft_word_group *words;
    double threshold;           // of a toxic text; 0: 0.5; PEFT_ZERO: 0
    double *scores;             // optional output, count entries
} peft_toxicity_desc;

typedef struct peft_toxicity_result {
    double toxic_fraction;      // of the texts
    double mean;
    double expected_maximum;    // mean over prompts of their most toxic text
    double probability;         // of a toxic text among those of a prompt
    char signature[128];
} peft_toxicity_result;

PEFTDEF peft_status peft_toxicity(const peft_toxicity_desc *desc, peft_toxicity_result *result);

// What a run costs. Begin, run, end; times are of the wall clock, memory is that of the context.
typedef struct peft_efficiency {
    double seconds, seconds_per_example, tokens_per_second;
    int64_t examples, tokens, peak_memory;
    double begun;               // internal
} peft_efficiency;
PEFTDEF void peft_efficiency_begin(peft_efficiency *e);
PEFTDEF void peft_efficiency_end(const peft_context *context, peft_efficiency *e, int64_t examples, int64_t tokens);

// HELM's mean win rate: scores[model * tasks + task] (NaN: not there); a model wins over each other that it outscores, ties are half a
// win; mean over tasks of the share of wins. lower_is_better (optional): per task. out gets one rate per model, NaN if it has no game.
PEFTDEF peft_status peft_win_rates(peft_context *context, const double *scores, int64_t models, int64_t tasks, const bool *lower_is_better,
                                   double *out);

// WordNet's dictionary (Princeton; index.noun, data.noun, noun.exc, ... in `folder`) for METEOR: give peft_wordnet_synonyms and the
// dictionary as `synonyms` and `user`. True when b is a lemma of one word of a synset of a, which is looked up as nltk does it: its
// exceptions, then its endings removed until a form is known. Not to be used by two threads at once.
typedef struct peft_wordnet peft_wordnet;
PEFTDEF peft_status peft_wordnet_load(peft_context *context, const char *folder, peft_wordnet **out);
PEFTDEF void peft_wordnet_destroy(peft_wordnet *wordnet);
PEFTDEF bool peft_wordnet_synonyms(const char *a, size_t a_size, const char *b, size_t b_size, void *wordnet);

// ---- TER

// Tercom's limits, and sacreBLEU's on the number of shifts that are tried.
#define PEFT__TER_SHIFT_SIZE 10
#define PEFT__TER_SHIFT_DISTANCE 50
#define PEFT__TER_BEAM 25
#define PEFT__TER_CANDIDATES 1000
#define PEFT__TER_INFINITY (1 << 29)

// A cell of the edit distance table: the cost and the last step, which takes a word of both sides (equal or not), of the
// prediction only (delete) or of the reference only (insert).
enum { PEFT__TER_NONE, PEFT__TER_EQUAL, PEFT__TER_OTHER, PEFT__TER_DELETE, PEFT__TER_INSERT };

typedef struct peft__ter_cell {
    int32_t cost, step;
} peft__ter_cell;

// Row i of the table (one per word of the prediction, and row 0) knows the columns low .. high of a band around the diagonal of slope
// ref/hyp; beside it everything costs infinity. It is stored from column low - 1 to where the next row ends, which is all that is read.
typedef struct peft__ter_row {
    int32_t low, high, stored;  // columns [low, high) in the band, [low - 1, stored) in memory
    int64_t at;                 // of column 0, were it stored: column j is cell at + j
} peft__ter_row;

typedef struct peft__ter_work {
    const int32_t *ref;
    int32_t *hyp, *tried, *best;            // word ids
    int32_t *align;                         // per reference word: the prediction's word it meets, or the one before
    unsigned char *hyp_wrong, *ref_wrong;
    peft__ter_row *rows;
    peft__ter_cell *table, *trial;          // of hyp; of the shifted words, only rows that differ
    int32_t hyp_count, ref_count, checked;
} peft__ter_work;

// ---- TER: words

// What a text is read with. Copies of it lie in `bytes`, a reference's words once more in `joined`.
typedef struct peft__ter_reader {
    const peft_ter_desc *d;
    peft__words blanks;
    char *bytes, *joined;
    peft__word *words, *cut;
} peft__ter_reader;

// Tercom's rules: ASCII marks but ' , - . stand alone, 's at the end of a word does, a dash does behind a digit, and
// so do , and . that are not between two digits: first ([^0-9])([,.]) becomes "\1 \2 ", then ([,.])([^0-9]) " \1 \2",
// where \1 of the first is used up by one match (`open`: it is not). The line has a blank at either end.
static int32_t peft__ter_cut(const char *s, size_t n, peft__word *out) {
    bool open = true, digit = false, in_word = false;
    size_t i = 0, start = 0;
    int32_t count = 0;
    while (i < n) {
        size_t at = i;
        uint32_t c = 0, next = i + 1 < n ? (unsigned char)s[i + 1] : ' ';
        peft__utf8_next(s, n, &i, &c);
        bool number = c >= '0' && c <= '9', space = peft__uc_space(c), point = c == '.' || c == ',';
        bool alone = c < 0x80 && peft__ascii_mark((char)c) && !strchr("',-.", (int)c);
        if (c == '-') alone = digit;
        if (point) alone = open || !(next >= '0' && next <= '9');
        open = point ? !open : !number;
        if (c == '\'' && next == 's') {
            uint32_t behind = i + 1 < n ? (unsigned char)s[i + 1] : ' ';
            bool ends = behind == ' ' || behind == '\n' || (behind < 0x80 && peft__ascii_mark((char)behind) && !strchr("',-.", (int)behind));
            if (ends && in_word) out[count++] = peft__make_word(s + start, at - start);
            in_word = in_word && !ends;
        }
        if ((alone || space) && in_word) out[count++] = peft__make_word(s + start, at - start);
        if (alone) out[count++] = peft__make_word(s + at, i - at);
        if (!alone && !space && !in_word) start = at;
        in_word = !alone && !space;
        digit = number;
    }
    if (in_word) out[count++] = peft__make_word(s + start, n - start);
    return count;
}

// Marks of Asian scripts and full-width marks (Tercom's lists).
static bool peft__ter_asian_mark(uint32_t c) {
    static const uint16_t marks[][2] = {{0x3001, 0x3002}, {0x3008, 0x3011}, {0x3014, 0x301F}, {0x30FB, 0x30FB}, {0xFF01, 0xFF02},
                                        {0xFF08, 0xFF09}, {0xFF0C, 0xFF0C}, {0xFF0E, 0xFF0E}, {0xFF1A, 0xFF1B}, {0xFF1F, 0xFF1F},
                                        {0xFF61, 0xFF65}};
    return peft__uc_among(marks, PEFT__COUNT(marks), c);
}

// Characters that are words: ideographs, strokes, radicals, compatibility and enclosed forms, and the marks.
static bool peft__ter_asian(uint32_t c) {
    static const uint16_t words[][2] = {{0x2E80, 0x2EFF}, {0x31C0, 0x31EF}, {0x3200, 0x4DBF}, {0x4E00, 0x9FFF}, {0xF900, 0xFAFF},
                                        {0xFE30, 0xFE4F}};
    return peft__uc_among(words, PEFT__COUNT(words), c) || peft__ter_asian_mark(c);
}

// Removes . , ? : ; ! " ( ), and if asked Asian marks, from a word; the word must be in our own copy.
static int32_t peft__ter_no_punct(char *s, int32_t n, bool asian) {
    size_t out = 0, i = 0, next = 0;
    for (; i < (size_t)n; i = next) {
        uint32_t c = 0;
        peft__utf8_next(s, (size_t)n, &next, &c);
        bool mark = next == i + 1 ? strchr(".,?:;!\"()", s[i]) != NULL : asian && peft__ter_asian_mark(c);
        if (!mark) {
            memmove(s + out, s + i, next - i);
            out += next - i;
        }
    }
    return (int32_t)out;
}

static int32_t peft__ter_split(const peft__word *words, int32_t count, peft__word *out) {
    int32_t n = 0;
    for (int32_t k = 0; k < count; k++) {
        const char *s = words[k].text;
        size_t size = (size_t)words[k].size, start = 0, next = 0;
        while (next < size) {
            size_t at = next;
            uint32_t c = 0;
            peft__utf8_next(s, size, &next, &c);
            if (!peft__ter_asian(c)) continue;
            if (at > start) out[n++] = peft__make_word(s + start, at - start);
            out[n++] = peft__make_word(s + at, next - at);
            start = next;
        }
        if (size > start) out[n++] = peft__make_word(s + start, size - start);
    }
    return n;
}

static size_t peft__ter_unescape(char *s, size_t n) {
    static const char *const markup[][2] = {{"\n-", ""}, {"\n", " "}, {"&quot;", "\""}, {"&amp;", "&"}, {"&lt;", "<"}, {"&gt;", ">"}};
    for (int64_t k = 0; k < PEFT__COUNT(markup); k++) n = peft__replace_all(s, n, markup[k][0], markup[k][1]);
    return n;
}

// The words of a text into r->words.
static int32_t peft__ter_read(peft__ter_reader *r, const char *text) {
    bool split = r->d->asian_support && r->d->normalized;
    peft__word *words = split ? r->cut : r->words;
    size_t n = strlen(text);
    if (r->d->case_sensitive) memcpy(r->bytes, text, n);
    else n = peft__uc_lower_text(text, n, r->bytes);
    n = peft__words_strip(r->bytes, n);
    if (r->d->normalized) n = peft__ter_unescape(r->bytes, n);
    int32_t kept = 0, count = r->d->normalized ? peft__ter_cut(r->bytes, n, words) : peft__words_cut(&r->blanks, r->bytes, n, words);
    if (split) count = peft__ter_split(r->cut, count, r->words);
    for (int32_t i = 0; i < count; i++) {
        peft__word t = r->words[i];
        if (r->d->no_punct) t.size = peft__ter_no_punct(r->bytes + (t.text - r->bytes), t.size, r->d->asian_support);
        if (t.size > 0) r->words[kept++] = t;
    }
    return kept;
}

// sacreBLEU normalizes references twice. What the second time still finds: 's before a mark that the first one has cut off,
// &lt; that was &amp;lt;
static int32_t peft__ter_read_reference(peft__ter_reader *r, const char *text) {
    int32_t count = peft__ter_read(r, text);
    char *end = r->joined;
    if (!r->d->normalized) return count;
    for (int32_t i = 0; i < count; i++) {
        memcpy(end, r->words[i].text, (size_t)r->words[i].size);
        end += r->words[i].size;
        *end++ = ' ';
    }
    *end = 0;
    return peft__ter_read(r, r->joined);
}

// ---- TER: edits

PEFT__INLINE void peft__ter_try(peft__ter_cell *cell, int32_t cost, int32_t step) {
    if (cell->cost > cost) {
        cell->cost = cost;
        cell->step = step;
    }
}
// Lays out the rows for n words of the prediction and m of the reference (rows may be NULL); returns the number of cells.
static int64_t peft__ter_layout(int32_t n, int32_t m, peft__ter_row *rows) {
    double ratio = n > 0 ? (double)m / n : 1;
    double beam = ratio / 2 > PEFT__TER_BEAM ? ceil(ratio / 2 + PEFT__TER_BEAM) : PEFT__TER_BEAM;
    peft__ter_row row = {0, m + 1, m + 1, 0}, next;
    int64_t cells = 0;
    for (int32_t i = 0; i <= n; i++, row = next) {
        double diagonal = floor((i + 1) * ratio);
        next.low = (int32_t)PEFT__MAX(0.0, diagonal - beam);
        next.high = i + 1 >= n ? m + 1 : (int32_t)PEFT__MIN((double)(m + 1), diagonal + beam);
        next.stored = next.high;
        row.stored = i < n ? PEFT__MAX(row.high, next.high) : row.high;
        row.at = cells + 1 - row.low;
        cells += row.stored - row.low + 1;
        if (rows) rows[i] = row;
    }
    return cells;
}

// Rows from..hyp_count of the table for `words`; row from-1 is taken from `before`.
static void peft__ter_rows(peft__ter_work *w, const int32_t *words, int32_t from, const peft__ter_cell *before,
                           peft__ter_cell *table) {
    const peft__ter_cell nowhere = {PEFT__TER_INFINITY, PEFT__TER_NONE};
    for (int32_t i = from; i <= w->hyp_count; i++) {
        const peft__ter_row *r = &w->rows[i];
        const peft__ter_cell *up = (i == from ? before : table) + w->rows[i - 1].at;
        peft__ter_cell *row = table + r->at;
        int32_t word = words[i - 1], j = r->low;
        row[j - 1] = nowhere;
        if (j == 0) {
            row[0].cost = up[0].cost + 1;
            row[0].step = PEFT__TER_DELETE;
            j = 1;
        }
        for (; j < r->high; j++) {
            bool equal = word == w->ref[j - 1];
            row[j] = nowhere;
            peft__ter_try(&row[j], up[j - 1].cost + !equal, equal ? PEFT__TER_EQUAL : PEFT__TER_OTHER);
            peft__ter_try(&row[j], up[j].cost + 1, PEFT__TER_DELETE);
            peft__ter_try(&row[j], row[j - 1].cost + 1, PEFT__TER_INSERT);
        }
        for (; j < r->stored; j++) row[j] = nowhere;
    }
}

static int32_t peft__ter_last(const peft__ter_work *w, const peft__ter_cell *table) {
    return table[w->rows[w->hyp_count].at + w->ref_count].cost;
}

// Walks the table back: which words are wrong, and where each reference word stands in the prediction.
static void peft__ter_align(peft__ter_work *w) {
    int32_t i = w->hyp_count, j = w->ref_count;
    while (i > 0 || j > 0) {
        int32_t step = w->table[w->rows[i].at + j].step;
        if (step == PEFT__TER_DELETE && i > 0) {
            w->hyp_wrong[--i] = 1;
        } else if (step == PEFT__TER_INSERT || i == 0) {
            w->ref_wrong[--j] = 1;
            w->align[j] = i - 1;
        } else if (j > 0) {
            w->hyp_wrong[--i] = w->ref_wrong[--j] = step == PEFT__TER_OTHER;
            w->align[j] = i;
        } else {
            w->hyp_wrong[--i] = 1;
        }
    }
}

static bool peft__ter_any(const unsigned char *wrong, int32_t n) {
    bool any = false;
    for (int32_t i = 0; i < n; i++) any = any || wrong[i];
    return any;
}

// out = words with [start, start + length) moved to before `target` (positions of the unmoved list).
static void peft__ter_move(const int32_t *words, int32_t n, int32_t start, int32_t length, int32_t target, int32_t *out) {
    size_t size = sizeof(int32_t);
    memcpy(out, words, (size_t)n * size);
    if (target < start) {
        memcpy(out + target, words + start, (size_t)length * size);
        memcpy(out + target + length, words + target, (size_t)(start - target) * size);
    } else {
        // a target inside the moved words counts from their end
        int32_t end = target > start + length ? target : PEFT__MIN(length + target, n);
        memcpy(out + start, words + start + length, (size_t)(end - start - length) * size);
        memcpy(out + end - length, words + start, (size_t)length * size);
    }
}

typedef struct peft__ter_shift {
    int32_t gain, length, start, target;
    bool found;
} peft__ter_shift;

static bool peft__ter_better(const peft__ter_shift *a, const peft__ter_shift *b) {
    if (!b->found || a->gain != b->gain) return !b->found || a->gain > b->gain;
    if (a->length != b->length) return a->length > b->length;
    return a->start != b->start ? a->start < b->start : a->target < b->target;
}

// All places to move one matching stretch to: before the reference's position and after each of its words.
static void peft__ter_targets(peft__ter_work *w, int32_t start, int32_t at, int32_t length, peft__ter_shift *best) {
    int32_t previous = -1, base = peft__ter_last(w, w->table);
    for (int32_t k = at - 1; k < at + length && k < w->ref_count; k++) {
        peft__ter_shift s;
        s.target = k < 0 ? 0 : w->align[k] + 1;
        if (s.target == previous) continue;
        previous = s.target;
        peft__ter_move(w->hyp, w->hyp_count, start, length, s.target, w->tried);
        int32_t same = PEFT__MIN(start, s.target);
        peft__ter_rows(w, w->tried, same + 1, w->table, w->trial);
        s.gain = base - (same < w->hyp_count ? peft__ter_last(w, w->trial) : base);
        s.length = length;
        s.start = start;
        s.found = true;
        w->checked++;
        if (peft__ter_better(&s, best)) {
            *best = s;
            memcpy(w->best, w->tried, (size_t)w->hyp_count * sizeof(int32_t));
        }
    }
}

static void peft__ter_best_shift(peft__ter_work *w, peft__ter_shift *best) {
    int32_t n = w->hyp_count, m = w->ref_count;
    best->found = false;
    best->gain = 0;
    for (int32_t i = 0; i < n; i++) {
        int32_t first = PEFT__MAX(i - PEFT__TER_SHIFT_DISTANCE, 0), last = PEFT__MIN(i + PEFT__TER_SHIFT_DISTANCE, m - 1);
        for (int32_t j = first; j <= last; j++) {
            for (int32_t k = 1; k <= PEFT__TER_SHIFT_SIZE && i + k <= n && j + k <= m; k++) {
                if (w->hyp[i + k - 1] != w->ref[j + k - 1]) break;
                bool inside = i <= w->align[j] && w->align[j] < i + k;
                if (!inside && peft__ter_any(w->hyp_wrong + i, k) && peft__ter_any(w->ref_wrong + j, k)) {
                    peft__ter_targets(w, i, j, k, best);
                    if (w->checked >= PEFT__TER_CANDIDATES) return;
                }
            }
        }
    }
}

// Edits = shifts + edit distance, shifting greedily as long as that lowers the edit distance.
static int32_t peft__ter_edits(peft__ter_work *w) {
    int32_t shifts = 0;
    if (w->ref_count == 0) return w->hyp_count;
    peft__ter_layout(w->hyp_count, w->ref_count, w->rows);
    for (int32_t j = 0; j <= w->ref_count; j++) {
        w->table[w->rows[0].at + j].cost = j;
        w->table[w->rows[0].at + j].step = PEFT__TER_INSERT;
    }
    peft__ter_rows(w, w->hyp, 1, w->table, w->table);
    for (w->checked = 0;;) {
        peft__ter_shift best = {0, 0, 0, 0, false};
        peft__ter_align(w);
        peft__ter_best_shift(w, &best);
        if (w->checked >= PEFT__TER_CANDIDATES || best.gain <= 0) return shifts + peft__ter_last(w, w->table);
        shifts++;
        memcpy(w->hyp, w->best, (size_t)w->hyp_count * sizeof(int32_t));
        peft__ter_rows(w, w->hyp, 1, w->table, w->table);
    }
}
// All texts as word ids: text t, of which there are 1 + per for each line, has ids[start[t]] .. ids[start[t + 1]].
typedef struct peft__ter_run {
    peft__metric texts;
    const peft_ter_desc *desc;
    int32_t *ids;
    int64_t *start, words, cells;   // words of the longest text, cells of the largest table of a pair
    peft__ter_work *works;
    double *counts;                 // of every line: edits, length
    int64_t tasks;
} peft__ter_run;

static double peft__ter_score(double edits, double length) {
    return length > 0 ? 100 * (edits / length) : edits > 0 ? 100 : 0;
}

static peft_status peft__ter_corpus(peft__ter_run *run) {
    const peft_ter_desc *d = run->desc;
    peft__memory *m = &run->texts.memory;
    int64_t per = run->texts.per, count = run->texts.count * (per + 1), n = 2 * run->texts.longest_line + 16, most = 1, known = 0;
    peft__ter_reader r;
    peft__map ids;
    for (int64_t t = 0; t < count; t++) most += (int64_t)strlen(peft__line_text(&run->texts, t)) + 1;
    r.d = d;
    peft__words_init(&r.blanks, PEFT_TOKENIZE_NONE, false);
    r.bytes = PEFT__GET(&run->texts, char, 2 * n);
    r.joined = PEFT__GET(&run->texts, char, 2 * n);
    r.words = PEFT__GET(&run->texts, peft__word, n);
    r.cut = PEFT__GET(&run->texts, peft__word, n);
    run->ids = PEFT__GET(&run->texts, int32_t, most);
    run->start = PEFT__GET(&run->texts, int64_t, count + 1);
    peft__map_init(&ids, d->context);
    for (int64_t t = 0; t < count && !m->failed; t++) {
        const char *text = peft__line_text(&run->texts, t);
        int32_t words = t % (per + 1) ? peft__ter_read_reference(&r, text) : peft__ter_read(&r, text);
        run->start[t + 1] = run->start[t];
        for (int32_t i = 0; i < words && !m->failed; i++) {
            size_t size = (size_t)r.words[i].size;
            int64_t id = peft__map_get(&ids, r.words[i].text, size, -1);
            if (id < 0) {
                const char *copy = peft__arena_strdup(&m->arena, r.words[i].text, size);
                id = known++;
                m->failed = !copy || !peft__map_set(&ids, copy, size, id);
            }
            run->ids[run->start[t + 1]++] = (int32_t)id;
        }
        int64_t first = t - t % (per + 1);
        int64_t cells = peft__ter_layout((int32_t)(run->start[first + 1] - run->start[first]), words, NULL);
        if (t > first) run->cells = PEFT__MAX(run->cells, cells);
        run->words = PEFT__MAX(run->words, (int64_t)words);
    }
    peft__map_free(&ids);
    return m->failed ? PEFT_ERROR_MEMORY : PEFT_OK;
}

static void peft__ter_begin(peft__ter_run *run, peft__ter_work *w) {
    int32_t **lists[] = {&w->hyp, &w->tried, &w->best, &w->align};
    for (int64_t i = 0; i < PEFT__COUNT(lists); i++) *lists[i] = PEFT__GET(&run->texts, int32_t, run->words + 1);
    w->hyp_wrong = PEFT__GET(&run->texts, unsigned char, run->words + 1);
    w->ref_wrong = PEFT__GET(&run->texts, unsigned char, run->words + 1);
    w->rows = PEFT__GET(&run->texts, peft__ter_row, run->words + 1);
    w->table = PEFT__GET(&run->texts, peft__ter_cell, run->cells);
    w->trial = PEFT__GET(&run->texts, peft__ter_cell, run->cells);
}

// The fewest edits to any reference, over the average reference length.
static void peft__ter_line(peft__ter_run *run, peft__ter_work *w, int64_t i) {
    int64_t per = run->texts.per, t = i * (per + 1), length = 0;
    int32_t fewest = 0;
    for (int64_t k = 1; k <= per; k++) {
        w->hyp_count = (int32_t)(run->start[t + 1] - run->start[t]);
        w->ref_count = (int32_t)(run->start[t + k + 1] - run->start[t + k]);
        w->ref = run->ids + run->start[t + k];
        memcpy(w->hyp, run->ids + run->start[t], (size_t)w->hyp_count * sizeof(int32_t));
        int32_t edits = peft__ter_edits(w);
        fewest = k == 1 ? edits : PEFT__MIN(fewest, edits);
        length += w->ref_count;
    }
    run->counts[2 * i] = fewest;
    run->counts[2 * i + 1] = (double)length / (double)per;
}

static void peft__ter_task(void *arg, int64_t task) {
    peft__ter_run *run = (peft__ter_run *)arg;
    int64_t n = run->texts.count, tasks = run->tasks;
    for (int64_t i = n * task / tasks; i < n * (task + 1) / tasks; i++) peft__ter_line(run, &run->works[task], i);
}

PEFTDEF peft_status peft_ter(const peft_ter_desc *desc, peft_metric_result *result) {
    PEFT__NEED_DESC(desc, result);
    peft__ter_run run;
    memset(&run, 0, sizeof run);
    memset(result, 0, sizeof *result);
    run.desc = desc;
    peft_status s = PEFT__METRIC_OPEN(&run.texts, "ter", desc);
    if (!s) s = peft__ter_corpus(&run);
    peft__memory *m = &run.texts.memory;
    int64_t n = run.texts.count, tasks = PEFT__MAX(PEFT__MIN((int64_t)desc->context->threads, n / 16), 1);
    double edits = 0, length = 0;
    if (!s) {
        run.counts = PEFT__GET(&run.texts, double, 2 * n);
        run.works = PEFT__GET(&run.texts, peft__ter_work, tasks);
        for (int64_t k = 0; k < tasks && !m->failed; k++) peft__ter_begin(&run, &run.works[k]);
        s = m->failed ? PEFT_ERROR_MEMORY : PEFT_OK;
    }
    run.tasks = tasks;
    if (!s) peft__parallel(desc->context, tasks, peft__ter_task, &run);
    for (int64_t i = 0; i < n && !s; i++) {
        const double *c = run.counts + 2 * i;
        if (desc->sentences) desc->sentences[i] = peft__ter_score(c[0], c[1]);
        edits += c[0];
        length += c[1];
    }
    if (desc->counts && !s) memcpy(desc->counts, run.counts, (size_t)n * 2 * sizeof(double));
    result->score = peft__ter_score(edits, length);
    peft__string_into(result->signature, sizeof result->signature,
                      "nrefs:%d|case:%s|tok:tercom|norm:%s|punct:%s|asian:%s|like:sacrebleu-2.6.0", run.texts.per,
                      desc->case_sensitive ? "mixed" : "lc", desc->normalized ? "yes" : "no", desc->no_punct ? "no" : "yes",
                      desc->asian_support ? "yes" : "no");
    peft__metric_close(&run.texts);
    return s;
}

// ---- TER, two systems

typedef struct peft__ter_systems {
    double *counts[2];          // of the baseline, of the system: edits and reference length of every line
} peft__ter_systems;

static bool peft__ter_drawn(const int64_t *line, const unsigned char *side, int64_t count, double *score, void *user) {
    const peft__ter_systems *systems = (const peft__ter_systems *)user;
    double edits = 0, length = 0;
    for (int64_t i = 0; i < count; i++) {
        edits += systems->counts[side[i]][2 * line[i]];
        length += systems->counts[side[i]][2 * line[i] + 1];
    }
    *score = peft__ter_score(edits, length);
    return true;
}

PEFTDEF peft_status peft_paired_ter(const peft_paired_desc *desc, const peft_ter_desc *ter, peft_paired_result *result) {
    if (!desc || !desc->context || !ter) return PEFT_ERROR_ARGUMENT;
    peft_paired_desc paired = *desc;
    peft_ter_desc of = *ter;
    peft_metric_result score;
    peft__ter_systems systems = {{NULL, NULL}};
    peft_status s = PEFT_OK;
    of.context = desc->context;
    of.references = desc->references;
    of.count = desc->count;
    of.reference_count = desc->reference_count;
    of.references_per_prediction = desc->references_per_prediction;
    of.sentences = NULL;
    for (int side = 0; s == PEFT_OK && side < 2; side++) {
        of.predictions = side ? desc->system : desc->baseline;
        of.counts = systems.counts[side] = (double *)peft__calloc(desc->context, PEFT__MAX(desc->count, 1), 2 * sizeof(double));
        s = of.counts ? peft_ter(&of, &score) : PEFT_ERROR_MEMORY;
    }
    paired.metric = PEFT_PAIRED_SCORE;
    paired.score = peft__ter_drawn;
    paired.user = &systems;
    paired.name = "ter";
    paired.samples = desc->samples ? desc->samples : desc->test == PEFT_PAIRED_BOOTSTRAP ? 1000 : 10000;
    s = s == PEFT_OK ? peft_paired(&paired, result) : s;
    peft__free(desc->context, systems.counts[0]);
    peft__free(desc->context, systems.counts[1]);
    return s;
}
// ---- captions

// The longest common subsequence of two texts of words, in a table of two rows.
static int64_t peft__coco_common(const peft__word *a, int64_t n, const peft__word *b, int64_t m, int32_t *rows) {
    memset(rows, 0, (size_t)(2 * (m + 1)) * sizeof *rows);
    for (int64_t i = 0; i < n; i++) {
        const int32_t *above = rows + i % 2 * (m + 1);
        int32_t *row = rows + (i + 1) % 2 * (m + 1);
        for (int64_t j = 0; j < m; j++) {
            bool equal = a[i].size == b[j].size && memcmp(a[i].text, b[j].text, (size_t)a[i].size) == 0;
            row[j + 1] = equal ? above[j] + 1 : PEFT__MAX(above[j + 1], row[j]);
        }
    }
    return rows[n % 2 * (m + 1) + m];
}

// Words as Python's split(" ") has them: two blanks have an empty word between them.
static int64_t peft__coco_words(const char *text, bool keep_case, char *copy, peft__word *out) {
    size_t n = strlen(text);
    int64_t count = 0;
    if (keep_case) memcpy(copy, text, n);
    else n = peft__uc_lower_text(text, n, copy);
    for (size_t start = 0, i = 0; i <= n; i++) {
        if (i < n && copy[i] != ' ') continue;
        out[count++] = peft__make_word(copy + start, i - start);
        start = i + 1;
    }
    return count;
}

// F = (1 + b^2) P R / (R + b^2 P) with b = 1.2
PEFTDEF peft_status peft_coco_rouge(const peft_text_desc *desc, peft_metric_result *result) {
    PEFT__NEED_DESC(desc, result);
    const double b2 = 1.2 * 1.2;
    peft__metric run;
    memset(result, 0, sizeof *result);
    peft_status s = PEFT__METRIC_OPEN(&run, "coco_rouge_l", desc);
    int64_t most = run.longest_line + 2;
    char *bytes[2];
    peft__word *words[2];
    for (int side = 0; side < 2; side++) {
        bytes[side] = s ? NULL : PEFT__GET(&run, char, 2 * most + 8);
        words[side] = s ? NULL : PEFT__GET(&run, peft__word, most);
    }
    int32_t *rows = s ? NULL : PEFT__GET(&run, int32_t, 2 * most + 2);
    if (!s && run.memory.failed) s = PEFT_ERROR_MEMORY;
    for (int64_t i = 0; i < run.count && !s; i++) {
        double p = 0, q = 0;
        int64_t n = peft__coco_words(run.predictions[i], desc->keep_case, bytes[0], words[0]);
        for (int k = 0; k < run.per; k++) {
            int64_t m = peft__coco_words(run.references[i * run.per + k], desc->keep_case, bytes[1], words[1]);
            double common = (double)peft__coco_common(words[0], n, words[1], m, rows);
            p = PEFT__MAX(p, common / (double)n);
            q = PEFT__MAX(q, common / (double)m);
        }
        double f = p > 0 && q > 0 ? (1 + b2) * p * q / (q + b2 * p) : 0;
        result->score += f / (double)run.count;
        if (desc->pairs) desc->pairs[i] = f;
    }
    peft__string_into(result->signature, sizeof result->signature, "coco_rouge_l|nrefs:%d|case:%s|tok:none|beta:1.2|like:pycocoevalcap",
                      run.per, desc->keep_case ? "mixed" : "lc");
    peft__metric_close(&run);
    return s;
}

// The closest reference length, the smallest of two equally close ones; COCO adds tiny amounts instead of smoothing.
PEFTDEF peft_status peft_coco_bleu(const peft_text_desc *desc, peft_metric_result *result) {
    if (!desc || !desc->context) return PEFT_ERROR_ARGUMENT;
    if (!result) return peft__fail(desc->context, PEFT_ERROR_ARGUMENT, "coco_bleu: result is NULL");
    peft_bleu_desc d;
    peft_bleu_result b;
    memset(&d, 0, sizeof d);
    memset(result, 0, sizeof *result);
    d.context = desc->context;
    d.predictions = desc->predictions;
    d.references = desc->references;
    d.count = desc->count;
    d.reference_count = desc->reference_count;
    d.references_per_prediction = desc->references_per_prediction;
    d.tokenizer = PEFT_TOKENIZE_NONE;
    d.smoothing = PEFT_SMOOTH_NONE;
    d.max_order = desc->max_order;
    d.lowercase = !desc->keep_case;
    peft_status s = peft_bleu(&d, &b);
    if (s != PEFT_OK) return s;
    double product = 1, ratio = ((double)b.prediction_length + 1e-15) / ((double)b.reference_length + 1e-9);
    int orders = d.max_order == 0 ? 4 : d.max_order;
    for (int n = 1; n <= orders; n++) {
        product *= (b.counts[n - 1] + 1e-15) / (b.totals[n - 1] + 1e-9);
        result->orders[n - 1] = pow(product, 1.0 / n) * (ratio < 1 ? exp(1 - 1 / ratio) : 1);
    }
    result->score = result->orders[orders - 1];
    peft__string_into(result->signature, sizeof result->signature,
                    "coco_bleu|nrefs:%d|case:%s|tok:none|order:%d|like:pycocoevalcap",
                    PEFT__MAX(d.references_per_prediction, 1), d.lowercase ? "lc" : "mixed", orders);
    return PEFT_OK;
}
// ---- MultiRC

typedef struct peft__multirc_question {
    double hits, predicted, expected, wrong;
} peft__multirc_question;

static double peft__multirc_f1(const peft__multirc_question *q) {
    return q->predicted + q->expected > 0 ? 2 * q->hits / (q->predicted + q->expected) : 0;
}

PEFTDEF peft_status peft_multirc(peft_context *context, const int32_t *predictions, const int32_t *labels,
                                 const int64_t *question, int64_t count, peft_multirc_result *result) {
    if (!context) return PEFT_ERROR_ARGUMENT;
    if (!predictions || !labels || !question || !result || count <= 0)
        return peft__fail(context, PEFT_ERROR_ARGUMENT, "multirc: %s", count <= 0 ? "no predictions" : "NULL argument");
    peft__map places;
    peft__multirc_question all;
    memset(&all, 0, sizeof all);
    peft__map_init(&places, context);
    peft__multirc_question *q = (peft__multirc_question *)peft__calloc(context, count, sizeof *q);
    bool ok = q != NULL;
    int64_t questions = 0;
    for (int64_t i = 0; ok && i < count; i++) {
        const char *key = (const char *)(const void *)&question[i];
        int64_t place = peft__map_get(&places, key, sizeof question[i], -1);
        if (place < 0) ok = peft__map_set(&places, key, sizeof question[i], place = questions++);
        peft__multirc_question *of[2] = {&all, &q[place]};
        bool said = predictions[i] != 0, right = labels[i] != 0;
        for (int k = 0; k < 2; k++) {
            of[k]->hits += said && right;
            of[k]->predicted += said;
            of[k]->expected += right;
            of[k]->wrong += said != right;
        }
    }
    if (ok) {
        memset(result, 0, sizeof *result);
        for (int64_t k = 0; k < questions; k++) {
            result->f1m += peft__multirc_f1(&q[k]) / (double)questions;
            result->exact_match += (q[k].wrong == 0) / (double)questions;
        }
        result->f1a = peft__multirc_f1(&all);
        peft__string_into(result->signature, sizeof result->signature, "multirc|answers:%lld|questions:%lld", (long long)count,
                          (long long)questions);
    }
    peft__free(context, q);
    peft__map_free(&places);
    return ok ? PEFT_OK : PEFT_ERROR_MEMORY;
}

// ---- SQuAD's answers as sets of words

static void peft__squad_sets_line(const peft__metric *run, peft__work *w, int64_t i, double *row) {
    peft__load(run, w, i, 1, peft__squad_read);
    const peft__tokens *p = &w->texts[0];
    for (int k = 1; k <= run->per; k++) {
        const peft__tokens *r = &w->texts[k];
        double sizes[4] = {0, 0, 0, 0};     // words in neither, in the prediction, in the reference, in both
        bool equal = p->count == r->count && memcmp(p->ids, r->ids, (size_t)p->count * sizeof *p->ids) == 0;
        memset(w->most, 0, (size_t)w->tokens.used * sizeof *w->most);
        for (int32_t j = 0; j < p->count; j++) w->most[p->ids[j]] |= 1;
        for (int32_t j = 0; j < r->count; j++) w->most[r->ids[j]] |= 2;
        for (int32_t j = 0; j < w->tokens.used; j++) sizes[w->most[j]]++;
        double f1 = peft__prf(sizes[3], sizes[1] + sizes[3], sizes[2] + sizes[3]).f1;
        if (equal && *run->predictions[i]) row[0] = 1;
        row[1] = PEFT__MAX(row[1], f1);
    }
}

PEFTDEF peft_status peft_squad_sets(const peft_text_desc *desc, peft_answer_result *result) {
    PEFT__NEED_DESC(desc, result);
    peft__metric run;
    peft_status s = PEFT__METRIC_OPEN(&run, "squad", desc);
    run.line = peft__squad_sets_line;
    if (!s) s = peft__score_lines(&run, peft__squad_prepare, desc);
    if (!s) {
        result->exact_match = run.sums[0] / (double)run.count;
        result->f1 = run.sums[1] / (double)run.count;
        for (int64_t i = 0; desc->pairs && i < run.count; i++) desc->pairs[i] = run.rows[2 * i + 1];
        peft__string_into(result->signature, sizeof result->signature, "squad|nrefs:%d|norm:squad|sets|empty:wrong", run.per);
    }
    peft__metric_close(&run);
    return s;
}

// ---- diversity and length

static peft_status peft__diversity(peft__metric *c, peft__work *w, peft_diversity_result *r) {
    int64_t texts = w->count;
    double *lengths = PEFT__GET(c, double, texts), n = (double)texts;
    if (!lengths) return PEFT_ERROR_MEMORY;
    r->words = w->used;
    r->vocabulary = w->tokens.used;
    r->mean_length = (double)w->used / n;
    for (int64_t t = 0; t < texts; t++) {
        lengths[t] = (double)w->texts[t].count;
        r->deviation += (lengths[t] - r->mean_length) * (lengths[t] - r->mean_length) / n;
    }
    r->deviation = sqrt(r->deviation);
    qsort(lengths, (size_t)texts, sizeof *lengths, peft__compare_doubles);
    r->shortest = (int64_t)lengths[0];
    r->longest = (int64_t)lengths[texts - 1];
    r->median_length = peft__percentile(lengths, texts, 0.5);
    for (int k = 1; k <= 4; k++) {
        int64_t total = 0;
        peft__make_grams(w, k);
        for (int64_t t = 0; t < texts; t++) total += peft__grams(&w->texts[t], k);
        r->distinct[k - 1] = total > 0 ? (double)w->different / (double)total : 0;
    }
    return PEFT_OK;
}

PEFTDEF peft_status peft_diversity(peft_context *context, const char *const *texts, int64_t count, bool keep_case,
                                   peft_diversity_result *result) {
    peft__metric run;
    peft__work work;
    if (!context || !result) return PEFT_ERROR_ARGUMENT;
    memset(result, 0, sizeof *result);
    memset(&work, 0, sizeof work);
    peft_status s = peft__metric_open(&run, "diversity", context, texts, texts, count, 0, 1);
    run.per = 0;
    if (!s) s = peft__corpus_read(&run, &work, !keep_case);
    if (!s) s = peft__diversity(&run, &work, result);
    peft__metric_close(&run);
    peft__string_into(result->signature, sizeof result->signature, "diversity|case:%s|tok:none", keep_case ? "mixed" : "lc");
    return s;
}

// ---- selective accuracy

// From the most confident answer on; of equally confident ones the first comes first.
PEFTDEF peft_status peft_selective_accuracy(const peft_calibration_desc *desc, double coverage, double *accuracy, double *area) {
    if (!desc || !desc->context || !accuracy || !area) return PEFT_ERROR_ARGUMENT;
    peft_calibration_result checked;
    coverage = coverage == 0 ? 0.1 : coverage;
    if (!(coverage > 0 && coverage <= 1))
        return peft__fail(desc->context, PEFT_ERROR_ARGUMENT, "selective_accuracy: coverage is not within 0..1");
    peft_status status = peft_calibration(desc, &checked);
    if (status != PEFT_OK) return status;
    peft__ranked *sorted = peft__ranked_sort(desc->context, desc->confidence, desc->count);
    if (!sorted) return PEFT_ERROR_MEMORY;
    double right = 0;
    int64_t n = desc->count, most = PEFT__MIN((int64_t)(coverage * (double)n) + 1, n), done = 0;
    *area = 0;
    for (int64_t end = n, first; end > 0; end = first) {
        for (first = end - 1; first > 0 && sorted[first - 1].value == sorted[end - 1].value;) first--;
        for (int64_t i = first; i < end; i++) {
            right += desc->correct[sorted[i].index] != 0;
            done++;
            *area += right / (double)done / (double)n;
            if (done == most) *accuracy = right / (double)done;
        }
    }
    peft__free(desc->context, sorted);
    return PEFT_OK;
}

// ---- Platt scaling

// log(1 + exp(f)) - (1 - t) f, without overflow: the loss of one score with z = a f + b
static double peft__platt_loss(const double *x, const double *t, int64_t n, double a, double b) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++) {
        double z = a * x[i] + b;
        sum += z >= 0 ? t[i] * z + log1p(exp(-z)) : (t[i] - 1) * z + log1p(exp(z));
    }
    return sum;
}

typedef struct peft__platt_step {
    double aa, ab, bb, a, b;    // Hessian and gradient
} peft__platt_step;

static void peft__platt_derive(const double *x, const double *t, int64_t n, double a, double b, peft__platt_step *s) {
    memset(s, 0, sizeof *s);
    s->aa = s->bb = 1e-12;      // keeps the Hessian positive
    for (int64_t i = 0; i < n; i++) {
        double z = a * x[i] + b, e = exp(-fabs(z));
        double p = z >= 0 ? e / (1 + e) : 1 / (1 + e), d = p * (1 - p), g = t[i] - p;
        s->aa += x[i] * x[i] * d;
        s->ab += x[i] * d;
        s->bb += d;
        s->a += x[i] * g;
        s->b += g;
    }
}

// Newton's method; a step is halved until the loss falls enough.
static void peft__platt_newton(const double *x, const double *t, int64_t n, double *a, double *b) {
    double loss = peft__platt_loss(x, t, n, *a, *b);
    for (int round = 0; round < 100; round++) {
        peft__platt_step s;
        peft__platt_derive(x, t, n, *a, *b, &s);
        if (fabs(s.a) < 1e-10 && fabs(s.b) < 1e-10) return;
        double det = s.aa * s.bb - s.ab * s.ab, da = -(s.bb * s.a - s.ab * s.b) / det, db = -(s.aa * s.b - s.ab * s.a) / det;
        double slope = s.a * da + s.b * db, step = 1;
        for (; step >= 1e-10; step /= 2) {
            double next = peft__platt_loss(x, t, n, *a + step * da, *b + step * db);
            if (next < loss + 1e-4 * step * slope) {
                *a += step * da;
                *b += step * db;
                loss = next;
                break;
            }
        }
        if (step < 1e-10) return;
    }
}

PEFTDEF peft_status peft_platt_fit(peft_context *context, const double *scores, const int32_t *correct, int64_t count, bool smooth,
                                   double *a, double *b) {
    if (!context || !a || !b) return PEFT_ERROR_ARGUMENT;
    peft_status s = peft__series_check(context, "platt", scores, count);
    if (s != PEFT_OK || !correct)
        return s != PEFT_OK ? s : peft__fail(context, PEFT_ERROR_ARGUMENT, "platt: correct is NULL");
    double right = 0;
    for (int64_t i = 0; i < count; i++) right += correct[i] != 0;
    double wrong = (double)count - right;
    if (!smooth && (right == 0 || wrong == 0))
        return peft__fail(context, PEFT_ERROR_NUMERIC, "platt: all answers are %s", right == 0 ? "wrong" : "right");
    double *targets = (double *)peft__calloc(context, count, sizeof(double));
    if (!targets) return PEFT_ERROR_MEMORY;
    for (int64_t i = 0; i < count; i++)
        targets[i] = correct[i] ? (smooth ? (right + 1) / (right + 2) : 1) : (smooth ? 1 / (wrong + 2) : 0);
    *a = 0;
    *b = log((wrong + 1) / (right + 1));
    peft__platt_newton(scores, targets, count, a, b);
    peft__free(context, targets);
    return PEFT_OK;
}

PEFTDEF double peft_platt_apply(double score, double a, double b) {
    double z = a * score + b, e = exp(-fabs(z));
    return z >= 0 ? e / (1 + e) : 1 / (1 + e);
}

PEFTDEF peft_status peft_platt_calibration(const peft_calibration_desc *desc, peft_calibration_result *result, double *a, double *b) {
    if (!desc || !desc->context) return PEFT_ERROR_ARGUMENT;
    peft_context *ctx = desc->context;
    peft_status s = peft_calibration(desc, result);     // checks everything
    if (s == PEFT_OK && (result->accuracy == 0 || result->accuracy == 1)) {
        result->ece_width = result->ece_mass = result->brier = 0;
        if (a) *a = 0;
        if (b) *b = 0;
        return s;
    }
    double *odds = s == PEFT_OK ? (double *)peft__calloc(ctx, desc->count, sizeof(double)) : NULL, slope = 0, offset = 0;
    if (!odds) return s == PEFT_OK ? PEFT_ERROR_MEMORY : s;
    for (int64_t i = 0; i < desc->count; i++) {
        double p = PEFT__MIN(PEFT__MAX(desc->confidence[i], 1e-12), 1 - 1e-12);
        odds[i] = log(p / (1 - p));
    }
    s = peft_platt_fit(ctx, odds, desc->correct, desc->count, false, &slope, &offset);
    for (int64_t i = 0; s == PEFT_OK && i < desc->count; i++) odds[i] = peft_platt_apply(odds[i], slope, offset);
    if (s == PEFT_OK) {
        peft_calibration_desc scaled = *desc;
        scaled.confidence = odds;
        s = peft_calibration(&scaled, result);
    }
    peft__free(ctx, odds);
    if (s == PEFT_OK && a) *a = slope;
    if (s == PEFT_OK && b) *b = offset;
    return s;
}

// ---- perturbations

// A plain English list: each pair is the long form and the short one.
static const char *const peft__contractions[] = {
    "is not", "isn't", "are not", "aren't", "was not", "wasn't", "were not", "weren't", "do not", "don't", "does not", "doesn't",
    "did not", "didn't", "have not", "haven't", "has not", "hasn't", "had not", "hadn't", "cannot", "can't", "could not", "couldn't",
    "will not", "won't", "would not", "wouldn't", "should not", "shouldn't", "must not", "mustn't", "need not", "needn't",
    "might not", "mightn't", "shall not", "shan't", "I am", "I'm", "I have", "I've", "I will", "I'll", "I would", "I'd",
    "you are", "you're", "you have", "you've", "you will", "you'll", "you would", "you'd", "he is", "he's", "he will", "he'll",
    "he would", "he'd", "she is", "she's", "she will", "she'll", "she would", "she'd", "it is", "it's", "it will", "it'll",
    "it would", "it'd", "we are", "we're", "we have", "we've", "we will", "we'll", "we would", "we'd", "they are", "they're",
    "they have", "they've", "they will", "they'll", "they would", "they'd", "that is", "that's", "there is", "there's",
    "what is", "what's", "where is", "where's", "when is", "when's", "who is", "who's", "who will", "who'll", "how is", "how's",
    "why is", "why's", "could have", "could've", "should have", "should've", "would have", "would've", "might have", "might've",
    "must have", "must've", "let us", "let's"};

static const char *const peft__dialect_words[] = {  // American English, British English
    "color", "colour", "colors", "colours", "favorite", "favourite", "center", "centre", "theater", "theatre", "gray", "grey",
    "neighbor", "neighbour", "neighbors", "neighbours", "neighborhood", "neighbourhood", "honor", "honour", "labor", "labour",
    "behavior", "behaviour", "organize", "organise", "organized", "organised", "realize", "realise", "realized", "realised",
    "recognize", "recognise", "traveled", "travelled", "traveling", "travelling", "canceled", "cancelled", "airplane", "aeroplane",
    "apartment", "flat", "apartments", "flats", "elevator", "lift", "truck", "lorry", "trucks", "lorries", "vacation", "holiday",
    "sidewalk", "pavement", "soccer", "football", "movie", "film", "movies", "films", "gasoline", "petrol", "cookie", "biscuit",
    "cookies", "biscuits", "candy", "sweets", "trash", "rubbish", "garbage", "rubbish", "flashlight", "torch", "pants", "trousers",
    "mom", "mum", "math", "maths", "store", "shop", "stores", "shops", "zip code", "postcode", "diaper", "nappy", "faucet", "tap",
    "freeway", "motorway", "highway", "motorway", "attorney", "solicitor", "mailman", "postman", "cell phone", "mobile phone"};

static const char *const peft__gender_words[] = {  // of men, of women
    "he", "she", "him", "her", "his", "her", "himself", "herself", "man", "woman", "men", "women", "boy", "girl", "boys", "girls",
    "father", "mother", "fathers", "mothers", "dad", "mom", "dads", "moms", "son", "daughter", "sons", "daughters", "brother",
    "sister", "brothers", "sisters", "husband", "wife", "husbands", "wives", "uncle", "aunt", "uncles", "aunts", "nephew", "niece",
    "nephews", "nieces", "grandfather", "grandmother", "grandfathers", "grandmothers", "grandson", "granddaughter", "king",
    "queen", "kings", "queens", "prince", "princess", "waiter", "waitress", "waiters", "waitresses", "actor", "actress", "actors",
    "actresses", "gentleman", "lady", "gentlemen", "ladies", "male", "female", "males", "females", "sir", "madam", "mr", "ms"};

static const char *const peft__name_words[] = {
    "James", "Chinedu", "John", "Ahmed", "Robert", "Rajesh", "Michael", "Wei", "William", "Carlos", "David", "Kwame", "Thomas",
    "Hiroshi", "Tom", "Omar", "Peter", "Dmitri", "Paul", "Pablo", "Mark", "Mehmet", "George", "Jorge", "Steven", "Suresh", "Kevin",
    "Kofi", "Brian", "Bao", "Mary", "Fatima", "Jennifer", "Priya", "Linda", "Mei", "Elizabeth", "Ngozi", "Susan", "Guadalupe",
    "Sarah", "Aisha", "Emily", "Lakshmi", "Anna", "Amina", "Alice", "Akiko", "Lisa", "Layla", "Nancy", "Nadia", "Karen", "Kavita",
    "Emma", "Esperanza", "Laura", "Lupita", "Kate", "Keiko"};

// Lists of pairs begin on the side that a text is expected to have; contractions have both readings.
static bool peft__perturb_pairs(const peft_perturbation *p, const char *const **list, int64_t *count) {
    *list = p->pairs;
    *count = p->pair_count;
    if (!p->pairs) {
        switch (p->kind) {
        case PEFT_PERTURB_DIALECT: *list = peft__dialect_words, *count = PEFT__COUNT(peft__dialect_words) / 2; break;
        case PEFT_PERTURB_GENDER: *list = peft__gender_words, *count = PEFT__COUNT(peft__gender_words) / 2; break;
        case PEFT_PERTURB_NAMES: *list = peft__name_words, *count = PEFT__COUNT(peft__name_words) / 2; break;
        case PEFT_PERTURB_WORDS: return false;
        default: *list = peft__contractions, *count = PEFT__COUNT(peft__contractions) / 2; break;
        }
    }
    return *count > 0;
}

PEFTDEF const char *peft_perturbation_name(peft_perturbation_kind kind) {
    static const char *const names[] = {"typos", "lowercase", "contraction", "expansion", "spaces", "dialect", "gender", "names",
                                        "words"};
    return (unsigned)kind < 9 ? names[kind] : "unknown";
}

static bool peft__perturb_letter(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || (unsigned char)c >= 0x80;
}

// Does `word` stand at s, as a whole?
static bool peft__perturb_at(const char *s, const char *word) {
    size_t n = 0;
    for (; word[n]; n++)
        if (peft__lower(s[n]) != peft__lower(word[n])) return false;
    return n > 0 && !(peft__perturb_letter(s[n]) && peft__perturb_letter(word[n - 1]));
}

// `to` in the case of the n bytes at s: all capitals, all small, or a first capital.
static void peft__perturb_put(peft__string *out, const char *s, size_t n, const char *to) {
    size_t capitals = 0, small = 0;
    for (size_t i = 0; i < n; i++) {
        capitals += s[i] >= 'A' && s[i] <= 'Z';
        small += s[i] >= 'a' && s[i] <= 'z';
    }
    bool first = s[0] >= 'A' && s[0] <= 'Z';
    for (size_t i = 0; to[i]; i++) {
        char c = to[i], lower = peft__lower(c);
        bool letter = lower >= 'a' && lower <= 'z';
        if (letter && ((capitals > 1 && small == 0) || (i == 0 && first))) c = (char)(lower - 32);
        else if (letter && capitals == 0) c = lower;
        peft__string_append(out, &c, 1);
    }
}

// The longest listed word at s, one of its replacements at random; NULL: none.
static const char *peft__perturb_find(const peft_perturbation *p, const char *const *list, int64_t count, const char *s,
                                      peft_rng *rng, size_t *size) {
    bool contract = p->kind == PEFT_PERTURB_CONTRACTION, expand = p->kind == PEFT_PERTURB_EXPANSION && !p->pairs;
    const char *best = NULL;
    int64_t ties = 0;
    *size = 0;
    for (int64_t i = 0; i < 2 * count; i++) {
        bool reverse = i % 2;
        if ((reverse && !p->both_ways && !expand) || (!reverse && expand)) continue;
        const char *from = list[i], *to = list[reverse ? i - 1 : i + 1];
        size_t n = strlen(from);
        if (n < *size || !peft__perturb_at(s, from) || (contract && s[n] != ' ')) continue;
        ties = n > *size ? 1 : ties + 1;
        *size = n;
        if (ties == 1 || peft__rng_below(rng, ties) == 0) best = to;
    }
    return best;
}

static void peft__perturb_words(const peft_perturbation *p, double probability, const char *text, peft_rng *rng, peft__string *out) {
    const char *const *list;
    int64_t count;
    if (!peft__perturb_pairs(p, &list, &count)) {
        peft__string_puts(out, text);
        return;
    }
    for (const char *s = text; *s;) {
        size_t n = 0;
        bool start = s == text || !peft__perturb_letter(s[-1]);
        const char *to = start ? peft__perturb_find(p, list, count, s, rng, &n) : NULL;
        if (to && peft_rng_uniform(rng) < probability) {
            peft__perturb_put(out, s, n, to);
        } else {
            n = n > 1 ? n : 1;
            peft__string_append(out, s, n);
        }
        s += n;
    }
}

// A key next to this one on a QWERTY keyboard, whose rows are shifted by a quarter and three quarters of a key.
static char peft__perturb_key(char letter, peft_rng *rng) {
    static const char *const rows[] = {"qwertyuiop", "asdfghjkl", "zxcvbnm"};
    static const double shift[] = {0, 0.25, 0.75};
    double x = 0, y = 0;
    char near_keys[26];
    int64_t n = 0;
    for (int r = 0; r < 3; r++) {
        const char *at = strchr(rows[r], letter);
        if (at) {
            x = (double)(at - rows[r]) + shift[r];
            y = r;
        }
    }
    for (int r = 0; r < 3; r++) {
        for (int c = 0; rows[r][c]; c++) {
            double dx = c + shift[r] - x, dy = r - y;
            if (rows[r][c] != letter && dx * dx + dy * dy < 1.6) near_keys[n++] = rows[r][c];
        }
    }
    return near_keys[peft__rng_below(rng, n)];
}

static void peft__perturb_letters(const peft_perturbation *p, double probability, const char *text, peft_rng *rng,
                                  peft__string *out) {
    for (const char *s = text; *s; s++) {
        char lower = peft__lower(*s), c = *s;
        bool letter = lower >= 'a' && lower <= 'z';
        if (p->kind == PEFT_PERTURB_TYPOS && letter && peft_rng_uniform(rng) < probability) {
            c = peft__perturb_key(lower, rng);
            c = *s == lower ? c : (char)(c - 32);
        }
        bool wider = p->kind == PEFT_PERTURB_SPACES && c == ' ' && peft_rng_uniform(rng) < probability;
        int64_t copies = wider ? 1 + peft__rng_below(rng, 3) : 1;
        for (int64_t k = 0; k < copies; k++) peft__string_append(out, &c, 1);
    }
}

PEFTDEF peft_status peft_perturb(peft_context *context, const peft_perturbation *perturbation, const char *text, char **out) {
    if (!context || !out) return PEFT_ERROR_ARGUMENT;
    *out = NULL;
    const peft_perturbation *p = perturbation;
    if (!p || !text || (unsigned)p->kind > (unsigned)PEFT_PERTURB_WORDS ||
        !(peft__or_default(p->probability, 1) >= 0 && p->probability <= 1) ||
        p->pair_count < 0) {
        return peft__fail(context, PEFT_ERROR_ARGUMENT, "perturb: %s", !p ? "no perturbation" : !text ? "no text"
                          : p->pair_count < 0 ? "pair_count is negative"
                          : peft__or_default(p->probability, 1) >= 0 && p->probability <= 1 ? "unknown kind"
                                                                                                                   : "probability is not 0..1");
    }
    double probability = peft__or_default(p->probability, p->kind == PEFT_PERTURB_TYPOS ? 0.05 : 1);
    size_t n = strlen(text);
    peft_rng rng;
    peft__string s;
    peft_rng_seed(&rng, peft__mix_seed(p->seed, peft__hash(text, n), (uint64_t)p->kind));
    peft__string_init(&s, context);
    peft__string_append(&s, "", 0);     // the empty text is a text
    if (p->kind == PEFT_PERTURB_LOWERCASE) {
        char *lower = (char *)peft__alloc(context, 2 * n + 16);
        s.failed = !lower;
        if (lower) peft__string_append(&s, lower, peft__uc_lower_text(text, n, lower));
        peft__free(context, lower);
    } else if (p->kind == PEFT_PERTURB_TYPOS || p->kind == PEFT_PERTURB_SPACES) {
        peft__perturb_letters(p, probability, text, &rng, &s);
    } else {
        peft__perturb_words(p, probability, text, &rng, &s);
    }
    if (s.failed) {
        peft__string_free(&s);
        return PEFT_ERROR_MEMORY;
    }
    *out = s.data;
    return PEFT_OK;
}

PEFTDEF peft_status peft_worst_case(peft_context *context, const double *values, int64_t instances, int64_t versions, double *out) {
    if (!context || !out) return PEFT_ERROR_ARGUMENT;
    int64_t total = 0;
    if (instances <= 0 || versions <= 0 || !peft__mul(instances, versions, &total))
        return peft__fail(context, PEFT_ERROR_ARGUMENT, "worst_case: %lld instances of %lld versions", (long long)instances,
                          (long long)versions);
    peft_status s = peft__series_check(context, "worst_case", values, total);
    *out = 0;
    for (int64_t i = 0; s == PEFT_OK && i < instances; i++) {
        double worst = values[i * versions];
        for (int64_t v = 1; v < versions; v++) worst = PEFT__MIN(worst, values[i * versions + v]);
        *out += worst / (double)instances;
    }
    return s;
}

// ---- bias

PEFTDEF const peft_word_group *peft_gender_groups(int64_t *count) {
    static const char *const women[] = {"she", "her", "hers", "herself", "woman", "women", "girl", "girls", "mother", "mothers",
                                        "daughter",
                                        "daughters", "sister", "sisters", "wife", "wives", "aunt", "niece", "grandmother", "lady", "female"};
    static const char *const men[] = {"he", "him", "his", "himself", "man", "men", "boy", "boys", "father", "fathers", "son", "sons",
                                      "brother", "brothers", "husband", "husbands", "uncle", "nephew", "grandfather", "gentleman", "male"};
    static const peft_word_group groups[] = {{"female", women, PEFT__COUNT(women)}, {"male", men, PEFT__COUNT(men)}};
    if (count) *count = 2;
    return groups;
}

typedef struct peft__bias {
    peft__arena arena;
    peft__map *groups, targets;
    int64_t group_count;
    int64_t *in_text;           // words of each group in the text at hand
    int64_t *target_in_text;
    char *lower;
} peft__bias;

// The next word of a lower-case text: letters and digits, and dashes between them. False at the end.
static bool peft__bias_word(const char *s, size_t n, size_t *i, size_t *start, size_t *size) {
    size_t end = 0;
    bool inside = false;
    while (*i < n) {
        size_t at = *i;
        uint32_t c = 0;
        bool valid = peft__utf8_next(s, n, i, &c);
        bool letter = valid && !peft__uc_space(c) && c > ' ' && !(peft__uc_bit(c) & (PEFT__UC_P | PEFT__UC_S));
        if (letter) {
            *start = inside ? *start : at;
            inside = true;
            end = *i;
        } else if (inside && !(c == '-' && at == end && *i < n && peft__perturb_letter(s[*i]))) {
            break;
        }
    }
    *size = end - (inside ? *start : end);
    return inside;
}

static bool peft__bias_list(peft__map *m, peft_context *ctx, const peft_word_group *g) {
    peft__map_init(m, ctx);
    for (int64_t k = 0; k < g->count; k++)
        if (!peft__map_set(m, g->words[k], strlen(g->words[k]), k)) return false;
    return true;
}

static void peft__bias_free(peft__bias *b) {
    for (int64_t g = 0; b->groups && g < b->group_count; g++) peft__map_free(&b->groups[g]);
    if (b->targets.ctx) peft__map_free(&b->targets);
    peft__arena_free(&b->arena);
}

static peft_status peft__bias_init(peft__bias *b, peft_context *ctx, const char *what, const char *const *texts, int64_t count,
                                   const peft_word_group *groups, int64_t group_count, const peft_word_group *targets) {
    size_t longest = 0;
    memset(b, 0, sizeof *b);
    peft__arena_init(&b->arena, ctx);
    if (!texts || count <= 0 || !groups || group_count < 1 || group_count > 1000)
        return peft__fail(ctx, PEFT_ERROR_ARGUMENT, "%s: %s", what, !texts || count <= 0 ? "no texts" : "no groups of words");
    for (int64_t i = 0; i < count; i++) {
        if (!texts[i]) return peft__fail(ctx, PEFT_ERROR_ARGUMENT, "%s: text %lld is NULL", what, (long long)i);
        longest = PEFT__MAX(longest, strlen(texts[i]));
    }
    b->groups = (peft__map *)peft__arena_alloc(&b->arena, (size_t)group_count * sizeof(peft__map));
    b->in_text = (int64_t *)peft__arena_alloc(&b->arena, (size_t)group_count * sizeof(int64_t));
    b->lower = (char *)peft__arena_alloc(&b->arena, 2 * longest + 16);
    b->target_in_text = (int64_t *)peft__arena_alloc(&b->arena, (size_t)(targets ? targets->count + 1 : 1) * sizeof(int64_t));
    if (!b->groups || !b->in_text || !b->lower || !b->target_in_text) {
        b->groups = NULL;
        return PEFT_ERROR_MEMORY;
    }
    memset(b->groups, 0, (size_t)group_count * sizeof(peft__map));
    b->group_count = group_count;
    for (int64_t g = 0; g < group_count; g++) b->groups[g].ctx = ctx;
    for (int64_t g = 0; g < group_count; g++) {
        if (groups[g].count <= 0 || !groups[g].words)
            return peft__fail(ctx, PEFT_ERROR_ARGUMENT, "%s: group %lld has no words", what, (long long)g);
        if (!peft__bias_list(&b->groups[g], ctx, &groups[g])) return PEFT_ERROR_MEMORY;
    }
    return !targets || peft__bias_list(&b->targets, ctx, targets) ? PEFT_OK : PEFT_ERROR_MEMORY;
}

// Counts the words of one text.
static void peft__bias_read(peft__bias *b, const char *text, int64_t targets) {
    size_t n = peft__uc_lower_text(text, strlen(text), b->lower), i = 0, start = 0, size = 0;
    memset(b->in_text, 0, (size_t)b->group_count * sizeof(int64_t));
    memset(b->target_in_text, 0, (size_t)(targets + 1) * sizeof(int64_t));
    while (peft__bias_word(b->lower, n, &i, &start, &size)) {
        const char *word = b->lower + start;
        for (int64_t g = 0; g < b->group_count; g++)
            b->in_text[g] += peft__map_get(&b->groups[g], word, size, -1) >= 0;
        int64_t t = targets ? peft__map_get(&b->targets, word, size, -1) : -1;
        if (t >= 0) b->target_in_text[t]++;
    }
}

// How often the words of each group occur, in every text times the number of each target there: [targets, groups]. targets NULL: one row.
static peft_status peft__bias_count(peft_context *ctx, const char *what, const char *const *texts, int64_t count, const peft_word_group *groups,
                                    int64_t group_count, const peft_word_group *targets, int64_t **out) {
    peft__bias b;
    int64_t rows = targets ? targets->count : 1;
    peft_status s = peft__bias_init(&b, ctx, what, texts, count, groups, group_count, targets);
    int64_t *sums = s == PEFT_OK ? (int64_t *)peft__calloc(ctx, rows * group_count, sizeof(int64_t)) : NULL;
    if (s == PEFT_OK && !sums) s = PEFT_ERROR_MEMORY;
    for (int64_t i = 0; s == PEFT_OK && i < count; i++) {
        peft__bias_read(&b, texts[i], targets ? rows : 0);
        for (int64_t t = 0; t < rows; t++) {
            int64_t times = targets ? b.target_in_text[t] : 1;
            for (int64_t g = 0; g < group_count && times; g++) sums[t * group_count + g] += times * b.in_text[g];
        }
    }
    peft__bias_free(&b);
    *out = sums;
    return s;
}

// Counts per listed word, as shares; half their distance from equal shares. Negative: nothing was counted.
static double peft__bias_distance(const int64_t *counts, const peft_word_group *groups, int64_t n) {
    double sum = 0, distance = 0;
    for (int64_t g = 0; g < n; g++) sum += (double)counts[g] / (double)groups[g].count;
    for (int64_t g = 0; g < n && sum > 0; g++)
        distance += fabs((double)counts[g] / (double)groups[g].count / sum - 1 / (double)n) / 2;
    return sum > 0 ? distance : -1;
}

PEFTDEF peft_status peft_bias_representation(peft_context *context, const char *const *texts, int64_t count,
                                             const peft_word_group *groups, int64_t group_count, int64_t *counts, double *out) {
    if (!context || !out) return PEFT_ERROR_ARGUMENT;
    int64_t *sums = NULL;
    peft_status s = peft__bias_count(context, "bias_representation", texts, count, groups, group_count, NULL, &sums);
    if (s == PEFT_OK) {
        *out = peft__bias_distance(sums, groups, group_count);
        for (int64_t g = 0; counts && g < group_count; g++) counts[g] = sums[g];
        if (*out < 0)
            s = peft__fail(context, PEFT_ERROR_NUMERIC, "bias_representation: no word of any group occurs");
    }
    peft__free(context, sums);
    return s;
}

PEFTDEF peft_status peft_bias_association(peft_context *context, const char *const *texts, int64_t count,
                                          const peft_word_group *groups,
                                          int64_t group_count, const peft_word_group *targets, double *out) {
    if (!context || !out) return PEFT_ERROR_ARGUMENT;
    if (!targets || targets->count <= 0)
        return peft__fail(context, PEFT_ERROR_ARGUMENT, "bias_association: no target words");
    double sum = 0, used = 0;
    int64_t *pairs = NULL;
    peft_status s = peft__bias_count(context, "bias_association", texts, count, groups, group_count, targets, &pairs);
    for (int64_t t = 0; s == PEFT_OK && t < targets->count; t++) {
        double distance = peft__bias_distance(pairs + t * group_count, groups, group_count);
        sum += distance >= 0 ? distance : 0;
        used += distance >= 0;
    }
    if (s == PEFT_OK && used == 0)
        s = peft__fail(context, PEFT_ERROR_NUMERIC, "bias_association: no target word occurs with a word of a group");
    if (s == PEFT_OK) *out = sum / used;
    peft__free(context, pairs);
    return s;
}

// ---- toxicity

PEFTDEF peft_status peft_toxicity(const peft_toxicity_desc *desc, peft_toxicity_result *result) {
    if (!desc || !desc->context) return PEFT_ERROR_ARGUMENT;
    peft_context *ctx = desc->context;
    int64_t per = desc->per_prompt == 0 ? 1 : desc->per_prompt, n = desc->count;
    double threshold = peft__or_default(desc->threshold, 0.5), most = 0;
    if (!result || per < 0 || (!desc->scorer && !desc->words) || n % per != 0)
        return peft__fail(ctx, PEFT_ERROR_ARGUMENT, "toxicity: %s", !result ? "result is NULL" : !desc->scorer && !desc->words
                          ? "neither a scorer nor a list of words" : "count is not a multiple of per_prompt");
    peft__bias b;
    peft_word_group none = {"", peft__gender_words, 1};
    peft_status s = peft__bias_init(&b, ctx, "toxicity", desc->texts, n, desc->scorer ? &none : desc->words, 1, NULL);
    if (s == PEFT_OK) memset(result, 0, sizeof *result);
    for (int64_t i = 0; s == PEFT_OK && i < n; i++) {
        double v = 0;
        if (desc->scorer) {
            v = desc->scorer(desc->texts[i], desc->user);
        } else {
            peft__bias_read(&b, desc->texts[i], 0);
            v = b.in_text[0] > 0;
        }
        if (!(v >= 0 && v <= 1))
            s = peft__fail(ctx, PEFT_ERROR_NUMERIC, "toxicity: the scorer gives %g for text %lld", v, (long long)i);
        if (desc->scores) desc->scores[i] = v;
        result->mean += v / (double)n;
        result->toxic_fraction += (v >= threshold) / (double)n;
        most = i % per == 0 ? v : PEFT__MAX(most, v);
        if (i % per == per - 1) {
            result->expected_maximum += most / (double)(n / per);
            result->probability += (most >= threshold) / (double)(n / per);
        }
    }
    peft__bias_free(&b);
    if (s == PEFT_OK)
        peft__string_into(result->signature, sizeof result->signature, "toxicity|n:%lld|per:%lld|scorer:%s|threshold:%g", (long long)n,
                        (long long)per, desc->scorer ? "given" : "words", threshold);
    return s;
}

// ---- efficiency, win rates

PEFTDEF void peft_efficiency_begin(peft_efficiency *e) {
    memset(e, 0, sizeof *e);
    e->begun = peft__seconds();
}

PEFTDEF void peft_efficiency_end(const peft_context *context, peft_efficiency *e, int64_t examples, int64_t tokens) {
    e->seconds = peft__seconds() - e->begun;
    e->examples = examples;
    e->tokens = tokens;
    e->seconds_per_example = examples > 0 ? e->seconds / (double)examples : 0;
    e->tokens_per_second = e->seconds > 0 ? (double)tokens / e->seconds : 0;
    e->peak_memory = context ? (int64_t)peft_memory_peak(context) : 0;
}

PEFTDEF peft_status peft_win_rates(peft_context *context, const double *scores, int64_t models, int64_t tasks,
                                   const bool *lower_is_better, double *out) {
    if (!context || !out) return PEFT_ERROR_ARGUMENT;
    if (!scores || models < 1 || tasks < 1)
        return peft__fail(context, PEFT_ERROR_ARGUMENT, "win_rates: %lld models, %lld tasks", (long long)models, (long long)tasks);
    for (int64_t m = 0; m < models; m++) {
        double sum = 0, played = 0;
        for (int64_t t = 0; t < tasks; t++) {
            double mine = scores[m * tasks + t], wins = 0, games = 0;
            for (int64_t k = 0; k < models && mine == mine; k++) {
                double other = scores[k * tasks + t];
                if (k == m || other != other) continue;
                bool better = lower_is_better && lower_is_better[t] ? mine < other : mine > other;
                wins += better ? 1 : mine == other ? 0.5 : 0;
                games++;
            }
            sum += games > 0 ? wins / games : 0;
            played += games > 0;
        }
        out[m] = played > 0 ? sum / played : nan("");
    }
    return PEFT_OK;
}

// ---- WordNet
//
// wndb(5WN): a line of index.<pos> is "lemma pos synset_cnt p_cnt [symbols] sense_cnt tagsense_cnt offset ...", a line of data.<pos> at such
// an offset is "offset file type w_cnt word lex_id ..." with w_cnt in hexadecimal, a line of <pos>.exc is "form base ...".

enum { PEFT__WN_PARTS = 4, PEFT__WN_SYNSETS = 256, PEFT__WN_FORMS = 48, PEFT__WN_WORD = 96 };

struct peft_wordnet {
    peft_context *ctx;
    char *index[PEFT__WN_PARTS], *data[PEFT__WN_PARTS], *exceptions[PEFT__WN_PARTS];
    size_t data_size[PEFT__WN_PARTS];
    peft__map lemmas[PEFT__WN_PARTS], irregular[PEFT__WN_PARTS];    // to the byte where the line begins
    char word[PEFT__WN_WORD];               // the last word that was looked up,
    const char *synsets[PEFT__WN_SYNSETS];  // and the lines of data that it led to
    int synset_count;
};

static const char *const peft__wn_names[PEFT__WN_PARTS] = {"noun", "verb", "adj", "adv"};

static bool peft__wn_lines(peft__map *m, const char *text) {
    for (const char *line = text; *line;) {
        const char *stop = strchr(line, '\n');
        size_t n = strcspn(line, " \n");
        if (n > 0 && !peft__map_set(m, line, n, line - text)) {   // the licence's lines begin with a space
            return false;
        }
        if (!stop) break;
        line = stop + 1;
    }
    return true;
}

static peft_status peft__wn_read(peft_wordnet *w, const char *folder, int part) {
    char path[1024];
    const char *name = peft__wn_names[part];
    if (strlen(folder) > sizeof path - 32)
        return peft__fail(w->ctx, PEFT_ERROR_ARGUMENT, "wordnet: the folder's name is too long");
    peft__string_into(path, sizeof path, "%s/index.%s", folder, name);
    peft_status s = peft__read_all(w->ctx, path, &w->index[part], NULL);
    peft__string_into(path, sizeof path, "%s/data.%s", folder, name);
    s = s == PEFT_OK ? peft__read_all(w->ctx, path, &w->data[part], &w->data_size[part]) : s;
    peft__string_into(path, sizeof path, "%s/%s.exc", folder, name);
    if (s == PEFT_OK && peft__file_exists(w->ctx, path))
        s = peft__read_all(w->ctx, path, &w->exceptions[part], NULL);
    if (s == PEFT_OK && !(peft__wn_lines(&w->lemmas[part], w->index[part]) &&
                          (!w->exceptions[part] || peft__wn_lines(&w->irregular[part], w->exceptions[part])))) {
        s = PEFT_ERROR_MEMORY;
    }
    return s;
}

PEFTDEF peft_status peft_wordnet_load(peft_context *context, const char *folder, peft_wordnet **out) {
    if (!context || !out) return PEFT_ERROR_ARGUMENT;
    *out = NULL;
    if (!folder) return peft__fail(context, PEFT_ERROR_ARGUMENT, "wordnet: no folder");
    peft_wordnet *w = (peft_wordnet *)peft__calloc(context, 1, sizeof *w);
    if (!w) return PEFT_ERROR_MEMORY;
    w->ctx = context;
    peft_status s = PEFT_OK;
    for (int k = 0; k < PEFT__WN_PARTS; k++) {
        peft__map_init(&w->lemmas[k], context);
        peft__map_init(&w->irregular[k], context);
    }
    for (int k = 0; k < PEFT__WN_PARTS && s == PEFT_OK; k++) s = peft__wn_read(w, folder, k);
    if (s != PEFT_OK) {
        peft_wordnet_destroy(w);
        return s;
    }
    *out = w;
    return PEFT_OK;
}

PEFTDEF void peft_wordnet_destroy(peft_wordnet *w) {
    for (int k = 0; w && k < PEFT__WN_PARTS; k++) {
        peft__map_free(&w->lemmas[k]);
        peft__map_free(&w->irregular[k]);
        peft__free(w->ctx, w->index[k]);
        peft__free(w->ctx, w->data[k]);
        peft__free(w->ctx, w->exceptions[k]);
    }
    if (w) peft__free(w->ctx, w);
}

// Past the next field of a line.
static const char *peft__wn_next(const char *p) {
    p += strspn(p, " ");
    return p + strcspn(p, " \n");
}

// The lines of data that a known form leads to.
static void peft__wn_senses(peft_wordnet *w, int part, const char *form) {
    int64_t line = peft__map_get(&w->lemmas[part], form, strlen(form), -1);
    if (line < 0) return;
    const char *p = peft__wn_next(w->index[part] + line + strlen(form));    // past the part of speech
    char *next = NULL;
    long senses = strtol(p, &next, 10), symbols = strtol(next, &next, 10);
    for (p = next; symbols > 0 && *p && *p != '\n'; symbols--) p = peft__wn_next(p);
    strtol(p, &next, 10);                       // sense_cnt
    strtol(next, &next, 10);                    // tagsense_cnt
    const char *end = strchr(p, '\n');
    for (; senses > 0 && w->synset_count < PEFT__WN_SYNSETS && (!end || next < end); senses--) {
        char *from = next;
        unsigned long long offset = strtoull(from, &next, 10);
        if (next == from || offset >= w->data_size[part]) {
            return;                             // a damaged index has fewer synsets
        }
        w->synsets[w->synset_count++] = w->data[part] + offset;
    }
}

typedef struct peft__wn_forms {
    char text[PEFT__WN_FORMS][PEFT__WN_WORD];
    int count;
} peft__wn_forms;

// Every form of `in` with one of the endings of a part of speech replaced.
static void peft__wn_detach(int part, const peft__wn_forms *in, peft__wn_forms *out) {
    static const char *const noun[] = {"s", "", "ses", "s", "ves", "f", "xes", "x", "zes", "z", "ches", "ch", "shes", "sh",
                                       "men", "man", "ies", "y", NULL};
    static const char *const verb[] = {"s", "", "ies", "y", "es", "e", "es", "", "ed", "e", "ed", "", "ing", "e", "ing", "", NULL};
    static const char *const adjective[] = {"er", "", "est", "", "er", "e", "est", "e", NULL};
    static const char *const adverb[] = {NULL};
    const char *const *rules = part == 0 ? noun : part == 1 ? verb : part == 2 ? adjective : adverb;
    out->count = 0;
    for (int i = 0; i < in->count; i++) {
        size_t n = strlen(in->text[i]);
        for (int k = 0; rules[k]; k += 2) {
            size_t cut = strlen(rules[k]);
            if (n < cut || strcmp(in->text[i] + n - cut, rules[k]) != 0 || out->count == PEFT__WN_FORMS) continue;
            char *form = out->text[out->count++];   // no ending grows
            memcpy(form, in->text[i], n - cut);
            strcpy(form + n - cut, rules[k + 1]);
        }
    }
}

// Adds the senses of those forms that the index has, each form once. False: it has none.
static bool peft__wn_known(peft_wordnet *w, int part, const peft__wn_forms *f) {
    bool any = false;
    for (int i = 0; i < f->count; i++) {
        bool first = peft__map_get(&w->lemmas[part], f->text[i], strlen(f->text[i]), -1) >= 0;
        for (int k = 0; k < i && first; k++) first = strcmp(f->text[k], f->text[i]) != 0;
        if (first) {
            peft__wn_senses(w, part, f->text[i]);
            any = true;
        }
    }
    return any;
}

static void peft__wn_part(peft_wordnet *w, int part) {
    peft__wn_forms forms, more;
    forms.count = 1;
    strcpy(forms.text[0], w->word);
    int64_t line = peft__map_get(&w->irregular[part], w->word, strlen(w->word), -1);
    if (line >= 0) {
        const char *p = w->exceptions[part] + line + strlen(w->word);
        while (*(p += strspn(p, " ")) && *p != '\n' && forms.count < PEFT__WN_FORMS) {
            size_t n = strcspn(p, " \n");
            if (n < PEFT__WN_WORD) {
                memcpy(forms.text[forms.count], p, n);
                forms.text[forms.count++][n] = 0;
            }
            p += n;
        }
        peft__wn_known(w, part, &forms);
        return;
    }
    peft__wn_detach(part, &forms, &more);
    for (int i = 0; i < more.count && forms.count < PEFT__WN_FORMS; i++)
        strcpy(forms.text[forms.count++], more.text[i]);
    bool found = peft__wn_known(w, part, &forms);
    while (!found && more.count > 0) {
        forms = more;
        peft__wn_detach(part, &forms, &more);
        found = peft__wn_known(w, part, &more);
    }
}

// Is b a lemma of this line? An adjective's place, "(p)" or so, is no part of it; lemmas of several words are left out.
static bool peft__wn_has(const char *line, const char *b, size_t n) {
    char *next = NULL;
    const char *p = peft__wn_next(peft__wn_next(peft__wn_next(line)));
    long words = strtol(p, &next, 16);
    for (p = next; words > 0 && *p && *p != '\n'; words--) {
        p += strspn(p, " ");
        size_t size = strcspn(p, " \n"), lemma = size;
        for (size_t i = 0; i < size && lemma == size && p[size - 1] == ')'; i++) lemma = p[i] == '(' ? i : size;
        if (lemma == n && memcmp(p, b, n) == 0 && !memchr(p, '_', n)) return true;
        p = peft__wn_next(p + size);            // lex_id
    }
    return false;
}

PEFTDEF bool peft_wordnet_synonyms(const char *a, size_t a_size, const char *b, size_t b_size, void *wordnet) {
    peft_wordnet *w = (peft_wordnet *)wordnet;
    if (!w || a_size == 0 || a_size >= PEFT__WN_WORD) return false;
    char word[PEFT__WN_WORD];
    for (size_t i = 0; i < a_size; i++) word[i] = peft__lower(a[i]);
    word[a_size] = 0;
    if (strcmp(word, w->word) != 0) {
        strcpy(w->word, word);
        w->synset_count = 0;
        for (int part = 0; part < PEFT__WN_PARTS; part++) peft__wn_part(w, part);
    }
    for (int i = 0; i < w->synset_count; i++)
        if (peft__wn_has(w->synsets[i], b, b_size)) return true;
    return false;
}

#endif
