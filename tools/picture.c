// The picture of the README: the figures of the demonstration as bars, a row for each method, a column for each
// score. It stands by itself, is read without colours, and follows the reader's light or dark page.
//   make demo build/picture && build/picture build/demo/report.json > examples/demo.svg
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(a) ((int)(sizeof(a) / sizeof((a)[0])))

static const struct { const char *key, *name, *second; } methods[] = {
    {"base", "base model, zero-shot", "nothing trained"}, {"few_shot", "2 examples in the prompt", "nothing trained"},
    {"prompt", "prompt tuning", NULL}, {"lora", "LoRA r 8, all linear", NULL}, {"full", "full fine-tuning", NULL},
    {"mixture", "full, old tasks mixed in", NULL}};
static const struct { const char *key, *name; } scores[] = {
    {"rougeL", "ROUGE-L"}, {"known_words", "known words"}, {"faithful", "faithful names"}, {"old_tasks", "old tasks"}};

// The number behind "key": in the object that begins at `object`, which holds numbers alone.
static bool number(const char *object, const char *key, double *out) {
    char quoted[64];
    snprintf(quoted, sizeof(quoted), "\"%s\":", key);
    const char *end = strchr(object, '}'), *at = strstr(object, quoted);
    if (!at || (end && at > end)) return false;
    at += strlen(quoted);
    char *after;
    *out = strtod(at, &after);
    return after != at;
}

// What a method trains and stores: "221,184 weights trained, 905 kB".
static void cost(char *out, size_t size, double trained, double bytes) {
    char digits[32], grouped[48];
    int n = snprintf(digits, sizeof(digits), "%.0f", trained), k = 0;
    for (int i = 0; i < n && k < (int)sizeof(grouped) - 2; i++) {
        if (i && (n - i) % 3 == 0) grouped[k++] = ',';
        grouped[k++] = digits[i];
    }
    grouped[k] = 0;
    if (bytes < 999500) snprintf(out, size, "%s weights, %.0f kB", grouped, bytes / 1e3);
    else snprintf(out, size, "%s weights, %.1f MB", grouped, bytes / 1e6);
}

int main(int argc, char **argv) {
    static char text[1 << 16];
    FILE *f = argc == 2 ? fopen(argv[1], "rb") : NULL;
    if (!f) {
        if (argc == 2) fprintf(stderr, "picture: %s: cannot be opened\n", argv[1]);
        else fprintf(stderr, "usage: picture build/demo/report.json > examples/demo.svg\n");
        return argc == 2 ? 1 : 2;
    }
    size_t size = fread(text, 1, sizeof(text) - 1, f);
    fclose(f);
    text[size] = 0;
    double values[COUNT(methods)][COUNT(scores)], trained[COUNT(methods)] = {0}, bytes[COUNT(methods)] = {0};
    double examples = 0;
    for (int m = 0; m < COUNT(methods); m++) {
        char key[32];
        snprintf(key, sizeof(key), "\"%s\":{", methods[m].key);
        const char *object = strstr(text, key);
        if (!object) {
            fprintf(stderr, "picture: %s: no \"%s\"\n", argv[1], methods[m].key);
            return 1;
        }
        object += strlen(key);
        for (int s = 0; s < COUNT(scores); s++) {
            if (number(object, scores[s].key, &values[m][s])) continue;
            fprintf(stderr, "picture: %s: %s has no \"%s\"\n", argv[1], methods[m].key, scores[s].key);
            return 1;
        }
        if (!methods[m].second && (!number(object, "trainable", &trained[m]) || !number(object, "bytes", &bytes[m]))) {
            fprintf(stderr, "picture: %s: %s has no \"trainable\" or \"bytes\"\n", argv[1], methods[m].key);
            return 1;
        }
    }
    const char *last = strstr(text, "\"examples\":");
    if (!last || !number(last, "examples", &examples)) {
        fprintf(stderr, "picture: %s: no \"examples\"\n", argv[1]);
        return 1;
    }
    const double left = 220, right = 880, row = 46, top = 74;
    double column = (right - left) / COUNT(scores), bar = column - 66;  // beside a bar stands its value
    printf("<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 900 %g\" role=\"img\" "
           "aria-label=\"Scores of the demonstration\">\n"
           "<style>text{font:14px system-ui,sans-serif;fill:#1f2328}.s{font-size:12px;fill:#59636e}"
           ".t{font-weight:600}.v{font-size:13px}\n"
           ".w{fill:#d8dee4}.base,.few_shot{fill:#8c959f}.prompt{fill:#2a7f3f}.lora{fill:#0b5fc0}"
           ".full,.mixture{fill:#9a4a00}\n"
           "@media(prefers-color-scheme:dark){text{fill:#e6edf3}.s{fill:#9198a1}.w{fill:#30363d}"
           ".base,.few_shot{fill:#7d8590}.prompt{fill:#56b870}.lora{fill:#5aa9ff}.full,.mixture{fill:#e8994d}}"
           "</style>\n", top + row * COUNT(methods) + 6);
    printf("<text class=\"t\" x=\"10\" y=\"24\">A small T5 learns to summarize dialogues: "
           "%.0f held-out dialogues, percent</text>\n", examples);
    for (int s = 0; s < COUNT(scores); s++)
        printf("<text x=\"%.1f\" y=\"58\">%s</text>\n", left + column * s, scores[s].name);
    for (int m = 0; m < COUNT(methods); m++) {
        double y = top + row * m;
        char second[96];
        if (methods[m].second) snprintf(second, sizeof(second), "%s", methods[m].second);
        else cost(second, sizeof(second), trained[m], bytes[m]);
        printf("<text x=\"10\" y=\"%g\">%s</text><text class=\"s\" x=\"10\" y=\"%g\">%s</text>\n", y + 14,
               methods[m].name, y + 31, second);
        for (int s = 0; s < COUNT(scores); s++) {
            double x = left + column * s, v = values[m][s];
            printf("<rect class=\"w\" x=\"%.1f\" y=\"%g\" width=\"%.1f\" height=\"16\" rx=\"2\"/>"
                   "<rect class=\"%s\" x=\"%.1f\" y=\"%g\" width=\"%.1f\" height=\"16\" rx=\"2\"/>"
                   "<text class=\"v\" x=\"%.1f\" y=\"%g\">%.1f</text>\n",
                   x, y + 8, bar, methods[m].key, x, y + 8, bar * (v < 0 ? 0 : v > 1 ? 1 : v), x + bar + 8, y + 21,
                   100 * v);
        }
    }
    puts("</svg>");
    return fflush(stdout) ? 1 : 0;
}
