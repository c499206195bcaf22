// Any bytes as a vocabulary file: SentencePiece or JSON, by itself or as what a class makes of it. Loading may fail, nothing else may
// happen. Good seeds are the tokenizers of tests/data/tokenizers.jsonl.
//   clang -O1 -g -fsanitize=fuzzer,address,undefined -I. tests/fuzz_tokenizer.c -lm -o fuzz_tokenizer
//   cc -DPEFT_FUZZ_MAIN -I. tests/fuzz_tokenizer.c -lm -o fuzz_tokenizer && ./fuzz_tokenizer FILE ...
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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const char text[] = "The <extra_id_0> caf\xC3\xA9 \xFF\xE2\x96\x81  x</s> 12345 I'll aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n\n";
    static const char merges[] = "#version: 0.2\na b\nab c\n";
    static const char *const configs[] = {"{}", "{\"tokenizer_class\":\"T5Tokenizer\"}", "{\"tokenizer_class\":\"LlamaTokenizer\",\"legacy\":true}",
                                          "{\"tokenizer_class\":\"GemmaTokenizer\",\"pad_token\":\"a\"}"};
    const char *config = configs[size % 4];
    peft_context *ctx;
    if (peft_context_create(NULL, &ctx)) return 0;
    peft_mount(ctx, size && data[0] == '{' ? "x/tokenizer.json" : "x/spiece.model", data, size);
    peft_mount(ctx, "x/tokenizer_config.json", config, strlen(config));
    peft_mount(ctx, "x/merges.txt", merges, sizeof merges - 1);
    peft_tokenizer *t;
    if (!peft_tokenizer_load(ctx, "x", &t)) {
        peft_ids ids = {NULL, 0, 0};
        char *back = NULL;
        for (int i = 0; i < 4; i++) {
            // the model's own bytes are the text that fits it best
            const char *s = i >= 2 ? (const char *)data : text;
            size_t n = i >= 2 ? (size < 4096 ? size : 4096) : sizeof text - 1;
            peft_status status = i % 2 ? peft_encode_full(t, s, n, &ids) : peft_encode(t, s, n, &ids);
            if (status && status != PEFT_ERROR_FORMAT && status != PEFT_ERROR_ARGUMENT) break;
        }
        for (int64_t i = 0; i < ids.count; i++)
            if (!peft_token_text(t, ids.data[i])) abort();
        peft_decode(t, ids.data, ids.count, size & 1, &back, NULL);
        peft_free(ctx, back);
        peft_ids_free(ctx, &ids);
        peft_tokenizer_destroy(t);
    }
    peft_context_destroy(ctx);
    return 0;
}

#include "fuzz_main.h"
