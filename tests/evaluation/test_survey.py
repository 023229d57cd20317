"""What is seen of data before a run begins, and which of them are doubted or refused."""

import numpy as np
import pytest
import torch

from ganflow.contract.data import IterableData, StreamData, TensorData
from ganflow.contract.preview import Original, likely_range
from ganflow.errors import GanflowError
from ganflow.evaluation.survey import FEW, doubts, survey
from ganflow.recipe import read_recipe
from ganflow.runs.start import start
from ganflow.tune.plan import make_plan

KEYS = ("range", "background")
DRAWN = torch.rand(20, 3, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1


def texts(images, keys=KEYS):
    data = TensorData("some", {"real": images})
    return [(d.certain, d.text) for d in doubts(data, survey(data), keys)]


def test_what_is_seen():
    images = DRAWN.clone()
    images[3], images[5], images[9] = images[1], 0.5, 0.5
    seen = survey(TensorData("some", {"real": images, "label": torch.arange(20) % 2}, classes={"label": ["a", "b"]}))
    real = seen["real"]
    assert (len(real.examples), real.flat, real.repeated) == (20, ["#6", "#10"], 2)  # 5 and 9 are flat; 3 is 1 again, and 9 is 5
    assert real.duplicates() == [["#2", "#4"]]
    assert real.duplicates(images[[5, 2, 1]].flip(-1), ["a", "b", "c"]) == [["#2", "#4", "c (held out)"], ["#3", "b (held out)"]]
    assert (real.low, real.high) == (images.min(), images.max())
    assert real.levels == len(np.unique(images.numpy()))
    assert seen["label"].field.classes == ("a", "b")


@pytest.mark.parametrize(("size", "most", "indices"), [(3, 5, [0, 1, 2]), (10, 5, [0, 2, 4, 6, 8])])
def test_at_equal_distances(size, most, indices):
    values = torch.arange(size).float().view(size, 1)
    assert survey(TensorData("some", {"real": values}), most)["real"].examples.flatten().tolist() == indices


def test_images_that_vary_are_not_doubted():
    assert texts(DRAWN) == []
    assert texts(DRAWN * 0.3) == []  # of little contrast, about grey


@pytest.mark.parametrize(
    ("images", "certain", "said"),
    [
        (torch.ones(20, 3, 8, 8), True, "every pixel of the 20 images that were looked at is 1.00"),
        (DRAWN[:1].repeat(20, 1, 1, 1), True, "all 20 images that were looked at are the same one"),
        (DRAWN * 0.06 - 0.94, False, "lie between -1.00 and -0.88"),  # 12 bits in 16
        (DRAWN * 0.5 + 0.5, False, "lie between 0.00 and 1.00"),  # [0, 1] taken for [-1, 1]
        (DRAWN[: FEW - 1], False, f"there are {FEW - 1} images to train on"),
        (DRAWN[:20, :, :1, :1].expand(-1, -1, 8, 8), True, "each of the 20 images that were looked at is of one colour"),
        (DRAWN[:1], True, "there is 1 image to train on"),
    ],
)
def test_what_is_doubted(images, certain, said):
    ((sure, text),) = texts(images)
    assert said in text
    assert sure == certain


def seen_with(images, *originals, keys=KEYS):
    data = TensorData("some", {"real": images}, original=lambda field, row: originals[row % len(originals)])
    return doubts(data, survey(data), keys)[0]


EIGHT = Original((10, 10), 1, "L", measure=lambda: (0, 15))
SIXTEEN = Original((10, 10), 1, "I;16", (0, 4000))
CLEAR = Original((10, 10), 4, "RGBA", transparent=True, measure=lambda: (0, 200))


@pytest.mark.parametrize(
    ("images", "original", "keys", "override"),
    [
        (DRAWN * 0.06 - 0.94, EIGHT, KEYS, "data.range=[0, 15]"),
        (DRAWN * 0.06 - 0.94, SIXTEEN, KEYS, "data.range=[0, 4095]"),
        (DRAWN * 0.06 - 0.94, Original((10, 10), 1, "L", measure=lambda: (0, 200)), KEYS, ""),  # it has that range already
        (DRAWN * 0.06 - 0.94, None, ("range",), ""),
        (DRAWN * 0.5 + 0.5, None, ("range",), "data.range=unit"),
        (DRAWN * 0.06 - 0.94, EIGHT, (), ""),
        (torch.ones(20, 3, 8, 8), CLEAR, KEYS, "data.background=black"),
        (torch.ones(20, 3, 8, 8), CLEAR, {"background": "black", "range": []}, "data.background=white"),
        (torch.ones(20, 3, 8, 8), EIGHT, KEYS, ""),  # nothing is transparent
        (torch.ones(20, 3, 8, 8), SIXTEEN, KEYS, "data.range=[0, 4095]"),
    ],
)
def test_the_advice_follows_from_the_cause(images, original, keys, override):
    doubt = seen_with(images, original, keys=keys)
    assert doubt.override == override
    assert override in doubt.text
    assert ("data." in doubt.text) == bool(override) or keys == ("range",)


def test_dark_pictures_among_others():
    """No range is right for both."""
    doubt = seen_with(DRAWN, SIXTEEN, Original((10, 10), 3, "RGB"))
    assert doubt.text.endswith("10 of 20 files have 16 bits, and fill a corner of them, so that they are almost black beside the "
                               "others; 'data.range=[0, 4095]' is for them in a folder of their own")  # fmt: skip
    assert not doubt.certain
    assert not doubt.override
    assert texts(DRAWN) == []


class Streamed(StreamData):
    name, size, held_out = "streamed", 5, {}
    fields = TensorData("some", {"real": DRAWN}).fields

    def load(self, index, rng):
        return None if index == 2 else {"real": DRAWN[index]}

    def fingerprint(self):
        return "x"


class Endless(IterableData):
    name = "endless"
    fields, held_out = Streamed.fields, {"real": DRAWN[:2]}

    def __iter__(self):
        yield from ({"real": image} for image in DRAWN[5:])

    def fingerprint(self):
        return "x"

    def state_dict(self):
        raise AssertionError("it is left alone")

    load_state_dict = state_dict


def test_streams_and_iterables():
    assert torch.equal(survey(Streamed())["real"].examples, DRAWN[[0, 1, 3, 4]])
    assert torch.equal(survey(Endless(), 3)["real"].examples, DRAWN[:2])  # held out
    assert torch.equal(survey(Endless(), 3, iterate=True)["real"].examples, DRAWN[5:8])


RECIPE = """
data: {use: tensor_file, path: x.npy, range: signed}
prior: {use: normal, dim: 4}
generator: {use: dcgan, width: 2}
critic: {use: dcgan, width: 2}
loss: {use: non_saturating}
optimizer: {use: adam}
train: {rounds: 1, batch_size: 4, compile: never}
track: {mlflow: false}
"""


def test_a_run_refuses_one_level_and_says_what_else_is_doubtful(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "r.yaml").write_text(RECIPE)
    np.save("x.npy", np.full((20, 16, 16), 0.5, np.float32))
    with pytest.raises(GanflowError, match="there is nothing to learn"):
        start(read_recipe("r.yaml"), tmp_path / "runs", quiet=True)
    assert not (tmp_path / "runs").exists()
    np.save("x.npy", np.random.default_rng(0).random((20, 16, 16), np.float32))
    start(read_recipe("r.yaml"), tmp_path / "runs", quiet=True)
    assert "data.range=unit is for numbers from 0 to 1" in capsys.readouterr().err


def test_so_does_a_sweep(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tune = "tune: {trials: 2, metric: generator_loss, mode: min, space: {optimizer.lr: {uniform: [0.1, 0.2]}}}"
    (tmp_path / "r.yaml").write_text(f"{RECIPE}{tune}\n")
    np.save("x.npy", np.random.default_rng(0).random((20, 16, 16), np.float32))
    (note,) = make_plan("r.yaml").recipe.notes
    assert note.endswith("data.range=unit is for numbers from 0 to 1")
    np.save("x.npy", np.full((20, 16, 16), 0.5, np.float32))
    with pytest.raises(GanflowError, match="there is nothing to learn"):
        make_plan("r.yaml")


def test_one_colour_is_flat_whatever_the_colour():
    images = DRAWN.clone()
    images[:7] = torch.tensor([1.0, -1.0, -1.0])[:, None, None]
    seen = survey(TensorData("some", {"real": images}))["real"]
    assert (seen.flat, seen.repeated, seen.copies) == ([f"#{i + 1}" for i in range(7)], 6, 0)
    images[19], images[18] = images[17], images[17].flip(-1)
    assert survey(TensorData("some", {"real": images}))["real"].copies == 2  # a mirror image is one, too


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda images: images[10:].fill_(0.3), ["10 of 20 images are of one colour:"]),
        (lambda images: images[10:].copy_(images[:10]), ["10 of 20 images are exact duplicates of others"]),
        (lambda images: (images[18].fill_(0.3), images[17].copy_(images[16])), [
           "1 of 20 images are of one colour, and 1 of 20"]),
        (lambda images: images[19].fill_(0.3), []),  # a single one
    ],
)
def test_blank_and_repeated_images_are_counted(change, said):
    images = DRAWN.clone()
    change(images)
    found = texts(images)
    assert len(found) == len(said)
    assert all(text in doubt for text, (_, doubt) in zip(said, found, strict=True))


@pytest.mark.parametrize(
    ("originals", "said"),
    [
        ([Original((10, 10), 1, "I;16", (0, 4000), 0.27)] * 20, "27 % of the pixels of 20 files lie outside data.range"),
        ([Original((10, 10), 1, "I;16", (0, 4000), 0.27)] * 20, "'data.range=[0, 4095]' holds all of them"),
        ([Original((10, 10), 1, "I;16", (0, 4000), 0.0001)] * 20, ""),
        ([Original((10, 10), 3, "RGB")] * 20, ""),
    ],
)
def test_clipping_is_noticed(originals, said):
    data = TensorData("some", {"real": DRAWN}, original=lambda field, row: originals[row])
    found = [doubt.text for doubt in doubts(data, survey(data), KEYS)]
    assert said in " ".join(found)
    assert len(found) == bool(said)


def test_a_range_that_clips_everything_is_named():
    originals = [Original((10, 10), 1, "F", (10, 6088), 1.0)] * 20
    data = TensorData("some", {"real": torch.ones(20, 3, 8, 8)}, original=lambda field, row: originals[row])
    (doubt,) = doubts(data, survey(data), KEYS)
    assert doubt.certain
    assert doubt.text.endswith("'data.range=[0, 6090]' holds all of them")


@pytest.mark.parametrize(
    ("low", "high", "wanted"),
    [(0, 201, (0, 255)), (0.02, 0.97, (0, 1)), (3, 3800, (0, 4095)), (271.3, 305.2, (271.3, 305.2)), (7, 7, (0, 255)),
     (-5, 5, (-5, 5)), (-3, -3, (-3, -2)), (10, 6088, (0, 6090))],
)  # fmt: skip
def test_a_range_for_numbers(low, high, wanted):
    assert likely_range(low, high) == pytest.approx(wanted)
    assert likely_range(low, high)[0] <= low <= high <= likely_range(low, high)[1] + 1e-9
