from __future__ import annotations

from pathlib import Path

import pytest

from bench.marked import MARK
from scripts import why_figures
from scripts.why_figures import PAGES, TABLES, cells

DOCS = Path(why_figures.ROOT) / "docs"


def test_pages_show_what_was_measured(capsys: pytest.CaptureFixture[str]) -> None:
    assert why_figures.main(["--check"]) == 0
    assert capsys.readouterr().out == "as measured\n"


@pytest.mark.parametrize("name", PAGES)
def test_page_has_every_table_once_and_in_one_order(name: str) -> None:
    page = (DOCS / name).read_text(encoding="utf-8")
    assert [found[2] for found in MARK.finditer(page)] == [
        "steps", "gpu", "shares", "gpu32", "cpu", "training",
    ]  # fmt: skip
    assert {found[2] for found in MARK.finditer(page)} == set(TABLES)


def test_stale_page_is_found_and_written_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(why_figures, "PAGES", (str(tmp_path / "page.md"),))
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- steps -->\n| old |\n<!-- end -->\nafter\n")
    assert why_figures.main(["--check"]) == 1
    assert "| old |" in page.read_text()
    assert why_figures.main([]) == 0
    assert page.read_text().startswith("before\n<!-- steps -->\n|  | 16 | 64 | 256 | 512 |\n")
    assert page.read_text().endswith("<!-- end -->\nafter\n")
    assert why_figures.main(["--check"]) == 0


def test_what_the_words_say_of_the_gpu_is_so() -> None:
    one, many = cells("gpu", "captured", 1), cells("gpu", "captured", 32)
    assert one["lstm"][16]["ratio"] < 1  # "ahead at 16 tokens"
    assert 9 < one["lstm"][512]["ratio"] < 11  # "an order of magnitude behind at 512"
    gap = many["lstm"][512]["ratio"] / one["lstm"][512]["ratio"]
    assert 0.25 < gap < 0.4  # "a third of what it was"
    waits = many["lstm"][512]["forward_seconds"] / one["lstm"][512]["forward_seconds"]
    assert waits >= 1  # "as long as ever"
