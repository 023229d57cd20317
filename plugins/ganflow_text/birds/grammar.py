"""Sentences about a bird, in the manner of "this bird has a yellow belly and tarsus, grey back, wings, and brown throat, nape
with a black face": regions of one colour are named together, in any order."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ganflow_text.birds.plumage import NAMES, REGIONS, Plumage

WITH = {"belly": "tarsus", "back": "tail", "throat": "nape"}  # parts that share a region's colour, and are named or not
PARTIAL = 0.2  # of the sentences leave a region or two out


@dataclass(frozen=True)
class Caption:
    """Attributes:
    text: the sentence, in lower case.
    named: the regions that it names, as numbers.
    """

    text: str
    named: tuple[int, ...]


@dataclass(frozen=True)
class Group:
    """Parts of one colour."""

    colour: str
    parts: tuple[str, ...]

    def noun(self, rng: np.random.Generator, article: bool) -> str:
        """ "a yellow belly and tarsus", "grey wings"."""
        one = "a " if article and self.parts[0] != "wings" else ""
        return f"{one}{self.colour} {_listed(self.parts, rng)}"

    def clause(self, rng: np.random.Generator) -> str:
        """ "its belly and tarsus are yellow"."""
        verb = "is" if len(self.parts) == 1 and self.parts[0] != "wings" else "are"
        return f"its {_listed(self.parts, rng)} {verb} {self.colour}"


def caption(plumage: Plumage, rng: np.random.Generator) -> Caption:
    """One of very many sentences about a bird."""
    named = rng.permutation(len(REGIONS))[: _count(rng)].tolist()
    groups: dict[str, list[str]] = {}
    for region in named:
        part = REGIONS[region]
        more = [WITH[part]] if part in WITH and rng.random() < 0.4 else []
        groups.setdefault(NAMES[plumage[region]], []).extend([part, *more])
    return Caption(_sentence([Group(colour, tuple(parts)) for colour, parts in groups.items()], rng), tuple(sorted(named)))


def _count(rng: np.random.Generator) -> int:
    """The number of regions to name."""
    return int(len(REGIONS) if rng.random() >= PARTIAL else rng.integers(len(REGIONS) - 2, len(REGIONS)))


def _sentence(groups: list[Group], rng: np.random.Generator) -> str:
    who = ("this bird", "this small bird", "the bird", "this little bird")[rng.integers(4)]
    form = rng.integers(4)
    if form == 0:  # the lecture's
        *first, last = [group.noun(rng, article=i == 0) for i, group in enumerate(groups)]
        if not first:
            return f"{who} has {last}"
        last = groups[-1].noun(rng, article=True)
        head = first[0] if len(first) == 1 else f"{', '.join(first[:-1])}, and {first[-1]}"
        return f"{who} has {head} with {last}"
    nouns = [group.noun(rng, article=True) for group in groups]
    if form == 1:
        return f"{who} has {_joined(nouns)}"
    if form == 2:
        return f"a {('', 'small ', 'little ')[rng.integers(3)]}bird with {_joined(nouns)}"
    if len(groups) == 1:
        return f"{who} has {nouns[0]}"
    return f"{who} has {nouns[0]}, {_joined([group.clause(rng) for group in groups[1:]])}"


def _listed(parts: tuple[str, ...], rng: np.random.Generator) -> str:
    """ "belly and tarsus" or, as in the lecture, "belly, tarsus"."""
    return ", ".join(parts) if rng.random() < 0.3 else _joined(list(parts))


def _joined(items: list[str]) -> str:
    *first, last = items
    return f"{', '.join(first)} and {last}" if first else last
