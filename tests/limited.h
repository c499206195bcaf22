// An allocator whose n-th call fails: `allowed` calls are served, `live` counts the blocks that are out.
#ifndef TESTS_LIMITED_H
#define TESTS_LIMITED_H
#include <stdint.h>
#include <stdlib.h>

static int64_t allowed = INT64_MAX, live;

static inline void *limited_alloc(size_t size, void *user) {
    (void)user;
    void *p = allowed-- > 0 ? malloc(size) : NULL;
    live += p != NULL;
    return p;
}

static inline void limited_free(void *p, void *user) {
    (void)user;
    live--;
    free(p);
}
#endif
