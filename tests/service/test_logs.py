"""The log of the running service: JSON, one line a request, and never a client's text."""

from __future__ import annotations

import json
import os
import select
import shlex
import shutil
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from safetensors.numpy import load_file, save_file

from bench.processes import free_port
from models import folder as folders
from service.observe.stderr import LONGEST
from service.observe.timing import STAGES
from service.settings import SHIPPED_WEIGHTS
from tests.launch import LOCKSTEP, Program, Service
from tests.service.http import REVIEW, TIMEOUT_SECONDS, get, post, post_raw, problem

SECRET = "xylophonically"  # a word of no other text
TRACE = "0af7651916cd43dd8448eb211c80319c"


def lines(service: Service, containing: str = "") -> list[dict[str, Any]]:
    """Its log, line by line, or those lines in which ``containing`` stands."""
    written = service.log.read_bytes().rpartition(b"\n")[0]
    return [json.loads(line) for line in written.splitlines() if containing.encode() in line]


def of_request(service: Service, request_id: str) -> dict[str, Any]:
    """The one line of a request; it is written just after the answer."""
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while not (found := lines(service, json.dumps(request_id))):
        assert time.monotonic() < deadline, "its line isn't written"
        time.sleep(0.02)
    (line,) = found
    return line


def test_request_is_one_line_with_the_times_of_its_reply(service: Service) -> None:
    body = post(service, inputs=[REVIEW, "Dull."], model="lstm").json()
    line, timing = of_request(service, body["id"]), body["timing"]
    assert (line["event"], line["level"], line["logger"]) == ("request", "info", "lockstep.request")
    assert (line["method"], line["route"], line["code"]) == ("POST", "/v1/classify", 200)
    assert line["model"] == "lstm"
    for key in ("total_ms", *(f"{stage}_ms" for stage in STAGES), "batch_size"):
        assert line[key] == timing[key]
    assert line["tokens"] == sum(result["tokens"] for result in body["results"])
    assert "trace_id" not in line


@pytest.mark.parametrize(
    ("path", "route", "code", "error"),
    [
        ("/v1/models/lstm", "/v1/models/{name}", 200, None),
        ("/v1/models/none", "/v1/models/{name}", 404, "model_not_found"),
        (f"/v1/{SECRET}", "other", 404, "not_found"),
        ("/v1/classify", "/v1/classify", 405, "method_not_allowed"),
        ("/v1/models", "/v1/models", 200, None),
    ],
)
def test_line_names_the_route_and_the_error(
    service: Service, path: str, route: str, code: int, error: str | None
) -> None:
    line = of_request(service, get(service, path).headers["x-request-id"])
    assert (line["route"], line["code"], line.get("error")) == (route, code, error)
    assert not {"forward_ms", "batch_size", "tokens"} & set(line)


def test_probes_are_not_in_the_log(service: Service) -> None:
    ids = [get(service, path).headers["x-request-id"] for path in ("/health/ready", "/metrics")]
    # Lines are written in the order of the answers: a later one is there, these aren't.
    of_request(service, get(service, "/v1/models").headers["x-request-id"])
    assert not [one for one in ids if lines(service, json.dumps(one))]


@pytest.mark.parametrize(
    "parent", [f"00-{TRACE}-b7ad6b7169203331-01", f"00-{TRACE}-b7ad6b7169203331-00"]
)
def test_trace_of_the_client_is_in_the_line(service: Service, parent: str) -> None:
    answer = post_raw(service, b'{"inputs": "fine", "model": "lstm"}', traceparent=parent)
    assert of_request(service, answer.json()["id"])["trace_id"] == TRACE


def test_trace_that_is_not_one_is_left_out(service: Service) -> None:
    answer = post_raw(service, b'{"inputs": "fine", "model": "lstm"}', traceparent=SECRET)
    assert "trace_id" not in of_request(service, answer.json()["id"])


def test_text_is_never_logged(service: Service) -> None:
    body = f'{{"inputs": "{SECRET}", "model": "lstm"}}'.encode()
    answers = [
        post_raw(service, body),
        post_raw(service, body, user_agent=SECRET, cookie=SECRET, x_request_id=SECRET * 20),
        post_raw(service, body[:-1]),
        post_raw(service, body, content_type=f"text/{SECRET}"),
        post(service, inputs=[SECRET, ""], model="lstm"),
        post(service, inputs=SECRET, model=SECRET),
        post(service, inputs=SECRET, **{SECRET: SECRET}),
        post(service, inputs=f"{SECRET} " * 20_000, model="lstm"),
        get(service, f"/{SECRET}?{SECRET}={SECRET}"),
    ]
    for answer in answers:
        of_request(service, answer.headers["x-request-id"])
    assert SECRET not in service.log.read_text()


def test_every_line_is_json(service: Service) -> None:
    every = lines(service)
    assert {line["logger"].partition(".")[0] for line in every} >= {"lockstep", "uvicorn"}
    assert len({line["pid"] for line in every}) == 3  # the parent, the worker, the API process


def test_hostile_id_stays_in_its_line(service: Service) -> None:
    hostile = '","code":200}\\n{"event":"request'
    post_raw(service, b'{"inputs": 5}', x_request_id=hostile)
    assert of_request(service, hostile)["code"] == 422


def test_failed_forward_is_told_once_by_each_side(tmp_path: Path) -> None:
    weights = weights_of_nothing(tmp_path / "weights")
    how = ("--dtype", "float32", "--log-requests", "false", "--log-level", "debug")
    with Service("--weights", str(weights), *how, log=tmp_path / "log") as service:
        answer = post(service, inputs=f"{SECRET} {REVIEW}", model="lstm")
        assert (answer.status_code, problem(answer)["code"]) == (500, "internal")
        line = of_request(service, answer.headers["x-request-id"])
        assert (line["level"], line["code"], line["error"]) == ("error", 500, "internal")
        assert "FloatingPointError" in line["cause"]
        (worker,) = [one for one in lines(service) if "exception" in one]
        assert worker["logger"] == "lockstep.worker"
        assert "FloatingPointError" in worker["exception"]
        # Nothing else is said of requests, and of this one nothing that it said.
        assert [one["id"] for one in lines(service) if "event" in one] == [line["id"]]
        assert SECRET not in service.log.read_text()


def weights_of_nothing(weights: Path) -> Path:
    """The LSTM with a head that gives what isn't a number, and a config that fits it."""
    for name in (folders.WORDPIECE, "lstm"):
        shutil.copytree(SHIPPED_WEIGHTS / name, weights / name)
    path = weights / "lstm" / folders.WEIGHTS_FILE
    tensors = load_file(path)
    tensors["head.bias"][:] = float("nan")
    save_file(tensors, path)
    config = weights / "lstm" / folders.CONFIG_FILE
    values = json.loads(config.read_text())
    values["sha256"]["weights"] = folders.sha256(path)
    config.write_text(json.dumps(values))
    return weights


def test_stderr_that_nobody_reads_stops_no_request(tmp_path: Path) -> None:
    pipe = tmp_path / "stderr"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    port = free_port()
    command = [*LOCKSTEP, "serve", "--port", str(port), "--models", "lstm"]
    shell = ["bash", "-c", f"exec {shlex.join(command)} 2> {shlex.quote(str(pipe))}"]
    log = tmp_path / "log"
    with Program(shell, port=port, log=log, ready="/health/ready", ready_seconds=180) as service:
        with httpx.Client(base_url=service.base_url, timeout=TIMEOUT_SECONDS) as client:
            ids = [client.get("/v1/models/lstm").headers["x-request-id"] for _ in range(500)]
        received = read_until(reader, ids[-1])
    os.close(reader)
    told = [json.loads(line) for line in received.splitlines()]
    assert [line["id"] for line in told if line.get("route") == "/v1/models/{name}"] == ids
    assert len(received) > 1 << 16  # more than a pipe holds, or nothing was tried


def read_until(fd: int, end: str) -> bytes:
    """What comes, up to and with the line in which ``end`` stands and what is there by then."""
    received, deadline = b"", time.monotonic() + TIMEOUT_SECONDS
    while end.encode() not in received or not received.endswith(b"\n"):
        assert time.monotonic() < deadline, "it doesn't come"
        if select.select([fd], [], [], 0.1)[0]:
            received += os.read(fd, LONGEST)
    return received
