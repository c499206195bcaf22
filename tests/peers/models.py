"""Small random models of transformers' own classes, for the scripts beside this one.

build(name, seed) -> a model whose sizes and weights depend on the seed; NAMES lists the names.
"""

import random

import bitsandbytes
import torch
import transformers as tf

# peft 0.21 takes a method for generation from the model, which the T5 of transformers 5.24 does not have any more
if not hasattr(tf.T5ForConditionalGeneration, "_prepare_encoder_decoder_kwargs_for_generation"):
    tf.T5ForConditionalGeneration._prepare_encoder_decoder_kwargs_for_generation = None

VOCABULARY, WIDTH = 131, 48  # no multiple of anything


def small():
    """Models of a quarter of the size, for files that are kept."""
    global VOCABULARY, WIDTH
    VOCABULARY, WIDTH = 61, 24


# what adapters are asked for: the module names of each family
MODULES = {
    "t5": dict(
        attention=["q", "v"],
        linear=["q", "k", "v", "o", "wi_0", "wi_1", "wo"],
        out="wo",
        up="wi_1",
        embedding="shared",
        head="lm_head",
        norm="final_layer_norm",
        layers="block",
    ),
    "gpt2": dict(
        attention=["c_attn"],
        linear=["c_attn", "c_proj", "c_fc"],
        out="mlp.c_proj",
        up="c_fc",
        embedding="wte",
        head="lm_head",
        norm="ln_f",
        layers="h",
    ),
    "gpt_neox": dict(
        attention=["query_key_value"],
        linear=["query_key_value", "dense", "dense_h_to_4h", "dense_4h_to_h"],
        out="dense_4h_to_h",
        up="dense_h_to_4h",
        embedding="embed_in",
        head="lm_head",
        norm="final_layer_norm",
        layers="layers",
    ),
    "phi3": dict(
        attention=["qkv_proj"],
        linear=["qkv_proj", "o_proj", "gate_up_proj", "down_proj"],
        out="down_proj",
        up="gate_up_proj",
        embedding="embed_tokens",
        head="lm_head",
        norm="norm",
        layers="layers",
    ),
    "llama": dict(
        attention=["q_proj", "v_proj"],
        out="down_proj",
        up="up_proj",
        linear=["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"],
        embedding="embed_tokens",
        head="lm_head",
        norm="norm",
        layers="layers",
    ),
}


def family(model):
    kind = model.config.model_type
    return MODULES.get(kind, MODULES["llama"])


def module_names(model):
    """The family's names; what the model does not have (T5 v1.0: wi instead of wi_0 and wi_1) left out."""
    f = dict(family(model))
    ends = {name.split(".")[-1] for name, _ in model.named_modules()}
    if "wi" in ends:
        f["linear"], f["up"] = ["q", "k", "v", "o", "wi", "wo"], "wi"
    return f


def _t5(r, v11):
    heads, d_kv = r.choice([(4, 12), (5, 8), (3, 16)] if WIDTH == 48 else [(3, 8)])
    width = r.choice([heads * d_kv, heads * d_kv, WIDTH - 4])  # peft's prefixes ask for the first
    return tf.T5Config(
        vocab_size=VOCABULARY,
        d_model=width,
        d_kv=d_kv,
        num_heads=heads,
        d_ff=r.choice([72, 80]) * WIDTH // 48,
        num_layers=(r.choice([2, 3]) if WIDTH == 48 else 2),
        num_decoder_layers=(r.choice([2, 3]) if WIDTH == 48 else 2),
        relative_attention_num_buckets=r.choice([8, 16]),
        relative_attention_max_distance=r.choice([20, 40]),
        feed_forward_proj="gated-gelu" if v11 else "relu",
        tie_word_embeddings=not v11,
        pad_token_id=0,
        eos_token_id=1,
        decoder_start_token_id=0,
    )


def _rope(theta, kind="default", **more):
    return dict(rope_parameters=dict(rope_type=kind, rope_theta=theta, **more))


def _decoder(r):
    return dict(
        vocab_size=VOCABULARY,
        max_position_embeddings=96,
        hidden_size=WIDTH,
        intermediate_size=r.choice([80, 88, 104]) * WIDTH // 48,
        num_hidden_layers=(r.choice([2, 3]) if WIDTH == 48 else 2),
        rms_norm_eps=1e-6,
        bos_token_id=1,
        eos_token_id=2,
    )


def _gpt2(r):
    return tf.GPT2Config(
        vocab_size=VOCABULARY,
        n_embd=r.choice([42, 48]) if WIDTH == 48 else 24,
        n_head=6,
        n_layer=(r.choice([2, 3]) if WIDTH == 48 else 2),
        n_positions=96,
        bos_token_id=1,
        eos_token_id=1,
    )


def _neox(r, parallel=True):
    return tf.GPTNeoXConfig(
        vocab_size=VOCABULARY,
        hidden_size=WIDTH,
        num_attention_heads=r.choice([3, 4]) if WIDTH == 48 else 3,
        num_hidden_layers=(r.choice([2, 3]) if WIDTH == 48 else 2),
        intermediate_size=104 * WIDTH // 48,
        max_position_embeddings=96,
        use_parallel_residual=parallel,
        hidden_act="gelu",
        tie_word_embeddings=False,
        bos_token_id=1,
        eos_token_id=1,
        **_rope(
            r.choice([10000.0, 30000.0]), partial_rotary_factor=r.choice([0.25, 0.5]) if WIDTH == 48 else 0.5
        ),
    )


def _llama(r, kv, **more):
    more = dict(dict(tie_word_embeddings=False), **_rope(r.choice([10000.0, 50000.0])), **_decoder(r)) | more
    return tf.LlamaConfig(num_attention_heads=6, num_key_value_heads=kv, head_dim=8 * WIDTH // 48, **more)


def _mistral(r):
    return tf.MistralConfig(
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=r.choice([12, 20]) * WIDTH // 48,
        sliding_window=None,
        tie_word_embeddings=False,
        **_rope(10000.0),
        **_decoder(r),
    )


def _qwen2(r, tied=True):
    return tf.Qwen2Config(
        num_attention_heads=4,
        num_key_value_heads=r.choice([1, 2]),
        use_sliding_window=False,
        tie_word_embeddings=tied,
        **_rope(r.choice([10000.0, 1000000.0])),
        **_decoder(r),
    )


def _kin(config, r, heads=4, kv=2, tied=False, theta=10000.0, **more):
    """A model of the Llama kind: what `more` says goes before what all of them have."""
    d = dict(num_attention_heads=heads, num_key_value_heads=kv, tie_word_embeddings=tied, **_rope(theta))
    return config(**(d | _decoder(r) | more))


def _qwen3(r, tied, **more):
    head = r.choice([12, 20]) * WIDTH // 48
    return _kin(tf.Qwen3Config, r, kv=r.choice([1, 2]), tied=tied, theta=1e6, head_dim=head, **more)


def _window(r, layers=2):
    """Shorter than the text of 13 tokens; one layer sees all."""
    return dict(
        num_hidden_layers=layers,
        use_sliding_window=True,
        sliding_window=r.choice([3, 5]),
        layer_types=["full_attention"] + ["sliding_attention"] * (layers - 1),
    )


def _phi3(r, part, **more):
    d = dict(pad_token_id=0, **_rope(10000.0, partial_rotary_factor=part)) | more
    heads = WIDTH // 12
    return _kin(tf.Phi3Config, r, heads=heads, kv=r.choice([1, 2, heads]), **d)


def _longrope(r, original):
    """The text has 13 tokens: longer than a context before of 8, shorter than one of 32."""
    n = 6  # half a head of Phi-3 and of the Llama
    lists = [[round(r.uniform(1.0, top), 3) for _ in range(n)] for top in (1.5, 6.0)]
    rope = dict(rope_type="longrope", rope_theta=10000.0, short_factor=lists[0], long_factor=lists[1])
    return dict(
        rope_parameters=rope | dict(original_max_position_embeddings=original), max_position_embeddings=128
    )


def _granite(r, tied):
    return _kin(
        tf.GraniteConfig,
        r,
        tied=tied,
        attention_bias=tied,
        mlp_bias=tied,
        embedding_multiplier=r.choice([12.0, 3.0]),
        residual_multiplier=0.22,
        logits_scaling=r.choice([8.0, 1.0]),
        attention_multiplier=r.choice([0.015625, 0.3]),
    )


def _gemma(config, r, window=True, **more):
    head = r.choice([12, 20]) * WIDTH // 48
    d = dict(
        tied=True,
        kv=r.choice([1, 2]),
        head_dim=head,
        query_pre_attn_scalar=r.choice([head, 7]),
        sliding_window=r.choice([3, 5]) if window else 512,
        pad_token_id=0,
    )
    return _kin(config, r, **(d | more))


def _gemma2(r, **more):
    d = dict(attn_logit_softcapping=r.choice([1.5, 4.0]), final_logit_softcapping=r.choice([2.0, 5.0]))
    return _gemma(tf.Gemma2Config, r, **(d | more))


def _gemma3(r, scaling={}, **more):
    rope = dict(
        full_attention=dict(dict(rope_type="default", rope_theta=1e6) | scaling),
        sliding_attention=dict(rope_type="default", rope_theta=r.choice([10000.0, 500.0])),
    )
    return _gemma(tf.Gemma3TextConfig, r, rope_parameters=rope, **more)


MAKERS = {
    "t5_v10": lambda r: _t5(r, False),
    "t5_v11": lambda r: _t5(r, True),
    "t5_v11_untied": lambda r: _t5(r, True),
    "gpt2": _gpt2,
    "neox": _neox,
    "neox_serial": lambda r: _neox(r, False),
    "llama_mha": lambda r: _llama(r, 6),
    "llama_gqa": lambda r: _llama(r, 2),
    "llama_tied": lambda r: _llama(r, 3, tie_word_embeddings=True),
    "llama_bias": lambda r: _llama(r, 2, attention_bias=True, mlp_bias=True),
    "llama_scaled": lambda r: _llama(
        r,
        2,
        **_rope(
            10000.0,
            "llama3",
            factor=4.0,
            low_freq_factor=1.0,
            high_freq_factor=4.0,
            original_max_position_embeddings=32,
        ),
    ),
    "mistral": _mistral,
    "qwen2": _qwen2,
    "qwen2_untied": lambda r: _qwen2(r, False),
    "qwen3": lambda r: _qwen3(r, True),
    "qwen3_untied": lambda r: _qwen3(r, False, attention_bias=True),
    "qwen3_window": lambda r: _qwen3(r, False, **_window(r)),
    "smollm3": lambda r: _kin(tf.SmolLM3Config, r, tied=True, pad_token_id=0, no_rope_layer_interval=2),
    "smollm3_untied": lambda r: _kin(
        tf.SmolLM3Config, r, pad_token_id=0, num_hidden_layers=4, attention_bias=True, mlp_bias=True
    ),
    "smollm3_window": lambda r: _kin(
        tf.SmolLM3Config, r, pad_token_id=0, **_window(r, 3), no_rope_layers=[0, 1, 0]
    ),
    "olmo2": lambda r: _kin(tf.Olmo2Config, r, kv=r.choice([1, 2, 4])),
    "olmo2_tied": lambda r: _kin(tf.Olmo2Config, r, tied=True, attention_bias=True),
    "phi3": lambda r: _phi3(r, 1.0),
    "phi3_partial": lambda r: _phi3(r, 0.5, tied=True),
    "phi3_window": lambda r: _phi3(r, 1.0, sliding_window=r.choice([3, 5])),
    "phi3_short": lambda r: _phi3(r, 1.0, **_longrope(r, 32), original_max_position_embeddings=32),
    "phi3_long": lambda r: _phi3(r, 1.0, **_longrope(r, 8), original_max_position_embeddings=8),
    "llama_long": lambda r: _kin(tf.LlamaConfig, r, heads=WIDTH // 12, **_longrope(r, 8)),
    "granite": lambda r: _granite(r, False),
    "granite_tied": lambda r: _granite(r, True),
    "gemma2": _gemma2,
    "gemma2_uncapped": lambda r: _gemma2(
        r, tied=False, attention_bias=True, attn_logit_softcapping=None, final_logit_softcapping=None
    ),
    "gemma3": lambda r: _gemma3(r, layer_types=["sliding_attention", "full_attention"], num_hidden_layers=2),
    "gemma3_pattern": lambda r: _gemma3(
        r, tied=False, num_hidden_layers=7, scaling=dict(rope_type="linear", factor=8.0)
    ),
}
NAMES = list(MAKERS)


def build(name, seed):
    r = random.Random(f"{name} {seed}")
    config = MAKERS[name](r)
    torch.manual_seed(r.randrange(1 << 30))
    model = (
        tf.T5ForConditionalGeneration(config)
        if config.model_type == "t5"
        else tf.AutoModelForCausalLM.from_config(config)
    )
    with torch.no_grad():  # larger than a fresh model's: every part has a say in the logits
        for key, p in model.named_parameters():
            if p.dim() == 1:
                p.add_(0.2 * torch.randn_like(p))
            else:
                p.copy_(torch.randn_like(p) * (0.9 / p.shape[-1] ** 0.5))
    if name == "t5_v11_untied":  # T5 v1.1 as it was published: a head of its own in the checkpoint
        model.lm_head.weight = torch.nn.Parameter(
            torch.randn_like(model.lm_head.weight) / model.config.d_model**0.5
        )
    return model.eval()


def inputs(model, seed):
    """A text of 13 tokens; for T5 also 7 of the decoder's."""
    g = torch.Generator().manual_seed(seed + 1)
    x = {"input_ids": torch.randint(2, model.config.vocab_size, (1, 13), generator=g)}
    if model.config.is_encoder_decoder:
        answer = torch.randint(2, model.config.vocab_size, (1, 6), generator=g)
        x["decoder_input_ids"] = torch.cat([torch.zeros(1, 1, dtype=torch.long), answer], 1)
    return x


def expanded(weight):
    """bitsandbytes' four bits as f32, from its codes, its code book and its scales. Its own kernel is not asked: that of 0.50 for CPUs
    decodes matrices wrongly whose rows are no multiple of a block, and multiplies by small ones not at all.
    """
    state = weight.quant_state
    absmax = state.absmax
    if state.nested:
        absmax = bitsandbytes.functional.dequantize_blockwise(absmax, state.state2) + state.offset
    codes = torch.stack([weight.data.flatten() >> 4, weight.data.flatten() & 15], 1).flatten().long()
    values = state.code[codes][: state.shape.numel()]
    return (values * absmax.float().repeat_interleave(state.blocksize)[: len(values)]).reshape(state.shape)


def load(path):
    """A saved model in f32; what is in four bits is expanded."""
    config = tf.AutoConfig.from_pretrained(path)
    kind = tf.AutoModelForSeq2SeqLM if config.is_encoder_decoder else tf.AutoModelForCausalLM
    model = kind.from_pretrained(path, dtype=torch.float32)
    for name, module in list(model.named_modules()):
        if isinstance(module, bitsandbytes.nn.Linear4bit):
            plain = torch.nn.Linear(module.in_features, module.out_features, module.bias is not None)
            plain.weight = torch.nn.Parameter(expanded(module.weight))
            plain.bias = module.bias
            model.get_submodule(name.rpartition(".")[0]).__setattr__(name.rpartition(".")[2], plain)
    for p in model.parameters():  # what lies beside four bits keeps the type of the file
        p.data = p.data.float()
    return model.eval()


@torch.no_grad()
def logits(model, x):
    """[1, T, V] of the given tokens; rows of virtual tokens are left out."""
    y = model(**x).logits.float()
    n = x.get("decoder_input_ids", x["input_ids"]).shape[1]
    return y[:, y.shape[1] - n :]
