#!/usr/bin/env python3
# Writes tests/data/tokenizers.jsonl: small tokenizers, each a tokenizer.json of ours about one of its steps or keys, with the ids and
# the decoded texts that the tokenizers library gives for some texts; and files that must be refused, with the word that the error names.
#   python3 tests/peers/make_tokenizer_cases.py > tests/data/tokenizers.jsonl
# Needs: pip install tokenizers.
import base64
import json
import struct

from tokenizers import Tokenizer, pre_tokenizers

TEXTS = ["<s>how", " hi", "in 2023", "food foo", "a  b\n c ", "Café ÉCOLE e\u0301\u0323 ﬁ ① 한글 İ", "x,y!! (z)..", "</s> a</s>b <unk>", "\U0001F600 ☃☃ é", ""]
LETTERS = "abcdefghijklmnopqrstuvwxyzéCaBÉLOE0123456789▁,.!()<>/ "


def vocabulary(more=(), letters=LETTERS):
    out = ["<unk>", "<s>", "</s>"]
    for x in list(letters) + list(more):
        if x not in out:
            out.append(x)
    return {x: i for i, x in enumerate(out)}


def added(content, id, **k):
    d = {"id": id, "content": content, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": False}
    return dict(d, **k)


def bpe(merges=(("h", "i"), ("f", "o"), ("fo", "o"), ("▁", "h"), ("2", "0")), letters=LETTERS, more=(), **k):
    v = vocabulary([a + b for a, b in merges] + list(more), letters)
    d = {"type": "BPE", "dropout": None, "unk_token": "<unk>", "continuing_subword_prefix": None, "end_of_word_suffix": None}
    d.update({"fuse_unk": False, "byte_fallback": False, "ignore_merges": False, "vocab": v, "merges": [list(m) for m in merges]})
    return dict(d, **k)


def unigram(**k):
    v = [[x, -float(i % 7) - 1.5 + 1 / 3] for i, x in enumerate(vocabulary(["hi", "foo", "▁how", "▁in", "20"]))]
    return dict({"type": "Unigram", "unk_id": 0, "vocab": v, "byte_fallback": False}, **k)


def file(model=None, normalizer=None, pre=None, decoder=None, post=None, tokens=None, **k):
    special = [added(x, i, special=True) for i, x in enumerate(["<unk>", "<s>", "</s>"])]
    d = {"version": "1.0", "truncation": None, "padding": None, "added_tokens": special if tokens is None else tokens}
    d.update({"normalizer": normalizer, "pre_tokenizer": pre, "post_processor": post, "decoder": decoder, "model": model or bpe()})
    return dict(d, **k)


def seq(key, *items):
    return {"type": "Sequence", key: list(items)}


def step(type, **k):
    return dict({"type": type}, **k)


SPECIAL = [added(x, i, special=True) for i, x in enumerate(["<unk>", "<s>", "</s>"])]
FALLBACK = ["<0x%02X>" % i for i in range(256)]
META = lambda scheme, split=True: step("Metaspace", replacement="▁", prepend_scheme=scheme, split=split)
SPLIT = lambda pattern, behavior, invert=False: step("Split", pattern=pattern, behavior=behavior, invert=invert)
BEHAVIORS = ["Isolated", "Removed", "Contiguous", "MergedWithPrevious", "MergedWithNext"]
TEMPLATE = {
    "type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": "</s>", "type_id": 0}}],
    "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
    "special_tokens": {x: {"id": x, "ids": [i], "tokens": [x]} for i, x in ((1, "<s>"), (2, "</s>"))},
}
n = len(vocabulary(["hi", "fo", "foo", "▁h", "20"]))

cases = {}
for x in ("NFC", "NFD", "NFKC", "NFKD", "Lowercase", "StripAccents", "Nmt", "ByteLevel"):
    cases["normalizer " + x] = file(normalizer=step(x))
cases["normalizer Strip left"] = file(normalizer=step("Strip", strip_left=True, strip_right=False))
cases["normalizer Strip"] = file(normalizer=step("Strip", strip_left=True, strip_right=True))
cases["normalizer Replace"] = file(normalizer=step("Replace", pattern={"String": "foo"}, content="b"))
cases["normalizer Replace by a regular expression"] = file(normalizer=step("Replace", pattern={"Regex": " {2,}|\\n"}, content="▁"))
cases["normalizer Replace, nothing behind a match"] = file(normalizer=step("Replace", pattern={"Regex": "o*"}, content="x"))
cases["normalizer Prepend"] = file(normalizer=step("Prepend", prepend="▁"))
cases["normalizer BertNormalizer"] = file(normalizer=step("BertNormalizer", clean_text=True, handle_chinese_chars=True, strip_accents=None, lowercase=True))
cases["normalizer Sequence"] = file(normalizer=seq("normalizers", step("NFD"), step("StripAccents"), step("Lowercase")))
for scheme in ("first", "always", "never"):
    for split in (True, False):
        cases["Metaspace %s %s" % (scheme, split)] = file(pre=META(scheme, split), decoder=META(scheme, split))
cases["Metaspace, no prefix, as older files say it"] = file(pre=step("Metaspace", replacement="▁", add_prefix_space=False, prepend_scheme="never"))
cases["Metaspace first behind WhitespaceSplit"] = file(pre=seq("pretokenizers", step("WhitespaceSplit"), META("first")))
cases["Metaspace first behind ByteLevel"] = file(pre=seq("pretokenizers", step("ByteLevel", add_prefix_space=False, trim_offsets=True, use_regex=False),
    step("Punctuation", behavior="Contiguous"), META("first", False)))
for b in (True, False):
    cases["Digits %s" % b] = file(unigram(), pre=step("Digits", individual_digits=b))
for b in BEHAVIORS:
    cases["Punctuation " + b] = file(unigram(), pre=step("Punctuation", behavior=b))
    cases["Split " + b] = file(unigram(), pre=SPLIT({"String": "o"}, b))
    cases["Split by a regular expression, inverted, " + b] = file(unigram(), pre=SPLIT({"Regex": "[a-z]+"}, b, True))
for x in ("Whitespace", "WhitespaceSplit", "BertPreTokenizer"):
    cases["pre-tokenizer " + x] = file(unigram(), pre=step(x))
cases["pre-tokenizer CharDelimiterSplit"] = file(unigram(), pre=step("CharDelimiterSplit", delimiter="o"))
cases["pre-tokenizer FixedLength"] = file(unigram(), pre=step("FixedLength", length=3))
for space in (True, False):
    for regex in (True, False):
        cases["ByteLevel %s %s" % (space, regex)] = file(
            bpe((("h", "o"), ("Ġ", "h"), ("Ġ", "f"), ("o", "o")), letters=LETTERS + "Ġ"), pre=step("ByteLevel", add_prefix_space=space, trim_offsets=True, use_regex=regex),
            decoder=step("ByteLevel", add_prefix_space=True, trim_offsets=True, use_regex=True),
        )
cases["Digits behind ByteLevel"] = file(pre=seq("pretokenizers", step("Punctuation", behavior="Contiguous"), step("ByteLevel", add_prefix_space=False, trim_offsets=True, use_regex=True), step("Digits", individual_digits=False)))
cases["unknown, one by one"] = file(bpe())
cases["unknown, fused"] = file(bpe(fuse_unk=True))
cases["unknown, left out"] = file(bpe(unk_token=None))
cases["byte fallback"] = file(bpe(byte_fallback=True, more=FALLBACK), decoder=seq("decoders", step("Replace", pattern={"String": "▁"}, content=" "), step("ByteFallback"), step("Fuse"), step("Strip", content=" ", start=1, stop=0)))
cases["ignore_merges"] = file(bpe(ignore_merges=True, more=["food foo", "in 2023"]))
cases["merges as texts"] = file(dict(bpe(), merges=["h i", "f o", "fo o"]))
prefixed = vocabulary(["##" + x for x in LETTERS] + ["hi", "foo", "fo"])
cases["continuing_subword_prefix"] = file(dict(bpe(), continuing_subword_prefix="##", vocab=prefixed, merges=[["h", "##i"], ["f", "##o"], ["fo", "##o"]]))
ended = vocabulary([x + "</w>" for x in LETTERS] + ["hi</w>", "foo</w>", "fo"])
cases["end_of_word_suffix"] = file(dict(bpe(), end_of_word_suffix="</w>", vocab=ended, merges=[["h", "i</w>"], ["f", "o"], ["fo", "o</w>"]]), pre=step("WhitespaceSplit"), decoder=step("BPEDecoder", suffix="</w>"))
cases["unigram, scores in double precision"] = file(unigram(), pre=META("always"), decoder=META("always"))
cases["unigram, byte fallback"] = file(unigram(byte_fallback=True, vocab=unigram()["vocab"] + [[x, -20.0] for x in FALLBACK]))
twice = unigram()["vocab"] + [["<unk>", -9.0]]
cases["unigram, unk twice, the latter added"] = file(unigram(vocab=twice), tokens=SPECIAL[1:] + [added("<unk>", len(twice) - 1, special=True)])
pieces = vocabulary(["##" + x for x in "abcdefghijklmnopqrstuvwxyz"] + ["foo", "##ood"])
cases["WordPiece"] = file({"type": "WordPiece", "unk_token": "<unk>", "continuing_subword_prefix": "##", "max_input_chars_per_word": 4, "vocab": pieces}, pre=step("BertPreTokenizer"), decoder=step("WordPiece", prefix="##", cleanup=True))
cases["WordLevel"] = file({"type": "WordLevel", "unk_token": "<unk>", "vocab": vocabulary(["hi", "foo", "in"])}, pre=step("Whitespace"))
for key in ("single_word", "lstrip", "rstrip", "normalized"):
    cases["added token " + key] = file(pre=META("always"), tokens=SPECIAL + [added("foo", n - 3, **{key: True}), added("b", 4, **{key: True})], normalizer=step("Lowercase"))
cases["added tokens, normalized by Prepend"] = file(normalizer=seq("normalizers", step("Prepend", prepend="▁"), step("Replace", pattern={"String": " "}, content="▁")), tokens=SPECIAL + [added("foo", n - 3, normalized=True)])
cases["added tokens behind the vocabulary"] = file(tokens=SPECIAL + [added("[x]", n), added(" c", n + 1, special=True)])
cases["a longer added token wins"] = file(tokens=SPECIAL + [added("fo", n), added("food", n + 1)])
cases["an added token in the white space that another took"] = file(tokens=SPECIAL + [added("a", n, rstrip=True), added(" b", n + 1)])
LEVEL = step("ByteLevel", add_prefix_space=False, trim_offsets=True, use_regex=True)
letters = sorted(pre_tokenizers.ByteLevel.alphabet())
for name, decoder in (("", LEVEL), (", no decoder", None)):
    cases["added token, normalized, byte level" + name] = file(
        bpe((("h", "i"),), letters=letters), pre=LEVEL, decoder=decoder, normalizer=seq("normalizers", step("Prepend", prepend="f"), step("Lowercase")),
        tokens=SPECIAL + [added("ood", 259 + 3, normalized=True)],
    )
cases["post-processor TemplateProcessing"] = file(post=TEMPLATE)
cases["post-processor BertProcessing"] = file(post={"type": "BertProcessing", "sep": ["</s>", 2], "cls": ["<s>", 1]})
cases["post-processor RobertaProcessing"] = file(post={"type": "RobertaProcessing", "sep": ["</s>", 2], "cls": ["<s>", 1], "trim_offsets": True, "add_prefix_space": False})
cases["post-processor Sequence"] = file(post=seq("processors", step("ByteLevel", add_prefix_space=True, trim_offsets=False, use_regex=True), TEMPLATE))
cases["decoder WordPiece without cleanup"] = file(decoder=step("WordPiece", prefix="o", cleanup=False))
cases["decoder Strip"] = file(decoder=seq("decoders", step("Fuse"), step("Strip", content="o", start=2, stop=0)))
cases["truncation and padding change nothing"] = file(truncation={"direction": "Right", "max_length": 2, "strategy": "LongestFirst", "stride": 0}, padding={"strategy": {"Fixed": 9}, "direction": "Right", "pad_to_multiple_of": None, "pad_id": 0, "pad_type_id": 0, "pad_token": "<unk>"})


def charsmap(rules):
    """SentencePiece's character map: a double array of the keys' bytes, then the replacements."""
    keys = {a.encode(): b.encode() + b"\0" for a, b in rules.items()}
    texts, units = b"".join(keys.values()), [None] * 256

    def place(at, key):  # sets the unit of this node's children, and returns how far they are
        heads = sorted({k[len(key)] for k in keys if k.startswith(key) and k != key} | ({0} if key in keys else set()))
        base = next(b for b in range(256) if all(units[b ^ c] is None and b ^ c for c in heads))
        for c in heads:
            units[base ^ c] = 0
        for c in heads:
            whole = key + bytes([c])
            units[base ^ c] = place(base ^ c, whole) << 10 | (whole in keys) << 8 | c if c else 1 << 31 | texts.index(keys[key])
        return at ^ base

    units[0] = place(0, b"") << 10
    return base64.b64encode(struct.pack("<I", 1024) + struct.pack("<256I", *(u or 0 for u in units)) + texts).decode()


# Which words begin where the text begins: Metaspace shows it with "first", when every character is a word.
EACH = step("FixedLength", length=1)
more = {}  # texts of their own


def first(name, texts, *normalizers, cut=(), tokens=None):
    letters = LETTERS + "\u0301\u0323ἀ각\u1100\u1161\u11a8漢\n1⁄2x"
    more[name] = texts
    cases[name] = file(bpe(letters=letters), normalizer=seq("normalizers", *normalizers), pre=seq("pretokenizers", *cut, EACH, META("first", False)), tokens=tokens)


replace = lambda pattern, content: step("Replace", pattern={"Regex": pattern}, content=content)
ACCENTS = ["a\u0323\u0301\n", "a\u0301b", "\u0301ab", "é\u0323b", "각b", "\u1100\u1161\u11a8b", "a\r\n", "ﬁ\u0301b", "½b", "ab\u0301"]
first("Metaspace first behind NFC and NFD", ACCENTS, step("NFC"), step("NFD"))
first("Metaspace first behind NFKD and NFKC", ACCENTS, step("NFKD"), step("NFKC"), step("NFKD"))
first("Metaspace first behind StripAccents", ACCENTS, step("NFC"), step("NFD"), step("StripAccents"), step("Prepend", prepend="x"))
first("Metaspace first behind Lowercase and ByteLevel", ["éa", "İa", "Aé"], step("Lowercase"), step("ByteLevel"))
first("Metaspace first behind a Replace of several characters", ["abc", "aab", "ba", "a"], replace("ab|a+", "xé"))
first("Metaspace first behind a Replace of nothing", ["ab", "ba", "b", "xab"], replace("(?=b)", "x"))
first("Metaspace first behind ideographs", ["漢a", "a漢", "漢漢"], step("BertNormalizer", clean_text=False, handle_chinese_chars=True, strip_accents=False, lowercase=False))
first("Metaspace first behind words that were joined", ["a\u0323\u0301\n", "a\u0301b"], step("NFC"), step("NFD"), cut=[SPLIT({"Regex": "\\p{M}"}, "MergedWithPrevious")])
first("Metaspace first behind an added token", ["a\u0301b", "ab"], step("NFC"), step("NFD"), tokens=SPECIAL + [added("a", 3, normalized=True)])
MAP = step("Precompiled", precompiled_charsmap=charsmap({"a\u0301": "á", "ﬁ": "fi", "\x01": "", "b\u0301": "b"}))
first("Metaspace first behind a character map", ["a\u0301b", "a\u0323\u0301", "\x01ab", "\x01\x01\x01", "ﬁ\x01b", "\x01ﬁ", "ﬁb", "b\u0301a", "ab"], MAP, step("NFD"))
name = "an added token all of whose white space another took"
cases[name] = file(tokens=SPECIAL + [added(" ", n, lstrip=True, rstrip=True), added("b", n + 1, rstrip=True)])
more[name] = ["a  c", " a", "   ", "b  c", "a b \n c"]

refused = {
    "normalizer": file(normalizer=step("Turn")),
    "Swirl": file(pre=step("Swirl")),
    "CTC": file(decoder=step("CTC", pad_token="<unk>", word_delimiter_token="|", cleanup=True)),
    "PairProcessing": file(post=step("PairProcessing")),
    "UnicodeScripts": file(pre=step("UnicodeScripts")),
    "dropout": file(bpe(dropout=0.1)),
    "max_length": file(normalizer=step("Prepend", prepend="x", max_length=3)),
    "beams": file(bpe(beams=3)),
    "postprocess": file(postprocess=1),
    "Ngram": file({"type": "Ngram", "vocab": {}}),
    "behavior": file(pre=SPLIT({"String": "x"}, "Sideways")),
    "(x)\\1": file(pre=SPLIT({"Regex": "(x)\\1"}, "Isolated")),
    "unk_id": file(unigram(unk_id=10000)),
    "foo": file(normalizer=step("Replace", pattern={"String": "foo"}, content=""), tokens=SPECIAL + [added("foo", n - 3, normalized=True)]),
    "weight": file(tokens=SPECIAL + [dict(added("foo", 3), weight=1)]),
}


def write(case):
    print(json.dumps(case, ensure_ascii=False, separators=(",", ":")))


for name, root in cases.items():
    t = Tokenizer.from_str(json.dumps(root))
    t.no_truncation()
    t.no_padding()
    results = []
    for text in more.get(name, TEXTS):
        ids = t.encode(text, add_special_tokens=False).ids
        try:
            back = t.decode(ids, skip_special_tokens=True)
        except BaseException:  # the library's BPEDecoder fails on nothing
            back = ""
        results.append([text, ids, t.encode(text).ids, back])
    write({"name": name, "tokenizer": root, "results": results})
for word, root in refused.items():
    write({"name": "refused: " + word, "tokenizer": root, "error": word})
