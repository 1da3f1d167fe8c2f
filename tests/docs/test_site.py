"""The documentation site: its navigation; and, slow, the pages that `make docs` builds."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urldefrag, urljoin

import pytest

from hub.api.page import FOLDER
from scripts.docs.sources import PLACES
from tests.docs.documents import DOCS

CONFIGURATION: Final = (DOCS.parent / "mkdocs.yml").read_text()
IN_THE_REPOSITORY: Final = {"decisions.md", "dependencies.md"}
BUILT: Final = FOLDER / "docs"
MAX_BYTES: Final = 8 * 1024 * 1024


def test_every_document_is_in_the_navigation_once() -> None:
    named = re.findall(r"([\w/.-]+\.md)$", CONFIGURATION.split("\nnav:\n")[1], re.MULTILINE)
    documents = {path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md")}
    assert len(named) == len(set(named))
    assert documents - set(named) == IN_THE_REPOSITORY
    generated = set(named) - documents
    assert {page for page in PLACES.values() if page.startswith("reference/")} <= generated


def test_what_stays_in_the_repository_is_excluded() -> None:
    excluded = CONFIGURATION.split("exclude_docs: |\n")[1]
    assert all(f"  {name}\n" in excluded for name in IN_THE_REPOSITORY)


class Page(HTMLParser):
    """The anchors of a page, and the addresses that it refers to."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.anchors: set[str] = {""}
        self.loaded: list[str] = []
        self.links: list[str] = []
        self.feed(path.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.anchors |= {given.get("id", ""), given.get("name", "")}
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        elif tag == "link" and given.get("rel") != "canonical":
            self.loaded.append(given.get("href", ""))
        elif "src" in given:
            self.loaded.append(given["src"])


@pytest.fixture(scope="module")
def pages() -> dict[str, Page]:
    """The built pages by their address."""
    assert BUILT.is_dir(), "run: make docs"
    found = {path.relative_to(BUILT).as_posix(): Page(path) for path in BUILT.rglob("*.html")}
    return {f"/{name.removesuffix('index.html')}": page for name, page in found.items()}


@pytest.mark.slow
def test_the_built_site_has_no_dead_link_and_loads_nothing_from_elsewhere(pages: dict[str, Page]) -> None:
    assert len(pages) > 60
    dead, foreign = [], []
    for address, page in pages.items():
        foreign += [(address, each) for each in page.loaded if re.match(r"(?:https?:)?//", each)]
        for link in [*page.links, *page.loaded]:
            target, anchor = urldefrag(urljoin(address, link))
            if re.match(r"\w+:", target):
                continue
            if target in pages:
                if unquote(anchor) not in pages[target].anchors:
                    dead.append((address, link))
            elif not (BUILT / target[1:]).is_file():
                dead.append((address, link))
    assert (dead, foreign) == ([], [])


@pytest.mark.slow
def test_every_page_is_in_markdown_too_and_its_links_lead_somewhere(pages: dict[str, Page]) -> None:
    index = (BUILT / "llms.txt").read_text()
    listed = re.findall(r"^- \[.+?\]\((.+?)\)", index, re.MULTILINE)
    assert all((BUILT / name).is_file() for name in listed)
    assert {f"{address}index.md" for address in pages if not address.startswith("/sources/")} == {
        f"/{at}" for at in listed
    }
    links = [(path, link) for path in BUILT.rglob("*.md") for link in links_of(path.read_text())]
    assert len(links) > 300
    assert [(str(path), link) for path, link in links if not (path.parent / link).is_file()] == []


def links_of(markdown: str) -> list[str]:
    """The links to files, without those in blocks of code."""
    text = re.sub(r"^```.*?^```", "", markdown, flags=re.MULTILINE | re.DOTALL)
    return re.findall(r"(?<!!)\]\((?!http|#)([^)#\s]+)", text)


@pytest.mark.slow
def test_the_site_stays_small() -> None:
    assert sum(path.stat().st_size for path in BUILT.rglob("*") if path.is_file()) < MAX_BYTES
