"""The Python API: a trained model in one line.

Example:
    segmenter = ovs_jax.load("runs/quickstart/stage2")  # or what ``ovs-jax convert`` made
    result = segmenter.segment("photo.jpg", ["dog", "sofa"])
    result.labels, result.scores, result.groups, result.draw()

Everything else a segmenter can do stands in `ovs_jax.evaluation`: `segmenter` for every kind,
`group_segmenter` (GroupViT, OVSegmentor) and `mask_segmenter` (ZegFormer) for the rest.
"""

from pathlib import Path

from ovs_jax.conversion.zoo import find
from ovs_jax.evaluation.group_segmenter import GroupSegmenter
from ovs_jax.evaluation.mask_segmenter import BoundModel, ClipClassifier, MaskSegmenter
from ovs_jax.evaluation.pixel_segmenter import PixelSegmenter
from ovs_jax.evaluation.proposals import Fusion
from ovs_jax.evaluation.segmenter import Segmenter
from ovs_jax.evaluation.sliding import Geometry
from ovs_jax.evaluation.zero_shot import ZeroShotProtocol
from ovs_jax.mapping import from_mapping
from ovs_jax.models import registry
from ovs_jax.text.prompts import templates
from ovs_jax.text.tokenizers import Tokenizer
from ovs_jax.training.checkpoint import LoadedModel, load_model
from ovs_jax.training.class_text import class_embedder, load_clip
from ovs_jax.training.labelled_config import ATTRIBUTES, LabelledDataConfig
from ovs_jax.training.labelled_task import segmenter_kind


def load(
    name_or_path: str | Path,
    *,
    geometry: Geometry | None = None,
    clip: str | Path | None = None,
) -> Segmenter:
    """Loads a trained model as a segmenter.

    Args:
      name_or_path: a run's folder, of which the best checkpoint is taken (the newest if none was
        evaluated), one step's folder, a folder that ``ovs-jax convert`` made, or a name that
        ``ovs-jax zoo`` lists, if its weights were converted into ``weights/NAME``.
      geometry: the size at which images are looked at. By default photos are seen in windows of
        twice the training size, as in the published evaluations (448 for models trained at 224);
        models of the synthetic world see images at the size of its scenes; ZegFormer sees whole
        images with a shorter side of its training size.
      clip: for ZegFormer, the folder of the converted CLIP, where it is not the one that was used
        in training.

    Returns:
      A segmenter; see `Segmenter.segment`.

    Raises:
      FileNotFoundError: there is no usable checkpoint at the path, or no CLIP where there was one.
      ValueError: the arrays do not fit the model's config, it is an encoder alone, or it was
        converted without a tokenizer.
    """
    loaded = load_model(find(name_or_path))
    if isinstance(loaded.model_config, registry.MaskModelConfig):
        return _mask_segmenter(loaded, geometry=geometry, clip=clip)
    if clip is not None:
        raise ValueError(
            f"clip: {loaded.folder} holds a {registry.model_name(loaded.model_config)}, which has "
            "a text encoder of its own"
        )
    return _group_segmenter(loaded, geometry=geometry)


def _group_segmenter(loaded: LoadedModel, *, geometry: Geometry | None) -> GroupSegmenter:
    if not loaded.tokenizer:
        raise ValueError(
            f"checkpoint {loaded.folder}: it was converted without a tokenizer, and class names "
            "cannot be read; convert it again with --tokenizer"
        )
    static, _, _ = registry.shapes(loaded.model_config)
    data = loaded.config["data"]
    trained = loaded.model_config.encoder.image_size
    size = trained * (1 if data["source"] == "synthetic" else 2)
    return GroupSegmenter(
        static,
        loaded.params,
        loaded.stats,
        tokenizer=Tokenizer.from_dict(loaded.tokenizer),
        text_length=data["text_length"],
        geometry=geometry or Geometry(window=size, stride=size // 2, short_side=size),
        image_size=trained,
    )


def _mask_segmenter(
    loaded: LoadedModel, *, geometry: Geometry | None, clip: str | Path | None
) -> MaskSegmenter:
    model = loaded.model_config
    if not isinstance(model, registry.MaskModelConfig):
        where, wanted = f"checkpoint {loaded.folder}", registry.MaskModelConfig
        raise registry.wrong_kind(model, wanted, field=where, learns_from="masks")
    kind = segmenter_kind(model)
    pixels = kind is PixelSegmenter  # has no masks that CLIP could be shown
    where = f"checkpoint {loaded.folder}, data"
    data = from_mapping(LabelledDataConfig, loaded.config["data"], where=where)
    field = "CLIP, in training data.text (--clip names another folder)"
    if data.text == ATTRIBUTES:
        text = class_embedder(ATTRIBUTES)
        looking = None if clip is None or pixels else load_clip(clip, field=field)
    else:
        text = load_clip(data.text if clip is None else clip, field=field)
        looking = None if pixels else text
    if isinstance(text, ClipClassifier) and text.width != model.embedding:
        raise ValueError(
            f"{field}: expected embeddings of {model.embedding} numbers, got {text.width}"
        )
    chosen = templates(data.prompts)
    alone = data.text == ATTRIBUTES or pixels
    static, _, _ = registry.shapes(model)
    return kind(
        BoundModel(static, loaded.params, loaded.stats),
        text=text,
        clip=looking,
        geometry=geometry,
        defaults=ZeroShotProtocol(
            name="own",
            split=data.class_split(),
            templates=chosen,
            fusion=Fusion("segment" if alone else "ensemble"),
            short_side=data.recipe.size,
            long_side=max(data.recipe.size, data.recipe.longest),
        ),
    )
