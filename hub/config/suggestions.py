"""Did you mean …?: the known name that is most similar to a wrong one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

__all__ = ["STATUS_SYNONYMS", "did_you_mean", "nearest"]

STATUS_SYNONYMS: Mapping[str, str] = {
    **dict.fromkeys(("done", "finished", "complete", "success", "succeeded", "successful", "ok"), "completed"),
    **dict.fromkeys(("running", "run", "active", "started", "working", "in-progress", "inprogress"), "in_progress"),
    **dict.fromkeys(("failed", "fail", "failure", "errored", "broken"), "error"),
    **dict.fromkeys(("canceled", "aborted", "stopped", "killed"), "cancelled"),
    **dict.fromkeys(("queued", "new", "todo", "open"), "pending"),
    **dict.fromkeys(("blocked", "asking", "paused"), "waiting"),
}
"""Other programs' words for the statuses of plans and steps."""


def nearest(word: str, known: Iterable[str], synonyms: Mapping[str, str] | None = None) -> str | None:
    """The known name for a synonym, or else the most similar one; None if none is similar."""
    import difflib  # takes 5 ms, and is needed only for errors

    by_lower = {name.lower(): name for name in known}
    meant = (synonyms or {}).get(word.lower(), word).lower()
    if meant in by_lower:
        return by_lower[meant]
    found = difflib.get_close_matches(meant, by_lower, 1)
    return by_lower[found[0]] if found else None


def did_you_mean(word: str, known: Iterable[str], synonyms: Mapping[str, str] | None = None) -> str:
    """`; did you mean …?` to end an error with, or an empty string."""
    found = nearest(word, known, synonyms)
    return f"; did you mean {found}?" if found else ""
