"""Reading a body: JSON by type, within its size, within its time."""

from __future__ import annotations

import asyncio
from collections.abc import Container
from contextlib import nullcontext

from starlette.requests import ClientDisconnect, Request

from service.api.admission import Room
from service.api.errors import (
    BodyTimeout,
    BodyTooLarge,
    ClientGone,
    EncodedBody,
    NotJSONByType,
)
from service.api.exchange import WHOLE
from service.settings import Settings


async def json_body(
    request: Request, settings: Settings, room: Room, also: Container[str] = ()
) -> bytes:
    """The whole body, unparsed.

    Args:
        request: whose body wasn't read yet.
        settings: the bounds.
        room: where it is held.
        also: media types taken beside JSON's; the empty one is none at all.

    Raises:
        NotJSONByType: its content type isn't JSON.
        EncodedBody: it is compressed.
        Busy: the bodies held leave no room for it.
        BodyTooLarge: it has, or says it has, more than ``max_body_bytes``.
        BodyTimeout: it didn't arrive within ``body_timeout_ms``.
        ClientGone: it never will.
    """
    max_bytes, timeout_seconds = settings.max_body_bytes, settings.body_timeout_ms / 1e3
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    is_json = media_type == "application/json" or media_type.endswith("+json")
    if not is_json and media_type not in also:
        raise NotJSONByType("send JSON, with the header content-type: application/json")
    if request.headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise EncodedBody("send the body as it is, without content-encoding")
    announced = request.headers.get("content-length", "0")
    if announced.isdecimal() and int(announced) > max_bytes:
        raise BodyTooLarge(f"{announced} bytes; the limit is {max_bytes}")
    chunks: list[bytes] = []
    try:
        # It came with the headers, as most do: nothing here is waited for.
        waiting = nullcontext() if WHOLE in request.scope else asyncio.timeout(timeout_seconds)
        async with waiting:
            async for chunk in request.stream():
                if room.size + len(chunk) > max_bytes:
                    raise BodyTooLarge(f"more than {max_bytes} bytes")
                room.add(len(chunk))
                chunks.append(chunk)
    except TimeoutError:
        raise BodyTimeout(f"the body took longer than {timeout_seconds:g} s") from None
    except ClientDisconnect:
        raise ClientGone("the client went away before its body was whole") from None
    return b"".join(chunks)
