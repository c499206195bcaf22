// Fine-tuning on a microcontroller without an operating system: all memory is a static arena, the weights lie in flash and are used
// where they are (peft_mount), the adapter leaves through file callbacks. First examples/own_network.c, then a Llama of 284,000
// parameters that learns four answers with LoRA. `make cortex-m` runs it in qemu on ARM's MPS2 board (AN386: a Cortex-M4) and
// compares its numbers with the same program on the machine at hand.
#define PEFT_NO_STDIO
#define PEFT_NO_SIMD
#define PEFT_NO_METRICS
#include <stddef.h>
static void *arena_alloc(size_t size);
static void arena_free(void *block);
#define PEFT_MALLOC(size) arena_alloc(size)
#define PEFT_FREE(block) arena_free(block)
#define main own_network
#include "../own_network.c"
#undef main

// ---- the arena: blocks in the order of their addresses, the first that fits is taken, neighbours that are free become one

typedef struct block {
    size_t size;  // with this header; 0: the end
    size_t used;
} block;
static _Alignas(16) unsigned char arena[3 << 20];
static size_t arena_used, arena_peak;

static block *behind(block *b) { return (block *)(void *)((unsigned char *)b + b->size); }

static void *arena_alloc(size_t size) {
    block *b = (block *)(void *)arena;
    size = (size + sizeof(block) + 15) / 16 * 16;
    if (!b->size) b->size = sizeof(arena) - sizeof(block);  // the first call
    for (; b->size; b = behind(b)) {
        while (!b->used && behind(b)->size && !behind(b)->used) b->size += behind(b)->size;
        if (b->used || b->size < size) continue;
        size_t rest = b->size - size;
        if (rest >= 2 * sizeof(block)) {
            b->size = size;
            *behind(b) = (block){rest, 0};
        }
        b->used = 1;
        arena_used += b->size;
        if (arena_used > arena_peak) arena_peak = arena_used;
        return b + 1;
    }
    return NULL;
}

static void arena_free(void *p) {
    block *b = (block *)p - 1;
    b->used = 0;
    arena_used -= b->size;
}

// ---- files: what would be a sector of flash each. Only what an adapter needs: two files and their names while they are written.

typedef struct sector {
    char path[64];
    size_t size;
    unsigned char bytes[128 << 10];
} sector;
static sector sectors[3];

static sector *sector_of(const char *path) {
    for (int i = 0; i < 3; i++)
        if (strcmp(sectors[i].path, path) == 0) return &sectors[i];
    return NULL;
}
static peft_status flash_open(const char *path, bool write, void **file, uint64_t *size, void *user) {
    sector *s = sector_of(path);
    (void)user;
    if (!s && write) s = sector_of("");
    if (!s || strlen(path) >= sizeof s->path) return write ? PEFT_ERROR_IO : PEFT_ERROR_MISSING;
    strcpy(s->path, path);
    if (write) s->size = 0;
    *size = s->size, *file = s;
    return PEFT_OK;
}
static peft_status flash_read(void *file, uint64_t offset, void *into, size_t n, void *user) {
    (void)user;
    memcpy(into, ((sector *)file)->bytes + offset, n);
    return PEFT_OK;
}
static peft_status flash_write(void *file, const void *data, size_t n, void *user) {
    sector *s = file;
    (void)user;
    if (n > sizeof s->bytes - s->size) return PEFT_ERROR_IO;  // full
    memcpy(s->bytes + s->size, data, n);
    s->size += n;
    return PEFT_OK;
}
static peft_status flash_nothing(void *file, void *user) { return (void)file, (void)user, PEFT_OK; }
static peft_status flash_remove(const char *path, void *user) {
    sector *s = sector_of(path);
    (void)user;
    if (s) s->path[0] = 0;
    return s ? PEFT_OK : PEFT_ERROR_MISSING;
}
static peft_status flash_rename(const char *from, const char *to, void *user) {
    flash_remove(to, user);
    strcpy(sector_of(from)->path, to);
    return PEFT_OK;
}
static peft_status flash_folder(const char *path, void *user) { return (void)path, (void)user, PEFT_OK; }

// ---- the model in flash: data.S

extern const unsigned char model_config[], model_config_end[], model_weights[], model_weights_end[], model_tokenizer[], model_tokenizer_end[],
    model_tokenizer_config[], model_tokenizer_config_end[];
static const struct {
    const char *path;
    const unsigned char *begin, *end;
} files[] = {{"llama/config.json", model_config, model_config_end}, {"llama/model.safetensors", model_weights, model_weights_end},
             {"llama/tokenizer.json", model_tokenizer, model_tokenizer_end}, {"llama/tokenizer_config.json", model_tokenizer_config, model_tokenizer_config_end}};

static const char lines[] = "{\"prompt\": \"red?\", \"completion\": \"stop\"}\n{\"prompt\": \"green?\", \"completion\": \"go\"}\n"
                            "{\"prompt\": \"amber?\", \"completion\": \"wait\"}\n{\"prompt\": \"off?\", \"completion\": \"look\"}\n";

static bool show(const peft_progress *p, void *user) {
    double *ends = user;
    ends[p->step > 1] = p->loss;
    printf("step %d loss %.4f\n", (int)p->step, p->loss);
    return true;
}

static int say(peft_context *ctx, const char *what) { return printf("%s: %s\n", what, peft_error(ctx)), 1; }

static int adapt_llama(void) {
    peft_context *ctx;
    peft_model *model;
    peft_dataset *data;
    peft_adapter *lora, *again;
    double ends[2] = {0, 0}, before = 0, after = 0;
    if (peft_context_create(&(peft_context_desc){.files = {flash_open, flash_read, flash_write, flash_nothing, flash_nothing, flash_rename, flash_remove, flash_folder, NULL, false}}, &ctx)) return 1;
    for (int i = 0; i < 4; i++)
        if (peft_mount(ctx, files[i].path, files[i].begin, (size_t)(files[i].end - files[i].begin))) return 1;
    if (peft_mount(ctx, "lines.jsonl", lines, sizeof lines - 1)) return 1;
    if (peft_model_load(&(peft_model_desc){.context = ctx, .path = "llama"}, &model)) return say(ctx, "model");
    if (peft_dataset_load(&(peft_dataset_desc){.context = ctx, .path = "lines.jsonl"}, &data)) return say(ctx, "data");
    if (peft_adapter_create(&(peft_adapter_desc){.model = model, .r = 4, .alpha = 16, .target_modules = "all-linear", .seed = 1}, &lora)) return say(ctx, "adapter");
    printf("\na Llama of %d parameters, %d of them in a LoRA; %d bytes of RAM for it\n", (int)peft_model_parameter_count(model), (int)peft_adapter_parameter_count(lora), (int)arena_used);
    if (peft_train(&(peft_train_desc){.model = model, .adapter = lora, .data = data, .batch_size = 4, .max_steps = 12, .learning_rate = 1e-2f, .schedule = PEFT_SCHEDULE_CONSTANT, .progress = show, .progress_user = ends}, NULL)) return say(ctx, "training");
    if (peft_evaluate_loss(model, lora, data, 0, 0, &before)) return say(ctx, "loss");
    if (peft_adapter_save(lora, "flash")) return say(ctx, "saving");
    peft_adapter_destroy(lora);
    if (peft_adapter_load(model, "flash", &again)) return say(ctx, "loading");
    if (peft_evaluate_loss(model, again, data, 0, 0, &after)) return say(ctx, "loss");
    printf("saved: %d bytes of weights; loaded again: loss %.4f, %s\n", (int)sector_of("flash/adapter_model.safetensors")->size, after, before == after ? "the same" : "ANOTHER");
    peft_adapter_destroy(again), peft_dataset_destroy(data), peft_model_destroy(model), peft_context_destroy(ctx);
    return ends[1] < 0.8 * ends[0] && before == after && arena_used == 0 ? 0 : 1;
}

int main(void) {
    int failed = own_network();
    printf("RAM at most %d bytes\n", (int)arena_peak);
    arena_peak = 0;
    failed |= adapt_llama();
#ifdef __arm__
    extern const char code_end[], bss_begin[], bss_end[];
    int stack_used(void);
    printf("target: code %d bytes, weights %d bytes in flash, RAM of the arena at most %d bytes, other static data %d bytes, stack %d bytes\n", (int)(uintptr_t)code_end,
        (int)(model_weights_end - model_weights), (int)arena_peak, (int)(bss_end - bss_begin) - (int)sizeof arena - (int)sizeof sectors, stack_used());
#endif
    return failed;
}
