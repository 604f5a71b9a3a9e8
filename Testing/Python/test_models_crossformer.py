"""The image encoder of SE-CrossT: what it computes, against a slow one, and how large it is."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

import naive_crossformer  # noqa: E402
from torch.utils.flop_counter import FlopCounterMode  # noqa: E402

from breastpredict.models import (  # noqa: E402
    SE_CROSST_REDUCED,
    SE_CROSST_STOCK,
    SE_CROSST_T,
    describe,
)
from breastpredict.models.crossformer import (  # noqa: E402
    CrossFormer,
    group_tokens,
    ungroup_tokens,
)

pytestmark = pytest.mark.usefixtures("one_thread")

SMALL = {
    **SE_CROSST_REDUCED,
    "dims": [16, 16, 24, 32],
    "heads": [2, 2, 3, 4],
    "depths": [2, 2, 2, 1],
}
SHAPES = {
    "groups fill the map": {},
    "short and long attention are padded": {"group": 7, "intervals": [2, 1, 1, 1]},
    "some groups are padding alone": {"group": 5, "intervals": [3, 2, 1, 1]},
    "several long windows": {"group": 2, "intervals": [4, 2, 2, 1]},
    "without excitation or positions": {"se_ratio": 0, "position_embedding": False},
}


def encoder(seed: int = 0, **changes: Any) -> Any:
    """A small one in double precision whose every part has an influence."""
    torch.manual_seed(seed)
    model = CrossFormer({**SMALL, **changes}).double().eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.add_(torch.randn_like(parameter) * (0.5 if ".bias." in name else 0.1))
    return model


def images(count: int = 2, size: int = 64) -> Any:
    generator = torch.Generator().manual_seed(1)
    return torch.rand((count, 3, size, size), generator=generator).double() * 2 - 1


# --- What it computes ---


@pytest.mark.parametrize("changes", SHAPES.values(), ids=SHAPES)
def test_values_and_gradients_are_those_of_the_slow_encoder(changes: Mapping[str, Any]) -> None:
    model = encoder(**changes)
    probe = torch.randn(2, model.width, generator=torch.Generator().manual_seed(2)).double()
    x = images().requires_grad_()
    ours = model(x)
    names, parameters = zip(*model.named_parameters(), strict=True)
    our_gradients = torch.autograd.grad((ours * probe).sum(), [x, *parameters])

    state = {name: p.detach().clone().requires_grad_() for name, p in model.named_parameters()}
    y = images().requires_grad_()
    slow = naive_crossformer.encode(y, state, {**SMALL, **changes})
    gradients = torch.autograd.grad((slow * probe).sum(), [y, *(state[name] for name in names)])

    torch.testing.assert_close(ours, slow, rtol=1e-9, atol=1e-9)
    for name, found, wanted in zip(("image", *names), our_gradients, gradients, strict=True):
        # It would be no comparison; but a bias that is the same for all keys has no influence.
        assert wanted.abs().max() > 1e-9 or ".bias.rest." in name, name
        torch.testing.assert_close(found, wanted, rtol=1e-7, atol=1e-9, msg=name)


@pytest.mark.parametrize("changes", SHAPES.values(), ids=SHAPES)
def test_single_precision_prediction_agrees_to_five_digits(changes: Mapping[str, Any]) -> None:
    model = encoder(**changes)
    wanted = naive_crossformer.encode(images(), model.state_dict(), {**SMALL, **changes})
    with torch.inference_mode():
        found = model.float()(images().float())
    torch.testing.assert_close(found.double(), wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("changes", SHAPES.values(), ids=SHAPES)
def test_a_batch_equals_its_images_one_by_one(changes: Mapping[str, Any]) -> None:
    model = encoder(**changes)
    with torch.no_grad():
        batch = model(images(3))
        single = torch.cat([model(image[None]) for image in images(3)])
    torch.testing.assert_close(batch, single, rtol=0, atol=1e-12)
    assert (batch[0] - batch[1]).abs().max() > 1e-3


@settings(deadline=None, max_examples=50)
@given(st.integers(1, 5), st.integers(1, 4), st.integers(1, 3))
def test_grouping_holds_every_token_once_and_is_undone(
    group: int, interval: int, windows: int
) -> None:
    side = group * interval * windows
    x = torch.arange(2 * side * side).view(2, side, side, 1)
    grouped = group_tokens(x, group, interval)
    wanted = [
        [row * side + column for row, column in tokens]
        for tokens in naive_crossformer.groups(side, group, interval)
    ]
    assert sorted(grouped[0, :, :, 0].tolist()) == sorted(wanted)
    assert torch.equal(ungroup_tokens(grouped, side, group, interval), x)


def test_long_attention_spans_the_map_where_short_attention_does_not() -> None:
    stage = encoder().stages[0]
    tokens = torch.randn(1, 16, 16, 16, dtype=torch.float64, requires_grad=True)
    reached = []
    for block in stage.blocks:  # the token at row 1, column 2
        [gradient] = torch.autograd.grad(block(tokens)[0, 1, 2].square().sum(), tokens)
        places = gradient[0].abs().sum(dim=-1).nonzero().tolist()
        reached.append([tuple(place) for place in places])
    assert reached[0] == [(row, column) for row in range(4) for column in range(4)]
    assert reached[1] == [(r, c) for r in (1, 5, 9, 13) for c in (2, 6, 10, 14)]


def test_gradients_reach_every_parameter() -> None:
    torch.manual_seed(0)
    model = CrossFormer(SE_CROSST_REDUCED)
    (model(images(4).float()) * torch.randn(model.width)).sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().max() > 0, name


def test_without_excitation_it_is_the_network_whose_gates_are_open() -> None:
    model = encoder()
    without = encoder(seed=1, se_ratio=0)
    state = model.state_dict()
    for key, value in state.items():
        if "excitation.fc2.weight" in key:
            value.zero_()
        elif "excitation.fc2.bias" in key:
            value.fill_(100)  # sigmoid gives 1
    without.load_state_dict({k: v for k, v in state.items() if "excitation" not in k})
    assert not any("excitation" in key for key in without.state_dict())
    with torch.no_grad():
        torch.testing.assert_close(without(images()), model(images()), rtol=0, atol=1e-12)
        assert (encoder()(images()) - without(images())).abs().max() > 1e-3


def test_it_starts_from_small_normal_weights_and_no_bias() -> None:
    torch.manual_seed(0)
    model = CrossFormer({**SMALL, "dims": [64, 64, 64, 64]})
    assert 0.019 < model.stages[2].blocks[0].mlp.fc1.weight.std().item() < 0.021
    assert 0.019 < model.stages[0].positions.std().item() < 0.021
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            assert not parameter.any(), name


# --- The position bias is made once ---


class Calls:
    """How often the network behind the position bias of the first block ran."""

    def __init__(self, model: Any) -> None:
        self.count = 0
        model.stages[0].blocks[0].attention.bias.first.register_forward_hook(self._add)

    def _add(self, *_: Any) -> None:
        self.count += 1


def test_prediction_makes_the_bias_once_and_training_every_time() -> None:
    model = encoder()
    calls = Calls(model)
    with torch.inference_mode():
        first = model(images())
        assert torch.equal(model(images()), first)
    assert calls.count == 1
    model.train()
    for _ in range(2):
        model(images())
    assert calls.count == 3


@pytest.mark.parametrize("how", ["loaded", "assigned", "stepped", "trained", "copied", "converted"])
def test_a_kept_bias_never_outlives_the_weights_it_was_made_of(how: str) -> None:
    model, other = encoder(), encoder(seed=5)
    with torch.inference_mode():
        model(images())
    if how in ("loaded", "assigned"):
        state = {key: value.clone() for key, value in other.state_dict().items()}
        model.load_state_dict(state, assign=how == "assigned")
    elif how in ("stepped", "trained"):
        if how == "trained":
            model.train()
        with torch.no_grad():
            for own, new in zip(model.parameters(), other.parameters(), strict=True):
                (own.data if how == "trained" else own).copy_(new)
        if how == "trained":
            model.eval()
    elif how == "copied":
        model = copy.deepcopy(model)
        model.load_state_dict(other.state_dict())
    with torch.inference_mode():
        if how == "converted":
            found, wanted = model.float()(images().float()), encoder().float()(images().float())
        else:
            found, wanted = model(images()), other(images())
    torch.testing.assert_close(found, wanted, rtol=0, atol=0)


def test_a_network_that_has_predicted_can_still_be_trained() -> None:
    model = encoder(group=7, intervals=[2, 1, 1, 1])
    with torch.inference_mode():
        model(images())
    model.train()
    model(images()).sum().backward()
    model.eval()
    model(images()).sum().backward()  # gradients flow in evaluation mode as well


# --- How large it is ---


def parameters(network: Mapping[str, Any]) -> int:
    with torch.device("meta"):
        return sum(p.numel() for p in CrossFormer(network).parameters())


def test_the_published_encoder_has_its_published_number_of_parameters() -> None:
    head = 512 * 8 + 8
    assert parameters(SE_CROSST_STOCK) + head == 27_267_898


def test_our_encoder_has_the_parameters_of_the_reference_table() -> None:
    without_positions = {**SE_CROSST_T, "position_embedding": False}
    assert parameters(without_positions) == 27_267_898 - (512 * 8 + 8) + 44_540
    assert parameters(SE_CROSST_T) - parameters(without_positions) == 128 * 128 * 64


def test_every_stage_has_the_sizes_of_the_reference_table() -> None:
    rows = describe(SE_CROSST_T)["stages"]
    assert [(*row["map"], row["channels"]) for row in rows] == [
        (128, 128, 64),
        (64, 64, 128),
        (32, 32, 256),
        (16, 16, 512),
    ]
    assert [(row["blocks"], row["heads"]) for row in rows] == [(1, 2), (1, 4), (8, 8), (6, 16)]
    assert [(row["group"], row["interval"]) for row in rows] == [(8, 16), (8, 8), (8, 4), (8, 2)]
    assert all(row["padded_to"] == [row["map"][0]] * row["blocks"] for row in rows)
    counts = [row["parameters"] for row in rows]
    assert [row["se"] for row in counts] == [580, 2_184, 8_464, 33_312]
    assert [round(row["cel"] / 1e3, 1) for row in counts] == [35.5, 82.2, 328.2, 1311.7]
    assert [round(row["blocks"] / 1e6, 2) for row in counts] == [0.05, 0.20, 6.32, 18.93]
    macs = [
        [round(row["macs"][k] / 1e9, 2) for k in ("cel", "linear", "attention")] for row in rows
    ]
    assert macs == [[0.58, 0.81, 0.13], [0.34, 0.81, 0.07], [0.34, 6.44, 0.27], [0.34, 4.83, 0.10]]


@pytest.mark.parametrize("network", [SE_CROSST_T, SE_CROSST_STOCK], ids=["ours", "stock"])
def test_the_stages_hold_all_parameters_and_all_multiplications(network: dict[str, Any]) -> None:
    found = describe(network)
    rows = found["stages"]
    end = 2 * network["dims"][-1]
    counted = sum(sum(row["parameters"].values()) for row in rows) + end
    assert counted == found["encoder"]["parameters"] == parameters(network)

    counter = FlopCounterMode(display=False)
    with torch.device("meta"), counter, torch.no_grad():
        CrossFormer(network).eval()(torch.zeros(1, 3, 512, 512))
    small = 0  # what the table leaves out
    for row in rows:
        if network["se_ratio"]:
            small += 2 * row["channels"] ** 2 // network["se_ratio"]
        hidden = row["channels"] // 16
        pairs = (2 * row["group"] - 1) ** 2
        small += row["blocks"] * pairs * hidden * (2 + 2 * hidden + row["heads"])
    assert counter.get_total_flops() == 2 * (found["encoder"]["macs"] + small)


def test_padding_costs_attention_and_nothing_else() -> None:
    ours, stock = (describe(network)["stages"] for network in (SE_CROSST_T, SE_CROSST_STOCK))
    assert [row["padded_to"][:2] for row in stock] == [[133], [70], [35, 42], [21, 21]]
    for one, other in zip(ours, stock, strict=True):
        assert one["macs"]["linear"] == other["macs"]["linear"]
        assert one["macs"]["cel"] == other["macs"]["cel"]


def test_a_described_network_says_its_whole_size() -> None:
    found = describe(SE_CROSST_T)
    assert found["encodings"] == 12
    assert round(found["parameters"] / 1e6, 1) == 85.1
    assert round(found["macs"] / 1e9) == 181
