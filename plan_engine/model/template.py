"""Templates: plans that can be started by name."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any, Final

from pydantic import BaseModel, ValidationError

from plan_engine.errors import BadPlan, UnfitInput, UnknownTemplate
from plan_engine.model.plan import Plan

__all__ = ["Rate", "Template", "by_name", "named", "template", "templates_in"]

_name = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}\Z")
ANYTHING: Final[Mapping[str, Any]] = {"type": "object"}


@dataclass(frozen=True, slots=True)
class Rate:
    """A limit on how often plans begin, over all workers: at most `plans` in any `seconds`.

    Example:
        @template("report", title="Write a report", rate=Rate(plans=10, seconds=60))
    """

    plans: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Template:
    """A plan that can be started by name. Made by the decorator `template`, which describes the attributes."""

    name: str
    title: str
    about: str
    make: Callable[[Any], Plan]
    input: type[BaseModel] | None = None
    concurrency: int | None = None
    rate: Rate | None = None

    def __post_init__(self) -> None:
        if not _name.match(self.name):
            raise BadPlan(f"template {self.name!r}: a name must be 1 to 64 characters of a-z 0-9 _ . -")
        if self.concurrency is not None and self.concurrency < 1:
            raise BadPlan(f"template {self.name!r}: concurrency must be 1 or more, or None; got {self.concurrency!r}")
        if self.rate is not None and not (self.rate.plans >= 1 and self.rate.seconds > 0):
            raise BadPlan(
                f"template {self.name!r}: plans and seconds of its rate must be more than 0; got {self.rate!r}"
            )

    @property
    def input_schema(self) -> Mapping[str, Any]:
        """The JSON schema of its input."""
        return ANYTHING if self.input is None else self.input.model_json_schema()

    def fit(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Validate an input.

        Args:
            given: the input as it was given.

        Returns:
            The input as agents will see it, with its defaults.

        Raises:
            UnfitInput: it doesn't match the input model.
        """
        if self.input is None:
            return dict(given)
        try:
            return self.input.model_validate(given).model_dump(mode="json")
        except ValidationError as error:
            first = error.errors(include_url=False, include_context=False)[0]
            where = ".".join(map(str, first["loc"]))
            what = first["msg"].removeprefix("Value error, ")
            raise UnfitInput(f"{where}: {what}" if where else what) from None

    def plan(self, given: Mapping[str, Any]) -> Plan:
        """Make the plan for an input.

        Args:
            given: an input that `fit` returned.

        Raises:
            UnfitInput: the template refuses the input (it raised `ValueError` or `KeyError`).
            BadPlan: the template raised any other error, or made a plan that can't be run.
        """
        try:
            plan: Any = self.make(given if self.input is None else self.input.model_validate(given, by_name=True))
        except BadPlan as error:
            raise BadPlan(f"template {self.name!r}: {error}") from error
        except KeyError as error:
            raise UnfitInput(f"{error.args[0]!r} is missing from the input") from error
        except ValueError as error:
            raise UnfitInput(str(error)) from error
        except Exception as error:
            what = f"{type(error).__name__}: {error}"
            raise BadPlan(f"template {self.name!r} failed on this input: {what}") from error
        if not isinstance(plan, Plan):
            raise BadPlan(f"template {self.name!r} must return a Plan; got a {type(plan).__name__}")
        request = self._text_in(given) if plan.request is None else plan.request
        shown = self._public(given) if plan.input is None else plan.input
        return replace(plan, request=request, input=shown)

    def _public(self, given: Mapping[str, Any]) -> Mapping[str, Any]:
        """The input as its schema names it, without the fields that are `writeOnly` in it, such as passwords."""
        if self.input is None:
            return given
        fields = self.input.model_validate(given, by_name=True).model_dump(mode="json", by_alias=True)
        properties = self.input_schema.get("properties", {})
        return {name: value for name, value in fields.items() if not properties.get(name, {}).get("writeOnly")}

    def _text_in(self, given: Mapping[str, Any]) -> str:
        """What a person wrote, as a protocol assigns it to a field of the input; "" if no field is the one."""
        fields = self.input.model_fields if self.input is not None else {}
        texts = [name for name, field in fields.items() if field.annotation is str]
        only = [name for name in texts if fields[name].is_required()] or texts
        return str(given.get(only[0], "")) if len(only) == 1 else ""


def template(
    name: str,
    *,
    title: str,
    about: str = "",
    input: type[BaseModel] | None = None,  # noqa: A002 - its name wherever a plan is started
    concurrency: int | None = None,
    rate: Rate | None = None,
) -> Callable[[Callable[[Any], Plan]], Template]:
    """Make a function that returns a `Plan` into a `Template` for an `Engine`.

    Args:
        name: 1 to 64 characters of a-z 0-9 _ . -
        title: what people see.
        about: a description for people. Default: the function's docstring.
        input: a pydantic model. The input is validated with it before a plan starts, and the function gets the model.
            Without it, the function gets the input as a dict.
        concurrency: how many of its plans may run at once, over all workers that share the engine's database.
        rate: how often its plans may begin, over the same workers.

    Raises:
        BadPlan: an argument is invalid.

    Example:
        @template("greeting", title="Greet somebody")
        def greeting(given):
            return Plan("Greet somebody", [Step("look", "Look them up", look)])
    """

    def made(make: Callable[[Any], Plan]) -> Template:
        return Template(name, title, about or inspect.getdoc(make) or "", make, input, concurrency, rate)

    return made


def templates_in(module: ModuleType) -> list[Template]:
    """All templates among a module's attributes, whether made or imported there.

    Args:
        module: the module.
    """
    return [value for value in vars(module).values() if isinstance(value, Template)]


def by_name(templates: Iterable[Template]) -> Mapping[str, Template]:
    """Templates by name. Raises `BadPlan` if two have the same one."""
    found: dict[str, Template] = {}
    for one in templates:
        if found.setdefault(one.name, one) is not one:
            raise BadPlan(f"two templates have the name {one.name!r}; give one of them another name")
    return found


def named(templates: Mapping[str, Template], name: str) -> Template:
    """The template of that name. Raises `UnknownTemplate`, which lists those there are."""
    if name in templates:
        return templates[name]
    known = ", ".join(sorted(templates)) or "none; this engine has no templates"
    raise UnknownTemplate(f"unknown template {name!r}; expected one of: {known}")
