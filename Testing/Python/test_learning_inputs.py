"""Training of networks of several inputs: what a case is, how it is kept, called, resumed."""

from __future__ import annotations

import json
import tracemalloc
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from multi_inputs import SIDE, multi_input_cases, on_disk, tiny_pcr_network

from breastpredict.errors import InputError
from breastpredict.learning import BinaryTask, EpochRecord, MultiInputExample, recipe
from breastpredict.learning.examples import network_array

pytest.importorskip("torch")

import torch

TASK = BinaryTask("pcr", positive="pcr", negative="residual")
QUICK = recipe(
    "ours",
    epochs=3,
    batch_size=8,
    micro_batch=4,
    learning_rate=1e-3,
    warmup_epochs=1,
    patience=0,
    device="cpu",
)
ONCE = replace(QUICK, epochs=1)


def train(run: Path, **changes: Any) -> Any:
    from breastpredict.learning.training import train_binary

    arguments: dict[str, Any] = {
        "examples": multi_input_cases(20),
        "holdout": multi_input_cases(4, seed=1),
        "task": TASK,
        "network": tiny_pcr_network(modalities=["us1", "clinical"]),
        "weights": "none",
        "config": QUICK,
        "synthetic": True,
        "training_data": {},
        "figure": False,
        **changes,
    }
    return train_binary(run_dir=run, **arguments)


def weights_of(run: Path) -> bytes:
    [path] = (run / TASK.name).rglob("*.safetensors")
    return path.read_bytes()


class Recorder(torch.nn.Module):
    """A network of two inputs that notes how it was called."""

    inputs = ("us1", "clinical")

    def __init__(self) -> None:
        super().__init__()
        self.head = torch.nn.Linear(5, 1)
        self.calls: list[dict[str, tuple[int, ...]]] = []

    def forward(self, **inputs: torch.Tensor) -> torch.Tensor:
        self.calls.append({name: tuple(value.shape) for name, value in inputs.items()})
        middle = inputs["us1"][:, 0, 8:24, 8:24].mean(dim=(1, 2))[:, None]
        logit: torch.Tensor = self.head(torch.cat([middle, inputs["clinical"]], dim=1))
        return logit


def fitted(path: Path, **changes: Any) -> tuple[Recorder, Any]:
    from breastpredict.learning.fitting import fit

    torch.manual_seed(0)
    model = Recorder()
    cases = multi_input_cases(23)
    state = fit(
        model,
        cases[:7] + cases[-8:],
        cases[7:-8],
        replace(QUICK, **changes),
        path / "checkpoint.pt",
        settings={},
        resume=False,
        on_epoch=None,
        device=torch.device("cpu"),
    )
    return model, state


class TestArrays:
    def test_a_byte_becomes_minus_one_to_one(self) -> None:
        bytes_ = np.array([[[0, 255], [51, 102]]], np.uint8)
        found = network_array("pathology", bytes_)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, np.array([[[-1, 1], [-0.6, -0.2]]]), atol=1e-6)

    def test_a_float_stays_as_it_is(self) -> None:
        vector = np.array([0.0, 0.25, 1.0], np.float32)
        assert np.array_equal(network_array("clinical", vector), vector)

    def test_grey_ultrasound_is_given_in_three_equal_channels_and_pathology_is_not(self) -> None:
        grey = np.arange(4, dtype=np.uint8).reshape(1, 2, 2)
        found = network_array("us0", grey)
        assert found.shape == (3, 2, 2) and (found == found[:1]).all()
        assert network_array("pathology", grey).shape == (1, 2, 2)


class TestCases:
    def test_the_network_is_called_by_keyword_with_its_inputs_alone(self, tmp_path: Path) -> None:
        model, _ = fitted(tmp_path, micro_batch=0)
        assert {tuple(call) for call in model.calls} == {("us1", "clinical")}
        assert model.calls[0] == {"us1": (8, 3, SIDE, SIDE), "clinical": (8, 4)}

    def test_files_and_arrays_train_the_same_network(self, tmp_path: Path) -> None:
        full = {"network": tiny_pcr_network(), "config": ONCE, "holdout": ()}
        in_memory = train(tmp_path / "a", **full)
        files = on_disk(multi_input_cases(20), tmp_path)
        on_files = train(tmp_path / "b", examples=files, **full)
        assert weights_of(tmp_path / "a") == weights_of(tmp_path / "b")
        assert in_memory.scores == on_files.scores

    def test_a_variant_opens_only_what_it_takes(self, tmp_path: Path) -> None:
        cases = on_disk(multi_input_cases(20), tmp_path)
        for path in tmp_path.glob("*-pathology.npy"):
            path.unlink()
        assert train(tmp_path / "run", examples=cases, holdout=()).scores
        with pytest.raises(InputError, match="cannot be read"):
            train(tmp_path / "full", examples=cases, holdout=(), network=tiny_pcr_network())

    def test_a_cohort_on_disk_is_not_held_in_memory(self, tmp_path: Path) -> None:
        from breastpredict.learning.data import plain_loader, training_loader

        big = np.zeros((9, 3, 128, 128), np.uint8)
        path = tmp_path / "big.npy"
        np.save(path, big)
        cases = [MultiInputExample(str(i), {"pathology": path}, i % 2) for i in range(40)]
        tracemalloc.start()
        try:
            for _ in plain_loader(cases, 1, ["pathology"]):
                pass
            next(iter(training_loader(cases, replace(QUICK, batch_size=2), ["pathology"])))
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        one = 4 * big.size
        assert one < peak < 8 * one

    def test_every_patient_is_scored_once_and_the_bundle_gives_the_score(
        self, tmp_path: Path
    ) -> None:
        from breastpredict.models import load_bundle

        apart = multi_input_cases(5, seed=2)
        run = train(tmp_path, apart=apart, network=tiny_pcr_network(), config=ONCE)
        sets = {"train": 16, "tuning": 4, "validation": 4, "apart": 5}
        assert Counter(s.set for s in run.scores) == sets
        model = load_bundle(tmp_path / TASK.name).model
        scores = {s.key: s.score for s in run.scores}
        for case in apart:
            inputs = {
                name: torch.from_numpy(network_array(name, array))[None]
                for name, array in case.inputs().items()
            }
            with torch.no_grad():
                found = torch.sigmoid(model(**inputs)).item()
            assert found == pytest.approx(scores[case.key], abs=1e-6)

    def test_the_cohort_apart_decides_nothing(self, tmp_path: Path) -> None:
        one = train(tmp_path / "a", apart=multi_input_cases(5, seed=2))
        other = train(tmp_path / "b", apart=multi_input_cases(6, seed=3))
        assert weights_of(tmp_path / "a") == weights_of(tmp_path / "b")
        assert one.threshold == other.threshold
        with pytest.raises(InputError, match="both training and apart"):
            train(tmp_path / "c", apart=multi_input_cases(5))

    def test_a_fold_scores_its_own_patients_and_those_outside_of_the_task(
        self, tmp_path: Path
    ) -> None:
        from breastpredict.learning.crossval import train_fold

        cases, others = multi_input_cases(24), multi_input_cases(3, seed=4)
        folds = {case.key: 1 + place % 2 for place, case in enumerate([*cases, *others])}
        found = train_fold(
            1,
            folds,
            cases,
            others,
            TASK,
            tmp_path,
            network=tiny_pcr_network(modalities=["us1", "clinical"]),
            weights="none",
            config=ONCE,
            synthetic=True,
        )
        assert {score.key for score in found} == {key for key, fold in folds.items() if fold == 1}
        assert sum(score.label is None for score in found) == 2


class TestSteps:
    @pytest.mark.parametrize("balance", ["loss", "none"])
    def test_a_step_in_parts_is_the_step_of_the_whole_batch(
        self, tmp_path: Path, balance: str
    ) -> None:
        """15 cases in batches of 8 and 7, and these in parts of 3, 3, 2 and 3, 3, 1."""
        whole, _ = fitted(tmp_path / "whole", micro_batch=0, balance=balance)
        parts, state = fitted(tmp_path / "parts", micro_batch=3, balance=balance)
        torch.testing.assert_close(parts.head.weight, whole.head.weight, atol=1e-6, rtol=0)
        assert max(call["us1"][0] for call in parts.calls) == 3
        torch.manual_seed(0)
        assert (parts.head.weight - Recorder().head.weight).abs().max() > 1e-3
        assert state.history[-1].train_loss > 0

    @pytest.mark.parametrize("name", ["ours", "paper"])
    def test_a_killed_run_goes_on_as_if_nothing_had_happened(
        self, tmp_path: Path, name: str
    ) -> None:
        small: dict[str, Any] = {"epochs": 3, "batch_size": 8, "micro_batch": 4, "device": "cpu"}
        if name == "paper":
            small |= {"choose_from": 2, "copies": 2, "ultrasound_repeats": 1}
        config = recipe(name, **small)
        few = {"config": config, "holdout": (), "examples": multi_input_cases(12)}
        whole = train(tmp_path / "whole", **few)

        def kill(record: EpochRecord) -> None:
            if record.epoch == 1:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            train(tmp_path / "killed", on_epoch=kill, **few)
        seen: list[int] = []
        resumed = train(
            tmp_path / "killed", resume=True, on_epoch=lambda r: seen.append(r.epoch), **few
        )
        assert seen == [2, 3]
        assert weights_of(tmp_path / "killed") == weights_of(tmp_path / "whole")
        assert resumed.scores == whole.scores and resumed.history == whole.history

    def test_a_changed_file_is_another_cohort(self, tmp_path: Path) -> None:
        cases = on_disk(multi_input_cases(20), tmp_path)
        train(tmp_path / "run", examples=cases, holdout=())
        np.save(tmp_path / f"{cases[0].key}-clinical.npy", np.zeros(4, np.float32))
        with pytest.raises(InputError, match="other settings or other cases"):
            train(tmp_path / "run", examples=cases, holdout=(), resume=True)


class TestRefusals:
    @pytest.mark.parametrize(
        ("name", "array", "line"),
        [
            ("us1", None, "lacks the input.* us1"),
            ("us1", np.zeros((3, 16, 16), np.uint8), r"input us1 of shape \(3, 16, 16\)"),
            ("clinical", np.full(4, np.nan, np.float32), "finite"),
            ("clinical", np.zeros(3, np.float32), r"\(4,\)"),
        ],
    )
    def test_inputs_the_network_does_not_take(
        self, tmp_path: Path, name: str, array: Any, line: str
    ) -> None:
        cases = multi_input_cases(20)
        sources = {k: v for k, v in cases[3].sources.items() if k != name}
        if array is not None:
            sources[name] = array
        cases[3] = replace(cases[3], sources=sources)
        with pytest.raises(InputError, match=line):
            train(tmp_path, examples=cases)

    @pytest.mark.parametrize("content", [b"", b"no array", None])
    def test_a_file_that_holds_no_input(self, tmp_path: Path, content: bytes | None) -> None:
        path = tmp_path / "us0.npy"
        if content is None:
            np.save(path, np.zeros((1, SIDE, SIDE)))
        else:
            path.write_bytes(content)
        case = MultiInputExample("p", {"us0": path}, 1)
        with pytest.raises(InputError, match=r"cannot be read|float64"):
            case.inputs()

    def test_a_network_that_is_none(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="unknown architecture"):
            train(tmp_path, network={"architecture": "toy"})


def test_the_bundle_says_which_inputs_it_takes(tmp_path: Path) -> None:
    train(tmp_path, network=tiny_pcr_network(), config=ONCE)
    [path] = (tmp_path / TASK.name).rglob("metadata.json")
    content = json.loads(path.read_text())
    assert list(content["network_data_format"]["inputs"]) == [
        "pathology",
        "us0",
        "us1",
        "clinical",
    ]
    assert content["breastpredict"]["config"]["micro_batch"] == 4
    assert "hazards" not in content["breastpredict"]
