"""Pictures and metrics leave torch's random numbers as they were, those of every kind of device."""

import pytest
import torch

from ganflow import fork_rng


class Accelerator:
    """The random numbers of a device that this machine has not got, in the place of torch's."""

    def __init__(self, monkeypatch, kind):
        self.state, self.asked = torch.tensor([7], dtype=torch.uint8), []
        module = getattr(torch, kind)
        monkeypatch.setattr(module, "get_rng_state", lambda device: (self.asked.append(device), self.state.clone())[1])
        monkeypatch.setattr(module, "set_rng_state", lambda state, device: setattr(self, "state", state))


@pytest.mark.parametrize(("kind", "index"), [("mps", 0), ("cuda", 1)])
def test_what_is_drawn_inside_is_not_drawn_outside(monkeypatch, kind, index):
    accelerator, device = Accelerator(monkeypatch, kind), torch.device(kind, index)
    torch.manual_seed(3)
    expected = torch.rand(5)
    torch.manual_seed(3)

    def draw():
        torch.rand(9)
        accelerator.state = torch.tensor([0], dtype=torch.uint8)
        raise KeyError

    with pytest.raises(KeyError), fork_rng(device):
        draw()
    assert accelerator.state.item() == 7
    assert accelerator.asked == [device]
    assert torch.equal(torch.rand(5), expected)


def test_on_a_processor_no_accelerator_is_asked(monkeypatch):
    """Which would take its memory, and a second."""
    accelerators = [Accelerator(monkeypatch, kind) for kind in ("mps", "cuda")]
    torch.manual_seed(3)
    expected = torch.rand(5)
    torch.manual_seed(3)
    with fork_rng(torch.device("cpu")):
        torch.manual_seed(0)
    assert torch.equal(torch.rand(5), expected)
    assert [a.asked for a in accelerators] == [[], []]


@pytest.mark.parametrize(("kind", "index", "other"), [("mps", 0, "cuda"), ("cuda", 1, "mps")])
def test_a_seed_is_that_of_the_processor_and_of_one_device(monkeypatch, kind, index, other):
    """torch.manual_seed would seed all GPUs of the machine, and nothing would restore those of other runs."""
    device, seeded, current = torch.device(kind, index), [], []
    Accelerator(monkeypatch, kind)
    monkeypatch.setattr(torch, "manual_seed", lambda seed: pytest.fail("every device is seeded"))
    monkeypatch.setattr(getattr(torch, other), "manual_seed", lambda seed: pytest.fail(f"{other} is seeded"))
    monkeypatch.setattr(getattr(torch, kind), "manual_seed", lambda seed: seeded.append((seed, *current)))

    class Selected:
        def __init__(self, device):
            self.device = device

        def __enter__(self):
            current.append(self.device)

        def __exit__(self, *error):
            current.clear()

    monkeypatch.setattr(torch.cuda, "device", Selected)
    expected, before = torch.rand(3, generator=torch.Generator().manual_seed(5)), torch.get_rng_state()
    with fork_rng(device, seed=5):
        assert torch.equal(torch.rand(3), expected)
    assert seeded == [(5, device) if kind == "cuda" else (5,)]
    assert torch.equal(torch.get_rng_state(), before)


def test_calls_of_a_game_seed_no_accelerator(monkeypatch):
    from ganflow_vanilla.priors import NormalPrior

    from ganflow import ScoreLoss, TensorData
    from ganflow.engine.game import Game

    class Still(ScoreLoss):
        def critic_loss(self, real, fake):
            return fake.mean()

        generator_loss = critic_loss

    game = Game(TensorData("points", {"real": torch.zeros(4, 2)}), NormalPrior(2), torch.nn.Linear(2, 2), None, Still())
    monkeypatch.setattr(torch, "manual_seed", lambda seed: pytest.fail("every device is seeded"))
    assert game.samples(3).shape == (3, 2)


def test_what_learns_on_the_processor_seeds_no_accelerator(monkeypatch):
    """torch.manual_seed seeds every device of the machine, that of the training included."""
    import ganflow_metrics.classifier as digits
    from ganflow_text.encoding.matched import Matched

    monkeypatch.setattr(torch, "manual_seed", lambda seed: pytest.fail("every device is seeded"))
    monkeypatch.setattr(digits, "cached", lambda name, about, learn: digits.DigitsClassifier().double().state_dict())
    before = torch.get_rng_state()
    with fork_rng(torch.device("cpu")):
        digits.digits_classifier()
    encoder = Matched(dim=4, side=16, steps=1, batch=2, rate=1e-3, least=1, seed=0)
    encoder.learn([["a red bird"], ["a blue bird"]], lambda side: torch.zeros(2, 3, side, side))
    assert torch.equal(torch.get_rng_state(), before)
