"""Former names of keys and components, as a release that renames them has them."""

import datetime
import re

import pytest

from ganflow.cli import main
from ganflow.contract.settings import keys
from ganflow.errors import RecipeError
from ganflow.plugins import UnknownComponent, load_catalogue
from ganflow.recipe import Track, Train, Tune, read_recipe, renamed
from ganflow.recipe.renamed import RENAMED, Renamed
from ganflow.version import __version__

NEXT = (
    Renamed("loss", "earth_mover", "wasserstein", "0.2.0", "2027-01-15"),
    Renamed("modifier", "bound", "c", "0.2.0", "2027-01-15", component="weight_clip"),
    Renamed("train", "epochs", "rounds", "0.3.0", "2027-02-01"),
)
RECIPE = """\
data: {use: digits, size: 16}
prior: {use: normal, dim: 8}
generator: {use: dcgan, width: 4}
critic: {use: dcgan, width: 4, norm: none}
loss: earth_mover
optimizer: {use: rmsprop}
modifiers:
  - use: weight_clip
    bound: 0.02
train:
  epochs: 40
  sample_every: ${train.epochs}
"""
LOSS = "'earth_mover' is called 'wasserstein' since ganflow 0.2.0 (2027-01-15); write that, for the former name will not stay"


@pytest.fixture
def old(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(renamed, "RENAMED", NEXT)
    (tmp_path / "old.yaml").write_text(RECIPE)
    return tmp_path / "old.yaml"


def test_former_names_are_read_with_a_dated_warning(old, capsys):
    recipe = read_recipe(old)
    assert (recipe.loss.component.name, recipe.modifiers[0].settings.c, recipe.train.rounds, recipe.train.sample_every) == (
        "wasserstein", 0.02, 40, 40)  # fmt: skip
    assert {key: recipe.resolved()["modifiers"][0][key] for key in ("use", "c")} == {"use": "wgan/weight_clip", "c": 0.02}
    assert main(["check", "old.yaml"]) == 0
    said = capsys.readouterr().err.splitlines()
    since = LOSS.partition("'wasserstein' ")[2]
    assert said[:-1] == [
        f"old.yaml:5: warning: loss: loss {LOSS}",
        f"old.yaml:9: warning: modifiers[0].bound: 'bound' is called 'c' {since}",
        "old.yaml:11: warning: train.epochs: 'epochs' is called 'rounds' "
        + since.replace("0.2.0 (2027-01-15)", "0.3.0 (2027-02-01)"),
    ]


def test_a_plugins_name_may_stand_in_front(old):
    assert read_recipe(old, ["loss=wgan/earth_mover"]).loss.component.qualified == "wgan/wasserstein"
    with pytest.raises(RecipeError, match="unknown loss 'vanilla/wasserstein'"):
        read_recipe(old, ["loss=vanilla/earth_mover"])


@pytest.mark.parametrize(("change", "rounds"), [("train.epochs=7", 7), ("train.rounds=8", 8)])
def test_the_command_line_wins_by_either_name(old, change, rounds):
    recipe = read_recipe(old, [change])
    assert recipe.train.rounds == rounds
    line = "arguments" if "epochs" in change else "old.yaml:11"
    assert any(note.startswith(f"{line}: warning: train.epochs: ") for note in recipe.notes)


def test_both_names_in_a_file_are_a_mistake(old):
    old.write_text(RECIPE.replace("  epochs: 40\n", "  epochs: 40\n  rounds: 50\n"))
    with pytest.raises(RecipeError, match=re.escape("old.yaml:11: train.epochs: 'epochs' is called 'rounds' since")) as error:
        read_recipe("old.yaml")
    assert str(error.value).endswith("the recipe has both, remove one")
    assert len(error.value.problems) == 1


def test_every_entry_leads_from_a_name_that_is_gone_to_one_that_there_is():
    """And says a release that is not later than this one."""
    catalogue, sections = load_catalogue(), {"train": Train, "track": Track, "tune": Tune}
    for each in (*RENAMED, *NEXT):
        datetime.date.fromisoformat(each.date)
        assert each in NEXT or each.since.split(".") <= __version__.split(".")
        if each.component or each.role in sections:
            of = catalogue.find(each.role, each.component).settings if each.component else sections[each.role]
            assert {each.name} <= {key.name for key in keys(of)}
            assert each.former not in {key.name for key in keys(of)}
        else:
            catalogue.find(each.role, each.name)
            with pytest.raises(UnknownComponent):
                catalogue.find(each.role, each.former)
