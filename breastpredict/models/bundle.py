"""A saved model: a MONAI bundle folder, read without running anything in it.

::

    her2_zero_vs_rest/
      LICENSE  docs/README.md  models/model.safetensors
      configs/metadata.json  configs/metadata.schema.json  configs/logging.conf
      configs/inference.json  configs/train.json  configs/multi_gpu_train.json
      configs/evaluate.json

``python -m monai.bundle verify_metadata`` and ``run`` work on it. A bundle's configuration can name
any callable (``$`` is eval, ``_target_`` calls), so predicting reads only ``metadata.json``, as
plain JSON, and the weights, as safetensors whose SHA-256 that file states.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from breastpredict import RESEARCH_USE_ONLY, __version__
from breastpredict.errors import InputError
from breastpredict.files import write_folder
from breastpredict.models.card import INTENDED_USES, card
from breastpredict.models.network import (
    SYSTEM_NAMES,
    System,
    check_network,
    input_shapes,
    system_of,
)
from breastpredict.models.weights import read_safetensors, sha256_of

if TYPE_CHECKING:
    from torch import nn

WEIGHTS = "models/model.safetensors"
METADATA = "configs/metadata.json"
CURVE = "learning_curve"
_BLOCK = "breastpredict"
_CONFIGS = (
    "inference.json",
    "train.json",
    "multi_gpu_train.json",
    "evaluate.json",
    "metadata.schema.json",
    "logging.conf",
)
_COUNTERS = "num_batches_tracked"  # what batch normalisation counts is no weight
_MAXIMUM_METADATA = 10_000_000  # bytes; a real one has some thousand
_REMEDY = "Use a bundle made by 'breastpredict her2 train' or 'pcr train', unchanged"


@dataclass(frozen=True)
class Bundle:
    """A loaded model.

    Attributes:
        model: in evaluation mode, on the device asked for: a ``VisionTransformer`` (HER2) or a
            ``PcrNetwork``.
        metadata: the whole of metadata.json; our own part is under ``"breastpredict"``.
        sha256: of the weights.
        folder: where it was read from.
    """

    model: Any
    metadata: dict[str, Any]
    sha256: str
    folder: Path

    @property
    def block(self) -> dict[str, Any]:
        """Our own part of the metadata: task, classes, threshold, training data and so on."""
        block: dict[str, Any] = self.metadata[_BLOCK]
        return block


def save_bundle(
    folder: Path,
    model: nn.Module,
    *,
    network: Mapping[str, Any],
    metadata: Mapping[str, Any],
    documents: Mapping[str, str] | None = None,
) -> Path:
    """Write a model as a bundle; the folder appears whole or not at all.

    Args:
        folder: where; an existing bundle there is replaced.
        model: built from ``network``.
        network: see ``VIT_TINY`` and ``SE_CROSST_T``.
        metadata: the ``breastpredict`` block: task, positive_class, negative_class, threshold,
            prevalence, calibration, synthetic, training_data, counts, seed, ...
        documents: name → text of what goes beside the model card, such as the learning curve.

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
        for name, text in (documents or {}).items():
            (temporary / "docs" / name).write_text(text, "utf-8")
        _write_rest(temporary, whole)
    return folder


def copy_bundle(
    source: Path,
    target: Path,
    changes: Mapping[str, Any] | None = None,
    change: str = "",
) -> Path:
    """A new version of a bundle with the same weights, or an exact copy where nothing changes.

    Args:
        source: the bundle; not touched.
        target: a new folder.
        changes: of the ``breastpredict`` block.
        change: one line for the changelog.

    Raises:
        InputError: no bundle, or weights that are not those it was saved with.
    """
    metadata = read_bundle_metadata(source)
    block = metadata[_BLOCK]
    if sha256_of(source / WEIGHTS) != block["weights_sha256"]:
        raise InputError(
            "The weights do not match the hash in the bundle's metadata: they were changed",
            path=source / WEIGHTS,
            remedy=_REMEDY,
        )
    with write_folder(target) as temporary:
        if changes is None:
            shutil.copytree(source, temporary, dirs_exist_ok=True)
            return target
        for name in ("configs", "docs", "models"):
            (temporary / name).mkdir()
        shutil.copyfile(source / WEIGHTS, temporary / WEIGHTS)
        for path in (source / "docs").glob(f"{CURVE}.*"):
            shutil.copyfile(path, temporary / "docs" / path.name)
        old = str(metadata["version"])
        new = _next_version(old)
        parent = {"version": old, "metadata_sha256": sha256_of(source / METADATA)}
        metadata["version"] = new
        metadata["changelog"] = {new: change, **metadata.get("changelog", {})}
        metadata[_BLOCK] = {**block, **changes, "parent": parent}
        _write_rest(temporary, metadata)
    return target


def _next_version(version: str) -> str:
    """The next minor version."""
    try:
        major, minor, _ = (int(part) for part in version.split(".")[:3])
    except ValueError as error:
        raise InputError(f"The bundle's version {version[:40]!r} is none") from error
    return f"{major}.{minor + 1}.0"


def _write_rest(folder: Path, metadata: Mapping[str, Any]) -> None:
    """Metadata, configurations, licence and card of a bundle whose weights are there."""
    _write_json(folder / METADATA, metadata)
    source = files("breastpredict.models") / "bundle_files"
    for name in _CONFIGS:
        (folder / "configs" / name).write_text((source / name).read_text("utf-8"), "utf-8")
    (folder / "LICENSE").write_text((source / "LICENSE").read_text("utf-8"), "utf-8")
    figure = f"{CURVE}.svg" if (folder / "docs" / f"{CURVE}.svg").is_file() else None
    (folder / "docs" / "README.md").write_text(card(metadata, figure), "utf-8")


def read_bundle_metadata(folder: Path, system: System | None = None) -> dict[str, Any]:
    """metadata.json of a bundle, checked as far as predicting needs it. Does not import torch.

    Args:
        folder: the bundle.
        system: the one its network must belong to.

    Raises:
        InputError: no bundle, one of the other system, damaged or incomplete metadata, or files
            that lead out of it.
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
    found = system_of(block["network"])
    if system not in (None, found):
        raise InputError(
            f"The bundle is a model for {SYSTEM_NAMES[found]}, not for {SYSTEM_NAMES[system]}",
            path=folder,
            remedy=f"Use one made by 'breastpredict {system} train'",
        )
    result: dict[str, Any] = metadata
    return result


def load_bundle(folder: Path, device: str = "cpu", system: System | None = None) -> Bundle:
    """Load a bundle for predicting. Nothing in it is executed.

    Args:
        folder: the bundle.
        device: as torch names it.
        system: the one its network must belong to.

    Raises:
        InputError: no bundle, one of the other system, damaged files, or weights that are not the
            ones it was saved with or not of the network that its metadata describe.
    """
    folder = Path(folder)
    metadata = read_bundle_metadata(folder, system)
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

    if not all(
        value.dtype == (torch.int64 if key.endswith(_COUNTERS) else torch.float32)
        and value.isfinite().all()
        for key, value in state.items()
    ):
        raise InputError(
            "The weights hold values that are not finite or not in single precision",
            path=path,
            remedy=_REMEDY,
        )

    from breastpredict.models.build import build_to_load

    model = build_to_load(metadata[_BLOCK]["network"])
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
    system = system_of(network)
    positive = block.get("positive_class", "positive")
    task, description = _ABOUT[system]
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
        "task": f"{task}: {block.get('task', '')}",
        "description": f"{description} {RESEARCH_USE_ONLY}",
        "authors": "trained on the user's own cohort with BreastPredict",
        "copyright": "the owner of the training data",
        "intended_use": f"{INTENDED_USES[system]} {RESEARCH_USE_ONLY}",
        "network_data_format": {
            "inputs": {
                name: _input_format(name, shape, network)
                for name, shape in input_shapes(network).items()
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


_ABOUT: dict[System, tuple[str, str]] = {
    "her2": (
        "Binary classification of a breast tumour on MRI",
        "Vision Transformer on the largest tumour slice.",
    ),
    "pcr": (
        "Prediction of pathological complete response of a breast cancer",
        "Network on what its inputs name: biopsy slide, ultrasound before and during "
        "neoadjuvant treatment, clinical variables.",
    ),
}
_KINDS = {
    "image": ("image", "magnitude", "MR", "early post-contrast"),
    "us0": ("image", "magnitude", "US", "before treatment"),
    "us1": ("image", "magnitude", "US", "after two cycles"),
    "pathology": ("image", "RGB", "SM", "H&E of the biopsy"),
    "clinical": ("tabular", "vector", "n/a", ""),
}


def _input_format(name: str, shape: tuple[int, ...], network: Mapping[str, Any]) -> dict[str, Any]:
    """An input as MONAI's ``network_data_format`` has it."""
    kind, form, modality, meaning = _KINDS[name]
    table = kind == "tabular"
    channels = shape[0] if table else shape[-3]
    names = network["clinical"] if table else [meaning] * channels
    return {
        "type": kind,
        "format": form,
        "modality": modality,
        "num_channels": channels,
        "spatial_shape": [] if table else list(shape[-2:]),
        "dtype": "float32",
        "value_range": [0, 1] if table else [-1, 1],
        "is_patch_data": name == "pathology",
        "channel_def": {str(number): text for number, text in enumerate(names)},
    }


def _no_constant(name: str) -> None:
    """JSON has no NaN or infinity, and none is ever written."""
    raise ValueError(name)


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=2, allow_nan=False) + "\n", encoding="utf-8")
