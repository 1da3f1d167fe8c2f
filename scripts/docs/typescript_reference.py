"""A Markdown page of the npm package's public types and functions, from the TypeScript sources."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

__all__ = ["declarations", "pages"]

INTRODUCTION: Final = """\
# TypeScript types

The public names of the npm package, from its sources. [The npm package](npm-package.md) explains how to use them.
"""
SECTIONS: Final = {
    "The client": (
        "client/index.ts",
        ("client/*.ts", "client/core/connection.ts", "client/core/effects.ts", "client/fold/*.ts"),
    ),
    "The hooks": ("react/index.ts", ("react/*.ts",)),
    "Frames, events and snapshots": ("wire/index.ts", ("wire/*.ts",)),
}
"""Title: the module that exports the names, and the files that may declare them."""
DECLARATION: Final = re.compile(
    r"^(?P<about>/\*\*(?:(?!\*/).)*\*/\n)?export (?:declare )?(?P<kind>interface|type|function|class|const) (?P<name>\w+)",
    re.MULTILINE | re.DOTALL,
)


def pages(source: Path) -> dict[str, str]:
    """The page by its path in the site."""
    parts, shown = [INTRODUCTION], set[str]()
    for title, (index, patterns) in SECTIONS.items():
        parts.append(f"## {title}\n")
        exports = (source / index).read_text(encoding="utf-8")
        for path in sorted({path for pattern in patterns for path in source.glob(pattern)}):
            for name, code in declarations(path.read_text(encoding="utf-8")):
                if name not in shown and _exported(exports, path, name):
                    shown.add(name)
                    parts.append(f"### {name} {{#{name}}}\n\n```ts\n{code}\n```\n")
    return {"reference/typescript.md": "\n".join(parts)}


def _exported(index: str, path: Path, name: str) -> bool:
    """Whether the module with this text exports the name of the file: by itself, or with all others of the file."""
    if path.name == "index.ts" or re.search(rf'export type \* from "[^"]*{path.stem}\.js"', index):
        return True
    return any(
        re.search(rf"\b{name}\b", names)
        for names in re.findall(r"^export (?:type )?\{.*?\}", index, re.MULTILINE | re.DOTALL)
    )


def declarations(text: str) -> Iterator[tuple[str, str]]:
    """Exported declarations of a module, without the bodies of functions: (name, code)."""
    found: dict[str, list[str]] = {}
    for match in DECLARATION.finditer(text):
        name, overloads = match["name"], found.setdefault(match["name"], [])
        if match["kind"] == "function" and overloads and "{" in _until(text, match, "\n"):
            continue  # the implementation of overloads is not public
        overloads.append((match["about"] or "") + _declared(text, match))
    for name, codes in found.items():
        yield name, "\n".join(codes)


def _declared(text: str, match: re.Match[str]) -> str:
    start = match.end("about") if match["about"] else match.start()
    rest = text[start:]
    if match["kind"] in ("function", "class", "const"):
        end = re.search(r" \{\n|;\n| =>| = ", rest)
        return rest[: end.start() if end else None].removesuffix(";") + ";"
    end = re.search(r"^\}.*$" if _until(text, match, "\n").endswith("{") else r";\n", rest, re.MULTILINE)
    return rest[: end.end() if end else None].rstrip()


def _until(text: str, match: re.Match[str], mark: str) -> str:
    return text[match.end() : text.index(mark, match.end())]
