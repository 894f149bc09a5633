"""Bounds on what is in flight, and what a client that is refused is told."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import pytest
from starlette.requests import Request

from service.api.admission import Admission
from service.api.body import json_body
from service.api.errors import Busy
from service.observe.metrics import Metrics
from service.settings import Settings
from tests.service.clock import Clock


def admission(clock: Clock | None = None, **bounds: Any) -> Admission:
    return Admission(Settings(**bounds), Metrics({}, []), clock or Clock())


def retry_after(refused: pytest.ExceptionInfo[Busy]) -> int:
    return int(refused.value.headers["Retry-After"])


def test_requests_are_bounded_in_all() -> None:
    bounded = admission(max_in_flight=2, max_model_share=1)
    with bounded.admit("lstm"), bounded.admit("gru"):
        with pytest.raises(Busy), bounded.admit("cnn"):
            pass
        assert bounded.in_flight == 2
    with bounded.admit("cnn"):
        assert bounded.in_flight == 1


def test_one_model_leaves_room_for_others() -> None:
    bounded = admission(max_in_flight=4, max_model_share=0.5)
    with bounded.admit("lstm"), bounded.admit("lstm"):
        with pytest.raises(Busy, match="of lstm"), bounded.admit("lstm"):
            pass
        with bounded.admit("gru"):
            assert bounded.in_flight == 3


def test_share_is_never_less_than_one_request() -> None:
    with admission(max_in_flight=1).admit("lstm") as admitted:
        assert admitted.tokens == 0


def test_tokens_are_bounded_in_all() -> None:
    bounded = admission(max_in_flight_tokens=100, max_model_share=1)
    with bounded.admit("lstm") as one, bounded.admit("gru") as two:
        one.weigh(60)
        with pytest.raises(Busy, match="100"):
            two.weigh(41)
        two.weigh(40)
        assert bounded.tokens == 100
    assert bounded.tokens == 0


def test_tokens_of_one_model_leave_room_for_others() -> None:
    bounded = admission(max_in_flight_tokens=100, max_model_share=0.5)
    with bounded.admit("lstm") as one, bounded.admit("lstm") as two, bounded.admit("gru") as three:
        one.weigh(40)
        with pytest.raises(Busy, match="of lstm"):
            two.weigh(11)
        three.weigh(11)


def test_idle_service_admits_any_legal_request() -> None:
    bounded = admission(max_in_flight=1, max_in_flight_tokens=1, max_model_share=0.1)
    with bounded.admit("lstm") as admitted:
        admitted.weigh(1_000_000)
    assert (bounded.in_flight, bounded.tokens) == (0, 0)


def test_what_failed_is_no_longer_in() -> None:
    bounded = admission(max_in_flight=1)
    with contextlib.suppress(ZeroDivisionError), bounded.admit("lstm") as admitted:
        admitted.weigh(10)
        raise ZeroDivisionError
    with bounded.admit("lstm"):
        assert bounded.tokens == 0


def test_wait_is_what_is_in_over_the_pace() -> None:
    clock = Clock()
    bounded = admission(clock, max_in_flight=2, max_model_share=1)
    for _ in range(10):  # 200 tokens a second
        with bounded.admit("lstm") as admitted:
            admitted.weigh(200)
            clock.seconds += 1
        clock.seconds += 50  # of which nothing was in
    with bounded.admit("lstm") as one, bounded.admit("lstm") as two:
        one.weigh(300)
        two.weigh(400)
        with pytest.raises(Busy) as refused, bounded.admit("lstm"):
            pass
    assert retry_after(refused) == 4


def test_wait_before_anything_left_is_as_long_as_it_has_been() -> None:
    clock = Clock()
    bounded = admission(clock, max_in_flight=1)
    with bounded.admit("lstm"):
        clock.seconds += 4.5
        with pytest.raises(Busy) as refused, bounded.admit("lstm"):
            pass
    assert retry_after(refused) == 5


def test_wait_is_at_most_what_a_request_may_take() -> None:
    clock = Clock()
    bounded = admission(clock, max_in_flight=1, request_timeout_ms=3000)
    with bounded.admit("lstm"):
        clock.seconds += 100
        with pytest.raises(Busy) as refused, bounded.admit("lstm"):
            pass
    assert retry_after(refused) == 3


def test_bodies_are_bounded_together_while_they_are_answered() -> None:
    settings = Settings(max_body_bytes=10, max_held_bytes=15)
    bounded = Admission(settings, Metrics({}, []))

    def request(size: int) -> Request:
        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": b"1" * size, "more_body": False}

        headers = [(b"content-type", b"application/json")]
        return Request({"type": "http", "method": "POST", "headers": headers}, receive)

    async def test() -> None:
        with bounded.hold() as room:
            body = await json_body(request(10), settings, room)
            assert len(body) == bounded.body_bytes == 10
            with pytest.raises(Busy), bounded.hold() as second:
                await json_body(request(6), settings, second)
            with bounded.hold() as third:
                await json_body(request(5), settings, third)
                assert bounded.body_bytes == 15
        assert bounded.body_bytes == 0

    asyncio.run(test())
