"""Transformer layers: the MLP, the pre-norm block and the post-norm cross-attention block."""

from flax import nnx
from jaxtyping import Array, Bool, Float, Key

from ovs_jax.nn.activation import ACTIVATIONS, ActivationName
from ovs_jax.nn.attention import Attention, linear
from ovs_jax.nn.norm import LayerNorm
from ovs_jax.nn.stochastic import drop_path, split

VISION_EPS = 1e-5


class Mlp(nnx.Module):
    """Two dense layers with an activation between them."""

    def __init__(
        self,
        inputs: int,
        hidden: int,
        outputs: int,
        *,
        activation: ActivationName = "gelu",
        rngs: nnx.Rngs,
    ) -> None:
        self.hidden = linear(inputs, hidden, rngs=rngs)
        self.out = linear(hidden, outputs, rngs=rngs)
        self.activation = activation

    def __call__(self, x: Float[Array, "*s i"]) -> Float[Array, "*s o"]:
        """Returns ``out(activation(hidden(x)))``."""
        return self.out(ACTIVATIONS[self.activation](self.hidden(x)))


class Block(nnx.Module):
    """A pre-norm transformer block (Dosovitskiy et al., 2021, equations 2 and 3)."""

    def __init__(
        self,
        width: int,
        heads: int,
        *,
        mlp_ratio: float = 4.0,
        activation: ActivationName = "gelu",
        eps: float = VISION_EPS,
        rngs: nnx.Rngs,
    ) -> None:
        self.attention_norm = LayerNorm(width, eps=eps)
        self.attention = Attention(width, heads, rngs=rngs)
        self.mlp_norm = LayerNorm(width, eps=eps)
        self.mlp = Mlp(width, int(width * mlp_ratio), width, activation=activation, rngs=rngs)

    def __call__(
        self,
        x: Float[Array, "b m d"],
        *,
        mask: Bool[Array, "#b 1 #m m"] | None = None,
        key: Key[Array, ""] | None = None,
        rate: float | Float[Array, ""] = 0.0,
    ) -> Float[Array, "b m d"]:
        """Mixes tokens, then channels.

        Args:
          x: the tokens.
          mask: True where a token may see another.
          key: random key; without one no branch is dropped.
          rate: of stochastic depth.
        """
        first, second = split(key, 2)
        normed = self.attention_norm(x)
        x = x + drop_path(self.attention(normed, normed, mask=mask), rate, key=first)
        return x + drop_path(self.mlp(self.mlp_norm(x)), rate, key=second)


class CrossBlock(nnx.Module):
    """Cross-attention without a norm before it, with one after the MLP (GroupViT, section 3.1)."""

    def __init__(self, width: int, heads: int, *, mlp_ratio: float = 4.0, rngs: nnx.Rngs) -> None:
        self.attention = Attention(width, heads, rngs=rngs)
        self.mlp_norm = LayerNorm(width, eps=VISION_EPS)
        self.mlp = Mlp(width, int(width * mlp_ratio), width, rngs=rngs)
        self.out_norm = LayerNorm(width, eps=VISION_EPS)

    def __call__(
        self, queries: Float[Array, "b q d"], keys: Float[Array, "b m d"]
    ) -> Float[Array, "b q d"]:
        """Returns the queries, informed by the keys."""
        x = queries + self.attention(queries, keys)
        return self.out_norm(x + self.mlp(self.mlp_norm(x)))


class TokenMlp(nnx.Module):
    """An MLP along the token axis: a learned mix that may change the number of tokens."""

    def __init__(self, tokens: int, hidden: int, outputs: int, *, rngs: nnx.Rngs) -> None:
        self.mlp = Mlp(tokens, hidden, outputs, rngs=rngs)

    def __call__(self, x: Float[Array, "b m d"]) -> Float[Array, "b o d"]:
        """Returns ``outputs`` tokens of the same width."""
        return self.mlp(x.swapaxes(1, 2)).swapaxes(1, 2)
