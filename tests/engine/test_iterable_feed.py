"""Data from an iterable of unknown length: its sequence, epochs, exact resume, shares, and what is refused."""

import json
import random

import pytest
import torch

from ganflow.contract.data import Field, IterableData
from ganflow.engine.feed import feed
from ganflow.engine.state import flatten, unflatten
from ganflow.errors import GanflowError


class Shuffled(IterableData):
    """Epochs of different lengths in a sequence of their own; keeps every kind of state. Example: (epoch, number, noise)."""

    name = "shuffled"
    held_out = {}  # noqa: RUF012
    fields = {"real": Field((3,)), "label": Field(())}  # noqa: RUF012

    def __init__(self, shortest=5, seed=0):
        self.shortest, self.epoch, self.left = shortest, -1, []
        self.shuffle, self.noise = random.Random(seed), torch.Generator().manual_seed(seed)

    def fingerprint(self):
        return "shuffled"

    def __iter__(self):
        if not self.left:
            self.epoch += 1
            self.left = list(range(self.shortest + self.epoch % 3))
            self.shuffle.shuffle(self.left)
        while self.left:
            i = self.left.pop()
            real = torch.cat([torch.tensor([self.epoch, i]).float(), torch.rand(1, generator=self.noise)])
            yield {"real": real, "label": torch.tensor(i)}

    def state_dict(self):
        """Live objects: whoever keeps a state has to copy it."""
        state = {"left": self.left, "shuffle": self.shuffle.getstate(), "noise": self.noise.get_state()}
        return {"at": {"epoch": self.epoch, **state}}

    def load_state_dict(self, state):
        at = state["at"]
        self.epoch, self.left = at["epoch"], at["left"]
        self.shuffle.setstate(at["shuffle"])
        self.noise.set_state(at["noise"])


class Listed(IterableData):
    """These examples, again and again."""

    name = "listed"
    held_out = {}  # noqa: RUF012
    fields = {"real": Field((2,))}  # noqa: RUF012

    def __init__(self, examples):
        self.examples, self.at = examples, 0

    def fingerprint(self):
        return "listed"

    def __iter__(self):
        while self.at < len(self.examples):
            self.at += 1
            yield self.examples[self.at - 1]
        self.at = 0

    def state_dict(self):
        return {"at": self.at}

    def load_state_dict(self, state):
        self.at = state["at"]


def numbered(n):
    return [{"real": torch.tensor([i, -i]).float()} for i in range(n)]


def test_the_iterables_sequence_in_batches_that_reach_over_its_end():
    source = feed(Listed(numbered(5)), 3, seed=0, dtype=torch.float64)
    drawn = [source.draw(k)["real"] for k in (1, 3)]
    assert [d.shape for d in drawn] == [(1, 3, 2), (3, 3, 2)]
    assert drawn[0].dtype == torch.float64
    assert torch.cat(drawn).flatten(0, 1)[:, 0].tolist() == [0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 0, 1]


def test_fields_of_whole_numbers_keep_their_dtype():
    drawn = feed(Shuffled(), 4, seed=0, dtype=torch.float64).draw(2)
    assert drawn["label"].dtype == torch.int64
    assert drawn["label"].shape == (2, 4)
    assert torch.equal(drawn["real"][..., 1].long(), drawn["label"])


def by_hand(n):
    """The first n examples, by iterating without a feed."""
    data, items = Shuffled(), []
    while len(items) < n:
        items += list(data)
    return torch.stack([item["real"] for item in items[:n]])


@pytest.mark.parametrize("stop", range(12))
def test_resume_at_every_position_through_a_file(stop):
    first = feed(Shuffled(), 2, seed=0)
    before = [first.draw(1)["real"] for _ in range(stop)]
    tensors = {}
    text = json.dumps(flatten(first.state(), "feed", tensors))
    kept = {name: t.clone() for name, t in tensors.items()}
    first.draw(3)  # what a kill takes back
    second = feed(Shuffled(seed=9), 2, seed=0)
    second.load_state(unflatten(json.loads(text), kept))
    after = [second.draw(1)["real"] for _ in range(12 - stop)]
    assert torch.equal(torch.cat(before + after).flatten(0, 1), by_hand(24))


@pytest.mark.parametrize("stop", range(8))
def test_what_was_drawn_is_drawn_again_in_one_process(stop):
    source = feed(Shuffled(), 2, seed=0)
    source.draw(stop) if stop else None
    state = source.state()
    drawn = [source.draw(4) for _ in range(2)]
    for _ in range(2):
        source.load_state(state)
        assert all(torch.equal(source.draw(4)[name], t) for name, t in drawn[0].items() if name == "real")
        assert torch.equal(source.draw(4)["real"], drawn[1]["real"])


def test_another_seed_goes_on_with_the_iterables_own_sequence():
    source, other = (feed(Shuffled(), 4) for _ in range(2))
    for each in (source, other):
        each.draw(3)
    source.reseed(5)
    assert torch.equal(source.draw(4)["real"], other.draw(4)["real"])


def test_closing_an_iteration_does_not_change_what_is_loaded():
    class Tidy(Listed):
        def __iter__(self):
            try:
                yield from super().__iter__()
            finally:
                self.at = 0

    source = feed(Tidy(numbered(5)), 3, seed=0)
    state = source.state()
    source.draw(1)
    later = source.state()
    source.load_state(state)
    source.draw(1)
    source.load_state(later)
    assert source.draw(1)["real"][0, :, 0].tolist() == [3, 4, 0]


def test_workers_shares_are_the_whole_batch():
    whole = feed(Shuffled(), 4, seed=0).draw(5)
    parts = [feed(Shuffled(), 4, seed=0, share=share).draw(5) for share in ([0, 1], [2, 3])]
    for name, t in whole.items():
        assert torch.equal(torch.cat([part[name] for part in parts], 1), t)


def test_images_lie_channels_last():
    class Images(Listed):
        fields = {"real": Field((3, 4, 4), -1, 1)}  # noqa: RUF012

    pictures = torch.rand(4, 3, 4, 4)
    drawn = feed(Images([{"real": p} for p in pictures]), 2, seed=0, channels_last=True).draw(2)["real"]
    assert drawn[1].is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(drawn.flatten(0, 1), pictures)


GOOD = {"real": torch.zeros(2)}


@pytest.mark.parametrize(
    ("examples", "sentence"),
    [
        ([], "data listed gives no examples: its iteration ends at once, and does so again"),
        ([GOOD, {"fake": torch.zeros(2)}], "without the field 'real' \\(it has: fake\\)"),
        ([GOOD, {"real": torch.zeros(3)}], "whose 'real' has shape \\(3,\\); the field has \\(2,\\)"),
        ([GOOD, {"real": [0.0, 1.0]}], "whose 'real' is a list, not a tensor"),
        ([GOOD, {"real": torch.zeros(2, dtype=torch.float64)}], "whose 'real' is torch.float64; another one's is torch.float32"),
        ([torch.zeros(2)], "that is a Tensor, not a mapping from the names of the fields to tensors"),
    ],
)
def test_what_does_not_fit_is_refused(examples, sentence):
    with pytest.raises(GanflowError, match=sentence):
        feed(Listed(examples), 2, seed=0).draw(1)


def test_a_state_of_another_kind_of_data_is_refused():
    with pytest.raises(GanflowError, match="saved with data of another kind"):
        feed(Listed(numbered(3)), 2, seed=0).load_state({"position": torch.tensor(3)})


@pytest.mark.parametrize("bad", [b"bytes", {(1, 2): 3}, object()])
def test_state_that_no_checkpoint_can_keep_is_named(bad):
    with pytest.raises(GanflowError, match=r"feed\.iterable\.at: a \w+ cannot be kept in a checkpoint"):
        flatten({"iterable": {"at": bad}}, "feed", {})
