"""Maps of what a ViT looked at, behind one interface.

- *attention*: how much the class token attends to each patch in the last layer, mean over heads.
  It is the same whatever the head is, so it says nothing about a class: class-agnostic.
- *evidence*: gradient-weighted attention relevance (Chefer, Gur & Wolf, CVPR 2021 and ICCV 2021,
  eq. 5, 6): what speaks for the class the logit points to.
- *rollout* (Abnar & Zuidema, ACL 2020): for comparison with the literature; it ignores the head and
  hardly depends on the last blocks, so it is class-agnostic too.

Every map is ``[S, S]`` on the network's input grid, float32, not negative, not scaled.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from timm.layers.attention import Attention
from timm.models.vision_transformer import VisionTransformer
from torch.nn.functional import interpolate

Method = Literal["attention", "evidence", "rollout"]
METHODS: tuple[Method, ...] = ("attention", "evidence", "rollout")

_LABELS = {
    "attention": "Attention map: last-layer attention of the class token, class-agnostic",
    "evidence": "Evidence map: gradient-weighted relevance for the class the score points to",
    "rollout": "Attention rollout, class-agnostic (ignores the classifier)",
}


@dataclass(frozen=True)
class MapResult:
    """A prediction and its map.

    Attributes:
        logit: before the sigmoid.
        map: ``[S, S]`` float32, >= 0, on the network's input; None when none was asked for.
        class_agnostic: the map is the same for every class.
        label: what the map is, in words.
    """

    logit: float
    map: NDArray[np.float32] | None
    class_agnostic: bool
    label: str


def predict_with_map(
    model: VisionTransformer, x: torch.Tensor, method: Method | None = "attention"
) -> MapResult:
    """The logit of one image, and its map from the same forward pass.

    Args:
        model: from ``build_vit``, in evaluation mode.
        x: ``[1, C, S, S]``.
        method: None for the logit alone.
    """
    if x.ndim != 4 or x.shape[0] != 1:
        raise ValueError(f"one image [1, C, S, S] is needed, not {tuple(x.shape)}")
    if method is None:
        with torch.inference_mode():
            return MapResult(float(model(x)), None, False, "")
    if method == "attention":
        with torch.inference_mode(), _projections(model, last_only=True) as found:
            logit = float(model(x))
            weights = _attention_weights(_blocks(model)[-1].attn, found[0], class_row_only=True)
            patches = weights[0].mean(dim=0)[0, 1:]
    elif method == "rollout":
        with torch.inference_mode(), _projections(model) as found:
            logit = float(model(x))
            layers = [
                _attention_weights(block.attn, projection)[0].mean(dim=0)
                for block, projection in zip(_blocks(model), found, strict=True)
            ]
            patches = _rollout(layers)[1:]
    elif method == "evidence":
        logit, patches = _evidence(model, x)
    else:
        raise ValueError(f"method must be one of {METHODS}, not {method!r}")
    rows, columns = model.patch_embed.grid_size
    grid = patches.detach().reshape(1, 1, rows, columns).float()
    full = interpolate(grid, size=tuple(x.shape[2:]), mode="bilinear", align_corners=False)
    values: NDArray[np.float32] = full[0, 0].clamp(min=0).cpu().numpy()
    return MapResult(logit, values, method != "evidence", _LABELS[method])


def _blocks(model: VisionTransformer) -> list[Any]:
    return list(model.blocks)


@contextmanager
def _projections(model: VisionTransformer, last_only: bool = False) -> Iterator[list[torch.Tensor]]:
    """Collect what each attention makes its weights of; the forward pass stays fused."""
    found: list[torch.Tensor] = []
    blocks = _blocks(model)[-1:] if last_only else _blocks(model)
    handles = [
        block.attn.qkv.register_forward_hook(lambda _, __, output: found.append(output))
        for block in blocks
    ]
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()


def _attention_weights(
    attention: Attention, projection: torch.Tensor, class_row_only: bool = False
) -> torch.Tensor:
    """Softmax attention ``[N, heads, queries, tokens]`` from a layer's queries and keys.

    Args:
        attention: the layer.
        projection: its queries, keys and values ``[N, tokens, 3 * width]``.
        class_row_only: one query, the class token's.
    """
    batch, count, width = projection.shape
    heads = attention.num_heads
    qkv = projection.reshape(batch, count, 3, heads, width // (3 * heads))
    query = attention.q_norm(qkv[:, : 1 if class_row_only else None, 0]).transpose(1, 2)
    key = attention.k_norm(qkv[:, :, 1]).transpose(1, 2)
    weights: torch.Tensor = (query * attention.scale @ key.transpose(-2, -1)).softmax(dim=-1)
    return weights


def _rollout(layers: list[torch.Tensor]) -> torch.Tensor:
    """What the class token gets of each token, ``[tokens]``, with half of every layer's residual.

    The class token's row of the product of all layers, from the last to the first; the other rows
    are not needed.
    """
    row = _class_token(layers[0])
    for layer in reversed(layers):
        row = 0.5 * row + 0.5 * row @ layer
    return row


def _class_token(layer: torch.Tensor) -> torch.Tensor:
    """One at the class token, zero elsewhere: the class token's row of the identity."""
    row = torch.zeros_like(layer[0])
    row[0] = 1
    return row


def _evidence(model: VisionTransformer, x: torch.Tensor) -> tuple[float, torch.Tensor]:
    """Relevance R ← R + mean over heads of (∇A ⊙ A)⁺ R, from the identity, for the logit."""
    kept: list[torch.Tensor] = []

    def explicit(module: Attention, tokens: torch.Tensor, *_: Any, **__: Any) -> torch.Tensor:
        # The same attention written out, so that its weights have a gradient.
        batch, count, width = tokens.shape
        qkv = module.qkv(tokens).reshape(batch, count, 3, module.num_heads, -1)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)
        query, key = module.q_norm(query), module.k_norm(key)
        weights = (query * module.scale @ key.transpose(-2, -1)).softmax(dim=-1)
        if not weights.requires_grad:  # the first layer: nothing before it needs a gradient
            weights.requires_grad_(True)
        weights.retain_grad()
        kept.append(weights)
        mixed = (weights @ value).transpose(1, 2).reshape(batch, count, width)
        out: torch.Tensor = module.proj(module.norm(mixed))
        return out

    layers = [block.attn for block in _blocks(model)]
    wanted = [p.requires_grad for p in model.parameters()]
    try:
        model.requires_grad_(False)  # only the attention weights need a gradient
        for layer in layers:
            layer.forward = partial(explicit, layer)
        with torch.inference_mode(False), torch.enable_grad():
            logit = model(x)[0, 0]
            logit.backward()
    finally:
        for layer in layers:
            del layer.forward  # the class's own method shows again
        for parameter, needed in zip(model.parameters(), wanted, strict=True):
            parameter.requires_grad_(needed)
    row = _class_token(kept[0][0, 0].detach())
    for weights in reversed(kept):  # again the class token's row alone
        assert weights.grad is not None
        row = row + row @ (weights.grad * weights).clamp(min=0)[0].mean(dim=0).detach()
    return float(logit.detach()), row[1:]
