"""Rules of the layers that several sources have, under the prefix that each gives them.

Rows of fused attention weights are query, key and value in order.
"""

from ovs_jax.conversion.rules import Rule, Transform

_QKV = ("query", "key", "value")


def dense(foreign: str, ours: str) -> list[Rule]:
    """A dense layer: weight (outputs, inputs) and bias."""
    return [
        Rule(f"{foreign}.weight", (f"{ours}/kernel",), Transform("transpose")),
        Rule(f"{foreign}.bias", (f"{ours}/bias",)),
    ]


def norm(foreign: str, ours: str) -> list[Rule]:
    """A LayerNorm."""
    return [
        Rule(f"{foreign}.weight", (f"{ours}/scale",)),
        Rule(f"{foreign}.bias", (f"{ours}/bias",)),
    ]


def fused(weight: str, bias: str, ours: str) -> list[Rule]:
    """Query, key and value of an attention in one foreign array."""
    return [
        Rule(weight, tuple(f"{ours}/{part}/kernel" for part in _QKV), Transform("transpose")),
        Rule(bias, tuple(f"{ours}/{part}/bias" for part in _QKV)),
    ]


def kernel(foreign: str, ours: str) -> Rule:
    """The weight of a convolution, (outputs, inputs, rows, columns) there."""
    return Rule(f"{foreign}.weight", (f"{ours}/kernel",), Transform("convolution"))


def convolution(foreign: str, ours: str) -> list[Rule]:
    """A convolution with bias."""
    return [kernel(foreign, ours), Rule(f"{foreign}.bias", (f"{ours}/bias",))]


def frozen_norm(foreign: str, ours: str) -> list[Rule]:
    """A batch norm whose statistics and affine map stay as they are: all four are statistics."""
    return [
        *norm(foreign, ours),
        Rule(f"{foreign}.running_mean", (f"{ours}/mean",)),
        Rule(f"{foreign}.running_var", (f"{ours}/variance",)),
        Rule(f"{foreign}.num_batches_tracked", reason="a counter that nothing reads"),
    ]


def mlp(foreign: str, ours: str) -> list[Rule]:
    """Two dense layers."""
    return dense(f"{foreign}.fc1", f"{ours}/hidden") + dense(f"{foreign}.fc2", f"{ours}/out")


def block(foreign: str, ours: str) -> list[Rule]:
    """A pre-norm block with fused attention weights."""
    return [
        *norm(f"{foreign}.norm1", f"{ours}/attention_norm"),
        *fused(f"{foreign}.attn.qkv.weight", f"{foreign}.attn.qkv.bias", f"{ours}/attention"),
        *dense(f"{foreign}.attn.proj", f"{ours}/attention/out"),
        *norm(f"{foreign}.norm2", f"{ours}/mlp_norm"),
        *mlp(f"{foreign}.mlp", f"{ours}/mlp"),
    ]


def separate(foreign: str, ours: str, *, out: str = "proj") -> list[Rule]:
    """An attention with separate projections."""
    return [
        rule
        for theirs, mine in (("q_proj", "query"), ("k_proj", "key"), ("v_proj", "value"))
        for rule in dense(f"{foreign}.{theirs}", f"{ours}/{mine}")
    ] + dense(f"{foreign}.{out}", f"{ours}/out")


def separate_block(foreign: str, ours: str) -> list[Rule]:
    """A pre-norm block as Hugging Face names it."""
    return [
        *norm(f"{foreign}.layer_norm1", f"{ours}/attention_norm"),
        *separate(f"{foreign}.self_attn", f"{ours}/attention", out="out_proj"),
        *norm(f"{foreign}.layer_norm2", f"{ours}/mlp_norm"),
        *mlp(f"{foreign}.mlp", f"{ours}/mlp"),
    ]


def open_block(foreign: str, ours: str) -> list[Rule]:
    """A pre-norm block as CLIP's original names it."""
    attention = f"{foreign}.attn"
    return [
        *norm(f"{foreign}.ln_1", f"{ours}/attention_norm"),
        *fused(f"{attention}.in_proj_weight", f"{attention}.in_proj_bias", f"{ours}/attention"),
        *dense(f"{attention}.out_proj", f"{ours}/attention/out"),
        *norm(f"{foreign}.ln_2", f"{ours}/mlp_norm"),
        *dense(f"{foreign}.mlp.c_fc", f"{ours}/mlp/hidden"),
        *dense(f"{foreign}.mlp.c_proj", f"{ours}/mlp/out"),
    ]


def cross_block(foreign: str, ours: str, *, out: str = "proj") -> list[Rule]:
    """A post-norm cross-attention block."""
    return [
        *separate(f"{foreign}.attn", f"{ours}/attention", out=out),
        *norm(f"{foreign}.norm2", f"{ours}/mlp_norm"),
        *mlp(f"{foreign}.mlp", f"{ours}/mlp"),
        *norm(f"{foreign}.norm_post", f"{ours}/out_norm"),
    ]


def patches(foreign: str, ours: str) -> list[Rule]:
    """A patch projection, a strided convolution there."""
    return [
        Rule(f"{foreign}.weight", (f"{ours}/kernel",), Transform("patches")),
        Rule(f"{foreign}.bias", (f"{ours}/bias",)),
    ]


def grouping_stage(foreign: str, ours: str, *, out: str = "proj") -> list[Rule]:
    """Group tokens, their projector and the grouping block of a stage; not its blocks."""
    grouping, merged = f"{foreign}.downsample", f"{ours}/grouping"
    return [
        Rule(f"{foreign}.group_token", (f"{ours}/group_tokens",), Transform("first")),
        *norm(f"{foreign}.group_projector.0", f"{ours}/group_projector/norm"),
        *mlp(f"{foreign}.group_projector.1", f"{ours}/group_projector/mix/mlp"),
        *norm(f"{grouping}.norm_tokens", f"{merged}/group_norm"),
        *norm(f"{grouping}.norm_x", f"{merged}/token_norm"),
        *mlp(f"{grouping}.mlp_inter", f"{merged}/group_mix/mlp"),
        *norm(f"{grouping}.norm_post_tokens", f"{merged}/mixed_norm"),
        *cross_block(f"{grouping}.pre_assign_attn", f"{merged}/cross", out=out),
        *separate(f"{grouping}.assign", f"{merged}/assignment"),
        *norm(f"{grouping}.norm_new_x", f"{merged}/mlp_norm"),
        *mlp(f"{grouping}.mlp_channels", f"{merged}/mlp"),
    ]


def grouping_encoder(foreign: str, ours: str) -> list[Rule]:
    """An image encoder under the original names of GroupViT, which OVSegmentor shares."""
    stage, mine = f"{foreign}.layers.{{i}}", f"{ours}/stages/{{i}}"
    position = f"{ours}/position_embedding/embedding"
    return [
        Rule(f"{foreign}.pos_embed", (position,), Transform("first")),
        *patches(f"{foreign}.patch_embed.proj", f"{ours}/patch_embedding/projection"),
        *norm(f"{foreign}.patch_embed.norm", f"{ours}/patch_embedding/norm"),
        *grouping_stage(stage, mine),
        *block(f"{stage}.blocks.{{j}}", f"{mine}/blocks/{{j}}"),
        *norm(f"{foreign}.norm", f"{ours}/norm"),
    ]


def projector(foreign: str, ours: str) -> list[Rule]:
    """A projection head, whose dense layers are 1x1 convolutions there."""
    hidden, out = f"{foreign}.linear_hidden", f"{foreign}.linear_out"
    return [
        Rule(f"{hidden}.0.weight", (f"{ours}/hidden/kernel",), Transform("last")),
        Rule(f"{hidden}.0.bias", (f"{ours}/hidden/bias",)),
        *norm(f"{hidden}.1", f"{ours}/norm"),
        Rule(f"{hidden}.1.running_mean", (f"{ours}/norm/mean",)),
        Rule(f"{hidden}.1.running_var", (f"{ours}/norm/variance",)),
        Rule(f"{hidden}.1.num_batches_tracked", reason="a counter that nothing reads"),
        Rule(f"{out}.weight", (f"{ours}/out/kernel",), Transform("last")),
        Rule(f"{out}.bias", (f"{ours}/out/bias",)),
    ]


def text_transformer(foreign: str, ours: str) -> list[Rule]:
    """BERT or RoBERTa under the names of Hugging Face, in files old and new."""
    layer, mine = f"{foreign}encoder.layer.{{i}}", f"{ours}layers/{{i}}"
    tables = (
        ("word_embeddings", "token_embedding"),
        ("position_embeddings", "position_embedding"),
        ("token_type_embeddings", "type_embedding"),
    )
    norms = (
        (f"{foreign}embeddings.LayerNorm", f"{ours}embedding_norm"),
        (f"{layer}.attention.output.LayerNorm", f"{mine}/attention_norm"),
        (f"{layer}.output.LayerNorm", f"{mine}/mlp_norm"),
    )
    return [
        *[Rule(f"{foreign}embeddings.{a}.weight", (f"{ours}{b}",)) for a, b in tables],
        *[
            rule
            for part in _QKV
            for rule in dense(f"{layer}.attention.self.{part}", f"{mine}/attention/{part}")
        ],
        *dense(f"{layer}.attention.output.dense", f"{mine}/attention/out"),
        *dense(f"{layer}.intermediate.dense", f"{mine}/mlp/hidden"),
        *dense(f"{layer}.output.dense", f"{mine}/mlp/out"),
        *[rule for a, b in norms for rule in norm(a, b)],
        *[
            rule
            for a, b in norms
            for rule in (Rule(f"{a}.gamma", (f"{b}/scale",)), Rule(f"{a}.beta", (f"{b}/bias",)))
        ],
        Rule(f"{foreign}pooler.*", reason="the pooler is not used"),
        Rule(f"{foreign}embeddings.position_ids", reason="a constant"),
    ]


def clip_text(foreign: str, ours: str) -> list[Rule]:
    """CLIP's text transformer under its original names."""
    layer, mine = f"{foreign}transformer.resblocks.{{i}}", f"{ours}/blocks/{{i}}"
    return [
        Rule(f"{foreign}token_embedding.weight", (f"{ours}/token_embedding",)),
        Rule(f"{foreign}positional_embedding", (f"{ours}/position_embedding",)),
        *open_block(layer, mine),
        *norm(f"{foreign}ln_final", f"{ours}/norm"),
    ]


def clip_text_hf(foreign: str, ours: str) -> list[Rule]:
    """CLIP's text transformer under the names of Hugging Face."""
    table = f"{foreign}.embeddings"
    return [
        Rule(f"{table}.token_embedding.weight", (f"{ours}/token_embedding",)),
        Rule(f"{table}.position_embedding.weight", (f"{ours}/position_embedding",)),
        *separate_block(f"{foreign}.encoder.layers.{{i}}", f"{ours}/blocks/{{i}}"),
        *norm(f"{foreign}.final_layer_norm", f"{ours}/norm"),
        Rule(f"{table}.position_ids", reason="a constant"),
    ]


def vision_transformer(foreign: str, ours: str) -> list[Rule]:
    """A plain vision transformer as DINO and timm name it."""
    return [
        Rule(f"{foreign}cls_token", (f"{ours}class_token",), Transform("first")),
        Rule(f"{foreign}pos_embed", (f"{ours}position_embedding",), Transform("first")),
        *patches(f"{foreign}patch_embed.proj", f"{ours}patch_embedding/projection"),
        *block(f"{foreign}blocks.{{i}}", f"{ours}blocks/{{i}}"),
        *norm(f"{foreign}norm", f"{ours}norm"),
    ]
