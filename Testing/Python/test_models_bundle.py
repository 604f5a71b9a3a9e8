"""Bundles: what MONAI runs is what we predict, and predicting runs nothing that a bundle says."""

from __future__ import annotations

import csv
import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from breastpredict import SYNTHETIC_WARNING
from breastpredict.errors import InputError

torch = pytest.importorskip("torch")

from safetensors.torch import load_file, save_file  # noqa: E402

from breastpredict.models import (  # noqa: E402
    VIT_REDUCED,
    build_vit,
    load_bundle,
    predict_with_map,
    read_bundle_metadata,
    save_bundle,
)
from breastpredict.models.weights import sha256_of  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_thread")

BLOCK = {
    "task": "her2_zero_vs_rest",
    "positive_class": "low_or_positive",
    "negative_class": "zero",
    "threshold": 0.4,
    "prevalence": 0.7,
    "calibration": {"method": "prior-shift", "probability": True},
    "synthetic": True,
    "training_data": {"pixel_spacing_mm": {"kind": "number", "min": 0.5, "max": 1.5}},
    "counts": {"train": {"positive": 7, "negative": 3}},
    "seed": 0,
}
SIZE = VIT_REDUCED["image_size"]


def network(seed: int = 0) -> Any:
    torch.manual_seed(seed)
    model = build_vit(**VIT_REDUCED).eval()
    with torch.no_grad():  # a fresh head says 0.5 for everything
        model.head.weight.normal_(0, 0.5)
    return model


def images(count: int = 3) -> Any:
    generator = torch.Generator().manual_seed(1)
    return torch.rand((count, 1, SIZE, SIZE), generator=generator) * 2 - 1


def logits(model: Any) -> list[float]:
    return [predict_with_map(model, x[None], None).logit for x in images()]


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle; never changed by a test."""
    folder = tmp_path_factory.mktemp("run") / BLOCK["task"]
    return save_bundle(folder, network(), network=VIT_REDUCED, metadata=BLOCK)


@pytest.fixture
def bundle(saved: Path, tmp_path: Path) -> Path:
    """A copy to spoil."""
    return Path(shutil.copytree(saved, tmp_path / "bundle"))


def read(path: Path) -> Any:
    return json.loads(path.read_text("utf-8"))


def change(bundle: Path, alter: Callable[[dict[str, Any]], Any]) -> None:
    """Alter the metadata, which states the weights' hash but has none itself."""
    path = bundle / "configs" / "metadata.json"
    metadata = read(path)
    alter(metadata)
    path.write_text(json.dumps(metadata), "utf-8")


def change_weights(bundle: Path, alter: Callable[[dict[str, Any]], Any]) -> None:
    """Alter the weights and state their new hash, as a forger would."""
    path = bundle / "models" / "model.safetensors"
    state = load_file(path)
    alter(state)
    save_file(state, path)
    change(bundle, lambda m: m["breastpredict"].update(weights_sha256=sha256_of(path)))


def refusal(bundle: Path) -> str:
    with pytest.raises(InputError) as caught:
        load_bundle(bundle)
    message = str(caught.value)
    assert "\n" not in message and len(message) < 600
    return message


# --- Saving and loading ---


def test_a_loaded_model_gives_the_logits_of_the_saved_one(saved: Path) -> None:
    loaded = load_bundle(saved)
    assert logits(loaded.model) == logits(network())
    assert len(set(logits(network()))) == 3 and not loaded.model.training
    assert {key: loaded.block[key] for key in BLOCK} == BLOCK
    assert loaded.sha256 == sha256_of(saved / "models" / "model.safetensors")


def test_a_bundle_has_the_parts_monai_asks_for(saved: Path) -> None:
    parts = {p.relative_to(saved).as_posix() for p in saved.rglob("*") if p.is_file()}
    assert parts == {
        "LICENSE",
        "docs/README.md",
        "configs/evaluate.json",
        "configs/inference.json",
        "configs/logging.conf",
        "configs/metadata.json",
        "configs/metadata.schema.json",
        "configs/multi_gpu_train.json",
        "configs/train.json",
        "models/model.safetensors",
    }
    card = (saved / "docs" / "README.md").read_text("utf-8")
    assert SYNTHETIC_WARNING in card and "low_or_positive" in card


def test_the_metadata_fit_the_schema_that_lies_beside_them(saved: Path) -> None:
    schema, metadata = (read(saved / "configs" / f"metadata{end}.json") for end in (".schema", ""))
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(metadata, schema)
    for key in ("version", "monai_version", "pytorch_version", "numpy_version"):
        assert metadata[key]
        with pytest.raises(jsonschema.ValidationError, match=key):
            jsonschema.validate({k: v for k, v in metadata.items() if k != key}, schema)
    del metadata["breastpredict"]["positive_class"]
    with pytest.raises(jsonschema.ValidationError, match="positive_class"):
        jsonschema.validate(metadata, schema)


def commands(bundle: Path) -> list[list[str]]:
    """The shell commands of the bundle's own README, for this interpreter."""
    text = (bundle / "docs" / "README.md").read_text("utf-8")
    block = text.split("```sh\n")[1].split("```")[0].replace("\\\n", " ")
    return [[sys.executable, *shlex.split(line)[1:]] for line in block.splitlines() if line]


def test_monai_verifies_and_runs_a_bundle_as_its_readme_says(bundle: Path) -> None:
    (bundle / "INPUTS").mkdir()
    for number, image in enumerate(images()):
        np.save(bundle / "INPUTS" / f"case{number}.npy", image.numpy())
    offline = {**os.environ, "https_proxy": "http://127.0.0.1:9", "OMP_NUM_THREADS": "1"}
    running = [
        subprocess.Popen(
            command,
            cwd=bundle,
            env=offline,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for command in commands(bundle)
    ]
    run, verify = (process.communicate(timeout=300)[0] for process in running)
    assert [process.returncode for process in running] == [0, 0], run + verify
    assert "metadata is verified with no error" in verify
    with open(bundle / "OUT" / "predictions.csv", newline="") as file:
        rows = {Path(name).name: float(score) for name, score in csv.reader(file)}
    wanted = {f"case{n}.npy": 1 / (1 + np.exp(-z)) for n, z in enumerate(logits(network()))}
    assert rows == pytest.approx(wanted, abs=1e-6)


def test_monai_finds_fault_with_metadata_of_another_form(bundle: Path) -> None:
    from monai.bundle import verify_metadata

    change(bundle, lambda m: m["breastpredict"].update(threshold=1.5))
    configs = bundle / "configs"
    with pytest.raises(ValueError, match="greater than the maximum"):
        verify_metadata(configs / "metadata.json", configs / "metadata.schema.json")


# --- Nothing is executed ---


def trapped(value: Any, trap: Any) -> Any:
    """The same JSON with every text replaced by the trap and the trap in every object."""
    if isinstance(value, dict):
        return {**{key: trapped(item, trap) for key, item in value.items()}, "trap": trap}
    if isinstance(value, list):
        return [*(trapped(item, trap) for item in value), trap]
    return trap if isinstance(value, str) else value


@pytest.mark.parametrize("kind", ["expression", "target"])
def test_predicting_evaluates_nothing_that_a_bundle_says(bundle: Path, kind: str) -> None:
    from monai.bundle import ConfigParser

    proof = bundle / "ran"
    trap: Any = {
        "expression": f"$__import__('pathlib').Path({str(proof)!r}).mkdir()",
        "target": {"_target_": "os.mkdir", "path": str(proof)},
    }[kind]

    def spoil(metadata: dict[str, Any]) -> None:
        ours = metadata.pop("breastpredict")
        metadata.update(trapped(metadata, trap), breastpredict=ours)
        ours.update(counts=trap, extra=[trap])
        if isinstance(trap, str):
            ours.update(task=trap, positive_class=trap, negative_class=trap)
        else:
            ours.update(training_data=trapped(ours["training_data"], trap))

    change(bundle, spoil)
    for name in ("inference.json", "metadata.schema.json"):
        path = bundle / "configs" / name
        path.write_text(json.dumps(trapped(read(path), trap)), "utf-8")
    (bundle / "configs" / "logging.conf").write_text(str(trap))

    loaded = load_bundle(bundle)
    assert logits(loaded.model) == logits(network())
    assert not proof.exists()

    ConfigParser({"value": trap}).get_parsed_content("value")
    assert proof.exists()  # the trap was a trap


# --- Tampering and damage ---


def test_changed_weights_are_refused(bundle: Path) -> None:
    path = bundle / "models" / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)
    assert "do not match the hash" in refusal(bundle)


def test_weights_of_another_network_are_refused(bundle: Path) -> None:
    change_weights(bundle, lambda state: state.pop("blocks.3.mlp.fc2.bias"))
    assert "do not fit" in refusal(bundle)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused(bundle: Path, value: float) -> None:
    change_weights(bundle, lambda state: state["blocks.0.attn.qkv.bias"].fill_(value))
    assert "not finite" in refusal(bundle)


def test_weights_in_another_precision_are_refused(bundle: Path) -> None:
    change_weights(bundle, lambda s: s.update({key: value.half() for key, value in s.items()}))
    assert "single precision" in refusal(bundle)


@pytest.mark.parametrize("cut", [0, 4, 100, -1000])
def test_truncated_weights_are_refused(bundle: Path, cut: int) -> None:
    path = bundle / "models" / "model.safetensors"
    path.write_bytes(path.read_bytes()[:cut])
    assert "do not match the hash" in refusal(bundle)
    change(bundle, lambda m: m["breastpredict"].update(weights_sha256=sha256_of(path)))
    assert "damaged" in refusal(bundle)


def test_a_header_that_promises_absurd_sizes_is_refused(bundle: Path) -> None:
    path = bundle / "models" / "model.safetensors"
    header = {"head.weight": {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 2**42]}}
    text = json.dumps(header).encode()
    for length in (len(text), 2**62):
        path.write_bytes(length.to_bytes(8, "little") + text + b"\0" * 64)
        change(bundle, lambda m: m["breastpredict"].update(weights_sha256=sha256_of(path)))
        assert "damaged" in refusal(bundle)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("image_size", 10**9),
        ("image_size", 63),
        ("depth", -1),
        ("width", 1.5),
        ("heads", True),
        ("patch_size", "8"),
        ("in_channels", None),
        ("architecture", "resnet50"),
        ("surprise", 1),
    ],
)
def test_a_network_that_cannot_be_is_refused(bundle: Path, key: str, value: Any) -> None:
    change(bundle, lambda m: m["breastpredict"]["network"].update({key: value}))
    assert "network description" in refusal(bundle)


@pytest.mark.parametrize("name", ["configs/metadata.json", "models/model.safetensors"])
def test_a_file_that_leads_out_of_the_bundle_is_refused(bundle: Path, name: str) -> None:
    outside = bundle.parent / "outside"
    (bundle / name).rename(outside)
    (bundle / name).symlink_to(outside)
    assert "leads out of it" in refusal(bundle)


def test_a_folder_that_leads_out_of_the_bundle_is_refused(bundle: Path) -> None:
    (bundle / "models").rename(bundle.parent / "outside")
    (bundle / "models").symlink_to(bundle.parent / "outside")
    assert "leads out of it" in refusal(bundle)


def test_a_bundle_may_be_reached_by_a_link(bundle: Path) -> None:
    link = bundle.parent / "link"
    link.symlink_to(bundle)
    assert logits(load_bundle(link).model) == logits(network())


@pytest.mark.parametrize("name", ["configs/metadata.json", "models/model.safetensors"])
def test_a_missing_file_is_named(bundle: Path, name: str) -> None:
    (bundle / name).unlink()
    assert "There is no model bundle" in (line := refusal(bundle)) or "no weights" in line


@pytest.mark.parametrize("value", ["NaN", "Infinity", "1e999", "1" + "0" * 400, "true", '"0.4"'])
def test_a_threshold_that_is_no_share_is_refused(bundle: Path, value: str) -> None:
    path = bundle / "configs" / "metadata.json"
    text = path.read_text("utf-8")
    assert '"threshold": 0.4' in text
    path.write_text(text.replace('"threshold": 0.4', f'"threshold": {value}'))
    assert "damaged or incomplete" in refusal(bundle)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_limit_for_new_cases_that_is_no_number_is_refused(bundle: Path, value: float) -> None:
    change(
        bundle, lambda m: m["breastpredict"]["training_data"]["pixel_spacing_mm"].update(max=value)
    )
    assert "damaged or incomplete" in refusal(bundle)


@pytest.mark.parametrize(
    "content", [b"", b"\xff\xfe", b"[" * 100_000, b"null", b"[]", b"1", b'{"breastpredict": 3}']
)
def test_metadata_that_are_none_are_refused(bundle: Path, content: bytes) -> None:
    (bundle / "configs" / "metadata.json").write_bytes(content)
    assert "damaged or incomplete" in refusal(bundle)


def test_metadata_of_absurd_length_are_refused_unread(bundle: Path) -> None:
    path = bundle / "configs" / "metadata.json"
    with open(path, "ab") as file:
        file.truncate(2**40)  # sparse: no disk is filled
    assert "damaged or incomplete" in refusal(bundle)


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.sampled_from([*BLOCK, "network", "weights_sha256", "whole block"]), JUNK)
def test_any_value_in_any_place_is_read_or_refused(bundle: Path, key: str, value: Any) -> None:
    original = (bundle / "configs" / "metadata.json").read_text("utf-8")
    try:
        if key == "whole block":
            change(bundle, lambda m: m.update(breastpredict=value))
        else:
            change(bundle, lambda m: m["breastpredict"].update({key: value}))
        block = read_bundle_metadata(bundle)["breastpredict"]
        assert 0 <= block["threshold"] <= 1 and isinstance(block["synthetic"], bool)
        assert all(isinstance(limits, dict) for limits in block["training_data"].values())
        assert isinstance(block.get("calibration", {}), dict)
    except InputError as error:
        assert "\n" not in str(error)
    finally:
        (bundle / "configs" / "metadata.json").write_text(original, "utf-8")


def test_a_device_that_is_not_there_is_refused(saved: Path) -> None:
    with pytest.raises(InputError, match="cannot be used"):
        load_bundle(saved, "cuda:99")


# --- Saving over something ---


def test_a_new_model_takes_the_place_of_the_old_one(bundle: Path) -> None:
    (bundle / "left_over").write_text("of the old one")
    save_bundle(bundle, network(1), network=VIT_REDUCED, metadata=BLOCK)
    assert logits(load_bundle(bundle).model) == logits(network(1)) != logits(network(0))
    assert not (bundle / "left_over").exists()
    assert [path.name for path in bundle.parent.iterdir()] == [bundle.name]


@pytest.mark.parametrize("existing", [True, False])
def test_a_save_that_is_interrupted_changes_nothing(bundle: Path, existing: bool) -> None:
    """The weights are written when the metadata turn out to hold what JSON cannot say."""
    folder = bundle if existing else bundle.parent / "new"
    with pytest.raises(ValueError, match="JSON"):
        save_bundle(
            folder, network(1), network=VIT_REDUCED, metadata={**BLOCK, "prevalence": float("nan")}
        )
    assert [path.name for path in bundle.parent.iterdir()] == [bundle.name]
    assert logits(load_bundle(bundle).model) == logits(network(0))


def test_a_save_that_cannot_be_put_in_place_changes_nothing(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rename = os.replace

    def full(source: Path, target: Path) -> None:
        if target == bundle and "-old" not in source.name:
            raise OSError("no space left on device")
        rename(source, target)

    monkeypatch.setattr("breastpredict.files.os.replace", full)
    with pytest.raises(OSError, match="no space"):
        save_bundle(bundle, network(1), network=VIT_REDUCED, metadata=BLOCK)
    assert [path.name for path in bundle.parent.iterdir()] == [bundle.name]
    assert logits(load_bundle(bundle).model) == logits(network(0))


def test_what_a_killed_save_left_goes_with_the_next_one(tmp_path: Path) -> None:
    script = f"""
import os, signal, torch
from breastpredict.models import VIT_REDUCED, build_vit, save_bundle

class Killed(dict):
    def get(self, *_):  # asked for when the metadata are put together, after the weights
        os.kill(os.getpid(), signal.SIGKILL)

save_bundle({str(tmp_path / "model")!r}, build_vit(**VIT_REDUCED), network=VIT_REDUCED,
            metadata=Killed(task="x"))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == -9, done.stderr
    [left] = tmp_path.iterdir()
    assert left.name.startswith(".part-") and (left / "models" / "model.safetensors").is_file()
    save_bundle(tmp_path / "model", network(), network=VIT_REDUCED, metadata=BLOCK)
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_a_folder_of_something_else_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(InputError, match="no bundle"):
        save_bundle(tmp_path, network(), network=VIT_REDUCED, metadata=BLOCK)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]
