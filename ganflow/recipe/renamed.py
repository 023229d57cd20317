"""Former names of components and keys. Recipes that have them are read; a warning says what to write instead, and since when."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Renamed:
    """A component, or a key, that has another name now.

    Attributes:
        role: of the component; for a key of ganflow's own its section, "train", "track" or "tune".
        former, name: the name that it had, and the one that it has; of a component without its plugin.
        since: the version of ganflow from which on it has the name.
        date: of that version, "2026-12-01".
        component: of a key: the name of the component whose key it is, as it is now.
    """

    role: str
    former: str
    name: str
    since: str
    date: str
    component: str = ""

    @property
    def why(self) -> str:
        """The end of the warning."""
        return f"is called '{self.name}' since ganflow {self.since} ({self.date}); write that, for the former name will not stay"


RENAMED: tuple[Renamed, ...] = ()
"""Every component and key of ganflow's that was renamed in a release, the latest last. One that is renamed again changes its
earlier lines, too, so that each leads to the name of today. A default that changed is no name: see `key(..., before=…)`."""


def renamed_component(role: str, name: str) -> Renamed | None:
    """The entry of a component's former name, which may have its plugin in front."""
    plain = name.rpartition("/")[2]
    return next((each for each in RENAMED if not each.component and (each.role, each.former) == (role, plain)), None)


def renamed_keys(role: str, component: str) -> dict[str, Renamed]:
    """The former names of a component's keys, or of a section's ("")."""
    sections = ("train", "track", "tune")
    return {each.former: each for each in RENAMED
            if each.role == role and each.component == component and (component or role in sections)}  # fmt: skip
