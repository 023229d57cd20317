"""Packages from strangers: what is broken in one is named, and hides no other."""

import json

import pytest

SOUND = '''
"""Red \x1b[31mletters."""
print("printed at import")
from ganflow import hookimpl, key, settings

GANFLOW_CONTRACT = 2


@settings
class Patch:
    """Scores \x1b[2Jpatches."""

    width: int = key(64, "chan\x1b[31mnels")

    @hookimpl
    def critic(self, data):
        return None


@hookimpl
def register(offer):
    print("printed when it is asked")
    offer("critic", "mosaic", Patch)
'''
READS = (["plugins"], ["plugins", "--json"], ["plugins", "show", "mosaic"], ["recipes"], ["check", "wgan"],
         ["check", "wgan", "--json"], ["--help"])  # fmt: skip


@pytest.fixture
def others(workshop):
    workshop.install("sound", SOUND)
    return workshop


def broken_file(data):
    """Entry points of a package as these bytes."""

    def install(workshop):
        site = workshop.install("bad", "")
        next(site.glob("*.dist-info/entry_points.txt")).write_bytes(data)

    return install


BROKEN = {
    "entry points that are no text": broken_file(b"[ganflow]\nx\xff = y\xfe\n"),
    "entry points of no form": broken_file(b"this is no ini\n[[[\n="),
    "metadata that are no text": lambda workshop: next(
        workshop.install("bad", "raise ValueError").glob("*.dist-info/METADATA")).write_bytes(b"Name: \xff\n"),
    "a module that raises": lambda workshop: workshop.install("bad", "raise ValueError('\x1b[31mno\\nway')"),
    "a module that ends the process": lambda workshop: workshop.install("bad", "import sys; sys.exit(3)"),
    "a module without end": lambda workshop: workshop.install("bad", "def f(): f()\nf()"),
    "a module that is none": lambda workshop: workshop.install("bad", "", entry="no module!!:::"),
}  # fmt: skip


@pytest.mark.parametrize("kind", BROKEN)
def test_the_rest_goes_on(others, command, kind):
    BROKEN[kind](others)
    others.catalogue()
    for arguments in READS:
        code, out, err = command(*arguments)
        assert code == 0, err
        assert "\x1b" not in out + err
        assert "printed" not in out
        if "--json" in arguments:
            json.loads(out)
    names = [plugin["name"] for plugin in json.loads(command("plugins", "--json")[1])]
    assert {"wgan", "sound"} <= set(names)


def test_a_package_whose_entry_points_cannot_be_read_is_named(others, command):
    BROKEN["entry points that are no text"](others)
    (bad,) = [p for p in others.catalogue().plugins if p.distribution == "gf-bad"]
    assert "its entry points cannot be read, and whether it has plugins is not known: UnicodeDecodeError: " in bad.error
    assert "gf-bad" in command("plugins")[2]


def test_a_command_that_ends_the_process_when_it_is_imported(others, command):
    site = others.install("bad", "import sys; sys.exit(4)")
    next(site.glob("*.dist-info/entry_points.txt")).write_text("[ganflow.commands]\nmine = gf_bad\n")
    assert command("--help")[0] == 0
    assert command.refused("mine") == "ganflow: the command 'mine' of gf-bad cannot be used: SystemExit: 4"
