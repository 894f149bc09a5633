from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy
import pytest

from models.verdict import Verdict
from training import plots
from training.gradients import SENTENCE, VERB, Agreement, Influence
from training.probe import Forgetting, Probe

COUNTS = (0, 4, 16)
PROBE = Probe(
    model="lstm",
    sha256="0",
    architecture="lstm",
    pooling="mean_max",
    variant=False,
    forgetting=Forgetting(
        10, 0.5, COUNTS, (0.9, 0.8, 0.6), (0.9, 0.9, 0.9), (Verdict("positive", 0.6, {}),) * 2
    ),
    influence=Influence(2, tuple(0.5**distance for distance in range(20))),
    agreement=Agreement(SENTENCE[:VERB], (0.125,) * VERB, 9),
)
# One that looks back no further than a few words, as a convolution does, or reads shorter texts.
SHORT = replace(
    PROBE, model="cnn", architecture="cnn", influence=Influence(2, (1.0, 0.5, 0.25, *[0.0] * 12))
)
PROBES = [PROBE, replace(PROBE, model="lstm-last", pooling="last", variant=True), SHORT]
NAMES = [
    f"{name}.{kind}" for name in ("accuracy", "gradient", "agreement") for kind in ("png", "svg")
]


def contrast(one: str, other: str) -> float:
    """Of two colours, from 1 to 21 (WCAG 2.1, relative luminance)."""
    luminances = []
    for colour in (one, other):
        parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        luminances.append(0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2])
    return (max(luminances) + 0.05) / (min(luminances) + 0.05)


@pytest.mark.parametrize("page", ["#ffffff", "#0d1117"])
@pytest.mark.parametrize("colour", [*plots.COLOURS, plots.INK])
def test_colour_is_seen_on_a_light_and_on_a_dark_page(colour: str, page: str) -> None:
    assert contrast(colour, page) >= 3


def test_plots_are_images_and_the_same_each_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(plots.STYLE, "savefig.dpi", 30)
    drawn = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        paths = plots.plot(PROBES, tmp_path / name)
        assert [path.name for path in paths] == NAMES
        drawn.append([path.read_bytes() for path in paths])
    assert drawn[0] == drawn[1]
    for image, name in zip(drawn[0], NAMES, strict=True):
        if name.endswith(".png"):
            assert image.startswith(b"\x89PNG")
        else:
            words = "".join(ElementTree.fromstring(image).itertext())
            assert all(probe.model in words for probe in PROBES)


def test_variant_is_dashed_in_its_architectures_colour() -> None:
    lstm, last, cnn = (plots.line_style(PROBES, index) for index in range(3))
    assert (lstm["linestyle"], last["linestyle"]) == ("-", "--")
    assert lstm["color"] == last["color"] != cnn["color"]
    assert len({lstm["marker"], last["marker"], cnn["marker"]}) == 3


def test_any_number_of_models_has_colours_and_markers() -> None:
    many = [replace(PROBE, model=str(n), architecture=str(n)) for n in range(40)]
    assert len({plots.line_style(many, n)["color"] for n in range(40)}) == len(plots.COLOURS)


def test_accuracy_shows_every_model_on_both_sides_of_its_text() -> None:
    left, right = plots.draw_accuracy(PROBES).axes
    for axes, side in ((left, "appended"), (right, "prepended")):
        lines = {str(line.get_label()): line for line in axes.get_lines()}
        assert set(lines) == {"lstm", "lstm-last", "cnn", "chance"}
        shown = numpy.asarray(lines["lstm"].get_ydata())
        assert tuple(shown) == getattr(PROBE.forgetting, side)
        assert side in axes.get_xlabel()


def test_gradient_of_nothing_is_a_gap() -> None:
    (axes,) = plots.draw_gradient(PROBES).axes
    heights = numpy.asarray(axes.get_lines()[2].get_ydata())
    assert numpy.isfinite(heights).tolist() == [True] * 3 + [False] * 5


def test_distances_are_thinned_to_two_an_octave() -> None:
    distances, norms = plots.thin([float(d) for d in range(20)])
    assert distances == norms == [0, 1, 2, 3, 4.5, 6.5, 9.5, 13.5, 17.5]
