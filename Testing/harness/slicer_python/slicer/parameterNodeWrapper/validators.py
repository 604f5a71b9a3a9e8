"""Annotations that say which values a parameter may have."""

import abc

__all__ = [
    "Choice",
    "Exclude",
    "IsInstance",
    "Maximum",
    "Minimum",
    "NotNone",
    "RangeBounds",
    "Validator",
    "WithinRange",
]


class Validator(abc.ABC):
    """Base of all validators."""

    @abc.abstractmethod
    def validate(self, value) -> None:
        """Raise ValueError (or TypeError) if the value is not allowed."""


def extractValidators(annotations):
    """The validators among the annotations, and the others."""

    def is_validator(entry):
        return isinstance(entry, Validator) or (
            isinstance(entry, type) and issubclass(entry, Validator)
        )

    validators = [a for a in annotations if is_validator(a)]
    return validators, [a for a in annotations if not is_validator(a)]


class IsNone(Validator):
    def validate(self, value) -> None:
        if value is not None:
            raise ValueError("the value must be None")


class NotNone(Validator):
    def validate(self, value) -> None:
        if value is None:
            raise ValueError("the value must not be None")


class IsInstance(Validator):
    def __init__(self, classtype):
        self.classtype = classtype

    def validate(self, value) -> None:
        if value is not None and not isinstance(value, self.classtype):
            raise TypeError(f"{value!r} is a {type(value).__name__}, not {self.classtype}")


class WithinRange(Validator):
    def __init__(self, minimum, maximum):
        self.minimum, self.maximum = minimum, maximum

    def validate(self, value) -> None:
        if not self.minimum <= value <= self.maximum:
            raise ValueError(f"{value} is not within [{self.minimum}, {self.maximum}]")


class Minimum(Validator):
    def __init__(self, minimum):
        self.minimum = minimum

    def validate(self, value) -> None:
        if value < self.minimum:
            raise ValueError(f"{value} is less than {self.minimum}")


class Maximum(Validator):
    def __init__(self, maximum):
        self.maximum = maximum

    def validate(self, value) -> None:
        if value > self.maximum:
            raise ValueError(f"{value} is greater than {self.maximum}")


class Choice(Validator):
    def __init__(self, choices):
        self.choices = choices

    def validate(self, value) -> None:
        if value not in self.choices:
            raise ValueError(f"{value!r} is none of {self.choices}")


class Exclude(Validator):
    def __init__(self, excludedValues):
        self.excludedValues = excludedValues

    def validate(self, value) -> None:
        if value in self.excludedValues:
            raise ValueError(f"{value!r} is excluded")


class RangeBounds(Validator):
    def __init__(self, minimum, maximum):
        self.minimum, self.maximum = minimum, maximum

    def validate(self, value) -> None:
        if value.minimum < self.minimum or value.maximum > self.maximum:
            raise ValueError(
                f"[{value.minimum}, {value.maximum}] is not within [{self.minimum}, {self.maximum}]"
            )
