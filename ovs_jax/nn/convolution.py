"""Convolutions and the initial values that convolutional and detection networks start from."""

import math

import jax
from flax import nnx
from jaxtyping import Array

KAIMING = nnx.initializers.variance_scaling(2.0, "fan_out", "normal")
"""Normal with variance 2 / fan-out (He et al., 2015), of residual networks."""
FAN_IN = nnx.initializers.variance_scaling(1.0, "fan_in", "uniform")
"""Uniform within ±sqrt(3 / fan-in), of pixel decoders."""
DENSE = nnx.initializers.variance_scaling(1 / 3, "fan_in", "uniform")
"""Uniform within ±1 / sqrt(fan-in), of the dense layers in prediction heads."""
XAVIER = nnx.initializers.glorot_uniform()
"""Uniform within ±sqrt(6 / (fan-in + fan-out)) (Glorot and Bengio, 2010), of DETR's transformer."""
XAVIER_QKV = nnx.initializers.variance_scaling(0.5, "fan_avg", "uniform")
"""The same for query, key and value drawn as one matrix with three times the outputs."""


def dense_bias(inputs: int) -> nnx.Initializer:
    """Uniform within ±1 / sqrt(inputs), what goes with `DENSE`."""
    bound = 1 / math.sqrt(inputs)

    def draw(key: Array, shape: tuple[int, ...], *rest: object, **named: object) -> Array:
        return jax.random.uniform(key, shape, minval=-bound, maxval=bound)

    return draw


def dense(
    inputs: int, outputs: int, *, kernel_init: nnx.Initializer = DENSE, rngs: nnx.Rngs
) -> nnx.Linear:
    """A dense layer with a bias drawn as `dense_bias`."""
    return nnx.Linear(
        inputs, outputs, kernel_init=kernel_init, bias_init=dense_bias(inputs), rngs=rngs
    )


def convolution(
    inputs: int,
    outputs: int,
    size: int,
    *,
    stride: int = 1,
    bias: bool = False,
    kernel_init: nnx.Initializer = FAN_IN,
    rngs: nnx.Rngs,
) -> nnx.Conv:
    """A square convolution whose output has the input's size divided by ``stride``, rounded up.

    The padding is ``size // 2`` zeros on every side, which for strides is not what ``SAME`` means.
    """
    pad = size // 2
    return nnx.Conv(
        inputs,
        outputs,
        (size, size),
        strides=(stride, stride),
        padding=((pad, pad), (pad, pad)),
        use_bias=bias,
        kernel_init=kernel_init,
        rngs=rngs,
    )
