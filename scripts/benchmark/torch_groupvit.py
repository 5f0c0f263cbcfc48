"""GroupViT of ``transformers`` at the sizes of a config here, with random weights, ready to time.

Training step: forward, contrastive loss, backward, clipping at norm 5, fused AdamW. Inference:
projected image and group embeddings, and the group maps on the patches.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from ovs_jax.conversion.sources.groupvit_hf import to_settings

ALONE = (
    "--config.model.multi_label=False",
    "--config.objective.multi_label=0.0",
    "--config.objective.project_tokens=False",
    "--config.model.encoder.drop_path=0.0",
)
"""What makes GroupViT's step the one that `transformers` has, too."""
RATE = 1e-5
Runs = dict[str, Callable[[], None]]


def inputs(batch: int, size: int, length: int, vocabulary: int) -> dict[str, Any]:
    """Random images and texts; the last kept token is the end of text, the largest id."""
    rng = np.random.default_rng(0)
    ids = rng.integers(5, vocabulary - 2, (batch, length)).astype(np.int32)
    kept = rng.integers(length // 4, length + 1, batch)
    ids[np.arange(batch), kept - 1] = vocabulary - 1
    return {
        "image": rng.standard_normal((batch, size, size, 3), np.float32),
        "caption": {"ids": ids, "mask": np.arange(length) < kept[:, None]},
    }


class TorchGroupViT:
    """The model, its optimizer and its inputs on a device.

    Args:
      config: sizes, as `models.registry.model_config` gives them.
      batch: images a step.
      device: ``cpu`` or ``cuda``.
      dtype: ``bfloat16`` computes in it where autocast does, on float32 parameters.
      backend: of ``torch.compile``; None leaves the model as it is.
    """

    def __init__(
        self, config: Any, *, batch: int, device: str, dtype: str, backend: str | None
    ) -> None:
        import torch
        import transformers

        transformers.logging.set_verbosity_error()
        torch.manual_seed(0)
        self._torch, self._device, self._dtype = torch, device, dtype
        settings = to_settings(config, end_id=config.text.vocabulary - 1)
        self.model = transformers.GroupViTModel(transformers.GroupViTConfig(**settings)).to(device)
        self._called: Any = self.model
        if backend is not None:
            self._called = torch.compile(self.model, dynamic=False, backend=backend)
        self._parameters = list(self.model.parameters())
        self.parameters = sum(p.numel() for p in self._parameters)
        self._optimizer = torch.optim.AdamW(
            self._parameters, lr=RATE, weight_decay=0.05, fused=True
        )
        encoder, words = config.encoder, config.text
        arrays = inputs(batch, encoder.image_size, words.length, words.vocabulary)
        pixels = np.ascontiguousarray(arrays["image"].transpose(0, 3, 1, 2))
        self._images = torch.from_numpy(pixels).to(device)
        self._ids = torch.from_numpy(arrays["caption"]["ids"]).long().to(device)
        self._mask = torch.from_numpy(arrays["caption"]["mask"]).long().to(device)

    def train(self) -> None:
        """Takes a step and waits for it."""
        torch = self._torch
        self.model.train()
        self._optimizer.zero_grad(set_to_none=True)
        low = self._dtype == "bfloat16"
        with torch.autocast(self._device, dtype=torch.bfloat16, enabled=low):
            found = self._called(
                input_ids=self._ids,
                attention_mask=self._mask,
                pixel_values=self._images,
                return_loss=True,
            )
        found.loss.backward()
        torch.nn.utils.clip_grad_norm_(self._parameters, 5.0)
        self._optimizer.step()
        if self._device == "cuda":
            torch.cuda.synchronize()

    def infer(self) -> None:
        """Encodes the images."""
        torch, model = self._torch, self.model
        model.eval()
        with torch.inference_mode():
            found = model.vision_model(pixel_values=self._images, output_attentions=True)
            model.visual_projection(found.pooler_output)
            groups = found.last_hidden_state
            model.visual_projection(groups.reshape(-1, groups.shape[-1]))
            torch.matmul(found.attentions[1], found.attentions[0])
