// Threads that cannot be started, and numbers of threads that make no sense.
#include <pthread.h>
#include "check.h"
#include <stdio.h>
#include <string.h>

static int calls, refused_from = -1;  // pthread_create fails from this call on; -1: never

static int start(pthread_t *thread, const pthread_attr_t *attributes, void *(*fn)(void *), void *arg) {
    if (refused_from >= 0 && calls++ >= refused_from) return 11;  // EAGAIN
    return pthread_create(thread, attributes, fn, arg);
}
#define pthread_create(thread, attributes, fn, arg) start(thread, attributes, fn, arg)
#define PEFT_ONLY_METRICS
#define PEFT_IMPLEMENTATION
#include "peft.h"

static int passed, failed;
static char logged[512];

static void check(bool ok, const char *what) {
    if (test_count(&passed, &failed, ok, what)) printf("FAIL: %s\n", what);
}

static void keep(const char *line, void *user) {
    (void)user;
    snprintf(logged, sizeof(logged), "%s", line);
}

static peft_status create(int threads, peft_context **out) {
    peft_context_desc d;
    memset(&d, 0, sizeof(d));
    d.threads = threads;
    d.log = keep;
    logged[0] = 0;
    calls = 0;
    return peft_context_create(&d, out);
}

static void count_up(void *arg, int64_t i) { ((int *)arg)[i]++; }

int main(void) {
    peft_context *ctx = NULL;
    for (int n = 0; n < 3; n++) {  // with n workers running
        char text[64];
        refused_from = n;
        snprintf(text, sizeof(text), "could not start thread %d of 4", n + 2);
        check(create(4, &ctx) == PEFT_ERROR_MEMORY && !ctx, "a thread that cannot be started is an error");
        check(strcmp(logged, text) == 0, "the log says which");
    }
    refused_from = -1;
    check(create(-1, &ctx) == PEFT_ERROR_ARGUMENT && !ctx, "-1 threads");
    check(create(1025, &ctx) == PEFT_ERROR_ARGUMENT && !ctx, "1025 threads");
    check(create(0, &ctx) == PEFT_OK && peft_thread_count(ctx) == 1, "0 threads are one");
    peft_context_destroy(ctx);
    for (int threads = 1; threads <= 9; threads += 4) {
        int counts[1000] = {0}, once = 0;
        check(create(threads, &ctx) == PEFT_OK, "threads start");
        for (int round = 0; round < 50; round++) peft__parallel(ctx, 1000, count_up, counts);
        for (int i = 0; i < 1000; i++) once += counts[i] == 50;
        check(once == 1000, "each task runs once per job");
        peft_context_destroy(ctx);
    }
    printf("%d passed, %d failed\n", passed, failed);
    return failed > 0;
}
