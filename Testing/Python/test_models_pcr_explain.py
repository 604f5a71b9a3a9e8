"""Maps of the pCR network: equal to slow ones, of the right image, sign and cost."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from breastpredict.errors import InputError

torch = pytest.importorskip("torch")

from breastpredict.models import (  # noqa: E402
    PCR_METHODS,
    PCR_PRESETS,
    PCR_VARIANTS,
    SE_CROSST_REDUCED,
    Occlusion,
    build_network,
    input_shapes,
    pcr_variant,
    predict_with_maps,
)

pytestmark = pytest.mark.usefixtures("one_thread")

SMALL = {
    **SE_CROSST_REDUCED,
    "patches": 3,
    "dims": [16, 16, 24, 32],
    "heads": [2, 2, 3, 4],
    "depths": [1, 1, 1, 1],
}
COARSE = Occlusion(patch=0.5, stride=0.25, batch=4)
CHOICES = ["full", "ultrasound", "pathology", "single-time", "no-clinical"]


def network(of: Mapping[str, Any] = SMALL, **changes: Any) -> Any:
    """A network whose every part has an influence: a fresh one exchanges nothing."""
    torch.manual_seed(0)
    model = build_network(pcr_variant(of, **changes)).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.split(".")[0] == "classifier" or ".project." in name or ".share." in name:
                parameter.normal_(0, 0.3)
    return model


def case(model: Any, seed: int = 1) -> dict[str, Any]:
    """One case; coarse noise, so that the places of an image differ."""
    generator = torch.Generator().manual_seed(seed)
    found = {}
    for name, shape in input_shapes(model.network).items():
        if name == "clinical":
            found[name] = torch.rand((1, *shape), generator=generator)
        else:
            noise = torch.rand((1, *shape[:-2], 4, 4), generator=generator) * 2 - 1
            size = shape[-1] // 4
            found[name] = noise.repeat_interleave(size, -1).repeat_interleave(size, -2)
    return found


# --- Grad-CAM ---


def slow_gradcam(model: Any, given: Mapping[str, Any]) -> dict[str, Any]:
    """A whole backward pass, with what the last norm of each encoder gave and its gradient."""
    kept: dict[str, Any] = {}
    handles = []
    for name, module in model.named_modules():
        if name.endswith("encoder.norm") or (name.count(".") == 3 and name.endswith(".norm")):

            def keep(_: Any, __: Any, output: Any, name: str = name) -> None:
                output.retain_grad()
                kept[name] = output  # [images, rows, columns, channels]

            handles.append(module.register_forward_hook(keep))
    model(**given)[0, 0].backward()
    for handle in handles:
        handle.remove()
    sums: dict[str, Any] = {}
    for name, values in kept.items():
        maps = values.detach().numpy()
        weights = values.grad.numpy().mean(axis=(1, 2))
        parts = np.einsum("nk,nijk->nij", weights, maps)
        if name.startswith("dou_ult"):
            pieces = {"us0": parts[0], "us1": parts[1]}
        elif ".pathology." in name:
            pieces = {"pathology": parts}
        else:
            pieces = {"us0" if ".us0." in name else "us1": parts[0]}
        for image, piece in pieces.items():
            sums[image] = sums.get(image, 0) + piece
    model.zero_grad()
    size = SMALL["image_size"]
    return {name: enlarged(np.maximum(total, 0), size) for name, total in sums.items()}


def enlarged(grid: Any, size: int) -> Any:
    """Bilinear between the centres of the cells, constant outside of them."""
    count = grid.shape[-1]
    places = np.clip((np.arange(size) + 0.5) * count / size - 0.5, 0, count - 1)
    low = np.minimum(places.astype(int), count - 2)
    share = places - low
    rows = grid[..., low, :] * (1 - share)[:, None] + grid[..., low + 1, :] * share[:, None]
    return rows[..., low] * (1 - share) + rows[..., low + 1] * share


@pytest.mark.parametrize("variant", CHOICES)
def test_gradcam_is_that_of_a_whole_backward_pass(variant: str) -> None:
    model = network(**PCR_VARIANTS[variant])
    given = case(model)
    found = predict_with_maps(model, given, "gradcam")
    wanted = slow_gradcam(model, given)
    assert set(found.maps) == set(wanted) == set(model.inputs) - {"clinical"}
    assert any(values.max() > 1e-4 for values in wanted.values())
    for name, values in found.maps.items():
        assert values.dtype == np.float32 and values.min() >= 0
        np.testing.assert_allclose(values, wanted[name], rtol=1e-4, atol=1e-6)
    with torch.no_grad():
        assert found.logit == pytest.approx(model(**given).item(), abs=1e-6)


def test_gradcam_shows_what_speaks_for_pcr_and_not_what_speaks_against_it() -> None:
    model = network()
    given = case(model)
    for_pcr = predict_with_maps(model, given, "gradcam").maps
    with torch.no_grad():
        model.classifier.weight.neg_()
    against = predict_with_maps(model, given, "gradcam").maps
    cells = [slice(None), slice(8, None, 48), slice(8, None, 48)]  # away from interpolation
    for name in for_pcr:
        where = tuple(cells if name == "pathology" else cells[1:])
        assert not (np.minimum(for_pcr[name][where], against[name][where]) > 1e-7).any()
    assert all(sum(m[n].max() for m in (for_pcr, against)) > 0 for n in for_pcr)


def test_explaining_leaves_no_gradient_behind() -> None:
    model = network()
    with torch.inference_mode():  # as a caller who only predicts may do
        given = case(model)
        outside = predict_with_maps(model, given, "gradcam")
    assert all(p.grad is None and p.requires_grad for p in model.parameters())
    np.testing.assert_array_equal(
        outside.maps["us0"], predict_with_maps(model, case(model), "gradcam").maps["us0"]
    )


# --- Occlusion ---


def slow_occlusion(model: Any, given: Mapping[str, Any]) -> dict[str, Any]:
    """The whole network once for each square."""
    size, patch, step = SMALL["image_size"], 32, 16
    maps: dict[str, Any] = {}
    with torch.no_grad():
        whole = model(**given).item()
        for name, images in given.items():
            if name == "clinical":
                continue
            stack = []
            for number in range(images.shape[1] if name == "pathology" else 1):
                falls = [[[] for _ in range(size)] for _ in range(size)]  # type: ignore[var-annotated]
                for row in range(0, size - patch + 1, step):
                    for column in range(0, size - patch + 1, step):
                        copy = images.clone()
                        image = copy[0, number] if name == "pathology" else copy[0]
                        for channel in image:
                            mean = channel.mean().item()
                            channel[row : row + patch, column : column + patch] = mean
                        fall = whole - model(**{**given, name: copy}).item()
                        for r in range(row, row + patch):
                            for c in range(column, column + patch):
                                falls[r][c].append(fall)
                stack.append([[np.mean(found) for found in line] for line in falls])
            maps[name] = np.array(stack if name == "pathology" else stack[0])
    return maps


@pytest.mark.parametrize("variant", CHOICES)
def test_occlusion_is_the_fall_of_the_whole_networks_logit(variant: str) -> None:
    model = network(**PCR_VARIANTS[variant])
    given = case(model)
    found = predict_with_maps(model, given, "occlusion", COARSE)
    wanted = slow_occlusion(model, given)
    assert set(found.maps) == set(wanted)
    for name, values in found.maps.items():
        assert values.dtype == np.float32 and values.shape == wanted[name].shape
        assert np.abs(wanted[name]).max() > 1e-4
        np.testing.assert_allclose(values, wanted[name], rtol=0, atol=5e-6)


def test_covering_what_speaks_for_pcr_gives_a_positive_map() -> None:
    model = network()
    given = case(model)
    found = predict_with_maps(model, given, "occlusion", COARSE)
    with torch.no_grad():
        model.classifier.weight.neg_()
        model.classifier.bias.neg_()
    turned = predict_with_maps(model, given, "occlusion", COARSE)
    assert turned.logit == pytest.approx(-found.logit, abs=1e-6)
    for name, values in found.maps.items():
        np.testing.assert_allclose(turned.maps[name], -values, rtol=0, atol=1e-5)


def test_only_what_a_covered_image_enters_is_encoded_again() -> None:
    model = network()
    encoded: dict[str, int] = {}
    for name, module in model.named_modules():
        if name.endswith(("stages.0", "stages.3")):

            def count(_: Any, __: Any, output: Any, name: str = name) -> None:
                encoded[name] = encoded.get(name, 0) + len(output)

            module.embedding.register_forward_hook(count)
    squares = len(COARSE.windows(SMALL["image_size"]))
    assert squares == 9
    steps: list[tuple[int, int]] = []
    predict_with_maps(model, case(model), "occlusion", COARSE, lambda *s: steps.append(s))
    batches = 3  # of four squares each
    assert encoded == {
        "patho_ult.encoder.pathology.stages.0": 3 + 3 * squares,
        "patho_ult.encoder.pathology.stages.3": 3 + 3 * squares,
        "patho_ult.encoder.us0.stages.0": 1 + squares,
        "patho_ult.encoder.us0.stages.3": 1 + squares,
        # The other time goes along: once a batch until both exchange, then with each square.
        "dou_ult.encoder.encoder.stages.0": 2 + 2 * (squares + batches),
        "dou_ult.encoder.encoder.stages.3": 2 + 2 * 2 * squares,
    }
    assert steps[-1] == (5 * squares, 5 * squares) and steps == sorted(set(steps))


@pytest.mark.parametrize(("patch", "stride"), [(0.25, 0.125), (0.3, 0.3), (1.0, 0.5), (0.01, 0.01)])
def test_every_pixel_is_covered(patch: float, stride: float) -> None:
    cover = np.zeros((64, 64))
    for rows, columns in Occlusion(patch, stride).windows(64):
        cover[rows, columns] += 1
        assert cover[rows, columns].size == max(1, round(patch * 64)) ** 2
    assert cover.min() >= 1


@pytest.mark.parametrize("wrong", [(0.1, 0.2), (0, 0), (2, 1), (0.5, float("nan"))])
def test_an_occlusion_that_leaves_gaps_is_refused(wrong: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="stride"):
        Occlusion(*wrong)


# --- Both ---


@pytest.mark.parametrize("method", PCR_METHODS)
def test_constant_images_give_finite_maps(method: Any) -> None:
    model = network()
    given = {name: torch.full_like(value, 0.3) for name, value in case(model).items()}
    found = predict_with_maps(model, given, method, COARSE)
    for values in found.maps.values():
        assert np.isfinite(values).all()
        if method == "occlusion":  # the mean colour covers nothing
            assert np.abs(values).max() < 1e-5


@pytest.mark.parametrize("method", PCR_METHODS)
def test_maps_follow_their_patches(method: Any) -> None:
    model = network()
    given = case(model)
    order = [2, 0, 1]
    permuted = {**given, "pathology": given["pathology"][:, order]}
    found, changed = (predict_with_maps(model, x, method, COARSE) for x in (given, permuted))
    np.testing.assert_allclose(
        changed.maps["pathology"], found.maps["pathology"][order], rtol=0, atol=1e-5
    )
    assert np.abs(changed.maps["pathology"] - found.maps["pathology"]).max() > 1e-4
    np.testing.assert_allclose(changed.maps["us1"], found.maps["us1"], rtol=0, atol=1e-5)


@pytest.mark.parametrize("method", PCR_METHODS)
@pytest.mark.parametrize("name", ["densenet121", "vit"])
def test_comparators_are_explained_by_the_same_call(name: str, method: Any) -> None:
    of = {**PCR_PRESETS[name], "image_size": 64, "input_size": 64, "patches": 2}
    model = network(of, modalities=["pathology", "us0"])
    found = predict_with_maps(model, case(model), method, Occlusion(0.5, 0.5))
    assert {n: m.shape for n, m in found.maps.items()} == {
        "pathology": (2, 64, 64),
        "us0": (64, 64),
    }
    assert all(np.isfinite(m).all() and m.any() for m in found.maps.values())


def test_the_logit_alone_has_no_maps() -> None:
    model = network()
    found = predict_with_maps(model, case(model), None)
    assert found.maps == {} and found.label == ""
    assert found.logit == predict_with_maps(model, case(model), "gradcam").logit


def test_what_cannot_be_explained_is_refused() -> None:
    model = network()
    given = case(model)
    with pytest.raises(InputError, match="us1 missing"):
        predict_with_maps(model, {n: v for n, v in given.items() if n != "us1"}, "gradcam")
    two = {name: value.repeat(2, *[1] * (value.ndim - 1)) for name, value in given.items()}
    with pytest.raises(ValueError, match="one case"):
        predict_with_maps(model, two, "gradcam")
    with pytest.raises(ValueError, match="evaluation mode"):
        predict_with_maps(model.train(), given, "gradcam")
    with pytest.raises(ValueError, match="method"):
        predict_with_maps(model.eval(), given, "rollout")  # type: ignore[arg-type]
