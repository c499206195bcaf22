// One base model, several tasks: adapters that are switched per call, mixed in one batch, combined and merged; what each costs.
//   cc -O2 -I. -o build/swap_tasks examples/swap_tasks.c -DPEFT_USE_PTHREADS -pthread -lm
//   build/swap_tasks examples/model
#define PEFT_IMPLEMENTATION
#include "peft.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

enum { TASKS = 3 };
static const char *const tasks[TASKS] = {"greeting", "farewell", "question"};
static const char *const answers[TASKS] = {"Good morning, %s.", "See you then, %s.", "Where is %s?"};
static char files[TASKS][2048];

// Six examples of a task, as JSON lines in memory: no file is needed.
static peft_status learn(peft_context *ctx, peft_model *model, int task, peft_adapter **out) {
    static const char *const names[] = {"Anna", "Ben", "Tom", "Laura", "Martin", "Alice"};
    char path[32], *at = files[task];
    for (int i = 0; i < 6; i++) {
        at += sprintf(at, "{\"prompt\": \"What do you say to %s?\", \"completion\": \"", names[i]);
        at += sprintf(at, answers[task], names[i]);
        at += sprintf(at, "\"}\n");
    }
    snprintf(path, sizeof(path), "%s.jsonl", tasks[task]);
    peft_dataset *data = NULL;
    peft_status status = peft_mount(ctx, path, files[task], strlen(files[task]));
    if (!status) status = peft_dataset_load(&(peft_dataset_desc){.context = ctx, .path = path}, &data);
    if (!status) status = peft_adapter_create(&(peft_adapter_desc){.model = model, .r = 4, .target_modules = "all-linear", .seed = 1}, out);
    if (!status) status = peft_train(&(peft_train_desc){.model = model, .adapter = *out, .data = data, .max_steps = 40, .batch_size = 6, .learning_rate = 1e-2f}, NULL);
    peft_dataset_destroy(data);
    return status;
}

static double milliseconds(struct timespec from) {
    struct timespec now;
    timespec_get(&now, TIME_UTC);
    return 1e3 * (double)(now.tv_sec - from.tv_sec) + 1e-6 * (double)(now.tv_nsec - from.tv_nsec);
}

static struct timespec begin(void) {
    struct timespec now;
    timespec_get(&now, TIME_UTC);
    return now;
}

static peft_status swap_tasks(peft_context *ctx, const char *path) {
    peft_model *model = NULL;
    peft_adapter *adapters[TASKS] = {NULL}, *both = NULL;
    const char *prompts[TASKS] = {"What do you say to Tom?", "What do you say to Tom?", "What do you say to Tom?"};
    char *texts[TASKS] = {NULL};
    int64_t bytes = 0;
    peft_status status = peft_model_load(&(peft_model_desc){.context = ctx, .path = path}, &model);
    for (int i = 0; i < TASKS && !status; i++) status = learn(ctx, model, i, &adapters[i]);
    if (!status) status = peft_adapter_file_size(adapters[0], &bytes);
    if (status) goto end;
    printf("base: %lld bytes. Each task adds %lld; as models of their own, %d tasks would take %lld\n", (long long)(4 * peft_model_parameter_count(model)),
           (long long)bytes, TASKS, (long long)(4 * TASKS * peft_model_parameter_count(model)));

    // one batch, a task of its own for each prompt
    peft_active_adapter active[TASKS];
    for (int i = 0; i < TASKS; i++) active[i] = (peft_active_adapter){.adapter = adapters[i], .first_sequence = i, .sequence_count = 1};
    status = peft_generate_texts(&(peft_generate_desc){.model = model, .adapters = active, .adapter_count = TASKS, .max_new_tokens = 16}, prompts, TASKS, texts);
    for (int i = 0; i < TASKS && !status; i++) printf("  %-10s %s\n", tasks[i], texts[i]);
    for (int i = 0; i < TASKS; i++) peft_free(ctx, texts[i]);

    // switching: nothing for adapters beside the weights, a copy of the weights for merged ones
    struct timespec start = begin();
    if (!status) status = peft_adapter_merge(adapters[0], 1);
    if (!status) status = peft_adapter_unmerge(adapters[0]);
    if (!status) status = peft_adapter_merge(adapters[1], 1);
    if (!status) printf("switching: another pointer in the next call; merged into the weights: %.2f ms\n", milliseconds(start));
    if (!status) status = peft_adapter_unmerge(adapters[1]);

    // two tasks in one adapter
    static const char *const kinds[] = {"linear", "cat", "ties", "dare_linear"};
    for (int kind = 0; kind < 4 && !status; kind++) {
        const float weights[] = {0.5f, 0.5f};
        char *text = NULL;
        status = peft_adapter_combine(&(peft_combine_desc){.adapters = (const peft_adapter *const *)adapters, .weights = weights, .count = 2,
                                                           .kind = (peft_combine_kind)kind, .density = 0.7f, .seed = 1}, &both);
        if (!status) status = peft_generate_text(&(peft_generate_desc){.model = model, .adapter = both, .max_new_tokens = 16}, prompts[0], &text);
        if (!status) printf("half greeting, half farewell, %-11s (r %lld): %s\n", kinds[kind], (long long)peft_adapter_settings(both)->r, text);
        peft_free(ctx, text);
        peft_adapter_destroy(both);
        both = NULL;
    }
end:
    for (int i = 0; i < TASKS; i++) peft_adapter_destroy(adapters[i]);
    peft_model_destroy(model);
    return status;
}

int main(int argc, char **argv) {
    if (argc > 2) {
        fprintf(stderr, "usage: swap_tasks [MODEL]\n");
        return 2;
    }
    peft_context *ctx;
    if (peft_context_create(&(peft_context_desc){.threads = 2}, &ctx)) return 1;
    peft_status status = swap_tasks(ctx, argc == 2 ? argv[1] : "examples/model");
    if (status) fprintf(stderr, "swap_tasks: %s\n", peft_error(ctx));
    peft_context_destroy(ctx);
    return status != PEFT_OK;
}
