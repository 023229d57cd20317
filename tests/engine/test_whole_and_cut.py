"""What a batch that is cut trains, against the whole batch: the gradient of every term of every shipped loss, in float64."""

import copy
from contextlib import contextmanager
from typing import ClassVar

import pytest
import torch
from group_helpers import Workers

from ganflow.contract.loss import Loss
from ganflow.engine.build import build_game, differences_of_halves
from ganflow.engine.round import generates_row_by_row
from ganflow.errors import GanflowError
from ganflow.plugins import load_catalogue
from ganflow.recipe import read_recipe
from ganflow.runs.run import Parts

POINTS = """data: {use: gaussians, layout: ring, samples: 200}
prior: {use: normal, dim: 2}
generator: {use: mlp, width: 8}
critic: {use: mlp, width: 8}"""
CODES = """data: {use: digits, size: 16}
prior: {use: normal, dim: 4}
generator: {use: conv_autoencoder, width: 4, norm: none}"""
JUDGED = CODES + "\ncritic: {use: dcgan, width: 4, norm: none}"
STREET = "data: {use: street, size: 16, train: 24, held_out: 4}"
PATCH = "critic: {use: patch, receptive_field: 7, width: 4, norm: none}"
PAIRS = f"{STREET.replace('street', 'facades')}\ngenerator: {{use: unet, width: 4, norm: instance, dropout: 0}}\n{PATCH}"
DOMAINS = f"{STREET}\ngenerator: {{use: resnet_translator, width: 4, blocks: 1}}\n{PATCH}"
SHARED = f"{STREET}\ngenerator: {{use: unit, width: 4, blocks: 2, downs: 1}}\n{PATCH}"
BIRDS = """data: {use: birds, size: 32, train: 12, held_out: 4, encoder: {use: matched, steps: 3, batch: 8, dim: 16}}
prior: {use: normal, dim: 4}
generator: {use: stackgan_stage1, width: 4, dim: 8}
critic: {use: stackgan, width: 4, dim: 8, norm: none}"""
CASES = {  # of each: the parts, the loss, and the terms that are no means over examples
    "minimax": (POINTS, "{use: minimax}", set()),
    "smoothed": (POINTS, "{use: minimax, label_smoothing: 0.1}", set()),
    "non_saturating": (POINTS, "{use: non_saturating}", set()),
    "lsgan": (POINTS, "{use: lsgan}", set()),
    "hinge": (POINTS, "{use: hinge}", set()),
    "wasserstein": (POINTS, "{use: wasserstein}\nmodifiers: [{use: gradient_penalty}, {use: r1}, {use: r2}]", set()),
    "relativistic": (POINTS, "{use: relativistic}", set()),
    "relativistic average": (POINTS, "{use: relativistic, average: true}", {"relativistic"}),
    "reconstruction": (CODES, "{use: reconstruction}", set()),
    "cross_entropy": (CODES, "{use: reconstruction, distance: cross_entropy}", set()),
    "elbo": (CODES, "{use: elbo, samples: 2}", set()),
    "free bits": (CODES, "{use: elbo, free_bits: 2.5e-7}", {"kl"}),
    "vae_gan": (JUDGED, "{use: vae_gan}", {"non_saturating"}),
    "pix2pix": (PAIRS, "{use: pix2pix}", set()),
    "pix2pix average": (PAIRS, "{use: pix2pix, adversarial: {use: relativistic, average: true}}", {"relativistic"}),
    "cycle": (DOMAINS, "{use: cycle, pool: 0}", set()),
    "unit": (SHARED, "{use: unit}", set()),
    "stackgan": (BIRDS, "{use: stackgan, match: 0.5}", {"mismatch", "match"}),
    "stackgan without wrong pairs": (BIRDS, "{use: stackgan, mismatch: 0}", set()),
}
REST = """
name: cut
loss: {loss}
optimizer: {{use: adam}}
train: {{rounds: 4, batch_size: 8, precision: fp64, compile: never, threads: 1}}
track: {{mlflow: false}}
"""


@pytest.fixture
def parts(tmp_path, monkeypatch):
    monkeypatch.setenv("GANFLOW_CACHE", str(tmp_path / "cache"))

    def made(case, *changes, group=None):
        text, loss, _ = CASES[case]
        (tmp_path / "cut.yaml").write_text(text + REST.format(loss=loss))
        return Parts(read_recipe(tmp_path / "cut.yaml", changes), group)

    return made


@contextmanager
def without_noise():
    """What is drawn is the same for every example, in a batch of any size."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("rand", "randn"):
            patch.setattr(torch, name, lambda *n, **like: torch.full(n if isinstance(n[0], int) else n[0], 0.3, **like))
            patch.setattr(torch, f"{name}_like", lambda x: torch.full_like(x, 0.3))
        yield


def gradients(game, batch):
    """Of each term, by player and name: one line of numbers."""
    found = {}
    for player in ("critic", "generator") if game.critic is not None else ("generator",):
        parameters = list(getattr(game, player).parameters())
        for name, term in game.terms_of(game.step(player, batch)).items():
            each = torch.autograd.grad(term, parameters, retain_graph=True, allow_unused=True)
            pieces = [torch.zeros_like(p) if g is None else g for g, p in zip(each, parameters, strict=True)]
            found[player, name] = torch.cat([g.flatten() for g in pieces])
    return found


def test_every_shipped_loss_is_tried():
    shipped = {c.name for c in load_catalogue().components() if (c.role, c.distribution) == ("loss", "ganflow")}
    tried = {loss.partition("use: ")[2].split("}")[0].split(",")[0] for _, loss, _ in CASES.values()}
    assert tried == shipped


@pytest.mark.parametrize("case", CASES)
def test_halves_give_the_whole_batchs_gradient_or_are_refused(case, parts):
    made = parts(case)
    game, draws = made.game.eval(), made.trainer.draw()  # batch norm, if any, by its running statistics
    batch = {name: t[0] for name, t in draws.items()}
    halves = [{name: t.chunk(2)[i] for name, t in batch.items()} for i in range(2)]
    with without_noise():
        whole, first, second = (gradients(game, part) for part in (batch, *halves))
    off = {key: (whole[key] - (first[key] + second[key]) / 2).norm() / whole[key].norm() for key in whole}
    assert all(whole[key].norm() > 0 for key in whole)
    assert {name for (_, name), share in off.items() if share > 1e-10} == CASES[case][2]
    for changes, size, advice in ((["train.accumulate=2"], 1, "set train.accumulate=1"), ([], 2, "train with one")):
        if not CASES[case][2]:
            parts(case, *changes, group=Workers(size) if size > 1 else None)
            continue
        with pytest.raises(GanflowError, match=rf"with the term '({'|'.join(CASES[case][2])})' a batch cannot be .*; {advice}$"):
            parts(case, *changes, group=Workers(size) if size > 1 else None)


THEIRS = '''
import torch
from torch import nn

from ganflow import AddedTerms, ScoreLoss, hookimpl, key, settings
from ganflow_wgan.losses import WassersteinLoss

GANFLOW_CONTRACT = 2


class Means(ScoreLoss):
    name = "scores"

    def critic_loss(self, real, fake):
        return fake.mean() - real.mean() + fake.square().mean()

    def generator_loss(self, fake, real=None):
        return -fake.mean()


class Noisy(Means):
    """A mean over examples under random weights of each."""

    def critic_loss(self, real, fake):
        return super().critic_loss(real, fake + 0.1 * torch.randn_like(fake))


class Spread(WassersteinLoss):
    """A statistic of the whole batch, from one that has none."""

    def critic_loss(self, real, fake):
        return super().critic_loss(real, fake) + fake.std()


class Sums(Means):
    def generator_loss(self, fake, real=None):
        return -fake.sum()


class Says(Spread):
    whole_batch = {"wasserstein": "a spread is of all examples"}


class Remembers(nn.Module, ScoreLoss):
    name = "remembers"
    critic_loss, generator_loss = Means.critic_loss, Means.generator_loss

    def __init__(self):
        super().__init__()
        self.register_buffer("last", torch.zeros(()))

    def critic_terms(self, step):
        self.keep(step, step.real().detach().mean())
        return super().critic_terms(step)

    def keep(self, step, mean):
        self.last.copy_(mean)


class Changes(Remembers):
    def keep(self, step, mean):
        step.change(self.last, step.state(self.last) + mean)


class Odd(AddedTerms):
    def __init__(self, spread):
        self.spread = spread

    def critic_terms(self, step):
        score = step.score(step.real())
        return {"odd": score.std() if self.spread else score.mean()}


@settings
class Theirs:
    """One of them."""

    kind: str = key("Means", "class")

    @hookimpl
    def loss(self):
        return globals()[self.kind]()


@settings
class Added:
    """A term."""

    spread: bool = key(False, "no mean over examples")

    @hookimpl
    def terms(self):
        return Odd(self.spread)


@hookimpl
def register(offer):
    offer("loss", "theirs", Theirs)
    offer("modifier", "added", Added)
'''


@pytest.mark.parametrize("cut", ["train.accumulate=2", "workers"])
@pytest.mark.parametrize(
    ("changes", "text"),
    [
        (["loss.kind=Means"], ""),
        (["loss.kind=Noisy"], ""),
        (["loss.kind=Changes"], ""),
        (["modifiers=[{use: added}]"], ""),
        (["loss.kind=Spread"], r"the critic's term 'wasserstein' is no mean over examples \(.*\), and does not say why"),
        (["loss.kind=Sums"], "the generator's term 'scores' is no mean over examples"),
        (["loss.kind=Says"], "with the term 'wasserstein' a batch cannot be .*: a spread is of all examples"),
        (["modifiers=[{use: added, spread: true}]"], "the critic's term 'odd' is no mean over examples"),
        (["loss.kind=Remembers"], r"the loss's state loss\.0\.last changes while the critic's terms are computed"),
    ],
)
def test_whether_a_third_partys_terms_can_be_cut_is_tried(cut, changes, text, tmp_path, workshop):
    workshop.install("theirs", THEIRS)
    workshop.catalogue()
    (tmp_path / "cut.yaml").write_text(POINTS + REST.format(loss="{use: theirs}"))
    recipe = read_recipe(tmp_path / "cut.yaml", [*changes, *([cut] if cut != "workers" else [])])
    group = Workers(2) if cut == "workers" else None
    assert Parts(read_recipe(tmp_path / "cut.yaml", changes)).game  # what is not cut is nobody's concern
    if not text:
        Parts(recipe, group)
        return
    start, end = (r"^workers: ", r"; train with one$") if group else (r"^train.accumulate: ", r"; set train.accumulate=1$")
    with pytest.raises(GanflowError, match=f"{start}.*{text}.*{end}"):
        Parts(recipe, group)


def test_what_is_tried_leaves_the_game_alone(tmp_path, workshop):
    workshop.install("theirs", THEIRS)
    workshop.catalogue()
    (tmp_path / "cut.yaml").write_text(POINTS + REST.format(loss="{use: theirs, kind: Remembers}"))
    made = Parts(read_recipe(tmp_path / "cut.yaml"))
    before = {name: t.clone() for name, t in made.game.state_dict().items()}
    random = torch.get_rng_state()
    assert [what.split(" changes")[0] for what in differences_of_halves(made.game)] == ["the loss's state loss.0.last"]
    assert torch.equal(torch.get_rng_state(), random)
    assert all(torch.equal(t, before[name]) for name, t in made.game.state_dict().items())


def test_a_change_of_state_is_written_once_per_step_and_seen_by_the_next_micro_batch(tmp_path, workshop):
    workshop.install("theirs", THEIRS)
    workshop.catalogue()
    (tmp_path / "cut.yaml").write_text(POINTS + REST.format(loss="{use: theirs, kind: Changes}"))
    for parts_of_batch in (1, 2, 4):
        made = Parts(read_recipe(tmp_path / "cut.yaml", [f"train.accumulate={parts_of_batch}", "train.n_critic=3"]))
        last, seen = made.game.loss.last, []
        update = made.game.players["critic"].update
        made.game.players["critic"].update = lambda g, last=last, seen=seen, update=update: (seen.append(float(last)), update(g))
        draws = made.trainer.draw()
        made.trainer.play(draws)
        means = [draws["real"][i].mean() for i in range(3)]  # of a step; each of its micro-batches adds its own
        wanted = [0.0, *(parts_of_batch * sum(means[: i + 1]).item() for i in range(3))]
        assert [*seen, float(last)] == pytest.approx(wanted, rel=1e-12, abs=1e-15)


def test_a_pool_serves_micro_batches(parts):
    """While it fills, what comes in is kept in the micro-batches' order and shown as it is."""
    made = parts("cycle", "loss.pool=16", "train.accumulate=2")
    pools, generator = made.game.loss.pools, copy.deepcopy(made.game.generator)
    draws = made.trainer.draw()
    made.trainer.play(draws)
    for domain, origin in (("a", "b"), ("b", "a")):
        assert int(pools[domain].count) == 8
        with torch.no_grad():
            torch.testing.assert_close(pools[domain].kept[:8], generator(draws[origin][0], domain), rtol=0, atol=1e-12)
        assert not pools[domain].kept[8:].any()


def test_what_is_only_drawn_from_is_not_refused(parts):
    recipe = parts("relativistic average").recipe
    recipe.train.accumulate = 2
    composition = recipe.composition()
    assert build_game(recipe, composition, composition.build("data"), players=False)


@pytest.mark.parametrize("one_pass", [False, True])
def test_every_step_of_vae_gan_sees_half_a_batch_of_each_kind(one_pass, parts):
    """Also where the fakes of several steps could be made in one pass: the first half of each step's are its draws from the
    prior, the second are reconstructions of its examples."""
    made = parts("vae_gan", "train.n_critic=2", f"train.one_pass={str(one_pass).lower()}")
    game, seen = made.game, []
    adversarial = game.loss.adversarial
    critic_terms = adversarial.critic_terms

    def watched(step):
        seen.append((step.fake().clone(), step.batch["z"], game.loss.code(step)[1].clone()))
        return critic_terms(step)

    adversarial.critic_terms = watched
    generator = copy.deepcopy(game.generator)
    draws = made.trainer.draw()
    made.trainer.play(draws)
    assert len(seen) == 2
    for step, (fake, z, code) in enumerate(seen):
        assert torch.equal(z, draws["z"][step])
        with torch.no_grad():
            torch.testing.assert_close(fake[:4], generator(draws["z"][step, :4]), rtol=0, atol=1e-12)
            torch.testing.assert_close(fake[4:], generator(code[4:]), rtol=0, atol=1e-12)
            q = generator.posterior(draws["real"][step])
        assert ((code - q.mean) / (q.log_variance / 2).exp()).abs().max() < 5  # of this step's examples


@pytest.mark.parametrize("case", ["wasserstein", "pix2pix", "unit", "cycle", "stackgan without wrong pairs", "vae_gan"])
def test_one_pass_trains_what_several_do(case, parts):
    """Without noise, in which the passes would differ: the same weights after a round, to rounding."""
    ends = []
    for one_pass in ("false", "true"):
        made = parts(case, "train.n_critic=3", f"train.one_pass={one_pass}")
        made.game.eval()
        draws = made.trainer.draw()
        with without_noise():
            made.trainer.play(draws)
        ends.append(made.game.state_dict())
    for name, t in ends[0].items():
        torch.testing.assert_close(ends[1][name], t, rtol=1e-9, atol=1e-12, msg=name)


def test_which_fakes_are_made_in_one_pass(parts):
    at_once = {case: parts(case, "train.n_critic=2", "train.one_pass=true").round._one_generator_pass
               for case in ("wasserstein", "pix2pix", "relativistic average", "vae_gan")}  # fmt: skip
    assert at_once == {"wasserstein": True, "pix2pix": True, "relativistic average": True, "vae_gan": False}


def test_a_loss_that_looks_at_the_whole_batch_does_not_generate_row_by_row():
    class Pairs(Loss):
        row_by_row = True
        whole_batch: ClassVar = {}

        def generate(self, step, domain):
            return step.call("sample", z=step.batch["z"])

        def generator_terms(self, step):
            return {"pairs": step.fake().mean()}

    assert generates_row_by_row(Pairs())
    Pairs.whole_batch = {"pairs": "an example is generated from the next one's z"}
    assert not generates_row_by_row(Pairs())
    del Pairs.generate
    assert generates_row_by_row(Pairs())
