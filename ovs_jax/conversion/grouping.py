"""The names of the original GroupViT and OVSegmentor checkpoints, and our paths for them.

The foreign names are those listed with the reference numbers; rows of fused attention weights are
query, key and value in order.
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


def separate(foreign: str, ours: str) -> list[Rule]:
    """An attention with separate projections."""
    return [
        rule
        for theirs, mine in (("q_proj", "query"), ("k_proj", "key"), ("v_proj", "value"))
        for rule in dense(f"{foreign}.{theirs}", f"{ours}/{mine}")
    ] + dense(f"{foreign}.proj", f"{ours}/out")


def cross_block(foreign: str, ours: str) -> list[Rule]:
    """A post-norm cross-attention block."""
    return [
        *separate(f"{foreign}.attn", f"{ours}/attention"),
        *norm(f"{foreign}.norm2", f"{ours}/mlp_norm"),
        *mlp(f"{foreign}.mlp", f"{ours}/mlp"),
        *norm(f"{foreign}.norm_post", f"{ours}/out_norm"),
    ]


def grouping_encoder(foreign: str, ours: str) -> list[Rule]:
    """An image encoder."""
    stage, mine = f"{foreign}.layers.{{i}}", f"{ours}/stages/{{i}}"
    grouping, merged = f"{stage}.downsample", f"{mine}/grouping"
    return [
        Rule(
            f"{foreign}.pos_embed",
            (f"{ours}/position_embedding/embedding",),
            Transform("first"),
        ),
        Rule(
            f"{foreign}.patch_embed.proj.weight",
            (f"{ours}/patch_embedding/projection/kernel",),
            Transform("patches"),
        ),
        Rule(
            f"{foreign}.patch_embed.proj.bias",
            (f"{ours}/patch_embedding/projection/bias",),
        ),
        *norm(f"{foreign}.patch_embed.norm", f"{ours}/patch_embedding/norm"),
        Rule(f"{stage}.group_token", (f"{mine}/group_tokens",), Transform("first")),
        *norm(f"{stage}.group_projector.0", f"{mine}/group_projector/norm"),
        *mlp(f"{stage}.group_projector.1", f"{mine}/group_projector/mix/mlp"),
        *block(f"{stage}.blocks.{{j}}", f"{mine}/blocks/{{j}}"),
        *norm(f"{grouping}.norm_tokens", f"{merged}/group_norm"),
        *norm(f"{grouping}.norm_x", f"{merged}/token_norm"),
        *mlp(f"{grouping}.mlp_inter", f"{merged}/group_mix/mlp"),
        *norm(f"{grouping}.norm_post_tokens", f"{merged}/mixed_norm"),
        *cross_block(f"{grouping}.pre_assign_attn", f"{merged}/cross"),
        *separate(f"{grouping}.assign", f"{merged}/assignment"),
        *norm(f"{grouping}.norm_new_x", f"{merged}/mlp_norm"),
        *mlp(f"{grouping}.mlp_channels", f"{merged}/mlp"),
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


def bert(foreign: str, ours: str) -> list[Rule]:
    """BERT or RoBERTa under the names of Hugging Face."""
    layer, mine = f"{foreign}.encoder.layer.{{i}}", f"{ours}/layers/{{i}}"
    tables = (
        ("word_embeddings", "token_embedding"),
        ("position_embeddings", "position_embedding"),
        ("token_type_embeddings", "type_embedding"),
    )
    return [
        *[Rule(f"{foreign}.embeddings.{a}.weight", (f"{ours}/{b}",)) for a, b in tables],
        *norm(f"{foreign}.embeddings.LayerNorm", f"{ours}/embedding_norm"),
        *[
            rule
            for part in _QKV
            for rule in dense(f"{layer}.attention.self.{part}", f"{mine}/attention/{part}")
        ],
        *dense(f"{layer}.attention.output.dense", f"{mine}/attention/out"),
        *norm(f"{layer}.attention.output.LayerNorm", f"{mine}/attention_norm"),
        *dense(f"{layer}.intermediate.dense", f"{mine}/mlp/hidden"),
        *dense(f"{layer}.output.dense", f"{mine}/mlp/out"),
        *norm(f"{layer}.output.LayerNorm", f"{mine}/mlp_norm"),
        Rule(f"{foreign}.pooler.*", reason="the pooler is not used"),
        Rule(f"{foreign}.embeddings.position_ids", reason="a constant"),
    ]


def clip_text(foreign: str, ours: str) -> list[Rule]:
    """CLIP's text transformer under its original names."""
    layer, mine = f"{foreign}.transformer.resblocks.{{i}}", f"{ours}/blocks/{{i}}"
    return [
        Rule(f"{foreign}.token_embedding.weight", (f"{ours}/token_embedding",)),
        Rule(f"{foreign}.positional_embedding", (f"{ours}/position_embedding",)),
        *norm(f"{layer}.ln_1", f"{mine}/attention_norm"),
        *fused(f"{layer}.attn.in_proj_weight", f"{layer}.attn.in_proj_bias", f"{mine}/attention"),
        *dense(f"{layer}.attn.out_proj", f"{mine}/attention/out"),
        *norm(f"{layer}.ln_2", f"{mine}/mlp_norm"),
        *dense(f"{layer}.mlp.c_fc", f"{mine}/mlp/hidden"),
        *dense(f"{layer}.mlp.c_proj", f"{mine}/mlp/out"),
        *norm(f"{foreign}.ln_final", f"{ours}/norm"),
    ]


def entity_decoder(foreign: str, ours: str) -> list[Rule]:
    """OVSegmentor's masked-entity decoder."""
    layer, mine = f"{foreign}.blocks.{{i}}", f"{ours}/layers/{{i}}"
    return [
        *norm(f"{layer}.norm_tokens", f"{mine}/question_norm"),
        *norm(f"{layer}.norm_x", f"{mine}/group_norm"),
        *cross_block(f"{layer}.pre_assign_attn", f"{mine}/cross"),
        *block(f"{layer}.post_attn", f"{mine}/block"),
        *norm(f"{layer}.norm_new_x", f"{mine}/out_norm"),
        Rule(f"{layer}.assign.*", reason="a sub-module that the published code never calls"),
    ]


GROUPVIT = [
    Rule("logit_scale", ("logit_scale",)),
    Rule("multi_label_logit_scale", ("multi_label_logit_scale",)),
    *grouping_encoder("img_encoder", "image_encoder"),
    *clip_text("text_encoder", "text_encoder"),
    *projector("img_projector", "image_projector"),
    *projector("text_projector", "text_projector"),
]
"""The original GroupViT."""

OVSEGMENTOR = [
    Rule("logit_scale", ("logit_scale",)),
    Rule("logit_scale_mask", reason="a temperature that no loss uses"),
    *grouping_encoder("img_encoder", "image_encoder"),
    *grouping_encoder("img_encoder_momentum", "momentum_encoder"),
    *bert("text_encoder.transformer", "text_encoder"),
    *projector("img_projector", "image_projector"),
    *projector("text_projector", "text_projector"),
    *projector("bridge_projector", "bridge_projector"),
    *dense("align_proj_img", "image_alignment"),
    *dense("align_proj_text", "text_alignment"),
    *entity_decoder("multimodal_groupingblock", "entity_decoder"),
]
"""The original OVSegmentor, both stages."""
