#!/usr/bin/env python3
# Prints peft.h's tables of Unicode's normalization forms (peft__nf_data), with the meaning that the tokenizers
# library gives them: what that library does not decompose is left out. Needs: pip install tokenizers.
#   python3 tools/normalization_tables.py
#
# The tables are numbers, each coded in a context (which field it is), by the adaptive binary range coder that LZMA uses; four bytes are five
# digits of base 85, which are the characters from '#' on without '?' (no trigraphs) and '\'. A number v is the count of the bits of v + 1
# behind its first, in unary, and these bits. A signed number v is 2v, or -2v - 1.
# First come the decompositions, runs of code points in ascending order. A run begins with its header: 0 is one code point, 1 a run of the
# same shape as the one before, right behind it; 2 + 2 * shape + (it is longer than one) names another shape, and how far it is from the
# code point before follows. shape = 3 * (length - 1) + (0 compatibility, 1 canonical, 2 canonical and never composed). Then, for longer
# runs, how many code points beyond two; then the characters of the decomposition, each less the same one of the run before. In a run the
# first character counts up with the code point.
# Then the runs of combining classes: distance, count - 1, class.
import unicodedata

from tokenizers import normalizers

nfc, nfd, nfkd = normalizers.NFC(), normalizers.NFD(), normalizers.NFKD()
HANGUL = range(0xAC00, 0xD7A4)


def signed(v):
    return 2 * v if v >= 0 else -2 * v - 1


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


# Pairs of context and number.
def data():
    out, last, shape, before = [], -1, 0, [0] * 32
    for c, s, parts, n in runs():
        near = c == last + 1 and s == shape and out
        out.append((min(shape, 6), int(n > 1) if near else 2 + 2 * s + (n > 1)))
        if not near:
            out.append((7, c - last - 1))
        if n > 1:
            out.append((8, n - 2))
        for i, p in enumerate(parts):
            out.append((9 + 4 * min(s, 6) + min(i, 3), signed(p - before[i])))
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
            out += [(37, run[0] - last - 1), (38, run[1] - 1), (39, run[2])]
            last = run[0] + run[1] - 1
        run = [c, 1, k]
    return out


class Coder:
    def __init__(self):
        self.low, self.range, self.cache, self.waiting, self.out, self.odds = 0, 0xFFFFFFFF, 0, 1, bytearray(), {}

    def shift(self):
        if self.low < 0xFF000000 or self.low > 0xFFFFFFFF:
            while self.waiting:
                self.out.append((self.cache + (self.low >> 32)) & 255)
                self.cache, self.waiting = 255, self.waiting - 1
            self.cache = self.low >> 24 & 255
        self.waiting += 1
        self.low = (self.low & 0xFFFFFF) << 8

    def bit(self, context, bit):
        odds = self.odds.get(context, 2048)
        bound = (self.range >> 12) * odds
        if bit:
            self.low, self.range, odds = self.low + bound, self.range - bound, odds - (odds >> 4)
        else:
            self.range, odds = bound, odds + ((4096 - odds) >> 4)
        self.odds[context] = odds
        while self.range < 1 << 24:
            self.range = self.range << 8 & 0xFFFFFFFF
            self.shift()

    def number(self, context, v):
        n, seen = (v + 1).bit_length() - 1, 1
        for i in range(n + 1):
            self.bit((context, i), i < n)
        for i in range(n - 1, -1, -1):  # the first three bits know those before, the others where they are
            bit = v + 1 >> i & 1
            self.bit((context, 20 + 28 * n + (seen if n - i <= 3 else 8 + i)), bit)
            seen = seen * 2 + bit


def printed(name, pairs):
    coder = Coder()
    for context, v in pairs:
        coder.number(context, v)
    for _ in range(5):
        coder.shift()
    data = bytes(coder.out) + bytes(-len(coder.out) % 4)
    letters = [chr(c) for c in range(ord("#"), ord("~") + 1) if chr(c) not in "?\\"]
    text = ""
    for i in range(0, len(data), 4):
        word = int.from_bytes(data[i : i + 4], "big")
        text += "".join(letters[word // 85**k % 85] for k in (4, 3, 2, 1, 0))
    print(f"static const char *const {name}[] = {{")
    for i in range(0, len(text), 103):
        print(f'    "{text[i : i + 103]}",')
    print("};")


printed("peft__nf_data", data() + classes())
