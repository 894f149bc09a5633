"""Frames survive the socket, however it cuts them; what isn't a frame is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.engine.wire import (
    HEADER,
    MAX_FRAME_BYTES,
    Answer,
    Cancel,
    FrameBuffer,
    FrameError,
    FromAPI,
    Ride,
    Work,
    decode_from_api,
    decode_from_worker,
    frame,
    frame_length,
    pack,
    unpack,
)

WORK = Work(7, "lstm", None, [pack([101, 2023, 102])], 12.5)


def test_work_survives_the_wire() -> None:
    messages: list[FromAPI] = [WORK, Cancel(3)]
    assert decode_from_api(frame(messages)[HEADER.size :]) == messages


def test_answer_survives_the_wire() -> None:
    answer = Answer(7, [[0.25, -1.5]], 0.001, 3.25, [Ride(0.002, 4, 17, 68)], 34, "serial")
    assert decode_from_worker(frame([answer])[HEADER.size :]) == [answer]


@given(st.lists(st.integers(0, 30_521)))
def test_window_survives_packing(ids: list[int]) -> None:
    assert unpack(pack(ids)).tolist() == ids


@given(st.integers(1, 40))
def test_buffer_joins_frames_however_they_are_cut(step: int) -> None:
    stream = frame([WORK]) + frame([Cancel(1)]) + frame([WORK, Cancel(2)])
    buffer = FrameBuffer()
    bodies = [
        body
        for begin in range(0, len(stream), step)
        for body in buffer.feed(stream[begin : begin + step])
    ]
    assert [decode_from_api(body) for body in bodies] == [[WORK], [Cancel(1)], [WORK, Cancel(2)]]


@pytest.mark.parametrize("body", [b"", b"\xc1", b"\x93\x01", b'{"not": "ours"}'])
def test_noise_is_a_frame_error(body: bytes) -> None:
    with pytest.raises(FrameError):
        decode_from_api(body)


def test_header_cut_off_is_a_frame_error() -> None:
    with pytest.raises(FrameError, match="cut off"):
        frame_length(b"\x00\x01")


def test_frame_past_the_limit_is_refused_by_its_header() -> None:
    with pytest.raises(FrameError, match="bytes"):
        list(FrameBuffer().feed(HEADER.pack(MAX_FRAME_BYTES + 1)))
