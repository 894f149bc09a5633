"""Who may call, as the settings have it: the layers outside the edge and inside it."""

from __future__ import annotations

import logging
from typing import TypedDict

from starlette.middleware import Middleware

from service.api.cors import Allowed, Preflight
from service.api.keys import Gate, Keys
from service.settings import Settings

logger = logging.getLogger("lockstep.api")


class Layers(TypedDict):
    """Of the application, round its edge."""

    outside: list[Middleware]
    inside: list[Middleware]


def layers(settings: Settings) -> Layers:
    """The layers; none where the settings ask for nothing.

    Raises:
        ValueError: the keys can't be used.
    """
    outside: list[Middleware] = []
    inside: list[Middleware] = []
    if settings.cors_origins:
        outside.append(Middleware(Allowed, origins=settings.cors_origins))
        inside.append(Middleware(Preflight))
    clients = keys("api_keys", settings)
    scrapers = keys("metrics_keys", settings)
    if clients is not None or scrapers is not None:
        inside.append(Middleware(Gate, clients=clients, scrapers=scrapers))
    for whom, asked in (("the API", clients), ("/metrics", scrapers)):
        if asked is not None:
            logger.info("%s asks for one of %d keys", whom, len(asked))
    return {"outside": outside, "inside": inside}


def keys(name: str, settings: Settings) -> Keys | None:
    """The keys of one kind; None where neither setting is given."""
    listed, file = getattr(settings, name), getattr(settings, f"{name}_file")
    return None if listed is None and file is None else Keys(name, listed, file)
