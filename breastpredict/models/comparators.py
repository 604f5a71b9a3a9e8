"""The paper's comparators: timm's image networks as encoders in the frame of the pCR network.

VGG16, ResNet50, DenseNet121, ViT and Swin with the same pathways, head and settings; the paper
says no more of how they were joined. The patches and both ultrasounds are resized to the size the
ImageNet weights were made for (224, the size its Methods mention), and the last map is averaged
over its positions (for ViT: over the patches; for VGG16: without its two large hidden layers).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import timm
import torch
from torch import nn
from torch.nn.functional import interpolate


class TimmEncoder(nn.Module):
    """An image ``[N, 3, S, S]`` in [-1, 1] to a map of features, and to its mean.

    Args:
        name: timm's.
        input_size: side in pixels that the image is resized to, bilinear and without aliases.
    """

    backbone: Any

    def __init__(self, name: str, input_size: int) -> None:
        super().__init__()
        self.options: dict[str, Any] = {}
        if name.startswith("vit"):
            self.options = {"img_size": input_size, "global_pool": "avg", "fc_norm": False}
        elif name.startswith("swin"):
            self.options = {"img_size": input_size}
        elif name.startswith("vgg"):
            self.options = {"mlp_ratio": 1 / 4096}  # the hidden layers are not wanted
        self.backbone: Any = timm.create_model(
            name, pretrained=False, num_classes=0, **self.options
        )
        if name.startswith("vgg"):
            self.backbone.pre_logits = nn.Identity()
        self.name = name
        self.input_size = input_size
        self.width: int = self.backbone.num_features
        self._mean: tuple[float, ...] = self.backbone.default_cfg["mean"]
        self._deviation: tuple[float, ...] = self.backbone.default_cfg["std"]

    def maps(self, images: torch.Tensor) -> torch.Tensor:
        """``[N, 3, S, S]`` → ``[N, width, rows, columns]``."""
        mean, deviation = (
            images.new_tensor(values)[:, None, None] for values in (self._mean, self._deviation)
        )
        if images.shape[-1] != self.input_size:
            size = (self.input_size, self.input_size)
            images = interpolate(images, size=size, mode="bilinear", antialias=True)
        found: torch.Tensor = self.backbone.forward_features(((images + 1) / 2 - mean) / deviation)
        if self.name.startswith("vit"):
            side = self.backbone.patch_embed.grid_size
            found = found[:, 1:].transpose(1, 2).reshape(len(found), -1, *side)
        elif self.name.startswith("swin"):
            found = found.permute(0, 3, 1, 2)
        return found

    def pool(self, maps: torch.Tensor) -> torch.Tensor:
        """The mean over all positions: ``[N, width]``."""
        return maps.mean(dim=(2, 3))

    def fitted(self, state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """timm's weights of the whole network as a state of ``backbone``, classifier left out.

        Raises KeyError, or whatever timm does, for weights that are not of this network.
        """
        own = self.backbone.state_dict()
        if not self.name.startswith(("vit", "swin")):
            return {key: state[key] for key in own}
        # timm fits positions to the size of the input. The full network, because it reads a file
        # strictly only where the classes agree.
        donor = timm.create_model(
            self.name,
            pretrained=True,
            pretrained_cfg_overlay={"state_dict": dict(state)},
            **self.options,
        )
        found = donor.state_dict()
        return {key: found[key] for key in own}
