"""Checks of settings classes: a class's, and those of every class that it inherits from, each once."""

from dataclasses import dataclass

import pytest

from ganflow import key, settings
from ganflow.errors import SettingsError

made = []


@settings
class Base:
    low: float = key(0.0, "smallest", ge=-1)
    high: float = key(1.0, "largest")

    def __post_init__(self):
        made.append("base")
        if self.low > self.high:
            raise SettingsError([("low", f"{self.low:g} is above high, {self.high:g}")])


@settings
class Silent(Base):
    more: int = 3


@settings
class Checked(Base):
    even: int = 2

    def __post_init__(self):
        made.append("checked")
        if self.even % 2:
            raise SettingsError([("even", f"{self.even} is odd")])


@settings
class CallsOn(Checked):
    def __post_init__(self):
        made.append("before")
        super().__post_init__()
        made.append("after")


class Plain:
    def __post_init__(self):
        made.append("plain")


@dataclass
class PlainData:
    number: int = 1

    def __post_init__(self):
        made.append("plain data")


@settings
class Mixed(Plain, Checked): ...


@settings
class MixedCallsOn(Plain, Checked):
    def __post_init__(self):
        made.append("mixed")
        super().__post_init__()


@settings
class OfPlainData(PlainData): ...


@settings
class Left(Base):
    def __post_init__(self):
        made.append("left")
        super().__post_init__()


@settings
class Right(Base):
    def __post_init__(self):
        made.append("right")
        super().__post_init__()


@settings
class Diamond(Left, Right): ...


@pytest.mark.parametrize(
    ("cls", "checks"),
    [
        (Base, ["base"]),
        (Silent, ["base"]),
        (Checked, ["checked", "base"]),
        (CallsOn, ["before", "checked", "base", "after"]),
        (Mixed, ["plain", "checked", "base"]),
        (MixedCallsOn, ["mixed", "plain", "checked", "base"]),
        (OfPlainData, ["plain data"]),
        (Diamond, ["left", "right", "base"]),
    ],
)
def test_every_check_is_made_once_in_the_order_of_the_classes(cls, checks):
    made.clear()
    cls()
    assert made == checks


@pytest.mark.parametrize("cls", [Silent, Checked, CallsOn, Mixed, MixedCallsOn, Diamond])
def test_a_subclass_is_held_to_its_parents_check(cls):
    with pytest.raises(SettingsError, match="low: 3 is above high, 1"):
        cls(low=3.0)
    with pytest.raises(SettingsError, match="low: -2 is below -1"):
        cls(low=-2.0)
    assert cls(low=0.5).low == 0.5  # what was refused leaves nothing behind


def test_a_subclass_may_put_values_right_before_its_parents_check():
    @settings
    class Sorted(Base):
        def __post_init__(self):
            self.low, self.high = sorted((self.low, self.high))
            super().__post_init__()

    assert (Sorted(low=3.0).low, Sorted(low=3.0).high) == (1.0, 3.0)
