"""Birds: what is drawn, what is said, and that both agree."""

import itertools
import re

import numpy as np
import pytest
import torch
from ganflow_text.birds import drawing
from ganflow_text.birds.grammar import caption
from ganflow_text.birds.measure import accuracy, measured, sure_pixels
from ganflow_text.birds.plumage import COLOURS, NAMES, REGIONS, drawn, is_held_out

from ganflow.engine.feed import feed

PART = {"belly": 0, "tarsus": 0, "back": 1, "tail": 1, "wings": 2, "throat": 3, "nape": 3, "face": 4}
COLOUR = "|".join(NAMES)
CLAUSE = re.compile(rf"its ([a-z, ]+?) (is|are) ({COLOUR})")


def read(sentence):
    """Region → colour, read from a sentence by other means than it was made by."""
    found = {}

    def say(parts, colour):
        words = re.findall(r"[a-z]+", parts)
        regions = [PART[word] for word in words if word in PART]
        for region in regions:
            assert found.setdefault(region, colour) == colour, sentence
        return words

    for parts, verb, colour in CLAUSE.findall(sentence):
        plural = say(parts, colour) != ["wings"] and len(re.findall(r"[a-z]+", parts)) > 1
        assert verb == ("are" if plural or parts == "wings" else "is"), sentence
    rest = CLAUSE.sub("", sentence)
    for colour, parts in re.findall(rf"({COLOUR})((?:(?!{COLOUR}).)*)", rest):
        say(parts, colour)
    return found


def test_sentences_say_what_is_drawn():
    rng = np.random.default_rng(1)
    sentences = set()
    for _ in range(2000):
        plumage = drawn(rng, bool(rng.random() < 0.5))
        said = caption(plumage, rng)
        sentences.add(said.text)
        assert read(said.text) == {region: NAMES[plumage[region]] for region in said.named}, said.text
        assert len(said.named) >= len(REGIONS) - 2
    assert len(sentences) > 1990


def test_there_are_many_phrasings_of_one_bird_and_regions_of_one_colour_are_named_together():
    rng = np.random.default_rng(0)
    said = [caption((0, 1, 1, 2, 3), rng).text for _ in range(300)]
    assert len(set(said)) > 280
    assert any(re.search(r"grey (wings|back|tail)[a-z, ]* (back|wings)", text) for text in said)
    assert any(text.startswith("this bird has a ") and ", and " in text and " with a " in text for text in said)  # the lecture's
    single = [caption((5, 5, 5, 5, 5), rng).text for _ in range(50)]
    assert all(text.count("blue") == 1 for text in single)


def test_one_combination_in_eight_is_held_out_and_every_four_colours_are_trained_on():
    every = list(itertools.product(range(len(NAMES)), repeat=len(REGIONS)))
    held_out = [p for p in every if is_held_out(p)]
    assert len(held_out) * len(NAMES) == len(every)
    trained = {(i, p[:i] + p[i + 1 :]) for p in every if not is_held_out(p) for i in range(len(REGIONS))}
    assert trained == {(i, four) for four in itertools.product(range(len(NAMES)), repeat=4) for i in range(len(REGIONS))}


def test_shapes_ranges_and_splits(birds):
    data = birds(train=40, held_out=20, captions=3)
    assert list(data.fields) == ["real", "text"]
    assert (data.fields["real"].shape, data.fields["real"].low, data.fields["real"].high) == ((3, 32, 32), -1, 1)
    assert data.fields["text"].shape == (data.encoder.dim,)
    assert data.held_out["real"].shape == (20, 3, 32, 32)
    assert data.held_out["text"].shape == (20, data.encoder.dim)
    assert torch.equal(data.held_out["text"], data.encoder.encode(data.held_out_sentences))
    assert all(is_held_out(tuple(p)) for p in data.held_out_colours.tolist())
    assert not any(is_held_out(tuple(p)) for p in data.colours.tolist())
    assert [len(said) for said in data.sentences] == [3] * 40


def test_a_bird_depends_on_the_seed_and_its_number_alone(birds):
    few, again, more, other = birds(), birds(), birds(train=15, held_out=8), birds(seed=1)
    assert few.fingerprint() == again.fingerprint() != other.fingerprint()
    assert few.fingerprint() != more.fingerprint()
    assert few.sentences == more.sentences[:12] != other.sentences
    for i in range(12):
        rng = torch.Generator().manual_seed(0)
        assert torch.equal(few.picture(i, rng), more.picture(i, rng))
    assert torch.equal(few.held_out["real"], more.held_out["real"][:6])


def test_the_encoder_sees_the_same_pictures_whatever_the_size(birds):
    assert torch.equal(birds(size=32).reduced(32), birds(size=64).reduced(32))


def test_one_of_a_birds_sentences_is_drawn_each_time(birds):
    data = birds(captions=4)
    own = data.encoder.encode(data.sentences[3])
    seen = {int((own == data.load(3, torch.Generator().manual_seed(i))["text"]).all(1).nonzero()[0]) for i in range(60)}
    assert seen == {0, 1, 2, 3}
    draws = [feed(data, 8, 5).draw(2) for _ in range(2)]
    assert draws[0]["text"].shape == (2, 8, data.encoder.dim)
    assert all(torch.equal(draws[0][name], draws[1][name]) for name in data.fields)


@pytest.mark.parametrize("size", [32, 64, 128])
def test_the_measure_reads_every_region_of_real_birds(birds, size):
    data = birds(train=1, held_out=40, size=size)
    assert sure_pixels(size).flatten(1).sum(1).min() >= 10
    assert not (sure_pixels(size).sum(0) > 1).any()
    assert torch.equal(measured(data.held_out["real"]), data.held_out_colours)


def test_the_measure_counts_only_what_is_named():
    rng = np.random.default_rng(0)
    birds = [drawing.draw(rng, 32) for _ in range(4)]
    pictures = torch.stack([torch.tensor(drawing.picture(b)).permute(2, 0, 1) / 127.5 - 1 for b in birds])
    asked = torch.tensor([b.plumage for b in birds])
    asked[0, 2] = (asked[0, 2] + 1) % len(COLOURS)
    assert accuracy(pictures, asked, [range(5)] * 4).tolist() == [1, 1, 0.75, 1, 1]
    assert accuracy(pictures, asked, [(0, 1, 3, 4)] + [range(5)] * 3).tolist() == [1, 1, 1, 1, 1]
