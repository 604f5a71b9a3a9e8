"""The device a network runs on. Does not import torch before it has to ask it."""

from __future__ import annotations


def resolve_device(device: str) -> str:
    """ "auto" → CUDA where there is one, else the CPU; anything else as it is."""
    if device != "auto":
        return device
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"
