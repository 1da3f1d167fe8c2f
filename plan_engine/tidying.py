"""The engine's database forgets runs that ended long ago. (Their stories are the log's to keep.)"""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime, timedelta
from typing import Final

from dbos import DBOSClient

from plan_engine.store import Store

__all__ = ["ENDED", "forget_ended", "tidy", "tidy_for_ever"]

logger: Final = logging.getLogger(__name__)
FIRST_S: Final = 60.0
EVERY_S: Final = 3600.0
REST_S: Final = 1.0
AT_ONCE: Final = 200
"""Runs deleted in one go, so that nobody waits long for the database."""
ENDED: Final = ["SUCCESS", "ERROR", "CANCELLED"]


async def tidy_for_ever(store: Store, client: DBOSClient, keep: timedelta) -> None:
    rest = FIRST_S
    while True:
        await asyncio.sleep(rest)
        rest = EVERY_S
        try:
            if await store.call(tidy, store, client, keep) == AT_ONCE:
                rest = REST_S
        except Exception as error:  # whatever it is, it must not end the tidying
            logger.warning("ended runs could not be forgotten (%s); trying again later", error)


def tidy(store: Store, client: DBOSClient, keep: timedelta) -> int:
    """Forget some runs that ended longer ago than this; how many."""
    before = (datetime.now(UTC) - keep).isoformat()
    ended = client.list_workflows(
        status=ENDED, completed_before=before, limit=AT_ONCE, load_input=False, load_output=False
    )
    plan_ids = [run.workflow_id for run in ended]
    _forget(store, client, plan_ids)
    return len(plan_ids)


def forget_ended(store: Store, client: DBOSClient, plan_id: str) -> None:
    """Forget this run, if it has ended."""
    ended = client.list_workflows(workflow_ids=[plan_id], status=ENDED, load_input=False, load_output=False)
    _forget(store, client, [run.workflow_id for run in ended])


def _forget(store: Store, client: DBOSClient, plan_ids: list[str]) -> None:
    if plan_ids:
        store.forget(plan_ids)
        client.delete_workflows(plan_ids)
