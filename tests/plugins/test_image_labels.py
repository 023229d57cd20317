"""Classes of a folder's images: by a table."""

import numpy as np
import pytest
import torch
from ganflow_data import ImageFolder
from PIL import Image

from ganflow.errors import GanflowError

NAMES = ["day/a.png", "day/b.png", "night/a.png", "c.png"]
ROWS = ["day/a.png,fox", "b.png,hare", "night/a.png,hare", 'c.png,"fox"']


@pytest.fixture
def folder(tmp_path):
    for level, name in enumerate(NAMES):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new("L", (8, 8), 50 * level).save(tmp_path / name)
    return tmp_path


def built(folder, rows, header="file,label", **keys):
    (folder / "labels.csv").write_text("\n".join([header, *rows]) + "\n")
    keys = {"labels": "labels.csv", "in_memory": "always", **keys}
    return ImageFolder(path=str(folder), size=8, channels=1, held_out=0, **keys).data()


def refused(folder, rows, **keys):
    with pytest.raises(GanflowError) as caught:
        built(folder, rows, **keys)
    return str(caught.value)


@pytest.mark.parametrize("in_memory", ["always", "never"])
@pytest.mark.parametrize("header", ["file,label", "filename, class", "image,category"])
def test_classes_by_a_table(folder, in_memory, header):
    data = built(folder, ROWS, header, in_memory=in_memory)
    assert data.fields["label"].classes == ("fox", "hare")
    resident = in_memory == "always"
    rows = [{n: t[i] for n, t in data.train.items()} if resident else data.load(i, torch.Generator()) for i in range(4)]
    levels = {round((float(row["real"][0, 0, 0]) + 1) * 127.5): int(row["label"]) for row in rows}
    assert levels == {0: 0, 50: 1, 100: 1, 150: 0}  # by the picture, whatever their sequence is
    other = [*ROWS[:3], "c.png,hare"]
    assert built(folder, other, in_memory=in_memory).fingerprint() != data.fingerprint()
    assert built(folder, ROWS, in_memory=in_memory).fingerprint() == data.fingerprint()


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ([*ROWS, "d.png,fox"], "has labels of images that are not in"),
        (ROWS[:3], "has no label for 1 of the 4 images in"),
        ([*ROWS, "c.png,hare"], "has images with a label already: c.png (line 6)"),
        (["a.png,fox", *ROWS[1:]], "has names that several images"),
        ([*ROWS[:3], "c.png,"], "has rows without a label: c.png (line 5)"),
        ([*ROWS[:3], "c.png"], "has rows without a label: c.png (line 5)"),
        ([*ROWS[:3], "c.png,fox,2"], "line 5 of"),
        ([*ROWS[:3], 'c.png,"fox'], "opens a quote that is never closed"),
        ([row.replace("hare", "fox") for row in ROWS], "has only the label fox; two classes are needed"),
    ],
)
def test_what_is_wrong_with_a_table(folder, rows, says):
    text = refused(folder, rows)
    assert text.startswith("data.labels: ")
    assert says in text


def test_surplus_columns(folder):
    assert "has 3 columns, and the first line names 2" in refused(folder, [*ROWS[:3], "c.png,fox,2"])
    built(folder, [f"{row},train" for row in ROWS], header="file,label,part")  # named, so that none is lost unseen
    misspelt = refused(folder, ROWS, header="file,lable")
    assert "none is called label, class, category; did you mean 'label' by 'lable'? Let it be: file,label" in misspelt


@pytest.mark.parametrize(
    ("labels", "says"),
    [("nothing", "'nothing' is neither auto nor none nor a .csv file"), ("nowhere.csv", "cannot read"),
     ("~nobody2/x.csv", "there is no user")],
)  # fmt: skip
def test_what_is_no_table(folder, labels, says):
    assert says in refused(folder, ROWS, labels=labels)


@pytest.mark.parametrize("in_memory", ["auto", "never"])
def test_names_that_are_no_text(tmp_path, in_memory, capsys):
    """A byte 0xff in a file's name."""
    root = bytes(tmp_path)
    for i in range(3):
        Image.fromarray(np.full((8, 8), 80 * i, np.uint8)).save(root + b"/\xff%d.png" % i)
    with open(root + b"/\xff9.png", "wb") as file:
        file.write(b"junk")
    for flip in (False, True):
        memory = "never" if flip else in_memory
        data = ImageFolder(path=str(tmp_path), size=8, held_out=0, flip=flip, in_memory=memory, on_error="skip").data()
        assert len(data.fingerprint()) == 16
        assert data.size == (3 if in_memory == "auto" and not flip else 4)
        if memory == "never":
            data.load(3, torch.Generator())
        assert len(data.skipped) == 1
