"""Reports: figures on the page against those computed by hand, pictures that show something, one file."""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html.parser import HTMLParser
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import soundfile
import sounds
import toys
from conftest import skip_or_fail

from streamer.errors import EscListenError
from streamer.listen import listen
from streamer.settings import EventSettings
from streamer.tables import to_table
from streamer.types import FloatArray
from trainer.commands import report as command
from trainer.commands.common import clips_of_folds
from trainer.datasets import DatasetError, read_background, read_dataset
from trainer.datasets.mix import Made
from trainer.judging.clips import calibration_error, evaluate
from trainer.recipe import read_recipe
from trainer.report.colours import DARK, LIGHT
from trainer.report.confusion import confusion_matrix, confusions, matrix
from trainer.report.false_alarms import count_alarms, false_alarms, still_heard
from trainer.report.layers import Layer, Network, in_order
from trainer.report.mistaken import mistaken, taken_for
from trainer.report.network import by_kind, network_picture
from trainer.report.page import Chapter, Note, Page, Section, html
from trainer.report.pairs import Heard, column_of, figures_table, hear_mixes, pairs_picture, pairs_table
from trainer.report.picture import Picture, Table, drawing, tip, to_svg
from trainer.report.precision import curve_of, drawn, macro_precision, precision_recall
from trainer.report.predictions import Predictions, collected, joined
from trainer.report.recall import interval, recall_by_fold, recall_picture
from trainer.report.reliability import bins_of, reliability
from trainer.report.runs import ReportError, read_run, read_systems
from trainer.report.systems import Standing, side_by_side, table_of
from trainer.report.tflite_layers import network_of_tflite
from trainer.soundscapes.overlaps import Order, write_mixes
from trainer.training.crossval import CrossValidation, FoldResult

SVG = "{http://www.w3.org/2000/svg}"

# Worker processes are forked; Python 3.12 and later warn about that when any library has threads.
pytestmark = pytest.mark.filterwarnings(
    "ignore:This process .* is multi-threaded, use of fork:DeprecationWarning"
)


@pytest.fixture(scope="module", autouse=True)
def with_drawing() -> None:
    if not find_spec("matplotlib"):
        skip_or_fail("pictures need matplotlib: pip install 'esc-listen[train]'")


LABELS = ("bell", "dog_bark", "rain")


def windows(*rows: Sequence[float]) -> FloatArray:
    return np.array(rows, np.float32).reshape(-1, len(LABELS))


def predictions() -> Predictions:
    """Ten clips in two folds: bells 3 of 4 right, dogs 1 of 3, rain 2 of 3 with one of silence."""
    clips: list[tuple[int, int, FloatArray]] = [
        (0, 1, windows([0.90, 0.10, 0.0], [0.74, 0.26, 0.0])),
        (0, 1, windows([0.6, 0.4, 0.0])),
        (0, 2, windows([0.82, 0.08, 0.1])),
        (0, 2, windows([0.2, 0.7, 0.1], [0.4, 0.5, 0.1])),
        (1, 1, windows([0.08, 0.82, 0.1])),
        (1, 1, windows([0.9, 0.1, 0.0])),
        (1, 2, windows([0.6, 0.2, 0.2])),
        (2, 1, windows([0.1, 0.08, 0.82])),
        (2, 2, windows([0.0, 0.0, 1.0], [0.6, 0.0, 0.4])),
        (2, 2, windows()),
    ]
    truths, folds, scores = zip(*clips, strict=True)
    return collected(LABELS, truths, folds, scores)


# Predictions by hand


def test_decisions_and_shares() -> None:
    found = predictions()
    assert found.decided.tolist() == [0, 0, 0, 1, 1, 0, 0, 2, 2, -1]
    assert found.accuracy == pytest.approx(6 / 10)
    assert found.of_fold(1).accuracy == pytest.approx(4 / 5)
    assert found.of_fold(2).accuracy == pytest.approx(2 / 5)
    assert [found.recall(label) for label in range(3)] == pytest.approx([3 / 4, 1 / 3, 2 / 3])
    # 12 windows, wrong are both of the fourth clip, the sixth and seventh clip's, and one of the ninth.
    assert found.window_accuracy == pytest.approx(7 / 12)
    assert found.worst(2) == [1, 2]
    assert found.confidence[:4].tolist() == pytest.approx([0.82, 0.6, 0.82, 0.6])


def test_predictions_of_folds_are_joined_in_order() -> None:
    whole = predictions()
    again = joined([whole.of_fold(1), whole.of_fold(2)], {2: "validation"})
    assert again.fold_numbers == [1, 2]
    assert again.accuracy == whole.accuracy
    assert again.seen == {2: "validation"}


def test_the_matrix_counts_clips_and_silence_in_a_column_of_its_own() -> None:
    assert matrix(predictions()).tolist() == [[3, 1, 0, 0], [2, 1, 0, 0], [0, 0, 2, 1]]


def test_the_worst_confusion_comes_first() -> None:
    first, second, third = confusions(predictions())
    assert first.sentence == "dog bark is taken for bell (2 of 3 clips)"
    assert second.sentence == "rain is taken for nothing (1 of 3 clips)"
    assert (third.truth, third.taken, third.clips, third.of) == ("bell", "dog_bark", 1, 4)


def test_the_matrix_says_what_every_cell_means() -> None:
    picture = confusion_matrix(predictions())
    assert picture.shows.startswith("60.0 % of 10 clips are right. The worst confusions: dog bark is taken")
    said = tips(picture)
    assert "dog bark taken for bell: 2 of 3 (67 %)" in said
    assert "rain taken for (nothing): 1 of 3 (33 %)" in said
    assert len(said) == 6
    assert picture.table is not None
    assert picture.table.rows[0] == ("dog bark", "bell", "2", "3", "67 %")


def test_recall_is_shown_by_fold() -> None:
    assert recall_by_fold(predictions()) == {
        0: [(1, 1.0), (2, 0.5)],
        1: [(1, 0.5), (2, 0.0)],
        2: [(1, 1.0), (2, 0.5)],
    }
    picture = recall_picture(predictions())
    assert picture.shows == (
        "Least recognised: dog bark (33 %), rain (67 %), bell (75 %). "
        "Best: bell (75 %), rain (67 %), dog bark (33 %)."
    )
    assert "dog bark, fold 2: 0.0 %" in tips(picture)
    assert "The box holds" in picture.reads
    assert picture.table is not None
    assert picture.table.rows[0] == ("dog bark", "33 %", "3", "50 %", "0 %")


def test_a_single_fold_has_an_interval_instead_of_a_box() -> None:
    # Wilson, 1927: (p + z2/2n -+ z sqrt(p(1-p)/n + z2/4n2)) / (1 + z2/n)
    n, p, z = 8, 6 / 8, 1.959964
    middle, half = p + z * z / (2 * n), z * np.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    expected = [(middle - half) / (1 + z * z / n), (middle + half) / (1 + z * z / n)]
    assert interval(6, 8) == pytest.approx(expected, abs=1e-5)
    assert "one fold only" in recall_picture(predictions().of_fold(1)).reads


def test_the_bins_come_to_the_calibration_error() -> None:
    found = predictions()
    bins = bins_of(found)
    total = sum(item.clips for item in bins)
    assert total == 10
    ece = sum(abs(item.confidence - item.accuracy) * item.clips for item in bins) / total
    assert ece == pytest.approx(found.ece)
    assert found.ece == pytest.approx(calibration_error(found.confidence, found.right.astype(float)))
    # Four clips are decided with 0.82, and all of them are right.
    (eighty,) = [item for item in bins if item.low == pytest.approx(12 / 15)]
    assert (eighty.clips, eighty.accuracy) == (4, 1.0)
    picture = reliability(found)
    assert f"ECE) is {found.ece:.3f}" in picture.shows
    assert picture.table is not None
    assert picture.table.rows[0][1:4] == ("10", "66.8 %", "60.0 %")


def test_average_precision_by_hand() -> None:
    # Rain: 0.82 (rain), 0.7 (rain), 0.2, three times 0.1, and four times 0, once for a silent rain.
    curve = curve_of(predictions(), 2)
    assert curve.average_precision == pytest.approx((1 + 1 + 3 / 10) / 3)
    recall, precision = drawn(curve)
    assert recall.tolist() == pytest.approx([0, 1 / 3, 2 / 3, 1])
    assert precision.tolist() == pytest.approx([1, 1, 1, 3 / 10])
    assert macro_precision([curve], np.array([0.5, 1.0])).tolist() == pytest.approx([1.0, 0.3])
    together, each = precision_recall(predictions())
    curves = [curve_of(predictions(), label).average_precision for label in range(3)]
    assert f"over the sounds: {np.mean(curves):.3f}" in together.shows
    assert len(tips(each)) == 3


def test_what_a_class_is_taken_for() -> None:
    assert taken_for(predictions(), 1) == [("dog bark", 1), ("bell", 2)]
    picture = mistaken(predictions())
    assert isinstance(picture, Picture)
    assert picture.shows == "Of 3 clips of dog bark, 1 is right and 2 are taken for bell."
    right = collected(LABELS, [0, 1], [1, 1], [windows([1, 0, 0]), windows([0, 1, 0])])
    assert mistaken(right) == "No sound is ever taken for another one."


def test_many_confusions_of_one_class_share_a_bar() -> None:
    labels = tuple(f"sound_{at:02d}" for at in range(12))
    scores = [np.eye(12, dtype=np.float32)[[taken]] for taken in (*range(8), 1, 1)]
    bars = taken_for(collected(labels, [0] * 10, [1] * 10, scores), 0)
    assert bars == [
        ("sound 00", 1),
        ("sound 01", 3),
        ("sound 02", 1),
        ("sound 03", 1),
        ("sound 04", 1),
        ("3 others", 3),
    ]


# Pairs


def made() -> Made:
    return Made(1, "50-50", "esc50", (1,), 1, 4, 8_000, (0.0, 0.0), per_pair=1)


def heard(truths: Sequence[frozenset[str]], taken: Sequence[frozenset[str]]) -> Heard:
    return Heard(tuple(truths), tuple(taken), {}, made(), (1,), ())


def test_what_a_pair_is_taken_for() -> None:
    one, other, third = (frozenset(pair) for pair in (("bell", "dog"), ("bell", "rain"), ("dog", "rain")))
    pairs = [one, other]
    assert column_of(one, other, pairs) == other
    assert column_of(one, third, pairs) == "another pair"
    assert column_of(one, frozenset({"dog"}), pairs) == "only one of the two"
    assert column_of(one, frozenset({"rain"}), pairs) == "only a wrong one"
    assert column_of(one, frozenset({"bell", "dog", "rain"}), pairs) == "three or more"
    assert column_of(one, frozenset(), pairs) == "nothing"


def test_the_matrix_of_pairs() -> None:
    one, other = frozenset({"bell", "dog"}), frozenset({"bell", "rain"})
    found = heard([one, one, one, other, frozenset({"dog"})], [one, other, frozenset(), other, one])
    picture = pairs_picture(found)
    assert isinstance(picture, Picture)
    # The mix in which only one sound is really heard is no pair.
    assert picture.shows == (
        "50.0 % of 4 mixes of 2 pairs are exactly right; in another 25.0 % at least one of the two sounds is "
        "found. Hardest: bell + dog (33 %)."
    )
    assert set(tips(picture)) == {
        "bell + dog taken for bell + dog: 1 of 3",
        "bell + dog taken for bell + rain: 1 of 3",
        "bell + dog taken for nothing: 1 of 3",
        "bell + rain taken for bell + rain: 1 of 1",
    }
    assert pairs_table(found).rows == (
        ("bell + dog", "nothing", "1", "3"),
        ("bell + dog", "bell + rain", "1", "3"),
    )


def test_too_many_pairs_are_listed_only() -> None:
    truths = [frozenset({f"sound_{at}", f"other_{at}"}) for at in range(61)]
    assert "61 different pairs" in str(pairs_picture(heard(truths, truths)))
    assert "no matrix" in str(pairs_picture(heard([frozenset({"dog"})], [frozenset({"dog"})])))


def test_mixes_are_heard_as_they_are_judged(bench: Bench, tmp_path: Path) -> None:
    clips = read_dataset("esc50", bench.data)
    write_mixes(Order("50-50", per_pair=1), "esc50", bench.data, clips, tmp_path / "mix")
    (system,) = read_systems([bench.crossval], None)
    found = hear_mixes(system, tmp_path / "mix", tell=lambda text: None)
    assert isinstance(found, Heard)
    # Three pairs of three classes in each of three folds.
    assert len(found.truths) == 9
    assert {len(truth) for truth in found.truths} == {2}
    exact = np.mean([truth == taken for truth, taken in zip(found.truths, found.taken, strict=True)])
    assert found.figures["clip_exact_match"] == pytest.approx(exact)
    assert (found.folds, found.trained_on) == ((1, 2, 3), ())
    assert figures_table(found).title.startswith("9 mixes in the style 50-50 of esc50, folds 1, 2 and 3;")


# Networks


def test_the_operators_of_the_shipped_model() -> None:
    shipped = sounds.shipped_model()
    network = network_of_tflite(shipped.content, shipped.name)
    first = network.layers[0]
    manifest = shipped.manifest
    assert (first.kind, first.shape[:2]) == ("input", (manifest.window_frames, manifest.front_end.mel_bands))
    assert network.layers[-1].shape == (len(shipped.labels),)
    convolutions = [layer for layer in network.layers if layer.kind == "convolution"]
    assert network.macs >= sum(layer.macs for layer in convolutions) > 1_000_000
    # A convolution costs, at each place of its output, its weights once; the rest of them are biases.
    for layer in convolutions:
        *places, channels = layer.shape
        assert layer.macs == np.prod(places) * (layer.parameters - channels)
    assert 0.9 < network.parameters / manifest.provenance.parameters < 1.05
    assert all(source < at for at, layer in enumerate(network.layers) for source in layer.inputs)


def test_keras_layers_by_hand() -> None:
    toys.training_is_possible()
    from trainer.networks import build_network
    from trainer.report.keras_layers import network_of_keras

    def built(recipe: str) -> tuple[Network, int]:
        found = read_recipe(recipe)
        network = build_network(found.network, found.input_shapes, 10, found.outputs, found.options)
        return network_of_keras(network), network.count_params()

    piczak, parameters = built("piczak")
    # 57 x 6 over 60 x 101 and 2 channels: 4 x 96 places; then 1 x 3; then three dense layers.
    expected = [4 * 96 * 57 * 6 * 2 * 80, 30 * 3 * 80 * 80, 800 * 5000, 5000 * 5000, 5000 * 10]
    assert [layer.macs for layer in piczak.layers if layer.macs] == expected
    assert piczak.parameters == parameters
    assert [layer.detail for layer in piczak.layers][-1] == "softmax"

    recurrent, parameters = built("recurrent")
    # 30 steps of 80 values into 64 units, three gates, both ways.
    assert 2 * 30 * 3 * 64 * (80 + 64) in [layer.macs for layer in recurrent.layers]
    assert recurrent.parameters == parameters

    branches, _ = built("multibranch-slim")
    join = next(at for at, layer in enumerate(branches.layers) if layer.kind == "concatenate")
    assert len(branches.layers[join].inputs) == 2
    inputs = [at for at, layer in enumerate(branches.layers) if layer.kind == "input"]
    # One branch is whole before the other one begins.
    assert branches.layers[join].inputs[0] == inputs[1] - 1


def test_branches_are_put_in_one_piece() -> None:
    def layer(kind: str, *inputs: int) -> Layer:
        return Layer(kind, "", inputs, (1,), 0, 0)

    mixed = Network("n", "", (layer("a"), layer("b"), layer("a2", 0), layer("b2", 1), layer("join", 2, 3)))
    ordered = in_order(mixed)
    assert [item.kind for item in ordered.layers] == ["a", "a2", "b", "b2", "join"]
    assert [item.inputs for item in ordered.layers] == [(), (0,), (), (2,), (1, 3)]


def test_a_network_of_thousands_of_layers_is_summed_up() -> None:
    layers = (
        Layer("input", "", (), (4,), 0, 0),
        *(Layer("dense", "", (at,), (4,), 20, 16) for at in range(99)),
    )
    network = Network("long", "somewhere", layers)
    assert by_kind(network)[1] == Layer("dense", "99 times", (), (4,), 1980, 1584)
    picture = network_picture(network, 0.5)
    assert "100 layers, too many to draw" in picture.reads
    assert (
        "1.58 thousand multiply-accumulates (MACs) a window, which is 3.17 thousand a second" in picture.shows
    )


# False alarms


@pytest.fixture(scope="module")
def background(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A siren and its silence, as if no siren were there; the same where a siren may occur."""
    folder = tmp_path_factory.mktemp("background")
    samples = np.concatenate([sounds.silence(3.0), sounds.siren(4.0), sounds.silence(5.0)])
    for name in ("street.wav", "siren-test.wav"):
        soundfile.write(folder / name, samples, sounds.RATE_HZ)
    (folder / "broken.wav").write_text("this is no sound")
    (folder / "expected.csv").write_text(
        "file,expected,also,split\n"
        "street.wav,none,,test\nbroken.wav,none,,test\n"
        f"siren-test.wav,none,{sounds.siren_label()},test\nstreet.wav,none,,train\n"
    )
    return folder


def test_false_alarms_are_the_events_of_the_listener(background: Path) -> None:
    model = sounds.shipped_model()
    thresholds = np.array([sounds.siren_threshold() / 2, sounds.siren_threshold(), 0.9999])
    alarms = count_alarms(model, list(read_background(background, "test")), thresholds)
    assert alarms.recordings == 2
    assert alarms.hours == pytest.approx(2 * 12 / 3600)
    label = model.labels.index(sounds.siren_label())
    for at, threshold in enumerate(thresholds[:2]):
        events = list(listen(background / "street.wav", model, EventSettings(threshold=float(threshold))))
        mine = [event for event in events if event.label == sounds.siren_label()]
        assert alarms.counts[at, label] == len(mine) > 0  # those of the other recording may be true
        assert alarms.counts[at].sum() == 2 * len(events) - len(mine)
    assert alarms.counts[2].sum() == 0
    own = list(listen(background / "street.wav", model))
    assert alarms.own.sum() >= len(own)
    picture = false_alarms([alarms], None, [0.5] * 50)
    assert "2 recordings (24 seconds)" in picture.shows
    assert "dashed line" in picture.reads


def test_clips_that_are_still_reported() -> None:
    own = [0.82, 0.6, 0.82, 0.3, 0.82, 0.1, 0.2, 0.82, 0.7, 0.0]
    found = predictions()
    for threshold in (0.05, 0.5, 0.75):
        expected = np.mean([p >= threshold for p in own])
        # Peaks of smoothed windows lie at or above the mean.
        assert still_heard(found, np.array([threshold]))[0] >= expected - 1e-9
    assert still_heard(found, np.array([0.95]))[0] == pytest.approx(0.1)


# Pictures and page


def tips(picture: Picture) -> list[str]:
    """What is said about the parts of a drawing."""
    return [title.text or "" for title in ElementTree.fromstring(picture.svg).iter(f"{SVG}title")]


def test_a_drawing_says_what_it_shows_and_has_the_colours_of_the_page() -> None:
    with drawing(100, 50) as figure:
        figure.subplots().plot([1, 2], [3, 4], color=LIGHT["blue"], gid=tip("a < b & c"))
        svg = to_svg(figure, "name", "a line")
    root = ElementTree.fromstring(svg)
    assert (root.get("role"), root.get("aria-label"), root.get("viewBox")) == ("img", "a line", "0 0 100 50")
    assert f"var(--blue, {LIGHT['blue']})" in svg
    assert [title.text for title in root.iter(f"{SVG}title")] == ["a < b & c"]
    assert all(element.get("id", "name-").startswith("name-") for element in root.iter())


def contrast(one: str, other: str) -> float:
    """Of two colours (WCAG 2.2, relative luminance)."""

    def luminance(colour: str) -> float:
        parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("scheme", [LIGHT, DARK], ids=["light", "dark"])
def test_colours_can_be_read(scheme: dict[str, str]) -> None:
    assert scheme.keys() == LIGHT.keys()
    for name, colour in scheme.items():
        if name not in ("card", "line"):
            assert contrast(colour, scheme["card"]) >= 4.5, name


class Reader(HTMLParser):
    """Checks that elements are closed in order, and gathers what matters."""

    VOID = frozenset({"meta", "br", "hr", "img", "link", "input"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_startendtag(tag, attrs)
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self.ids += [value or "" for key, value in attrs if key == "id"]

    def handle_endtag(self, tag: str) -> None:
        assert self.open
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("style", "title"):
            self.text.append(data)

    @property
    def words(self) -> str:
        """All text, with single spaces."""
        return re.sub(r"\s+", " ", " ".join(self.text))


def read_page(text: str) -> Reader:
    """Parse a page; it must stand for itself."""
    reader = Reader(text)
    assert len(reader.ids) == len(set(reader.ids))
    for tag, attributes in reader.elements:
        assert tag not in ("script", "link", "iframe", "object")
        for key, value in attributes.items():
            if key in ("src", "href", "xlink:href"):
                assert (value or "").startswith(("#", "data:image/png;base64,"))
                if (value or "").startswith("#"):
                    assert (value or "")[1:] in reader.ids
            assert not re.search(r"url\((?!#)|https?:", value or "")
    style = re.search(r"<style>(.*?)</style>", text, re.DOTALL)
    assert style
    assert not re.search(r"url\(|@import|https?:", style[1])
    return reader


def test_names_on_the_page_are_escaped() -> None:
    table = Table("a < b", ("x", "y"), (("<i>", "1"), ("&", "2")), folded=False)
    parts = (Note("<b>"), "a & b", table)
    page = Page("<T>", "&", (Chapter("c", "<T>", "&", (), (Section("s", "a < b", parts),)),))
    words = read_page(html(page)).words
    for text in ("<T>", "a < b", "<b>", "a & b", "<i>"):
        assert text in words


def test_systems_side_by_side() -> None:
    small = Standing("small", "esc50", (0.70, 0.72), (0.71, 0.73), 90_000, 110_000, 11_000_000, "10 epochs")
    large = Standing("large", "esc50", (0.80, 0.84), (), 29_000_000, 29_200_000, 50_000_000, "10 epochs")
    unknown = Standing("unknown", "esc10")
    assert table_of([small, unknown]).rows[0][:5] == (
        "small",
        "esc50",
        "71.0 ± 1.4 %",
        "72.0 ± 1.4 %",
        "90,000",
    )
    picture = side_by_side([small, large, unknown])
    assert isinstance(picture, Picture)
    assert picture.shows == (
        "Most often right is large with 82.0 ± 2.8 %; the smallest is small with 71.0 ± 1.4 % and 0.3 % of "
        "its parameters; mean of 2 folds."
    )
    assert "needs at least two" in str(side_by_side([small, unknown]))


# Whole reports, on the shipped model: no training, but real decisions


@dataclass(frozen=True)
class Bench:
    """Three folds of synthetic sounds under labels of the shipped model, and what might have been runs."""

    data: Path
    background: Path
    crossval: Path
    fit: Path


def write_clips(folder: Path) -> None:
    """The siren under its own name and under another one, tones and noise, in ESC-50's layout."""
    (folder / "meta").mkdir(parents=True)
    (folder / "audio").mkdir()
    random = np.random.default_rng(5)
    rows = ["filename,fold,target,category,esc10,src_file,take"]
    for fold in (1, 2, 3):
        for label in (sounds.siren_label(), sounds.other_label(), "rain"):
            name = f"{fold}-{label}.wav"
            samples = sounds.siren(3.0)
            if label == "rain":
                samples = (0.1 * random.standard_normal(3 * sounds.RATE_HZ)).astype(np.float32)
            soundfile.write(folder / "audio" / name, samples * (0.5 + 0.1 * fold), sounds.RATE_HZ)
            rows.append(f"{name},{fold},0,{label},False,{name},A")
    (folder / "meta" / "esc50.csv").write_text("\n".join(rows) + "\n")


def write_run(folder: Path, train: tuple[int, ...], fold: int | None, model: bool) -> None:
    """What fit leaves, and of a fold what crossval adds; the network is the shipped one."""
    folder.mkdir(parents=True)
    shipped = sounds.shipped_model()
    changes = {
        "options": read_recipe("esc50").options,
        "data.train_folds": list(train),
        "schedule.epochs": 3,
        "schedule.examples_per_epoch": 64,
    }
    recipe = read_recipe("base", changes)
    bands = recipe.front_end.mel_bands
    table = {
        "recipe": to_table(recipe),
        "labels": list(shipped.labels),
        "mean": [-20.0] * bands,
        "std": [10.0] * bands,
        "clips": 6,
        "skipped": 0,
    }
    (folder / "training.json").write_text(json.dumps(table))
    rows = [f"{epoch},{4.0 / epoch:.4f},{0.2 * epoch:.4f},,0.001,1.0,100,100" for epoch in (1, 2, 3)]
    header = "epoch,loss,accuracy,validation_accuracy,rate,seconds,data_rate,network_rate"
    (folder / "curve.csv").write_text("\n".join([header, *rows]) + "\n")
    (folder / "network.keras").touch()
    if model:
        shutil.copy(shipped.path, folder / "int8.tflite")
    if fold is not None:
        share = (0.0, 0.5, 0.6, 0.7)[fold]
        result = FoldResult(
            fold=fold,
            clips=3,
            segment=share - 0.1,
            majority=share,
            probability=share,
            int8_window=share - 0.2,
            int8_majority=share,
            int8_probability=share,
            float_probability=share + 0.05,
            int8_bytes=len(shipped.content),
            parameters=shipped.manifest.provenance.parameters,
            epochs=3,
            examples_per_epoch=64,
            train_s=60.0,
        )
        (folder / "result.json").write_text(json.dumps(to_table(result)))


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory, background: Path) -> Bench:
    folder = tmp_path_factory.mktemp("bench")
    write_clips(folder / "data")
    for fold in (1, 2, 3):
        train = tuple(other for other in (1, 2, 3) if other != fold)
        write_run(folder / "crossval" / f"fold-{fold}", train, fold, model=True)
    write_run(folder / "fit", (1, 2), None, model=False)
    return Bench(folder / "data", background, folder / "crossval", folder / "fit")


def report(*arguments: str | Path) -> int:
    """Run the command; errors are raised, as esc-train catches and prints them."""
    parser = argparse.ArgumentParser()
    command.add(parser.add_subparsers())
    options = parser.parse_args(["report", *map(str, arguments)])
    status: int = options.run(options)
    return status


@pytest.fixture(scope="module")
def crossval_report(bench: Bench, tmp_path_factory: pytest.TempPathFactory) -> Path:
    toys.training_is_possible()
    out = tmp_path_factory.mktemp("report")
    more = (f"--data=esc50={bench.data}", f"--background={bench.background}", "--clips=1")
    assert report(bench.crossval, *more, f"--out={out}") == 0
    return out


def test_the_page_stands_for_itself(crossval_report: Path) -> None:
    text = (crossval_report / "report.html").read_text(encoding="utf-8")
    reader = read_page(text)
    tags = [tag for tag, _ in reader.elements]
    assert tags.count("h1") == 1
    drawings = [attributes for tag, attributes in reader.elements if tag == "svg"]
    assert len(drawings) == len(list(crossval_report.glob("*.svg"))) == 10
    assert all(item["role"] == "img" and len(item["aria-label"] or "") > 20 for item in drawings)
    assert "prefers-color-scheme: dark" in text
    assert 'name="viewport"' in text
    for title in ("Learning curves", "What each sound is taken for", "The network", "False alarms"):
        assert title in reader.words


def test_the_figures_are_those_of_folds_and_evaluation(crossval_report: Path, bench: Bench) -> None:
    words = read_page((crossval_report / "report.html").read_text(encoding="utf-8")).words
    # Noted by crossval: 50, 60 and 70 %.
    assert "60.0 ± 10.0 %" in words
    assert "65.0 ± 10.0 %" in words
    # Heard now: whatever the shipped model makes of the sounds.
    clips = read_dataset("esc50", bench.data)
    model = sounds.shipped_model()
    shares = [evaluate(model, clips_of_folds(clips, (fold,), bench.data)).clip_accuracy for fold in (1, 2, 3)]
    mean = f"{100 * np.mean(shares):.1f} ± {100 * np.std(shares, ddof=1):.1f} %"
    assert f"of the clips right, int8, folds 1, 2 and 3 {mean}" in words
    whole = evaluate(model, clips)
    assert f"The calibration error (ECE) is {whole.ece:.3f}." in words
    assert f"{100 * whole.clip_accuracy:.1f} % of 9 clips are right" in words
    # The siren was also written under another name: this is the worst confusion there can be.
    name, other = (label.replace("_", " ") for label in (sounds.siren_label(), sounds.other_label()))
    assert f"{other} is taken for {name} (3 of 3 clips)" in words
    # What was noted and what is heard are not the same, and the page says so.
    assert "the data or the program has changed since" in words
    assert "no test fold" not in words
    assert f"{model.manifest.provenance.parameters:,}" in words
    assert "3 epochs of 64 examples, 1.0 minutes a fold" in words
    assert "the loss went from 4.00 to 1.33; 60.0 % of the training examples" in words


def test_every_picture_is_a_file_that_shows_something(crossval_report: Path) -> None:
    names = {path.stem for path in crossval_report.glob("*.svg")}
    assert {"curves", "confusion", "recall", "mistaken", "reliability", "network", "false-alarms"} <= names
    for path in crossval_report.glob("*.svg"):
        root = ElementTree.parse(path).getroot()
        assert float(root.get("width", "0")) >= 200
        shapes = [element for element in root.iter() if element.tag in (f"{SVG}path", f"{SVG}image")]
        assert len(shapes) > 10, path.name
        assert any((element.text or "").strip() for element in root.iter(f"{SVG}text")), path.name
        assert "prefers-color-scheme: dark" in path.read_text(encoding="utf-8")
        # No colour of one scheme only, but for those of images, which have their own.
        drawn = re.sub("<style>.*?</style>", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
        colours = set(re.findall(r"(?<!, )#[0-9a-f]{6}", drawn))
        assert not colours, path.name


def test_the_same_report_twice_is_the_same(bench: Bench, crossval_report: Path, tmp_path: Path) -> None:
    more = (f"--data=esc50={bench.data}", f"--background={bench.background}", "--clips=1")
    assert report(bench.crossval, *more, f"--out={tmp_path}") == 0
    files = sorted(path.name for path in crossval_report.iterdir())
    assert files == sorted(path.name for path in tmp_path.iterdir())
    for name in files:
        assert (crossval_report / name).read_bytes() == (tmp_path / name).read_bytes(), name


def test_a_model_on_folds_that_it_has_seen(bench: Bench, tmp_path: Path) -> None:
    origin = sounds.shipped_model().manifest.provenance
    arguments = ("--model=esc50", f"--data=esc50={bench.data}", "--clips=0", f"--out={tmp_path}")
    assert report(*arguments, f"--folds={origin.train_folds[0]}") == 0
    words = read_page((tmp_path / "report.html").read_text(encoding="utf-8")).words
    assert f"Fold {origin.train_folds[0]} was no test fold: the network learnt from it" in words
    assert "Give --background DIR" in words
    assert "no learning curve" in words


def test_a_run_with_the_model_that_was_exported_from_it(bench: Bench, tmp_path: Path) -> None:
    toys.training_is_possible()
    more = ("--model=esc50", f"--data=esc50={bench.data}", "--clips=0")
    assert report(bench.fit, *more, f"--out={tmp_path}") == 0
    words = read_page((tmp_path / "report.html").read_text(encoding="utf-8")).words
    # Folds 1 and 2 were learnt from, so that the third one is the test.
    assert "of the clips right, int8, fold 3" in words
    assert "% of 3 clips are right" in words
    assert "no test fold" not in words
    assert "In 3 epochs the loss" in words


def test_without_data_the_page_says_what_is_missing(bench: Bench, tmp_path: Path) -> None:
    toys.training_is_possible()
    assert report(bench.fit, bench.crossval, f"--out={tmp_path}") == 0
    words = read_page((tmp_path / "report.html").read_text(encoding="utf-8")).words
    assert "Give --data esc50=DIR to see what it takes each clip for." in words
    assert "not scored" in words
    assert "60.0 ± 10.0 %" in words
    # Both are runs of the recipe base: they are told apart by their folders.
    assert {"fit-curves.svg", "crossval-curves.svg"} <= {path.name for path in tmp_path.iterdir()}


# What can go wrong


Break = Callable[[Path], object]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda run: (run / "training.json").write_text("{"), "training.json is damaged"),
        (lambda run: (run / "training.json").write_text("{}"), "lacks 'recipe'"),
        (lambda run: (run / "training.json").write_text("[]"), "training.json is damaged"),
        (lambda run: (run / "curve.csv").write_text("epoch,loss\n1,2\n"), "curve.csv is damaged"),
        (lambda run: (run / "curve.csv").write_bytes(b"\xff\xfe\x00"), "curve.csv is damaged"),
        (lambda run: (run / "result.json").write_text('{"fold": "one"}'), "result.json is damaged"),
        (lambda run: (run / "training.json").unlink(), "holds no training"),
    ],
)
def test_a_damaged_run(bench: Bench, tmp_path: Path, damage: Break, message: str) -> None:
    shutil.copytree(bench.fit, tmp_path / "run")
    damage(tmp_path / "run")
    with pytest.raises(ReportError) as caught:
        read_systems([tmp_path / "run"], None)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_folders_that_do_not_go_together(bench: Bench, tmp_path: Path) -> None:
    shutil.copytree(bench.crossval, tmp_path / "runs")
    notes = tmp_path / "runs" / "fold-2" / "training.json"
    notes.write_text(notes.read_text().replace('"name": "base"', '"name": "other"', 1))
    with pytest.raises(ReportError, match="are runs of different recipes"):
        read_systems([tmp_path / "runs"], None)
    with pytest.raises(ReportError, match="given twice"):
        read_systems([bench.crossval, bench.crossval], None)
    with pytest.raises(ReportError, match="--model goes with the folder of one training"):
        read_systems([bench.crossval], "esc50")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "nothing to report on"),
        (("nowhere",), "there is no folder nowhere"),
        (("--model=nowhere.tflite",), "cannot read the model"),
        (("--model=esc50", "--data=birds=x"), "unknown dataset 'birds'"),
        (("--model=esc50", "--data=esc50"), "write it as NAME=DIR"),
        (("--model=esc50", "--data=esc50={data}", "--folds=9"), "there are no clips of fold 9"),
        (("--model=esc50", "--data=esc50={data}", "--folds=a"), "write numbers"),
        (("{crossval}", "--data=esc50={data}", "--folds=1"), "--folds is for a single model"),
        (("--model=esc50", "--data=mix={crossval}"), "holds no mixes"),
        (("--model=esc50", "--background={data}"), "holds no background"),
    ],
)
def test_what_cannot_be_reported(
    bench: Bench, tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    given = [text.format(data=bench.data, crossval=bench.crossval) for text in arguments]
    with pytest.raises((EscListenError, DatasetError)) as caught:
        report(*given, f"--out={tmp_path / 'out'}")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out" / "report.html").exists()


def test_a_run_is_read_as_it_was_written(bench: Bench) -> None:
    run = read_run(bench.crossval / "fold-3")
    assert (run.fold, run.finished, run.clips) == (3, True, 6)
    assert [epoch.loss for epoch in run.curve] == [4.0, 2.0, 1.3333]
    (system,) = read_systems([bench.crossval], None)
    assert isinstance(system.crossval, CrossValidation)
    assert system.crossval.values("int8_probability") == [0.5, 0.6, 0.7]


def test_an_unfinished_run_shows_how_far_it_is(bench: Bench, tmp_path: Path) -> None:
    toys.training_is_possible()
    shutil.copytree(bench.fit, tmp_path / "run")
    (tmp_path / "run" / "network.keras").unlink()
    rows = (tmp_path / "run" / "curve.csv").read_text().splitlines(keepends=True)
    (tmp_path / "run" / "curve.csv").write_text("".join(rows[:3]))
    assert report(tmp_path / "run", f"--out={tmp_path / 'out'}") == 0
    words = read_page((tmp_path / "out" / "report.html").read_text(encoding="utf-8")).words
    assert "1 training of 1 is not finished." in words
    assert "1 run of 1 did not reach the 3 planned epochs" in words
    # Otherwise an accuracy of 90 % would look as if something were still to be learnt.
    assert "10 % of them hold it alone and never count as right" in words


def test_libraries_write_nothing_between_the_lines(bench: Bench, tmp_path: Path) -> None:
    toys.training_is_possible()
    command = [sys.executable, "-m", "trainer.cli", "report", str(bench.fit), f"--out={tmp_path}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1].startswith(f"{tmp_path / 'report.html'}: ")
