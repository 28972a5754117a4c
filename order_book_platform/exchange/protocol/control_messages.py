"""Texts that a client sends on a websocket, and the documented answers to those that are not right."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

METHODS = ("SUBSCRIBE", "UNSUBSCRIBE", "LIST_SUBSCRIPTIONS", "SET_PROPERTY", "GET_PROPERTY")
COMBINED = "combined"
"""The only property: whether data come wrapped in `{"stream": …, "data": …}`."""
_LONGEST_ID = 36
"""Characters that an `id` of text may have."""


@dataclass(frozen=True, slots=True)
class ControlRequest:
    """A valid request of a client, such as SUBSCRIBE.

    Attributes:
        method: one of `METHODS`.
        params: what the method takes; checked.
        id: what the answer repeats.
    """

    method: str
    params: list[Any]
    id: int | str | None

    def answer(self, result: object = None) -> bytes:
        """Give the text that answers the request."""
        return _json({"result": result, "id": self.id})


class RefusedRequest(ValueError):
    """A text that the exchange answers with an error.

    Attributes:
        body: the text of the answer.
    """

    def __init__(self, code: int, message: str, **more: object) -> None:
        self.body = _json({"code": code, "msg": message, **more})
        super().__init__(message)


def parse_request(text: str, any_id: bool, most_streams: int) -> ControlRequest:
    """Read and check a client's text.

    Args:
        text: the message as it came.
        any_id: whether `id` may be a string or null, as on spot.
        most_streams: streams that one SUBSCRIBE may name.

    Raises:
        RefusedRequest: the exchange answers with an error.
    """
    try:
        found = json.loads(text)
    except ValueError as error:
        line, column = getattr(error, "lineno", 1), getattr(error, "colno", 1)
        raise RefusedRequest(3, f"Invalid JSON: expected value at line {line} column {column}") from error
    if not isinstance(found, dict) or "method" not in found:
        raise RefusedRequest(2, f"Invalid request: missing field `method` at line 1 column {len(text)}")
    method = found["method"]
    if method not in METHODS:
        expected = ", ".join(f"`{each}`" for each in METHODS)
        column = (
            text.find(json.dumps(method)) + len(json.dumps(method)) if isinstance(method, str) else len(text)
        )
        raise RefusedRequest(
            2,
            f"Invalid request: unknown variant `{method}`, expected one of {expected} at line 1 column {column}",
        )
    if not _valid_id(found, any_id):
        raise RefusedRequest(2, "Invalid request: request ID must be an unsigned integer")
    params = found.get("params", [])
    if not isinstance(params, list):
        raise RefusedRequest(2, "Invalid request: params must be an array")
    _check_params(method, params, found["id"], most_streams)
    return ControlRequest(method, params, found["id"])


def _valid_id(found: dict[str, Any], any_id: bool) -> bool:
    if "id" not in found:
        return False
    value = found["id"]
    if isinstance(value, bool):
        return False
    if isinstance(value, int):
        return -(2**63) <= value < 2**63 if any_id else 0 <= value < 2**64
    return any_id and (value is None or (isinstance(value, str) and len(value) <= _LONGEST_ID))


def _check_params(method: str, params: list[Any], request_id: object, most_streams: int) -> None:
    if method in ("SUBSCRIBE", "UNSUBSCRIBE"):
        if not all(isinstance(each, str) for each in params):
            raise RefusedRequest(2, "Invalid request: stream name must be a string")
        most = most_streams
    else:
        most = {"LIST_SUBSCRIPTIONS": 0, "GET_PROPERTY": 1, "SET_PROPERTY": 2}[method]
    if len(params) > most:
        raise RefusedRequest(2, "Invalid request: too many parameters")
    if method not in ("SET_PROPERTY", "GET_PROPERTY"):
        return
    if not params or not isinstance(params[0], str):
        raise RefusedRequest(2, "Invalid request: property name must be a string")
    if params[0] != COMBINED:
        raise RefusedRequest(0, "Unknown property", id=request_id)
    if method == "SET_PROPERTY" and not (len(params) == 2 and isinstance(params[1], bool)):
        raise RefusedRequest(1, "Invalid value type: expected Boolean")


def _json(content: dict[str, object]) -> bytes:
    return json.dumps(content, separators=(",", ":"), ensure_ascii=False).encode()
