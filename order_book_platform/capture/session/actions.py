"""Decisions of a capture session, which the shells carry out in order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from order_book_platform.datasets.raw_capture import RowKind

ConnectReason = Literal["start", "rotation", "silence", "reconnect", "request"]


@dataclass(frozen=True, slots=True)
class Record:
    """Append a row to the raw log, behind everything that has arrived so far.

    Attributes:
        kind: kind of the row.
        connection: number of the connection that the row is about; 0 for none.
        route: route of that connection.
        payload: bytes of the row, empty for most kinds.
        detail: content of the column `detail` (docs/formats/raw_log.md).
    """

    kind: RowKind
    connection: int = 0
    route: str = ""
    payload: bytes = b""
    detail: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Connect:
    """Open a websocket connection; answered by `on_opened`, or by `on_closed` if that fails.

    Attributes:
        connection: number of the new connection.
        route: its route; empty for an unrouted path.
        path: path and query of the URL, behind the base.
    """

    connection: int
    route: str
    path: str


@dataclass(frozen=True, slots=True)
class Send:
    """Send a text message on an open connection.

    Attributes:
        connection: number of the connection.
        text: the message.
    """

    connection: int
    text: str


@dataclass(frozen=True, slots=True)
class Close:
    """Close a connection; its remaining messages still count until `on_closed`.

    Attributes:
        connection: number of the connection.
    """

    connection: int


@dataclass(frozen=True, slots=True)
class Fetch:
    """Send a GET request; answered by `on_response`, or by `on_request_failed`.

    Attributes:
        request: number of the request.
        path: path and query of the URL, behind the base.
    """

    request: int
    path: str


@dataclass(frozen=True, slots=True)
class Warn:
    """Tell the operator something; nothing else follows from it.

    Attributes:
        event: short name of what happened, such as `stream_not_delivered`, for logs and counters.
        text: a sentence about it.
        fields: figures and names of the event.
    """

    event: str
    text: str
    fields: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Fail:
    """End the capture: it cannot begin.

    Attributes:
        expected: what would have been right.
        found: what there was instead.
        where: host or symbol.
        remedy: what the operator can do about it.
        wrong_usage: whether it was asked for something that does not exist.
    """

    expected: str
    found: str
    where: str
    remedy: str
    wrong_usage: bool = False


Action = Record | Connect | Send | Close | Fetch | Warn | Fail
