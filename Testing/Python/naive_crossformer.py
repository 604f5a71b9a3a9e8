"""CrossFormer's encoder written the slow way, for comparison: group by group, without padding.

From the description in the papers: every token attends to the tokens of its group that exist, and
the bias of a pair is the network's answer to their distance, asked for each pair anew.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch.nn import functional as F

State = Mapping[str, torch.Tensor]


def encode(images: torch.Tensor, state: State, network: Mapping[str, Any]) -> torch.Tensor:
    """``[B, 3, S, S]`` → ``[B, width]`` with the weights of ``state``."""
    x = images
    for number in range(4):
        x = stage(x, state, network, number)
    return norm(x.permute(0, 2, 3, 1), state, "norm.").mean(dim=(1, 2))


def stage(x: torch.Tensor, state: State, network: Mapping[str, Any], number: int) -> torch.Tensor:
    """One stage on ``[B, C, rows, columns]``."""
    prefix = f"stages.{number}."
    if number:
        x = norm(x.permute(0, 2, 3, 1), state, f"{prefix}embedding.norm.").permute(0, 3, 1, 2)
    stride = 2 if number else 4
    parts = []
    for index in range(2 if number else 4):
        weight = state[f"{prefix}embedding.projections.{index}.weight"]
        bias = state[f"{prefix}embedding.projections.{index}.bias"]
        parts.append(F.conv2d(x, weight, bias, stride, padding=(weight.shape[-1] - stride) // 2))
    x = torch.cat(parts, dim=1)
    if network["se_ratio"]:
        name = f"{prefix}embedding.excitation."
        mean = x.flatten(2).mean(dim=2)
        hidden = (mean @ state[f"{name}fc1.weight"][:, :, 0, 0].T + state[f"{name}fc1.bias"]).relu()
        gate = hidden @ state[f"{name}fc2.weight"][:, :, 0, 0].T + state[f"{name}fc2.bias"]
        x = x / (1 + (-gate).exp())[:, :, None, None]
    x = x.permute(0, 2, 3, 1)
    if not number:
        x = norm(x, state, f"{prefix}embedding.norm.")
        if network["position_embedding"]:
            x = x + state[f"{prefix}positions"]
    side = x.shape[1]
    group, interval = network["group"], network["intervals"][number]
    for index in range(network["depths"][number]):
        name = f"{prefix}blocks.{index}."
        step = interval if index % 2 and side > group else 1
        attended = attention(
            norm(x, state, f"{name}norm1."),
            state,
            f"{name}attention.",
            min(group, side),
            step,
            network["heads"][number],
        )
        x = x + attended
        hidden = linear(norm(x, state, f"{name}norm2."), state, f"{name}mlp.fc1.")
        hidden = hidden * 0.5 * (1 + torch.erf(hidden / 2**0.5))
        x = x + linear(hidden, state, f"{name}mlp.fc2.")
    return x.permute(0, 3, 1, 2)


def attention(
    x: torch.Tensor, state: State, name: str, group: int, interval: int, heads: int
) -> torch.Tensor:
    """Attention of ``[B, rows, columns, C]`` inside groups of tokens ``interval`` apart."""
    side, width = x.shape[1], x.shape[3]
    query, key, value = linear(x, state, f"{name}qkv.").chunk(3, dim=-1)
    mixed = torch.zeros_like(x)
    for tokens in groups(side, group, interval):
        rows = torch.tensor([row for row, _ in tokens])
        columns = torch.tensor([column for _, column in tokens])
        apart = torch.stack([rows[:, None] - rows[None], columns[:, None] - columns[None]], dim=-1)
        bias = position_bias(apart.to(x) / interval, state, f"{name}bias.")
        for head in range(heads):
            own = slice(head * width // heads, (head + 1) * width // heads)
            q, k, v = (part[:, rows, columns, own] for part in (query, key, value))
            scores = torch.einsum("bid,bjd->bij", q, k) / (width / heads) ** 0.5
            weights = (scores + bias[..., head]).exp()
            weights = weights / weights.sum(dim=-1, keepdim=True)
            mixed[:, rows, columns, own] = torch.einsum("bij,bjd->bid", weights, v)
    return linear(mixed, state, f"{name}proj.")


def groups(side: int, group: int, interval: int) -> list[list[tuple[int, int]]]:
    """The tokens (row, column) of each group."""
    found: dict[tuple[int, ...], list[tuple[int, int]]] = {}
    window = group * interval
    for row in range(side):
        for column in range(side):
            where = (row // window, column // window, row % interval, column % interval)
            found.setdefault(where, []).append((row, column))
    return list(found.values())


def position_bias(apart: torch.Tensor, state: State, name: str) -> torch.Tensor:
    """``[..., 2]`` rows and columns between two tokens of a group, in steps → ``[..., heads]``."""
    x = linear(apart, state, f"{name}first.")
    for index in range(3):
        x = norm(x, state, f"{name}rest.{index}.0.").relu()
        x = linear(x, state, f"{name}rest.{index}.2.")
    return x


def linear(x: torch.Tensor, state: State, name: str) -> torch.Tensor:
    return x @ state[f"{name}weight"].T + state[f"{name}bias"]


def norm(x: torch.Tensor, state: State, name: str) -> torch.Tensor:
    centred = x - x.mean(dim=-1, keepdim=True)
    scaled = centred / (centred.square().mean(dim=-1, keepdim=True) + 1e-5).sqrt()
    return scaled * state[f"{name}weight"] + state[f"{name}bias"]
