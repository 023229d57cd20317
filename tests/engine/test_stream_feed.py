"""Streamed data: each example once per epoch, whatever the threads do, and exact resume."""

import threading
import time

import pytest
import torch

from ganflow.contract.data import Field, StreamData
from ganflow.engine.feed import StreamFeed, feed
from ganflow.errors import GanflowError


class Numbers(StreamData):
    """Example i is (i, a random number); some are left out, loading takes irregular time."""

    name = "numbers"
    held_out = {}  # noqa: RUF012
    fields = {"real": Field((2,))}  # noqa: RUF012

    def __init__(self, size: int = 23, left_out: frozenset[int] = frozenset(), slow: bool = False, fails_at: int = -1) -> None:
        self.size, self.left_out, self.slow, self.fails_at = size, left_out, slow, fails_at
        self.loaded: list[int] = []

    def fingerprint(self) -> str:
        return ""

    def load(self, index, rng):
        self.loaded.append(index)
        if self.slow:
            time.sleep(0.004 * (index % 3))
        if index == self.fails_at:
            raise OSError(f"disk broke at {index}")
        if index in self.left_out:
            return None
        return {"real": torch.cat([torch.tensor([float(index)]), torch.rand(1, generator=rng)])}


def rows(data, batch_size, ks, seed=0, threads=3, state=None):
    """Everything drawn in len(ks) draws, (sum(ks) · batch_size, 2), and the state at the end."""
    source = StreamFeed(data, batch_size, seed, threads=threads)
    if state is not None:
        source.load_state(state)
    drawn = [source.draw(k)["real"].flatten(0, 1) for k in ks]
    state = source.state()
    source.close()
    return torch.cat(drawn), state


def test_each_example_once_per_epoch_across_batches():
    drawn, _ = rows(Numbers(23), 4, [5, 5, 13])  # 92 items: 4 epochs, whose ends lie within batches
    epochs = drawn[:, 0].view(4, 23)
    assert torch.equal(epochs.sort(1).values, torch.arange(23.0).expand(4, 23))
    assert not torch.equal(epochs[0], epochs[1])


def test_factory_and_shape():
    source = feed(Numbers(), 4, seed=0)
    assert isinstance(source, StreamFeed)
    assert source.draw(3)["real"].shape == (3, 4, 2)
    source.close()


def test_threads_and_timing_change_nothing():
    one, _ = rows(Numbers(), 4, [3, 1, 7], threads=1)
    many, _ = rows(Numbers(slow=True), 4, [3, 1, 7], threads=6)
    assert torch.equal(one, many)


def test_the_way_of_drawing_changes_nothing():
    together, _ = rows(Numbers(), 4, [12])
    apart, _ = rows(Numbers(), 4, [1] * 12)
    assert torch.equal(together, apart)


def test_augmentation_is_new_each_epoch_and_for_each_example_and_seed():
    drawn, _ = rows(Numbers(23), 23, [4])
    assert len(drawn[:, 1].unique()) == 92
    other, _ = rows(Numbers(23), 23, [4], seed=1)
    assert not set(drawn[:, 1].tolist()) & set(other[:, 1].tolist())


@pytest.mark.parametrize("left_out", [frozenset(), frozenset({0, 5, 6, 7, 22})])
@pytest.mark.parametrize("stop", [1, 2, 5])
def test_resume_in_the_middle_of_an_epoch(left_out, stop):
    whole, end = rows(Numbers(23, left_out), 3, [3] * 10)
    first, state = rows(Numbers(23, left_out), 3, [3] * stop)
    rest, end_too = rows(Numbers(23, left_out), 3, [3] * (10 - stop), state=state)
    assert torch.equal(torch.cat([first, rest]), whole)
    assert torch.equal(end["position"], end_too["position"])


def test_what_is_prefetched_does_not_count():
    data = Numbers(1000)
    source = StreamFeed(data, 4, 0)
    source.draw(5)
    assert source.state() == {"position": torch.tensor(20)}
    source.close()
    assert len(data.loaded) > 20


def test_another_seed_is_another_sequence_from_its_beginning():
    source = StreamFeed(Numbers(), 4, 0)
    source.draw(7)
    source.reseed(5)
    other, state = rows(Numbers(), 4, [12], seed=5)
    assert torch.equal(source.draw(12)["real"].flatten(0, 1), other)
    assert source.state() == state
    source.close()


def test_left_out_examples_are_replaced_by_the_next():
    full, _ = rows(Numbers(10), 10, [1])
    holed, _ = rows(Numbers(10, frozenset({3, 4})), 8, [1])
    assert torch.equal(holed, full[~torch.isin(full[:, 0], torch.tensor([3.0, 4.0]))])


def test_nothing_to_load_is_refused_and_does_not_hang():
    with pytest.raises(GanflowError, match="none of the 5 examples of data numbers can be loaded"):
        rows(Numbers(5, frozenset(range(5))), 4, [1])


def test_one_good_example_is_enough():
    drawn, _ = rows(Numbers(9, frozenset(range(9)) - {4}), 4, [3])
    assert (drawn[:, 0] == 4).all()


def test_an_error_surfaces_and_leaves_the_feed_before_the_draw():
    data = Numbers(20, fails_at=11)
    source = StreamFeed(data, 20, 0)
    with pytest.raises(OSError, match="disk broke at 11"):
        source.draw(1)
    assert source.state()["position"] == 0
    data.fails_at = -1
    assert torch.equal(source.draw(1)["real"][0], rows(Numbers(20), 20, [1])[0])
    source.close()


@pytest.mark.parametrize(
    ("item", "says"), [({"real": torch.zeros(1)}, r"shape \(1,\)"), ({"fake": torch.zeros(2)}, "without the field 'real'")]
)
def test_items_of_another_shape_are_refused(item, says):
    data = Numbers()
    data.load = lambda index, rng: item
    with pytest.raises(GanflowError, match=says):
        rows(data, 4, [1])


def test_channels_last_and_dtype():
    data = Numbers(9)
    data.fields = {"real": Field((3, 4, 5))}
    data.load = lambda index, rng: {"real": torch.rand(3, 4, 5, generator=rng)}
    plain, last = (StreamFeed(data, 4, 0, dtype=torch.bfloat16, channels_last=c) for c in (False, True))
    a, b = plain.draw(2)["real"], last.draw(2)["real"]
    assert a.dtype == torch.bfloat16
    assert torch.equal(a, b)
    assert all(batch.is_contiguous(memory_format=torch.channels_last) for batch in b)
    plain.close()
    last.close()


def test_labels_stay_whole_numbers_and_only_what_is_asked_for_is_stacked():
    data = Numbers(9)
    data.fields = {"real": Field((2,)), "label": Field((), classes=tuple("012345678"))}
    data.load = lambda index, rng: {"real": torch.full((2,), float(index)), "label": torch.tensor(index)}
    every, some = StreamFeed(data, 4, 0, dtype=torch.bfloat16), StreamFeed(data, 4, 0, fields=["label"])
    drawn, found = every.draw(2), some.draw(2)
    assert (drawn["label"].dtype, drawn["label"].shape) == (torch.int64, (2, 4))
    assert torch.equal(drawn["label"].float(), drawn["real"][..., 0].float())
    assert list(found) == ["label"]
    assert torch.equal(found["label"], drawn["label"])
    every.close()
    some.close()
    with pytest.raises(KeyError, match="data numbers has no field lable; it has real, label"):
        feed(data, 4, seed=0, fields=["lable"])


def test_foreign_state_is_refused():
    with pytest.raises(GanflowError, match="in memory"):
        rows(Numbers(), 4, [1], state={"generator": torch.zeros(8, dtype=torch.uint8)})


def test_close_ends_the_threads():
    before = threading.active_count()
    rows(Numbers(slow=True), 4, [1], threads=4)
    assert threading.active_count() == before


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_gets_the_same_batches():
    drawn, _ = rows(Numbers(), 4, [3, 5])
    source = StreamFeed(Numbers(), 4, 0, device="cuda")
    assert torch.equal(torch.cat([source.draw(k)["real"].flatten(0, 1) for k in (3, 5)]).cpu(), drawn)
    source.close()
