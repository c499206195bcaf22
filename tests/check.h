// How test programs count: a case is a name, however many numbers are compared under it. It passes if all of its checks do.
// What stands behind ": " in a text says what of the case was checked (a text that begins with { is a name as it is).
//   if (test_count(&passed, &failed, ok, name)) printf("FAIL %s\n", name);     true: this failure is to be shown
#ifndef TESTS_CHECK_H
#define TESTS_CHECK_H
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct test_case_name {
    char *text;
    int failed;  // how often
} test_case_name;

static test_case_name *test_all_cases;  // open addressing; never more than half full
static size_t test_case_capacity, test_case_count;
static int test_cases_shown;

static test_case_name *test_case_slot(test_case_name *names, size_t capacity, const char *text, size_t n) {
    size_t h = 1469598103u;
    for (size_t i = 0; i < n; i++) h = (h ^ (unsigned char)text[i]) * 16777619u;
    for (; names[h % capacity].text; h++) {
        const char *other = names[h % capacity].text;
        if (strlen(other) == n && memcmp(other, text, n) == 0) break;
    }
    return &names[h % capacity];
}

static void test_case_grow(void) {
    size_t capacity = test_case_capacity ? 2 * test_case_capacity : 1024;
    test_case_name *names = (test_case_name *)calloc(capacity, sizeof(test_case_name));
    for (size_t i = 0; i < test_case_capacity; i++)
        if (test_all_cases[i].text)
            *test_case_slot(names, capacity, test_all_cases[i].text, strlen(test_all_cases[i].text)) = test_all_cases[i];
    free(test_all_cases);
    test_all_cases = names;
    test_case_capacity = capacity;
}

static bool test_count(int *passed, int *failed, bool ok, const char *name) {
    if (2 * test_case_count >= test_case_capacity) test_case_grow();
    const char *colon = *name == '{' ? NULL : strstr(name, ": ");
    size_t n = colon ? (size_t)(colon - name) : strlen(name);
    test_case_name *t = test_case_slot(test_all_cases, test_case_capacity, name, n);
    if (!t->text) {
        t->text = (char *)calloc(n + 1, 1);
        memcpy(t->text, name, n);
        test_case_count++;
        ++*(ok ? passed : failed);
    } else if (!ok && !t->failed) {
        --*passed;
        ++*failed;
    }
    if (ok) return false;
    return ++t->failed <= 4 && test_cases_shown++ < 60;
}
#endif
