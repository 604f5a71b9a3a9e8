"""Any network from its plain description."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from breastpredict.models.network import check_network, system_of
from breastpredict.models.pcr_network import COMPARATORS
from breastpredict.models.se_crosst import PcrNetwork
from breastpredict.models.vit import build_vit


def build_network(network: Mapping[str, Any]) -> nn.Module:
    """A network with random weights (see ``initialise``), in training mode.

    A ViT takes ``image [N, C, S, S]``; a network for pCR its ``inputs`` by keyword (see
    ``PcrNetwork``). Both give logits ``[N, 1]``.

    Args:
        network: see ``VIT_TINY`` and ``SE_CROSST_T``.

    Raises:
        InputError: the description is not one of a network we can build.
    """
    network = check_network(network)
    return PcrNetwork(network) if system_of(network) == "pcr" else build_vit(**network)


def build_to_load(network: Mapping[str, Any]) -> nn.Module:
    """The same for weights that are loaded next with ``assign=True``.

    Where it can be, it is built without storage: drawing random weights only to replace them takes
    longer than a prediction. Some of timm's networks hold tensors that no weights file has.

    Raises:
        InputError: see ``build_network``.
    """
    network = check_network(network)
    if network["architecture"] in COMPARATORS:
        return PcrNetwork(network)
    with torch.device("meta"):
        if system_of(network) == "pcr":
            return PcrNetwork(network)
        return build_vit(weight_init="skip", **network)
