"""What tests of text-to-image share."""

from ganflow_text.encoders import Matched


def quick(**keys):
    """An encoder that learns in a blink, and not much."""
    return Matched(**{"steps": 3, "batch": 8, "dim": 16, **keys})
