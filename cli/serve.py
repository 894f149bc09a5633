"""lockstep serve: every setting as a flag."""

from __future__ import annotations

import argparse

from service.settings import Settings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    for name, field in Settings.model_fields.items():
        default = "" if field.default in (None, ()) else f" ({field.default})"
        parser.add_argument(
            f"--{name.replace('_', '-')}",
            default=argparse.SUPPRESS,
            metavar=name.rsplit("_", 1)[-1].upper(),
            help=f"{field.description}{default}",
        )


def run(arguments: argparse.Namespace) -> int:
    from pydantic import ValidationError

    from service.server import serve
    from service.settings import complain

    try:
        settings = Settings(
            **{name: value for name, value in vars(arguments).items() if name != "command"}
        )
    except ValidationError as error:
        raise ValueError(complain(list(error.errors()))) from None
    return serve(settings)
