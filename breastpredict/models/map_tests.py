"""What a map can be tested with: putting an image back by it, and networks that unlearnt something.

- insertion (Petsiuk et al., RISE, BMVC 2018): an image of nothing but its mean colour gets its own
  pixels back, those first that the map holds for the most important; the sooner the score rises,
  the better the map. The reverse, deletion, is not offered: it hardly told good maps from random
  ones on networks whose maps are known.
- randomisation (Adebayo et al., NeurIPS 2018): a map that stays the same when the network forgets
  what it learnt does not show what it learnt.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from itertools import pairwise
from typing import Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray

from breastpredict.models.se_crosst import PcrNetwork

Forgotten = Literal["head", "last", "all"]
FORGOTTEN: tuple[Forgotten, ...] = get_args(Forgotten)
"""From the output inwards: the head (classifier and projections); also the last stage of every
encoder; everything. Encoders that have no stages (the comparators) have no "last"."""

CELLS = 8
"""Squares along a side of an ultrasound image that are put back as wholes; of a patch half."""

_AT_ONCE = 9  # images in the network at once: no more memory than a case takes


def insertion(
    net: PcrNetwork,
    inputs: Mapping[str, torch.Tensor],
    name: str,
    importance: NDArray[np.floating],
    steps: int = 8,
) -> float:
    """The mean score while one image is put back, from nothing to all of it.

    Args:
        net: in evaluation mode.
        inputs: of one case (B = 1). The other images and numbers stay as they are.
        name: of the image.
        importance: ``[S, S]``, of the pathology ``[9, S, S]``.
        steps: in which the squares come back.

    Returns:
        The mean of the sigmoid over the shares 0, 1/steps, ..., 1 of the squares; 0 to 1.
    """
    images = inputs[name][0]
    stack = images if images.ndim == 4 else images[None]
    maps = np.asarray(importance, np.float64).reshape(len(stack), *importance.shape[-2:])
    side = stack.shape[-1]
    cells = CELLS if images.ndim == 3 else CELLS // 2
    edges = np.linspace(0, side, cells + 1).round().astype(int)
    squares = [
        (number, slice(top, bottom), slice(left, right))
        for number in range(len(stack))
        for top, bottom in pairwise(edges)
        for left, right in pairwise(edges)
    ]
    # Equal squares (a map that is flat there) come in the order of their places.
    order = np.argsort([-maps[square].mean() for square in squares], kind="stable")
    shown = stack.mean(dim=(2, 3), keepdim=True).expand_as(stack).clone()
    states, done = [], 0
    for count in np.linspace(0, len(squares), steps + 1).round().astype(int):
        for place in order[done:count]:
            number, rows, columns = squares[place]
            shown[number, :, rows, columns] = stack[number, :, rows, columns]
        done = count
        states.append(shown.reshape(images.shape).clone())
    scores = _scores(net, inputs, name, torch.stack(states), _AT_ONCE // len(stack))
    return float(scores.mean())


def _scores(
    net: PcrNetwork,
    inputs: Mapping[str, torch.Tensor],
    name: str,
    states: torch.Tensor,
    batch: int,
) -> torch.Tensor:
    """Scores of the case with one of its images replaced by each of ``states``."""
    found = []
    with torch.no_grad():
        base = net.encode(net.feature_maps(inputs))
        for part in torch.split(states, batch):
            again = net.encode(net.feature_maps({**inputs, name: part}, of=name))
            every = {
                key: value.expand(len(part), *value.shape[1:])
                for key, value in {**base, **again}.items()
            }
            clinical = inputs.get("clinical")
            if clinical is not None:
                clinical = clinical.expand(len(part), -1)
            found.append(torch.sigmoid(net.classify(every, clinical)[:, 0]))
    return torch.cat(found)


def randomised(net: PcrNetwork, forgotten: Forgotten, seed: int = 0) -> PcrNetwork | None:
    """A copy that has unlearnt a part: the values of each of its weights are shuffled.

    Args:
        net: not touched.
        forgotten: which part.
        seed: of the shuffling.

    Returns:
        None where the network has no such part.
    """
    copy = deepcopy(net).eval()
    generator = torch.Generator().manual_seed(seed)
    names = [name for name, _ in copy.named_parameters()]
    last = [name for name in names if ".stages.3." in name]
    if forgotten == "last" and not last:
        return None
    head = [n for n in names if n.startswith("classifier.") or ".project." in n]
    chosen = {"head": {*head}, "last": {*head, *last}, "all": {*names}}[forgotten]
    with torch.no_grad():
        for name, parameter in copy.named_parameters():
            if name in chosen:
                order = torch.randperm(parameter.numel(), generator=generator)
                order = order.to(parameter.device)
                parameter.copy_(parameter.flatten()[order].reshape(parameter.shape))
    return copy
