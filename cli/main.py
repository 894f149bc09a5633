"""``lockstep VERB``: finds the verb's file, and imports no other.

Exit statuses: 0, 1 (a part failed, as told), 2 (a user's mistake, with a message), 130 (Ctrl-C).
"""

from __future__ import annotations

import argparse
import importlib
import os
import shlex
import sys
from collections.abc import Sequence

from models import allocator
from models.errors import ModelError

VERBS = {
    "serve": "serve the models over HTTP",
    "classify": "classify texts without a server",
    "models": "list the models and what they reached",
    "train": "train a model from labelled texts",
    "average": "make one model of several trainings of it",
    "evaluate": "score a model on labelled texts",
    "probe": "measure how far back models remember",
    "bench": "measure what serving costs",
}

INTERRUPTED = 130  # 128 + SIGINT, as shells have it


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one verb; returns its exit status."""
    words = list(sys.argv[1:] if argv is None else argv)
    parser = argparse.ArgumentParser(
        prog="lockstep",
        description="Serve sentiment classifiers, and see what recurrence costs.",
        epilog="\n".join(f"  {verb:<10}{text}" for verb, text in VERBS.items()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("verb", choices=VERBS, metavar="VERB", help="one of those below")
    verb: str = parser.parse_args(words[:1]).verb
    try:
        status = _run(verb, words)
        sys.stdout.flush()
    except KeyboardInterrupt:
        print(f"lockstep {verb}: interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # the reader had enough (`| head`)
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (ModelError, ValueError, OSError) as error:
        print(f"lockstep {verb}: {error}", file=sys.stderr)
        return 2
    return status


def _run(verb: str, words: Sequence[str]) -> int:
    module = importlib.import_module(f"cli.{verb}")
    parser = argparse.ArgumentParser(
        prog=f"lockstep {verb}",
        description=VERBS[verb],
        epilog=f"example:\n  {module.EXAMPLE}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    module.add_arguments(parser)
    allocator.keep_freed_memory()  # of the forwards here; a service's workers see to theirs
    # What was typed goes into the card of what it made.
    typed = argparse.Namespace(command=shlex.join(("lockstep", *words)))
    status: int = module.run(parser.parse_args(words[1:], typed))
    return status


if __name__ == "__main__":
    sys.exit(main())
