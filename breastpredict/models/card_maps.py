"""What the model card says of a pCR bundle's maps: which found planted lesions, which did not."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

_NAMES = {"gradcam": "Grad-CAM", "occlusion": "Occlusion"}
_FURTHER = {
    "forgets_head": "changes when the head forgets",
    "forgets_last": "changes when head and last stage forget",
    "forgets_all": "changes when the network forgets everything",
    "mirrored": "is mirrored with the image",
    "constant": "defined for constant images",
}


def map_lines(block: Mapping[str, Any]) -> Iterable[str]:
    """The section on maps, as Markdown.

    Args:
        block: the ``breastpredict`` block; ``pointing`` is what ``pcr verify`` wrote into it.
    """
    found = block.get("pointing") or {}
    yield from ("## Maps", "")
    for method, name in _NAMES.items():
        entry = found.get(method)
        if not entry:
            yield f"- {name}: not verified; never tested on planted lesions (`pcr verify`)."
            continue
        status = "verified" if entry.get("passed") is True else "not verified"
        yield (
            f"- {name}: {status}; test of {entry.get('date')}: {entry.get('status')}, "
            f"{entry.get('cases')} of {entry.get('planted')} planted patients positive to the "
            "network."
        )
    yield ""
    if any(entry.get("images") for entry in found.values()):
        yield from _table(found)
        yield from _further(found)
    if found:
        yield from (
            "Planted patients are phantoms: a map that passes has shown that it can point, not "
            "that it does so on patients.",
            "",
        )


def _table(found: Mapping[str, Mapping[str, Any]]) -> Iterable[str]:
    yield "| map | image | pointing (≥ 0.8) | energy / area (≥ 3) | insertion | at random |"
    yield "|---|---|---|---|---|---|"
    for method, entry in found.items():
        for image, one in (entry.get("images") or {}).items():
            yield (
                f"| {_NAMES.get(method, method)} | {image} | {one['pointing']:.2f} | "
                f"{one['energy']:.2f} | {one['insertion']:.3f} | {one['insertion_random']:.3f} |"
            )
    yield ""


def _further(found: Mapping[str, Mapping[str, Any]]) -> Iterable[str]:
    for method, entry in found.items():
        for key, one in (entry.get("further") or {}).items():
            rho = f" (rank correlation {one['rho']:.2f})" if "rho" in one else ""
            answer = "yes" if one["passed"] else "NO"
            yield f"- {_NAMES.get(method, method)} {_FURTHER.get(key, key)}: {answer}{rho}"
    yield ""
