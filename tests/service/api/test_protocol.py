"""What a hostile client may put on a connection: one answer in form, or a close; never a 5xx."""

from __future__ import annotations

import gzip
import resource
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import pytest
import uvicorn
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from service.api import protocol
from service.api.admission import Admission
from service.api.body import json_body
from service.api.exchange import at_the_edge
from service.api.protocol import BoundedProtocol, allow_open_files
from service.api.schema import parse_classify
from service.observe.metrics import Metrics
from service.settings import Settings
from tests.launch import eventually
from tests.service.http import TIMEOUT_SECONDS, Service, get, post, post_raw, problem, sample
from tests.service.raw import FINE, HEAD, connect, exchange, problems, read_all

HEADER_BYTES, HEADER_MS, BODY_MS = 4096, 1000, 1000
DRIP_SECONDS, DRIPS = 0.1, 300  # far longer than either is allowed to take

CHUNKED = HEAD + b"transfer-encoding: chunked\r\n"
LENGTH = b"content-length: %d\r\n" % len(FINE)

NOT_HTTP = {
    "no line of HTTP": b"\x16\x03\x01 hello\r\n\r\n",
    "no such method": b"GRAB / HTTP/1.1\r\n\r\n",
    "no such version": b"GET / HTTP/9.9\r\n\r\n",
    "a length and chunks": CHUNKED + LENGTH + b"\r\n0\r\n\r\n",
    "chunks and a length": HEAD + LENGTH + b"transfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "two lengths": HEAD + LENGTH + b"content-length: 3\r\n\r\n" + FINE,
    "a length twice": HEAD + LENGTH + LENGTH + b"\r\n" + FINE,
    "a length below 0": HEAD + b"content-length: -1\r\n\r\n",
    "a length with a sign": HEAD + b"content-length: +35\r\n\r\n" + FINE,
    "a length that is no number": HEAD + b"content-length: 0x23\r\n\r\n" + FINE,
    "a length past 64 bits": HEAD + b"content-length: 99999999999999999999\r\n\r\n",
    "chunks that aren't last": HEAD + b"transfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "chunks by a strange name": HEAD + b"transfer-encoding: xchunked\r\n\r\n0\r\n\r\n",
    "a space before a colon": HEAD + b"content-length : 35\r\n\r\n" + FINE,
    "a folded header": HEAD + b"x-one: a\r\n b\r\n" + LENGTH + b"\r\n" + FINE,
    "a NUL in a header": HEAD + b"x-one: a\x00b\r\n" + LENGTH + b"\r\n" + FINE,
    "a bare CR in a header": HEAD + b"x-one: a\rb\r\n" + LENGTH + b"\r\n" + FINE,
    "a chunk of no size": CHUNKED + b"\r\nxyz\r\n" + FINE + b"\r\n0\r\n\r\n",
    "a chunk below 0": CHUNKED + b"\r\n-1\r\n" + FINE + b"\r\n0\r\n\r\n",
    "a chunk past 64 bits": CHUNKED + b"\r\n" + b"f" * 17 + b"\r\n" + FINE,
    "a chunk longer than it says": CHUNKED + b"\r\n3\r\n" + FINE + b"\r\n0\r\n\r\n",
}


@dataclass(frozen=True, slots=True)
class Listening:
    """Where it answers."""

    port: int

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@pytest.fixture(scope="module")
def strict() -> Iterator[Service]:
    """HTTP as the service has it; small bounds, short patience."""
    settings = Settings(
        max_header_bytes=HEADER_BYTES, header_timeout_ms=HEADER_MS, body_timeout_ms=BODY_MS
    )
    with listening(settings) as service:
        yield service


@contextmanager
def listening(settings: Settings) -> Iterator[Service]:
    """HTTP as the service has it, before models that read nothing."""
    metrics = Metrics({}, ["/v1/classify", "/metrics", "/health/live"])
    admission = Admission(settings, metrics)

    async def classify(request: Request) -> Response:
        request.scope["exchange"].route = "/v1/classify"
        with admission.hold() as room:
            body = await json_body(request, settings, room)
            return JSONResponse({"inputs": parse_classify(body, settings.max_inputs).inputs})

    async def live(request: Request) -> Response:
        return JSONResponse({})

    async def scrape(request: Request) -> Response:
        return Response(metrics.render())

    routes = [
        Route("/v1/classify", classify, methods=["POST"]),
        Route("/metrics", scrape),
        Route("/health/live", live),
    ]
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        config = uvicorn.Config(
            at_the_edge(routes, metrics),
            http=cast(Any, partial(BoundedProtocol, settings)),  # it takes any callable
            log_config=None,
            ws="none",
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, args=([sock],))
        thread.start()
        yield Listening(sock.getsockname()[1])
        server.should_exit = True
        thread.join(TIMEOUT_SECONDS)
    assert not thread.is_alive(), "the server goes on"


def test_what_is_no_request_or_two_is_refused_once(strict: Service) -> None:
    answers = {name: problems(exchange(strict, sent)) for name, sent in NOT_HTTP.items()}
    assert answers == {key: [(400, "not_http")] for key in NOT_HTTP}
    assert post(strict, inputs="fine").status_code == 200


@pytest.mark.skipif(not hasattr(socket, "TCP_INFO"), reason="needs Linux's count of segments")
def test_answer_leaves_in_one_piece(strict: Service) -> None:
    answers = 3
    with connect(strict) as sock:
        for _ in range(answers):
            sock.sendall(HEAD + LENGTH + b"\r\n" + FINE)
            received = b""
            while not received.endswith(b"}"):
                received += sock.recv(65536)
        assert data_segments(sock) == answers


def data_segments(sock: socket.socket) -> int:
    """Segments with data in them that came: ``tcpi_data_segs_in`` of Linux's ``tcp_info``."""
    (count,) = struct.unpack_from(
        "=I", sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256), 152
    )
    return int(count)


def test_refusal_of_a_connection_is_counted(strict: Service) -> None:
    reason = 'lockstep_rejections_total{reason="invalid"}'
    labels = 'code="400",model="other",route="other"'
    count = f"lockstep_request_duration_seconds_count{{{labels}}}"
    before = sample(strict, reason), sample(strict, count)
    exchange(strict, NOT_HTTP["no such version"])
    assert (sample(strict, reason), sample(strict, count)) == (before[0] + 1, before[1] + 1)


def test_garbage_after_a_request_never_passes_for_its_answer(strict: Service) -> None:
    answers = exchange(strict, HEAD + LENGTH + b"\r\n" + FINE + b"\x00garbage\r\n\r\n")
    assert answers[0].status == 200
    assert problems(answers[1:]) in ([], [(400, "not_http")])


@pytest.mark.parametrize(
    "sent",
    [
        b"GET /health/live HTTP/1.1\r\nx-long: " + b"a" * HEADER_BYTES + b"\r\n\r\n",
        b"GET /health/live?" + b"a" * HEADER_BYTES + b" HTTP/1.1\r\n\r\n",
        b"GET /health/live HTTP/1.1\r\n" + b"a: b\r\n" * HEADER_BYTES + b"\r\n",
    ],
)
def test_headers_past_the_limit_are_refused(strict: Service, sent: bytes) -> None:
    assert problems(exchange(strict, sent)) == [(431, "headers_too_large")]


@pytest.mark.parametrize(
    "begun",
    [
        b"GET /health/live HTTP/1.1\r\nx-long: ",
        CHUNKED + b"\r\n%x\r\n%b\r\n0\r\nx-trailer: " % (len(FINE), FINE),
    ],
    ids=["header", "trailer"],
)
def test_header_without_an_end_is_refused_before_it_ends(strict: Service, begun: bytes) -> None:
    with connect(strict) as sock:
        sock.sendall(begun)
        assert get(strict, "/health/live").status_code == 200  # it has been read by then
        sock.sendall(b"a" * HEADER_BYTES * 2)
        assert problems(read_all(sock)) == [(431, "headers_too_large")]


def test_trailers_are_never_headers(strict: Service) -> None:
    trailer = b"x-request-id: smuggled\r\nconnection: close\r\n\r\n"
    chunks = b"connection: close\r\n\r\n%x\r\n%b\r\n0\r\n%b" % (len(FINE), FINE, trailer)
    (answer,) = exchange(strict, CHUNKED + chunks)
    assert (answer.status, answer.body["inputs"]) == (200, ["fine"])
    assert answer.headers["x-request-id"] != "smuggled"


def test_headers_that_stop_halfway_are_answered(strict: Service) -> None:
    assert problems(exchange(strict, HEAD)) == [(408, "headers_timeout")]


def test_headers_of_a_later_request_that_stop_halfway_are_answered(strict: Service) -> None:
    with connect(strict) as sock:
        sock.sendall(LIVE)
        received = b""
        while not received.endswith(b"{}"):
            received += sock.recv(1000)
        sock.sendall(HEAD)
        assert problems(read_all(sock)) == [(408, "headers_timeout")]


@pytest.mark.parametrize(
    ("begun", "answer"),
    [
        (HEAD + b"x-slow: ", (408, "headers_timeout")),
        (HEAD + b"content-length: 1000\r\n\r\n", (408, "body_timeout")),
        (CHUNKED + b"\r\n3e8\r\n", (408, "body_timeout")),
    ],
    ids=["headers", "body", "chunk"],
)
def test_client_that_sends_a_byte_at_a_time_is_cut_off(
    strict: Service, begun: bytes, answer: tuple[int, str]
) -> None:
    with connect(strict) as sock:
        sock.sendall(begun)
        sock.settimeout(DRIP_SECONDS)
        for _ in range(DRIPS):
            sock.sendall(b"1")
            with suppress(TimeoutError):
                if sock.recv(1, socket.MSG_PEEK):
                    break
        sock.settimeout(TIMEOUT_SECONDS)
        assert problems(read_all(sock)) == [answer]


@pytest.mark.parametrize("sent", [b"", b"\r\n\r\n"], ids=["silence", "empty lines"])
def test_connection_without_a_request_is_closed(strict: Service, sent: bytes) -> None:
    assert exchange(strict, sent) == []


def test_connection_that_goes_on_with_empty_lines_is_closed(strict: Service) -> None:
    answers = exchange(strict, b"GET /health/live HTTP/1.1\r\n\r\n" + b"\r\n")
    assert [answer.status for answer in answers] == [200]


@pytest.mark.parametrize(
    "sent",
    [
        HEAD + b"content-length: 1001\r\n\r\n",
        CHUNKED + b"\r\n3e8\r\n" + b" " * 1000 + b"\r\n1\r\n \r\n",
    ],
    ids=["announced", "in chunks"],
)
def test_body_past_the_limit_is_refused_before_its_end(sent: bytes) -> None:
    with listening(Settings(max_body_bytes=1000, body_timeout_ms=2000)) as service:
        assert problems(exchange(service, sent)) == [(413, "body_too_large")]


def test_rest_of_a_body_that_nobody_reads_is_not_waited_for(strict: Service) -> None:
    (answer,) = exchange(strict, b"POST /nowhere HTTP/1.1\r\ncontent-length: 100\r\n\r\n{")
    assert problems([answer]) == [(404, "not_found")]


def test_upgrade_is_left_alone(strict: Service) -> None:
    upgrade = b"connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n"
    key = b"sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    with connect(strict) as sock:
        sock.sendall(b"GET /v1/classify HTTP/1.1\r\nhost: localhost\r\n" + upgrade + key)
        assert sock.recv(100).startswith(b"HTTP/1.1 405 ")


def test_encoded_body_is_refused_unread(strict: Service) -> None:
    bomb = gzip.compress(b"[" * 10_000_000)
    for coding in ("gzip", "br", "deflate", "gzip, gzip", "x"):
        response = post_raw(strict, bomb, content_encoding=coding)
        assert (response.status_code, problem(response)["code"]) == (415, "encoded_body")
        assert response.headers["accept-encoding"] == "identity"


def test_gzip_that_calls_itself_json_is_not_json(strict: Service) -> None:
    assert problem(post_raw(strict, gzip.compress(FINE)))["code"] == "not_json"


LIVE = b"GET /health/live HTTP/1.1\r\n\r\n"


@pytest.fixture
def crowded() -> Iterator[Service]:
    """Three connections, and no more; one that says nothing is closed late."""
    with listening(Settings(max_connections=3, header_timeout_ms=60_000)) as service:
        yield service


def test_connection_past_the_limit_is_told_and_ended(crowded: Service) -> None:
    with ExitStack() as stack:
        open_ones = [stack.enter_context(connect(crowded)) for _ in range(3)]
        for one in open_ones:  # each is accepted once it is answered
            one.sendall(LIVE)
            assert one.recv(1000).startswith(b"HTTP/1.1 200 ")
        (refused,) = exchange(crowded, LIVE)
        assert problems([refused]) == [(429, "too_many_connections")]
        assert int(refused.headers["retry-after"]) >= 1
        open_ones[0].sendall(LIVE)
        assert open_ones[0].recv(1000).startswith(b"HTTP/1.1 200 ")
    eventually(lambda: read(crowded).startswith(b"HTTP/1.1 200 "))


def read(service: Service) -> bytes:
    """How an answer on a connection of its own begins."""
    with connect(service) as sock:
        sock.sendall(LIVE)
        return sock.recv(100)


def test_connection_past_the_limit_that_says_nothing_is_ended_soon(crowded: Service) -> None:
    with ExitStack() as stack:
        open_ones = [stack.enter_context(connect(crowded)) for _ in range(3)]
        for one in open_ones:
            one.sendall(LIVE)
            assert one.recv(1000)
        began = time.monotonic()
        assert exchange(crowded, b"") == []
        assert problems(exchange(crowded, LIVE[:-2])) == [(429, "too_many_connections")]
        assert time.monotonic() - began < 30  # not the 60 s that others have


def test_connections_far_past_the_limit_are_not_kept(
    crowded: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "TELL_SECONDS", TIMEOUT_SECONDS)
    answer = b""
    with ExitStack() as stack:
        for _ in range(3 + protocol.MOST_TOLD):
            stack.enter_context(connect(crowded))
        with suppress(ConnectionError):
            beyond = stack.enter_context(connect(crowded))
            beyond.sendall(LIVE)
            answer = beyond.recv(100)
    assert answer == b""


def test_too_few_open_files_are_told_at_start() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 256), hard))
        allow_open_files(200)
        raised, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        assert raised >= 200 + protocol.MOST_TOLD
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    if hard != resource.RLIM_INFINITY:
        with pytest.raises(ValueError, match=f"--max-connections {hard}"):
            allow_open_files(hard)
