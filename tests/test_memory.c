// Memory: weights in few bits at load and in files, LoRA on such a base, optimizers with less state, blocks that are computed again on the
// way back, and the plan of all this against what is measured.
//   cc -std=c11 -O2 -DPEFT_USE_PTHREADS -I. tests/test_memory.c -o build/test_memory -pthread -lm
#define PEFT_NO_METRICS  // what this program needs of the header
#define PEFT_IMPLEMENTATION
#include "peft.h"

#include "check.h"
#include "counter.h"
#include <stdio.h>

static int passed, failed;

static void check(bool ok, const char *what, const peft_context *ctx) {
    if (test_count(&passed, &failed, ok, what)) printf("FAIL %s: %s\n", what, ctx ? peft_error(ctx) : "");
}

#define FOLDER "build/memory_test"

// ---- models: configurations in memory, random weights

static const char t5_small[] =
    "{\"model_type\": \"t5\", \"d_model\": 512, \"d_kv\": 64, \"num_heads\": 6, \"d_ff\": 1024, \"num_layers\": 8, \"vocab_size\": 32128,\n"
    " \"feed_forward_proj\": \"gated-gelu\", \"tie_word_embeddings\": false}";
static const char *const configs[] = {
    "{\"model_type\": \"t5\", \"d_model\": 64, \"d_kv\": 16, \"num_heads\": 4, \"d_ff\": 96, \"num_layers\": 2, \"vocab_size\": 120,\n"
    " \"feed_forward_proj\": \"gated-gelu\", \"tie_word_embeddings\": false}\n",
    "{\"model_type\": \"t5\", \"d_model\": 64, \"d_kv\": 16, \"num_heads\": 4, \"d_ff\": 96, \"num_layers\": 3, \"vocab_size\": 120,\n"
    " \"feed_forward_proj\": \"relu\"}\n",
    "{\"model_type\": \"gpt2\", \"n_embd\": 64, \"n_head\": 4, \"n_layer\": 3, \"n_positions\": 64, \"vocab_size\": 120}\n",
    "{\"model_type\": \"gpt_neox\", \"hidden_size\": 64, \"num_attention_heads\": 4, \"num_hidden_layers\": 2, \"intermediate_size\": 96,\n"
    " \"vocab_size\": 120}\n",
    "{\"model_type\": \"llama\", \"hidden_size\": 64, \"num_attention_heads\": 4, \"num_key_value_heads\": 2, \"num_hidden_layers\": 3,\n"
    " \"intermediate_size\": 96, \"vocab_size\": 120, \"quantization_config\": {\"a\": [1, {\"b\": \"}\"}]}, \"rms_norm_eps\": 1e-6}\n",
    "{\"model_type\": \"phi3\", \"hidden_size\": 64, \"num_attention_heads\": 4, \"num_key_value_heads\": 2, \"num_hidden_layers\": 2,\n"
    " \"intermediate_size\": 96, \"vocab_size\": 120}\n",
    "{\"model_type\": \"olmo2\", \"hidden_size\": 64, \"num_attention_heads\": 4, \"num_hidden_layers\": 2, \"intermediate_size\": 96,\n"
    " \"vocab_size\": 120}\n",
    "{\"model_type\": \"gemma2\", \"hidden_size\": 64, \"num_attention_heads\": 4, \"num_key_value_heads\": 2, \"num_hidden_layers\": 2,\n"
    " \"head_dim\": 16, \"intermediate_size\": 96, \"vocab_size\": 120, \"sliding_window\": 4}\n",
    "{\"model_type\": \"gemma3_text\", \"hidden_size\": 64, \"num_attention_heads\": 4, \"num_key_value_heads\": 1, \"num_hidden_layers\": 2,\n"
    " \"head_dim\": 32, \"intermediate_size\": 96, \"vocab_size\": 120, \"sliding_window_pattern\": 2}\n"};
enum { T5 = 0, T5_TIED, GPT2, NEOX, LLAMA, PHI3, OLMO2, GEMMA2, GEMMA3, MODELS };
static const char *const model_names[] = {"t5", "t5 tied", "gpt2", "neox", "llama", "phi3", "olmo2", "gemma2", "gemma3"};
static const char *const folders[] = {"m0", "m1", "m2", "m3", "m4", "m5", "m6", "m7", "m8"};

static peft_context *make_context(int threads) {
    peft_context_desc d;
    memset(&d, 0, sizeof d);
    d.threads = threads;
    peft_context *ctx = NULL;
    if (peft_context_create(&d, &ctx)) return NULL;
    for (int i = 0; i < MODELS; i++) {
        char path[32];
        snprintf(path, sizeof path, "%s/config.json", folders[i]);
        peft_mount(ctx, path, configs[i], strlen(configs[i]));
    }
    peft_mount(ctx, "small/config.json", t5_small, strlen(t5_small));
    return ctx;
}

static peft_model *load_as(peft_context *ctx, const char *path, bool random, peft_dtype weights, peft_dtype embeddings, bool nested) {
    peft_model_desc d;
    memset(&d, 0, sizeof d);
    d.context = ctx, d.path = path, d.config_only = random, d.seed = 5, d.weights = weights, d.embeddings = embeddings, d.double_quant = nested;
    peft_model *m = NULL;
    peft_status status = peft_model_load(&d, &m);
    check(!status, path, ctx);
    return m;
}

static peft_model *load(peft_context *ctx, const char *path, bool random, peft_dtype weights, bool nested) {
    return load_as(ctx, path, random, weights, PEFT_F32, nested);
}

static peft_adapter *adapt(peft_model *m, peft_method method, const char *targets, float dropout) {
    peft_adapter_desc d;
    memset(&d, 0, sizeof d);
    d.model = m, d.method = method, d.target_modules = targets, d.dropout = dropout, d.r = 4, d.num_virtual_tokens = 3, d.seed = 8;
    peft_adapter *a = NULL;
    check(!peft_adapter_create(&d, &a), "an adapter", peft_model_context(m));
    if (!a) return NULL;
    peft_rng rng;
    peft_rng_seed(&rng, 3);
    for (int64_t i = 0; i < a->count; i++)  // B begins as 0, where A would get no gradient
        for (int64_t k = 0; k < peft__size(&a->tensors[i]); k++) peft__f32(&a->tensors[i])[k] += 0.05f * (float)peft_rng_normal(&rng);
    return a;
}

static bool same(const peft_tensor *a, const peft_tensor *b) {
    bool equal = a->rows == b->rows && a->cols == b->cols;
    for (int64_t i = 0; equal && i < peft__size(a); i++) {
        float x, y;
        peft__to_f32(a, i, 1, &x);
        peft__to_f32(b, i, 1, &y);
        equal = memcmp(&x, &y, sizeof x) == 0;
    }
    return equal;
}

// ---- weights at load

static void test_load_types(int which) {
    static const peft_dtype types[] = {PEFT_F16, PEFT_BF16, PEFT_I8, PEFT_NF4, PEFT_FP4};
    peft_context *ctx = make_context(1);
    peft_model *f = load(ctx, folders[which], true, PEFT_F32, false);
    check(!peft_model_save(f, FOLDER "/float", PEFT_F32), "saving", ctx);
    for (int k = 0; k < (int)PEFT__COUNT(types); k++) {
        bool nested = types[k] >= PEFT_NF4 && k % 2;
        peft_model *random = load(ctx, folders[which], true, types[k], nested), *stored = load(ctx, FOLDER "/float", false, types[k], nested);
        for (int64_t i = 0; random && stored && i < peft_model_tensor_count(f); i++) {
            const peft_tensor *t = peft_model_tensor(f, i), *r = peft_model_tensor(random, i), *s = peft_model_tensor(stored, i);
            bool linear = peft__is_linear(f, t) && t != f->head;
            check(r->type == (linear ? types[k] : PEFT_F32) && s->type == r->type && same(r, s), t->name, NULL);
            check(!linear || types[k] < PEFT_I8 || (!r->in_out && (r->quant->absmax == NULL) == nested), "always [out, in]", NULL);
            if (!linear || types[k] < PEFT_I8 || t->in_out) continue;
            peft_quantize_desc d = {types[k], 64, nested};
            peft_tensor *q = NULL;
            check(!peft_quantize(ctx, t, &d, &q) && same(q, r), "as peft_quantize has it", ctx);
            peft_tensor_destroy(ctx, q);
        }
        peft_model_destroy(random);
        peft_model_destroy(stored);
    }
    peft_model_destroy(f);
    check(peft_memory_in_use(ctx) < 20000, "nothing stays", NULL);
    peft_context_destroy(ctx);
}

static void test_load_memory(void) {  // no more than one matrix exists twice
    peft_context *a = make_context(1), *b = make_context(1);
    peft_model *f = load(a, folders[T5_TIED], true, PEFT_F32, false), *q = load(b, folders[T5_TIED], true, PEFT_NF4, true);
    size_t largest = 64 * 96 * 4, now = peft_memory_in_use(b);
    check(now < peft_memory_in_use(a) / 2, "four bits are smaller", NULL);
    check(peft_memory_peak(b) < now + 2 * largest, "peak while loading", NULL);
    peft_model_destroy(f), peft_model_destroy(q);
    peft_context_destroy(a), peft_context_destroy(b);
}

static void test_load_errors(void) {
    peft_context *ctx = make_context(1);
    peft_model *m = load(ctx, folders[T5], true, PEFT_F32, false), *bad = NULL;
    peft_tensor *w = peft_model_find(m, "decoder.block.1.layer.0.SelfAttention.o.weight");
    peft__f32(w)[70] = NAN;
    check(!peft_model_save(m, FOLDER "/nan", PEFT_F32), "saving", ctx);
    peft_model_desc d;
    memset(&d, 0, sizeof d);
    d.context = ctx, d.path = FOLDER "/nan";
    for (int type = PEFT_F16; type <= PEFT_FP4; type++) {
        d.weights = (peft_dtype)type;
        check(peft_model_load(&d, &bad) == PEFT_ERROR_NUMERIC && !bad && strstr(peft_error(ctx), "decoder.block.1.layer.0.SelfAttention.o.weight"), "a NaN", ctx);
    }
    peft__f32(w)[70] = 70000;
    check(!peft_model_save(m, FOLDER "/nan", PEFT_F32), "saving", ctx);
    d.weights = PEFT_F16;
    check(peft_model_load(&d, &bad) == PEFT_ERROR_NUMERIC && !bad && strstr(peft_error(ctx), "weight 70 is 70000, which f16 cannot hold"), "beyond f16", ctx);
    d.weights = PEFT_NF4, d.block = 48;
    check(peft_model_load(&d, &bad) == PEFT_ERROR_ARGUMENT && !bad, "a block of 48", ctx);
    d.weights = PEFT_I8, d.block = 0, d.double_quant = true;
    check(peft_model_load(&d, &bad) == PEFT_ERROR_ARGUMENT && !bad, "double quantization of int8", ctx);
    d.weights = (peft_dtype)17;
    check(peft_model_load(&d, &bad) == PEFT_ERROR_ARGUMENT && !bad, "no type", ctx);
    d.weights = PEFT_F32, d.embeddings = (peft_dtype)17;
    check(peft_model_load(&d, &bad) == PEFT_ERROR_ARGUMENT && !bad, "embeddings of no type", ctx);
    d.weights = PEFT_F32, d.embeddings = PEFT_I8;
    check(peft_model_load(&d, &bad) == PEFT_ERROR_ARGUMENT && !bad, "double quantization of nothing but int8", ctx);
    peft_model_destroy(m);
    peft_context_destroy(ctx);
}

// Embeddings and output layers in few bits. Saving gives them back as floats, of the same values in f32; one matrix at a time is read.
static void test_embeddings(int which, peft_dtype weights, peft_dtype type) {
    peft_context *ctx = make_context(1);
    peft_model *f = load(ctx, folders[which], true, PEFT_F32, false), *q = load_as(ctx, folders[which], true, weights, type, true);
    peft_tensor *of_f[2] = {f->shared, f->head}, *of_q[2] = {q->shared, q->head}, *alone = NULL;
    for (int i = 0; i < 2; i++) {
        peft_quantize_desc d = {type, 64, type > PEFT_I8};
        check(of_q[i]->type == type && !peft_quantize(ctx, of_f[i], &d, &alone) && same(alone, of_q[i]), "an embedding as peft_quantize has it", ctx);
        peft_tensor_destroy(ctx, alone);
    }
    check(!peft_model_save(q, FOLDER "/embeddings", weights), "saving", ctx);
    peft_model *back = load(ctx, FOLDER "/embeddings", false, PEFT_F32, false), *again = load_as(ctx, FOLDER "/embeddings", false, weights, type, true);
    check(back->shared->type == PEFT_F32 && same(back->shared, q->shared) && same(back->head, q->head), "floats in the file", NULL);
    check(again->shared->type == type && again->head->type == type, "quantized from a file", NULL);
    for (int64_t i = 0; i < peft_model_tensor_count(q); i++) {
        const peft_tensor *t = peft_model_tensor(q, i), *s = peft_model_tensor(back, i);
        check(t->in_out == s->in_out ? same(t, s) : t->rows == s->cols, t->name, NULL);
    }
    peft_model_destroy(f), peft_model_destroy(q), peft_model_destroy(back), peft_model_destroy(again);
    peft_context_destroy(ctx);
}

// ---- files

static bool file_says(peft_context *ctx, const char *path, const char *what) {
    char *text = NULL;
    bool found = !peft__read_all(ctx, path, &text, NULL) && strstr(text, what);
    peft__free(ctx, text);
    return found;
}

static void test_files(int which) {
    static const peft_dtype types[] = {PEFT_NF4, PEFT_FP4, PEFT_I8};
    peft_context *ctx = make_context(1);
    for (int k = 0; k < 3; k++) {
        bool nested = k == 0;
        peft_model *q = load(ctx, folders[which], true, types[k], nested);
        check(!peft_model_save(q, FOLDER "/few", types[k]), "saving a quantized model", ctx);
        peft_model *again = load(ctx, FOLDER "/few", false, PEFT_F32, false);
        for (int64_t i = 0; again && i < peft_model_tensor_count(q); i++) {
            const peft_tensor *a = peft_model_tensor(q, i), *b = peft_model_tensor(again, i);
            bool floats = types[k] > PEFT_I8 && peft__stays_wide(q, a);  // in files; its values are those of four bits
            check(b->type == (floats ? PEFT_F32 : a->type) && (floats || a->in_out == b->in_out) && same(a, b), a->name, NULL);
        }
        check(file_says(ctx, FOLDER "/few/config.json", "quantization_config") == (types[k] != PEFT_I8), "config.json", ctx);
        check(types[k] != PEFT_NF4 || (file_says(ctx, FOLDER "/few/config.json", "\"bnb_4bit_quant_type\": \"nf4\"") &&
                                       file_says(ctx, FOLDER "/few/config.json", "\"bnb_4bit_use_double_quant\": true")), "config.json of nf4", ctx);
        check(!peft_model_save(again, FOLDER "/wide", PEFT_F32) && !file_says(ctx, FOLDER "/wide/config.json", "quantization_config"), "f32 again", ctx);
        peft_model *wide = load(ctx, FOLDER "/wide", false, PEFT_F32, false);
        for (int64_t i = 0; wide && i < peft_model_tensor_count(q); i++) {
            const peft_tensor *a = peft_model_tensor(q, i), *b = peft_model_tensor(wide, i);
            bool turned = a->rows != b->rows || a->in_out != b->in_out;
            check(b->type == PEFT_F32 && (turned ? which == GPT2 : same(a, b)), "f32 of four bits", NULL);
            for (int64_t n = 0; turned && n < 50; n++) {
                int64_t r = n * 7 % b->rows, c = n * 11 % b->cols;
                float x;
                peft__to_f32(a, c * a->cols + r, 1, &x);
                if (x != peft__f32(b)[r * b->cols + c]) check(false, "f32 of four bits, turned", NULL);
            }
        }
        // Quantizing while saving is quantizing at load.
        check(!wide || !peft_model_save(wide, FOLDER "/few2", types[k]), "quantized while saving", ctx);
        peft_model *made = load(ctx, FOLDER "/few2", false, PEFT_F32, false), *at_load = load(ctx, FOLDER "/wide", false, types[k], false);
        for (int64_t i = 0; made && at_load && i < peft_model_tensor_count(q); i++) {
            const peft_tensor *a = peft_model_tensor(made, i), *b = peft_model_tensor(at_load, i);
            bool floats = types[k] > PEFT_I8 && peft__stays_wide(made, a);
            check(floats ? a->type == PEFT_F32 : a->type == b->type && same(a, b), "as at load", NULL);
        }
        peft_model_destroy(q), peft_model_destroy(again), peft_model_destroy(wide), peft_model_destroy(made), peft_model_destroy(at_load);
    }
    peft_context_destroy(ctx);
}

static void test_config_member(void) {
    static const char *const texts[][2] = {{"{\"a\": 1, \"k\": {\"x\": [2, 3]}, \"b\": 2}", "{\"a\": 1, \"b\": 2}"}, {"{\"k\": 1}", "{}"},
                                           {"{\"a\": \"k\", \"k\": \"}\\\"\"}", "{\"a\": \"k\"}"}, {"{\"k\": [1], \"a\": {\"k\": 2}}", "{\"a\": {\"k\": 2}}"}};
    for (int i = 0; i < (int)PEFT__COUNT(texts); i++) {
        size_t begin, end;
        char out[100];
        bool found = peft__json_member(texts[i][0], "k", &begin, &end);
        snprintf(out, sizeof out, "%.*s%s", found ? (int)begin : 0, texts[i][0], found ? texts[i][0] + end : "");
        check(found && strcmp(out, texts[i][1]) == 0, texts[i][0], NULL);
    }
    size_t begin, end;
    check(!peft__json_member("{\"a\": {\"k\": 1}}", "k", &begin, &end), "a member of a member", NULL);
}

// ---- a step: a batch of sequences of several lengths, gradients of what is trained

typedef struct batch {
    peft_batch b;
    int32_t source[800], decoder_input[800], labels[800];
    int64_t source_offsets[9], target_offsets[9];
} batch;

static void make_batch(batch *b, bool pairs, int64_t count, int64_t source, int64_t target, bool ragged) {
    memset(b, 0, sizeof *b);
    for (int64_t i = 0; i < count; i++) {
        int64_t ns = ragged ? source - i : source, nt = ragged ? target - i % 2 : target;
        for (int64_t k = 0; k < ns; k++) b->source[b->source_offsets[i] + k] = (int32_t)(2 + (i * 31 + k * 7) % 90);
        for (int64_t k = 0; k < nt; k++) {
            b->decoder_input[b->target_offsets[i] + k] = (int32_t)(k ? 3 + (i * 17 + k * 5) % 90 : 0);
            b->labels[b->target_offsets[i] + k] = (int32_t)(pairs || k > 3 ? 3 + (i * 17 + (k + 1) * 5) % 90 : -100);
        }
        b->source_offsets[i + 1] = b->source_offsets[i] + ns;
        b->target_offsets[i + 1] = b->target_offsets[i] + nt;
    }
    b->b.count = count;
    b->b.source = b->source, b->b.source_offsets = b->source_offsets;
    b->b.decoder_input = b->decoder_input, b->b.labels = b->labels, b->b.target_offsets = b->target_offsets;
}

// Gradients of the adapter (or of all weights) one after the other; *loss; the tape's memory. The caller frees.
static float *gradients(peft_model *m, peft_adapter *a, const batch *b, bool again, float dropout, float *loss, int64_t *count, size_t *memory) {
    peft_context *ctx = peft_model_context(m);
    int64_t n = a ? peft_adapter_tensor_count(a) : peft_model_tensor_count(m), total = a ? peft_adapter_parameter_count(a) : peft_model_parameter_count(m);
    float *all = (float *)calloc((size_t)total, sizeof(float)), *to = all;
    for (int64_t i = 0; i < n; i++) check(!peft_require_grad(ctx, a ? peft_adapter_tensor(a, i) : peft_model_tensor(m, i)), "trainable", ctx);
    size_t before = peft_memory_in_use(ctx);
    peft_tape *t = NULL;
    peft_tape_create(ctx, &t);
    peft_tape_checkpoint_blocks(t, again);
    m->dropout = dropout;
    for (int pass = 0; pass < 2; pass++) {  // twice: buffers are recycled, gradients add up
        peft_active_adapter active = {a, 1, 0, 0};
        peft_tape_reset(t, 77);
        peft_tensor *y = peft_model_loss(m, t, &b->b, &active, a ? 1 : 0, 0);
        *loss = y ? peft__f32(y)[0] : -1;
        check(y && !peft_backward(t, y), "backward", ctx);
    }
    m->dropout = 0;
    *memory = peft_memory_in_use(ctx) - before;
    peft_tape_destroy(t);
    for (int64_t i = 0; i < n; i++) {
        peft_tensor *w = a ? peft_adapter_tensor(a, i) : peft_model_tensor(m, i);
        memcpy(to, w->grad, (size_t)peft__size(w) * sizeof(float));
        to += peft__size(w);
        peft_freeze(ctx, w);
    }
    *count = total;
    return all;
}

// ---- LoRA on a quantized base

static void test_gradients_on(int which, peft_dtype type, peft_dtype embeddings) {
    peft_context *ctx = make_context(2);
    peft_model *q = load_as(ctx, folders[which], true, type, embeddings, type == PEFT_NF4), *f = NULL;
    check(!peft_model_save(q, FOLDER "/expanded", PEFT_F32), "its f32 copy", ctx);
    f = load(ctx, FOLDER "/expanded", false, PEFT_F32, false);
    peft_adapter *a = adapt(q, PEFT_LORA, "all-linear", 0), *b = adapt(f, PEFT_LORA, "all-linear", 0);
    batch *data = (batch *)malloc(sizeof(batch));
    for (int64_t rows = 1; rows <= 40; rows += 13) {  // one row takes other paths than many
        make_batch(data, which <= T5_TIED, rows == 1 ? 1 : 3, rows + 4, which <= T5_TIED ? rows : rows + 4, rows > 3);
        float loss_q, loss_f;
        int64_t n, m;
        size_t memory;
        float *x = gradients(q, a, data, false, 0, &loss_q, &n, &memory), *y = gradients(f, b, data, false, 0, &loss_f, &m, &memory);
        double difference = 0, norm = 0;
        for (int64_t i = 0; i < n && n == m; i++) {
            difference += ((double)x[i] - (double)y[i]) * ((double)x[i] - (double)y[i]);
            norm += (double)y[i] * (double)y[i];
        }
        check(n == m && fabsf(loss_q - loss_f) <= 1e-5f * fabsf(loss_f), "the loss on a quantized base", NULL);
        check(norm > 0 && sqrt(difference / norm) < 1e-5, "LoRA's gradients on a quantized base", NULL);
        if (sqrt(difference / norm) >= 1e-5) printf("  %s %s rows %d: %g\n", model_names[which], peft_dtype_name(type), (int)rows, sqrt(difference / norm));
        free(x), free(y);
    }
    for (int64_t i = 0; i < peft_model_tensor_count(q); i++) check(!peft_model_tensor(q, i)->requires_grad, "the base is frozen", NULL);
    free(data);
    peft_adapter_destroy(a), peft_adapter_destroy(b);
    peft_model_destroy(q), peft_model_destroy(f);
    peft_context_destroy(ctx);
}

// A and B in 16 bits compute what the same values in f32 do; files hold them in 16 bits.
static void test_narrow_adapter(int which, peft_dtype type) {
    peft_context *ctx = make_context(2);
    peft_model *m = load(ctx, folders[which], true, PEFT_NF4, true);
    peft_adapter_desc d;
    memset(&d, 0, sizeof d);
    d.model = m, d.target_modules = "all-linear", d.r = 4, d.seed = 8, d.type = type;
    peft_adapter *narrow = NULL, *wide = NULL, *loaded = NULL;
    check(!peft_adapter_create(&d, &narrow), "an adapter in 16 bits", ctx);
    d.type = PEFT_F32;
    check(!peft_adapter_create(&d, &wide), "an adapter", ctx);
    peft_rng rng;
    peft_rng_seed(&rng, 3);
    for (int64_t i = 0; i < narrow->count; i++) {
        peft_tensor *t = &narrow->tensors[i], *w = &wide->tensors[i];
        check(t->type == type && t->narrow, t->name, NULL);
        for (int64_t k = 0; k < peft__size(w); k++) peft__f32(w)[k] += 0.05f * (float)peft_rng_normal(&rng);
        peft__from_f32(type, peft__f32(w), peft__size(w), (uint16_t *)t->data);
        peft__to_f32(t, 0, peft__size(t), peft__f32(w));
    }
    batch *data = (batch *)malloc(sizeof(batch));
    for (int64_t rows = 1; rows <= 27; rows += 13) {
        make_batch(data, which <= T5_TIED, rows == 1 ? 1 : 3, rows + 4, which <= T5_TIED ? rows : rows + 4, rows > 3);
        float loss[2];
        int64_t n, k;
        size_t memory;
        float *x = gradients(m, narrow, data, false, 0, &loss[0], &n, &memory), *y = gradients(m, wide, data, false, 0, &loss[1], &k, &memory);
        double difference = 0, norm = 0;
        for (int64_t i = 0; i < n && n == k; i++) difference += ((double)x[i] - (double)y[i]) * ((double)x[i] - (double)y[i]), norm += (double)y[i] * (double)y[i];
        check(n == k && fabsf(loss[0] - loss[1]) <= 1e-5f * fabsf(loss[1]), "the loss of an adapter in 16 bits", NULL);
        check(norm > 0 && sqrt(difference / norm) < 1e-5, "gradients of an adapter in 16 bits", NULL);
        free(x), free(y);
    }
    for (int64_t i = 0; i < narrow->count; i++) check(narrow->tensors[i].type == type, "16 bits after training", NULL);
    int64_t small = 0, large = 0;
    check(!peft_adapter_file_size(narrow, &small) && !peft_adapter_file_size(wide, &large) && small < 0.7 * (double)large, "a smaller file", ctx);
    check(!peft_adapter_save(narrow, FOLDER "/narrow") && !peft_adapter_load(m, FOLDER "/narrow", &loaded), "saved and loaded", ctx);
    for (int64_t i = 0; loaded && i < narrow->count; i++) check(loaded->tensors[i].type == PEFT_F32 && same(&loaded->tensors[i], &narrow->tensors[i]), "as saved", NULL);
    peft_adapter_destroy(loaded);
    // merging either adds the same
    peft_model *other = load(ctx, folders[which], true, PEFT_NF4, true);
    check(!peft_adapter_merge(narrow, 1), "merging 16 bits", ctx);
    peft_adapter *copy = NULL;
    check(!peft_adapter_save(wide, FOLDER "/wide_adapter") && !peft_adapter_load(other, FOLDER "/wide_adapter", &copy) && !peft_adapter_merge(copy, 1), "merging 32 bits", ctx);
    for (int64_t i = 0; i < peft_model_tensor_count(m); i++) check(same(peft_model_tensor(m, i), peft_model_tensor(other, i)), "merged alike", NULL);
    free(data);
    peft_adapter_destroy(copy), peft_adapter_destroy(narrow), peft_adapter_destroy(wide);
    peft_model_destroy(other), peft_model_destroy(m);
    peft_context_destroy(ctx);
}

static void test_narrow_errors(void) {
    peft_context *ctx = make_context(1);
    peft_model *m = load(ctx, folders[T5], true, PEFT_F32, false);
    peft_adapter_desc d;
    memset(&d, 0, sizeof d);
    peft_adapter *a = NULL;
    d.model = m, d.type = PEFT_BF16, d.method = PEFT_DORA;
    check(peft_adapter_create(&d, &a) == PEFT_ERROR_ARGUMENT && !a && strstr(peft_error(ctx), "dora in bf16"), "DoRA in 16 bits", ctx);
    d.method = PEFT_LORA, d.pissa = true;
    check(peft_adapter_create(&d, &a) == PEFT_ERROR_ARGUMENT && !a && strstr(peft_error(ctx), "pissa in bf16"), "PiSSA in 16 bits", ctx);
    d.pissa = false, d.type = PEFT_NF4;
    check(peft_adapter_create(&d, &a) == PEFT_ERROR_ARGUMENT && !a && strstr(peft_error(ctx), "nf4"), "an adapter in 4 bits", ctx);
    peft_model_destroy(m);
    peft_context_destroy(ctx);
}

// ---- merging into a base in few bits

static void test_requantize(int which, peft_dtype type, int64_t block, bool nested) {
    peft_context *ctx = make_context(2);
    peft_model_desc md;
    memset(&md, 0, sizeof md);
    md.context = ctx, md.path = folders[which], md.config_only = true, md.seed = 5, md.weights = type, md.block = block, md.double_quant = nested;
    peft_model *m = NULL, *base = NULL, *exact = NULL;
    check(!peft_model_load(&md, &m) && !peft_model_load(&md, &base) && !peft_model_load(&md, &exact), "a model", ctx);
    peft_adapter *a = adapt(m, PEFT_LORA, "all-linear", 0), *b = adapt(exact, PEFT_LORA, "all-linear", 0);
    peft_requantize_error e;
    check(peft_adapter_requantize(a, &e) == PEFT_ERROR_ARGUMENT && e.tensors == 0, "requantizing what is not merged", ctx);
    check(!peft_adapter_merge(a, 1) && !peft_adapter_merge(b, 1) && !peft_adapter_requantize(a, &e), "requantized", ctx);
    double errors = 0, merged = 0, updates = 0, largest = 0;
    int64_t tensors = 0;
    for (int64_t i = 0; i < peft_model_tensor_count(m); i++) {
        const peft_tensor *now = peft_model_tensor(m, i), *was = peft_model_tensor(base, i), *f = peft_model_tensor(exact, i);
        check(now->type == was->type && peft_tensor_bytes(now) == peft_tensor_bytes(was) && (!was->quant || now->quant->source == was->quant->source), now->name, NULL);
        if (!was->quant) continue;
        tensors++;
        peft_quantize_desc d = {type, block, nested};
        peft_tensor *q = NULL;
        check(!peft_quantize(ctx, f, &d, &q) && same(q, now), "as quantizing the sum would", ctx);
        peft_tensor_destroy(ctx, q);
        for (int64_t k = 0; k < peft__size(now); k++) {
            float x, y, z;
            peft__to_f32(was, k, 1, &x), peft__to_f32(f, k, 1, &y), peft__to_f32(now, k, 1, &z);
            errors += ((double)z - (double)y) * ((double)z - (double)y), merged += (double)y * (double)y, updates += ((double)y - (double)x) * ((double)y - (double)x);
            largest = PEFT__MAX(largest, fabs((double)z - (double)y));
        }
    }
    check(tensors > 0 && e.tensors == tensors && fabs(e.relative - sqrt(errors / merged)) < 1e-9 && fabs(e.of_update - sqrt(errors / updates)) < 1e-7 && e.max == largest &&
              e.mean > 0 && e.mean < e.max, "what it costs", NULL);
    check(!peft_model_save(m, FOLDER "/requantized", type), "saved", ctx);
    peft_model *again = load(ctx, FOLDER "/requantized", false, PEFT_F32, false);
    for (int64_t i = 0; again && i < peft_model_tensor_count(m); i++) check(same(peft_model_tensor(again, i), peft_model_tensor(m, i)), "as saved", NULL);
    peft_model_destroy(again);
    check(!peft_adapter_requantize(a, &e) && e.tensors == 0, "nothing is left to requantize", ctx);
    check(!peft_adapter_unmerge(a), "unmerged", ctx);
    for (int64_t i = 0; i < peft_model_tensor_count(m); i++)
        check(peft_model_tensor(m, i)->type == peft_model_tensor(base, i)->type && same(peft_model_tensor(m, i), peft_model_tensor(base, i)), "the base is back", NULL);
    peft_adapter_destroy(a), peft_adapter_destroy(b);
    peft_model_destroy(m), peft_model_destroy(base), peft_model_destroy(exact);
    check(peft_memory_in_use(ctx) < 40000, "nothing stays", NULL);
    peft_context_destroy(ctx);
}

// ---- blocks computed again

static void test_checkpointing(int which, int method, float dropout) {  // method -1: all weights
    peft_context *ctx = make_context(2);
    peft_model *m = load(ctx, folders[which], true, PEFT_F32, false);
    peft_adapter *a = method < 0 ? NULL : adapt(m, (peft_method)method, method == PEFT_LORA ? "all-linear" : NULL, dropout);
    batch *data = (batch *)malloc(sizeof(batch));
    make_batch(data, which <= T5_TIED, 4, 40, which <= T5_TIED ? 24 : 40, true);
    float plain_loss, again_loss;
    int64_t n;
    size_t plain_memory, again_memory;
    float *x = gradients(m, a, data, false, dropout, &plain_loss, &n, &plain_memory), *y = gradients(m, a, data, true, dropout, &again_loss, &n, &again_memory);
    char what[100];
    snprintf(what, sizeof what, "%s, method %d, dropout %g: blocks computed again", model_names[which], method, (double)dropout);
    check(memcmp(&plain_loss, &again_loss, sizeof plain_loss) == 0, what, NULL);
    check(memcmp(x, y, (size_t)n * sizeof(float)) == 0, what, NULL);
    check(method == PEFT_HEAD || again_memory < plain_memory, what, NULL);
    free(x), free(y), free(data);
    peft_adapter_destroy(a);
    peft_model_destroy(m);
    peft_context_destroy(ctx);
}

// What a pass without gradients takes does not grow with the number of blocks, and its loss is that of a pass with them.
static void test_inference(bool pairs) {
    static const char *const names[] = {"flat", "deep"};
    static const int layers[] = {2, 20};
    size_t taken[2];
    batch *data = (batch *)malloc(sizeof(batch));
    make_batch(data, pairs, 4, 40, pairs ? 24 : 40, true);
    for (int k = 0; k < 2; k++) {
        char config[400], path[32];
        peft_context *ctx = make_context(1);
        snprintf(config, sizeof config, pairs
            ? "{\"model_type\": \"t5\", \"d_model\": 64, \"d_kv\": 16, \"num_heads\": 4, \"d_ff\": 96, \"num_layers\": %d, \"vocab_size\": 120}"
            : "{\"model_type\": \"llama\", \"hidden_size\": 64, \"num_attention_heads\": 4, \"num_hidden_layers\": %d, \"intermediate_size\": 96, "
              "\"vocab_size\": 120}", layers[k]);
        snprintf(path, sizeof path, "%s/config.json", names[k]);
        peft_mount(ctx, path, config, strlen(config));
        peft_model *m = load(ctx, names[k], true, PEFT_F32, false);
        peft_adapter *a = adapt(m, PEFT_LORA, "all-linear", 0);
        peft_active_adapter active = {a, 1, 0, 0};
        float loss[2] = {0, 1};
        for (int with = 1; with >= 0; with--) {
            peft_tape *t = NULL;
            peft_tape_create(ctx, &t);
            peft_tape_inference(t, !with);
            size_t before = peft_memory_in_use(ctx);
            const peft_tensor *y = peft_model_loss(m, t, &data->b, &active, 1, 0);
            loss[with] = y ? peft__f32(y)[0] : (float)with;
            taken[k] = peft_memory_in_use(ctx) - before;
            peft_tape_destroy(t);
        }
        check(loss[0] == loss[1], "a loss without gradients", ctx);
        peft_adapter_destroy(a);
        peft_model_destroy(m);
        peft_context_destroy(ctx);
    }
    if (taken[1] > taken[0] + taken[0] / 4) printf("%zu bytes for 2 blocks, %zu for 20\n", taken[0], taken[1]);
    check(taken[1] <= taken[0] + taken[0] / 4, "memory of many blocks without gradients", NULL);
    free(data);
}

// A network of one's own: x -> x + f(x W) V with W and V leaves.
typedef struct own {
    peft_tensor *w, *v;
    float dropout;
} own;

static peft_tensor *own_block(peft_tape *t, peft_tensor *const *inputs, const void *user) {
    const own *o = (const own *)user;
    peft_tensor *h = peft_activation(t, peft_linear(t, inputs[0], o->w, NULL), PEFT_GELU);
    return peft_add(t, inputs[0], peft_dropout(t, peft_linear(t, h, o->v, NULL), o->dropout));
}

static void test_own_segments(bool trained, bool again, float *out, float *loss, peft_status *status) {
    peft_context *ctx = make_context(1);
    peft_tensor *w = NULL, *v = NULL, *x = NULL;
    peft_rng rng;
    peft_rng_seed(&rng, 1);
    peft_tensor_create(ctx, "w", 30, 20, &w), peft_tensor_create(ctx, "v", 20, 30, &v), peft_tensor_create(ctx, "x", 7, 20, &x);
    peft__fill_normal(&rng, w, 0.3), peft__fill_normal(&rng, v, 0.3), peft__fill_normal(&rng, x, 1);
    if (trained) peft_require_grad(ctx, w), peft_require_grad(ctx, x);  // x a leaf that is an input
    peft_tape *t = NULL;
    peft_tape_create(ctx, &t);
    peft_tape_reset(t, 4);
    own o = {w, v, 0.25f};
    peft_tensor *y = x;
    for (int i = 0; i < 3; i++) y = again ? peft_recompute(t, own_block, &y, 1, &o, sizeof o) : own_block(t, &y, &o);
    float target[140] = {0};
    y = peft_mse(t, y, target);
    *loss = y ? peft__f32(y)[0] : -1;
    *status = peft_backward(t, y);
    if (trained) memcpy(out, w->grad, 600 * sizeof(float)), memcpy(out + 600, x->grad, 140 * sizeof(float));
    peft_tape_reset(t, 4);
    check(!again || (!peft_recompute(t, own_block, &x, 5, &o, sizeof o) && peft_tape_status(t) == PEFT_ERROR_ARGUMENT), "too many inputs", ctx);
    peft_tape_destroy(t);
    peft_tensor_destroy(ctx, w), peft_tensor_destroy(ctx, v), peft_tensor_destroy(ctx, x);
    peft_context_destroy(ctx);
}

static void test_own(void) {
    float a[740], b[740], la, lb;
    peft_status sa, sb;
    test_own_segments(true, false, a, &la, &sa), test_own_segments(true, true, b, &lb, &sb);
    check(!sa && !sb && la == lb && memcmp(a, b, sizeof a) == 0, "segments of one's own network", NULL);
    test_own_segments(false, true, b, &lb, &sb);
    check(sb == PEFT_ERROR_ARGUMENT && la == lb, "segments without anything trainable", NULL);
}

// ---- optimizers

static const peft_optimizer_kind kinds[] = {PEFT_ADAMW, PEFT_ADAMW_8BIT, PEFT_ADAFACTOR, PEFT_SGD, PEFT_LION};

// Straight from the formulas, in double, one element after the other.
typedef struct reference {
    double p[6000], m[6000], v[6000], rows[400], cols[400];
} reference;

static void reference_step(reference *r, peft_optimizer_kind kind, const float *g, int64_t rows, int64_t cols, int t, double lr, double decay) {
    int64_t n = rows * cols;
    double d = 1 - pow(t, -0.8), mean = 0, sum = 0;
    static double u[6000];
    if (kind == PEFT_ADAFACTOR) {
        for (int64_t i = 0; i < rows; i++) r->rows[i] *= d;
        for (int64_t i = 0; i < cols; i++) r->cols[i] *= d;
        for (int64_t i = 0; i < n; i++) r->rows[i / cols] += (1 - d) * ((double)g[i] * g[i] + 1e-30) / (double)cols;
        for (int64_t i = 0; i < n; i++) r->cols[i % cols] += (1 - d) * ((double)g[i] * g[i] + 1e-30) / (double)rows;
        for (int64_t i = 0; i < rows; i++) mean += r->rows[i] / (double)rows;
        for (int64_t i = 0; i < n; i++) {
            r->v[i] = d * r->v[i] + (1 - d) * ((double)g[i] * g[i] + 1e-30);
            u[i] = g[i] / sqrt(rows > 1 ? r->rows[i / cols] * r->cols[i % cols] / mean : r->v[i]);
            sum += u[i] * u[i];
        }
    }
    double rms = sqrt(sum / (double)n);
    for (int64_t i = 0; i < n; i++) {
        r->p[i] *= 1 - lr * decay;
        switch (kind) {
        case PEFT_ADAFACTOR: r->p[i] -= lr * u[i] / (rms > 1 ? rms : 1); break;
        case PEFT_SGD: r->m[i] = 0.9 * r->m[i] + g[i], r->p[i] -= lr * r->m[i]; break;
        case PEFT_LION: {
            double c = 0.9 * r->m[i] + 0.1 * g[i];
            r->p[i] -= c > 0 ? lr : c < 0 ? -lr : 0;
            r->m[i] = 0.99 * r->m[i] + 0.01 * g[i];
            break;
        }
        default:
            r->m[i] = 0.9 * r->m[i] + 0.1 * g[i], r->v[i] = 0.999 * r->v[i] + 0.001 * g[i] * g[i];
            r->p[i] -= lr * (r->m[i] / (1 - pow(0.9, t))) / (sqrt(r->v[i] / (1 - pow(0.999, t))) + 1e-8);
        }
    }
}

static void test_formulas(peft_optimizer_kind kind, int64_t rows, int64_t cols, double tolerance) {
    peft_context *ctx = make_context(2);
    static reference r;
    memset(&r, 0, sizeof r);
    peft_tensor *w = NULL;
    peft_tensor_create(ctx, "w", rows, cols, &w);
    peft_rng rng;
    peft_rng_seed(&rng, 2);
    peft__fill_normal(&rng, w, 1);
    for (int64_t i = 0; i < rows * cols; i++) r.p[i] = peft__f32(w)[i];
    peft_optimizer_desc d;
    memset(&d, 0, sizeof d);
    d.context = ctx, d.tensors = &w, d.count = 1, d.kind = kind, d.weight_decay = 0.1f;
    peft_optimizer *o = NULL;
    check(!peft_optimizer_create(&d, &o), "an optimizer", ctx);
    double worst = 0;
    for (int t = 1; t <= 12; t++) {
        for (int64_t i = 0; i < rows * cols; i++) w->grad[i] = (float)peft_rng_normal(&rng) * (i % 5 ? 0.1f : 1.0f);
        reference_step(&r, kind, w->grad, rows, cols, t, 0.01, 0.1);
        peft_optimizer_step(o, 0.01f);
        for (int64_t i = 0; i < rows * cols; i++) worst = PEFT__MAX(worst, fabs(r.p[i] - (double)peft__f32(w)[i]));
    }
    for (int64_t i = 0; i < rows * cols; i++)
        if (w->grad[i] != 0) worst = 1e9;
    check(worst < tolerance, peft_optimizer_name(kind), ctx);
    if (!(worst < tolerance)) printf("  %lld x %lld: off by %g\n", (long long)rows, (long long)cols, worst);
    peft_optimizer_destroy(o);
    peft_tensor_destroy(ctx, w);
    peft_context_destroy(ctx);
}

static void test_maps(void) {  // numbers of bitsandbytes' create_dynamic_map: how many, the ends, a rise, both signs
    float with[256], without[256];
    peft__dynamic_map_of(with, true), peft__dynamic_map_of(without, false);
    bool rising = true;
    for (int i = 1; i < 256; i++) rising = rising && with[i] > with[i - 1] && without[i] > without[i - 1];
    check(rising && with[0] > -0.993f && with[0] < -0.9929f && with[127] == 0 && with[255] == 1, "the signed map", NULL);
    check(without[0] == 0 && without[255] == 1 && fabsf(without[1] - 3.25e-7f) < 1e-12f && fabsf(without[2] - 7.75e-7f) < 1e-12f && fabsf(without[254] - 0.996484f) < 1e-6f,
          "the unsigned map", NULL);
}

// Training on text: the letters' model of a few sentences.
static char vocabulary[1200], examples[3000];
static size_t vocabulary_size;

static void put_piece(const char *text, float score, int type) {
    size_t n = strlen(text);
    unsigned char head[] = {0x0A, (unsigned char)(n + 9), 0x0A, (unsigned char)n}, tail[] = {0x15, 0, 0, 0, 0, 0x18, (unsigned char)type};
    uint32_t bits = peft__float_bits(score);
    for (int i = 0; i < 4; i++) tail[1 + i] = (unsigned char)(bits >> 8 * i);
    char *to = vocabulary + vocabulary_size;
    memcpy(to, head, 4), memcpy(to + 4, text, n), memcpy(to + 4 + n, tail, 7);
    vocabulary_size += n + 11;
}

static void make_texts(void) {
    put_piece("<pad>", 0, 3), put_piece("</s>", 0, 3), put_piece("<unk>", 0, 2), put_piece("\xE2\x96\x81", -1, 1);
    for (char c = 'a'; c <= 'z'; c++) {
        char text[2] = {c, 0};
        put_piece(text, -2, 1);
    }
    static const unsigned char unigram[] = {0x12, 2, 0x18, 1};
    memcpy(vocabulary + vocabulary_size, unigram, 4);
    vocabulary_size += 4;
    char *out = examples;
    for (int i = 0; i < 21; i++) out += sprintf(out, "{\"prompt\": \"%c%c%c %c\", \"completion\": \"%c%c\"}\n", 'a' + i, 'b' + i, 'a' + i % 7, 'c' + i % 5, 'a' + i % 5, 'a' + i);
}

typedef struct run {
    peft_context *ctx;
    peft_model *model;
    peft_adapter *adapter;
    peft_dataset *data;
    peft_train_desc d;
} run;

static run begin_run(int threads, bool lora, peft_dtype weights, peft_optimizer_kind kind) {
    run r;
    memset(&r, 0, sizeof r);
    r.ctx = make_context(threads);
    peft_mount(r.ctx, "m0/spiece.model", vocabulary, vocabulary_size);
    peft_mount(r.ctx, "data.jsonl", examples, strlen(examples));
    r.model = load(r.ctx, "m0", true, weights, weights == PEFT_NF4);
    peft_adapter_desc a;
    memset(&a, 0, sizeof a);
    a.model = r.model, a.target_modules = "all-linear", a.dropout = 0.1f, a.r = 8;
    if (lora) check(!peft_adapter_create(&a, &r.adapter), "an adapter", r.ctx);
    peft_dataset_desc data;
    memset(&data, 0, sizeof data);
    data.context = r.ctx, data.path = "data.jsonl";
    check(!peft_dataset_load(&data, &r.data), "examples", r.ctx);
    r.d.model = r.model, r.d.adapter = r.adapter, r.d.data = r.data, r.d.optimizer = kind, r.d.batch_size = 4, r.d.max_steps = 9, r.d.dropout = 0.1f, r.d.seed = 3;
    return r;
}

static void end_run(run *r) {
    peft_adapter_destroy(r->adapter);
    peft_dataset_destroy(r->data);
    peft_model_destroy(r->model);
    peft_context_destroy(r->ctx);
}

static bool same_trained(const run *a, const run *b) {
    bool equal = true;
    int64_t n = a->adapter ? peft_adapter_tensor_count(a->adapter) : peft_model_tensor_count(a->model);
    for (int64_t i = 0; i < n && equal; i++)
        equal = a->adapter ? same(peft_adapter_tensor(a->adapter, i), peft_adapter_tensor(b->adapter, i)) : same(peft_model_tensor(a->model, i), peft_model_tensor(b->model, i));
    return equal;
}

static bool stop_at_4(const peft_progress *p, void *user) {
    (void)user;
    return p->step != 4;
}

static bool keep_losses(const peft_progress *p, void *user) {
    ((double *)user)[p->step - 1] = p->loss;
    return true;
}

static void test_optimizer_runs(peft_optimizer_kind kind, bool lora) {
    run a = begin_run(1, lora, lora ? PEFT_NF4 : PEFT_F32, kind), b = begin_run(3, lora, lora ? PEFT_NF4 : PEFT_F32, kind);
    run c = begin_run(1, lora, lora ? PEFT_NF4 : PEFT_F32, kind), e = begin_run(1, lora, lora ? PEFT_NF4 : PEFT_F32, kind);
    check(!peft_train(&a.d, NULL), "training", a.ctx);
    check(!peft_train(&b.d, NULL) && same_trained(&a, &b), "threads change nothing", b.ctx);
    // stopped and resumed, the second part with its state in a file, blocks computed again
    c.d.checkpoint = e.d.checkpoint = FOLDER "/state.peft";
    c.d.progress = stop_at_4;
    check(peft_train(&c.d, NULL) == PEFT_CANCELLED, "stopped", c.ctx);
    e.d.resume = true, e.d.optimizer_file = FOLDER "/scratch", e.d.checkpoint_blocks = true;
    check(!peft_train(&e.d, NULL) && same_trained(&a, &e), "resumed", e.ctx);
    FILE *left = fopen(FOLDER "/scratch", "rb");
    check(!left, "the scratch file is gone", NULL);
    if (left) fclose(left);
    // another optimizer's checkpoint
    e.d.optimizer = kind == PEFT_SGD ? PEFT_LION : PEFT_SGD;
    check(peft_train(&e.d, NULL) == PEFT_ERROR_ARGUMENT && strstr(peft_error(e.ctx), peft_optimizer_name(kind)), "another optimizer's state", e.ctx);
    remove(FOLDER "/state.peft");
    // the state in memory of the caller
    run f = begin_run(1, lora, lora ? PEFT_NF4 : PEFT_F32, kind);
    int64_t n = lora ? f.adapter->count : peft_model_tensor_count(f.model);
    const peft_tensor **tensors = (const peft_tensor **)malloc((size_t)n * sizeof *tensors);
    for (int64_t i = 0; i < n; i++) tensors[i] = lora ? peft_adapter_tensor(f.adapter, i) : peft_model_tensor(f.model, i);
    size_t size = peft_optimizer_state_size(kind, tensors, n);
    char *state = (char *)malloc(size + 8);
    memset(state, 0x5A, size + 8);
    f.d.optimizer_state = state, f.d.optimizer_state_size = size - 1;
    check(peft_train(&f.d, NULL) == PEFT_ERROR_ARGUMENT && strstr(peft_error(f.ctx), "state_buffer"), "a buffer that is too small", f.ctx);
    f.d.optimizer_state_size = size;
    check(!peft_train(&f.d, NULL) && same_trained(&a, &f), "the state in the caller's memory", f.ctx);
    check(memcmp(state + size, "ZZZZZZZZ", 8) == 0, "no byte behind it", NULL);
    free(state), free((void *)tensors);
    end_run(&a), end_run(&b), end_run(&c), end_run(&e), end_run(&f);
}

static void test_learning(peft_optimizer_kind kind) {
    run a = begin_run(1, true, PEFT_NF4, kind);
    double before = 0, after = 0;
    a.d.max_steps = 120;
    peft_evaluate_loss(a.model, a.adapter, a.data, 0, 0, &before);
    check(!peft_train(&a.d, NULL) && !peft_evaluate_loss(a.model, a.adapter, a.data, 0, 0, &after) && after < 0.8 * before, "the loss falls at the default rate", a.ctx);
    if (!(after < 0.8 * before)) printf("  %s: %g to %g\n", peft_optimizer_name(kind), before, after);
    end_run(&a);
}

static void test_8bit_follows(bool lora) {
    run a = begin_run(1, lora, PEFT_F32, PEFT_ADAMW), b = begin_run(1, lora, PEFT_F32, PEFT_ADAMW_8BIT);
    static double x[200], y[200];
    a.d.max_steps = b.d.max_steps = 200, a.d.progress = b.d.progress = keep_losses, a.d.progress_user = x, b.d.progress_user = y;
    check(!peft_train(&a.d, NULL) && !peft_train(&b.d, NULL), "200 steps", a.ctx);
    double sum_a = 0, sum_b = 0;
    for (int i = 0; i < 200; i++) sum_a += x[i], sum_b += y[i];
    check(fabs(sum_b / sum_a - 1) < 0.02, "8 bits follow 32", NULL);
    if (!(fabs(sum_b / sum_a - 1) < 0.02)) printf("  mean loss %g and %g\n", sum_a / 200, sum_b / 200);
    end_run(&a), end_run(&b);
}

// Master weights: small steps are not lost in 16 bits. Threads, a stop and a scratch file change nothing.
static void test_narrow_training(peft_optimizer_kind kind, peft_dtype type) {
    enum { WIDE, NARROW, THREADS, STOPPED, RESUMED, RUNS };
    run r[RUNS];
    for (int i = 0; i < RUNS; i++) {
        r[i] = begin_run(i == THREADS ? 3 : 1, false, PEFT_NF4, kind);
        peft_adapter_desc a;
        memset(&a, 0, sizeof a);
        a.model = r[i].model, a.target_modules = "all-linear", a.dropout = 0.1f, a.r = 8, a.type = i == WIDE ? PEFT_F32 : type;
        check(!peft_adapter_create(&a, &r[i].adapter), "an adapter", r[i].ctx);
        r[i].d.adapter = r[i].adapter, r[i].d.validation = r[i].data, r[i].d.keep_best = true;
        r[i].d.learning_rate = kind == PEFT_SGD ? 0.01f : 1e-4f, r[i].d.max_steps = 60;  // f16 and bf16 alone would round most of these steps away
    }
    r[STOPPED].d.checkpoint = r[RESUMED].d.checkpoint = FOLDER "/narrow.peft";
    r[STOPPED].d.progress = stop_at_4, r[RESUMED].d.resume = true, r[RESUMED].d.optimizer_file = FOLDER "/scratch";
    double loss[2], start;
    check(!peft_evaluate_loss(r[WIDE].model, NULL, r[WIDE].data, 0, 0, &start), "the loss before", NULL);
    for (int i = 0; i < RUNS; i++) check(peft_train(&r[i].d, NULL) == (i == STOPPED ? PEFT_CANCELLED : PEFT_OK), "training in 16 bits", r[i].ctx);
    for (int i = 0; i < 2; i++) check(!peft_evaluate_loss(r[i].model, r[i].adapter, r[i].data, 0, 0, &loss[i]), "the loss", r[i].ctx);
    check(start - loss[WIDE] > 0.01 && fabs(loss[NARROW] - loss[WIDE]) < 0.05 * (start - loss[WIDE]), "16 bits follow 32", NULL);
    if (!(fabs(loss[NARROW] - loss[WIDE]) < 0.05 * (start - loss[WIDE]))) printf("  %s %s: %g, %g from %g\n", peft_optimizer_name(kind), peft_dtype_name(type), loss[WIDE], loss[NARROW], start);
    check(same_trained(&r[NARROW], &r[THREADS]) && same_trained(&r[NARROW], &r[RESUMED]), "16 bits, bit for bit", NULL);
    r[WIDE].d.checkpoint = FOLDER "/narrow.peft", r[WIDE].d.resume = true;
    check(peft_train(&r[WIDE].d, NULL) == PEFT_ERROR_SHAPE, "a checkpoint of another type", r[WIDE].ctx);
    remove(FOLDER "/narrow.peft");
    for (int i = 0; i < RUNS; i++) end_run(&r[i]);
}

static void test_optimizer_errors(void) {
    run a = begin_run(1, true, PEFT_F32, (peft_optimizer_kind)9);
    check(peft_train(&a.d, NULL) == PEFT_ERROR_ARGUMENT, "no such optimizer", a.ctx);
    a.d.optimizer = PEFT_ADAMW, a.d.optimizer_file = "build/no/such/folder";
    check(peft_train(&a.d, NULL) == PEFT_ERROR_IO && strstr(peft_error(a.ctx), "build/no/such/folder"), "no folder for the scratch file", a.ctx);
    FILE *f = fopen(FOLDER "/precious", "wb");
    if (f) fputs("mine", f), fclose(f);
    a.d.optimizer_file = FOLDER "/precious";
    check(peft_train(&a.d, NULL) == PEFT_ERROR_IO && file_says(a.ctx, FOLDER "/precious", "mine"), "a file that is there is left alone", a.ctx);
    static char buffer[64];
    a.d.optimizer_state = buffer, a.d.optimizer_state_size = 64;
    check(peft_train(&a.d, NULL) == PEFT_ERROR_ARGUMENT, "two places for the state", a.ctx);
    peft_optimizer_kind kind;
    for (int i = 0; i < 5; i++) check(peft_optimizer_named(peft_optimizer_name(kinds[i]), &kind) && kind == kinds[i], "names", NULL);
    check(!peft_optimizer_named("adam", &kind), "a name that is none", NULL);
    end_run(&a);
}

// ---- the plan against the truth

static size_t measure(const peft_plan_desc *d, bool random) {
    peft_context *ctx = make_context(peft_thread_count(d->context));
    peft_model_desc md;
    memset(&md, 0, sizeof md);
    md.context = ctx, md.path = d->path, md.config_only = random, md.weights = d->weights, md.block = d->block, md.double_quant = d->double_quant, md.embeddings = d->embeddings;
    peft_model *m = NULL;
    check(!peft_model_load(&md, &m), d->path, ctx);
    peft_adapter *a = NULL;
    peft_adapter_desc ad;
    memset(&ad, 0, sizeof ad);
    if (d->adapter) ad = *d->adapter, ad.model = m, check(!peft_adapter_create(&ad, &a), "an adapter", ctx);
    int64_t n = a ? peft_adapter_tensor_count(a) : peft_model_tensor_count(m);
    peft_tensor **tensors = (peft_tensor **)malloc((size_t)n * sizeof *tensors);
    for (int64_t i = 0; i < n; i++) tensors[i] = a ? peft_adapter_tensor(a, i) : peft_model_tensor(m, i);
    peft_optimizer_desc od;
    memset(&od, 0, sizeof od);
    od.context = ctx, od.tensors = tensors, od.count = n, od.kind = d->optimizer, od.state_file = d->optimizer_elsewhere ? FOLDER "/scratch" : NULL;
    peft_optimizer *o = NULL;
    peft_tape *t = NULL;
    check(!peft_optimizer_create(&od, &o) && !peft_tape_create(ctx, &t), "an optimizer", ctx);
    peft_tape_checkpoint_blocks(t, d->checkpoint_blocks);
    batch *b = (batch *)malloc(sizeof(batch));
    bool pairs = peft_model_config(m)->encoder_decoder;
    make_batch(b, pairs, d->batch_size, d->source, pairs ? d->target : d->source + d->target - 1, false);
    for (int64_t i = 0; !pairs && i < b->target_offsets[d->batch_size]; i++) b->labels[i] = i % (d->source + d->target - 1) < d->source - 1 ? -100 : 5;
    peft_active_adapter active = {a, 1, 0, 0};
    m->dropout = d->dropout;
    for (int step = 0; step < 2; step++) {
        peft_tape_reset(t, (uint64_t)step);
        peft_tensor *loss = peft_model_loss(m, t, &b->b, &active, a ? 1 : 0, 0);
        check(loss && !peft_backward(t, loss), "a step", ctx);
        peft_optimizer_step(o, 1e-4f);
    }
    size_t peak = peft_memory_peak(ctx);
    free(b), free(tensors);
    peft_tape_destroy(t);
    peft_optimizer_destroy(o);
    peft_adapter_destroy(a);
    peft_model_destroy(m);
    peft_context_destroy(ctx);
    return peak;
}

static peft_dtype adapter_type;  // of LoRA in test_plan

static void test_plan(peft_context *ctx, const char *path, bool random, peft_dtype weights, int method, peft_optimizer_kind kind, bool again, int64_t size, int64_t source,
                      int64_t target, float dropout) {
    peft_adapter_desc a;
    memset(&a, 0, sizeof a);
    a.method = method < 0 ? PEFT_LORA : (peft_method)method, a.target_modules = a.method == PEFT_LORA ? "all-linear" : NULL, a.dropout = dropout;
    a.type = a.method == PEFT_LORA ? adapter_type : PEFT_F32;
    peft_plan_desc d;
    memset(&d, 0, sizeof d);
    d.context = ctx, d.path = path, d.weights = weights, d.double_quant = weights == PEFT_NF4, d.adapter = method < 0 ? NULL : &a, d.optimizer = kind;
    d.checkpoint_blocks = again, d.batch_size = size, d.source = source, d.target = target, d.dropout = dropout;
    d.optimizer_elsewhere = kind == PEFT_LION, d.embeddings = weights == PEFT_NF4 && size == 1 ? PEFT_BF16 : weights == PEFT_I8 ? PEFT_NF4 : PEFT_F32;
    peft_memory_plan plan;
    size_t before = peft_memory_in_use(ctx);
    check(!peft_plan_memory(&d, &plan), "a plan", ctx);
    check(peft_memory_in_use(ctx) == before, "a plan leaves nothing behind", NULL);
    size_t measured = measure(&d, random), planned = plan.total - plan.mapped;
    double ratio = (double)planned / (double)measured;
    check(ratio > 0.95 && ratio < 1.05, "the plan is true", NULL);
    printf("  %-18s %-5s %-10s %-9s %s %lld x (%lld, %lld): planned %9.2f kB, measured %9.2f kB, ratio %.3f\n", path, peft_dtype_name(weights),
           method < 0 ? "full" : peft_method_at(method)->name, peft_optimizer_name(kind), again ? "again" : "     ", (long long)size, (long long)source, (long long)target,
           (double)planned / 1e3, (double)measured / 1e3, ratio);
}

// Gemma 2 caps its logits: slices of them, never those of all tokens (here 88 MB).
static void test_capped(void) {
    static const char config[] =
        "{\"model_type\": \"gemma2\", \"hidden_size\": 64, \"num_attention_heads\": 4, \"num_key_value_heads\": 2, \"num_hidden_layers\": 2,\n"
        " \"head_dim\": 16, \"intermediate_size\": 96, \"vocab_size\": 50000, \"sliding_window\": 4}\n";
    peft_context *ctx = make_context(1);
    peft_mount(ctx, "capped/config.json", config, strlen(config));
    peft_adapter_desc a;
    memset(&a, 0, sizeof a);
    peft_plan_desc d;
    memset(&d, 0, sizeof d);
    d.context = ctx, d.path = "capped", d.adapter = &a, d.batch_size = 2, d.source = 200, d.target = 20;
    peft_memory_plan plan;
    check(!peft_plan_memory(&d, &plan), "a plan of capped logits", ctx);
    check(plan.activations < 30 * 1000 * 1000, "capped logits are made in slices", NULL);
    peft_context_destroy(ctx);
}

// Of a block only what a backward reads and what takes long to compute is kept: of 1,024 tokens of T5-small's encoder the
// inputs of both halves, q, k, v, what attention gives, and the two halves of the gated layer; no norms, no product.
static void test_kept(peft_context *ctx) {
    peft_adapter_desc a;
    memset(&a, 0, sizeof a);
    a.target_modules = "q,v";
    peft_plan_desc d;
    memset(&d, 0, sizeof d);
    d.context = ctx, d.path = "small", d.adapter = &a, d.batch_size = 4, d.source = 256, d.target = 64;
    peft_memory_plan plan;
    check(!peft_plan_memory(&d, &plan), "a plan of what is kept", ctx);
    int64_t source = 1024 * (2 * 512 + 4 * 384 + 2 * 1024), target = 256 * (3 * 512 + 6 * 384 + 2 * 1024), cross = 1024 * 2 * 384;
    double kept = 4.0 * 8 * (double)(source + target + cross);
    check((double)plan.activations < 1.25 * kept, "norms and gated products are not kept", NULL);
}

static void test_plans(void) {
    peft_context *ctx = make_context(2);
    static const char demo[] = "tests/data/model";
    test_plan(ctx, demo, false, PEFT_F32, -1, PEFT_ADAMW, false, 4, 60, 20, 0);
    test_plan(ctx, demo, false, PEFT_F32, -1, PEFT_ADAFACTOR, true, 4, 60, 20, 0.1f);
    test_plan(ctx, demo, false, PEFT_F32, PEFT_LORA, PEFT_ADAMW, false, 8, 80, 20, 0.1f);
    test_plan(ctx, demo, false, PEFT_NF4, PEFT_LORA, PEFT_ADAMW_8BIT, true, 4, 80, 20, 0);
    test_plan(ctx, demo, false, PEFT_NF4, PEFT_LORA, PEFT_ADAMW, false, 1, 80, 20, 0);
    test_plan(ctx, demo, false, PEFT_I8, PEFT_LORA, PEFT_LION, false, 4, 80, 20, 0);
    test_plan(ctx, demo, false, PEFT_BF16, PEFT_LORA, PEFT_SGD, true, 4, 80, 20, 0);
    for (int method = PEFT_DORA; method <= PEFT_HEAD; method++) test_plan(ctx, demo, false, PEFT_F32, method, PEFT_ADAMW, method % 2, 4, 60, 20, 0);
    test_plan(ctx, "small", true, PEFT_F32, PEFT_LORA, PEFT_ADAMW, false, 2, 96, 32, 0);
    test_kept(ctx);
    test_plan(ctx, "small", true, PEFT_NF4, PEFT_LORA, PEFT_ADAMW_8BIT, true, 1, 128, 32, 0);
    test_plan(ctx, "small", true, PEFT_NF4, PEFT_LORA, PEFT_ADAMW, false, 4, 128, 32, 0.05f);
    test_plan(ctx, "small", true, PEFT_F32, PEFT_PROMPT_TUNING, PEFT_ADAMW, true, 2, 64, 16, 0);
    test_plan(ctx, "small", true, PEFT_F32, -1, PEFT_ADAMW_8BIT, true, 1, 64, 16, 0);
    adapter_type = PEFT_BF16;
    test_plan(ctx, demo, false, PEFT_NF4, PEFT_LORA, PEFT_ADAMW_8BIT, true, 4, 80, 20, 0);
    test_plan(ctx, demo, false, PEFT_NF4, PEFT_LORA, PEFT_LION, false, 1, 20, 8, 0);
    adapter_type = PEFT_F32;
    for (int which = T5_TIED; which < MODELS; which++) {
        test_plan(ctx, folders[which], true, PEFT_F32, -1, PEFT_ADAMW, false, 4, 20, 12, 0);
        test_plan(ctx, folders[which], true, PEFT_F32, PEFT_LORA, PEFT_ADAMW, false, 4, 20, 12, 0);
        test_plan(ctx, folders[which], true, PEFT_NF4, PEFT_LORA, PEFT_ADAMW, true, 4, 20, 12, 0);
        test_plan(ctx, folders[which], true, PEFT_F32, PEFT_PROMPT_TUNING, PEFT_ADAMW, false, 4, 20, 12, 0);
    }
    // Blocks of a GGUF file stay as they are: mapped, and f32 where all is trained.
    static const char blocks[] = FOLDER "/demo.gguf";
    peft_model *whole = load(ctx, demo, false, PEFT_F32, false);
    check(whole && !peft_model_save(whole, blocks, PEFT_I8), "a model as GGUF", ctx);
    peft_model_destroy(whole);
    test_plan(ctx, blocks, false, PEFT_F32, PEFT_LORA, PEFT_ADAMW, false, 4, 80, 20, 0);
    test_plan(ctx, blocks, false, PEFT_F32, -1, PEFT_ADAMW, false, 4, 60, 20, 0);
    remove(blocks);
    // What no machine of ours could hold.
    static const char llama[] = "{\"model_type\": \"llama\", \"hidden_size\": 8192, \"num_attention_heads\": 64, \"num_hidden_layers\": 80, \"intermediate_size\": 22016,\n"
                                " \"vocab_size\": 32000}";
    peft_mount(ctx, "llama-65b.json", llama, strlen(llama));
    peft_plan_desc d;
    memset(&d, 0, sizeof d);
    d.context = ctx, d.path = "llama-65b.json", d.batch_size = 1;
    peft_memory_plan plan;
    check(!peft_plan_memory(&d, &plan) && plan.parameters == 65285660672 && plan.total > (size_t)1 << 39, "65 billion parameters", ctx);
    static const char xxl[] = "{\"model_type\": \"t5\", \"d_model\": 4096, \"d_kv\": 64, \"num_heads\": 64, \"d_ff\": 10240, \"num_layers\": 24, \"vocab_size\": 32128,\n"
                              " \"feed_forward_proj\": \"gated-gelu\", \"tie_word_embeddings\": false}";
    peft_mount(ctx, "flan-t5-xxl/config.json", xxl, strlen(xxl));
    d.path = "flan-t5-xxl";
    check(!peft_plan_memory(&d, &plan) && plan.parameters == 11135332352 && plan.weights == 4 * (size_t)plan.parameters && plan.gradients == plan.weights &&
              plan.optimizer == 2 * plan.weights, "FLAN-T5-XXL, all of it", ctx);
    peft_adapter_desc lora;
    memset(&lora, 0, sizeof lora);
    lora.target_modules = "all-linear";
    d.weights = PEFT_NF4, d.double_quant = true, d.adapter = &lora, d.embeddings = PEFT_BF16, d.checkpoint_blocks = true;
    check(!peft_plan_memory(&d, &plan) && plan.weights + plan.scales > 5.9e9 && plan.weights + plan.scales < 6.3e9 && plan.total < 9e9, "FLAN-T5-XXL by QLoRA", ctx);
    static const char base[] = "{\"model_type\": \"t5\", \"d_model\": 768, \"d_kv\": 64, \"num_heads\": 12, \"d_ff\": 2048, \"num_layers\": 12, \"vocab_size\": 32128,\n"
                               " \"feed_forward_proj\": \"gated-gelu\", \"tie_word_embeddings\": false}";
    peft_mount(ctx, "flan-t5-base/config.json", base, strlen(base));
    d.path = "flan-t5-base", d.source = 256, d.target = 64, d.embeddings = PEFT_F32;
    check(!peft_plan_memory(&d, &plan) && plan.parameters == 247577856 && plan.total < 450e6, "FLAN-T5-base by QLoRA", ctx);
    d.source = d.target = 0;
    d.weights = PEFT_F32, d.double_quant = d.checkpoint_blocks = false, d.adapter = NULL;
    d.path = "nothing.json";
    check(peft_plan_memory(&d, &plan) == PEFT_ERROR_MISSING && strstr(peft_error(ctx), "nothing.json") && plan.total == 0, "no such file", ctx);
    d.path = NULL;
    check(peft_plan_memory(&d, &plan) == PEFT_ERROR_ARGUMENT, "no path", ctx);
    d.path = "llama-65b.json", d.source = INT64_MAX;
    check(peft_plan_memory(&d, &plan) == PEFT_ERROR_ARGUMENT, "sequences beyond all bounds", ctx);
    peft_adapter_desc a;
    memset(&a, 0, sizeof a);
    a.target_modules = "nope", d.adapter = &a, d.source = 0;
    check(peft_plan_memory(&d, &plan) == PEFT_ERROR_ARGUMENT && strstr(peft_error(ctx), "nope"), "an adapter of nothing", ctx);
    peft_context_destroy(ctx);
}

// ---- any allocation may fail

static peft_status whole_path(counter *c, peft_optimizer_kind kind) {
    peft_context_desc cd;
    memset(&cd, 0, sizeof cd);
    COUNT_IN(cd, *c);
    peft_context *ctx = NULL;
    if (peft_context_create(&cd, &ctx)) return PEFT_ERROR_MEMORY;
    peft_status status = peft_mount(ctx, "m0/config.json", configs[T5], strlen(configs[T5]));
    peft_plan_desc pd;
    memset(&pd, 0, sizeof pd);
    peft_adapter_desc ad;
    memset(&ad, 0, sizeof ad);
    peft_memory_plan plan;
    pd.context = ctx, pd.path = "m0", pd.weights = PEFT_NF4, pd.adapter = &ad, pd.batch_size = 1, pd.source = pd.target = 4, pd.checkpoint_blocks = true;
    if (!status) status = peft_plan_memory(&pd, &plan);
    peft_model_desc md;
    memset(&md, 0, sizeof md);
    md.context = ctx, md.path = "m0", md.config_only = true, md.weights = PEFT_NF4, md.double_quant = true, md.embeddings = PEFT_BF16;
    peft_model *m = NULL;
    peft_adapter *a = NULL;
    if (!status) status = peft_model_load(&md, &m);
    ad.model = m;
    if (!status) status = peft_adapter_create(&ad, &a);
    peft_optimizer *o = NULL;
    peft_tape *t = NULL;
    peft_tensor *tensors[40];
    for (int64_t i = 0; a && i < peft_adapter_tensor_count(a) && i < 40; i++) tensors[i] = peft_adapter_tensor(a, i);
    peft_optimizer_desc od;
    memset(&od, 0, sizeof od);
    od.context = ctx, od.tensors = tensors, od.count = a ? peft_adapter_tensor_count(a) : 0, od.kind = kind;
    if (!status) status = peft_optimizer_create(&od, &o);
    if (!status) status = peft_tape_create(ctx, &t);
    static batch b;
    make_batch(&b, true, 2, 6, 6, true);
    for (int step = 0; step < 2 && !status; step++) {
        peft_tape_checkpoint_blocks(t, step == 0);
        peft_tape_reset(t, 1);
        peft_active_adapter active = {a, 1, 0, 0};
        peft_tensor *loss = peft_model_loss(m, t, &b.b, &active, 1, 0);
        status = loss ? peft_backward(t, loss) : peft_tape_status(t);
        if (!status) peft_optimizer_step(o, 1e-3f);
    }
    if (!status) status = peft_model_save(m, FOLDER "/oom", PEFT_F32);
    if (!status) status = peft_model_save(m, FOLDER "/oom", PEFT_NF4);
    peft_tape_destroy(t);
    peft_optimizer_destroy(o);
    peft_adapter_destroy(a);
    peft_model_destroy(m);
    peft_context_destroy(ctx);
    return status;
}

static void test_failing_memory(peft_optimizer_kind kind) {
    long n = 1;
    for (;; n++) {
        counter c = {.fail_at = n};
        peft_status status = whole_path(&c, kind);
        bool survived = !status && c.calls < n;
        check((survived || status == PEFT_ERROR_MEMORY) && c.live == 0, "a failing allocation", NULL);
        if (!survived && (status != PEFT_ERROR_MEMORY || c.live)) printf("  call %ld: status %d, %ld blocks left\n", n, (int)status, c.live);
        if (survived || n > 5000) break;
    }
    check(n > 200 && n <= 5000, "the end is reached", NULL);
}

int main(int argc, char **argv) {
    (void)argv;
    setvbuf(stdout, NULL, _IOLBF, 0);
    peft_context *ctx = make_context(1);
    check(!peft__make_folder(ctx, "build") && !peft__make_folder(ctx, FOLDER), "a folder for the output", ctx);
    peft_context_destroy(ctx);
    make_texts();
    for (int which = 0; which < MODELS; which++) {
        test_load_types(which);
        test_files(which);
        test_embeddings(which, PEFT_F32, PEFT_NF4);
        test_embeddings(which, PEFT_NF4, PEFT_I8);
        test_gradients_on(which, PEFT_NF4, PEFT_F32);
        test_gradients_on(which, PEFT_FP4, PEFT_I8);
        test_gradients_on(which, PEFT_I8, PEFT_NF4);
        test_gradients_on(which, PEFT_BF16, PEFT_BF16);
        test_gradients_on(which, PEFT_F16, PEFT_F16);
        test_narrow_adapter(which, which % 2 ? PEFT_F16 : PEFT_BF16);
        test_requantize(which, PEFT_NF4, 64, true);
        test_requantize(which, which % 2 ? PEFT_FP4 : PEFT_I8, 128, false);
        test_checkpointing(which, -1, 0);
        test_checkpointing(which, -1, 0.1f);
        test_checkpointing(which, PEFT_LORA, 0.1f);
        for (int method = PEFT_DORA; method <= PEFT_HEAD; method++)
            if (method != PEFT_BITFIT) test_checkpointing(which, method, 0);
    }
    test_load_memory();
    test_load_errors();
    test_config_member();
    test_capped();
    test_inference(false);
    test_inference(true);
    test_own();
    test_maps();
    for (int k = 0; k < 5; k++) {
        if (kinds[k] != PEFT_ADAMW_8BIT) test_formulas(kinds[k], 60, 80, 2e-5);
        test_formulas(kinds[k], 1, 300, 2e-5);
        test_optimizer_runs(kinds[k], true);
        test_optimizer_runs(kinds[k], false);
        test_learning(kinds[k]);
    }
    test_formulas(PEFT_ADAMW_8BIT, 60, 80, 0.05);
    test_8bit_follows(true);
    test_8bit_follows(false);
    for (int k = 0; k < 5; k++) test_narrow_training(kinds[k], k % 2 ? PEFT_F16 : PEFT_BF16);
    test_narrow_errors();
    test_optimizer_errors();
    test_failing_memory(PEFT_ADAMW_8BIT);
    test_failing_memory(PEFT_ADAFACTOR);
    if (argc < 2) test_plans();  // an argument: without these, which take the longest
    printf("%d passed, %d failed\n", passed, failed);
    return failed != 0;
}
