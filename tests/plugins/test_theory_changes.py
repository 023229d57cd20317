"""Changes to the recipes of `ganflow theory`: pictures, labels and numbers follow them, or they are refused in a sentence."""

import json
import math

import numpy as np
import pytest
from ganflow_theory import collapse, disjoint, duality, elbo, optimal, saturation
from ganflow_theory.changes import critic_steps, values_of, with_changes

from ganflow import GanflowError

SHORT = ["train.rounds=2", "train.batch_size=16", "data.samples=300", "data.held_out=200"]


def texts(axes_or_figure):
    return [text.get_text() for text in axes_or_figure.texts]


def legend(axes):
    return [text.get_text() for text in axes.get_legend().get_texts()]


def numbers(shown):
    return {n.name: n.value for n in shown.numbers}


def assert_curves_are_inside(figure):
    """Every curve over rounds, and the first and the last axes' points, are within the limits."""
    for axes in figure.axes:
        (left, right), (low, high) = axes.get_xlim(), axes.get_ylim()
        for line in axes.lines:
            x, y = (np.asarray(values, dtype=float) for values in line.get_data())
            there = np.isfinite(y) & (x >= left) & (x <= right)
            if len(x) > 2 and axes.get_yscale() == "linear":
                assert low <= y[there].min() <= y[there].max() <= high, axes.get_title(loc="left")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["duallity"], "invalid choice: 'duallity'"),
        (["disjoint", "--theta", "far"], "argument --theta: 'far' is not a number"),
        (["disjoint", "--theta", "inf"], "argument --theta: 'inf' is not a number"),
        (["disjoint", "--theta", "1e-9"], "--theta 1e-09: 0, or between 0.0001 and 10000 from it"),
        (["elbo", "--rounds", "0"], "argument --rounds: 0 is not 1 or more"),
        (["elbo", "--seed", "-1"], "argument --seed"),
        (["elbo", "--seed", "1", "train.seed=2"], "--seed and train.seed=… set the same: leave one of them out"),
        (["elbo", "-o", "elbo.txt"], "what should elbo.txt be? end its name in .png"),
        (["elbo", "-o", "nowhere/elbo.png"], "there is no folder nowhere/"),
        (["elbo", "faster"], "'faster' is not an override"),
        (["elbo", "train.start_from=latest"], "train.start_from: what is played in memory begins with new weights"),
        (["disjoint", "data=gaussians"], "data.use is 'theory/lines' in this part, and the changes make it 'data/gaussians'"),
        (["disjoint", "data.at=[1.0]"], "'--theta 2' sets the other's distance"),
        (["disjoint", "generator.bias=[2.0,0.0]"], "'--theta 2' sets the lines' distance"),
        (["disjoint", "prior=normal"], "heights are U(0, 1) on both lines"),
        (["disjoint", "loss=wasserstein"], "its losses are what it compares"),
        (["disjoint", "modifiers=[]"], "modifiers[0].use is 'wgan/gradient_penalty'"),
        (["optimal-critic", "loss=wasserstein"], "the critic of loss wasserstein is no such D: set loss=minimax"),
        (["optimal-critic", "loss=hinge"], "the critic of loss hinge is no such D"),
        (["optimal-critic", "optimizer.lr=0.1"], "the generator stays where it is; change optimizer.critic.… instead"),
        (["optimal-critic", "optimizer.generator.bias.lr=0.1"], "the generator stays where it is"),
        (["optimal-critic", "generator.matrix=[[0.0]]"], "singular"),
        (["optimal-critic", "generator=mlp"], "it needs data gaussians_1d and generator affine"),
        (["saturation", "generator=mlp"], "it needs data gaussians_1d and generator affine"),
        (["saturation", "loss=hinge"], "its losses are what it compares"),
        (["saturation", "loss.label_smoothing=0.1"], "its losses are what it compares"),
        (["saturation", "prior.dim=2", "generator.matrix=[[1.0,1.0]]"], "a z of one number"),
        (["duality", "data={use: gaussians}", "generator.matrix=[]", "generator.bias=[]"], "gaussians_1d"),
        (["duality", "prior={use: uniform, dim: 1}"], "set 'prior={use: normal, dim: 1}'"),
        (["duality", "loss=minimax"], "duality is of the Wasserstein loss"),
        (["duality", "~modifiers[0]"], "the part has four ways to bound the slope"),
        (["duality", "data.centres=[0.0]", "data.std=[1.0]", "data.weights=[]"], "there is no share of W₁ = 0"),
        (["elbo", "generator.depth=1"], "set generator.depth=0"),
        (["elbo", "generator.widths=[3]"], "and no generator.widths"),
        (["elbo", "loss=reconstruction"], "the recipe has loss reconstruction"),
        (["elbo", "data.use=digits"], "data digits have examples of shape (1, 32, 32): use data linear_gaussian"),
        (["elbo", "data.held_out=0"], "data linear_gaussian has none: raise data.held_out"),
        (["elbo", "data.noise=100"], "make the data's numbers smaller"),
        (["collapse", "optimizer.beta1=0.5"], "theory/collapse and theory/no_collapse are the same recipe"),
        (["collapse", "optimizer=sgd"], "theory/collapse and theory/no_collapse are the same recipe"),
        (["collapse", "data=swiss_roll"], "use data gaussians"),
    ],
)
def test_what_would_make_a_picture_false_is_refused_in_a_sentence(arguments, says, command):
    short = [] if {"--rounds", "duallity"} & set(arguments) else ["--rounds", "1"]
    assert says in command.refused("theory", *arguments, *short)


@pytest.mark.parametrize(
    ("recipe", "changes", "says"),
    [
        ("optimal_critic", ["loss=wasserstein"], "is no such D"),
        ("optimal_critic", ["loss=lsgan"], "is no such D"),
        ("duality", ["loss=minimax"], "the recipe has loss minimax: set loss=wasserstein"),
        ("elbo", ["generator.depth=1"], "set generator.depth=0"),
    ],
)
def test_so_are_the_metrics_of_a_run_before_it_begins(recipe, changes, says, command, tmp_path):
    assert says in command.refused("run", f"theory/{recipe}", *changes)
    assert not (tmp_path / "runs").exists()


def test_a_refused_change_of_the_second_way_trains_nothing(monkeypatch):
    monkeypatch.setattr(disjoint, "watched", lambda *_: pytest.fail("trained"))
    with pytest.raises(GanflowError, match=r"modifiers\[0\].weight is 10\.0 in this part, and the changes make it 1.0"):
        disjoint.show(["modifiers=[{use: gradient_penalty, weight: 1, one_sided: true}]"])


def test_what_was_changed_is_below_the_title():
    assert with_changes([], 50) == ""
    assert with_changes(["a=1", "b=[\n2]"], 50) == "with a=1, b=[ 2]"
    assert with_changes(["key=" + "x" * 100], 20) == "with key=xxxxxxxxx …"
    shown = optimal.show([*SHORT, "train.n_critic=3", "name=a_b"])
    title, changes = texts(shown.figure)
    assert title == shown.title
    assert changes == "with train.rounds=2, train.batch_size=16, data.samples=300, data.held_out=200, train.n_critic=3, name=a_b"
    assert shown.figure.axes[2].get_xlabel() == "rounds (3 critic steps each)"
    assert critic_steps(values_of("theory/lines", ["train.n_critic=1"])) == "rounds (1 critic step each)"


@pytest.mark.slow
def test_collapse_has_the_labels_of_the_games_that_are_played():
    assert collapse.settings_of([]) == ["with momentum (beta1 = 0.9)", "without momentum (beta1 = 0)"]
    one = collapse.settings_of(["optimizer.critic.beta1=0.5"])
    assert one == ["generator's beta1 = 0.9", "generator's beta1 = 0.0"]
    shown = collapse.show([*SHORT, "optimizer.critic.beta1=0.5"])
    assert shown.title == "Two GANs that differ in Adam's momentum alone"  # after two rounds neither is on any mode
    assert [text.replace("\n", " ") for text in texts(shown.figure)[1:3]] == one
    assert shown.numbers[2].what == "generator's beta1 = 0.0: modes covered at the end"


@pytest.mark.slow
def test_collapse_counts_and_shows_the_modes_that_there_are():
    data = "use: gaussians, layout: custom, centres: [[100, 0], [0, 50], [7, 7]], weights: [1, 1, 0], std: 3.0, samples: 300"
    shown = collapse.show(["train.rounds=1", f"data={{{data}}}"])
    axes = shown.figure.axes[0]
    assert axes.get_title(loc="left").startswith("round 1: 0 of 2, ")
    (left, right), (low, high) = axes.get_xlim(), axes.get_ylim()
    assert left < -10 < 110 < right
    assert low < -10 < 60 < high
    assert right - left == pytest.approx(high - low)


@pytest.mark.slow
def test_collapse_says_how_much_is_outside_of_its_axes(monkeypatch):
    shown = collapse.show([*SHORT, "optimizer.lr=0.5"])
    assert any(text.endswith("% outside") for axes in shown.figure.axes for text in texts(axes))


@pytest.mark.parametrize("theta", [10.0, -0.3, 0.0])
def test_disjoint_stays_inside_its_axes_for_any_theta(theta):
    shown = disjoint.show([*SHORT[:3], "optimizer.generator.lr=1.0"], theta)
    assert_curves_are_inside(shown.figure)
    found = numbers(shown)
    assert found["w1"] == pytest.approx(abs(theta))
    assert found["w1_gradient"] == pytest.approx(np.sign(theta) if theta else math.nan, nan_ok=True)


def test_disjoint_shifts_its_line_and_does_not_turn_it(monkeypatch):
    """So that θ is the distance of two parallel lines after training, too."""
    games = []
    played = disjoint.watched
    monkeypatch.setattr(disjoint, "watched", lambda *a: (games.append(game) or (game, n) for game, n in played(*a)))
    disjoint.show([*SHORT[:3], "optimizer.generator.lr=0.5"])
    for game in games:
        assert game.generator.matrix.tolist() == [[0.0], [1.0]]
    assert games[-1].generator.bias[0] != 1


@pytest.mark.slow
def test_saturation_measures_distances_from_the_datas_mean(monkeypatch):
    monkeypatch.setattr(saturation, "DISTANCES", (1.0, 6.0))
    mixture = ["data.centres=[1.0,3.0]", "data.weights=[0.25,0.75]"]
    shown = saturation.show(["train.rounds=1", *SHORT[1:3], *mixture, "generator.bias=[-1.5]"])
    left, right = shown.figure.axes
    assert left.get_title(loc="left") == "while the critic learns, 4 apart"
    spread = math.sqrt(0.25 + 0.25 * 0.75 * 2**2)
    assert right.get_xlabel() == f"distance of the means (σ of the data {spread:.3g}, of the generator 0.5)"
    assert list(right.lines[0].get_xdata()) == [1, 4, 6]
    assert shown.numbers[-1].what.endswith("(exact: 1)")


@pytest.mark.slow
def test_saturation_has_the_exact_gradient_of_the_optimal_potential(monkeypatch):
    """N(0, 1) and N(0, s²), s < 1: all mass must go outwards, so that the gradient is E |z| = √(2/π), of A alone."""
    monkeypatch.setattr(saturation, "DISTANCES", (1.0,))
    shown = saturation.show(["train.rounds=1", *SHORT[1:3], "generator.bias=[0.0]", "data.std=[1.0]"])
    assert shown.numbers[-1].what.endswith(f"(exact: {math.sqrt(2 / math.pi):.4g})")


@pytest.mark.slow
def test_duality_shows_shares_below_zero():
    """A critic that begins with the wrong sign, and learns nothing."""
    shown = duality.show([*SHORT[:3], "optimizer.critic.lr=0", "critic.depth=1"])
    ratios = [value for name, value in numbers(shown).items() if name.endswith("_ratio")]
    assert min(ratios) < 0
    assert shown.figure.axes[2].get_ylim()[0] <= min(ratios)
    assert_curves_are_inside(shown.figure)


@pytest.mark.parametrize("changes", [["data.noise=10"], ["data.bias=[1000.0,-1000.0]"], ["data.matrix=[[20.0],[0.0]]"]])
def test_elbo_stays_inside_its_axes(changes):
    shown = elbo.show([*SHORT, *changes])
    assert_curves_are_inside(shown.figure)


def test_elbo_speaks_of_a_true_density_only_where_there_is_one():
    shown = elbo.show([*SHORT, "data=swiss_roll"])
    assert "true_log_likelihood" not in numbers(shown)
    assert not any("true density" in text for text in legend(shown.figure.axes[1]))
    assert "true_log_likelihood" in numbers(elbo.show([*SHORT, "data=gaussians"]))


def test_elbo_draws_examples_of_one_and_of_several_numbers():
    line = elbo.show([*SHORT[:2], "data={use: gaussians_1d, samples: 300, held_out: 100}"])
    assert sorted(legend(line.figure.axes[0])) == ["N(b, W Wᵀ + s²)", "data"]
    three = elbo.show([*SHORT, "data.matrix=[[1.0,0.0],[0.0,1.0],[1.0,1.0]]", "data.bias=[]", "prior.dim=2"])
    assert three.figure.axes[0].get_title(loc="left") == "held-out examples, and the model: two of 3 numbers"


def test_numbers_that_are_none_are_text_in_json(command):
    few = ("train.batch_size=16", "data.samples=100", "data.held_out=0")
    code, out, _ = command("theory", "disjoint", "--theta", "0", "--json", "--rounds", "1", *few)
    assert code == 0
    assert json.loads(out)["w1_gradient"] == "nan"
