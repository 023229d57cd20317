"""Players, flat parameters, precision and memory formats."""

import copy

import pytest
import torch
from torch import nn

from ganflow.contract.loss import AddedTerms, Loss
from ganflow.engine.build import build_game
from ganflow.engine.game import Extras, evaluating
from ganflow.engine.player import Flat, Part, Player
from ganflow.engine.state import flatten, unflatten
from ganflow.errors import GanflowError, KeyTaken
from ganflow.plugins import Composition
from ganflow.recipe import read_recipe
from ganflow.runs.start import start

RECIPE = """
name: small
data: {use: digits, size: 16}
prior: {use: normal, dim: 8}
generator: {use: dcgan, width: 4}
critic: {use: dcgan, width: 4, norm: none}
loss: non_saturating
optimizer: {use: adam}
train: {rounds: 3, batch_size: 16, compile: never, sample_every: 3}
track: {mlflow: false}
"""


@pytest.fixture
def recipe(tmp_path):
    def make(*changes):
        path = tmp_path / "small.yaml"
        path.write_text(RECIPE)
        return read_recipe(path, changes)

    return make


def built(recipe):
    composition = recipe.composition()
    return build_game(recipe, composition, composition.build("data"))


def test_flat_parameters_are_the_networks_own():
    net = nn.Sequential(nn.Conv2d(2, 3, 3), nn.Conv2d(3, 4, 3)).to(memory_format=torch.channels_last)
    before = copy.deepcopy(net)
    flat = Flat(net)
    x = torch.randn(1, 2, 8, 8)
    assert torch.equal(net(x), before(x))
    assert net[0].weight.is_contiguous(memory_format=torch.channels_last)
    with torch.no_grad():
        flat.tensor.mul_(2)
    for p, old in zip(net.parameters(), before.parameters(), strict=True):
        assert torch.equal(p, 2 * old)


def test_modules_have_their_own_parameters_again_after_a_trace():
    net = nn.Sequential(nn.Conv2d(2, 3, 3), nn.Conv2d(3, 4, 3))
    before = list(net.parameters())
    with Flat(net).fresh_leaves() as leaves:
        assert all(p is leaf for p, leaf in zip(net.parameters(), leaves, strict=True))
    assert all(p is old for p, old in zip(net.parameters(), before, strict=True))


def test_a_gathered_gradient_lies_as_the_parameters_do():
    net = nn.Conv2d(2, 3, 3).to(memory_format=torch.channels_last)
    flat = Flat(net)
    gradients = torch.autograd.grad(net(torch.randn(4, 2, 8, 8)).square().sum(), list(net.parameters()))
    line = flat.gather(gradients)
    with torch.no_grad():
        flat.tensor.copy_(line)
    for p, g in zip(net.parameters(), gradients, strict=True):
        assert torch.equal(p, g)
    assert torch.equal(flat.gather([None, gradients[1]])[: gradients[0].numel()], torch.zeros(gradients[0].numel()))


def test_shared_parameters_are_updated_once():
    layer = nn.Linear(3, 3)
    net = nn.Sequential(layer, layer)
    player = Player("critic", [Part("critic", net, lambda ps: torch.optim.SGD(ps, lr=1.0), elementwise=True)])
    x = torch.randn(5, 3)
    expected = layer.weight.detach() - torch.autograd.grad(net(x).sum(), layer.weight)[0]
    player.descend(net(x).sum())
    torch.testing.assert_close(layer.weight, expected)


def test_the_other_player_gets_no_gradient(recipe):
    game = built(recipe())
    z, real = game.latents(4), torch.randn(4, 1, 16, 16)
    before = {name: t.clone() for name, t in game.critic.named_parameters()}
    game.players["generator"].descend(sum(game.terms_of(game.step("generator", {"z": z})).values()))
    assert all(torch.equal(p, before[name]) and p.grad is None for name, p in game.critic.named_parameters())
    generator = {name: t.clone() for name, t in game.generator.named_parameters()}
    game.players["critic"].descend(sum(game.terms_of(game.step("critic", {"z": z, "real": real})).values()))
    assert all(torch.equal(p, generator[name]) and p.grad is None for name, p in game.generator.named_parameters())
    assert any(not torch.equal(p, before[name]) for name, p in game.critic.named_parameters())


def test_channels_last_is_the_same_training(recipe, tmp_path):
    final = []
    for way in ("false", "true"):
        outcome = start(recipe(f"train.channels_last={way}", "train.precision=fp64"), tmp_path / way, quiet=True)
        from ganflow.runs.checkpoints import newest

        final.append(newest(outcome.folder.checkpoints)[0].tensors)
    for name, t in final[0].items():
        if name.startswith("game."):
            torch.testing.assert_close(final[1][name], t, rtol=0, atol=1e-9, msg=name)


def test_bf16_trains(recipe, tmp_path):
    outcome = start(recipe("train.precision=bf16", "train.channels_last=true"), tmp_path, quiet=True)
    assert outcome.status == "finished"


def test_sampling_leaves_training_alone(recipe):
    game = built(recipe())
    random, state = torch.get_rng_state(), {name: t.clone() for name, t in game.state_dict().items()}
    samples = game.samples(5, seed=1)
    assert samples.shape == (5, 1, 16, 16)
    assert torch.equal(samples, game.samples(5, seed=1))
    assert torch.equal(random, torch.get_rng_state())
    assert all(torch.equal(t, state[name]) for name, t in game.state_dict().items())  # batch norm's statistics, too
    assert game.generator.training


def test_evaluating_puts_every_mode_back():
    net = nn.Sequential(nn.Dropout(), nn.Dropout())
    net[1].eval()
    with evaluating(net):
        assert not net[0].training
    assert (net[0].training, net[1].training) == (True, False)


def test_one_pass_and_batch_norm(recipe):
    made = recipe("train.one_pass=true", "critic.norm=batch")
    composition = Composition(made.slots(), made.modifiers, made.metrics)
    with pytest.raises(GanflowError, match="one_pass: the critic has batch norm"):
        build_game(made, composition, composition.build("data"))


def test_a_modifier_without_its_critic(recipe):
    made = recipe("modifiers=[{use: weight_clip}]")
    made.critic = None
    composition = Composition(made.slots(), made.modifiers, made.metrics)
    with pytest.raises(GanflowError, match="'weight_clip' works on a critic, and the recipe has none"):
        build_game(made, composition, composition.build("data"))


class Term(Loss):
    def critic_terms(self, step):
        return {"r1": torch.tensor(1.0)}

    generator_terms = critic_terms


class Again(AddedTerms):
    def critic_terms(self, step):
        return {"r1": torch.tensor(2.0)}


def test_terms_of_one_name_are_refused(recipe):
    game = built(recipe())
    again = type(game)(game.data, game.prior, game.generator, game.critic, Term(), [Again()])
    with pytest.raises(GanflowError, match="two terms are called 'r1', and the modifier 'Again' gives the second"):
        again.terms_of(again.step("critic", {}))


def test_a_loss_with_state_is_part_of_the_game(recipe):
    game = built(recipe())

    class Pool(nn.Module, Loss):
        def __init__(self):
            super().__init__()
            self.register_buffer("pool", torch.zeros(3))

        def generator_terms(self, step):
            return {}

    class Holds(AddedTerms):
        def __init__(self):
            self.within = {"deep": [Pool()]}

    for loss, terms in ((Pool(), ()), (Term(), [Holds()])):
        again = type(game)(game.data, game.prior, game.generator, game.critic, loss, terms)
        assert [name for name in again.state_dict() if name.startswith("extras.")] == ["extras.loss.0.pool"]


def test_flatten_and_back():
    tensors = {}
    tree = {"state": {0: {"step": torch.tensor(2.0), "done": True}}, "groups": [{"lr": 0.1, "betas": (0.5, None)}]}
    plain = flatten(tree, "optimizer", tensors)
    assert list(tensors) == ["optimizer.state.0.step"]
    assert unflatten(plain, tensors) == tree
    with pytest.raises(GanflowError, match="a set cannot be kept"):
        flatten({"x": {1}}, "optimizer", {})


AVERAGES = '''
    GANFLOW_CONTRACT = 2
    from ganflow import hookimpl, settings

    @settings
    class Mean:
        """Keeps a mean of its kind."""

        @hookimpl
        def game_built(self, game):
            from torch import nn

            game.extras.average = nn.Linear(1, 1)

    @hookimpl
    def register(offer):
        offer("modifier", "mean", Mean)
'''


@pytest.mark.parametrize(
    ("modifiers", "first", "second"),
    [
        ("[ema, mean]", "modifiers[0], modifier 'regularize/ema' (ganflow ", "modifiers[1], modifier 'acme/mean' (gf-acme "),
        ("[mean, ema]", "modifiers[0], modifier 'acme/mean' (gf-acme ", "modifiers[1], modifier 'regularize/ema' (ganflow "),
    ],
)  # fmt: skip
def test_two_parts_with_one_key_of_extras_are_refused(recipe, workshop, tmp_path, modifiers, first, second):
    workshop.install("acme", AVERAGES)
    workshop.catalogue()
    made = recipe(f"modifiers={modifiers}")
    with pytest.raises(GanflowError) as caught:
        start(made, tmp_path, quiet=True)
    text = str(caught.value)
    assert text.startswith(first)
    assert f"and {second}" in text
    assert "both keep their state in game.extras['average'], which has room for one; leave one of them out" in text


CLAMPS = '''
    GANFLOW_CONTRACT = 2
    from ganflow import hookimpl, settings

    @settings
    class Clamp:
        """Clamps the critic's weights."""

        @hookimpl(specname="critic_stepped")
        def clamp(self, game):
            pass

    @hookimpl
    def register(offer):
        offer("modifier", "clamp", Clamp)
'''


def test_a_modifier_that_hears_of_a_critic_under_another_name_is_refused_without_one(recipe, workshop):
    workshop.install("acme", CLAMPS)
    workshop.catalogue()
    made = recipe("modifiers=[clamp]")
    made.critic = None
    composition = Composition(made.slots(), made.modifiers, made.metrics)
    with pytest.raises(GanflowError, match="'clamp' works on a critic, and the recipe has none"):
        build_game(made, composition, composition.build("data"))


def test_extras_may_be_put_back_and_exchanged_where_that_is_meant():
    extras = Extras({"pool": nn.Linear(1, 1)})
    extras["pool"] = extras["pool"]
    del extras["pool"]
    extras["pool"] = nn.Linear(2, 2)
    for replace in (
        lambda: extras.update({"pool": nn.Linear(1, 1)}),
        lambda: extras.register_module("pool", nn.Linear(1, 1)),
        lambda: setattr(extras, "pool", nn.Linear(1, 1)),
    ):
        with pytest.raises(KeyTaken, match=r"game.extras\['pool'\] is in use"):
            replace()
    assert list(extras.state_dict()) == ["pool.weight", "pool.bias"]
    assert extras["pool"].in_features == 2
    assert copy.deepcopy(extras)["pool"].in_features == 2


def test_what_a_critics_step_generates_has_no_graph(recipe):
    game = built(recipe())
    batch = {"z": game.latents(4), "real": torch.randn(4, 1, 16, 16)}
    for player, expected in (("critic", False), ("generator", True)):
        step = game.step(player, batch)
        assert step.generated("real").requires_grad == step.fake().requires_grad == expected


def test_latents_of_a_seed_are_no_other_purposes_numbers(recipe):
    game = built(recipe())
    draws = [torch.randn(8, generator=game.stream(purpose, 3)) for purpose in ("latents", "prior", "latents")]
    assert torch.equal(draws[0], draws[2])
    assert not torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], torch.randn(8, generator=torch.Generator().manual_seed(3)))


def test_evaluating_leaves_a_part_that_was_in_evaluation_mode_in_it():
    net = nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.5))
    net[1].eval()
    with evaluating(net):
        assert not any(m.training for m in net.modules())
    assert [m.training for m in net.modules()] == [True, True, False]
