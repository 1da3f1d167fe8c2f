"""How many plans a worker works on at once, not counting those that only wait.

DBOS counts a run from its beginning to its end. A plan that waits for a person may do so for days, and enough of them
would keep a worker from all other work; so while a run only waits, it is taken out of the count. DBOS has no word for
that, and we reach into its bookkeeping: where a later version keeps it differently, waiting plans count like others.
"""

from __future__ import annotations

from typing import Any, Final

from dbos import _dbos  # pyright: ignore[reportPrivateUsage]

__all__ = ["Slot"]

_REGISTRY: Final = "_active_workflows_set"


class Slot:
    """A run's place among those a worker works on. `free` and `take` may each be called twice in a row. Take it again
    before the run ends: DBOS will give it back then."""

    def __init__(self, plan_id: str, queue: str) -> None:
        instance: Any = _dbos._get_dbos_instance()  # pyright: ignore[reportPrivateUsage]
        self._registry: Any = getattr(instance, _REGISTRY, None)
        self._plan_id, self._bucket = plan_id, (queue, None)
        self._freed = False

    def free(self) -> None:
        remove = getattr(self._registry, "_remove", None)
        if self._freed or remove is None:
            return
        try:
            remove(self._plan_id, self._bucket)
        except (KeyError, ValueError, TypeError):
            return
        self._freed = True

    def take(self) -> None:
        if self._freed:
            self._registry.add(self._plan_id, *self._bucket)
            self._freed = False
