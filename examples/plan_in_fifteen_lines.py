"""A minimal plan: two agents, one after the other. Watch it live, or later.

python examples/plan_in_fifteen_lines.py; plancast tail greeting-1 --from start
"""

import asyncio

from plan_engine import Context, Engine, Plan, Step, template


async def look(ctx: Context) -> dict[str, str]:
    await ctx.think("Who is it?")
    return {"name": ctx.input["name"]}


async def greet(ctx: Context) -> str:
    async with ctx.stream() as message:
        await message.write(f"Hello, {ctx.results['look']['name']}!")
    return "greeted"


@template("greeting", title="Greet somebody")
def greeting(_: dict[str, str]) -> Plan:
    return Plan("Greet somebody", [Step("look", "Look them up", look), Step("greet", "Say hello", greet, ["look"])])


async def main() -> None:
    async with Engine(templates=[greeting]) as engine:
        await engine.start("greeting", {"name": "Ada"}, "greeting-1")
        print(await engine.outcome("greeting-1"))


if __name__ == "__main__":
    asyncio.run(main())
