"""A template for tests of commands: it asks whether to greet, then greets."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from plan_engine import Context, Plan, Step, template

__all__ = ["greeting", "nothing"]


class Greeting(BaseModel):
    name: str
    times: int = 1
    loud: bool = False


async def ask(ctx: Context) -> None:
    if not await ctx.approve(f"Greet {ctx.input['name']}?"):
        raise ValueError("then not")


async def greet(ctx: Context) -> None:
    words = ", ".join(["Hello"] * ctx.input["times"])
    await ctx.say(f"{words} {ctx.input['name']}{'!' if ctx.input['loud'] else '.'}")


@template("greeting", title="Greet somebody", input=Greeting)
def greeting(given: Greeting) -> Plan:
    """Greets a person after asking."""
    return Plan(f"{given.times} times {given.name}", [Step("ask", "Ask", ask), Step("greet", "Greet", greet, ["ask"])])


async def wait(ctx: Context) -> None:
    await ctx.sleep(3600)


@template("nothing", title="Do nothing")
def nothing(_: Any) -> Plan:
    return Plan("Nothing", [Step("wait", "Wait", wait)])
