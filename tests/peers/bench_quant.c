// Speed of quantized weights, one JSON line per number: {"name", "value", "unit", "threads"}.
//   cc -O2 -DPEFT_USE_PTHREADS -I. tests/peers/bench_quant.c -o bench_quant -lm -pthread
//   bench_quant [threads] [simd: portable | avx2 | avx512 | neon] [only names that contain this]
// Rates are those of the fastest of many interleaved rounds: whatever else runs on the machine only slows one down. Weights of products are
// quantized to NF4 in blocks of 64 with double quantization. "cold" products cycle through copies of the matrix larger than the
// last-level cache where memory allows; the others are as a decoder calls them, again and again.
#define _GNU_SOURCE
#define PEFT_IMPLEMENTATION
#include "peft.h"
#include <stdio.h>

static peft_context *ctx;
static const char *only = "";

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void print(const char *name, double value, const char *unit) {
    printf("{\"name\": \"%s\", \"value\": %.4g, \"unit\": \"%s\", \"threads\": %d}\n", name, value, unit, ctx->threads);
    fflush(stdout);
}

typedef struct candidate {
    void (*fn)(void *arg);
    void *arg;
    const char *name;
    double work;  // units per call
} candidate;

enum { ROUNDS = 25, MOST = 8 };

// Best rate of each candidate; a round lasts about 5 ms for each.
static void race(const candidate *c, int count, double *rate) {
    double best[MOST];
    int repeats[MOST];
    for (int i = 0; i < count; i++) {
        c[i].fn(c[i].arg);
        double t = now();
        c[i].fn(c[i].arg);
        t = now() - t;
        repeats[i] = (int)(0.005 / (t + 1e-9)) + 1;
        best[i] = 1e30;
    }
    for (int r = 0; r < ROUNDS; r++)
        for (int i = 0; i < count; i++) {
            c[i].fn(c[i].arg);
            double t = now();
            for (int k = 0; k < repeats[i]; k++) c[i].fn(c[i].arg);
            t = (now() - t) / repeats[i];
            best[i] = t < best[i] ? t : best[i];
        }
    for (int i = 0; i < count; i++) rate[i] = c[i].work / best[i];
}

static void report(const candidate *c, int count, double *rate, double scale, const char *unit) {
    bool wanted = false;
    for (int i = 0; i < count; i++) wanted = wanted || strstr(c[i].name, only);
    if (!wanted) return;
    race(c, count, rate);
    for (int i = 0; i < count; i++) print(c[i].name, rate[i] * scale, unit);
}

static peft_tensor *weight(int64_t rows, int64_t cols) {
    peft_tensor *t = NULL;
    if (peft_tensor_create(ctx, "w", rows, cols, &t)) exit(1);
    uint64_t state = 1;
    for (int64_t i = 0; i < rows * cols; i++) ((float *)t->data)[i] = (float)(peft__splitmix(&state) >> 40) * 0x1p-23f - 1.0f;
    return t;
}

static peft_tensor *quantized(const peft_tensor *w, peft_dtype type, bool nested) {
    peft_quantize_desc d = {type, 64, nested};
    peft_tensor *q = NULL;
    if (peft_quantize(ctx, w, &d, &q)) exit(1);
    return q;
}

// ---- memory

typedef struct stream {
    float *a, *b, *c;
    int64_t n;
    double sum;
} stream;

static void triad_task(void *arg, int64_t index) {
    stream *s = (stream *)arg;
    int64_t begin = s->n * index / ctx->threads, end = s->n * (index + 1) / ctx->threads;
    for (int64_t i = begin; i < end; i += 4096) {
        memcpy(s->a + i, s->b + i, 4096 * sizeof(float));
        peft__axpy(ctx, s->a + i, 0.5f, s->c + i, 4096);
    }
}
static void triad(void *arg) {
    peft__parallel(ctx, ctx->threads, triad_task, arg);
}

static void read_task(void *arg, int64_t index) {
    stream *s = (stream *)arg;
    int64_t begin = s->n * index / ctx->threads, end = s->n * (index + 1) / ctx->threads;
    double sum = (double)peft__dot(ctx, s->a + begin, s->a + begin, end - begin);
    if (sum == 1) s->sum = sum;
}
static void read_all(void *arg) {
    peft__parallel(ctx, ctx->threads, read_task, arg);
}

static double triad_rate, read_rate;

static void bench_memory(void) {
    int64_t n = (int64_t)1 << 25;  // 128 MiB each
    stream s = {weight(1, n)->data, weight(1, n)->data, weight(1, n)->data, n, 0};
    candidate c[] = {{triad, &s, "triad, 3 x 128 MiB", 12.0 * (double)n}, {read_all, &s, "read, 128 MiB", 4.0 * (double)n}};
    double rate[2];
    race(c, 2, rate);
    triad_rate = rate[0], read_rate = rate[1];
    if (strstr("memory triad read", only)) print(c[0].name, rate[0] * 1e-9, "GB/s"), print(c[1].name, rate[1] * 1e-9, "GB/s");
}

// ---- quantize, dequantize

typedef struct conversion {
    const peft_tensor *from;
    peft_dtype type;
    bool nested;
    float *out;
} conversion;

static void run_quantize(void *arg) {
    const conversion *v = (const conversion *)arg;
    peft_tensor_destroy(ctx, quantized(v->from, v->type, v->nested));
}
static void run_dequantize(void *arg) {
    const conversion *v = (const conversion *)arg;
    peft_dequantize(ctx, v->from, v->out);
}

static void bench_conversions(void) {
    int64_t small = 64 * 64, large = (int64_t)8192 * 8192;  // 16 KiB and 256 MiB of f32
    peft_tensor *w = weight(2048, 2048), *few = weight(64, 64), *many = weight(8192, 8192);
    float *out = (float *)malloc((size_t)large * 4);
    memset(out, 0, (size_t)large * 4);
    double n = 2048.0 * 2048, speed[6];
    conversion q[] = {{w, PEFT_NF4, false, NULL}, {w, PEFT_NF4, true, NULL}, {w, PEFT_FP4, false, NULL}, {w, PEFT_I8, false, NULL}};
    candidate a[] = {{run_quantize, &q[0], "quantize nf4 2048x2048", n}, {run_quantize, &q[1], "quantize nf4 double 2048x2048", n},
                     {run_quantize, &q[2], "quantize fp4 2048x2048", n}, {run_quantize, &q[3], "quantize int8 2048x2048", n}};
    report(a, 4, speed, 1e-9, "Gweights/s");
    conversion d[] = {{quantized(few, PEFT_NF4, false), PEFT_NF4, false, out}, {quantized(few, PEFT_NF4, true), PEFT_NF4, true, out},
                      {quantized(few, PEFT_I8, false), PEFT_I8, false, out}, {quantized(many, PEFT_NF4, false), PEFT_NF4, false, out},
                      {quantized(many, PEFT_NF4, true), PEFT_NF4, true, out}, {quantized(many, PEFT_I8, false), PEFT_I8, false, out}};
    candidate b[] = {{run_dequantize, &d[0], "dequantize nf4, in L1", (double)small}, {run_dequantize, &d[1], "dequantize nf4 double, in L1", (double)small},
                     {run_dequantize, &d[2], "dequantize int8, in L1", (double)small}, {run_dequantize, &d[3], "dequantize nf4, 256 MiB out", (double)large},
                     {run_dequantize, &d[4], "dequantize nf4 double, 256 MiB out", (double)large}, {run_dequantize, &d[5], "dequantize int8, 256 MiB out", (double)large}};
    report(b, 6, speed, 1e-9, "Gweights/s");
    if (strstr(b[3].name, only)) print("dequantize nf4, 256 MiB out: of triad's bytes (4.56 written and read per weight)", speed[3] * 4.5625 / triad_rate, "ratio");
    for (int i = 0; i < 6; i++) peft_tensor_destroy(ctx, (peft_tensor *)(uintptr_t)d[i].from);
    peft_tensor_destroy(ctx, w), peft_tensor_destroy(ctx, few), peft_tensor_destroy(ctx, many);
    free(out);
}

// ---- products

typedef struct product {
    peft__matrix b[8];  // copies, used in turn
    int copies, next;
    int64_t m, n, k;
    const float *x;
    float *y;
} product;

static void run_product(void *arg) {
    product *p = (product *)arg;
    peft__matmul(ctx, peft__dense(p->y, p->m, p->n), 0, 1, peft__dense(p->x, p->m, p->k), p->b[p->next]);
    p->next = (p->next + 1) % p->copies;
}

static void bench_products(int64_t m, int64_t n, int64_t k, bool transposed, int copies) {
    static const peft_dtype types[] = {PEFT_F32, PEFT_NF4, PEFT_I8};
    peft_tensor *w[3][8];
    product p[3];
    memset(p, 0, sizeof p);
    float *x = (float *)weight(m, k)->data, *y = (float *)weight(m, n)->data;
    for (int t = 0; t < 3; t++)
        for (int i = 0; i < copies; i++) {
            w[t][i] = t ? quantized(w[0][0], types[t], t == 1) : transposed ? weight(n, k) : weight(k, n);
            p[t].b[i] = transposed ? peft__T(peft__matrix_of(w[t][i])) : peft__matrix_of(w[t][i]);
            p[t].copies = copies, p[t].m = m, p[t].n = n, p[t].k = k, p[t].x = x, p[t].y = y;
        }
    char names[4][192];
    candidate c[3];
    static const char *const type_names[] = {"f32", "nf4", "int8"};
    double work = m == 1 ? (double)n * (double)k : 2.0 * (double)m * (double)n * (double)k, rate[3];
    for (int t = 0; t < 3; t++) {
        snprintf(names[t], sizeof names[t], "%s%s %s %dx%dx%d%s", m == 1 ? "gemv" : "gemm", transposed ? " x W^T" : " dY W", type_names[t], (int)m, (int)n,
                 (int)k, copies > 1 ? " cold" : "");
        candidate one = {run_product, &p[t], names[t], work};
        c[t] = one;
    }
    rate[0] = 0;
    report(c, 3, rate, 1e-9, m == 1 ? "Gweights/s" : "GFLOP/s");
    if (rate[0] > 0) {
        for (int t = 1; t < 3; t++) {
            snprintf(names[3], sizeof names[3], "%.96s: over f32", names[t]);
            print(names[3], rate[t] / rate[0], "ratio");
        }
        if (m == 1) {
            snprintf(names[3], sizeof names[3], "%.96s: bytes of weights over read bandwidth", names[1]);
            print(names[3], rate[1] * (double)peft_tensor_bytes(w[1][0]) / ((double)n * (double)k) / read_rate, "ratio");
            snprintf(names[3], sizeof names[3], "%.96s: bytes of weights over read bandwidth", names[0]);
            print(names[3], rate[0] * 4 / read_rate, "ratio");
        }
    }
    for (int t = 0; t < 3; t++)
        for (int i = 0; i < copies; i++) peft_tensor_destroy(ctx, w[t][i]);
}

int main(int argc, char **argv) {
    peft_context_desc d;
    memset(&d, 0, sizeof d);
    d.threads = argc > 1 ? atoi(argv[1]) : 1;
    if (argc > 2)
        for (int i = PEFT_SIMD_PORTABLE; i <= PEFT_SIMD_AVX512; i++)
            if (strcmp(argv[2], peft_simd_name((peft_simd)i)) == 0) d.simd = (peft_simd)i;
    if (argc > 3) only = argv[3];
    if (peft_context_create(&d, &ctx)) return printf("no context\n"), 1;
    bench_memory();
    bench_conversions();
    for (int transposed = 1; transposed >= 0; transposed--) {
        bench_products(128, 512, 512, transposed, 1);
        bench_products(128, 1024, 512, transposed, 1);
        bench_products(512, 2048, 768, transposed, 1);
    }
    for (int64_t m = 2; m <= 32; m *= 2) bench_products(m, 1024, 512, true, 1);
    for (int transposed = 1; transposed >= 0; transposed--) {
        bench_products(1, 768, 768, transposed, 1);
        bench_products(1, 32128, 512, transposed, 1);
        bench_products(1, 50257, 768, transposed, 1);
        bench_products(1, 32128, 512, transposed, 8);
        bench_products(1, 50257, 768, transposed, 8);
    }
    return 0;
}
