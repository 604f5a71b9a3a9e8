"""What a stand-in class is made of: its memory, its signals and its properties."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .arguments import accepts, converted
from .contract import Method, Property
from .qt_signals import called_as_slot


class Memory:
    """What one stand-in keeps; a C++ object takes no attributes of its own."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}
        self.slots: dict[str, list[Callable[..., Any]]] = {}
        self.calls: list[tuple[str, tuple[Any, ...]]] = []

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"no behaviour has set '{name}' yet")


def memory(standin: Any) -> Any:
    """The memory of a stand-in; behaviours put what they need on it."""
    kept = standin.__dict__.get("_memory")
    if kept is None:
        kept = standin.__dict__["_memory"] = Memory()
    return kept


class ContractSignal:
    """One signal signature of one class."""

    def __init__(self, method: Method) -> None:
        self.key, self.args = method.normalized, method.args

    def _slots(self, instance: Any) -> list[Callable[..., Any]]:
        slots: list[Callable[..., Any]] = memory(instance).slots.setdefault(self.key, [])
        return slots

    def connect(self, instance: Any, function: Callable[..., Any]) -> None:
        self._slots(instance).append(function)

    def disconnect(self, instance: Any, function: Callable[..., Any] | None = None) -> bool:
        slots = self._slots(instance)
        before = len(slots)
        slots[:] = [s for s in slots if function is not None and s != function]
        return len(slots) != before

    def emit(self, instance: Any, *arguments: Any) -> None:
        if not instance.signalsBlocked():
            for function in list(self._slots(instance)):
                called_as_slot(function, arguments)


class BoundSignal:
    """`object.signalName`: connects to the first overload, emits the one that fits."""

    def __init__(self, instance: Any, overloads: list[ContractSignal]) -> None:
        self._instance, self._overloads = instance, overloads

    def connect(self, function: Callable[..., Any]) -> bool:
        if not callable(function):
            raise TypeError(f"cannot connect to {function!r}: it is not callable")
        self._overloads[0].connect(self._instance, function)
        return True

    def disconnect(self, function: Callable[..., Any] | None = None) -> bool:
        return self._overloads[0].disconnect(self._instance, function)

    def emit(self, *arguments: Any) -> None:
        for strict in (True, False):
            for overload in self._overloads:
                if len(overload.args) == len(arguments) and all(
                    accepts(kind, value, strict)
                    for kind, value in zip(overload.args, arguments, strict=True)
                ):
                    overload.emit(self._instance, *arguments)
                    return
        known = [f"({', '.join(o.args)})" for o in self._overloads]
        raise TypeError(f"the signal takes {' or '.join(known)}, not {arguments!r}")

    __call__ = emit


class SignalAttribute:
    def __init__(self, overloads: list[ContractSignal]) -> None:
        self._overloads = overloads

    def __get__(self, instance: Any, owner: type) -> Any:
        return self if instance is None else BoundSignal(instance, self._overloads)


class PropertyAttribute:
    """A Q_PROPERTY of a stand-in, as a Python attribute."""

    def __init__(self, entry: Property) -> None:
        self._entry = entry

    def __get__(self, instance: Any, owner: type) -> Any:
        if instance is None:
            return self
        name = self._entry.name
        getter = getattr(owner, f"_get_{name}", None)
        if getter is not None:
            value = getter(instance)
        else:
            values = memory(instance).values
            if name not in values:
                values[name] = instance._default(self._entry)
            value = values[name]
        return tuple(value) if isinstance(value, list) else value  # as PythonQt hands lists over

    def __set__(self, instance: Any, value: Any) -> None:
        entry, owner = self._entry, type(instance)
        if not entry.writable:
            raise AttributeError(f"property '{entry.name}' of {owner.__name__} is not writable")
        if not accepts(entry.type, value):
            raise AttributeError(
                f"property '{entry.name}' ({entry.type}) of {owner.__name__} does not take"
                f" {type(value).__name__} ({value!r})"
            )
        value = converted(entry.type, value)
        setter = getattr(owner, f"_set_{entry.name}", None)
        if setter is not None:
            setter(instance, value)
        else:
            instance._keep(entry, value)
