"""The image encoder of SE-CrossT: CrossFormer with squeeze and excitation in its embeddings.

CrossFormer: Wang et al., ICLR 2022. Cross-scale embedding (CEL) before each of four stages; in a
stage, blocks of short- (SDA) and long-distance attention (LDA) in turn; dynamic position bias
(DPB). Squeeze and excitation (SE): Hu et al., TPAMI 2020, here after the concatenation of every
CEL (the paper's Supplementary Fig. 2 was not to be had; this is the nearest reading of its text).

Tokens are ``[B, rows, columns, channels]`` throughout; images ``[B, 3, S, S]`` float32.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import torch
from timm.layers.drop import DropPath
from timm.layers.mlp import Mlp
from timm.layers.squeeze_excite import SEModule
from torch import nn
from torch.nn.functional import pad, scaled_dot_product_attention

FIRST_KERNELS = (4, 8, 16, 32)
LATER_KERNELS = (2, 4)
NARROWEST = 4
"""Hidden channels of the bias network and of SE, at least: a LayerNorm over one channel is zero."""
_MASKED = -1e4  # finite: in a group of padding alone -inf is NaN on some devices


class CrossFormer(nn.Module):
    """Four stages; one image to a map of features, and to their mean.

    Args:
        network: the encoder's part of a description, see ``SE_CROSST_T``.
    """

    def __init__(self, network: Mapping[str, Any]) -> None:
        super().__init__()
        dims, depths = network["dims"], network["depths"]
        self.image_size: int = network["image_size"]
        self.dims: list[int] = dims
        self.width = dims[-1]
        rates = torch.linspace(0, network["drop_path"], sum(depths), device="cpu").tolist()
        side = self.image_size
        stages = []
        for number, (dim, depth) in enumerate(zip(dims, depths, strict=True)):
            side //= 2 if number else 4
            first = sum(depths[:number])
            stages.append(
                Stage(
                    3 if number == 0 else dims[number - 1],
                    dim,
                    side,
                    heads=network["heads"][number],
                    group=network["group"],
                    interval=network["intervals"][number],
                    se_ratio=network["se_ratio"],
                    mlp_ratio=network["mlp_ratio"],
                    rates=rates[first : first + depth],
                    first=number == 0,
                    positions=number == 0 and network["position_embedding"],
                )
            )
        self.stages = nn.ModuleList(stages)
        self.norm = nn.LayerNorm(dims[-1])
        self.apply(_initialise)
        for stage in stages:
            if stage.positions is not None:
                nn.init.trunc_normal_(stage.positions, std=0.02)

    def maps(self, images: torch.Tensor) -> torch.Tensor:
        """``[B, 3, S, S]`` → ``[B, width, S/32, S/32]``, normalised; ``pool`` of it is the end."""
        x = images
        for stage in self.stages:
            x = stage(x)
        return self.finish(x)

    def finish(self, tokens: torch.Tensor) -> torch.Tensor:
        """The last stage's tokens as a map."""
        normed: torch.Tensor = self.norm(tokens)
        return normed.permute(0, 3, 1, 2)

    def pool(self, maps: torch.Tensor) -> torch.Tensor:
        """The mean over all positions: ``[B, width]``."""
        return maps.mean(dim=(2, 3))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """``[B, 3, S, S]`` → ``[B, width]``."""
        return self.pool(self.maps(images))


class Stage(nn.Module):
    """A cross-scale embedding, and blocks whose attention is short and long in turn.

    Args:
        channels: of what comes in.
        dim: of the stage.
        side: of its square map.
        heads, group, interval: of the attention. Where the map is no larger than a group, all
            attend to all and the interval says nothing.
        se_ratio: 0 leaves SE out.
        mlp_ratio: hidden width over ``dim``.
        rates: stochastic depth, one for each block.
        first: input is an image; the normalisation follows the embedding instead of preceding it.
        positions: add a learned absolute embedding.
    """

    def __init__(
        self,
        channels: int,
        dim: int,
        side: int,
        *,
        heads: int,
        group: int,
        interval: int,
        se_ratio: int,
        mlp_ratio: int,
        rates: list[float],
        first: bool,
        positions: bool,
    ) -> None:
        super().__init__()
        self.dim, self.side, self.heads = dim, side, heads
        self.group = min(group, side)
        self.interval = interval if side > group else 1
        self.embedding = CrossScaleEmbedding(channels, dim, first=first, se_ratio=se_ratio)
        self.positions = nn.Parameter(torch.zeros(1, side, side, dim)) if positions else None
        self.blocks = nn.ModuleList(
            Block(dim, heads, self.group, self.interval if number % 2 else 1, side, mlp_ratio, rate)
            for number, rate in enumerate(rates)
        )

    def embed(self, x: torch.Tensor) -> torch.Tensor:
        """What comes in → ``[B, side, side, dim]``, before the blocks."""
        tokens: torch.Tensor = self.embedding(x)
        return tokens if self.positions is None else tokens + self.positions

    def attend(self, tokens: torch.Tensor) -> torch.Tensor:
        """The blocks."""
        for block in self.blocks:
            tokens = block(tokens)
        return tokens

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.attend(self.embed(x))


class CrossScaleEmbedding(nn.Module):
    """Patches of several sizes around the same centres, projected and joined (CEL), then SE.

    The smallest kernel gives half of the channels, the next a quarter and so on; the two largest
    give the same number. First: convolutions, SE, LayerNorm. Later: LayerNorm, convolutions, SE.
    """

    def __init__(self, channels: int, dim: int, *, first: bool, se_ratio: int) -> None:
        super().__init__()
        kernels, stride = (FIRST_KERNELS, 4) if first else (LATER_KERNELS, 2)
        self.first = first
        self.kernels, self.stride = kernels, stride
        shares = [dim >> min(n + 1, len(kernels) - 1) for n in range(len(kernels))]
        self.projections = nn.ModuleList(
            nn.Conv2d(channels, share, kernel, stride, padding=(kernel - stride) // 2)
            for kernel, share in zip(kernels, shares, strict=True)
        )
        self.excitation: nn.Module = (
            SEModule(dim, rd_channels=max(NARROWEST, dim // se_ratio), act_layer=nn.ReLU)
            if se_ratio
            else nn.Identity()
        )
        self.norm = nn.LayerNorm(dim if first else channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not self.first:
            x = self.norm(x).permute(0, 3, 1, 2)
        x = torch.cat([projection(x) for projection in self.projections], dim=1)
        x = self.excitation(x).permute(0, 2, 3, 1)
        return self.norm(x) if self.first else x.contiguous()


class Block(nn.Module):
    """x += attention(norm x); x += MLP(norm x), each on a square map of ``side``².

    Args:
        interval: 1 for neighbours (SDA), else the distance of the tokens of one group (LDA).
    """

    def __init__(
        self,
        dim: int,
        heads: int,
        group: int,
        interval: int,
        side: int,
        mlp_ratio: int,
        rate: float,
    ) -> None:
        super().__init__()
        self.group, self.interval = group, interval
        window = group * interval
        self.padded_side = -(-side // window) * window
        self.norm1 = nn.LayerNorm(dim)
        self.attention = GroupAttention(dim, heads, group)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = Mlp(dim, dim * mlp_ratio)
        self.drop_path = DropPath(rate) if rate else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        side = x.shape[1]
        if side == self.padded_side:
            # Everything but the attention is by token, so the whole block runs in group order:
            # the tokens move once, not their queries, keys and values too.
            groups = group_tokens(x, self.group, self.interval)
            attended = self.attention.mix(self.attention.qkv(self.norm1(groups)))
            groups = groups + self.drop_path(self.attention.proj(attended))
            groups = groups + self.drop_path(self.mlp(self.norm2(groups)))
            return ungroup_tokens(groups, side, self.group, self.interval)
        # Padding has no query worth an answer and no key worth attention: it is added after the
        # projection, which then has less to do.
        missing = self.padded_side - side
        qkv = pad(self.attention.qkv(self.norm1(x)), (0, 0, 0, missing, 0, missing))
        groups = group_tokens(qkv, self.group, self.interval)
        mask = padding_mask(side, self.padded_side, self.group, self.interval, x.device)
        mixed = self.attention.mix(groups, mask)
        mixed = ungroup_tokens(mixed, self.padded_side, self.group, self.interval)
        x = x + self.drop_path(self.attention.proj(mixed[:, :side, :side]))
        x = x + self.drop_path(self.mlp(self.norm2(x)))
        return x


class GroupAttention(nn.Module):
    """Multi-head attention inside groups of ``group``² tokens, with dynamic position bias."""

    def __init__(self, dim: int, heads: int, group: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)
        self.bias = PositionBias(max(NARROWEST, dim // 16), heads, group)

    def mix(self, qkv: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        """Attention-weighted values.

        Args:
            qkv: ``[B, groups, tokens, 3 * dim]``: queries, keys, values.
            mask: ``[groups, tokens]``, added to the scores of a key.

        Returns:
            ``[B, groups, tokens, dim]``.
        """
        batch, groups, count, triple = qkv.shape
        parts = qkv.reshape(batch * groups, count, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        query, key, value = parts.unbind(0)
        bias: torch.Tensor = self.bias().to(qkv.dtype)[None]
        if mask is not None:
            bias = bias + mask.to(qkv.dtype)[:, None, None]  # [groups, heads, tokens, tokens]
            bias = bias.repeat(batch, 1, 1, 1)
        mixed = scaled_dot_product_attention(query, key, value, attn_mask=bias)
        return mixed.transpose(1, 2).reshape(batch, groups, count, triple // 3)


_Versions = list[tuple[nn.Parameter, int]]


def _same(first: _Versions, second: _Versions) -> bool:
    return all(a is b and m == n for (a, m), (b, n) in zip(first, second, strict=True))


class PositionBias(nn.Module):
    """DPB: a small network from the offset of two tokens to one bias for each head.

    In evaluation the table is kept from one call to the next; it is made anew when a weight has
    changed, after ``train()``, loading or a move to another device, and whenever gradients flow.
    """

    def __init__(self, hidden: int, heads: int, group: int) -> None:
        super().__init__()
        self.group = group
        self.first = nn.Linear(2, hidden)
        self.rest = nn.Sequential(
            *(
                nn.Sequential(nn.LayerNorm(hidden), nn.ReLU(), nn.Linear(hidden, out))
                for out in (hidden, hidden, heads)
            )
        )
        self._kept: tuple[_Versions, torch.Tensor] | None = None

    def forward(self) -> torch.Tensor:
        """``[heads, group², group²]``."""
        if self.training or torch.is_grad_enabled():
            return self._table()
        parameters = list(self.parameters())
        if any(parameter.is_inference() for parameter in parameters):  # these count no changes
            return self._table()
        state = [(parameter, parameter._version) for parameter in parameters]
        if self._kept is None or not _same(self._kept[0], state):
            self._kept = (state, self._table())
        return self._kept[1]

    def _table(self) -> torch.Tensor:
        weight = self.first.weight
        offsets, index = _offsets(self.group, weight.device)
        values: torch.Tensor = self.rest(self.first(offsets.to(weight.dtype)))
        count = self.group**2
        return values[index].view(count, count, -1).permute(2, 0, 1).contiguous()

    def train(self, mode: bool = True) -> PositionBias:
        self._kept = None  # a weight changed by way of .data does not tell of it
        super().train(mode)
        return self


def group_tokens(x: torch.Tensor, group: int, interval: int) -> torch.Tensor:
    """``[B, rows, columns, C]`` → ``[B, groups, group², C]``.

    A window of (group · interval)² tokens holds interval² groups: the tokens of equal row and
    column modulo the interval. Both sides must be whole windows.
    """
    batch, rows, columns, channels = x.shape
    x = x.reshape(
        batch,
        rows // (group * interval),
        group,
        interval,
        columns // (group * interval),
        group,
        interval,
        channels,
    )
    return x.permute(0, 1, 4, 3, 6, 2, 5, 7).reshape(batch, -1, group * group, channels)


def ungroup_tokens(x: torch.Tensor, side: int, group: int, interval: int) -> torch.Tensor:
    """The inverse of ``group_tokens`` on a square map."""
    batch, _, _, channels = x.shape
    windows = side // (group * interval)
    x = x.reshape(batch, windows, windows, interval, interval, group, group, channels)
    return x.permute(0, 1, 5, 3, 2, 6, 4, 7).reshape(batch, side, side, channels)


@lru_cache(maxsize=64)
def padding_mask(
    side: int, padded: int, group: int, interval: int, device: torch.device
) -> torch.Tensor:
    """``[groups, group²]``: zero for tokens of the map, -1e4 for padding right and below it."""
    with torch.inference_mode(False):
        values = torch.full((1, padded, padded, 1), _MASKED, device=device)
        values[:, :side, :side] = 0
        return group_tokens(values, group, interval)[0, :, :, 0]


@lru_cache(maxsize=64)
def _offsets(group: int, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """All offsets (row, column) from 1 - group to group - 1, and which one each pair has."""
    with torch.inference_mode(False):  # training may use them too
        steps = torch.arange(1 - group, group, device=device)
        offsets = torch.cartesian_prod(steps, steps).float()
        inside = torch.arange(group, device=device)
        places = torch.cartesian_prod(inside, inside)
        apart = places[:, None] - places[None] + (group - 1)
        return offsets, (apart[..., 0] * (2 * group - 1) + apart[..., 1]).flatten()


def _initialise(module: nn.Module) -> None:
    """Truncated normal of 0.02 with zero bias for linear layers (SE's 1×1 convolutions are such).

    The embeddings' convolutions keep torch's scale by their number of inputs, which spans 48 to
    3072: one deviation for all would let the largest patch outweigh the others sixfold.
    """
    linear = isinstance(module, nn.Linear)
    if linear or (isinstance(module, nn.Conv2d) and module.kernel_size == (1, 1)):
        nn.init.trunc_normal_(module.weight, std=0.02)  # type: ignore[arg-type]
    if isinstance(module, nn.Linear | nn.Conv2d) and module.bias is not None:
        nn.init.zeros_(module.bias)
