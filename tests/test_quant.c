// Chapter 4: quantized weights. Encoding against a plain search, every instruction set against the portable one bit for bit, packing
// and products in all shapes, thread counts, bitsandbytes' checkpoints there and back, damaged files, failing allocations.
#define PEFT_NO_METRICS  // what this program needs of the header
#define PEFT_IMPLEMENTATION
#include "peft.h"

#include "check.h"
#include "counter.h"
#include <stdio.h>
#include <stdlib.h>

static int passed, failed, skipped;
static peft_context *ctx;
static peft_rng rng;

static void check(const char *name, bool ok) {
    if (test_count(&passed, &failed, ok, name)) printf("%-58s FAIL %s\n", name, peft_error(ctx));
}

static const peft_simd all_simd[] = {PEFT_SIMD_PORTABLE, PEFT_SIMD_NEON, PEFT_SIMD_WASM, PEFT_SIMD_AVX2, PEFT_SIMD_AVX512};
static const peft_dtype all_types[] = {PEFT_NF4, PEFT_FP4, PEFT_I8};

static peft_context *make(peft_simd simd, int threads) {
    peft_context_desc d;
    memset(&d, 0, sizeof d);
    d.simd = simd, d.threads = threads;
    peft_context *c = NULL;
    peft_context_create(&d, &c);
    return c;
}

static float normal(void) {
    return (float)peft_rng_normal(&rng);
}

static peft_tensor *random_tensor(int64_t rows, int64_t cols) {
    peft_tensor *t = NULL;
    if (peft_tensor_create(ctx, "w", rows, cols, &t)) return NULL;
    float *x = (float *)t->data;
    for (int64_t i = 0; i < rows * cols; i++) x[i] = normal() * (i % 97 == 5 ? 8.0f : 0.1f);
    return t;
}

static peft_tensor *quantize(peft_context *c, const peft_tensor *t, peft_dtype type, int64_t block, bool nested) {
    peft_quantize_desc d = {type, block, nested};
    peft_tensor *q = NULL;
    return peft_quantize(c, t, &d, &q) ? NULL : q;
}

static int64_t code_of(const peft_tensor *t, int64_t i) {
    const uint8_t *data = (const uint8_t *)t->data;
    return t->type == PEFT_I8 ? (int8_t)data[i] : i % 2 ? data[i / 2] & 15 : data[i / 2] >> 4;
}

static size_t code_bytes(const peft_tensor *t) {
    int64_t n = t->rows * t->cols;
    return (size_t)(t->type == PEFT_I8 ? n : (n + 1) / 2);
}

// ---- encoding

// The code as the definition has it: how many midpoints between neighbouring values lie below x / absmax.
static int64_t expected_code(const float *map, float x, float peak, bool whole) {
    float least = 1e-38f, bound = peak > least ? peak : least, s = whole ? x * (1.0f / bound) : x / bound;
    int order[16];
    for (int i = 0; i < 16; i++) order[i] = i;
    for (int i = 0; i < 16; i++)
        for (int k = 15; k > i; k--)
            if (map[order[k - 1]] > map[order[k]]) {
                int t = order[k];
                order[k] = order[k - 1], order[k - 1] = t;
            }
    int below = 0;
    for (int i = 0; i < 15; i++) below += s > (map[order[i]] + map[order[i + 1]]) / 2;
    return order[below];
}

static bool block_is_right(const peft_tensor *w, const peft_tensor *q, int64_t b, int64_t block) {
    const float *x = (const float *)w->data;
    int64_t n = w->rows * w->cols, end = b * block + block < n ? b * block + block : n;
    bool whole = end == b * block + block;
    float peak = 0;
    for (int64_t i = b * block; i < end; i++) peak = fabsf(x[i]) > peak ? fabsf(x[i]) : peak;
    float want = q->type == PEFT_I8 ? peak / 127.0f : !whole && peak < 1e-38f ? 1e-38f : peak;
    if (q->quant->absmax[b] != want) return false;
    for (int64_t i = b * block; i < end; i++) {
        int64_t code = code_of(q, i);
        if (q->type != PEFT_I8 && code != expected_code(q->quant->map, x[i], peak, whole)) return false;
        if (q->type == PEFT_I8 && (code < -127 || fabs((double)x[i] - (double)code * (double)want) > 0.5001 * (double)want)) return false;
    }
    return true;
}

static void test_encoding(void) {
    static const int64_t shapes[][2] = {{1, 1}, {1, 31}, {3, 11}, {1, 64}, {4, 96}, {37, 61}, {5, 1000}, {3, 4096}, {65, 129}};
    for (int s = 0; s < (int)PEFT__COUNT(shapes); s++)
        for (int64_t block = 32; block <= 4096; block *= 2)
            for (int k = 0; k < 3; k++) {
                peft_tensor *w = random_tensor(shapes[s][0], shapes[s][1]), *q = quantize(ctx, w, all_types[k], block, false);
                float *x = (float *)w->data;
                bool ok = q && q->quant->block == block && q->quant->block_count == (w->rows * w->cols + block - 1) / block;
                for (int64_t b = 0; ok && b < q->quant->block_count; b++) ok = block_is_right(w, q, b, block);
                if (ok && w->rows * w->cols % 2 && q->type != PEFT_I8)
                    ok = code_of(q, w->rows * w->cols) == (q->type == PEFT_NF4 ? 7 : 0);
                check("codes and scales", ok);
                peft_tensor_destroy(ctx, q);
                for (int64_t i = 0; i < w->rows * w->cols; i++) x[i] = 0;
                q = quantize(ctx, w, all_types[k], block, false);
                ok = q != NULL;
                for (int64_t b = 0; ok && b < q->quant->block_count; b++) ok = block_is_right(w, q, b, block);
                check("zeros", ok);
                peft_tensor_destroy(ctx, q);
                peft_tensor_destroy(ctx, w);
            }
}

// Values on, just above and just below each midpoint; extreme magnitudes.
static void test_ties(void) {
    peft_tensor *w = NULL;
    peft_tensor_create(ctx, "w", 16, 64, &w);
    float *x = (float *)w->data;
    for (int k = 0; k < 2; k++)
        for (int e = 0; e < 5; e++) {
            static const float sizes[5] = {1.0f, 3e38f, 1e-30f, 1e-38f, 1e-44f};
            peft__codebook book;
            peft__codebook_of(k ? peft__fp4_map : peft__nf4_map, &book);
            for (int i = 0; i < 16 * 64; i++) {
                int at = i / 3 % 15, level = 0;
                while (at >= 1 << level) at -= 1 << level++;
                float t = book.level[level][at];
                x[i] = (i % 64 == 63 ? 1.0f : i % 3 == 0 ? t : nextafterf(t, i % 3 == 1 ? 2.0f : -2.0f)) * sizes[e];
            }
            for (int s = 0; s < (int)PEFT__COUNT(all_simd); s++) {
                peft_context *c = make(all_simd[s], 1);
                if (!c) continue;
                peft_tensor *q = quantize(c, w, k ? PEFT_FP4 : PEFT_NF4, 64, false);
                bool ok = q != NULL;
                for (int64_t b = 0; ok && b < 16; b++) ok = block_is_right(w, q, b, 64);
                check("ties and extremes", ok);
                peft_tensor_destroy(c, q);
                peft_context_destroy(c);
            }
        }
    peft_tensor_destroy(ctx, w);
}

static void test_double(void) {
    static const int64_t rows[] = {1, 3, 17, 257, 300, 1200};
    float map[256];
    peft__dynamic_map_of(map, true);
    bool ok = map[127] == 0 && map[255] == 1;
    for (int i = 0; i < 255; i++) ok = ok && map[i] < map[i + 1];
    for (int i = 0; i < 127; i++) ok = ok && map[126 - i] == -map[128 + i];
    check("the dynamic map is sorted and symmetric", ok);
    for (int r = 0; r < (int)PEFT__COUNT(rows); r++) {
        peft_tensor *w = random_tensor(rows[r], 96);
        peft_tensor *q = quantize(ctx, w, PEFT_NF4, 32, false), *d = quantize(ctx, w, PEFT_NF4, 32, true);
        ok = q && d && !d->quant->absmax && memcmp(q->data, d->data, code_bytes(q)) == 0;
        double largest = 0, mean = 0;
        for (int64_t b = 0; ok && b < q->quant->block_count; b++) {
            double off = fabs((double)peft__quant_scale(d->quant, b) - (double)q->quant->absmax[b]);
            largest = off > largest ? off : largest;
            mean += (double)q->quant->absmax[b] / (double)q->quant->block_count;
        }
        double peak = 0;
        for (int64_t b = 0; ok && b < (q->quant->block_count + 255) / 256; b++)
            peak = (double)d->quant->nested_absmax[b] > peak ? (double)d->quant->nested_absmax[b] : peak;
        check("double quantization: offset", ok && fabs((double)d->quant->nested_offset - mean) <= 1e-6 * mean);
        check("double quantization: scales", ok && largest <= 0.008 * peak);
        check("bytes", ok && peft_tensor_bytes(d) == code_bytes(d) + 64 + (size_t)q->quant->block_count +
                                                         ((size_t)q->quant->block_count + 255) / 256 * 4 + 1024);
        peft_tensor_destroy(ctx, q), peft_tensor_destroy(ctx, d), peft_tensor_destroy(ctx, w);
    }
}

static void test_errors(void) {
    static const float bad[] = {NAN, INFINITY, -INFINITY};
    peft_tensor *w = random_tensor(40, 77), *q = NULL;
    float *x = (float *)w->data;
    for (int k = 0; k < 3; k++)
        for (int b = 0; b < 3; b++)
            for (int s = 0; s < (int)PEFT__COUNT(all_simd); s++) {
                static const int64_t places[] = {0, 17 * 77 + 5, 40 * 77 - 1};
                peft_context *c = make(all_simd[s], 1);
                if (!c) continue;
                float kept = x[places[b]];
                x[places[b]] = bad[(b + k) % 3];
                peft_quantize_desc d = {all_types[k], 64, k < 2 && b == 1};
                char text[64];
                snprintf(text, sizeof text, "w: weight %d (row %d, column %d)", (int)places[b], (int)(places[b] / 77), (int)(places[b] % 77));
                size_t before = peft_memory_in_use(c);
                q = w;
                bool ok = peft_quantize(c, w, &d, &q) == PEFT_ERROR_NUMERIC && !q && strstr(peft_error(c), text);
                check("not finite", ok && peft_memory_in_use(c) == before);
                x[places[b]] = kept;
                peft_context_destroy(c);
            }
    peft_quantize_desc d = {PEFT_NF4, 48, false};
    check("block 48", peft_quantize(ctx, w, &d, &q) == PEFT_ERROR_ARGUMENT && !q && strstr(peft_error(ctx), "48"));
    d.block = 8192;
    check("block 8192", peft_quantize(ctx, w, &d, &q) == PEFT_ERROR_ARGUMENT);
    d.block = -64;
    check("block -64", peft_quantize(ctx, w, &d, &q) == PEFT_ERROR_ARGUMENT);
    d.block = 0, d.type = PEFT_BF16;
    check("to bf16", peft_quantize(ctx, w, &d, &q) == PEFT_ERROR_ARGUMENT);
    d.type = PEFT_I8, d.double_quant = true;
    check("int8 doubly", peft_quantize(ctx, w, &d, &q) == PEFT_ERROR_ARGUMENT);
    check("no source", peft_quantize(ctx, NULL, NULL, &q) == PEFT_ERROR_ARGUMENT && !q);
    check("no descriptor", peft_quantize(ctx, w, NULL, &q) == PEFT_OK && q->type == PEFT_NF4 && q->quant->block == 64 && q->quant->absmax);
    check("nowhere to write", peft_dequantize(ctx, q, NULL) == PEFT_ERROR_ARGUMENT);
    peft_tensor *other = random_tensor(77, 40);
    peft_quantize_error e;
    check("shapes", peft_quantize_compare(ctx, other, q, &e) == PEFT_ERROR_SHAPE);
    check("no tensor", peft_quantize_compare(ctx, NULL, q, &e) == PEFT_ERROR_ARGUMENT);
    check("the same", peft_quantize_compare(ctx, q, q, &e) == PEFT_OK && e.relative == 0 && e.max == 0 && e.mean == 0);
    peft_tensor_destroy(ctx, other), peft_tensor_destroy(ctx, q), peft_tensor_destroy(ctx, w);
}

// Relative errors on normal weights, as published for these formats at block 64 and others; half floats as source.
static void test_quality(void) {
    static const double nf4[] = {0.0873, 0.0920, 0, 0.0987}, fp4[] = {0.1141, 0.1220, 0, 0.1347};
    peft_tensor *w = NULL;
    peft_tensor_create(ctx, "w", 512, 512, &w);
    for (int64_t i = 0; i < 512 * 512; i++) ((float *)w->data)[i] = normal();
    for (int b = 0; b < 4; b++)
        for (int k = 0; k < 2; k++) {
            double want = k ? fp4[b] : nf4[b];
            peft_tensor *q = quantize(ctx, w, all_types[k], 32 << b, false);
            peft_quantize_error e;
            memset(&e, 0, sizeof e);
            check("relative error", want == 0 || (peft_quantize_compare(ctx, w, q, &e) == PEFT_OK && fabs(e.relative - want) < 0.002));
            peft_tensor_destroy(ctx, q);
        }
    peft_tensor *q = quantize(ctx, w, PEFT_I8, 64, false);
    peft_quantize_error e;
    memset(&e, 0, sizeof e);
    check("int8 error", peft_quantize_compare(ctx, w, q, &e) == PEFT_OK && e.relative < 0.006 && e.mean < e.max && e.max < 0.03);
    peft_tensor_destroy(ctx, q);
    for (int type = PEFT_F16; type <= PEFT_BF16; type++) {
        static uint16_t half[512 * 512];
        peft_tensor h = *w;
        h.type = (peft_dtype)type, h.data = half, h.owned = false;
        for (int64_t i = 0; i < 512 * 512; i++) {
            float *v = (float *)w->data + i;
            half[i] = type == PEFT_F16 ? peft__f32_to_f16(*v) : peft__f32_to_bf16(*v);
            *v = type == PEFT_F16 ? peft__f16_to_f32(half[i]) : peft__bf16_to_f32(half[i]);
        }
        peft_tensor *a = quantize(ctx, w, PEFT_NF4, 128, true), *b = quantize(ctx, &h, PEFT_NF4, 128, true);
        check("from half floats", a && b && memcmp(a->data, b->data, code_bytes(a)) == 0 && b->quant->source == (peft_dtype)type &&
                                      memcmp(a->quant->codes, b->quant->codes, (size_t)a->quant->block_count) == 0);
        peft_tensor *again = quantize(ctx, b, PEFT_NF4, 128, true);
        check("quantizing twice keeps the codes", again && memcmp(again->data, b->data, code_bytes(b)) == 0 && again->quant->source == (peft_dtype)type);
        peft_tensor_destroy(ctx, a), peft_tensor_destroy(ctx, b), peft_tensor_destroy(ctx, again);
    }
    peft_tensor_destroy(ctx, w);
}

// ---- one instruction set against the portable code

// op(B) of q, or of a copy of its codes
static peft__matrix matrix(const peft_tensor *q, const void *codes, bool transposed) {
    peft_tensor t = *q;
    if (codes) t.data = (void *)(uintptr_t)codes;
    return transposed ? peft__T(peft__matrix_of(&t)) : peft__matrix_of(&t);
}

static void test_expand(peft_simd simd) {
    const peft__quant_isa *isa = peft__quant_isa_of(simd);
    peft_context *c = make(simd, 1);
    for (int i = 0; i < 60; i++) {
        peft_dtype type = all_types[i % 3];
        peft_tensor *w = random_tensor(1 + peft__rng_below(&rng, 9), 1 + peft__rng_below(&rng, 900));
        int64_t n = w->rows * w->cols, block = (int64_t)32 << peft__rng_below(&rng, 8);
        bool nested = type != PEFT_I8 && i & 4;
        peft_tensor *q = quantize(c, w, type, block, nested), *p = quantize(ctx, w, type, block, nested);
        check("codes as portable", q && p && memcmp(q->data, p->data, code_bytes(q)) == 0);
        check("scales as portable", nested ? memcmp(q->quant->codes, p->quant->codes, (size_t)q->quant->block_count) == 0
                                           : memcmp(q->quant->absmax, p->quant->absmax, (size_t)q->quant->block_count * 4) == 0);
        // exact-size copies, so that a sanitizer sees reads past the end
        uint8_t *codes = (uint8_t *)malloc(code_bytes(q));
        float *got = (float *)malloc((size_t)n * 4), *want = (float *)malloc((size_t)n * 4);
        memcpy(codes, q->data, code_bytes(q));
        for (int k = 0; k < 20; k++) {
            int64_t first = k ? peft__rng_below(&rng, n) : 0, count = k ? peft__rng_below(&rng, n - first + 1) : n;
            isa->expand(q->quant, codes, first, count, got);
            peft__quant_expand_plain(p->quant, (const uint8_t *)p->data, first, count, want);
            check("expansion", memcmp(got, want, (size_t)count * 4) == 0);
        }
        check("dequantize", peft_dequantize(c, q, got) == PEFT_OK);
        peft__quant_expand_plain(p->quant, (const uint8_t *)p->data, 0, n, want);
        check("dequantize as portable", memcmp(got, want, (size_t)n * 4) == 0);
        free(codes), free(got), free(want);
        peft_tensor_destroy(c, q), peft_tensor_destroy(ctx, p), peft_tensor_destroy(ctx, w);
    }
    peft_context_destroy(c);
}

static int64_t some_size(int i) {
    static const int64_t sizes[] = {1, 2, 7, 8, 15, 16, 17, 24, 31, 32, 33, 40, 48, 61, 64, 65, 96, 100, 128, 136, 192, 250, 256, 264, 384, 520};
    return i % 5 ? sizes[peft__rng_below(&rng, PEFT__COUNT(sizes))] : 1 + peft__rng_below(&rng, 300);
}

// Panels hold exactly the weights, and zeros behind them.
static void test_pack(peft_simd simd) {
    peft__pack_fn pack = peft__quant_pack_of(simd);
    peft_context *c = make(simd, 1);
    int nr = peft__isa_of(c)->nr;
    for (int i = 0; i < 500; i++) {
        peft_tensor *w = random_tensor(some_size(i), some_size(i));
        peft_tensor *q = quantize(ctx, w, all_types[i % 3], (int64_t)32 << peft__rng_below(&rng, 8), i % 3 < 2 && i & 8);
        bool transposed = i & 1;
        int64_t n = transposed ? w->rows : w->cols, k = transposed ? w->cols : w->rows;
        int64_t n0 = peft__rng_below(&rng, n) / (i & 2 ? nr : 1) * (i & 2 ? nr : 1), k0 = peft__rng_below(&rng, k) / 8 * 8;
        int64_t nc = 1 + peft__rng_below(&rng, n - n0), kc = 1 + peft__rng_below(&rng, k - k0), panels = (nc + nr - 1) / nr;
        if (i & 4) nc = n - n0, kc = k - k0, panels = (nc + nr - 1) / nr;
        float *value = (float *)malloc((size_t)(n * k) * 4), *out = (float *)malloc((size_t)(panels * nr * kc) * 4);
        uint8_t *codes = (uint8_t *)malloc(code_bytes(q));
        memcpy(codes, q->data, code_bytes(q));
        peft__quant_expand_plain(q->quant, codes, 0, n * k, value);
        peft__matrix b = matrix(q, codes, transposed);
        memset(out, 0xAA, (size_t)(panels * nr * kc) * 4);
        pack(&b, k0, kc, n0, nc, nr, out);
        bool ok = true;
        for (int64_t j = 0; j < panels * nr; j++)
            for (int64_t p = 0; p < kc; p++) {
                int64_t row = transposed ? n0 + j : k0 + p, col = transposed ? k0 + p : n0 + j;
                float want = j < nc ? value[row * w->cols + col] : 0.0f;
                ok = ok && memcmp(&out[(j / nr) * nr * kc + p * nr + j % nr], &want, 4) == 0;
            }
        check(transposed ? "pack, k contiguous" : "pack, n contiguous", ok);
        free(value), free(out), free(codes);
        peft_tensor_destroy(ctx, q), peft_tensor_destroy(ctx, w);
    }
    peft_context_destroy(c);
}

// What rounding to integers may cost one product with few rows: half a unit of x, of which the largest number that shares a scale has
// 16383 (int8: 32639 as two bytes, else 32767, or with compute int8 127, on every machine), and the 4-bit table's own rounding. 0 where
// the product is in floats.
static double integer_room(const peft_context *c, const peft_tensor *q, int64_t m, bool transposed, const float *x, int64_t step, int64_t row) {
    const peft__quant_isa *isa = peft__quant_isa_of(c->simd);
    bool own = q->type == PEFT_I8, bytes = own && c->compute == PEFT_I8;
    int64_t k = q->cols, chunk = own ? 32 : 8 * isa->width;
    if (!transposed || m > 4 || (m > 1 && step > 1) || k < PEFT__QUANT_SHORT || !(isa->dots4 || bytes)) return 0;
    if (peft__quant_grain(q->quant, k) < (own ? 32 : isa->grain)) return 0;
    int16_t map[16];
    double unit = own ? 0 : (double)peft__quant_map16(q->quant->map, map), off = 0, room = 0;
    for (int i = 0; i < 16 && !own; i++) off = fmax(off, fabs((double)q->quant->map[i] - map[i] * unit));
    for (int64_t p = 0; p < k; p++) {
        double peak = 0, scale = fabs((double)peft__quant_scale(q->quant, (row * k + p) >> q->quant->block_shift));
        for (int64_t i = p / chunk * chunk; i < PEFT__MIN(k, p / chunk * chunk + chunk); i++) peak = fmax(peak, fabs((double)x[i * step]));
        double value = own ? ((const int8_t *)q->data)[row * k + p] : (double)q->quant->map[code_of(q, row * k + p)];
        room += peak / (bytes ? 127 : own ? 32639 : 16383) * 0.5001 * scale * fabs(value) + off * scale * fabs((double)x[p * step]);
    }
    return room;
}

// C = alpha A op(B) + beta C against f64 on the expanded weights; m == 1 is the product for one token.
static void test_product(peft_context *c, int64_t m, peft_tensor *q, bool transposed, float alpha, float beta, bool strided) {
    int64_t n = transposed ? q->rows : q->cols, k = transposed ? q->cols : q->rows, lda = strided ? 2 * k + 3 : k;
    float *value = (float *)malloc((size_t)(n * k) * 4), *a = (float *)malloc((size_t)(m * lda) * 4);
    float *got = (float *)malloc((size_t)(m * n) * 4), *old = (float *)malloc((size_t)(m * n) * 4);
    uint8_t *codes = (uint8_t *)malloc(code_bytes(q));
    memcpy(codes, q->data, code_bytes(q));
    peft__quant_expand_plain(q->quant, codes, 0, n * k, value);
    for (int64_t i = 0; i < m * lda; i++) a[i] = normal();
    for (int64_t i = 0; i < m * n; i++) got[i] = old[i] = beta == 0 ? NAN : normal();
    peft__matrix A = strided ? peft__T(peft__dense(a, k, m)) : peft__dense_rows(a, m, k, lda);
    bool ok = peft__matmul(c, peft__dense(got, m, n), beta, alpha, A, matrix(q, codes, transposed)) == PEFT_OK;
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++) {
            double sum = 0, size = 0;
            for (int64_t p = 0; p < k; p++) {
                double v = (double)a[strided ? i + p * m : i * lda + p] * (double)value[transposed ? j * k + p : p * n + j];
                sum += v, size += fabs(v);
            }
            double extra = beta == 0 ? 0 : (double)beta * (double)old[i * n + j], want = (double)alpha * sum + extra;
            double room = (double)(k + 8) * 6e-8 * (fabs((double)alpha) * size + fabs(extra)) + 1e-30;
            room += fabs((double)alpha) * integer_room(c, q, m, transposed, a + (strided ? i : i * lda), strided ? m : 1, j);
            if (!(fabs((double)got[i * n + j] - want) <= room)) ok = false;
        }
    check(m == 1 ? "product for one token" : m <= 4 ? "product for few tokens" : "product", ok);
    free(value), free(a), free(got), free(old), free(codes);
}

static void test_products(peft_simd simd) {
    peft_context *c = make(simd, 1);
    for (int i = 0; i < 360; i++) {
        peft_tensor *w = random_tensor(some_size(i), i % 7 ? some_size(i + 1) : 2000 + 8 * peft__rng_below(&rng, 300));
        peft_tensor *q = quantize(ctx, w, all_types[i % 3], (int64_t)32 << peft__rng_below(&rng, 8), i % 3 < 2 && i & 8);
        int64_t m = i % 4 == 0 ? 1 + peft__rng_below(&rng, 70) : i % 4 == 1 ? 2 + peft__rng_below(&rng, 4) : 1;
        c->compute = m <= 4 && i & 64 ? PEFT_I8 : PEFT_F32;  // beyond, it is bf16
        test_product(c, m, q, i % 5 != 0, i & 16 ? 0.5f : 1.0f, i & 32 ? -1.5f : 0.0f, i % 11 == 0);
        peft_tensor_destroy(ctx, q), peft_tensor_destroy(ctx, w);
    }
    peft_context_destroy(c);
}

// One token with weights and activations as models have them: the integers are hardly less exact than floats. A number that is none is not lost.
static void test_token(peft_simd simd) {
    enum { N = 40, K = 768 };
    static const float bad[] = {NAN, INFINITY, -INFINITY};
    peft_context *c = make(simd, 1);
    peft_tensor *w = NULL;
    float x[K], y[N], value[K];
    peft_tensor_create(ctx, "w", N, K, &w);
    for (int u = 0; u < 4; u++) {  // each type, then int8 with compute int8
        double errors = 0, squares = 0;
        int t = PEFT__MIN(u, 2);
        c->compute = u == 3 ? PEFT_I8 : PEFT_F32;
        for (int i = 0; i < N * K; i++) ((float *)w->data)[i] = 0.02f * normal();
        peft_tensor *q = quantize(ctx, w, all_types[t], 64, false);
        for (int token = 0; token < 20; token++) {
            for (int i = 0; i < K; i++) x[i] = normal() * (i % 100 == 7 ? 20.0f : 1.0f);
            peft__matmul(c, peft__dense(y, 1, N), 0, 1, peft__dense(x, 1, K), matrix(q, NULL, true));
            for (int j = 0; j < N; j++) {
                double sum = 0;
                peft__quant_expand_plain(q->quant, (const uint8_t *)q->data, j * K, K, value);
                for (int i = 0; i < K; i++) sum += (double)x[i] * (double)value[i];
                errors += (y[j] - sum) * (y[j] - sum), squares += sum * sum;
            }
        }
        check("a token's product is as exact as its documentation says", sqrt(errors / squares) < (u == 3 ? 2e-2 : 7e-5));
        check("8 bits are taken where they are asked for", (sqrt(errors / squares) > 1e-3) == (u == 3));
        for (int i = 0; i < 3; i++) {
            float kept = x[K - 1 - i];
            x[K - 1 - i] = bad[i];
            peft__matmul(c, peft__dense(y, 1, N), 0, 1, peft__dense(x, 1, K), matrix(q, NULL, true));
            bool lost = false;
            for (int j = 0; j < N; j++) lost = lost || y[j] - y[j] == 0.0f;
            check("a token's product with a number that is none", !lost);
            x[K - 1 - i] = kept;
        }
        peft_tensor_destroy(ctx, q);
    }
    peft_tensor_destroy(ctx, w);
    peft_context_destroy(c);
}

// Results do not depend on the number of threads.
static void test_threads(peft_simd simd) {
    static const int threads[] = {1, 2, 3, 8};
    static const int64_t shapes[][3] = {{1, 1030, 512}, {1, 513, 777}, {40, 530, 520}, {3, 300, 1024}, {1, 1030, 512}, {3, 300, 1056}};
    for (int s = 0; s < (int)PEFT__COUNT(shapes); s++)
        for (int k = 0; k < 6; k++) {
            int64_t m = shapes[s][0], rows = shapes[s][1], cols = shapes[s][2];
            bool transposed = k & 1;
            int64_t n = transposed ? rows : cols, depth = transposed ? cols : rows;
            peft_tensor *w = random_tensor(rows, cols);
            float *a = (float *)malloc((size_t)(m * depth) * 4), *first = (float *)malloc((size_t)(m * n) * 4), *y = (float *)malloc((size_t)(m * n) * 4);
            uint8_t *codes = NULL;
            for (int64_t i = 0; i < m * depth; i++) a[i] = normal();
            for (int t = 0; t < 4; t++) {
                peft_context *c = make(simd, threads[t]);
                if (!c) continue;  // built without threads
                c->compute = s > 3 ? PEFT_I8 : PEFT_F32;
                peft_tensor *q = quantize(c, w, all_types[k / 2], 64, k == 1);
                peft__matmul(c, peft__dense(y, m, n), 0, 1, peft__dense(a, m, depth), matrix(q, NULL, transposed));
                if (!t) {
                    codes = (uint8_t *)malloc(code_bytes(q));
                    memcpy(codes, q->data, code_bytes(q));
                    memcpy(first, y, (size_t)(m * n) * 4);
                }
                check("threads: codes", memcmp(codes, q->data, code_bytes(q)) == 0);
                check("threads: product", memcmp(first, y, (size_t)(m * n) * 4) == 0);
                peft_tensor_destroy(c, q);
                peft_context_destroy(c);
            }
            free(a), free(first), free(y), free(codes);
            peft_tensor_destroy(ctx, w);
        }
}

// On the tape: a quantized weight is the same as its expansion in f32.
static void test_tape(void) {
    peft_tensor *w = random_tensor(72, 136), *q = quantize(ctx, w, PEFT_NF4, 64, true), *expanded = random_tensor(72, 136);
    peft_dequantize(ctx, q, (float *)expanded->data);
    peft_tape *tape = NULL;
    float x[20 * 136], target[20 * 72], dx[2][20 * 136], loss[2];
    for (int i = 0; i < 20 * 136; i++) x[i] = normal();
    for (int i = 0; i < 20 * 72; i++) target[i] = normal();
    bool ok = peft_tape_create(ctx, &tape) == PEFT_OK;
    peft_tensor *leaf = random_tensor(20, 136);
    memcpy(leaf->data, x, sizeof x);
    peft_require_grad(ctx, leaf);
    for (int k = 0; k < 2 && ok; k++) {
        peft_tape_reset(tape, 0);
        peft_tensor *l = peft_mse(tape, peft_linear(tape, leaf, k ? q : expanded, NULL), target);
        ok = l && peft_backward(tape, l) == PEFT_OK;
        loss[k] = ok ? ((float *)l->data)[0] : 0;
        memcpy(dx[k], leaf->grad, sizeof dx[k]);
        memset(leaf->grad, 0, sizeof dx[k]);
    }
    check("tape: loss", ok && fabsf(loss[0] - loss[1]) <= 1e-5f * loss[0]);
    double off = 0, size = 0;
    for (int i = 0; i < 20 * 136; i++) off += fabs((double)dx[0][i] - (double)dx[1][i]), size += fabs((double)dx[0][i]);
    check("tape: gradient of x", size > 0 && off <= 1e-5 * size);
    const int32_t ids[] = {3, 71, 0};
    peft_tape_reset(tape, 0);
    peft_tensor *e = peft_embedding(tape, q, ids, 3);
    for (int i = 0; i < 3; i++) check("embedding rows", e && memcmp((float *)e->data + i * 136, (float *)expanded->data + ids[i] * 136, 136 * 4) == 0);
    peft_tape_destroy(tape);
    check("trainable: f32 from then on", peft_require_grad(ctx, q) == PEFT_OK && q->type == PEFT_F32 && !q->quant &&
                                             memcmp(q->data, expanded->data, 72 * 136 * 4) == 0);
    peft_tensor_destroy(ctx, leaf), peft_tensor_destroy(ctx, q), peft_tensor_destroy(ctx, w), peft_tensor_destroy(ctx, expanded);
}

// ---- checkpoints

#define FILE_A "build/test_quant_a.safetensors"
#define FILE_B "build/test_quant_b.safetensors"

static bool same_quant(const peft_tensor *a, const peft_tensor *b) {
    const peft_quant *p = a->quant, *q = b->quant;
    if (a->type != b->type || a->rows != b->rows || a->cols != b->cols || (a->rank == 1) != (b->rank == 1) || strcmp(a->name, b->name)) return false;
    if (memcmp(a->data, b->data, code_bytes(a)) || p->block != q->block || p->block_shift != q->block_shift || p->source != q->source) return false;
    if (p->block_count != q->block_count || !p->map != !q->map || !p->absmax != !q->absmax) return false;
    if (p->map && memcmp(p->map, q->map, 64)) return false;
    if (p->absmax) return memcmp(p->absmax, q->absmax, (size_t)p->block_count * 4) == 0;
    return p->nested_offset == q->nested_offset && memcmp(p->codes, q->codes, (size_t)p->block_count) == 0 &&
           memcmp(p->nested_absmax, q->nested_absmax, (size_t)(p->block_count + 255) / 256 * 4) == 0 && memcmp(p->nested_map, q->nested_map, 1024) == 0;
}

static bool same_files(const char *a, const char *b) {
    char *x = NULL, *y = NULL;
    size_t n = 0, m = 0;
    bool same = peft__read_all(ctx, a, &x, &n) == PEFT_OK && peft__read_all(ctx, b, &y, &m) == PEFT_OK && n == m && memcmp(x, y, n) == 0;
    peft_free(ctx, x), peft_free(ctx, y);
    return same;
}

enum { TENSORS = 8 };

static void write_tensors(peft_tensor **t) {
    static const char *const names[TENSORS] = {"a.weight", "b.weight", "c.weight", "d.weight", "e.weight", "f.bias", "g.weight", "h.weight"};
    static const int64_t shapes[TENSORS][2] = {{64, 128}, {37, 61}, {300, 320}, {9, 7}, {1, 333}, {1, 5}, {33, 32}, {3, 3}};
    for (int i = 0; i < TENSORS; i++) {
        peft_tensor *w = random_tensor(shapes[i][0], shapes[i][1]);
        if (i == 7)
            for (int k = 0; k < 9; k++) ((float *)w->data)[k] = 0;
        if (i == 4) w->rank = 1;
        t[i] = i == 5 ? w : quantize(ctx, w, all_types[i % 3], (int64_t)32 << i % 4, i % 3 < 2 && i < 4);
        t[i]->name = names[i];
        if (t[i] != w) peft_tensor_destroy(ctx, w);
    }
    const peft_tensor *list[TENSORS];
    for (int i = 0; i < TENSORS; i++) list[i] = t[i];
    check("write", peft_safetensors_write(ctx, FILE_A, list, TENSORS) == PEFT_OK);
}

static void test_archive(void) {
    peft_tensor *t[TENSORS];
    const peft_tensor *list[TENSORS];
    write_tensors(t);
    peft_archive *a = NULL;
    bool ok = peft_archive_open(ctx, FILE_A, &a) == PEFT_OK;
    check("read back", ok && peft_archive_count(a) == TENSORS);
    for (int i = 0; ok && i < TENSORS; i++) {
        const peft_tensor *r = list[i] = peft_archive_find(a, t[i]->name);
        check("tensor read back", r && (i == 5 ? r->type == PEFT_F32 : r->quant && same_quant(t[i], r)));
        check("values lie aligned", r && (uintptr_t)r->data % (i == 5 ? 4 : 1) == 0 && (i == 5 || !r->quant->absmax || (uintptr_t)r->quant->absmax % 4 == 0));
    }
    check("parts are hidden", ok && !peft_archive_find(a, "a.weight.absmax") && !peft_archive_find(a, "c.weight.scale"));
    check("write again", ok && peft_safetensors_write(ctx, FILE_B, list, TENSORS) == PEFT_OK && same_files(FILE_A, FILE_B));
    peft_archive_close(a);
    for (int i = 0; i < TENSORS; i++) peft_tensor_destroy(ctx, t[i]);
    peft_tensor *w = random_tensor(2, 2);
    w->type = PEFT_I8;
    list[0] = w;
    check("codes without scales", peft_safetensors_write(ctx, FILE_B, list, 1) == PEFT_ERROR_ARGUMENT);
    w->type = PEFT_F32;
    peft_tensor_destroy(ctx, w);
    remove(FILE_B);
}

// A file with one weight, made of parts that a test may change: key, dtype, shape, bytes.
typedef struct part {
    const char *key, *dtype, *shape;
    const void *data;
    size_t size;
} part;

static int mounted;

static size_t put_file(char *out, const part *parts, int count) {
    char *header = out + 8;
    size_t n = (size_t)sprintf(header, "{"), at = 0;
    for (int i = 0; i < count; i++) {
        if (!parts[i].key) continue;
        n += (size_t)sprintf(header + n, "%s\"%s\":{\"dtype\":\"%s\",\"shape\":%s,\"data_offsets\":[%d,%d]}", n > 1 ? "," : "", parts[i].key,
                             parts[i].dtype, parts[i].shape, (int)at, (int)(at + parts[i].size));
        at += parts[i].size;
    }
    n += (size_t)sprintf(header + n, "}");
    while (n % 8) header[n++] = ' ';
    for (int i = 0; i < 8; i++) out[i] = (char)((uint64_t)n >> 8 * i);
    n += 8;
    for (int i = 0; i < count; i++)
        if (parts[i].key) memcpy(out + n, parts[i].data, parts[i].size), n += parts[i].size;
    return n;
}

static void opens(const char *name, const part *parts, int count, peft_status expected, const char *message) {
    static char files[80][8192];
    char path[64];
    char *file = files[mounted % 80];
    snprintf(path, sizeof path, "mem%d.safetensors", mounted++);
    peft_mount(ctx, path, file, put_file(file, parts, count));
    size_t before = peft_memory_in_use(ctx);
    peft_archive *a = NULL;
    peft_status status = peft_archive_open(ctx, path, &a);
    bool ok = status == expected && (status == PEFT_OK) == (a != NULL) && (!message || strstr(peft_error(ctx), message));
    if (!ok) printf("  status %d, expected %d with \"%s\"\n", (int)status, (int)expected, message ? message : "");
    peft_archive_close(a);
    check(name, ok && peft_memory_in_use(ctx) == before);
}

static void test_damaged(void) {
    static float map[16], nested_map[256], absmax[4] = {1, 2, 3, 4}, nested_absmax[1] = {0.5f};
    static uint8_t codes[100], scale_codes[4] = {1, 2, 3, 4};
    memcpy(map, peft__nf4_map, 64);
    peft__dynamic_map_of(nested_map, true);
    static const char plain[] = "{\"quant_type\": \"nf4\", \"blocksize\": 64, \"dtype\": \"bfloat16\", \"shape\": [10, 20], \"other\": null}";
    static const char nested[] = "{\"quant_type\": \"nf4\", \"blocksize\": 64, \"dtype\": \"float16\", \"shape\": [200], \"nested_blocksize\": 256, "
                                 "\"nested_dtype\": \"float32\", \"nested_offset\": 1.5}";
    const part good[] = {{"w", "U8", "[100,1]", codes, 100},
                         {"w.absmax", "F32", "[4]", absmax, 16},
                         {"w.quant_map", "F32", "[16]", map, 64},
                         {"w.quant_state.bitsandbytes__nf4", "U8", "[99]", plain, sizeof plain - 1}};
    char shape[16];
    snprintf(shape, sizeof shape, "[%d]", (int)sizeof plain - 1);
    part p[8];
#define RESET() (memcpy(p, good, sizeof good), p[3].shape = shape)
    RESET();
    opens("a good file", p, 4, PEFT_OK, NULL);
    RESET(), p[0].key = NULL;
    opens("no weight", p, 4, PEFT_ERROR_MISSING, "tensor w is missing");
    RESET(), p[1].key = NULL;
    opens("no absmax", p, 4, PEFT_ERROR_MISSING, "w.absmax is missing");
    RESET(), p[2].key = NULL;
    opens("no quant_map", p, 4, PEFT_ERROR_MISSING, "w.quant_map is missing");
    RESET(), p[3].key = NULL;
    opens("no quant_state: only parts", p, 4, PEFT_OK, NULL);
    RESET(), p[0].size = 99, p[0].shape = "[99,1]";
    opens("too few codes", p, 4, PEFT_ERROR_FORMAT, "tensor w: 99 bytes");
    RESET(), p[0].dtype = "I8";
    opens("signed codes", p, 4, PEFT_ERROR_FORMAT, "tensor w:");
    RESET(), p[0].dtype = "BF16", p[0].shape = "[50,1]";
    opens("codes stored as bf16", p, 4, PEFT_OK, NULL);
    RESET(), p[1].dtype = "F16", p[1].shape = "[8]";
    opens("scales in f16", p, 4, PEFT_ERROR_FORMAT, "w.absmax");
    RESET(), p[1].size = 12, p[1].shape = "[3]";
    opens("too few scales", p, 4, PEFT_ERROR_FORMAT, "w.absmax: 12 bytes");
    RESET(), p[1].dtype = "I32";
    opens("scales of another type", p, 4, PEFT_ERROR_FORMAT, "w.absmax");
    RESET(), p[2].size = 60, p[2].shape = "[15]";
    opens("too short a map", p, 4, PEFT_ERROR_FORMAT, "w.quant_map");
    map[3] = NAN;
    RESET();
    opens("a NaN in the map", p, 4, PEFT_ERROR_NUMERIC, "w.quant_map: value 3");
    map[3] = peft__nf4_map[3];
    absmax[1] = INFINITY;
    opens("an infinite scale", p, 4, PEFT_ERROR_NUMERIC, "w.absmax: value 1");
    absmax[1] = 2;
    part n[] = {{"w", "U8", "[100,1]", codes, 100},
                {"w.absmax", "U8", "[4]", scale_codes, 4},
                {"w.quant_map", "F32", "[16]", map, 64},
                {"w.nested_absmax", "F32", "[1]", nested_absmax, 4},
                {"w.nested_quant_map", "F32", "[256]", nested_map, 1024},
                {"w.quant_state.bitsandbytes__nf4", "U8", "[1]", nested, sizeof nested - 1}};
    char nested_shape[16];
    snprintf(nested_shape, sizeof nested_shape, "[%d]", (int)sizeof nested - 1);
    n[5].shape = nested_shape;
    opens("a good nested file", n, 6, PEFT_OK, NULL);
    n[3].key = NULL;
    opens("no nested_absmax", n, 6, PEFT_ERROR_MISSING, "w.nested_absmax");
    n[3].key = "w.nested_absmax", n[4].size = 1020, n[4].shape = "[255]";
    opens("too short a nested map", n, 6, PEFT_ERROR_FORMAT, "w.nested_quant_map");
    n[4].size = 1024, n[4].shape = "[256]", n[1].dtype = "F32", n[1].shape = "[1]";
    opens("nested, but scales in f32", n, 6, PEFT_ERROR_FORMAT, "w.absmax");
    static const struct {
        const char *json;
        peft_status status;
        const char *message;
    } states[] = {
        {"", PEFT_ERROR_FORMAT, NULL},
        {"[]", PEFT_ERROR_FORMAT, "quant_type"},
        {"{\"quant_type\": \"nf4\"", PEFT_ERROR_FORMAT, "JSON"},
        {"{\"quant_type\": \"fp4\", \"blocksize\": 64, \"dtype\": \"float16\", \"shape\": [10, 20]}", PEFT_ERROR_FORMAT, "quant_type"},
        {"{\"quant_type\": \"nf4\", \"blocksize\": 65, \"dtype\": \"float16\", \"shape\": [10, 20]}", PEFT_ERROR_FORMAT, "blocksize"},
        {"{\"quant_type\": \"nf4\", \"blocksize\": -64, \"dtype\": \"float16\", \"shape\": [10, 20]}", PEFT_ERROR_FORMAT, "blocksize"},
        {"{\"quant_type\": \"nf4\", \"blocksize\": 8192, \"dtype\": \"float16\", \"shape\": [10, 20]}", PEFT_ERROR_FORMAT, "blocksize"},
        {"{\"quant_type\": \"nf4\", \"blocksize\": 64.5, \"dtype\": \"float16\", \"shape\": [10, 20]}", PEFT_OK, NULL},
        {"{\"quant_type\": \"nf4\", \"blocksize\": 64, \"dtype\": \"int8\", \"shape\": [10, 20]}", PEFT_ERROR_FORMAT, "dtype"},
        {"{\"quant_type\": \"nf4\", \"blocksize\": 64, \"dtype\": \"float16\", \"shape\": []}", PEFT_ERROR_FORMAT, "shape"},
        {"{\"quant_type\": \"nf4\", \"blocksize\": 64, \"dtype\": \"float16\", \"shape\": null}", PEFT_ERROR_FORMAT, "shape"},
        {"{\"quant_type\": \"nf4\", \"blocksize\": 64, \"dtype\": \"float16\", \"shape\": [0, 20]}", PEFT_ERROR_FORMAT, "shape"},
        {"{\"quant_type\": \"nf4\", \"blocksize\": 64, \"dtype\": \"float16\", \"shape\": [-10, -20]}", PEFT_ERROR_FORMAT, "shape"},
        {"{\"quant_type\": \"nf4\", \"blocksize\": 64, \"dtype\": \"float16\", \"shape\": [4294967296, 4294967296]}", PEFT_ERROR_FORMAT, "shape"},
        {"{\"quant_type\": \"nf4\", \"blocksize\": 64, \"dtype\": \"float16\", \"shape\": [2147483648, 4294967295]}", PEFT_ERROR_FORMAT, "tensor w:"},
        {"{\"quant_type\": \"nf4\", \"blocksize\": 64, \"dtype\": \"float16\", \"shape\": [10, 21]}", PEFT_ERROR_FORMAT, "tensor w:"},
        {"{\"quant_type\": \"nf4\", \"blocksize\": 64, \"dtype\": \"float16\", \"shape\": [10, 20], \"nested_offset\": 1e999}", PEFT_ERROR_FORMAT, "nested_offset"},
        {"{\"quant_type\": \"nf4\", \"blocksize\": 64, \"dtype\": \"float16\", \"shape\": [10, 20], \"nested_offset\": 1, \"nested_blocksize\": 64}", PEFT_ERROR_FORMAT, "nested_blocksize"},
        {"{\"quant_type\": \"nf4\", \"blocksize\": 32, \"dtype\": \"float16\", \"shape\": [10, 20]}", PEFT_ERROR_FORMAT, "w.absmax"}};
    for (int i = 0; i < (int)PEFT__COUNT(states); i++) {
        RESET();
        p[3].data = states[i].json, p[3].size = strlen(states[i].json);
        char size[16];
        snprintf(size, sizeof size, "[%d]", (int)p[3].size);
        p[3].shape = size;
        opens(states[i].json, p, 4, states[i].status, states[i].message);
    }
    RESET(), p[4] = p[3], p[4].key = "w.quant_state.bitsandbytes__fp4";
    opens("two states", p, 5, PEFT_ERROR_FORMAT, "two quant_states");
    RESET(), p[3].key = ".quant_state.bitsandbytes__nf4";
    opens("a state without a name", p, 4, PEFT_ERROR_MISSING, "is missing");
    RESET(), p[3].dtype = "I8";
    opens("a state that is not text", p, 4, PEFT_ERROR_FORMAT, "the text");
    RESET(), p[2].key = "w.quant_state.bitsandbytes__nf4.quant_map", p[4] = p[3], p[4].key = "w.quant_state.bitsandbytes__nf4.quant_state.bitsandbytes__nf4";
    opens("a state of a state", p, 5, PEFT_ERROR_MISSING, "w.quant_map is missing");
}

// Bytes changed at random: an error or tensors whose every value can be read, never a crash (sanitizers find out).
static void test_noise(void) {
    char *text = NULL;
    size_t n = 0;
    peft_tensor *t[TENSORS];
    write_tensors(t);
    for (int i = 0; i < TENSORS; i++) peft_tensor_destroy(ctx, t[i]);
    if (peft__read_all(ctx, FILE_A, &text, &n)) return;
    uint64_t header = 0;
    memcpy(&header, text, 8);
    const char *states = strstr(text + 8 + header, "{\"quant_type");
    bool ok = true;
    for (int round = 0; round < 600; round++) {
        char *copy = (char *)malloc(n), path[64];
        memcpy(copy, text, n);
        peft_context *c = make(PEFT_SIMD_AUTO, 1);
        for (int k = 0; k < 2; k++) {
            size_t states_at = states ? (size_t)(states - text) : 8, room = round % 2 ? (size_t)header : n - states_at;
            size_t at = (round % 2 ? 8 : states_at) + (size_t)(peft_rng_uniform(&rng) * (double)room);
            copy[at < n ? at : n - 1] = "0123456789[]{},:\"-.e4678"[peft__rng_below(&rng, 24)];
        }
        snprintf(path, sizeof path, "noise.safetensors");
        peft_mount(c, path, copy, n);
        peft_archive *a = NULL;
        if (peft_archive_open(c, path, &a) == PEFT_OK)
            for (int64_t i = 0; i < peft_archive_count(a); i++) {
                const peft_tensor *q = peft_archive_at(a, i);
                if (!q->quant) continue;
                float *out = (float *)malloc((size_t)(q->rows * q->cols) * 4);
                ok = ok && peft_dequantize(c, q, out) == PEFT_OK;
                free(out);
            }
        peft_archive_close(a);
        ok = ok && peft_memory_in_use(c) > 0;
        peft_context_destroy(c);
        free(copy);
    }
    check("noise", ok);
    peft_free(ctx, text);
}

// ---- a whole model whose linear weights a checkpoint holds in 4 bits, beside the same values in f32

static peft_status save_model(peft_context *c, const peft_archive *from, const char *folder, bool expanded) {
    const peft_tensor *list[512];
    peft_tensor *made[512];
    char path[512];
    int64_t n = peft_archive_count(from);
    peft_status status = n <= 512 ? peft__make_folder(c, folder) : PEFT_ERROR_SHAPE;
    for (int64_t i = 0; i < n && !status; i++) {
        const peft_tensor *t = list[i] = peft_archive_at(from, i);
        made[i] = NULL;
        if (t->rank == 1 || strstr(t->name, "bias")) continue;
        peft_quantize_desc d = {i % 2 ? PEFT_NF4 : PEFT_FP4, 64, i % 3 == 0};
        if (strstr(t->name, "wo.")) d.type = PEFT_I8, d.double_quant = false;
        status = peft_quantize(c, t, &d, &made[i]);
        if (!status && expanded) {
            peft_tensor *f = NULL;
            status = peft_tensor_create(c, t->name, t->rows, t->cols, &f);
            if (!status) status = peft_dequantize(c, made[i], (float *)f->data);
            peft_tensor_destroy(c, made[i]);
            made[i] = f;
        }
        list[i] = made[i];
    }
    snprintf(path, sizeof path, "%s/model.safetensors", folder);
    if (!status) status = peft_safetensors_write(c, path, list, n);
    for (int64_t i = 0; i < n && n <= 512; i++)
        if (made[i]) peft_tensor_destroy(c, made[i]);
    return status;
}

static bool model_logits(const char *folder, float *out, int64_t most) {
    static const int32_t source[] = {5, 9, 17, 3, 11, 1, 8, 22, 1}, decoder[] = {0, 7, 12, 0, 4};
    static const int64_t sources[] = {0, 6, 9}, targets[] = {0, 3, 5};
    peft_model_desc d;
    memset(&d, 0, sizeof d);
    d.context = ctx, d.path = folder;
    peft_model *model = NULL;
    peft_tape *tape = NULL;
    peft_batch batch = {2, source, sources, decoder, decoder, targets};
    bool ok = peft_model_load(&d, &model) == PEFT_OK && peft_tape_create(ctx, &tape) == PEFT_OK;
    peft_tensor *y = ok ? peft_model_logits(model, tape, peft_model_hidden(model, tape, &batch, NULL, 0), NULL, 0) : NULL;
    ok = y && y->rows * y->cols <= most;
    if (ok) memcpy(out, y->data, (size_t)(y->rows * y->cols) * 4);
    peft_tape_destroy(tape);
    peft_model_destroy(model);
    return ok;
}

static void test_model(void) {
    static float a[100000], b[100000];
    const char *shared = getenv("PEFT_SHARED");
    char path[512];
    snprintf(path, sizeof path, "%s/golden/t5_v11_gated_gelu/model/config.json", shared ? shared : "../shared");
    if (!peft__file_exists(ctx, path)) {
        printf("skipped: no model at %s (set PEFT_SHARED)\n", path);
        skipped++;
        return;
    }
    static const char *const folders[] = {"build/test_quant_model", "build/test_quant_expanded"};
    char *config = NULL;
    size_t n = 0;
    peft_archive *from = NULL;
    bool ok = peft__read_all(ctx, path, &config, &n) == PEFT_OK;
    path[strlen(path) - 12] = 0;
    ok = ok && peft_archive_open(ctx, path, &from) == PEFT_OK;
    for (int k = 0; k < 2 && ok; k++) {
        ok = save_model(ctx, from, folders[k], k == 1) == PEFT_OK;
        snprintf(path, sizeof path, "%s/config.json", folders[k]);
        peft__writer w;
        ok = ok && !peft__writer_open(ctx, path, &w) && !peft__write(&w, config, n) && !peft__writer_commit(&w);
    }
    check("a model in 4 bits: saved", ok);
    check("a model in 4 bits: computed", ok && model_logits(folders[0], a, 100000) && model_logits(folders[1], b, 100000));
    double off = 0, size = 0;
    for (int i = 0; i < 100000; i++) off = fmax(off, fabs((double)a[i] - (double)b[i])), size = fmax(size, fabs((double)b[i]));
    check("a model in 4 bits: as in f32", size > 0 && off <= 2e-5 * size);
    for (int k = 0; k < 2; k++) {
        snprintf(path, sizeof path, "%s/config.json", folders[k]), remove(path);
        snprintf(path, sizeof path, "%s/model.safetensors", folders[k]), remove(path);
        remove(folders[k]);
    }
    peft_archive_close(from);
    peft_free(ctx, config);
}

// ---- the n-th allocation fails: an error, and nothing leaks

static void test_memory(void) {
    counter memory = {0};
    peft_context_desc d;
    memset(&d, 0, sizeof d);
    COUNT_IN(d, memory);
    peft_context *c = NULL;
    bool ok = peft_context_create(&d, &c) == PEFT_OK, done = false;
    peft_tensor *w = random_tensor(20, 160);
    int64_t before = memory.live;
    for (int64_t n = 0; ok && n < 400 && !done; n++) {
        peft_tensor *q[3] = {NULL, NULL, NULL};
        peft_archive *a = NULL;
        float x[160], y[20];
        for (int i = 0; i < 160; i++) x[i] = (float)i;
        COUNT_ALLOW(memory, n);
        peft_status status = PEFT_OK;
        for (int k = 0; k < 3 && !status; k++) {
            peft_quantize_desc q_desc = {all_types[k], 32, k == 0};
            status = peft_quantize(c, w, &q_desc, &q[k]);
            if (!status) q[k]->name = peft_dtype_name(all_types[k]);
        }
        if (!status) status = peft_safetensors_write(c, FILE_B, (const peft_tensor *const *)q, 3);
        if (!status) status = peft_archive_open(c, FILE_B, &a);
        if (!status) {
            status = peft__matmul(c, peft__dense(y, 1, 20), 0, 1, peft__dense(x, 1, 160), matrix(peft_archive_at(a, 0), NULL, true));
        }
        COUNT_ALLOW(memory, -1);
        done = status == PEFT_OK;
        ok = ok && (done || status == PEFT_ERROR_MEMORY);
        peft_archive_close(a);
        for (int k = 0; k < 3; k++) peft_tensor_destroy(c, q[k]);
        peft__free(c, c->gemm_scratch);
        c->gemm_scratch = NULL, c->gemm_scratch_size = 0;
        ok = ok && memory.live == before;
    }
    check("every allocation may fail", ok && done);
    peft_context_destroy(c);
    check("nothing left", memory.live == 0);
    peft_tensor_destroy(ctx, w);
    remove(FILE_B);
}

int main(void) {
    peft_rng_seed(&rng, 7);
    ctx = make(PEFT_SIMD_PORTABLE, 1);
    if (!ctx) return 1;
    test_encoding();
    test_ties();
    test_double();
    test_errors();
    test_quality();
    for (int i = 0; i < (int)PEFT__COUNT(all_simd); i++) {
        peft_context *c = make(all_simd[i], 1);
        if (!c) continue;
        peft_context_destroy(c);
        test_expand(all_simd[i]);
        test_pack(all_simd[i]);
        test_products(all_simd[i]);
        test_token(all_simd[i]);
        test_threads(all_simd[i]);
    }
    test_tape();
    test_archive();
    test_damaged();
    test_noise();
    test_model();
    test_memory();
    remove(FILE_A);
    check("no leak", peft_memory_in_use(ctx) == 0 || ctx->gemm_scratch || ctx->mounted);
    peft_context_destroy(ctx);
    printf("test_quant: %d passed, %d failed, %d skipped\n", passed, failed, skipped);
    return failed != 0;
}
