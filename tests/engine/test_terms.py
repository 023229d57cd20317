"""Added terms: when they take part, what they weigh, what is logged beside them; eager rounds and traced ones."""

import copy

import pytest
import torch
from ganflow_optim import RMSProp
from ganflow_vanilla.priors import NormalPrior
from torch import nn

from ganflow import AddedTerms, GanflowError, Loss, ScoreLoss, TensorData
from ganflow.engine import compile
from ganflow.engine.feed import feed
from ganflow.engine.game import Game
from ganflow.engine.player import Part, Player
from ganflow.engine.round import Round
from ganflow.engine.state import game_state
from ganflow.engine.trainer import Trainer


class Wasserstein(ScoreLoss):
    def critic_loss(self, real, fake):
        return fake.mean() - real.mean()

    def generator_loss(self, fake, real=None):
        return -fake.mean()


class Squares(AddedTerms):
    """The critic's squared scores, heavier from round to round; how heavy is logged."""

    def __init__(self, name, every=1, begin=0, end=None):
        self.name, self.every, self.begin, self.end = name, every, begin, end

    def critic_terms(self, step):
        weight = 1 + step.round.double() / 10
        step.log(f"{self.name}_weight", weight)
        return {self.name: weight * step.score(step.real()).square().mean()}


def make(terms=(), loss=None, optimizer=RMSProp, critic=True):
    torch.manual_seed(0)
    generator = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 2))
    critic = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 1)) if critic else None
    data = TensorData("points", {"real": torch.randn(100, 2)})
    game = Game(data, NormalPrior(2), generator, critic, loss or Wasserstein(), terms).double()
    for name in ("generator", "critic")[: 1 + (critic is not None)]:
        build = optimizer if not isinstance(optimizer, type) else lambda ps: optimizer(lr=1e-3).optimizer(ps, "critic")
        game.players[name] = Player(name, [Part(name, getattr(game, name), build, elementwise=True)])
    return game


def draws(seed):
    random = torch.Generator().manual_seed(seed)
    return {"real": torch.randn(1, 8, 2, generator=random).double(), "z": torch.randn(2, 8, 2, generator=random).double()}


def play(round, rounds, first=0):
    for i in range(first, rounds):
        round.begin(i)
        round(draws(i))


def assert_same(game, other, tolerance=1e-12):
    for (name, a), b in zip(game_state(game)[0].items(), game_state(other)[0].values(), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=tolerance, msg=name)


def by_hand(rounds, weight, lr=0.05):
    """Both players in plain torch; weight(round): of the squared scores, 0 for none."""
    game = make()
    w, theta = list(game.critic.parameters()), list(game.generator.parameters())
    for i in range(rounds):
        (x,), (z, again) = draws(i).values()
        objective = game.critic(game.generator(z)).mean() - game.critic(x).mean() + weight(i) * game.critic(x).square().mean()
        with torch.no_grad():
            for p, g in zip(w, torch.autograd.grad(objective, w), strict=True):
                p -= lr * g
        gradients = torch.autograd.grad(-game.critic(game.generator(again)).mean(), theta)
        with torch.no_grad():
            for p, g in zip(theta, gradients, strict=True):
                p -= lr * g
    return game


def descent(parameters):
    return torch.optim.SGD(parameters, lr=0.05)


@pytest.mark.parametrize("accumulate", [1, 4])
@pytest.mark.parametrize(
    ("span", "rounds"),
    [
        ({}, range(9)),
        ({"every": 4}, (0, 4, 8)),
        ({"begin": 2}, range(2, 9)),
        ({"end": 3}, (0, 1, 2)),
        ({"every": 3, "begin": 1, "end": 7}, (1, 4)),
        ({"begin": 9}, ()),
    ],
)
def test_a_term_takes_part_in_its_rounds_and_weighs_as_much_as_in_all(span, rounds, accumulate):
    every = span.get("every", 1)
    expected = by_hand(9, lambda i: every * (1 + i / 10) if i in rounds else 0)
    game = make([Squares("squares", **span)], optimizer=descent)
    play(Round(game, 1, accumulate=accumulate), 9)
    for name, p in expected.named_parameters():
        torch.testing.assert_close(game.get_parameter(name), p, rtol=0, atol=1e-12)


def test_what_is_reported_is_a_mean_over_the_rounds_in_which_it_took_part():
    def trainer():
        game = make([Squares("lazy", every=3)])
        return Trainer(game, feed(game.data, 8, 0, dtype=torch.float64), Round(game, 1), 8)

    single = trainer()
    rows = [single.advance(i + 1).terms for i in range(6)]
    assert ["critic/lazy" in row for row in rows] == [True, False, False] * 2
    found = trainer().advance(6).terms
    assert found["critic/lazy"] == pytest.approx((rows[0]["critic/lazy"] + rows[3]["critic/lazy"]) / 2)
    assert found["critic/lazy_weight"] == pytest.approx((1.0 + 1.3) / 2)
    assert found["critic/wasserstein"] == pytest.approx(sum(row["critic/wasserstein"] for row in rows) / 6)
    for row in rows:  # what is logged is no part of the sum
        assert row["critic_loss"] == pytest.approx(row["critic/wasserstein"] + row.get("critic/lazy", 0.0))
    for player in ("critic", "generator"):
        assert found[f"{player}_loss"] == pytest.approx(sum(row[f"{player}_loss"] for row in rows) / 6)
    assert found["generator_loss"] == pytest.approx(found["generator/wasserstein"])


TERMS = [Squares("lazy", every=3), Squares("late", begin=4)]  # together, alone and neither: four sets of terms


@pytest.mark.parametrize("whole", [False, True])
def test_traced_rounds_are_the_eager_ones_with_a_program_for_each_set_of_terms(whole, monkeypatch):
    traced, trace = [], compile.trace_step
    monkeypatch.setattr(compile, "trace_step", lambda *given: traced.append(1) or trace(*given))
    eager, game = make(copy.deepcopy(TERMS)), make(copy.deepcopy(TERMS))
    for played in (eager, game):
        for player in played.players.values():
            player.parts[0].optimizer.traceable()
    round = Round(game, 1)
    assert round.phases(10) == [0, 1, 4, 6]
    assert round.phases(10, 4) == [4, 6]
    play(Round(eager, 1), 10)
    play(compile.CompiledRound(round, whole, plain=True), 10)
    assert_same(game, eager)
    assert len(traced) == (4 if whole else 8)


def test_compiling_tries_every_set_of_terms_that_will_take_part(monkeypatch):
    monkeypatch.setattr(torch, "compile", lambda graph, **options: graph)

    class Frozen(Squares):
        seen = 0

        def critic_terms(self, step):
            self.seen += 1
            return super().critic_terms(step)

    def tried(rounds):
        terms = [Frozen("late", begin=4)]
        round = Round(make(terms), 1)
        return compile.compile_round(round, lambda: Round(make(copy.deepcopy(terms)), 1), [draws(i) for i in range(3)], True,
                                      round.phases(rounds))  # fmt: skip

    tried(4)  # it never takes part
    with pytest.raises(compile.NotCompilable, match=r"^Frozen\.seen changed from"):
        tried(5)


class Fickle(AddedTerms):
    n = 0

    def critic_terms(self, step):
        self.n += 1
        return {"fickle": step.score(step.real()).mean()} if self.n % 3 else {}


def test_a_term_that_comes_and_goes_without_having_said_so_is_refused_by_name():
    round = Round(make([Fickle()]), 1)
    with pytest.raises(GanflowError, match=r"critic's term 'fickle' takes part in some steps and not in others.*every, begin"):
        play(round, 3)


class Nothing(Loss):
    def generator_terms(self, step):
        return {"far": step.fake().square().mean()}


def test_a_player_with_nothing_to_descend_is_refused():
    """By the loss's name in the recipe."""
    game = make(loss=Nothing())
    game.called = ("loss 'quiet'",)
    with pytest.raises(GanflowError, match=r"^the loss 'quiet' gives the critic nothing to descend: take the critic out of the"):
        play(Round(game, 1), 1)
    play(Round(make(loss=Nothing(), critic=False), 1), 1)
    play(Round(make([Squares("squares")], Nothing()), 1), 1)  # a modifier's term is enough


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("squares", torch.ones(()), "a number is logged as 'squares', which is the name of a term"),
        ("norm", torch.ones(2), r"the logged number 'norm' has shape \(2,\)"),
    ],
)
def test_what_cannot_be_logged(name, value, text):
    class Logs(Squares):
        def critic_terms(self, step):
            step.log(name, value)
            return super().critic_terms(step)

    with pytest.raises(GanflowError, match=text):
        play(Round(make([Logs("squares")]), 1), 1)


class Follows(nn.Module, AddedTerms):
    """Keeps what it hears of its own terms and numbers."""

    def __init__(self):
        super().__init__()
        self.register_buffer("heard", torch.zeros(2))

    def critic_terms(self, step):
        real = step.real()
        step.log("size", real.square().mean())
        return {"mean": step.score(real).mean()}

    def critic_stepped(self, values):
        self.heard.add_(torch.stack((values["mean"], values["size"])))


@pytest.mark.parametrize("accumulate", [1, 4])
def test_what_follows_from_a_steps_values_follows_from_the_whole_batch_once(accumulate):
    game = make([Follows()])
    with torch.no_grad():
        x = draws(0)["real"][0]
        expected = torch.stack((game.critic(x).mean(), x.square().mean()))
    play(Round(game, 1, accumulate=accumulate), 1)
    torch.testing.assert_close(game.state_dict()["extras.loss.0.heard"], expected, rtol=0, atol=1e-14)


class Counts(nn.Module, AddedTerms):
    """Changes a buffer in its step, and looks at it when the step is made."""

    def __init__(self):
        super().__init__()
        self.register_buffer("seen", torch.zeros(()))
        self.before, self.after, self.graphs = [], [], []

    def critic_terms(self, step):
        self.before.append(float(self.seen))
        mean = step.score(step.real()).mean()
        step.log("level", mean)
        step.change(self.seen, step.state(self.seen) + 1 + 0 * mean)
        self.graphs += [step.state(self.seen).requires_grad, step.logged["level"].requires_grad]
        return {"mean": mean}

    def critic_stepped(self, values):
        self.after.append(float(self.seen))


def test_a_changed_buffer_is_written_before_anybody_hears_of_the_step():
    counts = Counts()
    play(Round(make([counts]), 1), 3)
    assert (counts.before, counts.after) == ([0, 1, 2], [1, 2, 3])
    assert not any(counts.graphs)  # nothing that is kept holds on to a step's graph


def test_the_clock_is_the_number_of_the_round():
    game = make([Squares("squares")])
    round = Round(game, 1)
    for number in (0, 7, 3):
        round.begin(number)
        assert int(game.round) == number
        values = round(draws(0))
        assert float(dict(zip(round.names, values, strict=True))["critic/squares_weight"]) == 1 + number / 10


def test_estimates_are_of_the_terms_without_every():
    class Estimates(Squares):
        def estimates(self, means):
            return {"squares": means["critic/squares"]}

    assert make([Estimates("squares", every=4)]).estimates({"critic/squares": 4 * 0.25}) == {"squares": 0.25}
