"""The line about data with which a run begins."""

import pytest
import torch

from ganflow.contract.data import IterableData, TensorData
from ganflow.evaluation.data_line import data_line
from ganflow.recipe import read_recipe
from ganflow.runs.start import start

IMAGES = {"real": torch.zeros(6, 3, 8, 16), "label": torch.tensor([0, 0, 1, 1, 1, 1])}


class Streamed(IterableData):
    name, held_out, skipped = "shards (x)", {"real": torch.zeros(2, 1, 8, 8)}, ["a.tar: 3: broken"]
    fields = TensorData("", {"real": torch.zeros(1, 1, 8, 8)}).fields
    __iter__ = fingerprint = state_dict = load_state_dict = None


def labelled(classes):
    return TensorData("images (x)", IMAGES, {"real": torch.zeros(2, 3, 8, 16)}, classes={"label": classes})


@pytest.mark.parametrize(
    ("data", "read", "line"),
    [
        (labelled(["cats", "dogs"]), ("real", "label"),
         "images (x): 6 to train on, 2 held out; 16×8, 3 channels; 2 classes (cats 2, dogs 4)"),
        (labelled(["cats", "dogs"]), ("real",),
         "images (x): 6 to train on, 2 held out; 16×8, 3 channels; 2 classes (cats 2, dogs 4), "
         "not used (condition=label takes them)"),
        (labelled(["cats", *"abcd"]), ("real", "label"), "images (x): 6 to train on, 2 held out; 16×8, 3 channels; 5 classes"),
        (TensorData("ring", {"real": torch.zeros(2000, 2)}), (), "ring: 2,000 points to train on, 0 held out; 2 numbers each"),
        (TensorData("two", {"a": torch.zeros(2, 3, 8, 8), "b": torch.zeros(2, 1, 8, 8)}), (),
         "two: 2 to train on, 0 held out; a 8×8, 3 channels; b 8×8, 1 channel"),
        (Streamed(), (), "shards (x): an unknown number to train on, 2 held out; 8×8, 1 channel; 1 left out"),
    ],
)  # fmt: skip
def test_any_data(data, read, line):
    assert data_line(data, read, free=True) == line


@pytest.mark.parametrize(
    ("condition", "said"),
    [
        ([], "10 classes, not used (condition=label takes them)"),
        (["condition=[]"], "10 classes"),
        (["condition=label"], "10 classes"),
    ],
)
def test_a_run_begins_with_it(tmp_path, capsys, undrawn, condition, said):
    start(read_recipe("gan", [*condition, "train.rounds=1", "track.mlflow=false", "metrics=[]"]), tmp_path)
    name, data, networks, *_ = capsys.readouterr().err.splitlines()
    assert name.startswith("gan · ")
    assert data == f"data digits: 1,617 to train on, 180 held out; 16×16, 1 channel; {said}"
    assert networks.startswith("generator dcgan: ")
