// Chapter 11, templates: what Jinja2 makes of them (tests/data/reference/templates.jsonl, written by
// tests/peers/check_templates.py), messages, limits, memory; chats and conversations.
//   cc -std=c11 -O2 -DPEFT_USE_PTHREADS -I. tests/test_template.c -o build/test_template -pthread -lm
#define PEFT_NO_METRICS  // what this program needs of the header
#define PEFT_IMPLEMENTATION
#include "peft.h"
#include "check.h"
#include "counter.h"
#include <stdio.h>

static int passed, failed;
static peft_context *ctx;

static void check(bool ok, const char *what) {
    if (test_count(&passed, &failed, ok, what)) printf("FAIL %s (%s)\n", what, peft_error(ctx));
}

static int64_t noon(void *user) {
    (void)user;
    return 1796040000;  // 2026-11-30 12:00:00
}

static peft_template_desc described(peft_context *c, const char *text, bool chat) {
    peft_template_desc d;
    memset(&d, 0, sizeof(d));
    d.context = c;
    d.text = text;
    d.chat = chat;
    d.now = noon;
    return d;
}

// The text of a template, or NULL; to be freed.
static char *rendered(peft_template_desc d, const char *json) {
    peft_template *t = NULL;
    const char *text = NULL;
    size_t n = 0;
    char *copy = NULL;
    if (!peft_template_create(&d, &t) && !peft_template_render(t, json, 0, &text, &n)) {
        copy = (char *)malloc(n + 1);
        memcpy(copy, text, n + 1);
    }
    peft_template_destroy(t);
    return copy;
}

static void gives(const char *text, bool chat, const char *json, const char *want) {
    char *got = rendered(described(ctx, text, chat), json);
    check(got && strcmp(got, want) == 0, text);
    if (got && strcmp(got, want) != 0 && failed < 40) printf("  got  %s\n  want %s\n", got, want);
    free(got);
}

// ---- what Jinja2 gives

static void test_reference(void) {
    static const char path[] = "tests/data/reference/templates.jsonl";
    char *text = NULL;
    int cases = 0;
    peft__arena arena, line;
    peft__json *first = NULL, *c = NULL;
    peft__arena_init(&arena, ctx);
    peft__arena_init(&line, ctx);
    bool read = peft__read_all(ctx, path, &text, NULL) == PEFT_OK;
    check(read, path);
    for (char *at = read ? text : NULL, *end; at && *at; at = end + (*end != 0)) {
        end = at + strcspn(at, "\n");
        if (!first) {  // the record of all cases
            check(!peft__json_parse(ctx, &arena, at, (size_t)(end - at), path, &first), "the record");
            if (!first) break;
            continue;
        }
        peft__arena_reset(&line);
        if (peft__json_parse(ctx, &line, at, (size_t)(end - at), path, &c)) {
            check(false, path);
            continue;
        }
        const peft__json *jinja = peft__json_get(c, "jinja"), *want = peft__json_get(c, "text");
        peft_template_desc d = described(ctx, jinja->string, peft__json_bool(c, "chat", false));
        peft_template *t = NULL;
        peft_status status = peft_template_create(&d, &t);
        if (!status) status = peft__template_run(t, first);
        bool ok = want
            ? !status && t->out.size == want->length && memcmp(t->out.data, want->string, want->length) == 0
            : status && *peft_error(ctx);
        check(ok, jinja->string);
        if (!ok && want && !status && failed < 40)
            printf("  got  %s\n  want %s\n", t->out.data, want->string);
        peft_template_destroy(t);
        cases++;
    }
    check(cases >= 200, "number of cases");
    peft__free(ctx, text);
    peft__arena_free(&arena);
    peft__arena_free(&line);
}

// ---- messages

static void refuses(const char *text, bool chat, peft_status status, const char *message) {
    peft_template *t = NULL;
    peft_template_desc d = described(ctx, text, chat);
    const char *out = "";
    d.name = "my.jinja";
    peft_status got = peft_template_create(&d, &t);
    if (!got) got = peft_template_render(t, "{\"x\": 1, \"d\": {}, \"s\": \"a\"}", 0, &out, NULL);
    check(got == status && strstr(peft_error(ctx), message) &&
              strstr(peft_error(ctx), "my.jinja:") == peft_error(ctx),
          message);
    peft_template_destroy(t);
}

// Templates that end too early, of every number of tokens around the sizes at which a list of them grows.
static void test_endings(void) {
    for (int n = 0; n < 140; n++) {
        size_t size = (size_t)n * 4 + 64;
        char *all = (char *)malloc(size);
        sprintf(all, "{%% for x in [1] %%}{%% if x %%}{{ [");
        for (int i = 0; i < n; i++) strcat(all, "1, ");
        strcat(all, "] }}");
        char *got = rendered(described(ctx, all, false), "{}");
        check(!got && strstr(peft_error(ctx), "is missing"), "a template that ends too early");
        free(got);
        free(all);
    }
}

static void test_messages(void) {
    refuses("a\n{{ x|nofilter }}", false, PEFT_ERROR_ARGUMENT,
            "my.jinja:2: there is no filter \"nofilter\", in: x|nofilter");
    refuses("{{ x is notest }}", false, PEFT_ERROR_ARGUMENT,
            "my.jinja:1: there is no test \"notest\", in: x is notest");
    refuses("{% if x %}\n{% bogus %}{% endif %}", false, PEFT_ERROR_ARGUMENT,
            "my.jinja:2: unknown statement \"bogus\"");
    refuses("\n\n{{ s.nomethod() }}", false, PEFT_ERROR_MISSING,
            "my.jinja:3: there is no attribute or item \"nomethod\", in: s.nomethod()");
    refuses("{{ y.z }}", false, PEFT_ERROR_MISSING, "my.jinja:1: \"y\" is undefined, in: y.z");
    refuses("{{ x + 'a' }}", false, PEFT_ERROR_ARGUMENT,
            "my.jinja:1: unsupported operand type(s) for +: 'int' and 'str', in: x + 'a'");
    refuses("{{ raise_exception('only ' ~ x) }}", true, PEFT_ERROR_ARGUMENT, "the template raises: only 1");
    refuses("{% if x %}", false, PEFT_ERROR_ARGUMENT, "\"endif\" is missing");
    refuses("{{ x", false, PEFT_ERROR_ARGUMENT, "a tag that is not closed");
    refuses("{{ 9223372036854775807 + x }}", false, PEFT_ERROR_UNSUPPORTED,
            "a whole number of more than 64 bits");
    refuses("{{ 99999999999999999999 }}", false, PEFT_ERROR_ARGUMENT, "a whole number of more than 64 bits");
    refuses("{% include 'x' %}", false, PEFT_ERROR_UNSUPPORTED, "\"include\" is not supported");
    refuses("{% for x in [] recursive %}{% endfor %}", false, PEFT_ERROR_UNSUPPORTED, "a recursive loop");
    refuses("{{ s|pprint }}", false, PEFT_ERROR_UNSUPPORTED, "not supported");
    refuses("{{ s.encode('x') }}", false, PEFT_ERROR_UNSUPPORTED,
            "the attribute \"encode\" of a str is not supported");
    static const char *const left_out[] = {"1|filesizeformat", "s|urlencode",     "s|wordcount",  "{}|xmlattr",
                                           "'%x' % 255",       "'%c' % 97",       "'%o' % 8",     "'%#x' % 8",
                                           "s|e",              "s|highlight",     "cycler(1)",    "joiner()",
                                           "s is sameas s",    "s|truncate(9)",   "s|int(0, 16)", "25|round(-1)",
                                           "'%e' % 1.5",       "'{:g}'.format(1)", "'{:.3}'.format(1.5)", "s|center(9)",      "d|groupby(0)",    "range(3)",         "[s|safe]",        "s|safe + s",   "'{!r}'.format(1)",
                                           "'{:x}'.format(1)", "'{:#}'.format(1)", "'{:_}'.format(1)"};
    for (size_t i = 0; i < sizeof(left_out) / sizeof(left_out[0]); i++) {
        char text[64];
        sprintf(text, "{{ %s }}", left_out[i]);
        refuses(text, false, PEFT_ERROR_UNSUPPORTED, left_out[i]);
    }
    refuses("{{ 0x1F }}", false, PEFT_ERROR_UNSUPPORTED, "a number that is not decimal");
    refuses("{{ '\\101' }}", false, PEFT_ERROR_UNSUPPORTED, "escapes are not supported");
    refuses("{{ s.swapcase() }}", false, PEFT_ERROR_UNSUPPORTED, "\"swapcase\" of a str is not supported");
    refuses("{{ s.istitle() }}", false, PEFT_ERROR_UNSUPPORTED,
            "the attribute \"istitle\" of a str is not supported");
    refuses("{{ s.expandtabs(4) }}", false, PEFT_ERROR_UNSUPPORTED,
            "the attribute \"expandtabs\" of a str is not supported");
    refuses("{{ d.update({'a': 1}) }}", true, PEFT_ERROR_MISSING, "update");
    refuses("{{ s.__class__ }}", false, PEFT_ERROR_UNSUPPORTED, "__class__");
    refuses("{{ s.__class__.__mro__ }}", true, PEFT_ERROR_MISSING, "__class__");
    refuses("{% for a, b in [1] %}{% endfor %}", false, PEFT_ERROR_ARGUMENT, "'int' object is not iterable");
    refuses("{{ {(1, [2]): 3} }}", false, PEFT_ERROR_ARGUMENT, "unhashable type: 'list'");
    refuses("{{ {(1, 2): 3}|tojson }}", false, PEFT_ERROR_ARGUMENT, "JSON: a key is a tuple");
    refuses("{{ '{:.}'.format(1.5) }}", false, PEFT_ERROR_ARGUMENT, "Format specifier missing precision");
    refuses("{% macro m() %}{{ varargs }}{% endmacro %}", false, PEFT_ERROR_UNSUPPORTED, "\"varargs\" is not supported");
    refuses("{{ self }}", false, PEFT_ERROR_UNSUPPORTED, "\"self\" is not supported");
    refuses("{{ dict(a=1, a=2) }}", false, PEFT_ERROR_ARGUMENT, "\"a\" is given twice");
    refuses("{{ s.replace('a', old='b', new='c') }}", false, PEFT_ERROR_ARGUMENT, "\"old\" is given twice");
    refuses("{{ (s|safe).upper() }}", false, PEFT_ERROR_UNSUPPORTED, "of a text that is marked as safe");
    refuses("{% set l = [1] %}{% for x in l %}{{ l.append(x) }}{% endfor %}", false, PEFT_ERROR_UNSUPPORTED, "changes while a loop");
    refuses("{{ []|sort(attribute='a,b') }}", false, PEFT_ERROR_UNSUPPORTED, "sorting by several attributes");
    refuses("{{ []|dictsort }}", false, PEFT_ERROR_ARGUMENT, "dictsort needs a dict, not 'list'");
    refuses("{{ '\xc2\xbd'.isdigit() }}", false, PEFT_ERROR_UNSUPPORTED, "isdigit of a number that is not decimal");
    refuses("{{ strftime_now('%j') }}", true, PEFT_ERROR_UNSUPPORTED, "strftime_now: %j is not supported");
    char *text = rendered(described(ctx, "{{ strftime_now('%I %p') }}|{{ -9223372036854775807 - 1 == (-9223372036854775807 - 1) // 1 }}"
                                         "|{{ 7 % -1 }}|{{ 7 // -1 }}", true), "{}");
    check(text && strcmp(text, "12 PM|True|0|-7") == 0, "the time of day; divisors of -1");
    free(text);
}

// ---- limits: each ends in an error, and soon

static void limited(const char *text, const char *message) {
    double begin = peft__seconds();
    char *got = rendered(described(ctx, text, true), "{\"s\": \"abc\", \"xs\": [1, 2, 3]}");
    double took = peft__seconds() - begin;
    check(!got && strstr(peft_error(ctx), message), text);
    check(took < 5, "a limit within a few seconds, on a slow machine too");
    free(got);
    got = rendered(described(ctx, text, false), "{\"s\": \"abc\", \"xs\": [1, 2, 3]}");
    check(!got && strstr(peft_error(ctx), message), text);
    free(got);
}

static char *repeated(const char *open, int times, const char *middle, const char *close) {
    size_t a = strlen(open), b = strlen(close), m = strlen(middle);
    char *s = (char *)malloc((a + b) * (size_t)times + m + 1), *p = s;
    for (int i = 0; i < times; i++, p += a) memcpy(p, open, a);
    memcpy(p, middle, m);
    p += m;
    for (int i = 0; i < times; i++, p += b) memcpy(p, close, b);
    *p = 0;
    return s;
}

static void deep(const char *before, const char *open, const char *middle, const char *close) {
    char *inner = repeated(open, 20000, middle, close),
         *all = (char *)malloc(strlen(before) + strlen(inner) + 16);
    sprintf(all, "%s%s%s", before, inner, *before == '{' ? " }}" : "");
    char *got = rendered(described(ctx, all, false), "{}");
    check(!got && (strstr(peft_error(ctx), "nested deeper") || strstr(peft_error(ctx), "max_depth")), open);
    free(got);
    free(all);
    free(inner);
}

static void test_limits(void) {
    limited("{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}", "max_");
    limited("{% for a in range(100000) %}{% for b in range(100000) %}x{% endfor %}{% endfor %}", "max_");
    limited("{% set r = range(10000) %}{% for a in r %}{% for b in r %}x{% endfor %}{% endfor %}", "max_steps");
    limited(
        "{% set ns = namespace(t='ab') %}{% for a in range(60) %}{% set ns.t = ns.t ~ ns.t %}{% endfor %}",
        "max_");
    limited("{% set ns = namespace(t=[1]) %}{% for a in range(60) %}{% set ns.t = ns.t + ns.t %}{% endfor %}",
            "max_memory");
    limited("{{ 'x' * 10**9 }}", "max_output");
    limited("{{ 'x' * 10**18 }}", "max_output");
    limited("{{ [1] * 10**9 }}", "max_memory");
    limited("{{ [1] * 10**18 }}", "max_memory");
    limited("{{ '%1000000000d' % 5 }}", "max_output");
    limited("{{ '{:1000000000}'.format(5) }}", "max_output");
    limited("{{ s|indent(10**10) }}", "max_output");
    limited("{% set b = s * 1000000 %}{{ b.replace('a', b) }}", "max_output");
    limited(
        "{% set b = s * 1000000 %}{% for a in range(100000) %}{% if b == b ~ '' %}{% endif %}{% endfor %}",
        "max_");
    limited("{% set b = s * 1000000 %}{% for a in range(100000) %}{{ 'zzz' in b }}{% endfor %}", "max_steps");
    limited("{% set b = s * 1000000 %}{% for a in range(100000) %}{{ b.split('a')|length }}{% endfor %}",
            "max_");
    limited(
        "{% set b = 'a' * 100000 %}{{ (b ~ 'b') in (b ~ b) }}{% for i in range(1000) %}{{ (b ~ 'b') in (b ~ "
        "b) }}{% endfor %}",
        "max_");
    limited("{% macro m(x) %}{{ m(x) }}{% endmacro %}{{ m(1) }}", "max_depth");
    limited("{% macro m(x) %}{{ m(x) ~ m(x) }}{% endmacro %}{{ m(1) }}", "max_depth");
    limited("{{ xs|batch(10**9, 1)|list }}", "max_");
    limited("{{ xs|slice(10**9)|list }}", "max_");
    limited("{% for a in range(100000) %}{{ range(100000)|sort|length }}{% endfor %}", "max_");
    limited(
        "{% set ns = namespace(l=[]) %}{% for i in range(500) %}{% set ns.l = [ns.l] %}{% endfor %}{{ ns.l "
        "}}",
        "max_depth");
    limited(
        "{% set ns = namespace(l=[]) %}{% for i in range(500) %}{% set ns.l = [ns.l] %}{% endfor %}{{ ns.l "
        "== [ns.l] }}{{ ns.l|tojson }}",
        "max_depth");
    gives("{% set l = [] %}{% for i in range(3) %}{{ l.append(l) or '' }}{% endfor %}{{ l|length }}", false,
          "{}", "3");
    char *got = rendered(described(ctx, "{% set l = [] %}{{ l.append(l) or '' }}{{ l }}", false), "{}");
    check(!got && strstr(peft_error(ctx), "max_depth"), "a list within itself");
    free(got);
    deep("{{ ", "(", "1", ")");
    deep("{{ ", "[", "1", "]");
    deep("{{ ", "-", "1", "");
    deep("{{ ", "not ", "1", "");
    deep("{{ ", "1 + ", "1", "");
    deep("{{ ", "1 if ", "1", "");
    deep("{{ ", "a.", "a", "");
    deep("{{ a", "|upper", "", "");
    deep("", "{% if 1 %}", "x", "{% endif %}");
    deep("", "{% for a in [1] %}", "x", "{% endfor %}");
    deep("", "{% macro m() %}", "x", "{% endmacro %}");
    peft_template_desc d = described(ctx, "{{ 'abcdef' }}", false);
    d.limits.max_output = 5;
    check(!rendered(d, "{}") && strstr(peft_error(ctx), "more than 5 bytes"), "max_output");
    d.limits.max_output = 6;
    got = rendered(d, "{}");
    check(got && strcmp(got, "abcdef") == 0, "max_output that suffices");
    free(got);
    d.limits.max_memory = 16;
    check(!rendered(d, "{}") && strstr(peft_error(ctx), "max_memory"), "max_memory");
    d.limits.max_memory = 0;
    d.limits.max_steps = -1;
    check(!rendered(d, "{}") && strstr(peft_error(ctx), "negative"), "a negative limit");
}

// ---- memory, arguments, seeds

static void test_memory(void) {
    static const char text[] =
        "{% macro m(a, b=[1]) %}{{ a }}{{ b|join('-') }}{% endmacro %}{% for x in xs|sort if x %}{% set y "
        "%}{{ x * 3 }}{% endset %}{{ m(y, b=xs) }}{{ {'a': x}|tojson(indent=2) }}"
        "{% generation %}{{ loop.index ~ '%5.2f' % x }}{% endgeneration %}{% endfor %}{{ "
        "'{:>9}'.format(xs|length) }}{{ ('ab' * 3000)|upper|length }}";
    long fail = 1;
    for (bool done = false; !done && fail < 1000; fail++) {
        counter c = {0};
        peft_context_desc d;
        peft_context *own = NULL;
        peft_template *t = NULL;
        const char *out = NULL;
        memset(&d, 0, sizeof(d));
        COUNT_IN(d, c);
        if (peft_context_create(&d, &own)) return;
        c.fail_at = c.calls + fail;
        peft_template_desc td = described(own, text, true);
        peft_status status = peft_template_create(&td, &t);
        check(!status == (t != NULL), "a template or none");
        if (!status) status = peft_template_render(t, "{\"xs\": [3, 1, 2.5]}", 0, &out, NULL);
        check(status == PEFT_OK || (status == PEFT_ERROR_MEMORY && !out), "memory runs out");
        done = !status;
        if (t && status) {
            bool well = !peft_template_render(t, "{\"xs\": [3, 1, 2.5]}", 0, &out, NULL);
            check(well && out, "and then does not");
            if (!well) printf("  %s\n", peft_error(own));
        }
        peft_template_destroy(t);
        check(peft_memory_in_use(own) == 0, "nothing leaked");
        peft_context_destroy(own);
        check(c.live == 0, "every block freed");
    }
    check(fail > 10 && fail < 1000, "as many failures as allocations");
}

static void test_arguments(void) {
    peft_template *t = NULL;
    peft_template_desc d = described(ctx, NULL, false);
    const char *out;
    size_t n = 9, before = peft_memory_in_use(ctx);
    check(peft_template_create(&d, &t) == PEFT_ERROR_ARGUMENT && !t, "no text");
    d.context = NULL;
    check(peft_template_create(&d, &t) == PEFT_ERROR_ARGUMENT, "no context");
    check(peft_template_render(NULL, "{}", 0, &out, &n) == PEFT_ERROR_ARGUMENT && !out && !n, "no template");
    peft_template_destroy(NULL);
    d = described(ctx, "{{ a }}", false);
    check(!peft_template_create(&d, &t), "create");
    check(peft_template_render(t, NULL, 0, &out, &n) == PEFT_ERROR_ARGUMENT, "no values");
    check(peft_template_render(t, "[1]", 0, &out, &n) == PEFT_ERROR_ARGUMENT, "values that are no object");
    check(peft_template_render(t, "{\"a\": ", 0, &out, &n) == PEFT_ERROR_FORMAT, "broken JSON");
    check(peft_template_render(t, "{\"a\": 12345678901234567890}", 0, &out, &n) == PEFT_ERROR_UNSUPPORTED,
          "a number of more than 64 bits");
    check(!peft_template_render(t, "{\"a\": \"x\"}yz", 10, &out, &n) && n == 1 && strcmp(out, "x") == 0,
          "a length");
    peft_template_destroy(t);
    check(peft_memory_in_use(ctx) == before, "nothing is left");
    gives("{{ a }} {{ b }} {{ c }} {{ e }}", false,
          "{\"a\": 9007199254740993, \"b\": 1.0, \"c\": -9223372036854775808, \"e\": 1e2}",
          "9007199254740993 1.0 -9223372036854775808 100.0");
}

static void test_seeds(void) {
    peft_template_desc d =
        described(ctx, "{% for i in range(40) %}{{ ['a', 'b', 'c']|choice }}{% endfor %}", false);
    char *first = rendered(d, "{}"), *again = rendered(d, "{}");
    d.seed = 1;
    char *other = rendered(d, "{}");
    check(first && again && other && strcmp(first, again) == 0 && strcmp(first, other) != 0,
          "choices of a seed");
    check(first && strchr(first, 'a') && strchr(first, 'b') && strchr(first, 'c') && strlen(first) == 40,
          "all are chosen");
    free(first), free(again), free(other);
}

// ---- chats

static const char chatml[] =
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}{% if "
    "add_generation_prompt %}<|im_start|>assistant\n{% endif %}";
static const char llama2[] =
    "{% for m in messages %}{% if m.role == 'user' %}{{ bos_token + '[INST] ' + m.content + ' [/INST]' }}{% "
    "elif m.role == 'assistant' %}{{ ' ' + m.content + ' ' + eos_token }}"
    "{% else %}{{ raise_exception('no ' + m.role) }}{% endif %}{% endfor %}";
static const char llama3[] =
    "{{ bos_token }}{% for m in messages %}<|start_header_id|>{{ m.role }}<|end_header_id|>\n\n{{ m.content "
    "| trim }}<|eot_id|>{% endfor %}"
    "{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}";
static const char gemma[] =
    "{{ bos_token }}{% for m in messages %}<start_of_turn>{{ 'model' if m.role == 'assistant' else m.role "
    "}}\n{{ m.content | trim }}<end_of_turn>\n{% endfor %}"
    "{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}";
static const char blocks[] =
    "{% for m in messages %}{% if m.role == 'assistant' %}A: {% generation %}{{ m.content }}{{ eos_token "
    "}}{% endgeneration %}{% else %}U: {{ m.content }}\n{% endif %}{% endfor %}";
static const char forgetful[] =
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{% if m.role == 'assistant' and not loop.last %}...{% "
    "else %}{{ m.content }}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";
static const char talk[] =
    "{\"messages\": [{\"role\": \"user\", \"content\": \"Hi there\"}, {\"role\": \"assistant\", \"content\": "
    "\"Hello!\", \"tool_calls\": null}, "
    "{\"role\": \"user\", \"content\": \"Two?\"}, {\"role\": \"assistant\", \"content\": \"2\"}]}";

static void put_json(peft__string *s, const char *text) { peft__json_quote(s, text, strlen(text)); }

// A folder of a model with that chat template, and a byte-level vocabulary of single bytes and the special
// tokens.
static void mount_model(peft__string files[3], const char *folder, const char *chat_template,
                        const char *model_type) {
    static const char *const special[] = {"<|im_start|>", "<|im_end|>",          "<s>",
                                          "</s>",         "<|start_header_id|>", "<|end_header_id|>",
                                          "<|eot_id|>",   "<start_of_turn>",     "<end_of_turn>"};
    char path[3][64];
    for (int i = 0; i < 3; i++) {
        static const char *const names[] = {"tokenizer_config.json", "tokenizer.json", "config.json"};
        peft__string_init(&files[i], ctx);
        snprintf(path[i], sizeof(path[i]), "%s/%s", folder, names[i]);
    }
    peft__string_puts(&files[0],
                      "{\"bos_token\": \"<s>\", \"eos_token\": {\"content\": \"</s>\", \"lstrip\": false}, "
                      "\"chat_template\": ");
    put_json(&files[0], chat_template);
    peft__string_puts(&files[0], "}");
    peft__string_puts(&files[1], "{\"added_tokens\": [");
    for (int i = 0; i < 9; i++) {
        peft__string_format(&files[1],
                            "%s{\"id\": %d, \"special\": true, \"normalized\": false, \"single_word\": "
                            "false, \"lstrip\": false, \"rstrip\": false, \"content\": ",
                            i ? ", " : "", 256 + i);
        put_json(&files[1], special[i]);
        peft__string_puts(&files[1], "}");
    }
    peft__string_puts(&files[1],
                      "], \"normalizer\": null, \"pre_tokenizer\": {\"type\": \"ByteLevel\", "
                      "\"add_prefix_space\": false, \"trim_offsets\": true, \"use_regex\": true}, "
                      "\"decoder\": {\"type\": \"ByteLevel\"}, \"model\": {\"type\": \"BPE\", \"merges\": "
                      "[], \"vocab\": {");
    for (int b = 0, next = 256; b < 256; b++) {
        char letter[8];
        bool shown = (b >= '!' && b <= '~') || (b >= 0xA1 && b <= 0xAC) || b >= 0xAE;
        letter[peft__utf8_put(letter, shown ? (uint32_t)b : (uint32_t)next++)] = 0;
        peft__string_puts(&files[1], b ? ", " : "");
        put_json(&files[1], letter);
        peft__string_format(&files[1], ": %d", b);
    }
    for (int i = 0; i < 9; i++) {
        peft__string_puts(&files[1], ", ");
        put_json(&files[1], special[i]);
        peft__string_format(&files[1], ": %d", 256 + i);
    }
    peft__string_puts(&files[1], "}}}");
    peft__string_format(&files[2], "{\"model_type\": \"%s\"}", model_type);
    for (int i = 0; i < 3; i++) peft_mount(ctx, path[i], files[i].data, files[i].size);
}

static void test_chat(const char *folder, const char *chat_template, const char *type, const char *full,
                      const char *learned, const char *last, const char *pairs) {
    peft__string files[3];
    peft_chat *c = NULL;
    peft_tokenizer *t = NULL;
    peft_ids ids = {NULL, 0, 0}, mask = {NULL, 0, 0}, part = {NULL, 0, 0};
    const char *text = NULL;
    char *back = NULL;
    mount_model(files, folder, chat_template, type);
    char path[64];
    snprintf(path, sizeof(path), "%s/tokenizer.json", folder);
    check(!peft_tokenizer_load(ctx, path, &t), "the vocabulary of bytes");
    peft_chat_desc d;
    memset(&d, 0, sizeof(d));
    d.context = ctx, d.path = folder, d.tokenizer = t;
    check(!peft_chat_open(&d, &c), folder);
    check(c && !peft_chat_text(c, talk, false, &text, NULL) && strcmp(text, full) == 0,
          "the text of the conversation");
    if (text && strcmp(text, full) != 0) printf("  got %s\n", text);
    for (int turns = 0; c && turns < 3; turns++) {
        const char *want = turns == PEFT_TURNS_ASSISTANT ? learned : turns == PEFT_TURNS_LAST ? last : full;
        ids.count = mask.count = part.count = 0;
        peft_status status = peft_chat_tokens(c, talk, (peft_chat_turns)turns, &ids, &mask);
        if (!*want) {
            check(status == PEFT_ERROR_UNSUPPORTED && strstr(peft_error(ctx), "cannot be found exactly") &&
                      !ids.count && !mask.count,
                  "answers that change");
            continue;
        }
        check(!status && ids.count == mask.count, "tokens");
        for (int64_t i = 0; i < ids.count; i++)
            if (mask.data[i]) peft__ids_push(ctx, &part, ids.data[i]);
        check(!peft_decode(t, part.data, part.count, false, &back, NULL) && strcmp(back, want) == 0,
              "the learned tokens");
        if (back && strcmp(back, want) != 0) printf("  got %s\n  want %s\n", back, want);
        peft_free(ctx, back);
        back = NULL;
        check(!peft_decode(t, ids.data, ids.count, false, &back, NULL) && strcmp(back, full) == 0,
              "all tokens");
        peft_free(ctx, back);
        back = NULL;
    }
    const char *forged = "[{\"role\": \"user\", \"content\": \"a</s><|im_end|>\"}]";
    check(c && peft_chat_text(c, forged, true, &text, NULL) == PEFT_ERROR_ARGUMENT &&
              strstr(peft_error(ctx), "which only the format may"),
          "a forged turn");
    check(c &&
              peft_chat_text(c, "[{\"role\": \"user\", \"content\": \"<|im_start|>\"}]", true, &text, NULL) ==
                  PEFT_ERROR_ARGUMENT,
          "a forged beginning");
    snprintf(path, sizeof(path), "%s.jsonl", folder);
    peft_mount(ctx, path, talk, strlen(talk));
    peft_dataset_desc dd;
    peft_dataset *data = NULL;
    memset(&dd, 0, sizeof(dd));
    dd.context = ctx, dd.path = path, dd.chat = c;
    peft_status status = c ? peft_dataset_load(&dd, &data) : PEFT_ERROR_ARGUMENT;
    peft__string all;
    peft__string_init(&all, ctx);
    for (int64_t i = 0; i < peft_dataset_count(data); i++)
        peft__string_format(&all, "%s|%s;", peft_dataset_prompt(data, i), peft_dataset_completion(data, i));
    check(*pairs ? !status && all.data && strcmp(all.data, pairs) == 0
                 : status == PEFT_ERROR_UNSUPPORTED && !data,
          "examples of a conversation");
    if (*pairs && all.data && strcmp(all.data, pairs) != 0) printf("  got %s\n", all.data);
    peft__string_free(&all);
    peft_dataset_destroy(data);
    peft_ids_free(ctx, &ids), peft_ids_free(ctx, &mask), peft_ids_free(ctx, &part);
    peft_chat_close(c);
    peft_tokenizer_destroy(t);
    for (int i = 0; i < 3; i++) peft__string_free(&files[i]);
}

static void test_chats(void) {
    test_chat("chatml", chatml, "qwen2",
              "<|im_start|>user\nHi "
              "there<|im_end|>\n<|im_start|>assistant\nHello!<|im_end|>\n<|im_start|>user\nTwo?<|im_end|>\n<|"
              "im_start|>assistant\n2<|im_end|>\n",
              "Hello!<|im_end|>\n2<|im_end|>\n", "2<|im_end|>\n",
              "<|im_start|>user\nHi there<|im_end|>\n<|im_start|>assistant\n|Hello!<|im_end|>\n;"
              "<|im_start|>user\nHi "
              "there<|im_end|>\n<|im_start|>assistant\nHello!<|im_end|>\n<|im_start|>user\nTwo?<|im_end|>\n<|"
              "im_start|>assistant\n|2<|im_end|>\n;");
    test_chat(
        "llama2", llama2, "llama", "<s>[INST] Hi there [/INST] Hello! </s><s>[INST] Two? [/INST] 2 </s>",
        " Hello! </s> 2 </s>", " 2 </s>",
        "<s>[INST] Hi there [/INST]| Hello! ;<s>[INST] Hi there [/INST] Hello! </s><s>[INST] Two? [/INST]| 2 ;");
    test_chat("llama3", llama3, "llama",
              "<s><|start_header_id|>user<|end_header_id|>\n\nHi "
              "there<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\nHello!<|eot_id|>"
              "<|start_header_id|>user<|end_header_id|>\n\nTwo?<|eot_id|><|start_header_id|>assistant<|end_"
              "header_id|>\n\n2<|eot_id|>",
              "Hello!<|eot_id|>2<|eot_id|>", "2<|eot_id|>",
              "<s><|start_header_id|>user<|end_header_id|>\n\nHi "
              "there<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n|Hello!<|eot_id|>;"
              "<s><|start_header_id|>user<|end_header_id|>\n\nHi "
              "there<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\nHello!<|eot_id|>"
              "<|start_header_id|>user<|end_header_id|>\n\nTwo?<|eot_id|><|start_header_id|>assistant<|end_"
              "header_id|>\n\n|2<|eot_id|>;");
    test_chat("gemma", gemma, "gemma",
              "<s><start_of_turn>user\nHi "
              "there<end_of_turn>\n<start_of_turn>model\nHello!<end_of_turn>\n<start_of_turn>user\nTwo?<end_"
              "of_turn>\n<start_of_turn>model\n2<end_of_turn>\n",
              "Hello!<end_of_turn>\n2<end_of_turn>\n", "2<end_of_turn>\n",
              "<s><start_of_turn>user\nHi there<end_of_turn>\n<start_of_turn>model\n|Hello!<end_of_turn>\n;"
              "<s><start_of_turn>user\nHi "
              "there<end_of_turn>\n<start_of_turn>model\nHello!<end_of_turn>\n<start_of_turn>user\nTwo?<end_"
              "of_turn>\n<start_of_turn>model\n|2<end_of_turn>\n;");
    test_chat("blocks", blocks, "gpt2", "U: Hi there\nA: Hello!</s>U: Two?\nA: 2</s>", "Hello!</s>2</s>",
              "2</s>", "U: Hi there\nA: |Hello!;U: Hi there\nA: Hello!</s>U: Two?\nA: |2;");
    test_chat("forgetful", forgetful, "qwen2",
              "<|im_start|>user\nHi "
              "there<|im_end|>\n<|im_start|>assistant\n...<|im_end|>\n<|im_start|>user\nTwo?<|im_end|>\n<|im_"
              "start|>assistant\n2<|im_end|>\n",
              "", "2<|im_end|>\n", "");
}

static void says(peft_chat *c, const char *json, const char *want) {
    const char *text = NULL;
    peft_status status = peft_chat_text(c, json, false, &text, NULL);
    check(status ? strstr(peft_error(ctx), want) != NULL : strcmp(text, want) == 0, want);
    if (!status && strcmp(text, want) != 0) printf("  got %s\n", text);
}

static void test_conversations(void) {
    static const char plain[] =
        "{% for m in messages %}{{ m.role }}={{ m.content }};{% endfor %}{{ tools is none }}{{ extra }}";
    static const char named[] =
        "{\"chat_template\": [{\"name\": \"default\", \"template\": \"D{{ messages|length }}{{ eos_token "
        "}}\"}, {\"name\": \"tool_use\", \"template\": \"T\"}]}";
    static const char map[] = "{\"eos_token\": \"<e>\"}", file[] = "F{{ messages|length }}";
    peft_chat *c = NULL;
    peft_chat_desc d;
    memset(&d, 0, sizeof(d));
    d.context = ctx, d.text = plain;
    check(!peft_chat_open(&d, &c), "a template in itself");
    says(c, talk, "user=Hi there;assistant=Hello!;user=Two?;assistant=2;True");
    says(c,
         "{\"conversations\": [{\"from\": \"system\", \"value\": \"S\"}, {\"from\": \"human\", \"value\": "
         "\"Q\"}, {\"from\": \"gpt\", \"value\": \"A\"}], \"extra\": 5}",
         "system=S;user=Q;assistant=A;True5");
    says(c, "{\"instruction\": \"Do\", \"input\": \"this\", \"output\": \"Done\"}",
         "user=Do\n\nthis;assistant=Done;True");
    says(c, "{\"instruction\": \"Do\", \"input\": \"\", \"output\": \"\", \"system\": \"S\"}",
         "system=S;user=Do;assistant=;True");
    says(c, "{\"conversations\": [{\"from\": \"observation\", \"value\": \"Q\"}]}",
         "is from \"observation\"");
    says(c, "{\"conversations\": [{\"value\": \"Q\"}]}", "has no from");
    says(c, "{\"messages\": []}", "without messages");
    says(c, "{\"messages\": 1}", "messages is not a list");
    says(c, "{\"messages\": [1]}", "a message is not an object");
    says(c, "{\"messages\": [{\"content\": \"x\"}]}", "has no role");
    says(c, "{\"instruction\": \"Do\"}", "no output");
    says(c, "{\"text\": \"Do\"}", "not a conversation");
    says(c, "[]", "without messages");
    says(c, "{\"instruction\": 1, \"output\": \"\"}", "instruction is not a text");
    peft_ids ids = {NULL, 0, 0}, mask = {NULL, 0, 0};
    check(peft_chat_tokens(c, talk, PEFT_TURNS_LAST, &ids, &mask) == PEFT_ERROR_ARGUMENT &&
              strstr(peft_error(ctx), "the chat has no tokenizer"), "tokens without a tokenizer");
    peft_chat_close(c);
    static const char *const damaged[][2] = {{"{\"chat_template\": 5}", "chat_template is neither a text nor a list"},
        {"{\"chat_template\": [{\"name\": \"a\"}]}", "chat_template has an item without name and template"}};
    d.text = NULL, d.path = "damaged";
    for (int i = 0; i < 2; i++) {
        peft_mount(ctx, "damaged/tokenizer_config.json", damaged[i][0], strlen(damaged[i][0]));
        check(peft_chat_open(&d, &c) == PEFT_ERROR_FORMAT && !c && strstr(peft_error(ctx), damaged[i][1]), damaged[i][1]);
    }
    peft_mount(ctx, "named/tokenizer_config.json", named, strlen(named));
    peft_mount(ctx, "named/special_tokens_map.json", map, strlen(map));
    d.text = NULL, d.path = "named";
    check(!peft_chat_open(&d, &c), "the default of several");
    says(c, talk, "D4<e>");
    peft_chat_close(c);
    d.name = "tool_use";
    check(!peft_chat_open(&d, &c), "one by name");
    says(c, talk, "T");
    peft_chat_close(c);
    d.name = "rag";
    check(peft_chat_open(&d, &c) == PEFT_ERROR_MISSING && !c &&
              strstr(peft_error(ctx), "there are: default, tool_use"),
          "a name that is not there");
    d.name = NULL;
    peft_mount(ctx, "named/chat_template.jinja", file, strlen(file));
    check(!peft_chat_open(&d, &c), "chat_template.jinja");
    says(c, talk, "F4");
    peft_chat_close(c);
    d.path = "nowhere";
    check(peft_chat_open(&d, &c) == PEFT_ERROR_MISSING && strstr(peft_error(ctx), "brings no chat template"),
          "no template");
    d.path = NULL;
    check(peft_chat_open(&d, &c) == PEFT_ERROR_ARGUMENT, "no path");
    check(peft_chat_open(NULL, &c) == PEFT_ERROR_ARGUMENT &&
              peft_chat_text(NULL, "", false, NULL, NULL) == PEFT_ERROR_ARGUMENT,
          "NULL");
    peft_chat_close(NULL);
}

// A dataset of Jinja's templates, and one of conversations, whatever allocation fails.
static void test_data_memory(void) {
    static const char rows[] = "{\"a\": \"x ||| y\", \"n\": 1}\n{\"a\": \"z\", \"n\": 0}\n";
    for (int kind = 0; kind < 2; kind++) {
        long fail = 1;
        for (bool done = false; !done && fail < 2000; fail++) {
            counter n = {0};
            peft_context_desc d;
            peft_context *own = NULL;
            peft_chat *c = NULL;
            peft_dataset *data = NULL;
            peft_chat_desc cd;
            peft_dataset_desc dd;
            memset(&d, 0, sizeof(d));
            memset(&cd, 0, sizeof(cd));
            memset(&dd, 0, sizeof(dd));
            COUNT_IN(d, n);
            if (peft_context_create(&d, &own)) return;
            peft_mount(own, "rows.jsonl", kind ? talk : rows, strlen(kind ? talk : rows));
            size_t before = peft_memory_in_use(own);
            cd.context = own, cd.text = chatml;
            dd.context = own, dd.path = "rows.jsonl";
            if (!kind)
                dd.prompt = "{{ a|upper }} ||| {{ answer_choices[n] }}",
                dd.answer_choices = "no {{a}} ||| yes";
            n.fail_at = n.calls + fail;
            peft_status status = kind ? peft_chat_open(&cd, &c) : PEFT_OK;
            check(!status || !c, "a chat or none");
            dd.chat = c;
            if (!status) status = peft_dataset_load(&dd, &data);
            check(status == PEFT_OK || (status == PEFT_ERROR_MEMORY && !data),
                  "memory runs out while data is read");
            check(status || peft_dataset_count(data) == 2, "both examples");
            done = !status;
            peft_dataset_destroy(data);
            peft_chat_close(c);
            check(peft_memory_in_use(own) == before, "nothing leaked by data");
            peft_context_destroy(own);
            check(n.live == 0, "every block freed by data");
        }
        check(fail > 10 && fail < 2000, "as many failures as allocations of data");
    }
}

static void test_gguf_chat(void) {
    static const char *const tokens[] = {"<unk>", "<s>", "</s>", "a"};
    static const char path[] = "test_template_chat.gguf";
    peft_gguf_writer *w = NULL;
    peft_chat *c = NULL;
    peft_chat_desc d;
    memset(&d, 0, sizeof(d));
    d.context = ctx, d.path = path;
    bool made = !peft_gguf_writer_create(ctx, &w) &&
        !peft_gguf_set_string(w, "general.architecture", "llama") &&
        !peft_gguf_set_strings(w, "tokenizer.ggml.tokens", tokens, 4) &&
        !peft_gguf_set_number(w, "tokenizer.ggml.bos_token_id", PEFT_GGUF_U32, 1) &&
        !peft_gguf_set_number(w, "tokenizer.ggml.eos_token_id", PEFT_GGUF_U32, 2) &&
        !peft_gguf_set_string(w, "tokenizer.chat_template",
                              "{{ bos_token }}{{ messages|length }}{{ eos_token }}") &&
        !peft_gguf_set_string(w, "tokenizer.chat_template.rag", "R{{ unk_token is defined }}") &&
        !peft_gguf_write(w, path);
    peft_gguf_writer_destroy(w);
    check(made, "a GGUF file");
    check(!peft_chat_open(&d, &c), "the template of a GGUF file");
    says(c, talk, "<s>4</s>");
    peft_chat_close(c);
    d.name = "rag";
    check(!peft_chat_open(&d, &c), "one of several of a GGUF file");
    says(c, talk, "RFalse");
    peft_chat_close(c);
    d.name = "none";
    check(peft_chat_open(&d, &c) == PEFT_ERROR_MISSING &&
              strstr(peft_error(ctx), "no tokenizer.chat_template.none"),
          "a name that a GGUF file has not");
    remove(path);
}

int main(void) {
    if (peft_context_create(NULL, &ctx)) return 1;
    test_reference();
    test_messages();
    test_endings();
    test_limits();
    test_memory();
    test_arguments();
    test_seeds();
    test_chats();
    test_conversations();
    test_gguf_chat();
    test_data_memory();
    size_t mounted = 0;  // what peft_mount keeps, of which the context takes care
    for (peft__mounted *m = ctx->mounted; m; m = m->next) mounted += sizeof(peft__mounted) + strlen(m->path);
    check(peft_memory_in_use(ctx) == mounted, "nothing is left at the end");
    peft_context_destroy(ctx);
    printf("%d passed, %d failed\n", passed, failed);
    return failed ? 1 : 0;
}
