"""Metrics shared by the workers of one hub, so that any of them answers a scrape for all.

The workers share a directory. Each takes the lowest free number in it and holds that number's lock until its process
ends, so a restarted worker gets its predecessor's number. Once a second it writes its metrics to a file next to the
lock. A worker that is scraped merges its own current metrics with the files of the other running workers.
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

__all__ = ["WorkerMetrics"]

MAX_WORKERS: Final = 256


class _Families(Collector):
    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = list(families)

    def collect(self) -> Iterable[Metric]:
        return self._families


class WorkerMetrics:
    """One worker's number and its view of the others' metrics. The owner must `close` it."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        try:
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            self.worker, self._lock = self._take_number()
        except OSError as error:
            raise PlancastError(
                f"can't use the run directory {directory}: {error.strerror}; see PLANCAST_RUN_DIRECTORY"
            ) from None

    def share(self, families: Iterable[Metric]) -> None:
        """Write this worker's metrics for the others, atomically."""
        path = self._file(self.worker)
        temporary = path.with_suffix(".new")
        temporary.write_text(json.dumps({"at": time.time(), "families": [_plain(family) for family in families]}))
        temporary.replace(path)

    def merged(self, families: Iterable[Metric]) -> Collector:
        """These families and those of the other workers, each sample with its worker's label."""
        merged: dict[str, Metric] = {}
        _add(merged, self.worker, families)
        age = GaugeMetricFamily(
            "plancast_worker_age_seconds", "Seconds since a worker last updated its metrics.", labels=["worker"]
        )
        age.add_metric([str(self.worker)], 0)
        for worker, at, theirs in self._others():
            _add(merged, worker, theirs)
            age.add_metric([str(worker)], max(0.0, time.time() - at))
        return _Families([*merged.values(), age])

    def close(self) -> None:
        """Release the number."""
        self._file(self.worker).unlink(missing_ok=True)
        self._lock.close()

    def _file(self, worker: int) -> Path:
        return self._directory / f"worker-{worker}.json"

    def _take_number(self) -> tuple[int, IO[bytes]]:
        for worker in range(MAX_WORKERS):
            lock = (self._directory / f"worker-{worker}.lock").open("ab")
            if _locked(lock, fcntl.LOCK_EX):
                self._file(worker).unlink(missing_ok=True)  # of a dead predecessor
                return worker, lock
            lock.close()
        raise PlancastError(
            f"{MAX_WORKERS} workers already use the run directory {self._directory}; "
            "give each hub its own PLANCAST_RUN_DIRECTORY"
        )

    def _others(self) -> Iterator[tuple[int, float, list[Metric]]]:
        """The other running workers: number, time of their file, and metrics."""
        for worker in range(MAX_WORKERS):
            path = self._file(worker)
            if worker == self.worker or not path.exists():
                continue
            try:
                if not self._runs(worker):
                    continue
                shared = json.loads(path.read_bytes())
                found = worker, float(shared["at"]), [_metric(one) for one in shared["families"]]
            except (OSError, ValueError, LookupError, TypeError):
                continue  # it has just ended, or runs another version
            yield found

    def _runs(self, worker: int) -> bool:
        with (self._directory / f"worker-{worker}.lock").open("ab") as lock:
            return not _locked(lock, fcntl.LOCK_SH)  # shared, so that two readers don't take each other for the worker


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
