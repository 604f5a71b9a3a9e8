"""A saved model: a MONAI bundle folder, read without running anything in it.

::

    her2_zero_vs_rest/
      LICENSE  docs/README.md  models/model.safetensors
      configs/metadata.json  configs/inference.json  configs/metadata.schema.json  logging.conf

``python -m monai.bundle verify_metadata`` and ``run`` work on it. A bundle's configuration can name
any callable (``$`` is eval, ``_target_`` calls), so predicting reads only ``metadata.json``, as
plain JSON, and the weights, as safetensors whose SHA-256 that file states.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from breastpredict import RESEARCH_USE_ONLY, SYNTHETIC_WARNING, __version__
from breastpredict.errors import InputError
from breastpredict.files import write_folder
from breastpredict.models.network import check_network
from breastpredict.models.weights import read_safetensors, sha256_of

if TYPE_CHECKING:
    from timm.models.vision_transformer import VisionTransformer
    from torch import nn

WEIGHTS = "models/model.safetensors"
METADATA = "configs/metadata.json"
_BLOCK = "breastpredict"
_MAXIMUM_METADATA = 10_000_000  # bytes; a real one has some thousand
_REMEDY = "Use a bundle made by 'breastpredict her2 train', unchanged"


@dataclass(frozen=True)
class Bundle:
    """A loaded model.

    Attributes:
        model: in evaluation mode, on the device asked for.
        metadata: the whole of metadata.json; our own part is under ``"breastpredict"``.
        sha256: of the weights.
        folder: where it was read from.
    """

    model: VisionTransformer
    metadata: dict[str, Any]
    sha256: str
    folder: Path

    @property
    def block(self) -> dict[str, Any]:
        """Our own part of the metadata: task, classes, threshold, training data and so on."""
        block: dict[str, Any] = self.metadata[_BLOCK]
        return block


def save_bundle(
    folder: Path, model: nn.Module, *, network: Mapping[str, Any], metadata: Mapping[str, Any]
) -> Path:
    """Write a model as a bundle; the folder appears whole or not at all.

    Args:
        folder: where; an existing bundle there is replaced.
        model: built from ``network``.
        network: see ``VIT_TINY``.
        metadata: the ``breastpredict`` block: task, positive_class, negative_class, threshold,
            prevalence, calibration, synthetic, training_data, counts, seed, ...

    Raises:
        InputError: the folder holds something that is no bundle.
    """
    from safetensors.torch import save_file

    folder = Path(folder)
    network = check_network(network)
    if folder.exists() and any(folder.iterdir()) and not (folder / METADATA).is_file():
        raise InputError("The folder is not empty and no bundle", path=folder)
    with write_folder(folder) as temporary:
        for name in ("configs", "docs", "models"):
            (temporary / name).mkdir()
        state = {key: value.detach().contiguous() for key, value in model.state_dict().items()}
        save_file(state, temporary / WEIGHTS)
        whole = _metadata(network, metadata, sha256_of(temporary / WEIGHTS))
        _write_json(temporary / METADATA, whole)
        source = files("breastpredict.models") / "bundle_files"
        for name, target in (
            ("inference.json", "configs/inference.json"),
            ("metadata.schema.json", "configs/metadata.schema.json"),
            ("logging.conf", "configs/logging.conf"),
            ("LICENSE", "LICENSE"),
        ):
            (temporary / target).write_text((source / name).read_text("utf-8"), "utf-8")
        (temporary / "docs" / "README.md").write_text(_card(whole), "utf-8")
    return folder


def read_bundle_metadata(folder: Path) -> dict[str, Any]:
    """metadata.json of a bundle, checked as far as predicting needs it. Does not import torch.

    Raises:
        InputError: no bundle, damaged or incomplete metadata, or files that lead out of it.
    """
    folder = Path(folder)
    path = folder / METADATA
    if not path.is_file():
        raise InputError("There is no model bundle here", path=folder, remedy=_REMEDY)
    for inside in (path, folder / WEIGHTS):
        if not inside.resolve().is_relative_to(folder.resolve()):
            raise InputError("A file of the bundle leads out of it", path=inside, remedy=_REMEDY)
    try:
        if path.stat().st_size > _MAXIMUM_METADATA:
            raise ValueError("too large")
        metadata = json.loads(path.read_text("utf-8"), parse_constant=_no_constant)
        block = metadata[_BLOCK]
        texts = ("weights_sha256", "task", "positive_class", "negative_class")
        if not all(isinstance(block[key], str) for key in texts):
            raise TypeError("texts expected")
        if type(block["threshold"]) not in (int, float) or not 0 <= block["threshold"] <= 1:
            raise ValueError("threshold")
        groups = [block["network"], block["training_data"], block.get("calibration", {})]
        if not all(isinstance(value, dict) for value in [*groups, *groups[1].values()]):
            raise TypeError("network, training_data or calibration")
        if type(block["synthetic"]) is not bool:
            raise TypeError("synthetic")
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(
            "The bundle's metadata is damaged or incomplete", path=path, remedy=_REMEDY
        ) from error
    block["network"] = check_network(block["network"], str(path))
    result: dict[str, Any] = metadata
    return result


def load_bundle(folder: Path, device: str = "cpu") -> Bundle:
    """Load a bundle for predicting. Nothing in it is executed.

    Raises:
        InputError: no bundle, damaged files, or weights that are not the ones it was saved with.
    """
    folder = Path(folder)
    metadata = read_bundle_metadata(folder)
    path = folder / WEIGHTS
    if not path.is_file():
        raise InputError("The bundle has no weights", path=path, remedy=_REMEDY)
    digest = sha256_of(path)
    if digest != metadata[_BLOCK]["weights_sha256"]:
        raise InputError(
            "The weights do not match the hash in the bundle's metadata: they were changed",
            path=path,
            remedy=_REMEDY,
        )
    state = read_safetensors(path)

    import torch

    if not all(v.dtype == torch.float32 and v.isfinite().all() for v in state.values()):
        raise InputError(
            "The weights hold values that are not finite or not in single precision",
            path=path,
            remedy=_REMEDY,
        )

    from breastpredict.models.vit import build_vit

    # Built without storage: drawing random weights only to replace them takes longer than a
    # prediction.
    with torch.device("meta"):
        model = build_vit(weight_init="skip", **metadata[_BLOCK]["network"])
    try:
        model.load_state_dict(state, assign=True)
    except RuntimeError as error:
        raise InputError(
            "The weights do not fit the bundle's network", path=path, remedy=_REMEDY
        ) from error
    try:
        model.to(device)
    except (RuntimeError, AssertionError) as error:
        raise InputError(f"The device '{device}' cannot be used", remedy="Try cpu") from error
    return Bundle(model.eval(), metadata, digest, folder)


def _metadata(network: Mapping[str, Any], block: Mapping[str, Any], digest: str) -> dict[str, Any]:
    size, channels = network["image_size"], network["in_channels"]
    positive = block.get("positive_class", "positive")
    return {
        "schema": "metadata.schema.json",
        "version": "0.1.0",
        "changelog": {"0.1.0": "trained"},
        "monai_version": version("monai"),
        "pytorch_version": version("torch"),
        "numpy_version": version("numpy"),
        "required_packages_version": {
            "timm": version("timm"),
            "safetensors": version("safetensors"),
            "breastpredict": __version__,
        },
        "task": f"Binary classification of a breast tumour on MRI: {block.get('task', '')}",
        "description": f"Vision Transformer on the largest tumour slice. {RESEARCH_USE_ONLY}",
        "authors": "trained on the user's own cohort with BreastPredict",
        "copyright": "the owner of the training data",
        "intended_use": RESEARCH_USE_ONLY,
        "network_data_format": {
            "inputs": {
                "image": {
                    "type": "image",
                    "format": "magnitude",
                    "modality": "MR",
                    "num_channels": channels,
                    "spatial_shape": [size, size],
                    "dtype": "float32",
                    "value_range": [-1, 1],
                    "is_patch_data": False,
                    "channel_def": {str(i): "early post-contrast" for i in range(channels)},
                }
            },
            "outputs": {
                "pred": {
                    "type": "probabilities",
                    "format": "classes",
                    "num_channels": 1,
                    "spatial_shape": [1],
                    "dtype": "float32",
                    "value_range": [0, 1],
                    "is_patch_data": False,
                    "channel_def": {"0": f"logit of {positive} (sigmoid gives the score)"},
                }
            },
        },
        _BLOCK: {**block, "network": dict(network), "weights_sha256": digest},
    }


def _card(metadata: Mapping[str, Any]) -> str:
    """The short model card in docs/README.md."""
    block = metadata[_BLOCK]
    lines = [
        f"# {block.get('task', 'model')}",
        "",
        f"**{RESEARCH_USE_ONLY}**",
        *(["", f"**{SYNTHETIC_WARNING}**"] if block.get("synthetic") else []),
        "",
        f"- Positive class (what the score points to): {block.get('positive_class')}",
        f"- Negative class: {block.get('negative_class')}",
        f"- Threshold: {block.get('threshold')}",
        f"- Training prevalence of the positive class: {block.get('prevalence')}",
        f"- Calibration: {json.dumps(block.get('calibration'))}",
        f"- Cases: {json.dumps(block.get('counts'))}",
        f"- Started from: {json.dumps(block.get('initialisation'))}",
        f"- Weights SHA-256: {block['weights_sha256']}",
        "",
        "Run on a folder of network inputs (`.npy`, float32, [channels, size, size], -1 to 1):",
        "",
        "```sh",
        "python -m monai.bundle run --config_file configs/inference.json \\",
        "  --bundle_root . --dataset_dir INPUTS --output_dir OUT",
        "python -m monai.bundle verify_metadata --meta_file configs/metadata.json \\",
        "  --filepath configs/metadata.schema.json",
        "```",
    ]
    return "\n".join(lines) + "\n"


def _no_constant(name: str) -> None:
    """JSON has no NaN or infinity, and none is ever written."""
    raise ValueError(name)


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=2, allow_nan=False) + "\n", encoding="utf-8")
