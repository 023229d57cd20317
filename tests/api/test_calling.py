"""`TrainedRun.call`: tensors, arrays, and what is refused."""

import re

import numpy as np
import pytest
import torch

import ganflow


@pytest.fixture
def run(tiny, runs):
    changes = {"data": {"use": "digits", "size": 8}, "condition": "label", "train.rounds": 1}
    return ganflow.run(tiny, changes, quiet=True)


def test_arrays_and_tensors_are_inputs(run):
    z, label = torch.randn(3, 2), torch.tensor([1, 2, 3])
    made = run.call("sample", z, label)
    assert made.shape == (3, 1, 8, 8)
    torch.testing.assert_close(run.call("sample", z.numpy().astype(np.float64), label=label.numpy()), made)
    torch.testing.assert_close(run.call("sample", z.tolist(), [1, 2, 3]), made)


Z, LABEL = "z (n, 2) floats", "label (n) whole numbers from 0 to 9"


@pytest.mark.parametrize(
    ("name", "inputs", "named", "sentence"),
    [
        ("sample", [np.zeros((2, 7)), [1, 2]], {}, "z: (n, 2) floats is wanted, not (2, 7) float64"),
        ("sample", [torch.zeros(2, 2, dtype=int), [1, 2]], {}, "z: (n, 2) floats is wanted, not (2, 2) int64"),
        ("sample", [torch.zeros(2), [1, 2]], {}, "z: (n, 2) floats is wanted, not (2) float32"),
        ("sample", [torch.zeros(2, 2), [1, 10]], {}, "label: (n) whole numbers from 0 to 9 is wanted, not (2) int64 with 10"),
        ("sample", [torch.zeros(2, 2), [1, -1]], {}, "label: (n) whole numbers from 0 to 9 is wanted, not (2) int64 with -1"),
        ("sample", [[[0.0, 0.0], [0.0, np.nan]], [1, 2]], {}, "z: (n, 2) floats is wanted, not (2, 2) float32 with nan"),
        ("sample", [torch.zeros(2, 2), torch.full((2, 10), -np.inf)], {}, "label: (n) whole numbers from 0 to 9 is wanted, not "
         "(2, 10) float32 with -inf"),
        ("sample", [np.full((2, 2), 1e200), [1, 2]], {}, "z: (n, 2) floats is wanted, not (2, 2) float64 with 1e+200"),
        ("sample", [torch.zeros(0, 2), []], {}, "z: an example or more is wanted, not none: (0, 2) float32"),
        ("sample", [torch.zeros(2, 2), 1], {}, "label: several examples are wanted, (n, …), not a single number"),
        ("sample", ["noise", [1]], {}, "z: a tensor or an array of numbers is wanted, not a str"),
        ("sample", [torch.zeros(2, 2), [1]], {}, "'sample' takes as many of each, not 2 of z, 1 of label"),
        ("sample", [torch.zeros(2, 2)], {}, f"'sample' takes {Z}, {LABEL}, and is called with 1 by position"),
        ("sample", [], {}, f"'sample' takes {Z}, {LABEL}, and is called with nothing"),
        ("sample", [torch.zeros(2, 2)], {"y": [1, 2]}, f"'sample' takes {Z}, {LABEL}, and is called with 1 by position and y"),
        ("draw", [torch.zeros(2, 2)], {}, "this game's generator has no signature 'draw' (there are: sample)"),
    ],
)
def test_what_does_not_suit_is_a_value_error(run, name, inputs, named, sentence):
    with pytest.raises(ValueError, match=re.escape(sentence)) as refused:
        run.call(name, *inputs, **named)
    assert str(refused.value) == sentence


def test_inputs_that_only_the_network_knows(tiny, runs):
    style = {"use": "style", "width": 8, "base": 64, "code": 8, "mapping": 1}
    run = ganflow.run(tiny, {"data": {"use": "digits", "size": 16}, "generator": style, "train.rounds": 1}, quiet=True)
    styles = run.call("style", run.game.latents(2))
    assert run.call("draw", styles).shape == (2, 1, 16, 16)
    for wrong, sentence in {
        torch.zeros(2, 7): "(2, 7) float32",
        torch.zeros(2, *styles.shape[1:]).long(): f"(2, {styles.shape[1]}, 8) int64",
        styles / 0: f"(2, {styles.shape[1]}, 8) float32 with ",
    }.items():
        with pytest.raises(ValueError, match=r"^styles: \(n, ") as refused:
            run.call("draw", wrong)
        assert f"styles: (n, {styles.shape[1]}, 8) floats, as 'style' makes is wanted, not {sentence}" in str(refused.value)


@pytest.mark.parametrize("signature", ["encode", "sample", "reconstruct"])
def test_every_input_of_every_signature_is_checked(tiny, runs, signature):
    changes = {"data": {"use": "digits", "size": 8}, "generator": {"use": "mlp_autoencoder", "width": 8}, "loss": "vae_gan"}
    run = ganflow.run(tiny, {**changes, "train.rounds": 1}, quiet=True)
    name, shape = ("z", (2,)) if signature == "sample" else ("x", (1, 8, 8))
    run.call(signature, torch.zeros(3, *shape))
    good = torch.zeros(3, *shape)
    for wrong in (good / 0, good + np.inf, good[:, :0], good.long()):
        with pytest.raises(ValueError, match=rf"^{name}: \(n, .*\) floats.* is wanted, not \(3, "):
            run.call(signature, wrong)
    with pytest.raises(ValueError, match=r"^'posterior' takes x .*, and cannot be called with x \(3, 1, 8, 8\) float32: "):
        run.call("posterior", torch.zeros(3, 1, 8, 8))  # no tensor
