"""A bundle trains and judges by MONAI's own commands; two processes do what one does."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from breastpredict.errors import InputError
from breastpredict.learning.examples import Example
from breastpredict.learning.tables import read_table, table_csv

torch = pytest.importorskip("torch")

from breastpredict.learning import BinaryTask, TrainConfig  # noqa: E402
from breastpredict.learning.bundle_parts import RankBatches  # noqa: E402
from breastpredict.models import VIT_REDUCED, build_vit, load_bundle, save_bundle  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_thread")

NETWORK = {
    **VIT_REDUCED, "image_size": 16, "patch_size": 4, "width": 24, "depth": 2, "heads": 2,
}  # fmt: skip
SETS = {"train": 23, "tuning": 9, "validation": 14}
EPOCHS = 2
ALONE = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}


def textures(n: int, seed: int) -> list[Example]:
    """Stripes (1) or noise (0)."""
    rng = np.random.default_rng(seed)
    found = []
    for index in range(n):
        image = rng.normal(0, 0.4, size=(1, 16, 16))
        if index % 2:
            image = 0.5 * image + 0.3 * np.sign(np.sin(np.arange(16) * np.pi / 2 + 0.4))
        found.append(Example(f"case-{seed}-{index}", image.astype(np.float32), index % 2))
    return found


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of random weights with a recalibration, and a table of inputs in ``data``."""
    root = tmp_path_factory.mktemp("bundle")
    torch.manual_seed(0)
    block = {
        "task": "stripes",
        "positive_class": "stripes",
        "negative_class": "noise",
        "threshold": 0.5,
        "prevalence": 0.5,
        "calibration": {},
        "synthetic": True,
        "training_data": {},
        "recalibration": {"site": "S", "method": "platt", "slope": 3.0, "intercept": -0.5},
    }
    folder = save_bundle(root / "stripes", build_vit(**NETWORK), network=NETWORK, metadata=block)
    write_table(folder / "data", {s: textures(n, i) for i, (s, n) in enumerate(SETS.items())})
    return folder


def write_table(folder: Path, sets: dict[str, list[Example]]) -> None:
    folder.mkdir()
    rows = []
    for name, examples in sets.items():
        for example in examples:
            np.save(folder / f"{example.key}.npy", example.image)
            rows.append((f"{example.key}.npy", example.label, name))
    (folder / "table.csv").write_text(table_csv(rows))


def start(bundle: Path, *options: str, processes: int = 1) -> subprocess.Popen[str]:
    """``python -m monai.bundle run`` in a bundle folder, by torchrun for several processes."""
    python = [sys.executable, "-m"]
    if processes > 1:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = str(free.getsockname()[1])
        python += ["torch.distributed.run", "--nproc_per_node", str(processes)]
        python += ["--master_port", port, "-m"]
    return subprocess.Popen(
        [*python, "monai.bundle", "run", *options],
        cwd=bundle,
        env=ALONE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(process: subprocess.Popen[str]) -> None:
    said = process.communicate(timeout=240)[0]
    assert process.returncode == 0, said[-3000:]


@pytest.fixture(scope="module")
def trained(bundle: Path) -> dict[int, Path]:
    """Number of processes → what training wrote."""
    training = ["--epochs", str(EPOCHS), "--batch_size", "6", "--learning_rate", "0.003"]
    both = "['configs/train.json','configs/multi_gpu_train.json']"
    running = [
        start(bundle, "--config_file", config, *training, "--output_dir", f"out{n}", processes=n)
        for n, config in ((1, "configs/train.json"), (2, both))
    ]
    for process in running:
        finish(process)
    return {1: bundle / "out1", 2: bundle / "out2"}


def cases(folder: Path) -> dict[int, list[str]]:
    """Epoch → cases seen by all processes together."""
    found: dict[int, list[str]] = {}
    for path in sorted(folder.glob("cases-rank*.csv")):
        with open(path, newline="") as file:
            for row in csv.DictReader(file):
                found.setdefault(int(row["epoch"]), []).append(row["case"])
    return found


def test_training_changes_the_weights_and_sees_every_patient_once_an_epoch(
    trained: dict[int, Path], bundle: Path
) -> None:
    every = sorted(e.key for e in read_table(bundle / "data", "train"))
    assert len(every) == SETS["train"]
    for folder in trained.values():
        found = cases(folder)
        assert list(found) == list(range(1, EPOCHS + 1))
        assert all(sorted(seen) == every for seen in found.values())
    state = torch.load(trained[1] / "model.pt", weights_only=True)
    before = load_bundle(bundle).model.state_dict()
    assert state.keys() == before.keys()
    assert not torch.equal(state["head.weight"], before["head.weight"])


def test_two_processes_share_the_cohort_and_learn_what_one_does(
    trained: dict[int, Path], bundle: Path
) -> None:
    ranks = [
        {
            row["case"]
            for row in csv.DictReader(path.read_text().splitlines())
            if row["epoch"] == "1"
        }
        for path in sorted(trained[2].glob("cases-rank*.csv"))
    ]
    assert len(ranks) == 2 and not ranks[0] & ranks[1] and all(len(r) >= 11 for r in ranks)
    model = load_bundle(bundle).model
    tuning = torch.stack([torch.from_numpy(e.image) for e in read_table(bundle / "data", "tuning")])
    logits = []
    for folder in trained.values():
        model.load_state_dict(torch.load(folder / "model.pt", weights_only=True))
        with torch.no_grad():
            logits.append(model(tuning))
    # Not the weights: the bias of the keys has no gradient but rounding, which AdamW blows up.
    assert torch.allclose(*logits, atol=2e-4) and logits[0].std() > 0.01
    metrics = [
        float((folder / "metrics.csv").read_text().split(",")[1]) for folder in trained.values()
    ]
    assert metrics[0] == pytest.approx(metrics[1], abs=1e-6)


def test_evaluating_gives_the_numbers_of_the_library(
    trained: dict[int, Path], bundle: Path
) -> None:
    from breastpredict.stats import roc_auc

    finish(start(bundle, "--config_file", "configs/evaluate.json", "--checkpoint", "out1/model.pt"))
    model = load_bundle(bundle).model
    model.load_state_dict(torch.load(trained[1] / "model.pt", weights_only=True))
    held = read_table(bundle / "data", "validation")
    with torch.no_grad():
        logits = [float(model(torch.from_numpy(e.image)[None])) for e in held]
    scores = 1 / (1 + np.exp(-(3.0 * np.array(logits) - 0.5)))  # the recalibration counts
    with open(bundle / "eval" / "scores.csv", newline="") as file:
        found = {
            row["case"]: (int(row["label"]), float(row["score"])) for row in csv.DictReader(file)
        }
    assert {e.key: e.label for e in held} == {key: label for key, (label, _) in found.items()}
    assert [found[e.key][1] for e in held] == pytest.approx(scores, abs=1e-6)
    said = json.loads((bundle / "eval" / "evaluation.json").read_text())
    labels = [e.label for e in held]
    assert said["n"] == SETS["validation"]
    assert said["auc"]["value"] == pytest.approx(roc_auc(labels, scores).value)
    by_monai = float((bundle / "eval" / "metrics.csv").read_text().split(",")[1])
    assert by_monai == pytest.approx(said["auc"]["value"], abs=1e-6)


def test_the_configuration_has_what_monai_asks_of_a_training(bundle: Path) -> None:
    from monai.bundle import ConfigWorkflow

    os_before = os.getcwd()
    os.chdir(bundle)
    try:
        workflow = ConfigWorkflow(
            config_file="configs/train.json",
            meta_file="configs/metadata.json",
            logging_file=None,
            workflow_type="train",
        )
        workflow.initialize()
        assert workflow.check_properties() == []
    finally:
        os.chdir(os_before)


@given(st.integers(4, 60), st.integers(4, 17), st.integers(1, 4), st.integers(1, 3))
def test_processes_share_every_batch_and_none_is_left_without(
    n: int, size: int, world: int, epoch: int
) -> None:
    alone = RankBatches([0, 1] * n, size, seed=1)
    ranks = [RankBatches([0, 1] * n, size, seed=1, rank=r, world=world) for r in range(world)]
    for batches in (alone, *ranks):
        batches.epoch = epoch
    shares = [list(batches) for batches in ranks]
    assert all(len(share) == len(ranks[0]) and all(share) for share in shares)
    seen = Counter(index for share in shares for batch in share for index in batch)
    assert seen == dict.fromkeys(range(2 * n), 1)
    for number, whole in enumerate(list(alone)[: len(ranks[0]) - 1]):
        assert sorted(whole) == sorted(i for share in shares for i in share[number])


# --- The table ---


def spoil(folder: Path, tmp_path: Path, old: str, new: str) -> Path:
    copy = Path(shutil.copytree(folder, tmp_path / "data"))
    table = copy / "table.csv"
    assert old in table.read_text()
    table.write_text(table.read_text().replace(old, new))
    return copy


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("image,label,set", "image,label,side", "must have the columns"),
        ("case-0-0.npy,0,train", "case-0-0.npy,2,train", "Row 2 has no valid label"),
        ("case-0-0.npy,0,train", "case-1-0.npy,0,train", "both train and tuning"),
        ("case-0-0.npy,0,train", "case-0-1.npy,0,train", "twice in train"),
        ("case-0-0.npy,0,train", "absent.npy,0,train", "cannot be read"),
        (",1,train", ",0,train", "lacks a class"),
    ],
)
def test_a_table_that_leaks_or_is_damaged_is_refused(
    bundle: Path, tmp_path: Path, old: str, new: str, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        read_table(spoil(bundle / "data", tmp_path, old, new), "train")


def test_her2_crops_makes_the_table_of_the_training(tmp_path: Path) -> None:
    from breastpredict.cli import main
    from breastpredict.her2 import Her2TrainConfig
    from breastpredict.her2.train import TASKS, prepare_pool
    from breastpredict.phantom import make_her2_phantom
    from breastpredict.study import read_cohort

    table = make_her2_phantom(
        tmp_path / "c", {"SITE-A": 24}, seed=1, matrix=48, slices=8, phases=2, workers=1
    )
    out = tmp_path / "crops"
    options = ["--network", "reduced", "--roi", "masked", "--quiet"]
    assert main(["her2", "crops", str(table), "--out", str(out), *options]) == 0
    config = Her2TrainConfig(preset="reduced", roi="masked")
    pool = prepare_pool(read_cohort(table), tmp_path / "cache", config)
    for task in TASKS:
        wanted = Counter(
            (pool.split[e.key], e.label, e.image.tobytes()) for e in pool.examples(task)
        )
        found: Counter[Any] = Counter()
        for name in ("train", "tuning", "validation"):
            try:
                members: Sequence[Example] = read_table(out / task.name, name, 64)
            except InputError as error:  # so few patients that a set may lack a class
                assert "lacks a class" in str(error)
                wanted = Counter({k: v for k, v in wanted.items() if k[0] != name})
                continue
            found.update((name, e.label, e.image.tobytes()) for e in members)
        assert found == wanted and found
    for path in out.rglob("*"):
        assert "PHANTOM" not in path.name
        assert path.is_dir() or path.name == "failures.csv" or b"PHANTOM" not in path.read_bytes()


# --- A kill ---

KILLED = """
import sys
from pathlib import Path
import torch
torch.set_num_threads(1)
sys.path.insert(0, sys.argv[2])
from test_bundle_training import long_training
long_training(Path(sys.argv[1]), lambda record: print(record.epoch, flush=True))
"""


def long_training(folder: Path, on_epoch: Any, resume: bool = False) -> Any:
    from breastpredict.learning.training import train_binary

    return train_binary(
        textures(60, 5),
        textures(8, 6),
        BinaryTask("stripes", positive="stripes", negative="noise"),
        folder,
        network=NETWORK,
        weights="none",
        config=TrainConfig(
            epochs=12, batch_size=2, learning_rate=1e-3, averaging=0.9, dropout=0.1, device="cpu"
        ),
        synthetic=True,
        training_data={},
        resume=resume,
        on_epoch=on_epoch,
    )


def test_a_process_killed_in_the_middle_loses_at_most_one_epoch(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(tmp_path / "killed"), str(Path(__file__).parent)],
        stdout=subprocess.PIPE,
        env=ALONE,
        text=True,
    )
    assert process.stdout is not None
    printed = []
    for line in process.stdout:
        printed.append(int(line))
        if printed[-1] == 3:
            process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not (tmp_path / "killed" / "stripes").exists()

    seen: list[int] = []
    resumed = long_training(tmp_path / "killed", lambda r: seen.append(r.epoch), resume=True)
    # Its checkpoint is written before an epoch is told of, so the one after may be there, too.
    assert seen[0] in (printed[-1] + 1, printed[-1] + 2) and seen == list(range(seen[0], 13))
    whole = long_training(tmp_path / "whole", None)
    name = "stripes/models/model.safetensors"
    assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert resumed.history == whole.history and resumed.scores == whole.scores
