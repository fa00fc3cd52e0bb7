"""What holds for every answer of the API, and how large a request may be.

A browser adds no token by itself, so there is nothing that another site could make it do, and nothing here asks where a
request comes from. No page of another site is told that it may read the answers either.
"""

from __future__ import annotations

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.problems import TOO_LARGE, problem
from app.security import BoundedBody

HEADERS = {
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
}


class ApiGuard:
    """Sets the headers of every answer and bounds the body of every request."""

    def __init__(self, app: ASGIApp, *, https: bool, most_bytes: int) -> None:
        """``most_bytes`` bounds the body of a request."""
        self._app, self._most_bytes = app, most_bytes
        self._headers = HEADERS | (
            {"strict-transport-security": "max-age=31536000; includeSubDomains"} if https else {}
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self._headers.items():
                    headers[name] = value
            await send(message)

        if scope["type"] == "http" and _announced(scope) > self._most_bytes:
            await problem(Request(scope), 413, TOO_LARGE)(scope, receive, with_headers)
            return
        await self._app(scope, BoundedBody(receive, self._most_bytes), with_headers)


def _announced(scope: Scope) -> int:
    return int(dict(scope["headers"]).get(b"content-length") or 0)
