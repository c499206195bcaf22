"""Small random models as transformers saves them, for build/golden.

    make_models.py FOLDER [--seed N] [--models a,b]

Writes FOLDER/<model>.<how>/: config.json and weights as save_pretrained has them, and expected.safetensors with tokens and the logits
that transformers computes in f32 from that folder. How: f32, f16, bf16, sharded, and what bitsandbytes makes of it in four bits.
"""

import argparse
import os
import warnings

os.environ["HF_HUB_OFFLINE"] = "1"
warnings.filterwarnings("ignore")
import torch
import transformers
from safetensors.torch import save_file

import models

transformers.logging.set_verbosity_error()
transformers.utils.logging.disable_progress_bar()


def loader(config):
    return (
        transformers.AutoModelForSeq2SeqLM if config.is_encoder_decoder else transformers.AutoModelForCausalLM
    )


def four_bits(kind, double):
    return transformers.BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type=kind,
        bnb_4bit_use_double_quant=double,
        bnb_4bit_compute_dtype=torch.float32,
    )


PLAIN = {"f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16}
QUANTIZED = {
    "nf4": four_bits("nf4", False),
    "nf4_double": four_bits("nf4", True),
    "fp4": four_bits("fp4", False),
}


def expect(folder, seed):
    model = models.load(folder)
    x = models.inputs(model, seed)
    y = models.logits(model, x)
    save_file(
        {k: v.contiguous() for k, v in dict(x, logits=y).items()},
        os.path.join(folder, "expected.safetensors"),
    )


def make(folder, name, seed):
    model = models.build(name, seed)
    base = os.path.join(folder, f"{name}.f32")
    for how, dtype in PLAIN.items():
        path = os.path.join(folder, f"{name}.{how}")
        model.to(dtype).save_pretrained(path)
        expect(path, seed)
        model = models.build(name, seed)
    path = os.path.join(folder, f"{name}.sharded")
    model.save_pretrained(path, max_shard_size="60KB")
    expect(path, seed)
    for how, config in QUANTIZED.items():
        path = os.path.join(folder, f"{name}.{how}")
        loader(model.config).from_pretrained(
            base, dtype=torch.float32, quantization_config=config
        ).save_pretrained(path)
        expect(path, seed)
    return len(PLAIN) + 1 + len(QUANTIZED)


def main():
    p = argparse.ArgumentParser()
    p.add_argument("folder")
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--models", default=",".join(models.NAMES))
    a = p.parse_args()
    torch.set_num_threads(1)
    made = sum(make(a.folder, name, a.seed) for name in a.models.split(","))
    print(f"{made} models of transformers {transformers.__version__} in {a.folder}")


if __name__ == "__main__":
    main()
