// Chapters 8, 9 and 12 together, on tiny models with random weights: training, resuming, adapters, saving, and every
// allocation failing once. Inputs are mounted from memory; what is written goes to build/train_test.
//   cc -std=c11 -O2 -DPEFT_USE_PTHREADS -I. tests/test_train.c -o build/test_train -pthread -lm
#define _POSIX_C_SOURCE 200809L  // pthread_barrier_t
#define PEFT_NO_METRICS  // what this program needs of the header
#define PEFT_IMPLEMENTATION
#define PEFT__EMULATE_BF16  // so that the kernels of AVX-512 BF16 are in use where the machine has AVX-512
#include "peft.h"
#include "check.h"
#include "counter.h"
#include <stdio.h>

static int passed, failed;

static void check(bool ok, const char *what, const peft_context *ctx) {
    if (test_count(&passed, &failed, ok, what)) printf("FAIL %s: %s\n", what, ctx ? peft_error(ctx) : "");
}

// ---- the files of a model: config.json, a vocabulary of letters, examples

typedef struct shape {
    int d_model, d_kv, heads, d_ff, layers, vocabulary;
    const char *feed_forward;
    bool tied;
} shape;

static const shape tiny = {16, 4, 2, 20, 1, 32, "gated-gelu", false};
static const shape tied = {16, 4, 2, 20, 2, 32, "relu", true};
static const shape wider = {96, 24, 4, 200, 2, 300, "gated-gelu", false};  // large enough that its products are split among threads

static char config_text[600], vocabulary_text[1200], train_text[4000], valid_text[1000];
static size_t vocabulary_size;

static void put_piece(const char *text, float score, int type) {  // a piece of SentencePiece's ModelProto
    size_t n = strlen(text);
    unsigned char head[] = {0x0A, (unsigned char)(n + 9), 0x0A, (unsigned char)n}, tail[] = {0x15, 0, 0, 0, 0, 0x18, (unsigned char)type};
    uint32_t bits = peft__float_bits(score);
    for (int i = 0; i < 4; i++) tail[1 + i] = (unsigned char)(bits >> 8 * i);
    char *to = vocabulary_text + vocabulary_size;
    memcpy(to, head, 4), memcpy(to + 4, text, n), memcpy(to + 4 + n, tail, 7);
    vocabulary_size += n + 11;
}

static void make_vocabulary(void) {
    put_piece("<pad>", 0, 3), put_piece("</s>", 0, 3), put_piece("<unk>", 0, 2), put_piece("\xE2\x96\x81", -1, 1);
    for (char c = 'a'; c <= 'z'; c++) {
        char text[2] = {c, 0};
        put_piece(text, -2, 1);
    }
    static const unsigned char unigram[] = {0x12, 2, 0x18, 1};
    memcpy(vocabulary_text + vocabulary_size, unigram, 4);
    vocabulary_size += 4;
}

static void make_examples(char *out, int count, uint64_t seed) {  // the completion is the prompt reversed
    peft_rng rng;
    peft_rng_seed(&rng, seed);
    for (int i = 0; i < count; i++) {
        char text[16], back[16];
        int n = 2 + (int)peft__rng_below(&rng, 8);
        for (int k = 0; k < n; k++) back[n - 1 - k] = text[k] = (char)('a' + peft__rng_below(&rng, 26));
        text[n] = back[n] = 0;
        out += sprintf(out, "{\"prompt\": \"%s\", \"completion\": \"%s\"}\n", text, back);
    }
}

static peft_context *make_context(counter *c, int threads, const shape *s) {
    peft_context_desc d;
    memset(&d, 0, sizeof d);
    if (c) COUNT_IN(d, *c);
    d.threads = threads;
    peft_context *ctx = NULL;
    if (peft_context_create(&d, &ctx)) return NULL;
    snprintf(config_text, sizeof config_text,
             "{\"model_type\": \"t5\", \"d_model\": %d, \"d_kv\": %d, \"num_heads\": %d, \"d_ff\": %d, \"num_layers\": %d, \"vocab_size\": %d,\n"
             " \"feed_forward_proj\": \"%s\", \"tie_word_embeddings\": %s, \"relative_attention_num_buckets\": 8,\n"
             " \"relative_attention_max_distance\": 16}\n",
             s->d_model, s->d_kv, s->heads, s->d_ff, s->layers, s->vocabulary, s->feed_forward, s->tied ? "true" : "false");
    if (peft_mount(ctx, "tiny/config.json", config_text, strlen(config_text)) || peft_mount(ctx, "tiny/spiece.model", vocabulary_text, vocabulary_size) ||
        peft_mount(ctx, "train.jsonl", train_text, strlen(train_text)) || peft_mount(ctx, "valid.jsonl", valid_text, strlen(valid_text))) {
        peft_context_destroy(ctx);
        return NULL;
    }
    return ctx;
}

static peft_status load_model(peft_context *ctx, uint64_t seed, peft_model **out) {
    peft_model_desc d;
    memset(&d, 0, sizeof d);
    d.context = ctx, d.path = "tiny", d.config_only = true, d.seed = seed;
    return peft_model_load(&d, out);
}

static peft_status load_saved(peft_context *ctx, const char *path, peft_model **out) {
    peft_model_desc d;
    memset(&d, 0, sizeof d);
    d.context = ctx, d.path = path;
    return peft_model_load(&d, out);
}

static peft_status load_data(peft_context *ctx, const char *path, peft_dataset **out) {
    peft_dataset_desc d;
    memset(&d, 0, sizeof d);
    d.context = ctx, d.path = path;
    return peft_dataset_load(&d, out);
}

static peft_status make_adapter(peft_model *m, const char *targets, float dropout, uint64_t seed, peft_adapter **out) {
    peft_adapter_desc d;
    memset(&d, 0, sizeof d);
    d.model = m, d.r = 3, d.alpha = 6, d.dropout = dropout, d.target_modules = targets, d.seed = seed;
    return peft_adapter_create(&d, out);
}

// Context, model, data and, if `targets`, an adapter.
typedef struct world {
    peft_context *ctx;
    peft_model *model;
    peft_dataset *train, *valid;
    peft_adapter *adapter;
} world;

static world make_world(const shape *s, int threads, const char *targets) {
    world w;
    memset(&w, 0, sizeof w);
    w.ctx = make_context(NULL, threads, s);
    if (!w.ctx) return w;
    bool ok = !load_model(w.ctx, 1, &w.model) && !load_data(w.ctx, "train.jsonl", &w.train) && !load_data(w.ctx, "valid.jsonl", &w.valid);
    if (ok && targets) ok = !make_adapter(w.model, targets, 0.2f, 2, &w.adapter);
    check(ok, "a tiny model", w.ctx);
    return w;
}

static void end_world(world *w) {
    if (!w->ctx) return;
    peft_adapter_destroy(w->adapter);
    peft_dataset_destroy(w->train);
    peft_dataset_destroy(w->valid);
    peft_model_destroy(w->model);
    peft_context_destroy(w->ctx);
    memset(w, 0, sizeof *w);
}

// All weights that training changes, as f32.
static float *weights(const world *w, size_t *size) {
    int64_t count = w->adapter ? peft_adapter_tensor_count(w->adapter) : peft_model_tensor_count(w->model), n = 0;
    n = w->adapter ? peft_adapter_parameter_count(w->adapter) : peft_model_parameter_count(w->model);
    float *all = (float *)malloc((size_t)n * sizeof(float)), *to = all;
    for (int64_t i = 0; i < count; i++) {
        const peft_tensor *t = w->adapter ? peft_adapter_tensor(w->adapter, i) : peft_model_tensor(w->model, i);
        peft__to_f32(t, 0, peft__size(t), to);
        to += peft__size(t);
    }
    *size = (size_t)n * sizeof(float);
    return all;
}

static bool same_weights(const world *a, const world *b) {
    size_t n, m;
    float *x = weights(a, &n), *y = weights(b, &m);
    bool same = n == m && memcmp(x, y, n) == 0;
    free(x), free(y);
    return same;
}

typedef struct record {
    double loss[200], eval[200];
    int count, stop_at;  // 0: never
} record;

static bool note(const peft_progress *p, void *user) {
    record *r = (record *)user;
    if (r->count < 200) r->loss[r->count] = p->loss, r->eval[r->count] = p->eval_loss;
    r->count++;
    return p->step != r->stop_at;
}

static peft_train_desc describe(const world *w, int64_t steps) {
    peft_train_desc d;
    memset(&d, 0, sizeof d);
    d.model = w->model, d.adapter = w->adapter, d.data = w->train;
    d.max_steps = steps, d.batch_size = 4, d.seed = 9;
    return d;
}

// ---- the loss falls

static void test_learning(const shape *s, const char *targets, float rate) {
    world w = make_world(s, 1, targets);
    record r;
    memset(&r, 0, sizeof r);
    peft_train_desc d = describe(&w, 150);
    d.learning_rate = rate, d.progress = note, d.progress_user = &r, d.batch_size = 8;
    double before = 0, after = 0;
    peft_train_result result;
    check(!peft_evaluate_loss(w.model, w.adapter, w.train, 0, 0, &before), "loss before", w.ctx);
    check(!peft_train(&d, &result), "training", w.ctx);
    check(!peft_evaluate_loss(w.model, w.adapter, w.train, 0, 0, &after), "loss after", w.ctx);
    check(before > 2.5 && after < 0.6 * before, targets ? "LoRA lowers the loss" : "training lowers the loss", w.ctx);
    if (!(after < 0.6 * before)) printf("  %s: loss %g to %g\n", targets ? targets : "all weights", before, after);
    check(r.count == 150 && result.steps == 150 && result.loss == r.loss[149] && result.best_eval_loss < 0, "result", w.ctx);
    check(result.trainable == (w.adapter ? peft_adapter_parameter_count(w.adapter) : peft_model_parameter_count(w.model)), "trainable count", w.ctx);
    check(result.total == peft_model_parameter_count(w.model) + (w.adapter ? result.trainable : 0), "total count", w.ctx);
    for (int64_t i = 0; i < peft_model_tensor_count(w.model); i++)
        check(!peft_model_tensor(w.model, i)->grad && !peft_model_tensor(w.model, i)->requires_grad, "no gradient stays behind", w.ctx);
    end_world(&w);
}

static void test_frozen_base(void) {
    world a = make_world(&tiny, 1, NULL), b = make_world(&tiny, 1, "q,v,wo");
    peft_train_desc d = describe(&b, 5);
    check(!peft_train(&d, NULL), "training an adapter", b.ctx);
    peft_adapter *adapter = b.adapter;
    b.adapter = NULL;
    check(same_weights(&a, &b), "the base stays as it was", b.ctx);
    b.adapter = adapter;
    int64_t changed = 0;
    for (int64_t i = 1; i < peft_adapter_tensor_count(adapter); i += 2) {
        const peft_tensor *t = peft_adapter_tensor(adapter, i);
        for (int64_t k = 0; k < peft__size(t); k++) changed += peft__f32(t)[k] != 0;
    }
    check(changed > peft_adapter_parameter_count(adapter) / 4, "every B moved", b.ctx);
    end_world(&a), end_world(&b);
}

// ---- determinism: threads, resuming

static peft_train_desc describe_rich(const world *w, int64_t steps) {  // everything that has a state
    peft_train_desc d = describe(w, steps);
    d.validation = w->valid, d.eval_every = 2, d.keep_best = true;
    d.dropout = 0.15f, d.accumulation = 2, d.warmup_steps = 3, d.weight_decay = 0.01f, d.learning_rate = 0.01f;
    return d;
}

static void test_threads(const char *targets) {
    world first = make_world(&wider, 1, targets);
    peft_train_desc d = describe_rich(&first, 4);
    check(!peft_train(&d, NULL), "one thread", first.ctx);
    static const int counts[] = {2, 3, 8};
    for (int i = 0; i < 3; i++) {
        world w = make_world(&wider, counts[i], targets);
        if (!w.ctx) continue;  // built without threads
        d = describe_rich(&w, 4);
        check(!peft_train(&d, NULL) && same_weights(&first, &w), "threads change the weights", w.ctx);
        end_world(&w);
    }
    end_world(&first);
}

// ---- matrix products in bf16: a run of 200 steps ends where f32's does, and threads do not change it

// The loss after training, the mean of three seeds; the weights of the last run stay in *last.
static double trained_loss(const char *targets, peft_dtype compute, bool pairs, world *last) {
    double mean = 0;
    for (uint64_t seed = 1; seed <= 3; seed++) {
        double loss = 0;
        if (seed > 1) end_world(last);
        *last = make_world(&wider, 1, targets);
        last->ctx->compute = compute, last->ctx->bf16_pairs = pairs;
        peft_train_desc d = describe(last, 200);
        d.learning_rate = targets ? 0.003f : 0.001f, d.batch_size = 8, d.seed = seed;  // beyond, rounding alone moves the end of so small a run
        check(!peft_train(&d, NULL) && !peft_evaluate_loss(last->model, last->adapter, last->train, 0, 0, &loss), "200 steps", last->ctx);
        mean += loss / 3;
    }
    return mean;
}

static void test_bf16(const char *targets) {
    world f32, w;
    double want = trained_loss(targets, PEFT_F32, false, &f32);
    for (int pairs = 0; pairs < 1 + (int)peft_bf16_is_fast(f32.ctx); pairs++) {
        double loss = trained_loss(targets, PEFT_BF16, pairs, &w);
        check(fabs(loss - want) <= 0.01 * want, "bf16 ends within 1 % of f32's loss", w.ctx);
        if (!(fabs(loss - want) <= 0.01 * want)) printf("  %s, pairs %d: loss %g, f32 %g\n", targets ? targets : "all", pairs, loss, want);
        check(!same_weights(&w, &f32), "bf16 is not f32", w.ctx);
        end_world(&w);
        world one = make_world(&wider, 1, targets), three = make_world(&wider, 3, targets);
        one.ctx->compute = PEFT_BF16, one.ctx->bf16_pairs = pairs;
        peft_train_desc d = describe_rich(&one, 4);
        check(!peft_train(&d, NULL), "bf16 on one thread", one.ctx);
        if (three.ctx) {
            three.ctx->compute = PEFT_BF16, three.ctx->bf16_pairs = pairs;
            d = describe_rich(&three, 4);
            check(!peft_train(&d, NULL) && same_weights(&one, &three), "bf16: threads change the weights", three.ctx);
        }
        end_world(&one), end_world(&three);
    }
    for (int pairs = 0; pairs < 1 + (int)peft_bf16_is_fast(f32.ctx); pairs++) {
        world two[2];
        for (int i = 0; i < 2; i++) {
            two[i] = make_world(&wider, 1, targets);
            two[i].ctx->compute = i ? PEFT_I8 : pairs ? PEFT_BF16 : PEFT_F32, two[i].ctx->bf16_pairs = pairs;
            peft_train_desc d = describe_rich(&two[i], 4);
            check(!peft_train(&d, NULL), "compute int8", two[i].ctx);
        }
        check(same_weights(&two[0], &two[1]), "compute int8 trains as bf16 where that is fast, else as f32", two[1].ctx);
        end_world(&two[0]), end_world(&two[1]);
    }
    end_world(&f32);
}

// ---- two contexts in two threads know nothing of each other

#ifdef PEFT_USE_PTHREADS
typedef struct errand {
    world w;
    char *text;
    bool ok;
} errand;

static void *run_errand(void *arg) {
    errand *e = (errand *)arg;
    peft_train_desc d = describe_rich(&e->w, 12);
    peft_generate_desc g;
    memset(&g, 0, sizeof g);
    g.model = e->w.model, g.adapter = e->w.adapter, g.max_new_tokens = 8;
    e->ok = !peft_train(&d, NULL) && !peft_generate_text(&g, "abc", &e->text);
    return NULL;
}

static void test_two_contexts(void) {
    errand alone = {make_world(&wider, 1, "q,v,wo"), NULL, false}, pair[2];
    run_errand(&alone);
    for (int i = 0; i < 2; i++) pair[i].w = make_world(&wider, 2, "q,v,wo"), pair[i].text = NULL, pair[i].ok = false;
    pthread_t thread[2];
    bool started = !pthread_create(&thread[0], NULL, run_errand, &pair[0]);
    bool both = started && !pthread_create(&thread[1], NULL, run_errand, &pair[1]);
    if (started) pthread_join(thread[0], NULL);
    if (both) pthread_join(thread[1], NULL);
    check(alone.ok && both, "two threads", alone.w.ctx);
    for (int i = 0; i < 2 && both; i++) check(pair[i].ok && same_weights(&alone.w, &pair[i].w) && strcmp(alone.text, pair[i].text) == 0, "a context beside another", pair[i].w.ctx);
    peft_free(alone.w.ctx, alone.text);
    end_world(&alone.w);
    for (int i = 0; i < 2; i++) peft_free(pair[i].w.ctx, pair[i].text), end_world(&pair[i].w);
}
#endif

// ---- the batches in a loop of one's own; gradients shown to a callback; several ranks

typedef struct seen {
    int64_t values, calls;
    double squares, loss, labels;
    peft_status answer;
} seen;

static peft_status see(const peft_tensor *t, float *values, int64_t count, double labels, void *user) {
    seen *s = (seen *)user;
    s->calls++, s->labels = labels;
    if (!t) s->loss = (double)values[0];
    for (int64_t i = 0; t && i < count; i++) s->squares += (double)values[i] * (double)values[i];
    if (t) s->values += count;
    return s->answer;
}

static bool note_norm(const peft_progress *p, void *user) { return *(double *)user = p->gradient_norm, true; }

static void test_own_loop(const char *targets) {
    world a = make_world(&tiny, 1, targets), b = make_world(&tiny, 1, targets);
    if (a.adapter) a.adapter->d.dropout = b.adapter->d.dropout = 0;
    peft_train_desc d = describe(&a, 8);  // 23 examples, 4 at a time: the second epoch begins at step 6
    seen s;
    double norm = 0;
    memset(&s, 0, sizeof s);
    d.learning_rate = 0.01f, d.schedule = PEFT_SCHEDULE_CONSTANT, d.max_steps = 1;
    d.gradient = see, d.gradient_user = &s, d.progress = note_norm, d.progress_user = &norm;
    peft_train_result result;
    check(!peft_train(&d, &result), "a step that is watched", a.ctx);
    check(s.values == result.trainable && s.calls == (a.adapter ? peft_adapter_tensor_count(a.adapter) : peft_model_tensor_count(a.model)) + 1,
          "every gradient is shown", a.ctx);
    check(fabs(sqrt(s.squares) / norm - 1) < 1e-5 && s.labels > 4 && fabs(s.loss / result.loss - 1) < 1e-6, "as it is used", a.ctx);
    s.answer = PEFT_ERROR_IO;
    check(peft_train(&d, NULL) == PEFT_ERROR_IO && strstr(peft_error(a.ctx), "the gradient callback failed at "), "the callback fails", a.ctx);
    end_world(&a);

    a = make_world(&tiny, 1, targets);
    if (a.adapter) a.adapter->d.dropout = 0;
    d = describe(&a, 8), d.learning_rate = 0.01f, d.schedule = PEFT_SCHEDULE_CONSTANT;
    check(!peft_train(&d, NULL), "peft_train", a.ctx);
    d.model = b.model, d.adapter = b.adapter, d.data = b.train;
    peft_tensor *tensors[200];
    peft_optimizer_desc od;
    memset(&od, 0, sizeof od);
    od.context = b.ctx, od.tensors = tensors, od.count = b.adapter ? peft_adapter_tensor_count(b.adapter) : peft_model_tensor_count(b.model);
    for (int64_t i = 0; i < od.count; i++) tensors[i] = b.adapter ? &b.adapter->tensors[i] : peft_model_tensor(b.model, i);
    peft_batches *batches = NULL;
    peft_optimizer *o = NULL;
    peft_tape *tape = NULL;
    peft_active_adapter active = {b.adapter, 1, 0, 0};
    bool ok = !peft_batches_create(&d, &batches) && !peft_optimizer_create(&od, &o) && !peft_tape_create(b.ctx, &tape);
    check(ok && peft_batches_count(batches) == 6, "batches", b.ctx);
    for (int step = 0; step < 8 && ok; step++) {
        const peft_batch *batch = peft_batches_at(batches, step / 6, step % 6);
        check(batch && batch->count == (step == 5 ? 3 : 4), "as many examples", b.ctx);
        peft_tape_reset(tape, 0);
        ok = batch && !peft_backward(tape, peft_model_loss(b.model, tape, batch, &active, b.adapter ? 1 : 0, 0));
        peft_optimizer_clip(o, 1);
        peft_optimizer_step(o, 0.01f);
    }
    check(ok && same_weights(&a, &b), "a loop of one's own makes the same weights", b.ctx);
    check(!peft_batches_at(batches, 0, 6) && !peft_batches_at(batches, -1, 0) && !peft_batches_at(NULL, 0, 0), "no such batch", b.ctx);
    peft_batches_destroy(batches), peft_batches_destroy(NULL), peft_optimizer_destroy(o), peft_tape_destroy(tape);
    end_world(&a), end_world(&b);
}

#ifdef PEFT_USE_PTHREADS
enum { RANKS = 3, STEPS_OF_RANKS = 9 };
typedef struct team {
    pthread_barrier_t barrier;
    float *values[RANKS];
    int world;
} team;
typedef struct member {
    team *team;
    world w;
    int rank;
    record r;
    peft_status status;
} member;

// Rank after rank is added up, by each rank for itself: the same order, the same bits.
static peft_status add_up(const peft_tensor *t, float *values, int64_t count, double labels, void *user) {
    member *me = (member *)user;
    float *sum = (float *)calloc((size_t)count, sizeof(float));
    (void)t, (void)labels;
    me->team->values[me->rank] = values;
    pthread_barrier_wait(&me->team->barrier);
    for (int r = 0; r < me->team->world; r++)
        for (int64_t i = 0; i < count; i++) sum[i] += me->team->values[r][i];
    pthread_barrier_wait(&me->team->barrier);
    memcpy(values, sum, (size_t)count * sizeof(float));
    free(sum);
    return PEFT_OK;
}

static void *run_member(void *arg) {
    member *me = (member *)arg;
    peft_train_desc d = describe(&me->w, STEPS_OF_RANKS);
    d.learning_rate = 0.01f, d.accumulation = 2, d.progress = note, d.progress_user = &me->r;
    d.rank = me->rank, d.world = me->team->world, d.gradient = add_up, d.gradient_user = me;
    me->status = peft_train(&d, NULL);
    return NULL;
}

static void test_ranks(const char *targets) {
    static member one, all[RANKS];
    for (int world = 1; world <= RANKS; world += 2) {
        team t;
        member *first = world == 1 ? &one : all;
        pthread_t threads[RANKS];
        t.world = world;
        pthread_barrier_init(&t.barrier, NULL, (unsigned)world);
        for (int r = 0; r < world; r++) {
            memset(&first[r], 0, sizeof *first);
            first[r].team = &t, first[r].rank = r, first[r].w = make_world(&tiny, 1, targets);
            if (targets) first[r].w.adapter->d.dropout = 0;
        }
        for (int r = 0; r < world; r++) pthread_create(&threads[r], NULL, run_member, &first[r]);
        for (int r = 0; r < world; r++) pthread_join(threads[r], NULL);
        pthread_barrier_destroy(&t.barrier);
    }
    for (int r = 0; r < RANKS; r++) {
        check(!all[r].status && all[r].r.count == STEPS_OF_RANKS, "a rank", all[r].w.ctx);
        check(same_weights(&all[r].w, &all[0].w), "the same bits on every rank", all[r].w.ctx);
        for (int i = 0; i < STEPS_OF_RANKS; i++)
            check(fabs(all[r].r.loss[i] / one.r.loss[i] - 1) < 2e-5, "the losses of one process", all[r].w.ctx);
    }
    seen s;
    memset(&s, 0, sizeof s);
    peft_train_desc d = describe(&one.w, 3);
    d.world = 2;
    check(peft_train(&d, NULL) == PEFT_ERROR_ARGUMENT && strstr(peft_error(one.w.ctx), "without a `gradient` callback"), "ranks that know nothing of each other", one.w.ctx);
    d.gradient = see, d.gradient_user = &s;
    check(peft_train(&d, NULL) == PEFT_ERROR_ARGUMENT && strstr(peft_error(one.w.ctx), "not all of 2 ranks are at this step"), "nothing is added up", one.w.ctx);
    d.rank = 2;
    check(peft_train(&d, NULL) == PEFT_ERROR_ARGUMENT && strstr(peft_error(one.w.ctx), "rank 2 of 2"), "no such rank", one.w.ctx);
    end_world(&one.w);
    for (int r = 0; r < RANKS; r++) end_world(&all[r].w);
}
#endif

#define FOLDER "build/train_test"
#define CHECKPOINT FOLDER "/state.peft"

static void test_resume(const shape *s, const char *targets) {
    enum { STEPS = 9 };
    record whole;
    memset(&whole, 0, sizeof whole);
    world a = make_world(s, 1, targets);
    peft_train_desc d = describe_rich(&a, STEPS);
    d.progress = note, d.progress_user = &whole;
    peft_train_result result, resumed;
    check(!peft_train(&d, &result) && whole.count == STEPS, "a run in one piece", a.ctx);
    for (int stop = 1; stop <= STEPS; stop++) {
        world b = make_world(s, 1, targets), c = make_world(s, 1, NULL);
        if (targets) make_adapter(c.model, targets, 0.2f, 99, &c.adapter);  // its weights come from the checkpoint
        record part, rest;
        memset(&part, 0, sizeof part), memset(&rest, 0, sizeof rest);
        part.stop_at = stop;
        remove(CHECKPOINT);
        d = describe_rich(&b, STEPS);
        d.checkpoint = CHECKPOINT, d.progress = note, d.progress_user = &part;
        check(peft_train(&d, NULL) == PEFT_CANCELLED && part.count == stop, "stopped", b.ctx);
        d = describe_rich(&c, STEPS);
        d.checkpoint = CHECKPOINT, d.resume = true, d.progress = note, d.progress_user = &rest;
        check(!peft_train(&d, &resumed) && rest.count == STEPS - stop, "resumed", c.ctx);
        check(same_weights(&a, &c), "weights after resuming", c.ctx);
        check(memcmp(part.loss, whole.loss, (size_t)stop * sizeof(double)) == 0 &&
                  memcmp(rest.loss, whole.loss + stop, (size_t)(STEPS - stop) * sizeof(double)) == 0 &&
                  memcmp(rest.eval, whole.eval + stop, (size_t)(STEPS - stop) * sizeof(double)) == 0,
              "losses after resuming", c.ctx);
        check(resumed.steps == result.steps && resumed.tokens == result.tokens && resumed.best_eval_loss == result.best_eval_loss, "result after resuming", c.ctx);
        end_world(&b), end_world(&c);
    }
    // The newest regular checkpoint serves as well as one made on stopping.
    world e = make_world(s, 1, targets), f = make_world(s, 1, targets);
    d = describe_rich(&e, STEPS);
    d.checkpoint = CHECKPOINT, d.checkpoint_every = 4;
    check(!peft_train(&d, NULL) && same_weights(&a, &e), "writing checkpoints changes nothing", e.ctx);
    record rest;
    memset(&rest, 0, sizeof rest);
    d = describe_rich(&f, STEPS);
    d.checkpoint = CHECKPOINT, d.resume = true, d.progress = note, d.progress_user = &rest;
    check(!peft_train(&d, NULL) && rest.count == STEPS - 8 && same_weights(&a, &f), "resumed from step 8", f.ctx);
    remove(CHECKPOINT);
    end_world(&a), end_world(&e), end_world(&f);
}

// ---- checkpoints that do not fit

static char *read_file(peft_context *ctx, const char *path, size_t *n) {
    char *data = NULL;
    peft__read_all(ctx, path, &data, n);
    return data;
}

static void write_file(const char *path, const char *data, size_t n) {
    FILE *f = fopen(path, "wb");
    if (!f) return;
    fwrite(data, 1, n, f);
    fclose(f);
}

static void refuses(const shape *s, const char *targets, const char *what, peft_status status, const char *text, void (*change)(peft_train_desc *)) {
    world w = make_world(s, 1, targets), fresh = make_world(s, 1, targets);
    peft_train_desc d = describe(&w, 4);
    d.checkpoint = CHECKPOINT, d.resume = true;
    if (change) change(&d);
    peft_status got = peft_train(&d, NULL);
    check(got == status && strstr(peft_error(w.ctx), text), what, w.ctx);
    check(same_weights(&w, &fresh), "a refused checkpoint leaves the weights alone", w.ctx);
    end_world(&w), end_world(&fresh);
}

static void other_seed(peft_train_desc *d) {
    d->seed++;
}
static void other_batch(peft_train_desc *d) {
    d->batch_size = 2;
}
static void other_steps(peft_train_desc *d) {
    d->max_steps = 7;
}
static void no_name(peft_train_desc *d) {
    d->checkpoint = NULL;
}
static void with_best(peft_train_desc *d) {
    d->keep_best = true, d->validation = d->data;
}
static void other_rate(peft_train_desc *d) {
    d->learning_rate = 0.02f;
}
static void other_schedule(peft_train_desc *d) {
    d->schedule = PEFT_SCHEDULE_CONSTANT;
}
static void other_warmup(peft_train_desc *d) {
    d->warmup_steps = 3;
}
static void other_decay(peft_train_desc *d) {
    d->weight_decay = 0.3f;
}
static void other_beta(peft_train_desc *d) {
    d->beta2 = 0.5f;
}
static void other_clipping(peft_train_desc *d) {
    d->max_gradient_norm = 0.25f;
}
static void other_dropout(peft_train_desc *d) {
    d->dropout = 0.33f;
}
static void other_ratio(peft_train_desc *d) {
    d->lora_plus_ratio = 3;
}
static void other_optimizer(peft_train_desc *d) {
    d->optimizer = PEFT_SGD;
}
static void other_limit(peft_train_desc *d) {
    d->max_source = 3;
}
static void other_base(peft_train_desc *d) {
    ((float *)peft_model_find(d->model, "encoder.block.0.layer.0.SelfAttention.o.weight")->data)[0] += 1;
}
static void other_alpha(peft_train_desc *d) {
    d->adapter->d.alpha *= 2;
}

static const struct {
    const char *name;
    void (*change)(peft_train_desc *);
} changes[] = {{"seed", other_seed}, {"batch_size", other_batch}, {"steps", other_steps}, {"keep_best", with_best}, {"learning_rate", other_rate},
               {"schedule", other_schedule}, {"warmup_steps", other_warmup}, {"weight_decay", other_decay}, {"beta2", other_beta},
               {"max_gradient_norm", other_clipping}, {"dropout", other_dropout}, {"lora_plus_ratio", other_ratio}, {"optimizer", other_optimizer},
               {"other training examples", other_limit}, {"alpha", other_alpha},
               {"other weights of the base model", other_base}};

// Another learning rate is let pass; another optimizer has another layout of its state, and is not.
static void test_resume_anyway(void) {
    world w = make_world(&tiny, 1, "q,v");
    peft_train_desc d = describe(&w, 6);
    peft_train_result r;
    d.checkpoint = CHECKPOINT, d.resume = d.resume_anyway = true, d.learning_rate = 0.02f;
    check(!peft_train(&d, &r) && r.steps == 6, "resume_anyway", w.ctx);
    d.optimizer = PEFT_SGD;
    check(peft_train(&d, NULL) == PEFT_ERROR_ARGUMENT, "resume_anyway with another optimizer", w.ctx);
    end_world(&w);
}

// Without a checkpoint, resuming begins at the beginning. `whole`: trained for 4 steps without one.
static void test_resume_from_nothing(const world *whole) {
    world w = make_world(&tiny, 1, "q,v");
    peft_train_desc d = describe(&w, 4);
    d.checkpoint = CHECKPOINT, d.resume = true;
    check(!peft_train(&d, NULL) && same_weights(&w, whole), "resuming where there is no checkpoint yet", w.ctx);
    end_world(&w);
    remove(CHECKPOINT);
}

static void test_bad_checkpoints(void) {
    world w = make_world(&tiny, 1, "q,v"), fresh = make_world(&tiny, 1, "q,v");
    peft_train_desc d = describe(&w, 4);
    d.checkpoint = CHECKPOINT, d.checkpoint_every = 2;
    check(!peft_train(&d, NULL), "a checkpoint", w.ctx);
    size_t n = 0;
    char *good = read_file(w.ctx, CHECKPOINT, &n), *bad = (char *)malloc(n + 1);
    for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
        char text[200];
        snprintf(text, sizeof text, "%s: made with %s ", CHECKPOINT, changes[i].name);
        refuses(&tiny, "q,v", changes[i].name, PEFT_ERROR_ARGUMENT, text, changes[i].change);
    }
    refuses(&tiny, "q,v", "no name", PEFT_ERROR_ARGUMENT, "resume without a checkpoint", no_name);
    refuses(&tiny, "q,k", "other modules", PEFT_ERROR_SHAPE, CHECKPOINT ": of another model or adapter", NULL);
    refuses(&tiny, "q", "fewer modules", PEFT_ERROR_SHAPE, CHECKPOINT ": of another model or adapter", NULL);
    refuses(&tiny, NULL, "all weights", PEFT_ERROR_SHAPE, CHECKPOINT ": of another model or adapter", NULL);
    refuses(&tied, "q,v", "another model", PEFT_ERROR_SHAPE, CHECKPOINT ": of another model or adapter", NULL);
    static const size_t cuts[] = {0, 1, 7, 8, 50, sizeof(peft__checkpoint_header) - 1, sizeof(peft__checkpoint_header), sizeof(peft__checkpoint_header) + 1, 900};
    for (size_t i = 0; i <= PEFT__COUNT(cuts); i++) {
        write_file(CHECKPOINT, good, i < PEFT__COUNT(cuts) ? cuts[i] : n - 1);
        refuses(&tiny, "q,v", "truncated", PEFT_ERROR_FORMAT, CHECKPOINT, NULL);
    }
    memcpy(bad, good, n), bad[n] = 0;
    write_file(CHECKPOINT, bad, n + 1);
    refuses(&tiny, "q,v", "a byte more", PEFT_ERROR_FORMAT, CHECKPOINT, NULL);
    static const char other[] = "PEFTckp1", text[] = "{\"a\": 1}";
    write_file(CHECKPOINT, text, sizeof text - 1);
    refuses(&tiny, "q,v", "another kind of file", PEFT_ERROR_FORMAT, CHECKPOINT, NULL);
    memcpy(bad, other, 8);
    write_file(CHECKPOINT, bad, n);
    refuses(&tiny, "q,v", "another version", PEFT_ERROR_FORMAT, CHECKPOINT ": not a training checkpoint", NULL);
    for (size_t i = 8; i < n; i += i < sizeof(peft__checkpoint_header) + 2 ? 1 : 197) {  // every byte of the header, some of the weights
        memcpy(bad, good, n);
        bad[i] = (char)(bad[i] ^ 0x40);
        write_file(CHECKPOINT, bad, n);
        world v = make_world(&tiny, 1, "q,v");
        d = describe(&v, 4);
        d.checkpoint = CHECKPOINT, d.resume = true;
        peft_status status = peft_train(&d, NULL);
        check((status == PEFT_ERROR_FORMAT || (i < sizeof(peft__checkpoint_header) && (status == PEFT_ERROR_ARGUMENT || status == PEFT_ERROR_SHAPE))) && strstr(peft_error(v.ctx), CHECKPOINT), "a changed byte", v.ctx);
        if (!status) printf("  byte %d\n", (int)i);
        check(same_weights(&fresh, &v), "a changed byte leaves the weights alone", v.ctx);
        end_world(&v);
    }
    write_file(CHECKPOINT, good, n);
    test_resume_anyway();
    remove(CHECKPOINT);
    test_resume_from_nothing(&w);
    peft_free(w.ctx, good);
    free(bad);
    end_world(&w), end_world(&fresh);
}

// ---- adapters

static double loss_of(const world *w, const peft_adapter *a) {
    double loss = -1;
    check(!peft_evaluate_loss(w->model, a, w->valid, 0, 0, &loss), "evaluation", w->ctx);
    return loss;
}

static void test_adapter_files(const shape *s, const char *targets) {
    world w = make_world(s, 1, targets), v = make_world(s, 1, NULL);
    peft_train_desc d = describe(&w, 5);
    d.learning_rate = 0.05f;
    check(!peft_train(&d, NULL), "training", w.ctx);
    check(!peft_adapter_save(w.adapter, FOLDER "/adapter"), "saving an adapter", w.ctx);
    check(!peft_adapter_load(v.model, FOLDER "/adapter", &v.adapter), "loading an adapter", v.ctx);
    if (v.adapter) {
        check(same_weights(&w, &v), "an adapter's weights after a round trip", v.ctx);
        check(v.adapter->d.r == 3 && v.adapter->d.alpha == 6 && v.adapter->d.dropout == 0.2f && strcmp(v.adapter->d.target_modules, strcmp(targets, "all-linear") == 0 ? "q,k,v,o,wi,wo" : w.adapter->d.target_modules) == 0,
              "an adapter's settings", v.ctx);
        for (int64_t i = 0; i < v.adapter->count; i++) check(strcmp(v.adapter->tensors[i].name, w.adapter->tensors[i].name) == 0, "names in the file", v.ctx);
        check(loss_of(&w, w.adapter) == loss_of(&v, v.adapter) && loss_of(&v, v.adapter) != loss_of(&v, NULL), "the loss with a loaded adapter", v.ctx);
    }
    // As newer versions of HF peft may save it: target_modules as a regular expression.
    check(!peft_adapter_save(w.adapter, FOLDER "/expression"), "saving an adapter", w.ctx);
    FILE *f = fopen(FOLDER "/expression/adapter_config.json", "wb");
    char names[64];
    snprintf(names, sizeof names, "%s", strcmp(targets, "all-linear") == 0 ? "q,k,v,o,wi,wi_0,wi_1,wo" : targets);
    for (char *p = names; *p; p++)
        if (*p == ',') *p = '|';
    if (f) fprintf(f, "{\"peft_type\": \"LORA\", \"r\": 3, \"lora_alpha\": 6, \"target_modules\": \"(en|de)coder[.].*[.](%s)\"}", names);
    check(f && !fclose(f), "an adapter with a regular expression", NULL);
    peft_adapter_destroy(v.adapter);
    check(!peft_adapter_load(v.model, FOLDER "/expression", &v.adapter) && same_weights(&w, &v), "loading an adapter with a regular expression", v.ctx);
    check(!peft_adapter_save(v.adapter, FOLDER "/expression"), "saving it with names", v.ctx);
    peft_adapter_destroy(v.adapter);
    check(!peft_adapter_load(v.model, FOLDER "/expression", &v.adapter) && same_weights(&w, &v), "loading it again", v.ctx);
    // The adapter of one model does not go into another.
    world other = make_world(s == &tiny ? &tied : &tiny, 1, NULL), large = make_world(&wider, 1, NULL);
    check(peft_adapter_load(other.model, FOLDER "/adapter", &other.adapter) != PEFT_OK && !other.adapter && strstr(peft_error(other.ctx), "tensor base_model.model."),
          "an adapter of other layers", other.ctx);
    check(peft_adapter_load(large.model, FOLDER "/adapter", &large.adapter) == PEFT_ERROR_SHAPE && !large.adapter, "an adapter of another width", large.ctx);
    end_world(&w), end_world(&v), end_world(&other), end_world(&large);
}

static void test_merge(const shape *s) {
    world w = make_world(s, 1, "all-linear"), fresh = make_world(s, 1, NULL);
    peft_train_desc d = describe(&w, 10);
    d.learning_rate = 0.03f;
    check(!peft_train(&d, NULL), "training", w.ctx);
    double base = loss_of(&w, NULL), with = loss_of(&w, w.adapter);
    check(fabs(base - with) > 1e-3, "the adapter does something", w.ctx);
    check(!peft_adapter_merge(w.adapter, 0), "merging", w.ctx);
    check(fabs(loss_of(&w, NULL) - with) < 1e-5, "merged weights give the adapter's loss", w.ctx);
    check(!peft_adapter_unmerge(w.adapter), "unmerging", w.ctx);
    peft_adapter *adapter = w.adapter;
    w.adapter = NULL;
    size_t n;
    float *a = weights(&w, &n), *b = weights(&fresh, &n);
    double worst = 0;
    for (size_t i = 0; i < n / sizeof(float); i++) worst = PEFT__MAX(worst, fabs((double)a[i] - (double)b[i]));
    check(worst == 0, "unmerged weights are the base's, bit for bit", w.ctx);
    free(a), free(b);
    check(!peft_adapter_merge(adapter, 1) && peft_adapter_merge(adapter, 1) == PEFT_ERROR_ARGUMENT && fabs(loss_of(&w, NULL) - with) < 1e-5, "merging twice", w.ctx);
    w.adapter = adapter;
    end_world(&w), end_world(&fresh);
}

static void test_adapter_errors(void) {
    world w = make_world(&tiny, 1, "q"), other = make_world(&tied, 1, NULL);
    peft_adapter *a = w.adapter;
    check(make_adapter(w.model, "query", 0, 1, &a) == PEFT_ERROR_ARGUMENT && !a && strstr(peft_error(w.ctx), "query"), "no such module", w.ctx);
    check(make_adapter(w.model, "", 0, 1, &a) == PEFT_ERROR_ARGUMENT && !a, "no module", w.ctx);
    check(make_adapter(w.model, "q", 1, 1, &a) == PEFT_ERROR_ARGUMENT && !a, "dropout 1", w.ctx);
    check(make_adapter(w.model, "q", NAN, 1, &a) == PEFT_ERROR_ARGUMENT && !a, "dropout NaN", w.ctx);
    for (int i = 0; i < 6; i++) {
        static const char *const texts[] = {"bias is \"everything\"", "layers_to_transform is \"x\"", "layers_to_transform is \"0,-1\"", "rank_pattern has \"q\", not like \"q=4\"",
                                            "alpha_pattern has \"q=x\", not like \"q=4\"", "\"q\" in layers 7"};
        peft_adapter_desc d;
        memset(&d, 0, sizeof d);
        d.model = w.model, d.target_modules = "q";
        if (i == 0) d.bias = "everything";
        if (i == 1) d.layers_to_transform = "x";
        if (i == 2) d.layers_to_transform = "0,-1";
        if (i == 3) d.rank_pattern = "q";
        if (i == 4) d.alpha_pattern = "q=x";
        if (i == 5) d.layers_to_transform = "7";
        check(peft_adapter_create(&d, &a) == PEFT_ERROR_ARGUMENT && !a && strstr(peft_error(w.ctx), texts[i]), texts[i], w.ctx);
    }
    check(peft_adapter_load(w.model, FOLDER "/nothing", &a) == PEFT_ERROR_MISSING && !a && strstr(peft_error(w.ctx), "adapter_config.json"), "no folder", w.ctx);
    static const struct {
        const char *config;
        peft_status status;
        const char *text;
    } bad[] = {{"{", PEFT_ERROR_FORMAT, "a member without a name"},
               {"[]", PEFT_ERROR_UNSUPPORTED, "peft_type"},
               {"{\"peft_type\": \"LOHA\"}", PEFT_ERROR_UNSUPPORTED, "LOHA"},
               {"{\"peft_type\": \"LORA\", \"r\": 0}", PEFT_ERROR_FORMAT, "r is 0"},
               {"{\"peft_type\": \"LORA\", \"r\": -3}", PEFT_ERROR_FORMAT, "r is -3"},
               {"{\"peft_type\": \"LORA\", \"r\": 1e9}", PEFT_ERROR_FORMAT, "r is 1000000000"},
               {"{\"peft_type\": \"LORA\", \"lora_dropout\": 1}", PEFT_ERROR_FORMAT, "dropout is 1"},
               {"{\"peft_type\": \"LORA\", \"lora_alpha\": 1e99}", PEFT_ERROR_FORMAT, "lora_alpha"},
               {"{\"peft_type\": \"LORA\", \"target_modules\": [1]}", PEFT_ERROR_FORMAT, "target_modules"},
               {"{\"peft_type\": \"LORA\", \"target_modules\": \".*\"}", PEFT_ERROR_MISSING, "adapter_model.safetensors"},
               {"{\"peft_type\": \"LORA\", \"modules_to_save\": \"lm.*\"}", PEFT_ERROR_FORMAT, "modules_to_save is \"lm.*\": that is not as it should be"},
               {"{\"peft_type\": \"LORA\", \"r\": \"8\"}", PEFT_ERROR_FORMAT, "r is \"8\": it has to be a whole number"},
               {"{\"peft_type\": \"LORA\", \"bias\": \"some\"}", PEFT_ERROR_FORMAT, "bias is \"some\""},
               {"{\"peft_type\": \"LORA\", \"target_modules\": [\"nope\"]}", PEFT_ERROR_ARGUMENT, "nope"},
               {"{\"peft_type\": \"LORA\", \"rank_pattern\": {\"q\": \"two\"}}", PEFT_ERROR_FORMAT, "rank_pattern"},
               {"{\"peft_type\": \"SELECTIVE\", \"selection\": \"half\"}", PEFT_ERROR_UNSUPPORTED, "SELECTIVE"},
               {"{\"peft_type\": \"LORA\"}", PEFT_ERROR_MISSING, "adapter_model.safetensors"}};
    for (int i = 0; i < (int)PEFT__COUNT(bad); i++) {
        char folder[32], path[64];
        snprintf(folder, sizeof folder, "bad%d", i);
        snprintf(path, sizeof path, "%s/adapter_config.json", folder);
        peft_mount(w.ctx, path, bad[i].config, strlen(bad[i].config));
        size_t before = peft_memory_in_use(w.ctx);
        check(peft_adapter_load(w.model, folder, &a) == bad[i].status && !a && strstr(peft_error(w.ctx), bad[i].text), bad[i].config, w.ctx);
        check(peft_memory_in_use(w.ctx) == before, "nothing is leaked by a bad adapter", w.ctx);
    }
    // An adapter works with its own model only.
    other.adapter = w.adapter;
    peft_train_desc d = describe(&other, 1);
    check(peft_train(&d, NULL) == PEFT_ERROR_ARGUMENT && strstr(peft_error(other.ctx), "another model"), "training another model's adapter", other.ctx);
    double loss;
    check(peft_evaluate_loss(other.model, w.adapter, other.valid, 0, 0, &loss) == PEFT_ERROR_ARGUMENT, "evaluating another model's adapter", other.ctx);
    other.adapter = NULL;
    end_world(&w), end_world(&other);
}

// ---- saving models

static void test_model_files(const shape *s) {
    static const peft_dtype types[] = {PEFT_F32, PEFT_BF16, PEFT_F16};
    for (int i = 0; i < 3; i++) {
        world w = make_world(s, 1, NULL), v = make_world(s, 1, NULL), u = make_world(s, 1, NULL);
        peft_train_desc d = describe(&w, 2);
        check(!peft_train(&d, NULL), "training", w.ctx);
        check(!peft_model_save(w.model, FOLDER "/model", types[i]), "saving a model", w.ctx);
        peft_model_destroy(v.model);
        v.model = NULL;
        check(!load_saved(v.ctx, FOLDER "/model", &v.model), "loading a model", v.ctx);
        if (v.model) {
            bool ok = true;
            for (int64_t k = 0; k < w.model->tensor_count; k++) {
                const peft_tensor *a = &w.model->tensors[k], *b = peft_model_find(v.model, a->name);
                ok = ok && b && a->rows == b->rows && a->cols == b->cols && a->rank == b->rank;
                for (int64_t p = 0; ok && p < peft__size(a); p++) {
                    float x = peft__f32(a)[p], y;
                    peft__to_f32(b, p, 1, &y);
                    if (i == 1) x = peft__bf16_to_f32(peft__f32_to_bf16(x));
                    if (i == 2) x = peft__f16_to_f32(peft__f32_to_f16(x));
                    ok = x == y;
                }
            }
            check(ok, "weights after a round trip", v.ctx);
            peft_config one = w.model->config, two = v.model->config;
            bool same_type = strcmp(one.model_type, two.model_type) == 0;
            one.model_type = two.model_type = NULL;  // texts in two places
            check(same_type && memcmp(&one, &two, offsetof(peft_config, pad_id)) == 0, "the config after a round trip", v.ctx);
            double difference = fabs(loss_of(&w, NULL) - loss_of(&v, NULL));
            check(i ? difference < 0.05 : difference == 0, "the loss after a round trip", v.ctx);
            // Loaded weights are trained as well, with or without an adapter, and saved over their own file.
            d = describe(&v, 2);
            check(!make_adapter(v.model, NULL, 0, 1, &v.adapter) && (d.adapter = v.adapter, !peft_train(&d, NULL)), "an adapter on a loaded model", v.ctx);
            check(!peft_adapter_merge(v.adapter, 0), "merging into a loaded model", v.ctx);
            check(!peft_model_save(v.model, FOLDER "/model", types[i]), "saving over the loaded file", v.ctx);
            peft_model_destroy(u.model);
            u.model = NULL;
            check(!load_saved(u.ctx, FOLDER "/model", &u.model), "loading it again", u.ctx);
            difference = u.model ? fabs(loss_of(&u, NULL) - loss_of(&v, NULL)) : 1;
            check(i ? difference < 0.05 : difference == 0, "the loss after merging and saving", u.ctx);
            d = describe(&u, 2);
            check(!peft_train(&d, NULL), "training all loaded weights", u.ctx);
        }
        end_world(&w), end_world(&v), end_world(&u);
    }
    world w = make_world(s, 1, "q");
    peft__make_folder(w.ctx, FOLDER "/blocked"), fclose(fopen(FOLDER "/blocked.peft-new", "wb"));
    check(peft_model_save(w.model, FOLDER "/blocked", PEFT_F32) == PEFT_ERROR_IO && !peft__file_exists(w.ctx, FOLDER "/blocked/model.safetensors") &&
              peft_adapter_save(w.adapter, FOLDER "/blocked") == PEFT_ERROR_IO && !peft__file_exists(w.ctx, FOLDER "/blocked/adapter_model.safetensors"),
          "what cannot be written leaves the folder as it is", w.ctx);
    check(peft_model_save(w.model, FOLDER "/model", (peft_dtype)99) == PEFT_ERROR_UNSUPPORTED, "saving in a format that is none", w.ctx);
    check(peft_model_save(w.model, "build/no/such/folder", PEFT_F32) == PEFT_ERROR_IO && strstr(peft_error(w.ctx), "build/no/such/folder"), "a folder without a parent", w.ctx);
    end_world(&w);
}

// ---- settings that make no sense

static void refuses_training(const char *what, void (*change)(peft_train_desc *), peft_status status, const char *text) {
    world w = make_world(&tiny, 1, NULL), fresh = make_world(&tiny, 1, NULL);
    peft_train_desc d = describe(&w, 3);
    change(&d);
    check(peft_train(&d, NULL) == status && strstr(peft_error(w.ctx), text), what, w.ctx);
    check(status == PEFT_ERROR_NUMERIC || same_weights(&w, &fresh), "refused settings leave the weights alone", w.ctx);
    end_world(&w), end_world(&fresh);
}

static void no_data(peft_train_desc *d) {
    d->data = NULL;
}
static void negative_rate(peft_train_desc *d) {
    d->learning_rate = -1;
}
static void nan_rate(peft_train_desc *d) {
    d->learning_rate = NAN;
}
static void huge_rate(peft_train_desc *d) {
    d->learning_rate = 1e30f;
}
static void one_token(peft_train_desc *d) {
    d->max_source = 1;
}
static void all_dropout(peft_train_desc *d) {
    d->dropout = 1;
}
static void negative_warmup(peft_train_desc *d) {
    d->warmup_steps = -1;
}
static void huge_batch(peft_train_desc *d) {
    d->batch_size = INT64_MAX / 2;
}
static void huge_accumulation(peft_train_desc *d) {
    d->accumulation = INT64_MAX;
}
static void huge_epochs(peft_train_desc *d) {
    d->max_steps = 0, d->epochs = INT64_MAX;
}

static char logged[400];

static void note_log(const char *line, void *user) {
    (void)user;
    snprintf(logged, sizeof logged, "%s", line);
}

// A config.json with fewer blocks than the checkpoint is that of another model: it works, with a warning.
static void test_unused_tensors(void) {
    world w = make_world(&tied, 1, NULL);
    check(!peft_model_save(w.model, FOLDER "/deep", PEFT_F32), "a model of two blocks", w.ctx);
    end_world(&w);
    static const char *const edits[][2] = {{"\"num_layers\": 2", "\"num_layers\": 1"}, {"\"num_layers\": 2", "\"num_layers\": 1.5"}, {"\"num_layers\": 2", "\"num_layers\": \"2\""}, {"num_layers", "num_layers"}};
    for (int i = 0; i < 4; i++) {
        char *config = NULL, changed[700];
        size_t n = 0;
        peft_context *ctx = NULL;
        peft_context_desc cd;
        memset(&cd, 0, sizeof cd);
        cd.log = note_log;
        logged[0] = 0;
        check(!peft_context_create(&cd, &ctx) && !peft__read_all(ctx, FOLDER "/deep/config.json", &config, &n), "its config", ctx);
        const char *at = strstr(config, edits[i][0]);
        snprintf(changed, sizeof changed, "%.*s%s%s", (int)(at - config), config, edits[i][1], at + strlen(edits[i][0]));
        peft_mount(ctx, FOLDER "/deep/config.json", changed, strlen(changed));
        peft_model *m = NULL;
        peft_status status = load_saved(ctx, FOLDER "/deep", &m);
        if (i == 0) check(!status && strstr(logged, "tensors are not used, such as") && strstr(logged, ".block.1."), "blocks that are left over", ctx);
        if (i == 1 || i == 2) check(status == PEFT_ERROR_FORMAT && strstr(peft_error(ctx), i == 1 ? "num_layers is 1.5: it has to be a whole number" : "num_layers is \"2\": it has to be a whole number"), "a number of layers that is none", ctx);
        if (i == 3) check(!status && !logged[0], "nothing is left over", ctx);
        peft_free(ctx, config);
        peft_model_destroy(m);
        peft_context_destroy(ctx);
    }
}

// Epochs as HF's Trainer counts them: every example once, the last batch short.
static void test_epochs(void) {
    static const struct {
        int64_t examples, batch, accumulation, epochs, steps;
    } cases[] = {{3, 8, 4, 2, 2}, {10, 8, 1, 3, 6}, {10, 2, 2, 2, 6}, {23, 4, 1, 1, 6}, {23, 23, 1, 2, 2},
                 {23, 5, 2, 1, 3}};
    world w = make_world(&tiny, 1, "q,v");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        peft_dataset *data = NULL;
        peft_dataset_desc dd;
        peft_train_result once, result;
        memset(&dd, 0, sizeof dd);
        dd.context = w.ctx, dd.path = "train.jsonl", dd.limit = cases[i].examples;
        peft_train_desc d = describe(&w, 0);
        bool ok = !peft_dataset_load(&dd, &data);
        d.data = data, d.epochs = 1, d.batch_size = cases[i].examples;
        ok = ok && !peft_train(&d, &once) && once.steps == 1;
        d.epochs = cases[i].epochs, d.batch_size = cases[i].batch, d.accumulation = cases[i].accumulation;
        ok = ok && !peft_train(&d, &result) && result.steps == cases[i].steps &&
            result.tokens == once.tokens * cases[i].epochs;
        check(ok, "an epoch visits every example once", w.ctx);
        peft_dataset_destroy(data);
    }
    end_world(&w);
}

// Nothing is cut without a word.
static void test_cuts(void) {
    static const char lines[] = "{\"prompt\": \"a b c\\nsum it up\", \"completion\": \"abcdefgh\"}\n{\"prompt\": \"ab\", \"completion\": \"b\"}\n";
    world w = make_world(&tiny, 1, "q,v");
    peft_dataset *data = NULL;
    double loss;
    w.ctx->log = note_log;
    logged[0] = 0;
    peft_mount(w.ctx, "long.jsonl", lines, sizeof lines - 1);
    check(!load_data(w.ctx, "long.jsonl", &data) && !peft_evaluate_loss(w.model, w.adapter, data, 0, 0,
            &loss) && !logged[0], "nothing to be cut", w.ctx);
    check(!peft_evaluate_loss(w.model, w.adapter, data, 5, 0, &loss) && strstr(logged,
            "1 of 2 prompts have more tokens than max_source lets in (5): ") &&
              strstr(logged, "tokens are cut off their ends; the first one's end is \"a b c\\nsum it up\""),
                  "prompts that are cut", w.ctx);
    if (failed) puts(logged);
    check(!peft_evaluate_loss(w.model, w.adapter, data, 0, 4, &loss) && strstr(logged,
            "1 of 2 completions have more tokens than max_target"), "completions that are cut", w.ctx);
    w.ctx->log = NULL;
    // What padding would have added: in batches of two the longer one's tokens beyond the shorter one's.
    int64_t apart = 0, counts[2][2];
    for (int i = 0; i < 4; i++) {
        peft_ids ids = {NULL, 0, 0};
        const char *text = i / 2 ? peft_dataset_completion(data, i % 2) : peft_dataset_prompt(data, i % 2);
        check(!peft_encode(peft_model_tokenizer(w.model), text, strlen(text), &ids), "tokens", w.ctx);
        counts[i / 2][i % 2] = ids.count + 1;  // with the end
        peft_ids_free(w.ctx, &ids);
    }
    for (int k = 0; k < 2; k++) apart += llabs((long long)(counts[k][0] - counts[k][1]));
    for (int64_t batch = 1; batch <= 2; batch++) {
        peft_train_result result;
        peft_train_desc d = describe(&w, 0);
        d.data = data, d.epochs = 3, d.batch_size = batch;
        check(!peft_train(&d, &result) && apart > 4 && result.padding == (batch - 1) * 3 * apart, "padding that was avoided", w.ctx);
    }
    peft_dataset_destroy(data);
    end_world(&w);
}

static void test_training_errors(void) {
    refuses_training("no data", no_data, PEFT_ERROR_ARGUMENT, "no examples");
    refuses_training("negative rate", negative_rate, PEFT_ERROR_ARGUMENT, "learning_rate is -1");
    refuses_training("rate NaN", nan_rate, PEFT_ERROR_ARGUMENT, "learning_rate is nan");
    refuses_training("a rate that explodes", huge_rate, PEFT_ERROR_NUMERIC, "step ");
    refuses_training("one token", one_token, PEFT_ERROR_ARGUMENT, "max_source is 1");
    refuses_training("dropout 1", all_dropout, PEFT_ERROR_ARGUMENT, "dropout is 1");
    refuses_training("negative warmup", negative_warmup, PEFT_ERROR_ARGUMENT, "warmup_steps is -1");
    refuses_training("a batch beyond all bounds", huge_batch, PEFT_ERROR_ARGUMENT, "batch_size 4611686018427387903");
    refuses_training("accumulation beyond all bounds", huge_accumulation, PEFT_ERROR_ARGUMENT, "accumulation 9223372036854775807");
    refuses_training("epochs beyond all bounds", huge_epochs, PEFT_ERROR_ARGUMENT, "epochs 9223372036854775807");
    world w = make_world(&tiny, 1, NULL);
    static const char outside[] = "{\"prompt\": \"<extra_id_0>\", \"completion\": \"a\"}\n", nothing[] = "\n", empty[] = "{\"prompt\": \"\", \"completion\": \"\"}\n";
    peft_mount(w.ctx, "outside.jsonl", outside, sizeof outside - 1);
    peft_mount(w.ctx, "nothing.jsonl", nothing, sizeof nothing - 1);
    peft_mount(w.ctx, "empty.jsonl", empty, sizeof empty - 1);
    peft_dataset *a = NULL, *b = NULL, *c = NULL;
    check(!load_data(w.ctx, "outside.jsonl", &a) && !load_data(w.ctx, "nothing.jsonl", &b) && !load_data(w.ctx, "empty.jsonl", &c), "odd datasets", w.ctx);
    peft_train_desc d = describe(&w, 2);
    d.data = a;
    check(peft_train(&d, NULL) == PEFT_ERROR_SHAPE && strstr(peft_error(w.ctx), "vocabulary has 32"), "a token behind the model's vocabulary", w.ctx);
    d.data = b;
    check(peft_train(&d, NULL) == PEFT_ERROR_ARGUMENT, "a dataset without examples", w.ctx);
    d.data = c;
    check(!peft_train(&d, NULL), "empty texts are an end token each", w.ctx);
    d.data = w.train, d.validation = b, d.keep_best = true;
    peft_train_result result;
    check(peft_train(&d, &result) == PEFT_ERROR_ARGUMENT, "a validation set without examples", w.ctx);
    d.validation = NULL, d.keep_best = false, d.max_source = d.max_target = 2, d.batch_size = 100;
    check(!peft_train(&d, &result) && result.tokens == 2 * 23 * 4 && result.cut_examples == 23 &&
          result.cut_tokens > 46, "texts cut to two tokens, a batch larger than the data", w.ctx);
    peft_dataset_destroy(a), peft_dataset_destroy(b), peft_dataset_destroy(c);
    // Without a vocabulary there is no training.
    peft_context *ctx = make_context(NULL, 1, &tiny);
    peft_mount(ctx, "bare/config.json", config_text, strlen(config_text));
    peft_model_desc md;
    memset(&md, 0, sizeof md);
    md.context = ctx, md.path = "bare", md.config_only = true;
    peft_model *bare = NULL;
    check(!peft_model_load(&md, &bare) && !peft_model_tokenizer(bare), "a model without a vocabulary", ctx);
    d = describe(&w, 2);
    d.model = bare;
    check(peft_train(&d, NULL) == PEFT_ERROR_MISSING && strstr(peft_error(ctx), "tokenizer"), "training it", ctx);
    peft_model_destroy(bare);
    peft_context_destroy(ctx);
    end_world(&w);
}

// ---- memory: nothing is allocated from the second epoch on; any allocation may fail

static long calls_at[200];
static counter *watched;

static bool note_calls(const peft_progress *p, void *user) {
    (void)user;
    calls_at[p->step] = watched->calls;
    return true;
}

static void test_no_allocation(bool lora, int64_t batch) {
    counter c = {0};
    watched = &c;
    peft_context *ctx = make_context(&c, 1, &tiny);
    peft_model *m = NULL;
    peft_dataset *data = NULL;
    peft_adapter *a = NULL;
    static char same[4000];
    same[0] = 0;
    for (int i = 0; i < 20; i++) strcat(same, "{\"prompt\": \"abcdef\", \"completion\": \"fed\"}\n");  // every step of one shape
    peft_mount(ctx, "same.jsonl", same, strlen(same));
    check(!load_model(ctx, 1, &m) && !load_data(ctx, "same.jsonl", &data) && (!lora || !make_adapter(m, "q,v,wi_0", 0.1f, 1, &a)), "a tiny model", ctx);
    peft_train_desc d;
    memset(&d, 0, sizeof d);
    d.model = m, d.adapter = a, d.data = data, d.max_steps = 6, d.batch_size = batch, d.dropout = 0.1f, d.accumulation = 2;
    d.progress = note_calls;
    check(!peft_train(&d, NULL), "training", ctx);
    check(calls_at[6] == calls_at[1], "allocations after the first step", ctx);
    if (calls_at[6] != calls_at[1]) printf("  %ld of them, batch %d\n", calls_at[6] - calls_at[1], (int)batch);
    peft_adapter_destroy(a);
    peft_dataset_destroy(data);
    peft_model_destroy(m);
    peft_context_destroy(ctx);
    check(c.live == 0, "blocks left", NULL);
}

static const char *const outputs[] = {FOLDER "/state.peft", FOLDER "/a/adapter_config.json", FOLDER "/a/adapter_model.safetensors", FOLDER "/m/config.json",
                                      FOLDER "/m/model.safetensors", FOLDER "/m/spiece.model"};

static bool exists(const char *path) {
    FILE *f = fopen(path, "rb");
    if (f) fclose(f);
    return f != NULL;
}

// Removes what a run wrote. False: something was left half written.
static bool clean_outputs(void) {
    bool ok = true;
    for (int i = 0; i < (int)PEFT__COUNT(outputs); i++) {
        char part[100];
        snprintf(part, sizeof part, "%s.part", outputs[i]);
        ok = ok && !exists(part);
        remove(part);
        size_t n = strlen(outputs[i]);
        if (exists(outputs[i]) && strcmp(outputs[i] + n - 12, ".safetensors") == 0) {
            peft_context *ctx = NULL;
            peft_archive *archive = NULL;
            peft_context_create(NULL, &ctx);
            ok = ok && !peft_archive_open(ctx, outputs[i], &archive);
            peft_archive_close(archive);
            peft_context_destroy(ctx);
        }
        remove(outputs[i]);
    }
    return ok;
}

// Everything in a row, until something fails: *ok tells whether a failure was reported as one of memory.
static peft_status whole_path(counter *c, bool lora) {
    peft_context *ctx = make_context(c, 1, &tiny);
    if (!ctx) return PEFT_ERROR_MEMORY;
    peft_model *m = NULL, *again = NULL;
    peft_dataset *train = NULL, *valid = NULL;
    peft_adapter *a = NULL, *b = NULL;
    char *text = NULL;
    peft_status status = load_model(ctx, 1, &m);
    if (!status) status = load_data(ctx, "train.jsonl", &train);
    if (!status) status = load_data(ctx, "valid.jsonl", &valid);
    if (!status && lora) status = make_adapter(m, "q,wo", 0.1f, 1, &a);
    for (int round = 0; round < 2 && !status; round++) {  // the second goes on from the first one's checkpoint
        peft_train_desc d;
        memset(&d, 0, sizeof d);
        d.model = m, d.adapter = a, d.data = train, d.validation = valid, d.keep_best = true, d.eval_every = 1;
        d.max_steps = 2, d.batch_size = 3, d.dropout = 0.1f, d.checkpoint = outputs[0], d.checkpoint_every = 1, d.resume = round == 1;
        status = peft_train(&d, NULL);
    }
    if (!status && lora) status = peft_adapter_save(a, FOLDER "/a");
    if (!status && lora) status = peft_adapter_load(m, FOLDER "/a", &b);
    if (!status && lora) status = peft_adapter_merge(b, 1);
    if (!status) status = peft_model_save(m, FOLDER "/m", PEFT_BF16);
    if (!status) status = load_saved(ctx, FOLDER "/m", &again);
    peft_generate_desc g;
    memset(&g, 0, sizeof g);
    g.model = again, g.max_new_tokens = 3, g.beams = lora ? 2 : 1;
    if (!status) status = peft_generate_text(&g, "abc", &text);
    if (status && !*peft_error(ctx)) printf("FAIL no error text, call %ld\n", c->fail_at), failed++;
    peft_free(ctx, text);
    peft_adapter_destroy(a), peft_adapter_destroy(b);
    peft_dataset_destroy(train), peft_dataset_destroy(valid);
    peft_model_destroy(m), peft_model_destroy(again);
    if (peft_memory_in_use(ctx) > 20000) printf("FAIL %d bytes left, call %ld\n", (int)peft_memory_in_use(ctx), c->fail_at), failed++;
    peft_context_destroy(ctx);
    return status;
}

static void test_failing_memory(bool lora, bool fail_on) {
    long n = 1;
    peft_status status;
    do {
        counter c = {.fail_at = n, .fail_on = fail_on};
        clean_outputs();
        status = whole_path(&c, lora);
        bool survived = status == PEFT_OK && c.calls < n;
        check(survived || status == PEFT_ERROR_MEMORY, "a failing allocation is reported", NULL);
        check(c.live == 0, "a failing allocation leaks nothing", NULL);
        check(clean_outputs(), "a failing allocation leaves no half file", NULL);
        if (!survived && (status != PEFT_ERROR_MEMORY || c.live)) printf("  call %ld: status %d, %ld blocks left\n", n, (int)status, c.live);
        if (survived) break;
        n++;
    } while (n < 5000);
    check(n > 200 && n < 5000, "the end is reached", NULL);
}

// With an argument: only what threads take part in, for a run under ThreadSanitizer.
int main(int argc, char **argv) {
    bool whole = argc < 2;
    (void)argv;
    setvbuf(stdout, NULL, _IOLBF, 0);  // what failed is seen even if a later test crashes
    peft_context *ctx = NULL;
    peft_context_create(NULL, &ctx);
    check(!peft__make_folder(ctx, "build") && !peft__make_folder(ctx, FOLDER), "a folder for the output", ctx);
    peft_context_destroy(ctx);
    make_vocabulary();
    make_examples(train_text, 23, 3);
    make_examples(valid_text, 9, 4);
    test_learning(&tiny, NULL, 0.01f);
    test_learning(&tied, NULL, 0.01f);
    test_learning(&tiny, "all-linear", 0.03f);
    if (whole) test_bf16(NULL), test_bf16("q,v,wo");
    test_frozen_base();
    test_threads(NULL);
    test_threads("q,v,wi_0");
#ifdef PEFT_USE_PTHREADS
    test_two_contexts();
    test_ranks(NULL);
    test_ranks("q,v,wi_0");
#endif
    if (whole) {
        test_own_loop(NULL);
        test_own_loop("q,v,wi_0");
        test_resume(&tiny, NULL);
        test_resume(&tied, NULL);
        test_resume(&tiny, "q,v,wi_1");
        test_bad_checkpoints();
        test_adapter_files(&tiny, "q,v");
        test_adapter_files(&tied, "all-linear");
        test_merge(&tiny);
        test_merge(&tied);
        test_adapter_errors();
        test_model_files(&tiny);
        test_model_files(&tied);
        test_unused_tensors();
        test_epochs();
        test_cuts();
        test_training_errors();
        for (int lora = 0; lora < 2; lora++) {
            test_no_allocation(lora, 4);
            test_no_allocation(lora, 70);
            test_failing_memory(lora, false);
            test_failing_memory(lora, true);
        }
    }
    printf("%d passed, %d failed\n", passed, failed);
    return failed != 0;
}
