"""The numbers that the reference libraries give for this project's own data: tests/data/reference, read by build/golden.

    make build/make_data && python tests/peers/make_reference.py

Needs the packages of `make peers` and rouge_score, sacrebleu, nltk. Models are random and small (vocabulary 61, width 24), so that the
whole is small; our own model (tests/data/model) is used in place. See tests/data/reference/README.md for what each part shows.
"""

import json
import os
import random
import shutil
import subprocess
import sys
import warnings

os.environ["HF_HUB_OFFLINE"] = "1"
warnings.filterwarnings("ignore")
import bitsandbytes
import peft
import sentencepiece
import tokenizers
import torch
import transformers
from rouge_score import rouge_scorer
from sacrebleu.metrics import BLEU, CHRF, TER
from safetensors import safe_open
from safetensors.torch import save_file

import make_adapters
import make_models
import models

transformers.logging.set_verbosity_error()
transformers.utils.logging.disable_progress_bar()
OUT = "tests/data/reference"
MODEL = "tests/data/model"
SEED = 11
# of make_adapters.CASES, so that the whole stays small
KEPT = """lora all_linear rslora dora_rslora_all lora_bias bias_all bias_lora_only rank_pattern_names rank_pattern_regex target_regex
exclude_regex layers lora_embedding lora_head save_both save_norm save_linear tokens tokens_named init_pissa init_olora alora
ia3 ia3_regex prompt prefix ptuning ln_tuning trainable_tokens""".split()
FAMILIES = ["t5_v10", "t5_v11_untied", "gpt2", "neox", "llama_gqa", "qwen2"]
TRAINED = [name for name in FAMILIES if name != "llama_gqa"]  # qwen2 has what it has, and biases
# of these the model, a few adapters, and nothing of training
TODAY = "qwen3 qwen3_window smollm3_window olmo2 phi3_partial phi3_window phi3_long granite gemma2 gemma3".split()
KEPT_TODAY = ["lora", "all_linear"]


def texts(count):
    """Dialogues of the demonstration: prompts and completions."""
    lines = subprocess.run(
        ["build/make_data", "dialogsum", str(count), "5", "--split", "test"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    records = [json.loads(line) for line in lines]
    return [r.get("dialogue") or r["prompt"] for r in records], [
        r.get("summary") or r["completion"] for r in records
    ]


# ---- adapters and models as Hugging Face saves them


def adapters(families, kept):
    for name in families:
        folder = os.path.join(OUT, "hf", name)
        base = models.build(name, SEED)
        base.save_pretrained(os.path.join(folder, "base"))
        if name in TODAY:
            make_models.expect(os.path.join(folder, "base"), SEED)
        loaded = models.load(os.path.join(folder, "base")).eval()
        for case in kept:
            why = make_adapters.make(folder, os.path.join(folder, "base"), loaded, case, SEED)
            if why:
                print(f"left out: {name}/{case}: {why}")


def own_model():
    """Our model in place: base.txt says where it is. The prompt is one of our dialogues."""
    folder = os.path.join(OUT, "hf", "own_model")
    os.makedirs(folder)
    with open(os.path.join(folder, "base.txt"), "w") as f:
        f.write("../../../model\n")
    loaded = models.load(MODEL).eval()
    for case in ("dora", "prompt"):
        why = make_adapters.make(folder, MODEL, loaded, case, SEED)
        if why:
            print(f"left out: own_model/{case}: {why}")


# ---- training: losses, gradients, generation


def batch(model, r):
    """Three rows with right padding; labels are -100 there."""
    v, t5 = model.config.vocab_size, model.config.is_encoder_decoder
    rows = [[r.randrange(3, v) for _ in range(n)] for n in (11, 9, 6)]
    width = max(map(len, rows))
    ids = [row + [0] * (width - len(row)) for row in rows]
    mask = [[1] * len(row) + [0] * (width - len(row)) for row in rows]
    if t5:
        answers = [[r.randrange(3, v) for _ in range(n)] + [1] for n in (6, 5, 3)]
        labels = [a + [-100] * (7 - len(a)) for a in answers]
    else:
        labels = [[-100] * 3 + [i if m else -100 for i, m in zip(*pair)][3:] for pair in zip(ids, mask)]
    return {"input_ids": ids, "attention_mask": mask, "labels": labels}


def run(model, b):
    return model(**{k: torch.tensor(v) for k, v in b.items()})


def generate(model, prompt, **how):
    with torch.no_grad():
        ids = model.generate(
            input_ids=torch.tensor([prompt]),
            attention_mask=torch.ones(1, len(prompt), dtype=torch.long),
            max_new_tokens=12,
            do_sample=False,
            use_cache=True,
            **how,
        )
    return ids[0].tolist()


@torch.no_grad()
def greedy(model, prompt):
    """By whole passes: with prefixes, generate of transformers 5 says something else than its own passes do."""
    t5 = model.config.is_encoder_decoder
    ids = [0] if t5 else list(prompt)
    for _ in range(12):
        x = (
            dict(input_ids=torch.tensor([prompt]), decoder_input_ids=torch.tensor([ids]))
            if t5
            else dict(input_ids=torch.tensor([ids]))
        )
        ids.append(model(**x).logits[0, -1].argmax().item())
        if ids[-1] == model.generation_config.eos_token_id:
            break
    return ids


def full_ft(model, b, tensors):
    opt = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.01)
    steps = []
    for step in range(5):
        opt.zero_grad()
        loss = run(model, b).loss
        loss.backward()
        if step == 0:
            tensors.update({f"grad.{k}": p.grad.clone() for k, p in model.named_parameters()})
        steps.append([loss.item(), torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0).item()])
        opt.step()
    return {
        "lr": 1e-3,
        "weight_decay": 0.01,
        "betas": [0.9, 0.999],
        "eps": 1e-8,
        "clip": 1.0,
        "loss_and_gradnorm": steps,
        "final_loss": run(model, b).loss.item(),
    }


def method_config(name, model):
    s = make_adapters.Settings(model, random.Random(SEED))
    causal = not model.config.is_encoder_decoder
    return {
        "lora": lambda: s.lora(r=4, lora_alpha=16),
        "lora_all": lambda: s.all(r=2, lora_alpha=3, bias="all" if causal else "none"),
        "dora": lambda: s.lora(r=3, lora_alpha=5, use_dora=True),
        "ia3": lambda: peft.IA3Config(task_type=s.task),
        "prompt": lambda: peft.PromptTuningConfig(task_type=s.task, num_virtual_tokens=4),
        "prefix": lambda: peft.PrefixTuningConfig(task_type=s.task, num_virtual_tokens=3),
        "ptuning": lambda: peft.PromptEncoderConfig(
            task_type=s.task, num_virtual_tokens=3, encoder_hidden_size=10
        ),
    }[name]()


def save_adapter(model, path):
    model.save_pretrained(path)
    if os.path.exists(os.path.join(path, "README.md")):
        os.remove(os.path.join(path, "README.md"))


def train_adapter(folder, base, name, b, prompt, tensors):
    torch.manual_seed(SEED)
    model = peft.get_peft_model(models.load(base), method_config(name, models.load(base)))
    make_adapters.shake(model)
    model.eval()
    trained = {k: p for k, p in model.named_parameters() if p.requires_grad}
    if name == "ptuning":
        tensors.update({f"{name}.init.{k}": p.detach().clone() for k, p in trained.items()})
    save_adapter(model, os.path.join(folder, "adapters", name, "step0"))
    opt = torch.optim.AdamW(trained.values(), lr=1e-2, weight_decay=0.0)
    losses = []
    for step in range(8):
        opt.zero_grad()
        y = run(model, b)
        y.loss.backward()
        if step == 0:
            tensors[f"{name}.logits"] = y.logits.detach().clone()
            grads = {k.replace(".base_layer.bias", ".bias"): p.grad.clone() for k, p in trained.items()}
            tensors.update({f"{name}.grad.{k}": g for k, g in grads.items()})
        losses.append(y.loss.item())
        opt.step()
    y = run(model, b)
    tensors[f"{name}.logits8"] = y.logits.detach().clone()
    save_adapter(model, os.path.join(folder, "adapters", name, "step8"))
    d = {
        "lr": 1e-2,
        "weight_decay": 0.0,
        "steps": 8,
        "losses": losses,
        "loss8": y.loss.item(),
        "trainable": sum(p.numel() for p in trained.values()),
    }
    d["greedy8"] = greedy(model, prompt)
    if name in ("lora", "lora_all", "dora"):
        tensors[f"{name}.merged_logits8"] = run(model.merge_and_unload(), b).logits.detach().clone()
    return d


def beams(model, r):
    """Beam search with random prompts and settings, where the best is not nearly as good as the next."""
    rows, t5 = [], model.config.is_encoder_decoder
    ends = model.generation_config.eos_token_id
    while len(rows) < 8:
        ids = [r.randrange(3, model.config.vocab_size) for _ in range(r.randint(2, 7))] + [1] * t5
        d = dict(beams=r.choice([2, 3, 4, 5]), length_penalty=r.choice([1.0, 0.6, 2.0, -1.0]), early_stopping=r.random() < 0.5)
        longest = r.choice([3, 8, 14])
        with torch.no_grad():
            y = model.generate(
                torch.tensor([ids]),
                attention_mask=torch.ones(1, len(ids), dtype=torch.long),
                max_new_tokens=longest,
                num_beams=d["beams"],
                length_penalty=d["length_penalty"],
                early_stopping=d["early_stopping"],
                do_sample=False,
                num_return_sequences=2,
                output_scores=True,
                return_dict_in_generate=True,
            )
        out, start = y.sequences[0].tolist(), 1 if t5 else len(ids)
        end = next((i + 1 for i in range(start, len(out)) if out[i] == ends), len(out))  # what follows is padding
        if y.sequences_scores[0] - y.sequences_scores[1] > 1e-3:
            rows.append(dict(d, max_new_tokens=longest, input_ids=ids, ids=out[:end]))
    return rows


def training():
    for name in TRAINED:
        folder, base = os.path.join(OUT, "golden", name), os.path.join(OUT, "golden", name, "model")
        model = models.build(name, SEED + 1)
        for key in ("dropout_rate", "attn_pdrop", "embd_pdrop", "resid_pdrop"):
            if hasattr(model.config, key):
                setattr(model.config, key, 0.0)
        model.save_pretrained(base)
        r = random.Random(SEED)
        b, tensors = batch(model, r), {}
        model = models.load(base)
        y = run(model, b)
        tensors["logits"] = y.logits.detach().clone()
        prompt = b["input_ids"][0][: 11 if model.config.is_encoder_decoder else 6]
        how = {
            "beam4": dict(num_beams=4, early_stopping=True),
            "beam3_lp": dict(num_beams=3, length_penalty=0.6),
            "greedy": {},
            "greedy_norepeat3": dict(no_repeat_ngram_size=2, repetition_penalty=1.3),
        }
        case = dict(b, loss=y.loss.item(), generate={"input_ids": [prompt], "max_new_tokens": 12})
        for key, kw in how.items():
            case["generate"][key] = generate(model, prompt, **kw)
        case["generate"]["beams"] = beams(model, random.Random(name))
        case["full_ft"] = full_ft(models.load(base), b, tensors)
        case["adapters"] = {}
        for method in ("lora", "lora_all", "dora", "ia3", "prompt", "prefix", "ptuning"):
            try:
                case["adapters"][method] = train_adapter(folder, base, method, b, prompt, tensors)
            except Exception as e:
                shutil.rmtree(os.path.join(folder, "adapters", method), ignore_errors=True)
                print(f"left out: {name}/{method}: {type(e).__name__}: {str(e).splitlines()[0][:80]}")
        tensors = {
            k.replace("grad.lm_head.", "grad.embed_out.") if name == "neox" else k: v
            for k, v in tensors.items()
        }
        save_file({k: v.contiguous() for k, v in tensors.items()}, os.path.join(folder, "golden.safetensors"))
        with open(os.path.join(folder, "case.json"), "w") as f:
            json.dump(case, f)
            f.write("\n")


# ---- metrics on our own texts


def spoiled(text, r):
    """A system's output: words lost, doubled and swapped."""
    words = text.split()
    for _ in range(1 + len(words) // 6):
        i = r.randrange(len(words))
        words[i : i + 1] = r.choice([[], [words[i], words[i]], [r.choice(words)], [words[i].lower()]]) or [
            "it"
        ]
    return " ".join(words)


EDGES = [
    ("", "a cat"),
    ("a cat", "a cat"),
    ("A Cat!", "a cat"),
    ("cats running happily", "the cat ran happy"),
    ("3.5 % of $1,000", "3.5% of 1000"),
    ("don't can't", "do not cannot"),
    ("naïve café", "naive cafe"),
    ("a a a a", "a b a b"),
]


def metrics():
    folder = os.path.join(OUT, "metrics")
    os.makedirs(folder)
    r = random.Random(SEED)
    _, refs = texts(160)
    refs = [" ".join(t.split()) for t in refs]
    columns = [refs[:40], [spoiled(t, r) for t in refs[:40]], refs[40:80]]
    pred = [spoiled(t, r) for t in refs[:40]]
    for name, lines in (
        ("pred", pred),
        ("ref1", columns[0]),
        ("ref2", columns[1]),
        ("ref3", columns[2]),
        ("edge_pred", [e[0] for e in EDGES]),
        ("edge_ref", [e[1] for e in EDGES]),
    ):
        with open(os.path.join(folder, f"{name}.txt"), "w") as f:
            f.write("\n".join(lines) + "\n")
    kinds = ["rouge1", "rouge2", "rouge3", "rougeL", "rougeLsum"]
    golden = {"rouge": {}}
    for style, stem in (("plain", False), ("stem", True)):
        scorer = rouge_scorer.RougeScorer(kinds, use_stemmer=stem)
        score = lambda ref, p: {
            k: [v.precision, v.recall, v.fmeasure] for k, v in scorer.score(ref, p).items()
        }
        pairs = [score(ref, p) for ref, p in zip(columns[0], pred)]
        golden["rouge"][style] = {
            "pairs": pairs,
            "edge": [score(b, a) for a, b in EDGES],
            "mean": {
                k: [sum(p[k][i] for p in pairs) / len(pairs) for i in range(3)]
                for k in kinds
                if k != "rouge3"
            },
        }
    three = [[c[i] for c in columns] for i in range(len(pred))]
    golden["bleu"], golden["chrf"], golden["ter"] = [], [], []
    for kw in (
        {},
        {"lowercase": True},
        {"tokenize": "char"},
        {"tokenize": "intl"},
        {"smooth_method": "floor", "smooth_value": 0.1},
        {"max_ngram_order": 2},
    ):
        for n in (1, 3):
            m = BLEU(**kw)
            s = m.corpus_score(pred, columns[:n])
            golden["bleu"].append(
                {
                    "kw": kw,
                    "references": n,
                    "score": s.score,
                    "precisions": s.precisions,
                    "counts": s.counts,
                    "totals": s.totals,
                    "bp": s.bp,
                    "sys_len": s.sys_len,
                    "ref_len": s.ref_len,
                }
            )
    for cls, key, settings in (
        (CHRF, "chrf", ({}, {"word_order": 2}, {"lowercase": True}, {"whitespace": True})),
        (TER, "ter", ({}, {"normalized": True}, {"case_sensitive": True})),
    ):
        for kw in settings:
            for n in (1, 3):
                golden[key].append(
                    {"kw": kw, "references": n, "score": cls(**kw).corpus_score(pred, columns[:n]).score}
                )
    sentence = BLEU(effective_order=True)
    golden["sentence_bleu"] = [sentence.sentence_score(p, [ref]).score for p, ref in zip(pred, columns[0])]
    golden["edge_sentence_bleu"] = [sentence.sentence_score(a, [b]).score for a, b in EDGES]
    golden["sentence_chrf"] = [CHRF().sentence_score(p, [ref]).score for p, ref in zip(pred, columns[0])]
    golden["sentence_ter"] = [TER().sentence_score(p, [ref]).score for p, ref in zip(pred, columns[0])]
    with open(os.path.join(folder, "golden.json"), "w") as f:
        json.dump(golden, f)
        f.write("\n")


# ---- four bits of our own matrices


def four_bits():
    with safe_open(os.path.join(MODEL, "model.safetensors"), "pt") as f:
        w = f.get_tensor("encoder.block.0.layer.1.DenseReluDense.wi_0.weight").float()
    cases = {
        "rows": w[:20],
        "ragged": w[:37, :19].contiguous(),
        "zeros": torch.cat([torch.zeros(2, 64), w[:6, :64]]),
        "outlier": w[48:64] * torch.linspace(0, 300, 16)[:, None],
    }
    out = {}
    for name, m in cases.items():
        out[f"{name}.weight"] = m.contiguous()
        for kind in ("nf4", "fp4"):
            for block in (64, 128):
                for double in (False, True):
                    key = f"{name}.{kind}" + (f".b{block}" if block != 64 else "") + (".dq" if double else "")
                    p = bitsandbytes.nn.Params4bit(
                        m, requires_grad=False, quant_type=kind, blocksize=block, compress_statistics=double
                    )
                    p = p.to("cpu")
                    p = p if p.quant_state else p._quantize("cpu")
                    out[f"{key}.weight"] = p.data
                    out.update(
                        {f"{key}.weight.{k}": v for k, v in p.quant_state.as_dict(packed=True).items()}
                    )
                    out[f"{key}.dequant"] = models.expanded(p)
    save_file({k: v.contiguous().clone() for k, v in out.items()}, os.path.join(OUT, "nf4.safetensors"))


# ---- tokenizers


SCRIPTS = [
    "Hello, world! It's 3.14 o'clock.",
    "  two  spaces, a\ttab\nand a line ",
    "naïve café, Straße, ﬁne ½ Ⅷ",
    "Ελληνικά και кириллица",
    "日本語とカタカナ、漢字。",
    "한국어 문장입니다.",
    "العربية من اليمين",
    "हिन्दी में लिखा",
    "ภาษาไทย ไม่มีช่องว่าง",
    "emoji 😀👩‍👩‍👧 and \u200b zero width",
    "",
    " ",
    "</s> <pad> <unk> in a text",
    "CamelCase snake_case kebab-case",
    "x" * 40,
    "a\u0301 combining e\u0301",
    "1234567890 12,345.67",
]


def own_tokenizers(lines):
    """tokenizer.json files of the tokenizers library, trained on our own texts."""
    from tokenizers import decoders, models as kinds, normalizers, pre_tokenizers, processors, trainers

    special = ["<unk>", "<s>", "</s>"]
    byte = tokenizers.Tokenizer(kinds.BPE())
    byte.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    byte.decoder = decoders.ByteLevel()
    byte.train_from_iterator(
        lines,
        trainers.BpeTrainer(
            vocab_size=500,
            special_tokens=["<|endoftext|>"],
            show_progress=False,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        ),
    )
    meta = tokenizers.Tokenizer(kinds.BPE(unk_token="<unk>", fuse_unk=True))
    meta.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    meta.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.Metaspace()]
    )
    meta.decoder = decoders.Metaspace()
    meta.train_from_iterator(
        lines, trainers.BpeTrainer(vocab_size=300, special_tokens=special, show_progress=False)
    )
    for name, t in (("bytes", byte), ("metaspace", meta)):
        os.makedirs(os.path.join(OUT, "tokenizers", name))
        t.save(os.path.join(OUT, "tokenizers", name, "tokenizer.json"), pretty=False)
        yield name, t


def tokenizer_ids():
    prompts, answers = texts(40)
    lines = SCRIPTS + prompts[:15] + answers[:25]
    sp = sentencepiece.SentencePieceProcessor(model_file=os.path.join(MODEL, "spiece.model"))
    with open(os.path.join(OUT, "tokenizers.jsonl"), "w") as f:
        for text in lines:
            ids = sp.encode(text)
            f.write(
                json.dumps({"tokenizer": "../model", "text": text, "ids": ids, "decoded": sp.decode(ids)})
                + "\n"
            )
        for name, t in own_tokenizers(prompts + answers):
            for text in lines:
                ids = t.encode(text, add_special_tokens=False).ids
                line = {
                    "tokenizer": f"tokenizers/{name}",
                    "text": text,
                    "ids": ids,
                    "decoded": t.decode(ids, skip_special_tokens=False),
                }
                f.write(json.dumps(line) + "\n")


def main():
    torch.set_num_threads(1)
    models.small()
    for part in sys.argv[1:] or ["hf", "golden", "metrics", "nf4", "tokenizers"]:
        path = os.path.join(OUT, part)
        shutil.rmtree(path, ignore_errors=True)
        os.makedirs(OUT, exist_ok=True)
        {
            "hf": lambda: (adapters(FAMILIES[1:], KEPT), adapters(TODAY, KEPT_TODAY), own_model()),
            "golden": training,
            "metrics": metrics,
            "nf4": four_bits,
            "tokenizers": tokenizer_ids,
        }[part]()
    versions = {m.__name__: m.__version__ for m in (torch, transformers, peft, tokenizers, bitsandbytes)}
    print(versions)


if __name__ == "__main__":
    main()
