"""Strings, integers and decimals in an array of bytes, against Python's own reading of them."""

from __future__ import annotations

import json
import re
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from order_book_platform.kernels.ingest.payload_bytes import (
    read_decimal,
    read_integer,
    skip_list,
    skip_string,
    skip_value,
)

TEXTS = st.text(st.sampled_from("0123456789.-+eEx "), max_size=24)
FILLED = st.from_regex(r"\A[0-9]{1,6}\.[0-9]{0,4}0{1,12}[0-9]?\Z")
"""Decimals filled up with zeros, some with another digit behind them."""


def data(text: str | bytes) -> np.ndarray:
    """The bytes of a text as a read-only array, as arrow gives them."""
    return np.frombuffer(text if isinstance(text, bytes) else text.encode(), np.uint8)


@given(TEXTS | FILLED, st.integers(0, 12))
@example("92233720368.54775807", 8)
@example("61564.91000000", 2)
@example("61564.91000001", 2)
@example("61564.00000000", 0)
@example("0001.10", 2)
@example("1.", 2)
def test_decimals(text: str, decimals: int) -> None:
    """A decimal that is taken has the exact value; a plain one that fits 18 digits is, whatever zeros fill it up."""
    content = data(f'"{text}"')
    at, pips = read_decimal(content, 0, len(content), decimals)
    plain = re.fullmatch(r"([0-9]+)(?:\.([0-9]+))?", text)
    if at >= 0:
        assert plain
        assert at == len(content)
        assert Decimal(int(pips)) == Decimal(text).scaleb(decimals)
    else:
        assert not plain or len((plain[2] or "").rstrip("0")) > decimals or len(plain[1]) + decimals > 18


@given(TEXTS)
@example("0")
@example("01")
@example("999999999999999999")
def test_integers(text: str) -> None:
    """An integer of up to 18 digits without a sign is taken up to the first other character."""
    content = data(text)
    at, value = read_integer(content, 0, len(content))
    digits = re.match(r"[0-9]*", text)
    assert digits
    if re.fullmatch(r"0|[1-9][0-9]{0,17}", digits[0]):
        assert (at, value) == (len(digits[0]), int(digits[0]))
    else:
        assert at == -1


@pytest.mark.parametrize(
    ("text", "end"),
    [(b'"ab"x', 4), (b'""', 2), (b'"a', -1), (b'"a\\""', -1), (b'"\xc3\xa9"', -1), (b'"\n"', -1), (b'"', -1)],
)
def test_strings(text: bytes, end: int) -> None:
    """A string without escapes and beyond-ASCII bytes has its end; any other is odd."""
    assert skip_string(data(text), 0, len(text)) == end


@given(
    st.none()
    | st.booleans()
    | st.integers(-(10**12), 10**12)
    | st.text(st.sampled_from("abc 1,]}"), max_size=9)
)
def test_values(value: object) -> None:
    """What Python writes is passed over to its end; a list is odd as a value."""
    text = json.dumps(value)
    content = data(text + ",1")
    assert skip_value(content, 0, len(content)) == len(text)
    assert skip_value(data(f"[{text}]"), 0, len(text) + 2) == -1


@given(
    st.lists(
        st.lists(
            st.text(st.sampled_from('01.[]", '), max_size=4).filter(lambda each: '"' not in each), max_size=3
        )
    )
)
def test_lists(levels: list[list[str]]) -> None:
    """A list has its end wherever brackets stand in its strings."""
    text = json.dumps(levels)
    content = data(text + "]]")
    assert skip_list(content, 0, len(content)) == len(text)
