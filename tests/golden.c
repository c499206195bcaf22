// Compares peft.h with reference implementations:  build/golden [--threads N] [--simd NAME] [--again] CASE...
// A case is a folder of a model (case.json, golden.safetensors, model/, adapters/), a folder of metrics, a folder of templates (promptsource.jsonl,
// chat.jsonl), tokenizers.jsonl, or an nf4.safetensors; or a folder of models and adapters as golden_hf.h has them. Everything is read from the case. One line per
// comparison; what peft.h refuses is counted as skipped. --again: adapters are also saved, loaded again and compared.
#define _DEFAULT_SOURCE  // strdup
#define PEFT_IMPLEMENTATION
#include "peft.h"
#include <stdio.h>
#include <unistd.h>
#include "text.h"
#include "golden_metrics.h"
#include "golden_templates.h"

static int passed, failed, skipped;

static void report(bool ok, const char *name, double absolute, double relative) {
    printf("%-72s abs %.1e  rel %.1e  %s\n", name, absolute, relative, ok ? "ok" : "FAIL");
    if (ok) passed++;
    else failed++;
}

static void skip(const char *name, const char *why) {
    printf("%-72s skipped: %s\n", name, why);
    skipped++;
}

static void fail(peft_context *ctx, const char *name) {
    printf("%-72s FAIL: %s\n", name, peft_error(ctx));
    failed++;
}

// Largest difference, and that over the reference's largest magnitude. A NaN anywhere gives infinity.
static double difference(const float *got, const float *want, int64_t n, double *relative) {
    double largest = 0, magnitude = 0;
    for (int64_t i = 0; i < n; i++) {
        double d = fabs((double)got[i] - (double)want[i]);
        if (!(d <= 1e300)) d = INFINITY;
        largest = d > largest ? d : largest;
        magnitude = fabs((double)want[i]) > magnitude ? fabs((double)want[i]) : magnitude;
    }
    *relative = largest == 0 ? 0 : largest / magnitude;
    return largest;
}

enum { MAX_ROWS = 64, MAX_TOKENS = 65536 };

typedef struct run {
    peft_context *ctx;
    const char *folder, *label;  // label: what comparisons are called
    peft_model *model;
    peft_tape *tape;
    peft_archive *golden;
    const peft__json *root;
    peft_batch batch;
    int32_t source[MAX_TOKENS], decoder[MAX_TOKENS], labels[MAX_TOKENS];
    int64_t source_offsets[MAX_ROWS + 1], target_offsets[MAX_ROWS + 1], label_width;
    int64_t label_column[MAX_TOKENS];  // where in its padded row a label stood
} run;

static void name_of(char *out, const run *r, const char *format, const char *a, const char *b) {
    char rest[448];
    snprintf(rest, sizeof(rest), format, a, b);
    snprintf(out, 512, "%.60s: %s", r->label, rest);
}

// ---- the batch, without its padding

// T5: the decoder's input are the labels shifted right.
static int64_t read_labels(run *r, const peft__json *row, int64_t t) {
    int32_t previous = peft_model_config(r->model)->decoder_start_id;
    int64_t column = 0;
    for (const peft__json *x = row->child; x && t < MAX_TOKENS; x = x->next, column++) {
        if (x->number == -100) continue;
        r->decoder[t] = previous;
        r->label_column[t] = column;
        previous = r->labels[t++] = (int32_t)x->number;
    }
    return t;
}

// Decoder-only: position i predicts label i + 1.
static int64_t read_tokens(run *r, const peft__json *ids, const peft__json *mask, const peft__json *labels, int64_t t) {
    const peft__json *x = ids->child, *y = mask->child, *l = labels->child ? labels->child->next : NULL;
    int64_t column = 0;
    for (; x && y && t < MAX_TOKENS; x = x->next, y = y->next, l = l ? l->next : NULL, column++) {
        if (y->number == 0) continue;
        r->decoder[t] = (int32_t)x->number;
        r->label_column[t] = column;
        r->labels[t++] = l ? (int32_t)l->number : -100;
    }
    return t;
}

static bool read_batch(run *r) {
    const peft__json *ids = peft__json_get(r->root, "input_ids"), *mask = peft__json_get(r->root, "attention_mask");
    const peft__json *labels = peft__json_get(r->root, "labels");
    if (!ids || !mask || !labels || ids->length > MAX_ROWS) return false;
    const peft__json *i = ids->child, *m = mask->child, *l = labels->child;
    int64_t n = 0, s = 0, t = 0;
    bool pairs = peft_model_config(r->model)->encoder_decoder;
    for (; i && m && l; i = i->next, m = m->next, l = l->next, n++) {
        const peft__json *x = i->child, *y = m->child;
        for (; x && y && s < MAX_TOKENS && pairs; x = x->next, y = y->next)
            if (y->number != 0) r->source[s++] = (int32_t)x->number;
        t = pairs ? read_labels(r, l, t) : read_tokens(r, i, m, l, t);
        r->label_width = (int64_t)(pairs ? l : i)->length;
        r->source_offsets[n + 1] = s;
        r->target_offsets[n + 1] = t;
    }
    peft_batch b = {n, r->source, r->source_offsets, r->decoder, r->labels, r->target_offsets};
    r->batch = b;
    return n > 0;
}

// ---- comparisons

static void compare_logits(run *r, const char *key, const peft_active_adapter *active, int count) {
    char name[512];
    name_of(name, r, "%s%s", key, "");
    const peft_tensor *want = peft_archive_find(r->golden, key);
    if (!want || !want->data) {
        skip(name, "not in the case");
        return;
    }
    peft_tape_reset(r->tape, 0);
    peft_tape_inference(r->tape, true);
    peft_tensor *got = peft_model_logits(r->model, r->tape, peft_model_hidden(r->model, r->tape, &r->batch, active, count), active, count);
    if (!got) {
        fail(r->ctx, name);
        return;
    }
    // every sequence may have the rows of virtual tokens first
    int64_t v = got->cols, rows = got->rows, extra = (rows - r->target_offsets[r->batch.count]) / r->batch.count, width = r->label_width + extra;
    if (want->rows != r->batch.count || want->cols != width * v) {
        printf("%-72s FAIL: shape [%d, %d]\n", name, (int)want->rows, (int)want->cols);
        failed++;
        return;
    }
    float *flat = (float *)malloc((size_t)(rows * v) * sizeof(float)), *to = flat;
    for (int64_t e = 0; e < r->batch.count; e++)
        for (int64_t t = r->target_offsets[e] - extra; t < r->target_offsets[e + 1]; t++, to += v) {
            int64_t column = t < r->target_offsets[e] ? t - (r->target_offsets[e] - extra) : r->label_column[t] + extra;
            memcpy(to, (const float *)want->data + (e * width + column) * v, (size_t)v * sizeof(float));
        }
    double relative, absolute = difference((const float *)got->data, flat, rows * v, &relative);
    report(relative <= 2e-4, name, absolute, relative);
    free(flat);
}

static void compare_number(const char *name, double got, double want, double tolerance) {
    double absolute = fabs(got - want), relative = absolute / (fabs(want) > 1e-12 ? fabs(want) : 1e-12);
    report(relative <= tolerance, name, absolute, relative);
}

static void compare_ids(const char *name, const peft_ids *got, const peft__json *want) {
    int64_t i = 0, wrong = 0;
    for (const peft__json *v = want->child; v; v = v->next, i++) wrong += i >= got->count || got->data[i] != (int32_t)v->number;
    if (i != got->count) wrong++;
    report(wrong == 0, name, (double)wrong, 0);
    if (!wrong) return;
    printf("    got ");
    for (i = 0; i < got->count; i++) printf(" %d", got->data[i]);
    printf("\n");
}

// HF peft's parameters carry the adapter's name, "default", which its files leave out.
static void gradient_key(char *key, size_t size, const char *prefix, const char *tensor, bool peft_names) {
    const char *mark = peft_names ? strstr(tensor, "lora_A.") : NULL, *encoder = "prompt_encoder.";
    if (peft_names && !mark) mark = strstr(tensor, "lora_B.");
    if (mark) snprintf(key, size, "%s%.*sdefault.%s", prefix, (int)(mark + 7 - tensor), tensor, mark + 7);
    else if (peft_names && strstr(tensor, "lora_magnitude_vector")) snprintf(key, size, "%s%s.default.weight", prefix, tensor);
    else if (peft_names && strstr(tensor, "ia3_l")) snprintf(key, size, "%s%s.default", prefix, tensor);
    else if (peft_names && strcmp(tensor, "prompt_embeddings") == 0) snprintf(key, size, "%sprompt_encoder.default.embedding.weight", prefix);
    else if (peft_names && strncmp(tensor, encoder, strlen(encoder)) == 0) snprintf(key, size, "%sprompt_encoder.default.%s", prefix, tensor + strlen(encoder));
    else snprintf(key, size, "%s%s", prefix, tensor);
    char *newer = strstr(key, ".base_layer.");  // peft 0.5 had no such part in its names
    if (newer) memmove(newer, newer + 11, strlen(newer + 11) + 1);
}

static void copy_gradients(peft_tensor *const *tensors, int64_t count, float **out) {
    for (int64_t i = 0; i < count; i++) {
        size_t n = (size_t)(tensors[i]->rows * tensors[i]->cols) * sizeof(float);
        out[i] = (float *)realloc(out[i], n);
        memcpy(out[i], tensors[i]->grad, n);
    }
}

// first[i], last[i]: our gradients of the first and of the last step; last NULL: of one step only. A case whose own second loss
// does not follow from its gradients (`other_step`) holds those of its last step, as their storage was reused: they must equal
// ours of that step, as far as seven steps of Adam before it allow.
static void compare_gradients(run *r, peft_tensor *const *tensors, int64_t count, float *const *first, float *const *last, const char *prefix,
                              bool peft_names, bool other_step) {
    for (int64_t i = 0; i < count; i++) {
        char key[400], name[512];
        gradient_key(key, sizeof(key), prefix, tensors[i]->name, peft_names);
        name_of(name, r, other_step ? "%s, last step%s" : "%s%s", key, "");
        const peft_tensor *want = peft_archive_find(r->golden, key);
        int64_t n = tensors[i]->rows * tensors[i]->cols;
        if (!want || !want->data) {
            skip(name, "not in the case");
        } else if (want->rows * want->cols != n) {
            printf("%-72s FAIL: shape [%d, %d]\n", name, (int)want->rows, (int)want->cols);
            failed++;
        } else {
            const float *got = other_step && last ? last[i] : first[i];
            double relative = 0, absolute = difference(got, (const float *)want->data, n, &relative);
            report(relative <= (other_step ? 1e-2 : 2e-4), name, absolute, relative);
        }
    }
}

static peft_tensor *loss_of(run *r, const peft_adapter *adapter) {
    peft_active_adapter active = {adapter, 1, 0, 0};
    peft_tape_reset(r->tape, 0);
    peft_tape_inference(r->tape, false);
    return peft_model_loss(r->model, r->tape, &r->batch, &active, adapter ? 1 : 0, 0);
}

static bool loss_without_gradient(run *r, const peft_adapter *adapter, double *loss) {
    peft_active_adapter active = {adapter, 1, 0, 0};
    peft_tape_reset(r->tape, 0);
    peft_tape_inference(r->tape, true);
    const peft_tensor *y = peft_model_loss(r->model, r->tape, &r->batch, &active, adapter ? 1 : 0, 0);
    if (y) *loss = (double)((const float *)y->data)[0];
    return y != NULL;
}

static peft_optimizer *optimizer_of(run *r, peft_tensor **tensors, int64_t count, const peft__json *settings) {
    peft_optimizer_desc d;
    memset(&d, 0, sizeof(d));
    d.context = r->ctx;
    d.tensors = tensors;
    d.count = count;
    d.weight_decay = (float)peft__json_double(settings, "weight_decay", 0);
    d.epsilon = (float)peft__json_double(settings, "eps", 1e-8);
    const peft__json *betas = peft__json_get(settings, "betas");
    if (betas && betas->length == 2) {
        d.beta1 = (float)betas->child->number;
        d.beta2 = (float)betas->child->next->number;
    }
    peft_optimizer *o = NULL;
    if (peft_optimizer_create(&d, &o)) fail(r->ctx, "optimizer");
    return o;
}

// ---- full fine-tuning

static void run_full(run *r) {
    const peft__json *s = peft__json_get(r->root, "full_ft"), *steps = peft__json_get(s, "loss_and_gradnorm");
    if (!s || !steps) return;
    int64_t count = peft_model_tensor_count(r->model), k = 0;
    peft_tensor **tensors = (peft_tensor **)malloc((size_t)count * sizeof(peft_tensor *));
    for (int64_t i = 0; i < count; i++) tensors[i] = peft_model_tensor(r->model, i);
    peft_optimizer *o = optimizer_of(r, tensors, count, s);
    char name[512], number[32];
    for (const peft__json *v = o ? steps->child : NULL; v; v = v->next, k++) {
        double want = v->child->number, norm = v->child->next->number;
        peft_tensor *loss = loss_of(r, NULL);
        double got = loss ? (double)((float *)loss->data)[0] : 0;
        if (!loss || peft_backward(r->tape, loss)) {
            fail(r->ctx, "full_ft");
            break;
        }
        if (k == 0) {
            float **first = (float **)calloc((size_t)count, sizeof(float *));
            copy_gradients(tensors, count, first);
            compare_gradients(r, tensors, count, first, NULL, "grad.", false, false);
            for (int64_t i = 0; i < count; i++) free(first[i]);
            free(first);
        }
        snprintf(number, sizeof(number), "%d", (int)k);
        name_of(name, r, "full_ft step %s loss%s", number, "");
        compare_number(name, got, want, 1e-3);
        name_of(name, r, "full_ft step %s gradient norm%s", number, "");
        // Only the first norm is well conditioned: after Adam's steps the portable and the SIMD paths differ by 1 % among themselves.
        compare_number(name, peft_optimizer_clip(o, peft__json_double(s, "clip", 0)), norm, k == 0 ? 1e-4 : 3e-2);
        peft_optimizer_step(o, (float)peft__json_double(s, "lr", 1e-3));
    }
    double loss = 0;
    name_of(name, r, "full_ft final loss%s%s", "", "");
    if (loss_without_gradient(r, NULL, &loss)) compare_number(name, loss, peft__json_double(s, "final_loss", 0), 1e-3);
    peft_optimizer_destroy(o);
    free(tensors);
}

// ---- generation

static void generate(run *r, const char *what, const peft__json *want, peft_generate_desc d, const peft_adapter *adapter) {
    char name[512];
    name_of(name, r, "generate %s%s", what, "");
    const peft__json *g = peft__json_get(r->root, "generate"), *prompt = peft__json_get(g, "input_ids");
    if (!want || !prompt || !prompt->child) return;
    int32_t ids[4096];
    int64_t n = 0;
    for (const peft__json *v = prompt->child->child; v && n < 4096; v = v->next) ids[n++] = (int32_t)v->number;
    peft_ids out;
    memset(&out, 0, sizeof(out));
    d.model = r->model;
    d.adapter = adapter;
    d.max_new_tokens = peft__json_int(g, "max_new_tokens", 12);
    if (peft_generate(&d, ids, n, &out)) fail(r->ctx, name);
    else compare_ids(name, &out, want);
    peft_ids_free(r->ctx, &out);
}

// Beam search with other prompts and settings, each with its answer.
static void run_beams(run *r, const peft__json *list) {
    int i = 0;
    for (const peft__json *b = list ? list->child : NULL; b; b = b->next, i++) {
        char name[512], what[32];
        int32_t ids[4096];
        int64_t n = 0;
        const peft__json *prompt = peft__json_get(b, "input_ids");
        peft_ids out;
        peft_generate_desc d;
        memset(&out, 0, sizeof(out));
        memset(&d, 0, sizeof(d));
        for (const peft__json *v = prompt ? prompt->child : NULL; v && n < 4096; v = v->next) ids[n++] = (int32_t)v->number;
        d.model = r->model;
        d.beams = peft__json_int(b, "beams", 1);
        d.max_new_tokens = peft__json_int(b, "max_new_tokens", 12);
        d.length_penalty = (float)peft__json_double(b, "length_penalty", 1);
        d.early_stopping = peft__json_bool(b, "early_stopping", false);
        snprintf(what, sizeof(what), "beams %d", i + 1);
        name_of(name, r, "generate %s%s", what, "");
        if (peft_generate(&d, ids, n, &out)) fail(r->ctx, name);
        else compare_ids(name, &out, peft__json_get(b, "ids"));
        peft_ids_free(r->ctx, &out);
    }
}

static void run_generate(run *r) {
    const peft__json *g = peft__json_get(r->root, "generate");
    peft_generate_desc greedy, beam4, beam3, norepeat;
    memset(&greedy, 0, sizeof(greedy));
    beam4 = beam3 = norepeat = greedy;
    beam4.beams = 4;
    beam4.early_stopping = true;
    beam3.beams = 3;
    beam3.length_penalty = 0.6f;
    norepeat.no_repeat_ngram = 2;
    norepeat.repetition_penalty = 1.3f;
    generate(r, "greedy", peft__json_get(g, "greedy"), greedy, NULL);
    generate(r, "beam4", peft__json_get(g, "beam4"), beam4, NULL);
    generate(r, "beam3_lp", peft__json_get(g, "beam3_lp"), beam3, NULL);
    generate(r, "greedy_norepeat3", peft__json_get(g, "greedy_norepeat3"), norepeat, NULL);
    run_beams(r, peft__json_get(g, "beams"));
}

// ---- adapters

// Whether one AdamW step by the case's gradients does not lead to the case's own second loss.
static bool gradients_of_other_step(run *r, const peft_adapter *a, peft_tensor **tensors, int64_t count, const char *prefix, const peft__json *s) {
    const peft__json *losses = peft__json_get(s, "losses");
    if (!losses || losses->length < 2) return false;
    double want = losses->child->next->number, got = 0;
    float lr = (float)peft__json_double(s, "lr", 1e-2), **kept = (float **)malloc((size_t)count * sizeof(float *));
    for (int64_t i = 0; i < count; i++) {
        int64_t n = tensors[i]->rows * tensors[i]->cols;
        float *p = (float *)tensors[i]->data;
        char key[512];
        gradient_key(key, sizeof(key), prefix, tensors[i]->name, true);
        const peft_tensor *g = peft_archive_find(r->golden, key);
        kept[i] = (float *)malloc((size_t)n * sizeof(float));
        memcpy(kept[i], p, (size_t)n * sizeof(float));
        for (int64_t k = 0; g && g->data && k < n; k++) {
            float v = ((const float *)g->data)[k];
            p[k] -= lr * v / (fabsf(v) + 1e-8f);
        }
    }
    // evaluated on a tape of its own: the caller has not used its gradients yet
    peft_tape *mine = r->tape, *other = NULL;
    bool ok = peft_tape_create(r->ctx, &other) == PEFT_OK;
    r->tape = other;
    ok = ok && loss_without_gradient(r, a, &got);
    r->tape = mine;
    peft_tape_destroy(other);
    for (int64_t i = 0; i < count; i++) {
        memcpy(tensors[i]->data, kept[i], (size_t)(tensors[i]->rows * tensors[i]->cols) * sizeof(float));
        free(kept[i]);
    }
    free(kept);
    return ok && fabs(got - want) > 1e-4 * want;
}

// An adapter as its training began: the file of step 0; where that holds only what an encoder made, the encoder's own first values.
static peft_status load_start(run *r, const char *method, peft_adapter **out) {
    char path[1024], key[512], name[440];
    snprintf(path, sizeof(path), "%s/adapters/%s/step0", r->folder, method);
    peft_status status = peft_adapter_load(r->model, path, out);
    snprintf(key, sizeof(key), "%s.init.prompt_encoder.default.embedding.weight", method);
    if (status || !peft_archive_find(r->golden, key)) return status;
    peft_adapter_desc d = *peft_adapter_settings(*out);
    peft_adapter *made = NULL;
    status = peft_adapter_create(&d, &made);
    peft_adapter_destroy(*out);
    *out = made;
    snprintf(name, sizeof(name), "%s.init.", method);
    for (int64_t i = 0; !status && i < peft_adapter_tensor_count(made); i++) {
        peft_tensor *t = peft_adapter_tensor(made, i);
        gradient_key(key, sizeof(key), name, t->name, true);
        const peft_tensor *w = peft_archive_find(r->golden, key);
        if (!w || w->rows * w->cols != t->rows * t->cols) return peft__fail(r->ctx, PEFT_ERROR_MISSING, "the case lacks %s", key);
        memcpy(t->data, w->data, (size_t)(t->rows * t->cols) * sizeof(float));
    }
    return status;
}

static bool same_json(const peft__json *a, const peft__json *b);

static bool holds(const peft__json *list, const peft__json *v) {
    for (const peft__json *e = list->child; e; e = e->next)
        if (same_json(e, v)) return true;
    return false;
}

// Lists are sets: HF writes those of names in the order of a hash.
static bool same_json(const peft__json *a, const peft__json *b) {
    if (!a || !b || a->type != b->type) return false;
    if (a->type == PEFT__JSON_STRING) return a->length == b->length && memcmp(a->string, b->string, a->length) == 0;
    if (a->type == PEFT__JSON_NUMBER) return a->number == b->number;
    if (a->type != PEFT__JSON_ARRAY && a->type != PEFT__JSON_OBJECT) return true;
    const peft__json *x = a->child, *y = b->child;
    if (a->type == PEFT__JSON_ARRAY) {
        for (; x; x = x->next)
            if (!holds(b, x)) return false;
        for (; y; y = y->next)
            if (!holds(a, y)) return false;
        return true;
    }
    for (; x && y; x = x->next, y = y->next)
        if (!same_json(x, y)) return false;
    return !x && !y;
}

// What only names the library, what only matters to what has no value, and where the base lies.
static bool is_aside(const char *key) {
    static const char *const names[] = {"peft_version", "megatron_core", "qalora_group_size", "base_model_name_or_path"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (strcmp(key, names[i]) == 0) return true;
    return false;
}

static bool says_nothing(const peft__json *v) {
    return v->type == PEFT__JSON_NULL || (v->type == PEFT__JSON_BOOL && !v->boolean) ||
           ((v->type == PEFT__JSON_ARRAY || v->type == PEFT__JSON_OBJECT) && !v->child);
}

// Every key of HF's adapter_config.json is in ours, with the same value, unless HF says nothing with it.
static void compare_config(run *r, const char *method, const char *ours) {
    char path[1024], name[512], *texts[2] = {NULL, NULL};
    const char *files[2] = {path, ours};
    peft__json *roots[2] = {NULL, NULL};
    peft__arena arena;
    peft__arena_init(&arena, r->ctx);
    snprintf(path, sizeof(path), "%s/adapters/%s/step8/adapter_config.json", r->folder, method);
    name_of(name, r, "%s adapter_config.json%s", method, "");
    bool ok = true;
    int wrong = 0;
    for (int i = 0; i < 2 && ok; i++) {
        size_t n = 0;
        ok = peft__read_all(r->ctx, files[i], &texts[i], &n) == PEFT_OK && peft__json_parse(r->ctx, &arena, texts[i], n, files[i], &roots[i]) == PEFT_OK;
    }
    for (const peft__json *v = ok ? roots[0]->child : NULL; v; v = v->next)
        if (!is_aside(v->key) && !same_json(v, peft__json_get(roots[1], v->key)) &&
            !(says_nothing(v) && !peft__json_get(roots[1], v->key))) {
            printf("    differs: %s\n", v->key);
            wrong++;
        }
    if (ok) report(wrong == 0, name, wrong, 0);
    else fail(r->ctx, name);
    peft__free(r->ctx, texts[0]);
    peft__free(r->ctx, texts[1]);
    peft__arena_free(&arena);
}

// A tensor by the name that peft 0.5 gave it: since 0.7 the biases of modules with a LoRA have "base_layer" in theirs.
static const peft_tensor *find_saved(const peft_archive *file, const char *name) {
    const peft_tensor *t = peft_archive_find(file, name);
    size_t n = strlen(name);
    char newer[512];
    if (t || n < 5 || strcmp(name + n - 5, ".bias") != 0) return t;
    snprintf(newer, sizeof(newer), "%.*s.base_layer.bias", (int)(n - 5), name);
    return peft_archive_find(file, newer);
}

enum { MAX_LOSSES = 64 };

// The numbers of the file that an adapter is saved in. NULL: failed.
static float *saved_numbers(run *r, const peft_adapter *a, int64_t *count) {
    char path[600];
    peft_archive *file = NULL;
    float *x = NULL;
    snprintf(path, sizeof(path), "%s/adapter_model.safetensors", scratch_folder());
    *count = 0;
    if (peft_adapter_save(a, scratch_folder()) == PEFT_OK && peft_archive_open(r->ctx, path, &file) == PEFT_OK) {
        for (int64_t i = 0; i < peft_archive_count(file); i++) *count += peft__size(peft_archive_at(file, i));
        x = (float *)malloc((size_t)*count * sizeof(float));
        for (int64_t i = 0, at = 0; x && i < peft_archive_count(file); i++) {
            const peft_tensor *t = peft_archive_at(file, i);
            memcpy(x + at, t->data, (size_t)peft__size(t) * sizeof(float));
            at += peft__size(t);
        }
    }
    peft_archive_close(file);
    remove_scratch();
    return x;
}

// How far the files of two adapters are apart, squared: of an encoded prompt, what the encoder makes. -1: failed.
static double squared_distance(run *r, const peft_adapter *a, const peft_adapter *b) {
    int64_t n, m;
    float *x = saved_numbers(r, a, &n), *y = saved_numbers(r, b, &m);
    double sum = x && y && n == m ? 0 : -1;
    for (int64_t k = 0; sum >= 0 && k < n; k++) sum += ((double)x[k] - (double)y[k]) * ((double)x[k] - (double)y[k]);
    free(x);
    free(y);
    return sum;
}

// The same steps from a start that is off by one rounding error: their losses, and how far from `ours` they end, squared; -1: failed.
static double perturbed_losses(run *r, const char *method, const peft__json *s, const peft_adapter *ours, int pattern, double *losses,
                               int64_t steps) {
    peft_adapter *a = NULL;
    if (load_start(r, method, &a)) return -1;
    int64_t count = peft_adapter_tensor_count(a);
    peft_tensor **tensors = (peft_tensor **)malloc((size_t)count * sizeof(peft_tensor *));
    for (int64_t i = 0; i < count; i++) {
        tensors[i] = peft_adapter_tensor(a, i);
        float *x = (float *)tensors[i]->data;
        for (int64_t k = 0; k < tensors[i]->rows * tensors[i]->cols; k++) x[k] *= (k >> pattern) % 2 ? 1.0000001f : 0.9999999f;
    }
    peft_optimizer *o = optimizer_of(r, tensors, count, s);
    bool ok = o != NULL;
    for (int64_t k = 0; ok && k < steps; k++) {
        peft_tensor *loss = loss_of(r, a);
        if (loss) losses[k] = (double)((float *)loss->data)[0];
        ok = loss && peft_backward(r->tape, loss) == PEFT_OK;
        if (ok) peft_optimizer_step(o, (float)peft__json_double(s, "lr", 1e-2));
    }
    ok = ok && loss_without_gradient(r, a, &losses[steps]);
    double apart = ok ? squared_distance(r, a, ours) : -1;
    peft_optimizer_destroy(o);
    peft_adapter_destroy(a);
    free(tensors);
    return apart;
}

// What one rounding error at the start makes, the most of four trials: of our losses, or of those before, to chance[], and of the trained
// adapter, squared. -1: failed.
static double chance_of(run *r, const char *method, const peft__json *s, const peft_adapter *a, const double *losses, int64_t steps,
                        double *chance) {
    double other[MAX_LOSSES] = {0}, apart = 0;
    for (int pattern = 0; pattern < 4; pattern++) {
        double d = perturbed_losses(r, method, s, a, pattern, other, steps);
        if (d < 0) return -1;
        apart = fmax(apart, d);
        for (int64_t i = 0; i <= steps; i++) chance[i] = fmax(fmax(chance[i], i ? chance[i - 1] : 0), fabs(other[i] - losses[i]));
    }
    return apart;
}

// losses[k] before step k, losses[steps] after all, within 1e-3 of the reference's; or, where training is ill conditioned, within
// four times what chance_of measures. Returns what it returns; -1 where it was not needed.
static double compare_losses(run *r, const char *method, const peft__json *s, const peft_adapter *a, const double *losses, int64_t steps) {
    double chance[MAX_LOSSES] = {0}, apart = -1;
    const peft__json *v = peft__json_get(s, "losses")->child;
    for (int64_t k = 0; k <= steps; k++, v = v ? v->next : NULL) {
        char name[512], number[96];
        double want = k < steps ? v->number : peft__json_double(s, "loss8", 0), off = fabs(losses[k] - want);
        if (off > 1e-3 * fabs(want) && apart < 0) apart = chance_of(r, method, s, a, losses, steps, chance);
        double tolerance = fmax(1e-3 * fabs(want), 4 * chance[k]);
        snprintf(number, sizeof(number), "%d", (int)k);
        if (tolerance > 1e-3 * fabs(want))
            snprintf(number, sizeof(number), "%d, within %.0e: rounding moves it by %.0e", (int)k, tolerance, chance[k]);
        name_of(name, r, k < steps ? "%s loss before step %s" : "%s loss after step %s", method, number);
        report(off <= tolerance, name, off, off / fmax(fabs(want), 1e-12));
    }
    return apart;
}

// What we save after the steps, beside what HF saved. `chance`: what chance_of returned; -1: it was not needed.
static void compare_saved(run *r, const peft_adapter *a, const char *method, const peft__json *s, const double *losses, int64_t steps,
                          double chance) {
    char path[1024], name[512];
    snprintf(path, sizeof(path), "%s/adapters/%s/step8/adapter_model.safetensors", r->folder, method);
    peft_archive *want = NULL, *start = NULL, *got = NULL;
    name_of(name, r, "%s adapter after the steps%s", method, "");
    bool ok = peft_archive_open(r->ctx, path, &want) == PEFT_OK;
    snprintf(path, sizeof(path), "%s/adapters/%s/step0/adapter_model.safetensors", r->folder, method);
    ok = ok && peft_archive_open(r->ctx, path, &start) == PEFT_OK && peft_adapter_save(a, scratch_folder()) == PEFT_OK;
    snprintf(path, sizeof(path), "%s/adapter_model.safetensors", scratch_folder());
    ok = ok && peft_archive_open(r->ctx, path, &got) == PEFT_OK;
    if (!ok) fail(r->ctx, name);
    double apart = 0, moved = 0;
    int64_t matched = 0, wanted = 0;
    for (int64_t i = 0; ok && i < peft_archive_count(want); i++) {
        const peft_tensor *w = peft_archive_at(want, i), *t = find_saved(got, w->name), *z = peft_archive_find(start, w->name);
        if (peft__is_mask_buffer(w->name)) continue;  // no parameters
        wanted++;
        if (!t || !z || t->rows != w->rows || t->cols != w->cols || t->type != w->type || t->rank != w->rank) continue;
        for (int64_t k = 0; k < t->rows * t->cols; k++) {
            double d = (double)((const float *)t->data)[k] - (double)((const float *)w->data)[k];
            double m = (double)((const float *)w->data)[k] - (double)((const float *)z->data)[k];
            apart += d * d;
            moved += m * m;
        }
        matched++;
    }
    name_of(name, r, "%s keys, shapes and types of the file%s", method, "");
    if (ok) report(matched == wanted && matched == peft_archive_count(got), name, (double)(wanted - matched), 0);
    peft_archive_close(start);
    peft_archive_close(want);
    peft_archive_close(got);
    snprintf(path, sizeof(path), "%s/adapter_config.json", scratch_folder());
    if (ok) compare_config(r, method, path);
    remove_scratch();
    // Adam's steps of fixed length magnify rounding where a gradient passes zero: compared with how far the steps went, or
    // with four times the distance that a rounding error makes where that is more.
    double own[MAX_LOSSES] = {0};
    if (ok && apart > 0.01 * moved && chance < 0) chance = chance_of(r, method, s, a, losses, steps, own);
    name_of(name, r, "%s adapter after the steps%s", method, "");
    if (ok) report(apart <= fmax(0.01 * moved, 16 * chance), name, sqrt(apart), sqrt(apart / moved));
}

// HF peft 0.5 merges IA3 into weights and forgets the modules' biases, so that its merged model is another than the unmerged one. We
// scale them; to compare with the case they are put back.
static void leave_biases(run *r, peft_adapter *a) {
    for (int64_t i = 0; i < a->backup_count; i++) {
        peft_tensor *t = &r->model->tensors[a->backups[i].tensor];
        if (peft__ends_with(t->name, ".bias")) memcpy(t->data, a->backups[i].before.data, (size_t)(t->rows * t->cols) * sizeof(float));
    }
}

static void run_adapter(run *r, const char *method, const peft__json *s) {
    char path[1024], name[512], key[128];
    double got_losses[MAX_LOSSES];
    peft_adapter *a = NULL;
    name_of(name, r, "%s load%s", method, "");
    peft_status status = load_start(r, method, &a);
    if (status == PEFT_ERROR_UNSUPPORTED) {
        skip(name, peft_error(r->ctx));
        return;
    }
    if (status) {
        fail(r->ctx, name);
        return;
    }
    peft_active_adapter active = {a, 1, 0, 0};
    name_of(name, r, "%s trainable parameters%s", method, "");
    compare_number(name, (double)peft_adapter_parameter_count(a), peft__json_double(s, "trainable", 0), 0);
    snprintf(key, sizeof(key), "%s.logits", method);
    compare_logits(r, key, &active, 1);
    int64_t count = peft_adapter_tensor_count(a), k = 0;
    peft_tensor **tensors = (peft_tensor **)malloc((size_t)count * sizeof(peft_tensor *));
    for (int64_t i = 0; i < count; i++) tensors[i] = peft_adapter_tensor(a, i);
    float **first = (float **)calloc((size_t)count, sizeof(float *)), **last = (float **)calloc((size_t)count, sizeof(float *));
    bool other_step = false;
    peft_optimizer *o = optimizer_of(r, tensors, count, s);
    const peft__json *losses = peft__json_get(s, "losses");
    for (const peft__json *v = o && losses ? losses->child : NULL; v; v = v->next, k++) {
        peft_tensor *loss = loss_of(r, a);
        double got = loss ? (double)((float *)loss->data)[0] : 0;
        if (!loss || peft_backward(r->tape, loss)) {
            fail(r->ctx, method);
            break;
        }
        snprintf(key, sizeof(key), "%s.grad.", method);
        if (k == 0) other_step = gradients_of_other_step(r, a, tensors, count, key, s);
        copy_gradients(tensors, count, k == 0 ? first : last);
        if (k < MAX_LOSSES) got_losses[k] = got;
        peft_optimizer_step(o, (float)peft__json_double(s, "lr", 1e-2));
    }
    peft_optimizer_destroy(o);
    snprintf(key, sizeof(key), "%s.grad.", method);
    if (k > 1) compare_gradients(r, tensors, count, first, last, key, true, other_step);
    for (int64_t i = 0; i < count; i++) {
        free(first[i]);
        free(last[i]);
    }
    free(first);
    free(last);
    double chance = 0;
    if (k < MAX_LOSSES && loss_without_gradient(r, a, &got_losses[k])) chance = compare_losses(r, method, s, a, got_losses, k);
    compare_saved(r, a, method, s, got_losses, k, chance);
    peft_adapter_destroy(a);
    free(tensors);
    // the logits of the reference's own step 8, apart from how far our steps drift
    snprintf(path, sizeof(path), "%s/adapters/%s/step8", r->folder, method);
    name_of(name, r, "%s load step8%s", method, "");
    if (peft_adapter_load(r->model, path, &a)) {
        fail(r->ctx, name);
        return;
    }
    active.adapter = a;
    snprintf(key, sizeof(key), "%s.logits8", method);
    compare_logits(r, key, &active, 1);
    peft_generate_desc d;
    memset(&d, 0, sizeof(d));
    snprintf(key, sizeof(key), "%s greedy8", method);
    generate(r, key, peft__json_get(s, "greedy8"), d, a);
    snprintf(key, sizeof(key), "%s.merged_logits8", method);
    if (peft_archive_find(r->golden, key)) {
        if (peft_adapter_merge(a, 1)) fail(r->ctx, key);
        if (peft_adapter_settings(a)->method == PEFT_IA3) leave_biases(r, a);
        compare_logits(r, key, NULL, 0);
        if (peft_adapter_unmerge(a)) fail(r->ctx, key);
    }
    peft_adapter_destroy(a);
}

// ---- a model's folder

static bool load_model(run *r) {
    char path[1024];
    snprintf(path, sizeof(path), "%s/model", r->folder);
    peft_model_desc d;
    memset(&d, 0, sizeof(d));
    d.context = r->ctx;
    d.path = path;
    peft_status status = peft_model_load(&d, &r->model);
    if (status == PEFT_ERROR_UNSUPPORTED) skip(r->label, peft_error(r->ctx));
    else if (status) fail(r->ctx, r->label);
    return status == PEFT_OK;
}

static void run_model_case(peft_context *ctx, const char *folder, const char *label) {
    run *r = (run *)calloc(1, sizeof(run));
    char path[1024], *text = NULL;
    size_t n = 0;
    peft__arena arena;
    peft__json *root = NULL;
    peft__arena_init(&arena, ctx);
    r->ctx = ctx;
    r->folder = folder;
    r->label = label;
    snprintf(path, sizeof(path), "%s/case.json", folder);
    bool ok = peft__read_all(ctx, path, &text, &n) == PEFT_OK && peft__json_parse(ctx, &arena, text, n, path, &root) == PEFT_OK;
    r->root = root;
    snprintf(path, sizeof(path), "%s/golden.safetensors", folder);
    ok = ok && peft_archive_open(ctx, path, &r->golden) == PEFT_OK && peft_tape_create(ctx, &r->tape) == PEFT_OK;
    if (!ok) fail(ctx, label);
    if (ok && load_model(r)) {
        if (!read_batch(r)) fail(ctx, "the batch of case.json");
        char name[512];
        double loss = 0;
        compare_logits(r, "logits", NULL, 0);
        name_of(name, r, "loss%s%s", "", "");
        if (loss_without_gradient(r, NULL, &loss)) compare_number(name, loss, peft__json_double(root, "loss", 0), 1e-4);
        run_generate(r);
        const peft__json *adapters = peft__json_get(root, "adapters");
        for (const peft__json *s = adapters ? adapters->child : NULL; s; s = s->next) run_adapter(r, s->key, s);
        peft_model_destroy(r->model);  // merging has rounded it: full fine-tuning begins with a fresh one
        r->model = NULL;
        if (load_model(r)) run_full(r);
        peft_model_destroy(r->model);
    }
    peft_tape_destroy(r->tape);
    peft_archive_close(r->golden);
    peft__free(ctx, text);
    peft__arena_free(&arena);
    free(r);
}

// ---- tokenizers.jsonl, whose tokenizers lie in ../tokenizers/<name> beside the folder, or in a path that has a slash from there

static const char *tokenizer_file(peft_context *ctx, const char *jsonl, const char *name, char *path) {
    static const char *const files[] = {"spiece.model", "tokenizer.model", "tokenizer.json", "vocab.json", "encoder.json"};
    const char *slash = strrchr(jsonl, '/');
    int folder = slash ? (int)(slash - jsonl) : 1;
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        snprintf(path, 1024, "%.*s/%s%s/%s", folder, slash ? jsonl : ".", strchr(name, '/') ? "" : "../tokenizers/", name, files[i]);
        if (peft__file_exists(ctx, path)) return path;
    }
    return NULL;
}

static void run_tokenizer_line(peft_context *ctx, const peft_tokenizer *t, const peft__json *line, const char *name, int number) {
    const peft__json *text = peft__json_get(line, "text"), *ids = peft__json_get(line, "ids"), *decoded = peft__json_get(line, "decoded");
    char label[128], *back = NULL;
    peft_ids got;
    memset(&got, 0, sizeof(got));
    if (!text || !ids) return;
    snprintf(label, sizeof(label), "tokenizer %s line %d encode", name, number);
    // the ids of those in tokenizers/ are of the library of that name, which finds special tokens that a text writes
    bool special = strncmp(name, "tokenizers/", 11) == 0;
    peft_status status = (special ? peft_encode_special : peft_encode)(t, text->string, text->length, &got);
    if (status) fail(ctx, label);
    else compare_ids(label, &got, ids);
    snprintf(label, sizeof(label), "tokenizer %s line %d decode", name, number);
    if (decoded && peft_decode(t, got.data, got.count, false, &back, NULL)) fail(ctx, label);
    else if (decoded) report(strcmp(back, decoded->string) == 0, label, 0, 0);
    peft_free(ctx, back);
    peft_ids_free(ctx, &got);
}

static void run_tokenizers(peft_context *ctx, const char *path) {
    char *text = NULL, file[1024], current[64] = "";
    size_t n = 0;
    peft_tokenizer *t = NULL;
    if (peft__read_all(ctx, path, &text, &n)) {
        fail(ctx, path);
        return;
    }
    int number = 0;
    bool usable = false;
    for (char *p = text; *p;) {
        size_t size = strcspn(p, "\n");
        peft__arena arena;
        peft__arena_init(&arena, ctx);
        peft__json *line = NULL;
        number++;
        if (size && peft__json_parse(ctx, &arena, p, size, path, &line)) fail(ctx, path);
        const char *name = peft__json_text(line, "tokenizer", "");
        if (line && strcmp(name, current) != 0) {
            snprintf(current, sizeof(current), "%s", name);
            peft_tokenizer_destroy(t);
            t = NULL;
            usable = tokenizer_file(ctx, path, name, file) && peft_tokenizer_load(ctx, file, &t) == PEFT_OK;
        }
        if (line && usable) run_tokenizer_line(ctx, t, line, name, number);
        else if (line) skip(name, "this kind of tokenizer cannot be loaded");
        peft__arena_free(&arena);
        p += size + (p[size] == '\n');
    }
    peft_tokenizer_destroy(t);
    peft__free(ctx, text);
}

// ---- a safetensors file of weights that bitsandbytes has quantized: <case>.weight f32, <case>.<nf4|fp4>[...].weight and its parts,
// <case>.<...>.dequant f32

static void compare_bytes(const char *name, const void *got, const void *want, size_t n) {
    int64_t wrong = 0;
    for (size_t i = 0; i < n; i++) wrong += ((const uint8_t *)got)[i] != ((const uint8_t *)want)[i];
    report(wrong == 0, name, (double)wrong, n ? (double)wrong / (double)n : 0);
}

// The bytes that the file itself holds under a key; NULL: none.
static const char *bytes_of(const peft__json *header, const char *text, const char *key, size_t *n) {
    const peft__json *offsets = peft__json_get(peft__json_get(header, key), "data_offsets");
    if (!offsets || offsets->length != 2) return NULL;
    uint64_t size = peft__little_endian((const unsigned char *)text, 8);
    *n = (size_t)(offsets->child->next->number - offsets->child->number);
    return text + 8 + size + (size_t)offsets->child->number;
}

static void compare_quant_state(peft_context *ctx, const peft__json *header, const char *text, const peft_tensor *got, const char *name) {
    char key[512];
    size_t n = 0;
    const char *type = got->type == PEFT_NF4 ? "nf4" : "fp4";
    peft__arena arena;
    peft__arena_init(&arena, ctx);
    snprintf(key, sizeof(key), "%s.quant_state.bitsandbytes__%s", name, type);
    const char *want = bytes_of(header, text, key, &n), *json = peft__quant_json(&arena, got, type);
    snprintf(key, sizeof(key), "%s quant_state", name);
    if (want && json) report(strlen(json) == n && memcmp(json, want, n) == 0, key, 0, 0);
    else fail(ctx, key);
    if (want && json && (strlen(json) != n || memcmp(json, want, n))) printf("    got  %s\n    want %.*s\n", json, (int)n, want);
    peft__arena_free(&arena);
}

static void compare_quantized(const peft_tensor *got, const peft_tensor *want, const char *name) {
    char label[512];
    const peft_quant *g = got->quant, *w = want->quant;
    int64_t n = want->rows * want->cols;
    snprintf(label, sizeof(label), "%s codes", name);
    compare_bytes(label, got->data, want->data, (size_t)(n + 1) / 2);
    snprintf(label, sizeof(label), "%s quant_map", name);
    compare_bytes(label, g->map, w->map, 64);
    snprintf(label, sizeof(label), "%s absmax", name);
    if (w->absmax) {
        compare_bytes(label, g->absmax, w->absmax, (size_t)w->block_count * 4);
        return;
    }
    compare_bytes(label, g->codes, w->codes, (size_t)w->block_count);
    snprintf(label, sizeof(label), "%s nested_absmax", name);
    compare_bytes(label, g->nested_absmax, w->nested_absmax, (size_t)(w->block_count + 255) / 256 * 4);
    snprintf(label, sizeof(label), "%s nested_quant_map", name);
    double relative, absolute = difference(g->nested_map, w->nested_map, 256, &relative);  // torch's linspace rounds as its version does
    report(absolute <= 6e-8, label, absolute, relative);
    snprintf(label, sizeof(label), "%s nested_offset", name);
    compare_bytes(label, &g->nested_offset, &w->nested_offset, 4);
}

static void run_quantized(peft_context *ctx, const peft_archive *a, const peft__json *header, const char *text, const peft_tensor *want) {
    char base[448], key[512], label[512];
    snprintf(base, sizeof(base), "%.*s", (int)(strlen(want->name) - (peft__ends_with(want->name, ".weight") ? 7 : 0)), want->name);
    snprintf(key, sizeof(key), "%s.dequant", base);
    snprintf(label, sizeof(label), "%s dequantized", want->name);
    const peft_tensor *values = peft_archive_find(a, key);
    int64_t n = want->rows * want->cols;
    if (!values || values->type != PEFT_F32 || values->rows != want->rows || values->cols != want->cols) {
        skip(label, "not in the file");
    } else {
        float *out = (float *)malloc((size_t)n * sizeof(float));
        if (peft_dequantize(ctx, want, out)) fail(ctx, label);
        else compare_bytes(label, out, values->data, (size_t)n * sizeof(float));
        free(out);
    }
    char *type = strstr(base, want->type == PEFT_NF4 ? ".nf4" : ".fp4");
    if (type) *type = 0;
    snprintf(key, sizeof(key), "%s.weight", base);
    const peft_tensor *source = peft_archive_find(a, key);
    if (!type || !source || source->rows != want->rows || source->cols != want->cols) {
        compare_quant_state(ctx, header, text, want, want->name);
        skip(want->name, "what it was quantized from is not in the file");
        return;
    }
    peft_quantize_desc d = {want->type, want->quant->block, !want->quant->absmax};
    peft_tensor *got = NULL;
    if (peft_quantize(ctx, source, &d, &got)) {
        fail(ctx, want->name);
        return;
    }
    compare_quantized(got, want, want->name);
    compare_quant_state(ctx, header, text, got, want->name);
    peft_tensor_destroy(ctx, got);
}

static void run_quantized_file(peft_context *ctx, const char *path) {
    peft_archive *a = NULL;
    char *text = NULL;
    size_t n = 0;
    peft__arena arena;
    peft__json *header = NULL;
    peft__arena_init(&arena, ctx);
    bool ok = peft_archive_open(ctx, path, &a) == PEFT_OK && peft__read_all(ctx, path, &text, &n) == PEFT_OK;
    uint64_t size = 0;
    if (ok) size = peft__little_endian((const unsigned char *)text, 8);
    if (!ok || peft__json_parse(ctx, &arena, text + 8, (size_t)size, path, &header)) fail(ctx, path);
    int64_t found = 0;
    for (int64_t i = 0; header && i < peft_archive_count(a); i++) {
        const peft_tensor *t = peft_archive_at(a, i);
        if (t->type != PEFT_NF4 && t->type != PEFT_FP4) continue;
        run_quantized(ctx, a, header, text, t);
        found++;
    }
    if (header && !found) skip(path, "no weights of 4 bits in it");
    peft_archive_close(a);
    peft__free(ctx, text);
    peft__arena_free(&arena);
}

#include "golden_hf.h"

// ---- which kind of case

static bool has(peft_context *ctx, const char *folder, const char *name) {
    char path[1024];
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    return peft__file_exists(ctx, path);
}

static void run_case(peft_context *ctx, const char *path, bool again) {
    const char *slash = strrchr(path, '/'), *label = slash && slash[1] ? slash + 1 : path;
    if (has(ctx, path, "case.json")) run_model_case(ctx, path, label);
    else if (has(ctx, path, "golden.json")) golden_metrics(ctx, path, &passed, &failed);
    else if (has(ctx, path, "promptsource.jsonl") || has(ctx, path, "chat.jsonl")) golden_templates(ctx, path, &passed, &failed);
    else if (peft__ends_with(path, ".jsonl")) run_tokenizers(ctx, path);
    else if (peft__ends_with(path, ".safetensors")) run_quantized_file(ctx, path);
    else if (!golden_hf(ctx, path, again)) {
        printf("%-72s FAIL: not a case: no case.json, golden.json, expected.safetensors, .jsonl or .safetensors\n", path);
        failed++;
    }
}

static peft_simd simd_named(const char *name) {
    for (int i = PEFT_SIMD_PORTABLE; i <= PEFT_SIMD_AVX512; i++)
        if (strcmp(name, peft_simd_name((peft_simd)i)) == 0) return (peft_simd)i;
    return PEFT_SIMD_AUTO;
}

int main(int argc, char **argv) {
    peft_context_desc d;
    memset(&d, 0, sizeof(d));
    int i = 1;
    bool again = false;
    for (; i + 1 < argc && argv[i][0] == '-'; i++) {
        if (strcmp(argv[i], "--again") == 0) again = true;
        else if (strcmp(argv[i], "--threads") == 0) d.threads = atoi(argv[++i]);
        else if (strcmp(argv[i], "--simd") == 0) d.simd = simd_named(argv[++i]);
        else break;
    }
    peft_context *ctx = NULL;
    if (i >= argc || argv[i][0] == '-' || peft_context_create(&d, &ctx)) {
        fprintf(stderr, "usage: golden [--threads N] [--simd portable|avx2|avx512|neon] [--again] CASE...\n");
        return 2;
    }
    for (; i < argc; i++) {
        char path[1000];
        snprintf(path, sizeof(path), "%s", argv[i]);
        size_t n = strlen(path);
        if (n > 1 && path[n - 1] == '/') path[n - 1] = 0;
        run_case(ctx, path, again);
    }
    peft_context_destroy(ctx);
    printf("%d passed, %d failed, %d skipped\n", passed, failed, skipped);
    return failed ? 1 : 0;
}
