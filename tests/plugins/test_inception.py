"""The Inception network: its tensors against those of the published file, resizing and quantisation against figures by hand."""

import hashlib
from pathlib import Path

import ganflow_metrics
import numpy as np
import pytest
import torch
from ganflow_data import Digits
from ganflow_metrics import inception
from ganflow_metrics.inception import Inception, InceptionFeatures, Mixed, conv, load_inception, resized, to_bytes, with_tensors

from ganflow.contract.data import TensorData
from ganflow.errors import GanflowError, SettingsError

SHAPES = Path(__file__).parent / "inception_shapes.txt"
"""Names and shapes of the convolutions and of the last layer in pt_inception-2015-12-05-6726825d.pth, as torch-fidelity's network
has them, which loads that file strictly."""


def drawn(shapes):
    """Tensors of these names and shapes that every machine draws alike."""
    rng, made = np.random.default_rng(0), {}
    for name in sorted(shapes):
        shape = shapes[name]
        x = torch.from_numpy(rng.standard_normal(shape, dtype=np.float32)) if shape else torch.zeros((), dtype=torch.int64)
        if name.endswith("running_var"):
            x = 1 + x.tanh() / 2
        elif len(shape) > 1:
            x = x * (2 / np.prod(shape[1:])) ** 0.5
        elif shape:
            x = 0.1 * x + name.endswith("bn.weight")
        made[name] = x
    return made


@pytest.fixture(scope="module")
def network():
    with torch.random.fork_rng(devices=[]):
        shapes = {name: tuple(t.shape) for name, t in Inception().state_dict().items()}
    return with_tensors(drawn(shapes))


def pictures(n, *shape, seed=0):
    return torch.rand(n, *shape, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def test_its_tensors_are_those_of_the_published_file(network):
    published = {}
    for line in SHAPES.read_text().splitlines():
        name, shape = line.split()
        published[name] = tuple(map(int, shape.split("x")))
        if name.endswith("conv.weight"):
            norm = name.removesuffix("conv.weight") + "bn."
            published |= {norm + t: published[name][:1] for t in ("weight", "bias", "running_mean", "running_var")}
            published[f"{norm}num_batches_tracked"] = ()
    assert len(published) == 94 * 6 + 2
    assert {name: tuple(t.shape) for name, t in network.state_dict().items()} == published
    # torchvision counts 27,161,264, of which 3,326,696 are of the auxiliary classifier, with 1,000 classes in place of 1,008
    assert sum(p.numel() for p in network.parameters()) == 27_161_264 - 3_326_696 + 8 * 2049


def test_it_computes_what_torch_fidelitys_network_computes(network):
    """Figures of torch-fidelity 0.4.0 with the same tensors, of one image: every 256th feature, mean and deviation, logits."""
    images = torch.from_numpy(np.random.default_rng(1).integers(0, 256, (1, 3, 40, 30), dtype=np.uint8))
    features = network(images)[0]
    wanted = [0.0, 0.0, 1.63618, 0.36913, 1.17865, 0.98238, 0.01251, 0.11624]
    assert features[::256].tolist() == pytest.approx(wanted, rel=1e-3, abs=1e-4)
    assert float(features.mean()) == pytest.approx(1.564572, rel=1e-4)
    assert float(features.std()) == pytest.approx(2.070241, rel=1e-4)
    assert (network.fc.weight[:4] @ features).tolist() == pytest.approx([-0.28, 4.4064, 1.0657, -7.2299], rel=1e-3, abs=1e-3)


def test_pools_leave_out_their_margin_and_norms_have_tensorflows_epsilon():
    block = Mixed(1, ["average", conv("pooled", 1, 1)]).eval().requires_grad_(False)
    block.pooled.conv.weight.fill_(1)
    assert torch.allclose(block(torch.ones(1, 1, 5, 5)), torch.tensor(1.001**-0.5))  # at the margin, too


def test_it_loads_tensors_with_and_without_counters(network):
    state = network.state_dict()
    without = {name: t for name, t in state.items() if not name.endswith("num_batches_tracked")}
    loaded = with_tensors(without).state_dict()
    assert all(torch.equal(loaded[name], t) for name, t in without.items())
    state.pop("Mixed_7c.branch_pool.conv.weight")
    with pytest.raises(GanflowError, match=r"do not fit the network: Mixed_7c\.branch_pool"):
        with_tensors(state)


def test_features_of_images(network):
    data = TensorData("pictures", {"real": pictures(4, 1, 20, 30)})
    extractor = InceptionFeatures(data, None, network)
    images = data.train["real"][:1]
    features = extractor.features(images)
    assert features.shape == (1, 2048)
    assert features.dtype == torch.float64
    probabilities = extractor.probabilities(images)
    assert probabilities.shape == (1, 1008)
    logits = features @ network.fc.weight.double().T  # without the bias
    torch.testing.assert_close(probabilities, logits.exp() / logits.exp().sum(1, keepdim=True), rtol=1e-5, atol=0)
    assert len(extractor.digest) == 16
    assert extractor.about == f"inception {extractor.digest}"


def test_features_of_real_examples_are_kept(network, monkeypatch, tmp_path):
    monkeypatch.setenv("GANFLOW_CACHE", str(tmp_path))
    one, other = pictures(1, 1, 9, 9), pictures(1, 1, 9, 9, seed=1)
    extractor = InceptionFeatures(TensorData("pictures", {"real": one}), None, network)
    first = extractor.features_of_real(one)
    monkeypatch.setattr(extractor, "features", lambda examples: torch.zeros(1, 2048))
    assert torch.equal(extractor.features_of_real(one), first)
    assert not extractor.features_of_real(other).any()
    extractor.digest = "another network's"
    assert not extractor.features_of_real(one).any()


def test_pixels_are_those_of_a_file():
    levels = torch.tensor([-1.0, -0.9999, -0.5, 0.0, 0.5, 1.0, 1.2, -3.0]).view(1, 1, 1, 8)
    # (x + 1) · 127.5 = 0, 0.01, 63.75, 127.5, 191.25, 255, beyond
    bytes_ = to_bytes(levels)
    assert bytes_.shape == (1, 3, 1, 8)
    assert all(channel[0].tolist() == [0, 0, 64, 128, 191, 255, 255, 0] for channel in bytes_[0])  # grey in three channels
    colour = pictures(2, 3, 4, 4)
    assert torch.equal(to_bytes(colour), ((colour + 1) * 127.5).round())


def test_resizing_by_hand():
    # TensorFlow 1 without align_corners: pixel i is at i · 2 / 4 = 0, ½, 1, 1½; beyond the last pixel there is that one
    assert resized(torch.tensor([[[[0.0, 10.0]]]]), 4)[0, 0].tolist() == [[0, 5, 10, 10]] * 4
    # 3 → 2: at 0 and 1½
    assert resized(torch.tensor([[[0.0, 10.0, 40.0]] * 3])[None], 2)[0, 0].tolist() == [[0, 25], [0, 25]]


@pytest.mark.parametrize(("height", "width"), [(16, 16), (37, 64), (299, 299), (400, 310)])
def test_resizing_is_linear_interpolation_from_the_corner(height, width):
    image = np.random.default_rng(0).integers(0, 256, (height, width)).astype(np.float64)
    rows = np.stack([np.interp(np.arange(299) * (width / 299), np.arange(width), row) for row in image])
    wanted = np.stack([np.interp(np.arange(299) * (height / 299), np.arange(height), column) for column in rows.T]).T
    found = resized(torch.from_numpy(image)[None, None], 299)[0, 0]
    np.testing.assert_allclose(found, wanted, atol=1e-9)


def test_no_file_and_another_file_are_one_sentence(monkeypatch, tmp_path):
    monkeypatch.setenv("GANFLOW_CACHE", str(tmp_path / "cache"))
    with pytest.raises(GanflowError, match=r"needs the network's weights, and .*pt_inception-2015-12-05-6726825d\.pth is no file "
                                           r"that .*put it into .*cache, or name it: weights=FILE$"):  # fmt: skip
        load_inception(None)
    with pytest.raises(GanflowError, match="/dev/zero is no file"):
        load_inception("/dev/zero")
    other = tmp_path / "other.pth"
    other.write_bytes(b"something else")
    begins = hashlib.sha256(b"something else").hexdigest()[:8]
    with pytest.raises(GanflowError, match=rf"other\.pth is not the network's weights: its sha256 begins with {begins}, not 6"):
        ganflow_metrics.Frechet(features="inception", weights=str(other)).metric(Digits(size=16).data())


def test_a_file_of_the_right_hash_is_read_without_running_anything(network, monkeypatch, tmp_path):
    class Evil:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "ran",))

    monkeypatch.setenv("GANFLOW_CACHE", str(tmp_path))
    file = tmp_path / inception.FILE
    torch.save(network.state_dict(), file)
    monkeypatch.setattr(inception, "SHA256", hashlib.sha256(file.read_bytes()).hexdigest()[:8])
    assert all(torch.equal(a, b) for a, b in zip(load_inception(None).parameters(), network.parameters(), strict=True))
    torch.save({"evil": Evil()}, file)
    monkeypatch.setattr(inception, "SHA256", hashlib.sha256(file.read_bytes()).hexdigest()[:8])
    with pytest.raises(GanflowError, match="holds no tensors"):
        load_inception(None)
    assert not (tmp_path / "ran").exists()


def test_points_have_no_inception_features():
    with pytest.raises(GanflowError, match="pictures of one or three channels, and data points are none"):
        ganflow_metrics.Frechet(features="inception").metric(TensorData("points", {"real": torch.zeros(20, 2)}))


def test_a_runs_features_need_the_run():
    with pytest.raises(SettingsError, match="those of a run: give the path"):
        ganflow_metrics.Frechet(features="critic")
