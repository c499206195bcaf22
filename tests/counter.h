// The allocator of the tests: it counts, and fails when it is told to.
//   counter c = {.fail_at = 7};  COUNT_IN(desc, c);     the 7th allocation fails
#ifndef TESTS_COUNTER_H
#define TESTS_COUNTER_H
#include <stdbool.h>
#include <stdlib.h>

typedef struct counter {
    long calls, live;  // allocations so far; blocks that are out
    long fail_at;      // the call that gets NULL; 0: none
    bool fail_on;      // and so do all that follow
    size_t total;      // bytes asked for so far
    size_t shift;      // added to each address, to see that blocks are aligned all the same
} counter;

static inline void *count_alloc(size_t size, void *user) {
    counter *c = (counter *)user;
    c->calls++;
    bool fails = c->fail_at && (c->calls == c->fail_at || (c->fail_on && c->calls > c->fail_at));
    char *p = fails || (uint64_t)size >> 40 ? NULL : (char *)malloc(size + c->shift);
    if (!p) return NULL;
    c->live++, c->total += size;
    return p + c->shift;
}

static inline void count_free(void *block, void *user) {
    counter *c = (counter *)user;
    c->live--;
    free((char *)block - c->shift);
}

#define COUNT_IN(desc, c) \
    ((desc).allocator.alloc = count_alloc, (desc).allocator.free = count_free, (desc).allocator.user = &(c))
// The n calls from here on are served and all after them fail; -1: none fails.
#define COUNT_ALLOW(c, n) ((c).fail_at = (n) < 0 ? 0 : (c).calls + (n) + 1, (c).fail_on = true)
#endif
