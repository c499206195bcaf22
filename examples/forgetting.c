// Forgetting: what a model still knows of an old task after it has learned a new one: all weights, all weights on both tasks, LoRA.
//   cc -O2 -I. -o build/forgetting examples/forgetting.c -DPEFT_USE_PTHREADS -pthread -lm
//   build/make_data dialogsum 200 1 > build/new.jsonl;  build/make_data arithmetic 200 1 > build/old.jsonl
//   build/forgetting examples/model build/new.jsonl build/old.jsonl
#define PEFT_IMPLEMENTATION
#include "peft.h"

#include <stdio.h>
#include <string.h>

typedef struct tasks {
    peft_dataset *new_train, *new_test, *old_train, *old_test, *both;
} tasks;

// A tenth of a file is held out.
static peft_status load(peft_context *ctx, const char *path, const char *prompt, const char *completion, peft_dataset **train, peft_dataset **test) {
    peft_dataset *all = NULL;
    peft_status status = peft_dataset_load(&(peft_dataset_desc){.context = ctx, .path = path, .prompt = prompt, .completion = completion, .limit = 200}, &all);
    if (!status) status = peft_dataset_split(all, 0.1, 1, train, test);
    peft_dataset_destroy(all);
    return status;
}

// The part of the held-out answers that the model gives word for word, in percent.
static peft_status exact(peft_context *ctx, peft_model *model, const peft_adapter *adapter, const peft_dataset *test, double *out) {
    int64_t right = 0, n = peft_dataset_count(test);
    for (int64_t i = 0; i < n; i++) {
        char *text;
        peft_status status = peft_generate_text(&(peft_generate_desc){.model = model, .adapter = adapter, .max_new_tokens = 40}, peft_dataset_prompt(test, i), &text);
        if (status) return status;
        right += strcmp(text, peft_dataset_completion(test, i)) == 0;
        peft_free(ctx, text);
    }
    *out = 100.0 * (double)right / (double)n;
    return PEFT_OK;
}

// One line of the table: a fresh model learns `data` (NULL: nothing) with all its weights or with LoRA.
static peft_status line(peft_context *ctx, const char *path, const char *name, const tasks *t, const peft_dataset *data, bool lora) {
    peft_model *model = NULL;
    peft_adapter *adapter = NULL;
    double new_loss = 0, old_loss = 0, old_exact = 0;
    peft_status status = peft_model_load(&(peft_model_desc){.context = ctx, .path = path}, &model);
    if (!status && lora) status = peft_adapter_create(&(peft_adapter_desc){.model = model, .target_modules = "all-linear", .alpha = 32, .seed = 1}, &adapter);
    if (!status && data)
        status = peft_train(&(peft_train_desc){.model = model, .adapter = adapter, .data = data, .max_steps = 40, .learning_rate = lora ? 3e-3f : 1e-3f, .max_source = 256}, NULL);
    if (!status) status = peft_evaluate_loss(model, adapter, t->new_test, 256, 64, &new_loss);
    if (!status) status = peft_evaluate_loss(model, adapter, t->old_test, 256, 64, &old_loss);
    if (!status) status = exact(ctx, model, adapter, t->old_test, &old_exact);
    if (!status) printf("%-32s %10.3f %10.3f %9.0f %%\n", name, new_loss, old_loss, old_exact);
    peft_adapter_destroy(adapter);
    peft_model_destroy(model);
    return status;
}

static peft_status forgetting(peft_context *ctx, char **argv) {
    tasks t = {NULL, NULL, NULL, NULL, NULL};
    peft_status status = load(ctx, argv[2], "Summarize the following conversation.\n\n{{dialogue}}\n\nSummary:", "{{summary}}", &t.new_train, &t.new_test);
    if (!status) status = load(ctx, argv[3], NULL, NULL, &t.old_train, &t.old_test);
    const peft_dataset *const two[] = {t.new_train, t.old_train};
    const char *const names[] = {"new", "old"};
    if (!status) status = peft_dataset_mix(&(peft_mix_desc){.datasets = two, .names = names, .count = 2, .seed = 1}, &t.both);
    if (!status) printf("%-32s %10s %10s %11s\n", "", "new: loss", "old: loss", "old: exact");
    if (!status) status = line(ctx, argv[1], "before", &t, NULL, false);
    if (!status) status = line(ctx, argv[1], "all weights, the new task", &t, t.new_train, false);
    if (!status) status = line(ctx, argv[1], "all weights, both tasks", &t, t.both, false);
    if (!status) status = line(ctx, argv[1], "LoRA, the new task", &t, t.new_train, true);
    if (!status) printf("Without its adapter the last model is the first one: nothing of it is lost.\n");
    peft_dataset_destroy(t.new_train), peft_dataset_destroy(t.new_test), peft_dataset_destroy(t.old_train);
    peft_dataset_destroy(t.old_test), peft_dataset_destroy(t.both);
    return status;
}

int main(int argc, char **argv) {
    // without arguments: the model of the project, and the data made as said above
    static char *own[] = {"forgetting", "examples/model", "build/new.jsonl", "build/old.jsonl"};
    if (argc != 1 && argc != 4) {
        fprintf(stderr, "usage: forgetting [MODEL NEW.jsonl OLD.jsonl]\n");
        return 2;
    }
    peft_context *ctx;
    if (peft_context_create(&(peft_context_desc){.threads = 2}, &ctx)) return 1;
    peft_status status = forgetting(ctx, argc == 1 ? own : argv);
    if (status) fprintf(stderr, "forgetting: %s\n", peft_error(ctx));
    peft_context_destroy(ctx);
    return status != PEFT_OK;
}
