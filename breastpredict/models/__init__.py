"""Networks, their weights, their explanation, and the bundles they are kept in.

Importing this room does not import torch; using a network does.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from breastpredict.models.bundle import (
    Bundle,
    copy_bundle,
    load_bundle,
    read_bundle_metadata,
    save_bundle,
)
from breastpredict.models.network import VIT_REDUCED, VIT_TINY, check_network
from breastpredict.models.weights import WeightsRecord, initialise

if TYPE_CHECKING:
    from breastpredict.models.explain import METHODS, MapResult, predict_with_map
    from breastpredict.models.vit import build_vit

__all__ = [
    "METHODS",
    "VIT_REDUCED",
    "VIT_TINY",
    "Bundle",
    "MapResult",
    "WeightsRecord",
    "build_vit",
    "check_network",
    "copy_bundle",
    "initialise",
    "load_bundle",
    "predict_with_map",
    "read_bundle_metadata",
    "save_bundle",
]

_NEEDS_TORCH = {
    "METHODS": "explain",
    "MapResult": "explain",
    "predict_with_map": "explain",
    "build_vit": "vit",
}


def __getattr__(name: str) -> Any:
    """Import the modules that need torch when they are first used."""
    if name in _NEEDS_TORCH:
        return getattr(import_module(f"{__name__}.{_NEEDS_TORCH[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
