"""The part of *Service* behind the API: the queue, the batches and the workers."""

from __future__ import annotations

from deploy.grafana.build.frame import Item
from deploy.grafana.build.panels import About, Query, bars, distribution, lines, row
from deploy.grafana.build.queries import JOB, MODELS, STAGE, quantile, rate, share
from deploy.grafana.build.tables import labels_table


def queue() -> list[Item]:
    """What waits, and how long."""
    waited = rate(f"{STAGE}_bucket", of=f'{MODELS}, stage="queue"')
    return [
        row("Queue"),
        lines(
            About("Waiting for a batch", "Windows of texts that wait in the worker.", "none"),
            Query(f"sum by (model) (lockstep_queue_depth{{{MODELS}}})", "{{model}}"),
            stacked=True,
        ),
        lines(
            About("In flight", "Requests admitted and not answered.", "none"),
            Query(f"sum by (model) (lockstep_requests_in_flight{{{MODELS}}})", "{{model}}"),
            stacked=True,
        ),
        lines(
            About(
                "Waited in the queue, 99th percentile",
                "From admitted until picked for a batch: other requests' forwards, mostly.",
                "s",
            ),
            Query(quantile(0.99, waited, "model"), "{{model}}"),
        ),
    ]


def batches() -> list[Item]:
    """What is computed at once."""
    size = "lockstep_batch_size"
    return [
        row("Batches"),
        lines(
            About("Texts in a batch, mean", "Windows of texts computed at once.", "none"),
            Query(share(rate(f"{size}_sum"), rate(f"{size}_count"), "model"), "{{model}}"),
        ),
        distribution(
            About("Texts in a batch, all of them", "Batches a second, by their size.", "none"),
            f"sum by (le) ({rate(f'{size}_bucket')})",
        ),
        lines(
            About(
                "Padding",
                "Share of the computed tokens that were padding, over 5 minutes: work for nothing.",
                "percentunit",
            ),
            Query(
                f"job_model:lockstep_padding_per_computed_token:ratio_rate5m{{{MODELS}}}",
                "{{model}}",
            ),
        ),
    ]


def workers() -> list[Item]:
    """What computes it."""
    return [
        row("Workers"),
        lines(
            About("Busy", "Share of the time in batches, shadows' included.", "percentunit", 6),
            Query(
                f"avg by (device) ({rate('lockstep_worker_busy_seconds_total', of=JOB)})",
                "{{device}}",
            ),
        ),
        lines(
            About(
                "Started again", "Workers that died, in all since the service started.", "none", 6
            ),
            Query(
                f"sum by (instance, device) (lockstep_worker_restarts_total{{{JOB}}})",
                "{{instance}} {{device}}",
            ),
        ),
        lines(
            About("Memory", "What the worker holds on its device.", "bytes", 6),
            Query(
                f"sum by (instance, device) (lockstep_device_memory_bytes{{{JOB}}})",
                "{{instance}} {{device}}",
            ),
        ),
        bars(
            About("Loading", "Seconds that each model took to load and to choose a dtype.", "s", 6),
            Query(f"max by (model) (lockstep_model_load_seconds{{{MODELS}}})", "{{model}}"),
        ),
        labels_table(
            About(
                "What is served",
                "Each model, where it runs and in which number format.",
                "none",
                16,
            ),
            f"lockstep_model_info{{{MODELS}}} == 1",
            ["job"],
        ),
        labels_table(
            About("What serves it", "Versions of the service and of what it is built on.", "none"),
            f"lockstep_build_info{{{JOB}}}",
            ["job"],
        ),
    ]
