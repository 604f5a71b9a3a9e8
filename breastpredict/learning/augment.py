"""Random transforms of network inputs, reproducible draw by draw.

Every draw depends on (seed, epoch, case) alone: not on the batch, the worker or what came before.
Fixed copies (see `breastpredict.learning.recipes`) depend on (seed, case, which copy), so they are
the same in every epoch.
"""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
import torch
from monai.transforms.compose import Compose
from monai.transforms.intensity.array import (
    RandGaussianNoise,
    RandScaleIntensity,
    RandShiftIntensity,
)
from monai.transforms.spatial.array import RandFlip, RandRotate, RandRotate90, RandZoom
from monai.transforms.transform import Randomizable
from monai.utils.misc import MAX_SEED

from breastpredict.learning.config import TrainConfig
from breastpredict.learning.examples import IMAGE, PATHOLOGY, ULTRASOUND
from breastpredict.learning.recipes import MIRRORS, Copy, Mirror

__all__ = [
    "AUGMENTATION",
    "COPIES",
    "DROPOUT",
    "ORDER",
    "CaseAugmentation",
    "augmentation",
    "reseed",
    "stream_seed",
]

Inputs = dict[str, torch.Tensor]

ORDER, AUGMENTATION, DROPOUT, COPIES = range(4)
"""The purposes random numbers are drawn for; each has its own stream."""

_PATCHES, _PAIR, _STAIN, _EXAMINATION = range(4)  # streams of one case's parts
_AXES: dict[Mirror, int] = {"horizontal": -1, "vertical": -2}


def augmentation(
    config: TrainConfig,
    *,
    mirror: Literal["all", "horizontal", "none"] = "all",
    geometry: bool = True,
    intensity: bool = True,
    probability: float = 0.5,
) -> Compose:
    """Flips, quarter turns, small rotations and zooms, and intensity jitter of one image [C, S, S].

    Args:
        config: how much of each; ``flips`` off leaves out all mirroring.
        mirror: ``"all"``: both flips and quarter turns; ``"horizontal"``: left to right only.
        geometry, intensity: which of the two.
        probability: of each step.
    """
    steps: list[Any] = []
    if config.flips and geometry:
        if mirror == "all":
            steps.append(RandFlip(prob=probability, spatial_axis=0))
        if mirror != "none":
            steps.append(RandFlip(prob=probability, spatial_axis=1))
        if mirror == "all":
            steps.append(RandRotate90(prob=probability, max_k=3))
    if config.rotation_deg > 0 and geometry:
        angle = math.radians(config.rotation_deg)
        steps.append(RandRotate(range_x=angle, prob=probability, padding_mode="reflection"))
    if config.scaling > 0 and geometry:
        low, high = 1 - config.scaling, 1 + config.scaling
        steps.append(RandZoom(probability, low, high, mode="bilinear", padding_mode="reflect"))
    if config.gain > 0 and intensity:
        steps.append(RandScaleIntensity(factors=config.gain, prob=probability))
    if config.offset > 0 and intensity:
        steps.append(RandShiftIntensity(offsets=config.offset, prob=probability))
    if config.noise > 0 and intensity:
        steps.append(RandGaussianNoise(prob=probability, std=config.noise))
    return Compose(steps)


class CaseAugmentation:
    """Transforms all images of one case; vectors stay as they are.

    - ``pathology`` [9, 3, S, S]: each patch is mirrored, turned, rotated and scaled for itself;
      gain, offset and noise are drawn once for the slide, which was stained once.
    - ``us0`` and ``us1`` [3, S, S]: mirrored left to right, rotated and scaled together, as one
      plane seen twice; gain, offset and noise are drawn for each, because the machine's are set at
      each examination.
    - ``image`` [C, S, S]: as a patch.

    Where the settings multiply cases, the `Copy` says how all images are mirrored, and rotation and
    scale are the copy's own.
    """

    def __init__(self, config: TrainConfig) -> None:
        self._config = config
        fixed = config.multiplied
        chance = 1.0 if fixed else 0.5
        self._patch = augmentation(
            config, mirror="none" if fixed else "all", intensity=False, probability=chance
        )
        self._pair = augmentation(
            config, mirror="none" if fixed else "horizontal", intensity=False, probability=chance
        )
        self._jitter = augmentation(config, geometry=False)
        for steps in (self._patch, self._pair, self._jitter):
            steps.set_random_state(seed=0)  # gives every step a state of its own

    def __call__(self, inputs: Inputs, item: Copy, epoch: int) -> Inputs:
        """The inputs of a case, transformed as its place, copy and epoch say."""
        seed, fixed = self._config.seed, self._config.multiplied
        out = dict(inputs)
        exams = [name for name in ULTRASOUND if name in inputs]
        slides = [name for name in (PATHOLOGY, IMAGE) if name in inputs]
        base: tuple[int, ...] = (seed, AUGMENTATION, epoch, item.case)
        if fixed:
            axis = _AXES.get(item.mirror)
            if axis is not None:
                out.update({name: out[name].flip(axis) for name in [*slides, *exams]})
            base = (seed, COPIES, item.case, MIRRORS.index(item.mirror), item.copy)
        for name in slides:
            if not (fixed and item.copy == 0):
                images = out[name] if out[name].ndim == 4 else out[name][None]
                images = torch.stack(
                    [
                        _drawn(self._patch, patch, *base, _PATCHES, place)
                        for place, patch in enumerate(images)
                    ]
                )
                out[name] = images if out[name].ndim == 4 else images[0]
        if exams and not (fixed and item.copy == item.repeat == 0):
            pair = torch.cat([out[name] for name in exams])
            pair = _drawn(self._pair, pair, *base, _PAIR, item.repeat)
            out.update(zip(exams, pair.chunk(len(exams)), strict=True))
        jitter = (seed, AUGMENTATION, epoch, *base[2:], item.repeat) if fixed else base
        if self._jitter.transforms:
            for name in slides:
                flat = out[name].flatten(0, -3)
                out[name] = _drawn(self._jitter, flat, *jitter, _STAIN).reshape(out[name].shape)
            for place, name in enumerate(exams):
                out[name] = _drawn(self._jitter, out[name], *jitter, _EXAMINATION, place)
        return out


def _drawn(steps: Compose, image: torch.Tensor, *stream: int) -> torch.Tensor:
    reseed(steps, stream_seed(*stream))
    return torch.as_tensor(steps(image))


def reseed(augment: Compose, seed: int) -> None:
    """What ``augment.set_random_state(seed)`` does, in a thirtieth of the time.

    MONAI makes new states, which draw entropy before they take the seed; here those that are there
    (``set_random_state`` was called once) take it.
    """
    augment.R.seed(seed)
    for step in augment.transforms:
        if isinstance(step, Randomizable):
            own = int(augment.R.randint(MAX_SEED, dtype="uint32"))
            if type(step).set_random_state is Randomizable.set_random_state:
                step.R.seed(own)
            else:
                step.set_random_state(seed=own)


def stream_seed(*parts: int) -> int:
    """A 32-bit seed for one stream of random numbers, well mixed from its coordinates."""
    return int(np.random.SeedSequence(parts).generate_state(1)[0])
