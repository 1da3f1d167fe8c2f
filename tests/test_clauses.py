"""Every clause of docs/PROTOCOL.md is cited by a test or a vector, and only existing clauses are cited."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parent.parent
CLAUSE = re.compile(r"\b[CHKP]-[A-Z]{3}-\d+\b")
SPAN = re.compile(r"\b([CHKP]-[A-Z]{3}-)(\d+) to \1(\d+)\b")
DOCUMENT = (ROOT / "docs/PROTOCOL.md").read_text()
CLAUSES = re.findall(r"^- \*\*(.+?)\*\*", DOCUMENT, re.MULTILINE)
SOURCES = sorted(
    path
    for folder, kinds in (("tests", ("*.py", "*.json", "*.ts")), ("frontend", ("*.test.ts", "*.test.tsx")))
    for kind in kinds
    for path in (ROOT / folder).rglob(kind)
    if "node_modules" not in path.parts and path != Path(__file__)
)


def cited(text: str) -> set[str]:
    spans = {f"{stem}{n}" for stem, first, last in SPAN.findall(text) for n in range(int(first), int(last) + 1)}
    return set(CLAUSE.findall(text)) | spans


CITED = {path: cited(path.read_text()) for path in SOURCES}


def test_clause_ids_are_unique_and_well_formed() -> None:
    assert [clause for clause, count in Counter(CLAUSES).items() if count > 1] == []
    assert [clause for clause in CLAUSES if not CLAUSE.fullmatch(clause)] == []
    assert len(CLAUSES) > 60


def test_the_document_refers_to_clauses_that_exist() -> None:
    assert cited(DOCUMENT) - set(CLAUSES) == set()


def test_only_existing_clauses_are_cited() -> None:
    unknown = {str(path.relative_to(ROOT)): sorted(ids - set(CLAUSES)) for path, ids in CITED.items()}
    assert {path: ids for path, ids in unknown.items() if ids} == {}


def test_every_clause_is_cited() -> None:
    assert [clause for clause in CLAUSES if not any(clause in ids for ids in CITED.values())] == []
