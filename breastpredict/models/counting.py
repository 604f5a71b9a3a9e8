"""How large a network is: shapes, parameters and multiply-adds (MAC) of every part of it.

Counted from a network without storage, so that the largest takes no memory. For SE-CrossT the
MACs are of the convolutions of the embeddings (CEL), of the linear layers of the blocks and of
attention (scores and mixing), for one image, as its paper counts them; SE, position bias, norms
and the head are left out (together below 0.2 %). For the others torch counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from breastpredict.models.build import build_network
from breastpredict.models.comparators import TimmEncoder
from breastpredict.models.crossformer import CrossFormer, Stage
from breastpredict.models.network import check_network, input_shapes, system_of
from breastpredict.models.pcr_network import SE_CROSST, pathways
from breastpredict.models.se_crosst import PcrNetwork


def describe(network: Mapping[str, Any]) -> dict[str, Any]:
    """The sizes of a described network.

    Returns:
        ``network``: the checked description; ``inputs``: name → shape of one case; ``stages``: a
        row for each stage of one encoder (SE-CrossT), with ``stage, map, channels, blocks, heads,
        group, interval, parameters {cel, se, positions, blocks}, macs {cel, linear, attention}``;
        ``encoder``: parameters and MACs of one; ``encodings``: images encoded per case;
        ``parameters`` and ``macs`` of the whole, per case.

    Raises:
        InputError: not the description of a network.
    """
    network = check_network(network)
    shapes = input_shapes(network)
    with torch.device("meta"):
        model = build_network(network)
        found: dict[str, Any] = {
            "network": network,
            "inputs": {name: list(shape) for name, shape in shapes.items()},
            "stages": [],
            "parameters": _count(model),
        }
        if system_of(network) == "her2":
            found["macs"] = _macs(model.eval(), torch.zeros(1, *shapes["image"]))
            return found
        assert isinstance(model, PcrNetwork)
        encoder = next(m for m in model.modules() if isinstance(m, CrossFormer | TimmEncoder))
        if isinstance(encoder, CrossFormer):
            found["stages"] = [_stage(n, stage) for n, stage in enumerate(encoder.stages, 1)]
            macs = sum(sum(row["macs"].values()) for row in found["stages"])
        else:
            size = network["image_size"]
            macs = _macs(Maps(encoder.eval()), torch.zeros(1, 3, size, size))
    per_image = {"pathology": network["patches"], "us0": 1, "us1": 1}
    images = [name for way in pathways(network["modalities"]).values() for name in way]
    found["encoder"] = {"parameters": _count(encoder), "macs": macs}
    found["encodings"] = sum(per_image[name] for name in images)
    found["macs"] = macs * found["encodings"] + _sharing(network)
    return found


class Maps(nn.Module):
    """The part of an encoder that costs something, as a module torch can count."""

    def __init__(self, encoder: TimmEncoder) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """See ``TimmEncoder.maps``."""
        return self.encoder.maps(images)


def _stage(number: int, stage: Any) -> dict[str, Any]:
    assert isinstance(stage, Stage)
    dim, side, cel = stage.dim, stage.side, stage.embedding
    tokens = side * side
    blocks: list[Any] = list(stage.blocks)
    se, norm = _count(cel.excitation), _count(cel.norm)
    convolutions = sum(p.weight.numel() for p in cel.projections)  # type: ignore[operator, misc]
    return {
        "stage": number,
        "map": [side, side],
        "channels": dim,
        "kernels": list(cel.kernels),
        "stride": cel.stride,
        "blocks": len(blocks),
        "heads": stage.heads,
        "group": stage.group,
        "interval": stage.interval,
        "padded_to": [block.padded_side for block in blocks],
        "parameters": {
            "cel": _count(cel.projections) + norm,
            "se": se,
            "positions": 0 if stage.positions is None else stage.positions.numel(),
            "blocks": _count(stage.blocks),
        },
        "macs": {
            "cel": tokens * convolutions,
            "linear": tokens
            * sum(
                layer.weight.numel()
                for block in blocks
                for layer in (
                    block.attention.qkv,
                    block.attention.proj,
                    block.mlp.fc1,
                    block.mlp.fc2,
                )
            ),
            "attention": sum(2 * block.padded_side**2 * block.group**2 * dim for block in blocks),
        },
    }


def _sharing(network: Mapping[str, Any]) -> int:
    """MACs of the exchange in Dou-Ult Net."""
    if network["architecture"] != SE_CROSST or "dou_ult" not in pathways(network["modalities"]):
        return 0
    sides = [network["image_size"] // (4 << n) for n in range(network["share_after"])]
    dims = network["dims"]
    return sum(2 * side**2 * 2 * dims[n] ** 2 for n, side in enumerate(sides))


def _count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _macs(module: nn.Module, images: torch.Tensor) -> int:
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        module(images)
    return int(counter.get_total_flops()) // 2
