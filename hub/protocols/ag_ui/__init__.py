"""AG-UI: plans as runs of an agent, for `HttpAgent` of @ag-ui/client and for CopilotKit's runtime client.

A thread is a sequence of plans, a run the part of a plan from a start or an answer to the next question or the end. The
agents are the templates. `messages.py` has a plan's conversation, `encoder.py` the events, `routes.py` the requests.
"""
