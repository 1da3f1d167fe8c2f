"""`plancast serve` with some of its constants changed: `python -m tests.servers.hurried_hub '{"module.NAME": 1.0}'`.

What takes half a minute by design (a heartbeat and the silence after it) can so be shown in seconds.
"""

from __future__ import annotations

import importlib
import json
import sys

from hub.cli import main

if __name__ == "__main__":
    for name, value in json.loads(sys.argv[1]).items():
        module, _, constant = name.rpartition(".")
        changed = importlib.import_module(module)
        assert hasattr(changed, constant), f"{module} has no {constant}"
        setattr(changed, constant, value)
    sys.exit(main(["serve"]))
