"""Which class each mask is: the segment branch, CLIP's image branch, and both together.

Facts: ZegFormer, sections 3.2 and 3.3. Everything is in float32: the logits are cosines times 100.
"""

from dataclasses import dataclass
from typing import Any, Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from ovs_jax.evaluation.regions import einsum

FusionKind = Literal["segment", "image", "ensemble", "ensemble_all"]
"""``segment``: the trained branch alone. ``image``: CLIP alone. ``ensemble``: both, CLIP counting
less for seen classes, for which it is one number a mask: its mean over the seen classes.
``ensemble_all``: both, all classes treated alike."""
KINDS: tuple[FusionKind, ...] = ("segment", "image", "ensemble", "ensemble_all")


@dataclass(frozen=True)
class Fusion:
    """How the two branches become one score: ``segment ** (1 - x) * image ** x``.

    Attributes:
      kind: see `FusionKind`.
      seen_exponent: x of seen classes; None for the published 1/3 of ``ensemble`` and 2/3 of
        ``ensemble_all``.
      unseen_exponent: x of unseen classes; None for the published 2/3.
      seen_mean: whether CLIP's probability of a seen class is replaced by its mean over the seen
        classes; None for the published choice: in ``ensemble`` and not in ``ensemble_all``.
    """

    kind: FusionKind = "ensemble"
    seen_exponent: float | None = None
    unseen_exponent: float | None = None
    seen_mean: bool | None = None

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"fusion.kind: expected one of {KINDS}, got '{self.kind}'")
        for name in ("seen_exponent", "unseen_exponent"):
            value = getattr(self, name)
            if value is not None and not 0 <= value <= 1:
                raise ValueError(f"fusion.{name}: expected 0 to 1, got {value}")
        given = (self.seen_exponent, self.unseen_exponent, self.seen_mean)
        if self.kind in ("segment", "image") and any(value is not None for value in given):
            raise ValueError(
                f"fusion: kind '{self.kind}' has one branch; expected no exponents and no "
                f"seen_mean, got {given}"
            )

    @property
    def uses_image(self) -> bool:
        """Whether CLIP looks at the masks."""
        return self.kind != "segment"

    @property
    def exponents(self) -> tuple[float, float]:
        """CLIP's weight for seen and for unseen classes."""
        seen = 1 / 3 if self.kind == "ensemble" else 2 / 3
        return (
            seen if self.seen_exponent is None else self.seen_exponent,
            2 / 3 if self.unseen_exponent is None else self.unseen_exponent,
        )

    @property
    def averages_seen(self) -> bool:
        """Whether CLIP gives the seen classes of a mask one number."""
        return self.kind == "ensemble" if self.seen_mean is None else self.seen_mean

    def described(self) -> str:
        """The formula in words."""
        if self.kind == "segment":
            return "segment branch alone"
        if self.kind == "image":
            return "CLIP image branch alone"
        seen, unseen = self.exponents
        mean = ", mean over seen" if self.averages_seen else ""
        return (
            f"segment^{1 - seen:.3g} image^{seen:.3g}{mean} (seen); "
            f"segment^{1 - unseen:.3g} image^{unseen:.3g} (unseen)"
        )


def image_logits(
    embeddings: Float[Array, "*b q e"],
    class_unit: Float[Array, "c e"],
    segment_logits: Float[Array, "*b q c_plus_1"],
    *,
    scale: Float[Array, ""] | float,
) -> Float[Array, "*b q c_plus_1"]:
    """CLIP's logits of every mask.

    Args:
      embeddings: of the masks' pictures, of any length.
      class_unit: embeddings of the class names, of length one.
      segment_logits: of the segment branch, whose last one says "no object".
      scale: CLIP's inverse temperature.

    Returns:
      Cosines times ``scale``; the segment branch's "no object" comes last, as CLIP has none.
    """
    embeddings = embeddings.astype(jnp.float32)
    unit = embeddings / jnp.linalg.norm(embeddings, axis=-1, keepdims=True)
    logits = scale * einsum("...e,ce->...c", unit, class_unit)
    return jnp.concatenate([logits, segment_logits[..., -1:]], axis=-1)


def mask_classes(
    segment_logits: Float[Array, "*b q c_plus_1"],
    image_logits: Float[Array, "*b q c_plus_1"] | None,
    *,
    unseen: Bool[Any, " c"],
    fusion: Fusion,
) -> Float[Array, "*b q c"]:
    """How much each mask speaks for each class.

    Args:
      segment_logits: of the segment branch; the last says "no object".
      image_logits: from `image_logits`; None only where ``fusion`` does not use them.
      unseen: which classes were not trained.
      fusion: how the branches are put together.

    Returns:
      Probabilities of the classes, "no object" left out; of two branches their product, which is
      not normalised again.

    Raises:
      ValueError: ``fusion`` uses CLIP and there are no logits of it, or there is no seen class to
        take a mean over.
    """
    segment = _probabilities(segment_logits)
    if not fusion.uses_image:
        return segment
    if image_logits is None:
        raise ValueError(f"fusion: kind '{fusion.kind}' needs the logits of CLIP, got none")
    image = _probabilities(image_logits)
    if fusion.kind == "image":
        return image
    unseen = jnp.asarray(unseen).reshape((1,) * (segment.ndim - 1) + (-1,))
    of_seen = image
    if fusion.averages_seen:
        count = jnp.maximum((~unseen).sum(), 1)
        of_seen = jnp.where(unseen, 0.0, image).sum(axis=-1, keepdims=True) / count
    seen_exponent, unseen_exponent = fusion.exponents
    return jnp.where(
        unseen,
        segment ** (1 - unseen_exponent) * image**unseen_exponent,
        segment ** (1 - seen_exponent) * of_seen**seen_exponent,
    )


def _probabilities(logits: Float[Array, "*b q c_plus_1"]) -> Float[Array, "*b q c"]:
    return jax.nn.softmax(logits.astype(jnp.float32), axis=-1)[..., :-1]
