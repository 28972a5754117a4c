"""The REST shell against a server on loopback."""

from __future__ import annotations

import asyncio

from order_book_platform.capture.rest_client import Answer, RestClient
from order_book_platform_tests.capture.tiny_exchange import TinyExchange


def get(base_url: str, path: str) -> Answer | str:
    """Send one request."""

    async def work() -> Answer | str:
        async with RestClient(base_url + "/") as client:
            return await client.get(path)

    return asyncio.run(work())


def test_an_answer_has_status_body_and_headers() -> None:
    """Also one that refuses; the path reaches the exchange as it was given, whatever letters a symbol has."""
    with TinyExchange().running() as exchange:
        answer = get(exchange.rest_url, "/fapi/v1/depth?symbol=币安人生USDT&limit=5")
        assert isinstance(answer, Answer)
        assert (answer.status, answer.used_weight, answer.retry_after_s) == (200, 20, None)
        assert answer.body.startswith(b'{"lastUpdateId":')
        exchange.status = 429
        answer = get(exchange.rest_url, "/fapi/v1/depth?symbol=BTCUSDT")
        assert isinstance(answer, Answer)
        assert answer.status == 429
        assert "%E5%B8%81" in exchange.requests[0] or "币安人生" in exchange.requests[0]


def test_nobody_there() -> None:
    """The error is a text: the session decides what follows."""
    assert "127.0.0.1:9" in str(get("http://127.0.0.1:9", "/x"))
