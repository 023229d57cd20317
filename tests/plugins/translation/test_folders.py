"""Folders of paired and of unpaired images."""

from contextlib import closing

import numpy as np
import pytest
import torch
from ganflow_layers.framing import Framing
from ganflow_translation.data import PairedFolder, UnpairedFolder
from PIL import Image

from ganflow.contract.data import StreamData, TensorData
from ganflow.engine.feed import feed
from ganflow.errors import GanflowError

STILL = {"crop": "centre", "flip": False}  # not augmented: in memory


def pixels(width=40, height=30, seed=0):
    noise = np.random.default_rng(seed).integers(0, 256, (4, 5, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC))


def save(array, file):
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(file)


def two_folders(root, a="A", b="B", count=8, of="", first=0):
    """Pairs of which B is the negative of A."""
    for i in range(first, first + count):
        image = pixels(40 + i, 30, i)
        save(image, root / a / of / f"{i:02}.png")
        save(255 - image, root / b / of / f"{i:02}.png")
    return root


def side_by_side(root, part="", count=8, first=0):
    for i in range(first, first + count):
        image = pixels(40 + i, 30, i)
        save(np.concatenate([image, 255 - image], axis=1), root / part / f"{i:02}.png")
    return root


def unpaired(root, a=5, b=9, test=()):
    """Grey tells which image it is: A has 10, 20, …, B 110, 120, …"""
    for part, counts in (("train", (a, b)), ("test", test)):
        for name, base, count in zip("AB", (0, 100), counts, strict=False):
            for i in range(count):
                save(np.full((12, 12, 3), base + 10 * (i + 1), np.uint8), root / f"{part}{name}" / f"{i}.png")
    return root


def damage(file):
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def drawn(data, batch, draws, seed=0):
    with closing(feed(data, batch, seed)) as source:
        return [source.draw(1) for _ in range(draws)]


# pairs: layouts


LAYOUTS = {
    "A and B": lambda root: two_folders(root),
    "trainA and trainB": lambda root: two_folders(root, "trainA", "trainB"),
    "A/train and B/train": lambda root: two_folders(root, of="train"),
    "side by side": lambda root: side_by_side(root),
    "side by side in train": lambda root: side_by_side(root, "train"),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_the_same_pairs(tmp_path, layout):
    LAYOUTS[layout](tmp_path / "data")
    data = PairedFolder(path=str(tmp_path / "data"), size=16, held_out=2, **STILL).data()
    plain = PairedFolder(path=str(two_folders(tmp_path / "plain")), size=16, held_out=2, **STILL).data()
    assert isinstance(data, TensorData)
    assert data.aligned
    assert (data.size, len(data.held_out["source"])) == (6, 2)
    for name, field in data.fields.items():
        assert (field.shape, field.low, field.high) == ((3, 16, 16), -1, 1)
        assert torch.equal(data.train[name], plain.train[name])
        assert torch.equal(data.held_out[name], plain.held_out[name])
    assert torch.allclose(data.train["source"], -data.train["target"], atol=0.02)


@pytest.mark.parametrize(("parts", "first"), [(["test"], 20), (["val"], 20), (["val", "test"], 20)])
@pytest.mark.parametrize("layout", ["side", "nested", "flat"])
def test_val_or_else_test_is_held_out(tmp_path, layout, parts, first):
    for i, part in enumerate(["train", *parts]):
        start, count = (0, 4) if part == "train" else (first + 10 * (i - 1), 3)
        if layout == "side":
            side_by_side(tmp_path, part, count, start)
        elif layout == "nested":
            two_folders(tmp_path, of=part, count=count, first=start)
        else:
            two_folders(tmp_path, f"{part}A", f"{part}B", count, first=start)
    data = PairedFolder(path=str(tmp_path), size=16, **STILL).data()
    assert (data.size, len(data.held_out["source"])) == (4, 3)
    save(pixels(60, 30, first), tmp_path / "apart" / "A" / "0.png")
    save(pixels(60, 30, first), tmp_path / "apart" / "B" / "0.png")
    expected = PairedFolder(path=str(tmp_path / "apart"), size=16, held_out=0, **STILL).data()
    assert torch.equal(data.held_out["source"][:1], expected.train["source"])
    assert len(PairedFolder(path=str(tmp_path), size=16, held_out=2, **STILL).data().held_out["source"]) == 2
    assert len(PairedFolder(path=str(tmp_path), size=16, held_out=0, **STILL).data().held_out["source"]) == 0


def test_folders_of_other_names_and_the_other_direction(tmp_path):
    two_folders(tmp_path, "photos", "maps")
    keys = {"path": str(tmp_path), "a": "photos", "b": "maps", "size": 16, **STILL}
    forth, back = PairedFolder(**keys).data(), PairedFolder(**keys, direction="BtoA").data()
    assert torch.equal(forth.train["source"], back.train["target"])
    assert torch.equal(forth.train["target"], back.train["source"])
    assert forth.fingerprint() == PairedFolder(**keys).data().fingerprint() != back.fingerprint()


def test_names_agree_up_to_the_extension(tmp_path):
    for i in range(3):
        save(pixels(seed=i), tmp_path / "A" / "town" / f"{i}.jpg")
        save(pixels(seed=i), tmp_path / "B" / "town" / f"{i}.png")
    assert PairedFolder(path=str(tmp_path), size=16, held_out=0, **STILL).data().size == 3


# pairs: what becomes of the images


@pytest.mark.parametrize("make", [two_folders, side_by_side])
def test_a_pair_is_cropped_and_mirrored_as_one(tmp_path, make):
    # Columns of A tell where they come from; B is its negative, and stays so.
    ramp = np.tile(np.arange(0, 200, 10, dtype=np.uint8)[None, :, None], (16, 1, 3))
    ramp[..., 1] = np.arange(16, dtype=np.uint8)[:, None] * 10
    if make is two_folders:
        save(ramp, tmp_path / "A" / "0.png")
        save(255 - ramp, tmp_path / "B" / "0.png")
    else:
        save(np.concatenate([ramp, 255 - ramp], axis=1), tmp_path / "0.png")
    data = PairedFolder(path=str(tmp_path), size=8, resize=16, held_out=0).data()
    assert isinstance(data, StreamData)
    seen, mirrored = set(), 0
    for seed in range(300):
        item = data.load(0, torch.Generator().manual_seed(seed))
        assert torch.allclose(item["source"], -item["target"], atol=1e-6)
        across, down = (((item["source"][c] + 1) * 12.75).round().int() for c in (0, 1))
        row = across[0].tolist()
        mirrored += row[0] > row[-1]
        assert sorted(row) == list(range(min(row), min(row) + 8))
        seen.add((min(row), int(down[0, 0])))
    assert {x for x, _ in seen} == set(range(13))
    assert {y for _, y in seen} == set(range(9))
    assert 110 < mirrored < 190


def test_held_out_images_are_not_augmented(tmp_path):
    two_folders(tmp_path)
    augmented = PairedFolder(path=str(tmp_path), size=16, held_out=3).data()
    still = PairedFolder(path=str(tmp_path), size=16, held_out=3, **STILL).data()
    for name in ("source", "target"):
        assert torch.equal(augmented.held_out[name][:], still.held_out[name][:])
    item = augmented.load(0, torch.Generator().manual_seed(1))
    assert not torch.equal(item["source"], still.train["source"][0])
    framing = Framing(size=16, resize=20, crop="random", flip=True)
    assert framing.augmented
    assert not framing.still().augmented


def test_the_papers_jitter_is_the_default(tmp_path):
    two_folders(tmp_path, count=2)
    data = PairedFolder(path=str(tmp_path), held_out=0).data()
    assert data._framing.resize == 286
    assert data.fields["source"].shape == (3, 256, 256)


def test_squeezed_instead_of_cropped(tmp_path):
    half = np.zeros((20, 40, 3), np.uint8)
    half[:, 20:] = 255
    for name in "AB":
        save(half, tmp_path / name / "0.png")
    image = PairedFolder(path=str(tmp_path), size=10, crop="none", flip=False, held_out=0).data().train["source"][0, 0]
    assert (image > 0).sum() == 50


def test_streamed_and_resident_pairs_are_the_same(tmp_path):
    keys = {"path": str(two_folders(tmp_path)), "size": 16, **STILL}
    resident, streamed = PairedFolder(**keys).data(), PairedFolder(**keys, in_memory="never").data()
    assert isinstance(streamed, StreamData)
    for i in range(streamed.size):
        item = streamed.load(i, torch.Generator())
        assert all(torch.equal(item[name], resident.train[name][i]) for name in ("source", "target"))


def test_grey_and_colour(tmp_path, capsys):
    for i in range(4):
        save(pixels(16, 16, i)[..., 0], tmp_path / "A" / f"{i}.png")
        save(pixels(16, 16, i), tmp_path / "B" / f"{i}.png")
    keys = {"path": str(tmp_path), "size": 16, "held_out": 1, **STILL}
    data = PairedFolder(**keys).data()
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1
    assert said[0].startswith("ganflow: 4 grey images are converted to colour (A/0.png, A/1.png")
    assert "data.source_channels=1" in said[0]
    red, green, _ = data.train["source"].unbind(1)
    assert torch.equal(red, green)
    kept = PairedFolder(**keys, source_channels=1, target_channels=1).data()
    assert kept.fields["source"].shape == kept.fields["target"].shape == (1, 16, 16)
    assert torch.equal(kept.train["source"][:, 0], red)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("mode", ["L", "P"])
def test_label_maps_become_one_hot(tmp_path, mode):
    for i in range(3):
        values = np.random.default_rng(i).integers(0, 4, (6, 8), dtype=np.uint8)
        image = Image.fromarray(values)
        if mode == "P":
            image.putpalette([200, 0, 0, 0, 200, 0, 0, 0, 200, 9, 9, 9])
        (tmp_path / "B").mkdir(exist_ok=True)
        image.save(tmp_path / "B" / f"{i}.png")
        save(np.repeat(values[..., None], 3, axis=2) * 50, tmp_path / "A" / f"{i}.png")
    keys = {"path": str(tmp_path), "direction": "BtoA", "source_classes": 4, "held_out": 0}
    data = PairedFolder(**keys, size=6, **STILL).data()
    assert data.fields["source"].shape == (4, 6, 6)
    assert set(data.train["source"].unique().tolist()) == {-1, 1}
    shown = ((data.train["target"][:, 0] + 1) * 127.5 / 50).round().int()
    assert torch.equal(data.train["source"].argmax(1).int(), shown)
    larger = PairedFolder(**keys, size=18, **STILL).data()  # nearest: no class between two
    assert torch.equal(larger.train["source"][..., 1::3, 1::3], data.train["source"])
    with pytest.raises(GanflowError, match=r"3 is not in 0 … 2.*raise source_classes") as error:
        PairedFolder(**keys | {"source_classes": 3}, size=6, on_error="skip", **STILL).data()
    assert all(f"B/{i}.png" in str(error.value) for i in range(3))
    with pytest.raises(GanflowError, match=r"A/0\.png \(RGB\), A/1\.png \(RGB\).*leave source_classes out"):
        PairedFolder(**keys | {"direction": "AtoB"}, size=6).data()


# pairs: what is refused


def test_keys_that_do_not_go_together():
    for keys, says in (
        ({"a": "x"}, "together, or neither"),
        ({"a": "x", "b": "y", "layout": "side_by_side"}, "layout: side_by_side has one"),
        ({"crop": "none", "resize": 300}, "resize: needs a crop"),
        ({"resize": 200}, "at least the size"),
        ({"in_memory": "always"}, "in_memory: .*augmented"),
    ):
        with pytest.raises(ValueError, match=says):
            PairedFolder(path="x", **keys)


def test_names_that_do_not_match_are_listed(tmp_path):
    two_folders(tmp_path)
    (tmp_path / "B" / "03.png").unlink()
    for i in range(14):
        save(pixels(), tmp_path / "B" / f"x{i:02}.png")
    with pytest.raises(GanflowError) as error:
        PairedFolder(path=str(tmp_path)).data()
    text = str(error.value)
    assert "A has 03.png, not in B" in text
    assert "B has x00.png, x01.png" in text
    assert "x09.png and 4 more, not in A" in text


def test_one_name_twice(tmp_path):
    two_folders(tmp_path)
    save(pixels(), tmp_path / "A" / "02.jpg")
    with pytest.raises(GanflowError, match=r"A has several images of the same name, up to the extension: 02\.jpg; keep one"):
        PairedFolder(path=str(tmp_path)).data()


def test_sizes_that_differ_are_listed(tmp_path):
    two_folders(tmp_path)
    for i in (1, 4):
        save(pixels(20, 20), tmp_path / "B" / f"{i:02}.png")
    with pytest.raises(GanflowError, match=r"A/01\.png \(41 × 30\) and B/01\.png \(20 × 20\), A/04\.png .*one size"):
        PairedFolder(path=str(tmp_path)).data()


def test_odd_widths_are_named(tmp_path):
    side_by_side(tmp_path)
    save(pixels(41, 30), tmp_path / "05.png")
    with pytest.raises(GanflowError, match=r"odd width, and no two halves: 05\.png \(41 pixels\)"):
        PairedFolder(path=str(tmp_path)).data()


def test_folders_that_are_missing_or_empty(tmp_path):
    def refused(says, **keys):
        with pytest.raises(GanflowError, match=says):
            PairedFolder(**{"path": str(tmp_path)} | keys).data()

    refused("there is no .*absent", path=str(tmp_path / "absent"))
    refused(r"no images in .*; side-by-side images lie there or in train, two folders are named with a: and b:")
    refused("neither folders A and B nor trainA and trainB", layout="two_folders")
    two_folders(tmp_path, count=2)
    for file in (tmp_path / "B").iterdir():
        file.unlink()
    refused("no images in .*B or below")
    (tmp_path / "B").rmdir()
    refused("there is no folder .*B")
    refused("there is no folder .*maps", a="A", b="maps")
    refused("no images in", layout="side_by_side")


def test_all_unreadable_images_are_named(tmp_path):
    two_folders(tmp_path)
    (tmp_path / "A" / "01.png").write_text("no image")
    (tmp_path / "B" / "02.png").write_text("none either")
    with pytest.raises(GanflowError, match=r"cannot read 2 images in .*A/01\.png \(not an image\), B/02\.png .*\.on_error=skip"):
        PairedFolder(path=str(tmp_path)).data()


@pytest.mark.parametrize("in_memory", ["auto", "never"])
def test_unreadable_images_are_left_out_with_their_partners(tmp_path, in_memory, capsys):
    two_folders(tmp_path)
    (tmp_path / "A" / "01.png").write_text("no image")
    damage(tmp_path / "B" / "02.png")  # its header can be read
    keys = {"path": str(tmp_path), "size": 16, "held_out": 0, "in_memory": in_memory, **STILL}
    data = PairedFolder(**keys, on_error="skip").data()
    batches = drawn(data, 6, 3)
    assert all(torch.allclose(b["source"], -b["target"], atol=0.02) for b in batches)
    assert sorted(data.skipped) == ["A/01.png", "B/02.png"]
    seen = data.preview(8)["source"]  # the files' sizes are those of the pairs that are there
    assert len(seen.examples) == 6
    assert [original.size for original in seen.originals] == [(40 + i, 30) for i in (0, 3, 4, 5, 6, 7)]
    said = capsys.readouterr().err.splitlines()
    assert sum("left out" in line for line in said) == 2
    (tmp_path / "A" / "01.png").unlink()
    (tmp_path / "B" / "01.png").unlink()
    with pytest.raises(GanflowError, match=r"cannot read 1 image in .*B/02\.png"):
        drawn(PairedFolder(**keys).data(), 7, 1)
    with pytest.raises(GanflowError, match=r"cannot read 1 image in .*B/02\.png"):
        PairedFolder(**keys).data().preview(7)


def test_nothing_that_can_be_read(tmp_path):
    two_folders(tmp_path, count=3)
    for file in (tmp_path / "A").iterdir():
        file.write_text("no image")
    with pytest.raises(GanflowError, match="none of the pairs"):
        PairedFolder(path=str(tmp_path), on_error="skip").data()


# unpaired


def test_domains_of_the_papers_layout(tmp_path):
    data = UnpairedFolder(path=str(unpaired(tmp_path, test=(3, 2))), size=8, **STILL).data()
    assert isinstance(data, TensorData)
    assert not data.paired
    assert not data.aligned
    assert {name: len(images) for name, images in data.train.items()} == {"a": 5, "b": 9}
    assert {name: len(images) for name, images in data.held_out.items()} == {"a": 2, "b": 2}  # cut to the shorter
    assert shown(data.train["a"]) == [10, 20, 30, 40, 50]
    share = UnpairedFolder(path=str(unpaired(tmp_path / "other")), size=8, held_out=2, **STILL).data()
    assert {name: len(images) for name, images in share.train.items()} == {"a": 3, "b": 7}
    for name in "ab":
        assert not set(shown(share.train[name])) & set(shown(share.held_out[name]))


def shown(images):
    """The grey of each image of `unpaired`, as it was saved."""
    return ((images[:, 0, 0, 0] + 1) * 127.5).round().int().tolist()


@pytest.mark.parametrize(("a", "b", "larger"), [(5, 9, "b"), (9, 5, "a")])
def test_an_epoch_holds_each_image_of_the_larger_domain_once(tmp_path, a, b, larger):
    data = UnpairedFolder(path=str(unpaired(tmp_path, a, b)), size=8, held_out=0).data()
    assert isinstance(data, StreamData)
    assert not data.aligned
    assert data.size == 9
    epochs = drawn(data, 9, 4)
    base = 100 if larger == "b" else 0
    for epoch in epochs:
        assert sorted(shown(epoch[larger][0])) == [base + 10 * (i + 1) for i in range(9)]
    other = [shown(epoch["a" if larger == "b" else "b"][0]) for epoch in epochs]
    assert len({grey for greys in other for grey in greys}) == 5
    partners = {tuple(sorted(zip(shown(e[larger][0]), o, strict=True))) for e, o in zip(epochs, other, strict=True)}
    assert len(partners) == 4  # drawn anew in every epoch


def test_channels_of_either_domain(tmp_path, capsys):
    unpaired(tmp_path)
    save(np.full((12, 12), 40, np.uint8), tmp_path / "trainA" / "0.png")
    data = UnpairedFolder(path=str(tmp_path), size=8, b_channels=1, **STILL).data()
    assert (data.fields["a"].shape, data.fields["b"].shape) == ((3, 8, 8), (1, 8, 8))
    said = capsys.readouterr().err
    assert said == "ganflow: 1 grey image is converted to colour (trainA/0.png); data.a_channels=1 makes all of them grey\n"


def test_domains_that_are_missing_or_empty(tmp_path):
    unpaired(tmp_path)
    for file in (tmp_path / "trainB").iterdir():
        file.unlink()
    with pytest.raises(GanflowError, match=r"no images in .*trainB"):
        UnpairedFolder(path=str(tmp_path)).data()
    (tmp_path / "trainB").rmdir()
    with pytest.raises(GanflowError, match=r"there is no folder .*trainB; unpaired images lie in trainA and trainB"):
        UnpairedFolder(path=str(tmp_path)).data()


def test_a_partner_that_cannot_be_read_is_replaced(tmp_path, capsys):
    unpaired(tmp_path, 4, 9)
    for file in (tmp_path / "trainA" / "1.png", tmp_path / "trainB" / "2.png"):
        file.write_bytes(file.read_bytes()[:45])  # its header can be read
    keys = {"path": str(tmp_path), "size": 8, "held_out": 0}
    data = UnpairedFolder(**keys, on_error="skip").data()
    (batch,) = drawn(data, 32, 1)
    assert set(shown(batch["a"][0])) == {10, 30, 40}
    assert set(shown(batch["b"][0])) == {110, 120} | set(range(140, 200, 10))
    assert sorted(data.skipped) == ["trainA/1.png", "trainB/2.png"]
    assert capsys.readouterr().err.count("left out") == 2
    with pytest.raises(GanflowError, match="cannot read 1 image"):
        drawn(UnpairedFolder(**keys).data(), 32, 1)
    resident = UnpairedFolder(**keys, on_error="skip", **STILL).data()
    assert (len(resident.train["a"]), len(resident.train["b"])) == (3, 8)


# the order


@pytest.mark.parametrize("kind", ["paired", "unpaired"])
def test_augmented_folders_resume_in_mid_epoch(tmp_path, kind):
    path = str(two_folders(tmp_path) if kind == "paired" else unpaired(tmp_path))

    def new():
        return feed((PairedFolder if kind == "paired" else UnpairedFolder)(path=path, size=8, held_out=0).data(), 3, seed=5)

    with closing(new()) as whole, closing(new()) as first, closing(new()) as second:
        expected = [whole.draw(2) for _ in range(5)]
        for e in expected[:2]:
            assert_same(first.draw(2), e)
        second.load_state(first.state())
        for e in expected[2:]:
            assert_same(second.draw(2), e)


def assert_same(drawn, expected):
    assert drawn.keys() == expected.keys()
    assert all(torch.equal(drawn[name], expected[name]) for name in drawn)
