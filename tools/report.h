// Pages and pictures: tables in HTML, bars, curves and dumbbells in SVG, in one style.
#ifndef PEFT_REPORT_H
#define PEFT_REPORT_H

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// Colours say to which family a method belongs; names, dashes and marks say the same without them.
enum { LOOK_BASE, LOOK_LOW_RANK, LOOK_ADDITIVE, LOOK_SELECTIVE, LOOK_WHOLE };

// Classes: s small, t title, v value, e and m the end and the middle of a text, w a bar's whole length, g a
// grid line, k a line in the colour of text, h the halo below it, p the paper, c0 to c4 the looks, l a line,
// b a filled shape (both behind the looks, which they change).
#define PICTURE_STYLE \
    "text{font:14px system-ui,sans-serif;fill:#1f2328}.s{font-size:12px;fill:#59636e}.t{font-weight:600}" \
    ".v{font-size:13px}.e{text-anchor:end}.m{text-anchor:middle}.w{fill:#d8dee4}.g{stroke:#d8dee4}" \
    ".k{stroke:#1f2328}.h{stroke:#fff}.p{fill:#fff}\n" \
    ".c0{fill:#8c959f;stroke:#8c959f}.c1{fill:#0b5fc0;stroke:#0b5fc0}.c2{fill:#2a7f3f;stroke:#2a7f3f}" \
    ".c3{fill:#7d4cc9;stroke:#7d4cc9}.c4{fill:#9a4a00;stroke:#9a4a00}\n" \
    "@media(prefers-color-scheme:dark){text{fill:#e6edf3}.s{fill:#9198a1}.w{fill:#30363d}.g{stroke:#30363d}" \
    ".k{stroke:#e6edf3}.h{stroke:#0d1117}.p{fill:#0d1117}.c0{fill:#7d8590;stroke:#7d8590}" \
    ".c1{fill:#5aa9ff;stroke:#5aa9ff}" \
    ".c2{fill:#56b870;stroke:#56b870}.c3{fill:#b48ef0;stroke:#b48ef0}.c4{fill:#e8994d;stroke:#e8994d}}\n" \
    ".l,.k,.h{fill:none;stroke-width:2}.b{stroke:none}"

// What a picture alone begins with: it brings its own paper, as the page around it may be of the other kind.
#define PICTURE_PAPER \
    "<style>" PICTURE_STYLE "</style>\n<rect class=\"p\" width=\"100%\" height=\"100%\"/>\n"

typedef struct curve {
    const char *name;
    int look;
    double *x, *y;
    int count, capacity;
    const double *spread;  // deviations of y, or NULL
} curve;

static inline void curve_add(curve *c, double x, double y) {
    if (c->count == c->capacity) {
        int capacity = c->capacity ? 2 * c->capacity : 256;
        double *xs = (double *)realloc(c->x, (size_t)capacity * sizeof(double));
        if (xs) c->x = xs;
        double *ys = (double *)realloc(c->y, (size_t)capacity * sizeof(double));
        if (ys) c->y = ys;
        if (!xs || !ys) return;  // the picture lacks a point, the run goes on
        c->capacity = capacity;
    }
    c->x[c->count] = x;
    c->y[c->count++] = y;
}

static inline void curve_free(curve *c) {
    free(c->x);
    free(c->y);
    c->x = c->y = NULL;
    c->count = c->capacity = 0;
}

// Bytes of the UTF-8 character at s, 0: it is none.
static inline int utf8_size(const char *s) {
    const unsigned char *c = (const unsigned char *)s;
    int n = c[0] < 0x80 ? 1 : c[0] < 0xC2 ? 0 : c[0] < 0xE0 ? 2 : c[0] < 0xF0 ? 3 : c[0] < 0xF5 ? 4 : 0;
    for (int i = 1; i < n; i++)
        if ((c[i] & 0xC0) != 0x80) return 0;
    bool high = (c[0] == 0xE0 && c[1] < 0xA0) || (c[0] == 0xED && c[1] > 0x9F) ||
                (c[0] == 0xF0 && c[1] < 0x90) || (c[0] == 0xF4 && c[1] > 0x8F);
    return n > 2 && high ? 0 : n;  // too long, a surrogate, beyond Unicode
}

// As HTML and XML have it. What is not UTF-8, and control characters, which XML has not, become U+FFFD.
static inline void html_text(FILE *f, const char *s) {
    for (int n; s && *s; s += n ? n : 1) {
        n = utf8_size(s);
        if (*s == '<') fputs("&lt;", f);
        else if (*s == '>') fputs("&gt;", f);
        else if (*s == '&') fputs("&amp;", f);
        else if (*s == '"') fputs("&quot;", f);
        else if (!n || ((unsigned char)*s < 32 && !strchr("\t\n\r", *s))) fputs("\xEF\xBF\xBD", f);
        else fwrite(s, 1, (size_t)n, f);
    }
}

static inline void report_begin(FILE *f, const char *title) {
    fputs("<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
          "<meta name=\"viewport\" content=\"width=device-width\">\n<title>", f);
    html_text(f, title);
    fputs("</title>\n<style>\n" PICTURE_STYLE "\n"
          "body{font:15px/1.5 system-ui,sans-serif;max-width:1260px;margin:2em auto;padding:0 1em;"
          "color:#1f2328;background:#fff}\nh1{font-size:1.5em}h2{font-size:1.15em;margin-top:2em}"
          "table{border-collapse:collapse;display:block;overflow-x:auto}.tight td{white-space:nowrap}\n"
          "td,th{padding:.35em .6em;border-bottom:1px solid #d8dee4;text-align:left;vertical-align:top}"
          "td.n,th.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}\n"
          ".note{margin:.4em 0;color:#59636e}svg{max-width:100%;height:auto}"
          ".panels{display:flex;flex-wrap:wrap;gap:12px 24px}p{overflow-wrap:anywhere}"
          "pre{white-space:pre-wrap;margin:0;font:13px/1.45 ui-monospace,monospace}\n"
          "@media(prefers-color-scheme:dark){body{color:#e6edf3;background:#0d1117}"
          "td,th{border-color:#30363d}.note{color:#9198a1}}\n"
          "</style></head><body>\n<h1>",
          f);
    html_text(f, title);
    fputs("</h1>\n", f);
}

static inline void report_end(FILE *f) { fputs("</body></html>\n", f); }

static inline void report_heading(FILE *f, const char *text) {
    fputs("<h2>", f);
    html_text(f, text);
    fputs("</h2>\n", f);
}

// One row of a table; the first `left` cells are text, the others are numbers.
static inline void report_row(FILE *f, const char *tag, const char *const *cells, int count, int left) {
    fputs("<tr>", f);
    for (int i = 0; i < count; i++) {
        fprintf(f, i < left ? "<%s>" : "<%s class=\"n\">", tag);
        html_text(f, cells[i]);
        fprintf(f, "</%s>", tag);
    }
    fputs("</tr>\n", f);
}

// A step of an axis that people read easily: 1, 2 or 5 times a power of ten.
static inline double nice_step(double range, int about) {
    double raw = range / about, power = pow(10, floor(log10(raw > 0 ? raw : 1))), m = raw / power;
    return power * (m <= 1 ? 1 : m <= 2 ? 2 : m <= 5 ? 5 : 10);
}

// Three digits: "905 kB", "4.48 MB"; without a unit "9504", "12.3 k", "1.12 M".
static inline void say_number(char *out, size_t size, double v, const char *unit) {
    static const char *const prefixes[] = {"", "k", "M", "G", "T"};
    int p = 0;
    for (double most = *unit ? 999.5 : 9999.5; p < 4 && fabs(v) >= most; most = 999.5) p++, v /= 1000;
    snprintf(out, size, p ? "%.3g%s%s%s" : "%.4g%s%s%s", v, p || *unit ? " " : "", prefixes[p], unit);
}

// "1,116,544"
static inline void say_grouped(char *out, size_t size, double v) {
    char digits[32];
    size_t n = (size_t)snprintf(digits, sizeof(digits), "%.0f", v), k = 0;
    for (size_t i = 0; i < n && k + 2 < size; i++) {
        if (i && (n - i) % 3 == 0) out[k++] = ',';
        out[k++] = digits[i];
    }
    out[k] = 0;
}

// ---- pictures: panels of one size, beside and below each other

// A row of bars, the same in all panels.
typedef struct bar_row {
    const char *name, *second;  // below the name, small; NULL: nothing
    int look;
} bar_row;

// In a page each panel is an <svg>, and as many stand side by side as there is room for: on a phone, one.
// Alone they are one <svg>, whose rows of panels have the names of bars once, at the left.
typedef struct picture {
    FILE *f;
    bool alone;
    const char *title, *notes[3];  // below it, small; in a page, paragraphs
    int count, columns;            // panels; how many side by side when they are alone
    double width, height;          // of a panel without names
    const bar_row *rows;           // NULL: curves
    int row_count;
    double top, label, bar;        // of the first panel; room for names; the length of the longest bar
    int at;                        // panels that are drawn
} picture;

// What a panel shows of each row: a bar, or from `before` (a ring) to the value (a disc). NAN: only the text.
typedef struct bars {
    const char *title;
    const double *values, *before, *spread;  // NULL: bars; no deviations
    char (*texts)[64];
    bool logarithmic;
    double most;  // the whole length; 0: the largest value
} bars;

static inline void svg_text(FILE *f, const char *looks, double x, double y, const char *text) {
    fprintf(f, "<text class=\"%s\" x=\"%.1f\" y=\"%.1f\">", looks, x, y);
    html_text(f, text);
    fputs("</text>\n", f);
}

static inline void svg_named(FILE *f, const char *title) {
    fputs(" role=\"img\" aria-label=\"", f);
    html_text(f, title);
    fputs("\"", f);
}

enum { ROW_HEIGHT = 24, TALL_ROW = 46, PANEL_TOP = 28 };

// `text`: so many characters stand behind each bar. The size of panels of curves is given.
static inline void picture_begin(picture *p, int text) {
    bool tall = false;
    for (int i = 0; i < p->row_count; i++) {
        const char *name = p->rows[i].name, *second = p->rows[i].second;
        double wide = fmax(7.6 * (double)strlen(name), second ? 6.4 * (double)strlen(second) : 0);
        p->label = fmax(p->label, fmin(14 + wide, 280));
        tall |= second != NULL;
    }
    if (p->rows)
        p->width = p->bar + 20 + 7.2 * text,
        p->height = PANEL_TOP + (tall ? TALL_ROW : ROW_HEIGHT) * p->row_count + 10;
    if (!p->alone) {
        for (int i = 0; i < 3 && p->notes[i]; i++) {
            fputs("<p class=\"note\">", p->f);
            html_text(p->f, p->notes[i]);
            fputs("</p>\n", p->f);
        }
        fputs("<div class=\"panels\">\n", p->f);
        return;
    }
    p->top = 40;
    for (int i = 0; i < 3 && p->notes[i]; i++) p->top += 17;
    fprintf(p->f, "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %g %g\"",
            20 + p->label + p->width * p->columns,
            p->top + 4 + p->height * ((p->count + p->columns - 1) / p->columns));
    svg_named(p->f, p->title);
    fputs(">\n" PICTURE_PAPER, p->f);
    svg_text(p->f, "t", 10, 24, p->title);
    for (int i = 0; i < 3 && p->notes[i]; i++) svg_text(p->f, "s", 10, 43 + 17 * i, p->notes[i]);
}

static inline void picture_end(picture *p) { fputs(p->alone ? "</svg>\n" : "</div>\n", p->f); }

// Whether names of rows belong into this panel. Its x begins behind them.
static inline bool panel_begin(picture *p, const char *title) {
    int column = p->at % p->columns, row = p->at++ / p->columns;
    bool named = !p->alone || !column;
    double label = named ? p->label : 0;
    fprintf(p->f, "<svg overflow=\"visible\" width=\"%g\" height=\"%g\" viewBox=\"%g 0 %g %g\"",
            label + p->width, p->height, -label, label + p->width, p->height);
    if (p->alone)
        fprintf(p->f, " x=\"%g\" y=\"%g\"", 10 + p->width * column + p->label - label,
                p->top + p->height * row);
    else svg_named(p->f, title);
    fputs(">\n", p->f);
    svg_text(p->f, p->alone ? "" : "t", 0, 16, title);
    return named;
}

// A line with its ends marked, upright or level.
static inline void whisker(FILE *f, const char *looks, double x0, double y0, double x1, double y1) {
    double w = x0 == x1 ? 3 : 0, h = 3 - w;
    for (int halo = strcmp(looks, "k") == 0; halo >= 0; halo--)
        fprintf(f,
                "<path class=\"%s\" style=\"stroke-width:%g\" d=\"M%.1f %.1fL%.1f %.1fM%.1f %.1fL%.1f "
                "%.1fM%.1f %.1fL%.1f %.1f\"/>\n",
                halo ? "h" : looks, halo ? 4 : 1.3, x0, y0, x1, y1, x0 - w, y0 - h, x0 + w, y0 + h, x1 - w,
                y1 - h, x1 + w, y1 + h);
}

static inline double bar_length(const picture *p, const bars *b, double v, double most) {
    return p->bar * fmin(fmax(b->logarithmic ? log1p(fmax(v, 0)) / log1p(most) : v / most, 0), 1);
}

static inline void panel_bars(picture *p, const bars *b) {
    bool named = panel_begin(p, b->title);
    double most = b->most, height = (p->height - PANEL_TOP - 10) / p->row_count;
    for (int i = 0; i < p->row_count && !(b->most > 0); i++)
        most = fmax(most, fmax(b->values[i], b->before ? b->before[i] : 0));
    if (!(most > 0)) most = 1;
    for (int i = 0; i < p->row_count; i++) {
        const bar_row *r = &p->rows[i];
        double y = PANEL_TOP + height * i + (r->second ? 16 : 12), v = b->values[i],
               x = bar_length(p, b, v, most), s = b->spread ? b->spread[i] : 0;
        if (named) svg_text(p->f, "", -p->label, y + (r->second ? -2 : 5), r->name);
        if (named && r->second) svg_text(p->f, "s", -p->label, y + 15, r->second);
        double s0 = bar_length(p, b, v - s, most), s1 = bar_length(p, b, v + s, most);
        if (b->before) {
            double from = bar_length(p, b, b->before[i], most), gap = x > from ? 5 : -5;
            fprintf(p->f, "<path class=\"g\" d=\"M0 %.1fH%g\"/>", y, p->bar);
            if (fabs(x - from) > 5)
                fprintf(p->f, "<path class=\"c%d l\" d=\"M%.1f %.1fH%.1f\"/>\n", r->look, from + gap, y, x);
            if (s > 0) whisker(p->f, "k", s0, y, s1, y);
            fprintf(p->f,
                    "<circle class=\"c0 l\" cx=\"%.1f\" cy=\"%.1f\" r=\"5\"/><circle class=\"c%d b\" "
                    "cx=\"%.1f\" cy=\"%.1f\" r=\"5\"/>\n",
                    from, y, r->look, x, y);
        } else {
            fprintf(p->f, "<rect class=\"w\" y=\"%.1f\" width=\"%g\" height=\"16\" rx=\"2\"/>", y - 8,
                    p->bar);
            fprintf(p->f, "<rect class=\"c%d b\" y=\"%.1f\" width=\"%.1f\" height=\"16\" rx=\"2\"/>\n",
                    r->look, y - 8, v == v ? x : 0);
            if (s > 0) whisker(p->f, "k", s0, y, s1, y);
        }
        svg_text(p->f, "v", p->bar + 9, y + 5, b->texts[i]);
    }
    fputs("</svg>\n", p->f);
}

// A panel for each group: values[g * row_count + i], in a page.
static inline void report_bars(FILE *f, const char *const *groups, int group_count, const bar_row *rows,
                               int row_count, const double *values, const char *format, double most) {
    char texts[32][64];
    picture p = {.f = f, .count = group_count, .columns = 1, .rows = rows, .bar = 150};
    p.row_count = row_count < 32 ? row_count : 32;
    picture_begin(&p, 6);
    for (int g = 0; g < group_count; g++, values += row_count) {
        for (int i = 0; i < p.row_count; i++) snprintf(texts[i], 64, format, values[i]);
        panel_bars(&p, &(bars){.title = groups[g], .values = values, .texts = texts, .most = most});
    }
    picture_end(&p);
}

// ---- curves

// The mark of a curve at a point: five shapes, told apart without colours.
static inline void svg_mark(FILE *f, int look, int which, double x, double y) {
    static const char *const shapes[] = {"m-4 0a4 4 0 1 0 8 0a4 4 0 1 0-8 0", "m-3.5-3.5h7v7h-7z",
                                         "m0-5l5 8.5h-10z", "m0-5l5 5-5 5-5-5z",
                                         "m-5-2h3v-3h4v3h3v4h-3v3h-4v-3h-3z"};
    fprintf(f, "<path class=\"c%d b\" d=\"M%.1f %.1f%s\"/>", look, x, y, shapes[which % 5]);
}

// Curves with their names at their ends. On a logarithmic axis of x the points' own are marked.
enum { LOG_X = 1, LOG_Y = 2 };
static inline void panel_curves(picture *p, const char *title, const curve *curves, int count,
                                const char *x_name, const char *y_unit, int scale) {
    enum { MOST_CURVES = 32 };
    static const char *const dashes[] = {"none", "8 4", "2 3", "9 3 2 3"};
    double x0 = HUGE_VAL, x1 = -HUGE_VAL, y0 = HUGE_VAL, y1 = -HUGE_VAL, room = 6, from[MOST_CURVES],
           end[MOST_CURVES];
    int order[MOST_CURVES], shown = 0;
    char text[40];
    panel_begin(p, title);
#define SCALE_X(v) (scale & LOG_X ? log(v) : (v))
#define SCALE_Y(v) (scale & LOG_Y ? log10(fmax(v, 1e-9)) : (v))
    for (int c = 0; c < count && c < MOST_CURVES; c++)
        for (int i = 0; i < curves[c].count; i++) {
            const curve *k = &curves[c];
            double x = SCALE_X(k->x[i]), y = k->y[i], s = k->spread ? k->spread[i] : 0;
            if (!isfinite(y)) continue;  // a loss that ran away
            x0 = fmin(x0, x), x1 = fmax(x1, x), y0 = fmin(y0, SCALE_Y(y - s)), y1 = fmax(y1, SCALE_Y(y + s));
            if (count > 1) room = fmax(room, 6.6 * (double)strlen(k->name) + 42);
        }
    if (!(x1 >= x0)) x0 = y0 = y1 = 0;
    if (!(x1 > x0)) x1 = x0 + 1;
    double left = *y_unit ? 60 : 50, right = p->width - 10 - room, top = PANEL_TOP + 8,
           bottom = p->height - 40, last = -HUGE_VAL;
    double step = nice_step(y1 > y0 ? y1 - y0 : fabs(y1) + 1e-9, 4), xstep = nice_step(x1 - x0, 5);
    if (scale & LOG_Y && step < 1) step = 1.0 / 3;  // 1, 2, 5, 10; over many decades powers of 10 alone
    y0 = floor(y0 / step) * step, y1 = ceil(y1 / step) * step;
    if (!(y1 > y0)) y1 = y0 + step;
#define AT_X(v) (left + (SCALE_X(v) - x0) / (x1 - x0) * (right - left))
#define AT_Y(v) (bottom - (SCALE_Y(v) - y0) / (y1 - y0) * (bottom - top))
    for (int i = 0; y0 + i * step <= y1 + step / 2; i++) {
        double y = y0 + i * step, power = pow(10, floor(y + 0.1)), rest = y - floor(y + 0.1);
        if (scale & LOG_Y) y = power * (rest < 0.1 ? 1 : rest < 0.5 ? 2 : 5);
        else if (fabs(y) < step / 1e6) y = 0;
        fprintf(p->f, "<path class=\"g\" d=\"M%g %.1fH%.1f\"/>", left, AT_Y(y), right);
        say_number(text, sizeof(text), y, y_unit);
        svg_text(p->f, "s e", left - 6, AT_Y(y) + 4, text);
    }
    for (int i = 0; scale & LOG_X ? count && i < curves[0].count : x0 + i * xstep <= x1; i++) {
        double x = scale & LOG_X ? curves[0].x[i] : (ceil(x0 / xstep) + i) * xstep, at = AT_X(x);
        if (at < last + 34 || at > right + 1) continue;
        say_number(text, sizeof(text), x, "");
        svg_text(p->f, "s m", last = at, bottom + 17, text);
    }
    svg_text(p->f, "s e", right, bottom + 34, x_name);
    for (int c = 0; c < count && c < MOST_CURVES; c++) {
        const curve *k = &curves[c];
        int at = shown;
        fprintf(p->f, "<polyline class=\"c%d l\" stroke-dasharray=\"%s\" points=\"", k->look, dashes[c % 4]);
        from[c] = -1;
        for (int i = 0; i < k->count; i++)
            if (isfinite(k->y[i]))
                fprintf(p->f, "%.1f,%.1f ", from[c] = AT_X(k->x[i]), end[c] = AT_Y(k->y[i]));
        fputs("\"/>\n", p->f);
        if (from[c] < 0) continue;  // no points
        for (shown++; at && end[order[at - 1]] > end[c]; at--) order[at] = order[at - 1];
        order[at] = c;  // from top to bottom
        snprintf(text, sizeof(text), "c%d l", k->look);
        for (int i = 0; i < k->count && k->count < 24; i++) {
            if (!isfinite(k->y[i])) continue;
            double x = AT_X(k->x[i]), s = k->spread ? k->spread[i] : 0;
            svg_mark(p->f, k->look, c, x, AT_Y(k->y[i]));
            if (s > 0) whisker(p->f, text, x, AT_Y(k->y[i] - s), x, AT_Y(k->y[i] + s));
        }
    }
    double names[MOST_CURVES], above = top - 20, below = bottom + 20;
    for (int i = 0; i < shown; i++)
        above = names[i] = fmax(end[order[i]], above + 14);  // at the ends, but 14 apart
    for (int i = shown - 1; i >= 0; i--) below = names[i] = fmin(names[i], below - 14);  // and inside
    for (int i = 0; i < shown && count > 1; i++) {
        const curve *k = &curves[order[i]];
        fprintf(p->f, "<path class=\"c%d l\" style=\"stroke-width:1\" d=\"M%.1f %.1fL%.1f %.1fH%.1f\"/>",
                k->look, from[order[i]] + 5, end[order[i]], right + 20, names[i], right + 24);
        svg_mark(p->f, k->look, order[i], right + 29, names[i]);
        svg_text(p->f, "s", right + 37, names[i] + 4, k->name);
    }
#undef SCALE_X
#undef SCALE_Y
#undef AT_X
#undef AT_Y
    fputs("</svg>\n", p->f);
}

// Curves in a page.
static inline void report_curves(FILE *f, const char *title, const curve *curves, int count,
                                 const char *x_name) {
    picture p = {.f = f, .count = 1, .columns = 1, .width = 520, .height = 300};
    picture_begin(&p, 0);
    panel_curves(&p, title, curves, count, x_name, "", 0);
    picture_end(&p);
}

#endif
