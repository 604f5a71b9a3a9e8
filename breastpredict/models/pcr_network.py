"""Plain descriptions of the networks that predict pCR: presets, variants, and their check.

A description is a dict that JSON can hold. Sizes are lists of four, one per stage. Does not import
torch. Sources: papers/pcr_se_crosst.txt (Fig. 7, Methods) and CrossFormer (Wang et al., ICLR 2022).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from breastpredict.errors import InputError

SE_CROSST = "se_crosst"

COMPARATORS = {
    "vgg16": "timm/vgg16.tv_in1k",
    "resnet50": "timm/resnet50.a1_in1k",
    "densenet121": "timm/densenet121.ra_in1k",
    "vit_small_patch16_224": "timm/vit_small_patch16_224.augreg_in21k_ft_in1k",
    "swin_tiny_patch4_window7_224": "timm/swin_tiny_patch4_window7_224.ms_in1k",
}
"""The paper's five comparators: timm's name → its ImageNet weights on the hub.

The paper gives neither size nor version. ViT is the small one: with Swin-T it is the nearest in
size to CrossFormer-T.
"""

MODALITIES = ("pathology", "us0", "us1", "clinical")
CLINICAL = ("subtype", "er", "ki67", "regimen")
"""The paper's four variables, as ordinals in [0, 1]."""

_FRAME: dict[str, Any] = {
    "modalities": list(MODALITIES),
    "clinical": list(CLINICAL),
    "patches": 9,
    "features": 8,
    "head_norm": False,
    "image_size": 512,
}

_SIZES: dict[str, dict[str, Any]] = {
    "t": {"depths": [1, 1, 8, 6], "dims": [64, 128, 256, 512], "drop_path": 0.1},
    "s": {"depths": [2, 2, 6, 2], "dims": [96, 192, 384, 768], "drop_path": 0.2},
    "b": {"depths": [2, 2, 18, 2], "dims": [96, 192, 384, 768], "drop_path": 0.3},
    "l": {"depths": [2, 2, 18, 2], "dims": [128, 256, 512, 1024], "drop_path": 0.5},
}
"""CrossFormer's T, S, B, L (its Table 1); a head has 32 channels everywhere."""


def _se_crosst(size: str) -> dict[str, Any]:
    dims = _SIZES[size]["dims"]
    return {
        "architecture": SE_CROSST,
        **_FRAME,
        **_SIZES[size],
        "heads": [dim // 32 for dim in dims],
        "group": 8,
        "intervals": [16, 8, 4, 2],
        "mlp_ratio": 4,
        "se_ratio": 16,
        "position_embedding": True,
        "share_after": 2,
    }


SE_CROSST_T: dict[str, Any] = _se_crosst("t")
"""The default, at 512².

Groups of 8×8 tokens and intervals of 16, 8, 4, 2 fill the maps of 128², 64², 32², 16² exactly, so
that nothing is padded and long-distance attention spans the whole map. CrossFormer's own 7 and
8, 4, 2, 1 were made for 224² (see ``SE_CROSST_STOCK``).
"""

SE_CROSST_STOCK: dict[str, Any] = {
    **SE_CROSST_T,
    "group": 7,
    "intervals": [8, 4, 2, 1],
    "se_ratio": 0,
    "position_embedding": False,
}
"""CrossFormer-T as published, in the same frame: no SE, no absolute positions, padded at 512²."""

SE_CROSST_REDUCED: dict[str, Any] = {
    **SE_CROSST_T,
    "image_size": 64,
    "dims": [16, 32, 64, 128],
    "depths": [1, 1, 2, 1],
    "heads": [1, 2, 4, 8],
    "group": 4,
    "intervals": [4, 2, 1, 1],
    "drop_path": 0.0,
    "head_norm": True,
}
"""For demonstrations and tests: learns from scratch in minutes on two cores.

What enters its head is normalised over the cases of a step, which the paper's network does not do.
A fresh encoder's vectors differ ten times less between patients than they are large; what they have
in common then moves with every step and drowns the difference (on phantom tissue the area stays at
0.6 on the training patients themselves; normalised it reaches 0.73 in half the steps). The networks
at 512² keep the paper's head: their steps go through memory two cases at a time, over which nothing
can be normalised.
"""


def _comparator(architecture: str) -> dict[str, Any]:
    return {"architecture": architecture, **_FRAME, "input_size": 224}


PCR_PRESETS: dict[str, dict[str, Any]] = {
    **{f"se-crosst-{size}": _se_crosst(size) for size in _SIZES},
    "stock": SE_CROSST_STOCK,
    "reduced": SE_CROSST_REDUCED,
    "vgg16": _comparator("vgg16"),
    "resnet50": _comparator("resnet50"),
    "densenet121": _comparator("densenet121"),
    "vit": _comparator("vit_small_patch16_224"),
    "swin": _comparator("swin_tiny_patch4_window7_224"),
}
"""By the name the command line uses."""

PCR_VARIANTS: dict[str, dict[str, Any]] = {
    "full": {},
    "ultrasound": {"modalities": ["us0", "us1", "clinical"]},
    "pathology": {"modalities": ["pathology", "clinical"]},
    "single-time": {"modalities": ["pathology", "us0", "clinical"]},
    "no-clinical": {"modalities": ["pathology", "us0", "us1"]},
    "no-se": {"se_ratio": 0},
}
"""The ablations (paper: Table 5) as changes of a description, for ``pcr_variant``."""

_FRAME_RANGES = {"patches": (1, 64), "features": (1, 256), "image_size": (32, 1024)}
_ENCODER_RANGES = {
    "group": (2, 16),
    "mlp_ratio": (1, 8),
    "se_ratio": (0, 64),
    "share_after": (0, 3),
}
_STAGE_RANGES = {"dims": (8, 2048), "depths": (1, 32), "heads": (1, 64), "intervals": (1, 64)}
_COMPARATOR_RANGES = {"input_size": (32, 512)}
_ENCODER_KEYS = {*_ENCODER_RANGES, *_STAGE_RANGES, "position_embedding", "drop_path"}
_FRAME_KEYS = {"architecture", "modalities", "clinical", "head_norm", *_FRAME_RANGES}


def pcr_variant(
    network: Mapping[str, Any],
    *,
    modalities: Iterable[str] | None = None,
    clinical: Iterable[str] | None = None,
    **changes: Any,
) -> dict[str, Any]:
    """A checked description that differs from ``network``, such as one without ultrasound.

    Args:
        network: a description, such as ``SE_CROSST_T``.
        modalities: what the variant is given, of ``MODALITIES``; without ``clinical`` among them
            it has no clinical variables.
        clinical: names of the clinical variables, in the order of their columns; naming some
            brings the modality with it, an empty list removes it.
        **changes: of other keys, such as ``se_ratio=0``.

    Raises:
        InputError: see ``check_pcr_network``.
    """
    given = list(network["modalities"] if modalities is None else modalities)
    names = list(network["clinical"] if clinical is None else clinical)
    if clinical is not None:
        given = [name for name in given if name != "clinical"] + (["clinical"] if names else [])
    elif "clinical" not in given:
        names = []
    elif not names:  # the description it came from had none
        names = list(CLINICAL)
    ordered = [*(m for m in MODALITIES if m in given), *(m for m in given if m not in MODALITIES)]
    return check_pcr_network({**network, "modalities": ordered, "clinical": names, **changes})


def pathways(modalities: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Which images enter which pathway of a network with these modalities.

    Dou-Ult Net takes both times, where both are there. Patho-Ult Net takes the pathology and one
    ultrasound, US-0 where there is a choice; or what there is of the two when Dou-Ult Net does not
    cover it. So every image modality alone, and every combination, is a network.
    """
    has = set(modalities)
    both = {"us0", "us1"} <= has
    found: dict[str, tuple[str, ...]] = {}
    single = [] if both and "pathology" not in has else [m for m in ("us0", "us1") if m in has][:1]
    patho = [*(["pathology"] if "pathology" in has else []), *single]
    if patho:
        found["patho_ult"] = tuple(patho)
    if both:
        found["dou_ult"] = ("us0", "us1")
    return found


def check_pcr_network(network: Mapping[str, Any], path: str | None = None) -> dict[str, Any]:
    """The description as a plain dict of its own, every key present and in range.

    Raises:
        InputError: unknown architecture, unknown or missing key, wrong type, out of range, sizes
            that do not divide, or inputs that make no network.
    """

    def fail(what: str) -> InputError:
        return InputError(f"The network description {what}", path=path, remedy="Train it again")

    def number(key: str, value: Any, low: int, high: int) -> None:
        if type(value) is not int or not low <= value <= high:
            raise fail(f"gives {key} as {str(value)[:40]!r}, not a number from {low} to {high}")

    architecture = network.get("architecture")
    ours = architecture == SE_CROSST
    if not ours and architecture not in tuple(COMPARATORS):
        raise fail(f"names an unknown architecture, {str(architecture)[:60]!r}")
    expected = _FRAME_KEYS | (_ENCODER_KEYS if ours else set(_COMPARATOR_RANGES))
    if set(network) != expected:
        wrong = sorted(str(key)[:40] for key in set(network) ^ expected)
        raise fail(f"has missing or unknown keys: {', '.join(wrong)}")
    ranges = {**_FRAME_RANGES, **(_ENCODER_RANGES if ours else _COMPARATOR_RANGES)}
    for key, (low, high) in ranges.items():
        number(key, network[key], low, high)
    if type(network["head_norm"]) is not bool:
        raise fail("gives head_norm as neither true nor false")
    modalities, clinical = network["modalities"], network["clinical"]
    if (
        not isinstance(modalities, list)
        or not all(isinstance(name, str) for name in modalities)
        or modalities != [name for name in MODALITIES if name in modalities]
    ):
        raise fail(
            f"gives modalities as {str(modalities)[:60]!r}, not a choice of "
            f"{', '.join(MODALITIES)} in this order"
        )
    if not pathways(modalities):
        raise fail("has no image among its modalities; clinical variables alone are no network")
    if (
        not isinstance(clinical, list)
        or not all(isinstance(n, str) and 0 < len(n) <= 60 and n.isprintable() for n in clinical)
        or len(set(clinical)) != len(clinical)
        or len(clinical) > 64
    ):
        raise fail("gives clinical variables that are no list of different names, at most 64")
    if bool(clinical) != ("clinical" in modalities):
        raise fail("names clinical variables without the modality 'clinical', or this without them")
    if ours:
        _check_encoder(network, fail, number)
    elif network["input_size"] % 32:
        raise fail("gives an input_size that 32 does not divide")
    return {key: list(v) if isinstance(v, list) else v for key, v in network.items()}


def _check_encoder(network: Mapping[str, Any], fail: Any, number: Any) -> None:
    for key, (low, high) in _STAGE_RANGES.items():
        values = network[key]
        if not isinstance(values, list) or len(values) != 4:
            raise fail(f"gives {key} as {str(values)[:40]!r}, not four numbers")
        for value in values:
            number(key, value, low, high)
    if type(network["position_embedding"]) is not bool:
        raise fail("gives position_embedding as neither true nor false")
    rate = network["drop_path"]
    if type(rate) not in (int, float) or not 0 <= rate < 1:
        raise fail(f"gives drop_path as {str(rate)[:40]!r}, not a share below 1")
    dims, heads = network["dims"], network["heads"]
    if (
        network["image_size"] % 32
        or any(dim % 8 for dim in dims)
        or any(dim % head for dim, head in zip(dims, heads, strict=True))
    ):
        raise fail("has sizes that do not divide (image by 32, widths by 8 and by heads)")
