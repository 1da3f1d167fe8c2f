"""The pages that only the code itself can write: the command line, the settings and the metrics.

`python -m scripts.docs.from_code` prints them as JSON: from the path of each page in the site to its Markdown.
"""

from __future__ import annotations

import json
import os
from typing import Final

__all__ = ["pages"]

COMMANDS: Final = """\
# Command line

The help of every `plancast` command, as the commands print it. `plancast COMMAND --help` prints one.
"""
SETTINGS: Final = """\
# Settings

Each setting is an environment variable and a flag of `plancast serve` (those under Worker: of
`plancast worker`); the flag wins.
[Operations](../OPERATIONS.md#settings) explains how values are written.
"""
METRICS: Final = """\
# Metrics

What `/metrics` returns, in the text format of Prometheus. [Deployment](../DEPLOY.md#monitoring) has alert
rules and a dashboard.
"""


def pages() -> dict[str, str]:
    """The pages by their path in the site."""
    os.environ |= {"COLUMNS": "90", "NO_COLOR": "1"}
    from hub.commands import GROUPS
    from hub.commands.parser import parser_of
    from hub.config import flags
    from hub.telemetry import measures

    commands = [COMMANDS]
    for title, group in GROUPS.items():
        commands.append(f"## {title.capitalize()}\n")
        commands.extend(
            f"### plancast {name} {{#{name}}}\n\n```text\n{parser_of(name).format_help().strip()}\n```\n"
            for name in group
        )
    return {
        "reference/command-line.md": "\n".join(commands),
        "reference/settings.md": f"{SETTINGS}\n{flags.table().replace('### ', '## ')}\n",
        "reference/metrics.md": f"{METRICS}\n{measures.table()}\n",
    }


if __name__ == "__main__":
    print(json.dumps(pages()))
