// Every public call that allocates, reads or writes, failing at each of its allocations and at each of its calls of the
// system: once, from there on, and stopped dead there. Whatever fails, the call says so and names the file, nothing leaks,
// what was written before is as it was or wholly new, nothing half made stays, and the same call works afterwards.
// The functions of the C library are replaced by those below, which ELF systems let a program do.
#define _GNU_SOURCE
#include "peft.h"
#include "check.h"

#if defined(__linux__)
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define FOLDER "build/failures_test"
#define OUT FOLDER "/out"  // what scenarios write, and nothing else

static int passed, failed;
static peft_context *ctx;
static char label[400];

static char reason[1200];  // what the last call said of its failure
static bool check(bool ok, const char *name, const char *what) {
    char text[300];
    snprintf(text, sizeof text, "%s: %s", name, what);
    if (test_count(&passed, &failed, ok, text)) printf("FAIL %s: %s: \"%s\"\n", text, label, reason);
    return ok;
}

// ---- what fails

enum { ONCE, FROM, STOP };
static long allocations, live, alloc_fails;        // alloc_fails: the number of the one that fails, 0: none
static long calls, call_fails, maps;               // the same for the system; maps: regions mapped
static bool armed;
static int mode;
static const char *struck;                         // the function that failed
static unsigned char sequence[4096];               // which function the n-th call was, of the last run
static bool used[32];
static const char *const functions[] = {
    "fopen", "fread", "fwrite", "fflush", "fclose", "fseek", "ftell", "open", "write", "mmap", "fsync", "rename", "unlink",
    "rmdir", "remove", "mkdir", "opendir", "readdir", "stat", "fstat", "readlink", "flock", "chmod", "syscall"};
enum { FUNCTIONS = sizeof functions / sizeof *functions };

static void *counted_alloc(size_t size, void *user) {
    (void)user;
    if (armed && ++allocations == alloc_fails) return NULL;
    live++;
    return malloc(size);
}
static void counted_free(void *block, void *user) {
    (void)user;
    live--;
    free(block);
}

static bool strikes(const char *name) {
    if (!armed) return false;
    int i = 0;
    while (strcmp(functions[i], name) != 0) i++;
    used[i] = true;
    if (calls < (long)sizeof sequence) sequence[calls] = (unsigned char)i;
    bool now = ++calls == call_fails || (mode == FROM && call_fails && calls > call_fails);
    if (!now) return false;
    if (mode == STOP) _exit(77);
    if (!struck) struck = name;
    errno = EIO;
    return true;
}

#define REAL(type, name, arguments)                                \
    static type(*real) arguments;                                  \
    if (!real) *(void **)&real = dlsym(RTLD_NEXT, name);           \
    const bool bad = strikes(name)

FILE *fopen(const char *path, const char *how) {
    REAL(FILE *, "fopen", (const char *, const char *));
    return bad ? NULL : real(path, how);
}
size_t fread(void *into, size_t size, size_t n, FILE *f) {
    REAL(size_t, "fread", (void *, size_t, size_t, FILE *));
    return real(into, size, bad ? n / 2 : n, f);
}
size_t fwrite(const void *from, size_t size, size_t n, FILE *f) {
    REAL(size_t, "fwrite", (const void *, size_t, size_t, FILE *));
    size_t wrote = real(from, size, bad ? n / 2 : n, f);
    if (bad) errno = ENOSPC;
    return wrote;
}
int fflush(FILE *f) {
    REAL(int, "fflush", (FILE *));
    return bad ? EOF : real(f);
}
int fclose(FILE *f) {
    REAL(int, "fclose", (FILE *));
    int status = real(f);
    if (bad) errno = EIO;
    return bad ? EOF : status;
}
int fseek(FILE *f, long offset, int whence) {
    REAL(int, "fseek", (FILE *, long, int));
    return bad ? -1 : real(f, offset, whence);
}
long ftell(FILE *f) {
    REAL(long, "ftell", (FILE *));
    return bad ? -1 : real(f);
}
int open(const char *path, int flags, ...) {
    REAL(int, "open", (const char *, int, ...));
    va_list rest;
    va_start(rest, flags);
    mode_t access = flags & O_CREAT ? (mode_t)va_arg(rest, int) : 0;
    va_end(rest);
    return bad ? -1 : real(path, flags, access);
}
ssize_t write(int fd, const void *from, size_t n) {
    REAL(ssize_t, "write", (int, const void *, size_t));
    return bad ? -1 : real(fd, from, n);
}
void *mmap(void *at, size_t size, int access, int flags, int fd, off_t offset) {
    REAL(void *, "mmap", (void *, size_t, int, int, int, off_t));
    void *p = bad ? MAP_FAILED : real(at, size, access, flags, fd, offset);
    if (armed && p != MAP_FAILED && !(flags & MAP_FIXED) && fd >= 0) maps++;
    return p;
}
int munmap(void *at, size_t size) {
    static int (*real)(void *, size_t);
    if (!real) *(void **)&real = dlsym(RTLD_NEXT, "munmap");
    if (armed) maps--;
    return real(at, size);
}
int fsync(int fd) {
    REAL(int, "fsync", (int));
    (void)real;  // the disk of the test may be slow, and nobody pulls its plug
    return bad ? -1 : fcntl(fd, F_GETFD) < 0 ? -1 : 0;
}
int rename(const char *from, const char *to) {
    REAL(int, "rename", (const char *, const char *));
    return bad ? -1 : real(from, to);
}
int unlink(const char *path) {
    REAL(int, "unlink", (const char *));
    return bad ? -1 : real(path);
}
int rmdir(const char *path) {
    REAL(int, "rmdir", (const char *));
    return bad ? -1 : real(path);
}
int remove(const char *path) {
    REAL(int, "remove", (const char *));
    return bad ? -1 : real(path);
}
int mkdir(const char *path, mode_t access) {
    REAL(int, "mkdir", (const char *, mode_t));
    return bad ? -1 : real(path, access);
}
DIR *opendir(const char *path) {
    REAL(DIR *, "opendir", (const char *));
    return bad ? NULL : real(path);
}
struct dirent *readdir(DIR *list) {
    REAL(struct dirent *, "readdir", (DIR *));
    return bad ? NULL : real(list);
}
int stat(const char *path, struct stat *s) {
    REAL(int, "stat", (const char *, struct stat *));
    return bad ? -1 : real(path, s);
}
int fstat(int fd, struct stat *s) {
    REAL(int, "fstat", (int, struct stat *));
    return bad ? -1 : real(fd, s);
}
ssize_t readlink(const char *path, char *into, size_t n) {
    REAL(ssize_t, "readlink", (const char *, char *, size_t));
    return bad ? -1 : real(path, into, n);
}
int flock(int fd, int how) {
    REAL(int, "flock", (int, int));
    return bad ? -1 : real(fd, how);
}
int chmod(const char *path, mode_t access) {
    REAL(int, "chmod", (const char *, mode_t));
    return bad ? -1 : real(path, access);
}
long syscall(long number, ...) {
    REAL(long, "syscall", (long, ...));
    long a[6];
    va_list rest;
    va_start(rest, number);
    for (int i = 0; i < 6; i++) a[i] = va_arg(rest, long);
    va_end(rest);
    return bad ? -1 : real(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

static int open_files(void) {
    int n = 0;
    for (int fd = 3; fd < 256; fd++) n += fcntl(fd, F_GETFD) >= 0;
    return n;
}

// ---- what there is: hashes of results and of folders

static uint64_t digest;  // of what a scenario has computed

static void add(uint64_t *h, const void *data, size_t n) {
    for (size_t i = 0; i < n; i++) *h = (*h ^ ((const unsigned char *)data)[i]) * 1099511628211u;
}
static void result(const void *data, size_t n) { add(&digest, data, n); }
static void result_text(const char *text) { result(text ? text : "NULL", text ? strlen(text) : 4); }
static void result_tensor(const peft_tensor *t) {
    static float values[1 << 15];
    bool was = armed;
    armed = false;
    if (t && t->data && t->rows * t->cols <= 1 << 15 && !peft_dequantize(ctx, t, values)) result(values, (size_t)(t->rows * t->cols) * sizeof *values);
    armed = was;
}
static void result_model(peft_model *m) {
    for (int64_t i = 0; i < peft_model_tensor_count(m); i++) result_tensor(peft_model_tensor(m, i));
    int64_t size = peft_vocab_size(peft_model_tokenizer(m));
    result(&size, sizeof size);
}

static bool temporary(const char *name) { return strstr(name, ".part") || strstr(name, ".peft-"); }

// The sum over files of hashes of path and content: their order does not matter. Not `all`: without temporaries, the notes, and
// the optimizer's file, which loses its name as soon as it has one.
static uint64_t tree(const char *folder, bool all) {
    uint64_t sum = 0;
    DIR *list = opendir(folder);
    for (struct dirent *e; list && (e = readdir(list)) != NULL;) {
        char path[1000];
        struct stat s;
        if (e->d_name[0] == '.' || (!all && (temporary(e->d_name) || strcmp(e->d_name, "notes.txt") == 0 || strcmp(e->d_name, "state") == 0))) continue;
        snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
        uint64_t h = 14695981039346656037u;
        add(&h, path, strlen(path));
        if (!stat(path, &s) && S_ISDIR(s.st_mode)) {
            h += tree(path, all);
        } else {
            char block[4096];
            FILE *f = fopen(path, "rb");
            for (size_t n; f && (n = fread(block, 1, sizeof block, f)) > 0;) add(&h, block, n);
            if (f) fclose(f);
        }
        sum += h;
    }
    if (list) closedir(list);
    return sum;
}

static void clear(const char *folder) {
    DIR *list = opendir(folder);
    for (struct dirent *e; list && (e = readdir(list)) != NULL;) {
        char path[1000];
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0) continue;
        snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
        if (unlink(path)) clear(path), rmdir(path);
    }
    if (list) closedir(list);
}

static void put(const char *path, const char *text) {
    FILE *f = fopen(path, "wb");
    if (!f) return;
    fwrite(text, 1, strlen(text), f);
    fclose(f);
}

// ---- what scenarios work on

static peft_model *model;      // a decoder of 90,000 random weights with a tokenizer
static peft_adapter *one, *two;
static peft_dataset *data;
static peft_tokenizer *tokenizer;

static peft_model_desc model_desc(const char *path) {
    peft_model_desc d;
    memset(&d, 0, sizeof d);
    d.context = ctx, d.path = path;
    return d;
}

static peft_status adapt(peft_model *m, int64_t r, peft_method method, peft_adapter **out) {
    peft_adapter_desc d;
    memset(&d, 0, sizeof d);
    d.model = m, d.r = r, d.method = method, d.num_virtual_tokens = 3, d.seed = (uint64_t)r;
    return peft_adapter_create(&d, out);
}

static const char *const texts[] = {"the cat sat on the mat", "a dog", "one two three"};
static const char *const others[] = {"the cat sat on a mat", "the dog", "one two three four"};

static peft_status s_context(void) {
    peft_context_desc d;
    memset(&d, 0, sizeof d);
    d.allocator.alloc = counted_alloc, d.allocator.free = counted_free, d.threads = 3;
    peft_context *c = NULL;
    peft_status status = peft_context_create(&d, &c);
    if (!status) status = peft_mount(c, "a", "b", 1);
    peft_context_destroy(c);
    return status;
}

static peft_status s_sgemm(void) {
    float a[12], b[12], c[9];
    for (int i = 0; i < 12; i++) a[i] = (float)i, b[i] = (float)(i * i);
    peft_status status = peft_sgemm(ctx, false, false, 3, 3, 4, 1, a, 4, b, 3, 0, c, 3);
    if (!status) result(c, sizeof c);
    return status;
}

// Every operation once, forward and backward.
static peft_tensor *curved(peft_tape *t, peft_tensor *const *inputs, const void *user) {
    (void)user;
    return peft_activation(t, inputs[0], PEFT_GELU);
}
static peft_tensor *of(const char *name, int64_t rows, int64_t cols, bool grad, peft_status *status) {
    peft_tensor *t = NULL;
    if (!*status) *status = peft_tensor_create(ctx, name, rows, cols, &t);
    for (int64_t i = 0; t && i < rows * cols; i++) ((float *)t->data)[i] = 0.01f * (float)(i % 13 - 5);
    if (t && grad) {
        *status = peft_require_grad(ctx, t);
        if (*status) peft_tensor_destroy(ctx, t), t = NULL;
    }
    return t;
}
static peft_status s_operations(void) {
    static const int32_t ids[] = {1, 3, 0, 2}, labels[] = {0, 5, -100, 7, 1, 2, 3, 4}, positions[] = {0, 1, 0, 1};
    static const int64_t offsets[] = {0, 2, 4};
    static const float turns[] = {1, 0, 1, 0, 0.5f, 0.8f, 0.9f, 0.1f};
    peft_status status = PEFT_OK;
    peft_tape *t = NULL;
    peft_tensor *made[16] = {0};
    float values[32], target[32];
    int n = 0;
    for (int i = 0; i < 32; i++) values[i] = 0.1f * (float)i, target[i] = 0;
    peft_tensor *table = made[n++] = of("table", 6, 8, true, &status), *w = made[n++] = of("w", 8, 8, true, &status),
                *gain = made[n++] = of("gain", 1, 8, true, &status), *shift = made[n++] = of("shift", 1, 8, true, &status),
                *prompt = made[n++] = of("prompt", 2, 8, true, &status), *wide = made[n++] = of("wide", 16, 8, true, &status);
    if (!status) status = peft_tape_create(ctx, &t);
    if (!status) {
        peft_tensor *x = peft_add(t, peft_embedding(t, table, ids, 4), peft_input(t, 4, 8, values));
        x = peft_layer_norm(t, peft_rms_norm(t, x, gain, 1e-6f), gain, shift, 1e-5f);
        peft_linear_desc ld;
        memset(&ld, 0, sizeof ld);
        ld.x = peft_linear(t, x, w, shift), ld.weight = w, ld.residual = x;
        x = peft_linear_with(t, &ld);
        peft_tensor *both = peft_linear(t, x, wide, NULL);
        x = peft_gated(t, peft_columns(t, both, 0, 1, 8, 8), peft_columns(t, both, 8, 1, 8, 8), PEFT_SILU);
        x = peft_dropout(t, peft_scale(t, peft_multiply(t, x, gain, 0, 4), 0.5f), 0.1f);
        x = peft_recompute(t, curved, &x, 1, NULL, 0);
        peft_attention_desc a;
        memset(&a, 0, sizeof a);
        a.q = peft_rotary(t, x, 2, 4, turns, positions), a.k = x, a.v = x, a.heads = 2, a.sequences = 2, a.q_offsets = offsets, a.k_offsets = offsets;
        a.causal = true, a.scale = 0.5f;
        x = peft_attention(t, &a);
        peft_tensor *loss = peft_mse(t, x, target);
        if (loss) status = peft_backward(t, loss), result_tensor(loss);
        else status = peft_tape_status(t);
        if (!status) peft_tape_reset(t, 0);
        loss = status ? NULL : peft_cross_entropy(t, peft_prepend(t, prompt, peft_embedding(t, table, ids, 4), offsets, 2), wide, labels, 0);
        if (loss) status = peft_backward(t, loss), result_tensor(loss);
        else if (!status) status = peft_tape_status(t);
    }
    peft_tape_destroy(t);
    for (int i = 0; i < n; i++) peft_tensor_destroy(ctx, made[i]);
    return status;
}

static peft_status s_quantize(void) {
    peft_status status = PEFT_OK;
    peft_tensor *t = of("t", 16, 64, false, &status), *q = NULL;
    peft_quantize_desc d = {PEFT_NF4, 64, true};
    peft_quantize_error error;
    float out[16 * 64];
    if (!status) status = peft_quantize(ctx, t, &d, &q);
    if (!status) status = peft_dequantize(ctx, q, out);
    if (!status) status = peft_quantize_compare(ctx, t, q, &error);
    if (!status) result(out, sizeof out);
    peft_tensor_destroy(ctx, t), peft_tensor_destroy(ctx, q);
    return status;
}

static peft_status archive(const char *path) {
    peft_archive *a = NULL;
    peft_status status = peft_archive_open(ctx, path, &a);
    for (int64_t i = 0; i < peft_archive_count(a); i++) result_text(peft_archive_at(a, i)->name), result_tensor(peft_archive_at(a, i));
    peft_archive_close(a);
    return status;
}
static peft_status s_archive(void) { return archive(FOLDER "/model"); }
static peft_status s_sharded(void) { return archive(FOLDER "/sharded"); }

static void old_file(void) { put(OUT "/file", "old"); }
static peft_status s_safetensors_write(void) {
    const peft_tensor *list[2] = {peft_model_tensor(model, 0), peft_model_tensor(model, 1)};
    return peft_safetensors_write(ctx, OUT "/file", list, 2);
}

static peft_status s_gguf_read(void) {
    static float values[2 * 64];
    peft_gguf *g = NULL;
    peft_status status = peft_gguf_open(ctx, FOLDER "/model.gguf", &g);
    if (!status) status = peft_gguf_to_f32(g, 0, 0, 2, values);
    if (!status) result(values, sizeof values), result_text(peft_gguf_string(g, "general.architecture", NULL));
    peft_gguf_close(g);
    return status;
}
static peft_status s_gguf_write(void) {
    static const double numbers[] = {1, 2, 3};
    peft_gguf_writer *w = NULL;
    peft_status status = peft_gguf_writer_create(ctx, &w);
    if (!status) status = peft_gguf_set_string(w, "a.string", "text");
    if (!status) status = peft_gguf_set_strings(w, "some.strings", texts, 3);
    if (!status) status = peft_gguf_set_number(w, "a.number", PEFT_GGUF_U32, 3);
    if (!status) status = peft_gguf_set_numbers(w, "some.numbers", PEFT_GGUF_F32, numbers, 3);
    if (!status) status = peft_gguf_add(w, "t", peft_model_tensor(model, 0), PEFT_GGML_F32);
    if (!status) status = peft_gguf_write(w, OUT "/file");
    peft_gguf_writer_destroy(w);
    return status;
}

static peft_status tokenize(const char *path) {
    peft_tokenizer *t = NULL;
    peft_ids ids = {0};
    char *text = NULL;
    peft_status status = peft_tokenizer_load(ctx, path, &t);
    if (!status) status = peft_encode(t, texts[0], strlen(texts[0]), &ids);
    if (!status) status = peft_encode_special(t, "hello <|im_end|>", 16, &ids);
    if (!status) status = peft_encode_full(t, "hello", 5, &ids);
    if (!status) status = peft_decode(t, ids.data, ids.count, false, &text, NULL);
    if (!status) result(ids.data, (size_t)ids.count * sizeof *ids.data), result_text(text);
    peft_free(ctx, text), peft_ids_free(ctx, &ids), peft_tokenizer_destroy(t);
    return status;
}
static peft_status s_tokenizer_json(void) { return tokenize(FOLDER "/model"); }
static peft_status s_tokenizer_spiece(void) { return tokenize(FOLDER "/spiece.model"); }

static peft_status load(peft_model_desc d) {
    peft_model *m = NULL;
    peft_status status = peft_model_load(&d, &m);
    if (!status) result_model(m);
    peft_model_destroy(m);
    return status;
}
static peft_status s_load(void) { return load(model_desc(FOLDER "/model")); }
static peft_status s_load_nf4(void) {
    peft_model_desc d = model_desc(FOLDER "/sharded");
    d.weights = PEFT_NF4, d.embeddings = PEFT_I8;
    return load(d);
}
static peft_status s_load_gguf(void) { return load(model_desc(FOLDER "/model.gguf")); }
static peft_status s_load_beside(void) {
    peft_model_desc d = model_desc(FOLDER "/model");
    d.config_only = true, d.tokenizer = FOLDER "/spiece.model";
    return load(d);
}

static void old_model(void) {
    peft_model_save(model, OUT "/model", PEFT_BF16);
    put(OUT "/model/notes.txt", "mine");
}
static peft_status s_save(void) { return peft_model_save(model, OUT "/model", PEFT_F16); }
static peft_status s_save_few(void) { return peft_model_save(model, OUT "/model", PEFT_NF4); }
static peft_status s_save_gguf(void) { return peft_model_save(model, OUT "/model.gguf", PEFT_F32); }
static void old_gguf(void) { put(OUT "/model.gguf", "old"); }

static peft_status s_grow(void) {
    static const char *const tokens[] = {"<sep>", "<other>"};
    peft_model *m = NULL;
    peft_model_desc d = model_desc(FOLDER "/model");
    peft_status status = peft_model_load(&d, &m);
    peft_grow_desc g;
    memset(&g, 0, sizeof g);
    g.model = m, g.tokens = tokens, g.token_count = 2, g.vocab_size = 270;
    if (!status) status = peft_model_grow(&g);
    if (!status) status = peft_model_save(m, OUT "/model", PEFT_F32);
    if (!status) result_model(m);
    peft_model_destroy(m);
    return status;
}

static peft_status s_loss(void) {
    static const int32_t input[] = {3, 4, 5}, labels[] = {4, 5, 6};
    static const int64_t offsets[] = {0, 3};
    peft_batch b;
    memset(&b, 0, sizeof b);
    b.count = 1, b.decoder_input = input, b.labels = labels, b.target_offsets = offsets;
    peft_active_adapter active = {one, 1, 0, 0};
    peft_tape *t = NULL;
    peft_status status = peft_tape_create(ctx, &t);
    if (!status) {
        peft_tensor *hidden = peft_model_hidden(model, t, &b, &active, 1);
        peft_tensor *logits = hidden ? peft_model_logits(model, t, hidden, &active, 1) : NULL;
        if (logits) result_tensor(logits);
        peft_tensor *loss = logits ? peft_model_loss(model, t, &b, &active, 1, 0) : NULL;
        status = loss ? PEFT_OK : peft_tape_status(t);
        if (loss) result_tensor(loss);
    }
    peft_tape_destroy(t);
    return status;
}

static peft_status s_adapters(void) {  // the methods that a decoder takes
    peft_status status = PEFT_OK;
    for (int64_t i = 0; peft_method_at(i) && !status; i++) {
        peft_adapter *a = NULL;
        int64_t bytes = 0;
        status = adapt(model, 2, peft_method_at(i)->method, &a);
        if (status == PEFT_ERROR_ARGUMENT || status == PEFT_ERROR_UNSUPPORTED) status = PEFT_OK;
        if (a) status = peft_adapter_file_size(a, &bytes);
        result(&bytes, sizeof bytes);
        peft_adapter_destroy(a);
    }
    return status;
}
static peft_status s_adapter_load(void) {
    peft_adapter *a = NULL;
    peft_status status = peft_adapter_load(model, FOLDER "/adapter", &a);
    for (int64_t i = 0; i < peft_adapter_tensor_count(a); i++) result_tensor(peft_adapter_tensor(a, i));
    peft_adapter_destroy(a);
    return status;
}
static void old_adapter(void) {
    peft_adapter_save(two, OUT "/adapter");
    put(OUT "/adapter/notes.txt", "mine");
}
static peft_status s_adapter_save(void) { return peft_adapter_save(one, OUT "/adapter"); }
static peft_status s_adapter_gguf(void) { return peft_adapter_save(one, OUT "/file.gguf"); }
static peft_status s_merge(void) {
    peft_status status = peft_adapter_merge(one, 1);
    if (status) return status;
    peft_requantize_error error;
    status = peft_adapter_requantize(one, &error);
    peft_status undone = peft_adapter_unmerge(one);
    result_model(model);
    return status ? status : undone;
}
static peft_status s_combine(void) {
    const peft_adapter *list[2] = {one, two};
    peft_status status = PEFT_OK;
    for (int kind = PEFT_COMBINE_CAT; kind <= PEFT_COMBINE_TIES && !status; kind++) {
        if (kind == PEFT_COMBINE_TIES) list[1] = one;
        peft_combine_desc d;
        memset(&d, 0, sizeof d);
        d.adapters = list, d.count = 2, d.kind = (peft_combine_kind)kind;
        peft_adapter *a = NULL;
        status = peft_adapter_combine(&d, &a);
        for (int64_t i = 0; i < peft_adapter_tensor_count(a); i++) result_tensor(peft_adapter_tensor(a, i));
        peft_adapter_destroy(a);
    }
    return status;
}
static peft_status s_nearest(void) {
    peft_adapter *a = NULL;
    int32_t ids[3];
    float distances[3];
    peft_status status = adapt(model, 0, PEFT_PROMPT_TUNING, &a);
    if (!status) status = peft_prompt_nearest(a, 1, 3, ids, distances);
    if (!status) result(ids, sizeof ids);
    peft_adapter_destroy(a);
    return status;
}

static peft_status s_generate(void) {
    peft_generate_desc d;
    memset(&d, 0, sizeof d);
    d.model = model, d.adapter = one, d.max_new_tokens = 3;
    char *text = NULL, *several[3] = {NULL, NULL, NULL};
    static const int32_t ids[] = {5, 6, 7};
    peft_ids out = {0};
    peft_status status = peft_generate_text(&d, texts[0], &text);
    result_text(text);
    peft_free(ctx, text);
    if (!status) status = peft_generate_texts(&d, texts, 3, several);
    for (int i = 0; i < 3; i++) result_text(several[i]), peft_free(ctx, several[i]);
    d.beams = 2;
    if (!status) status = peft_generate(&d, ids, 3, &out);
    result(out.data, (size_t)out.count * sizeof *out.data);
    peft_ids_free(ctx, &out);
    d.beams = 0, d.temperature = 1, d.top_k = 5;
    peft_session *session = NULL;
    if (!status) status = peft_session_create(model, &session);
    d.session = session;
    for (int i = 0; i < 2 && !status; i++) status = peft_generate_text(&d, texts[0], &text), result_text(text), peft_free(ctx, text);
    peft_session_destroy(session);
    return status;
}
static peft_status s_score(void) {
    double p[3], *each = NULL;
    peft_score_desc d;
    memset(&d, 0, sizeof d);
    d.model = model, d.prompt = "Which?", d.completions = texts, d.count = 3, d.token_log_probabilities = &each, d.with_end = true;
    peft_status status = peft_score_completions(&d, p);
    if (!status) result(p, sizeof p);
    peft_free(ctx, each);
    return status;
}
static peft_status s_text_perplexity(void) {
    peft_text_perplexity_desc d;
    struct peft_perplexity_result r;
    memset(&d, 0, sizeof d);
    d.model = model, d.path = FOLDER "/text", d.window = 16;
    peft_status status = peft_text_perplexity(&d, &r);
    if (!status) result(&r.per_token, sizeof r.per_token);
    return status;
}

static const char json[] = "{\"name\": \"x\", \"list\": [1, 2, 3], \"prompt\": \"p\", \"completion\": \"c\"}";
static peft_status s_template(void) {
    peft_template_desc d;
    memset(&d, 0, sizeof d);
    d.context = ctx;
    d.text = "{% macro m(a) %}[{{ a }}]{% endmacro %}{% for i in list | sort %}{{ m(i) }}{% set x = {'a': i} %}{{ x | tojson }}{% endfor %}{{ name.upper() }}";
    peft_template *t = NULL;
    const char *text = NULL;
    peft_status status = peft_template_create(&d, &t);
    if (!status) status = peft_template_render(t, json, strlen(json), &text, NULL);
    if (!status) result_text(text);
    peft_template_destroy(t);
    char *filled = NULL;
    if (!status) status = peft_template_fill(ctx, "{{name}} and {{list}}", json, &filled);
    result_text(filled);
    peft_free(ctx, filled);
    return status;
}
static const char talk[] = "{\"messages\": [{\"role\": \"user\", \"content\": \"Say hi.\"}, {\"role\": \"assistant\", \"content\": \"Hi!\"}]}";
static peft_status s_chat(void) {
    peft_chat_desc d;
    memset(&d, 0, sizeof d);
    d.context = ctx, d.path = FOLDER "/model", d.tokenizer = tokenizer;
    peft_chat *chat = NULL;
    const char *text = NULL;
    peft_ids ids = {0}, mask = {0};
    peft_dataset *talks = NULL;
    peft_status status = peft_chat_open(&d, &chat);
    if (!status) status = peft_chat_text(chat, talk, true, &text, NULL);
    if (!status) result_text(text);
    if (!status) status = peft_chat_tokens(chat, talk, PEFT_TURNS_ASSISTANT, &ids, &mask);
    result(ids.data, (size_t)ids.count * sizeof *ids.data), result(mask.data, (size_t)mask.count * sizeof *mask.data);
    peft_dataset_desc dd;
    memset(&dd, 0, sizeof dd);
    dd.context = ctx, dd.path = FOLDER "/talks.jsonl", dd.chat = chat;
    if (!status) status = peft_dataset_load(&dd, &talks);
    if (!status) result_text(peft_dataset_prompt(talks, 0));
    peft_ids_free(ctx, &ids), peft_ids_free(ctx, &mask), peft_dataset_destroy(talks), peft_chat_close(chat);
    static const peft_chat_message messages[] = {{"system", "Be kind."}, {"user", "a"}};
    char *formatted = NULL;
    if (!status) status = peft_chat_format(ctx, PEFT_CHAT_LLAMA2, messages, 2, true, &formatted);
    result_text(formatted);
    peft_free(ctx, formatted);
    return status;
}
static peft_status s_chat_file(void) {
    peft_chat_desc d;
    memset(&d, 0, sizeof d);
    d.context = ctx, d.path = FOLDER "/jinja";
    peft_chat *chat = NULL;
    const char *text = NULL;
    peft_status status = peft_chat_open(&d, &chat);
    if (!status) status = peft_chat_text(chat, talk, true, &text, NULL);
    if (!status) result_text(text);
    peft_chat_close(chat);
    return status;
}
static peft_status s_dataset(void) {
    static const char *const files[] = {FOLDER "/data.jsonl", FOLDER "/data.csv", FOLDER "/data.json"};
    peft_status status = PEFT_OK;
    for (int i = 0; i < 3 && !status; i++) {
        peft_dataset *d = NULL, *rest = NULL, *part = NULL, *mixed = NULL, *joined = NULL;
        peft_dataset_desc dd;
        memset(&dd, 0, sizeof dd);
        dd.context = ctx, dd.path = files[i], dd.prompt = i ? "{{prompt}}" : "Q: {{prompt | upper}}";
        status = peft_dataset_load(&dd, &d);
        if (!status) status = peft_dataset_split(d, 0.5, 1, &rest, &part);
        const peft_dataset *both[2] = {d, part};
        peft_mix_desc m;
        memset(&m, 0, sizeof m);
        m.datasets = both, m.names = texts, m.count = 2;
        if (!status) status = peft_dataset_mix(&m, &mixed);
        if (!status) status = peft_dataset_join(both, 2, &joined);
        for (int64_t k = 0; k < peft_dataset_count(mixed); k++) result_text(peft_dataset_prompt(mixed, k));
        for (int64_t k = 0; k < peft_dataset_count(joined); k++) result_text(peft_dataset_completion(joined, k));
        peft_dataset_destroy(d), peft_dataset_destroy(rest), peft_dataset_destroy(part), peft_dataset_destroy(mixed), peft_dataset_destroy(joined);
    }
    return status;
}
static peft_status s_few_shot(void) {
    peft_few_shot_desc d;
    peft_few_shot_result r;
    memset(&d, 0, sizeof d);
    d.context = ctx, d.tokenizer = tokenizer, d.examples = data, d.shots = 3, d.random = true, d.question = "What?", d.context_window = 30, d.reserve = 4;
    peft_status status = peft_few_shot(&d, &r);
    if (!status) result_text(r.text), peft_few_shot_free(ctx, &r);
    return status;
}

static peft_status s_optimizer(void) {
    peft_status status = PEFT_OK;
    for (int kind = PEFT_ADAMW; kind <= PEFT_LION && !status; kind++) {
        peft_tensor *t = of("t", 80, 64, false, &status);
        peft_optimizer *o = NULL;
        peft_optimizer_desc d;
        memset(&d, 0, sizeof d);
        d.context = ctx, d.tensors = &t, d.count = 1, d.kind = (peft_optimizer_kind)kind;
        if (kind == PEFT_ADAMW) d.state_file = OUT "/state";
        if (!status) status = peft_optimizer_create(&d, &o);
        for (int64_t i = 0; !status && i < 80 * 64; i++) t->grad[i] = 1;
        if (!status) peft_optimizer_clip(o, 1), peft_optimizer_step(o, 0.1f), result_tensor(t);
        peft_optimizer_destroy(o), peft_tensor_destroy(ctx, t);
    }
    return status;
}

static peft_status trained(int64_t steps, bool resume, const char *state) {
    peft_model *m = NULL;
    peft_adapter *a = NULL;
    peft_model_desc md = model_desc(FOLDER "/model");
    peft_train_desc d;
    memset(&d, 0, sizeof d);
    double loss = 0;
    peft_status status = peft_model_load(&md, &m);
    if (!status) status = adapt(m, 2, PEFT_LORA, &a);
    d.model = m, d.adapter = a, d.data = data, d.validation = data, d.max_steps = steps, d.batch_size = 2, d.seed = 3, d.checkpoint = OUT "/checkpoint", d.checkpoint_every = 2;
    d.resume = resume, d.keep_best = true, d.eval_every = 2, d.optimizer_file = state;
    if (!status) status = peft_train(&d, NULL);
    if (!status) status = peft_evaluate_loss(m, a, data, 0, 0, &loss);
    for (int64_t i = 0; !status && i < peft_adapter_tensor_count(a); i++) result_tensor(peft_adapter_tensor(a, i));
    result(&loss, sizeof loss);
    peft_adapter_destroy(a), peft_model_destroy(m);
    return status;
}
static peft_status s_train(void) { return trained(2, false, OUT "/state"); }
static bool stop_at_2(const peft_progress *p, void *user) { return (void)user, p->step < 2; }
static void old_checkpoint(void) {  // of the first half of four steps
    peft_model *m = NULL;
    peft_adapter *a = NULL;
    peft_model_desc md = model_desc(FOLDER "/model");
    peft_train_desc d;
    memset(&d, 0, sizeof d);
    peft_model_load(&md, &m), adapt(m, 2, PEFT_LORA, &a);
    d.model = m, d.adapter = a, d.data = data, d.validation = data, d.max_steps = 4, d.batch_size = 2, d.seed = 3, d.checkpoint = OUT "/checkpoint", d.checkpoint_every = 2;
    d.keep_best = true, d.eval_every = 2, d.progress = stop_at_2;
    peft_train(&d, NULL);
    peft_adapter_destroy(a), peft_model_destroy(m);
}
static peft_status s_resume(void) { return trained(4, true, NULL); }
static peft_status s_batches(void) {
    peft_train_desc d;
    memset(&d, 0, sizeof d);
    d.model = model, d.data = data, d.batch_size = 3, d.max_steps = 2, d.seed = 1;
    peft_batches *b = NULL;
    peft_status status = peft_batches_create(&d, &b);
    for (int64_t i = 0; !status && i < peft_batches_count(b); i++) {
        const peft_batch *batch = peft_batches_at(b, 0, i);
        result(batch->labels, (size_t)batch->target_offsets[batch->count] * sizeof *batch->labels);
    }
    peft_batches_destroy(b);
    return status;
}

// Paths that are not the system's: files are read and written by callbacks, here those of the C library.
static peft_status s_callbacks(void) {
    peft_context *outer = ctx;
    peft_context_desc d;
    memset(&d, 0, sizeof d);
    d.allocator.alloc = counted_alloc, d.allocator.free = counted_free, d.files = peft_files_stdio(), d.files.native = false;
    peft_model *m = NULL;
    peft_adapter *a = NULL;
    if (peft_context_create(&d, &ctx)) {
        ctx = outer;
        snprintf(reason, sizeof reason, "no context");
        return PEFT_ERROR_MEMORY;
    }
    peft_model_desc md = model_desc(FOLDER "/model");
    peft_status status = peft_mount(ctx, "mounted", "x", 1);
    if (!status) status = peft_unmount(ctx, "mounted");
    if (!status) status = peft_model_load(&md, &m);
    if (!status) status = peft_adapter_load(m, FOLDER "/adapter", &a);
    if (!status) result_model(m), status = peft_model_save(m, OUT "/model.gguf", PEFT_F32);
    snprintf(reason, sizeof reason, "%s", peft_error(ctx));
    peft_adapter_destroy(a), peft_model_destroy(m), peft_context_destroy(ctx);
    ctx = outer;
    return status;
}
static peft_status s_plan(void) {
    peft_adapter_desc a;
    peft_plan_desc d;
    peft_memory_plan plan;
    memset(&a, 0, sizeof a), memset(&d, 0, sizeof d);
    d.context = ctx, d.path = FOLDER "/model", d.weights = PEFT_NF4, d.adapter = &a, d.batch_size = 1, d.source = d.target = 4;
    peft_status status = peft_plan_memory(&d, &plan);
    if (!status) result(&plan.parameters, sizeof plan.parameters), result(&plan.trainable, sizeof plan.trainable);
    return status;
}

static peft_status s_metrics(void) {
    double values[8] = {0.1, 0.4, 0.35, 0.8, 0.2, 0.9, 0.5, 0.6}, more[8] = {1, 2, 3, 4, 5, 7, 6, 8}, out = 0;
    int32_t labels[8] = {0, 1, 0, 1, 0, 1, 1, 0}, said[8] = {0, 1, 1, 1, 0, 0, 1, 0};
    int64_t tokens[3] = {6, 2, 3};
    peft_status status = PEFT_OK;
#define METRIC(call, value) if (!status) { status = call; if (!status) result(&(value), sizeof(value)); }
    peft_rouge_desc rd; memset(&rd, 0, sizeof rd);
    rd.context = ctx, rd.predictions = texts, rd.references = others, rd.count = 3, rd.use_stemmer = true, rd.bootstrap_samples = 10;
    peft_rouge_result rr; peft_rouge_scores pair; peft_prf prf;
    METRIC(peft_rouge(&rd, &rr), rr.mean)
    METRIC(peft_rouge_pair(ctx, texts[0], others[0], false, &pair), pair)
    METRIC(peft_rouge_n(ctx, texts[0], others[0], 3, false, &prf), prf)
    peft_bleu_desc bd; memset(&bd, 0, sizeof bd);
    bd.context = ctx, bd.predictions = texts, bd.references = others, bd.count = 3, bd.tokenizer = PEFT_TOKENIZE_INTL;
    peft_bleu_result br;
    METRIC(peft_bleu(&bd, &br), br.score)
    peft_chrf_desc cd; memset(&cd, 0, sizeof cd);
    cd.context = ctx, cd.predictions = texts, cd.references = others, cd.count = 3, cd.word_order = 2;
    peft_metric_result mr;
    METRIC(peft_chrf(&cd, &mr), mr.score)
    peft_text_desc td; memset(&td, 0, sizeof td);
    td.context = ctx, td.predictions = texts, td.references = others, td.count = 3;
    METRIC(peft_nist(&td, &mr), mr.score)
    METRIC(peft_meteor(&td, &mr), mr.score)
    METRIC(peft_cider(&td, &mr), mr.score)
    peft_answer_result ar;
    METRIC(peft_squad(&td, &ar), ar.f1)
    peft_class_desc kd; memset(&kd, 0, sizeof kd);
    kd.context = ctx, kd.predictions = said, kd.labels = labels, kd.count = 8;
    peft_class_result kr;
    METRIC(peft_classification(&kd, &kr), kr.mcc)
    METRIC(peft_pearson(ctx, values, more, 8, &out), out)
    METRIC(peft_spearman(ctx, values, more, 8, &out), out)
    METRIC(peft_auc(ctx, values, labels, 8, &out), out)
    peft_calibration_desc ad; memset(&ad, 0, sizeof ad);
    ad.context = ctx, ad.confidence = values, ad.correct = labels, ad.count = 8;
    peft_calibration_result cr;
    METRIC(peft_calibration(&ad, &cr), cr.ece_mass)
    struct peft_perplexity_result xr;
    METRIC(peft_perplexity(ctx, texts, more, tokens, 3, &xr), xr.per_token)
    for (int metric = PEFT_PAIRED_BLEU; metric <= PEFT_PAIRED_VALUES; metric++) {
        peft_paired_desc pd; memset(&pd, 0, sizeof pd);
        pd.context = ctx, pd.metric = (peft_paired_metric)metric, pd.baseline = texts, pd.system = others, pd.references = texts, pd.count = 3, pd.samples = 10;
        pd.baseline_values = values, pd.system_values = more;
        peft_paired_result pr;
        METRIC(peft_paired(&pd, &pr), pr.p_value)
    }
    return status;
}

typedef struct scenario {
    const char *name;
    peft_status (*run)(void);
    void (*old)(void);   // what stands in OUT before
    const char *public_calls;
} scenario;

static const scenario scenarios[] = {
    {"context", s_context, NULL, "peft_context_create peft_mount"},
    {"product", s_sgemm, NULL, "peft_sgemm"},
    {"operations", s_operations, NULL,
     "peft_tensor_create peft_require_grad peft_tape_create peft_tape_status peft_backward peft_recompute peft_input peft_embedding peft_linear "
     "peft_linear_with peft_rms_norm peft_layer_norm peft_activation peft_gated peft_add peft_scale peft_dropout peft_mse peft_multiply peft_columns "
     "peft_rotary peft_prepend peft_attention peft_cross_entropy"},
    {"quantize", s_quantize, NULL, "peft_quantize peft_dequantize peft_quantize_compare"},
    {"archive", s_archive, NULL, "peft_archive_open"},
    {"shards", s_sharded, NULL, "peft_archive_open"},
    {"safetensors written", s_safetensors_write, old_file, "peft_safetensors_write"},
    {"gguf read", s_gguf_read, NULL, "peft_gguf_open peft_gguf_to_f32"},
    {"gguf written", s_gguf_write, old_file,
     "peft_gguf_writer_create peft_gguf_set_string peft_gguf_set_strings peft_gguf_set_number peft_gguf_set_numbers peft_gguf_add peft_gguf_write"},
    {"tokenizer.json", s_tokenizer_json, NULL, "peft_tokenizer_load peft_encode peft_encode_special peft_encode_full peft_decode"},
    {"spiece.model", s_tokenizer_spiece, NULL, "peft_tokenizer_load"},
    {"model loaded", s_load, NULL, "peft_model_load"},
    {"model quantized at load", s_load_nf4, NULL, "peft_model_load"},
    {"model loaded from gguf", s_load_gguf, NULL, "peft_model_load"},
    {"tokenizer from elsewhere", s_load_beside, NULL, "peft_model_load"},
    {"model saved anew", s_save, NULL, "peft_model_save"},
    {"model saved over another", s_save, old_model, "peft_model_save"},
    {"model saved in four bits", s_save_few, old_model, "peft_model_save"},
    {"model saved as gguf", s_save_gguf, old_gguf, "peft_model_save"},
    {"model grown", s_grow, NULL, "peft_model_grow"},
    {"loss", s_loss, NULL, "peft_model_hidden peft_model_logits peft_model_loss"},
    {"adapters", s_adapters, NULL, "peft_adapter_create peft_adapter_file_size"},
    {"adapter loaded", s_adapter_load, NULL, "peft_adapter_load"},
    {"adapter saved anew", s_adapter_save, NULL, "peft_adapter_save"},
    {"adapter saved over another", s_adapter_save, old_adapter, "peft_adapter_save"},
    {"adapter saved as gguf", s_adapter_gguf, NULL, "peft_adapter_save"},
    {"merge", s_merge, NULL, "peft_adapter_merge peft_adapter_unmerge peft_adapter_requantize"},
    {"combine", s_combine, NULL, "peft_adapter_combine"},
    {"nearest", s_nearest, NULL, "peft_prompt_nearest"},
    {"generate", s_generate, NULL, "peft_generate peft_generate_text peft_generate_texts peft_session_create"},
    {"score", s_score, NULL, "peft_score_completions"},
    {"text perplexity", s_text_perplexity, NULL, "peft_text_perplexity"},
    {"template", s_template, NULL, "peft_template_create peft_template_render peft_template_fill"},
    {"chat", s_chat, NULL, "peft_chat_open peft_chat_text peft_chat_tokens peft_chat_format"},
    {"chat template in a file", s_chat_file, NULL, "peft_chat_open"},
    {"dataset", s_dataset, NULL, "peft_dataset_load peft_dataset_split peft_dataset_mix peft_dataset_join"},
    {"few shot", s_few_shot, NULL, "peft_few_shot"},
    {"optimizer", s_optimizer, NULL, "peft_optimizer_create"},
    {"train", s_train, NULL, "peft_train peft_evaluate_loss"},
    {"resume", s_resume, old_checkpoint, "peft_train"},
    {"batches", s_batches, NULL, "peft_batches_create"},
    {"files through callbacks", s_callbacks, old_gguf, "peft_mount peft_unmount"},
    {"plan", s_plan, NULL, "peft_plan_memory"},
    {"metrics", s_metrics, NULL,
     "peft_rouge peft_rouge_pair peft_rouge_n peft_bleu peft_chrf peft_nist peft_meteor peft_cider peft_squad peft_classification peft_pearson peft_spearman "
     "peft_auc peft_calibration peft_perplexity peft_paired"},
};

// ---- the trials

// What the user has put into a folder is there, or in what a stopped run has left of it.
static bool notes_are_kept(const scenario *s) {
    static const char *const places[] = {"", ".peft-new", ".peft-old"};
    const char *name = s->old == old_model ? "model" : "adapter";
    int found = 0;
    for (int i = 0; i < 3; i++) {
        char path[200];
        snprintf(path, sizeof path, OUT "/%s%s/notes.txt", name, places[i]);
        FILE *f = fopen(path, "rb");
        found += f != NULL;
        if (f) fclose(f);
    }
    return (s->old != old_model && s->old != old_adapter) || found == 1;
}

static void reset(const scenario *s) {
    clear(OUT);
    if (s->old) s->old();
}

static peft_status run(const scenario *s, long alloc_n, long call_n, int how) {
    digest = 14695981039346656037u;
    allocations = calls = 0, alloc_fails = alloc_n, call_fails = call_n, mode = how, struck = NULL;
    reason[0] = 0;
    armed = true;
    peft_status status = s->run();
    armed = false;
    if (!*reason) snprintf(reason, sizeof reason, "%s", peft_error(ctx));
    return status;
}

static void try_one(const scenario *s) {
    snprintf(label, sizeof label, "unharmed");
    reset(s);
    const uint64_t before = tree(OUT, true), before_files = tree(OUT, false);
    peft_status status = run(s, 0, 0, ONCE);  // the context keeps what it packs matrices in
    if (!check(status == PEFT_OK, s->name, "works")) return;
    const uint64_t after = tree(OUT, true), after_files = tree(OUT, false), right = digest;
    reset(s);
    long kept = live, mapped = maps;
    int files = open_files();
    check(run(s, 0, 0, ONCE) == PEFT_OK && digest == right && tree(OUT, true) == after, s->name, "works twice");
    const long all_allocations = allocations, all_calls = calls;
    check(live == kept && maps == mapped && open_files() == files, s->name, "leaks nothing");
    static unsigned char before_it[sizeof sequence];
    memcpy(before_it, sequence, sizeof sequence);
#define FEW(n) ((n) > 3 && (n) % 16 && before_it[(n) - 1] == 2 && before_it[(n) - 2] == 2 && before_it[(n) - 3] == 2)  // in a row of fwrite: one of 16
    const long step = 1 + all_allocations / 150;
    for (long n = 1; n <= all_allocations; n += n < 60 ? 1 : step) {
        reset(s);
        status = run(s, n, 0, ONCE);
        snprintf(label, sizeof label, "allocation %ld of %ld: status %d, %ld blocks", n, all_allocations, (int)status, live - kept);
        const uint64_t now = tree(OUT, true);
        check(status == PEFT_ERROR_MEMORY || (status == PEFT_OK && digest == right), s->name, "no memory is PEFT_ERROR_MEMORY");
        check(status == PEFT_OK || s->run == s_context || *reason, s->name, "no memory leaves a message");
        check(live == kept && maps == mapped && open_files() == files, s->name, "no memory: nothing leaks");
        check(now == before || now == after, s->name, "no memory: files are old or new");
        kept = live, mapped = maps, files = open_files();
        if (n % 10 == 1) check((reset(s), run(s, 0, 0, ONCE) == PEFT_OK) && digest == right, s->name, "no memory: works afterwards");
    }
    for (int how = ONCE; how <= FROM; how++)
        for (long n = 1; n <= all_calls; n++) {
            if (FEW(n)) continue;
            reset(s);
            status = run(s, 0, n, how);
            snprintf(label, sizeof label, "call %ld of %ld of the system, %s%s: status %d", n, all_calls, struck ? struck : "none", how == FROM ? ", and all others" : "", (int)status);
            static const char *const cleaning[] = {"unlink", "rmdir", "remove", "opendir", "readdir", "rename"};
            bool may_leave = how == FROM;
            for (int i = 0; i < 6; i++) may_leave = may_leave || (struck && strcmp(struck, cleaning[i]) == 0);
            const uint64_t now = tree(OUT, !may_leave), wanted_new = may_leave ? after_files : after, wanted_old = may_leave ? before_files : before;
            check(notes_are_kept(s), s->name, "a failing call: what is not ours is kept");
            check(status != PEFT_OK || (digest == right && tree(OUT, true) == after), s->name, "a failing call: no success without result");
            check(status == PEFT_OK || status == PEFT_ERROR_IO || status == PEFT_ERROR_MISSING, s->name, "a failing call is PEFT_ERROR_IO");
            check(status == PEFT_OK || strstr(reason, FOLDER), s->name, "a failing call: the message names the file");
            check(now == wanted_old || now == wanted_new, s->name, "a failing call: files are old or new");
            check(live == kept && maps == mapped && open_files() == files, s->name, "a failing call: nothing leaks");
            kept = live, mapped = maps, files = open_files();
            unlink(OUT "/state");
            if (n % 4 == 1) check((run(s, 0, 0, ONCE) == PEFT_OK) && digest == right && tree(OUT, true) == after, s->name, "a failing call: works afterwards, and clears up");
        }
    for (long n = 1; n <= all_calls && after != before; n++) {
        if (FEW(n)) continue;
        reset(s);
        fflush(stdout);
        pid_t child = fork();
        if (!child) _exit((int)run(s, 0, n, STOP));
        int code = 0;
        waitpid(child, &code, 0);
        snprintf(label, sizeof label, "stopped at call %ld of %ld: %d", n, all_calls, WIFEXITED(code) ? WEXITSTATUS(code) : -1);
        check(WIFEXITED(code) && WEXITSTATUS(code) == 77, s->name, "stopped");
        uint64_t now = tree(OUT, false);
        check(notes_are_kept(s), s->name, "stopped: what is not ours is kept");
        check(now == before_files || now == after_files, s->name, "stopped: files are old or new");
        unlink(OUT "/state");
        check(run(s, 0, 0, ONCE) == PEFT_OK && digest == right && tree(OUT, true) == after, s->name, "stopped: works afterwards, and clears up");
    }
    snprintf(label, sizeof label, "%s: %ld allocations, %ld calls of the system", s->name, all_allocations, all_calls);
    if (getenv("VERBOSE")) printf("%s\n", label);
}

// Whether every public call that returns a status or a tensor stands in a scenario.
static void test_complete(void) {
    FILE *f = fopen("peft.h", "rb");
    char line[400], name[100];
    int found = 0;
    while (f && fgets(line, sizeof line, f) && !strstr(line, "#if defined(PEFT_IMPLEMENTATION)")) {
        if (sscanf(line, "PEFTDEF peft_status %99[a-z0-9_](", name) != 1 && sscanf(line, "PEFTDEF peft_tensor *%99[a-z0-9_](", name) != 1) continue;
        static const char *const lookups[] = {"peft_model_tensor", "peft_model_find", "peft_adapter_tensor"};
        bool covered = false;
        for (int i = 0; i < 3; i++) covered = covered || strcmp(name, lookups[i]) == 0;
        for (size_t i = 0; i < sizeof scenarios / sizeof *scenarios; i++) {
            const char *at = strstr(scenarios[i].public_calls, name);
            for (; at && !covered; at = strstr(at + 1, name)) covered = !at[strlen(name)] || at[strlen(name)] == ' ';
        }
        found++;
        check(covered, name, "has a scenario");
    }
    check(found > 80, "the interface", "is found");
    if (f) fclose(f);
}

static void copy(const char *from, const char *to) {
    static char bytes[100000];
    FILE *in = fopen(from, "rb"), *out = fopen(to, "wb");
    if (in && out) fwrite(bytes, 1, fread(bytes, 1, sizeof bytes, in), out);
    if (in) fclose(in);
    if (out) fclose(out);
}

static bool prepare(void) {
    clear(FOLDER);
    mkdir("build", 0777), mkdir(FOLDER, 0777), mkdir(OUT, 0777), mkdir(FOLDER "/sharded", 0777), mkdir(FOLDER "/jinja", 0777), mkdir(FOLDER "/tiny", 0777);
    put(FOLDER "/data.jsonl", "{\"prompt\": \"a b\", \"completion\": \"c\"}\n{\"prompt\": \"d\", \"completion\": \"e f\"}\n{\"prompt\": \"g\", \"completion\": \"h\"}\n{\"prompt\": \"i\", \"completion\": \"j\"}\n");
    put(FOLDER "/data.csv", "prompt,completion\na,b\n\"c\nd\",e\n");
    put(FOLDER "/data.json", "[{\"prompt\": \"a\", \"completion\": \"b\"}, {\"prompt\": \"c\", \"completion\": \"d\"}]");
    put(FOLDER "/talks.jsonl", talk), put(FOLDER "/text", "Some words of a text that has more of them than one window.");
    put(FOLDER "/jinja/chat_template.jinja", "{% for m in messages %}{{ m.content }}{{ eos_token }}{% endfor %}");
    put(FOLDER "/jinja/tokenizer_config.json", "{\"eos_token\": \"</s>\"}"), put(FOLDER "/jinja/special_tokens_map.json", "{\"bos_token\": \"<s>\"}");
    peft_context_desc cd;
    memset(&cd, 0, sizeof cd);
    cd.allocator.alloc = counted_alloc, cd.allocator.free = counted_free;
    if (peft_context_create(&cd, &ctx)) return false;
    static const char *const copied[][2] = {{"tests/data/chat/tokenizer.json", FOLDER "/tiny/tokenizer.json"}, {"tests/data/chat/tokenizer_config.json", FOLDER "/tiny/tokenizer_config.json"},
                                            {"tests/data/model/spiece.model", FOLDER "/spiece.model"}, {FOLDER "/model/config.json", FOLDER "/sharded/config.json"},
                                            {FOLDER "/model/tokenizer.json", FOLDER "/sharded/tokenizer.json"}};
    put(FOLDER "/tiny/config.json",
        "{\"model_type\": \"qwen2\", \"hidden_size\": 32, \"intermediate_size\": 64, \"num_hidden_layers\": 1, \"num_attention_heads\": 2, \"num_key_value_heads\": 1, "
        "\"vocab_size\": 265, \"max_position_embeddings\": 64, \"tie_word_embeddings\": true, \"eos_token_id\": 257}");
    for (int i = 0; i < 3; i++) copy(copied[i][0], copied[i][1]);
    peft_model_desc md = model_desc(FOLDER "/tiny");
    md.config_only = true, md.seed = 1;
    peft_model *m = NULL;
    bool ok = !peft_model_load(&md, &m) && !peft_model_save(m, FOLDER "/model", PEFT_F32) && !peft_model_save(m, FOLDER "/model.gguf", PEFT_F32);
    peft_model_destroy(m);
    // two shards: the first tensor, all others
    peft_archive *a = NULL;
    ok = ok && !peft_archive_open(ctx, FOLDER "/model", &a);
    static const peft_tensor *list[200];
    static char index[20000];
    int64_t n = ok ? peft_archive_count(a) : 0;
    strcpy(index, "{\"metadata\": {}, \"weight_map\": {");
    for (int64_t i = 0; i < n; i++) {
        list[i] = peft_archive_at(a, i);
        snprintf(index + strlen(index), sizeof index - strlen(index), "%s\"%s\": \"%s\"", i ? ", " : "", list[i]->name, i ? "two.safetensors" : "one.safetensors");
    }
    strcat(index, "}}");
    put(FOLDER "/sharded/model.safetensors.index.json", index);
    ok = ok && !peft_safetensors_write(ctx, FOLDER "/sharded/one.safetensors", list, 1) && !peft_safetensors_write(ctx, FOLDER "/sharded/two.safetensors", list + 1, n - 1);
    peft_archive_close(a);
    for (int i = 3; i < 5; i++) copy(copied[i][0], copied[i][1]);
    md = model_desc(FOLDER "/model");
    peft_dataset_desc dd;
    memset(&dd, 0, sizeof dd);
    dd.context = ctx, dd.path = FOLDER "/data.jsonl";
    return ok && !peft_model_load(&md, &model) && !adapt(model, 4, PEFT_LORA, &one) && !adapt(model, 2, PEFT_LORA, &two) && !peft_adapter_save(one, FOLDER "/adapter") &&
           !peft_dataset_load(&dd, &data) && !peft_tokenizer_load(ctx, FOLDER "/model", &tokenizer);
}

int main(int argc, char **argv) {
    setvbuf(stdout, NULL, _IOLBF, 0);
    test_complete();
    check(prepare(), "what scenarios need", "is made");
    for (size_t i = 0; i < sizeof scenarios / sizeof *scenarios && tokenizer; i++)
        if (argc < 2 || strcmp(argv[1], scenarios[i].name) == 0) try_one(&scenarios[i]);
    static const char *const needed[] = {"fopen", "fread", "fwrite", "fflush", "fclose", "open", "write", "mmap", "fsync", "rename", "mkdir", "stat"};
    for (size_t k = 0; k < sizeof needed / sizeof *needed && argc < 2; k++) {
        bool seen = false;
        for (int i = 0; i < FUNCTIONS; i++) seen = seen || (used[i] && strcmp(functions[i], needed[k]) == 0);
        check(seen, needed[k], "was among the calls");
    }
    peft_tokenizer_destroy(tokenizer), peft_dataset_destroy(data), peft_adapter_destroy(one), peft_adapter_destroy(two), peft_model_destroy(model);
    peft_context_destroy(ctx);
    ctx = NULL;
    check(live == 0, "at the end", "nothing is left");
    printf("%d passed, %d failed\n", passed, failed);
    return failed != 0;
}
#else
int main(void) {
    printf("0 passed, 0 failed, 1 skipped\n");
    return 0;
}
#endif
