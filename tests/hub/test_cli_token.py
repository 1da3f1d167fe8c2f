"""`plancast token`: its tokens are valid at a hub with the same secret, for the given rights only."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import jwt
import pytest

from hub.access.auth import Authenticator, TokenExpired
from hub.cli import main
from hub.config.settings import load

SECRET = "a secret that only tests know, and long enough"


@pytest.fixture(autouse=True)
def secret(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("PLANCAST_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PLANCAST_AUTH_SECRET", SECRET)


def made(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(["token", *words]) == 0
    said = capsys.readouterr()
    assert said.err == ""
    assert said.out.count("\n") == 1
    return said.out.strip()


def claims(token: str) -> dict[str, Any]:
    found: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    return found


def hub(**more: str) -> Authenticator:
    return Authenticator(load({"PLANCAST_AUTH_SECRET": SECRET, **more}))


def test_it_contains_subject_and_rights(capsys: pytest.CaptureFixture[str]) -> None:
    token = made(capsys, "ada", "--plan", "team-a.*=read,input", "--plan", "team-a.*=signal", "--plan", "p=read")
    principal = hub().at_once(token, time.time())
    assert principal is not None
    assert principal.subject == "ada"
    assert principal.grants.plans() == {"p": ["read"], "team-a.*": ["input", "read", "signal"]}
    assert (principal.may("input", "team-a.1"), principal.may("publish", "team-a.1")) == (True, False)


@pytest.mark.parametrize(
    ("words", "seconds"),
    [([], 3600), (["--for", "90"], 90), (["--for", "90s"], 90), (["--for", "15m"], 900), (["--for", "7d"], 604_800)],
)
def test_its_lifetime(words: list[str], seconds: int, capsys: pytest.CaptureFixture[str]) -> None:
    token = made(capsys, "ada", "--plan", "*=read", *words)
    said = claims(token)
    assert seconds - 1 <= said["exp"] - said["iat"] <= seconds
    with pytest.raises(TokenExpired):
        hub().at_once(token, time.time() + seconds + 10)


def test_audience_and_issuer_are_those_of_the_hub(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLANCAST_AUTH_ISSUER", "here")
    token = made(capsys, "ada", "--plan", "*=read", "--auth-audience", "plans")
    assert (claims(token)["aud"], claims(token)["iss"]) == ("plans", "here")
    assert hub(PLANCAST_AUTH_AUDIENCE="plans", PLANCAST_AUTH_ISSUER="here").at_once(token, time.time()) is not None


def test_the_secret_may_be_in_a_file(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    other = "another secret, which is in a file, with a line break"
    (tmp_path / "secret").write_text(other + "\n")
    token = made(capsys, "ada", "--plan", "*=read", "--auth-secret", f"@{tmp_path}/secret")
    assert Authenticator(load({"PLANCAST_AUTH_SECRET": other})).at_once(token, time.time()) is not None


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "SUBJECT"),
        (["ada"], "--plan"),
        (["ada", "--plan", "p"], "PATTERN=VERBS"),
        (["ada", "--plan", "p="], "PATTERN=VERBS"),
        (["ada", "--plan", "=read"], "''"),
        (["ada", "--plan", "a*b=read"], "'a*b'"),
        (["ada", "--plan", "p=write"], "'write'"),
        (["ada", "--plan", "p=read", "--for", "soon"], "90s, 15m, 1h or 7d"),
        (["ada", "--plan", "p=read", "--for", "0"], "90s, 15m, 1h or 7d"),
        (["ada", "--plan", "p=read", "--for", "9999d"], "3650 days"),
        (["a\nb", "--plan", "p=read"], "`sub`"),
        (["", "--plan", "p=read"], "`sub`"),
    ],
)
def test_misuse_is_reported_in_one_line(words: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["token", *words])
    said = capsys.readouterr()
    assert end.value.code == 2
    assert said.out == ""
    assert says in said.err
    assert said.err.count("\n") == 1


@pytest.mark.parametrize(
    ("environment", "says"),
    [
        ({}, "PLANCAST_AUTH_SECRET"),
        ({"PLANCAST_AUTH_JWKS": "/keys.json", "PLANCAST_AUTH_AUDIENCE": "a"}, "PLANCAST_AUTH_SECRET"),
        ({"PLANCAST_AUTH_SECRET": "short"}, "PLANCAST_AUTH_SECRET"),
    ],
)
def test_without_a_secret_there_is_no_token(
    environment: dict[str, str],
    says: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("PLANCAST_AUTH_SECRET")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert main(["token", "ada", "--plan", "*=read"]) == 1
    assert says in capsys.readouterr().err


def test_the_command_as_a_process() -> None:
    plancast = Path(sys.executable).with_name("plancast")
    done = subprocess.run(
        [plancast, "token", "ada", "--plan", "*=read"],
        env={"PLANCAST_AUTH_SECRET": SECRET, "PATH": os.environ["PATH"], "HOME": "/nowhere"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert claims(done.stdout.strip())["sub"] == "ada"
