"""Real examples are read a piece at a time: metrics keep features of them, and scores are those of examples in memory."""

import pytest
import torch
from ganflow_layers.reading import HeldOut
from ganflow_metrics import pieces, repeats
from ganflow_metrics.asked import ClassFrechetMetric
from ganflow_metrics.classes import ClassBalanceMetric, InceptionScoreMetric
from ganflow_metrics.compared import RealParts, training_examples
from ganflow_metrics.detail import DetailMetric
from ganflow_metrics.diversity import DiversityMetric
from ganflow_metrics.extractors import Extractor, digest_of_state, values
from ganflow_metrics.frechet import FrechetMetric
from ganflow_metrics.kernel import KernelMetric
from ganflow_metrics.neighbours import NearestMetric, PrecisionRecallMetric
from ganflow_metrics.pieces import Chosen, Joined, Reading, digest_of_examples, in_pieces
from ganflow_metrics.transport import SlicedMetric

from ganflow import Data, Field, ReadExamples, StreamData, TensorData

SHAPE, HELD_OUT, TRAINED, ROWS = (1, 16, 16), 100, 80, 16
PICTURES = torch.rand(HELD_OUT + TRAINED, *SHAPE, generator=torch.Generator().manual_seed(0)) * 2 - 1
LABELS = torch.arange(len(PICTURES)) % 2


class OnDisk(ReadExamples):
    """Examples that note how many of them are asked for at once."""

    def __init__(self, stored):
        self.stored, self.asked = stored, []

    @property
    def shape(self):
        return self.stored.shape

    def read(self, rows):
        self.asked.append(len(rows))
        return self.stored[rows]


class Mean(Extractor):
    """Four numbers of a picture, and as a classifier two classes."""

    label, digest, classes, cheap = "_mean", "1", 2, True

    def features(self, examples):
        return values(examples, 2)

    def probabilities(self, examples):
        return self.features(examples)[:, :2].softmax(1)


class Game:
    def samples(self, n, seed=0):
        return torch.rand(n, *SHAPE, generator=torch.Generator().manual_seed(seed + 100)) * 2 - 1


def data_of(held, trained):
    return TensorData("pictures", {"real": trained, "label": LABELS[HELD_OUT:]}, {"real": held, "label": LABELS[:HELD_OUT]},
                      classes={"label": ["a", "b"]})  # fmt: skip


MADE = {
    "frechet": lambda data: FrechetMetric(data, Mean(), 40, 0, 2),
    "kernel_distance": lambda data: KernelMetric(data, Mean(), 40, 0, 2, 30, 2),
    "precision_recall": lambda data: PrecisionRecallMetric(data, Mean(), 40, 0, 2),
    "diversity": lambda data: DiversityMetric(data, Mean(), 40, 0, 2),
    "nearest_neighbours": lambda data: NearestMetric(data, Mean(), 40, 0, 2, 70),
    "inception_score": lambda data: InceptionScoreMetric(data, Mean(), 40, 0, 2),
    "class_balance": lambda data: ClassBalanceMetric(data, Mean(), 40, 0, 2),
}


@pytest.fixture
def little(monkeypatch):
    monkeypatch.setattr(pieces, "ROWS", ROWS)
    monkeypatch.setattr(pieces, "AT_HAND", 0)
    monkeypatch.setattr("ganflow.contract.examples.PIECE", ROWS * 4 * 16 * 16)  # of the fingerprint
    monkeypatch.setattr(repeats, "_FLOORS", {})


@pytest.mark.parametrize("made", MADE.values(), ids=MADE)
def test_metrics_of_features_never_ask_for_more_than_a_piece(little, monkeypatch, made):
    held, trained = OnDisk(PICTURES[:HELD_OUT]), OnDisk(PICTURES[HELD_OUT:])
    metric = made(data_of(held, trained))
    found = metric.evaluate(Game())
    assert max(held.asked + trained.asked) <= ROWS
    monkeypatch.setattr(repeats, "_FLOORS", {})
    there = made(data_of(PICTURES[:HELD_OUT], PICTURES[HELD_OUT:]))
    assert found == pytest.approx(there.evaluate(Game()), rel=1e-12, nan_ok=True)
    assert dict(metric.protocol) == dict(there.protocol)  # scores of both are compared


def test_of_two_classes_as_well(little):
    held, trained = OnDisk(PICTURES[:HELD_OUT]), OnDisk(PICTURES[HELD_OUT:])
    on_disk, there = (ClassFrechetMetric(data_of(*parts), Mean(), 40, 0, 2) for parts in
                      ((held, trained), (PICTURES[:HELD_OUT], PICTURES[HELD_OUT:])))  # fmt: skip
    assert max(held.asked + trained.asked) <= ROWS
    assert on_disk.floor(0) == there.floor(0)
    assert dict(on_disk.protocol) == dict(there.protocol)


class Unending(Data):
    """Pictures of which none but the held-out ones are at hand."""

    name, size, fields, held_out = "unending", None, {"real": Field(SHAPE)}, {"real": PICTURES}

    def fingerprint(self):
        return ""


def test_classes_are_those_of_training_examples_or_else_of_held_out_ones():
    whole = data_of(PICTURES[:HELD_OUT], PICTURES[HELD_OUT:])
    assert ClassBalanceMetric(whole, Mean(), 40, 0, 2).protocol["reference"] == f"{TRAINED} training examples"
    assert ClassBalanceMetric(Unending(), Mean(), 40, 0, 2).protocol["reference"] == f"{len(PICTURES)} held-out examples"


def test_metrics_of_the_pictures_themselves_read_a_sample_at_a_time(little):
    for made in (lambda data: SlicedMetric(data, 20, 4, 0, 2), lambda data: DetailMetric(data, 20, 0, 2)):
        held = OnDisk(PICTURES[:HELD_OUT])
        metric = made(data_of(held, PICTURES[HELD_OUT:]))
        there = made(data_of(PICTURES[:HELD_OUT], PICTURES[HELD_OUT:]))
        assert metric.evaluate(Game()) == there.evaluate(Game())
        assert dict(metric.protocol) == dict(there.protocol)
        assert max(held.asked) == 20


def test_a_digest_is_that_of_the_tensors(little):
    held, other = OnDisk(PICTURES[:37]), OnDisk(PICTURES[40:60])
    wanted = digest_of_state({"a": PICTURES[:37], "b": PICTURES[40:60]}, "more")
    assert digest_of_examples({"b": other, "a": held}, "more") == wanted
    reading = Reading()
    assert torch.equal(reading.features("a", held, lambda x: x.mean((1, 2, 3))), PICTURES[:37].mean((1, 2, 3)))
    assert reading.digest == digest_of_state({"a": PICTURES[:37]})


def test_what_cannot_be_read_is_left_out_of_features_and_digest(little):
    def make(i):
        return None if i % 7 == 3 else {"real": PICTURES[i]}

    left = PICTURES[[i for i in range(50) if i % 7 != 3]]
    examples = HeldOut(make, range(50), {"real": Field(SHAPE, -1, 1)}).examples()["real"]
    reading = Reading()
    assert torch.equal(reading.features("real", examples, lambda x: x), left)
    assert reading.digest == digest_of_state({"real": left})


def test_pieces_are_no_larger_than_memory_allows(monkeypatch):
    large = OnDisk(torch.zeros(9, 3, 64, 64))
    monkeypatch.setattr(pieces, "PIECE", 2 * 4 * 3 * 64 * 64)
    assert [len(piece) for piece in in_pieces(large)] == [2, 2, 2, 2, 1]
    monkeypatch.setattr(pieces, "PIECE", 1)
    assert [len(piece) for piece in in_pieces(large)] == [1] * 9


def test_some_of_the_examples_and_several_parts_of_them():
    both = Joined([PICTURES[:5], OnDisk(PICTURES[5:20])])
    assert len(both) == 20
    assert torch.equal(both[:], PICTURES[:20])
    assert torch.equal(both[[17, 2, 5, 4]], PICTURES[[17, 2, 5, 4]])
    assert torch.equal(Chosen(both, torch.tensor([19, 3, 7]))[1:], PICTURES[[3, 7]])


class Files(StreamData):
    name, size, held_out = "files", 60, {}
    fields = {"real": Field(SHAPE, -1, 1)}  # noqa: RUF012

    def __init__(self):
        self.alive, self.loaded = 0, 0

    def load(self, index, rng):
        self.loaded += 1
        return None if index % 10 == 0 else {"real": PICTURES[index]}

    def fingerprint(self):
        return "files"


def test_training_files_are_read_when_they_are_wanted_and_come_in_the_same_parts(little, monkeypatch):
    data = Files()
    lazy, trained = RealParts(data, "m", 10, 0, 3), training_examples(data, 40)
    assert not isinstance(trained, torch.Tensor)
    seen = [Reading().features("real", part, lambda x: x) for part in map(lazy.__getitem__, range(len(lazy)))]
    monkeypatch.setattr(pieces, "AT_HAND", 2**28)
    kept = RealParts(data, "m", 10, 0, 3)
    assert len(lazy) == len(kept) > 1
    assert all(torch.equal(a, b[:]) for a, b in zip(seen, map(kept.__getitem__, range(len(kept))), strict=True))
    assert torch.equal(Reading().features("real", trained, lambda x: x), training_examples(data, 40))
