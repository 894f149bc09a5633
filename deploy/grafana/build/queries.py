"""PromQL that several panels share. Names starting with ``$`` are the dashboard's variables."""

from __future__ import annotations

FORWARD = "lockstep_forward_duration_seconds"
STAGE = "lockstep_stage_duration_seconds"
JOB = 'job="$job"'
MODELS = f'{JOB}, model=~"$model"'

# What the recording rules of deploy/prometheus call it.
MEAN = "job_model_schedule_length_batch:lockstep_forward_duration_seconds:mean5m"
P99 = "job_model_schedule_length_batch:lockstep_forward_duration_seconds:p99_rate5m"


def share(part: str, whole: str, labels: str) -> str:
    """A ratio of two sums by ``labels``; no answer where the whole is 0."""
    return f"sum by ({labels}) ({part}) / (sum by ({labels}) ({whole}) > 0)"


def rate(series: str, *, of: str = MODELS, window: str = "$__rate_interval") -> str:
    """Per second, over what one point of a graph stands for."""
    return f"rate({series}{{{of}}}[{window}])"


def mean_forward(selector: str, labels: str) -> str:
    """Mean forward over the dashboard's whole time range, exact: a sum over a count."""
    seconds, count = (
        f"increase({FORWARD}_{part}{{{JOB}, {selector}}}[$__range])" for part in ("sum", "count")
    )
    return share(seconds, count, labels)


def per_length(expression: str) -> str:
    """For a graph against length: ``with_tokens``, and ``network``: the model and its schedule."""
    joined = f'label_join({expression}, "network", " ", "model", "schedule")'
    return with_tokens(f'label_replace({joined}, "network", "$1", "network", "(.*) ")')


def with_tokens(expression: str) -> str:
    """``tokens``: the upper end of the length bucket; of the last, which has none, the lower."""
    return f'label_replace({expression}, "tokens", "$1", "length_bucket", "(?:.*-)?([0-9]+)[+]?")'


def quantile(number: float, buckets: str, labels: str) -> str:
    """Interpolated inside a bucket."""
    return f"histogram_quantile({number}, sum by ({labels}, le) ({buckets}))"
