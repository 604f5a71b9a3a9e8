"""The learning curve of a training, as a table and, where matplotlib is installed, as a figure."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import asdict, replace

from breastpredict.learning.config import TrainConfig
from breastpredict.learning.examples import EpochRecord

SMOOTHED_EPOCHS = 5
"""An epoch is judged by the mean tuning area of this many epochs up to it."""

CURVE_COLUMNS = (
    "epoch",
    "train_loss",
    "tuning_loss",
    "tuning_auc",
    "smoothed_tuning_auc",
    "learning_rate",
    "chosen",
)
_BLUE, _ORANGE = "#0072B2", "#D55E00"  # Okabe & Ito: apart for every kind of colour vision


def smoothed_auc(history: Sequence[EpochRecord]) -> float:
    """Mean tuning area of the last epochs of a history.

    A small tuning set has lucky epochs, so the areas of the last few are averaged. Epochs before
    the first count as chance: an untrained network may be lucky, too.
    """
    recent = history[-SMOOTHED_EPOCHS:]
    missing = SMOOTHED_EPOCHS - len(recent)
    return (sum(record.tuning_auc for record in recent) + 0.5 * missing) / SMOOTHED_EPOCHS


def judged(record: EpochRecord, history: Sequence[EpochRecord], config: TrainConfig) -> EpochRecord:
    """The record of a new epoch, marked ``best`` where the settings' rule prefers it to all before.

    Args:
        record: of the new epoch.
        history: the epochs before it, marked by this function.
        config: ``epoch_rule``, ``choose_from``.
    """
    merit = _accuracy_merit if config.epoch_rule == "accuracy" else _auc_merit
    kept = next((r.epoch for r in reversed(history) if r.best), None)
    best = record.epoch >= config.choose_from and (
        kept is None or merit([*history, record]) > merit(history[:kept])
    )
    return replace(record, best=best)


def _auc_merit(history: Sequence[EpochRecord]) -> tuple[float, float]:
    """How good the last epoch of a history is; larger is better."""
    recent = history[-SMOOTHED_EPOCHS:]
    loss = sum(record.tuning_loss for record in recent) / len(recent)
    return smoothed_auc(history), -loss


def _accuracy_merit(history: Sequence[EpochRecord]) -> tuple[float, float]:
    """The same by the last epoch's own accuracy."""
    return history[-1].tuning_accuracy, -history[-1].tuning_loss


def best_record(history: Sequence[EpochRecord]) -> EpochRecord:
    """The epoch whose weights are kept: the last that was the best so far."""
    return next(record for record in reversed(history) if record.best)


def learning_curve_csv(history: Sequence[EpochRecord]) -> str:
    """One row per epoch; ``chosen`` is 1 for the epoch whose weights were kept."""
    kept = best_record(history).epoch
    lines = [",".join(CURVE_COLUMNS)]
    for number, record in enumerate(history, start=1):
        values = {
            **asdict(record),
            "smoothed_tuning_auc": smoothed_auc(history[:number]),
            "chosen": int(record.epoch == kept),
        }
        lines.append(",".join(str(values[name]) for name in CURVE_COLUMNS))
    return "\n".join(lines) + "\n"


def learning_curve_svg(history: Sequence[EpochRecord]) -> str | None:
    """The figure as SVG; None where matplotlib is not installed (extra ``reports``)."""
    try:
        import matplotlib
        from matplotlib.backends.backend_svg import FigureCanvasSVG
        from matplotlib.figure import Figure
    except ImportError:
        return None
    epochs = [record.epoch for record in history]
    with matplotlib.rc_context({"svg.hashsalt": "breastpredict", "svg.fonttype": "none"}):
        figure = Figure(figsize=(7, 5.4), layout="constrained")
        FigureCanvasSVG(figure)
        losses, areas = figure.subplots(2, 1, sharex=True)
        losses.plot(epochs, [r.train_loss for r in history], color=_BLUE, label="train (augmented)")
        losses.plot(
            epochs, [r.tuning_loss for r in history], color=_ORANGE, ls="--", label="tuning"
        )
        losses.set_ylabel("loss")
        areas.plot(epochs, [r.tuning_auc for r in history], color=_ORANGE, alpha=0.4, label="AUC")
        areas.plot(
            epochs,
            [smoothed_auc(history[: n + 1]) for n in range(len(history))],
            color=_ORANGE,
            label=f"AUC, mean of {SMOOTHED_EPOCHS} epochs",
        )
        areas.axhline(0.5, color="0.6", lw=0.8)
        areas.set(ylabel="tuning AUC", xlabel="epoch", ylim=(0, 1.02))
        for axes in (losses, areas):
            axes.axvline(best_record(history).epoch, color="0.3", ls=":", label="epoch kept")
            axes.legend(loc="best", fontsize=8)
        out = io.StringIO()
        figure.savefig(out, format="svg", metadata={"Date": None})  # the same run, the same file
    return out.getvalue()
