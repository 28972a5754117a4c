"""The members of a message: where values begin, in a wrapper or not."""

from __future__ import annotations

import json

import numpy as np
import pytest

from order_book_platform.kernels.ingest import payload_members as members


def places_of(text: bytes) -> tuple[int, int, dict[int, str]]:
    """Whether the text was understood, the position of its stream, and the first byte of each value by field."""
    content, places = np.frombuffer(text, np.uint8), np.empty(members.FIELDS, np.int64)
    sound, stream = members.find_payload(content, 0, len(content), places)
    return sound, stream, {field: chr(text[at]) for field, at in enumerate(places.tolist()) if at >= 0}


def test_members_are_found_in_any_order() -> None:
    """Keys of the message count, keys around it do not."""
    message = {"x": 1, "pu": 5, "b": [["1", "2"]], "e": "depthUpdate", "zz": None, "U": 7}
    wanted = {members.F_PU: "5", members.F_B: "[", members.F_EVENT: '"', members.F_FIRST: "7"}
    assert places_of(json.dumps(message).encode()) == (1, 0, wanted)
    wrapped = json.dumps({"u": 9, "data": message, "stream": "btcusdt@depth"}).encode()
    sound, stream, found = places_of(wrapped)
    assert (sound, found) == (1, wanted)
    assert wrapped[stream:].startswith(b'"btcusdt@depth"')


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"[]",
        b'{"u":1',
        b'{"u":1}}',
        b'{"u":1,}',
        b'{"u" 1}',
        b'{"u":1,"u":2}',
        b'{"x":{"u":1}}',
        b'{"stream":"a"}',
        b'{"stream":"a","data":1}',
        b'{"stream":"a","data":{"data":1}}',
        b'{"stream":"a","stream":"a","data":{}}',
        b'{"stream":1,"data":{}}',
    ],
)
def test_anything_else_is_odd(text: bytes) -> None:
    """A message that is not understood to its last byte is left to the slow parser."""
    assert places_of(text)[0] == -1


@pytest.mark.parametrize(
    ("stream", "is_diff"),
    [
        ("a@depth", 1),
        ("a@depth@100ms", 1),
        ("a@depth5", 0),
        ("a@depth20@100ms", 0),
        ("a@dep", 0),
        ("a", 0),
        ("", 0),
    ],
)
def test_streams_of_differences(stream: str, is_diff: int) -> None:
    """Partial books come by the same event, and are told by their stream."""
    content = np.frombuffer(f'"{stream}","data"'.encode(), np.uint8)
    assert members.is_diff_depth(content, 0) == is_diff
