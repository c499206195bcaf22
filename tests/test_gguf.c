// GGUF through the interface: files written and read back, ggml's block formats against decoders written here, damaged files.
#include "peft.h"
#define SCRATCH "test_gguf.tmp"
#include "gguf_file.h"
#include "text.h"

static void test_reading(void) {
    static bytes file;
    for (int version = 2; version <= 3; version++) {
        sound_file(&file, version);
        peft_gguf *g = open_bytes(&file);
        check("a sound file", g != NULL);
        if (!g) continue;
        check("string", strcmp(peft_gguf_string(g, "general.architecture", "?"), "llama") == 0 && peft_gguf_key_count(g) == 15);
        static const struct {
            const char *key;
            double value;
        } numbers[] = {{"u8", 200}, {"i8", -128}, {"u16", 65535},           {"i16", -2}, {"u32", 4294967295.0},
                       {"i32", -1}, {"f32", 1.5}, {"u64", 1099511627776.0}, {"i64", -5}, {"f64", 3.5}};
        for (int i = 0; i < 10; i++) check(numbers[i].key, peft_gguf_number(g, numbers[i].key, 0) == numbers[i].value);
        check("boolean", peft_gguf_bool(g, "true", false) && peft_gguf_bool(g, "false", true) && !peft_gguf_bool(g, "u8", false));
        check("of another kind", peft_gguf_number(g, "true", -7) == -7 && !peft_gguf_string(g, "u8", NULL) &&
                                     peft_gguf_number(g, "shorts", -7) == -7 && peft_gguf_array_count(g, "u8") == -1 &&
                                     peft_gguf_number(g, "words", 3) == 3);
        size_t n = 9;
        check("strings",
              peft_gguf_array_count(g, "words") == 3 && memcmp(peft_gguf_array_string(g, "words", 2, &n), "drei", 4) == 0 && n == 4);
        check("an empty string", peft_gguf_array_string(g, "words", 1, &n) && n == 0);
        check("beyond the array", !peft_gguf_array_string(g, "words", 3, &n) && !peft_gguf_array_string(g, "words", -1, &n) && n == 0);
        check("numbers", peft_gguf_array_number(g, "shorts", 1, 0) == -7 && peft_gguf_array_number(g, "shorts", 2, 5) == 5 &&
                             peft_gguf_array_number(g, "flags", 1, 5) == 1 && peft_gguf_array_number(g, "words", 1, 5) == 5);
        check("keys in order", strcmp(peft_gguf_key(g, 13), "shorts") == 0 && !peft_gguf_key(g, 15) && !peft_gguf_key(g, -1));
        const peft_gguf_tensor *m = peft_gguf_find(g, "matrix"), *b = peft_gguf_find(g, "block");
        check("tensors", peft_gguf_count(g) == 3 && m == peft_gguf_at(g, 0) && !peft_gguf_at(g, 3) && !peft_gguf_find(g, "matri"));
        check("a tensor",
              m->rank == 2 && m->dims[0] == 64 && m->dims[1] == 3 && m->dims[3] == 1 && m->type == PEFT_GGML_Q8_0 && m->size == 204);
        check("four dimensions", b->rank == 4 && b->dims[3] == 2 && b->size == 48 && strcmp(peft_ggml_type_name(b->type), "F16") == 0);
        float out[64];
        check("rows of all dimensions", peft_gguf_to_f32(g, 2, 0, 12, out) == PEFT_OK && peft_gguf_to_f32(g, 2, 11, 1, out) == PEFT_OK);
        check("no row", peft_gguf_to_f32(g, 2, 12, 0, out) == PEFT_OK);
        check("too many rows", peft_gguf_to_f32(g, 2, 11, 2, out) == PEFT_ERROR_ARGUMENT && strstr(peft_error(ctx), "block"));
        check("negative rows",
              peft_gguf_to_f32(g, 2, -1, 1, out) == PEFT_ERROR_ARGUMENT && peft_gguf_to_f32(g, 2, 0, -1, out) == PEFT_ERROR_ARGUMENT);
        check("overflowing rows", peft_gguf_to_f32(g, 2, 1, INT64_MAX, out) == PEFT_ERROR_ARGUMENT);
        check("no such tensor", peft_gguf_to_f32(g, 3, 0, 1, out) == PEFT_ERROR_ARGUMENT);
        peft_gguf_close(g);
    }
    peft_gguf_close(NULL);
}


#define NEW (b = (bytes *)calloc(1, sizeof(bytes)), kept[kept_count++] = b)

static void test_damage(void) {
    static bytes file;
    bytes *b, *kept[64];
    int kept_count = 0;
    sound_file(&file, 3);
    bool all = true;
    size_t before = peft_memory_in_use(ctx);
    // Mounts last as long as a context does, so every length gets a context of its own.
    for (size_t n = 0; n < file.size; n++) {
        peft_context *own;
        peft_gguf *g = NULL;
        unsigned char *copy = (unsigned char *)malloc(n ? n : 1);  // so that a sanitizer sees a read behind the end
        memcpy(copy, file.data, n);
        if (peft_context_create(NULL, &own)) exit(1);
        peft_mount(own, "cut", copy, n);
        size_t in_use = peft_memory_in_use(own);
        peft_status status = peft_gguf_open(own, "cut", &g);
        all = all && status == PEFT_ERROR_FORMAT && !g && peft_memory_in_use(own) == in_use && strstr(peft_error(own), "cut: ");
        peft_context_destroy(own);
        free(copy);
    }
    check("cut at every byte", all && peft_memory_in_use(ctx) == before);

    static const uint64_t huge[] = {1ull << 32, 1ull << 31, 1, 1}, negative[] = {1ull << 63, 1}, zero[] = {32, 0}, good[] = {32, 1},
                          odd[] = {33, 1};
    static const uint64_t wrap[] = {1ull << 40, 1ull << 40, 1ull << 40, 1ull << 40, 1};
    NEW, put_header(b, 3, 0, 0), b->data[0] = 'g', fails("magic", b, PEFT_ERROR_FORMAT, "not a GGUF");
    NEW, put_header(b, 1, 0, 0), fails("version 1", b, PEFT_ERROR_UNSUPPORTED, "version 1");
    NEW, put_header(b, 4, 0, 0), fails("version 4", b, PEFT_ERROR_UNSUPPORTED, "version 4");
    NEW, put_header(b, 3 << 24, 0, 0), fails("big-endian", b, PEFT_ERROR_UNSUPPORTED, "big-endian");
    NEW, put_header(b, 3, 0, UINT64_MAX), fails("2^64 keys", b, PEFT_ERROR_FORMAT, "keys");
    NEW, put_header(b, 3, UINT64_MAX, 0), fails("2^64 tensors", b, PEFT_ERROR_FORMAT, "tensors");
    NEW, put_header(b, 3, 1ull << 60, 1ull << 60), pad(b, 4096), fails("2^60 of both", b, PEFT_ERROR_FORMAT, "tensors");
    NEW, put_header(b, 3, 0, 3), pad(b, 32), fails("more keys than bytes", b, PEFT_ERROR_FORMAT, "3 keys");
    NEW, one_key(b, "k", 13, 0, 8), fails("unknown type", b, PEFT_ERROR_FORMAT, "key k has the unknown type 13");
    NEW, one_key(b, "k", -1, 0, 8), fails("type 2^32 - 1", b, PEFT_ERROR_FORMAT, "unknown type 4294967295");
    NEW, one_key(b, "k", PEFT_GGUF_BOOL, 2, 1), fails("neither true nor false", b, PEFT_ERROR_FORMAT, "key k");
    NEW, one_key(b, "k", PEFT_GGUF_STRING, 1 << 30, 8), fails("a string of 1 GiB", b, PEFT_ERROR_FORMAT, "key k");
    NEW, one_key(b, "k", PEFT_GGUF_STRING, UINT64_MAX - 7, 8), fails("a string of 2^64", b, PEFT_ERROR_FORMAT, "key k");
    NEW, put_header(b, 3, 0, 1), put_array(b, "k", PEFT_GGUF_U64, 1ull << 61), pad(b, 64),
        fails("an array of 2^64 bytes", b, PEFT_ERROR_FORMAT, "key k");
    NEW, put_header(b, 3, 0, 1), put_array(b, "k", PEFT_GGUF_STRING, 1ull << 60), pad(b, 64),
        fails("2^60 strings", b, PEFT_ERROR_FORMAT, "key k");
    NEW, put_header(b, 3, 0, 1), put_array(b, "k", PEFT_GGUF_ARRAY, 1ull << 60), pad(b, 64),
        fails("2^60 arrays", b, PEFT_ERROR_FORMAT, "key k");
    NEW, put_header(b, 3, 0, 1), put_array(b, "k", 14, 0), pad(b, 64), fails("an array of unknown type", b, PEFT_ERROR_FORMAT, "key k");
    NEW, put_header(b, 3, 0, 1), put_array(b, "k", PEFT_GGUF_BOOL, 2), put(b, 0x0301, 2), pad(b, 64),
        fails("an array of bad booleans", b, PEFT_ERROR_FORMAT, "key k");
    NEW, put_header(b, 3, 0, 1), put_array(b, "k", PEFT_GGUF_ARRAY, 1);
    for (int i = 0; i < 1000; i++) put(b, PEFT_GGUF_ARRAY, 4), put(b, 1, 8);
    fails("1000 arrays within each other", b, PEFT_ERROR_FORMAT, "array of arrays");
    NEW, one_key(b, "", PEFT_GGUF_U8, 0, 1), fails("an empty key", b, PEFT_ERROR_FORMAT, "key 0");
    NEW, one_key(b, "abc", PEFT_GGUF_U8, 0, 1), b->data[33] = 0, fails("a NUL in a key", b, PEFT_ERROR_FORMAT, "key 0");
    NEW, put_header(b, 3, 0, 2), put_key(b, "twin", 0), put(b, 0, 1), put_key(b, "twin", 0), put(b, 0, 1), pad(b, 32);
    fails("a key twice", b, PEFT_ERROR_FORMAT, "key twin is there twice");
    static const uint64_t alignments[] = {0, 1, 4, 33, 48, 1u << 30, 0xFFFFFFFF};
    for (int i = 0; i < 7; i++) {
        static char names[7][32];
        snprintf(names[i], sizeof names[i], "alignment %llu", (unsigned long long)alignments[i]);
        NEW, one_key(b, "general.alignment", PEFT_GGUF_U32, alignments[i], 4),
            fails(names[i], b, PEFT_ERROR_FORMAT, "general.alignment");
    }
    NEW, put_header(b, 3, 0, 1), put_key(b, "general.alignment", PEFT_GGUF_STRING), put_text(b, "32"), pad(b, 32);
    fails("alignment as text", b, PEFT_ERROR_FORMAT, "general.alignment");
    NEW, one_tensor(b, 2, huge, PEFT_GGML_F32, 0, 64), fails("2^63 values", b, PEFT_ERROR_FORMAT, "tensor w");
    NEW, one_tensor(b, 4, wrap, PEFT_GGML_F16, 0, 64), fails("2^160 values", b, PEFT_ERROR_FORMAT, "tensor w");
    NEW, one_tensor(b, 2, negative, PEFT_GGML_F32, 0, 64), fails("a negative dimension", b, PEFT_ERROR_FORMAT, "tensor w");
    NEW, one_tensor(b, 2, zero, PEFT_GGML_F32, 0, 64), fails("an empty dimension", b, PEFT_ERROR_FORMAT, "tensor w");
    NEW, one_tensor(b, 5, wrap, PEFT_GGML_F32, 0, 64), fails("five dimensions", b, PEFT_ERROR_FORMAT, "5 dimensions");
    NEW, one_tensor(b, 2, odd, PEFT_GGML_Q8_0, 0, 64), fails("a row of no whole blocks", b, PEFT_ERROR_FORMAT, "tensor w of type Q8_0");
    NEW, one_tensor(b, 2, good, 4, 0, 64), fails("a type of the past", b, PEFT_ERROR_UNSUPPORTED, "unknown type 4");
    NEW, one_tensor(b, 2, good, 99, 0, 64), fails("a type of the future", b, PEFT_ERROR_UNSUPPORTED, "unknown type 99");
    NEW, one_tensor(b, 2, good, -1, 0, 64), fails("a negative type", b, PEFT_ERROR_UNSUPPORTED, "unknown type 4294967295");
    NEW, one_tensor(b, 2, good, PEFT_GGML_Q8_0, 16, 96), fails("offset not aligned", b, PEFT_ERROR_FORMAT, "offset 16");
    NEW, one_tensor(b, 2, good, PEFT_GGML_Q8_0, 64, 96), fails("offset too far", b, PEFT_ERROR_FORMAT, "offset 64");
    NEW, put_header(b, 3, 2, 0), put_info(b, "v", 2, good, PEFT_GGML_F32, 0), put_info(b, "w", 2, good, PEFT_GGML_F32, 0), pad(b, 32);
    for (int i = 0; i < 160; i++) put(b, 0, 1);
    fails("tensors upon each other", b, PEFT_ERROR_FORMAT, "the tensors up to w");
    NEW, one_tensor(b, 2, good, PEFT_GGML_Q8_0, UINT64_MAX - 31, 96), fails("offset 2^64", b, PEFT_ERROR_FORMAT, "tensor w");
    NEW, one_tensor(b, 2, good, PEFT_GGML_Q8_0, 0, 33), fails("a byte too few", b, PEFT_ERROR_FORMAT, "33 bytes");
    NEW, put_header(b, 3, 2, 0), put_info(b, "w", 2, good, 0, 0), put_info(b, "w", 2, good, 0, 0), pad(b, 32);
    fails("a tensor twice", b, PEFT_ERROR_FORMAT, "tensor w is there twice");
    peft_gguf *g = NULL;
    check("no path", peft_gguf_open(ctx, NULL, &g) == PEFT_ERROR_ARGUMENT && peft_gguf_open(ctx, "", &g) == PEFT_ERROR_ARGUMENT && !g);
    check("no file", peft_gguf_open(ctx, "nowhere.gguf", &g) == PEFT_ERROR_MISSING && strstr(peft_error(ctx), "nowhere.gguf"));
    check("what is just sound", (NEW, one_tensor(b, 2, good, PEFT_GGML_Q8_0, 0, 34), g = open_bytes(b)) != NULL);
    peft_gguf_close(g);
    check("nothing at all",
          (NEW, put_header(b, 3, 0, 0), g = open_bytes(b)) != NULL && peft_gguf_count(g) == 0 && peft_gguf_key_count(g) == 0);
    peft_gguf_close(g);

    peft_rng r;
    peft_rng_seed(&r, 3);
    for (int round = 0; round < 3000; round++) {
        peft_context *own;
        bytes noisy = file;
        for (int k = random_below(&r, 4); k >= 0; k--)
            noisy.data[random_below(&r, (int)file.size - 200)] ^= (unsigned char)(1 << random_below(&r, 8));
        if (peft_context_create(NULL, &own)) exit(1);
        peft_mount(own, "noise", noisy.data, noisy.size);
        if (peft_gguf_open(own, "noise", &g) == PEFT_OK) {
            for (int64_t i = 0; i < peft_gguf_count(g); i++) {
                float row[512];
                if (peft_gguf_at(g, i)->dims[0] <= 512) peft_gguf_to_f32(g, i, 0, 1, row);
            }
            peft_gguf_close(g);
        }
        peft_context_destroy(own);
    }
    check("noise", true);
    peft_context_destroy(ctx);  // its mounts end here
    if (peft_context_create(NULL, &ctx)) exit(1);
    while (kept_count) free(kept[--kept_count]);
}
// ---- block formats: value i of a block, by ggml's documented layout, each computed alone and in double

static double half(const unsigned char *b) {
    int bits = b[0] | b[1] << 8, exponent = bits >> 10 & 31, mantissa = bits & 1023;
    double v = exponent ? ldexp(1024 + mantissa, exponent - 25) : ldexp(mantissa, -24);
    return bits & 0x8000 ? -v : v;
}

static int nibble(const unsigned char *q, int i, int span) {  // runs of `span` low nibbles, then as many high ones
    unsigned char byte = q[i / (2 * span) * span + i % span];
    return i / span % 2 ? byte >> 4 : byte & 15;
}

static int bit(const unsigned char *b, int i) {
    return b[i / 8] >> i % 8 & 1;
}

// Bits of the 12 bytes that hold Q4_K's and Q5_K's 6-bit numbers, k = 0 to 7.
static int six(const unsigned char *s, int k, bool minimum) {
    if (k < 4) return s[k + (minimum ? 4 : 0)] % 64;
    int low = minimum ? s[k + 4] / 16 : s[k + 4] % 16, high = s[minimum ? k : k - 4] / 64;
    return high * 16 + low;
}

static double real(const unsigned char *b, int bytes) {  // f32, or its upper half
    uint32_t u = 0;
    float f;
    for (int i = 0; i < bytes; i++) u |= (uint32_t)b[i] << 8 * (i + 4 - bytes);
    memcpy(&f, &u, 4);
    return (double)f;
}

static double value(int type, const unsigned char *b, int i) {
    static const int iq4[] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};
    switch (type) {
    case PEFT_GGML_F32: return real(b + 4 * i, 4);
    case PEFT_GGML_F16: return half(b + 2 * i);
    case PEFT_GGML_BF16: return real(b + 2 * i, 2);
    case PEFT_GGML_Q8_0: return half(b) * (signed char)b[2 + i];
    case PEFT_GGML_Q4_0: return half(b) * (nibble(b + 2, i, 16) - 8);
    case PEFT_GGML_Q4_1: return half(b) * nibble(b + 4, i, 16) + half(b + 2);
    case PEFT_GGML_Q5_0: return half(b) * (nibble(b + 6, i, 16) + 16 * bit(b + 2, i) - 16);
    case PEFT_GGML_Q5_1: return half(b) * (nibble(b + 8, i, 16) + 16 * bit(b + 4, i)) + half(b + 2);
    case PEFT_GGML_IQ4_NL: return half(b) * iq4[nibble(b + 2, i, 16)];
    case PEFT_GGML_Q4_K: return half(b) * six(b + 4, i / 32, false) * nibble(b + 16, i, 32) - half(b + 2) * six(b + 4, i / 32, true);
    case PEFT_GGML_Q5_K: {
        int q = nibble(b + 48, i, 32) + 16 * (b[16 + i % 32] >> i / 32 & 1);
        return half(b) * six(b + 4, i / 32, false) * q - half(b + 2) * six(b + 4, i / 32, true);
    }
    case PEFT_GGML_Q6_K: {
        int part = i / 128, within = i % 128;
        unsigned char low = b[part * 64 + within % 64], high = b[128 + part * 32 + within % 32];
        int q = (within < 64 ? low & 15 : low >> 4) + 16 * (high >> within / 32 * 2 & 3);
        return half(b + 208) * (signed char)b[192 + i / 16] * (q - 32);
    }
    case PEFT_GGML_IQ4_XS: {
        int k = i / 32, s = nibble(b + 4, k, 1) + 16 * (bit(b + 2, 2 * k) + 2 * bit(b + 2, 2 * k + 1));
        return half(b) * (s - 32) * iq4[nibble(b + 8 + 16 * k, i % 32, 16)];
    }
    case PEFT_GGML_MXFP4: {
        static const double fp4[] = {0, 0.5, 1, 1.5, 2, 3, 4, 6};
        int q = nibble(b + 1, i, 16);
        return ldexp(q & 8 ? -fp4[q & 7] : fp4[q], b[0] - 127);
    }
    case PEFT_GGML_Q2_K: {
        int q = b[16 + i / 128 * 32 + i % 32] >> i % 128 / 32 * 2 & 3, s = b[i / 16];
        return half(b + 80) * (s % 16) * q - half(b + 82) * (s / 16);
    }
    case PEFT_GGML_Q3_K: {
        int q = (b[32 + i / 128 * 32 + i % 32] >> i % 128 / 32 * 2 & 3) + 4 * bit(b + i % 32, i / 32), k = i / 16;
        int s = (k < 8 ? b[96 + k] & 15 : b[88 + k] >> 4) + 16 * (b[104 + k % 4] >> k / 4 * 2 & 3);
        return half(b + 108) * (s - 32) * (q - 4);
    }
    default: return real(b, 4) * (signed char)b[4 + i];  // Q8_K
    }
}

// Of out [n], as IEEE 754 bits from the lowest byte on: FNV-1a.
static uint64_t hash_of(const float *x, int n) {
    uint64_t h = 0xCBF29CE484222325u;
    for (int i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, x + i, 4);
        for (int k = 0; k < 32; k += 8) h = (h ^ (bits >> k & 255)) * 0x100000001B3u;
    }
    return h;
}

static void test_formats(void) {
    enum { COUNT = 18 };
    static const struct {
        int type, block, size, d, m;  // values and bytes of a block; where a half's (F32, Q8_K: a float's) sign and exponent are
        uint64_t golden;              // of what Python's package gguf makes of the same bytes; 0: it does not read this format
    } formats[COUNT] = {
        {PEFT_GGML_F32, 1, 4, 3, 3, 0x303E96796C5FFBAFu},
        {PEFT_GGML_F16, 1, 2, 1, 1, 0x455A7B23E5D22E0Bu},
        {PEFT_GGML_BF16, 1, 2, 1, 1, 0xD18702817E9F4F4Au},
        {PEFT_GGML_Q4_0, 32, 18, 1, 1, 0xE3221E749E9CBAA6u},
        {PEFT_GGML_Q4_1, 32, 20, 1, 3, 0xD79F80318A86753Fu},
        {PEFT_GGML_Q5_0, 32, 22, 1, 1, 0x2EB7BFEE6F689A3Fu},
        {PEFT_GGML_Q5_1, 32, 24, 1, 3, 0xEA1698A2F0A3A065u},
        {PEFT_GGML_Q8_0, 32, 34, 1, 1, 0x78DC8F0DE42D1CE6u},
        {PEFT_GGML_Q4_K, 256, 144, 1, 3, 0xD4881DCC72C47C7Cu},
        {PEFT_GGML_Q5_K, 256, 176, 1, 3, 0x021998E31A129922u},
        {PEFT_GGML_Q6_K, 256, 210, 209, 209, 0x1AC233F5C0602869u},
        {PEFT_GGML_Q8_K, 256, 292, 3, 3, 0},
        {PEFT_GGML_IQ4_NL, 32, 18, 1, 1, 0x840BBAF3D4E14125u},
        {PEFT_GGML_Q2_K, 256, 84, 81, 83, 0x2F05BC105605ADF0u},
        {PEFT_GGML_Q3_K, 256, 110, 109, 109, 0xC4A7C82AAFDB7A44u},
        {PEFT_GGML_IQ3_S, 256, 110, 1, 1, 0xAA0879FCBABB420Bu},
        {PEFT_GGML_IQ4_XS, 256, 136, 1, 1, 0xCC256DA40E497924u},
        {PEFT_GGML_MXFP4, 32, 17, 0, 0, 0x6BA2AA59AA34C188u}};
    static bytes files[COUNT];
    peft_rng r;
    peft_rng_seed(&r, 11);
    for (int k = 0; k < COUNT; k++) {
        const int type = formats[k].type;
        const char *name = peft_ggml_type_name(type);
        uint64_t dims[] = {512, 7};
        const bool whole = formats[k].block == 1;  // a row counts as one block
        int block = whole ? 512 : formats[k].block, size = formats[k].size * (whole ? 512 : 1), blocks = 512 / block;
        put_header(&files[k], 3, 1, 0);
        put_info(&files[k], "w", 2, dims, type, 0);
        pad(&files[k], 32);
        size_t start = files[k].size;
        for (int i = 0; i < 7 * blocks * size; i++) put(&files[k], (uint64_t)random_below(&r, 256), 1);
        // Scales are finite, small ones and zero among them; whole floats have no NaN. MXFP4's are powers of two.
        for (int i = 0; i < 7 * blocks; i++) {
            unsigned char *b = files[k].data + start + i * size;
            for (int at = 0; at < size; at += formats[k].size) b[at + formats[k].d] &= 0xBB, b[at + formats[k].m] &= 0xBB;
        }
        peft_gguf *g = open_bytes(&files[k]);
        static float out[7 * 512], part[2 * 512];
        bool same = g && peft_gguf_to_f32(g, 0, 0, 7, out) == PEFT_OK;
        for (int i = 0; i < 7 * 512 && same && type != PEFT_GGML_IQ3_S; i++) {  // whose list of values only the golden number has
            double want = value(type, files[k].data + start + i / block * size, i % block);
            same = out[i] == (float)want && want - want == 0;
            if (!same) printf("  %s value %d: %g, expected %g\n", name, i, (double)out[i], want);
        }
        check(name, same);
        check("the reference's bits", same && (!formats[k].golden || hash_of(out, 7 * 512) == formats[k].golden));
        check("two rows of seven", g && peft_gguf_to_f32(g, 0, 4, 2, part) == PEFT_OK && memcmp(part, out + 4 * 512, sizeof part) == 0);
        peft_gguf_close(g);
    }
    static bytes other;
    uint64_t dims[] = {256, 1};
    one_tensor(&other, 2, dims, 16, 0, 66);
    peft_gguf *g = open_bytes(&other);
    float out[256];
    check("a format that is only skipped",
          g && peft_gguf_to_f32(g, 0, 0, 1, out) == PEFT_ERROR_UNSUPPORTED && strstr(peft_error(ctx), "IQ2_XXS, which is not read: let llama-quantize"));
    check("names of formats", strcmp(peft_ggml_type_name(12), "Q4_K") == 0 && strcmp(peft_ggml_type_name(4), "unknown") == 0 &&
                                  strcmp(peft_ggml_type_name(-1), "unknown") == 0 && strcmp(peft_ggml_type_name(1000), "unknown") == 0);
    peft_gguf_close(g);
}

// Rows are shared out among threads.
static void test_threads(void) {
#if defined(PEFT_USE_PTHREADS)
    static bytes file;
    static float one[3500 * 32], many[3500 * 32];
    const uint64_t dims[] = {32, 3500};
    peft_context_desc d;
    peft_context *kept = ctx;
    peft_rng r;
    memset(&d, 0, sizeof d);
    d.threads = 3;
    peft_rng_seed(&r, 6);
    put_header(&file, 3, 1, 0);
    put_info(&file, "w", 2, dims, PEFT_GGML_Q4_0, 0);
    pad(&file, 32);
    for (int i = 0; i < 3500 * 18; i++) put(&file, (uint64_t)(random_below(&r, 256) & 0xBB), 1);
    peft_gguf *g = open_bytes(&file);
    bool ok = g && peft_gguf_to_f32(g, 0, 0, 3500, one) == PEFT_OK && peft_context_create(&d, &ctx) == PEFT_OK;
    peft_gguf_close(g);
    g = open_bytes(&file);
    check("with three threads", ok && g && peft_gguf_to_f32(g, 0, 0, 3500, many) == PEFT_OK && memcmp(one, many, sizeof one) == 0);
    peft_gguf_close(g);
    peft_context_destroy(ctx);
    ctx = kept;
#endif
}

// ---- writing

static void test_writing(void) {
    static const int types[] = {PEFT_GGML_F32, PEFT_GGML_F16, PEFT_GGML_BF16, PEFT_GGML_Q8_0, PEFT_GGML_Q4_0};
    static const double bound[] = {0, 1.0 / 1024, 1.0 / 128, 4.0 / 127, 4.0 / 8 + 0.01};  // of the error, for values below 4
    static const char *const words[] = {"a", "", "\xC3\xA9"};
    static const double numbers[] = {-1, 0, 1e6};
    peft_gguf_writer *w = NULL;
    peft_tensor *m = random_tensor("m", 5, 96, 1), *v = random_tensor("v", 1, 33, 2);
    char name[32];
    check("writer", peft_gguf_writer_create(ctx, &w) == PEFT_OK);
    bool ok = peft_gguf_set_string(w, "general.architecture", "llama") == PEFT_OK &&
              peft_gguf_set_number(w, "n", PEFT_GGUF_U32, 4294967295.0) == PEFT_OK &&
              peft_gguf_set_number(w, "f", PEFT_GGUF_F32, 1e-5) == PEFT_OK &&
              peft_gguf_set_number(w, "b", PEFT_GGUF_BOOL, 1) == PEFT_OK &&
              peft_gguf_set_number(w, "i", PEFT_GGUF_I64, -9007199254740992.0) == PEFT_OK &&
              peft_gguf_set_number(w, "d", PEFT_GGUF_F64, 0.1) == PEFT_OK && peft_gguf_set_strings(w, "words", words, 3) == PEFT_OK &&
              peft_gguf_set_numbers(w, "numbers", PEFT_GGUF_I32, numbers, 3) == PEFT_OK &&
              peft_gguf_set_numbers(w, "none", PEFT_GGUF_U8, NULL, 0) == PEFT_OK;
    check("metadata", ok);
    check("key twice", peft_gguf_set_string(w, "n", "x") == PEFT_ERROR_ARGUMENT && strstr(peft_error(ctx), "key n"));
    check("empty key",
          peft_gguf_set_string(w, "", "x") == PEFT_ERROR_ARGUMENT && peft_gguf_set_string(w, NULL, "x") == PEFT_ERROR_ARGUMENT);
    static const struct {
        peft_gguf_type type;
        double low, high;  // the first values that do not fit
    } ranges[] = {{PEFT_GGUF_U8, -1, 256},        {PEFT_GGUF_I8, -129, 128},         {PEFT_GGUF_U16, -1, 65536},
                  {PEFT_GGUF_I16, -32769, 32768}, {PEFT_GGUF_U32, -1, 4294967296.0}, {PEFT_GGUF_I32, -2147483649.0, 2147483648.0},
                  {PEFT_GGUF_U64, -1, 1e16},      {PEFT_GGUF_I64, -1e16, 1e16},      {PEFT_GGUF_BOOL, -1, 2}};
    for (int i = 0; i < 9; i++) {
        ok = peft_gguf_set_number(w, "bad", ranges[i].type, ranges[i].low) == PEFT_ERROR_ARGUMENT &&
             peft_gguf_set_number(w, "bad", ranges[i].type, ranges[i].high) == PEFT_ERROR_ARGUMENT &&
             peft_gguf_set_number(w, "bad", ranges[i].type, 0.5) == PEFT_ERROR_ARGUMENT;
        check("numbers out of range", ok);
    }
    check("no number type", peft_gguf_set_number(w, "bad", PEFT_GGUF_STRING, 0) == PEFT_ERROR_ARGUMENT &&
                                peft_gguf_set_number(w, "bad", (peft_gguf_type)13, 0) == PEFT_ERROR_ARGUMENT);
    for (int k = 0; k < 5; k++) {
        snprintf(name, sizeof name, "m.%d", k);
        check("add", peft_gguf_add(w, name, m, (peft_ggml_type)types[k]) == PEFT_OK);
    }
    check("a vector", peft_gguf_add(w, "v", v, PEFT_GGML_F32) == PEFT_OK);
    check("name twice", peft_gguf_add(w, "v", v, PEFT_GGML_F32) == PEFT_ERROR_ARGUMENT && strstr(peft_error(ctx), "tensor v"));
    check("name of 64 bytes", peft_gguf_add(w, "0123456789012345678901234567890123456789012345678901234567890123", v, PEFT_GGML_F32) ==
                                  PEFT_ERROR_ARGUMENT);
    check("no whole blocks", peft_gguf_add(w, "x", v, PEFT_GGML_Q8_0) == PEFT_ERROR_SHAPE && strstr(peft_error(ctx), "tensor x"));
    check("a type without a quantizer", peft_gguf_add(w, "x", m, PEFT_GGML_Q6_K) == PEFT_ERROR_UNSUPPORTED);
    check("write", peft_gguf_write(w, scratch()) == PEFT_OK);
    peft_gguf *g = NULL;
    check("read back", peft_gguf_open(ctx, scratch(), &g) == PEFT_OK && peft_gguf_count(g) == 6 && peft_gguf_key_count(g) == 9);
    if (g) {
        size_t n;
        check("metadata back", strcmp(peft_gguf_string(g, "general.architecture", ""), "llama") == 0 &&
                                   peft_gguf_number(g, "n", 0) == 4294967295.0 && peft_gguf_number(g, "f", 0) == (double)1e-5f &&
                                   peft_gguf_bool(g, "b", false) && peft_gguf_number(g, "i", 0) == -9007199254740992.0 &&
                                   peft_gguf_number(g, "d", 0) == 0.1 && peft_gguf_array_count(g, "none") == 0);
        check("arrays back", peft_gguf_array_count(g, "words") == 3 &&
                                 memcmp(peft_gguf_array_string(g, "words", 2, &n), "\xC3\xA9", 2) == 0 && n == 2 &&
                                 peft_gguf_array_number(g, "numbers", 0, 0) == -1 && peft_gguf_array_number(g, "numbers", 2, 0) == 1e6);
        float out[5 * 96];
        for (int k = 0; k < 5; k++) {
            const peft_gguf_tensor *t = peft_gguf_at(g, k);
            double worst = 0;
            check("shape back",
                  t->rank == 2 && t->dims[0] == 96 && t->dims[1] == 5 && t->type == types[k] && (uintptr_t)t->data % 32 == 0);
            check("decode", peft_gguf_to_f32(g, k, 0, 5, out) == PEFT_OK);
            for (int i = 0; i < 5 * 96; i++) worst = fmax(worst, fabs((double)out[i] - (double)((float *)m->data)[i]));
            check(peft_ggml_type_name(types[k]), worst <= bound[k] && (k == 0 || worst > 0));
        }
        check("vector back",
              peft_gguf_at(g, 5)->rank == 1 && peft_gguf_to_f32(g, 5, 0, 1, out) == PEFT_OK && memcmp(out, v->data, 33 * 4) == 0);
        peft_gguf_close(g);
    }
    check("a folder that is not there",
          peft_gguf_write(w, "no/such/folder.gguf") == PEFT_ERROR_IO && strstr(peft_error(ctx), "no/such/folder.gguf"));
    // Values that a format cannot hold: the file that is there stays.
    static const float bad[] = {NAN, INFINITY, -INFINITY, 70000.0f, 9e6f, 6e5f};
    for (int i = 0; i < 6; i++) {
        peft_gguf_writer *one = NULL;
        ((float *)m->data)[200] = bad[i];
        for (int k = 1; k < 5; k++) {
            bool refused = types[k] != PEFT_GGML_BF16 && (i < 3 || (i == 3 && k == 1) || i == 4 || (i == 5 && k != 3));
            peft_gguf_writer_create(ctx, &one);
            peft_gguf_add(one, "w", m, (peft_ggml_type)types[k]);
            peft_status status = peft_gguf_write(one, scratch());
            check("values that do not fit",
                  refused ? status == PEFT_ERROR_NUMERIC && strstr(peft_error(ctx), "tensor w, row 2") : status == PEFT_OK);
            peft_gguf_writer_destroy(one);
        }
    }
    peft_gguf_writer_destroy(w);
    peft_gguf_writer_destroy(NULL);
    peft_tensor_destroy(ctx, m), peft_tensor_destroy(ctx, v);
    remove(scratch());
    char part[64];
    snprintf(part, sizeof part, "%s.part", scratch());
    check("no half file is left", !test_there(part));
}

int main(void) {
    if (peft_context_create(NULL, &ctx)) return 1;
    test_reading();
    test_damage();
    test_formats();
    test_threads();
    test_writing();
    peft_context_destroy(ctx);
    printf("test_gguf: %d passed, %d failed, %d skipped\n", passed, failed, skipped);
    return failed != 0;
}
