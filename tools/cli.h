// What the command line programs share: options from a table, messages, JSON and progress output.
#ifndef PEFT_CLI_H
#define PEFT_CLI_H

#include <ctype.h>
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#if defined(__unix__) || defined(__APPLE__)
#include <sys/stat.h>
#include <unistd.h>
#endif

#define COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))

// Exit codes
enum { EXIT_OK = 0, EXIT_DATA = 1, EXIT_USAGE = 2, EXIT_MEMORY = 3, EXIT_LIMIT = 4, EXIT_INTERRUPTED = 130 };

static inline int exit_code_of(peft_status status) {
    switch (status) {
    case PEFT_OK: return EXIT_OK;
    case PEFT_ERROR_ARGUMENT: return EXIT_USAGE;
    case PEFT_ERROR_MEMORY: return EXIT_MEMORY;
    case PEFT_ERROR_UNSUPPORTED: return EXIT_LIMIT;
    case PEFT_CANCELLED: return EXIT_INTERRUPTED;
    default: return EXIT_DATA;
    }
}

// ---- options

typedef enum option_kind { OPTION_FLAG, OPTION_INT, OPTION_REAL, OPTION_TEXT, OPTION_TEXTS } option_kind;

typedef struct texts {
    const char **items;
    int count;
} texts;

typedef struct option {
    const char *name;  // without the dashes
    option_kind kind;
    void *into;        // bool, int64_t, double, const char *, texts
    const char *value, *help;  // what --help prints
} option;

static inline bool texts_add(texts *list, const char *text) {
    const char **grown = (const char **)realloc(list->items, (size_t)(list->count + 1) * sizeof(char *));
    if (!grown) return false;
    list->items = grown;
    list->items[list->count++] = text;
    return true;
}

// Edit distance, for "did you mean".
static inline int distance(const char *a, const char *b) {
    int n = (int)strlen(a), m = (int)strlen(b), row[64];
    if (m > 60) return 99;
    for (int j = 0; j <= m; j++) row[j] = j;
    for (int i = 1; i <= n; i++) {
        int diagonal = row[0];
        row[0] = i;
        for (int j = 1; j <= m; j++) {
            int up = row[j], least = diagonal + (a[i - 1] != b[j - 1]);
            if (up + 1 < least) least = up + 1;
            if (row[j - 1] + 1 < least) least = row[j - 1] + 1;
            diagonal = up;
            row[j] = least;
        }
    }
    return row[m];
}

static inline bool option_set(const char *command, const option *o, const char *value) {
    char *end = NULL;
    errno = 0;
    switch (o->kind) {
    case OPTION_FLAG: *(bool *)o->into = true; return true;
    case OPTION_TEXT: *(const char **)o->into = value; return true;
    case OPTION_TEXTS: return texts_add((texts *)o->into, value);
    case OPTION_INT: *(int64_t *)o->into = strtoll(value, &end, 10); break;
    case OPTION_REAL: *(double *)o->into = strtod(value, &end); break;
    }
    if (*value && !*end && !errno) return true;
    fprintf(stderr, "peft %s: --%s takes a number, not \"%s\"\n", command, o->name, value);
    return false;
}

static inline const option *option_find(const char *command, const option *options, int count, const char *name, size_t n) {
    const option *nearest = NULL;
    int least = 4;
    char asked[64] = {0};
    memcpy(asked, name, n < 63 ? n : 63);
    for (int i = 0; i < count; i++) {
        if (strlen(options[i].name) == n && memcmp(options[i].name, name, n) == 0) return &options[i];
        int d = distance(asked, options[i].name);
        if (d < least) least = d, nearest = &options[i];
    }
    fprintf(stderr, "peft %s: there is no option --%s", command, asked);
    if (nearest) fprintf(stderr, " (did you mean --%s?)", nearest->name);
    fprintf(stderr, "; see peft %s --help\n", command);
    return NULL;
}

// Splits the arguments into options and the rest. False: a message was printed.
static inline bool options_parse(const char *command, int argc, char **argv, const option *options, int count, texts *rest) {
    bool only_rest = false;
    for (int i = 0; i < argc; i++) {
        const char *a = argv[i];
        if (!only_rest && strcmp(a, "-h") == 0) a = "--help";
        if (only_rest || a[0] != '-' || a[1] != '-') {
            if (!texts_add(rest, a)) return false;
            continue;
        }
        if (!a[2]) {
            only_rest = true;
            continue;
        }
        const char *equals = strchr(a, '=');
        size_t n = equals ? (size_t)(equals - a - 2) : strlen(a) - 2;
        const option *o = option_find(command, options, count, a + 2, n);
        if (!o) return false;
        if (o->kind == OPTION_FLAG && equals) {
            fprintf(stderr, "peft %s: --%s takes no value\n", command, o->name);
            return false;
        }
        if (o->kind != OPTION_FLAG && !equals && i + 1 == argc) {
            fprintf(stderr, "peft %s: --%s needs a value (%s)\n", command, o->name, o->value);
            return false;
        }
        const char *value = o->kind == OPTION_FLAG ? "" : equals ? equals + 1 : argv[++i];
        if (!option_set(command, o, value)) return false;
    }
    return true;
}

static inline void options_print(const option *options, int count) {
    for (int i = 0; i < count; i++) {
        char left[64];
        snprintf(left, sizeof(left), "--%s %s", options[i].name, options[i].kind == OPTION_FLAG ? "" : options[i].value);
        printf("  %-28s %s\n", left, options[i].help);
    }
}

// ---- JSON

// Bytes of the UTF-8 character at s, 0: it is none.
static inline int utf8_size(const char *s) {
    const unsigned char *c = (const unsigned char *)s;
    int n = c[0] < 0x80 ? 1 : c[0] < 0xC2 ? 0 : c[0] < 0xE0 ? 2 : c[0] < 0xF0 ? 3 : c[0] < 0xF5 ? 4 : 0;
    for (int i = 1; i < n; i++)
        if ((c[i] & 0xC0) != 0x80) return 0;
    bool high = (c[0] == 0xE0 && c[1] < 0xA0) || (c[0] == 0xED && c[1] > 0x9F) || (c[0] == 0xF0 && c[1] < 0x90) || (c[0] == 0xF4 && c[1] > 0x8F);
    return n > 2 && high ? 0 : n;  // too long, a surrogate, beyond Unicode
}

// What is not UTF-8 becomes U+FFFD: JSON has no other bytes.
static inline void json_text(FILE *f, const char *s) {
    fputc('"', f);
    for (; s && *s; s++) {
        unsigned char c = (unsigned char)*s;
        int n = utf8_size(s);
        if (n != 1) {
            if (n) fwrite(s, 1, (size_t)n, f);
            else fputs("\\ufffd", f);
            s += n ? n - 1 : 0;
        } else if (c == '"' || c == '\\') fprintf(f, "\\%c", c);
        else if (c == '\n') fputs("\\n", f);
        else if (c == '\t') fputs("\\t", f);
        else if (c < 32) fprintf(f, "\\u%04x", c);
        else fputc(c, f);
    }
    fputc('"', f);
}

// printf of JSON: numbers that it has no word for become null. For short lines.
static inline void json_print(FILE *f, const char *format, ...) {
    char line[2048];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line, sizeof(line), format, arguments);
    va_end(arguments);
    for (const char *p = line; *p; p++) {
        fputc(*p, f);
        const char *v = p + 1 + (p[1] == '-');
        if (*p != ':' || (strncmp(v, "nan", 3) != 0 && strncmp(v, "inf", 3) != 0)) continue;
        fputs("null", f);
        p = v + strspn(v, "abcdefghijklmnopqrstuvwxyz()") - 1;
    }
}

static inline void json_pair(FILE *f, const char *key, const char *value, const char *after) {
    fprintf(f, "\"%s\":", key);
    json_text(f, value);
    fputs(after, f);
}

// ---- the machine

static inline int cores(void) {
#if defined(_SC_NPROCESSORS_ONLN)
    long n = sysconf(_SC_NPROCESSORS_ONLN);
    return n < 1 ? 1 : n > 64 ? 64 : (int)n;
#else
    return 1;
#endif
}

static inline bool is_terminal(FILE *f) {
#if defined(__unix__) || defined(__APPLE__)
    return isatty(f == stderr ? 2 : 1);  // standard error or output
#else
    (void)f;
    return false;
#endif
}

static volatile sig_atomic_t interrupted;

static inline void on_interrupt(int number) {
    if (interrupted) _Exit(EXIT_INTERRUPTED);  // a second Ctrl-C does not wait
    interrupted = number;
}

// ---- text files

static inline char *read_stream(FILE *f, size_t *size) {
    size_t capacity = 1 << 16, n = 0;
    char *text = (char *)malloc(capacity);
    while (text) {
        n += fread(text + n, 1, capacity - n - 1, f);
        if (n + 1 < capacity) break;
        char *grown = (char *)realloc(text, capacity *= 2);
        if (!grown) free(text);
        text = grown;
    }
    if (text) text[n] = 0;
    if (size) *size = n;
    return text;
}

static inline char *read_file(const char *path, size_t *size) {
    FILE *f = strcmp(path, "-") == 0 ? stdin : fopen(path, "rb");
    if (!f) {
        fprintf(stderr, "%s: %s\n", path, strerror(errno));
        return NULL;
    }
    char *text = read_stream(f, size);
    if (text && ferror(f)) {  // a folder, for instance
        fprintf(stderr, "%s: %s\n", path, strerror(errno));
        free(text);
        text = NULL;
    }
    if (f != stdin) fclose(f);
    return text;
}

// A file that will be whole or not there: written as PATH.part and renamed. What is no ordinary file (/dev/stdout) is written as it is.
typedef struct output {
    const char *command, *path;
    char *part;  // NULL: not ordinary
    FILE *file;
} output;

static inline bool is_ordinary(const char *path) {
#if defined(__unix__) || defined(__APPLE__)
    struct stat st;
    return stat(path, &st) != 0 || S_ISREG(st.st_mode);
#else
    (void)path;
    return true;
#endif
}

static inline FILE *output_open(output *o, const char *command, const char *path) {
    o->command = command, o->path = path, o->part = NULL;
    if (is_ordinary(path) && (o->part = (char *)malloc(strlen(path) + 6)) != NULL) sprintf(o->part, "%s.part", path);
    o->file = fopen(o->part ? o->part : path, "wb");
    if (o->file) return o->file;
    fprintf(stderr, "peft %s: %s: %s\n", command, path, strerror(errno));
    free(o->part);
    return NULL;
}

// EXIT_OK, or EXIT_DATA after a message; then nothing is left of it, as where it is not wanted.
static inline int output_close(output *o, bool wanted) {
    bool bad = ferror(o->file) != 0;
    bad = fclose(o->file) != 0 || bad;
    if (o->part && wanted && !bad) bad = rename(o->part, o->path) != 0;
    if (bad) fprintf(stderr, "peft %s: %s: %s\n", o->command, o->path, errno ? strerror(errno) : "could not be written");
    if (o->part && (bad || !wanted)) remove(o->part);
    free(o->part);
    return bad ? EXIT_DATA : EXIT_OK;
}

// Asked before a long run, which would be in vain otherwise: can this file, can files in this folder be made?
static inline int output_check(const char *command, const char *path) {
    output o;
    return output_open(&o, command, path) ? output_close(&o, false) : EXIT_DATA;
}

static inline int output_check_folder(const char *command, const char *path) {
    char *probe = (char *)malloc(strlen(path) + 16);
    if (!probe) return EXIT_MEMORY;
    sprintf(probe, "%s/.probe", path);
    FILE *f = *path ? fopen(probe, "wb") : NULL;
    if (!f && *path && errno == ENOENT) {  // the folder will be made
        sprintf(probe, "%s.probe", path);
        f = fopen(probe, "wb");
    }
    if (!f) fprintf(stderr, "peft %s: %s: %s\n", command, *path ? path : "an empty path", *path ? strerror(errno) : "no folder");
    else fclose(f), remove(probe);
    free(probe);
    return f ? EXIT_OK : EXIT_DATA;
}

// The lines of a text, cut in place; "\r\n" counts as one end. The last line needs none.
static inline char **split_lines(char *text, size_t size, int64_t *count) {
    int64_t n = 0, capacity = 256;
    char **lines = (char **)malloc((size_t)capacity * sizeof(char *));
    for (char *p = text, *end = text + size; lines && p < end;) {
        char *stop = (char *)memchr(p, '\n', (size_t)(end - p));
        if (!stop) stop = end;
        if (n == capacity) {
            char **grown = (char **)realloc(lines, (size_t)(capacity *= 2) * sizeof(char *));
            if (!grown) free(lines);
            if (!(lines = grown)) break;
        }
        lines[n++] = p;
        if (stop > p && stop[-1] == '\r') stop[-1] = 0;
        *stop = 0;
        p = stop + 1;
    }
    *count = n;
    return lines;
}

#endif
