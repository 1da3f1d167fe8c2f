"""Links between files of the repository, in the documentation site."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.docs.sources import Sources, rewritten


@pytest.fixture
def sources(tmp_path: Path) -> Sources:
    for path, text in {
        "docs/GUIDE.md": "See [it](../examples/app.py).",
        "docs/clients/README.md": "",
        "docs/decisions.md": "",
        "deploy/dashboard.json": " " * 40_000,
        "examples/app.py": "print('Hi.')",
        "examples/chat/README.md": "See [the guide](../../docs/GUIDE.md#begin) and [it](../app.py).",
    }.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    return Sources(tmp_path, {"GUIDE.md", "clients/README.md", "reference/http/index.md"})


@pytest.mark.parametrize(
    ("page", "link", "made"),
    [
        ("GUIDE.md", "[a](clients/README.md)", "[a](clients/README.md)"),
        ("clients/README.md", "[a](../GUIDE.md#begin)", "[a](../GUIDE.md#begin)"),
        ("GUIDE.md", "[a](openapi.json)", "[a](reference/http/index.md)"),
        ("clients/README.md", "[a](../../examples/app.py)", "[a](../sources/examples/app_py.md)"),
        ("GUIDE.md", "[`a`](../examples/chat/README.md)", "[`a`](sources/examples/chat/README.md)"),
        ("GUIDE.md", "[decisions](decisions.md), [all](../examples)", "decisions, all"),
        ("GUIDE.md", "[a dashboard](../deploy/dashboard.json)", "a dashboard"),
        ("GUIDE.md", "[a](#here) [b](https://b.example/x.md)", "[a](#here) [b](https://b.example/x.md)"),
        ("GUIDE.md", "```md\n[a](openapi.json)\n```\n", "```md\n[a](openapi.json)\n```\n"),
    ],
)
def test_a_link_leads_to_the_page_that_shows_the_file(sources: Sources, page: str, link: str, made: str) -> None:
    assert sources.relinked(page, link) == made


def test_a_linked_file_becomes_a_page_and_its_links_lead_back(sources: Sources) -> None:
    readme = "sources/examples/chat/README.md"
    assert sources.find("GUIDE.md", "[a](../examples/chat/README.md) [b](decisions.md)") == [readme]
    assert sources.find(readme, sources.texts[readme]) == ["GUIDE.md", "sources/examples/app_py.md"]
    assert sources.texts["sources/examples/app_py.md"] == "# examples/app.py\n\n````python\nprint('Hi.')\n````\n"
    made = sources.relinked(readme, sources.texts[readme])
    assert made == "See [the guide](../../../GUIDE.md#begin) and [it](../app_py.md)."


def test_the_markdown_of_a_page_links_to_markdown(sources: Sources) -> None:
    urls = {"GUIDE.md": "guide/index.md", "clients/README.md": "clients/index.md"}
    made = sources.relinked("GUIDE.md", "[a](clients/README.md#one)", urls)
    assert made == "[a](../clients/index.md#one)"


def test_the_text_of_a_link_may_have_brackets() -> None:
    assert rewritten("[a `[b]` c](x.md)", lambda _: "y.md") == "[a `[b]` c](y.md)"
