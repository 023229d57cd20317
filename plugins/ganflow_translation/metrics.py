"""Scores of translations: keys."""

from __future__ import annotations

from ganflow import hookimpl, key, settings


@settings
class Pairs:
    """Closeness of translations of held-out examples to the truth, each way: peak signal-to-noise ratio in dB, structural
    similarity (Wang et al. 2004; 11 pixels wide, as usual), both higher is better, and sharpness: the mean gradient energy of
    translations over the truth's, 1 at best. Where a way leads back, also the L1 distance between examples and what comes
    back of them, of values in [0, 1].

    Where the data do not say which held-out examples belong together, only the last is known.
    """

    examples: int = key(100, "held-out examples, at most", ge=1)

    @hookimpl
    def metric(self, data):
        from ganflow_translation.measures import PairsMetric

        return PairsMetric(data, self.examples)


OFFERS = [("metric", "pairs", Pairs)]
