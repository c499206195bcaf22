// Makes a T5's first weights: random ones, but heads have something to look at from the start, the position biases
// that all layers of a stack share. AdamW moves a bias by no more than the learning rate per step: from biases drawn
// at random, heads that look at a neighbor, by which a model copies, take thousands of steps; from these, 300.
//   build/set_positions MODEL OUTPUT_FOLDER    of MODEL only config.json and the tokenizer are read
// Encoder: head 0 sees the token before, head 1 the one behind, head 2 the nearest ones before, the rest sees all
// alike. Decoder: head 0 sees the token before, head 2 the nearest ones.
#define PEFT_IMPLEMENTATION
#include "peft.h"

#include <stdio.h>

enum { BUCKETS = 32, MOST_HEADS = 64 };

static float bias(bool encoder, int64_t bucket, int64_t head) {  // encoder: 0 to 15 before, 16 to 31 behind
    if (head == 0) return bucket == 1 ? 5.0f : 0.0f;
    if (head == 1) return encoder && bucket == 17 ? 5.0f : 0.0f;
    if (head == 2) return encoder ? bucket < 16 ? -0.3f * (float)bucket : -4.0f : -0.2f * (float)bucket;
    return 0;
}

int main(int argc, char **argv) {
    static float values[2][BUCKETS * MOST_HEADS];
    peft_context *ctx;
    peft_model *m = NULL;
    if (argc != 3) {
        fprintf(stderr, "usage: set_positions MODEL OUTPUT_FOLDER\n");
        return 2;
    }
    if (peft_context_create(NULL, &ctx)) return 1;
    peft_status status = peft_model_load(&(peft_model_desc){.context = ctx, .path = argv[1], .config_only = true, .seed = 1}, &m);
    for (int k = 0; k < 2 && !status; k++) {
        char name[128];
        snprintf(name, sizeof(name), "%s.block.0.layer.0.SelfAttention.relative_attention_bias.weight", k ? "decoder" : "encoder");
        peft_tensor *t = peft_model_find(m, name);  // [buckets, heads]
        if (!t || t->type != PEFT_F32 || t->rows != BUCKETS || t->cols > MOST_HEADS) {
            fprintf(stderr, "set_positions: %s: no %s of 32 buckets in f32\n", argv[1], name);
            status = PEFT_ERROR_SHAPE;
            break;
        }
        for (int64_t i = 0; i < t->rows * t->cols; i++) values[k][i] = bias(k == 0, i / t->cols, i % t->cols);
        t->data = values[k];
    }
    if (!status && (status = peft_model_save(m, argv[2], PEFT_F32)) != PEFT_OK)
        fprintf(stderr, "set_positions: %s\n", peft_error(ctx));
    else if (!m) fprintf(stderr, "set_positions: %s\n", peft_error(ctx));
    peft_model_destroy(m);
    peft_context_destroy(ctx);
    return status != PEFT_OK;
}
