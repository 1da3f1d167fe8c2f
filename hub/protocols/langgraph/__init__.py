"""The LangGraph platform's protocol at `/langgraph`, for `langgraph_sdk`, `Client` and `useStream`.

A thread is a sequence of plans, and a run is a part of one: from its start, or from an answer, to the next question or the
end. A run's stream is the plan's log, with positions as the ids of its messages, so that a client resumes exactly.
"""
