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
from breastpredict.models.network import (
    VIT_REDUCED,
    VIT_TINY,
    System,
    check_network,
    input_shapes,
    system_of,
)
from breastpredict.models.pcr_network import (
    CLINICAL,
    COMPARATORS,
    MODALITIES,
    PCR_PRESETS,
    PCR_VARIANTS,
    SE_CROSST_REDUCED,
    SE_CROSST_STOCK,
    SE_CROSST_T,
    pcr_variant,
)
from breastpredict.models.weights import WeightsRecord, initialise

if TYPE_CHECKING:
    from breastpredict.models.build import build_network
    from breastpredict.models.counting import describe
    from breastpredict.models.explain import METHODS, MapResult, predict_with_map
    from breastpredict.models.explain_pcr import (
        PCR_METHODS,
        Occlusion,
        PcrMaps,
        predict_with_maps,
    )
    from breastpredict.models.se_crosst import PcrNetwork
    from breastpredict.models.vit import build_vit

__all__ = [
    "CLINICAL",
    "COMPARATORS",
    "METHODS",
    "MODALITIES",
    "PCR_METHODS",
    "PCR_PRESETS",
    "PCR_VARIANTS",
    "SE_CROSST_REDUCED",
    "SE_CROSST_STOCK",
    "SE_CROSST_T",
    "VIT_REDUCED",
    "VIT_TINY",
    "Bundle",
    "MapResult",
    "Occlusion",
    "PcrMaps",
    "PcrNetwork",
    "System",
    "WeightsRecord",
    "build_network",
    "build_vit",
    "check_network",
    "copy_bundle",
    "describe",
    "initialise",
    "input_shapes",
    "load_bundle",
    "pcr_variant",
    "predict_with_map",
    "predict_with_maps",
    "read_bundle_metadata",
    "save_bundle",
    "system_of",
]

_NEEDS_TORCH = {
    "METHODS": "explain",
    "MapResult": "explain",
    "predict_with_map": "explain",
    "build_vit": "vit",
    "build_network": "build",
    "PcrNetwork": "se_crosst",
    "describe": "counting",
    "PCR_METHODS": "explain_pcr",
    "Occlusion": "explain_pcr",
    "PcrMaps": "explain_pcr",
    "predict_with_maps": "explain_pcr",
}


def __getattr__(name: str) -> Any:
    """Import the modules that need torch when they are first used."""
    if name in _NEEDS_TORCH:
        return getattr(import_module(f"{__name__}.{_NEEDS_TORCH[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
