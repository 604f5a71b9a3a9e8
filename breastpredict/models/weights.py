"""Where a network's first weights come from: ImageNet by hub, a local file, or none."""

from __future__ import annotations

import hashlib
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from breastpredict.errors import InputError
from breastpredict.models.pcr_network import COMPARATORS

if TYPE_CHECKING:
    import torch
    from timm.models.vision_transformer import VisionTransformer
    from torch import nn

    from breastpredict.models.se_crosst import PcrNetwork

HUB_NAME = "timm/vit_tiny_patch16_224.augreg_in21k_ft_in1k"
"""ImageNet-21k, fine-tuned on ImageNet-1k (Steiner et al. 2021), as timm serves it."""


def _remedy(hub_name: str) -> str:
    if not hub_name:
        return "Give the weights of such a network, or start from random ones with --weights none"
    return (
        f"Download model.safetensors of {hub_name} elsewhere and give the file with --weights "
        "FILE, or start from random weights with --weights none"
    )


@dataclass(frozen=True)
class WeightsRecord:
    """Where a training started from, for the model card.

    Attributes:
        source: ``"imagenet"`` (hub), ``"file"`` or ``"none"``.
        description: in words.
        sha256: of the file; empty for none.
        warning: what a user must be told; empty when there is nothing.
    """

    source: Literal["imagenet", "file", "none"]
    description: str
    sha256: str = ""
    warning: str = ""


def initialise(model: nn.Module, weights: str | Path) -> WeightsRecord:
    """Give ``model`` its first weights, all but the classifier, which stays random.

    Args:
        model: from ``build_vit`` or ``build_network``.
        weights: ``"imagenet"``, ``"none"`` or a safetensors file: timm's of the ViT-tiny or of the
            comparator, which then goes into each of its encoders; for SE-CrossT, which nobody
            trained on ImageNet, that of another bundle of the same configuration.

    Raises:
        InputError: no network, no such file, or a file that does not fit the model.
    """
    if str(weights) == "none":
        return WeightsRecord(
            "none",
            "random initialisation",
            warning="RANDOM INITIALISATION: the network starts without ImageNet weights.",
        )
    hub_name = _hub_name(model)
    if str(weights) == "imagenet":
        if not hub_name:
            raise InputError("There are no ImageNet weights of SE-CrossT", remedy=_remedy(""))
        path = _from_hub(hub_name)
        source: Literal["imagenet", "file"] = "imagenet"
        description = hub_name
    else:
        path, source = Path(weights), "file"
        description = f"local file {path.name}"
    state = read_safetensors(path, _remedy(hub_name))
    from breastpredict.models.se_crosst import PcrNetwork

    if not isinstance(model, PcrNetwork):
        _load(model, state, path)  # type: ignore[arg-type]
    elif hub_name:
        _load_comparator(model, state, path)
    else:
        _load_own(model, state, path)
    return WeightsRecord(source, description, sha256_of(path))


def _hub_name(model: nn.Module) -> str:
    """Where the ImageNet weights of this network are; empty for none."""
    description = getattr(model, "network", None)
    if description is None:
        return HUB_NAME
    return COMPARATORS.get(description["architecture"], "")


def read_safetensors(
    path: Path, remedy: str = "Give a safetensors file"
) -> dict[str, torch.Tensor]:
    """The tensors of a safetensors file, on the CPU. Never unpickles.

    Args:
        path: the file.
        remedy: what to do where there is none.

    Raises:
        InputError: no such file, another format, or a damaged file.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if not path.is_file():
        raise InputError("There is no such weights file", path=path, remedy=remedy)
    if path.suffix in (".pth", ".pt", ".bin", ".pkl", ".ckpt"):
        raise InputError(
            "Pickled weights are not read, because they can run code",
            path=path,
            remedy="Convert them with breastpredict.models.weights.convert_pth, "
            "or use the safetensors file",
        )
    try:
        tensors: dict[str, torch.Tensor] = load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise InputError(
            "The weights file is damaged or no safetensors file",
            path=path,
            remedy="Copy or download it again",
        ) from error
    return tensors


def convert_pth(source: Path, target: Path) -> None:
    """Turn a state dict saved by ``torch.save`` into safetensors, without running its code.

    Raises:
        InputError: no such file, or one that is damaged or holds anything but tensors.
    """
    import torch
    from safetensors.torch import save_file

    from breastpredict.files import write_atomic

    if not source.is_file():
        raise InputError("There is no such file", path=source)
    try:
        state = torch.load(source, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds for what is not a plain state dict
        raise InputError(
            "The file is damaged or holds more than plain weights", path=source
        ) from error
    state = state.get("state_dict", state) if isinstance(state, Mapping) else state
    plain = isinstance(state, Mapping) and all(torch.is_tensor(v) for v in state.values())
    if not plain or not state:
        raise InputError("The file holds no plain state dict", path=source)
    with write_atomic(target) as temporary:
        # Copies, because safetensors has no word for two tensors in one memory.
        copies = {str(k): v.clone(memory_format=torch.contiguous_format) for k, v in state.items()}
        save_file(copies, temporary)


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _from_hub(name: str) -> Path:
    """The cached or downloaded ImageNet weights."""
    from huggingface_hub import hf_hub_download

    def download(local_only: bool) -> Path:
        return Path(hf_hub_download(name, "model.safetensors", local_files_only=local_only))

    try:
        return download(local_only=True)
    except (OSError, ValueError):
        pass
    # The hub's client retries for most of a minute when there is no network: look first.
    if os.environ.get("HF_HUB_OFFLINE", "") not in ("", "0") or not _hub_answers():
        raise InputError(
            "The ImageNet weights cannot be had: the hub is offline", remedy=_remedy(name)
        )
    try:
        return download(local_only=False)
    except (OSError, ValueError) as error:
        raise InputError(
            "The ImageNet weights could not be downloaded from the hub", remedy=_remedy(name)
        ) from error


def _hub_answers(seconds: float = 3.0) -> bool:
    from urllib.parse import urlsplit
    from urllib.request import getproxies

    endpoint = urlsplit(os.environ.get("HF_ENDPOINT", "https://huggingface.co"))
    proxy = getproxies().get(endpoint.scheme)
    target = urlsplit(proxy) if proxy else endpoint
    try:
        port = target.port or (443 if target.scheme == "https" else 80)
        with socket.create_connection((target.hostname or "", port), timeout=seconds):
            return True
    except OSError:
        return False


def _load(model: VisionTransformer, state: dict[str, Any], path: Path) -> None:
    """Load what ImageNet has: patch embedding summed over colours, positions resized."""
    from timm.layers.pos_embed import resample_abs_pos_embed

    own = model.state_dict()
    state = {k: v for k, v in state.items() if not k.startswith(("head.", "pre_logits."))}
    wanted = {k for k in own if not k.startswith("head.")}
    _check_names(set(state), wanted, path, HUB_NAME)
    patch = "patch_embed.proj.weight"
    if state[patch].ndim == 4 and state[patch].shape[1] == 3 and own[patch].shape[1] == 1:
        # A grey image in three equal channels gives the same sum.
        state[patch] = state[patch].sum(dim=1, keepdim=True)
    if state["pos_embed"].ndim == 3 and state["pos_embed"].shape[1] != own["pos_embed"].shape[1]:
        state["pos_embed"] = resample_abs_pos_embed(
            state["pos_embed"], list(model.patch_embed.grid_size), num_prefix_tokens=1
        )
    _check_values(state, own, path, HUB_NAME)
    model.load_state_dict(state, strict=False)


def _load_own(model: PcrNetwork, state: dict[str, Any], path: Path) -> None:
    """Load SE-CrossT from SE-CrossT."""
    own = model.state_dict()
    wanted = {key for key in own if not key.startswith("classifier.")}
    _check_names({key for key in state if not key.startswith("classifier.")}, wanted, path, "")
    state = {key: state[key] for key in wanted}
    _check_values(state, own, path, "")
    model.load_state_dict(state, strict=False)


def _load_comparator(model: PcrNetwork, state: dict[str, Any], path: Path) -> None:
    """Load timm's network into every encoder, adapted to the size of the input by timm."""
    from breastpredict.models.comparators import TimmEncoder

    encoders = [part for part in model.modules() if isinstance(part, TimmEncoder)]
    hub_name = _hub_name(model)
    try:
        fitted = encoders[0].fitted(state)
    except Exception as error:  # timm's own reading of a file that is not what it says
        raise InputError(
            "The weights are of another network", path=path, remedy=_remedy(hub_name)
        ) from error
    _check_values(fitted, encoders[0].backbone.state_dict(), path, hub_name)
    for encoder in encoders:
        encoder.backbone.load_state_dict(fitted)


def _check_names(found: set[str], wanted: set[str], path: Path, hub_name: str) -> None:
    if found != wanted:
        raise InputError(
            f"The weights are of another network ({len(wanted - found)} of {len(wanted)} "
            f"tensors are missing, {len(found - wanted)} are unknown)",
            path=path,
            remedy=_remedy(hub_name),
        )


def _check_values(
    state: Mapping[str, torch.Tensor], own: Mapping[str, torch.Tensor], path: Path, hub_name: str
) -> None:
    """Shapes as those of the model's own, and finite values."""
    for key, value in state.items():
        if value.shape != own[key].shape:
            raise InputError(
                f"The weights are of another network: {key} has shape "
                f"{tuple(value.shape)}, not {tuple(own[key].shape)}",
                path=path,
                remedy=_remedy(hub_name),
            )
        if not value.isfinite().all():
            raise InputError(f"The weights hold values that are not finite: {key}", path=path)
