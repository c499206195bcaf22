// Speed and memory, one JSON object per line; arithmetic stands beside the FMA peak measured in the same run.
//   build/bench [NAME ...] [--threads N] [--simd NAME] [--compute f32|bf16|int8] [--shapes FILE] [--seconds S]
// Every value is a median. "value" of a product is GFLOP/s, and "of_peak" its share of the peak; a training step's tokens/s counts
// source and target tokens. With --compute bf16, "of_f32" of products and training steps is the ratio to f32, measured in turn, and "peak"
// that of the instruction, where the machine has it.
#define PEFT_IMPLEMENTATION
#include "peft.h"

#include "cli.h"
#include "scores.h"

static peft_context *ctx;
static int64_t thread_count = 1;
static const char *simd_name, *shapes_path, *compute_name = "f32";
static double seconds_each = 0.4;
static double peak_now;  // GFLOP/s, of all threads
static volatile float sink;

static double seconds(void) { return peft__seconds(); }

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

// The median time of a call, over as many calls as fit into seconds_each, at least 3.
static double median_time(void (*call)(void *), void *argument) {
    double times[1000];
    int n = 0;
    call(argument);  // warms up
    for (double start = seconds(); n < 3 || (n < COUNT(times) && seconds() - start < seconds_each); n++) {
        double t = seconds();
        call(argument);
        times[n] = seconds() - t;
    }
    qsort(times, (size_t)n, sizeof(double), ascending);
    return times[n / 2];
}

// The same for two calls that are compared: in turn, so that whatever slows the machine down slows both. times[2].
static void median_times(void (*const *calls)(void *), void *const *arguments, double *times) {
    double all[2][1000];
    int n = 0;
    for (int i = 0; i < 2; i++) calls[i](arguments[i]);
    for (double start = seconds(); n < 3 || (n < 1000 && seconds() - start < 2 * seconds_each); n++)
        for (int i = 0; i < 2; i++) {
            double t = seconds();
            calls[i](arguments[i]);
            all[i][n] = seconds() - t;
        }
    for (int i = 0; i < 2; i++) {
        qsort(all[i], (size_t)n, sizeof(double), ascending);
        times[i] = all[i][n / 2];
    }
}

typedef struct deferred {
    void (*call)(void *);
    void *argument;
} deferred;

static void in_f32(void *argument) {
    const deferred *d = (const deferred *)argument;
    peft_dtype kept = ctx->compute;
    ctx->compute = PEFT_F32;
    d->call(d->argument);
    ctx->compute = kept;
}

// The median time of a call; with another compute type than f32 *of_f32 is how many times as fast it is, else 0.
static double compared_time(void (*call)(void *), void *argument, double *of_f32) {
    double times[2];
    deferred d = {call, argument};
    *of_f32 = 0;
    if (ctx->compute == PEFT_F32) return median_time(call, argument);
    median_times((void (*const[])(void *)){call, in_f32}, (void *const[]){argument, &d}, times);
    *of_f32 = times[1] / times[0];
    return times[0];
}

static double resident_mb(void) {
    FILE *f = fopen("/proc/self/statm", "r");
    long pages = 0, ignored = 0;
    if (f) {
        if (fscanf(f, "%ld %ld", &ignored, &pages) != 2) pages = 0;
        fclose(f);
    }
    return pages ? (double)pages * 4096 / 1e6 : (double)peft_memory_in_use(ctx) / 1e6;
}

static void emit(const char *name, double value, const char *unit, const char *more) {
    printf("{\"name\":\"%s\",\"value\":%.6g,\"unit\":\"%s\",\"threads\":%lld,\"simd\":\"%s\",\"compute\":\"%s\"%s}\n", name, value, unit, (long long)thread_count,
           peft_simd_name(peft_simd_in_use(ctx)), compute_name, more);
    fflush(stdout);
}

// ---- the machine: FMA peak of the instruction set in use, memory bandwidth

#define PEAK_CHAIN(i) v##i = set((float)i),
#define PEAK_LINK(i) v##i = fma(v##i, x, y);
#define PEAK_JOIN(i) y = y + v##i;
#define PEAK(name, TARGET, vector)                                                \
    static TARGET float peak_##name(int64_t n) {                                  \
        vector PEFT__REPEAT_12(PEAK_CHAIN) x = set(0.999f), y = set(0.001f);      \
        for (int64_t i = 0; i < n; i++) { PEFT__REPEAT_12(PEAK_LINK) }            \
        PEFT__REPEAT_12(PEAK_JOIN)                                                \
        float sum;                                                                \
        memcpy(&sum, &y, sizeof(sum));                                            \
        return sum;                                                               \
    }
typedef float four_floats __attribute__((vector_size(16)));
static inline four_floats four(float a) {
    return (four_floats){a, a, a, a};
}
#define set(a) four(a)
#define fma(a, b, c) ((a) * (b) + (c))
PEAK(plain, , four_floats)
#if PEFT__WASM
PEAK(wasm, , four_floats)
#endif
#undef set
#undef fma
#if PEFT__X86
#define set(a) _mm256_set1_ps(a)
#define fma(a, b, c) _mm256_fmadd_ps(a, b, c)
PEAK(avx2, PEFT__TARGET_AVX2, __m256)
#undef set
#undef fma
#define set(a) _mm512_set1_ps(a)
#define fma(a, b, c) _mm512_fmadd_ps(a, b, c)
PEAK(avx512, PEFT__TARGET_AVX512, __m512)
#undef fma
#if defined(PEFT__TARGET_BF16)
#define fma(a, b, c) _mm512_dpbf16_ps(c, (__m512bh)(a), (__m512bh)(b))
PEAK(bf16, PEFT__TARGET_BF16, __m512)
#undef fma
#endif
#undef set
#endif
#if PEFT__NEON
#define set(a) vdupq_n_f32(a)
#define fma(a, b, c) vfmaq_f32(c, a, b)
PEAK(neon, , float32x4_t)
#undef set
#undef fma
#endif

enum { PEAK_STEPS = 400000 };

static void peak_task(void *argument, int64_t index) {
    float *sums = (float *)argument;
#if defined(PEFT__TARGET_BF16)
    if (ctx->compute == PEFT_BF16 && ctx->bf16_pairs) {
        sums[16 * index] = peak_bf16(PEAK_STEPS);
        return;
    }
#endif
    switch (peft_simd_in_use(ctx)) {
#if PEFT__X86
    case PEFT_SIMD_AVX2: sums[16 * index] = peak_avx2(PEAK_STEPS); break;
    case PEFT_SIMD_AVX512: sums[16 * index] = peak_avx512(PEAK_STEPS); break;
#endif
#if PEFT__NEON
    case PEFT_SIMD_NEON: sums[16 * index] = peak_neon(PEAK_STEPS); break;
#endif
#if PEFT__WASM
    case PEFT_SIMD_WASM: sums[16 * index] = peak_wasm(PEAK_STEPS); break;
#endif
    default: sums[16 * index] = peak_plain(PEAK_STEPS); break;
    }
}

static int vector_width(void) {
    switch (peft_simd_in_use(ctx)) {
    case PEFT_SIMD_AVX512: return 16;
    case PEFT_SIMD_AVX2: return 8;
    default: return 4;
    }
}

static void peak_once(void *argument) {
    peft__parallel(ctx, thread_count, peak_task, argument);
}

static void measure_peak(void) {
    float sums[16 * 256];
    double time = median_time(peak_once, sums);
    sink = sums[0];
    peak_now = (ctx->compute == PEFT_BF16 && ctx->bf16_pairs ? 4.0 : 2.0) * 12 * vector_width() * PEAK_STEPS * (double)thread_count / time / 1e9;
}

static void bench_peak(void) {
    measure_peak();
    emit("peak", peak_now, "GFLOP/s", "");
}

typedef struct triad {
    float *a, *b, *c;
    int64_t n;
} triad;

static void triad_task(void *argument, int64_t index) {
    triad *t = (triad *)argument;
    int64_t first = t->n * index / thread_count, last = t->n * (index + 1) / thread_count;
    for (int64_t i = first; i < last; i++) t->a[i] = t->b[i] + 0.5f * t->c[i];
}
static void read_task(void *argument, int64_t index) {
    triad *t = (triad *)argument;
    int64_t first = t->n * index / thread_count, last = t->n * (index + 1) / thread_count;
    t->a[16 * index] = peft__dot(ctx, t->b + first, t->b + first, last - first);
}
static void triad_once(void *argument) { peft__parallel(ctx, thread_count, triad_task, argument); }
static void read_once(void *argument) { peft__parallel(ctx, thread_count, read_task, argument); }

static float *floats(int64_t n) {
    float *p = (float *)peft__alloc(ctx, (size_t)n * sizeof(float));
    if (!p) {
        fprintf(stderr, "bench: out of memory\n");
        exit(EXIT_MEMORY);
    }
    uint32_t state = 1;
    for (int64_t i = 0; i < n; i++) {
        state = state * 1664525u + 1013904223u;
        p[i] = (float)(state >> 8) / 8388608.0f - 1.0f;
    }
    return p;
}

// GB/s of a triad, and of reading only.
static void measure_memory(double *triad_rate, double *read_rate) {
    triad t = {NULL, NULL, NULL, 32 << 20};
    t.a = floats(t.n), t.b = floats(t.n), t.c = floats(t.n);
    *triad_rate = 3 * 4 * (double)t.n / median_time(triad_once, &t) / 1e9;
    *read_rate = 4 * (double)t.n / median_time(read_once, &t) / 1e9;
    peft_free(ctx, t.a), peft_free(ctx, t.b), peft_free(ctx, t.c);
}

static void bench_memory(void) {
    double triad_rate, read_rate;
    measure_memory(&triad_rate, &read_rate);
    emit("triad", triad_rate, "GB/s", "");
    emit("read", read_rate, "GB/s", "");
}

// ---- products

typedef struct product {
    bool ta, tb;
    int64_t m, n, k;
    float *a, *b, *c;
} product;

static void product_once(void *argument) {
    product *p = (product *)argument;
    peft_sgemm(ctx, p->ta, p->tb, p->m, p->n, p->k, 1, p->a, p->ta ? p->m : p->k, p->b, p->tb ? p->k : p->n, 0, p->c, p->n);
}

static void bench_product(const char *op, int64_t m, int64_t n, int64_t k, const char *label) {
    product p = {op[0] == 'T', op[1] == 'T', m, n, k, floats(m * k), floats(k * n), floats(m * n)};
    measure_peak();
    double of_f32, rate = 2.0 * (double)m * (double)n * (double)k / compared_time(product_once, &p, &of_f32) / 1e9;
    char more[256];
    snprintf(more, sizeof(more), ",\"op\":\"%.2s\",\"m\":%lld,\"n\":%lld,\"k\":%lld,\"label\":\"%s\",\"peak\":%.1f,\"of_peak\":%.3f", op, (long long)m,
             (long long)n, (long long)k, label, peak_now, rate / peak_now);
    if (of_f32 > 0) snprintf(more + strlen(more), sizeof(more) - strlen(more), ",\"of_f32\":%.3f", of_f32);
    emit("sgemm", rate, "GFLOP/s", more);
    peft_free(ctx, p.a), peft_free(ctx, p.b), peft_free(ctx, p.c);
}

static void bench_sgemm(void) {
    static const int64_t squares[] = {512, 1024, 2048};
    FILE *f = shapes_path ? fopen(shapes_path, "r") : NULL;
    if (shapes_path && !f) {
        fprintf(stderr, "bench: %s: %s\n", shapes_path, strerror(errno));
        exit(EXIT_DATA);
    }
    for (int i = 0; !f && i < COUNT(squares); i++) bench_product("NN", squares[i], squares[i], squares[i], "sq");
    char op[8], label[64];
    long long m, n, k;
    while (f && fscanf(f, "%7s %lld %lld %lld %63s", op, &m, &n, &k, label) == 5)
        if (strlen(op) == 2) bench_product(op, m, n, k, label);
    if (f) fclose(f);
}

// ---- weights in 4 bits: NF4 in blocks of 64 with double quantization beside the same matrix in f32

static void check(peft_status status) {
    if (!status) return;
    fprintf(stderr, "bench: %s\n", *peft_error(ctx) ? peft_error(ctx) : peft_status_text(status));
    exit(exit_code_of(status));
}

static peft_tensor matrix(int64_t rows, int64_t cols) {
    return (peft_tensor){.name = "matrix", .rows = rows, .cols = cols, .rank = 2, .data = floats(rows * cols)};
}

static peft_tensor *in_4_bits(const peft_tensor *w) {
    peft_tensor *t;
    check(peft_quantize(ctx, w, &(peft_quantize_desc){.type = PEFT_NF4, .double_quant = true}, &t));
    return t;
}

typedef struct quant_product {
    peft__matrix b;
    int64_t m, n, k;
    float *x, *y;
} quant_product;

static void quant_product_once(void *argument) {
    quant_product *p = (quant_product *)argument;
    check(peft__matmul(ctx, peft__dense(p->y, p->m, p->n), 0, 1, peft__dense(p->x, p->m, p->k), p->b));
}

// x W^T if transposed, else dY W, with W in 4 bits and in f32. times: of both.
static size_t quant_product_times(int64_t m, int64_t n, int64_t k, bool transposed, double *times) {
    peft_tensor w = transposed ? matrix(n, k) : matrix(k, n), *q = in_4_bits(&w);
    peft__matrix matrix = peft__matrix_of(q), weight = peft__matrix_of(&w);
    quant_product small = {transposed ? peft__T(matrix) : matrix, m, n, k, floats(m * k), floats(m * n)}, plain = small;
    plain.b = transposed ? peft__T(weight) : weight;
    median_times((void (*const[])(void *)){quant_product_once, quant_product_once}, (void *const[]){&small, &plain}, times);
    size_t bytes = peft_tensor_bytes(q);
    peft_tensor_destroy(ctx, q);
    peft_free(ctx, w.data), peft_free(ctx, small.x), peft_free(ctx, small.y);
    return bytes;
}

static void bench_quant_gemm(void) {
    static const int64_t shapes[][3] = {{128, 512, 512}, {128, 1024, 512}, {512, 1024, 512}, {512, 2048, 768}, {512, 768, 3072}};
    for (int i = 0; i < 2 * COUNT(shapes); i++) {
        const int64_t *c = shapes[i / 2];
        double times[2], work = 2e-9 * (double)c[0] * (double)c[1] * (double)c[2];
        char more[256];
        quant_product_times(c[0], c[1], c[2], i % 2 == 0, times);
        snprintf(more, sizeof(more), ",\"product\":\"%s\",\"m\":%lld,\"n\":%lld,\"k\":%lld,\"f32\":%.1f,\"of_f32\":%.3f", i % 2 ? "dY W" : "x W^T", (long long)c[0],
                 (long long)c[1], (long long)c[2], work / times[1], times[1] / times[0]);
        emit("quant_gemm", work / times[0], "GFLOP/s", more);
    }
}

// One token with a matrix that no cache holds even in 4 bits (70 MB). "in_cache": the same code on a matrix that the second-level cache
// holds; where that is no faster, arithmetic is the limit and not memory.
static void bench_quant_gemv(void) {
    enum { ROWS = 16384, COLUMNS = 8192, FEW = 1024 };
    double times[2], in_cache[2], triad_rate, read_rate;
    measure_memory(&triad_rate, &read_rate);
    for (int transposed = 1; transposed >= 0; transposed--) {
        quant_product_times(1, FEW, FEW, transposed, in_cache);
        size_t bytes = quant_product_times(1, transposed ? ROWS : COLUMNS, transposed ? COLUMNS : ROWS, transposed, times);
        double weights = (double)ROWS * COLUMNS / 1e9, rate = (double)bytes / times[0] / 1e9, plain = 4 * weights / times[1];
        char more[320];
        snprintf(more, sizeof(more), ",\"product\":\"%s\",\"n\":%d,\"k\":%d,\"f32\":%.3g,\"over_f32\":%.2f,\"in_cache\":%.3g,\"read\":%.1f,\"gb_s\":%.1f,\"of_read\":%.3f,\"f32_of_read\":%.3f",
                 transposed ? "x W^T" : "dY W", transposed ? ROWS : COLUMNS, transposed ? COLUMNS : ROWS, weights / times[1], times[1] / times[0],
                 FEW * FEW / 1e9 / in_cache[0], read_rate, rate, rate / read_rate, plain / read_rate);
        emit("quant_gemv", weights / times[0], "Gweights/s", more);
    }
}

typedef struct conversion {
    const peft_tensor *from;
    peft_quantize_desc desc;
    float *out;
} conversion;

static void dequantize_once(void *argument) {
    const conversion *v = (const conversion *)argument;
    for (int i = 0; i < (v->from->rows > 1000 ? 1 : 1000); i++) check(peft_dequantize(ctx, v->from, v->out));
}

static void quantize_once(void *argument) {
    const conversion *v = (const conversion *)argument;
    peft_tensor *t;
    check(peft_quantize(ctx, v->from, &v->desc, &t));
    peft_tensor_destroy(ctx, t);
}

// 16 KiB of floats, which a first-level cache holds, and 256 MiB, which none does: there, bytes read and written beside those of a triad.
static void bench_dequantize(void) {
    double triad_rate, read_rate;
    measure_memory(&triad_rate, &read_rate);
    for (int large = 0; large < 2; large++) {
        peft_tensor w = large ? matrix(8192, 8192) : matrix(64, 64), *q = in_4_bits(&w);
        conversion v = {q, {PEFT_NF4, 0, true}, (float *)w.data};
        double n = (double)w.rows * (double)w.cols, time = median_time(dequantize_once, &v) / (large ? 1 : 1000), rate = ((double)peft_tensor_bytes(q) + 4 * n) / time / 1e9;
        char more[160];
        snprintf(more, sizeof(more), ",\"output\":\"%s\",\"gb_s\":%.1f,\"triad\":%.1f,\"of_triad\":%.3f", large ? "256 MiB" : "16 KiB", rate, triad_rate, rate / triad_rate);
        emit("dequantize", n / time / 1e9, "Gweights/s", more);
        peft_tensor_destroy(ctx, q);
        peft_free(ctx, w.data);
    }
}

// A matrix of random blocks; its scales are about 0.06.
static peft_tensor in_blocks(int type, int64_t rows, int64_t cols, peft_quant *q) {
    const peft__ggml_format *f = peft__ggml_format_of(type);
    uint64_t state = 1;
    *q = (peft_quant){.block = f->block, .block_count = rows * cols / f->block, .ggml = f};
    while ((int64_t)1 << q->block_shift < q->block) q->block_shift++;
    uint8_t *b = peft__alloc(ctx, (size_t)(q->block_count * f->size));
    peft_tensor t = {.name = f->name, .type = PEFT_BLOCKS, .rows = rows, .cols = cols, .rank = 2, .data = b, .quant = q};
    if (!b) check(PEFT_ERROR_MEMORY);
    for (int64_t i = 0; i < q->block_count * f->size; i++) b[i] = (uint8_t)(peft__splitmix(&state) >> 56);
    for (int64_t i = 0; i < q->block_count; i++, b += f->size) {
        int at = peft__ggml_d(type);
        b[at + (type != PEFT_GGML_MXFP4)] = type == PEFT_GGML_MXFP4 ? 124 : 0x2C;
        if (at + 3 < f->size) b[at + 3] = 0x2C;
    }
    return t;
}

// Each format of weights: one token with a matrix of 16384 x 4096, and 512 tokens with one of 2048 x 1024 beside the same in f32.
static void bench_formats(void) {
    enum { ROWS = 16384, COLUMNS = 4096, WIDE = 2048, DEEP = 1024, TOKENS = 512 };
    static const int types[] = {-1, -2, PEFT_GGML_Q4_0, PEFT_GGML_Q8_0, PEFT_GGML_Q4_K, PEFT_GGML_Q5_K, PEFT_GGML_Q6_K, PEFT_GGML_IQ4_NL, PEFT_GGML_IQ4_XS, PEFT_GGML_IQ3_S, PEFT_GGML_Q3_K, PEFT_GGML_Q2_K, PEFT_GGML_MXFP4};
    double times[2], triad_rate, read_rate;
    measure_memory(&triad_rate, &read_rate);
    peft_tensor plain = matrix(WIDE, DEEP);
    for (int i = 0; i < COUNT(types); i++) {
        peft_tensor large, small, *made[2] = {NULL, NULL};
        peft_quant q[2];
        for (int big = 0; big < 2; big++) {
            peft_tensor *t = big ? &large : &small;
            int64_t rows = big ? ROWS : WIDE, cols = big ? COLUMNS : DEEP;
            if (types[i] < 0) {
                peft_tensor w = matrix(rows, cols);
                check(peft_quantize(ctx, &w, &(peft_quantize_desc){.type = types[i] == -1 ? PEFT_NF4 : PEFT_I8, .double_quant = types[i] == -1}, &made[big]));
                *t = *made[big];
                peft_free(ctx, w.data);
            } else *t = in_blocks(types[i], rows, cols, &q[big]);
        }
        quant_product one = {peft__T(peft__matrix_of(&large)), 1, ROWS, COLUMNS, floats(COLUMNS), floats(ROWS)};
        double seconds_of = median_time(quant_product_once, &one), rate = (double)peft_tensor_bytes(&large) / seconds_of / 1e9;
        quant_product many = {peft__T(peft__matrix_of(&small)), TOKENS, WIDE, DEEP, floats(TOKENS * DEEP), floats(TOKENS * WIDE)}, of_floats = many;
        of_floats.b = peft__T(peft__matrix_of(&plain));
        median_times((void (*const[])(void *)){quant_product_once, quant_product_once}, (void *const[]){&many, &of_floats}, times);
        char more[320];
        snprintf(more, sizeof(more), ",\"format\":\"%s\",\"bits\":%.3g,\"gb_s\":%.1f,\"of_read\":%.3f,\"gemm\":%.1f,\"gemm_of_f32\":%.3f",
                 types[i] == -1 ? "nf4" : types[i] == -2 ? "int8" : large.name, 8.0 * (double)peft_tensor_bytes(&large) / ROWS / COLUMNS, rate, rate / read_rate,
                 2e-9 * TOKENS * WIDE * DEEP / times[0], times[1] / times[0]);
        emit("formats", ROWS / 1e9 * COLUMNS / seconds_of, "Gweights/s", more);
        for (int big = 0; big < 2; big++)
            if (made[big]) peft_tensor_destroy(ctx, made[big]);
            else peft_free(ctx, big ? large.data : small.data);
        peft_free(ctx, one.x), peft_free(ctx, one.y), peft_free(ctx, many.x), peft_free(ctx, many.y);
    }
    peft_free(ctx, plain.data);
}

static void bench_quantize(void) {
    peft_tensor w = matrix(2048, 2048);
    for (int twice = 0; twice < 2; twice++) {
        conversion v = {&w, {PEFT_NF4, 0, twice != 0}, NULL};
        emit("quantize", (double)(w.rows * w.cols) / median_time(quantize_once, &v) / 1e9, "Gweights/s", twice ? ",\"double_quant\":true" : ",\"double_quant\":false");
    }
    peft_free(ctx, w.data);
}

// ---- training steps and decoding of FLAN-T5-small's shape, random weights

static const char t5_small[] =
    "{\"model_type\":\"t5\",\"vocab_size\":32128,\"d_model\":512,\"d_kv\":64,\"d_ff\":1024,\"num_layers\":8,\"num_decoder_layers\":8,\"num_heads\":6,"
    "\"relative_attention_num_buckets\":32,\"relative_attention_max_distance\":128,\"feed_forward_proj\":\"gated-gelu\",\"layer_norm_epsilon\":1e-6,"
    "\"tie_word_embeddings\":false,\"pad_token_id\":0,\"eos_token_id\":1,\"decoder_start_token_id\":0}";

enum { BATCH = 4, SOURCE = 256, TARGET = 64 };

typedef struct step {
    peft_model *model;
    peft_adapter *adapter;
    peft_optimizer *optimizer;
    peft_tape *tape;
    peft_batch batch;
    int32_t source[BATCH * SOURCE], input[BATCH * TARGET], labels[BATCH * TARGET];
    int64_t source_offsets[BATCH + 1], target_offsets[BATCH + 1];
} step;

static void step_batch(step *s) {
    uint32_t state = 7;
    for (int i = 0; i < BATCH * SOURCE; i++) s->source[i] = (int32_t)((state = state * 1664525u + 1013904223u) >> 8) % 32000 + 3;
    for (int i = 0; i < BATCH * TARGET; i++) s->labels[i] = (int32_t)((state = state * 1664525u + 1013904223u) >> 8) % 32000 + 3;
    for (int i = 0; i < BATCH * TARGET; i++) s->input[i] = i % TARGET ? s->labels[i - 1] : 0;
    for (int i = 0; i <= BATCH; i++) s->source_offsets[i] = i * SOURCE, s->target_offsets[i] = i * TARGET;
    s->batch.count = BATCH;
    s->batch.source = s->source, s->batch.source_offsets = s->source_offsets;
    s->batch.decoder_input = s->input, s->batch.labels = s->labels, s->batch.target_offsets = s->target_offsets;
}

static void step_once(void *argument) {
    step *s = (step *)argument;
    peft_active_adapter active = {.adapter = s->adapter};
    peft_tape_reset(s->tape, 1);
    check(peft_backward(s->tape, peft_model_loss(s->model, s->tape, &s->batch, &active, s->adapter ? 1 : 0, 0)));
    peft_optimizer_clip(s->optimizer, 1);
    peft_optimizer_step(s->optimizer, 1e-4f);
}

static void load_small(peft_model **out, peft_dtype weights) {
    check(peft_mount(ctx, "t5-small/config.json", t5_small, strlen(t5_small)));
    peft_model_desc d = {.context = ctx, .path = "t5-small", .config_only = true, .seed = 1, .weights = weights, .double_quant = weights == PEFT_NF4,
                         .embeddings = weights == PEFT_BF16 ? PEFT_BF16 : PEFT_F32};
    check(peft_model_load(&d, out));
}

// What is trained: a LoRA of r 8 on these modules, or everything (NULL).
static void step_train(step *s, const char *target_modules) {
    int64_t n = peft_model_tensor_count(s->model);
    peft_adapter_desc ad = {.model = s->model, .r = 8, .target_modules = target_modules, .seed = 1};
    if (target_modules) {
        check(peft_adapter_create(&ad, &s->adapter));
        n = peft_adapter_tensor_count(s->adapter);
    }
    peft_tensor **tensors = (peft_tensor **)calloc((size_t)n, sizeof(peft_tensor *));
    for (int64_t i = 0; tensors && i < n; i++) tensors[i] = target_modules ? peft_adapter_tensor(s->adapter, i) : peft_model_tensor(s->model, i);
    peft_optimizer_desc od = {.context = ctx, .tensors = tensors, .count = n};
    check(peft_optimizer_create(&od, &s->optimizer));
    check(peft_tape_create(ctx, &s->tape));
    free(tensors);
}

static void step_close(step *s) {
    peft_tape_destroy(s->tape);
    peft_optimizer_destroy(s->optimizer);
    peft_adapter_destroy(s->adapter);
    peft_model_destroy(s->model);
}

// A step's time, which wants more samples than seconds_each gives.
static void step_measure(step *s, const char *name, int tokens) {
    measure_peak();
    double kept = seconds_each;
    if (seconds_each < 8) seconds_each = 8;
    double of_f32, time = compared_time(step_once, s, &of_f32);
    seconds_each = kept;
    char more[128];
    snprintf(more, sizeof(more), ",\"rss_mb\":%.0f,\"peak\":%.1f,\"step_seconds\":%.4f", resident_mb(), peak_now, time);
    if (of_f32 > 0) snprintf(more + strlen(more), sizeof(more) - strlen(more), ",\"of_f32\":%.3f", of_f32);
    emit(name, tokens / time, "tokens/s", more);
}

static void step_open(step *s, peft_dtype weights, const char *target_modules) {
    memset(s, 0, sizeof(*s));
    load_small(&s->model, weights);
    step_batch(s);
    step_train(s, target_modules);
}

static void run_step(const char *name, const char *target_modules) {
    static step s;
    step_open(&s, PEFT_F32, target_modules);
    step_measure(&s, name, BATCH * (SOURCE + TARGET));
    step_close(&s);
}

static void bench_lora_step(void) { run_step("lora_step", "q,v"); }
static void bench_full_step(void) { run_step("full_step", NULL); }

// For tests/peers/torch_lora.py: a step of the LoRA for each line of stdin, whose answer are its seconds, and in the end the memory in MB.
static void take_turns(peft_dtype weights) {
    static step s;
    char line[16];
    step_open(&s, weights, "q,v");
    for (int i = 0; i < 3; i++) step_once(&s);
    for (puts("ready"); fflush(stdout), fgets(line, sizeof(line), stdin);) {
        double t = seconds();
        step_once(&s);
        printf("%.6f\n", seconds() - t);
    }
    printf("%.1f\n", resident_mb());
    step_close(&s);
}

static void bench_turns(void) { take_turns(PEFT_F32); }
static void bench_turns_bf16(void) { take_turns(PEFT_BF16); }  // the frozen weights are kept in bf16

// A LoRA's step on a base in 4 bits beside the same on the base in f32.
static void bench_qlora_step(void) {
    static const char *const targets[] = {"q,v", "all-linear"};
    static step small, plain;
    for (int i = 0; i < COUNT(targets); i++) {
        memset(&small, 0, sizeof(small)), memset(&plain, 0, sizeof(plain));
        load_small(&small.model, PEFT_NF4), load_small(&plain.model, PEFT_F32);
        step_batch(&small), step_batch(&plain);
        step_train(&small, targets[i]), step_train(&plain, targets[i]);
        double times[2], kept = seconds_each;
        if (seconds_each < 8) seconds_each = 8;
        median_times((void (*const[])(void *)){step_once, step_once}, (void *const[]){&small, &plain}, times);
        seconds_each = kept;
        char more[128];
        snprintf(more, sizeof(more), ",\"target_modules\":\"%s\",\"f32\":%.1f,\"of_f32\":%.3f", targets[i], BATCH * (SOURCE + TARGET) / times[1], times[1] / times[0]);
        emit("qlora_step", BATCH * (SOURCE + TARGET) / times[0], "tokens/s", more);
        step_close(&small), step_close(&plain);
    }
}

typedef struct decoding {
    peft_model *model;
    int32_t prompt[64];
    int64_t tokens;
} decoding;

static void decode_once(void *argument) {
    decoding *d = (decoding *)argument;
    peft_ids out = {0};
    peft_generate_desc g = {.model = d->model, .max_new_tokens = 64, .min_new_tokens = 64};
    check(peft_generate(&g, d->prompt, COUNT(d->prompt), &out));
    d->tokens = out.count - 1;
    peft_ids_free(ctx, &out);
}

static void bench_decode(void) {
    decoding d;
    load_small(&d.model, PEFT_F32);
    for (int i = 0; i < COUNT(d.prompt); i++) d.prompt[i] = 3 + 17 * i;
    double time = median_time(decode_once, &d);
    char more[96];
    snprintf(more, sizeof(more), ",\"prompt\":64,\"new\":%lld,\"rss_mb\":%.0f", (long long)d.tokens, resident_mb());
    emit("decode", (double)d.tokens / time, "tokens/s", more);
    peft_model_destroy(d.model);
}

// ---- decoder-only models: the shapes of a 110M Llama and of GPT-2 124M, random weights

static const char llama_110m[] =
    "{\"model_type\":\"llama\",\"vocab_size\":32000,\"hidden_size\":768,\"intermediate_size\":2048,\"num_hidden_layers\":12,\"num_attention_heads\":12,"
    "\"max_position_embeddings\":1024,\"tie_word_embeddings\":true,\"bos_token_id\":1,\"eos_token_id\":2}";
static const char gpt2_124m[] =
    "{\"model_type\":\"gpt2\",\"vocab_size\":50257,\"n_embd\":768,\"n_layer\":12,\"n_head\":12,\"n_positions\":1024,\"eos_token_id\":50256}";

enum { PROMPT = 512, DECODED = 64 };

static void load_shape(const char *path, const char *config, peft_dtype weights, peft_dtype embeddings, peft_model **out) {
    char name[64];
    snprintf(name, sizeof(name), "%s/config.json", path);
    check(peft_mount(ctx, name, config, strlen(config)));
    peft_model_desc d = {.context = ctx, .path = path, .config_only = true, .seed = 1, .weights = weights, .embeddings = embeddings};
    check(peft_model_load(&d, out));
}

typedef struct llama_run {
    peft_model *model;
    peft_tape *tape;
    int32_t ids[PROMPT];
    int64_t tokens;
} llama_run;

static void llama_decode_once(void *argument) {
    llama_run *r = (llama_run *)argument;
    peft_ids out = {0};
    peft_generate_desc g = {.model = r->model, .max_new_tokens = DECODED, .min_new_tokens = DECODED};
    check(peft_generate(&g, r->ids, 1, &out));
    r->tokens = out.count - 1;
    peft_ids_free(ctx, &out);
}

static void llama_prompt_once(void *argument) {
    llama_run *r = (llama_run *)argument;
    int64_t offsets[2] = {0, PROMPT};
    peft_batch b = {.count = 1, .decoder_input = r->ids, .labels = r->ids, .target_offsets = offsets};
    peft_tape_reset(r->tape, 0);
    peft_tape_inference(r->tape, true);
    if (!peft_model_hidden(r->model, r->tape, &b, NULL, 0)) check(peft_tape_status(r->tape));
}

// Each storage format in turn, of the blocks' weights and of the embedding, which is the output layer too.
static void run_llama(const char *name, void (*once)(void *), int64_t tokens) {
    static const peft_dtype types[][2] = {{PEFT_F32, PEFT_F32}, {PEFT_F16, PEFT_F16}, {PEFT_I8, PEFT_I8}, {PEFT_NF4, PEFT_I8}, {PEFT_NF4, PEFT_NF4}};
    static llama_run r;
    for (int i = 0; i < COUNT(types); i++) {
        load_shape("llama-110m", llama_110m, types[i][0], types[i][1], &r.model);
        check(peft_tape_create(ctx, &r.tape));
        for (int k = 0; k < PROMPT; k++) r.ids[k] = 3 + 53 * k % 31000;
        measure_peak();
        double kept = seconds_each;
        if (seconds_each < 3) seconds_each = 3;
        double time = median_time(once, &r);
        seconds_each = kept;
        char more[128];
        snprintf(more, sizeof(more), ",\"weights\":\"%s\",\"embeddings\":\"%s\",\"rss_mb\":%.0f,\"peak\":%.1f", peft_dtype_name(types[i][0]),
                 peft_dtype_name(types[i][1]), resident_mb(), peak_now);
        emit(name, (double)tokens / time, "tokens/s", more);
        peft_tape_destroy(r.tape);
        peft_model_destroy(r.model);
    }
}

static void bench_llama_decode(void) { run_llama("llama_decode", llama_decode_once, DECODED); }
static void bench_llama_prompt(void) { run_llama("llama_prompt", llama_prompt_once, PROMPT); }

// 256 tokens a step as four sequences of 64.
static void run_decoder_step(const char *name, const char *path, const char *config, const char *target_modules) {
    static step s;
    memset(&s, 0, sizeof(s));
    load_shape(path, config, PEFT_F32, PEFT_F32, &s.model);
    step_batch(&s);
    for (int i = 0; i < BATCH * TARGET; i++) s.input[i] = i % TARGET ? s.labels[i - 1] : 1;
    s.batch.source = NULL, s.batch.source_offsets = NULL;
    step_train(&s, target_modules);
    step_measure(&s, name, BATCH * TARGET);
    step_close(&s);
}

static void bench_gpt2_full_step(void) { run_decoder_step("gpt2_full_step", "gpt2-124m", gpt2_124m, NULL); }
static void bench_llama_lora_step(void) { run_decoder_step("llama_lora_step", "llama-110m", llama_110m, "q_proj,v_proj"); }

// ---- metrics: sentences of the lengths that summaries have

enum { PAIRS = 10000, WORDS = 25 };

typedef struct texts_bench {
    char *predictions[PAIRS], *references[PAIRS];
    char *memory;
} texts_bench;

static char *make_text(char *p, uint32_t *state) {
    static const char *const words[] = {"the", "a", "house", "river", "went", "to", "of", "and", "Person1", "tells", "meeting", "they're", "buy", "tomorrow", "on",
                                        "Monday", "is", "was", "very", "happy", "about", "children", "running", "because", "of", "new", "3.5", "plans", "with", "friends"};
    for (int w = 0; w < WORDS; w++) p += sprintf(p, w ? " %s" : "%s", words[((*state = *state * 1664525u + 1013904223u) >> 10) % COUNT(words)]);
    return p + sprintf(p, ".") + 1;
}

static void texts_make(texts_bench *t) {
    t->memory = (char *)malloc((size_t)2 * PAIRS * WORDS * 12);
    if (!t->memory) exit(EXIT_MEMORY);
    char *p = t->memory;
    uint32_t state = 3;
    for (int i = 0; i < PAIRS; i++) {
        t->predictions[i] = p, p = make_text(p, &state);
        t->references[i] = p, p = make_text(p, &state);
    }
}

#define TEXTS .context = ctx, .predictions = (const char *const *)t->predictions, .references = (const char *const *)t->references, .count = PAIRS

static void rouge_once(void *argument) {
    texts_bench *t = (texts_bench *)argument;
    peft_rouge_result r;
    check(peft_rouge(&(peft_rouge_desc){TEXTS}, &r));
}
static void bleu_once(void *argument) {
    texts_bench *t = (texts_bench *)argument;
    peft_bleu_result r;
    check(peft_bleu(&(peft_bleu_desc){TEXTS}, &r));
}
static void chrf_once(void *argument) {
    texts_bench *t = (texts_bench *)argument;
    peft_metric_result r;
    check(peft_chrf(&(peft_chrf_desc){TEXTS}, &r));
}
static void ter_once(void *argument) {
    texts_bench *t = (texts_bench *)argument;
    peft_metric_result r;
    check(peft_ter(&(peft_ter_desc){TEXTS}, &r));
}
static void nist_once(void *argument) {
    texts_bench *t = (texts_bench *)argument;
    peft_metric_result r;
    check(peft_nist(&(peft_text_desc){TEXTS}, &r));
}
static void meteor_once(void *argument) {
    texts_bench *t = (texts_bench *)argument;
    peft_metric_result r;
    check(peft_meteor(&(peft_text_desc){TEXTS}, &r));
}
static void cider_once(void *argument) {
    texts_bench *t = (texts_bench *)argument;
    peft_metric_result r;
    check(peft_cider(&(peft_text_desc){TEXTS}, &r));
}

static void run_metric(const char *name, void (*once)(void *)) {
    static texts_bench t;
    texts_make(&t);
    emit(name, PAIRS / median_time(once, &t), "pairs/s", "");
    free(t.memory);
}
static void template_once(void *argument) {
    static const char record[] = "{\"article\": \"The river rose over its banks on Tuesday night and two streets of the old town were under water. Nobody was hurt. The mayor "
                                 "said that the new wall will stand by the end of the year, and thanked those who had filled sandbags until the morning.\", "
                                 "\"questions\": [\"Who was hurt?\", \"What rose?\", \"When will the wall stand?\"], \"label\": 1, \"id\": \"a-17\"}";
    const char *text;
    check(peft_template_render((peft_template *)argument, record, sizeof(record) - 1, &text, NULL));
}
static void bench_template(void) {
    peft_template *t = NULL;
    check(peft_template_create(&(peft_template_desc){.context = ctx, .text =
        "{% set choices = ['no', 'yes'] %}{% if article|length > 20 %}Read this and answer.\n\n{{ article }}\n\n{% for q in questions %}{{ loop.index }}. {{ q|trim }}\n{% endfor %}"
        "Answer with {{ choices | join(' or ') }}. ||| {{ choices[label] | capitalize }}{% endif %}"}, &t));
    emit("template", t ? 1 / median_time(template_once, t) : 0, "renderings/s", "");
    peft_template_destroy(t);
}
static void bench_rouge(void) { run_metric("rouge", rouge_once); }
static void bench_bleu(void) { run_metric("bleu", bleu_once); }
static void bench_chrf(void) { run_metric("chrf", chrf_once); }
static void bench_ter(void) { run_metric("ter", ter_once); }
static void bench_nist(void) { run_metric("nist", nist_once); }
static void bench_meteor(void) { run_metric("meteor", meteor_once); }
static void bench_cider(void) { run_metric("cider", cider_once); }

// ---- tokenizers: dialogues, source code and many scripts, through each family of vocabularies, to ids and back

typedef struct words {
    const peft_tokenizer *tokenizer;
    char *text, *back;
    size_t size;
    peft_ids ids;
} words;

static void encode_once(void *argument) {
    words *w = (words *)argument;
    w->ids.count = 0;
    check(peft_encode(w->tokenizer, w->text, w->size, &w->ids));
}
static void decode_ids_once(void *argument) {
    words *w = (words *)argument;
    peft_free(ctx, w->back);
    check(peft_decode(w->tokenizer, w->ids.data, w->ids.count, false, &w->back, NULL));
}

// Sentences of made-up words in many scripts, the same every time: a word is one of the table's, or two of them joined.
static bool make_multilingual(words *w) {
    static const struct {
        const char *words[10], *space, *end;
    } scripts[] = {
        {{"été", "naïve", "français", "garçon", "où", "pêche", "déjà", "œuvre", "hiver", "le"}, " ", ". "},
        {{"Straße", "über", "schön", "Mädchen", "und", "größer", "früh", "Wort", "können", "nicht"}, " ", ". "},
        {{"Łódź", "příliš", "žluťoučký", "kůň", "śnieg", "dzięki", "szkoła", "je", "ősz", "tűz"}, " ", ", "},
        {{"việt", "người", "đường", "không", "trường", "đọc", "sách", "và", "một", "nhà"}, " ", ". "},
        {{"привет", "город", "и", "зима", "дорога", "читать", "книга", "в", "снег", "літо"}, " ", ". "},
        {{"καλημέρα", "πόλη", "και", "δρόμος", "βιβλίο", "η", "χιόνι", "νερό", "φως", "το"}, " ", "; "},
        {{"مرحبا", "مدينة", "و", "شتاء", "طريق", "كتاب", "في", "ثلج", "ماء", "نور"}, " ", "؟ "},
        {{"שלום", "עיר", "ו", "חורף", "דרך", "ספר", "של", "שלג", "מים", "אור"}, " ", ". "},
        {{"नमस्ते", "शहर", "और", "सर्दी", "रास्ता", "किताब", "में", "बर्फ", "पानी", "है"}, " ", "। "},
        {{"வணக்கம்", "நகரம்", "ஒரு", "வழி", "புத்தகம்", "நீர்", "ஒளி", "பனி", "என்", "மரம்"}, " ", ". "},
        {{"გამარჯობა", "ქალაქი", "და", "ზამთარი", "გზა", "წიგნი", "თოვლი", "წყალი", "არის", "ხე"}, " ", ". "},
        {{"สวัสดี", "เมือง", "และ", "หนาว", "ทาง", "หนังสือ", "ใน", "น้ำ", "แสง", "เป็น"}, "", " "},
        {{"你好", "城市", "和", "冬天", "道路", "读书", "在", "下雪", "水", "光明"}, "", "。"},
        {{"こんにちは", "町", "と", "冬の", "道", "本を読む", "コーヒー", "雪が", "です", "ひかり"}, "", "。"},
        {{"안녕", "도시", "그리고", "겨울", "길", "책을", "읽다", "눈이", "물", "빛"}, " ", ". "},
        {{"😀", "👍🏽", "☃", "2024", "→", "π≈3.14", "👨‍👩‍👧", "€5", "🇫🇷", "½"}, " ", "! "},
    };
    enum { SIZE = 1200000, LONGEST = 128 };
    peft_rng rng;
    peft_rng_seed(&rng, 1);
    w->text = (char *)peft__alloc(ctx, SIZE + LONGEST);
    while (w->text && w->size < SIZE) {
        int script = (int)(peft_rng_uniform(&rng) * COUNT(scripts)), left = 4 + (int)(peft_rng_uniform(&rng) * 12);
        while (left-- > 0 && w->size < SIZE) {
            const char *const *table = scripts[script].words, *first = table[(int)(peft_rng_uniform(&rng) * 10)];
            const char *second = peft_rng_uniform(&rng) < 0.3 ? table[(int)(peft_rng_uniform(&rng) * 10)] : "";
            w->size += (size_t)snprintf(w->text + w->size, LONGEST, "%s%s%s", first, second, left ? scripts[script].space : scripts[script].end);
        }
    }
    return w->text != NULL;
}

static void bench_tokenizer(void) {
    static const char *const vocabularies[][2] = {{"unigram", "tokenizers/t5/spiece.model"}, {"sentencepiece-bpe", "tokenizers/llama/tokenizer.model"},
                                                  {"byte-bpe", "tokenizers/gpt2"}};
    static const char *const files[][2] = {{"dialogues", "data/dialogsum/dialogsum.test.jsonl"}, {"source code", ""}, {"multilingual", ""}};
    const char *shared = getenv("PEFT_SHARED");
    for (int v = 0; v < COUNT(vocabularies); v++)
        for (int f = 0; f < COUNT(files); f++) {
            char path[2][1024], more[160];
            words w = {0};
            peft_tokenizer *t = NULL;
            snprintf(path[0], sizeof(path[0]), "%s/%s", shared ? shared : "../shared", vocabularies[v][1]);
            snprintf(path[1], sizeof(path[1]), "%s/%s", shared ? shared : "../shared", files[f][1]);
            bool loaded = !peft_tokenizer_load(ctx, path[0], &t);
            loaded = loaded && (f == 2 ? make_multilingual(&w) : !peft__read_all(ctx, *files[f][1] ? path[1] : "peft.h", &w.text, &w.size));
            if (!loaded) {
                printf("{\"name\":\"tokenizer\",\"skipped\":\"%s\"}\n", peft_error(ctx));
                peft_tokenizer_destroy(t);
                continue;
            }
            w.tokenizer = t;
            double encoding = median_time(encode_once, &w), decoding = median_time(decode_ids_once, &w);
            snprintf(more, sizeof(more), ",\"vocabulary\":\"%s\",\"text\":\"%s\",\"mb\":%.2f,\"tokens\":%lld,\"decode\":%.4g", vocabularies[v][0],
                     files[f][0], (double)w.size / 1e6, (long long)w.ids.count, (double)w.size / decoding / 1e6);
            emit("tokenizer", (double)w.size / encoding / 1e6, "MB/s", more);
            peft_free(ctx, w.text), peft_free(ctx, w.back);
            peft_ids_free(ctx, &w.ids);
            peft_tokenizer_destroy(t);
        }
}

static const struct {
    const char *name;
    void (*run)(void);
} benches[] = {{"peak", bench_peak},           {"memory", bench_memory}, {"sgemm", bench_sgemm}, {"quant_gemm", bench_quant_gemm},
               {"quant_gemv", bench_quant_gemv}, {"dequantize", bench_dequantize}, {"formats", bench_formats}, {"quantize", bench_quantize}, {"lora_step", bench_lora_step},
               {"qlora_step", bench_qlora_step},
               {"turns", bench_turns}, {"turns_bf16", bench_turns_bf16}, {"full_step", bench_full_step}, {"decode", bench_decode}, {"llama_decode", bench_llama_decode}, {"llama_prompt", bench_llama_prompt},
               {"gpt2_full_step", bench_gpt2_full_step}, {"llama_lora_step", bench_llama_lora_step}, {"tokenizer", bench_tokenizer}, {"template", bench_template}, {"rouge", bench_rouge}, {"bleu", bench_bleu},
               {"chrf", bench_chrf},           {"ter", bench_ter},       {"nist", bench_nist},     {"meteor", bench_meteor}, {"cider", bench_cider}};

static int usage(FILE *f, int status) {
    fprintf(f, "usage: bench [NAME ...] [--threads N] [--simd NAME] [--compute f32|bf16|int8] [--shapes FILE] [--seconds S]\nnames:");
    for (int i = 0; i < COUNT(benches); i++) fprintf(f, " %s", benches[i].name);
    fputc('\n', f);
    return status;
}

int main(int argc, char **argv) {
    texts names = {0};
    const option options[] = {{"threads", OPTION_INT, &thread_count, "N", ""}, {"simd", OPTION_TEXT, &simd_name, "NAME", ""},
                              {"shapes", OPTION_TEXT, &shapes_path, "FILE", ""}, {"seconds", OPTION_REAL, &seconds_each, "S", ""},
                              {"compute", OPTION_TEXT, &compute_name, "TYPE", ""}};
    if (argc == 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) return usage(stdout, EXIT_OK);
    if (!options_parse("bench", argc - 1, argv + 1, options, COUNT(options), &names) || thread_count < 1 || thread_count > 256) return usage(stderr, EXIT_USAGE);
    peft_context_desc d = {.threads = (int)thread_count};
    if (strcmp(compute_name, "bf16") == 0) d.compute = PEFT_BF16;
    else if (strcmp(compute_name, "int8") == 0) d.compute = PEFT_I8;
    else if (strcmp(compute_name, "f32") != 0) return usage(stderr, EXIT_USAGE);
    for (int k = PEFT_SIMD_PORTABLE; simd_name && k <= PEFT_SIMD_AVX512; k++)
        if (strcmp(simd_name, peft_simd_name((peft_simd)k)) == 0) d.simd = (peft_simd)k;
    if ((simd_name && !d.simd) || peft_context_create(&d, &ctx)) return usage(stderr, EXIT_USAGE);
    for (int n = 0; n < names.count; n++) {
        int i = 0;
        while (i < COUNT(benches) && strcmp(benches[i].name, names.items[n]) != 0) i++;
        if (i == COUNT(benches)) return usage(stderr, EXIT_USAGE);
    }
    for (int i = 0; i < COUNT(benches); i++) {
        bool wanted = names.count == 0 && benches[i].run != bench_turns && benches[i].run != bench_turns_bf16;
        for (int n = 0; n < names.count; n++) wanted |= strcmp(benches[i].name, names.items[n]) == 0;
        if (wanted) benches[i].run();
    }
    free((void *)names.items);
    peft_context_destroy(ctx);
    return EXIT_OK;
}
