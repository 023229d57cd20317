"""Folders of pictures with captions: their layouts, and what is wrong with them."""

import json

import pytest
import torch
from ganflow_text.data import CaptionedFolder
from ganflow_text.encoders import BagOfWords
from PIL import Image
from text_helpers import quick

from ganflow.errors import GanflowError

SAID = {"a/one": ["a red bird", "this bird is red"], "a/two": ["a blue bird"], "b/three": ["a grey bird with a black face"]}


def picture(file, colour=(200, 30, 30)):
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (24, 30), colour).save(file)


def write(file, lines):
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")


def beside(root):
    for name, said in SAID.items():
        picture(root / f"{name}.png")
        write(root / f"{name}.txt", said)


def cub(root):
    for name, said in SAID.items():
        picture(root / "images" / f"{name}.jpg")
        write(root / "text" / f"{name}.txt", said)


def csv(root):
    for name in SAID:
        picture(root / f"{name}.png")
    write(root / "captions.csv", ["image,caption", *(f'{n}.png,"{s}"' for n, said in SAID.items() for s in said)])


def jsonl(root):
    for name in SAID:
        picture(root / "images" / f"{name}.png")
    write(root / "all.jsonl", [json.dumps({"file_name": f"{n}.png", "caption": said}) for n, said in SAID.items()])


def folder(root, encoder=None, **keys):
    return CaptionedFolder(**{"path": str(root), "size": 16, "held_out": 1, "encoder": encoder or BagOfWords(), **keys}).data()


def refused(root, **keys):
    with pytest.raises(GanflowError) as caught:
        folder(root, **keys)
    return str(caught.value)


@pytest.mark.parametrize("layout", [beside, cub, csv, jsonl])
def test_layouts(tmp_path, layout):
    layout(tmp_path / "set")
    data = folder(tmp_path / "set")
    said = sorted([*data.sentences, *([s] for s in data.held_out_sentences)], key=lambda s: s[0])
    assert data.size == 2
    assert {s[0] for s in said} == {s[0] for s in SAID.values()}
    assert data.fields["real"].shape == (3, 16, 16)
    assert data.held_out["real"].shape == (1, 3, 16, 16)
    example = data.load(0, torch.Generator().manual_seed(0))
    assert example["real"].shape == (3, 16, 16)
    assert example["text"].shape == data.fields["text"].shape
    assert data.fingerprint() == folder(tmp_path / "set").fingerprint()


def test_the_layout_can_be_named(tmp_path):
    cub(tmp_path)
    (tmp_path / "text").rename(tmp_path / "text_c10")
    assert len(folder(tmp_path, captions="text_c10").sentences) == 2
    assert "there is no" in refused(tmp_path, captions="nowhere")


def test_both_stages_have_the_same_encoder(tmp_path):
    beside(tmp_path)
    small, large = folder(tmp_path, quick(side=8)), folder(tmp_path, quick(side=8), size=32)
    assert all(torch.equal(t, large.encoder.state()[name]) for name, t in small.encoder.state().items())


def test_augmentation_follows_from_the_rng_and_spares_what_is_held_out(tmp_path):
    beside(tmp_path)
    for name in SAID:
        Image.effect_noise((40, 40), 90).save(tmp_path / f"{name}.png")
    data = folder(tmp_path)
    drawn = [data.load(0, torch.Generator().manual_seed(i))["real"] for i in (0, 0, *range(1, 9))]
    assert torch.equal(drawn[0], drawn[1])
    assert len({t.numpy().tobytes() for t in drawn}) > 4
    assert torch.equal(data.held_out["real"][:], folder(tmp_path, crop="centre", flip=False).held_out["real"][:])


def test_pictures_that_are_not_augmented_are_decoded_once(tmp_path):
    beside(tmp_path)
    data = folder(tmp_path, crop="centre", flip=False)
    for name in SAID:
        (tmp_path / f"{name}.png").unlink()
    assert data.load(1, torch.Generator())["real"].shape == (3, 16, 16)


def test_pictures_without_a_caption(tmp_path):
    beside(tmp_path)
    picture(tmp_path / "more/x.png")
    picture(tmp_path / "more/y.png")
    told = refused(tmp_path)
    assert "2 pictures are in" in told
    assert "without a caption: more/x.png, more/y.png; give each one a caption" in told


def test_captions_without_a_picture(tmp_path):
    cub(tmp_path)
    (tmp_path / "images/b/three.jpg").unlink()
    assert f"1 caption file is in {tmp_path} whose picture is missing: text/b/three.txt" in refused(tmp_path)
    csv(tmp_path / "table")
    (tmp_path / "table/a/two.png").unlink()
    assert "has captions for 1 picture is missing" not in refused(tmp_path / "table")
    assert "captions.csv has captions for pictures that are not in" in refused(tmp_path / "table")
    assert "a/two.png (line 4)" in refused(tmp_path / "table")


def test_empty_captions(tmp_path):
    beside(tmp_path)
    write(tmp_path / "a/one.txt", ["  ", ""])
    assert f"1 caption file is in {tmp_path} without a word: a/one.txt" in refused(tmp_path)
    csv(tmp_path / "table")
    write(tmp_path / "table/captions.csv", ["image,caption", "a/one.png,a bird", "a/two.png,", "b/three.png, x"])
    assert "empty captions in" in (told := refused(tmp_path / "table"))
    assert told.endswith("captions.csv: line 3")
    write(tmp_path / "table/captions.csv", ["image,caption"])
    assert "there is no caption in" in refused(tmp_path / "table")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ('{"image": "a/one.png"}', "line 1 of {} has none of the columns caption, captions, text, sentence"),
        ('["a/one.png"]', "line 1 of {} is not an object with a picture and a caption"),
        ("{", "line 1 of {} is not JSON"),
    ],
)
def test_tables_that_make_no_sense(tmp_path, content, told):
    picture(tmp_path / "a/one.png")
    write(tmp_path / "all.jsonl", [content])
    assert told.format(tmp_path / "all.jsonl") in refused(tmp_path)


def test_other_things_that_are_wrong(tmp_path):
    assert "there is no folder" in refused(tmp_path / "none")
    picture(tmp_path / "a/one.png")
    assert "no captions in" in refused(tmp_path)
    write(tmp_path / "a.csv", [])
    write(tmp_path / "b.csv", [])
    assert "which of a.csv, b.csv holds the captions?" in refused(tmp_path)
    beside(tmp_path / "set")
    (tmp_path / "set/a/one.txt").write_bytes(b"\xff\xfe\xfa")
    assert "one.txt is not UTF-8 text" in refused(tmp_path / "set")
    beside(tmp_path / "set")
    (tmp_path / "set/a/one.png").write_bytes(b"no image")
    assert "cannot read 1 image in" in refused(tmp_path / "set", crop="centre", flip=False)
    with pytest.raises(ValueError, match="resize: needs a crop, and at least the size that is cropped"):
        folder(tmp_path / "set", resize=16, size=32)


def test_a_tables_split_is_kept(tmp_path):
    parts = ["train", "test", "restval", "val", "val"]
    for i in range(5):
        picture(tmp_path / f"{i}.png")
    about = [{"filename": f"{i}.png", "split": part, "sentences": [{"raw": f"bird {i}"}]} for i, part in enumerate(parts)]
    (tmp_path / "dataset_flickr8k.json").write_text(json.dumps({"images": about}))
    for held_out, kept in ((0.1, ["bird 1", "bird 3", "bird 4"]), (2, ["bird 1", "bird 3"]), (0, [])):
        data = folder(tmp_path, held_out=held_out)
        assert data.sentences == [["bird 0"], ["bird 2"]]
        assert data.held_out_sentences == kept
        assert len(data.held_out["real"]) == len(kept)
    held_out = [{**image, "split": "test"} for image in about]
    (tmp_path / "dataset_flickr8k.json").write_text(json.dumps({"images": held_out}))
    assert "the table's split leaves none of the 5 pictures in" in refused(tmp_path)
