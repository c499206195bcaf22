// What the command line programs share: options from a table, messages, JSON and progress output.
#ifndef PEFT_CLI_H
#define PEFT_CLI_H

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "report.h"
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

// OPTION_WORD is a name out of a list, whose case does not matter; OPTION_TEXTS can be given more than once.
// OPTION_COUNT and OPTION_ABOVE are an OPTION_INT and an OPTION_REAL above 0: where 0 in a descriptor means the
// default, a 0 that is typed in would be something else than it says. OPTION_HEADING is the title of the rows
// below it on the help page; its name is empty.
typedef enum option_kind { OPTION_HEADING, OPTION_FLAG, OPTION_INT, OPTION_COUNT, OPTION_REAL, OPTION_ABOVE, OPTION_TEXT,
                          OPTION_TEXTS, OPTION_WORD } option_kind;

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

#define HEADING(text) {"", OPTION_HEADING, NULL, "", text}

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

// A and B being neighbors whose places were swapped ("trian") counts as one edit, not two.
static inline int likeness(const char *a, const char *b) {
    char swapped[64];
    int least = distance(a, b);
    size_t n = strlen(a);
    for (size_t i = 0; i + 1 < n && n < sizeof(swapped); i++) {
        memcpy(swapped, a, n + 1);
        swapped[i] = a[i + 1];
        swapped[i + 1] = a[i];
        int d = distance(swapped, b) + 1;
        if (d < least) least = d;
    }
    return least;
}

// What was typed as option names have it: lower case, dashes.
static inline void option_plain(char *out, size_t size, const char *name, size_t n) {
    size_t i = 0;
    for (; i < n && i + 1 < size; i++) out[i] = name[i] == '_' ? '-' : (char)tolower((unsigned char)name[i]);
    out[i] = 0;
}

// What other tools call the same thing; of the names on the right, the first that the command has is meant.
static const char *const option_synonyms[][2] = {{"batch-size", "batch"},
                                                 {"per-device-train-batch-size", "batch"},
                                                 {"train-batch-size", "batch"},
                                                 {"bs", "batch"},
                                                 {"micro-batch-size", "batch"},
                                                 {"b", "batch"},
                                                 {"gradient-accumulation-steps", "accumulation"},
                                                 {"grad-accum", "accumulation"},
                                                 {"learning-rate", "lr"},
                                                 {"output-dir", "out|output"},
                                                 {"out-dir", "out|output"},
                                                 {"save-dir", "out|output"},
                                                 {"save", "out|output"},
                                                 {"o", "out|output"},
                                                 {"outfile", "out|output"},
                                                 {"output", "out"},
                                                 {"out", "output"},
                                                 {"rank", "r"},
                                                 {"lora-r", "r"},
                                                 {"lora-rank", "r"},
                                                 {"lora-alpha", "alpha"},
                                                 {"dropout", "lora-dropout"},
                                                 {"num-train-epochs", "epochs"},
                                                 {"num-epochs", "epochs"},
                                                 {"epoch", "epochs"},
                                                 {"steps", "max-steps"},
                                                 {"iters", "max-steps"},
                                                 {"num-steps", "max-steps"},
                                                 {"warmup-steps", "warmup"},
                                                 {"lr-scheduler-type", "schedule"},
                                                 {"scheduler", "schedule"},
                                                 {"train-file", "data"},
                                                 {"train-data", "data"},
                                                 {"train", "data"},
                                                 {"dataset", "data"},
                                                 {"d", "data"},
                                                 {"file", "data"},
                                                 {"data", "file"},
                                                 {"input", "data|file"},
                                                 {"validation-file", "validation|test"},
                                                 {"valid", "validation|test"},
                                                 {"eval-file", "validation|test"},
                                                 {"val", "validation|test"},
                                                 {"dev", "validation|test"},
                                                 {"test-file", "test|validation"},
                                                 {"test", "validation"},
                                                 {"validation", "test"},
                                                 {"max-source-length", "max-source"},
                                                 {"max-seq-length", "max-source"},
                                                 {"max-length", "max-source|max-new-tokens"},
                                                 {"cutoff-len", "max-source"},
                                                 {"source", "max-source"},
                                                 {"max-target-length", "max-target"},
                                                 {"target", "max-target"},
                                                 {"virtual-tokens", "num-virtual-tokens"},
                                                 {"methods", "method"},
                                                 {"weights", "scale"},
                                                 {"virtual", "num-virtual-tokens"},
                                                 {"peft-type", "method"},
                                                 {"tuner", "method"},
                                                 {"load-in-4bit", "weights"},
                                                 {"load-in-8bit", "weights"},
                                                 {"quantization", "weights|type"},
                                                 {"bits", "weights|type"},
                                                 {"dtype", "weights|type"},
                                                 {"outtype", "type"},
                                                 {"num-beams", "beams"},
                                                 {"max-tokens", "max-new-tokens"},
                                                 {"n-predict", "max-new-tokens"},
                                                 {"n", "max-new-tokens|limit"},
                                                 {"max-new", "max-new-tokens"},
                                                 {"temp", "temperature"},
                                                 {"no-repeat-ngram-size", "no-repeat-ngram"},
                                                 {"stop-sequence", "stop"},
                                                 {"lora", "adapter"},
                                                 {"peft-model", "adapter"},
                                                 {"adapter-path", "adapter"},
                                                 {"overwrite", "force"},
                                                 {"overwrite-output-dir", "force"},
                                                 {"f", "force|prompt-text"},
                                                 {"gradient-checkpointing", "checkpoint-blocks"},
                                                 {"optim", "optimizer"},
                                                 {"max-norm", "max-grad-norm"},
                                                 {"clip", "max-grad-norm"},
                                                 {"random-seed", "seed"},
                                                 {"num-threads", "threads"},
                                                 {"t", "threads"},
                                                 {"j", "threads"},
                                                 {"p", "prompt-text|prompt"},
                                                 {"prompt", "prompt-text"},
                                                 {"text", "prompt-text|file"},
                                                 {"target-template", "completion"},
                                                 {"answer", "completion"},
                                                 {"preds", "predictions"},
                                                 {"hypotheses", "predictions"},
                                                 {"refs", "references"},
                                                 {"few-shot", "shots"},
                                                 {"num-fewshot", "shots"},
                                                 {"k-shot", "shots"},
                                                 {"n-shot", "shots"},
                                                 {"mix-temperature", "temperature-mix"},
                                                 {"mixing-temperature", "temperature-mix"},
                                                 {"system-prompt", "system"},
                                                 {"samples", "limit"},
                                                 {"max-samples", "limit"},
                                                 {"num-samples", "limit"},
                                                 {"q", "quiet"},
                                                 {"html", "report"}};

static inline const option *option_named(const option *options, int count, const char *name, size_t n) {
    for (int i = 0; i < count && n; i++)
        if (strlen(options[i].name) == n && memcmp(options[i].name, name, n) == 0) return &options[i];
    return NULL;
}

// The option that was meant: the same with dashes, another tool's name for it, or one that is spelled nearly
// so. NULL: none.
static inline const option *option_meant(const option *options, int count, const char *asked) {
    const option *nearest = option_named(options, count, asked, strlen(asked));
    for (int i = 0; i < COUNT(option_synonyms) && !nearest; i++)
        for (const char *p = option_synonyms[i][1]; *p && !nearest && strcmp(option_synonyms[i][0],
                                                                             asked) == 0;) {
            size_t m = strcspn(p, "|");
            nearest = option_named(options, count, p, m);
            p += m + (p[m] == '|');
        }
    if (nearest || !asked[0] || !asked[1]) return nearest;
    int least = (int)strlen(asked) / 3 + 2;
    for (int i = 0; i < count; i++) {
        int d = likeness(asked, options[i].name);
        if (d < least && d < 4 && options[i].kind) least = d, nearest = &options[i];
    }
    return nearest;
}

static inline const option *option_find(const char *command, const option *options, int count,
                                        const char *name, size_t n) {
    const option *found = option_named(options, count, name, n);
    if (found) return found;
    char asked[64];
    option_plain(asked, sizeof(asked), name, n);
    found = option_meant(options, count, asked);
    fprintf(stderr, "peft %s: there is no option --%.*s", command, (int)n, name);
    if (found) fprintf(stderr, " (did you mean --%s?)", found->name);
    else if (strcmp(asked, "model") == 0 || strncmp(asked, "model-", 6) == 0 || strcmp(asked, "m") == 0)
        fprintf(stderr, " (the model is the first argument)");
    fprintf(stderr, "; see peft %s --help\n", command);
    return NULL;
}

// The names of the options that were given, in their order.
static texts options_given;

static inline bool option_given(const char *name) {
    for (int i = 0; i < options_given.count; i++)
        if (strcmp(options_given.items[i], name) == 0) return true;
    return false;
}

static inline bool option_set(const char *command, const option *o, char *value) {
    char *end = NULL;
    errno = 0;
    if (o->kind != OPTION_TEXTS && option_given(o->name)) {
        fprintf(stderr, "peft %s: --%s is given twice\n", command, o->name);
        return false;
    }
    if (!texts_add(&options_given, o->name)) return false;
    switch (o->kind) {
    case OPTION_HEADING: return false;
    case OPTION_FLAG: *(bool *)o->into = true; return true;
    case OPTION_WORD:
        for (char *p = value; *p; p++) *p = (char)tolower((unsigned char)*p);
        *(const char **)o->into = value;
        return true;
    case OPTION_TEXT: *(const char **)o->into = value; return true;
    case OPTION_TEXTS: return texts_add((texts *)o->into, value);
    case OPTION_INT:
    case OPTION_COUNT: *(int64_t *)o->into = strtoll(value, &end, 10); break;
    case OPTION_REAL:
    case OPTION_ABOVE: *(double *)o->into = strtod(value, &end); break;
    }
    if (*value && !*end && !errno) {
        if (o->kind == OPTION_COUNT ? *(int64_t *)o->into > 0 : o->kind != OPTION_ABOVE || *(double *)o->into > 0)
            return true;
        fprintf(stderr, "peft %s: --%s is %s, not above 0\n", command, o->name, value);
        return false;
    }
    fprintf(stderr, "peft %s: --%s takes a number, not \"%s\"\n", command, o->name, value);
    return false;
}

// Splits the arguments into options and the rest: what does not begin with a dash, what is "-" or a negative
// number, and all behind "--". False: a message was printed.
static inline bool options_parse(const char *command, int argc, char **argv, const option *options, int count,
                                 texts *rest) {
    static char nothing[1];
    bool only_rest = false;
    for (int i = 0; i < argc; i++) {
        char *a = argv[i];
        static char help[] = "--help";
        if (!only_rest && strcmp(a, "-h") == 0) a = help;
        if (only_rest || a[0] != '-' || (a[1] != '-' && !isalpha((unsigned char)a[1]))) {
            if (!texts_add(rest, a)) return false;
            continue;
        }
        if (!a[1 + (a[1] == '-')]) {
            only_rest = true;
            continue;
        }
        char *name = a + 1 + (a[1] == '-'), *equals = strchr(name, '=');
        size_t n = equals ? (size_t)(equals - name) : strlen(name);
        if (a[1] != '-') {  // there are no short ones
            const option *meant = NULL;
            char asked[64];
            option_plain(asked, sizeof(asked), name, n);
            meant = option_meant(options, count, asked);
            fprintf(stderr, "peft %s: there is no option %s", command, a);
            if (meant) fprintf(stderr, " (did you mean --%s?)", meant->name);
            fprintf(stderr, "; what is no option but begins with a dash goes behind --; see peft %s --help\n",
                    command);
            return false;
        }
        const option *o = option_find(command, options, count, name, n);
        if (!o) return false;
        if (o->kind == OPTION_FLAG && equals) {
            fprintf(stderr, "peft %s: --%s takes no value\n", command, o->name);
            return false;
        }
        if (o->kind != OPTION_FLAG && !equals && i + 1 == argc) {
            fprintf(stderr, "peft %s: --%s needs a value (%s)\n", command, o->name, o->value);
            return false;
        }
        char *value = o->kind == OPTION_FLAG ? nothing : equals ? equals + 1 : argv[++i];
        if (!option_set(command, o, value)) return false;
    }
    return true;
}

static inline void options_print(const option *options, int count) {
    enum { LEFT = 32, WIDTH = 110 };
    for (int i = 0; i < count; i++) {
        char left[64];
        if (options[i].kind == OPTION_HEADING) {
            printf("%s%s\n", i ? "\n" : "", options[i].help);
            continue;
        }
        snprintf(left, sizeof(left), "--%s %s", options[i].name,
                 options[i].kind == OPTION_FLAG ? "" : options[i].value);
        printf("  %-*s", LEFT - 2, left);
        if (strlen(left) >= LEFT - 2) printf("\n%*s", LEFT, "");
        int column = LEFT;
        for (const char *p = options[i].help; *p;) {  // word by word
            int n = (int)strcspn(p, " ");
            if (column > LEFT && column + n >= WIDTH) printf("\n%*s", column = LEFT, "");
            printf("%s%.*s", column > LEFT ? " " : "", n, p);
            column += n + 1;
            p += n + (p[n] == ' ');
        }
        printf("\n");
    }
}

// ---- a text that grows

typedef struct text_buffer {
    char *data;
    size_t size, room;
    bool failed;  // no memory: what is added from then on is lost
} text_buffer;

static inline void buffer_add(text_buffer *b, const char *text, size_t n) {
    if (b->size + n + 1 > b->room && !b->failed) {
        size_t room = 2 * (b->size + n) + 64;
        char *grown = (char *)realloc(b->data, room);
        b->failed = !grown;
        if (grown) b->data = grown, b->room = room;
    }
    if (b->failed) return;
    if (n) memcpy(b->data + b->size, text, n);
    b->data[b->size += n] = 0;
}

static inline void buffer_puts(text_buffer *b, const char *text) { buffer_add(b, text, strlen(text)); }

static inline void buffer_print(text_buffer *b, const char *format, ...) {  // for short texts
    char line[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line, sizeof(line), format, arguments);
    va_end(arguments);
    buffer_puts(b, line);
}

// A Unicode character as UTF-8.
static inline void buffer_code(text_buffer *b, uint32_t c) {
    char out[4];
    size_t n = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    static const unsigned char first[] = {0, 0, 0xC0, 0xE0, 0xF0};
    for (size_t i = n; i-- > 1; c >>= 6) out[i] = (char)(0x80 | (c & 0x3F));
    out[0] = (char)(first[n] | c);
    buffer_add(b, out, n);
}

static inline void buffer_free(text_buffer *b) {
    free(b->data);
    memset(b, 0, sizeof(*b));
}

// The text, to be freed; NULL: no memory. The buffer is empty again.
static inline char *buffer_take(text_buffer *b) {
    buffer_add(b, "", 0);
    char *text = b->failed ? NULL : b->data;
    if (b->failed) free(b->data);
    memset(b, 0, sizeof(*b));
    return text;
}

// ---- JSON

// How many bytes of a byte order mark a text begins with: some editors put one before UTF-8.
static inline size_t utf8_mark(const char *text, size_t size) {
    return size >= 3 && memcmp(text, "\xEF\xBB\xBF", 3) == 0 ? 3 : 0;
}

// A text as JSON has it. What is not UTF-8 becomes U+FFFD: JSON has no other bytes.
static inline void buffer_json(text_buffer *b, const char *s) {
    buffer_add(b, "\"", 1);
    for (; s && *s; s++) {
        unsigned char c = (unsigned char)*s;
        int n = utf8_size(s);
        if (n != 1) {
            if (n) buffer_add(b, s, (size_t)n);
            else buffer_puts(b, "\\ufffd");
            s += n ? n - 1 : 0;
        } else if (c == '"' || c == '\\') buffer_print(b, "\\%c", c);
        else if (c == '\n') buffer_puts(b, "\\n");
        else if (c == '\t') buffer_puts(b, "\\t");
        else if (c < 32) buffer_print(b, "\\u%04x", c);
        else buffer_add(b, s, 1);
    }
    buffer_add(b, "\"", 1);
}

static inline void json_text(FILE *f, const char *s) {
    text_buffer b = {0};
    buffer_json(&b, s);
    if (b.data) fwrite(b.data, 1, b.size, f);
    buffer_free(&b);
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
    return isatty(f == stderr ? 2 : f == stdin ? 0 : 1);
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

// A file that will be whole or not there: written as PATH.part and renamed. What is no ordinary file
// (/dev/stdout) is written as it is.
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
    if (is_ordinary(path) && (o->part = (char *)malloc(strlen(path) + 6)) != NULL)
        sprintf(o->part, "%s.part", path);
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
    if (bad)
        fprintf(stderr, "peft %s: %s: %s\n", o->command, o->path,
                errno ? strerror(errno) : "could not be written");
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
        size_t n = strlen(path);
        while (n > 1 && (path[n - 1] == '/' || path[n - 1] == '\\')) n--;
        sprintf(probe, "%.*s.probe", (int)n, path);
        f = fopen(probe, "wb");
    }
    if (!f)
        fprintf(stderr, "peft %s: %s: %s\n", command, *path ? path : "an empty path",
                *path ? strerror(errno) : "no folder");
    else fclose(f), remove(probe);
    free(probe);
    return f ? EXIT_OK : EXIT_DATA;
}

// ---- what is there already

// The same file or folder, whatever it is called.
static inline bool same_file(const char *a, const char *b) {
#if defined(__unix__) || defined(__APPLE__)
    struct stat x, y;
    return stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
#else
    return strcmp(a, b) == 0;
#endif
}

static inline bool file_is_there(const char *path) {
#if defined(__unix__) || defined(__APPLE__)
    struct stat st;
    return stat(path, &st) == 0;
#else
    FILE *f = fopen(path, "rb");
    if (f) fclose(f);
    return f != NULL;
#endif
}

// A file, or a folder with a model or an adapter in it.
static inline bool output_is_there(const char *path) {
    static const char *const names[] = {"config.json", "adapter_config.json", "model.safetensors",
                                        "adapter_model.safetensors"};
    bool there = false;
    for (int i = 0; i < COUNT(names) && !there; i++) {
        char *inside = (char *)malloc(strlen(path) + 32);
        if (inside) sprintf(inside, "%s/%s", path, names[i]);
        there = inside && file_is_there(inside);
        free(inside);
    }
#if defined(__unix__) || defined(__APPLE__)
    struct stat st;
    return there || (stat(path, &st) == 0 && S_ISREG(st.st_mode));
#else
    return there;
#endif
}

// What a command writes must be none of what it reads, and replaces what is there only where that is wanted.
static inline int output_may_go(const char *command, const char *path, bool force, const char *const *read,
                                int count) {
    for (int i = 0; i < count; i++)
        if (read[i] && (strcmp(read[i], path) == 0 || same_file(read[i], path))) {
            fprintf(stderr, "peft %s: %s is being read: give another place for the result\n", command, path);
            return EXIT_USAGE;
        }
    if (force || !output_is_there(path)) return EXIT_OK;
    fprintf(stderr, "peft %s: %s is there already; --force replaces it\n", command, path);
    return EXIT_USAGE;
}

// The lines of a text, cut in place; "\r\n" counts as one end, in a text without "\n" also "\r". The last
// line needs none.
static inline char **split_lines(char *text, size_t size, int64_t *count) {
    int64_t n = 0, capacity = 256;
    char **lines = (char **)malloc((size_t)capacity * sizeof(char *)), mark = memchr(text, '\n', size) ? '\n'
        : '\r';
    for (char *p = text, *end = text + size; lines && p < end;) {
        char *stop = (char *)memchr(p, mark, (size_t)(end - p));
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
