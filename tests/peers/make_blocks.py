"""Small Llamas in GGUF, in every block format that peft.h reads, for build/golden.

    make_blocks.py FOLDER [--seed N]

Writes FOLDER/<format>/model.gguf, whose matrices are random blocks, and expected.safetensors with tokens and the logits that
transformers computes in f32 from that file. Where cyllama is installed (llama.cpp), FOLDER/<mixture>_llama.cpp/, too: a model of normal
weights as llama.cpp's own quantizer mixes formats.
"""

import argparse
import os
import warnings

os.environ["HF_HUB_OFFLINE"] = "1"
warnings.filterwarnings("ignore")
import gguf
import numpy as np
import torch
import transformers
from safetensors.torch import save_file

transformers.logging.set_verbosity_error()
transformers.utils.logging.disable_progress_bar()

WIDTH, WIDE, LAYERS, HEADS, KV_HEADS, VOCABULARY = 256, 512, 2, 4, 2, 160

# where the halves are that scale a block, and how large the codes get that they multiply
FORMATS = dict(Q4_0=([0], 8), Q4_1=([0, 2], 15), Q5_0=([0], 16), Q5_1=([0, 2], 31), Q8_0=([0], 128), Q2_K=([80, 82], 45), Q3_K=([108], 128),
               Q4_K=([0, 2], 945), Q5_K=([0, 2], 1953), Q6_K=([208], 4096), IQ4_NL=([0], 127), IQ3_S=([0], 465), IQ4_XS=([0], 4064),
               MXFP4=([], 12))
# llama.cpp's numbers of mixtures
MIXTURES = dict(Q2_K=10, Q3_K_S=11, Q3_K_M=12, Q3_K_L=13, Q4_K_M=15, Q5_K_M=17, Q6_K=18, IQ4_NL=25, IQ3_S=26, IQ3_M=27, IQ4_XS=30)


def blocks(rng, kind, rows, cols):
    """Random blocks [rows, bytes of a row], of values up to about 0.1"""
    halves, largest = FORMATS[kind]
    size, width = gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType[kind]]
    b = rng.integers(0, 256, (rows * cols // size, width), dtype=np.uint8)
    for at in halves:
        d = (rng.choice([-1, 1], len(b)) * rng.uniform(0.05, 0.1, len(b)) / largest).astype(np.float16)
        b[:, at : at + 2] = d.view(np.uint8).reshape(-1, 2)
    if kind == "MXFP4":
        b[:, 0] = rng.integers(119, 123, len(b))
    return b.reshape(rows, -1)


def write(path, kind, rng):
    """kind: None for normal weights in F32"""
    w = gguf.GGUFWriter(path, "llama")
    w.add_block_count(LAYERS), w.add_context_length(64), w.add_embedding_length(WIDTH), w.add_feed_forward_length(WIDE)
    w.add_head_count(HEADS), w.add_head_count_kv(KV_HEADS), w.add_layer_norm_rms_eps(1e-5), w.add_vocab_size(VOCABULARY)
    w.add_rope_dimension_count(WIDTH // HEADS), w.add_rope_freq_base(10000.0), w.add_tokenizer_model("none")

    def matrix(name, rows, cols):
        if kind:
            w.add_tensor(name, blocks(rng, kind, rows, cols), raw_dtype=gguf.GGMLQuantizationType[kind])
        else:
            w.add_tensor(name, (rng.standard_normal((rows, cols)) * 0.05).astype(np.float32))

    def norm(name):
        w.add_tensor(name, rng.uniform(0.5, 1.5, WIDTH).astype(np.float32))

    kv = WIDTH // HEADS * KV_HEADS
    matrix("token_embd.weight", VOCABULARY, WIDTH), matrix("output.weight", VOCABULARY, WIDTH), norm("output_norm.weight")
    for i in range(LAYERS):
        norm(f"blk.{i}.attn_norm.weight"), norm(f"blk.{i}.ffn_norm.weight")
        for part, rows, cols in (("attn_q", WIDTH, WIDTH), ("attn_k", kv, WIDTH), ("attn_v", kv, WIDTH), ("attn_output", WIDTH, WIDTH),
                                 ("ffn_gate", WIDE, WIDTH), ("ffn_up", WIDE, WIDTH), ("ffn_down", WIDTH, WIDE)):
            matrix(f"blk.{i}.{part}.weight", rows, cols)
    w.write_header_to_file(), w.write_kv_data_to_file(), w.write_tensors_to_file()
    w.close()


def expect(folder, seed):
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, gguf_file="model.gguf", dtype=torch.float32).eval()
    ids = torch.randint(3, VOCABULARY, (1, 11), generator=torch.Generator().manual_seed(seed))
    with torch.no_grad():
        y = model(input_ids=ids).logits[0].float().contiguous()
    save_file(dict(input_ids=ids.to(torch.int32), logits=y), os.path.join(folder, "expected.safetensors"))


def main():
    p = argparse.ArgumentParser()
    p.add_argument("folder")
    p.add_argument("--seed", type=int, default=1)
    a = p.parse_args()
    torch.set_num_threads(1)
    rng = np.random.default_rng(a.seed)
    made = 0

    def case(name):
        nonlocal made
        folder = os.path.join(a.folder, name)
        os.makedirs(folder, exist_ok=True)
        made += 1
        return folder, os.path.join(folder, "model.gguf")

    for kind in FORMATS:
        folder, path = case(kind)
        write(path, kind, rng)
        expect(folder, a.seed)
    try:
        from cyllama.llama import llama_cpp as cpp
    except ImportError:
        cpp = None
    if cpp:
        cpp.disable_logging()
        plain = os.path.join(a.folder, "plain.gguf")
        write(plain, None, rng)
        for name, number in MIXTURES.items():
            folder, path = case(name + "_llama.cpp")
            settings = cpp.LlamaModelQuantizeParams()
            settings.ftype, settings.nthread = number, 1
            cpp.model_quantize(plain, path, settings)
            types = sorted({t.tensor_type.name for t in gguf.GGUFReader(path).tensors})
            print(name, "of", *types)
            expect(folder, a.seed)
    print(f"{made} models in GGUF in {a.folder}")


if __name__ == "__main__":
    main()
