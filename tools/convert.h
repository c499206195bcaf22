// llama2.c's checkpoints (its first format) and vocabularies as a folder that Hugging Face's libraries and peft.h open.
//
// A checkpoint is seven i32 - width, feed-forward width, layers, heads, key heads, vocabulary (negative: the output matrix
// is not the embedding), context - and then f32 weights, each kind for all layers in turn. A vocabulary is the i32 length of
// its longest piece, and then f32 score, i32 length and bytes of each piece. Both are little-endian.
// Needs peft.h; the command at the end also cli.h.
#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#if defined(_WIN32)
#include <direct.h>
#define convert_mkdir(path) _mkdir(path)
#else
#define convert_mkdir(path) mkdir(path, 0777)
#endif

typedef struct {
    const char *in, *out, *tokenizer;  // tokenizer: NULL: what lies beside the checkpoint, if something does
    unsigned char *bytes;              // the whole checkpoint
    size_t size;
    const float *at;
    int64_t width, hidden, layers, heads, kv_heads, vocab, context;
    bool tied;
    peft_tensor *tensors;
    char (*names)[64];
    void **copies;  // of matrices whose rows are in another order
    int64_t count;
    char why[1200];
} conversion;

static bool convert_error(conversion *c, const char *format, ...) {
    va_list args;
    va_start(args, format);
    vsnprintf(c->why, sizeof(c->why), format, args);
    va_end(args);
    return false;
}

// Makes the machine's number of four little-endian bytes, or these of the machine's number.
static void convert_word(void *word) {
    unsigned char b[4];
    memcpy(b, word, 4);
    uint32_t v = b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
    memcpy(word, &v, 4);
}

static unsigned char *convert_read(conversion *c, const char *path, size_t *size) {
    FILE *f = fopen(path, "rb");
    long n = f && !fseek(f, 0, SEEK_END) ? ftell(f) : -1;
    unsigned char *bytes = n >= 0 && !fseek(f, 0, SEEK_SET) ? (unsigned char *)malloc((size_t)n + 1) : NULL;
    if (!bytes || fread(bytes, 1, (size_t)n, f) != (size_t)n) {
        convert_error(c, "%s: %s", path, errno ? strerror(errno) : "cannot be read");
        free(bytes);
        bytes = NULL;
    }
    if (f) fclose(f);
    *size = (size_t)(n < 0 ? 0 : n);
    return bytes;
}

static bool convert_write(conversion *c, const char *name, const void *data, size_t size) {
    char path[4096];
    snprintf(path, sizeof(path), "%s/%s", c->out, name);
    FILE *f = fopen(path, "wb");
    bool ok = f && fwrite(data, 1, size, f) == size;
    if (f && fclose(f)) ok = false;
    return ok || convert_error(c, "%s: %s", path, strerror(errno));
}

static bool convert_header(conversion *c) {
    int64_t *const into[7] = {&c->width, &c->hidden, &c->layers, &c->heads, &c->kv_heads, &c->vocab, &c->context};
    int32_t header[7] = {0};
    memcpy(header, c->bytes, c->size < sizeof(header) ? c->size : sizeof(header));
    for (int i = 0; i < 7; i++) *into[i] = header[i];
    c->tied = c->vocab > 0;
    c->vocab = c->tied ? c->vocab : -c->vocab;
    for (int i = 0; i < 7; i++)
        if (*into[i] < 1 || *into[i] > 1 << 22) return convert_error(c, "%s: not a checkpoint of llama2.c's first format", c->in);
    if (c->layers > 4096 || c->width % c->heads || c->heads % c->kv_heads || c->width / c->heads % 2)
        return convert_error(c, "%s: not a checkpoint of llama2.c's first format", c->in);
    double w = (double)c->width, head = w / (double)c->heads, layer = w * (2 * w + 2 * head * (double)c->kv_heads + 3 * (double)c->hidden + 2);
    double values = (double)c->vocab * w * (c->tied ? 1 : 2) + (double)c->layers * layer + w + (double)c->context * head;
    if (28 + 4 * values != (double)c->size)
        return convert_error(c, "%s: %llu bytes where its header asks for %.0f", c->in, (unsigned long long)c->size, 28 + 4 * values);
    return true;
}

// The next [rows, cols] of the file under this name. `heads` not 0: of each head, rotary pairs that lie side by side become
// Hugging Face's halves: its row i (head_size / 2) + j is row 2 j + i of the file.
static bool convert_tensor(conversion *c, int64_t rows, int64_t cols, int64_t heads, const char *format, ...) {
    peft_tensor *t = &c->tensors[c->count];
    va_list args;
    va_start(args, format);
    vsnprintf(c->names[c->count], sizeof(c->names[0]), format, args);
    va_end(args);
    t->name = c->names[c->count];
    t->rows = rows, t->cols = cols, t->rank = rows == 1 ? 1 : 2;
    t->data = (void *)(uintptr_t)c->at;
    const float *from = c->at;
    c->at += rows * cols;
    c->count++;
    if (!heads) return true;
    float *to = (float *)malloc((size_t)(rows * cols) * sizeof(float));
    if (!to) return convert_error(c, "out of memory");
    c->copies[c->count - 1] = t->data = to;
    for (int64_t r = 0, n = rows / heads; r < rows; r++)
        memcpy(to + (r / n * n + r % n % 2 * (n / 2) + r % n / 2) * cols, from + r * cols, (size_t)cols * sizeof(float));
    return true;
}

static bool convert_weights(conversion *c) {
    int64_t kv = c->width / c->heads * c->kv_heads;
    const struct {
        const char *name;
        int64_t rows, cols, heads;
    } kinds[] = {{"input_layernorm", 1, c->width, 0},
                 {"self_attn.q_proj", c->width, c->width, c->heads},
                 {"self_attn.k_proj", kv, c->width, c->kv_heads},
                 {"self_attn.v_proj", kv, c->width, 0},
                 {"self_attn.o_proj", c->width, c->width, 0},
                 {"post_attention_layernorm", 1, c->width, 0},
                 {"mlp.gate_proj", c->hidden, c->width, 0},
                 {"mlp.down_proj", c->width, c->hidden, 0},
                 {"mlp.up_proj", c->hidden, c->width, 0}};
    size_t room = (size_t)(9 * c->layers + 3);
    c->tensors = (peft_tensor *)calloc(room, sizeof(peft_tensor));
    c->names = (char (*)[64])calloc(room, sizeof(c->names[0]));
    c->copies = (void **)calloc(room, sizeof(void *));
    if (!c->tensors || !c->names || !c->copies) return convert_error(c, "out of memory");
    c->at = (const float *)(const void *)(c->bytes + 28);
    bool ok = convert_tensor(c, c->vocab, c->width, 0, "model.embed_tokens.weight");
    for (int k = 0; k < 9; k++)
        for (int64_t i = 0; i < c->layers && ok; i++)
            ok = convert_tensor(c, kinds[k].rows, kinds[k].cols, kinds[k].heads, "model.layers.%lld.%s.weight", (long long)i, kinds[k].name);
    ok = ok && convert_tensor(c, 1, c->width, 0, "model.norm.weight");
    c->at += c->context * (c->width / c->heads);  // tables of cosines and sines
    return ok && (c->tied || convert_tensor(c, c->vocab, c->width, 0, "lm_head.weight"));
}

// These models are trained on texts that follow one another behind <s>, so that is where generation ends.
static bool convert_config(conversion *c) {
    char text[1024];
    int n = snprintf(text, sizeof(text),
                     "{\n  \"architectures\": [\"LlamaForCausalLM\"],\n  \"model_type\": \"llama\",\n  \"hidden_act\": \"silu\",\n"
                     "  \"vocab_size\": %lld,\n  \"hidden_size\": %lld,\n  \"intermediate_size\": %lld,\n  \"num_hidden_layers\": %lld,\n"
                     "  \"num_attention_heads\": %lld,\n  \"num_key_value_heads\": %lld,\n  \"max_position_embeddings\": %lld,\n"
                     "  \"rms_norm_eps\": 1e-5,\n  \"rope_theta\": 10000.0,\n  \"tie_word_embeddings\": %s,\n  \"bos_token_id\": 1,\n"
                     "  \"eos_token_id\": 1,\n  \"torch_dtype\": \"float32\"\n}\n",
                     (long long)c->vocab, (long long)c->width, (long long)c->hidden, (long long)c->layers, (long long)c->heads,
                     (long long)c->kv_heads, (long long)c->context, c->tied ? "true" : "false");
    return convert_write(c, "config.json", text, (size_t)n);
}

// ---- the vocabulary, as SentencePiece's ModelProto: a protocol buffer of fields that are tag, size (or value), bytes

typedef struct {
    unsigned char *data;
    size_t size;
} convert_buffer;

static void convert_put(convert_buffer *b, const void *data, size_t n) {
    memcpy(b->data + b->size, data, n);
    b->size += n;
}

static void convert_varint(convert_buffer *b, uint64_t v) {
    for (; v >= 128; v >>= 7) b->data[b->size++] = (unsigned char)(v | 128);
    b->data[b->size++] = (unsigned char)v;
}

// ModelProto.pieces: {1: piece, 2: score, 3: type}. In llama2.c's files spaces are written as such, and the control tokens
// between line breaks.
static void convert_piece(convert_buffer *b, int64_t index, const char *text, size_t n, float score) {
    static const char *const controls[] = {"<unk>", "<s>", "</s>"};
    unsigned char room[4096];
    convert_buffer piece = {room, 0};
    bool byte = n == 6 && memcmp(text, "<0x", 3) == 0 && text[5] == '>';
    int type = index == 0 ? 2 : index < 3 ? 3 : byte ? 6 : 1;  // UNKNOWN, CONTROL, BYTE, NORMAL
    if (index < 3) text = controls[index], n = strlen(text);
    size_t spaces = 0;
    for (size_t i = 0; i < n; i++) spaces += text[i] == ' ';
    convert_varint(&piece, 1 << 3 | 2);
    convert_varint(&piece, n + 2 * spaces);
    for (size_t i = 0; i < n; i++) {
        if (text[i] == ' ') convert_put(&piece, "\xE2\x96\x81", 3);
        else convert_put(&piece, text + i, 1);
    }
    convert_varint(&piece, 2 << 3 | 5);
    convert_word(&score);
    convert_put(&piece, &score, 4);
    convert_varint(&piece, 3 << 3 | 0);
    convert_varint(&piece, (uint64_t)type);
    convert_varint(b, 1 << 3 | 2);
    convert_varint(b, piece.size);
    convert_put(b, piece.data, piece.size);
}

static bool convert_vocabulary(conversion *c, const char *path, const unsigned char *data, size_t size) {
    // trainer_spec (2): model_type (3) BPE, byte_fallback (35). normalizer_spec (3): add_dummy_prefix (3),
    // remove_extra_whitespaces (4) off, escape_whitespaces (5)
    static const unsigned char tail[] = {2 << 3 | 2, 5, 3 << 3, 2, 0x98, 2, 1, 3 << 3 | 2, 6, 3 << 3, 1, 4 << 3, 0, 5 << 3, 1};
    convert_buffer b = {(unsigned char *)malloc(size * 4 + 4096), 0};
    int64_t count = 0;
    size_t at = 4;
    bool ok = b.data != NULL;
    for (; ok && at < size; count++) {
        int32_t n = 0;
        float score = 0;
        if (size - at >= 8) memcpy(&score, data + at, 4), memcpy(&n, data + at + 4, 4), convert_word(&score), convert_word(&n);
        ok = n >= 1 && n <= 1000 && (size_t)n <= size - at - 8 && score - score == 0;
        if (ok) convert_piece(&b, count, (const char *)data + at + 8, (size_t)n, score);
        at += 8 + (size_t)n;
    }
    convert_put(&b, tail, ok ? sizeof(tail) : 0);
    if (!ok || count != c->vocab)
        convert_error(c, "%s: not a vocabulary of %lld pieces of llama2.c, or damaged at piece %lld", path, (long long)c->vocab, (long long)count);
    ok = ok && count == c->vocab && convert_write(c, "tokenizer.model", b.data, b.size);
    free(b.data);
    return ok;
}

// Vocabularies are named after their size there. One of SentencePiece is copied as it is.
static bool convert_tokenizer(conversion *c) {
    static const char *const names[] = {"tok%lld.bin", "tok%lld.model", "tokenizer.bin", "tokenizer.model"};
    char path[4096] = "", name[64];
    const char *slash = strrchr(c->in, '/');
    struct stat found;
    for (int i = 0; !c->tokenizer && i < 4; i++) {
        snprintf(name, sizeof(name), names[i], (long long)c->vocab);
        snprintf(path, sizeof(path), "%.*s%s", slash ? (int)(slash - c->in) + 1 : 0, c->in, name);
        if (stat(path, &found) == 0) c->tokenizer = path;
    }
    if (!c->tokenizer) return true;
    size_t size = 0, n = strlen(c->tokenizer);
    unsigned char *data = convert_read(c, c->tokenizer, &size);
    bool model = n > 6 && strcmp(c->tokenizer + n - 6, ".model") == 0;
    bool ok = data && (model ? convert_write(c, "tokenizer.model", data, size) : convert_vocabulary(c, c->tokenizer, data, size));
    if (c->tokenizer == path) c->tokenizer = NULL;
    free(data);
    return ok;
}

// False: c->why says why. c->in, c->out and c->tokenizer are set before, all else is zero.
static bool convert_llama2c(peft_context *ctx, conversion *c) {
    char path[4096];
    errno = 0;
    c->bytes = convert_read(c, c->in, &c->size);
    for (size_t i = 0; c->bytes && i + 4 <= c->size; i += 4) convert_word(c->bytes + i);
    bool ok = c->bytes && convert_header(c) && convert_weights(c);
    if (ok && convert_mkdir(c->out) && errno != EEXIST) ok = convert_error(c, "%s: %s", c->out, strerror(errno));
    ok = ok && convert_config(c) && convert_tokenizer(c);
    snprintf(path, sizeof(path), "%s/model.safetensors", c->out);
    const peft_tensor **all = ok ? (const peft_tensor **)malloc((size_t)c->count * sizeof(*all)) : NULL;
    for (int64_t i = 0; all && i < c->count; i++) all[i] = &c->tensors[i];
    if (ok && (!all || peft_safetensors_write(ctx, path, all, c->count))) ok = convert_error(c, "%s", peft_error(ctx));
    for (int64_t i = 0; i < c->count; i++) free(c->copies[i]);
    free(all);
    free(c->copies), free(c->names), free(c->tensors), free(c->bytes);
    return ok;
}

#ifdef COMMON_OPTIONS  // of cli.h

static const char *convert_tokenizer_path;
static const option convert_options[] = {
    {"tokenizer", OPTION_TEXT, &convert_tokenizer_path, "FILE", "its vocabulary: tok512.bin, tokenizer.model (what lies beside it)"},
    FORCE_OPTION,
    COMMON_OPTIONS};

static int run_convert(void) {
    if (cli.rest.count != 2) return wrong("give a checkpoint of llama2.c and the folder to write");
    conversion c = {.in = cli.rest.items[0], .out = cli.rest.items[1], .tokenizer = convert_tokenizer_path};
    const char *const read[] = {c.in, c.tokenizer};
    int code = output_may_go("convert", c.out, cli.force, read, 2);
    if (code) return code;
    if (!convert_llama2c(cli.ctx, &c)) {
        fprintf(stderr, "peft convert: %s\n", c.why);
        return EXIT_FAILURE;
    }
    if (!cli.quiet) printf("%s: %lld layers of width %lld, %lld tokens\n", c.out, (long long)c.layers, (long long)c.width, (long long)c.vocab);
    return EXIT_OK;
}
#endif
