"""Keys range, background and frames: the same of every component that reads image files."""

import tarfile
from dataclasses import replace

import numpy as np
import pytest
import torch
from ganflow_data import ImageFolder, Shards
from ganflow_hub import Hub
from ganflow_hub.loading import Table
from ganflow_text.data import CaptionedFolder
from ganflow_text.encoders import BagOfWords
from ganflow_translation.data import PairedFolder, UnpairedFolder
from PIL import Image

from ganflow import Original
from ganflow.errors import GanflowError
from ganflow.evaluation.survey import doubts, survey

SLOPE = np.linspace(0, 1, 16)[None, :].repeat(16, 0)
EIGHT = torch.from_numpy((SLOPE * 255).astype(np.uint8) / 127.5 - 1).float()
STILL = {"crop": "centre", "flip": False, "size": 16, "held_out": 0}


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("GANFLOW_CACHE", str(tmp_path / "cache"))


def plain(root, **keys):
    return ImageFolder(path=str(root / "A"), **STILL, **keys).data()


def two(root, **keys):
    return PairedFolder(path=str(root), a="A", b="B", **STILL, **keys).data()


def side_by_side(root, **keys):
    return PairedFolder(path=str(root / "both"), layout="side_by_side", **STILL, **keys).data()


def apart(root, **keys):
    return UnpairedFolder(path=str(root), **STILL, **keys).data()


def captioned(root, **keys):
    for file in (root / "A").glob("*.*"):
        file.with_suffix(".txt").write_text("a slope\na hill\n")
    return CaptionedFolder(path=str(root / "A"), encoder=BagOfWords(), **STILL, **keys).data()


def in_tars(root, **keys):
    with tarfile.open(root / "0.tar", "w") as archive:
        for file in (root / "A").glob("*.*"):
            archive.add(file, f"there/{file.name}")
    return Shards(path=str(root / "0.tar"), **STILL, **keys).data()


def of_the_hub(root, **keys):
    """Rows as the library gives them, without it."""
    rows = [{"img": {"bytes": file.read_bytes(), "path": None}} for file in (root / "A").glob("*.*")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ganflow_hub.loading.opened", lambda *asked: Table(rows, "owner/name", {"real": "img"}, (), ()))
        return Hub(path="owner/name", budget=0, encoder=BagOfWords(), **STILL, **keys).data()


COMPONENTS = {plain: ["real"], two: ["source", "target"], side_by_side: ["source", "target"], apart: ["a", "b"],
              captioned: ["real"]}  # fmt: skip
ALL = {**COMPONENTS, in_tars: ["real"], of_the_hub: ["real"]}
"""Those that find no files by themselves, and have no key frames, included."""


def laid_out(tmp_path, ending, frames):
    """Folders for all components, one file in each; `frames` are Pillow's images."""
    wide = []
    for frame in frames:
        wide.append(Image.new(frame.mode, (32, 16)))
        wide[-1].paste(frame, (0, 0))
        wide[-1].paste(frame, (16, 0))
    for folder in ("A", "B", "trainA", "trainB", "both"):
        (tmp_path / folder).mkdir()
        first, *others = wide if folder == "both" else frames
        first.save(tmp_path / folder / f"x{ending}", **({"save_all": True, "append_images": others} if others else {}))
    return tmp_path


def examples(data, fields):
    rows = None
    if hasattr(data, "load"):
        rows = [data.load(i, torch.Generator().manual_seed(0)) for i in range(data.size)]
    elif data.size is None:
        rows = list(data)
    return {name: torch.stack([row[name] for row in rows]) if rows else data.train[name] for name in fields}


@pytest.mark.parametrize("component", ALL)
def test_range(tmp_path, component):
    root = laid_out(tmp_path, ".png", [Image.fromarray((SLOPE * 4095).astype(np.uint16))])
    for images in examples(component(root, range=[0, 4095]), ALL[component]).values():
        assert torch.allclose(images[0, 0], EIGHT, atol=0.02)
    assert component(root, range=[0, 4095]).fingerprint() != component(root).fingerprint()


@pytest.mark.parametrize("component", ALL)
def test_a_range_that_must_be_named(tmp_path, component):
    root = laid_out(tmp_path, ".tif", [Image.fromarray((SLOPE * 0.5).astype(np.float32))])
    with pytest.raises(GanflowError, match=r"pixels of 32 bits between 0 and 0.5.*'data.range=\[0, 0.5\]'"):
        examples(component(root), ALL[component])
    for images in examples(component(root, range=[0, 0.5]), ALL[component]).values():
        assert torch.allclose(images[0, 0], EIGHT, atol=0.02)


@pytest.mark.parametrize("component", ALL)
def test_background(tmp_path, component):
    clear = np.full((16, 16, 4), 255, np.uint8)
    clear[:, :8, 3] = 0  # white on transparency
    root = laid_out(tmp_path, ".png", [Image.fromarray(clear)])
    for images in examples(component(root, background="black"), ALL[component]).values():
        assert images[0, :, 0, 0].tolist() == [-1, -1, -1]
        assert images[0, :, 0, 15].tolist() == [1, 1, 1]


@pytest.mark.parametrize("component", COMPONENTS)
def test_frames(tmp_path, component, capsys):
    frames = [Image.new("L", (16, 16), level) for level in (0, 102, 204)]
    root = laid_out(tmp_path, ".tif", frames)
    name = ALL[component][0]
    assert component(root, frames="first").size == 1
    assert "2 pages or frames after the first" in (said := capsys.readouterr().err) or "4 pages or frames" in said
    data = component(root, frames="all")
    assert "pages or frames" not in capsys.readouterr().err
    assert data.size == 3
    levels = examples(data, [name])[name][:, 0, 0, 0]
    assert torch.allclose((levels.sort().values + 1) / 2 * 255, torch.tensor([0.0, 102, 204]), atol=0.1)
    assert data.fingerprint() != component(root, frames="first").fingerprint()


def test_frames_of_a_pair_belong_together(tmp_path):
    frames = [Image.new("L", (16, 16), level) for level in (0, 102, 204)]
    root = laid_out(tmp_path, ".tif", frames)
    made = examples(two(root, frames="all"), ["source", "target"])
    assert torch.equal(made["source"], made["target"])
    frames[0].save(root / "B" / "x.tif", save_all=True, append_images=frames[1:2])
    with pytest.raises(GanflowError, match=r"not as many frames each in .*: A/x.tif \(3\) and B/x.tif \(2\)"):
        two(root, frames="all")
    large = Image.new("L", (20, 16))
    frames[0].save(root / "B" / "x.tif", save_all=True, append_images=[large, large])
    with pytest.raises(GanflowError, match=r"B/x.tif \(20 × 16, where A/x.tif has 16 × 16\)"):
        two(root, frames="all")


@pytest.mark.parametrize("component", [ImageFolder, PairedFolder, UnpairedFolder, CaptionedFolder, Shards, Hub])
def test_mistakes(component):
    beside = {"encoder": BagOfWords()} if component in (CaptionedFolder, Hub) else {}
    with pytest.raises(ValueError, match="two different numbers"):
        component(path="x", range=[1.0], **beside)
    with pytest.raises(ValueError, match="background: white, black, grey"):
        component(path="x", background="nowhere", **beside)


@pytest.mark.parametrize("component", ALL)
def test_a_survey_sees_them_as_they_are(tmp_path, component, monkeypatch):
    """Not mirrored, so that pictures that are all the same are found to be so; and what their files have."""
    monkeypatch.setitem(STILL, "flip", True)
    root = laid_out(tmp_path, ".png", [Image.fromarray((SLOPE * 4095).astype(np.uint16))])
    for folder in ("A", "B", "trainA", "trainB", "both"):
        for i in range(12):
            (root / folder / f"{i}.png").write_bytes((root / folder / "x.png").read_bytes())
    data = component(root, range=[0, 2047])
    seen = survey(data)
    for field in ALL[component]:
        part = seen[field]
        assert (len(part.examples), part.repeated) == (13, 12)
        assert all(torch.equal(image, part.examples[0]) for image in part.examples)
        assert [replace(one, name="") for one in part.originals] == [Original((16, 16), 1, "I;16", (0, 4095), 0.5)] * 13
        assert len(set(part.names)) == 13
        assert part.clipped == 0.5
        assert part.override == "data.range=[0, 4095]"
    found = doubts(data, seen, ["range", "background"])
    assert found[0].certain
    assert "all 13 images that were looked at are the same one" in found[0].text


def test_a_range_is_of_all_files(tmp_path):
    """Not of the first one alone, which would clip the others."""
    for i in range(3):
        Image.fromarray((SLOPE * (40 + 90 * i)).astype(np.float32)).save(tmp_path / f"{i}.tif")
    with pytest.raises(GanflowError, match=r"for all of 3 files there: 'data.range=\[0, 255\]'$"):
        ImageFolder(path=str(tmp_path), **STILL).data()
    seen = survey(ImageFolder(path=str(tmp_path), range=[0, 255], **STILL).data())["real"]
    assert seen.clipped == 0
    assert {original.numbers for original in seen.originals} == {(0, 40), (0, 130), (0, 220)}
