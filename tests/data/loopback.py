"""An HTTP server on loopback that serves one file, well or badly."""

import contextlib
import http.server
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field


@dataclass
class Behaviour:
    """What the server does with the next request; `requests` keeps the Range header of each (None: without)."""

    body: bytes = b""
    status: int = 200
    ranges: bool = True  # answers Range with 206
    say_length: bool = True
    stop_after: int | None = None  # bytes of each answer before the connection is cut, although more was promised
    seconds_per_piece: float = 0.0  # between pieces of 1,000 bytes
    fail_first: int = 0  # answer 503 so many times
    requests: list[str | None] = field(default_factory=list)


class Handler(http.server.BaseHTTPRequestHandler):
    behaviour: Behaviour

    def do_GET(self) -> None:
        b = self.behaviour
        wanted = self.headers.get("Range")
        b.requests.append(wanted)
        if b.status != 200 or len(b.requests) <= b.fail_first:
            self.send_error(b.status if b.status != 200 else 503)
            return
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and b.ranges else 0
        if wanted and b.ranges and start >= len(b.body):
            self.send_error(416)
            return
        rest = b.body[start:]
        self.send_response(206 if wanted and b.ranges else 200)
        if b.say_length:
            self.send_header("Content-Length", str(len(rest)))
        self.end_headers()
        sent = rest if b.stop_after is None else rest[: b.stop_after]
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            for first in range(0, len(sent), 1000):
                self.wfile.write(sent[first : first + 1000])
                self.wfile.flush()
                time.sleep(b.seconds_per_piece)
        self.close_connection = True

    def do_HEAD(self) -> None:
        """What the Hugging Face hub says of a file."""
        self.send_response(self.behaviour.status)
        self.send_header("Content-Length", str(len(self.behaviour.body)))
        self.send_header("ETag", '"the-file"')
        self.send_header("X-Repo-Commit", "0" * 40)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@contextlib.contextmanager
def serving(behaviour: Behaviour) -> Iterator[str]:
    """Serve; gives the address, such as http://127.0.0.1:40001."""
    handler = type("Handler", (Handler,), {"behaviour": behaviour})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
