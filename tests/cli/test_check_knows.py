"""What `ganflow check` finds without torch: of seeded mutants of shipped recipes none is accepted that lacks a section or has a
modifier twice, and is refused when it is built."""

import re

import pytest
from cli_mutants import mutant

from ganflow.errors import GanflowError
from ganflow.recipe import read_recipe
from ganflow.runs.trying import tried

OF_SECTIONS = re.compile(r"recipe has no|twice|room for one|gives the second")


def test_mutants(tmp_path):
    accepted, refused = [], 0
    for seed in range(60):
        what, text = mutant(seed)
        if not re.search("without|doubled|added", what):
            continue
        file = tmp_path / f"{seed}.yaml"
        file.write_text(text)
        try:
            recipe = read_recipe(str(file), ["metrics=[]"])
        except GanflowError:
            refused += 1
            continue
        accepted.append(what)
        try:
            list(tried([recipe], tmp_path))
        except GanflowError as error:
            assert not OF_SECTIONS.search(str(error)), f"{what}: {error}"  # noqa: PT017
    assert len(accepted) > 5
    assert refused > 5


@pytest.mark.parametrize(
    ("recipe", "change", "says"),
    [
        ("wgan", ["~critic"], "wgan.yaml:14: loss 'wasserstein' needs a critic, and the recipe has none: add the section"),
        ("wgan", ["~prior"], "wgan.yaml:12: generator 'dcgan' needs a prior, and the recipe has none: add the section 'prior'"),
        ("vae_digits", ["+modifiers=r1"], "modifier 'r1' needs a critic, and the recipe has none: add the section 'critic', or"),
        ("vae_digits", ["+modifiers=weight_clip"], "modifier 'weight_clip' needs a critic"),
        ("wgan_gp", ["+modifiers=gradient_penalty"], "modifier 'gradient_penalty' is there twice; take one of the two out"),
        ("wgan", ["+modifiers=ema", "+modifiers=ema"], "modifier 'ema' is there twice"),
    ],
)
def test_sections_that_are_needed(command, recipe, change, says):
    assert says in command.refused("check", recipe, *change)


def test_a_modifier_that_hears_the_critic_alone(command, workshop):
    workshop.install("listener", """
        from ganflow import hookimpl, settings

        GANFLOW_CONTRACT = 2

        @settings
        class Hears:
            '''Hears the critic.'''

            @hookimpl
            def critic_stepped(self, game):
                pass

        @hookimpl
        def register(offer):
            offer("modifier", "hears", Hears)
        """)  # fmt: skip
    workshop.catalogue()
    assert "modifier 'hears' needs a critic" in command.refused("check", "vae_digits", "+modifiers=hears")
    assert command("check", "wgan", "+modifiers=hears")[0] == 0
