#!/usr/bin/env python3
"""peft.h's ROUGE beside a plain Python transcription of the algorithm of Google's rouge_score: same texts, same run.

    make build/bench build/peft && python3 tests/peers/rouge.py [PAIRS]

The texts are those of `bench rouge`. First all scores are compared, then both are timed on one thread. Python needs a while: it times
1000 pairs unless told otherwise.
"""
import collections
import json
import os
import re
import subprocess
import sys
import tempfile
import time

WORDS = ("the a house river went to of and Person1 tells meeting they're buy tomorrow on Monday is was very happy about children "
         "running because of new 3.5 plans with friends").split()


def texts(pairs):
    """Predictions and references of tools/bench.c: 25 words each from a linear congruential generator."""
    state, lines = 3, []
    for _ in range(2 * pairs):
        words = []
        for _ in range(25):
            state = (state * 1664525 + 1013904223) & 0xFFFFFFFF
            words.append(WORDS[(state >> 10) % len(WORDS)])
        lines.append(" ".join(words) + ".")
    return lines[0::2], lines[1::2]


def tokens(text):
    words = re.split(r"\s+", re.sub(r"[^a-z0-9]+", " ", text.lower()))
    return [word for word in words if re.match(r"^[a-z0-9]+$", word)]


def f1(hits, predicted, expected):
    p, r = hits / max(predicted, 1), hits / max(expected, 1)
    return 2 * p * r / (p + r) if p + r > 0 else 0.0


def grams(words, n):
    counts = collections.Counter()
    for gram in (tuple(words[i:i + n]) for i in range(len(words) - n + 1)):
        counts[gram] += 1
    return counts


def rouge_n(prediction, reference, n):
    p, r = grams(prediction, n), grams(reference, n)
    hits = 0
    for gram in r:
        hits += min(r[gram], p[gram])
    return f1(hits, sum(p.values()), sum(r.values()))


def table(a, b):
    t = [[0] * (len(b) + 1) for _ in range(len(a) + 1)]
    for i in range(1, len(a) + 1):
        for j in range(1, len(b) + 1):
            t[i][j] = t[i - 1][j - 1] + 1 if a[i - 1] == b[j - 1] else max(t[i - 1][j], t[i][j - 1])
    return t


def rouge_l(prediction, reference):
    return f1(table(reference, prediction)[-1][-1] if prediction and reference else 0, len(prediction), len(reference))


def score(prediction, reference):
    p, r = tokens(prediction), tokens(reference)
    return rouge_n(p, r, 1), rouge_n(p, r, 2), rouge_l(p, r)


def of_peft(predictions, references):
    """[rouge1, rouge2, rougeL] of every line."""
    with tempfile.TemporaryDirectory() as folder:
        names = [os.path.join(folder, name) for name in ("predictions", "references", "lines")]
        for name, lines in zip(names, (predictions, references)):
            with open(name, "w", encoding="utf-8") as f:
                f.write("".join(line + "\n" for line in lines))
        subprocess.run(["build/peft", "score", "rouge", "--predictions", names[0], "--references", names[1], "--lines", names[2]],
                       check=True, stdout=subprocess.DEVNULL)
        with open(names[2], encoding="utf-8") as f:
            return [[line["rouge1"], line["rouge2"], line["rougeL"]] for line in map(json.loads, f)]


def main():
    pairs = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    predictions, references = texts(pairs)
    start = time.perf_counter()
    scores = [score(p, r) for p, r in zip(predictions, references)]
    python = pairs / (time.perf_counter() - start)
    worst = max(abs(a - b) for line, other in zip(scores, of_peft(predictions, references)) for a, b in zip(line, other))
    line = subprocess.run(["build/bench", "rouge", "--threads", "1"], check=True, stdout=subprocess.PIPE, text=True).stdout
    peft = json.loads(line)["value"]
    print(f"scores differ by at most {worst:.1e}")
    print(f"Python {python:.0f} pairs/s (ROUGE-1, -2, -L), peft.h {peft:.0f} (and -Lsum): {peft / python:.0f} times")
    return worst > 1e-9


if __name__ == "__main__":
    sys.exit(main())
