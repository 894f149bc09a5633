"""*Service*: whether clients get their answers, how fast, and what is in the way if not."""

from __future__ import annotations

from collections.abc import Sequence

from grafana_foundation_sdk.builders import dashboard

from deploy.grafana.build.engine import batches, queue, workers
from deploy.grafana.build.frame import Item, assemble, job_variable, models_variable
from deploy.grafana.build.panels import About, Query, distribution, lines, number, row
from deploy.grafana.build.queries import JOB, MODELS, STAGE, rate, share

REQUESTS = "lockstep_request_duration_seconds"
BURN = "job_slo:lockstep_error_budget:burn"
WINDOWS = ("5m", "30m", "1h", "6h", "3d")
VERDICTS = 'route=~"/v1/classify|/v2/models/.+/infer"'  # one pipeline, in two forms


def build() -> dashboard.Dashboard:
    """The dashboard."""
    return assemble(
        "lockstep-service",
        "Lockstep: service",
        "Rates, errors, where a request's time goes, the queue, the workers and the objectives.",
        [job_variable(), models_variable()],
        [
            *_at_a_glance(),
            *_requests(),
            *_latency(),
            *queue(),
            *batches(),
            *workers(),
            *_objectives(),
        ],
    )


def _at_a_glance() -> list[Item]:
    def glance(title: str, text: str, unit: str, query: str, *steps: tuple[float, str]) -> Item:
        return number(About(title, text, unit, 4), Query(query, title), steps)

    rate5m = f'job_model_route_code:{REQUESTS}_count:rate5m{{{JOB}, route=~"/v1/.+|/v2/.+"}}'
    slowest = f"job_model_route:{REQUESTS}:p99_rate5m{{{JOB}, {VERDICTS}}}"
    return [
        row("Now"),
        glance("Requests", "To the API, over 5 minutes.", "reqps", f"sum({rate5m})"),
        glance("p99, slowest model", "Of the verdicts answered.", "s", f"max({slowest})"),
        glance(
            "In flight",
            "Admitted and not answered; LOCKSTEP_MAX_IN_FLIGHT is the most.",
            "none",
            f"sum(lockstep_requests_in_flight{{{JOB}}})",
        ),
        glance(
            "Worker busy",
            "Share of the time in batches. Near 1 requests wait for one another.",
            "percentunit",
            f"max(job_device:lockstep_worker_busy:ratio_rate5m{{{JOB}}})",
        ),
        *(
            glance(
                f"Budget of {slo} burns",
                "Over 6 hours: at 1 the 30-day budget lasts 30 days. See docs/alerts.md.",
                "none",
                f'{BURN}6h{{{JOB}, slo="{slo}"}}',
                (1, "orange"),
                (6, "red"),
            )
            for slo in ("errors", "latency")
        ),
    ]


def _requests() -> list[Item]:
    counts = f"{REQUESTS}_count"
    return [
        row("Requests"),
        lines(
            About("Requests by model", "All routes; `other` never named a model.", "reqps", 6),
            Query(f"sum by (model) ({rate(counts)})", "{{model}}"),
            stacked=True,
        ),
        lines(
            About(
                "Requests by code", "What was answered, probes and scrapes included.", "reqps", 6
            ),
            Query(f"sum by (code) ({rate(counts)})", "{{code}}"),
            stacked=True,
        ),
        lines(
            About(
                "Server faults",
                "5xx over 2xx and 5xx, by model and route, over 5 minutes.",
                "percentunit",
                6,
            ),
            Query(
                f"job_model_route:lockstep_failures_per_request:ratio_rate5m{{{MODELS}}}",
                "{{model}} {{route}}",
            ),
        ),
        lines(
            About(
                "Refused, by reason", "Requests that ended without an answer, by why.", "reqps", 6
            ),
            Query(f"sum by (reason) ({rate('lockstep_rejections_total', of=JOB)})", "{{reason}}"),
        ),
    ]


def _latency() -> list[Item]:
    stages = share(rate(f"{STAGE}_sum"), rate(f"{STAGE}_count"), "stage")
    answered = f'{MODELS}, {VERDICTS}, code="200"'
    return [
        row("Latency"),
        lines(
            About(
                "Classify: 50th, 95th and 99th percentile",
                "Of the verdicts answered with 200, by either API, interpolated between a "
                "histogram's bounds.",
                "s",
            ),
            *(
                Query(
                    f"job_model_route:{REQUESTS}:{name}_rate5m{{{MODELS}, {VERDICTS}}}",
                    f"{{{{model}}}} {name} {{{{route}}}}",
                )
                for name in ("p50", "p95", "p99")
            ),
            log=True,
        ),
        lines(
            About(
                "Where the time goes",
                "Mean of each stage of the chosen models' requests; the sum is the whole.",
                "s",
            ),
            Query(stages, "{{stage}}"),
            stacked=True,
        ),
        distribution(
            About("Classify: all of them", "Answers a second, by how long they took.", "s"),
            f"sum by (le) ({rate(f'{REQUESTS}_bucket', of=answered)})",
        ),
    ]


def _objectives() -> list[Item]:
    def burn(slo: str, title: str, text: str) -> Item:
        queries: Sequence[Query] = [
            Query(f'{BURN}{window}{{{JOB}, slo="{slo}"}}', window) for window in WINDOWS
        ]
        return lines(About(title, text, "none", 12), *queries)

    read = (
        "At 1 the 30-day budget lasts 30 days; 14.4 over an hour and 6 over six hours page, 1 over "
        "three days is a ticket. No request is no line."
    )
    return [
        row("Objectives: how fast the error budgets burn"),
        burn("errors", "Errors: 99.9% without a server fault", read),
        burn("latency", "Latency: 99% of classify within 0.5 s", read),
    ]
