"""The REST shell: sends GET requests and hands on their responses."""

from __future__ import annotations

import ssl
from dataclasses import dataclass

import aiohttp

from order_book_platform.capture.websocket_client import describe, seconds

TIMEOUT_S = 15
WEIGHT_HEADER = "X-MBX-USED-WEIGHT-1M"


@dataclass(frozen=True, slots=True)
class Answer:
    """A response to a GET request.

    Attributes:
        status: HTTP status.
        body: body as received.
        used_weight: weight used in the present minute; None where the header is absent.
        retry_after_s: seconds of the header `Retry-After`; None where it is absent.
    """

    status: int
    body: bytes
    used_weight: int | None
    retry_after_s: float | None


class RestClient:
    """Sends requests below one base URL; to be used as an asynchronous context.

    Args:
        base_url: base of all URLs, such as `https://fapi.binance.com`.
        tls: TLS settings; None for the system's.

    Attributes:
        base_url: the base without a slash at its end.
    """

    def __init__(self, base_url: str, tls: ssl.SSLContext | None = None) -> None:
        self.base_url = base_url.rstrip("/")
        self._tls = tls
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> RestClient:
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
        self._session = aiohttp.ClientSession(timeout=timeout, trust_env=True)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()

    async def get(self, path: str) -> Answer | str:
        """Send a GET request and wait for its response.

        Args:
            path: path and query.

        Returns:
            The response, or what happened instead.
        """
        assert self._session is not None
        tls = True if self._tls is None else self._tls
        try:
            async with self._session.get(self.base_url + path, ssl=tls) as response:
                body = await response.read()
        except aiohttp.ClientConnectorError as error:
            return f"no connection to {error.host}:{error.port}: {describe(error.os_error)}"
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            return describe(error)
        weight = seconds(response.headers.get(WEIGHT_HEADER))
        return Answer(
            response.status,
            body,
            None if weight is None else int(weight),
            seconds(response.headers.get("Retry-After")),
        )
