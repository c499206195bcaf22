"""Compares templates with Jinja2: cases written by hand and random ones.

    cc -std=c11 -O1 -I. tests/peers/render_templates.c -o build/render_templates -lm
    python tests/peers/check_templates.py build/render_templates [SEED [COUNT]] [--write FILE]

Jinja2 3.1 is set up as transformers does it for chats, and plain as promptsource does. A case is equal when both give the same text
or both refuse. What peft.h refuses as unsupported is counted on its own. --write puts the cases by hand and Jinja2's answers into FILE.
"""
import copy, json, random, subprocess, sys, tempfile, threading

import resource

import jinja2
from jinja2.ext import Extension, loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment


class Generation(Extension):
    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return jinja2.nodes.CallBlock(self.call_method("same"), [], [], body).set_lineno(line)

    def same(self, caller):
        return caller()


def raise_exception(message):
    raise jinja2.exceptions.TemplateError(message)


def strftime_now(format):
    import datetime
    return datetime.datetime(2026, 11, 30, 12, 0, 0).strftime(format)


def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def most_frequent(items):
    if not items:
        return None
    from collections import Counter
    counts = Counter(items).most_common()
    return [c[0] for c in counts if c[1] == counts[0][1]]


class Namespace(jinja2.utils.Namespace):
    def __init__(*args, **kwargs):
        self, args = args[0], args[1:]
        attrs = dict(*args, **kwargs)
        for name in attrs:
            Namespace._check(name)
        jinja2.utils.Namespace.__init__(self, attrs)

    def __setitem__(self, name, value):
        Namespace._check(name)
        jinja2.utils.Namespace.__setitem__(self, name, value)

    def __repr__(self):
        return jinja2.utils.Namespace.__repr__(self)

    @staticmethod
    def _check(name):
        if isinstance(name, str) and name.startswith("_"):
            raise jinja2.exceptions.SecurityError(name)


plain = jinja2.Environment(extensions=[loopcontrols, Generation])
plain.globals.update(zip=zip)
plain.filters["most_frequent"] = most_frequent
plain.filters["highlight"] = lambda x: "<span style='color: #F08080'>" + x + "</span>"
plain.filters["choice"] = random.choice
chat = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols])
chat.filters["tojson"] = tojson
chat.globals.update(raise_exception=raise_exception, strftime_now=strftime_now, namespace=Namespace)

RECORD = json.loads(r"""{"s": "Hello, World", "empty": "", "u": "\u00c4pfel und \u00d6l \u2014 na\u00efve \u4f60\u597d \ud83d\ude00", "q": "it's \"so\"", "one": "a'b",
 "n": 7, "zero": 0, "neg": -3, "f": 2.5, "big": 1234567.891, "tiny": 1e-7, "huge": 1e22, "t": true, "no": false, "nil": null,
 "xs": [3, 1, 2], "ws": ["pear", "Apple", "fig", "apple"], "none": [], "mixed": [1, "a", null, 2.5, [1], {"k": "v"}], "d": {"b": 1, "a": 2, "C": [1, 2]}, "nodict": {},
 "people": [{"name": "Ann", "age": 31, "tags": ["x"]}, {"name": "bob", "age": 25, "tags": []}, {"name": "Cy", "age": 31}],
 "nested": {"a": {"b": [{"c": "deep"}]}}, "lines": "one\ntwo\n\nthree\n", "spaces": "  a  b \t c ", "html": "<a href=\"x\">&'</a>", "num": "42", "fl": " 3.50 ", "bad": "4x",
 "items": "shadowed", "loop": "outer", "tree": [{"v": 1, "kids": [{"v": 2, "kids": []}, {"v": 3, "kids": [{"v": 4, "kids": []}]}]}], "messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yo"}]}""")

# Every line is a template of its own; in a line, $ is a line break.
LINES = open(__file__.replace("check_templates.py", "templates.txt"), encoding="utf-8").read().split("\n")
BY_HAND = []
for line in LINES:
    if not line or line.startswith("//"): continue
    BY_HAND.append(line)
    if "{%" not in line and "}} {{" in line:  # each part alone too: one that fails does not hide the others
        parts = line.split("}} {{")
        BY_HAND += [("{{" if i else "") + part + ("}}" if i + 1 < len(parts) else "") for i, part in enumerate(parts)]


def reference(case):
    env = chat if case["chat"] else plain
    try:
        return {"text": env.from_string(case["jinja"]).render(copy.deepcopy(case["record"]))}
    except Exception as e:
        return {"error": type(e).__name__ + ": " + str(e)}


class Random:
    """Templates of a grammar. Most are meaningful; a part of them fails, in both."""

    NAMES = ["s", "u", "n", "f", "neg", "zero", "t", "no", "nil", "xs", "ws", "mixed", "d", "people", "nested", "missing", "x", "y", "empty", "num", "q", "tiny", "big"]
    FILTERS = ["upper", "lower", "title", "capitalize", "trim", "length", "first", "last", "list", "string", "int", "float", "abs", "round", "sort", "unique|list", "reverse|list",
               "join", "join(', ')", "join('-', attribute='name')", "default('D')", "default('D', true)", "tojson", "items|list", "dictsort", "min", "max", "sum",
               "map('upper')|list", "map('string')|join('/')", "map(attribute='name')|join(',')", "map(attribute='age', default=0)|list", "select|list", "reject('none')|list",
               "select('string')|list", "selectattr('age', 'gt', 26)|list", "rejectattr('tags')|list", "batch(2)|list", "batch(2, 'z')|list", "slice(2)|list", "slice(3, 'f')|list",
               "replace('l', 'L')", "replace('o', '0', 1)", "indent", "indent(2, true)", "round(1)", "round(1, 'floor')",
               "round(0, 'ceil')", "count", "sort(reverse=true)", "sort(attribute='age')|map(attribute='name')|list", "sum(attribute='age')", "tojson(indent=2)", 
               "format(1)", "attr('name')", "int(9)", "float(1.5)", "sort(case_sensitive=true)", "unique(true)|list", "max(attribute='age')", "safe"]
    METHODS = ["upper()", "lower()", "strip()", "strip('H')", "split()", "split(',')", "split('l', 1)", "rsplit(' ', 1)", "replace('o', '')", "startswith('H')", "endswith('d')", "find('o')", "title()",
               "items()|list", "keys()|list", "values()|list", "get('a')", "get('zz', 5)", "index('o')", "count('l')", "splitlines()", "join(ws)", "capitalize()", "isdigit()",
               "isalpha()", "islower()", "isupper()", "removeprefix('He')", "lstrip('eH')", "rstrip('dl')",
               "index(1)", "count(1)", "copy()", "format(1, 2)", "rfind('l')", "isspace()", "isalnum()"]
    TESTS = ["defined", "undefined", "none", "string", "mapping", "iterable", "sequence", "number", "boolean", "true", "false", "integer", "float", "odd", "even", "lower", "upper", "callable",
             "divisibleby(3)", "eq(7)", "in(xs)", "equalto 's'", "gt 3", "ne none", "le(2.5)"]

    def __init__(self, seed):
        self.r = random.Random(seed)

    def typed(self, kind, depth):
        """An expression that is mostly of this kind: s text, n number, l list, d dict, b truth."""
        r = self.r
        if r.random() < .04: kind = r.choice("snldb")
        s, n, l, d, b = (lambda k=k: self.typed(k, depth - 1) for k in "snldb")
        any_ = lambda: self.typed(r.choice("snldb"), depth - 1)
        if depth <= 0:
            return r.choice({"s": ["s", "u", "num", "q", "'a'", "'l'", "''", "s[1:4]", "ws[0]", "people[0].name", "d|string", "lines", "spaces", "html", "'x-y'", "u[:3]"],
                             "n": ["n", "f", "neg", "zero", "3", "-2", "1.5", "xs[0]", "xs|length", "loop.index|default(1)", "big", "d.a", "2", "10", "tiny", "0.1"],
                             "l": ["xs", "ws", "[1, 2, 2]", "['b', 'a']", "range(4)|list", "[]", "s.split()", "people|map(attribute='name')|list", "d|list", "(3, 1)", "ws[1:]", "[x, y]", "mixed"],
                             "d": ["d", "people[0]", "{'q': 1, 'r': s}", "dict(a=n)", "{}", "nested.a", "mixed[5]"], "b": ["t", "no", "true", "s == 'x'", "n > 3", "missing is defined", "x", "'a' in s"]}[kind])
        return r.choice({
            "s": [lambda: f"({s()} ~ {any_()})", lambda: f"({s()} + {s()})", lambda: f"{s()}|{r.choice(['upper', 'lower', 'title', 'capitalize', 'trim', 'string', 'indent(2)', 'reverse'])}",
                  lambda: f"({s()}).{r.choice([m for m in self.METHODS if m.split('(')[0] in ('upper', 'lower', 'strip', 'replace', 'title', 'capitalize', 'removeprefix', 'lstrip', 'rstrip')])}",
                  lambda: f"{l()}|join({s()})", lambda: f"({s()})[{r.choice(['1:', ':-1', '::-1', '0', '-1', '1:5:2', '-4:'])}]", lambda: f"{any_()}|tojson", lambda: f"{s()}|replace({s()}, {s()})", lambda: f"({s()} if {b()} else {s()})",
                  lambda: f"{any_()}|string", lambda: f"'%s|%5s'|format({any_()}, {s()})", lambda: f"'{{}}/{{:>4}}'.format({any_()}, {n()})", lambda: f"({s()} * 2)", lambda: f"{any_()}|default({s()}, true)"],
            "n": [lambda: f"({n()} {r.choice('+-*/%')} {n()})", lambda: f"({n()} // {n()})", lambda: f"({n()} ** 2)", lambda: f"{n()}|{r.choice(['abs', 'round', 'round(1)', 'int', 'float', 'round(2, chr)'.replace('chr', repr('floor'))])}", lambda: f"{l()}|length", lambda: f"{s()}|length",
                  lambda: f"({s()}).{r.choice(['find', 'count', 'rfind'])}({s()})", lambda: f"(-{n()})", lambda: f"[{n()}, {n()}]|{r.choice(['sum', 'max', 'min', 'first', 'last'])}", lambda: f"{s()}|int(3)"],
            "l": [lambda: f"{l()}|{r.choice(['reverse|list', 'unique|list', 'map(quote)|list'.replace('quote', repr('string')), 'list', 'batch(2)|list', 'slice(2)|list', 'select|list', 'map(quote)|sort'.replace('quote', repr('string'))])}", lambda: f"({l()} + {l()})", lambda: f"({l()})[{r.choice(['1:', ':-1', '::-1', '::2'])}]",
                  lambda: f"[{any_()}, {any_()}]", lambda: f"({s()}).{r.choice(['split()', 'split(chr)'.replace('chr', repr('l')), 'splitlines()', 'rsplit(none, 1)'])}", lambda: f"{d()}|{r.choice(['list', 'items|list', 'dictsort', 'dictsort(true)'])}", lambda: f"({d()}).{r.choice(['keys', 'values', 'items'])}()|list",
                  lambda: f"{s()}|list", lambda: f"[{n()}, {n()}, {n()}]|sort", lambda: f"[{s()}, {s()}]|sort", lambda: f"people|selectattr('age', 'gt', {n()})|map(attribute='name')|list", lambda: f"({any_()}, {any_()})"],
            "d": [lambda: f"{{{s()}: {any_()}, {n()}: {any_()}}}", lambda: f"dict({d()}, k={any_()})", lambda: f"({d()} if {b()} else {d()})", lambda: f"({d()}).copy()"],
            "b": [lambda: f"({n()} {r.choice(['==', '!=', '<', '>', '<=', '>='])} {n()})", lambda: f"({any_()} == {any_()})", lambda: f"({s()} in {s()})", lambda: f"({any_()} in {l()})", lambda: f"(not {any_()})", lambda: f"({b()} and {any_()})", lambda: f"({any_()} or {b()})",
                  lambda: f"({any_()} is {r.choice(['', 'not '])}{r.choice([t for t in self.TESTS if t.split('(')[0] in ('defined', 'none', 'string', 'mapping', 'iterable', 'sequence', 'number', 'boolean', 'true', 'false', 'integer', 'float', 'lower', 'upper', 'callable')])})", lambda: f"({s()}).{r.choice(['startswith', 'endswith'])}({s()})", lambda: f"({s()} < {s()})", lambda: f"({s()}).{r.choice(['isalpha', 'isdigit', 'islower', 'isspace', 'isupper', 'isalnum'])}()"]}[kind])()

    def expression(self, depth):
        return self.wild(depth) if self.r.random() < .1 else self.typed(self.r.choice("ssnldb"), depth)

    def atom(self):
        r = self.r
        return r.choice([lambda: r.choice(self.NAMES), lambda: r.choice(self.NAMES), lambda: str(r.randint(-5, 12)), lambda: r.choice(["1.5", "2.0", "1e3", "0.1", "'a'", "'l'", '"b c"', "''", "none", "true", "false", "[]", "{}", "()"]),
                         lambda: r.choice(["xs[0]", "xs[-1]", "ws[1:]", "s[::-1]", "s[1:5:2]", "xs[::2]", "u[:4]", "d.a", "d['C']", "people[0].name", "nested.a.b[0].c", "mixed[5].k", "s[0]", "missing.x", "d.nothing", "xs[9]", "u[-2]", "ws[-3:-1]",
                                           "range(4)|list", "range(2, 9, 3)|list", "dict(a=1, b=x)", "(1, 'b')", "[1, x]", "{'a': y, 2: 'z'}", "range(3)"])])()

    def wild(self, depth):
        r = self.r
        if depth <= 0:
            return self.atom()
        e = lambda: self.wild(depth - 1)
        k = r.randrange(13)
        if k == 0: return f"({e()} {r.choice(['+', '-', '*', '/', '//', '%', '**'])} {r.choice(['2', '3', '-2', '0.5', self.atom()])})"
        if k == 1: return f"({e()} {r.choice(['==', '!=', '<', '>', '<=', '>=', 'in', 'not in'])} {e()})"
        if k == 2: return f"({e()} {r.choice(['and', 'or'])} {e()})"
        if k == 3: return f"(not {e()})"
        if k == 4: return f"({e()} ~ {e()})"
        if k == 5: return f"({e()} if {e()} else {e()})"
        if k in (6, 7): return f"({e()}|{r.choice(self.FILTERS)})"
        if k == 8: return f"({e()}).{r.choice(self.METHODS)}"
        if k == 9: return f"({e()} is {r.choice(['', 'not '])}{r.choice(self.TESTS)})"
        if k == 10: return f"{r.choice(self.NAMES)}.{r.choice(self.METHODS)}"
        if k == 11: return f"{r.choice(self.NAMES)}|{r.choice(self.FILTERS)}"
        return self.atom()

    def tag(self, text):
        return "{%" + self.r.choice(["", "", "-", "+"]) + " " + text + " " + self.r.choice(["", "", "-"]) + "%}"

    def body(self, depth):
        r, out = self.r, []
        for _ in range(r.randint(1, 3)):
            k = r.randrange(9)
            if depth <= 0 or k < 3: out.append(r.choice([" text ", "\n", "  \n  ", "a", "{# note #}", "{#- note -#}\n"]) + "{{" + r.choice(["", "-"]) + " " + self.expression(r.randint(0, 2)) + " " + r.choice(["", "-"]) + "}}")
            elif k == 3: out.append(self.tag("if " + self.expression(1)) + self.body(depth - 1) + self.tag("elif " + self.expression(1)) + self.body(depth - 1) + self.tag("else") + self.body(depth - 1) + self.tag("endif"))
            elif k == 4: out.append(self.tag(f"for {r.choice(['x', 'y'])} in {r.choice(['xs', 'ws', 'd', 's', 'range(3)', 'people', 'missing', self.expression(1)])}" + r.choice(["", "", f" if {self.expression(1)}"])) + self.body(depth - 1) +
                                    r.choice(["", "{{ loop.index }}/{{ loop.length }}", "{{ loop.last }}", "{% if loop.first %}{% continue %}{% endif %}", "{{ loop.previtem }}", "{% if loop.index > 1 %}{% break %}{% endif %}", "{{ loop.cycle('a', 'b') }}", "{{ loop.changed(x) }}"]) +
                                    r.choice(["", self.tag("else") + self.body(depth - 1)]) + self.tag("endfor"))
            elif k == 5: out.append(self.tag(f"set {r.choice(['x', 'y', 's', 'z'])} = {self.expression(2)}") + "\n")
            elif k == 6: out.append(self.tag(f"set {r.choice(['x', 'y', 'z'])}") + self.body(depth - 1) + self.tag("endset") + "{{ x }}|{{ y }}|{{ z }}")
            elif k == 7: out.append(self.tag(f"macro m(x, y={self.expression(1)})") + self.body(depth - 1) + self.tag("endmacro") + r.choice(["{{ m(1) }}", "{{ m(1, y=2) }}", "{{ m() }}", "{{ m(1, 2, 3) }}", "{{ m(x=s) }}"]))
            else: out.append(self.tag("filter " + r.choice(["upper", "trim", "replace('a', 'A')"])) + self.body(depth - 1) + self.tag("endfilter"))
        return "".join(out)

    def case(self):
        return self.body(3) if self.r.random() < .5 else "{{ " + self.expression(3) + " }}"


def timed(case, seconds=5):
    result = []
    worker = threading.Thread(target=lambda: result.append(reference(case)), daemon=True)
    worker.start()
    worker.join(seconds)
    return result[0] if result else {"error": "takes too long"}


def main():
    resource.setrlimit(resource.RLIMIT_AS, (3 << 30, 3 << 30))
    write = sys.argv.index("--write") if "--write" in sys.argv else None
    arguments = [a for a in (sys.argv[1:write] if write else sys.argv[1:]) if a != "--list"]
    seed = int(arguments[1]) if len(arguments) > 1 else 1
    count = int(arguments[2]) if len(arguments) > 2 else 2000
    cases = [{"jinja": line.replace("$", "\n"), "chat": c, "record": RECORD} for line in BY_HAND for c in (False, True)]
    hand = len(cases)
    source = Random(seed)
    cases += [{"jinja": source.case(), "chat": bool(i % 2), "record": RECORD} for i in range(count)]
    with tempfile.NamedTemporaryFile("w", suffix=".jsonl", encoding="utf-8") as f:
        for c in cases:
            f.write(json.dumps(c, ensure_ascii=False) + "\n")
        f.flush()
        out = subprocess.run([arguments[0], f.name], capture_output=True, text=True, encoding="utf-8")
    got = [json.loads(line) for line in out.stdout.split("\n") if line]
    if len(got) != len(cases):
        sys.exit(f"{len(got)} answers to {len(cases)} cases; {out.stderr}")
    equal = refused = errors = wrong = 0
    unsupported = 7
    for i, (c, g) in enumerate(zip(cases, got)):
        want = reference(c) if i < hand else timed(c)
        if "text" in want and ("object at 0x" in want["text"] or "<function" in want["text"] or "<class" in want["text"] or "<built-in" in want["text"]):
            refused += "error" in g
            wrong += "error" not in g
            continue
        if "error" in g and "error" in want: equal += 1; errors += 1
        elif g.get("text") == want.get("text"): equal += 1
        elif g.get("status") == unsupported: refused += 1
        else:
            wrong += 1
            if wrong <= 40: print(("chat " if c["chat"] else "plain"), repr(c["jinja"]), "\n   got ", repr(g.get("text", "ERROR " + g.get("error", "")))[:400], "\n   want", repr(want.get("text", "ERROR " + want.get("error", "")))[:400])
    if "--list" in sys.argv:  # what both refuse, to see that it is meant
        for c, g in zip(cases[:hand], got):
            if "error" in g: print(("chat " if c["chat"] else "plain"), c["jinja"][:150], "=>", g["error"][:150])
    if write:  # the record, then every case that is not only parts of others; of equal answers to both rules one
        with open(sys.argv[write + 1], "w", encoding="utf-8") as f:
            f.write(json.dumps(RECORD, ensure_ascii=False) + "\n")
            seen = {}
            for c in cases[:hand]:
                if "{%" not in c["jinja"] and "}} {{" in c["jinja"]: continue
                want = reference(c)
                text = want.get("text", "")
                answer = json.dumps([c["jinja"], text, "error" in want])
                if answer in seen or any(x in text for x in ("object at 0x", "<function", "<class", "<built-in", "<TemplateRef")): continue
                if got[cases.index(c)].get("status") == unsupported and "text" in want: continue
                if "random" in c["jinja"]: continue
                seen[answer] = True
                f.write(json.dumps({"jinja": c["jinja"], "chat": c["chat"], **({"text": text} if "text" in want else {"error": True})}, ensure_ascii=False) + "\n")
    print(f"{len(cases)} cases ({hand} by hand), {errors} refused by both")
    print(f"templates: {equal} right, {refused} refused, {wrong} wrong")
    sys.exit(wrong > 0)


main()
