"""How long to wait before each next try."""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import count
from typing import Final

__all__ = ["pauses"]

FIRST: Final = 0.05
LONGEST: Final = 2.0


def pauses(longest: float) -> Iterator[float]:
    """Seconds, for ever: exponential, with full jitter, so that those who failed together don't try together."""
    for tries in count():
        yield random.uniform(0, min(LONGEST, longest, FIRST * 2 ** min(tries, 10)))
