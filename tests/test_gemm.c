// Chapter 3: every path of the matrix product against a reference in f64, on every instruction set of this machine, all
// storage formats, strides, edges, NaN in C, thread counts; and the vector math.
//   cc -O2 -DPEFT_USE_PTHREADS -I. tests/test_gemm.c -o test_gemm -lm -pthread
#define PEFT_NO_METRICS  // what this program needs of the header
#define PEFT_IMPLEMENTATION
#if !defined(PEFT_TEST_REAL_BF16)  // with it, on a machine that has the instruction
#define PEFT__EMULATE_BF16
#endif
#include "peft.h"
#include "check.h"
#include <float.h>
#include <stdio.h>
#ifdef PEFT_TEST_QUANT_STUB
#include "quant_stub.h"
QUANT_STUB
#endif

static int passed, failed;
static int every = 1;  // with an argument N: only every N-th case, for emulators

static void check(bool ok, const char *what, peft_simd simd, int64_t m, int64_t n, int64_t k, int variant) {
    if (test_count(&passed, &failed, ok, what))
        printf("FAIL %s %s m %d n %d k %d variant %d\n", what, peft_simd_name(simd), (int)m, (int)n, (int)k, variant);
}

static peft_rng rng;
static float random_float(void) {
    return (float)(peft_rng_uniform(&rng) * 2.0 - 1.0);
}

static const peft_simd all_simd[] = {PEFT_SIMD_PORTABLE, PEFT_SIMD_NEON, PEFT_SIMD_WASM, PEFT_SIMD_AVX2, PEFT_SIMD_AVX512};

static peft_context *make(peft_simd simd, int threads) {
    peft_context_desc d;
    memset(&d, 0, sizeof d);
    d.simd = simd, d.threads = threads;
    peft_context *ctx = NULL;
    peft_context_create(&d, &ctx);
    return ctx;
}

// op(B) [rows, cols] of any float type, whose rows (or with `transposed` columns) begin `stride` elements apart
static peft__matrix matrix(peft_dtype type, const void *data, int64_t rows, int64_t cols, int64_t stride, bool transposed) {
    peft__matrix m = peft__dense_rows((const float *)data, transposed ? cols : rows, transposed ? rows : cols, stride);
    m.type = type;
    return transposed ? peft__T(m) : m;
}

enum { GUARD = 64 };  // words before and after each matrix that must stay as they are

// variant bits: 1 transposed A, 2 transposed B, 4 wide strides, 8 serial entry; type; alpha and beta by index
static void one(peft_context *ctx, int64_t m, int64_t n, int64_t k, int variant, peft_dtype type, float alpha, float beta) {
    bool ta = variant & 1, tb = variant & 2;
    int64_t pad = variant & 4 ? 1 + (int64_t)peft__rng_below(&rng, 9) : 0;
    int64_t lda = (ta ? m : k) + pad, ldb = (tb ? k : n) + pad, ldc = n + pad;
    int64_t na = (ta ? k : m) * lda, nb = (tb ? n : k) * ldb, nc = m * ldc;
    // exact-size heap blocks, so that a sanitizer sees any read past an operand
    float *a = (float *)malloc((size_t)(na ? na - pad : 0) * 4 + 4), *bf = (float *)malloc((size_t)nb * 4 + 4);
    size_t word = type == PEFT_F32 ? 4 : 2;
    void *b = malloc((size_t)(nb ? nb - pad : 0) * word + (nb ? 0 : 4));
    float *c = (float *)malloc((size_t)(nc + 2 * GUARD) * 4), *c0 = (float *)malloc((size_t)(nc + 2 * GUARD) * 4);
    for (int64_t i = 0; i < na - pad; i++) a[i] = random_float();
    for (int64_t i = 0; i < nb - pad; i++) {
        float v = random_float();
        if (type == PEFT_F16) {
            uint16_t h = peft__f32_to_f16(v);
            ((uint16_t *)b)[i] = h, v = peft__f16_to_f32(h);
        } else if (type == PEFT_BF16) {
            uint16_t h = peft__f32_to_bf16(v);
            ((uint16_t *)b)[i] = h, v = peft__bf16_to_f32(h);
        } else ((float *)b)[i] = v;
        bf[i] = v;
    }
    for (int64_t i = 0; i < nc + 2 * GUARD; i++) c0[i] = beta == 0.0f ? NAN : random_float();
    memcpy(c, c0, (size_t)(nc + 2 * GUARD) * 4);
    peft__matrix A = matrix(PEFT_F32, a, m, k, lda, ta), B = matrix(type, b, k, n, ldb, tb), C = peft__dense_rows(c + GUARD, m, n, ldc);
    float *plain = (float *)malloc((size_t)nc * 4 + 4);
    memcpy(plain, c0 + GUARD, (size_t)nc * 4);
    peft__matrix P = peft__dense_rows(plain, m, n, ldc);
    peft__matmul_plain(&P, beta, alpha, &A, &B);
    if (variant & 8) {
        void *raw = malloc(peft__matmul_scratch(ctx, m, n, k) + 64);
        void *scratch = (void *)(((uintptr_t)raw + 63) & ~(uintptr_t)63);
        peft__matmul_serial(ctx, C, beta, alpha, A, B, scratch);
        free(raw);
    } else {
        check(peft__matmul(ctx, C, beta, alpha, A, B) == PEFT_OK, "status", ctx->simd, m, n, k, variant);
    }
    bool ok = true, guard = true;
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++) {
            double sum = 0, size = 0;
            for (int64_t p = 0; p < k; p++) {
                double v = (double)(ta ? a[p * lda + i] : a[i * lda + p]) * (double)(tb ? bf[j * ldb + p] : bf[p * ldb + j]);
                sum += v, size += fabs(v);
            }
            float old = c0[GUARD + i * ldc + j], got = c[GUARD + i * ldc + j], simple = plain[i * ldc + j];
            double want = (double)alpha * sum + (beta == 0.0f ? 0.0 : (double)beta * (double)old);
            size = fabs((double)alpha) * size + (beta == 0.0f ? 0.0 : fabs((double)beta * (double)old));
            double bound = (double)(k + 8) * 6e-8 * size + 1e-30;
            if (!(fabs((double)got - want) <= bound && fabs((double)simple - want) <= bound)) ok = false;
        }
    for (int64_t i = 0; i < nc + 2 * GUARD; i++) {
        int64_t q = i - GUARD;
        bool inside = q >= 0 && q < nc && q % ldc < n;
        if (!inside && memcmp(&c[i], &c0[i], 4) != 0) guard = false;
    }
    check(ok, "value", ctx->simd, m, n, k, variant | (int)type << 8);
    check(guard, "write outside C", ctx->simd, m, n, k, variant | (int)type << 8);
    free(a), free(b), free(bf), free(c), free(c0), free(plain);
}

static void test_products(peft_context *ctx) {
    static const float factors[][2] = {{1, 0}, {1, 1}, {0.5f, -2}, {-1, 0}, {0, 0.5f}, {0, 0}};
    static const int64_t edges[] = {0, 1, 2, 3, 4, 5, 7, 8, 13, 14, 15, 16, 17, 28, 29, 31, 32, 33, 48, 63, 64, 65, 100};
    for (int i = 0; i < 900; i += every) {
        int64_t size[3];
        for (int j = 0; j < 3; j++)
            size[j] = i % 3 ? edges[peft__rng_below(&rng, PEFT__COUNT(edges))] : peft__rng_below(&rng, 140);
        int f = (int)peft__rng_below(&rng, PEFT__COUNT(factors)), variant = i % 16;
        peft_dtype type = variant & 8 ? PEFT_F32 : (peft_dtype)(peft__rng_below(&rng, 3));
        one(ctx, size[0], size[1], size[2], variant, type, factors[f][0], factors[f][1]);
    }
    static const int64_t shapes[][3] = {{1, 300, 700}, {2, 257, 1100}, {300, 8, 700}, {8, 300, 600}, {150, 16, 513}, {200, 9, 50},
                                        {1, 600, 33}, {130, 150, 1030}, {40, 4200, 20}, {4200, 40, 20}, {4300, 4300, 2}, {17, 700, 8},
                                        {700, 3, 100}, {90, 31, 520}, {5, 5, 3000}, {13, 60, 200}, {3, 1000, 40}, {256, 64, 256},
                                        {70, 90, 1024}, {33, 2100, 150}};  // rows of A that are packed
    for (int i = 0; i < (int)PEFT__COUNT(shapes); i++)
        for (int variant = i % every; variant < 16; variant += every)
            one(ctx, shapes[i][0], shapes[i][1], shapes[i][2], variant, variant & 8 ? PEFT_F32 : (peft_dtype)((i + variant) % 3),
                1.0f, variant & 4 ? 1.0f : 0.0f);
}

static void test_threads(peft_simd simd) {
    static const int64_t shapes[][3] = {{1, 1000, 300}, {3, 700, 300}, {6, 900, 100}, {200, 8, 500}, {8, 700, 300}, {512, 512, 64},
                                        {333, 777, 555}, {128, 1000, 700}, {1000, 100, 600}, {100, 16, 900}, {70, 70, 70}, {150, 200, 1024}};
    static const int counts[] = {1, 2, 3, 8};
    peft_context *ctx[4];
    for (int t = 0; t < 4; t++) ctx[t] = make(simd, counts[t]);
    if (!ctx[1]) printf("(built without threads)\n");
    for (int s = 0; s < (int)PEFT__COUNT(shapes); s++)
        for (int variant = s % every; variant < 4; variant += every)
            for (int type = 0; type < 3; type++) {
                int64_t m = shapes[s][0], n = shapes[s][1], k = shapes[s][2];
                bool ta = variant & 1, tb = variant & 2;
                float *a = (float *)malloc((size_t)(m * k) * 4), *b = (float *)malloc((size_t)(n * k) * 4);
                float *first = (float *)malloc((size_t)(m * n) * 4), *c = (float *)malloc((size_t)(m * n) * 4);
                for (int64_t i = 0; i < m * k; i++) a[i] = random_float();
                for (int64_t i = 0; i < n * k; i++) {
                    if (type == 0) b[i] = random_float();
                    else ((uint16_t *)b)[i] = type == 1 ? peft__f32_to_f16(random_float()) : peft__f32_to_bf16(random_float());
                }
                for (int t = 0; t < 4 && ctx[t]; t++) {
                    float *out = t ? c : first;
                    for (int64_t i = 0; i < m * n; i++) out[i] = 0.25f;
                    peft__matmul(ctx[t], peft__dense(out, m, n), 0.3f, 0.7f, matrix(PEFT_F32, a, m, k, ta ? m : k, ta),
                                 matrix((peft_dtype)type, b, k, n, tb ? k : n, tb));
                    if (t) check(memcmp(first, c, (size_t)(m * n) * 4) == 0, "threads differ", simd, m, n, k, variant | counts[t] << 8);
                }
                free(a), free(b), free(first), free(c);
            }
    for (int t = 0; t < 4; t++) peft_context_destroy(ctx[t]);
}

static double gelu(double x) {
    return 0.5 * x * (1 + tanh(0.79788456080286535588 * (x + 0.044715 * x * x * x)));
}
static double silu(double x) {
    return x / (1 + exp(-x));
}
static double slope(double (*f)(double), double x) {  // five-point difference: error below 1e-10 here
    double h = 1e-3;
    return (8 * (f(x + h) - f(x - h)) - (f(x + 2 * h) - f(x - 2 * h))) / (12 * h);
}

static void test_math(peft_context *ctx) {
    enum { N = 20011 };
    static float x[N], y[N], up[N], dy[N], dx[N], dup[N];
    double worst = 0;
    for (int i = 0; i < N; i++) x[i] = -110.0f + 200.0f * (float)i / N;
    peft__vexp(ctx, y, x, N);
    bool ok = true;
    for (int i = 0; i < N; i++) {
        double want = exp((double)x[i]), unit = fmax(ldexp(1.0, ilogb(want) - 23), 1.4e-45);
        if (want > 3.4028235e38) ok = ok && y[i] == INFINITY;
        else worst = fmax(worst, fabs((double)y[i] - want) / unit);
    }
    check(ok && worst <= 2.0, "exp", ctx->simd, N, (int64_t)(worst * 1000), 0, 0);
    float special[] = {-INFINITY, INFINITY, NAN, 0.0f, -0.0f, 1e30f, -1e30f}, out[7];
    peft__vexp(ctx, out, special, 7);
    check(out[0] == 0 && out[1] == INFINITY && out[2] != out[2] && out[3] == 1 && out[4] == 1 && out[5] == INFINITY && out[6] == 0,
          "exp special", ctx->simd, 0, 0, 0, 0);
    for (int i = 0; i < N; i++) x[i] = -12.0f + 24.0f * (float)i / N, up[i] = random_float(), dy[i] = random_float();
    for (int f = 0; f < 2; f++) {
        double (*fn)(double) = f ? silu : gelu;
        double e1 = 0, e2 = 0, e3 = 0, e4 = 0, e5 = 0;
        peft__isa_of(ctx)->gate(!f, y, x, NULL, N);
        for (int i = 0; i < N; i++) e1 = fmax(e1, fabs((double)y[i] - fn((double)x[i])) / (1 + fabs((double)x[i])));
        peft__isa_of(ctx)->gate_back(!f, dx, NULL, x, NULL, dy, N);
        for (int i = 0; i < N; i++) e2 = fmax(e2, fabs((double)dx[i] - (double)dy[i] * slope(fn, (double)x[i])));
        peft__isa_of(ctx)->gate(!f, y, x, up, N);
        for (int i = 0; i < N; i++) e3 = fmax(e3, fabs((double)y[i] - (double)up[i] * fn((double)x[i])) / (1 + fabs((double)x[i])));
        peft__isa_of(ctx)->gate_back(!f, dx, dup, x, up, dy, N);
        for (int i = 0; i < N; i++) {
            e4 = fmax(e4, fabs((double)dx[i] - (double)dy[i] * (double)up[i] * slope(fn, (double)x[i])));
            e5 = fmax(e5, fabs((double)dup[i] - (double)dy[i] * fn((double)x[i])) / (1 + fabs((double)x[i])));
        }
        check(e1 < 3e-7 && e3 < 3e-7 && e5 < 3e-7, "activation", ctx->simd, f, 0, 0, 0);
        check(e2 < 1e-6 && e4 < 1e-6, "activation slope", ctx->simd, f, (int64_t)(e2 * 1e9), (int64_t)(e4 * 1e9), 0);
    }
    for (int n = 0; n < 200; n = n < 40 ? n + 1 : n + 37) {
        double dot = 0, size = 0, sum = 0;
        float top = -INFINITY;
        for (int i = 0; i < n; i++) {
            x[i] = random_float() * 20, y[i] = up[i] = random_float();
            dot += (double)x[i] * (double)y[i], size += fabs((double)x[i] * (double)y[i]);
            top = x[i] > top ? x[i] : top;
        }
        y[n] = 77.0f;
        check(fabs((double)peft__dot(ctx, x, y, n) - dot) <= 1e-6 * size, "dot", ctx->simd, n, 0, 0, 0);
        peft__axpy(ctx, y, 0.5f, x, n);
        bool good = y[n] == 77.0f;
        for (int i = 0; i < n; i++) good = good && fabs((double)y[i] - ((double)up[i] + 0.5 * (double)x[i])) < 2e-6;
        check(good, "axpy", ctx->simd, n, 0, 0, 0);
        for (int i = 0; i < n; i++) sum += exp((double)x[i] - (double)top), y[i] = x[i];
        float max;
        double got;
        peft__row_softmax_lse(ctx, y, n, &max, &got);
        good = max == top && fabs(got - sum) <= 1e-6 * sum;
        for (int i = 0; i < n; i++) good = good && fabs((double)y[i] - exp((double)x[i] - (double)top)) < 1e-6;
        check(good, "softmax", ctx->simd, n, 0, 0, 0);
    }
    for (int i = 0; i < 37; i++) y[i] = -INFINITY;
    float max;
    double sum;
    peft__row_softmax_lse(ctx, y, 37, &max, &sum);
    check(sum == 0.0 && y[0] == 0.0f && y[36] == 0.0f, "softmax of a masked row", ctx->simd, 37, 0, 0, 0);
}

static void test_arguments(peft_context *ctx) {
    float a[4] = {1, 2, 3, 4}, c[4] = {0};
    check(peft_sgemm(ctx, false, false, 2, 2, 2, 1, a, 2, a, 2, 0, c, 2) == PEFT_OK && c[0] == 7 && c[3] == 22, "sgemm", ctx->simd, 2, 2, 2, 0);
    check(peft_sgemm(ctx, false, true, 2, 2, 2, 1, a, 2, a, 2, 0, c, 2) == PEFT_OK && c[0] == 5 && c[1] == 11, "sgemm", ctx->simd, 2, 2, 2, 1);
    check(peft_sgemm(ctx, false, false, -1, 2, 2, 1, a, 2, a, 2, 0, c, 2) == PEFT_ERROR_SHAPE, "negative", ctx->simd, 0, 0, 0, 0);
    check(peft_sgemm(ctx, false, false, 2, 2, 2, 1, a, 1, a, 2, 0, c, 2) == PEFT_ERROR_SHAPE, "stride", ctx->simd, 0, 0, 0, 0);
    check(peft_sgemm(ctx, false, false, 2, 2, 2, 1, NULL, 2, a, 2, 0, c, 2) == PEFT_ERROR_ARGUMENT, "NULL", ctx->simd, 0, 0, 0, 0);
    check(peft_sgemm(NULL, false, false, 2, 2, 2, 1, a, 2, a, 2, 0, c, 2) == PEFT_ERROR_ARGUMENT, "NULL", ctx->simd, 0, 0, 0, 0);
}

// ---- operands in bf16

static float bf16(float v) {
    return peft__bf16_to_f32(peft__f32_to_bf16(v));
}

static float odd_float(bool odd) {
    static const uint32_t bits[] = {0, 0x80000000, 0x7F800000, 0xFF800000, 0x7FC00000, 0x7F800001, 0xFFFFFFFF, 1, 0x80000001, 0x007FFFFF,
                                    0x3F808000, 0x3F818000, 0x3F807FFF, 0x3F808001, 0x7F7FFFFF, 0xFF7FFFFF, 0x7F7F7FFF};
    return peft__bits_float(odd ? bits[peft__rng_below(&rng, PEFT__COUNT(bits))] : (uint32_t)peft__rng_next(&rng));
}

// The vector's rounding is that of one number, for every kind of number.
static void test_narrow(peft_context *ctx) {
    float x[80], out[80];
    for (int round = 0; round < 400; round++) {
        bool ok = true;
        for (int i = 0; i < 80; i++) x[i] = odd_float(round < 40);
        peft__isa_of(ctx)->narrow(x, 50, out);
        for (int i = 0; i < 50; i++) ok = ok && peft__float_bits(out[i]) == (uint32_t)peft__f32_to_bf16(x[i]) << 16;
        check(ok, "rounding to bf16", ctx->simd, 50, 0, 0, round);
    }
}

// Panels of pairs, of matrices that lie either way: rows 2p and 2p + 1 in a word, zeros where there are none. The instruction may take a
// denormal number for 0.
static void test_pairs(peft_context *ctx) {
    enum { K = 75, LANES = 40 };
    float *x = (float *)malloc(K * LANES * 4), *out = (float *)malloc((K / 2 + 1) * LANES * 4 + 64);
    peft__gemm_job g;
    peft__matrix m = peft__dense(x, LANES, LANES);
    ctx->compute = PEFT_BF16;
    peft__gemm_job_init(&g, ctx, &m, 0, 1, &m, &m);
    for (int round = 0; round < 60 && g.pairs; round++) {
        bool rows = round & 1, of_a = round & 2, ok = true;
        int width = of_a ? g.isa->mr : g.isa->nr, lanes = 1 + (int)peft__rng_below(&rng, (uint32_t)width), k = 1 + (int)peft__rng_below(&rng, K);
        for (int i = 0; i < K * LANES; i++) x[i] = odd_float(round < 8);
        g.pack_panel(PEFT_F32, x, rows ? LANES : 1, rows ? 1 : K, k, lanes, width, width, out);
        for (int p = 0; p < (k + 1) / 2 * 2; p++)
            for (int l = 0; l < width; l++) {
                float v = p < k && l < lanes ? x[rows ? p * LANES + l : l * K + p] : 0;
                uint32_t word = peft__float_bits(out[p / 2 * width + l]) >> (p % 2 * 16) & 0xFFFF;
                ok = ok && (word == peft__f32_to_bf16(v) || (fabsf(v) < FLT_MIN && (word & 0x7FFF) == 0));
            }
        check(ok, "pairs of bf16", ctx->simd, lanes, width, k, round);
    }
    ctx->compute = PEFT_F32;
    free(x), free(out);
}

// Products in bf16 are those of the rounded operands, as exact as f32's are; few rows or columns stay as they are. All storage formats,
// odd depths, both kernels, and the same bits for any number of threads. The kernel of pairs adds its two products in the order given here,
// whether the instruction runs or its emulation.
static void test_bf16(peft_simd simd) {
    static const int threads[] = {1, 2, 3};
    static const peft_dtype types[] = {PEFT_F32, PEFT_F16, PEFT_BF16, PEFT_NF4};
    peft_context *f32 = make(simd, 1);
    for (int i = 0; i < 160; i += every) {
        int64_t m = 1 + (int64_t)peft__rng_below(&rng, i % 3 ? 90 : 400), n = 1 + (int64_t)peft__rng_below(&rng, i % 5 ? 70 : 300);
        int64_t k = 1 + (int64_t)peft__rng_below(&rng, i % 4 ? 100 : 1500);
        bool ta = i & 1, tb = i & 2, few = true;
        peft_dtype type = types[i / 4 % 4];
        if (type == PEFT_NF4) k = (k + 31) / 32 * 32, n = (n + 31) / 32 * 32;
        peft_tensor *w = NULL, *q = NULL;
        float *a = (float *)malloc((size_t)(m * k) * 4), *b = (float *)malloc((size_t)(n * k) * 4);
        float *c = (float *)malloc((size_t)(m * n) * 4), *first = (float *)malloc((size_t)(m * n) * 4);
        uint16_t *half = (uint16_t *)malloc((size_t)(n * k) * 2);
        for (int64_t j = 0; j < m * k; j++) a[j] = random_float();
        for (int64_t j = 0; j < n * k; j++) b[j] = random_float();
        peft__matrix A = matrix(PEFT_F32, a, m, k, ta ? m : k, ta), B = matrix(type, type == PEFT_F32 ? (void *)b : half, k, n, tb ? k : n, tb);
        if (type == PEFT_NF4) {
            peft_tensor_create(f32, "w", tb ? n : k, tb ? k : n, &w);
            memcpy(w->data, b, (size_t)(n * k) * 4);
            if (peft_quantize(f32, w, NULL, &q)) exit(1);
            peft_dequantize(f32, q, b);
            B = tb ? peft__T(peft__matrix_of(q)) : peft__matrix_of(q);
        } else if (type != PEFT_F32) {
            peft__from_f32(type, b, n * k, half);
            for (int64_t j = 0; j < n * k; j++) b[j] = peft__element(type, half, j);
        }
        for (int kernel = 0; kernel < 1 + (int)peft_bf16_is_fast(f32); kernel++) {
            bool ok = true, same = true, bounded = true;
            for (int t = 0; t < 3; t++) {
                peft_context *ctx = make(simd, threads[t]);
                if (!ctx) continue;  // built without threads
                ctx->compute = PEFT_BF16;
                ctx->bf16_pairs = kernel;
                peft__gemm_job g;
                peft__matrix C = peft__dense(c, m, n);
                peft__gemm_job_init(&g, ctx, &C, 0, 1, &A, &B);
                few = peft__gemm_choose(&g) != PEFT__PATH_TILES || !g.narrow || m * n * k <= PEFT__TINY || (type == PEFT_NF4 && m <= 4);
                ok = peft__matmul(ctx, C, 0, 1, A, B) == PEFT_OK && ok;
                if (t) same = same && memcmp(c, first, (size_t)(m * n) * 4) == 0;
                else memcpy(first, c, (size_t)(m * n) * 4);
                peft_context_destroy(ctx);
            }
            for (int64_t r = 0; r < m && ok && !few; r++)
                for (int64_t j = 0; j < n; j++) {
                    double sum = 0, size = 0, exact = 0;
                    float paired = 0, before[2] = {0, 0};
                    for (int64_t p = 0; p < k; p++) {
                        float x = a[ta ? p * m + r : r * k + p], y = b[tb ? j * k + p : p * n + j];
                        sum += (double)bf16(x) * (double)bf16(y), size += fabs((double)x * (double)y), exact += (double)x * (double)y;
                        if (p % 2) paired = fmaf(bf16(before[0]), bf16(before[1]), fmaf(bf16(x), bf16(y), paired));
                        else if (p == k - 1) paired = fmaf(bf16(x), bf16(y), paired);
                        before[0] = x, before[1] = y;
                    }
                    ok = ok && (!kernel || first[r * n + j] == paired);
                    ok = ok && fabs((double)first[r * n + j] - sum) <= (double)(k + 8) * 6.1e-8 * size + 1e-30;
                    bounded = bounded && fabs((double)first[r * n + j] - exact) <= size / 128;  // 2^-9 for each operand, and the sum
                }
            check(ok, "bf16: the product of rounded operands", simd, m, n, k, i);
            check(bounded, "bf16: close to f32", simd, m, n, k, i);
            check(same, "bf16: threads", simd, m, n, k, i);
        }
        peft_tensor_destroy(f32, w), peft_tensor_destroy(f32, q);
        free(a), free(b), free(c), free(first), free(half);
    }
    test_narrow(f32);
    test_pairs(f32);
    peft_context_destroy(f32);
}

int main(int argc, char **argv) {
    if (argc > 1 && atoi(argv[1]) > 1) every = atoi(argv[1]);
    peft_rng_seed(&rng, 7);
    for (int i = 0; i < (int)PEFT__COUNT(all_simd); i++) {
        peft_context *ctx = make(all_simd[i], 1);
        if (!ctx) continue;  // not on this machine
        test_products(ctx);
        test_math(ctx);
        test_arguments(ctx);
        peft_context_destroy(ctx);
        test_threads(all_simd[i]);
        test_bf16(all_simd[i]);
        ctx = make(all_simd[i], 2);
        if (ctx) test_products(ctx);
        peft_context_destroy(ctx);
    }
    printf("%d passed, %d failed\n", passed, failed);
    return failed != 0;
}
