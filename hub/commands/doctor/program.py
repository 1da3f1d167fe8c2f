"""Checks of this program: variables and settings, extras, the page, the engine, the model, the limit on open files."""

from __future__ import annotations

import os
import re
import sqlite3
import sys
from asyncio import to_thread
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Final

from broadcasters.errors import PlancastError
from hub.commands.doctor.finding import Check, Finding
from hub.config.settings import PREFIX, BadSetting, Settings, load, unknown_variables

__all__ = ["checks_of_program", "settings_now"]

EXTRAS: Final = ("hub", "engine", "templates")
_of_extra = re.compile(r"([\w.-]+)[^;]*;(.*)extra == ['\"]([\w-]+)['\"]")


def checks_of_program() -> list[Check]:
    """The checks that need no log and no hub."""
    checks = [Check("variables", to_thread(_variables)), Check("settings", to_thread(_settings))]
    checks += [Check("extras", to_thread(_extras)), Check("page", to_thread(_page))]
    try:
        settings = settings_now()
    except BadSetting:
        return checks  # `_settings` reports it
    later = {"engine": _engine, "model": _model, "open files": _open_files}
    return [*checks, *(Check(name, to_thread(check, settings)) for name, check in later.items())]


def settings_now() -> Settings:
    """The settings of a hub or worker in this environment. An agent's log behind a hub is left out.

    Raises:
        BadSetting: A variable has an invalid value.
    """
    behind_hub = os.environ.get("PLANCAST_LOG", "").strip().startswith(("http://", "https://"))
    return load({**os.environ, **({"PLANCAST_LOG": "sqlite:///plans.db"} if behind_hub else {})})


def _variables() -> Sequence[Finding]:
    ours = sorted(name for name in os.environ if name.startswith(PREFIX))
    if unknown := unknown_variables(os.environ):
        return [_unknown(name, meant) for name, meant in unknown.items()]
    return [Finding("variables", "ok", f"set: {', '.join(ours)}" if ours else "no PLANCAST_… variable is set")]


def _unknown(name: str, meant: str | None) -> Finding:
    found = f"{name} is not a setting and is ignored"
    if meant is None:
        return Finding("variables", "warning", found, f"unset {name}")
    return Finding("variables", "warning", f"{found}; did you mean {meant}?", f'export {meant}="${name}"; unset {name}')


def _settings() -> Sequence[Finding]:
    try:
        settings_now()
    except BadSetting as error:
        name = str(error).partition(":")[0].partition(" ")[0]
        return [Finding("settings", "failed", str(error), f"unset {name}")]
    return [Finding("settings", "ok", "all values are valid")]


def _extras() -> Sequence[Finding]:
    missing = {extra: _missing(extra) for extra in EXTRAS}
    incomplete = [extra for extra in EXTRAS if 0 < len(missing[extra]) < len(_packages(extra))]
    if incomplete:
        return [
            Finding("extras", "failed", f"{extra} is incomplete: no {', '.join(missing[extra])}", _install(extra))
            for extra in incomplete
        ]
    installed = [extra for extra in EXTRAS if not missing[extra]]
    absent = [extra for extra in EXTRAS if missing[extra]]
    found = f"installed: {', '.join(installed) or 'none; agents need none'}"
    return [Finding("extras", "ok", f"{found}; not installed: {', '.join(absent)}" if absent and installed else found)]


def _install(extra: str) -> str:
    return f"pip install 'plancast[{extra}]'"


def _packages(extra: str) -> list[str]:
    """The packages of an extra on this system."""
    found = [one for line in requires("plancast") or () if (one := _of_extra.match(line)) and one[3] == extra]
    return [one[1] for one in found if not (sys.platform == "win32" and "sys_platform" in one[2])]


def _missing(extra: str) -> list[str]:
    return [package for package in _packages(extra) if not _installed(package)]


def _installed(package: str) -> bool:
    try:
        version(package)
    except PackageNotFoundError:
        return False
    return True


def _page() -> Sequence[Finding]:
    import hub

    if _missing("hub"):
        return [Finding("page", "skipped", "without the extra hub, no hub runs here")]
    if (Path(hub.__file__).parent / "page" / "built" / "index.html").is_file():
        return [Finding("page", "ok", "built")]
    fix = "make page" if (Path(hub.__file__).parents[1] / "Makefile").is_file() else _install("hub")
    return [Finding("page", "warning", "not built: a hub here serves a minimal page, of one plan at a time", fix)]


def _engine(settings: Settings) -> Sequence[Finding]:
    if settings.engine == "off" or _missing("engine"):
        return [Finding("engine", "skipped", "no engine runs here")]
    from plan_engine.worker.sqlite import sqlite_problem

    if not settings.engine_db.startswith("sqlite:"):
        return [Finding("engine", "ok", "its database is PostgreSQL")]
    if problem := sqlite_problem():
        return [Finding("engine", "failed", problem, "export PLANCAST_ENGINE_DB=postgresql://USER:PASSWORD@HOST/NAME")]
    return [Finding("engine", "ok", f"its database is SQLite {sqlite3.sqlite_version}")]


def _model(settings: Settings) -> Sequence[Finding]:
    if settings.model == "offline":
        return [Finding("model", "ok", "offline: the agents of the built-in templates follow a script")]
    if _missing("templates"):
        return [Finding("model", "failed", f"{settings.model} requires the extra templates", _install("templates"))]
    from hub.commands.embedded import check_model

    try:
        check_model(settings)
    except PlancastError as error:
        return [Finding("model", "failed", str(error), "export PLANCAST_MODEL=offline")]
    return [Finding("model", "ok", f"{settings.model} can be used; nothing was sent to it")]


def _open_files(settings: Settings) -> Sequence[Finding]:
    if sys.platform == "win32":
        return [Finding("open files", "skipped", "this system has no limit on them")]
    from hub.process.workers import files_allowed, files_needed

    allowed, needed = files_allowed(), files_needed(settings.max_connections)
    if allowed >= needed:
        return [Finding("open files", "ok", f"enough for a hub with {settings.max_connections:,} connections")]
    found = f"at most {allowed:,.0f}, but a hub with {settings.max_connections:,} connections opens {needed:,}"
    return [Finding("open files", "warning", f"{found} (systemd: LimitNOFILE={needed})", f"ulimit -n {needed}")]
