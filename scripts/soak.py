"""The whole service under many requests: does anything grow? Linux alone; 20 minutes or so.

    .venv/bin/python scripts/soak.py [--requests 200000] [--clients 8] [flags of lockstep serve]

Prints memory, open files and latency over time, and the growth of each by a linear fit. The status
is 1 if one grew by more than is let pass, or an answer was wrong.
"""

from __future__ import annotations

import argparse
import json
import sys
import urllib.request

from serving import serving

from bench.soak import SAMPLES, TOLERANCES, grown, report, soak

PORT = 8766


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--requests", type=int, default=200_000)
    parser.add_argument("--clients", type=int, default=8)
    options, flags = parser.parse_known_args()
    if options.requests < SAMPLES:
        parser.error(f"--requests must be at least {SAMPLES}")
    with serving(PORT, "--log-requests", "false", *flags) as leader:
        with urllib.request.urlopen(f"http://127.0.0.1:{PORT}/v1/models", timeout=60) as answer:
            models = [model["name"] for model in json.load(answer)["models"]]
        watched = soak(PORT, leader, models, options.requests, options.clients)
    print(report(watched.samples))
    print(
        f"\n{watched.answered:,} answers, {len(watched.wrong)} of them wrong", *watched.wrong[:20]
    )
    growing = [what for what, share in grown(watched.samples).items() if share > TOLERANCES[what]]
    return 1 if watched.wrong or growing else 0


if __name__ == "__main__":
    sys.exit(main())
