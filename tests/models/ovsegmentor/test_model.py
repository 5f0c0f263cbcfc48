import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ovs_jax.models import registry
from ovs_jax.nn import functional

RNG = np.random.default_rng(0)
IMAGES = RNG.normal(size=(2, 32, 32, 3)).astype(np.float32)
MASK = jnp.asarray([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]], bool)


def parts(**overrides):
    config = registry.model_config("ovsegmentor", "nano", overrides=overrides)
    return functional.init(registry.build(config), jax.random.key(0))


def call(parts, method, *inputs, **options):
    """Runs a method of a bound model without compiling it."""
    return jax.eval_shape(
        lambda p, s, *x: getattr(functional.bind(parts[0], p, s), method)(*x, **options),
        parts[1],
        parts[2],
        *inputs,
    )


@pytest.fixture(scope="module")
def plain():
    return parts(momentum=True)


@pytest.mark.parametrize(
    ("image", "text", "aligned"),
    [(32, 48, "text_alignment"), (48, 32, "image_alignment"), (32, 32, None)],
)
def test_the_wider_side_is_brought_to_the_width_of_the_narrower(image, text, aligned):
    config = registry.model_config(
        "ovsegmentor", "nano", overrides={"encoder": {"width": image}, "text": {"width": text}}
    )
    abstract = functional.abstract(registry.build(config))
    params = abstract[1]
    existing = {name for name in params if name.endswith("alignment")}
    assert existing == ({aligned} if aligned else set())
    if aligned:
        assert params[aligned]["kernel"].shape == (48, 32)
    assert params["entity_decoder"]["layers"]["0"]["out_norm"]["scale"].shape == (32,)
    question, groups = np.zeros((2, 5, text), "f4"), np.zeros((2, 4, image), "f4")
    answer = call(abstract, "complete_entity", question, groups, mask=MASK)
    assert answer.shape == (2, 32)


@pytest.mark.parametrize("mask_padding", [False, True])
def test_padding_of_a_question_counts_unless_it_is_masked(mask_padding):
    static, params, stats = parts(mask_padding=mask_padding)
    run = jax.jit(
        lambda q, g: functional.bind(static, params, stats).complete_entity(q, g, mask=MASK)
    )
    question = RNG.normal(size=(2, 5, 32)).astype(np.float32)
    groups = RNG.normal(size=(2, 4, 32)).astype(np.float32)
    other = np.where(MASK[..., None], question, question[:, ::-1] * 2)
    change = np.abs(run(question, groups) - run(other, groups)).max(1)
    assert (change[0] == 0) == mask_padding
    assert change[1] == 0  # this question has no padding


def test_the_answer_depends_on_the_question_and_on_the_groups(plain):
    static, params, stats = plain
    run = jax.jit(
        lambda q, g: functional.bind(static, params, stats).complete_entity(q, g, mask=MASK)
    )
    question = RNG.normal(size=(2, 5, 32)).astype(np.float32)
    groups = RNG.normal(size=(2, 4, 32)).astype(np.float32)
    answer = run(question, groups)
    assert np.abs(run(question[::-1], groups) - answer).max() > 1e-3
    assert np.abs(run(question, groups[::-1]) - answer).max() > 1e-5


def test_a_model_without_the_entity_task_says_so():
    without = parts(entity=False)
    zeros = np.zeros((2, 5, 32), np.float32)
    with pytest.raises(ValueError, match="entity=False, so it has no masked-entity decoder"):
        call(without, "complete_entity", zeros, zeros, mask=MASK)


def test_a_model_without_a_momentum_encoder_says_so():
    without = functional.abstract(registry.build(registry.model_config("ovsegmentor", "nano")))
    with pytest.raises(ValueError, match="momentum=False, so it has no momentum encoder"):
        call(without, "encode_image_momentum", IMAGES)


def test_the_momentum_encoder_with_the_same_weights_gives_the_same_features(plain):
    static, params, stats = plain
    params = params | {"momentum_encoder": params["image_encoder"]}

    @jax.jit
    def both(images):
        model = functional.bind(static, params, stats)
        return model.encode_image(images), model.encode_image_momentum(images)

    online, momentum = both(IMAGES)
    np.testing.assert_allclose(online.groups, momentum.groups, atol=1e-5)
    np.testing.assert_allclose(online.assignments[0].soft, momentum.assignments[0].soft, atol=1e-5)


def test_segmentation_needs_one_pass_and_fits_any_grid(plain):
    static, params, stats = plain

    @jax.jit
    def both(images):
        model = functional.bind(static, params, stats)
        image = model.encode_image(images)
        projected = model.project_image(image.pooled), model.project_image(image.groups)
        return model.segment_features(images), projected, image.assignments[0].soft

    features, (pooled, groups), soft = both(IMAGES[:, :16, :24])
    np.testing.assert_allclose(features.image_embedding, pooled, atol=1e-5)
    np.testing.assert_allclose(features.group_embeddings, groups, atol=1e-5)
    assert features.group_maps.shape == (2, 2, 3, 4)
    np.testing.assert_allclose(
        features.group_maps, soft.swapaxes(1, 2).reshape(2, 2, 3, 4), atol=1e-6
    )


def test_the_temperature_starts_at_the_published_value(plain):
    np.testing.assert_allclose(np.exp(plain[1]["logit_scale"]), 1 / 0.07, rtol=1e-6)
