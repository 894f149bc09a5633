"""What the first worker of a device found out, and the others needn't."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from service.engine import decisions
from service.engine.decisions import Decisions, Form, Notes
from tests.launch import eventually

DECISIONS = Decisions(
    2, {"gru": Form("bfloat16", True, None, True), "mamba": Form("float32", False, "serial")}
)
HOLD = """
import sys
from pathlib import Path
from service.engine.decisions import Notes
with Notes(Path(sys.argv[1]), "cpu").turn():
    print("mine", flush=True)
    sys.stdin.read()
"""


def test_what_was_left_is_read_for_the_same_device(tmp_path: Path) -> None:
    assert Notes(tmp_path, "cuda:0").read() is None
    Notes(tmp_path, "cuda:0").leave(DECISIONS)
    assert Notes(tmp_path, "cuda:0").read() == DECISIONS
    assert Notes(tmp_path, "cuda:1").read() is None


def test_notes_of_an_earlier_service_are_forgotten(tmp_path: Path) -> None:
    Notes(tmp_path, "cpu").leave(DECISIONS)
    decisions.forget(tmp_path)
    assert Notes(tmp_path, "cpu").read() is None


@pytest.mark.parametrize(
    "content", [b"", b"{", b'{"threads": 1}', b'{"threads": "x", "forms": {}}']
)
def test_notes_that_make_no_sense_are_none(tmp_path: Path, content: bytes) -> None:
    Notes(tmp_path, "cpu").leave(DECISIONS)
    next(tmp_path.glob("*.json")).write_bytes(content)
    assert Notes(tmp_path, "cpu").read() is None


def test_notes_without_room_are_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(path: Path, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    Notes(tmp_path, "cpu").leave(DECISIONS)
    assert "No space left" in caplog.text
    assert Notes(tmp_path, "cpu").read() is None


def test_turn_is_waited_for_and_ends_with_whoever_had_it(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    got = threading.Event()

    def wait() -> None:
        with Notes(tmp_path, "cpu").turn():
            got.set()

    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"mine\n"
        thread = threading.Thread(target=wait)
        thread.start()
        assert not got.wait(0.2)
        other.kill()
        eventually(got.is_set, 30)
        thread.join()
