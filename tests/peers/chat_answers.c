// Greedy answers of a chat model, for comparison with other libraries.
//   chat_answers MODEL MAX_NEW_TOKENS [int8] < conversations > answers       int8: compute = PEFT_I8
// Conversations: one JSON list of messages a line. Answers: the ids of the prompt, '|', the ids of the answer, one line each.
#define PEFT_IMPLEMENTATION
#include "peft.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void print_ids(const int32_t *ids, int64_t count) {
    for (int64_t i = 0; i < count; i++) printf(i ? " %d" : "%d", (int)ids[i]);
}

static peft_status answer(peft_model *model, peft_chat *chat, const char *json, int64_t max_new_tokens) {
    const char *text;
    size_t size;
    peft_ids prompt = {NULL, 0, 0}, whole = {NULL, 0, 0};
    peft_generate_desc d = {.model = model, .max_new_tokens = max_new_tokens};
    peft_status status = peft_chat_text(chat, json, true, &text, &size);
    if (!status) status = peft_encode_special(peft_model_tokenizer(model), text, size, &prompt);
    if (!status) status = peft_generate(&d, prompt.data, prompt.count, &whole);
    if (!status) {
        print_ids(prompt.data, prompt.count);
        printf("|");
        print_ids(whole.data + prompt.count, whole.count - prompt.count);
        printf("\n");
    }
    peft_ids_free(peft_model_context(model), &prompt);
    peft_ids_free(peft_model_context(model), &whole);
    return status;
}

int main(int argc, char **argv) {
    static char line[1 << 16];
    peft_context *ctx;
    peft_model *model = NULL;
    peft_chat *chat = NULL;
    peft_context_desc d = {.compute = argc > 3 && !strcmp(argv[3], "int8") ? PEFT_I8 : PEFT_F32};
    if (argc < 3 || argc > 4 || peft_context_create(&d, &ctx)) return 2;
    peft_status status = peft_model_load(&(peft_model_desc){.context = ctx, .path = argv[1]}, &model);
    if (!status) status = peft_chat_open(&(peft_chat_desc){.context = ctx, .path = argv[1], .tokenizer = peft_model_tokenizer(model)}, &chat);
    while (!status && fgets(line, sizeof line, stdin)) status = answer(model, chat, line, strtoll(argv[2], NULL, 10));
    if (status) fprintf(stderr, "chat_answers: %s\n", peft_error(ctx));
    peft_chat_close(chat);
    peft_model_destroy(model);
    peft_context_destroy(ctx);
    return status ? 1 : 0;
}
