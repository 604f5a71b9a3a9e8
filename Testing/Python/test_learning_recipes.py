"""The two recipes of the pCR network: what they draw, what they choose, what they warn of."""

from __future__ import annotations

import json
import logging
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from multi_inputs import multi_input_cases, tiny_pcr_network

from breastpredict.errors import InputError
from breastpredict.learning import (
    BinaryTask,
    EpochRecord,
    MultiInputExample,
    TrainConfig,
    hazards,
    prior_shift,
    recipe,
    three_way_split,
)
from breastpredict.learning.curve import best_record, judged
from breastpredict.learning.recipes import Copy, copies_of
from breastpredict.stats import roc_auc

torch = pytest.importorskip("torch")

TASK = BinaryTask("pcr", positive="pcr", negative="residual")
SMALL: dict[str, Any] = {"batch_size": 8, "micro_batch": 0, "device": "cpu"}
NO_JITTER: dict[str, Any] = {"gain": 0.0, "offset": 0.0, "noise": 0.0}


def train(run: Path, config: TrainConfig, **changes: Any) -> Any:
    from breastpredict.learning.training import train_binary

    arguments: dict[str, Any] = {
        "examples": multi_input_cases(20, share=0.25),
        "holdout": multi_input_cases(8, seed=1),
        "network": tiny_pcr_network(modalities=["us1", "clinical"]),
        **changes,
    }
    return train_binary(
        run_dir=run,
        task=TASK,
        weights="none",
        config=config,
        synthetic=True,
        training_data={},
        figure=False,
        **arguments,
    )


def block(run: Path) -> dict[str, Any]:
    [path] = (run / TASK.name).rglob("metadata.json")
    content: dict[str, Any] = json.loads(path.read_text())["breastpredict"]
    return content


def items(config: TrainConfig, cases: list[MultiInputExample], epoch: int = 1) -> Any:
    """The dataset of an epoch, as the training loader makes it."""
    from breastpredict.learning.data import set_epoch, training_loader

    loader = training_loader(cases, config, ("pathology", "us0", "us1", "clinical"))
    set_epoch(loader, epoch)
    return loader.dataset


def pictures(label: int = 1, side: int = 32) -> MultiInputExample:
    """A ramp from dark (top) to bright (bottom), the same in every image."""
    ramp = np.linspace(-1, 1, side, dtype=np.float32)[:, None] * np.ones(side, np.float32)
    image = np.stack([ramp] * 3)
    return MultiInputExample(
        f"p{label}",
        {
            "pathology": np.stack([image] * 9),
            "us0": image,
            "us1": image,
            "clinical": np.array([0.1, 0.2], np.float32),
        },
        label,
    )


class TestCounts:
    def test_the_papers_numbers_come_out(self) -> None:
        labels = [1] * 105 + [0] * 286
        paper = recipe("paper")
        flips = replace(paper, copies=1, ultrasound_repeats=1)
        assert len(copies_of(labels, flips)) == 601
        assert len(copies_of(labels, paper, ultrasound=False)) == 3005
        assert len(copies_of(labels, paper)) == 12_020
        assert len(copies_of(labels, recipe("ours"))) == 391

    @given(st.lists(st.integers(0, 1), min_size=1, max_size=30), st.integers(1, 4))
    def test_every_copy_is_another_and_points_to_its_patient(
        self, labels: list[int], repeats: int
    ) -> None:
        found = copies_of(labels, recipe("paper", copies=2, ultrasound_repeats=repeats))
        assert len(set(found)) == len(found)
        counts = Counter(item.case for item in found)
        assert [counts[case] for case in range(len(labels))] == [
            2 * repeats * (3 if label else 1) for label in labels
        ]
        assert {item.mirror for item in found if not labels[item.case]} <= {"none"}


class TestOurDraws:
    def test_both_classes_are_augmented_alike(self) -> None:
        config = recipe("ours")
        one, other = (items(config, [pictures(label)])[0] for label in (0, 1))
        for name in ("pathology", "us0", "us1"):
            assert torch.equal(one[name], other[name])

    def test_the_two_ultrasounds_are_moved_together_and_never_turned_over(self) -> None:
        config = recipe("ours", **NO_JITTER)
        seen, mirrored = set(), 0
        rng = np.random.default_rng(0)
        shape = pictures().sources["us0"].shape  # type: ignore[union-attr]
        marked = pictures()
        image = np.asarray(marked.sources["us0"]) + 0.2 * (rng.random(shape[1:]) > 0.5)
        image[:, :, :4] = 3.0  # the left edge
        image = image.astype(np.float32)
        marked = replace(marked, sources={**marked.sources, "us0": image, "us1": image})
        for epoch in range(40):
            found = items(config, [marked], epoch)[0]
            assert torch.equal(found["us0"], found["us1"])
            inside = found["us0"][0, :, 8:24].mean(dim=1)
            assert inside[-8:].mean() > inside[:8].mean() + 0.5
            mirrored += int(found["us0"][0, :, -4:].mean() > found["us0"][0, :, :4].mean())
            seen.add(found["us0"].numpy().tobytes())
        assert len(seen) > 20 and 8 < mirrored < 32

    def test_every_patch_is_turned_for_itself_but_stained_alike(self) -> None:
        found = items(recipe("ours", **NO_JITTER), [pictures()])[0]["pathology"]
        assert len({patch.numpy().tobytes() for patch in found}) > 4
        top = torch.stack([patch[0, :8].mean() for patch in found])
        assert (top > 0.3).any() and (top < -0.3).any()
        turned_off = {"flips": False, "rotation_deg": 0.0, "scaling": 0.0, "noise": 0.0}
        changed = 0
        for epoch in range(8):
            found = items(recipe("ours", **turned_off), [pictures()], epoch)[0]
            assert (found["pathology"] == found["pathology"][:1]).all()
            changed += int(not torch.equal(found["us0"], found["us1"]))  # two examinations
        assert changed

    def test_a_draw_depends_on_seed_epoch_and_case_alone(self) -> None:
        cases = [pictures(0), replace(pictures(1), key="other")]
        first = items(recipe("ours"), cases)
        again = items(recipe("ours"), cases)[1]
        assert first[0] is not None and torch.equal(first[1]["us0"], again["us0"])
        for other in (
            items(recipe("ours"), cases, 2)[1],
            items(recipe("ours", seed=1), cases)[1],
            first[0],
        ):
            assert not torch.equal(first[1]["us0"], other["us0"])

    def test_clinical_variables_stay(self) -> None:
        assert items(recipe("ours"), [pictures()])[0]["clinical"].tolist() == pytest.approx(
            [0.1, 0.2]
        )


class TestThePapersDraws:
    def test_copies_are_what_they_say_and_the_same_in_every_epoch(self) -> None:
        case = multi_input_cases(1, share=1.0)[0]
        config = recipe("paper")
        names = ("pathology", "us0", "us1")
        first, later = items(config, [case], 1), items(config, [case], 7)
        place = {item: number for number, item in enumerate(first.items)}
        plain = first[place[Copy(0)]]
        for mirror, axis in (("horizontal", -1), ("vertical", -2)):
            found = first[place[Copy(0, mirror)]]  # type: ignore[arg-type]
            assert all(torch.equal(found[name], plain[name].flip(axis)) for name in names)
        for item in (Copy(0, "none", 1), Copy(0, "none", 2), Copy(0, "vertical", 1)):
            found, again = first[place[item]], later[place[item]]
            assert all(torch.equal(found[name], again[name]) for name in names)
            assert not any(torch.equal(found[name], plain[name]) for name in names)
        assert not torch.equal(
            first[place[Copy(0, "none", 1)]]["us0"], first[place[Copy(0, "none", 2)]]["us0"]
        )

    def test_repeats_move_the_ultrasound_and_leave_the_pathology(self) -> None:
        case = multi_input_cases(1, share=1.0)[0]
        found = items(recipe("paper"), [case])
        repeats = [found[i] for i, item in enumerate(found.items) if item.copy == 0][:4]
        assert all(torch.equal(repeats[0]["pathology"], r["pathology"]) for r in repeats)
        assert len({r["us1"].numpy().tobytes() for r in repeats}) == 4


def kept_epoch(accuracies: list[float], losses: list[float], config: TrainConfig) -> int:
    history: list[EpochRecord] = []
    for epoch, (accuracy, loss) in enumerate(zip(accuracies, losses, strict=True), start=1):
        new = EpochRecord(epoch, 0.0, loss, 0.5 + 0.4 * epoch / 10, 0.0, False, accuracy)
        history.append(judged(new, history, config))
    return best_record(history).epoch


class TestTheEpochKept:
    """The tuning area rises all the time here, so the area's rule keeps the last epoch."""

    def test_is_the_most_accurate_from_the_first_that_counts(self) -> None:
        paper = recipe("paper", epochs=8, choose_from=4)
        accuracies = [0.9, 0.95, 0.9, 0.7, 0.8, 0.6, 0.75, 0.8]
        assert kept_epoch(accuracies, [0.5] * 8, paper) == 5
        assert kept_epoch(accuracies, [0.5] * 8, replace(paper, choose_from=1)) == 2
        assert kept_epoch(accuracies, [0.5] * 8, recipe("ours")) == 8

    def test_is_that_of_the_smaller_loss_where_accuracies_tie(self) -> None:
        paper = recipe("paper", epochs=8, choose_from=4)
        losses = [0.1, 0.1, 0.1, 0.5, 0.5, 0.3, 0.4, 0.3]
        assert kept_epoch([0.8] * 8, losses, paper) == 6

    def test_is_of_41_to_60_in_the_paper(self) -> None:
        assert kept_epoch([0.9] * 40 + [0.5] * 20, [0.1] * 40 + [0.9] * 20, recipe("paper")) == 41
        assert recipe("paper").epochs == 60


class TestChoices:
    def test_the_paper_keeps_the_most_accurate_of_the_late_epochs(self, tmp_path: Path) -> None:
        config = recipe(
            "paper",
            epochs=8,
            choose_from=4,
            copies=1,
            ultrasound_repeats=1,
            **{**SMALL, "learning_rate": 1e-2},
        )
        examples = multi_input_cases(24, share=0.4, signal=0.15)
        run = train(tmp_path, config, examples=examples)
        late = [record for record in run.history if record.epoch >= 4]
        assert len(run.history) == 8 and not any(r.best for r in run.history[:3])
        wanted = max(late, key=lambda r: (r.tuning_accuracy, -r.tuning_loss))
        assert block(tmp_path)["best_epoch"] == wanted.epoch
        tuning = [s for s in run.scores if s.set == "tuning"]
        right = np.mean([(s.score >= 0.5) == s.label for s in tuning])
        assert right == pytest.approx(wanted.tuning_accuracy)
        assert len({r.tuning_accuracy for r in run.history}) > 1

    def test_the_paper_gives_a_score_cut_at_one_half(self, tmp_path: Path) -> None:
        config = recipe("paper", epochs=1, choose_from=1, copies=1, ultrasound_repeats=1, **SMALL)
        run = train(tmp_path, config)
        assert run.threshold == 0.5
        assert not run.calibration.probability and run.calibration.logit_shift == 0
        assert run.calibration.prevalence == pytest.approx(0.25)
        assert run.calibration.trained_prevalence == pytest.approx(0.5)  # 4·3 of 4·3 + 12
        assert block(tmp_path)["calibration"]["probability"] is False

    def test_one_half_moves_with_the_prevalence(self, tmp_path: Path) -> None:
        config = recipe("ours", epochs=1, threshold_rule="half", **SMALL)
        assert train(tmp_path, config).threshold == pytest.approx(0.25)

    def test_ours_is_brought_back_to_the_prevalence(self, tmp_path: Path) -> None:
        """Nothing can be told apart, so the mean score must be the prevalence."""
        examples = multi_input_cases(60, share=0.2, signal=0.0)
        config = recipe("ours", epochs=2, warmup_epochs=0, **SMALL)
        run = train(tmp_path, config, examples=examples)
        assert run.calibration.probability
        assert run.calibration.logit_shift == pytest.approx(prior_shift(0.5, 10 / 48))
        assert np.mean([s.score for s in run.scores]) == pytest.approx(0.2, abs=0.06)

    def test_rates_and_optimisers(self, tmp_path: Path) -> None:
        from breastpredict.learning.network_parts import optimizer_of
        from breastpredict.models.build import build_network

        paper = recipe("paper", epochs=3, choose_from=1, copies=1, ultrasound_repeats=1, **SMALL)
        assert [r.learning_rate for r in train(tmp_path / "p", paper).history] == [1e-3] * 3
        ours = train(tmp_path / "o", recipe("ours", epochs=3, **SMALL)).history
        assert ours[-1].learning_rate < ours[0].learning_rate
        model = build_network(tiny_pcr_network())
        adam, adamw = (optimizer_of(model, recipe(name)) for name in ("paper", "ours"))
        assert type(adam) is torch.optim.Adam and type(adamw) is torch.optim.AdamW
        decayed, others = adamw.param_groups
        assert all(p.ndim in (2, 4) for p in decayed["params"]) and others["weight_decay"] == 0
        kernels = {id(m.weight) for m in model.modules() if isinstance(m, torch.nn.Conv2d)}
        assert kernels and kernels <= {id(p) for p in decayed["params"]}
        counted = sum(len(group["params"]) for group in adamw.param_groups)
        assert counted == len(list(model.parameters()))


class TestPatientsNotCopies:
    def test_counts_scores_and_areas_are_by_patient(self, tmp_path: Path) -> None:
        config = recipe("paper", epochs=2, choose_from=1, copies=2, ultrasound_repeats=2, **SMALL)
        run = train(tmp_path, config)
        assert Counter(s.set for s in run.scores) == {"train": 16, "tuning": 4, "validation": 8}
        assert len({s.key for s in run.scores}) == 28
        content = block(tmp_path)
        assert content["counts"]["train"] == {"positive": 4, "negative": 12}
        assert {name: m["n"] for name, m in content["metrics"].items()} == {
            "train": 16,
            "tuning": 4,
            "validation": 8,
        }
        members = [s for s in run.scores if s.set == "train"]
        wanted = roc_auc([s.label for s in members], [s.score for s in members])
        assert run.auc["train"] == wanted

    def test_a_patients_copies_never_cross_to_another_set(self) -> None:
        from breastpredict.learning.data import plain_loader, training_loader

        cases = multi_input_cases(6)
        loader = training_loader(cases[:4], recipe("paper", copies=2), ("us1",))
        assert {item.case for item in loader.dataset.items} == set(range(4))  # type: ignore[attr-defined]
        plain = plain_loader(cases[4:], 1, ("us1",))
        assert len(plain.dataset) == 2  # type: ignore[arg-type]


class TestHazards:
    def test_are_said_at_the_start_and_stand_in_the_bundle(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        config = recipe("paper", epochs=1, choose_from=1, copies=1, ultrasound_repeats=1, **SMALL)
        heard: list[int] = []
        with caplog.at_level(logging.WARNING):
            run = train(tmp_path, config, on_epoch=lambda _: heard.append(len(caplog.records)))
        card = (tmp_path / TASK.name / "docs" / "README.md").read_text()
        assert heard == [4] and len(run.hazards) == 4
        for line, word in zip(
            run.hazards,
            ("orientation", "sound comes from above", "25.0 %", "not patients"),
            strict=True,
        ):
            assert word in line and line in caplog.text and line in card
        assert block(tmp_path)["hazards"] == list(run.hazards)

    def test_are_those_of_the_settings(self) -> None:
        assert hazards(recipe("ours")) == [] and hazards(TrainConfig()) == []
        without = hazards(recipe("paper"), ultrasound=False)
        assert not any("sound comes from above" in line for line in without)
        assert any(
            "2.0 % with 49 cases" in line for line in hazards(recipe("paper"), tuning_cases=49)
        )


class TestSettings:
    @pytest.mark.parametrize(
        ("change", "line"),
        [
            ({"class_flips": True, "flips": False}, "weight twice"),
            ({"copies": 2}, "flips is on"),
            ({"choose_from": 101}, "choose_from"),
            ({"optimizer": "sgd"}, "optimizer is 'sgd'"),
            ({"epoch_rule": "f1"}, "epoch_rule"),
            ({"scaling": 1.0}, "scaling"),
            ({"micro_batch": -1}, "micro_batch"),
        ],
    )
    def test_that_do_not_go_together(self, change: dict[str, Any], line: str) -> None:
        with pytest.raises(InputError, match=line):
            recipe("ours", **change)

    def test_a_recipe_that_is_none(self) -> None:
        with pytest.raises(InputError, match="'ours' or 'paper'"):
            recipe("theirs")


class TestThreeWaySplit:
    def test_the_papers_cohort_is_split_by_patient_eight_to_one_to_one(self) -> None:
        labels = {f"p{i}": int(i < 130) for i in range(491)}
        found = three_way_split(labels, seed=0)
        counts = Counter(found.values())
        assert set(found) == set(labels)
        assert counts == {"train": 392, "tuning": 49, "validation": 50}
        positives = Counter(found[p] for p, label in labels.items() if label)
        assert positives == {"train": 104, "tuning": 13, "validation": 13}

    @given(
        st.lists(st.tuples(st.integers(0, 1), st.sampled_from("abc")), min_size=6, max_size=80),
        st.integers(0, 5),
    )
    def test_strata_keep_their_share_give_or_take_a_patient(
        self, kinds: list[tuple[int, str]], seed: int
    ) -> None:
        kinds = [*kinds, *[(label, "a") for label in (0, 1) for _ in range(3)]]
        labels = {f"p{i}": label for i, (label, _) in enumerate(kinds)}
        strata = {f"p{i}": stratum for i, (_, stratum) in enumerate(kinds)}
        found = three_way_split(labels, strata, seed=seed)
        backwards = dict(reversed(labels.items()))
        assert found == three_way_split(backwards, strata, seed=seed)
        for label in (0, 1):
            mine = [p for p in labels if labels[p] == label]
            assert {found[p] for p in mine} == {"train", "tuning", "validation"}
            for stratum in "abc":
                group = [p for p in mine if strata[p] == stratum]
                for name in ("tuning", "validation"):
                    count = sum(found[p] == name for p in group)
                    assert abs(count - len(group) / 10) < 1.01

    def test_depends_on_the_seed(self) -> None:
        labels = {f"p{i}": i % 2 for i in range(60)}
        assert three_way_split(labels, seed=0) != three_way_split(labels, seed=1)

    def test_refuses_a_label_that_cannot_be_on_three_sides(self) -> None:
        with pytest.raises(InputError, match="too few for three sets"):
            three_way_split({"a": 0, "b": 0, "c": 0, "d": 1, "e": 1}, seed=0)
