"""`plancast serve` with some of its constants changed: `python -m tests.servers.hurried_hub '{"module.NAME": 1.0}'`.

What takes half a minute by design (a heartbeat and the silence after it) can so be shown in seconds.
"""

from __future__ import annotations

import importlib
import json
import sys

from hub.cli import main

__all__ = ["change"]


def change(constants: str) -> None:
    """Give these constants (JSON: full name to value) other values, for this process."""
    for name, value in json.loads(constants).items():
        module, _, constant = name.rpartition(".")
        changed = importlib.import_module(module)
        assert hasattr(changed, constant), f"{module} has no {constant}"
        setattr(changed, constant, value)


if __name__ == "__main__":
    change(sys.argv[1])
    sys.exit(main(["serve"]))
