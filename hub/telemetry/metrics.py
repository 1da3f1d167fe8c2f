"""What the hub counted, for Prometheus.

Nothing is measured on the way: numbers are read from `HubCounts` when somebody scrapes. Each hub has a registry of its
own. With several workers, any of them answers for all (`hub.telemetry.worker_metrics`): each worker's numbers carry its
`worker` label, so rates stay right when a worker restarts, and `sum without (worker)` adds them up.
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
from hub.telemetry.measures import MEASURES, Numbers
from hub.telemetry.worker_metrics import Siblings

__all__ = ["Metrics"]

logger = logging.getLogger(__name__)

LAG_PERIOD: Final = 0.25
SHARE_PERIOD: Final = 1.0


class _Counted(Collector):
    """The hub's own numbers, read when they are collected."""

    def __init__(self, numbers: Callable[[], Numbers]) -> None:
        self._numbers = numbers

    def collect(self) -> Iterable[Metric]:
        numbers = self._numbers()
        return [family for measure in MEASURES if (family := measure.family(numbers)) is not None]


class Metrics:
    """The metrics of one hub in one process. `start` it for the loop's lag to be known, and to share."""

    def __init__(
        self,
        counts: HubCounts,
        outbox: Callable[[], OutboxStatistics] | None = None,
        siblings: Siblings | None = None,
        parts: Callable[[], Mapping[str, Part]] = dict,
    ) -> None:
        self.loop_lag = Histogram(LAG_BOUNDS)
        self._counts = counts
        self._outbox = outbox
        self._siblings = siblings
        self._parts = parts
        self._due = 0.0
        self._own = CollectorRegistry(auto_describe=False)
        self._own.register(_Counted(self._read))
        ProcessCollector(registry=self._own)

    def render(self, accept: str = "") -> tuple[bytes, str]:
        """The answer to a scrape, and its content type."""
        encode, content_type = choose_encoder(accept)
        registry = self._own if self._siblings is None else self._siblings.together(self._own.collect())
        return encode(registry), content_type

    def start(self, supervisor: Supervisor) -> None:
        """Notice how late the event loop is, and let the siblings know our numbers, until the supervisor closes."""
        self._due = asyncio.get_running_loop().time() + LAG_PERIOD
        supervisor.repeat("measurement of the event loop", self._measure_lag, every=LAG_PERIOD)
        if self._siblings is not None:
            supervisor.repeat("sharing of metrics", self._share, every=SHARE_PERIOD)

    async def _measure_lag(self) -> None:
        now = asyncio.get_running_loop().time()
        self.loop_lag.observe(now - self._due)
        self._due = now + LAG_PERIOD

    async def _share(self) -> None:
        self.share()

    def share(self) -> None:
        """Let the siblings know our numbers as they are now."""
        if self._siblings is not None:
            try:
                self._siblings.share(self._own.collect())
            except OSError as error:  # no room on the disk, or somebody cleaned up
                logger.warning("the other workers can't be told our numbers: %s", error)

    def _read(self) -> Numbers:
        outbox = self._outbox() if self._outbox is not None else None
        return Numbers(self._counts, self.loop_lag, outbox, self._parts())
