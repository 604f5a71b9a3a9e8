"""Maps of a ViT: equal to an independent implementation, and true of what a trained network uses.

The trained network looks for a chequered square among plain squares that are as bright. It learns
this with the early blocks' attention starting at zero, so that its class token has to find the
lesion in the last layer: without that, about half of such networks decide in an earlier layer and
look elsewhere in the last, which an attention map rightly shows. It is trained until it answers
rightly and no longer: on some seeds the evidence map gets worse when the loss is driven to zero.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from scipy.stats import spearmanr

torch = pytest.importorskip("torch")

from breastpredict.learning.network_parts import xavier_initialise  # noqa: E402
from breastpredict.models import (  # noqa: E402
    METHODS,
    VIT_REDUCED,
    VIT_TINY,
    build_vit,
    predict_with_map,
)

pytestmark = pytest.mark.usefixtures("one_thread")

SIZE = VIT_REDUCED["image_size"]
PATCH = VIT_REDUCED["patch_size"]
LESION = 2 * PATCH
AREA = LESION**2 / SIZE**2
BACKGROUND, BRIGHT = -0.5, 0.5
TOP_LEFT, TOP_RIGHT, BOTTOM_LEFT, BOTTOM_RIGHT = (
    (row, column) for row in (0, SIZE - LESION) for column in (0, SIZE - LESION)
)
Floats = NDArray[np.float64]
Place = tuple[int, int]


# --- Networks and images ---


def random_network(seed: int = 0, **network: Any) -> Any:
    """A ViT whose attention and head are far from uniform; as built, both nearly are."""
    torch.manual_seed(seed)
    model = build_vit(**network).eval()
    with torch.no_grad():
        for block in model.blocks:
            block.attn.qkv.weight.normal_(0, 1.5 * network["width"] ** -0.5)
        model.head.weight.normal_(0, 0.5)
    return model


def random_image(network: dict[str, Any], seed: int = 0) -> Any:
    shape = (1, network["in_channels"], network["image_size"], network["image_size"])
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def picture(
    rng: np.random.Generator, lesion: bool, at: Place | None = None
) -> tuple[Any, NDArray[np.bool_]]:
    """Noise, one to three plain bright squares and, at ``at`` or anywhere, perhaps the lesion.

    Returns:
        The image [1, size, size] and where the lesion is or would have been.
    """
    steps = (SIZE - LESION) // PATCH + 1
    places = [at] if at else []
    wanted = 1 + rng.integers(1, 4)
    while len(places) < wanted:
        row, column = rng.integers(0, steps, 2) * PATCH
        if all(max(abs(row - r), abs(column - c)) >= LESION for r, c in places):
            places.append((int(row), int(column)))
    image = rng.normal(BACKGROUND, 0.1, (SIZE, SIZE))
    for number, (row, column) in enumerate(places):
        square = np.full((LESION, LESION), BRIGHT)
        if number == 0 and lesion:
            j, i = np.mgrid[:LESION, :LESION]
            square += 0.4 * np.where((j // 2 + i // 2) % 2, 1, -1)
        if number or lesion:
            square += rng.normal(0, 0.05, square.shape)
            image[row : row + LESION, column : column + LESION] = square
    inside = np.zeros((SIZE, SIZE), bool)
    row, column = places[0]
    inside[row : row + LESION, column : column + LESION] = True
    return torch.from_numpy(image.clip(-1, 1).astype(np.float32))[None], inside


def train_on_lesions(seed: int = 13, steps: int = 50) -> Any:
    """VIT_REDUCED, trained from scratch on fresh pictures; half of them have the lesion."""
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    model = build_vit(**VIT_REDUCED)
    xavier_initialise(model)
    for block in list(model.blocks)[:-1]:
        torch.nn.init.zeros_(block.attn.proj.weight)
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 1e-3, total_steps=steps)
    labels = torch.arange(32) % 2
    for _ in range(steps):
        images = torch.stack([picture(rng, bool(label))[0] for label in labels])
        loss = torch.nn.functional.binary_cross_entropy_with_logits(
            model(images)[:, 0], labels.float()
        )
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    return model.eval()


@pytest.fixture(scope="module")
def trained() -> Any:
    """The network that finds the lesion; never changed by a test."""
    return train_on_lesions()


@pytest.fixture(scope="module")
def lesions() -> list[tuple[Any, NDArray[np.bool_]]]:
    """Pictures with a lesion that the network has not seen."""
    rng = np.random.default_rng(1000)
    return [picture(rng, lesion=True) for _ in range(32)]


def map_of(model: Any, image: Any, method: Any) -> Floats:
    found = predict_with_map(model, image[None], method).map
    assert found is not None
    return found.astype(float)


# --- The oracle: timm's own unfused attention, in double precision, seen through hooks ---


@pytest.fixture(params=["reduced", "tiny"])
def network(request: pytest.FixtureRequest) -> dict[str, Any]:
    return {"reduced": VIT_REDUCED, "tiny": VIT_TINY}[request.param]


def layers_of(model: Any, x: Any) -> tuple[float, list[Floats], list[Floats]]:
    """The logit, and each layer's attention and its gradient, [heads, tokens, tokens]."""
    model = copy.deepcopy(model).double()
    kept: list[Any] = []

    def keep(module: Any, arguments: Any, output: Any) -> None:
        output.retain_grad()
        kept.append(output)

    for block in model.blocks:
        block.attn.fused_attn = False
        block.attn.attn_drop.register_forward_hook(keep)
    logit = model(x.double())
    logit.sum().backward()
    gradients = [layer.grad[0].numpy() for layer in kept]
    return logit.item(), [layer[0].detach().numpy() for layer in kept], gradients


def by_attention(attention: list[Floats], gradients: list[Floats]) -> Floats:
    return attention[-1].mean(0)[0, 1:]


def by_rollout(attention: list[Floats], gradients: list[Floats]) -> Floats:
    """Abnar & Zuidema 2020: the residual connection is half of every layer."""
    joint: Floats = np.eye(attention[0].shape[-1])
    for layer in attention:
        joint = (layer.mean(0) + np.eye(len(joint))) / 2 @ joint
    return joint[0, 1:]


def by_relevance(attention: list[Floats], gradients: list[Floats]) -> Floats:
    """Chefer et al. 2021, equations 5 and 6."""
    relevance: Floats = np.eye(attention[0].shape[-1])
    for layer, gradient in zip(attention, gradients, strict=True):
        relevance += np.maximum(gradient * layer, 0).mean(0) @ relevance
    return relevance[0, 1:]


def on_pixels(patches: Floats, size: int) -> Floats:
    """Patches row by row from the top left, enlarged bilinearly by another library."""
    side = round(len(patches) ** 0.5)
    small = Image.fromarray(patches.reshape(side, side).astype(np.float32))
    return np.asarray(small.resize((size, size), Image.Resampling.BILINEAR), dtype=float)


@pytest.mark.parametrize(
    ("method", "oracle"),
    [("attention", by_attention), ("rollout", by_rollout), ("evidence", by_relevance)],
)
def test_a_map_equals_an_independent_implementation(
    network: dict[str, Any], method: Any, oracle: Callable[..., Floats]
) -> None:
    for seed in range(2):
        model, x = random_network(seed, **network), random_image(network, seed)
        logit, attention, gradients = layers_of(model, x)
        wanted = on_pixels(oracle(attention, gradients), network["image_size"])
        result = predict_with_map(model, x, method)
        assert result.map is not None
        assert result.map.dtype == np.float32 and result.map.shape == wanted.shape
        assert wanted.max() > 1.5 * wanted.mean()  # a flat map would be no test
        np.testing.assert_allclose(result.map, wanted, rtol=1e-3, atol=1e-4 * wanted.max())
        assert result.logit == pytest.approx(logit, abs=1e-4)


def test_the_logit_is_the_networks(network: dict[str, Any]) -> None:
    model, x = random_network(**network), random_image(network)
    with torch.inference_mode():
        logit = model(x).item()
    assert abs(logit) > 1e-3
    for method in (None, "attention", "rollout"):
        assert predict_with_map(model, x, method).logit == logit
    assert predict_with_map(model, x, "evidence").logit == pytest.approx(logit, abs=1e-5)


def test_a_map_says_whether_it_depends_on_the_class() -> None:
    model, x = random_network(**VIT_REDUCED), random_image(VIT_REDUCED)
    results = {method: predict_with_map(model, x, method) for method in METHODS}
    assert {m: r.class_agnostic for m, r in results.items()} == {
        "attention": True,
        "rollout": True,
        "evidence": False,
    }
    for method in ("attention", "rollout"):
        assert "class-agnostic" in results[method].label
    assert predict_with_map(model, x, None).map is None


# --- Randomisation (Adebayo et al. 2018) ---


def redrawn(model: Any, seed: int, blocks: bool) -> Any:
    """The network with another head and, if asked, with all blocks drawn anew."""
    model = copy.deepcopy(model)
    torch.manual_seed(seed)
    with torch.no_grad():
        model.head.weight.normal_(0, float(model.head.weight.std()))
    if blocks:
        for module in model.blocks.modules():
            if isinstance(module, torch.nn.Linear):
                torch.nn.init.xavier_uniform_(module.weight)
                torch.nn.init.zeros_(module.bias)
    return model


@pytest.mark.parametrize("blocks", [False, True], ids=["head", "head and all blocks"])
def test_the_evidence_map_changes_with_what_the_network_has_learnt(
    trained: Any, lesions: list[Any], blocks: bool
) -> None:
    images = [image for image, _ in lesions[:6]]
    learnt = [map_of(trained, image, "evidence").ravel() for image in images]
    correlations = []
    for seed in range(6):
        other = redrawn(trained, seed, blocks)
        for image, wanted in zip(images, learnt, strict=True):
            found = map_of(other, image, "evidence").ravel()
            correlations.append(spearmanr(wanted, found).statistic)
    assert abs(np.mean(correlations)) < 0.5


@pytest.mark.parametrize("method", ["attention", "rollout"])
def test_a_class_agnostic_map_is_the_same_under_another_head(
    trained: Any, lesions: list[Any], method: str
) -> None:
    other = redrawn(trained, 0, blocks=False)
    for image, _ in lesions[:4]:
        one, two = (predict_with_map(model, image[None], method) for model in (trained, other))
        assert one.logit != two.logit
        np.testing.assert_array_equal(one.map, two.map)


# --- What the trained network looks at is known ---


def test_the_network_has_learnt_the_lesion(trained: Any) -> None:
    rng = np.random.default_rng(2000)
    labels = np.arange(200) % 2
    images = torch.stack([picture(rng, bool(label))[0] for label in labels])
    with torch.inference_mode():
        found = trained(images)[:, 0].numpy() > 0
    assert (found == labels).mean() > 0.95


@pytest.mark.parametrize("method", ["attention", "evidence"])
def test_a_map_points_at_the_planted_lesion(trained: Any, lesions: list[Any], method: str) -> None:
    hits, energies = [], []
    for image, inside in lesions:
        found = map_of(trained, image, method)
        hits.append(inside.flat[found.argmax()])
        energies.append(found[inside].sum() / found.sum())
    assert np.mean(hits) >= 0.8
    assert np.mean(energies) >= 3 * AREA


def insertion_area(model: Any, image: Any, order: NDArray[np.intp]) -> float:
    """Mean score while patches appear, four at a time in this order, on an empty background."""
    steps = len(order) // 4
    shown = torch.full((steps + 1, SIZE, SIZE), BACKGROUND)
    for number, patch in enumerate(order):
        row, column = (int(v) * PATCH for v in divmod(patch, SIZE // PATCH))
        window = np.s_[row : row + PATCH, column : column + PATCH]
        shown[(slice(number // 4 + 1, None), *window)] = image[0][window]
    with torch.inference_mode():
        return float(torch.sigmoid(model(shown[:, None])).mean())


@pytest.mark.parametrize("method", ["attention", "evidence"])
def test_showing_the_highest_patches_first_raises_the_score_sooner_than_chance(
    trained: Any, lesions: list[Any], method: str
) -> None:
    rng = np.random.default_rng(0)
    side = SIZE // PATCH
    by_map, by_chance = [], []
    for image, _ in lesions[:16]:
        patches = map_of(trained, image, method).reshape(side, PATCH, side, PATCH).mean((1, 3))
        by_map.append(insertion_area(trained, image, np.argsort(-patches.ravel())))
        by_chance.append(insertion_area(trained, image, rng.permutation(side * side)))
    assert np.mean(by_map) > np.mean(by_chance) + 0.05


# --- Orientation ---


@pytest.mark.parametrize("method", ["attention", "evidence"])
@pytest.mark.parametrize(
    "corner",
    [TOP_LEFT, TOP_RIGHT, BOTTOM_LEFT, BOTTOM_RIGHT],
    ids=["top left", "top right", "bottom left", "bottom right"],
)
def test_a_lesion_in_a_corner_is_highest_in_that_corner(
    trained: Any, method: str, corner: Place
) -> None:
    rng = np.random.default_rng(3000)
    mean = np.mean(
        [map_of(trained, picture(rng, True, corner)[0], method) for _ in range(8)], axis=0
    )
    row, column = np.unravel_index(mean.argmax(), mean.shape)
    assert corner[0] <= row < corner[0] + LESION
    assert corner[1] <= column < corner[1] + LESION


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("axis", [-1, -2], ids=["left and right", "up and down"])
def test_a_flipped_image_gives_the_flipped_map(method: str, axis: int) -> None:
    """Exact where the network treats both sides alike, as it is made to do here for one axis."""
    model = random_network(**VIT_REDUCED)
    side = SIZE // PATCH
    with torch.no_grad():
        kernel = model.patch_embed.proj.weight
        kernel.copy_((kernel + kernel.flip(axis)) / 2)
        patches = model.pos_embed[:, 1:].reshape(side, side, -1)
        model.pos_embed[:, 1:] = ((patches + patches.flip(axis - 1)) / 2).reshape(side**2, -1)
    image = random_image(VIT_REDUCED)[0]
    wanted = np.flip(map_of(model, image, method), axis)
    found = map_of(model, image.flip(axis), method)
    assert not np.allclose(wanted, np.flip(wanted, axis), rtol=0.1)  # else nothing is shown
    np.testing.assert_allclose(found, wanted, rtol=1e-3, atol=1e-5)


# --- Odd input, and the network left as it was ---


@pytest.mark.parametrize("value", [-1.0, 0.0, 1.0])
@pytest.mark.parametrize("method", METHODS)
def test_a_constant_image_gives_finite_numbers(trained: Any, method: str, value: float) -> None:
    result = predict_with_map(trained, torch.full((1, 1, SIZE, SIZE), value), method)  # type: ignore[arg-type]
    assert np.isfinite(result.logit)
    assert result.map is not None and np.isfinite(result.map).all() and result.map.min() >= 0


@pytest.mark.parametrize("shape", [(2, 1, SIZE, SIZE), (1, SIZE, SIZE)])
def test_more_than_one_image_is_refused(trained: Any, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="one image"):
        predict_with_map(trained, torch.zeros(shape))


def test_an_unknown_method_is_refused(trained: Any) -> None:
    with pytest.raises(ValueError, match="attention"):
        predict_with_map(trained, torch.zeros(1, 1, SIZE, SIZE), "gradcam")  # type: ignore[arg-type]


def fingerprint(model: Any) -> Iterator[Any]:
    """All that a map may change about a network, weights apart."""
    for module in model.modules():
        yield sorted(vars(module))  # a replaced forward shows here
        yield len(module._forward_hooks), len(module._forward_pre_hooks), module.training
    for parameter in model.parameters():
        yield parameter.requires_grad, parameter.grad is None


def some_frozen() -> Any:
    model = random_network(**VIT_REDUCED)
    model.patch_embed.requires_grad_(False)
    return model


@pytest.mark.parametrize("method", METHODS)
def test_a_map_leaves_the_network_as_it_was(method: Any) -> None:
    model, x = some_frozen(), random_image(VIT_REDUCED)
    before, weights = list(fingerprint(model)), copy.deepcopy(model.state_dict())
    logit = model(x).item()
    predict_with_map(model, x, method)
    assert list(fingerprint(model)) == before
    assert all(torch.equal(value, weights[key]) for key, value in model.state_dict().items())
    assert model(x).item() == logit and torch.is_grad_enabled()


@pytest.mark.parametrize("method", METHODS)
def test_a_map_that_fails_leaves_the_network_as_it_was(method: Any) -> None:
    model, x = some_frozen(), random_image(VIT_REDUCED)

    def fail(*_: Any) -> None:
        raise RuntimeError("out of memory")

    handle = model.head.register_forward_pre_hook(fail)
    before = list(fingerprint(model))
    with pytest.raises(RuntimeError, match="out of memory"):
        predict_with_map(model, x, method)
    assert list(fingerprint(model)) == before and torch.is_grad_enabled()
    handle.remove()
    wanted = predict_with_map(some_frozen(), x, method)
    found = predict_with_map(model, x, method)
    assert found.logit == wanted.logit
    np.testing.assert_array_equal(found.map, wanted.map)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_an_evidence_map_can_be_had_where_gradients_are_off(mode: Any) -> None:
    model, x = random_network(**VIT_REDUCED), random_image(VIT_REDUCED)
    wanted = predict_with_map(model, x, "evidence").map
    with mode():
        found = predict_with_map(model, x.clone(), "evidence").map
        assert not torch.is_grad_enabled()
    np.testing.assert_array_equal(found, wanted)
