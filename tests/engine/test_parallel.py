"""Workers that train one game together. They are threads here, each with its own game and connections: what is between
them is what is between processes. (Those are in tests/runs/test_workers.py.)"""

import copy
from concurrent.futures import ThreadPoolExecutor
from threading import Lock

import pytest
import torch
from torch import nn

from ganflow.contract.data import Field, StreamData
from ganflow.engine.batch_norm import synchronize
from ganflow.engine.distributed import Group
from ganflow.engine.feed import feed
from ganflow.engine.state import game_state
from ganflow.engine.trainer import Apart
from ganflow.errors import GanflowError
from ganflow.recipe import read_recipe
from ganflow.runs.run import Parts

WGAN = """\
name: shared
data: {use: gaussians, layout: ring, samples: 2000}
prior: {use: normal, dim: 2}
generator: {use: mlp, width: 16}
critic: {use: mlp, width: 16}
loss: wasserstein
optimizer: {use: rmsprop, lr: 1.0e-3}
modifiers:
  - {use: weight_clip, c: 0.05}
train: {rounds: 20, n_critic: 5, batch_size: 24, seed: 3, precision: fp64, compile: never, threads: 1}
track: {mlflow: false}
"""
EVERYTHING = """\
name: shared
data: {use: digits, size: 16}
prior: {use: normal, dim: 8}
generator: {use: dcgan, width: 4}
critic: {use: dcgan, width: 4, norm: none}
loss: relativistic
optimizer:
  generator: {use: adam, lr: 2.0e-3, beta1: 0.5}
  critic: {use: sgd, lr: 0.05, momentum: 0.9}
schedule: {use: cosine, warmup: 0.2}
modifiers:
  - {use: r1, weight: 0.5}
  - {use: r2, weight: 0.5}
  - {use: spectral_norm}
  - {use: ema, decay: 0.9}
train: {rounds: 20, n_critic: 2, batch_size: 24, seed: 1, precision: fp64, compile: never, threads: 1, clip_grad: 0.1,
        accumulate: 3, batch_norm: sync, channels_last: true}
track: {mlflow: false}
"""
BUILDING = Lock()  # weights come from torch's generator, which threads share


def together(size, work):
    """What `work(group)` gives for each worker."""
    groups = [first := Group.host(size), *(Group(rank, size, first.address) for rank in range(1, size))]
    with ThreadPoolExecutor(size) as pool:
        return list(pool.map(work, groups))


def played(recipe, group=None, rounds=20):
    """A trainer that has played so many rounds, and its report."""
    with BUILDING:
        parts = Parts(recipe, group)
        parts.composition.begin(parts.game)
    if group:
        group.join(parts.game.device)
        parts.trainer.share()
    parts.trainer.advance(rounds // 2)
    report = parts.trainer.advance(rounds)
    parts.feed.close()
    if group:
        group.close()
    return parts.trainer, report


@pytest.fixture
def recipe(tmp_path):
    def read(text, *changes):
        (tmp_path / "shared.yaml").write_text(text)
        return read_recipe(tmp_path / "shared.yaml", changes)

    return read


def assert_close(states, expected, tolerance=1e-10):
    for name, t in expected.items():
        if t.is_floating_point():
            assert (states[name] - t).abs().max() <= tolerance, name
        else:
            assert torch.equal(states[name], t), name


@pytest.mark.parametrize("size", [2, pytest.param(4, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    ("text", "changes"),
    [
        pytest.param(WGAN, (), id="algorithm 1"),
        pytest.param(WGAN, ("train.one_pass=true",), id="one pass"),
        pytest.param(EVERYTHING, (), id="everything"),
        pytest.param(EVERYTHING, ("train.accumulate=1",), id="one micro-batch"),
    ],
)
def test_n_workers_do_what_one_does(recipe, text, changes, size):
    read = recipe(text, *changes)
    alone, alone_report = played(read)
    results = together(size, lambda group: played(read, group))
    expected = game_state(alone.game)[0]
    moved = game_state(Parts(read).game)[0]
    assert max((expected[n] - t).abs().max() for n, t in moved.items() if t.is_floating_point()) > 1e-3
    for trainer, report in results:
        assert_close(game_state(trainer.game)[0], expected)
        assert report.terms == pytest.approx(alone_report.terms, abs=1e-5)  # read from the device in single precision
        assert report.rates == alone_report.rates
    first = game_state(results[0][0].game)[0]
    for trainer, _ in results[1:]:  # among themselves they agree to the bit
        assert all(torch.equal(t, first[name]) for name, t in game_state(trainer.game)[0].items())


def test_local_batch_norm_is_another_function(recipe):
    read = recipe(EVERYTHING, "train.accumulate=1", "train.batch_norm=local")
    expected = game_state(played(read, rounds=4)[0].game)[0]
    found = game_state(together(2, lambda group: played(read, group, rounds=4))[0][0].game)[0]
    with pytest.raises(AssertionError):
        assert_close(found, expected)


def network(kind, seed=0):
    torch.manual_seed(seed)
    layers = {1: [nn.Linear(5, 6), nn.BatchNorm1d(6)], 2: [nn.Conv2d(5, 6, 3), nn.BatchNorm2d(6, momentum=None)]}[kind]
    return nn.Sequential(*layers, nn.Tanh(), nn.Flatten(), nn.LazyLinear(1)).double()


@pytest.mark.parametrize("kind", [1, 2])
def test_synchronized_batch_norm_is_the_whole_batchs(kind):
    """Results, gradients, gradients of gradients (a penalty's), running statistics; and evaluation needs nobody else."""
    shape = {1: (12, 5), 2: (12, 5, 4, 4)}[kind]
    x = 3 + 10 * torch.randn(shape, dtype=torch.float64)
    whole = network(kind)
    whole(x[:2])  # makes the lazy layer
    nets = [copy.deepcopy(whole) for _ in range(3)]

    def gradients(net, x):
        x = x.clone().requires_grad_()
        y = net(x)
        slopes = torch.autograd.grad(y.sum(), x, create_graph=True)[0]
        objective = y.square().mean() + slopes.square().mean()
        return torch.autograd.grad(objective, list(net.parameters()))

    def work(group):
        net = nets[group.rank]
        synchronize(net, group)
        group.join(torch.device("cpu"))
        for _ in range(2):
            found = group.mean(gradients(net, x[group.share(12)]))
        with torch.no_grad():
            made = net(x[group.share(12)])
        group.close()
        return found, made, net.eval()(x)  # after the others have left

    results = together(3, work)
    for _ in range(2):
        expected = gradients(whole, x)
    with torch.no_grad():
        made = whole(x)
    evaluated = whole.eval()(x)
    for found, _, alone in results:
        for a, b in zip(found, expected, strict=True):
            assert (a - b).abs().max() <= 1e-10
        assert (alone - evaluated).abs().max() <= 1e-10
    assert (torch.cat([m for _, m, _ in results]) - made).abs().max() <= 1e-10
    for net in nets:
        assert net.state_dict().keys() == whole.state_dict().keys()
        assert_close(net.state_dict(), whole.state_dict())


REMEMBERS = '''
import torch
from torch import nn

from ganflow import ScoreLoss, hookimpl, key, settings

GANFLOW_CONTRACT = 2


class Balanced(nn.Module, ScoreLoss):
    name = "balanced"

    def __init__(self, what):
        super().__init__()
        self.what = what
        self.register_buffer("k", torch.zeros(()))
        self.ahead = torch.zeros(())

    def critic_loss(self, real, fake):
        self.ahead = (real.mean() - fake.mean()).detach()
        return (1 - self.k) * fake.mean() - real.mean()

    def generator_loss(self, fake, real=None):
        return -fake.mean()

    def critic_terms(self, step):
        real, fake = step.scores()
        step.log("balance", real.mean() - fake.mean())
        return super().critic_terms(step)

    def critic_stepped(self, values):
        if self.what == "means":
            self.k.add_(1e-3 * values["balance"] + 1e-4 * values["balanced"])


@settings
class BalancedSettings:
    """Follows its scores, counts, or follows what all workers found."""

    what: str = key("scores", "which")

    @hookimpl
    def loss(self):
        self.made = Balanced(self.what)
        return self.made

    @hookimpl
    def critic_stepped(self, game):
        if self.what != "means":
            self.made.k.add_(1e-3 * (self.made.ahead if self.what == "scores" else 1))


@hookimpl
def register(offer):
    offer("loss", "balanced", BalancedSettings)
'''


@pytest.mark.parametrize("what", ["scores", "rounds"])
def test_state_that_follows_from_a_workers_examples_is_refused_after_the_first_round(recipe, workshop, what):
    """What is the same on all workers, as an average of the generator is, may be kept."""
    workshop.install("balanced", REMEMBERS)
    workshop.catalogue()
    reads = [recipe(WGAN, f"loss={{use: balanced, what: {what}}}", "+modifiers={use: ema}") for _ in range(2)]
    if what == "rounds":
        trainers = [trainer for trainer, _ in together(2, lambda group: played(reads[group.rank], group, rounds=4))]
        assert [float(t.game.state_dict()["extras.loss.0.k"]) for t in trainers] == [pytest.approx(0.02)] * 2
        return
    rounds = []

    def work(group):
        with BUILDING:
            parts = Parts(reads[group.rank], group)
            parts.composition.begin(parts.game)
        group.join(parts.game.device)
        with pytest.raises(Apart, match=r"^--workers: 'loss\.0\.k' follows from the examples of each worker .*; train with one$"):
            parts.trainer.advance(10)
        rounds.append(parts.trainer.round)
        parts.feed.close()
        group.close()

    together(2, work)
    assert rounds == [1, 1]


@pytest.mark.parametrize("changes", [(), ("train.accumulate=3",)])
def test_state_that_follows_from_what_all_workers_found_is_the_whole_batchs(recipe, workshop, changes):
    """By `critic_stepped(values)`: the same, in every worker, as one worker's with the whole batch."""
    workshop.install("balanced", REMEMBERS)
    workshop.catalogue()
    change = "loss={use: balanced, what: means}"
    alone, report = played(recipe(WGAN, change), rounds=4)
    reads = [recipe(WGAN, change, *changes) for _ in range(2)]
    expected = game_state(alone.game)[0]
    assert abs(float(expected["game.extras.loss.0.k"])) > 1e-9
    assert "critic/balance" in report.terms
    for trainer, found in together(2, lambda group: played(reads[group.rank], group, rounds=4)):
        assert_close(game_state(trainer.game)[0], expected, 1e-12)
        assert found.terms == pytest.approx(report.terms, abs=1e-5)


def test_a_batch_norm_of_its_own_kind_is_refused():
    class Mine(nn.BatchNorm1d):
        def forward(self, x):
            return x

    with pytest.raises(GanflowError, match=r"^train.batch_norm: a Mine cannot be synchronized; use local$"):
        synchronize(nn.Sequential(Mine(3)), Group(1, 2, "127.0.0.1:1"))


def test_every_worker_draws_its_own_random_numbers():
    group = Group(1, 2, "127.0.0.1:1")

    def drawn(group, seed, round):
        with torch.random.fork_rng():
            torch.manual_seed(0)
            group.reseed(seed, round)
            return torch.rand(3).tolist()

    torch.manual_seed(0)
    first = drawn(Group(0, 2, ""), 5, 7)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        assert first == torch.rand(3).tolist()  # the run's own go on
    others = [drawn(group, 5, 7), drawn(group, 5, 8), drawn(group, 6, 7), drawn(Group(2, 3, ""), 5, 7)]
    assert len({tuple(d) for d in (first, *others)}) == 5
    assert drawn(group, 5, 7) == others[0]


class Numbers(StreamData):
    """Example i is the number i; some cannot be loaded."""

    def __init__(self, size, unreadable=()):
        self.name, self.size, self.held_out, self.unreadable = "numbers", size, {}, unreadable
        self.fields = {"real": Field((1,))}
        self.loaded = []

    def fingerprint(self):
        return "numbers"

    def load(self, index, rng):
        self.loaded.append(index)
        return None if index in self.unreadable else {"real": torch.tensor([float(index)])}


def shares(data, sizes, draws):
    """What the workers of several groups draw, put together, and what is left of (position, loaded) for each."""
    made = []
    for size in sizes:
        feeds = [feed(data, 12, 0, share=Group(rank, size, "").share(12)) for rank in range(size)]
        made.append(torch.cat([torch.cat([f.draw(k)["real"] for k in draws]) for f in feeds], 1))
        for f in feeds:
            assert int(f.state()["position"]) == 12 * sum(draws)
            f.close()
    return made


def test_workers_draw_one_row_and_load_only_their_own():
    one, two, three = shares(Numbers(30), (1, 2, 3), (2, 1, 3))
    assert torch.equal(one, two)
    assert torch.equal(one, three)
    data = Numbers(1000)
    only = feed(data, 12, 0, share=range(6))
    only.draw(1)
    only.close()
    assert len(data.loaded) <= 13  # its six, and those of the next draw


def test_an_example_that_cannot_be_loaded_keeps_no_other_worker_from_its_own():
    whole, halves = shares(Numbers(24), (1,), (2,))[0], shares(Numbers(24, {3, 4, 5}), (2,), (2,))[0]
    differs = (whole != halves).flatten()
    assert set(whole.flatten()[differs].tolist()) == {3, 4, 5}
    assert not {3, 4, 5} & set(halves.flatten().tolist())
    nothing = feed(Numbers(24, set(range(24))), 12, 0, share=range(6))
    with pytest.raises(GanflowError, match=r"^none of the 24 examples of data numbers can be loaded$"):
        nothing.draw(1)
    nothing.close()


def test_another_kind_of_device_is_said():
    def work(group):
        with pytest.raises(GanflowError, match=r"not worker 0 on cpu, worker 1 on mps$"):
            group.join(torch.device("cpu" if group.rank == 0 else "mps"))

    together(2, work)
