"""What peft.h saves, opened by transformers: tokenizers of .gguf files, models in each format, 4 bits as bitsandbytes
has them, grown vocabularies. Every comparison prints a line; the last one counts.

    python tests/peers/check_saving.py build/peft SCRATCH [SHARED]
"""
import json
import os
import random
import shutil
import subprocess
import sys

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TRANSFORMERS_VERBOSITY"] = "error"
import torch
import transformers
from safetensors.torch import load_file
from transformers import (AddedToken, AutoModelForCausalLM, AutoModelForSeq2SeqLM, AutoTokenizer, GPT2Config, GPT2LMHeadModel, GPTNeoXConfig,
                          GPTNeoXForCausalLM, LlamaConfig, LlamaForCausalLM, Qwen2Config, Qwen2ForCausalLM, T5Config,
                          T5ForConditionalGeneration)

transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()
peft, scratch = os.path.abspath(sys.argv[1]), sys.argv[2]
shared = os.path.abspath(sys.argv[3] if len(sys.argv) > 3 else "../shared")
passed = failed = 0


def check(what, ok, detail=""):
    global passed, failed
    passed, failed = passed + bool(ok), failed + (not ok)
    print("ok  " if ok else "FAIL", what, "" if ok else detail, flush=True)


def run(*arguments):
    r = subprocess.run([peft, *arguments], capture_output=True, text=True)
    return r.returncode, r.stdout + r.stderr


# ---- texts of many scripts, with much white space and many signs

WORDS = ("the cat sat on a mat Don't we're I'll HELLO World naïve café Straße größer ÅNGSTRÖM ﬁne ½ ² №5 ｆｕｌｌ １２３ 日本語 東京都 こんにちは カタカナ "
         "한국어 안녕 Привет мир Ελλάδα שלום مرحبا ไทย हिन्दी தமிழ் বাংলা ქართული አማርኛ 👍 👩‍👩‍👧 🇩🇪 x=1; foo_bar() {} [] <b> </b> ... ,,, !? ~~~ "
         "1 22 333 2023 3.14 1,000 $5 100% a@b.c http://x.y/z").split()


def texts(count, seed):
    r = random.Random(seed)
    gaps = [" ", " ", " ", "  ", "   ", "\n", "\n\n", "\t", " \n ", "", "\u3000", "\u00a0"]
    made = ["", " ", "a", " a", "a ", "  a  b  ", "\n", "\na", "a\n", "\t\ta"]
    while len(made) < count:
        made.append("".join(r.choice(WORDS) + r.choice(gaps) for _ in range(r.randint(1, 12))))
    return made


def ours(folder, lines):
    code, out = run("tokenize", folder, "--special", "--json", "--quiet", *lines)
    return [json.loads(line)["ids"] for line in out.splitlines()] if code == 0 else out[:300]


def same_ids(what, source, folder, extra=()):
    """ids of peft.h on the source, of peft.h on the saved folder, of transformers on the saved folder"""
    lines = texts(400, 1) + [w + a + g + b for w in extra for a, b in (("", ""), ("a", "b"), ("x ", " y")) for g in ("", " ")]
    want, again = ours(source, lines), ours(folder, lines)
    try:
        t = AutoTokenizer.from_pretrained(folder)
        theirs = [t(x, add_special_tokens=False)["input_ids"] for x in lines]
    except Exception as e:
        theirs, t = str(e)[:300], None
    for who, got in (("peft.h", again), ("transformers", theirs)):
        wrong = [i for i in range(len(lines)) if got[i] != want[i]] if isinstance(want, list) and isinstance(got, list) else None
        first = wrong and "%d differ, e.g. %r: %s, %s" % (len(wrong), lines[wrong[0]], want[wrong[0]], got[wrong[0]])
        check(f"{what}: ids of {who}", wrong == [], first or f"{str(want)[:200]} | {str(got)[:200]}")
    return t


# ---- models

MAKERS = {
    "t5": lambda v: T5ForConditionalGeneration(T5Config(vocab_size=v, d_model=64, d_kv=16, d_ff=128, num_layers=2, num_heads=4,
                                                        feed_forward_proj="gated-gelu", tie_word_embeddings=True)),
    "gpt2": lambda v: GPT2LMHeadModel(GPT2Config(vocab_size=v, n_embd=64, n_layer=2, n_head=4, n_positions=64, bos_token_id=v - 1, eos_token_id=v - 1)),
    "neox": lambda v: GPTNeoXForCausalLM(GPTNeoXConfig(vocab_size=v, hidden_size=64, num_hidden_layers=2, num_attention_heads=4,
                                                       intermediate_size=128, max_position_embeddings=64)),
    "llama": lambda v: LlamaForCausalLM(LlamaConfig(vocab_size=v, hidden_size=64, num_hidden_layers=2, num_attention_heads=4,
                                                    num_key_value_heads=2, intermediate_size=128, max_position_embeddings=64)),
    "qwen2": lambda v: Qwen2ForCausalLM(Qwen2Config(vocab_size=v, hidden_size=64, num_hidden_layers=2, num_attention_heads=4,
                                                    num_key_value_heads=2, intermediate_size=128, max_position_embeddings=64,
                                                    tie_word_embeddings=True, bos_token_id=v - 1,
                                                    eos_token_id=v - 1)),
}


def make(kind, vocab, tokenizer=None, pieces=False):
    folder = os.path.join(scratch, f"{kind}-{vocab}" + ("-pieces" if pieces else "") + ("-" + os.path.basename(tokenizer) if tokenizer else ""))
    if not os.path.isdir(folder):
        torch.manual_seed(0)
        MAKERS[kind](vocab).save_pretrained(folder)
        for name in os.listdir(tokenizer) if tokenizer else ():
            if name != "config.json" and not (pieces and name == "tokenizer.json"):
                shutil.copy(os.path.join(tokenizer, name), folder)
    return folder


def logits(folder, kind):
    torch.manual_seed(1)
    ids = torch.randint(3, 60, (2, 9))
    m = (AutoModelForSeq2SeqLM if kind == "t5" else AutoModelForCausalLM).from_pretrained(folder, device_map="cpu")
    with torch.no_grad():
        return (m(input_ids=ids, decoder_input_ids=ids[:, :5]) if kind == "t5" else m(input_ids=ids)).logits.float()


def close(a, b, most=1e-5):
    return a.shape == b.shape and (a - b).abs().max() <= most * max(1.0, a.abs().max().item())


def out(name):
    path = os.path.join(scratch, "out", name)
    shutil.rmtree(path, ignore_errors=True)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    return path


LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")


def byte_level(name, pattern):
    """GPT-2's vocabulary, its text cut into other words"""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
    folder = os.path.join(scratch, "vocabularies", name)
    if not os.path.isdir(folder) and os.path.isdir(f"{shared}/tokenizers/gpt2"):
        t = Tokenizer(models.BPE.from_file(f"{shared}/tokenizers/gpt2/encoder.json", f"{shared}/tokenizers/gpt2/vocab.bpe"))
        byte = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=pattern is None)
        t.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(pattern), "isolated"), byte] if pattern else
                                                  [pre_tokenizers.Digits(individual_digits=True), byte])
        t.decoder = decoders.ByteLevel()
        t.add_special_tokens(["<|endoftext|>"])
        os.makedirs(folder)
        t.save(f"{folder}/tokenizer.json")
        with open(f"{folder}/tokenizer_config.json", "w") as f:
            json.dump({"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "<|endoftext|>"}, f)
    return folder


def check_tokenizers():
    for name, kind, source, vocab, extra in (
            ("llama2c's tok512.bin", None, f"{shared}/models/stories260K/stories260K.bin", 0, ("<s>", "</s>")),
            ("llama2c's tok105.model", None, f"{shared}/models/babyllama-tok105/model5000.bin", 0, ("<s>", "</s>")),
            ("T5's pieces in GGUF", "t5", f"{shared}/tokenizers/t5", 32128, ("</s>", "<extra_id_0>", "<extra_id_99>")),
            ("Llama's pieces in GGUF", "llama", f"{shared}/tokenizers/llama", 32000, ("<s>", "</s>")),
            ("GPT-2's pieces in GGUF", "gpt2", f"{shared}/tokenizers/gpt2", 50257, ("<|endoftext|>",)),
            ("Llama 3's words in GGUF", "gpt2", byte_level("llama3", LLAMA3), 50257, ("<|endoftext|>",)),
            ("Qwen2's words in GGUF", "qwen2", byte_level("qwen2", LLAMA3.replace("{1,3}", "")), 50257, ("<|endoftext|>",)),
            ("single digits in GGUF", "gpt2", byte_level("smollm", None), 50257, ("<|endoftext|>",))):
        if not os.path.exists(source):
            print("skip", name, source)
            continue
        if kind:
            folder, gguf = make(kind, vocab, source, kind == "t5"), out(name.replace(" ", "_") + ".gguf")
            code, said = run("export", folder, gguf)
            check(f"{name}: written", code == 0, said)
            source = gguf
        elif not kind:
            folder, gguf = out(name.replace(" ", "_") + "_folder"), out(name.replace(" ", "_") + ".gguf")
            code, said = run("convert", source, folder)
            check(f"{name}: converted", code == 0, said)
            run("export", folder, gguf)
            source = gguf
        saved = out(name.replace(" ", "_"))
        code, said = run("export", source, saved)
        check(f"{name}: exported", code == 0, said)
        t = same_ids(name, source, saved, extra)
        if t is None:
            continue
        front, back = t("hello world")["input_ids"], t("hello world", add_special_tokens=False)["input_ids"]
        want = [1] + back if kind in (None, "llama") else back + [1] if kind == "t5" else back
        check(f"{name}: what stands around a text", front == want, f"{front} {want}")
        lines = [x for x in texts(100, 2) if x.strip() == x and "  " not in x]
        check(f"{name}: decoded", t.decode(back) == "hello world", t.decode(back))
        config = json.load(open(os.path.join(saved, "config.json")))
        check(f"{name}: architectures", len(config.get("architectures", [])) == 1, str(config))


def check_formats():
    for kind in MAKERS:
        folder = make(kind, 64)
        want = logits(folder, kind)
        for dtype, name in ((torch.float32, "f32"), (torch.float16, "f16"), (torch.bfloat16, "bf16")):
            saved = out(f"{kind}-{name}")
            code, said = run("export", folder, saved, "--type", name)
            config = json.load(open(f"{saved}/config.json")) if code == 0 else {}
            m = (AutoModelForSeq2SeqLM if kind == "t5" else AutoModelForCausalLM).from_pretrained(saved) if code == 0 else None
            wide = [p for n, p in m.named_parameters() if p.dtype != dtype and not n.endswith("wo.weight")] if m else [0]
            check(f"{kind} as {name}", code == 0 and not wide and close(want, logits(saved, kind), 1e-5 if name == "f32" else 3e-2),
                  said + str(config.get("dtype")) + str(config.get("torch_dtype")))
            names, here = set(load_file(f"{folder}/model.safetensors")), set(load_file(f"{saved}/model.safetensors"))
            check(f"{kind} as {name}: the tensors that transformers saves", names == here, str(names ^ here))


def check_four_bits():
    from transformers import BitsAndBytesConfig
    for kind in MAKERS:
        folder = make(kind, 64)
        for type_, double in (("nf4", True), ("nf4", False), ("fp4", False)):
            what, mine = f"{kind} as {type_}{' twice' if double else ''}", out(f"{kind}-{type_}-{double}")
            theirs = out(f"{kind}-{type_}-{double}-bnb")
            config = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type=type_, bnb_4bit_use_double_quant=double)
            auto = AutoModelForSeq2SeqLM if kind == "t5" else AutoModelForCausalLM
            auto.from_pretrained(folder, quantization_config=config, device_map="cpu").save_pretrained(theirs)
            code, said = run("quantize", folder, mine, "--type", type_, *(["--double-quant"] if double else []))
            check(f"{what}: written", code == 0, said)
            a, b = json.load(open(f"{theirs}/config.json")), json.load(open(f"{mine}/config.json"))
            check(f"{what}: quantization_config", a["quantization_config"] == b["quantization_config"], str(b["quantization_config"]))
            x, y = load_file(f"{theirs}/model.safetensors"), load_file(f"{mine}/model.safetensors")
            check(f"{what}: the same tensors", set(x) == set(y), str(set(x) ^ set(y)))
            # torch.linspace, of which bitsandbytes makes the map of nested scales, is an ulp off on some machines: so are codes near a tie
            loose = (".nested_quant_map", ".absmax") if double else ()
            differ = [n for n in x if n in y and not n.endswith(loose or ("?",)) and not (".quant_state." in n and double) and
                      (x[n].dtype != y[n].dtype or x[n].shape != y[n].shape or not torch.equal(x[n], y[n]))]
            check(f"{what}: byte for byte", not differ, str(differ[:4]))
            if double:
                maps = [n for n in x if n.endswith(".nested_quant_map") and (x[n] - y[n]).abs().max() > 6e-8]
                codes = sum((x[n].int() - y[n].int()).abs().max().item() > 1 for n in x if n.endswith(".absmax"))
                check(f"{what}: nested scales within an ulp and a code", not maps and not codes, f"{maps[:3]} {codes}")
            check(f"{what}: opened, the same logits", close(logits(theirs, kind), logits(mine, kind), 2e-2 if double else 1e-6))


def check_grow():
    new = ["<sep>", "<speaker one>", "▲▲", "foo"]
    for name, kind, source, vocab in (
            ("GPT-2", "gpt2", f"{shared}/tokenizers/gpt2", 50257), ("T5", "t5", f"{shared}/tokenizers/t5", 32128), ("T5 of 32,100 rows", "t5", f"{shared}/tokenizers/t5", 32100),
            ("Llama", "llama", f"{shared}/tokenizers/llama", 32000), ("Qwen2", "qwen2", byte_level("qwen2", LLAMA3.replace("{1,3}", "")), 50257),
            ("NeoX", "neox", byte_level("smollm", None), 50257), ("llama2c", None, f"{shared}/models/stories260K/stories260K.bin", 0)):
        if not os.path.exists(source):
            print("skip", name, source)
            continue
        folder = make(kind, vocab, source) if kind else out("llama2c_folder")
        if not kind:
            run("convert", source, folder)
        saved, plain = out(f"grown-{name}"), out(f"plain-{name}")
        code, said = run("grow", folder, saved, *sum((["--token", x] for x in new), []), "--json")
        check(f"{name}: grown", code == 0, said)
        if code:
            continue
        says = json.loads([x for x in said.splitlines() if x.startswith("{")][0])
        run("export", folder, plain)
        a, b = load_file(f"{plain}/model.safetensors"), load_file(f"{saved}/model.safetensors")
        longer = [n for n in a if a[n].shape != b[n].shape]
        check(f"{name}: rows only where the vocabulary is", all(torch.equal(a[n], b[n][:len(a[n])]) for n in a) and len(longer) <= 2 and
              all(b[n].shape[0] == says["rows"] for n in longer), str(longer))
        for n in longer:  # transformers' distribution: the mean, and 1e-9 of the covariance
            old, fresh = a[n].double(), b[n][len(a[n]):].double()
            far = (fresh - old.mean(0)).norm(dim=1) / (1e-9 * old.var(0, unbiased=False).sum()).sqrt()
            check(f"{name}: new rows of {n}", ((far > 0.4) & (far < 2)).all(), str(far))
        t = same_ids(f"{name}, grown", saved, saved, new)
        if t is not None:
            first = says["tokens"] - sum(t.convert_tokens_to_ids(x) >= says["tokens_before"] for x in new)
            ids = [t(x, add_special_tokens=False)["input_ids"] for x in new]
            check(f"{name}: new tokens are tokens", all(len(i) in (1, 2) and i[-1] < says["rows"] for i in ids) and first == says["tokens_before"], f"{ids} {says}")
            # as add_tokens would have it
            plain_t = AutoTokenizer.from_pretrained(plain)
            size = len(plain_t)
            # where a normalizer puts a space before each text, a token that is normalized too is found only behind a space
            plain_t.add_tokens([AddedToken(x, normalized=kind is not None) for x in new if x not in plain_t.get_vocab()])
            lines = [w + g + x for x in new for g in ("", " ") for w in ("a", "Hello world", "foo")]
            want = [plain_t(x, add_special_tokens=False)["input_ids"] for x in lines]
            got = [t(x, add_special_tokens=False)["input_ids"] for x in lines]
            check(f"{name}: as add_tokens", want == got and size == says["tokens_before"], f"{size} {says} {[(x, w, g) for x, w, g in zip(lines, want, got) if w != g][:3]}")
        kind = kind or "llama"
        x, y = logits(plain, kind), logits(saved, kind)
        check(f"{name}: the same logits", y.shape[-1] == says["rows"] and close(x, y[..., :x.shape[-1]], 1e-5))


if __name__ == "__main__":
    print("torch", torch.__version__, "transformers", transformers.__version__)
    os.makedirs(scratch, exist_ok=True)
    for part in sys.argv[4:] or ("tokenizers", "formats", "four_bits", "grow"):
        globals()["check_" + part]()
    print(f"models: {passed} right, 0 refused, {failed} wrong")
    sys.exit(failed != 0)
