// QLoRA: a LoRA on every linear layer of a base in 4 bits, with blocks computed again on the way back; what is planned, what it takes.
//   cc -O2 -I. -o build/qlora examples/qlora.c -DPEFT_USE_PTHREADS -pthread -lm
//   build/qlora examples/model build/demo/train.jsonl build/demo/test.jsonl
#define PEFT_IMPLEMENTATION
#include "peft.h"

#include <stdio.h>

static bool show(const peft_progress *p, void *user) {
    (void)user;
    if (p->step % 20 == 0 || p->step == p->steps) printf("step %lld of %lld: loss %.3f\n", (long long)p->step, (long long)p->steps, p->loss);
    return true;
}

static void tell(const char *name, const peft_memory_plan *p) {
    printf("%-28s weights %6.2f MB, trained %6.2f MB, activations %6.2f MB, in all %6.2f MB\n", name, (double)(p->weights + p->scales) / 1e6,
           (double)(p->adapter + p->gradients + p->optimizer) / 1e6, (double)p->activations / 1e6, (double)p->total / 1e6);
}

// The plan needs no weights: it works for models that this machine could never load.
static peft_status plan(peft_context *ctx, const char *path, const peft_adapter_desc *lora) {
    peft_memory_plan plain, small;
    peft_plan_desc d = {.context = ctx, .path = path, .adapter = lora, .batch_size = 8, .source = 150, .target = 40};
    peft_status status = peft_plan_memory(&d, &plain);
    d.weights = PEFT_NF4, d.double_quant = true, d.optimizer = PEFT_ADAMW_8BIT, d.checkpoint_blocks = true;
    if (!status) status = peft_plan_memory(&d, &small);
    if (!status) tell("LoRA on f32", &plain), tell("QLoRA", &small);
    return status;
}

static peft_status finetune(peft_context *ctx, char **argv) {
    const char *prompt = "Summarize the following conversation.\n\n{{dialogue}}\n\nSummary:";
    peft_adapter_desc settings = {.r = 8, .alpha = 32, .target_modules = "all-linear"};
    peft_model *model = NULL;
    peft_dataset *train = NULL, *test = NULL;
    peft_adapter *lora = NULL;
    char *text = NULL;
    double before = 0, after = 0;

    peft_status status = plan(ctx, argv[1], &settings);
    if (!status) status = peft_model_load(&(peft_model_desc){.context = ctx, .path = argv[1], .weights = PEFT_NF4, .double_quant = true}, &model);
    if (!status) status = peft_dataset_load(&(peft_dataset_desc){.context = ctx, .path = argv[2], .prompt = prompt, .completion = "{{summary}}", .limit = 240}, &train);
    if (!status) status = peft_dataset_load(&(peft_dataset_desc){.context = ctx, .path = argv[3], .prompt = prompt, .completion = "{{summary}}", .limit = 16}, &test);
    settings.model = model;
    if (!status) status = peft_adapter_create(&settings, &lora);
    if (!status) status = peft_evaluate_loss(model, NULL, test, 0, 0, &before);
    if (!status)
        status = peft_train(&(peft_train_desc){.model = model, .adapter = lora, .data = train, .epochs = 2, .learning_rate = 3e-3f, .optimizer = PEFT_ADAMW_8BIT,
                                               .checkpoint_blocks = true, .progress = show}, NULL);
    if (!status) status = peft_evaluate_loss(model, lora, test, 0, 0, &after);
    if (!status) status = peft_generate_text(&(peft_generate_desc){.model = model, .adapter = lora}, peft_dataset_prompt(test, 0), &text);
    if (!status)
        printf("held-out loss %.3f before, %.3f after; at most %.2f MB were allocated\n\n%s\n%s\n", before, after, (double)peft_memory_peak(ctx) / 1e6,
               peft_dataset_prompt(test, 0), text);

    peft_free(ctx, text);
    peft_adapter_destroy(lora);
    peft_dataset_destroy(test);
    peft_dataset_destroy(train);
    peft_model_destroy(model);
    return status;
}

int main(int argc, char **argv) {
    // without arguments: the model of the project, and what `make demo` leaves
    static char *own[] = {"qlora", "examples/model", "build/demo/train.jsonl", "build/demo/test.jsonl"};
    if (argc != 1 && argc != 4) {
        fprintf(stderr, "usage: qlora [MODEL TRAIN.jsonl TEST.jsonl]\n");
        return 2;
    }
    peft_context *ctx;
    if (peft_context_create(&(peft_context_desc){.threads = 2}, &ctx)) return 1;
    peft_status status = finetune(ctx, argc == 1 ? own : argv);
    if (status) fprintf(stderr, "qlora: %s\n", peft_error(ctx));
    peft_context_destroy(ctx);
    return status != PEFT_OK;
}
