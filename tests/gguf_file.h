// GGUF files made by hand: what test_gguf.c and test_gguf_models.c share. SCRATCH: the name of a file of theirs.
#ifndef TESTS_GGUF_FILE_H
#define TESTS_GGUF_FILE_H
#include "check.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int passed, failed, skipped;
static peft_context *ctx;

static inline void check(const char *name, bool ok) {
    if (test_count(&passed, &failed, ok, name)) printf("%-60s FAIL %s\n", name, peft_error(ctx));
}

// Where the tests write. A file of the last run is replaced.
static inline const char *scratch(void) {
    static const char *path;
    if (!path) {
        FILE *f = fopen("build/" SCRATCH, "wb");
        path = f ? "build/" SCRATCH : SCRATCH;
        if (f) fclose(f);
    }
    return path;
}

static inline float random_float(peft_rng *r) {
    return (float)peft_rng_normal(r);
}

static inline int random_below(peft_rng *r, int n) {
    return (int)(peft_rng_uniform(r) * n);
}

static inline peft_tensor *random_tensor(const char *name, int64_t rows, int64_t cols, uint64_t seed) {
    peft_tensor *t = NULL;
    peft_rng r;
    peft_rng_seed(&r, seed);
    if (peft_tensor_create(ctx, name, rows, cols, &t)) exit(1);
    for (int64_t i = 0; i < rows * cols; i++) ((float *)t->data)[i] = random_float(&r);
    t->rank = rows == 1 ? 1 : 2;
    return t;
}

// Whether a file, whose numbers are little-endian on every machine, holds the tensor's floats there.
static inline bool floats_in_file(const void *file, const peft_tensor *t) {
    const unsigned char *b = (const unsigned char *)file;
    for (int64_t i = 0; i < t->rows * t->cols; i++, b += 4) {
        uint32_t bits = (uint32_t)b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
        if (memcmp(&bits, (const float *)t->data + i, 4) != 0) return false;
    }
    return true;
}

// ---- files made by hand

typedef struct bytes {
    unsigned char data[65536];
    size_t size;
} bytes;

static inline void put(bytes *b, uint64_t v, int n) {
    for (int i = 0; i < n; i++) b->data[b->size++] = (unsigned char)(v >> 8 * i);
}

static inline void put_text(bytes *b, const char *text) {
    put(b, strlen(text), 8);
    memcpy(b->data + b->size, text, strlen(text));
    b->size += strlen(text);
}

static inline void put_header(bytes *b, int version, uint64_t tensors, uint64_t keys) {
    b->size = 0;
    memcpy(b->data, "GGUF", b->size = 4);
    put(b, (uint64_t)version, 4), put(b, tensors, 8), put(b, keys, 8);
}

static inline void put_key(bytes *b, const char *key, int type) {
    put_text(b, key);
    put(b, (uint64_t)type, 4);
}

static inline void put_array(bytes *b, const char *key, int type, uint64_t count) {
    put_key(b, key, PEFT_GGUF_ARRAY);
    put(b, (uint64_t)type, 4), put(b, count, 8);
}

static inline void put_info(bytes *b, const char *name, int rank, const uint64_t *dims, int type, uint64_t offset) {
    put_text(b, name);
    put(b, (uint64_t)rank, 4);
    for (int i = 0; i < rank; i++) put(b, dims[i], 8);
    put(b, (uint64_t)type, 4), put(b, offset, 8);
}

static inline void pad(bytes *b, size_t alignment) {
    while (b->size % alignment) put(b, 0, 1);
}

static inline peft_gguf *open_bytes(const bytes *b) {
    static int count;
    char path[32];
    peft_gguf *g = NULL;
    snprintf(path, sizeof path, "mem%d.gguf", count++);
    peft_mount(ctx, path, b->data, b->size);
    peft_gguf_open(ctx, path, &g);
    return g;
}

// Opening these bytes gives this error, with this in its text, and leaks nothing.
static inline void fails(const char *name, const bytes *b, peft_status expected, const char *message) {
    peft_gguf *g = (peft_gguf *)ctx;
    peft_mount(ctx, name, b->data, b->size);
    size_t before = peft_memory_in_use(ctx);
    peft_status status = peft_gguf_open(ctx, name, &g);
    bool ok = status == expected && !g && strstr(peft_error(ctx), message) && strstr(peft_error(ctx), name) &&
              peft_memory_in_use(ctx) == before;
    if (!ok) printf("  status %d, expected %d with \"%s\"\n", (int)status, (int)expected, message);
    check(name, ok);
}

// A sound file that has something of everything.
static inline void sound_file(bytes *b, int version) {
    static const uint64_t matrix[] = {64, 3}, vector[] = {5}, block[] = {2, 3, 2, 2};
    put_header(b, version, 3, 15);
    put_key(b, "general.architecture", PEFT_GGUF_STRING), put_text(b, "llama");
    put_key(b, "u8", PEFT_GGUF_U8), put(b, 200, 1);
    put_key(b, "i8", PEFT_GGUF_I8), put(b, 0x80, 1);
    put_key(b, "u16", PEFT_GGUF_U16), put(b, 65535, 2);
    put_key(b, "i16", PEFT_GGUF_I16), put(b, 0xFFFE, 2);
    put_key(b, "u32", PEFT_GGUF_U32), put(b, 0xFFFFFFFF, 4);
    put_key(b, "i32", PEFT_GGUF_I32), put(b, 0xFFFFFFFF, 4);
    put_key(b, "f32", PEFT_GGUF_F32), put(b, 0x3FC00000, 4);
    put_key(b, "true", PEFT_GGUF_BOOL), put(b, 1, 1);
    put_key(b, "u64", PEFT_GGUF_U64), put(b, 1ull << 40, 8);
    put_key(b, "i64", PEFT_GGUF_I64), put(b, (uint64_t)-5, 8);
    put_key(b, "f64", PEFT_GGUF_F64), put(b, 0x400C000000000000ull, 8);
    put_array(b, "words", PEFT_GGUF_STRING, 3), put_text(b, "one"), put_text(b, ""), put_text(b, "drei");
    put_array(b, "shorts", PEFT_GGUF_I16, 2), put(b, 7, 2), put(b, 0xFFF9, 2);
    put_array(b, "flags", PEFT_GGUF_BOOL, 2), put(b, 0, 1), put(b, 1, 1);
    put_info(b, "matrix", 2, matrix, PEFT_GGML_Q8_0, 0);
    put_info(b, "vector", 1, vector, PEFT_GGML_F32, 224);
    put_info(b, "block", 4, block, PEFT_GGML_F16, 256);
    pad(b, 32);
    for (int i = 0; i < 224 + 32 + 48; i++) put(b, (uint64_t)(i % 60), 1);
}

// ---- damage

static inline void one_key(bytes *b, const char *key, int type, uint64_t value, int n) {
    put_header(b, 3, 0, 1);
    put_key(b, key, type);
    put(b, value, n);
    pad(b, 32);
}

static inline void one_tensor(bytes *b, int rank, const uint64_t *dims, int type, uint64_t offset, size_t room) {
    put_header(b, 3, 1, 0);
    put_info(b, "w", rank, dims, type, offset);
    pad(b, 32);
    for (size_t i = 0; i < room; i++) put(b, 0, 1);
}
#endif
