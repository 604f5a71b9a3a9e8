"""The pCR network: its pathways, its variants and comparators, its description and its bundle."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from breastpredict import RESEARCH_USE_ONLY
from breastpredict.cli import main
from breastpredict.errors import InputError

torch = pytest.importorskip("torch")

import timm  # noqa: E402
from safetensors.torch import save_file  # noqa: E402

from breastpredict.models import (  # noqa: E402
    COMPARATORS,
    PCR_PRESETS,
    PCR_VARIANTS,
    SE_CROSST_REDUCED,
    SE_CROSST_T,
    VIT_REDUCED,
    build_network,
    check_network,
    describe,
    initialise,
    input_shapes,
    load_bundle,
    pcr_variant,
    read_bundle_metadata,
    save_bundle,
)
from breastpredict.models.se_crosst import Pathway, PcrNetwork  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_thread")

TINY = {
    **SE_CROSST_REDUCED,
    "dims": [16, 16, 24, 32],
    "heads": [2, 2, 3, 4],
    "depths": [1, 2, 1, 1],
}
SIZE = TINY["image_size"]
OTHER_CHOICES = {
    "pathology and the later ultrasound": {"modalities": ["pathology", "us1"]},
    "one ultrasound": {"modalities": ["us0", "clinical"]},
    "the later ultrasound": {"modalities": ["us1"]},
    "two clinical variables": {"clinical": ["subtype=TN", "ki67"]},
}
CHOICES = {**PCR_VARIANTS, **OTHER_CHOICES}


def network(seed: int = 0, of: Mapping[str, Any] = TINY, **changes: Any) -> Any:
    """A network whose every part has an influence: a fresh one exchanges nothing."""
    torch.manual_seed(seed)
    model = build_network(pcr_variant(of, **changes)).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.split(".")[0] == "classifier" or ".project." in name or ".share." in name:
                parameter.normal_(0, 0.3)
    return model


def inputs(model: Any, count: int = 1, seed: int = 1) -> dict[str, Any]:
    generator = torch.Generator().manual_seed(seed)
    found = {}
    for name, shape in input_shapes(model.network).items():
        values = torch.rand((count, *shape), generator=generator)
        found[name] = values if name == "clinical" else values * 2 - 1
    return found


def logits(model: Any, given: Mapping[str, Any]) -> Any:
    with torch.inference_mode():
        return model(**given)


# --- The whole ---


def test_the_full_network_has_the_size_of_the_reference_table() -> None:
    with torch.device("meta"):
        model = build_network(SE_CROSST_T)
    encoder = describe(SE_CROSST_T)["encoder"]["parameters"]
    exchange = (2 * 64 * 64 + 64) + (2 * 128 * 128 + 128)
    heads = 2 * (1024 * 8 + 8) + (8 + 8 + 4 + 1)
    total = sum(parameter.numel() for parameter in model.parameters())
    assert total == 3 * encoder + 2 * 64 + exchange + heads
    assert round(total / 1e6, 1) == 85.1


@pytest.mark.parametrize("changes", CHOICES.values(), ids=CHOICES)
def test_a_batch_equals_its_cases_one_by_one(changes: Mapping[str, Any]) -> None:
    model = network(**changes)
    given = inputs(model, 3)
    found = logits(model, given)
    assert found.shape == (3, 1) and len(set(found.flatten().tolist())) == 3
    for case in range(3):
        alone = logits(model, {name: value[case : case + 1] for name, value in given.items()})
        torch.testing.assert_close(alone, found[case : case + 1], rtol=0, atol=1e-5)


@pytest.mark.parametrize("changes", CHOICES.values(), ids=CHOICES)
def test_gradients_reach_every_parameter(changes: Mapping[str, Any]) -> None:
    model = network(**changes).train()
    model(**inputs(model, 4)).square().sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        # What is added to every score of a softmax alike moves it by rounding only.
        if not name.endswith("attention.bias.rest.2.2.bias"):
            assert parameter.grad.abs().max() > 0, name


@pytest.mark.parametrize("changes", CHOICES.values(), ids=CHOICES)
def test_every_input_has_an_influence(changes: Mapping[str, Any]) -> None:
    model = network(**changes)
    given, other = inputs(model), inputs(model, seed=2)
    assert set(given) == set(model.inputs) == set(model.network["modalities"])
    for name in model.inputs:
        changed = logits(model, {**given, name: other[name]})
        assert (changed - logits(model, given)).abs() > 1e-5, name


def test_the_order_of_the_patches_has_no_influence() -> None:
    model = network()
    given = inputs(model)
    order = [8, 3, 1, 0, 7, 2, 5, 6, 4]
    permuted = {**given, "pathology": given["pathology"][:, order]}
    torch.testing.assert_close(logits(model, permuted), logits(model, given), rtol=0, atol=1e-6)
    maps, changed = (model.feature_maps(x)["patho_ult.pathology"] for x in (given, permuted))
    torch.testing.assert_close(changed, maps[order], rtol=0, atol=1e-6)


def test_the_head_joins_both_pathways_and_the_clinical_variables() -> None:
    """The logit, put together by hand from what the encoders say of each image."""
    model = network()
    given = inputs(model)
    with torch.no_grad():
        patho, dou = model.patho_ult, model.dou_ult
        patches = [patho.encoder["pathology"](p[None]) for p in given["pathology"][0]]
        joined = [sum(patches) / 9, patho.encoder["us0"](given["us0"])]
        early, late = dou.encoder.maps(given["us0"], given["us1"])
        times = [early.mean(dim=(2, 3)), late.mean(dim=(2, 3))]
        vector = []
        for layer, vectors in ((patho.project[0], joined), (dou.project[0], times)):
            projected = layer.weight @ torch.cat(vectors, dim=1)[0] + layer.bias
            vector.append(projected * 0.5 * (1 + torch.erf(projected / 2**0.5)))
        wanted = model.classifier.weight[0] @ torch.cat([*vector, given["clinical"][0]])
    assert model.classifier.weight.shape == (1, 8 + 8 + 4)
    torch.testing.assert_close(logits(model, given)[0, 0], wanted + model.classifier.bias[0])


# --- Dou-Ult Net ---


def times(model: Any, first: Any, second: Any) -> tuple[Any, Any]:
    with torch.no_grad():
        found: tuple[Any, Any] = model.dou_ult.encoder.maps(first, second)
    return found


def test_a_fresh_network_exchanges_nothing_between_the_times() -> None:
    torch.manual_seed(0)
    fresh = build_network(TINY).eval()
    given, other = inputs(fresh), inputs(fresh, seed=2)
    early, late = times(fresh, given["us0"], given["us1"])
    assert torch.equal(times(fresh, given["us0"], other["us1"])[0], early)
    assert torch.equal(times(fresh, other["us0"], given["us1"])[1], late)
    learnt = network()
    early, late = times(learnt, given["us0"], given["us1"])
    assert (times(learnt, given["us0"], other["us1"])[0] - early).abs().max() > 1e-3
    assert (times(learnt, other["us0"], given["us1"])[1] - late).abs().max() > 1e-3


def test_both_times_are_seen_by_the_same_eyes_but_for_the_embedding_of_time() -> None:
    model = network()
    given = inputs(model)
    pair = model.dou_ult.encoder
    early, late = times(model, given["us0"], given["us0"])
    assert (early - late).abs().max() > 1e-4
    with torch.no_grad():
        pair.time.copy_(pair.time.flip(0))
    swapped = times(model, given["us0"], given["us0"])
    torch.testing.assert_close(swapped, (late, early), rtol=0, atol=1e-6)
    with torch.no_grad():
        pair.time.zero_()
    early, late = times(model, given["us0"], given["us1"])
    swapped = times(model, given["us1"], given["us0"])
    torch.testing.assert_close(swapped, (late, early), rtol=0, atol=1e-6)


def test_what_is_exchanged_is_what_the_stages_gave_before() -> None:
    """f0 += W[f0; f1] and f1 += W[f1; f0] after the first two stages, written out."""
    model = network()
    given = inputs(model)
    pair = model.dou_ult.encoder
    with torch.no_grad():
        x = [given["us0"], given["us1"]]
        for number, stage in enumerate(pair.encoder.stages):
            x = [stage.embed(part) for part in x]
            if number == 0:
                x = [part + time for part, time in zip(x, pair.time, strict=True)]
            x = [stage.attend(part) for part in x]
            if number < 2:
                w, b = pair.share[number].weight, pair.share[number].bias
                f0, f1 = x
                x = [
                    f0 + torch.cat([f0, f1], dim=-1) @ w.T + b,
                    f1 + torch.cat([f1, f0], dim=-1) @ w.T + b,
                ]
        wanted = tuple(pair.encoder.norm(part).permute(0, 3, 1, 2) for part in x)
    torch.testing.assert_close(times(model, given["us0"], given["us1"]), wanted)


# --- Variants: never a silent zero ---


def test_a_variant_has_no_parts_for_what_it_is_not_given() -> None:
    full = describe(TINY)
    assert full["encodings"] == 12
    for name, encodings, encoders in (
        ("ultrasound", 2, 1),
        ("pathology", 9, 1),
        ("single-time", 10, 2),
        ("no-clinical", 12, 3),
    ):
        found = describe(pcr_variant(TINY, **PCR_VARIANTS[name]))
        assert found["encodings"] == encodings, name
        parts = found["parameters"] - encoders * found["encoder"]["parameters"]
        assert 0 < parts < 8000, name  # projections, exchange and head
    assert network(**PCR_VARIANTS["ultrasound"]).patho_ult is None
    assert network(**PCR_VARIANTS["pathology"]).dou_ult is None
    assert network(**PCR_VARIANTS["no-clinical"]).classifier.in_features == 16
    assert network(**PCR_VARIANTS["pathology"]).classifier.in_features == 8 + 4


def refusal(call: Any) -> str:
    with pytest.raises(InputError) as caught:
        call()
    message = str(caught.value)
    assert "\n" not in message and len(message) < 600
    return message


@pytest.mark.parametrize("name", ["pathology", "us0", "us1", "clinical"])
def test_a_missing_input_is_refused_by_name(name: str) -> None:
    model = network()
    given = inputs(model)
    del given[name]
    message = refusal(lambda: model(**given))
    assert f"{name} missing" in message and "variant" in message


def test_an_input_that_is_not_asked_for_is_refused_by_name() -> None:
    model = network(**PCR_VARIANTS["ultrasound"])
    given = {**inputs(model), "pathology": torch.zeros(1, 9, 3, SIZE, SIZE)}
    assert "pathology not asked for" in refusal(lambda: model(**given))


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("pathology", (1, 8, 3, SIZE, SIZE)),
        ("us0", (1, 1, SIZE, SIZE)),
        ("us1", (1, 3, 32, 32)),
        ("us1", (2, 3, SIZE, SIZE)),
        ("clinical", (1, 3)),
        ("clinical", (4,)),
    ],
)
def test_an_input_of_another_shape_is_refused(name: str, shape: tuple[int, ...]) -> None:
    model = network()
    given = {**inputs(model), name: torch.zeros(shape)}
    assert f"input {name} has shape {list(shape)}" in refusal(lambda: model(**given))


# --- Descriptions ---


@pytest.mark.parametrize("name", PCR_PRESETS)
def test_every_preset_is_a_description_that_json_can_hold(name: str) -> None:
    network = PCR_PRESETS[name]
    read = json.loads(json.dumps(network))
    assert read == check_network(read) == network
    assert check_network(read)["modalities"] is not read["modalities"]  # a copy of its own


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"architecture": "resnet18"}, "unknown architecture"),
        ({"architecture": ["vgg16"]}, "unknown architecture"),
        ({"surprise": 1}, "unknown keys: surprise"),
        ({"image_size": 500}, "do not divide"),
        ({"image_size": True}, "gives image_size"),
        ({"dims": [16, 32, 64]}, "not four numbers"),
        ({"dims": [16, 32, 64, 10**9]}, "gives dims"),
        ({"dims": [12, 32, 64, 128]}, "do not divide"),
        ({"heads": [3, 2, 4, 8]}, "do not divide"),
        ({"intervals": "4211"}, "not four numbers"),
        ({"group": 1.0}, "gives group"),
        ({"drop_path": 1}, "drop_path"),
        ({"drop_path": float("nan")}, "drop_path"),
        ({"position_embedding": 1}, "position_embedding"),
        ({"share_after": 4}, "share_after"),
        ({"modalities": ["us1", "us0", "clinical"]}, "in this order"),
        ({"modalities": "us0"}, "in this order"),
        ({"modalities": [["us0"]]}, "in this order"),
        ({"modalities": ["us0", "us0", "clinical"]}, "in this order"),
        ({"modalities": ["clinical"]}, "no image"),
        ({"modalities": ["us0"]}, "without the modality"),
        ({"clinical": []}, "without them"),
        ({"clinical": ["er", "er"]}, "different names"),
        ({"clinical": ["e\nr"]}, "different names"),
        ({"clinical": 4}, "different names"),
    ],
)
def test_a_network_that_cannot_be_is_refused(changes: dict[str, Any], why: str) -> None:
    message = refusal(lambda: check_network({**SE_CROSST_REDUCED, **changes}, "a/metadata.json"))
    assert why in message and "network description" in message and "a/metadata.json" in message


def test_a_comparator_has_no_settings_of_our_encoder() -> None:
    assert "se_ratio" in refusal(lambda: pcr_variant(PCR_PRESETS["vit"], se_ratio=0))
    assert "input_size" in refusal(lambda: check_network({**PCR_PRESETS["vit"], "input_size": 200}))


# --- Comparators ---


def comparator(name: str, *modalities: str) -> Any:
    """One of the smallest size, because of the time."""
    of = {**PCR_PRESETS[name], "image_size": 64, "input_size": 32, "patches": 2}
    return network(of=of, modalities=modalities or ("us0",))


def timms(model: Any, images: Any) -> Any:
    """What timm says of these images, prepared as it asks for, in the size of the network."""
    encoder = model.patho_ult.encoder["us0"]
    config = encoder.backbone.default_cfg
    mean, deviation = (torch.tensor(config[key]).view(3, 1, 1) for key in ("mean", "std"))
    small = torch.nn.functional.interpolate(images, (32, 32), mode="bilinear", antialias=True)
    return encoder.backbone, ((small + 1) / 2 - mean) / deviation


@pytest.mark.parametrize("name", ["vgg16", "resnet50", "densenet121", "vit", "swin"])
def test_a_comparator_starts_from_timms_file_and_gives_timms_features(
    name: str, tmp_path: Path
) -> None:
    model = comparator(name)
    architecture = model.network["architecture"]
    options = {"vgg16": {"mlp_ratio": 1 / 4096}, "vit": {"img_size": 32}, "swin": {"img_size": 32}}
    torch.manual_seed(3)
    donor = timm.create_model(architecture, **options.get(name, {})).eval()
    path = tmp_path / "model.safetensors"
    save_file(donor.state_dict(), path)
    head = model.classifier.weight.clone()
    record = initialise(model, path)
    assert record.source == "file" and len(record.sha256) == 64 and not record.warning
    assert torch.equal(model.classifier.weight, head)

    given = inputs(model, 2)
    _, prepared = timms(model, given["us0"])
    with torch.inference_mode():
        features = donor.features(prepared) if name == "vgg16" else donor.forward_features(prepared)
        if name == "vit":
            wanted = features[:, 1:].mean(dim=1)
        elif name == "swin":
            wanted = features.mean(dim=(1, 2))
        else:
            wanted = features.mean(dim=(2, 3))
        encoder = model.eval().patho_ult.encoder["us0"]
        found = encoder.pool(encoder.maps(given["us0"]))
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)
    assert wanted.std() > 1e-3

    spoilt = donor.state_dict()
    spoilt.pop(next(key for key in spoilt if key.endswith("weight")))
    save_file(spoilt, path)
    assert COMPARATORS[architecture] in refusal(lambda: initialise(model, path))


def test_a_comparator_has_the_same_frame_and_the_same_eyes_for_both_times(tmp_path: Path) -> None:
    model = comparator("densenet121", "pathology", "us0", "us1", "clinical")
    assert model.classifier.in_features == 20
    donor = timm.create_model("densenet121")
    save_file(donor.state_dict(), tmp_path / "model.safetensors")
    initialise(model, tmp_path / "model.safetensors")
    for encoder in (*model.patho_ult.encoder.values(), model.dou_ult.encoder.encoder):
        assert torch.equal(
            encoder.backbone.state_dict()["features.conv0.weight"],
            donor.state_dict()["features.conv0.weight"],
        )
    model.train()
    model(**inputs(model, 2)).sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in model.parameters())
    given = inputs(model.eval())
    early, late = times(model, given["us0"], given["us1"])
    again = times(model, given["us1"], given["us0"])
    torch.testing.assert_close(again, (late, early), rtol=0, atol=1e-5)


def test_without_a_network_the_hub_is_named_and_nothing_is_guessed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    model = comparator("densenet121")
    message = refusal(lambda: initialise(model, "imagenet"))
    assert "offline" in message and "timm/densenet121" in message
    assert "no ImageNet weights of SE-CrossT" in refusal(lambda: initialise(network(), "imagenet"))
    assert "RANDOM INITIALISATION" in initialise(model, "none").warning


# --- Bundles ---

BLOCK = {
    "task": "pcr",
    "positive_class": "pCR",
    "negative_class": "no pCR",
    "threshold": 0.4,
    "prevalence": 0.26,
    "calibration": {"method": "none", "probability": False},
    "synthetic": True,
    "training_data": {},
    "seed": 0,
}


def saved(folder: Path, model: Any) -> Path:
    return save_bundle(folder, model, network=model.network, metadata=BLOCK)


def test_a_loaded_bundle_gives_the_logits_of_the_saved_network(tmp_path: Path) -> None:
    model = network(group=3)  # with padding: nothing may stay without storage
    bundle = load_bundle(saved(tmp_path / "pcr", model), system="pcr")
    given = inputs(model)
    torch.testing.assert_close(logits(bundle.model, given), logits(model, given), rtol=0, atol=1e-5)
    assert bundle.model.inputs == model.inputs and not bundle.model.training
    schema = json.loads((bundle.folder / "configs" / "metadata.schema.json").read_text("utf-8"))
    jsonschema.validate(bundle.metadata, schema)
    formats = bundle.metadata["network_data_format"]["inputs"]
    assert list(formats) == list(model.inputs)
    assert formats["clinical"]["channel_def"]["2"] == "ki67"
    card = (bundle.folder / "docs" / "README.md").read_text("utf-8")
    assert "pathological complete response" in card and "HER2 status" not in card


def test_a_comparator_is_kept_in_a_bundle_too(tmp_path: Path) -> None:
    model = comparator("densenet121")  # batch normalisation counts in whole numbers
    bundle = load_bundle(saved(tmp_path / "pcr", model))
    given = inputs(model)
    torch.testing.assert_close(logits(bundle.model, given), logits(model, given), rtol=0, atol=1e-5)


def test_a_bundle_that_says_another_configuration_is_refused(tmp_path: Path) -> None:
    folder = saved(tmp_path / "pcr", network())
    path = folder / "configs" / "metadata.json"
    original = path.read_text("utf-8")
    for changes in (
        *(c for n, c in PCR_VARIANTS.items() if n != "full"),
        *({"clinical": names} for names in (["er"], ["er", "ki67", "x", "y", "z"])),
        {"depths": [1, 1, 1, 1]},
        {"image_size": 32},
    ):
        metadata = json.loads(original)
        metadata["breastpredict"]["network"] = pcr_variant(TINY, **changes)
        path.write_text(json.dumps(metadata), "utf-8")
        message = refusal(lambda: load_bundle(folder))
        assert "do not fit the bundle's network" in message, changes


def test_a_bundle_of_the_other_system_is_refused(tmp_path: Path) -> None:
    folder = saved(tmp_path / "pcr", network())
    assert "for pCR, not for HER2" in refusal(lambda: load_bundle(folder, system="her2"))
    torch.manual_seed(0)
    vit = build_network(VIT_REDUCED)
    other = save_bundle(tmp_path / "her2", vit, network=VIT_REDUCED, metadata=BLOCK)
    message = refusal(lambda: read_bundle_metadata(other, "pcr"))
    assert "for HER2, not for pCR" in message and "pcr train" in message


def test_training_may_start_from_a_bundle_of_the_same_configuration(tmp_path: Path) -> None:
    file = saved(tmp_path / "pcr", network()) / "models" / "model.safetensors"
    model = network(seed=7)
    record = initialise(model, file)
    assert record.source == "file"
    for name, value in network().state_dict().items():
        same = torch.equal(model.state_dict()[name], value)
        assert same != name.startswith("classifier"), name
    other = network(**PCR_VARIANTS["pathology"])
    assert "another network" in refusal(lambda: initialise(other, file))
    assert "has shape" in refusal(lambda: initialise(network(features=4), file))


# --- The command line ---


def test_describe_prints_every_stage(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["pcr", "describe"]) == 0
    text = capsys.readouterr().out
    assert RESEARCH_USE_ONLY in text
    for number in ("128×128", "1,311,744", "18,931,872", "85,128,431", "181.0"):
        assert number in text, number
    assert main("pcr describe --preset reduced --variant ultrasound --json".split()) == 0
    wanted = describe(pcr_variant(SE_CROSST_REDUCED, **PCR_VARIANTS["ultrasound"]))
    assert json.loads(capsys.readouterr().out) == json.loads(json.dumps(wanted))
    assert main("pcr describe --preset vgg16 --variant no-se".split()) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert main("pcr describe --preset vgg16".split()) == 0
    assert "one encoder: 14,714,688 parameters" in capsys.readouterr().out


# --- Normalised over the cases ---


def test_the_head_sees_patients_apart_however_alike_the_encoders_vectors_are() -> None:
    torch.manual_seed(0)
    model = PcrNetwork(SE_CROSST_REDUCED)
    assert isinstance(model.patho_ult, Pathway)
    vectors = 0.7 + 0.08 * torch.randn(16, 256)
    joined = model.patho_ult.train().norm(vectors)
    torch.testing.assert_close(joined.mean(dim=0), torch.zeros(256), atol=1e-3, rtol=0)
    assert 0.9 < float(joined.std()) < 1.1
    with torch.no_grad():
        for _ in range(200):  # what was seen is remembered
            model.patho_ult.norm(vectors)
    later = model.patho_ult.eval().norm(vectors[:1])
    torch.testing.assert_close(later, joined[:1], atol=0.1, rtol=0.1)


def test_a_step_of_one_case_and_a_case_that_is_predicted_are_normalised_alike() -> None:
    model = network(head_norm=True).train()
    model(**inputs(model, 4))
    kept = {name: buffer.clone() for name, buffer in model.named_buffers()}
    one = inputs(model, 1)
    torch.testing.assert_close(model(**one), model.eval()(**one))
    for name, buffer in model.named_buffers():
        torch.testing.assert_close(buffer, kept[name])


def test_the_papers_head_is_not_normalised() -> None:
    for name, preset in PCR_PRESETS.items():
        assert preset["head_norm"] == (name == "reduced")
    model = network(head_norm=False)
    assert not any(isinstance(module, torch.nn.BatchNorm1d) for module in model.modules())
