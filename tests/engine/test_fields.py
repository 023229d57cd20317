"""Fields: their kinds, classes and blanks, and what run.json keeps of them."""

import json

import pytest
import torch

from ganflow.contract.data import Field, TensorData
from ganflow.runs.loading import DescribedData, describe


def test_kinds_follow_from_shape_and_classes():
    assert Field((3, 4, 4)).kind == "image"
    assert Field((2,)).kind == Field(()).kind == "points"
    assert Field((), classes=("cat", "dog")).kind == "class"
    assert Field((12,), kind="embedding").kind == "embedding"
    assert [Field((1, 2, 2)).is_image, Field((2,)).is_image, Field((), classes=("a", "b")).is_image] == [True, False, False]


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        ({"kind": "picture"}, "kind 'picture'; kinds: image, points, embedding, class"),
        ({"kind": "class"}, "kind 'class' with 0 classes"),
        ({"kind": "points", "classes": ("a", "b")}, "kind 'points' with 2 classes"),
        ({"classes": ("a", "b")}, r"has shape \(\) and .* not shape \(2,\)"),
        ({"shape": (), "classes": ("a", "a")}, "different names"),
        ({"shape": (), "classes": ("a", "b"), "frequencies": (1.0,)}, "1 frequencies of 2 classes"),
    ],
)
def test_fields_that_contradict_themselves(keys, says):
    with pytest.raises(ValueError, match=says):
        Field(**{"shape": (2,), **keys})


def test_blanks():
    image, label = Field((1, 2, 3)).blank(4), Field((), classes=("a", "b")).blank(4)
    assert (image.shape, image.dtype) == ((4, 1, 2, 3), torch.float32)
    assert (label.shape, label.dtype) == ((4,), torch.int64)
    assert not image.any()
    assert not label.any()


def labelled(labels, **keys):
    real = torch.rand(len(labels), 2, generator=torch.Generator().manual_seed(0))
    return TensorData("toy", {"real": real, "label": torch.tensor(labels)}, classes={"label": ["cat", "dog", "cow"]}, **keys)


def test_frequencies_are_of_the_training_part():
    data = labelled([0, 1, 0, 0], held_out={"real": torch.zeros(2, 2), "label": torch.tensor([2, 2])})
    assert data.fields["label"] == Field((), classes=("cat", "dog", "cow"), frequencies=(0.75, 0.25, 0.0))
    assert data.main.kind == "points"


@pytest.mark.parametrize("labels", [[0, 3], [-1, 0], [0.0, 1.0], [[0], [1]]])
def test_tensors_that_hold_no_such_classes(labels):
    with pytest.raises(ValueError, match=r"field label of toy is not int64 of shape \(n,\) between 0 and 2"):
        labelled(labels)


def test_labels_change_the_fingerprint_unless_they_follow_from_the_rest():
    def prints(**keys):
        return [labelled(labels, **keys).fingerprint() for labels in ([0, 1, 2], [0, 1, 1])]

    free, derived = prints(), prints(derived=["label"])
    assert len(set(free)) == 2
    assert len(set(derived)) == 1
    real = labelled([0, 1, 2]).train["real"]
    assert derived[0] == TensorData("toy", {"real": real}).fingerprint()


def test_what_run_json_keeps_of_fields():
    data = labelled([0, 1, 0, 2])
    data.fields["text"] = Field((12,), kind="embedding")
    data.train["text"] = torch.zeros(4, 12)
    about = json.loads(json.dumps(describe(data)))
    assert DescribedData(about).fields == data.fields
    for key in ("kinds", "classes", "frequencies"):  # a run of version 1
        del about[key]
    about["fields"].pop("label")
    old = DescribedData(about).fields
    assert old == {"real": Field((2,)), "text": Field((12,))}
