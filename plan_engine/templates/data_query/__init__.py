"""Ask the sample shop a question: planner → SQL → check → run → interpretation → check → answer.

What people see of it is meant for people ("Fetching Data..."), with the number of times something had to be done again.
"""

from plan_engine.templates.data_query.steps import DataQuestion, data_query

__all__ = ["DataQuestion", "data_query"]
