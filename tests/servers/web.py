"""A small web server with ranges, faults by order, and a log of what was asked."""

from __future__ import annotations

import contextlib
import http.server
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import NamedTuple

_ETAG = '"1"'


class Asked(NamedTuple):
    method: str
    path: str
    range: str | None


@dataclass
class Site:
    """What the server gives out, by path, and how it misbehaves."""

    url: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    faults: dict[str, list[int]] = field(default_factory=dict)
    """By path: statuses to answer first, one a request; 0 breaks the connection off inside the answer."""
    redirects: dict[str, str] = field(default_factory=dict)
    """By path: where it points to."""
    bodies: dict[str, bytes] = field(default_factory=dict)
    """By path: what is sent along with a fault."""
    knows_ranges: bool = True
    asked: list[Asked] = field(default_factory=list)


@contextlib.contextmanager
def web_site(site: Site) -> Iterator[Site]:
    """Serve it on a free loopback port until the block ends."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _handler(site))
    site.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield site
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _handler(site: Site) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 10

        def log_message(self, *arguments: object) -> None:
            """Nothing on stderr."""

        def do_GET(self) -> None:
            self._taken_in()
            wanted = self.headers.get("Range") if site.knows_ranges else None
            site.asked.append(Asked(self.command, self.path, wanted))
            path = self.path.partition("?")[0]
            if site.faults.get(path):
                return self._fail(path, site.faults[path].pop(0))
            if path in site.redirects:
                return self._send(HTTPStatus.FOUND, b"", Location=site.redirects[path])
            content = site.files.get(path)
            if content is None:
                return self._send(HTTPStatus.NOT_FOUND, b"")
            if wanted is None:
                return self._send(HTTPStatus.OK, content)
            found = re.fullmatch(r"bytes=(\d+)-(\d*)", wanted)
            assert found is not None
            start, stop = int(found[1]), min(int(found[2] or len(content)) + 1, len(content))
            if start >= len(content):
                return self._send(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, b"")
            place = f"bytes {start}-{stop - 1}/{len(content)}"
            return self._send(HTTPStatus.PARTIAL_CONTENT, content[start:stop], **{"Content-Range": place})

        do_PUT = do_DELETE = do_POST = do_GET

        def _taken_in(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))

        def _fail(self, path: str, status: int) -> None:
            if status:
                return self._send(status, site.bodies.get(path, b""))
            self.send_response(HTTPStatus.OK)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            self.wfile.write(b"half")
            self.close_connection = True
            return None

        def _send(self, status: int, content: bytes, **headers: str) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.send_header("ETag", _ETAG)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

    return Handler
