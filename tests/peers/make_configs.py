#!/usr/bin/env python3
"""Random tiny models of every family, made and saved by transformers 5's own classes, with their logits.

    make_configs.py FOLDER [--all]

One folder per case: config.json and model.safetensors as save_pretrained writes them, expected.safetensors (input_ids, decoder_input_ids
of encoder-decoder models, logits). `build/golden FOLDER/hf_config` compares. Without --all: the cases that the repository holds.
Some cases change the files afterwards, as other programs write them: old names of keys, tied weights under another name. Their logits are
those that transformers computes after loading the changed folder.
"""
import json
import os
import sys

os.environ["HF_HUB_OFFLINE"] = "1"
import torch
from safetensors.torch import load_file, save_file
from transformers import (AutoModelForCausalLM, AutoModelForSeq2SeqLM, GPT2Config, GPT2LMHeadModel, GPTNeoXConfig, GPTNeoXForCausalLM,
                          LlamaConfig, LlamaForCausalLM, MistralConfig, MistralForCausalLM, MT5Config, MT5ForConditionalGeneration,
                          Qwen2Config, Qwen2ForCausalLM, T5Config, T5ForConditionalGeneration, UMT5Config, UMT5ForConditionalGeneration)

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

# name: (class, configuration class, base settings, settings, change of the folder afterwards); in the repository where the name has no "+"
CASES = {}


def case(name, model, config, base, change=None, **settings):
    CASES[name] = (model, config, dict(base, **settings), change)


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
    case("llama_" + name, LlamaForCausalLM, LlamaConfig, LLAMA, change, **settings)


def mistral(name, change=None, **settings):
    case("mistral_" + name, MistralForCausalLM, MistralConfig, LLAMA, change, **settings)


def qwen2(name, change=None, **settings):
    case("qwen2_" + name, Qwen2ForCausalLM, Qwen2Config, LLAMA, change, **settings)


def neox(name, change=None, **settings):
    case("neox_" + name, GPTNeoXForCausalLM, GPTNeoXConfig, NEOX, change, **settings)


def gpt2(name, change=None, **settings):
    case("gpt2_" + name, GPT2LMHeadModel, GPT2Config, GPT2, change, **settings)


def t5(name, change=None, **settings):
    case("t5_" + name, T5ForConditionalGeneration, T5Config, T5, change, **settings)


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
case("mt5", MT5ForConditionalGeneration, MT5Config, T5, None)
case("mt5_head+", MT5ForConditionalGeneration, MT5Config, T5, "head")
case("umt5", UMT5ForConditionalGeneration, UMT5Config, T5, None, num_decoder_layers=3)
case("umt5_unscaled+", UMT5ForConditionalGeneration, UMT5Config, T5, None, tie_word_embeddings=False)


def randomize(model):
    for name, p in model.named_parameters():
        norm = "norm" in name or ".ln_" in name
        with torch.no_grad():
            p.copy_(torch.randn(p.shape) * (0.2 if norm else 0.3) + (1.0 if norm and name.endswith("weight") else 0.0))


def make(root, number, name):
    model_class, config_class, settings, change = CASES[name]
    torch.manual_seed(1000 + number)
    folder = os.path.join(root, "hf_config", name.rstrip("+"))
    model = model_class(config_class(**settings)).eval()
    randomize(model)
    model.save_pretrained(folder)
    if change == "head":  # a head of its own in a model that transformers 5 calls tied
        path = os.path.join(folder, "model.safetensors")
        tensors = load_file(path)
        tensors["lm_head.weight"] = torch.randn_like(tensors["shared.weight"])
        save_file(tensors, path, metadata={"format": "pt"})
    elif change:
        change(folder)
    seq2seq = model.config.is_encoder_decoder
    model = (AutoModelForSeq2SeqLM if seq2seq else AutoModelForCausalLM).from_pretrained(folder, dtype=torch.float32).eval()
    size = model.config.vocab_size
    out = {"input_ids": torch.randint(3, size, (1, LENGTH))}
    if seq2seq:
        out["decoder_input_ids"] = torch.cat([torch.zeros(1, 1, dtype=torch.long), torch.randint(3, size, (1, 8))], 1)
    with torch.no_grad():
        out["logits"] = model(**out, use_cache=False).logits.contiguous()
    save_file(out, os.path.join(folder, "expected.safetensors"))
    for extra in ["generation_config.json"]:
        if os.path.exists(os.path.join(folder, extra)):
            os.remove(os.path.join(folder, extra))


def main():
    root, everything = sys.argv[1], "--all" in sys.argv
    for number, name in enumerate(CASES):
        if everything or not name.endswith("+"):
            make(root, number, name)


main()
