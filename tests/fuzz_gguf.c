// Any bytes as a GGUF file: metadata, tensors, config, archive, vocabulary. Opening may fail, nothing else may happen.
//   clang -O1 -g -fsanitize=fuzzer,address,undefined -I. tests/fuzz_gguf.c -lm -o fuzz_gguf
//   cc -DPEFT_FUZZ_MAIN -I. tests/fuzz_gguf.c -lm -o fuzz_gguf && ./fuzz_gguf FILE ...
#define PEFT_NO_METRICS  // what this program needs of the header
#define PEFT_IMPLEMENTATION
#include "peft.h"

#ifdef __cplusplus
extern "C"
#endif
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

// Every byte of it, so that a sanitizer sees one that is not there.
static unsigned touch(const void *data, size_t size) {
    unsigned sum = 0;
    for (size_t i = 0; i < size; i++) sum += ((const unsigned char *)data)[i];
    return sum;
}

static unsigned read_metadata(const peft_gguf *g) {
    unsigned sum = 0;
    for (int64_t i = 0; i < peft_gguf_key_count(g); i++) {
        const char *key = peft_gguf_key(g, i), *text = peft_gguf_string(g, key, "");
        sum += touch(text, strlen(text)) + (peft_gguf_number(g, key, 0) > 0) + (unsigned)peft_gguf_bool(g, key, false);
        for (int64_t k = peft_gguf_array_count(g, key) - 1; k >= 0; k--) {
            size_t n;
            const char *item = peft_gguf_array_string(g, key, k, &n);
            sum += touch(item, n) + (peft_gguf_array_number(g, key, k, 0) > 0);
        }
    }
    return sum;
}

static unsigned read_tensors(peft_context *ctx, const peft_gguf *g) {
    unsigned sum = 0;
    for (int64_t i = 0; i < peft_gguf_count(g); i++) {
        const peft_gguf_tensor *t = peft_gguf_at(g, i);
        sum += touch(t->data, (size_t)t->size);
        float *row = (float *)peft__calloc(ctx, t->dims[0], sizeof(float));
        if (row && !peft_gguf_to_f32(g, i, t->dims[1] - 1, 1, row)) sum += touch(row, (size_t)t->dims[0] * sizeof(float));
        peft_free(ctx, row);
    }
    return sum;
}

static void read_model(peft_context *ctx) {
    peft__string config;
    peft__arena arena;
    peft__json *root;
    peft_archive *a;
    peft__string_init(&config, ctx);
    peft__arena_init(&arena, ctx);
    if (!peft__archive_open_gguf(ctx, "x.gguf", &a, &config)) {
        if (peft__json_parse(ctx, &arena, config.data, config.size, "config", &root)) abort();
        for (int64_t i = 0; i < peft_archive_count(a); i++) {
            const peft_tensor *t = peft_archive_at(a, i);
            bool four_bits = t->quant && t->quant->map;
            touch(t->data, four_bits ? (size_t)(peft__size(t) + 1) / 2 : (size_t)peft__size(t) * peft__dtype_size(t->type));
        }
        peft_archive_close(a);
    }
    peft__arena_free(&arena);
    peft__string_free(&config);
}

static void read_vocabulary(peft_context *ctx, const uint8_t *data, size_t size) {
    static const char text[] = "The <extra_id_0> caf\xC3\xA9 \xFF\xE2\x96\x81  x</s> 12345 I'll aaaaaaaaaaaaaaaaaaaaaaaaaaaa\n\n";
    peft_tokenizer *t;
    peft_ids ids = {NULL, 0, 0};
    char *back = NULL;
    if (peft_tokenizer_load(ctx, "x.gguf", &t)) return;
    if (!peft_encode(t, text, sizeof text - 1, &ids)) peft_encode_special(t, (const char *)data, PEFT__MIN(size, (size_t)4096), &ids);
    for (int64_t i = 0; i < ids.count; i++)
        if (!peft_token_text(t, ids.data[i])) abort();
    peft_decode(t, ids.data, ids.count, size & 1, &back, NULL);
    peft_free(ctx, back);
    peft_ids_free(ctx, &ids);
    peft_tokenizer_destroy(t);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static volatile unsigned sink;
    peft_context *ctx;
    peft_gguf *g;
    if (peft_context_create(NULL, &ctx)) return 0;
    peft_mount(ctx, "x.gguf", data, size);
    size_t before = peft_memory_in_use(ctx);
    if (!peft_gguf_open(ctx, "x.gguf", &g)) {
        sink = sink + read_metadata(g) + read_tensors(ctx, g);
        peft_gguf_close(g);
        read_model(ctx);
        read_vocabulary(ctx, data, size);
    }
    if (peft_memory_in_use(ctx) != before) abort();
    peft_context_destroy(ctx);
    return 0;
}

#include "fuzz_main.h"
