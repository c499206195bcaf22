// The picture of the README: the figures of the demonstration as bars, a row for each method, a column for
// each score. It stands by itself, is read without colours, and follows the reader's light or dark page.
//   make demo build/picture && build/picture build/demo/report.json > examples/demo.svg
#include "report.h"

#define COUNT(a) ((int)(sizeof(a) / sizeof((a)[0])))

static const struct {
    const char *key, *name, *second;
    int look;
} methods[] = {{"base", "base model, zero-shot", "nothing trained", LOOK_BASE},
               {"few_shot", "2 examples in the prompt", "nothing trained", LOOK_BASE},
               {"prompt", "prompt tuning", NULL, LOOK_ADDITIVE},
               {"lora", "LoRA r 8, all linear", NULL, LOOK_LOW_RANK},
               {"full", "full fine-tuning", NULL, LOOK_WHOLE},
               {"mixture", "full, old tasks mixed in", NULL, LOOK_WHOLE}};
static const struct {
    const char *key, *name;
} scores[] = {{"rougeL", "ROUGE-L"}, {"known_words", "known words"}, {"faithful", "faithful names"},
              {"old_tasks", "old tasks"}};

// The number, 0 or more, behind "key": in the object that begins at `object`, which holds numbers alone.
static bool number(const char *object, const char *key, double *out) {
    char quoted[64];
    snprintf(quoted, sizeof(quoted), "\"%s\":", key);
    const char *end = strchr(object, '}'), *at = strstr(object, quoted);
    if (!at || (end && at > end)) return false;
    at += strlen(quoted);
    char *after;
    *out = strtod(at, &after);
    return after != at && isfinite(*out) && *out >= 0;
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
    double values[COUNT(scores)][COUNT(methods)], trained, bytes, examples = 0;
    char second[COUNT(methods)][96], title[128], says[COUNT(methods)][64];
    bar_row rows[COUNT(methods)];
    for (int m = 0; m < COUNT(methods); m++) {
        char key[32], weights[32], size_text[32];
        snprintf(key, sizeof(key), "\"%s\":{", methods[m].key);
        const char *object = strstr(text, key);
        if (!object) {
            fprintf(stderr, "picture: %s: no \"%s\"\n", argv[1], methods[m].key);
            return 1;
        }
        object += strlen(key);
        for (int s = 0; s < COUNT(scores); s++) {
            if (number(object, scores[s].key, &values[s][m])) continue;
            fprintf(stderr, "picture: %s: %s has no \"%s\"\n", argv[1], methods[m].key, scores[s].key);
            return 1;
        }
        rows[m] =
            (bar_row){methods[m].name, methods[m].second ? methods[m].second : second[m], methods[m].look};
        if (methods[m].second) continue;
        if (!number(object, "trainable", &trained) || !number(object, "bytes", &bytes)) {
            fprintf(stderr, "picture: %s: %s has no \"trainable\" or \"bytes\"\n", argv[1], methods[m].key);
            return 1;
        }
        say_grouped(weights, sizeof(weights), trained), say_number(size_text, sizeof(size_text), bytes, "B");
        snprintf(second[m], sizeof(second[m]), "%s weights, %s", weights, size_text);
    }
    const char *last = strstr(text, "\"examples\":");
    if (!last || !number(last, "examples", &examples)) {
        fprintf(stderr, "picture: %s: no \"examples\"\n", argv[1]);
        return 1;
    }
    snprintf(title, sizeof(title),
             "A small T5 learns to summarize dialogues: %.0f held-out dialogues, percent", examples);
    picture p = {.f = stdout,
                 .alone = true,
                 .title = title,
                 .count = COUNT(scores),
                 .columns = COUNT(scores),
                 .rows = rows,
                 .row_count = COUNT(methods),
                 .bar = 99};
    picture_begin(&p, 6);
    for (int s = 0; s < COUNT(scores); s++) {
        for (int m = 0; m < COUNT(methods); m++)
            snprintf(says[m], sizeof(says[m]), "%.1f", 100 * values[s][m]);
        panel_bars(&p, &(bars){.title = scores[s].name, .values = values[s], .texts = says, .most = 1});
    }
    picture_end(&p);
    return fflush(stdout) ? 1 : 0;
}
