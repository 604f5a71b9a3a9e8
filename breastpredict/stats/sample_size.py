"""What the number of cases allows to say."""

from __future__ import annotations

FEW = 10


def size_warnings(positives: int, negatives: int) -> tuple[str, ...]:
    """Warnings that a result from so many cases must carry; none when there are enough.

    Args:
        positives: number of positive patients.
        negatives: number of negative patients.
    """
    return tuple(
        f"Only {count} {name} case{'' if count == 1 else 's'}: the interval is unreliable"
        for name, count in (("positive", positives), ("negative", negatives))
        if count < FEW
    )
