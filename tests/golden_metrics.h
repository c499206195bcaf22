// Compares chapter 13 with a folder of reference values: golden.json, pred.txt, ref1.txt, ref2.txt, ..., edge_pred.txt,
// edge_ref.txt. Sections that a folder does not have are passed over. Include after peft.h with PEFT_IMPLEMENTATION
// (it uses the JSON reader of chapter 2).
#ifndef GOLDEN_METRICS_H
#define GOLDEN_METRICS_H

#include "../tools/scores.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

#define GM_REFERENCES 16

typedef struct gm {
    peft_context *ctx;
    peft__arena arena;
    const peft__json *json;
    const char **predictions, **edge_predictions, **edge_references;
    const char **references[GM_REFERENCES + 1];     // [R]: prediction-major, the first R references of each
    const char **column[GM_REFERENCES];
    int64_t count, edges;
    int columns;
    int *passed, *failed;
    double worst_absolute, worst_relative;          // of the comparison under way
    int64_t compared;
} gm;

static void gm_number(gm *g, double got, double want) {
    double absolute = fabs(got - want), size = fabs(want) > 1e-300 ? fabs(want) : 1;
    if (!(absolute <= 1e300)) absolute = 1e300;
    if (absolute > g->worst_absolute) g->worst_absolute = absolute;
    if (absolute / size > g->worst_relative) g->worst_relative = absolute / size;
    g->compared++;
}

// One line per comparison. All values must have their relative error within the tolerance (their absolute one where 0 is wanted).
static void gm_close(gm *g, const char *name, double tolerance) {
    bool ok = g->compared > 0 && g->worst_relative <= tolerance;
    printf("%-58s %5lld values  abs %.1e  rel %.1e  %s\n", name, (long long)g->compared, g->worst_absolute, g->worst_relative,
           ok ? "ok" : "FAIL");
    ++*(ok ? g->passed : g->failed);
    g->worst_absolute = g->worst_relative = 0;
    g->compared = 0;
}

static bool gm_status(gm *g, const char *name, peft_status s) {
    if (s == PEFT_OK) return true;
    printf("%-58s FAIL: %s\n", name, peft_error(g->ctx));
    ++*g->failed;
    return false;
}

static const char **gm_lines(gm *g, const char *folder, const char *name, int64_t *count) {
    char path[1024], *text = NULL;
    size_t size = 0;
    snprintf(path, sizeof path, "%.900s/%s", folder, name);
    *count = 0;
    if (peft__read_all(g->ctx, path, &text, &size) != PEFT_OK) return NULL;
    char *copy = peft__arena_strdup(&g->arena, text, size);
    peft__free(g->ctx, text);
    int64_t lines = 0;
    for (size_t i = 0; i < size; i++) lines += copy[i] == '\n';
    lines += size > 0 && copy[size - 1] != '\n';
    const char **out = (const char **)peft__arena_alloc(&g->arena, sizeof(char *) * (size_t)(lines + 1));
    for (int64_t i = 0; i < lines; i++) {
        out[i] = copy;
        char *end = strchr(copy, '\n');
        if (end) *end = 0, copy = end + 1;
    }
    *count = lines;
    return out;
}

static const peft__json *gm_get(const peft__json *j, const char *a, const char *b) {
    j = peft__json_get(j, a);
    return b ? peft__json_get(j, b) : j;
}

static void gm_list(gm *g, const peft__json *array, const double *got, int64_t n) {
    const peft__json *v = array ? array->child : NULL;
    for (int64_t i = 0; i < n; i++, v = v ? v->next : NULL) gm_number(g, got[i], v ? v->number : NAN);
}

static void gm_prf(gm *g, const peft__json *three, const peft_prf *p) {
    const double got[3] = {p->precision, p->recall, p->f1};
    gm_list(g, three, got, 3);
}

static void gm_rouge_scores(gm *g, const peft__json *want, const peft_rouge_scores *s) {
    gm_prf(g, peft__json_get(want, "rouge1"), &s->rouge1);
    gm_prf(g, peft__json_get(want, "rouge2"), &s->rouge2);
    gm_prf(g, peft__json_get(want, "rougeL"), &s->rougeL);
    gm_prf(g, peft__json_get(want, "rougeLsum"), &s->rougeLsum);
}

// A newline after . ! ? that a space follows.
static const char *gm_multiline(gm *g, const char *s) {
    char *out = peft__arena_strdup(&g->arena, s, strlen(s));
    for (char *p = out; *p; p++)
        if (strchr(".!?", p[0]) && p[1] == ' ') p[1] = '\n';
    return out;
}

static void gm_rouge(gm *g, const char *style, bool stem) {
    const peft__json *want = gm_get(g->json, "rouge", style), *v;
    char name[96];
    if (!want) return;
    for (int edge = 0; edge < 2; edge++) {
        const peft__json *list = peft__json_get(want, edge ? "edge" : "pairs");
        const char **p = edge ? g->edge_predictions : g->predictions, **r = edge ? g->edge_references : g->column[0];
        int64_t n = edge ? g->edges : g->count, i = 0;
        if (!list || !p || !r) continue;
        peft_rouge_desc d;
        peft_rouge_result result;
        peft_prf three;
        memset(&d, 0, sizeof d);
        d.context = g->ctx, d.predictions = p, d.references = r, d.count = n, d.use_stemmer = stem;
        d.pairs = (peft_rouge_scores *)peft__arena_alloc(&g->arena, sizeof(peft_rouge_scores) * (size_t)n);
        snprintf(name, sizeof name, "rouge %s %s", style, edge ? "edge" : "pairs");
        if (!gm_status(g, name, peft_rouge(&d, &result))) return;
        for (v = list->child; v && i < n; v = v->next, i++) {
            gm_rouge_scores(g, v, &d.pairs[i]);
            if (peft_rouge_n(g->ctx, p[i], r[i], 3, stem, &three) == PEFT_OK) gm_prf(g, peft__json_get(v, "rouge3"), &three);
        }
        gm_close(g, name, 1e-9);
        if (!edge) {
            gm_rouge_scores(g, peft__json_get(want, "mean"), &result.mean);
            snprintf(name, sizeof name, "rouge %s mean", style);
            gm_close(g, name, 1e-9);
        }
    }
    int64_t i = 0;
    const peft__json *multi = peft__json_get(want, "lsum_multiline");
    if (!multi) return;
    for (int way = 0; way < 2; way++) {     // newlines in the text, and the library's own splitting
        for (v = multi->child, i = 0; v && i < g->count; v = v->next, i++) {
            const char *p = way ? g->predictions[i] : gm_multiline(g, g->predictions[i]);
            const char *r = way ? g->column[0][i] : gm_multiline(g, g->column[0][i]);
            peft_rouge_desc d;
            peft_rouge_result s;
            memset(&d, 0, sizeof d);
            d.context = g->ctx, d.predictions = &p, d.references = &r, d.count = 1, d.use_stemmer = stem;
            d.split_summaries = way == 1;
            if (peft_rouge(&d, &s) == PEFT_OK) gm_prf(g, v, &s.mean.rougeLsum);
        }
        snprintf(name, sizeof name, "rouge %s Lsum, %s", style, way ? "split_summaries" : "lines");
        gm_close(g, name, 1e-9);
    }
}

static void gm_rouge_multi(gm *g) {
    const peft__json *want = gm_get(g->json, "rouge", "multi_ref_max_f1");
    if (!want) return;
    peft_rouge_desc d;
    peft_rouge_result r;
    memset(&d, 0, sizeof d);
    d.context = g->ctx, d.predictions = g->predictions, d.references = g->references[g->columns], d.count = g->count;
    d.references_per_prediction = g->columns;
    if (!gm_status(g, "rouge, several references", peft_rouge(&d, &r))) return;
    gm_number(g, r.mean.rouge1.f1, peft__json_double(want, "rouge1", NAN));
    gm_number(g, r.mean.rouge2.f1, peft__json_double(want, "rouge2", NAN));
    gm_number(g, r.mean.rougeL.f1, peft__json_double(want, "rougeL", NAN));
    gm_close(g, "rouge, best of several references, F1", 1e-9);
}

static int gm_choice(const char *text, const char *const *names, int n, int otherwise) {
    for (int i = 0; text && i < n; i++)
        if (strcmp(text, names[i]) == 0) return i;
    return otherwise;
}

// "lowercase=true, ..." of the settings, for the printed name.
static void gm_settings(const peft__json *kw, char *out, size_t size) {
    size_t n = 0;
    out[0] = 0;
    for (const peft__json *v = kw ? kw->child : NULL; v && n + 40 < size; v = v->next) {
        n += (size_t)snprintf(out + n, size - n, " %.*s=", (int)v->key_length, v->key);
        if (v->type == PEFT__JSON_STRING) n += (size_t)snprintf(out + n, size - n, "%.*s", (int)PEFT__MIN(v->length, 20u), v->string);
        else n += (size_t)snprintf(out + n, size - n, "%g", v->type == PEFT__JSON_BOOL ? (double)v->boolean : v->number);
    }
}

// "like:" stands where the reference implementation's signature has "version:"; what comes before must be equal.
static void gm_signature(gm *g, const peft__json *c, const char *got) {
    const char *want = peft__json_text(c, "signature", NULL), *version = want ? strstr(want, "|version") : NULL;
    if (version) gm_number(g, strncmp(want, got, (size_t)(version - want)) == 0, 1);
}

static void gm_bleu_one(gm *g, const peft__json *c) {
    static const char *const tokenizers[] = {"13a", "intl", "char", "zh", "none"};
    static const char *const methods[] = {"exp", "floor", "add-k", "none"};
    const peft__json *kw = peft__json_get(c, "kw");
    int refs = (int)peft__json_int(c, "references", 1);
    char name[160], settings[96];
    peft_bleu_desc d;
    peft_bleu_result r;
    if (refs < 1 || refs > g->columns) return;
    memset(&d, 0, sizeof d);
    d.context = g->ctx, d.predictions = g->predictions, d.references = g->references[refs], d.count = g->count;
    d.references_per_prediction = refs;
    d.tokenizer = (peft_tokenizer_kind)gm_choice(peft__json_text(kw, "tokenize", NULL), tokenizers, 5, 0);
    d.smoothing = (peft_bleu_smoothing)gm_choice(peft__json_text(kw, "smooth_method", NULL), methods, 4, 0);
    d.smooth_value = peft__json_double(kw, "smooth_value", 0);
    d.max_order = (int)peft__json_int(kw, "max_ngram_order", 0);
    d.lowercase = peft__json_bool(kw, "lowercase", false);
    d.effective_order = peft__json_bool(kw, "effective_order", false);
    gm_settings(kw, settings, sizeof settings);
    snprintf(name, sizeof name, "bleu refs=%d%s", refs, settings);
    if (!gm_status(g, name, peft_bleu(&d, &r))) return;
    int orders = d.max_order ? d.max_order : 4;
    gm_number(g, r.score, peft__json_double(c, "score", NAN));
    gm_number(g, r.brevity_penalty, peft__json_double(c, "bp", NAN));
    gm_number(g, (double)r.prediction_length, peft__json_double(c, "sys_len", NAN));
    gm_number(g, (double)r.reference_length, peft__json_double(c, "ref_len", NAN));
    gm_list(g, peft__json_get(c, "precisions"), r.precisions, orders);
    gm_list(g, peft__json_get(c, "counts"), r.counts, orders);
    gm_list(g, peft__json_get(c, "totals"), r.totals, orders);
    gm_signature(g, c, r.signature);
    gm_close(g, name, 1e-9);
}

static void gm_sentence_bleu(gm *g, const char *key, const char **p, const char **r, int64_t n) {
    const peft__json *want = peft__json_get(g->json, key);
    peft_bleu_desc d;
    peft_bleu_result result;
    if (!want || !p || !r) return;
    memset(&d, 0, sizeof d);
    d.context = g->ctx, d.predictions = p, d.references = r, d.count = n, d.effective_order = true;
    d.sentences = (double *)peft__arena_alloc(&g->arena, sizeof(double) * (size_t)n);
    if (!gm_status(g, key, peft_bleu(&d, &result))) return;
    gm_list(g, want, d.sentences, n);
    gm_close(g, key, 1e-9);
}

static void gm_chrf(gm *g, const peft__json *c) {
    const peft__json *kw = peft__json_get(c, "kw");
    int refs = (int)peft__json_int(c, "references", 1);
    char name[160], settings[96];
    peft_chrf_desc d;
    peft_metric_result r;
    if (refs < 1 || refs > g->columns) return;
    memset(&d, 0, sizeof d);
    d.context = g->ctx, d.predictions = g->predictions, d.references = g->references[refs], d.count = g->count;
    d.references_per_prediction = refs;
    d.char_order = (int)peft__json_int(kw, "char_order", 0);
    d.word_order = (int)peft__json_int(kw, "word_order", 0);
    d.beta = peft__json_double(kw, "beta", 0);
    d.lowercase = peft__json_bool(kw, "lowercase", false);
    d.whitespace = peft__json_bool(kw, "whitespace", false);
    d.eps_smoothing = peft__json_bool(kw, "eps_smoothing", false);
    gm_settings(kw, settings, sizeof settings);
    snprintf(name, sizeof name, "chrf refs=%d%s", refs, settings);
    if (!gm_status(g, name, peft_chrf(&d, &r))) return;
    gm_number(g, r.score, peft__json_double(c, "score", NAN));
    gm_signature(g, c, r.signature);
    gm_close(g, name, 1e-9);
}

static void gm_sentence_chrf(gm *g) {
    const peft__json *want = peft__json_get(g->json, "sentence_chrf");
    peft_chrf_desc d;
    peft_metric_result r;
    if (!want) return;
    memset(&d, 0, sizeof d);
    d.context = g->ctx, d.predictions = g->predictions, d.references = g->column[0], d.count = g->count;
    d.sentences = (double *)peft__arena_alloc(&g->arena, sizeof(double) * (size_t)g->count);
    if (!gm_status(g, "sentence_chrf", peft_chrf(&d, &r))) return;
    gm_list(g, want, d.sentences, g->count);
    gm_close(g, "sentence_chrf", 1e-9);
}

static void gm_ter(gm *g, const peft__json *c) {
    const peft__json *kw = peft__json_get(c, "kw");
    int refs = (int)peft__json_int(c, "references", 1);
    char name[160], settings[96];
    peft_ter_desc d;
    peft_metric_result r;
    if (refs < 1 || refs > g->columns) return;
    memset(&d, 0, sizeof d);
    d.context = g->ctx, d.predictions = g->predictions, d.references = g->references[refs], d.count = g->count;
    d.references_per_prediction = refs;
    d.normalized = peft__json_bool(kw, "normalized", false);
    d.no_punct = peft__json_bool(kw, "no_punct", false);
    d.case_sensitive = peft__json_bool(kw, "case_sensitive", false);
    d.asian_support = peft__json_bool(kw, "asian_support", false);
    gm_settings(kw, settings, sizeof settings);
    snprintf(name, sizeof name, "ter refs=%d%s", refs, settings);
    if (!gm_status(g, name, peft_ter(&d, &r))) return;
    gm_number(g, r.score, peft__json_double(c, "score", NAN));
    gm_signature(g, c, r.signature);
    gm_close(g, name, 1e-9);
}

static void gm_sentence_ter(gm *g) {
    const peft__json *want = peft__json_get(g->json, "sentence_ter");
    peft_ter_desc d;
    peft_metric_result r;
    if (!want) return;
    memset(&d, 0, sizeof d);
    d.context = g->ctx, d.predictions = g->predictions, d.references = g->column[0], d.count = g->count;
    d.sentences = (double *)peft__arena_alloc(&g->arena, sizeof(double) * (size_t)g->count);
    if (!gm_status(g, "sentence_ter", peft_ter(&d, &r))) return;
    gm_list(g, want, d.sentences, g->count);
    gm_close(g, "sentence_ter", 1e-9);
}

typedef peft_status (*gm_text_fn)(const peft_text_desc *desc, peft_metric_result *result);

// A metric of peft_text_desc over the first `refs` references; want_pairs, want_score and want_orders may be NULL.
static void gm_text(gm *g, const char *name, gm_text_fn fn, int refs, const peft__json *section, const peft__json *want_pairs,
                    const peft__json *want_score, double tolerance) {
    peft_text_desc d;
    peft_metric_result r;
    memset(&d, 0, sizeof d);
    d.context = g->ctx, d.predictions = g->predictions, d.references = g->references[refs], d.count = g->count;
    d.references_per_prediction = refs;
    d.alpha = peft__json_double(section, "alpha", 0);
    d.beta = peft__json_double(section, "beta", 0);
    d.gamma = peft__json_double(section, "gamma", 0);
    d.pairs = (double *)peft__arena_alloc(&g->arena, sizeof(double) * (size_t)g->count);
    if (!gm_status(g, name, fn(&d, &r))) return;
    if (want_pairs) gm_list(g, want_pairs, d.pairs, g->count);
    if (want_score) gm_number(g, r.score, want_score->number);
    if (!want_pairs && !want_score && peft__json_is(section, PEFT__JSON_ARRAY)) gm_list(g, section, r.orders, (int64_t)section->length);
    if (!want_pairs && !want_score && peft__json_is(section, PEFT__JSON_OBJECT))
        for (const peft__json *v = section->child; v; v = v->next)      // {"1": ..., "2": ...}
            if (v->key_length == 1 && v->key[0] >= '1' && v->key[0] <= '8') gm_number(g, r.orders[v->key[0] - '1'], v->number);
    gm_close(g, name, tolerance);
}

static void gm_captions(gm *g) {
    const peft__json *j = peft__json_get(g->json, "nist_lower_whitespace");
    int all = g->columns;
    if (j) gm_text(g, "nist", peft_nist, all, j, NULL, NULL, 1e-9);
    j = peft__json_get(g->json, "meteor_exact_stem_lower_whitespace");
    if (j) gm_text(g, "meteor, best reference", peft_meteor, all, j, peft__json_get(j, "pairs"), NULL, 1e-6);
    if (j) gm_text(g, "meteor, first reference", peft_meteor, 1, j, peft__json_get(j, "first_ref"), NULL, 1e-6);
    j = peft__json_get(g->json, "cider_lower_whitespace");
    if (j) gm_text(g, "cider", peft_cider, all, j, peft__json_get(j, "pairs"), peft__json_get(j, "score"), 1e-9);
    j = peft__json_get(g->json, "coco_rougeL_beta1.2");
    if (j) gm_text(g, "coco rouge-l", peft_coco_rouge, all, j, peft__json_get(j, "pairs"), peft__json_get(j, "score"), 1e-9);
    j = peft__json_get(g->json, "coco_bleu");
    if (j) gm_text(g, "coco bleu", peft_coco_bleu, all, j, NULL, NULL, 1e-9);
}

static int64_t gm_doubles(gm *g, const peft__json *array, double **out) {
    int64_t n = array ? (int64_t)array->length : 0, i = 0;
    *out = (double *)peft__arena_alloc(&g->arena, sizeof(double) * (size_t)(n + 1));
    for (const peft__json *v = array ? array->child : NULL; v && i < n; v = v->next) (*out)[i++] = v->number;
    return n;
}

static int64_t gm_ints(gm *g, const peft__json *array, int32_t **out) {
    double *v;
    int64_t n = gm_doubles(g, array, &v);
    *out = (int32_t *)peft__arena_alloc(&g->arena, sizeof(int32_t) * (size_t)(n + 1));
    for (int64_t i = 0; i < n; i++) (*out)[i] = (int32_t)v[i];
    return n;
}

static void gm_optional(gm *g, const peft__json *object, const char *key, double got) {
    const peft__json *v = peft__json_get(object, key);
    if (v) gm_number(g, got, v->number);
}

static void gm_classes(gm *g) {
    const peft__json *j = peft__json_get(g->json, "classes"), *rows = peft__json_get(j, "confusion");
    peft_class_desc d;
    peft_class_result r;
    int32_t *labels, *predictions;
    int64_t confusion[64 * 64];
    const char *binary = peft__json_text(j, "binary", NULL);
    if (!j) return;
    memset(&d, 0, sizeof d);
    d.context = g->ctx;
    d.count = gm_ints(g, peft__json_get(j, "z"), &predictions);
    d.label_count = gm_ints(g, peft__json_get(j, "y"), &labels);
    d.predictions = predictions, d.labels = labels;
    d.classes = rows && rows->length <= 64 ? (int)rows->length : 0;
    d.confusion = d.classes ? confusion : NULL;
    if (!gm_status(g, "classes", peft_classification(&d, &r))) return;
    gm_optional(g, j, "accuracy", r.accuracy);
    gm_optional(g, j, "f1_macro", r.macro.f1);
    gm_optional(g, j, "f1_micro", r.micro.f1);
    gm_optional(g, j, "f1_weighted", r.weighted.f1);
    gm_optional(g, j, "mcc", r.mcc);
    if (d.classes) {
        int64_t k = 0;
        for (const peft__json *row = rows->child; row; row = row->next)
            for (const peft__json *v = row->child; v; v = v->next) gm_number(g, k < 64 * 64 ? (double)confusion[k] : NAN, v->number), k++;
    }
    gm_close(g, "classes", 1e-12);
    int threshold = 0;
    if (!binary || sscanf(binary, "label > %d", &threshold) != 1) return;
    for (int64_t i = 0; i < d.count; i++) labels[i] = labels[i] > threshold, predictions[i] = predictions[i] > threshold;
    d.classes = 2;
    d.confusion = NULL;
    if (!gm_status(g, "classes, binary", peft_classification(&d, &r))) return;
    gm_optional(g, j, "mcc_binary", r.mcc);
    gm_optional(g, j, "f1_binary", r.binary.f1);
    gm_optional(g, j, "precision_binary", r.binary.precision);
    gm_optional(g, j, "recall_binary", r.binary.recall);
    gm_close(g, "classes, binary", 1e-12);
}

static void gm_correlation(gm *g) {
    const peft__json *j = peft__json_get(g->json, "numbers");
    double *u, *v, r = 0;
    if (!j) return;
    int64_t n = gm_doubles(g, peft__json_get(j, "u"), &u), m = gm_doubles(g, peft__json_get(j, "v"), &v);
    if (gm_status(g, "pearson", n == m ? peft_pearson(g->ctx, u, v, n, &r) : PEFT_ERROR_ARGUMENT)) gm_optional(g, j, "pearson", r);
    gm_close(g, "pearson", 1e-12);
    if (gm_status(g, "spearman", n == m ? peft_spearman(g->ctx, u, v, n, &r) : PEFT_ERROR_ARGUMENT)) gm_optional(g, j, "spearman", r);
    gm_close(g, "spearman", 1e-12);
}

// Any keys ece_widthB, ece_massB with a number of bins B.
static void gm_calibration(gm *g) {
    const peft__json *j = peft__json_get(g->json, "calibration");
    peft_calibration_desc d;
    peft_calibration_result r;
    double *confidence, auc = 0;
    int32_t *correct;
    if (!j) return;
    memset(&d, 0, sizeof d);
    d.context = g->ctx;
    d.count = gm_doubles(g, peft__json_get(j, "confidence"), &confidence);
    if (gm_ints(g, peft__json_get(j, "correct"), &correct) != d.count) d.count = 0;
    d.confidence = confidence, d.correct = correct;
    for (const peft__json *v = j->child; v; v = v->next) {
        char name[64];
        int bins = 0;
        snprintf(name, sizeof name, "%.*s", (int)PEFT__MIN(v->key_length, 40u), v->key);
        bool width = sscanf(name, "ece_width%d", &bins) == 1, mass = !width && sscanf(name, "ece_mass%d", &bins) == 1;
        d.bins = bins;
        if (!width && !mass && strcmp(name, "brier") != 0) continue;
        if (!gm_status(g, name, peft_calibration(&d, &r))) continue;
        gm_number(g, width ? r.ece_width : mass ? r.ece_mass : r.brier, v->number);
        gm_close(g, name, 1e-12);
    }
    if (!peft__json_get(j, "auc") || !gm_status(g, "auc", peft_auc(g->ctx, confidence, correct, d.count, &auc))) return;
    gm_optional(g, j, "auc", auc);
    gm_close(g, "auc", 1e-12);
}

static bool gm_open(gm *g, const char *folder) {
    char path[1024], *text = NULL;
    size_t size = 0;
    peft__json *root = NULL;
    snprintf(path, sizeof path, "%.1000s/golden.json", folder);
    if (peft__read_all(g->ctx, path, &text, &size) != PEFT_OK) {
        printf("metrics: skipped, %s\n", peft_error(g->ctx));
        return false;
    }
    char *copy = peft__arena_strdup(&g->arena, text, size);
    peft__free(g->ctx, text);
    if (!gm_status(g, path, peft__json_parse(g->ctx, &g->arena, copy, size, path, &root))) return false;
    g->json = root;
    g->predictions = gm_lines(g, folder, "pred.txt", &g->count);
    int64_t edge_refs = 0;
    g->edge_predictions = gm_lines(g, folder, "edge_pred.txt", &g->edges);
    g->edge_references = gm_lines(g, folder, "edge_ref.txt", &edge_refs);
    if (edge_refs != g->edges) g->edge_predictions = NULL;
    while (g->columns < GM_REFERENCES) {
        char name[32];
        int64_t n = 0;
        snprintf(name, sizeof name, "ref%d.txt", g->columns + 1);
        const char **lines = gm_lines(g, folder, name, &n);
        if (!lines) break;
        if (n != g->count) {
            printf("metrics: FAIL: pred.txt has %lld lines, %s has %lld\n", (long long)g->count, name, (long long)n);
            ++*g->failed;
            return false;
        }
        g->column[g->columns++] = lines;
    }
    for (int refs = 1; refs <= g->columns; refs++) {
        g->references[refs] = (const char **)peft__arena_alloc(&g->arena, sizeof(char *) * (size_t)(g->count * refs + 1));
        for (int64_t i = 0; i < g->count; i++)
            for (int k = 0; k < refs; k++) g->references[refs][i * refs + k] = g->column[k][i];
    }
    return true;
}

static void golden_metrics(peft_context *ctx, const char *folder, int *passed, int *failed) {
    gm g;
    memset(&g, 0, sizeof g);
    g.ctx = ctx;
    g.passed = passed;
    g.failed = failed;
    peft__arena_init(&g.arena, ctx);
    if (gm_open(&g, folder)) {
        const peft__json *c;
        if (g.predictions && g.columns > 0) {
            gm_rouge(&g, "plain", false);
            gm_rouge(&g, "stem", true);
            gm_rouge_multi(&g);
            c = peft__json_get(g.json, "bleu");
            for (c = c ? c->child : NULL; c; c = c->next) gm_bleu_one(&g, c);
            gm_sentence_bleu(&g, "sentence_bleu", g.predictions, g.column[0], g.count);
            gm_sentence_bleu(&g, "edge_sentence_bleu", g.edge_predictions, g.edge_references, g.edges);
            c = peft__json_get(g.json, "chrf");
            for (c = c ? c->child : NULL; c; c = c->next) gm_chrf(&g, c);
            gm_sentence_chrf(&g);
            c = peft__json_get(g.json, "ter");
            for (c = c ? c->child : NULL; c; c = c->next) gm_ter(&g, c);
            gm_sentence_ter(&g);
            gm_captions(&g);
        }
        gm_classes(&g);
        gm_correlation(&g);
        gm_calibration(&g);
    }
    peft__arena_free(&g.arena);
}

#endif
