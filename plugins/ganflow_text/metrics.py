"""Scores of birds drawn for sentences: their keys."""

from __future__ import annotations

from ganflow import hookimpl, key, settings


@settings
class BirdColours:
    """The share of named regions that have the colour asked for, of birds drawn for held-out sentences (data birds): the mean
    colour of a region is nearest to that one of the eight. By chance it is about 1/8, of real birds 1."""

    samples: int = key(400, "birds drawn", ge=1)
    seed: int = key(0, "of z", ge=0)

    @hookimpl
    def metric(self, data):
        from ganflow_text.birds.metric import BirdColours as Metric

        return Metric(data, self.samples, self.seed)


OFFERS = [("metric", "bird_colours", BirdColours)]
