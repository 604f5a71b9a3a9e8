"""The network stage of HER2 prediction, and what a map adds to it; ViT-tiny at 224².

Throughput: a batch run scores one case after the other, both tasks, with ``predict_with_map``.
Baseline (``bare``): timm's model on the same tensors, all of them known beforehand, at whatever
batch size is fastest on this machine. Maps: the time of a prediction with its map over the time of
the prediction alone. Everything runs in this process, in turns; the logits must agree. Prints
ratios; absolute times depend on the machine.

    python Testing/benchmarks/her2_network.py [--cases 16] [--rounds 7] [--threads 2]
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import timm
import torch

from breastpredict.models import VIT_TINY, build_vit, predict_with_map
from breastpredict.models.explain import Method

BATCH_SIZES = (1, 2, 4, 8, 16)


def networks() -> list[torch.nn.Module]:
    """One of ours per task; random weights cost what trained ones cost."""
    models = []
    for seed in range(2):
        torch.manual_seed(seed)
        model = build_vit(**VIT_TINY).eval()
        torch.nn.init.normal_(model.head.weight, 0, 0.5)  # a fresh head says 0 for everything
        models.append(model)
    return models


def timms(ours: torch.nn.Module) -> torch.nn.Module:
    """The same network as timm makes it."""
    model = timm.create_model("vit_tiny_patch16_224", in_chans=1, num_classes=1).eval()
    model.load_state_dict(ours.state_dict())
    return model


def bare(models: list[torch.nn.Module], cases: torch.Tensor, batch: int) -> list[float]:
    """Logits of all cases, task after task."""
    with torch.inference_mode():
        return [z for m in models for part in cases.split(batch) for z in m(part)[:, 0].tolist()]


def product(
    models: list[torch.nn.Module], cases: torch.Tensor, method: Method | None
) -> list[float]:
    """The same by what a batch run calls, case after case."""
    found = [[predict_with_map(m, x[None], method).logit for m in models] for x in cases]
    return [z for task in zip(*found, strict=True) for z in task]


def timed(call: Callable[[], list[float]]) -> tuple[float, list[float]]:
    start = time.perf_counter()
    result = call()
    return time.perf_counter() - start, result


def report(what: str, ratios: list[float], goal: str) -> None:
    quartiles = statistics.quantiles(ratios, n=4)
    print(
        f"{what}: {statistics.median(ratios):.2f} ({goal}; quartiles of {len(ratios)} rounds "
        f"{quartiles[0]:.2f} to {quartiles[2]:.2f})"
    )


def throughput(models: list[torch.nn.Module], cases: torch.Tensor, rounds: int) -> None:
    plain = [timms(model) for model in models]
    calls: dict[str, Callable[[], list[float]]] = {
        f"batch {size}": lambda size=size: bare(plain, cases, size)  # type: ignore[misc]
        for size in BATCH_SIZES
    }
    calls["numbers only"] = lambda: product(models, cases, None)
    calls["with attention maps"] = lambda: product(models, cases, "attention")
    wanted = calls["batch 1"]()
    for call in calls.values():  # also a warm-up
        assert all(abs(a - b) < 1e-5 for a, b in zip(call(), wanted, strict=True))
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            times[name].append(timed(call)[0])
    rates = {n: len(wanted) / statistics.median(t) for n, t in times.items()}
    best = max((n for n in rates if n.startswith("batch")), key=rates.__getitem__)
    print("images per second: " + ", ".join(f"{n} {rate:.0f}" for n, rate in rates.items()))
    for name in ("numbers only", "with attention maps"):
        ratios = [a / b for a, b in zip(times[best], times[name], strict=True)]
        report(f"throughput, {name}, over bare timm at {best}", ratios, "goal at least 0.8")


def maps(model: torch.nn.Module, cases: torch.Tensor, rounds: int) -> None:
    goals: dict[Method, str] = {
        "attention": "goal at most 1.1",
        "evidence": "goal at most 3",
        "rollout": "no goal",
    }
    ratios: dict[Method, list[float]] = {method: [] for method in goals}
    for _ in range(rounds):
        sums = dict.fromkeys([None, *goals], 0.0)
        for x in cases:  # in turns on every image, so that a busy moment falls on all
            for method in sums:
                sums[method] += timed(lambda x=x, m=method: product([model], x[None], m))[0]  # type: ignore[misc]
        for method in goals:
            ratios[method].append(sums[method] / sums[None])
    for method, goal in goals.items():
        report(f"prediction with {method} map over prediction alone", ratios[method], goal)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    size = VIT_TINY["image_size"]
    cases = torch.rand(options.cases, 1, size, size) * 2 - 1
    models = networks()
    throughput(models, cases, options.rounds)
    maps(models[0], cases, options.rounds)


if __name__ == "__main__":
    main()
