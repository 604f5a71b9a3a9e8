"""Where behaviours are registered, and how they observe MRML objects."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any, TypeVar

import shiboken6
import vtk

from ..descriptors import memory

REGISTRY: dict[str, type] = {}
_CALLBACKS: list[Callable[..., None]] = []
"""VTK holds these too, but the garbage collector takes apart a function that hangs together with
the Python side of its node only, while the node itself lives on and calls what is left of it."""
Class = TypeVar("Class", bound=type)


def behaves_as(name: str) -> Callable[[Class], Class]:
    """Register a class as the behaviour of the contract class with this name."""

    def register(cls: Class) -> Class:
        REGISTRY[name] = cls
        return cls

    return register


def watch(
    standin: Any,
    subject: Any,
    event: Any,
    function: Callable[[Any, Any], None],
    group: str = "scene",
    node: bool = False,
) -> None:
    """Call `function(standin, node or None)` at a VTK event for as long as both live.

    `group` names observations that `unwatch` ends together. `node` says that the event carries a
    node; asked of an event that carries something else, VTK would crash.
    """
    reference = weakref.ref(standin)

    def callback(caller: Any, name: str, data: Any = None) -> None:
        alive = reference()
        if alive is not None and shiboken6.isValid(alive):
            function(alive, data)

    if node:
        callback.CallDataType = vtk.VTK_OBJECT
    _CALLBACKS.append(callback)
    tag = subject.AddObserver(event, callback)
    kept = memory(standin).__dict__.setdefault("watched", {})
    kept.setdefault(group, []).append((subject, tag))


def listen(standin: Any, sender: Any, signal: str, function: Callable[[Any], None]) -> None:
    """Call `function(standin)` at another stand-in's signal for as long as both live."""
    reference = weakref.ref(standin)

    def slot() -> None:
        alive = reference()
        if alive is not None and shiboken6.isValid(alive):
            function(alive)

    sender.connect(signal, slot)


def unwatch(standin: Any, group: str = "scene") -> None:
    """End the observations of one group."""
    for subject, tag in memory(standin).__dict__.setdefault("watched", {}).pop(group, []):
        subject.RemoveObserver(tag)


def remembered(standin: Any, name: str, default: Any = None) -> Any:
    """What a behaviour put into the stand-in's memory under this name."""
    return memory(standin).__dict__.get(name, default)
