// The least that uses the header: one file holds the implementation, here the only one. Threads come with the target peft::peft.
#define PEFT_IMPLEMENTATION
#include <peft.h>

#include <stdio.h>

int main(void) {
    peft_context *ctx;
    if (peft_context_create(&(peft_context_desc){.threads = 2}, &ctx)) return 1;
    printf("peft.h %s: %s, %d threads\n", PEFT_VERSION, peft_simd_name(peft_simd_in_use(ctx)), peft_thread_count(ctx));
    peft_context_destroy(ctx);
    return 0;
}
