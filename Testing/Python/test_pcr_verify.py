"""``pcr verify``: whether maps find what was planted, on networks whose maps are known."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from planted_networks import SIDE, dark_cases, dark_network, save_dark_run

from breastpredict.errors import InputError
from breastpredict.pcr import PcrModel, prepare_pcr
from breastpredict.pcr.facts import PcrInputs
from breastpredict.pcr.verify import (
    PlantedCase,
    energy_inside,
    points_inside,
    verify_pcr,
)

pytest.importorskip("torch")

pytestmark = pytest.mark.usefixtures("one_thread", "few_are_enough")
FEW = 4
ULTRASOUND = ("us0", "us1")


@pytest.fixture
def few_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests' time is spent in maps: four cases tell of networks made by hand as much as 60."""
    monkeypatch.setattr("breastpredict.pcr.verify.LEAST_CASES", FEW)
    monkeypatch.setattr("breastpredict.pcr.verify.TESTED_FURTHER", 1)


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> list[PlantedCase]:
    return dark_cases(tmp_path_factory.mktemp("planted"), FEW)


def entry_of(run: Path) -> dict[str, Any]:
    found: dict[str, Any] = PcrModel.load(run).facts.blocks["pcr_by_hand"]["pointing"]
    return found


def test_maps_that_find_what_was_planted_are_verified(
    planted: list[PlantedCase], tmp_path: Path
) -> None:
    run = save_dark_run(tmp_path / "run")
    (run / "local_validation.csv").write_text("patient_id,cohort,pcr\nP1,SITE-A,1\n")
    before = (run / "pcr_by_hand" / "configs" / "metadata.json").read_bytes()
    done = verify_pcr(run, tmp_path / "new", planted, planted_as="discs")
    found = entry_of(done.folder)["occlusion"]
    assert found["status"] == "passed" and found["passed"] is True, found
    assert found["cases"] == found["planted"] == FEW and found["planted_as"] == "discs"
    for one in found["images"].values():
        assert one["pointing"] >= 0.8 and one["energy"] >= 3
        assert one["energy"] == pytest.approx(one["energy_share"] / one["area_share"], rel=0.02)
        assert one["insertion_gain_low"] > 0
    assert found["further"]["constant"]["passed"] and found["further"]["mirrored"]["passed"]
    # Its last map has a single cell: Grad-CAM points nowhere, beside an occlusion that does.
    assert entry_of(done.folder)["gradcam"]["status"] == "failed"
    model = PcrModel.load(done.folder)
    variant, prepared = model.prepare(planted[0].case)
    maps = {m.method: m for m in model.outputs(PcrInputs(variant, prepared.inputs)).maps}
    assert maps["occlusion"].verified and "not verified" not in maps["occlusion"].name
    assert not maps["gradcam"].verified and "not verified" in maps["gradcam"].title
    card = (done.folder / "pcr_by_hand" / "docs" / "README.md").read_text("utf-8")
    assert "- Occlusion: verified; test of" in card and "- Grad-CAM: not verified; test" in card
    assert "| Occlusion | us1 | " in card
    # Whom a recalibration has seen is known of the new run, too.
    local = "local_validation.csv"
    assert (done.folder / local).read_bytes() == (run / local).read_bytes()
    # The run it was made from is as it was, and says what it always said.
    assert (run / "pcr_by_hand" / "configs" / "metadata.json").read_bytes() == before
    old = (run / "pcr_by_hand" / "docs" / "README.md").read_text("utf-8")
    assert "- Occlusion: not verified; never tested" in old
    weights = "models/model.safetensors"
    assert (run / "pcr_by_hand" / weights).read_bytes() == (
        done.folder / "pcr_by_hand" / weights
    ).read_bytes()


def test_maps_that_find_something_else_stay_not_verified(
    planted: list[PlantedCase], tmp_path: Path
) -> None:
    run = save_dark_run(tmp_path / "run", sign=-1.0, images=ULTRASOUND)
    done = verify_pcr(run, tmp_path / "new", planted)
    for method in ("gradcam", "occlusion"):
        found = entry_of(done.folder)[method]
        assert found["status"] == "failed" and found["passed"] is False
        assert found["pointing"] < 0.5 and found["energy"] < 1.5
    model = PcrModel.load(done.folder)
    variant, prepared = model.prepare(planted[0].case)
    for one in model.outputs(PcrInputs(variant, prepared.inputs)).maps:
        assert "not verified" in one.name and "not verified" in one.title
    card = (done.folder / "pcr_by_hand" / "docs" / "README.md").read_text("utf-8")
    assert "- Occlusion: not verified; test of" in card


def test_too_few_positives_of_the_network_assess_nothing(
    planted: list[PlantedCase], tmp_path: Path
) -> None:
    run = save_dark_run(tmp_path / "run", threshold=1.0, images=ULTRASOUND)
    done = verify_pcr(run, tmp_path / "new", planted, methods=("occlusion",))
    found = entry_of(done.folder)
    assert set(found) == {"occlusion"}
    assert found["occlusion"]["status"] == "not assessed" and found["occlusion"]["cases"] == 0
    assert found["occlusion"]["passed"] is False and "pointing" not in found["occlusion"]


def test_a_folder_that_is_not_empty_is_not_written_into(
    planted: list[PlantedCase], tmp_path: Path
) -> None:
    run = save_dark_run(tmp_path / "run")
    with pytest.raises(InputError, match="not empty"):
        verify_pcr(run, run, planted)
    with pytest.raises(InputError, match="no planted case"):
        verify_pcr(run, tmp_path / "new", [])
    assert not (tmp_path / "new").exists()


def test_a_map_points_where_its_largest_value_is() -> None:
    place = np.zeros((8, 8), bool)
    place[:3, :3] = True
    values = np.zeros((8, 8))
    values[1, 1] = 2.0
    assert points_inside(values, place) and energy_inside(values, place) == 1.0
    values[6, 6] = 6.0
    assert not points_inside(values, place) and energy_inside(values, place) == 0.25
    assert energy_inside(-values, place) == 0.0  # what speaks against pCR points nowhere
    for flat in (np.zeros((8, 8)), np.ones((8, 8)), -np.ones((8, 8))):
        assert not points_inside(flat, np.ones((8, 8), bool))
    summit = np.zeros((8, 8))
    summit[2:5, 2:5] = 1.0  # nine pixels alike, one of them inside
    assert not points_inside(summit, place)


def test_putting_back_what_counts_raises_the_score_sooner(planted: list[PlantedCase]) -> None:
    import torch

    from breastpredict.learning.examples import network_array
    from breastpredict.models.map_tests import insertion, randomised

    net = dark_network()
    one = planted[0]
    prepared = prepare_pcr(one.case, needs=net.inputs, image_size=SIDE)
    tensors = {
        name: torch.from_numpy(network_array(name, prepared.inputs[name]))[None]
        for name in net.inputs
    }
    places = one.places(prepared, SIDE)
    assert places["pathology"].shape == (9, SIDE, SIDE)
    # Of a patch all of which is planted, the mean colour tells this network as much as the pixels.
    for name in ULTRASOUND:
        place = places[name]
        assert place.shape == (SIDE, SIDE)
        good = insertion(net, tensors, name, place.astype(float))
        bad = insertion(net, tensors, name, -place.astype(float))
        chance = np.mean(
            [
                insertion(net, tensors, name, np.random.default_rng(k).random(place.shape))
                for k in range(3)
            ]
        )
        assert good > chance + 0.01 and chance > bad + 0.01
    before = {name: value.clone() for name, value in net.state_dict().items()}
    with torch.no_grad():
        logit = net(**tensors)
        for forgotten in ("head", "last", "all"):
            other = randomised(net, forgotten)
            assert other is not None and (other(**tensors) - logit).abs() > 1e-3
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())


def test_planted_patients_are_seen_off_the_middle_of_their_squares(tmp_path: Path) -> None:
    from breastpredict.phantom.pcr_planted import make_planted

    made = make_planted(tmp_path, 6, seed=11, workers=1)
    assert len(made) == 6
    middles, shares = [], []
    for one in made:
        prepared = prepare_pcr(one.case, needs=("pathology", "us0", "us1"), image_size=64)
        assert prepared.problems == {}
        places = one.places(prepared, 64)
        for name in ULTRASOUND:
            place = places[name]
            middles.append(bool(place[32, 32]))
            shares.append(float(place.mean()))
        # On US-0 the tumour is darker than what is around it: the mask lies where the picture
        # has it.
        image = prepared.inputs["us0"][0]
        assert image[places["us0"]].mean() < image[~places["us0"]].mean() - 0.2
        # The patches planted with lymphocytes are the darkest in red.
        dark = 255.0 - prepared.inputs["pathology"][:, 0].mean(axis=(1, 2))
        assert 1 <= one.patches.sum() <= 2
        assert dark[one.patches].mean() > dark[~one.patches].mean()
    assert np.mean(middles) < 0.5  # a map that always points to the middle fails
    assert all(0.04 < share < 0.15 for share in shares), shares


def test_the_command_writes_a_verified_run(tmp_path: Path, capsys: Any) -> None:
    from breastpredict.cli import pcr_verify

    run = save_dark_run(tmp_path / "run", images=("us0",))
    parser = argparse.ArgumentParser()
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--quiet", action="store_true")
    pcr_verify.add_command(parser.add_subparsers(), common)

    def command(*words: str) -> int:
        options = parser.parse_args(["verify", str(run), *words, "--quiet"])
        code: int = options.run(options)
        return code

    with pytest.raises(InputError, match="too few"):
        command("--out", str(tmp_path / "new"), "--cases", str(FEW - 1))
    wanted = ("--cases", str(FEW), "--explain", "gradcam")
    assert command("--out", str(tmp_path / "new"), *wanted) == 0
    said = capsys.readouterr().out
    assert "pcr_by_hand, gradcam: " in said and "Research use only" in said
    assert entry_of(tmp_path / "new")["gradcam"]["planted"] == FEW
