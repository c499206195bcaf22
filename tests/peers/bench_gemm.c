// peft.h beside OpenBLAS and BLIS on the shapes of a shapes file, interleaved in one run, with this machine's FMA peak.
//   cc -O2 -DPEFT_USE_PTHREADS -I. tests/peers/bench_gemm.c -o bench_gemm -lm -pthread -ldl
//   bench_gemm shapes.txt [threads] [only rows whose label contains this] [simd: avx2 | avx512 | portable]
// Each library is dlopen'ed; one that is absent shows 0. Columns: GFLOP/s (median over rounds), ratio to the better peer.
#define _GNU_SOURCE
#define PEFT_IMPLEMENTATION
#include "peft.h"
#include <dlfcn.h>
#include <stdio.h>
#ifdef PEFT_TEST_QUANT_STUB
#include "quant_stub.h"
QUANT_STUB
#endif

typedef void (*sgemm_fn)(int order, int ta, int tb, int m, int n, int k, float alpha, const float *a, int lda, const float *b,
                         int ldb, float beta, float *c, int ldc);
typedef void (*sgemv_fn)(int order, int ta, int m, int n, float alpha, const float *a, int lda, const float *x, int incx,
                         float beta, float *y, int incy);
static sgemm_fn gemms[2];
static sgemv_fn gemvs[2];
static peft_context *ctx;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void load_peer(int i, const char *path, const char *set_threads, int threads) {
    void *lib = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!lib) return;
    gemms[i] = (sgemm_fn)dlsym(lib, "cblas_sgemm"), gemvs[i] = (sgemv_fn)dlsym(lib, "cblas_sgemv");
    void (*set)(int) = (void (*)(int))dlsym(lib, set_threads);
    void (*set64)(int64_t) = (void (*)(int64_t))dlsym(lib, set_threads);
    if (i == 0 && set) set(threads);
    if (i == 1 && set64) set64(threads);
}

// FMA peak of the widest set in use, GFLOP/s: independent chains, no memory.
#if PEFT__X86
#define CHAIN(i) v##i = set((float)i),
#define LINK(i) v##i = fma(v##i, x, y);
#define JOIN(i) y = y + v##i;
#define PEAK(name, TARGET, vector)                                          \
    static TARGET float peak_##name(int64_t n) {                            \
        vector PEFT__REPEAT_12(CHAIN) x = set(0.999f), y = set(0.001f);     \
        for (int64_t i = 0; i < n; i++) { PEFT__REPEAT_12(LINK) }           \
        PEFT__REPEAT_12(JOIN)                                               \
        float sum;                                                          \
        memcpy(&sum, &y, sizeof(sum));                                      \
        return sum;                                                         \
    }
#define set(a) _mm256_set1_ps(a)
#define fma(a, b, c) _mm256_fmadd_ps(a, b, c)
PEAK(avx2, PEFT__TARGET_AVX2, __m256)
#undef set
#undef fma
#define set(a) _mm512_set1_ps(a)
#define fma(a, b, c) _mm512_fmadd_ps(a, b, c)
PEAK(avx512, PEFT__TARGET_AVX512, __m512)
#undef set
#undef fma
#endif
static volatile float sink;
enum { PEAK_STEPS = 200000 };
static void peak_task(void *arg, int64_t index) {
    (void)arg, (void)index;
#if PEFT__X86
    sink = ctx->simd == PEFT_SIMD_AVX512 ? peak_avx512(PEAK_STEPS) : peak_avx2(PEAK_STEPS);
#endif
}
static double peak(void) {
    if (ctx->threads > 1) nanosleep(&(struct timespec){0, 40000000}, NULL);
    double best = 1e30, width = ctx->simd == PEFT_SIMD_AVX512 ? 16 : 8;
    for (int i = 0; i < 3; i++) {
        double t = now();
        peft__parallel(ctx, ctx->threads, peak_task, NULL);
        t = now() - t;
        best = t < best ? t : best;
    }
    return 12.0 * 2 * width * PEAK_STEPS * ctx->threads / best * 1e-9;
}

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

typedef struct shape {
    bool ta, tb, gemv;
    int m, n, k;
} shape;

static void run(int who, const shape *s, const float *a, const float *b, float *c) {
    int lda = s->ta ? s->m : s->k, ldb = s->tb ? s->k : s->n;
    if (who == 0) peft_sgemm(ctx, s->ta, s->tb, s->m, s->n, s->k, 1, a, lda, b, ldb, 0, c, s->n);
    else if (s->gemv) gemvs[who - 1](101, s->tb ? 111 : 112, s->tb ? s->n : s->k, s->tb ? s->k : s->n, 1, b, ldb, a, 1, 0, c, 1);
    else gemms[who - 1](101, s->ta ? 112 : 111, s->tb ? 112 : 111, s->m, s->n, s->k, 1, a, lda, b, ldb, 0, c, s->n);
}

static void bench(const char *line) {
    char kind[8], label[64];
    shape s;
    memset(&s, 0, sizeof s);
    if (sscanf(line, "%7s %d %d %d %63s", kind, &s.m, &s.n, &s.k, label) != 5) return;
    s.gemv = kind[0] == 'G';
    s.ta = kind[0] == 'T', s.tb = kind[1] == 'T' || (s.gemv && kind[2] == 'T');
    if (s.gemv) s.ta = false;
    float *a = (float *)aligned_alloc(64, ((size_t)s.m * (size_t)s.k * 4 + 127) & ~(size_t)63);
    float *b = (float *)aligned_alloc(64, ((size_t)s.n * (size_t)s.k * 4 + 127) & ~(size_t)63);
    float *c = (float *)aligned_alloc(64, ((size_t)s.m * (size_t)s.n * 4 + 127) & ~(size_t)63);
    for (int64_t i = 0; i < (int64_t)s.m * s.k; i++) a[i] = (float)(i * 7919 % 1000) * 1e-3f - 0.5f;
    for (int64_t i = 0; i < (int64_t)s.n * s.k; i++) b[i] = (float)(i * 104729 % 1000) * 1e-3f - 0.5f;
    double flops = 2.0 * s.m * s.n * s.k, times[3][64];
    double pace = now(), t;
    run(0, &s, a, b, c);
    run(0, &s, a, b, c);
    pace = now();
    run(0, &s, a, b, c);
    t = now() - pace;
    int threads = ctx->threads, repeats = (int)(0.004 / (t + 1e-9)) + 1, rounds = t > 0.05 || threads > 1 ? 5 : t > 0.005 ? 9 : 15;
    double top = peak();
    for (int r = -1; r < rounds; r++)
        for (int who = 0; who < 3; who++) {
            if (who && !gemms[who - 1]) {
                if (r >= 0) times[who][r] = 1e30;
                continue;
            }
            // Each library's idle threads spin for a while: let them fall asleep, or they take a core from the next one. Woken
            // up, they stay on the caller's core until the kernel moves them, which takes it up to 30 ms.
            if (ctx->threads > 1) nanosleep(&(struct timespec){0, 40000000}, NULL);
            for (t = now(); now() - t < (ctx->threads > 1 ? 6e-2 : 2e-5);) run(who, &s, a, b, c);
            t = now();
            for (int i = 0; i < repeats; i++) run(who, &s, a, b, c);
            if (r >= 0) times[who][r] = (now() - t) / repeats;
        }
    double speed[3];
    for (int who = 0; who < 3; who++) {
        qsort(times[who], (size_t)rounds, sizeof(double), by_value);
        speed[who] = flops / times[who][rounds / 2] * 1e-9;
    }
    double again = peak();
    top = again > top ? again : top;
    double best = speed[1] > speed[2] ? speed[1] : speed[2];
    printf("%-3s %5d %5d %5d %-15s peft %7.1f  openblas %7.1f  blis %7.1f  peak %6.1f  of peak %3.0f%%  ratio %5.2f%s\n", kind, s.m, s.n,
           s.k, label, speed[0], speed[1], speed[2], top, 100 * speed[0] / top, speed[0] / best, speed[0] < best ? "  <" : "");
    fflush(stdout);
    free(a), free(b), free(c);
}

int main(int argc, char **argv) {
    if (argc < 2) return printf("usage: bench_gemm shapes.txt [threads] [filter] [simd]\n"), 1;
    int threads = argc > 2 ? atoi(argv[2]) : 1;
    peft_context_desc d;
    memset(&d, 0, sizeof d);
    d.threads = threads;
    if (argc > 4) d.simd = argv[4][0] == 'p' ? PEFT_SIMD_PORTABLE : strcmp(argv[4], "avx2") == 0 ? PEFT_SIMD_AVX2 : PEFT_SIMD_AVX512;
    if (peft_context_create(&d, &ctx)) return printf("no context\n"), 1;
    char count[16];
    snprintf(count, sizeof count, "%d", threads);
    setenv("OPENBLAS_NUM_THREADS", count, 1), setenv("BLIS_NUM_THREADS", count, 1), setenv("OMP_NUM_THREADS", count, 1);
    load_peer(0, "/usr/lib/x86_64-linux-gnu/openblas-pthread/libopenblas.so.0", "openblas_set_num_threads", threads);
    load_peer(1, "/usr/lib/x86_64-linux-gnu/libblis.so.4", "bli_thread_set_num_threads", threads);
    FILE *f = fopen(argv[1], "r");
    if (!f) return printf("cannot open %s\n", argv[1]), 1;
    char line[256];
    while (fgets(line, sizeof line, f))
        if (argc <= 3 || strstr(line, argv[3])) bench(line);
    fclose(f);
    peft_context_destroy(ctx);
    return 0;
}
