"""Parts of pages that a program writes: each stands between two marks that name it.

<!-- name -->
| … |
<!-- end -->
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from bench.gap_report import markdown

MARK = re.compile(r"(<!-- (\w+) -->\n)(.*?)(<!-- end -->)", re.DOTALL)

Rows = list[list[str]]
Tables = Mapping[str, Callable[[], Rows | str]]  # by name; what is a string stands as it is


def filled(page: str, tables: Tables) -> str:
    """The page with every table as it was measured. Raises KeyError for a mark of no table."""

    def fill(found: re.Match[str]) -> str:
        made = tables[found[2]]()
        return f"{found[1]}{made if isinstance(made, str) else markdown(made)}\n{found[4]}"

    return MARK.sub(fill, page)


def refresh(pages: Sequence[Path], tables: Tables, words: Sequence[str] | None = None) -> int:
    """The command of a script that writes tables: with ``--check`` it only says whether it would.

    Returns:
        The exit status: 1 where ``--check`` found a table that isn't as measured.
    """
    parser = argparse.ArgumentParser(description="Puts what was measured into the docs.")
    parser.add_argument("--check", action="store_true", help="write nothing; 1 if it would")
    options = parser.parse_args(words)
    stale = []
    for path in pages:
        text = path.read_text(encoding="utf-8")
        if text != (new := filled(text, tables)):
            stale.append(path.name)
            if not options.check:
                path.write_text(new, encoding="utf-8")
    print("as measured" if not stale else f"{'stale' if options.check else 'wrote'}: {stale}")  # noqa: T201 - a command of scripts/
    return 1 if stale and options.check else 0
