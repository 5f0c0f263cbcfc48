"""Compares converted weights with the libraries that they were published for.

Images and texts are random; outputs of the model in JAX stand beside those of ``transformers`` with
the same file's weights, in float32. It takes torch and transformers, which nothing else needs.
"""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ovs_jax.conversion import files, oracle
from ovs_jax.conversion.convert import Conversion
from ovs_jax.models import registry
from ovs_jax.models.groupvit.config import GroupViTConfig
from ovs_jax.models.ovsegmentor.config import OVSegmentorConfig
from ovs_jax.models.text import TextConfig
from ovs_jax.models.vision.config import ClipConfig, VisionConfig
from ovs_jax.nn import functional

TOLERANCE = 1e-4
"""Largest absolute difference in float32, of a whole model."""
UNKNOWN = "--verify: no library is known to compare {} with"
WITHOUT = ("zegformer", "resnet", "resnet-detectron")
"""Sources that no library reads."""
IMAGES = 2
TOKENS = 12
SEED = 7


@dataclass(frozen=True)
class Comparison:
    """One output compared.

    Attributes:
      output: which.
      difference: the largest absolute one.
      scale: the largest absolute value of the reference.
    """

    output: str
    difference: float
    scale: float

    @property
    def passed(self) -> bool:
        """Whether the difference is within the tolerance; that of a NaN never is."""
        return self.difference <= TOLERANCE


def table(rows: tuple[Comparison, ...]) -> str:
    """The comparisons as text, one a line."""
    lines = [
        f"{row.output:32} {row.difference:9.2e} of {row.scale:8.3g}  "
        f"{'pass' if row.passed else 'FAIL'}"
        for row in rows
    ]
    return "\n".join([f"{'output':32} difference, scale (tolerance {TOLERANCE:g})", *lines])


def check_installed(source: str = "") -> None:
    """Checks that there is something to compare with.

    Args:
      source: what is to be compared.

    Raises:
      ValueError: no library reads it.
      ImportError: torch or transformers is not installed.
    """
    if source in WITHOUT:
        raise ValueError(UNKNOWN.format(source))
    if any(find_spec(name) is None for name in ("torch", "transformers")):
        raise ImportError(
            "--verify takes the library that the weights were made for: pip install torch "
            "transformers"
        )


def verify(conversion: Conversion, path: str | Path) -> tuple[Comparison, ...]:
    """Compares every output that the library has too.

    Args:
      conversion: the weights in our form.
      path: where they came from; read again, and given to the library without our rules.

    Returns:
      One row an output: features, soft group maps, projections, text.

    Raises:
      ImportError: torch or transformers is not installed.
    """
    check_installed()
    return _Verification(conversion, Path(path)).run()


def _text(ids: np.ndarray, mask: np.ndarray) -> dict[str, jax.Array]:
    return {"ids": jnp.asarray(ids), "mask": jnp.asarray(mask)}


class _Verification:
    """One conversion, its inputs, and the rows so far."""

    def __init__(self, conversion: Conversion, path: Path) -> None:
        self.conversion, self.path = conversion, path
        static, _, _ = registry.shapes(conversion.config)
        self.model = functional.bind(static, conversion.params, conversion.stats)
        self.rows: list[Comparison] = []
        self.draw = np.random.default_rng(SEED)

    def run(self) -> tuple[Comparison, ...]:
        import torch

        config = self.conversion.config
        with torch.no_grad(), jax.default_matmul_precision("highest"):
            match config:
                case GroupViTConfig():
                    self._groupvit(config)
                case OVSegmentorConfig():
                    self._ovsegmentor(config)
                case TextConfig():
                    kind = "RobertaModel" if config.kind == "roberta" else "BertModel"
                    self._bert(oracle.from_folder(kind, self.path), config, self.model)
                case ClipConfig():
                    self._clip(config)
                case VisionConfig():
                    self._vision(config)
                case _:
                    raise ValueError(UNKNOWN.format(self.conversion.source.name))
        return tuple(self.rows)

    def state(self) -> Mapping[str, np.ndarray]:
        """The source's arrays without their prefix, read again."""
        stored = files.read(self.path).state
        prefix = self.conversion.prefix
        return {n.removeprefix(prefix): stored[n] for n in stored if n.startswith(prefix)}

    def compare(self, output: str, ours: Any, theirs: Any) -> None:
        theirs = np.asarray(theirs)
        ours = np.asarray(ours).reshape(theirs.shape)
        difference = float(np.abs(ours - theirs).max())
        self.rows.append(Comparison(output, difference, float(np.abs(theirs).max())))

    def images(self, size: int) -> np.ndarray:
        return self.draw.normal(size=(IMAGES, size, size, 3)).astype(np.float32)

    def texts(self, config: TextConfig) -> tuple[np.ndarray, np.ndarray]:
        """Ids and mask of texts of different lengths; CLIP's end with the largest id."""
        length = min(TOKENS, config.length)
        ids = self.draw.integers(3, config.vocabulary - 2, (IMAGES, length)).astype(np.int32)
        kept = np.array([length, length - 3])
        mask = np.arange(length)[None] < kept[:, None]
        if config.kind == "clip":
            ids[np.arange(IMAGES), kept - 1] = config.vocabulary - 1
        padding = 1 if config.kind == "roberta" else 0
        return np.where(mask, ids, padding).astype(np.int32), mask

    def _groupvit(self, config: GroupViTConfig) -> None:
        import torch

        theirs = (
            oracle.from_folder("GroupViTModel", self.path)
            if self.conversion.source.folder
            else oracle.groupvit(self.state(), config)
        )
        self._grouping(theirs, config.encoder.image_size)
        ids, mask = self.texts(config.text)
        ours = jax.jit(self.model.encode_text)(_text(ids, mask))
        found = theirs.text_model(
            input_ids=torch.from_numpy(ids).long(), attention_mask=torch.from_numpy(mask).int()
        )
        self.compare("text feature", ours.pooled, found.pooler_output)
        embedded = theirs.text_projection(found.pooler_output)
        self.compare("text embedding", self.model.project_text(ours.pooled), embedded)

    def _grouping(self, theirs: Any, size: int) -> Any:
        """The image side; returns both sides' groups for what follows."""
        import torch

        images = self.images(size)
        pixels = torch.from_numpy(images.transpose(0, 3, 1, 2).copy())
        found = theirs.vision_model(pixel_values=pixels, output_attentions=True)
        ours = jax.jit(self.model.encode_image)(images)
        self.compare("image feature", ours.pooled, found.pooler_output)
        self.compare("groups", ours.groups, found.last_hidden_state)
        for i, (assignment, soft) in enumerate(
            zip(ours.assignments, found.attentions, strict=True)
        ):
            self.compare(f"soft map, stage {i + 1}", assignment.soft, soft)
        image = theirs.visual_projection(found.pooler_output)
        self.compare("image embedding", self.model.project_image(ours.pooled), image)
        flat = theirs.visual_projection(found.last_hidden_state.flatten(0, 1))
        self.compare("group embeddings", self.model.project_image(ours.groups), flat.reshape(
            *found.last_hidden_state.shape[:2], -1
        ))  # fmt: skip
        return ours.groups, found.last_hidden_state

    def _ovsegmentor(self, config: OVSegmentorConfig) -> None:
        state = self.state()
        # The text side of this stand-in only has to be as wide as BERT, for the projector.
        width = TextConfig(width=config.text.width, depth=1, heads=1, vocabulary=8, length=8)
        stand_in = replace(config.encoder, patch_norm=True)
        likeness = GroupViTConfig(stand_in, width, config.projector, multi_label=False)
        theirs = oracle.grouping_encoder(state, config.encoder, likeness)
        our_groups, their_groups = self._grouping(theirs, config.encoder.image_size)
        text = "text_encoder.transformer."
        tower = {n.removeprefix(text): a for n, a in state.items() if n.startswith(text)}
        bert = oracle.text_transformer(tower, config.text)
        ours, found, mask = self._bert(bert, config.text, self.model.encode_text)
        embedded = theirs.text_projection(found[:, 0])
        self.compare("text embedding", self.model.project_text(ours[:, 0]), embedded)
        if not config.entity:
            return
        tokens, answer = oracle.entity_decoder(
            state, found, their_groups, heads=config.decoder_heads
        )
        decoded = self.model.decode_question(ours, our_groups, mask=jnp.asarray(mask))
        self.compare("entity decoder", decoded, tokens)
        self.compare("entity answer", self.model.bridge_projector(decoded[:, 0]), answer)

    def _bert(self, theirs: Any, config: TextConfig, encode: Any) -> tuple[Any, Any, np.ndarray]:
        import torch

        ids, mask = self.texts(config)
        ours = jax.jit(encode)(_text(ids, mask)).tokens
        found = theirs(
            input_ids=torch.from_numpy(ids).long(), attention_mask=torch.from_numpy(mask).int()
        ).last_hidden_state
        self.compare("text features", ours, found)
        return ours, found, mask

    def _clip(self, config: ClipConfig) -> None:
        import torch

        theirs = (
            oracle.from_folder("CLIPModel", self.path)
            if self.conversion.source.folder
            else oracle.clip(self.state(), config)
        )
        images = self.images(config.image.image_size)
        pixels = torch.from_numpy(images.transpose(0, 3, 1, 2).copy())
        vision = theirs.vision_model(pixel_values=pixels)
        ours = jax.jit(self.model.image_encoder)(images).pooled
        self.compare("image feature", ours, vision.pooler_output)
        image = theirs.visual_projection(vision.pooler_output)
        self.compare("image embedding", self.model.image_projection(ours), image)
        ids, mask = self.texts(config.text)
        found = theirs.text_model(
            input_ids=torch.from_numpy(ids).long(), attention_mask=torch.from_numpy(mask).int()
        )
        ours = jax.jit(self.model.text_encoder)(_text(ids, mask)).pooled
        self.compare("text feature", ours, found.pooler_output)
        embedded = theirs.text_projection(found.pooler_output)
        self.compare("text embedding", self.model.text_projection(ours), embedded)

    def _vision(self, config: VisionConfig) -> None:
        import torch

        images = self.images(config.image_size)
        pixels = torch.from_numpy(images.transpose(0, 3, 1, 2).copy())
        with tempfile.TemporaryDirectory() as folder:
            theirs = (
                oracle.from_folder("ViTModel", self.path)
                if self.conversion.source.folder
                else oracle.vision_transformer(self.state(), config, Path(folder))
            )
            found = theirs(pixel_values=pixels).last_hidden_state
        ours = jax.jit(self.model)(images)
        self.compare("class token", ours.pooled, found[:, 0])
        self.compare("patch features", ours.tokens, found[:, 1:])
