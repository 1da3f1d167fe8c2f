"""What the environment says of the model and of its pace, read whenever it is needed."""

from __future__ import annotations

import asyncio
import math
import os
from typing import Final

from plan_engine.errors import StepFailed

__all__ = ["OFFLINE", "model_name", "pace", "pause"]

OFFLINE: Final = "offline"


def model_name() -> str:
    """What PLANCAST_MODEL names, or "offline"."""
    return os.environ.get("PLANCAST_MODEL", "").strip() or OFFLINE


def pace() -> float:
    """PLANCAST_PACE: 1, also without the setting, as people like to read it; 0 at once; 2 half as fast."""
    said = os.environ.get("PLANCAST_PACE", "").strip() or "1"
    try:
        value = float(said)
    except ValueError:
        value = math.nan
    if not 0 <= value <= 100:
        raise StepFailed(f"PLANCAST_PACE is a number from 0 (at once) to 100, not {said!r}", retry=False)
    return value


async def pause(seconds: float) -> None:
    """While the offline model speaks: wait so long at human pace, so that people can follow. A real one takes its time."""
    if model_name() == OFFLINE:
        await asyncio.sleep(seconds * pace())
