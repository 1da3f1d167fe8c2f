"""The log behind a hub, over HTTP, for agents that can't reach the log itself."""

from broadcasters.log.http.log import HttpLog

__all__ = ["HttpLog"]
