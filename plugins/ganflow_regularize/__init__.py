"""Modifiers that steady training: they combine with any loss and any network."""

from typing import Literal

from ganflow import hookimpl, key, settings

GANFLOW_CONTRACT = 2

FINAL = "γ after so many `rounds`, and from then on; in each of them it changes by the same factor. Not given: it stays"
ROUNDS = "see `final`; ${train.rounds}: the whole run"
EVERY = "the term takes part in one round of so many, so many times as heavy: about as good, and cheaper (StyleGAN2: 16)"
BATCH_NORM = "accept a critic with batch norm, in which the slope at one example depends on the rest of its batch"


def check_course(weight: float, final: float | None, rounds: int) -> None:
    """Check the course of a penalty's γ. Raises ValueError where it has no end or no beginning."""
    if (final is None) != (rounds == 0):
        raise ValueError("final: and rounds: go together: what γ becomes, and in how many rounds")
    if final is not None and weight == 0:
        raise ValueError("final: from weight 0 no factor leads to it; start from a small weight")


@settings
class R1:
    """Adds γ/2 · E‖∇f(x)‖² at real examples to the critic's loss (Mescheder et al. 2018, arXiv:1801.04406, eq. 9).

    A γ that falls (`final`) steadies the beginning, and lets the critic see fine detail in the end. R3GAN's has a schedule,
    too (Huang et al. 2024, arXiv:2501.05441).
    """

    requires = ("critic",)
    once = True

    weight: float = key(10.0, "γ", ge=0)
    final: float | None = key(None, FINAL, gt=0)
    rounds: int = key(0, ROUNDS, ge=0)
    every: int = key(1, EVERY, ge=1)
    allow_batch_norm: bool = key(False, BATCH_NORM, before={2: True})

    def __post_init__(self) -> None:
        check_course(self.weight, self.final, self.rounds)

    @hookimpl
    def terms(self):
        from ganflow_regularize.penalties import R1Penalty

        return R1Penalty(self.weight, self.allow_batch_norm, self.final, self.rounds, self.every)


@settings
class R2:
    """Adds γ/2 · E‖∇f(G(z))‖² at generated examples to the critic's loss (Mescheder et al. 2018, arXiv:1801.04406,
    eq. 10). γ may change with the rounds, as that of `r1`."""

    requires = ("critic",)
    once = True

    weight: float = key(10.0, "γ", ge=0)
    final: float | None = key(None, FINAL, gt=0)
    rounds: int = key(0, ROUNDS, ge=0)
    every: int = key(1, EVERY, ge=1)
    allow_batch_norm: bool = key(False, BATCH_NORM, before={2: True})

    def __post_init__(self) -> None:
        check_course(self.weight, self.final, self.rounds)

    @hookimpl
    def terms(self):
        from ganflow_regularize.penalties import R2Penalty

        return R2Penalty(self.weight, self.allow_batch_norm, self.final, self.rounds, self.every)


@settings
class SpectralNorm:
    """Divides the weight of every linear and convolutional layer by its largest singular value, estimated by power
    iteration at each forward pass of training (Miyato et al. 2018, arXiv:1802.05957)."""

    players: Literal["critic", "generator", "both"] = key("critic", "whose layers; SAGAN (arXiv:1805.08318) does both")
    iterations: int = key(1, "power iterations in each forward pass", ge=1, le=100)

    @hookimpl(wrapper=True)
    def critic(self):
        network = yield
        return network if self.players == "generator" else self._normalized(network)

    @hookimpl(wrapper=True)
    def generator(self):
        network = yield
        return network if self.players == "critic" else self._normalized(network)

    def _normalized(self, network):
        from ganflow_regularize.spectral import normalize

        return normalize(network, self.iterations)


@settings
class Average:
    """Keeps an exponential moving average of the generator's weights, which is what is sampled, scored and exported
    (Karras et al. 2018, arXiv:1710.10196; Yazıcı et al. 2019, arXiv:1806.04498).

    With `warm_up` the decay after t rounds is min(decay, (1 + t) / (10 + t)), so that a short run's average is not held
    back by its first, random weights.

    Batch norm's running statistics are no weights: those of the generator belong to its own weights. The average's are estimated
    before it is sampled, scored or kept (Izmailov et al. 2018, arXiv:1803.05407, section 3.2).
    """

    once = True

    decay: float = key(0.999, "share of the old average that a round keeps", ge=0, lt=1)
    start: int = key(0, "rounds during which the average is just the generator", ge=0)
    warm_up: bool = key(True, "start with a small decay and raise it")
    batches: int = key(
        16, "of the run's batch size, from which batch norm's statistics are estimated; 0: the generator's are copied", ge=0,
        before={2: 0},
    )

    @hookimpl
    def game_built(self, game):
        from ganflow_regularize.average import Count, Statistics, copy_of

        game.extras["average"] = copy_of(game.generator)
        game.extras["average_rounds"] = Count(game.generator)
        if self.batches:
            game.extras["average_statistics"] = Statistics(self.batches)

    @hookimpl
    def generator_stepped(self, game):
        from ganflow_regularize.average import update

        rounds = game.extras["average_rounds"]
        update(game.extras["average"], game.generator, rounds.weight(self.decay, self.start, self.warm_up), not self.batches)
        rounds.add_one()


@settings
class DiffAugment:
    """The critic sees randomly altered images, real and generated alike, in both players' steps; the alterations are
    differentiable (Zhao et al. 2020, arXiv:2006.10738, and the numbers of its code). Off in eval mode.

    color: brightness ± 0.5, saturation × 0 to 2, contrast × 0.5 to 1.5. translation: up to 1/8 of the side, zeros
    move in. cutout: a square of half the side, centred anywhere, is set to zero.
    """

    policy: list[Literal["color", "translation", "cutout"]] = key(
        ["color", "translation", "cutout"], "which alterations, in the order they are made"
    )

    @hookimpl(wrapper=True)
    def critic(self, data):
        from ganflow_regularize.augment import augmented

        network = yield
        return augmented(network, list(self.policy), data)


@settings
class ADA:
    """Augmentation whose strength follows the critic: it sees images that are altered with probability p, real and generated
    alike, in both players' steps, and p goes up where it knows the real ones too well (Karras et al. 2020, arXiv:2006.06676). For
    few images, a hundred to some ten thousand. Off in eval mode.

    p is state, and is logged as `critic/ada_p`, beside what it follows, `critic/ada_sign`.
    """

    requires = ("critic",)
    once = True

    target: float = key(0.6, "of the mean sign of real images' scores: below, p falls; above, it rises", gt=-1, lt=1)
    steps: int = key(8000, "steps of the critic in which p may go from 0 to 1 (the paper: 500,000 images)", ge=1)
    highest: float = key(0.8, "of p; above, alterations may leak into what is generated", gt=0, le=1)
    start: float = key(0.0, "p at the beginning", ge=0, le=1)
    policy: list[Literal["blit", "geometry", "color"]] = key(
        ["blit", "geometry", "color"], "blit: mirrored, quarter turns, whole shifts; geometry: scaled, turned, stretched, shifted"
    )

    def __post_init__(self) -> None:
        if self.start > self.highest:
            raise ValueError(f"start: {self.start:g} is above highest, {self.highest:g}")

    @hookimpl
    def terms(self):
        from ganflow_regularize.adaptive import Adaptive

        return Adaptive(self.target, self.steps, self.highest, self.start, list(self.policy))

    @hookimpl
    def game_built(self, game):
        from ganflow_regularize.adaptive import attach

        attach(game)


@settings
class PathLength:
    """Steps of one length from a code are to change what is generated by one amount, wherever they are made and whatever their
    direction (Karras et al. 2019, arXiv:1912.04958, section 3.2). The codes are the styles of generator `style`, of others z."""

    once = True

    weight: float = key(2.0, "of the term", ge=0)
    decay: float = key(0.01, "how much a new mean counts in the running one", gt=0, le=1)
    every: int = key(4, "the term takes part in one round of so many, so many times as heavy", ge=1)

    @hookimpl
    def terms(self):
        from ganflow_regularize import path_length

        return path_length.PathLength(self.weight, self.decay, self.every)


@settings
class AuxiliaryClassifier:
    """ACGAN: the critic also says which class it sees, and the generator is to make the class that it was asked for: terms of
    cross-entropy for both players (Odena et al. 2017, arXiv:1610.09585). With `condition: label` and a critic that has
    `classifier: label`."""

    needs = property(lambda self: (("critic", "classes", f"set critic.classifier={self.field}"),))
    requires = ("critic",)
    once = True

    field: str = key("label", "the field of classes")
    weight: float = key(1.0, "of the terms; the paper's is 1", gt=0)
    fakes: bool = key(True, "the critic learns from generated examples, too, as in the paper")

    @hookimpl
    def terms(self):
        from ganflow_regularize import auxiliary

        return auxiliary.AuxiliaryClassifier(self.field, self.weight, self.fakes)


@hookimpl
def register(offer):
    offer("modifier", "auxiliary_classifier", AuxiliaryClassifier)
    offer("modifier", "r1", R1)
    offer("modifier", "r2", R2)
    offer("modifier", "spectral_norm", SpectralNorm)
    offer("modifier", "ema", Average)
    offer("modifier", "diffaugment", DiffAugment)
    offer("modifier", "ada", ADA)
    offer("modifier", "path_length", PathLength)
