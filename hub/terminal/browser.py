"""Opens pages in the person's browser."""

from __future__ import annotations

import os
import sys
import webbrowser

__all__ = ["has_browser", "open_page"]


def has_browser() -> bool:
    """Whether there is a browser with windows. (A browser for text can't show the page.)"""
    if os.environ.get("BROWSER"):
        return True
    if sys.platform in ("darwin", "win32"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY") or os.environ.get("WSL_DISTRO_NAME"))


def open_page(url: str) -> bool:
    """Open a page; returns False if there is no browser, or it doesn't start."""
    if not has_browser():
        return False
    try:
        return webbrowser.open(url)
    except (webbrowser.Error, OSError):
        return False
