"""Types for parameters beyond Python's own."""

from .parameterPack import parameterPack

__all__ = ["FloatRange"]


@parameterPack
class FloatRange:
    """Two floats in order."""

    _minimum: float
    _maximum: float

    def __init__(self, minimum=0, maximum=0) -> None:
        self.setRange(minimum, maximum)

    @staticmethod
    def checkRange(minimum, maximum):
        if minimum > maximum:
            raise ValueError(f"minimum {minimum} is greater than maximum {maximum}")

    @property
    def minimum(self) -> float:
        return self._minimum

    @minimum.setter
    def minimum(self, value: float) -> None:
        self.setRange(value, self._maximum)

    @property
    def maximum(self) -> float:
        return self._maximum

    @maximum.setter
    def maximum(self, value: float) -> None:
        self.setRange(self._minimum, value)

    def setRange(self, minimum, maximum) -> None:
        self.checkRange(minimum, maximum)
        self._minimum, self._maximum = minimum, maximum
