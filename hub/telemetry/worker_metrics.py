"""The workers of one hub, and how each of them knows the others' metrics.

They share a directory. A worker takes the lowest free place in it and holds that place's lock for as long as it lives,
however it ends, so a restarted worker gets its predecessor's number. Once a second it leaves its numbers in a file next
to the lock. Whoever is scraped adds its own numbers, taken fresh, to those of the others that live.
"""

from __future__ import annotations

import fcntl
import json
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any, Final

from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from broadcasters.errors import PlancastError

__all__ = ["Siblings"]

PLACES: Final = 256


class _Families(Collector):
    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = list(families)

    def collect(self) -> Iterable[Metric]:
        return self._families


class Siblings:
    """This worker among the others. `close` it at the end."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        try:
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            self.worker, self._lock = self._take_place()
        except OSError as error:
            raise PlancastError(f"the run directory {directory} can't be used: {error.strerror}") from None

    def share(self, families: Iterable[Metric]) -> None:
        """Leave our numbers for the others; a reader finds the old ones or the new ones, whole."""
        path = self._numbers(self.worker)
        passing = path.with_suffix(".new")
        passing.write_text(json.dumps({"at": time.time(), "families": [_plain(family) for family in families]}))
        passing.replace(path)

    def together(self, families: Iterable[Metric]) -> Collector:
        """These families of ours and the others', each sample under its worker's label."""
        merged: dict[str, Metric] = {}
        _add(merged, self.worker, families)
        age = GaugeMetricFamily("plancast_worker_age_seconds", "How old a worker's numbers are.", labels=["worker"])
        age.add_metric([str(self.worker)], 0)
        for worker, at, theirs in self._others():
            _add(merged, worker, theirs)
            age.add_metric([str(worker)], max(0.0, time.time() - at))
        return _Families([*merged.values(), age])

    def close(self) -> None:
        """Give the place back."""
        self._numbers(self.worker).unlink(missing_ok=True)
        self._lock.close()

    def _numbers(self, worker: int) -> Path:
        return self._directory / f"worker-{worker}.json"

    def _take_place(self) -> tuple[int, IO[bytes]]:
        for worker in range(PLACES):
            lock = (self._directory / f"worker-{worker}.lock").open("ab")
            if _locked(lock, fcntl.LOCK_EX):
                self._numbers(worker).unlink(missing_ok=True)  # a dead predecessor's
                return worker, lock
            lock.close()
        raise PlancastError(
            f"{self._directory}: all {PLACES} places are taken; give each hub a run directory of its own"
        )

    def _others(self) -> Iterator[tuple[int, float, list[Metric]]]:
        """The other workers that live, with their numbers. What else is in the directory is not looked at."""
        for worker in range(PLACES):
            path = self._numbers(worker)
            if worker == self.worker or not path.exists():
                continue
            try:
                if not self._lives(worker):
                    continue
                shared = json.loads(path.read_bytes())
                numbers = worker, float(shared["at"]), [_metric(one) for one in shared["families"]]
            except (OSError, ValueError, LookupError, TypeError):
                continue  # it ended just now, or is another version
            yield numbers

    def _lives(self, worker: int) -> bool:
        with (self._directory / f"worker-{worker}.lock").open("ab") as lock:
            return not _locked(lock, fcntl.LOCK_SH)  # shared: two who look must not take each other for the worker


def _locked(lock: IO[bytes], how: int) -> bool:
    try:
        fcntl.flock(lock, how | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _plain(family: Metric) -> list[Any]:
    samples = [[sample.name, sample.labels, sample.value] for sample in family.samples]
    return [family.name, family.documentation, family.type, samples]


def _metric(plain: list[Any]) -> Metric:
    name, documentation, kind, samples = plain
    metric = Metric(name, documentation, kind)
    for sample in samples:
        metric.add_sample(*sample)
    return metric


def _add(merged: dict[str, Metric], worker: int, families: Iterable[Metric]) -> None:
    for family in families:
        known = merged.setdefault(family.name, Metric(family.name, family.documentation, family.type))
        for sample in family.samples:
            known.add_sample(sample.name, {"worker": str(worker), **sample.labels}, sample.value)
