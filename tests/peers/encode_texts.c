// Ids and decoded texts of many texts, for comparison with other libraries.
//   encode_texts TOKENIZER < texts > results
// Texts: u32 length (little endian) and bytes of each. Results, one line a text, parts with '|' between them: ids with special tokens
// written in the text taken as such, the same with the ids around the text, ids with special tokens as plain text, then hexadecimal:
// the first ids decoded without special tokens, and with them. A tokenizer that is refused: "refused: " and the message.
#define PEFT_IMPLEMENTATION
#include "peft.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void print_ids(const peft_ids *ids) {
    for (int64_t i = 0; i < ids->count; i++) printf(i ? " %d" : "%d", (int)ids->data[i]);
    printf("|");
}

int main(int argc, char **argv) {
    peft_context *ctx;
    peft_tokenizer *t;
    unsigned char head[4];
    if (argc != 2 || peft_context_create(NULL, &ctx)) return 2;
    if (peft_tokenizer_load(ctx, argv[1], &t)) {
        printf("refused: %s\n", peft_error(ctx));
        peft_context_destroy(ctx);
        return 1;
    }
    while (fread(head, 1, 4, stdin) == 4) {
        size_t n = head[0] | (size_t)head[1] << 8 | (size_t)head[2] << 16 | (size_t)head[3] << 24;
        char *text = (char *)malloc(n + 1);
        peft_ids ids[3];
        memset(ids, 0, sizeof ids);
        if (!text || fread(text, 1, n, stdin) != n) return 2;
        peft_status status = peft_encode_special(t, text, n, &ids[0]);
        if (!status) status = peft_encode_full(t, text, n, &ids[1]);
        if (!status) status = peft_encode(t, text, n, &ids[2]);
        if (status) printf("error: %s", peft_error(ctx));
        for (int i = 0; i < 3 && !status; i++) print_ids(&ids[i]);
        for (int i = 0; i < 2 && !status; i++) {
            char *back;
            size_t size;
            if (peft_decode(t, ids[0].data, ids[0].count, i == 0, &back, &size)) return 2;
            for (size_t k = 0; k < size; k++) printf("%02x", (unsigned char)back[k]);
            if (!i) printf("|");
            peft_free(ctx, back);
        }
        printf("\n");
        for (int i = 0; i < 3; i++) peft_ids_free(ctx, &ids[i]);
        free(text);
    }
    peft_tokenizer_destroy(t);
    peft_context_destroy(ctx);
    return 0;
}
