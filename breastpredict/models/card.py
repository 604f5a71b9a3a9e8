"""The model card of a bundle (docs/README.md): its metadata in words.

After Mitchell et al., Model Cards for Model Reporting (FAT* 2019). Every number in it comes from
metadata.json; nothing is said that was not recorded.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from breastpredict import RESEARCH_USE_ONLY, SYNTHETIC_WARNING
from breastpredict.models.card_maps import map_lines
from breastpredict.models.network import System, system_of

INTENDED_USES: dict[System, str] = {
    "her2": (
        "Research on HER2 status in women with a biopsy-proven invasive breast cancer that is "
        "outlined on DCE-MRI: a score for one yes-or-no question, to be compared with IHC and ISH."
    ),
    "pcr": (
        "Research on pathological complete response (pCR) in women with a biopsy-proven invasive "
        "breast cancer under neoadjuvant chemotherapy: a score for one yes-or-no question, to be "
        "compared with the surgical specimen."
    ),
}
_ANOTHER_SITE = (
    "another site without an evaluation there: thresholds and probabilities do not travel."
)
NOT_FOR: dict[System, tuple[str, ...]] = {
    "her2": (
        "diagnosis, or any decision about a patient, immunohistochemistry included;",
        "cancers without an outlined mass, other sequences or phases, other species or organs;",
        "patients after neoadjuvant treatment, unless the training cohort had such;",
        _ANOTHER_SITE,
    ),
    "pcr": (
        "diagnosis, or any decision about a patient, changing or ending a treatment included;",
        "a patient who lacks one of its inputs: use the variant that was trained without it;",
        "other stains, times of examination, regimens, species or organs than in training;",
        _ANOTHER_SITE,
    ),
}
FEW_PATIENTS = 100
"""Held-out patients below this leave an AUC of 0.8 an interval wider than about ±0.09."""

_SETS = {
    "train": "fitting of the weights",
    "tuning": "choice of epoch and threshold",
    "validation": "held out, only reported",
    "apart": "a cohort of another kind, held out as a whole, only reported",
}


def card(metadata: Mapping[str, Any], figure: str | None = None) -> str:
    """The card as Markdown.

    Args:
        metadata: the whole of metadata.json.
        figure: file in docs/ with the learning curve, where there is one.
    """
    block = metadata["breastpredict"]
    parts = [
        _head(metadata, block),
        _use(system_of(block["network"])),
        _scores(block),
        _data(block),
        _metrics(block),
        _local(block),
        *([map_lines(block)] if system_of(block["network"]) == "pcr" else []),
        _limits(block),
        _curve(figure),
        _files(block),
    ]
    return "\n".join(line for part in parts for line in part).rstrip() + "\n"


def _head(metadata: Mapping[str, Any], block: Mapping[str, Any]) -> Iterable[str]:
    yield from (f"# {block.get('task', 'model')}, version {metadata.get('version', '')}", "")
    yield from (f"**{RESEARCH_USE_ONLY}**", "")
    if block.get("synthetic"):
        yield from (f"**{SYNTHETIC_WARNING}**", "")


def _use(system: System) -> Iterable[str]:
    yield from ("## Intended use", "", INTENDED_USES[system], "", "Not for:", "")
    yield from (f"- {line}" for line in NOT_FOR[system])
    yield ""


def _scores(block: Mapping[str, Any]) -> Iterable[str]:
    calibration = block.get("calibration") or {}
    probability = calibration.get("probability") is True
    yield from ("## What it answers", "")
    yield f"- Positive class (what the score points to): {block.get('positive_class')}"
    yield f"- Negative class: {block.get('negative_class')}"
    rule = block.get("threshold_rule")
    yield f"- Threshold: {block.get('threshold')}" + (f" ({rule})" if rule else "")
    yield f"- Prevalence of the positive class in training: {_number(block.get('prevalence'))}"
    yield (
        f"- Calibration: {calibration.get('method', 'none')}; the output is a "
        + ("probability at that prevalence" if probability else "score, not a probability")
    )
    if "input_words" in block:
        yield f"- Region shown to the network: {block['input_words']}"
    yield ""


def _data(block: Mapping[str, Any]) -> Iterable[str]:
    counts, sites = block.get("counts") or {}, block.get("sites") or {}
    yield from ("## Training data", "")
    if counts:
        positive, negative = block.get("positive_class"), block.get("negative_class")
        yield from (f"| set | used for | {positive} | {negative} |", "|---|---|---|---|")
        for name, found in counts.items():
            use = _SETS.get(name, "")
            yield f"| {name} | {use} | {found.get('positive', 0)} | {found.get('negative', 0)} |"
        yield ""
    else:
        yield from ("Not recorded.", "")
    if sites:
        classes = sorted({name for found in sites.values() for name in found})
        yield f"| site | {' | '.join(classes)} |"
        yield "|---" * (len(classes) + 1) + "|"
        for site, found in sites.items():
            yield f"| {_cell(site)} | {' | '.join(str(found.get(c, 0)) for c in classes)} |"
        yield ""
    if "split_rule" in block:
        yield from (f"Split: {block['split_rule']} (seed {block.get('seed')}).", "")
    if block.get("initialisation"):
        yield from (f"Started from: {block['initialisation'].get('description')}.", "")


def _metrics(block: Mapping[str, Any]) -> Iterable[str]:
    metrics = block.get("metrics") or {}
    yield from ("## Performance", "")
    if not metrics:
        yield from ("Not recorded.", "")
        return
    names = {"auc": "AUC", "sensitivity": "sensitivity", "specificity": "specificity"}
    yield from (f"| set | n | {' | '.join(names.values())} | Brier |", "|---|---|---|---|---|---|")
    for name, found in metrics.items():
        cells = " | ".join(_interval(found.get(key)) for key in names)
        yield f"| {name} | {found.get('n')} | {cells} | {_number(found.get('brier'))} |"
    yield ""
    yield (
        "With 95 % intervals (AUC: DeLong on the logit scale; proportions: Wilson). Only the "
        "validation row is of patients that decided nothing: train and tuning are optimistic."
    )
    yield ""


def _local(block: Mapping[str, Any]) -> Iterable[str]:
    local = block.get("local_validation") or {}
    if not local:
        return
    yield f"## Recalibrated at {_cell(local.get('site', ''))}"
    yield ""
    yield (
        f"On {local.get('patients')} local patients ({local.get('positive')} "
        f"{block.get('positive_class')}, {local.get('negative')} {block.get('negative_class')}), "
        f"{local.get('date')}, method {local.get('method')}. The weights are those of version "
        f"{(block.get('parent') or {}).get('version', '')}."
    )
    yield ""
    yield from ("| | before | after |", "|---|---|---|")
    before, after = local.get("before", {}), local.get("after", {})
    yield f"| AUC | {_interval(before.get('auc'))} | {_interval(after.get('auc'))} |"
    for key in ("sensitivity", "specificity"):
        yield f"| {key} | {_interval(before.get(key))} | {_interval(after.get(key))} |"
    for key in ("brier", "threshold"):
        yield f"| {key} | {_number(before.get(key))} | {_number(after.get(key))} |"
    yield from ("", f"{str(local.get('note', '')).capitalize()}.", "")


def _limits(block: Mapping[str, Any]) -> Iterable[str]:
    yield from ("## Limits", "")
    yield from (f"- {line}" for line in limits(block))
    yield ""


def limits(block: Mapping[str, Any]) -> list[str]:
    """What a reader must know of a model, as far as its metadata tell."""
    found = []
    if block.get("synthetic"):
        found.append("Trained on synthetic phantoms: its numbers mean nothing for patients.")
    held = sum((block.get("counts") or {}).get("validation", {}).values())
    if not held:
        found.append("No held-out patients are recorded: how well it does is unknown.")
    elif held < FEW_PATIENTS:
        found.append(f"Held out were {held} patients: the intervals are wide.")
    found.extend(map(str, block.get("hazards") or ()))
    sites = block.get("sites") or {}
    if len(sites) == 1:
        found.append("Trained on one site: scanners and populations of others were never seen.")
    found.append("External performance is not part of this card; see an evaluation report.")
    if not block.get("local_validation"):
        found.append("Never recalibrated: at another site the score is no probability.")
    return found


def _curve(figure: str | None) -> Iterable[str]:
    if figure:
        yield from ("## Learning curve", "", f"![Loss and tuning AUC by epoch]({figure})", "")


def _files(block: Mapping[str, Any]) -> Iterable[str]:
    yield from ("## Files", "", f"- Weights SHA-256: {block['weights_sha256']}")
    parent = block.get("parent") or {}
    if parent:
        digest = parent["metadata_sha256"]
        yield f"- Made from version {parent['version']}, whose metadata have SHA-256 {digest}"
    for name, found in (block.get("versions") or {}).items():
        yield f"- {name} {found}"
    yield from (
        "",
        "Run on a folder of network inputs (`.npy`, float32, [channels, size, size], -1 to 1):",
        "",
        "```sh",
        "python -m monai.bundle run --config_file configs/inference.json \\",
        "  --bundle_root . --dataset_dir INPUTS --output_dir OUT",
        "python -m monai.bundle verify_metadata --meta_file configs/metadata.json \\",
        "  --filepath configs/metadata.schema.json",
        "```",
        "",
        "Train again, on one process or on several, and evaluate, on a table of prepared inputs",
        "(`breastpredict her2 crops COHORT.csv --out CROPS` makes one for each task):",
        "",
        "```sh",
        f"python -m monai.bundle run --config_file configs/train.json --dataset_dir {_TABLE}",
        "torchrun --nproc_per_node 2 -m monai.bundle run --config_file \\",
        "  \"['configs/train.json','configs/multi_gpu_train.json']\" --dataset_dir " + _TABLE,
        f"python -m monai.bundle run --config_file configs/evaluate.json --dataset_dir {_TABLE}",
        "```",
        "",
        "Verify the weights (loading does, and refuses others):",
        "",
        "```sh",
        f"echo '{block['weights_sha256']}  models/model.safetensors' | sha256sum --check",
        "```",
    )


_TABLE = "CROPS/TASK"


def _interval(found: Any) -> str:
    if not isinstance(found, Mapping):
        return "not known"
    return f"{_number(found['value'])} ({_number(found['low'])} to {_number(found['high'])})"


def _number(value: Any) -> str:
    return f"{value:.3f}" if isinstance(value, int | float) else "not known"


def _cell(text: Any) -> str:
    """A name of the user's inside of a Markdown table."""
    return json.dumps(str(text), ensure_ascii=False)[1:-1].replace("|", "\\|")
