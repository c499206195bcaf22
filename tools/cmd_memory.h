// peft quantize and peft memory: weights in few bits, and where memory goes, before it is taken and measured.
#ifndef PEFT_CMD_MEMORY_H
#define PEFT_CMD_MEMORY_H

#if defined(__unix__) || defined(__APPLE__)
#include <sys/resource.h>
#endif

// ---- quantize

static struct {
    const char *type;
    int64_t block;
    bool double_quant, tensors;
} quantize;

static const option quantize_options[] = {
    {"type", OPTION_WORD, &quantize.type, "NAME", "nf4 (default), fp4 or i8"},
    {"block", OPTION_COUNT, &quantize.block, "N", "weights that share a scale: 32, 64 (default), ... 4096"},
    {"double-quant", OPTION_FLAG, &quantize.double_quant, "", "the scales in 8 bits too (nf4, fp4)"},
    {"tensors", OPTION_FLAG, &quantize.tensors, "", "the error of every tensor, not only of all"},
    FORCE_OPTION,
    COMMON_OPTIONS};

typedef struct quantize_total {
    double squares, differences, max;  // of the weights; of what they lost; the largest loss
    int64_t tensors, weights;
    size_t before, after;
} quantize_total;

// What one weight has lost. Its sum of squares is found from the relative error's two parts.
static int quantize_compare(const peft_tensor *a, const peft_tensor *b, quantize_total *sum) {
    peft_quantize_error e;
    peft_status status = peft_quantize_compare(cli.ctx, a, b, &e);
    if (status) return fail(status);
    double squares = 0;
    float *values = (float *)malloc((size_t)(a->rows * a->cols) * sizeof(float));
    if (!values) return EXIT_MEMORY;
    peft_dequantize(cli.ctx, a, values);
    for (int64_t i = 0; i < a->rows * a->cols; i++) squares += (double)values[i] * (double)values[i];
    free(values);
    sum->squares += squares;
    sum->differences += e.relative * e.relative * squares;
    sum->max = fmax(sum->max, e.max);
    sum->tensors++;
    sum->weights += a->rows * a->cols;
    if (!quantize.tensors) return EXIT_OK;
    if (cli.json) {
        printf("{");
        json_pair(stdout, "tensor", b->name, ",");
        printf("\"relative\":%.6g,\"mean\":%.6g,\"max\":%.6g}\n", e.relative, e.mean, e.max);
    } else {
        printf("%-68s %8.4f %%  mean %.3e  max %.3e\n", b->name, 100 * e.relative, e.mean, e.max);
    }
    return EXIT_OK;
}

static int quantize_all(peft_model *from, peft_model *to, const char *out) {
    quantize_total sum = {0};
    int code = EXIT_OK;
    for (int64_t i = 0; i < peft_model_tensor_count(to) && !code; i++) {
        const peft_tensor *a = peft_model_tensor(from, i), *b = peft_model_tensor(to, i);
        sum.before += peft_tensor_bytes(a);
        sum.after += peft_tensor_bytes(b);
        if (a->quant && b->quant && (quantize.block || quantize.double_quant))
            return wrong(
                "%s is of type %s already: --block and --double-quant are for weights that are floats",
                a->name, peft_dtype_name(a->type));
        if (b->quant && !a->quant && a->rows == b->rows && a->in_out == b->in_out)
            code = quantize_compare(a, b, &sum);
    }
    peft_dtype type = PEFT_NF4;
    parse_weights("type", quantize.type ? quantize.type : "nf4", &type);
    peft_status status = code ? PEFT_OK : peft_model_save(to, out, type);
    if (code || status) return code ? code : fail(status);
    double relative = sum.squares > 0 ? sqrt(sum.differences / sum.squares) : 0,
           deviation = sum.weights ? sqrt(sum.differences / (double)sum.weights) : 0;
    if (cli.json) {
        printf("{");
        json_pair(stdout, "out", out, ",");
        json_pair(stdout, "type", peft_dtype_name(type), ",");
        printf("\"tensors\":%lld,\"weights\":%lld,\"bytes_before\":%zu,\"bytes_after\":%zu,\"relative_"
               "error\":%.6g,\"rms_error\":%.6g,\"max_error\":%.6g}\n",
               (long long)sum.tensors, (long long)sum.weights, sum.before, sum.after, relative, deviation,
               sum.max);
    } else {
        printf("%lld tensors of %lld weights as %s: relative error %.3f %%, root mean square %.3e, at most "
               "%.3e\n%.2f MB before, %.2f MB now: %s\n",
               (long long)sum.tensors, (long long)sum.weights, peft_dtype_name(type), 100 * relative,
               deviation, sum.max, (double)sum.before / 1e6, (double)sum.after / 1e6, out);
    }
    return EXIT_OK;
}

// T5's second feed-forward matrices are floats in a folder of four bits, as transformers wants them: those that are written have lost
// nothing. The library keeps all weights of a model in four bits in memory.
static void quantize_keep_wide(peft_model *from, peft_model *to) {
    for (int64_t i = 0; i < peft_model_tensor_count(to); i++) {
        peft_tensor *a = peft_model_tensor(from, i), *b = peft_model_tensor(to, i), kept = *b;
        const char *end = strstr(b->name, ".wo.weight");
        if (!peft_model_config(to)->encoder_decoder || !end || strcmp(end, ".wo.weight") || a->quant) continue;
        *b = *a;
        *a = kept;
    }
}

static int run_quantize(void) {
    peft_model *from = NULL, *to = NULL;
    peft_dtype type;
    if (cli.rest.count != 2) return wrong("give MODEL and OUT");
    int code = parse_weights("type", quantize.type ? quantize.type : "nf4", &type);
    if (!code && type < PEFT_I8) code = wrong("--type %s is not nf4, fp4 or i8", quantize.type);
    if (!code) code = output_may_go("quantize", cli.rest.items[1], cli.force, cli.rest.items, 1);
    if (!code) code = open_model(cli.rest.items[0], false, &from);
    if (!code) {
        peft_status status = peft_model_load(&(peft_model_desc){.context = cli.ctx,
                                                                .path = cli.rest.items[0],
                                                                .weights = type,
                                                                .block = quantize.block,
                                                                .double_quant = quantize.double_quant},
                                             &to);
        if (status) code = fail(status);
    }
    if (!code && type > PEFT_I8) quantize_keep_wide(from, to);
    if (!code) code = quantize_all(from, to, cli.rest.items[1]);
    peft_model_destroy(from);
    peft_model_destroy(to);
    return code;
}

// ---- memory

static struct {
    const char *method, *optimizer, *target, *svg;
    int64_t batch, source, tokens, r, virtual_tokens;
    double dropout;
    bool blocks, measure, init;
} planned;

static const option memory_options[] = {
    {"method", OPTION_WORD, &planned.method, "NAME", "only one of full, lora, qlora, prompt"},
    WEIGHT_OPTIONS,
    {"batch", OPTION_COUNT, &planned.batch, "N", "examples per batch (8)"},
    {"max-source", OPTION_COUNT, &planned.source, "N", "tokens of the input (512)"},
    {"max-target", OPTION_COUNT, &planned.tokens, "N", "tokens of the answer (128)"},
    {"optimizer", OPTION_WORD, &planned.optimizer, "NAME",
     "adamw (default), adamw8bit, adafactor, sgd, lion"},
    {"checkpoint-blocks", OPTION_FLAG, &planned.blocks, "",
     "compute blocks again on the way back (qlora does)"},
    {"r", OPTION_COUNT, &planned.r, "N", "rank of the adapters (8)"},
    {"target-modules", OPTION_TEXT, &planned.target, "NAMES", "of the adapters (all-linear)"},
    {"num-virtual-tokens", OPTION_COUNT, &planned.virtual_tokens, "N", "of prompt tuning (20)"},
    {"lora-dropout", OPTION_REAL, &planned.dropout, "X", "of the adapter's input (0)"},
    {"svg", OPTION_TEXT, &planned.svg, "FILE", "a picture of the table"},
    {"measure", OPTION_FLAG, &planned.measure, "", "take one step of --method and tell what it took"},
    {"init", OPTION_FLAG, &planned.init, "", "measure with random weights: MODEL needs only config.json"},
    COMMON_OPTIONS};

typedef struct memory_part {
    const char *name, *color;
    size_t offset;  // in peft_memory_plan
} memory_part;

static const memory_part memory_parts[] = {
    {"weights", "#4878a8", offsetof(peft_memory_plan, weights)},
    {"scales", "#7fb3d9", offsetof(peft_memory_plan, scales)},
    {"adapter", "#59a14f", offsetof(peft_memory_plan, adapter)},
    {"gradients", "#e8a33d", offsetof(peft_memory_plan, gradients)},
    {"optimizer", "#c8553d", offsetof(peft_memory_plan, optimizer)},
    {"activations", "#8e6bb0", offsetof(peft_memory_plan, activations)},
    {"scratch", "#9c9c9c", offsetof(peft_memory_plan, scratch)},
    {"tables", "#c9c9c9", offsetof(peft_memory_plan, tables)}};

static size_t memory_part_of(const peft_memory_plan *p, const memory_part *part) {
    size_t v;
    memcpy(&v, (const char *)p + part->offset, sizeof(v));
    return v;
}

static const char *const memory_methods[] = {"full", "lora", "qlora", "prompt"};
enum { MEMORY_FULL, MEMORY_LORA, MEMORY_QLORA, MEMORY_PROMPT, MEMORY_METHODS };

// The descriptor of a column; the adapter's is `a`.
static int memory_describe(int method, peft_plan_desc *p, peft_adapter_desc *a) {
    memset(p, 0, sizeof(*p));
    memset(a, 0, sizeof(*a));
    a->method = method == MEMORY_PROMPT ? PEFT_PROMPT_TUNING : PEFT_LORA;
    a->r = planned.r;
    a->num_virtual_tokens = planned.virtual_tokens;
    a->target_modules = method == MEMORY_PROMPT ? NULL : planned.target ? planned.target : "all-linear";
    a->dropout = (float)planned.dropout;
    p->context = cli.ctx;
    p->path = cli.rest.items[0];
    p->adapter = method == MEMORY_FULL ? NULL : a;
    p->batch_size = planned.batch > 0 ? planned.batch : 8;
    p->source = planned.source > 0 ? planned.source : 512;
    p->target = planned.tokens > 0 ? planned.tokens : 128;
    p->checkpoint_blocks = planned.blocks || method == MEMORY_QLORA;
    p->block = kept.block;
    p->double_quant = kept.double_quant;
    int code = parse_weights("weights", kept.weights, &p->weights);
    if (!code) code = parse_weights("embeddings", kept.embeddings, &p->embeddings);
    if (!code && planned.optimizer && !peft_optimizer_named(planned.optimizer, &p->optimizer))
        code = wrong("--optimizer %s is not adamw, adamw8bit, adafactor, sgd or lion", planned.optimizer);
    if (method == MEMORY_QLORA && !kept.weights) p->weights = PEFT_NF4, p->double_quant = true;
    if (method == MEMORY_FULL)
        p->weights = p->embeddings = PEFT_F32;  // whatever the base, all of it is trained in f32
    return code;
}

static void memory_row(const char *name, const int *chosen, int count, const size_t *values) {
    char text[32];
    printf("%-14s", name);
    for (int i = 0; i < count; i++) {
        human_bytes(text, sizeof(text), values[chosen[i]]);
        printf(" %12s", text);
    }
    printf("\n");
}

static void memory_table(const peft_memory_plan *plans, const int *chosen, int count) {
    size_t values[MEMORY_METHODS] = {0};
    printf("%-14s", "");
    for (int i = 0; i < count; i++) printf(" %12s", memory_methods[chosen[i]]);
    printf("\n");
    for (int k = 0; k < COUNT(memory_parts); k++) {
        for (int i = 0; i < MEMORY_METHODS; i++) values[i] = memory_part_of(&plans[i], &memory_parts[k]);
        memory_row(memory_parts[k].name, chosen, count, values);
    }
    for (int i = 0; i < MEMORY_METHODS; i++) values[i] = plans[i].total;
    memory_row("total", chosen, count, values);
    for (int i = 0; i < MEMORY_METHODS; i++) values[i] = plans[i].total - plans[i].mapped;
    memory_row("to allocate", chosen, count, values);
    printf("%-14s", "trained");
    for (int i = 0; i < count; i++) {
        char text[32];
        say_number(text, sizeof(text), (double)plans[chosen[i]].trainable, "");
        printf(" %12s", text);
    }
    char text[32];
    say_number(text, sizeof(text), (double)plans[chosen[0]].parameters, "");
    printf("   of %s\n", text);
}

static void memory_json(const peft_memory_plan *p, int method) {
    printf("{");
    json_pair(stdout, "method", memory_methods[method], ",");
    printf("\"parameters\":%lld,\"trainable\":%lld", (long long)p->parameters, (long long)p->trainable);
    for (int k = 0; k < COUNT(memory_parts); k++)
        printf(",\"%s\":%zu", memory_parts[k].name, memory_part_of(p, &memory_parts[k]));
    printf(",\"total\":%zu,\"mapped\":%zu}\n", p->total, p->mapped);
}

// One bar per method, its parts one behind the other.
static int memory_picture(const char *path, const peft_memory_plan *plans, const int *chosen, int count) {
    output o;
    FILE *f = output_open(&o, cli.command, path);
    if (!f) return EXIT_DATA;
    const double left = 70, right = 850, height = 34, step = 56;
    double most = 1;
    for (int i = 0; i < count; i++) most = fmax(most, (double)plans[chosen[i]].total);
    fprintf(f,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 960 %g\" role=\"img\" "
            "aria-label=\"Memory of a step\">\n",
            60 + step * count);
    fputs(PICTURE_PAPER, f);
    for (int i = 0; i < count; i++) {
        const peft_memory_plan *p = &plans[chosen[i]];
        double x = left, top = 20 + step * i;
        char text[32];
        fprintf(f, "<text x=\"%g\" y=\"%g\" text-anchor=\"end\">%s</text>\n", left - 8, top + height / 2 + 5,
                memory_methods[chosen[i]]);
        for (int k = 0; k < COUNT(memory_parts); k++) {
            double width = (double)memory_part_of(p, &memory_parts[k]) / most * (right - left);
            human_bytes(text, sizeof(text), memory_part_of(p, &memory_parts[k]));
            fprintf(f,
                    "<rect x=\"%.2f\" y=\"%g\" width=\"%.2f\" height=\"%g\" fill=\"%s\"><title>%s: "
                    "%s</title></rect>\n",
                    x, top, width, height, memory_parts[k].color, memory_parts[k].name, text);
            x += width;
        }
        human_bytes(text, sizeof(text), p->total);
        fprintf(f, "<text x=\"%.2f\" y=\"%g\">%s</text>\n", x + 8, top + height / 2 + 5, text);
    }
    for (int k = 0; k < COUNT(memory_parts); k++)
        fprintf(f,
                "<rect x=\"%g\" y=\"%g\" width=\"12\" height=\"12\" fill=\"%s\"/><text x=\"%g\" "
                "y=\"%g\">%s</text>\n",
                left + 108.0 * k, 30 + step * count, memory_parts[k].color, left + 108.0 * k + 17,
                41 + step * count, memory_parts[k].name);
    fputs("</svg>\n", f);
    return output_close(&o, true);
}

// ---- the truth: a step

// The most memory that the process has had, as the operating system counts; 0: it does not tell.
static size_t resident_peak(void) {
#if defined(__unix__) || defined(__APPLE__)
    struct rusage use;
    if (getrusage(RUSAGE_SELF, &use)) return 0;
#if defined(__APPLE__)
    return (size_t)use.ru_maxrss;
#else
    return (size_t)use.ru_maxrss * 1024;
#endif
#else
    return 0;
#endif
}

typedef struct memory_step {
    peft_model *model;
    peft_adapter *adapter;
    peft_optimizer *optimizer;
    peft_tape *tape;
    peft_tensor **tensors;
    int32_t *ids;
    int64_t *offsets;
} memory_step;

// A batch of one token again and again: its meaning does not matter here.
static bool memory_batch(memory_step *m, const peft_plan_desc *d, peft_batch *b) {
    bool pairs = peft_model_config(m->model)->encoder_decoder;
    int64_t length = pairs ? d->target : d->source + d->target - 1,
            n = d->batch_size * (d->source + 2 * length);
    m->ids = (int32_t *)calloc((size_t)n, sizeof(int32_t));
    m->offsets = (int64_t *)calloc((size_t)(2 * d->batch_size + 2), sizeof(int64_t));
    if (!m->ids || !m->offsets) return false;
    int32_t *labels = m->ids + d->batch_size * (d->source + length);
    int64_t *target_offsets = m->offsets + d->batch_size + 1;
    for (int64_t i = 1; i <= d->batch_size; i++)
        m->offsets[i] = i * d->source, target_offsets[i] = i * length;
    for (int64_t i = 0; i < d->batch_size * length; i++)
        labels[i] = pairs || i % length >= d->source - 1 ? 5 : -100;
    *b = (peft_batch){.count = d->batch_size,
                      .source = m->ids,
                      .source_offsets = m->offsets,
                      .decoder_input = m->ids + d->batch_size * d->source,
                      .labels = labels,
                      .target_offsets = target_offsets};
    return true;
}

static peft_status memory_open(memory_step *m, const peft_plan_desc *d) {
    peft_status status = peft_model_load(&(peft_model_desc){.context = cli.ctx,
                                                            .path = d->path,
                                                            .config_only = planned.init,
                                                            .weights = d->weights,
                                                            .embeddings = d->embeddings,
                                                            .block = d->block,
                                                            .double_quant = d->double_quant},
                                         &m->model);
    if (status) return status;
    if (d->adapter) {
        peft_adapter_desc a = *d->adapter;
        a.model = m->model;
        status = peft_adapter_create(&a, &m->adapter);
        if (status) return status;
    }
    int64_t count = m->adapter ? peft_adapter_tensor_count(m->adapter) : peft_model_tensor_count(m->model);
    m->tensors = (peft_tensor **)calloc((size_t)count, sizeof(peft_tensor *));
    if (!m->tensors) return PEFT_ERROR_MEMORY;
    for (int64_t i = 0; i < count; i++)
        m->tensors[i] = m->adapter ? peft_adapter_tensor(m->adapter, i) : peft_model_tensor(m->model, i);
    status = peft_optimizer_create(
        &(peft_optimizer_desc){
            .context = cli.ctx, .tensors = m->tensors, .count = count, .kind = d->optimizer},
        &m->optimizer);
    return status ? status : peft_tape_create(cli.ctx, &m->tape);
}

static peft_status memory_run(memory_step *m, const peft_plan_desc *d) {
    peft_batch b;
    if (!memory_batch(m, d, &b)) return PEFT_ERROR_MEMORY;
    peft_tape_checkpoint_blocks(m->tape, d->checkpoint_blocks);
    peft_active_adapter active = {.adapter = m->adapter};
    peft_status status = PEFT_OK;
    for (int step = 0; step < 2 && !status; step++) {
        peft_tape_reset(m->tape, 0);
        peft_tensor *loss = peft_model_loss(m->model, m->tape, &b, &active, m->adapter ? 1 : 0, 0);
        status = loss ? peft_backward(m->tape, loss) : peft_tape_status(m->tape);
        if (!status) peft_optimizer_step(m->optimizer, 1e-4f);
    }
    return status;
}

static int memory_measure(const peft_plan_desc *d, const peft_memory_plan *plan) {
    memory_step m = {0};
    peft_status status = memory_open(&m, d);
    if (!status) status = memory_run(&m, d);
    peft_tape_destroy(m.tape);
    peft_optimizer_destroy(m.optimizer);
    peft_adapter_destroy(m.adapter);
    peft_model_destroy(m.model);
    free(m.tensors), free(m.ids), free(m.offsets);
    if (status) return fail(status);
    size_t planned = plan->total - plan->mapped, measured = peft_memory_peak(cli.ctx),
           resident = resident_peak();
    if (cli.json) {
        printf("{\"event\":\"measured\",\"planned\":%zu,\"allocated\":%zu,\"resident\":%zu}\n", planned,
               measured, resident);
    } else {
        char a[32], b[32], c[32];
        human_bytes(a, sizeof(a), planned), human_bytes(b, sizeof(b), measured),
            human_bytes(c, sizeof(c), resident);
        printf(
            "measured in two steps: %s allocated at most (planned %s, %+.2f %%); the process: %s resident\n",
            b, a, 100 * ((double)planned / (double)measured - 1), c);
    }
    return EXIT_OK;
}

static int run_memory(void) {
    peft_memory_plan plans[MEMORY_METHODS] = {0};
    peft_plan_desc desc = {0};
    peft_adapter_desc adapter;
    int chosen[MEMORY_METHODS], count = 0, code = EXIT_OK;
    if (cli.rest.count != 1) return wrong("give a model folder or a config.json");
    for (int i = 0; i < MEMORY_METHODS; i++)
        if (!planned.method || strcmp(planned.method, memory_methods[i]) == 0) chosen[count++] = i;
    if (!count) return wrong("--method %s is not full, lora, qlora or prompt", planned.method);
    if (planned.measure && count > 1) return wrong("--measure needs a --method");
    for (int i = 0; i < count && !code; i++) {
        code = memory_describe(chosen[i], &desc, &adapter);
        peft_status status = code ? PEFT_OK : peft_plan_memory(&desc, &plans[chosen[i]]);
        if (status) code = fail(status);
        if (!code && cli.json) memory_json(&plans[chosen[i]], chosen[i]);
    }
    if (!code && !cli.json) {
        printf("A step with %lld examples of %lld and %lld tokens, %d threads\n", (long long)desc.batch_size,
               (long long)desc.source, (long long)desc.target, peft_thread_count(cli.ctx));
        memory_table(plans, chosen, count);
    }
    if (!code && planned.svg) code = memory_picture(planned.svg, plans, chosen, count);
    if (!code && planned.measure) code = memory_measure(&desc, &plans[chosen[0]]);
    return code;
}

#endif
