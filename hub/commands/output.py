"""What commands print besides plans: JSON for programs, and notes for people."""

from __future__ import annotations

import json
import sys

__all__ = ["note", "print_json"]


def print_json(value: object) -> None:
    """Print the value as one line of JSON."""
    print(json.dumps(value, ensure_ascii=False, separators=(",", ":")), flush=True)


def note(text: str) -> None:
    """Print a remark on standard error."""
    print(f"plancast: {text}", file=sys.stderr, flush=True)
