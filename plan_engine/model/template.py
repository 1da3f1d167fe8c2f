"""A template: a plan that can be started by name."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
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
    """At most `plans` are begun in any `seconds`, over all workers."""

    plans: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Template:
    """Made by `template`. `concurrency` and `rate` count over all workers that share the engine's database."""

    name: str
    title: str
    about: str
    make: Callable[[Any], Plan]
    input: type[BaseModel] | None = None
    concurrency: int | None = None
    rate: Rate | None = None

    def __post_init__(self) -> None:
        if not _name.match(self.name):
            raise BadPlan(f"template {self.name!r}: a name is 1 to 64 of a-z 0-9 _ . -")
        if self.concurrency is not None and self.concurrency < 1:
            raise BadPlan(f"template {self.name!r}: concurrency is 1 or more, or None")
        if self.rate is not None and not (self.rate.plans >= 1 and self.rate.seconds > 0):
            raise BadPlan(f"template {self.name!r}: a rate is Rate(plans, seconds), both more than 0")

    @property
    def input_schema(self) -> Mapping[str, Any]:
        """What it may be started with, as a JSON schema."""
        return ANYTHING if self.input is None else self.input.model_json_schema()

    def fit(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """The input as agents will see it, defaults filled in; `UnfitInput` when it won't do."""
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
        """The plan for this input, which `fit` has seen. `UnfitInput` when the template refuses it; `BadPlan` when it
        trips over it, for an input that it can't take is its own to refuse."""
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
            raise BadPlan(f"template {self.name!r} is at fault: over this input it raised {what}") from error
        if not isinstance(plan, Plan):
            raise BadPlan(f"template {self.name!r} makes a Plan, not a {type(plan).__name__}")
        return plan


def template(
    name: str,
    *,
    title: str,
    about: str = "",
    input: type[BaseModel] | None = None,  # noqa: A002 - what it is called wherever a plan is started
    concurrency: int | None = None,
    rate: Rate | None = None,
) -> Callable[[Callable[[Any], Plan]], Template]:
    """Make a function of the input that returns a `Plan` into a `Template` for an `Engine`.

    With `input`, a pydantic model, what is given is checked before anything starts, and the function gets the model.
    Without it, the function gets the given dict. `about` is the function's docstring unless it is said here.
    """

    def made(make: Callable[[Any], Plan]) -> Template:
        return Template(name, title, about or inspect.getdoc(make) or "", make, input, concurrency, rate)

    return made


def templates_in(module: ModuleType) -> list[Template]:
    """Every template that stands in a module, imported there or made there."""
    return [value for value in vars(module).values() if isinstance(value, Template)]


def by_name(templates: Iterable[Template]) -> Mapping[str, Template]:
    """Templates by their names, which must differ."""
    found: dict[str, Template] = {}
    for one in templates:
        if found.setdefault(one.name, one) is not one:
            raise BadPlan(f"two templates are called {one.name!r}; give one of them another name")
    return found


def named(templates: Mapping[str, Template], name: str) -> Template:
    """The template of that name, or an `UnknownTemplate` that says which there are."""
    if name in templates:
        return templates[name]
    known = ", ".join(sorted(templates)) or "none at all"
    raise UnknownTemplate(f"there is no template called {name!r}; there are: {known}")
