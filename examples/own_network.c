// LoRA on somebody's own network, made of tape operations alone: a perceptron learns where a point lies; its weights are frozen; then
// 38 numbers, two low-rank paths, teach it the same task for a rotated world.
//   cc -O2 -I. -o build/own_network examples/own_network.c -lm
#define PEFT_IMPLEMENTATION
#include "peft.h"

#include <math.h>
#include <stdio.h>

enum { INPUT = 2, HIDDEN = 16, CLASSES = 4, POINTS = 256, RANK = 1 };

typedef struct network {
    peft_tensor *w1, *b1, *w2;            // the network
    peft_tensor *a1, *l1, *a2, *l2;       // the adapter: w1 + l1 a1, w2 + l2 a2
} network;

// Points in a square; the class is the quadrant after a turn by `angle`.
static void make_points(peft_rng *rng, double angle, float *xy, int32_t *labels) {
    for (int i = 0; i < POINTS; i++) {
        double x = 2 * peft_rng_uniform(rng) - 1, y = 2 * peft_rng_uniform(rng) - 1;
        double u = cos(angle) * x - sin(angle) * y, v = sin(angle) * x + cos(angle) * y;
        xy[2 * i] = (float)x, xy[2 * i + 1] = (float)y;
        labels[i] = (u > 0) + 2 * (v > 0);
    }
}

static peft_tensor *hidden(peft_tape *t, const network *n, const float *xy, bool adapted) {
    peft_low_rank path = {.a = n->a1, .b = n->l1, .scale = 4};
    peft_linear_desc first = {.x = peft_input(t, POINTS, INPUT, xy), .weight = n->w1, .bias = n->b1, .paths = &path, .path_count = adapted};
    return peft_activation(t, peft_linear_with(t, &first), PEFT_TANH);
}

static peft_tensor *output(peft_tape *t, const network *n, peft_tensor *h, bool adapted) {
    peft_low_rank path = {.a = n->a2, .b = n->l2, .scale = 4};
    peft_linear_desc second = {.x = h, .weight = n->w2, .paths = &path, .path_count = adapted};
    return peft_linear_with(t, &second);
}

// The loss wants its projection apart, so that the logits of a large vocabulary never exist at once; here an identity serves.
static double loss_step(peft_context *ctx, peft_tape *t, const network *n, peft_tensor *identity, peft_optimizer *o, peft_rng *rng, double angle, bool adapted) {
    float xy[2 * POINTS];
    int32_t labels[POINTS];
    make_points(rng, angle, xy, labels);
    peft_tape_reset(t, 0);
    peft_tensor *loss = peft_cross_entropy(t, output(t, n, hidden(t, n, xy, adapted), adapted), identity, labels, 0);
    double value = loss ? ((float *)loss->data)[0] : NAN;
    if (peft_backward(t, loss)) fprintf(stderr, "%s\n", peft_error(ctx));
    peft_optimizer_step(o, 0.02f);
    return value;
}

static double accuracy(peft_tape *t, const network *n, double angle, bool adapted) {
    float xy[2 * POINTS];
    int32_t labels[POINTS];
    peft_rng rng;
    peft_rng_seed(&rng, 99);
    make_points(&rng, angle, xy, labels);
    peft_tape_reset(t, 0);
    peft_tape_inference(t, true);
    const peft_tensor *y = output(t, n, hidden(t, n, xy, adapted), adapted);
    int right = 0;
    for (int i = 0; y && i < POINTS; i++) {
        const float *row = (const float *)y->data + CLASSES * i;
        int best = 0;
        for (int c = 1; c < CLASSES; c++)
            if (row[c] > row[best]) best = c;
        right += best == labels[i];
    }
    peft_tape_inference(t, false);
    return (double)right / POINTS;
}

static peft_tensor *make(peft_context *ctx, peft_rng *rng, int64_t rows, int64_t cols, double deviation) {
    peft_tensor *t = NULL;
    if (peft_tensor_create(ctx, NULL, rows, cols, &t)) return NULL;
    for (int64_t i = 0; i < rows * cols; i++) ((float *)t->data)[i] = (float)(deviation * peft_rng_normal(rng));
    return t;
}

int main(void) {
    peft_context *ctx;
    peft_tape *t;
    peft_rng rng;
    if (peft_context_create(NULL, &ctx) || peft_tape_create(ctx, &t)) return 1;
    peft_rng_seed(&rng, 1);
    network n = {make(ctx, &rng, HIDDEN, INPUT, 1), make(ctx, &rng, 1, HIDDEN, 0), make(ctx, &rng, CLASSES, HIDDEN, 0.3),
                 make(ctx, &rng, RANK, INPUT, 0.7), make(ctx, &rng, HIDDEN, RANK, 0), make(ctx, &rng, RANK, HIDDEN, 0.3), make(ctx, &rng, CLASSES, RANK, 0)};
    peft_tensor *identity = make(ctx, &rng, CLASSES, CLASSES, 0);
    for (int c = 0; c < CLASSES; c++) ((float *)identity->data)[c * CLASSES + c] = 1;

    peft_tensor *base[] = {n.w1, n.b1, n.w2}, *lora[] = {n.a1, n.l1, n.a2, n.l2};
    peft_optimizer *o;
    if (peft_optimizer_create(&(peft_optimizer_desc){.context = ctx, .tensors = base, .count = 3}, &o)) return 1;
    double loss = 0;
    for (int i = 0; i < 300; i++) loss = loss_step(ctx, t, &n, identity, o, &rng, 0, false);
    peft_optimizer_destroy(o);
    for (int i = 0; i < 3; i++) peft_freeze(ctx, base[i]);
    printf("the network:                 loss %.3f, accuracy %.2f\n", loss, accuracy(t, &n, 0, false));
    printf("in a world turned by 0.6:    accuracy %.2f\n", accuracy(t, &n, 0.6, false));

    if (peft_optimizer_create(&(peft_optimizer_desc){.context = ctx, .tensors = lora, .count = 4}, &o)) return 1;
    for (int i = 0; i < 300; i++) loss = loss_step(ctx, t, &n, identity, o, &rng, 0.6, true);
    peft_optimizer_destroy(o);
    double after = accuracy(t, &n, 0.6, true);
    printf("with a LoRA of rank %d:       loss %.3f, accuracy %.2f\n", RANK, loss, after);
    printf("and without it, as before:   accuracy %.2f\n", accuracy(t, &n, 0, false));

    peft_tensor *all[] = {n.w1, n.b1, n.w2, n.a1, n.l1, n.a2, n.l2, identity};
    for (int i = 0; i < 8; i++) peft_tensor_destroy(ctx, all[i]);
    peft_tape_destroy(t);
    peft_context_destroy(ctx);
    return after > 0.9 ? 0 : 1;
}
