"""Other systems' ids inside plan ids: whatever they call a user or a session, it makes one plan id, and no other does.

A name's letters, digits and `. _ @ -` stand for themselves; any other byte of it is `~` and two hex digits. Parts are joined
by colons, which so never come out of a name: nobody gets at another's plans by a clever name.
"""

from __future__ import annotations

import re
from typing import Final

from broadcasters.errors import InvalidPlanId
from broadcasters.events import check_plan_id

__all__ = ["plan_id_of"]

_other: Final = re.compile(rb"[^A-Za-z0-9._@-]")


def plan_id_of(kind: str, *names: str) -> str:
    """The plan of that kind for these names. `InvalidPlanId` when one is empty, or they are too long together."""
    if not all(names):
        raise InvalidPlanId("")
    return check_plan_id(":".join([kind, *map(_written, names)]))


def _written(name: str) -> str:
    spoken = name.encode("utf-8", "surrogatepass")
    return _other.sub(lambda found: b"~%02X" % found[0][0], spoken).decode("ascii")
