// The header without stdio: files are memory, through the callbacks of a context. Training writes its checkpoint, adapters and models
// are saved and loaded, and a disk that fails at any one operation is an error that names a file and leaves old or new ones.
#define PEFT_NO_STDIO
#define PEFT_NO_METRICS
#define PEFT_IMPLEMENTATION
#include "peft.h"
#include "check.h"
#include <stdio.h>
#if (defined(CLOCK_MONOTONIC) && !defined(PEFT_USE_PTHREADS)) || defined(LC_ALL)  // threads bring time.h
#error "PEFT_NO_STDIO needs neither time.h nor locale.h"
#endif

static int passed, failed;
static peft_context *ctx;

static void check(bool ok, const char *what) {
    if (test_count(&passed, &failed, ok, what)) printf("FAIL %s: %s\n", what, peft_error(ctx));
}

enum { FILES = 40 };
typedef struct memory_file {
    char path[80];
    unsigned char *data;
    size_t size, capacity;
    bool open;
} memory_file;
static memory_file disk[FILES];
static long operations, fail_at = -1;  // every operation of a writer counts
static int opened;

static memory_file *find(const char *path) {
    for (memory_file *f = disk; f < disk + FILES; f++)
        if (f->path[0] && strcmp(f->path, path) == 0) return f;
    return NULL;
}
static bool fails(void) {
    bool now = operations++ == fail_at;
    if (now) errno = ENOSPC;
    return now;
}
static peft_status disk_open(const char *path, bool write, void **file, uint64_t *size, void *user) {
    memory_file *f = find(path);
    (void)user;
    if (write && fails()) return PEFT_ERROR_IO;
    if (!f && !write) return PEFT_ERROR_MISSING;
    for (memory_file *e = disk; e < disk + FILES && !f; e++)
        if (!e->path[0]) f = e;
    if (!f || strlen(path) >= sizeof f->path) return PEFT_ERROR_IO;
    strcpy(f->path, path);
    if (write) f->size = 0;
    *size = f->size, *file = f;
    opened++;
    return PEFT_OK;
}
static peft_status disk_read(void *file, uint64_t offset, void *into, size_t n, void *user) {
    (void)user;
    memcpy(into, ((memory_file *)file)->data + offset, n);
    return PEFT_OK;
}
static peft_status disk_write(void *file, const void *data, size_t n, void *user) {
    memory_file *f = (memory_file *)file;
    (void)user;
    if (fails()) return PEFT_ERROR_IO;
    if (f->size + n > f->capacity) f->data = (unsigned char *)realloc(f->data, f->capacity = 2 * (f->size + n));
    memcpy(f->data + f->size, data, n);
    f->size += n;
    return PEFT_OK;
}
static peft_status disk_flush(void *file, void *user) { return (void)file, (void)user, fails() ? PEFT_ERROR_IO : PEFT_OK; }
static peft_status disk_close(void *file, void *user) {
    (void)file, (void)user, opened--;
    return fails() ? PEFT_ERROR_IO : PEFT_OK;
}
static peft_status disk_remove(const char *path, void *user) {
    memory_file *f = find(path);
    (void)user;
    if (!f) return PEFT_ERROR_MISSING;
    free(f->data);
    memset(f, 0, sizeof *f);
    return PEFT_OK;
}
static peft_status disk_rename(const char *from, const char *to, void *user) {
    if (fails()) return PEFT_ERROR_IO;
    disk_remove(to, user);
    strcpy(find(from)->path, to);
    return PEFT_OK;
}
static int folders;
static peft_status disk_folder(const char *path, void *user) {
    (void)path, (void)user, folders++;
    return fails() ? PEFT_ERROR_IO : PEFT_OK;
}

static unsigned char *host_file(const char *path, size_t *size) {  // mounted: flash, an ArrayBuffer
    FILE *f = fopen(path, "rb");
    if (!f) return NULL;
    unsigned char *data = (unsigned char *)malloc(8000000);
    *size = fread(data, 1, 8000000, f);
    fclose(f);
    return data;
}

static bool same_weights(const peft_adapter *a, const peft_adapter *b) {
    bool same = a && b && peft_adapter_tensor_count(a) == peft_adapter_tensor_count(b);
    for (int64_t i = 0; same && i < peft_adapter_tensor_count(a); i++) {
        const peft_tensor *x = peft_adapter_tensor(a, i), *y = peft_adapter_tensor(b, i);
        same = peft_tensor_bytes(x) == peft_tensor_bytes(y) && memcmp(x->data, y->data, peft_tensor_bytes(x)) == 0;
    }
    return same;
}

static bool stop_at_2(const peft_progress *p, void *user) {
    (void)user;
    check(p->seconds == 0 && p->tokens_per_second == 0, "no clock: times and rates are 0");
    return p->step < 2;
}

static const char records[] = "{\"prompt\": \"Repeat: Anna met Ben.\", \"completion\": \"Anna met Ben.\"}\n"
                              "{\"prompt\": \"Repeat: Tom is here.\", \"completion\": \"Tom is here.\"}\n";

static peft_status train(peft_model *m, peft_adapter *a, const peft_dataset *data, bool resume, peft_progress_fn progress) {
    peft_train_desc d;
    memset(&d, 0, sizeof d);
    d.model = m, d.adapter = a, d.data = data, d.batch_size = 1, d.max_steps = 4, d.checkpoint = "run.ckpt", d.resume = resume;
    d.progress = progress;
    return peft_train(&d, NULL);
}

int main(void) {
    peft_context_desc cd;
    memset(&cd, 0, sizeof cd);
    cd.files.open = disk_open;
    check(peft_context_create(&cd, &ctx) == PEFT_ERROR_ARGUMENT && !ctx, "one callback is not a file system");
    cd.files.read = disk_read, cd.files.write = disk_write, cd.files.flush = disk_flush, cd.files.close = disk_close;
    cd.files.rename = disk_rename, cd.files.remove = disk_remove, cd.files.make_folder = disk_folder;
    if (peft_context_create(&cd, &ctx)) return 1;
    static const char *const names[] = {"config.json", "model.safetensors", "spiece.model"};
    unsigned char *data[3];
    size_t sizes[3];
    for (int i = 0; i < 3; i++) {
        char from[80], to[80];
        snprintf(from, sizeof from, "tests/data/model/%s", names[i]);
        snprintf(to, sizeof to, "flash/%s", names[i]);
        data[i] = host_file(from, &sizes[i]);
        check(data[i] && !peft_mount(ctx, to, data[i], sizes[i]), "mounted");
    }
    peft_model_desc md;
    peft_dataset_desc dd;
    peft_adapter_desc ad;
    memset(&md, 0, sizeof md), memset(&dd, 0, sizeof dd), memset(&ad, 0, sizeof ad);
    md.context = ctx, md.path = "flash";
    peft_dataset *examples = NULL;
    peft_adapter *a = NULL, *b = NULL, *whole = NULL;
    check(!peft_model_load(&md, &ad.model), "a mounted model");
    dd.context = ctx, dd.path = "train.jsonl";
    check(!peft_mount(ctx, dd.path, records, sizeof records - 1) && !peft_dataset_load(&dd, &examples), "mounted records");
    check(!peft_unmount(ctx, dd.path) && !peft__file_exists(ctx, dd.path), "unmounted");
    check(peft_unmount(ctx, dd.path) == PEFT_ERROR_MISSING && strstr(peft_error(ctx), dd.path), "unmounted twice");

    check(!peft_adapter_create(&ad, &a) && !peft_adapter_create(&ad, &whole) && !peft_adapter_create(&ad, &b), "adapters");
    check(!train(ad.model, whole, examples, false, NULL), "a run as a whole");
    check(train(ad.model, a, examples, false, stop_at_2) == PEFT_CANCELLED && find("run.ckpt"), "stopped: a checkpoint is written");
    check(!train(ad.model, b, examples, true, NULL) && same_weights(b, whole), "resumed from it: the same weights");

    check(!peft_adapter_save(whole, "out/lora") && find("out/lora/adapter_config.json") && folders, "an adapter is saved");
    peft_adapter_destroy(b), b = NULL;
    check(!peft_adapter_load(ad.model, "out/lora", &b) && same_weights(b, whole), "and comes back");
    check(!peft_model_save(ad.model, "out/model", PEFT_BF16) && find("out/model/spiece.model"), "a model is saved");
    check(!peft_model_save(ad.model, "out/model.gguf", PEFT_F16), "and as GGUF");
    md.path = "out/model";
    peft_model *again = NULL;
    check(!peft_model_load(&md, &again) && peft_model_tensor_count(again) == peft_model_tensor_count(ad.model), "and comes back");
    peft_model_destroy(again);

    // One operation after another fails: an error that tells why and where, the old files or the new ones, nothing left behind.
    size_t in_use = peft_memory_in_use(ctx);
    long count = 0;
    for (fail_at = 0;; fail_at++) {
        operations = 0;
        peft_status status = peft_adapter_save(a, "out/lora");
        if (!status) break;
        count++;
        check(status == PEFT_ERROR_IO && strstr(peft_error(ctx), "out/lora") && strstr(peft_error(ctx), strerror(ENOSPC)),
              "the message names file and reason");
        check(peft_memory_in_use(ctx) == in_use && opened == 0, "nothing stays open or allocated");
        for (memory_file *f = disk; f < disk + FILES; f++) check(!strstr(f->path, ".part"), "no part of a file stays");
        const memory_file *w = find("out/lora/adapter_model.safetensors");
        peft_adapter *c = NULL;
        check(w && !peft_adapter_load(ad.model, "out/lora", &c) && (same_weights(c, whole) || same_weights(c, a)), "old or new, never half");
        peft_adapter_destroy(c);
    }
    fail_at = -1;
    check(count > 8, "operations that failed");
    {  // no callbacks at all
        peft_context *c = NULL;
        peft__writer w;
        peft__file f;
        check(!peft_context_create(NULL, &c), "a context without files");
        check(peft__writer_open(c, "x", &w) == PEFT_ERROR_UNSUPPORTED && strstr(peft_error(c), "x: "), "cannot write");
        check(peft__file_open(c, "x", &f) == PEFT_ERROR_MISSING && strstr(peft_error(c), "x: "), "has only what is mounted");
        peft_context_destroy(c);
    }
    peft_adapter_destroy(a), peft_adapter_destroy(b), peft_adapter_destroy(whole);
    peft_model_destroy(ad.model);
    peft_dataset_destroy(examples);
    peft_context_destroy(ctx);
    for (int i = 0; i < FILES; i++) free(disk[i].data);
    for (int i = 0; i < 3; i++) free(data[i]);
    printf("test_files: %d passed, %d failed, 0 skipped\n", passed, failed);
    return failed > 0;
}
