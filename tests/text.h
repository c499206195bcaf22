// A text that grows, and what tests ask of the file system.
#ifndef TESTS_TEXT_H
#define TESTS_TEXT_H
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct test_text {
    char *data;
    size_t size;
} test_text;

static inline void test_text_format(test_text *t, const char *format, ...) {
    va_list arguments, again;
    va_start(arguments, format);
    va_copy(again, arguments);
    int n = vsnprintf(NULL, 0, format, again);
    t->data = (char *)realloc(t->data, t->size + (size_t)n + 1);
    vsnprintf(t->data + t->size, (size_t)n + 1, format, arguments);
    t->size += (size_t)n;
    va_end(again);
    va_end(arguments);
}

// The whole file, with a NUL behind it, to be freed; NULL: it cannot be read.
static inline char *test_read(const char *path, size_t *size) {
    FILE *f = fopen(path, "rb");
    long n = f && !fseek(f, 0, SEEK_END) ? ftell(f) : -1;
    char *text = n >= 0 ? (char *)calloc((size_t)n + 1, 1) : NULL;
    if (text && (fseek(f, 0, SEEK_SET) || fread(text, 1, (size_t)n, f) != (size_t)n)) free(text), text = NULL;
    if (f) fclose(f);
    if (size && text) *size = (size_t)n;
    return text;
}

static inline int test_there(const char *path) {
    FILE *f = fopen(path, "rb");
    if (f) fclose(f);
    return f != NULL;
}

// Where a test may write a folder of its own, which it removes again.
static inline const char *scratch_folder(void) {
    static char path[512];
    const char *base = getenv("TMPDIR");
    snprintf(path, sizeof(path), "%s/peft_golden_%ld", base && *base ? base : "/tmp", (long)getpid());
    return path;
}

// Removes what an adapter that was saved there left.
static inline void remove_scratch(void) {
    static const char *const names[] = {"adapter_config.json", "adapter_model.safetensors", "README.md"};
    char path[600];
    for (int i = 0; i < 3; i++) snprintf(path, sizeof(path), "%s/%s", scratch_folder(), names[i]), remove(path);
    rmdir(scratch_folder());
}

#endif
