"""The log behind a hub's HTTP interface, for agents that can't reach the log itself."""

from broadcasters.log.http.log import HttpLog

__all__ = ["HttpLog"]
