"""The exchange's protocol without I/O. In: texts, requests and times. Out: frames, responses, and the end of a session.

Nothing here knows a socket or reads a clock, so each documented request and error is tested by calling a function.
"""
