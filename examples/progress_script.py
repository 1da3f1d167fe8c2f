"""Plain synchronous code with a progress callback. Each stage is a step of a plan.

python examples/progress_script.py [PLAN_ID]     # then: plancast tail insight-1 --from start
"""

import sys
from collections.abc import Callable
from typing import Any

from plan_engine.adapters.progress import progress_callback


def process_query(question: str, progress_callback: Callable[[str, Any], None]) -> dict[str, str]:
    """An existing agent that does not use Plancast."""
    progress_callback("intent_parsed", {"intent": "weather and sales", "question": question})
    progress_callback("insight_generated", {"text": "Umbrellas sell best on Mondays."})
    return {"insight": "umbrellas"}


STAGES = {"intent_parsed": "Understand the question", "insight_generated": "Find the insight"}

if __name__ == "__main__":
    plan_id = sys.argv[1] if len(sys.argv) > 1 else "insight-1"
    with progress_callback(plan_id, title="What sells on Mondays?", stages=STAGES) as report:
        report.result = process_query("What sells on Mondays?", progress_callback=report)
    print(f"published as plan {plan_id}")
