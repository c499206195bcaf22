// Runs the files given as arguments through the fuzz target of the program that includes it: for findings, without libFuzzer.
#ifdef PEFT_FUZZ_MAIN
#include <stdio.h>
int main(int argc, char **argv) {
    for (int i = 1; i < argc; i++) {
        peft_context *ctx;
        char *data;
        size_t size;
        if (peft_context_create(NULL, &ctx)) return 1;
        if (peft__read_all(ctx, argv[i], &data, &size)) printf("%s\n", peft_error(ctx));
        else LLVMFuzzerTestOneInput((const uint8_t *)data, size);
        peft_free(ctx, data);
        peft_context_destroy(ctx);
    }
    return 0;
}
#endif
