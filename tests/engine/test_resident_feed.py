"""Data in memory: drawn on the device, with replacement, reproducibly."""

import pytest
import torch

from ganflow.contract.data import TensorData
from ganflow.engine.feed import feed
from ganflow.errors import GanflowError


def numbered(n: int = 50, shape: tuple[int, ...] = (2, 3, 4)) -> TensorData:
    """Example i is filled with i."""
    return TensorData("numbered", {"real": torch.arange(float(n)).view(n, *[1] * len(shape)).expand(n, *shape).clone()})


def test_shape_and_whole_examples():
    drawn = feed(numbered(), 7, seed=0).draw(3)["real"]
    assert drawn.shape == (3, 7, 2, 3, 4)
    assert (drawn == drawn[..., :1, :1, :1]).all()  # no example is torn


def test_fields_stay_together():
    a = torch.arange(100.0)[:, None]
    drawn = feed(TensorData("pair", {"a": a, "b": a * 2 + 1}), 16, seed=0).draw(4)
    assert torch.equal(drawn["b"], drawn["a"] * 2 + 1)


def test_fields_that_are_not_paired_are_drawn_by_themselves_and_go_on():
    data = TensorData("two", {"a": torch.arange(30.0)[:, None], "b": torch.arange(20.0)[:, None]}, paired=False)
    going = feed(data, 400, seed=0)
    drawn = going.draw(2)
    a, b = drawn["a"].flatten(), drawn["b"].flatten()
    assert a.unique().tolist() == list(range(30))  # 800 draws: one is missed with a chance of 10⁻¹⁰
    assert b.unique().tolist() == list(range(20))
    assert abs(torch.corrcoef(torch.stack((a, b)))[0, 1]) < 0.15  # standard deviation 0.035
    resumed = feed(data, 400, seed=1)
    resumed.load_state(going.state())
    assert all(torch.equal(t, resumed_t) for t, resumed_t in zip(going.draw(1).values(), resumed.draw(1).values(), strict=True))


@pytest.mark.parametrize("paired", [True, False])
@pytest.mark.parametrize("wanted", [["b"], ["a", "c"], []])
def test_only_the_fields_asked_for_are_drawn_and_they_are_the_same(paired, wanted):
    parts = {name: torch.arange(30.0)[:, None] + 100 * i for i, name in enumerate("abc")}
    data = TensorData("three", parts, paired=paired)
    every, some = feed(data, 8, seed=0), feed(data, 8, seed=0, fields=wanted)
    for _ in range(2):
        drawn, found = every.draw(3), some.draw(3)
        assert list(found) == wanted
        assert all(torch.equal(t, drawn[name]) for name, t in found.items())
    assert torch.equal(every.state()["generator"], some.state()["generator"])
    with pytest.raises(KeyError, match="data three has no field d; it has a, b, c"):
        feed(data, 8, seed=0, fields=["a", "d"])


def test_paired_fields_have_one_length():
    with pytest.raises(ValueError, match="differ in length"):
        TensorData("two", {"a": torch.zeros(3, 1), "b": torch.zeros(2, 1)})


def test_uniform_with_replacement():
    drawn = feed(numbered(10, (1,)), 1000, seed=0).draw(50)["real"].flatten().long()
    counts = drawn.bincount(minlength=10)
    assert counts.sum() == 50_000
    # each count is binomial: mean 5000, standard deviation √(50,000 · 0.1 · 0.9) = 67
    assert (counts - 5000).abs().max() < 5 * 67
    # drawn independently, a batch of 10 out of 10 is almost never a permutation (10!/10^10 = 0.04 %)
    assert any(len(batch.unique()) < 10 for batch in drawn.view(-1, 10))


def test_seed_fixes_the_order_and_changes_it():
    first, same, other = (feed(numbered(), 16, seed).draw(4)["real"] for seed in (3, 3, 4))
    assert torch.equal(first, same)
    assert not torch.equal(first, other)


def test_another_seed_is_another_sequence_from_its_beginning():
    source = feed(numbered(), 16, 3)
    source.draw(7)
    source.reseed(4)
    assert torch.equal(source.draw(4)["real"], feed(numbered(), 16, 4).draw(4)["real"])


def test_independent_of_a_prior_with_the_same_seed():
    """Examples must not follow from a z that is drawn from torch's generator of the same seed."""
    rows = feed(numbered(1000, (1,)), 64, seed=0).draw(1)["real"].flatten().long()
    assert not torch.equal(rows, torch.randint(1000, (64,), generator=torch.Generator().manual_seed(0)))


@pytest.mark.parametrize("channels", [1, 3])
def test_channels_last(channels):
    data = TensorData("images", {"real": torch.rand(20, channels, 6, 5) * 2 - 1})
    plain, last = (feed(data, 4, seed=0, channels_last=c).draw(3)["real"] for c in (False, True))
    assert torch.equal(plain, last)
    assert all(batch.is_contiguous(memory_format=torch.channels_last) for batch in last)
    assert all(batch.is_contiguous() for batch in plain)


def test_channels_last_leaves_points_alone():
    assert feed(numbered(9, (2,)), 4, seed=0, channels_last=True).draw(2)["real"].shape == (2, 4, 2)


def test_dtype_of_floats_only():
    data = TensorData("labelled", {"real": torch.arange(8.0)[:, None], "label": torch.arange(8)}, classes={"label": "abcdefgh"})
    drawn = feed(data, 4, seed=0, dtype=torch.bfloat16, channels_last=True).draw(2)
    assert drawn["real"].dtype == torch.bfloat16
    assert drawn["label"].dtype == torch.int64
    assert drawn["label"].shape == (2, 4)
    assert torch.equal(drawn["label"].float(), drawn["real"][..., 0].float())


def test_state_goes_on_bit_for_bit():
    going = feed(numbered(), 5, seed=1)
    going.draw(3)
    state = {name: tensor.clone() for name, tensor in going.state().items()}
    expected = [going.draw(k)["real"] for k in (1, 2, 6)]
    resumed = feed(numbered(), 5, seed=99)
    resumed.load_state(state)
    assert all(torch.equal(resumed.draw(k)["real"], e) for k, e in zip((1, 2, 6), expected, strict=True))


def test_drawing_leaves_torchs_own_generator_alone():
    before = torch.get_rng_state()
    feed(numbered(), 5, seed=1).draw(3)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("state", [{"position": torch.tensor(3)}, {"generator": torch.zeros(16, dtype=torch.uint8)}])
def test_foreign_state_is_refused(state):
    with pytest.raises(GanflowError, match="another kind"):
        feed(numbered(), 5, seed=1).load_state(state)


def test_no_examples_is_refused():
    with pytest.raises(GanflowError, match="numbered has no training examples"):
        feed(numbered(0), 5, seed=1)


def test_fields_of_different_length_are_refused():
    with pytest.raises(ValueError, match="differ in length"):
        TensorData("odd", {"a": torch.zeros(3, 1), "b": torch.zeros(4, 1)})


def test_fingerprint_follows_the_training_examples():
    data, same, other = numbered(), numbered(), numbered()
    other.train["real"][3, 0, 0, 0] += 1
    assert data.fingerprint() == same.fingerprint() != other.fingerprint()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_draws_there_and_resumes():
    going = feed(numbered(), 5, seed=1, device="cuda", channels_last=True)
    assert going.draw(2)["real"].is_cuda
    state = going.state()
    expected = going.draw(2)["real"]
    resumed = feed(numbered(), 5, seed=2, device="cuda", channels_last=True)
    resumed.load_state(state)
    assert torch.equal(resumed.draw(2)["real"], expected)
