// GGUF inside: formats that stay as they are, names and orders of the architectures, configs, vocabularies, LoRA adapters, failing
// allocations. PEFT_SHARED: where the vocabularies lie.
#define PEFT_NO_METRICS  // what this program needs of the header
#define PEFT_IMPLEMENTATION
#include "peft.h"
#define SCRATCH "test_gguf_models.tmp"
#include "gguf_file.h"
#include "counter.h"

static const int block_types[] = {PEFT_GGML_Q4_0, PEFT_GGML_Q4_1, PEFT_GGML_Q5_0, PEFT_GGML_Q5_1, PEFT_GGML_Q8_0,
                                  PEFT_GGML_Q4_K, PEFT_GGML_Q5_K, PEFT_GGML_Q6_K, PEFT_GGML_Q8_K, PEFT_GGML_IQ4_NL,
                                  PEFT_GGML_Q2_K, PEFT_GGML_Q3_K, PEFT_GGML_IQ3_S, PEFT_GGML_IQ4_XS, PEFT_GGML_MXFP4};

// Blocks with finite scales of both signs, one of them 0. MXFP4's scales are powers of two: those of normal weights, and the least.
static void random_blocks(peft_rng *r, const peft__ggml_format *f, unsigned char *data, int blocks) {
    int at = f->type == PEFT_GGML_Q2_K ? 80 : f->type == PEFT_GGML_Q3_K ? 108 : f->type == PEFT_GGML_Q6_K ? 208 : 0;
    bool single = f->type == PEFT_GGML_Q8_K, power = f->type == PEFT_GGML_MXFP4;
    bool minima = f->type == PEFT_GGML_Q4_1 || f->type == PEFT_GGML_Q5_1 || f->type == PEFT_GGML_Q4_K || f->type == PEFT_GGML_Q5_K ||
                  f->type == PEFT_GGML_Q2_K;
    for (int i = 0; i < blocks * f->size; i++) data[i] = (unsigned char)random_below(r, 256);
    for (int i = 0; i < blocks; i++) {
        unsigned char *b = data + i * f->size + at;
        if (power) b[0] = (unsigned char)(i < 3 ? i : 110 + random_below(r, 12));
        else b[single ? 3 : 1] &= 0xBB;
        if (minima) b[3] &= 0xBB;
    }
    memset(data + at, 0, power ? 1 : single ? 4 : 2);
}

// Blocks stay as they are: as quantized tensors they have the values that decoding gives, in every order of rows.
static void test_blocks(void) {
    static const int orders[] = {PEFT__ORDER_SAME, PEFT__ORDER_ROTARY_K, PEFT__ORDER_FUSED, PEFT__ORDER_TRANSPOSED};
    enum { ROWS = 12, COLS = 512 };
    static float want[ROWS * COLS], got[ROWS * COLS];
    static unsigned char data[ROWS * COLS * 2];
    peft_rng r;
    peft_rng_seed(&r, 12);
    for (int k = 0; k < (int)PEFT__COUNT(block_types); k++) {
        const peft__ggml_format *f = peft__ggml_format_of(block_types[k]);
        int blocks = ROWS * COLS / f->block;
        random_blocks(&r, f, data, blocks);
        for (int o = 0; o < 4; o++) {
            peft_gguf g = {0};
            peft_gguf_tensor t = {0};
            peft_archive a = {0};
            peft_tensor out = {0};
            peft__gguf_view v = {&t, {orders[o], 2, 0}, 2, ROWS, COLS};
            g.ctx = ctx, a.ctx = ctx;
            t.type = (peft_ggml_type)block_types[k], t.rank = 2, t.data = data, t.size = blocks * f->size;
            t.dims[0] = COLS, t.dims[1] = ROWS, t.dims[2] = t.dims[3] = 1;
            peft__arena_init(&a.arena, ctx);
            out.rows = orders[o] == PEFT__ORDER_TRANSPOSED ? COLS : ROWS, out.cols = ROWS * COLS / out.rows;
            bool ok = peft__row_order_fits(&v.order, ROWS) && !peft__gguf_decode(&g, &t, 0, ROWS, v.order, want);
            ok = ok && !peft__gguf_keep(&a, &v, f, &out) && out.rows == ROWS && out.cols == COLS;
            if (ok) peft__to_f32(&out, 0, ROWS * COLS, got);
            for (int i = 0; i < ROWS * COLS && ok; i++) ok = got[i] == want[i];
            check(f->name, ok && peft_tensor_bytes(&out) == (size_t)(blocks * f->size) && out.type == PEFT_BLOCKS);
            check("in the file, or a copy in another order", ok && (out.data == data) == (orders[o] % 4 == 0));
            peft__arena_free(&a.arena);
        }
    }
}

static float bf16(float x) { return peft__bf16_to_f32(peft__f32_to_bf16(x)); }

// Every instruction set expands blocks to the values of the plain decoders, wherever a piece begins; products with them, in all
// shapes, both ways and strided, are those with the expanded matrix. For up to four rows that bound is the rounding of x to 1/32639 of
// the largest of 32, which a wrong scale, minimum or order of codes exceeds a thousandfold. With compute int8 x is what rounding to 8 bits
// makes of it, the same numbers on every instruction set, and beyond that only sums may round.
static void test_block_products(peft_simd simd, peft_dtype compute, bool vnni) {
    enum { ROWS = 70, COLS = 768, MOST = 17 };
    static float w[ROWS * COLS], part[COLS], x[MOST * COLS], rounded[MOST * COLS], peaks[MOST * COLS], got[MOST * COLS], again[MOST * COLS];
    static unsigned char data[ROWS * COLS * 2];
    peft_context_desc d = {0};
    d.compute = compute;
    peft_context *c, *threaded;
    peft_rng r;
    peft_rng_seed(&r, 77);
    d.simd = simd;
    if (peft_context_create(&d, &c)) exit(1);
    d.threads = 3;
    if (peft_context_create(&d, &threaded)) threaded = NULL;  // built without threads
    c->vnni = c->vnni && vnni;
    if (threaded) threaded->vnni = c->vnni;
    for (int k = 0; k < (int)PEFT__COUNT(block_types); k++) {
        const peft__ggml_format *f = peft__ggml_format_of(block_types[k]);
        random_blocks(&r, f, data, ROWS * COLS / f->block);
        peft_quant q = {0};
        q.ggml = f, q.block = f->block, q.block_count = ROWS * COLS / f->block;
        while (1 << q.block_shift < q.block) q.block_shift++;
        peft_tensor t = {0};
        t.type = PEFT_BLOCKS, t.rows = ROWS, t.cols = COLS, t.rank = 2, t.data = data, t.quant = &q;
        peft__quant_expand_plain(&q, data, 0, ROWS * COLS, w);
        bool same = true;
        for (int i = 0; i < 200; i++) {
            int first = random_below(&r, ROWS * COLS - COLS), count = 1 + random_below(&r, i % 2 ? 70 : COLS);
            peft__quant_isa_of(simd)->expand(&q, data, first, count, part);
            same = same && memcmp(part, w + first, (size_t)count * sizeof(float)) == 0;
        }
        check("expanded by vectors", same);
        for (int i = 0; i < MOST * COLS; i++) x[i] = random_float(&r);
        for (int i = 0; i < MOST * COLS; i++) {  // of the 32 that share a scale in a row of COLS
            peaks[i] = 0;
            for (int e = i / 32 * 32; e < i / 32 * 32 + 32; e++) peaks[i] = fmaxf(peaks[i], fabsf(x[e]));
            rounded[i] = rintf(x[i] * (127 / peaks[i])) * (peaks[i] / 127);
        }
        static const int heights[] = {1, 3, 4, MOST};
        for (int h = 0; h < 4; h++)
            for (int transposed = 0; transposed < 2; transposed++) {
                int m = heights[h], n = transposed ? ROWS : COLS, depth = transposed ? COLS : ROWS;
                bool few = transposed && m <= 4, bytes = few && compute == PEFT_I8 && f->type != PEFT_GGML_Q8_K;
                bool narrow = m == MOST && compute == PEFT_I8 && peft_bf16_is_fast(c);  // products in bf16
                peft__matrix b = peft__matrix_of(&t);
                if (transposed) b = peft__T(b);
                bool ok = peft__matmul(c, peft__dense(got, m, n), 0, 1, peft__dense(x, m, depth), b) == PEFT_OK;
                for (int i = 0; i < m && ok; i++)
                    for (int j = 0; j < n && ok; j++) {
                        double sum = 0, size = 0, rounding = 0;
                        for (int p = 0; p < depth; p++) {
                            double weight = (double)w[transposed ? j * COLS + p : p * COLS + j];
                            double v = (double)(bytes ? rounded : x)[i * depth + p] * weight;
                            if (narrow) v = (double)bf16(x[i * depth + p]) * (double)bf16((float)weight);
                            sum += v, size += fabs(v);
                            rounding += (double)peaks[i * depth + p] / 32639 * 0.5001 * fabs(weight);
                        }
                        double room = (depth + 8) * 6e-8 * 4 * size + 1e-30;  // 4: codes and minima are multiplied apart
                        if (few && !bytes && simd != PEFT_SIMD_PORTABLE) room += rounding;
                        ok = fabs((double)got[i * n + j] - sum) <= room;
                        if (!ok) printf("%s m %d t %d (%d, %d): %g, not %g within %g\n", f->name, m, transposed, i, j, (double)got[i * n + j], sum, room);
                    }
                check(f->name, ok);
                if (threaded) {
                    peft__matmul(threaded, peft__dense(again, m, n), 0, 1, peft__dense(x, m, depth), b);
                    check("threads: the same bits", memcmp(got, again, (size_t)(m * n) * sizeof(float)) == 0);
                }
            }
        x[5] = NAN;
        peft__matmul(c, peft__dense(got, 1, ROWS), 0, 1, peft__dense(x, 1, COLS), peft__T(peft__matrix_of(&t)));
        check("NaN is not lost", got[0] != got[0] && got[ROWS - 1] != got[ROWS - 1]);
    }
    peft_context_destroy(c), peft_context_destroy(threaded);
}

static bool same_values(const peft_tensor *a, const peft_tensor *b) {
    bool same = peft__size(a) == peft__size(b);
    for (int64_t i = 0; same && i < a->rows; i++)
        for (int64_t k = 0; same && k < a->cols; k++) {
            float x, y;
            peft__to_f32(a, i * a->cols + k, 1, &x);
            peft__to_f32(b, a->in_out == b->in_out ? i * a->cols + k : k * a->rows + i, 1, &y);
            same = x == y;
        }
    return same;
}

static float loss_of(peft_model *m) {
    static const int32_t ids[] = {3, 17, 4, 99, 5, 60}, labels[] = {17, 4, 99, 5, 60, 3};
    static const int64_t offsets[] = {0, 6};
    peft_batch b = {0};
    peft_tape *t = NULL;
    float loss = -1;
    b.count = 1, b.decoder_input = ids, b.labels = labels, b.target_offsets = offsets;
    if (peft_tape_create(ctx, &t)) return -1;
    peft_tensor *y = peft_model_loss(m, t, &b, NULL, 0, 0);
    if (y) loss = peft__f32(y)[0];
    peft_tape_destroy(t);
    return loss;
}

// The gradients of a LoRA on this base, one after the other; *n: how many.
static float *lora_gradients(peft_model *m, int64_t *n) {
    static const int32_t ids[] = {3, 17, 4, 99, 5, 60}, labels[] = {17, 4, 99, 5, 60, 3};
    static const int64_t offsets[] = {0, 6};
    peft_batch b = {0};
    peft_tape *t = NULL;
    peft_adapter_desc d = {0};
    peft_active_adapter active = {0};
    peft_adapter *a = NULL;
    d.model = m, d.r = 4, d.target_modules = "all-linear", d.seed = 5;
    b.count = 1, b.decoder_input = ids, b.labels = labels, b.target_offsets = offsets;
    if (peft_adapter_create(&d, &a) || peft_tape_create(ctx, &t)) exit(1);
    active.adapter = a;
    *n = peft_adapter_parameter_count(a);
    float *all = (float *)calloc((size_t)*n, sizeof(float)), *to = all;
    for (int64_t i = 0; i < peft_adapter_tensor_count(a); i++)
        check("a tensor to train", !peft_require_grad(ctx, peft_adapter_tensor(a, i)));
    check("backward", !peft_backward(t, peft_model_loss(m, t, &b, &active, 1, 0)));
    for (int64_t i = 0; i < peft_adapter_tensor_count(a); i++) {
        const peft_tensor *x = peft_adapter_tensor(a, i);
        memcpy(to, x->grad, (size_t)peft__size(x) * sizeof(float));
        to += peft__size(x);
    }
    peft_tape_destroy(t);
    peft_adapter_destroy(a);
    return all;
}

static peft_model *load(const char *path, bool random) {
    peft_model_desc d = {0};
    peft_model *m = NULL;
    d.context = ctx, d.path = path, d.config_only = random, d.seed = 3;
    check(path, peft_model_load(&d, &m) == PEFT_OK);
    return m;
}

// Whole models in few bits stay in few bits, and compute what their expanded copies do.
static void test_quantized_models(void) {
    static const char *const configs[] = {
        "{\"model_type\":\"llama\",\"hidden_size\":64,\"num_attention_heads\":4,\"num_key_value_heads\":2,\"num_hidden_layers\":2,\"intermediate_size\":96,"
        "\"vocab_size\":120,\"tie_word_embeddings\":false}",
        "{\"model_type\":\"gpt2\",\"n_embd\":64,\"n_head\":4,\"n_layer\":2,\"n_positions\":64,\"vocab_size\":120}"};
    static const char *const paths[] = {"twin0", "twin1"}, *const file = "build/test_twin.gguf", *const folder = "build/test_twin";
    static const peft_ggml_type types[] = {PEFT_GGML_Q8_0, PEFT_GGML_Q4_0};
    for (int which = 0; which < 4; which++) {
        char path[32];
        snprintf(path, sizeof path, "%s/config.json", paths[which / 2]);
        check("a config", peft_mount(ctx, path, configs[which / 2], strlen(configs[which / 2])) == PEFT_OK);
        peft_model *m = load(paths[which / 2], true), *f = NULL, *q = NULL, *again = NULL;
        const char *architecture = m->config.model_type;
        peft_gguf_writer *w = NULL;
        peft_gguf_writer_create(ctx, &w);
        peft_status status = peft_gguf_set_string(w, "general.architecture", architecture);
        if (!status) status = peft__gguf_set_config(w, m, architecture);
        for (int64_t i = 0; i < m->tensor_count && !status; i++)
            status = peft__gguf_add_hf(w, architecture, m->config.heads, m->config.kv_heads, &m->tensors[i],
                                       peft__reads_f32_only(m, &m->tensors[i]) ? PEFT_GGML_F32 : types[which % 2]);
        check("write", !status && peft_gguf_write(w, file) == PEFT_OK);
        peft_gguf_writer_destroy(w);
        q = load(file, false);
        check("its expanded copy", peft_model_save(q, folder, PEFT_F32) == PEFT_OK);
        f = load(folder, false);
        for (int64_t i = 0; i < q->tensor_count; i++) {
            peft_tensor *t = &q->tensors[i];
            check(t->name, t->type == (peft__reads_f32_only(q, t) ? PEFT_F32 : PEFT_BLOCKS) && same_values(t, &f->tensors[i]));
        }
        check("the same loss", loss_of(q) > 0 && fabsf(loss_of(q) - loss_of(f)) < 1e-5f * loss_of(f));
        int64_t n, same_n;
        float *of_blocks = lora_gradients(q, &n), *of_floats = lora_gradients(f, &same_n);
        double error = 0, size = 0;
        for (int64_t i = 0; i < n; i++) {
            error += pow((double)of_blocks[i] - (double)of_floats[i], 2);
            size += (double)of_floats[i] * (double)of_floats[i];
        }
        check("a LoRA's gradients on blocks are those on floats", n == same_n && size > 0 && sqrt(error / size) < 1e-5);
        free(of_blocks), free(of_floats);
        check("in a format that files have", peft_model_save(q, folder, PEFT_NF4) == PEFT_OK);
        again = load(folder, false);
        for (int64_t i = 0; i < q->tensor_count; i++) {
            peft_dtype kept = q->tensors[i].type == PEFT_F32 ? PEFT_F32 : PEFT_NF4;
            bool embedding = &q->tensors[i] == q->shared || &q->tensors[i] == q->head;
            check("types of what is saved", again->tensors[i].type == (embedding ? PEFT_F32 : kept));
        }
        check("and as GGUF", peft_model_save(q, file, PEFT_I8) == PEFT_OK);
        peft_model_destroy(again);
        again = load(file, false);
        for (int64_t i = 0; i < q->tensor_count && which % 2 == 0; i++) check("Q8_0 again", same_values(&q->tensors[i], &again->tensors[i]));
        peft_model_destroy(again), peft_model_destroy(q), peft_model_destroy(f), peft_model_destroy(m);
    }
    remove(file);
}

// Q8_0 by its definition: d = max / 127 as a half, codes rounded half away from zero with the unrounded d.
static void test_quantizer(void) {
    const peft__ggml_format *q8_0 = peft__ggml_format_of(PEFT_GGML_Q8_0), *q4_0 = peft__ggml_format_of(PEFT_GGML_Q4_0);
    peft_rng r;
    peft_rng_seed(&r, 5);
    bool same = true, close = true;
    for (int round = 0; round < 3000; round++) {
        float x[32], peak = 0, back[32], scale = ldexpf(1, random_below(&r, 60) - 50);
        unsigned char got[34];
        for (int i = 0; i < 32; i++) x[i] = round % 3 ? random_float(&r) * scale : (float)(random_below(&r, 255) - 127) * scale / 2;
        if (round == 0) memset(x, 0, sizeof x);
        for (int i = 0; i < 32; i++) peak = fmaxf(peak, fabsf(x[i]));
        float d = peak / 127, inverse = d != 0 ? 1 / d : 0;
        same = same && q8_0->encode(q8_0, x, 1, got) && (got[0] | got[1] << 8) == peft__f32_to_f16(d);
        for (int i = 0; i < 32; i++) {
            float scaled = x[i] * inverse;
            int code = (int)floorf(fabsf(scaled) + 0.5f);
            same = same && (signed char)got[2 + i] == (scaled < 0 ? -code : code);
        }
        q4_0->encode(q4_0, x, 1, got);
        q4_0->decode(q4_0, got, 1, back);
        // a step, the rounding of the scale to a half, and up to 8 times half the smallest half
        for (int i = 0; i < 32; i++) close = close && fabsf(back[i] - x[i]) <= peak / 8 * 1.01f + ldexpf(8, -25);
    }
    check("Q8_0's quantizer", same);
    check("Q4_0's quantizer is within a step", close);
    float tiny[32] = {1e-44f, -1e-44f};
    unsigned char got[34];
    check("values whose scale vanishes",
          q8_0->encode(q8_0, tiny, 1, got) && !got[0] && !got[1] && q4_0->encode(q4_0, tiny, 1, got) && !got[0]);
}

// ---- names and orders

static bool there_and_back(const peft__family *f, const char *name, int gated, const char *gguf) {
    peft__gguf_name there, back;
    return peft__gguf_translate(f, false, name, gated, &there) && strcmp(there.gguf, gguf) == 0 && !strchr(there.other, '%') &&
           peft__gguf_translate(f, true, there.other, -1, &back) && strcmp(back.gguf, gguf) == 0 && back.order == there.order &&
           strcmp(name, back.other) == 0;
}

static void test_names(void) {
    static const char *const architectures[] = {"llama", "qwen2", "gpt2", "gptneox", "t5", "qwen3", "smollm3", "olmo2",
                                                "phi3", "granite", "gemma2", "gemma3"};
    for (int a = 0; a < (int)(sizeof architectures / sizeof *architectures); a++) {
        const peft__family *f = peft__gguf_family_of(architectures[a])->names;
        check("the embedding", there_and_back(f, "token_embd.weight", 0, "token_embd"));
        check("the output layer", there_and_back(f, "output.weight", 0, "output"));
        check("the last norm", a == 4 ? there_and_back(f, "dec.output_norm.bias", 0, "dec.output_norm") && there_and_back(f, "enc.output_norm.weight", 0, "enc.output_norm")
                                      : there_and_back(f, "output_norm.bias", 0, "output_norm"));
        const peft__side *const sides[] = {&f->encoder, &f->decoder};
        for (int i = a == 4 ? 0 : 1; i < 2; i++)
            for (int k = 0; k < sides[i]->count; k++) {
                char name[PEFT__GGUF_NAME_SIZE];
                const peft__rule *r = &sides[i]->rules[k];
                snprintf(name, sizeof name, "%sblk.17.%s.%s", a != 4 ? "" : i ? "dec." : "enc.", r->gguf, k % 2 ? "weight" : "bias");
                check(r->gguf, there_and_back(f, name, r->only == PEFT__ONLY_GATED, r->gguf));
            }
    }
    static const char *const known[][3] = {
        {"llama", "blk.3.attn_q.weight", "model.layers.3.self_attn.q_proj.weight"},
        {"llama", "output.weight", "lm_head.weight"},
        {"qwen2", "blk.27.attn_k.bias", "model.layers.27.self_attn.k_proj.bias"},
        {"gpt2", "blk.11.ffn_up.weight", "transformer.h.11.mlp.c_fc.weight"},
        {"gpt2", "position_embd.weight", "transformer.wpe.weight"},
        {"gptneox", "blk.0.attn_qkv.bias", "gpt_neox.layers.0.attention.query_key_value.bias"},
        {"t5", "dec.blk.5.cross_attn_o.weight", "decoder.block.5.layer.1.EncDecAttention.o.weight"},
        {"t5", "enc.blk.0.ffn_up.weight", "encoder.block.0.layer.1.DenseReluDense.wi.weight"},
        {"t5", "enc.blk.0.attn_rel_b.weight", "encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight"},
        {"t5", "token_embd.weight", "shared.weight"},
        {"qwen3", "blk.3.attn_q_norm.weight", "model.layers.3.self_attn.q_norm.weight"},
        {"olmo2", "blk.3.attn_k_norm.weight", "model.layers.3.self_attn.k_norm.weight"},
        {"olmo2", "blk.3.post_attention_norm.weight", "model.layers.3.post_attention_layernorm.weight"},
        {"olmo2", "blk.3.post_ffw_norm.weight", "model.layers.3.post_feedforward_layernorm.weight"},
        {"phi3", "blk.3.attn_qkv.weight", "model.layers.3.self_attn.qkv_proj.weight"},
        {"phi3", "blk.3.ffn_up.weight", "model.layers.3.mlp.gate_up_proj.weight"},
        {"gemma2", "blk.3.ffn_norm.weight", "model.layers.3.pre_feedforward_layernorm.weight"},
        {"gemma3", "blk.3.post_attention_norm.weight", "model.layers.3.post_attention_layernorm.weight"},
        {"smollm3", "blk.3.ffn_norm.weight", "model.layers.3.post_attention_layernorm.weight"}};
    peft__gguf_name there;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        const peft__family *f = peft__gguf_family_of(known[i][0])->names;
        bool ok = peft__gguf_translate(f, false, known[i][1], 0, &there) && strcmp(there.other, known[i][2]) == 0;
        ok = ok && peft__gguf_translate(f, true, known[i][2], 0, &there) && strcmp(there.other, known[i][1]) == 0;
        check(known[i][2], ok);
    }
    static const char *const unknown[] = {"blk..attn_q.weight",
                                          "blk.1.attn_q",
                                          "blk.1.attn_q.scale",
                                          "blk.x.attn_q.weight",
                                          "blk.1.attn_qq.weight",
                                          "blk.1234567.attn_q.weight",
                                          "blk.01.attn_q.weight",
                                          "rope_freqs.weight",
                                          "",
                                          "weight",
                                          "blk.1.attn_q.weight.lora_a"};
    for (int i = 0; i < 11; i++) check(unknown[i], !peft__gguf_translate(&peft__llama_family, false, unknown[i], 0, &there));
    check("wi_1 of a file without gates",
          !peft__gguf_translate(&peft__t5_family, true, "encoder.block.0.layer.1.DenseReluDense.wi_1.weight", 0, &there));
    check("wi of a file with gates",
          !peft__gguf_translate(&peft__t5_family, true, "encoder.block.0.layer.1.DenseReluDense.wi.weight", 1, &there));
    check("architectures", !peft__gguf_family_of("bert") && !peft__gguf_family_of(NULL) &&
                               strcmp(peft__gguf_architecture("mistral"), "llama") == 0 &&
                               strcmp(peft__gguf_architecture("gemma3_text"), "gemma3") == 0 && strcmp(peft__gguf_architecture("phi3"), "phi3") == 0 &&
                               strcmp(peft__gguf_architecture("gpt_neox"), "gptneox") == 0 && !peft__gguf_architecture("bert"));
}

// Row `row` of GGUF's matrix, by converters' words: llama: reshape(heads, 2, size / 2, cols).swapaxes(1, 2); gptneox: reshape(heads, 3, size,
// cols), parts one after the other.
static int64_t hf_row(bool fused, int64_t heads, int64_t size, int64_t row) {
    int64_t at = 0;
    if (fused) {
        for (int64_t part = 0; part < 3; part++)
            for (int64_t h = 0; h < heads; h++)
                for (int64_t i = 0; i < size; i++, at++)
                    if (at == row) return (h * 3 + part) * size + i;
    } else {
        for (int64_t h = 0; h < heads; h++)
            for (int64_t i = 0; i < size / 2; i++)
                for (int64_t part = 0; part < 2; part++, at++)
                    if (at == row) return (h * 2 + part) * (size / 2) + i;
    }
    return -1;
}

static void test_orders(void) {
    static const struct {
        const char *architecture, *name, *own;
        int64_t rows, cols;
        int kind;  // 0: as it is, 1: queries, 2: keys, 3: fused, 4: transposed
    } cases[] = {{"llama", "model.layers.0.self_attn.q_proj.weight", "blk.0.attn_q.weight", 48, 40, 1},
                 {"llama", "model.layers.0.self_attn.k_proj.weight", "blk.0.attn_k.weight", 24, 40, 2},
                 {"llama", "model.layers.0.self_attn.q_proj.bias", "blk.0.attn_q.bias", 1, 48, 1},
                 {"llama", "model.layers.0.self_attn.v_proj.weight", "blk.0.attn_v.weight", 24, 40, 0},
                 {"qwen2", "model.layers.0.self_attn.q_proj.weight", "blk.0.attn_q.weight", 48, 40, 0},
                 {"smollm3", "model.layers.0.self_attn.q_proj.weight", "blk.0.attn_q.weight", 48, 40, 1},
                 {"granite", "model.layers.0.self_attn.k_proj.weight", "blk.0.attn_k.weight", 24, 40, 2},
                 {"qwen3", "model.layers.0.self_attn.q_proj.weight", "blk.0.attn_q.weight", 48, 40, 0},
                 {"olmo2", "model.layers.0.self_attn.k_proj.weight", "blk.0.attn_k.weight", 24, 40, 0},
                 {"gemma3", "model.layers.0.self_attn.q_proj.weight", "blk.0.attn_q.weight", 48, 40, 0},
                 {"gptneox", "gpt_neox.layers.0.attention.query_key_value.weight", "blk.0.attn_qkv.weight", 72, 40, 3},
                 {"gptneox", "gpt_neox.layers.0.attention.query_key_value.bias", "blk.0.attn_qkv.bias", 1, 72, 3},
                 {"gpt2", "transformer.h.0.attn.c_attn.weight", "blk.0.attn_qkv.weight", 40, 120, 4},
                 {"gpt2", "transformer.h.0.attn.c_attn.bias", "blk.0.attn_qkv.bias", 1, 120, 0},
                 {"gpt2", "transformer.wte.weight", "token_embd.weight", 30, 40, 0}};
    const int64_t heads = 4, kv_heads = 2;
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        peft_gguf_writer *w = NULL;
        peft_gguf *g = NULL;
        peft_tensor *t = random_tensor(cases[c].name, cases[c].rows, cases[c].cols, 40 + (uint64_t)c);
        t->in_out = cases[c].kind == 4;
        char key[64];
        peft_gguf_writer_create(ctx, &w);
        peft_gguf_set_string(w, "general.architecture", cases[c].architecture);
        snprintf(key, sizeof key, "%s.attention.head_count", cases[c].architecture);
        peft_gguf_set_number(w, key, PEFT_GGUF_U32, (double)heads);
        snprintf(key, sizeof key, "%s.attention.head_count_kv", cases[c].architecture);
        peft_gguf_set_number(w, key, PEFT_GGUF_U32, (double)kv_heads);
        bool ok = peft__gguf_add_hf(w, cases[c].architecture, heads, kv_heads, t, PEFT_GGML_F32) == PEFT_OK &&
                  peft_gguf_write(w, scratch()) == PEFT_OK && peft_gguf_open(ctx, scratch(), &g) == PEFT_OK;
        const peft_gguf_tensor *own = ok ? peft_gguf_find(g, cases[c].own) : NULL;
        check(cases[c].name, own != NULL);
        static float raw[40 * 120], back[40 * 120];
        if (own && peft_gguf_to_f32(g, 0, 0, own->dims[1] * own->dims[2] * own->dims[3], raw) == PEFT_OK) {
            bool vector = cases[c].rows == 1, turned = cases[c].kind == 4, right = own->rank == (vector ? 1 : 2);
            int64_t rows = vector   ? cases[c].cols
                           : turned ? cases[c].cols
                                    : cases[c].rows,
                    cols = vector   ? 1
                           : turned ? cases[c].rows
                                    : cases[c].cols;
            int64_t groups = cases[c].kind == 2 ? kv_heads : heads, size = rows / groups / (cases[c].kind == 3 ? 3 : 1);
            right = right && own->dims[0] == (vector ? rows : cols) && own->dims[1] == (vector ? 1 : rows);
            for (int64_t r = 0; r < rows && right; r++)
                for (int64_t i = 0; i < cols && right; i++) {
                    int64_t from = cases[c].kind >= 1 && cases[c].kind <= 3 ? hf_row(cases[c].kind == 3, groups, size, r) : r;
                    right = raw[r * cols + i] == peft__f32(t)[turned ? i * rows + r : from * cols + i];
                }
            check("GGUF's order", right);
            peft__gguf_view v;
            const peft__gguf_family *f = peft__gguf_family_of(peft_gguf_string(g, "general.architecture", ""));
            peft__gguf_name hf;
            check("shape of the view", peft__gguf_translate(f->names, false, own->name, 0, &hf) && strcmp(hf.other, cases[c].name) == 0 &&
                                           peft__gguf_view_of(g, f, hf.order, own, &v) == PEFT_OK && v.rows == cases[c].rows &&
                                           v.cols == cases[c].cols && v.rank == (vector ? 1 : 2));
            check("there and back", peft__gguf_hf_load(g, &v, back) == PEFT_OK && memcmp(back, t->data, (size_t)(rows * cols) * 4) == 0);
        }
        peft_gguf_close(g);
        peft_gguf_writer_destroy(w);
        peft_tensor_destroy(ctx, t);
    }
    peft_gguf_writer *w = NULL;
    peft_tensor *odd = random_tensor("model.layers.0.self_attn.q_proj.weight", 50, 8, 1),
                *other = random_tensor("bert.weight", 2, 2, 1);
    peft_gguf_writer_create(ctx, &w);
    check("rows that are no heads",
          peft__gguf_add_hf(w, "llama", 4, 4, odd, PEFT_GGML_F32) == PEFT_ERROR_SHAPE && strstr(peft_error(ctx), "4 heads"));
    check("no heads", peft__gguf_add_hf(w, "llama", 0, 0, odd, PEFT_GGML_F32) == PEFT_ERROR_SHAPE);
    check("no such name", peft__gguf_add_hf(w, "llama", 4, 4, other, PEFT_GGML_F32) == PEFT_ERROR_UNSUPPORTED &&
                              strstr(peft_error(ctx), "bert.weight"));
    check("no such architecture", peft__gguf_add_hf(w, "bert", 4, 4, odd, PEFT_GGML_F32) == PEFT_ERROR_UNSUPPORTED);
    peft_gguf_writer_destroy(w);
    peft_tensor_destroy(ctx, odd), peft_tensor_destroy(ctx, other);
    remove(scratch());
}

// ---- configs and archives

typedef struct setting {
    const char *key;
    double value;
} setting;

static void write_settings(peft_gguf_writer *w, const char *architecture, const setting *s, int n) {
    char key[96];
    peft_gguf_set_string(w, "general.architecture", architecture);
    for (int i = 0; i < n; i++) {
        bool real = s[i].value != floor(s[i].value) || strstr(s[i].key, "freq_base") || strstr(s[i].key, "factor");
        snprintf(key, sizeof key, "%s.%s", architecture, s[i].key);
        peft_gguf_set_number(w, key, strstr(s[i].key, "parallel") ? PEFT_GGUF_BOOL : real ? PEFT_GGUF_F32 : PEFT_GGUF_U32, s[i].value);
    }
}

static peft_gguf *write_open(peft_gguf_writer *w) {
    peft_gguf *g = NULL;
    if (peft_gguf_write(w, scratch()) == PEFT_OK) peft_gguf_open(ctx, scratch(), &g);
    peft_gguf_writer_destroy(w);
    return g;
}

// The config as JSON holds these members (a subset of all).
static void config_is(const char *name, peft_gguf_writer *w, const char *expected) {
    peft_gguf *g = write_open(w);
    peft__arena a;
    peft__json *got = NULL, *want = NULL;
    peft__string json;
    peft__string_init(&json, ctx);
    peft__arena_init(&a, ctx);
    bool ok = g && peft__gguf_config(g, &json) == PEFT_OK &&
              peft__json_parse(ctx, &a, json.data, json.size, "config", &got) == PEFT_OK &&
              peft__json_parse(ctx, &a, expected, strlen(expected), "expected", &want) == PEFT_OK;
    for (const peft__json *e = ok ? want->child : NULL; e && ok; e = e->next) {
        const peft__json *v = peft__json_get(got, e->key);
        ok = v && v->type == e->type && v->number == e->number && v->boolean == e->boolean &&
             (e->type != PEFT__JSON_STRING || strcmp(v->string, e->string) == 0);
        if (!ok) printf("  %s is not as expected in %s\n", e->key, json.data);
    }
    check(name, ok);
    peft__arena_free(&a);
    peft__string_free(&json);
    peft_gguf_close(g);
}

static void config_fails(const char *name, peft_gguf_writer *w, peft_status expected, const char *message) {
    peft_gguf *g = write_open(w);
    peft__string json;
    peft__string_init(&json, ctx);
    check(name, g && peft__gguf_config(g, &json) == expected && strstr(peft_error(ctx), message));
    peft__string_free(&json);
    peft_gguf_close(g);
}

static void config_holds(const char *name, peft_gguf_writer *w, const char *text) {
    peft_gguf *g = write_open(w);
    peft__string json;
    peft__string_init(&json, ctx);
    check(name, g && peft__gguf_config(g, &json) == PEFT_OK && strstr(json.data, text));
    peft__string_free(&json);
    peft_gguf_close(g);
}

static const setting llama_settings[] = {
    {"embedding_length", 16},       {"feed_forward_length", 48}, {"block_count", 2},
    {"attention.head_count", 4},    {"context_length", 128},     {"attention.layer_norm_rms_epsilon", 1e-5},
    {"attention.head_count_kv", 2}, {"rope.freq_base", 500000},  {"rope.dimension_count", 4}};
enum { LLAMA_SETTINGS = 9 };

static peft_gguf_writer *llama_writer(peft_tensor *embedding, int settings) {
    peft_gguf_writer *w = NULL;
    peft_gguf_writer_create(ctx, &w);
    write_settings(w, "llama", llama_settings, settings);
    peft_gguf_add(w, "token_embd.weight", embedding, PEFT_GGML_F16);
    return w;
}

static void test_configs(void) {
    static const setting gpt2[] = {{"embedding_length", 16},    {"feed_forward_length", 64}, {"block_count", 3},
                                   {"attention.head_count", 2}, {"context_length", 32},      {"attention.layer_norm_epsilon", 1e-5}};
    static const setting neox[] = {{"embedding_length", 16},     {"feed_forward_length", 64}, {"block_count", 3},
                                   {"attention.head_count", 2},  {"context_length", 32},      {"attention.layer_norm_epsilon", 1e-5},
                                   {"use_parallel_residual", 0}, {"rope.dimension_count", 2}};
    static const setting t5[] = {{"embedding_length", 16},     {"feed_forward_length", 64},
                                 {"block_count", 3},           {"attention.head_count", 2},
                                 {"context_length", 512},      {"attention.layer_norm_rms_epsilon", 1e-6},
                                 {"attention.key_length", 8},  {"attention.relative_buckets_count", 32},
                                 {"decoder_start_token_id", 0}};
    peft_tensor *e = random_tensor("e", 20, 16, 1), *o = random_tensor("o", 20, 16, 2), *b = random_tensor("b", 1, 16, 3),
                *q = random_tensor("q", 16, 16, 4);
    peft_gguf_writer *w = llama_writer(e, LLAMA_SETTINGS);
    config_is("llama", w,
              "{\"model_type\":\"llama\",\"vocab_size\":20,\"hidden_size\":16,\"intermediate_size\":48,\"num_hidden_layers\":2,\"num_"
              "attention_heads\":4,"
              "\"num_key_value_heads\":2,\"rms_norm_eps\":1e-5,\"rope_theta\":500000,\"max_position_embeddings\":128,\"tie_word_"
              "embeddings\":true,"
              "\"hidden_act\":\"silu\",\"attention_bias\":false}");
    w = llama_writer(e, 6);
    peft_gguf_add(w, "output.weight", o, PEFT_GGML_F16);
    peft_gguf_set_number(w, "llama.attention.key_length", PEFT_GGUF_U32, 8);
    peft_gguf_set_number(w, "tokenizer.ggml.eos_token_id", PEFT_GGUF_U32, 2);
    config_is("llama, defaults", w,
              "{\"num_key_value_heads\":4,\"rope_theta\":10000,\"tie_word_embeddings\":false,\"head_dim\":8,\"eos_token_id\":2}");
    w = llama_writer(e, 6);
    peft_gguf_add(w, "output.weight", e, PEFT_GGML_F16);
    peft_gguf_set_string(w, "llama.rope.scaling.type", "linear");
    peft_gguf_set_number(w, "llama.rope.scaling.factor", PEFT_GGUF_F32, 2);
    config_is("an output that is the embedding", w, "{\"tie_word_embeddings\":true,\"rope_scaling\":{}}");
    peft_gguf_writer_create(ctx, &w);
    write_settings(w, "qwen2", llama_settings, LLAMA_SETTINGS);
    peft_gguf_add(w, "token_embd.weight", e, PEFT_GGML_F32);
    peft_gguf_add(w, "blk.0.attn_q.bias", b, PEFT_GGML_F32);
    config_is("qwen2", w, "{\"model_type\":\"qwen2\",\"num_key_value_heads\":2,\"attention_bias\":true}");
    peft_gguf_writer_create(ctx, &w);
    write_settings(w, "gpt2", gpt2, 6);
    peft_gguf_add(w, "token_embd.weight", e, PEFT_GGML_F32);
    config_is("gpt2", w,
              "{\"model_type\":\"gpt2\",\"vocab_size\":20,\"n_embd\":16,\"n_inner\":64,\"n_layer\":3,\"n_head\":2,\"n_positions\":32,"
              "\"layer_norm_epsilon\":1e-5,"
              "\"activation_function\":\"gelu_new\",\"tie_word_embeddings\":true}");
    peft_gguf_writer_create(ctx, &w);
    write_settings(w, "gptneox", neox, 8);
    peft_gguf_add(w, "token_embd.weight", e, PEFT_GGML_F32);
    peft_gguf_add(w, "output.weight", o, PEFT_GGML_F32);
    config_is("gptneox", w,
              "{\"model_type\":\"gpt_neox\",\"hidden_size\":16,\"intermediate_size\":64,\"num_hidden_layers\":3,\"num_attention_"
              "heads\":2,\"layer_norm_eps\":1e-5,"
              "\"max_position_embeddings\":32,\"use_parallel_residual\":false,\"rotary_pct\":0.25,\"rotary_emb_base\":10000,\"hidden_"
              "act\":\"gelu\"}");
    peft_gguf_writer_create(ctx, &w);
    write_settings(w, "t5", t5, 9);
    peft_gguf_add(w, "token_embd.weight", e, PEFT_GGML_F32);
    config_is("t5", w,
              "{\"model_type\":\"t5\",\"d_model\":16,\"d_ff\":64,\"d_kv\":8,\"num_layers\":3,\"num_decoder_layers\":3,\"num_heads\":2,"
              "\"vocab_size\":20,"
              "\"relative_attention_num_buckets\":32,\"relative_attention_max_distance\":128,\"layer_norm_epsilon\":1e-6,\"feed_"
              "forward_proj\":\"relu\","
              "\"is_encoder_decoder\":true,\"tie_word_embeddings\":true,\"decoder_start_token_id\":0}");
    peft_gguf_writer_create(ctx, &w);
    write_settings(w, "t5", t5, 9);
    peft_gguf_set_number(w, "t5.decoder_block_count", PEFT_GGUF_U32, 5);
    peft_gguf_add(w, "token_embd.weight", e, PEFT_GGML_F32);
    peft_gguf_add(w, "output.weight", o, PEFT_GGML_F32);
    peft_gguf_add(w, "enc.blk.0.ffn_gate.weight", q, PEFT_GGML_F32);
    config_is("t5, gated", w,
              "{\"num_layers\":3,\"num_decoder_layers\":5,\"feed_forward_proj\":\"gated-gelu\",\"tie_word_embeddings\":false}");

    // Llama 3's divisors, for a head of 64 and factor 32
    peft_tensor *divisors = random_tensor("d", 1, 32, 5);
    for (int i = 0; i < 32; i++) {
        double wave = 6.283185307179586 * pow(500000, i / 32.0), smooth = (8192 / wave - 1) / 3;
        peft__f32(divisors)[i] = (float)(wave < 2048 ? 1 : wave > 8192 ? 32 : 1 / ((1 - smooth) / 32 + smooth));
    }
    for (int wrong = 0; wrong < 2; wrong++) {
        w = llama_writer(e, 8);
        peft_gguf_set_number(w, "llama.attention.key_length", PEFT_GGUF_U32, 64);
        peft_gguf_add(w, "rope_freqs.weight", divisors, PEFT_GGML_F32);
        if (wrong) peft__f32(divisors)[20] *= 1.1f;
        if (wrong) config_fails("other rotary divisors", w, PEFT_ERROR_UNSUPPORTED, "rope_freqs.weight");
        else {
            peft_gguf *g = write_open(w);
            peft__string json;
            peft__string_init(&json, ctx);
            check("llama 3", g && peft__gguf_config(g, &json) == PEFT_OK &&
                                 strstr(json.data, "\"rope_type\":\"llama3\",\"factor\":32,\"low_freq_factor\":1,"));
            peft__string_free(&json);
            peft_gguf_close(g);
        }
    }

    w = llama_writer(e, 5);
    config_fails("a missing key", w, PEFT_ERROR_MISSING, "llama.attention.layer_norm_rms_epsilon");
    w = llama_writer(e, LLAMA_SETTINGS);
    peft_gguf_set_number(w, "llama.expert_count", PEFT_GGUF_U32, 8);
    config_fails("experts", w, PEFT_ERROR_UNSUPPORTED, "llama.expert_count (8)");
    w = llama_writer(e, 8);
    peft_gguf_set_number(w, "llama.rope.dimension_count", PEFT_GGUF_U32, 2);
    config_fails("half a head rotates", w, PEFT_ERROR_UNSUPPORTED, "rotary");
    w = llama_writer(e, LLAMA_SETTINGS);
    peft_gguf_set_string(w, "llama.rope.scaling.type", "longrope");
    config_fails("another scaling", w, PEFT_ERROR_UNSUPPORTED, "longrope");
    // keys that llama.cpp's converter writes today, and those of programs that quantize: harmless
    w = llama_writer(e, LLAMA_SETTINGS);
    peft_gguf_set_number(w, "llama.vocab_size", PEFT_GGUF_U32, 20);
    peft_gguf_set_number(w, "llama.attention.value_length", PEFT_GGUF_U32, 4);
    peft_gguf_set_number(w, "llama.expert_count", PEFT_GGUF_U32, 0);
    peft_gguf_set_number(w, "llama.attention.causal", PEFT_GGUF_BOOL, 1);
    peft_gguf_set_number(w, "llama.attention.clamp_kqv", PEFT_GGUF_F32, 0);
    peft_gguf_set_number(w, "llama.rope.scaling.finetuned", PEFT_GGUF_BOOL, 1);
    peft_gguf_set_string(w, "llama.tensor_data_layout", "Meta AI original pth");
    peft_gguf_set_number(w, "quantize.imatrix.entries_count", PEFT_GGUF_U32, 3);
    peft_gguf_set_string(w, "somebody.quantize_version", "2");
    config_is("harmless keys", w, "{\"model_type\":\"llama\",\"hidden_size\":16}");
    static const struct {
        const char *key, *error;
        double value;
    } others[] = {{"llama.attention.clamp_kqv", "llama.attention.clamp_kqv (8)", 8},
                  {"llama.logit_scale", "llama.logit_scale (0.5)", 0.5},
                  {"llama.attention.causal", "llama.attention.causal (0)", 0},
                      {"llama.residual_scale", "llama.residual_scale (2)", 2},
                  {"llama.attention.value_length", "value_length 8", 8},
                      {"llama.rope.scaling.yarn_ext_factor", "yarn_ext_factor (0)", 0}};
    for (int64_t i = 0; i < PEFT__COUNT(others); i++) {
        w = llama_writer(e, LLAMA_SETTINGS);
        peft_gguf_set_number(w, others[i].key, PEFT_GGUF_F32, others[i].value);
        config_fails(others[i].key, w, PEFT_ERROR_UNSUPPORTED, others[i].error);
    }
    static const double layers[] = {4, 2};
    w = llama_writer(e, 6);
    peft_gguf_set_numbers(w, "llama.attention.head_count_kv", PEFT_GGUF_U32, layers, 2);
    config_fails("key heads per layer", w, PEFT_ERROR_FORMAT, "llama.attention.head_count_kv");
    w = llama_writer(e, LLAMA_SETTINGS);
    peft_gguf_set_number(w, "llama.rope.scale_linear", PEFT_GGUF_F32, 4);
    config_holds("the old key of linear scaling", w,
                 "\"rope_scaling\":{\"rope_type\":\"linear\",\"factor\":4}");
    w = llama_writer(e, LLAMA_SETTINGS);
    peft_gguf_set_string(w, "llama.rope.scaling.type", "none");
    peft_gguf_set_number(w, "llama.rope.scaling.factor", PEFT_GGUF_F32, 4);
    config_is("a factor of no scaling", w, "{\"rope_theta\":500000}");
    w = llama_writer(e, LLAMA_SETTINGS);
    peft_gguf_set_string(w, "llama.rope.scaling.type", "yarn");
    peft_gguf_set_number(w, "llama.rope.scaling.factor", PEFT_GGUF_F32, 4);
    peft_gguf_set_number(w, "llama.rope.scaling.original_context_length", PEFT_GGUF_U32, 32);
    config_holds("YaRN", w, "\"rope_type\":\"yarn\",\"factor\":4,\"attention_factor\":1.138629");
    w = llama_writer(e, LLAMA_SETTINGS);
    peft_gguf_set_number(w, "llama.attention.sliding_window", PEFT_GGUF_U32, 4096);
    config_is("a sliding window", w, "{\"model_type\":\"mistral\",\"sliding_window\":4096}");

    w = llama_writer(e, LLAMA_SETTINGS);
    peft_gguf_set_number(w, "split.count", PEFT_GGUF_U16, 3);
    config_fails("a part of a model", w, PEFT_ERROR_UNSUPPORTED, "3 parts");
    w = llama_writer(e, LLAMA_SETTINGS);
    peft_gguf_set_string(w, "general.type", "adapter");
    config_fails("an adapter is no model", w, PEFT_ERROR_UNSUPPORTED, "adapter");
    peft_gguf_writer_create(ctx, &w);
    peft_gguf_set_string(w, "general.architecture", "mamba");
    config_fails("another architecture", w, PEFT_ERROR_UNSUPPORTED, "mamba");
    peft_gguf_writer_create(ctx, &w);
    write_settings(w, "llama", llama_settings, LLAMA_SETTINGS);
    config_fails("no embedding", w, PEFT_ERROR_MISSING, "token_embd.weight");
    peft_gguf_writer_create(ctx, &w);
    static const setting strange[] = {{"embedding_length", 0}};
    write_settings(w, "llama", strange, 1);
    peft_gguf_add(w, "token_embd.weight", e, PEFT_GGML_F32);
    config_fails("a size of 0", w, PEFT_ERROR_FORMAT, "llama.embedding_length");

    // As an archive: floats in the file, the rest expanded, the twin of the embedding left out.
    peft_archive *a = NULL;
    peft__string json;
    peft__string_init(&json, ctx);
    peft_tensor *k = random_tensor("model.layers.1.self_attn.k_proj.weight", 8, 16, 9), *up = random_tensor("up", 16, 64, 10);
    w = llama_writer(e, LLAMA_SETTINGS);
    peft_gguf_add(w, "output.weight", e, PEFT_GGML_F16);
    peft_gguf_add(w, "output_norm.weight", b, PEFT_GGML_F32);
    peft_gguf_add(w, "something.else", b, PEFT_GGML_F32);
    peft_gguf_add(w, "blk.0.ffn_up.weight", up, PEFT_GGML_Q8_0);
    peft__gguf_add_hf(w, "llama", 4, 2, k, PEFT_GGML_F32);
    peft_gguf_close(write_open(w));
    check("archive", peft__archive_open_gguf(ctx, scratch(), &a, &json) == PEFT_OK && peft_archive_count(a) == 4 &&
                         strstr(json.data, "\"hidden_size\":16"));
    if (a) {
        const peft_tensor *embedding = peft_archive_find(a, "model.embed_tokens.weight"),
                          *norm = peft_archive_find(a, "model.norm.weight");
        const peft_tensor *key = peft_archive_find(a, k->name), *wide = peft_archive_find(a, "model.layers.0.mlp.up_proj.weight");
        check("its embedding",
              embedding && embedding->type == (PEFT__BIG_ENDIAN ? PEFT_F32 : PEFT_F16) && embedding->rows == 20 && embedding->cols == 16 &&
                  (PEFT__BIG_ENDIAN || !embedding->owned));
        check("its vector", norm && norm->rank == 1 && norm->cols == 16 && memcmp(norm->data, b->data, 64) == 0);
        check("its keys", key && key->type == PEFT_F32 && memcmp(key->data, k->data, 8 * 16 * 4) == 0);
        float value = 9;
        if (wide) peft__to_f32(wide, 70, 1, &value);
        check("its blocks", wide && wide->type == PEFT_BLOCKS && wide->rows == 16 && wide->cols == 64 && fabsf(value - peft__f32(up)[70]) < 0.02f);
        check("no second embedding", !peft_archive_find(a, "lm_head.weight"));
        peft_archive_close(a);
    }
    peft__string_free(&json);
    peft_tensor_destroy(ctx, e), peft_tensor_destroy(ctx, o), peft_tensor_destroy(ctx, b), peft_tensor_destroy(ctx, q);
    peft_tensor_destroy(ctx, divisors), peft_tensor_destroy(ctx, k), peft_tensor_destroy(ctx, up);
    remove(scratch());
}

// ---- adapters

// A LoRA with random values; NULL in `d`'s target_modules: q_proj and k_proj.
static peft_adapter *lora_of(peft_model *m, peft_adapter_desc d) {
    peft_adapter *a = NULL;
    peft_rng r;
    peft_rng_seed(&r, 9);
    d.model = m;
    if (!d.target_modules) d.target_modules = "q_proj,k_proj";
    check("an adapter", peft_adapter_create(&d, &a) == PEFT_OK);
    for (int64_t i = 0; i < peft_adapter_tensor_count(a); i++) {
        peft_tensor *t = peft_adapter_tensor(a, i);
        for (int64_t k = 0; k < t->rows * t->cols; k++) ((float *)t->data)[k] = random_float(&r);
    }
    return a;
}

static const peft_tensor *part_of(const peft_adapter *a, const char *end) {
    for (int64_t i = 0; i < peft_adapter_tensor_count(a); i++)
        if (peft__ends_with(peft_adapter_tensor(a, i)->name, end)) return peft_adapter_tensor(a, i);
    return NULL;
}

static const char *lora_path(void) {
    static char path[64];
    snprintf(path, sizeof path, "%s.gguf", scratch());
    return path;
}

static peft_gguf *saved_lora(const char *name, const peft_adapter *a) {
    peft_gguf *g = NULL;
    check(name, peft_adapter_save(a, lora_path()) == PEFT_OK && peft_gguf_open(ctx, lora_path(), &g) == PEFT_OK);
    remove(lora_path());
    return g;
}

// Whether B in the file is b times `scale`, with its rows in llama.cpp's order for so many heads.
static bool same_b(peft_gguf *g, const char *name, const peft_tensor *b, int64_t heads, float scale) {
    static float raw[32 * 3];
    const peft_gguf_tensor *t = g ? peft_gguf_find(g, name) : NULL;
    bool right = t && b && t->dims[0] == b->cols && t->dims[1] == b->rows &&
                 peft_gguf_to_f32(g, t - peft_gguf_at(g, 0), 0, b->rows, raw) == PEFT_OK;
    for (int64_t i = 0; right && i < b->rows * b->cols; i++)
        right = raw[i] == scale * peft__f32(b)[hf_row(false, heads, b->rows / heads, i / b->cols) * b->cols + i % b->cols];
    return right;
}

static void lora_fails(const char *name, peft_model *m, peft_adapter_desc d, const char *message) {
    peft_adapter *a = lora_of(m, d);
    check(name, peft_adapter_save(a, lora_path()) == PEFT_ERROR_UNSUPPORTED && strstr(peft_error(ctx), message) &&
                    !peft__file_exists(ctx, lora_path()));
    peft_adapter_destroy(a);
}

static peft_model *small_model(const char *name, const char *config) {
    char path[64];
    snprintf(path, sizeof path, "%s/config.json", name);
    peft_mount(ctx, path, config, strlen(config));
    return load(name, true);
}

#define SMALL "\"hidden_size\":32,\"num_attention_heads\":4,\"num_key_value_heads\":2,\"num_hidden_layers\":2,\"intermediate_size\":40,\"vocab_size\":50,\"tie_word_embeddings\":"

static void test_lora(void) {
    peft_model *m = small_model("lora", "{\"model_type\":\"llama\"," SMALL "false}"), *tied = small_model("tied", "{\"model_type\":\"llama\"," SMALL "true}"),
               *gpt2 = small_model("gpt2", "{\"model_type\":\"gpt2\",\"n_embd\":32,\"n_head\":4,\"n_layer\":1,\"n_positions\":16,\"vocab_size\":50}");
    peft_adapter_desc d = {.r = 3, .alpha = 16, .target_modules = "q_proj,k_proj,embed_tokens,down_proj", .rank_pattern = "down_proj=12"};
    peft_adapter *a = lora_of(m, d);
    peft_gguf *g = saved_lora("write an adapter and read it", a);
    if (g) {
        static float raw[50 * 3];
        check("its metadata", strcmp(peft_gguf_string(g, "general.type", ""), "adapter") == 0 &&
                                  strcmp(peft_gguf_string(g, "adapter.type", ""), "lora") == 0 &&
                                  strcmp(peft_gguf_string(g, "general.architecture", ""), "llama") == 0 && peft_gguf_count(g) == 14 &&
                                  peft_gguf_number(g, "adapter.lora.alpha", 0) == 16);
        const peft_gguf_tensor *x = peft_gguf_find(g, "blk.1.attn_q.weight.lora_a");
        check("A of the queries", x && x->rank == 2 && x->dims[0] == 32 && x->dims[1] == 3 &&
                                      floats_in_file(x->data, part_of(a, "layers.1.self_attn.q_proj.lora_A.weight")));
        check("B of the queries", same_b(g, "blk.1.attn_q.weight.lora_b", part_of(a, "layers.1.self_attn.q_proj.lora_B.weight"), 4, 1));
        check("B of the keys", same_b(g, "blk.1.attn_k.weight.lora_b", part_of(a, "layers.1.self_attn.k_proj.lora_B.weight"), 2, 1));
        const peft_tensor *table = part_of(a, "lora_embedding_A");
        x = peft_gguf_find(g, "token_embd.weight.lora_a");
        bool right = table && x && x->dims[0] == 3 && x->dims[1] == 50 && peft_gguf_to_f32(g, x - peft_gguf_at(g, 0), 0, 50, raw) == PEFT_OK;
        for (int64_t i = 0; i < 50 * 3 && right; i++) right = raw[i] == peft__f32(table)[i % 3 * 50 + i / 3];
        check("an embedding", right);
        x = peft_gguf_find(g, "blk.0.ffn_down.weight.lora_a");
        check("another rank", x && x->dims[1] == 12);
    }
    peft_gguf_close(g), peft_adapter_destroy(a);
    // rsLoRA: alpha / sqrt(r) is what is written, over r
    d.target_modules = NULL, d.rank_pattern = NULL, d.use_rslora = true;
    a = lora_of(m, d), g = saved_lora("rank-stabilized", a);
    check("its alpha", g && fabs(peft_gguf_number(g, "adapter.lora.alpha", 0) / 3 - 16 / sqrt(3)) < 1e-6);
    peft_gguf_close(g), peft_adapter_destroy(a);
    // The second module's alpha is 12 where the file's is 16: its B is 3/4 of what it was, the first is untouched.
    d.use_rslora = false, d.alpha_pattern = "k_proj=12";
    a = lora_of(m, d), g = saved_lora("two alphas", a);
    check("the first module's alpha", g && peft_gguf_number(g, "adapter.lora.alpha", 0) == 16);
    check("the first module's B is as it was", same_b(g, "blk.1.attn_q.weight.lora_b", part_of(a, "layers.1.self_attn.q_proj.lora_B.weight"), 4, 1));
    check("the rest of alpha is in B", same_b(g, "blk.1.attn_k.weight.lora_b", part_of(a, "layers.1.self_attn.k_proj.lora_B.weight"), 2, 0.75f));
    peft_gguf_close(g), peft_adapter_destroy(a);
    d.alpha_pattern = "q_proj=0";
    lora_fails("alpha 0", m, d, "q_proj needs alpha 0");
    d.alpha_pattern = NULL, d.lora_bias = true;
    lora_fails("a bias of its own", m, d, "no place for the bias of a LoRA beside model.layers.0.self_attn.q_proj");
    d.lora_bias = false, d.method = PEFT_DORA;
    lora_fails("DoRA", m, d, "no place for DoRA's magnitude of model.layers.0.self_attn.q_proj");
    d.method = PEFT_LORA, d.modules_to_save = "input_layernorm";
    lora_fails("a norm", m, d, "no place for a trained model.layers.0.input_layernorm");
    d.modules_to_save = NULL, d.target_modules = "embed_tokens";
    lora_fails("a tied embedding", tied, d, "the tied model.embed_tokens");
    d.target_modules = "wpe";
    lora_fails("positions", gpt2, d, "transformer.wpe");
    // GPT-2's weights are [in, out] in Hugging Face's files, their adapters are not.
    d.target_modules = "c_fc";
    a = lora_of(gpt2, d), g = saved_lora("gpt2", a);
    check("its B", g && floats_in_file(peft_gguf_find(g, "blk.0.ffn_up.weight.lora_b")->data, part_of(a, "c_fc.lora_B.weight")));
    peft_gguf_close(g), peft_adapter_destroy(a);
    peft_model_destroy(m), peft_model_destroy(tied), peft_model_destroy(gpt2);
}

// ---- vocabularies

#define SP "\xE2\x96\x81"

static bool encodes(const peft_tokenizer *t, const char *text, bool special, const int32_t *want, int64_t n) {
    peft_ids ids = {NULL, 0, 0};
    peft_status status = special ? peft_encode_special(t, text, strlen(text), &ids) : peft_encode(t, text, strlen(text), &ids);
    bool ok = !status && ids.count == n && (!n || memcmp(ids.data, want, (size_t)n * 4) == 0);
    for (int64_t i = 0; i < ids.count && !ok; i++)
        printf("%s %d%s", i ? "" : "  got", (int)ids.data[i], i + 1 == ids.count ? "\n" : "");
    peft_ids_free(ctx, &ids);
    return ok;
}

static peft_status load_status;  // of the last one

static peft_tokenizer *load_vocabulary(peft_gguf_writer *w) {
    peft_tokenizer *t = NULL;
    char path[64];
    snprintf(path, sizeof path, "%s.gguf", scratch());
    load_status = peft_gguf_write(w, path);
    if (!load_status) load_status = peft_tokenizer_load(ctx, path, &t);
    peft_gguf_writer_destroy(w);
    remove(path);
    return t;
}

static peft_gguf_writer *vocabulary(const char *model, const char *const *tokens, const double *scores, const double *types, int n) {
    peft_gguf_writer *w = NULL;
    peft_gguf_writer_create(ctx, &w);
    if (model) peft_gguf_set_string(w, "tokenizer.ggml.model", model);
    peft_gguf_set_strings(w, "tokenizer.ggml.tokens", tokens, n);
    if (scores) peft_gguf_set_numbers(w, "tokenizer.ggml.scores", PEFT_GGUF_F32, scores, n);
    if (types) peft_gguf_set_numbers(w, "tokenizer.ggml.token_type", PEFT_GGUF_I32, types, n);
    return w;
}

static void vocabulary_fails(const char *name, peft_gguf_writer *w, peft_status expected, const char *message) {
    peft_tokenizer *t = load_vocabulary(w);
    check(name, !t && load_status == expected && strstr(peft_error(ctx), message));
    peft_tokenizer_destroy(t);
}

static void test_small_vocabularies(void) {
    static const char *const sp[] = {"<unk>", "<s>", "</s>", SP, "a", "b", "ab", SP "ab", "<tool>", "c"};
    static const double sp_scores[] = {0, 0, 0, -4, -5, -6, -1, -2, 0, -7}, sp_types[] = {2, 3, 3, 1, 1, 1, 1, 1, 4, 1};
    peft_tokenizer *t = load_vocabulary(vocabulary("llama", sp, sp_scores, sp_types, 10));
    check("llama", t && peft_vocab_size(t) == 10 && peft_tokenizer_special(t).bos == 1 && peft_tokenizer_special(t).eos == 2 &&
                       peft_tokenizer_special(t).unk == 0);
    if (t) {
        static const int32_t plain[] = {7, 4}, tool[] = {7, 8, 9}, special[] = {7, 2}, unknown[] = {3, 0};
        check("llama: merges", encodes(t, "aba", false, plain, 2));
        check("llama: user-defined", encodes(t, "ab<tool>c", false, tool, 3));
        check("llama: special", encodes(t, "ab</s>", true, special, 2));
        check("llama: unknown", encodes(t, "\xC3\xA9", false, unknown, 2));
    }
    peft_tokenizer_destroy(t);
    // a converter calls </s> user-defined: a text that writes it does not end the turn
    static const double sp_user[] = {2, 3, 4, 1, 1, 1, 1, 1, 4, 1};
    static const int32_t ended[] = {7, 2}, written[] = {7, 0};
    t = load_vocabulary(vocabulary("llama", sp, sp_scores, sp_user, 10));
    check("llama: </s> as user-defined", t && encodes(t, "ab</s>", true, ended, 2) && encodes(t, "ab</s>", false, written, 2));
    peft_tokenizer_destroy(t);
    peft_gguf_writer *w = vocabulary("llama", sp, sp_scores, sp_types, 10);
    peft_gguf_set_number(w, "tokenizer.ggml.add_space_prefix", PEFT_GGUF_BOOL, 0);
    peft_gguf_set_number(w, "tokenizer.ggml.padding_token_id", PEFT_GGUF_U32, 9);
    t = load_vocabulary(w);
    static const int32_t no_space[] = {6};
    check("llama: no space in front", t && encodes(t, "ab", false, no_space, 1) && peft_tokenizer_special(t).pad == 9);
    peft_tokenizer_destroy(t);

    static const char *const t5[] = {"<pad>", "</s>", "<unk>", SP, "a", SP "a", "aa", "[PAD7]", "[PAD8]"};
    static const double t5_scores[] = {0, 0, 0, -2, -3, -4, -3.5, -10000, -10000}, t5_types[] = {3, 3, 2, 1, 1, 1, 1, 5, 5};
    t = load_vocabulary(vocabulary("t5", t5, t5_scores, t5_types, 9));
    check("t5", t && peft_vocab_size(t) == 107 && peft_token_id(t, "<extra_id_0>") == 106 && peft_token_id(t, "<extra_id_99>") == 7);
    if (t) {
        static const int32_t cut[] = {5, 6}, squeezed[] = {5, 5};
        check("t5: pieces", encodes(t, "aaa", false, cut, 2));
        check("t5: spaces", encodes(t, "  a   a ", false, squeezed, 2));
    }
    peft_tokenizer_destroy(t);

    const char *tokens[260];
    static char single[256][4];
    double types[260];
    for (int i = 0; i < 256; i++) {
        single[i][peft__utf8_put(single[i], peft__letter_of((unsigned char)i))] = 0;
        tokens[i] = single[i], types[i] = 1;
    }
    tokens[256] = "ab", tokens[257] = "abc", tokens[258] = "<|end|>",
    tokens[259] =
        "\xC4\xA0"
        "ab";
    types[256] = types[257] = types[259] = 1, types[258] = 3;
    static const char *const merges[] = {"a b", "ab c", "\xC4\xA0 ab"};
    static const struct {
        const char *pre;
        int64_t count;  // of "abc 12"
        int32_t ids[8];
    } kinds[] = {{"gpt-2", 4, {257, ' ', '1', '2'}},
                 {"smollm", 4, {257, ' ', '1', '2'}},
                 {"llama-bpe", 4, {257, ' ', '1', '2'}},
                 {"qwen2", 4, {257, ' ', '1', '2'}}};
    for (int k = 0; k < 4; k++) {
        w = vocabulary("gpt2", tokens, NULL, types, 260);
        peft_gguf_set_strings(w, "tokenizer.ggml.merges", merges, 3);
        peft_gguf_set_string(w, "tokenizer.ggml.pre", kinds[k].pre);
        peft_gguf_set_number(w, "tokenizer.ggml.eos_token_id", PEFT_GGUF_U32, 258);
        t = load_vocabulary(w);
        static const int32_t spaced[] = {259, 258, 256};
        check(kinds[k].pre, t && encodes(t, "abc 12", false, kinds[k].ids, kinds[k].count) &&
                                encodes(t, " ab<|end|>ab", true, spaced, 3) && peft_tokenizer_special(t).eos == 258 &&
                                peft_tokenizer_special(t).bos == -1);
        bool digits_apart = false;
        int split = t ? peft__tokenizer_split(t, &digits_apart) : 0;
        if (t)
            check("how digits and contractions split", split == (k < 2    ? PEFT__SPLIT_GPT2
                                                                 : k == 2 ? PEFT__SPLIT_LLAMA3
                                                                          : PEFT__SPLIT_QWEN2) &&
                                                           digits_apart == (k == 1) && t->ignore_merges == (k == 2));
        peft_tokenizer_destroy(t);
    }
    w = vocabulary("gpt2", tokens, NULL, types, 260);
    peft_gguf_set_strings(w, "tokenizer.ggml.merges", merges, 3);
    peft_gguf_set_string(w, "general.architecture", "gptneox");
    t = load_vocabulary(w);
    bool digits_apart = false;
    check("an old file of gptneox", t && peft__tokenizer_split(t, &digits_apart) == PEFT__SPLIT_GPT2 && !digits_apart);
    peft_tokenizer_destroy(t);

    // a vocabulary that lacks the letter of a byte, as SmolLM2's does, leaves it out, and can be written like others
    tokens[4] = "<|spare|>";
    w = vocabulary("gpt2", tokens, NULL, types, 260);
    peft_gguf_set_strings(w, "tokenizer.ggml.merges", merges, 3);
    peft_gguf_set_string(w, "tokenizer.ggml.pre", "smollm");
    t = load_vocabulary(w);
    for (int again = 0; again < 2; again++) {
        static const int32_t rest[] = {257, ' ', '1', '2', 'b'};
        check(again ? "written and read again" : "a byte without a letter", t && encodes(t, "abc 12\004b", false, rest, 5));
        if (again || !t) break;
        peft_gguf_writer_create(ctx, &w);
        check("GGUF of a vocabulary that lacks a byte", !peft__gguf_set_tokenizer(w, t, 260));
        peft_tokenizer_destroy(t);
        t = load_vocabulary(w);
    }
    peft_tokenizer_destroy(t);
    tokens[4] = single[4];

    vocabulary_fails("no pre-tokenizer", vocabulary("gpt2", tokens, NULL, types, 260), PEFT_ERROR_UNSUPPORTED, "tokenizer.ggml.pre");
    w = vocabulary("gpt2", tokens, NULL, types, 260);
    peft_gguf_set_string(w, "tokenizer.ggml.pre", "tekken");
    vocabulary_fails("another pre-tokenizer", w, PEFT_ERROR_UNSUPPORTED, "tokenizer.ggml.pre tekken");
    w = vocabulary("gpt2", tokens, NULL, types, 260);
    static const char *const bad_merges[] = {"a b", "ab"}, *const strange_merges[] = {"a b", "b a"};
    peft_gguf_set_string(w, "tokenizer.ggml.pre", "gpt-2"), peft_gguf_set_strings(w, "tokenizer.ggml.merges", bad_merges, 2);
    vocabulary_fails("a merge of one", w, PEFT_ERROR_FORMAT, "merge 1 is damaged");
    w = vocabulary("gpt2", tokens, NULL, types, 260);
    peft_gguf_set_string(w, "tokenizer.ggml.pre", "gpt-2"), peft_gguf_set_strings(w, "tokenizer.ggml.merges", strange_merges, 2);
    vocabulary_fails("a merge into nothing", w, PEFT_ERROR_FORMAT, "is not in the vocabulary");
    vocabulary_fails("another model", vocabulary("bert", sp, sp_scores, sp_types, 10), PEFT_ERROR_UNSUPPORTED,
                     "tokenizer.ggml.model bert");
    vocabulary_fails("no model", vocabulary(NULL, sp, sp_scores, sp_types, 10), PEFT_ERROR_UNSUPPORTED, "tokenizer.ggml.model (none)");
    vocabulary_fails("no scores", vocabulary("llama", sp, NULL, sp_types, 10), PEFT_ERROR_MISSING, "tokenizer.ggml.scores");
    vocabulary_fails("no tokens", vocabulary("llama", sp, sp_scores, sp_types, 0), PEFT_ERROR_FORMAT, "tokenizer.ggml.tokens");
    w = vocabulary("llama", sp, sp_scores, NULL, 10);
    peft_gguf_set_numbers(w, "tokenizer.ggml.token_type", PEFT_GGUF_I32, sp_types, 9);
    vocabulary_fails("too few types", w, PEFT_ERROR_FORMAT, "tokenizer.ggml.token_type");
    w = vocabulary("llama", sp, sp_scores, sp_types, 10);
    peft_gguf_set_number(w, "tokenizer.ggml.bos_token_id", PEFT_GGUF_U32, 10);
    vocabulary_fails("a bos that is not there", w, PEFT_ERROR_FORMAT, "tokenizer.ggml.bos_token_id is 10");
    static const double bad_types[] = {2, 3, 3, 1, 1, 1, 7, 1, 4, 1}, byte_types[] = {2, 3, 3, 1, 1, 6, 1, 1, 4, 1};
    vocabulary_fails("a type of 7", vocabulary("llama", sp, sp_scores, bad_types, 10), PEFT_ERROR_FORMAT, "token 6");
    vocabulary_fails("a byte without its name", vocabulary("llama", sp, sp_scores, byte_types, 10), PEFT_ERROR_FORMAT, "token 5");
    static const double infinite[] = {0, 0, 0, -4, -INFINITY, -6, -1, -2, 0, -7};
    vocabulary_fails("an infinite score", vocabulary("llama", sp, infinite, sp_types, 10), PEFT_ERROR_FORMAT, "token 4");
}

static const char *shared(const char *name) {
    static char path[512];
    const char *root = getenv("PEFT_SHARED");
    snprintf(path, sizeof path, "%s/%s", root ? root : "../shared", name);
    return path;
}

// The vocabulary of a tokenizer that was loaded elsewhere, as a converter would write it.
static peft_gguf_writer *convert(const peft_tokenizer *t, const char *model, int64_t padded, const char *merges) {
    peft_gguf_writer *w = NULL;
    int64_t own = strcmp(model, "t5") == 0 ? t->count - 100 : t->count;
    const char **tokens = (const char **)malloc((size_t)padded * sizeof *tokens);
    double *scores = (double *)malloc((size_t)padded * sizeof *scores), *types = (double *)malloc((size_t)padded * sizeof *types);
    char *names = (char *)malloc((size_t)padded * 16);
    for (int64_t i = 0; i < padded; i++) {
        snprintf(names + 16 * i, 16, "[PAD%d]", (int)i);
        tokens[i] = i < own ? t->pieces[i].text : names + 16 * i;
        scores[i] = i < own ? (double)t->pieces[i].score : -10000;
        types[i] = i < own ? t->pieces[i].type : 5;
    }
    w = vocabulary(model, tokens, strcmp(model, "gpt2") == 0 ? NULL : scores, types, (int)padded);
    if (t->charsmap) {
        size_t n = t->charsmap_size;
        double *map = (double *)calloc(n, sizeof(double));
        for (size_t k = 0; k < n; k++) map[k] = t->charsmap[k];
        peft_gguf_set_numbers(w, "tokenizer.ggml.precompiled_charsmap", PEFT_GGUF_U8, map, (int64_t)n);
        free(map);
    }
    if (merges) {
        char *text = NULL;
        size_t n = 0;
        int64_t count = 0;
        const char **lines = (const char **)malloc(200000 * sizeof *lines);
        if (peft__read_all(ctx, merges, &text, &n) == PEFT_OK)
            for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n"))
                if (strncmp(line, "#version", 8) != 0) lines[count++] = line;
        peft_gguf_set_strings(w, "tokenizer.ggml.merges", lines, count);
        peft_gguf_set_string(w, "tokenizer.ggml.pre", "gpt-2");
        peft__free(ctx, text);
        free(lines);
    }
    free(tokens), free(scores), free(types), free(names);
    return w;
}

static void test_real_vocabularies(void) {
    static const struct {
        const char *name, *model, *path, *merges;
        int64_t padded;
    } all[] = {{"t5", "t5", "tokenizers/t5/spiece.model", NULL, 32128},
               {"llama", "llama", "tokenizers/llama/tokenizer.model", NULL, 32000},
               {"gpt2", "gpt2", "tokenizers/gpt2", "tokenizers/gpt2/vocab.bpe", 50257}};
    char *lines = NULL;
    size_t n = 0;
    if (!peft__file_exists(ctx, shared("golden/tokenizers.jsonl")) ||
        peft__read_all(ctx, shared("golden/tokenizers.jsonl"), &lines, &n)) {
        printf("skipped: no vocabularies at %s (set PEFT_SHARED)\n", shared(""));
        skipped++;
        return;
    }
    for (int k = 0; k < 3; k++) {
        peft_tokenizer *original = NULL, *t = NULL;
        if (peft_tokenizer_load(ctx, shared(all[k].path), &original)) {
            printf("skipped: %s\n", peft_error(ctx));
            skipped++;
            continue;
        }
        char merges[600] = "";
        if (all[k].merges) snprintf(merges, sizeof merges, "%s", shared(all[k].merges));
        t = load_vocabulary(convert(original, all[k].model, all[k].padded, all[k].merges ? merges : NULL));
        check(all[k].name, t && peft_vocab_size(t) == peft_vocab_size(original));
        int count = 0, right = 0;
        peft__arena a;
        peft__arena_init(&a, ctx);
        for (const char *line = lines, *end; t && line < lines + n; line = end + 1) {
            peft__json *row;
            end = strchr(line, '\n');
            if (!end) break;
            peft__arena_reset(&a);
            if (peft__json_parse(ctx, &a, line, (size_t)(end - line), "line", &row) ||
                strcmp(peft__json_text(row, "tokenizer", ""), all[k].name) != 0)
                continue;
            const peft__json *text = peft__json_get(row, "text"), *ids = peft__json_get(row, "ids");
            peft_ids got = {NULL, 0, 0};
            bool same = peft_encode(t, text->string, text->length, &got) == PEFT_OK && got.count == (int64_t)ids->length;
            int64_t i = 0;
            for (const peft__json *id = ids->child; id && same; id = id->next) same = got.data[i++] == (int32_t)id->number;
            count++, right += same;
            peft_ids_free(ctx, &got);
        }
        peft__arena_free(&a);
        char what[64];
        snprintf(what, sizeof what, "%s: %d of %d texts", all[k].name, right, count);
        check(what, count > 0 && right == count);
        peft_tokenizer_destroy(original), peft_tokenizer_destroy(t);
    }
    peft__free(ctx, lines);
}

// ---- the n-th allocation fails: an error, and nothing leaks

static peft_status everything(int kind, const peft_adapter *lora, const peft_tensor *t) {
    peft_status status = PEFT_OK;
    if (kind == 0) {
        peft_gguf *g = NULL;
        status = peft_gguf_open(ctx, "all.gguf", &g);
        peft_gguf_close(g);
    } else if (kind == 1) {
        status = peft_adapter_save(lora, lora_path());
    } else if (kind == 2) {
        peft_gguf_writer *w = NULL;
        static const char *const words[] = {"one", "two"};
        status = peft_gguf_writer_create(ctx, &w);
        if (!status) status = peft_gguf_set_string(w, "general.architecture", "llama");
        for (int i = 0; i < LLAMA_SETTINGS && !status; i++) {
            char key[96];
            snprintf(key, sizeof key, "llama.%s", llama_settings[i].key);
            status = peft_gguf_set_number(w, key, PEFT_GGUF_F32, llama_settings[i].value);
        }
        if (!status) status = peft_gguf_set_strings(w, "words", words, 2);
        if (!status) status = peft_gguf_add(w, "token_embd.weight", t, PEFT_GGML_F16);
        if (!status) status = peft_gguf_add(w, "blk.0.attn_q.weight", t, PEFT_GGML_F32);
        if (!status) status = peft_gguf_write(w, scratch());
        peft_gguf_writer_destroy(w);
    } else if (kind == 3) {
        peft_archive *a = NULL;
        peft__string json;
        peft__string_init(&json, ctx);
        status = peft__archive_open_gguf(ctx, scratch(), &a, &json);
        peft__string_free(&json);
        if (!status) peft_archive_close(a);
    } else {
        peft_tokenizer *v = NULL;
        status = peft_tokenizer_load(ctx, "vocabulary.gguf", &v);
        peft_tokenizer_destroy(v);
    }
    return status;
}

static void test_memory(void) {
    counter memory = {0};
    static bytes file, words;
    static const char *const names[] = {"opening", "an adapter", "writing", "an archive", "a vocabulary"};
    static const char *const pieces[] = {"<unk>", "<s>", "</s>", SP, "a", "aa"};
    peft_context_desc c;
    memset(&c, 0, sizeof c);
    COUNT_IN(c, memory);
    peft_context *kept = ctx;
    bool ok = peft_context_create(&c, &ctx) == PEFT_OK;
    sound_file(&file, 3);
    put_header(&words, 3, 0, 4);
    put_key(&words, "tokenizer.ggml.model", PEFT_GGUF_STRING), put_text(&words, "llama");
    put_array(&words, "tokenizer.ggml.tokens", PEFT_GGUF_STRING, 6);
    for (int i = 0; i < 6; i++) put_text(&words, pieces[i]);
    put_array(&words, "tokenizer.ggml.scores", PEFT_GGUF_F32, 6);
    for (int i = 0; i < 6; i++) put(&words, 0xC0000000, 4);
    put_array(&words, "tokenizer.ggml.token_type", PEFT_GGUF_I32, 6);
    for (int i = 0; i < 6; i++) put(&words, i == 0 ? 2 : i < 3 ? 3 : 1, 4);
    pad(&words, 32);
    peft_mount(ctx, "all.gguf", file.data, file.size);
    peft_mount(ctx, "vocabulary.gguf", words.data, words.size);
    peft_tensor *t = random_tensor("t", 16, 16, 1);
    peft_model *m = small_model("lora", "{\"model_type\":\"llama\"," SMALL "false}");
    peft_adapter *lora = lora_of(m, (peft_adapter_desc){.r = 2});
    int64_t before = memory.live;
    for (int kind = 0; kind < 5; kind++) {
        bool done = false;
        for (int64_t n = 0; n < 400 && !done; n++) {
            COUNT_ALLOW(memory, n);
            peft_status status = everything(kind, lora, t);
            COUNT_ALLOW(memory, -1);
            ok = ok && (status == PEFT_OK || status == PEFT_ERROR_MEMORY) && memory.live == before;
            done = status == PEFT_OK;
        }
        check(names[kind], ok && done);
    }
    remove(scratch()), remove(lora_path());
    peft_tensor_destroy(ctx, t), peft_adapter_destroy(lora), peft_model_destroy(m);
    peft_context_destroy(ctx);
    check("nothing left", memory.live == 0);
    ctx = kept;
}

int main(void) {
    if (peft_context_create(NULL, &ctx)) return 1;
    test_blocks();
    for (int simd = PEFT_SIMD_PORTABLE; simd <= PEFT_SIMD_AVX512; simd++)
        for (int compute = PEFT_F32; compute <= PEFT_I8; compute += PEFT_I8)
            if (peft__simd_available((peft_simd)simd)) test_block_products((peft_simd)simd, (peft_dtype)compute, true);
    for (int compute = PEFT_F32; compute <= PEFT_I8 && ctx->vnni; compute += PEFT_I8)  // AVX-512 without multiplied bytes
        test_block_products(PEFT_SIMD_AVX512, (peft_dtype)compute, false);
    test_quantized_models();
    test_quantizer();
    test_names();
    test_orders();
    test_configs();
    test_lora();
    test_small_vocabularies();
    test_real_vocabularies();
    test_memory();
    peft_context_destroy(ctx);
    printf("test_gguf_models: %d passed, %d failed", passed, failed);
    printf(skipped ? ", %d skipped\n" : "\n", skipped);
    return failed != 0;
}
