// Chapter 5: every operation of the tape. Gradients against finite differences, every instruction set against the portable
// code, every thread count against one thread, accumulation, frozen leaves, and that a second step allocates nothing.
//   cc -std=c11 -O2 -DPEFT_USE_PTHREADS -I. tests/test_ops.c -o build/test_ops -pthread -lm
#define PEFT_NO_METRICS  // what this program needs of the header
#define PEFT_IMPLEMENTATION
#include "peft.h"
#include "check.h"
#include "counter.h"
#include <stdio.h>

static int passed, failed;

static void check(bool ok, const char *op, int variant, const char *what, double value) {
    if (test_count(&passed, &failed, ok, what)) printf("FAIL %s (variant %d): %s, %g\n", op, variant, what, value);
}

// ---- an allocator that counts

static counter memory;

static peft_context *make_context(peft_simd simd, int threads) {
    peft_context_desc d;
    memset(&d, 0, sizeof d);
    COUNT_IN(d, memory);
    d.simd = simd, d.threads = threads;
    peft_context *ctx = NULL;
    peft_context_create(&d, &ctx);
    return ctx;
}

// ---- one operation with its leaves

enum { LEAVES = 10, OUTS = 12, IDS = 600 };

// How an operation gets its operands: leaves (their gradient exists before backward), results of another operation (it does
// not: the first contribution overwrites), or such results that a later operation uses too (it does again).
enum { AS_LEAVES, AS_RESULTS, AS_SHARED_RESULTS, MODES };

typedef struct op_case op_case;

typedef struct setup {
    const op_case *op;
    peft_context *ctx;
    peft_tape *tape;
    peft_rng rng;
    int variant, mode;
    bool big;
    peft_tensor *leaf[LEAVES], *fixed[LEAVES];
    int leaves, fixeds;
    int64_t q_offsets[8], k_offsets[8];
    int32_t ids[IDS];
    peft_tensor *out[OUTS];  // what the loss is made of: the mean square of the distance to a target
    float *target[OUTS];
    int outs;
    bool scalar;  // the first output is a loss itself
} setup;

struct op_case {
    const char *name;
    int variants;
    void (*make)(setup *s);                                   // leaves and sizes
    peft_tensor *(*build)(setup *s, peft_tensor *const *in);  // the operation; `in` stands for the leaves
    double (*reference)(const setup *s);                      // its loss in double, where its own loss is too coarse; or NULL
};

static float random_normal(setup *s) {
    return (float)peft_rng_normal(&s->rng);
}

static peft_tensor *tensor(setup *s, int64_t rows, int64_t cols, double deviation) {
    peft_tensor *t = NULL;
    peft_tensor_create(s->ctx, "w", rows, cols, &t);
    for (int64_t i = 0; i < rows * cols; i++) peft__f32(t)[i] = (float)deviation * random_normal(s);
    return t;
}

static peft_tensor *leaf(setup *s, int64_t rows, int64_t cols, double deviation) {
    peft_tensor *t = tensor(s, rows, cols, deviation);
    peft_require_grad(s->ctx, t);
    return s->leaf[s->leaves++] = t;
}

// A frozen weight in a 16-bit format.
static peft_tensor *half(setup *s, int64_t rows, int64_t cols, double deviation, peft_dtype type) {
    peft_tensor *t = tensor(s, rows, cols, deviation);
    for (int64_t i = 0; i < rows * cols; i++) {
        float v = peft__f32(t)[i];
        ((uint16_t *)t->data)[i] = type == PEFT_F16 ? peft__f32_to_f16(v) : peft__f32_to_bf16(v);
    }
    t->type = type;
    return s->fixed[s->fixeds++] = t;
}

static void setup_open(setup *s, peft_context *ctx, const op_case *op, int variant, int mode, bool big) {
    memset(s, 0, sizeof *s);
    s->op = op, s->ctx = ctx, s->variant = variant, s->mode = mode, s->big = big;
    peft_rng_seed(&s->rng, 1000 + (uint64_t)variant);
    peft_tape_create(ctx, &s->tape);
    op->make(s);
}

static void setup_close(setup *s) {
    for (int i = 0; i < s->leaves; i++) peft_tensor_destroy(s->ctx, s->leaf[i]);
    for (int i = 0; i < s->fixeds; i++) peft_tensor_destroy(s->ctx, s->fixed[i]);
    for (int i = 0; i < OUTS; i++) free(s->target[i]);
    peft_tape_destroy(s->tape);
}

// Adds the distance of `y` to a target to the loss.
static peft_tensor *add_term(setup *s, peft_tensor *loss, peft_tensor *y) {
    if (!y) return NULL;
    int k = s->outs++;
    if (!s->target[k]) {
        peft_rng rng;
        peft_rng_seed(&rng, 77 + (uint64_t)k);
        s->target[k] = (float *)malloc((size_t)peft__size(y) * sizeof(float));
        for (int64_t i = 0; i < peft__size(y); i++) s->target[k][i] = (float)peft_rng_normal(&rng);
    }
    s->out[k] = y;
    peft_tensor *term = peft_mse(s->tape, y, s->target[k]);
    return k ? peft_add(s->tape, loss, term) : term;
}

static peft_tensor *forward(setup *s) {
    peft_tensor *in[LEAVES], *loss = NULL;
    peft_tape_reset(s->tape, 5);
    s->outs = 0;
    for (int i = 0; i < s->leaves; i++) {
        in[i] = s->leaf[i];
        if (s->mode == AS_LEAVES) continue;
        in[i] = peft_scale(s->tape, s->leaf[i], 1);
        if (in[i]) in[i]->in_out = s->leaf[i]->in_out;
    }
    peft_tensor *y = s->op->build(s, in);
    if (s->scalar && y) s->out[s->outs++] = loss = y;
    else loss = add_term(s, NULL, y);
    for (int i = 0; i < s->leaves && s->mode == AS_SHARED_RESULTS; i++) loss = add_term(s, loss, in[i]);
    return loss;
}

static double loss_in_double(setup *s) {
    forward(s);
    double loss = 0;
    for (int k = 0; k < s->outs; k++) {
        if (k == 0 && s->scalar) {
            loss += s->op->reference(s);
            continue;
        }
        const peft_tensor *y = s->out[k];
        double sum = 0;
        for (int64_t i = 0; i < peft__size(y); i++) {
            double e = (double)peft__f32(y)[i] - (double)s->target[k][i];
            sum += e * e;
        }
        loss += sum / (double)peft__size(y);
    }
    return loss;
}

static void zero_grads(setup *s) {
    for (int i = 0; i < s->leaves; i++)
        if (s->leaf[i]->grad) memset(s->leaf[i]->grad, 0, (size_t)peft__size(s->leaf[i]) * sizeof(float));
}

// Forward and backward; `out` (may be NULL) receives the operation's result, which backward overwrites.
static peft_status step(setup *s, float *out) {
    peft_tensor *loss = forward(s);
    if (out && loss) memcpy(out, s->out[0]->data, (size_t)peft__size(s->out[0]) * sizeof(float));
    return peft_backward(s->tape, loss);
}

static float *copy_of(const float *values, int64_t n) {
    float *copy = (float *)malloc((size_t)n * sizeof(float));
    memcpy(copy, values, (size_t)n * sizeof(float));
    return copy;
}

// ---- finite differences: five points, so that steps are large enough for f32 and the error is of fourth order

static double difference(setup *s, peft_tensor *t, const float *at, const float *direction, double h) {
    static const double factor[4] = {1, -8, 8, -1}, shift[4] = {-2, -1, 1, 2};
    double sum = 0;
    for (int k = 0; k < 4; k++) {
        for (int64_t i = 0; i < peft__size(t); i++) peft__f32(t)[i] = (float)((double)at[i] + shift[k] * h * (double)direction[i]);
        sum += factor[k] * loss_in_double(s);
    }
    memcpy(t->data, at, (size_t)peft__size(t) * sizeof(float));
    return sum / (12 * h);
}

// Small tensors: along every coordinate, by the norm of the error. Large ones: along random directions.
static void check_gradient(setup *s, int k, const float *gradient, double h, double tolerance) {
    peft_tensor *t = s->leaf[k];
    int64_t n = peft__size(t), rounds = s->big ? 3 : n;
    float *at = copy_of(peft__f32(t), n), *direction = copy_of(at, n);
    double error = 0, worst = 0, norm = 0, largest = 0;
    for (int64_t i = 0; i < n; i++) {
        double g = (double)gradient[i];
        norm += g * g;
        largest = PEFT__MAX(largest, fabs(g));
    }
    norm = sqrt(norm);
    for (int64_t r = 0; r < rounds; r++) {
        double expected = 0;
        for (int64_t i = 0; i < n; i++) {
            direction[i] = s->big ? random_normal(s) : i == r ? 1.0f : 0.0f;
            expected += (double)direction[i] * (double)gradient[i];
        }
        double e = fabs(difference(s, t, at, direction, h) - expected);
        error += e * e;
        worst = PEFT__MAX(worst, e);
    }
    error = sqrt(error / (s->big ? (double)rounds : 1));
    char what[64];
    snprintf(what, sizeof what, "gradient of leaf %d, mode %d, %s%s, error", k, s->mode, peft_simd_name(s->ctx->simd), s->big ? ", large" : "");
    check(norm > 0 && error <= tolerance * norm, s->op->name, s->variant, what, error / norm);
    if (!s->big) check(worst <= 2 * tolerance * largest, s->op->name, s->variant, "a coordinate of the gradient", worst / largest);
    free(at), free(direction);
}

static void check_gradients(peft_context *ctx, const op_case *op, int variant, int mode, bool big) {
    setup s;
    setup_open(&s, ctx, op, variant, mode, big);
    peft_status status = step(&s, NULL);
    check(status == PEFT_OK, op->name, variant, peft_error(ctx), (double)status);
    float *gradient[LEAVES];
    for (int i = 0; i < s.leaves; i++) gradient[i] = copy_of(s.leaf[i]->grad, peft__size(s.leaf[i]));  // cross-entropy adds to them in forward
    for (int i = 0; i < s.leaves && !status; i++) check_gradient(&s, i, gradient[i], op->reference ? 0.005 : big ? 0.012 : 0.02, 1e-4);
    for (int i = 0; i < s.leaves; i++) free(gradient[i]);
    setup_close(&s);
}

// ---- results of one step, to compare between contexts

typedef struct results {
    float *data;
    int64_t parts, at[LEAVES + 2];  // the result, then the gradient of every leaf
} results;

static results run(peft_context *ctx, const op_case *op, int variant, int mode, bool big) {
    setup s;
    results r;
    memset(&r, 0, sizeof r);
    setup_open(&s, ctx, op, variant, mode, big);
    forward(&s);
    r.parts = s.leaves + 1;
    r.at[1] = s.outs ? peft__size(s.out[0]) : 0;
    for (int i = 0; i < s.leaves; i++) r.at[i + 2] = r.at[i + 1] + peft__size(s.leaf[i]);
    r.data = (float *)malloc((size_t)r.at[r.parts] * sizeof(float));
    zero_grads(&s);
    peft_status status = step(&s, r.data);
    check(status == PEFT_OK, op->name, variant, peft_error(ctx), (double)status);
    for (int i = 0; i < s.leaves; i++) memcpy(r.data + r.at[i + 1], s.leaf[i]->grad, (size_t)peft__size(s.leaf[i]) * sizeof(float));
    setup_close(&s);
    return r;
}

static double distance(const float *a, const float *b, int64_t n) {  // largest difference over the largest value
    double d = 0, size = 1e-30;
    for (int64_t i = 0; i < n; i++) {
        d = PEFT__MAX(d, fabs((double)a[i] - (double)b[i]));
        size = PEFT__MAX(size, fabs((double)a[i]));
        if (a[i] != a[i] || b[i] != b[i]) return INFINITY;
    }
    return d / size;
}

static void compare_simd(peft_context *portable, peft_context *ctx, const op_case *op, int variant, int mode, bool big) {
    results a = run(portable, op, variant, mode, big), b = run(ctx, op, variant, mode, big);
    for (int64_t i = 0; i < a.parts; i++) {
        double d = distance(a.data + a.at[i], b.data + a.at[i], a.at[i + 1] - a.at[i]);
        check(d <= 3e-6, op->name, variant, i ? "a gradient differs from portable" : "the result differs from portable", d);
    }
    free(a.data), free(b.data);
}

static void compare_threads(peft_context *const *ctx, int count, const op_case *op, int variant, int mode) {
    results a = run(ctx[0], op, variant, mode, true);
    for (int t = 1; t < count; t++) {
        results b = run(ctx[t], op, variant, mode, true);
        check(memcmp(a.data, b.data, (size_t)a.at[a.parts] * sizeof(float)) == 0, op->name, variant, "threads change bits", peft_thread_count(ctx[t]));
        free(b.data);
    }
    free(a.data);
}

// ---- what holds for every operation

static void check_accumulation(peft_context *ctx, const op_case *op, int variant) {
    setup s;
    setup_open(&s, ctx, op, variant, AS_LEAVES, false);
    float *once[LEAVES];
    step(&s, NULL);
    for (int i = 0; i < s.leaves; i++) once[i] = copy_of(s.leaf[i]->grad, peft__size(s.leaf[i]));
    long before = memory.calls;
    step(&s, NULL);
    check(memory.calls == before, op->name, variant, "allocations in the second step", (double)(memory.calls - before));
    for (int i = 0; i < s.leaves; i++) {
        for (int64_t k = 0; k < peft__size(s.leaf[i]); k++) once[i][k] *= 2;
        double d = distance(once[i], s.leaf[i]->grad, peft__size(s.leaf[i]));
        check(d < 1e-6, op->name, variant, "two backwards do not give twice the gradient", d);
        free(once[i]);
    }
    setup_close(&s);
}

static void check_no_allocation(peft_context *ctx, const op_case *op, int variant, int mode) {
    setup s;
    setup_open(&s, ctx, op, variant, mode, true);
    step(&s, NULL);
    long before = memory.calls;
    for (int i = 0; i < 3; i++) step(&s, NULL);
    check(memory.calls == before, op->name, variant, "allocations after the first step", (double)(memory.calls - before));
    setup_close(&s);
}

static void check_frozen(peft_context *ctx, const op_case *op, int variant) {
    setup s;
    results all = run(ctx, op, variant, AS_LEAVES, false);
    setup_open(&s, ctx, op, variant, AS_LEAVES, false);
    for (int f = 0; f < s.leaves && s.leaves > 1; f++) {
        zero_grads(&s);
        peft_freeze(ctx, s.leaf[f]);
        check(step(&s, NULL) == PEFT_OK, op->name, variant, "with a frozen leaf", f);
        check(!s.leaf[f]->grad, op->name, variant, "a frozen leaf has a gradient", f);
        for (int i = 0; i < s.leaves; i++) {
            if (i == f) continue;
            double d = distance(all.data + all.at[i + 1], s.leaf[i]->grad, peft__size(s.leaf[i]));
            check(d < 1e-6, op->name, variant, "freezing one leaf changes another's gradient", d);
        }
        peft_require_grad(ctx, s.leaf[f]);
    }
    for (int f = 0; f < s.leaves; f++) peft_freeze(ctx, s.leaf[f]);
    peft_tensor *loss = forward(&s);
    check(loss && !loss->requires_grad && peft_backward(s.tape, loss) == PEFT_ERROR_ARGUMENT, op->name, variant, "all leaves frozen", 0);
    setup_close(&s);
    free(all.data);
}

// ---- embedding

static void make_embedding(setup *s) {
    leaf(s, s->big ? 400 : 7, s->big ? 64 : 5, 1);
    for (int i = 0; i < IDS; i++) s->ids[i] = (int32_t)peft__rng_below(&s->rng, s->leaf[0]->rows - 2);  // some row is never used
}

static peft_tensor *build_embedding(setup *s, peft_tensor *const *in) {
    return peft_embedding(s->tape, in[0], s->ids, s->big ? IDS : 11);
}

// ---- linear. Variant: bit 0 bias, 1 residual, 2 in_out, 3-4 storage (f32 trainable, f16, bf16), 5-6 paths

static void make_linear(setup *s) {
    int64_t n = s->big ? 210 : 6, in = s->big ? 190 : 5, out = s->big ? 170 : 7, r = s->big ? 8 : 3;
    int v = s->variant, type = v >> 3 & 3, paths = v >> 5 & 3;
    bool in_out = v & 4;
    leaf(s, n, in, 0.8);
    peft_tensor *w = type ? half(s, in_out ? in : out, in_out ? out : in, 0.5, type == 1 ? PEFT_F16 : PEFT_BF16)
                          : leaf(s, in_out ? in : out, in_out ? out : in, 0.5);
    w->in_out = in_out;
    if (v & 1) leaf(s, 1, out, 1);
    if (v & 2) leaf(s, n, out, 1);
    for (int i = 0; i < paths; i++) leaf(s, r + i, in, 0.5), leaf(s, out, r + i, 0.5);
}

static peft_tensor *build_linear(setup *s, peft_tensor *const *in) {
    int v = s->variant, type = v >> 3 & 3;
    peft_linear_desc d;
    peft_low_rank paths[3];
    memset(&d, 0, sizeof d);
    memset(paths, 0, sizeof paths);
    d.x = *in++;
    d.weight = type ? s->fixed[0] : *in++;
    if (v & 1) d.bias = *in++;
    if (v & 2) d.residual = *in++;
    d.path_count = v >> 5 & 3;
    d.paths = paths;
    for (int i = 0; i < d.path_count; i++) {
        paths[i].a = *in++, paths[i].b = *in++;
        paths[i].scale = i == 1 ? -0.7f : 1.5f;
        if (i != 1) paths[i].dropout = 0.3f;
        if (i > 0) paths[i].first_row = 2;                       // the second: some rows without dropout; the third: with
        if (i == 1) paths[i].row_count = d.x->rows / 2;
    }
    return peft_linear_with(s->tape, &d);
}

static peft_tensor *build_linear_plain(setup *s, peft_tensor *const *in) {
    return peft_linear(s->tape, in[0], in[1], s->variant & 1 ? in[2] : NULL);
}

// The residual is the input itself.
static void make_linear_self(setup *s) {
    int64_t d = s->big ? 150 : 5;
    leaf(s, s->big ? 200 : 4, d, 0.8), leaf(s, d, d, 0.5);
}

static peft_tensor *build_linear_self(setup *s, peft_tensor *const *in) {
    peft_linear_desc d;
    memset(&d, 0, sizeof d);
    d.x = d.residual = in[0];
    d.weight = in[1];
    return peft_linear_with(s->tape, &d);
}

// ---- normalization. Variant 0: RMSNorm; 1: LayerNorm; 2: LayerNorm without a bias

static void make_norm(setup *s) {
    int64_t n = s->big ? 400 : 5, cols = s->big ? 130 : 9;
    leaf(s, n, cols, 1), leaf(s, 1, cols, 1);
    if (s->variant == 1) leaf(s, 1, cols, 1);
    for (int64_t i = 0; i < n * cols; i++) peft__f32(s->leaf[0])[i] += 0.5f;
}

static peft_tensor *build_norm(setup *s, peft_tensor *const *in) {
    if (!s->variant) return peft_rms_norm(s->tape, in[0], in[1], 1e-3f);
    return peft_layer_norm(s->tape, in[0], in[1], s->variant == 1 ? in[2] : NULL, 1e-3f);
}

// ---- activations. Variant: the kind

static void away_from(peft_tensor *t, float bend) {  // ReLU and its kin have no derivative there
    for (float *x = peft__f32(t), *end = x + peft__size(t); x < end; x++)
        if (fabsf(*x - bend) < 0.25f) *x += *x < bend ? -0.25f : 0.25f;
}

static void make_activation(setup *s) {
    leaf(s, s->big ? 500 : 7, s->big ? 101 : 9, s->variant >= PEFT_RELU6 ? 6 : 1.5);
    away_from(s->leaf[0], 0);
    if (s->variant >= PEFT_RELU6) away_from(s->leaf[0], s->variant == PEFT_RELU6 ? 6 : 10);
}

static peft_tensor *build_activation(setup *s, peft_tensor *const *in) {
    return peft_activation(s->tape, in[0], (peft_activation_kind)s->variant);
}

static void make_gated(setup *s) {
    make_activation(s);
    leaf(s, s->leaf[0]->rows, s->leaf[0]->cols, 1);
}

static peft_tensor *build_gated(setup *s, peft_tensor *const *in) {
    return peft_gated(s->tape, in[0], in[1], (peft_activation_kind)s->variant);
}

static peft_tensor *build_gated_self(setup *s, peft_tensor *const *in) {
    return peft_gated(s->tape, in[0], in[0], (peft_activation_kind)s->variant);
}

// ---- sums. Variant 0: a + b; 1: a + a; 2: factor a

static void make_sum(setup *s) {
    int64_t n = s->big ? 300 : 5, cols = s->big ? 111 : 9;
    leaf(s, n, cols, 1);
    if (s->variant == 0) leaf(s, n, cols, 1);
}

static peft_tensor *build_sum(setup *s, peft_tensor *const *in) {
    if (s->variant == 2) return peft_scale(s->tape, in[0], -1.7f);
    return peft_add(s->tape, in[0], in[s->variant == 0]);
}

// ---- dropout. Variant 0: 0.3; 1: 0.9; 2: none

static void make_dropout(setup *s) {
    leaf(s, s->big ? 500 : 9, s->big ? 101 : 9, 1);
}

static peft_tensor *build_dropout(setup *s, peft_tensor *const *in) {
    static const float p[] = {0.3f, 0.9f, 0};
    return peft_dropout(s->tape, in[0], p[s->variant]);
}

// ---- what models are made of besides: products with a vector on some rows, columns of a fused projection, rotary positions, virtual tokens

static void make_multiply(setup *s) {  // variant 0: all rows; 1: some in the middle; 2: from a row to the end
    leaf(s, s->big ? 300 : 6, s->big ? 111 : 9, 1), leaf(s, 1, s->leaf[0]->cols, 1);
}

static peft_tensor *build_multiply(setup *s, peft_tensor *const *in) {
    return peft_multiply(s->tape, in[0], in[1], s->variant ? 2 : 0, s->variant == 1 ? 3 : 0);
}

enum { GROUPS = 3 };
typedef struct column_variant {
    int64_t first, size, stride;
} column_variant;
static const column_variant column_variants[] = {{0, 4, 4}, {2, 4, 7}, {5, 3, 5}, {1, 4, 2}};  // the last: groups overlap

static void make_columns(setup *s) {
    leaf(s, s->big ? 300 : 5, s->big ? 90 : 20, 1);
}

static peft_tensor *build_columns(setup *s, peft_tensor *const *in) {
    const column_variant *v = &column_variants[s->variant];
    return peft_columns(s->tape, in[0], v->first, GROUPS, v->size, v->stride);
}

enum { POSITIONS = 11, TURNED = 6, TURNS = 2 };
static float turns[POSITIONS][TURNED / 2][TURNS];

static int64_t rotary_heads(const setup *s) {
    return s->big ? 6 : 2;
}

static void make_rotary(setup *s) {  // variant 0: whole heads; 1: a part of each, as GPT-NeoX
    for (int p = 0; p < POSITIONS; p++)
        for (int i = 0; i < TURNED / 2; i++) turns[p][i][0] = (float)cos(p * pow(100, -i / 3.0)), turns[p][i][1] = (float)sin(p * pow(100, -i / 3.0));
    leaf(s, s->big ? 300 : 5, rotary_heads(s) * (TURNED + 3 * s->variant), 1);
    for (int i = 0; i < IDS; i++) s->ids[i] = (int32_t)peft__rng_below(&s->rng, POSITIONS);
}

static peft_tensor *build_rotary(setup *s, peft_tensor *const *in) {
    return peft_rotary(s->tape, in[0], rotary_heads(s), TURNED, &turns[0][0][0], s->ids);
}

static void make_prepend(setup *s) {  // variant 0: three sequences, one of them empty; 1: one
    static const int64_t small[] = {4, 0, 2}, large[] = {150, 0, 60};
    s->k_offsets[0] = 0;
    for (int i = 0; i < 3; i++) s->k_offsets[i + 1] = s->k_offsets[i] + (s->big ? large : small)[i];
    leaf(s, 3, s->big ? 70 : 5, 1), leaf(s, s->k_offsets[s->variant ? 1 : 3], s->leaf[0]->cols, 1);
}

static peft_tensor *build_prepend(setup *s, peft_tensor *const *in) {
    return peft_prepend(s->tape, in[0], in[1], s->k_offsets, s->variant ? 1 : 3);
}

// ---- attention

typedef struct attention_variant {
    int64_t heads, kv_heads, sequences;
    bool causal, bias, bidirectional, cross;
    float scale, dropout;
    int64_t window;
    float cap;
} attention_variant;

static const attention_variant attention_variants[] = {
    {2, 0, 3, false, false, false, false, 0, 0, 0, 0},
    {2, 0, 3, true, false, false, false, 0.5f, 0, 0, 0},
    {2, 0, 3, false, false, false, true, 0.5f, 0, 0, 0},
    {2, 0, 3, true, false, false, true, 0.5f, 0, 0, 0},   // more keys than queries: the last query sees the last key
    {2, 0, 3, false, true, true, false, 0, 0, 0, 0},
    {2, 0, 3, true, true, false, false, 0, 0, 0, 0},
    {2, 0, 2, false, true, true, true, 0.7f, 0, 0, 0},
    {2, 0, 2, true, true, false, true, 0.7f, 0, 0, 0},
    {4, 2, 2, true, false, false, false, 0.5f, 0, 0, 0},
    {4, 1, 2, false, true, true, false, 0.5f, 0.2f, 0, 0},
    {6, 2, 3, true, true, false, true, 0.5f, 0.3f, 0, 0},
    {2, 0, 3, true, false, false, false, 0.5f, 0.4f, 0, 0},
    {1, 0, 1, false, false, false, false, 0.5f, 0, 0, 0},
    {2, 0, 3, true, false, false, false, 0.5f, 0, 2, 0},
    {2, 0, 3, true, true, false, true, 0.5f, 0, 2, 0},
    {6, 2, 3, true, true, false, true, 0.5f, 0.3f, 3, 0},
    {4, 2, 2, true, false, false, false, 0.5f, 0, 0, 0.7f},  // scores up to about 3
    {4, 2, 3, true, false, false, true, 0.5f, 0.2f, 3, 1.5f},
};
enum { HEAD = 4 };

static void make_attention(setup *s) {
    static const int64_t small_q[] = {4, 1, 5}, small_more[] = {3, 2, 0}, big_q[] = {150, 1, 129}, big_more[] = {40, 7, 0};
    const attention_variant *v = &attention_variants[s->variant];
    for (int64_t i = 0; i < v->sequences; i++) {
        int64_t q = (s->big ? big_q : small_q)[i], more = v->cross ? (s->big ? big_more : small_more)[i] : 0;
        if (v->cross && !v->causal && i == 2) more = -3;  // fewer keys than queries
        s->q_offsets[i + 1] = s->q_offsets[i] + q;
        s->k_offsets[i + 1] = s->k_offsets[i] + q + more;
    }
    int64_t hs = s->big ? 20 : HEAD, kv = v->kv_heads ? v->kv_heads : v->heads;
    leaf(s, s->q_offsets[v->sequences], v->heads * hs, 0.8);
    leaf(s, s->k_offsets[v->sequences], kv * hs, 0.8);
    leaf(s, s->k_offsets[v->sequences], kv * hs, 0.8);
    if (v->bias) leaf(s, 8, v->heads, 1);
}

static peft_tensor *build_attention(setup *s, peft_tensor *const *in) {
    const attention_variant *v = &attention_variants[s->variant];
    peft_attention_desc d;
    memset(&d, 0, sizeof d);
    d.q = in[0], d.k = in[1], d.v = in[2];
    d.heads = v->heads, d.kv_heads = v->kv_heads, d.sequences = v->sequences;
    d.q_offsets = s->q_offsets, d.k_offsets = s->k_offsets;
    d.scale = v->scale, d.causal = v->causal, d.dropout = v->dropout, d.window = v->window, d.cap = v->cap;
    if (v->bias) d.bias = in[3], d.bidirectional = v->bidirectional, d.max_distance = 20;
    return peft_attention(s->tape, &d);
}

// Query, key and value are one tensor.
static void make_attention_self(setup *s) {
    s->q_offsets[1] = s->k_offsets[1] = s->big ? 140 : 4;
    s->q_offsets[2] = s->k_offsets[2] = s->big ? 200 : 7;
    leaf(s, s->q_offsets[2], 3 * HEAD, 0.8);
}

static peft_tensor *build_attention_self(setup *s, peft_tensor *const *in) {
    peft_attention_desc d;
    memset(&d, 0, sizeof d);
    d.q = d.k = d.v = in[0];
    d.heads = 3, d.sequences = 2, d.causal = s->variant == 1;
    d.q_offsets = s->q_offsets, d.k_offsets = s->k_offsets;
    return peft_attention(s->tape, &d);
}

// ---- cross-entropy. Variant: bit 0 some labels are -100, 1 denominator 7, 2-3 head (trainable, f16, bf16);
// from 12 on the logits are capped

static float cap_of(const setup *s) { return s->variant < 12 ? 0 : 1.5f; }

static void make_cross_entropy(setup *s) {
    int64_t rows = s->big ? 250 : 9, d = s->big ? 40 : 5, vocabulary = s->big ? 203 : 11;
    int type = (s->variant >> 2) % 3;
    s->scalar = true;
    leaf(s, rows, d, 1);
    if (type) half(s, vocabulary, d, 1, type == 1 ? PEFT_F16 : PEFT_BF16);
    else leaf(s, vocabulary, d, 1);
    for (int i = 0; i < IDS; i++) {
        s->ids[i] = (int32_t)peft__rng_below(&s->rng, vocabulary);
        if (s->variant & 1 && i % 3 != 1) s->ids[i] = -100;
    }
}

static peft_tensor *build_cross_entropy(setup *s, peft_tensor *const *in) {
    return peft__capped_cross_entropy(s->tape, in[0], s->fixeds ? s->fixed[0] : in[1], cap_of(s), s->ids, s->variant & 2 ? 7 : 0);
}

static double reference_cross_entropy(const setup *s) {
    const peft_tensor *x = s->leaf[0], *w = s->fixeds ? s->fixed[0] : s->leaf[1];
    double z[400], sum = 0, count = 0;
    float row[100];
    for (int64_t i = 0; i < x->rows; i++) {
        if (s->ids[i] == -100) continue;
        double top = -INFINITY, total = 0;
        for (int64_t v = 0; v < w->rows; v++) {
            peft__to_f32(w, v * w->cols, w->cols, row);
            z[v] = 0;
            for (int64_t k = 0; k < w->cols; k++) z[v] += (double)peft__f32(x)[i * x->cols + k] * (double)row[k];
            if (cap_of(s) > 0) z[v] = (double)cap_of(s) * tanh(z[v] / (double)cap_of(s));
            top = PEFT__MAX(top, z[v]);
        }
        for (int64_t v = 0; v < w->rows; v++) total += exp(z[v] - top);
        sum += top + log(total) - z[s->ids[i]];
        count++;
    }
    return sum / (s->variant & 2 ? 7 : count);
}

// ---- values: the formulas, in double and in the plainest way

static double value(const peft_tensor *t, int64_t row, int64_t col) {
    return (double)peft__f32(t)[row * t->cols + col];
}

static void plain_norm(const setup *s, double *y) {
    const peft_tensor *x = s->leaf[0], *w = s->leaf[1], *b = s->variant == 1 ? s->leaf[2] : NULL;
    for (int64_t r = 0; r < x->rows; r++) {
        double mean = 0, square = 0;
        for (int64_t c = 0; c < x->cols && s->variant; c++) mean += value(x, r, c) / (double)x->cols;
        for (int64_t c = 0; c < x->cols; c++) square += (value(x, r, c) - mean) * (value(x, r, c) - mean) / (double)x->cols;
        for (int64_t c = 0; c < x->cols; c++)
            y[r * x->cols + c] = (value(x, r, c) - mean) / sqrt(square + 1e-3) * value(w, 0, c) + (b ? value(b, 0, c) : 0);
    }
}

static double plain_function(int kind, double x) {
    static const double sqrt_2_over_pi = 0.79788456080286535588;
    switch (kind) {
    case PEFT_RELU: return x > 0 ? x : 0;
    case PEFT_GELU: return x * 0.5 * erfc(-x / sqrt(2));
    case PEFT_GELU_TANH: return 0.5 * x * (1 + tanh(sqrt_2_over_pi * (x + 0.044715 * x * x * x)));
    case PEFT_SILU: return x / (1 + exp(-x));
    case PEFT_TANH: return tanh(x);
    case PEFT_SIGMOID: return 1 / (1 + exp(-x));
    case PEFT_QUICK_GELU: return x / (1 + exp(-1.702 * x));
    case PEFT_MISH: return x * tanh(log(1 + exp(x)));
    case PEFT_RELU2: return x > 0 ? x * x : 0;
    case PEFT_RELU6: return x < 0 ? 0 : x > 6 ? 6 : x;
    default: return x > 10 ? 10 : plain_function(PEFT_GELU, x);
    }
}

static void plain_activation(const setup *s, double *y) {
    const peft_tensor *x = s->leaf[0];
    for (int64_t i = 0; i < peft__size(x); i++) y[i] = plain_function(s->variant, value(x, 0, i)) * (s->leaves > 1 ? value(s->leaf[1], 0, i) : 1);
}

static void plain_multiply(const setup *s, double *y) {
    const peft_tensor *x = s->leaf[0];
    for (int64_t r = 0; r < x->rows; r++)
        for (int64_t c = 0; c < x->cols; c++)
            y[r * x->cols + c] = value(x, r, c) * (s->variant == 0 || (r >= 2 && (s->variant == 2 || r < 5)) ? value(s->leaf[1], 0, c) : 1);
}

static void plain_columns(const setup *s, double *y) {
    const column_variant *v = &column_variants[s->variant];
    for (int64_t r = 0; r < s->leaf[0]->rows; r++)
        for (int64_t g = 0; g < GROUPS; g++)
            for (int64_t e = 0; e < v->size; e++) *y++ = value(s->leaf[0], r, v->first + g * v->stride + e);
}

static void plain_rotary(const setup *s, double *y) {  // a complex number times e^(i angle)
    const peft_tensor *x = s->leaf[0];
    int64_t size = x->cols / rotary_heads(s);
    for (int64_t r = 0; r < x->rows; r++)
        for (int64_t c = 0; c < x->cols; c++) {
            int64_t e = c % size, half = TURNED / 2, i = e % half;
            double angle = s->ids[r] * pow(100, (double)-i / 3);
            y[r * x->cols + c] = e >= TURNED ? value(x, r, c)
                                 : e < half  ? value(x, r, c) * cos(angle) - value(x, r, c + half) * sin(angle)
                                             : value(x, r, c) * cos(angle) + value(x, r, c - half) * sin(angle);
        }
}

static void plain_prepend(const setup *s, double *y) {
    const peft_tensor *prefix = s->leaf[0], *x = s->leaf[1];
    for (int i = 0; i < (s->variant ? 1 : 3); i++) {
        for (int64_t k = 0; k < peft__size(prefix); k++) *y++ = value(prefix, 0, k);
        for (int64_t k = s->k_offsets[i] * x->cols; k < s->k_offsets[i + 1] * x->cols; k++) *y++ = value(x, 0, k);
    }
}

static void plain_linear(const setup *s, double *y) {
    const peft_tensor *x = s->leaf[0], *w = s->leaf[1], *b = s->variant & 1 ? s->leaf[2] : NULL;
    for (int64_t r = 0; r < x->rows; r++)
        for (int64_t o = 0; o < w->rows; o++) {
            double sum = b ? value(b, 0, o) : 0;
            for (int64_t k = 0; k < x->cols; k++) sum += value(x, r, k) * value(w, o, k);
            y[r * w->rows + o] = sum;
        }
}

// The bucket of a distance as T5's authors define it.
static int plain_bucket(int64_t relative, int buckets, double max_distance, bool bidirectional) {
    int base = 0;
    if (bidirectional) {
        buckets /= 2;
        base = relative > 0 ? buckets : 0;
    }
    int64_t distance = bidirectional ? (relative < 0 ? -relative : relative) : relative < 0 ? -relative : 0;
    int exact = buckets / 2;
    if (distance < exact) return base + (int)distance;
    int large = exact + (int)(log((double)distance / exact) / log(max_distance / exact) * (buckets - exact));
    return base + (large < buckets ? large : buckets - 1);
}

static void plain_attention(const setup *s, double *y) {
    const attention_variant *v = &attention_variants[s->variant];
    const peft_tensor *q = s->leaf[0], *k = s->leaf[1], *val = s->leaf[2], *bias = v->bias ? s->leaf[3] : NULL;
    int64_t hs = q->cols / v->heads, group = v->kv_heads ? v->heads / v->kv_heads : 1;
    double p[300], scale = v->scale == 0 ? 1 : (double)v->scale;
    for (int64_t seq = 0; seq < v->sequences; seq++)
        for (int64_t h = 0; h < v->heads; h++)
            for (int64_t i = s->q_offsets[seq]; i < s->q_offsets[seq + 1]; i++) {
                int64_t k0 = s->k_offsets[seq], nk = s->k_offsets[seq + 1] - k0, nq = s->q_offsets[seq + 1] - s->q_offsets[seq];
                int64_t position = i - s->q_offsets[seq] + (v->causal ? nk - nq : 0);
                double total = 0;
                for (int64_t j = 0; j < nk; j++) {
                    double score = 0;
                    for (int64_t c = 0; c < hs; c++) score += scale * value(q, i, h * hs + c) * value(k, k0 + j, h / group * hs + c);
                    if (v->cap > 0) score = (double)v->cap * tanh(score / (double)v->cap);
                    if (bias) score += value(bias, plain_bucket(j - position, 8, 20, v->bidirectional), h);
                    bool hidden = v->causal && (j > position || (v->window && j <= position - v->window));
                    total += p[j] = hidden ? 0 : exp(score);
                }
                for (int64_t c = 0; c < hs; c++) {
                    double sum = 0;
                    for (int64_t j = 0; j < nk; j++) sum += p[j] / total * value(val, k0 + j, h / group * hs + c);
                    y[i * q->cols + h * hs + c] = sum;
                }
            }
}

static void check_values(peft_context *ctx, const op_case *op, int variant, bool big, void (*plain)(const setup *, double *)) {
    setup s;
    setup_open(&s, ctx, op, variant, AS_LEAVES, big);
    peft_tape_inference(s.tape, true);  // no dropout
    forward(&s);
    const peft_tensor *y = s.out[0];
    double *expected = (double *)malloc((size_t)peft__size(y) * sizeof(double)), worst = 0, size = 0;
    plain(&s, expected);
    for (int64_t i = 0; i < peft__size(y); i++) {
        worst = PEFT__MAX(worst, fabs(expected[i] - value(y, 0, i)));
        size = PEFT__MAX(size, fabs(expected[i]));
    }
    check(worst <= 2e-6 * size, op->name, variant, big ? "values, large" : "values", worst / size);
    check(!y->requires_grad, op->name, variant, "inference records nothing", 0);
    free(expected);
    setup_close(&s);
}

static const op_case ops[] = {
    {"embedding", 1, make_embedding, build_embedding, NULL},
    {"linear_with", 128, make_linear, build_linear, NULL},
    {"linear", 2, make_linear, build_linear_plain, NULL},
    {"linear, residual = x", 1, make_linear_self, build_linear_self, NULL},
    {"norm", 3, make_norm, build_norm, NULL},
    {"activation", PEFT_GELU10 + 1, make_activation, build_activation, NULL},
    {"gated", PEFT_GELU10 + 1, make_gated, build_gated, NULL},
    {"gated, up = gate", PEFT_GELU10 + 1, make_activation, build_gated_self, NULL},
    {"sum", 3, make_sum, build_sum, NULL},
    {"dropout", 3, make_dropout, build_dropout, NULL},
    {"multiply", 3, make_multiply, build_multiply, NULL},
    {"columns", (int)PEFT__COUNT(column_variants), make_columns, build_columns, NULL},
    {"rotary", 2, make_rotary, build_rotary, NULL},
    {"prepend", 2, make_prepend, build_prepend, NULL},
    {"attention", (int)PEFT__COUNT(attention_variants), make_attention, build_attention, NULL},
    {"attention, q = k = v", 2, make_attention_self, build_attention_self, NULL},
    {"cross_entropy", 24, make_cross_entropy, build_cross_entropy, reference_cross_entropy},
};

static void test_values(peft_context *ctx) {
    static const struct {
        const char *name;
        void (*plain)(const setup *, double *);
    } table[] = {{"linear", plain_linear}, {"norm", plain_norm}, {"activation", plain_activation}, {"gated", plain_activation}, {"multiply", plain_multiply},
                 {"columns", plain_columns}, {"rotary", plain_rotary}, {"prepend", plain_prepend}, {"attention", plain_attention}};
    for (int i = 0; i < (int)PEFT__COUNT(ops); i++)
        for (int k = 0; k < (int)PEFT__COUNT(table); k++)
            for (int v = 0; v < ops[i].variants && strcmp(ops[i].name, table[k].name) == 0; v++) {
                check_values(ctx, &ops[i], v, false, table[k].plain);
                check_values(ctx, &ops[i], v, true, table[k].plain);
            }
}

// ---- dropout: the share that is dropped, the scale of what is kept, and that the seed decides

static void test_dropout(peft_context *ctx) {
    enum { N = 100000 };
    peft_tape *t;
    peft_tensor *x;
    peft_tape_create(ctx, &t);
    peft_tensor_create(ctx, "x", 100, N / 100, &x);
    for (int i = 0; i < N; i++) peft__f32(x)[i] = 2;
    for (int k = 1; k < 10; k++) {
        float p = 0.1f * (float)k;
        int dropped = 0, wrong = 0, same = 0;
        peft_tape_reset(t, 11);
        const float *a = peft__f32(peft_dropout(t, x, p)), *b = peft__f32(peft_dropout(t, x, p));
        for (int i = 0; i < N; i++) {
            dropped += a[i] == 0;
            wrong += a[i] != 0 && fabs((double)a[i] - 2 / (1 - (double)p)) > 1e-5;
            same += (a[i] == 0) == (b[i] == 0);
        }
        double deviation = sqrt(N * (double)p * (1 - (double)p));
        check(fabs(dropped - N * (double)p) < 4 * deviation, "dropout", k, "share of zeros", (double)dropped / N);
        check(!wrong, "dropout", k, "what is kept is not scaled by 1 / (1 - p)", wrong);
        check(fabs(same - N * (1 - 2 * (double)p * (1 - (double)p))) < 800, "dropout", k, "two masks are not independent", same);
        float *first = copy_of(a, N);
        peft_tape_reset(t, 11);
        check(memcmp(first, peft_dropout(t, x, p)->data, N * sizeof(float)) == 0, "dropout", k, "the same seed gives another mask", 0);
        peft_tape_reset(t, 12);
        check(memcmp(first, peft_dropout(t, x, p)->data, N * sizeof(float)) != 0, "dropout", k, "another seed gives the same mask", 0);
        free(first);
    }
    peft_tensor_destroy(ctx, x);
    peft_tape_destroy(t);
}

// Attention in blocks and as the formula says: the same.
static void test_attention_plain(peft_context *ctx) {
    static const struct {
        int64_t nq, nk, heads, kv_heads, size, window;
        bool causal, bias;
        float cap;
    } table[] = {{3, 3, 2, 2, 4, 0, true, false, 0}, {130, 140, 2, 1, 8, 0, true, false, 0}, {150, 90, 2, 2, 16, 0, false, true, 0},
                 {140, 150, 3, 3, 5, 20, true, false, 0}, {1, 40, 4, 2, 8, 0, true, true, 0}, {2, 2, 2, 1, 4, 0, false, true, 0},
                 {140, 150, 4, 2, 6, 20, true, false, 0.8f}};
    for (int i = 0; i < (int)PEFT__COUNT(table); i++) {
        peft_tape *tape = NULL;
        peft_tensor *bias = NULL;
        peft_rng rng;
        peft_rng_seed(&rng, 5);
        peft_tape_create(ctx, &tape);
        int64_t q_offsets[] = {0, table[i].nq}, k_offsets[] = {0, table[i].nk}, inner = table[i].heads * table[i].size;
        peft_attention_desc d;
        memset(&d, 0, sizeof d);
        d.q = peft_input(tape, table[i].nq, inner, NULL);
        d.k = peft_input(tape, table[i].nk, table[i].kv_heads * table[i].size, NULL);
        d.v = peft_input(tape, table[i].nk, table[i].kv_heads * table[i].size, NULL);
        if (table[i].bias) peft_tensor_create(ctx, "bias", 8, table[i].heads, &bias);
        peft_tensor *inputs[] = {d.q, d.k, d.v, bias};
        for (int k = 0; k < 4; k++)
            for (int64_t e = 0; inputs[k] && e < peft__size(inputs[k]); e++) peft__f32(inputs[k])[e] = (float)peft_rng_normal(&rng);
        d.heads = table[i].heads, d.kv_heads = table[i].kv_heads, d.sequences = 1, d.scale = 0.5f;
        d.q_offsets = q_offsets, d.k_offsets = k_offsets, d.causal = table[i].causal, d.window = table[i].window;
        d.bias = bias, d.bidirectional = !d.causal, d.max_distance = 20, d.cap = table[i].cap;
        peft_tensor *y = peft_attention(tape, &d), *plain = peft_input(tape, table[i].nq, inner, NULL);
        float *lse = (float *)malloc((size_t)(table[i].nq * table[i].heads) * sizeof(float));
        double worst = 0;
        for (int64_t h = 0; h < d.heads && y; h++) {
            peft__attention_head head = peft__attention_head_of(&d, 0, h);
            peft__attention_plain(&d, &head, peft__f32(plain), lse);
        }
        for (int64_t e = 0; y && e < peft__size(y); e++) worst = fmax(worst, fabs((double)peft__f32(y)[e] - (double)peft__f32(plain)[e]));
        check(y && worst < 5e-6, "attention", i, "as the formula says", worst);
        free(lse);
        peft_tensor_destroy(ctx, bias);
        peft_tape_destroy(tape);
    }
}

// ---- errors: the result is NULL, the reason is on the context, and whatever follows is NULL too

static peft_tape *tape;
static peft_tensor *w34, *w44, *v3, *half34;

static void fails(peft_context *ctx, const char *what, peft_tensor *y, peft_status status, const char *text) {
    bool ok = !y && peft_tape_status(tape) == status && strstr(peft_error(ctx), text);
    check(ok, what, 0, peft_error(ctx), (double)peft_tape_status(tape));
    check(!peft_add(tape, w34, w34) && !peft_activation(tape, w34, PEFT_RELU) && peft_backward(tape, w34) == status, what, 0, "goes on after a failure", 0);
    peft_tape_reset(tape, 0);
}

static peft_tensor *attend(int64_t heads, int64_t kv_heads, int64_t q_first, int64_t q_end, int64_t k_end, peft_tensor *bias, int64_t max_distance, bool causal) {
    static int64_t q[2], k[2];
    q[0] = q_first, q[1] = q_end, k[0] = 0, k[1] = k_end;
    peft_attention_desc d;
    memset(&d, 0, sizeof d);
    d.q = w34, d.k = d.v = w44;
    d.heads = heads, d.kv_heads = kv_heads, d.sequences = 1;
    d.q_offsets = q, d.k_offsets = k;
    d.bias = bias, d.max_distance = max_distance, d.causal = causal;
    return peft_attention(tape, &d);
}

static void test_errors(peft_context *ctx) {
    static const int32_t ids[] = {0, 3, 2, -1}, labels[] = {0, 5, 1}, ignored[] = {-100, -100, -100};
    static const float numbers[16] = {0};
    peft_linear_desc d;
    peft_low_rank paths[PEFT_MAX_PATHS + 1];
    peft_tensor *bias, *narrow, *v4;
    peft_tape_create(ctx, &tape);
    peft_tensor_create(ctx, "v4", 1, 4, &v4);
    peft_tensor_create(ctx, "w34", 3, 4, &w34);
    peft_tensor_create(ctx, "w44", 4, 4, &w44);
    peft_tensor_create(ctx, "v3", 1, 3, &v3);
    peft_tensor_create(ctx, "half34", 3, 4, &half34);
    peft_tensor_create(ctx, "bias", 8, 2, &bias);
    peft_tensor_create(ctx, "narrow", 3, 2, &narrow);
    half34->type = PEFT_F16;
    fails(ctx, "id too large", peft_embedding(tape, w34, ids, 2), PEFT_ERROR_ARGUMENT, "token id 3");
    fails(ctx, "negative id", peft_embedding(tape, w44, ids, 4), PEFT_ERROR_ARGUMENT, "token id -1");
    fails(ctx, "linear, columns", peft_linear(tape, w34, v3, NULL), PEFT_ERROR_SHAPE, "linear v3 [1, 3]");
    fails(ctx, "linear, bias", peft_linear(tape, w34, w44, v3), PEFT_ERROR_SHAPE, "linear w44");
    memset(&d, 0, sizeof d);
    d.x = w34, d.weight = w44, d.residual = w44;
    fails(ctx, "linear, residual", peft_linear_with(tape, &d), PEFT_ERROR_SHAPE, "linear w44");
    memset(paths, 0, sizeof paths);
    paths[0].a = w34, paths[0].b = w34;
    d.residual = NULL, d.paths = paths, d.path_count = 1;
    fails(ctx, "linear, path", peft_linear_with(tape, &d), PEFT_ERROR_SHAPE, "linear w44");
    paths[0].b = w44, paths[0].a = w44;
    for (int i = 1; i <= PEFT_MAX_PATHS; i++) paths[i] = paths[0];
    d.path_count = PEFT_MAX_PATHS + 1;
    fails(ctx, "linear, too many paths", peft_linear_with(tape, &d), PEFT_ERROR_SHAPE, "linear w44");
    d.path_count = 1, paths[0].first_row = 2, paths[0].row_count = 2;
    fails(ctx, "linear, rows of a path", peft_linear_with(tape, &d), PEFT_ERROR_SHAPE, "linear w44");
    paths[0].first_row = INT64_MAX, paths[0].row_count = INT64_MAX;
    fails(ctx, "linear, rows of a path that overflow", peft_linear_with(tape, &d), PEFT_ERROR_SHAPE, "linear w44");
    fails(ctx, "norm, weight", peft_rms_norm(tape, w34, v3, 0), PEFT_ERROR_SHAPE, "norm v3");
    fails(ctx, "norm, format", peft_rms_norm(tape, w34, half34, 0), PEFT_ERROR_SHAPE, "norm half34");
    fails(ctx, "norm, bias", peft_layer_norm(tape, v3, v3, w34, 0), PEFT_ERROR_SHAPE, "norm v3");
    fails(ctx, "gated", peft_gated(tape, w34, w44, PEFT_SILU), PEFT_ERROR_SHAPE, "gated: [3, 4] and [4, 4]");
    fails(ctx, "add", peft_add(tape, w34, w44), PEFT_ERROR_SHAPE, "add: [3, 4] and [4, 4]");
    // what holds another type is refused, not read as f32
    static const char half[] = "half34: this operation reads f32, and the tensor holds f16";
    const peft_attention_desc of_halves = {.q = w34, .k = half34, .v = w34, .heads = 1, .sequences = 1, .q_offsets = (const int64_t[]){0, 3}, .k_offsets = (const int64_t[]){0, 3}};
    fails(ctx, "add, format", peft_add(tape, w34, half34), PEFT_ERROR_UNSUPPORTED, half);
    fails(ctx, "scale, format", peft_scale(tape, half34, 2), PEFT_ERROR_UNSUPPORTED, half);
    fails(ctx, "gated, format", peft_gated(tape, half34, w34, PEFT_SILU), PEFT_ERROR_UNSUPPORTED, half);
    fails(ctx, "activation, format", peft_activation(tape, half34, PEFT_GELU), PEFT_ERROR_UNSUPPORTED, half);
    fails(ctx, "rotary, format", peft_rotary(tape, half34, 1, 4, numbers, ids), PEFT_ERROR_UNSUPPORTED, half);
    fails(ctx, "attention, format", peft_attention(tape, &of_halves), PEFT_ERROR_UNSUPPORTED, half);
    fails(ctx, "linear, format of x", peft_linear(tape, half34, w44, NULL), PEFT_ERROR_UNSUPPORTED, half);
    fails(ctx, "linear, format of a bias", peft_linear(tape, w34, w44, half34), PEFT_ERROR_UNSUPPORTED, half);
    fails(ctx, "linear, paths that are missing", peft_linear_with(tape, &(peft_linear_desc){.x = w34, .weight = w44, .path_count = 1}), PEFT_ERROR_ARGUMENT, "linear: an operand is NULL");
    static const int64_t backwards[] = {0, 3, 2, 3}, shifted[] = {1, 3}, short_of[] = {0, 2};
    fails(ctx, "multiply, columns", peft_multiply(tape, w34, v3, 0, 0), PEFT_ERROR_SHAPE, "multiply: 4 columns");
    fails(ctx, "multiply, rows", peft_multiply(tape, w44, v4, 2, 3), PEFT_ERROR_SHAPE, "multiply: 3 rows from 2 on, of 4");
    fails(ctx, "multiply, negative rows", peft_multiply(tape, w44, v4, -1, 2), PEFT_ERROR_SHAPE, "multiply: 2 rows from -1 on");
    fails(ctx, "columns, beyond the end", peft_columns(tape, w34, 1, 2, 2, 2), PEFT_ERROR_SHAPE, "columns: 2 groups of 2");
    fails(ctx, "columns that overflow", peft_columns(tape, w34, 0, INT64_MAX, 1, INT64_MAX), PEFT_ERROR_SHAPE, "columns: 9223372036854775807 groups");
    fails(ctx, "columns, first", peft_columns(tape, w34, INT64_MAX, 1, 1, 1), PEFT_ERROR_SHAPE, "columns: 1 groups");
    fails(ctx, "rotary, odd", peft_rotary(tape, w34, 1, 3, numbers, ids), PEFT_ERROR_SHAPE, "rotary: 3 dimensions of 1 heads in 4");
    fails(ctx, "prepend, columns", peft_prepend(tape, narrow, w34, short_of, 1), PEFT_ERROR_SHAPE, "prepend: 2 columns");
    fails(ctx, "prepend, last offset", peft_prepend(tape, w44, w34, short_of, 1), PEFT_ERROR_SHAPE, "prepend: 4 columns before 1 sequences of [3, 4]");
    fails(ctx, "prepend, first offset", peft_prepend(tape, w44, w34, shifted, 1), PEFT_ERROR_SHAPE, "prepend: 4 columns");
    fails(ctx, "prepend, offsets that fall", peft_prepend(tape, w44, w34, backwards, 3), PEFT_ERROR_SHAPE, "prepend: 4 columns");
    fails(ctx, "dropout of everything", peft_dropout(tape, w34, 1), PEFT_ERROR_ARGUMENT, "dropout");
    fails(ctx, "dropout of NaN", peft_dropout(tape, w34, NAN), PEFT_ERROR_ARGUMENT, "dropout");
    fails(ctx, "input of no rows", peft_input(tape, -1, 4, numbers), PEFT_ERROR_SHAPE, "-1");
    fails(ctx, "input that overflows", peft_input(tape, INT64_MAX / 2, 4, NULL), PEFT_ERROR_SHAPE, "4611686018427387903");
    bool wide = sizeof(size_t) > 4;  // with 32 bits the size itself overflows
    fails(ctx, "input beyond memory", peft_input(tape, (int64_t)1 << 30, 1 << 20, NULL), wide ? PEFT_ERROR_MEMORY : PEFT_ERROR_SHAPE,
          wide ? "out of memory" : "1073741824 x 1048576");
    fails(ctx, "attention, heads", attend(3, 0, 0, 3, 4, NULL, 0, false), PEFT_ERROR_SHAPE, "3 heads");
    fails(ctx, "attention, no heads", attend(0, 0, 0, 3, 4, NULL, 0, false), PEFT_ERROR_SHAPE, "0 heads");
    fails(ctx, "attention, key heads", attend(2, 1, 0, 3, 4, NULL, 0, false), PEFT_ERROR_SHAPE, "1 key heads");
    fails(ctx, "attention, negative key heads", attend(2, -2, 0, 3, 4, NULL, 0, false), PEFT_ERROR_SHAPE, "-2 key heads");
    fails(ctx, "attention, last offset", attend(2, 0, 0, 2, 4, NULL, 0, false), PEFT_ERROR_SHAPE, "2 heads");
    fails(ctx, "attention, first offset", attend(2, 0, 1, 3, 4, NULL, 0, false), PEFT_ERROR_SHAPE, "2 heads");
    fails(ctx, "attention, key offset", attend(2, 0, 0, 3, 3, NULL, 0, false), PEFT_ERROR_SHAPE, "2 heads");
    fails(ctx, "attention, bias of other heads", attend(4, 0, 0, 3, 4, bias, 20, false), PEFT_ERROR_SHAPE, "4 heads");
    fails(ctx, "attention, bias without a distance", attend(2, 0, 0, 3, 4, bias, 0, false), PEFT_ERROR_ARGUMENT, "8 buckets");
    fails(ctx, "attention, distance of the exact buckets", attend(2, 0, 0, 3, 4, bias, 4, true), PEFT_ERROR_ARGUMENT, "8 buckets");
    fails(ctx, "attention, one bucket", attend(2, 0, 0, 3, 4, (bias->rows = 1, bias), 20, true), PEFT_ERROR_ARGUMENT, "1 buckets");
    bias->rows = 8;
    fails(ctx, "cross-entropy, columns", peft_cross_entropy(tape, w34, narrow, labels, 0), PEFT_ERROR_SHAPE, "cross-entropy: 4 columns for a head of 2");
    fails(ctx, "cross-entropy, label", peft_cross_entropy(tape, w34, w44, labels, 0), PEFT_ERROR_ARGUMENT, "label 5");
    fails(ctx, "cross-entropy, no label", peft_cross_entropy(tape, w34, w44, ignored, 0), PEFT_ERROR_ARGUMENT, "every label is -100");
    check(peft_backward(tape, NULL) == PEFT_ERROR_ARGUMENT && peft_backward(tape, w34) == PEFT_ERROR_ARGUMENT, "backward", 0, "of what is no loss", 0);
    peft_tape_reset(tape, 0);
    static const char *const operations[] = {"linear", "norm", "gated", "add", "multiply", "columns", "prepend", "rotary",
                                             "scale", "mse", "embedding", "cross entropy"};
    for (size_t i = 0; i < sizeof(operations) / sizeof(operations[0]); i++) {
        peft_tensor *y = i == 0    ? peft_linear(tape, w34, NULL, NULL)
                         : i == 1  ? peft_rms_norm(tape, NULL, v3, 0)
                         : i == 2  ? peft_gated(tape, NULL, w34, PEFT_RELU)
                         : i == 3  ? peft_add(tape, w34, NULL)
                         : i == 4  ? peft_multiply(tape, NULL, v3, 0, 0)
                         : i == 5  ? peft_columns(tape, NULL, 0, 1, 1, 1)
                         : i == 6  ? peft_prepend(tape, w34, NULL, short_of, 1)
                         : i == 7  ? peft_rotary(tape, NULL, 1, 2, numbers, ids)
                         : i == 8  ? peft_scale(tape, NULL, 1)
                         : i == 9  ? peft_mse(tape, NULL, numbers)
                         : i == 10 ? peft_embedding(tape, NULL, ids, 1)
                                   : peft_cross_entropy(tape, NULL, w44, labels, 0);
        char text[64];
        snprintf(text, sizeof text, "%s: an operand is NULL", operations[i]);
        fails(ctx, operations[i], y, PEFT_ERROR_ARGUMENT, text);
    }
    peft_tensor *bad = w34;
    check(peft_tensor_create(ctx, "bad", 0, 1, &bad) == PEFT_ERROR_SHAPE && !bad, "tensor", 0, "of no rows", 0);
    check(peft_tensor_create(ctx, "bad", INT64_MAX, 2, &bad) == PEFT_ERROR_SHAPE && !bad, "tensor", 0, "that overflows", 0);
    check(peft_tensor_create(ctx, "bad", INT64_MAX / 2, 1, &bad) == PEFT_ERROR_MEMORY && !bad, "tensor", 0, "beyond memory", 0);
    peft_tensor_destroy(ctx, w34), peft_tensor_destroy(ctx, w44), peft_tensor_destroy(ctx, v3), peft_tensor_destroy(ctx, half34);
    peft_tensor_destroy(ctx, bias), peft_tensor_destroy(ctx, narrow), peft_tensor_destroy(ctx, v4), peft_tensor_destroy(ctx, NULL);
    peft_tape_destroy(tape), peft_tape_destroy(NULL);
}

static bool skipped(const op_case *op, int variant) {  // no fourth storage format
    return op->make == make_linear && (variant >> 3 & 3) == 3;
}

int main(int argc, char **argv) {
    int every = argc > 1 && atoi(argv[1]) > 1 ? atoi(argv[1]) : 1;  // with an argument N: only every N-th case, for emulators
    setvbuf(stdout, NULL, _IOLBF, 0);  // what failed is seen even if a later test crashes
    static const peft_simd all_simd[] = {PEFT_SIMD_PORTABLE, PEFT_SIMD_NEON, PEFT_SIMD_WASM, PEFT_SIMD_AVX2, PEFT_SIMD_AVX512};
    static const int counts[] = {1, 2, 3, 8};
    peft_context *portable = make_context(PEFT_SIMD_PORTABLE, 1);
    test_errors(portable);
    for (int k = 0; k < (int)PEFT__COUNT(all_simd); k++) {
        peft_context *ctx[4];
        int threads = 0;
        for (; threads < 4 && (ctx[threads] = make_context(all_simd[k], counts[threads])) != NULL; threads++) continue;
        if (!threads) continue;  // not on this machine
        if (threads == 1) printf("(built without threads)\n");
        size_t empty[4];
        for (int t = 0; t < threads; t++) empty[t] = peft_memory_in_use(ctx[t]);
        test_attention_plain(ctx[0]);
        test_values(ctx[0]);
        test_dropout(ctx[0]);
        for (int i = 0; i < (int)PEFT__COUNT(ops); i++)
            for (int v = 0; v < ops[i].variants; v++) {
                if (skipped(&ops[i], v) || (v + i) % every) continue;
                for (int mode = 0; mode < MODES; mode++) {
                    if (k == 0) check_gradients(ctx[0], &ops[i], v, mode, false);  // the others are compared with these
                    else compare_simd(portable, ctx[0], &ops[i], v, mode, false);
                }
                check_accumulation(ctx[0], &ops[i], v);
                check_frozen(ctx[0], &ops[i], v);
                if (ops[i].variants > 100 && v % 7) continue;  // large sizes of some of them
                if (k == 0) check_gradients(ctx[0], &ops[i], v, v % MODES, true);
                else compare_simd(portable, ctx[0], &ops[i], v, v % MODES, true);
                compare_threads(ctx, threads, &ops[i], v, (v + 1) % MODES);
                check_no_allocation(ctx[0], &ops[i], v, v % MODES);
            }
        for (int t = 0; t < threads; t++) {
            check(peft_memory_in_use(ctx[t]) == empty[t] + ctx[t]->gemm_scratch_size, "context", t, "bytes left", (double)peft_memory_in_use(ctx[t]));
            peft_context_destroy(ctx[t]);
        }
    }
    peft_context_destroy(portable);
    printf("%d passed, %d failed\n", passed, failed);
    return failed != 0;
}
