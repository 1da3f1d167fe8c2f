"""The engine's database forgets runs that ended long ago. (Their stories are the log's to keep.)"""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime, timedelta
from typing import Final

from dbos import DBOSClient
from sqlalchemy.exc import SQLAlchemyError

from plan_engine.worker.store import Store

__all__ = ["ENDED", "EVERY_S", "FIRST_S", "forget_ended", "tidy", "tidy_all"]

logger: Final = logging.getLogger(__name__)
FIRST_S: Final = 60.0
EVERY_S: Final = 3600.0
REST_S: Final = 1.0
AT_ONCE: Final = 200
"""Runs deleted in one go, so that nobody waits long for the database."""
ENDED: Final = ["SUCCESS", "ERROR", "CANCELLED"]


async def tidy_all(store: Store, client: DBOSClient, keep: timedelta) -> None:
    """Forget all runs that ended longer ago than this, some at a time."""
    try:
        while True:
            if await store.call(tidy, store, client, keep) < AT_ONCE:
                return
            await asyncio.sleep(REST_S)
    except SQLAlchemyError as error:
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
