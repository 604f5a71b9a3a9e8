"""CTK's widgets for one number or a range of numbers."""

from __future__ import annotations

from typing import Any, ClassVar

import qt

from ..descriptors import memory
from .registry import behaves_as

STEPS = 1000  # of the inner QSlider, which knows integers only


class BoundedNumber:
    """A value kept between two limits and rounded to the widget's decimals."""

    defaults: ClassVar[dict[str, Any]] = {
        "minimum": 0.0, "maximum": 100.0, "value": 0.0, "singleStep": 1.0, "decimals": 2,
    }  # fmt: skip

    def _begin(self) -> None:
        super()._begin()
        layout = qt.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        memory(self).spin = spin = qt.QDoubleSpinBox()
        if self._has_slider():
            memory(self).slider = slider = qt.QSlider(qt.Qt.Horizontal)
            slider.maximum = STEPS
            slider.connect("sliderMoved(int)", self._dragged)
            layout.addWidget(slider, 1)
        layout.addWidget(spin)
        self._show()
        spin.connect("valueChanged(double)", self._set_value)

    def _has_slider(self) -> bool:
        return "spinBoxVisible" in self.contract_properties

    def _dragged(self, position: int) -> None:
        self._set_value(self.minimum + (self.maximum - self.minimum) * position / STEPS)

    def _set_value(self, value: float) -> None:
        value = min(max(float(value), self.minimum), self.maximum)
        if "decimals" in self.contract_properties:
            value = round(value, int(self.decimals))
        if value != self.value:
            memory(self).values["value"] = value
            self._show()
            self._announce("valueChanged", value)

    def _set_minimum(self, value: float) -> None:
        self._limits(value, max(value, self.maximum))

    def _set_maximum(self, value: float) -> None:
        self._limits(min(value, self.minimum), value)

    def _set_decimals(self, value: int) -> None:
        self._keep("decimals", value)
        self._show()

    def _limits(self, low: float, high: float) -> None:
        memory(self).values.update(minimum=float(low), maximum=float(high))
        self._set_value(self.value)
        self._show()

    def _set_suffix(self, text: str) -> None:
        self._keep("suffix", text)
        self._show()

    def _set_singleStep(self, step: float) -> None:
        self._keep("singleStep", step)
        memory(self).spin.singleStep = step

    def _show(self) -> None:
        spin = memory(self).spin
        blocked = spin.blockSignals(True)
        spin.decimals = int(getattr(self, "decimals", 2))
        spin.setRange(self.minimum, self.maximum)
        spin.value = self.value
        spin.suffix = getattr(self, "suffix", "")
        spin.blockSignals(blocked)
        if self._has_slider():
            slider, width = memory(self).slider, self.maximum - self.minimum
            blocked = slider.blockSignals(True)
            slider.value = round(STEPS * (self.value - self.minimum) / width) if width else 0
            slider.blockSignals(blocked)


@behaves_as("ctkSliderWidget")
class SliderWidget(BoundedNumber):
    """A slider with a spin box."""

    defaults: ClassVar = {
        **BoundedNumber.defaults,
        "pageStep": 10.0,
        "tracking": True,
        "spinBoxVisible": True,
    }

    def _set_spinBoxVisible(self, visible: bool) -> None:
        self._keep("spinBoxVisible", visible)
        memory(self).spin.visible = visible


@behaves_as("ctkDoubleSpinBox")
class DoubleSpinBox(BoundedNumber):
    """CTK's spin box; unlike Qt's it may switch its decimals."""

    defaults: ClassVar = {**BoundedNumber.defaults, "maximum": 99.99}


class BoundedRange:
    """Two values in order between two limits."""

    defaults: ClassVar[dict[str, Any]] = {
        "minimum": 0.0, "maximum": 99.0, "minimumValue": 0.0, "maximumValue": 99.0,
        "singleStep": 1.0, "tracking": True,
    }  # fmt: skip

    def _begin(self) -> None:
        super()._begin()
        layout = qt.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        memory(self).spins = low, high = qt.QDoubleSpinBox(), qt.QDoubleSpinBox()
        for widget in (low, qt.QLabel("to"), high):
            layout.addWidget(widget)
        self._show()
        low.connect("valueChanged(double)", self._set_minimumValue)
        high.connect("valueChanged(double)", self._set_maximumValue)

    def _do_setValues(self, low: float, high: float) -> None:
        decimals = int(getattr(self, "decimals", 12))
        limited = [round(min(max(v, self.minimum), self.maximum), decimals) for v in (low, high)]
        low, high = sorted(limited)
        old = self.minimumValue, self.maximumValue
        memory(self).values.update(minimumValue=low, maximumValue=high)
        self._show()
        if low != old[0]:
            self._announce("minimumValueChanged", low)
        if high != old[1]:
            self._announce("maximumValueChanged", high)
        if (low, high) != old:
            self._announce("valuesChanged", low, high)

    def _do_setRange(self, low: float, high: float) -> None:
        old, (low, high) = (self.minimum, self.maximum), sorted((float(low), float(high)))
        memory(self).values.update(minimum=low, maximum=high)
        self._do_setValues(self.minimumValue, self.maximumValue)
        if old != (low, high):
            self._announce("rangeChanged", low, high)

    def _set_minimumValue(self, value: float) -> None:
        self._do_setValues(value, max(value, self.maximumValue))

    def _set_maximumValue(self, value: float) -> None:
        self._do_setValues(min(value, self.minimumValue), value)

    def _set_minimum(self, value: float) -> None:
        self._do_setRange(value, max(value, self.maximum))

    def _set_maximum(self, value: float) -> None:
        self._do_setRange(min(value, self.minimum), value)

    def _show(self) -> None:
        values = self.minimumValue, self.maximumValue
        for spin, value in zip(memory(self).spins, values, strict=True):
            blocked = spin.blockSignals(True)
            spin.decimals = int(getattr(self, "decimals", 2))
            spin.setRange(self.minimum, self.maximum)
            spin.value = value
            spin.blockSignals(blocked)


@behaves_as("ctkRangeWidget")
class RangeWidget(BoundedRange):
    """A range slider with two spin boxes."""

    defaults: ClassVar = {**BoundedRange.defaults, "decimals": 2}


@behaves_as("ctkDoubleRangeSlider")
class DoubleRangeSlider(BoundedRange):
    """The range slider alone."""
