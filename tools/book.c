// Renders peft.h as a book of HTML pages: the interface, and one page for each chapter of the implementation.
// Comments stand beside the code that they explain, every name is a link to its definition, and the first
// page has a figure of which chapter rests on which. What has no place is printed: names without a
// definition, chapters without an opening.
//     book peft.h build/book
#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_PAGES = 32, MAX_NAMES = 1 << 16, MAX_TOKENS = 512 };

typedef struct page {
    char file[32], title[80];
    size_t begin, end;      // bytes of the header
    size_t opening;         // end of the comment that opens a chapter; 0: it is not one
    long lines, functions;
    long uses[MAX_PAGES];   // how often its code names something of another page
} page;

typedef struct name {
    const char *text;
    size_t length;
    int defined, declared;  // pages; -1: none
    size_t at, declared_at; // bytes where that is
    bool function, missing;
} name;

static struct {
    char *text;
    size_t size;
    page pages[MAX_PAGES];
    int page_count;
    name *names;            // a hash table
    FILE *out;
} book;

// ---- names

static bool is_word(char c) {
    return isalnum((unsigned char)c) || c == '_';
}

static size_t word_length(const char *p) {
    size_t n = 0;
    while (is_word(p[n])) n++;
    return n;
}

// Only names of the library are linked: what begins with peft or PEFT.
static bool is_ours(const char *p, size_t n) {
    return n > 5 && (memcmp(p, "peft_", 5) == 0 || memcmp(p, "PEFT_", 5) == 0);
}

static name *find_name(const char *p, size_t n, bool add) {
    unsigned long hash = 5381;
    for (size_t i = 0; i < n; i++) hash = hash * 33 + (unsigned char)p[i];
    for (unsigned long k = hash % MAX_NAMES;; k = (k + 1) % MAX_NAMES) {
        name *found = &book.names[k];
        if (found->text && found->length == n && memcmp(found->text, p, n) == 0) return found;
        if (found->text) continue;
        if (!add) return NULL;
        found->text = p;
        found->length = n;
        found->defined = found->declared = -1;
        return found;
    }
}

static int page_at(size_t at) {
    for (int i = 0; i < book.page_count; i++)
        if (at >= book.pages[i].begin && at < book.pages[i].end) return i;
    return 0;
}

// The first definition counts: the branches of an #if often define a name once each.
static void define(const char *p, size_t n, bool function) {
    if (!is_ours(p, n)) return;
    name *found = find_name(p, n, true);
    if (found->defined >= 0) return;
    found->at = (size_t)(p - book.text);
    found->defined = page_at(found->at);
    found->function = function;
    book.pages[found->defined].functions += function;
}

static void declare(const char *p, size_t n) {
    name *found = is_ours(p, n) ? find_name(p, n, true) : NULL;
    if (!found || found->declared >= 0) return;
    found->declared_at = (size_t)(p - book.text);
    found->declared = page_at(found->declared_at);
}

// ---- the scanner: what is defined at the outermost level

typedef struct token {
    const char *p;
    size_t n;
    int depth;  // of parentheses and brackets around it
} token;

// Skips white space, comments and texts. NULL: the end.
static const char *skip(const char *p) {
    for (;;) {
        if (*p == '/' && p[1] == '/') p += strcspn(p, "\n");
        else if (*p == '/' && p[1] == '*') {
            const char *end = strstr(p + 2, "*/");
            p = end ? end + 2 : p + strlen(p);
        } else if (*p == '"' || *p == '\'') {
            char quote = *p++;
            for (; *p && *p != quote; p++)
                if (*p == '\\' && p[1]) p++;
            if (*p) p++;
        } else if (isspace((unsigned char)*p)) p++;
        else return *p ? p : NULL;
    }
}

static const char *skip_directive(const char *p) {
    while (*p && (*p != '\n' || p[-1] == '\\')) p++;
    return p;
}

static bool is(const token *t, const char *text) {
    return t->n == strlen(text) && memcmp(t->p, text, t->n) == 0;
}

// The tokens of a statement at the outermost level; `last` ends it: { ; or =
static void statement(const token *t, int count, char last) {
    bool is_typedef = false, is_struct = false;
    int pointer = -1, called = -1, plain = -1;
    for (int i = 0; i < count; i++) {
        if (is(&t[i], "typedef")) is_typedef = true;
        if (is(&t[i], "struct") || is(&t[i], "union") || is(&t[i], "enum")) {
            is_struct = true;
            if (last == '{' && i + 1 < count) define(t[i + 1].p, t[i + 1].n, false);
        }
        if (!is_word(*t[i].p)) continue;
        bool after_star = i > 1 && *t[i - 1].p == '*' && *t[i - 2].p == '(';
        if (is(&t[i], "const")) after_star = false;
        if (i > 2 && is(&t[i - 1], "const") && *t[i - 2].p == '*' && *t[i - 3].p == '(') after_star = true;
        if (after_star && pointer < 0) pointer = i;
        bool before_paren = i + 1 < count && *t[i + 1].p == '(';
        if (before_paren && called < 0 && t[i].depth == 0 && memcmp(t[i].p, "peft", 4) == 0) called = i;
        if (t[i].depth == 0) plain = i;
    }
    // MACRO(name, ...) defines a function
    if (count > 3 && isupper((unsigned char)*t[0].p) && *t[1].p == '(' && *t[3].p == ',')
        define(t[2].p, t[2].n, true);
    else if (is_typedef && last == ';') {
        int i = pointer >= 0 ? pointer : called >= 0 ? called : plain;
        if (i >= 0) define(t[i].p, t[i].n, false);
    } else if (last == '{' && called >= 0) define(t[called].p, t[called].n, true);
    else if (last == ';' && called >= 0) declare(t[called].p, t[called].n);
    else if (last != '{' && !(is_struct && last == ';' && count < 3)) {
        int i = pointer >= 0 ? pointer : plain;
        if (i >= 0 && count > 1) define(t[i].p, t[i].n, false);
    }
}

static void scan(void) {
    token t[MAX_TOKENS];
    int count = 0, braces = 0, parens = 0;
    bool in_enum = false, expect = false, in_value = false, was_typedef = false;
    for (const char *p = book.text; (p = skip(p)) != NULL;) {
        bool first = p == book.text || p[-1] == '\n';  // code at the left margin is at the outermost level
        if (*p == '#') {
            const char *word = p + 1 + strspn(p + 1, " ");
            if (strncmp(word, "define ", 7) == 0) define(word + 7, word_length(word + 7), false);
            p = skip_directive(p);
            continue;
        }
        size_t n = word_length(p);
        if (first && n && braces) braces = parens = count = 0, in_value = in_enum = false;
        if (*p == '{') {
            bool value = in_value || parens;
            if (!braces++ && !value) {
                in_enum = false;
                was_typedef = count > 0 && is(&t[0], "typedef");
                for (int i = 0; i < count; i++) in_enum = in_enum || is(&t[i], "enum");
                statement(t, count, '{');
                expect = in_enum;
            }
        } else if (*p == '}') {
            if (braces && !--braces && !in_value && !parens) {
                count = 0;
                if (was_typedef) t[count++] = (token){"typedef", 7, 0};
                in_enum = was_typedef = false;
            }
        } else if (braces) {
            if (in_enum && expect && n) define(p, n, false);
            expect = in_enum && (*p == ',' || (expect && !n));
        } else if (*p == ';' && !parens) {
            if (!in_value) statement(t, count, ';');
            count = 0;
            in_value = false;
        } else if (*p == '=' && !parens && !in_value) {
            statement(t, count, '=');
            in_value = true;
        } else if (!in_value && count < MAX_TOKENS) {
            if (*p == ')' || *p == ']') parens--;
            t[count++] = (token){p, n ? n : 1, parens};
            if (*p == '(' || *p == '[') parens++;
            if (*p == ')' && !parens && count > 3 && isupper((unsigned char)*t[0].p) && *t[1].p == '(' &&
                *t[3].p == ',') {
                statement(t, count, ';');
                count = 0;
            }
        }
        p += n ? n : 1;
    }
}

// ---- pages

static size_t line_end(size_t at) {
    while (at < book.size && book.text[at] != '\n') at++;
    return at;
}

static bool starts(size_t at, const char *text) {
    return strncmp(book.text + at, text, strlen(text)) == 0;
}

// Whether ## in a macro makes this name: from a beginning, as in peft__do_##name, or an end, as in
// name##_avx2.
static bool is_made(const name *n) {
    for (const char *at = strstr(book.text, "##"); at; at = strstr(at + 2, "##")) {
        const char *p = at;
        while (p > book.text && is_word(p[-1])) p--;
        size_t before = (size_t)(at - p), after = word_length(at + 2);
        if (is_ours(p, before) && n->length > before && memcmp(n->text, p, before) == 0) return true;
        if (at[2] == '_' && n->length > after && memcmp(n->text + n->length - after, at + 2, after) == 0)
            return true;
    }
    return false;
}

static page *add_page(const char *file, const char *title, size_t begin) {
    page *p = &book.pages[book.page_count++];
    if (book.page_count > 1) p[-1].end = begin;
    snprintf(p->file, sizeof p->file, "%s", file);
    snprintf(p->title, sizeof p->title, "%s", title);
    p->begin = begin;
    p->end = book.size;
    return p;
}

// A chapter begins with a ruler of =, a line "// 12. TITLE", and ends its opening with another ruler.
static void find_pages(void) {
    add_page("interface.html", "Interface", 0);
    for (size_t at = 0; at < book.size; at = line_end(at) + 1) {
        size_t next = line_end(at) + 1;
        if (!starts(at, "// ======") || book.page_count == MAX_PAGES) {
            if (starts(at, "#if defined(PEFT_IMPLEMENTATION)") && book.page_count == 1)
                add_page("frame.html", "Before the chapters", at);
            continue;
        }
        if (!starts(next, "// ") || !isdigit((unsigned char)book.text[next + 3])) continue;
        char file[32], title[80];
        int number = atoi(book.text + next + 3);
        snprintf(file, sizeof file, "chapter-%d.html", number);
        snprintf(title, sizeof title, "%.*s", (int)(line_end(next) - next - 3), book.text + next + 3);
        for (char *c = strchr(title, ' ') ? strchr(title, ' ') + 2 : title; *c; c++)
            *c = (char)tolower((unsigned char)*c);
        page *p = add_page(file, title, at);
        for (at = next; at < book.size && !starts(at, "// ======"); at = line_end(at) + 1) continue;
        p->opening = line_end(at) + 1;
    }
    for (int i = 0; i < book.page_count; i++)
        for (size_t at = book.pages[i].begin; at < book.pages[i].end; at++)
            book.pages[i].lines += book.text[at] == '\n';
}

// ---- HTML

static void put(const char *p, size_t n) {
    for (size_t i = 0; i < n; i++) {
        if (p[i] == '<') fputs("&lt;", book.out);
        else if (p[i] == '>') fputs("&gt;", book.out);
        else if (p[i] == '&') fputs("&amp;", book.out);
        else if (p[i] == '"') fputs("&quot;", book.out);
        else fputc(p[i], book.out);
    }
}

// A name: the place of its definition or declaration, else a link to it.
static void put_name(const char *p, size_t n, int on_page, bool code) {
    static const char *const keywords[] = {"if", "else", "for", "while", "do", "return", "break", "continue",
        "switch", "case", "default", "sizeof", "typedef", "struct", "enum", "union", "static", "const",
        "extern", "void", "int", "bool", "char", "float", "double", "size_t", "int64_t", "int32_t",
        "uint64_t", "uint32_t", "uint8_t", "int8_t", "uint16_t", "unsigned", "true", "false", "NULL", "goto",
        "volatile", "inline"};
    name *found = is_ours(p, n) ? find_name(p, n, false) : NULL;
    size_t at = (size_t)(p - book.text);
    bool here = found && found->defined >= 0 && found->at == at,
         declared = found && found->declared >= 0 && found->declared_at == at;
    bool own_declaration = declared && found->declared != found->defined;
    if (code && found && found->defined >= 0 && found->defined != on_page)
        book.pages[on_page].uses[found->defined]++;
    if (here || own_declaration) {
        int other = here ? found->declared : found->defined;
        fprintf(book.out, "<b id=\"%.*s\">", (int)n, p);
        if (other >= 0 && other != on_page)
            fprintf(book.out, "<a href=\"%s#%.*s\">%.*s</a>", book.pages[other].file, (int)n, p, (int)n, p);
        else put(p, n);
        fputs("</b>", book.out);
    } else if (found && (found->defined >= 0 || found->declared >= 0)) {
        int to = found->defined >= 0 ? found->defined : found->declared;
        fprintf(book.out, "<a href=\"%s#%.*s\">", to == on_page ? "" : book.pages[to].file, (int)n, p);
        put(p, n);
        fputs("</a>", book.out);
    } else {
        bool keyword = false;
        for (size_t i = 0; code && i < sizeof keywords / sizeof *keywords; i++)
            keyword = keyword || (strlen(keywords[i]) == n && memcmp(keywords[i], p, n) == 0);
        if (keyword) fputs("<i>", book.out);
        put(p, n);
        if (keyword) fputs("</i>", book.out);
        // names of files and of what ## makes are no names of the program
        if (code && is_ours(p, n) && p[n] != '.' && strncmp(p + n, "##", 2) != 0)
            find_name(p, n, true)->missing = true;
    }
}

// Text of a comment, with its names linked.
static void put_prose(const char *p, size_t n, int on_page) {
    for (const char *end = p + n; p < end;) {
        size_t w = word_length(p);
        if (w) put_name(p, w, on_page, false);
        else put(p, 1);
        p += w ? w : 1;
    }
}

static void put_span(const char *kind, const char *p, size_t n) {
    fprintf(book.out, "<span class=%s>", kind);
    put(p, n);
    fputs("</span>", book.out);
}

static void put_code(size_t begin, size_t end, int on_page) {
    bool directive = false;  // its names may be switches that a program defines
    while (end > begin && isspace((unsigned char)book.text[end - 1])) end--;
    while (begin < end && book.text[begin] == '\n') begin++;
    if (begin >= end) return;
    fputs("<pre>", book.out);
    for (const char *p = book.text + begin, *last = book.text + end; p < last;) {
        size_t n = word_length(p);
        if (*p == '/' && (p[1] == '/' || p[1] == '*')) {
            const char *stop = p[1] == '/' ? p + strcspn(p, "\n") : strstr(p, "*/") + 2;
            fputs("<span class=c>", book.out);
            put_prose(p, (size_t)(stop - p), on_page);
            fputs("</span>", book.out);
            p = stop;
        } else if (*p == '"' || *p == '\'') {
            const char *stop = p + 1;
            for (; stop < last && *stop != *p; stop++) stop += *stop == '\\';
            put_span("s", p, (size_t)(stop + 1 - p));
            p = stop + 1;
        } else if (n && isdigit((unsigned char)*p)) {
            put_span("n", p, n);
            p += n;
        } else if (n) {
            put_name(p, n, on_page, !directive);
            p += n;
        } else if (*p == '#' && (p == book.text || p[-1] == '\n')) {
            n = 1 + strspn(p + 1, " ");
            n += word_length(p + n);
            put_span("d", p, n);
            p += n;
            directive = true;
        } else {
            if (*p == '\n' && p[-1] != '\\') directive = false;
            put(p++, 1);
        }
    }
    fputs("</pre>\n", book.out);
}

// Lines of // at the left margin: sentences become paragraphs, lines that are indented further keep their
// form.
static void put_comment(size_t begin, size_t end, int on_page) {
    enum { NONE, TEXT, FORM } kind = NONE;
    size_t margin = strspn(book.text + begin + 2, " ");
    static const char *const closes[] = {"", "</p>\n", "</pre>\n"}, *const opens[] = {
                                                                        "", "<p>", "<pre class=form>"};
    for (size_t at = begin; at < end; at = line_end(at) + 1) {
        size_t stop = line_end(at), indent = strspn(book.text + at + 2, " "),
               from = at + 2 + (indent < margin ? indent : margin);
        if (starts(at, "// ====") || starts(at, "// ####")) continue;
        int wanted = from >= stop ? NONE : book.text[from] == ' ' ? FORM : TEXT;
        bool anew = starts(from, "Know:") || starts(from, "Rests on") || starts(from, "Hands on");
        if (wanted != (int)kind || anew) fprintf(book.out, "%s%s", closes[kind], opens[wanted]);
        if (wanted != NONE) {
            put_prose(book.text + from, stop - from, on_page);
            fputc('\n', book.out);
        }
        kind = wanted;
    }
    fputs(closes[kind], book.out);
}

static const char style[] =
    ":root{color-scheme:light dark;--f:#1b1f24;--b:#fff;--q:#f6f7f9;--r:#d8dce2;--a:#0b57a4;--c:#5b6570;"
    "--s:#8a4b00;--k:#7a2a8c;--w:#c22}"
    "@media(prefers-color-scheme:dark){:root{--f:#dfe3e8;--b:#14171b;--q:#1c2026;--r:#343a43;--a:#7db4f0;"
    "--c:#97a1ad;--s:#e0a860;--k:#c79be0;--w:#f77}}*{box-sizing:border-box}"
    "body{margin:0 auto;max-width:100rem;padding:1rem;color:var(--f);background:var(--b);"
    "font:1rem/1.5 Georgia,serif}a{color:var(--a);text-decoration:none}a:hover{text-decoration:underline}"
    "nav,footer{font:.9rem/1.7 system-ui,sans-serif}"
    "nav ul{columns:16rem;margin:.5rem 0;padding-left:1.2rem}"
    "h1,h2{font-family:system-ui,sans-serif;line-height:1.2}"
    "h2{font-size:1.15rem;margin:2rem 0 .5rem;border-top:1px solid var(--r);padding-top:.7rem}"
    "section{display:grid;grid-template-columns:minmax(0,1fr) minmax(0,62rem);gap:0 1.5rem}"
    "section>div{min-width:0}p{margin:.4rem 0}"
    "pre{margin:.3rem 0;padding:.6rem;overflow-x:auto;background:var(--q);border-radius:.3rem;"
    "font:.8rem/1.45 ui-monospace,Menlo,Consolas,monospace}"
    "pre.form{background:none;padding:.2rem 0;font-size:.75rem}pre a{color:inherit}"
    ".form a,pre a:hover{color:var(--a)}pre b{color:var(--a)}pre b a{color:var(--a)}"
    "pre i{font-style:normal;color:var(--k)}.c,.c a{color:var(--c)}.s{color:var(--s)}.n{color:var(--s)}"
    ".d{color:var(--k)}:target{background:#fd06;outline:2px solid #fd06}table{border-collapse:collapse}"
    "td,th{padding:.15rem .7rem .15rem 0;text-align:left;vertical-align:top}td.r{text-align:right}"
    "svg{max-width:100%;height:auto;font:14px system-ui,sans-serif;fill:var(--f)}"
    "svg path{fill:none;stroke:var(--a);opacity:.55}svg path.up{stroke:var(--w)}"
    "@media(max-width:60rem){section{display:block}pre{font-size:.72rem}}"
    "@media print{:root{--f:#000;--b:#fff;--q:#fff;--r:#999;--a:#000;--c:#444;--s:#000;--k:#000}"
    "nav{display:none}section{display:block}pre{white-space:pre-wrap;font-size:7.5pt;padding:0}"
    "a{color:inherit}}";

static void begin_page(const char *folder, const char *file, const char *title) {
    char path[512];
    snprintf(path, sizeof path, "%s/%s", folder, file);
    book.out = fopen(path, "w");
    if (!book.out) {
        fprintf(stderr, "book: %s cannot be written\n", path);
        exit(1);
    }
    fputs(
        "<!DOCTYPE html>\n<html lang=en><head><meta charset=utf-8><meta name=viewport "
        "content=\"width=device-width,"
        "initial-scale=1\"><title>",
        book.out);
    put(title, strlen(title));
    fprintf(book.out, " - peft.h</title><style>%s</style></head><body>\n", style);
}

static void end_page(void) {
    fputs("</body></html>\n", book.out);
    if (fclose(book.out)) exit(1);
}

// "// ---- words" and "// >>words" are headings. Returns where the words begin, 0: it is none.
static size_t heading(size_t at) {
    if (starts(at, "// >>")) return at + 5;
    if (starts(at, "// ---- ")) return at + 8;
    return 0;
}

static void put_neighbours(int i) {
    fputs("<nav><a href=\"index.html\">Contents</a>", book.out);
    for (int k = i - 1; k <= i + 1; k += 2)
        if (k >= 0 && k < book.page_count)
            fprintf(book.out, " &middot; <a href=\"%s\">%s %s</a>", book.pages[k].file,
                k < i ? "before:" : "next:", book.pages[k].title);
    fputs("</nav>\n", book.out);
}

static void put_page(const char *folder, int i) {
    page *p = &book.pages[i];
    int headings = 0;
    size_t at = p->begin;
    begin_page(folder, p->file, p->title);
    put_neighbours(i);
    fprintf(book.out, "<h1>%s</h1>\n", p->title);
    if (p->opening) {
        at = line_end(line_end(at) + 1) + 1;
        put_comment(at, p->opening, i);
        at = p->opening;
    } else if (starts(at, "/*")) {
        const char *end = strstr(book.text + at, "*/");
        fputs("<pre class=form>", book.out);
        put_prose(book.text + at + 3, (size_t)(end - book.text) - at - 3, i);
        fputs("</pre>\n", book.out);
        at = (size_t)(end - book.text) + 3;
    }
    fputs("<nav><ul>\n", book.out);
    for (size_t h = at; h < p->end; h = line_end(h) + 1)
        if (heading(h)) {
            fprintf(book.out, "<li><a href=\"#section-%d\">", ++headings);
            put(book.text + heading(h), strcspn(book.text + heading(h), ":\n"));
            fputs("</a></li>\n", book.out);
        }
    fputs("</ul></nav>\n", book.out);
    for (headings = 0; at < p->end;) {
        if (heading(at)) {
            fprintf(book.out, "<h2 id=\"section-%d\">", ++headings);
            put(book.text + heading(at), line_end(at) - heading(at));
            fputs("</h2>\n", book.out);
            at = line_end(at) + 1;
            continue;
        }
        size_t comment = at, code;
        while (at < p->end && starts(at, "//") && !heading(at)) at = line_end(at) + 1;
        for (code = at; at < p->end && !starts(at, "//"); at = line_end(at) + 1) continue;
        fputs("<section><div>", book.out);
        if (!starts(comment, "// --------")) put_comment(comment, code, i);
        fputs("</div><div>", book.out);
        put_code(code, at, i);
        fputs("</div></section>\n", book.out);
    }
    put_neighbours(i);
    end_page();
}

// Which chapter rests on which: an arc for each pair, the wider the more often names are used. One that uses
// a chapter below it in the list is drawn on the other side.
static void put_figure(void) {
    int height = 40 * book.page_count;
    fprintf(book.out,
        "<svg viewBox=\"0 0 760 %d\" width=760 role=img aria-label=\"which chapter rests on which\">\n",
        height);
    for (int i = 0; i < book.page_count; i++) {
        const page *p = &book.pages[i];
        for (int k = 1; k < book.page_count; k++) {
            if (!p->uses[k] || !i || k == i) continue;
            int y = 40 * i + 20, to = 40 * k + 20, reach = 30 + 23 * abs(i - k);
            double width = 1;
            for (long n = p->uses[k]; n > 3; n /= 3) width += .8;
            bool up = k > i;
            fprintf(book.out,
                "<path%s stroke-width=%.1f d=\"M%d %dC%d %d %d %d %d %d\"><title>%s uses names of %s "
                "%ld times</title></path>\n",
                up ? " class=up" : "", width, up ? 250 : 430, y, up ? 250 - reach : 430 + reach, y,
                up ? 250 - reach : 430 + reach, to, up ? 250 : 430, to, p->title, book.pages[k].title,
                p->uses[k]);
        }
        fprintf(book.out, "<a href=\"%s\"><text x=260 y=%d>%s</text></a>\n", p->file, 40 * i + 25, p->title);
    }
    fputs("</svg>\n", book.out);
}

// What an opening is for: its first sentences, up to a line that names functions.
static void put_purpose(const page *p, int i) {
    size_t at = line_end(line_end(p->begin) + 1) + 1;
    for (; at < p->opening && !starts(at, "// ======") && line_end(at) > at + 2; at = line_end(at) + 1) {
        const char *line = book.text + at + 2 + strspn(book.text + at + 2, " ");
        if (strncmp(line, "Know:", 5) == 0 || strncmp(line, "Rests on", 8) == 0) break;
        if (strncmp(line, "For: ", 5) == 0) line += 5;
        put_prose(line, line_end(at) - (size_t)(line - book.text), i);
        fputc('\n', book.out);
    }
}

static void put_index(const char *folder) {
    begin_page(folder, "index.html", "Contents");
    fputs(
        "<h1>peft.h, the book</h1>\n<p>Fine-tuning of language models in one C header. The "
        "interface is what a "
        "program uses; each chapter of the implementation rests only on those before it.</p>\n<table>\n"
        "<tr><th>Page<th>What it is for<th>Lines"
        "<th>Functions</tr>\n",
        book.out);
    for (int i = 0; i < book.page_count; i++) {
        const page *p = &book.pages[i];
        fprintf(book.out, "<tr><td><a href=\"%s\">%s</a><td>", p->file, p->title);
        if (p->opening) put_purpose(p, -1);  // every link leads to another page
        else
            fputs(i ? "switches of the compiler, headers of the system"
                    : "the manual, and every public declaration",
                book.out);
        fprintf(book.out, "<td class=r>%ld<td class=r>%ld</tr>\n", p->lines, p->functions);
    }
    fputs(
        "</table>\n<h2>Which chapter rests on which</h2>\n<p>An arc on the right leads from a "
        "chapter to one above that it "
        "uses. One "
        "on the left leads to a chapter below: there should be none.</p>\n",
        book.out);
    put_figure();
    end_page();
}

// An opening says what a chapter is for, and names five of its functions.
static int report_openings(void) {
    int lacking = 0;
    for (int i = 0; i < book.page_count; i++) {
        const page *p = &book.pages[i];
        int named = 0;
        for (const char *c = book.text + p->begin; p->opening && c < book.text + p->opening; c++) {
            size_t n = is_word(c[-1]) ? 0 : word_length(c);
            const name *found = n && is_ours(c, n) ? find_name(c, n, false) : NULL;
            named += found && found->defined == i;
        }
        if (!p->opening || named >= 5) continue;
        printf("opening: %s names %d of its functions, not five\n", p->title, named);
        lacking++;
    }
    return lacking;
}

static int report_names(void) {
    int lacking = 0;
    for (int i = 0; i < MAX_NAMES; i++) {
        const name *n = &book.names[i];
        if (!n->text || !n->missing || n->defined >= 0 || n->declared >= 0 || is_made(n)) continue;
        printf("name without a definition: %.*s\n", (int)n->length, n->text);
        lacking++;
    }
    return lacking;
}

int main(int argc, char **argv) {
    FILE *f = argc == 3 ? fopen(argv[1], "rb") : NULL;
    if (!f) {
        fprintf(stderr, argc == 3 ? "book: %s cannot be read\n" : "usage: book peft.h FOLDER\n", argv[1]);
        return 1;
    }
    fseek(f, 0, SEEK_END);
    book.size = (size_t)ftell(f);
    rewind(f);
    book.text = (char *)calloc(book.size + 2, 1);
    book.names = (name *)calloc(MAX_NAMES, sizeof(name));
    if (!book.text || !book.names || fread(book.text, 1, book.size, f) != book.size) return 1;
    fclose(f);
    find_pages();
    scan();
    for (int i = 0; i < book.page_count; i++) put_page(argv[2], i);
    put_index(argv[2]);
    int names = report_names(), openings = report_openings();
    printf("%d pages in %s, %d names without a definition, %d chapters without an opening\n",
        book.page_count + 1, argv[2], names, openings);
    return 0;
}
