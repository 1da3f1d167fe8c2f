"""Other front ends' wire formats over the same log, hub and engine.

A dialect is a `Speaker` (speaker.py): pure, it hears a client, is told of plans' events, and answers with what is to be
done. Nothing in it waits, so all of it is tested as functions. Everything else is the hub's, and comes with these:

    await serve_dialect(hub, websocket, MySpeaker(session_id))      # socket.py: a WebSocket route, whole

Origin, tokens (header, ticket, or an `authenticate` frame that comes first), limits of connections, frames and bytes,
slow clients, drains, heartbeats and following plans are those of `/ws/streaming`, by the same code: to the connection,
the interpreter (interpreter.py) is the line. A `Follow` may start at a place (`Told.place`, which a frame may carry);
events may come again `retold` from a snapshot, when the log holds them no more.

Over HTTP, where `caller_of`, `require`, `ApiRoute` and `problems` of `hub.api` serve dialects too:

    await start_plan(hub, principal, Start(template, given, plan_id))                  # starting.py
    recital = Recital(hub, request, principal, Recount(plan_id, translate), as_message)   # recital.py
    return Outflow(recital.told(), HEADERS, recital.line.ended, recital.leave)         # as server-sent events
    [json.loads(said) async for said in recital.told() if said != KEEP_ALIVE]          # or all in one answer

Each dialect's module says by which rule its ids lead to plan ids. An id from outside that makes no plan id is refused;
it is only ever compared, never put into a pattern.
"""
