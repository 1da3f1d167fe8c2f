"""Durable Streams at `/streams/{plan_id}`: a plan's log as a stream of JSON frames, to read and to append to.

Offsets are positions in the log. What follows an offset never changes, so the log itself is read, without merged events.
"""
