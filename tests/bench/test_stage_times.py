from __future__ import annotations

from bench.loadtest.stage_times import StageTimes, gap_rows, parse_server_timing


def test_server_timing_is_read_as_stages() -> None:
    header = "parse;dur=0.112, forward;dur=2.5, total;dur=3.121"
    assert parse_server_timing(header) == {"parse": 0.112, "forward": 2.5, "total": 3.121}
    assert parse_server_timing("") == {}


def test_percentiles_are_of_each_model_and_stage() -> None:
    times = StageTimes()
    for value in range(101):
        times.add("lstm", {"forward": float(value), "total": 2.0 * value})
    times.add("cnn", {"forward": 7.0})
    headings, *rows = times.rows()
    assert headings == ["model", "stage", "requests", "p50", "p90", "p99"]
    assert rows == [
        ["cnn", "forward", "1", "7.000", "7.000", "7.000"],
        ["lstm", "forward", "101", "50.000", "90.000", "99.000"],
        ["lstm", "total", "101", "100.000", "180.000", "198.000"],
    ]


def test_what_several_processes_measured_is_gathered_once() -> None:
    master, worker = StageTimes(), StageTimes()
    worker.add("lstm", {"forward": 1.0})
    master.merge(worker.drain())
    worker.add("lstm", {"forward": 3.0})
    master.merge(worker.drain())
    master.merge(worker.drain())
    assert master.rows()[1:] == [["lstm", "forward", "2", "2.000", "3.000", "3.000"]]


def test_gap_has_a_row_for_each_forward_seen_often_enough() -> None:
    seen = {"length_bucket": "17-32", "batch_bucket": "1", "mean_ms": 2.0}
    gap = {
        "baseline": "cnn",
        "forwards": [
            {"model": "mingru", "schedule": "serial", "count": 1500, "ratio": 1.5, **seen},
            {"model": "lstm", "schedule": None, "count": 5, "ratio": None, **seen},
            {"model": "gru", "schedule": None, "count": 4, "ratio": 1.0, **seen},
        ],
    }
    headings, *rows = gap_rows(gap, least=5)
    assert headings[-1] == "ratio to cnn"
    assert rows == [
        ["mingru, serial", "17-32", "1", "1,500", "2.000", "1.50"],
        ["lstm", "17-32", "1", "5", "2.000", "-"],
    ]
