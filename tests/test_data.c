// Chapter 11: datasets and templates. Files are mounted from memory. Prints failures and a final "N passed, N failed".
#include "peft.h"

#include "check.h"
#include "counter.h"
#include "text.h"
#include <math.h>

static int passed, failed;
static peft_context *ctx;

static void check(const char *name, bool ok) {
    if (test_count(&passed, &failed, ok, name)) printf("%-58s FAIL %s\n", name, peft_error(ctx));
}

static int file_count;

// A new file of that extension; its name goes to `path`.
static void mount(char *path, const char *extension, const char *text, size_t n) {
    snprintf(path, 64, "mem%d.%s", file_count++, extension);
    peft_mount(ctx, path, text, n);
}

static peft_dataset *load(const char *extension, const char *text, const char *prompt, const char *completion) {
    char path[64];
    peft_dataset *data = NULL;
    peft_dataset_desc d;
    mount(path, extension, text, strlen(text));
    memset(&d, 0, sizeof d);
    d.context = ctx, d.path = path, d.prompt = prompt, d.completion = completion;
    peft_dataset_load(&d, &data);
    return data;
}

// Every example as "prompt|completion;".
static void reads(const char *name, const char *extension, const char *text, const char *prompt, const char *completion, const char *expected) {
    peft_dataset *data = load(extension, text, prompt, completion);
    test_text all = {NULL, 0};
    test_text_format(&all, "%s", "");
    for (int64_t i = 0; i < peft_dataset_count(data); i++)
        test_text_format(&all, "%s|%s;", peft_dataset_prompt(data, i), peft_dataset_completion(data, i));
    check(name, data && strcmp(all.data, expected) == 0);
    if (data && strcmp(all.data, expected) != 0) printf("  got      %s\n  expected %s\n", all.data, expected);
    free(all.data);
    peft_dataset_destroy(data);
}

static void fails(const char *name, peft_status expected, const char *extension, const char *text, size_t n, const char *prompt, const char *message) {
    char path[64];
    peft_dataset *data = (peft_dataset *)&path;
    peft_dataset_desc d;
    mount(path, extension, text, n);
    memset(&d, 0, sizeof d);
    d.context = ctx, d.path = path, d.prompt = prompt;
    size_t before = peft_memory_in_use(ctx);
    peft_status status = peft_dataset_load(&d, &data);
    bool ok = status == expected && !data && strstr(peft_error(ctx), message) && peft_memory_in_use(ctx) == before;
    check(name, ok);
    if (!ok) printf("  status %d, expected %d with \"%s\"\n", (int)status, (int)expected, message);
}

#define FAILS(name, status, extension, text, prompt, message) fails(name, status, extension, text, sizeof(text) - 1, prompt, message)

static void test_jsonl(void) {
    reads("two lines", "jsonl", "{\"prompt\": \"a\", \"completion\": \"b\"}\n{\"completion\": \"d\", \"prompt\": \"c\"}\n", NULL, NULL, "a|b;c|d;");
    reads("no newline at the end, CRLF, blank lines, BOM", "jsonl",
          "\xEF\xBB\xBF\n{\"prompt\":\"a\",\"completion\":\"\"}\r\n  \r\n{\"prompt\":\"\",\"completion\":\"b\"}", NULL, NULL, "a|;|b;");
    reads("templates", "jsonl", "{\"x\": \"1\", \"y z\": \"2\"}", "<{{x}} {{ x }}{{\ty z }}>", "}} { {{y z}}", "<1 12>|}} { 2;");
    reads("other values as JSON text", "jsonl",
          "{ \"a\" : 1.0 , \"b\": 12345678901234567890, \"c\":true,\"d\":[1, \"],}\\\"\"], \"e\": {\"f\": [null]} }", "{{a}} {{b}} {{c}}", "{{d}} {{e}}",
          "1.0 12345678901234567890 true|[1, \"],}\\\"\"] {\"f\": [null]};");
    reads("escapes", "jsonl", "{\"a\\\"\\u0062\": \"\\u00e9\\n\\ud83d\\ude00 \\\\\"}", "{{a\"b}}", "",
          "\xC3\xA9\n\xF0\x9F\x98\x80 \\|;");
    reads("the last of two equal names", "jsonl", "{\"a\": 1, \"a\": 2}", "{{a}}", "", "2|;");
    reads("values are not templates", "jsonl", "{\"a\": \"{{b}}\", \"b\": \"{{\"}", "{{a}}", "{{b}}", "{{b}}|{{;");
    reads("no lines", "jsonl", "\n\n", NULL, NULL, "");
    FAILS("bad JSON", PEFT_ERROR_FORMAT, "jsonl", "{\"prompt\": \"\", \"completion\": 1}\n\n{\"prompt\": \n", NULL, ".jsonl:3: JSON: ends in the middle");
    FAILS("two objects", PEFT_ERROR_FORMAT, "jsonl", "{} {}", "", ".jsonl:1: JSON: something behind the end");
    FAILS("not an object", PEFT_ERROR_FORMAT, "jsonl", "[1]", "", ".jsonl:1: not a JSON object");
    FAILS("invalid UTF-8", PEFT_ERROR_FORMAT, "jsonl", "{\"prompt\": \"\xC3\"}", "", ".jsonl:1: not valid UTF-8");
    FAILS("NUL in the file", PEFT_ERROR_FORMAT, "jsonl", "{\"prompt\": \0 1}", "", ".jsonl:1: JSON: not a value");
    FAILS("NUL in a field", PEFT_ERROR_FORMAT, "jsonl", "{\"prompt\": \"a\\u0000b\"}", NULL, "field \"prompt\" holds a NUL");
    FAILS("missing field", PEFT_ERROR_MISSING, "jsonl", "{\"a\": 1, \"completion\": 2}\n{\"completion\": 2}", "{{a}}", ".jsonl:2: field \"a\" of the prompt template is missing");
    FAILS("missing field of the completion", PEFT_ERROR_MISSING, "jsonl", "{}", "x", ".jsonl:1: field \"completion\" of the completion template is missing");
    FAILS("null field", PEFT_ERROR_MISSING, "jsonl", "{\"a\": null}", "{{a}}", "field \"a\" of the prompt template is null");
    FAILS("unclosed template", PEFT_ERROR_ARGUMENT, "jsonl", "{}", "abc {{x} y", "prompt template: \"{{\" at byte 4 is not closed");
    FAILS("FLAN's braces", PEFT_ERROR_ARGUMENT, "jsonl", "{\"dialogue\": 1, \"summary\": 2}",
          "Sum: {dialogue}",
          "\"{dialogue}\" would stand there as it is; a field is written {{name}}. Fields of");
    FAILS("the fields that there are", PEFT_ERROR_ARGUMENT, "jsonl", "{\"dialogue\": 1, \"summary\": 2}",
          "Sum: {dialogue}",
          ".jsonl: dialogue, summary");
    FAILS("no field", PEFT_ERROR_ARGUMENT, "jsonl", "{\"a\": 1, \"b\": 2}", "Summarize.",
          "every prompt would be the same. Fields of");
    FAILS("unclosed, with the fields", PEFT_ERROR_ARGUMENT, "jsonl", "{\"a\": 1, \"b\": 2}", "{{a",
          ".jsonl: a, b");
    FAILS("missing, with the fields", PEFT_ERROR_MISSING, "jsonl", "{\"a\": 1, \"b\": 2}", "{{c}}",
          "is missing; there are: a, b");
    reads("braces that are no field", "jsonl", "{\"a\": 1}", "{b} {\"x\": {{a}}}", "", "{b} {\"x\": 1}|;");
    FAILS("template without a name", PEFT_ERROR_ARGUMENT, "jsonl", "{}", "{{ }}", "no field name");
}

// Prompts and completions of a whole description.
static void gives(const char *name, peft_dataset_desc d, const char *extension, const char *text,
                  const char *expected) {
    char path[64];
    peft_dataset *data = NULL;
    test_text all = {NULL, 0};
    mount(path, extension, text, strlen(text));
    d.context = ctx, d.path = path;
    test_text_format(&all, "%s", "");
    peft_dataset_load(&d, &data);
    for (int64_t i = 0; i < peft_dataset_count(data); i++) {
        test_text_format(&all, "%s|%s", peft_dataset_prompt(data, i), peft_dataset_completion(data, i));
        for (int64_t k = 0; peft_dataset_choice(data, i, k); k++)
            test_text_format(&all, "%s%s", k ? "," : "|", peft_dataset_choice(data, i, k));
        test_text_format(&all, ";");
    }
    bool ok = data ? strcmp(all.data, expected) == 0 : strstr(peft_error(ctx), expected) != NULL;
    check(name, ok);
    if (!ok) printf("  got      %s\n  expected %s\n", data ? all.data : peft_error(ctx), expected);
    free(all.data);
    peft_dataset_destroy(data);
}

static peft_dataset_desc templates(const char *prompt, const char *completion, const char *answer_choices) {
    peft_dataset_desc d;
    memset(&d, 0, sizeof d);
    d.prompt = prompt, d.completion = completion, d.answer_choices = answer_choices;
    return d;
}

static void test_jinja(void) {
    static const char reviews[] =
        "{\"title\": \"Bad\", \"content\": \"It broke.\", \"label\": 0}\n{\"title\": \"Good\", \"content\": "
        "\"Works\", \"label\": 1}";
    gives("promptsource's whole form",
          templates("Title: {{title}}\nReview: {{content}}\nIs it negative? ||| {{answer_choices[label]}}",
                    NULL, "Yes ||| No"),
          "jsonl", reviews,
          "Title: Bad\nReview: It broke.\nIs it negative?|Yes|Yes,No;Title: Good\nReview: Works\nIs it "
          "negative?|No|Yes,No;");
    gives("choices of the record",
          templates("{{title}}: {{answer_choices|join(\" or \")}}?", "{{answer_choices[label]}}",
                    "{{title|lower}} ||| {{ content }}"),
          "jsonl", reviews,
          "Bad: bad or It broke.?|bad|bad,It broke.;Good: good or Works?|Works|good,Works;");
    gives("statements", templates("{% if label %}{{title}}{% else %}no{% endif %}", "{{label}}", NULL),
          "jsonl", reviews, "no|0;Good|1;");
    gives("statements in a table",
          templates("{% for w in a.split() %}{{w|upper}}.{% endfor %}", "{{b}}", NULL), "csv",
          "a,b\nx y,1\nz,2\n", "X.Y.|1;Z.|2;");
    gives("comments", templates("{{a}}{# b #}", "", NULL), "jsonl", "{\"a\": 1}", "1|;");
    gives("lists are Python's in Jinja", templates("{{a}} ||| {{b}}", NULL, NULL), "jsonl",
          "{\"a\": [\"x\", 1.0, true], \"b\": false}", "['x', 1.0, True]|False;");
    gives("bars in a record", templates("{{a}} ||| {{b}}", NULL, NULL), "jsonl",
          "{\"a\": \"x ||| y\", \"b\": \" |||| \"}", "x ||| y|||||;");
    gives("bars in a record, two templates", templates("{{a|trim}}", "{{b}}", NULL), "jsonl",
          "{\"a\": \"x|||y \", \"b\": \"|||\"}", "x|||y||||;");
    gives("records without a text are left out", templates("{% if a %}{{a}} ||| b{% endif %}", NULL, NULL),
          "jsonl", "{\"a\": 0}\n{\"a\": 1}\n{\"a\": \"\"}", "1|b;");
    gives("no bars for a record", templates("{{a}}{% if a == 1 %} ||| {% endif %}", NULL, NULL), "jsonl",
          "{\"a\": 1}\n{\"a\": 2}", ":2: the template gives no |||");
    gives("two bars", templates("{{a}} ||| b ||| c", NULL, NULL), "jsonl", "{\"a\": 1}",
          ":1: the template gives more than one |||");
    gives("bars and a completion", templates("{{a}} ||| b", "{{a}}", NULL), "jsonl", "{\"a\": 1}",
          "there is a completion template too");
    gives("an undefined name", templates("{{title|upper}} {{boddy}} ||| x", NULL, NULL), "jsonl", reviews,
          ":1: prompt template:1: \"boddy\" is undefined, in: boddy; there are: title, content, label");
    gives("a null", templates("{{a}}{{b|default(1)}} ||| x", NULL, NULL), "jsonl", "{\"a\": null}",
          "it is null, in: a");
    gives("an undefined name that is only asked for",
          templates("{{a}}{% if b %}{{b}}{% endif %} ||| {{c|default('x')}}", NULL, NULL), "jsonl",
          "{\"a\": 1}\n{\"a\": 2, \"b\": 3}", "1|x;23|x;");
    gives("a constant in Jinja", templates("{% if true %}x{% endif %}", "{{a}}", NULL), "jsonl",
          "{\"a\": 1, \"b\": 2}", "every prompt would be the same. Fields of");
    gives("an unknown filter", templates("{{a|nofilter}}", "{{a}}", NULL), "jsonl", "{\"a\": 1, \"b\": 2}",
          "there is no filter \"nofilter\", in: a|nofilter. Fields of");
    gives("a field answer_choices", templates("{{a|upper}}", "{{a}}", "x ||| y"), "jsonl",
          "{\"a\": 1, \"answer_choices\": 2}", "has a field answer_choices");
    peft_dataset_desc d = templates("Say {dialogue} {{so}}:", "{ summary }", NULL);
    d.style = PEFT_STYLE_FLAN;
    gives("FLAN's braces", d, "jsonl", "{\"dialogue\": \"a {b}\", \"summary\": \"c\"}", "Say a {b} {so}:|c;");
    d.prompt = "{dialog}";
    gives("FLAN's braces: missing", d, "jsonl", "{\"dialogue\": 1, \"summary\": 2}",
          "field \"dialog\" of the prompt template is missing; there are: dialogue, summary");
    d.prompt = "a } b";
    gives("FLAN's braces: one", d, "jsonl", "{\"dialogue\": 1, \"summary\": 2}",
          "the brace at byte 2 has no other");
    d.style = (peft_template_style)7;
    gives("no such style", d, "jsonl", "{}", "style is 7");
    d = templates("{{ ['a', 'b', 'c', 'd']|choice }}{{n}} ||| x", NULL, NULL);
    char path[64];
    peft_dataset *one = NULL, *again = NULL, *other = NULL;
    static const char ones[] =
        "{\"n\": 1}\n{\"n\": 1}\n{\"n\": 1}\n{\"n\": 1}\n{\"n\": 1}\n{\"n\": 1}\n{\"n\": 1}\n{\"n\": "
        "1}\n{\"n\": 1}\n{\"n\": 1}\n{\"n\": 1}\n{\"n\": 1}\n";
    mount(path, "jsonl", ones, strlen(ones));
    d.context = ctx, d.path = path;
    bool loaded = !peft_dataset_load(&d, &one) && !peft_dataset_load(&d, &again);
    d.seed = 5;
    loaded = loaded && !peft_dataset_load(&d, &other);
    int same = 0, like = 0, varied = 0;
    for (int64_t i = 0; loaded && i < 12; i++) {
        same += strcmp(peft_dataset_prompt(one, i), peft_dataset_prompt(again, i)) == 0;
        like += strcmp(peft_dataset_prompt(one, i), peft_dataset_prompt(other, i)) == 0;
        varied += strcmp(peft_dataset_prompt(one, i), peft_dataset_prompt(one, 0)) != 0;
    }
    check("choices by seed and record", loaded && same == 12 && like < 12 && varied > 0);
    peft_dataset_destroy(one), peft_dataset_destroy(again), peft_dataset_destroy(other);
    d = templates("{{title}}{{label}}", "{{label}}", "{{title}}A ||| {{title}}B");
    mount(path, "jsonl", reviews, strlen(reviews));
    peft_dataset *whole = NULL, *rest = NULL, *part = NULL, *mixed = NULL;
    d.context = ctx, d.path = path;
    loaded = !peft_dataset_load(&d, &whole) && !peft_dataset_split(whole, 0.5, 1, &rest, &part);
    const peft_dataset *sets[2] = {rest, part};
    peft_mix_desc m;
    memset(&m, 0, sizeof m);
    m.datasets = sets, m.count = 2;
    loaded = loaded && !peft_dataset_mix(&m, &mixed) && peft_dataset_count(mixed) == 2;
    for (int64_t i = 0; loaded && i < 2; i++) {
        char want[16];
        snprintf(want, sizeof want, "%.*sB", (int)strlen(peft_dataset_prompt(mixed, i)) - 1,
                 peft_dataset_prompt(mixed, i));
        check("choices of parts and mixtures",
              peft_dataset_choice(mixed, i, 1) && strcmp(peft_dataset_choice(mixed, i, 1), want) == 0 &&
                  !peft_dataset_choice(mixed, i, 2));
    }
    check("no choice",
          loaded && !peft_dataset_choice(mixed, 2, 0) && !peft_dataset_choice(mixed, 0, -1) &&
              !peft_dataset_choice(NULL, 0, 0));
    peft_dataset_destroy(whole), peft_dataset_destroy(rest), peft_dataset_destroy(part),
        peft_dataset_destroy(mixed);
    char *text = NULL;
    check("fill with Jinja",
          peft_template_fill(ctx, "{{a|upper}} {% if b %}y{% endif %}", "{\"a\": \"x\", \"b\": true}",
                             &text) == PEFT_OK &&
              strcmp(text, "X y") == 0);
    peft_free(ctx, text);
}

static void test_csv(void) {
    reads("plain", "csv", "prompt,completion\na,b\nc,d", NULL, NULL, "a|b;c|d;");
    reads("CRLF, BOM, blank lines, empty fields", "CSV", "\xEF\xBB\xBF\"prompt\",completion\r\n\r\na,\r\n,b\r\n", NULL, NULL, "a|;|b;");
    reads("quotes", "csv", "prompt,completion\n\"a, \"\"b\"\"\",\"line 1\r\nline 2\n\"\n\"\",\"\"\"\"\n", NULL, NULL, "a, \"b\"|line 1\r\nline 2\n;|\";");
    reads("a quote within a bare field", "csv", "prompt,completion\n5\" pipe, \"x\"\n", NULL, NULL, "5\" pipe| \"x\";");
    reads("tabs", "tsv", "completion\tother\tprompt\n1,2\t\t\"x\ty\"\n", NULL, NULL, "x\ty|1,2;");
    reads("one column", "csv", "text\nhello\n\nworld\r", "{{text}}", "", "hello|;world|;");
    reads("header only", "csv", "prompt,completion", NULL, NULL, "");
    FAILS("no header", PEFT_ERROR_FORMAT, "csv", "\n", NULL, "the first line has to name the columns");
    FAILS("too few fields", PEFT_ERROR_FORMAT, "csv", "prompt,completion\n\"x\ny\",1\nz\n", NULL, ".csv:4: 1 fields, the first line names 2");
    FAILS("too many fields", PEFT_ERROR_FORMAT, "csv", "prompt,completion\n1,2,3,4\n", NULL, ".csv:2: 4 fields, the first line names 2");
    FAILS("unclosed quote", PEFT_ERROR_FORMAT, "csv", "prompt,completion\n1,2\n1,\"2\n3\n", NULL, ".csv:3: a quoted field without its closing quote");
    FAILS("text behind a quote", PEFT_ERROR_FORMAT, "csv", "a,b\n\"1\"x,2\n", "", ".csv:2: text behind a closing quote");
    FAILS("invalid UTF-8 in CSV", PEFT_ERROR_FORMAT, "csv", "prompt,completion\n\xE9t\xE9,1\n", NULL, ".csv:2: not valid UTF-8");
    FAILS("NUL in CSV", PEFT_ERROR_FORMAT, "csv", "prompt,completion\na\0b,1\n", NULL, ".csv:2: field \"prompt\" holds a NUL");
    FAILS("missing column", PEFT_ERROR_MISSING, "csv", "a,b\n1,2\n", "{{c}}", ".csv:2: field \"c\" of the prompt template is missing");
    FAILS("unknown extension", PEFT_ERROR_UNSUPPORTED, "txt", "a", NULL,
          "none of .jsonl, .json, .ndjson, .csv, .tsv");
}

static void test_nested(void) {
    static const char line[] = "{\"m\": [{\"c\": \"Hi\"}, {\"c\": \"Ho\"}], \"a\": {\"t\": [\"P\"], \"x y\": 1.50 }, \"a.t\": 0, \"n\": null}";
    reads("an element of a list", "jsonl", line, "{{m[0].c}}{{ m[-1].c }}", "", "HiHo|;");
    reads("a list inside", "jsonl", line, "{{a}} {{ a['x y'] }}", "{{m[1]}}",
          "{\"t\": [\"P\"], \"x y\": 1.50 } 1.50|{\"c\": \"Ho\"};");
    reads("a name with a dot comes first", "jsonl", line, "{{a.t}}", "", "0|;");
    reads("every entry of squad", "jsonl", "{\"answers\": {\"text\": [\"Paris\"]}}", "{{answers.text}}",
          "{{answers.text[0]}}", "[\"Paris\"]|Paris;");
    FAILS("beyond the list", PEFT_ERROR_MISSING, "jsonl", "{\"m\": [1]}", "{{m[1]}}",
          "\"m[1]\" of the prompt template is missing; there are: m");
    FAILS("before the list", PEFT_ERROR_MISSING, "jsonl", "{\"m\": [1]}", "{{m[-2]}}", "is missing");
    FAILS("no list", PEFT_ERROR_MISSING, "jsonl", "{\"m\": {\"0\": 1}}", "{{m[0]}}", "is missing");
    FAILS("no object", PEFT_ERROR_MISSING, "jsonl", "{\"m\": [1]}", "{{m.x}}", "is missing");
    FAILS("half a step", PEFT_ERROR_MISSING, "jsonl", "{\"m\": [1]}", "{{m[}}", "is missing");
    FAILS("half a name", PEFT_ERROR_MISSING, "jsonl", "{\"m\": {\"x\": 1}}", "{{m['x}}", "is missing");
    FAILS("a null inside", PEFT_ERROR_MISSING, "jsonl", "{\"m\": [null]}", "{{m[0]}}", "is null");
    FAILS("no record at all", PEFT_ERROR_MISSING, "jsonl", "{\"m\": 1}", "{{.}}", "is missing");
}

static void test_files(void) {
    reads("a list", "json",
          " [\n{\"prompt\": 1, \"completion\": [2]} ,\r\n {\"prompt\": \"x\", \"completion\": {}}\n]\n", NULL,
              NULL, "1|[2];x|{};");
    reads("an empty list", "json", "[ ]", NULL, NULL, "");
    reads("lines in .json", "json", "{\"prompt\": 1, \"completion\": 2}\n{\"prompt\": 3, \"completion\": 4}",
          NULL, NULL, "1|2;3|4;");
    reads("a list in .jsonl, with a mark", "JSONL", "\xEF\xBB\xBF[{\"prompt\": 1, \"completion\": 2}]", NULL,
          NULL, "1|2;");
    reads(".ndjson", "NDJSON", "{\"prompt\": 1, \"completion\": 2}", NULL, NULL, "1|2;");
    FAILS("a list that stops", PEFT_ERROR_FORMAT, "json", "[{\"prompt\": 1, \"completion\": 2}\n", NULL,
          ".json:2: JSON: ends in the middle");
    FAILS("a list without commas", PEFT_ERROR_FORMAT, "json", "[{\"prompt\": 1, \"completion\": 2}\n{}]",
          NULL, ".json:2: JSON: a ',' is missing");
    FAILS("a list with a comma too many", PEFT_ERROR_FORMAT, "json", "[{\"prompt\": 1, \"completion\": 2},]",
          NULL, "JSON: not a value");
    FAILS("a list and more", PEFT_ERROR_FORMAT, "json", "[{\"prompt\": 1, \"completion\": 2}] x", NULL,
          "something behind the end");
    FAILS("a list's missing field", PEFT_ERROR_MISSING, "json", "[\n{\"prompt\": 1, \"completion\": 2},\n{}]",
          NULL, ".json:3: field \"prompt\"");
    FAILS("a list's bad UTF-8", PEFT_ERROR_FORMAT, "json", "[{\"prompt\": \"\xC3\"}]", NULL,
          ".json:1: not valid UTF-8");
    reads("lone CR in lines", "jsonl",
          "{\"prompt\": 1, \"completion\": 2}\r{\"prompt\": 3, \"completion\": 4}\r", NULL, NULL, "1|2;3|4;");
    reads("lone CR in a table", "csv", "prompt,completion\ra,b\rc,\"d\re\"\r", NULL, NULL, "a|b;c|d\re;");
    FAILS("lines of lone CR", PEFT_ERROR_FORMAT, "csv", "prompt,completion\ra,\"b\rc\"\rx", NULL,
          ".csv:4: 1 fields");
    FAILS("a TSV whose rows would be merged", PEFT_ERROR_FORMAT, "tsv",
          "prompt\tcompletion\n\"A\t1\nfine\t0\nB\"\t1\n", NULL,
          ".tsv:2: a quoted field goes on over the end of the line; say whether");
    FAILS("gzip", PEFT_ERROR_UNSUPPORTED, "jsonl.gz", "\x1f\x8b", NULL,
          ".jsonl.gz: .gz files are not read; to convert it: gunzip -k mem");
    FAILS("Parquet", PEFT_ERROR_UNSUPPORTED, "PARQUET", "PAR1", NULL, "pandas.read_parquet('mem");
    peft_dataset *data = NULL;
    peft_dataset_desc d;
    char path[64];
    memset(&d, 0, sizeof d);
    d.context = ctx, d.path = path;
    static const char rows[] = "prompt\tcompletion\n\"A\t1\nfine\t0\nB\"\t1\nthird\t0\n";
    mount(path, "tsv", rows, sizeof rows - 1);
    d.quotes = PEFT_QUOTES_NONE;
    check("quotes that are none", peft_dataset_load(&d, &data) == PEFT_OK && peft_dataset_count(data) == 4 &&
          strcmp(peft_dataset_prompt(data, 0), "\"A") == 0 &&
                                      strcmp(peft_dataset_prompt(data, 2), "B\"") == 0 &&
                                          strcmp(peft_dataset_fields(data), "prompt, completion") == 0);
    peft_dataset_destroy(data);
    d.quotes = PEFT_QUOTES_RFC4180;
    check("quotes over lines where it is said", peft_dataset_load(&d, &data) == PEFT_OK &&
          peft_dataset_count(data) == 2 && strcmp(peft_dataset_prompt(data, 0), "A\t1\nfine\t0\nB") == 0);
    peft_dataset_destroy(data);
    d.quotes = (peft_data_quotes)7;
    check("quotes unknown", peft_dataset_load(&d, &data) == PEFT_ERROR_ARGUMENT && !data);
    mount(path, "txt", "prompt,completion\n1,2\n", 22);
    d.quotes = PEFT_QUOTES_AUTO, d.format = "csv";
    check("a format that is said", peft_dataset_load(&d, &data) == PEFT_OK && peft_dataset_count(data) == 1);
    peft_dataset_destroy(data);
    d.format = "xml";
    check("a format unknown", peft_dataset_load(&d, &data) == PEFT_ERROR_ARGUMENT && !data &&
          strstr(peft_error(ctx), "\"xml\""));
}

static void test_mix(void) {
    peft_dataset *small = load("jsonl", "{\"n\": 1}\n{\"n\": 2}", "{{n}}", ""),
        *large = load("jsonl", "{\"n\": 3}\n{\"n\": 4}\n{\"n\": 5}\n{\"n\": 6}", "{{n}}", ""), *mixed = NULL;
    const peft_dataset *both[] = {small, large};
    peft_mix_desc d;
    memset(&d, 0, sizeof d);
    d.datasets = both, d.count = 2, d.limit = 60;
    static const double temperatures[] = {1, 0.5, 0.001, 1e-300, 1e300};
    static const int expected[] = {20, 12, 0, 0, 30};  // of 60, 2^(1/T) to 4^(1/T) are of the small one
    for (int i = 0; i < 5; i++) {
        int n = 0;
        char name[64];
        d.temperature = temperatures[i];
        bool ok = peft_dataset_mix(&d, &mixed) == PEFT_OK && peft_dataset_count(mixed) == 60;
        for (int64_t k = 0; ok && k < 60; k++) n += peft_dataset_prompt(mixed, k)[0] < '3';
        snprintf(name, sizeof name, "mixture at temperature %g", temperatures[i]);
        check(name, ok && n == expected[i]);
        peft_dataset_destroy(mixed);
    }
    check("joined in order", peft_dataset_join(both, 2, &mixed) == PEFT_OK && peft_dataset_count(mixed) == 6 &&
                                 peft_dataset_prompt(mixed, 0)[0] == '1' && peft_dataset_prompt(mixed, 5)[0] == '6');
    peft_dataset_destroy(mixed);
    check("nothing to join", peft_dataset_join(both, 0, &mixed) == PEFT_ERROR_ARGUMENT && !mixed);
    static const char *const names[] = {"s", "l"};
    int n = 0;
    d.names = names, d.temperature = 1, d.limit = 8;  // 2.67 and 5.33: the larger remainder is rounded up
    bool named = peft_dataset_mix(&d, &mixed) == PEFT_OK && peft_dataset_count(mixed) == 8;
    for (int64_t k = 0; named && k < 8; k++) {
        const char *task = peft_dataset_task(mixed, k);
        named = task && *task == (peft_dataset_prompt(mixed, k)[0] < '3' ? 's' : 'l');
        n += named && *task == 's';
    }
    check("tasks of a mixture", named && n == 3 && !peft_dataset_task(mixed, 8));
    peft_dataset_destroy(mixed);
    d.cap = -1;
    check("a negative cap", peft_dataset_mix(&d, &mixed) == PEFT_ERROR_ARGUMENT && strstr(peft_error(ctx), "cap -1") && !mixed);
    peft_dataset *none = load("jsonl", "", "{{n}}", "");
    const peft_dataset *with_none[] = {small, none};
    d.datasets = with_none, d.cap = 0;
    check("a task without examples", peft_dataset_mix(&d, &mixed) == PEFT_ERROR_ARGUMENT && strstr(peft_error(ctx), "task 1 l has no examples"));
    peft_dataset_destroy(small), peft_dataset_destroy(large), peft_dataset_destroy(none);
}

static void test_arguments(void) {
    peft_dataset *data = NULL;
    peft_dataset_desc d;
    memset(&d, 0, sizeof d);
    check("no context", peft_dataset_load(&d, &data) == PEFT_ERROR_ARGUMENT);
    d.context = ctx;
    check("no path", peft_dataset_load(&d, &data) == PEFT_ERROR_ARGUMENT && !data);
    d.path = "nowhere/at/all.jsonl";
    check("no file", peft_dataset_load(&d, &data) == PEFT_ERROR_MISSING && strstr(peft_error(ctx), d.path));
    d.path = "three.jsonl";
    static const char three[] = "{\"prompt\":1,\"completion\":1}\n{\"prompt\":2,\"completion\":2}\nnever read";
    peft_mount(ctx, d.path, three, sizeof three - 1);
    d.limit = 2;
    check("limit", peft_dataset_load(&d, &data) == PEFT_OK && peft_dataset_count(data) == 2);
    check("out of range", !peft_dataset_prompt(data, 2) && !peft_dataset_completion(data, -1));
    peft_dataset_destroy(data);
    d.limit = -1;
    check("negative limit", peft_dataset_load(&d, &data) == PEFT_ERROR_ARGUMENT && !data);
    d.limit = 0, d.turns = (peft_chat_turns)9;
    check("unknown turns", peft_dataset_load(&d, &data) == PEFT_ERROR_ARGUMENT && strstr(peft_error(ctx), "turns is 9"));
    d.turns = PEFT_TURNS_ASSISTANT, d.completion = "a ||| b";
    check("a completion with bars", peft_dataset_load(&d, &data) == PEFT_ERROR_ARGUMENT && strstr(peft_error(ctx), "which parts a prompt"));
    peft_chat *chat = NULL;
    peft_chat_desc c;
    memset(&c, 0, sizeof c);
    c.context = ctx, c.text = "{{ messages|length }}";
    check("a chat", peft_chat_open(&c, &chat) == PEFT_OK);
    d.chat = chat;
    check("a chat and templates", peft_dataset_load(&d, &data) == PEFT_ERROR_ARGUMENT && strstr(peft_error(ctx), "a chat and templates too"));
    peft_chat_close(chat);
}

static peft_dataset *numbers(int n) {
    static char text[8192];
    size_t size = 0;
    for (int i = 0; i < n; i++) size += (size_t)snprintf(text + size, sizeof text - size, "{\"n\": %d}\n", i);
    return load("jsonl", text, "{{n}}", "c{{n}}");
}

static void test_split(void) {
    peft_dataset *data = numbers(101), *rest, *part, *rest2, *part2;
    check("split", peft_dataset_split(data, 0.2, 7, &rest, &part) == PEFT_OK && peft_dataset_count(rest) == 81 && peft_dataset_count(part) == 20);
    check("split again", peft_dataset_split(data, 0.2, 7, &rest2, &part2) == PEFT_OK && peft_dataset_count(part2) == 20);
    peft_dataset_destroy(data);
    bool seen[101] = {false}, once = true, same = true, order = true, pairs = true;
    int last = -1;
    for (int i = 0; i < 101; i++) {
        const peft_dataset *from = i < 81 ? rest : part;
        const char *p = peft_dataset_prompt(from, i < 81 ? i : i - 81);
        int n = atoi(p);
        once = once && !seen[n];
        seen[n] = true;
        pairs = pairs && strcmp(p, peft_dataset_completion(from, i < 81 ? i : i - 81) + 1) == 0;
        if (i == 81) last = -1;
        order = order && n > last;
        last = n;
    }
    for (int i = 0; i < 20; i++) same = same && strcmp(peft_dataset_prompt(part, i), peft_dataset_prompt(part2, i)) == 0;
    check("every example once", once);
    check("pairs stay together", pairs);
    check("order is kept", order);
    check("same seed, same split", same);
    peft_dataset_destroy(rest), peft_dataset_destroy(part), peft_dataset_destroy(rest2), peft_dataset_destroy(part2);
    data = numbers(10);
    check("all", peft_dataset_split(data, 1, 1, &rest, &part) == PEFT_OK && peft_dataset_count(rest) == 0 && peft_dataset_count(part) == 10);
    peft_dataset_destroy(rest), peft_dataset_destroy(part);
    check("none", peft_dataset_split(data, 0, 1, &rest, &part) == PEFT_OK && peft_dataset_count(rest) == 10 && peft_dataset_count(part) == 0);
    peft_dataset_destroy(rest), peft_dataset_destroy(part);
    check("fraction above 1", peft_dataset_split(data, 1.5, 1, &rest, &part) == PEFT_ERROR_ARGUMENT && !rest && !part);
    check("fraction NaN", peft_dataset_split(data, (double)NAN, 1, &rest, &part) == PEFT_ERROR_ARGUMENT && !rest && !part);
    peft_dataset_destroy(data);
}

static void test_fill(void) {
    char *text = NULL;
    check("fill", peft_template_fill(ctx, "{{a}}+{{b}}", "{\"a\": \"x\", \"b\": 2.50}", &text) == PEFT_OK && strcmp(text, "x+2.50") == 0);
    peft_free(ctx, text);
    check("fill nothing", peft_template_fill(ctx, "", "{}", &text) == PEFT_OK && text && !*text);
    peft_free(ctx, text);
    check("fill: missing", peft_template_fill(ctx, "{{a}}", "{\"b\":1}", &text) == PEFT_ERROR_MISSING && !text && strstr(peft_error(ctx), "\"a\""));
    check("fill: bad JSON", peft_template_fill(ctx, "{{a}}", "{\"b\"}", &text) == PEFT_ERROR_FORMAT && !text);
    check("fill: empty JSON", peft_template_fill(ctx, "{{a}}", "", &text) == PEFT_ERROR_FORMAT && !text);
    check("fill: unclosed", peft_template_fill(ctx, "{{a}", "{}", &text) == PEFT_ERROR_ARGUMENT && !text);
}

// Damaged files give an error or data, never a crash (run under sanitizers, this finds out).
static void test_noise(void) {
    static const char *const endings[] = {"jsonl", "csv", "json", "tsv"};
    static const char *const seeds[] = {"{\"prompt\": \"a\\u00e9\", \"completion\": [1, {\"x\": \"y\"}]}\n{\"prompt\": 1, \"completion\": true}\n",
                                        "prompt,completion\n\"a \"\"b\"\"\",\"c\nd\"\r\ne,f\n",
                                        "[{\"prompt\": \"a\", \"completion\": [1, {\"x\": \"y\"}]}, {\"prompt\": 1, \"completion\": true}]\n",
                                        "prompt\tcompletion\n\"a \"\"b\"\"\"\tcd\r\ne\tf\n"};
    static const char letters[] = "\"\"{}[]:,\\\n\r\tu0e\xC3";
    static char texts[400][128];
    peft_rng rng;
    peft_rng_seed(&rng, 3);
    for (int round = 0; round < 400; round++) {
        char path[64], *text = texts[round];
        peft_dataset *data = NULL;
        peft_dataset_desc d;
        size_t n = strlen(seeds[round % 4]);
        memcpy(text, seeds[round % 4], n);
        for (int k = 0; k < 3; k++) text[(size_t)(peft_rng_uniform(&rng) * (double)n)] = letters[(size_t)(peft_rng_uniform(&rng) * (double)(sizeof letters))];
        mount(path, endings[round % 4], text, n - (size_t)(peft_rng_uniform(&rng) * 8));
        memset(&d, 0, sizeof d);
        d.context = ctx, d.path = path, d.completion = round % 3 ? NULL : "{{completion[1].x}}";
        if (peft_dataset_load(&d, &data) == PEFT_OK)
            for (int64_t i = 0; i < peft_dataset_count(data); i++) (void)strlen(peft_dataset_prompt(data, i));
        peft_dataset_destroy(data);
    }
    check("noise", true);
}

// The n-th allocation fails: an error, and nothing leaks.
static void test_memory(void) {
    counter memory = {0};
    static const char text[] = "a,b\n\"x \"\"y\"\"\",1\n2,3\n", lines[] = "{\"a\": \"x\", \"b\": [1]}\n",
        list[] = "[{\"a\": \"x\", \"b\": [1]}]\n";
    static const char *const files[] = {"m.csv", "m.jsonl", "m.json"};
    peft_context_desc c;
    memset(&c, 0, sizeof c);
    COUNT_IN(c, memory);
    peft_context *kept = ctx;
    bool ok = peft_context_create(&c, &ctx) == PEFT_OK;
    peft_mount(ctx, "m.csv", text, sizeof text - 1);
    peft_mount(ctx, "m.jsonl", lines, sizeof lines - 1);
    peft_mount(ctx, "m.json", list, sizeof list - 1);
    int64_t before = memory.live;
    for (int kind = 0; kind < 3; kind++)
        for (int64_t n = 0; n < 100; n++) {
            peft_dataset *data = NULL, *rest = NULL, *part = NULL, *joined = NULL;
            peft_dataset_desc d;
            memset(&d, 0, sizeof d);
            d.context = ctx, d.path = files[kind], d.prompt = "{{a}}", d.completion = "{{b}}";
            COUNT_ALLOW(memory, n);
            peft_status status = peft_dataset_load(&d, &data);
            if (!status) status = peft_dataset_split(data, 0.5, 1, &rest, &part);
            const peft_dataset *both[2] = {data, part};
            if (!status) status = peft_dataset_join(both, 2, &joined);
            COUNT_ALLOW(memory, -1);
            ok = ok && (status == PEFT_ERROR_MEMORY || status == PEFT_OK);
            peft_dataset_destroy(data), peft_dataset_destroy(rest), peft_dataset_destroy(part), peft_dataset_destroy(joined);
            ok = ok && memory.live == before;
            if (n == 99) ok = ok && status == PEFT_OK;
        }
    check("every allocation may fail", ok);
    peft_context_destroy(ctx);
    check("nothing left", memory.live == 0);
    ctx = kept;
}

int main(void) {
    if (peft_context_create(NULL, &ctx)) return 1;
    test_jsonl();
    test_jinja();
    test_csv();
    test_nested();
    test_files();
    test_mix();
    test_arguments();
    test_split();
    test_fill();
    test_noise();
    test_memory();
    peft_context_destroy(ctx);
    printf("test_data: %d passed, %d failed\n", passed, failed);
    return failed != 0;
}
