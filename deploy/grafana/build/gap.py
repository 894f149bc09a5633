"""*The gap*: what recurrence costs on this hardware and this traffic, and why."""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard

from deploy.grafana.build.frame import (
    Item,
    assemble,
    choice,
    job_variable,
    models_variable,
    one_of,
)
from deploy.grafana.build.panels import About, Query, lines, row
from deploy.grafana.build.queries import (
    FORWARD,
    JOB,
    MEAN,
    MODELS,
    P99,
    mean_forward,
    per_length,
    rate,
)
from deploy.grafana.build.tables import against_length, table_by_length
from service.observe.buckets import BATCH_EDGES, LENGTH_EDGES, bucket_names

BATCH = 'batch_bucket="$batch_bucket"'
HERE = f'{BATCH}, length_bucket="$length_bucket"'
BY_LENGTH = "model, schedule, length_bucket"
NETWORK = "{{model}} {{schedule}}"


def build() -> dashboard.Dashboard:
    """The dashboard."""
    return assemble(
        "lockstep-gap",
        "Lockstep: the gap",
        "Forward time of each model against length, on live traffic: one batch size at a time, "
        "on the hardware of the chosen job.",
        [
            job_variable(),
            models_variable(),
            one_of(
                "baseline",
                "Baseline",
                'label_values(lockstep_model_info{job="$job"}, model)',
                "lstm",
            ),
            choice("batch_bucket", "Texts in the batch", bucket_names(BATCH_EDGES), "1"),
            choice("length_bucket", "Tokens", bucket_names(LENGTH_EDGES), "17-32"),
        ],
        [*_by_length(), *_over_time(), *_why(), *_schedules()],
    )


def _by_length() -> list[Item]:
    mean = mean_forward(f'model=~"$model", {BATCH}', BY_LENGTH)
    baseline = mean_forward(f'model="$baseline", {BATCH}', "length_bucket")
    ratio = f"({mean}) / on (length_bucket) group_left () ({baseline})"
    count = f"sum by ({BY_LENGTH}) (increase({FORWARD}_count{{{MODELS}, {BATCH}}}[$__range])) > 0"
    return [
        row("Against length, over the whole time range"),
        against_length(
            About(
                "Forward against length",
                "Mean of the forward that a request rode in: a sum over a count, exact. A text "
                "counts where the longest in its batch belongs, as it waited for that one. Points "
                "stand at the upper end of their range of lengths.",
                "s",
            ),
            per_length(mean),
        ),
        against_length(
            About(
                "Ratio to $baseline",
                "The same over the baseline's mean at that length: 1 is as long as $baseline, 2 is "
                "twice as long, 0.5 half. A baseline with two schedules is taken as the mean over "
                "what ran.",
                "none",
            ),
            per_length(ratio),
        ),
        table_by_length(
            About(
                "Forwards behind each point",
                "How many forwards each mean above is of. Few make a mean of little worth.",
                "short",
            ),
            per_length(count),
        ),
    ]


def _over_time() -> list[Item]:
    here = f"{MODELS}, {HERE}"
    baseline = (
        f'sum by (job) (rate({FORWARD}_sum{{{JOB}, model="$baseline", {HERE}}}[5m])) / '
        f'(sum by (job) (rate({FORWARD}_count{{{JOB}, model="$baseline", {HERE}}}[5m])) > 0)'
    )
    return [
        row("Over time: texts of $length_bucket tokens, $batch_bucket in the batch"),
        lines(
            About("Forward, mean", "Mean over 5 minutes, exact.", "s"),
            Query(f"{MEAN}{{{here}}}", NETWORK),
        ),
        lines(
            About(
                "Forward, 99th percentile",
                "Over 5 minutes, interpolated between a histogram's bounds, which are about a "
                "factor of 2 apart: read it as a range, not as a figure.",
                "s",
            ),
            Query(f"{P99}{{{here}}}", NETWORK),
        ),
        lines(
            About(
                "Ratio to $baseline",
                "The mean over 5 minutes over the baseline's: 1 is as long, 2 is twice as long.",
                "none",
            ),
            Query(f"{MEAN}{{{here}}} / on (job) group_left () ({baseline})", NETWORK),
            log=True,
        ),
    ]


def _why() -> list[Item]:
    return [
        row("Why: what waits, and what the hardware does meanwhile"),
        lines(
            About(
                "Sequential depth",
                "Steps of one batch that had to wait for one another, on average. It is a property "
                "of the architecture and the length, whatever the hardware.",
                "none",
                6,
            ),
            Query(
                f"job_model:lockstep_sequential_steps_per_batch:ratio_rate5m{{{MODELS}}}",
                "{{model}}",
            ),
            log=True,
        ),
        lines(
            About(
                "Achieved FLOP/s",
                "Operations on real tokens over seconds in forwards, padding left out. Far below "
                "what the hardware can do is hardware that waits.",
                "flops",
                6,
            ),
            Query(
                f"job_model:lockstep_model_flops_per_forward_second:ratio_rate5m{{{MODELS}}}",
                "{{model}}",
            ),
            log=True,
        ),
        lines(
            About(
                "Forward time a token",
                "Seconds in forwards over the real tokens they computed, all lengths and batch "
                "sizes together: it moves with the traffic as well as with the model.",
                "s",
                6,
            ),
            Query(
                f"job_model:lockstep_forward_seconds_per_token:ratio_rate5m{{{MODELS}}}",
                "{{model}}",
            ),
            log=True,
        ),
        lines(
            About(
                "Forwards a second, by length",
                "Where the traffic is: a gap at a length that nobody sends costs nobody.",
                "ops",
                6,
            ),
            Query(
                f"sum by (length_bucket) ({rate(f'{FORWARD}_count')})", "{{length_bucket}} tokens"
            ),
            stacked=True,
        ),
    ]


def _schedules() -> list[Item]:
    serial, parallel = (
        mean_forward(f'model=~"$model", schedule="{name}", {BATCH}', "model, length_bucket")
        for name in ("serial", "parallel")
    )
    ratio = f"({serial}) / on (model, length_bucket) ({parallel})"
    both = mean_forward(f'model=~"$model", schedule!="", {BATCH}', BY_LENGTH)
    return [
        row("Two schedules: the same weights, word by word and as a scan"),
        against_length(
            About(
                "Forward by schedule",
                "Models whose recurrence runs both ways give the same answer in both orders, so "
                "the schedule is all that differs here. Requests choose by `schedule`.",
                "s",
                12,
            ),
            per_length(both),
        ),
        against_length(
            About(
                "Serial over parallel",
                "Mean forward word by word over that as a scan: above 1 the scan was faster, below "
                "1 the word by word order was.",
                "none",
                12,
            ),
            per_length(ratio),
        ),
    ]
