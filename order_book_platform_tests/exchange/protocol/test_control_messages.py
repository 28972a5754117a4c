"""Texts of clients: every documented request, and every documented error."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from order_book_platform.exchange.protocol.control_messages import METHODS, RefusedRequest, parse_request

WRONG_ID = "Invalid request: request ID must be an unsigned integer"
TOO_MANY = "Invalid request: too many parameters"
NO_NAME = "Invalid request: property name must be a string"
UNKNOWN = (
    "Invalid request: unknown variant `SUBSCRBE`, expected one of `SUBSCRIBE`, `UNSUBSCRIBE`, `LIST_SUBSCRIPTIONS`, "
    "`SET_PROPERTY`, `GET_PROPERTY` at line 1 column 20"
)
NO_BOOLEAN = "Invalid value type: expected Boolean"


def refused(text: str, any_id: bool = False) -> dict[str, object]:
    """The error that a text gets."""
    with pytest.raises(RefusedRequest) as caught:
        parse_request(text, any_id, 4)
    found: dict[str, object] = json.loads(caught.value.body)
    return found


@pytest.mark.parametrize(
    ("text", "code", "message"),
    [
        ("{", 3, "Invalid JSON: expected value at line 1 column 2"),
        ("", 3, "Invalid JSON: expected value at line 1 column 1"),
        ("[1]", 2, "Invalid request: missing field `method` at line 1 column 3"),
        ('{"id":1}', 2, "Invalid request: missing field `method` at line 1 column 8"),
        (
            '{"method":"SUBSCRBE","params":["a@depth"],"id":1}',
            2,
            UNKNOWN,
        ),
        ('{"method":"LIST_SUBSCRIPTIONS"}', 2, WRONG_ID),
        ('{"method":"LIST_SUBSCRIPTIONS","id":-1}', 2, WRONG_ID),
        ('{"method":"LIST_SUBSCRIPTIONS","id":true}', 2, WRONG_ID),
        ('{"method":"LIST_SUBSCRIPTIONS","id":"a"}', 2, WRONG_ID),
        ('{"method":"GET_PROPERTY","params":["combined","x"],"id":1}', 2, TOO_MANY),
        ('{"method":"LIST_SUBSCRIPTIONS","params":["x"],"id":1}', 2, TOO_MANY),
        ('{"method":"SUBSCRIBE","params":["a","b","c","d","e"],"id":1}', 2, TOO_MANY),
        ('{"method":"SET_PROPERTY","params":[],"id":1}', 2, NO_NAME),
        ('{"method":"GET_PROPERTY","params":[7],"id":1}', 2, NO_NAME),
        ('{"method":"SUBSCRIBE","params":[7],"id":1}', 2, "Invalid request: stream name must be a string"),
        ('{"method":"SUBSCRIBE","params":"a","id":1}', 2, "Invalid request: params must be an array"),
        ('{"method":"GET_PROPERTY","params":["other"],"id":7}', 0, "Unknown property"),
        ('{"method":"SET_PROPERTY","params":["combined",1],"id":1}', 1, NO_BOOLEAN),
        ('{"method":"SET_PROPERTY","params":["combined"],"id":1}', 1, NO_BOOLEAN),
    ],
)
def test_a_wrong_text_gets_its_error(text: str, code: int, message: str) -> None:
    """Each error has the documented code and text."""
    found = refused(text)
    assert (found["code"], found["msg"]) == (code, message)


def test_an_unknown_property_repeats_the_id() -> None:
    """The documentation shows an id in this error alone."""
    assert refused('{"method":"GET_PROPERTY","params":["other"],"id":7}')["id"] == 7
    assert "id" not in refused('{"method":"LIST_SUBSCRIPTIONS","id":-1}')


@pytest.mark.parametrize("request_id", [0, -1, 2**63 - 1, "a", "x" * 36, None])
def test_spot_takes_ids_of_several_types(request_id: object) -> None:
    """Integers of 64 bits, texts of up to 36 characters and null come back as they were."""
    request = parse_request(json.dumps({"method": "LIST_SUBSCRIPTIONS", "id": request_id}), True, 4)
    assert json.loads(request.answer([])) == {"result": [], "id": request_id}


@pytest.mark.parametrize("request_id", [2**63, "x" * 37, True, 1.5, []])
def test_spot_refuses_other_ids(request_id: object) -> None:
    """An id outside of the documented types is an error on spot, too."""
    assert refused(json.dumps({"method": "LIST_SUBSCRIPTIONS", "id": request_id}), any_id=True)["code"] == 2


@given(st.text() | st.recursive(st.none() | st.booleans() | st.integers(), st.lists).map(json.dumps))
def test_any_text_is_answered(text: str) -> None:
    """Whatever a client sends is a request or one of the errors."""
    try:
        method, body = parse_request(text, False, 4).method, None
    except RefusedRequest as error:
        method, body = None, error.body
    assert method in METHODS if body is None else json.loads(body)["code"] in (0, 1, 2, 3)
