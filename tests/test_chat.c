// Conversations as training data, through the public interface: which tokens are learned under four templates, and
// that the loss of several turns is the one that a computation by hand gives.
//   cc -std=c11 -O2 -DPEFT_USE_PTHREADS -I. tests/test_chat.c -o build/test_chat -pthread -lm
#define PEFT_NO_METRICS  // what this program needs of the header
#define PEFT_IMPLEMENTATION
#include "peft.h"
#include "check.h"
#include <math.h>
#include <stdio.h>

static int passed, failed;
static peft_context *ctx;
static const char folder[] = "tests/data/chat";  // ids: the 256 bytes, then these
static const char *const special[] = {"<|im_start|>", "<|im_end|>", "<s>", "</s>", "<|start_header_id|>", "<|end_header_id|>",
                                      "<|eot_id|>", "<start_of_turn>", "<end_of_turn>"};
enum { SPECIALS = 9, IM_END = 257, MOST = 512 };

static void check(bool ok, const char *what) {
    if (test_count(&passed, &failed, ok, what)) printf("FAIL %s (%s)\n", what, peft_error(ctx));
}

// The ids and the mask that a marked text stands for: what is between { and } is learned.
static int64_t expected(const char *marked, int32_t *ids, int32_t *mask) {
    int64_t n = 0;
    int32_t learned = 0;
    for (const char *p = marked; *p;) {
        int k = 0;
        if (*p == '{' || *p == '}') {
            learned = *p++ == '{';
            continue;
        }
        while (k < SPECIALS && strncmp(p, special[k], strlen(special[k])) != 0) k++;
        ids[n] = k < SPECIALS ? 256 + k : (unsigned char)*p;
        mask[n++] = learned;
        p += k < SPECIALS ? strlen(special[k]) : 1;
    }
    return n;
}

static void test_mask(peft_chat *c, const char *name, const char *talk, peft_chat_turns turns, const char *marked) {
    int32_t want[MOST], want_mask[MOST];
    int64_t n = expected(marked, want, want_mask);
    peft_ids ids = {NULL, 0, 0}, mask = {NULL, 0, 0};
    peft_status status = peft_chat_tokens(c, talk, turns, &ids, &mask);
    bool same = !status && ids.count == n && mask.count == n;
    for (int64_t i = 0; same && i < n; i++) same = ids.data[i] == want[i] && mask.data[i] == want_mask[i];
    check(same, name);
    peft_ids_free(ctx, &ids);
    peft_ids_free(ctx, &mask);
}

static const char talk[] = "{\"messages\": [{\"role\": \"user\", \"content\": \"Hi\"}, {\"role\": \"assistant\", \"content\": \"Hello!\"}, "
                           "{\"role\": \"user\", \"content\": \"Two?\"}, {\"role\": \"assistant\", \"content\": \"2\"}]}";

// Each template with the marked texts of the three choices of turns.
static const struct {
    const char *name, *jinja, *marked[3];
} templates[] = {
    {"ChatML",
     "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}",
     {"<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n{Hello!<|im_end|>\n}<|im_start|>user\nTwo?<|im_end|>\n<|im_start|>assistant\n{2<|im_end|>\n}",
      "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nHello!<|im_end|>\n<|im_start|>user\nTwo?<|im_end|>\n<|im_start|>assistant\n{2<|im_end|>\n}",
      "{<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nHello!<|im_end|>\n<|im_start|>user\nTwo?<|im_end|>\n<|im_start|>assistant\n2<|im_end|>\n}"}},
    {"Llama 2",
     "{% for m in messages %}{% if m.role == 'user' %}{{ '<s>[INST] ' + m.content + ' [/INST]' }}{% else %}{{ ' ' + m.content + ' </s>' }}{% endif %}{% endfor %}",
     {"<s>[INST] Hi [/INST]{ Hello! </s>}<s>[INST] Two? [/INST]{ 2 </s>}", "<s>[INST] Hi [/INST] Hello! </s><s>[INST] Two? [/INST]{ 2 </s>}",
      "{<s>[INST] Hi [/INST] Hello! </s><s>[INST] Two? [/INST] 2 </s>}"}},
    {"Llama 3",
     "{% for m in messages %}<|start_header_id|>{{ m.role }}<|end_header_id|>\n\n{{ m.content | trim }}<|eot_id|>{% endfor %}"
     "{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}",
     {"<|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n{Hello!<|eot_id|>}"
      "<|start_header_id|>user<|end_header_id|>\n\nTwo?<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n{2<|eot_id|>}",
      "<|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\nHello!<|eot_id|>"
      "<|start_header_id|>user<|end_header_id|>\n\nTwo?<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n{2<|eot_id|>}",
      "{<|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\nHello!<|eot_id|>"
      "<|start_header_id|>user<|end_header_id|>\n\nTwo?<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n2<|eot_id|>}"}},
    {"Gemma",
     "<s>{% for m in messages %}<start_of_turn>{{ 'model' if m.role == 'assistant' else m.role }}\n{{ m.content | trim }}<end_of_turn>\n{% endfor %}"
     "{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}",
     {"<s><start_of_turn>user\nHi<end_of_turn>\n<start_of_turn>model\n{Hello!<end_of_turn>\n}<start_of_turn>user\nTwo?<end_of_turn>\n<start_of_turn>model\n{2<end_of_turn>\n}",
      "<s><start_of_turn>user\nHi<end_of_turn>\n<start_of_turn>model\nHello!<end_of_turn>\n<start_of_turn>user\nTwo?<end_of_turn>\n<start_of_turn>model\n{2<end_of_turn>\n}",
      "{<s><start_of_turn>user\nHi<end_of_turn>\n<start_of_turn>model\nHello!<end_of_turn>\n<start_of_turn>user\nTwo?<end_of_turn>\n<start_of_turn>model\n2<end_of_turn>\n}"}}};

static void test_masks(void) {
    static const char *const turns[] = {"every answer", "the last answer", "everything"};
    // the same talk as ShareGPT has it, and a single turn as Alpaca has it
    static const char sharegpt[] = "{\"conversations\": [{\"from\": \"human\", \"value\": \"Hi\"}, {\"from\": \"gpt\", \"value\": \"Hello!\"}, "
                                   "{\"from\": \"human\", \"value\": \"Two?\"}, {\"from\": \"gpt\", \"value\": \"2\"}]}";
    static const char alpaca[] = "{\"instruction\": \"Add.\", \"input\": \"1+1\", \"output\": \"2\"}";
    peft_tokenizer *t = NULL;
    check(!peft_tokenizer_load(ctx, folder, &t), "the vocabulary of bytes");
    for (size_t i = 0; i < sizeof(templates) / sizeof(templates[0]); i++) {
        peft_chat *c = NULL;
        peft_chat_desc d = {.context = ctx, .text = templates[i].jinja, .tokenizer = t};
        char name[80];
        snprintf(name, sizeof(name), "%s opens", templates[i].name);
        check(!peft_chat_open(&d, &c), name);
        for (int k = 0; c && k < 3; k++) {
            snprintf(name, sizeof(name), "%s: the mask of %s", templates[i].name, turns[k]);
            test_mask(c, name, talk, (peft_chat_turns)k, templates[i].marked[k]);
            snprintf(name, sizeof(name), "%s: the mask of %s of ShareGPT's form", templates[i].name, turns[k]);
            test_mask(c, name, sharegpt, (peft_chat_turns)k, templates[i].marked[k]);
        }
        if (c && i == 0) test_mask(c, "ChatML: Alpaca's form", alpaca, PEFT_TURNS_ASSISTANT, "<|im_start|>user\nAdd.\n\n1+1<|im_end|>\n<|im_start|>assistant\n{2<|im_end|>\n}");
        peft_chat_close(c);
    }
    peft_tokenizer_destroy(t);
}

// -log p of a label, from the scores of the row before it: log(sum of exp) - the label's score.
static double surprise(const float *scores, int64_t vocab, int32_t label) {
    double most = -HUGE_VAL, sum = 0;
    for (int64_t i = 0; i < vocab; i++) most = fmax(most, (double)scores[i]);
    for (int64_t i = 0; i < vocab; i++) sum += exp((double)scores[i] - most);
    return most + log(sum) - (double)scores[label];
}

// The mean over the learned tokens, the whole conversation read once. An answer ends with the model's end token: the
// line break that ChatML puts behind it is not learned.
static double loss_by_hand(peft_model *m, const peft_ids *ids, const peft_ids *mask, int64_t *labels) {
    int64_t n = ids->count - 1, none[2] = {0, 0}, ends[2] = {0, n};
    peft_batch batch = {.count = 1, .source_offsets = none, .decoder_input = ids->data, .labels = ids->data + 1, .target_offsets = ends};
    peft_tape *tape = NULL;
    double sum = 0;
    *labels = 0;
    if (peft_tape_create(ctx, &tape)) return NAN;
    peft_tape_inference(tape, true);
    peft_tensor *hidden = peft_model_hidden(m, tape, &batch, NULL, 0), *scores = peft_model_logits(m, tape, hidden, NULL, 0);
    for (int64_t i = 0; scores && i < n; i++) {
        bool behind = ids->data[i] == IM_END && ids->data[i + 1] == '\n';
        if (!mask->data[i + 1] || behind) continue;
        sum += surprise((const float *)scores->data + i * scores->cols, scores->cols, ids->data[i + 1]);
        ++*labels;
    }
    peft_tape_destroy(tape);
    return scores ? sum / (double)*labels : (double)NAN;
}

static void test_loss(void) {
    static const char path[] = "talk.jsonl";
    peft_model *m = NULL;
    peft_chat *c = NULL;
    peft_ids ids = {NULL, 0, 0}, mask = {NULL, 0, 0};
    check(!peft_model_load(&(peft_model_desc){.context = ctx, .path = folder, .config_only = true, .seed = 5}, &m), "a model");
    if (!m || peft_chat_open(&(peft_chat_desc){.context = ctx, .path = folder, .tokenizer = peft_model_tokenizer(m)}, &c)) {
        check(false, "its chat");
        return;
    }
    peft_mount(ctx, path, talk, strlen(talk));
    for (int k = 0; k < 2; k++) {  // every answer; the last one
        peft_dataset *data = NULL;
        double loss = 0;
        int64_t labels = 0;
        ids.count = mask.count = 0;
        check(!peft_dataset_load(&(peft_dataset_desc){.context = ctx, .path = path, .chat = c, .turns = (peft_chat_turns)k}, &data), "the conversation as data");
        check(peft_dataset_count(data) == (k ? 1 : 2), "an example for each answer");
        check(!peft_chat_tokens(c, talk, (peft_chat_turns)k, &ids, &mask), "its tokens");
        double want = loss_by_hand(m, &ids, &mask, &labels);
        check(labels == (k ? 2 : 9), "the labels: Hello! and 2, each with its end");
        check(!peft_evaluate_loss(m, NULL, data, 0, 0, &loss) && fabs(loss - want) < 1e-5 * want, k ? "the loss of the last answer, by hand" : "the loss of two answers, by hand");
        if (!(fabs(loss - want) < 1e-5 * want)) printf("  got %.8f, by hand %.8f\n", loss, want);
        peft_train_result result;
        peft_status status = peft_train(&(peft_train_desc){.model = m, .data = data, .max_steps = 1, .batch_size = 2, .learning_rate = 1e-9f}, &result);
        check(!status && fabs(result.loss - want) < 1e-5 * want, "the loss of a training step, by hand");
        // the conversation up to its first answer has 28 tokens, up to its second 54
        check(!status && result.padding == (k ? 0 : 26), "what padding would have added");
        peft_dataset_destroy(data);
    }
    peft_ids_free(ctx, &ids);
    peft_ids_free(ctx, &mask);
    peft_chat_close(c);
    peft_model_destroy(m);
}

static char logged[400];

static void note_log(const char *line, void *user) {
    (void)user;
    snprintf(logged, sizeof(logged), "%s", line);
}

// Prompts of a conversation under a limit: with its system's message, up to the answers they have 39, 70 and 95 tokens.
static void test_long(void) {
    static const char chatml[] = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
                                 "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}",
                      blocks[] = "{% for m in messages %}<|im_start|>{{ m.role }}\n{% if m.role == 'assistant' %}{% generation %}{{ m.content }}"
                                 "<|im_end|>{% endgeneration %}{% else %}{{ m.content }}<|im_end|>{% endif %}{{ '\\n' }}{% endfor %}"
                                 "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}",
                      line[] = "{\"messages\": [{\"role\": \"system\", \"content\": \"Be kind.\"}, {\"role\": \"user\", \"content\": \"Hi\"}, "
                               "{\"role\": \"assistant\", \"content\": \"Hello!\"}, {\"role\": \"user\", \"content\": \"Two?\"}, "
                               "{\"role\": \"assistant\", \"content\": \"2\"}, {\"role\": \"user\", \"content\": \"Bye\"}, "
                               "{\"role\": \"assistant\", \"content\": \"Bye!\"}]}";
#define SYSTEM "<|im_start|>system\nBe kind.<|im_end|>\n"
#define USER(text) "<|im_start|>user\n" text "<|im_end|>\n<|im_start|>assistant\n"
#define HI USER("Hi") "Hello!<|im_end|>\n"
#define TWO USER("Two?") "2<|im_end|>\n"
    static const struct {
        int64_t limit;
        peft_chat_turns turns;
        const char *prompts[4], *log;
    } cases[] = {
        {0, PEFT_TURNS_ASSISTANT, {SYSTEM USER("Hi"), SYSTEM HI USER("Two?"), SYSTEM HI TWO USER("Bye")}, ""},
        {95, PEFT_TURNS_ASSISTANT, {SYSTEM USER("Hi"), SYSTEM HI USER("Two?"), SYSTEM HI TWO USER("Bye")}, ""},
        {94, PEFT_TURNS_ASSISTANT, {SYSTEM USER("Hi"), SYSTEM HI USER("Two?"), SYSTEM TWO USER("Bye")}, ": 1 examples go without"},
        {69, PEFT_TURNS_ASSISTANT, {SYSTEM USER("Hi"), SYSTEM USER("Two?"), SYSTEM TWO USER("Bye")}, ": 2 examples go without"},
        {65, PEFT_TURNS_ASSISTANT, {SYSTEM USER("Hi"), SYSTEM USER("Two?"), SYSTEM USER("Bye")}, "tokens before an answer; 0 answers"},
        {40, PEFT_TURNS_ASSISTANT, {SYSTEM USER("Hi"), SYSTEM USER("Bye")}, "40 tokens before an answer; 1 answers"},
        {38, PEFT_TURNS_ASSISTANT, {NULL}, ": 0 examples go without"},
        {94, PEFT_TURNS_LAST, {SYSTEM TWO USER("Bye")}, ": 1 examples go without"},
        {40, PEFT_TURNS_LAST, {SYSTEM USER("Bye")}, ": 1 examples go without"},
        {39, PEFT_TURNS_LAST, {NULL}, "39 tokens before an answer; 1 answers"},
        {5, PEFT_TURNS_ALL, {""}, ""}};
    static const char *const answers[] = {"Hello!<|im_end|>", "2<|im_end|>", "Bye!<|im_end|>"};
    peft_tokenizer *t = NULL;
    peft_context_desc cd = {.log = note_log};
    peft_context *plain = ctx;
    check(!peft_context_create(&cd, &ctx) && !peft_tokenizer_load(ctx, folder, &t), "the vocabulary of bytes");
    peft_mount(ctx, "long.jsonl", line, strlen(line));
    for (int b = 0; b < 2; b++) {
        peft_chat *c = NULL;
        check(!peft_chat_open(&(peft_chat_desc){.context = ctx, .text = b ? blocks : chatml, .tokenizer = t}, &c), "a chat");
        for (size_t i = 0; c && i < sizeof(cases) / sizeof(cases[0]); i++) {
            char name[100];
            peft_dataset *data = NULL;
            logged[0] = 0;
            snprintf(name, sizeof(name), "at most %d tokens before an answer, case %d", (int)cases[i].limit, (int)i);
            bool ok = !peft_dataset_load(&(peft_dataset_desc){.context = ctx, .path = "long.jsonl", .chat = c, .turns = cases[i].turns,
                                         .max_source = cases[i].limit}, &data);
            int64_t n = 0;
            for (; ok && cases[i].prompts[n]; n++) {
                const char *prompt = peft_dataset_prompt(data, n), *answer = peft_dataset_completion(data, n);
                int which = strstr(cases[i].prompts[n], USER("Bye")) ? 2 : strstr(cases[i].prompts[n], USER("Two?")) ? 1 : 0;
                ok = prompt && strcmp(prompt, cases[i].prompts[n]) == 0 &&
                     (cases[i].turns == PEFT_TURNS_ALL || strncmp(answer, answers[which], strlen(answers[which])) == 0);
            }
            ok = ok && peft_dataset_count(data) == n && (*cases[i].log ? strstr(logged, cases[i].log) != NULL : !logged[0]);
            check(ok, name);
            if (!ok) printf("  example %d of %d: \"%s\"; %s\n", (int)n - 1, (int)peft_dataset_count(data), n ? peft_dataset_prompt(data, n - 1) : "", logged);
            peft_dataset_destroy(data);
        }
        peft_chat_close(c);
    }
    peft_chat *bare = NULL;
    peft_dataset *data = NULL;
    check(!peft_chat_open(&(peft_chat_desc){.context = ctx, .text = chatml}, &bare), "a chat without a tokenizer");
    check(peft_dataset_load(&(peft_dataset_desc){.context = ctx, .path = "long.jsonl", .chat = bare, .max_source = 9}, &data) ==
          PEFT_ERROR_ARGUMENT && strstr(peft_error(ctx), "max_source is 9, and the chat has no tokenizer"), "nothing to count with");
    peft_chat_close(bare);
    peft_tokenizer_destroy(t);
    peft_context_destroy(ctx);
    ctx = plain;
}

// A Llama whose tokenizer says in one way or another whether a prompt begins with <s>; the same after it was a GGUF.
static void test_begin(void) {
    static const char config[] = "{\"model_type\": \"llama\", \"hidden_size\": 32, \"intermediate_size\": 64, \"num_hidden_layers\": 1, "
                                 "\"num_attention_heads\": 2, \"vocab_size\": 265, \"max_position_embeddings\": 64, "
                                 "\"tie_word_embeddings\": true, \"bos_token_id\": 258, \"eos_token_id\": 259}";
    static const char around[] = "\"post_processor\": {\"type\": \"TemplateProcessing\", \"single\": [{\"SpecialToken\": "
                                 "{\"id\": \"<s>\", \"type_id\": 0}}, {\"Sequence\": {\"id\": \"A\", \"type_id\": 0}}], \"pair\": [], "
                                 "\"special_tokens\": {\"<s>\": {\"id\": \"<s>\", \"ids\": [258], \"tokens\": [\"<s>\"]}}}";
    static const struct {
        const char *name, *config;
        bool processor, begins;
    } cases[] = {{"another class, nothing around", "{\"tokenizer_class\": \"GPT2Tokenizer\", \"bos_token\": \"<s>\"}", false, false},
                 {"<s> in the post-processor", "{\"tokenizer_class\": \"GPT2Tokenizer\", \"bos_token\": \"<s>\"}", true, true},
                 {"Llama's class", "{\"tokenizer_class\": \"LlamaTokenizer\", \"bos_token\": \"<s>\"}", false, true},
                 {"add_bos_token false", "{\"tokenizer_class\": \"LlamaTokenizer\", \"add_bos_token\": false, \"bos_token\": \"<s>\"}", false, false},
                 {"add_bos_token true", "{\"tokenizer_class\": \"PreTrainedTokenizerFast\", \"add_bos_token\": true, \"bos_token\": \"<s>\", "
                  "\"chat_template\": [{\"name\": \"tool\", \"template\": \"?\"}, {\"name\": \"default\", \"template\": \"<s>hello\"}]}", false, true}};
    static char text[8192], json[12288];
    FILE *f = fopen("tests/data/chat/tokenizer.json", "rb");
    size_t n = f ? fread(text, 1, sizeof(text) - 1, f) : 0;
    if (f) fclose(f);
    text[n] = 0;
    static const char none[] = "\"post_processor\":null";
    char *at = strstr(text, none);
    check(at != NULL, "the vocabulary has no post-processor");
    for (size_t i = 0; at && i < sizeof(cases) / sizeof(cases[0]); i++) {
        static const char gguf[] = "build/test_chat.gguf";
        char name[120];
        peft_model *m = NULL, *again = NULL;
        snprintf(json, sizeof(json), "%.*s%s%s", (int)(at - text), text, cases[i].processor ? around : none, at + strlen(none));
        peft_mount(ctx, "begin/config.json", config, strlen(config));
        peft_mount(ctx, "begin/tokenizer.json", json, strlen(json));
        peft_mount(ctx, "begin/tokenizer_config.json", cases[i].config, strlen(cases[i].config));
        snprintf(name, sizeof(name), "%s: does a prompt begin with <s>?", cases[i].name);
        check(!peft_model_load(&(peft_model_desc){.context = ctx, .path = "begin", .config_only = true}, &m) &&
                  peft_model_begins_with_bos(m) == cases[i].begins, name);
        snprintf(name, sizeof(name), "%s: the same as GGUF", cases[i].name);
        check(m && !peft_model_save(m, gguf, PEFT_F32) && !peft_model_load(&(peft_model_desc){.context = ctx, .path = gguf}, &again) &&
                  peft_model_begins_with_bos(again) == cases[i].begins, name);
        // a prompt that has <s> written gets no second one
        char *once = NULL, *written = NULL;
        check(m && !peft_generate_text(&(peft_generate_desc){.model = m, .max_new_tokens = 8}, "ab", &once) &&
                  !peft_generate_text(&(peft_generate_desc){.model = m, .max_new_tokens = 8}, "<s>ab", &written) &&
                  (!cases[i].begins || strcmp(once, written) == 0), "<s> is not put before <s>");
        peft_free(ctx, once);
        peft_free(ctx, written);
        if (strstr(cases[i].config, "chat_template")) {  // goes into the GGUF
            peft_chat *c = NULL;
            const char *said = "";
            size_t size;
            check(!peft_chat_open(&(peft_chat_desc){.context = ctx, .path = gguf}, &c) &&
                      !peft_chat_text(c, talk, true, &said, &size) && strcmp(said, "<s>hello") == 0, "the chat template in the GGUF");
            peft_chat_close(c);
        }
        peft_model_destroy(again);
        peft_model_destroy(m);
        remove(gguf);
    }
    check(!peft_model_begins_with_bos(NULL), "no model begins with nothing");
}

int main(void) {
    if (peft_context_create(NULL, &ctx)) return 1;
    test_begin();
    test_masks();
    test_loss();
    test_long();
    peft_context_destroy(ctx);
    printf("%d passed, %d failed\n", passed, failed);
    return failed > 0;
}
