// Benchmarks: GLUE, SuperGLUE, MMLU, BIG-bench, HELM and summarization sets: how each asks and how each scores. Include behind peft.h with
// PEFT_IMPLEMENTATION, in one file of a program: it rests on the implementation's basics.
//
// A benchmark is a list of tasks, a task a list of examples read from the benchmark's own files. An example has a prompt and
// either choices, the likeliest of which is the answer, or asks for free text. No model is needed to score: predictions may come
// from anywhere. With one, two callbacks run it.
//
//   glue           CoLA, SST-2, MRPC, STS-B, QQP, MNLI-m, MNLI-mm, QNLI, RTE, WNLI, AX: <folder>/<task>/<split>.tsv (Wang et al. 2018)
//   superglue      BoolQ, CB, COPA, MultiRC, ReCoRD, RTE, WiC, WSC, AX-b, AX-g: <folder>/<task>/<split>.jsonl (Wang et al. 2019)
//   mmlu           57 subjects: <folder>/<split>/<subject>_<split>.csv, shots from dev (Hendrycks et al. 2021)
//   bbh            BIG-Bench Hard, 27 tasks: <folder>/bbh/<task>.json, <folder>/cot-prompts/<task>.txt (Suzgun et al. 2022)
//   bigbench       the 24 tasks of BIG-bench Lite, or those named in `tasks` ("name", "name/subtask"): <folder>/<task>/task.json
//                  (Srivastava et al. 2022)
//   helm           the 16 core scenarios with their metrics (Liang et al. 2022): <folder>/<scenario>.jsonl, lines of {"input": text,
//                  "references": [texts]}, {"input", "choices": [texts], "label": index} or, to be ranked, {"input", "query", "relevance"}
//   samsum, dialogsum, xsum, cnndm     summaries: <folder>/<split>.jsonl or .json or .csv; dialogsum.<split>.jsonl

#ifndef PEFT_BENCHMARKS_H
#define PEFT_BENCHMARKS_H

#include "scores.h"

typedef struct peft_benchmark peft_benchmark;

typedef enum peft_prompt_style {
    PEFT_PROMPT_PLAIN = 0,  // a question in English and its answer in a word; for any model
    PEFT_PROMPT_T5          // as T5 was trained (Raffel et al. 2020, appendix D): "mnli hypothesis: ... premise: ..."
} peft_prompt_style;

typedef struct peft_benchmark_desc {
    peft_context *context;
    const char *name;    // one of the list above
    const char *folder;
    const char *split;   // default: the one that is scored in public: dev (GLUE), val (SuperGLUE), test (others)
    const char *tasks;   // names separated by commas; default: all
    int64_t shots;       // examples shown before the question. Default: 5 (MMLU), 3 (BBH), else 0; negative: none
    int64_t limit;       // examples per task; 0: all. MultiRC: rounded up to whole passages
    peft_prompt_style style;
    bool direct;         // BBH: shots without their chain of thought, the answer at once
    int64_t max_new_tokens;  // 0: the task's own
} peft_benchmark_desc;

// A file that is missing is no error as long as another task's is there: that task is then marked. Nothing there: PEFT_ERROR_MISSING
// and the names of the files. A damaged file is an error that names file and line.
PEFTDEF peft_status peft_benchmark_load(const peft_benchmark_desc *desc, peft_benchmark **out);
PEFTDEF void peft_benchmark_destroy(peft_benchmark *bench);

typedef struct peft_benchmark_task {
    const char *name, *group;  // group: "STEM", "NLP", ...; "" where there is none
    const char *file;          // where its examples are from, or where they were looked for
    int64_t examples;
    bool missing;              // its file (or that of its shots) is not there
    bool labelled;             // right answers are known
    bool diagnostic;           // not part of the average
} peft_benchmark_task;

// All texts belong to the benchmark.
typedef struct peft_benchmark_example {
    const char *id;                  // as prediction files name it
    const char *question;            // without shots; peft_benchmark_prompt puts them before it
    const char *const *choices;      // what may follow the prompt; the likeliest decides. NULL: free text
    const char *const *names;        // of the choices, as files and submissions have them: "entailment", "1", "B"
    int64_t choice_count;
    int64_t max_new_tokens;          // of free text
    const char *stop;                // generation may end before this text; NULL: only at the model's end token
    const char *const *references;   // right free texts
    int64_t reference_count;
    const double *choice_scores;     // BIG-bench: what each choice is worth; else NULL
    int64_t label;                   // right choice; -1: not known
    double value;                    // STS-B: similarity 0..5; HELM's rankings: relevance
    int64_t group;                   // equal for what is scored together: a question of MultiRC, a pair of AX-g, a query
} peft_benchmark_example;

PEFTDEF const char *peft_benchmark_name(int64_t i);  // of the benchmarks known; NULL behind the last
PEFTDEF int64_t peft_benchmark_task_count(const peft_benchmark *bench);
PEFTDEF peft_benchmark_task peft_benchmark_task_at(const peft_benchmark *bench, int64_t task);
PEFTDEF const peft_benchmark_example *peft_benchmark_example_at(const peft_benchmark *bench, int64_t task, int64_t i);  // NULL: none
// The whole prompt with at most `shots` shots (negative: as many as were loaded). To be freed with peft_free.
PEFTDEF peft_status peft_benchmark_prompt(const peft_benchmark *bench, int64_t task, int64_t i, int64_t shots, char **prompt);
// What counts of a generated text: in BBH what is behind "the answer is", without the full stop and Markdown's
// stars; in BIG-bench what the task's output_regex finds (a sentence, if it has none); in STS-B the first
// number; else all of it without white space around. To be freed with peft_free.
PEFTDEF peft_status peft_benchmark_extract(const peft_benchmark *bench, int64_t task, const char *generated, char **answer);

#define PEFT_BENCHMARK_METRICS 16

typedef struct peft_named_value {
    char name[32];
    double value;
} peft_named_value;

typedef struct peft_benchmark_result {
    char task[64], group[32];
    peft_status status;          // other than PEFT_OK: not scored, `note` says why
    char note[256];
    peft_named_value metrics[PEFT_BENCHMARK_METRICS];  // 0..1, correlations -1..1
    int metric_count, averaged;  // `score` is the mean of the first `averaged` metrics
    double score;
    bool diagnostic;
    int64_t examples;
    double seconds;              // of a run, else 0
    char **predictions;          // of a run: one per example, as peft_benchmark_score takes them, else NULL
} peft_benchmark_result;

typedef struct peft_benchmark_results {
    peft_context *context;
    char benchmark[32], model[64], signature[128];
    peft_benchmark_result *tasks;
    int64_t count;
    peft_named_value averages[PEFT_BENCHMARK_METRICS];  // the first is the benchmark's own
    int average_count;
    int64_t scored;              // tasks that the averages hold, diagnostics apart, of
    int64_t expected;            // as many
    double seconds;              // of a run: in the callbacks
    int64_t tokens, peak_memory; // of a run: counted by the runner, bytes of the context
} peft_benchmark_results;

// One answer per example, NULL for none: the name of a choice or its text ("entailment", "B"), a number (STS-B, rankings), or free text,
// of which peft_benchmark_extract's part counts. An answer that is none of the choices is wrong.
PEFTDEF peft_status peft_benchmark_score(const peft_benchmark *bench, int64_t task, const char *const *predictions, int64_t count,
                                         peft_benchmark_result *result);

// How a model is asked. `generate` sets *text to a block of the context (peft_generate_text's, or peft_text_copy). `loglikelihood` puts
// log p(choice | prompt), summed over the choice's tokens, into out[0 .. count). One of them may be NULL: then choices are generated,
// or free text cannot be run. A status other than PEFT_OK ends the run.
typedef struct peft_benchmark_runner {
    peft_status (*generate)(const char *prompt, int64_t max_new_tokens, const char *stop, char **text, void *user);
    peft_status (*loglikelihood)(const char *prompt, const char *const *choices, int64_t count, double *out, void *user);
    bool (*fits)(const char *prompt, void *user);      // optional: false makes the prompt shorter by one shot
    bool (*progress)(const char *task, int64_t done, int64_t count, void *user);  // optional; false: PEFT_CANCELLED
    void *user;
    const char *model;                                 // its name in tables
    const int64_t *tokens;                             // optional: a counter that the callbacks increase
    const peft_perturbation *perturbations;            // optional: each question is asked again in each of these versions; the metrics
    int64_t perturbation_count;                        // "robustness" and "fairness" are HELM's worst cases, the original among them
} peft_benchmark_runner;

// Runs all tasks that are there and scores them. The results are to be freed, after a failure too.
PEFTDEF peft_status peft_benchmark_run(const peft_benchmark *bench, const peft_benchmark_runner *runner, peft_benchmark_results *results);
// Scores predictions made elsewhere, one file per task in `folder`: <task>.tsv with index and prediction (GLUE), <task>.jsonl with idx
// and label (SuperGLUE, as submitted), else <task>.jsonl with "prediction", or <task>.txt with a line per example.
PEFTDEF peft_status peft_benchmark_score_files(const peft_benchmark *bench, const char *folder, const char *model,
                                               peft_benchmark_results *results);
// Writes the predictions of a run into `folder` (which must exist) in the same formats: what the leaderboards take.
PEFTDEF peft_status peft_benchmark_write_predictions(const peft_benchmark *bench, const peft_benchmark_results *results, const char *folder);
// Fills the averages from the tasks. GLUE and SuperGLUE: mean of tasks, MNLI's two parts being one; MMLU: over questions, then the
// four groups; BBH: mean of tasks, then of the 23 that the paper counts, NLP and algorithmic; BIG-bench: normalized scores.
PEFTDEF void peft_benchmark_average(const peft_benchmark *bench, peft_benchmark_results *results);
PEFTDEF void peft_benchmark_results_free(peft_benchmark_results *results);

typedef enum peft_table_format { PEFT_TABLE_TEXT = 0, PEFT_TABLE_JSON, PEFT_TABLE_CSV, PEFT_TABLE_HTML } peft_table_format;
// One table of one or more models (of one benchmark). HTML is one page without links, bars in SVG. To be freed with peft_free.
PEFTDEF peft_status peft_benchmark_table(const peft_benchmark_results *results, int64_t models, peft_table_format format, char **text);
// A copy of a text in the context's memory, to be freed with peft_free.
PEFTDEF peft_status peft_text_copy(peft_context *ctx, const char *text, char **out);

// ---- the tasks

enum {  // how a task's file is read
    PEFT__BENCH_TSV,
    PEFT__BENCH_JSONL,
    PEFT__BENCH_COPA,
    PEFT__BENCH_WSC,
    PEFT__BENCH_NESTED_MULTIRC,
    PEFT__BENCH_NESTED_RECORD,
    PEFT__BENCH_MMLU,
    PEFT__BENCH_BBH,
    PEFT__BENCH_JSON_TASK,
    PEFT__BENCH_HELM,
    PEFT__BENCH_SUMMARY
};

enum {  // how it is scored
    PEFT__BENCH_ACCURACY,
    PEFT__BENCH_F1_ACCURACY,
    PEFT__BENCH_MATTHEWS,
    PEFT__BENCH_CORRELATION,
    PEFT__BENCH_NEARNESS,    // of one answer alone, where CORRELATION is the metric of many
    PEFT__BENCH_ACCURACY_MACRO,
    PEFT__BENCH_MULTIRC,
    PEFT__BENCH_RECORD,
    PEFT__BENCH_PARITY,
    PEFT__BENCH_ANSWER,      // BBH: exact match of the extracted answer
    PEFT__BENCH_CHOICE_GRADE,
    PEFT__BENCH_STRING_MATCH,
    PEFT__BENCH_ROUGE,
    PEFT__BENCH_EXACT,       // from here on: HELM
    PEFT__BENCH_QUASI_EXACT,
    PEFT__BENCH_WORD_F1,
    PEFT__BENCH_ROUGE_2,
    PEFT__BENCH_RECIPROCAL_RANK,
    PEFT__BENCH_NDCG
};

// Lists are separated by '|'. In file names * stands for the split and % for the task.
typedef struct peft__bench_spec {
    const char *name, *files;
    int reader, metric;
    const char *labels;               // as files and submissions have them; NULL: free text, or each example has its own
    const char *choices, *plain;      // plain style: what follows the prompt, and the template of the prompt
    const char *t5_choices, *t5;
    bool diagnostic;
} peft__bench_spec;

#define PEFT__BENCH_NLI "Does the premise entail the hypothesis? Yes, maybe or no?\nAnswer:"
#define PEFT__BENCH_RTE "Does the premise entail the hypothesis? Yes or no?\nAnswer:"

#define PEFT__BENCH_MNLI(name, files, metric, diagnostic)                                                                         \
    {name, files, PEFT__BENCH_TSV, metric, "entailment|neutral|contradiction", " yes| maybe| no",                                 \
     "Premise: {{sentence1}}\nHypothesis: {{sentence2}}\n" PEFT__BENCH_NLI, "entailment|neutral|contradiction",                   \
     "mnli hypothesis: {{sentence2}} premise: {{sentence1}}", diagnostic}

static const peft__bench_spec peft__bench_glue[] = {
    {"CoLA", "CoLA/*.tsv", PEFT__BENCH_TSV, PEFT__BENCH_MATTHEWS, "0|1", " no| yes",
     "Sentence: {{sentence}}\nIs this sentence acceptable English? Yes or no?\nAnswer:", "unacceptable|acceptable",
     "cola sentence: {{sentence}}", false},
    {"SST-2", "SST-2/*.tsv", PEFT__BENCH_TSV, PEFT__BENCH_ACCURACY, "0|1", " negative| positive",
     "Review: {{sentence}}\nIs this review positive or negative?\nAnswer:", "negative|positive", "sst2 sentence: {{sentence}}", false},
    {"MRPC", "MRPC/*.tsv|MRPC/msr_paraphrase_*.txt", PEFT__BENCH_TSV, PEFT__BENCH_F1_ACCURACY, "0|1", " no| yes",
     "Sentence 1: {{sentence1}}\nSentence 2: {{sentence2}}\nDo the two sentences say the same? Yes or no?\nAnswer:",
     "not_equivalent|equivalent", "mrpc sentence1: {{sentence1}} sentence2: {{sentence2}}", false},
    {"STS-B", "STS-B/*.tsv", PEFT__BENCH_TSV, PEFT__BENCH_CORRELATION, NULL, NULL,
     "Sentence 1: {{sentence1}}\nSentence 2: {{sentence2}}\nHow similar are they in meaning, from 0.0 (unrelated) to 5.0 (the "
     "same)?\nAnswer:",
     NULL, "stsb sentence1: {{sentence1}} sentence2: {{sentence2}}", false},
    {"QQP", "QQP/*.tsv", PEFT__BENCH_TSV, PEFT__BENCH_F1_ACCURACY, "0|1", " no| yes",
     "Question 1: {{question1}}\nQuestion 2: {{question2}}\nDo the two questions ask the same? Yes or no?\nAnswer:",
     "not_duplicate|duplicate", "qqp question1: {{question1}} question2: {{question2}}", false},
    PEFT__BENCH_MNLI("MNLI-m", "MNLI/*_matched.tsv|MNLI/*.tsv", PEFT__BENCH_ACCURACY, false),
    PEFT__BENCH_MNLI("MNLI-mm", "MNLI/*_mismatched.tsv|MNLI/*.tsv", PEFT__BENCH_ACCURACY, false),
    {"QNLI", "QNLI/*.tsv", PEFT__BENCH_TSV, PEFT__BENCH_ACCURACY, "entailment|not_entailment", " yes| no",
     "Question: {{question}}\nSentence: {{sentence}}\nDoes the sentence answer the question? Yes or no?\nAnswer:",
     "entailment|not_entailment", "qnli question: {{question}} sentence: {{sentence}}", false},
    {"RTE", "RTE/*.tsv", PEFT__BENCH_TSV, PEFT__BENCH_ACCURACY, "entailment|not_entailment", " yes| no",
     "Premise: {{sentence1}}\nHypothesis: {{sentence2}}\n" PEFT__BENCH_RTE, "entailment|not_entailment",
     "rte sentence1: {{sentence1}} sentence2: {{sentence2}}", false},
    {"WNLI", "WNLI/*.tsv", PEFT__BENCH_TSV, PEFT__BENCH_ACCURACY, "0|1", " no| yes",
     "Premise: {{sentence1}}\nHypothesis: {{sentence2}}\n" PEFT__BENCH_RTE, "not_entailment|entailment",
     "wnli sentence1: {{sentence1}} sentence2: {{sentence2}}", false},
    PEFT__BENCH_MNLI("AX", "AX/AX.tsv|diagnostic/diagnostic-full.tsv|diagnostic/diagnostic.tsv|AX/*.tsv", PEFT__BENCH_MATTHEWS, true),
};

static const peft__bench_spec peft__bench_superglue[] = {
    {"BoolQ", "BoolQ/*.jsonl", PEFT__BENCH_JSONL, PEFT__BENCH_ACCURACY, "false|true", " no| yes",
     "{{passage}}\nQuestion: {{question}}? Yes or no?\nAnswer:", "False|True", "boolq passage: {{passage}} question: {{question}}", false},
    {"CB", "CB/*.jsonl", PEFT__BENCH_JSONL, PEFT__BENCH_ACCURACY_MACRO, "entailment|contradiction|neutral", " yes| no| maybe",
     "Premise: {{premise}}\nHypothesis: {{hypothesis}}\n" PEFT__BENCH_NLI, "entailment|contradiction|neutral",
     "cb hypothesis: {{hypothesis}} premise: {{premise}}", false},
    {"COPA", "COPA/*.jsonl", PEFT__BENCH_COPA, PEFT__BENCH_ACCURACY, "0|1", NULL, "{{opening}} {{connective}}", "choice1|choice2",
     "copa choice1: {{choice1}} choice2: {{choice2}} premise: {{premise}} question: {{question}}", false},
    {"MultiRC", "MultiRC/*.jsonl", PEFT__BENCH_NESTED_MULTIRC, PEFT__BENCH_MULTIRC, "0|1", " no| yes",
     "{{paragraph}}\nQuestion: {{question}}\nProposed answer: {{answer}}\nIs the proposed answer right? Yes or no?\nAnswer:", "False|True",
     "multirc question: {{question}} answer: {{answer}} paragraph: {{paragraph}}", false},
    {"ReCoRD", "ReCoRD/*.jsonl", PEFT__BENCH_NESTED_RECORD, PEFT__BENCH_RECORD, NULL, NULL, "{{passage}}\n-", NULL,
     "record query: {{query}} entities: {{entities}} passage: {{passage}}", false},
    {"RTE", "RTE/*.jsonl", PEFT__BENCH_JSONL, PEFT__BENCH_ACCURACY, "entailment|not_entailment", " yes| no",
     "Premise: {{premise}}\nHypothesis: {{hypothesis}}\n" PEFT__BENCH_RTE, "entailment|not_entailment",
     "rte hypothesis: {{hypothesis}} premise: {{premise}}", false},
    {"WiC", "WiC/*.jsonl", PEFT__BENCH_JSONL, PEFT__BENCH_ACCURACY, "false|true", " no| yes",
     "{{sentence1}}\n{{sentence2}}\nDoes the word \"{{word}}\" mean the same in both sentences? Yes or no?\nAnswer:", "False|True",
     "wic sentence1: {{sentence1}} sentence2: {{sentence2}} word: {{word}}", false},
    {"WSC", "WSC/*.jsonl", PEFT__BENCH_WSC, PEFT__BENCH_ACCURACY, "false|true", " no| yes",
     "{{text}}\nDoes \"{{target.span2_text}}\" stand for \"{{target.span1_text}}\" here? Yes or no?\nAnswer:", "False|True",
     "wsc text: {{marked}}", false},
    {"AX-b", "AX-b/AX-b.jsonl|AX-b/*.jsonl|AX-b.jsonl", PEFT__BENCH_JSONL, PEFT__BENCH_MATTHEWS, "not_entailment|entailment",
     " no| yes",
     "Premise: {{sentence1}}\nHypothesis: {{sentence2}}\n" PEFT__BENCH_RTE, "not_entailment|entailment",
     "rte hypothesis: {{sentence2}} premise: {{sentence1}}", true},
    {"AX-g", "AX-g/AX-g.jsonl|AX-g/*.jsonl|AX-g.jsonl", PEFT__BENCH_JSONL, PEFT__BENCH_PARITY, "not_entailment|entailment",
     " no| yes",
     "Premise: {{premise}}\nHypothesis: {{hypothesis}}\n" PEFT__BENCH_RTE, "not_entailment|entailment",
     "rte hypothesis: {{hypothesis}} premise: {{premise}}", true},
};

// `labels` is the field of the summary here; several people's are in summary1, summary2, ...
static const peft__bench_spec peft__bench_summaries[] = {
    {"samsum", "*.jsonl|*.json|*.csv|samsum.*.jsonl", PEFT__BENCH_SUMMARY, PEFT__BENCH_ROUGE, "summary", NULL,
     "Summarize the following conversation.\n\n{{dialogue}}\n\nSummary:", NULL, "summarize: {{dialogue}}", false},
    {"dialogsum", "dialogsum.*.jsonl|*.jsonl|*.json|*.csv", PEFT__BENCH_SUMMARY, PEFT__BENCH_ROUGE, "summary", NULL,
     "Summarize the following conversation.\n\n{{dialogue}}\n\nSummary:", NULL, "summarize: {{dialogue}}", false},
    {"xsum", "*.jsonl|*.json|*.csv|xsum.*.jsonl", PEFT__BENCH_SUMMARY, PEFT__BENCH_ROUGE, "summary", NULL,
     "Summarize the following article in one sentence.\n\n{{document}}\n\nSummary:", NULL, "summarize: {{document}}", false},
    {"cnndm", "*.jsonl|*.json|*.csv|cnndm.*.jsonl", PEFT__BENCH_SUMMARY, PEFT__BENCH_ROUGE, "highlights", NULL,
     "Summarize the following article.\n\n{{article}}\n\nSummary:", NULL, "summarize: {{article}}", false},
};

// Tasks of benchmarks whose files are all of one form.
typedef struct peft__bench_named {
    const char *name, *group;
    int metric;
} peft__bench_named;

#define PEFT__STEM(name) {name, "STEM", PEFT__BENCH_ACCURACY}
#define PEFT__HUMANITIES(name) {name, "humanities", PEFT__BENCH_ACCURACY}
#define PEFT__SOCIAL(name) {name, "social sciences", PEFT__BENCH_ACCURACY}
#define PEFT__OTHER(name) {name, "other", PEFT__BENCH_ACCURACY}
static const peft__bench_named peft__bench_mmlu[] = {
    PEFT__STEM("abstract_algebra"), PEFT__OTHER("anatomy"), PEFT__STEM("astronomy"), PEFT__OTHER("business_ethics"),
    PEFT__OTHER("clinical_knowledge"), PEFT__STEM("college_biology"), PEFT__STEM("college_chemistry"),
    PEFT__STEM("college_computer_science"), PEFT__STEM("college_mathematics"), PEFT__OTHER("college_medicine"),
    PEFT__STEM("college_physics"), PEFT__STEM("computer_security"), PEFT__STEM("conceptual_physics"), PEFT__SOCIAL("econometrics"),
    PEFT__STEM("electrical_engineering"), PEFT__STEM("elementary_mathematics"), PEFT__HUMANITIES("formal_logic"),
    PEFT__OTHER("global_facts"), PEFT__STEM("high_school_biology"), PEFT__STEM("high_school_chemistry"),
    PEFT__STEM("high_school_computer_science"), PEFT__HUMANITIES("high_school_european_history"),
    PEFT__SOCIAL("high_school_geography"), PEFT__SOCIAL("high_school_government_and_politics"),
    PEFT__SOCIAL("high_school_macroeconomics"), PEFT__STEM("high_school_mathematics"), PEFT__SOCIAL("high_school_microeconomics"),
    PEFT__STEM("high_school_physics"), PEFT__SOCIAL("high_school_psychology"), PEFT__STEM("high_school_statistics"),
    PEFT__HUMANITIES("high_school_us_history"), PEFT__HUMANITIES("high_school_world_history"), PEFT__OTHER("human_aging"),
    PEFT__SOCIAL("human_sexuality"), PEFT__HUMANITIES("international_law"), PEFT__HUMANITIES("jurisprudence"),
    PEFT__HUMANITIES("logical_fallacies"), PEFT__STEM("machine_learning"), PEFT__OTHER("management"), PEFT__OTHER("marketing"),
    PEFT__OTHER("medical_genetics"), PEFT__OTHER("miscellaneous"), PEFT__HUMANITIES("moral_disputes"),
    PEFT__HUMANITIES("moral_scenarios"), PEFT__OTHER("nutrition"), PEFT__HUMANITIES("philosophy"), PEFT__HUMANITIES("prehistory"),
    PEFT__OTHER("professional_accounting"), PEFT__HUMANITIES("professional_law"), PEFT__OTHER("professional_medicine"),
    PEFT__SOCIAL("professional_psychology"), PEFT__SOCIAL("public_relations"), PEFT__SOCIAL("security_studies"),
    PEFT__SOCIAL("sociology"), PEFT__SOCIAL("us_foreign_policy"), PEFT__OTHER("virology"), PEFT__HUMANITIES("world_religions"),
};

#define PEFT__NLP(name) {name, "NLP", PEFT__BENCH_ANSWER}
#define PEFT__ALGORITHMIC(name) {name, "algorithmic", PEFT__BENCH_ANSWER}
static const peft__bench_named peft__bench_bbh[] = {
    PEFT__ALGORITHMIC("boolean_expressions"), PEFT__NLP("causal_judgement"), PEFT__NLP("date_understanding"),
    PEFT__NLP("disambiguation_qa"), PEFT__ALGORITHMIC("dyck_languages"), PEFT__NLP("formal_fallacies"),
    PEFT__ALGORITHMIC("geometric_shapes"), PEFT__NLP("hyperbaton"), PEFT__ALGORITHMIC("logical_deduction_three_objects"),
    PEFT__ALGORITHMIC("logical_deduction_five_objects"), PEFT__ALGORITHMIC("logical_deduction_seven_objects"),
    PEFT__NLP("movie_recommendation"), PEFT__ALGORITHMIC("multistep_arithmetic_two"), PEFT__ALGORITHMIC("navigate"),
    PEFT__ALGORITHMIC("object_counting"), PEFT__NLP("penguins_in_a_table"), PEFT__NLP("reasoning_about_colored_objects"),
    PEFT__NLP("ruin_names"), PEFT__NLP("salient_translation_error_detection"), PEFT__NLP("snarks"),
    PEFT__NLP("sports_understanding"), PEFT__ALGORITHMIC("temporal_sequences"),
    PEFT__ALGORITHMIC("tracking_shuffled_objects_three_objects"), PEFT__ALGORITHMIC("tracking_shuffled_objects_five_objects"),
    PEFT__ALGORITHMIC("tracking_shuffled_objects_seven_objects"), PEFT__ALGORITHMIC("web_of_lies"), PEFT__ALGORITHMIC("word_sorting"),
};

#define PEFT__LITE(name) {name, "", PEFT__BENCH_STRING_MATCH}
static const peft__bench_named peft__bench_lite[] = {
    PEFT__LITE("auto_debugging"), PEFT__LITE("bbq_lite_json"), PEFT__LITE("code_line_description"), PEFT__LITE("conceptual_combinations"),
    PEFT__LITE("conlang_translation"), PEFT__LITE("emoji_movie"), PEFT__LITE("formal_fallacies_syllogisms_negation"),
    PEFT__LITE("hindu_knowledge"), PEFT__LITE("known_unknowns"), PEFT__LITE("language_identification"),
    PEFT__LITE("linguistics_puzzles"), PEFT__LITE("logic_grid_puzzle"), PEFT__LITE("logical_deduction"),
    PEFT__LITE("misconceptions_russian"), PEFT__LITE("novel_concepts"), PEFT__LITE("operators"),
    PEFT__LITE("parsinlu_reading_comprehension"), PEFT__LITE("play_dialog_same_or_different"), PEFT__LITE("repeat_copy_logic"),
    PEFT__LITE("strange_stories"), PEFT__LITE("strategyqa"), PEFT__LITE("symbol_interpretation"),
    PEFT__LITE("vitaminc_fact_verification"), PEFT__LITE("winowhy"),
};

static const peft__bench_named peft__bench_helm[] = {
    {"boolq", "question answering", PEFT__BENCH_QUASI_EXACT},
    {"narrative_qa", "question answering", PEFT__BENCH_WORD_F1},
    {"natural_qa_closedbook", "question answering", PEFT__BENCH_WORD_F1},
    {"natural_qa_openbook_longans", "question answering", PEFT__BENCH_WORD_F1},
    {"quac", "question answering", PEFT__BENCH_WORD_F1},
    {"hellaswag", "question answering", PEFT__BENCH_EXACT},
    {"openbookqa", "question answering", PEFT__BENCH_EXACT},
    {"truthful_qa", "question answering", PEFT__BENCH_EXACT},
    {"mmlu", "question answering", PEFT__BENCH_EXACT},
    {"msmarco_regular", "information retrieval", PEFT__BENCH_RECIPROCAL_RANK},
    {"msmarco_trec", "information retrieval", PEFT__BENCH_NDCG},
    {"summarization_cnndm", "summarization", PEFT__BENCH_ROUGE_2},
    {"summarization_xsum", "summarization", PEFT__BENCH_ROUGE_2},
    {"imdb", "sentiment analysis", PEFT__BENCH_QUASI_EXACT},
    {"civil_comments", "toxicity detection", PEFT__BENCH_QUASI_EXACT},
    {"raft", "text classification", PEFT__BENCH_QUASI_EXACT},
};

typedef struct peft__bench_family {
    const char *name, *split, *development;  // the split by default; what "dev", "val" and "validation" are called here
    int64_t shots;
    const peft__bench_spec *specs;
    const peft__bench_named *named;          // in place of specs; then what follows `count` is the same for all of them
    int64_t count;
    int reader;
    const char *files, *prompt;
} peft__bench_family;

static const peft__bench_family peft__bench_families[] = {
    {"glue", "dev", "dev", 0, peft__bench_glue, NULL, PEFT__COUNT(peft__bench_glue), 0, NULL, NULL},
    {"superglue", "val", "val", 0, peft__bench_superglue, NULL, PEFT__COUNT(peft__bench_superglue), 0, NULL, NULL},
    {"mmlu", "test", "val", 5, NULL, peft__bench_mmlu, PEFT__COUNT(peft__bench_mmlu), PEFT__BENCH_MMLU, "*/%_*.csv",
     "{{question}}\nA. {{A}}\nB. {{B}}\nC. {{C}}\nD. {{D}}\nAnswer:"},
    {"bbh", "test", NULL, 3, NULL, peft__bench_bbh, PEFT__COUNT(peft__bench_bbh), PEFT__BENCH_BBH, "bbh/%.json|%.json",
     "Q: {{input}}\nA: Let's think step by step."},
    {"bigbench", "test", NULL, 0, NULL, peft__bench_lite, PEFT__COUNT(peft__bench_lite), PEFT__BENCH_JSON_TASK,
     "%/task.json|%.json|bigbench/benchmark_tasks/%/task.json", "{{input}}"},
    {"helm", "test", NULL, 0, NULL, peft__bench_helm, PEFT__COUNT(peft__bench_helm), PEFT__BENCH_HELM, "%.jsonl|%/*.jsonl", "{{input}}"},
    {"samsum", "test", NULL, 0, &peft__bench_summaries[0], NULL, 1, 0, NULL, NULL},
    {"dialogsum", "test", NULL, 0, &peft__bench_summaries[1], NULL, 1, 0, NULL, NULL},
    {"xsum", "test", NULL, 0, &peft__bench_summaries[2], NULL, 1, 0, NULL, NULL},
    {"cnndm", "test", NULL, 0, &peft__bench_summaries[3], NULL, 1, 0, NULL, NULL},
};

PEFTDEF const char *peft_benchmark_name(int64_t i) {
    return i >= 0 && i < PEFT__COUNT(peft__bench_families) ? peft__bench_families[i].name : NULL;
}

// ---- loading: the loader

typedef struct peft__bench_task {
    peft__bench_spec spec;
    const char *name, *group, *file;
    bool missing, labelled;
    peft_benchmark_example *examples;
    int64_t count, capacity;
    const char *intro;            // begins every prompt
    const char **shots;           // then come these
    int64_t shot_count;
    bool own_shots;               // shot k is example k: not shown before itself
    const char *const *names, *const *choices;  // that the examples share
    int64_t choice_count;
    int64_t max_new_tokens;
    const char *stop;
    peft__regex *output;          // BIG-bench: the answer is what this finds first; NULL: the whole text
    int64_t groups;               // different values of the examples' group
} peft__bench_task;

struct peft_benchmark {
    peft_context *ctx;
    peft__arena arena;
    const peft__bench_family *family;
    char split[32];
    int64_t shots, limit, max_new_tokens;
    peft_prompt_style style;
    bool direct;
    peft__bench_task *tasks;
    int64_t count;
};

typedef struct peft__bench_loader {
    peft_benchmark *b;
    peft__bench_task *t;          // the task being read
    const char *folder;
    int64_t limit;
    peft__template prompt;
    peft__data_record record;     // one line, as fields for the template
    peft__string text;
    peft__arena line;             // what belongs to one line
    peft__map groups;
} peft__bench_loader;

static peft_status peft__bench_list(peft__arena *a, const char *text, const char *const **out, int64_t *count) {
    int64_t n = 1;
    for (const char *p = text; *p; p++) n += *p == '|';
    const char **list = (const char **)peft__arena_alloc(a, (size_t)n * sizeof(char *));
    if (!list) return PEFT_ERROR_MEMORY;
    *count = n;
    for (int64_t i = 0; i < n; i++) {
        const char *stop = strchr(text, '|');
        size_t size = stop ? (size_t)(stop - text) : strlen(text);
        list[i] = peft__arena_strdup(a, text, size);
        if (!list[i]) return PEFT_ERROR_MEMORY;
        text += size + 1;
    }
    *out = list;
    return PEFT_OK;
}

// The first of the files that is there, else NULL with *first set to where it was looked for first.
static peft_status peft__bench_find(peft__bench_loader *l, const char *patterns, const char *split, const char **found,
                                    const char **first) {
    *found = NULL;
    for (const char *p = patterns; p;) {
        const char *stop = strchr(p, '|');
        l->text.size = 0;
        peft__string_puts(&l->text, l->folder);
        peft__string_puts(&l->text, "/");
        for (; *p && p != stop; p++) {
            if (*p == '*') peft__string_puts(&l->text, split);
            else if (*p == '%') peft__string_puts(&l->text, l->t->name);
            else peft__string_append(&l->text, p, 1);
        }
        if (l->text.failed) return PEFT_ERROR_MEMORY;
        bool there = peft__file_exists(l->b->ctx, l->text.data);
        if (there || (first && !*first)) {
            const char *path = peft__arena_strdup(&l->b->arena, l->text.data, l->text.size);
            if (!path) return PEFT_ERROR_MEMORY;
            if (first && !*first) *first = path;
            if (there) {
                *found = path;
                return PEFT_OK;
            }
        }
        p = stop ? stop + 1 : NULL;
    }
    return PEFT_OK;
}

static peft_status peft__bench_field(peft__bench_loader *l, const char *name, const char *text, size_t size) {
    peft__field *f = peft__record_add(&l->record);
    if (!f) return PEFT_ERROR_MEMORY;
    f->name = name;
    f->name_size = strlen(name);
    f->text = text;
    f->size = size;
    return PEFT_OK;
}

static peft_status peft__bench_field_puts(peft__bench_loader *l, const char *name, const char *text) {
    return peft__bench_field(l, name, text, strlen(text));
}

PEFT__NOINLINE const char *peft__bench_keep(peft__bench_loader *l, const char *text, size_t size) {
    return peft__arena_strdup(&l->b->arena, text, size);
}

// What has been put together in l->text; NULL: memory ran out, now or before.
PEFT__NOINLINE const char *peft__bench_keep_text(peft__bench_loader *l) {
    return l->text.failed ? NULL : peft__bench_keep(l, l->text.data, l->text.size);
}

static const char **peft__bench_strings(peft__bench_loader *l, int64_t count) {
    return (const char **)peft__arena_alloc(&l->b->arena, (size_t)PEFT__MAX(count, 1) * sizeof(char *));
}

// Room for n choices of an example's own.
static peft_status peft__bench_own_choices(peft__bench_loader *l, peft_benchmark_example *e, size_t n, const char ***names, const char ***choices) {
    e->names = *names = peft__bench_strings(l, (int64_t)n);
    e->choices = *choices = peft__bench_strings(l, (int64_t)n);
    e->choice_count = 0;
    return e->names && e->choices ? PEFT_OK : PEFT_ERROR_MEMORY;
}

static bool peft__bench_alike(const char *a, const char *b, size_t n) {  // ASCII case does not matter
    size_t i = 0;
    while (i < n && peft__lower(a[i]) == peft__lower(b[i])) i++;
    return i == n;
}

static bool peft__bench_same(const char *a, const char *b, size_t n) {  // b has n bytes
    return strlen(a) == n && peft__bench_alike(a, b, n);
}

static bool peft__bench_digit(char c) {
    return c >= '0' && c <= '9';
}

static bool peft__bench_white(char c) {
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static void peft__bench_strip(const char **text, size_t *n) {
    while (*n && peft__bench_white(**text)) ++*text, --*n;
    while (*n && peft__bench_white((*text)[*n - 1])) --*n;
}

// A dense number for a name: 0, 1, 2, ... in order of first appearance.
static peft_status peft__bench_group(peft__bench_loader *l, const char *name, size_t size, int64_t *out) {
    *out = peft__map_get(&l->groups, name, size, -1);
    if (*out >= 0) return PEFT_OK;
    const char *kept = peft__bench_keep(l, name, size);
    *out = l->t->groups++;
    return kept && peft__map_set(&l->groups, kept, size, *out) ? PEFT_OK : PEFT_ERROR_MEMORY;
}

// id NULL: the example's number.
static peft_benchmark_example *peft__bench_new(peft__bench_loader *l, const char *id, const char *question, size_t size) {
    peft__bench_task *t = l->t;
    char number[24];
    peft__string_into(number, sizeof(number), "%lld", (long long)t->count);
    if (!id) id = number;
    if (!peft__more(l->b->ctx, &t->examples, t->count, &t->capacity, sizeof(*t->examples))) return NULL;
    peft_benchmark_example *e = &t->examples[t->count];
    memset(e, 0, sizeof(*e));
    e->id = peft__bench_keep(l, id, strlen(id));
    e->question = peft__bench_keep(l, question, size);
    if (!e->id || !e->question) return NULL;
    e->names = t->names;
    e->choices = t->choices;
    e->choice_count = t->choice_count;
    e->max_new_tokens = l->b->max_new_tokens ? l->b->max_new_tokens : t->max_new_tokens;
    e->stop = t->stop;
    e->label = -1;
    e->group = t->count++;
    return e;
}

// The record's "label", if it has one, as the place of a name.
static peft_status peft__bench_label(peft__bench_loader *l, peft_benchmark_example *e) {
    const peft__field *f = peft__record_find(&l->record, "label", 5);
    if (!f || f->null) return PEFT_OK;
    for (int64_t k = 0; k < e->choice_count && e->label < 0; k++)
        if (peft__bench_same(e->names[k], f->text, f->size)) e->label = k;
    if (e->label < 0)
        return peft__fail(l->b->ctx, PEFT_ERROR_FORMAT, "%s:%lld: label \"%.*s\" is none of \"%s\", ...", l->record.path,
                          (long long)l->record.line, peft__shown(f->size), f->text, e->choice_count ? e->names[0] : "");
    l->t->labelled = true;
    return PEFT_OK;
}

static peft_status peft__bench_references(peft__bench_loader *l, peft_benchmark_example *e, int64_t count, const char ***out) {
    e->references = *out = peft__bench_strings(l, count);
    e->reference_count = 0;
    if (count > 0) l->t->labelled = true;
    return *out ? PEFT_OK : PEFT_ERROR_MEMORY;
}

// One right text.
static peft_status peft__bench_reference(peft__bench_loader *l, peft_benchmark_example *e, const char *text, size_t size) {
    const char **list = NULL;
    peft_status status = peft__bench_references(l, e, 1, &list);
    if (status) return status;
    list[e->reference_count++] = peft__bench_keep(l, text, size);
    return list[0] ? PEFT_OK : PEFT_ERROR_MEMORY;
}

// The example that the record and the template make.
static peft_status peft__bench_add(peft__bench_loader *l, const char *id, peft_benchmark_example **out) {
    l->text.size = 0;
    const char *filled;
    size_t filled_size;
    peft_status status = peft__template_text(&l->prompt, &l->record, NULL, NULL, &l->text, &filled, &filled_size);
    if (status) return status;
    *out = peft__bench_new(l, id, l->text.data, l->text.size);
    if (!*out) return PEFT_ERROR_MEMORY;
    if (l->t->spec.metric != PEFT__BENCH_CORRELATION) return l->t->choice_count ? peft__bench_label(l, *out) : PEFT_OK;
    const peft__field *f = peft__record_find(&l->record, "label", 5);
    if (!f) return PEFT_OK;
    char number[32], *stop = number;
    if (f->size < sizeof(number)) {
        memcpy(number, f->text, f->size);
        number[f->size] = 0;
        (*out)->value = strtod(number, &stop);
    }
    if (stop == number || *stop || !(fabs((*out)->value) <= 1e9))
        return peft__fail(l->b->ctx, PEFT_ERROR_FORMAT, "%s:%lld: \"%.*s\" is no score", l->record.path, (long long)l->record.line,
                          peft__shown(f->size), f->text);
    l->t->labelled = true;
    return peft__bench_reference(l, *out, f->text, f->size);
}

// The example's own name, "idx" or else "id". False: it has none.
static bool peft__bench_id(const peft__json *root, char id[64]) {
    const peft__json *v = peft__json_get(root, "idx");
    if (!v) v = peft__json_get(root, "id");
    if (peft__json_is(v, PEFT__JSON_OBJECT)) v = peft__json_get(v, "query");  // ReCoRD, as some write it
    if (peft__json_is(v, PEFT__JSON_NUMBER)) peft__string_into(id, 64, "%g", v->number);
    else if (peft__json_is(v, PEFT__JSON_STRING)) peft__string_into(id, 64, "%s", v->string);
    else return false;
    return true;
}

// A JSON value as text; numbers are written into `number`. NULL: a list, an object, null or no value.
static const char *peft__bench_scalar(const peft__json *v, char number[40]) {
    if (peft__json_is(v, PEFT__JSON_STRING)) return v->string;
    if (peft__json_is(v, PEFT__JSON_BOOL)) return v->boolean ? "true" : "false";
    if (!peft__json_is(v, PEFT__JSON_NUMBER)) return NULL;
    peft__string_into(number, 40, "%g", v->number);
    return number;
}

// ---- GLUE: lines of values between tabs, no quoting

static const char *peft__bench_column(const char *name) {  // the names that the templates use
    static const char *const names[][2] = {{"#1 String", "sentence1"}, {"#2 String", "sentence2"}, {"Quality", "label"},
                                           {"is_duplicate", "label"},  {"gold_label", "label"},   {"score", "label"},
                                           {"Premise", "sentence1"},   {"Hypothesis", "sentence2"}, {"Label", "label"}};
    for (int64_t i = 0; i < PEFT__COUNT(names); i++)
        if (strcmp(name, names[i][0]) == 0) return names[i][1];
    return name;
}

// Cuts a line in place. Returns how many values there are; `header`: they become the names of fields.
static peft_status peft__bench_tsv_line(peft__bench_loader *l, char *line, bool header, int64_t *count) {
    *count = 0;
    for (char *value = line; value; ++*count) {
        char *tab = strchr(value, '\t');
        if (tab) *tab = 0;
        if (header) {
            peft_status status = peft__bench_field(l, peft__bench_column(value), "", 0);
            if (status) return status;
        } else if (*count < l->record.count) {
            l->record.fields[*count].text = value;
            l->record.fields[*count].size = strlen(value);
        }
        value = tab ? tab + 1 : NULL;
    }
    return PEFT_OK;
}

static peft_status peft__bench_read_tsv(peft__bench_loader *l, char *text, size_t size) {
    static const char *const cola[] = {"source", "label", "mark", "sentence"};
    peft__data_record *r = &l->record;
    peft_benchmark_example *e = NULL;
    char id[24];
    bool header = !(strcmp(l->t->name, "CoLA") == 0 && strncmp(text, "index\t", 6) != 0);
    peft_status status = PEFT_OK;
    for (int64_t i = 0; !header && !status && i < PEFT__COUNT(cola); i++) status = peft__bench_field(l, cola[i], "", 0);
    int64_t rows = 0, n = 0;
    for (char *at = text, *end = text + size; at < end && !status && l->t->count < l->limit;) {
        char *stop = (char *)memchr(at, '\n', (size_t)(end - at)), *next = stop ? stop + 1 : end;
        if (!stop) stop = end;
        r->line++;
        if (stop > at && stop[-1] == '\r') stop--;
        *stop = 0;
        size_t length = (size_t)(stop - at);
        if (memchr(at, 0, length)) return PEFT__BAD_RECORD(r, "a NUL character");
        if (!peft__utf8_valid(at, length)) return PEFT__BAD_RECORD(r, "not valid UTF-8");
        if (length) {
            status = peft__bench_tsv_line(l, at, header, &n);
            peft__string_into(id, sizeof(id), "%lld", (long long)rows);
            if (!status && !header && n >= r->count) status = peft__bench_add(l, id, &e);
            if (!status && !header && n < r->count)  // QQP has such lines; its reference reader skips them too
                peft__log(l->b->ctx, "%s:%lld: %lld values of %lld: line skipped", r->path, (long long)r->line, (long long)n,
                          (long long)r->count);
            rows += !header;
            header = false;
        }
        at = next;
    }
    return status;
}

// ---- SuperGLUE: JSON lines

// An object's members as fields; those of objects inside it as "outer.inner". Names and numbers live in the line's arena.
static peft_status peft__bench_flatten(peft__bench_loader *l, const peft__json *object, const char *outer) {
    for (const peft__json *v = object->child; v; v = v->next) {
        char name[128], number[40];
        peft__string_into(name, sizeof(name), "%s%s%.*s", outer, *outer ? "." : "", peft__shown(v->key_length), v->key);
        peft_status status = v->type == PEFT__JSON_OBJECT ? peft__bench_flatten(l, v, name) : PEFT_OK;
        const char *text = peft__bench_scalar(v, number);
        if (text) {
            const char *kept = peft__arena_strdup(&l->line, name, strlen(name));
            if (text == number) text = peft__arena_strdup(&l->line, number, strlen(number));
            if (!kept || !text) return PEFT_ERROR_MEMORY;
            status = peft__bench_field(l, kept, text, v->type == PEFT__JSON_STRING ? v->length : strlen(text));
        }
        if (status) return status;
    }
    return PEFT_OK;
}

static const char *peft__bench_field_text(peft__bench_loader *l, const char *name) {  // NUL-terminated, "" when missing
    const peft__field *f = peft__record_find(&l->record, name, strlen(name));
    return f ? f->text : "";
}

// "<premise without its full stop> because" or "... so", followed by the choices in lower case.
static peft_status peft__bench_add_copa(peft__bench_loader *l, const char *id) {
    const char *premise = peft__bench_field_text(l, "premise");
    size_t n = strlen(premise);
    while (n && (premise[n - 1] == '.' || premise[n - 1] == ' ')) n--;
    bool cause = strcmp(peft__bench_field_text(l, "question"), "cause") == 0;
    peft_benchmark_example *e = NULL;
    peft_status status = peft__bench_field(l, "opening", premise, n);
    if (!status) status = peft__bench_field_puts(l, "connective", cause ? "because" : "so");
    if (!status) status = peft__bench_add(l, id, &e);
    if (status || l->b->style == PEFT_PROMPT_T5) return status;
    const char **choices = peft__bench_strings(l, 2);
    if (!choices) return PEFT_ERROR_MEMORY;
    e->choices = choices;
    for (int k = 0; k < 2; k++) {
        const char *choice = peft__bench_field_text(l, k ? "choice2" : "choice1");
        bool pronoun = choice[0] == 'I' && (choice[1] == ' ' || choice[1] == '\'');
        l->text.size = 0;
        if (peft__string_format(&l->text, " %s", choice) && !pronoun) l->text.data[1] = peft__lower(choice[0]);
        if (!(choices[k] = peft__bench_keep_text(l))) return PEFT_ERROR_MEMORY;
    }
    return PEFT_OK;
}

// Puts " * " or " # " around the words of a span that begins at word `index`; a span that is not there leaves the text as it is.
static bool peft__bench_mark(peft__string *s, const char *text, const char *span, int64_t index, char mark) {
    const char *at = text;
    for (; index > 0 && *at; index--) {
        while (*at && !peft__bench_white(*at)) at++;
        if (*at) at++;
    }
    size_t n = strlen(span);
    s->size = 0;
    if (index != 0 || strncmp(at, span, n) != 0 || !n) return peft__string_puts(s, text);
    peft__string_append(s, text, (size_t)(at - text));
    return peft__string_format(s, "%c %s %c", mark, span, mark) && peft__string_puts(s, at + n);
}

static peft_status peft__bench_add_wsc(peft__bench_loader *l, const char *id, const peft__json *root) {
    const peft__json *target = peft__json_get(root, "target");
    int64_t first = peft__json_int(target, "span1_index", 0), second = peft__json_int(target, "span2_index", 0);
    peft__string marked[2];
    peft_benchmark_example *e = NULL;
    peft__string_init(&marked[0], l->b->ctx);
    peft__string_init(&marked[1], l->b->ctx);
    bool ok = peft__bench_mark(&marked[0], peft__bench_field_text(l, "text"), peft__bench_field_text(l, "target.span1_text"),
                               first, '*');
    second += first < second ? 2 : 0;  // the two marks are words themselves
    ok = ok && peft__bench_mark(&marked[1], marked[0].data, peft__bench_field_text(l, "target.span2_text"), second, '#');
    peft_status status = ok ? peft__bench_field(l, "marked", marked[1].data, marked[1].size) : PEFT_ERROR_MEMORY;
    if (!status) status = peft__bench_add(l, id, &e);
    peft__string_free(&marked[0]);
    peft__string_free(&marked[1]);
    return status;
}

// T5 leaves out the paragraphs' markup: <br> becomes a space, <b> and </b> go.
static char *peft__bench_plain(peft__bench_loader *l, const char *text) {
    char *out = peft__arena_strdup(&l->line, text, strlen(text)), *put = out;
    for (const char *p = out; p && *p;) {
        size_t skip = strncmp(p, "<br>", 4) == 0 ? 4 : strncmp(p, "<b>", 3) == 0 ? 3 : strncmp(p, "</b>", 4) == 0 ? 4 : 0;
        if (!skip) *put++ = *p++;
        else if (skip == 4 && p[1] == 'b') *put++ = ' ';
        p += skip;
    }
    if (out) *put = 0;
    return out;
}

static peft_status peft__bench_multirc_answer(peft__bench_loader *l, int64_t passage, const peft__json *question,
                                              const peft__json *answer) {
    char id[80];
    peft_benchmark_example *e = NULL;
    const peft__json *label = peft__json_get(answer, "label");
    long long q = peft__json_int(question, "idx", 0), a = peft__json_int(answer, "idx", 0);
    peft__string_into(id, sizeof(id), "%lld/%lld/%lld", (long long)passage, q, a);
    const char *text = peft__bench_plain(l, peft__json_text(answer, "text", ""));
    peft_status status = text ? peft__bench_field_puts(l, "answer", text) : PEFT_ERROR_MEMORY;
    bool right = peft__json_is(label, PEFT__JSON_BOOL) ? label->boolean : peft__json_is(label, PEFT__JSON_NUMBER) && label->number != 0;
    if (!status && label) status = peft__bench_field(l, "label", right ? "1" : "0", 1);
    if (!status) status = peft__bench_add(l, id, &e);
    char *slash = strrchr(id, '/');
    return status ? status : peft__bench_group(l, id, (size_t)(slash - id), &e->group);
}

static peft_status peft__bench_add_multirc(peft__bench_loader *l, const peft__json *root) {
    const peft__json *passage = peft__json_get(root, "passage"), *questions = peft__json_get(passage, "questions");
    const char *text = peft__bench_plain(l, peft__json_text(passage, "text", ""));
    if (!text) return PEFT_ERROR_MEMORY;
    if (!peft__json_is(questions, PEFT__JSON_ARRAY)) return PEFT__BAD_RECORD(&l->record, "no passage with questions");
    for (const peft__json *q = questions->child; q; q = q->next) {
        const peft__json *answers = peft__json_get(q, "answers");
        const char *asked = peft__bench_plain(l, peft__json_text(q, "question", ""));
        if (!peft__json_is(answers, PEFT__JSON_ARRAY)) return PEFT__BAD_RECORD(&l->record, "a question without answers");
        for (const peft__json *a = answers->child; asked && a; a = a->next) {
            l->record.count = 0;
            peft_status status = peft__bench_field_puts(l, "paragraph", text);
            if (!status) status = peft__bench_field_puts(l, "question", asked);
            if (!status) status = peft__bench_multirc_answer(l, peft__json_int(root, "idx", 0), q, a);
            if (status) return status;
        }
        if (!asked) return PEFT_ERROR_MEMORY;
    }
    return PEFT_OK;
}

// Code points [first, last] of a text: the files count characters, not bytes.
static void peft__bench_slice(const char *text, size_t n, int64_t first, int64_t last, const char **out, size_t *size) {
    size_t i = 0, begin = n;
    uint32_t cp;
    for (int64_t k = 0; i < n && k <= last; k++) {
        if (k == first) begin = i;
        peft__utf8_next(text, n, &i, &cp);
    }
    *out = text + begin;
    *size = i > begin ? i - begin : 0;
}

// The passage's entities, each once, into names; in the plain style choice k is the query with entity k in the place of the gap.
static peft_status peft__bench_entities(peft__bench_loader *l, const peft__json *passage, const char *query,
                                        peft_benchmark_example *e) {
    const peft__json *list = peft__json_get(passage, "entities"), *text = peft__json_get(passage, "text");
    const char *gap = strstr(query, "@placeholder"), **names, **choices;
    if (peft__bench_own_choices(l, e, list ? list->length : 0, &names, &choices)) return PEFT_ERROR_MEMORY;
    for (const peft__json *v = list ? list->child : NULL; v; v = v->next) {
        const char *at = "";
        size_t size = 0;
        peft__bench_slice(text->string, text->length, peft__json_int(v, "start", 0), peft__json_int(v, "end", -1), &at, &size);
        bool known = size == 0;
        for (int64_t k = 0; k < e->choice_count; k++) known = known || (strlen(names[k]) == size && memcmp(names[k], at, size) == 0);
        if (known) continue;
        l->text.size = 0;
        peft__string_puts(&l->text, " ");
        peft__string_append(&l->text, query, gap ? (size_t)(gap - query) : strlen(query));
        if (gap) peft__string_append(&l->text, at, size);
        if (gap) peft__string_puts(&l->text, gap + strlen("@placeholder"));
        names[e->choice_count] = peft__bench_keep(l, at, size);
        choices[e->choice_count] = peft__bench_keep_text(l);
        if (!names[e->choice_count] || !choices[e->choice_count]) return PEFT_ERROR_MEMORY;
        e->choice_count++;
    }
    if (l->b->style != PEFT_PROMPT_PLAIN || !e->choice_count) e->choices = NULL;
    return PEFT_OK;
}

static peft_status peft__bench_record_query(peft__bench_loader *l, const peft__json *passage, const peft__json *qa) {
    const peft__json *answers = peft__json_get(qa, "answers"), *text = peft__json_get(passage, "text");
    const char *query = peft__json_text(qa, "query", "");
    peft_benchmark_example *e = NULL, found;
    char id[24];
    memset(&found, 0, sizeof(found));
    if (!peft__json_is(text, PEFT__JSON_STRING)) return PEFT__BAD_RECORD(&l->record, "no passage with a text");
    peft__string_into(id, sizeof(id), "%lld", (long long)peft__json_int(qa, "idx", l->t->count));
    peft_status status = peft__bench_entities(l, passage, query, &found);
    peft__string joined;
    peft__string_init(&joined, l->b->ctx);
    for (int64_t k = 0; k < found.choice_count; k++) peft__string_format(&joined, "%s%s", k ? ", " : "", found.names[k]);
    l->record.count = 0;
    if (!status) status = peft__bench_field(l, "passage", text->string, text->length);
    if (!status) status = peft__bench_field_puts(l, "query", query);
    if (!status) status = peft__bench_field(l, "entities", joined.data ? joined.data : "", joined.size);
    if (joined.failed) status = PEFT_ERROR_MEMORY;
    if (!status) status = peft__bench_add(l, id, &e);
    peft__string_free(&joined);
    if (status) return status;
    e->names = found.names;
    e->choices = found.choices;
    e->choice_count = found.choice_count;
    const char **list = NULL;
    int64_t count = peft__json_is(answers, PEFT__JSON_ARRAY) ? (int64_t)answers->length : 0;
    status = peft__bench_references(l, e, count, &list);
    for (const peft__json *a = count ? answers->child : NULL; a && !status; a = a->next) {
        const char *answer = peft__json_text(a, "text", "");
        list[e->reference_count] = peft__bench_keep(l, answer, strlen(answer));
        if (!list[e->reference_count++]) status = PEFT_ERROR_MEMORY;
        for (int64_t k = 0; k < e->choice_count && e->label < 0; k++)
            if (strcmp(e->names[k], answer) == 0) e->label = k;
    }
    return status;
}

static peft_status peft__bench_add_record(peft__bench_loader *l, const peft__json *root) {
    const peft__json *passage = peft__json_get(root, "passage"), *list = peft__json_get(root, "qas");
    if (!peft__json_is(list, PEFT__JSON_ARRAY)) return PEFT__BAD_RECORD(&l->record, "no list \"qas\"");
    peft_status status = PEFT_OK;
    for (const peft__json *qa = list->child; qa && !status && l->t->count < l->limit; qa = qa->next)
        status = peft__bench_record_query(l, passage, qa);
    return status;
}

// ---- summaries and HELM

// A JSON value as text of a right answer: strings as they are, numbers as numbers.
static peft_status peft__bench_texts(peft__bench_loader *l, peft_benchmark_example *e, const peft__json *value) {
    const char **list = NULL;
    bool array = peft__json_is(value, PEFT__JSON_ARRAY);
    peft_status status = peft__bench_references(l, e, array ? (int64_t)value->length : 1, &list);
    for (const peft__json *v = array ? value->child : value; v && !status; v = array ? v->next : NULL) {
        char number[40];
        const char *text = peft__bench_scalar(v, number);
        list[e->reference_count] = peft__bench_keep(l, text ? text : "", text ? strlen(text) : 0);
        if (!list[e->reference_count++]) status = PEFT_ERROR_MEMORY;
    }
    return status;
}

// References: the field "summary", or "summary1", "summary2", ... where several people wrote one.
static peft_status peft__bench_add_summary(peft__bench_loader *l, const char *id) {
    const char *name = l->t->spec.labels;
    peft_benchmark_example *e = NULL;
    peft_status status = peft__bench_add(l, id, &e);
    const char *found[9];
    int64_t count = 0;
    for (int k = 0; k < 9 && !status; k++) {
        char numbered[40];
        peft__string_into(numbered, sizeof(numbered), k ? "%s%d" : "%s", name, k);
        const peft__field *f = peft__record_find(&l->record, numbered, strlen(numbered));
        if (f && !f->null && !memchr(f->text, 0, f->size)) found[count++] = peft__bench_keep(l, f->text, f->size);
    }
    const char **list = NULL;
    if (!status) status = peft__bench_references(l, e, count, &list);
    for (int64_t k = 0; k < count && !status; k++) {
        list[e->reference_count++] = found[k];
        if (!found[k]) status = PEFT_ERROR_MEMORY;
    }
    return status;
}

static peft_status peft__bench_helm_choices(peft__bench_loader *l, const peft__json *list, peft_benchmark_example *e) {
    const char **names, **choices;
    if (!list->child) return PEFT__BAD_RECORD(&l->record, "\"choices\" is empty");
    if (peft__bench_own_choices(l, e, list->length, &names, &choices)) return PEFT_ERROR_MEMORY;
    for (const peft__json *v = list->child; v; v = v->next) {
        if (v->type != PEFT__JSON_STRING) return PEFT__BAD_RECORD(&l->record, "\"choices\" holds something else than texts");
        l->text.size = 0;
        peft__string_format(&l->text, " %s", v->string);
        choices[e->choice_count] = peft__bench_keep_text(l);
        if (!choices[e->choice_count]) return PEFT_ERROR_MEMORY;
        names[e->choice_count] = choices[e->choice_count] + 1;
        e->choice_count++;
    }
    return PEFT_OK;
}

static peft_status peft__bench_add_helm(peft__bench_loader *l, const peft__json *root, const char *id) {
    const peft__json *choices = peft__json_get(root, "choices"), *label = peft__json_get(root, "label");
    const peft__json *references = peft__json_get(root, "references"), *relevance = peft__json_get(root, "relevance");
    static const char *const yes_no[] = {" Yes", " No"};
    peft_benchmark_example *e = NULL;
    peft_status status = peft__bench_add(l, id, &e);
    if (status) return status;
    if (l->t->spec.metric >= PEFT__BENCH_RECIPROCAL_RANK) {
        const peft__field *query = peft__record_find(&l->record, "query", 5);
        if (!query) return PEFT__BAD_RECORD(&l->record, "no \"query\"");
        e->choices = e->names = yes_no;
        e->choice_count = 2;
        e->value = peft__json_is(relevance, PEFT__JSON_NUMBER) ? relevance->number : 0;
        l->t->labelled = l->t->labelled || relevance;
        return peft__bench_group(l, query->text, query->size, &e->group);
    }
    if (peft__json_is(choices, PEFT__JSON_ARRAY)) {
        status = peft__bench_helm_choices(l, choices, e);
        int64_t right = peft__json_int(root, "label", -1);
        if (!status && label && (right < 0 || right >= e->choice_count))
            return PEFT__BAD_RECORD(&l->record, "\"label\" is not a place in \"choices\"");
        e->label = status ? -1 : right;
        if (!status && right >= 0) status = peft__bench_reference(l, e, e->names[right], strlen(e->names[right]));
        return status;
    }
    return references ? peft__bench_texts(l, e, references) : PEFT_OK;
}

static peft_status peft__bench_add_json(peft__bench_loader *l, const peft__json *root) {
    char given[64];
    const char *id = peft__bench_id(root, given) ? given : NULL;
    l->record.count = 0;
    int reader = l->t->spec.reader;
    if (reader == PEFT__BENCH_NESTED_MULTIRC) return peft__bench_add_multirc(l, root);
    if (reader == PEFT__BENCH_NESTED_RECORD) return peft__bench_add_record(l, root);
    peft_status status = peft__bench_flatten(l, root, "");
    if (status) return status;
    if (reader == PEFT__BENCH_COPA) return peft__bench_add_copa(l, id);
    if (reader == PEFT__BENCH_WSC) return peft__bench_add_wsc(l, id, root);
    if (reader == PEFT__BENCH_SUMMARY) return peft__bench_add_summary(l, id);
    if (reader == PEFT__BENCH_HELM) return peft__bench_add_helm(l, root, id);
    peft_benchmark_example *e = NULL;
    status = peft__bench_add(l, id, &e);
    const peft__field *pair = peft__record_find(&l->record, "pair_id", 7);
    if (!status && l->t->spec.metric == PEFT__BENCH_PARITY) {
        char made[24];  // pairs follow each other where they have no number
        peft__string_into(made, sizeof(made), "pair %lld", (long long)((l->t->count - 1) / 2));
        status = pair ? peft__bench_group(l, pair->text, pair->size, &e->group) : peft__bench_group(l, made, strlen(made), &e->group);
    }
    return status;
}

static peft_status peft__bench_read_jsonl(peft__bench_loader *l, char *text, size_t size) {
    peft_status status = PEFT_OK;
    for (char *at = text, *end = text + size; at < end && !status && l->t->count < l->limit;) {
        char *stop = (char *)memchr(at, '\n', (size_t)(end - at));
        if (!stop) stop = end;
        size_t n = (size_t)(stop - at);
        l->record.line++;
        peft__json *root = NULL;
        if (!peft__blank(at, n)) {
            peft__arena_reset(&l->line);
            if (!peft__utf8_valid(at, n)) return PEFT__BAD_RECORD(&l->record, "not valid UTF-8");
            status = peft__record_parse(&l->record, &l->line, at, n, &root);
            if (!status && root->type != PEFT__JSON_OBJECT) status = PEFT__BAD_RECORD(&l->record, "not a JSON object");
            if (!status) status = peft__bench_add_json(l, root);
        }
        at = stop + 1;
    }
    return status;
}

static peft_status peft__bench_read_csv_summaries(peft__bench_loader *l, char *text, size_t size) {
    peft__csv c = {text, text + size, ',', 1, PEFT_QUOTES_AUTO};
    int64_t n = 0;
    peft_status status = peft__csv_record(&c, &l->record, true, &n);
    while (!status && l->t->count < l->limit) {
        status = peft__csv_record(&c, &l->record, false, &n);
        if (status || !n) break;
        if (n != l->record.count) return PEFT__BAD_RECORD(&l->record, "not as many fields as the first line names");
        status = peft__bench_add_summary(l, NULL);
    }
    return status;
}

static peft_status peft__bench_read_summaries(peft__bench_loader *l, char *text, size_t size) {
    size_t at = 0;
    while (at < size && peft__bench_white(text[at])) at++;
    if (peft__has_extension(l->record.path, ".csv")) return peft__bench_read_csv_summaries(l, text, size);
    if (at == size || text[at] != '[') return peft__bench_read_jsonl(l, text, size);
    peft__json *root = NULL;  // one array: SAMSum's own files
    peft__arena all;
    peft__arena_init(&all, l->b->ctx);
    peft_status status = peft__json_parse(l->b->ctx, &all, text, size, l->record.path, &root);
    for (const peft__json *v = status ? NULL : root->child; v && !status && l->t->count < l->limit; v = v->next) {
        peft__arena_reset(&l->line);
        l->record.line++;  // counts entries here
        status = v->type == PEFT__JSON_OBJECT ? peft__bench_add_json(l, v) : PEFT__BAD_RECORD(&l->record, "not a JSON object");
    }
    peft__arena_free(&all);
    return status;
}

// ---- MMLU: six values a line, no header; the answer is a letter

static const char *const peft__bench_letters[] = {"A", "B", "C", "D"};
static const char *const peft__bench_letter_choices[] = {" A", " B", " C", " D"};

static peft_status peft__bench_read_mmlu(peft__bench_loader *l, char *text, size_t size) {
    static const char *const columns[] = {"question", "A", "B", "C", "D", "label"};
    peft__csv c = {text, text + size, ',', 1, PEFT_QUOTES_AUTO};
    peft_benchmark_example *e = NULL;
    peft_status status = PEFT_OK;
    for (int64_t i = 0; i < PEFT__COUNT(columns) && !status; i++) status = peft__bench_field(l, columns[i], "", 0);
    while (!status && l->t->count < l->limit) {
        int64_t n = 0;
        status = peft__csv_record(&c, &l->record, false, &n);
        if (status || !n) break;
        if (n != PEFT__COUNT(columns)) return peft__fail(l->b->ctx, PEFT_ERROR_FORMAT, "%s:%lld: %lld values, not 6", l->record.path,
                                                         (long long)l->record.line, (long long)n);
        status = peft__bench_add(l, NULL, &e);
    }
    return status;
}

// "The following are ... about  abstract algebra." with the two spaces of the reference implementation.
static peft_status peft__bench_mmlu_intro(peft__bench_loader *l) {
    l->text.size = 0;
    peft__string_puts(&l->text, "The following are multiple choice questions (with answers) about ");
    for (const char *p = l->t->name, *next; p; p = next ? next + 1 : NULL) {
        next = strchr(p, '_');
        peft__string_format(&l->text, " %.*s", next ? (int)(next - p) : (int)strlen(p), p);
    }
    peft__string_puts(&l->text, ".\n\n");
    l->t->intro = peft__bench_keep_text(l);
    return l->t->intro ? PEFT_OK : PEFT_ERROR_MEMORY;
}

// ---- BIG-Bench Hard: {"examples": [{"input", "target"}]} and a file of three worked examples

// What an answer is in a generated text. BBH: the last "answer is ..." or "answer is: ..." before the next
// question, up to the end of its line, without the full stop and the stars of Markdown; a text that never
// says so is the answer itself.
static void peft__bench_bbh_answer(const char **text, size_t *n) {
    static const char phrase[] = "answer is";
    const char *begin = *text, *end = begin + *n, *next = strstr(begin, "\n\nQ:");
    if (next && next < end) end = next;
    const char *found = NULL;
    for (const char *p = begin; (p = strstr(p, phrase)) != NULL && p + strlen(phrase) < end;) {
        p += strlen(phrase);
        if (*p == ' ' || *p == ':' || *p == '*') found = p;
    }
    if (!found) found = begin;
    while (found < end && (peft__bench_white(*found) || *found == '*' || (*found == ':' && found > begin)))
        found++;
    const char *line = (const char *)memchr(found, '\n', (size_t)(end - found));
    *text = found;
    *n = (size_t)((line ? line : end) - found);
    peft__bench_strip(text, n);
    while (*n && (*text)[*n - 1] == '*') --*n;
    if (*n && (*text)[*n - 1] == '.') --*n;
    while (*n && (*text)[*n - 1] == '*') --*n;
}

// One worked example; `direct`: its question and the answer alone.
static peft_status peft__bench_bbh_shot(peft__bench_loader *l, const char *text, size_t n) {
    l->text.size = 0;
    peft__string_append(&l->text, text, n);
    if (l->text.failed) return PEFT_ERROR_MEMORY;
    if (l->b->direct) {
        const char *answer = strstr(l->text.data, "\nA:");
        if (!answer) return peft__fail(l->b->ctx, PEFT_ERROR_FORMAT, "%s: an example without \"A:\"", l->record.path);
        size_t question = (size_t)(answer - l->text.data) + 3, size = l->text.size - question;
        const char *kept = answer + 3;
        peft__bench_bbh_answer(&kept, &size);
        memmove(l->text.data + question + 1, kept, size);
        l->text.data[question] = ' ';
        l->text.size = question + 1 + size;
    }
    peft__string_puts(&l->text, "\n\n");
    const char *shot = peft__bench_keep_text(l);
    if (shot) l->t->shots[l->t->shot_count++] = shot;
    return shot ? PEFT_OK : PEFT_ERROR_MEMORY;
}

static peft_status peft__bench_bbh_prompts(peft__bench_loader *l, const char *text, size_t n) {
    const char *line = strstr(text, "-----\n"), *end = text + n;
    const char *at = line ? line + 6 : text, *next = strstr(at, "\n\nQ: ");
    while (end > at && peft__bench_white(end[-1])) end--;
    l->text.size = 0;
    peft__string_append(&l->text, at, (size_t)((next ? next : end) - at));
    peft__string_puts(&l->text, "\n\n");
    l->t->intro = peft__bench_keep_text(l);
    int64_t most = 0;
    for (const char *p = next; p; p = strstr(p + 1, "\n\nQ: ")) most++;
    l->t->shots = peft__bench_strings(l, most);
    peft_status status = l->t->intro && l->t->shots ? PEFT_OK : PEFT_ERROR_MEMORY;
    for (; next && !status && l->t->shot_count < l->b->shots; next = at) {
        at = strstr(next + 2, "\n\nQ: ");
        status = peft__bench_bbh_shot(l, next + 2, (size_t)((at ? at : end) - (next + 2)));
    }
    return status;
}

static peft_status peft__bench_input(peft__bench_loader *l, const peft__json *example, const peft__json **input) {
    *input = peft__json_get(example, "input");
    if (peft__json_is(*input, PEFT__JSON_STRING)) return PEFT_OK;
    return peft__fail(l->b->ctx, PEFT_ERROR_FORMAT, "%s: example %lld has no input", l->record.path, (long long)l->t->count);
}

static peft_status peft__bench_bbh_example(peft__bench_loader *l, const peft__json *example) {
    const peft__json *input, *target = peft__json_get(example, "target");
    peft_benchmark_example *e = NULL;
    peft_status status = peft__bench_input(l, example, &input);
    l->record.count = 0;
    if (!status) status = peft__bench_field(l, "input", input->string, input->length);
    if (!status) status = peft__bench_add(l, NULL, &e);
    return !status && target ? peft__bench_texts(l, e, target) : status;
}

// ---- BIG-bench's JSON tasks

// output_regex, by default what comes before the end of a sentence.
static peft_status peft__bench_output_regex(peft__bench_loader *l, const peft__json *root) {
    const char *regex = peft__json_text(root, "output_regex", NULL), *stop = peft__json_text(root, "stop_string", NULL);
    if (stop) l->t->stop = peft__bench_keep(l, stop, strlen(stop));
    if (stop && !l->t->stop) return PEFT_ERROR_MEMORY;
    if (!regex) regex = stop ? "" : "[^.?!;\n]+";
    if (!*regex) return PEFT_OK;
    peft_status status = peft__regex_compile(l->b->ctx, regex, strlen(regex), 0, &l->t->output);
    char why[PEFT__ERROR_SIZE];
    memcpy(why, l->b->ctx->error, sizeof(why));
    if (status && status != PEFT_ERROR_MEMORY)
        return peft__fail(l->b->ctx, status, "%s: output_regex: %s", l->record.path, why);
    if (!status && l->t->output->slots > 4)
        return peft__fail(l->b->ctx, PEFT_ERROR_FORMAT,
                          "%s: output_regex has more than one group: which is the answer?", l->record.path);
    return status;
}

static bool peft__bench_has_metric(const peft__json *root, const char *name) {
    const peft__json *list = peft__json_get(root, "metrics");
    const char *preferred = peft__json_text(root, "preferred_score", NULL);
    if (preferred && strcmp(preferred, name) == 0) return true;
    for (const peft__json *v = !preferred && peft__json_is(list, PEFT__JSON_ARRAY) ? list->child : NULL; v; v = v->next)
        if (v->type == PEFT__JSON_STRING && strcmp(v->string, name) == 0) return true;
    return false;
}

// target_scores: {choice: what it is worth}. A choice begins with a space only if the prompt does not end with one.
static peft_status peft__bench_target_scores(peft__bench_loader *l, const peft__json *scores, bool space, peft_benchmark_example *e) {
    const char **names, **choices;
    double *worth = (double *)peft__arena_alloc(&l->b->arena, (scores->length + 1) * sizeof(double));
    if (peft__bench_own_choices(l, e, scores->length, &names, &choices) || !worth) return PEFT_ERROR_MEMORY;
    for (const peft__json *v = scores->child; v; v = v->next) {
        l->text.size = 0;
        peft__string_puts(&l->text, " ");
        peft__string_append(&l->text, v->key, v->key_length);
        const char *text = peft__bench_keep_text(l);
        if (!text) return PEFT_ERROR_MEMORY;
        int64_t k = e->choice_count++;
        names[k] = text + 1;
        choices[k] = space ? text : text + 1;
        worth[k] = v->type == PEFT__JSON_NUMBER ? v->number : 0;
        if (e->label < 0 || worth[k] > worth[e->label]) e->label = k;
    }
    e->choice_scores = worth;
    l->t->labelled = true;
    return PEFT_OK;
}

typedef struct peft__bench_affixes {
    const char *input, *output, *choice, *separator;
    bool append, graded;
} peft__bench_affixes;

// numpy's RandomState: the Mersenne Twister MT19937 (Matsumoto & Nishimura 1998), its first 624 numbers.
typedef struct peft__bench_twister {
    uint32_t state[624];
    int used;
} peft__bench_twister;

static void peft__bench_twister_seed(peft__bench_twister *t, uint32_t seed) {
    for (uint32_t i = 0; i < 624; i++, seed = 1812433253u * (seed ^ seed >> 30) + i) t->state[i] = seed;
    t->used = 624;
}

static uint32_t peft__bench_twister_next(peft__bench_twister *t) {
    uint32_t *s = t->state;
    for (int i = 0; t->used == 624 && i < 624; i++) {
        uint32_t y = (s[i] & 0x80000000u) | (s[(i + 1) % 624] & 0x7fffffffu);
        s[i] = s[(i + 397) % 624] ^ y >> 1 ^ (y & 1 ? 0x9908b0dfu : 0);
    }
    uint32_t y = s[t->used = t->used % 624];
    t->used++;
    y ^= y >> 11;
    y ^= y << 7 & 0x9d2c5680u;
    y ^= y << 15 & 0xefc60000u;
    return y ^ y >> 18;
}

static int peft__bench_key_order(const void *x, const void *y) {
    const peft__json *a = *(const peft__json *const *)x, *b = *(const peft__json *const *)y;
    int order = memcmp(a->key, b->key, PEFT__MIN(a->key_length, b->key_length));
    return order ? order : a->key_length < b->key_length ? -1 : a->key_length > b->key_length;
}

// The choices behind the question, in BIG-bench's order: numpy's
// RandomState(42).permutation(sorted(choices)). The shuffle goes from the last one down; its numbers below a
// bound are the next ones under the mask that are not above it.
static peft_status peft__bench_append_choices(peft__bench_loader *l, const char *prefix,
                                              const peft__json *scores) {
    peft__bench_twister twister;
    size_t n = 0;
    const peft__json **order = (const peft__json **)peft__calloc(l->b->ctx, (int64_t)scores->length + 1,
                                                                 sizeof(*order));
    if (!order) return PEFT_ERROR_MEMORY;
    for (const peft__json *v = scores->child; v; v = v->next) order[n++] = v;
    qsort((void *)order, n, sizeof(*order), peft__bench_key_order);
    peft__bench_twister_seed(&twister, 42);
    for (size_t i = n; i-- > 1;) {
        uint32_t mask = (uint32_t)i, j;
        for (int k = 1; k < 32; k *= 2) mask |= mask >> k;
        do j = peft__bench_twister_next(&twister) & mask;
        while (j > i);
        const peft__json *t = order[i];
        order[i] = order[j];
        order[j] = t;
    }
    for (size_t i = 0; i < n; i++) {
        peft__string_puts(&l->text, prefix);
        peft__string_append(&l->text, order[i]->key, order[i]->key_length);
    }
    peft__free(l->b->ctx, (void *)order);
    return PEFT_OK;
}

static peft_status peft__bench_json_question(peft__bench_loader *l, const peft__bench_affixes *a, const peft__json *example) {
    const peft__json *input, *scores = peft__json_get(example, "target_scores");
    peft_status status = peft__bench_input(l, example, &input);
    if (status) return status;
    l->text.size = 0;
    peft__string_puts(&l->text, a->input);
    peft__string_append(&l->text, input->string, input->length);
    if (scores && a->append) status = peft__bench_append_choices(l, a->choice, scores);
    if (status) return status;
    peft__string_puts(&l->text, a->output);
    if (!l->text.failed && memchr(l->text.data, 0, l->text.size))
        return peft__fail(l->b->ctx, PEFT_ERROR_FORMAT, "%s: a NUL character", l->record.path);
    return l->text.failed ? PEFT_ERROR_MEMORY : PEFT_OK;
}

static peft_status peft__bench_json_example(peft__bench_loader *l, const peft__bench_affixes *a, const peft__json *example) {
    const peft__json *scores = peft__json_get(example, "target_scores"), *target = peft__json_get(example, "target");
    peft_status status = peft__bench_json_question(l, a, example);
    if (status) return status;
    bool space = !l->text.size || !peft__bench_white(l->text.data[l->text.size - 1]);
    peft_benchmark_example *e = peft__bench_new(l, NULL, l->text.data, l->text.size);
    if (!e) return PEFT_ERROR_MEMORY;
    if (peft__json_is(scores, PEFT__JSON_OBJECT) && scores->child) {
        status = peft__bench_target_scores(l, scores, space, e);
        if (status || a->graded) return status;
        const char *best = e->names[e->label];  // exact_str_match of a task with choices: the text of the best
        e->choices = e->names = NULL;
        e->choice_count = 0;
        e->choice_scores = NULL;
        e->label = -1;
        return peft__bench_reference(l, e, best, strlen(best));
    }
    return target ? peft__bench_texts(l, e, target) : PEFT_OK;
}

// The first shots + 1 examples with their answers, so that each of them can do without itself.
static peft_status peft__bench_own_shots(peft__bench_loader *l, const char *separator) {
    peft__bench_task *t = l->t;
    int64_t count = l->b->shots > 0 ? PEFT__MIN(l->b->shots + 1, t->count) : 0;
    t->shots = peft__bench_strings(l, count);
    t->own_shots = true;
    if (!t->shots) return PEFT_ERROR_MEMORY;
    for (; t->shot_count < count; t->shot_count++) {
        const peft_benchmark_example *e = &t->examples[t->shot_count];
        const char *answer = e->label >= 0 ? e->choices[e->label] : e->reference_count ? e->references[0] : "";
        l->text.size = 0;
        peft__string_format(&l->text, "%s%s%s", e->question, answer, separator);
        t->shots[t->shot_count] = peft__bench_keep_text(l);
        if (!t->shots[t->shot_count]) return PEFT_ERROR_MEMORY;
    }
    return PEFT_OK;
}

static peft_status peft__bench_json_task(peft__bench_loader *l, const peft__json *root, const peft__json *list) {
    peft__bench_affixes a;
    a.input = peft__json_text(root, "example_input_prefix", "\nQ: ");
    a.output = peft__json_text(root, "example_output_prefix", "\nA: ");
    a.choice = peft__json_text(root, "choice_prefix", "\n  choice: ");
    a.separator = peft__json_text(root, "few_shot_example_separator", "\n");
    a.append = peft__json_bool(root, "append_choices_to_input", true);
    a.graded = peft__bench_has_metric(root, "multiple_choice_grade");
    const char *prefix = peft__json_text(root, "task_prefix", "");
    l->t->spec.metric = a.graded ? PEFT__BENCH_CHOICE_GRADE : PEFT__BENCH_STRING_MATCH;
    l->t->intro = peft__bench_keep(l, prefix, strlen(prefix));
    peft_status status = l->t->intro ? peft__bench_output_regex(l, root) : PEFT_ERROR_MEMORY;
    for (const peft__json *v = list->child; v && !status && l->t->count < l->limit; v = v->next)
        status = peft__bench_json_example(l, &a, v);
    return status ? status : peft__bench_own_shots(l, a.separator);
}

// A file that is one object with a list "examples": BIG-Bench Hard's and BIG-bench's.
static peft_status peft__bench_read_examples(peft__bench_loader *l, const char *text, size_t size) {
    peft__json *root = NULL;
    peft__arena all;
    peft__arena_init(&all, l->b->ctx);
    peft_status status = peft__json_parse(l->b->ctx, &all, text, size, l->record.path, &root);
    const peft__json *list = status ? NULL : peft__json_get(root, "examples");
    if (!status && !peft__json_is(list, PEFT__JSON_ARRAY))
        status = peft__fail(l->b->ctx, PEFT_ERROR_FORMAT, "%s: no list \"examples\"", l->record.path);
    if (!status && l->t->spec.reader == PEFT__BENCH_JSON_TASK) status = peft__bench_json_task(l, root, list);
    else for (const peft__json *v = status ? NULL : list->child; v && !status && l->t->count < l->limit; v = v->next)
        status = peft__bench_bbh_example(l, v);
    peft__arena_free(&all);
    return status;
}

// ---- loading: one task, all tasks

static peft_status peft__bench_read(peft__bench_loader *l, const char *path) {
    char *text = NULL;
    size_t size = 0;
    peft_status status = peft__read_all(l->b->ctx, path, &text, &size);
    if (status) return status;
    size_t mark = peft__utf8_mark(text, size);
    l->record.path = path;
    l->record.line = 0;
    l->record.count = 0;
    switch (l->t->spec.reader) {
    case PEFT__BENCH_TSV: status = peft__bench_read_tsv(l, text + mark, size - mark); break;
    case PEFT__BENCH_SUMMARY: status = peft__bench_read_summaries(l, text + mark, size - mark); break;
    case PEFT__BENCH_MMLU: status = peft__bench_read_mmlu(l, text + mark, size - mark); break;
    case PEFT__BENCH_BBH:
    case PEFT__BENCH_JSON_TASK: status = peft__bench_read_examples(l, text + mark, size - mark); break;
    default: status = peft__bench_read_jsonl(l, text + mark, size - mark); break;
    }
    peft__free(l->b->ctx, text);
    return status;
}

// Shots from another split (GLUE and SuperGLUE: train; MMLU: dev): its first examples with the text of their right choices.
static peft_status peft__bench_other_shots(peft__bench_loader *l, const char *split) {
    peft__bench_task *t = l->t, kept = *t;
    const char *path = NULL, *first = NULL;
    if (l->b->shots <= 0) return PEFT_OK;
    peft_status status = peft__bench_find(l, t->spec.files, split, &path, &first);
    if (status || !path) {
        t->missing = true;
        t->file = first;
        return status;
    }
    int64_t limit = l->limit;
    l->limit = l->b->shots;
    t->examples = NULL;
    t->count = t->capacity = 0;
    status = peft__bench_read(l, path);
    l->limit = limit;
    const char **shots = status ? NULL : peft__bench_strings(l, t->count);
    int64_t n = 0;
    for (int64_t i = 0; shots && i < t->count; i++) {
        const peft_benchmark_example *e = &t->examples[i];
        const char *right = e->reference_count ? e->references[0] : NULL;
        if (e->label >= 0) right = e->choices ? e->choices[e->label] : e->names[e->label];
        if (!right) continue;
        l->text.size = 0;
        peft__string_format(&l->text, "%s%s%s\n\n", e->question, right[0] == ' ' ? "" : " ", right);
        shots[n] = peft__bench_keep_text(l);
        if (!shots[n++]) status = PEFT_ERROR_MEMORY;
    }
    peft__free(l->b->ctx, t->examples);
    *t = kept;
    t->shots = shots;
    t->shot_count = n;
    return status || shots ? status : PEFT_ERROR_MEMORY;
}

static peft_status peft__bench_bbh_open(peft__bench_loader *l) {
    const char *path = NULL, *first = NULL;
    char *text = NULL;
    size_t size = 0;
    peft_status status = peft__bench_find(l, "cot-prompts/%.txt|../cot-prompts/%.txt", "", &path, &first);
    if (status) return status;
    if (!path) {
        l->t->missing = l->b->shots > 0;
        if (l->t->missing) l->t->file = first;
        return PEFT_OK;
    }
    l->record.path = path;
    status = peft__read_all(l->b->ctx, path, &text, &size);
    if (!status) status = peft__bench_bbh_prompts(l, text, size);
    peft__free(l->b->ctx, text);
    return status;
}

// What a task's examples share: its choices, its intro, its shots.
static peft_status peft__bench_prepare(peft__bench_loader *l) {
    peft__bench_task *t = l->t;
    bool t5 = l->b->style == PEFT_PROMPT_T5;
    const char *choices = t5 ? t->spec.t5_choices : t->spec.choices;
    int64_t n = 0;
    peft_status status = PEFT_OK;
    t->intro = "";
    t->max_new_tokens = 16;
    t->stop = t5 ? NULL : "\n";
    switch (t->spec.reader) {
    case PEFT__BENCH_MMLU:
        t->names = peft__bench_letters;
        t->choices = peft__bench_letter_choices;
        t->choice_count = 4;
        status = peft__bench_mmlu_intro(l);
        return status ? status : peft__bench_other_shots(l, "dev");
    case PEFT__BENCH_BBH:
        t->max_new_tokens = l->b->direct ? 128 : 512;
        t->stop = l->b->direct ? "\n" : "\n\nQ:";
        return peft__bench_bbh_open(l);
    case PEFT__BENCH_JSON_TASK:
        t->max_new_tokens = 64;
        t->stop = NULL;
        return PEFT_OK;
    case PEFT__BENCH_HELM:
        t->max_new_tokens = t->spec.metric == PEFT__BENCH_ROUGE_2 ? 128 : 64;
        if (t->spec.metric == PEFT__BENCH_ROUGE_2) t->stop = NULL;
        return PEFT_OK;
    case PEFT__BENCH_SUMMARY:
        t->max_new_tokens = 128;
        t->stop = NULL;
        return PEFT_OK;
    default: break;
    }
    if (t->spec.labels) status = peft__bench_list(&l->b->arena, t->spec.labels, &t->names, &t->choice_count);
    if (!status && choices) status = peft__bench_list(&l->b->arena, choices, &t->choices, &n);
    if (!status && t->spec.labels && !choices) t->choices = t->names;
    return status ? status : peft__bench_other_shots(l, "train");
}

static peft_status peft__bench_load_task(peft__bench_loader *l) {
    peft__bench_task *t = l->t;
    const char *path = NULL;
    bool t5 = l->b->style == PEFT_PROMPT_T5;
    peft_status status = peft__bench_find(l, t->spec.files, l->b->split, &path, &t->file);
    if (status) return status;
    t->missing = path == NULL;
    if (t->missing) return PEFT_OK;
    peft__arena_reset(&l->line);
    peft__arena parts;
    peft__arena_init(&parts, l->b->ctx);
    peft__map_init(&l->groups, l->b->ctx);
    status = peft__template_split(l->b->ctx, &parts, "prompt", t5 ? t->spec.t5 : t->spec.plain, false, &l->prompt);
    if (!status) status = peft__bench_prepare(l);
    if (!status && !t->missing) {
        t->file = path;
        peft__map_free(&l->groups);  // the shots' groups
        t->groups = 0;
        t->labelled = false;
        status = peft__bench_read(l, path);
    }
    peft__map_free(&l->groups);
    peft__arena_free(&parts);
    return status;
}

static void peft__bench_named_spec(const peft_benchmark *b, const peft__bench_named *named, peft__bench_task *t) {
    const peft__bench_family *f = b->family;
    t->group = named->group;
    t->spec.name = named->name;
    t->spec.metric = named->metric;
    t->spec.reader = f->reader;
    t->spec.files = f->files;
    t->spec.plain = t->spec.t5 = f->reader == PEFT__BENCH_BBH && b->direct ? "Q: {{input}}\nA:" : f->prompt;
}

// The task of this name; false: the benchmark has none. A BIG-bench task may have any name.
static bool peft__bench_task_init(const peft_benchmark *b, const char *name, peft__bench_task *t) {
    const peft__bench_family *f = b->family;
    memset(t, 0, sizeof(*t));
    t->name = name;
    t->group = "";
    for (int64_t i = 0; i < f->count; i++) {
        if (f->specs && strcmp(f->specs[i].name, name) == 0) {
            t->spec = f->specs[i];
            return true;
        }
        if (f->named && strcmp(f->named[i].name, name) == 0) {
            peft__bench_named_spec(b, &f->named[i], t);
            return true;
        }
    }
    peft__bench_named other = {name, "", PEFT__BENCH_STRING_MATCH};
    if (f->reader != PEFT__BENCH_JSON_TASK || !*name) return false;
    peft__bench_named_spec(b, &other, t);
    return true;
}

static peft_status peft__bench_choose(peft_benchmark *b, const char *tasks) {
    int64_t n = b->family->count;
    if (tasks) {
        n = 1;
        for (const char *p = tasks; *p; p++) n += *p == ',';
    }
    b->tasks = (peft__bench_task *)peft__calloc(b->ctx, n, sizeof(peft__bench_task));
    if (!b->tasks) return PEFT_ERROR_MEMORY;
    for (int64_t i = 0; i < n; i++) {
        const char *name = b->family->specs ? b->family->specs[tasks ? 0 : i].name : b->family->named[tasks ? 0 : i].name;
        if (tasks) {
            const char *stop = strchr(tasks, ',');
            size_t size = stop ? (size_t)(stop - tasks) : strlen(tasks);
            const char *at = tasks;
            tasks += size + (stop ? 1 : 0);
            peft__bench_strip(&at, &size);
            name = peft__arena_strdup(&b->arena, at, size);
            if (!name) return PEFT_ERROR_MEMORY;
        }
        if (!peft__bench_task_init(b, name, &b->tasks[b->count]))
            return peft__fail(b->ctx, PEFT_ERROR_ARGUMENT, "%s has no task \"%s\"", b->family->name, name);
        b->count++;
    }
    return PEFT_OK;
}

// The files that are not there, as many as a line holds: an error when they are all, else a line of the log.
static peft_status peft__bench_missing(peft_benchmark *b) {
    char text[PEFT__ERROR_SIZE - 64] = "";
    size_t used = 0;
    int64_t missing = 0, named = 0;
    for (int64_t i = 0; i < b->count; i++) {
        const char *file = b->tasks[i].file;
        if (!b->tasks[i].missing || missing++ > named || used + strlen(file) + 30 >= sizeof(text)) continue;
        peft__string_into(text + used, sizeof(text) - used, "%s%s", named++ ? ", " : "", file);
        used += strlen(text + used);
    }
    if (missing > named) peft__string_into(text + used, sizeof(text) - used, " and %lld more", (long long)(missing - named));
    if (missing == b->count) return peft__fail(b->ctx, PEFT_ERROR_MISSING, "not found: %s", text);
    if (missing) peft__log(b->ctx, "left out, as not found: %s", text);
    return PEFT_OK;
}

static peft_status peft__bench_load_all(peft_benchmark *b, const char *folder) {
    peft__bench_loader l;
    memset(&l, 0, sizeof(l));
    l.b = b;
    l.folder = folder;
    l.limit = b->limit;
    l.record.ctx = b->ctx;
    peft__string_init(&l.text, b->ctx);
    peft__arena_init(&l.line, b->ctx);
    peft_status status = PEFT_OK;
    for (int64_t i = 0; i < b->count && !status; i++) {
        l.t = &b->tasks[i];
        status = peft__bench_load_task(&l);
    }
    peft__string_free(&l.text);
    peft__arena_free(&l.line);
    peft__free(b->ctx, l.record.fields);
    return status ? status : peft__bench_missing(b);
}

static void peft__bench_split(peft_benchmark *b, const char *split) {
    static const char *const development[] = {"dev", "val", "valid", "validation"};
    const char *name = split ? split : b->family->split;
    for (int64_t i = 0; i < PEFT__COUNT(development) && b->family->development; i++)
        if (strcmp(name, development[i]) == 0) name = b->family->development;
    peft__string_into(b->split, sizeof(b->split), "%s", name);
}

PEFTDEF peft_status peft_benchmark_load(const peft_benchmark_desc *desc, peft_benchmark **out) {
    *out = NULL;
    peft_context *ctx = desc->context;
    if (!ctx) return PEFT_ERROR_ARGUMENT;
    const peft__bench_family *family = NULL;
    for (int64_t i = 0; i < PEFT__COUNT(peft__bench_families); i++)
        if (desc->name && strcmp(desc->name, peft__bench_families[i].name) == 0) family = &peft__bench_families[i];
    if (!family) return peft__fail(ctx, PEFT_ERROR_ARGUMENT, "no benchmark \"%s\"", desc->name);
    if (!desc->folder || desc->limit < 0 || desc->max_new_tokens < 0 || (desc->split && strlen(desc->split) > 30))
        return peft__fail(ctx, PEFT_ERROR_ARGUMENT, "peft_benchmark_load: %s",
                          !desc->folder ? "no folder" : desc->limit < 0 ? "limit is negative"
                          : desc->max_new_tokens < 0 ? "max_new_tokens is negative" : "split is too long");
    peft_benchmark *b = (peft_benchmark *)peft__calloc(ctx, 1, sizeof(*b));
    if (!b) return PEFT_ERROR_MEMORY;
    b->ctx = ctx;
    b->family = family;
    b->shots = desc->shots < 0 ? 0 : desc->shots ? desc->shots : family->shots;
    b->limit = desc->limit ? desc->limit : INT64_MAX;
    b->max_new_tokens = desc->max_new_tokens;
    b->style = desc->style;
    b->direct = desc->direct;
    peft__arena_init(&b->arena, ctx);
    peft__bench_split(b, desc->split);
    peft_status status = peft__bench_choose(b, desc->tasks);
    if (!status) status = peft__bench_load_all(b, desc->folder);
    if (status) peft_benchmark_destroy(b);
    else *out = b;
    return status;
}

PEFTDEF void peft_benchmark_destroy(peft_benchmark *b) {
    if (!b) return;
    for (int64_t i = 0; i < b->count; i++) {
        peft__free(b->ctx, b->tasks[i].examples);
        peft__regex_free(b->tasks[i].output);
    }
    peft__free(b->ctx, b->tasks);
    peft__arena_free(&b->arena);
    peft__free(b->ctx, b);
}

// ---- looking at it

static const peft__bench_task *peft__bench_at(const peft_benchmark *b, int64_t task) {
    return b && task >= 0 && task < b->count ? &b->tasks[task] : NULL;
}

PEFTDEF int64_t peft_benchmark_task_count(const peft_benchmark *b) {
    return b ? b->count : 0;
}

PEFTDEF peft_benchmark_task peft_benchmark_task_at(const peft_benchmark *b, int64_t task) {
    peft_benchmark_task out;
    const peft__bench_task *t = peft__bench_at(b, task);
    memset(&out, 0, sizeof(out));
    if (!t) return out;
    out.name = t->name;
    out.group = t->group;
    out.file = t->file;
    out.examples = t->count;
    out.missing = t->missing;
    out.labelled = t->labelled;
    out.diagnostic = t->spec.diagnostic;
    return out;
}

PEFTDEF const peft_benchmark_example *peft_benchmark_example_at(const peft_benchmark *b, int64_t task, int64_t i) {
    const peft__bench_task *t = peft__bench_at(b, task);
    return t && i >= 0 && i < t->count ? &t->examples[i] : NULL;
}

static peft_status peft__bench_prompt(const peft__bench_task *t, int64_t i, int64_t shots, const char *question, peft__string *out) {
    out->size = 0;
    peft__string_puts(out, t->intro);
    int64_t most = t->own_shots && t->shot_count ? t->shot_count - 1 : t->shot_count;
    shots = shots < 0 ? most : PEFT__MIN(shots, most);
    for (int64_t k = 0; k < t->shot_count && shots > 0; k++) {
        if (t->own_shots && k == i) continue;
        peft__string_puts(out, t->shots[k]);
        shots--;
    }
    peft__string_puts(out, question);
    return out->failed ? PEFT_ERROR_MEMORY : PEFT_OK;
}

PEFTDEF peft_status peft_benchmark_prompt(const peft_benchmark *b, int64_t task, int64_t i, int64_t shots, char **prompt) {
    *prompt = NULL;
    const peft_benchmark_example *e = peft_benchmark_example_at(b, task, i);
    if (!b) return PEFT_ERROR_ARGUMENT;
    if (!e) return peft__fail(b->ctx, PEFT_ERROR_ARGUMENT, "task %lld has no example %lld", (long long)task, (long long)i);
    peft__string s;
    peft__string_init(&s, b->ctx);
    peft_status status = peft__bench_prompt(&b->tasks[task], i, shots, e->question, &s);
    if (status) peft__string_free(&s);
    else *prompt = s.data;
    return status;
}

static peft_status peft__bench_copy(peft_context *ctx, const char *text, size_t n, char **out) {
    *out = (char *)peft__alloc(ctx, n + 1);
    if (!*out) return PEFT_ERROR_MEMORY;
    memcpy(*out, text, n);
    (*out)[n] = 0;
    return PEFT_OK;
}

PEFTDEF peft_status peft_text_copy(peft_context *ctx, const char *text, char **out) {
    return peft__bench_copy(ctx, text, strlen(text), out);
}

// As Python's re.findall(output, text)[0]: the match, or its group if there is one; nothing where nothing
// matches.
static peft_status peft__bench_find_output(const peft__bench_task *t, const char **text, size_t *n) {
    size_t at[4] = {0, 0, 0, 0};
    peft__regex_scratch scratch;
    peft__regex_scratch_init(&scratch, t->output->ctx);
    peft_status status = peft__regex_begin(&scratch, t->output, *text, *n);
    bool found = !status && peft__regex_match(&scratch, 0, PEFT__REGEX_SEARCH, at);
    const size_t *part = t->output->slots == 4 ? at + 2 : at;
    *n = found && part[0] != SIZE_MAX ? part[1] - part[0] : 0;
    if (*n) *text += part[0];
    peft__regex_scratch_free(&scratch);
    return status;
}

// The part of a generated text that counts as the answer.
static peft_status peft__bench_answer(const peft__bench_task *t, const char **text, size_t *n) {
    peft_status status = PEFT_OK;
    if (t->spec.metric == PEFT__BENCH_ANSWER) {
        peft__bench_bbh_answer(text, n);
        return PEFT_OK;
    }
    const char *stop = t->stop && *t->stop ? strstr(*text, t->stop) : NULL;
    size_t lead = 0;
    while (lead < *n && peft__bench_white((*text)[lead])) lead++;
    if (stop && stop < *text + lead) stop = strstr(*text + lead, t->stop);  // an answer on the next line
    if (stop) *n = (size_t)(stop - *text);
    peft__bench_strip(text, n);
    if (t->output) status = peft__bench_find_output(t, text, n);
    peft__bench_strip(text, n);
    return status;
}

PEFTDEF peft_status peft_benchmark_extract(const peft_benchmark *b, int64_t task, const char *generated, char **answer) {
    *answer = NULL;
    const peft__bench_task *t = peft__bench_at(b, task);
    if (!t || !generated) return b ? peft__fail(b->ctx, PEFT_ERROR_ARGUMENT, "no task %lld", (long long)task) : PEFT_ERROR_ARGUMENT;
    const char *text = generated;
    size_t n = strlen(text);
    peft_status status = peft__bench_answer(t, &text, &n);
    return status ? status : peft__bench_copy(b->ctx, text, n, answer);
}

// ---- scoring

// The choice that an answer means: its name, its text, or (of generated text) the longest choice that it begins with. -1: none.
static int64_t peft__bench_choice(const peft_benchmark_example *e, const char *text, size_t n) {
    int64_t best = -1;
    size_t longest = 0;
    for (int64_t k = 0; k < e->choice_count; k++)
        if (peft__bench_same(e->names[k], text, n)) return k;
    if (e->choice_count == 2 && peft__bench_same(e->names[0], "false", 5) && n == 1 && (*text == '0' || *text == '1'))
        return *text - '0';
    for (int64_t k = 0; k < 2 * e->choice_count; k++) {
        const char *choice = k % 2 || !e->choices ? e->names[k / 2] : e->choices[k / 2];
        size_t size = strlen(choice);
        peft__bench_strip(&choice, &size);
        if (size <= longest || size > n) continue;
        bool word = size == n || !((peft__lower(text[size]) >= 'a' && peft__lower(text[size]) <= 'z') || peft__bench_digit(text[size]) ||
                                   text[size] == '_');
        if (!word || !peft__bench_alike(choice, text, size)) continue;
        best = k / 2;
        longest = size;
    }
    return best;
}

// The first number of a text, 0 when there is none.
static double peft__bench_number(const char *text, size_t n) {
    char number[40];
    size_t i = 0, k = 0;
    while (i < n && !peft__bench_digit(text[i])) i++;
    bool negative = i > 0 && text[i - 1] == '-';
    for (; i < n && k + 1 < sizeof(number); i++) {
        bool exponent_sign = k > 0 && text[i] == '-' && text[i - 1] == 'e';
        if (!peft__bench_digit(text[i]) && text[i] != '.' && text[i] != 'e' && !exponent_sign) break;
        number[k++] = text[i];
    }
    number[k] = 0;
    double v = k ? strtod(number, NULL) : 0;
    return negative ? -v : v;
}

// Lists of named values have room for PEFT_BENCHMARK_METRICS.
PEFT__NOINLINE void peft__bench_put_value(peft_named_value *list, int *count, const char *name, double value) {
    if (*count == PEFT_BENCHMARK_METRICS) return;
    peft_named_value *v = &list[(*count)++];
    peft__string_into(v->name, sizeof(v->name), "%s", name);
    v->value = value;
}

static void peft__bench_metric(peft_benchmark_result *r, const char *name, double value) {
    peft__bench_put_value(r->metrics, &r->metric_count, name, value);
}

typedef struct peft__bench_answers {  // of one task, in the form that its metric takes
    const peft__bench_task *t;
    peft_context *ctx;
    peft__arena arena;
    int64_t count;                // examples with a known right answer
    int32_t *predicted, *expected;
    int64_t *group;
    const char **texts, **references;
    int64_t per;                  // references per text
    double *values, *truths;
    const peft_benchmark_example **examples;
} peft__bench_answers;

static bool peft__bench_known(const peft__bench_task *t, const peft_benchmark_example *e) {
    return t->labelled && (e->label >= 0 || e->reference_count > 0 || t->spec.metric >= PEFT__BENCH_RECIPROCAL_RANK);
}

static peft_status peft__bench_answers_alloc(peft__bench_answers *a) {
    size_t n = (size_t)PEFT__MAX(a->count, 1);
    a->predicted = (int32_t *)peft__arena_alloc(&a->arena, n * sizeof(int32_t));
    a->expected = (int32_t *)peft__arena_alloc(&a->arena, n * sizeof(int32_t));
    a->group = (int64_t *)peft__arena_alloc(&a->arena, n * sizeof(int64_t));
    a->texts = (const char **)peft__arena_alloc(&a->arena, n * sizeof(char *));
    a->references = (const char **)peft__arena_alloc(&a->arena, n * (size_t)PEFT__MAX(a->per, 1) * sizeof(char *));
    a->values = (double *)peft__arena_alloc(&a->arena, n * sizeof(double));
    a->truths = (double *)peft__arena_alloc(&a->arena, n * sizeof(double));
    a->examples = (const peft_benchmark_example **)peft__arena_alloc(&a->arena, n * sizeof(void *));
    bool ok = a->predicted && a->expected && a->group && a->texts && a->references && a->values && a->truths && a->examples;
    return ok ? PEFT_OK : PEFT_ERROR_MEMORY;
}

static peft_status peft__bench_collect(peft__bench_answers *a, const char *const *predictions) {
    const peft__bench_task *t = a->t;
    for (int64_t i = 0; i < t->count; i++) {
        if (!peft__bench_known(t, &t->examples[i])) continue;
        a->count++;
        a->per = PEFT__MAX(a->per, t->examples[i].reference_count);
    }
    peft_status status = peft__bench_answers_alloc(a);
    int64_t n = 0;
    for (int64_t i = 0; i < t->count && !status; i++) {
        const peft_benchmark_example *e = &t->examples[i];
        if (!peft__bench_known(t, e)) continue;
        const char *text = predictions[i] ? predictions[i] : "";
        size_t size = strlen(text);
        status = peft__bench_answer(t, &text, &size);
        int64_t chosen = predictions[i] && e->choice_count ? peft__bench_choice(e, text, size) : -1;
        // no answer, or one that is no choice, counts as a wrong choice
        if (chosen < 0 && e->label >= 0 && e->choice_count > 1) a->predicted[n] = (int32_t)((e->label + 1) % e->choice_count);
        else a->predicted[n] = (int32_t)PEFT__MAX(chosen, 0);
        a->expected[n] = (int32_t)PEFT__MAX(e->label, 0);
        a->values[n] = t->spec.metric == PEFT__BENCH_CHOICE_GRADE ? (chosen >= 0 && e->choice_scores ? e->choice_scores[chosen] : 0)
                                                                  : peft__bench_number(text, size);
        a->truths[n] = e->value;
        a->group[n] = e->group;
        a->examples[n] = e;
        a->texts[n] = peft__arena_strdup(&a->arena, text, size);
        if (e->choices && chosen >= 0)
            a->texts[n] = e->names && t->spec.metric < PEFT__BENCH_RECIPROCAL_RANK ? e->names[chosen] : a->texts[n];
        if (!a->texts[n]) status = status ? status : PEFT_ERROR_MEMORY;
        for (int64_t k = 0; k < a->per; k++)  // examples with fewer references repeat the last
            a->references[n * a->per + k] = e->reference_count ? e->references[PEFT__MIN(k, e->reference_count - 1)] : "";
        n++;
    }
    return status;
}

static peft_status peft__bench_score_labels(const peft__bench_answers *a, peft_benchmark_result *r) {
    peft_class_desc d;
    peft_class_result c;
    memset(&d, 0, sizeof(d));
    d.context = a->ctx;
    d.predictions = a->predicted;
    d.labels = a->expected;
    d.count = a->count;
    int most = 2;
    for (int64_t i = 0; i < a->count; i++) most = PEFT__MAX(most, (int)a->examples[i]->choice_count);
    d.classes = most;
    peft_status status = peft_classification(&d, &c);
    if (status) return status;
    int metric = a->t->spec.metric;
    if (metric == PEFT__BENCH_MATTHEWS) peft__bench_metric(r, "matthews", c.mcc);
    if (metric == PEFT__BENCH_F1_ACCURACY) peft__bench_metric(r, "f1", c.binary.f1);
    peft__bench_metric(r, "accuracy", c.accuracy);
    if (metric == PEFT__BENCH_ACCURACY_MACRO) peft__bench_metric(r, "f1", c.macro.f1);
    r->averaged = metric == PEFT__BENCH_F1_ACCURACY || metric == PEFT__BENCH_ACCURACY_MACRO ? 2 : 1;
    return PEFT_OK;
}

// AX-g: pairs that differ in the gender of a pronoun only, the share of pairs with equal answers.
static peft_status peft__bench_score_parity(peft__bench_answers *a, peft_benchmark_result *r) {
    int64_t groups = a->t->groups, same = 0;
    int32_t *first = (int32_t *)peft__arena_alloc(&a->arena, (size_t)(groups + 1) * sizeof(int32_t));
    if (!first) return PEFT_ERROR_MEMORY;
    for (int64_t g = 0; g < groups; g++) first[g] = -1;
    for (int64_t i = 0; i < a->count; i++) {
        int32_t *f = &first[a->group[i]];
        *f = *f == -1 || *f == a->predicted[i] ? a->predicted[i] : -2;
    }
    int64_t seen = 0;
    for (int64_t g = 0; g < groups; g++) seen += first[g] != -1, same += first[g] >= 0;
    peft_status status = peft__bench_score_labels(a, r);
    if (!status) peft__bench_metric(r, "gender parity", seen ? (double)same / (double)seen : 0);
    return status;
}

// A constant series has no correlation; leaderboards count that as 0.
static peft_status peft__bench_score_correlation(const peft__bench_answers *a, peft_benchmark_result *r) {
    double pearson = 0, spearman = 0;
    char kept[PEFT__ERROR_SIZE];
    memcpy(kept, a->ctx->error, sizeof(kept));
    peft_status status = peft_pearson(a->ctx, a->values, a->truths, a->count, &pearson);
    if (!status) status = peft_spearman(a->ctx, a->values, a->truths, a->count, &spearman);
    if (status == PEFT_ERROR_NUMERIC) {
        status = PEFT_OK;
        memcpy(a->ctx->error, kept, sizeof(kept));
    }
    peft__bench_metric(r, "pearson", pearson);
    peft__bench_metric(r, "spearman", spearman);
    r->averaged = 2;
    return status;
}

static peft_status peft__bench_squad(const peft__bench_answers *a, bool sets, peft_answer_result *result) {
    peft_text_desc d;
    memset(&d, 0, sizeof(d));
    d.context = a->ctx;
    d.predictions = a->texts;
    d.references = a->references;
    d.count = a->count;
    d.references_per_prediction = (int)a->per;
    return sets ? peft_squad_sets(&d, result) : peft_squad(&d, result);
}

// ReCoRD's F1 and exact match; HELM's quasi-exact match.
static peft_status peft__bench_score_squad(const peft__bench_answers *a, peft_benchmark_result *r) {
    bool record = a->t->spec.metric == PEFT__BENCH_RECORD;
    peft_answer_result answers;
    peft_status status = peft__bench_squad(a, !record, &answers);
    if (status) return status;
    if (record) peft__bench_metric(r, "f1", answers.f1);
    peft__bench_metric(r, record ? "exact_match" : "quasi_exact_match", answers.exact_match);
    r->averaged = record ? 2 : 1;
    return PEFT_OK;
}

// Texts that equal a reference byte for byte, white space around apart. No text is no answer.
static double peft__bench_equal(const peft__bench_answers *a) {
    double right = 0;
    for (int64_t i = 0; i < a->count; i++) {
        bool equal = false;
        for (int64_t k = 0; k < a->per; k++) {
            const char *reference = a->references[i * a->per + k], *text = a->texts[i];
            size_t m = strlen(reference), n = strlen(text);
            peft__bench_strip(&reference, &m);
            peft__bench_strip(&text, &n);
            equal = equal || (n > 0 && m == n && memcmp(reference, text, n) == 0);
        }
        right += equal;
    }
    return right / (double)a->count;
}

// HELM's F1: of the sets of words after SQuAD's normalization, the best over the references.
static peft_status peft__bench_score_set_f1(const peft__bench_answers *a, peft_benchmark_result *r) {
    peft_answer_result answers;
    peft_status status = peft__bench_squad(a, true, &answers);
    if (!status) peft__bench_metric(r, "f1_score", answers.f1);
    return status;
}

static peft_status peft__bench_score_rouge(const peft__bench_answers *a, peft_benchmark_result *r) {
    peft_rouge_desc d;
    peft_rouge_result rouge;
    memset(&d, 0, sizeof(d));
    d.context = a->ctx;
    d.predictions = a->texts;
    d.references = a->references;
    d.count = a->count;
    d.references_per_prediction = (int)a->per;
    d.use_stemmer = true;
    d.split_summaries = true;
    peft_status status = peft_rouge(&d, &rouge);
    if (status) return status;
    if (a->t->spec.metric == PEFT__BENCH_ROUGE_2) peft__bench_metric(r, "rouge_2", rouge.mean.rouge2.f1);
    peft__bench_metric(r, "rouge1", rouge.mean.rouge1.f1);
    if (a->t->spec.metric != PEFT__BENCH_ROUGE_2) peft__bench_metric(r, "rouge2", rouge.mean.rouge2.f1);
    peft__bench_metric(r, "rougeL", rouge.mean.rougeL.f1);
    peft__bench_metric(r, "rougeLsum", rouge.mean.rougeLsum.f1);
    r->averaged = a->t->spec.metric == PEFT__BENCH_ROUGE_2 ? 1 : 3;
    return PEFT_OK;
}

typedef struct peft__bench_ranked {
    int64_t group, index;
    double score, gain;
} peft__bench_ranked;

static int peft__bench_rank_compare(const void *x, const void *y) {
    const peft__bench_ranked *a = (const peft__bench_ranked *)x, *b = (const peft__bench_ranked *)y;
    if (a->group != b->group) return a->group < b->group ? -1 : 1;
    if (a->score != b->score) return a->score > b->score ? -1 : 1;
    return a->index < b->index ? -1 : a->index > b->index;
}

// Over the first 10 of a ranking: the reciprocal rank of the first relevant one; gain / log2(1 + rank) summed.
static void peft__bench_ranking(const peft__bench_ranked *list, int64_t n, double *reciprocal, double *gain) {
    *reciprocal = *gain = 0;
    for (int64_t i = 0; i < PEFT__MIN(n, (int64_t)10); i++) {
        if (list[i].gain > 0 && *reciprocal == 0) *reciprocal = 1 / (double)(i + 1);
        *gain += list[i].gain / log2((double)(i + 2));
    }
}

// RR@10 and NDCG@10 (linear gains, as trec_eval), means over queries.
static peft_status peft__bench_score_ranking(peft__bench_answers *a, peft_benchmark_result *r) {
    peft__bench_ranked *list = (peft__bench_ranked *)peft__arena_alloc(&a->arena, (size_t)a->count * sizeof(peft__bench_ranked));
    double *gains = (double *)peft__arena_alloc(&a->arena, (size_t)(a->t->groups + 1) * sizeof(double));
    double rr = 0, ndcg = 0, queries = 0;
    if (!list || !gains) return PEFT_ERROR_MEMORY;
    for (int ideal = 0; ideal < 2; ideal++) {  // as ranked, then in the best order
        for (int64_t i = 0; i < a->count; i++) {
            list[i].group = a->group[i];
            list[i].index = i;
            list[i].gain = a->truths[i];
            list[i].score = ideal ? a->truths[i] : a->values[i];
        }
        qsort(list, (size_t)a->count, sizeof(*list), peft__bench_rank_compare);
        for (int64_t first = 0, last; first < a->count; first = last) {
            double reciprocal, gain, *kept = &gains[list[first].group];
            for (last = first; last < a->count && list[last].group == list[first].group;) last++;
            peft__bench_ranking(list + first, last - first, &reciprocal, &gain);
            if (!ideal) rr += reciprocal, queries++, *kept = gain;
            else if (gain > 0) ndcg += *kept / gain;
        }
    }
    bool graded = a->t->spec.metric == PEFT__BENCH_NDCG;
    peft__bench_metric(r, graded ? "NDCG@10" : "RR@10", (graded ? ndcg : rr) / queries);
    peft__bench_metric(r, graded ? "RR@10" : "NDCG@10", (graded ? rr : ndcg) / queries);
    return PEFT_OK;
}

// BIG-bench: (score - low) / (high - low), where low is what guessing gives and high is 1.
static void peft__bench_score_bigbench(const peft__bench_answers *a, peft_benchmark_result *r) {
    double score = 0, low = 0;
    bool graded = a->t->spec.metric == PEFT__BENCH_CHOICE_GRADE;
    for (int64_t i = 0; graded && i < a->count; i++) {
        const peft_benchmark_example *e = a->examples[i];
        score += a->values[i] / (double)a->count;
        for (int64_t k = 0; k < e->choice_count && e->choice_scores; k++)
            low += e->choice_scores[k] / (double)e->choice_count / (double)a->count;
    }
    if (!graded) score = peft__bench_equal(a);
    peft__bench_metric(r, graded ? "multiple_choice_grade" : "exact_str_match", score);
    peft__bench_metric(r, "normalized", low < 1 ? (score - low) / (1 - low) : 0);
}

static peft_status peft__bench_score_answers(peft__bench_answers *a, peft_benchmark_result *r) {
    peft_status status = PEFT_OK;
    r->averaged = 1;
    switch (a->t->spec.metric) {
    case PEFT__BENCH_NEARNESS:
        peft__bench_metric(r, "nearness", 1 - PEFT__MIN(fabs(a->values[0] - a->truths[0]) / 5, 1.0));
        return PEFT_OK;
    case PEFT__BENCH_CORRELATION: return peft__bench_score_correlation(a, r);
    case PEFT__BENCH_MULTIRC: {
        peft_multirc_result m;
        status = peft_multirc(a->ctx, a->predicted, a->expected, a->group, a->count, &m);
        if (status) return status;
        peft__bench_metric(r, "f1a", m.f1a);
        peft__bench_metric(r, "exact_match", m.exact_match);
        peft__bench_metric(r, "f1m", m.f1m);
        r->averaged = 2;
        return PEFT_OK;
    }
    case PEFT__BENCH_RECORD: return peft__bench_score_squad(a, r);
    case PEFT__BENCH_PARITY: return peft__bench_score_parity(a, r);
    case PEFT__BENCH_CHOICE_GRADE:
    case PEFT__BENCH_STRING_MATCH: peft__bench_score_bigbench(a, r); return PEFT_OK;
    case PEFT__BENCH_ANSWER: peft__bench_metric(r, "exact_match", peft__bench_equal(a)); return PEFT_OK;
    case PEFT__BENCH_EXACT:
        peft__bench_metric(r, "exact_match", peft__bench_equal(a));
        return peft__bench_score_squad(a, r);
    case PEFT__BENCH_QUASI_EXACT:
        status = peft__bench_score_squad(a, r);
        peft__bench_metric(r, "exact_match", peft__bench_equal(a));
        return status;
    case PEFT__BENCH_WORD_F1:
        status = peft__bench_score_set_f1(a, r);
        peft__bench_metric(r, "exact_match", peft__bench_equal(a));
        return status ? status : peft__bench_score_squad(a, r);
    case PEFT__BENCH_ROUGE:
    case PEFT__BENCH_ROUGE_2: return peft__bench_score_rouge(a, r);
    case PEFT__BENCH_RECIPROCAL_RANK:
    case PEFT__BENCH_NDCG: return peft__bench_score_ranking(a, r);
    default: return peft__bench_score_labels(a, r);
    }
}

// All metrics of a task, and their mean as its score.
static peft_status peft__bench_score_task(peft_context *ctx, const peft__bench_task *t, const char *const *predictions, peft_benchmark_result *r) {
    peft__bench_answers a;
    memset(&a, 0, sizeof(a));
    a.t = t;
    a.ctx = ctx;
    peft__arena_init(&a.arena, ctx);
    peft_status status = peft__bench_collect(&a, predictions);
    if (!status) status = peft__bench_score_answers(&a, r);
    peft__arena_free(&a.arena);
    for (int k = 0; k < r->averaged && !status; k++) r->score += r->metrics[k].value / r->averaged;
    return status;
}

static void peft__bench_result_init(const peft_benchmark *b, int64_t task, peft_benchmark_result *r) {
    const peft__bench_task *t = &b->tasks[task];
    memset(r, 0, sizeof(*r));
    peft__string_into(r->task, sizeof(r->task), "%s", t->name);
    peft__string_into(r->group, sizeof(r->group), "%s", t->group);
    r->diagnostic = t->spec.diagnostic;
    r->examples = t->count;
}

static peft_status peft__bench_unscored(const peft_benchmark *b, peft_benchmark_result *r, const char *format, const char *what) {
    r->status = peft__fail(b->ctx, PEFT_ERROR_MISSING, format, what);
    peft__string_into(r->note, sizeof(r->note), "%s", b->ctx->error);
    return r->status;
}

PEFTDEF peft_status peft_benchmark_score(const peft_benchmark *b, int64_t task, const char *const *predictions, int64_t count,
                                         peft_benchmark_result *r) {
    const peft__bench_task *t = peft__bench_at(b, task);
    if (!b) return PEFT_ERROR_ARGUMENT;
    if (!t || !r) return peft__fail(b->ctx, PEFT_ERROR_ARGUMENT, "peft_benchmark_score: no %s", t ? "result" : "such task");
    peft__bench_result_init(b, task, r);
    if (t->missing) return peft__bench_unscored(b, r, "not found: %s", t->file);
    if (!t->count || !t->labelled)
        return peft__bench_unscored(b, r, t->count ? "%s: no right answers in this split" : "%s: no examples", t->file);
    if (!predictions || count != t->count)
        return r->status = peft__fail(b->ctx, PEFT_ERROR_ARGUMENT, "%s: %lld examples but %lld predictions", t->name,
                                      (long long)t->count, (long long)count);
    r->status = peft__bench_score_task(b->ctx, t, predictions, r);
    if (r->status) peft__string_into(r->note, sizeof(r->note), "%s", b->ctx->error);
    return r->status;
}

// ---- averages

static void peft__bench_average(peft_benchmark_results *r, const char *name, double sum, double count) {
    if (count > 0) peft__bench_put_value(r->averages, &r->average_count, name, sum / count);
}

// How much a task weighs in a mean of tasks: the two parts of MNLI are one task of GLUE; logical_deduction's and
// tracking_shuffled_objects' three sizes are one task each of the 23 that the BBH paper counts.
static double peft__bench_weight(const char *task) {
    if (strncmp(task, "MNLI-", 5) == 0) return 0.5;
    return strncmp(task, "logical_deduction_", 18) == 0 || strncmp(task, "tracking_shuffled_objects_", 26) == 0 ? 1.0 / 3 : 1;
}

// The mean over the tasks of one group (NULL: all), by weight or by number of questions.
static void peft__bench_mean(peft_benchmark_results *r, const char *name, const char *group, bool weighted, bool questions) {
    double sum = 0, count = 0;
    for (int64_t i = 0; i < r->count; i++) {
        const peft_benchmark_result *t = &r->tasks[i];
        if (t->status || t->diagnostic || (group && strcmp(group, t->group) != 0)) continue;
        double weight = questions ? (double)t->examples : weighted ? peft__bench_weight(t->task) : 1;
        sum += weight * t->score;
        count += weight;
    }
    peft__bench_average(r, name, sum, count);
}

// BIG-bench: normalized scores; subtasks "name/..." are averaged into their task first.
static void peft__bench_mean_normalized(peft_benchmark_results *r) {
    double sum = 0, count = 0;
    for (int64_t i = 0; i < r->count; i++) {
        const char *slash = strchr(r->tasks[i].task, '/');
        size_t n = slash ? (size_t)(slash - r->tasks[i].task) + 1 : 0;
        double part = 0, parts = 0;
        bool first = true;
        for (int64_t k = 0; k < r->count; k++) {
            if (k != i && (!n || strncmp(r->tasks[k].task, r->tasks[i].task, n) != 0)) continue;
            first = first && k >= i;
            if (r->tasks[k].status || r->tasks[k].metric_count < 2) continue;
            part += r->tasks[k].metrics[1].value;
            parts++;
        }
        if (!first || parts == 0) continue;
        sum += part / parts;
        count++;
    }
    peft__bench_average(r, "normalized average", sum, count);
}

PEFTDEF void peft_benchmark_average(const peft_benchmark *b, peft_benchmark_results *r) {
    static const char *const groups[] = {"STEM", "humanities", "social sciences", "other"};
    r->average_count = 0;
    r->scored = r->expected = 0;
    for (int64_t i = 0; i < r->count; i++) {
        r->expected += !r->tasks[i].diagnostic;
        r->scored += !r->tasks[i].diagnostic && !r->tasks[i].status;
    }
    switch (b->family->reader) {
    case PEFT__BENCH_MMLU:
        peft__bench_mean(r, "average over questions", NULL, false, true);
        for (int64_t k = 0; k < PEFT__COUNT(groups); k++) peft__bench_mean(r, groups[k], groups[k], false, true);
        peft__bench_mean(r, "average over subjects", NULL, false, false);
        break;
    case PEFT__BENCH_BBH:
        peft__bench_mean(r, "average", NULL, false, false);
        peft__bench_mean(r, "average of 23 tasks", NULL, true, false);
        peft__bench_mean(r, "NLP", "NLP", true, false);
        peft__bench_mean(r, "algorithmic", "algorithmic", true, false);
        break;
    case PEFT__BENCH_JSON_TASK:
        peft__bench_mean_normalized(r);
        peft__bench_mean(r, "average", NULL, false, false);
        break;
    default: peft__bench_mean(r, "average", NULL, true, false); break;
    }
}

// ---- results

static peft_status peft__bench_results_init(const peft_benchmark *b, const char *model, peft_benchmark_results *r) {
    memset(r, 0, sizeof(*r));
    r->context = b->ctx;
    peft__string_into(r->benchmark, sizeof(r->benchmark), "%s", b->family->name);
    peft__string_into(r->model, sizeof(r->model), "%s", model ? model : "model");
    peft__string_into(r->signature, sizeof(r->signature), "%s|split:%s|shots:%lld|style:%s%s", b->family->name, b->split,
                      (long long)b->shots,
                      b->style == PEFT_PROMPT_T5 ? "t5" : "plain",
                      b->family->reader != PEFT__BENCH_BBH ? "" : b->direct ? "|direct" : "|cot");
    r->tasks = (peft_benchmark_result *)peft__calloc(b->ctx, b->count, sizeof(*r->tasks));
    if (!r->tasks) return PEFT_ERROR_MEMORY;
    r->count = b->count;
    for (int64_t i = 0; i < b->count; i++) peft__bench_result_init(b, i, &r->tasks[i]);
    return PEFT_OK;
}

static void peft__bench_texts_free(peft_context *ctx, char **texts, int64_t count) {
    for (int64_t i = 0; texts && i < count; i++) peft__free(ctx, texts[i]);
    peft__free(ctx, texts);
}

PEFTDEF void peft_benchmark_results_free(peft_benchmark_results *r) {
    if (!r || !r->context) return;
    for (int64_t i = 0; i < r->count; i++) peft__bench_texts_free(r->context, r->tasks[i].predictions, r->tasks[i].examples);
    peft__free(r->context, r->tasks);
    r->tasks = NULL;
    r->count = 0;
}

// ---- running a model

typedef struct peft__bench_run {
    const peft_benchmark *b;
    const peft__bench_task *t;
    const peft_benchmark_runner *runner;
    peft_benchmark_result *r;
    peft__string prompt;
    double *scores;               // log-likelihoods of the choices
    double *confidence;           // per example: the probability of the answer among its choices
    double seconds;               // in the callbacks
} peft__bench_run;

static peft_status peft__bench_fit(peft__bench_run *run, int64_t i, const char *question) {
    for (int64_t shots = run->t->shot_count;; shots--) {
        peft_status status = peft__bench_prompt(run->t, i, shots, question, &run->prompt);
        if (status || shots == 0 || !run->runner->fits || run->runner->fits(run->prompt.data, run->runner->user)) return status;
    }
}

// The likeliest choice, and how likely it is among them; of rankings: log p(yes) - log p(no) as a number.
static peft_status peft__bench_ask_choices(peft__bench_run *run, const peft_benchmark_example *e, char **answer, double *confidence) {
    double begin = peft__seconds(), sum = 0;
    peft_status status = run->runner->loglikelihood(run->prompt.data, e->choices, e->choice_count, run->scores, run->runner->user);
    run->seconds += peft__seconds() - begin;
    if (status) return status;
    int64_t best = 0;
    for (int64_t k = 0; k < e->choice_count; k++) {
        if (run->scores[k] != run->scores[k])
            return peft__fail(run->b->ctx, PEFT_ERROR_NUMERIC, "%s: the log-likelihood of choice %lld of example %s is NaN",
                              run->t->name, (long long)k, e->id);
        if (run->scores[k] > run->scores[best]) best = k;
    }
    for (int64_t k = 0; k < e->choice_count; k++) sum += exp(run->scores[k] - run->scores[best]);
    *confidence = sum > 0 && sum - sum == 0 ? 1 / sum : 0;  // all choices impossible: sum is NaN
    if (run->t->spec.metric < PEFT__BENCH_RECIPROCAL_RANK) return peft_text_copy(run->b->ctx, e->names[best], answer);
    char number[40];
    peft__string_into(number, sizeof(number), "%g", run->scores[0] - run->scores[1]);
    return peft_text_copy(run->b->ctx, number, answer);
}

static peft_status peft__bench_ask(peft__bench_run *run, int64_t i, const char *question, char **answer, double *confidence) {
    const peft_benchmark_example *e = &run->t->examples[i];
    peft_status status = peft__bench_fit(run, i, question);
    if (status) return status;
    if (e->choices && run->runner->loglikelihood) return peft__bench_ask_choices(run, e, answer, confidence);
    double begin = peft__seconds();
    status = run->runner->generate(run->prompt.data, e->max_new_tokens, e->stop, answer, run->runner->user);
    run->seconds += peft__seconds() - begin;
    if (!status && !*answer) status = peft_text_copy(run->b->ctx, "", answer);
    return status;
}

// What one answer is worth by itself: right or wrong where the metric is one of a whole set.
static peft_status peft__bench_worth(const peft__bench_run *run, int64_t i, const char *answer, double *out) {
    peft__bench_task one = *run->t;
    peft_benchmark_result r;
    one.examples += i;
    one.count = 1;
    int *metric = &one.spec.metric;
    if (*metric == PEFT__BENCH_CORRELATION) *metric = PEFT__BENCH_NEARNESS;
    if (*metric == PEFT__BENCH_MATTHEWS || *metric == PEFT__BENCH_F1_ACCURACY || *metric == PEFT__BENCH_ACCURACY_MACRO ||
        *metric == PEFT__BENCH_MULTIRC || *metric == PEFT__BENCH_PARITY) *metric = PEFT__BENCH_ACCURACY;
    memset(&r, 0, sizeof(r));
    peft_status status = peft__bench_score_task(run->b->ctx, &one, &answer, &r);
    *out = r.score;
    return status;
}

// The worst of the original answer and of those to one kind of versions, as a mean over the examples.
static peft_status peft__bench_worst(peft__bench_run *run, bool fairness, const char *name) {
    const peft_benchmark_runner *runner = run->runner;
    double sum = 0, count = 0;
    int64_t versions = 0;
    for (int64_t v = 0; v < runner->perturbation_count; v++)
        versions += (runner->perturbations[v].kind >= PEFT_PERTURB_DIALECT) == fairness;
    for (int64_t i = 0; versions && i < run->t->count; i++) {
        if (!peft__bench_known(run->t, &run->t->examples[i])) continue;
        double worst = 0;
        peft_status status = peft__bench_worth(run, i, run->r->predictions[i], &worst);
        for (int64_t v = 0; v < runner->perturbation_count && !status && worst > 0; v++) {
            if ((runner->perturbations[v].kind >= PEFT_PERTURB_DIALECT) != fairness) continue;
            char *question = NULL, *answer = NULL;
            double confidence, worth = 0;
            status = peft_perturb(run->b->ctx, &runner->perturbations[v], run->t->examples[i].question, &question);
            if (!status) status = peft__bench_ask(run, i, question, &answer, &confidence);
            if (!status) status = peft__bench_worth(run, i, answer, &worth);
            worst = PEFT__MIN(worst, worth);
            peft__free(run->b->ctx, question);
            peft__free(run->b->ctx, answer);
        }
        if (status) return status;
        sum += worst;
        count++;
    }
    if (count > 0) peft__bench_metric(run->r, name, sum / count);
    return PEFT_OK;
}

static peft_status peft__bench_versions(peft__bench_run *run) {
    if (run->t->spec.metric >= PEFT__BENCH_RECIPROCAL_RANK) return PEFT_OK;
    peft_status status = peft__bench_worst(run, false, "robustness");
    return status ? status : peft__bench_worst(run, true, "fairness");
}

// HELM's calibration, where every answer was chosen by likelihood.
static peft_status peft__bench_calibrate(peft__bench_run *run) {
    const peft__bench_task *t = run->t;
    bool chosen = run->runner->loglikelihood != NULL && t->spec.metric < PEFT__BENCH_RECIPROCAL_RANK;
    for (int64_t i = 0; i < t->count; i++) chosen = chosen && t->examples[i].choices && t->examples[i].label >= 0;
    int32_t *correct = chosen ? (int32_t *)peft__calloc(run->b->ctx, t->count, sizeof(int32_t)) : NULL;
    if (!chosen) return PEFT_OK;
    if (!correct) return PEFT_ERROR_MEMORY;
    for (int64_t i = 0; i < t->count; i++)
        correct[i] = strcmp(run->r->predictions[i], t->examples[i].names[t->examples[i].label]) == 0;
    peft_calibration_desc d;
    peft_calibration_result c;
    double selective = 0, area = 0;
    memset(&d, 0, sizeof(d));
    d.context = run->b->ctx;
    d.confidence = run->confidence;
    d.correct = correct;
    d.count = t->count;
    peft_status status = peft_calibration(&d, &c);
    if (!status) status = peft_selective_accuracy(&d, 0, &selective, &area);
    if (!status) {
        peft__bench_metric(run->r, "ece_10_bin", c.ece_mass);
        peft__bench_metric(run->r, "selective_acc@10", selective);
        status = peft_platt_calibration(&d, &c, NULL, NULL);
        if (!status) peft__bench_metric(run->r, "platt_ece_10_bin", c.ece_mass);
    }
    peft__free(run->b->ctx, correct);
    return status;
}

static peft_status peft__bench_run_examples(peft__bench_run *run) {
    const peft__bench_task *t = run->t;
    const peft_benchmark_runner *runner = run->runner;
    int64_t most = 1;
    bool free_text = !runner->loglikelihood;
    for (int64_t i = 0; i < t->count; i++) {
        most = PEFT__MAX(most, t->examples[i].choice_count);
        free_text = free_text || !t->examples[i].choices;
    }
    if (free_text && (!runner->generate || t->spec.metric >= PEFT__BENCH_RECIPROCAL_RANK))
        return peft__fail(run->b->ctx, PEFT_ERROR_ARGUMENT, "%s: the runner has no %s", t->name,
                          runner->generate ? "loglikelihood" : "generate");
    run->scores = (double *)peft__calloc(run->b->ctx, most, sizeof(double));
    run->confidence = (double *)peft__calloc(run->b->ctx, t->count, sizeof(double));
    run->r->predictions = (char **)peft__calloc(run->b->ctx, t->count, sizeof(char *));
    peft_status status = run->scores && run->confidence && run->r->predictions ? PEFT_OK : PEFT_ERROR_MEMORY;
    for (int64_t i = 0; i < t->count && !status; i++) {
        status = peft__bench_ask(run, i, t->examples[i].question, &run->r->predictions[i], &run->confidence[i]);
        if (!status && runner->progress && !runner->progress(t->name, i + 1, t->count, runner->user)) status = PEFT_CANCELLED;
    }
    return status;
}

// Scores the run's answers; a split without right answers keeps its predictions and a note.
static peft_status peft__bench_run_task(peft__bench_run *run, int64_t task) {
    peft_status status = run->t->count ? peft__bench_run_examples(run) : PEFT_OK;
    char **predictions = run->r->predictions;
    if (!status) {
        status = peft_benchmark_score(run->b, task, (const char *const *)predictions, run->t->count, run->r);
        run->r->predictions = predictions;
        if (!status) status = peft__bench_calibrate(run);
        if (!status) status = peft__bench_versions(run);
        run->r->seconds = run->seconds;
        if (run->r->status == PEFT_ERROR_MISSING) status = PEFT_OK;
    }
    peft__free(run->b->ctx, run->scores);
    peft__free(run->b->ctx, run->confidence);
    return status;
}

PEFTDEF peft_status peft_benchmark_run(const peft_benchmark *b, const peft_benchmark_runner *runner, peft_benchmark_results *r) {
    memset(r, 0, sizeof(*r));
    if (!b) return PEFT_ERROR_ARGUMENT;
    if (!runner || (!runner->generate && !runner->loglikelihood))
        return peft__fail(b->ctx, PEFT_ERROR_ARGUMENT, "peft_benchmark_run: no callback");
    peft_status status = peft__bench_results_init(b, runner->model, r);
    int64_t tokens = runner->tokens ? *runner->tokens : 0;
    peft__bench_run run;
    memset(&run, 0, sizeof(run));
    run.b = b;
    run.runner = runner;
    peft__string_init(&run.prompt, b->ctx);
    for (int64_t i = 0; i < r->count && !status; i++) {
        run.t = &b->tasks[i];
        run.r = &r->tasks[i];
        run.scores = run.confidence = NULL;
        run.seconds = 0;
        if (run.t->missing) peft__bench_unscored(b, run.r, "not found: %s", run.t->file);
        else status = peft__bench_run_task(&run, i);
        r->seconds += run.seconds;
    }
    peft__string_free(&run.prompt);
    r->tokens = runner->tokens ? *runner->tokens - tokens : 0;
    r->peak_memory = (int64_t)peft_memory_peak(b->ctx);
    peft_benchmark_average(b, r);
    return status;
}

// ---- predictions in files

// A file of predictions on its way into the order of the examples.
typedef struct peft__bench_slots {
    const peft_benchmark *b;
    const peft__bench_task *t;
    peft__data_record place;      // where we are in it, for messages
    peft__map ids;
    char **texts;
} peft__bench_slots;

static peft_status peft__bench_put(peft__bench_slots *s, const char *id, const char *text, size_t n) {
    int64_t i = peft__map_get(&s->ids, id, strlen(id), -1);
    peft_context *ctx = s->b->ctx;
    if (i < 0 && s->b->limit != INT64_MAX) return PEFT_OK;  // predictions of all examples, of which fewer were loaded
    const peft__data_record *r = &s->place;
    if (i < 0)
        return peft__fail(ctx, PEFT_ERROR_FORMAT, "%s:%lld: %s has no example \"%s\"", r->path, (long long)r->line, s->t->name, id);
    if (s->texts[i]) return peft__fail(ctx, PEFT_ERROR_FORMAT, "%s:%lld: a second prediction for \"%s\"", r->path, (long long)r->line, id);
    return peft__bench_copy(ctx, text, n, &s->texts[i]);
}

// A line behind the last example: fine when a limit left examples out.
static peft_status peft__bench_too_many(peft__bench_slots *s) {
    if (s->b->limit != INT64_MAX) return PEFT_OK;
    return peft__fail(s->b->ctx, PEFT_ERROR_FORMAT, "%s: more lines than the %lld examples of %s", s->place.path, (long long)s->t->count,
                      s->t->name);
}

static peft_status peft__bench_put_json(peft__bench_slots *s, const char *id, const peft__json *value) {
    char number[40];
    const char *text = peft__bench_scalar(value, number);
    return text ? peft__bench_put(s, id, text, strlen(text)) : PEFT__BAD_RECORD(&s->place, "no label or prediction");
}

// MultiRC: the structure of the data with labels: {"idx", "passage": {"questions": [{"idx", "answers": [{"idx", "label"}]}]}}
static peft_status peft__bench_put_multirc(peft__bench_slots *s, const peft__json *root) {
    const peft__json *questions = peft__json_get(peft__json_get(root, "passage"), "questions");
    if (!questions) return PEFT__BAD_RECORD(&s->place, "no passage with questions");
    for (const peft__json *q = questions->child; q; q = q->next) {
        const peft__json *answers = peft__json_get(q, "answers");
        for (const peft__json *a = answers ? answers->child : NULL; a; a = a->next) {
            char id[80];
            peft__string_into(id, sizeof(id), "%lld/%lld/%lld", (long long)peft__json_int(root, "idx", 0),
                              (long long)peft__json_int(q, "idx", 0),
                              (long long)peft__json_int(a, "idx", 0));
            peft_status status = peft__bench_put_json(s, id, peft__json_get(a, "label"));
            if (status) return status;
        }
    }
    return PEFT_OK;
}

// One line of JSON: idx (or id, or else the line's number) and label (or prediction).
static peft_status peft__bench_put_line(peft__bench_slots *s, const peft__json *root, int64_t position) {
    char id[64];
    const peft__json *value = peft__json_get(root, "label");
    if (!value) value = peft__json_get(root, "prediction");
    if (s->t->spec.reader == PEFT__BENCH_NESTED_MULTIRC) return peft__bench_put_multirc(s, root);
    if (peft__bench_id(root, id)) return peft__bench_put_json(s, id, value);
    return position < s->t->count ? peft__bench_put_json(s, s->t->examples[position].id, value) : peft__bench_too_many(s);
}

enum { PEFT__BENCH_AS_TSV, PEFT__BENCH_AS_JSONL, PEFT__BENCH_AS_LINES };

static peft_status peft__bench_parse_line(peft__bench_slots *s, peft__arena *scratch, char *line, size_t n, int form,
                                          int64_t position) {
    if (form == PEFT__BENCH_AS_JSONL) {
        peft__json *root = NULL;
        peft__arena_reset(scratch);
        peft_status status = peft__json_parse(s->b->ctx, scratch, line, n, "", &root);
        if (status == PEFT_ERROR_FORMAT) return PEFT__BAD_RECORD(&s->place, "not JSON");
        return status ? status : peft__bench_put_line(s, root, position);
    }
    if (form == PEFT__BENCH_AS_LINES) {
        if (position < s->t->count) return peft__bench_put(s, s->t->examples[position].id, line, n);
        return peft__bench_too_many(s);
    }
    char *tab = strchr(line, '\t');
    if (!tab) return PEFT__BAD_RECORD(&s->place, "no tab between index and prediction");
    *tab = 0;
    const char *text = tab + 1;
    size_t size = (size_t)(line + n - text);
    peft__bench_strip(&text, &size);
    return peft__bench_put(s, line, text, size);
}

static peft_status peft__bench_parse(peft__bench_slots *s, char *text, size_t size, int form) {
    peft__arena scratch;
    peft_status status = PEFT_OK;
    int64_t position = 0;
    peft__arena_init(&scratch, s->b->ctx);
    size_t mark = peft__utf8_mark(text, size);
    for (char *at = text + mark, *end = text + size; at < end && !status;) {
        char *stop = (char *)memchr(at, '\n', (size_t)(end - at)), *next = stop ? stop + 1 : end;
        if (!stop) stop = end;
        s->place.line++;
        if (stop > at && stop[-1] == '\r') stop--;
        *stop = 0;
        bool header = form == PEFT__BENCH_AS_TSV && s->place.line == 1 && strncmp(at, "index\t", 6) == 0;
        bool blank = form != PEFT__BENCH_AS_LINES && stop == at;  // in plain lines an empty one is an empty answer
        if (!header && !blank) status = peft__bench_parse_line(s, &scratch, at, (size_t)(stop - at), form, position++);
        at = next;
    }
    peft__arena_free(&scratch);
    for (int64_t i = 0; i < s->t->count && !status; i++)
        if (!s->texts[i])
            status = peft__fail(s->b->ctx, PEFT_ERROR_MISSING, "%s: no prediction for example \"%s\" of %s", s->place.path,
                                s->t->examples[i].id, s->t->name);
    return status;
}

// "<folder>/<name><extension>", a / of the name being a -.
static peft_status peft__bench_prediction_path(const char *folder, const char *name, const char *extension, peft__string *out) {
    out->size = 0;
    peft__string_format(out, "%s/", folder);
    for (const char *p = name; *p; p++) peft__string_append(out, *p == '/' ? "-" : p, 1);
    return peft__string_puts(out, extension) ? PEFT_OK : PEFT_ERROR_MEMORY;
}

static peft_status peft__bench_score_file(const peft_benchmark *b, int64_t task, const char *folder, peft__string *path,
                                          peft_benchmark_result *r) {
    static const char *const extensions[] = {".tsv", ".jsonl", ".txt"};
    const peft__bench_task *t = &b->tasks[task];
    peft__bench_slots s;
    memset(&s, 0, sizeof(s));
    char *text = NULL;
    size_t size = 0;
    int own = t->spec.reader == PEFT__BENCH_TSV ? PEFT__BENCH_AS_TSV : PEFT__BENCH_AS_JSONL, form = own;
    bool found = false;
    for (int k = 0; k < 4 && !found; k++) {  // the task's own form first
        form = k == 0 ? own : k - 1;
        if (peft__bench_prediction_path(folder, t->name, extensions[form], path)) return PEFT_ERROR_MEMORY;
        found = peft__file_exists(b->ctx, path->data);
    }
    if (!found) {
        if (peft__bench_prediction_path(folder, t->name, extensions[own], path)) return PEFT_ERROR_MEMORY;
        peft__bench_unscored(b, r, "not found: %s", path->data);
        return PEFT_OK;
    }
    s.b = b;
    s.t = t;
    s.place.ctx = b->ctx;
    s.place.path = path->data;
    peft__map_init(&s.ids, b->ctx);
    s.texts = (char **)peft__calloc(b->ctx, t->count, sizeof(char *));
    peft_status status = s.texts ? peft__read_all(b->ctx, path->data, &text, &size) : PEFT_ERROR_MEMORY;
    for (int64_t i = 0; i < t->count && !status; i++)
        if (!peft__map_set(&s.ids, t->examples[i].id, strlen(t->examples[i].id), i)) status = PEFT_ERROR_MEMORY;
    if (!status) status = peft__bench_parse(&s, text, size, form);
    if (!status) status = peft_benchmark_score(b, task, (const char *const *)s.texts, t->count, r);
    if (status == PEFT_ERROR_MISSING && r->status == PEFT_ERROR_MISSING) status = PEFT_OK;  // a split without right answers
    peft__free(b->ctx, text);
    peft__map_free(&s.ids);
    peft__bench_texts_free(b->ctx, s.texts, t->count);
    return status;
}

PEFTDEF peft_status peft_benchmark_score_files(const peft_benchmark *b, const char *folder, const char *model,
                                               peft_benchmark_results *r) {
    memset(r, 0, sizeof(*r));
    if (!b) return PEFT_ERROR_ARGUMENT;
    if (!folder) return peft__fail(b->ctx, PEFT_ERROR_ARGUMENT, "peft_benchmark_score_files: no folder");
    peft_status status = peft__bench_results_init(b, model ? model : folder, r);
    peft__string path;
    peft__string_init(&path, b->ctx);
    for (int64_t i = 0; i < r->count && !status; i++) {
        if (b->tasks[i].missing) peft__bench_unscored(b, &r->tasks[i], "not found: %s", b->tasks[i].file);
        else status = peft__bench_score_file(b, i, folder, &path, &r->tasks[i]);
    }
    peft__string_free(&path);
    peft_benchmark_average(b, r);
    return status;
}

// What a leaderboard takes for a prediction: the choice's name, else the answer's part of the text.
static void peft__bench_submitted(const peft__bench_task *t, const peft_benchmark_example *e, const char *prediction,
                                  const char **text, size_t *n, peft__string *out) {
    *text = prediction;
    *n = strlen(prediction);
    out->failed = peft__bench_answer(t, text, n) || out->failed;
    int64_t chosen = e->names && e->choice_count ? peft__bench_choice(e, *text, *n) : -1;
    if (chosen < 0) return;
    *text = e->names[chosen];
    *n = strlen(*text);
}

static void peft__bench_write_multirc(const peft__bench_task *t, char **predictions, peft__string *out) {
    const char *before = "";
    for (int64_t i = 0; i < t->count; i++) {
        const char *id = t->examples[i].id, *text, *first = strchr(id, '/'), *second = strrchr(id, '/');
        size_t n, p = (size_t)(first - id), q = (size_t)(second - id);
        peft__bench_submitted(t, &t->examples[i], predictions[i], &text, &n, out);
        bool passage = strncmp(before, id, p + 1) == 0, question = passage && strncmp(before, id, q + 1) == 0;
        if (*before) peft__string_puts(out, question ? ", " : passage ? "]}, " : "]}]}}\n");
        if (!passage) peft__string_format(out, "{\"idx\": %.*s, \"passage\": {\"questions\": [", (int)p, id);
        if (!question) peft__string_format(out, "{\"idx\": %.*s, \"answers\": [", (int)(q - p - 1), first + 1);
        peft__string_format(out, "{\"idx\": %s, \"label\": %s}", second + 1, n == 1 && *text == '1' ? "1" : "0");
        before = id;
    }
    if (*before) peft__string_puts(out, "]}]}}\n");
}

static void peft__bench_write_task(const peft__bench_task *t, char **predictions, peft__string *out) {
    int reader = t->spec.reader;
    bool submission = reader <= PEFT__BENCH_NESTED_RECORD, integer = reader == PEFT__BENCH_COPA;
    if (reader == PEFT__BENCH_NESTED_MULTIRC) {
        peft__bench_write_multirc(t, predictions, out);
        return;
    }
    if (reader == PEFT__BENCH_TSV) peft__string_puts(out, "index\tprediction\n");
    for (int64_t i = 0; i < t->count; i++) {
        const char *text, *id = t->examples[i].id;
        size_t n;
        peft__bench_submitted(t, &t->examples[i], predictions[i], &text, &n, out);
        if (reader == PEFT__BENCH_TSV) {
            peft__string_format(out, "%s\t", id);
            if (t->spec.metric == PEFT__BENCH_CORRELATION) peft__string_format(out, "%g", peft__bench_number(text, n));
            else for (size_t k = 0; k < n; k++) peft__string_append(out, text[k] == '\t' || text[k] == '\n' ? " " : text + k, 1);
            peft__string_puts(out, "\n");
            continue;
        }
        bool number = *id != 0;
        for (const char *p = id; *p; p++) number = number && peft__bench_digit(*p);
        peft__string_puts(out, submission ? "{\"idx\": " : "{\"id\": ");
        if (number) peft__string_puts(out, id);
        else peft__json_quote(out, id, strlen(id));
        peft__string_puts(out, submission ? ", \"label\": " : ", \"prediction\": ");
        if (!submission) text = predictions[i], n = strlen(text);
        if (integer && n == 1 && (*text == '0' || *text == '1')) peft__string_append(out, text, n);
        else peft__json_quote(out, text, n);
        peft__string_puts(out, "}\n");
    }
}

PEFTDEF peft_status peft_benchmark_write_predictions(const peft_benchmark *b, const peft_benchmark_results *r, const char *folder) {
    if (!b) return PEFT_ERROR_ARGUMENT;
    if (!r || !folder || r->count != b->count)
        return peft__fail(b->ctx, PEFT_ERROR_ARGUMENT, "peft_benchmark_write_predictions: not this benchmark's results");
    peft__string path, out;
    peft__string_init(&path, b->ctx);
    peft__string_init(&out, b->ctx);
    peft_status status = PEFT_OK;
    for (int64_t i = 0; i < b->count && !status; i++) {
        const peft__bench_task *t = &b->tasks[i];
        char **predictions = r->tasks[i].predictions;
        bool all = predictions != NULL;
        for (int64_t k = 0; k < t->count && all; k++) all = predictions[k] != NULL;
        if (!all) continue;
        out.size = 0;
        status = peft__bench_prediction_path(folder, t->name, t->spec.reader == PEFT__BENCH_TSV ? ".tsv" : ".jsonl", &path);
        if (!status) peft__bench_write_task(t, predictions, &out);
        if (out.failed) status = PEFT_ERROR_MEMORY;
        peft__writer w;
        if (!status) status = peft__writer_open(b->ctx, path.data, &w);
        if (!status) {
            peft__write(&w, out.data, out.size);
            status = peft__writer_commit(&w);
        }
    }
    peft__string_free(&path);
    peft__string_free(&out);
    return status;
}

// ---- tables

// v with so many decimals, rounded half away from zero: the library's own formatter has no %f.
PEFT__NOINLINE void peft__bench_decimal(char *out, size_t size, double v, int decimals) {
    long long scale = decimals == 2 ? 100 : decimals == 4 ? 10000 : 10;
    if (!(fabs(v) < 1e12)) {
        peft__string_into(out, size, "%g", v);
        return;
    }
    long long n = (long long)(fabs(v) * (double)scale + 0.5);
    char digits[8];
    for (int k = decimals - 1, rest = (int)(n % scale); k >= 0; k--, rest /= 10) digits[k] = (char)('0' + rest % 10);
    peft__string_into(out, size, "%s%lld.%.*s", v < 0 && n ? "-" : "", n / scale, decimals, digits);
}

static void peft__bench_pad(peft__string *s, const char *text, int width, bool right) {  // width: in characters
    int n = 0;
    for (const char *p = text; *p; p++) n += (*p & 0xC0) != 0x80;
    for (int k = n; k < width && right; k++) peft__string_puts(s, " ");
    peft__string_puts(s, text);
    for (int k = n; k < width && !right; k++) peft__string_puts(s, " ");
}

static void peft__bench_percent(char out[24], double v) {
    peft__bench_decimal(out, 24, 100 * v, 2);
}

// The models' mean win rates over the tasks, diagnostics apart.
static peft_status peft__bench_wins(const peft_benchmark_results *r, int64_t models, double *rates) {
    int64_t tasks = PEFT__MAX(r->count, (int64_t)1);
    double *scores = (double *)peft__calloc(r->context, models * tasks, sizeof(double));
    if (!scores) return PEFT_ERROR_MEMORY;
    for (int64_t m = 0; m < models; m++)
        for (int64_t i = 0; i < r->count; i++) {
            const peft_benchmark_result *t = &r[m].tasks[i];
            scores[m * tasks + i] = t->status || t->diagnostic ? nan("") : t->score;
        }
    peft_status status = peft_win_rates(r->context, scores, models, tasks, NULL, rates);
    for (int64_t m = 0; m < models; m++) rates[m] = rates[m] == rates[m] ? rates[m] : 0;
    peft__free(r->context, scores);
    return status;
}

static void peft__bench_cell(peft__string *s, double v, bool known, int width) {
    char cell[24];
    peft__bench_percent(cell, v);
    peft__string_puts(s, "  ");
    peft__bench_pad(s, known ? cell : "-", width, true);
}

static void peft__bench_table_text(peft__string *s, const peft_benchmark_results *r, int64_t models, const double *rates) {
    int name = 8, width = 7;
    char cell[64];
    for (int64_t i = 0; i < r->count; i++) name = PEFT__MAX(name, (int)strlen(r->tasks[i].task));
    for (int k = 0; k < r->average_count; k++) name = PEFT__MAX(name, (int)strlen(r->averages[k].name));
    for (int64_t m = 0; m < models && models > 1; m++) width = PEFT__MAX(width, (int)strlen(r[m].model));
    peft__string_format(s, "%s\n", r->signature);
    peft__bench_pad(s, "task", name, false);
    peft__bench_pad(s, "examples", 10, true);
    for (int64_t m = 0; m < models; m++) {
        peft__string_puts(s, "  ");
        peft__bench_pad(s, models > 1 ? r[m].model : "score", width, true);
    }
    peft__string_puts(s, "\n");
    for (int64_t i = 0; i < r->count; i++) {
        const peft_benchmark_result *t = &r->tasks[i];
        peft__bench_pad(s, t->task, name, false);
        peft__string_into(cell, sizeof(cell), "%lld", (long long)t->examples);
        peft__bench_pad(s, cell, 10, true);
        for (int64_t m = 0; m < models; m++) peft__bench_cell(s, r[m].tasks[i].score, !r[m].tasks[i].status, width);
        for (int k = 0; k < t->metric_count && models == 1 && !t->status; k++) {
            char value[24];
            peft__bench_percent(value, t->metrics[k].value);
            peft__string_format(s, "%s%s %s", k ? ", " : "   ", t->metrics[k].name, value);
        }
        if (t->status && models == 1) peft__string_format(s, "   %s", t->note);
        peft__string_puts(s, "\n");
    }
    for (int k = 0; k < r->average_count; k++) {
        peft__bench_pad(s, r->averages[k].name, name, false);
        peft__string_into(cell, sizeof(cell), k ? "" : "%lld of %lld", (long long)r->scored, (long long)r->expected);
        peft__bench_pad(s, cell, 10, true);
        for (int64_t m = 0; m < models; m++) peft__bench_cell(s, r[m].averages[k].value, k < r[m].average_count, width);
        peft__string_puts(s, "\n");
    }
    if (models > 1) {
        peft__bench_pad(s, "mean win rate", name + 10, false);
        for (int64_t m = 0; m < models; m++) peft__bench_cell(s, rates[m], true, width);
        peft__string_puts(s, "\n");
    }
    for (int64_t m = 0; m < models; m++) {
        if (r[m].seconds <= 0) continue;
        peft__bench_decimal(cell, sizeof(cell), r[m].seconds, 1);
        peft__string_format(s, "%s: %s s", r[m].model, cell);
        peft__bench_decimal(cell, sizeof(cell), (double)r[m].tokens / r[m].seconds, 1);
        if (r[m].tokens) peft__string_format(s, ", %s tokens/s", cell);
        peft__bench_decimal(cell, sizeof(cell), (double)r[m].peak_memory / 1048576, 1);
        peft__string_format(s, ", peak memory %s MiB\n", cell);
    }
}

static void peft__bench_json_values(peft__string *s, const peft_named_value *values, int count) {
    peft__string_puts(s, "{");
    for (int k = 0; k < count; k++) {
        peft__string_puts(s, k ? ", " : "");
        peft__json_quote(s, values[k].name, strlen(values[k].name));
        peft__string_format(s, ": %g", values[k].value);
    }
    peft__string_puts(s, "}");
}

static void peft__bench_json_member(peft__string *s, const char *name, const char *text) {
    peft__string_format(s, "\"%s\": ", name);
    peft__json_quote(s, text, strlen(text));
}

static void peft__bench_table_json(peft__string *s, const peft_benchmark_results *r, int64_t models, const double *rates) {
    peft__string_puts(s, "{");
    peft__bench_json_member(s, "benchmark", r->benchmark);
    peft__string_puts(s, ", \"models\": [");
    for (int64_t m = 0; m < models; m++) {
        peft__string_puts(s, m ? ",\n {" : "\n {");
        peft__bench_json_member(s, "model", r[m].model);
        peft__string_puts(s, ", ");
        peft__bench_json_member(s, "signature", r[m].signature);
        peft__string_puts(s, ",\n  \"averages\": ");
        peft__bench_json_values(s, r[m].averages, r[m].average_count);
        peft__string_format(s, ", \"scored\": %lld, \"expected\": %lld", (long long)r[m].scored, (long long)r[m].expected);
        if (models > 1) peft__string_format(s, ", \"mean_win_rate\": %g", rates[m]);
        if (r[m].seconds > 0)
            peft__string_format(s, ", \"seconds\": %g, \"tokens\": %lld, \"peak_memory\": %lld", r[m].seconds,
                                (long long)r[m].tokens, (long long)r[m].peak_memory);
        peft__string_puts(s, ",\n  \"tasks\": [");
        for (int64_t i = 0; i < r[m].count; i++) {
            const peft_benchmark_result *t = &r[m].tasks[i];
            peft__string_puts(s, i ? ",\n   {" : "\n   {");
            peft__bench_json_member(s, "task", t->task);
            if (*t->group) peft__string_puts(s, ", "), peft__bench_json_member(s, "group", t->group);
            peft__string_format(s, ", \"examples\": %lld, ", (long long)t->examples);
            if (t->status) {
                peft__bench_json_member(s, "note", t->note);
            } else {
                peft__string_format(s, "\"score\": %g, \"metrics\": ", t->score);
                peft__bench_json_values(s, t->metrics, t->metric_count);
            }
            peft__string_puts(s, "}");
        }
        peft__string_puts(s, "]}");
    }
    peft__string_puts(s, "]}\n");
}

static void peft__bench_csv_field(peft__string *s, const char *text) {
    bool quote = strpbrk(text, ",\"\r\n") != NULL;
    if (quote) peft__string_puts(s, "\"");
    for (const char *p = text; *p; p++) {
        if (*p == '"') peft__string_puts(s, "\"");
        peft__string_append(s, p, 1);
    }
    if (quote) peft__string_puts(s, "\"");
}

static void peft__bench_csv_row(peft__string *s, const peft_benchmark_results *r, const char *task, const char *group,
                                const char *metric, double value) {
    const char *const fields[] = {r->benchmark, r->model, task, group, metric};
    for (int k = 0; k < 5; k++) {
        peft__bench_csv_field(s, fields[k]);
        peft__string_puts(s, ",");
    }
    peft__string_format(s, "%g\n", value);
}

static void peft__bench_table_csv(peft__string *s, const peft_benchmark_results *r, int64_t models, const double *rates) {
    peft__string_puts(s, "benchmark,model,task,group,metric,value\n");
    for (int64_t m = 0; m < models; m++) {
        for (int64_t i = 0; i < r[m].count; i++) {
            const peft_benchmark_result *t = &r[m].tasks[i];
            if (t->status) continue;
            peft__bench_csv_row(s, &r[m], t->task, t->group, "score", t->score);
            for (int k = 0; k < t->metric_count; k++)
                peft__bench_csv_row(s, &r[m], t->task, t->group, t->metrics[k].name, t->metrics[k].value);
        }
        for (int k = 0; k < r[m].average_count; k++)
            peft__bench_csv_row(s, &r[m], "", "", r[m].averages[k].name, r[m].averages[k].value);
        if (models > 1) peft__bench_csv_row(s, &r[m], "", "", "mean win rate", rates[m]);
    }
}

static void peft__bench_html_text(peft__string *s, const char *text) {
    for (const char *p = text; *p; p++) {
        const char *entity = *p == '&' ? "&amp;" : *p == '<' ? "&lt;" : *p == '>' ? "&gt;" : *p == '"' ? "&quot;" : NULL;
        if (entity) peft__string_puts(s, entity);
        else peft__string_append(s, p, 1);
    }
}

static void peft__bench_html_bar(peft__string *s, double v, int64_t model) {
    static const char *const colors[] = {"#2b6cb0", "#c05621", "#2f855a", "#6b46c1", "#b83280", "#718096"};
    char width[24], cell[24];
    double shown = PEFT__MIN(PEFT__MAX(v, 0.0), 1.0);
    peft__bench_decimal(width, sizeof(width), 200 * shown, 1);
    peft__bench_percent(cell, v);
    peft__string_puts(s, "<svg width=\"260\" height=\"16\" role=\"img\"><rect width=\"200\" height=\"16\" fill=\"#e8ecf0\"/>");
    peft__string_format(s, "<rect width=\"%s\" height=\"16\" fill=\"%s\"/>", width, colors[model % PEFT__COUNT(colors)]);
    peft__string_format(s, "<text x=\"206\" y=\"13\" font-size=\"12\">%s</text></svg>", cell);
}

static void peft__bench_html_row(peft__string *s, const peft_benchmark_results *r, int64_t models, int64_t i) {
    const peft_benchmark_result *t = &r->tasks[i];
    peft__string_puts(s, "<tr><th>");
    peft__bench_html_text(s, t->task);
    peft__string_format(s, "</th><td>%lld</td>", (long long)t->examples);
    for (int64_t m = 0; m < models; m++) {
        const peft_benchmark_result *u = &r[m].tasks[i];
        peft__string_puts(s, "<td>");
        if (u->status) peft__bench_html_text(s, u->note);
        else peft__bench_html_bar(s, u->score, m);
        peft__string_puts(s, "<small>");
        for (int k = 0; k < u->metric_count && !u->status; k++) {
            char cell[24];
            peft__bench_percent(cell, u->metrics[k].value);
            peft__string_puts(s, k ? ", " : " ");
            peft__bench_html_text(s, u->metrics[k].name);
            peft__string_format(s, " %s", cell);
        }
        peft__string_puts(s, "</small></td>");
    }
    peft__string_puts(s, "</tr>\n");
}

static void peft__bench_table_html(peft__string *s, const peft_benchmark_results *r, int64_t models, const double *rates) {
    peft__string_format(s, "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>%s</title>\n<style>", r->benchmark);
    peft__string_puts(s, "body{font:15px/1.5 sans-serif;margin:2em;color:#1a202c}table{border-collapse:collapse}"
                         "th,td{text-align:left;padding:.25em .8em;border-bottom:1px solid #e2e8f0;vertical-align:top}"
                         "small{display:block;color:#4a5568}</style></head>\n");
    peft__string_format(s, "<body><h1>%s</h1><p>", r->benchmark);
    peft__bench_html_text(s, r->signature);
    peft__string_puts(s, "</p>\n<table><thead><tr><th>task</th><th>examples</th>");
    for (int64_t m = 0; m < models; m++) {
        peft__string_puts(s, "<th>");
        peft__bench_html_text(s, r[m].model);
        peft__string_puts(s, "</th>");
    }
    peft__string_puts(s, "</tr></thead>\n<tbody>\n");
    for (int64_t i = 0; i < r->count; i++) peft__bench_html_row(s, r, models, i);
    peft__string_puts(s, "</tbody>\n<tfoot>\n");
    for (int k = 0; k < r->average_count + (models > 1); k++) {
        bool wins = k == r->average_count;
        peft__string_puts(s, "<tr><th>");
        peft__bench_html_text(s, wins ? "mean win rate" : r->averages[k].name);
        if (k) peft__string_puts(s, "</th><td></td>");
        else peft__string_format(s, "</th><td>%lld of %lld tasks</td>", (long long)r->scored, (long long)r->expected);
        for (int64_t m = 0; m < models; m++) {
            peft__string_puts(s, "<td>");
            if (wins || k < r[m].average_count) peft__bench_html_bar(s, wins ? rates[m] : r[m].averages[k].value, m);
            peft__string_puts(s, "</td>");
        }
        peft__string_puts(s, "</tr>\n");
    }
    peft__string_puts(s, "</tfoot></table></body></html>\n");
}

PEFTDEF peft_status peft_benchmark_table(const peft_benchmark_results *r, int64_t models, peft_table_format format, char **text) {
    *text = NULL;
    if (!r || !r->context) return PEFT_ERROR_ARGUMENT;
    if (models < 1 || (unsigned)format > (unsigned)PEFT_TABLE_HTML)
        return peft__fail(r->context, PEFT_ERROR_ARGUMENT, "peft_benchmark_table: no models or no such format");
    for (int64_t m = 1; m < models; m++)
        if (strcmp(r[m].benchmark, r->benchmark) != 0 || r[m].count != r->count)
            return peft__fail(r->context, PEFT_ERROR_ARGUMENT, "peft_benchmark_table: %s has %s's %lld tasks, %s has %s's %lld",
                              r[m].model, r[m].benchmark,
                              (long long)r[m].count, r->model, r->benchmark, (long long)r->count);
    double *rates = (double *)peft__calloc(r->context, models, sizeof(double));
    peft_status status = rates ? peft__bench_wins(r, models, rates) : PEFT_ERROR_MEMORY;
    if (status) {
        peft__free(r->context, rates);
        return status;
    }
    peft__string s;
    peft__string_init(&s, r->context);
    if (format == PEFT_TABLE_TEXT) peft__bench_table_text(&s, r, models, rates);
    if (format == PEFT_TABLE_JSON) peft__bench_table_json(&s, r, models, rates);
    if (format == PEFT_TABLE_CSV) peft__bench_table_csv(&s, r, models, rates);
    if (format == PEFT_TABLE_HTML) peft__bench_table_html(&s, r, models, rates);
    peft__free(r->context, rates);
    if (s.failed) {
        peft__string_free(&s);
        return PEFT_ERROR_MEMORY;
    }
    *text = s.data;
    return PEFT_OK;
}

#endif
