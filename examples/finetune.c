// Fine-tunes a T5 on your own examples with LoRA, and answers a prompt before and after.
//   cc -O2 -I. -o build/finetune examples/finetune.c -DPEFT_USE_PTHREADS -pthread -lm
//   build/finetune examples/model build/demo/train.jsonl build/demo/test.jsonl
#define PEFT_IMPLEMENTATION
#include "peft.h"

#include <stdio.h>

static bool show(const peft_progress *p, void *user) {
    (void)user;
    if (p->step % 20 == 0 || p->step == p->steps) printf("step %lld of %lld: loss %.3f, %.0f tokens/s\n", (long long)p->step, (long long)p->steps, p->loss, p->tokens_per_second);
    return true;
}

static peft_status finetune(peft_context *ctx, char **argv) {
    const char *prompt = "Summarize the following conversation.\n\n{{dialogue}}\n\nSummary:";
    peft_model *model = NULL;
    peft_dataset *train = NULL, *test = NULL;
    peft_adapter *lora = NULL;
    char *before = NULL, *after = NULL;

    peft_status status = peft_model_load(&(peft_model_desc){.context = ctx, .path = argv[1]}, &model);
    if (!status) status = peft_dataset_load(&(peft_dataset_desc){.context = ctx, .path = argv[2], .prompt = prompt, .completion = "{{summary}}", .limit = 400}, &train);
    if (!status) status = peft_dataset_load(&(peft_dataset_desc){.context = ctx, .path = argv[3], .prompt = prompt, .completion = "{{summary}}", .limit = 1}, &test);
    if (!status) status = peft_adapter_create(&(peft_adapter_desc){.model = model, .r = 8, .alpha = 32, .target_modules = "all-linear"}, &lora);
    if (!status) status = peft_train(&(peft_train_desc){.model = model, .adapter = lora, .data = train, .epochs = 2, .learning_rate = 3e-3f, .progress = show}, NULL);
    if (!status) status = peft_adapter_save(lora, "build/finetune-lora");

    const char *question = test ? peft_dataset_prompt(test, 0) : NULL;
    if (!status) status = peft_generate_text(&(peft_generate_desc){.model = model}, question, &before);  // the base is untouched
    if (!status) status = peft_generate_text(&(peft_generate_desc){.model = model, .adapter = lora}, question, &after);
    if (!status) printf("\n%s\n\nhuman:  %s\nbefore: %s\nafter:  %s\n", question, peft_dataset_completion(test, 0), before, after);

    peft_free(ctx, before);
    peft_free(ctx, after);
    peft_adapter_destroy(lora);
    peft_dataset_destroy(test);
    peft_dataset_destroy(train);
    peft_model_destroy(model);
    return status;
}

int main(int argc, char **argv) {
    // without arguments: the model of the project, and what `make demo` leaves
    static char *own[] = {"finetune", "examples/model", "build/demo/train.jsonl", "build/demo/test.jsonl"};
    if (argc != 1 && argc != 4) {
        fprintf(stderr, "usage: finetune [MODEL TRAIN.jsonl TEST.jsonl]\n");
        return 2;
    }
    peft_context *ctx;
    if (peft_context_create(&(peft_context_desc){.threads = 2}, &ctx)) return 1;
    peft_status status = finetune(ctx, argc == 1 ? own : argv);
    if (status) fprintf(stderr, "finetune: %s\n", peft_error(ctx));
    peft_context_destroy(ctx);
    return status != PEFT_OK;
}
