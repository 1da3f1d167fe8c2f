"""How many plans a worker works on at once, not counting those that only wait.

DBOS counts a run from its beginning to its end. A plan that waits for a person may do so for days, and enough of them
would keep a worker from all other work; so while a run only waits, it is taken out of the count. DBOS has no public
interface for that, so the engine uses two private methods, and one exact version of DBOS.
"""

from __future__ import annotations

from importlib.metadata import version
from operator import attrgetter
from typing import Any, Final

from dbos import DBOS

from plan_engine.errors import EngineMisconfigured

__all__ = ["DBOS_VERSION", "PRIVATE", "Slot", "Slots"]

DBOS_VERSION: Final = "3.4.0"
"""The version that is pinned in `pyproject.toml`."""
PRIVATE: Final = ("_active_workflows_set.add", "_active_workflows_set._remove")
"""What is used of DBOS that is not public."""


class Slots:
    """The runs that this process's DBOS counts. `EngineMisconfigured` when this version doesn't count them as expected."""

    def __init__(self, dbos: DBOS) -> None:
        for name in PRIVATE:
            try:
                attrgetter(name)(dbos)
            except AttributeError:
                installed = f"the installed DBOS, version {version('dbos')}, has no {name}, which this engine uses"
                raise EngineMisconfigured(f"{installed}: pip install 'dbos=={DBOS_VERSION}'") from None
        self._counted: Any = attrgetter("_active_workflows_set")(dbos)

    def slot(self, plan_id: str, queue: str) -> Slot:
        """The slot of a run that DBOS has begun, from this queue."""
        return Slot(self._counted, plan_id, queue)


class Slot:
    """A run's place among those a worker works on. `free` and `take` may each be called twice in a row. Take it again
    before the run ends: DBOS will give it back then."""

    def __init__(self, counted: Any, plan_id: str, queue: str) -> None:
        self._counted, self._plan_id, self._bucket = counted, plan_id, (queue, None)
        self._freed = False

    def free(self) -> None:
        if self._freed:
            return
        try:
            self._counted._remove(self._plan_id, self._bucket)
        except (KeyError, ValueError):  # not counted in this queue: it was resumed from another one
            return
        self._freed = True

    def take(self) -> None:
        if self._freed:
            self._counted.add(self._plan_id, *self._bucket)
            self._freed = False
