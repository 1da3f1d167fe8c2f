"""A program that appends to a log until it is killed or has made enough appends, and prints what was acknowledged.

Run as `python -m tests.faults.sqlite_appender URL NAME APPENDS [SIZE]`: 16 senders, two plans, SIZE bytes an event. It
prints a line per append: `plan offset text`, or the name of the error. With the name `fill`, files may grow to 400 KB.
"""

from __future__ import annotations

import asyncio
import json
import resource
import sys

from broadcasters.errors import LogError
from broadcasters.log import log_of
from broadcasters.log.contract import PlanLog
from tests.contract.clients import Producer, all_of

SENDERS = 16
PLANS = 2
LIMIT = 400_000


def report(*fields: object) -> None:
    sys.stdout.write(" ".join(map(str, fields)) + "\n")
    sys.stdout.flush()


async def send(log: PlanLog, name: str, number: int, appends: int, size: int) -> None:
    producer = Producer(f"plan-{number % PLANS}", f"{name}-{number}")
    for i in range(appends):
        text = f"{name}-{number}/{i}/" + "x" * size
        report(producer.plan_id, (await producer.batch(text).to(log)).offsets[0], text)


async def fill(log: PlanLog) -> None:
    """Appends up to the file size limit, reads, lifts the limit, and appends again."""
    producer = Producer("plan-0", "filler")
    resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT, resource.RLIM_INFINITY))
    batch = producer.batch("x" * 5000)
    stored = 0
    try:
        while True:
            stored = (await batch.to(log)).offsets[-1]
            batch = producer.batch("x" * 5000)
    except LogError as error:
        report(type(error).__name__, error)
    report(json.dumps({"stored": stored, "read": len(await all_of(log, "plan-0"))}))
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    report(json.dumps({"again": (await batch.to(log)).offsets[-1], "read": len(await all_of(log, "plan-0"))}))


async def main(url: str, name: str, appends: int, size: int = 0) -> None:
    log = log_of(url)
    await log.open()
    if name == "fill":
        await fill(log)
    else:
        await asyncio.gather(*[send(log, name, number, appends, size) for number in range(SENDERS)])
    await log.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], *map(int, sys.argv[3:])))
