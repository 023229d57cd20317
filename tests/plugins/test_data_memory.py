"""Memory that data take: what is on a disk stays there, and no component needs much more than it says."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from ganflow_data import ImageFolder, TensorFile
from ganflow_layers import framing
from ganflow_layers.reading import HeldOut, stacked
from ganflow_translation.data import PairedFolder
from PIL import Image

from ganflow import Field, StreamData, TensorData, in_threads
from ganflow.engine import permutation
from ganflow.engine.feed import feed


def images(folder, count, size):
    folder.mkdir(parents=True)
    noise = np.random.default_rng(0).integers(0, 255, (size, size, 3), dtype=np.uint8)
    for i in range(count):
        Image.fromarray(np.roll(noise, i, 0)).save(folder / f"{i:04}.jpg", quality=30)


def tensor_file(folder):
    array = np.lib.format.open_memmap(folder / "x.npy", "w+", np.uint8, (10_000, 64, 64, 3))  # 123 MB, 490 MB as float32
    array[:] = np.random.default_rng(0).integers(0, 255, (64, 64, 3))
    array.flush()
    return "from ganflow_data import TensorFile as C", {"path": "x.npy"}


def image_folder(folder):
    images(folder / "imgs", 400, 256)  # 315 MB as float32
    return "from ganflow_data import ImageFolder as C", {"path": "imgs", "size": 256}


def always(folder):
    images(folder / "imgs", 400, 256)
    return "from ganflow_data import ImageFolder as C", {"path": "imgs", "size": 256, "in_memory": "always"}


def pairs(folder):
    images(folder / "A", 250, 256)
    images(folder / "B", 250, 256)  # 393 MB as float32
    return "from ganflow_translation.data import PairedFolder as C", {"path": ".", "crop": "centre", "flip": False}


def captions(folder):
    images(folder / "imgs", 400, 256)
    for i in range(400):
        (folder / "imgs" / f"{i:04}.txt").write_text("a picture of noise\n")
    return "from ganflow_text.data import CaptionedFolder as C", {"path": "imgs", "size": 256, "crop": "centre", "flip": False}


MEASURE = """
import json, sys
{component}
import torch
from ganflow.engine.feed import feed
keys = json.loads(sys.argv[1])
if C.__name__ == "CaptionedFolder":
    from ganflow_text.encoders import BagOfWords
    keys["encoder"] = BagOfWords(words=8)
def peak():
    # ru_maxrss would begin with that of the process which started this one
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM")) * 1024
feed(__import__("ganflow_data").Digits().data(), 16, 0).draw(1)
before = peak()
data = C(**keys).data()
data.fingerprint()
source = feed(data, 16, 0)
for _ in range(4):
    source.draw(1)
shown = {{name: t[:8] for name, t in data.held_out.items()}}
print(data.resident_bytes, peak() - before, type(data).__name__)
source.close()
"""


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="needs Linux")
@pytest.mark.parametrize("write", [tensor_file, image_folder, always, pairs, captions])
def test_peak_memory_is_what_data_say_and_300_mb(tmp_path, write):
    """Beside what PyTorch takes with a few digits."""
    component, keys = write(tmp_path)
    found = subprocess.run(
        [sys.executable, "-c", MEASURE.format(component=component), json.dumps(keys)],
        cwd=tmp_path, capture_output=True, text=True, timeout=200, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert found.returncode == 0, found.stderr
    resident, peak, kind = found.stdout.split()
    sys.stderr.write(f"{write.__name__} {kind} says {int(resident) / 1e6:.0f} MB, peak {int(peak) / 1e6:.0f} MB\n")
    assert int(peak) <= 1.5 * int(resident) + 300e6, f"{kind}: {int(peak) / 1e6:.0f} MB, says {int(resident) / 1e6:.0f}"
    if write is always:
        assert int(resident) == 400 * 256 * 256 * 3 * 4
    elif write is not tensor_file:
        assert int(resident) < 10e6


@pytest.mark.parametrize(
    ("array", "keys"),
    [
        (np.random.default_rng(0).integers(0, 256, (40, 6, 5, 3), dtype=np.uint8), {}),
        (np.random.default_rng(0).integers(0, 256, (40, 6, 5), dtype=np.uint8), {}),
        (np.random.default_rng(0).random((40, 1, 6, 5)), {"range": "unit"}),
        (np.asfortranarray(np.random.default_rng(0).random((40, 1, 6, 5)).astype(">f4")), {}),
        (np.random.default_rng(0).random((40, 7)).astype(np.float16), {}),
    ],
)
def test_mapped_examples_are_those_in_memory(tmp_path, array, keys):
    np.save(tmp_path / "x.npy", array)
    np.save(tmp_path / "y.npy", np.arange(40) % 3)
    keys = {"path": str(tmp_path / "x.npy"), "labels": str(tmp_path / "y.npy"), **keys}
    memory, mapped = TensorFile(**keys).data(), TensorFile(**keys, budget=0).data()
    assert isinstance(memory.train["real"], torch.Tensor)
    assert not isinstance(mapped.train["real"], torch.Tensor)
    assert memory.fields == mapped.fields
    assert memory.fingerprint() == mapped.fingerprint()
    for part in ("train", "held_out"):
        a, b = getattr(memory, part), getattr(mapped, part)
        for rows in (slice(None), slice(2, 4), [0, -1], torch.tensor([3, 1])):
            assert all(torch.equal(a[name][rows], b[name][rows]) for name in a)
    assert torch.equal(memory.train["real"][5], mapped.train["real"][5])
    for channels_last in (False, True):
        sources = [feed(data, 8, 0, channels_last=channels_last, dtype=torch.float64) for data in (memory, mapped)]
        a, b = (source.draw(3) for source in sources)
        assert all(torch.equal(a[name], b[name]) for name in a)
        if array.ndim > 2 and channels_last:
            assert b["real"][0].is_contiguous(memory_format=torch.channels_last)
    if array.dtype == np.uint8:
        assert mapped.resident_bytes < memory.resident_bytes / 3


def test_what_a_mapped_file_has_no_room_for_is_said(tmp_path):
    array = np.zeros((30, 5), np.float32)
    array[7, 2] = np.nan
    np.save(tmp_path / "x.npy", array)
    with pytest.raises(Exception, match="NaN or infinite values in 1 examples, the first at index 7"):
        TensorFile(path=str(tmp_path / "x.npy"), budget=0).data()


@pytest.fixture
def decoded(monkeypatch):
    """How many images have been decoded."""
    count = []
    real = framing.Framing.cut
    monkeypatch.setattr(framing.Framing, "cut", lambda *a, **k: (count.append(1), real(*a, **k))[1])
    return count


def test_a_sheet_of_8_pairs_decodes_8(tmp_path, decoded):
    images(tmp_path / "A", 30, 8)
    images(tmp_path / "B", 30, 8)
    data = PairedFolder(path=str(tmp_path), size=8, held_out=20).data()
    assert not decoded
    shown = {name: examples[:8] for name, examples in data.held_out.items()}
    assert len(decoded) == 8
    every = {name: examples[:] for name, examples in data.held_out.items()}
    assert len(every["source"]) == len(every["target"]) == 20
    assert all(torch.equal(shown[name], every[name][:8]) for name in shown)


def test_held_out_examples_that_cannot_be_read_are_left_out(tmp_path, capsys):
    images(tmp_path / "imgs", 20, 8)
    whole = ImageFolder(path=str(tmp_path / "imgs"), size=8, held_out=10, in_memory="never").data().held_out["real"][:]
    kept = ImageFolder(path=str(tmp_path / "imgs"), size=8, held_out=10, in_memory="never", on_error="skip").data()
    for name, _ in [kept.held_out["real"]._held_out._items[i] for i in (1, 4, 9)]:
        (tmp_path / "imgs" / name).write_bytes(b"junk")
    examples = kept.held_out["real"]
    assert len(examples) == 10
    assert torch.equal(examples[:3], whole[[0, 2, 3]])
    assert len(examples) == 9
    assert torch.equal(examples[:], whole[[0, 2, 3, 5, 6, 7, 8]])
    assert examples.shape == (7, 3, 8, 8)
    assert torch.equal(examples[-1], whole[8])
    assert len(kept.skipped) == 3


def test_nothing_held_out_can_be_read():
    examples = HeldOut(lambda item: None, [1, 2], {"real": Field((3,))}).examples()["real"]
    assert examples[:].shape == (0, 3)
    assert len(examples) == 0


def test_stacked_keeps_the_sequence_and_leaves_out():
    made, read = stacked(lambda i: None if i % 3 == 0 else {"n": torch.tensor([float(i)])}, range(100), {"n": Field((1,))})
    assert read == [i for i in range(100) if i % 3]
    assert made["n"].flatten().tolist() == read


def test_threads_are_a_few_items_ahead_at_most():
    pulled = []

    def items():
        for i in range(10_000):
            pulled.append(i)
            yield i

    results = in_threads(lambda i: i * i, items())
    assert [next(results) for _ in range(5)] == [0, 1, 4, 9, 16]
    assert len(pulled) < 100
    results.close()
    with pytest.raises(ZeroDivisionError):
        list(in_threads(lambda i: 1 // i, [1, 0, 2]))


class Endless(StreamData):
    name, size = "endless", 10**10
    fields = {"real": Field((1,))}  # noqa: RUF012
    held_out = {}  # noqa: RUF012

    def load(self, index, rng):
        return {"real": torch.tensor([float(index)], dtype=torch.float64)}

    def fingerprint(self):
        return ""


def test_ten_thousand_million_examples_stream():
    from ganflow_metrics.compared import RealParts, training_examples

    from ganflow.evaluation.survey import survey
    from ganflow.pictures.samples import real_examples

    first, second = (feed(Endless(), 64, 0, dtype=torch.float64) for _ in range(2))
    drawn = first.draw(80)["real"].flatten()
    assert len(drawn.unique()) == 80 * 64
    assert drawn.mean() == pytest.approx(10**10 / 2, rel=0.05)  # standard deviation 0.8 %
    kept = first.state()
    second.load_state(kept)
    assert torch.equal(first.draw(3)["real"], second.draw(3)["real"])
    assert survey(Endless())["real"].examples[-1].item() > 9e9
    assert len(training_examples(Endless(), 20)) == 20
    assert len(RealParts(Endless(), "m", 10, 0, 3)) == 3
    assert real_examples(Endless()) is not None
    first.close()
    second.close()


@pytest.mark.parametrize("size", [1, 2, 5, 64, 1000, 65_537, 100_000])
def test_a_large_permutation_has_every_number_once(size, monkeypatch):
    monkeypatch.setattr(permutation, "LISTED", 0)
    made = permutation.Permutation(size, torch.Generator().manual_seed(3))
    numbers = made.part(0, size + 7)
    assert torch.equal(numbers.sort().values, torch.arange(size))
    assert torch.equal(made.part(size // 3, size // 2), numbers[size // 3 : size // 2])
    if size > 10_000:
        sample = numbers[:10_000].double()
        assert sample.mean() == pytest.approx(size / 2, rel=0.03)
        assert abs(torch.corrcoef(torch.stack((sample[1:], sample[:-1])))[0, 1]) < 0.05
        other = permutation.Permutation(size, torch.Generator().manual_seed(4)).part(0, size)
        assert (other == numbers).sum() < 20


def test_a_small_permutation_is_torchs():
    assert torch.equal(permutation.shuffled(100, 7), torch.randperm(100, generator=torch.Generator().manual_seed(0))[:7])


def test_examples_count_their_bytes_once():
    t = torch.zeros(100, 5)
    assert TensorData("t", {"real": t[:90]}, {"real": t[90:]}).resident_bytes == t.nbytes
