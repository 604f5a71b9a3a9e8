"""The Vision Transformer, built by timm from a plain description."""

from __future__ import annotations

from typing import Any

import timm
from timm.models.vision_transformer import VisionTransformer

from breastpredict.models.network import check_network


def build_vit(*, weight_init: str = "", **network: Any) -> VisionTransformer:
    """A ViT with one logit, random weights (see ``initialise``), in training mode.

    Input ``[N, in_channels, image_size, image_size]`` float32 in [-1, 1] (timm's mean = std = 0.5
    for this family); output ``[N, 1]``.

    Args:
        weight_init: timm's scheme; ``"skip"`` where weights are loaded next.
        **network: see ``VIT_TINY``; the paper's configuration is timm's ``vit_tiny_patch16_224``.

    Raises:
        InputError: the description is not one of a network we can build.
    """
    network = check_network(network)
    model = timm.create_model(
        network["architecture"],
        pretrained=False,
        num_classes=1,
        in_chans=network["in_channels"],
        img_size=network["image_size"],
        patch_size=network["patch_size"],
        embed_dim=network["width"],
        depth=network["depth"],
        num_heads=network["heads"],
        weight_init=weight_init,
    )
    assert isinstance(model, VisionTransformer)
    return model
