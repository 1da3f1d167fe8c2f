"""The log in Redis: a single server, one behind Sentinel, or a Cluster."""

from __future__ import annotations

from broadcasters.log.redis.log import RedisLog

__all__ = ["RedisLog"]
