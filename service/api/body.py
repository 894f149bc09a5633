"""Reading a body: JSON by type, within its size, within its time."""

from __future__ import annotations

import asyncio

from starlette.requests import ClientDisconnect, Request

from service.api.errors import BodyTimeout, BodyTooLarge, ClientGone, NotJSONByType
from service.settings import Settings


async def read_json_body(request: Request, settings: Settings) -> bytes:
    """The whole body, unparsed.

    Raises:
        NotJSONByType: its content type isn't JSON.
        BodyTooLarge: it has, or says it has, more than ``max_body_bytes``.
        BodyTimeout: it didn't arrive within ``body_timeout_ms``.
        ClientGone: it never will.
    """
    max_bytes, timeout_seconds = settings.max_body_bytes, settings.body_timeout_ms / 1e3
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json" and not media_type.endswith("+json"):
        raise NotJSONByType("send JSON, with the header content-type: application/json")
    announced = request.headers.get("content-length", "0")
    if announced.isdecimal() and int(announced) > max_bytes:
        raise BodyTooLarge(f"{announced} bytes; the limit is {max_bytes}")
    chunks, size = [], 0
    try:
        async with asyncio.timeout(timeout_seconds):
            async for chunk in request.stream():
                size += len(chunk)
                if size > max_bytes:
                    raise BodyTooLarge(f"more than {max_bytes} bytes")
                chunks.append(chunk)
    except TimeoutError:
        raise BodyTimeout(f"the body took longer than {timeout_seconds:g} s") from None
    except ClientDisconnect:
        raise ClientGone("the client went away before its body was whole") from None
    return b"".join(chunks)
