"""Reads a folder of reference numbers and builds the model it describes."""

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ovs_jax.conversion.rules import Converted, Rule, to_ours
from ovs_jax.conversion.sources import groupvit, ovsegmentor
from ovs_jax.models.groupvit.config import EncoderConfig, GroupViTConfig
from ovs_jax.models.ovsegmentor.config import OVSegmentorConfig
from ovs_jax.models.projector import ProjectorConfig
from ovs_jax.models.registry import ModelConfig, build
from ovs_jax.models.text import TextConfig
from ovs_jax.nn import functional


@dataclass(frozen=True)
class Reference:
    """One model's folder."""

    folder: Path

    @property
    def name(self) -> str:
        """What the report calls it."""
        return self.folder.name

    @cached_property
    def config(self) -> dict[str, Any]:
        """The sizes of the reference run."""
        return json.loads((self.folder / "config.json").read_text())

    @property
    def is_groupvit(self) -> bool:
        """Whether this is GroupViT rather than OVSegmentor."""
        return "bert" not in self.config

    def arrays(self, file: str) -> dict[str, np.ndarray] | None:
        """The arrays of a file, or None where the folder lacks it."""
        path = self.folder / f"{file}.npz"
        return dict(np.load(path)) if path.exists() else None

    def json(self, file: str) -> dict[str, Any]:
        """A JSON file, or nothing where the folder lacks it."""
        path = self.folder / f"{file}.json"
        return json.loads(path.read_text()) if path.exists() else {}

    @cached_property
    def model_config(self) -> ModelConfig:
        """Our configuration of the reference's sizes."""
        c = self.config
        encoder = EncoderConfig(
            image_size=c["img"],
            patch_size=c["patch"],
            width=c["embed"],
            depths=tuple(c["depths"]),
            heads=tuple(c["heads"]),
            group_tokens=tuple(c["ngt"]),
            output_groups=tuple(c["nog"]),
            patch_norm=c.get("patch_norm", True),
            drop_path=0.0,
        )
        projector = ProjectorConfig(hidden=4096, outputs=c["out"])
        if self.is_groupvit:
            text = c["text"]
            return GroupViTConfig(
                encoder=encoder,
                text=TextConfig(
                    kind="clip",
                    vocabulary=text["vocab_size"],
                    length=text["context_length"],
                    width=text["width"],
                    depth=text["layers"],
                    heads=max(text["width"] // 64, 1),
                    hidden=4 * text["width"],
                ),
                projector=projector,
                multi_label=bool(c.get("ml", 0)),
            )
        text = c["bert"]
        return OVSegmentorConfig(
            encoder=encoder,
            text=TextConfig(
                kind="bert",
                vocabulary=text["vocab_size"],
                length=text["max_position_embeddings"],
                width=text["hidden_size"],
                depth=text["num_hidden_layers"],
                heads=text["num_attention_heads"],
                hidden=text["intermediate_size"],
            ),
            projector=projector,
            decoder_layers=c.get("cross_layers", 1),
            momentum=any(key.startswith("img_encoder_momentum.") for key in self.state),
        )

    @cached_property
    def state(self) -> dict[str, np.ndarray]:
        """The reference's parameters under their own names."""
        return dict(np.load(self.folder / "params.npz"))

    @property
    def rules(self) -> list[Rule]:
        """The rules between the reference's names and ours."""
        return list(groupvit.RULES if self.is_groupvit else ovsegmentor.RULES)

    @cached_property
    def model(self) -> tuple[Any, Converted]:
        """The static model, and the reference's parameters in our form."""
        static, params, stats = functional.abstract(build(self.model_config))
        return static, to_ours(self.state, self.rules, params=params, stats=stats)

    def image(self, array: np.ndarray) -> np.ndarray:
        """NCHW to NHWC."""
        return array.transpose(0, 2, 3, 1)
