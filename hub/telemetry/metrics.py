"""The exposition of metrics for Prometheus.

Nothing is measured on the hot path: numbers are read from `HubCounts` at each scrape. Each hub has its own registry.
`plancast worker` has no `HubCounts`, and exports only the metrics of its engine and its process. With several processes of
one hub, any of them answers for all (`hub.telemetry.worker_metrics`): each one's metrics carry its `worker` label, so rates
stay correct when a process restarts, and `sum without (worker)` adds them up.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from broadcasters.outbox import OutboxStatistics
from broadcasters.supervision import Part, Supervisor
from hub.core.counts import LAG_BOUNDS, Histogram, HubCounts
from hub.engine_port import EngineStatistics
from hub.telemetry.measures import MEASURES, Numbers
from hub.telemetry.worker_metrics import WorkerMetrics

__all__ = ["Metrics"]

logger = logging.getLogger(__name__)

LAG_PERIOD: Final = 0.25
SHARE_PERIOD: Final = 1.0


class _Counted(Collector):
    """The metrics of a process, read when they are collected."""

    def __init__(self, numbers: Callable[[], Numbers]) -> None:
        self._numbers = numbers

    def collect(self) -> Iterable[Metric]:
        numbers = self._numbers()
        return [family for measure in MEASURES if (family := measure.family(numbers)) is not None]


class Metrics:
    """The metrics of one process, of its hub and its engine. `start` measures the event loop's lag and shares metrics with
    the other processes of the hub."""

    def __init__(
        self,
        counts: HubCounts | None,
        outbox: Callable[[], OutboxStatistics] | None = None,
        workers: WorkerMetrics | None = None,
        parts: Callable[[], Mapping[str, Part]] = dict,
        engine: Callable[[], EngineStatistics | None] = lambda: None,
    ) -> None:
        self.loop_lag = Histogram(LAG_BOUNDS)
        self._counts = counts
        self._outbox = outbox
        self._workers = workers
        self._parts = parts
        self._engine = engine
        self._due = 0.0
        self._own = CollectorRegistry(auto_describe=False)
        self._own.register(_Counted(self._read))
        ProcessCollector(registry=self._own)

    def render(self, accept: str = "") -> tuple[bytes, str]:
        """The response to a scrape and its content type."""
        encode, content_type = choose_encoder(accept)
        registry = self._own if self._workers is None else self._workers.merged(self._own.collect())
        return encode(registry), content_type

    def start(self, supervisor: Supervisor) -> None:
        """Measure the event loop's lag, and share metrics with the other workers, until the supervisor closes."""
        self._due = asyncio.get_running_loop().time() + LAG_PERIOD
        supervisor.repeat("measurement of the event loop", self._measure_lag, every=LAG_PERIOD)
        if self._workers is not None:
            supervisor.repeat("sharing of metrics", self._share, every=SHARE_PERIOD)

    async def _measure_lag(self) -> None:
        now = asyncio.get_running_loop().time()
        self.loop_lag.observe(now - self._due)
        self._due = now + LAG_PERIOD

    async def _share(self) -> None:
        self.share()

    def share(self) -> None:
        """Share the current metrics with the other workers."""
        if self._workers is not None:
            try:
                self._workers.share(self._own.collect())
            except OSError as error:  # the disk is full, or the run directory was removed
                logger.warning("can't share metrics with the other workers: %s", error)

    def _read(self) -> Numbers:
        engine = self._engine()
        outboxes = [self._outbox()] if self._outbox is not None else []
        if engine is not None and engine.outbox is not None:
            outboxes.append(engine.outbox)
        return Numbers(self._counts, self.loop_lag, outboxes, self._parts(), engine)
