"""Memory that is estimated before a round is played, and what is refused instead of being ended by the kernel."""

import re
import subprocess
import sys

import pytest
import torch

from ganflow import machine
from ganflow.engine.allocation import Meter, check_room, counted_memory
from ganflow.engine.build import built_round
from ganflow.engine.memory import MARGIN, Estimate, bound, check_estimate, check_memory, doubtful, estimate
from ganflow.errors import GanflowError
from ganflow.recipe import read_recipe

GB = 10**9


def built(name, *overrides):
    recipe = read_recipe(name, overrides)
    return recipe, built_round(recipe, recipe.composition().build("data")).game


@pytest.fixture
def room(monkeypatch):
    """`room(n)`: so many bytes are free."""
    return lambda n: monkeypatch.setattr(machine, "available", lambda: n)


MEASURE = """
import sys
from ganflow.engine.build import DTYPES, built_round
from ganflow.engine.feed import feed
from ganflow.engine.memory import estimate
from ganflow.engine.trainer import Trainer
from ganflow.recipe import read_recipe

recipe = read_recipe(sys.argv[1], sys.argv[2:])
round = built_round(recipe, recipe.composition().build("data"))
game, batch = round.game, recipe.train.batch_size
there = feed(game.data, batch, 0, game.device, fields=frozenset().union(*game.needs.values()))
trainer = Trainer(game, there, round, batch)
with open("/proc/self/clear_refs", "w") as file:
    file.write("5")
resident = lambda name: next(int(l.split()[1]) * 1024 for l in open("/proc/self/status") if l.startswith(name))
before = resident("VmRSS")
trainer.advance(1)
print(resident("VmHWM") - before, estimate(recipe, game).bytes(batch))
"""


@pytest.mark.parametrize(
    "recipe",
    [("swiss_roll", 50_000), *(pytest.param(each, marks=pytest.mark.slow) for each in (("wgan", 8192), ("vae_digits", 16_384)))],
)
def test_the_estimate_is_what_a_round_takes(recipe):
    name, batch = recipe
    made = subprocess.run([sys.executable, "-c", MEASURE, name, f"train.batch_size={batch}"], capture_output=True, text=True)
    assert made.returncode == 0, made.stderr
    measured, estimated = map(int, made.stdout.split())
    assert measured <= estimated <= 3 * measured


def test_bytes_are_counted_while_they_are_alive():
    kept = torch.zeros(1000)
    with Meter([kept]) as meter:
        a = kept + 1  # 4000 bytes
        b = a * 2  # 4000 more
        del a
        kept.add_(1)
        b.view(10, 100).sum()
    assert max(meter.line) == 8000
    assert meter.line[-1] == 4004


def test_an_estimate_grows_as_the_batch_does():
    recipe, game = built("wgan", "generator=mlp", "critic=mlp")
    found = estimate(recipe, game)
    small, large = found.bytes(1_000_000), found.bytes(2_000_000)
    assert large == pytest.approx(2 * small, rel=0.01)
    assert found.bytes(found.largest(GB)) <= GB < found.bytes(found.largest(GB) + 1)
    assert found.bytes(1_000_000, pieces=4) < small
    assert bound(recipe, game, 1_000_000, 1_000_000) >= small
    for player in game.stepping:  # nothing is changed by it
        assert game.parameters_of(player)[0].device.type == "cpu"


def test_pairs_of_a_batch_grow_as_its_square():
    found = Estimate(100, [(n, [8 * n, 8 * n + 4 * n * n, 16 * n]) for n in (4, 8, 12)], 1)
    assert found.bytes(1000) == pytest.approx(MARGIN * (100 + 1000 + 8000 + 4_000_000), rel=1e-6)
    other = Estimate(0, [(4, [8, 16]), (8, [32])], 0)  # other operations: by the larger share
    assert other.bytes(80) == pytest.approx(MARGIN * 320)


@pytest.mark.parametrize("name", ["wgan", "ring", "cgan_digits"])
def test_shipped_recipes_are_not_refused(name, room):
    recipe, game = built(name)
    room(GB)
    check_memory(recipe, game)


def test_a_batch_that_does_not_fit(command, room):
    room(20 * GB)
    for begin in (["run"], ["check", "--build"]):
        said = command.refused(*begin, "wgan", "train.batch_size=1000000000")
        found = re.search(r"train.batch_size: a round on 1000000000 examples would take about ([\d.]+) TB of memory, and this "
                          r"machine has 20 GB free; use train.batch_size=(\d+) or less", said)  # fmt: skip
        assert 20 < float(found[1]) < 500
        assert 50_000 < int(found[2]) < 2_000_000
    assert command("check", "--build", "wgan", f"train.batch_size={found[2]}")[0] == 0


def test_trials_at_a_time(room):
    recipe, game = built("wgan", "train.batch_size=4096")
    room(GB)
    check_memory(recipe, game)
    found = doubtful(recipe, game, alike=8)
    assert found is not None
    with pytest.raises(GanflowError, match=r"8 trials at a time, each with rounds on 4096 examples .* use tune.concurrency=\d,"):
        check_estimate(recipe, found, game.device, alike=8)
    with pytest.raises(GanflowError, match=r"in pieces, train.accumulate=\d"):
        check_memory(read_recipe("wgan", ["train.batch_size=32768"]), game)


def test_a_sweep_whose_trials_do_not_fit(command, room):
    room(GB)
    sweep = ("tune", "sweeps/asha", "--dry-run", "track.mlflow=false", "tune.resources={cpus: 1}")
    said = command.refused(*sweep, "train.batch_size=100000000")
    assert "each with rounds on 100000000 examples would take about" in said or "a round on 100000000" in said
    assert command(*sweep)[0] == 0


def test_a_network_is_refused_before_it_is_made(command, room):
    room(2 * GB)
    said = command.refused("check", "--build", "wgan", "generator={use: mlp, width: 60000, depth: 2}")
    assert said.startswith("generator 'mlp' would take 14.4 GB of memory for one of its tensors, and this machine has 2 GB free;")
    assert said.endswith("ganflow plugins show generator/mlp")
    with pytest.raises(GanflowError, match="it would take 4 GB"), counted_memory("it", "no"):
        torch.zeros(10**9)
    with pytest.raises(GanflowError, match="it would take 4 GB"), counted_memory("it", "no"):
        torch.cat([torch.zeros(1).expand(10**9)])


def test_samples_that_do_not_fit(room):
    _, game = built("wgan")
    room(GB)
    with pytest.raises(GanflowError, match=r"10000000000 draws from the prior would take .* ask for fewer at a time"):
        game.samples(10**10)
    assert game.samples(300).shape[0] == 300
    room(10**8)
    with pytest.raises(GanflowError, match="400000 examples that the generator makes"):
        game.call(game.maker, torch.zeros(1, *game.prior.shape).expand(400_000, -1))
    check_room(10**6, "a little", "no")


def test_what_a_container_leaves(tmp_path, monkeypatch):
    group = tmp_path / "a" / "b"
    group.mkdir(parents=True)
    (tmp_path / "a" / "memory.max").write_text("1000000")
    (tmp_path / "a" / "memory.current").write_text("900000")
    (tmp_path / "a" / "memory.stat").write_text("anon 5\ninactive_file 300000\n")
    (group / "memory.max").write_text("max")
    assert machine._memory_left(tmp_path, "a/b", "") == [400_000]
    older = tmp_path / "memory"
    older.mkdir()
    (older / "memory.limit_in_bytes").write_text("500")
    (older / "memory.usage_in_bytes").write_text("200")
    assert machine._memory_left(tmp_path, "a/b", "") == [400_000, 300]
    monkeypatch.setattr(machine, "_memory_left", lambda *_: [7])
    assert machine.available() == 7


def test_bytes_in_words():
    assert [machine.size(n) for n in (12, 3.5e9, 999_600, 8.1e13)] == ["12 bytes", "3.5 GB", "1 MB", "81 TB"]
