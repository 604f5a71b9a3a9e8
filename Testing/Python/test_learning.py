"""Training: splits without leakage, honest choices, calibration, and the same bits every time."""

from __future__ import annotations

import csv
import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from breastpredict.errors import InputError
from breastpredict.learning import (
    BinaryTask,
    EpochRecord,
    Example,
    TrainConfig,
    check_disjoint,
    prior_shift,
    stratified_split,
    training_ranges,
)

torch = pytest.importorskip("torch")

TASK = BinaryTask("stripes_vs_noise", positive="stripes", negative="noise")
QUICK = TrainConfig(
    epochs=4, batch_size=8, learning_rate=2e-3, warmup_epochs=1, patience=0, device="cpu"
)


def tiny_network(**changes: Any) -> dict[str, Any]:
    from breastpredict.models import VIT_REDUCED

    size = {"image_size": 16, "patch_size": 4, "width": 24, "depth": 2, "heads": 2}
    return {**VIT_REDUCED, **size, **changes}


def textures(n: int, seed: int = 0, positive_share: float = 0.5) -> list[Example]:
    """Images of stripes (positive) or noise (negative) of the same mean and deviation."""
    rng = np.random.default_rng(seed)
    examples = []
    for index in range(n):
        label = int(index < round(n * positive_share))
        image = rng.normal(size=(16, 16))
        if label:
            image = 0.5 * image + np.sign(np.sin(np.arange(16) * np.pi / 2 + rng.uniform(0, 6)))
        image = (image - image.mean()) / image.std() / 3
        examples.append(Example(f"case-{seed}-{index}", image[None].astype(np.float32), label))
    return examples


def train(run: Path, **changes: Any) -> Any:
    from breastpredict.learning.training import train_binary

    arguments: dict[str, Any] = {
        "examples": textures(40),
        "holdout": textures(12, seed=1),
        "task": TASK,
        "network": tiny_network(),
        "weights": "none",
        "config": QUICK,
        "synthetic": True,
        "training_data": {},
        **changes,
    }
    return train_binary(run_dir=run, **arguments)


def weights_of(run: Path) -> bytes:
    [path] = (run / TASK.name).rglob("*.safetensors")
    return path.read_bytes()


def block(run: Path) -> dict[str, Any]:
    [path] = (run / TASK.name).rglob("metadata.json")
    content: dict[str, Any] = json.loads(path.read_text())["breastpredict"]
    return content


class TestSplit:
    @given(
        st.dictionaries(
            st.sampled_from(["zero", "low", "positive"]), st.integers(2, 60), min_size=1
        )
    )
    def test_keeps_the_share_of_every_class(self, sizes: dict[str, int]) -> None:
        strata = {f"{name}{i}": name for name, size in sizes.items() for i in range(size)}
        apart = Counter(strata[patient] for patient in stratified_split(strata, 0.2, seed=0))
        for name, size in sizes.items():
            assert 1 <= apart[name] < size
            assert abs(apart[name] - 0.2 * size) <= max(0.5, 1 - 0.2 * size)

    def test_depends_on_the_seed_and_not_on_the_order_of_rows(self) -> None:
        strata = {f"p{i}": "ab"[i % 2] for i in range(50)}
        backwards = dict(reversed(strata.items()))
        assert stratified_split(strata, 0.2, seed=4) == stratified_split(backwards, 0.2, seed=4)
        assert stratified_split(strata, 0.2, seed=4) != stratified_split(strata, 0.2, seed=5)

    def test_refuses_a_class_of_one_patient(self) -> None:
        with pytest.raises(InputError, match="single patient"):
            stratified_split({"p1": "a", "p2": "a", "p3": "b"}, 0.2, seed=0)

    def test_refuses_a_patient_on_two_sides_without_naming_the_patient(self) -> None:
        with pytest.raises(InputError, match="both train and external") as caught:
            check_disjoint({"train": ["MRN-1", "MRN-2"], "external": ["MRN-2"]})
        assert "MRN" not in str(caught.value)

    def test_refuses_a_patient_twice_on_one_side(self) -> None:
        with pytest.raises(InputError, match="twice in train"):
            check_disjoint({"train": ["a", "a"]})


class TestPriorShift:
    def test_brings_odds_learnt_at_one_half_to_the_prevalence(self) -> None:
        odds = np.exp(0.7 + prior_shift(0.5, 0.2))
        assert odds == pytest.approx(np.exp(0.7) * 0.2 / 0.8)

    def test_undoes_itself(self) -> None:
        assert prior_shift(0.5, 0.1) == pytest.approx(-prior_shift(0.1, 0.5))

    @pytest.mark.parametrize("balance", ["loss", "sampler"])
    def test_a_balanced_training_gives_probabilities_at_the_prevalence(
        self, tmp_path: Path, balance: str
    ) -> None:
        """Pure noise cannot be told apart, so the mean score must be the prevalence."""
        rng = np.random.default_rng(0)
        examples = [
            replace(e, image=rng.normal(0, 0.3, (1, 16, 16)).astype(np.float32))
            for e in textures(80, positive_share=0.2)
        ]
        config = replace(QUICK, balance=balance, learning_rate=2e-4)  # type: ignore[arg-type]
        run = train(tmp_path, examples=examples, config=config)
        assert run.calibration.prevalence == pytest.approx(0.2, abs=0.01)
        assert np.mean([s.score for s in run.scores]) == pytest.approx(0.2, abs=0.06)


class TestTrainingRanges:
    def test_numbers_are_summarised_and_words_listed(self) -> None:
        cases = [{"spacing": s, "plane": p} for s, p in [(1.0, "axial"), (3.0, "sagittal")]]
        ranges = training_ranges([*cases, {"spacing": float("nan"), "plane": "axial"}])
        assert ranges["plane"] == {"kind": "category", "values": ["axial", "sagittal"], "cases": 3}
        assert ranges["spacing"]["min"] == 1 and ranges["spacing"]["max"] == 3
        assert ranges["spacing"]["median"] == 2 and ranges["spacing"]["cases"] == 2
        assert 1 < ranges["spacing"]["p01"] < 1.1 and 2.9 < ranges["spacing"]["p99"] < 3

    def test_a_feature_is_a_number_or_a_word(self) -> None:
        with pytest.raises(InputError, match="'field'"):
            training_ranges([{"field": 1.5}, {"field": "3T"}])


class TestTraining:
    def test_learns_what_can_be_learnt(self, tmp_path: Path) -> None:
        config = replace(QUICK, epochs=25, averaging=0.9)
        run = train(tmp_path, examples=textures(80), holdout=textures(40, seed=1), config=config)
        assert run.auc["validation"].value > 0.9

    def test_every_case_is_scored_once_with_its_set(self, tmp_path: Path) -> None:
        run = train(tmp_path)
        assert Counter(s.set for s in run.scores) == {"train": 32, "tuning": 8, "validation": 12}
        assert len({s.key for s in run.scores}) == 52
        assert all(0 < s.score < 1 for s in run.scores)

    def test_the_holdout_decides_nothing(self, tmp_path: Path) -> None:
        one = train(tmp_path / "a")
        other = train(tmp_path / "b", holdout=textures(12, seed=2))
        assert weights_of(tmp_path / "a") == weights_of(tmp_path / "b")
        assert one.threshold == other.threshold and one.history == other.history

    def test_the_epoch_is_chosen_by_the_smoothed_tuning_auc(self, tmp_path: Path) -> None:
        records: list[EpochRecord] = []
        run = train(tmp_path, config=replace(QUICK, epochs=8), on_epoch=records.append)
        assert tuple(records) == run.history
        areas = [0.5] * 4 + [record.tuning_auc for record in records]
        smoothed = [np.mean(areas[i : i + 5]) for i in range(len(records))]
        chosen = [record for record in records if record.best][-1]
        assert smoothed[chosen.epoch - 1] == pytest.approx(max(smoothed))
        assert run.auc["tuning"].value == pytest.approx(chosen.tuning_auc)

    def test_patience_ends_the_training(self, tmp_path: Path) -> None:
        config = replace(QUICK, epochs=60, patience=2, learning_rate=5e-2)
        run = train(tmp_path, config=config)
        best = max(record.epoch for record in run.history if record.best)
        assert len(run.history) == best + 2 < 60

    def test_the_bundle_says_how_it_was_made(self, tmp_path: Path) -> None:
        run = train(tmp_path)
        content = block(tmp_path)
        assert content["task"] == TASK.name and content["positive_class"] == "stripes"
        assert content["threshold"] == run.threshold
        assert content["calibration"]["method"] == "prior-shift"
        assert content["counts"]["train"] == {"positive": 16, "negative": 16}
        assert content["seed"] == 0 and content["synthetic"] is True
        assert {"torch", "monai", "timm", "numpy"} <= set(content["versions"])
        assert content["threads"] >= 1

    def test_the_saved_model_gives_the_scores(self, tmp_path: Path) -> None:
        from breastpredict.models import load_bundle

        run = train(tmp_path)
        model = load_bundle(tmp_path / TASK.name).model.eval()
        images = {e.key: e.image for e in textures(12, seed=1)}
        for score in (s for s in run.scores if s.set == "validation"):
            with torch.no_grad():
                logit = model(torch.from_numpy(images[score.key])[None])
            assert torch.sigmoid(logit).item() == pytest.approx(score.score, abs=1e-6)


class TestReproducibility:
    def test_the_same_settings_give_the_same_bits(self, tmp_path: Path) -> None:
        config = replace(QUICK, dropout=0.1, drop_path=0.2, averaging=0.9)
        train(tmp_path / "a", config=config)
        torch.rand(7)  # what happened before does not matter
        train(tmp_path / "b", config=config)
        train(tmp_path / "c", config=replace(config, seed=1))
        assert weights_of(tmp_path / "a") == weights_of(tmp_path / "b")
        assert weights_of(tmp_path / "a") != weights_of(tmp_path / "c")

    @pytest.mark.parametrize("balance", ["loss", "sampler"])
    def test_a_killed_run_goes_on_as_if_nothing_had_happened(
        self, tmp_path: Path, balance: str
    ) -> None:
        config = replace(QUICK, dropout=0.1, averaging=0.9, balance=balance)  # type: ignore[arg-type]
        whole = train(tmp_path / "whole", config=config)

        def kill(record: EpochRecord) -> None:
            if record.epoch == 2:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            train(tmp_path / "killed", config=config, on_epoch=kill)
        seen: list[int] = []
        resumed = train(
            tmp_path / "killed",
            config=config,
            resume=True,
            on_epoch=lambda record: seen.append(record.epoch),
        )
        assert seen == [3, 4]
        assert weights_of(tmp_path / "killed") == weights_of(tmp_path / "whole")
        assert resumed.scores == whole.scores and resumed.history == whole.history

    def test_the_number_of_loading_processes_does_not_matter(self, tmp_path: Path) -> None:
        train(tmp_path / "a", config=replace(QUICK, epochs=2))
        train(tmp_path / "b", config=replace(QUICK, epochs=2, workers=1))
        assert weights_of(tmp_path / "a") == weights_of(tmp_path / "b")

    def test_the_history_is_a_table(self, tmp_path: Path) -> None:
        train(tmp_path)
        with open(tmp_path / "training" / TASK.name / "history.csv", newline="") as file:
            rows = list(csv.DictReader(file))
        assert [row["epoch"] for row in rows] == ["1", "2", "3", "4"]

    def test_augmentation_is_seeded_as_monai_seeds_it(self) -> None:
        from breastpredict.learning.data import ExampleDataset, augmentation, reseed

        example = textures(2)[1]
        theirs, ours = augmentation(TrainConfig()), augmentation(TrainConfig())
        ExampleDataset([example], ours)
        seen = set()
        for seed in (0, 1, 2**32 - 1):
            theirs.set_random_state(seed=seed)
            reseed(ours, seed)
            wanted = torch.as_tensor(theirs(torch.from_numpy(example.image)))
            assert torch.equal(torch.as_tensor(ours(torch.from_numpy(example.image))), wanted)
            seen.add(wanted.numpy().tobytes())
        assert len(seen) == 3


class TestRefusals:
    def test_a_checkpoint_of_other_settings(self, tmp_path: Path) -> None:
        train(tmp_path)
        with pytest.raises(InputError, match="other settings or other cases"):
            train(tmp_path, config=replace(QUICK, learning_rate=1e-4), resume=True)

    def test_a_damaged_checkpoint(self, tmp_path: Path) -> None:
        train(tmp_path)
        path = tmp_path / "training" / TASK.name / "checkpoint.pt"
        path.write_bytes(path.read_bytes()[:1000])
        with pytest.raises(InputError, match="checkpoint is damaged"):
            train(tmp_path, resume=True)

    def test_a_checkpoint_that_would_run_code(self, tmp_path: Path) -> None:
        class Evil:
            def __reduce__(self) -> tuple[Any, ...]:
                return (Path.touch, (tmp_path / "ran",))

        path = tmp_path / "training" / TASK.name / "checkpoint.pt"
        path.parent.mkdir(parents=True)
        torch.save({"fingerprint": Evil()}, path)
        with pytest.raises(InputError, match="damaged"):
            train(tmp_path, resume=True)
        assert not (tmp_path / "ran").exists()

    def test_a_patient_on_both_sides(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="both training and validation"):
            train(tmp_path, holdout=textures(4))

    def test_one_class_only(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="both classes"):
            train(tmp_path, examples=textures(20, positive_share=1.0))

    def test_images_of_another_size(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="does not fit the network"):
            train(tmp_path, network=tiny_network(image_size=32))

    @pytest.mark.parametrize("device", ["gpu", "cuda:99"])
    def test_a_device_that_is_not_there(self, tmp_path: Path, device: str) -> None:
        with pytest.raises(InputError, match="device"):
            train(tmp_path, config=replace(QUICK, device=device))

    @pytest.mark.parametrize("change", [{"epochs": 0}, {"learning_rate": 0.0}, {"dropout": 1.0}])
    def test_settings_out_of_range(self, change: dict[str, Any]) -> None:
        with pytest.raises(InputError, match=next(iter(change))):
            TrainConfig(**change)
