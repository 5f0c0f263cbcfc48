"""Activations by name, each in the exact form that the published weights were trained with."""

from collections.abc import Callable
from typing import Literal

import jax
from jaxtyping import Array, Float

ActivationName = Literal["gelu", "quick_gelu", "relu"]
Activation = Callable[[Array], Array]


def gelu(x: Float[Array, "*s"]) -> Float[Array, "*s"]:
    """``x Φ(x)`` with the error function. JAX's default is a tanh approximation, 4.7e-4 away."""
    return jax.nn.gelu(x, approximate=False)


def quick_gelu(x: Float[Array, "*s"]) -> Float[Array, "*s"]:
    """``x sigmoid(1.702 x)``, as in CLIP."""
    return x * jax.nn.sigmoid(1.702 * x)


ACTIVATIONS: dict[str, Activation] = {
    "gelu": gelu,
    "quick_gelu": quick_gelu,
    "relu": jax.nn.relu,
}
