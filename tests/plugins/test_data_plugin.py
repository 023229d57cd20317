"""Digits, points, folders of images, tensor files."""

import math
import os
import subprocess
import sys
from contextlib import closing

import ganflow_data
import numpy as np
import pytest
import torch
from ganflow_data import Digits, Gaussians, ImageFolder, SwissRoll, TensorFile
from PIL import Image
from safetensors.torch import save_file

from ganflow.contract.data import StreamData, TensorData
from ganflow.engine.feed import feed
from ganflow.errors import GanflowError, SettingsError
from ganflow.plugins import load_catalogue


def run_python(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def test_the_catalogue_imports_nothing_heavy():
    code = "import sys, ganflow_data, ganflow_metrics; print({'torch', 'numpy', 'PIL', 'sklearn'} & set(sys.modules))"
    assert run_python(code) == "set()"


def test_every_component_is_offered():
    offered = []
    ganflow_data.register(lambda role, name, settings: offered.append((role, name)))
    names = ("digits", "stacked_digits", "gaussians", "swiss_roll", "image_folder", "tensor_file", "shards")
    assert offered == [("data", name) for name in names]


# digits


def test_digits_are_scikit_learns():
    sklearn = pytest.importorskip("sklearn.datasets")
    data = Digits(size=8, held_out=0).data()
    expected = torch.from_numpy(sklearn.load_digits().images).float() / 8 - 1
    assert torch.allclose(data.train["real"][:, 0], expected, atol=1e-6)


def test_digits_do_not_import_scikit_learn():
    assert run_python("import sys; from ganflow_data import Digits; Digits().data(); print('sklearn' in sys.modules)") == "False"


@pytest.mark.parametrize("size", [8, 16, 28, 32, 50])
def test_digits_of_every_size(size):
    data = Digits(size=size).data()
    real = data.train["real"]
    assert data.shape == (1, size, size)
    assert (data.main.low, data.main.high) == (-1, 1)
    assert real.min() == -1
    assert 0.9 < real.max() <= 1
    assert len(real) + len(data.held_out["real"]) == 1797
    small = torch.nn.functional.adaptive_avg_pool2d(Digits(size=size, held_out=0).data().train["real"], 8)
    original = Digits(size=8, held_out=0).data().train["real"]
    pairs = torch.stack([small.flatten(), original.flatten()])
    assert torch.corrcoef(pairs)[0, 1] > 0.9


@pytest.mark.parametrize("size", [16, 28, 32, 64])
def test_digits_end_in_black(size):
    # With a margin of size // 16, the centre of the outermost pixel lies 0.65 (size 28) to 0.95 small pixels outside the
    # first small pixel's, where the cubic kernel (a = −0.75) weighs that one by 0.39 and less.
    small, large = (Digits(size=s, held_out=0).data().train["real"] + 1 for s in (8, size))
    assert large[:, :, 0].mean() < 0.4 * small[:, :, 0].mean()
    assert large[:, :, -1].mean() < 0.4 * small[:, :, -1].mean()


def test_digits_split_is_fixed_and_disjoint():
    first, second = Digits(size=8, held_out=0.1).data(), Digits(size=8, held_out=180).data()
    assert len(first.held_out["real"]) == 180
    assert torch.equal(first.held_out["real"], second.held_out["real"])
    rows = {x.numpy().tobytes() for x in first.train["real"]}
    assert not rows & {x.numpy().tobytes() for x in first.held_out["real"]}


def test_digits_of_some_classes():
    sklearn = pytest.importorskip("sklearn.datasets")
    wanted = int(np.isin(sklearn.load_digits().target, [3, 8]).sum())
    assert Digits(size=8, classes=[3, 8], held_out=0).data().size == wanted


def test_digits_labels_are_scikit_learns():
    bunch = pytest.importorskip("sklearn.datasets").load_digits()
    true = {tuple(image.ravel()): int(target) for image, target in zip(bunch.images, bunch.target, strict=True)}

    def shown(data):
        names = data.fields["label"].classes
        for part in (data.train, data.held_out):
            for image, label in zip(part["real"], part["label"], strict=True):
                yield names[label], str(true[tuple(((image.flatten() + 1) * 8).round().tolist())])

    data, some = Digits(size=8).data(), Digits(size=8, classes=[8, 3]).data()
    assert list(data.fields) == ["real", "label"]
    assert data.fields["label"].classes == tuple("0123456789")
    assert some.fields["label"].classes == ("3", "8")
    assert sum(data.fields["label"].frequencies) == pytest.approx(1)
    for labelled in (data, some):
        assert all(found == expected for found, expected in shown(labelled))


def test_digits_fingerprints_are_those_of_before_there_were_labels():
    """So that a run of then does not say that its data changed."""
    assert Digits().data().fingerprint() == "c6a57cbd4c11c25a"
    assert Digits(size=16).data().fingerprint() == "ab751475ffb5d7ff"
    assert Digits(size=8, classes=[3, 8], held_out=0).data().fingerprint() == "457aee1b4766ab66"


def test_digits_leaving_nothing_for_training():
    with pytest.raises(GanflowError, match="held_out: 1797 leaves nothing of the 1797 examples of digits"):
        Digits(held_out=1797).data()


# points


def test_ring_of_pacgan():
    data = Gaussians().data()
    assert data.centres.shape == (8, 2)
    assert torch.allclose(data.centres.norm(dim=1), torch.ones(8))
    nearest = torch.cdist(data.centres, data.centres).fill_diagonal_(9).min(1).values
    assert torch.allclose(nearest, torch.full((8,), 2 * math.sin(math.pi / 8)))
    assert data.std == 0.01
    assert (data.size, data.shape, len(data.held_out["real"])) == (100_000, (2,), 10_000)


def test_grid_of_pacgan_and_the_toy_of_wgan_gp():
    grid = Gaussians(layout="grid").data()
    assert {tuple(c) for c in grid.centres.tolist()} == {(x, y) for x in (-4, -2, 0, 2, 4) for y in (-4, -2, 0, 2, 4)}
    assert grid.std == 0.05
    scaled = Gaussians(layout="grid", scale=2.828).data()
    assert torch.allclose(scaled.centres * 2.828, grid.centres, atol=1e-5)
    assert scaled.std == pytest.approx(0.05 / 2.828)


def test_samples_have_the_mixtures_moments():
    data = Gaussians(layout="custom", centres=[[0.0, 0.0], [4.0, 1.0]], weights=[3.0, 1.0], std=0.2).data()
    x = data.train["real"].double()
    # mean Σ w c; covariance σ² I + Σ w (c − mean)(c − mean)ᵀ, here 3/16 (4, 1)(4, 1)ᵀ
    assert torch.allclose(x.mean(0), torch.tensor([1.0, 0.25]).double(), atol=0.03)
    expected = torch.tensor([[0.04 + 3.0, 0.75], [0.75, 0.04 + 3 / 16]]).double()
    assert torch.allclose(x.T.cov(), expected, atol=0.04)
    assert data.weights.tolist() == [0.75, 0.25]


def test_log_density_against_the_formula_and_integrates_to_one():
    data = Gaussians(layout="custom", centres=[[0.0, 0.0], [1.0, 0.5]], weights=[1.0, 3.0], std=0.3).data()
    assert data.knows_density
    expected = math.log(
        (0.25 * math.exp(-(0.2**2 + 0.1**2) / 0.18) + 0.75 * math.exp(-(0.8**2 + 0.4**2) / 0.18)) / (2 * math.pi * 0.09)
    )
    assert float(data.log_density(torch.tensor([[0.2, 0.1]]))) == pytest.approx(expected, rel=1e-5)
    side = torch.linspace(-3, 4, 401, dtype=torch.float64)
    cell = float(side[1] - side[0]) ** 2
    assert float(data.log_density(torch.cartesian_prod(side, side)).exp().sum()) * cell == pytest.approx(1, abs=1e-4)


def test_swiss_roll_lies_on_its_spiral():
    data = SwissRoll(noise=0.0).data()
    x = data.train["real"].double() * 7.5
    t = x.norm(dim=1)
    assert t.min() >= 1.5 * math.pi - 1e-4
    assert t.max() <= 4.5 * math.pi + 1e-4
    assert torch.allclose(x, torch.stack([t * t.cos(), t * t.sin()], 1), atol=1e-3)
    assert not data.knows_density
    noise = SwissRoll(noise=0.5).data().train["real"] * 7.5
    assert float((noise.double() - x).std()) > 0.3  # the same seed, so only the noise differs


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        ({"layout": "custom"}, "centres"),
        ({"centres": [[0.0, 1.0]]}, "layout: custom"),
        ({"layout": "custom", "centres": [[0.0]]}, "two numbers"),
        ({"layout": "grid", "modes": 8}, "square number, not 8"),
        ({"weights": [1.0, 2.0]}, "each of the 8 modes"),
        ({"std": 0.0}, "std: 0 is not above 0"),
        ({"layout": "custom", "centres": [[0.0, 1.0]], "modes": 2}, "modes says 2"),
    ],
)
def test_mixtures_that_make_no_sense(keys, says):
    with pytest.raises(ValueError, match=says):
        Gaussians(**keys)


# a folder of images


def picture(width=40, height=30, seed=0, mode="RGB"):
    noise = np.random.default_rng(seed).integers(0, 256, (4, 5, 3), dtype=np.uint8)
    return Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC).convert(mode)


@pytest.fixture
def folder(tmp_path):
    """Twelve pictures, two of them in a folder below, and things that are none."""
    (tmp_path / "below").mkdir()
    for i in range(12):
        picture(40 + i, 30, i).save(tmp_path / ("below" if i > 9 else "") / f"{i:02}.{'png' if i % 2 else 'JPG'}", quality=95)
    (tmp_path / "notes.txt").write_text("no picture")
    (tmp_path / "._00.png").write_bytes(b"a Mac was here")
    return tmp_path


def damage(file):
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def test_small_folder_is_in_memory(folder):
    data = ImageFolder(path=str(folder), size=16, held_out=0.25).data()
    assert isinstance(data, TensorData)
    assert (data.size, data.shape, len(data.held_out["real"])) == (9, (3, 16, 16), 3)
    assert (data.main.low, data.main.high) == (-1, 1)
    assert ImageFolder(path=str(folder), size=16, held_out=0, recursive=False).data().size == 10
    assert ImageFolder(path=str(folder), size=16, held_out=0, extensions=["PNG"]).data().size == 6


def test_streamed_and_resident_images_are_the_same(folder):
    resident = ImageFolder(path=str(folder), size=16).data()
    streamed = ImageFolder(path=str(folder), size=16, in_memory="never").data()
    assert isinstance(streamed, StreamData)
    assert streamed.size == resident.size
    assert torch.equal(streamed.held_out["real"][:], resident.held_out["real"][:])
    for i in range(streamed.size):
        assert torch.equal(streamed.load(i, torch.Generator())["real"], resident.train["real"][i])


@pytest.fixture
def classes(tmp_path):
    """Nine grey pictures in three folders, about as bright as their folder says."""
    for i, name in enumerate(["dog", "cat", "mouse"]):
        (tmp_path / name / "deep").mkdir(parents=True)
        for j in range(3):
            Image.new("L", (8, 8), 100 * i + j).save(tmp_path / name / ("deep" if j else "") / f"{j}.png")
    return tmp_path


@pytest.mark.parametrize("damaged", [False, True])
@pytest.mark.parametrize("in_memory", ["auto", "never"])
def test_sub_folders_are_classes(classes, in_memory, damaged):
    if damaged:
        damage(classes / "cat" / "deep" / "1.png")
    data = ImageFolder(path=str(classes), size=8, channels=1, held_out=3, in_memory=in_memory, on_error="skip").data()
    assert list(data.fields) == ["real", "label"]
    names = data.fields["label"].classes
    assert names == ("cat", "dog", "mouse")
    pixels = {"dog": 0, "cat": 100, "mouse": 200}
    with closing(feed(data, 8, seed=0)) as source:
        kept = {name: t[:] for name, t in data.held_out.items()}
        parts = [kept, *({name: t[i] for name, t in source.draw(4).items()} for i in range(4))]
    for part in parts:
        assert part["label"].dtype == torch.int64
        for image, label in zip(part["real"], part["label"], strict=True):
            assert 0 <= (image[0, 0, 0].item() + 1) * 127.5 - pixels[names[label]] < 2.5
    if not damaged:
        left = 3 - data.held_out["label"][:].bincount(minlength=3)
        assert data.fields["label"].frequencies == pytest.approx((left / 6).tolist())


def test_folders_that_are_no_classes(folder, classes):
    assert list(ImageFolder(path=str(classes), size=8, labels="none").data().fields) == ["real"]
    labelled, plain = (ImageFolder(path=str(classes), size=8, labels=labels).data() for labels in ("auto", "none"))
    assert labelled.fingerprint() == plain.fingerprint()  # a run of before there were labels sees no change
    picture().save(classes / "loose.png")  # one beside the folders
    assert list(ImageFolder(path=str(classes), size=8).data().fields) == ["real"]
    assert list(ImageFolder(path=str(classes / "dog"), size=8).data().fields) == ["real"]  # all in one folder, or loose


def test_pixels_keep_their_place_and_value(tmp_path):
    pixels = np.zeros((6, 8, 3), np.uint8)
    pixels[1, 2] = [255, 0, 51]
    Image.fromarray(pixels).save(tmp_path / "a.png")
    image = ImageFolder(path=str(tmp_path), size=6, held_out=0).data().train["real"][0]
    # the centre crop of 8 × 6 drops a column on either side: (1, 2) comes to (1, 1)
    assert torch.allclose(image[:, 1, 1], torch.tensor([1.0, -1.0, 51 / 127.5 - 1]))
    assert (image == -1).sum() == 3 * 36 - 2


def test_grey_colour_transparency_and_depth(tmp_path):
    Image.new("L", (8, 8), 100).save(tmp_path / "a.png")
    Image.new("RGBA", (8, 8), (200, 0, 0, 0)).save(tmp_path / "b.png")  # wholly transparent: white
    Image.new("P", (8, 8), 0).save(tmp_path / "c.png")  # a palette whose colour 0 is black
    Image.fromarray(np.full((8, 8), 257 * 60, np.uint16)).save(tmp_path / "d.png")  # 16 bits
    Image.new("RGB", (8, 8), (0, 255, 0)).save(tmp_path / "e.png")
    colour = ImageFolder(path=str(tmp_path), size=8, held_out=0).data().train["real"]
    bytes_ = ((colour + 1) * 127.5).round().int()
    assert bytes_[:, :, 0, 0].tolist() == [[100] * 3, [255] * 3, [0] * 3, [60] * 3, [0, 255, 0]]
    grey = ImageFolder(path=str(tmp_path), size=8, held_out=0, channels=1).data().train["real"]
    assert grey.shape == (5, 1, 8, 8)
    assert int(((grey[4, 0, 0, 0] + 1) * 127.5).round()) == 150  # 0.587 · 255


def test_camera_orientation(tmp_path):
    image = Image.new("RGB", (8, 8))
    image.putpixel((0, 0), (255, 255, 255))
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90° clockwise: top left comes to top right
    image.save(tmp_path / "a.png", exif=exif)
    seen = ImageFolder(path=str(tmp_path), size=8, held_out=0).data().train["real"][0, 0]
    assert seen[0, 7] == 1
    assert (seen == 1).sum() == 1


def test_crops_and_flips(tmp_path):
    columns = np.tile(np.arange(0, 200, 10, dtype=np.uint8), (8, 1))  # grey tells the column
    Image.fromarray(columns).save(tmp_path / "a.png")
    data = ImageFolder(path=str(tmp_path), size=8, channels=1, crop="random", flip=True, held_out=0).data()
    assert isinstance(data, StreamData)
    starts, mirrored = set(), 0
    for seed in range(400):
        row = ((data.load(0, torch.Generator().manual_seed(seed))["real"][0, 0] + 1) * 12.75).round().int().tolist()
        forward = row[0] < row[-1]
        mirrored += not forward
        low = min(row)
        assert sorted(row) == list(range(low, low + 8))  # a piece of the picture, not squeezed
        starts.add(low)
    assert starts == set(range(13))  # 20 − 8 + 1 places
    assert 150 < mirrored < 250
    again = [data.load(0, torch.Generator().manual_seed(7))["real"] for _ in range(2)]
    assert torch.equal(*again)


def test_resize_then_crop_and_squeeze(tmp_path):
    half = np.zeros((20, 40), np.uint8)
    half[:, 20:] = 255
    Image.fromarray(half).save(tmp_path / "a.png")

    def load(**keys):
        return ImageFolder(path=str(tmp_path), size=10, channels=1, held_out=0, **keys).data().train["real"][0, 0]

    assert (load() > 0).sum() == 50  # 40 × 20 → 20 × 10, the middle half of it
    assert (load(crop="none") > 0).sum() == 50
    assert (load(resize=20) > 0).sum() == 50
    assert load(resize=20).unique().tolist() == [-1, 1]  # not resized at all


def test_augmented_folder_resumes_in_mid_epoch(folder):
    def new():
        return feed(ImageFolder(path=str(folder), size=16, flip=True, crop="random", resize=20).data(), 4, seed=5)

    whole = new()
    expected = [whole.draw(2)["real"] for _ in range(5)]
    first = new()
    assert all(torch.equal(first.draw(2)["real"], e) for e in expected[:2])
    second = new()
    second.load_state(first.state())
    assert all(torch.equal(second.draw(2)["real"], e) for e in expected[2:])
    for f in (whole, first, second):
        f.close()


@pytest.mark.parametrize("in_memory", ["auto", "never"])
def test_truncated_image_is_refused_by_name(folder, in_memory):
    damage(folder / "05.png")

    def draw_all():
        with closing(feed(ImageFolder(path=str(folder), size=16, held_out=0, in_memory=in_memory).data(), 12, seed=0)) as source:
            source.draw(1)

    with pytest.raises(GanflowError, match=r"cannot read 1 image in .*: 05\.png \(.*data.on_error=skip"):
        draw_all()


@pytest.mark.parametrize("in_memory", ["auto", "never"])
def test_truncated_image_is_left_out_by_name(folder, in_memory, capsys):
    damage(folder / "05.png")
    (folder / "03.png").write_text("no image at all")
    data = ImageFolder(path=str(folder), size=16, held_out=0, on_error="skip", in_memory=in_memory).data()
    source = feed(data, 10, seed=0)
    drawn = source.draw(3)["real"]
    source.close()
    assert drawn.isfinite().all()
    assert sorted(data.skipped) == ["03.png", "05.png"]
    seen = data.preview(12)["real"]
    assert len(seen.examples) == len(seen.originals) == 10
    said = sorted(line for line in capsys.readouterr().err.splitlines() if line)
    assert len(said) == 2  # once each, also over three epochs
    assert "03.png: not an image" in said[0]
    assert "05.png: " in said[1]
    if in_memory == "never":  # 30 examples are three epochs of the ten good images
        assert all(len(epoch.flatten(1).unique(dim=0)) == 10 for epoch in drawn)


@pytest.mark.parametrize("in_memory", ["auto", "never"])
def test_folder_of_damaged_images(tmp_path, in_memory):
    for i in range(3):
        (tmp_path / f"{i}.png").write_text("no")
    with pytest.raises(GanflowError, match="none of the 3 "):
        feed(ImageFolder(path=str(tmp_path), on_error="skip", held_out=0, in_memory=in_memory).data(), 2, seed=0).draw(1)


def test_folders_that_cannot_be_used(folder, tmp_path, monkeypatch):
    with pytest.raises(GanflowError, match=r"no folder .*absent"):
        ImageFolder(path=str(tmp_path / "absent")).data()
    with pytest.raises(GanflowError, match=r"notes\.txt is a file; name the folder of the images"):
        ImageFolder(path=str(folder / "notes.txt")).data()
    (tmp_path / "empty").mkdir()
    with pytest.raises(GanflowError, match=r"no images in .*empty or below, there are no files; .*\.png"):
        ImageFolder(path=str(tmp_path / "empty")).data()
    real = os.scandir

    def forbidden(place):
        if str(place).endswith("below"):
            raise PermissionError(13, "Permission denied", str(place))
        return real(place)

    monkeypatch.setattr(os, "scandir", forbidden)
    with pytest.raises(GanflowError, match=r"cannot read the folder .*below: Permission denied"):
        ImageFolder(path=str(folder)).data()


def test_links_that_lead_back_are_walked_once(folder):
    (folder / "below" / "up").symlink_to(folder)
    assert ImageFolder(path=str(folder), size=16, held_out=0).data().size == 12


@pytest.mark.parametrize("in_memory", ["auto", "never"])
def test_folder_fingerprint(folder, in_memory):
    def new(**keys):
        return ImageFolder(path=str(folder), size=16, held_out=0, in_memory=in_memory, **keys).data().fingerprint()

    before = new()
    assert before == new() != new(crop="none")
    picture(seed=99).save(folder / "00.JPG")
    assert new() != before


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        ({"resize": 32}, "resize: needs a crop"),
        ({"resize": 80, "crop": "none"}, "resize: needs a crop"),
        ({"flip": True, "in_memory": "always"}, "in_memory: images that are augmented"),
    ],
)
def test_folder_settings_that_make_no_sense(keys, says):
    with pytest.raises(ValueError, match=says):
        ImageFolder(path=".", **keys)


# tensors in files


def test_npy_of_bytes_in_every_layout(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (10, 3, 6, 5), dtype=np.uint8)
    expected = torch.from_numpy(pixels).float() / 127.5 - 1

    def load(array, **keys):
        np.save(tmp_path / "a.npy", array)
        return TensorFile(path=str(tmp_path / "a.npy"), held_out=0, **keys).data().train["real"]

    assert torch.equal(load(pixels), expected)
    assert torch.equal(load(pixels.transpose(0, 2, 3, 1)), expected)
    assert torch.equal(load(pixels[:, 0]), expected[:, :1])
    # five channels of 6 × 3 are only believed when said
    assert load(pixels.transpose(0, 3, 2, 1), layout="nchw").shape == (10, 5, 6, 3)
    assert load(pixels.transpose(0, 3, 2, 1)).shape == (10, 3, 5, 6)


def test_floats_by_range(tmp_path, capsys):
    file = tmp_path / "a.npy"
    values = np.random.default_rng(0).random((10, 1, 4, 4))
    np.save(file, values)
    unit = TensorFile(path=str(file), held_out=0, range="unit").data().train["real"]
    signed = TensorFile(path=str(file), held_out=0, range="signed").data().train["real"]
    assert not capsys.readouterr().err
    auto = TensorFile(path=str(file), held_out=0).data().train["real"]  # as x / max has them
    assert torch.equal(auto, unit)
    assert f"{file} has no number below 0: taken as [0, 1]; data.range=signed takes it as [-1, 1]" in capsys.readouterr().err
    np.save(tmp_path / "s.npy", values * 2 - 1)
    assert torch.allclose(TensorFile(path=str(tmp_path / "s.npy"), held_out=0).data().train["real"], unit)
    assert not capsys.readouterr().err
    assert torch.allclose(unit, torch.from_numpy(values).float() * 2 - 1)
    assert torch.allclose(signed, torch.from_numpy(values).float())
    np.save(file, values * 3 - 1.5)
    with pytest.raises(GanflowError, match=r"a\.npy has values from -1\.\d+ to 1\.\d+; images are in"):
        TensorFile(path=str(file)).data()


def test_points_and_split(tmp_path):
    np.save(tmp_path / "p.npy", np.arange(200, dtype=">f8").reshape(100, 2))  # big-endian, too
    data = TensorFile(path=str(tmp_path / "p.npy"), held_out=0.2).data()
    assert (data.size, data.shape, data.main.low) == (80, (2,), None)
    together = torch.cat([data.train["real"], data.held_out["real"]])
    assert torch.equal(together.sort(0).values, torch.arange(200.0).view(100, 2))


def test_safetensors_fields(tmp_path):
    file = tmp_path / "t.safetensors"
    a, b = torch.rand(2, 6, 3, 4, 4) * 2 - 1
    save_file({"photos": a, "maps": b}, file)
    data = TensorFile(path=str(file), held_out=0).data()
    assert set(data.fields) == {"photos", "maps"}
    chosen = TensorFile(path=str(file), held_out=0, fields={"source": "maps", "target": "photos"}).data()
    assert list(chosen.fields) == ["source", "target"]
    assert torch.equal(chosen.train["source"], b)
    with pytest.raises(GanflowError, match=r"data\.fields: real: no tensor 'photo' in .*t\.safetensors; did you mean 'photos'\?"):
        TensorFile(path=str(file), fields={"real": "photo"}).data()
    with pytest.raises(GanflowError, match=r"data\.fields: real: no tensor 'x' in .*t\.safetensors, which holds"):
        TensorFile(path=str(file), fields={"real": "x"}).data()
    save_file({"only": a}, file)
    assert list(TensorFile(path=str(file)).data().fields) == ["real"]
    save_file({"a": a, "b": b[:5].clone()}, file)
    with pytest.raises(GanflowError, match="differ in length"):
        TensorFile(path=str(file)).data()


@pytest.fixture
def points(tmp_path):
    """Twenty points whose first coordinate is ten times their label, 3 or 8, in a .npy and in a .safetensors file with it."""
    labels = np.tile([3, 8], 10)
    values = np.stack([10.0 * labels, np.arange(20.0)], 1).astype(np.float32)
    np.save(tmp_path / "p.npy", values)
    np.save(tmp_path / "labels.npy", labels.astype(np.uint8))
    save_file({"x": torch.from_numpy(values), "y": torch.from_numpy(labels[:, None]).int()}, tmp_path / "t.safetensors")
    return tmp_path


@pytest.mark.parametrize(("file", "labels"), [("p.npy", "labels.npy"), ("t.safetensors", "y"), ("t.safetensors", "labels.npy")])
def test_labels_beside_tensors(points, file, labels, monkeypatch):
    monkeypatch.chdir(points)
    fields = {"real": "x"} if labels == "labels.npy" and file == "t.safetensors" else {}
    data = TensorFile(path=file, labels=labels, fields=fields, held_out=0.25).data()
    assert list(data.fields) == ["real", "label"]
    assert data.fields["label"].classes == ("3", "8")
    assert (len(data.train["label"]), len(data.held_out["label"])) == (15, 5)
    for part in (data.train, data.held_out):
        assert torch.equal(torch.tensor([3, 8])[part["label"]], (part["real"][:, 0] / 10).round().long())
    names = [str(i) for i in range(9)]
    named = TensorFile(path=file, labels=labels, fields=fields, classes=names, held_out=0).data()
    assert named.fields["label"].classes == tuple(names)
    assert named.fields["label"].frequencies == (0, 0, 0, 0.5, 0, 0, 0, 0, 0.5)


def test_other_labels_are_other_data(points):
    def fingerprint():
        return TensorFile(path=str(points / "p.npy"), labels=str(points / "labels.npy")).data().fingerprint()

    before = fingerprint()
    np.save(points / "labels.npy", np.tile([8, 3], 10))
    assert fingerprint() != before


@pytest.mark.parametrize(
    ("labels", "says"),
    [
        (np.zeros(19, np.int64), r"labels\.npy has 19 labels for 20 examples"),
        (np.tile([-1, 0], 10), "has 10 negative labels; classes are 0, 1, …: leave such examples out"),
        (np.tile([0.0, 1.0], 10), r"has torch\.float64 of shape \(20,\); labels are whole numbers of shape \(20,\)"),
        (np.zeros((20, 2), np.int64), r"of shape \(20, 2\); labels are whole numbers"),
        (np.full(20, 7), "has only the label 7; two classes are needed: leave data.labels out"),
        (np.tile([0, 5], 10), r"has the label 5, and data\.classes names 2, from 0 to 1"),
    ],
)
def test_labels_that_do_not_fit(points, labels, says):
    np.save(points / "labels.npy", labels)
    with pytest.raises(GanflowError, match=says):
        TensorFile(path=str(points / "p.npy"), labels=str(points / "labels.npy"), classes=["cat", "dog"]).data()


@pytest.mark.parametrize(
    ("file", "labels", "says"),
    [
        ("p.npy", "z", r"data\.labels: 'z' is no tensor in .*p\.npy, whose one tensor has no name; nor is it a \.npy or"),
        ("t.safetensors", "z", r"'z' is no tensor in .*, which holds x, y; nor"),
        ("p.npy", "absent.npy", r"data\.labels: there is no file absent\.npy"),
        ("p.npy", "", r"data\.labels: '' is no tensor in"),
    ],
)
def test_labels_that_are_not_there(points, file, labels, says):
    with pytest.raises(GanflowError, match=says):
        TensorFile(path=str(points / file), labels=labels).data()


def test_label_settings_that_make_no_sense(points):
    with pytest.raises(ValueError, match="classes: these are names of labels; say where those are: labels"):
        TensorFile(path="x.npy", classes=["a", "b"])
    with pytest.raises(ValueError, match="two names or more, all different"):
        TensorFile(path="x.npy", labels="y.npy", classes=["a", "a"])
    with pytest.raises(GanflowError, match=r"data\.fields: 'label' is the field of data\.labels"):
        TensorFile(path=str(points / "t.safetensors"), fields={"label": "x"}, labels="y").data()


class Boom:
    def __reduce__(self):
        return (os.mkdir, ("boom",))


def test_a_pickle_is_never_read(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.save(tmp_path / "a.npy", np.array([Boom()], dtype=object), allow_pickle=True)
    torch.save(Boom(), tmp_path / "a.pt")
    with pytest.raises(GanflowError, match=r"cannot read .*a\.npy"):
        TensorFile(path="a.npy").data()
    with pytest.raises(GanflowError, match=r"a\.pt is neither .*never read"):
        TensorFile(path="a.pt").data()
    assert not (tmp_path / "boom").exists()


@pytest.mark.parametrize(
    ("array", "says"),
    [
        (np.zeros((4,), np.float32), r"shape \(4,\); wanted"),
        (np.zeros((4, 9, 9, 9), np.float32), r"wanted \(n, C, H, W\)"),
        (np.zeros((4, 3, 3), np.int64), "torch.int64; images are uint8 or floating-point"),
        (np.array([[0.0], [np.nan], [np.inf]]), "NaN or infinite values in 2 examples, the first at index 1"),
        (np.zeros((0, 2)), r"is empty: shape \(0, 2\)"),
    ],
)
def test_arrays_that_do_not_fit(tmp_path, array, says):
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(GanflowError, match=says):
        TensorFile(path=str(tmp_path / "a.npy")).data()


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(GanflowError, match="there is no file"):
        TensorFile(path=str(tmp_path / "absent.npy")).data()
    with pytest.raises(GanflowError, match="is not a file"):
        TensorFile(path=str(tmp_path)).data()
    for name in ("a.npy", "a.safetensors"):
        (tmp_path / name).write_bytes(b"\x93NUMPY\x01\x00 and nothing else")
        with pytest.raises(GanflowError, match=f"cannot read .*{name}"):
            TensorFile(path=str(tmp_path / name)).data()
    np.save(tmp_path / "b.npy", np.zeros((100, 2)))
    damage(tmp_path / "b.npy")
    with pytest.raises(GanflowError, match=r"cannot read .*b\.npy"):
        TensorFile(path=str(tmp_path / "b.npy")).data()
    np.save(tmp_path / "c.npy", np.zeros((10, 2)))
    with pytest.raises(GanflowError, match="layout nchw has 4 dimensions"):
        TensorFile(path=str(tmp_path / "c.npy"), layout="nchw").data()


@pytest.mark.parametrize("use", ["gaussians", "swiss_roll", "gaussians_1d", "lines", "linear_gaussian"])
def test_more_examples_than_memory_holds_are_refused(use):
    """They were made until the kernel killed the process."""
    settings = load_catalogue().find("data", use).settings
    with pytest.raises(SettingsError, match="samples: 1000000000 is above 100000000"):
        settings(samples=10**9)
