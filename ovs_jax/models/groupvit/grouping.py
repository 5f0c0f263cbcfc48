"""The grouping block (GroupViT, section 3.1): merges tokens into a smaller number of groups."""

from typing import Literal

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from ovs_jax.models.features import Assignment
from ovs_jax.nn.attention import linear
from ovs_jax.nn.norm import LayerNorm
from ovs_jax.nn.transformer import VISION_EPS, CrossBlock, Mlp, TokenMlp

TOKEN_MLP_RATIO = 0.5  # hidden size of the MLPs over tokens, as a share of the width


class GroupAssignment(nnx.Module):
    """Attention with one head whose softmax runs over the groups, not over the tokens."""

    def __init__(self, width: int, *, hard: bool, rngs: nnx.Rngs) -> None:
        self.query = linear(width, width, rngs=rngs)
        self.key = linear(width, width, rngs=rngs)
        self.value = linear(width, width, rngs=rngs)
        self.out = linear(width, width, rngs=rngs)
        self.hard = hard

    def __call__(
        self,
        groups: Float[Array, "b g d"],
        tokens: Float[Array, "b n d"],
        *,
        gumbel: Float[Array, "b g n"] | None,
    ) -> tuple[Float[Array, "b g d"], Assignment]:
        """Merges the tokens (equations 3 to 6).

        Args:
          groups: the projected group tokens.
          tokens: what they merge.
          gumbel: noise on the logits.

        Returns:
          The merged tokens after the output projection, and the assignment.
        """
        query, key = self.query(groups), self.key(tokens)
        logits = jnp.einsum("bgd,bnd->bgn", query, key, preferred_element_type=jnp.float32)
        logits = logits * query.shape[-1] ** -0.5
        soft = jax.nn.softmax(logits if gumbel is None else logits + gumbel, axis=1)
        share = straight_through(soft) if self.hard else soft
        merged = _mean(self.value(tokens), share)
        return self.out(merged), Assignment(soft=soft, hard=share, query=query, key=key)


def _mean(tokens: Float[Array, "b n d"], share: Float[Array, "b g n"]) -> Float[Array, "b g d"]:
    """The tokens of each group, summed and divided by their number plus one."""
    weights = share / (share.sum(-1, keepdims=True) + 1.0)
    return jnp.einsum("bgn,bnd->bgd", weights.astype(tokens.dtype), tokens)


def straight_through(soft: Float[Array, "b g n"]) -> Float[Array, "b g n"]:
    """One-hot over the groups (the first maximum wins), with the gradient of ``soft``."""
    groups = soft.shape[1]
    hard = jax.nn.one_hot(soft.argmax(1), groups, axis=1, dtype=soft.dtype)
    return jax.lax.stop_gradient(hard - soft) + soft


class GroupingBlock(nnx.Module):
    """Group tokens look at the tokens, then take them in."""

    def __init__(
        self,
        width: int,
        heads: int,
        *,
        group_tokens: int,
        output_groups: int,
        hard: bool,
        residual: Literal["groups", "tokens"],
        rngs: nnx.Rngs,
    ) -> None:
        self.group_norm = LayerNorm(width, eps=VISION_EPS)
        self.token_norm = LayerNorm(width, eps=VISION_EPS)
        self.group_mix = TokenMlp(
            group_tokens, int(width * TOKEN_MLP_RATIO), output_groups, rngs=rngs
        )
        self.mixed_norm = LayerNorm(width, eps=VISION_EPS)
        self.cross = CrossBlock(width, heads, rngs=rngs)
        self.assignment = GroupAssignment(width, hard=hard, rngs=rngs)
        self.mlp_norm = LayerNorm(width, eps=VISION_EPS)
        self.mlp = Mlp(width, 4 * width, width, rngs=rngs)
        # Stands for the 1 in the denominator, and is what a group without tokens amounts to.
        self.own = (
            nnx.Param(nnx.initializers.normal(1.0)(rngs.params(), (output_groups, width)))
            if residual == "tokens"
            else None
        )

    def __call__(
        self,
        tokens: Float[Array, "b n d"],
        group_tokens: Float[Array, "b m d"],
        *,
        gumbel: Float[Array, "b g n"] | None,
    ) -> tuple[Float[Array, "b g d"], Assignment]:
        """Forms groups.

        Args:
          tokens: image tokens after the stage's blocks.
          group_tokens: the stage's group tokens after the same blocks.
          gumbel: noise of the assignment.

        Returns:
          One token a group, and how the tokens were shared among the groups.
        """
        tokens = self.token_norm(tokens)
        groups = self.mixed_norm(self.group_mix(self.group_norm(group_tokens)))
        groups = self.cross(groups, tokens)
        merged, assignment = self.assignment(groups, tokens, gumbel=gumbel)
        if self.own is None:
            merged = merged + groups
        else:
            own = self.own[...][None] / (assignment.hard.sum(-1, keepdims=True) + 1.0)
            merged = merged + _mean(tokens, assignment.hard) + own.astype(tokens.dtype)
        return merged + self.mlp(self.mlp_norm(merged)), assignment
