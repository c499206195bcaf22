// Any bytes as a safetensors file: opening may fail, nothing else may happen; what opens can be read, written and read again.
//   clang -O1 -g -fsanitize=fuzzer,address,undefined -DPEFT_NO_SIMD -I. tests/fuzz_safetensors.c -lm -o fuzz_safetensors
//   cc -DPEFT_FUZZ_MAIN -DPEFT_NO_SIMD -I. tests/fuzz_safetensors.c -lm -o fuzz_safetensors && ./fuzz_safetensors FILE ...
#define PEFT_NO_METRICS  // what this program needs of the header
#define PEFT_IMPLEMENTATION
#include "peft.h"

#ifdef __cplusplus
extern "C"
#endif
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

// Every value of a tensor lies inside the file or the archive's memory.
static double sum_of(const peft_tensor *t) {
    double sum = 0;
    for (int64_t i = 0; t->data && i < peft__size(t); i++) {
        float v;
        peft__to_f32(t, i, 1, &v);
        sum += (double)v;
    }
    return sum;
}

static void open_one(peft_context *ctx, const char *path) {
    peft_archive *a;
    if (peft_archive_open(ctx, path, &a)) {
        if (a || !*peft_error(ctx)) abort();
        return;
    }
    for (int64_t i = 0; i < peft_archive_count(a); i++) {
        const peft_tensor *t = peft_archive_at(a, i);
        if (t->rows < 0 || t->cols < 0) abort();
        volatile double sum = sum_of(t);
        (void)sum;
    }
    peft_archive_close(a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const char header[] = "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}    ";
    static unsigned char shard[8 + sizeof header - 1 + 4];
    peft_context *ctx;
    if (peft_context_create(NULL, &ctx)) return 0;
    shard[0] = (unsigned char)(sizeof header - 1);
    memcpy(shard + 8, header, sizeof header - 1);
    peft_mount(ctx, "x.safetensors", data, size);
    open_one(ctx, "x.safetensors");
    // The same bytes behind a header size that fits: as a header, and as an index of shards.
    unsigned char *whole = (unsigned char *)malloc(size + 8 + 64);
    if (whole) {
        for (int i = 0; i < 8; i++) whole[i] = (unsigned char)((uint64_t)size >> 8 * i);
        memcpy(whole + 8, data, size);
        memset(whole + 8 + size, 0x3F, 64);
        peft_mount(ctx, "y.safetensors", whole, size + 8 + 64);
        open_one(ctx, "y.safetensors");
    }
    peft_mount(ctx, "i/s", shard, sizeof shard);
    peft_mount(ctx, "i/model.safetensors.index.json", data, size);
    open_one(ctx, "i/model.safetensors.index.json");
    peft_context_destroy(ctx);
    free(whole);
    return 0;
}

#include "fuzz_main.h"
