// peft score: texts, labels and numbers in files against references, how sure the scores are, and whether one system is better than
// another by more than luck.
#ifndef PEFT_CMD_SCORE_H
#define PEFT_CMD_SCORE_H

#include "scores.h"
#include <math.h>

static struct {
    const char *predictions, *field, *baseline, *tokenizer, *smoothing, *wordnet, *positive, *words, *lines;
    texts references, reference_fields;
    bool stemmer, split_summaries, lower, effective, average, whitespace, normalized, no_punct,
        case_sensitive, asian;
    int64_t bootstrap, samples, order, char_order, bins;
    double smooth_value, beta, alpha, gamma;
} sc = {.order = INT64_MIN, .char_order = INT64_MIN, .bins = INT64_MIN, .smooth_value = NAN, .beta = NAN,
        .alpha = NAN, .gamma = NAN};

// What was not given stays the library's default, and a 0 that was given is 0.
static double real_setting(double v) {
    return isnan(v) ? 0 : v == 0 ? PEFT_ZERO : v;
}

static int count_setting(int64_t v) {
    return v == INT64_MIN ? 0 : v == 0 ? PEFT_ZERO : (int)v;
}

static const option score_options[] = {
    HEADING("Texts and tests"),
    {"predictions", OPTION_TEXT, &sc.predictions, "FILE",
     "one text per line, or records: .jsonl, .json, .ndjson, .csv, .tsv"},
    {"references", OPTION_TEXTS, &sc.references, "FILE", "the same; give it again for further references of each line"},
    {"field", OPTION_TEXT, &sc.field, "NAME", "of records: the prediction (prediction)"},
    {"reference-field", OPTION_TEXTS, &sc.reference_fields, "NAME",
     "of records: the reference, or a list of them (reference); once, or once for each --references"},
    {"baseline", OPTION_TEXT, &sc.baseline, "FILE", "another system's predictions: is the difference more than luck?"},
    {"samples", OPTION_INT, &sc.samples, "N", "of the paired tests (bootstrap 1000, randomization 10000)"},
    {"bootstrap", OPTION_INT, &sc.bootstrap, "N", "resamplings for a 95 % interval of each score (0: none)"},
    {"lines", OPTION_TEXT, &sc.lines, "FILE", "write the scores of every line too, as JSON lines"},
    HEADING("ROUGE"),
    {"stemmer", OPTION_FLAG, &sc.stemmer, "", "ROUGE with Porter stems"},
    {"split-summaries", OPTION_FLAG, &sc.split_summaries, "",
     "rougeLsum: a sentence also ends behind . ! or ?"},
    HEADING("BLEU, chrF, NIST, CIDEr"),
    {"lowercase", OPTION_FLAG, &sc.lower, "", "BLEU and chrF without case"},
    {"tokenizer", OPTION_TEXT, &sc.tokenizer, "NAME", "BLEU's words: 13a (default), intl, char, zh, none"},
    {"smoothing", OPTION_TEXT, &sc.smoothing, "NAME", "of BLEU: exp (default), floor, add-k, none"},
    {"smooth-value", OPTION_REAL, &sc.smooth_value, "X", "of floor (0.1) and add-k (1)"},
    {"max-order", OPTION_INT, &sc.order, "N", "longest n-gram: BLEU and CIDEr 4, NIST 5"},
    {"effective-order", OPTION_FLAG, &sc.effective, "", "BLEU over the orders that the texts are long enough for"},
    {"average-precision", OPTION_FLAG, &sc.average, "", "BLEU as textbooks simplify it: the mean of the precisions"},
    {"char-order", OPTION_INT, &sc.char_order, "N", "chrF's longest n-gram of characters (6)"},
    {"whitespace", OPTION_FLAG, &sc.whitespace, "", "chrF counts white space too"},
    {"beta", OPTION_REAL, &sc.beta, "X", "chrF: recall counts X^2 times (2); METEOR: power of the penalty (3)"},
    HEADING("METEOR"),
    {"alpha", OPTION_REAL, &sc.alpha, "X", "METEOR: weight of precision (0.9)"},
    {"gamma", OPTION_REAL, &sc.gamma, "X", "METEOR: weight of the fragmentation penalty (0.5)"},
    {"wordnet", OPTION_TEXT, &sc.wordnet, "DIR", "METEOR with synonyms: WordNet's dict folder"},
    HEADING("TER"),
    {"normalized", OPTION_FLAG, &sc.normalized, "", "TER with Tercom's tokenizer"},
    {"no-punct", OPTION_FLAG, &sc.no_punct, "", "TER without punctuation"},
    {"case-sensitive", OPTION_FLAG, &sc.case_sensitive, "", "TER with case"},
    {"asian-support", OPTION_FLAG, &sc.asian, "", "TER: Chinese characters and Asian marks are words"},
    HEADING("Others"),
    {"positive", OPTION_TEXT, &sc.positive, "LABEL", "the class of f1 (1)"},
    {"bins", OPTION_COUNT, &sc.bins, "N", "of the calibration error (10)"},
    {"words", OPTION_TEXT, &sc.words, "FILE", "toxicity: the words, one per line"},
    {"seed", OPTION_INT, &cli.seed, "N", "of the bootstrap"},
    COMMON_OPTIONS};

typedef struct pairs {
    const char **predictions, **references;
    const char **baseline;  // NULL: no other system to compare with
    int64_t count;
    int per;                // references per prediction; 0: none
    bool uneven;            // some have fewer references than others, and repeat one
    int64_t without;        // lines whose list of references is empty
} pairs;

// ---- output

static void score_line(const char *name, double value, const char *signature) {
    if (cli.json) {
        printf("{");
        json_pair(stdout, "metric", name, ",");
        json_print(stdout, "\"score\":%.12g,", value);
        json_pair(stdout, "signature", signature, "}\n");
    } else {
        printf("%-12s %10.4f   %s\n", name, value, signature);
    }
}

static void print_f1(const char *name, const peft_prf *f, const char *signature) {
    if (cli.json) {
        json_print(stdout, "{\"metric\":\"%s\",\"score\":%.12g,\"precision\":%.12g,\"recall\":%.12g,", name, f->f1, f->precision, f->recall);
        json_pair(stdout, "signature", signature, "}\n");
    } else {
        printf("%-12s %10.4f   P %.4f  R %.4f   %s\n", name, f->f1, f->precision, f->recall, signature);
    }
}

static void print_paired(const char *name, const char *test, const peft_paired_result *r) {
    if (cli.json) {
        json_print(stdout, "{\"metric\":\"%s\",\"test\":\"%s\",\"baseline\":%.12g,\"system\":%.12g,\"p\":%.12g,", name, test, r->baseline, r->system, r->p_value);
        if (r->baseline_ci > 0 || r->system_ci > 0)
            json_print(stdout, "\"baseline_mean\":%.12g,\"baseline_ci\":%.12g,\"system_mean\":%.12g,\"system_ci\":%.12g,", r->baseline_mean, r->baseline_ci, r->system_mean, r->system_ci);
        json_pair(stdout, "signature", r->signature, "}\n");
        return;
    }
    printf("%-12s baseline %.4f, this %.4f (%+.4f), %s p = %.4f%s", name, r->baseline, r->system, r->system - r->baseline, test, r->p_value,
           r->p_value < 0.05 && r->system != r->baseline && !r->few ? " *" : "");
    if (r->baseline_ci > 0 || r->system_ci > 0) printf("   95 %%: %.4f +- %.4f, %.4f +- %.4f", r->baseline_mean, r->baseline_ci, r->system_mean, r->system_ci);
    printf("   %s\n", r->signature);
}

static void print_interval(const char *name, const peft_paired_result *r) {
    if (cli.json) {
        json_print(stdout, "{\"metric\":\"%s\",\"test\":\"interval\",\"score\":%.12g,\"mean\":%.12g,\"ci\":%.12g,", name, r->system, r->system_mean, r->system_ci);
        json_pair(stdout, "signature", r->signature, "}\n");
    } else {
        printf("%-12s 95 %%: %.4f +- %.4f   %s\n", name, r->system_mean, r->system_ci, r->signature);
    }
}

// ---- scores of every line, for --lines

enum { LINE_COLUMNS = 24 };
static struct {
    const char *name;
    double *values;
} line_columns[LINE_COLUMNS];
static int line_count;

// A new column of --lines, to be filled by its metric; NULL: nobody asked, or no memory (then the column is missing).
static double *line_column(const pairs *p, const char *name) {
    if (!sc.lines || line_count == LINE_COLUMNS) return NULL;
    double *values = (double *)malloc((size_t)(p->count + 1) * sizeof(double));
    if (values) line_columns[line_count].name = name, line_columns[line_count++].values = values;
    return values;
}

static int lines_write(const pairs *p) {
    if (!sc.lines) return EXIT_OK;
    output o;
    FILE *f = output_open(&o, "score", sc.lines);
    if (!f) return EXIT_DATA;
    for (int64_t i = 0; i < p->count; i++) {
        fprintf(f, "{\"line\":%lld", (long long)i + 1);
        for (int k = 0; k < line_count; k++) json_print(f, ",\"%s\":%.12g", line_columns[k].name, line_columns[k].values[i]);
        fprintf(f, "}\n");
    }
    return output_close(&o, true);
}

// ---- two systems, and intervals

// Both tests of one metric with --baseline, or the interval of one system with --bootstrap. sacreBLEU's p counts only what is larger than
// the observed difference: no star where there is none. `desc` holds the metric and its settings, and the values of PEFT_PAIRED_VALUES.
typedef peft_status (*paired_test)(const peft_paired_desc *desc, peft_paired_result *result);

static peft_status score_versus_by(const pairs *p, const char *name, peft_paired_desc desc, paired_test paired) {
    static const char *const tests[] = {"bootstrap", "randomization"};
    peft_status status = PEFT_OK;
    peft_paired_result r;
    desc.context = cli.ctx;
    desc.baseline = p->baseline ? p->baseline : p->predictions;
    desc.system = p->predictions;
    desc.references = p->references;
    desc.count = p->count;
    desc.references_per_prediction = p->per;
    desc.samples = p->baseline ? sc.samples : sc.bootstrap;
    desc.seed = (uint64_t)cli.seed;
    if (!p->baseline && sc.bootstrap > 0) {
        status = paired(&desc, &r);
        if (!status) print_interval(name, &r);
    }
    for (int k = 0; k < 2 && !status && p->baseline; k++) {
        desc.test = (peft_paired_test)k;
        status = paired(&desc, &r);
        if (!status) print_paired(name, tests[k], &r);
    }
    return status;
}

static peft_status score_versus(const pairs *p, const char *name, peft_paired_desc desc) { return score_versus_by(p, name, desc, peft_paired); }

// A metric that is the mean of a value per line: gives those of the predictions (unless `values` is NULL), and prints its scores if asked.
typedef peft_status (*mean_metric)(const pairs *p, const char *const *predictions, double *values, bool print);

// Its scores, its column of --lines and its tests.
static peft_status score_mean(const pairs *p, const char *name, mean_metric metric) {
    size_t n = (size_t)p->count;
    double *column = line_column(p, name), *both = NULL;  // the baseline's values, then the system's
    if ((p->baseline || sc.bootstrap > 0) && !(both = (double *)malloc((2 * n + 1) * sizeof(double)))) return PEFT_ERROR_MEMORY;
    double *values = both ? both + n : column;
    peft_status status = metric(p, p->predictions, values, true);
    if (!status && column && both) memcpy(column, values, n * sizeof(double));
    if (!status && p->baseline) status = metric(p, p->baseline, both, false);
    if (!status && both)
        status = score_versus(p, name, (peft_paired_desc){.metric = PEFT_PAIRED_VALUES, .baseline_values = p->baseline ? both : values, .system_values = values});
    free(both);
    return status;
}

// The same for metrics of a whole list that are no mean: `score` gives that of each resampled list.
static peft_status score_resampled(const pairs *p, const char *name, peft_paired_score score, void *user) {
    return score_versus(p, name, (peft_paired_desc){.metric = PEFT_PAIRED_SCORE, .score = score, .user = user,
                                                    .name = name});
}

static peft_text_desc text_desc(const pairs *p, const char *const *predictions, double *values) {
    return (peft_text_desc){.context = cli.ctx, .predictions = predictions, .references = p->references, .count = p->count, .references_per_prediction = p->per,
                            .max_order = count_setting(sc.order), .alpha = real_setting(sc.alpha),
                                .beta = real_setting(sc.beta),
                            .gamma = real_setting(sc.gamma), .pairs = values};
}

typedef peft_status (*text_metric)(const peft_text_desc *desc, peft_metric_result *result);

// Texts of a drawn list, handed to the metric as if they were the files'.
typedef struct drawn_texts {
    const pairs *p;
    const char **predictions, **references;
    text_metric metric;
} drawn_texts;

static bool texts_drawn(const int64_t *line, const unsigned char *side, int64_t count, double *out,
                        void *user) {
    const drawn_texts *t = (const drawn_texts *)user;
    const pairs *p = t->p;
    for (int64_t i = 0; i < count; i++) {
        t->predictions[i] = side[i] || !p->baseline ? p->predictions[line[i]] : p->baseline[line[i]];
        for (int k = 0; k < p->per; k++) t->references[i * p->per + k] = p->references[line[i] * p->per + k];
    }
    const pairs sample = {.predictions = t->predictions, .references = t->references, .count = count,
                          .per = p->per};
    const peft_text_desc desc = text_desc(&sample, sample.predictions, NULL);
    peft_metric_result r;
    if (t->metric(&desc, &r)) return false;
    *out = r.score;
    return true;
}

static peft_status score_resampled_texts(const pairs *p, const char *name, text_metric metric) {
    size_t n = (size_t)p->count + 1;
    drawn_texts t = {p, (const char **)malloc(n * sizeof(char *)), (const char **)malloc(n * (size_t)p->per * sizeof(char *)), metric};
    peft_status status = t.predictions && t.references ? score_resampled(p, name, texts_drawn, &t) : PEFT_ERROR_MEMORY;
    free((void *)t.predictions);
    free((void *)t.references);
    return status;
}

// ---- texts

static peft_status score_rouge(const pairs *p) {
    static const char *const names[] = {"rouge1", "rouge2", "rougeL", "rougeLsum"};
    peft_rouge_result r;
    peft_rouge_scores *each = sc.lines ? (peft_rouge_scores *)malloc((size_t)(p->count + 1) * sizeof(peft_rouge_scores)) : NULL;
    peft_status status = peft_rouge(&(peft_rouge_desc){.context = cli.ctx, .predictions = p->predictions, .references = p->references, .count = p->count,
                                                       .references_per_prediction = p->per,
                                                           .use_stemmer = sc.stemmer,
                                                               .split_summaries = sc.split_summaries,
                                                       .bootstrap_samples = (int)sc.bootstrap, .seed = (uint64_t)cli.seed, .pairs = each}, &r);
    const peft_prf *mean[] = {&r.mean.rouge1, &r.mean.rouge2, &r.mean.rougeL, &r.mean.rougeLsum}, *low[] = {&r.low.rouge1, &r.low.rouge2, &r.low.rougeL, &r.low.rougeLsum},
                   *high[] = {&r.high.rouge1, &r.high.rouge2, &r.high.rougeL, &r.high.rougeLsum};
    for (int i = 0; i < 4 && !status; i++) {
        double *column = each ? line_column(p, names[i]) : NULL;
        for (int64_t k = 0; column && k < p->count; k++) {
            const peft_prf *of[] = {&each[k].rouge1, &each[k].rouge2, &each[k].rougeL, &each[k].rougeLsum};
            column[k] = of[i]->f1;
        }
        if (cli.json) {
            json_print(stdout, "{\"metric\":\"%s\",\"score\":%.12g,\"precision\":%.12g,\"recall\":%.12g,", names[i], mean[i]->f1, mean[i]->precision, mean[i]->recall);
            if (sc.bootstrap > 0) json_print(stdout, "\"low\":%.12g,\"high\":%.12g,", low[i]->f1, high[i]->f1);
            json_pair(stdout, "signature", r.signature, "}\n");
        } else {
            printf("%-12s %10.4f   P %.4f  R %.4f", names[i], mean[i]->f1, mean[i]->precision, mean[i]->recall);
            if (sc.bootstrap > 0) printf("  95 %% %.4f to %.4f", low[i]->f1, high[i]->f1);
            printf("   %s\n", r.signature);
        }
    }
    free(each);
    const peft_rouge_desc settings = {.use_stemmer = sc.stemmer, .split_summaries = sc.split_summaries};
    for (int i = 0; i < 4 && !status && p->baseline; i++)
        status = score_versus(p, names[i], (peft_paired_desc){.metric = (peft_paired_metric)(PEFT_PAIRED_ROUGE_1 + i), .rouge = &settings});
    return status;
}

static int choice_of(const char *name, const char *const *names, int count) {
    for (int k = 0; k < count && name; k++)
        if (strcmp(name, names[k]) == 0) return k;
    return name ? -1 : 0;
}

static const char *const bleu_tokenizers[] = {"13a", "intl", "char", "zh", "none"}, *const bleu_smoothings[] = {"exp", "floor", "add-k", "none"};

static peft_bleu_desc bleu_desc(const pairs *p) {
    return (peft_bleu_desc){.context = cli.ctx, .predictions = p->predictions, .references = p->references, .count = p->count, .references_per_prediction = p->per,
                            .lowercase = sc.lower, .smooth_value = real_setting(sc.smooth_value),
                                .max_order = count_setting(sc.order), .effective_order = sc.effective,
                            .average_precision = sc.average, .tokenizer = (peft_tokenizer_kind)choice_of(sc.tokenizer, bleu_tokenizers, COUNT(bleu_tokenizers)),
                            .smoothing = (peft_bleu_smoothing)choice_of(sc.smoothing, bleu_smoothings, COUNT(bleu_smoothings))};
}

// Lines by themselves are scored with the effective order, as sacreBLEU's sentence_bleu.
static peft_status bleu_lines(const pairs *p) {
    peft_bleu_result r;
    peft_bleu_desc desc = bleu_desc(p);
    desc.effective_order = true;
    desc.sentences = line_column(p, "bleu");
    return desc.sentences ? peft_bleu(&desc, &r) : PEFT_OK;
}

static peft_status score_bleu(const pairs *p) {
    peft_bleu_result r;
    const peft_bleu_desc desc = bleu_desc(p);
    peft_status status = peft_bleu(&desc, &r);
    if (!status) score_line("bleu", r.score, r.signature);
    if (!status && !cli.json) {
        printf("             precisions");
        for (int n = 0; n < (desc.max_order ? desc.max_order : 4); n++) printf(" %.1f", r.precisions[n]);
        printf(", brevity penalty %.3f (%lld words, references %lld)\n", r.brevity_penalty, (long long)r.prediction_length, (long long)r.reference_length);
    }
    if (!status) status = bleu_lines(p);
    return status ? status : score_versus(p, "bleu", (peft_paired_desc){.metric = PEFT_PAIRED_BLEU, .bleu = &desc});
}

static peft_status score_chrf_words(const pairs *p, const char *name, int word_order) {
    peft_metric_result r;
    const peft_chrf_desc desc = {.context = cli.ctx, .predictions = p->predictions, .references = p->references, .count = p->count,
                                 .references_per_prediction = p->per, .lowercase = sc.lower,
                                     .word_order = word_order, .char_order = count_setting(sc.char_order),
                                 .beta = real_setting(sc.beta), .whitespace = sc.whitespace,
                                     .sentences = line_column(p, name)};
    peft_status status = peft_chrf(&desc, &r);
    if (!status) score_line(name, r.score, r.signature);
    return status ? status : score_versus(p, name, (peft_paired_desc){.metric = PEFT_PAIRED_CHRF, .chrf = &desc});
}

static peft_status score_chrf(const pairs *p) { return score_chrf_words(p, "chrf", 0); }
static peft_status score_chrf_plus(const pairs *p) { return score_chrf_words(p, "chrf++", 2); }

static peft_status paired_ter(const peft_paired_desc *desc, peft_paired_result *result) {
    return peft_paired_ter(desc, (const peft_ter_desc *)desc->user, result);
}

static peft_status score_ter(const pairs *p) {
    peft_metric_result r;
    const peft_ter_desc desc = {.context = cli.ctx, .predictions = p->predictions, .references = p->references, .count = p->count,
                                .references_per_prediction = p->per, .normalized = sc.normalized, .no_punct = sc.no_punct,
                                .case_sensitive = sc.case_sensitive, .asian_support = sc.asian, .sentences = line_column(p, "ter")};
    peft_status status = peft_ter(&desc, &r);
    if (!status) score_line("ter", r.score, r.signature);
    return status ? status : score_versus_by(p, "ter", (peft_paired_desc){.user = (void *)&desc}, paired_ter);
}

// For metrics that a reference changes which is there twice.
static peft_status even_references(const pairs *p, const char *metric) {
    if (!p->uneven) return PEFT_OK;
    fprintf(stderr, "peft score: %s needs as many references for each line\n", metric);
    return PEFT_ERROR_ARGUMENT;
}

static peft_status score_nist(const pairs *p) {
    peft_metric_result r;
    if (even_references(p, "nist")) return PEFT_ERROR_ARGUMENT;
    peft_text_desc desc = text_desc(p, p->predictions, NULL);
    peft_status status = peft_nist(&desc, &r);
    if (!status) score_line("nist", r.score, r.signature);
    return status ? status : score_resampled_texts(p, "nist", peft_nist);
}

static peft_status text_mean(const pairs *p, const char *name, text_metric metric, const char *const *predictions, double *values, bool print) {
    peft_metric_result r;
    const peft_text_desc desc = text_desc(p, predictions, values);
    peft_status status = metric(&desc, &r);
    if (!status && print) score_line(name, r.score, r.signature);
    return status;
}

// With the synonyms of --wordnet.
static peft_status meteor_of(const peft_text_desc *plain, peft_metric_result *r) {
    peft_text_desc desc = *plain;
    peft_wordnet *wordnet = NULL;
    peft_status status = sc.wordnet ? peft_wordnet_load(cli.ctx, sc.wordnet, &wordnet) : PEFT_OK;
    if (wordnet) desc.synonyms = peft_wordnet_synonyms, desc.user = wordnet;
    if (!status) status = peft_meteor(&desc, r);
    peft_wordnet_destroy(wordnet);
    return status;
}

static peft_status mean_meteor(const pairs *p, const char *const *predictions, double *values, bool print) {
    return text_mean(p, "meteor", meteor_of, predictions, values, print);
}

static peft_status mean_cider(const pairs *p, const char *const *predictions, double *values, bool print) {
    return text_mean(p, "cider", peft_cider, predictions, values, print);
}

static peft_status mean_coco_rouge(const pairs *p, const char *const *predictions, double *values, bool print) {
    return text_mean(p, "coco_rouge", peft_coco_rouge, predictions, values, print);
}

static peft_status mean_squad(const pairs *p, const char *const *predictions, double *values, bool print) {
    peft_answer_result r;
    const peft_text_desc desc = text_desc(p, predictions, values);
    peft_status status = peft_squad(&desc, &r);
    if (!status && print) score_line("exact_match", r.exact_match, r.signature);
    if (!status && print) score_line("token_f1", r.f1, r.signature);
    return status;
}

static peft_status score_meteor(const pairs *p) { return score_mean(p, "meteor", mean_meteor); }
static peft_status score_cider(const pairs *p) {
    peft_status status = even_references(p, "cider");
    return status ? status : score_mean(p, "cider", mean_cider);
}
static peft_status score_coco_rouge(const pairs *p) { return score_mean(p, "coco_rouge", mean_coco_rouge); }
static peft_status score_squad(const pairs *p) { return score_mean(p, "token_f1", mean_squad); }

static peft_status score_coco_bleu(const pairs *p) {
    peft_metric_result r;
    peft_text_desc desc = text_desc(p, p->predictions, NULL);
    peft_status status = peft_coco_bleu(&desc, &r);
    char name[32] = "";
    for (int n = 0; n < (desc.max_order ? desc.max_order : 4) && !status; n++) {
        snprintf(name, sizeof(name), "coco_bleu%d", n + 1);
        score_line(name, r.orders[n], r.signature);
    }
    return status ? status : score_resampled_texts(p, name, peft_coco_bleu);
}

// ---- labels

typedef struct labels {
    int32_t *side[2], *references;  // of the baseline (the predictions again where there is none) and of the system
    int32_t *drawn, *expected;      // of a resampled list
    const char **names;             // of the classes: in order (numbers as numbers), the positive one last
    int classes, sorted, positive;  // sorted: how many of the names are in order; positive -1: there is none
    bool mcc;                       // what a resampled list is asked for: this, or F1 (of the positive class, else macro)
} labels;

static void labels_free(labels *l) {
    free(l->side[0]);
    free(l->side[1]);
    free(l->references);
    free(l->drawn);
    free(l->expected);
    free((void *)l->names);
}

static int label_order(const void *a, const void *b) {
    const char *x = *(const char *const *)a, *y = *(const char *const *)b;
    char *end_x, *end_y;
    double p = strtod(x, &end_x), q = strtod(y, &end_y);
    bool number_x = *x && !*end_x && p == p, number_y = *y && !*end_y && q == q;
    if (number_x != number_y) return number_x ? -1 : 1;
    if (number_x && p != q) return p < q ? -1 : 1;
    return strcmp(x, y);
}

static int32_t label_index(const labels *l, const char *name) {
    const char **at = (const char **)bsearch(&name, (void *)l->names, (size_t)l->sorted, sizeof(char *),
                                             label_order);
    if (at) return (int32_t)(at - l->names);
    return l->classes > l->sorted && strcmp(l->names[l->sorted], name) == 0 ? l->sorted : -1;
}

static peft_status labels_alloc(labels *l, int64_t count) {
    int32_t **lists[] = {&l->side[0], &l->side[1], &l->references, &l->drawn, &l->expected};
    bool ok = true;
    for (int k = 0; k < COUNT(lists); k++) {
        *lists[k] = (int32_t *)malloc((size_t)(count + 1) * sizeof(int32_t));
        ok = ok && *lists[k];
    }
    l->names = (const char **)malloc((size_t)(3 * count + 1) * sizeof(char *));
    return ok && l->names ? PEFT_OK : PEFT_ERROR_MEMORY;
}

// Every text that occurs is a class. The positive one is --positive, or "1" where that occurs.
static peft_status labels_read(const pairs *p, labels *l) {
    const char **baseline = p->baseline ? p->baseline : p->predictions;
    peft_status status = labels_alloc(l, p->count);
    if (status) return status;
    for (int64_t i = 0; i < p->count; i++) {
        l->names[3 * i] = p->references[i];
        l->names[3 * i + 1] = p->predictions[i];
        l->names[3 * i + 2] = baseline[i];
    }
    qsort((void *)l->names, 3 * (size_t)p->count, sizeof(char *), label_order);
    for (int64_t i = 0; i < 3 * p->count; i++)
        if (i == 0 || strcmp(l->names[i], l->names[l->classes - 1]) != 0)
            l->names[l->classes++] = l->names[i];
    l->sorted = l->classes;
    l->positive = label_index(l, sc.positive ? sc.positive : "1");
    if (sc.positive && l->positive < 0) {
        fprintf(stderr, "peft score: no line is \"%s\"\n", sc.positive);
        return PEFT_ERROR_ARGUMENT;
    }
    if (l->positive >= 0) {
        const char *name = l->names[l->positive];
        memmove((void *)(l->names + l->positive), (void *)(l->names + l->positive + 1), (size_t)(l->classes - 1 - l->positive) * sizeof(char *));
        l->names[l->positive = l->classes - 1] = name;
        l->sorted--;
    }
    for (int64_t i = 0; i < p->count; i++) {
        l->side[0][i] = label_index(l, baseline[i]);
        l->side[1][i] = label_index(l, p->predictions[i]);
        l->references[i] = label_index(l, p->references[i]);
    }
    return PEFT_OK;
}

static peft_status one_reference(const pairs *p, const char *metric) {
    if (p->per == 1) return PEFT_OK;
    fprintf(stderr, "peft score: %s takes one file of references, not %d\n", metric, p->per);
    return PEFT_ERROR_ARGUMENT;
}

static peft_status labels_score(const labels *l, const int32_t *predictions, const int32_t *references, int64_t count, peft_class_result *r) {
    int positive = l->positive >= 0 ? l->positive : 1;
    return peft_classification(&(peft_class_desc){.context = cli.ctx, .predictions = predictions, .labels = references, .count = count,
                                                  .classes = l->classes > positive ? l->classes
                                                      : positive + 1,
                                                  .positive = positive ? positive : PEFT_ZERO}, r);
}

static bool labels_drawn(const int64_t *line, const unsigned char *side, int64_t count, double *out,
                         void *user) {
    const labels *l = (const labels *)user;
    peft_class_result r;
    for (int64_t i = 0; i < count; i++) {
        l->drawn[i] = l->side[side[i]][line[i]];
        l->expected[i] = l->references[line[i]];
    }
    if (labels_score(l, l->drawn, l->expected, count, &r)) return false;
    *out = l->mcc ? r.mcc : l->positive >= 0 ? r.binary.f1 : r.macro.f1;
    return true;
}

// Accuracy's value per line; its score is printed with the labels' other ones.
static peft_status mean_correct(const pairs *p, const char *const *predictions, double *values, bool print) {
    (void)print;
    for (int64_t i = 0; values && i < p->count; i++) values[i] = strcmp(predictions[i], p->references[i]) == 0;
    return PEFT_OK;
}

typedef enum label_metric { LABEL_ACCURACY, LABEL_F1, LABEL_MCC } label_metric;

static peft_status score_labels(const pairs *p, label_metric metric) {
    static const char *const names[] = {"accuracy", "f1", "mcc"};
    labels l = {.mcc = metric == LABEL_MCC};
    peft_class_result r;
    peft_status status = one_reference(p, names[metric]);
    if (!status) status = labels_read(p, &l);
    if (!status) status = labels_score(&l, l.side[1], l.references, p->count, &r);
    bool binary = l.positive >= 0;
    if (!status && metric == LABEL_F1) {
        if (binary) print_f1("f1", &r.binary, r.signature);
        print_f1("f1_micro", &r.micro, r.signature);
        print_f1("f1_macro", &r.macro, r.signature);
        print_f1("f1_weighted", &r.weighted, r.signature);
    } else if (!status) {
        score_line(names[metric], metric == LABEL_MCC ? r.mcc : r.accuracy, r.signature);
    }
    if (!status && metric == LABEL_ACCURACY) status = score_mean(p, "accuracy", mean_correct);
    else if (!status) status = score_resampled(p, l.mcc ? "mcc" : binary ? "f1" : "f1_macro", labels_drawn, &l);
    labels_free(&l);
    return status;
}

static peft_status score_accuracy(const pairs *p) { return score_labels(p, LABEL_ACCURACY); }
static peft_status score_f1(const pairs *p) { return score_labels(p, LABEL_F1); }
static peft_status score_mcc(const pairs *p) { return score_labels(p, LABEL_MCC); }

// ---- numbers

typedef enum number_metric { NUMBER_PEARSON, NUMBER_SPEARMAN, NUMBER_AUC, NUMBER_ECE } number_metric;

typedef struct numbers {
    number_metric metric;
    double *side[2], *references, *drawn, *expected;  // as those of labels
    int32_t *truth;                                   // expected, as yes or no
} numbers;

static void numbers_free(numbers *n) {
    free(n->side[0]);
    free(n->side[1]);
    free(n->references);
    free(n->drawn);
    free(n->expected);
    free(n->truth);
}

static peft_status numbers_read(const char *const *list, int64_t count, const char *path, double *out) {
    for (int64_t i = 0; i < count; i++) {
        char *end;
        out[i] = strtod(list[i], &end);
        if (end != list[i] && !end[strspn(end, " \t")]) continue;
        fprintf(stderr, "peft score: %s: text %lld, \"%.40s\", is no number\n", path, (long long)i + 1, list[i]);
        return PEFT_ERROR_FORMAT;
    }
    return PEFT_OK;
}

static peft_status numbers_open(const pairs *p, numbers *n) {
    double **lists[] = {&n->side[0], &n->side[1], &n->references, &n->drawn, &n->expected};
    bool ok = true;
    for (int k = 0; k < COUNT(lists); k++) {
        *lists[k] = (double *)malloc((size_t)(p->count + 1) * sizeof(double));
        ok = ok && *lists[k];
    }
    n->truth = (int32_t *)malloc((size_t)(p->count + 1) * sizeof(int32_t));
    if (!ok || !n->truth) return PEFT_ERROR_MEMORY;
    peft_status status = numbers_read(p->predictions, p->count, sc.predictions, n->side[1]);
    if (!status) status = numbers_read(p->references, p->count, sc.references.items[0], n->references);
    if (!status && p->baseline) return numbers_read(p->baseline, p->count, sc.baseline, n->side[0]);
    if (!status) memcpy(n->side[0], n->side[1], (size_t)p->count * sizeof(double));
    return status;
}

static peft_status numbers_score(const numbers *n, const double *x, const double *y, int64_t count, double *out) {
    if (n->metric == NUMBER_PEARSON) return peft_pearson(cli.ctx, x, y, count, out);
    if (n->metric == NUMBER_SPEARMAN) return peft_spearman(cli.ctx, x, y, count, out);
    for (int64_t i = 0; i < count; i++) n->truth[i] = y[i] != 0;
    if (n->metric == NUMBER_AUC) return peft_auc(cli.ctx, x, n->truth, count, out);
    peft_calibration_result r;
    peft_status status = peft_calibration(&(peft_calibration_desc){.context = cli.ctx, .confidence = x,
                                                                   .correct = n->truth, .count = count,
                                                                       .bins = count_setting(sc.bins)}, &r);
    *out = r.ece_width;
    return status;
}

static bool numbers_drawn(const int64_t *line, const unsigned char *side, int64_t count, double *out,
                          void *user) {
    const numbers *n = (const numbers *)user;
    for (int64_t i = 0; i < count; i++) {
        n->drawn[i] = n->side[side[i]][line[i]];
        n->expected[i] = n->references[line[i]];
    }
    return numbers_score(n, n->drawn, n->expected, count, out) == PEFT_OK;
}

static void calibration_print(const numbers *n, int64_t count) {
    peft_calibration_result r;
    peft_calibration_desc desc = {.context = cli.ctx, .confidence = n->side[1], .correct = n->truth,
                                  .count = count, .bins = count_setting(sc.bins)};
    double selective, area;
    if (peft_calibration(&desc, &r) || peft_selective_accuracy(&desc, 0, &selective, &area)) return;
    score_line("ece_mass", r.ece_mass, r.signature);
    score_line("brier", r.brier, r.signature);
    score_line("accuracy", r.accuracy, r.signature);
    score_line("selective", selective, r.signature);
    score_line("selective_area", area, r.signature);
    if (!peft_platt_calibration(&desc, &r, NULL, NULL)) score_line("platt_ece", r.ece_width, r.signature);
}

static peft_status score_numbers(const pairs *p, number_metric metric) {
    static const char *const names[] = {"pearson", "spearman", "auc", "ece_width"};
    const char *name = names[metric];
    numbers n = {.metric = metric};
    double value = 0;
    char signature[64];
    peft_status status = one_reference(p, name);
    if (!status) status = numbers_open(p, &n);
    if (!status) status = numbers_score(&n, n.side[1], n.references, p->count, &value);
    snprintf(signature, sizeof(signature), "%s|n:%lld", name, (long long)p->count);
    if (metric == NUMBER_ECE)
        snprintf(signature, sizeof(signature), "calibration|n:%lld|bins:%d", (long long)p->count, sc.bins > 0
                 ? (int)sc.bins : 10);
    if (!status) score_line(name, value, signature);
    if (!status && metric == NUMBER_ECE) calibration_print(&n, p->count);
    if (!status) status = score_resampled(p, name, numbers_drawn, &n);
    numbers_free(&n);
    return status;
}

static peft_status score_pearson(const pairs *p) { return score_numbers(p, NUMBER_PEARSON); }
static peft_status score_spearman(const pairs *p) { return score_numbers(p, NUMBER_SPEARMAN); }
static peft_status score_auc(const pairs *p) { return score_numbers(p, NUMBER_AUC); }
static peft_status score_calibration(const pairs *p) { return score_numbers(p, NUMBER_ECE); }

// ---- predictions by themselves

static peft_status score_diversity(const pairs *p) {
    static const char *const names[] = {"distinct-1", "distinct-2", "distinct-3", "distinct-4"};
    peft_diversity_result r;
    peft_status status = peft_diversity(cli.ctx, p->predictions, p->count, false, &r);
    if (status) return status;
    for (int n = 0; n < 4; n++) score_line(names[n], r.distinct[n], r.signature);
    score_line("mean_words", r.mean_length, r.signature);
    score_line("median_words", r.median_length, r.signature);
    score_line("deviation", r.deviation, r.signature);
    score_line("shortest", (double)r.shortest, r.signature);
    score_line("longest", (double)r.longest, r.signature);
    score_line("vocabulary", (double)r.vocabulary, r.signature);
    return PEFT_OK;
}

static peft_status score_bias(const pairs *p) {
    int64_t groups = 0, counts[16] = {0};
    const peft_word_group *list = peft_gender_groups(&groups);
    double value = 0;
    peft_status status = peft_bias_representation(cli.ctx, p->predictions, p->count, list, groups, counts, &value);
    char signature[128] = "bias|representation";
    for (int64_t k = 0; k < groups && k < 16; k++) {
        size_t n = strlen(signature);
        snprintf(signature + n, sizeof(signature) - n, "|%s:%lld", list[k].name, (long long)counts[k]);
    }
    if (!status) score_line("bias", value, signature);
    return status;
}

static peft_status score_toxicity(const pairs *p) {
    if (!sc.words) {
        fprintf(stderr, "peft score: toxicity needs --words FILE\n");
        return PEFT_ERROR_ARGUMENT;
    }
    text_list words;
    int code = read_texts(sc.words, &words);
    if (code) {
        text_list_free(&words);
        return code == EXIT_MEMORY ? PEFT_ERROR_MEMORY : PEFT_ERROR_IO;
    }
    const peft_word_group group = {"words", (const char *const *)words.items, words.count};
    peft_toxicity_result r;
    peft_status status = peft_toxicity(&(peft_toxicity_desc){.context = cli.ctx, .texts = p->predictions, .count = p->count, .words = &group,
                                                             .scores = line_column(p, "toxicity")}, &r);
    if (!status) score_line("toxicity", r.toxic_fraction, r.signature);
    text_list_free(&words);
    return status;
}

// ---- the command

static const struct {
    const char *name;
    peft_status (*run)(const pairs *p);
    bool alone;  // without references and --baseline
} metrics[] = {{"rouge", score_rouge, false},           {"bleu", score_bleu, false},           {"chrf", score_chrf, false},
               {"chrf++", score_chrf_plus, false},      {"ter", score_ter, false},             {"nist", score_nist, false},
               {"meteor", score_meteor, false},         {"cider", score_cider, false},         {"coco_rouge", score_coco_rouge, false},
               {"coco_bleu", score_coco_bleu, false},   {"squad", score_squad, false},         {"answers", score_squad, false},
               {"accuracy", score_accuracy, false},     {"f1", score_f1, false},               {"mcc", score_mcc, false},
               {"pearson", score_pearson, false},       {"spearman", score_spearman, false},   {"auc", score_auc, false},
               {"calibration", score_calibration, false}, {"diversity", score_diversity, true}, {"bias", score_bias, true},
               {"toxicity", score_toxicity, true}};

// ---- files: lines, or records by their names or by what is in them; a value may be a list of texts

typedef struct column {
    peft__arena arena;
    const char **items;
    int64_t *ends, count, size, room;  // texts of line i: ends[i - 1] .. ends[i]; size: of all lines
} column;

static bool column_add(column *c, const char *text, size_t n) {
    if (c->size == c->room) {
        int64_t room = 2 * c->room + 64;
        const char **items = (const char **)realloc((void *)c->items, (size_t)room * sizeof(char *));
        if (!items) return false;
        c->items = items;
        c->room = room;
    }
    c->items[c->size] = peft__arena_strdup(&c->arena, text, n);
    return c->items[c->size++] != NULL;
}

static void column_free(column *c) {
    if (c->arena.ctx) peft__arena_free(&c->arena);
    free((void *)c->items);
    free(c->ends);
    memset(c, 0, sizeof(*c));
}

// The value that a record has under the first of the names that it knows.
static const peft__json *column_value(const peft__json *record, const char *const *names) {
    for (int k = 0; names[k]; k++) {
        const peft__json *v = peft__json_get(record, names[k]);
        const char *at = names[k], *end = at + strlen(at);
        if (!v) v = record;
        else at = end;
        for (bool first = true; v && at < end; first = false) v = peft__json_step(v, &at, end, first);
        // SQuAD's answers
        if (v && v->type == PEFT__JSON_OBJECT && peft__json_get(v, "text")) v = peft__json_get(v, "text");
        if (v && v != record) return v;
    }
    return NULL;
}

static int column_record(column *c, const char *path, int64_t line, const peft__json *record,
                         const char *const *names) {
    const peft__json *v = column_value(record, names);
    if (!v || v->type == PEFT__JSON_OBJECT || v->type == PEFT__JSON_NULL) {
        fprintf(stderr, "peft score: %s, record %lld has no text \"%s\"; its fields:", path, (long long)line,
                names[0]);
        for (const peft__json *f = record->type == PEFT__JSON_OBJECT ? record->child : NULL; f; f = f->next)
            fprintf(stderr, " %.*s", (int)f->key_length, f->key);
        fprintf(stderr, "\n");
        return EXIT_DATA;
    }
    bool list = v->type == PEFT__JSON_ARRAY;
    for (const peft__json *e = list ? v->child : v; e; e = list ? e->next : NULL) {
        peft__field f;
        memset(&f, 0, sizeof(f));
        peft__field_from_json(&f, e);
        if (e->type == PEFT__JSON_ARRAY || e->type == PEFT__JSON_OBJECT || e->type == PEFT__JSON_NULL ||
            memchr(f.text, 0, f.size)) {
            fprintf(stderr, "peft score: %s, record %lld: \"%s\" is not a text or a list of texts\n", path,
                    (long long)line, names[0]);
            return EXIT_DATA;
        }
        if (!column_add(c, f.text, f.size)) return EXIT_MEMORY;
    }
    c->ends[c->count++] = c->size;
    return EXIT_OK;
}

// Whether every line that is not blank is an object with such a field: a file of records that is named
// otherwise.
static bool column_is_records(char *const *lines, int64_t count, const char *const *names) {
    bool any = false, all = true;
    for (int64_t i = 0; i < count && all; i++) {
        peft__arena a;
        peft__json *record = NULL;
        const char *text = lines[i] + strspn(lines[i], " \t");
        if (!*text) continue;
        if (*text != '{') return false;
        peft__arena_init(&a, cli.ctx);
        all = !peft__json_parse(cli.ctx, &a, text, strlen(text), "", &record) && column_value(record, names);
        any = any || all;
        peft__arena_free(&a);
    }
    return any && all;
}

// JSON: an object per line, or an array of objects.
static int column_json(column *c, const char *path, char *text, size_t size, char *const *lines,
                       int64_t count, const char *const *names) {
    peft__json *root = NULL;
    int code = EXIT_OK;
    if (text[strspn(text, " \t\r\n")] == '[') {
        if (peft__json_parse(cli.ctx, &c->arena, text, size, path, &root)) return fail(PEFT_ERROR_FORMAT);
        if (!(c->ends = (int64_t *)malloc((root->length + 1) * sizeof(int64_t)))) return EXIT_MEMORY;
        for (const peft__json *v = root->child; v && !code; v = v->next)
            code = column_record(c, path, c->count + 1, v, names);
        return code;
    }
    for (int64_t i = 0; i < count && !code; i++) {
        if (!lines[i][strspn(lines[i], " \t")]) continue;
        if (peft__json_parse(cli.ctx, &c->arena, lines[i], strlen(lines[i]), path, &root)) {
            fprintf(stderr, "peft score: %s, line %lld: %s\n", path, (long long)i + 1, peft_error(cli.ctx));
            return EXIT_DATA;
        }
        code = column_record(c, path, c->count + 1, root, names);
    }
    return code;
}

static int column_table(column *c, const char *path, const char *name) {
    char pattern[256];
    peft_dataset *data;
    snprintf(pattern, sizeof(pattern), "{{%s}}", name);
    peft_status status = peft_dataset_load(&(peft_dataset_desc){.context = cli.ctx, .path = path,
                                                                .prompt = pattern, .completion = ""}, &data);
    if (status) return fail(status);
    int64_t n = peft_dataset_count(data);
    bool ok = (c->ends = (int64_t *)malloc((size_t)(n + 1) * sizeof(int64_t))) != NULL;
    for (; ok && c->count < n; c->ends[c->count++] = c->size)
        ok = column_add(c, peft_dataset_prompt(data, c->count), strlen(peft_dataset_prompt(data, c->count)));
    peft_dataset_destroy(data);
    return ok ? EXIT_OK : EXIT_MEMORY;
}

static bool suffix_is(const char *path, const char *const *suffixes) {
    for (int k = 0; suffixes[k]; k++) {
        size_t n = strlen(path), m = strlen(suffixes[k]), i = 0;
        while (n >= m && i < m && peft__lower(path[n - m + i]) == suffixes[k][i]) i++;
        if (n >= m && i == m) return true;
    }
    return false;
}

// names: of the field, the usual ones where the user names none; NULL behind the last.
static int column_read(const char *path, const char *field, const char *const *usual, column *c) {
    static const char *const json[] = {".jsonl", ".ndjson", ".json", NULL},
        *const table[] = {".csv", ".tsv", NULL};
    const char *const given[] = {field, NULL}, *const *names = field ? given : usual;
    memset(c, 0, sizeof(*c));
    peft__arena_init(&c->arena, cli.ctx);
    if (suffix_is(path, table)) return column_table(c, path, names[0]);
    size_t size = 0;
    int64_t count = 0;
    char *text = read_file(path, &size), *copy = text ? (char *)malloc(size + 1) : NULL, **lines = NULL;
    int code = text ? EXIT_OK : EXIT_DATA;
    size_t mark = text ? utf8_mark(text, size) : 0;
    if (!code && memchr(text, 0, size)) {
        fprintf(stderr, "peft score: %s: a NUL byte: not a text file\n", path);
        code = EXIT_DATA;
    }
    if (copy) memcpy(copy, text, size), copy[size] = 0;
    if (!code && (!copy || !(lines = split_lines(text + mark, size - mark, &count)))) code = EXIT_MEMORY;
    if (!code && (suffix_is(path, json) || field || column_is_records(lines, count, names))) {
        c->ends = (int64_t *)malloc((size_t)(count + 1) * sizeof(int64_t));
        bool array = copy[mark + strspn(copy + mark, " \t\r\n")] == '[';
        if (array) free(c->ends), c->ends = NULL;
        code = c->ends || array ? column_json(c, path, copy + mark, size - mark, lines, count, names)
               : EXIT_MEMORY;
    } else if (!code) {
        c->ends = (int64_t *)malloc((size_t)(count + 1) * sizeof(int64_t));
        for (int64_t i = 0; i < count && !code; i++) {
            code = c->ends && column_add(c, lines[i], strlen(lines[i])) ? EXIT_OK : EXIT_MEMORY;
            if (!code) c->ends[c->count++] = c->size;
        }
    }
    free(lines);
    free(text);
    free(copy);
    return code;
}

// Of predictions: one text a line.
static int column_single(const char *path, const column *c) {
    for (int64_t i = 0; i < c->count; i++)
        if (c->ends[i] != i + 1) {
            fprintf(stderr, "peft score: %s, record %lld: a prediction is one text, not a list\n", path,
                    (long long)i + 1);
            return EXIT_DATA;
        }
    return EXIT_OK;
}

static int same_count(const char *path, int64_t count, const column *c) {
    if (c->count == count) return EXIT_OK;
    fprintf(stderr, "peft score: %s has %lld texts, %s has %lld\n", sc.predictions, (long long)count, path,
            (long long)c->count);
    return EXIT_DATA;
}

// References of all files side by side. Where a list is shorter than another one its last text comes again,
// and an empty one is the empty text: SQuAD's question without an answer.
static int score_references(column *files, pairs *p) {
    for (int r = 0; r < sc.references.count; r++) {
        int64_t longest = 1, shortest = INT64_MAX, begin = 0;
        for (int64_t i = 0; i < p->count; begin = files[r].ends[i++]) {
            int64_t n = files[r].ends[i] - begin;
            longest = n > longest ? n : longest;
            shortest = n < shortest ? n : shortest;
            p->without += n == 0;
        }
        if (longest > 1000) {
            fprintf(stderr, "peft score: %s: %lld references of one line\n", sc.references.items[r],
                    (long long)longest);
            return EXIT_DATA;
        }
        p->uneven = p->uneven || (p->count > 0 && shortest != longest);
        p->per += (int)longest;
    }
    p->references = (const char **)calloc((size_t)p->count * (size_t)p->per + 1, sizeof(char *));
    if (!p->references) return EXIT_MEMORY;
    int at = 0;
    for (int r = 0; r < sc.references.count; r++) {
        int64_t longest = 1, begin = 0;
        for (int64_t i = 0; i < p->count; begin = files[r].ends[i++])
            longest = files[r].ends[i] - begin > longest ? files[r].ends[i] - begin : longest;
        begin = 0;
        for (int64_t i = 0; i < p->count; begin = files[r].ends[i++])
            for (int64_t k = 0, n = files[r].ends[i] - begin; k < longest; k++)
                p->references[i * p->per + at + k] = n ? files[r].items[begin + (k < n ? k : n - 1)] : "";
        at += (int)longest;
    }
    return EXIT_OK;
}

static int score_read(column *predictions, column *baseline, column *references, pairs *p) {
    static const char *const usual[] = {"prediction", NULL},
        *const usual_references[] = {"reference", "references", "answers", NULL};
    int code = column_read(sc.predictions, sc.field, usual, predictions);
    if (!code) code = column_single(sc.predictions, predictions);
    p->count = predictions->count;
    if (!code && sc.baseline) {
        code = column_read(sc.baseline, sc.field, usual, baseline);
        if (!code) code = column_single(sc.baseline, baseline);
        if (!code) code = same_count(sc.baseline, p->count, baseline);
    }
    for (int r = 0; r < sc.references.count && !code; r++) {
        const texts *fields = &sc.reference_fields;
        const char *field = fields->count == 0 ? NULL : fields->items[fields->count == 1 ? 0 : r];
        code = column_read(sc.references.items[r], field, usual_references, &references[r]);
        if (!code) code = same_count(sc.references.items[r], p->count, &references[r]);
    }
    p->predictions = predictions->items;
    p->baseline = sc.baseline ? baseline->items : NULL;
    return code ? code : score_references(references, p);
}

static int score_check(void) {
    char known[256] = "";
    for (int i = 0; i < COUNT(metrics); i++) snprintf(known + strlen(known), sizeof(known) - strlen(known), "%s%s", i ? " " : "", metrics[i].name);
    if (cli.rest.count < 1 || !sc.predictions) return wrong("give metrics (%s), --predictions FILE and --references FILE", known);
    for (int k = 0; k < cli.rest.count; k++) {
        int i = 0;
        while (i < COUNT(metrics) && strcmp(metrics[i].name, cli.rest.items[k]) != 0) i++;
        if (i == COUNT(metrics)) return wrong("there is no metric %s among %s", cli.rest.items[k], known);
        if (!metrics[i].alone && !sc.references.count) return wrong("%s needs --references FILE", metrics[i].name);
        if (metrics[i].alone && sc.baseline) return wrong("%s has no paired test: leave out --baseline", metrics[i].name);
    }
    if (sc.order != INT64_MIN && (sc.order < 1 || sc.order > PEFT_BLEU_ORDERS))
        return wrong("--max-order %lld is not 1..%d", (long long)sc.order, PEFT_BLEU_ORDERS);
    if (sc.char_order != INT64_MIN && (sc.char_order < 0 || sc.char_order > 16))
        return wrong("--char-order %lld is not 0..16", (long long)sc.char_order);
    if (sc.smooth_value < 0 || sc.beta < 0 || sc.alpha < 0 || sc.gamma < 0)
        return wrong("--smooth-value, --beta, --alpha and --gamma are not negative");
    if (sc.reference_fields.count > 1 && sc.reference_fields.count != sc.references.count)
        return wrong("--reference-field is given %d times for %d files: give it once, or once for each",
                     sc.reference_fields.count, sc.references.count);
    if (sc.bins != INT64_MIN && (sc.bins < 1 || sc.bins > 100000))
        return wrong("--bins %lld is not 1..100000", (long long)sc.bins);
    if (sc.samples < 0 || sc.bootstrap < 0 || sc.samples > INT32_MAX || sc.bootstrap > INT32_MAX) return wrong("--samples and --bootstrap are numbers of samples");
    if (choice_of(sc.tokenizer, bleu_tokenizers, COUNT(bleu_tokenizers)) < 0) return wrong("--tokenizer %s is not 13a, intl, char, zh or none", sc.tokenizer);
    if (choice_of(sc.smoothing, bleu_smoothings, COUNT(bleu_smoothings)) < 0) return wrong("--smoothing %s is not exp, floor, add-k or none", sc.smoothing);
    return EXIT_OK;
}

static int run_score(void) {
    int code = score_check();
    if (code) return code;
    column predictions = {0}, baseline = {0},
        *references = (column *)calloc((size_t)sc.references.count + 1, sizeof(column));
    pairs p = {0};
    code = references ? score_read(&predictions, &baseline, references, &p) : EXIT_MEMORY;
    if (!code && (sc.baseline || sc.bootstrap > 0) && p.count < PEFT_PAIRED_FEW && !cli.quiet)
        fprintf(stderr, "peft score: %lld lines are few: below %d neither p-values nor intervals mean much\n",
                (long long)p.count, PEFT_PAIRED_FEW);
    for (int k = 0; k < cli.rest.count && !code; k++)
        for (int i = 0; i < COUNT(metrics) && !code; i++)
            if (strcmp(metrics[i].name, cli.rest.items[k]) == 0) {
                if (p.without && metrics[i].run != score_squad && !metrics[i].alone) {
                    fprintf(stderr, "peft score: %s: %lld lines have an empty list of references\n",
                            metrics[i].name, (long long)p.without);
                    code = EXIT_DATA;
                    break;
                }
                peft_status status = metrics[i].run(&p);
                if (status) code = *peft_error(cli.ctx) ? fail(status) : exit_code_of(status);
            }
    if (!code) code = lines_write(&p);
    for (int k = 0; k < line_count; k++) free(line_columns[k].values);
    free((void *)p.references);
    column_free(&predictions);
    column_free(&baseline);
    for (int r = 0; references && r < sc.references.count; r++) column_free(&references[r]);
    free(references);
    return code;
}

#endif
