// A self-contained HTML page with SVG pictures: what `peft train` and the demonstration show of a run.
#ifndef PEFT_REPORT_H
#define PEFT_REPORT_H

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct curve {
    const char *name, *color;
    double *x, *y;
    int count, capacity;
} curve;

static void curve_add(curve *c, double x, double y) {
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

static void curve_free(curve *c) {
    free(c->x);
    free(c->y);
    c->x = c->y = NULL;
    c->count = c->capacity = 0;
}

static void html_text(FILE *f, const char *s) {
    for (; s && *s; s++) {
        if (*s == '<') fputs("&lt;", f);
        else if (*s == '>') fputs("&gt;", f);
        else if (*s == '&') fputs("&amp;", f);
        else if (*s == '"') fputs("&quot;", f);
        else fputc(*s, f);
    }
}

static void report_begin(FILE *f, const char *title) {
    fputs("<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\n<title>", f);
    html_text(f, title);
    fputs("</title>\n<style>\nbody{font:15px/1.5 system-ui,sans-serif;max-width:960px;margin:2em auto;padding:0 1em;color:#222;background:#fff}\n"
          "h1{font-size:1.5em}h2{font-size:1.15em;margin-top:2em}table{border-collapse:collapse;width:100%}\n"
          "td,th{padding:.35em .6em;border-bottom:1px solid #ddd;text-align:left;vertical-align:top}td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}\n"
          "svg{width:100%;height:auto}svg text{font:12px system-ui,sans-serif;fill:#444}pre{white-space:pre-wrap;margin:0;font:13px/1.45 ui-monospace,monospace}\n"
          "@media(prefers-color-scheme:dark){body{color:#dfe3e8;background:#14171b}td,th{border-color:#343a43}svg text{fill:#b9c0c9}"
          "svg line{stroke:#343a43}}\n"
          "</style></head><body>\n<h1>", f);
    html_text(f, title);
    fputs("</h1>\n", f);
}

static void report_end(FILE *f) { fputs("</body></html>\n", f); }

static void report_heading(FILE *f, const char *text) {
    fputs("<h2>", f);
    html_text(f, text);
    fputs("</h2>\n", f);
}

// One row of a table; the first `left` cells are text, the others are numbers.
static void report_row(FILE *f, const char *tag, const char *const *cells, int count, int left) {
    fputs("<tr>", f);
    for (int i = 0; i < count; i++) {
        fprintf(f, i < left ? "<%s>" : "<%s class=\"n\">", tag);
        html_text(f, cells[i]);
        fprintf(f, "</%s>", tag);
    }
    fputs("</tr>\n", f);
}

// A step of an axis that people read easily: 1, 2 or 5 times a power of ten.
static double nice_step(double range, int about) {
    double raw = range / about, power = pow(10, floor(log10(raw > 0 ? raw : 1))), m = raw / power;
    return power * (m <= 1 ? 1 : m <= 2 ? 2 : m <= 5 ? 5 : 10);
}

static void svg_curves(FILE *f, const curve *curves, int count, const char *x_name, const char *y_name) {
    static const char *const dashes[] = {"none", "8 4", "2 3", "9 3 2 3"};
    const double left = 60, right = 940, top = 20, bottom = 300;
    double x0 = HUGE_VAL, x1 = -HUGE_VAL, y0 = HUGE_VAL, y1 = -HUGE_VAL;
    for (int c = 0; c < count; c++)
        for (int i = 0; i < curves[c].count; i++) {
            x0 = fmin(x0, curves[c].x[i]), x1 = fmax(x1, curves[c].x[i]);
            y0 = fmin(y0, curves[c].y[i]), y1 = fmax(y1, curves[c].y[i]);
        }
    if (!(x1 >= x0)) return;
    if (x1 == x0) x1 = x0 + 1;
    double ystep = nice_step(y1 > y0 ? y1 - y0 : fabs(y1) + 1e-9, 5), xstep = nice_step(x1 - x0, 8);
    y0 = floor(y0 / ystep) * ystep, y1 = ceil(y1 / ystep) * ystep;
    if (y1 == y0) y1 = y0 + ystep;
    fputs("<svg viewBox=\"0 0 960 350\" role=\"img\">\n", f);
    for (double y = y0; y <= y1 + ystep / 2; y += ystep) {
        double at = bottom - (y - y0) / (y1 - y0) * (bottom - top);
        fprintf(f, "<line x1=\"%g\" x2=\"%g\" y1=\"%.1f\" y2=\"%.1f\" stroke=\"#e4e4e4\"/><text x=\"%g\" y=\"%.1f\" text-anchor=\"end\">%.4g</text>\n", left,
                right, at, at, left - 6, at + 4, fabs(y) < ystep / 1e6 ? 0 : y);
    }
    for (double x = ceil(x0 / xstep) * xstep; x <= x1 + xstep / 1e6; x += xstep)
        fprintf(f, "<text x=\"%.1f\" y=\"%g\" text-anchor=\"middle\">%.6g</text>\n", left + (x - x0) / (x1 - x0) * (right - left), bottom + 18, x);
    fprintf(f, "<text x=\"%g\" y=\"%g\" text-anchor=\"end\">%s</text><text x=\"%g\" y=\"12\">%s</text>\n", right, bottom + 38, x_name, left, y_name);
    for (int c = 0; c < count; c++) {
        const curve *k = &curves[c];
        if (!k->count) continue;
        const char *dash = dashes[c % 4];  // told apart without colours, too
        fprintf(f, "<polyline fill=\"none\" stroke=\"%s\" stroke-width=\"2\" stroke-dasharray=\"%s\" points=\"", k->color, dash);
        for (int i = 0; i < k->count; i++)
            fprintf(f, "%.1f,%.1f ", left + (k->x[i] - x0) / (x1 - x0) * (right - left), bottom - (k->y[i] - y0) / (y1 - y0) * (bottom - top));
        fputs("\"/>\n", f);
        for (int i = 0; i < k->count && k->count < 60; i++)  // a single point has no line
            fprintf(f, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"3\" fill=\"%s\"/>\n", left + (k->x[i] - x0) / (x1 - x0) * (right - left),
                    bottom - (k->y[i] - y0) / (y1 - y0) * (bottom - top), k->color);
        fprintf(f, "<path d=\"M%g %gh24\" stroke=\"%s\" stroke-width=\"3\" stroke-dasharray=\"%s\"/><text x=\"%g\" y=\"%g\">", left + 180.0 * c,
                bottom + 34, k->color, dash, left + 180.0 * c + 30, bottom + 38);
        html_text(f, k->name);
        fputs("</text>\n", f);
    }
    fputs("</svg>\n", f);
}

// Groups of bars: values[g * series + s], with a legend of the series.
static void svg_bars(FILE *f, const char *const *groups, int group_count, const char *const *series, const char *const *colors, int series_count,
                     const double *values, const char *format) {
    const double left = 60, right = 940, top = 30, bottom = 260;
    double most = 1e-9;
    for (int i = 0; i < group_count * series_count; i++) most = fmax(most, values[i]);
    double step = nice_step(most, 5);
    most = ceil(most / step) * step;
    fputs("<svg viewBox=\"0 0 960 310\" role=\"img\">\n", f);
    for (double y = 0; y <= most + step / 2; y += step) {
        double at = bottom - y / most * (bottom - top);
        fprintf(f, "<line x1=\"%g\" x2=\"%g\" y1=\"%.1f\" y2=\"%.1f\" stroke=\"#e4e4e4\"/><text x=\"%g\" y=\"%.1f\" text-anchor=\"end\">%.4g</text>\n", left,
                right, at, at, left - 6, at + 4, y);
    }
    double group = (right - left) / group_count, bar = fmin(0.8 * group / series_count, 60);
    for (int g = 0; g < group_count; g++) {
        double middle = left + group * (g + 0.5), start = middle - bar * series_count / 2;
        for (int s = 0; s < series_count; s++) {
            double v = values[g * series_count + s], h = v / most * (bottom - top);
            fprintf(f, "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" fill=\"%s\"/><text x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">", start + bar * s + 1,
                    bottom - h, bar - 2, h, colors[s], start + bar * (s + 0.5), bottom - h - 5);
            fprintf(f, format, v);
            fputs("</text>\n", f);
        }
        fprintf(f, "<text x=\"%.1f\" y=\"%g\" text-anchor=\"middle\">", middle, bottom + 18);
        html_text(f, groups[g]);
        fputs("</text>\n", f);
    }
    for (int s = 0; s < series_count; s++) {
        fprintf(f, "<rect x=\"%g\" y=\"%g\" width=\"14\" height=\"10\" fill=\"%s\"/><text x=\"%g\" y=\"%g\">", left + 170.0 * s, bottom + 31, colors[s],
                left + 170.0 * s + 20, bottom + 41);
        html_text(f, series[s]);
        fputs("</text>\n", f);
    }
    fputs("</svg>\n", f);
}

#endif
