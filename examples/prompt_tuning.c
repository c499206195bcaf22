// A soft prompt: twenty vectors that take the place of an instruction, learned from examples, then read as words.
//   cc -O2 -I. -o build/prompt_tuning examples/prompt_tuning.c -DPEFT_USE_PTHREADS -pthread -lm
//   build/prompt_tuning examples/model build/demo/train.jsonl
#define PEFT_IMPLEMENTATION
#include "peft.h"

#include <math.h>
#include <stdio.h>

static bool show(const peft_progress *p, void *user) {
    (void)user;
    if (p->step == 1 || p->step % 20 == 0) printf("step %lld of %lld: loss %.3f\n", (long long)p->step, (long long)p->steps, p->loss);
    return true;
}

// The words that a virtual token is nearest to. After training it lies between words, which is why a soft prompt beats a written one.
static peft_status read_prompt(const peft_model *model, const peft_adapter *prompt, const char *when) {
    const peft_tokenizer *tokenizer = peft_model_tokenizer(model);
    printf("%s:", when);
    double sum = 0;
    for (int64_t i = 0; i < peft_adapter_settings(prompt)->num_virtual_tokens; i++) {
        int32_t id;
        float distance;
        peft_status status = peft_prompt_nearest(prompt, i, 1, &id, &distance);
        if (status) return status;
        printf(" %s", peft_token_text(tokenizer, id));
        sum += (double)distance;
    }
    printf("\n  mean cosine distance to these words: %.3f\n", fabs(sum) / (double)peft_adapter_settings(prompt)->num_virtual_tokens);
    return PEFT_OK;
}

static peft_status tune(peft_context *ctx, char **argv) {
    peft_model *model = NULL;
    peft_dataset *data = NULL;
    peft_adapter *prompt = NULL;
    double before = 0, after = 0;
    peft_status status = peft_model_load(&(peft_model_desc){.context = ctx, .path = argv[1]}, &model);
    // the model sees the dialogue and nothing else: what to do with it is for the soft prompt to say
    if (!status)
        status = peft_dataset_load(&(peft_dataset_desc){.context = ctx, .path = argv[2], .prompt = "{{dialogue}}", .completion = "{{summary}}", .limit = 160}, &data);
    if (!status)
        status = peft_adapter_create(&(peft_adapter_desc){.model = model, .method = PEFT_PROMPT_TUNING, .init_text = "Summarize the conversation:", .seed = 1}, &prompt);
    if (!status) status = read_prompt(model, prompt, "begins as");
    if (!status) status = peft_evaluate_loss(model, NULL, data, 256, 64, &before);
    if (!status) status = peft_train(&(peft_train_desc){.model = model, .adapter = prompt, .data = data, .max_steps = 60, .max_source = 256, .progress = show}, NULL);
    if (!status) status = peft_evaluate_loss(model, prompt, data, 256, 64, &after);
    if (!status) status = read_prompt(model, prompt, "ends near");
    if (!status) status = peft_adapter_save(prompt, "build/soft-prompt");
    if (!status)
        printf("loss without and with it: %.3f, %.3f. It has %lld numbers, the model %lld\n", before, after, (long long)peft_adapter_parameter_count(prompt),
               (long long)peft_model_parameter_count(model));
    peft_adapter_destroy(prompt);
    peft_dataset_destroy(data);
    peft_model_destroy(model);
    return status;
}

int main(int argc, char **argv) {
    // without arguments: the model of the project, and what `make demo` leaves
    static char *own[] = {"prompt_tuning", "examples/model", "build/demo/train.jsonl"};
    if (argc != 1 && argc != 3) {
        fprintf(stderr, "usage: prompt_tuning [MODEL TRAIN.jsonl]\n");
        return 2;
    }
    peft_context *ctx;
    if (peft_context_create(&(peft_context_desc){.threads = 2}, &ctx)) return 1;
    peft_status status = tune(ctx, argc == 1 ? own : argv);
    if (status) fprintf(stderr, "prompt_tuning: %s\n", peft_error(ctx));
    peft_context_destroy(ctx);
    return status != PEFT_OK;
}
