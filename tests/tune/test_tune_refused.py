"""Spaces and schedules that cannot mean what they say: one sentence each, with its line, before anything begins."""

import pytest
from space_helpers import RECIPE

from ganflow.errors import RecipeError
from ganflow.tune.plan import make_plan

TILTED = "{use: acme/tilted, tilt: 0.25}"
REMOVE = "remove one of the two"
TABLE = "(none) is not a value, but how a table shows what is absent; write null if the key can be none, or else leave it out"
NULL = "for none, write null, without quotes"


def only(sweep, *lines, more=""):
    """The one problem of a space, whose first line is 2."""
    (said,) = sweep.problems("space:\n" + "".join(f"  {line}\n" for line in lines) + more)
    return said


# Two keys of which only one can be set.


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (("loss: {choice: [hinge, lsgan]}", "loss.use: {choice: [hinge, lsgan]}"),
         "3: tune.space.loss.use: 'loss' is searched, too, and its options say which; remove one of the two keys"),
        (("loss.use: {choice: [hinge, lsgan]}", "loss: {choice: [hinge, lsgan]}"),
         "2: tune.space.loss.use: 'loss' is searched, too, and its options say which; remove one of the two keys"),
        (("loss: {choice: [hinge, " + TILTED + "]}", "loss.tilt: {uniform: [0, 1], when: {loss: tilted}}"),
         f"3: tune.space.loss.tilt: the option {TILTED} of 'loss' sets it, too; remove it there, or remove this key"),
        (("modifiers: {choice: [[ema], [weight_clip]]}", "modifiers[0]: {choice: [ema, weight_clip]}"),
         "3: tune.space.modifiers[0]: the option [ema] of 'modifiers' sets it, too; remove it there, or remove this key"),
        (("loss: {choice: [{use: tilted, inner: hinge}]}", "loss.inner: {choice: [lsgan, hinge]}"),
         "3: tune.space.loss.inner: the option {use: tilted, inner: hinge} of 'loss' sets it, too; remove it there, or remove "
         "this key"),
    ],
)  # fmt: skip
def test_a_key_that_another_sets_too(sweep, lines, said):
    assert only(sweep, *lines) == said


@pytest.mark.parametrize(
    "lines",
    [
        ("loss: {choice: [hinge, {use: acme/tilted}]}", "loss.tilt: {uniform: [0, 1], when: {loss: tilted}}"),
        ("loss: {choice: [hinge, {use: tilted, low: 2}]}", "loss.tilt: {uniform: [0, 1], when: {loss: tilted}}"),
        ("loss: {choice: [{use: tilted, inner: {use: tilted, low: 2}}]}", "loss.inner.tilt: {uniform: [0, 1]}"),
        (f"loss: {{choice: [{TILTED}, {{use: tilted, low: 2}}]}}",
         "loss.tilt: {uniform: [0, 1], when: {loss: {use: tilted, low: 2}}}"),
        ("modifiers: {choice: [[ema], [weight_clip]]}", "modifiers[0].c: {uniform: [0.1, 1], when: {modifiers: weight_clip}}"),
    ],
)  # fmt: skip
def test_keys_below_another_that_it_leaves_open(sweep, lines):
    assert sweep.keys(*lines).keys


def test_rounds_that_are_searched_and_fixed(sweep):
    said = only(sweep, "train.rounds: {choice: [10, 20]}", more="rounds: 10\n")
    assert said == "3: tune.rounds: train.rounds is in the space, too; remove one of them"


# Schedulers that never have anything to do.

SEARCHED = "space: {optimizer.lr: {loguniform: [1e-5, 1e-3]}"


def plan_problem(sweep, train, tune):
    text = RECIPE.replace("train: {rounds: 100, batch_size: 64}", f"train: {{batch_size: 64, {train}}}")
    sweep.file.write_text(f"{text}tune:\n  {tune}\n  {SEARCHED}}}\n")
    with pytest.raises(RecipeError) as caught:
        make_plan("r.yaml")
    return str(caught.value)


@pytest.mark.parametrize(
    ("train", "tune", "said"),
    [
        ("rounds: 100, evaluate_every: 100", "scheduler: asha",
         "10: train.evaluate_every: asha never stops a trial: its first score after 10 rounds (tune.grace) comes with the "
         "last, 100; write e.g. 10, or tune.scheduler: none"),
        ("rounds: 100, evaluate_every: 500", "{scheduler: median, grace: 0.2}",
         "10: train.evaluate_every: median never stops a trial: its first score after 20 rounds (tune.grace) comes with the "
         "last, 100; write e.g. 20, or tune.scheduler: none"),
        ("rounds: 1000, evaluate_every: 60", "{scheduler: pbt, rounds: 100, interval: 0.7}",
         "10: train.evaluate_every: pbt never copies a trial: its first score after 70 rounds (tune.interval) comes with the "
         "last, 100; write e.g. 70, or tune.scheduler: none"),
        ("rounds: 100, report_every: 100, checkpoint_every: 100, evaluate_every: 100",
         "{scheduler: asha, metric: critic/wasserstein, mode: min}",
         "10: train.report_every: asha never stops a trial: its first report after 10 rounds (tune.grace) comes with the "
         "last, 100; write e.g. 10, or tune.scheduler: none"),
        ("rounds: 100", "{scheduler: asha, grace: 1}",
         "14: tune.grace: asha never stops a trial before 100 of its 100 rounds; write a smaller share, or scheduler: none"),
        ("rounds: 100", "{scheduler: pbt, interval: 0.999}",
         "14: tune.interval: pbt never copies a trial before 100 of its 100 rounds; write a smaller share, or scheduler: none"),
        ("rounds: 1", "{scheduler: asha}",
         "13: tune.scheduler: asha never stops a trial that has one round; write scheduler: none"),
        ("rounds: 100", "{scheduler: median, trials: 3}",
         "13: tune.scheduler: median never stops a trial: it compares 4 trials at least, and the sweep has 3; write "
         "scheduler: none, or more trials"),
        ("rounds: 100", "{scheduler: pbt, trials: 1}",
         "13: tune.scheduler: pbt never copies a trial: it compares 2 trials at least, and the sweep has 1; write "
         "scheduler: none, or more trials"),
    ],
)  # fmt: skip
def test_schedulers_that_never_judge(sweep, train, tune, said):
    tune = tune.strip("{}").replace(", ", "\n  ")
    assert plan_problem(sweep, train, tune) == f"r.yaml:{said}"


@pytest.mark.parametrize(
    ("train", "tune"),
    [
        ("rounds: 100, evaluate_every: 10", "scheduler: asha"),
        ("rounds: 100, evaluate_every: 99", "scheduler: asha"),
        ("rounds: 100, evaluate_every: 70", "scheduler: pbt\n  interval: 0.7"),
        ("rounds: 2", "scheduler: asha"),
        ("rounds: 100, evaluate_every: 100", "scheduler: asha\n  metric: critic/wasserstein\n  mode: min"),
        ("rounds: 100", "scheduler: median\n  trials: 4"),
        ("rounds: 100", "scheduler: asha\n  trials: 2\n  reduction: 5"),
        ("rounds: 100, evaluate_every: 500", "scheduler: none"),
    ],
)
def test_schedulers_that_judge(sweep, train, tune):
    text = RECIPE.replace("train: {rounds: 100, batch_size: 64}", f"train: {{batch_size: 64, {train}}}")
    sweep.file.write_text(f"{text}tune:\n  {tune}\n  {SEARCHED}}}\n")
    assert make_plan("r.yaml").metric


def test_an_evaluation_that_is_searched_may_be_early_enough(sweep):
    base = RECIPE.replace("train: {rounds: 100", "train: {rounds: 100, evaluate_every: 100")
    early, late = ("train.evaluate_every: {choice: [100, " + last + "]}" for last in ("50", "200"))
    sweep.file.write_text(f"{base}tune:\n  scheduler: asha\n  {SEARCHED}, {early}}}\n")
    assert make_plan("r.yaml").metric
    sweep.file.write_text(f"{base}tune:\n  scheduler: asha\n  {SEARCHED}, {late}}}\n")
    with pytest.raises(RecipeError, match="asha never stops a trial: its first score after 10 rounds"):
        make_plan("r.yaml")


# Equal options.


@pytest.mark.parametrize("kind", ["choice", "grid"])
@pytest.mark.parametrize(
    ("key", "options", "said"),
    [
        ("optimizer.lr", "[1, 2, 1.0]", "1 and 1.0 are equal"),
        ("optimizer.lr", "[1e-3, 2, 0.001]", "0.001 is there twice"),
        ("data.layout", "[ring, grid, ring]", "ring is there twice"),
        ("critic", "[null, mlp, null]", "null is there twice"),
    ],
)
def test_equal_values(sweep, kind, key, options, said):
    more = "search: grid\n" if kind == "grid" else ""
    assert sweep.problem(key, f"{{{kind}: {options}}}", more=more) == f"{said}; {REMOVE}"


@pytest.mark.parametrize(
    ("key", "options", "pair"),
    [
        ("loss", "[hinge, wgan/wasserstein, wasserstein]", "wgan/wasserstein and wasserstein"),
        ("loss", "[hinge, {use: wasserstein}, wasserstein]", "{use: wasserstein} and wasserstein"),
        ("loss.use", "[wgan/wasserstein, wasserstein]", "wgan/wasserstein and wasserstein"),
        ("loss", "[tilted, {use: acme/tilted, tilt: 0.5}]", "tilted and {use: acme/tilted, tilt: 0.5}"),  # the default
        ("modifiers", "[[weight_clip], [{use: wgan/weight_clip}]]", "[weight_clip] and [{use: wgan/weight_clip}]"),
        ("modifiers", "[null, [ema], []]", "null and []"),
    ],
)
def test_options_that_make_the_same_recipe(sweep, key, options, pair):
    assert sweep.problem(key, f"{{choice: {options}}}") == f"{pair} make the same recipe; {REMOVE}"


def test_options_that_resemble_each_other_and_are_different(sweep):
    assert sweep.keys("loss: {choice: [tilted, {use: tilted, tilt: 0.25}, {use: tilted, low: 2}]}").keys
    assert "not true or false" in sweep.problem("train.one_pass", "{choice: [true, 1]}")  # and not: equal
    assert sweep.keys("critic: {choice: [null, {use: mlp}, {use: mlp, width: 8}]}").keys


@pytest.mark.parametrize("losses", ["[hinge, wasserstein]", "[wasserstein, hinge]"])
def test_options_whose_difference_another_key_hides_at_times(sweep, losses):
    """With hinge the rates of both players are searched, and with wasserstein they are the optimizer's."""
    rates = [f"optimizer.{p}.lr: {{loguniform: [1e-5, 1e-3], when: {{loss: hinge}}}}" for p in ("generator", "critic")]
    losses = f"loss: {{choice: {losses}}}"
    kinds = "optimizer: {choice: [{use: adam, lr: 0.001}, {use: adam, lr: 0.01}]}"
    assert len(sweep.keys(losses, kinds, *rates).keys) == 4
    always = [rate.replace("hinge", "[hinge, wasserstein]") for rate in rates]
    assert only(sweep, losses, kinds, *always).endswith(f"make the same recipe; {REMOVE}")


def test_equal_points(sweep):
    points = "points: [{loss: hinge}, {loss: hinge}, {loss: hinge, optimizer.lr: 1}, {optimizer.lr: 1.0, loss: hinge}]\n"
    said = only(sweep, "loss: {choice: [hinge, wasserstein]}", "optimizer.lr: {choice: [1, 2]}", more=points)
    assert said == f"4: tune.points[3]: tune.points[2] is the same; {REMOVE}"  # [1] leaves open what [0] does


# Conditions that never hold.


@pytest.mark.parametrize(
    ("when", "said"),
    [
        ("{loss: hinge}", "loss is never hinge, but wgan/wasserstein"),
        ("{loss: [hinge, lsgan]}", "loss is never [hinge, lsgan], but wgan/wasserstein"),
        ("{loss: wasserstein, modifiers: ema}", "modifiers is never ema, but wgan/weight_clip"),
        ("{optimizer.beta1: 0.25}", "optimizer.beta1 is never 0.25, but 0.5"),
        ("{critic: null}", "critic is never null, but networks/mlp"),
    ],
)
def test_a_condition_that_the_recipe_never_meets(sweep, when, said):
    name = said.partition(" ")[0]
    assert only(sweep, "optimizer.lr: {uniform: [0.1, 1]}", f"train.seed: {{randint: [1, 9], when: {when}}}") == (
        f"3: tune.space.train.seed: when: {said} in all trials; remove the key, or put '{name}' into the space"
    )


def test_a_condition_that_a_change_on_the_command_line_breaks(sweep):
    clip = "modifiers[0].c: {uniform: [0.1, 1], when: {modifiers: weight_clip}}"
    space = f"space:\n  optimizer.lr: {{uniform: [0.1, 1]}}\n  {clip}\n"
    assert len(sweep(space).keys) == 2
    (said,) = sweep.problems(space, "modifiers[0]=ema")
    assert said.startswith("3: tune.space.modifiers[0].c: when: modifiers is never weight_clip, but regularize/ema in all trials")
    assert len(sweep(space, "modifiers[0]=ema", "~tune.space.modifiers[0].c").keys) == 1


# Nothing.


@pytest.mark.parametrize(
    ("key", "option", "said"),
    [
        ("critic", "'(none)'", TABLE),
        ("train.n_critic", "(none)", TABLE),
        ("train.start_from", "(none)", TABLE),  # which takes any text
        ("loss", "{use: tilted, inner: (none)}", TABLE),
        ("train.clip_grad", "none", f"at none: 'none' is not a number or null; {NULL}"),
        ("train.clip_grad", "'null'", f"at 'null': 'null' is not a number or null; {NULL}"),
        ("modifiers", "None", f"at None: 'None' is not a list; begin each modifier with '- '; {NULL}"),
        ("train.n_critic", "none", "at none: 'none' is not an integer; this key cannot be none: remove it from the options"),
        ("train.n_critic", "null", "at null: null is not an integer; this key cannot be none: remove null from its options"),
    ],
)
def test_options_that_are_meant_as_none(sweep, key, option, said):
    assert sweep.problem(key, f"{{choice: [{option}]}}") == said


def test_what_is_advised_for_none_works(sweep):
    said = sweep.problem("critic", "{choice: [none, mlp]}")
    assert said.startswith("at none: unknown critic 'none' (installed: ")
    assert said.endswith(f"); {NULL}")
    assert sweep.keys("critic: {choice: [null, mlp]}").keys
    assert sweep.keys("train.clip_grad: {choice: [null, 1]}").keys


def test_conditions_and_points_with_none(sweep):
    searched, seed = "critic: {choice: [null, mlp]}", "train.seed: {{randint: [1, 9], when: {{critic: {}}}}}"
    for text in ("none", "'(none)'", "'null'"):
        said = only(sweep, searched, seed.format(text))
        shown = text if text == "'null'" else text.strip("'")
        assert said == f"3: tune.space.train.seed: when: no option of 'critic' is {shown}; write null for none"
        said = only(sweep, searched, more=f"points: [{{critic: {text}}}]\n")
        assert said == f"3: tune.points[0]: critic: {shown} is not in the space (choice [null, mlp]); {NULL}"
    assert only(sweep, seed.format("none")) == "2: tune.space.train.seed: when: for no critic, write null, and not none"
    assert len(sweep.keys(searched, seed.format("null"), more="points: [{critic: null}]\n").keys) == 2


def test_a_key_without_a_domain(sweep):
    said = sweep.problem("optimizer.lr", "null")
    assert said.startswith("null is not a domain; to search nothing here, leave the key out (kinds: ")


def test_integers_on_a_logarithmic_scale(sweep):
    said = sweep.problem("generator.width", "{loguniform: [8, 64]}")
    assert said == "this key takes integers; use lograndint"
    assert sweep.keys("generator.width: {lograndint: [8, 65]}").keys


@pytest.mark.parametrize("scheduler", ["asha", "hyperband", "median", "pbt"])
def test_every_scheduler_can_be_planned(sweep, scheduler):
    sweep.file.write_text(f"{RECIPE}tune:\n  scheduler: {scheduler}\n  trials: 4\n  {SEARCHED}}}\n")
    assert make_plan("r.yaml", ["train.evaluate_every=10"]).tune.scheduler == scheduler
