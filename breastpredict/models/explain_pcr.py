"""Maps of what the pCR network looked at, on every image it was given, behind one interface.

- *gradcam* (Selvaraju et al., ICCV 2017, eq. 1, 2): the channels of the map whose mean is the
  image's encoding, weighted by the mean of the logit's gradient; only what speaks for pCR (>= 0).
  US-0 enters both pathways: the channels of its two maps are summed as if of one. In Dou-Ult Net
  each time's map also holds what it was given of the other's.
- *occlusion* (Zeiler & Fergus, ECCV 2014): by how much the logit falls when a square is covered
  with the image's mean colour, averaged over the squares that cover a pixel. Signed: positive where
  the image speaks for pCR, negative where it speaks against it.

Maps are float32 on the network's input grid, not scaled: a Grad-CAM has no unit, an occlusion map
is in logits. Neither is proof: on a trained toy network Grad-CAM missed every planted lesion.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import interpolate

from breastpredict.models.se_crosst import PcrNetwork

PcrMethod = Literal["gradcam", "occlusion"]
PCR_METHODS: tuple[PcrMethod, ...] = ("gradcam", "occlusion")

_LABELS = {
    "gradcam": "Grad-CAM: evidence for pCR",
    "occlusion": "Occlusion: fall of the logit of pCR when this place is covered",
}


@dataclass(frozen=True)
class Occlusion:
    """How finely an image is covered.

    Attributes:
        patch: side of the square, as a share of the image's.
        stride: its step, as a share of the image's; at most ``patch``.
        batch: covered images encoded at once.
    """

    patch: float = 0.25
    stride: float = 0.125
    batch: int = 8

    def __post_init__(self) -> None:
        if not 0 < self.stride <= self.patch <= 1 or self.batch < 1:
            raise ValueError("0 < stride <= patch <= 1 and a batch of at least 1 are needed")

    def windows(self, side: int) -> list[tuple[slice, slice]]:
        """The squares, row by row; the last of a row or column ends at the border."""
        patch = max(1, round(self.patch * side))
        step = max(1, min(patch, round(self.stride * side)))
        starts = [*range(0, side - patch, step), side - patch]
        return [(slice(r, r + patch), slice(c, c + patch)) for r in starts for c in starts]


@dataclass(frozen=True)
class PcrMaps:
    """A prediction and its maps.

    Attributes:
        logit: of pCR.
        maps: ``pathology [9, S, S]``, ``us0 [S, S]``, ``us1 [S, S]`` float32, those of the
            network's images; empty when none were asked for. See the module for sign and unit.
        label: what the maps are, in words; empty without.
    """

    logit: float
    maps: dict[str, NDArray[np.float32]]
    label: str


def predict_with_maps(
    net: PcrNetwork,
    inputs: Mapping[str, torch.Tensor],
    method: PcrMethod | None = "gradcam",
    occlusion: Occlusion | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> PcrMaps:
    """The logit of one case and the maps of all its images.

    Args:
        net: in evaluation mode.
        inputs: of one case (B = 1), see ``PcrNetwork``.
        method: None for the logit alone.
        occlusion: how finely, for that method. It encodes each image once per square, Grad-CAM
            once in all.
        progress: called with squares done and their number.

    Raises:
        InputError: inputs that are not the network's.
    """
    net.check(inputs)
    if net.training or any(len(value) != 1 for value in inputs.values()):
        raise ValueError("one case and a network in evaluation mode are needed")
    if method is not None and method not in PCR_METHODS:
        raise ValueError(f"method must be one of {PCR_METHODS}, not {method!r}")
    clinical = inputs.get("clinical")
    with torch.inference_mode(False), torch.no_grad():  # what follows may need gradients of these
        features = net.feature_maps(inputs)
        encodings = net.encode(features)
        logit = float(net.classify(encodings, clinical))
        if method == "gradcam":
            maps = _gradcam(net, features, clinical)
        elif method == "occlusion":
            maps = _occlusion(net, inputs, encodings, occlusion or Occlusion(), progress)
        else:
            maps = {}
    return PcrMaps(logit, maps, _LABELS[method] if method else "")


def _gradcam(
    net: PcrNetwork, features: Mapping[str, torch.Tensor], clinical: torch.Tensor | None
) -> dict[str, NDArray[np.float32]]:
    """From the maps alone: the encoders need no gradient, so this costs next to nothing."""
    leaves = {key: value.detach().requires_grad_() for key, value in features.items()}
    with torch.enable_grad():
        logit = net.classify(net.encode(leaves), clinical)
        gradients = torch.autograd.grad(logit.sum(), list(leaves.values()))
    sums: dict[str, torch.Tensor] = {}
    for (key, value), gradient in zip(features.items(), gradients, strict=True):
        name = key.split(".")[1]
        weights = gradient.mean(dim=(2, 3), keepdim=True)
        part = (weights * value).sum(dim=1)  # [images, rows, columns]
        sums[name] = sums[name] + part if name in sums else part
    size = net.network["image_size"]
    found = {}
    for name, total in sums.items():
        full = interpolate(total.clamp(min=0)[None].float(), size=(size, size), mode="bilinear")[0]
        values = full.cpu().numpy()
        found[name] = values if name == "pathology" else values[0]
    return found


def _occlusion(
    net: PcrNetwork,
    inputs: Mapping[str, torch.Tensor],
    encodings: Mapping[str, torch.Tensor],
    how: Occlusion,
    progress: Callable[[int, int], None] | None,
) -> dict[str, NDArray[np.float32]]:
    """Only what a covered image enters is encoded again; of the rest the vectors are kept."""
    size = net.network["image_size"]
    windows = how.windows(size)
    images = [
        (name, number)
        for name in inputs
        if name != "clinical"
        for number in range(inputs[name].shape[1] if name == "pathology" else 1)
    ]
    whole = float(net.classify(encodings, inputs.get("clinical")))
    found: dict[str, list[NDArray[np.float32]]] = {}
    done = 0
    for name, number in images:
        image = inputs[name][0, number] if name == "pathology" else inputs[name][0]
        falls = torch.zeros(size, size, dtype=torch.float64)
        cover = torch.zeros(size, size, dtype=torch.float64)
        for part in _batches(windows, how.batch):
            covered = image.repeat(len(part), 1, 1, 1)
            for copy, (rows, columns) in zip(covered, part, strict=True):
                copy[:, rows, columns] = image.mean(dim=(1, 2))[:, None, None]
            logits = _logits_with(net, inputs, encodings, name, number, covered)
            for (rows, columns), logit in zip(part, logits.tolist(), strict=True):
                falls[rows, columns] += whole - logit
                cover[rows, columns] += 1
            done += len(part)
            if progress is not None:
                progress(done, len(windows) * len(images))
        found.setdefault(name, []).append((falls / cover).float().numpy())
    return {
        name: np.stack(values) if name == "pathology" else values[0]
        for name, values in found.items()
    }


def _logits_with(
    net: PcrNetwork,
    inputs: Mapping[str, torch.Tensor],
    encodings: Mapping[str, torch.Tensor],
    name: str,
    number: int,
    images: torch.Tensor,
) -> torch.Tensor:
    """Logits of the case with one of its images replaced by each of ``images [N, 3, S, S]``."""
    count = len(images)
    every = {key: value.expand(count, *value.shape[1:]) for key, value in encodings.items()}
    if name == "pathology":
        encoder = net.encoder("pathology")
        vectors = every["patho_ult.pathology"].clone()
        vectors[:, number] = encoder.pool(encoder.maps(images))
        every["patho_ult.pathology"] = vectors
    else:
        # Dou-Ult Net exchanges features, so that the other time's vector may change too.
        again = net.encode(net.feature_maps({**inputs, name: images}, of=name))
        every |= {key: value.expand(count, -1) for key, value in again.items()}
    clinical = inputs.get("clinical")
    if clinical is not None:
        clinical = clinical.expand(count, -1)
    return net.classify(every, clinical)[:, 0]


def _batches(windows: list[tuple[slice, slice]], size: int) -> Iterator[list[tuple[slice, slice]]]:
    for start in range(0, len(windows), size):
        yield windows[start : start + size]
