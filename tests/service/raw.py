"""Bytes on a connection, as no client's library would send them, and every answer that comes."""

from __future__ import annotations

import json
import socket
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from bench.asking import parse_head
from tests.service.http import TIMEOUT_SECONDS, Service

HEAD = b"POST /v1/classify HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
FINE = b'{"inputs": "fine", "model": "lstm"}'


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer.

    Attributes:
        status: of HTTP.
        headers: by their name in small letters.
        body: parsed.
    """

    status: int
    headers: dict[str, str]
    body: dict[str, Any]


def connect(service: Service) -> socket.socket:
    return socket.create_connection(("127.0.0.1", service.port), timeout=TIMEOUT_SECONDS)


def exchange(service: Service, sent: bytes) -> list[Answer]:
    """Every answer to what is sent, until the service closes the connection."""
    with connect(service) as sock:
        sock.sendall(sent)
        return read_all(sock)


def read_all(sock: socket.socket) -> list[Answer]:
    """Every answer until the service closes the connection; it fails the test if it doesn't.

    If something of ours was on its way as it closed, the end is a reset.
    """
    received = b""
    with suppress(ConnectionResetError):
        while chunk := sock.recv(65536):
            received += chunk
    answers = []
    while received:
        head, _, rest = received.partition(b"\r\n\r\n")
        status, headers = parse_head(head)
        size = int(headers["content-length"])
        answers.append(Answer(status, headers, json.loads(rest[:size])))
        received = rest[size:]
    return answers


def problems(answers: list[Answer]) -> list[tuple[int, str]]:
    """Status and code of each, all of which must be problem documents with an id."""
    for answer in answers:
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.body["status"] == answer.status
        assert answer.body["request_id"] == answer.headers["x-request-id"]
    return [(answer.status, answer.body["code"]) for answer in answers]
