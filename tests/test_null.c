// NULL is an error, never a crash: every public call is given NULL for each of its pointers, alone and in zeroed descriptors.
// A call that crashes ends a child process, not the test.
#define _DEFAULT_SOURCE
#define PEFT_IMPLEMENTATION
#include "peft.h"
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static int passed, failed;
static peft_context *ctx;

// REFUSES: gives a status other than PEFT_OK. CALM: returns at all.
#define IN_CHILD(what, text)                                                                                           \
    do {                                                                                                               \
        fflush(stdout);                                                                                                \
        pid_t child = fork();                                                                                          \
        if (child == 0) {                                                                                              \
            signal(SIGSEGV, SIG_DFL);                                                                                  \
            int bad = what;                                                                                            \
            _exit(bad);                                                                                                \
        }                                                                                                              \
        int code = 0;                                                                                                  \
        waitpid(child, &code, 0);                                                                                      \
        if (WIFEXITED(code) && WEXITSTATUS(code) == 0) passed++;                                                       \
        else failed++, printf("FAIL: %s: %s\n", text, WIFEXITED(code) ? "accepted or aborted" : "crashed");            \
    } while (0)
#define REFUSES(call) IN_CHILD((call) == PEFT_OK, #call)
#define CALM(call) IN_CHILD(((void)(call), 0), #call)

// A zeroed descriptor of any type.
static const int64_t zeros[256];
#define ZERO(type) ((const type *)(const void *)zeros)

static peft_model *tiny_model(void) {
    static const char config[] =
        "{\"model_type\": \"llama\", \"architectures\": [\"LlamaForCausalLM\"], \"vocab_size\": 40, \"hidden_size\": 8, "
        "\"intermediate_size\": 16, \"num_hidden_layers\": 1, \"num_attention_heads\": 2, \"num_key_value_heads\": 1, "
        "\"max_position_embeddings\": 32, \"rms_norm_eps\": 1e-6, \"hidden_act\": \"silu\"}";
    peft_model_desc d;
    peft_model *model = NULL;
    memset(&d, 0, sizeof(d));
    d.context = ctx;
    d.path = "tiny";
    d.config_only = true;
    peft_mount(ctx, "tiny/config.json", config, sizeof(config) - 1);
    if (peft_model_load(&d, &model)) printf("FAIL: %s\n", peft_error(ctx)), failed++;
    return model;
}

static void contexts_and_tensors(void) {
    peft_tensor *t = NULL;
    peft_tape *tape = NULL;
    peft_tensor_create(ctx, "t", 2, 2, &t);
    peft_tape_create(ctx, &tape);
    REFUSES(peft_context_create(NULL, NULL));
    CALM(peft_error(NULL));
    CALM(peft_context_destroy(NULL));
    CALM(peft_simd_in_use(NULL));
    CALM(peft_thread_count(NULL));
    CALM(peft_memory_in_use(NULL));
    CALM(peft_memory_peak(NULL));
    CALM(peft_free(NULL, NULL));
    CALM(peft_free(ctx, NULL));
    REFUSES(peft_mount(NULL, "a", "b", 1));
    REFUSES(peft_mount(ctx, NULL, "b", 1));
    REFUSES(peft_mount(ctx, "a", NULL, 1));
    REFUSES(peft_unmount(NULL, "a"));
    REFUSES(peft_unmount(ctx, NULL));
    REFUSES(peft_sgemm(NULL, false, false, 1, 1, 1, 1, NULL, 1, NULL, 1, 0, NULL, 1));
    REFUSES(peft_sgemm(ctx, false, false, 1, 1, 1, 1, NULL, 1, NULL, 1, 0, NULL, 1));
    REFUSES(peft_tensor_create(NULL, "t", 2, 2, &t));
    REFUSES(peft_tensor_create(ctx, "t", 2, 2, NULL));
    CALM(peft_tensor_destroy(ctx, NULL));
    CALM(peft_tensor_destroy(NULL, NULL));
    REFUSES(peft_require_grad(NULL, t));
    REFUSES(peft_require_grad(ctx, NULL));
    CALM(peft_freeze(ctx, NULL));
    CALM(peft_freeze(NULL, NULL));
    REFUSES(peft_tape_create(NULL, &tape));
    REFUSES(peft_tape_create(ctx, NULL));
    CALM(peft_tape_destroy(NULL));
    CALM(peft_tape_reset(NULL, 0));
    REFUSES(peft_tape_status(NULL));
    CALM(peft_tape_inference(NULL, true));
    CALM(peft_tape_checkpoint_blocks(NULL, true));
    REFUSES(peft_backward(NULL, t));
    REFUSES(peft_backward(tape, NULL));
    CALM(peft_input(NULL, 1, 1, NULL));
    CALM(peft_embedding(tape, NULL, NULL, 1));
    CALM(peft_embedding(tape, t, NULL, 1));
    CALM(peft_linear(NULL, t, t, NULL));
    CALM(peft_linear(tape, NULL, NULL, NULL));
    CALM(peft_linear_with(tape, NULL));
    CALM(peft_linear_with(tape, ZERO(peft_linear_desc)));
    CALM(peft_rms_norm(tape, NULL, NULL, 1));
    CALM(peft_rms_norm(tape, t, NULL, 1));
    CALM(peft_layer_norm(tape, NULL, NULL, NULL, 1));
    CALM(peft_activation(tape, NULL, PEFT_RELU));
    CALM(peft_gated(tape, NULL, NULL, PEFT_RELU));
    CALM(peft_gated(tape, t, NULL, PEFT_RELU));
    CALM(peft_add(tape, NULL, NULL));
    CALM(peft_add(tape, t, NULL));
    CALM(peft_add(NULL, t, t));
    CALM(peft_scale(tape, NULL, 1));
    CALM(peft_dropout(tape, NULL, 0.5f));
    CALM(peft_dropout(NULL, t, 0.5f));
    CALM(peft_mse(tape, NULL, NULL));
    CALM(peft_mse(tape, t, NULL));
    CALM(peft_multiply(tape, NULL, NULL, 0, 1));
    CALM(peft_columns(tape, NULL, 0, 1, 1, 1));
    CALM(peft_rotary(tape, NULL, 1, 2, NULL, NULL));
    CALM(peft_rotary(tape, t, 1, 2, NULL, NULL));
    CALM(peft_rotary(tape, t, 1, 2, (const float *)t->data, NULL));
    CALM(peft_prepend(tape, NULL, NULL, NULL, 1));
    CALM(peft_prepend(tape, t, t, NULL, 1));
    CALM(peft_attention(tape, NULL));
    CALM(peft_attention(tape, ZERO(peft_attention_desc)));
    CALM(peft_attention(tape, (&(peft_attention_desc){.q = t, .k = t, .v = t, .heads = 1, .sequences = 1})));
    CALM(peft_linear_with(tape, (&(peft_linear_desc){.x = t, .weight = t, .path_count = 1})));
    CALM(peft_linear_with(tape, (&(peft_linear_desc){.x = t, .weight = t, .path_count = -1})));
    CALM(peft_cross_entropy(tape, NULL, NULL, NULL, 0));
    CALM(peft_cross_entropy(tape, t, t, NULL, 0));
    CALM(peft_recompute(tape, NULL, NULL, 0, NULL, 0));
    REFUSES(peft_quantize(NULL, t, NULL, &t));
    REFUSES(peft_quantize(ctx, NULL, NULL, &t));
    REFUSES(peft_quantize(ctx, t, ZERO(peft_quantize_desc), NULL));
    REFUSES(peft_dequantize(ctx, NULL, NULL));
    REFUSES(peft_dequantize(ctx, t, NULL));
    REFUSES(peft_quantize_compare(ctx, NULL, NULL, NULL));
    CALM(peft_tensor_bytes(NULL));
    peft_tape_destroy(tape);
    peft_tensor_destroy(ctx, t);
}

static void files(void) {
    peft_archive *a = NULL;
    peft_gguf *g = NULL;
    peft_gguf_writer *w = NULL;
    peft_tokenizer *t = NULL;
    char *text = NULL;
    peft_ids ids;
    memset(&ids, 0, sizeof(ids));
    peft_gguf_writer_create(ctx, &w);
    REFUSES(peft_archive_open(NULL, "x", &a));
    REFUSES(peft_archive_open(ctx, NULL, &a));
    REFUSES(peft_archive_open(ctx, "tiny/config.json", NULL));
    CALM(peft_archive_close(NULL));
    CALM(peft_archive_count(NULL));
    CALM(peft_archive_at(NULL, 0));
    CALM(peft_archive_find(NULL, "x"));
    REFUSES(peft_safetensors_write(NULL, "x", NULL, 0));
    REFUSES(peft_safetensors_write(ctx, NULL, NULL, 0));
    REFUSES(peft_safetensors_write(ctx, "/nowhere/x", NULL, 1));
    CALM(peft_ggml_type_name(-1));
    REFUSES(peft_gguf_open(NULL, "x", &g));
    REFUSES(peft_gguf_open(ctx, NULL, &g));
    REFUSES(peft_gguf_open(ctx, "tiny/config.json", NULL));
    CALM(peft_gguf_close(NULL));
    CALM(peft_gguf_count(NULL));
    CALM(peft_gguf_at(NULL, 0));
    CALM(peft_gguf_find(NULL, "x"));
    REFUSES(peft_gguf_to_f32(NULL, 0, 0, 1, NULL));
    CALM(peft_gguf_key_count(NULL));
    CALM(peft_gguf_key(NULL, 0));
    CALM(peft_gguf_string(NULL, "k", NULL));
    CALM(peft_gguf_number(NULL, "k", 0));
    CALM(peft_gguf_bool(NULL, "k", false));
    CALM(peft_gguf_array_count(NULL, "k"));
    CALM(peft_gguf_array_string(NULL, "k", 0, NULL));
    CALM(peft_gguf_array_number(NULL, "k", 0, 0));
    REFUSES(peft_gguf_writer_create(NULL, &w));
    REFUSES(peft_gguf_writer_create(ctx, NULL));
    CALM(peft_gguf_writer_destroy(NULL));
    REFUSES(peft_gguf_set_string(NULL, "k", "v"));
    REFUSES(peft_gguf_set_string(w, NULL, "v"));
    REFUSES(peft_gguf_set_string(w, "k", NULL));
    REFUSES(peft_gguf_set_strings(w, "k", NULL, 1));
    REFUSES(peft_gguf_set_number(NULL, "k", PEFT_GGUF_U8, 1));
    REFUSES(peft_gguf_set_numbers(w, "k", PEFT_GGUF_U8, NULL, 1));
    REFUSES(peft_gguf_add(NULL, "n", NULL, PEFT_GGML_F32));
    REFUSES(peft_gguf_add(w, "n", NULL, PEFT_GGML_F32));
    REFUSES(peft_gguf_write(NULL, "x"));
    REFUSES(peft_gguf_write(w, NULL));
    peft_gguf_writer_destroy(w);
    CALM(peft_ids_free(NULL, NULL));
    CALM(peft_ids_free(ctx, NULL));
    REFUSES(peft_tokenizer_load(NULL, "x", &t));
    REFUSES(peft_tokenizer_load(ctx, NULL, &t));
    REFUSES(peft_tokenizer_load(ctx, "x", NULL));
    CALM(peft_tokenizer_destroy(NULL));
    REFUSES(peft_encode(NULL, "x", 1, &ids));
    REFUSES(peft_encode_special(NULL, "x", 1, &ids));
    REFUSES(peft_decode(NULL, NULL, 0, false, &text, NULL));
    CALM(peft_vocab_size(NULL));
    CALM(peft_token_text(NULL, 0));
    CALM(peft_token_id(NULL, "x"));
    CALM(peft_tokenizer_special(NULL).eos);
}

static void models_and_adapters(peft_model *model) {
    peft_model *m = NULL;
    peft_adapter *a = NULL, *lora = NULL;
    peft_adapter_desc d;
    memset(&d, 0, sizeof(d));
    d.model = model;
    if (peft_adapter_create(&d, &lora)) printf("FAIL: %s\n", peft_error(ctx)), failed++;
    int64_t bytes = 0;
    peft_batch batch;
    peft_tape *tape = NULL;
    memset(&batch, 0, sizeof(batch));
    peft_tape_create(ctx, &tape);
    REFUSES(peft_model_load(NULL, &m));
    REFUSES(peft_model_load(ZERO(peft_model_desc), &m));
    REFUSES(peft_model_load(ZERO(peft_model_desc), NULL));
    CALM(peft_model_destroy(NULL));
    REFUSES(peft_model_save(NULL, "x", PEFT_F32));
    REFUSES(peft_model_save(model, NULL, PEFT_F32));
    CALM(peft_model_config(NULL));
    CALM(peft_model_tokenizer(NULL));
    CALM(peft_model_context(NULL));
    CALM(peft_model_parameter_count(NULL));
    CALM(peft_model_tensor_count(NULL));
    CALM(peft_model_tensor(NULL, 0));
    CALM(peft_model_tensor(model, -1));
    CALM(peft_model_tensor(model, 1 << 20));
    CALM(peft_model_find(NULL, "x"));
    CALM(peft_model_find(model, NULL));
    CALM(peft_model_hidden(NULL, tape, &batch, NULL, 0));
    CALM(peft_model_hidden(model, NULL, &batch, NULL, 0));
    CALM(peft_model_hidden(model, tape, NULL, NULL, 0));
    CALM(peft_model_hidden(model, tape, &batch, NULL, 1));
    CALM(peft_model_logits(NULL, tape, NULL, NULL, 0));
    CALM(peft_model_logits(model, tape, NULL, NULL, 0));
    CALM(peft_model_loss(NULL, tape, &batch, NULL, 0, 0));
    CALM(peft_model_loss(model, tape, NULL, NULL, 0, 0));
    batch.count = 1;
    CALM(peft_model_hidden(model, tape, &batch, NULL, 0));
    CALM(peft_model_loss(model, tape, &batch, NULL, 0, 0));
    CALM(peft_method_at(-1));
    CALM(peft_method_named(NULL));
    REFUSES(peft_adapter_create(NULL, &a));
    REFUSES(peft_adapter_create(ZERO(peft_adapter_desc), &a));
    REFUSES(peft_adapter_create(&d, NULL));
    REFUSES(peft_adapter_load(NULL, "x", &a));
    REFUSES(peft_adapter_load(model, NULL, &a));
    REFUSES(peft_adapter_load(model, "x", NULL));
    REFUSES(peft_adapter_save(NULL, "x"));
    REFUSES(peft_adapter_save(lora, NULL));
    CALM(peft_adapter_destroy(NULL));
    REFUSES(peft_adapter_merge(NULL, 1));
    REFUSES(peft_adapter_unmerge(NULL));
    REFUSES(peft_adapter_requantize(NULL, NULL));
    CALM(peft_adapter_settings(NULL));
    CALM(peft_adapter_parameter_count(NULL));
    CALM(peft_adapter_tensor_count(NULL));
    CALM(peft_adapter_tensor(NULL, 0));
    REFUSES(peft_adapter_file_size(NULL, &bytes));
    REFUSES(peft_adapter_file_size(lora, NULL));
    REFUSES(peft_adapter_combine(NULL, &a));
    REFUSES(peft_adapter_combine(ZERO(peft_combine_desc), &a));
    REFUSES(peft_prompt_nearest(NULL, 0, 1, NULL, NULL));
    peft_adapter_destroy(lora);
    peft_tape_destroy(tape);
}

static void generation(peft_model *model) {
    peft_ids ids;
    int32_t one = 1;
    char *text = NULL;
    double p = 0;
    peft_session *s = NULL;
    peft_generate_desc d;
    memset(&d, 0, sizeof(d));
    memset(&ids, 0, sizeof(ids));
    d.model = model;
    REFUSES(peft_generate(NULL, &one, 1, &ids));
    REFUSES(peft_generate(ZERO(peft_generate_desc), &one, 1, &ids));
    REFUSES(peft_generate(&d, NULL, 1, &ids));
    REFUSES(peft_generate(&d, &one, 1, NULL));
    REFUSES(peft_generate_text(NULL, "x", &text));
    REFUSES(peft_generate_text(&d, NULL, &text));
    REFUSES(peft_generate_text(&d, "x", NULL));
    REFUSES(peft_generate_texts(NULL, NULL, 1, &text));
    REFUSES(peft_generate_texts(&d, NULL, 1, &text));
    REFUSES(peft_session_create(NULL, &s));
    REFUSES(peft_session_create(model, NULL));
    CALM(peft_session_destroy(NULL));
    CALM(peft_session_clear(NULL));
    CALM(peft_session_tokens(NULL));
    CALM(peft_session_reused(NULL));
    REFUSES(peft_score_completions(NULL, &p));
    REFUSES(peft_score_completions(ZERO(peft_score_desc), &p));
    REFUSES(peft_text_perplexity(NULL, NULL));
    REFUSES(peft_text_perplexity(ZERO(peft_text_perplexity_desc), NULL));
}

static void data_and_training(peft_model *model) {
    static const char lines[] = "{\"prompt\": \"a\", \"completion\": \"b\"}\n{\"prompt\": \"c\", \"completion\": \"d\"}\n";
    peft_dataset *data = NULL, *x = NULL, *y = NULL;
    peft_dataset_desc d;
    memset(&d, 0, sizeof(d));
    d.context = ctx;
    d.path = "lines.jsonl";
    peft_mount(ctx, d.path, lines, sizeof(lines) - 1);
    if (peft_dataset_load(&d, &data)) printf("FAIL: %s\n", peft_error(ctx)), failed++;
    char *text = NULL;
    double loss = 0;
    peft_few_shot_result few;
    peft_memory_plan plan;
    peft_optimizer *o = NULL;
    peft_optimizer_kind kind;
    peft_chat_message message = {NULL, NULL};
    REFUSES(peft_dataset_load(NULL, &x));
    REFUSES(peft_dataset_load(ZERO(peft_dataset_desc), &x));
    REFUSES(peft_dataset_load(&d, NULL));
    CALM(peft_dataset_destroy(NULL));
    CALM(peft_dataset_count(NULL));
    CALM(peft_dataset_prompt(NULL, 0));
    CALM(peft_dataset_prompt(data, -1));
    CALM(peft_dataset_completion(NULL, 0));
    REFUSES(peft_dataset_split(NULL, 0.5, 1, &x, &y));
    REFUSES(peft_dataset_split(data, 0.5, 1, NULL, &y));
    REFUSES(peft_dataset_split(data, 0.5, 1, &x, NULL));
    REFUSES(peft_dataset_split(data, NAN, 1, &x, &y));
    REFUSES(peft_dataset_mix(NULL, &x));
    REFUSES(peft_dataset_mix(ZERO(peft_mix_desc), &x));
    CALM(peft_dataset_task(NULL, 0));
    REFUSES(peft_template_fill(NULL, "x", "{}", &text));
    REFUSES(peft_template_fill(ctx, NULL, "{}", &text));
    REFUSES(peft_template_fill(ctx, "x", NULL, &text));
    REFUSES(peft_template_fill(ctx, "x", "{}", NULL));
    REFUSES(peft_chat_format(NULL, PEFT_CHAT_CHATML, &message, 1, true, &text));
    REFUSES(peft_chat_format(ctx, PEFT_CHAT_CHATML, NULL, 1, true, &text));
    REFUSES(peft_chat_format(ctx, PEFT_CHAT_CHATML, &message, 1, true, &text));
    REFUSES(peft_chat_format(ctx, (peft_chat_kind)99, &message, 1, true, &text));
    REFUSES(peft_few_shot(NULL, &few));
    REFUSES(peft_few_shot(ZERO(peft_few_shot_desc), &few));
    CALM(peft_few_shot_free(ctx, NULL));
    CALM(peft_optimizer_name((peft_optimizer_kind)99));
    CALM(peft_optimizer_named(NULL, &kind));
    CALM(peft_optimizer_state_size(PEFT_ADAMW, NULL, 0));
    REFUSES(peft_optimizer_create(NULL, &o));
    REFUSES(peft_optimizer_create(ZERO(peft_optimizer_desc), &o));
    CALM(peft_optimizer_destroy(NULL));
    CALM(peft_optimizer_clip(NULL, 1));
    CALM(peft_optimizer_step(NULL, 1));
    CALM(peft_default_learning_rate(NULL, NULL));
    REFUSES(peft_train(NULL, NULL));
    REFUSES(peft_train(ZERO(peft_train_desc), NULL));
    REFUSES(peft_batches_create(NULL, NULL));
    REFUSES(peft_batches_create(ZERO(peft_train_desc), NULL));
    CALM(peft_batches_destroy(NULL));
    CALM(peft_batches_count(NULL));
    CALM(peft_batches_at(NULL, 0, 0));
    REFUSES(peft_evaluate_loss(NULL, NULL, data, 0, 0, &loss));
    REFUSES(peft_evaluate_loss(model, NULL, NULL, 0, 0, &loss));
    REFUSES(peft_evaluate_loss(model, NULL, data, 0, 0, NULL));
    REFUSES(peft_plan_memory(NULL, &plan));
    REFUSES(peft_plan_memory(ZERO(peft_plan_desc), &plan));
    peft_dataset_destroy(data);
}

static void metrics(void) {
    double x = 0;
    peft_prf prf;
    peft_rouge_scores rouge;
    REFUSES(peft_rouge(NULL, NULL));
    REFUSES(peft_rouge(ZERO(peft_rouge_desc), NULL));
    REFUSES(peft_rouge_pair(NULL, "a", "b", false, &rouge));
    REFUSES(peft_rouge_pair(ctx, NULL, "b", false, &rouge));
    REFUSES(peft_rouge_pair(ctx, "a", NULL, false, &rouge));
    REFUSES(peft_rouge_pair(ctx, "a", "b", false, NULL));
    REFUSES(peft_rouge_n(ctx, NULL, "b", 1, false, &prf));
    REFUSES(peft_rouge_n(ctx, "a", "b", 1, false, NULL));
    CALM(peft_porter_stem(NULL, 0));
    REFUSES(peft_bleu(NULL, NULL));
    REFUSES(peft_bleu(ZERO(peft_bleu_desc), NULL));
    REFUSES(peft_chrf(NULL, NULL));
    REFUSES(peft_chrf(ZERO(peft_chrf_desc), NULL));
    REFUSES(peft_nist(NULL, NULL));
    REFUSES(peft_meteor(NULL, NULL));
    REFUSES(peft_cider(NULL, NULL));
    REFUSES(peft_nist(ZERO(peft_text_desc), NULL));
    REFUSES(peft_meteor(ZERO(peft_text_desc), NULL));
    REFUSES(peft_cider(ZERO(peft_text_desc), NULL));
    REFUSES(peft_classification(NULL, NULL));
    REFUSES(peft_classification(ZERO(peft_class_desc), NULL));
    REFUSES(peft_pearson(NULL, &x, &x, 1, &x));
    REFUSES(peft_pearson(ctx, NULL, NULL, 2, &x));
    REFUSES(peft_pearson(ctx, &x, &x, 1, NULL));
    REFUSES(peft_spearman(ctx, NULL, NULL, 2, &x));
    REFUSES(peft_auc(ctx, NULL, NULL, 2, &x));
    REFUSES(peft_calibration(NULL, NULL));
    REFUSES(peft_calibration(ZERO(peft_calibration_desc), NULL));
    REFUSES(peft_squad(NULL, NULL));
    REFUSES(peft_squad(ZERO(peft_text_desc), NULL));
    REFUSES(peft_perplexity(ctx, NULL, NULL, NULL, 1, NULL));
    REFUSES(peft_paired(NULL, NULL));
    REFUSES(peft_paired(ZERO(peft_paired_desc), NULL));
}

static void enumerations_and_numbers(peft_model *model) {
    peft_context *c = NULL;
    peft_context_desc d;
    memset(&d, 0, sizeof(d));
    d.threads = -1;
    REFUSES(peft_context_create(&d, &c));
    d.threads = 1 << 20;
    REFUSES(peft_context_create(&d, &c));
    d.threads = 1;
    d.simd = (peft_simd)99;
    REFUSES(peft_context_create(&d, &c));
    peft_adapter_desc a;
    peft_adapter *adapter = NULL;
    memset(&a, 0, sizeof(a));
    a.model = model;
    a.method = (peft_method)99;
    REFUSES(peft_adapter_create(&a, &adapter));
    a.method = PEFT_LORA;
    a.r = -1;
    REFUSES(peft_adapter_create(&a, &adapter));
    a.r = 4;
    a.alpha = NAN;
    REFUSES(peft_adapter_create(&a, &adapter));
    a.alpha = 8;
    a.dropout = 2;
    REFUSES(peft_adapter_create(&a, &adapter));
    a.dropout = 0;
    a.activation = (peft_activation_kind)99;
    a.method = PEFT_BOTTLENECK;
    REFUSES(peft_adapter_create(&a, &adapter));
    a.method = PEFT_LORA;
    a.activation = (peft_activation_kind)0;
    if (peft_adapter_create(&a, &adapter)) printf("FAIL: %s\n", peft_error(ctx)), failed++;
    REFUSES(peft_adapter_merge(adapter, NAN));
    REFUSES(peft_adapter_merge(adapter, INFINITY));
    REFUSES(peft_model_save(model, "/tmp/never", (peft_dtype)99));
    peft_dataset *data = NULL;
    peft_dataset_desc s;
    memset(&s, 0, sizeof(s));
    s.context = ctx;
    s.path = "lines.jsonl";
    if (peft_dataset_load(&s, &data)) printf("FAIL: %s\n", peft_error(ctx)), failed++;
#define TRAIN_REFUSES(field, value)                                                                                    \
    do {                                                                                                               \
        peft_train_desc t;                                                                                             \
        memset(&t, 0, sizeof(t));                                                                                      \
        t.model = model;                                                                                               \
        t.adapter = adapter;                                                                                           \
        t.data = data;                                                                                                 \
        t.max_steps = 1;                                                                                               \
        t.field = value;                                                                                               \
        IN_CHILD(peft_train(&t, NULL) != PEFT_ERROR_ARGUMENT || !strstr(peft_error(ctx), #field), "train: " #field " " #value); \
    } while (0)
    TRAIN_REFUSES(schedule, (peft_schedule)77);
    TRAIN_REFUSES(optimizer, (peft_optimizer_kind)77);
    TRAIN_REFUSES(batch_size, -1);
    TRAIN_REFUSES(accumulation, -1);
    TRAIN_REFUSES(epochs, -1);
    TRAIN_REFUSES(max_steps, -1);
    TRAIN_REFUSES(learning_rate, NAN);
    TRAIN_REFUSES(learning_rate, -1);
    TRAIN_REFUSES(weight_decay, NAN);
    TRAIN_REFUSES(dropout, 1.5f);
    TRAIN_REFUSES(warmup_steps, -1);
    TRAIN_REFUSES(max_source, -1);
    TRAIN_REFUSES(max_target, -1);
    TRAIN_REFUSES(eval_every, -1);
    TRAIN_REFUSES(checkpoint_every, -1);
    TRAIN_REFUSES(beta1, 1);
    TRAIN_REFUSES(beta2, -0.5f);
    TRAIN_REFUSES(epsilon, NAN);
    TRAIN_REFUSES(max_gradient_norm, NAN);
    TRAIN_REFUSES(lora_plus_ratio, -2);
    peft_dataset_destroy(data);
    peft_adapter_destroy(adapter);
}

int main(void) {
    if (peft_context_create(NULL, &ctx)) return 1;
    contexts_and_tensors();
    files();
    peft_model *model = tiny_model();
    models_and_adapters(model);
    generation(model);
    data_and_training(model);
    metrics();
    enumerations_and_numbers(model);
    peft_model_destroy(model);
    peft_context_destroy(ctx);
    printf("%d passed, %d failed\n", passed, failed);
    return failed > 0;
}
