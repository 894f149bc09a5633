"""What the whole service takes: seconds until it is ready, memory, idle CPU. Linux alone.

    .venv/bin/python scripts/footprint.py [flags of lockstep serve]

Memory is proportional (PSS): a page that several processes share counts once between them. It is
read after every model has answered, since the first forwards allocate.
"""

from __future__ import annotations

import json
import os
import re
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

from serving import serving

PORT = 8765
IDLE_SECONDS = 20
REQUESTS = 20
TEXT = "A slow start, but by the end I was in tears. Wonderful."


def get(path: str, body: dict[str, Any] | None = None) -> Any:
    request = urllib.request.Request(
        f"http://127.0.0.1:{PORT}{path}",
        data=None if body is None else json.dumps(body).encode(),
        headers={"content-type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=60) as response:
        return json.load(response)


def group(leader: int) -> list[int]:
    """Processes of a process group."""
    pids = [int(path.name) for path in Path("/proc").iterdir() if path.name.isdecimal()]
    return [pid for pid in pids if os.getpgid(pid) == leader]


def pss_megabytes(pid: int) -> float:
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    match = re.search(r"^Pss:\s+(\d+) kB", text, re.MULTILINE)
    return int(match[1]) / 1024 if match else 0.0


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    began = time.monotonic()
    with serving(PORT, *sys.argv[1:]) as leader:
        print(f"ready after {time.monotonic() - began:.1f} s")
        for model in get("/v1/models")["models"]:
            for _ in range(REQUESTS):
                get("/v1/classify", {"inputs": TEXT, "model": model["name"]})
        pids = group(leader)
        print(f"{sum(map(pss_megabytes, pids)):.0f} MB (PSS) in {len(pids)} processes")
        before = sum(map(cpu_seconds, pids))
        time.sleep(IDLE_SECONDS)
        share = (sum(map(cpu_seconds, pids)) - before) / IDLE_SECONDS
        print(f"{share:.2%} of a core while idle")


if __name__ == "__main__":
    main()
