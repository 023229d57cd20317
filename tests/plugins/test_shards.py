"""Shards of samples in tar and parquet files: what counts as a sample, the shuffle, and going on exactly."""

import io
import itertools
import os
import tarfile

import numpy as np
import pytest
import torch
from ganflow_data import Shards
from ganflow_layers.streams import Walk
from PIL import Image

from ganflow.engine.feed import feed
from ganflow.engine.state import flatten, unflatten
from ganflow.errors import GanflowError

PER_SHARD = 20


def picture(level):
    """Bytes of a PNG of one level of grey."""
    file = io.BytesIO()
    Image.new("L", (8, 8), level).save(file, "PNG")
    return file.getvalue()


def add(archive, name, content):
    member = tarfile.TarInfo(name)
    member.size = len(content)
    archive.addfile(member, io.BytesIO(content))


def write_tars(folder, shards=3, per_shard=PER_SHARD):
    """Samples whose level of grey is their number, and whose class is odd or even."""
    for shard in range(shards):
        with tarfile.open(folder / f"train-{shard}.tar", "w") as archive:
            for i in range(shard * per_shard, (shard + 1) * per_shard):
                add(archive, f"some/{i:04}.png", picture(i))
                add(archive, f"some/{i:04}.cls", b"%d\n" % (i % 2))
    return folder


def write_parquet(folder, shards=3, per_shard=PER_SHARD, metadata=None):
    parquet, pa = pytest.importorskip("pyarrow.parquet"), pytest.importorskip("pyarrow")
    for shard in range(shards):
        rows = range(shard * per_shard, (shard + 1) * per_shard)
        images = [{"bytes": picture(i), "path": "/etc/passwd"} for i in rows]
        table = pa.table({"id": list(rows), "img": images, "label": [i % 2 for i in rows]})
        parquet.write_table(table.replace_schema_metadata(metadata), folder / f"train-{shard}.parquet", row_group_size=7)
    return folder


def built(folder, **keys):
    return Shards(**{"path": str(folder), "size": 8, "channels": 1, "held_out": 4, "shuffle": 16, **keys}).data()


def levels(images):
    return ((images.flatten(1)[:, 0] + 1) * 127.5).round().int().tolist()


def epoch(data):
    return levels(torch.stack([item["real"] for item in data]))


@pytest.fixture(params=[write_tars, write_parquet], ids=["tar", "parquet"])
def folder(request, tmp_path):
    return request.param(tmp_path)


def test_every_sample_comes_once_an_epoch_and_held_out_ones_never(folder):
    data = built(folder)
    assert data.size is None
    assert levels(data.held_out["real"][:]) == [0, 1, 2, 3]
    first, second = epoch(data), epoch(data)
    assert sorted(first) == sorted(second) == list(range(4, 60))
    assert first != second
    assert epoch(built(folder)) == first
    assert epoch(built(folder, seed=1)) != first
    assert epoch(built(folder, shuffle=0)) == list(range(4, 60))


def test_a_buffer_mixes_shards(tmp_path):
    mixed = epoch(built(write_tars(tmp_path), shuffle=30))
    distances = [abs(b - a) for a, b in itertools.pairwise(mixed)]
    assert np.mean(distances) > 10  # as they lie it is one, but between shards


@pytest.mark.parametrize("drawn", [0, 1, 37, 56, 70, 112, 150])
def test_a_checkpoint_at_any_sample_goes_on_exactly(folder, drawn):
    def source():
        return feed(built(folder, flip=True, crop="random", resize=9, classes=["even", "odd"]), 1, 0)

    first, other = source(), source()
    for _ in range(drawn):
        first.draw(1)
    tensors = {}
    kept = flatten(first.state(), "feed", tensors)
    wanted = [first.draw(1) for _ in range(70)]
    other.load_state(unflatten(kept, tensors))
    for batch in wanted:
        again = other.draw(1)
        assert all(torch.equal(batch[name], again[name]) for name in batch)


def test_the_state_is_references(folder):
    data = built(folder, shuffle=32)
    iterator = iter(data)
    for _ in range(8):
        next(iterator)
    state = data.state_dict()
    assert state["walk"]["buffer"].numel() <= 2 * 32
    assert torch.stack([next(iterator)["real"] for _ in range(3)]).shape == (3, 1, 8, 8)


def test_a_walk_keeps_its_buffer_by_shard_and_position(tmp_path):
    from ganflow_data.tars import Tars
    from ganflow_layers.omissions import Omissions

    files = sorted(write_tars(tmp_path).iterdir())
    walk = Walk(Tars(files, Omissions("", True)), 16, 0, (0, 0))
    samples = walk.epoch_samples()
    for _ in range(25):
        next(samples)
    kept, other = walk.state(), Walk(Tars(files, Omissions("", True)), 16, 0, (0, 0))
    other.load(kept)
    assert [s.name for s in samples] == [s.name for s in other.epoch_samples()]
    assert len(kept["buffer"]) == 15


def test_labels_by_number_by_name_and_from_datasets(tmp_path):
    data = built(write_tars(tmp_path), classes=["even", "odd"])
    assert data.fields["label"].classes == ("even", "odd")
    assert all(int(item["label"]) == levels(item["real"][None])[0] % 2 for item in data)
    assert "label" not in built(tmp_path).fields  # their names are not known
    assert data.held_out["label"][:].tolist() == [0, 1, 0, 1]


def test_names_of_classes_in_parquet(tmp_path):
    said = b'{"info": {"features": {"label": {"names": ["even", "odd"], "_type": "ClassLabel"}}}}'
    data = built(write_parquet(tmp_path, metadata={b"huggingface": said}))
    assert data.fields["label"].classes == ("even", "odd")


def test_only_regular_members_count_and_nothing_is_written(tmp_path):
    inside = tmp_path / "in"
    inside.mkdir()
    with tarfile.open(inside / "a.tar", "w") as archive:
        for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.DIRTYPE):
            member = tarfile.TarInfo("evil.png")
            member.type, member.linkname = kind, "/etc/passwd"
            archive.addfile(member)
        add(archive, "../../escaped.png", picture(7))
        add(archive, "/absolute.png", picture(8))
        add(archive, "x.png", picture(9))
    data = built(inside, held_out=1, shuffle=0)
    assert levels(data.held_out["real"][:]) + epoch(data) == [7, 8, 9]
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["a.tar", "in"]


def test_broken_members_are_named_and_counted(tmp_path, capsys):
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        for i in range(30):
            add(archive, f"{i}.png", b"junk" if i in (5, 11, 20) else picture(i))
            add(archive, f"{i}.cls", b"9" if i == 6 else b"1")
    data = built(tmp_path, classes=["a", "b"], held_out=6)
    assert len(epoch(data)) == 30 - 6 - 3
    assert levels(data.held_out["real"][:]) == [0, 1, 2, 3, 4]
    assert len(data.skipped) == 4
    seen = data.preview(24)["real"]
    assert len(seen.examples) == len(seen.originals) == 30 - 6 - 3
    said = capsys.readouterr().err
    assert "left out a.tar: 11: not an image" in said
    assert "left out a.tar: 6: 'cls' is 9, none of the 2 classes" in said
    with pytest.raises(GanflowError, match=r"a\.tar: "):
        epoch(built(tmp_path, on_error="refuse"))
    with pytest.raises(GanflowError, match=r"cannot read .*a\.tar: "):
        built(tmp_path, on_error="refuse").preview(30)


def test_a_tar_that_was_cut_off_gives_what_it_has(tmp_path, capsys):
    whole = (write_tars(tmp_path, shards=1) / "train-0.tar").read_bytes()
    (tmp_path / "train-0.tar").write_bytes(whole[: len(whole) // 2 + 700])
    data = built(tmp_path, shuffle=0)
    there = epoch(data)
    assert there == list(range(4, 4 + len(there)))
    assert len(there) < PER_SHARD - 4
    assert data.skipped


def test_a_tar_with_a_damaged_header_is_named(tmp_path, capsys):
    whole = bytearray((write_tars(tmp_path, shards=1) / "train-0.tar").read_bytes())
    at = whole.index(b"some/0012.png")
    whole[at : at + 512] = b"x" * 512
    (tmp_path / "train-0.tar").write_bytes(whole)
    assert epoch(built(tmp_path, shuffle=0)) == list(range(4, 12))
    assert f"the rest of train-0.tar: no header at byte {at}" in capsys.readouterr().err


def test_what_is_no_file_is_refused_before_anything_is_read(folder, capsys):
    (file, *_) = folder.iterdir()
    os.mkfifo(folder / f"pipe{file.suffix}")
    with pytest.raises(GanflowError, match=r"read pipe\.\w+ \(not a regular file\) in .*; mend it, or .*data.on_error=skip"):
        built(folder, on_error="refuse")
    assert sorted(epoch(built(folder))) == list(range(4, 60))
    assert capsys.readouterr().err.startswith(f"ganflow: left out pipe{file.suffix}: not a regular file\n")
    for shard in folder.glob("train-*"):
        shard.unlink()
    with pytest.raises(GanflowError, match="none of the 1 shards in"):
        built(folder)


def test_a_shard_that_breaks_off_is_refused_where_nothing_is_to_be_skipped(folder):
    last = max(folder.iterdir())
    last.write_bytes(last.read_bytes()[:700])
    with pytest.raises(GanflowError, match=r"cannot read the rest of train-2\.\w+ \(.*\) in .*data.on_error=skip"):
        epoch(built(folder, on_error="refuse", shuffle=0))


def test_a_parquet_file_of_junk_is_refused(tmp_path):
    pytest.importorskip("pyarrow")
    (tmp_path / "a.parquet").write_bytes(b"PAR1" + b"x" * 500 + b"PAR1")
    with pytest.raises(GanflowError, match="cannot read"):
        built(tmp_path)


def test_a_missing_sample_in_a_resume_is_refused(tmp_path):
    data = built(write_tars(tmp_path))
    iterator = iter(data)
    for _ in range(20):
        next(iterator)
    state = data.state_dict()
    state["walk"]["buffer"] = torch.tensor([[0, 10]])
    other = built(tmp_path)
    other.load_state_dict(state)
    with pytest.raises(GanflowError, match="the shards have changed"):
        next(iter(other))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image": "pgn"}, "data.image: samples have no 'pgn'; did you mean 'png'?"),
        ({"label": "cls"}, "data.classes: 'cls' holds labels"),
        ({"held_out": 60}, "leaves nothing of the 60 samples in .* for training; keep fewer: data.held_out=6"),
        ({"path": "nowhere"}, "no .tar or .parquet files"),
    ],
)
def test_mistakes(tmp_path, change, message):
    with pytest.raises(GanflowError, match=message.replace("?", r"\?")):
        built(write_tars(tmp_path), **change)


def test_numbers_whose_meaning_must_be_named(tmp_path):
    file = io.BytesIO()
    Image.fromarray(np.linspace(0, 2, 64, dtype=np.float32).reshape(8, 8)).save(file, "TIFF")
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        for name in ("b", "c"):
            add(archive, f"{name}.tif", file.getvalue())
    with pytest.raises(GanflowError, match=r"data.range: a.tar: [bc] has pixels of 32 bits.*'data.range=\[0, 2\]'$"):
        epoch(built(tmp_path, held_out=1, on_error="skip"))
    assert epoch(built(tmp_path, held_out=1, range=[0, 2])) == [0]
    assert epoch(built(tmp_path, held_out=1, range=[2, 0])) == [255]


def test_a_pattern_one_file_and_a_compressed_one(tmp_path):
    write_tars(tmp_path)
    assert sorted(epoch(built(tmp_path / "train-[12].tar"))) == list(range(24, 60))
    assert sorted(epoch(built(tmp_path / "train-1.tar"))) == list(range(24, 40))
    (tmp_path / "z.tar.gz").write_bytes(b"")
    with pytest.raises(GanflowError, match="compressed"):
        built(tmp_path)
