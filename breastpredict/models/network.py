"""The plain description of a network: what a bundle may say, checked before anything is built."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from breastpredict.errors import InputError
from breastpredict.models.pcr_network import COMPARATORS, SE_CROSST, check_pcr_network

ARCHITECTURE = "vit_tiny_patch16_224"
"""timm's name of the network for HER2.

Width, depth, heads, image and patch size are free; the block is the same.
"""

VIT_TINY: dict[str, Any] = {
    "architecture": ARCHITECTURE,
    "image_size": 224,
    "patch_size": 16,
    "width": 192,
    "depth": 12,
    "heads": 3,
    "in_channels": 1,
}
"""The paper's network (A9): 12 layers, 3 heads, 16×16 patches, width 192; one input channel.

A grey image copied into three channels gives what one channel with the summed patch embedding
gives, so one channel loses nothing and costs a third of the embedding.
"""

VIT_REDUCED: dict[str, Any] = {
    "architecture": ARCHITECTURE,
    "image_size": 64,
    "patch_size": 8,
    "width": 96,
    "depth": 4,
    "heads": 3,
    "in_channels": 1,
}
"""For demonstrations and tests: learns from scratch in minutes on two cores."""

_RANGES = {
    "image_size": (16, 1024),
    "patch_size": (2, 64),
    "width": (8, 2048),
    "depth": (1, 64),
    "heads": (1, 64),
    "in_channels": (1, 4),
}


System = Literal["her2", "pcr"]
SYSTEM_NAMES: dict[System, str] = {"her2": "HER2", "pcr": "pCR"}


def system_of(network: Mapping[str, Any]) -> System:
    """Which system a description's network belongs to; that of HER2 if it is no description."""
    return "pcr" if network.get("architecture") in (SE_CROSST, *COMPARATORS) else "her2"


def input_shapes(network: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """Name → shape of one case of every input of a checked network, in the order of its call."""
    size = network["image_size"]
    if system_of(network) == "her2":
        return {"image": (network["in_channels"], size, size)}
    shapes = {
        "pathology": (network["patches"], 3, size, size),
        "us0": (3, size, size),
        "us1": (3, size, size),
        "clinical": (len(network["clinical"]),),
    }
    return {name: shapes[name] for name in network["modalities"]}


def check_network(network: Mapping[str, Any], path: str | None = None) -> dict[str, Any]:
    """The description as a plain dict, every key present and in range.

    For the networks that predict pCR see ``check_pcr_network``.

    Raises:
        InputError: unknown architecture, unknown or missing key, wrong type, out of range, or
            sizes that do not divide.
    """

    def fail(what: str) -> InputError:
        return InputError(f"The network description {what}", path=path, remedy="Train it again")

    if system_of(network) == "pcr":
        return check_pcr_network(network, path)
    if network.get("architecture") != ARCHITECTURE:
        raise fail(f"names an unknown architecture, {str(network.get('architecture'))[:60]!r}")
    if set(network) != {"architecture", *_RANGES}:
        wrong = sorted(set(network) ^ {"architecture", *_RANGES})
        raise fail(f"has missing or unknown keys: {', '.join(str(key)[:40] for key in wrong)}")
    for key, (low, high) in _RANGES.items():
        value = network[key]
        if type(value) is not int or not low <= value <= high:
            raise fail(f"gives {key} as {str(value)[:40]!r}, not a number from {low} to {high}")
    if network["image_size"] % network["patch_size"] or network["width"] % network["heads"]:
        raise fail("has sizes that do not divide (image by patch, width by heads)")
    return dict(network)
