// How large a rank does LoRA need? Each rank gets the same steps; the table is that of Hu et al. (2021), section 7.2, in small.
//   cc -O2 -I. -o build/rank_sweep examples/rank_sweep.c -DPEFT_USE_PTHREADS -pthread -lm
//   build/rank_sweep examples/model build/demo/train.jsonl
#define PEFT_IMPLEMENTATION
#include "peft.h"

#include <stdio.h>

enum { TEST = 16, STEPS = 30 };

static peft_status score(peft_context *ctx, peft_model *model, const peft_adapter *adapter, const peft_dataset *test, double *rouge, double *bleu) {
    const char *prompts[TEST], *humans[TEST];
    char *texts[TEST];
    int64_t n = peft_dataset_count(test) < TEST ? peft_dataset_count(test) : TEST;
    for (int64_t i = 0; i < n; i++) prompts[i] = peft_dataset_prompt(test, i), humans[i] = peft_dataset_completion(test, i);
    peft_status status = peft_generate_texts(&(peft_generate_desc){.model = model, .adapter = adapter, .max_new_tokens = 40}, prompts, n, texts);
    if (status) return status;
    peft_rouge_result r = {0};
    peft_bleu_result b = {0};
    const char *const *predictions = (const char *const *)texts;
    status = peft_rouge(&(peft_rouge_desc){.context = ctx, .predictions = predictions, .references = humans, .count = n, .use_stemmer = true}, &r);
    if (!status) status = peft_bleu(&(peft_bleu_desc){.context = ctx, .predictions = predictions, .references = humans, .count = n}, &b);
    for (int64_t i = 0; i < n; i++) peft_free(ctx, texts[i]);
    *rouge = 100 * r.mean.rougeL.f1;
    *bleu = b.score;
    return status;
}

// One rank: an adapter beside the same base, which no run changes.
static peft_status run(peft_context *ctx, peft_model *model, int64_t r, const peft_dataset *data, const peft_dataset *test) {
    peft_adapter *lora = NULL;
    peft_train_result result = {0};
    double loss = 0, rouge = 0, bleu = 0;
    // alpha = 2 r keeps the strength alpha / r the same, so that ranks and not strengths are compared
    peft_status status = peft_adapter_create(&(peft_adapter_desc){.model = model, .r = r, .alpha = 2 * (float)r, .target_modules = "all-linear", .seed = 1}, &lora);
    if (!status)
        status = peft_train(&(peft_train_desc){.model = model, .adapter = lora, .data = data, .max_steps = STEPS, .learning_rate = 5e-3f, .max_source = 256, .seed = 1}, &result);
    if (!status) status = peft_evaluate_loss(model, lora, test, 256, 64, &loss);
    if (!status) status = score(ctx, model, lora, test, &rouge, &bleu);
    if (!status) printf("%5lld %12lld %12.3f %10.2f %8.2f %9.1f\n", (long long)r, (long long)result.trainable, loss, rouge, bleu, result.seconds);
    peft_adapter_destroy(lora);
    return status;
}

static peft_status sweep(peft_context *ctx, char **argv) {
    static const int64_t ranks[] = {1, 2, 4, 8};
    peft_model *model = NULL;
    peft_dataset *all = NULL, *data = NULL, *test = NULL;
    peft_status status = peft_model_load(&(peft_model_desc){.context = ctx, .path = argv[1]}, &model);
    if (!status)
        status = peft_dataset_load(&(peft_dataset_desc){.context = ctx, .path = argv[2], .prompt = "Summarize the following conversation.\n\n{{dialogue}}\n\nSummary:",
                                                        .completion = "{{summary}}", .limit = 256}, &all);
    if (!status) status = peft_dataset_split(all, 0.1, 1, &data, &test);
    if (!status) printf("%5s %12s %12s %10s %8s %9s\n", "r", "trainable", "val. loss", "ROUGE-L", "BLEU", "seconds");
    for (int i = 0; i < 4 && !status; i++) status = run(ctx, model, ranks[i], data, test);
    peft_dataset_destroy(all);
    peft_dataset_destroy(data);
    peft_dataset_destroy(test);
    peft_model_destroy(model);
    return status;
}

int main(int argc, char **argv) {
    // without arguments: the model of the project, and what `make demo` leaves
    static char *own[] = {"rank_sweep", "examples/model", "build/demo/train.jsonl"};
    if (argc != 1 && argc != 3) {
        fprintf(stderr, "usage: rank_sweep [MODEL TRAIN.jsonl]\n");
        return 2;
    }
    peft_context *ctx;
    if (peft_context_create(&(peft_context_desc){.threads = 2}, &ctx)) return 1;
    peft_status status = sweep(ctx, argc == 1 ? own : argv);
    if (status) fprintf(stderr, "rank_sweep: %s\n", peft_error(ctx));
    peft_context_destroy(ctx);
    return status != PEFT_OK;
}
