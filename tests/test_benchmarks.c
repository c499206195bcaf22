// Chapter 14: benchmarks. Small files of every official layout, made here and mounted; scores computed by hand. Then BIG-Bench Hard's
// real files (PEFT_SHARED names the place, default ../shared).
#define PEFT_IMPLEMENTATION
#include "peft.h"
#include "../tools/benchmarks.h"

#include "check.h"
#include <stdio.h>
#include <stdlib.h>

static int passed, failed, skipped;
static peft_context *ctx;

static bool check(const char *name, bool ok) {
    if (test_count(&passed, &failed, ok, name)) printf("%-58s FAIL (last error: %s)\n", name, peft_error(ctx));
    return ok;
}

static bool near(double a, double b) { return fabs(a - b) <= 1e-12; }

static void file(const char *path, const char *text) {
    check(path, peft_mount(ctx, path, text, strlen(text)) == PEFT_OK);
}

static peft_benchmark *load(const char *name, const char *folder, const char *tasks, int64_t shots, peft_prompt_style style) {
    peft_benchmark_desc d;
    peft_benchmark *b = NULL;
    memset(&d, 0, sizeof d);
    d.context = ctx, d.name = name, d.folder = folder, d.tasks = tasks, d.shots = shots, d.style = style;
    check(name, peft_benchmark_load(&d, &b) == PEFT_OK);
    return b;
}

static int64_t find(const peft_benchmark *b, const char *task) {
    for (int64_t i = 0; i < peft_benchmark_task_count(b); i++)
        if (strcmp(peft_benchmark_task_at(b, i).name, task) == 0) return i;
    return -1;
}

static double metric(const peft_benchmark_result *r, const char *name) {
    for (int k = 0; k < r->metric_count; k++)
        if (strcmp(r->metrics[k].name, name) == 0) return r->metrics[k].value;
    return -99;
}

static double average(const peft_benchmark_results *r, const char *name) {
    for (int k = 0; k < r->average_count; k++)
        if (strcmp(r->averages[k].name, name) == 0) return r->averages[k].value;
    return -99;
}

static bool prompt_is(const peft_benchmark *b, const char *task, int64_t i, const char *expected) {
    char *text = NULL;
    bool ok = peft_benchmark_prompt(b, find(b, task), i, -1, &text) == PEFT_OK && strcmp(text, expected) == 0;
    if (!ok) printf("prompt of %s:\n[%s]\nnot\n[%s]\n", task, text ? text : "", expected);
    peft_free(ctx, text);
    return ok;
}

static peft_benchmark_result score(const peft_benchmark *b, const char *task, const char *const *predictions, int64_t count) {
    peft_benchmark_result r;
    memset(&r, 0, sizeof r);
    check(task, peft_benchmark_score(b, find(b, task), predictions, count, &r) == PEFT_OK);
    return r;
}

// ---- GLUE

static void glue_files(void) {
    file("g/CoLA/dev.tsv", "gj04\t1\t\tThe cat sat.\ngj04\t0\t*\tCat the sat.\nbc01\t1\t\tHe \"left.\nbc01\t1\t\tShe ran.\n");
    file("g/SST-2/dev.tsv", "sentence\tlabel\na charming film \t1\r\ndull \t0\r\n");
    file("g/SST-2/train.tsv", "sentence\tlabel\nvery good \t1\nvery bad \t0\n");
    file("g/MRPC/dev.tsv", "Quality\t#1 ID\t#2 ID\t#1 String\t#2 String\n1\t10\t11\tA \"b.\tB a.\n0\t12\t13\tC.\tD.\n1\t14\t15\tE.\tF.\n0\t16\t17\tG.\tH.\n");
    file("g/STS-B/dev.tsv", "index\tgenre\tfilename\tyear\told_index\tsource1\tsource2\tsentence1\tsentence2\tscore\n"
                            "0\tm\tf\t2012\t1\tnone\tnone\tA man.\tA boy.\t1.000\n1\tm\tf\t2012\t2\tnone\tnone\tB.\tC.\t2.000\n2\tm\tf\t2012\t3\tnone\tnone\tD.\tE.\t4.000\n");
    file("g/QQP/dev.tsv", "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate\n7\t1\t2\tWho?\tWhat?\t0\n8\t3\t4\tshort line\n9\t5\t6\tWhen?\tAt what time?\t1\n");
    const char *mnli = "index\tpromptID\tpairID\tgenre\tsentence1_binary_parse\tsentence2_binary_parse\tsentence1_parse\tsentence2_parse\tsentence1\t"
                       "sentence2\tlabel1\tlabel2\tlabel3\tlabel4\tlabel5\tgold_label\n"
                       "0\tp\tq\tfiction\tx\tx\tx\tx\tIt rains.\tIt is wet.\te\te\te\te\te\tentailment\n"
                       "1\tp\tq\tfiction\tx\tx\tx\tx\tIt rains.\tIt is dry.\te\te\te\te\te\tcontradiction\n";
    file("g/MNLI/dev_matched.tsv", mnli);
    file("g/MNLI/dev_mismatched.tsv", mnli);
    file("g/QNLI/dev.tsv", "index\tquestion\tsentence\tlabel\n0\tWhere?\tIn Rome.\tentailment\n1\tWho?\tIn Rome.\tnot_entailment\n");
    file("g/RTE/dev.tsv", "index\tsentence1\tsentence2\tlabel\n0\tA.\tB.\tnot_entailment\n1\tC.\tC.\tentailment\n");
    file("g/WNLI/dev.tsv", "index\tsentence1\tsentence2\tlabel\n0\tA.\tB.\t0\n1\tC.\tC.\t1\n");
    file("g/diagnostic/diagnostic-full.tsv", "Lexical Semantics\tPredicate-Argument Structure\tLogic\tKnowledge\tDomain\tPremise\tHypothesis\tLabel\n"
                                             "\t\tNegation\t\tNews\tThe cat sat.\tThe cat did not sit.\tcontradiction\n\t\t\t\tNews\tA.\tA.\tentailment\n");
}

static void test_glue(void) {
    glue_files();
    peft_benchmark *b = load("glue", "g", NULL, 0, PEFT_PROMPT_PLAIN);
    if (!b) return;
    check("glue has its tasks", peft_benchmark_task_count(b) == 11);
    for (int64_t i = 0; i < 11; i++) check(peft_benchmark_task_at(b, i).name, !peft_benchmark_task_at(b, i).missing && peft_benchmark_task_at(b, i).labelled);
    check("quotes stand for themselves", prompt_is(b, "CoLA", 2, "Sentence: He \"left.\nIs this sentence acceptable English? Yes or no?\nAnswer:"));
    check("line ends of Windows", prompt_is(b, "SST-2", 1, "Review: dull \nIs this review positive or negative?\nAnswer:"));
    check("a short line is skipped", peft_benchmark_task_at(b, find(b, "QQP")).examples == 2);
    check("and counted", strcmp(peft_benchmark_example_at(b, find(b, "QQP"), 1)->id, "2") == 0);

    const char *cola[] = {"1", "0", "0", "1"};  // 2 true positives, 1 true negative, 1 false negative
    check("CoLA: Matthews", near(score(b, "CoLA", cola, 4).score, 2 / sqrt(12)));
    const char *mrpc[] = {"1", "1", "yes", NULL};  // right, wrong, right, no answer: wrong. F1 = 2*2 / (4 + 2)
    peft_benchmark_result r = score(b, "MRPC", mrpc, 4);
    check("MRPC: F1 and accuracy", near(metric(&r, "f1"), 4.0 / 6) && near(metric(&r, "accuracy"), 0.5) && near(r.score, (4.0 / 6 + 0.5) / 2));
    const char *sts[] = {"1.5", "around 2.0, I think", "3"};  // r = sum dx dy / sqrt(sum dx^2 sum dy^2)
    double dx[] = {1.5 - 6.5 / 3, 2 - 6.5 / 3, 3 - 6.5 / 3}, dy[] = {1 - 7.0 / 3, 2 - 7.0 / 3, 4 - 7.0 / 3}, xy = 0, xx = 0, yy = 0;
    for (int i = 0; i < 3; i++) xy += dx[i] * dy[i], xx += dx[i] * dx[i], yy += dy[i] * dy[i];
    r = score(b, "STS-B", sts, 3);
    check("STS-B: Pearson and Spearman", near(metric(&r, "pearson"), xy / sqrt(xx * yy)) && near(metric(&r, "spearman"), 1));
    const char *flat[] = {"2", "2", "2"};
    check("STS-B: a constant has no correlation", near(score(b, "STS-B", flat, 3).score, 0));
    const char *nli[] = {"entailment", "Maybe it is."}, *ax[] = {"contradiction", " yes"};
    check("MNLI: accuracy", near(score(b, "MNLI-m", nli, 2).score, 0.5));
    check("AX: Matthews over three classes", near(score(b, "AX", ax, 2).score, 1) && score(b, "AX", ax, 2).diagnostic);
    peft_benchmark_result bad;
    check("a wrong count names both", peft_benchmark_score(b, 0, cola, 3, &bad) == PEFT_ERROR_ARGUMENT && strstr(peft_error(ctx), "4 examples but 3"));
    peft_benchmark_destroy(b);

    b = load("glue", "g", "SST-2, STS-B", -1, PEFT_PROMPT_T5);
    check("T5's prompts", prompt_is(b, "SST-2", 0, "sst2 sentence: a charming film ") &&
                          prompt_is(b, "STS-B", 0, "stsb sentence1: A man. sentence2: A boy."));
    peft_benchmark_destroy(b);
    b = load("glue", "g", "SST-2", 1, PEFT_PROMPT_PLAIN);
    check("a shot from train", prompt_is(b, "SST-2", 1, "Review: very good \nIs this review positive or negative?\nAnswer: positive\n\n"
                                                       "Review: dull \nIs this review positive or negative?\nAnswer:"));
    peft_benchmark_destroy(b);
}

// A runner that answers from a table: the n-th question gets the n-th answer.
typedef struct script {
    const char *const *answers;
    int64_t at, count, tokens;
} script;

static peft_status say(const char *prompt, int64_t max_new_tokens, const char *stop, char **text, void *user) {
    script *s = (script *)user;
    (void)prompt, (void)max_new_tokens, (void)stop;
    s->tokens += 3;
    return peft_text_copy(ctx, s->answers[s->at++ % s->count], text);
}

// Prefers the choice whose text contains the scripted answer.
static peft_status prefer(const char *prompt, const char *const *choices, int64_t count, double *out, void *user) {
    script *s = (script *)user;
    const char *wanted = s->answers[s->at++ % s->count];
    (void)prompt;
    s->tokens += count;
    for (int64_t k = 0; k < count; k++) out[k] = strstr(choices[k], wanted) ? log(0.8) : log(0.2 / (double)(count > 1 ? count - 1 : 1));
    return PEFT_OK;
}

static void test_glue_run(void) {
    peft_benchmark *b = load("glue", "g", "CoLA,MNLI-m,MNLI-mm,RTE,AX", 0, PEFT_PROMPT_PLAIN);
    static const char *const answers[] = {"yes", "no", "no", "yes", /* m */ "yes", "no", /* mm */ "yes", "yes", /* RTE */ "no", "yes", /* AX */ "no", "yes"};
    script s = {answers, 0, 12, 0};
    peft_benchmark_runner run;
    peft_benchmark_results r;
    memset(&run, 0, sizeof run);
    run.loglikelihood = prefer, run.user = &s, run.model = "scripted", run.tokens = &s.tokens;
    if (!check("glue runs", b && peft_benchmark_run(b, &run, &r) == PEFT_OK)) return;
    double cola = 2 / sqrt(12);
    check("the two parts of MNLI are one task", near(average(&r, "average"), (cola + (1 + 0.5) / 2 + 1) / 3));
    check("AX is not in the average", r.scored == 4 && r.expected == 4 && near(r.tasks[4].score, 1));
    check("calibration: confidence 0.8, all right", near(metric(&r.tasks[3], "ece_10_bin"), 0.2));
    check("nothing is left of it after Platt scaling", metric(&r.tasks[3], "platt_ece_10_bin") == 0);
    check("tokens are counted", r.tokens == 4 * 2 + 4 * 3 + 2 * 2 + 2 * 3);
    check("predictions are names", strcmp(r.tasks[1].predictions[1], "contradiction") == 0 && strcmp(r.tasks[0].predictions[2], "0") == 0);

    check("predictions are written", peft_benchmark_write_predictions(b, &r, "build") == PEFT_OK);
    peft_benchmark_results again;
    check("and read", peft_benchmark_score_files(b, "build", "again", &again) == PEFT_OK);
    check("with the same scores", near(average(&again, "average"), average(&r, "average")) && near(again.tasks[4].score, 1));

    char *text = NULL;
    peft_benchmark_results both[2];
    both[0] = r, both[1] = again;
    check("text table", peft_benchmark_table(&r, 1, PEFT_TABLE_TEXT, &text) == PEFT_OK && strstr(text, "matthews 57.74") && strstr(text, "4 of 4"));
    peft_free(ctx, text);
    check("table of two models", peft_benchmark_table(both, 2, PEFT_TABLE_TEXT, &text) == PEFT_OK && strstr(text, "scripted") && strstr(text, "mean win rate") && strstr(text, "50.00"));
    peft_free(ctx, text);
    check("CSV table", peft_benchmark_table(&r, 1, PEFT_TABLE_CSV, &text) == PEFT_OK && strstr(text, "\nglue,scripted,RTE,,accuracy,1\n"));
    peft_free(ctx, text);
    check("HTML table", peft_benchmark_table(both, 2, PEFT_TABLE_HTML, &text) == PEFT_OK && strstr(text, "<svg") && !strstr(text, "http"));
    peft_free(ctx, text);
    check("JSON table", peft_benchmark_table(both, 2, PEFT_TABLE_JSON, &text) == PEFT_OK);
    peft__arena arena;
    peft__json *root = NULL;
    peft__arena_init(&arena, ctx);
    check("which parses", text && peft__json_parse(ctx, &arena, text, strlen(text), "table", &root) == PEFT_OK &&
                          peft__json_get(root, "models")->length == 2);
    peft__arena_free(&arena);
    peft_free(ctx, text);
    peft_benchmark_results_free(&r);
    peft_benchmark_results_free(&again);

    s.at = 0;
    static const char *const spoken[] = {"Yes.", "no, it is not", "no", "yes\nand more", "maybe so", "No", "yes", "yes", "no", "yes", "no", "yes"};
    s.answers = spoken;
    run.loglikelihood = NULL, run.generate = say;
    check("choices can be spoken", peft_benchmark_run(b, &run, &r) == PEFT_OK && near(r.tasks[0].score, cola) && near(r.tasks[1].score, 0.5));
    peft_benchmark_results_free(&r);
    peft_benchmark_destroy(b);
}

static void test_missing(void) {
    file("m/RTE/dev.tsv", "index\tsentence1\tsentence2\tlabel\n0\tA.\tB.\tnot_entailment\n");
    file("m/WNLI/dev.tsv", "index\tsentence1\tsentence2\tlabel\n0\tA.\tB.\tmaybe\n");
    file("m/QNLI/dev.tsv", "index\tquestion\tsentence\n0\tWhere?\tIn Rome.\n");
    file("m/STS-B/dev.tsv", "index\tsentence1\tscore\n0\tA.\t2\n");
    peft_benchmark_desc d;
    peft_benchmark *b = NULL;
    memset(&d, 0, sizeof d);
    d.context = ctx, d.name = "glue", d.folder = "m", d.tasks = "RTE,CoLA,QNLI";
    check("a missing file is no error", peft_benchmark_load(&d, &b) == PEFT_OK && peft_benchmark_task_at(b, 1).missing);
    check("its place is named", strcmp(peft_benchmark_task_at(b, 1).file, "m/CoLA/dev.tsv") == 0);
    static const char *const answers[] = {"no", "yes"};
    script s = {answers, 0, 2, 0};
    peft_benchmark_runner run;
    peft_benchmark_results r;
    memset(&run, 0, sizeof run);
    run.loglikelihood = prefer, run.user = &s;
    check("the others are run", peft_benchmark_run(b, &run, &r) == PEFT_OK && r.tasks[0].status == PEFT_OK && near(r.tasks[0].score, 1));
    check("the missing one says so", r.tasks[1].status == PEFT_ERROR_MISSING && strstr(r.tasks[1].note, "m/CoLA/dev.tsv"));
    check("no labels: predictions, no score", r.tasks[2].status == PEFT_ERROR_MISSING && strcmp(r.tasks[2].predictions[0], "entailment") == 0);
    check("one of three", r.scored == 1 && r.expected == 3);
    peft_benchmark_results_free(&r);
    peft_benchmark_destroy(b);
    d.tasks = "CoLA,MRPC";
    check("nothing there", peft_benchmark_load(&d, &b) == PEFT_ERROR_MISSING && !b && strstr(peft_error(ctx), "m/CoLA/dev.tsv, m/MRPC/dev.tsv"));
    d.tasks = "WNLI";
    check("a strange label", peft_benchmark_load(&d, &b) == PEFT_ERROR_FORMAT && strstr(peft_error(ctx), "m/WNLI/dev.tsv:2: label \"maybe\""));
    d.tasks = "STS-B";
    check("a missing column", peft_benchmark_load(&d, &b) == PEFT_ERROR_MISSING && strstr(peft_error(ctx), "\"sentence2\""));
    d.tasks = "RTE,SQuAD";
    check("no such task", peft_benchmark_load(&d, &b) == PEFT_ERROR_ARGUMENT && strstr(peft_error(ctx), "SQuAD"));
    d.name = "clue";
    check("no such benchmark", peft_benchmark_load(&d, &b) == PEFT_ERROR_ARGUMENT);
}

// Says yes to whatever holds a "C." in this very form.
static peft_status easily_upset(const char *prompt, const char *const *choices, int64_t count, double *out, void *user) {
    (void)user;
    for (int64_t k = 0; k < count; k++) out[k] = (strstr(prompt, "C.") != NULL) == (strstr(choices[k], "yes") != NULL) ? -0.1 : -3;
    return PEFT_OK;
}

static void test_robustness(void) {
    peft_benchmark *b = load("glue", "g", "RTE", 0, PEFT_PROMPT_PLAIN);
    peft_perturbation versions[2];
    peft_benchmark_runner run;
    peft_benchmark_results r;
    memset(versions, 0, sizeof versions);
    memset(&run, 0, sizeof run);
    versions[0].kind = PEFT_PERTURB_LOWERCASE, versions[1].kind = PEFT_PERTURB_GENDER;
    run.loglikelihood = easily_upset, run.perturbations = versions, run.perturbation_count = 2;
    check("perturbed questions", peft_benchmark_run(b, &run, &r) == PEFT_OK && near(r.tasks[0].score, 1));
    check("the worst of two versions", near(metric(&r.tasks[0], "robustness"), 0.5));  // "c." makes it say no
    check("gender changes nothing here", near(metric(&r.tasks[0], "fairness"), 1));
    peft_benchmark_results_free(&r);
    peft_benchmark_destroy(b);
}

// ---- SuperGLUE

static void superglue_files(void) {
    file("s/BoolQ/val.jsonl", "{\"question\": \"is ice cold\", \"passage\": \"Ice is frozen water.\", \"idx\": 0, \"label\": true}\n"
                              "{\"question\": \"is fire cold\", \"passage\": \"Fire burns.\", \"idx\": 1, \"label\": false}\n");
    file("s/CB/val.jsonl", "{\"premise\": \"P1\", \"hypothesis\": \"H1\", \"label\": \"entailment\", \"idx\": 0}\n"
                           "{\"premise\": \"P2\", \"hypothesis\": \"H2\", \"label\": \"neutral\", \"idx\": 1}\n"
                           "{\"premise\": \"P3\", \"hypothesis\": \"H3\", \"label\": \"contradiction\", \"idx\": 2}\n");
    file("s/COPA/val.jsonl", "{\"premise\": \"The glass broke.\", \"choice1\": \"It fell.\", \"choice2\": \"I drank.\", \"question\": \"cause\", \"label\": 0, \"idx\": 0}\n"
                             "{\"premise\": \"It rained.\", \"choice1\": \"It was dry.\", \"choice2\": \"The street got wet.\", \"question\": \"effect\", \"label\": 1, \"idx\": 1}\n");
    file("s/MultiRC/val.jsonl", "{\"idx\": 5, \"version\": 1.1, \"passage\": {\"text\": \"<b>Sent 1: </b>Tom ate.<br>\", \"questions\": ["
                                "{\"question\": \"Who ate?\", \"idx\": 0, \"answers\": [{\"text\": \"Tom\", \"idx\": 0, \"label\": 1}, {\"text\": \"Ann\", \"idx\": 1, \"label\": 0}]},"
                                "{\"question\": \"What?\", \"idx\": 1, \"answers\": [{\"text\": \"bread\", \"idx\": 2, \"label\": 0}, {\"text\": \"a meal\", \"idx\": 3, \"label\": 1}]}]}}\n");
    file("s/ReCoRD/val.jsonl", "{\"source\": \"CNN\", \"idx\": 0, \"passage\": {\"text\": \"Caf\\u00e9 Roma beat Ann Lee.\\n@highlight\\nAnn Lee lost\", \"entities\": "
                               "[{\"start\": 0, \"end\": 8}, {\"start\": 15, \"end\": 21}, {\"start\": 35, \"end\": 41}]}, \"qas\": [{\"query\": \"@placeholder won\", \"idx\": 3, "
                               "\"answers\": [{\"start\": 0, \"end\": 8, \"text\": \"Caf\\u00e9 Roma\"}]}]}\n");
    file("s/RTE/val.jsonl", "{\"premise\": \"A\", \"hypothesis\": \"B\", \"label\": \"not_entailment\", \"idx\": 0}\n");
    file("s/WiC/val.jsonl", "{\"word\": \"bank\", \"sentence1\": \"A river bank.\", \"sentence2\": \"A savings bank.\", \"idx\": 0, \"label\": false, \"start1\": 8, \"end1\": 12}\n");
    file("s/WSC/val.jsonl", "{\"text\": \"Tom thanked Bob because he had helped.\", \"target\": {\"span1_index\": 2, \"span1_text\": \"Bob\", \"span2_index\": 4, "
                            "\"span2_text\": \"he\"}, \"idx\": 0, \"label\": true}\n");
    file("s/AX-b/AX-b.jsonl", "{\"sentence1\": \"A\", \"sentence2\": \"B\", \"idx\": 0, \"label\": \"entailment\", \"logic\": \"x\"}\n"
                              "{\"sentence1\": \"C\", \"sentence2\": \"D\", \"idx\": 1, \"label\": \"not_entailment\"}\n");
    file("s/AX-g/AX-g.jsonl", "{\"premise\": \"A\", \"hypothesis\": \"B\", \"idx\": 0, \"label\": \"entailment\", \"pair_id\": 9}\n"
                              "{\"premise\": \"A2\", \"hypothesis\": \"B2\", \"idx\": 1, \"label\": \"entailment\", \"pair_id\": 9}\n"
                              "{\"premise\": \"C\", \"hypothesis\": \"D\", \"idx\": 2, \"label\": \"not_entailment\", \"pair_id\": 4}\n"
                              "{\"premise\": \"C2\", \"hypothesis\": \"D2\", \"idx\": 3, \"label\": \"not_entailment\", \"pair_id\": 4}\n");
}

static void test_superglue(void) {
    superglue_files();
    peft_benchmark *b = load("superglue", "s", NULL, 0, PEFT_PROMPT_PLAIN);
    if (!b) return;
    check("superglue has its tasks", peft_benchmark_task_count(b) == 10);
    check("BoolQ", prompt_is(b, "BoolQ", 0, "Ice is frozen water.\nQuestion: is ice cold? Yes or no?\nAnswer:"));
    check("COPA", prompt_is(b, "COPA", 0, "The glass broke because") && prompt_is(b, "COPA", 1, "It rained so"));
    const peft_benchmark_example *e = peft_benchmark_example_at(b, find(b, "COPA"), 0);
    check("COPA's choices", strcmp(e->choices[0], " it fell.") == 0 && strcmp(e->choices[1], " I drank.") == 0 && e->label == 0);
    check("MultiRC", prompt_is(b, "MultiRC", 3, "Sent 1: Tom ate. \nQuestion: What?\nProposed answer: a meal\nIs the proposed answer right? Yes or no?\nAnswer:"));
    e = peft_benchmark_example_at(b, find(b, "MultiRC"), 2);
    check("MultiRC's ids", strcmp(e->id, "5/1/2") == 0 && e->group == 1 && e->label == 0);
    e = peft_benchmark_example_at(b, find(b, "ReCoRD"), 0);
    check("ReCoRD's entities, once each", e->choice_count == 2 && strcmp(e->names[0], "Caf\xC3\xA9 Roma") == 0 && strcmp(e->names[1], "Ann Lee") == 0);
    check("ReCoRD's choices", strcmp(e->choices[1], " Ann Lee won") == 0 && strcmp(e->id, "3") == 0);
    check("WSC", prompt_is(b, "WSC", 0, "Tom thanked Bob because he had helped.\nDoes \"he\" stand for \"Bob\" here? Yes or no?\nAnswer:"));

    const char *cb[] = {"entailment", "entailment", "contradiction"};  // F1: 2/3, 1, 0
    peft_benchmark_result r = score(b, "CB", cb, 3);
    check("CB: accuracy and macro F1", near(metric(&r, "accuracy"), 2.0 / 3) && near(metric(&r, "f1"), (2.0 / 3 + 1 + 0) / 3));
    const char *multirc[] = {"1", "1", "0", "1"};  // 2 hits, 3 said, 2 true: F1 = 4/5; the second question is all right
    r = score(b, "MultiRC", multirc, 4);
    check("MultiRC: F1a and exact match", near(metric(&r, "f1a"), 0.8) && near(metric(&r, "exact_match"), 0.5) && near(r.score, 0.65));
    const char *record[] = {"the caf\xC3\xA9 roma"}, *other[] = {"Roma"};
    check("ReCoRD: normalized", near(score(b, "ReCoRD", record, 1).score, 1));
    r = score(b, "ReCoRD", other, 1);
    check("ReCoRD: F1 of one word of two", near(metric(&r, "f1"), 2.0 / 3) && near(metric(&r, "exact_match"), 0));
    const char *boolq[] = {"True", "1"};
    check("BoolQ takes true, True, 1", near(score(b, "BoolQ", boolq, 2).score, 0.5));
    const char *axg[] = {"entailment", "entailment", "entailment", "not_entailment"};
    r = score(b, "AX-g", axg, 4);
    check("AX-g: accuracy and gender parity", near(metric(&r, "accuracy"), 0.75) && near(metric(&r, "gender parity"), 0.5));

    file("p/BoolQ.jsonl", "{\"idx\": 1, \"label\": \"false\"}\n{\"idx\": 0, \"label\": \"true\"}\n");
    file("p/CB.jsonl", "{\"idx\": 0, \"label\": \"entailment\"}\n{\"idx\": 1, \"label\": \"neutral\"}\n{\"idx\": 2, \"label\": \"neutral\"}\n");
    file("p/COPA.jsonl", "{\"idx\": 0, \"label\": 0}\n{\"idx\": 1, \"label\": 0}\n");
    file("p/MultiRC.jsonl", "{\"idx\": 5, \"passage\": {\"questions\": [{\"idx\": 0, \"answers\": [{\"idx\": 0, \"label\": 1}, {\"idx\": 1, \"label\": 0}]}, {\"idx\": 1, "
                            "\"answers\": [{\"idx\": 2, \"label\": 0}, {\"idx\": 3, \"label\": 1}]}]}}\n");
    file("p/ReCoRD.jsonl", "{\"idx\": 3, \"label\": \"Caf\\u00e9 Roma\"}\n");
    file("p/RTE.jsonl", "{\"idx\": 0, \"label\": \"not_entailment\"}\n");
    file("p/WiC.jsonl", "{\"idx\": 0, \"label\": \"false\"}\n");
    file("p/WSC.jsonl", "{\"idx\": 0, \"label\": \"True\"}\n");
    peft_benchmark_results all;
    check("official predictions", peft_benchmark_score_files(b, "p", NULL, &all) == PEFT_OK);
    double f1 = (1 + 2.0 / 3 + 0) / 3;  // CB: contradiction is never found
    check("their average", near(average(&all, "average"), (1 + (2.0 / 3 + f1) / 2 + 0.5 + 1 + 1 + 1 + 1 + 1) / 8));
    check("a prediction file that is not there is named", all.tasks[8].status == PEFT_ERROR_MISSING && strstr(all.tasks[8].note, "p/AX-b.jsonl"));
    peft_benchmark_results_free(&all);
    peft_benchmark_destroy(b);

    b = load("superglue", "s", NULL, -1, PEFT_PROMPT_T5);
    check("T5's WSC", prompt_is(b, "WSC", 0, "wsc text: Tom thanked * Bob * because # he # had helped."));
    check("T5's ReCoRD", prompt_is(b, "ReCoRD", 0, "record query: @placeholder won entities: Caf\xC3\xA9 Roma, Ann Lee passage: Caf\xC3\xA9 Roma beat Ann Lee.\n@highlight\nAnn Lee lost"));
    check("T5's COPA", prompt_is(b, "COPA", 0, "copa choice1: It fell. choice2: I drank. premise: The glass broke. question: cause"));
    e = peft_benchmark_example_at(b, find(b, "COPA"), 0);
    check("T5's choices", strcmp(e->choices[1], "choice2") == 0 && strcmp(e->names[1], "1") == 0);
    check("T5's ReCoRD is free text", !peft_benchmark_example_at(b, find(b, "ReCoRD"), 0)->choices);
    static const char *const answers[] = {"True"};
    script s = {answers, 0, 1, 0};
    peft_benchmark_runner run;
    memset(&run, 0, sizeof run);
    run.generate = say, run.user = &s;
    check("superglue runs", peft_benchmark_run(b, &run, &all) == PEFT_OK && near(all.tasks[find(b, "WSC")].score, 1) && near(all.tasks[find(b, "BoolQ")].score, 0.5));
    check("superglue writes", peft_benchmark_write_predictions(b, &all, "build") == PEFT_OK);
    peft_benchmark_results_free(&all);
    check("superglue reads", peft_benchmark_score_files(b, "build", NULL, &all) == PEFT_OK && near(all.tasks[find(b, "WSC")].score, 1) &&
                             near(all.tasks[find(b, "MultiRC")].score, (4.0 / 6 + 0) / 2));
    peft_benchmark_results_free(&all);
    peft_benchmark_destroy(b);

    file("p2/BoolQ.jsonl", "{\"idx\": 0, \"label\": \"true\"}\n");
    file("p3/BoolQ.jsonl", "{\"idx\": 0, \"label\": \"true\"}\n{\"idx\": 0, \"label\": \"true\"}\n");
    file("p4/BoolQ.jsonl", "{\"idx\": 0, \"label\": \"true\"}\n{\"idx\": 1, \"label\": \"true\"}\n{\"idx\": 2, \"label\": \"true\"}\n");
    b = load("superglue", "s", "BoolQ", 0, PEFT_PROMPT_PLAIN);
    check("a missing prediction", peft_benchmark_score_files(b, "p2", NULL, &all) == PEFT_ERROR_MISSING && strstr(peft_error(ctx), "example \"1\""));
    peft_benchmark_results_free(&all);
    check("a doubled prediction", peft_benchmark_score_files(b, "p3", NULL, &all) == PEFT_ERROR_FORMAT && strstr(peft_error(ctx), "p3/BoolQ.jsonl:2"));
    peft_benchmark_results_free(&all);
    check("a prediction too many", peft_benchmark_score_files(b, "p4", NULL, &all) == PEFT_ERROR_FORMAT && strstr(peft_error(ctx), "p4/BoolQ.jsonl:3"));
    peft_benchmark_results_free(&all);
    peft_benchmark_destroy(b);
}

// ---- MMLU

static void test_mmlu(void) {
    file("u/dev/abstract_algebra_dev.csv", "\"Is 0, in Z, prime?\",yes,no,\"it \"\"depends\"\"\",maybe,B\nWhat is 1+1?,1,2,3,4,B\n");
    file("u/test/abstract_algebra_test.csv", "2*2?,1,2,3,4,D\n3*1?,1,2,3,4,C\n");
    file("u/dev/virology_dev.csv", "Q?,a,b,c,d,A\n");
    file("u/test/virology_test.csv", "R?,a,b,c,d,A\n");
    file("u/dev/world_religions_dev.csv", "Q?,a,b,c,d,A\n");
    file("u/test/world_religions_test.csv", "R?,a,b,c,d,A\nS?,a,b,c,d,B\nT?,a,b,c,d,B\n");
    peft_benchmark *b = load("mmlu", "u", NULL, 0, PEFT_PROMPT_PLAIN);
    if (!b) return;
    int64_t groups[4] = {0, 0, 0, 0};
    for (int64_t i = 0; i < peft_benchmark_task_count(b); i++) {
        const char *g = peft_benchmark_task_at(b, i).group;
        groups[strcmp(g, "STEM") == 0 ? 0 : strcmp(g, "humanities") == 0 ? 1 : strcmp(g, "social sciences") == 0 ? 2 : 3]++;
    }
    check("57 subjects", peft_benchmark_task_count(b) == 57 && groups[0] == 18 && groups[1] == 13 && groups[2] == 12 && groups[3] == 14);
    check("the reference prompt", prompt_is(b, "abstract_algebra", 1,
        "The following are multiple choice questions (with answers) about  abstract algebra.\n\n"
        "Is 0, in Z, prime?\nA. yes\nB. no\nC. it \"depends\"\nD. maybe\nAnswer: B\n\n"
        "What is 1+1?\nA. 1\nB. 2\nC. 3\nD. 4\nAnswer: B\n\n"
        "3*1?\nA. 1\nB. 2\nC. 3\nD. 4\nAnswer:"));
    char *text = NULL;
    check("with fewer shots", peft_benchmark_prompt(b, 0, 1, 0, &text) == PEFT_OK &&
          strcmp(text, "The following are multiple choice questions (with answers) about  abstract algebra.\n\n3*1?\nA. 1\nB. 2\nC. 3\nD. 4\nAnswer:") == 0);
    peft_free(ctx, text);
    static const char *const answers[] = {"D", "A", /* virology */ "A", /* religions */ "A", "B", "A"};
    script s = {answers, 0, 6, 0};
    peft_benchmark_runner run;
    peft_benchmark_results r;
    memset(&run, 0, sizeof run);
    run.loglikelihood = prefer, run.user = &s;
    check("mmlu runs", peft_benchmark_run(b, &run, &r) == PEFT_OK && r.scored == 3 && r.expected == 57);
    check("over questions", near(average(&r, "average over questions"), 4.0 / 6));
    check("over subjects", near(average(&r, "average over subjects"), (0.5 + 1 + 2.0 / 3) / 3));
    check("groups", near(average(&r, "STEM"), 0.5) && near(average(&r, "humanities"), 2.0 / 3) && near(average(&r, "other"), 1));
    peft_benchmark_results_free(&r);
    peft_benchmark_destroy(b);
    file("w/test/virology_test.csv", "R?,a,b,c,A\n");
    peft_benchmark_desc d;
    memset(&d, 0, sizeof d);
    d.context = ctx, d.name = "mmlu", d.folder = "w", d.tasks = "virology", d.shots = -1;
    check("five values", peft_benchmark_load(&d, &b) == PEFT_ERROR_FORMAT && strstr(peft_error(ctx), "w/test/virology_test.csv:1"));
    d.shots = 0;
    check("no dev file for the shots", peft_benchmark_load(&d, &b) == PEFT_ERROR_MISSING && strstr(peft_error(ctx), "w/dev/virology_dev.csv"));
}

// ---- BIG-bench

static void test_bigbench(void) {
    file("b/emoji_movie/task.json", "{\"name\": \"emoji_movie\", \"metrics\": [\"multiple_choice_grade\"], \"preferred_score\": \"multiple_choice_grade\", \"task_prefix\": \"Guess.\\n\","
                                    "\"examples\": [{\"input\": \"x\", \"target_scores\": {\"up\": 1, \"down\": 0}}, {\"input\": \"y\", \"target_scores\": {\"up\": 0, \"down\": 1, \"left\": 0.5, \"right\": 0}},"
                                    "{\"input\": \"z\", \"target_scores\": {\"up\": 1, \"down\": 0}}]}");
    file("b/operators/task.json", "{\"metrics\": [\"exact_str_match\"], \"examples\": [{\"input\": \"1 op 2\", \"target\": [\"3\", \"three\"]}, {\"input\": \"2 op 2\", \"target\": \"4\"}]}");
    file("b/logical_deduction/three_objects/task.json", "{\"metrics\": [\"multiple_choice_grade\"], \"examples\": [{\"input\": \"a\", \"target_scores\": {\"l\": 1, \"r\": 0}}]}");
    file("b/logical_deduction/five_objects/task.json", "{\"metrics\": [\"multiple_choice_grade\"], \"examples\": [{\"input\": \"a\", \"target_scores\": {\"l\": 0, \"r\": 1}}]}");
    peft_benchmark *b = load("bigbench", "b", NULL, 0, PEFT_PROMPT_PLAIN);
    check("Lite", peft_benchmark_task_count(b) == 24 && !peft_benchmark_task_at(b, find(b, "operators")).missing && peft_benchmark_task_at(b, find(b, "winowhy")).missing);
    check("a question with its choices", prompt_is(b, "emoji_movie", 0, "Guess.\n\nQ: x\n  choice: up\n  choice: down\nA: "));
    peft_benchmark_destroy(b);
    b = load("bigbench", "b", "emoji_movie,operators,logical_deduction/three_objects,logical_deduction/five_objects", 2, PEFT_PROMPT_PLAIN);
    check("shots are the other examples", prompt_is(b, "operators", 0, "\nQ: 2 op 2\nA: 4\n\nQ: 1 op 2\nA: ") &&
                                          prompt_is(b, "operators", 1, "\nQ: 1 op 2\nA: 3\n\nQ: 2 op 2\nA: "));
    const char *movie[] = {"up", "left", "down"};  // 1, 0.5, 0; guessing: 0.5, 0.375, 0.5
    peft_benchmark_result r = score(b, "emoji_movie", movie, 3);
    double low = (0.5 + 0.375 + 0.5) / 3;
    check("multiple_choice_grade", near(metric(&r, "multiple_choice_grade"), 0.5) && near(metric(&r, "normalized"), (0.5 - low) / (1 - low)));
    const char *operators[] = {" three. And more", "4;"};
    r = score(b, "operators", operators, 2);
    check("exact_str_match of the first sentence", near(metric(&r, "exact_str_match"), 1));
    static const char *const answers[] = {"up", "down", "up", "l", "l"};
    script s = {answers, 0, 5, 0};
    peft_benchmark_runner run;
    peft_benchmark_results all;
    memset(&run, 0, sizeof run);
    run.loglikelihood = prefer, run.user = &s;
    check("a runner without generate", peft_benchmark_run(b, &run, &all) == PEFT_ERROR_ARGUMENT && strstr(peft_error(ctx), "operators"));
    peft_benchmark_results_free(&all);
    peft_benchmark_destroy(b);
    b = load("bigbench", "b", "emoji_movie,logical_deduction/three_objects,logical_deduction/five_objects", 0, PEFT_PROMPT_PLAIN);
    s.at = 0;
    check("bigbench runs", peft_benchmark_run(b, &run, &all) == PEFT_OK && near(all.tasks[0].score, 1));
    check("subtasks are averaged first", near(average(&all, "normalized average"), (1 + (1 + (0 - 0.5) / 0.5) / 2) / 2));
    peft_benchmark_results_free(&all);
    peft_benchmark_destroy(b);
}

// ---- HELM

// output_regex as Python's re.findall(...)[0] applies it, the choices in the order of numpy's
// RandomState(42).permutation(sorted(...)).
static void test_bigbench_regex(void) {
    file("b/reg/task.json",
         "{\"metrics\": [\"exact_str_match\"], \"output_regex\": \"[-+]?\\\\d+\", \"examples\": [{\"input\": \"2+2\", \"target\": \"4\"}, "
                            "{\"input\": \"5-7\", \"target\": \"-2\"}, {\"input\": \"?\", \"target\": \"7\"}]}");
    file("b/group/task.json",
         "{\"metrics\": [\"exact_str_match\"], \"output_regex\": \"answer: (\\\\w+)\", \"examples\": [{\"input\": \"q\", \"target\": \"yes\"}]}");
    file("b/bad/task.json",
         "{\"metrics\": [\"exact_str_match\"], \"output_regex\": \"(a)\\\\1\", \"examples\": [{\"input\": \"q\", \"target\": \"yes\"}]}");
    file("b/two/task.json",
         "{\"metrics\": [\"exact_str_match\"], \"output_regex\": \"(a)(b)\", \"examples\": [{\"input\": \"q\", \"target\": \"yes\"}]}");
    file("b/many/task.json",
         "{\"metrics\": [\"multiple_choice_grade\"], \"examples\": [{\"input\": \"q\", \"target_scores\": {\"k\": 0, \"j\": 0, \"i\": 0, \"h\": 1, \"g\": 0, "
                             "\"f\": 0, \"e\": 0, \"d\": 0, \"c\": 0, \"b\": 0, \"a\": 0}}, {\"input\": \"r\", \"target_scores\": {\"pear\": 1, \"brick\": 0, \"axe\": 0}}]}");
    peft_benchmark *b = load("bigbench", "b", "reg,group,many", 0, PEFT_PROMPT_PLAIN);
    const char *numbers[] = {"The sum is 4.", "-2 of course", "seven"}, *said[] = {"My answer: yes!"};
    check("the number in a text", near(score(b, "reg", numbers, 3).score, 2.0 / 3));
    check("the group of a match", near(score(b, "group", said, 1).score, 1));
    char *text = NULL;
    check("nothing where nothing matches",
          peft_benchmark_extract(b, find(b, "reg"), "none", &text) == PEFT_OK && !*text);
    peft_free(ctx, text);
    check("eleven choices in numpy's order",
          prompt_is(b, "many", 0,
              "\nQ: q\n  choice: f\n  choice: a\n  choice: j\n  choice: k\n  choice: c\n  choice: b\n  choice: i\n"
                                                                     "  choice: e\n  choice: h\n  choice: d\n  choice: g\nA: "));
    check("three choices", prompt_is(b, "many", 1,
                                     "\nQ: r\n  choice: axe\n  choice: brick\n  choice: pear\nA: "));
    peft_benchmark_destroy(b);
    peft_benchmark_desc d;
    memset(&d, 0, sizeof d);
    d.context = ctx, d.name = "bigbench", d.folder = "b", d.tasks = "bad";
    check("what is not linear is refused", peft_benchmark_load(&d, &b) == PEFT_ERROR_UNSUPPORTED &&
          strstr(peft_error(ctx), "bad/task.json: output_regex") &&
                                           strstr(peft_error(ctx), "a backreference"));
    d.tasks = "two";
    check("two groups: which one?", peft_benchmark_load(&d, &b) == PEFT_ERROR_FORMAT &&
          strstr(peft_error(ctx), "more than one group"));
}

// What people's models write around BBH's answers.
static void test_bbh_answers(void) {
    file("bb/bbh/navigate.json", "{\"examples\": [{\"input\": \"q\", \"target\": \"(B)\"}]}");
    file("bb/cot-prompts/navigate.txt", "canary\n-----\nIntro.\n\nQ: a\nA: So the answer is (A).\n");
    static const char *const said[][2] = {{"So the answer is (B).", "(B)"}, {"The answer is: (B)", "(B)"},
                                          {"**(B)**", "(B)"}, {"answer is **(B)**.", "(B)"},
                                          {"the answer is:\n(B)", "(B)"}, {"**The answer is: (B).**", "(B)"},
                                              {"(B)", "(B)"}, {" 2 * 3 ", "2 * 3"},
                                          {"The answer isn't clear", "The answer isn't clear"},
                                              {"The answer is", "The answer is"}, {"**", ""}, {"", ""}};
    peft_benchmark *b = load("bbh", "bb", "navigate", -1, PEFT_PROMPT_PLAIN);
    for (int i = 0; b && i < (int)(sizeof said / sizeof said[0]); i++) {
        char *text = NULL;
        check(said[i][0], peft_benchmark_extract(b, 0, said[i][0], &text) == PEFT_OK &&
              strcmp(text, said[i][1]) == 0);
        peft_free(ctx, text);
    }
    peft_benchmark_results r;
    file("bbp/navigate.txt", "\xEF\xBB\xBF(B)\n");
    check("a byte order mark", peft_benchmark_score_files(b, "bbp", NULL, &r) == PEFT_OK && near(r.tasks[0].score, 1));
    peft_benchmark_results_free(&r);
    peft_benchmark_destroy(b);
}

static void test_helm(void) {
    file("h/boolq.jsonl", "{\"input\": \"P\\nQ\", \"references\": [\"Yes\"]}\n{\"input\": \"R\", \"references\": [\"No\"]}\n");
    file("h/narrative_qa.jsonl", "{\"input\": \"Who?\", \"references\": [\"the old old king\", \"a king\"]}\n");
    file("h/hellaswag.jsonl", "{\"input\": \"He\", \"choices\": [\"ran.\", \"flew.\"], \"label\": 0}\n");
    file("h/msmarco_regular.jsonl", "{\"input\": \"d1\", \"query\": \"q\", \"relevance\": 0}\n{\"input\": \"d2\", \"query\": \"q\", \"relevance\": 1}\n{\"input\": \"d3\", \"query\": \"r\", \"relevance\": 1}\n");
    file("h/msmarco_trec.jsonl", "{\"input\": \"d1\", \"query\": \"q\", \"relevance\": 1}\n{\"input\": \"d2\", \"query\": \"q\", \"relevance\": 3}\n{\"input\": \"d3\", \"query\": \"q\", \"relevance\": 0}\n");
    file("h/summarization_xsum.jsonl", "{\"input\": \"long\", \"references\": [\"it is cold outside\"]}\n");
    peft_benchmark *b = load("helm", "h", NULL, 0, PEFT_PROMPT_PLAIN);
    check("16 scenarios", peft_benchmark_task_count(b) == 16);
    const char *boolq[] = {"yes.", "no way"}, *king[] = {"Old king of all"}, *ran[] = {"ran."};
    check("quasi exact match", near(score(b, "boolq", boolq, 2).score, 0.5));
    file("h3/hellaswag.jsonl", "{\"input\": \"He\", \"choices\": []}\n");
    peft_benchmark *none = NULL;
    peft_benchmark_desc empty;
    memset(&empty, 0, sizeof empty);
    empty.context = ctx, empty.name = "helm", empty.folder = "h3", empty.tasks = "hellaswag";
    check("no choices to choose from", peft_benchmark_load(&empty, &none) == PEFT_ERROR_FORMAT && !none &&
                                           strstr(peft_error(ctx), "h3/hellaswag.jsonl:1: \"choices\" is empty"));
    file("h2/boolq.jsonl",
         "{\"input\": \"q\", \"references\": [\"A\"]}\n{\"input\": \"q\", \"references\": [\"A\"]}\n");
    peft_benchmark *articles = load("helm", "h2", "boolq", 0, PEFT_PROMPT_PLAIN);
    // normalized, A is empty too: equal to "the", but no text is no answer
    const char *nothing[] = {"", "the"};
    check("an empty prediction is wrong", near(score(articles, "boolq", nothing, 2).score, 0.5));
    peft_benchmark_destroy(articles);
    check("F1 of sets of words", near(score(b, "narrative_qa", king, 1).score, 2.0 * 2 / (4 + 2)));
    check("exact match of a choice", near(score(b, "hellaswag", ran, 1).score, 1));
    const char *ranks[] = {"0.9", "0.5", "0.1"}, *trec[] = {"0.9", "0.5", "0.1"};
    check("reciprocal rank", near(score(b, "msmarco_regular", ranks, 3).score, (0.5 + 1) / 2));
    double dcg = 1 / 1.0 + 3 / log2(3.0), ideal = 3 / 1.0 + 1 / log2(3.0);
    check("NDCG", near(score(b, "msmarco_trec", trec, 3).score, dcg / ideal));
    const char *cold[] = {"It is very cold outside"};
    check("ROUGE-2", near(score(b, "summarization_xsum", cold, 1).score, 4.0 / 7));
    static const char *const answers[] = {" No", " Yes", " Yes"};
    script s = {answers, 0, 3, 0};
    peft_benchmark_runner run;
    peft_benchmark_results r;
    memset(&run, 0, sizeof run);
    run.loglikelihood = prefer, run.generate = say, run.user = &s;
    peft_benchmark *ranking = load("helm", "h", "msmarco_regular", 0, PEFT_PROMPT_PLAIN);
    check("rankings by likelihood", peft_benchmark_run(ranking, &run, &r) == PEFT_OK && near(r.tasks[0].score, 1));
    peft_benchmark_results_free(&r);
    peft_benchmark_destroy(ranking);
    peft_benchmark_destroy(b);
}

// ---- summaries

static void test_summaries(void) {
    file("sam/test.json", "[{\"id\": \"1\", \"dialogue\": \"A: hi\\r\\nB: hello\", \"summary\": \"A greets B.\"}, {\"id\": \"2\", \"dialogue\": \"C: bye\", \"summary\": \"C leaves.\"}]");
    file("dia/dialogsum.test.jsonl", "{\"fname\": \"t0\", \"dialogue\": \"#Person1#: It is cold.\", \"summary1\": \"it is cold outside\", \"topic1\": \"x\", \"summary2\": \"nothing alike\", \"summary3\": \"brr\"}\n");
    file("cnn/test.csv", "id,article,highlights\n7,\"A long, long story\",\"One.\nTwo.\"\n");
    file("xs/validation.jsonl", "{\"document\": \"D\", \"summary\": \"S\", \"id\": \"9\"}\n");
    peft_benchmark *b = load("samsum", "sam", NULL, 0, PEFT_PROMPT_PLAIN);
    const char *perfect[] = {"A greets B.", "C leaves."};
    check("SAMSum", near(score(b, "samsum", perfect, 2).score, (1 + 1 + 1) / 3.0) && strcmp(peft_benchmark_example_at(b, 0, 1)->id, "2") == 0);
    peft_benchmark_destroy(b);
    b = load("dialogsum", "dia", NULL, 0, PEFT_PROMPT_T5);
    check("DialogSum's prompt", prompt_is(b, "dialogsum", 0, "summarize: #Person1#: It is cold."));
    check("three references", peft_benchmark_example_at(b, 0, 0)->reference_count == 3);
    const char *cold[] = {"It is very cold outside"};
    peft_benchmark_result r = score(b, "dialogsum", cold, 1);
    check("the best of them", near(metric(&r, "rouge1"), 8.0 / 9) && near(metric(&r, "rouge2"), 4.0 / 7) && near(metric(&r, "rougeL"), 8.0 / 9));
    peft_benchmark_destroy(b);
    b = load("cnndm", "cnn", NULL, 0, PEFT_PROMPT_PLAIN);
    check("CNN/DM from CSV", prompt_is(b, "cnndm", 0, "Summarize the following article.\n\nA long, long story\n\nSummary:"));
    check("with its highlights", strcmp(peft_benchmark_example_at(b, 0, 0)->references[0], "One.\nTwo.") == 0);
    peft_benchmark_destroy(b);
    peft_benchmark_desc d;
    memset(&d, 0, sizeof d);
    d.context = ctx, d.name = "xsum", d.folder = "xs", d.split = "validation";
    check("XSum's validation", peft_benchmark_load(&d, &b) == PEFT_OK && peft_benchmark_task_at(b, 0).examples == 1);
    peft_benchmark_destroy(b);
}

// ---- BIG-Bench Hard's real files

static const char *perfect_bbh(const peft_benchmark_example *e, char *out, size_t size) {
    snprintf(out, size, "First we look. So the answer is %s.\n\nQ: another\nA: So the answer is not this.", e->references[0]);
    return out;
}

static void test_bbh(void) {
    const char *shared = getenv("PEFT_SHARED");
    char folder[512], path[1024];
    snprintf(folder, sizeof folder, "%s/data/bbh", shared ? shared : "../shared");
    snprintf(path, sizeof path, "%s/bbh/navigate.json", folder);
    if (!peft__file_exists(ctx, path)) {
        printf("skipped: BIG-Bench Hard's files (%s is not there)\n", path);
        skipped++;
        return;
    }
    peft_benchmark *b = load("bbh", folder, NULL, 0, PEFT_PROMPT_PLAIN);
    if (!b) return;
    int64_t examples = 0;
    bool shown = true, right = true, wrong = true, worked = true;
    for (int64_t t = 0; t < 27; t++) {
        peft_benchmark_task info = peft_benchmark_task_at(b, t);
        int64_t n = info.examples;
        examples += n;
        char **texts = (char **)calloc((size_t)n, sizeof(char *));
        for (int64_t i = 0; i < n; i++) {
            texts[i] = (char *)malloc(1024);
            perfect_bbh(peft_benchmark_example_at(b, t, i), texts[i], 1024);
        }
        peft_benchmark_result r;
        right = right && peft_benchmark_score(b, t, (const char *const *)texts, n, &r) == PEFT_OK && near(r.score, 1);
        for (int64_t i = 0; i < n; i++) strcpy(texts[i], "So the answer is unclear.");
        wrong = wrong && peft_benchmark_score(b, t, (const char *const *)texts, n, &r) == PEFT_OK && near(r.score, 0);
        char *prompt = NULL;
        shown = shown && peft_benchmark_prompt(b, t, n - 1, -1, &prompt) == PEFT_OK && !strstr(prompt, "canary") && strstr(prompt, "\n\nQ: ") &&
                strcmp(prompt + strlen(prompt) - 28, "\nA: Let's think step by step." + 1) == 0;
        int questions = 0;
        for (const char *p = prompt; p && (p = strstr(p, "\n\nQ: ")) != NULL; p++) questions++;
        shown = shown && questions == 4;
        peft_free(ctx, prompt);
        for (int64_t k = 0; k < b->tasks[t].shot_count; k++) {  // the worked examples' own answers
            const char *shot = b->tasks[t].shots[k], *rationale = strstr(shot, "\nA:"), *said = strstr(shot, "So the answer is ");
            char *answer = NULL;
            worked = worked && rationale && said && peft_benchmark_extract(b, t, rationale + 3, &answer) == PEFT_OK;
            size_t size = said ? strlen(said + 17) : 0;  // ends with ".\n\n"
            worked = worked && answer && size == strlen(answer) + 3 && strncmp(answer, said + 17, size - 3) == 0;
            peft_free(ctx, answer);
        }
        check(info.name, !info.missing && info.labelled && b->tasks[t].shot_count == 3);
        for (int64_t i = 0; i < n; i++) free(texts[i]);
        free(texts);
    }
    check("27 tasks, 6511 examples", peft_benchmark_task_count(b) == 27 && examples == 6511);
    check("prompts: three worked examples, then the question", shown);
    check("perfect predictions score 1", right);
    check("wrong ones 0", wrong);
    check("the worked examples' answers are extracted", worked);
    peft_benchmark_destroy(b);

    peft_benchmark_desc d;
    memset(&d, 0, sizeof d);
    d.context = ctx, d.name = "bbh", d.folder = folder, d.tasks = "boolean_expressions,tracking_shuffled_objects_three_objects", d.direct = true, d.limit = 2;
    check("without chain of thought", peft_benchmark_load(&d, &b) == PEFT_OK);
    check("answers at once", prompt_is(b, "boolean_expressions", 0, "Evaluate the result of a random Boolean expression.\n\nQ: not ( ( not not True ) ) is\nA: False\n\n"
        "Q: True and False and not True and True is\nA: False\n\nQ: not not ( not ( False ) ) is\nA: True\n\nQ: not ( True ) and ( True ) is\nA:"));
    static const char *const spoken[] = {" False\n\nQ: more", "False.", "(A)", "no idea"};
    script s = {spoken, 0, 4, 0};
    peft_benchmark_runner run;
    peft_benchmark_results r;
    memset(&run, 0, sizeof run);
    run.generate = say, run.user = &s;
    check("bbh runs", peft_benchmark_run(b, &run, &r) == PEFT_OK);
    double first = r.tasks[0].score, second = r.tasks[1].score;
    peft_benchmark_results again;
    check("recorded predictions of bbh", peft_benchmark_write_predictions(b, &r, "build") == PEFT_OK &&
                                         peft_benchmark_score_files(b, "build", NULL, &again) == PEFT_OK);
    check("with the same scores", near(again.tasks[0].score, first) && near(again.tasks[1].score, second) && first == 0.5);
    peft_benchmark_results_free(&again);
    check("a third of a task", near(average(&r, "average of 23 tasks"), (first + second / 3) / (1 + 1.0 / 3)) && near(average(&r, "average"), (first + second) / 2));
    peft_benchmark_results_free(&r);
    peft_benchmark_destroy(b);
}

// Every allocation may fail: nothing leaks, nothing breaks.
static int64_t allowance;
static void *stingy(size_t size, void *user) {
    (void)user;
    return allowance-- > 0 ? malloc(size) : NULL;
}
static void give_back(void *block, void *user) {
    (void)user;
    free(block);
}

static void test_memory(void) {
    peft_context_desc c;
    memset(&c, 0, sizeof c);
    c.allocator.alloc = stingy, c.allocator.free = give_back;
    peft_context *kept = ctx, *poor = NULL;
    static const char tsv[] = "index\tsentence1\tsentence2\tlabel\n0\tA.\tB.\tnot_entailment\n1\tC.\tC.\tentailment\n";
    static const char multirc[] = "{\"idx\": 5, \"passage\": {\"text\": \"T\", \"questions\": [{\"question\": \"Q\", \"idx\": 0, \"answers\": [{\"text\": \"Tom\", \"idx\": 0, \"label\": 1}]}]}}\n";
    bool clean = true, done = false;
    static const char *const answers[] = {"yes"};
    for (int64_t n = 0; n < 400 && !done && clean; n++) {
        allowance = INT64_MAX;
        if (peft_context_create(&c, &poor) != PEFT_OK) break;
        ctx = poor;
        peft_mount(poor, "x/RTE/dev.tsv", tsv, sizeof tsv - 1);
        peft_mount(poor, "x/RTE/train.tsv", tsv, sizeof tsv - 1);
        peft_mount(poor, "x/MultiRC/val.jsonl", multirc, sizeof multirc - 1);
        size_t before = peft_memory_in_use(poor);
        allowance = n;
        bool ok = true;
        for (int k = 0; k < 2; k++) {
            peft_benchmark_desc d;
            peft_benchmark *b = NULL;
            peft_benchmark_results r;
            script s = {answers, 0, 1, 0};
            peft_benchmark_runner run;
            char *text = NULL;
            memset(&d, 0, sizeof d);
            memset(&run, 0, sizeof run);
            run.loglikelihood = prefer, run.user = &s;
            d.context = poor, d.name = k ? "superglue" : "glue", d.folder = "x", d.tasks = k ? "MultiRC" : "RTE", d.shots = k ? 0 : 1;
            bool loaded = peft_benchmark_load(&d, &b) == PEFT_OK, ran = loaded && peft_benchmark_run(b, &run, &r) == PEFT_OK;
            ok = ran && peft_benchmark_table(&r, 1, PEFT_TABLE_HTML, &text) == PEFT_OK && ok;
            peft_free(poor, text);
            if (loaded) peft_benchmark_results_free(&r);
            peft_benchmark_destroy(b);
        }
        clean = peft_memory_in_use(poor) == before;
        done = ok;
        allowance = INT64_MAX;
        peft_context_destroy(poor);
    }
    ctx = kept;
    check("out of memory anywhere: nothing leaks", clean && done);
}

int main(void) {
    if (peft_context_create(NULL, &ctx) != PEFT_OK) return 1;
    test_glue();
    test_glue_run();
    test_robustness();
    test_missing();
    test_superglue();
    test_mmlu();
    test_bigbench();
    test_bigbench_regex();
    test_bbh_answers();
    test_helm();
    test_summaries();
    test_bbh();
    test_memory();
    peft_context_destroy(ctx);
    printf("%d passed, %d failed, %d skipped\n", passed, failed, skipped);
    return failed != 0;
}
