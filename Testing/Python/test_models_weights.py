"""First weights: from timm's own file or the hub's cache, and nothing that is not plain weights."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from breastpredict.errors import InputError

torch = pytest.importorskip("torch")

import timm  # noqa: E402
from safetensors.torch import load_file, save_file  # noqa: E402

from breastpredict.models import VIT_REDUCED, VIT_TINY, build_vit, initialise  # noqa: E402
from breastpredict.models.weights import HUB_NAME, convert_pth  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_thread")

NAME = "vit_tiny_patch16_224"


@pytest.fixture(scope="module")
def imagenet() -> Any:
    """timm's ViT-tiny for ImageNet, three colours and 1000 classes, with random weights."""
    torch.manual_seed(0)
    model = timm.create_model(NAME, num_classes=1000).eval()
    with torch.no_grad():  # as built, positions and the class token hardly differ from zero
        model.pos_embed.normal_(0, 0.5)
        model.cls_token.normal_(0, 0.5)
    return model


@pytest.fixture(scope="module")
def file(imagenet: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a user downloads."""
    path = tmp_path_factory.mktemp("weights") / "model.safetensors"
    save_file(imagenet.state_dict(), path)
    return path


def grey(size: int) -> Any:
    return torch.rand((2, 1, size, size), generator=torch.Generator().manual_seed(1)) * 2 - 1


def features(model: Any, x: Any) -> Any:
    with torch.inference_mode():
        return model.eval().forward_features(x)


def refusal(model: Any, weights: str | Path) -> str:
    """The one line a user reads; the network must not have been touched."""
    before = {key: value.clone() for key, value in model.state_dict().items()}
    with pytest.raises(InputError) as caught:
        initialise(model, weights)
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
    message = str(caught.value)
    assert "\n" not in message and len(message) < 600
    return message


# --- None ---


def test_no_weights_are_said_loudly_and_change_nothing() -> None:
    model = build_vit(**VIT_REDUCED)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    record = initialise(model, "none")
    assert record.source == "none" and "RANDOM INITIALISATION" in record.warning
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())


# --- A local file ---


def test_timms_file_gives_timms_features_on_a_grey_image(imagenet: Any, file: Path) -> None:
    model = build_vit(**VIT_TINY)
    head = model.head.weight.clone()
    record = initialise(model, file)
    wanted = features(imagenet, grey(224).expand(-1, 3, -1, -1))
    np.testing.assert_allclose(features(model, grey(224)), wanted, atol=2e-4)
    assert torch.equal(model.head.weight, head)  # a new question needs a new classifier
    assert record.source == "file" and not record.warning
    assert record.sha256 == sha256(file) and str(file.parent) not in record.description


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize(("size", "channels"), [(96, 1), (224, 3), (320, 1)])
def test_sizes_and_channels_are_adapted_as_timm_does_it(
    file: Path, size: int, channels: int
) -> None:
    model = build_vit(**{**VIT_TINY, "image_size": size, "in_channels": channels})
    initialise(model, file)
    wanted = timm.create_model(
        NAME,
        pretrained=True,
        pretrained_cfg_overlay={"file": str(file)},
        num_classes=1,
        in_chans=channels,
        img_size=size,
    )
    x = grey(size).expand(-1, channels, -1, -1)
    np.testing.assert_allclose(features(model, x), features(wanted, x), atol=2e-4)


def test_a_file_in_half_precision_is_read(imagenet: Any, tmp_path: Path) -> None:
    path = tmp_path / "half.safetensors"
    save_file({key: value.half() for key, value in imagenet.state_dict().items()}, path)
    model = build_vit(**VIT_TINY)
    initialise(model, path)
    assert {value.dtype for value in model.state_dict().values()} == {torch.float32}
    wanted = features(imagenet, grey(224).expand(-1, 3, -1, -1))
    assert (features(model, grey(224)) - wanted).abs().max() < 0.1


# --- What is refused ---


def test_a_truncated_file_is_refused(file: Path, tmp_path: Path) -> None:
    path = tmp_path / "cut.safetensors"
    path.write_bytes(file.read_bytes()[:100_000])
    assert "damaged" in refusal(build_vit(**VIT_TINY), path)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    message = refusal(build_vit(**VIT_TINY), tmp_path / "absent.safetensors")
    assert "no such weights file" in message and HUB_NAME in message


@pytest.mark.parametrize(
    ("network", "why"),
    [
        (VIT_REDUCED, "tensors are missing"),
        ({**VIT_TINY, "width": 96}, "has shape"),
        ({**VIT_TINY, "patch_size": 32}, "patch_embed.proj.weight has shape"),
        ({**VIT_TINY, "in_channels": 2}, "patch_embed.proj.weight has shape"),
    ],
    ids=["depth", "width", "patches", "channels"],
)
def test_weights_of_another_network_are_refused(
    file: Path, network: dict[str, Any], why: str
) -> None:
    message = refusal(build_vit(**network), file)
    assert "another network" in message and why in message


def test_weights_that_are_not_finite_are_refused(imagenet: Any, tmp_path: Path) -> None:
    state = {key: value.clone() for key, value in imagenet.state_dict().items()}
    state["blocks.3.mlp.fc1.bias"][7] = float("nan")
    save_file(state, tmp_path / "nan.safetensors")
    message = refusal(build_vit(**VIT_TINY), tmp_path / "nan.safetensors")
    assert "not finite" in message and "blocks.3.mlp.fc1.bias" in message


class Evil:
    """Makes a file when it is unpickled."""

    def __init__(self, proof: Path) -> None:
        self.proof = proof

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.proof,)


@pytest.mark.parametrize("name", ["weights.pth", "weights.bin", "weights.safetensors", "weights"])
def test_a_pickled_file_is_refused_unread_whatever_its_name(tmp_path: Path, name: str) -> None:
    torch.save({"cls_token": Evil(tmp_path / "ran")}, tmp_path / name)
    message = refusal(build_vit(**VIT_TINY), tmp_path / name)
    assert "Pickled" in message or "no safetensors file" in message
    assert not (tmp_path / "ran").exists()


# --- Conversion ---


@pytest.mark.parametrize("wrapped", [False, True])
def test_a_plain_pth_file_is_converted(imagenet: Any, tmp_path: Path, wrapped: bool) -> None:
    state = imagenet.state_dict()
    torch.save({"state_dict": state, "epoch": 3} if wrapped else state, tmp_path / "model.pth")
    convert_pth(tmp_path / "model.pth", tmp_path / "model.safetensors")
    found = load_file(tmp_path / "model.safetensors")
    assert set(found) == set(state)
    assert all(torch.equal(found[key], value) for key, value in state.items())


def test_tensors_that_share_memory_are_converted(tmp_path: Path) -> None:
    whole = torch.arange(6.0)
    state = {"a": whole, "b": whole[:3], "c": whole.reshape(2, 3).T}
    torch.save(state, tmp_path / "model.pth")
    convert_pth(tmp_path / "model.pth", tmp_path / "model.safetensors")
    found = load_file(tmp_path / "model.safetensors")
    assert all(torch.equal(found[key], value) for key, value in state.items())


@pytest.mark.parametrize("wrapped", [False, True])
def test_a_malicious_pth_file_is_refused_and_not_run(tmp_path: Path, wrapped: bool) -> None:
    proof = tmp_path / "ran"
    evil: Any = {"cls_token": torch.zeros(1), "extra": Evil(proof)}
    torch.save({"state_dict": evil} if wrapped else evil, tmp_path / "evil.pth")
    with pytest.raises(InputError, match="more than plain weights"):
        convert_pth(tmp_path / "evil.pth", tmp_path / "out.safetensors")
    assert not proof.exists()
    torch.load(tmp_path / "evil.pth", weights_only=False)
    assert proof.exists()  # the file was dangerous
    assert sorted(p.name for p in tmp_path.iterdir()) == ["evil.pth", "ran"]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (None, "no such file"),
        (b"", "damaged"),
        (b"<html>404</html>", "damaged"),
        ([torch.zeros(2)], "no plain state dict"),
        ({"state_dict": [1, 2]}, "no plain state dict"),
        ({"epoch": 3}, "no plain state dict"),
        ({}, "no plain state dict"),
    ],
)
def test_what_is_no_state_dict_is_not_converted(tmp_path: Path, content: Any, problem: str) -> None:
    source = tmp_path / "model.pth"
    if isinstance(content, bytes):
        source.write_bytes(content)
    elif content is not None:
        torch.save(content, source)
    with pytest.raises(InputError, match=problem) as caught:
        convert_pth(source, tmp_path / "out.safetensors")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out.safetensors").exists()


# --- The hub, in a process of its own: its client reads the environment when it is imported ---

FROM_HUB = """
import json, time
from breastpredict.errors import InputError
from breastpredict.models import VIT_TINY, build_vit, initialise

model = build_vit(**VIT_TINY)
start = time.perf_counter()
try:
    record = initialise(model, "imagenet")
    found = {"source": record.source, "sha256": record.sha256, "said": record.description}
except InputError as error:
    found = {"source": "", "said": str(error)}
found["seconds"] = time.perf_counter() - start
found["cls_token"] = model.cls_token[0, 0, :5].tolist()
print(json.dumps(found))
"""
CLOSED = "http://127.0.0.1:9"  # nothing listens on the discard port


def from_hub(cache: Path, environment: Mapping[str, str]) -> dict[str, Any]:
    """What ``--weights imagenet`` comes to with this cache; no network can be reached."""
    kept = {k: v for k, v in os.environ.items() if not k.lower().startswith(("hf_", "http", "all"))}
    done = subprocess.run(
        [sys.executable, "-c", FROM_HUB],
        env={**kept, "HF_HOME": str(cache), "HF_ENDPOINT": CLOSED, **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.parametrize("environment", [{"HF_HUB_OFFLINE": "1"}, {}], ids=["told", "found out"])
def test_an_offline_hub_is_said_at_once_with_what_to_do(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    found = from_hub(tmp_path / "empty", environment)
    assert found["source"] == "" and "the hub is offline" in found["said"]
    assert HUB_NAME in found["said"] and "--weights FILE" in found["said"]
    assert "\n" not in found["said"]
    assert found["seconds"] < 10  # the hub's own client tries for most of a minute


def test_a_filled_cache_is_used_without_the_network(
    imagenet: Any, file: Path, tmp_path: Path
) -> None:
    repository = tmp_path / "hub" / f"models--{HUB_NAME.replace('/', '--')}"
    revision = "0123456789abcdef0123456789abcdef01234567"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(revision)
    snapshot = repository / "snapshots" / revision
    snapshot.mkdir(parents=True)
    os.link(file, snapshot / "model.safetensors")
    found = from_hub(tmp_path, {})
    assert found["source"] == "imagenet" and found["said"] == HUB_NAME
    assert found["sha256"] == sha256(file)
    assert found["cls_token"] == pytest.approx(imagenet.cls_token[0, 0, :5].tolist())
