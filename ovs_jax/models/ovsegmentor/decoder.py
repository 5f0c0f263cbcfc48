"""The masked-entity decoder (OVSegmentor, section 3.3): a question looks at an image's groups."""

from flax import nnx
from jaxtyping import Array, Bool, Float

from ovs_jax.nn.norm import LayerNorm
from ovs_jax.nn.transformer import VISION_EPS, Block, CrossBlock


class DecoderLayer(nnx.Module):
    """Cross-attention from the question to the groups, then self-attention within the question."""

    def __init__(self, width: int, heads: int, *, rngs: nnx.Rngs) -> None:
        self.question_norm = LayerNorm(width, eps=VISION_EPS)
        self.group_norm = LayerNorm(width, eps=VISION_EPS)
        self.cross = CrossBlock(width, heads, rngs=rngs)
        self.block = Block(width, heads, rngs=rngs)
        self.out_norm = LayerNorm(width, eps=VISION_EPS)

    def __call__(
        self,
        question: Float[Array, "b l d"],
        groups: Float[Array, "b g d"],
        previous: Float[Array, "b l d"] | None,
        *,
        mask: Bool[Array, "b 1 1 l"] | None,
    ) -> Float[Array, "b l d"]:
        """Returns the question's tokens, informed by the groups and the layer before."""
        seen = self.cross(self.question_norm(question), self.group_norm(groups))
        entry = seen if previous is None else previous + seen
        return self.out_norm(self.block(entry, mask=mask) + seen)


class EntityDecoder(nnx.Module):
    """A stack in which every layer starts again from the question."""

    def __init__(self, width: int, heads: int, depth: int, *, rngs: nnx.Rngs) -> None:
        self.layers = nnx.List(DecoderLayer(width, heads, rngs=rngs) for _ in range(depth))

    def __call__(
        self,
        question: Float[Array, "b l d"],
        groups: Float[Array, "b g d"],
        *,
        mask: Bool[Array, "b 1 1 l"] | None = None,
    ) -> Float[Array, "b l d"]:
        """Returns one token for every question token; the first one answers."""
        x = None
        for layer in self.layers:
            x = layer(question, groups, x, mask=mask)
        return question if x is None else x
