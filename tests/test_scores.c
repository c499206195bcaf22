// Chapter 13, what is beside the single metrics: the textbook's BLEU, perplexity, significance tests, Platt scaling, perturbations, bias,
// toxicity, win rates, WordNet, TER of Asian scripts. Expected values are worked out by hand or a second way.
#define PEFT_IMPLEMENTATION
#define PEFT_ONLY_METRICS
#include "peft.h"
#include "../tools/scores.h"

#include "check.h"
#include <stdio.h>
#include <stdlib.h>

static int passed, failed, skipped;
static peft_context *ctx;

static bool check(const char *name, bool ok) {
    if (test_count(&passed, &failed, ok, name)) printf("%-58s FAIL (last error: %s)\n", name, peft_error(ctx));
    return ok;
}

static bool close_to(double a, double b, double tolerance) { return fabs(a - b) <= tolerance; }
static bool near(double a, double b) { return close_to(a, b, 1e-12); }

// ---- the textbook

static double bleu(const char *p, const char *r, peft_tokenizer_kind tokenizer, peft_bleu_smoothing smoothing, bool average) {
    peft_bleu_desc d;
    peft_bleu_result result;
    memset(&d, 0, sizeof d);
    d.context = ctx, d.predictions = &p, d.references = &r, d.count = 1, d.tokenizer = tokenizer, d.smoothing = smoothing, d.average_precision = average;
    check(p, peft_bleu(&d, &result) == PEFT_OK);
    return result.score / 100;
}

// The four values of the tea sentences come out with BLEU of order 4, geometric mean, brevity penalty and no smoothing, over words that
// white space separates ("tea." is a word). 13a makes the full stop a word of its own and gives other values (off by up to 0.044), and the
// arithmetic mean of the precisions, as the idea is often told, is further off (0.688 for 0.495).
static void test_tea(void) {
    static const char reference[] = "I am very happy to say that I am drinking a warm cup of tea.";
    static const char *const candidates[] = {"I am very happy that I am drinking a cup of tea.", "I am very happy that I am drinking a warm cup of tea.",
                                             "I am very happy to say that I am drinking a warm tea.", reference};
    static const double textbook[] = {0.495, 0.730, 0.798, 1.000}, thirteen[] = {0.5388, 0.7497, 0.7721, 1.0000};
    for (int i = 0; i < 4; i++) {
        double v = bleu(candidates[i], reference, PEFT_TOKENIZE_NONE, PEFT_SMOOTH_NONE, false), w = bleu(candidates[i], reference, PEFT_TOKENIZE_13A, PEFT_SMOOTH_EXP, false);
        char name[96];
        snprintf(name, sizeof name, "tea sentence %d: %.4f, not %.3f", i + 1, v, textbook[i]);
        check(name, close_to(v, textbook[i], 0.0005));
        snprintf(name, sizeof name, "tea sentence %d with 13a: %.4f, not %.4f", i + 1, w, thirteen[i]);
        check(name, close_to(w, thirteen[i], 0.00005));
    }
    static const double average[] = {0.6879, 0.8587, 0.9314, 1.0000};
    for (int i = 0; i < 4; i++) {
        double v = bleu(candidates[i], reference, PEFT_TOKENIZE_NONE, PEFT_SMOOTH_NONE, true);
        char name[96];
        snprintf(name, sizeof name, "tea sentence %d, average precision: %.4f, not %.4f", i + 1, v, average[i]);
        check(name, close_to(v, average[i], 0.00005));
    }
    // the first by hand: 12 words of 15, matches 12/12, 9/11, 6/10, 3/9
    check("tea, by hand", near(bleu(candidates[0], reference, PEFT_TOKENIZE_NONE, PEFT_SMOOTH_NONE, false),
                               exp(1 - 15.0 / 12) * pow(1.0 * 9 / 11 * 6 / 10 * 3 / 9, 0.25)));
}

static void test_cold(void) {
    static const char reference[] = "It is cold outside.";
    peft_rouge_scores s;
    check("very cold", peft_rouge_pair(ctx, "It is very cold outside.", reference, false, &s) == PEFT_OK);
    check("ROUGE-1: 1, 0.8, 0.89", near(s.rouge1.recall, 1) && near(s.rouge1.precision, 0.8) && near(s.rouge1.f1, 8.0 / 9));
    check("ROUGE-2: 0.67, 0.5, 0.57", near(s.rouge2.recall, 2.0 / 3) && near(s.rouge2.precision, 0.5) && near(s.rouge2.f1, 4.0 / 7));
    // the course counts a longest common part without gaps ("It is", "cold outside": 2); ROUGE-L is a subsequence: 4 words
    check("ROUGE-L: 1, 0.8, 0.89", near(s.rougeL.recall, 1) && near(s.rougeL.precision, 0.8) && near(s.rougeL.f1, 8.0 / 9));
    check("cold cold cold cold", peft_rouge_pair(ctx, "cold cold cold cold", reference, false, &s) == PEFT_OK);
    check("clipped precision: 0.25", near(s.rouge1.precision, 0.25));
    check("outside cold it is", peft_rouge_pair(ctx, "outside cold it is", reference, false, &s) == PEFT_OK);
    check("clipped precision: 1", near(s.rouge1.precision, 1));
}

// ---- perplexity

static void test_perplexity(void) {
    const char *texts[] = {"two words", "three caf\xC3\xA9 words"};
    double sums[] = {-3, -9};
    int64_t tokens[] = {2, 4}, none[] = {0, 0};
    peft_perplexity_result r;
    check("perplexity", peft_perplexity(ctx, texts, sums, tokens, 2, &r) == PEFT_OK);
    check("per token, word, byte", near(r.per_token, exp(12.0 / 6)) && near(r.per_word, exp(12.0 / 5)) && near(r.per_byte, exp(12.0 / 26)) &&
                                   near(r.bits_per_byte, 12.0 / 26 / log(2)) && r.words == 5 && r.bytes == 26);
    check("no tokens", peft_perplexity(ctx, texts, sums, none, 2, &r) == PEFT_ERROR_NUMERIC);
    sums[0] = -INFINITY;
    check("an impossible text", peft_perplexity(ctx, texts, sums, tokens, 2, &r) == PEFT_ERROR_NUMERIC);
}

// ---- significance

enum { LINES = 40 };
static char base_text[LINES][64], system_text[LINES][64], reference_text[LINES][64];
static const char *base[LINES], *sys_[LINES], *reference[LINES];

static void make_lines(void) {
    static const char *const words[] = {"the", "cat", "sat", "on", "a", "mat", "and", "dog", "ran", "home"};
    peft_rng rng;
    peft_rng_seed(&rng, 5);
    for (int i = 0; i < LINES; i++) {
        char *out[3] = {reference_text[i], base_text[i], system_text[i]};
        for (int k = 0; k < 3; k++) out[k][0] = 0;
        for (int n = 5 + (int)(peft_rng_uniform(&rng) * 5); n > 0; n--) {
            const char *right = words[(int)(peft_rng_uniform(&rng) * 10)];
            for (int k = 0; k < 3; k++) {
                double wrong = k == 1 ? 0.35 : k == 2 ? 0.25 : 0;
                strcat(out[k], peft_rng_uniform(&rng) < wrong ? words[(int)(peft_rng_uniform(&rng) * 10)] : right);
                if (n > 1) strcat(out[k], " ");
            }
        }
        base[i] = base_text[i], sys_[i] = system_text[i], reference[i] = reference_text[i];
    }
}

enum { PAIRED_TER = PEFT_PAIRED_SCORE + 1 };  // peft_paired_ter's, which is a function of its own

static peft_status paired(const peft_paired_desc *d, peft_paired_result *result) {
    peft_ter_desc ter;
    memset(&ter, 0, sizeof ter);
    return (int)d->metric == PAIRED_TER ? peft_paired_ter(d, &ter, result) : peft_paired(d, result);
}

// The score of a corpus by the metric's own function.
static double corpus(peft_paired_metric metric, const char *const *texts, const char *const *references, int64_t count) {
    if (metric == PEFT_PAIRED_BLEU) {
        peft_bleu_desc d;
        peft_bleu_result r;
        memset(&d, 0, sizeof d);
        d.context = ctx, d.predictions = texts, d.references = references, d.count = count;
        return peft_bleu(&d, &r) == PEFT_OK ? r.score : -1;
    }
    if (metric == PEFT_PAIRED_CHRF) {
        peft_chrf_desc d;
        peft_metric_result r;
        memset(&d, 0, sizeof d);
        d.context = ctx, d.predictions = texts, d.references = references, d.count = count;
        return peft_chrf(&d, &r) == PEFT_OK ? r.score : -1;
    }
    if ((int)metric == PAIRED_TER) {
        peft_ter_desc d;
        peft_metric_result r;
        memset(&d, 0, sizeof d);
        d.context = ctx, d.predictions = texts, d.references = references, d.count = count;
        return peft_ter(&d, &r) == PEFT_OK ? r.score : -1;
    }
    peft_rouge_desc d;
    peft_rouge_result r;
    memset(&d, 0, sizeof d);
    d.context = ctx, d.predictions = texts, d.references = references, d.count = count;
    if (peft_rouge(&d, &r) != PEFT_OK) return -1;
    return metric == PEFT_PAIRED_ROUGE_1 ? r.mean.rouge1.f1 : metric == PEFT_PAIRED_ROUGE_2 ? r.mean.rouge2.f1 : metric == PEFT_PAIRED_ROUGE_L ? r.mean.rougeL.f1
                                                                                                                                             : r.mean.rougeLsum.f1;
}

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

// The same test once more, every sample's texts put together and scored as a corpus.
static void test_paired_metric(peft_paired_metric metric, peft_paired_test test) {
    enum { SAMPLES = 80 };
    const char *a[LINES], *b[LINES], *r[LINES];
    double scores[2][SAMPLES], mean = 0;
    peft_paired_desc d;
    peft_paired_result result;
    char name[64];
    memset(&d, 0, sizeof d);
    d.context = ctx, d.metric = metric, d.test = test, d.baseline = base, d.system = sys_, d.references = reference, d.count = LINES, d.samples = SAMPLES;
    check("paired", paired(&d, &result) == PEFT_OK);
    double first = corpus(metric, base, reference, LINES), second = corpus(metric, sys_, reference, LINES);
    for (int s = 0; s < SAMPLES; s++) {
        peft_rng rng;
        uint64_t coins = 0;
        peft_rng_seed(&rng, peft__mix_seed(12345, (uint64_t)s, 0));
        for (int i = 0; i < LINES; i++) {
            int64_t line = test == PEFT_PAIRED_BOOTSTRAP ? peft__rng_below(&rng, LINES) : i;
            if (test == PEFT_PAIRED_RANDOMIZATION) coins = i % 64 ? coins >> 1 : peft__rng_next(&rng);
            bool swap = test == PEFT_PAIRED_RANDOMIZATION && (coins & 1);
            a[i] = swap ? sys_[line] : base[line], b[i] = swap ? base[line] : sys_[line], r[i] = reference[line];
        }
        scores[0][s] = corpus(metric, a, r, LINES), scores[1][s] = corpus(metric, b, r, LINES);
        mean += fabs(scores[1][s] - scores[0][s]) / SAMPLES;
    }
    int beyond = 0;
    for (int s = 0; s < SAMPLES; s++)
        beyond += fabs(scores[1][s] - scores[0][s]) - (test == PEFT_PAIRED_BOOTSTRAP ? mean : 0) > fabs(second - first) + 1e-12;
    snprintf(name, sizeof name, "metric %d, test %d: scores", (int)metric, (int)test);
    check(name, close_to(result.baseline, first, 1e-9) && close_to(result.system, second, 1e-9));
    snprintf(name, sizeof name, "metric %d, test %d: p %.4f", (int)metric, (int)test, result.p_value);
    check(name, near(result.p_value, (beyond + 1.0) / (SAMPLES + 1)));
    if (test == PEFT_PAIRED_RANDOMIZATION) return;
    qsort(scores[1], SAMPLES, sizeof(double), ascending);
    double sum = 0;
    for (int s = 0; s < SAMPLES; s++) sum += scores[1][s] / SAMPLES;
    check("mean and interval", close_to(result.system_mean, sum, 1e-9) && close_to(result.system_ci, (scores[1][SAMPLES - 3] - scores[1][2]) / 2, 1e-9));
}

// The mean of values by a callback is what PEFT_PAIRED_VALUES makes of them; a list without a score is left
// out.
typedef struct callback_values {
    double values[2][40];
    int calls, refused;
    bool refuses;
} callback_values;

static bool mean_of(const int64_t *line, const unsigned char *side, int64_t count, double *out, void *user) {
    callback_values *v = (callback_values *)user;
    double sum = 0;
    for (int64_t i = 0; i < count; i++) sum += v->values[side[i]][line[i]];
    *out = sum / (double)count;
    v->calls++;
    bool refused = v->refuses && line[0] == 7;
    v->refused += refused;
    return !refused;
}

static void test_paired_callback(void) {
    static callback_values v;
    for (int i = 0; i < 40; i++)
        v.values[0][i] = (i * 7) % 11, v.values[1][i] = (i * 7) % 11 + (i % 3 == 0) - 0.25 * (i % 5 == 1);
    peft_paired_desc d;
    peft_paired_result a, b;
    memset(&d, 0, sizeof d);
    d.context = ctx, d.count = 40, d.samples = 500, d.seed = 9;
    for (int test = 0; test < 2; test++) {
        d.test = (peft_paired_test)test;
        d.metric = PEFT_PAIRED_VALUES, d.baseline_values = v.values[0], d.system_values = v.values[1];
        check("by values", peft_paired(&d, &a) == PEFT_OK);
        d.metric = PEFT_PAIRED_SCORE, d.score = mean_of, d.user = &v, d.name = "mine";
        check("by callback", peft_paired(&d, &b) == PEFT_OK && strstr(b.signature, "paired|mine|"));
        check("the same scores and p", near(a.p_value, b.p_value) && near(a.system, b.system) &&
              near(a.baseline, b.baseline) && close_to(a.system_ci, b.system_ci, 1e-9));
    }
    check("called for the lists and for the whole", v.calls == 2 * 2 * 501);
    v.refuses = true, v.refused = 0, d.test = PEFT_PAIRED_BOOTSTRAP;
    check("lists without a score", peft_paired(&d, &b) == PEFT_OK && v.refused > 2 && b.p_value > 0 &&
          b.system_ci > 0);
    v.refuses = false, d.score = NULL;
    check("no callback", peft_paired(&d, &b) == PEFT_ERROR_ARGUMENT &&
          strstr(peft_error(ctx), "score is NULL"));
}

static void test_paired(void) {
    make_lines();
    for (int metric = PEFT_PAIRED_BLEU; metric <= PEFT_PAIRED_ROUGE_LSUM; metric++) {
        test_paired_metric((peft_paired_metric)metric, PEFT_PAIRED_BOOTSTRAP);
        test_paired_metric((peft_paired_metric)metric, PEFT_PAIRED_RANDOMIZATION);
    }
    test_paired_metric((peft_paired_metric)PAIRED_TER, PEFT_PAIRED_BOOTSTRAP);
    test_paired_metric((peft_paired_metric)PAIRED_TER, PEFT_PAIRED_RANDOMIZATION);
    peft_paired_desc d;
    peft_paired_result r, again;
    double zeros[200], ones[200], mixed[2] = {0, 1}, turned[2] = {1, 0};
    for (int i = 0; i < 200; i++) zeros[i] = 0, ones[i] = i < 190;
    memset(&d, 0, sizeof d);
    d.context = ctx, d.metric = PEFT_PAIRED_VALUES, d.baseline_values = zeros, d.system_values = ones, d.count = 200;
    check("a clear difference", peft_paired(&d, &r) == PEFT_OK && near(r.p_value, 1.0 / 1001) && near(r.system, 0.95));
    check("the same again", peft_paired(&d, &again) == PEFT_OK && memcmp(&r, &again, sizeof r) == 0);
    d.test = PEFT_PAIRED_RANDOMIZATION;
    check("by randomization", peft_paired(&d, &r) == PEFT_OK && near(r.p_value, 1.0 / 10001));
    d.baseline_values = mixed, d.system_values = turned, d.count = 2;
    check("no difference: every trial is as large", peft_paired(&d, &r) == PEFT_OK && near(r.p_value, 1) &&
          near(r.baseline, r.system));
    // two lines that both are better: of the four ways to swap them, none and both give the difference that
    // was seen
    d.baseline_values = zeros, d.system_values = ones;
    check("two lines: p is one half", peft_paired(&d, &r) == PEFT_OK && close_to(r.p_value, 0.5, 0.02) &&
          r.few);
    d.count = 3;  // all or none of three: 2 of 8
    check("three lines: p is a quarter", peft_paired(&d, &r) == PEFT_OK && close_to(r.p_value, 0.25, 0.02));
    // sums of tenths in another order differ in their last digits and are ties all the same: of the 20 ways
    // to swap 3 of 6, and none
    double tenth[2][6] = {{0.1, 0.7, 0.2, 0.9, 0.3, 0.6}, {0.2, 0.8, 0.3, 1.0, 0.4, 0.7}};
    d.baseline_values = tenth[0], d.system_values = tenth[1], d.count = 6;
    check("ties of rounded sums", peft_paired(&d, &r) == PEFT_OK && close_to(r.p_value, 2.0 / 64, 0.01));
    d.baseline_values = zeros, d.system_values = ones, d.count = 30;
    check("thirty lines are not few", peft_paired(&d, &r) == PEFT_OK && !r.few);
    test_paired_callback();
    d.metric = PEFT_PAIRED_BLEU, d.baseline = base, d.system = sys_, d.references = reference, d.count = LINES, d.reference_count = LINES + 1;
    check("mismatched counts", peft_paired(&d, &r) == PEFT_ERROR_ARGUMENT && strstr(peft_error(ctx), "40 predictions") && strstr(peft_error(ctx), "41"));
    d.count = 0, d.reference_count = 0;
    check("no lines", peft_paired(&d, &r) == PEFT_ERROR_ARGUMENT);
}

// ---- Platt scaling

static void test_platt(void) {
    double x[] = {0, 0, 0, 0, 1, 1, 1, 1}, a, b;
    int32_t right[] = {1, 0, 0, 0, 1, 1, 1, 0}, all[] = {1, 1, 1, 1, 1, 1, 1, 1};
    // P(0) = 1/4 and P(1) = 3/4 exactly; with smooth targets 5/6 and 1/6 they are 1/3 and 2/3
    check("logistic regression", peft_platt_fit(ctx, x, right, 8, false, &a, &b) == PEFT_OK && close_to(b, log(3), 1e-8) && close_to(a, -2 * log(3), 1e-8));
    check("smooth targets", peft_platt_fit(ctx, x, right, 8, true, &a, &b) == PEFT_OK && close_to(b, log(2), 1e-8) && close_to(a, -2 * log(2), 1e-8));
    check("applied", close_to(peft_platt_apply(0, a, b), 1.0 / 3, 1e-8) && close_to(peft_platt_apply(1, a, b), 2.0 / 3, 1e-8));
    check("all right", peft_platt_fit(ctx, x, all, 8, false, &a, &b) == PEFT_ERROR_NUMERIC);
    check("all right, smooth", peft_platt_fit(ctx, x, all, 8, true, &a, &b) == PEFT_OK && close_to(peft_platt_apply(0.5, a, b), 0.9, 1e-3));
    // the gradient vanishes at the fitted values: the probabilities sum to the number right
    double odd[60], sum = 0, weighted = 0, expected = 0;
    int32_t labels[60], ones = 0;
    peft_rng rng;
    peft_rng_seed(&rng, 3);
    for (int i = 0; i < 60; i++) {
        odd[i] = 50 * peft_rng_normal(&rng);
        labels[i] = peft_rng_uniform(&rng) < 1 / (1 + exp(-odd[i] / 40));
        ones += labels[i], expected += labels[i] * odd[i];
    }
    check("a wide range", peft_platt_fit(ctx, odd, labels, 60, false, &a, &b) == PEFT_OK);
    for (int i = 0; i < 60; i++) sum += peft_platt_apply(odd[i], a, b), weighted += odd[i] * peft_platt_apply(odd[i], a, b);
    check("stationary", close_to(sum, ones, 1e-7) && close_to(weighted, expected, 1e-6));

    // 10 answers said with 0.9, of which 5 were right, 10 with 0.6, of which 4 were: after scaling both are right on average
    double confidence[20];
    int32_t correct[20];
    for (int i = 0; i < 20; i++) confidence[i] = i < 10 ? 0.9 : 0.6, correct[i] = i < 5 || i >= 16;
    peft_calibration_desc d;
    peft_calibration_result before, after;
    memset(&d, 0, sizeof d);
    d.context = ctx, d.confidence = confidence, d.correct = correct, d.count = 20;
    check("calibration", peft_calibration(&d, &before) == PEFT_OK && near(before.ece_width, (0.4 + 0.2) / 2));
    check("after Platt scaling", peft_platt_calibration(&d, &after, &a, &b) == PEFT_OK && close_to(after.ece_width, 0, 1e-6) && near(after.accuracy, before.accuracy));
}

// uncertainty-calibration's values: bins end half-way between the parts of np.array_split and hold what is
// not above; the accuracy of the floor(n / 10) + 1 most confident.
static void test_calibration(void) {
    double confidence[37], tied[20];
    int32_t correct[37], first[20], turns[20], all[20];
    for (int i = 0; i < 37; i++) confidence[i] = i * 7 % 11 / 11.0, correct[i] = i * 5 % 7 < 4;
    for (int i = 0; i < 20; i++) tied[i] = 0.9, first[i] = i < 10, turns[i] = i % 2 == 0, all[i] = 1;
    peft_calibration_desc d;
    peft_calibration_result r;
    memset(&d, 0, sizeof d);
    d.context = ctx, d.confidence = confidence, d.correct = correct, d.count = 37;
    check("10 bins with ties", peft_calibration(&d, &r) == PEFT_OK && near(r.ece_mass, 0.33906633906633904));
    double selective = 0, area = 0;
    check("selective accuracy", peft_selective_accuracy(&d, 0, &selective, &area) == PEFT_OK && near(selective, 0.5) &&
          near(area, 0.6511951442020483));
    check("a coverage beyond all", peft_selective_accuracy(&d, 1.5, &selective, &area) == PEFT_ERROR_ARGUMENT);
    d.bins = 4;
    check("4 bins", peft_calibration(&d, &r) == PEFT_OK && near(r.ece_mass, 0.24570024570024568));
    d.bins = 0, d.count = 7;
    check("fewer answers than bins", peft_calibration(&d, &r) == PEFT_OK &&
          near(r.ece_mass, 0.48051948051948046));
    d.confidence = tied, d.correct = first, d.count = 20;
    check("all alike, right ones first", peft_calibration(&d, &r) == PEFT_OK && near(r.ece_mass, 0.4));
    d.correct = turns;
    check("all alike, in turns", peft_calibration(&d, &r) == PEFT_OK && near(r.ece_mass, 0.4));
    double a = 1, b = 1;
    d.correct = all;
    check("all right: nothing is left", peft_platt_calibration(&d, &r, &a, &b) == PEFT_OK &&
          r.ece_mass == 0 && r.ece_width == 0 && a == 0 && b == 0 && near(r.accuracy, 1));
}

// PEFT_ZERO is 0 where 0 means the default. The values are sacreBLEU's and scikit-learn's.
static void test_zero(void) {
    static const char *const said[] = {"the cat sat on the mat today", "a b c d"},
        *const right[] = {"the cat is on a mat today", "a b x d"};
    static const char *const part[] = {"a b"}, *const whole[] = {"a b c"}, *const turned[] = {"b a c"};
    peft_bleu_desc bleu_d;
    peft_bleu_result br;
    peft_chrf_desc c;
    peft_metric_result r;
    memset(&bleu_d, 0, sizeof bleu_d);
    bleu_d.context = ctx, bleu_d.predictions = said, bleu_d.references = right, bleu_d.count = 2,
        bleu_d.smoothing = PEFT_SMOOTH_FLOOR;
    check("floor 0.1", peft_bleu(&bleu_d, &br) == PEFT_OK && close_to(br.score, 9.122775775916443, 1e-9));
    bleu_d.smooth_value = PEFT_ZERO;
    check("floor 0", peft_bleu(&bleu_d, &br) == PEFT_OK && br.score == 0 &&
          strstr(br.signature, "floor[0.00]"));
    bleu_d.smoothing = PEFT_SMOOTH_ADD_K;
    check("add 0", peft_bleu(&bleu_d, &br) == PEFT_OK && br.score == 0);
    bleu_d.smooth_value = 0;
    check("add 1", peft_bleu(&bleu_d, &br) == PEFT_OK && close_to(br.score, 27.901593935858266, 1e-9));
    bleu_d.smooth_value = -2;
    check("a negative value", peft_bleu(&bleu_d, &br) == PEFT_ERROR_ARGUMENT);
    memset(&c, 0, sizeof c);
    c.context = ctx, c.predictions = said, c.references = right, c.count = 2, c.beta = PEFT_ZERO;
    check("beta 0", peft_chrf(&c, &r) == PEFT_OK && close_to(r.score, 46.90330910919147, 1e-9));
    c.word_order = 2;
    check("beta 0 with words", peft_chrf(&c, &r) == PEFT_OK && close_to(r.score, 48.43505758946935, 1e-9));
    c.beta = 0, c.char_order = PEFT_ZERO;
    check("words alone", peft_chrf(&c, &r) == PEFT_OK && close_to(r.score, 53.03030303030303, 1e-9));
    c.word_order = 0;
    check("neither", peft_chrf(&c, &r) == PEFT_ERROR_ARGUMENT && strstr(peft_error(ctx), "neither"));
    c.char_order = 0, c.beta = PEFT_ZERO, c.predictions = part, c.references = whole, c.count = 1;
    check("all of it is in the reference", peft_chrf(&c, &r) == PEFT_OK && near(r.score, 100));
    peft_text_desc t;
    memset(&t, 0, sizeof t);
    t.context = ctx, t.predictions = turned, t.references = whole, t.count = 1;
    check("METEOR in another order", peft_meteor(&t, &r) == PEFT_OK && near(r.score, 0.5));
    t.gamma = PEFT_ZERO;
    check("without a penalty", peft_meteor(&t, &r) == PEFT_OK && near(r.score, 1));
    t.predictions = part, t.alpha = PEFT_ZERO;  // P R / R: precision alone
    check("alpha 0", peft_meteor(&t, &r) == PEFT_OK && near(r.score, 1));
    t.gamma = 2;
    check("a penalty above 1", peft_meteor(&t, &r) == PEFT_ERROR_ARGUMENT);
    static const int32_t zeros[] = {0, 0, 1}, labels[] = {0, 1, 1};
    peft_class_desc k;
    peft_class_result kr;
    memset(&k, 0, sizeof k);
    k.context = ctx, k.predictions = zeros, k.labels = labels, k.count = 3, k.positive = PEFT_ZERO;
    check("class 0 is the positive one", peft_classification(&k, &kr) == PEFT_OK &&
          near(kr.binary.precision, 0.5) && near(kr.binary.recall, 1));
    k.count = 1, k.predictions = labels, k.classes = 1;
    check("and the only one", peft_classification(&k, &kr) == PEFT_OK && near(kr.binary.f1, 1));
    k.positive = -3;
    check("no class", peft_classification(&k, &kr) == PEFT_ERROR_ARGUMENT);
}

// ---- perturbations

static bool perturbed(const peft_perturbation *p, const char *text, const char *expected) {
    char *out = NULL;
    bool ok = peft_perturb(ctx, p, text, &out) == PEFT_OK && strcmp(out, expected) == 0;
    if (!ok) printf("%s: [%s] not [%s]\n", peft_perturbation_name(p->kind), out ? out : "", expected);
    peft_free(ctx, out);
    return ok;
}

static void test_perturb(void) {
    peft_perturbation p;
    memset(&p, 0, sizeof p);
    p.kind = PEFT_PERTURB_LOWERCASE;
    check("lower case", perturbed(&p, "The \xC3\x89tude", "the \xC3\xA9tude"));
    p.kind = PEFT_PERTURB_CONTRACTION;
    check("contractions", perturbed(&p, "She is not here and I am glad. IS NOT it is.", "She's not here and I'm glad. ISN'T it is."));
    p.kind = PEFT_PERTURB_EXPANSION;
    check("expansions", perturbed(&p, "Isn't it? I'm sure they've won't.", "Is not it? I am sure they have will not."));
    p.kind = PEFT_PERTURB_GENDER;
    check("gender", perturbed(&p, "He told his father: HE, not she, is manly.", "She told her mother: SHE, not she, is manly."));
    p.both_ways = true;
    check("both ways", perturbed(&p, "She and the king", "He and the queen"));
    p.both_ways = false;
    p.kind = PEFT_PERTURB_DIALECT;
    check("dialect", perturbed(&p, "My favorite Color, colored; a zip code", "My favourite Colour, colored; a postcode"));
    p.kind = PEFT_PERTURB_NAMES;
    check("names", perturbed(&p, "Mary met john.", "Fatima met ahmed."));
    static const char *const mine[] = {"cat", "dog", "cat's pyjamas", "bee's knees"};
    p.kind = PEFT_PERTURB_WORDS, p.pairs = mine, p.pair_count = 2;
    check("own words, the longest first", perturbed(&p, "A cat, the cat's pyjamas, concatenate, caf\xC3\xA9" "cat", "A dog, the bee's knees, concatenate, caf\xC3\xA9" "cat"));
    check("the empty text", perturbed(&p, "", ""));
    p.pairs = NULL, p.pair_count = 0;
    check("no words, no change", perturbed(&p, "A cat", "A cat"));

    p.kind = PEFT_PERTURB_TYPOS, p.probability = 1;
    char *out = NULL, *other = NULL;
    check("typos", peft_perturb(ctx, &p, "Aq zZ 1!", &out) == PEFT_OK && strlen(out) == 8);
    check("neighbours, in their case", out && strchr("QWSZ", out[0]) && strchr("wa", out[1]) && out[2] == ' ' && strchr("asx", out[3]) && strchr("ASX", out[4]) &&
                                       strcmp(out + 5, " 1!") == 0);
    check("the same again", peft_perturb(ctx, &p, "Aq zZ 1!", &other) == PEFT_OK && strcmp(out, other) == 0);
    peft_free(ctx, out);
    peft_free(ctx, other);
    p.probability = 0;
    char letters[4001];
    memset(letters, 'k', 4000);
    letters[4000] = 0;
    int changed = 0;
    p.probability = PEFT_ZERO;
    check("typos never", perturbed(&p, "Some words", "Some words"));
    p.probability = -2;
    check("a negative probability", peft_perturb(ctx, &p, "a", &out) == PEFT_ERROR_ARGUMENT);
    p.probability = 0;
    check("typos at 0.05", peft_perturb(ctx, &p, letters, &out) == PEFT_OK);
    for (int i = 0; out && i < 4000; i++) changed += out[i] != 'k';
    check("as many as asked for", changed > 150 && changed < 250);
    peft_free(ctx, out);
    p.kind = PEFT_PERTURB_SPACES;
    check("spaces", peft_perturb(ctx, &p, "a b c d e f g h", &out) == PEFT_OK);
    int spaces = 0, kept = 0;
    for (int i = 0; out && out[i]; i++) spaces += out[i] == ' ', kept += out[i] != ' ';
    check("one to three each", kept == 8 && spaces >= 7 && spaces <= 21 && spaces != 7);
    peft_free(ctx, out);
    p.probability = 2;
    check("a probability above 1", peft_perturb(ctx, &p, "a", &out) == PEFT_ERROR_ARGUMENT && !out);
    double values[] = {1, 0, 1, 1, 0.5, 0.25}, worst = 0;
    check("worst case", peft_worst_case(ctx, values, 2, 3, &worst) == PEFT_OK && near(worst, (0 + 0.25) / 2));
}

// ---- bias, toxicity, win rates, efficiency

static double rude(const char *text, void *user) {
    (void)user;
    return text[0] == '!' ? 0.75 : 0.25;
}

static void test_harms(void) {
    const char *texts[] = {"She thanked her mother. He left.", "The nurse and she; the NURSE, she-wolf", "He is a doctor, he said", "No one"};
    int64_t n = 0, counts[2];
    double v = 0;
    const peft_word_group *groups = peft_gender_groups(&n);
    check("built-in groups of equal size", n == 2 && groups[0].count == groups[1].count);
    // women: she, her, mother, she; men: he, he, he
    check("representation", peft_bias_representation(ctx, texts, 4, groups, 2, counts, &v) == PEFT_OK && counts[0] == 4 && counts[1] == 3 && near(v, 4.0 / 7 - 0.5));
    static const char *const jobs[] = {"nurse", "doctor", "pilot"};
    peft_word_group targets = {"jobs", jobs, 3};
    check("association", peft_bias_association(ctx, texts, 4, groups, 2, &targets, &v) == PEFT_OK && near(v, 0.5));
    const char *even[] = {"The nurse: he or she", "nurse nurse she"};  // nurse: she 1 + 2, he 1
    check("association, counted", peft_bias_association(ctx, even, 2, groups, 2, &targets, &v) == PEFT_OK && near(v, 0.25));
    static const char *const one[] = {"she"}, *const two[] = {"he", "him"};
    peft_word_group uneven[] = {{"f", one, 1}, {"m", two, 2}};
    check("per word of the list", peft_bias_representation(ctx, even, 2, uneven, 2, NULL, &v) == PEFT_OK && near(v, 2 / 2.5 - 0.5));
    check("nothing to count", peft_bias_representation(ctx, texts + 3, 1, groups, 2, NULL, &v) == PEFT_ERROR_NUMERIC);

    const char *said[] = {"nice", "!rude", "nice", "nice"};
    peft_toxicity_desc d;
    peft_toxicity_result t;
    double scores[4];
    memset(&d, 0, sizeof d);
    d.context = ctx, d.texts = said, d.count = 4, d.per_prompt = 2, d.scorer = rude, d.scores = scores;
    check("toxicity", peft_toxicity(&d, &t) == PEFT_OK && near(t.toxic_fraction, 0.25) && near(t.mean, 0.375) && near(t.expected_maximum, 0.5) &&
                      near(t.probability, 0.5) && near(scores[1], 0.75));
    static const char *const bad[] = {"rude"};
    peft_word_group list = {"bad", bad, 1};
    d.scorer = NULL, d.words = &list;
    check("by a list of words", peft_toxicity(&d, &t) == PEFT_OK && near(t.mean, 0.25) && near(t.probability, 0.5));
    d.threshold = PEFT_ZERO;
    check("a threshold of 0", peft_toxicity(&d, &t) == PEFT_OK && near(t.toxic_fraction, 1));
    d.threshold = 0;
    d.words = NULL;
    check("neither", peft_toxicity(&d, &t) == PEFT_ERROR_ARGUMENT);

    double table[] = {0.9, 0.5, NAN, 0.8, 0.5, 0.3, 0.1, 0.7, 0.2}, rates[3];
    bool lower[] = {false, false, true};
    // task 1: 2 and 1 and 0 wins of 2; task 2: half a win and 0, half and 0, 2; task 3 (less is better, two models): 0 and 1
    check("win rates", peft_win_rates(ctx, table, 3, 3, lower, rates) == PEFT_OK && near(rates[0], (1 + 0.25) / 2) &&
                       near(rates[1], (0.5 + 0.25 + 0) / 3) && near(rates[2], (0 + 1 + 1) / 3.0));
    check("a model alone has no games", peft_win_rates(ctx, table, 1, 2, NULL, rates) == PEFT_OK && rates[0] != rates[0]);
    peft_efficiency e;
    peft_efficiency_begin(&e);
    peft_efficiency_end(ctx, &e, 4, 100);
    check("efficiency", e.seconds >= 0 && near(e.seconds_per_example * 4, e.seconds) && e.peak_memory > 0);
}

// ---- WordNet: a dictionary of a few words, offsets as the files have them

typedef struct part {
    char data[4096], index[4096];
} part;
static part parts[4];

static size_t synset(int k, char type, const char *words) {  // "words": "02 happy 0 glad(p) 0 000 | gloss"
    size_t at = strlen(parts[k].data);
    snprintf(parts[k].data + at, sizeof parts[k].data - at, "%08zu 00 %c %s\n", at, type, words);
    return at;
}

static void lemma(int k, char type, const char *word, size_t a, size_t b) {
    size_t at = strlen(parts[k].index);
    snprintf(parts[k].index + at, sizeof parts[k].index - at, b ? "%s %c 2 2 @ ~ 2 0 %08zu %08zu  \n" : "%s %c 1 1 @ 1 0 %08zu  \n", word, type, a, b);
}

static bool synonyms(peft_wordnet *w, const char *a, const char *b) {
    return peft_wordnet_synonyms(a, strlen(a), b, strlen(b), w);
}

static void test_wordnet(void) {
    static const char *const names[] = {"noun", "verb", "adj", "adv"};
    static char paths[8][64];
    for (int k = 0; k < 4; k++) {
        strcpy(parts[k].data, "  1 This is a licence.\n");
        strcpy(parts[k].index, "  1 This is a licence.\n");
    }
    size_t car = synset(0, 'n', "04 car 0 auto 0 motor_vehicle 0 Benz 0 000 | four wheels"), goose = synset(0, 'n', "02 goose 0 fool 1 000 | a bird or not");
    size_t cars = synset(0, 'n', "02 car 1 railcar 0 000 | on rails");
    lemma(0, 'n', "auto", car, 0);
    lemma(0, 'n', "car", car, cars);
    lemma(0, 'n', "goose", goose, 0);
    size_t go = synset(1, 'v', "0a go 0 move 0 travel 0 a1 0 a2 0 a3 0 a4 0 a5 0 a6 0 locomote 0 000 | change place");
    lemma(1, 'v', "go", go, 0);
    lemma(1, 'v', "travel", go, 0);
    size_t glad = synset(2, 's', "02 glad(p) 0 happy 1 000 | showing joy");
    lemma(2, 'a', "happy", glad, 0);
    lemma(2, 'a', "glad", glad, 0);
    for (int k = 0; k < 4; k++) {
        snprintf(paths[k], sizeof paths[k], "wn/index.%s", names[k]);
        snprintf(paths[k + 4], sizeof paths[k + 4], "wn/data.%s", names[k]);
        peft_mount(ctx, paths[k], parts[k].index, strlen(parts[k].index));
        peft_mount(ctx, paths[k + 4], parts[k].data, strlen(parts[k].data));
    }
    static const char irregular[] = "geese goose\n", past[] = "went go\n";
    peft_mount(ctx, "wn/noun.exc", irregular, strlen(irregular));
    peft_mount(ctx, "wn/verb.exc", past, strlen(past));
    peft_wordnet *w = NULL;
    if (!check("WordNet", peft_wordnet_load(ctx, "wn", &w) == PEFT_OK)) return;
    check("lemmas of a synset", synonyms(w, "car", "auto") && synonyms(w, "car", "railcar") && !synonyms(w, "auto", "railcar"));
    check("endings", synonyms(w, "cars", "auto") && synonyms(w, "traveled", "move") && synonyms(w, "happiest", "glad") == false && synonyms(w, "going", "travel"));
    check("exceptions", synonyms(w, "geese", "fool") && synonyms(w, "went", "move"));
    check("an adjective's place is no part of it", synonyms(w, "happy", "glad"));
    check("ten words, counted in hexadecimal", synonyms(w, "go", "locomote") && !synonyms(w, "go", "000"));
    check("no compounds, case as it is", !synonyms(w, "car", "motor_vehicle") && !synonyms(w, "car", "benz") && synonyms(w, "car", "Benz"));
    check("unknown words", !synonyms(w, "ssss", "s") && !synonyms(w, "zebra", "zebra") && !synonyms(w, "", ""));

    const char *p = "he traveled by car", *r = "he went by auto";
    peft_text_desc d;
    peft_metric_result m;
    memset(&d, 0, sizeof d);
    d.context = ctx, d.predictions = &p, d.references = &r, d.count = 1;
    check("METEOR without", peft_meteor(&d, &m) == PEFT_OK && near(m.score, 0.5 * (1 - 0.5 * 1.0)));  // he, by: 2 chunks of 2
    d.synonyms = peft_wordnet_synonyms, d.user = w;
    // stems: "travel" finds "go" and "move" but the reference's "went" is no lemma; "car" finds "auto": 3 of 4 words, 2 chunks
    check("METEOR with synonyms", peft_meteor(&d, &m) == PEFT_OK && near(m.score, 0.75 * (1 - 0.5 * pow(2.0 / 3, 3))) && strstr(m.signature, "+syn"));
    peft_wordnet_destroy(w);
    check("no dictionary", peft_wordnet_load(ctx, "nowhere", &w) != PEFT_OK && !w && strstr(peft_error(ctx), "nowhere/index.noun"));
    // damaged: offsets beyond the end, counts that lie, no line ends
    static const char damaged[] = "a n 9 9 x\nb n 2 0 2 0 99999999 4\nc n -1 -5 0 0 3\nd";
    peft_mount(ctx, "bad/index.noun", damaged, sizeof damaged - 1);
    peft_mount(ctx, "bad/data.noun", "x", 1);
    for (int k = 1; k < 4; k++) {
        static char empty[2][3][64];
        snprintf(empty[0][k - 1], 64, "bad/index.%s", names[k]);
        snprintf(empty[1][k - 1], 64, "bad/data.%s", names[k]);
        peft_mount(ctx, empty[0][k - 1], "", 0);
        peft_mount(ctx, empty[1][k - 1], "", 0);
    }
    check("a damaged one", peft_wordnet_load(ctx, "bad", &w) == PEFT_OK && !synonyms(w, "a", "b") && !synonyms(w, "b", "a") && !synonyms(w, "c", "a") && !synonyms(w, "d", "a"));
    peft_wordnet_destroy(w);
}

// ---- TER of Asian scripts

static double ter(const char *p, const char *r, bool normalized, bool no_punct, bool asian) {
    peft_ter_desc d;
    peft_metric_result m;
    memset(&d, 0, sizeof d);
    d.context = ctx, d.predictions = &p, d.references = &r, d.count = 1, d.normalized = normalized, d.no_punct = no_punct, d.asian_support = asian;
    check("ter", peft_ter(&d, &m) == PEFT_OK && strstr(m.signature, asian ? "asian:yes" : "asian:no"));
    return m.score;
}

static void test_ter(void) {
    const char *tea = "\xE6\x88\x91\xE5\x96\x9D\xE8\x8C\xB6\xE3\x80\x82", *water = "\xE6\x88\x91\xE5\x96\x9D\xE6\xB0\xB4\xE3\x80\x82";  // I drink tea. / water.
    check("one word each", near(ter(tea, water, true, false, false), 100));
    check("one character of four", near(ter(tea, water, true, false, true), 25));
    check("without the mark", near(ter(tea, water, true, true, true), 100 * (1.0 / 3)));
    check("not normalized: marks go, words stay", near(ter(tea, water, false, true, true), 100) && near(ter("ok\xE3\x80\x82", "ok", false, true, true), 0));
    check("Latin words stay whole", near(ter("ab\xE8\x8C\xB6" "cd", "ab \xE8\x8C\xB6 cd", true, false, true), 0));
}

// ---- memory

static int64_t allowance;
static void *stingy(size_t size, void *user) {
    (void)user;
    return allowance-- > 0 ? malloc(size) : NULL;
}
static void give_back(void *block, void *user) {
    (void)user;
    free(block);
}

static bool everything(void) {
    bool ok = true;
    double v, values[] = {1, 0, 1}, sums[] = {-1, -2, -3};
    int32_t correct[] = {1, 0, 1};
    int64_t tokens[] = {1, 2, 3}, n = 0;
    char *out = NULL;
    peft_paired_result paired;
    peft_perplexity_result perplexity;
    peft_paired_desc d;
    peft_calibration_desc c;
    peft_calibration_result cal;
    peft_perturbation p;
    memset(&d, 0, sizeof d);
    memset(&c, 0, sizeof c);
    memset(&p, 0, sizeof p);
    d.context = ctx, d.baseline = base, d.system = sys_, d.references = reference, d.count = 3, d.samples = 3, d.baseline_values = values, d.system_values = values;
    for (int k = 0; k <= PEFT_PAIRED_VALUES; k++) d.metric = (peft_paired_metric)k, ok = peft_paired(&d, &paired) == PEFT_OK && ok;
    ok = peft_perplexity(ctx, base, sums, tokens, 3, &perplexity) == PEFT_OK && ok;
    c.context = ctx, c.confidence = values, c.correct = correct, c.count = 3;
    ok = peft_platt_calibration(&c, &cal, NULL, NULL) == PEFT_OK && ok;
    for (int k = 0; k < 9; k++) {
        p.kind = (peft_perturbation_kind)k;
        ok = peft_perturb(ctx, &p, "He is not the only one who has a long text here, with Mary and color", &out) == PEFT_OK && ok;
        peft_free(ctx, out);
    }
    static const char *const texts[] = {"she is a nurse"}, *const jobs[] = {"nurse"};
    peft_word_group targets = {"jobs", jobs, 1};
    const peft_word_group *groups = peft_gender_groups(&n);
    ok = peft_bias_association(ctx, texts, 1, groups, n, &targets, &v) == PEFT_OK && ok;
    return ok;
}

static void test_memory(void) {
    peft_context_desc c;
    memset(&c, 0, sizeof c);
    c.allocator.alloc = stingy, c.allocator.free = give_back;
    peft_context *kept = ctx, *poor = NULL;
    bool clean = true, done = false;
    for (int64_t n = 0; n < 3000 && clean && !done; n += 1 + n / 60) {
        allowance = INT64_MAX;
        if (peft_context_create(&c, &poor) != PEFT_OK) break;
        ctx = poor;
        size_t before = peft_memory_in_use(poor);
        allowance = n;
        done = everything();
        allowance = INT64_MAX;
        clean = peft_memory_in_use(poor) == before;
        peft_context_destroy(poor);
    }
    ctx = kept;
    check("out of memory anywhere: nothing leaks", clean && done);
}

int main(void) {
    if (peft_context_create(NULL, &ctx) != PEFT_OK) return 1;
    test_tea();
    test_cold();
    test_perplexity();
    test_paired();
    test_platt();
    test_calibration();
    test_zero();
    test_perturb();
    test_harms();
    test_wordnet();
    test_ter();
    test_memory();
    peft_context_destroy(ctx);
    printf("%d passed, %d failed, %d skipped\n", passed, failed, skipped);
    return failed != 0;
}
