// Learning from examples in the prompt, without training: zero-, one- and few-shot, with tokens counted.
//   cc -O2 -I. -o build/in_context examples/in_context.c -DPEFT_USE_PTHREADS -pthread -lm
//   build/in_context examples/model
#define PEFT_IMPLEMENTATION
#include "peft.h"

#include <stdio.h>
#include <string.h>

// What a note is no instruction says: the examples do.
static const char sentences[] =
    "{\"text\": \"Ellen took the ladder to the harbor on Monday.\", \"note\": \"the harbor - Ellen\"}\n"
    "{\"text\": \"Mark took the camera to the school on Friday.\", \"note\": \"the school - Mark\"}\n"
    "{\"text\": \"Vera took the tent to the lake on Sunday.\", \"note\": \"the lake - Vera\"}\n"
    "{\"text\": \"Hugo took the piano to the hotel on Tuesday.\", \"note\": \"the hotel - Hugo\"}\n";

enum { QUESTIONS = 8 };
static const struct {
    const char *text, *note;
} questions[QUESTIONS] = {
    {"Anna took the bike to the park on Monday.", "the park - Anna"},
    {"Ben lost the watch at the museum on Sunday.", "the museum - Ben"},
    {"Kate took the radio to the office on Friday.", "the office - Kate"},
    {"Oscar brings cheese to the beach at noon.", "the beach - Oscar"},
    {"Julia took the mirror to the bank on Thursday.", "the bank - Julia"},
    {"Peter lost the map at the airport on Tuesday.", "the airport - Peter"},
    {"Nora took the guitar to the theater on Saturday.", "the theater - Nora"},
    {"Max brings fruit to the library at six.", "the library - Max"}};

// The model's answer, and the log probability of the right one: 0 is certain.
static peft_status answer(peft_model *model, const char *prompt, const char *right, char **text, double *score) {
    peft_status status = peft_score_completions(&(peft_score_desc){.model = model, .prompt = prompt, .completions = &right, .count = 1, .with_end = true}, score);
    if (status) return status;
    return peft_generate_texts(&(peft_generate_desc){.model = model, .max_new_tokens = 16}, &prompt, 1, text);
}

static peft_status ask(peft_context *ctx, peft_model *model, const peft_dataset *examples, int64_t shots, int64_t window) {
    peft_status status = PEFT_OK;
    int right = 0;
    for (int i = 0; i < QUESTIONS && !status; i++) {
        peft_few_shot_desc desc = {.context = ctx, .tokenizer = peft_model_tokenizer(model), .examples = examples, .shots = shots, .question = questions[i].text,
                                   .shot = "Sentence: {{prompt}}\nNote: {{completion}}\n\n", .query = "Sentence: {{prompt}}\nNote:",
                                   .context_window = window, .reserve = 16};
        peft_few_shot_result prompt;
        char *text = NULL;
        double score = 0;
        status = peft_few_shot(&desc, &prompt);
        if (status) break;
        if (i == 0 && shots == 1) printf("--- the prompt ---\n%s\n------------------\n", prompt.text);
        status = answer(model, prompt.text, questions[i].note, &text, &score);
        if (!status) {
            right += strcmp(text, questions[i].note) == 0;
            printf("  %-49s %-20s right: %4.1f nats   %lld tokens, %lld of %lld examples shown", questions[i].text, text, -score, (long long)prompt.tokens,
                   (long long)(prompt.chosen - prompt.dropped), (long long)prompt.chosen);
            for (int64_t k = 0; k < prompt.dropped; k++)
                printf("%s \"%s\"", k ? "," : "; did not fit:", peft_dataset_prompt(examples, prompt.indices[k]));
            printf("\n");
        }
        peft_free(ctx, text);
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
    peft_status status = peft_mount(ctx, "sentences.jsonl", sentences, sizeof(sentences) - 1);  // compiled in: no file is read
    if (!status) status = peft_model_load(&(peft_model_desc){.context = ctx, .path = argc > 1 ? argv[1] : "examples/model"}, &model);
    if (!status) status = peft_dataset_load(&(peft_dataset_desc){.context = ctx, .path = "sentences.jsonl", .prompt = "{{text}}", .completion = "{{note}}"}, &examples);
    if (!status) {
        static const int64_t shots[] = {0, 1, 2, 4};
        for (int i = 0; i < 4 && !status; i++) {
            printf("%lld-shot, a window of 90 tokens\n", (long long)shots[i]);
            status = ask(ctx, model, examples, shots[i], 90);
        }
    }
    if (status) fprintf(stderr, "%s\n", peft_error(ctx));
    peft_dataset_destroy(examples);
    peft_model_destroy(model);
    peft_context_destroy(ctx);
    return status != PEFT_OK;
}
