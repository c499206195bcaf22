// Damage to small files of every benchmark's layout: loading and scoring may fail, but never crash or leak.
// The input chooses a file (first byte), how it is used (second), and edits it: four bytes each, what, where (two) and a value.
//   clang -g -O1 -DPEFT_NO_SIMD -fsanitize=fuzzer,address,undefined -I. -o fuzz tests/fuzz_benchmarks.c -lm && ./fuzz
#define PEFT_IMPLEMENTATION
#include "peft.h"
#include "../tools/benchmarks.h"

#include <stdio.h>
#include <stdlib.h>

typedef struct sample {
    const char *benchmark, *tasks, *path, *text;
} sample;

static const sample samples[] = {
    {"glue", "CoLA", "f/CoLA/dev.tsv", "gj04\t1\t\tThe cat sat.\ngj04\t0\t*\tCat the sat.\n"},
    {"glue", "STS-B", "f/STS-B/dev.tsv", "index\tsentence1\tsentence2\tscore\n0\tA man.\tA boy.\t1.000\n1\tB.\tC.\t2.5\n"},
    {"glue", "MNLI-m", "f/MNLI/dev_matched.tsv", "index\tsentence1\tsentence2\tgold_label\n0\tA.\tB.\tneutral\n1\tC.\tD.\tentailment\n"},
    {"superglue", "COPA", "f/COPA/val.jsonl", "{\"premise\": \"It broke.\", \"choice1\": \"It fell.\", \"choice2\": \"I drank.\", \"question\": \"cause\", \"label\": 0, \"idx\": 0}\n"},
    {"superglue", "MultiRC", "f/MultiRC/val.jsonl", "{\"idx\": 5, \"passage\": {\"text\": \"<b>Sent 1: </b>Tom ate.<br>\", \"questions\": [{\"question\": \"Who?\", \"idx\": 0, "
                                                    "\"answers\": [{\"text\": \"Tom\", \"idx\": 0, \"label\": 1}, {\"text\": \"Ann\", \"idx\": 1, \"label\": 0}]}]}}\n"},
    {"superglue", "ReCoRD", "f/ReCoRD/val.jsonl", "{\"idx\": 0, \"passage\": {\"text\": \"Caf\xC3\xA9 Roma beat Ann.\", \"entities\": [{\"start\": 0, \"end\": 8}, {\"start\": 15, \"end\": 17}]}, "
                                                  "\"qas\": [{\"query\": \"@placeholder won\", \"idx\": 3, \"answers\": [{\"text\": \"Ann\"}]}]}\n"},
    {"superglue", "WSC", "f/WSC/val.jsonl", "{\"text\": \"Tom thanked Bob because he had helped.\", \"target\": {\"span1_index\": 2, \"span1_text\": \"Bob\", \"span2_index\": 4, "
                                            "\"span2_text\": \"he\"}, \"idx\": 0, \"label\": true}\n"},
    {"superglue", "AX-g", "f/AX-g/AX-g.jsonl", "{\"premise\": \"A\", \"hypothesis\": \"B\", \"idx\": 0, \"label\": \"entailment\", \"pair_id\": 9}\n"},
    {"mmlu", "virology", "f/test/virology_test.csv", "\"R, \"\"q\"\"?\",a,b,c,d,A\nS?,a,b,c,d,B\n"},
    {"bbh", "navigate", "f/bbh/navigate.json", "{\"canary\": \"x\", \"examples\": [{\"input\": \"Go.\", \"target\": \"No\"}, {\"input\": \"Stay.\", \"target\": \"Yes\"}]}"},
    {"bigbench", "t", "f/t/task.json", "{\"metrics\": [\"multiple_choice_grade\"], \"output_regex\": \"[^\\\\.\\n]+\", \"task_prefix\": \"P\", \"examples\": [{\"input\": \"x\", \"target_scores\": {\"u\": 1, "
                                       "\"d\": 0.5}}, {\"input\": \"y\", \"target\": [\"3\", 4]}]}"},
    {"helm", "hellaswag", "f/hellaswag.jsonl", "{\"input\": \"He\", \"choices\": [\"ran.\", \"flew.\"], \"label\": 0}\n{\"input\": \"x\", \"references\": [\"a\", 2, true]}\n"},
    {"helm", "msmarco_trec", "f/msmarco_trec.jsonl", "{\"input\": \"d1\", \"query\": \"q\", \"relevance\": 1}\n{\"input\": \"d2\", \"query\": \"q\", \"relevance\": 3}\n"},
    {"samsum", "samsum", "f/test.json", "[{\"id\": \"1\", \"dialogue\": \"A: hi\", \"summary\": \"A greets.\"}]"},
    {"cnndm", "cnndm", "f/test.csv", "id,article,highlights\n7,\"A long, story\",\"One.\nTwo.\"\n"},
};

static const char cot[] = "canary\n-----\nIntro.\n\nQ: A?\nA: Let's think step by step.\nSo the answer is No.\n\nQ: B?\nA: Think. So the answer is Yes.\n";

static size_t damage(const uint8_t *edits, size_t count, char *text, size_t n, size_t capacity) {
    for (; count >= 4 && n > 0; edits += 4, count -= 4) {
        size_t at = (size_t)(edits[1] << 8 | edits[2]) % n, size = PEFT__MIN(1 + (size_t)(edits[3] & 15), n - at);
        switch (edits[0] % 4) {
        case 0: text[at] = (char)edits[3]; break;
        case 1: n = at; break;
        case 2:
            memmove(text + at, text + at + size, n - at - size);
            n -= size;
            break;
        default:
            if (n + size > capacity) break;
            memmove(text + at + size, text + at, n - at);
            n += size;
        }
    }
    return n;
}

static peft_status any(const char *prompt, const char *const *choices, int64_t count, double *out, void *user) {
    (void)prompt, (void)choices, (void)user;
    for (int64_t k = 0; k < count; k++) out[k] = -(double)k;
    return PEFT_OK;
}

static peft_status say(const char *prompt, int64_t most, const char *stop, char **text, void *user) {
    (void)most, (void)stop;
    return peft_text_copy((peft_context *)user, strlen(prompt) % 2 ? "So the answer is 3." : "", text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 2) return 0;
    const sample *s = &samples[data[0] % (sizeof samples / sizeof samples[0])];
    unsigned r = data[1];
    char text[2048], prompts[512];
    peft_context *ctx = NULL;
    peft_benchmark *b = NULL;
    if (peft_context_create(NULL, &ctx) != PEFT_OK) return 0;
    size_t n = strlen(s->text), m = sizeof cot - 1;
    memcpy(text, s->text, n);
    memcpy(prompts, cot, m);
    n = damage(data + 2, size - 2, text, n, sizeof text);
    if (r & 128) m = damage(data + 2, size - 2, prompts, m, sizeof prompts);
    peft_mount(ctx, s->path, text, n);
    peft_mount(ctx, "f/cot-prompts/navigate.txt", prompts, m);
    size_t before = peft_memory_in_use(ctx);
    peft_benchmark_desc d;
    memset(&d, 0, sizeof d);
    d.context = ctx, d.name = s->benchmark, d.folder = "f", d.tasks = s->tasks, d.direct = r % 3 == 0;
    d.style = r % 2 ? PEFT_PROMPT_T5 : PEFT_PROMPT_PLAIN;
    d.shots = strcmp(s->benchmark, "bbh") == 0 ? 2 : strcmp(s->benchmark, "bigbench") == 0 ? 1 : -1;
    if (peft_benchmark_load(&d, &b) == PEFT_OK) {
        peft_benchmark_runner run;
        peft_benchmark_results results;
        peft_perturbation p;
        char *table = NULL;
        memset(&run, 0, sizeof run);
        memset(&p, 0, sizeof p);
        p.kind = PEFT_PERTURB_TYPOS;
        run.loglikelihood = r % 5 ? any : NULL, run.generate = say, run.user = ctx;
        run.perturbations = &p, run.perturbation_count = 1;
        if (peft_benchmark_run(b, &run, &results) == PEFT_OK)
            peft_benchmark_table(&results, 1, (peft_table_format)(r % 4), &table);
        peft_free(ctx, table);
        peft_benchmark_results_free(&results);
    }
    peft_benchmark_destroy(b);
    if (peft_memory_in_use(ctx) != before) abort();
    peft_context_destroy(ctx);
    return 0;
}

#include "fuzz_main.h"
