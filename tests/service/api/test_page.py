"""The page's files as they are served: types, headers, and nothing from anywhere else."""

from __future__ import annotations

import re
import tomllib
from fnmatch import fnmatch
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from models.tokenizer import Tokenizer
from service.api.app import create_app
from service.api.catalogue import Catalogue
from service.api.page import CONTENT_TYPES, WEB, read_files
from service.api.static import matches
from service.settings import Settings
from tests.small import write_model

FILES = sorted(path for path in WEB.rglob("*") if path.is_file())
OURS = [path for path in FILES if "vendor" not in path.parts]
PAGES = ["/", "/docs"]


@pytest.fixture
def client(weights: Path) -> TestClient:
    catalogue = Catalogue(
        {"lstm": write_model(weights)}, "lstm", Tokenizer.load(weights / "wordpiece")
    )
    return TestClient(create_app(Settings(weights=weights), catalogue, [], weights))


def url(path: Path) -> str:
    return f"/web/{path.relative_to(WEB).as_posix()}"


@pytest.mark.parametrize("path", PAGES)
def test_page_is_html_that_loads_from_here_alone(client: TestClient, path: str) -> None:
    response = client.get(path)
    assert response.status_code == 200
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    policy = response.headers["content-security-policy"]
    assert policy.startswith("default-src 'self';")
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["referrer-policy"] == "no-referrer"


@pytest.mark.parametrize("path", FILES, ids=url)
def test_file_is_served_as_it_is(client: TestClient, path: Path) -> None:
    response = client.get(url(path))
    assert response.content == path.read_bytes()
    assert response.headers["content-type"] == CONTENT_TYPES[path.suffix]
    assert response.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("path", [*PAGES, "/web/app.js"])
def test_file_that_the_browser_has_is_not_sent_again(client: TestClient, path: str) -> None:
    first = client.get(path)
    assert first.headers["cache-control"] == "no-cache"
    again = client.get(path, headers={"if-none-match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == first.headers["etag"]
    assert client.get(path, headers={"if-none-match": '"another"'}).status_code == 200


def test_head_has_no_body(client: TestClient) -> None:
    head, whole = client.head("/"), client.get("/")
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == str(len(whole.content))


@pytest.mark.parametrize(
    "path", ["/web/", "/web/nope.js", "/web/../service/settings.py", "/web/%2e%2e/README.md"]
)
def test_nothing_but_the_files_is_served(client: TestClient, path: str) -> None:
    response = client.get(path)
    assert response.status_code == 404
    assert response.json()["code"] == "not_found"


def test_page_takes_no_post(client: TestClient) -> None:
    response = client.post("/", json={})
    assert (response.status_code, response.json()["code"]) == (405, "method_not_allowed")


def test_all_files_are_one_label_of_the_metrics(client: TestClient) -> None:
    for name in ("app.js", "style.css", "nope"):
        client.get(f"/web/{name}")
    scrape = client.get("/metrics").text
    assert 'route="/web/{path:path}"' in scrape
    assert "app.js" not in scrape
    assert "nope" not in scrape


@pytest.mark.parametrize("path", FILES, ids=url)
def test_file_loads_nothing_from_elsewhere(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    elsewhere = set(re.findall(r"\b(?:https?:)?//[\w.-]+\.[a-z]{2,}", text))
    # A name space of XML's, and where the chart library lives: nobody fetches either.
    assert elsewhere <= {"http://www.w3.org", "https://github.com"}
    if path.suffix == ".html":
        assert not re.search(r"<style|style=|\son\w+=|<script(?![^>]*\ssrc=)", text)


@pytest.mark.parametrize("path", OURS, ids=url)
def test_file_names_no_model(path: Path) -> None:
    # What is on the page comes from /v1/models: the eleventh shows unedited.
    names = r"\b(rnn|gru|lstm|bilstm|mingru|mamba|cnn|fnn|transformer|minilm)\b"
    assert not re.search(names, path.read_text(encoding="utf-8"), re.IGNORECASE)


@pytest.mark.parametrize(
    "path", [path for path in OURS if path.suffix in (".js", ".html")], ids=url
)
def test_file_refers_to_files_that_exist(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    named = re.findall(r'from "\./([\w.-]+)"', text) + re.findall(r'"web/([\w./-]+)"', text)
    assert [name for name in named if not (WEB / name).is_file()] == []


def test_installing_takes_every_file_along() -> None:
    project = tomllib.loads((WEB.parent / "pyproject.toml").read_text(encoding="utf-8"))
    setuptools = project["tool"]["setuptools"]
    assert any(fnmatch("web", name) for name in setuptools["packages"]["find"]["include"])
    patterns = setuptools["package-data"]["*"]
    assert [path for path in FILES if not any(path.match(pattern) for pattern in patterns)] == []


def test_vendored_library_has_its_licence_and_is_noticed() -> None:
    root = WEB.parent
    for folder in (WEB / "vendor").iterdir():
        assert "MIT" in (folder / "LICENSE").read_text(encoding="utf-8")
        assert f"web/vendor/{folder.name}" in (root / "NOTICE").read_text(encoding="utf-8")


def test_file_of_an_unknown_kind_is_refused_at_start(tmp_path: Path) -> None:
    (tmp_path / "notes.swp").write_bytes(b"")
    with pytest.raises(ValueError, match=r"notes\.swp"):
        read_files(tmp_path)


def test_missing_folder_is_told_at_start(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="page's files"):
        read_files(tmp_path / "web")


@pytest.mark.parametrize(
    ("header", "known"),
    [("", False), ('"a"', True), ('W/"a"', True), ('"b", "a"', True), ("*", True), ('"b"', False)],
)
def test_known_tag_matches(header: str, known: bool) -> None:
    assert matches(header, '"a"') is known
