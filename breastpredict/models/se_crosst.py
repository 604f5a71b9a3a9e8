"""The pCR network: Patho-Ult Net, Dou-Ult Net and the head (papers/pcr_se_crosst.txt, Fig. 7).

Where the paper is open, this reading is taken; each can be changed by the description:

- Patho-Ult Net has an encoder for each modality; the nine patches' vectors are averaged, joined
  to US-0's, and projected to 8 with GELU.
- Dou-Ult Net has one encoder for both times ("position sharing": one position embedding too), and
  a learned embedding of the time. "Low-level feature sharing": after the first two stages
  f0 += W[f0; f1] and f1 += W[f1; f0], both from the values before; W starts at zero, so that the
  exchange is learnt from none. Both means are joined and projected to 8 with GELU.
- The head is one linear layer over 8 + 8 + the clinical variables, and gives one logit. With
  ``head_norm`` the joined vectors and the clinical variables are normalised over the training
  cases (batch normalisation, Ioffe & Szegedy 2015, without scale and shift): not in the paper, see
  ``SE_CROSST_REDUCED``.
- A variant without a modality has neither its encoder nor its place in the head. It is a network
  of its own; nothing is ever replaced by zeros.

A comparator (see ``comparators``) has the same frame with another encoder and no sharing inside it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import torch
from torch import nn

from breastpredict.errors import InputError
from breastpredict.models.crossformer import CrossFormer
from breastpredict.models.network import input_shapes
from breastpredict.models.pcr_network import SE_CROSST, check_pcr_network, pathways


class Encoder(Protocol):
    """What turns an image into a vector, by way of a map of features."""

    width: int

    def maps(self, images: torch.Tensor) -> torch.Tensor:
        """``[N, 3, S, S]`` → ``[N, channels, rows, columns]``."""

    def pool(self, maps: torch.Tensor) -> torch.Tensor:
        """The map → ``[N, width]``."""


class PcrNetwork(nn.Module):
    """Images and clinical variables to the logit of pCR.

    Called by keyword with exactly the inputs in ``inputs``: ``pathology [B, 9, 3, S, S]``,
    ``us0`` and ``us1 [B, 3, S, S]`` float32 in [-1, 1], ``clinical [B, K]`` in [0, 1];
    returns ``[B, 1]``.

    The nine patches are averaged, so their order has no influence: a permutation of the patches
    gives the same logit (up to rounding), and permutes the maps that explain it.

    Args:
        network: see ``SE_CROSST_T`` and ``PCR_PRESETS``.

    Raises:
        InputError: not a description of a pCR network; when called, inputs that are missing, not
            asked for, or of another shape.
    """

    def __init__(self, network: Mapping[str, Any]) -> None:
        super().__init__()
        self.network = check_pcr_network(network)
        self.shapes = input_shapes(self.network)
        self.inputs = tuple(self.shapes)
        ways = pathways(self.network["modalities"])
        features, normalised = self.network["features"], self.network["head_norm"]
        ours = self.network["architecture"] == SE_CROSST
        self.patho_ult: Pathway | None = None
        self.dou_ult: Pathway | None = None
        if "patho_ult" in ways:
            encoders = {name: _encoder(self.network) for name in ways["patho_ult"]}
            self.patho_ult = Pathway(nn.ModuleDict(encoders), features, normalised)
        if "dou_ult" in ways:
            encoder = _encoder(self.network)
            pair = CoherentPair(encoder, self.network["share_after"]) if ours else Pair(encoder)
            self.dou_ult = Pathway(pair, features, normalised)
        known = len(self.network["clinical"])
        self.clinical_norm = CaseNorm(known) if normalised and known else nn.Identity()
        self.classifier = nn.Linear(features * len(ways) + known, 1)
        nn.init.trunc_normal_(self.classifier.weight, std=0.02)
        nn.init.zeros_(self.classifier.bias)

    def forward(self, **inputs: torch.Tensor) -> torch.Tensor:
        """See the class."""
        self.check(inputs)
        encodings = self.encode(self.feature_maps(inputs))
        return self.classify(encodings, inputs.get("clinical"))

    def check(self, inputs: Mapping[str, torch.Tensor]) -> None:
        """Whether these are the inputs of this network.

        Raises:
            InputError: they are not.
        """
        missing = [name for name in self.inputs if name not in inputs]
        extra = [name for name in inputs if name not in self.inputs]
        if missing or extra:
            wrong = [f"{', '.join(missing)} missing"] if missing else []
            wrong += [f"{', '.join(extra)} not asked for"] if extra else []
            raise InputError(
                f"The network takes {', '.join(self.inputs)}: {'; '.join(wrong)}",
                remedy="Use the variant that was trained for these inputs",
            )
        batch = None
        for name, shape in self.shapes.items():
            found = tuple(inputs[name].shape)
            batch = found[:1] if batch is None else batch
            if found[1:] != shape or found[:1] != batch:
                wanted = ", ".join(str(n) for n in ("B", *shape))
                raise InputError(
                    f"The network's input {name} has shape {list(found)}, not [{wanted}] "
                    "with the same number of cases B for every input"
                )

    def feature_maps(
        self, inputs: Mapping[str, torch.Tensor], of: str | None = None
    ) -> dict[str, torch.Tensor]:
        """The map of every encoding, ``"pathway.input"`` → ``[N, channels, rows, columns]``.

        Args:
            inputs: N is B for ultrasound and B · 9 for the patches. The two inputs of Dou-Ult Net
                may differ in N where one of them is 1.
            of: only those that this input has an influence on.
        """
        found = {}
        if self.patho_ult is not None:
            for name, encoder in self.patho_ult.encoder.items():
                if of in (None, name):
                    images = inputs[name]
                    images = images.flatten(0, 1) if name == "pathology" else images
                    found[f"patho_ult.{name}"] = encoder.maps(images)
        if self.dou_ult is not None and of in (None, "us0", "us1"):
            pair = self.dou_ult.encoder.maps(inputs["us0"], inputs["us1"])
            found["dou_ult.us0"], found["dou_ult.us1"] = pair
        return found

    def encoder(self, name: str) -> Encoder:
        """The encoder of an input in Patho-Ult Net."""
        assert self.patho_ult is not None
        found: Encoder = self.patho_ult.encoder[name]
        return found

    def encode(self, maps: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """The vector of every map: ``[B, width]``, of patches ``[B, 9, width]``."""
        found = {}
        for key, value in maps.items():
            pathway, name = key.split(".")
            encoder = getattr(self, pathway).encoder
            vector = (encoder[name] if pathway == "patho_ult" else encoder).pool(value)
            if name == "pathology":
                vector = vector.unflatten(0, (-1, self.network["patches"]))
            found[key] = vector
        return found

    def classify(
        self, encodings: Mapping[str, torch.Tensor], clinical: torch.Tensor | None
    ) -> torch.Tensor:
        """Logits ``[B, 1]`` from all encodings and ``clinical [B, K]``."""
        parts = []
        for name, images in pathways(self.network["modalities"]).items():
            vectors = [encodings[f"{name}.{image}"] for image in images]
            vectors = [v.mean(dim=1) if v.ndim == 3 else v for v in vectors]
            parts.append(getattr(self, name).join(vectors))
        if clinical is not None:
            parts.append(self.clinical_norm(clinical))
        logits: torch.Tensor = self.classifier(torch.cat(parts, dim=1))
        return logits


class Pathway(nn.Module):
    """Encoders of two images (or of one), and what their vectors are projected with.

    Args:
        encoder: name → encoder, or a ``Pair``.
        features: of the projection.
        normalised: over the cases, before it is projected.
    """

    def __init__(self, encoder: nn.ModuleDict | Pair, features: int, normalised: bool) -> None:
        super().__init__()
        self.encoder: Any = encoder
        joined: list[Any] = (
            list(encoder.values()) if isinstance(encoder, nn.ModuleDict) else [encoder, encoder]
        )
        width = sum(part.width for part in joined)
        self.norm = CaseNorm(width) if normalised else nn.Identity()
        project = nn.Linear(width, features)
        nn.init.trunc_normal_(project.weight, std=0.02)
        nn.init.zeros_(project.bias)
        self.project = nn.Sequential(project, nn.GELU())

    def join(self, vectors: Sequence[torch.Tensor]) -> torch.Tensor:
        """The images' vectors ``[B, width]`` → ``[B, features]``."""
        features: torch.Tensor = self.project(self.norm(torch.cat(list(vectors), dim=1)))
        return features


class CaseNorm(nn.BatchNorm1d):
    """Mean 0 and deviation 1 over the cases of a training step, over all that were seen later.

    Nothing can be told from one case alone, such as the last of an epoch may be: it is taken as
    later ones are.

    Args:
        width: of the vectors ``[B, width]``.
    """

    def __init__(self, width: int) -> None:
        super().__init__(width, affine=False)

    def forward(self, vectors: torch.Tensor) -> torch.Tensor:
        """The normalised vectors."""
        if self.training and len(vectors) > 1:
            return super().forward(vectors)
        return nn.functional.batch_norm(
            vectors, self.running_mean, self.running_var, eps=self.eps, training=False
        )


class Pair(nn.Module):
    """Two images through one encoder."""

    def __init__(self, encoder: Any) -> None:
        super().__init__()
        self.encoder: Any = encoder
        self.width: int = encoder.width

    def maps(self, first: torch.Tensor, second: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Of each image its map; both ``[N, 3, S, S]``, or N = 1 for one of them."""
        found = self.encoder.maps(torch.cat([first, second]))
        return found[: len(first)], found[len(first) :]

    def pool(self, maps: torch.Tensor) -> torch.Tensor:
        """The map of one image → ``[N, width]``."""
        pooled: torch.Tensor = self.encoder.pool(maps)
        return pooled


class CoherentPair(Pair):
    """Two times through one CrossFormer, with time embeddings and an exchange of low features.

    Args:
        encoder: of both.
        share_after: the exchange follows each of the first so many stages.
    """

    def __init__(self, encoder: CrossFormer, share_after: int) -> None:
        super().__init__(encoder)
        dims = encoder.dims
        self.time = nn.Parameter(torch.zeros(2, dims[0]))
        nn.init.trunc_normal_(self.time, std=0.02)
        exchanges = [nn.Linear(2 * dim, dim) for dim in dims[:share_after]]
        for exchange in exchanges:
            nn.init.zeros_(exchange.weight)
            nn.init.zeros_(exchange.bias)
        self.share = nn.ModuleList(exchanges)

    def maps(self, first: torch.Tensor, second: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        x = torch.cat([first, second])
        parts = [len(first), len(second)]
        for number, stage in enumerate(self.encoder.stages):
            x = stage.embed(x)
            if number == 0:
                early, late = x.split(parts)
                x = torch.cat([early + self.time[0], late + self.time[1]])
            x = stage.attend(x)
            if number < len(self.share):
                early, late = x.split(parts)
                count = max(parts)
                early, late = (t.expand(count, *t.shape[1:]) for t in (early, late))
                parts = [count, count]
                exchange = self.share[number]
                x = torch.cat(
                    [
                        early + exchange(torch.cat([early, late], dim=-1)),
                        late + exchange(torch.cat([late, early], dim=-1)),
                    ]
                )
        found = self.encoder.finish(x)
        return found[: parts[0]], found[parts[0] :]


def _encoder(network: Mapping[str, Any]) -> Any:
    if network["architecture"] == SE_CROSST:
        return CrossFormer(network)
    from breastpredict.models.comparators import TimmEncoder

    return TimmEncoder(network["architecture"], network["input_size"])
