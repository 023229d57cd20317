"""What translators and critics descend: against the papers' formulas, against a plain transcript, and who gets a gradient."""

import copy
import shutil

import pytest
import torch
from ganflow_translation.systems.pool import Pool
from ganflow_vanilla.priors import NormalPrior
from torch import nn
from torch.nn import functional as F

from ganflow.contract.data import TensorData
from ganflow.contract.loss import Loss
from ganflow.engine.build import DTYPES, build_game, build_round
from ganflow.engine.feed import feed
from ganflow.engine.game import Game
from ganflow.engine.rows import rows_of
from ganflow.engine.speed import counted, operations
from ganflow.engine.trainer import Trainer
from ganflow.errors import GanflowError
from ganflow.plugins import Composition
from ganflow.recipe import read_recipe
from ganflow.runs.checkpoints import newest
from ganflow.runs.start import resume, start

PIX2PIX = """
name: letter
data: {use: facades, size: 16, train: 40, held_out: 8}
generator: {use: unet, width: 4, norm: instance, dropout: 0}
critic: {use: patch, receptive_field: 16, width: 4}
loss: {use: pix2pix}
optimizer: {use: adam, lr: 2.0e-4, beta1: 0.5}
train: {rounds: 6, batch_size: 3, seed: 3, one_batch: true, compile: never, sample_every: 6}
track: {mlflow: false}
"""
CYCLE = """
name: cycle
data: {use: street, size: 16, train: 30, held_out: 8}
generator: {use: resnet_translator, width: 4, blocks: 1, downs: 1}
critic: {use: patch, receptive_field: 7, width: 4}
loss: {use: cycle, pool: 5}
optimizer: {use: adam, lr: 2.0e-4, beta1: 0.5}
train: {rounds: 12, batch_size: 2, seed: 3, compile: never, sample_every: 12, checkpoint_every: 4, report_every: 1}
track: {mlflow: false}
"""
UNIT = CYCLE.replace("use: resnet_translator", "use: unit").replace("{use: cycle, pool: 5}", "unit")
SYSTEMS = {"pix2pix": PIX2PIX, "cycle": CYCLE, "unit": UNIT}


@pytest.fixture
def recipe(tmp_path):
    def read(text, *changes):
        path = tmp_path / "recipe.yaml"
        path.write_text(text)
        return read_recipe(path, list(changes))

    return read


def made(recipe):
    composition = Composition(recipe.slots(), recipe.modifiers, recipe.metrics)
    data = composition.build("data")
    game = build_game(recipe, composition, data)
    composition.begin(game)
    round = build_round(recipe, composition, game)
    draws = feed(data, recipe.train.batch_size, recipe.train.seed, dtype=DTYPES[recipe.train.precision])
    return Trainer(game, draws, round, recipe.train.batch_size)


def weights(network):
    return {name: t.detach().clone() for name, t in network.state_dict().items()}


def pix2pix_by_hand(generator, critic, batches, weight):
    """The paper's Section 3 and its code's order: the critic's step, then the generator's, on one batch and one forward pass."""
    of_critic = torch.optim.Adam(critic.parameters(), lr=2e-4, betas=(0.5, 0.999))
    of_generator = torch.optim.Adam(generator.parameters(), lr=2e-4, betas=(0.5, 0.999))

    def cross_entropy(scores, label):
        return F.binary_cross_entropy_with_logits(scores, torch.full_like(scores, label))

    for x, y in batches:
        fake = generator(x, "target")
        real_scores = critic(y, source=x)
        fake_scores = critic(fake.detach(), source=x)
        of_critic.zero_grad()
        (0.5 * (cross_entropy(real_scores, 1.0) + cross_entropy(fake_scores, 0.0))).backward()
        of_critic.step()
        of_generator.zero_grad()
        (cross_entropy(critic(fake, source=x), 1.0) + weight * F.l1_loss(fake, y)).backward()
        of_generator.step()


@pytest.mark.parametrize("one_batch", [True, False])
def test_pix2pix_is_the_papers(recipe, one_batch):
    trainer = made(recipe(PIX2PIX, f"train.one_batch={str(one_batch).lower()}", "train.precision=fp64"))
    game = trainer.game
    generator, critic = copy.deepcopy(game.generator), copy.deepcopy(game.critic)
    assert trainer.play.data_draws == (1 if one_batch else 2)
    draws = trainer.peek(6)
    trainer.advance(6)
    if one_batch:  # the paper's code: both steps on one batch
        pix2pix_by_hand(generator, critic, [(d["source"][0], d["target"][0]) for d in draws], 100.0)
        for ours, theirs in ((game.generator, generator), (game.critic, critic)):
            for name, t in theirs.state_dict().items():
                torch.testing.assert_close(ours.state_dict()[name], t, rtol=1e-9, atol=1e-12, msg=name)
    else:  # another batch for the generator: other weights, but the critic's first step is the same
        assert any(not torch.equal(a, b) for a, b in zip(game.generator.parameters(), generator.parameters(), strict=True))


def batch_of(game, n=3):
    return {name: part[:n].to(next(game.generator.parameters()).dtype) for name, part in game.data.held_out.items()}


def test_cycle_terms_are_the_papers(recipe):
    """Zhu et al., eq. 1 to 3 with least squares, and the identity term of section 5.2."""
    game = made(recipe(CYCLE, "train.precision=fp64", "loss.pool=0")).game
    batch = batch_of(game)
    a, b, G, D = batch["a"], batch["b"], game.generator.networks, game.critic.critics
    fake_a, fake_b = G["a"](b), G["b"](a)
    terms = game.terms_of(game.step("critic", batch))
    for domain, real, fake in (("a", a, fake_a), ("b", b, fake_b)):
        squares = ((D[domain](real) - 1) ** 2).mean() + (D[domain](fake) ** 2).mean()
        torch.testing.assert_close(terms[f"lsgan_{domain}"], 0.5 * squares)
    terms = game.terms_of(game.step("generator", batch))
    expected = {
        "lsgan_b": ((D["b"](fake_b) - 1) ** 2).mean(),
        "lsgan_a": ((D["a"](fake_a) - 1) ** 2).mean(),
        "cycle_a": 10 * (G["a"](fake_b) - a).abs().mean(),
        "cycle_b": 10 * (G["b"](fake_a) - b).abs().mean(),
        "identity_b": 5 * (G["b"](b) - b).abs().mean(),
        "identity_a": 5 * (G["a"](a) - a).abs().mean(),
    }
    assert terms.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(terms[name], value, msg=name)


def test_unit_terms_are_the_papers(recipe):
    """Liu et al., eq. 3 to 7, without noise; weights of the authors' code."""
    game = made(recipe(UNIT, "train.precision=fp64")).game.eval()
    batch, net = batch_of(game), game.generator
    terms = game.terms_of(game.step("generator", batch))
    for own, to in (("a", "b"), ("b", "a")):
        x = batch[own]
        code = net.encode(x, own)
        fake = net.decode(code, to)
        again = net.encode(fake, to)
        torch.testing.assert_close(terms[f"reconstruction_{own}"], 100 * (net.decode(code, own) - x).abs().mean())
        torch.testing.assert_close(terms[f"cycle_{own}"], 100 * (net.decode(again, own) - x).abs().mean())
        torch.testing.assert_close(terms[f"kl_{own}"], 0.1 * (code**2).mean())
        torch.testing.assert_close(terms[f"kl_cycle_{own}"], 0.1 * (again**2).mean())
        scores = game.critic(fake, to)
        torch.testing.assert_close(terms[f"non_saturating_{to}"], 10 * -torch.log(torch.sigmoid(scores)).mean())


@pytest.mark.parametrize("system", SYSTEMS)
def test_each_step_reaches_its_own_player_alone(recipe, system):
    """Fakes are detached in the critic's step; in the generator's the critic stays as it is."""
    trainer = made(recipe(SYSTEMS[system]))
    game, step = trainer.game, trainer.play
    draws = {name: t[0] for name, t in trainer.draw().items()}
    generator, critic = weights(game.generator), weights(game.critic)
    assert not any(game.step("critic", draws).fake(domain).requires_grad for domain in game.domains)
    step.critic_step(dict(draws))
    assert all(torch.equal(t, generator[name]) for name, t in game.generator.state_dict().items())
    changed = {name for name, t in game.critic.state_dict().items() if not torch.equal(t, critic[name])}
    assert changed == set(critic)
    critic = weights(game.critic)
    step.generator_step(dict(draws))
    assert all(torch.equal(t, critic[name]) for name, t in game.critic.state_dict().items())
    assert {name for name, t in game.generator.state_dict().items() if not torch.equal(t, generator[name])} == set(generator)


def test_one_batch_is_one_pass_of_the_generator(recipe):
    trainer = made(recipe(CYCLE, "train.one_batch=true", "loss.identity=0"))
    calls = []
    for to, network in trainer.game.generator.networks.items():
        network.register_forward_hook(lambda *_, to=to: calls.append(to))
    trainer.advance(1)
    assert calls == ["b", "a", "a", "b"]  # there, both ways, once for both steps; and back
    trainer = made(recipe(CYCLE, "loss.identity=0"))
    for to, network in trainer.game.generator.networks.items():
        network.register_forward_hook(lambda *_, to=to: calls.append(to))
    calls.clear()
    trainer.advance(1)
    assert len(calls) == 6


def test_units_shared_blocks_are_one_object_with_both_paths_gradients(recipe, tmp_path):
    trainer = made(recipe(UNIT))
    net = trainer.game.generator
    seen = []
    net.shared_encoder.register_forward_hook(lambda module, *_: seen.append(id(module)))
    for to in ("a", "b"):
        net(torch.zeros(1, 3, 16, 16), to)
    assert len(seen) == 2
    assert len(set(seen)) == 1
    outcome = start(recipe(UNIT), tmp_path / "runs", quiet=True)
    found, _ = newest(outcome.folder.checkpoints)
    kept = [name for name in found.tensors if name.startswith("game.generator.") and "shared" in name]
    assert len(kept) == len(list(net.shared_encoder.parameters())) + len(list(net.shared_decoder.parameters()))


@pytest.mark.parametrize(
    "change",
    [
        "loss.adversarial={use: wasserstein}",
        "loss.adversarial={use: hinge}",
        "loss.adversarial={use: relativistic}",
        "loss.adversarial={use: minimax}",
    ],
)
@pytest.mark.parametrize("system", SYSTEMS)
@pytest.mark.parametrize("modifier", ["gradient_penalty", "r1", "weight_clip"])
def test_any_score_loss_and_any_penalty_take_part(recipe, system, change, modifier):
    trainer = made(recipe(SYSTEMS[system], change, f"modifiers=[{{use: {modifier}}}]"))
    report = trainer.advance(1)
    name = change.split("use: ")[1].rstrip("}")
    domains = [""] if system == "pix2pix" else ["_b", "_a"]
    terms = [f"critic/{name}{d}" for d in domains] + [f"generator/{name}{d}" for d in domains]
    terms += [] if modifier == "weight_clip" else [f"critic/{modifier}{d}" for d in domains]
    assert set(terms) <= set(report.terms)
    if name == "wasserstein":
        assert {f"w_estimate{d}" for d in domains} <= set(report.estimates)


@pytest.mark.parametrize("system", SYSTEMS)
def test_one_pass_of_the_critic_is_the_same(recipe, system):
    both = []
    for one_pass in ("false", "true"):
        trainer = made(recipe(SYSTEMS[system], f"train.one_pass={one_pass}", "train.precision=fp64"))
        trainer.advance(2)
        both.append(weights(trainer.game))
    for name, t in both[0].items():
        torch.testing.assert_close(both[1][name], t, rtol=1e-7, atol=1e-9, msg=name)


@pytest.mark.parametrize("system", SYSTEMS)
@pytest.mark.parametrize("one_batch", ["false", pytest.param("true", marks=pytest.mark.slow)])
def test_resume_is_bit_for_bit(recipe, tmp_path, system, one_batch):
    """The pool's contents included: they are in use long before the run is cut."""
    chosen = recipe(SYSTEMS[system], f"train.one_batch={one_batch}", "train.rounds=12", "train.checkpoint_every=4")
    whole = start(chosen, tmp_path / "whole", quiet=True).folder
    cut = start(chosen, tmp_path / "cut", quiet=True).folder
    last = sorted(cut.checkpoints.glob("*"))[-1]
    shutil.rmtree(last) if last.is_dir() else last.unlink()
    cut.update(status="interrupted", round=8)
    resume(cut, quiet=True)
    ends = [newest(folder.checkpoints)[0] for folder in (whole, cut)]
    assert ends[0].round == ends[1].round == 12
    assert ends[0].tensors.keys() == ends[1].tensors.keys()
    if system == "cycle":
        assert sum(name.endswith(".kept") for name in ends[0].tensors) == 2
    for name, t in ends[0].tensors.items():
        assert torch.equal(t, ends[1].tensors[name]), name


@pytest.mark.slow
@pytest.mark.parametrize("system", SYSTEMS)
def test_compiled_rounds_are_traced(recipe, system):
    """The graph of a whole round, pools and all, does what the eager round does."""
    from torch.fx.experimental.proxy_tensor import make_fx

    from ganflow.engine.tracing import plain_batch_norm

    trainer = made(recipe(SYSTEMS[system]))
    for player in trainer.game.players.values():
        player.parts[0].optimizer.traceable()
    draws = trainer.peek(1)[0]

    def traced(tensors):
        with trainer.game.players["generator"].traced(), trainer.game.players["critic"].traced():
            return trainer.play(dict(zip(draws, tensors, strict=True)))

    before = weights(trainer.game)
    torch.manual_seed(0)
    with plain_batch_norm():
        graph = make_fx(traced)(list(draws.values()))
    after = weights(trainer.game)
    trainer.game.load_state_dict(before)
    for player in trainer.game.players.values():
        player.parts[0].optimizer.load_state_dict(made(recipe(SYSTEMS[system])).game.players[player.name].parts[0].optimizer.state_dict())
    torch.manual_seed(0)
    with torch.no_grad():
        graph(list(draws.values()))
    for name, t in weights(trainer.game).items():
        torch.testing.assert_close(t, after[name], rtol=1e-4, atol=1e-5, msg=name)


class Nothing(Loss):
    def generator_terms(self, step):
        return {}


def exchanged(pool, fakes):
    """What a critic's step sees of fakes, of which the pool keeps some when the step is made."""
    game = Game(TensorData("toy", {"real": torch.zeros(1, 1)}), NormalPrior(1), nn.Linear(1, 1), None, Nothing())
    step = game.step("critic", {})
    shown = pool.exchange(step, fakes)
    step.write()
    return shown


def test_the_pool_gives_back_what_came_in_until_it_is_full_and_then_half_of_it_from_earlier():
    torch.manual_seed(0)
    pool, numbers = Pool(50, (1,)), torch.arange(10_000.0).view(-1, 1)
    for i in range(0, 50, 5):
        assert torch.equal(exchanged(pool, numbers[i : i + 5]), numbers[i : i + 5])
    assert torch.equal(pool.kept, numbers[:50])
    swapped = ages = 0
    for i in range(50, 10_000, 5):
        held = set(pool.kept.flatten().tolist())
        given = exchanged(pool, numbers[i : i + 5]).flatten().tolist()
        for fresh, back in zip(range(i, i + 5), given, strict=True):
            if back != fresh:
                assert back in held
                assert back not in pool.kept  # exchanged: it is gone from the pool, and the fresh one is there
                assert fresh in pool.kept
                swapped, ages = swapped + 1, ages + fresh - back
            else:
                assert fresh not in pool.kept
    assert pool.count == 50
    assert swapped / 9950 == pytest.approx(0.5, abs=0.02)
    assert ages / swapped == pytest.approx(100, rel=0.1)  # each of 50 places is taken with ½ · 1/50 per fake: 100 on average


def test_a_pool_that_fills_up_within_a_batch():
    torch.manual_seed(0)
    pool = Pool(4, (1,))
    exchanged(pool, torch.tensor([[0.0], [1.0], [2.0]]))
    for _ in range(20):
        fresh = copy.deepcopy(pool)
        given = exchanged(fresh, torch.tensor([[3.0], [4.0], [5.0]]))
        assert given[0] == 3.0
        assert fresh.kept[3] == 3.0  # what fills the last place is not exchanged in the same batch
        everything = sorted([*fresh.kept.flatten().tolist(), *(g for g in given.flatten().tolist() if g not in fresh.kept)])
        assert everything == [0, 1, 2, 3, 4, 5]


def test_a_pool_smaller_than_a_batch_is_refused():
    with pytest.raises(GanflowError, match="a pool of 4 cannot serve batches of 5: make it as large as a batch, or 0"):
        exchanged(Pool(4, (1,)), torch.zeros(5, 1))


def test_the_sheet_shows_inputs_outputs_cycles_and_truths(recipe):
    game = made(recipe(CYCLE)).game
    rows = rows_of(game, {name: part[:4] for name, part in game.data.held_out.items()})
    assert list(rows) == ["a", "a to b", "a to b to a", "true b", "b", "b to a", "b to a to b", "true a"]
    assert torch.equal(rows["true b"], game.data.held_out["b"][:4])
    assert torch.equal(rows["a to b"], game.call("to_b", x=game.data.held_out["a"][:4]))
    paired = made(recipe(PIX2PIX)).game
    rows = rows_of(paired, {name: part[:4] for name, part in paired.data.held_out.items()})
    assert list(rows) == ["source", "source to target", "true target"]


@pytest.mark.parametrize(
    ("text", "changes", "says"),
    [
        (PIX2PIX, ["data={use: digits, size: 16}"], "generator 'unet' needs domains, and data 'digits' gives none"),
        (PIX2PIX, ["loss=cycle"], "loss 'cycle' needs a generator .* there and back; data 'facades' has 'source' and 'target'"),
        (CYCLE, ["loss=pix2pix"], "loss 'pix2pix' compares .* with the truth; .* data 'street'"),
        (CYCLE, ["loss=unit"], "use generator unit"),
        (CYCLE, ["loss.adversarial={use: pix2pix}"], "loss.adversarial: Pix2PixLoss does not follow from scores"),
        (CYCLE, ["critic={use: dcgan, width: 4}"], "critic 'dcgan' does not take examples of shape \\(3, 16, 16\\)"),
        (PIX2PIX, ["generator={use: dcgan, width: 4}", "prior={use: normal, dim: 4}", "critic={use: dcgan, width: 4}"],
         "generator 'dcgan' accepts classes or embeddings as a condition, and 'source' of data 'facades' is of kind image"),
        (PIX2PIX, ["data={use: digits, size: 16}", "generator={use: dcgan, width: 4}", "prior={use: normal, dim: 4}"],
         "loss 'pix2pix' compares .* with the truth; .* data 'digits'"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_said(recipe, text, changes, says):
    with pytest.raises(GanflowError, match=says):
        made(recipe(text, *changes))


def test_the_work_of_a_round_is_counted_for_any_loss(recipe):
    """CycleGAN's generators make two fakes for the critics' step, and two fakes, two cycles and two identities in their own."""
    game = made(recipe(CYCLE)).game
    one = {}
    for name, network, x in (("generator", game.generator, ("b",)), ("critic", game.critic, ("b",))):
        with operations({name: network}) as counts:
            network(torch.zeros(1, 3, 16, 16), *x)
        one[name] = counts[name]
    before = weights(game)
    assert counted(game, "critic") == {"generator": 2 * one["generator"], "critic": 4 * one["critic"]}
    assert counted(game, "generator") == {"generator": 6 * one["generator"], "critic": 2 * one["critic"]}
    assert all(torch.equal(t, before[name]) for name, t in game.state_dict().items())  # the pools, too


@pytest.mark.parametrize("system", SYSTEMS)
def test_estimates_are_the_adversarial_losss_however_its_terms_are_weighed(system, recipe):
    """The critic's term is weight · (E f(fake) − E f(real)), which is minus the estimate."""
    composition = (read := recipe(SYSTEMS[system], "loss.adversarial=wasserstein", "loss.critic_weight=0.25")).composition()
    game = build_game(read, composition, composition.build("data"))
    names = ["critic/wasserstein", *(f"critic/wasserstein_{d}" for d in game.domains)]
    found = game.estimates(dict.fromkeys(names, 0.25 * -0.8) | {"generator/l1": 3.0})
    assert found
    assert list(found.values()) == pytest.approx([0.8] * len(found))


def test_unequal_channels_have_no_identity_term(recipe, tmp_path):
    import numpy as np
    from PIL import Image

    for side in "AB":
        (tmp_path / f"train{side}").mkdir()
        for i in range(4):
            pixels = np.random.default_rng(i).integers(0, 255, (16, 16, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / f"train{side}" / f"{i}.png")
    data = f"data={{use: unpaired_folder, path: {tmp_path}, size: 16, a_channels: 1}}"
    with pytest.raises(GanflowError, match=r"loss.identity: 'b' has 3 channels and 'a' 1, .*: set loss.identity=0"):
        made(recipe(CYCLE, data))
    made(recipe(CYCLE, data, "loss.identity=0")).advance(1)
