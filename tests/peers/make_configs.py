#!/usr/bin/env python3
"""Random tiny models of every family, made and saved by transformers 5's own classes, with their logits.

    make_configs.py FOLDER [--all] [--random N] [--seed N]

One folder per case: config.json and model.safetensors as save_pretrained writes them, expected.safetensors (input_ids, decoder_input_ids
of encoder-decoder models, logits). `build/golden FOLDER/hf_config` compares. Without --all: the cases that the repository holds.
--random: so many models of random families and settings, half of them with keys of config.json taken out, changed or under their old
names afterwards; those that transformers does not load with all its weights are left out.
Some cases change the files afterwards, as other programs write them: old names of keys, tied weights under another name. Their logits are
those that transformers computes after loading the changed folder.
"""
import argparse
import json
import os
import random
import shutil
import warnings

os.environ["HF_HUB_OFFLINE"] = "1"
warnings.filterwarnings("ignore")
import torch
import transformers
from safetensors.torch import load_file, save_file
from transformers import (AutoModelForCausalLM, AutoModelForSeq2SeqLM, Gemma2Config, Gemma3TextConfig, GPT2Config, GPTNeoXConfig, GraniteConfig,
                          LlamaConfig, MistralConfig, MT5Config, Olmo2Config, Phi3Config, Qwen2Config, Qwen3Config, SmolLM3Config, T5Config, UMT5Config)

transformers.logging.set_verbosity(50)
transformers.utils.logging.disable_progress_bar()

VOCABULARY, LENGTH = 37, 21
LLAMA = dict(vocab_size=VOCABULARY, hidden_size=16, intermediate_size=20, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
             max_position_embeddings=64, bos_token_id=1, eos_token_id=2)
NEOX = dict(vocab_size=VOCABULARY, hidden_size=16, intermediate_size=20, num_hidden_layers=2, num_attention_heads=2, max_position_embeddings=64,
            bos_token_id=1, eos_token_id=2)
GPT2 = dict(vocab_size=VOCABULARY, n_embd=16, n_layer=2, n_head=4, n_positions=32)
T5 = dict(vocab_size=VOCABULARY, d_model=16, d_kv=4, d_ff=20, num_layers=2, num_heads=2, relative_attention_num_buckets=8,
          relative_attention_max_distance=12, decoder_start_token_id=0)


def rope(kind, **more):
    return dict(rope_parameters=dict(rope_type=kind, rope_theta=1000.0, **more))


YARN = dict(factor=4.0, original_max_position_embeddings=16)
LLAMA3 = dict(factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=16)

# name: (configuration class, settings, change of the folder afterwards); in the repository where the name has no "+"
CASES = {}


def case(name, config, base, change=None, **settings):
    CASES[name] = (config, dict(base, **settings), change)


def set_keys(**keys):
    """Writes keys of config.json; "drop" lists those to take out."""
    def change(folder):
        path = os.path.join(folder, "config.json")
        config = json.load(open(path))
        for key in keys.get("drop", []):
            config.pop(key, None)
        config.update({k: v for k, v in keys.items() if k != "drop"})
        json.dump(config, open(path, "w"), indent=1)
    return change


def rename(**names):
    """Renames tensors; __ stands for a dot. A name of None takes the tensor out."""
    def change(folder):
        path = os.path.join(folder, "model.safetensors")
        tensors = load_file(path)
        for old, new in names.items():
            tensor = tensors.pop(old.replace("__", "."))
            if new:
                tensors[new] = tensor
        save_file(tensors, path, metadata={"format": "pt"})
    return change


def llama(name, change=None, **settings):
    case("llama_" + name, LlamaConfig, LLAMA, change, **settings)


def mistral(name, change=None, **settings):
    case("mistral_" + name, MistralConfig, LLAMA, change, **settings)


def qwen2(name, change=None, **settings):
    case("qwen2_" + name, Qwen2Config, LLAMA, change, **settings)


def neox(name, change=None, **settings):
    case("neox_" + name, GPTNeoXConfig, NEOX, change, **settings)


def gpt2(name, change=None, **settings):
    case("gpt2_" + name, GPT2Config, GPT2, change, **settings)


def kin(name, config, change=None, **settings):
    case(name, config, dict(LLAMA, pad_token_id=0), change, **settings)


def t5(name, change=None, **settings):
    case("t5_" + name, T5Config, T5, change, **settings)


llama("theta", **rope("default"))
llama("linear+", **rope("linear", factor=2.5))
llama("dynamic", **rope("dynamic", factor=3.0))
llama("llama3", **rope("llama3", **LLAMA3))
llama("llama3_no_original+", **rope("llama3", **dict(LLAMA3, original_max_position_embeddings=64)))
llama("yarn", **rope("yarn", **YARN))
llama("yarn_betas+", **rope("yarn", **dict(YARN, beta_fast=8.0, beta_slow=0.5, attention_factor=1.3)))
llama("yarn_exact+", **rope("yarn", **dict(YARN, truncate=False)))
llama("yarn_mscale+", **rope("yarn", **dict(YARN, mscale=0.7, mscale_all_dim=1.2)))
llama("longrope", **rope("longrope", factor=4.0, short_factor=[1.0, 1.5], long_factor=[2.0, 3.0], original_max_position_embeddings=16))
llama("proportional+", **rope("proportional"))
llama("biases", attention_bias=True, mlp_bias=True)
llama("attention_bias+", attention_bias=True)
llama("mlp_bias+", mlp_bias=True)
llama("head_dim", head_dim=10)
llama("tied+", tie_word_embeddings=True)
llama("tied_head_only", rename(model__embed_tokens__weight="lm_head.weight"), tie_word_embeddings=True)
llama("eps+", rms_norm_eps=1e-2)
llama("gelu", hidden_act="gelu")
llama("old_keys", set_keys(drop=["rope_parameters", "dtype"], rope_theta=500.0, rope_scaling={"type": "linear", "factor": 2.0},
                           torch_dtype="float32", transformers_version="4.35.0"))
for act in ["gelu_new", "gelu_fast", "gelu_pytorch_tanh", "gelu_python", "gelu_accurate", "relu", "tanh", "swish", "quick_gelu", "mish", "sigmoid",
            "relu2", "relu6", "gelu_10"]:
    llama("act_%s+" % act, hidden_act=act)
llama("mqa+", num_key_value_heads=1)
llama("layers3+", num_hidden_layers=3, vocab_size=50)
mistral("window", sliding_window=6)
mistral("window_1+", sliding_window=1)
mistral("no_window+", sliding_window=None, head_dim=6)
mistral("window_yarn+", sliding_window=9, **rope("yarn", **YARN))
mistral("default_window+", set_keys(drop=["sliding_window", "num_key_value_heads"]), num_attention_heads=8, num_key_value_heads=8, hidden_size=32)
mistral("tied+", tie_word_embeddings=True)
qwen2("plain+")
qwen2("window_layers", use_sliding_window=True, sliding_window=5, max_window_layers=1)
qwen2("layer_types", use_sliding_window=True, sliding_window=4, num_hidden_layers=3,
      layer_types=["sliding_attention", "full_attention", "sliding_attention"])
qwen2("window_off+", use_sliding_window=False, sliding_window=4, max_window_layers=0)
qwen2("tied_yarn+", tie_word_embeddings=True, **rope("yarn", **YARN))
neox("plain+")
neox("sequential", use_parallel_residual=False, attention_bias=False)
neox("no_bias+", attention_bias=False)
neox("tied+", tie_word_embeddings=True)
neox("part+", rope_parameters=dict(rope_type="default", rope_theta=300.0, partial_rotary_factor=0.5))
neox("linear", rope_parameters=dict(rope_type="linear", factor=3.0, rope_theta=300.0, partial_rotary_factor=1.0))
neox("llama3+", rope_parameters=dict(LLAMA3, rope_type="llama3", rope_theta=300.0, partial_rotary_factor=0.5))
neox("yarn+", rope_parameters=dict(YARN, rope_type="yarn", rope_theta=300.0, partial_rotary_factor=0.75), hidden_size=32)
neox("old_keys", set_keys(drop=["rope_parameters", "attention_bias", "dtype"], rotary_pct=0.5, rotary_emb_base=400, torch_dtype="float32"))
neox("gelu_new+", hidden_act="gelu_new", layer_norm_eps=1e-2)
neox("eps+", layer_norm_eps=1e-1)
neox("odd_part+", hidden_size=26, rope_parameters=dict(rope_type="linear", factor=2.0, rope_theta=300.0, partial_rotary_factor=0.7))
kin("phi3_odd_part+", Phi3Config, hidden_size=28, rope_parameters=dict(rope_type="default", rope_theta=300.0, partial_rotary_factor=0.5))
gpt2("plain+")
gpt2("inverse_layer", scale_attn_by_inverse_layer_idx=True, reorder_and_upcast_attn=True, n_inner=24)
gpt2("unscaled", scale_attn_weights=False)
gpt2("untied+", tie_word_embeddings=False)
gpt2("tied_head_only+", rename(transformer__wte__weight="lm_head.weight"))
gpt2("gelu+", activation_function="gelu", layer_norm_epsilon=1e-2)
for act in ["relu", "silu", "tanh", "gelu_python_tanh"]:
    gpt2("act_%s+" % act, activation_function=act)
t5("v10+")
t5("v11", tie_word_embeddings=False, feed_forward_proj="gated-gelu")
t5("scaled_head", "head")
t5("unscaled_tied", tie_word_embeddings=False)
t5("decoder_layers+", num_decoder_layers=3, d_kv=6)
for act in ["gelu", "gated-silu", "gated-relu", "silu", "gated-gelu", "relu"]:
    t5("ff_%s+" % act, feed_forward_proj=act)
t5("overridden", set_keys(is_gated_act=False, dense_act_fn="tanh"), feed_forward_proj="relu")
t5("decoder_embedding_only", rename(shared__weight="decoder.embed_tokens.weight"))
t5("encoder_embedding_only+", rename(shared__weight="encoder.embed_tokens.weight"))
t5("head_only+", rename(shared__weight="lm_head.weight"))
t5("old_tied+", set_keys(drop=["scale_decoder_outputs", "tie_word_embeddings", "is_gated_act", "dense_act_fn"]))
t5("eps+", layer_norm_epsilon=1e-2)
case("mt5", MT5Config, T5, None)
case("mt5_head+", MT5Config, T5, "head")
case("umt5", UMT5Config, T5, None, num_decoder_layers=3)
case("umt5_unscaled+", UMT5Config, T5, None, tie_word_embeddings=False)


YARN_ROPE, LINEAR_ROPE = rope("yarn", **YARN), rope("linear", factor=2.5)
MIXED = dict(num_hidden_layers=4, layer_types=["sliding_attention", "full_attention", "full_attention", "sliding_attention"])
kin("qwen3+", Qwen3Config, head_dim=6)
kin("qwen3_bias_yarn+", Qwen3Config, attention_bias=True, head_dim=4, tie_word_embeddings=True, **YARN_ROPE)
kin("qwen3_window+", Qwen3Config, use_sliding_window=True, sliding_window=4, max_window_layers=1, head_dim=4)
kin("qwen3_layers+", Qwen3Config, use_sliding_window=True, sliding_window=4, **MIXED)
kin("qwen3_default_head+", Qwen3Config, set_keys(drop=["head_dim"]), head_dim=128)
kin("smollm3+", SmolLM3Config, num_hidden_layers=4)
kin("smollm3_rotated+", SmolLM3Config, num_hidden_layers=3, no_rope_layers=[0, 1, 0], attention_bias=True, mlp_bias=True, tie_word_embeddings=False)
kin("smollm3_interval_window+", SmolLM3Config, num_hidden_layers=4, no_rope_layer_interval=2, use_sliding_window=True, sliding_window=5)
kin("smollm3_defaults+", SmolLM3Config, set_keys(drop=["rope_parameters", "no_rope_layers", "no_rope_layer_interval", "layer_types", "tie_word_embeddings"]),
    num_hidden_layers=5)
kin("olmo2+", Olmo2Config)
kin("olmo2_bias_yarn+", Olmo2Config, attention_bias=True, tie_word_embeddings=True, **YARN_ROPE)
kin("olmo2_defaults+", Olmo2Config, set_keys(drop=["rms_norm_eps", "rope_parameters", "hidden_act"]))
kin("phi3+", Phi3Config)
kin("phi3_partial_window+", Phi3Config, sliding_window=5, rope_parameters=dict(rope_type="default", rope_theta=300.0, partial_rotary_factor=0.5))
kin("phi3_longrope+", Phi3Config, original_max_position_embeddings=16,
    **rope("longrope", short_factor=[1.0, 1.5], long_factor=[2.0, 3.0], original_max_position_embeddings=16))
kin("phi3_old_keys+", Phi3Config, set_keys(drop=["rope_parameters", "dtype"], rope_theta=500.0, partial_rotary_factor=0.5, rope_scaling=None),
    rope_parameters=dict(rope_type="default", rope_theta=500.0, partial_rotary_factor=0.5))
kin("granite+", GraniteConfig, embedding_multiplier=12.0, residual_multiplier=0.22, logits_scaling=8.0, attention_multiplier=0.1)
kin("granite_tied_bias+", GraniteConfig, attention_bias=True, mlp_bias=True, tie_word_embeddings=True, **LINEAR_ROPE)
kin("gemma2+", Gemma2Config, head_dim=6, sliding_window=4, num_hidden_layers=3)
kin("gemma2_caps+", Gemma2Config, head_dim=4, query_pre_attn_scalar=7, attn_logit_softcapping=1.5, final_logit_softcapping=2.0, attention_bias=True)
kin("gemma2_uncapped+", Gemma2Config, head_dim=4, attn_logit_softcapping=None, final_logit_softcapping=None, tie_word_embeddings=False)
kin("gemma2_layers+", Gemma2Config, head_dim=4, sliding_window=4, **MIXED)
kin("gemma2_defaults+", Gemma2Config, set_keys(drop=["layer_types", "query_pre_attn_scalar", "attn_logit_softcapping", "final_logit_softcapping",
                                                     "hidden_activation", "rms_norm_eps", "rope_parameters", "tie_word_embeddings"]), head_dim=4, sliding_window=4)
kin("gemma3+", Gemma3TextConfig, head_dim=6, sliding_window=4, num_hidden_layers=7)
kin("gemma3_layers_linear+", Gemma3TextConfig, head_dim=4, sliding_window=4, query_pre_attn_scalar=7, rope_parameters=dict(
    full_attention=dict(rope_type="linear", factor=8.0, rope_theta=1e6), sliding_attention=dict(rope_type="default", rope_theta=500.0)), **MIXED)
kin("gemma3_old_keys+", Gemma3TextConfig, set_keys(drop=["rope_parameters", "layer_types"], rope_theta=1e6, rope_local_base_freq=500.0, sliding_window_pattern=2,
                                                   rope_scaling={"rope_type": "linear", "factor": 8.0}), head_dim=4, sliding_window=4, num_hidden_layers=5)

# ---- random settings

ACTS = ["gelu", "gelu_new", "gelu_fast", "gelu_pytorch_tanh", "relu", "silu", "tanh", "gelu_python", "quick_gelu", "mish"]
KINDS = ("default", "linear", "dynamic", "yarn", "llama3", "longrope")
# what a key is set to afterwards; keys that the families know or that older files have
POOL = [None, False, True, 0, 1, 2, 4, 0.5, 1.0, 2.0, -1, "relu", "gelu", "silu", [0, 1, 1, 0], ["full_attention", "sliding_attention"],
        {"type": "linear", "factor": 2.0}, {"rope_type": "yarn", "factor": 2.0, "original_max_position_embeddings": 16}]
KEYS = """rope_theta rope_scaling partial_rotary_factor rotary_pct rotary_emb_base head_dim attention_bias mlp_bias sliding_window use_sliding_window
max_window_layers layer_types tie_word_embeddings hidden_act hidden_activation rms_norm_eps no_rope_layers no_rope_layer_interval attention_multiplier
embedding_multiplier residual_multiplier logits_scaling query_pre_attn_scalar attn_logit_softcapping final_logit_softcapping sliding_window_pattern
rope_local_base_freq scale_decoder_outputs is_gated_act dense_act_fn feed_forward_proj scale_attn_weights scale_attn_by_inverse_layer_idx
activation_function n_inner num_decoder_layers use_bidirectional_attention max_position_embeddings num_key_value_heads use_parallel_residual
layer_norm_eps layer_norm_epsilon clip_qkv use_qk_norm""".split()


def random_rope(r, half, kinds=KINDS, part=None):
    kind = r.choice(kinds)
    d = dict(rope_type=kind, rope_theta=r.choice([10000.0, 500.0, 1e6]))
    context = dict(original_max_position_embeddings=r.choice([8, 16, 64]))
    some = lambda **choices: {k: r.choice(v) for k, v in choices.items() if r.random() < 0.35}
    if kind != "default":
        d["factor"] = r.choice([1.0, 2.5, 4.0])
    if kind == "yarn":
        d.update(context if r.random() < 0.7 else {}, **some(beta_fast=[8.0, 2], beta_slow=[0.5, 1], attention_factor=[1.3, None],
                                                             mscale=[0.7], mscale_all_dim=[1.2], truncate=[True, False]))
    if kind == "llama3":
        d.update(context, low_freq_factor=r.choice([1.0, 0.5]), high_freq_factor=r.choice([4.0, 2.0]))
    if kind == "longrope":
        d.update(context, short_factor=[1.5] * half, long_factor=[3.0] * half)
    return d if part is None else dict(d, partial_rotary_factor=part)


def random_settings(r):
    config = r.choice([LlamaConfig, MistralConfig, Qwen2Config, Qwen3Config, SmolLM3Config, Olmo2Config, Phi3Config, GraniteConfig, Gemma2Config,
                       Gemma3TextConfig, GPT2Config, GPTNeoXConfig, T5Config, MT5Config, UMT5Config])
    flip, heads, size, layers = (lambda p=0.3: r.random() < p), r.choice([2, 4]), r.choice([4, 8]), r.choice([2, 3, 4])
    act = r.choice(ACTS) if flip() else None
    if config is GPT2Config:
        d = dict(GPT2, n_embd=heads * size, n_head=heads, n_inner=r.choice([None, 24]), layer_norm_epsilon=r.choice([1e-5, 1e-2]), scale_attn_weights=flip(0.7),
                 scale_attn_by_inverse_layer_idx=flip(), reorder_and_upcast_attn=flip(), tie_word_embeddings=flip(0.6), activation_function=act or "gelu_new")
    elif config is GPTNeoXConfig:
        part = r.choice([0.5, 1.0])
        d = dict(NEOX, hidden_size=heads * size, num_attention_heads=heads, max_position_embeddings=r.choice([64, 16]), use_parallel_residual=flip(0.5),
                 attention_bias=flip(0.6), tie_word_embeddings=flip(), hidden_act=act or "gelu", layer_norm_eps=r.choice([1e-5, 1e-2]),
                 rope_parameters=random_rope(r, int(size * part) // 2, KINDS[:5], part))
    elif config in (T5Config, MT5Config, UMT5Config):
        d = dict(T5, d_model=r.choice([16, 12]), num_heads=r.choice([2, 3]), d_kv=r.choice([4, 6]), num_decoder_layers=r.choice([None, 2, 3]),
                 relative_attention_num_buckets=r.choice([8, 6]), layer_norm_epsilon=r.choice([1e-6, 1e-2]), tie_word_embeddings=flip(0.5),
                 feed_forward_proj=r.choice(["relu", "gated-gelu", "gated-silu", "gelu", "gated-relu", "gelu_new"]), pad_token_id=0, eos_token_id=1)
    else:
        d = dict(LLAMA, hidden_size=heads * size, num_attention_heads=heads, num_key_value_heads=r.choice([k for k in (1, 2, 4) if k <= heads]),
                 num_hidden_layers=layers, max_position_embeddings=r.choice([64, 16, 24]), rms_norm_eps=r.choice([1e-6, 1e-5, 1e-2]),
                 tie_word_embeddings=flip(0.5), pad_token_id=0, rope_parameters=random_rope(r, size // 2))
        kinds = [r.choice(["full_attention", "sliding_attention"]) for _ in range(layers)]
        gemma = config in (Gemma2Config, Gemma3TextConfig)
        d["hidden_activation" if gemma else "hidden_act"] = act or ("gelu_pytorch_tanh" if gemma else "silu")
        if config in (LlamaConfig, Qwen3Config, SmolLM3Config, Olmo2Config, GraniteConfig, Gemma2Config, Gemma3TextConfig):
            d["attention_bias"] = flip()
        if config in (LlamaConfig, SmolLM3Config, GraniteConfig):
            d["mlp_bias"] = flip()
        if config in (LlamaConfig, MistralConfig, Qwen3Config) or gemma:
            d["head_dim"] = r.choice([size, 6])
            d["rope_parameters"] = random_rope(r, d["head_dim"] // 2)
        if config in (MistralConfig, Phi3Config):
            d["sliding_window"] = r.choice([None, 3, 6])
        if config in (Qwen2Config, Qwen3Config, SmolLM3Config):
            d.update(use_sliding_window=flip(0.5), sliding_window=r.choice([3, 5]), max_window_layers=r.choice([0, 1, 28]))
        if (config in (Qwen2Config, Qwen3Config, SmolLM3Config) or gemma) and flip(0.4):
            d["layer_types"] = kinds
        if config is SmolLM3Config:
            d.update(no_rope_layer_interval=r.choice([2, 3, 4]), no_rope_layers=[r.choice([0, 1]) for _ in range(layers)] if flip() else None)
        if config is Phi3Config:
            part = r.choice([0.5, 1.0])
            d.update(original_max_position_embeddings=r.choice([16, 4096]), rope_parameters=random_rope(r, int(size * part) // 2, ("default", "longrope"), part))
        if config is GraniteConfig:
            d.update(embedding_multiplier=r.choice([1.0, 12.0]), residual_multiplier=r.choice([1.0, 0.22]), logits_scaling=r.choice([1.0, 8.0]),
                     attention_multiplier=r.choice([1.0, 0.1]))
        if gemma:
            d.update(query_pre_attn_scalar=r.choice([size, 7, 256]), sliding_window=r.choice([3, 5, 4096]), final_logit_softcapping=r.choice([None, 2.0]))
        if config is Gemma2Config:
            d["attn_logit_softcapping"] = r.choice([None, 1.5])
        if config is Gemma3TextConfig:
            d["rope_parameters"] = dict(full_attention=d["rope_parameters"], sliding_attention=random_rope(r, d["head_dim"] // 2, ("default", "default", "linear")))
    return config, d


def random_change(r):
    """Of config.json: keys out, keys changed, rope_parameters under its old names."""
    def change(folder):
        path = os.path.join(folder, "config.json")
        c = json.load(open(path))
        for _ in range(r.choice([1, 1, 2, 3])):
            keys, ropes = [k for k in c if k not in ("architectures", "model_type", "vocab_size")], c.get("rope_parameters") or {}
            flat = ropes and "full_attention" not in ropes
            if r.random() < 0.5:
                c.pop(r.choice(keys))
            elif flat and r.random() < 0.4:
                c["rope_theta"] = ropes.pop("rope_theta", 10000.0)
                kind = ropes.pop("rope_type", "default")
                if "partial_rotary_factor" in ropes:
                    c["partial_rotary_factor"] = ropes.pop("partial_rotary_factor")
                c["rope_scaling"] = None if kind == "default" else dict(c.pop("rope_parameters"), **{r.choice(["type", "rope_type"]): kind})
                c.pop("rope_parameters", None)
            elif ropes and r.random() < 0.5:
                part = ropes if flat else ropes[r.choice(list(ropes))]
                part[r.choice(list(part) + ["factor", "rope_theta", "partial_rotary_factor", "mscale"])] = r.choice([None, 1.0, 2.0, 0.5, 1, True])
            else:
                c[r.choice(KEYS)] = r.choice(POOL)
        json.dump(c, open(path, "w"), indent=1)
    return change


def randomize(model):
    for name, p in model.named_parameters():
        norm = "norm" in name or ".ln_" in name
        one = norm and name.endswith("weight") and not model.config.model_type.startswith("gemma")
        with torch.no_grad():
            p.copy_(torch.randn(p.shape) * (0.2 if norm else 0.3) + (1.0 if one else 0.0))


def auto(config):
    return AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM


def make(folder, seed, config, settings, change):
    torch.manual_seed(seed)
    config = config(**settings)
    model = auto(config).from_config(config).eval()
    randomize(model)
    model.save_pretrained(folder)
    if change == "head":  # a head of its own in a model that transformers 5 calls tied
        path = os.path.join(folder, "model.safetensors")
        tensors = load_file(path)
        tensors["lm_head.weight"] = torch.randn_like(tensors["shared.weight"])
        save_file(tensors, path, metadata={"format": "pt"})
    elif change:
        change(folder)
    model, info = auto(config).from_pretrained(folder, dtype=torch.float32, output_loading_info=True)
    if info["missing_keys"] or info["unexpected_keys"] or info["mismatched_keys"]:
        raise ValueError("the file's weights are not the model's")
    size = model.config.vocab_size
    out = {"input_ids": torch.randint(3, size, (1, LENGTH))}
    if config.is_encoder_decoder:
        out["decoder_input_ids"] = torch.cat([torch.zeros(1, 1, dtype=torch.long), torch.randint(3, size, (1, 8))], 1)
    with torch.no_grad():
        out["logits"] = model.eval()(**out, use_cache=False).logits.contiguous()
    if not out["logits"].isfinite().all():
        raise ValueError("its logits are no numbers")
    save_file(out, os.path.join(folder, "expected.safetensors"))
    extra = os.path.join(folder, "generation_config.json")
    if os.path.exists(extra):
        os.remove(extra)


def main():
    p = argparse.ArgumentParser()
    p.add_argument("folder")
    p.add_argument("--all", action="store_true")
    p.add_argument("--random", type=int, default=0)
    p.add_argument("--seed", type=int, default=1)
    a = p.parse_args()
    torch.set_num_threads(1)
    root, made = os.path.join(a.folder, "hf_config"), 0
    for number, name in enumerate(CASES):
        if a.all or not name.endswith("+"):
            make(os.path.join(root, name.rstrip("+")), 1000 + number, *CASES[name])
            made += 1
    for i in range(a.random):
        r = random.Random(f"{a.seed} {i}")
        config, settings = random_settings(r)
        folder = os.path.join(root, f"random_{i}_{config.model_type}")
        try:
            make(folder, i, config, settings, random_change(r) if r.random() < 0.5 else None)
            made += 1
        except Exception:
            shutil.rmtree(folder, ignore_errors=True)
    print(f"{made} models of transformers {transformers.__version__} in {root}")


if __name__ == "__main__":
    main()
