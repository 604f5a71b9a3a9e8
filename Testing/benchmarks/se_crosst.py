"""SE-CrossT's encoder against a plain CrossFormer, and what a map adds to a prediction; T at 512².

Baseline (``PlainCrossFormer``): CrossFormer-T written here from its paper (Wang et al., ICLR 2022)
as a good user would: groups of 7, intervals 8, 4, 2, 1, tokens padded before the projections,
attention written out, the bias made in every pass. No SE and no absolute positions, which ours
has. That it is the same network is checked: with ours set up alike the outputs must agree.

Everything runs in this process, in turns. Maps: the whole network, all modalities, one case.
Memory: the growth of the process's peak in a process of its own. Prints ratios; absolute times
depend on the machine.

    python Testing/benchmarks/se_crosst.py [--rounds 5] [--threads 2] [--batch 1] [--cpu-time]
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.functional import pad

from breastpredict.models import (
    SE_CROSST_STOCK,
    SE_CROSST_T,
    build_network,
    input_shapes,
    predict_with_maps,
)
from breastpredict.models.crossformer import CrossFormer

GROUP, INTERVALS, DEPTHS = 7, (8, 4, 2, 1), (1, 1, 8, 6)
WIDTHS, HEADS = (64, 128, 256, 512), (2, 4, 8, 16)


class PlainAttention(nn.Module):
    """Attention in groups of 7×7 tokens, neighbours or ``interval`` apart."""

    def __init__(self, width: int, heads: int, interval: int) -> None:
        super().__init__()
        self.heads, self.interval = heads, interval
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)
        small = width // 16
        layers: list[nn.Module] = [nn.Linear(2, small)]
        for out in (small, small, heads):
            layers += [nn.LayerNorm(small), nn.ReLU(), nn.Linear(small, out)]
        self.bias = nn.Sequential(*layers)
        steps = torch.arange(1 - GROUP, GROUP)
        self.register_buffer("offsets", torch.cartesian_prod(steps, steps).float())
        inside = torch.arange(GROUP)
        place = torch.cartesian_prod(inside, inside)
        apart = place[:, None] - place[None] + GROUP - 1
        self.register_buffer("index", apart[..., 0] * (2 * GROUP - 1) + apart[..., 1])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        batch, side, _, width = x.shape
        window = GROUP * self.interval
        full = -(-side // window) * window
        x = pad(x, (0, 0, 0, full - side, 0, full - side))
        inside = x.new_zeros(full, full, 1)
        inside[side:] = inside[:, side:] = -1e4
        groups = self.split(x, full)
        hidden = self.split(inside[None], full)[..., 0]  # [groups, 49]
        count, tokens, _ = groups.shape
        qkv = self.qkv(groups).reshape(count, tokens, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        query, key, value = qkv[0], qkv[1], qkv[2]
        scores = query * query.shape[-1] ** -0.5 @ key.transpose(-2, -1)
        scores = scores + self.bias(self.offsets)[self.index].permute(2, 0, 1)
        if full > side:
            scores = scores + hidden.repeat(batch, 1)[:, None, None]
        mixed = (scores.softmax(dim=-1) @ value).transpose(1, 2).reshape(count, tokens, width)
        mixed = self.proj(mixed)
        rows = full // window
        shape = (batch, rows, rows, self.interval, self.interval, GROUP, GROUP, width)
        mixed = mixed.reshape(shape).permute(0, 1, 5, 3, 2, 6, 4, 7)
        return mixed.reshape(batch, full, full, width)[:, :side, :side]

    def split(self, x: torch.Tensor, full: int) -> torch.Tensor:
        rows, width = full // (GROUP * self.interval), x.shape[-1]
        x = x.reshape(len(x), rows, GROUP, self.interval, rows, GROUP, self.interval, width)
        return x.permute(0, 1, 4, 3, 6, 2, 5, 7).reshape(-1, GROUP * GROUP, width)


class PlainBlock(nn.Module):
    def __init__(self, width: int, heads: int, interval: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = PlainAttention(width, heads, interval)
        self.mlp = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x + self.attention(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class PlainCrossFormer(nn.Module):
    """Images [B, 3, 512, 512] → [B, 512]."""

    def __init__(self) -> None:
        super().__init__()
        self.embeddings, self.norms, self.blocks = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        for stage, width in enumerate(WIDTHS):
            before = WIDTHS[stage - 1] if stage else 3
            kernels, stride = ((2, 4), 2) if stage else ((4, 8, 16, 32), 4)
            shares = (width // 2, width // 2) if stage else (32, 16, 8, 8)
            self.embeddings.append(
                nn.ModuleList(
                    nn.Conv2d(before, share, kernel, stride, (kernel - stride) // 2)
                    for kernel, share in zip(kernels, shares, strict=True)
                )
            )
            self.norms.append(nn.LayerNorm(before if stage else width))
            self.blocks.append(
                nn.Sequential(
                    *(
                        PlainBlock(width, HEADS[stage], INTERVALS[stage] if n % 2 else 1)
                        for n in range(DEPTHS[stage])
                    )
                )
            )
        self.norm = nn.LayerNorm(WIDTHS[-1])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        parts: Any = zip(self.embeddings, self.norms, self.blocks, strict=True)
        for stage, (embeddings, norm, blocks) in enumerate(parts):
            if stage:
                x = norm(x).permute(0, 3, 1, 2)
            x = torch.cat([embedding(x) for embedding in embeddings], dim=1).permute(0, 2, 3, 1)
            x = blocks(x if stage else norm(x))
        found: torch.Tensor = self.norm(x).mean(dim=(1, 2))
        return found


def check_baseline(plain: PlainCrossFormer, image: torch.Tensor) -> None:
    """The same weights in our encoder without what the paper's does not have: the same output."""
    ours = CrossFormer(SE_CROSST_STOCK).eval()
    assert sum(p.numel() for p in ours.parameters()) == sum(p.numel() for p in plain.parameters())
    values = iter(_in_our_order(plain))
    with torch.no_grad():
        for parameter in ours.parameters():
            parameter.copy_(next(values))
        difference = (ours(image) - plain(image)).abs().max()
    assert difference < 1e-4, difference


def _in_our_order(plain: PlainCrossFormer) -> list[torch.Tensor]:
    found: list[torch.Tensor] = []
    for stage in range(4):
        for part in (plain.embeddings[stage], plain.norms[stage]):
            found += part.parameters()
        for block in plain.blocks[stage]:  # type: ignore[union-attr]
            attention = block.attention
            for part in (block.norm1, attention.qkv, attention.proj, attention.bias):
                found += part.parameters()
            found += [*block.norm2.parameters(), *block.mlp.parameters()]
    return [*found, *plain.norm.parameters()]


clock = time.perf_counter


def timed(call: Callable[[], object]) -> float:
    start = clock()
    call()
    return clock() - start


def report(what: str, ratios: list[float], goal: str) -> None:
    quartiles = statistics.quantiles(ratios, n=4)
    print(
        f"{what}: {statistics.median(ratios):.2f} ({goal}; quartiles of {len(ratios)} rounds "
        f"{quartiles[0]:.2f} to {quartiles[2]:.2f})",
        flush=True,
    )


def forward(model: nn.Module, images: torch.Tensor) -> Callable[[], object]:
    def call() -> None:
        model.eval()
        with torch.inference_mode():
            model(images)

    return call


def training(model: nn.Module, images: torch.Tensor) -> Callable[[], object]:
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-6)

    def call() -> None:
        model.train()
        optimiser.zero_grad()
        model(images).square().mean().backward()
        optimiser.step()

    return call


def encoders(batch: int, rounds: int) -> None:
    torch.manual_seed(0)
    images = torch.rand(batch, 3, 512, 512) * 2 - 1
    plain, ours = PlainCrossFormer(), CrossFormer(SE_CROSST_T)
    check_baseline(plain, images[:1])
    stock = CrossFormer(SE_CROSST_STOCK)
    for what, kind in (("forward pass", forward), ("train step", training)):
        calls = {
            name: kind(model, images)
            for name, model in (("plain", plain), ("ours", ours), ("stock", stock))
        }
        times: dict[str, list[float]] = {name: [timed(call)] for name, call in calls.items()}
        for _ in range(rounds):  # the first was a warm-up
            for name, call in calls.items():
                times[name].append(timed(call))
        seconds = {name: statistics.median(values[1:]) / batch for name, values in times.items()}
        print(
            f"{what}, seconds per image: " + ", ".join(f"{n} {s:.3f}" for n, s in seconds.items())
        )
        for name, goal in (("ours", "goal at least 1.18"), ("stock", "ours with G = 7, no goal")):
            ratios = [a / b for a, b in zip(times["plain"][1:], times[name][1:], strict=True)]
            report(f"{what}, plain CrossFormer over {name}", ratios, goal)


def maps(rounds: int) -> None:
    torch.manual_seed(0)
    model = build_network(SE_CROSST_T).eval()
    case = {name: torch.rand(1, *shape) for name, shape in input_shapes(SE_CROSST_T).items()}
    ratios = []
    predict_with_maps(model, case, None)  # type: ignore[arg-type]
    for _ in range(rounds):
        alone = timed(lambda: predict_with_maps(model, case, None))  # type: ignore[arg-type]
        ratios.append(timed(lambda: predict_with_maps(model, case, "gradcam")) / alone)  # type: ignore[arg-type]
    print(f"prediction of a case, seconds: {alone:.2f}")
    report("prediction with Grad-CAM of all images over prediction alone", ratios, "goal 1.1")


MEMORY = ("plain forward", "ours forward", "plain train", "ours train", "case", "case with maps")


def peak(what: str, batch: int) -> float:
    """MiB that a first call adds to the peak, weights included."""
    before = peak_mib()
    images = torch.rand(batch, 3, 512, 512)
    if what.startswith("case"):
        model = build_network(SE_CROSST_T).eval()
        case = {name: torch.rand(1, *shape) for name, shape in input_shapes(SE_CROSST_T).items()}
        predict_with_maps(model, case, "gradcam" if "maps" in what else None)  # type: ignore[arg-type]
    else:
        name, mode = what.split()
        encoder = PlainCrossFormer() if name == "plain" else CrossFormer(SE_CROSST_T)
        (forward if mode == "forward" else training)(encoder, images)()
    return peak_mib() - before


def peak_mib() -> float:
    """Highest resident memory of this process so far (Linux; ru_maxrss would be the parent's)."""
    status = Path("/proc/self/status").read_text("ascii")
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def memory(batch: int, threads: int) -> None:
    found = {}
    for what in MEMORY:
        command = [sys.executable, __file__, "--peak", what, "--batch", str(batch)]
        command += ["--threads", str(threads)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        found[what] = float(done.stdout)
    print("peak memory in MiB: " + ", ".join(f"{n} {v:.0f}" for n, v in found.items()))
    for mode in ("forward", "train"):
        ratio = found[f"plain {mode}"] / found[f"ours {mode}"]
        print(f"memory of {mode}, plain CrossFormer over ours: {ratio:.2f} (no goal)")
    print(f"memory, case with maps over case: {found['case with maps'] / found['case']:.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument(
        "--cpu-time",
        action="store_true",
        help="of all threads, where other work disturbs the clock",
    )
    parser.add_argument("--no-encoders", action="store_true")
    parser.add_argument("--no-memory", action="store_true")
    parser.add_argument("--no-maps", action="store_true")
    parser.add_argument("--peak", choices=MEMORY, help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.peak:
        print(peak(options.peak, options.batch))
        return
    if options.cpu_time:
        global clock
        clock = time.process_time
    if not options.no_encoders:
        encoders(options.batch, options.rounds)
    if not options.no_maps:
        maps(options.rounds)
    if not options.no_memory:
        memory(options.batch, options.threads)


if __name__ == "__main__":
    main()
