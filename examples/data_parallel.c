// Several machines train one adapter: each process takes its share of every step's examples, and MPI adds the gradients up before
// the optimizer uses them. The header knows nothing of MPI: it calls back with each gradient.
//   mpicc -O2 -I. -o build/data_parallel examples/data_parallel.c -lm
//   mpirun -n 2 build/data_parallel [MODEL TRAIN.jsonl STEPS STOP_AFTER [full]]
// It goes on from build/data_parallel.peft, which rank 0 writes when it stops and all ranks read: a folder that all machines see.
#define PEFT_IMPLEMENTATION
#include "peft.h"

#include <limits.h>
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct run {
    int rank, world;
    int64_t stop_after;
    double seconds;  // spent on exchanging
    int64_t bytes;   // exchanged per step
} run;

// The sum on rank 0, sent to all: so that every rank has the same bits, whatever order MPI adds in.
static peft_status add_up(const peft_tensor *tensor, float *values, int64_t count, double labels, void *user) {
    run *r = user;
    double begin = MPI_Wtime();
    (void)labels;
    int failed = count > INT_MAX || MPI_Reduce(r->rank ? values : MPI_IN_PLACE, values, (int)count, MPI_FLOAT, MPI_SUM, 0, MPI_COMM_WORLD) ||
                 MPI_Bcast(values, (int)count, MPI_FLOAT, 0, MPI_COMM_WORLD);
    r->seconds += MPI_Wtime() - begin;
    r->bytes = (tensor ? r->bytes : 0) + 4 * count;
    return failed ? PEFT_ERROR_IO : PEFT_OK;
}

static bool show(const peft_progress *p, void *user) {
    run *r = user;
    if (!r->rank) printf("step %lld loss %.9f\n", (long long)p->step, p->loss), fflush(stdout);
    return !r->stop_after || p->step < r->stop_after;  // the same answer on every rank
}

// A number that changes with every bit of the weights.
static unsigned checksum(peft_model *m, const peft_adapter *a) {
    unsigned sum = 2166136261u;
    for (int64_t i = 0; i < (a ? peft_adapter_tensor_count(a) : peft_model_tensor_count(m)); i++) {
        const peft_tensor *t = a ? peft_adapter_tensor(a, i) : peft_model_tensor(m, i);
        const unsigned char *bytes = t->data;
        for (size_t k = 0; k < peft_tensor_bytes(t); k++) sum = (sum ^ bytes[k]) * 16777619u;
    }
    return sum;
}

static peft_status train(peft_context *ctx, run *r, char **argv, bool full) {
    peft_model *model = NULL;
    peft_dataset *data = NULL;
    peft_adapter *lora = NULL;
    peft_train_result result = {0};
    peft_status status = peft_model_load(&(peft_model_desc){.context = ctx, .path = argv[1]}, &model);
    if (!status) status = peft_dataset_load(&(peft_dataset_desc){.context = ctx, .path = argv[2]}, &data);
    if (!status && !full) status = peft_adapter_create(&(peft_adapter_desc){.model = model, .r = 8, .seed = 1}, &lora);
    if (!status)
        status = peft_train(&(peft_train_desc){.model = model, .adapter = lora, .data = data, .batch_size = 8, .max_steps = atoi(argv[3]), .seed = 5,
            .checkpoint = "build/data_parallel.peft", .resume = true, .progress = show, .progress_user = r,
            .gradient = add_up, .gradient_user = r, .rank = r->rank, .world = r->world}, &result);
    if (status == PEFT_CANCELLED) status = PEFT_OK;  // stop_after
    if (status) return status;

    unsigned own = checksum(model, lora), least = own, most = own;
    MPI_Allreduce(MPI_IN_PLACE, &least, 1, MPI_UNSIGNED, MPI_MIN, MPI_COMM_WORLD);
    MPI_Allreduce(MPI_IN_PLACE, &most, 1, MPI_UNSIGNED, MPI_MAX, MPI_COMM_WORLD);
    if (!r->rank) {
        printf("weights %08x, %s on %d ranks\n", own, least == most ? "the same bits" : "DIFFERENT", r->world);
        printf("%.0f tokens/s, %.1f s of which %.1f s exchanging\n", result.seconds > 0 ? (double)result.tokens / result.seconds : 0, result.seconds, r->seconds);
        // A ring sends and receives 2 (n - 1) / n times the gradients per machine and step; 1 Gbit/s carries 125 MB in a second.
        for (int all = 0; all < 2; all++) {
            double mb = 4e-6 * (double)(all ? peft_model_parameter_count(model) : result.trainable), ring = 2 * mb * (r->world - 1) / r->world;
            printf("%s: %.3f MB of gradients; per machine and step %.3f MB in a ring of %d, %.1f ms at 1 Gbit/s\n",
                all ? "all weights" : "trained here", mb, ring, r->world, ring / 125 * 1e3);
        }
    }
    peft_adapter_destroy(lora), peft_dataset_destroy(data), peft_model_destroy(model);
    return least == most ? PEFT_OK : PEFT_ERROR_NUMERIC;
}

int main(int argc, char **argv) {
    static char *own[] = {"data_parallel", "tests/data/model", "names.jsonl", "12", "0", NULL};
    run r = {0};
    peft_context *ctx;
    static char lines[8000];
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &r.rank);
    MPI_Comm_size(MPI_COMM_WORLD, &r.world);
    if (argc != 1 && argc != 5 && argc != 6) return fprintf(stderr, "usage: data_parallel [MODEL TRAIN.jsonl STEPS STOP_AFTER [full]]\n"), 2;
    if (argc > 1) r.stop_after = atoi(argv[4]);
    if (peft_context_create(NULL, &ctx)) return 1;
    static const char *const names[] = {"Anna", "Ben", "Tom", "Lisa", "Max"};
    for (int i = 0, n = 0; i < 40; i++)  // what it learns without a file of yours
        n += snprintf(lines + n, sizeof lines - (size_t)n, "{\"prompt\": \"Repeat: %s met %s.\", \"completion\": \"%s met %s.\"}\n",
            names[i % 5], names[i / 8], names[i % 5], names[i / 8]);
    peft_status status = peft_mount(ctx, "names.jsonl", lines, strlen(lines));
    if (!status) status = train(ctx, &r, argc > 1 ? argv : own, argc == 6);
    if (status) {  // the others may wait for this rank's gradients
        fprintf(stderr, "rank %d: %s\n", r.rank, peft_error(ctx));
        MPI_Abort(MPI_COMM_WORLD, 1);
    }
    peft_context_destroy(ctx);
    MPI_Finalize();
    return 0;
}
