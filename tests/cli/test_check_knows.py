"""What `ganflow check` finds without torch: of seeded mutants of shipped recipes none is accepted that is refused when it is
built."""

import pytest
from cli_mutants import mutant

from ganflow.errors import GanflowError
from ganflow.recipe import read_recipe
from ganflow.runs.trying import tried


def test_mutants(tmp_path):
    accepted, refused = [], 0
    for seed in range(60):
        what, text = mutant(seed)
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
            pytest.fail(f"{what}: {error}")
    assert len(accepted) > 15
    assert refused > 15


@pytest.mark.parametrize(
    ("recipe", "change", "says"),
    [
        ("wgan", ["~critic"], "wgan.yaml:14: loss 'wasserstein' needs a critic, and the recipe has none: add the section"),
        ("wgan", ["~prior"], "wgan.yaml:12: generator 'dcgan' needs a prior, and the recipe has none: add the section 'prior'"),
        ("vae_digits", ["+modifiers=r1"], "modifier 'r1' needs a critic, and the recipe has none: add the section 'critic', or"),
        ("vae_digits", ["+modifiers=weight_clip"], "modifier 'weight_clip' needs a critic"),
        ("wgan_gp", ["+modifiers=gradient_penalty"], "modifier 'gradient_penalty' is there twice, first as modifiers[0]; set "),
        ("wgan", ["+modifiers=ema", "+modifiers=ema"], "modifier 'ema' is there twice"),
        ("wgan", ["generator=unet"], "generator 'unet' needs domains, and data 'digits' gives none: use data facades, street"),
        ("wgan", ["data=swiss_roll"], "generator 'dcgan' needs images, and data 'swiss_roll' gives none: use generator mlp\n"),
        ("wgan", ["data=swiss_roll"], "critic 'dcgan' needs images, and data 'swiss_roll' gives none: use critic mlp"),
        ("wgan", ["loss=elbo"], "needs codes, and generator 'dcgan' gives none: use generator conv_autoencoder or"),
        ("cgan_digits", ["+modifiers=auxiliary_classifier"], "and critic 'dcgan' gives none: set critic.classifier=label"),
        ("sweeps/asha", ["tune.metric=iwae"], "command line: tune.metric: 'iwae' is a metric that this recipe does not"),
        ("sweeps/asha", ["tune.metric=iwae", "train.rounds=2700"], "tune.metric: 'iwae' is a metric that this recipe does not"),
        ("sweeps/asha", ["tune.metric=nonsense", "--build"], "tune.metric: 'nonsense' is not among what this recipe reports"),
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


def test_the_advice_is_taken(command):
    """What the sentences say makes them go away."""
    for changes in (
        ("wgan", "data=swiss_roll", "generator=mlp", "critic=mlp"),
        ("pix2pix_facades", "generator=resnet_translator"),
        ("acgan_digits",),
        ("sweeps/asha", "tune.metric=iwae", "+metrics={use: iwae}"),
    ):
        assert command("check", *changes)[0] == 0


def test_a_sweep_that_only_changes_leave_without_a_metric_is_a_note(command):
    code, out, err = command("check", "sweeps/asha", "metrics=[]")
    assert (code, out) == (0, "sweeps/asha: ok\n")
    assert "ganflow tune refuses this, and ganflow run does not: " in err
    assert "tune.metric: needed, for the recipe has no metrics; name one of" in err


def test_what_a_component_does_not_declare_is_left_to_building(command, workshop):
    workshop.install("quiet", """
        from ganflow import hookimpl, settings

        GANFLOW_CONTRACT = 2

        @settings
        class Own:
            '''Data that say nothing of what they are; a key is called as a declaration.'''

            gives: int = 3

            @hookimpl
            def data(self):
                raise ValueError

        @settings
        class Framed:
            '''Makes others of the data.'''

            @hookimpl(wrapper=True)
            def data(self):
                return (yield)

        @hookimpl
        def register(offer):
            offer("data", "own", Own)
            offer("modifier", "framed", Framed)
        """)  # fmt: skip
    workshop.catalogue()
    assert command("check", "wgan", "data=own")[0] == 0
    assert command("check", "wgan", "data=swiss_roll", "+modifiers=framed")[0] == 0
