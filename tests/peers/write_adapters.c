// Every method and option of peft_adapter_desc on one model: random values, saved, with the logits that peft.h computes.
//   build/peers/write_adapters MODEL OUT SEED IDS [DECODER_IDS]      IDS: "5,17,3"; an encoder-decoder model has both lists
// For each case a folder OUT/<case> with the adapter and logits.f32, [positions, vocabulary] of the last sequence of tokens, rows of
// virtual tokens left out. A LoRA case has OUT/<case>.gguf too, where GGUF can hold it, and OUT/<case>.merged, the model with the
// adapter merged; OUT/model.<type> is the model as it is saved in each type. check_adapters.py opens all of them with Hugging
// Face's libraries. One line per case: `saved CASE` or `refused CASE: why`.
#define PEFT_IMPLEMENTATION
#include "peft.h"
#include <stdio.h>

enum { MAX_TOKENS = 256, MAX_PATH = 1024 };

static peft_context *ctx;
static peft_model *model;
static peft_tape *tape;
static peft_batch batch;
static const char *out_folder;

static void die(const char *what) {
    printf("FAILED %s: %s\n", what, ctx ? peft_error(ctx) : "no context");
    exit(1);
}

static int64_t read_ids(const char *text, int32_t *ids) {
    int64_t n = 0;
    for (char *end; *text && n < MAX_TOKENS; text = *end ? end + 1 : end) ids[n++] = (int32_t)strtol(text, &end, 10);
    return n;
}

// ---- what the cases name on each family

typedef struct names {
    const char *model_type, *attention, *linear, *out, *up, *embedding, *head, *norm;
} names;

static const names of_family[] = {
    {"t5", "q,v", "q,k,v,o,wi,wi_0,wi_1,wo", "wo", "wo", "embed_tokens", "lm_head", "final_layer_norm"},
    {"gpt2", "c_attn", "c_attn,c_proj,c_fc", "mlp.c_proj", "c_fc", "wte", "lm_head", "ln_f"},
    {"gpt_neox", "query_key_value", "query_key_value,dense,dense_h_to_4h,dense_4h_to_h", "dense_4h_to_h", "dense_h_to_4h", "embed_in",
     "embed_out", "final_layer_norm"},
    {"phi3", "qkv_proj", "qkv_proj,o_proj,gate_up_proj,down_proj", "down_proj", "gate_up_proj", "embed_tokens", "lm_head", "norm"},
    {"", "q_proj,v_proj", "q_proj,k_proj,v_proj,o_proj,gate_proj,up_proj,down_proj", "down_proj", "up_proj", "embed_tokens", "lm_head",
     "norm"},
};

static const names *names_of(const char *type) {
    const names *n = of_family;
    while (*n->model_type && strcmp(n->model_type, type) != 0) n++;
    return n;
}

// ---- one case

static void write_logits(const char *path, const peft_active_adapter *active) {
    peft_tape_reset(tape, 0);
    peft_tape_inference(tape, true);
    peft_tensor *hidden = peft_model_hidden(model, tape, &batch, active, active ? 1 : 0);
    peft_tensor *y = peft_model_logits(model, tape, hidden, active, active ? 1 : 0);
    if (!y) die(path);
    FILE *f = fopen(path, "wb");
    int64_t rows = batch.target_offsets[1], virtual_rows = y->rows - rows;
    const float *from = (const float *)y->data + virtual_rows * y->cols;
    if (!f || fwrite(from, sizeof(float), (size_t)(rows * y->cols), f) != (size_t)(rows * y->cols)) die(path);
    fclose(f);
}

// What training would have made of it: every number moves.
static void shake(const peft_adapter *a, uint64_t seed) {
    peft_rng rng;
    peft_rng_seed(&rng, seed);
    for (int64_t i = 0; i < peft_adapter_tensor_count(a); i++) {
        peft_tensor *t = peft_adapter_tensor(a, i);
        for (int64_t k = 0; k < t->rows * t->cols; k++) {
            double r = peft_rng_normal(&rng);
            uint16_t bits = (uint16_t)((r < 0 ? 0x8000 : 0) + (int)(fabs(r) * 128) % 512);
            if (t->type == PEFT_F32) ((float *)t->data)[k] += 0.1f * (float)r;
            else ((uint16_t *)t->data)[k] = (uint16_t)(bits + (t->type == PEFT_F16 ? 0x2C00 : 0x3D00));  // some number near 0.1
        }
    }
}

static void save_more(peft_adapter *a, const char *name) {
    char path[MAX_PATH];
    snprintf(path, sizeof(path), "%s/%s.gguf", out_folder, name);
    if (peft_adapter_save(a, path)) printf("refused %s.gguf: %s\n", name, peft_error(ctx));
    else printf("saved %s.gguf\n", name);
    snprintf(path, sizeof(path), "%s/%s.merged", out_folder, name);
    if (peft_adapter_merge(a, 1)) {
        printf("refused %s.merged: %s\n", name, peft_error(ctx));
        return;
    }
    if (peft_model_save(model, path, PEFT_F32) || peft_adapter_unmerge(a)) die(path);
    printf("saved %s.merged\n", name);
}

static void run(const char *name, peft_adapter_desc d, uint64_t seed) {
    char path[MAX_PATH];
    peft_adapter *a = NULL;
    d.model = model;
    d.seed = seed;
    if (peft_adapter_create(&d, &a)) {
        printf("refused %s: %s\n", name, peft_error(ctx));
        return;
    }
    shake(a, seed + 1);
    snprintf(path, sizeof(path), "%s/%s", out_folder, name);
    if (peft_adapter_save(a, path)) {
        printf("refused %s: %s\n", name, peft_error(ctx));
    } else {
        peft_active_adapter active = {a, 1, 0, 0};
        snprintf(path, sizeof(path), "%s/%s/logits.f32", out_folder, name);
        write_logits(path, &active);
        printf("saved %s\n", name);
        if (d.method == PEFT_LORA || d.method == PEFT_DORA) save_more(a, name);
    }
    peft_adapter_destroy(a);
}

// ---- the cases

static char joined[4][512];
static const char *both(int i, const char *a, const char *b) {
    snprintf(joined[i], sizeof(joined[i]), "%.200s,%.200s", a, b);
    return joined[i];
}

static void run_lora(const names *n, uint64_t seed) {
    peft_adapter_desc base, d;
    memset(&base, 0, sizeof(base));
    base.r = 1 + (int64_t)(seed % 6);
    base.alpha = 2.718281828f + (float)(seed % 5);  // numbers are written in full
    d = base, run("lora", d, seed);
    d = base, d.dropout = 0.123456789f, run("lora_dropout", d, seed);
    d = base, d.use_rslora = true, run("rslora", d, seed);
    d = base, d.target_modules = "all-linear", run("all_linear", d, seed);
    d = base, d.target_modules = n->linear, run("linear_named", d, seed);
    d = base, d.bias = "all", run("bias_all", d, seed);
    d = base, d.bias = "lora_only", d.target_modules = "all-linear", run("bias_lora_only", d, seed);
    d = base, d.layers_to_transform = "1", run("layers", d, seed);
    d = base, d.pissa = true, run("pissa", d, seed);
    d = base, d.pissa = true, d.use_rslora = true, d.target_modules = "all-linear", run("pissa_rslora_all", d, seed);
    char pattern[256], alphas[256];
    snprintf(pattern, sizeof(pattern), "%.*s=5", (int)strcspn(n->attention, ","), n->attention);
    snprintf(alphas, sizeof(alphas), "%.*s=3.14159274", (int)strcspn(n->up, ","), n->up);
    d = base, d.target_modules = "all-linear", d.rank_pattern = pattern, d.alpha_pattern = alphas, run("patterns", d, seed);
    d.use_rslora = true, run("patterns_rslora", d, seed);
    d = base, d.target_modules = both(0, n->attention, n->embedding), run("embedding", d, seed);
    d = base, d.target_modules = both(1, n->attention, n->head), run("head", d, seed);
    d = base, d.target_modules = both(2, joined[0], n->head), run("embedding_head", d, seed);
    d = base, d.modules_to_save = n->head, run("save_head", d, seed);
    d = base, d.modules_to_save = n->embedding, run("save_embedding", d, seed);
    d = base, d.modules_to_save = both(3, n->embedding, n->head), run("save_both", d, seed);
    d = base, d.modules_to_save = n->norm, run("save_norm", d, seed);
    d = base, d.modules_to_save = n->up, run("save_linear", d, seed);
    d = base, d.type = PEFT_BF16, run("lora_bf16", d, seed);
    d = base, d.type = PEFT_F16, d.target_modules = "all-linear", run("lora_f16", d, seed);
    base.method = PEFT_DORA;
    d = base, run("dora", d, seed);
    d = base, d.target_modules = "all-linear", d.use_rslora = true, d.bias = "all", run("dora_all", d, seed);
    d = base, d.modules_to_save = n->norm, d.rank_pattern = pattern, run("dora_patterns", d, seed);
}

static void run_others(const names *n, uint64_t seed) {
    peft_adapter_desc d, base;
    memset(&base, 0, sizeof(base));
    base.num_virtual_tokens = 2 + (int64_t)(seed % 4);
    base.encoder_hidden = 10;
    d = base, d.method = PEFT_IA3, run("ia3", d, seed);
    d.target_modules = n->linear, d.feedforward_modules = n->out, run("ia3_linear", d, seed);
    d = base, d.method = PEFT_PROMPT_TUNING, run("prompt", d, seed);
    d.random_init = true, run("prompt_random", d, seed);
    if (peft_model_tokenizer(model)) d.random_init = false, d.init_text = "Summarize the dialogue:", run("prompt_text", d, seed);
    d = base, d.method = PEFT_PREFIX_TUNING, run("prefix", d, seed);
    d.prefix_projection = true, run("prefix_projection", d, seed);
    d = base, d.method = PEFT_P_TUNING, run("ptuning", d, seed);
    // what Hugging Face peft does not have: its files say so by their peft_type
    d = base, d.method = PEFT_PROMPT_TUNING, d.prompt_place = PEFT_PROMPT_BOTH;
    if (peft_model_config(model)->encoder_decoder) run("own_prompt_both", d, seed);
    d = base, d.method = PEFT_BOTTLENECK, d.bottleneck = 5, run("own_bottleneck", d, seed);
    d = base, d.method = PEFT_BITFIT, run("own_bitfit", d, seed);
    d = base, d.method = PEFT_NORMS, run("own_norms", d, seed);
    d = base, d.method = PEFT_HEAD, run("own_head", d, seed);
    d = base, d.method = PEFT_SELECTED, d.target_modules = n->out, run("own_selected", d, seed);
}

// ---- the model itself, in every format that transformers reads: OUT/model.<type>, with the logits of what was saved

static peft_model *load_model(const char *path) {
    peft_model *m = NULL;
    peft_model_desc d;
    memset(&d, 0, sizeof(d));
    d.context = ctx;
    d.path = path;
    return peft_model_load(&d, &m) ? NULL : m;
}

static void save_models(void) {
    static const peft_dtype types[] = {PEFT_F32, PEFT_F16, PEFT_BF16, PEFT_NF4, PEFT_FP4};
    peft_model *given = model;
    for (int i = 0; i < 5; i++) {
        char path[MAX_PATH], logits[MAX_PATH + 16];
        snprintf(path, sizeof(path), "%s/model.%s", out_folder, peft_dtype_name(types[i]));
        if (peft_model_save(given, path, types[i])) {
            printf("refused model.%s: %s\n", peft_dtype_name(types[i]), peft_error(ctx));
            continue;
        }
        snprintf(logits, sizeof(logits), "%s/logits.f32", path);
        model = load_model(path);
        if (!model) die(path);
        write_logits(logits, NULL);
        peft_model_destroy(model);
        printf("saved model.%s\n", peft_dtype_name(types[i]));
    }
    model = given;
}

static void log_line(const char *line, void *user) {
    (void)user;
    printf("log %s\n", line);
}

int main(int argc, char **argv) {
    if (argc < 5) {
        fprintf(stderr, "usage: write_adapters MODEL OUT SEED IDS [DECODER_IDS]\n");
        return 2;
    }
    static int32_t ids[MAX_TOKENS], decoder[MAX_TOKENS], labels[MAX_TOKENS];
    static int64_t ids_end[2], decoder_end[2];
    ids_end[1] = read_ids(argv[4], ids);
    decoder_end[1] = argc > 5 ? read_ids(argv[5], decoder) : ids_end[1];
    for (int i = 0; i < MAX_TOKENS; i++) labels[i] = -100;
    peft_context_desc c;
    memset(&c, 0, sizeof(c));
    c.log = log_line;
    if (peft_context_create(&c, &ctx)) die("context");
    model = load_model(argv[1]);
    if (!model || peft_tape_create(ctx, &tape)) die(argv[1]);
    bool pair = peft_model_config(model)->encoder_decoder;
    peft_batch b = {1, pair ? ids : NULL, pair ? ids_end : NULL, pair ? decoder : ids, labels, decoder_end};
    batch = b;
    out_folder = argv[2];
    char path[MAX_PATH];
    snprintf(path, sizeof(path), "%s/base.f32", out_folder);
    write_logits(path, NULL);
    const names *n = names_of(peft_model_config(model)->model_type);
    run_lora(n, strtoull(argv[3], NULL, 10));
    run_others(n, strtoull(argv[3], NULL, 10));
    save_models();
    peft_tape_destroy(tape);
    peft_model_destroy(model);
    peft_context_destroy(ctx);
    return 0;
}
