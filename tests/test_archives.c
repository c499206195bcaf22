// What the interface says of safetensors: files that are damaged, shards, values, writing; and the names of things.
#include "peft.h"
#include "check.h"
#include "text.h"
#if defined(_WIN32)
#include <direct.h>
#define MAKE_FOLDER(path) _mkdir(path)
#else
#include <sys/stat.h>
#define MAKE_FOLDER(path) mkdir(path, 0777)
#endif

#define FOLDER "build/archives_test"

static int passed, failed;
static peft_context *ctx;

static void check(bool ok, const char *what) {
    if (test_count(&passed, &failed, ok, what)) printf("FAIL %s (%s)\n", what, peft_error(ctx));
}

static void test_names(void) {
    for (int i = PEFT_OK; i <= PEFT_CANCELLED; i++) {
        const char *text = peft_status_text((peft_status)i);
        check(text && *text && strcmp(text, "unknown status") != 0, "status text");
        for (int k = PEFT_OK; k < i; k++) check(strcmp(text, peft_status_text((peft_status)k)) != 0, "status texts differ");
    }
    check(strcmp(peft_status_text((peft_status)(PEFT_CANCELLED + 1)), "unknown status") == 0, "status behind the last");
    check(strcmp(peft_simd_name(PEFT_SIMD_AUTO), "auto") == 0 && strcmp(peft_simd_name(PEFT_SIMD_AVX512), "avx512") == 0, "names of instruction sets");
    check(strcmp(peft_simd_name((peft_simd)(PEFT_SIMD_AVX512 + 1)), "unknown") == 0, "instruction set behind the last");
    check(strcmp(peft_dtype_name(PEFT_F32), "f32") == 0 && strcmp(peft_dtype_name(PEFT_FP4), "fp4") == 0, "names of types");
    check(strcmp(peft_dtype_name((peft_dtype)(PEFT_Q4 + 1)), "unknown") == 0, "type behind the last");
    check(strstr(peft_error(NULL), "no context") != NULL, "error of no context");
}

static void write_file(const char *path, const void *data, size_t n) {
    FILE *f = fopen(path, "wb");
    if (!f) return;
    fwrite(data, 1, n, f);
    fclose(f);
}

// ---- safetensors

static unsigned char *image;  // a file: header size, header, data
static size_t image_size;

static void make_image(const char *header, uint64_t claimed, size_t data) {
    size_t n = strlen(header);
    image = (unsigned char *)malloc(8 + n + data);
    image_size = 8 + n + data;
    if (!claimed) claimed = n;
    for (int i = 0; i < 8; i++) image[i] = (unsigned char)(claimed >> 8 * i);
    memcpy(image + 8, header, n);
    for (size_t i = 0; i < data; i++) image[8 + n + i] = (unsigned char)(i * 7);
}

// `text` NULL: it has to open. From memory and from a file.
static void archive_is(const char *what, const char *header, uint64_t claimed, size_t data, peft_status status, const char *text) {
    make_image(header, claimed, data);
    for (int file = 0; file < 2; file++) {
        const char *path = file ? FOLDER "/x.safetensors" : "x.safetensors";
        peft_context *c = NULL;
        peft_context_create(NULL, &c);
        if (file) write_file(path, image, image_size);
        else peft_mount(c, path, image, image_size);
        size_t before = peft_memory_in_use(c);
        peft_archive *a = (peft_archive *)&a;
        peft_status got = peft_archive_open(c, path, &a);
        bool ok = got == status && (status ? !a && strstr(peft_error(c), text) && strstr(peft_error(c), path) : a != NULL);
        check(ok, what);
        if (!ok) printf("  status %d, %s\n", (int)got, peft_error(c));
        peft_archive_close(a);
        check(peft_memory_in_use(c) == before, "an archive leaves nothing");
        peft_context_destroy(c);
    }
    remove(FOLDER "/x.safetensors");
    free(image);
}

#define T(dtype, shape, offsets) "{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":" offsets "}"

static void test_archive_errors(void) {
    archive_is("one tensor", "{\"a\":" T("F32", "[2,3]", "[0,24]") "}", 0, 24, PEFT_OK, NULL);
    archive_is("nothing in it", "{}", 0, 0, PEFT_OK, NULL);
    archive_is("only metadata", "{\"__metadata__\":{\"format\":\"pt\"}}", 0, 0, PEFT_OK, NULL);
    archive_is("all types", "{\"a\":" T("F32", "[1]", "[0,4]") ",\"b\":" T("BF16", "[2]", "[4,8]") ",\"c\":" T("I64", "[]", "[8,16]") ",\"d\":" T("BOOL", "[3]", "[16,19]") "}", 0,
               19, PEFT_OK, NULL);
    archive_is("a tensor of nothing", "{\"a\":" T("F32", "[0,5]", "[0,0]") "}", 0, 0, PEFT_OK, NULL);
    archive_is("any order", "{\"a\":" T("F32", "[1]", "[4,8]") ",\"b\":" T("F32", "[1]", "[0,4]") "}", 0, 8, PEFT_OK, NULL);
    archive_is("header cut off", "{\"a\":" T("F32", "[2,3]", "[0,24]") "}", 1000, 24, PEFT_ERROR_FORMAT, "a header of 1000 bytes");
    archive_is("absurd header", "{}", (uint64_t)1 << 63, 0, PEFT_ERROR_FORMAT, "a header of 9223372036854775808 bytes");
    archive_is("largest header", "{}", UINT64_MAX, 0, PEFT_ERROR_FORMAT, "a header of 18446744073709551615 bytes");
    archive_is("header of one byte", "{}", 1, 0, PEFT_ERROR_FORMAT, "a header of 1 bytes");
    archive_is("header too short for its JSON", "{\"a\":1}", 3, 0, PEFT_ERROR_FORMAT, "JSON");
    archive_is("not an object", "[]", 0, 0, PEFT_ERROR_FORMAT, "the header is no object");
    archive_is("a tensor that is a number", "{\"a\":1}", 0, 0, PEFT_ERROR_FORMAT, "tensor a lacks");
    archive_is("no dtype", "{\"a\":{\"shape\":[1],\"data_offsets\":[0,4]}}", 0, 4, PEFT_ERROR_FORMAT, "tensor a lacks");
    archive_is("no shape", "{\"a\":{\"dtype\":\"F32\",\"data_offsets\":[0,4]}}", 0, 4, PEFT_ERROR_FORMAT, "tensor a lacks");
    archive_is("no offsets", "{\"a\":{\"dtype\":\"F32\",\"shape\":[1]}}", 0, 4, PEFT_ERROR_FORMAT, "tensor a lacks");
    archive_is("one offset", "{\"a\":" T("F32", "[1]", "[0]") "}", 0, 4, PEFT_ERROR_FORMAT, "tensor a lacks");
    archive_is("offsets as text", "{\"a\":" T("F32", "[0]", "[\"0\",\"0\"]") "}", 0, 4, PEFT_ERROR_FORMAT, "tensor a lacks");
    archive_is("unknown dtype", "{\"a\":" T("F31", "[1]", "[0,4]") "}", 0, 4, PEFT_ERROR_FORMAT, "unknown dtype F31");
    archive_is("negative extent", "{\"a\":" T("F32", "[-1]", "[0,4]") "}", 0, 4, PEFT_ERROR_FORMAT, "tensor a has an impossible shape");
    archive_is("fractional extent", "{\"a\":" T("F32", "[1.5]", "[0,6]") "}", 0, 6, PEFT_ERROR_FORMAT, "impossible shape");
    archive_is("extent as text", "{\"a\":" T("F32", "[\"1\"]", "[0,4]") "}", 0, 4, PEFT_ERROR_FORMAT, "impossible shape");
    archive_is("a product that overflows", "{\"a\":" T("F32", "[4294967296,4294967296]", "[0,0]") "}", 0, 4, PEFT_ERROR_FORMAT, "impossible shape");
    archive_is("bytes that overflow", "{\"a\":" T("F32", "[2147483648,2147483648]", "[0,0]") "}", 0, 4, PEFT_ERROR_FORMAT, "impossible shape");
    archive_is("many extents that overflow", "{\"a\":" T("F32", "[65536,65536,65536,65536,1]", "[0,0]") "}", 0, 4, PEFT_ERROR_FORMAT, "impossible shape");
    archive_is("an infinite extent", "{\"a\":" T("F32", "[1e999]", "[0,4]") "}", 0, 4, PEFT_ERROR_FORMAT, "impossible shape");
    archive_is("offsets behind the end", "{\"a\":" T("F32", "[2]", "[0,8]") "}", 0, 7, PEFT_ERROR_FORMAT, "tensor a of 8 bytes claims offsets 0 to 8 of 7");
    archive_is("offsets far behind the end", "{\"a\":" T("F32", "[1]", "[1e15,1000000000000004]") "}", 0, 4, PEFT_ERROR_FORMAT, "tensor a of 4 bytes");
    archive_is("offsets of tiny numbers", "{\"a\":" T("F32", "[1]", "[1e-310,4]") "}", 0, 4, PEFT_ERROR_FORMAT, "tensor a of 4 bytes claims offsets 1e-310 to 4");
    archive_is("negative offset", "{\"a\":" T("F32", "[1]", "[-4,0]") "}", 0, 4, PEFT_ERROR_FORMAT, "tensor a of 4 bytes");
    archive_is("offsets the wrong way round", "{\"a\":" T("F32", "[1]", "[4,0]") "}", 0, 4, PEFT_ERROR_FORMAT, "tensor a of 4 bytes");
    archive_is("fractional offset", "{\"a\":" T("F32", "[1]", "[0.5,4.5]") "}", 0, 8, PEFT_ERROR_FORMAT, "tensor a of 4 bytes");
    archive_is("infinite offset", "{\"a\":" T("F32", "[1]", "[1e999,1e999]") "}", 0, 8, PEFT_ERROR_FORMAT, "tensor a of 4 bytes");
    archive_is("another size", "{\"a\":" T("F32", "[2]", "[0,4]") "}", 0, 8, PEFT_ERROR_FORMAT, "tensor a of 8 bytes");
    archive_is("twice the same name", "{\"a\":" T("F32", "[1]", "[0,4]") ",\"a\":" T("F32", "[1]", "[4,8]") "}", 0, 8, PEFT_ERROR_FORMAT, "tensor a is there twice");
    archive_is("overlap", "{\"a\":" T("F32", "[2]", "[0,8]") ",\"b\":" T("F32", "[1]", "[4,8]") "}", 0, 8, PEFT_ERROR_FORMAT, "tensors a and b overlap");
    archive_is("the same bytes twice", "{\"z\":" T("F32", "[1]", "[8,12]") ",\"a\":" T("F32", "[2]", "[0,8]") ",\"b\":" T("BF16", "[4]", "[0,8]") "}", 0, 12, PEFT_ERROR_FORMAT,
               "overlap");
    peft_archive *a = (peft_archive *)&a;
    check(peft_archive_open(ctx, NULL, &a) == PEFT_ERROR_ARGUMENT && !a, "no path");
    check(peft_archive_open(ctx, FOLDER, &a) == PEFT_ERROR_MISSING && !a && strstr(peft_error(ctx), "model.safetensors"), "a folder without weights");
    check(peft_archive_open(ctx, FOLDER "/none.safetensors", &a) == PEFT_ERROR_MISSING && !a, "no such file");
    peft_archive_close(NULL);
    // Every truncation of a good file, every byte of its header changed: an error or a result, but nothing else.
    make_image("{\"__metadata__\":{\"format\":\"pt\"},\"a\":" T("F32", "[2,3]", "[0,24]") ",\"b\":" T("F16", "[2]", "[24,28]") "}", 0, 28);
    for (size_t i = 0; i < image_size; i++)
        for (int how = 0; how < 3; how++) {
            unsigned char *copy = (unsigned char *)malloc(image_size + 1);
            size_t n = how ? image_size : i;
            memcpy(copy, image, n);
            if (how) copy[i] = (unsigned char)(how == 1 ? copy[i] ^ 1 : copy[i] + 128);
            peft_context *c = NULL;
            peft_context_create(NULL, &c);
            peft_mount(c, "y.safetensors", copy, n);
            size_t before = peft_memory_in_use(c);
            peft_status status = peft_archive_open(c, "y.safetensors", &a);
            if (!how) check(status == PEFT_ERROR_FORMAT, "a truncated file");
            check(status ? !a && *peft_error(c) : a != NULL, "a damaged file");
            peft_archive_close(a);
            check(peft_memory_in_use(c) == before, "a damaged file leaves nothing");
            peft_context_destroy(c);
            free(copy);
        }
    free(image);
}

static void test_archive_values(void) {
    make_image("{\"a\":" T("F32", "[2,3]", "[0,24]") ",\"odd\":" T("U8", "[1]", "[24,25]") ",\"b\":" T("F16", "[2]", "[25,29]") ",\"s\":" T("BF16", "[]", "[29,31]") ",\"i\":"
               T("I64", "[1]", "[31,39]") ",\"c\":" T("F32", "[2,1,3]", "[39,63]") ",\"z\":" T("F32", "[4,0]", "[63,63]") "}",
               0, 63);
    for (int file = 0; file < 2; file++) {
        const char *path = file ? FOLDER "/v.safetensors" : "v.safetensors";
        peft_context *c = NULL;
        peft_archive *a = NULL;
        peft_context_create(NULL, &c);
        if (file) write_file(path, image, image_size);
        else peft_mount(c, path, image, image_size);
        check(!peft_archive_open(c, path, &a) && peft_archive_count(a) == 7, "an archive");
        static const struct {
            const char *name;
            int64_t rows, cols, at;
            int rank;
            peft_dtype type;
        } want[] = {{"a", 2, 3, 0, 2, PEFT_F32}, {"odd", 1, 1, -1, 1, PEFT_F32}, {"b", 1, 2, 25, 1, PEFT_F16}, {"s", 1, 1, 29, 2, PEFT_BF16}, {"i", 1, 1, -1, 1, PEFT_F32},
                    {"c", 2, 3, 39, 2, PEFT_F32}, {"z", 4, 0, -1, 2, PEFT_F32}};
        for (int i = 0; i < 7 && a; i++) {
            const peft_tensor *t = peft_archive_at(a, i);
            check(t && t == peft_archive_find(a, want[i].name) && strcmp(t->name, want[i].name) == 0, "names");
            check(t->rows == want[i].rows && t->cols == want[i].cols && t->rank == want[i].rank && t->type == want[i].type, "shapes and types");
            size_t bytes = (size_t)(t->rows * t->cols) * (t->type == PEFT_F32 ? 4 : 2);
            check(want[i].at < 0 ? !t->data : t->data && (uintptr_t)t->data % (t->type == PEFT_F32 ? 4 : 2) == 0, "what can be computed with is aligned");
            bool same = true;  // the file's bytes are little-endian, the tensor's those of this machine
            const size_t width = t->type == PEFT_F32 ? 4 : 2;
            const uint16_t one = 1;
            for (size_t b = 0; t->data && b < bytes; b++)
                same = same && ((const unsigned char *)t->data)[*(const char *)&one ? b : b / width * width + width - 1 - b % width] == image[image_size - 63 + (size_t)want[i].at + b];
            check(same, "values");
        }
        check(!peft_archive_at(a, -1) && !peft_archive_at(a, 7) && !peft_archive_find(a, "") && !peft_archive_find(a, "d"), "no such tensor");
        peft_archive_close(a);
        peft_context_destroy(c);
    }
    remove(FOLDER "/v.safetensors");
    free(image);
}

static void test_shards(void) {
    static const char index[] = "{\"metadata\":{\"total_size\":16},\"weight_map\":{\"a\":\"m-1.safetensors\",\"b\":\"m-2.safetensors\",\"c\":\"m-1.safetensors\"}}";
    static const struct {
        const char *name, *index;
        peft_status status;
        const char *text;
    } bad[] = {{"not JSON", "{", PEFT_ERROR_FORMAT, "JSON"},
               {"no map", "{\"metadata\":{}}", PEFT_ERROR_FORMAT, "no weight_map"},
               {"a map that is a list", "{\"weight_map\":[]}", PEFT_ERROR_FORMAT, "no weight_map"},
               {"a file that is a number", "{\"weight_map\":{\"a\":1}}", PEFT_ERROR_FORMAT, "weight_map of a is not a file name"},
               {"a file elsewhere", "{\"weight_map\":{\"a\":\"../m-1.safetensors\"}}", PEFT_ERROR_FORMAT, "weight_map of a is not a file name"},
               {"a missing shard", "{\"weight_map\":{\"a\":\"m-1.safetensors\",\"b\":\"m-3.safetensors\"}}", PEFT_ERROR_MISSING, "m-3.safetensors"},
               {"an empty name", "{\"weight_map\":{\"a\":\"\"}}", PEFT_ERROR_IO, ""},
               {"a missing tensor", "{\"weight_map\":{\"a\":\"m-1.safetensors\",\"d\":\"m-1.safetensors\"}}", PEFT_ERROR_MISSING, "tensor d is not in m-1.safetensors"},
               {"a tensor in two shards", "{\"weight_map\":{\"a\":\"m-1.safetensors\",\"b\":\"m-4.safetensors\"}}", PEFT_ERROR_FORMAT, "tensor a is there twice"}};
    make_image("{\"a\":" T("F32", "[1]", "[0,4]") ",\"c\":" T("F32", "[1]", "[4,8]") "}", 0, 8);
    write_file(FOLDER "/m-1.safetensors", image, image_size);
    free(image);
    make_image("{\"b\":" T("F32", "[2]", "[0,8]") "}", 0, 8);
    write_file(FOLDER "/m-2.safetensors", image, image_size);
    free(image);
    make_image("{\"b\":" T("F32", "[1]", "[0,4]") ",\"a\":" T("F32", "[1]", "[4,8]") "}", 0, 8);
    write_file(FOLDER "/m-4.safetensors", image, image_size);
    free(image);
    write_file(FOLDER "/model.safetensors.index.json", index, sizeof index - 1);
    static const char *const paths[] = {FOLDER, FOLDER "/", FOLDER "/model.safetensors.index.json"};
    peft_archive *a = NULL;
    for (int i = 0; i < 3; i++) {
        check(!peft_archive_open(ctx, paths[i], &a) && peft_archive_count(a) == 3 && peft_archive_find(a, "b")->cols == 2 && peft_archive_find(a, "c"), "shards");
        peft_archive_close(a);
    }
    for (int i = 0; i < (int)(sizeof bad / sizeof *bad); i++) {
        write_file(FOLDER "/model.safetensors.index.json", bad[i].index, strlen(bad[i].index));
        size_t before = peft_memory_in_use(ctx);
        check(peft_archive_open(ctx, FOLDER, &a) == bad[i].status && !a && strstr(peft_error(ctx), bad[i].text), bad[i].name);
        check(peft_memory_in_use(ctx) == before, "bad shards leave nothing");
    }
    static const char *const files[] = {"m-1.safetensors", "m-2.safetensors", "m-4.safetensors", "model.safetensors.index.json"};
    for (int i = 0; i < 4; i++) {
        char path[100];
        snprintf(path, sizeof path, "%s/%s", FOLDER, files[i]);
        remove(path);
    }
}

static void test_writer(void) {
    static const char *const names[] = {"plain", "with \"quotes\" and \\", "caf\xC3\xA9\n", ""};
    peft_tensor *t[4];
    peft_rng rng;
    peft_rng_seed(&rng, 8);
    for (int i = 0; i < 4; i++) {
        peft_tensor_create(ctx, names[i], i == 1 ? 1 : 3, 5, &t[i]);
        for (int k = 0; k < t[i]->rows * t[i]->cols; k++) ((float *)t[i]->data)[k] = (float)peft_rng_normal(&rng);
        if (i == 1) t[i]->rank = 1;
        if (i == 2) t[i]->type = PEFT_BF16;
        if (i == 3) t[i]->type = PEFT_F16;
    }
    for (int count = 0; count <= 4; count++) {
        peft_archive *a = NULL;
        size_t before = peft_memory_in_use(ctx);
        check(!peft_safetensors_write(ctx, FOLDER "/w.safetensors", (const peft_tensor *const *)t, count), "writing");
        check(!peft_archive_open(ctx, FOLDER "/w.safetensors", &a) && peft_archive_count(a) == count, "reading it");
        for (int i = 0; i < count; i++) {
            const peft_tensor *r = peft_archive_at(a, i);
            check(strcmp(r->name, names[i]) == 0 && r->rows == t[i]->rows && r->cols == t[i]->cols && r->type == t[i]->type && (r->rank == 1) == (i == 1) &&
                      memcmp(r->data, t[i]->data, (size_t)(r->rows * r->cols) * (r->type == PEFT_F32 ? 4 : 2)) == 0,
                  "a tensor after a round trip");
        }
        peft_archive_close(a);
        check(peft_memory_in_use(ctx) == before, "writing leaves nothing");
    }
    t[2]->type = PEFT_NF4;
    check(peft_safetensors_write(ctx, FOLDER "/q.safetensors", (const peft_tensor *const *)t, 4) == PEFT_ERROR_ARGUMENT && !test_there(FOLDER "/q.safetensors") &&
              !test_there(FOLDER "/q.safetensors.part"),
          "a quantized tensor without its scales");
    t[2]->type = PEFT_F32;
    check(peft_safetensors_write(ctx, FOLDER "/no/w.safetensors", (const peft_tensor *const *)t, 4) == PEFT_ERROR_IO, "nowhere to write");
    for (int i = 0; i < 4; i++) peft_tensor_destroy(ctx, t[i]);
    remove(FOLDER "/w.safetensors");
}

int main(void) {
    setvbuf(stdout, NULL, _IOLBF, 0);  // what failed is seen even if a later test crashes
    peft_context_create(NULL, &ctx);
    MAKE_FOLDER("build"), MAKE_FOLDER(FOLDER);
    test_names();
    test_archive_errors();
    test_archive_values();
    test_shards();
    test_writer();
    check(peft_memory_in_use(ctx) == 0, "everything is given back");
    peft_context_destroy(ctx);
    printf("%d passed, %d failed\n", passed, failed);
    return failed != 0;
}
