"""Adapters of Hugging Face peft on small random models, for build/golden.

    make_adapters.py FOLDER [--seed N] [--models a,b] [--cases x,y]

Writes FOLDER/<model>/base and FOLDER/<model>/<case>/: adapter_config.json and adapter_model.safetensors as peft saves them, and
expected.safetensors with the tokens and the logits that peft itself computes after it has loaded the adapter again. Ranks, alphas,
targets and values depend on the seed. A case that peft cannot make, or does not reproduce itself, is left out, and said.
"""

import argparse
import copy
import os
import random
import shutil
import sys
import tempfile
import warnings

os.environ["HF_HUB_OFFLINE"] = "1"
warnings.filterwarnings("ignore")
import peft
import torch
import transformers
from safetensors.torch import save_file

import models

transformers.logging.set_verbosity_error()
transformers.utils.logging.disable_progress_bar()


class Settings:
    """What a case may ask for: the names of the model's modules, and numbers that depend on the seed."""

    def __init__(self, model, r):
        self.f, self.r = models.module_names(model), r
        self.t5 = model.config.is_encoder_decoder
        self.task = "SEQ_2_SEQ_LM" if self.t5 else "CAUSAL_LM"
        layers = self.f["layers"]
        self.first = rf".*\b{layers}\.0\..*"
        self.second = rf".*{layers}\.1\..*"

    def lora(self, **more):
        d = dict(
            r=self.r.randint(1, 7 if models.WIDTH == 48 else 2),
            lora_alpha=self.r.choice([3, 7, 16, 2.5]),
            target_modules=list(self.f["attention"]),
        )
        return peft.LoraConfig(task_type=self.task, **(d | more))

    def all(self, **more):
        return self.lora(target_modules="all-linear", **more)

    def prompt(self, kind, **more):
        return kind(task_type=self.task, num_virtual_tokens=self.r.randint(2, 6), **more)


LORA = {
    "lora": lambda s: s.lora(),
    "all_linear": lambda s: s.all(),
    "rslora": lambda s: s.lora(use_rslora=True),
    "dora": lambda s: s.lora(use_dora=True),
    "dora_rslora_all": lambda s: s.all(use_dora=True, use_rslora=True),
    "lora_bias": lambda s: s.lora(lora_bias=True),
    "bias_all": lambda s: s.lora(bias="all"),
    "bias_lora_only": lambda s: s.lora(bias="lora_only"),
    "bias_all_linear": lambda s: s.all(bias="lora_only"),
    "dora_bias_all": lambda s: s.all(use_dora=True, bias="all"),
    "rank_pattern_names": lambda s: s.lora(
        rank_pattern={s.f["attention"][0]: 6}, alpha_pattern={s.f["attention"][-1]: 20}
    ),
    "rank_pattern_regex": lambda s: s.all(rank_pattern={s.second: 2}, alpha_pattern={s.first: 30}),
    "rank_pattern_rslora": lambda s: s.all(use_rslora=True, rank_pattern={s.f["out"]: 5}),
    "target_regex": lambda s: s.lora(
        target_modules=rf".*{s.f['layers']}\.[01]\..*({'|'.join(s.f['attention'] + [s.f['up']])})"
    ),
    "target_path": lambda s: s.lora(
        target_modules=rf"(?!.*\.0\.).*\.({'|'.join(n.split('.')[-1] for n in s.f['linear'])})"
    ),
    "exclude": lambda s: s.all(exclude_modules=[s.f["up"]]),
    "exclude_regex": lambda s: s.all(exclude_modules=s.first),
    "layers": lambda s: s.lora(layers_to_transform=[1], layers_pattern=s.f["layers"]),
    "layers_number": lambda s: s.lora(layers_to_transform=0, layers_pattern=[s.f["layers"]]),
    "lora_embedding": lambda s: s.lora(target_modules=s.f["attention"] + [s.f["embedding"]]),
    "lora_head": lambda s: s.lora(target_modules=s.f["attention"] + [s.f["head"]]),
    "lora_embedding_head": lambda s: s.lora(
        target_modules=s.f["attention"] + [s.f["embedding"], s.f["head"]]
    ),
    "save_head": lambda s: s.lora(modules_to_save=[s.f["head"]]),
    "save_embedding": lambda s: s.lora(modules_to_save=[s.f["embedding"]]),
    "save_both": lambda s: s.lora(modules_to_save=[s.f["embedding"], s.f["head"]]),
    "save_norm": lambda s: s.lora(modules_to_save=[s.f["norm"]]),
    "save_linear": lambda s: s.lora(modules_to_save=[s.f["up"]]),
    "tokens": lambda s: s.lora(trainable_token_indices=sorted(s.r.sample(range(3, 60), 3))),
    "tokens_named": lambda s: s.lora(trainable_token_indices={s.f["embedding"]: [5, 9]}),
    "init_gaussian": lambda s: s.lora(init_lora_weights="gaussian"),
    "init_orthogonal": lambda s: s.lora(init_lora_weights="orthogonal", r=4),
    "init_pissa": lambda s: s.lora(init_lora_weights="pissa"),
    "init_pissa_niter": lambda s: s.lora(init_lora_weights="pissa_niter_4"),
    "init_pissa_rslora": lambda s: s.lora(init_lora_weights="pissa", use_rslora=True),
    "init_olora": lambda s: s.lora(init_lora_weights="olora"),
    "init_eva": lambda s: s.lora(init_lora_weights="eva", eva_config=peft.EvaConfig()),
    "init_lora_ga": lambda s: s.lora(init_lora_weights="lora_ga", lora_ga_config=peft.LoraGAConfig()),
    "init_mica": lambda s: s.lora(init_lora_weights="mica"),
    "replication": lambda s: s.lora(layer_replication=[[0, 2], [1, 2]]),
    "parameters": lambda s: peft.LoraConfig(
        task_type=s.task, r=3, target_modules=[], target_parameters=["mlp.up_proj.weight"]
    ),
    "alora": lambda s: s.lora(alora_invocation_tokens=[5, 6]),
}
OTHERS = {
    "ia3": lambda s: peft.IA3Config(task_type=s.task),
    "ia3_named": lambda s: peft.IA3Config(
        task_type=s.task, target_modules=list(s.f["linear"]), feedforward_modules=[s.f["out"], s.f["up"]]
    ),
    "ia3_regex": lambda s: peft.IA3Config(
        task_type=s.task,
        target_modules=rf".*\.({s.f['attention'][-1]}|{s.f['out'].split('.')[-1]})",
        feedforward_modules=rf".*\.1\..*{s.f['out'].split('.')[-1]}",
    ),
    "ia3_save_head": lambda s: peft.IA3Config(task_type=s.task, modules_to_save=[s.f["head"]]),
    "prompt": lambda s: s.prompt(peft.PromptTuningConfig),
    "prompt_sampled": lambda s: s.prompt(peft.PromptTuningConfig, prompt_tuning_init="SAMPLE_VOCAB"),
    "prefix": lambda s: s.prompt(peft.PrefixTuningConfig),
    "prefix_projection": lambda s: s.prompt(
        peft.PrefixTuningConfig, prefix_projection=True, encoder_hidden_size=20
    ),
    "ptuning": lambda s: s.prompt(peft.PromptEncoderConfig, encoder_hidden_size=24),
    "ptuning_lstm": lambda s: s.prompt(
        peft.PromptEncoderConfig, encoder_hidden_size=24, encoder_reparameterization_type="LSTM"
    ),
    # what peft.h does not have has to be refused by its name
    "ln_tuning": lambda s: peft.LNTuningConfig(task_type=s.task, target_modules=[s.f["norm"]]),
    "trainable_tokens": lambda s: peft.TrainableTokensConfig(
        task_type=s.task, token_indices=[4, 8], target_modules=[s.f["embedding"]]
    ),
    "adalora": lambda s: peft.AdaLoraConfig(
        task_type=s.task, total_step=10, target_modules=list(s.f["attention"])
    ),
    "loha": lambda s: peft.LoHaConfig(task_type=s.task, target_modules=list(s.f["attention"])),
    "lokr": lambda s: peft.LoKrConfig(task_type=s.task, target_modules=list(s.f["attention"])),
    "vera": lambda s: peft.VeraConfig(task_type=s.task, r=4, target_modules=list(s.f["attention"][:1])),
}
CASES = LORA | OTHERS


def shake(model):
    """What training would have made of it: every trained number moves."""
    with torch.no_grad():
        for key, p in model.named_parameters():
            if p.requires_grad:
                size = 0.05 if "prompt_encoder" in key or "magnitude" in key else 0.2
                p.add_(size * torch.randn_like(p) * (1 if p.dim() == 1 else 4 / p.shape[-1] ** 0.5))


def svd_in_64_bits(a, svd=torch.linalg.svd, **more):
    return tuple(x.to(a.dtype) for x in svd(a.double(), **more))


def in_64_bits(loaded, path, x):
    """The logits without the rounding of 32 bits, that of the SVD too, with which PiSSA's start is made again on loading."""
    kept, torch.linalg.svd = torch.linalg.svd, svd_in_64_bits
    try:
        return models.logits(peft.PeftModel.from_pretrained(copy.deepcopy(loaded), path).eval().double(), x)
    except RuntimeError:  # what peft itself converts to 32 bits does not go with it
        return None
    finally:
        torch.linalg.svd = kept


def make(folder, base, loaded, name, seed):
    """Returns None, or why there is no such case. `loaded`: the model in `base`."""
    path = os.path.join(folder, name)
    r = random.Random(f"{base} {name} {seed}")
    torch.manual_seed(r.randrange(1 << 30))
    model = copy.deepcopy(loaded)
    x = models.inputs(model, seed)
    try:
        made = peft.get_peft_model(model, CASES[name](Settings(model, r)))
        shake(made)
        made.eval()
        before = models.logits(made, x) if name != "alora" else None
        made.save_pretrained(path)
        again = peft.PeftModel.from_pretrained(copy.deepcopy(loaded), path).eval()
        after = models.logits(again, x)
        exact = in_64_bits(loaded, path, x)
    except Exception as e:
        shutil.rmtree(path, ignore_errors=True)
        return f"peft cannot: {type(e).__name__}: {str(e).splitlines()[0][:90] if str(e) else ''}"
    for what, other in (("itself", before), ("itself in 64 bits", exact)):
        if other is not None and not torch.allclose(other, after, rtol=0, atol=3e-5 * after.abs().max().item()):
            shutil.rmtree(path, ignore_errors=True)
            return f"peft does not reproduce {what}: off by {(other - after).abs().max().item():.1e}"
    if os.path.exists(os.path.join(path, "README.md")):
        os.remove(os.path.join(path, "README.md"))
    save_file(
        {k: v.contiguous() for k, v in dict(x, logits=after).items()},
        os.path.join(path, "expected.safetensors"),
    )
    return None


def main():
    p = argparse.ArgumentParser()
    p.add_argument("folder")
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--models", default=",".join(models.NAMES))
    p.add_argument("--cases", default=",".join(CASES))
    a = p.parse_args()
    torch.set_num_threads(1)
    made = 0
    for name in a.models.split(","):
        folder = os.path.join(a.folder, name)
        model = models.build(name, a.seed)
        base = os.path.join(folder, "base")
        model.save_pretrained(base)
        loaded = models.load(base).eval()
        for case in a.cases.split(","):
            why = make(folder, base, loaded, case, a.seed)
            made += not why
            if why:
                print(f"left out: {name}/{case}: {why}", flush=True)
    print(f"{made} adapters of peft {peft.__version__} in {a.folder}")


if __name__ == "__main__":
    main()
