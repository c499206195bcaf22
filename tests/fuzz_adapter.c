// Any bytes as an adapter's files, for a tiny model: loading may fail, nothing else may happen; what loads
// can be used, saved, loaded again, merged and taken out. The input is a configuration, a zero byte, and the
// header of a safetensors file; without the zero byte it is a configuration beside tensors that fit a plain
// LoRA.
//   clang -O1 -g -fsanitize=fuzzer,address,undefined -DPEFT_NO_SIMD -I. tests/fuzz_adapter.c -lm -o fuzz_adapter
//   cc -DPEFT_FUZZ_MAIN -DPEFT_NO_SIMD -I. tests/fuzz_adapter.c -lm -o fuzz_adapter && ./fuzz_adapter FILE ...
#define PEFT_NO_METRICS  // what this program needs of the header
#define PEFT_IMPLEMENTATION
#include "peft.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef __cplusplus
extern "C"
#endif
    int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char config[] =
    "{\"model_type\": \"llama\", \"hidden_size\": 4, \"num_attention_heads\": 2, \"num_key_value_heads\": 1,"
    " \"num_hidden_layers\": 2, \"intermediate_size\": 6, \"vocab_size\": 8, \"max_position_embeddings\": 16,"
    " \"hidden_act\": \"silu\", \"tie_word_embeddings\": true, \"attention_bias\": true, \"rms_norm_eps\": "
    "1e-6,"
    " \"eos_token_id\": 1, \"bos_token_id\": 0}\n";

static peft_model *tiny_model(peft_context *ctx) {
    peft_model_desc d;
    peft_model *m = NULL;
    memset(&d, 0, sizeof d);
    peft_mount(ctx, "m/config.json", config, sizeof config - 1);
    d.context = ctx;
    d.path = "m";
    d.config_only = true;
    d.seed = 1;
    return peft_model_load(&d, &m) ? NULL : m;
}

static void use(peft_model *m, peft_adapter *a, int adapters) {
    static const int32_t ids[] = {2, 5, 3, 7};
    static const int64_t offsets[] = {0, 4};
    peft_batch b = {1, NULL, NULL, ids, ids, offsets};
    peft_active_adapter active = {a, 1, 0, 0};
    peft_tape *tape = NULL;
    if (peft_tape_create(peft_model_context(m), &tape)) return;
    peft_model_loss(m, tape, &b, &active, adapters, 0);
    peft_tape_destroy(tape);
}

// What loads has to survive what one does with adapters. `folder`: where it may be written to.
static void load_one(peft_model *m, const char *folder, const char *again) {
    peft_adapter *a = NULL, *b = NULL;
    if (peft_adapter_load(m, folder, &a)) {
        if (a || !*peft_error(peft_model_context(m))) abort();
        return;
    }
    use(m, a, 1);
    if (again && peft_adapter_save(a, again) == PEFT_OK && peft_adapter_load(m, again, &b))
        abort();  // what we write, we read
    peft_adapter_destroy(b);
    if (peft_adapter_merge(a, 0.5f) == PEFT_OK) {
        use(m, a, 0);
        if (peft_adapter_unmerge(a)) abort();
    }
    peft_adapter_destroy(a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static unsigned char plain[1 << 14];
    static size_t plain_size;
    peft_context *ctx;
    if (peft_context_create(NULL, &ctx)) return 0;
    peft_model *m = tiny_model(ctx);
    if (!m) abort();
    if (!plain_size) {  // the tensors of a LoRA as it is saved
        peft_adapter_desc d;
        peft_adapter *a = NULL;
        memset(&d, 0, sizeof d);
        d.model = m;
        d.r = 2;
        if (peft_adapter_create(&d, &a) || peft_adapter_save(a, "build/fuzz_adapter_seed")) abort();
        peft_adapter_destroy(a);
        FILE *f = fopen("build/fuzz_adapter_seed/adapter_model.safetensors", "rb");
        plain_size = f ? fread(plain, 1, sizeof plain, f) : 0;
        if (f) fclose(f);
    }
    const uint8_t *zero = (const uint8_t *)(size ? memchr(data, 0, size) : NULL);
    size_t head = zero ? (size_t)(zero - data) : size, rest = zero ? size - head - 1 : 0;
    unsigned char *tensors = (unsigned char *)calloc(1, rest + 8 + 4096);
    if (tensors && zero) {
        for (int i = 0; i < 8; i++) tensors[i] = (unsigned char)((uint64_t)rest >> 8 * i);
        memcpy(tensors + 8, zero + 1, rest);
    }
    peft_mount(ctx, "a/adapter_config.json", data, head);
    if (zero) peft_mount(ctx, "a/adapter_model.safetensors", tensors, rest + 8 + 4096);
    else peft_mount(ctx, "a/adapter_model.safetensors", plain, plain_size);
    load_one(m, "a", "build/fuzz_adapter_again");
    peft_model_destroy(m);
    peft_context_destroy(ctx);
    free(tensors);
    return 0;
}

#include "fuzz_main.h"
