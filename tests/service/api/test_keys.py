"""Keys: who is let in, who is told what, and that no key is ever shown."""

from __future__ import annotations

import asyncio
import hmac
import subprocess
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.testclient import TestClient

from service.api.access import layers
from service.api.exchange import at_the_edge
from service.api.keys import LOOK_SECONDS, Keys
from service.observe.metrics import Metrics
from service.settings import Settings
from tests.launch import LOCKSTEP, ROOT
from tests.service.clock import Clock
from tests.service.http import problem

CLIENT, SECOND, SCRAPER = "client-key-0123456789", "second-key-0123456789", "scraper-key-012345678"


async def fine(request: Request) -> Response:
    return PlainTextResponse("fine")


def client(**settings: Any) -> TestClient:
    paths = ["/v1/classify", "/metrics", "/health/live", "/health/ready", "/openapi.json"]
    routes = [Route(path, fine, methods=["GET", "POST"]) for path in paths]
    return TestClient(at_the_edge(routes, Metrics({}, paths), **layers(Settings(**settings))))


def ask(client: TestClient, path: str, *keys: str) -> tuple[int, str | None]:
    """The status, and what is told of a key that is needed."""
    answer: Any = client.get(path, headers=[("Authorization", key) for key in keys])
    if answer.status_code != 200:
        problem(answer)
    return answer.status_code, answer.headers.get("www-authenticate")


def test_everybody_is_let_in_unless_keys_are_set() -> None:
    assert layers(Settings()) == {"outside": [], "inside": []}


def test_client_with_a_key_is_let_in() -> None:
    asked = client(api_keys=f"{CLIENT}, {SECOND}")
    for key in (f"Bearer {CLIENT}", f"bearer {SECOND}", f"BEARER  {SECOND} "):
        assert ask(asked, "/v1/classify", key) == (200, None)


REALM = 'Bearer realm="lockstep"'
UNKNOWN = f'{REALM}, error="invalid_token"'


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ([], REALM),
        (["Bearer"], REALM),
        ([CLIENT], REALM),
        ([f"Basic {CLIENT}"], REALM),
        ([f"Bearer {CLIENT}", f"Bearer {CLIENT}"], REALM),
        ([f"Bearer {CLIENT}x"], UNKNOWN),
        ([f"Bearer {CLIENT[:-1]}"], UNKNOWN),
        ([f"Bearer {CLIENT.upper()}"], UNKNOWN),
        ([f"Bearer {CLIENT},{SECOND}"], UNKNOWN),
        (["Bearer caf\xe9"], UNKNOWN),
    ],
)
def test_client_without_a_key_is_told_how(keys: list[str], told: str) -> None:
    asked = client(api_keys=f"{CLIENT},{SECOND}")
    headers = [(b"authorization", key.encode("latin-1")) for key in keys]
    answer: Any = asked.get("/v1/classify", headers=headers)
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, told)
    assert problem(answer)["code"] == "unauthorized"
    assert CLIENT not in answer.text


def test_each_kind_of_key_is_for_its_own() -> None:
    asked = client(api_keys=CLIENT, metrics_keys=SCRAPER)
    scope = f'{REALM}, error="insufficient_scope"'
    assert ask(asked, "/metrics", f"Bearer {SCRAPER}") == (200, None)
    assert ask(asked, "/metrics", f"Bearer {CLIENT}") == (403, scope)
    assert ask(asked, "/v1/classify", f"Bearer {SCRAPER}") == (403, scope)
    assert ask(asked, "/metrics") == (401, REALM)


def test_each_kind_is_asked_for_by_itself() -> None:
    assert ask(client(api_keys=CLIENT), "/metrics") == (200, None)
    assert ask(client(metrics_keys=SCRAPER), "/v1/classify") == (200, None)
    assert ask(client(metrics_keys=SCRAPER), "/metrics") == (401, REALM)


def test_probes_and_the_document_need_no_key() -> None:
    asked = client(api_keys=CLIENT, metrics_keys=SCRAPER)
    for path in ("/health/live", "/health/ready", "/openapi.json"):
        assert ask(asked, path) == (200, None)


@pytest.mark.parametrize("path", ["/nowhere", "/health/live/", "/metrics/x", "/METRICS", "/webs"])
def test_path_that_is_nobodys_is_closed(path: str) -> None:
    assert ask(client(api_keys=CLIENT), path) == (401, REALM)


def test_body_of_a_stranger_is_never_asked_for() -> None:
    sent: list[Any] = []

    async def receive() -> Any:
        pytest.fail("it was asked for")

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/v1/classify", "headers": []}
    rest = {"scheme": "http", "query_string": b"", "raw_path": b"", "root_path": ""}
    app: Any = client(api_keys=CLIENT).app
    asyncio.run(app({**scope, **rest}, receive, send))
    assert sent[0]["status"] == 401


def test_protocol_is_told_in_its_own_form() -> None:
    answer: Any = client(api_keys=CLIENT).get("/v2/models/lstm")
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, REALM)
    assert set(answer.json()) == {"error"}


def test_refusal_is_counted() -> None:
    metrics = Metrics({}, ["/v1/classify"])
    routes = [Route("/v1/classify", fine)]
    asked = TestClient(at_the_edge(routes, metrics, **layers(Settings(api_keys=SecretStr(CLIENT)))))
    asked.get("/v1/classify")
    value = metrics.registry.get_sample_value
    assert value("lockstep_rejections_total", {"reason": "unauthorized"}) == 1
    labels = {"model": "other", "route": "/v1/classify", "code": "401"}
    assert value("lockstep_request_duration_seconds_count", labels) == 1


def test_key_is_compared_with_every_one_in_one_time(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[bytes] = []
    compare = hmac.compare_digest

    def watched(one: bytes, other: bytes) -> bool:
        compared.append(other)
        return compare(one, other)

    monkeypatch.setattr("hmac.compare_digest", watched)
    keys = Keys("api_keys", SecretStr(f"{CLIENT},{SECOND}"), None)
    for key, found in ((CLIENT, True), (SECOND, True), ("x", False)):
        compared.clear()
        assert keys.hold(key.encode()) is found
        assert len(compared) == 2
        assert CLIENT.encode() not in compared  # digests, all of one length


def test_file_is_read_again_when_it_changes(tmp_path: Path) -> None:
    file, clock = tmp_path / "keys", Clock()
    file.write_text(f"# of May\n{CLIENT}\n\n", encoding="utf-8")
    keys = Keys("api_keys", None, file, clock)
    assert keys.hold(CLIENT.encode())
    file.write_text(f"{CLIENT}\n{SECOND}\n", encoding="utf-8")
    assert not keys.hold(SECOND.encode())  # it isn't looked at for every request
    clock.seconds += LOOK_SECONDS
    assert keys.hold(SECOND.encode())
    assert keys.hold(CLIENT.encode())


@pytest.mark.parametrize("text", ["", "short\n", None])
def test_file_that_cannot_be_read_any_more_leaves_the_keys(
    tmp_path: Path, text: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    file, clock = tmp_path / "keys", Clock()
    file.write_text(CLIENT, encoding="utf-8")
    keys = Keys("api_keys", SecretStr(SECOND), file, clock)
    if text is None:
        file.unlink()
    else:
        file.write_text(text, encoding="utf-8")
    for _ in range(3):
        clock.seconds += LOOK_SECONDS
        assert keys.hold(CLIENT.encode())
        assert keys.hold(SECOND.encode())
    assert len(caplog.records) == 1
    assert "stay as they were" in caplog.text


@pytest.mark.parametrize(
    "listed", ["", " , ", "short", f"{CLIENT},", f"{CLIENT} {SECOND}", "x" * 300]
)
def test_key_that_is_none_is_refused_at_start_and_not_shown(listed: str) -> None:
    with pytest.raises(ValueError, match="LOCKSTEP_API_KEYS") as caught:
        Keys("api_keys", SecretStr(listed), None)
    assert not any(len(part) > 3 and part in str(caught.value) for part in listed.split(","))


def test_file_that_is_missing_or_empty_ends_the_start(tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("# none yet\n", encoding="utf-8")
    for name in ("empty", "missing"):
        with pytest.raises(ValueError, match="LOCKSTEP_METRICS_KEYS_FILE"):
            layers(Settings(metrics_keys_file=tmp_path / name))


def test_settings_never_show_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCKSTEP_API_KEYS", CLIENT)
    settings = Settings()
    shown = f"{settings} {settings!r} {settings.model_dump()} {settings.model_dump_json()}"
    assert CLIENT not in shown


def test_key_is_no_flag_and_is_not_repeated() -> None:
    done = subprocess.run(
        [*LOCKSTEP, "serve", "--api-keys", CLIENT],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 2
    assert "LOCKSTEP_API_KEYS" in done.stderr
    assert CLIENT not in done.stderr
