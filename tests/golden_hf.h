// Adapters and models as Hugging Face's libraries save them, with the logits that those libraries compute. One line per case: right,
// refused (and peft.h's message), or FAIL. Three kinds of folders:
//   case      config.json, model.safetensors (or model.gguf alone), expected.safetensors: a model
//   model     base/ (a model), or base.txt with the path from here to one, and folders of adapters, each with adapter_config.json, adapter_model.safetensors, expected.safetensors
//   other     folders of the kinds above
// expected.safetensors: input_ids [1, n], T5 also decoder_input_ids [1, m] (I32 or I64), and logits [rows, vocab] (F32) without the rows of
// virtual tokens. Included by golden.c.
#include "text.h"
#include <sys/stat.h>
#ifndef _NEWLIB_VERSION  // newlib has no folders to look into
#include <dirent.h>
#endif

enum { HF_TOKENS = 4096 };

typedef struct hf_count {
    int right, refused, wrong;
} hf_count;

// What peft.h computes in another order than torch differs by 1e-7 to 2e-6 of the largest logit; more only where an adapter makes
// the model ill conditioned, which hf_conditioning measures.
static const double hf_tolerance = 3e-5;

// The tensor `name` of type I32 or I64 from a safetensors file, which archives list without data: the number of values read, or -1.
static int64_t hf_read_ids(peft_context *ctx, const char *path, const char *name, int32_t *out) {
    char *text = NULL;
    size_t n = 0;
    int64_t count = -1;
    peft__arena arena;
    peft__json *header = NULL;
    peft__arena_init(&arena, ctx);
    if (peft__read_all(ctx, path, &text, &n) == PEFT_OK && n >= 8) {
        const unsigned char *bytes = (const unsigned char *)text;
        uint64_t size = peft__little_endian(bytes, 8);
        if (size <= n - 8 && peft__json_parse(ctx, &arena, text + 8, (size_t)size, path, &header) == PEFT_OK) {
            const peft__json *tensor = peft__json_get(header, name), *offsets = peft__json_get(tensor, "data_offsets");
            uint64_t from = 1, to = 0, width = strcmp(peft__json_text(tensor, "dtype", ""), "I32") == 0 ? 4 : 8;
            if (offsets && offsets->length == 2) {
                from = (uint64_t)offsets->child->number;
                to = (uint64_t)offsets->child->next->number;
            }
            if (from <= to && to <= n - 8 - size && (to - from) / width <= HF_TOKENS) {
                count = (int64_t)((to - from) / width);  // ids are small: the low four bytes of either type
                for (int64_t i = 0; i < count; i++) out[i] = (int32_t)peft__little_endian(bytes + 8 + size + from + (uint64_t)i * width, 4);
            }
        }
    }
    peft__arena_free(&arena);
    peft__free(ctx, text);
    return count;
}

// Our logits for the tokens of expected.safetensors [t, vocab], to be freed; NULL: peft.h refused, or the file is no case.
static float *hf_logits(peft_model *model, const peft_adapter *adapter, const char *expected, int64_t *t, int64_t *vocab) {
    static int32_t source[HF_TOKENS], decoder[HF_TOKENS], labels[HF_TOKENS];
    peft_context *ctx = peft_model_context(model);
    bool pairs = peft_model_config(model)->encoder_decoder;
    int64_t s = pairs ? hf_read_ids(ctx, expected, "input_ids", source) : 0;
    *t = hf_read_ids(ctx, expected, pairs ? "decoder_input_ids" : "input_ids", decoder);
    if (s < 0 || *t < 1) return NULL;
    for (int64_t i = 0; i < *t; i++) labels[i] = -100;
    int64_t source_offsets[2] = {0, s}, target_offsets[2] = {0, *t};
    peft_batch b = {1, source, source_offsets, decoder, labels, target_offsets};
    peft_active_adapter active = {adapter, 1, 0, 0};
    int count = adapter ? 1 : 0;
    float *out = NULL;
    peft_tape *tape = NULL;
    if (peft_tape_create(ctx, &tape)) return NULL;
    peft_tape_inference(tape, true);
    const peft_tensor *got = peft_model_logits(model, tape, peft_model_hidden(model, tape, &b, &active, count), &active, count);
    if (got && got->rows >= *t) {  // virtual tokens come first
        size_t size = (size_t)(*t * got->cols) * sizeof(float);
        out = (float *)malloc(size);
        memcpy(out, (const float *)got->data + (got->rows - *t) * got->cols, size);
        *vocab = got->cols;
    }
    peft_tape_destroy(tape);
    return out;
}

// The largest difference of our logits from the file's over the largest logit; -1: peft.h refused.
static double hf_difference(peft_model *model, const peft_adapter *adapter, const char *expected, char *why, size_t size) {
    peft_context *ctx = peft_model_context(model);
    int64_t t = 0, vocab = 0;
    float *got = hf_logits(model, adapter, expected, &t, &vocab);
    double result = INFINITY;
    if (!got) {
        snprintf(why, size, "%s", peft_error(ctx));
        return t > 0 ? -1 : result;
    }
    peft_archive *file = NULL;
    const peft_tensor *want = peft_archive_open(ctx, expected, &file) == PEFT_OK ? peft_archive_find(file, "logits") : NULL;
    if (!want || !want->data || want->type != PEFT_F32 || want->rows * want->cols != t * vocab) {
        snprintf(why, size, "logits [%d, %d], which expected.safetensors does not hold", (int)t, (int)vocab);
    } else {
        difference(got, (const float *)want->data, t * vocab, &result);
        snprintf(why, size, "differs by %.1e of the largest logit", result);
    }
    peft_archive_close(file);
    free(got);
    return result;
}

// How far one rounding error in every weight of the adapter moves our logits, over the largest: the most of four trials.
static double hf_conditioning(peft_model *model, const peft_adapter *adapter, const char *expected) {
    int64_t t = 0, vocab = 0;
    float *before = hf_logits(model, adapter, expected, &t, &vocab);
    double most = 0;
    for (int pattern = 0; pattern < 4 && before; pattern++) {
        float *kept[1024], *after;
        int64_t count = peft_adapter_tensor_count(adapter) < 1024 ? peft_adapter_tensor_count(adapter) : 0;
        for (int64_t i = 0; i < count; i++) {
            const peft_tensor *w = peft_adapter_tensor(adapter, i);
            size_t n = (size_t)(w->rows * w->cols);
            float *x = (float *)w->data;
            kept[i] = (float *)malloc(n * sizeof(float));
            memcpy(kept[i], x, n * sizeof(float));
            for (size_t k = 0; k < n; k++) x[k] *= (k >> pattern) % 2 ? 1.0000001f : 0.9999999f;
        }
        after = hf_logits(model, adapter, expected, &t, &vocab);
        double moved = 0;
        if (after) difference(after, before, t * vocab, &moved);
        most = moved > most ? moved : most;
        for (int64_t i = 0; i < count; i++) {
            const peft_tensor *w = peft_adapter_tensor(adapter, i);
            memcpy(w->data, kept[i], (size_t)(w->rows * w->cols) * sizeof(float));
            free(kept[i]);
        }
        free(after);
    }
    free(before);
    return most;
}

// How far the rounding of a singular value decomposition in 32 bits moves the logits of an adapter whose start is made from the base
// again: the most of eight trials. PiSSA's directions turn by that rounding over the gap of two singular values, and torch's own are off
// as far: with its decomposition in 64 bits, peft's logits are ours. The rounding is taken for sqrt(n) errors of 1e-7 in every weight of a
// matrix of n columns or rows, as LAPACK's bound of it grows with n.
static double hf_start_conditioning(peft_model *model, const peft_adapter *adapter, const char *folder, const char *expected) {
    int64_t t = 0, vocab = 0, count = peft_model_tensor_count(model);
    float *before = hf_logits(model, adapter, expected, &t, &vocab);
    void **kept = (void **)calloc((size_t)count + 1, sizeof(void *));
    double most = 0;
    for (unsigned trial = 1; trial <= 8 && before; trial++) {
        uint32_t random = trial * 2654435761u;
        for (int64_t i = 0; i < count; i++) {  // the file's weights are mapped and cannot be written
            peft_tensor *w = peft_model_tensor(model, i);
            size_t n = (size_t)(w->rows * w->cols);
            kept[i] = w->data;
            if (w->type != PEFT_F32 || !w->data) continue;
            float *x = (float *)malloc(n * sizeof(float)), error = 1e-7f * sqrtf((float)(w->rows < w->cols ? w->rows : w->cols));
            for (size_t k = 0; k < n; k++) {
                random = random * 1664525u + 1013904223u;
                x[k] = ((const float *)w->data)[k] * (random >> 31 ? 1 + error : 1 - error);
            }
            w->data = x;
        }
        peft_adapter *again = NULL;
        float *after = peft_adapter_load(model, folder, &again) == PEFT_OK ? hf_logits(model, again, expected, &t, &vocab) : NULL;
        double moved = 0;
        if (after) difference(after, before, t * vocab, &moved);
        most = moved > most ? moved : most;
        free(after);
        peft_adapter_destroy(again);
        for (int64_t i = 0; i < count; i++) {
            peft_tensor *w = peft_model_tensor(model, i);
            if (w->data != kept[i]) free(w->data);
            w->data = kept[i];
        }
    }
    free(kept);
    free(before);
    return most;
}

// `conditioning`: what a rounding error at the start makes, 0 where nobody asked. Where it is large, it bounds the difference.
static void hf_line(hf_count *n, const char *name, double difference, double conditioning, const char *why) {
    if (difference < 0) n->refused++, skipped++, printf("%-48s refused (%s)\n", name, why);
    else if (difference <= hf_tolerance) n->right++, passed++, printf("%-48s right, %.1e\n", name, difference);
    else if (difference <= 4 * conditioning)
        n->right++, passed++, printf("%-48s right, %.1e where a rounding error makes %.1e\n", name, difference, conditioning);
    else n->wrong++, failed++, printf("%-48s FAIL: %s (a rounding error makes %.1e)\n", name, why, conditioning);
}

static bool hf_model(peft_context *ctx, const char *path, peft_model **model, char *why, size_t size) {
    peft_model_desc d;
    memset(&d, 0, sizeof(d));
    d.context = ctx;
    d.path = path;
    if (peft_model_load(&d, model) == PEFT_OK) return true;
    snprintf(why, size, "%s", peft_error(ctx));
    return false;
}

// An adapter that was loaded and is saved gives the same logits when it is loaded again.
static double hf_saved_again(peft_model *model, const peft_adapter *adapter, const char *expected, double first, char *why, size_t size) {
    const char *folder = scratch_folder();
    peft_adapter *again = NULL;
    double result = INFINITY;
    if (peft_adapter_save(adapter, folder) || peft_adapter_load(model, folder, &again)) {
        snprintf(why, size, "saved again: %.900s", peft_error(peft_model_context(model)));
    } else {
        result = hf_difference(model, again, expected, why, size);
        if (result < 0) result = INFINITY;
    }
    peft_adapter_destroy(again);
    remove_scratch();
    return result > first ? result : first;
}

static void hf_adapter_case(peft_context *ctx, const char *base, const char *folder, const char *name, bool again, hf_count *n) {
    char why[1024], expected[1200];
    peft_model *model = NULL;
    peft_adapter *adapter = NULL;
    double d = -1;
    snprintf(expected, sizeof(expected), "%s/expected.safetensors", folder);
    if (hf_model(ctx, base, &model, why, sizeof(why))) {
        if (peft_adapter_load(model, folder, &adapter)) snprintf(why, sizeof(why), "%s", peft_error(ctx));
        else d = hf_difference(model, adapter, expected, why, sizeof(why));
        if (again && d >= 0 && d <= hf_tolerance) d = hf_saved_again(model, adapter, expected, d, why, sizeof(why));
    }
    bool check = adapter && d > hf_tolerance && d < 1e-3;
    double conditioning = check ? hf_conditioning(model, adapter, expected) : 0;
    if (check && adapter->starts) conditioning = fmax(conditioning, hf_start_conditioning(model, adapter, folder, expected));
    hf_line(n, name, d, conditioning, why);
    peft_adapter_destroy(adapter);
    peft_model_destroy(model);
}

static void hf_model_case(peft_context *ctx, const char *folder, bool gguf, const char *name, hf_count *n) {
    char why[1024], expected[1200], path[1200];
    peft_model *model = NULL;
    double d = -1;
    snprintf(expected, sizeof(expected), "%s/expected.safetensors", folder);
    snprintf(path, sizeof(path), gguf ? "%s/model.gguf" : "%s", folder);
    if (hf_model(ctx, path, &model, why, sizeof(why))) d = hf_difference(model, NULL, expected, why, sizeof(why));
    hf_line(n, name, d, 0, why);
    peft_model_destroy(model);
}

static int hf_by_name(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

// The names of the folders in `path`, sorted; the caller frees each and the list.
static int64_t hf_folders(const char *path, char ***out) {
    int64_t count = 0;
    *out = NULL;
#ifndef _NEWLIB_VERSION
    DIR *dir = opendir(path);
    for (struct dirent *e = dir ? readdir(dir) : NULL; e; e = readdir(dir)) {
        char full[1200];
        struct stat s;
        snprintf(full, sizeof(full), "%s/%s", path, e->d_name);
        if (e->d_name[0] == '.' || stat(full, &s) || !S_ISDIR(s.st_mode)) continue;
        *out = (char **)realloc(*out, (size_t)(count + 1) * sizeof(char *));
        (*out)[count++] = strdup(e->d_name);
    }
    if (dir) closedir(dir);
#else
    (void)path, (void)hf_by_name;
#endif
    if (count) qsort(*out, (size_t)count, sizeof(char *), hf_by_name);
    return count;
}

static bool hf_has(const char *folder, const char *name) {
    char path[1200];
    struct stat s;
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    return stat(path, &s) == 0;
}

// Where the base of a folder of adapters lies.
static bool hf_base(const char *path, char *out, size_t size) {
    char line[256] = "base", text[1200];
    snprintf(text, sizeof(text), "%s/base.txt", path);
    FILE *f = fopen(text, "r");
    if (f && fgets(line, sizeof(line), f)) line[strcspn(line, "\r\n")] = 0;
    if (f) fclose(f);
    snprintf(out, size, "%.900s/%s", path, line);
    return hf_has(out, "config.json");
}

// False: there is no case in the folder. `name` is what lines call it.
static bool hf_walk(peft_context *ctx, const char *path, const char *name, bool again, hf_count *n) {
    bool gguf = hf_has(path, "model.gguf");
    if ((gguf || hf_has(path, "config.json")) && hf_has(path, "expected.safetensors")) {
        hf_model_case(ctx, path, gguf, name, n);
        return true;
    }
    bool any = false;
    char **folders = NULL, base_path[1200];
    int64_t count = hf_folders(path, &folders);
    bool base = hf_base(path, base_path, sizeof(base_path));
    for (int64_t i = 0; i < count; i++) {
        char full[1000], label[1000];
        snprintf(full, sizeof(full), "%.700s/%.250s", path, folders[i]);
        snprintf(label, sizeof(label), "%.700s/%.250s", name, folders[i]);
        if (base && hf_has(full, "adapter_config.json")) {
            hf_adapter_case(ctx, base_path, full, label, again, n);
            any = true;
        } else if (hf_walk(ctx, full, label, again, n)) any = true;
        free(folders[i]);
    }
    free(folders);
    return any;
}

static bool golden_hf(peft_context *ctx, const char *path, bool again) {
    hf_count n = {0, 0, 0};
    const char *slash = strrchr(path, '/');
    if (!hf_walk(ctx, path, slash ? slash + 1 : path, again, &n)) return false;
    printf("%s: %d right, %d refused, %d wrong\n", path, n.right, n.refused, n.wrong);
    return true;
}
