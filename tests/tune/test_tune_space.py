"""Spaces: what is wrong with one is said before any trial begins, and what it yields is a recipe."""

import random

import pytest
from space_helpers import RECIPE

from ganflow.cli.main import main
from ganflow.errors import RecipeError
from ganflow.recipe import Tune, read_recipe
from ganflow.recipe.source import draft
from ganflow.recipe.yaml import to_flow
from ganflow.space.reading import read_space
from ganflow.space.scales import DOMAINS

KINDS = f"(kinds: {', '.join(DOMAINS)})"
SWITCH = "modifiers: {choice: [[{use: weight_clip}], [{use: gradient_penalty}]]}"
WEIGHT = "modifiers[0].weight: {loguniform: [1, 100], when: {modifiers: gradient_penalty}}"
INTEGERS = "this key takes integers; use randint, or quniform with a whole low and q"
LOSSES = "loss: {choice: [wasserstein, {use: acme/tilted}]}"


def keys(*lines):
    return "space:\n" + "".join(f"  {line}\n" for line in lines)


# What is wrong with a key, by itself.


@pytest.mark.parametrize(
    ("domain", "said"),
    [
        ("{loguniforn: [1e-5, 1e-3]}", f"unknown kind of domain 'loguniforn'; did you mean 'loguniform'? {KINDS}"),
        ("{loguniform: [1e-5]}", "loguniform takes 2 numbers, [low, high], not 1"),
        ("{loguniform: {low: 1}}", "loguniform takes a list, [low, high], not {low: 1}"),
        ("{loguniform: [0, 1]}", "loguniform [low, high]: low must be above 0, not 0"),
        ("{choice: []}", "choice needs at least one value"),
        ("{uniform: [0.1, 1], choice: [1]}", f"needs one domain, not uniform and choice {KINDS}"),
        ("{}", f"needs one domain, not none {KINDS}"),
        ("{when: {loss: hinge}}", f"needs one domain, not none {KINDS}"),
        ("0.1", f"0.1 is not a domain; what is fixed belongs in its own section {KINDS}"),
        ("[0.1, 1]", f"[0.1, 1] is not a domain; write {{choice: [0.1, 1]}} {KINDS}"),
        ("{uniform: [0.1, 1], wen: {loss: hinge}}", "unknown key 'wen'; did you mean 'when'? (a domain, and when)"),
        ("{grid: [0.1]}", "random cannot try every value of a grid; use search: grid, or choice here"),
    ],
)
def test_bad_domains(sweep, domain, said):
    assert sweep.problem("optimizer.lr", domain) == said


@pytest.mark.parametrize("search", ["optuna", "hyperopt"])
def test_only_the_grid_searcher_takes_grids(sweep, search):
    said = f"{search} cannot try every value of a grid; use search: grid, or choice here"
    assert sweep.problem("optimizer.lr", "{grid: [0.1]}", more=f"search: {search}\n") == said
    assert sweep("search: grid\n" + keys("optimizer.lr: {grid: [0.1]}")).keys


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("optimzer.lr", "there is no section 'optimzer'; did you mean 'optimizer'?"),
        ("optimizer..lr", "not a key of a recipe; write it like optimizer.lr or modifiers[0].c"),
        ("name", "name cannot be searched: it names the folder of the runs"),
        ("track.uri", "track cannot be searched: it does not change what is trained"),
        ("tune.trials", "tune cannot be searched: it is the search itself"),
        ("metrics[0].seed", "metrics cannot be searched: trials that are measured differently cannot be compared"),
        ("train.device", "train.device cannot be searched: tune.resources says what a trial gets"),
        ("optimizer.lrr",
         "unknown key 'lrr' in optimizer 'adam'; did you mean 'lr'? (keys: lr, beta1, beta2, eps, weight_decay)"),
        ("modifiers[1].c", "there is no modifiers[1] (items: 1); to append, write +modifiers=…"),
        ("modifiers[0].d", "unknown key 'd' in modifier 'weight_clip' (keys: c)"),
        ("schedule.start", "at 0.1: missing key 'use' in schedule: which schedule? (installed: …)"),
    ],
)  # fmt: skip
def test_keys_that_cannot_be_searched(sweep, key, said):
    names = ", ".join(sweep.catalogue.names("schedule"))
    assert sweep.problem(key, "{uniform: [0.1, 0.2]}") == said.replace("installed: …", f"installed: {names}")


def test_rounds_are_not_searched_where_a_scheduler_compares_them(sweep):
    assert sweep("space: {train.rounds: {choice: [10, 20]}}").keys
    (said,) = sweep.problems("scheduler: asha\nspace: {train.rounds: {choice: [10, 20]}}")
    assert said == "2: tune.space.train.rounds: train.rounds cannot be searched: asha compares trials at the same round"


@pytest.mark.parametrize(
    ("key", "domain", "said"),
    [
        ("optimizer.lr", "{loguniform: [1e-5, 1e-3]}", None),
        ("optimizer.beta1", "{uniform: [0.0, 2.0]}", "at 2.0: 2 is not below 1"),
        ("optimizer.beta1", "{normal: [1, 0.25]}", "at 1.75: 1.75 is not below 1"),
        ("modifiers[0].c", "{uniform: [0, 1]}", "at 0.0: 0 is not above 0"),
        ("generator.width", "{randint: [0, 64]}", "at 0: 0 is below 1"),
        ("generator.width", "{quniform: [16, 64, 16]}", None),
        ("generator.width", "{uniform: [16, 64]}", INTEGERS),
        ("generator.width", "{quniform: [16, 64, 0.5]}", INTEGERS),
        ("generator.width", "{choice: [16, 32.5]}", "at 32.5: 32.5 is not an integer"),
        ("data.layout", "{choice: [ring, ting]}", "at ting: 'ting' is not one of ring, grid, custom; did you mean 'ring'?"),
        ("train.one_pass", "{choice: [true, 'no']}", "at 'no': 'no' is not true or false; leave out the quotes"),
        ("critic", "{choice: [null, mlp]}", None),
        ("generator", "{choice: [null, mlp]}",
         "at null: the section is empty; every recipe needs generator; this key cannot be none: remove null from its options"),
        ("loss", "{choice: [{use: hnge}, hinge]}", "at {use: hnge}: unknown loss 'hnge'; did you mean 'hinge'? (installed: …)"),
        ("loss", "{choice: [{use: acme/tilted, tilt: 2}]}", "at {use: acme/tilted, tilt: 2}: loss.tilt: 2 is above 1"),
        ("loss", "{choice: [{use: tilted, inner: {use: tilted, tilt: 2}}]}",
         "at {use: tilted, inner: {use: tilted, tilt: 2}}: loss.inner.tilt: 2 is above 1"),
        ("modifiers", "{choice: [[{use: weight_clip}], [{use: weight_clip, d: 3}]]}",
         "at [{use: weight_clip, d: 3}]: unknown key 'd' in modifier 'weight_clip' (keys: c)"),
        ("loss", "{choice: [{use: tilted, tilt: {uniform: [0, 1]}}]}",
         "a domain inside an option is not understood; make it a key of its own, "
         "loss.tilt: {uniform: [0, 1]}, with a condition (when)"),
    ],
)  # fmt: skip
def test_every_value_is_tried_on_the_component(sweep, key, domain, said):
    if said is None:
        assert list(sweep.keys(f"{key}: {domain}").keys) == [key]
        return
    names = ", ".join(sweep.catalogue.names("loss"))
    assert sweep.problem(key, domain) == said.replace("…", names)


def test_each_bad_value_is_told_once_and_all_keys_are_told(sweep):
    assert sweep.problems(keys("train.n_critic: {choice: [1, 0, true]}", "modifiers[0].c: {uniform: [0, 1]}", LOSSES)) == [
        "2: tune.space.train.n_critic: at 0: 0 is below 1",
        "2: tune.space.train.n_critic: at true: true is not an integer",
        "3: tune.space.modifiers[0].c: at 0.0: 0 is not above 0",
    ]


def test_a_value_in_a_large_sample_of_combinations_is_found(sweep):
    many = [f"data.{key}: {{uniform: [0.1, 1]}}" for key in ("radius", "spacing", "scale", "std")]
    lines = [*many, "data.samples: {randint: [100, 200]}", "data.held_out: {choice: [10, 20, -1, 30, 40, 50]}"]
    (said,) = sweep.problems(keys(*lines, "data.layout: {choice: [ring, grid]}"))
    assert said == "7: tune.space.data.held_out: at -1: -1 is below 0"


# Keys together.


def test_keys_of_one_section_are_tried_together(sweep):
    lines = ["train.batch_size: {choice: [33, 48]}", "train.accumulate: {choice: [3]}"]  # 3 does not divide the recipe's own 64
    assert len(sweep.keys(*lines).keys) == 2
    assert sweep.problems(keys("train.batch_size: {choice: [32, 48]}", "train.accumulate: {choice: [1, 32]}")) == [
        "3: tune.space.train.accumulate: at 32: 32 micro-batches do not divide a batch_size of 48 evenly",
    ]


def test_a_value_that_does_not_fit_another_of_the_recipe_is_told_where_the_space_has_it(sweep):
    text = RECIPE.replace("train: {rounds: 100, batch_size: 64}", "train: {rounds: 100, batch_size: 66, accumulate: 3}")
    (said,) = sweep.problems(keys("train.batch_size: {choice: [33, 40]}"), text=text)
    assert said == (
        "2: tune.space.train.batch_size: at 40: train.accumulate: "
        "3 micro-batches do not divide a batch_size of 40 evenly"
    )


def test_a_key_is_tried_in_each_component_that_it_lies_below(sweep):
    assert sweep.problems(keys(SWITCH, "modifiers[0].weight: {loguniform: [1, 100]}")) == [
        "3: tune.space.modifiers[0].weight: with modifiers: [{use: weight_clip}]: "
        "unknown key 'weight' in modifier 'weight_clip' (keys: c)",
    ]
    assert sweep.problems(keys(LOSSES, "loss.tilt: {uniform: [0, 1.5], when: {loss: tilted}}")) == [
        "3: tune.space.loss.tilt: at 1.5 with loss: {use: acme/tilted}: 1.5 is above 1",
    ]


def test_a_required_key_may_come_from_the_space(sweep):
    lines = ["data: {choice: [{use: gaussians}, {use: tensor_file}]}", "data.path: {choice: [a.npy], when: {data: tensor_file}}"]
    assert len(sweep.keys(*lines).variants) == 2


@pytest.mark.slow
def test_more_options_than_are_combined(sweep):
    many = "[" + ", ".join(map(str, range(1, 251))) + "]"
    space = sweep.keys(f"generator.width: {{choice: {many}}}", "generator.depth: {choice: [1, 2]}")
    assert len(space.keys) == 2
    (said,) = sweep.problems(keys(f"generator.width: {{choice: {many[:-1]}, 0]}}", "generator.depth: {choice: [1, 2]}"))
    assert said == "2: tune.space.generator.width: at 0: 0 is below 1"


def test_the_recipes_of_every_component_are_at_hand(sweep):
    space = sweep.keys(SWITCH, WEIGHT, LOSSES)
    met = {(v.loss.component.name, v.modifiers[0].component.name) for v in space.variants}
    assert {loss for loss, _ in met} == {"wasserstein", "tilted"}
    assert {modifier for _, modifier in met} == {"weight_clip", "gradient_penalty"}
    assert all(v.tune is None for v in space.variants)


# Conditions.


def test_a_key_exists_only_under_its_condition(sweep):
    space = sweep.keys(SWITCH, WEIGHT, "optimizer: {lr: {loguniform: [1e-5, 1e-3]}}")
    assert list(space.keys) == ["modifiers", "modifiers[0].weight", "optimizer.lr"]
    met = set()
    for seed in range(50):
        config = space.sample(random.Random(seed))
        chosen = config["modifiers"][0]["use"]
        assert ("modifiers[0].weight" in config) == (chosen == "gradient_penalty")
        recipe = space.validate(config)
        assert recipe.modifiers[0].component.name == chosen
        met.add(chosen)
        if chosen == "gradient_penalty":
            assert recipe.modifiers[0].settings.weight == config["modifiers[0].weight"]
    assert len(met) == 2


@pytest.mark.parametrize("key", ["generator.width", "critic.width", "prior.dim", "data.samples"])
def test_what_shapes_the_networks_is_not_mutated(sweep, key):
    space, rng = sweep.keys(f"{key}: {{randint: [2, 9]}}", "optimizer.lr: {loguniform: [1e-5, 1e-1]}"), random.Random(0)
    mutated = [space.mutate({key: 5, "optimizer.lr": 1e-3}, Tune(), rng) for _ in range(20)]
    assert {config[key] for config in mutated} == {5}
    assert len({config["optimizer.lr"] for config in mutated}) > 2


def test_a_grid_may_have_more_points_than_trials_are_said(sweep):
    points = "points: [{train.n_critic: 1}, {train.n_critic: 2}]\ntrials: 1\nsearch: grid\n"
    assert len(sweep.keys("train.n_critic: {choice: [1, 2]}", more=points).points) == 2


def test_a_config_has_the_recipes_order(sweep):
    """Also where a key stands before the one that it depends on."""
    space = sweep.keys("loss.tilt: {uniform: [0, 1], when: {loss: tilted}}", "loss: {choice: [{use: acme/tilted}]}")
    assert space.sequence == ["loss", "loss.tilt"]
    config = space.sample(random.Random(0))
    assert list(config) == ["loss.tilt", "loss"]
    known = {"loss": {"use": "acme/tilted"}, "loss.tilt": 0.5}
    assert list(space.sample(random.Random(0), known).items()) == [("loss.tilt", 0.5), ("loss", {"use": "acme/tilted"})]


def test_what_does_not_exist_is_left_out(sweep):
    space = sweep.keys(SWITCH, WEIGHT)
    config = {"modifiers": [{"use": "weight_clip"}], "modifiers[0].weight": 3.0}
    assert space.sample(random.Random(0), config) == {"modifiers": [{"use": "weight_clip"}]}


def test_conditions_may_stand_on_conditions_and_on_numbers(sweep):
    space = sweep.keys(
        "optimizer.beta1: {uniform: [0, 0.5], when: {train.n_critic: 3, loss: [hinge, lsgan]}}",
        "train.n_critic: {randint: [1, 9], when: {loss: hinge}}",
        "loss: {choice: [hinge, lsgan, wasserstein]}",
    )
    assert space.sequence == ["loss", "train.n_critic", "optimizer.beta1"]
    seen = [space.sample(random.Random(seed)) for seed in range(300)]
    for config in seen:
        assert ("train.n_critic" in config) == (config["loss"] == "hinge")
        assert ("optimizer.beta1" in config) == (config.get("train.n_critic") == 3)
    assert any("optimizer.beta1" in config for config in seen)


def test_a_condition_on_what_the_recipe_fixes(sweep):
    lr = "optimizer.lr: {loguniform: [1e-5, 1e-3]}"
    clip = "modifiers[0].c: {uniform: [0.1, 1], when: {modifiers: weight_clip, optimizer: adam, optimizer.beta1: 0.5}}"
    space = sweep.keys(lr, clip)
    assert list(space.keys) == ["optimizer.lr", "modifiers[0].c"]
    assert space.conditions == {}
    split = sweep(keys(lr, "train.n_critic: {choice: [1], when: {optimizer.critic.beta1: 0.9}}"), "optimizer.critic.beta1=0.9")
    assert len(split.keys) == 2


@pytest.mark.parametrize(
    ("when", "said"),
    [
        ("hinge", "when takes conditions, {key: value}, not hinge"),
        ("{}", "when takes conditions, {key: value}, not {}"),
        ("{lo ss: hinge}", "when: 'lo ss' is not a key of a recipe; write it like loss or modifiers[0]"),
        ("{modifiers: gradent_penalty}",
         "when: no option of 'modifiers' is gradent_penalty; did you mean 'gradient_penalty'? "
         "(options: weight_clip, gradient_penalty)"),
        ("{optimizer.lr: 0.1}", "when: a condition needs options, and 'optimizer.lr' has none; make it choice, grid or randint"),
        ("{train.n_critic: 9}", "when: 'train.n_critic' is never 9"),
        ("{lss: hinge}", "when: 'lss' is neither in the space nor in the recipe; did you mean 'loss'?"),
        ("{optimizer.betta: 1}",
         "when: 'optimizer.betta' is neither in the space nor in the recipe; did you mean 'optimizer.beta1'?"),
        ("{loss: hnge}", "when: nothing that is called 'hnge' is installed; did you mean 'hinge'?"),
        ("{'modifiers[0]': weight_clip}", "when: 'modifiers[0]' is searched as 'modifiers'; name that"),
    ],
)  # fmt: skip
def test_bad_conditions(sweep, when, said):
    lines = [SWITCH, "optimizer.lr: {loguniform: [1e-5, 1e-3]}", "train.n_critic: {randint: [1, 9]}"]
    (only,) = sweep.problems(keys(*lines, f"optimizer.beta1: {{uniform: [0, 0.5], when: {when}}}"))
    assert only == f"5: tune.space.optimizer.beta1: {said}"


def test_a_condition_on_a_section_whose_component_is_searched(sweep):
    lines = ["loss.use: {choice: [hinge, wasserstein]}", "optimizer.beta1: {uniform: [0, 0.5], when: {loss: hinge}}"]
    (said,) = sweep.problems(keys(*lines))
    assert said == "3: tune.space.optimizer.beta1: when: 'loss' is searched as 'loss.use'; name that"


def test_values_that_conditions_want_are_tried(sweep):
    """Neither at an edge of their domain nor in its middle."""
    lines = ["train.n_critic: {randint: [1, 100]}", "modifiers[0].c: {uniform: [-1, 1], when: {train.n_critic: 37}}"]
    (said,) = sweep.problems(keys(*lines))
    assert said == "3: tune.space.modifiers[0].c: at -1.0 with train.n_critic: 37: -1 is not above 0"


def test_the_longest_list_of_values_is_tried_to_its_end(sweep):
    (said,) = sweep.problems(keys("optimizer.lr: {choice: [1]}", "modifiers[0].c: {choice: [0.1, 0.2, 0.3, -1]}"))
    assert said == "3: tune.space.modifiers[0].c: at -1: -1 is not above 0"


def test_conditions_in_a_circle(sweep):
    one = "optimizer.lr: {choice: [1, 2], when: {optimizer.beta1: 0.1}}"
    other = "optimizer.beta1: {choice: [0.1], when: {train.batch_size: 2}}"
    third = "train.batch_size: {choice: [2, 3], when: {optimizer.lr: 1}}"
    (said,) = sweep.problems(keys("train.seed: {randint: [0, 9]}", one, other, third))
    circle = "optimizer.lr → optimizer.beta1 → train.batch_size → optimizer.lr"
    assert said == f"3: tune.space.optimizer.lr: when: conditions go round in a circle: {circle}"
    assert "in a circle: loss → loss" in sweep.problem("loss", "{choice: [hinge], when: {loss: hinge}}")


def test_conditions_that_exclude_each_other(sweep):
    lines = ["loss: {choice: [hinge, wasserstein]}", "train.n_critic: {choice: [1, 5], when: {loss: wasserstein}}"]
    (said,) = sweep.problems(keys(*lines, "optimizer.beta1: {uniform: [0, 0.5], when: {loss: hinge, train.n_critic: 5}}"))
    assert said == (
        "4: tune.space.optimizer.beta1: when: loss: hinge and train.n_critic: 5 never hold together, "
        "for train.n_critic only exists with loss: wasserstein"
    )


def test_a_condition_on_a_key_that_is_wrong_itself_is_not_told_twice(sweep):
    (said,) = sweep.problems(keys("loss: {chioce: [hinge]}", "optimizer.beta1: {uniform: [0, 0.5], when: {loss: hinge}}"))
    assert said.startswith("2: tune.space.loss: unknown kind of domain 'chioce'; did you mean 'choice'?")


# The space as a whole.


def test_nothing_to_search(sweep):
    hint = "write e.g. optimizer.lr: {loguniform: [1e-5, 1e-3]}"
    assert sweep.problems("trials: 3") == [f"0: tune.space: there is nothing to search; {hint}"]
    (said,) = sweep.problems("trials: 3\nspace: {}")
    assert said == f"2: tune.space: there is nothing to search; {hint}"


def test_a_key_written_twice(sweep):
    assert sweep.problems(keys("modifiers[0].c: {uniform: [0.1, 1]}", "modifiers.0.c: {uniform: [0.1, 1]}")) == [
        "3: tune.space.modifiers.0.c: 'modifiers[0].c' is in the space twice"
    ]
    assert sweep.problems(keys("optimizer.lr: {uniform: [0.1, 1]}", "optimizer: {lr: {uniform: [0.1, 1]}}")) == [
        "3: tune.space.optimizer.lr: 'optimizer.lr' is in the space twice"
    ]


def test_a_grid_needs_options_and_an_end(sweep):
    (said,) = sweep.problems("search: grid\nspace: {optimizer.lr: {uniform: [0.1, 1]}}")
    assert said == "1: tune.search: grid needs a key with grid or choice; or use search: random"
    hundred = "[" + ", ".join(map(str, range(1, 101))) + "]"
    lines = [f"{key}: {{grid: {hundred}}}" for key in ("train.rounds", "generator.width", "critic.width")]
    (said,) = sweep.problems("search: grid\n" + keys(*lines))
    assert said == "2: tune.space: the grid has more than 100,000 points; use search: random"


def test_population_based_training_does_not_go_with_learning_searchers(sweep):
    (said,) = sweep.problems("search: optuna\nscheduler: pbt\nspace: {optimizer.lr: {uniform: [0.1, 1]}}")
    why = "optuna learns from configurations that stay as they are, and pbt changes them; use search: random"
    assert said == f"1: tune.search: {why}"


@pytest.mark.parametrize(
    ("point", "said"),
    [
        ("{optimizer.lr: 5}", "optimizer.lr: 5 is not in the space (choice [1, 2])"),
        ("{optimizer: {lr: 5}}", "optimizer.lr: 5 is not in the space (choice [1, 2])"),
        ("{optimizer.l: 1}",
         "'optimizer.l' is not in the space; did you mean 'optimizer.lr'? (keys: optimizer.lr, loss, loss.tilt)"),
        ("{loss.tilt: 0.5}", "'loss.tilt' only exists with loss: tilted, which this point does not say"),
        ("{loss: tilted, loss.tilt: 3}", "loss.tilt: 3 is not in the space (uniform [0, 1])"),
        ("{loss: hinge}", "loss: hinge is not in the space (choice [wasserstein, {use: acme/tilted}])"),
    ],
)  # fmt: skip
def test_bad_points(sweep, point, said):
    lines = ["optimizer.lr: {choice: [1, 2]}", LOSSES, "loss.tilt: {uniform: [0, 1], when: {loss: tilted}}"]
    (only,) = sweep.problems(keys(*lines) + f"points:\n  - {{loss: wasserstein}}\n  - {point}\n")
    assert only == f"7: tune.points[1]: {said}"


def test_more_points_than_trials(sweep):
    (said,) = sweep.problems("trials: 1\npoints: [{}, {}]\nspace: {optimizer.lr: {choice: [1]}}")
    assert said == "2: tune.points: 2 points do not fit into 1 trials; raise tune.trials"


def test_points_are_written_like_the_space_or_shorter(sweep):
    lines = ["optimizer.lr: {uniform: [1, 2]}", LOSSES, "loss.tilt: {uniform: [0, 1], when: {loss: tilted}}"]
    space = sweep.keys(*lines, more="points: [{loss: tilted, loss.tilt: 1}, {optimizer: {lr: 2}, loss: {use: acme/tilted}}]\n")
    assert space.points == [
        {"loss": {"use": "acme/tilted"}, "loss.tilt": 1.0},
        {"optimizer.lr": 2.0, "loss": {"use": "acme/tilted"}},
    ]


# On the command line.


def test_the_command_line_changes_the_space(sweep):
    base = keys("optimizer.lr: {choice: [1, 2]}", "modifiers[0].c: {choice: [1, 2]}")
    changed, added = "tune.space.optimizer.lr={choice: [3]}", "tune.space.train.seed={randint: [0, 3]}"
    space = sweep(base, changed, "~tune.space.modifiers[0].c", added)
    assert {key: domain.edges() for key, domain in space.keys.items()} == {"optimizer.lr": [3], "train.seed": [0, 1, 2]}
    (said,) = sweep.problems(base, "tune.space.modifiers[0].c={uniform: [0, 1]}")
    assert said == "0: tune.space.modifiers[0].c: at 0.0: 0 is not above 0"


def test_changes_of_the_recipe_come_before_a_trials_own(sweep):
    """`modifiers[0].c=…` names the recipe's modifier, not the one that a trial has in its place."""
    space = sweep(keys("modifiers[0]: {choice: [gradient_penalty, {use: weight_clip}]}"), "modifiers[0].c=0.3")
    assert {v.modifiers[0].component.name for v in space.variants} == {"gradient_penalty", "weight_clip"}
    assert {getattr(v.modifiers[0].settings, "c", None) for v in space.variants} == {None, 0.01}


def test_references_follow_what_is_searched(sweep):
    text = RECIPE.replace("critic: {use: mlp, width: 32", 'critic: {use: mlp, width: "${generator.width}"')
    space = sweep(keys("generator.width: {choice: [8, 16]}"), text=text)
    assert space.validate({"generator.width": 16}).critic.settings.width == 16


def test_check_looks_into_the_space(sweep, capsys):
    sweep.recipe(keys("modifiers[0].c: {uniform: [0, 1]}"))
    assert main(["check", "r.yaml"]) == 2
    assert capsys.readouterr().err.startswith("r.yaml:14: tune.space.modifiers[0].c: at 0.0: 0 is not above 0\n")
    assert main(["check", "r.yaml", "tune.space.modifiers[0].c={uniform: [0.1, 1]}"]) == 0
    assert main(["check", "wgan", "sweeps/components"]) == 0


# What comes out.


@pytest.mark.parametrize(
    "value",
    [1e-05, 5e-324, 1e22, 0.1, -0.0, 3, 2**62, True, None, "no", "1e3", "", "a, b", "it's: {x}", "a\nb", " x ", "~", "ü…", "#1",
     "5e-5", {"use": "hinge", "margin": 1e-07}, [{"use": "ema", "tags": {"a b": [1, "2", None]}}], [], {}, [[1, 2], []]],
    ids=repr,
)  # fmt: skip
def test_changes_read_back_exactly(value):
    from ganflow.recipe.yaml import Problems, read_yaml

    problems, written = Problems(""), to_flow(value)
    read = read_yaml(written, problems, line=0).plain()
    assert (read, type(read), problems) == (value, type(value), [])
    assert "\n" not in written or "\n" in str(value)


def test_changes(sweep):
    space = sweep.keys(SWITCH, WEIGHT, "optimizer.lr: {loguniform: [1e-5, 1e-3]}", "train.n_critic: {quniform: [1, 5, 2]}")
    config = {"optimizer.lr": 1e-05, "train.n_critic": 3, "modifiers": [{"use": "gradient_penalty"}], "modifiers[0].weight": 2.0}
    assert space.changes(config) == [
        "modifiers=[{use: gradient_penalty}]",
        "modifiers[0].weight=2.0",
        "optimizer.lr=1.0e-05",
        "train.n_critic=3",
        "~tune",
    ]
    recipe = space.validate(config)
    assert (recipe.optimizers["critic"].settings.lr, recipe.train.n_critic, recipe.tune) == (1e-05, 3, None)


def test_validate_tells_the_line_of_the_space(sweep):
    space = sweep.keys("train.seed: {randint: [0, 9]}", "optimizer.lr: {loguniform: [1e-5, 1e-3]}")
    with pytest.raises(RecipeError, match=r"^r\.yaml:15: optimizer\.lr: -1 is below 0$"):
        space.validate({"train.seed": 1, "optimizer.lr": -1.0})


def test_mutations_change_numbers_and_leave_the_networks(sweep):
    space = sweep.keys(
        "generator.width: {choice: [8, 16, 32]}",
        SWITCH,
        WEIGHT,
        "loss: {choice: [hinge, lsgan, wasserstein]}",
        "optimizer.lr: {loguniform: [1e-5, 1e-3]}",
        "train.batch_size: {randint: [8, 64]}",
    )
    rng = random.Random(0)
    for seed in range(30):
        before = space.sample(random.Random(seed))
        after = space.mutate(before, Tune(), rng)
        changed = {key for key in before if before[key] != after[key]}
        assert list(after) == list(before)
        assert changed <= {"optimizer.lr", "train.batch_size", "modifiers[0].weight"}
        assert changed
        assert all(space.keys[key].contains(value) for key, value in after.items())
        space.validate(after)


def test_a_resolved_recipe_has_the_same_space(sweep):
    """A sweep goes on from the recipe in its folder."""
    lines = [SWITCH, WEIGHT, "optimizer.lr: {loguniform: [1e-5, 1e-3]}", "train.seed: {randint: [0, 9], when: {optimizer: adam}}"]
    space = sweep.keys(*lines)
    first = sweep.recipe(keys(*lines))
    sweep.file.write_text(first.to_yaml())
    again = read_space(read_recipe("r.yaml", (), sweep.catalogue), "r.yaml", (), sweep.catalogue)
    for seed in range(20):
        config = space.sample(random.Random(seed))
        assert again.sample(random.Random(seed)) == config
        assert again.validate(config) == space.validate(config)


def test_a_draft_is_written_as_it_was_given(sweep):
    text = RECIPE.replace("width: 32, depth: 2}\ncritic", 'width: "${prior.dim}", depth: 2}\ncritic').replace("name: small\n", "")
    sweep.file.write_text(text)
    first = draft("r.yaml", ["optimizer.lr=1e-5"])
    again = sweep.file.with_name("again.yaml")
    again.write_text(first.to_yaml())
    assert "${prior.dim}" in again.read_text()
    assert draft("again.yaml").build(catalogue=sweep.catalogue) == first.build(catalogue=sweep.catalogue)
    assert first.build(["prior.dim=5"]).generator.settings.width == 5
    assert first.build().generator.settings.width == 2
