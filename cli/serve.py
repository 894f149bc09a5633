"""lockstep serve: every setting as a flag."""

from __future__ import annotations

import argparse
from typing import Any, NoReturn

from service.settings import SECRET, Settings

EXAMPLE = "lockstep serve --port 9000 --models lstm,transformer"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    for name, field in Settings.model_fields.items():
        if name in SECRET:
            parser.add_argument(
                f"--{name.replace('_', '-')}",
                action=Secret,
                default=argparse.SUPPRESS,  # None would hide the variable
                help=argparse.SUPPRESS,
            )
            continue
        default = "" if field.default in (None, ()) else f" ({field.default})"
        parser.add_argument(
            f"--{name.replace('_', '-')}",
            default=argparse.SUPPRESS,
            metavar=name.rsplit("_", 1)[-1].upper(),
            help=f"{field.description}{default}",
        )


class Secret(argparse.Action):
    """A setting that is no flag; said without what was typed, which `ps` has shown already."""

    def __call__(self, parser: argparse.ArgumentParser, *unused: Any) -> NoReturn:
        parser.error(
            f"{self.option_strings[0]} is no flag, since `ps` shows those to everybody: "
            f"set LOCKSTEP_{self.dest.upper()}, or name a file: {self.option_strings[0]}-file"
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
