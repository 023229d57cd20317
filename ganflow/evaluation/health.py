"""The health of a run: signs that training has gone wrong, looked for at reports, each an alarm when it lasts."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from torch import Tensor

from ganflow.engine.game import Game
from ganflow.evaluation.vitals import Vitals, measure

EVERY, AT_MOST = 200, 100
"""A check is due after so many rounds, or so many times in a run where that is less often. It takes 0.2 to 0.4 of a round of the
shipped recipes, a whole one of a network of eight numbers, and all of them are to take 1 % of the time at most."""
FIRST, BEGINNING = 20, 100
"""Rounds between checks, up to this round: most that goes wrong does so in the beginning."""
IN_SUCCESSION = 2
"""Checks, one after the other, at which a sign must be seen before it is an alarm, and missing before it may be one again: one
batch says little."""
BEGINS = 0.05
"""Share of the rounds before which generated examples are not judged: untrained generators make almost equal ones. The shipped
autoencoder's have 0.07 of the data's spread after 20 rounds."""
LASTS = 0.1
"""Share of the rounds over which a critic must be saturated, or no better than chance, before that is an alarm: untrained
generators are easily seen through, and the two players take turns to be ahead."""

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
CHANCE, APART = 0.55, 0.3
"""A critic is no better than chance where it scores at most this share of pairs right (0.5 ± 0.05 of 64 examples by chance
alone), while the batches' energy distance is this share of its largest value (0.02 for two batches of one distribution)."""
CLIPPED = 0.95
"""Largest share of the critic's weights at ±c. The shipped recipe has 0.11 at most; with the paper's c = 0.01 and RMSProp it has
0.84 after 200 rounds, and learns. With almost all of them there, the critic adds and subtracts, and can do nothing else."""
VANISHED = 1e-8
"""Least root mean square of a player's gradient: Adam's eps, below which its steps shrink, too. Shipped recipes have 1e-4 and
more."""
EXPLODED = 1e4
"""Largest root mean square of a player's gradient. Shipped recipes have 0.5 at most."""
HUGE = 1e6
"""Largest score: 32-bit numbers there are 1/16 apart, and differences between examples are lost."""

NOT_FINITE = "not finite"
"""The alarm of a run that ended because a term, or a weight, was no finite number."""


@dataclass(frozen=True)
class Alarm:
    """A sign that has lasted.

    Attributes:
        sign: its name, and where it was seen, if there are several such places.
        value: the number by which it was seen.
        text: one line: the sign, the number, and what people do about it.
    """

    sign: str
    round: int
    value: float
    text: str

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
        advice: two things that people do about it.
        begins, lasts: shares of the rounds: not judged before, and for how long it must be seen.
        critic_free: the advice where there is no critic.
    """

    name: str
    find: Callable[[Vitals], Iterator[Seen]]
    advice: str
    begins: float = 0.0
    lasts: float = 0.0
    critic_free: str = ""


def _collapse(vitals: Vitals) -> Iterator[Seen]:
    for domain, of in _named(vitals.fields):
        share = _share(of, "spread")
        if share is not None and share < COLLAPSED and (share < of.get("most", 0.0) / 2 or share < STUCK):
            yield domain, share, f"generated examples differ from each other by {share:.2%} of what real ones do"


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
    for name, of in _named(vitals.scores):
        apart = max((each.get("energy", 0.0) for each in vitals.fields.values()), default=0.0)
        if of["order"] <= CHANCE and apart >= APART and of["size"] <= HUGE:
            yield name, of["order"], f"{of['order']:.0%} of real examples score higher than generated ones, which are far off"


def _clipped(vitals: Vitals) -> Iterator[Seen]:
    if (share := vitals.at_limit) is not None and share > CLIPPED:
        yield "", share, f"{share:.0%} of the critic's weights are at the limit of ±{vitals.limit:.3g}"


def _vanished(vitals: Vitals) -> Iterator[Seen]:
    for part, size in vitals.gradients.items():
        if size < VANISHED:
            yield part, size, f"the root mean square of its numbers is {size:.2g}"


def _exploded(vitals: Vitals) -> Iterator[Seen]:
    for part, size in vitals.gradients.items():
        if size > EXPLODED:
            yield part, size, f"the root mean square of its numbers is {size:.2g}"


def _huge(vitals: Vitals) -> Iterator[Seen]:
    for name, of in _named(vitals.scores):
        if of["size"] > HUGE:
            yield name, of["size"], f"the critic's scores are as large as {of['size']:.2g}"


CRITIC_FREE = "a lower learning rate, or another norm in the generator"
SIGNS = (
    Sign("scores exploded", _huge, "a bound on the critic (gradient_penalty, spectral_norm), or a lower learning rate"),
    Sign("gradient exploded", _exploded, "train.clip_grad, or a lower learning rate"),
    Sign("clip saturation", _clipped, "a larger c of weight_clip, or gradient_penalty in its place"),
    Sign("collapse", _collapse, "a penalty on the critic's slope (r1, gradient_penalty), or a lower learning rate", BEGINS,
         critic_free=CRITIC_FREE),
    Sign("blank pictures", _blank, "a lower learning rate, or another norm in the generator", BEGINS),
    Sign("z ignored", _ignored, "less weight on terms with one right answer (L1, match), or a larger prior.dim", BEGINS),
    Sign("critic saturated", _saturated, "a penalty on its slope (r1), or a loss that does not saturate (wasserstein)",
         lasts=LASTS),
    Sign("gradient vanished", _vanished, "a loss that does not saturate (non_saturating, wasserstein), or a lower learning rate",
         critic_free=CRITIC_FREE),
    Sign("critic under-trained", _chance, "more critic steps (train.n_critic), or a higher learning rate for the critic",
         BEGINS, LASTS),
)  # fmt: skip


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
    """A sign at the last checks: seen at so many of them without a break since a round, or missing at so many."""

    since: int = 0
    seen: int = 0
    missing: int = 0
    alarmed: bool = False


@dataclass
class Health:
    """Signs of ill health over a run. Its state goes into checkpoints, so that a run that goes on warns of nothing twice.

    Attributes:
        rounds: of the whole run.
        checked: rounds that were played at the last report.
        most: by field, the largest share of the data's spread that generated examples had at a check.
    """

    rounds: int
    checked: int = 0
    most: dict[str, float] = field(default_factory=dict)
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
        for domain, of in vitals.fields.items():
            self.most[domain] = max(self.most.get(domain, 0.0), _share(of, "spread") or 0.0)
        fields = {domain: {**of, "most": self.most[domain]} for domain, of in vitals.fields.items()}
        vitals = replace(vitals, fields=fields)
        for sign in SIGNS:
            seen = {f"{sign.name} ({where})" if where else sign.name: (value, words) for where, value, words in sign.find(vitals)}
            if vitals.round < sign.begins * self.rounds:
                seen = {}
            for key in [*seen, *(k for k in self._courses if k.startswith(sign.name) and k not in seen)]:
                course = self._courses.setdefault(key, _Course(since=vitals.round))
                if key not in seen:
                    course.missing, course.seen = course.missing + 1, 0
                    if course.missing >= IN_SUCCESSION:  # gone
                        del self._courses[key]
                    continue
                if not course.seen:
                    course.since = vitals.round
                course.seen, course.missing = course.seen + 1, 0
                lasted = vitals.round - course.since >= max(FIRST, sign.lasts * self.rounds)
                if course.seen >= IN_SUCCESSION and lasted and not course.alarmed:
                    course.alarmed = True
                    value, words = seen[key]
                    advice = sign.advice if vitals.scores or not sign.critic_free else sign.critic_free
                    found.append(Alarm(key, vitals.round, value, f"{key}: {words}; what helps: {advice}"))
        return found

    def state(self) -> dict[str, Any]:
        """Plain data for a checkpoint."""
        courses = {key: [c.since, c.seen, c.missing, c.alarmed] for key, c in self._courses.items()}
        return {"courses": courses, "most": dict(self.most)}

    def load_state(self, state: Mapping[str, Any], round: int) -> None:
        """Go on where `state` was taken, after a round."""
        self.checked = round
        self.most = dict(state["most"])
        self._courses = {key: _Course(*course) for key, course in state["courses"].items()}
