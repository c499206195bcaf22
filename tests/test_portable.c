// What differs between machines: rounding where floats may be wider, byte order of files, new folders. Small, so that it
// runs under any emulator. Files go to build/portable_test.
#define PEFT_NO_METRICS
#define PEFT_IMPLEMENTATION
#include "peft.h"
#include "check.h"
#include <stdio.h>

#define FOLDER "build/portable_test"

static int passed, failed;
static peft_context *ctx;

static void check(const char *what, bool ok) {
    if (test_count(&passed, &failed, ok, what)) printf("FAIL %s: %s\n", what, peft_error(ctx));
}

#if PEFT_VERSION_NUMBER < 100
#error "a version can be asked for by #if"
#endif

static void rounding(void) {
    const float x[8] = {2.4f, 2.5f, 3.5f, -2.4f, -2.5f, -0.3f, 1000000.25f, 0};
    const float want[8] = {2, 2, 4, -2, -2, 0, 1000000, 0};
    float y[8], e[8];
    for (int i = 0; i < 8; i++) {
        volatile float at = x[i];
        check("rounding to even", peft__round_float(at) == want[i]);
    }
    for (int i = 0; i < 8; i++) y[i] = x[i] > 80 ? 80 : x[i];
    peft__exp_plain(e, y, 8);
    for (int i = 0; i < 8; i++) check("exp", fabs((double)e[i] / exp((double)y[i]) - 1) < 1e-6);
    for (int h = 0; h < 0x7C00; h++) check("half floats", peft__f32_to_f16(peft__f16_to_f32((uint16_t)h)) == h);
    check("sums as written", peft__sums_as_written());
}

// What a file has to contain, whatever wrote it.
static void byte_order(void) {
    float floats[2] = {1, -2.5f};
    uint16_t halves[3] = {0x3C00, 0x0102, 0x8001};
    peft_tensor t[2];
    memset(t, 0, sizeof t);
    t[0].name = "f", t[0].type = PEFT_F32, t[0].data = floats, t[0].rows = 1, t[0].cols = 2, t[0].rank = 1;
    t[1].name = "h", t[1].type = PEFT_F16, t[1].data = halves, t[1].rows = 1, t[1].cols = 3, t[1].rank = 1;
    const peft_tensor *list[2] = {&t[0], &t[1]};
    static const unsigned char want[14] = {0, 0, 0x80, 0x3F, 0, 0, 0x20, 0xC0, 0, 0x3C, 2, 1, 1, 0x80};
    const char *path = FOLDER "/order.safetensors";
    check("write", !peft_safetensors_write(ctx, path, list, 2));
    char *bytes = NULL;
    size_t n = 0;
    check("read", !peft__read_all(ctx, path, &bytes, &n));
    check("bytes in the file", n > 14 && memcmp(bytes + n - 14, want, 14) == 0);
    check("size in the file", n > 14 && (size_t)(unsigned char)bytes[0] + 256u * (unsigned char)bytes[1] + 8 + 14 == n);
    for (int mounted = 0; mounted < 2 && bytes; mounted++) {
        peft_archive *a = NULL;
        if (mounted) check("mount", !peft_mount(ctx, "order.safetensors", bytes, n));
        check("open", !peft_archive_open(ctx, mounted ? "order.safetensors" : path, &a));
        const peft_tensor *f = peft_archive_find(a, "f"), *h = peft_archive_find(a, "h");
        check("floats come back", f && memcmp(f->data, floats, sizeof floats) == 0);
        check("halves come back", h && memcmp(h->data, halves, sizeof halves) == 0);
        peft_archive_close(a);
    }
    peft_free(ctx, bytes);
}

static void folders(void) {
    peft_model_desc m;
    peft_adapter_desc d;
    memset(&m, 0, sizeof m);
    memset(&d, 0, sizeof d);
    m.context = ctx, m.path = "tests/data/model";
    check("model", !peft_model_load(&m, &d.model));
    for (int time = 0; time < 2; time++) {  // new, then there already
        peft_adapter *a = NULL, *b = NULL;
        d.seed = 3;
        check("adapter", !peft_adapter_create(&d, &a));
        check("saved", !peft_adapter_save(a, FOLDER "/lora"));
        check("loaded", !peft_adapter_load(d.model, FOLDER "/lora", &b));
        const peft_tensor *x = peft_adapter_tensor(a, 0), *y = peft_adapter_tensor(b, 0);
        check("same weights", x && y && memcmp(x->data, y->data, peft_tensor_bytes(x)) == 0);
        peft_adapter_destroy(a);
        peft_adapter_destroy(b);
    }
    for (int k = 0; k < 3; k++) {  // what was written in each type of file comes back
        const char *const paths[3] = {FOLDER "/f32.gguf", FOLDER "/f16.gguf", FOLDER "/model"};
        peft_model *back = NULL;
        check(paths[k], !peft_model_save(d.model, paths[k], k == 1 ? PEFT_F16 : PEFT_F32));
        m.path = paths[k];
        check("loaded again", !peft_model_load(&m, &back));
        for (int64_t i = 0; back && i < peft_model_tensor_count(back); i++) {
            const peft_tensor *x = peft_model_tensor(d.model, i), *y = peft_model_tensor(back, i);
            bool same = x->rows == y->rows && x->cols == y->cols;
            for (int64_t j = 0; same && j < x->rows * x->cols; j++)
                same = fabs((double)peft__element(x->type, x->data, j) - (double)peft__element(y->type, y->data, j)) < 1e-2;
            check("the same weights in a file", same);
        }
        peft_model_destroy(back);
    }
    peft_model_destroy(d.model);
}

int main(void) {
    if (peft_context_create(NULL, &ctx)) return 1;
    peft__make_folder(ctx, "build");
    peft__make_folder(ctx, FOLDER);
    remove(FOLDER "/lora/adapter_config.json"), remove(FOLDER "/lora/adapter_model.safetensors");
#if PEFT__MMAP
    rmdir(FOLDER "/lora");
#elif defined(_WIN32)
    _rmdir(FOLDER "/lora");
#endif
    rounding();
    byte_order();
    folders();
    printf("memory %zu bytes\n", peft_memory_peak(ctx));
    peft_context_destroy(ctx);
    printf("test_portable: %d passed, %d failed, 0 skipped\n", passed, failed);
    return failed > 0;
}
