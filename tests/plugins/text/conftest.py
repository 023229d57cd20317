"""A few birds, and a folder for what is kept of their encoders."""

import pytest
from ganflow_text.data import Birds
from ganflow_text.encoders import BagOfWords


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """The user's cache folder, an empty one."""
    monkeypatch.setenv("GANFLOW_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def birds():
    """A few birds with the quickest encoder, or another one."""

    def made(encoder=None, **keys):
        return Birds(**{"train": 12, "held_out": 6, "size": 32, "encoder": encoder or BagOfWords(), **keys}).data()

    return made
