// What peft.h writes: folders that are new or old and never half, what Hugging Face needs beside the weights, vocabularies
// of every source, growing a vocabulary. Files go to build/saving_test.
#define _DEFAULT_SOURCE  // popen
#include "peft.h"
#include "check.h"
#include "text.h"
#include <math.h>
#include <time.h>

#if defined(__unix__) || defined(__APPLE__)
#define POSIX 1
#include "../tools/convert.h"
#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#else
#define POSIX 0
#endif
#define COUNT_OF(array) (int)(sizeof(array) / sizeof *(array))

#define FOLDER "build/saving_test"
#define MODEL "tests/data/model"

static int passed, failed, skipped;
static peft_context *ctx;
static char logged[4000];

static void check(const char *what, bool ok) {
    if (test_count(&passed, &failed, ok, what)) printf("FAIL %s: %s\n", what, peft_error(ctx));
}

static void note_log(const char *line, void *user) {
    (void)user;
    size_t n = strlen(logged);
    snprintf(logged + n, sizeof logged - n, "%s\n", line);
}

static peft_model *load(const char *path) {
    peft_model *m = NULL;
    peft_model_desc d;
    memset(&d, 0, sizeof d);
    d.context = ctx;
    d.path = path;
    peft_model_load(&d, &m);
    return m;
}

static bool holds(const char *path, const char *what) {
    char *text = test_read(path, NULL);
    bool found = text && strstr(text, what);
    free(text);
    return found;
}

static bool same_files(const char *a, const char *b) {
    size_t n = 0, m = 1;
    char *x = test_read(a, &n), *y = test_read(b, &m);
    bool same = x && y && n == m && memcmp(x, y, n) == 0;
    free(x), free(y);
    return same;
}

static void put(const char *path, const char *text) {
    FILE *f = fopen(path, "wb");
    if (!f) return;
    fputs(text, f);
    fclose(f);
}

// ---- folders are new or old

#if POSIX

static bool is_folder(const char *path) {
    struct stat s;
    return stat(path, &s) == 0 && S_ISDIR(s.st_mode);
}

static peft_adapter *lora(peft_model *m, int64_t r) {
    peft_adapter *a = NULL;
    peft_adapter_desc d;
    memset(&d, 0, sizeof d);
    d.model = m;
    d.r = r;
    d.seed = (uint64_t)r;
    peft_adapter_create(&d, &a);
    return a;
}

static int64_t rank_of(peft_model *m, const char *folder) {
    peft_adapter *a = NULL;
    int64_t r = peft_adapter_load(m, folder, &a) ? -1 : peft_adapter_settings(a)->r;
    peft_adapter_destroy(a);
    return r;
}

static void test_folders(void) {
    peft_model *m = load(MODEL);
    peft_adapter *two = lora(m, 2), *four = lora(m, 4);
    check("a new folder", !peft_adapter_save(two, FOLDER "/a") && rank_of(m, FOLDER "/a") == 2 &&
          !is_folder(FOLDER "/a.peft-new"));
    put(FOLDER "/a/notes.txt", "mine"), mkdir(FOLDER "/a/more", 0777),
        put(FOLDER "/a/adapter_model.bin", "old"), chmod(FOLDER "/a", 0710);
    check("a folder is replaced", !peft_adapter_save(four, FOLDER "/a") && rank_of(m, FOLDER "/a") == 4);
    struct stat s;
    check("what is not the adapter's stays", holds(FOLDER "/a/notes.txt", "mine") &&
          is_folder(FOLDER "/a/more"));
    check("what was the adapter's goes", !test_there(FOLDER "/a/adapter_model.bin") &&
          !is_folder(FOLDER "/a.peft-new"));
    check("who may read it stays", stat(FOLDER "/a", &s) == 0 && (s.st_mode & 0777) == 0710);
    check("a slash at the end", !peft_adapter_save(two, FOLDER "/a/") && rank_of(m, FOLDER "/a") == 2);
    put(FOLDER "/file", "x");
    check("a file in the place", peft_adapter_save(two, FOLDER "/file") == PEFT_ERROR_IO &&
          strstr(peft_error(ctx), "is a file") && holds(FOLDER "/file", "x"));

    // links
    check("link", !symlink("a", FOLDER "/link") && !peft_adapter_save(four, FOLDER "/link") &&
          rank_of(m, FOLDER "/a") == 4 && lstat(FOLDER "/link", &s) == 0 && S_ISLNK(s.st_mode));
    check("a link to nothing yet", !symlink("b", FOLDER "/dangling") &&
          !peft_adapter_save(two, FOLDER "/dangling") && rank_of(m, FOLDER "/b") == 2 &&
                                       lstat(FOLDER "/dangling", &s) == 0 && S_ISLNK(s.st_mode));
    check("links in a circle", !symlink("y", FOLDER "/x") && !symlink("x", FOLDER "/y") &&
          peft_adapter_save(two, FOLDER "/x") == PEFT_ERROR_IO);
    check("a file behind a link", !symlink("c.gguf", FOLDER "/l.gguf") &&
          !peft_model_save(m, FOLDER "/l.gguf", PEFT_F32) && test_there(FOLDER "/c.gguf") &&
                                      lstat(FOLDER "/l.gguf", &s) == 0 && S_ISLNK(s.st_mode));

    // what a killed run leaves: its stage, or both names
    mkdir(FOLDER "/a.peft-new", 0777), put(FOLDER "/a.peft-new/adapter_config.json", "half"),
        put(FOLDER "/a.peft-new/letters.txt", "mine");
    check("a stage that was left", !peft_adapter_save(two, FOLDER "/a") && rank_of(m, FOLDER "/a") == 2 &&
          holds(FOLDER "/a/letters.txt", "mine") &&
                                       !is_folder(FOLDER "/a.peft-new"));
    check("stopped between two names", !rename(FOLDER "/b", FOLDER "/b.peft-old") &&
          !peft_adapter_save(four, FOLDER "/b") && rank_of(m, FOLDER "/b") == 4 &&
                                           !is_folder(FOLDER "/b.peft-old"));
    mkdir(FOLDER "/a.peft-new", 0777);
    int fd = open(FOLDER "/a.peft-new", O_RDONLY);
    flock(fd, LOCK_EX);
    check("two runs at once", peft_adapter_save(four, FOLDER "/a") == PEFT_ERROR_IO &&
          strstr(peft_error(ctx), "another run") && rank_of(m, FOLDER "/a") == 2);
    close(fd);

    // a disk that is full
    struct rlimit old, none;
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &old);
    none = old, none.rlim_cur = 2048;
    setrlimit(RLIMIT_FSIZE, &none);
    peft_status status = peft_adapter_save(four, FOLDER "/a"),
        fresh = peft_adapter_save(four, FOLDER "/full");
    setrlimit(RLIMIT_FSIZE, &old);
    check("no room: the old one stays", status == PEFT_ERROR_IO && rank_of(m, FOLDER "/a") == 2 &&
          !is_folder(FOLDER "/a.peft-new"));
    check("no room: nothing is left", fresh == PEFT_ERROR_IO && !is_folder(FOLDER "/full") &&
          !is_folder(FOLDER "/full.peft-new"));

    // the current folder cannot be replaced
    mkdir(FOLDER "/here", 0777);
    char home[1024] = "";
    FILE *p = popen("pwd", "r");
    if (p && fgets(home, sizeof home, p)) home[strcspn(home, "\n")] = 0;
    if (p) pclose(p);
    check("there", chdir(FOLDER "/here") == 0);
    status = peft_adapter_save(two, ".");
    fresh = peft_adapter_save(four, "../here");
    check("back", chdir(home) == 0);
    check("into the current folder", !status && !fresh && rank_of(m, FOLDER "/here") == 4);

    // the folder that is being read
    peft_adapter_destroy(two), peft_adapter_destroy(four);
    check("save", !peft_model_save(m, FOLDER "/self", PEFT_F32));
    peft_model *self = load(FOLDER "/self");
    check("over the folder that it is read from", self && !peft_model_save(self, FOLDER "/self", PEFT_BF16) &&
          !peft_model_save(self, FOLDER "/again", PEFT_F32));
    peft_model_destroy(self);
    check("as it was", !peft_model_save(m, FOLDER "/plain", PEFT_F32) &&
          same_files(FOLDER "/plain/model.safetensors", FOLDER "/again/model.safetensors") &&
                           same_files(FOLDER "/self/spiece.model", MODEL "/spiece.model"));
    self = load(FOLDER "/self");
    check("loads again", self && peft_model_tokenizer(self) && peft_model_tensor(self, 0)->type == PEFT_BF16);
    peft_model_destroy(self), peft_model_destroy(m);
}

// A child that saves without end is killed at some time: what is there is of one run.
static void test_kills(void) {
    peft_model *m = load(MODEL);
    peft_adapter *a[2] = {lora(m, 2), lora(m, 4)};
    peft_adapter_save(a[0], FOLDER "/killed");
    bool whole = true;
    for (int i = 0; i < 20 && whole; i++) {
        pid_t child = fork();
        if (!child) {
            for (int k = 0;; k++) peft_adapter_save(a[k & 1], FOLDER "/killed");
        }
        double until = (double)clock() / CLOCKS_PER_SEC + 0.003 + 0.0017 * i;
        while ((double)clock() / CLOCKS_PER_SEC < until) {}
        kill(child, 9);
        waitpid(child, NULL, 0);
        whole = rank_of(m, FOLDER "/killed") > 0;
    }
    check("killed while saving, 20 times", whole);
    check("and saved again", !peft_adapter_save(a[1], FOLDER "/killed") &&
          rank_of(m, FOLDER "/killed") == 4 && !is_folder(FOLDER "/killed.peft-new"));
    peft_adapter_destroy(a[0]), peft_adapter_destroy(a[1]), peft_model_destroy(m);
}

// What cannot be read is not missing: a folder in the place of each file that a model may have, and a link in
// a circle.
static void test_unreadable(void) {
    static const char *const names[] = {"spiece.model", "tokenizer.json", "config.json", "model.safetensors",
                                        "generation_config.json", "model.safetensors.index.json"};
    for (int i = 0; i < 2 * COUNT_OF(names); i++) {
        const char *name = names[i / 2];
        char path[256], what[256];
        peft_model *m = load(MODEL);
        check("save", !peft_model_save(m, FOLDER "/unreadable", PEFT_F32));
        peft_model_destroy(m);
        snprintf(path, sizeof path, FOLDER "/unreadable/%s", name);
        if (strcmp(name, "tokenizer.json") == 0) unlink(FOLDER "/unreadable/spiece.model");
        if (strcmp(name, "model.safetensors.index.json") == 0) unlink(FOLDER "/unreadable/model.safetensors");
        unlink(path);
        if (i % 2) (void)(symlink(name, path) == 0);
        else mkdir(path, 0777);
        m = load(FOLDER "/unreadable");
        snprintf(what, sizeof what, "%s that is %s", name, i % 2 ? "a link to itself" : "a folder");
        bool t5_needs = strcmp(name, "generation_config.json") != 0;
        check(what, t5_needs ? !m && strstr(peft_error(ctx), name) : m != NULL ||
              strstr(peft_error(ctx), name));
        peft_model_destroy(m);
        unlink(path), rmdir(path);
    }
}

#endif

// ---- config.json and the formats

static const char t5_config[] =
    "{\"model_type\": \"t5\", \"d_model\": 32, \"d_kv\": 8, \"num_heads\": 4, \"d_ff\": 64, \"num_layers\": 1, \"vocab_size\": 40,\n"
    " \"feed_forward_proj\": \"gated-gelu\", \"torch_dtype\": \"bfloat16\", \"tie_word_embeddings\": true, \"relative_attention_num_buckets\": 8}\n";
static const char llama_config[] =
    "{\"model_type\": \"llama\", \"hidden_size\": 32, \"num_attention_heads\": 4, \"num_key_value_heads\": 2, \"num_hidden_layers\": 1, \"intermediate_size\": 64,\n"
    " \"vocab_size\": 40, \"max_position_embeddings\": 64, \"tie_word_embeddings\": false, \"dtype\": \"float16\", \"eos_token_id\": 1, \"bos_token_id\": 0}";

static peft_model *make(const char *config) {
    peft_model *m = NULL;
    peft_model_desc d;
    memset(&d, 0, sizeof d);
    d.context = ctx;
    d.config_only = true;
    d.path = config == t5_config ? "t5" : "llama";
    d.seed = 3;
    peft_model_load(&d, &m);
    return m;
}

static void test_formats(void) {
    static const char *const names[] = {"float32", "float16", "bfloat16"};
    peft_mount(ctx, "t5/config.json", t5_config, strlen(t5_config)),
        peft_mount(ctx, "llama/config.json", llama_config, strlen(llama_config));
    for (int i = 0; i < 6; i++) {
        peft_model *m = make(i % 2 ? t5_config : llama_config);
        char wanted[64];
        snprintf(wanted, sizeof wanted, i % 2 ? "\"torch_dtype\": \"%s\"" : "\"dtype\": \"%s\"",
                 names[i / 2]);
        check("saved", m && !peft_model_save(m, FOLDER "/formats", (peft_dtype)(i / 2)));
        check(wanted, holds(FOLDER "/formats/config.json", wanted) &&
              !holds(FOLDER "/formats/config.json", i / 2 == 1 ? "bfloat16\"" : "half"));
        check("architectures", holds(FOLDER "/formats/config.json", i % 2 ? "[\"T5ForConditionalGeneration\"]"
                                     : "[\"LlamaForCausalLM\"]"));
        peft_model_destroy(m);
        m = load(FOLDER "/formats");
        check("loads", m && peft_model_tensor(m, 0)->type == (peft_dtype)(i / 2));
        peft_model_destroy(m);
    }
    // what f16 cannot hold
    peft_model *m = make(llama_config);
    peft_tensor *t = peft_model_find(m, "model.layers.0.mlp.up_proj.weight");
    ((float *)t->data)[300] = 70000;
    check("f16 overflow", peft_model_save(m, FOLDER "/over", PEFT_F16) == PEFT_ERROR_NUMERIC &&
          strstr(peft_error(ctx), "up_proj.weight") && strstr(peft_error(ctx), "70000") &&
                              !test_there(FOLDER "/over/config.json"));
    check("bf16 holds it", !peft_model_save(m, FOLDER "/over", PEFT_BF16));
    peft_model_destroy(m);
    // T5's wo stays wide in four bits, whatever it was
    for (int i = 0; i < 4; i++) {
        peft_dtype sources[] = {PEFT_F32, PEFT_F16, PEFT_BF16, PEFT_I8}, want = i == 2 ? PEFT_BF16 : PEFT_F32;
        m = make(t5_config);
        check("source", m && !peft_model_save(m, FOLDER "/wide", sources[i]));
        peft_model_destroy(m);
        m = load(FOLDER "/wide");
        check("four bits", m && !peft_model_save(m, FOLDER "/four", PEFT_NF4));
        peft_model_destroy(m);
        m = load(FOLDER "/four");
        peft_tensor *wo = m ? peft_model_find(m, "decoder.block.0.layer.2.DenseReluDense.wo.weight") : NULL;
        peft_tensor *wi = m ? peft_model_find(m, "decoder.block.0.layer.2.DenseReluDense.wi_1.weight") : NULL;
        check("wo is not quantized", wo && !wo->quant && wo->type == want);
        check("wi is", wi && wi->quant && wi->type == PEFT_NF4);
        peft_model_destroy(m);
    }
    check("all keys of bitsandbytes", holds(FOLDER "/four/config.json", "\"llm_int8_skip_modules\": null"));
}

// ---- vocabularies

static const char *const sentences[] = {"Hello world", " a  b ", "", "Tom said: \"It's 3.14!\"",
                                        "na\xC3\xAFve\n\nline", "<s> a </s>", "x<extra_id_0>y",
    "tab\there  "};

static bool same_ids(const peft_tokenizer *a, const peft_tokenizer *b) {
    bool same = a && b;
    for (int i = 0; i < COUNT_OF(sentences) && same; i++) {
        peft_ids x = {0}, y = {0};
        same = !peft_encode_special(a, sentences[i], strlen(sentences[i]), &x) &&
            !peft_encode_special(b, sentences[i], strlen(sentences[i]), &y) && x.count == y.count &&
               (!x.count || memcmp(x.data, y.data, (size_t)x.count * sizeof(int32_t)) == 0);
        peft_ids_free(ctx, &x), peft_ids_free(ctx, &y);
    }
    return same;
}

static const char *shared(const char *path) {
    static char text[512];
    const char *folder = getenv("PEFT_SHARED");
    snprintf(text, sizeof text, "%s/%s", folder && *folder ? folder : "../shared", path);
    return text;
}

// Saved as a folder, the vocabulary of a file comes with the model.
static void saves_vocabulary(const char *path) {
    peft_model *m = load(path);
    check(path, m && peft_model_tokenizer(m) && !peft_model_save(m, FOLDER "/vocabulary", PEFT_F32));
    peft_model *again = load(FOLDER "/vocabulary");
    check("its vocabulary, saved", again && same_ids(peft_model_tokenizer(m), peft_model_tokenizer(again)));
    check("and what the parts of it are for", holds(FOLDER "/vocabulary/tokenizer_config.json",
                                                    "\"tokenizer_class\": \"PreTrainedTokenizerFast\"") &&
                                                  holds(FOLDER "/vocabulary/tokenizer.json",
                                                        "\"post_processor\":{\"type\":\"TemplateProcessing\""));
    peft_model_destroy(m), peft_model_destroy(again);
}

static void test_vocabularies(void) {
    peft_model *m = load(MODEL);
    check("as GGUF", m && !peft_model_save(m, FOLDER "/vocabulary.gguf", PEFT_F32));
    peft_model_destroy(m);
    saves_vocabulary(FOLDER "/vocabulary.gguf");
    static const char *const models[] = {"models/stories260K/stories260K.bin",
                                         "models/babyllama-tok105/model5000.bin"};
    for (int i = 0; i < 2; i++) {
        conversion c;
        memset(&c, 0, sizeof c);
        c.in = shared(models[i]), c.out = FOLDER "/converted";
        if (test_there(c.in)) {
            check("converted", convert_llama2c(ctx, &c));
            m = load(FOLDER "/converted");
            check("and as GGUF", m && !peft_model_save(m, FOLDER "/converted.gguf", PEFT_F32));
            peft_model_destroy(m);
            saves_vocabulary(FOLDER "/converted.gguf");
        }
        else skipped++, printf("skipped: no %s\n", shared(models[i]));
    }
    // beside the weights, whatever else there is of the tokenizer
    static const char *const names[] = {"added_tokens.json", "special_tokens_map.json",
                                        "tokenizer_config.json", "chat_template.jinja",
        "generation_config.json"};
    m = load(MODEL);
    check("a folder", m && !peft_model_save(m, FOLDER "/with", PEFT_F32));
    peft_model_destroy(m);
    for (int i = 0; i < 5; i++) {
        char path[200];
        snprintf(path, sizeof path, FOLDER "/with/%s", names[i]);
        put(path, "{}");
    }
    m = load(FOLDER "/with");
    check("saved again", m && !peft_model_save(m, FOLDER "/with2", PEFT_F32));
    for (int i = 0; i < 5; i++) {
        char path[200];
        snprintf(path, sizeof path, FOLDER "/with2/%s", names[i]);
        check(names[i], holds(path, "{}"));
    }
    peft_model_destroy(m);
    // none is said
    logged[0] = 0;
    m = make(llama_config);
    check("a model without one", m && !peft_model_save(m, FOLDER "/none", PEFT_F32) &&
          strstr(logged, "no tokenizer is written"));
    peft_model_destroy(m);
}

// ---- growing

static peft_status grow(peft_model *m, const char *const *tokens, int64_t count, int64_t rows, float noise) {
    peft_grow_desc d;
    memset(&d, 0, sizeof d);
    d.model = m, d.tokens = tokens, d.token_count = count, d.vocab_size = rows, d.noise = noise;
    return peft_model_grow(&d);
}

// The old rows are as they were; each new one is the mean, give or take.
static bool grew(const peft_tensor *t, const float *old, int64_t rows, double most) {
    bool good = t->rows > rows;
    float *now = (float *)malloc((size_t)(t->rows * t->cols) * sizeof(float));
    good = good && !peft_dequantize(ctx, t, now);
    for (int64_t k = 0; k < t->cols && good; k++) {
        double mean = 0;
        for (int64_t i = 0; i < rows; i++) mean += (double)old[i * t->cols + k] / (double)rows;
        for (int64_t i = 0; i < t->rows && good; i++) {
            float x = now[i * t->cols + k];
            good = i < rows ? x == old[i * t->cols + k] : fabs((double)x - mean) <= most;
        }
    }
    free(now);
    return good;
}

static void test_rows(void) {
    for (int i = 0; i < 4; i++) {
        peft_model *m = make(i % 2 ? t5_config : llama_config);
        peft_tensor *in = peft_model_find(m, i % 2 ? "shared.weight" : "model.embed_tokens.weight"),
            *out = i % 2 ? in : peft_model_find(m, "lm_head.weight");
        float *old[2] = {NULL, NULL};
        for (int k = 0; k < 2; k++) {
            old[k] = (float *)malloc(peft_tensor_bytes(in));
            memcpy(old[k], k ? out->data : in->data, peft_tensor_bytes(in));
        }
        check("rows", !grow(m, NULL, 0, 43, i < 2 ? -1.0f : 0) && peft_model_config(m)->vocab_size == 43 &&
              in->rows == 43 && out->rows == 43);
        double most = i < 2 ? 1e-6 : 1e-3;
        check("the mean, or near it", grew(in, old[0], 40, most) && grew(out, old[1], 40, most) &&
              (i < 2) == (memcmp((float *)in->data + 40 * in->cols, (float *)in->data + 41 * in->cols,
                                 (size_t)in->cols * sizeof(float)) == 0));
        check("saved", !peft_model_save(m, FOLDER "/rows", PEFT_F32) &&
              holds(FOLDER "/rows/config.json", "\"vocab_size\": 43") &&
            !holds(FOLDER "/rows/config.json", "40"));
        peft_model_destroy(m);
        m = load(FOLDER "/rows");
        check("and loaded", m && peft_model_config(m)->vocab_size == 43 &&
              peft_model_tensor(m, 0)->rows == 43);
        check("not fewer", grow(m, NULL, 0, 42, 0) == PEFT_ERROR_ARGUMENT &&
              peft_model_config(m)->vocab_size == 43);
        peft_model_destroy(m);
        free(old[0]), free(old[1]);
    }
    static const char *const none[] = {"a", ""};
    peft_model *m = make(t5_config);
    check("no tokenizer", grow(m, none, 1, 0, 0) == PEFT_ERROR_MISSING &&
          strstr(peft_error(ctx), "no tokenizer"));
    check("an empty token", grow(m, none, 2, 0, 0) == PEFT_ERROR_ARGUMENT &&
          strstr(peft_error(ctx), "token 1 is empty"));
    check("a noise that is none", grow(m, NULL, 0, 50, NAN) == PEFT_ERROR_ARGUMENT &&
          grow(m, NULL, 0, INT64_MAX, 0) == PEFT_ERROR_ARGUMENT &&
        grow(m, NULL, 3, 0, 0) == PEFT_ERROR_ARGUMENT &&
                                      peft_model_grow(NULL) == PEFT_ERROR_ARGUMENT);
    peft_model_destroy(m);
    peft_model_desc d;
    memset(&d, 0, sizeof d);
    d.context = ctx, d.path = "t5", d.config_only = true, d.embeddings = PEFT_I8;
    check("few bits", !peft_model_load(&d, &m) && grow(m, NULL, 0, 50, 0) == PEFT_ERROR_UNSUPPORTED &&
          strstr(peft_error(ctx), "shared.weight") && strstr(peft_error(ctx), "--type f16") &&
                          peft_model_config(m)->vocab_size == 40);
    peft_model_destroy(m);
}

static int64_t count_ids(const peft_tokenizer *t, const char *text, int32_t last) {
    peft_ids ids = {0};
    peft_encode_special(t, text, strlen(text), &ids);
    int64_t n = ids.count && ids.data[ids.count - 1] == last ? ids.count : -1;
    peft_ids_free(ctx, &ids);
    return n;
}

// New tokens in a SentencePiece vocabulary, then more in the tokenizer.json that was written.
static void test_tokens(void) {
    static const char *const tokens[] = {"<sep>", "<sep>", "a \"quoted\" one", "</s>"},
        *const more[] = {"<b>", "<sep>"};
    peft_model *m = load(MODEL);
    const int64_t had = peft_vocab_size(peft_model_tokenizer(m));
    int64_t rows = peft_model_config(m)->vocab_size;
    check("tokens", !grow(m, tokens, 4, 0, 0) && peft_vocab_size(peft_model_tokenizer(m)) == had + 2 &&
          peft_token_id(peft_model_tokenizer(m), "<sep>") == had);
    check("rows for them", peft_model_config(m)->vocab_size == (rows > had + 2 ? rows : had + 2));
    check("found in a text", count_ids(peft_model_tokenizer(m), "<sep>", (int32_t)had) == 1 &&
          count_ids(peft_model_tokenizer(m), "a \"quoted\" one", (int32_t)had + 1) == 1);
    check("saved", !peft_model_save(m, FOLDER "/tokens", PEFT_F32) &&
          test_there(FOLDER "/tokens/tokenizer.json") && !test_there(FOLDER "/tokens/spiece.model"));
    peft_model *again = load(FOLDER "/tokens");
    check("and loaded", again && same_ids(peft_model_tokenizer(m), peft_model_tokenizer(again)) &&
          peft_token_id(peft_model_tokenizer(again), "<sep>") == had);
    check("more of them", again && !grow(again, more, 2, 0, 0) &&
          peft_vocab_size(peft_model_tokenizer(again)) == had + 3);
    check("saved again", again && !peft_model_save(again, FOLDER "/tokens2", PEFT_F32));
    peft_model_destroy(m);
    m = load(FOLDER "/tokens2");
    check("all are there", m && count_ids(peft_model_tokenizer(m), "<b>", (int32_t)had + 2) == 1 &&
          count_ids(peft_model_tokenizer(m), "<sep>", (int32_t)had) == 1);
    check("GGUF has them too", m && !peft_model_save(m, FOLDER "/tokens.gguf", PEFT_F32));
    peft_model_destroy(again), peft_model_destroy(m);
    m = load(FOLDER "/tokens.gguf");
    check("and keeps them", m && peft_token_id(peft_model_tokenizer(m), "<b>") == had + 2);
    peft_model_destroy(m);
    // an adapter of an enlarged base
    if (!test_there(shared("cases/adapters/two-added-tokens/adapter_config.json"))) {
        skipped++, printf("skipped: no %s\n", shared("cases/adapters/two-added-tokens"));
        return;
    }
    peft_adapter *a = NULL;
    m = load(shared("golden/llama_mha/model"));
    check("its base is too small", m && peft_adapter_load(m, shared("cases/adapters/two-added-tokens"),
                                                          &a) == PEFT_ERROR_SHAPE &&
        strstr(peft_error(ctx), "peft_model_grow") &&
                                       strstr(peft_error(ctx), "2 tokens"));
    check("enlarged, it works", m && !grow(m, NULL, 0, 322, 0) &&
          !peft_adapter_load(m, shared("cases/adapters/two-added-tokens"), &a));
    peft_adapter_destroy(a), peft_model_destroy(m);
}

// ---- weights in formats that are not read

static void test_foreign(void) {
    static const char *const files[][2] = {
        {"pytorch_model.bin", "torch.load"}, {"pytorch_model.bin.index.json", "torch.load"}, {"tf_model.h5", "TensorFlow"},
        {"flax_model.msgpack", "Flax"}, {"consolidated.00.pth", "Meta"}, {"model.onnx", "ONNX"}, {"weights.npz", "NumPy"},
        {"adapter_model.bin", "torch.load"}};
    mkdir(FOLDER "/foreign", 0777);
    put(FOLDER "/foreign/config.json", llama_config), put(FOLDER "/foreign/adapter_config.json",
                                                          "{\"peft_type\": \"LORA\", \"target_modules\": [\"q_proj\"]}");
    check("nothing there", !load(FOLDER "/foreign") && strstr(peft_error(ctx), "model.safetensors"));
    for (int i = 0; i < 8; i++) {
        char path[200];
        snprintf(path, sizeof path, FOLDER "/foreign/%s", files[i][0]);
        put(path, "x");
        peft_adapter *a = NULL;
        peft_model *m = i == 7 ? make(llama_config) : load(FOLDER "/foreign");
        peft_status status = i == 7 ? peft_adapter_load(m, FOLDER "/foreign", &a) : PEFT_ERROR_UNSUPPORTED;
        check(files[i][0], !m == (i < 7) && status == PEFT_ERROR_UNSUPPORTED &&
              strstr(peft_error(ctx), files[i][0]) && strstr(peft_error(ctx), files[i][1]) &&
                               strstr(peft_error(ctx), FOLDER "/foreign/"));
        peft_model_destroy(m);
        remove(path);
    }
    put(FOLDER "/torch.bin", "PK\3\4 and so on, long enough for a header");
    check("a pickle as a model", !load(FOLDER "/torch.bin") && strstr(peft_error(ctx), "pickle"));
}

int main(void) {
    peft_context_desc cd;
    memset(&cd, 0, sizeof cd);
    cd.log = note_log;
    if (peft_context_create(&cd, &ctx)) return 1;
#if POSIX
    (void)(system("rm -rf " FOLDER) == 0);
    mkdir("build", 0777), mkdir(FOLDER, 0777);
    test_folders();
    test_kills();
    test_unreadable();
    test_formats();
    test_vocabularies();
    test_rows();
    test_tokens();
    test_foreign();
#else
    skipped++;
#endif
    peft_context_destroy(ctx);
    printf("%d passed, %d failed, %d skipped\n", passed, failed, skipped);
    return failed != 0;
}
