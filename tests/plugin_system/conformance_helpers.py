"""A component made of one builder, and what the conformance suite says of it."""

import re

import pytest

from ganflow import hookimpl, settings
from ganflow.plugins import Component
from ganflow.testing import check_component
from ganflow.testing.stand_ins import points

WHO = "'acme/part' (gf-acme 1.2)"


def part(role, build, hook="", wrapper=False, doc="A part.", **attributes):
    """A component of this role whose hook (the role's by default) is `build`."""
    members = {"__doc__": doc, "__module__": build.__module__, hook or role: hookimpl(wrapper=wrapper)(build), **attributes}
    return Component(role, "part", "acme", settings(type("Part", (), members)), "gf-acme", "1.2")


def passes(role, build, data=None, partners=None, **options):
    """The component keeps the contract; on points, if no data are named."""
    check_component(part(role, build, **options), points() if data is None else data, partners)


def refused(role, build, fragment, data=None, partners=None, **options):
    """The component does not keep the contract, in one sentence that names it and has this fragment."""
    with pytest.raises(AssertionError, match=re.escape(fragment)) as caught:
        passes(role, build, data, partners, **options)
    assert str(caught.value).startswith(f"{role} {WHO}")
    assert "\n" not in str(caught.value)
