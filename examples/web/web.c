// What the page's worker calls: a model, examples, an adapter, and training one step per call, so that the worker can listen between
// steps. Built for the browser by `make web`; natively it is a program that prints the losses which the page has to reproduce:
//   cc -O2 -DPEFT_NO_SIMD -I. -o build/web_native examples/web/web.c -lm
//   build/web_native tests/data/model build/web/dialogues.jsonl 20
#define PEFT_NO_METRICS
#define PEFT_IMPLEMENTATION
#include "peft.h"

#include <stdio.h>

#ifdef __EMSCRIPTEN__
#include <emscripten.h>
#define CALLED EMSCRIPTEN_KEEPALIVE  // from JavaScript
#else
#define CALLED
#endif

static peft_context *ctx;
static peft_model *model;
static peft_dataset *data;
static peft_adapter *adapter;
static peft_batches *batches;
static peft_optimizer *optimizer;
static peft_tape *tape;
static int64_t step, steps, tokens;
static float rate;

static void end_training(void) {
    peft_optimizer_destroy(optimizer), optimizer = NULL;
    peft_tape_destroy(tape), tape = NULL;
    peft_batches_destroy(batches), batches = NULL;
}

CALLED const char *web_error(void) { return peft_error(ctx); }
CALLED double web_memory(void) { return (double)peft_memory_in_use(ctx); }
CALLED double web_tokens(void) { return (double)tokens; }
CALLED double web_parameters(int trained) {
    return trained ? (double)peft_adapter_parameter_count(adapter) : (double)peft_model_parameter_count(model);
}

CALLED int web_threads(void) { return peft_thread_count(ctx); }

CALLED int web_model(const char *path, int threads) {
    if (!ctx && peft_context_create(&(peft_context_desc){.threads = threads}, &ctx)) return PEFT_ERROR_MEMORY;
    end_training();
    peft_adapter_destroy(adapter), adapter = NULL;
    peft_model_destroy(model), model = NULL;
    return peft_model_load(&(peft_model_desc){.context = ctx, .path = path}, &model);
}

CALLED int web_data(const char *path, const char *prompt, const char *completion) {
    end_training();
    peft_dataset_destroy(data), data = NULL;
    return peft_dataset_load(&(peft_dataset_desc){.context = ctx, .path = path, .prompt = prompt, .completion = completion}, &data);
}

CALLED int web_examples(void) { return (int)peft_dataset_count(data); }
CALLED const char *web_example(int i, int answer) { return answer ? peft_dataset_completion(data, i) : peft_dataset_prompt(data, i); }

// method: peft_method. learning_rate 0: the method's own. A new adapter, at step 0.
CALLED int web_start(int method, int r, int batch, int count, double learning_rate) {
    peft_tensor *tensors[2048];
    peft_adapter_desc a = {.model = model, .method = (peft_method)method, .r = r, .num_virtual_tokens = r, .seed = 1};
    end_training();
    peft_adapter_destroy(adapter), adapter = NULL;
    step = tokens = 0, steps = count;
    int status = peft_adapter_create(&a, &adapter);
    if (status) return status;
    peft_optimizer_desc o = {.context = ctx, .tensors = tensors, .count = peft_adapter_tensor_count(adapter)};
    for (int64_t i = 0; i < o.count && i < 2048; i++) tensors[i] = (peft_tensor *)(uintptr_t)peft_adapter_tensor(adapter, i);
    rate = learning_rate > 0 ? (float)learning_rate : peft_default_learning_rate(model, adapter);
    status = o.count > 2048 ? PEFT_ERROR_UNSUPPORTED : peft_optimizer_create(&o, &optimizer);
    if (!status) status = peft_tape_create(ctx, &tape);
    if (!status) status = peft_batches_create(&(peft_train_desc){.model = model, .adapter = adapter, .data = data, .batch_size = batch, .seed = 1}, &batches);
    return status;
}

// One step; the loss, or a negative number: see web_error.
CALLED double web_step(void) {
    int64_t per_epoch = peft_batches_count(batches);
    const peft_batch *b = per_epoch ? peft_batches_at(batches, step / per_epoch, step % per_epoch) : NULL;
    peft_active_adapter active = {.adapter = adapter, .scale = 1};
    if (!b) return -1;
    peft_tape_reset(tape, (uint64_t)step);
    peft_tape_inference(tape, false);
    peft_tensor *loss = peft_model_loss(model, tape, b, &active, 1, 0);
    if (!loss || peft_backward(tape, loss)) return -1;
    tokens += b->source_offsets[b->count] + b->target_offsets[b->count];
    double value = (double)((const float *)loss->data)[0];
    peft_optimizer_clip(optimizer, 1);
    peft_optimizer_step(optimizer, rate * (float)(steps - step) / (float)steps);
    step++;
    return value;
}

CALLED int web_save(const char *folder) { return peft_adapter_save(adapter, folder); }

CALLED int web_load_adapter(const char *folder) {
    end_training();
    peft_adapter_destroy(adapter), adapter = NULL;
    return peft_adapter_load(model, folder, &adapter);
}

// The answer, valid until the next call; NULL: see web_error.
CALLED const char *web_generate(const char *prompt, int adapted, int most) {
    static char *text;
    peft_generate_desc g = {.model = model, .adapter = adapted ? adapter : NULL, .max_new_tokens = most};
    peft_free(ctx, text), text = NULL;
    return peft_generate_text(&g, prompt, &text) ? NULL : text;
}

#ifndef __EMSCRIPTEN__
int main(int argc, char **argv) {
    int count = argc > 3 ? atoi(argv[3]) : 20;
    const char *prompt = "Summarize the following conversation.\n\n{{dialogue}}\n\nSummary:";
    if (argc < 3) return fprintf(stderr, "usage: web_native MODEL DIALOGUES.jsonl [STEPS]\n"), 2;
    if (web_model(argv[1], 1) || web_data(argv[2], prompt, "{{summary}}") || web_start(PEFT_LORA, 8, 4, count, 0)) return fprintf(stderr, "%s\n", web_error()), 1;
    for (int i = 0; i < count; i++) printf("%.6f\n", web_step());
    const char *answer = web_generate(web_example(0, 0), 1, 24);
    printf("%s\n", answer ? answer : web_error());
    return !answer;
}
#else
int main(void) { return 0; }
#endif
