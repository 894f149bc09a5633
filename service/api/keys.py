"""Who may call: keys of clients, and keys of those who read ``/metrics``; each kind is optional.

    Authorization: Bearer KEY ──▶ known as what the path wants? in : 403 if the other kind, else 401

Asked before a body is read. Keys are kept as digests, and one that comes is compared with all of a
kind in one time, whether it is the first, the last or none of them.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import os
import re
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from pydantic import SecretStr
from starlette.types import ASGIApp, Receive, Scope, Send

from service.api.errors import Forbidden, Unauthorized

logger = logging.getLogger("lockstep.api")

METRICS = "/metrics"
# What probes ask, and what a browser loads before a person can type a key. Nothing here computes,
# nor tells more than that the service is there and which models it has.
PROBES = frozenset(
    [f"{root}/health/{probe}" for root in ("", "/v2") for probe in ("live", "ready")]
)
OPEN = PROBES | {"/", "/docs", "/openapi.json"}
OPEN_FOLDER = "/web/"

# RFC 6750's b64token, and long enough not to be guessed.
KEY = re.compile(r"[A-Za-z0-9._~+/-]{16,256}={0,2}")
LOOK_SECONDS = 1.0  # between looks at a file

Clock = Callable[[], float]


class Keys:
    """Keys of one kind, some of which may be in a file that is read again when it changes.

    Args:
        name: of the setting, for messages: ``api_keys``.
        listed: comma separated, or None.
        file: one a line; empty lines and those that begin with ``#`` are left out. Or None.
        clock: seconds, ever more.

    Raises:
        ValueError: there is no key, one isn't what a key must be, or the file can't be read. A
            message never holds a key.
    """

    def __init__(
        self, name: str, listed: SecretStr | None, file: Path | None, clock: Clock = time.monotonic
    ) -> None:
        self._file, self._clock = file, clock
        self._variable = f"LOCKSTEP_{name.upper()}"
        self._listed: list[bytes] = []
        if listed is not None:
            self._listed = _digests(listed.get_secret_value().split(","), self._variable)
        self._digests, self._signature, self._looked = self._listed, "", clock()
        self._complaint = ""
        if file is not None:
            try:
                self._signature = _signature(file)
                self._digests = [*self._listed, *self._read(file)]
            except OSError as error:
                raise ValueError(f"{self._variable}_FILE: {error}") from None

    def __len__(self) -> int:
        return len(self._digests)

    def hold(self, key: bytes) -> bool:
        """Whether it is one of them; takes as long either way."""
        self._look()
        digest, found = hashlib.sha256(key).digest(), False
        for known in self._digests:
            found |= hmac.compare_digest(digest, known)
        return found

    def _look(self) -> None:
        """Reads the file again if it is another; where it can't be read the keys stay."""
        if self._file is None or self._clock() - self._looked < LOOK_SECONDS:
            return
        self._looked = self._clock()
        try:
            if (signature := _signature(self._file)) == self._signature:
                return
            self._digests = [*self._listed, *self._read(self._file)]
        except (OSError, ValueError) as error:
            if self._complaint != str(error):
                logger.error("the keys stay as they were: %s", error)
            self._complaint = str(error)
        else:
            self._signature, self._complaint = signature, ""
            logger.info("%s_FILE has changed: %d keys", self._variable, len(self))

    def _read(self, file: Path) -> list[bytes]:
        lines = file.read_bytes().decode("latin-1").splitlines()
        keys = [line for line in map(str.strip, lines) if line and not line.startswith("#")]
        return _digests(keys, f"{self._variable}_FILE")


def _digests(keys: Iterable[str], source: str) -> list[bytes]:
    found = []
    for number, key in enumerate(map(str.strip, keys), 1):
        if not KEY.fullmatch(key):
            raise ValueError(
                f"{source}: key {number} isn't 16 to 256 letters, digits and -._~+/ "
                "(as `openssl rand -hex 32` makes them)"
            )
        found.append(hashlib.sha256(key.encode()).digest())
    if not found:
        raise ValueError(f"{source} has no key: leave it out to let everybody in")
    return found


def _signature(file: Path) -> str:
    """Says when a file is another: a link that points elsewhere included."""
    found = os.stat(file)  # noqa: PTH116 - follows links, as reading does
    return f"{found.st_dev} {found.st_ino} {found.st_size} {found.st_mtime_ns}"


class Gate:
    """The layer that asks for keys, before anything of a request is read but its headers.

    Args:
        app: what they are for.
        clients: may call everything but ``/metrics``; None lets everybody.
        scrapers: may read ``/metrics``; None lets everybody.
    """

    def __init__(self, app: ASGIApp, clients: Keys | None, scrapers: Keys | None) -> None:
        self._app, self._clients, self._scrapers = app, clients, scrapers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            self._ask(scope["path"], scope["headers"])
        await self._app(scope, receive, send)

    def _ask(self, path: str, headers: Iterable[tuple[bytes, bytes]]) -> None:
        """Raises Unauthorized or Forbidden."""
        if is_open(path):
            return
        wanted, other = self._clients, self._scrapers
        if path == METRICS:
            wanted, other = other, wanted
        if wanted is None:
            return
        key = bearer(headers)
        if key is None:
            raise Unauthorized("send a key, once, in the header Authorization: Bearer KEY")
        elsewhere = other is not None and other.hold(key)
        if wanted.hold(key):
            return
        if elsewhere:
            raise Forbidden("the key is of another kind: clients and /metrics have their own")
        raise Unauthorized("no such key is known here", unknown=True)


def is_open(path: str) -> bool:
    """Whether a path is answered without a key."""
    return path in OPEN or path.startswith(OPEN_FOLDER)


def bearer(headers: Iterable[tuple[bytes, bytes]]) -> bytes | None:
    """The key that a request carries; None for no key, and for two."""
    sent = [value for name, value in headers if name == b"authorization"]
    if len(sent) != 1:
        return None
    scheme, _, key = sent[0].partition(b" ")
    return key.strip(b" ") or None if scheme.lower() == b"bearer" else None
