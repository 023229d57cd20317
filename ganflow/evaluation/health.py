"""The health of a run: signs that training has gone wrong, looked for at reports, each an alarm when it lasts."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from torch import Tensor

from ganflow.engine.game import Game
from ganflow.evaluation.advice import Setup, advise
from ganflow.evaluation.vitals import Vitals, measure

EVERY, AT_MOST = 100, 100
"""A check is due after so many rounds, or so many times in a run where that is less often. It takes 0.2 to 0.4 of a round of the
shipped recipes, a whole one of a network of eight numbers, and all of them are to take 1 % of the time at most."""
FIRST, BEGINNING = 20, 100
"""Rounds between checks, up to this round: most that goes wrong does so in the beginning."""
IN_SUCCESSION, DISTANCE = 2, 10
"""Checks, one after the other, at which a sign must be seen before it is an alarm, and missing before it may be one again: one
batch says little. So many rounds lie between them at least: reports, at which checks are, may be 14 rounds apart."""
BEGINS = 0.05
"""Share of the rounds before which generated examples are not judged: untrained generators make almost equal ones. The shipped
autoencoder's have 0.07 of the data's spread after 20 rounds."""
LASTS = 0.1
"""Share of the rounds over which a critic must be saturated, or no better than chance, or modes be missing, before that is an
alarm: untrained generators are easily seen through, and the two players take turns to be ahead."""

COLLAPSED = 0.05
"""Least spread of generated examples, as a share of the data's. One mode alone of the ring's eight has 0.014 of it, of the grid's
twenty-five 0.018; the shipped recipes have 0.5 and more after the first twentieth of their rounds."""
STUCK = 0.001
"""The same where the spread has not fallen to half of what it was: untrained networks have as little as 0.008 of the data's, and
are not collapsed but new."""
IGNORED = 0.02
"""Least spread over z at a fixed condition, as a share of the data's. The captioned birds, whose z does little, have 0.2 and
more."""
BLANK = 0.01
"""Least standard deviation within a picture, of the picture that has most of it, as a share of that within real ones, where it is
about 0.6: less than one of 256 levels. Shipped recipes have 0.1 and more from round 20 on."""
SATURATED = 0.01
"""Least slope of the critic's loss, which is 1 at chance for logistic losses: at 0.01 it gives real and generated examples a
probability of 99.5 % to be what they are. Shipped recipes have 0.2 and more."""
SURE = 0.001
"""Slope of a critic that is saturated beyond doubt, if it falls: that need not last. A ring's critic whose generator stays far
off is there after 20 rounds; the least of a shipped recipe in its first 300 rounds is 0.22 (`vae_gan_digits`)."""
NEAREST, FAR, RISE = 0.15, 0.1, 1.25
"""Modes are missing where, for a tenth of the rounds (LASTS), less than this share of real examples is the nearest one of a
generated example (0.35 to 0.6 of 64 for one distribution), the energy distance is over this share of its largest value (0.02 for
one distribution), and it rose by this factor meanwhile: for a generator that is new, or learns slowly, few are nearest as well,
but it comes nearer (measured with a tenth of the rate), and the distance of one that stays rises by 1.14 at most in ten checks,
by chance. `theory/collapse` has 0.02 to 0.14, and is 0.2 to 0.5 apart; shipped recipes with a critic have 0.19 and more from a
twentieth of their rounds on, and all but the birds (0.23 to 0.6) are less than 0.1 apart. `theory/duality`, whose generator stays
far off, has 0.14 to 0.27. Without a critic it is not judged: `autoencoder_digits`, which blurs, has 0.17, 0.35 apart.
Coverage (Naeem et al. 2020, k = 5) was measured, and does not tell: it is 0.05 to 0.28 in the healthy ring, whose modes are
narrow, and 0 to 0.33 in `theory/collapse`."""
CHANCE, APART = 0.55, 0.3
"""A critic is no better than chance where it scores at most this share of pairs right (0.5 ± 0.05 of 64 examples by chance
alone), while the batches' energy distance is this share of its largest value (0.02 for two batches of one distribution)."""
CLIPPED = 0.95
"""Largest share of the critic's weights at ±c. The shipped recipe has 0.11 at most; with the paper's c = 0.01 and RMSProp it has
0.84 after 200 rounds, and learns. With almost all of them there, the critic adds and subtracts, and can do nothing else."""
FLAT = 0.05
"""Least share of them at ±c by which c is to blame for a vanished gradient of the generator. Measured of critics that c makes
flat: 0.13 to 1 (mlp on a ring, c from 1e-6 to 0.01), 0.33 to 0.56 (dcgan on digits, c from 1e-6 to 1e-4). With c = 0.001, dcgan
on digits learns: gradient 1e-8 to 4e-8. The paper's critic has 1e-3."""
VANISHED = 1e-8
"""Least root mean square of a player's gradient: Adam's eps, below which its steps shrink, too. Shipped recipes have 1e-4 and
more."""
EXPLODED = 1e4
"""Largest root mean square of a player's gradient. Shipped recipes have 0.5 at most."""
HUGE = 1e6
"""Largest score: 32-bit numbers there are 1/16 apart, and differences between examples are lost."""


@dataclass(frozen=True)
class Alarm:
    """A sign that has lasted.

    Attributes:
        sign: its name, and where it was seen, if there are several such places.
        value: the number by which it was seen.
        text: one line: the sign, the number, and what people do about it.
        final: see `Sign`.
    """

    sign: str
    round: int
    value: float
    text: str
    final: bool = False

    def record(self) -> dict[str, Any]:
        """Values for the run's record."""
        value = {"value": self.value} if math.isfinite(self.value) else {}
        return {"sign": self.sign, "round": self.round, **value, "text": self.text}


Seen = tuple[str, float, str]
"""Where a sign was seen (a domain, a player), the number, and what it says in words."""


@dataclass(frozen=True)
class Sign:
    """A sign of ill health.

    Attributes:
        find: looks for it in vital signs.
        begins, lasts: shares of the rounds: not judged before, and for how long it must be seen.
        sure: with a value under this one that falls, it need not last.
        checks: at which it must be seen.
        final: it is of numbers with which nothing more is learnt: they exploded, or no gradient is left. From signs of what is
            generated, and of what the critic makes of it, trainings recover: see docs/health.md.
    """

    name: str
    find: Callable[[Vitals], Iterator[Seen]]
    begins: float = 0.0
    lasts: float = 0.0
    sure: float = -math.inf
    checks: int = IN_SUCCESSION
    final: bool = False


def _collapse(vitals: Vitals) -> Iterator[Seen]:
    for domain, of in _named(vitals.fields):
        share = _share(of, "spread")
        if share is not None and share < COLLAPSED and (share < of.get("most", 0.0) / 2 or share < STUCK):
            yield domain, share, f"generated examples differ from each other by {share:.2%} of what real ones do"


def _dropped(vitals: Vitals) -> Iterator[Seen]:
    for domain, of in _named(vitals.fields if vitals.scores else {}):
        share = _share(of, "spread")
        if of.get("few", 0.0) >= LASTS and of["rise"] >= RISE and (share is None or share >= COLLAPSED):  # else it is a collapse
            words = f"{of['nearest']:.0%} of real examples are the nearest one of a generated example (half, if none is missing)"
            yield domain, of["nearest"], f"{words}, and the energy distance rises, to {of['energy']:.2g} of its largest value"


def _blank(vitals: Vitals) -> Iterator[Seen]:
    for domain, of in _named(vitals.fields):
        if (share := _share(of, "picture")) is not None and share < BLANK:
            yield domain, share, f"all generated pictures are of one level: they vary by {share:.2%} of what real ones do"


def _ignored(vitals: Vitals) -> Iterator[Seen]:
    if (share := _share(vitals.over_z, "fixed")) is not None and share < IGNORED:
        yield "", share, f"under one condition examples of different z differ by {share:.2g} of what real examples do"


def _saturated(vitals: Vitals) -> Iterator[Seen]:
    for name, of in _named(vitals.scores):
        if of.get("slope", 1.0) < SATURATED and of["order"] == 1.0:
            slope = of["slope"]
            yield name, slope, f"all examples are told apart, and the slope of the critic's loss is {slope:.2g} (1 at chance)"


def _chance(vitals: Vitals) -> Iterator[Seen]:
    if any(_clipped(vitals)):  # whose cause has a name
        return
    for name, of in _named(vitals.scores):
        apart = max((each.get("energy", 0.0) for each in vitals.fields.values()), default=0.0)
        if of["order"] <= CHANCE and apart >= APART and of["size"] <= HUGE:
            yield name, of["order"], f"{of['order']:.0%} of real examples score higher than generated ones, which are far off"


def _clipped(vitals: Vitals) -> Iterator[Seen]:
    share = vitals.at_limit
    if share is None or not (share > CLIPPED or _flat(vitals)):
        return
    words = f"{share:.0%} of the critic's weights are at ±{vitals.limit:.3g}"
    if _flat(vitals):
        words += f", and its scores are flat: those of real and generated examples differ by {_difference(vitals):.2g}"
    yield "", share, words


def _flat(vitals: Vitals) -> bool:
    """Return whether weights at the limit keep the critic's slope, and so the generator's gradient, at nothing."""
    gradients = [size for part, size in vitals.gradients.items() if part.split(".")[0] == "generator"]
    nothing = max(gradients) if gradients else _difference(vitals)
    return bool(vitals.scores) and (vitals.at_limit or 0.0) > FLAT and nothing < VANISHED


def _difference(vitals: Vitals) -> float:
    """The largest difference between mean scores of real and generated examples."""
    return max(abs(of["real"] - of["fake"]) for of in vitals.scores.values())


def _vanished(vitals: Vitals) -> Iterator[Seen]:
    for part, size in vitals.gradients.items():
        if size < VANISHED and not _flat(vitals):  # whose cause has a name
            yield part, size, f"the root mean square of its numbers is {size:.2g}"


def _exploded(vitals: Vitals) -> Iterator[Seen]:
    for part, size in vitals.gradients.items():
        if size > EXPLODED:
            yield part, size, f"the root mean square of its numbers is {size:.2g}"


def _huge(vitals: Vitals) -> Iterator[Seen]:
    for name, of in _named(vitals.scores):
        if of["size"] > HUGE:
            yield name, of["size"], f"the critic's scores are as large as {of['size']:.2g}"


SIGNS = (
    Sign("scores exploded", _huge, final=True),
    Sign("gradient exploded", _exploded, final=True),
    Sign("clip saturation", _clipped, final=True),
    Sign("collapse", _collapse, BEGINS),
    Sign("modes dropped", _dropped, checks=1),
    Sign("blank pictures", _blank, BEGINS),
    Sign("z ignored", _ignored, BEGINS),
    Sign("critic saturated", _saturated, lasts=LASTS, sure=SURE),
    Sign("gradient vanished", _vanished, final=True),
    Sign("critic under-trained", _chance, BEGINS, LASTS),
)


def _named(of: Mapping[str, Mapping[str, float]]) -> Iterator[tuple[str, Mapping[str, float]]]:
    """Items, with a name only where there are several."""
    for name, numbers in of.items():
        yield name if len(of) > 1 else "", numbers


def _share(of: Mapping[str, float], name: str) -> float | None:
    """A number as a share of the real examples'; None where one of them is missing, or they have none."""
    real = of.get(f"{name}_real", 0.0)
    return of[name] / real if name in of and real > 0 else None


@dataclass
class _Course:
    """A sign at the last checks: seen at so many of them without a break since a round, or missing at so many; below `sure` and
    falling since another round (−1: it is not), with this value at the last."""

    since: int = 0
    seen: int = 0
    missing: int = 0
    alarmed: bool = False
    sure: int = -1
    value: float = 0.0

    def see(self, round: int, value: float, sure: float) -> None:
        """Count a sighting."""
        self.since = self.since if self.seen else round
        falls = self.seen > 0 and self.sure >= 0 and value < self.value
        self.sure = -1 if value >= sure else self.sure if falls else round
        self.seen, self.missing, self.value = self.seen + 1, 0, value if value < sure else 0.0

    def lasted(self, round: int, sign: Sign, rounds: int) -> bool:
        """Return whether it has been seen for as long as it must in a run of so many rounds, or is beyond doubt."""
        least = max(DISTANCE, sign.lasts * rounds) if sign.checks > 1 else 0
        return self.seen >= sign.checks and (round - self.since >= least or 0 <= self.sure <= round - DISTANCE)


@dataclass
class _Far:
    """A field's generated examples that are far from the real ones, and near few of them, since a round: the smallest energy
    distance, and the factor by which it rose."""

    since: int
    energy: float
    rise: float = 1.0


@dataclass
class Health:
    """Signs of ill health over a run. Its state goes into checkpoints, so that a run that goes on warns of nothing twice.

    Attributes:
        rounds: of the whole run.
        checked: rounds that were played at the last report.
        setup: by which advice is chosen.
        most: by field, the largest share of the data's spread that generated examples had at a check.
    """

    rounds: int
    checked: int = 0
    setup: Setup = field(default_factory=Setup)
    most: dict[str, float] = field(default_factory=dict)
    _far: dict[str, _Far] = field(default_factory=dict)
    _courses: dict[str, _Course] = field(default_factory=dict)

    def due(self, round: int) -> bool:
        """Tell whether a check is due at a report of this round. It follows from the rounds alone: a run that goes on is checked
        where it would have been."""
        interval = FIRST if round <= BEGINNING else max(EVERY, self.rounds // AT_MOST)
        return round // interval > self.checked // interval or round >= self.rounds

    def check(self, game: Game, draws: Mapping[str, Tensor], round: int) -> list[Alarm]:
        """Check a game after a round with these draws; returns the alarms that are new."""
        return self.judge(measure(game, draws, round))

    def judge(self, vitals: Vitals) -> list[Alarm]:
        """Alarms that are new with these vital signs."""
        found: list[Alarm] = []
        vitals = self._with_history(vitals)
        for sign in SIGNS:
            seen: dict[str, tuple[str, float, str]] = {}
            if vitals.round >= sign.begins * self.rounds:
                for where, value, words in sign.find(vitals):
                    seen[f"{sign.name} ({where})" if where else sign.name] = where, value, words
            for key in [*seen, *(k for k in self._courses if k.startswith(sign.name) and k not in seen)]:
                course = self._courses.setdefault(key, _Course())
                if key not in seen:
                    course.missing, course.seen = course.missing + 1, 0
                    if course.missing >= IN_SUCCESSION:  # gone
                        del self._courses[key]
                    continue
                where, value, words = seen[key]
                course.see(vitals.round, value, sign.sure)
                if course.lasted(vitals.round, sign, self.rounds) and not course.alarmed:
                    course.alarmed = True
                    advice = advise(sign.name, self.setup, where)
                    found.append(Alarm(key, vitals.round, value, f"{key}: {words}; what helps: {advice}", sign.final))
        return found

    def _with_history(self, vitals: Vitals) -> Vitals:
        """The same with what earlier checks saw: `most`, and, while few real examples are near, for what share of the rounds
        that has been so (`few`), and the energy distance's `rise`."""
        fields = {}
        for domain, of in vitals.fields.items():
            self.most[domain] = max(self.most.get(domain, 0.0), _share(of, "spread") or 0.0)
            fields[domain] = {**of, "most": self.most[domain]}
            energy, begun = of.get("energy", 0.0), vitals.round >= BEGINS * self.rounds
            if not (begun and energy > FAR and of.get("nearest", 1.0) < NEAREST):
                self._far.pop(domain, None)
                continue
            far = self._far.setdefault(domain, _Far(vitals.round, energy))
            far.energy = min(far.energy, energy)
            far.rise = max(far.rise, energy / far.energy)
            if (rounds := vitals.round - far.since) >= 2 * FIRST:  # three checks
                fields[domain] |= {"few": rounds / self.rounds, "rise": far.rise}
        return replace(vitals, fields=fields)

    def state(self) -> dict[str, Any]:
        """Plain data for a checkpoint."""
        courses, far = ({key: list(vars(each).values()) for key, each in of.items()} for of in (self._courses, self._far))
        return {"courses": courses, "most": dict(self.most), "far": far}

    def load_state(self, state: Mapping[str, Any], round: int) -> None:
        """Go on where `state` was taken, after a round."""
        self.checked, self.most = round, dict(state["most"])
        self._courses = {key: _Course(*course) for key, course in state["courses"].items()}
        self._far = {key: _Far(*far) for key, far in state.get("far", {}).items()}  # which older states have not
