"""Posts to addresses that an admin has named, and to nothing else that a name may turn out to mean.

A name is resolved here, once, and the connection goes to what was looked at: a name that means something else a moment
later leads nowhere new. Redirects are not followed, proxies not used, answers not read beyond their status.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Iterable, Mapping
from ipaddress import IPv6Address, IPv6Network, ip_address
from ssl import SSLContext
from typing import Any

import httpcore2

NAT64 = IPv6Network("64:ff9b::/96")


class ForbiddenAddressError(Exception):
    """The host is at an address that nothing is sent to."""


def post(url: str, headers: Mapping[str, str], body: bytes, *, to_private: bool, seconds: float = 10) -> int:
    """Posts and returns the status of the answer; all of it takes at most ``seconds``, looking the name up aside.

    Raises ForbiddenAddressError, httpcore2.NetworkError, httpcore2.TimeoutException or httpcore2.ProtocolError.
    """
    backend = _Outward(time.monotonic() + seconds, to_private=to_private)
    timeout = dict.fromkeys(("connect", "read", "write", "pool"), seconds)
    with (
        httpcore2.ConnectionPool(network_backend=backend) as pool,
        pool.stream(
            "POST", url, headers=list(headers.items()), content=body, extensions={"timeout": timeout}
        ) as answer,
    ):
        return int(answer.status)


def is_public(address: str) -> bool:
    """Whether an address is one of the open internet, also where one lies inside another."""
    found = ip_address(address)
    if isinstance(found, IPv6Address):
        inside: list[object] = [found.ipv4_mapped, found.sixtofour, *(found.teredo or ())]
        if found in NAT64:
            inside.append(ip_address(int(found) & 0xFFFF_FFFF))
        if any(each is not None and not is_public(str(each)) for each in inside):
            return False
        if found.ipv4_mapped is not None:
            return True
    return found.is_global and not found.is_multicast


class _Outward(httpcore2.NetworkBackend):
    """Connects to public addresses only, and to nothing after the deadline."""

    def __init__(self, deadline: float, *, to_private: bool) -> None:
        self._deadline, self._to_private = deadline, to_private
        self._plain = httpcore2.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.NetworkStream:
        """A connection to an address of the host that may be reached."""
        address = self._address_of(host, port)
        left = _left(self._deadline)
        return _Bounded(self._plain.connect_tcp(address, port, left, local_address, socket_options), self._deadline)

    def _address_of(self, host: str, port: int) -> str:
        try:
            found = [str(entry[4][0]) for entry in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
        except (OSError, UnicodeError) as error:
            raise httpcore2.ConnectError(f"{host} has no address") from error
        allowed = [address for address in found if self._to_private or is_public(address)]
        if not allowed:
            raise ForbiddenAddressError(host)
        return allowed[0]


class _Bounded(httpcore2.NetworkStream):
    """A connection on which all waiting together ends at the deadline, however slowly something drips in."""

    def __init__(self, stream: httpcore2.NetworkStream, deadline: float) -> None:
        self._stream, self._deadline = stream, deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Reads what is there."""
        return self._stream.read(max_bytes, _left(self._deadline))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Writes all of it."""
        self._stream.write(buffer, _left(self._deadline))

    def close(self) -> None:
        """Ends the connection."""
        self._stream.close()

    def start_tls(
        self, ssl_context: SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore2.NetworkStream:
        """The same connection under TLS, checked for the name that was asked for."""
        return _Bounded(self._stream.start_tls(ssl_context, server_hostname, _left(self._deadline)), self._deadline)

    def get_extra_info(self, info: str) -> Any:
        """What is known of the connection."""
        return self._stream.get_extra_info(info)


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise httpcore2.ReadTimeout("the time for this message is over")
    return left
