#!/usr/bin/env python3
# Prints peft.h's tables of Unicode's normalization forms (peft__nf_data, peft__nf_classes), with the meaning that the tokenizers
# library gives them: what that library does not decompose is left out. Needs: pip install tokenizers.
#   python3 tools/normalization_tables.py
#
# A number is written in digits of base 45; a digit that another one follows is 45 higher. Characters of the text: '#' to '~' without
# '?' (no trigraphs) and '\'. A signed number v is 2v, or -2v - 1.
# The text is cut into lines, as compilers need not take long literals; NULL ends it.
# peft__nf_data is a list of runs of code points in ascending order. A run begins with its header: 0 is one code point, 1 a run of the
# same shape as the one before, right behind it; 2 + 2 * shape + (it is longer than one) names another shape, and how far it is from the
# code point before follows. shape = 3 * (length - 1) + (0 compatibility, 1 canonical, 2 canonical and never composed). Then, for longer
# runs, how many code points beyond two; then the characters of the decomposition, each less the same one of the run before. In a run the
# first character counts up with the code point.
# peft__nf_classes: runs of combining classes: distance, count - 1, class.
import unicodedata

from tokenizers import normalizers

nfc, nfd, nfkd = normalizers.NFC(), normalizers.NFD(), normalizers.NFKD()
HANGUL = range(0xAC00, 0xD7A4)


def number(v):
    out = []
    while v >= 45:
        out.append(45 + v % 45)
        v //= 45
    return out + [v]


def signed(v):
    return number(2 * v if v >= 0 else -2 * v - 1)


def decompositions():
    for c in range(0x110000):
        text = unicodedata.decomposition(chr(c))
        if not text or c in HANGUL:
            continue
        compatibility = text[0] == "<"
        if (nfkd if compatibility else nfd).normalize_str(chr(c)) == chr(c):
            continue  # younger than the library's Unicode
        parts = [int(x, 16) for x in text.split(">")[-1].split()]
        kind = 0 if compatibility else 1 if nfc.normalize_str(chr(c)) == chr(c) else 2
        yield c, 3 * (len(parts) - 1) + kind, parts


def combining_classes():
    for c in range(0x110000):
        k = unicodedata.combining(chr(c))
        after, before = "\u0334" if k > 1 else "\u0301", chr(c)
        if k and nfd.normalize_str("a" + (before + after if k > 1 else after + before)) != "a" + (
            before + after if k > 1 else after + before
        ):
            yield c, k


def runs():
    last, shape, run, before = -1, -1, [], []
    for c, s, parts in decompositions():
        if run and c == run[0] + run[3] and s == run[1] and parts[1:] == run[2][1:] and parts[0] == run[2][0] + run[3]:
            run[3] += 1
            continue
        if run:
            yield run
        run = [c, s, parts, 1]
    yield run


def data():
    out, last, shape, before = [], -1, -1, [0] * 32
    for c, s, parts, n in runs():
        if c == last + 1 and s == shape:
            out.append(int(n > 1))
        else:
            out += number(2 + 2 * s + (n > 1)) + number(c - last - 1)
        if n > 1:
            out += number(n - 2)
        for i, p in enumerate(parts):
            out += signed(p - before[i])
            before[i] = p
        before[0] += n - 1
        last, shape = c + n - 1, s
    return out


def classes():
    out, last, run = [], -1, None
    for c, k in list(combining_classes()) + [(1 << 30, 0)]:
        if run and c == run[0] + run[1] and k == run[2]:
            run[1] += 1
            continue
        if run:
            out += number(run[0] - last - 1) + number(run[1] - 1) + number(run[2])
            last = run[0] + run[1] - 1
        run = [c, 1, k]
    return out


def printed(name, digits):
    letters = [chr(c) for c in range(ord("#"), ord("~") + 1) if chr(c) not in "?\\"]
    text = "".join(letters[d] for d in digits)
    print(f"static const char *const {name}[] = {{")
    for i in range(0, len(text), 103):
        print(f'    "{text[i : i + 103]}",')
    print("    NULL};")


printed("peft__nf_data", data())
printed("peft__nf_classes", classes())
