"""Clients that speak to a server byte by byte."""

from __future__ import annotations

import socket
from urllib.parse import urlsplit

import httptools

LIVE = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"
METRICS = LIVE.replace(b"/livez", b"/metrics")


def connected(url: str) -> socket.socket:
    address = urlsplit(url)
    assert address.hostname and address.port
    return socket.create_connection((address.hostname, address.port), timeout=10)


def everything(connection: socket.socket) -> bytes:
    """All that comes until the other side closes or resets."""
    parts = []
    try:
        while part := connection.recv(65536):
            parts.append(part)
    except ConnectionResetError:
        pass
    return b"".join(parts)


def posted(body: bytes, *headers: bytes, path: bytes = b"/v1/predict") -> bytes:
    """A request with raw input; its length is told unless the headers tell another."""
    fields = [b"Host: x", b"Content-Type: application/octet-stream", *headers]
    if not any(field.lower().startswith((b"content-length", b"transfer-encoding")) for field in fields):
        fields.append(b"Content-Length: %d" % len(body))
    return b"POST %b HTTP/1.1\r\n%b\r\n\r\n%b" % (path, b"\r\n".join(fields), body)


class Answers:
    """Takes a stream of responses apart; it is an error where the stream is none."""

    def __init__(self) -> None:
        self.statuses: list[int] = []
        self.bodies: list[bytes] = []
        self.headers: list[dict[bytes, bytes]] = []
        self._parser = httptools.HttpResponseParser(self)

    def on_message_begin(self) -> None:
        self.headers.append({})
        self.bodies.append(b"")

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers[-1][name] = value

    def on_headers_complete(self) -> None:
        self.statuses.append(self._parser.get_status_code())

    def on_body(self, body: bytes) -> None:
        self.bodies[-1] += body

    def feed(self, data: bytes) -> Answers:
        self._parser.feed_data(data)
        return self

    def read(self, connection: socket.socket, count: int) -> Answers:
        """Until so many have come whole."""
        while len(self.statuses) < count or not self._whole():
            part = connection.recv(65536)
            assert part, "the server closed before it had answered"
            self.feed(part)
        return self

    def _whole(self) -> bool:
        length = int(self.headers[-1].get(b"content-length", b"0"))
        return self.statuses[-1] == 100 or len(self.bodies[-1]) >= length


def asked(url: str, request: bytes) -> Answers:
    """All answers to these bytes, after which the client says no more."""
    with connected(url) as connection:
        connection.sendall(request)
        connection.shutdown(socket.SHUT_WR)
        return Answers().feed(everything(connection))


def until_told(connection: socket.socket, line: bytes) -> None:
    """Ask for the metrics until they have the line; they are noted some times a second."""
    for _ in range(20_000):
        connection.sendall(METRICS)
        if line in Answers().read(connection, 1).bodies[0].splitlines():
            return
    raise AssertionError(f"{line.decode()} was never told")
