"""The annotation for a default value."""

__all__ = ["Default"]


class Default:
    """A value, or a function that makes one each time."""

    def __init__(self, value=None, *, generator=None):
        if value is not None and generator is not None:
            raise ValueError("give a value or a generator, not both")
        self._value, self._generator = value, generator

    @property
    def value(self):
        return self._generator() if self._generator is not None else self._value


def extractDefault(annotations):
    """The Default among the annotations (or None), and the other annotations."""
    defaults = [a for a in annotations if isinstance(a, Default)]
    if len(defaults) > 1:
        raise ValueError("a parameter can have one Default only")
    others = [a for a in annotations if not isinstance(a, Default)]
    return (defaults[0] if defaults else None), others
