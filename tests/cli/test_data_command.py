"""`ganflow data`: what a folder's images, or a recipe's data, are."""

import json
import shlex
import tarfile

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def photos(tmp_path):
    """Twenty photographs of which two are the same, in two folders; and a broken one."""
    rng = np.random.default_rng(0)
    for i in range(20):
        folder = tmp_path / "photos" / ("cats" if i % 2 else "dogs")
        folder.mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 255, (40, 30, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{i:02}.png")
    again = tmp_path / "photos" / "cats" / "99.png"
    again.write_bytes((folder / "19.png").read_bytes())
    (folder / "broken.png").write_bytes(b"junk")


def test_a_folder(command, tmp_path, photos):
    code, out, err = command("data", "photos", "data.held_out=0", "data.size=32")
    assert code == 0
    assert "left out photos/cats/broken.png: not an image" in err
    lines = out.splitlines()
    assert lines[:6] == [
        "images (photos)", "  to train on 21", "  held out    0", "  looked at   21",
        "  files       30×40; 3 channels (colour)", "  duplicates  cats/19.png = cats/99.png",
    ]  # fmt: skip
    assert lines[6] == "  left out    cats/broken.png"
    (real,) = [line.split("  ") for line in lines if line.startswith("real")]
    assert "".join(real).split() == ["real", "image", "3×32×32", "-1", "…", "1", "256", "0", "1"] or "3×32×32" in real
    assert "cats 11, dogs 10" in out
    assert "wrote photos-data.png: 16 of 21 examples of photos" in lines  # 8 of each class
    assert lines[-1] == "to train on them: ganflow run photos data.path=photos data.held_out=0 data.size=32 data.on_error=skip"
    with Image.open(tmp_path / "photos-data.png") as picture:
        assert min(picture.size) > 100


def test_a_recipe_as_json(command, tmp_path):
    code, out, _ = command("data", "ring", "--json", "--examine", "50")
    assert code == 0
    about = json.loads(out)
    assert (about["size"], about["held_out"], about["left_out"], about["doubts"]) == (100_000, 10_000, [], [])
    assert [(field["field"], field["kind"], field["shape"]) for field in about["fields"]] == [("real", "points", [2])]
    assert [type(about["fields"][0][key]) for key in ("low", "high", "repeated", "flat")] == [float, float, int, type(None)]
    assert not list(tmp_path.glob("*.png"))


def test_numbers_of_files_and_classes(command, photos):
    code, out, _ = command("data", "photos", "data.size=32", "data.held_out=0", "--json")
    assert code == 0
    real, label = json.loads(out)["fields"]
    assert (real["shape"], real["levels"], real["flat"], real["repeated"]) == ([3, 32, 32], 256, [], 1)
    assert real["duplicates"] == [["cats/19.png", "cats/99.png"]]
    assert (real["files"]["width"], real["files"]["height"], real["clipped"]) == ([30, 30], [40, 40], None)
    assert real["files"]["pixels"] == [{"channels": 3, "mode": "RGB", "count": 21}]
    assert label["classes"] == {"cats": 11, "dogs": 10}


def drawn(path, size=(16, 16)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.effect_noise(size, 90).save(path)


@pytest.mark.parametrize(("names", "component"), [("AB", "pairs"), (("trainA", "trainB"), "unpaired")])
def test_two_domains_are_no_classes(command, tmp_path, names, component):
    for i in range(3):
        drawn(tmp_path / "two" / names[0] / f"{i}.png")
        drawn(tmp_path / "two" / names[1] / f"{i + (component == 'unpaired')}.png")
    code, out, _ = command("data", "two", "data.size=16", "data.held_out=0")
    assert code == 0
    assert out.startswith(f"{component} (two)")
    assert "classes" not in out
    assert "3 examples of each field of two" in out
    assert "ganflow run cyclegan_paper" in out or component == "pairs"


def test_parts_of_a_data_set_are_no_classes(command, tmp_path):
    for part in ("train", "test"):
        drawn(tmp_path / "set" / part / "a.png")
    code, out, err = command("data", "set", "--json")
    assert code == 0
    assert [field["field"] for field in json.loads(out)["fields"]] == ["real"]
    assert "test and train in set are parts of a data set and no classes; data.path=set/train takes one alone" in err


def noisy(folder, *, high=256, kind=np.uint8, shape=(20, 20), count=14):
    rng = np.random.default_rng(0)
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(count):
        Image.fromarray(rng.integers(0, high, shape, dtype=kind)).save(folder / f"{i:02}.png")


def advised(out):
    """The words after `ganflow` of the advice at the end."""
    return shlex.split(out.splitlines()[-1].partition(": ganflow ")[2])


@pytest.mark.parametrize(
    ("name", "change"),
    [("broken", "data.on_error=skip"), ("bit12", "'data.range=[0, 4095]'"), ("corner", "'data.range=[0, 15]'"), ("mixed", "")],
)
def test_the_advice_works_when_typed(command, tmp_path, undrawn, name, change):
    """And what it mends is no longer doubted."""
    if name == "bit12":
        noisy(tmp_path / name, high=4096, kind=np.uint16)
    else:
        noisy(tmp_path / name, high=16 if name == "corner" else 256)
    if name == "mixed":
        noisy(tmp_path / name / "colour", shape=(20, 30, 3))
    elif name == "broken":
        (tmp_path / name / "x.png").write_bytes(b"junk")
    code, out, _ = command("data", name, "data.size=16")
    assert code == 0
    assert out.splitlines()[-1] == f"to train on them: ganflow run photos data.path={name} data.size=16 {change}".rstrip()
    assert "BLACK" not in out
    code, _, err = command(*advised(out), "train.rounds=1", "track.mlflow=false", "generator.width=4", "critic.width=4")
    assert code == 0
    assert "data, field" not in err
    assert f"\ndata images ({name}): " in err


def test_what_a_run_would_refuse_has_no_command_to_train(command, tmp_path, undrawn):
    for i in range(14):
        picture = Image.new("RGBA", (20, 20), (255, 255, 255, 0))  # white ink over nothing: a line that only alpha shows
        picture.paste((255, 255, 255, 255), (i, 2, i + 4, 18))
        (tmp_path / "ink").mkdir(exist_ok=True)
        picture.save(tmp_path / "ink" / f"{i:02}.png")
        (tmp_path / "flat").mkdir(exist_ok=True)
        Image.new("RGB", (20, 20), (10 * i, 50, 60)).save(tmp_path / "flat" / f"{i:02}.png")
    drawn(tmp_path / "one" / "a.png")
    for name in ("flat", "one"):
        code, out, _ = command("data", name)
        assert code == 0
        assert out.splitlines()[-1] == "ganflow run refuses them as they are"
        assert "transparent" not in out
        refused = command.refused("run", "photos", f"data.path={name}")
        assert ("is of one colour: there is nothing to learn" if name == "flat" else "there is 1 image to train on") in refused
    code, out, _ = command("data", "ink")
    assert out.splitlines()[-1] == "ganflow run refuses them as they are; to look again: ganflow data ink data.background=black"
    out = command(*advised(out))[1]
    assert out.splitlines()[-1] == "to train on them: ganflow run photos data.path=ink data.background=black"


def test_flat_and_repeated_pictures_are_named(command, tmp_path):
    noisy(tmp_path / "mine", count=20)
    Image.new("L", (20, 20), 77).save(tmp_path / "mine" / "grey.png")
    real = json.loads(command("data", "mine", "data.held_out=0", "--json")[1])["fields"][0]
    assert (real["flat"], real["duplicates"]) == (["grey.png"], [])
    for i in range(20):  # each twice: some are trained on and held out
        (tmp_path / "mine" / f"{i:02}b.png").write_bytes((tmp_path / "mine" / f"{i:02}.png").read_bytes())
    about = json.loads(command("data", "mine", "data.held_out=10", "--json")[1])
    real = about["fields"][0]
    assert all(a.removesuffix(" (held out)")[:2] == b[:2] for a, b in real["duplicates"])
    assert any(b.endswith(" (held out)") for _, b in real["duplicates"])
    assert any("to train on are held out, too, as a copy" in doubt["text"] for doubt in about["doubts"])


def test_a_sheet_is_never_among_the_data(command, tmp_path, monkeypatch):
    noisy(tmp_path / "ünï [a]")
    np.savez(tmp_path / "ünï [a].npz", images=np.random.default_rng(0).random((20, 16, 16), np.float32))
    assert "wrote ünï [a]-data.png: 13 examples of ünï [a]" in command("data", "ünï [a]")[1]
    assert "wrote ünï [a].npz-data.png" in command("data", "ünï [a].npz")[1]
    monkeypatch.chdir(tmp_path / "ünï [a]")
    out = command("data", ".")[1]
    assert f"replaced {tmp_path}/ünï [a]-data.png: 13 examples" in out
    assert out.splitlines()[-1] == f"to train on them: cd {tmp_path} && ganflow run photos 'data.path=ünï [a]'"
    assert len(list((tmp_path / "ünï [a]").iterdir())) == 14


def test_a_folder_with_a_recipes_name(command, tmp_path):
    noisy(tmp_path / "photos")
    noisy(tmp_path / "plain", count=20)
    code, out, err = command("data", "photos", "data.size=16")
    assert code == 0
    assert "photos is the folder; the recipe of that name: ganflow data photos.yaml" in err
    code, out, err = command("data", "photos", "data.path=plain", "data.size=16")
    assert out.startswith("images (plain)\n")
    assert "photos is the recipe; the folder of that name: ganflow data ./photos" in err
    assert command("data", "./photos", "data.size=16")[1].startswith("images (photos)\n")
    assert "there is no folder my_photos" in command.refused("data", "photos.yaml")


def test_a_name_with_a_dash(command, tmp_path):
    noisy(tmp_path / "-dash")
    code, out, _ = command("data", "--", "-dash", "data.size=16")
    assert code == 0
    assert command("check", *advised(out)[1:], "--build")[0] == 0


def test_labels_beside_pictures_are_named(command, tmp_path):
    noisy(tmp_path / "mine")
    table = [f"{i:02}.png,{'ab'[i % 2]}" for i in range(14)]
    (tmp_path / "mine" / "labels.csv").write_text("\n".join(["file,label", *table]))
    _, out, err = command("data", "mine", "data.size=16")
    assert "mine/labels.csv has labels, which are not used: data.labels=labels.csv takes them as classes" in err
    _, out, err = command("data", "mine", "data.size=16", "data.labels=labels.csv")
    assert "not used" not in err
    assert "a 7, b 6" in out or "a 6, b 7" in out


def test_few_samples_in_shards(command, tmp_path):
    """Fewer are held out than usual, those that are broken are named, and so are labels."""
    noisy(tmp_path / "png", count=20)
    (tmp_path / "png" / "01.png").write_bytes(b"junk")
    (tmp_path / "tars").mkdir()
    with tarfile.open(tmp_path / "tars" / "0.tar", "w") as archive:
        for i in range(20):
            archive.add(tmp_path / "png" / f"{i:02}.png", f"{i:02}.png")
            (tmp_path / "label.cls").write_text(str(i % 2))
            archive.add(tmp_path / "label.cls", f"{i:02}.cls")
    code, out, err = command("data", "tars")
    assert code == 0
    assert "  to train on 18\n  held out    1\n" in out
    assert "left out 0.tar: 01: not an image" in err
    assert err.count("have labels ('cls'), which are not used: data.classes says") == 1
    assert "data.held_out=2" in advised(out)
    assert command("check", *advised(out)[1:], "--build")[0] == 0
    assert "cat 9, dog 9" in command("data", "tars", "data.classes=[cat, dog]")[1]


@pytest.mark.parametrize("name", ["a.npy", "a.npz", "tars"])
def test_arrays_and_shards(command, tmp_path, name):
    """As they are typed; and the command that trains on them is one that is understood."""
    images = np.random.default_rng(0).integers(0, 255, (20, 32, 32, 3), dtype=np.uint8)
    if name == "tars":
        (tmp_path / "tars").mkdir()
        with tarfile.open(tmp_path / "tars" / "0.tar", "w") as archive:
            for i, image in enumerate(images):
                Image.fromarray(image).save(tmp_path / "image.png")
                archive.add(tmp_path / "image.png", f"{i}.png")
    elif name == "a.npy":
        np.save(tmp_path / name, images)
    else:
        np.savez(tmp_path / name, images=images)
    code, out, _ = command("data", name, "data.held_out=2")
    assert code == 0
    assert "looked at   18" in out
    trained = out.splitlines()[-1].partition("to train on them: ganflow run ")[2]
    assert command("check", *shlex.split(trained), "--build")[0] == 0
    refused = command.refused("check", "photos", f"data.path={name}", "--build")
    assert "'data={use: " in refused


def test_sentences_are_shown(command, tmp_path):
    for i in range(3):
        drawn(tmp_path / "told" / f"{i}.png")
        (tmp_path / "told" / f"{i}.txt").write_text("grey noise, all over\n" * (i + 1))
    section = "data={use: captioned_folder, path: told, size: 16, held_out: 0, encoder: {use: bag_of_words}}"
    code, out, _ = command("data", "wgan", section)
    assert code == 0
    assert "wrote wgan-data.png: 3 examples of wgan" in out
    with Image.open(tmp_path / "wgan-data.png") as picture:
        assert picture.width > 3 * 2 * 64  # pictures of 64 pixels and their sentences


@pytest.mark.parametrize(
    ("table", "lines"),
    [
        ("results.csv", ["image,caption", *(f'{i}.png,"grey noise, all over"' for i in range(3))]),
        ("notes.jsonl", [json.dumps({"file": f"{i}.png", "text": "grey noise"}) for i in range(3)]),
        ("captions.txt", [f"{i}.png#0\tgrey noise" for i in range(3)]),
        ("flickr.token", [f"{i}.png#0\tgrey noise" for i in range(3)]),
        ("", []),
    ],
)
def test_a_folder_with_captions(command, tmp_path, table, lines):
    """A table, or a text beside each picture; and the command that trains on them is one that is understood."""
    for i in range(3):
        drawn(tmp_path / "noise" / f"{i}.png")
        if not table:
            (tmp_path / "noise" / f"{i}.txt").write_text("grey noise")
    if table:
        (tmp_path / "noise" / table).write_text("\n".join(lines))
    code, out, _ = command("data", "noise", "data.held_out=0")
    assert code == 0
    assert out.startswith("captioned (noise)\n")
    assert "3 examples of noise" in out
    trained = out.splitlines()[-1].partition("to train on them: ganflow run ")[2]
    assert "encoder" not in trained  # the quick one is for the picture alone
    assert command("check", *shlex.split(trained))[0] == 0


@pytest.mark.parametrize(("table", "text"), [("labels.csv", "file,label\n0.png,text\n"), ("notes.txt", "a caption"),
                                             ("runs.jsonl", '{"file": "0.png", "label": "text"}')])  # fmt: skip
def test_other_tables_are_no_captions(command, tmp_path, table, text):
    drawn(tmp_path / "noise" / "0.png")
    (tmp_path / "noise" / table).write_text(text)
    code, out, _ = command("data", "noise", "data.held_out=0")
    assert code == 0
    assert out.startswith("images (noise)")


def test_classes_below_one_folder(command, tmp_path):
    """As CUB_200_2011 has them: the folder has no classes, and the one that has them is named."""
    for name in ("images/wren/a.png", "images/crow/b.png"):
        drawn(tmp_path / "my birds" / name)
    code, out, err = command("data", "my birds", "data.held_out=0", "--json")
    assert code == 0
    assert [field["field"] for field in json.loads(out)["fields"]] == ["real"]
    assert "all images in my birds lie in images, so that there are no classes; 'data.path=my birds/images' has 2" in err
    code, out, err = command("data", "my birds", "data.path=my birds/images", "data.held_out=0", "--json")
    assert json.loads(out)["fields"][1]["classes"] == {"crow": 1, "wren": 1}
    assert "no classes" not in err


def test_what_is_doubtful(command, tmp_path):
    (tmp_path / "grey").mkdir()
    Image.new("L", (20, 20), 77).save(tmp_path / "grey" / "a.png")
    code, out, _ = command("data", "grey", "--json", "-o", "seen.png")
    assert code == 0
    assert [doubt["certain"] for doubt in json.loads(out[: out.rindex("}") + 1])["doubts"]] == [True, True]
    assert (tmp_path / "seen.png").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nowhere"], "there is no recipe, no folder and no file called 'nowhere'"),
        (["wgann"], "called 'wgann'; did you mean 'wgan'"),
        (["my photos/a.png"], "my photos/a.png is a picture; name the folder that it lies in: ganflow data 'my photos'"),
        (["mk.py"], "mk.py is neither a recipe (.yaml, .yml, .json) nor pictures: a folder of images or shards"),
        (["six.npy"], "if it is images of 6 channels: data.layout=nchw"),
        (["my photos", "-o", "my photos/seen.png"], "my photos/seen.png would lie among the data, and be one of them"),
        (["empty"], "no images in empty or below, there are no files"),
        (["ring", "-o", "x.jpg"], "x.jpg"),
        (["ring", "data.nothing=1"], "unknown key 'nothing' in data"),
    ],
)
def test_refused(command, tmp_path, words, said):
    (tmp_path / "empty").mkdir()
    (tmp_path / "my photos").mkdir()
    Image.new("L", (8, 8)).save(tmp_path / "my photos" / "a.png")
    (tmp_path / "mk.py").write_text("print()")
    np.save(tmp_path / "six.npy", np.zeros((4, 6, 8, 8), np.float32))
    assert said in command.refused("data", *words)
