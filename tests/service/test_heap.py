"""Full garbage collections of a running service look at little: nobody waits for them."""

from __future__ import annotations

from pathlib import Path

import httpx

from tests.launch import Service, eventually
from tests.service.processes import api_pids, worker_pids

# In every process: collects all the time, and notes how many objects each collection looks at.
COLLECTING = """
import gc, os, threading, time
def collect():
    while True:
        with open({log!r}, "a") as log:
            print(os.getpid(), len(gc.get_objects()), file=log)
        gc.collect()
        time.sleep(0.2)
def begin():
    threading.Thread(target=collect, daemon=True).start()
begin()
os.register_at_fork(after_in_child=begin)
"""
MANY = 20_000  # a ready API process holds three times as many, a worker many times


def looked_at(log: Path) -> dict[int, list[int]]:
    """Objects of each collection, by process."""
    found: dict[int, list[int]] = {}
    for line in log.read_text(encoding="utf-8").splitlines():
        process, objects = line.split()
        found.setdefault(int(process), []).append(int(objects))
    return found


def test_collections_pass_by_what_was_loaded(tmp_path: Path) -> None:
    log = tmp_path / "collections"
    (tmp_path / "sitecustomize.py").write_text(COLLECTING.format(log=str(log)), encoding="utf-8")
    env = {"PYTHONPATH": str(tmp_path)}
    with Service("--models", "lstm,mingru", log=tmp_path / "log", env=env) as service:
        loading = looked_at(log)
        assert max(map(max, loading.values())) > MANY, "torch was seen to be loaded"
        log.write_text("", encoding="utf-8")
        body = {"inputs": ["A film of rare beauty.", "Dull."], "model": "lstm"}
        assert httpx.post(f"{service.base_url}/v1/classify", json=body).status_code == 200
        serving = [*api_pids(service), *worker_pids(service)]
        eventually(lambda: all(len(looked_at(log).get(process, [])) > 2 for process in serving))
        assert max(max(looked_at(log)[process]) for process in serving) < MANY
