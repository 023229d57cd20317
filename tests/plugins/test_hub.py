"""Data sets by the library `datasets`: local folders, parquet and arrow by the code that reads the hub's."""

import io
import os
import socket
import subprocess
import sys

import pytest
import torch
from ganflow_hub import Hub
from ganflow_hub.loading import answers
from ganflow_text.encoders import BagOfWords
from PIL import Image

from ganflow.contract.data import IterableData, StreamData, TensorData
from ganflow.engine.feed import feed
from ganflow.errors import GanflowError, SettingsError
from ganflow.plugins import load_catalogue
from ganflow.testing import check_component

COUNT = 40
STREAM = {"streaming": True, "held_out": 4}


def test_without_the_library_one_sentence_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(GanflowError, match=r"pip install 'ganflow\[hub\]'"):
        Hub(path="uoft-cs/cifar10").data()


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"columns": {"real": "img", "source": "x"}}, "no fields that go together"),
        ({"columns": {"real": "img", "text": "t"}, "streaming": True}, "need all examples"),
        ({"held_out_split": "test", "streaming": True}, "leave held_out_split out"),
    ],
)
def test_keys_that_do_not_go_together(keys, message):
    with pytest.raises((ValueError, SettingsError), match=message):
        Hub(path="x/y", **keys)


def test_code_of_a_data_set_is_never_trusted():
    from pathlib import Path

    import ganflow_hub

    sources = "".join(file.read_text() for file in Path(ganflow_hub.__file__).parent.glob("*.py"))
    assert "trust_remote_code" not in sources


@pytest.fixture
def datasets(monkeypatch, tmp_path):
    library = pytest.importorskip("datasets")
    monkeypatch.setattr(library.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("GANFLOW_CACHE", str(tmp_path / "ganflow"))
    return library


def picture(level, size=(8, 8)):
    file = io.BytesIO()
    Image.new("L", size, level).save(file, "PNG")
    return {"bytes": file.getvalue(), "path": None}


@pytest.fixture
def table(datasets):
    features = datasets.Features({
        "img": datasets.Image(), "kind": datasets.ClassLabel(names=["even", "odd"]), "number": datasets.Value("int64"),
        "says": datasets.Value("string"), "several": datasets.Sequence(datasets.Value("string")),
    })  # fmt: skip
    columns = {
        "img": [picture(i) for i in range(COUNT)], "kind": [i % 2 for i in range(COUNT)],
        "number": [i % 3 * 10 for i in range(COUNT)], "says": [f"a picture of {i}" for i in range(COUNT)],
        "several": [[f"level {i}", "grey"] for i in range(COUNT)],
    }  # fmt: skip
    return datasets.Dataset.from_dict(columns, features=features)


def parquet(table, folder):
    folder.mkdir()
    table.select(range(30)).to_parquet(str(folder / "train-00000-of-00001.parquet"))
    table.select(range(30, COUNT)).to_parquet(str(folder / "test-00000-of-00001.parquet"))
    return folder


def arrow(table, folder):
    table.select(range(30)).save_to_disk(str(folder))
    return folder


def one_file(table, folder):
    table.select(range(30)).to_parquet(f"{folder}.parquet")
    return f"{folder}.parquet"


def levels(images):
    return ((images[:].flatten(1)[:, 0] + 1) * 127.5).round().int().tolist()


def built(path, **keys):
    return Hub(**{"path": str(path), "size": 8, "channels": 1, **keys}).data()


@pytest.mark.parametrize("write", [parquet, arrow, one_file])
def test_images_and_classes_of_local_tables(table, tmp_path, write):
    path = write(table, tmp_path / "there")
    data = built(path, held_out=4)
    assert isinstance(data, TensorData)
    assert data.fields["label"].classes == ("even", "odd")
    assert sorted(levels(data.train["real"]) + levels(data.held_out["real"])) == list(range(30))
    assert [level % 2 for level in levels(data.train["real"])] == data.train["label"].tolist()
    streamed = built(path, held_out=4, budget=0)
    assert isinstance(streamed, StreamData)
    assert streamed.fields == data.fields
    assert [streamed.load(i, None)["real"][0, 0, 0] for i in range(26)] == data.train["real"][:, 0, 0, 0].tolist()
    assert streamed.fingerprint() == built(path, held_out=4, budget=0).fingerprint()


@pytest.mark.parametrize("drawn", [0, 17, 26, 40])
def test_streaming_comes_once_an_epoch_and_resumes_exactly(table, tmp_path, drawn):
    path = parquet(table, tmp_path / "there")
    keys = {"streaming": True, "held_out": 4, "shuffle": 8}
    data = built(path, **keys)
    assert isinstance(data, IterableData)
    assert levels(data.held_out["real"]) == [0, 1, 2, 3]
    first = levels(torch.stack([item["real"] for item in data]))
    assert sorted(first) == list(range(4, 30))
    going, resumed = (feed(built(path, **keys), 1, 0) for _ in range(2))
    for _ in range(drawn):
        going.draw(1)
    resumed.load_state(going.state())
    for _ in range(30):
        a, b = going.draw(1), resumed.draw(1)
        assert all(torch.equal(a[name], b[name]) for name in a)


def test_held_out_split(table, tmp_path):
    data = built(parquet(table, tmp_path / "there"), held_out_split="test")
    assert sorted(levels(data.held_out["real"])) == list(range(30, 40))
    assert data.size == 30
    assert len(built(tmp_path / "there", held_out_split="test", held_out=3).held_out["real"]) == 3


def test_labels_without_names_are_the_values_there_are(table, tmp_path):
    data = built(parquet(table, tmp_path / "there"), columns={"real": "img", "label": "number"})
    assert data.fields["label"].classes == ("0", "10", "20")
    assert [level % 3 for level in levels(data.train["real"])] == data.train["label"].tolist()
    with pytest.raises(GanflowError, match="does not say the names of its classes"):
        built(tmp_path / "there", columns={"real": "img", "label": "number"}, streaming=True)


@pytest.mark.parametrize("column", ["says", "several"])
def test_captions(table, tmp_path, column):
    encoder = BagOfWords(words=64)
    data = built(parquet(table, tmp_path / "there"), columns={"real": "img", "text": column}, held_out=5, encoder=encoder)
    assert data.fields["text"].kind == "embedding"
    item = data.load(3, torch.Generator().manual_seed(0))
    said = data.sentences[3]
    assert said[0].split()[-1] == str(levels(item["real"][None])[0])
    assert len(said) == (2 if column == "several" else 1)
    assert data.held_out["real"][:].shape == (5, 1, 8, 8)
    assert [s.split()[-1] for s in data.held_out_sentences] == [str(level) for level in levels(data.held_out["real"])]


@pytest.fixture
def pairs(datasets, tmp_path):
    noise = [Image.effect_noise((20, 14), 90) for _ in range(12)]
    images = {"imageA": noise, "imageB": [image.point(lambda v: 255 - v) for image in noise]}
    table = datasets.Dataset.from_dict(images, features=datasets.Features(dict.fromkeys(images, datasets.Image())))
    folder = tmp_path / "pairs"
    folder.mkdir()
    table.to_parquet(str(folder / "train.parquet"))
    return folder


def test_pairs_are_cut_alike(pairs):
    data = built(pairs, columns={"source": "imageA", "target": "imageB"}, crop="random", flip=True, resize=12, held_out=2)
    for seed in range(8):
        item = data.load(3, torch.Generator().manual_seed(seed))
        assert torch.allclose(item["source"], -item["target"], atol=0.03)
    assert not torch.equal(item["source"], data.load(3, torch.Generator().manual_seed(0))["source"])
    assert torch.allclose(data.held_out["source"][:], -data.held_out["target"][:], atol=0.03)


def test_two_domains_do_not_belong_together(pairs):
    data = built(pairs, columns={"a": "imageA", "b": "imageB"}, held_out=2, flip=True)
    assert not data.aligned
    items = [data.load(3, torch.Generator().manual_seed(seed)) for seed in range(8)]
    assert len({item["b"].numpy().tobytes() for item in items}) > 3


def test_an_unknown_column_or_split_is_guessed(table, tmp_path):
    path = parquet(table, tmp_path / "there")
    with pytest.raises(GanflowError, match=r"data.columns: label: there is no 'knd'; did you mean 'kind'"):
        built(path, columns={"real": "img", "label": "knd"})
    with pytest.raises(GanflowError, match=r"data.split: there is no 'tset'; did you mean 'test'"):
        built(path, split="tset")


def test_a_path_in_a_table_is_not_followed(datasets, tmp_path):
    Image.new("L", (8, 8), 7).save(tmp_path / "secret.png")
    folder = tmp_path / "there"
    folder.mkdir()
    rows = {"img": [{"bytes": None, "path": str(tmp_path / "secret.png")}] * 3 + [picture(i) for i in range(9)]}
    schema = datasets.Features({"img": {"bytes": datasets.Value("binary"), "path": datasets.Value("string")}})
    datasets.Dataset.from_dict(rows, features=schema).cast_column("img", datasets.Image()).to_parquet(str(folder / "x.parquet"))
    with pytest.raises(GanflowError, match=r"row 0 \(column 'img' has no image in it\), row 1"):
        built(folder, held_out=0)
    data = built(folder, held_out=0, on_error="skip")
    assert levels(data.train["real"]) == list(range(9))
    assert len(data.skipped) == 3


def test_a_folder_of_images_by_class(datasets, tmp_path):
    for name in ("cat", "dog"):
        (tmp_path / "imgs" / name).mkdir(parents=True)
        for i in range(4):
            Image.new("L", (8, 8), 100 * (name == "dog") + i).save(tmp_path / "imgs" / name / f"{i}.png")
    data = built(tmp_path / "imgs", held_out=0)
    assert data.fields["label"].classes == ("cat", "dog")
    assert sorted(levels(data.train["real"])) == [0, 1, 2, 3, 100, 101, 102, 103]
    assert [level >= 100 for level in levels(data.train["real"])] == data.train["label"].bool().tolist()


def test_a_changed_table_has_another_fingerprint(table, tmp_path):
    path = parquet(table, tmp_path / "there")
    before = built(path, budget=0).fingerprint()
    changed = table.select(range(30)).map(lambda row, i: {"img": picture(99) if i == 7 else row["img"]}, with_indices=True)
    changed.to_parquet(str(path / "train-00000-of-00001.parquet"))
    assert built(path, budget=0).fingerprint() != before


def test_the_hub_is_away(datasets, monkeypatch):
    def away(*arguments, **named):
        assert "trust_remote_code" not in named
        raise ConnectionError("Couldn't reach the Hub\nsecond line")

    monkeypatch.setattr(datasets, "load_dataset", away)
    with pytest.raises(GanflowError, match="where there is a network, run python -c") as error:
        built("uoft-cs/cifar10")
    assert "load_dataset('uoft-cs/cifar10')" in str(error.value)
    assert "second line" not in str(error.value)


def test_whether_the_hub_answers(monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert answers(f"http://127.0.0.1:{port}")
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{port}")
        assert answers("http://nowhere.invalid")  # as far as the proxy
    assert not answers("http://nowhere.invalid")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    assert not answers(f"http://127.0.0.1:{port}")
    assert not answers("nonsense")


@pytest.mark.slow
def test_offline_one_sentence_comes_at_once(datasets, tmp_path):
    """Where the library is left to itself it asks six times, for half a minute, and prints eleven lines."""
    there = {name: value for name, value in os.environ.items() if not name.lower().endswith("proxy") and "OFFLINE" not in name}
    about = there | {"HF_ENDPOINT": "http://127.0.0.1:9", "HF_HOME": str(tmp_path), "NO_PROXY": "*"}
    asked = "from ganflow.cli.main import main; main(['data', 'hub_cifar10'])"
    command = [sys.executable, "-c", asked]
    said = subprocess.run(command, env=about, cwd=tmp_path, text=True, capture_output=True, timeout=300, check=False).stderr
    assert said.count("\n") == 1
    assert "uoft-cs/cifar10 is not on this machine, and the hub does not give it (no connection" in said


@pytest.mark.parametrize("keys", [{}, {"streaming": True}])
def test_broken_rows_are_refused_with_what_to_type(datasets, tmp_path, keys):
    images = [picture(i) if i not in (5, 7) else {"bytes": b"junk", "path": None} for i in range(12)]
    features = datasets.Features({"img": datasets.Image()})
    datasets.Dataset.from_dict({"img": images}, features=features).to_parquet(str(tmp_path / "x.parquet"))
    says = "row 5 \\(not an image\\)" if keys else "2 images in .*: row 5 \\(not an image\\), row 7 \\(not an image\\);"
    with pytest.raises(GanflowError, match=f"cannot read {says}.*leave such rows out: data.on_error=skip"):
        list(built(tmp_path / "x.parquet", held_out=0, shuffle=0, **keys))


def test_it_keeps_the_contract(table, tmp_path):
    path = str(parquet(table, tmp_path / "there"))
    hub = load_catalogue().find("data", "hub")
    encoder = BagOfWords(words=64)
    for keys in (
        {"budget": 0, "flip": True},
        {"streaming": True, "held_out": 8},
        {"columns": {"real": "img", "text": "says"}, "encoder": encoder},
    ):
        check_component(hub, None, {}, path=path, size=8, **keys)


@pytest.mark.parametrize(
    ("keys", "beside"),
    [
        ({"columns": {"real": "img"}}, {}), ({"split": "test"}, {}), ({"held_out_split": "test"}, {}), ({"shuffle": 0}, STREAM),
        ({"streaming": True}, {"held_out": 4}), ({"seed": 1}, STREAM), ({"size": 9}, {}), ({"resize": 11}, {}),
        ({"crop": "random"}, {"resize": 11}), ({"flip": True}, {}),
        ({"range": [0.0, 100.0]}, {}), ({"range": [0.0, 100.0]}, STREAM), ({"channels": 3}, {}), ({"held_out": 0.5}, {}),
        ({"budget": 0}, {}),
    ],
)  # fmt: skip
def test_every_key_does_something(table, tmp_path, keys, beside):
    """`config` and `revision` are handed to the library; `on_error`, `background` and `encoder` have tests of their own."""
    noise = [{"img": {"bytes": noisy(i), "path": None}} for i in range(COUNT)]
    path = parquet(table.map(lambda row, i: noise[i], with_indices=True), tmp_path / "there")

    def outcome(**more):
        data = built(path, **{**beside, **more})
        source = feed(data, 8, 0)
        drawn = source.draw(1)
        source.close()
        kept = {name: t[:].numpy().tobytes() for name, t in data.held_out.items()}
        return type(data), data.fields, kept, {name: t.numpy().tobytes() for name, t in drawn.items()}

    assert outcome() == outcome()
    assert outcome(**keys) != outcome()


@pytest.mark.parametrize("streaming", [False, True])
def test_what_transparent_pixels_lie_over(datasets, tmp_path, streaming):
    file = io.BytesIO()
    Image.new("RGBA", (8, 8), (255, 255, 255, 0)).save(file, "PNG")
    rows = {"img": [{"bytes": file.getvalue(), "path": None}] * 6}
    schema = datasets.Features({"img": datasets.Image()})
    datasets.Dataset.from_dict(rows, features=schema).to_parquet(str(tmp_path / "clear.parquet"))
    for background, level in (("white", 255), ("black", 0), ("#040404", 4)):
        data = built(tmp_path / "clear.parquet", background=background, held_out=2, streaming=streaming)
        assert levels(data.held_out["real"]) == [level] * 2
    with pytest.raises(ValueError, match="background: white, black, grey"):
        Hub(path="x/y", background="nowhere")


def noisy(seed):
    import numpy as np

    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 255, (12, 14, 3), dtype=np.uint8)).save(file, "PNG")
    return file.getvalue()


def test_config_and_revision_reach_the_library(datasets, monkeypatch, table):
    asked = []
    monkeypatch.setattr(datasets, "load_dataset", lambda *a, **k: (asked.append((a, k)), table)[1])
    built("owner/name", config="small", revision="abc", split="train")
    assert asked == [(("owner/name", "small"), {"split": "train", "revision": "abc", "streaming": False})]
