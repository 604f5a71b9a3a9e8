"""What training does to the parts of a network, whichever transformer it is."""

from __future__ import annotations

import torch
from timm.layers.drop import DropPath
from timm.layers.patch_embed import PatchEmbed
from torch import nn
from torch.optim.swa_utils import AveragedModel

from breastpredict.learning.config import TrainConfig


def set_regularisation(model: nn.Module, dropout: float, drop_path: float) -> None:
    """Set dropout everywhere and stochastic depth rising linearly over the blocks of timm's kind.

    SE-CrossT's own description states its stochastic depth, which stays.

    Only training mode is affected; the weights and their names stay as they are.
    """
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = dropout
    blocks = [module for module in model.modules() if hasattr(module, "drop_path1")]
    for index, block in enumerate(blocks):
        rate = drop_path * (index + 1) / len(blocks)
        for name in ("drop_path1", "drop_path2"):
            setattr(block, name, DropPath(rate) if rate > 0 else nn.Identity())


def xavier_initialise(model: nn.Module) -> None:
    """Random weights for learning from scratch: Xavier uniform, as the ViT paper's own code has it.

    timm's default (normal, deviation 0.02) is made for wide networks; at a width of 96 it is five
    times too small and the training rests on a plateau for long. Query, key and value are three
    matrices in one, the last layer starts at zero.
    """
    layers = [module for module in model.modules() if isinstance(module, nn.Linear)]
    for layer in layers:
        outputs = layer.out_features
        if outputs == 3 * layer.in_features:
            outputs = layer.in_features
        bound = (6.0 / (layer.in_features + outputs)) ** 0.5
        nn.init.uniform_(layer.weight, -bound, bound)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
    nn.init.zeros_(layers[-1].weight)


def shift_logit(model: nn.Module, shift: float) -> None:
    """Add ``shift`` to the logit: to the bias of the last linear layer."""
    last = [module for module in model.modules() if isinstance(module, nn.Linear)][-1]
    if last.out_features != 1 or last.bias is None:
        raise TypeError("the network must end in a linear layer with one output and a bias")
    with torch.no_grad():
        last.bias.add_(shift)


def optimizer_of(model: nn.Module, config: TrainConfig) -> torch.optim.Optimizer:
    """AdamW (Loshchilov & Hutter 2019), or Adam (Kingma & Ba 2015) at the same decay for all.

    With AdamW biases, norms, positions and the patch embedding of a ViT are not decayed.
    """
    trained = [p for p in model.parameters() if p.requires_grad]
    kernels = {id(m.weight) for m in model.modules() if isinstance(m, nn.Conv2d)}
    kernels -= {id(p) for m in model.modules() if isinstance(m, PatchEmbed) for p in m.parameters()}
    decayed = {id(p) for p in trained if p.ndim == 2 or id(p) in kernels}
    head = head_of(model) if config.head_rate != 1 else set()
    every = config.optimizer == "adam"
    groups = []
    for rate, part in ((1.0, False), (config.head_rate, True)):
        members = [p for p in trained if (id(p) in head) == part]
        for decay in (True, False):
            chosen = [p for p in members if (every or id(p) in decayed) == decay]
            if chosen:
                weight_decay = config.weight_decay if decay else 0.0
                groups.append(
                    {
                        "params": chosen,
                        "weight_decay": weight_decay,
                        "lr": config.learning_rate * rate,
                    }
                )
    kind = torch.optim.Adam if every else torch.optim.AdamW
    return kind(groups, lr=config.learning_rate)


def head_of(model: nn.Module) -> set[int]:
    """``id`` of each weight between the encoders' vectors and the logit."""
    return {
        id(parameter)
        for name, parameter in model.named_parameters()
        if name.startswith(("head.", "classifier.")) or ".project." in name
    }


def averaged(model: nn.Module, decay: float) -> AveragedModel:
    """Exponential moving average of the weights, with a short memory in the first steps."""

    def average(old: torch.Tensor, new: torch.Tensor, count: torch.Tensor | int) -> torch.Tensor:
        keep = min(decay, (1 + int(count)) / (10 + int(count)))
        return torch.lerp(new, old, keep)

    return AveragedModel(model, avg_fn=average)
