"""Hooks of MkDocs: add the generated pages, lead links to pages, and write llms.txt and the Markdown of each page."""

from __future__ import annotations

import json
import posixpath
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any, Final

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.nav import Navigation, Section
from mkdocs.structure.pages import Page

from scripts.docs import http_reference, stream_reference, typescript_reference
from scripts.docs.sources import Sources, rewritten

ROOT: Final = Path(__file__).parents[2]
UNUSED: Final = ("assets/javascripts/lunr", "assets/**/*.map", "sitemap.xml*", "404.html", "assets/images/favicon.png")
"""What the theme adds and a hub does not need: other languages, source maps, and files for search engines."""


ANY_WORD: Final = "r:`${r}*`)"
EVERY_WORD: Final = "r:lunr.stopWordFilter(r)?`+${lunr.stemmer(new lunr.Token(r.toLowerCase()))}*`:``)"
"""The theme's search finds pages with any of the words, and `a` of "cancel a plan" on every page. Pages must have all words,
except those that any text has. The index has the words' stems, and a prefix is not stemmed by itself: `pause*` is not found
among them."""
RANKS: Final = {
    "sources/": 0.1,
    "reference/command-line": 0.8,
    "reference/settings": 0.8,
    "reference/http/schemas": 0.1,
    "reference/": 0.4,
    "PROTOCOL": 0.4,
    "dialects/": 0.4,
    "tutorial": 4.0,
    "how-to/": 4.0,
}
"""Factors in search: who asks how to do something should find that before a table of fields."""


class Site:
    """One build: the pages added to it, and the Markdown of all."""

    def __init__(self) -> None:
        self.sources = Sources(ROOT, set())
        self.generated: dict[str, str] = {}
        self.markdown: dict[str, str] = {}
        self.urls: dict[str, str] = {}
        self.navigation: Navigation | None = None


_site = Site()


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that have no file in docs/, and give all pages lower-case addresses."""
    docs = Path(config.docs_dir)
    _site.generated = {
        **http_reference.pages(docs / "openapi.json"),
        **stream_reference.pages(docs),
        **typescript_reference.pages(ROOT / "frontend/src"),
        **_from_code(),
    }
    pages = {file.src_uri: file.content_string for file in files.documentation_pages() if file.inclusion.is_included()}
    _site.sources = Sources(ROOT, {*pages, *_site.generated})
    left = list(pages)
    while left:
        page = left.pop()
        text = pages.get(page) or _site.sources.texts[page]
        known = {*pages, *_site.generated, *_site.sources.texts}
        left += [found for found in _site.sources.find(page, text) if found not in known]
    for path, text in {**_site.generated, **_site.sources.texts}.items():
        files.append(File.generated(config, path, content=text))
    for file in files.documentation_pages():
        file.dest_uri = file.dest_uri.lower()
    _site.urls = {file.src_uri: file.dest_uri.removesuffix(".html") + ".md" for file in files.documentation_pages()}
    return files


def _from_code() -> dict[str, str]:
    """The pages that need the project's own environment, which is not the one that MkDocs runs in."""
    command = [str(ROOT / ".venv/bin/python"), "-m", "scripts.docs.from_code"]
    pages: dict[str, str] = json.loads(subprocess.run(command, cwd=ROOT, check=True, capture_output=True).stdout)
    return pages


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Lead links to pages, and keep the Markdown for programs that read it."""
    path = page.file.src_uri
    rank = next((each for start, each in RANKS.items() if path.startswith(start)), 2.0)
    page.meta.setdefault("search", {"boost": rank})
    if path in _site.generated:
        _site.markdown[path] = _as_published(path, markdown)
        return markdown
    _site.markdown[path] = _site.sources.relinked(path, markdown, _site.urls)
    return _site.sources.relinked(path, markdown)


def _as_published(page: str, text: str) -> str:
    """The Markdown of a generated page, whose links are those of the site, with links from the place it is published at."""

    def lead(target: str) -> str:
        found = posixpath.normpath(posixpath.join(posixpath.dirname(page), target))
        return posixpath.relpath(_site.urls.get(found, found), posixpath.dirname(_site.urls[page]))

    return rewritten(text, lead)


def on_nav(nav: Navigation, **_: Any) -> Navigation:
    _site.navigation = nav
    return nav


def on_post_build(config: MkDocsConfig, **_: Any) -> None:
    """Write llms.txt and the Markdown of each page, and remove what is not needed."""
    folder = Path(config.site_dir)
    for path, text in _site.markdown.items():
        target = folder / _site.urls[path]
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
    (folder / "llms.txt").write_text(_llms_txt(config), encoding="utf-8")
    _require_every_word(folder)
    for pattern in UNUSED:
        for path in sorted(folder.glob(pattern), reverse=True):
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def _require_every_word(folder: Path) -> None:
    (worker,) = folder.glob("assets/javascripts/workers/search.*.min.js")
    code = worker.read_text(encoding="utf-8")
    if code.count(ANY_WORD) != 1:
        raise PluginError("the theme's search has changed: adapt ANY_WORD in scripts/docs/hooks.py, or remove it")
    worker.write_text(code.replace(ANY_WORD, EVERY_WORD), encoding="utf-8")


def _llms_txt(config: MkDocsConfig) -> str:
    """The index for language models (llmstxt.org): each page in Markdown, with its first sentence."""
    assert _site.navigation is not None
    lines = [f"# {config.site_name}", "", f"> {config.site_description}"]
    for item in _site.navigation.items:
        pages = list(_pages_in(item))
        lines += ["", f"## {item.title or 'Start'}", ""]
        lines += [f"- [{page.title}]({_site.urls[page.file.src_uri]}): {_summary(page)}".rstrip(": ") for page in pages]
    return "\n".join(lines) + "\n"


def _pages_in(item: Any) -> list[Page]:
    if isinstance(item, Section):
        return [page for child in item.children for page in _pages_in(child)]
    return [item] if isinstance(item, Page) else []


def _summary(page: Page) -> str:
    """The first sentence of a page."""
    text = re.sub(
        r"^(?:---\n.*?\n---\n|#.*\n|\s+|<[^>]+>|!\[.*?\)|:::.*\n|\|.*\n)+", "", _site.markdown[page.file.src_uri]
    )
    first = re.split(r"(?<=[.:])\s", " ".join(text.partition("\n\n")[0].split()), maxsplit=1)[0]
    return re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", first)
