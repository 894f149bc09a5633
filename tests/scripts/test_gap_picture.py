from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy
import pytest
from matplotlib import rc_context

from scripts.gap_picture import LENGTHS, Line, Point, describe, draw, main, query, read, save
from training.plots import STYLE


def sample(value: float, length: str, model: str = "lstm", **labels: str) -> dict[str, Any]:
    """As Prometheus has it: a label that is empty is not there."""
    return {"metric": {"model": model, "length_bucket": length} | labels, "value": [0, str(value)]}


LINES = read(
    [sample(3, "33-64"), sample(1, "1-16"), sample(9, "1-16", "mingru", schedule="serial")],
    [sample(100, "33-64"), sample(99.6, "1-16"), sample(30, "1-16", "mingru", schedule="serial")],
    least=20,
)


def test_query_is_of_one_job_batch_and_window() -> None:
    assert query("sum", "here", "2-4", "6h") == (
        "sum by (model, schedule, length_bucket) (increase(lockstep_forward_duration_seconds_sum"
        '{job="here", batch_bucket="2-4"}[6h]))'
    )


def test_lines_are_means_by_length() -> None:
    lstm, mingru = LINES
    assert lstm == Line("lstm", "", (Point("1-16", 1 / 99.6, 100), Point("33-64", 0.03, 100)))
    assert mingru == Line("mingru", "serial", (Point("1-16", 0.3, 30),))


def test_points_of_few_forwards_are_left_out() -> None:
    seconds = [sample(1, "1-16"), sample(2, "17-32"), sample(0, "33-64")]
    forwards = [sample(19, "1-16"), sample(20, "17-32"), sample(0, "33-64")]
    (line,) = read(seconds, forwards, least=20)
    assert [point.length for point in line.points] == ["17-32"]
    assert read(seconds[2:], forwards[2:], least=0) == []


def test_every_range_of_lengths_has_its_place() -> None:
    points = tuple(Point(length, 0.001, 20) for length in LENGTHS)
    (axes,) = draw([Line("lstm", "", points)], "").axes
    places = numpy.asarray(axes.get_lines()[0].get_xdata())
    assert places.tolist() == [2**power for power in range(4, 13)]
    names = [axes.xaxis.get_major_formatter()(place, 0) for place in places]
    assert names == LENGTHS


def test_picture_has_logarithmic_axes_in_milliseconds() -> None:
    (axes,) = draw(LINES, "1 text in the batch").axes
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
    lstm, mingru = axes.get_lines()
    assert numpy.asarray(lstm.get_ydata()).tolist() == pytest.approx([1e3 / 99.6, 30])
    assert (lstm.get_label(), mingru.get_label()) == ("lstm", "mingru, serial")
    assert (lstm.get_linestyle(), mingru.get_linestyle()) == ("-", "--")
    assert "1 text in the batch" in axes.get_xlabel()


def test_files_are_images_and_data_and_the_same_each_time(tmp_path: Path) -> None:
    written = []
    with rc_context(STYLE | {"savefig.dpi": 30}):
        for name in ("one", "two"):
            save(draw(LINES, "here"), LINES, "here", tmp_path / name)
            written.append([path.read_bytes() for path in sorted((tmp_path / name).iterdir())])
    assert written[0] == written[1]
    png, svg, data = written[0]
    assert png.startswith(b"\x89PNG")
    assert "mingru, serial" in "".join(ElementTree.fromstring(svg).itertext())
    assert json.loads(data)["lines"][0]["points"][0]["length"] == "1-16"


def test_caption_tells_what_it_ran_on() -> None:
    info = [{"metric": {"device": "cpu", "dtype": dtype}} for dtype in ("float32", "bfloat16")]
    assert describe(info, "1") == "1 text in the batch; cpu; bfloat16 and float32"
    assert describe(info, "2-4").startswith("2-4 texts")


def test_no_prometheus_is_told(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="refused"):
        main(["--prometheus", "http://127.0.0.1:1", "--out", str(tmp_path)])
    assert not list(tmp_path.iterdir())
