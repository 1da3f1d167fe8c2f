"""`plancast start`"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import secrets
import sys
from collections.abc import Mapping, Sequence
from typing import Any, cast

from broadcasters.errors import InvalidEvent, PlancastError
from broadcasters.events import check_plan_id
from hub.commands import log_argument
from hub.commands.following import exit_code, follow_plan
from hub.commands.output import note, print_json
from hub.commands.plan_access import PlanAccess, open_plans
from hub.config.flags import add_flag
from hub.config.suggestions import did_you_mean
from hub.engine_port import TemplateInfo
from hub.terminal import Look, clean, table

__all__ = ["ABOUT", "EXAMPLES", "arguments", "input_of", "run"]

_pair = re.compile(r"([A-Za-z_][\w.-]*)=(.*)", re.DOTALL)

ABOUT = """\
Start a plan from a template, and print its id. Without TEMPLATE, the templates
are listed with their inputs. With a hub's URL in --log or PLANCAST_LOG, the hub
starts the plan; otherwise it is queued in the engine's database, for a hub or
`plancast worker` on that database to run."""
EXAMPLES = """\
plancast start
plancast start exhibition theme=Rivers --follow
plancast start trip "Three days in Rome" --id rome-1
plancast start trip --input '{"message": "Three days in Rome"}'
echo '{"theme": "Rivers"}' | plancast start exhibition -"""


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("template", metavar="TEMPLATE", nargs="?", help="the template's name")
    parser.add_argument(
        "words",
        metavar="KEY=VALUE",
        nargs="*",
        help="its input: text or, for other types, JSON; KEY= may be left out for the only input that is required; "
        "- reads the whole input as JSON from standard input",
    )
    parser.add_argument("--input", metavar="JSON", help="the whole input as a JSON object")
    parser.add_argument("--id", metavar="PLAN_ID", dest="plan_id", help="the plan's id (default: a new one)")
    parser.add_argument("--follow", action="store_true", help="follow the plan until it ends, as plancast tail does")
    parser.add_argument(
        "--exit-status", action="store_true", help="with --follow: exit with 1 if the plan fails or is cancelled"
    )
    parser.add_argument("--json", action="store_true", help="print JSON: the plan, and with --follow its events")
    log_argument(parser)
    add_flag(parser, "templates")
    add_flag(parser, "engine_db")
    parser.set_defaults(misused=parser.error)


def run(args: argparse.Namespace) -> int:
    if args.exit_status and not args.follow:
        args.misused("--exit-status requires --follow")
    if args.plan_id is not None:
        check_plan_id(args.plan_id)
    if args.template is None:
        asyncio.run(_list(args))
        return 0
    plan_id = args.plan_id or f"plan-{secrets.token_hex(8)}"
    asyncio.run(_start(args, plan_id))
    if not args.follow:
        return 0
    status = follow_plan(args, plan_id, "start")
    return exit_code(status) if args.exit_status else 0


async def _list(args: argparse.Namespace) -> None:
    async with open_plans(args) as access:
        found = await access.templates()
    if args.json:
        for one in found:
            print_json({"name": one.name, "title": one.title, "about": one.about, "input_schema": one.input_schema})
    elif found:
        look = Look.of(sys.stdout)
        rows = [(one.name, _inputs(one), clean(one.about or one.title).split("\n")[0]) for one in found]
        print(look.plain(table(("TEMPLATE", "INPUT", "ABOUT"), rows, look)))
    else:
        note("no templates: this hub has no engine")


def _inputs(template: TemplateInfo) -> str:
    """`theme=… [rooms=…]`"""
    required = template.input_schema.get("required", ())
    return " ".join(f"{name}=…" if name in required else f"[{name}=…]" for name in _properties(template))


async def _start(args: argparse.Namespace, plan_id: str) -> None:
    async with open_plans(args) as access:
        template = await _template(access, args.template)
        given = input_of(args.words, args.input, template)
        if template is not None:
            _check_required(given, template)
        page = await access.start(args.template, given, plan_id)
        if args.json:
            print_json({"plan_id": plan_id, "template": args.template, "page": page})
        else:
            print(plan_id, flush=True)
        if sys.stderr.isatty():
            note(f"its page: {page}" if page else "a hub or `plancast worker` on the engine's database runs it")


def _check_required(given: Mapping[str, Any], template: TemplateInfo) -> None:
    """Raises `InvalidEvent` if the input lacks something that the template requires."""
    missing = [name for name in template.input_schema.get("required", ()) if name not in given]
    if missing:
        example = " ".join(f"{name}=…" for name in missing)
        problem = f"missing {', '.join(missing)}; for example: plancast start {template.name} {example}"
        raise InvalidEvent("input", f"{problem} (plancast start lists all inputs)")


async def _template(access: PlanAccess, name: str) -> TemplateInfo | None:
    found = {one.name: one for one in await access.templates()}
    if found and name not in found:
        hint = did_you_mean(name, found) or f"; expected one of {', '.join(found)}"
        raise PlancastError(f"unknown template {name!r:.60}{hint} (plancast start lists them)")
    return found.get(name)


def input_of(words: Sequence[str], text: str | None, template: TemplateInfo | None) -> dict[str, Any]:
    """A plan's input from `key=value` pairs, from plain words, or from JSON. Raises `InvalidEvent` if it can't be read."""
    if text is not None and words:
        raise InvalidEvent("--input", "can't be combined with KEY=VALUE or -")
    if words and words[0] == "-":
        if len(words) > 1:
            raise InvalidEvent("-", "can't be combined with KEY=VALUE")
        text = sys.stdin.read()
    if text is not None:
        return _object(text)
    given: dict[str, Any] = {}
    for word in words:
        if (pair := _pair.fullmatch(word)) is not None:
            given[pair[1]] = _value(pair[1], pair[2], template)
        elif (name := _text_input(template)) is not None and name not in given:
            given[name] = word
        else:
            raise InvalidEvent("input", f"expected KEY=VALUE; got {word!r:.60}")
    return given


def _text_input(template: TemplateInfo | None) -> str | None:
    """The only input that a template requires, if it is text."""
    required: Sequence[str] = template.input_schema.get("required", ()) if template else ()
    if template is None or len(required) != 1 or "string" not in _kinds(_properties(template).get(required[0], {})):
        return None
    return required[0]


def _object(text: str) -> dict[str, Any]:
    try:
        value: Any = json.loads(text)
    except ValueError as error:
        raise InvalidEvent("input", f"expected a JSON object; {error}") from None
    if not isinstance(value, dict):
        raise InvalidEvent("input", f"expected a JSON object; got {text!r:.60}")
    return cast("dict[str, Any]", value)


def _value(key: str, text: str, template: TemplateInfo | None) -> Any:
    """The value of a pair: text if the template takes text there, otherwise JSON."""
    properties: Mapping[str, Mapping[str, Any]] = _properties(template) if template else {}
    if properties and key not in properties:
        hint = did_you_mean(key, properties) or f"; expected {', '.join(properties)}"
        raise InvalidEvent("input", f"the template has no input {key!r:.60}{hint}")
    kinds = _kinds(properties.get(key, {}))
    if "string" in kinds:
        return text
    try:
        return json.loads(text)
    except ValueError:
        if not kinds:
            return text
        raise InvalidEvent(key, f"expected JSON of type {' or '.join(sorted(kinds))}; got {text!r:.60}") from None


def _properties(template: TemplateInfo) -> Mapping[str, Mapping[str, Any]]:
    return cast("Mapping[str, Mapping[str, Any]]", template.input_schema.get("properties", {}))


def _kinds(schema: Mapping[str, Any]) -> set[str]:
    """The JSON types that a schema names; none if it names none."""
    kinds = schema.get("type", [])
    found = {kinds} if isinstance(kinds, str) else set(kinds)
    for one in schema.get("anyOf", ()):
        found |= _kinds(one)
    if "enum" in schema and not found:
        found = {"string"}
    return found - {"null"}
