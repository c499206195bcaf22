// Every method of fine-tuning on every architecture: gradients against finite differences, merging and unmerging, different adapters
// in one batch, files, learning with the defaults, generation against whole passes; combinations, PiSSA, LoRA+, soft prompts read.
// Models are tiny, with weights made here; files go to build/adapters_test.
//   cc -std=c11 -O2 -DPEFT_USE_PTHREADS -I. tests/test_adapters.c -o build/test_adapters -pthread -lm
#define PEFT_NO_METRICS  // what this program needs of the header
#define PEFT_IMPLEMENTATION
#include "peft.h"
#include "check.h"
#include "counter.h"
#include <stdio.h>

static int passed, failed;
static peft_context *ctx;

static void check(bool ok, const char *format, ...) {
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (test_count(&passed, &failed, ok, text)) printf("FAIL %s: %s\n", text, ctx ? peft_error(ctx) : "");
}

// ---- tiny models of every family, a vocabulary of letters, examples

typedef struct family {
    const char *name, *config;
    const char *linear;  // a module's name for selective tuning
    const char *embeddings;
} family;

static const family families[] = {
    {"t5",
     "{\"model_type\": \"t5\", \"d_model\": 24, \"d_kv\": 6, \"num_heads\": 4, \"d_ff\": 40, \"num_layers\": "
     "2, \"vocab_size\": 32,\n"
     " \"feed_forward_proj\": \"gated-gelu\", \"tie_word_embeddings\": false, "
     "\"relative_attention_num_buckets\": 8,\n"
     " \"relative_attention_max_distance\": 16}\n",
     "decoder.block.1", "embed_tokens,q"},
    {"gpt2",
     "{\"model_type\": \"gpt2\", \"n_embd\": 24, \"n_head\": 4, \"n_layer\": 2, \"n_positions\": 64, "
     "\"vocab_size\": 32, \"eos_token_id\": 1, \"bos_token_id\": 1}\n",
     "transformer.h.1", "wte,wpe"},
    {"gpt_neox",
     "{\"model_type\": \"gpt_neox\", \"hidden_size\": 24, \"num_attention_heads\": 4, \"num_hidden_layers\": "
     "2, \"intermediate_size\": 40, \"vocab_size\": 32,\n"
     " \"max_position_embeddings\": 64, \"rotary_pct\": 0.67, \"use_parallel_residual\": true, "
     "\"hidden_act\": \"gelu\", \"tie_word_embeddings\": false,\n"
     " \"eos_token_id\": 1, \"bos_token_id\": 1}\n",
     "layers.1", "embed_in"},
    {"llama",
     "{\"model_type\": \"llama\", \"hidden_size\": 24, \"num_attention_heads\": 4, \"num_key_value_heads\": "
     "2, \"num_hidden_layers\": 2, \"intermediate_size\": 40,\n"
     " \"vocab_size\": 32, \"max_position_embeddings\": 64, \"hidden_act\": \"silu\", "
     "\"tie_word_embeddings\": false, \"rms_norm_eps\": 1e-6,\n"
     " \"eos_token_id\": 1, \"bos_token_id\": 0}\n",
     "layers.1", "embed_tokens"},
    {"qwen2",
     "{\"model_type\": \"qwen2\", \"hidden_size\": 24, \"num_attention_heads\": 4, \"num_key_value_heads\": "
     "2, \"num_hidden_layers\": 2, \"intermediate_size\": 40,\n"
     " \"vocab_size\": 32, \"max_position_embeddings\": 64, \"hidden_act\": \"silu\", "
     "\"tie_word_embeddings\": true, \"rms_norm_eps\": 1e-6,\n"
     " \"eos_token_id\": 1, \"bos_token_id\": 1}\n",
     "layers.1", "embed_tokens"},
    {"qwen3",
     "{\"model_type\": \"qwen3\", \"hidden_size\": 24, \"num_attention_heads\": 4, \"num_key_value_heads\": "
     "2, \"num_hidden_layers\": 2, \"intermediate_size\": 40,\n"
     " \"vocab_size\": 32, \"max_position_embeddings\": 64, \"rms_norm_eps\": 1e-6, \"eos_token_id\": 1, "
     "\"bos_token_id\": 0,\n"
     " \"head_dim\": 8, \"tie_word_embeddings\": false}\n",
     "layers.1", "embed_tokens"},
    {"smollm3",
     "{\"model_type\": \"smollm3\", \"hidden_size\": 24, \"num_attention_heads\": 4, \"num_key_value_heads\": "
     "2, \"num_hidden_layers\": 2, \"intermediate_size\": 40,\n"
     " \"vocab_size\": 32, \"max_position_embeddings\": 64, \"rms_norm_eps\": 1e-6, \"eos_token_id\": 1, "
     "\"bos_token_id\": 0,\n"
     " \"no_rope_layers\": [1, 0], \"pad_token_id\": 1, \"tie_word_embeddings\": false}\n",
     "layers.1", "embed_tokens"},
    {"olmo2",
     "{\"model_type\": \"olmo2\", \"hidden_size\": 24, \"num_attention_heads\": 4, \"num_key_value_heads\": "
     "2, \"num_hidden_layers\": 2, \"intermediate_size\": 40,\n"
     " \"vocab_size\": 32, \"max_position_embeddings\": 64, \"rms_norm_eps\": 1e-6, \"eos_token_id\": 1, "
     "\"bos_token_id\": 0,\n"
     " \"pad_token_id\": 1}\n",
     "layers.1", "embed_tokens"},
    {"phi3",
     "{\"model_type\": \"phi3\", \"hidden_size\": 24, \"num_attention_heads\": 4, \"num_key_value_heads\": "
     "2, \"num_hidden_layers\": 2, \"intermediate_size\": 40,\n"
     " \"vocab_size\": 32, \"max_position_embeddings\": 64, \"rms_norm_eps\": 1e-6, \"eos_token_id\": 1, "
     "\"bos_token_id\": 0,\n"
     " \"pad_token_id\": 1, \"partial_rotary_factor\": 0.67, \"sliding_window\": 16}\n",
     "layers.1", "embed_tokens"},
    {"granite",
     "{\"model_type\": \"granite\", \"hidden_size\": 24, \"num_attention_heads\": 4, \"num_key_value_heads\": "
     "2, \"num_hidden_layers\": 2, \"intermediate_size\": 40,\n"
     " \"vocab_size\": 32, \"max_position_embeddings\": 64, \"rms_norm_eps\": 1e-6, \"eos_token_id\": 1, "
     "\"bos_token_id\": 0,\n"
     " \"embedding_multiplier\": 2, \"residual_multiplier\": 0.9, \"logits_scaling\": 0.6, \"attention_multiplier\": 0.5}\n",
     "layers.1", "embed_tokens"},
    {"gemma2",
     "{\"model_type\": \"gemma2\", \"hidden_size\": 24, \"num_attention_heads\": 4, \"num_key_value_heads\": "
     "2, \"num_hidden_layers\": 2, \"intermediate_size\": 40,\n"
     " \"vocab_size\": 32, \"max_position_embeddings\": 64, \"rms_norm_eps\": 1e-6, \"eos_token_id\": 1, "
     "\"bos_token_id\": 0,\n"
     " \"head_dim\": 8, \"sliding_window\": 16, \"attn_logit_softcapping\": 4, \"final_logit_softcapping\": 6, \"query_pre_attn_scalar\": 8, \"tie_word_embeddings\": false}\n",
     "layers.1", "embed_tokens"},
    {"gemma3_text",
     "{\"model_type\": \"gemma3_text\", \"hidden_size\": 24, \"num_attention_heads\": 4, \"num_key_value_heads\": "
     "2, \"num_hidden_layers\": 2, \"intermediate_size\": 40,\n"
     " \"vocab_size\": 32, \"max_position_embeddings\": 64, \"rms_norm_eps\": 1e-6, \"eos_token_id\": 1, "
     "\"bos_token_id\": 0,\n"
     " \"head_dim\": 8, \"sliding_window\": 5, \"sliding_window_pattern\": 2, \"query_pre_attn_scalar\": 8, \"tie_word_embeddings\": false}\n",
     "layers.1", "embed_tokens"},
};
enum { FAMILIES = sizeof families / sizeof families[0] };

static char vocabulary[1200], copies[20000], others[4000];
static const char names[] =
    "{\"prompt\": \"Greet Anna.\", \"completion\": \"Good morning, Anna, and welcome.\"}\n{\"prompt\": \"Greet Ben.\", \"completion\": \"Good morning, Ben, and welcome.\"}\n"
    "{\"prompt\": \"Greet Tom.\", \"completion\": \"Good morning, Tom, and welcome.\"}\n{\"prompt\": \"Greet Laura.\", \"completion\": \"Good morning, Laura, and welcome.\"}\n"
    "{\"prompt\": \"Greet Martin.\", \"completion\": \"Good morning, Martin, and welcome.\"}\n{\"prompt\": \"Greet Lisa.\", \"completion\": \"Good morning, Lisa, and welcome.\"}\n";
static size_t vocabulary_size;

static void put_piece(const char *text, float score, int type) {  // a piece of SentencePiece's ModelProto
    size_t n = strlen(text);
    unsigned char head[] = {0x0A, (unsigned char)(n + 9), 0x0A, (unsigned char)n}, tail[] = {0x15, 0, 0, 0, 0, 0x18, (unsigned char)type};
    uint32_t bits = peft__float_bits(score);
    for (int i = 0; i < 4; i++) tail[1 + i] = (unsigned char)(bits >> 8 * i);
    char *to = vocabulary + vocabulary_size;
    memcpy(to, head, 4), memcpy(to + 4, text, n), memcpy(to + 4 + n, tail, 7);
    vocabulary_size += n + 11;
}

static void make_vocabulary(void) {
    put_piece("<pad>", 0, 3), put_piece("</s>", 0, 3), put_piece("<unk>", 0, 2), put_piece("\xE2\x96\x81", -1, 1);
    for (char c = 'a'; c <= 'z'; c++) {
        char text[2] = {c, 0};
        put_piece(text, -2, 1);
    }
    static const unsigned char unigram[] = {0x12, 2, 0x18, 1};
    memcpy(vocabulary + vocabulary_size, unigram, 4);
    vocabulary_size += 4;
}

// Random letters to be repeated; or, as another task, answers of few letters.
static void make_examples(char *out, int count, bool copy, uint64_t seed) {
    peft_rng rng;
    peft_rng_seed(&rng, seed);
    for (int i = 0; i < count; i++) {
        char text[16], answer[16];
        int n = 2 + (int)peft__rng_below(&rng, 5);
        for (int k = 0; k < n; k++) {
            text[k] = (char)('a' + peft__rng_below(&rng, 26));
            answer[k] = copy ? text[k] : (char)('a' + (text[k] - 'a') % 3);
        }
        text[n] = answer[n] = 0;
        out += sprintf(out, "{\"prompt\": \"%s\", \"completion\": \"%s\"}\n", text, answer);
    }
}

static bool mount_all(void) {
    static char paths[FAMILIES][2][64];
    bool ok = !peft_mount(ctx, "copies.jsonl", copies, strlen(copies)) && !peft_mount(ctx, "others.jsonl", others, strlen(others)) &&
              !peft_mount(ctx, "names.jsonl", names, strlen(names));
    for (int f = 0; f < FAMILIES && ok; f++) {
        snprintf(paths[f][0], 64, "%s/config.json", families[f].name);
        snprintf(paths[f][1], 64, "%s/spiece.model", families[f].name);
        ok = !peft_mount(ctx, paths[f][0], families[f].config, strlen(families[f].config)) && !peft_mount(ctx, paths[f][1], vocabulary, vocabulary_size);
    }
    return ok;
}

// Random weights, larger than a fresh model's: every part of a block has a say.
static peft_model *make_model(const family *f) {
    peft_model *m = NULL;
    peft_model_desc d;
    memset(&d, 0, sizeof d);
    d.context = ctx, d.path = f->name, d.config_only = true, d.seed = 5;
    if (peft_model_load(&d, &m)) return NULL;
    peft_rng rng;
    peft_rng_seed(&rng, 17);
    for (int64_t i = 0; i < m->tensor_count; i++) {
        peft_tensor *t = &m->tensors[i];
        for (int64_t k = 0; k < peft__size(t); k++) {
            float r = (float)peft_rng_normal(&rng);
            if (t->rank == 1) peft__f32(t)[k] += 0.2f * r;
            else peft__f32(t)[k] = 0.2f * r;
        }
    }
    return m;
}

// ---- methods, with variants that the table of methods does not show

typedef struct variant {
    const char *name;
    peft_adapter_desc desc;
} variant;

enum { VARIANTS = 31, OTHERS = 20 };
static int make_variants(const family *f, variant *v) {
    memset(v, 0, VARIANTS * sizeof *v);
    int n = 0;
    for (int64_t i = 0; peft_method_at(i); i++) {
        v[n].name = peft_method_at(i)->name;
        v[n++].desc.method = peft_method_at(i)->method;
    }
    v[10].desc.target_modules = f->linear;  // selected
    for (int i = 0; i < n; i++) v[i].desc.r = 3, v[i].desc.num_virtual_tokens = 4, v[i].desc.encoder_hidden = 10, v[i].desc.bottleneck = 5, v[i].desc.activation = PEFT_SILU;
    static const char *const names[] = {"lora all-linear rs",
                                        "lora bias layers",
                                        "pissa",
                                        "lora patterns",
                                        "prefix projection",
                                        "prompt text",
                                        "bottleneck pfeiffer",
                                        "dora all-linear",
                                        "lora embeddings",
                                        "prompt decoder",
                                        "prompt both",
                                        "lora modules_to_save",
                                        "lora of the head",
                                        "lora_bias",
                                        "tokens",
                                        "tokens of the head",
                                        "dora embeddings",
                                        "expressions",
                                        "norms and attention saved",
                                        "ia3 by expressions"};
    for (int i = 0; i < OTHERS; i++) v[n + i].name = names[i], v[n + i].desc.r = 2;
    for (int i = 0; i < n + OTHERS; i++) v[i].desc.alpha = 3;
    v[n].desc.target_modules = "all-linear", v[n].desc.use_rslora = true, n++;
    v[n].desc.bias = "all", v[n].desc.layers_to_transform = "1", n++;
    v[n].desc.pissa = true, v[n].desc.target_modules = "all-linear", n++;
    v[n].desc.target_modules = "all-linear", v[n].desc.rank_pattern = strcmp(f->name, "t5") == 0 ? "wo=4,q=1" : "down_proj=4,c_proj=1,dense=5",
    v[n].desc.alpha_pattern = "wo=3,dense=4.5", n++;
    v[n].desc.method = PEFT_PREFIX_TUNING, v[n].desc.prefix_projection = true, v[n].desc.encoder_hidden = 7, v[n].desc.num_virtual_tokens = 3, n++;
    v[n].desc.method = PEFT_PROMPT_TUNING, v[n].desc.init_text = "abc", v[n].desc.num_virtual_tokens = 5, n++;
    v[n].desc.method = PEFT_BOTTLENECK, v[n].desc.pfeiffer = true, v[n].desc.activation = PEFT_GELU_TANH, v[n].desc.reduction_factor = 6, n++;
    v[n].desc.method = PEFT_DORA, v[n].desc.target_modules = "all-linear", n++;
    v[n].desc.target_modules = f->embeddings, v[n].desc.rank_pattern = "wpe=3", n++;
    v[n].desc.method = PEFT_PROMPT_TUNING, v[n].desc.prompt_place = PEFT_PROMPT_DECODER, v[n].desc.num_virtual_tokens = 3, n++;
    v[n].desc.method = PEFT_PROMPT_TUNING, v[n].desc.prompt_place = PEFT_PROMPT_BOTH, v[n].desc.num_virtual_tokens = 3, n++;
    v[n].desc.bias = "lora_only", v[n].desc.modules_to_save = "lm_head, embed_out,embed_tokens", n++;
    v[n].desc.target_modules = "lm_head,embed_out,wo,c_proj,dense", n++;
    v[n].desc.target_modules = "all-linear", v[n].desc.lora_bias = true, n++;
    v[n].desc.trainable_token_indices = strcmp(f->name, "t5") == 0 ? "embed_tokens:5,9,28" : "5,9,28", n++;
    v[n].desc.trainable_token_indices = strcmp(f->name, "gpt_neox") == 0 ? "embed_out:7,28" : "lm_head:7,28",
    n++;
    v[n].desc.method = PEFT_DORA, v[n].desc.target_modules = f->embeddings, n++;
    v[n].desc.target_modules = "re:.*\\.(q|v|wo|c_[a-z]+|dense.*|[a-z]+_proj)",
    v[n].desc.exclude_modules = "re:.*\\.0\\..*(wo|mlp).*";
    v[n].desc.rank_pattern = ".*\\.1\\..*=1,v{1\\,2}=4", v[n].desc.alpha_pattern = "(q|.*_proj|dense)=5", n++;
    v[n].desc.modules_to_save = "norm,ln_f,ln_1,SelfAttention,self_attn,layers.1.attention",
    v[n].desc.bias = "all", v[n].desc.exclude_modules = "xyz";
    v[n].desc.target_modules = "wo,c_proj,down_proj,dense_4h_to_h", n++;
    v[n].desc.method = PEFT_IA3,
    v[n].desc.target_modules = "re:.*(wo|k|v|_proj|c_attn|query_key_value|4h_to_h)";
    v[n].desc.feedforward_modules = "re:.*(wo|mlp.*)", n++;
    return n;
}

static peft_adapter *make_adapter(peft_model *m, const variant *v, uint64_t seed) {
    peft_adapter_desc d = v->desc;
    peft_adapter *a = NULL;
    d.model = m, d.seed = seed;
    peft_status status = peft_adapter_create(&d, &a);
    check(!status, "%s %s: create", m->config.model_type, v->name);
    return a;
}

// What training would have made of it.
static void shake(peft_adapter *a, uint64_t seed) {
    peft_rng rng;
    peft_rng_seed(&rng, seed);
    for (int64_t i = 0; i < a->count; i++)
        for (int64_t k = 0; k < peft__size(&a->tensors[i]); k++) peft__f32(&a->tensors[i])[k] += 0.1f * (float)peft_rng_normal(&rng);
}

static bool is_virtual(const peft_adapter *a) { return a->prompt != NULL; }

// ---- batches

enum { SEQUENCES = 3 };
static const int32_t source[] = {4, 9, 14, 5, 1, 20, 8, 1, 6, 6, 17, 22, 29, 1};
static const int64_t source_offsets[] = {0, 5, 8, 14};
static const int32_t decoder_input[] = {0, 7, 12, 25, 0, 9, 28, 13, 5, 0, 11, 16};
static const int32_t labels[] = {7, 12, 25, 1, -100, 28, 13, 5, 1, 11, 16, 1};
static const int64_t target_offsets[] = {0, 4, 9, 12};

static peft_batch batch_of(int64_t first, int64_t count, int64_t *so, int64_t *to) {
    for (int64_t i = 0; i <= count; i++) so[i] = source_offsets[first + i] - source_offsets[first], to[i] = target_offsets[first + i] - target_offsets[first];
    peft_batch b = {count, source + source_offsets[first], so, decoder_input + target_offsets[first], labels + target_offsets[first], to};
    return b;
}

static double loss_of(peft_model *m, peft_tape *tape, const peft_active_adapter *active, int count, bool backward) {
    int64_t so[SEQUENCES + 1], to[SEQUENCES + 1];
    peft_batch b = batch_of(0, SEQUENCES, so, to);
    peft_tape_reset(tape, 0);
    peft_tape_inference(tape, !backward);
    peft_tensor *loss = peft_model_loss(m, tape, &b, active, count, 0);
    double value = loss ? (double)peft__f32(loss)[0] : NAN;
    if (backward && peft_backward(tape, loss)) return NAN;
    return value;
}

// Logits of some sequences: rows of the batch, virtual tokens left out. NULL: failed.
static float *logits_of(peft_model *m, peft_tape *tape, int64_t first, int64_t count, const peft_active_adapter *active, int active_count, int64_t *rows) {
    int64_t so[SEQUENCES + 1], to[SEQUENCES + 1], v = m->config.vocab_size, extra = 0, at = 0;
    peft_batch b = batch_of(first, count, so, to);
    peft_tape_reset(tape, 0);
    peft_tape_inference(tape, true);
    peft_tensor *y = peft_model_logits(m, tape, peft_model_hidden(m, tape, &b, active, active_count), active, active_count);
    if (!y) return NULL;
    *rows = to[count];
    extra = (y->rows - *rows) / count;
    float *out = (float *)malloc((size_t)(*rows * v) * sizeof(float));
    for (int64_t s = 0; s < count; s++)
        for (int64_t r = to[s]; r < to[s + 1]; r++, at++) memcpy(out + at * v, peft__f32(y) + (r + (s + 1) * extra) * v, (size_t)v * sizeof(float));
    return out;
}

static double farthest(const float *a, const float *b, int64_t n) {
    double most = 0;
    for (int64_t i = 0; a && b && i < n; i++) most = fmax(most, fabs((double)a[i] - (double)b[i]));
    return a && b ? most : HUGE_VAL;
}

// ---- finite differences

// DoRA takes the norm of W + s B A for a constant in its gradient (section 4.3 of its paper). To differentiate that very function, the
// magnitude moves with the norm while A and B move.
typedef struct dora_state {
    float *norms, *magnitudes;
} dora_state;

static void dora_norms_of(const peft_adapter *a, peft_tape *tape, float *out) {
    peft_tape_reset(tape, 0);
    for (int64_t i = 0; i < peft__module_count(a->model); i++) {
        const peft__adapted *s = &a->modules[i];
        if (!s->magnitude) continue;
        peft_tensor w = *peft__module_tensor(a->model, i);
        w.in_out = w.in_out || s->embedding;
        peft__dora_norms(tape, &w, s->a, s->b, peft__adapter_scale(a, s), out);
        out += s->magnitude->cols;
    }
}

static void dora_follow(const peft_adapter *a, peft_tape *tape, const dora_state *d, float *now) {
    dora_norms_of(a, tape, now);
    int64_t at = 0;
    for (int64_t i = 0; i < peft__module_count(a->model); i++)
        for (int64_t k = 0; a->modules[i].magnitude && k < a->modules[i].magnitude->cols; k++, at++)
            peft__f32(a->modules[i].magnitude)[k] = d->magnitudes[at] * now[at] / d->norms[at];
}

static double moved_loss(peft_adapter *a, peft_tape *tape, peft_tensor *t, const float *start, const float *direction, double step, const dora_state *d, float *now) {
    peft_active_adapter active = {a, 1, 0, 0};
    for (int64_t k = 0; k < peft__size(t); k++) peft__f32(t)[k] = start[k] + (float)(step * (double)direction[k]);
    if (d) dora_follow(a, tape, d, now);
    return loss_of(a->model, tape, &active, 1, false);
}

// The slope along a direction of length 1, of the fourth order; and what along the gradient it should be.
static void check_slopes(const char *label, const char *method, peft_adapter *a, peft_tape *tape, peft_tensor *t, peft_rng *rng, const dora_state *d, float *now) {
    int64_t n = peft__size(t);
    float *start = (float *)malloc((size_t)n * sizeof(float)), *direction = (float *)malloc((size_t)n * sizeof(float));
    memcpy(start, t->data, (size_t)n * sizeof(float));
    for (int way = 0; way < 2; way++) {
        double length = 0, want = 0;
        for (int64_t k = 0; k < n; k++) direction[k] = way ? (float)peft_rng_normal(rng) : t->grad[k];
        for (int64_t k = 0; k < n; k++) length += (double)direction[k] * (double)direction[k];
        length = sqrt(length);
        if (length == 0) {  // no gradient: T5's second half of a prompt, ...; then any direction is flat
            continue;
        }
        for (int64_t k = 0; k < n; k++) direction[k] = (float)((double)direction[k] / length), want += (double)direction[k] * (double)t->grad[k];
        // a large step meets ReLU's kinks and curvature, a small one the rounding of f32 losses: one of them must do
        bool ok = false;
        double got = 0;
        for (double h = 0.02; h > 0.001 && !ok; h /= 4) {
            static const double steps[] = {-2, -1, 1, 2};
            double f[4];
            for (int i = 0; i < 4; i++) f[i] = moved_loss(a, tape, t, start, direction, h * steps[i], d, now);
            got = (f[0] - 8 * f[1] + 8 * f[2] - f[3]) / (12 * h);
            ok = fabs(got - want) <= 2e-3 * fabs(want) + 2e-6 / h;
        }
        check(ok, "%s %s: d loss / d %s is %.6f, differences say %.6f", label, method, t->name, want, got);
    }
    memcpy(t->data, start, (size_t)n * sizeof(float));
    free(start), free(direction);
}

static void test_gradients(const family *f, peft_model *m, const variant *v) {
    peft_adapter *a = make_adapter(m, v, 3);
    if (!a) return;
    shake(a, 7);
    if (v->desc.method == PEFT_P_TUNING) shake(a, 9), shake(a, 10), shake(a, 12);  // RMSNorm makes much of small virtual tokens' kinks
    peft_tape *tape = NULL;
    peft_tape_create(ctx, &tape);
    for (int64_t i = 0; i < a->count; i++) peft_require_grad(ctx, &a->tensors[i]);
    peft_active_adapter active = {a, 1, 0, 0};
    check(loss_of(m, tape, &active, 1, true) > 0, "%s %s: loss", f->name, v->name);
    float *norms = (float *)calloc(4096, sizeof(float)), *now = norms + 1024;
    dora_state d = {norms + 2048, norms + 3072};
    bool dora = v->desc.method == PEFT_DORA;
    if (dora) dora_norms_of(a, tape, d.norms);
    for (int64_t i = 0, at = 0; i < peft__module_count(m); i++)
        for (int64_t k = 0; a->modules[i].magnitude && k < a->modules[i].magnitude->cols; k++) d.magnitudes[at++] = peft__f32(a->modules[i].magnitude)[k];
    peft_rng rng;
    peft_rng_seed(&rng, 11);
    int64_t flat = 0;
    for (int64_t i = 0; i < a->count; i++) {
        peft_tensor *t = &a->tensors[i];
        bool follows = dora && !peft__ends_with(t->name, "magnitude_vector");
        check_slopes(f->name, v->name, a, tape, t, &rng, follows ? &d : NULL, now);
        if (follows) dora_follow(a, tape, &d, now);  // back to what it was
        double size = 0;
        for (int64_t k = 0; k < peft__size(t); k++) size += fabs((double)t->grad[k]);
        flat += size == 0;
    }
    check(flat == 0, "%s %s: %lld tensors without a gradient", f->name, v->name, (long long)flat);
    free(norms);
    peft_tape_destroy(tape);
    peft_adapter_destroy(a);
}

// ---- merging

static uint64_t model_checksum(const peft_model *m) {
    uint64_t sum = 0;
    for (int64_t i = 0; i < m->tensor_count; i++) sum = peft__checksum(sum, m->tensors[i].data, (size_t)peft__size(&m->tensors[i]) * sizeof(float));
    return sum;
}

// Merging would change other modules, too, or has no place to go to.
static bool stays_apart(const peft_adapter *a) {
    const peft_model *m = a->model;
    const peft__adapted *own = &a->modules[m->shared - m->tensors];
    for (int64_t i = 0; i < peft__module_count(m); i++)
        if (a->modules[i].path_bias && (i >= m->tensor_count || m->bias_of[i] < 0)) return true;
    for (int64_t i = m->tensor_count; i < peft__module_count(m); i++)
        if (a->modules[i].used && !(own->rows && a->modules[i].rows == own->rows)) return true;
    return m->config.tied && own->used && !own->everywhere && !own->rows;
}

static void test_merge(const family *f, peft_model *m, const variant *v, peft_tape *tape) {
    peft_adapter *a = make_adapter(m, v, 3);
    if (!a) return;
    shake(a, 8);
    for (int half = 0; half < 2; half++) {
        float scale = half && a->modules && v->desc.method <= PEFT_DORA ? 0.5f : 1;
        peft_active_adapter active = {a, scale, 0, 0};
        int64_t rows = 0;
        uint64_t before = model_checksum(m);
        float *adapted = logits_of(m, tape, 0, SEQUENCES, &active, 1, &rows);
        peft_status status = peft_adapter_merge(a, scale);
        if (is_virtual(a) || v->desc.method == PEFT_BOTTLENECK || stays_apart(a)) {
            check(status == PEFT_ERROR_UNSUPPORTED, "%s %s: merging is refused", f->name, v->name);
        } else {
            float *merged = logits_of(m, tape, 0, SEQUENCES, NULL, 0, &rows);
            double off = farthest(adapted, merged, rows * m->config.vocab_size);
            check(!status && off < 2e-4, "%s %s: merged logits are off by %g", f->name, v->name, off);
            check(model_checksum(m) != before, "%s %s: merging changes weights", f->name, v->name);
            check(!peft_adapter_unmerge(a), "%s %s: unmerge", f->name, v->name);
            free(merged);
        }
        check(model_checksum(m) == before, "%s %s: unmerged bit for bit", f->name, v->name);
        free(adapted);
    }
    peft_adapter_destroy(a);
}

// ---- one batch, several adapters

static void test_mixed(const family *f, peft_model *m, const variant *v, peft_tape *tape) {
    peft_adapter *a = make_adapter(m, v, 3), *b = make_adapter(m, v, 4);
    if (!a || !b) return;
    shake(a, 8), shake(b, 9);
    peft_active_adapter active[2] = {{a, 1, 0, 1}, {b, 1, 2, 1}};  // sequence 1 has the base
    int64_t rows = 0, n = m->config.vocab_size;
    float *mixed = logits_of(m, tape, 0, SEQUENCES, active, 2, &rows);
    bool replaces = a->part.replaces;
    bool head = a->modules[peft__head_module(m)].a !=
                NULL;  // peft_model_logits does not know whose rows it has; generation does
    if (is_virtual(a) || replaces || head) {
        check(!mixed && peft_tape_status(tape) == PEFT_ERROR_UNSUPPORTED, "%s %s: for some sequences only", f->name, v->name);
    } else {
        for (int64_t s = 0; s < SEQUENCES; s++) {
            peft_active_adapter alone = {s == 2 ? b : a, 1, 0, 0};
            float *own = logits_of(m, tape, s, 1, &alone, s == 1 ? 0 : 1, &rows);
            double off = farthest(mixed ? mixed + target_offsets[s] * n : NULL, own, rows * n);
            check(off < 1e-4, "%s %s: sequence %lld of a mixed batch is off by %g", f->name, v->name, (long long)s, off);
            free(own);
        }
    }
    free(mixed);
    // generation: prompts with an adapter of their own give the texts that they give alone
    static const char *const prompts[] = {"abcd", "zx", "hello", "ab", "quick"};
    char *together[5], *alone[5];
    active[0].sequence_count = 2, active[1].first_sequence = 3, active[1].sequence_count = 2;
    peft_generate_desc g;
    memset(&g, 0, sizeof g);
    g.model = m, g.adapters = active, g.adapter_count = 2, g.max_new_tokens = 8, g.min_new_tokens = 8;
    peft_status status = peft_generate_texts(&g, prompts, 5, together);
    check(is_virtual(a) || replaces ? status == PEFT_ERROR_UNSUPPORTED : status == PEFT_OK, "%s %s: prompts of one call", f->name, v->name);
    for (int i = 0; i < 5 && !status; i++) {
        peft_active_adapter own = {i < 2 ? a : b, 1, 0, 0};
        g.adapters = &own, g.adapter_count = i != 2;
        check(!peft_generate_text(&g, prompts[i], &alone[i]) && strcmp(alone[i], together[i]) == 0, "%s %s: prompt %d among others", f->name, v->name, i);
        peft_free(ctx, alone[i]), peft_free(ctx, together[i]);
    }
    peft_adapter_destroy(a), peft_adapter_destroy(b);
}

// ---- files

static void test_files(const family *f, peft_model *m, const variant *v, peft_tape *tape) {
    char folder[256], path[300];
    snprintf(folder, sizeof folder, "build/adapters_test/%s %s", f->name, v->name);
    peft_adapter *a = make_adapter(m, v, 3), *b = NULL;
    if (!a) return;
    shake(a, 8);
    check(!peft_adapter_save(a, folder), "%s %s: save", f->name, v->name);
    check(!peft_adapter_load(m, folder, &b), "%s %s: load", f->name, v->name);
    int64_t rows = 0, bytes = 0;
    snprintf(path, sizeof path, "%s/adapter_model.safetensors", folder);
    FILE *file = fopen(path, "rb");
    if (file) fseek(file, 0, SEEK_END);
    check(!peft_adapter_file_size(a, &bytes) && file && bytes == (int64_t)ftell(file), "%s %s: the file's size", f->name, v->name);
    if (file) fclose(file);
    if (b) {
        peft_active_adapter x = {a, 1, 0, 0}, y = {b, 1, 0, 0};
        float *before = logits_of(m, tape, 0, SEQUENCES, &x, 1, &rows), *after = logits_of(m, tape, 0, SEQUENCES, &y, 1, &rows);
        double off = farthest(before, after, rows * m->config.vocab_size);
        bool made = a->encoder[0] || a->initial;  // the file holds what they amount to
        check(made ? off < 2e-5 : off == 0, "%s %s: logits after loading are off by %g", f->name, v->name, off);
        check(b->d.method == a->d.method && (made || b->count == a->count), "%s %s: %lld tensors, loaded %lld", f->name, v->name, (long long)a->count, (long long)b->count);
        for (int64_t i = 0; !made && i < a->count && i < b->count; i++)
            check(strcmp(a->tensors[i].name, b->tensors[i].name) == 0 && memcmp(a->tensors[i].data, b->tensors[i].data, (size_t)peft__size(&a->tensors[i]) * 4) == 0,
                  "%s %s: %s as saved", f->name, v->name, a->tensors[i].name);
        free(before), free(after);
    }
    peft_adapter_destroy(a), peft_adapter_destroy(b);
}

// ---- the same in GGUF: what it holds comes back, what it cannot hold is refused

static bool gguf_holds(const family *f, const variant *v) {
    bool tied = strcmp(f->name, "gpt2") == 0 || strcmp(f->name, "qwen2") == 0, t5 = strcmp(f->name, "t5") == 0;
    bool biases = strncmp(f->name, "gpt", 3) == 0 || strcmp(f->name, "qwen2") == 0;
    const peft_adapter_desc *d = &v->desc;
    if (d->method != PEFT_LORA || (d->bias && biases) || d->modules_to_save || d->lora_bias || d->trainable_token_indices)
        return false;
    if (strcmp(v->name, "lora embeddings") == 0) return !tied && !t5;
    bool no_head = tied || strcmp(f->name, "gemma2") == 0;  // whose GGUF takes the embedding for it
    return strcmp(v->name, "lora of the head") != 0 || !no_head;
}

static void test_gguf_file(const family *f, peft_model *m, const variant *v, peft_tape *tape) {
    const char *path = "build/adapters_test/adapter.gguf";
    peft_adapter *a = make_adapter(m, v, 3), *b = NULL;
    if (!a) return;
    shake(a, 8);
    peft_status status = peft_adapter_save(a, path);
    if (!gguf_holds(f, v)) {
        check(status == PEFT_ERROR_UNSUPPORTED, "%s %s: in GGUF: %d", f->name, v->name, (int)status);
    } else {
        check(!status && !peft_adapter_load(m, path, &b), "%s %s: GGUF", f->name, v->name);
        peft_active_adapter x = {a, 1, 0, 0}, y = {b, 1, 0, 0};
        int64_t rows = 0;
        float *before = logits_of(m, tape, 0, SEQUENCES, &x, 1, &rows);
        float *after = b ? logits_of(m, tape, 0, SEQUENCES, &y, 1, &rows) : NULL;
        double off = after ? farthest(before, after, rows * m->config.vocab_size) : 1;
        check(off < 2e-5, "%s %s: logits after loading from GGUF are off by %g", f->name, v->name, off);
        free(before), free(after);
    }
    peft_adapter_destroy(a), peft_adapter_destroy(b);
}

typedef struct bad_gguf {
    const char *architecture, *type, *first, *second, *extra, *message;
    int64_t out;
} bad_gguf;

static void test_bad_gguf(peft_model *m) {  // of the family llama
    static const bad_gguf bad[] = {
        {"gpt2", "lora", "blk.0.attn_q.weight.lora_a", "blk.0.attn_q.weight.lora_b", NULL, "general.architecture", 24},
        {"llama", "other", "blk.0.attn_q.weight.lora_a", "blk.0.attn_q.weight.lora_b", NULL, "adapter.type", 24},
        {"llama", "lora", "blk.0.attn_q.weight.lora_a", "blk.1.attn_q.weight.lora_b", NULL, "attn_q", 24},
        {"llama", "lora", "blk.0.attn_q.weight.lora_a", "blk.0.attn_q.weight.lora_c", NULL, "lora_c", 24},
        {"llama", "lora", "blk.9.attn_q.weight.lora_a", "blk.9.attn_q.weight.lora_b", NULL, "layers.9", 24},
        {"llama", "lora", "blk.0.attn_z.weight.lora_a", "blk.0.attn_z.weight.lora_b", NULL, "attn_z", 24},
        {"llama", "lora", "blk.0.attn_q.weight.lora_a", "blk.0.attn_q.weight.lora_b", NULL, "attn_q", 20},
        {"llama", "lora", "blk.0.attn_q.weight.lora_a", "blk.0.attn_q.weight.lora_b", "adapter.alora.invocation_tokens", "alora", 24},
    };
    const char *path = "build/adapters_test/bad.gguf";
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        const bad_gguf *c = &bad[i];
        peft_gguf_writer *w = NULL;
        peft_tensor *a = NULL, *b = NULL;
        peft_adapter *out = NULL;
        bool made = !peft_tensor_create(ctx, NULL, 2, 24, &a) && !peft_tensor_create(ctx, NULL, c->out, 2, &b) &&
                    !peft_gguf_writer_create(ctx, &w) && !peft_gguf_set_string(w, "general.architecture", c->architecture) &&
                    !peft_gguf_set_string(w, "general.type", "adapter") && !peft_gguf_set_string(w, "adapter.type", c->type) &&
                    (!c->extra || !peft_gguf_set_number(w, c->extra, PEFT_GGUF_U32, 7)) &&
                    !peft_gguf_set_number(w, "adapter.lora.alpha", PEFT_GGUF_F32, 4) &&
                    !peft_gguf_add(w, c->first, a, PEFT_GGML_F32) && !peft_gguf_add(w, c->second, b, PEFT_GGML_F32) &&
                    !peft_gguf_write(w, path);
        check(made, "bad GGUF adapter %d is made", (int)i);
        check(peft_adapter_load(m, path, &out) && !out && strstr(peft_error(ctx), c->message), "bad GGUF adapter %d", (int)i);
        peft_gguf_writer_destroy(w);
        peft_tensor_destroy(ctx, a), peft_tensor_destroy(ctx, b);
    }
}

// ---- generation against whole passes

static void test_generation(const family *f, peft_model *m, const variant *v, peft_tape *tape) {
    peft_adapter *a = make_adapter(m, v, 3);
    if (!a) return;
    shake(a, 8);
    peft_active_adapter active = {a, 1, 0, 0};
    static const int32_t prompt[] = {5, 19, 11, 8, 27, 1};
    enum { PROMPT = 6, NEW = 10 };
    peft_ids out = {NULL, 0, 0};
    peft_generate_desc g;
    memset(&g, 0, sizeof g);
    g.model = m, g.adapter = a, g.max_new_tokens = NEW;
    check(!peft_generate(&g, prompt, PROMPT, &out), "%s %s: generate", f->name, v->name);
    bool seq2seq = m->config.encoder_decoder;
    int64_t so[2] = {0, PROMPT}, to[2] = {0, out.count - 1}, vocab = m->config.vocab_size, first = seq2seq ? 1 : PROMPT;
    peft_batch b = {1, prompt, so, out.data, NULL, to};
    peft_tape_reset(tape, 0);
    peft_tape_inference(tape, true);
    peft_tensor *y = out.count > 1 ? peft_model_logits(m, tape, peft_model_hidden(m, tape, &b, &active, 1), &active, 1) : NULL;
    check(y != NULL, "%s %s: a whole pass over %lld tokens", f->name, v->name, (long long)out.count);
    for (int64_t i = first; y && i < out.count; i++) {
        const float *row = peft__f32(y) + (y->rows - to[1] + i - 1) * vocab;
        int32_t best = 0;
        for (int32_t k = 1; k < vocab; k++)
            if (row[k] > row[best]) best = k;
        check(best == out.data[i] || (double)row[best] - (double)row[out.data[i]] < 1e-5, "%s %s: token %lld is %d, a whole pass says %d", f->name, v->name,
              (long long)i, out.data[i], best);
    }
    peft_ids_free(ctx, &out);
    peft_adapter_destroy(a);
}

// ---- learning: the project's own model with every default; a tiny model of each family, which takes larger steps

static peft_dataset *load_data(const char *path) {
    peft_dataset *d = NULL;
    peft_dataset_desc desc;
    memset(&desc, 0, sizeof desc);
    desc.context = ctx, desc.path = path;
    return peft_dataset_load(&desc, &d) ? NULL : d;
}

static void learn(const char *name, peft_model *m, const peft_dataset *data, const family *f, float least_rate, double most_left) {
    variant v[VARIANTS];
    make_variants(f, v);
    for (int64_t i = 0; peft_method_at(i); i++) {
        const peft_method_info *method = peft_method_at(i);
        peft_adapter_desc d;
        memset(&d, 0, sizeof d);
        d.model = m, d.method = method->method, d.target_modules = method->method == PEFT_SELECTED ? f->linear : NULL, d.seed = 1;
        peft_adapter *a = NULL;
        double start = 0, end = 0;
        check(!peft_adapter_create(&d, &a), "%s %s: defaults", name, method->name);
        peft_train_desc t;
        memset(&t, 0, sizeof t);
        t.model = m, t.adapter = a, t.data = data, t.batch_size = 4, t.seed = 1;
        t.max_steps = method->method == PEFT_P_TUNING ? 60 : 30;  // its network begins at random
        t.learning_rate = method->learning_rate < least_rate ? least_rate : 0;
        bool ok = a && !peft_evaluate_loss(m, a, data, 0, 0, &start) && !peft_train(&t, NULL) && !peft_evaluate_loss(m, a, data, 0, 0, &end);
        check(ok && end < most_left * start, "%s %s: %d steps take the loss from %.3f to %.3f", name, method->name, (int)t.max_steps, start, end);
        if (getenv("PEFT_VERBOSE")) printf("%-10s %-12s %.3f -> %.3f\n", name, method->name, start, end);
        peft_adapter_destroy(a);
    }
}

static void test_learning(const family *f) {
    peft_model *m = NULL;
    peft_model_desc md;
    memset(&md, 0, sizeof md);
    md.context = ctx, md.path = f->name, md.config_only = true, md.seed = 5;
    peft_dataset *before = load_data("copies.jsonl"), *data = load_data("others.jsonl");
    peft_train_desc t;
    memset(&t, 0, sizeof t);
    t.data = before, t.learning_rate = 5e-3f, t.max_steps = 120;
    bool ok = !peft_model_load(&md, &m) && before && data;
    t.model = m;
    check(ok && !peft_train(&t, NULL), "%s: a base that copies", f->name);
    if (ok) learn(f->name, m, data, f, 3e-2f, 0.985);
    peft_dataset_destroy(before), peft_dataset_destroy(data);
    peft_model_destroy(m);
}

static void test_defaults(void) {
    peft_model *m = NULL;
    peft_model_desc md;
    memset(&md, 0, sizeof md);
    md.context = ctx, md.path = "tests/data/model";
    peft_dataset *data = load_data("names.jsonl");
    bool ok = !peft_model_load(&md, &m) && data;
    check(ok, "the project's model");
    if (ok) learn("defaults", m, data, &families[0], 0, 0.3);
    peft_dataset_destroy(data);
    peft_model_destroy(m);
}

// ---- combinations

// s B A of a module, in double.
static void delta_of(const peft_adapter *a, int64_t tensor, double factor, double *out) {
    const peft__adapted *s = &a->modules[tensor];
    double scale = factor * (double)peft__adapter_scale(a, s);
    for (int64_t o = 0; o < s->b->rows; o++)
        for (int64_t i = 0; i < s->a->cols; i++)
            for (int64_t k = 0; k < s->a->rows; k++) out[o * s->a->cols + i] += scale * (double)peft__f32(s->b)[o * s->a->rows + k] * (double)peft__f32(s->a)[k * s->a->cols + i];
}

static peft_adapter *combine(const peft_adapter *const *list, const float *weights, int64_t count, peft_combine_kind kind, float density, peft_status want) {
    peft_adapter *out = NULL;
    peft_combine_desc d;
    memset(&d, 0, sizeof d);
    d.adapters = list, d.weights = weights, d.count = count, d.kind = kind, d.density = density, d.seed = 4;
    peft_status status = peft_adapter_combine(&d, &out);
    check(status == want, "combination %d: status %d", (int)kind, (int)status);
    return out;
}

static void test_combine(peft_model *m) {
    peft_adapter *a[3] = {NULL, NULL, NULL};
    peft_adapter_desc d;
    memset(&d, 0, sizeof d);
    d.model = m, d.r = 3, d.target_modules = "q,v,wo";
    for (int i = 0; i < 3; i++) {
        d.seed = (uint64_t)i + 1, d.alpha = (float)(4 + 3 * i), d.rank_pattern = i == 2 ? "wo=5" : NULL;
        check(!peft_adapter_create(&d, &a[i]), "combination: an adapter");
        shake(a[i], 20 + (uint64_t)i);
    }
    const peft_adapter *list[3] = {a[0], a[1], a[2]};
    const float weights[] = {0.7f, -1.2f, 0.5f};
    // cat: the weighted sum, exactly, whatever the ranks
    peft_adapter *cat = combine(list, weights, 3, PEFT_COMBINE_CAT, 0, PEFT_OK);
    double most = 0, *sum = (double *)malloc(4096 * sizeof(double));
    for (int64_t i = 0; cat && i < m->tensor_count; i++) {
        if (!cat->modules[i].a) continue;
        memset(sum, 0, 4096 * sizeof(double));
        for (int k = 0; k < 3; k++) delta_of(a[k], i, (double)weights[k], sum);
        delta_of(cat, i, -1, sum);
        for (int k = 0; k < 4096; k++) most = fmax(most, fabs(sum[k]));
        check(cat->modules[i].a->rows == (peft__ends_with(m->tensors[i].name, "wo.weight") ? 11 : 9), "cat: the ranks add up at %s", m->tensors[i].name);
    }
    check(cat && most < 1e-5, "cat: off by %g", most);
    check(!peft_adapter_save(cat, "build/adapters_test/cat"), "cat: save");
    peft_adapter *again = NULL;
    check(!peft_adapter_load(m, "build/adapters_test/cat", &again) && again->count == cat->count, "cat: load");
    peft_adapter_destroy(again);
    peft_adapter_destroy(cat);
    combine(list, weights, 3, PEFT_COMBINE_LINEAR, 0, PEFT_ERROR_SHAPE);  // ranks differ
    // linear: sqrt(w s) on each side, the sign of w on A
    peft_adapter *linear = combine(list, weights, 2, PEFT_COMBINE_LINEAR, 0, PEFT_OK);
    peft_adapter *dare = combine(list, weights, 2, PEFT_COMBINE_DARE_LINEAR, 1, PEFT_OK), *whole = combine(list, NULL, 1, PEFT_COMBINE_TIES, 1, PEFT_OK);
    most = 0;
    for (int64_t i = 0; linear && i < linear->count; i++) {
        bool is_a = strstr(linear->tensors[i].name, "lora_A") != NULL;
        for (int64_t k = 0; k < peft__size(&linear->tensors[i]); k++) {
            double w0 = sqrt(0.7 * 4 / 3), w1 = sqrt(1.2 * 7 / 3) * (is_a ? -1 : 1);
            double want = w0 * (double)peft__f32(&a[0]->tensors[i])[k] + w1 * (double)peft__f32(&a[1]->tensors[i])[k];
            most = fmax(most, fabs(want - (double)peft__f32(&linear->tensors[i])[k]));
        }
    }
    check(linear && most < 1e-6, "linear: off by %g", most);
    check(linear && linear->d.alpha == 3 && linear->d.r == 3, "linear: alpha = r");
    for (int64_t i = 0; linear && dare && i < linear->count; i++)
        check(memcmp(linear->tensors[i].data, dare->tensors[i].data, (size_t)peft__size(&linear->tensors[i]) * 4) == 0, "dare that drops nothing is linear");
    memset(sum, 0, 4096 * sizeof(double));
    for (int64_t i = 0; whole && i < m->tensor_count; i++)
        if (whole->modules[i].a && peft__size(&m->tensors[i]) <= 4096) {
            memset(sum, 0, 4096 * sizeof(double));
            delta_of(a[0], i, 1, sum), delta_of(whole, i, -1, sum);
            for (int k = 0; k < 4096; k++) most = fmax(most, fabs(sum[k]));
        }
    check(most < 1e-5, "ties of one whole adapter is that adapter (off by %g)", most);
    peft_adapter_destroy(linear), peft_adapter_destroy(dare), peft_adapter_destroy(whole);
    // dare: what is kept is doubled
    linear = combine(list, NULL, 1, PEFT_COMBINE_LINEAR, 0, PEFT_OK), dare = combine(list, NULL, 1, PEFT_COMBINE_DARE_LINEAR, 0.5f, PEFT_OK);
    int64_t kept = 0, all = 0, wrong = 0;
    for (int64_t i = 0; linear && dare && i < linear->count; i++)
        for (int64_t k = 0; k < peft__size(&linear->tensors[i]); k++, all++) {
            float x = peft__f32(&linear->tensors[i])[k], y = peft__f32(&dare->tensors[i])[k];
            kept += y != 0, wrong += y != 0 && fabsf(y - 2 * x) > 1e-6f * fabsf(x);
        }
    check(!wrong && fabs((double)kept / (double)all - 0.5) < 0.05, "dare keeps %lld of %lld, %lld of them wrong", (long long)kept, (long long)all, (long long)wrong);
    peft_adapter_destroy(linear), peft_adapter_destroy(dare);
    free(sum);
    // ties by hand: trimmed to 2 of 4, sign of the sum, mean of those that agree
    float x[] = {1, -4, 3, 0.5f}, y[] = {-2, -1, 5, 0.25f}, both[8], out[4];
    check(!peft__trim_small(ctx, x, 4, 0.5) && x[0] == 0 && x[1] == -4 && x[2] == 3 && x[3] == 0, "ties: trimmed");
    check(!peft__trim_small(ctx, y, 4, 0.5) && y[0] == -2 && y[1] == 0 && y[2] == 5 && y[3] == 0, "ties: trimmed");
    memcpy(both, x, sizeof x), memcpy(both + 4, y, sizeof y);
    const double ones[] = {1, 2};
    peft__elect_and_merge(both, ones, 2, 4, out);
    check(out[0] == -4 && out[1] == -4 && out[2] == 6.5f && out[3] == 0, "ties: merged %g %g %g %g", (double)out[0], (double)out[1], (double)out[2], (double)out[3]);
    for (int i = 0; i < 3; i++) peft_adapter_destroy(a[i]);
}

// ---- PiSSA, LoRA+, the head, soft prompts read

static void test_pissa(peft_model *m, peft_tape *tape) {
    peft_adapter_desc d;
    memset(&d, 0, sizeof d);
    d.model = m, d.r = 4, d.target_modules = "all-linear", d.pissa = true;
    peft_adapter *a = NULL;
    check(!peft_adapter_create(&d, &a), "pissa");
    if (!a) return;
    peft_active_adapter active = {a, 1, 0, 0};
    int64_t rows = 0;
    float *base = logits_of(m, tape, 0, SEQUENCES, NULL, 0, &rows), *begun = logits_of(m, tape, 0, SEQUENCES, &active, 1, &rows);
    double off = farthest(base, begun, rows * m->config.vocab_size);
    check(off < 2e-5, "pissa: begins %g away from the base", off);
    // the best approximation of rank r leaves just the other singular values
    for (int64_t i = 0; i < m->tensor_count; i++) {
        if (!a->modules[i].a) continue;
        int64_t out = a->modules[i].b->rows, in = a->modules[i].a->cols;
        const peft_tensor *w = &m->tensors[i];
        double *left = (double *)calloc((size_t)(out * in), sizeof(double)), *g = (double *)calloc((size_t)(2 * in * in), sizeof(double)), rest = 0, want = 0;
        for (int64_t o = 0; o < out; o++)
            for (int64_t k = 0; k < in; k++) left[o * in + k] = (double)(w->in_out ? peft__f32(w)[k * out + o] : peft__f32(w)[o * in + k]);
        for (int64_t k = 0; k < in; k++)
            for (int64_t l = 0; l < in; l++)
                for (int64_t o = 0; o < out; o++) g[k * in + l] += left[o * in + k] * left[o * in + l];
        // all but the 4 largest eigenvalues: the trace without what four runs of the power method find, each taken out of g
        for (int64_t k = 0; k < in; k++) want += g[k * in + k];
        for (int r = 0; r < 4; r++) {
            double *x = g + in * in, *y = x + in, norm = 0;
            for (int64_t k = 0; k < in; k++) x[k] = 1 + (double)(k * (k + r) % 7);
            for (int round = 0; round < 2000; round++) {
                norm = 0;
                for (int64_t k = 0; k < in; k++) {
                    y[k] = 0;
                    for (int64_t l = 0; l < in; l++) y[k] += g[k * in + l] * x[l];
                    norm += y[k] * y[k];
                }
                for (int64_t k = 0; k < in; k++) x[k] = y[k] / sqrt(norm);
            }
            want -= sqrt(norm);
            for (int64_t k = 0; k < in; k++)
                for (int64_t l = 0; l < in; l++) g[k * in + l] -= sqrt(norm) * x[k] * x[l];
        }
        delta_of(a, i, -1, left);
        for (int64_t k = 0; k < out * in; k++) rest += left[k] * left[k];
        check(rest < 1.02 * want + 1e-9, "pissa: %s leaves %g, the best is %g", w->name, rest, want);
        free(left), free(g);
    }
    peft_adapter_destroy(a);
    d.method = PEFT_DORA;
    check(peft_adapter_create(&d, &a) == PEFT_ERROR_ARGUMENT, "pissa is for LoRA");
    free(base), free(begun);
}

static void test_lora_plus(peft_model *m) {
    peft_dataset *data = load_data("others.jsonl");
    peft_adapter *a[2];
    for (int i = 0; i < 2; i++) {
        peft_adapter_desc d;
        memset(&d, 0, sizeof d);
        d.model = m, d.r = 2, d.seed = 1;
        check(!peft_adapter_create(&d, &a[i]), "lora+");
        peft_train_desc t;
        memset(&t, 0, sizeof t);
        t.model = m, t.adapter = a[i], t.data = data, t.max_steps = 1, t.lora_plus_ratio = i ? 16 : 0, t.learning_rate = 1e-3f;
        check(!peft_train(&t, NULL), "lora+: a step");
    }
    double most = 0;
    for (int64_t i = 0; i < a[0]->count; i++)
        for (int64_t k = 0; k < peft__size(&a[0]->tensors[i]); k++) {
            double x = (double)peft__f32(&a[0]->tensors[i])[k], y = (double)peft__f32(&a[1]->tensors[i])[k];
            most = fmax(most, strstr(a[0]->tensors[i].name, "lora_B") ? fabs(y - 16 * x) : fabs(y - x));  // B begins as 0
        }
    check(most < 1e-6, "lora+: B steps 16 times as far, A as before (off by %g)", most);
    peft_adapter_destroy(a[0]), peft_adapter_destroy(a[1]);
    peft_dataset_destroy(data);
}

static void test_head(const family *f, peft_model *m) {
    variant v = {"lora on the head", {0}};
    v.desc.target_modules = strcmp(f->name, "gpt_neox") == 0 ? "embed_out" : "lm_head", v.desc.r = 2;
    if (!m->config.tied) test_gradients(f, m, &v);
    variant ia3 = {"ia3 on the head", {0}};
    ia3.desc.method = PEFT_IA3, ia3.desc.target_modules = v.desc.target_modules;
    if (!m->config.tied) test_gradients(f, m, &ia3);
}

// Where virtual tokens stand, and the file of a T5 prompt without rows for the decoder (HF's num_transformer_submodules 1).
static void test_prompt_place(peft_model *m, peft_tape *tape) {
    float *logits[3];
    int64_t rows = 0, n = m->config.vocab_size;
    for (int place = 0; place < 3; place++) {
        variant v = {"place", {0}};
        v.desc.method = PEFT_PROMPT_TUNING, v.desc.prompt_place = (peft_prompt_place)place, v.desc.num_virtual_tokens = 3;
        peft_adapter *a = make_adapter(m, &v, 5);
        if (!a) return;
        peft_active_adapter active = {a, 1, 0, 0};
        logits[place] = logits_of(m, tape, 0, SEQUENCES, &active, 1, &rows);
        check(a->prompt->rows == 6, "three virtual tokens and as many for the decoder");
        peft_adapter_destroy(a);
    }
    check(farthest(logits[0], logits[1], rows * n) > 1e-3 && farthest(logits[0], logits[2], rows * n) > 1e-3 && farthest(logits[1], logits[2], rows * n) > 1e-3,
          "encoder, decoder and both are three things");
    static const char config[] = "{\"peft_type\": \"PROMPT_TUNING\", \"task_type\": \"SEQ_2_SEQ_LM\", \"num_virtual_tokens\": 3, \"token_dim\": 24,\n"
                                 " \"num_transformer_submodules\": 1}\n";
    peft_tensor *t = NULL;
    peft_tensor_create(ctx, "prompt_embeddings", 3, 24, &t);
    const peft_tensor *list[] = {t};
    peft_adapter *a = NULL;
    peft__writer w;
    t->rank = 2;
    check(!peft__make_folder(ctx, "build/adapters_test/encoder_only") && !peft_safetensors_write(ctx, "build/adapters_test/encoder_only/adapter_model.safetensors", list, 1) &&
              !peft__writer_open(ctx, "build/adapters_test/encoder_only/adapter_config.json", &w) && !peft__write(&w, config, sizeof config - 1) && !peft__writer_commit(&w) &&
              !peft_adapter_load(m, "build/adapters_test/encoder_only", &a) && a->prompt->rows == 3,
          "a prompt for the encoder alone");
    peft_adapter_destroy(a);
    peft_tensor_destroy(ctx, t);
    for (int i = 0; i < 3; i++) free(logits[i]);
}

// HF peft's names and shapes of a LoRA beside an embedding; PiSSA has none. T5's halves have their own; its
// module `shared` is asked by nothing.
static void test_embedding_lora(const family *f, peft_model *m) {
    variant v = {"lora of an embedding", {0}};
    v.desc.target_modules = f->embeddings, v.desc.r = 2;
    peft_adapter *a = make_adapter(m, &v, 1);
    char name[128];
    snprintf(name, sizeof name, "base_model.model.%s.lora_embedding_A", peft__module_path(m, peft__input_module(m, false)));
    const peft__adapted *s = a ? &a->modules[peft__input_module(m, false)] : NULL;
    check(s && s->embedding && strcmp(s->a->name, name) == 0 && s->a->rows == 2 && s->a->cols == m->config.vocab_size &&
              s->b->rows == m->config.d_model && s->b->cols == 2,
          "%s: %s", f->name, name);
    peft_adapter_destroy(a);
    peft_adapter_desc d = v.desc;
    d.model = m, d.pissa = true;
    check(peft_adapter_create(&d, &a) == PEFT_ERROR_UNSUPPORTED, "%s: pissa of an embedding", f->name);
    d.pissa = false, d.target_modules = "shared";
    check(peft_adapter_create(&d, &a) == PEFT_ERROR_ARGUMENT, "%s: a module `shared`", f->name);
    d.target_modules = NULL, d.trainable_token_indices = m->config.encoder_decoder ? "3" : "3,4,3";
    check(peft_adapter_create(&d, &a) == PEFT_ERROR_ARGUMENT, "%s: tokens that nothing asks for, or twice",
          f->name);
    d.trainable_token_indices = "embed_tokens:3,32;wte:32;embed_in:32";
    check(peft_adapter_create(&d, &a) == PEFT_ERROR_ARGUMENT, "%s: a token that is not there", f->name);
}

static void test_nearest(peft_model *m) {
    peft_adapter_desc d;
    memset(&d, 0, sizeof d);
    d.model = m, d.method = PEFT_PROMPT_TUNING, d.init_text = "hello", d.num_virtual_tokens = 6;
    peft_adapter *a = NULL;
    check(!peft_adapter_create(&d, &a), "a prompt that is a text");
    if (!a) return;
    static const char *const want[] = {"\xE2\x96\x81", "h", "e", "l", "l", "o"};
    for (int i = 0; i < 6; i++) {
        int32_t ids[3] = {-1, -1, -1};
        float distances[3];
        check(!peft_prompt_nearest(a, i, 3, ids, distances) && strcmp(peft_token_text(m->tokenizer, ids[0]), want[i]) == 0 && fabsf(distances[0]) < 1e-6f &&
                  distances[0] <= distances[1] && distances[1] <= distances[2],
              "virtual token %d is nearest to its word", i);
    }
    int32_t id, few[4];
    float distance, far[4];
    peft_tokenizer *t = (peft_tokenizer *)m->tokenizer;
    int64_t pieces = t->count;
    t->count = 4;  // the embedding's other rows are padding then
    bool only = !peft_prompt_nearest(a, 1, 4, few, far) && peft_prompt_nearest(a, 1, 5, few, far) == PEFT_ERROR_ARGUMENT;
    t->count = pieces;
    check(only && few[0] < 4 && few[1] < 4 && few[2] < 4 && few[3] < 4, "rows without a word are no nearest words");
    check(peft_prompt_nearest(a, 99, 1, &id, &distance) == PEFT_ERROR_ARGUMENT, "a virtual token that is not there");
    peft_adapter_destroy(a);
}

// ---- mixtures: 200 copies and 40 others

static void count_tasks(const peft_mix_desc *d, int64_t a, int64_t b, const char *label) {
    peft_dataset *mixed = NULL, *rest = NULL, *part = NULL;
    check(!peft_dataset_mix(d, &mixed) && peft_dataset_count(mixed) == a + b, "%s: a mixture", label);
    int64_t found[2] = {0, 0}, first_half = 0, wrong = 0;
    for (int64_t i = 0; mixed && i < peft_dataset_count(mixed); i++) {
        const char *task = peft_dataset_task(mixed, i), *p = peft_dataset_prompt(mixed, i), *c = peft_dataset_completion(mixed, i);
        bool copy = task && strcmp(task, "copies") == 0;
        found[!copy]++;
        first_half += copy && i < (a + b) / 2;
        wrong += copy && strcmp(p, c) != 0;
    }
    check(found[0] == a && found[1] == b && !wrong, "%s: %lld copies, %lld others, %lld under a wrong name", label, (long long)found[0], (long long)found[1], (long long)wrong);
    check(llabs((long long)(2 * first_half - a)) < 30, "%s: shuffled (%lld of %lld in the first half)", label, (long long)first_half, (long long)a);
    check(mixed && !peft_dataset_split(mixed, 0.5, 1, &rest, &part) && peft_dataset_task(part, 0) && peft_dataset_task(rest, 0), "%s: parts know their tasks", label);
    peft_dataset_destroy(mixed), peft_dataset_destroy(rest), peft_dataset_destroy(part);
}

static void test_mix(void) {
    peft_dataset *a = load_data("copies.jsonl"), *b = load_data("others.jsonl"), *out = NULL;
    const peft_dataset *const list[] = {a, b};
    const char *const task_names[] = {"copies", "others"};
    peft_mix_desc d;
    memset(&d, 0, sizeof d);
    d.datasets = list, d.names = task_names, d.count = 2, d.seed = 3;
    count_tasks(&d, 200, 40, "in proportion");
    d.cap = 60;
    count_tasks(&d, 60, 40, "capped");
    d.limit = 300;  // 40 others have to come again: 120 of them
    count_tasks(&d, 180, 120, "capped, and more than there are");
    d.cap = 0, d.limit = 90, d.temperature = 2;  // sqrt(200) : sqrt(40)
    count_tasks(&d, 62, 28, "temperature 2");
    d.temperature = 1e6;
    count_tasks(&d, 45, 45, "all alike");
    d.temperature = -1;
    check(peft_dataset_mix(&d, &out) == PEFT_ERROR_ARGUMENT && !out, "a negative temperature");
    check(peft_dataset_task(a, 0) == NULL, "no task outside mixtures");
    peft_dataset_destroy(a), peft_dataset_destroy(b);
}

// ---- lists of names

static void test_lists(void) {
    static const char path[] = "decoder.block.3.layer.0.SelfAttention.v",
                      parameter[] = "decoder.block.0.layer.0.SelfAttention.v.weight";
    const struct {
        const char *list;
        int which;
        const char *path;
        double want;  // -1: no match
    } lists[] = {{"q=4, v=16", PEFT__ALPHAS, path, 16},
                 {"q=4,k=2", PEFT__ALPHAS, path, -1},
                 {".*\\.3\\..*v=5,v=6", PEFT__ALPHAS, path, 5},
                 {"[uv]{1\\,2}=7", PEFT__ALPHAS, path, 7},
                 {"ttention.v=1", PEFT__ALPHAS, path, -1},
                 {" q , v,", PEFT__TARGETS, path, 0},
                 {"q,,k", PEFT__TARGETS, path, -1},
                 {"ttention.v", PEFT__TARGETS, path, -1},
                 {"re:.*(q|v)", PEFT__TARGETS, path, 0},
                 {"re:q|v", PEFT__TARGETS, path, -1}};
    peft_adapter blank;
    memset(&blank, 0, sizeof blank);
    blank.ctx = ctx;
    blank.method = peft__method_row_of(blank.d.method);
    for (int i = 0; i < (int)(sizeof lists / sizeof lists[0]); i++) {
        peft__builder b;
        peft__builder_begin(&b, &blank);
        peft__names_parse(&b, lists[i].which, lists[i].list);
        const peft__name_entry *e = peft__names_find(&b, lists[i].which, lists[i].path, strlen(lists[i].path));
        check(!b.status, "a list: %s", lists[i].list);
        check((e ? e->value : -1) == lists[i].want, "%s of \"%s\"", lists[i].path, lists[i].list);
        peft__builder_end(&b);
    }
    peft__builder b;
    peft__builder_begin(&b, &blank);
    peft__names_parse(&b, PEFT__LAYER_NAMES, "block");
    check(!b.status, "layers_pattern");
    check(peft__layer_of(&b, path) == 3 && peft__layer_of(NULL, path) == 3, "the number of a block");
    check(peft__layer_of(NULL, "a.4.b") == -1 && peft__layer_of(NULL, "model.norm") == -1,
          "no number of a block");
    peft__builder_end(&b);
    check(peft__list_selects("wo, v", parameter) && peft__list_selects("decoder.block.0", parameter) &&
              !peft__list_selects("layer.1", parameter),
          "parameters by a part of their names");
    for (int i = 0; i <= PEFT_SELECTED; i++) check(peft__method_row_of((peft_method)i)->info.method == (peft_method)i, "row %d of the methods", i);
}

// ---- failing allocations

// A context in place of `ctx` whose allocations are counted.
static bool counting_context(counter *c) {
    peft_context_desc d;
    memset(&d, 0, sizeof d);
    COUNT_IN(d, *c);
    return peft_context_create(&d, &ctx) == PEFT_OK;
}

// ---- what configurations say: done, harmless, or refused by name

static int lines_logged;

static void count_lines(const char *line, void *user) {
    (void)line, (void)user;
    lines_logged++;
}

// A saved LoRA with other settings; `more` goes before its own keys, of which the first counts no more.
static peft_status load_with(peft_model *m, const char *settings, peft_adapter **out) {
    static const char folder[] = "build/adapters_test/settings";
    char text[2000], path[300];
    snprintf(path, sizeof path, "%s/adapter_config.json", folder);
    snprintf(text, sizeof text,
             "{\"peft_type\": \"LORA\", \"r\": 2, \"lora_alpha\": 2, \"target_modules\": [\"q_proj\"], %s}\n",
             settings);
    FILE *f = fopen(path, "wb");
    if (!f) return PEFT_ERROR_IO;
    fputs(text, f);
    fclose(f);
    return peft_adapter_load(m, folder, out);
}

static void save_plain(peft_model *m, uint64_t seed, const char *more, peft_adapter **out) {
    peft_adapter_desc d;
    memset(&d, 0, sizeof d);
    d.model = m, d.r = 2, d.alpha = 2, d.target_modules = "q_proj", d.modules_to_save = more, d.seed = seed;
    check(!peft_adapter_create(&d, out), "a plain LoRA");
    if (!*out) return;
    shake(*out, seed);
    check(!peft_adapter_save(*out, "build/adapters_test/settings"), "a plain LoRA saved");
}

static void test_settings(void) {
    static const char peft_020[] =
        "\"alora_invocation_tokens\": null, \"alpha_pattern\": {}, \"arrow_config\": null, \"auto_mapping\": "
        "null, "
        "\"base_model_name_or_path\": \"base\", \"bias\": \"none\", \"corda_config\": null, "
        "\"ensure_weight_tying\": false, \"eva_config\": null, \"exclude_modules\": null, "
        "\"fan_in_fan_out\": false, "
        "\"inference_mode\": true, \"init_lora_weights\": true, \"kasa_config\": null, "
        "\"layer_replication\": null, "
        "\"layers_pattern\": null, \"layers_to_transform\": null, \"loftq_config\": {}, \"lora_bias\": "
        "false, "
        "\"lora_dropout\": 0.0, \"lora_ga_config\": null, \"megatron_config\": null, "
        "\"megatron_core\": \"megatron.core\", \"modules_to_save\": null, \"monteclora_config\": null, "
        "\"peft_version\": \"0.20.1\", \"qalora_group_size\": 16, \"rank_pattern\": {}, \"revision\": null, "
        "\"target_parameters\": null, \"task_type\": \"CAUSAL_LM\", \"trainable_token_indices\": null, "
        "\"use_bdlora\": null, \"use_dora\": false, \"use_qalora\": false, \"use_rslora\": false, "
        "\"velora_config\": null, \"a_later_switch\": false";
    static const struct {
        const char *settings, *named;
    } refused[] = {{"\"layer_replication\": [[0, 2]]", "layer_replication"},
                   {"\"alora_invocation_tokens\": [13, 9]", "alora_invocation_tokens"},
                   {"\"use_qalora\": true", "use_qalora"},
                   {"\"use_bdlora\": {\"nblocks\": 2}", "use_bdlora"},
                   {"\"velora_config\": {\"rank\": 2}", "velora_config"},
                   {"\"kasa_config\": {\"beta\": 1}", "kasa_config"},
                   {"\"arrow_config\": {\"top_k\": 1}", "arrow_config"},
                   {"\"ensure_weight_tying\": true", "ensure_weight_tying"},
                   {"\"init_lora_weights\": \"pissa_niter_4\"", "pissa_niter_4"},
                   {"\"init_lora_weights\": \"corda\"", "corda"},
                   {"\"init_lora_weights\": \"loftq\"", "loftq"},
                   {"\"a_later_method\": {\"size\": 3}", "a_later_method"},
                   {"\"a_later_switch\": true", "a_later_switch"},
                   {"\"bias\": \"some\"", "some"},
                   {"\"rank_pattern\": {\"q_proj\": 0}", "rank_pattern"},
                   {"\"rank_pattern\": {\"(\": 2}", "rank_pattern"},
                   {"\"exclude_modules\": \"[\"", "exclude_modules"},
                   {"\"modules_to_save\": \"lm_head\"", "modules_to_save"},
                   {"\"layers_to_transform\": [\"one\"]", "layers_to_transform"},
                   {"\"trainable_token_indices\": [4000]", "trainable_token_indices"},
                   {"\"lora_dropout\": \"none\"", "lora_dropout"},
                   {"\"target_parameters\": [\"norm.weight\"]", "target_parameters"}};
    counter c = {0};
    peft_context *outer = ctx;
    peft_context_desc cd;
    memset(&cd, 0, sizeof cd);
    COUNT_IN(cd, c),
    cd.log = count_lines;
    if (peft_context_create(&cd, &ctx) || !mount_all()) return;
    peft_model *m = make_model(&families[4]);  // tied, with biases
    peft_adapter *a = NULL, *b = NULL;
    save_plain(m, 5, NULL, &a);
    lines_logged = 0;
    check(!load_with(m, peft_020, &b) && lines_logged == 0, "what peft 0.20 writes of a plain LoRA: %d lines",
          lines_logged);
    peft_adapter_destroy(b);
    for (int i = 0; i < (int)(sizeof refused / sizeof refused[0]); i++) {
        long live = c.live;
        b = NULL;
        peft_status status = load_with(m, refused[i].settings, &b);
        check(status && !b && strstr(peft_error(ctx), refused[i].named), "%s: status %d", refused[i].settings,
              (int)status);
        check(c.live == live, "%s: %ld blocks stay", refused[i].settings, c.live - live);
        peft_adapter_destroy(b);
    }
    lines_logged = 0;
    check(!load_with(m, "\"exclude_modules\": [\"zzz\"]", &b) && lines_logged == 1,
          "a name that matches nothing is told");
    peft_adapter_destroy(b);
    b = NULL;
    check(load_with(m, "\"exclude_modules\": \".*\\\\.1\\\\..*\"", &b) && strstr(peft_error(ctx), "lora_A"),
          "tensors that the configuration has no module for");
    peft__make_folder(ctx, "build/adapters_test/pickled");
    static const char *const pickled[] = {"adapter_config.json", "adapter_model.bin"};
    for (int i = 0; i < 2; i++) {
        char path[100];
        snprintf(path, sizeof path, "build/adapters_test/pickled/%s", pickled[i]);
        FILE *f = fopen(path, "wb");
        if (f) fputs("{\"peft_type\": \"LORA\"}", f), fclose(f);
    }
    check(peft_adapter_load(m, "build/adapters_test/pickled", &b) == PEFT_ERROR_UNSUPPORTED &&
              strstr(peft_error(ctx), "save_file"),
          "adapter_model.bin alone");
    // alpha 0 is 0, and not what a descriptor's 0 stands for
    check(!load_with(m, "\"alpha_pattern\": {\".*0.*\": 0}", &b) && b->modules[0].used == a->modules[0].used,
          "an alpha of 0");
    for (int64_t i = 0; b && i < m->tensor_count; i++)
        if (b->modules[i].a)
            check(b->modules[i].alpha == (strstr(m->tensors[i].name, "layers.0") ? 0 : 2), "alpha of %s",
                  m->tensors[i].name);
    peft_adapter_destroy(b);
    peft_adapter_destroy(a);
    peft_model_destroy(m);
    peft_context_destroy(ctx);
    check(c.live == 0, "settings: %ld blocks left", c.live);
    ctx = outer;
}

// Makes the saved LoRA in `folder` one that began as init_lora_weights says.
static void set_start(const char *folder, const char *name) {
    char path[300], text[4000];
    snprintf(path, sizeof path, "%s/adapter_config.json", folder);
    FILE *file = fopen(path, "rb");
    size_t n = file ? fread(text, 1, sizeof text - 1, file) : 0;
    if (file) fclose(file);
    text[n] = 0;
    char *at = strstr(text, "\"init_lora_weights\": true");
    file = at ? fopen(path, "wb") : NULL;
    check(file, "%s: init_lora_weights", path);
    if (!file) return;
    fprintf(file, "%.*s\"init_lora_weights\": \"%s\"%s", (int)(at - text), text, name, at + 25);
    fclose(file);
}

// PiSSA and OLoRA: what a file's A and B began with is taken out of the base again.
static void test_starts(const family *f, peft_model *m, peft_tape *tape) {
    peft_adapter *plain = NULL, *a = NULL;
    peft_adapter_desc d;
    memset(&d, 0, sizeof d);
    d.model = m, d.r = 2, d.alpha = 2, d.seed = 4, d.base_model_name_or_path = "base";
    check(!peft_adapter_create(&d, &plain), "%s: a LoRA", f->name);
    if (!plain) return;
    shake(plain, 4);
    static const char folder[] = "build/adapters_test/starts";
    for (int way = 0; way < 2; way++) {
        check(!peft_adapter_save(plain, folder), "%s: saved", f->name);
        set_start(folder, way ? "olora" : "pissa");
        check(!peft_adapter_load(m, folder, &a), "%s: a start", f->name);
        for (int64_t i = 0; a && i < m->tensor_count; i++) {
            const peft__adapted *s = &a->modules[i];
            const peft_tensor *w = &m->tensors[i];
            if (!s->a) continue;
            check(memcmp(s->a->data, plain->modules[i].a->data, (size_t)peft__size(s->a) * 4) == 0,
                  "%s: A as in the file", f->name);
            check(s->a0 && s->b0, "%s: a beginning at %s", f->name, w->name);
            // OLoRA, s = 1: the first r columns of the stored weight are gone; PiSSA: nothing of the rest
            // lies along B
            double most = 0;
            int64_t out = s->b->rows, in = s->a->cols, r = s->a->rows;
            for (int64_t k = 0; s->a0 && k < r; k++)
                for (int64_t o = 0; o < (way ? w->rows : in); o++) {
                    double along = 0;
                    for (int64_t j = 0; j < (way ? 1 : out); j++) {
                        int64_t row = way ? w->in_out ? k : o : j, col = way ? w->in_out ? o : k : o;
                        double v =
                            (double)peft__f32(w)[w->in_out ? col * w->cols + row : row * w->cols + col];
                        for (int64_t q = 0; q < r; q++)
                            v -= (double)peft__f32(s->b0)[row * r + q] *
                                 (double)peft__f32(s->a0)[q * in + col];
                        along += v * (way ? 1 : (double)peft__f32(s->b0)[j * r + k]);
                    }
                    most = fmax(most, fabs(along));
                }
            check(most < 1e-5, "%s %s: %g is left at %s", f->name, way ? "olora" : "pissa", most, w->name);
        }
        peft_adapter *again = NULL;
        int64_t rows = 0;
        check(a && !peft_adapter_save(a, folder) && !peft_adapter_load(m, folder, &again),
              "%s: saved and loaded again", f->name);
        if (a && again) {
            peft_active_adapter x = {a, 1, 0, 0}, y = {again, 1, 0, 0};
            float *p = logits_of(m, tape, 0, SEQUENCES, &x, 1, &rows),
                  *q = logits_of(m, tape, 0, SEQUENCES, &y, 1, &rows);
            check(farthest(p, q, rows * m->config.vocab_size) < 2e-5,
                  "%s: the same function from a file of twice the rank", f->name);
            free(p), free(q);
        }
        peft_adapter_destroy(a), peft_adapter_destroy(again);
        a = NULL;
    }
    peft_adapter_destroy(plain);
}

// PiSSA's start is refused where two singular values at the cut are one, and HF's own is a matter of its rounding; none other is.
static void test_start_unknown(const family *f, peft_model *m) {
    peft_adapter *a = NULL, *again = NULL;
    peft_adapter_desc d;
    memset(&d, 0, sizeof d);
    d.model = m, d.r = 2, d.alpha = 2, d.base_model_name_or_path = "base";
    check(!peft_adapter_create(&d, &a), "%s: a LoRA", f->name);
    if (!a) return;
    static const char folder[] = "build/adapters_test/unknown";
    check(!peft_adapter_save(a, folder), "%s: saved", f->name);
    set_start(folder, "pissa");
    int64_t i = 0;
    while (!a->modules[i].a) i++;
    peft_tensor *w = &m->tensors[i];
    void *kept = w->data;
    float *x = calloc((size_t)peft__size(w), sizeof(float));
    for (int with = 0; with < 2; with++) {  // singular values 3, 2, 2: the second and the third are cut apart; 3, 2, 1
        x[0] = 3, x[w->cols + 1] = 2, x[2 * w->cols + 2] = with ? 1 : 2;
        w->data = x;
        peft_status status = peft_adapter_load(m, folder, &again);
        w->data = kept;
        if (with) check(!status, "%s: a start that is known: %s", f->name, peft_error(ctx));
        else
            check(status == PEFT_ERROR_UNSUPPORTED && strstr(peft_error(ctx), w->name), "%s: a start that is not known: %s",
                  f->name, status ? peft_error(ctx) : "loaded");
        peft_adapter_destroy(again);
        again = NULL;
    }
    free(x);
    peft_adapter_destroy(a);
}

// A merged adapter passed again would count twice.
static void test_merged_twice(const family *f, peft_model *m, peft_tape *tape) {
    variant v = {"merged", {0}};
    peft_adapter *a = make_adapter(m, &v, 2);
    peft_active_adapter active = {a, 1, 0, 0};
    int64_t rows = 0;
    if (!a) return;
    check(!peft_adapter_merge(a, 1) && peft_adapter_merge(a, 1) == PEFT_ERROR_ARGUMENT, "%s: merged twice",
          f->name);
    float *y = logits_of(m, tape, 0, 1, &active, 1, &rows);
    check(!y && peft_tape_status(tape) == PEFT_ERROR_ARGUMENT && strstr(peft_error(ctx), "merged"),
          "%s: merged and passed", f->name);
    free(y);
    check(!peft_adapter_unmerge(a), "%s: taken out", f->name);
    y = logits_of(m, tape, 0, 1, &active, 1, &rows);
    check(y != NULL, "%s: passed when it is not merged", f->name);
    free(y);
    peft_adapter_destroy(a);
}

// HF replaces the input side of a tied embedding alone, and the head alone.
static void test_tied_apart(const family *f, peft_model *m, peft_tape *tape) {
    bool neox = strcmp(f->name, "gpt_neox") == 0, t5 = strcmp(f->name, "t5") == 0;
    for (int head = 0; head < 2; head++) {
        variant v = {"saved apart", {0}};
        v.desc.modules_to_save = head ? (neox ? "embed_out" : "lm_head")
                                 : t5 ? "embed_tokens"
                                      : f->embeddings;
        if (strchr(v.desc.modules_to_save, ',')) v.desc.modules_to_save = "wte";
        peft_adapter *a = make_adapter(m, &v, 2);
        if (!a) continue;
        peft_active_adapter active = {a, 1, 0, 0};
        int64_t rows = 0, n = m->config.vocab_size, width = m->config.d_model;
        float *before = logits_of(m, tape, 0, SEQUENCES, &active, 1, &rows);
        for (int64_t i = 0; i < a->count; i++)
            if (a->tensors[i].rows == n && a->tensors[i].cols == width)
                for (int64_t k = 0; k < width; k++)
                    peft__f32(&a->tensors[i])[30 * width + k] += 1;  // no sequence has token 30
        float *after = logits_of(m, tape, 0, SEQUENCES, &active, 1, &rows);
        double moved = 0, others = 0;
        for (int64_t i = 0; before && after && i < rows * n; i++) {
            double *most = i % n == 30 ? &moved : &others;
            *most = fmax(*most, fabs((double)before[i] - (double)after[i]));
        }
        check(others == 0 && (head ? moved > 0 : moved == 0),
              "%s %s: the logit of token 30 moves by %g, others by %g", f->name, v.desc.modules_to_save,
              moved, others);
        free(before), free(after);
        peft_adapter_destroy(a);
    }
}

// ---- the walk back: nothing is recorded before the first trained parameter has a say; no step but the first allocates

static int64_t recorded(peft_model *m, peft_tape *tape, const peft_adapter_desc *desc) {
    peft_adapter *a = NULL;
    peft_adapter_desc d = *desc;
    d.model = m, d.r = 2;
    check(!peft_adapter_create(&d, &a), "%s: an adapter on some layers", m->config.model_type);
    if (!a) return 0;
    for (int64_t i = 0; i < a->count; i++) peft_require_grad(ctx, &a->tensors[i]);
    peft_active_adapter active = {a, 1, 0, 0};
    int64_t so[SEQUENCES + 1], to[SEQUENCES + 1], n = 0, idle = 0;
    peft_batch b = batch_of(0, SEQUENCES, so, to);
    peft_tape_reset(tape, 1);
    peft_tensor *loss = peft_model_loss(m, tape, &b, &active, 1, 0);
    for (const peft__node *node = tape->last; node; node = node->previous) n++, idle += !node->out->requires_grad;
    check(loss && !idle && !peft_backward(tape, loss), "%s: %lld operations recorded that need no gradient", m->config.model_type, (long long)idle);
    peft_adapter_destroy(a);
    return n;
}

static void test_walk_back(const family *f, peft_model *m) {
    peft_tape *tape = NULL;
    peft_tape_create(ctx, &tape);
    peft_adapter_desc all, last;
    memset(&all, 0, sizeof all), memset(&last, 0, sizeof last);
    all.target_modules = last.target_modules = "all-linear", last.layers_to_transform = "1";
    int64_t whole = recorded(m, tape, &all), part = recorded(m, tape, &last);
    int64_t most = m->config.encoder_decoder ? 75 : 60;  // percent; the first block of a decoder hands on what goes back to the encoder
    check(part > 0 && 100 * part <= most * whole, "%s: %lld operations for the last of two blocks, %lld for both", f->name, (long long)part, (long long)whole);
    all.target_modules = "decoder.block.1.layer.2.DenseReluDense.wo";  // T5: the encoder is below, too
    int64_t top = m->config.encoder_decoder ? recorded(m, tape, &all) : 0;
    check(top <= 4, "%s: %lld operations behind the last matrix but the head", f->name, (long long)top);
    peft_tape_destroy(tape);
}

static long calls_at[8], *counted_calls;

static bool note_calls(const peft_progress *p, void *user) {
    (void)user;
    if (p->step < 8) calls_at[p->step] = *counted_calls;
    return true;
}

static void test_no_allocation(const family *f) {
    counter c = {0};
    peft_context *outer = ctx;
    counted_calls = &c.calls;
    if (!counting_context(&c) || !mount_all()) return;
    static char same[2000];
    same[0] = 0;
    for (int i = 0; i < 30; i++) strcat(same, "{\"prompt\": \"abcdef\", \"completion\": \"fed\"}\n");  // five steps of six: all of one shape
    peft_mount(ctx, "same.jsonl", same, strlen(same));
    peft_model *m = make_model(f);
    peft_dataset *data = load_data("same.jsonl");
    variant v[VARIANTS];
    int n = make_variants(f, v);
    for (int i = -1; m && data && i < n; i++) {  // -1: all weights
        peft_adapter *a = i < 0 ? NULL : make_adapter(m, &v[i], 3);
        peft_train_desc t;
        memset(&t, 0, sizeof t);
        t.model = m, t.adapter = a, t.data = data, t.max_steps = 5, t.batch_size = 3, t.dropout = 0.1f, t.accumulation = 2, t.learning_rate = 1e-6f;
        t.checkpoint_blocks = i % 2 != 0, t.progress = note_calls;
        check(!peft_train(&t, NULL), "%s %s: training", f->name, i < 0 ? "all weights" : v[i].name);
        check(calls_at[5] == calls_at[1], "%s %s: %ld allocations after the first step", f->name, i < 0 ? "all weights" : v[i].name, calls_at[5] - calls_at[1]);
        peft_adapter_destroy(a);
    }
    peft_dataset_destroy(data);
    peft_model_destroy(m);
    peft_context_destroy(ctx);
    ctx = outer;
    check(c.live == 0, "%s: %ld blocks left", f->name, c.live);
}

static peft_status exercise(peft_model *m, const peft_adapter_desc *desc) {
    peft_adapter *a = NULL, *b = NULL;
    int32_t ids[2];
    float distances[2];
    int64_t bytes = 0;
    peft_adapter_desc d = *desc;
    d.model = m;
    peft_status status = peft_adapter_create(&d, &a);
    if (!status) status = peft_adapter_file_size(a, &bytes);
    peft_dataset *data = NULL, *mixed = NULL;
    peft_dataset_desc dd;
    memset(&dd, 0, sizeof dd);
    dd.context = ctx, dd.path = "names.jsonl";
    if (!status) status = peft_dataset_load(&dd, &data);
    const peft_dataset *const both[] = {data, data};
    const char *const both_names[] = {"a", "b"};
    peft_mix_desc mix = {both, both_names, 2, 0, 0, 0, 0};
    if (!status) status = peft_dataset_mix(&mix, &mixed);
    peft_dataset_destroy(data), peft_dataset_destroy(mixed);
    if (!status && d.method == PEFT_P_TUNING) status = peft_prompt_nearest(a, 0, 2, ids, distances);
    const peft_adapter *list[2] = {a, a};
    bool combined = !status && d.method == PEFT_LORA && !d.pissa && !d.bias && !d.lora_bias &&
                    !d.trainable_token_indices && !d.modules_to_save;
    for (int64_t i = 0; combined && i < peft__module_count(m); i++) combined = !a->modules[i].embedding;
    for (int kind = 0; kind < 4 && !status && combined; kind++) {
        peft_combine_desc c;
        memset(&c, 0, sizeof c);
        c.adapters = list, c.count = 2, c.kind = (peft_combine_kind)kind;
        status = peft_adapter_combine(&c, &b);
        peft_adapter_destroy(b);
        b = NULL;
    }
    bool mergeable = d.method <= PEFT_IA3 && a && !stays_apart(a);
    if (!status && mergeable) status = peft_adapter_merge(a, 1);
    if (!status && mergeable) status = peft_adapter_unmerge(a);
    peft_adapter_destroy(a);
    return status;
}

static void test_memory(const family *f) {
    counter c = {0};
    peft_context *outer = ctx;
    if (!counting_context(&c) || !mount_all()) return;
    peft_model *m = make_model(f);
    variant v[VARIANTS];
    int n = make_variants(f, v);
    for (int i = 0; i < n; i++) exercise(m, &v[i].desc);  // the context keeps what it packs matrices in
    for (int i = 0; i < n; i++) {
        c.calls = 0, c.fail_at = 0;
        long live = c.live, calls = 0;
        check(!exercise(m, &v[i].desc) && c.live == live, "%s %s: nothing leaks", f->name, v[i].name);
        calls = c.calls;
        for (long k = 1; k <= calls; k += 1 + calls / 400) {
            c.calls = 0, c.fail_at = k;
            peft_status status = exercise(m, &v[i].desc);
            c.fail_at = 0;
            check(status == PEFT_ERROR_MEMORY && c.live == live, "%s %s: allocation %ld of %ld fails: status %d, %ld blocks left", f->name, v[i].name, k, calls, (int)status,
                  c.live - live);
        }
    }
    peft_model_destroy(m);
    peft_context_destroy(ctx);
    ctx = outer;
    check(c.live == 0, "%s: %ld blocks left", f->name, c.live);
}

int main(void) {
    make_vocabulary();
    make_examples(copies, 200, true, 1);
    make_examples(others, 40, false, 2);
    peft_context_desc d;
    memset(&d, 0, sizeof d);
    if (peft_context_create(&d, &ctx) || !mount_all()) return 1;
    peft__make_folder(ctx, "build");
    peft__make_folder(ctx, "build/adapters_test");
    test_lists();
    peft_tape *tape = NULL;
    peft_tape_create(ctx, &tape);
    for (int f = 0; f < FAMILIES; f++) {
        peft_model *m = make_model(&families[f]);
        check(m != NULL, "%s: a model", families[f].name);
        variant v[VARIANTS];
        int n = make_variants(&families[f], v);
        for (int i = 0; m && i < n; i++) {
            test_gradients(&families[f], m, &v[i]);
            test_merge(&families[f], m, &v[i], tape);
            test_mixed(&families[f], m, &v[i], tape);
            test_files(&families[f], m, &v[i], tape);
            test_gguf_file(&families[f], m, &v[i], tape);
            test_generation(&families[f], m, &v[i], tape);
        }
        if (m) test_head(&families[f], m);
        if (m && strcmp(families[f].name, "llama") == 0) test_bad_gguf(m);
        if (m) test_walk_back(&families[f], m);
        if (m) test_pissa(m, tape);
        if (m && f == 0) test_combine(m), test_prompt_place(m, tape);
        if (m) test_embedding_lora(&families[f], m);
        if (m)
            test_starts(&families[f], m, tape), test_start_unknown(&families[f], m), test_merged_twice(&families[f], m, tape),
                test_tied_apart(&families[f], m, tape);
        if (m) test_lora_plus(m), test_nearest(m);
        peft_model_destroy(m);
        test_learning(&families[f]);
        test_no_allocation(&families[f]);
    }
    test_settings();
    test_defaults();
    test_mix();
    test_memory(&families[0]);
    test_memory(&families[1]);
    peft_tape_destroy(tape);
    peft_context_destroy(ctx);
    printf("%d passed, %d failed\n", passed, failed);
    return failed != 0;
}
