"""*Quality*: whether texts and verdicts look as they did, and whether two models agree."""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard

from deploy.grafana.build.frame import Item, assemble, job_variable, models_variable
from deploy.grafana.build.panels import About, Query, distribution, lines, row
from deploy.grafana.build.queries import JOB, MODELS, quantile, rate, share, with_tokens
from deploy.grafana.build.tables import against_length

SCORE = "lockstep_prediction_score"
TOKENS = "lockstep_request_tokens"
SHADOW_ROW = "Shadow traffic: needs LOCKSTEP_SHADOW"
PAIR = "{{primary}} → {{shadow}}"


def build() -> dashboard.Dashboard:
    """The dashboard."""
    return assemble(
        "lockstep-quality",
        "Lockstep: quality",
        "Labels, scores and texts, how far they drift from the day before, and who agrees.",
        [job_variable(), models_variable()],
        [*_verdicts(), *_drift(), *_texts(), *_shadow()],
    )


def _verdicts() -> list[Item]:
    return [
        row("Verdicts"),
        lines(
            About(
                "Label mix",
                "Share of each label among a model's verdicts of the last hour.",
                "percentunit",
            ),
            Query(
                f"job_model_label:lockstep_predictions:share1h{{{MODELS}}}", "{{model}} {{label}}"
            ),
        ),
        lines(
            About(
                "Score, mean",
                "Calibrated probability of the label given: how sure the model says it is.",
                "percentunit",
            ),
            Query(
                share(rate(f"{SCORE}_sum"), rate(f"{SCORE}_count"), "model, label"),
                "{{model}} {{label}}",
            ),
        ),
        distribution(
            About("Scores, all of them", "Verdicts a second, by their score.", "percentunit"),
            f"sum by (le) ({rate(f'{SCORE}_bucket')})",
        ),
    ]


def _drift() -> list[Item]:
    read = (
        "Kolmogorov-Smirnov distance between the last hour and the last day: 0 is alike, 1 has "
        "nothing in common. Few texts in the hour make it large by chance alone."
    )
    return [
        row("Drift: the last hour against the last day"),
        lines(
            About("Scores", read, "none", 12),
            Query(f"job_model_label:{SCORE}:drift1h{{{MODELS}}}", "{{model}} {{label}}"),
        ),
        lines(
            About("Lengths of texts", read, "none", 12),
            Query(f"job_model:{TOKENS}:drift1h{{{MODELS}}}", "{{model}}"),
        ),
    ]


def _texts() -> list[Item]:
    lengths = rate(f"{TOKENS}_bucket")
    segments = share(rate("lockstep_segments_total"), rate(f"{TOKENS}_count"), "model")
    return [
        row("Texts"),
        lines(
            About(
                "Length",
                "Tokens of a text, median and 95th percentile, interpolated between powers of 2.",
                "none",
                6,
            ),
            Query(quantile(0.5, lengths, "model"), "{{model}} p50"),
            Query(quantile(0.95, lengths, "model"), "{{model}} p95"),
            log=True,
        ),
        lines(
            About(
                "Unknown tokens",
                "Share of the last hour's tokens that aren't in the vocabulary: another language, "
                "another alphabet, or no text at all.",
                "percentunit",
                6,
            ),
            Query(
                f"job_model:lockstep_unknown_tokens_per_token:ratio_rate1h{{{MODELS}}}", "{{model}}"
            ),
        ),
        lines(
            About(
                "Cut texts",
                "Share of the last hour's texts of which a model with a window read a part only.",
                "percentunit",
                6,
            ),
            Query(f"job_model:lockstep_truncated_per_text:ratio_rate1h{{{MODELS}}}", "{{model}}"),
        ),
        lines(
            About(
                "Windows a text",
                "More than 1 where clients ask to `segment` long texts.",
                "none",
                6,
            ),
            Query(segments, "{{model}}"),
        ),
    ]


def _shadow() -> list[Item]:
    pairs = "primary, shadow"
    disagree = "job_primary_shadow:lockstep_shadow_disagreements_per_comparison:ratio_rate1h"
    dropped = rate("lockstep_shadow_dropped_total", of=JOB)
    compared = rate("lockstep_shadow_agreements_total", of=JOB)
    ratio = "job_primary_shadow_length:lockstep_shadow_forward_ratio"
    mean = f'label_join({ratio}:mean1h{{{JOB}}}, "network", " → ", "primary", "shadow")'
    return [
        row(SHADOW_ROW),
        against_length(
            About(
                "Shadow over primary: forward",
                "On the same text: the shadow's forward over the primary's, mean of the last hour. "
                "Above 1 the shadow took longer.",
                "none",
                6,
            ),
            with_tokens(mean),
        ),
        lines(
            About(
                "Shadow over primary: median",
                "Median of the last hour's ratios by length, interpolated between bounds a factor "
                "of 1.4 apart.",
                "none",
                6,
            ),
            Query(
                f"{ratio}:p50_rate1h{{{JOB}}}",
                f"{PAIR} {{{{length_bucket}}}}",
            ),
            log=True,
        ),
        lines(
            About(
                "Disagreement",
                "Share of the last hour's texts that the two gave different labels.",
                "percentunit",
                6,
            ),
            Query(f"{disagree}{{{JOB}}}", PAIR),
        ),
        lines(
            About(
                "Compared and dropped",
                "Texts read by both, and replays that gave way to clients or failed, a second.",
                "ops",
                6,
            ),
            Query(f"sum by ({pairs}) ({compared})", f"{PAIR} compared"),
            Query(f"sum by ({pairs}) ({dropped})", f"{PAIR} dropped"),
        ),
    ]
