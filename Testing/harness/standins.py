"""Stand-ins for Slicer's and CTK's Qt classes, generated from the contract.

A stand-in answers to what its real class has, and to nothing else: a wrong name, signal, property,
number or type of arguments raises as PythonQt would. What it *does* comes from a behaviour class
(package `behaviours`), whose methods are named after what they imitate: `_get_title` and
`_set_title` for a property, `_do_addNode` for a method. What has no behaviour is recorded where it
returns nothing and raises `NotModelled` where it returns something.
"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any, ClassVar

from . import qt_rules
from .arguments import accepts, converted, empty
from .contract import Method, NotModelled, Property, QtClass
from .descriptors import ContractSignal, PropertyAttribute, SignalAttribute, memory

_made_by_cpp: list[type] = []  # what is being constructed on C++'s behalf


def made_by_cpp(cls: type, *arguments: Any) -> Any:
    """An object of a class that has no Python constructor."""
    _made_by_cpp.append(cls)
    try:
        return cls(*arguments)
    finally:
        _made_by_cpp.pop()


class StandIn:
    """What every stand-in has beside its contract; all names are private."""

    _constructible = True
    defaults: ClassVar[dict[str, Any]] = {}
    contract_signals: ClassVar[dict[str, ContractSignal]] = {}
    contract_properties: ClassVar[dict[str, Property]] = {}
    contract_accessors: ClassVar[dict[str, tuple[str, str]]] = {}

    def __init__(self, *arguments: Any) -> None:
        if not self._constructible and not _made_by_cpp:
            raise TypeError(f"{type(self).__name__} has no Python constructor in Slicer")
        super().__init__(*[a for a in arguments if a is not None])
        self._begin()

    def _begin(self) -> None:
        """Set up memory and inner widgets; behaviours extend it."""
        memory(self)

    def _default(self, entry: Property) -> Any:
        for cls in type(self).__mro__:
            defaults = cls.__dict__.get("defaults", {})
            if entry.name in defaults:
                value = defaults[entry.name]
                return list(value) if isinstance(value, list) else value
        return empty(entry.type)

    def _keep(self, entry: Property | str, value: Any) -> bool:
        """Store a property's value; True and the notify signal if that changed it."""
        if isinstance(entry, str):
            entry = type(self).contract_properties[entry]
        old = getattr(self, entry.name)
        memory(self).values[entry.name] = value
        changed = bool(old != (tuple(value) if isinstance(value, list) else value))
        if changed and entry.notify:
            self._announce(entry.notify, value)
        return changed

    def _announce(self, name: str, *arguments: Any) -> None:
        """Emit every overload of a signal that takes no more than these arguments."""
        for key, signal in type(self).contract_signals.items():
            if key.split("(")[0] == name and len(signal.args) <= len(arguments):
                signal.emit(self, *arguments[: len(signal.args)])

    def _announce_node(self, name: str, node: Any) -> None:
        """Emit a signal that carries a node, or in an overload whether there is one."""
        for key, signal in type(self).contract_signals.items():
            if key.split("(")[0] == name:
                signal.emit(self, node if signal.args[0].endswith("*") else node is not None)

    def property(self, name: str) -> Any:
        if name in type(self).contract_properties:
            return getattr(self, name)
        return qt_rules.plain_property(self, name)

    def setProperty(self, name: str, value: Any) -> bool:
        if name in type(self).contract_properties:
            setattr(self, name, value)
            return True
        return bool(qt_rules.plain_set_property(self, name, value))


def _chosen(overloads: list[Method], kind: str, arguments: tuple[Any, ...]) -> Method:
    """The overload PythonQt calls; its strict pass first, then the lenient one."""
    known = ", ".join(m.signature for m in overloads)
    fitting = [m for m in overloads if len(m.args) == len(arguments)]
    if not fitting:
        raise ValueError(f"{kind} got {len(arguments)} argument(s); it has {known}")
    for strict in (True, False):
        for method in fitting:
            if all(accepts(k, v, strict) for k, v in zip(method.args, arguments, strict=True)):
                return method
    types = ", ".join(type(a).__name__ for a in arguments)
    raise ValueError(f"{kind} got wrong argument types ({types}); it has {known}")


def _method(name: str, overloads: list[Method]) -> Callable[..., Any]:
    def call(self: Any, *arguments: Any, **keywords: Any) -> Any:
        kind = f"{type(self).__name__}.{name}"
        if keywords:
            raise TypeError(f"{kind}: methods of C++ objects take no keyword arguments")
        method = _chosen(overloads, kind, arguments)
        arguments = tuple(
            converted(k, v) if k == "QString" else v
            for k, v in zip(method.args, arguments, strict=True)
        )
        behaviour = getattr(type(self), f"_do_{name}", None)
        if behaviour is not None:
            result = behaviour(self, *arguments)
            return tuple(result) if isinstance(result, list) else result
        accessor = type(self).contract_accessors.get(name)
        if accessor is not None:
            verb, property_name = accessor
            if verb == "get":
                return getattr(self, property_name)
            return setattr(self, property_name, arguments[0] if arguments else None)
        if method.returns != "void":
            raise NotModelled(f"{kind} is in Slicer ({method.signature}), but not modelled here")
        memory(self).calls.append((name, arguments))
        return None

    call.__name__ = name
    return call


def _static(name: str, behaviour: type) -> staticmethod[..., Any]:
    function = getattr(behaviour, f"_do_{name}", None)

    def missing(*arguments: Any) -> Any:
        raise NotModelled(f"static method {name} is in Slicer, but not modelled here")

    return staticmethod(missing if function is None else function)


class Standins:
    """Makes and keeps the stand-in classes of one contract."""

    def __init__(
        self, contract: dict[str, QtClass], behaviours: dict[str, type], qt: ModuleType
    ) -> None:
        self._contract, self._behaviours, self._qt = contract, behaviours, qt
        self._classes: dict[str, type] = {}
        self._own_methods: dict[type, dict[str, list[Method]]] = {}

    def get(self, name: str) -> type | None:
        """The stand-in class; None if the contract has no class of this name."""
        if name not in self._classes and name in self._contract:
            self._classes[name] = self._make(self._contract[name])
            qt_rules.forget_tables()
        return self._classes.get(name)

    def module_of(self, name: str) -> str | None:
        """In which Python module Slicer shows the class: `ctk`, `slicer` or none."""
        return self._contract[name].module if name in self._contract else None

    def create(self, name: str, *arguments: Any) -> Any:
        """An object that in Slicer only C++ makes: the application, managers, views."""
        cls = self.get(name)
        assert cls is not None, name
        return made_by_cpp(cls, *arguments)

    def _parent(self, base: str) -> type:
        found: type | None = self.get(base) or getattr(self._qt, base, None)
        # What the copied contract does not follow further is one of VTK's widgets.
        return found or self._qt.QWidget

    def _overloads(self, entry: QtClass, parent: type) -> dict[str, list[Method]]:
        """Methods by name, with the overloads that base classes add."""
        methods: dict[str, list[Method]] = {}
        for method in entry.methods:
            methods.setdefault(method.name, []).append(method)
        for cls in parent.__mro__:
            for name, inherited in self._own_methods.get(cls, {}).items():
                if name in methods:
                    known = {m.args for m in methods[name]}
                    methods[name] += [m for m in inherited if m.args not in known]
        return methods

    def _make(self, entry: QtClass) -> type:
        parent = self._parent(entry.base)
        behaviour = self._behaviours.get(entry.name)
        methods = self._overloads(entry, parent)
        properties = {p.name: p for p in entry.properties}
        signals = {
            **getattr(parent, "contract_signals", {}),
            **{s.normalized: ContractSignal(s) for s in entry.signals},
        }
        accessors = dict(getattr(parent, "contract_accessors", {}))
        for p in entry.properties:
            if p.read:
                accessors.setdefault(p.read, ("get", p.name))
            if p.write:
                accessors.setdefault(p.write, ("set", p.name))
        namespace: dict[str, Any] = {
            "__module__": "standins",
            "__doc__": f"Stand-in for {entry.name}.",
            "stands_in_for": entry,
            "_constructible": entry.constructible,
            "contract_signals": signals,
            "contract_properties": {**getattr(parent, "contract_properties", {}), **properties},
            "contract_accessors": accessors,
            **entry.enums,
        }
        for name in {s.name for s in entry.signals}:
            namespace[name] = SignalAttribute(
                [signal for key, signal in signals.items() if key.split("(")[0] == name]
            )
        for name, overloads in methods.items():
            is_static = any(m.static for m in overloads)
            namespace[name] = (
                _static(name, behaviour or object) if is_static else _method(name, overloads)
            )
        for name, p in properties.items():
            namespace[name] = PropertyAttribute(p)
        bases = [b for b in (behaviour, None if issubclass(parent, StandIn) else StandIn) if b]
        cls = type(parent)(entry.name, (*bases, parent), namespace)
        self._own_methods[cls] = methods
        return cls

    def invented(self) -> list[str]:
        """What behaviours imitate although the real class has no such thing; must be empty."""
        wrong = []
        for name, behaviour in self._behaviours.items():
            cls = self.get(name)
            if cls is None:
                wrong.append(f"{name} is not in the contract")
                continue
            known = {m for c in cls.__mro__ for m in self._own_methods.get(c, {})}
            properties_ = cls.contract_properties  # type: ignore[attr-defined]
            mixed_in = [n for c in behaviour.__mro__ if c is not object for n in vars(c)]
            for attribute in dict.fromkeys(mixed_in):
                if attribute.startswith("_do_") and attribute[4:] not in known:
                    wrong.append(f"{name}.{attribute[4:]}()")
                elif attribute.startswith(("_get_", "_set_")) and attribute[5:] not in properties_:
                    wrong.append(f"{name}.{attribute[5:]}")
                elif not attribute.startswith("_") and attribute != "defaults":
                    qt_bases = [c for c in cls.__mro__ if qt_rules.is_qt(c)]
                    if not any(attribute in c.__dict__ for c in qt_bases):
                        wrong.append(f"{name}.{attribute} (no Qt method)")
            wrong += [
                f"{name} default {d}"
                for d in getattr(behaviour, "defaults", {})
                if d not in properties_
            ]
        return wrong
