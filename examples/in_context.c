// Learning from examples in the prompt, without training: zero-, one- and few-shot classification, with tokens counted.
//   cc -O2 -I. -o build/in_context examples/in_context.c -DPEFT_USE_PTHREADS -pthread -lm
//   build/in_context examples/model
#define PEFT_IMPLEMENTATION
#include "peft.h"

#include <stdio.h>
#include <string.h>

// What "plus" and "minus" mean here no instruction says: the examples do.
static const char reviews[] =
    "{\"text\": \"The film at the cinema was wonderful.\", \"label\": \"plus\"}\n"
    "{\"text\": \"We saw the boat at the harbor. It was ugly.\", \"label\": \"minus\"}\n"
    "{\"text\": \"Anna says the play was great.\", \"label\": \"plus\"}\n"
    "{\"text\": \"I went to the museum and it was boring.\", \"label\": \"minus\"}\n"
    "{\"text\": \"The lamp at the market was lovely.\", \"label\": \"plus\"}\n"
    "{\"text\": \"Tom says the race was awful. Never again.\", \"label\": \"minus\"}\n";

enum { QUESTIONS = 8 };
static const char *const questions[QUESTIONS] = {
    "The opera was delightful. I will come again.", "We saw the circus at the park. It was terrible.",
    "The concert at the hotel was dreadful.", "Ben says the lecture was excellent.",
    "I went to the beach and it was beautiful.", "The piano at the school was poor.",
    "We saw the game at the lake. It was superb.", "Kate says the party was disappointing. Never again."};
static const char *const answers[QUESTIONS] = {"plus", "minus", "minus", "plus", "plus", "minus", "plus", "minus"};
static const char *const choices[] = {"plus", "minus"};

// Which of the choices the model finds likelier behind the prompt.
static peft_status choose(peft_model *model, const char *prompt, int *best, double *margin) {
    double scores[2] = {0};
    peft_status status = peft_score_completions(&(peft_score_desc){.model = model, .prompt = prompt, .completions = choices, .count = 2, .with_end = true}, scores);
    *best = scores[1] > scores[0];
    *margin = scores[*best] - scores[!*best];
    return status;
}

static peft_status ask(peft_context *ctx, peft_model *model, const peft_dataset *examples, int64_t shots, int64_t window) {
    peft_status status = PEFT_OK;
    int right = 0;
    for (int i = 0; i < QUESTIONS && !status; i++) {
        peft_few_shot_desc desc = {.context = ctx, .tokenizer = peft_model_tokenizer(model), .examples = examples, .shots = shots, .question = questions[i],
                                   .shot = "Review: {{prompt}}\nLabel: {{completion}}\n\n", .query = "Review: {{prompt}}\nLabel:",
                                   .context_window = window, .reserve = 8};
        peft_few_shot_result prompt;
        int best = 0;
        double margin = 0;
        status = peft_few_shot(&desc, &prompt);
        if (status) break;
        status = choose(model, prompt.text, &best, &margin);
        right += strcmp(choices[best], answers[i]) == 0;
        printf("  %-52s %s by %4.1f nats   %lld tokens, %lld of %lld examples shown", questions[i], choices[best], margin, (long long)prompt.tokens,
               (long long)(prompt.chosen - prompt.dropped), (long long)prompt.chosen);
        for (int64_t k = 0; k < prompt.dropped; k++)
            printf("%s \"%s\"", k ? "," : "; did not fit:", peft_dataset_prompt(examples, prompt.indices[k]));
        printf("\n");
        if (i == 0 && shots == 1) printf("--- the prompt ---\n%s\n------------------\n", prompt.text);
        peft_few_shot_free(ctx, &prompt);
    }
    if (!status) printf("  %d of %d right\n", right, QUESTIONS);
    return status;
}

int main(int argc, char **argv) {
    peft_context *ctx = NULL;
    peft_model *model = NULL;
    peft_dataset *examples = NULL;
    if (peft_context_create(&(peft_context_desc){.threads = 2}, &ctx)) return 1;
    peft_status status = peft_mount(ctx, "reviews.jsonl", reviews, sizeof(reviews) - 1);  // compiled in: no file is read
    if (!status) status = peft_model_load(&(peft_model_desc){.context = ctx, .path = argc > 1 ? argv[1] : "examples/model"}, &model);
    if (!status) status = peft_dataset_load(&(peft_dataset_desc){.context = ctx, .path = "reviews.jsonl", .prompt = "{{text}}", .completion = "{{label}}"}, &examples);
    if (!status) {
        static const int64_t shots[] = {0, 1, 4, 6};
        for (int i = 0; i < 4 && !status; i++) {
            printf("%lld-shot, a window of 80 tokens\n", (long long)shots[i]);
            status = ask(ctx, model, examples, shots[i], 80);
        }
    }
    if (status) fprintf(stderr, "%s\n", peft_error(ctx));
    peft_dataset_destroy(examples);
    peft_model_destroy(model);
    peft_context_destroy(ctx);
    return status != PEFT_OK;
}
