// The main job in two minutes: a small instruction-tuned T5 learns to summarize dialogues, once with all its weights and once with a
// LoRA adapter, and is scored on dialogues whose names, places, things and phrasings it has never seen.
//   build/demo_run MODEL TRAIN.jsonl VALIDATION.jsonl TEST.jsonl OUTPUT_FOLDER
#define PEFT_IMPLEMENTATION
#include "peft.h"

#include "cli.h"
#include "report.h"

static const char *const prompt = "Summarize the following conversation.\n\n{{dialogue}}\n\nSummary:";

typedef struct run {
    const char *name, *key;
    peft_rouge_result rouge;
    char **texts;
    double seconds, loss;
    int64_t trainable, total, bytes;
    curve training, validation;
    double smooth;
} run;

static peft_context *ctx;
static peft_dataset *train, *validation, *test;
static int64_t count;  // of test examples
static const char **prompts, **humans;

static int complain(const char *what) {
    fprintf(stderr, "demo: %s: %s\n", what, peft_error(ctx));
    return EXIT_DATA;
}

static bool watch(const peft_progress *p, void *user) {
    run *r = (run *)user;
    r->smooth = p->step == 1 ? p->loss : 0.9 * r->smooth + 0.1 * p->loss;
    curve_add(&r->training, (double)p->step, r->smooth);
    if (p->evaluated) curve_add(&r->validation, (double)p->step, p->eval_loss);
    if (is_terminal(stderr) && (p->step % 5 == 0 || p->step == p->steps))
        fprintf(stderr, "\r  step %lld/%lld  loss (smoothed) %.3f  %.0f tok/s  %.0f s left   %s", (long long)p->step, (long long)p->steps, r->smooth, p->tokens_per_second,
                p->seconds_left, p->step == p->steps ? "\r                                                             \r" : "");
    r->loss = p->eval_loss;
    return true;
}

static peft_status score(run *r, peft_model *m, const peft_adapter *a) {
    r->texts = (char **)calloc((size_t)count, sizeof(char *));
    if (!r->texts) return PEFT_ERROR_MEMORY;
    if (is_terminal(stderr)) fprintf(stderr, "\r  %lld answers ...   \r", (long long)count);
    peft_generate_desc g = {.model = m, .adapter = a, .max_new_tokens = 60};
    peft_status status = peft_generate_texts(&g, prompts, count, r->texts);
    if (status) return status;
    return peft_rouge(&(peft_rouge_desc){.context = ctx, .predictions = (const char *const *)r->texts, .references = humans, .count = count,
                                         .use_stemmer = true, .bootstrap_samples = 1000, .seed = 1}, &r->rouge);
}

static int64_t file_size(const char *folder, const char *name) {
    char path[1024];
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    FILE *f = fopen(path, "rb");
    if (!f) return 0;
    int64_t n = fseek(f, 0, SEEK_END) ? 0 : (int64_t)ftell(f);
    fclose(f);
    return n;
}

// One row of the table: train, save, generate, score. `full`: all weights, else a LoRA on every linear layer.
static peft_status tune(run *r, const char *path, bool full, const char *out) {
    peft_model *m = NULL;
    peft_adapter *a = NULL;
    peft_train_result result = {0};
    peft_status status = peft_model_load(&(peft_model_desc){.context = ctx, .path = path}, &m);
    if (!status && !full) status = peft_adapter_create(&(peft_adapter_desc){.model = m, .r = 8, .alpha = 32, .target_modules = "all-linear", .seed = 1}, &a);
    if (!status)
        status = peft_train(&(peft_train_desc){.model = m, .adapter = a, .data = train, .validation = validation, .epochs = 2, .batch_size = 16,
                                               .learning_rate = full ? 5e-4f : 3e-3f, .warmup_steps = 10, .max_source = 256, .max_target = 64, .eval_every = 25,
                                               .seed = 1, .progress = watch, .progress_user = r}, &result);
    if (!status) status = full ? peft_model_save(m, out, PEFT_F32) : peft_adapter_save(a, out);
    r->seconds = result.seconds;
    r->trainable = result.trainable, r->total = result.total;
    r->bytes = file_size(out, full ? "model.safetensors" : "adapter_model.safetensors");
    if (!status) status = score(r, m, a);
    peft_adapter_destroy(a);
    peft_model_destroy(m);
    return status;
}

static void print_table(FILE *f, const run *runs, bool html) {
    static const char *const head[] = {"method", "ROUGE-1", "ROUGE-2", "ROUGE-L", "95 % of ROUGE-L", "trainable", "seconds", "file, kB"};
    if (html) {
        fputs("<table>\n", f);
        report_row(f, "th", head, COUNT(head), 1);
    } else {
        fprintf(f, "%-26s %8s %8s %8s %17s %10s %8s %9s\n", head[0], head[1], head[2], head[3], head[4], head[5], head[6], head[7]);
    }
    for (int i = 0; i < 3; i++) {
        const run *r = &runs[i];
        char cell[8][64];
        snprintf(cell[0], 64, "%s", r->name);
        snprintf(cell[1], 64, "%.2f", 100 * r->rouge.mean.rouge1.f1);
        snprintf(cell[2], 64, "%.2f", 100 * r->rouge.mean.rouge2.f1);
        snprintf(cell[3], 64, "%.2f", 100 * r->rouge.mean.rougeL.f1);
        snprintf(cell[4], 64, "%.2f to %.2f", 100 * r->rouge.low.rougeL.f1, 100 * r->rouge.high.rougeL.f1);
        snprintf(cell[5], 64, "%lld", (long long)r->trainable);
        snprintf(cell[6], 64, "%.1f", r->seconds);
        snprintf(cell[7], 64, "%.0f", (double)r->bytes / 1000);
        const char *row[8];
        for (int c = 0; c < 8; c++) row[c] = cell[c];
        if (html) report_row(f, "td", row, 8, 1);
        else fprintf(f, "%-26s %8s %8s %8s %17s %10s %8s %9s\n", row[0], row[1], row[2], row[3], row[4], row[5], row[6], row[7]);
    }
    if (html) fputs("</table>\n", f);
}

static FILE *create(const char *folder, const char *name, char *path, size_t size) {
    snprintf(path, size, "%s/%s", folder, name);
    FILE *f = fopen(path, "wb");
    if (!f) fprintf(stderr, "demo: %s: %s\n", path, strerror(errno));
    return f;
}

static bool write_json(const char *folder, const run *runs) {
    char path[1024];
    FILE *f = create(folder, "report.json", path, sizeof(path));
    if (!f) return false;
    fputc('{', f);
    for (int i = 0; i < 3; i++) {
        const peft_rouge_scores *m = &runs[i].rouge.mean;
        fprintf(f, "%s\"%s\":{\"rouge1\":%.6f,\"rouge2\":%.6f,\"rougeL\":%.6f,\"rougeLsum\":%.6f", i ? "," : "", runs[i].key, m->rouge1.f1, m->rouge2.f1,
                m->rougeL.f1, m->rougeLsum.f1);
        if (i) fprintf(f, ",\"trainable\":%lld,\"total\":%lld,\"seconds\":%.3f,\"bytes\":%lld", (long long)runs[i].trainable, (long long)runs[i].total,
                       runs[i].seconds, (long long)runs[i].bytes);
        fputc('}', f);
    }
    fprintf(f, ",\"examples\":%lld,", (long long)count);
    json_pair(f, "signature", runs[0].rouge.signature, "}\n");
    return fclose(f) == 0;
}

static bool write_html(const char *folder, const run *runs) {
    static const char *const names[] = {"ROUGE-1", "ROUGE-2", "ROUGE-L"}, *const colors[] = {"#9aa7b5", "#d62728", "#1f77b4"};
    const char *series[3];
    double values[9];
    char path[1024];
    FILE *f = create(folder, "report.html", path, sizeof(path));
    if (!f) return false;
    report_begin(f, "Dialogue summaries: base model, full fine-tuning, LoRA");
    print_table(f, runs, true);
    fputs("<p>", f);
    html_text(f, runs[0].rouge.signature);
    fprintf(f, ", %lld held-out dialogues; the interval is of ROUGE-L, by bootstrap</p>\n", (long long)count);
    for (int i = 0; i < 3; i++) {
        series[i] = runs[i].name;
        values[i] = 100 * runs[i].rouge.mean.rouge1.f1;
        values[3 + i] = 100 * runs[i].rouge.mean.rouge2.f1;
        values[6 + i] = 100 * runs[i].rouge.mean.rougeL.f1;
    }
    report_heading(f, "ROUGE F1, in percent");
    svg_bars(f, names, 3, series, colors, 3, values, "%.1f");
    report_heading(f, "Loss per token");
    curve curves[4] = {runs[1].training, runs[1].validation, runs[2].training, runs[2].validation};
    static const char *const labels[] = {"full, training", "full, validation", "LoRA, training", "LoRA, validation"}, *const tones[] = {"#f1a9a9", "#d62728", "#9ecae1", "#1f77b4"};
    for (int i = 0; i < 4; i++) curves[i].name = labels[i], curves[i].color = tones[i];
    svg_curves(f, curves, 4, "step", "loss");
    report_heading(f, "Samples");
    fputs("<table>\n", f);
    const char *const head[] = {"dialogue", "human", runs[0].name, runs[1].name, runs[2].name};
    report_row(f, "th", head, 5, 5);
    for (int64_t i = 0; i < 8 && i < count; i++) {
        const char *cells[] = {prompts[i], humans[i], runs[0].texts[i], runs[1].texts[i], runs[2].texts[i]};
        fputs("<tr>", f);
        for (int c = 0; c < 5; c++) {
            fputs("<td><pre>", f);
            html_text(f, cells[c]);
            fputs("</pre></td>", f);
        }
        fputs("</tr>\n", f);
    }
    fputs("</table>\n", f);
    report_end(f);
    return fclose(f) == 0;
}

static bool load(const char *path, peft_dataset **out) {
    return !peft_dataset_load(&(peft_dataset_desc){.context = ctx, .path = path, .prompt = prompt, .completion = "{{summary}}"}, out);
}

static int demo(char **argv) {
    const char *model = argv[1], *folder = argv[5];
    char full[1024], lora[1024];
    snprintf(full, sizeof(full), "%s/full", folder);
    snprintf(lora, sizeof(lora), "%s/lora", folder);
    run runs[3] = {{.name = "base model, zero-shot", .key = "base"}, {.name = "full fine-tuning", .key = "full"}, {.name = "LoRA r 8, all linear", .key = "lora"}};
    if (!load(argv[2], &train) || !load(argv[3], &validation) || !load(argv[4], &test)) return complain("data");
    count = peft_dataset_count(test);
    prompts = (const char **)calloc((size_t)count, sizeof(char *)), humans = (const char **)calloc((size_t)count, sizeof(char *));
    if (!prompts || !humans) return EXIT_MEMORY;
    for (int64_t i = 0; i < count; i++) prompts[i] = peft_dataset_prompt(test, i), humans[i] = peft_dataset_completion(test, i);

    peft_model *m;
    if (peft_model_load(&(peft_model_desc){.context = ctx, .path = model}, &m)) return complain("model");
    printf("A T5 of %lld parameters, instruction-tuned on other tasks; %lld dialogues to learn from, %lld held-out ones to score.\n\n",
           (long long)peft_model_parameter_count(m), (long long)peft_dataset_count(train), (long long)count);
    peft_status status = score(&runs[0], m, NULL);
    peft_model_destroy(m);
    if (status) return complain("base model");
    printf("%s\n\n  human:  %s\n  base:   %s\n\n", prompts[0], humans[0], runs[0].texts[0]);
    fflush(stdout);
    if (tune(&runs[1], model, true, full)) return complain("full fine-tuning");
    printf("  full:   %s\n", runs[1].texts[0]);
    fflush(stdout);
    if (tune(&runs[2], model, false, lora)) return complain("LoRA");
    printf("  LoRA:   %s\n\n", runs[2].texts[0]);
    print_table(stdout, runs, false);
    if (!write_html(folder, runs) || !write_json(folder, runs)) return EXIT_DATA;
    printf("\nCurves and samples: %s/report.html    Figures: %s/report.json\n", folder, folder);
    for (int r = 0; r < 3; r++) {
        for (int64_t i = 0; i < count; i++) peft_free(ctx, runs[r].texts[i]);
        free(runs[r].texts);
        curve_free(&runs[r].training);
        curve_free(&runs[r].validation);
    }
    return EXIT_OK;
}

int main(int argc, char **argv) {
    if (argc != 6) {
        fprintf(stderr, "usage: demo_run MODEL TRAIN.jsonl VALIDATION.jsonl TEST.jsonl OUTPUT_FOLDER\n");
        return EXIT_USAGE;
    }
    if (peft_context_create(&(peft_context_desc){.threads = cores()}, &ctx)) return EXIT_MEMORY;
    int code = demo(argv);
    peft_dataset_destroy(train);
    peft_dataset_destroy(validation);
    peft_dataset_destroy(test);
    free((void *)prompts);
    free((void *)humans);
    peft_context_destroy(ctx);
    return code;
}
