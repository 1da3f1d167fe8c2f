"""Where a link between files of the repository leads in the site.

A document of docs/ is a page. A file that only the repository has, such as an example, becomes a page with its text. A link
to anything else (a folder, a file of the project's own work) becomes plain text.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

__all__ = ["PLACES", "Sources", "rewritten"]

PLACES: Final = {
    "README.md": "index.md",
    "docs/openapi.json": "reference/http/index.md",
    "docs/asyncapi.json": "reference/frames.md",
    "docs/codes.json": "reference/codes.md",
    "docs/schemas": "reference/frames.md",
    "frontend/README.md": "reference/npm-package.md",
    "frontend/src": "reference/typescript.md",
    "hub/commands": "reference/command-line.md",
    "hub/config/settings.py": "reference/settings.md",
    "hub/telemetry/measures.py": "reference/metrics.md",
    "docs/dialects": "dialects/macae.md",
}
"""Files and folders of the repository that have a page of another name."""
REPOSITORY_ONLY: Final = ("docs/decisions.md", "docs/dependencies.md", "CONTRIBUTING.md", "bench/")
MAX_BYTES: Final = 32 * 1024
"""Of a file that becomes a page. A larger one, such as a dashboard, is for programs."""
LANGUAGES: Final = {
    ".py": "python",
    ".ts": "ts",
    ".tsx": "tsx",
    ".mjs": "js",
    ".json": "json",
    ".conf": "nginx",
    ".md": "",
}
FENCED: Final = re.compile(r"^(?:```|~~~).*?^(?:```|~~~)\s*$", re.MULTILINE | re.DOTALL)
LINK: Final = re.compile(r"(?<!!)\[((?:[^\[\]]|\[[^\]]*\])*)\]\((?!https?:|mailto:)([^)\s#]*)(#[^)\s]*)?\)")


class Sources:
    """The pages of the site, and those made of other files as links to them are found."""

    def __init__(self, root: Path, documents: set[str]) -> None:
        """`documents`: the paths of the pages below docs/."""
        self._root = root
        self._documents = documents
        self.texts: dict[str, str] = {}
        self._origins: dict[str, str] = {}

    def origin(self, page: str) -> str:
        """The file in the repository that a page was made of."""
        return self._origins.get(page, f"docs/{page}")

    def place(self, file: str) -> str | None:
        """The page that shows this file of the repository; None if no page does."""
        if file in PLACES:
            self._add_known(file)
            return PLACES[file]
        if file.startswith("docs/") and file.removeprefix("docs/") in self._documents:
            return file.removeprefix("docs/")
        path = self._root / file
        if not path.is_file() or path.stat().st_size > MAX_BYTES or file.startswith(REPOSITORY_ONLY):
            return None
        page = f"sources/{file}" if file.endswith(".md") else f"sources/{file.replace('.', '_')}.md"
        self._add(page, file)
        return page

    def _add_known(self, file: str) -> None:
        if file.endswith(".md") and PLACES[file] not in self._documents:
            self._add(PLACES[file], file)

    def _add(self, page: str, file: str) -> None:
        if page in self.texts:
            return
        text = (self._root / file).read_text(encoding="utf-8")
        language = LANGUAGES.get(Path(file).suffix, "text")
        self.texts[page] = text if file.endswith(".md") else f"# {file}\n\n````{language}\n{text}\n````\n"
        self._origins[page] = file

    def find(self, page: str, text: str) -> list[str]:
        """The pages that this page's links lead to; files that become pages are read."""
        folder = posixpath.dirname(self.origin(page))
        found: list[str] = []

        def note(target: str) -> None:
            place = self.place(posixpath.normpath(posixpath.join(folder, target)))
            if place:
                found.append(place)

        rewritten(text, lambda target: note(target) or None)
        return found

    def relinked(self, page: str, text: str, urls: Mapping[str, str] | None = None) -> str:
        """The page's Markdown with links between pages; with `urls`, to the addresses of pages instead."""
        folder = posixpath.dirname(self.origin(page))

        def lead(target: str) -> str | None:
            place = self.place(posixpath.normpath(posixpath.join(folder, target)))
            if place is None:
                return None
            if urls is None:
                return posixpath.relpath(place, posixpath.dirname(page) or ".")
            return posixpath.relpath(urls[place], posixpath.dirname(urls[page]) or ".")

        return rewritten(text, lead)


def rewritten(text: str, lead: Callable[[str], str | None]) -> str:
    """Markdown whose links to files lead elsewhere; where `lead` returns None, only the text of the link is kept.

    Links within a page, to other hosts and in blocks of code stay as they are.
    """

    def replace(match: re.Match[str]) -> str:
        label, target, anchor = match.groups()
        if not target:
            return match[0]
        new = lead(target)
        return label if new is None else f"[{label}]({new}{anchor or ''})"

    parts, at = [], 0
    for block in FENCED.finditer(text):
        parts += [LINK.sub(replace, text[at : block.start()]), block[0]]
        at = block.end()
    return "".join(parts) + LINK.sub(replace, text[at:])
