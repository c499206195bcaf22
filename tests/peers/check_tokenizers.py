#!/usr/bin/env python3
# Compares peft.h's tokenizers with the tokenizers library: ids with and without the ids around a text, and decoded texts, on random
# and real texts in many scripts. Every tokenizer.json that is given, that lies in $PEFT_SHARED, in this project or in an installed
# package, and one of each kind that people publish, which the library's own trainers make here; then random combinations of steps.
#   python3 tests/peers/check_tokenizers.py build/encode_texts [--texts 5000] [--random 300] [--seed 1] [TOKENIZER.json ...]
# Needs: pip install tokenizers.  build/encode_texts: cc -O1 -I. tests/peers/encode_texts.c -o build/encode_texts -lm
import argparse
import glob
import json
import os
import random
import site
import struct
import subprocess
import sys
import tempfile
import unicodedata

os.environ.setdefault("HF_HUB_OFFLINE", "1")
import tokenizers
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SHARED = os.environ.get("PEFT_SHARED", os.path.join(ROOT, "..", "shared"))
GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
QWEN2 = LLAMA3.replace("{1,3}", "")

GPT4O = "|".join(
    [
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
        r"\p{N}{1,3}", r" ?[^\s\p{L}\p{N}]+[\r\n/]*", r"\s*[\r\n]+", r"\s+(?!\S)", r"\s+",
    ]
)
DEEPSEEK3 = [
    r"\p{N}{1,3}", "[一-龥぀-ゟ゠-ヿ]+",
    r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
]

# Words of many scripts; texts are these words, and marks, spaces, controls and emoji between them.
WORDS = """the quick brown fox it's don't we'LL café naïve Œuvre Straße İstanbul ẞ große ŁÓDŹ příliš żółć người đường ﬁn ﬂow
привет Ёлка Київ καλημέρα ΣΊΣΥΦΟΣ Ὀδυσσεύς مرحبا كتاب ١٢٣ שלום עִבְרִית नमस्ते किताब में বাংলা ਪੰਜਾਬੀ தமிழ் తెలుగు ಕನ್ನಡ മലയാളം
සිංහල ไทย น้ำ ລາວ བོད་ မြန်မာ ქართული հայերեն አማርኛ 你好 世界 漢字 東京 ひらがな カタカナ ｶﾀｶﾅ 한국어 안녕 각 ᠮᠣᠩᠭᠣᠯ ខ្មែរ
𝐀𝒷𝔠 ① ½ ² Ⅷ ㎏ ℃ ™ © € £5 1,234.56 2023 007 x=1 foo_bar a.b.c http://x.y/z?q=1 <s> </s> <pad> <unk> <|x|> [MASK] ## ▁ _ - –""".split()
MARKS = ["\u0301", "\u0323", "\u0308", "\u0300", "\u200d", "\u200c", "\u20e3", "\ufe0f", "\u093c", "\u3099", "\u0345", "\u05b0"]
SPACES = [" ", " ", " ", " ", "  ", "   ", "\n", "\n\n", "\r\n", "\t", "\u00a0", "\u3000", "\u2009", "\u2028", "\u0085", "\u200b", "\ufeff"]
ODD = ["\x00", "\x01", "\x07", "\x1b", "\x7f", "\x8f", "\u00ad", "\ufffd", "\ufdfa", "\uac00\u11a8", "\u1100\u1161\u11a8", "\u0344", "😀"]
ODD += ["👍🏽", "👨‍👩‍👧", "🇫🇷", "☃", "→", "≈", "!", "?!", "...", "'", '"', "(", ")", "。", "、", "¿", "«", "»", "a\u0301\u0323", "\U0001d15e"]


def random_text(rng):
    kind = rng.random()
    if kind < 0.05:
        return "".join(chr(rng.choice([rng.randrange(0x20, 0x250), rng.randrange(0x300, 0x3000), rng.randrange(0x3000, 0xD7FF)])) for _ in range(rng.randrange(12)))
    if kind < 0.08:
        return "".join(rng.choice(SPACES + ODD) for _ in range(rng.randrange(6)))
    out = []
    for _ in range(rng.randrange(1, 14)):
        r = rng.random()
        word = rng.choice(WORDS)
        if r < 0.15:
            word = rng.choice(ODD)
        elif r < 0.25:
            i = rng.randrange(len(word) + 1)
            word = word[:i] + rng.choice(MARKS) + word[i:]
        elif r < 0.3:
            word += rng.choice(WORDS)
        out.append(word)
        if rng.random() < 0.8:
            out.append(rng.choice(SPACES))
    return "".join(out)


# The tables of the library are of several versions of Unicode, down to 8.0, peft.h's of 14.0: characters whose class they see differently
# are left out.
def known(c, punctuation=pre_tokenizers.Punctuation(), accents=normalizers.StripAccents()):
    kind = unicodedata.category(c)
    if c < "\x80":
        return True
    cut = len(punctuation.pre_tokenize_str("a" + c + "a")) == 3
    return kind not in ("Cn", "Co", "Cs") and cut == (kind[0] == "P") and (accents.normalize_str(c) == "") == (kind[0] == "M")


def real_texts():
    out = []
    for path in [os.path.join(ROOT, "README.md"), os.path.join(ROOT, "tests", "data", "train.jsonl")] + sorted(
        glob.glob(os.path.join(SHARED, "data", "dialogsum", "*.test.jsonl"))
    ):
        if os.path.exists(path):
            with open(path, encoding="utf-8") as f:
                out += [line.rstrip("\n")[:600] for line in f][:600]
    return [x for x in out if x]


def make_texts(rng, count):
    real = real_texts()
    out = ["", " ", "  ", "\n", "a", " a", "a ", "\u0301", "<s>how", " hi", "in 2023", "food foo"]
    while len(out) < count:
        out.append(rng.choice(real) if real and rng.random() < 0.2 else random_text(rng))
    good = {c: known(c) for c in set("".join(out))}
    return [x for x in out if all(good[c] for c in x)]


def trained(model, trainer, texts, normalizer=None, pre=None, decoder=None, post=None):
    t = Tokenizer(model)
    t.normalizer, t.pre_tokenizer, t.decoder = normalizer, pre, decoder
    t.train_from_iterator(texts, trainer)
    if post:
        t.post_processor = post(t)
    return t


def byte_alphabet():
    return pre_tokenizers.ByteLevel.alphabet()


def template(front, back):
    def make(t):
        names = [x for x in front + back]
        return processors.TemplateProcessing(
            single=front + ["$A"] + back, pair=front + ["$A"] + back + ["$B:1"], special_tokens=[(x, t.token_to_id(x)) for x in dict.fromkeys(names)]
        )

    return make


def precompiled():
    path = os.path.join(SHARED, "tokenizers", "t5", "tokenizer.json")
    if not os.path.exists(path):
        return None
    with open(path, encoding="utf-8") as f:
        root = json.load(f)
    n = root["normalizer"]
    import base64

    for x in n.get("normalizers", [n]):
        if x["type"] == "Precompiled":
            return normalizers.Precompiled(base64.b64decode(x["precompiled_charsmap"]))
    return None


# One of each kind that people publish.
def published(texts):
    N, P, D = normalizers, pre_tokenizers, decoders
    bpe = lambda special, **k: trainers.BpeTrainer(vocab_size=1500, special_tokens=special, show_progress=False, **k)
    bytes_bpe = lambda special: bpe(special, initial_alphabet=byte_alphabet())
    fallback = ["<0x%02X>" % i for i in range(256)]
    uni = lambda special, **k: trainers.UnigramTrainer(vocab_size=900, special_tokens=special, unk_token="<unk>", show_progress=False, **k)
    sp_decoder = lambda strip: D.Sequence([D.Replace("▁", " "), D.ByteFallback(), D.Fuse()] + ([D.Strip(" ", 1, 0)] if strip else []))

    def split(pattern, last=None):
        return P.Sequence([P.Split(Regex(pattern), "isolated"), last or P.ByteLevel(add_prefix_space=False, use_regex=False)])

    def sp_bpe(**k):
        t = trained(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True), bpe(["<unk>", "<s>", "</s>"] + fallback), texts, **k)
        root = json.loads(t.to_str())
        root["added_tokens"] = [x for x in root["added_tokens"] if not x["content"].startswith("<0x")]
        return Tokenizer.from_str(json.dumps(root))

    yield "gpt2", trained(models.BPE(), bytes_bpe(["<|endoftext|>"]), texts, pre=P.ByteLevel(add_prefix_space=False), decoder=D.ByteLevel())
    yield "roberta", trained(
        models.BPE(), bytes_bpe(["<s>", "<pad>", "</s>", "<unk>", "<mask>"]), texts, pre=P.ByteLevel(add_prefix_space=True), decoder=D.ByteLevel(),
        post=lambda t: processors.RobertaProcessing(("</s>", 2), ("<s>", 0)),
    )
    yield "llama3", trained(
        models.BPE(ignore_merges=True), bytes_bpe(["<|begin_of_text|>", "<|eot_id|>"]), texts, pre=split(LLAMA3), decoder=D.ByteLevel(),
        post=lambda t: processors.Sequence([processors.ByteLevel(trim_offsets=False), template(["<|begin_of_text|>"], [])(t)]),
    )
    yield "qwen2", trained(models.BPE(), bytes_bpe(["<|endoftext|>", "<|im_start|>"]), texts, N.NFC(), split(QWEN2), D.ByteLevel())
    neox = trained(models.BPE(), bytes_bpe(["<|endoftext|>", "<|padding|>"]), texts, N.NFC(), P.ByteLevel(add_prefix_space=False), D.ByteLevel())
    neox.add_tokens([AddedToken(" " * n, normalized=True) for n in range(2, 9)] + [AddedToken("\t\t", normalized=True), AddedToken("é!", normalized=True)])
    yield "gpt_neox", neox
    yield "starcoder", trained(
        models.BPE(), bytes_bpe(["<|endoftext|>", "<fim_prefix>"]), texts,
        pre=P.Sequence([P.Digits(individual_digits=True), P.ByteLevel(add_prefix_space=False)]), decoder=D.ByteLevel(),
    )
    yield "falcon", trained(
        models.BPE(), bytes_bpe([">>TITLE<<"]), texts,
        pre=P.Sequence([P.Punctuation("contiguous"), P.ByteLevel(add_prefix_space=False), P.Digits(individual_digits=False), P.Split("000", "isolated")]),
        decoder=D.ByteLevel(),
    )
    yield "deepseek", trained(
        models.BPE(), bytes_bpe(["<bos>", "<eos>"]), texts,
        pre=P.Sequence([P.Split("\n", "isolated"), P.Digits(individual_digits=True), P.Punctuation("isolated"), P.ByteLevel(add_prefix_space=False)]),
        decoder=D.ByteLevel(), post=template(["<bos>"], []),
    )
    yield "deepseek-v3", trained(
        models.BPE(), bytes_bpe(["<bos>", "<eos>"]), texts,
        pre=P.Sequence([P.Split(Regex(x), "isolated") for x in DEEPSEEK3] + [P.ByteLevel(add_prefix_space=False, use_regex=False)]), decoder=D.ByteLevel(),
    )
    yield "gpt-4o", trained(models.BPE(), bytes_bpe(["<|endoftext|>"]), texts, pre=split(GPT4O), decoder=D.ByteLevel())
    yield "gpt-4 (removed, inverted)", trained(
        models.BPE(), bytes_bpe(["<|endoftext|>"]), texts,
        pre=P.Sequence([P.Split(Regex(LLAMA3), "removed", True), P.ByteLevel(add_prefix_space=False, use_regex=False)]), decoder=D.ByteLevel(),
    )
    llama = sp_bpe(normalizer=N.Sequence([N.Prepend("▁"), N.Replace(" ", "▁")]), decoder=sp_decoder(True), post=template(["<s>"], []))
    llama.add_tokens([AddedToken("<|x|>", normalized=True), AddedToken("foo", single_word=True, normalized=True)])
    yield "llama2 (legacy)", llama
    for scheme in ("first", "always", "never"):
        yield "llama2 (%s)" % scheme, sp_bpe(pre=P.Metaspace("▁", scheme, False), decoder=sp_decoder(scheme != "never"), post=template(["<s>"], []))
    yield "mistral", sp_bpe(normalizer=N.Sequence([N.Prepend("▁"), N.Replace(" ", "▁")]), decoder=sp_decoder(True), post=template(["<s>"], ["</s>"]))
    yield "gemma", sp_bpe(normalizer=N.Replace(" ", "▁"), pre=P.Split(" ", "merged_with_previous"), decoder=sp_decoder(False))
    charsmap = precompiled()
    if charsmap:
        yield "t5", trained(
            models.Unigram(), uni(["<pad>", "</s>", "<unk>"]), texts, charsmap, P.Sequence([P.WhitespaceSplit(), P.Metaspace("▁", "always")]),
            D.Metaspace("▁", "always"), post=template([], ["</s>"]),
        )
        yield "xlm-roberta", trained(
            models.Unigram(), uni(["<s>", "<pad>", "</s>", "<unk>"]), texts, N.Sequence([charsmap, N.Replace("  ", " ")]), P.Metaspace("▁", "always"),
            D.Metaspace("▁", "always"), post=template(["<s>"], ["</s>"]),
        )
        yield "albert", trained(
            models.Unigram(), uni(["<pad>", "<unk>", "[CLS]", "[SEP]"]), texts,
            N.Sequence([N.Replace("``", '"'), N.NFKD(), N.StripAccents(), N.Lowercase(), charsmap]), P.Sequence([P.WhitespaceSplit(), P.Metaspace()]),
            D.Metaspace(), post=template(["[CLS]"], ["[SEP]"]),
        )
    yield "bert", trained(
        models.WordPiece(unk_token="[UNK]"), trainers.WordPieceTrainer(vocab_size=1500, special_tokens=["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"], show_progress=False),
        texts, N.BertNormalizer(), P.BertPreTokenizer(), D.WordPiece(), post=template(["[CLS]"], ["[SEP]"]),
    )
    yield "bert (cased)", trained(
        models.WordPiece(unk_token="[UNK]"), trainers.WordPieceTrainer(vocab_size=1500, special_tokens=["[PAD]", "[UNK]", "[CLS]", "[SEP]"], show_progress=False),
        texts, N.BertNormalizer(lowercase=False), P.BertPreTokenizer(), D.WordPiece(cleanup=False), post=lambda t: processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2)),
    )
    yield "clip", trained(
        models.BPE(unk_token="<unk>", end_of_word_suffix="</w>"), bpe(["<unk>"], end_of_word_suffix="</w>"), texts, N.Sequence([N.NFC(), N.Lowercase()]),
        P.Whitespace(), D.BPEDecoder("</w>"),
    )
    yield "word level", trained(
        models.WordLevel(unk_token="<unk>"), trainers.WordLevelTrainer(vocab_size=800, special_tokens=["<unk>"], show_progress=False), texts, N.NFKC(), P.WhitespaceSplit()
    )


# A tokenizer of random steps.
def random_tokenizer(rng, texts, charsmap):
    N, P, D = normalizers, pre_tokenizers, decoders
    behaviors = ["isolated", "removed", "contiguous", "merged_with_previous", "merged_with_next"]
    words = ["a", " ", "e", "the", "..", "▁", "1", "é", "-"]

    def normalizer():
        return rng.choice(
            [N.NFC, N.NFD, N.NFKC, N.NFKD, N.Lowercase, N.StripAccents, N.Nmt, lambda: N.Strip(rng.random() < 0.7, rng.random() < 0.7),
             lambda: N.Prepend(rng.choice(["▁", "x", "ab"])), lambda: N.Replace(rng.choice(words), rng.choice(["▁", "", "x", "é"])), N.ByteLevel,
             lambda: N.Replace(Regex(rng.choice([r"\s+", r"\d", "a|b", " {2,}", "e*"])), rng.choice(["▁", "", "x y"])),
             lambda: N.BertNormalizer(*[rng.random() < 0.5 for _ in range(4)]), lambda: charsmap or N.NFKC()]
        )()

    def pre():
        return rng.choice(
            [lambda: P.Metaspace(rng.choice("▁▁_"), rng.choice(["first", "always", "never"]), rng.random() < 0.6), lambda: P.Digits(rng.random() < 0.5),
             lambda: P.Punctuation(rng.choice(behaviors)), P.Whitespace, P.WhitespaceSplit, P.BertPreTokenizer,
             lambda: P.Split(rng.choice(words), rng.choice(behaviors), rng.random() < 0.3), lambda: P.Split(Regex(rng.choice([GPT2, LLAMA3, QWEN2])), "isolated"),
             lambda: P.Split(Regex(rng.choice([r"\d+", r"\s+", r"[A-Z]?[a-z]+", r"(?=\d)", GPT4O])), rng.choice(behaviors), rng.random() < 0.3),
             lambda: P.ByteLevel(rng.random() < 0.4, use_regex=rng.random() < 0.6), lambda: P.CharDelimiterSplit(rng.choice(" e-é")),
             lambda: P.FixedLength(rng.randrange(1, 6))]
        )()

    def decoder():
        return rng.choice(
            [D.ByteLevel, lambda: D.Replace(rng.choice(words), rng.choice(["", " ", "xy"])), D.Fuse, D.ByteFallback, D.WordPiece, lambda: D.Strip(rng.choice(" a▁"), 1, 0),
             lambda: D.Metaspace("▁", rng.choice(["first", "always", "never"])), lambda: D.BPEDecoder("</w>")]
        )()

    some = lambda make, most: [make() for _ in range(rng.randrange(most))]
    texts = rng.sample(texts, 150)
    specials = ["<unk>", "<s>", "</s>"]
    kind = rng.choice(["bpe", "bpe", "unigram", "wordpiece", "wordlevel"])
    if kind == "bpe":
        options = {"unk_token": "<unk>"} if rng.random() < 0.7 else {}
        train = {}
        if rng.random() < 0.2:
            options["continuing_subword_prefix"] = train["continuing_subword_prefix"] = "##"
        if rng.random() < 0.2:
            options["end_of_word_suffix"] = train["end_of_word_suffix"] = "</w>"
        fallback = rng.random() < 0.4
        model = models.BPE(fuse_unk=rng.random() < 0.5, byte_fallback=fallback, ignore_merges=rng.random() < 0.3, **options)
        more = ["<0x%02X>" % i for i in range(256)] if fallback else []
        alphabet = byte_alphabet() if rng.random() < 0.4 else []
        trainer = trainers.BpeTrainer(vocab_size=700, special_tokens=specials + more, limit_alphabet=400, initial_alphabet=alphabet, show_progress=False, **train)
    elif kind == "unigram":
        model, trainer = models.Unigram(), trainers.UnigramTrainer(vocab_size=300, special_tokens=specials, unk_token="<unk>", show_progress=False)
    elif kind == "wordpiece":
        model = models.WordPiece(unk_token="<unk>", max_input_chars_per_word=rng.choice([100, 12]))
        trainer = trainers.WordPieceTrainer(vocab_size=600, special_tokens=specials, limit_alphabet=300, show_progress=False)
    else:
        model, trainer = models.WordLevel(unk_token="<unk>"), trainers.WordLevelTrainer(vocab_size=300, special_tokens=specials, show_progress=False)
    steps = some(normalizer, 4), some(pre, 4), some(decoder, 4)
    t = trained(model, trainer, texts, N.Sequence(steps[0]) if steps[0] else None, P.Sequence(steps[1]) if steps[1] else None, D.Sequence(steps[2]) if steps[2] else None)
    root = json.loads(t.to_str())
    root["added_tokens"] = [x for x in root["added_tokens"] if not x["content"].startswith("<0x")]
    t = Tokenizer.from_str(json.dumps(root))
    b = lambda: rng.random() < 0.3
    for word in rng.sample(["foo", "the", "<|x|>", "[MASK]", "café", "東京", " a", "a b", "x", "2023", "é"], rng.randrange(6)):
        t.add_tokens([AddedToken(word, single_word=b(), lstrip=b(), rstrip=b(), normalized=not b(), special=b())])
    if b():
        t.post_processor = template(["<s>"], ["</s>"])(t)
    return t


def reference(t, texts):
    out = []
    for x in texts:
        try:
            special, full = t.encode(x, add_special_tokens=False).ids, t.encode(x, add_special_tokens=True).ids
        except BaseException as e:  # the library panics on some
            out.append(("error", str(e)))
            continue
        back = []
        for skip in (True, False):
            try:
                back.append(t.decode(special, skip_special_tokens=skip))
            except BaseException:
                back.append(None)
        out.append((special, full, back))
    return out


# Returns (texts that differ, message of a refusal).
def compare(program, name, t, path, texts, show):
    data = b"".join(struct.pack("<I", len(b)) + b for b in (x.encode() for x in texts))
    run = subprocess.run([program, path], input=data, capture_output=True)
    lines = run.stdout.decode().split("\n")[:-1]
    if run.returncode not in (0, 1) or (run.returncode == 0 and len(lines) != len(texts)):
        print("%s: crashed with %d after %d texts: %s" % (name, run.returncode, len(lines), run.stderr.decode()[-800:]))
        return len(texts), None
    if lines and lines[0].startswith("refused: "):
        return 0, lines[0]
    wrong = 0
    for text, want, line in zip(texts, reference(t, texts), lines):
        if want[0] == "error" or line.startswith("error"):
            ok, got = want[0] == "error" and line.startswith("error"), line
        else:
            parts = line.split("|")
            got = [[int(i) for i in p.split()] for p in parts[:2]] + [[bytes.fromhex(p).decode("utf-8", "replace") for p in parts[3:5]]]
            ok = got[:2] == list(want[:2]) and all(w is None or g == w for g, w in zip(got[2], want[2]))
        if not ok:
            wrong += 1
            if wrong <= show:
                print("  %s: %r\n    library %r\n    peft.h  %r" % (name, text, want, got))
    return wrong, None


def main():
    p = argparse.ArgumentParser()
    p.add_argument("program")
    p.add_argument("files", nargs="*")
    p.add_argument("--texts", type=int, default=5000)
    p.add_argument("--random", type=int, default=300)
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--show", type=int, default=2)
    p.add_argument("--only", default="")
    p.add_argument("--keep", default="")
    a = p.parse_args()
    rng = random.Random(a.seed)
    texts = make_texts(rng, a.texts)
    print("tokenizers %s, %d texts" % (tokenizers.__version__, len(texts)), flush=True)
    bad = total = refused = 0
    with tempfile.TemporaryDirectory() as folder:
        folder = a.keep or folder
        path = os.path.join(folder, "tokenizer.json")
        places = [os.path.join(SHARED, x) for x in ("tokenizers/*/tokenizer.json", "cases/tokenizers/*.json", "cases/tokenizers/*/tokenizer.json")]
        places += [os.path.join(x, "**", "tokenizer.json") for x in [os.path.join(ROOT, "tests", "data")] + site.getsitepackages()]
        files = a.files + [f for x in places for f in sorted(glob.glob(x, recursive=True))]
        listed = [(os.path.relpath(f, SHARED), None, f) for f in files if a.only in f]
        made = ((n, t, path) for n, t in published(texts[:2500]) if a.only in n)
        for name, t, file in (x for group in (listed, made) for x in group):
            try:
                t = t or Tokenizer.from_file(file)
            except Exception as e:
                print("%-44s the library itself refuses it: %s" % (name, str(e)[:60]))
                continue
            t.no_truncation()
            t.no_padding()
            alone = os.path.join(folder, name.replace("/", "_").replace(" ", "_") + ".tokenizer.json")
            t.save(alone)  # without the files that lie beside it
            wrong, message = compare(a.program, name, t, alone, texts, a.show)
            print("%-44s %s" % (name, message or "%d of %d texts differ" % (wrong, len(texts))), flush=True)
            bad, total, refused = bad + wrong, total + len(texts), refused + (message is not None)
        charsmap = precompiled()
        few = [x for x in texts if len(x) < 200][: max(200, a.texts // 25)]
        random_wrong, random_total, messages = 0, 0, {}
        for i in range(a.random if not a.only else 0):
            one = random.Random(a.seed * 100003 + i)
            try:
                t = random_tokenizer(one, texts, charsmap)
            except BaseException as e:
                continue
            t.save(path)
            wrong, message = compare(a.program, "random %d" % i, t, path, few, a.show)
            random_wrong, random_total = random_wrong + wrong, random_total + len(few)
            if message:
                messages[message.split(": ", 2)[-1]] = messages.get(message.split(": ", 2)[-1], 0) + 1
            if wrong:
                t.save(os.path.join("/tmp", "random_%d.json" % i)) if a.keep else None
                print("random %d: %d of %d texts differ" % (i, wrong, len(few)), flush=True)
        if not a.only:
            print("%d random combinations of steps, %d texts each: %d differ; refused: %s" % (a.random, len(few), random_wrong, messages or "none"))
    out = refused * len(texts) + sum(messages.values()) * len(few)
    wrong = bad + random_wrong
    print("tokenizers: %d right, %d refused, %d wrong" % (total + random_total - out - wrong, out, wrong))
    return wrong > 0


if __name__ == "__main__":
    sys.exit(main())
