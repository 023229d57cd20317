"""Each example does what its paper says, computed here by other means."""

import json
import math

import numpy as np
import pytest
import torch
from proof_helpers import PACKAGES, built, played, recipe_of
from runner_helpers import Process, last, numbers
from scipy.optimize import linear_sum_assignment
from torch.nn.functional import avg_pool2d

from ganflow.engine.game import Game
from ganflow.errors import GanflowError
from ganflow.runs.journal import entries
from ganflow.runs.loading import load_game
from ganflow.runs.start import resume, start


def journal(name, tmp_path, *changes):
    """A run, and what it reported in each round."""
    run = start(recipe_of(name, *changes), tmp_path / "runs", quiet=True).folder
    return run, [values for _, values in numbers(run)]


def test_began_moves_k_as_the_paper_says(tmp_path):
    """Algorithm 1: k + λ (γ L(x) − L(G(z))), within [0, 1]; from what the run itself reports of its critic's last step."""
    run, lines = journal("began", tmp_path, "train.n_critic=1", "loss.gamma=1.0", "loss.rate=2.0")
    k = 0.0
    for values in lines:
        real, fake = values["critic/error_real"], values["critic/error_fake"]
        assert values["critic/balance"] == pytest.approx(-k * fake, rel=1e-5, abs=1e-6)
        assert values["convergence"] == pytest.approx(real + abs(real - fake), rel=1e-5)
        k = min(1.0, max(0.0, k + 2.0 * (real - fake)))
    assert last(run).tensors["game.extras.loss.0.k"].item() == pytest.approx(k, abs=1e-5)
    assert k > 0


def test_began_is_the_same_in_micro_batches():
    whole, cut = (played("began", f"train.accumulate={parts}")[0].game for parts in (1, 2))
    assert whole.loss.k > 0
    torch.testing.assert_close(whole.loss.k, cut.loss.k, rtol=1e-10, atol=0)


def scaled(x, y, epsilon, iterations):
    """Sinkhorn (1967): scale the rows and columns of exp(−C/ε) in turn; the cost of what comes out."""
    cost = ((x[:, None] - y[None]) ** 2).sum(2)
    kernel, v = np.exp(-cost / epsilon), np.ones(len(y))
    for _ in range(iterations):
        u = 1 / len(x) / (kernel @ v)
        v = 1 / len(y) / (kernel.T @ u)
    return float((u[:, None] * kernel * v * cost).sum())


def test_sinkhorn_on_three_points():
    from gf_sinkhorn import Sinkhorn, transport

    x, y = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 2.0]]), np.array([[0.2, 0.1], [0.9, -0.3], [0.5, 1.0]])
    a, b = torch.tensor(x), torch.tensor(y)
    for epsilon, iterations in ((1.0, 3), (0.3, 100)):
        assert float(transport(a, b, epsilon, iterations)) == pytest.approx(scaled(x, y, epsilon, iterations), rel=1e-9)
    rows, columns = linear_sum_assignment(cost := ((x[:, None] - y[None]) ** 2).sum(2))
    assert float(transport(a, b, 0.003, 500)) == pytest.approx(cost[rows, columns].mean(), rel=1e-4)  # hardly any entropy
    game = built("sinkhorn", "loss.epsilon=0.5").game
    batch = {"real": a, "z": torch.ones(3, 2, dtype=torch.float64)}
    made = game.generator(batch["z"]).detach().numpy()
    expected = scaled(x, made, 0.5, 20) - (scaled(x, x, 0.5, 20) + scaled(made, made, 0.5, 20)) / 2
    found = game.terms_of(game.step("generator", batch))["sinkhorn"]
    assert float(found.detach()) == pytest.approx(expected, rel=1e-9)
    assert isinstance(game.loss, Sinkhorn)


def test_sinkhorn_without_a_critic_comes_nearer(tmp_path):
    _, lines = journal("sinkhorn", tmp_path, "train.rounds=150", "train.checkpoint_every=150", "train.batch_size=32")
    assert np.mean([v["generator/sinkhorn"] for v in lines[-10:]]) < 0.5 * lines[0]["generator/sinkhorn"]


def test_infogan_learns_its_codes(tmp_path):
    run, lines = journal("infogan", tmp_path, "train.rounds=150", "train.checkpoint_every=150", "train.batch_size=32",
                         "optimizer.generator.lr=1.0e-2")  # fmt: skip
    bound = [values["information_bound"] for values in lines]
    assert bound[-1] == pytest.approx(math.log(4) - lines[-1]["generator/information"], abs=1e-5)
    assert bound[0] < 0.2  # of ln 4 = 1.39
    assert np.mean(bound[-10:]) > 0.5
    assert {"optimizer.loss.q.state.0.square", "optimizer.generator.state.0.mean"} & last(run).tensors.keys()


def test_infogans_generator_and_its_q_descend_the_cross_entropy():
    """−log softmax at the code, by hand; the critic's optimizer has nothing of Q."""
    parts = built("infogan")
    game, term = parts.game, parts.game.terms[0]
    z = game.latents(6).double()
    assert (z[:, :4].sum(1) == 1).all()
    terms = game.terms_of(game.step("generator", {"z": z, "real": torch.zeros(6, 2).double()}))
    logits = term.q(game.generator(z)).detach().numpy()
    shares = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    expected = -np.log(shares[np.arange(6), z[:, :4].argmax(1)]).mean()
    assert float(terms["information"].detach()) == pytest.approx(expected, rel=1e-10)
    assert {p.name for p in game.players["generator"].parts} == {"generator", "loss.q"}
    before = [p.detach().clone() for p in term.q.parameters()]
    parts.trainer.advance(1)
    assert not any(map(torch.equal, before, term.q.parameters()))


def test_codes_do_not_mix_on_the_way_from_one_to_another():
    from gf_infogan import Coded

    prior = Coded(3, 2)
    a, b = torch.tensor([1.0, 0, 0, 1, 0]), torch.tensor([0.0, 0, 1, 0, 1])
    way = prior.between(a, b, torch.linspace(0, 1, 5))
    assert way[:, :3].argmax(1).tolist() == [0, 0, 2, 2, 2]
    assert torch.allclose(way[[0, -1]], torch.stack((a, b)), atol=1e-6)
    assert torch.allclose(way[:, 3:].norm(dim=1), torch.ones(5))


def test_both_scales_are_summed_with_their_weights():
    game = built("scales").game
    random = torch.Generator().manual_seed(0)
    batch = {"real": torch.rand(4, 1, 16, 16, generator=random).double(), "z": game.latents(4).double()}
    fake, critic = game.generator(batch["z"]).detach(), game.critic
    hinge = lambda f, g: ((1 - f).clamp(min=0).mean() + (1 + g).clamp(min=0).mean()).item()  # noqa: E731
    fine = hinge(critic.fine(batch["real"]), critic.fine(fake))
    coarse = hinge(critic.coarse(avg_pool2d(batch["real"], 2)), critic.coarse(avg_pool2d(fake, 2)))
    found = game.terms_of(game.step("critic", batch))
    assert float(found["hinge"].detach()) == pytest.approx(fine + 0.5 * coarse, rel=1e-10)
    found = game.terms_of(game.step("generator", batch))
    expected = -critic.fine(fake).mean() - 0.5 * critic.coarse(avg_pool2d(fake, 2)).mean()
    assert float(found["hinge"].detach()) == pytest.approx(float(expected.detach()), rel=1e-10)


def test_path_length_of_a_linear_generator(monkeypatch):
    """G(z) = A z: ‖Jᵀy‖ = ‖Aᵀy‖. In one round of four, four times as heavy; the running mean moves in that round alone."""
    parts = built("pathlength")
    game, (term,) = parts.game, parts.game.terms
    linear = torch.nn.Linear(2, 2, bias=False, dtype=torch.float64)
    linear.weight.data = torch.tensor([[2.0, 1.0], [0.0, 3.0]], dtype=torch.float64)
    noise = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, -1.0]], dtype=torch.float64)
    monkeypatch.setattr(torch, "randn_like", lambda x: noise)
    term.mean.fill_(0.5)
    step = game.played_by(linear).step("generator", {"z": torch.ones(3, 2).double(), "real": torch.zeros(3, 2).double()})
    lengths = [math.sqrt(5), 3.0, math.sqrt(8)]  # (2, 1), (0, 3), (2, −2)
    alone = term.generator_terms(step)["path_length"]
    assert float(alone.detach()) == pytest.approx(2.0 * sum((n - 0.5) ** 2 for n in lengths) / 3, rel=1e-10)
    assert float(step.logged["path"]) == pytest.approx(sum(lengths) / 3)
    weighed = game.played_by(linear).terms_of(step, [term])["path_length"]
    assert float(weighed.detach()) == pytest.approx(4 * float(alone.detach()))


def test_path_length_takes_part_in_every_fourth_round(tmp_path):
    run, lines = journal("pathlength", tmp_path)
    assert [i for i, values in enumerate(lines) if "generator/path_length" in values] == [0, 4, 8]
    mean = 0.0
    for i in (0, 4, 8):
        mean += 0.5 * (lines[i]["generator/path"] - mean)
    assert last(run).tensors["game.extras.loss.0.mean"].item() == pytest.approx(mean, rel=1e-5)


def test_the_mapping_network_learns_at_a_hundredth_of_the_rate():
    """Adam's first step is lr · g / (|g| + ε): as long as the rate wherever there is a gradient."""
    parts = built("mapping")
    generator = parts.game.generator
    before = {name: p.detach().clone() for name, p in generator.named_parameters()}
    parts.trainer.advance(1)
    way = {name: (p.detach() - before[name]).abs().max().item() for name, p in generator.named_parameters()}
    assert {name.partition(".")[0] for name in way} == {"mapping", "synthesis"}
    for name, most in way.items():
        assert most == pytest.approx(1e-5 if name.startswith("mapping.") else 1e-3, rel=1e-3), name


def test_the_weights_of_losses_are_learnt():
    """L₀ = E log(1 + exp(−f)), L₁ = ½ E (f − 1)²; ∂/∂s = 1 − exp(−s) L, and SGD goes that way."""
    parts = built("learnt")
    game, (draws,) = parts.game, parts.trainer.peek(1)
    parts.round.begin(0)
    first, second = ({name: t[i] for name, t in draws.items() if i < len(t)} for i in range(2))
    parts.round.critic_step(first)
    scores = game.critic(game.generator(second["z"])).detach().numpy()
    each = np.array([np.log1p(np.exp(-scores)).mean(), 0.5 * ((scores - 1) ** 2).mean()])
    (values,) = [parts.round.generator_step(second)]
    assert float(values["weighed"]) == pytest.approx(each.sum(), rel=1e-10)
    assert game.loss.s.detach().numpy() == pytest.approx(-0.05 * (1 - each), rel=1e-9)
    assert [part.name for part in game.players["generator"].parts] == ["generator", "loss"]


def test_a_weighed_loss_must_be_one_of_scores():
    with pytest.raises(GanflowError, match=r"^loss.second: it is no loss of scores"):
        built("learnt", "loss.second={use: sinkhorn}")


def test_the_noise_fades_and_is_gone_from_the_round_on(monkeypatch):
    parts = built("noise")
    game, x = parts.game, torch.zeros(3, 2).double()
    seen = []
    game.critic.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    monkeypatch.setattr(torch, "randn_like", torch.ones_like)
    for number in (0, 2, 7, 8, 9, 100):
        parts.round.begin(number)
        game.critic.train()(x)
    assert [t.unique().item() for t in seen] == pytest.approx([0.5, 0.375, 0.0625, 0, 0, 0])
    seen.clear()
    parts.round.begin(0)
    game.critic.eval()(x)
    assert torch.equal(seen[0], x)


def test_after_the_noise_training_is_what_it_is_without():
    """The same weights at round 8, with the noise and without: the same rounds."""
    noisy, plain = built("noise"), built("noise", "~modifiers")
    noisy.trainer.advance(8)
    plain.trainer.load_state(*noisy.trainer.state())
    assert noisy.trainer.advance(10).terms == plain.trainer.advance(10).terms
    for a, b in zip(noisy.game.parameters(), plain.game.parameters(), strict=True):
        assert torch.equal(a, b)


def test_the_norm_of_the_gradient_is_that_of_torch(tmp_path):
    parts, twin = built("gradnorm"), built("gradnorm", "~modifiers")
    (draws,) = twin.trainer.peek(1)
    first, second = ({name: t[i] for name, t in draws.items() if i < len(t)} for i in range(2))
    norm = lambda gs: math.sqrt(sum(g.square().sum().item() for g in gs))  # noqa: E731
    game, critic = twin.game, list(twin.game.critic.parameters())
    terms = game.terms_of(game.step("critic", first))
    expected = {"critic": norm(torch.autograd.grad(sum(terms.values()), critic))}
    twin.round.critic_step(first)
    terms = game.terms_of(game.step("generator", second))
    expected["generator"] = norm(torch.autograd.grad(sum(terms.values()), list(game.generator.parameters())))
    parts.trainer.advance(1)
    kept = parts.game.extras["gradient_norm"]
    assert {name: float(b) for name, b in kept.named_buffers()} == pytest.approx(expected, rel=1e-6)
    assert all(p.grad is None for player in parts.game.players.values() for p in player.updated)
    _, lines = journal("gradnorm", tmp_path)
    assert lines[0]["gradient_norm/critic"] == pytest.approx(expected["critic"], rel=1e-5)
    assert all({"gradient_norm/critic", "gradient_norm/generator"} <= values.keys() for values in lines)


def test_the_clipped_gradient_is_the_one_that_is_reported(tmp_path):
    _, lines = journal("gradnorm", tmp_path, "train.clip_grad=0.01", "train.rounds=2")
    assert [values["gradient_norm/critic"] for values in lines] == pytest.approx([0.01] * 2, rel=1e-3)


def test_henons_points_are_of_the_map_each_once():
    """Each follows from another one that was drawn, but for those whose predecessor is held out, or waits in the buffer of 16."""
    parts = built("henon")
    drawn = torch.cat([parts.feed.draw(1)["real"][0] for _ in range(20)])
    x, y = drawn.T
    image = torch.stack((1 - 1.4 * x * x + y, 0.3 * x), 1)
    distances = (drawn[:, None] - image[None]).abs().amax(2)
    follows = distances.amin(1) < 1e-5
    assert len(drawn) == 160
    assert follows.sum() >= 160 - 1 - 16
    after = distances.argmin(1)[follows].tolist()
    assert len(set(after)) == len(after)  # no point twice
    assert after != sorted(after)  # shuffled
    assert parts.data.size is None


def test_foreign_networks_are_asked_for_a_label(tmp_path):
    """By the signature, with its names; the same as calling the foreign module."""
    run = start(recipe_of("foreign", "generator.temperature=0.5", "train.rounds=2"), tmp_path / "runs", quiet=True).folder
    game = load_game(run)
    z, labels = game.latents(4), torch.tensor([7, 7, 3, 0])
    found = game.call("sample", input=z, y=labels)
    with torch.no_grad():
        code = torch.cat((0.5 * z.double(), game.generator.label_emb.weight[labels]), 1)
        expected = game.generator.model(code).view(4, 1, 16, 16)
    torch.testing.assert_close(found.double(), expected, rtol=0, atol=1e-6)
    assert game.samples(3).shape == (3, 1, 16, 16)


def test_foreign_networks_need_labels():
    with pytest.raises(GanflowError, match="generator 'digit_decoder' is for square grey images with labels"):
        built("foreign", "condition=[]")


def text(run):
    return (run.path / "numbers.txt").read_text().splitlines()


def check_text(run):
    """The journal's numbers, in its sequence and once."""
    noted = [f"{e.round} {name} {value!r}" for e in entries(run.journal) for name, value in e.values.items()]
    assert [line for line in text(run) if not line.startswith("#")] == noted
    assert text(run)[0] == f"# textlog {run.id}"


def test_the_text_is_the_journal_also_after_a_resume(tmp_path):
    run = start(recipe_of("textlog", "train.rounds=3"), tmp_path / "runs", quiet=True).folder
    check_text(run)
    resume(run, quiet=True, overrides=["train.rounds=5"])
    check_text(run)
    assert text(run)[-1] == "# finished"
    assert json.loads(run.journal.read_text().splitlines()[-1])["round"] == 5


@pytest.mark.slow
def test_the_text_is_whole_after_a_kill(tmp_path):
    with Process(tmp_path, "run", PACKAGES / "gf_textlog" / "recipe.yaml", "train.rounds=500", "-q") as process:
        assert process.until(lambda: process.reached(30))
        assert process.kill()
    resume(process.run, quiet=True, overrides=["train.rounds=510"])
    check_text(process.run)


class Around(torch.nn.Module):
    """What a modifier puts around a critic, knowing nothing of what it gives."""

    def __init__(self, critic):
        super().__init__()
        self.critic = critic

    def forward(self, x, **condition):
        return self.critic(x / 2, **condition)


def test_a_module_around_a_critic_hides_neither_weights_nor_what_is_no_score():
    parts = built("scales")
    critic = parts.game.critic
    critic.auxiliary = ("coarse",)
    game = Game(parts.data, parts.game.prior, parts.game.generator, Around(critic), parts.game.loss)
    assert game.score_weights == {"fine": 1.0, "coarse": 0.5}
    step = game.step("critic", game.blank(3))
    assert step.score(step.real()).keys() == {"fine"}
    assert step.auxiliary(step.real(), "coarse").shape == (3,)


def test_noise_needs_a_critic():
    with pytest.raises(GanflowError, match="modifier 'instance_noise' works on a critic, and the recipe has none"):
        built("sinkhorn", "+modifiers={use: instance_noise}")


@pytest.mark.parametrize("coarse", [0.5, 3.0])
def test_what_is_estimated_of_terms_that_are_no_sums_over_scores(coarse):
    """The bound on the information is of one cross-entropy; the Jensen-Shannon divergence of both critics' average."""
    changes = ["prior={use: coded, codes: 4, noise: 2}", "+modifiers={use: information, width: 8, weight: 2}"]
    game = built("scales", *changes, "loss=non_saturating", f"critic.coarse={coarse}").game
    found = game.estimates({"critic/non_saturating": 1.2 * (1 + coarse), "generator/information": 1.0})
    assert found["information_bound"] == pytest.approx(math.log(4) - 0.5)
    assert found["jsd_estimate"] == pytest.approx(math.log(2) - 1.2 / 2)


def test_weights_of_scores_that_are_less_than_one_together():
    game = built("scales", "loss=non_saturating").game
    game.score_weights |= {"fine": 0.25, "coarse": 0.25}
    game.discover()
    assert game.estimates({"critic/non_saturating": 0.5 * 1.2})["jsd_estimate"] == pytest.approx(math.log(2) - 1.2 / 2)


def test_what_is_estimated_of_a_term_that_is_heavier_in_fewer_rounds():
    game = built("infogan").game
    game.terms[0].every = 4
    assert game.estimates({"generator/information": 4 * 0.3})["information_bound"] == pytest.approx(math.log(4) - 0.3)
