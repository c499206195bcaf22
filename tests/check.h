// How test programs count: a case is a name, however many numbers are compared under it. It passes if all of its checks do.
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

static test_case_name *test_case_slot(test_case_name *names, size_t capacity, const char *text) {
    size_t h = 1469598103u;
    for (const char *p = text; *p; p++) h = (h ^ (unsigned char)*p) * 16777619u;
    while (names[h % capacity].text && strcmp(names[h % capacity].text, text) != 0) h++;
    return &names[h % capacity];
}

static void test_case_grow(void) {
    size_t capacity = test_case_capacity ? 2 * test_case_capacity : 1024;
    test_case_name *names = (test_case_name *)calloc(capacity, sizeof(test_case_name));
    for (size_t i = 0; i < test_case_capacity; i++)
        if (test_all_cases[i].text) *test_case_slot(names, capacity, test_all_cases[i].text) = test_all_cases[i];
    free(test_all_cases);
    test_all_cases = names;
    test_case_capacity = capacity;
}

static bool test_count(int *passed, int *failed, bool ok, const char *name) {
    if (2 * test_case_count >= test_case_capacity) test_case_grow();
    test_case_name *t = test_case_slot(test_all_cases, test_case_capacity, name);
    if (!t->text) {
        t->text = (char *)malloc(strlen(name) + 1);
        strcpy(t->text, name);
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
