"""What holds for every answer and every request: headers, and who may change something from where."""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

SAFE_METHODS = {"GET", "HEAD", "OPTIONS"}
POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "font-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "object-src 'none'",
        "frame-ancestors 'none'",
    )
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}


class Guard:
    """Sets the headers on every answer, and refuses to change anything for a request from another site."""

    def __init__(self, app: ASGIApp, *, https: bool, most_bytes: int) -> None:
        """``most_bytes`` bounds the body of a request."""
        self._app, self._https, self._most_bytes = app, https, most_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http" or scope["path"].startswith("/api/"):  # the API has a guard of its own
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        body = BoundedBody(receive, self._most_bytes)

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                if body.too_large:  # whatever the one who read it made of that
                    message["status"] = 413
                self._set_headers(MutableHeaders(scope=message), static=scope["path"].startswith("/static/"))
            await send(message)

        if scope["method"] not in SAFE_METHODS and not same_site(headers):
            refusal = PlainTextResponse("This request comes from another site.", status_code=403)
            await refusal(scope, receive, with_headers)
            return
        if int(headers.get("content-length") or 0) > self._most_bytes:
            refusal = PlainTextResponse("The upload is too large.", status_code=413)
            await refusal(scope, receive, with_headers)
            return
        await self._app(scope, body, with_headers)

    def _set_headers(self, headers: MutableHeaders, *, static: bool) -> None:
        for name, value in HEADERS.items():
            headers[name] = value
        if self._https:
            headers["strict-transport-security"] = "max-age=31536000; includeSubDomains"
        if not static:
            headers["cache-control"] = "no-store"


def same_site(headers: Headers) -> bool:
    """Whether the browser says that the request comes from our own pages, or no browser sent it.

    Source: the OWASP sheet on cross-site request forgery, fetch metadata with the origin as a fallback.
    """
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site in {"same-origin", "none"}
    origin = headers.get("origin")
    return origin is None or urlsplit(origin).netloc == headers.get("host")


class TooLargeError(Exception):
    """More bytes came than a request may have."""


class BoundedBody:
    """Receives a request's body and counts it, for a length need not have been announced."""

    def __init__(self, receive: Receive, most: int) -> None:
        """``most`` bytes may come."""
        self._receive, self._most, self._seen = receive, most, 0

    @property
    def too_large(self) -> bool:
        """Whether more came."""
        return self._seen > self._most

    async def __call__(self) -> Message:
        """ASGI; raises TooLargeError."""
        message = await self._receive()
        self._seen += len(message.get("body", b""))
        if self.too_large:
            raise TooLargeError
        return message
