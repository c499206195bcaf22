"""Opens with Hugging Face peft the adapters that write_adapters has written, and compares logits.

    check_adapters.py FOLDER WRITE_ADAPTERS [--seed N] [--models a,b] [--base PATH]

For each random model: FOLDER/<model>/base is saved by transformers, WRITE_ADAPTERS writes its cases beside it, and each is opened by
PeftModel.from_pretrained. Right is: the logits are ours, the keys of the file are the keys that peft itself would save, peft warns of
nothing. Merged models are opened by transformers, GGUF adapters are added to the weights by llama.cpp's rules.
"""

import argparse
import copy
import json
import os
import subprocess
import sys
import warnings

os.environ["HF_HUB_OFFLINE"] = "1"
import gguf
import numpy as np
import peft
import torch
import transformers
from safetensors import safe_open

import models

transformers.logging.set_verbosity_error()
transformers.utils.logging.disable_progress_bar()
TOLERANCE = 3e-5  # of the largest logit


def ids(t):
    return ",".join(str(int(i)) for i in t.flatten())


def apart(ours, theirs):
    """Largest difference over the largest logit."""
    ours = torch.from_numpy(ours.reshape(theirs.shape[-2:]))
    return ((ours - theirs[0]).abs().max() / theirs.abs().max()).item()


def saved_keys(model, path):
    """What is amiss with the keys of a file, as seen by the model that was loaded from it."""
    with safe_open(os.path.join(path, "adapter_model.safetensors"), "pt") as f:
        ours = {k: f.get_tensor(k) for k in f.keys()}
    theirs = peft.get_peft_model_state_dict(model, save_embedding_layers=False)
    more, less = sorted(set(ours) - set(theirs)), sorted(set(theirs) - set(ours))
    other = sorted(k for k in set(ours) & set(theirs) if not torch.equal(ours[k].float(), theirs[k].float()))
    return "; ".join(
        f"{len(k)} keys {what}, such as {k[0]}"
        for k, what in ((more, "too many"), (less, "missing"), (other, "not loaded"))
        if k
    )


def warned(caught):
    """Without what peft also says of files of its own: of calls that will go, and of tied weights and transposed ones, for which the logits speak."""
    lines = [str(w.message).splitlines()[0] for w in caught]
    known = ("deprecated", "ensure_weight_tying", "fan_in_fan_out is set to")
    return [line for line in lines if not any(k in line for k in known)]


def check_adapter(base, loaded, path, x):
    ours = np.fromfile(os.path.join(path, "logits.f32"), np.float32)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = peft.PeftModel.from_pretrained(copy.deepcopy(loaded), path).eval()
        off = apart(ours, models.logits(model, x))
        amiss = saved_keys(model, path)
    said = warned(caught)
    with open(os.path.join(path, "adapter_config.json")) as f:
        name = json.load(f)["base_model_name_or_path"]
    if name != base:
        said.append(f"base_model_name_or_path is {name!r}")
    return off, [amiss] * bool(amiss) + said


def check_merged(path, x, ours):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        off = apart(ours, models.logits(models.load(path), x))
    return off, warned(caught)


def unpermuted(w, heads):
    """Rows of q or k from the order of rotary pairs side by side, which GGUF's Llama has, to that of Hugging Face."""
    return w.reshape(heads, w.shape[0] // heads // 2, 2, w.shape[1]).swapaxes(1, 2).reshape(w.shape)


def per_head(w, heads):
    """Rows of a fused q, k, v from [3, heads, size], which GGUF's NeoX has, to [heads, 3, size]."""
    return w.reshape(3, heads, w.shape[0] // heads // 3, w.shape[1]).swapaxes(0, 1).reshape(w.shape)


def check_gguf(loaded, path, x, ours):
    """W + alpha / r B A, with the tensors and names of the file."""
    file, model = gguf.GGUFReader(path), copy.deepcopy(loaded)
    c = model.config
    alpha = file.get_field("adapter.lora.alpha").contents()
    architecture = file.get_field("general.architecture").contents()
    number = next(k for k, v in gguf.MODEL_ARCH_NAMES.items() if v == architecture)
    names = gguf.get_tensor_name_map(
        number, max(c.num_hidden_layers, getattr(c, "num_decoder_layers", None) or 0)
    )
    tensors = {t.name: torch.from_numpy(np.array(t.data, np.float32)) for t in file.tensors}
    left = set(tensors)
    transposed = {k for k, m in model.named_modules() if type(m).__name__ == "Conv1D"}
    with torch.no_grad():
        for key, p in model.named_parameters():
            name = names.get_name(key, (".weight", ".bias"))
            if f"{name}.lora_a" not in tensors:
                continue
            a, b = tensors[f"{name}.lora_a"], tensors[f"{name}.lora_b"]
            left -= {f"{name}.lora_a", f"{name}.lora_b"}
            if name == "token_embd.weight":  # A [V, r]: one row a token
                p.add_((alpha / a.shape[1]) * (a @ b.T))
                continue
            delta = (alpha / a.shape[0]) * (b @ a)
            if architecture in ("llama", "granite", "smollm3") and name.endswith(("attn_q.weight", "attn_k.weight")):
                delta = unpermuted(
                    delta, c.num_attention_heads if "attn_q" in name else c.num_key_value_heads
                )
            if architecture == "gptneox" and "attn_qkv" in name:
                delta = per_head(delta, c.num_attention_heads)
            p.add_(delta.T if key.removesuffix(".weight") in transposed else delta)
    off = apart(ours, models.logits(model, x))
    return off, [f"{len(left)} tensors of no module, such as {min(left)}"] if left else []


def check_model(folder, name, program, seed, counts, base=None):
    folder = os.path.join(folder, name)
    os.makedirs(folder, exist_ok=True)
    if not base:
        base = os.path.join(folder, "base")
        models.build(name, seed).save_pretrained(base)
    model = models.load(base)
    x = models.inputs(model, seed)
    lines = subprocess.run(
        [program, base, folder, str(seed)] + [ids(v) for v in x.values()], capture_output=True, text=True
    )
    if lines.returncode:
        print(f"FAIL {name}: write_adapters: {lines.stdout.splitlines()[-1:]} {lines.stderr}")
        counts["models"]["wrong"] += 1
        return
    off = apart(np.fromfile(os.path.join(folder, "base.f32"), np.float32), models.logits(model, x))
    if off > TOLERANCE:
        print(f"FAIL {name}: the base's own logits are off by {off:.1e}")
        counts["models"]["wrong"] += 1
    for line in lines.stdout.splitlines():
        what, case = line.split(" ", 1)
        row = counts["models" if case.startswith("model.") else "adapters"]
        if what == "refused":
            print(f"refused {name}/{case}")
            row["refused"] += 1
        if what != "saved":
            continue
        path = os.path.join(folder, case)
        plain = path.removesuffix(".gguf").removesuffix(".merged")
        ours = np.fromfile(os.path.join(plain, "logits.f32"), np.float32)
        try:
            if case.endswith(".gguf"):
                off, said = check_gguf(model, path, x, ours)
            elif case.endswith(".merged") or case.startswith("model."):
                off, said = check_merged(path, x, ours)
            elif case.startswith("own_") or (
                case.startswith("prefix") and not peft_has_prefixes(model.config)
            ):
                off, said = check_own(model, path)
            else:
                off, said = check_adapter(base, model, path, x)
        except Exception as e:
            off, said = float("inf"), [f"{type(e).__name__}: {str(e).splitlines()[0][:150]}"]
        if off <= TOLERANCE and not said:
            row["right"] += 1
            continue
        row["wrong"] += 1
        print(f"FAIL {name}/{case}: off by {off:.1e} of the largest logit; {'; '.join(said)[:300]}")


def peft_has_prefixes(config):
    """Its prefixes are as wide as the model: T5's heads may be wider or narrower together."""
    return not config.is_encoder_decoder or config.num_heads * config.d_kv == config.d_model


def check_own(loaded, path):
    """What peft does not have: it must refuse the file."""
    try:
        peft.PeftModel.from_pretrained(copy.deepcopy(loaded), path)
    except Exception:
        return 0.0, []
    return 0.0, ["peft takes it for an adapter of its own"]


def main():
    p = argparse.ArgumentParser()
    p.add_argument("folder")
    p.add_argument("program")
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--models", default=",".join(models.NAMES))
    p.add_argument("--base", help="a model with a tokenizer, beside the random ones")
    a = p.parse_args()
    torch.set_num_threads(1)
    counts = {k: {"right": 0, "refused": 0, "wrong": 0} for k in ("adapters", "models")}
    for name in filter(None, a.models.split(",")):
        check_model(a.folder, name, a.program, a.seed, counts)
    if a.base:
        check_model(
            a.folder, os.path.basename(a.base.rstrip("/")), a.program, a.seed, counts, a.base.rstrip("/")
        )
    for key, row in counts.items():
        print("{}: {right} right, {refused} refused, {wrong} wrong".format(key, **row))
    return any(row["wrong"] for row in counts.values())


if __name__ == "__main__":
    sys.exit(main())
