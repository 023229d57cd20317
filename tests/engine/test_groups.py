"""Critics that compare examples of a group with each other: pieces of a batch have whole groups, or are refused."""

import pytest
import torch
from group_helpers import Workers

from ganflow.engine.fit import group_size
from ganflow.errors import GanflowError
from ganflow.recipe import read_recipe
from ganflow.runs.run import Parts

RECIPE = """
name: groups
data: {use: digits, size: 16}
prior: {use: normal, dim: 4}
generator: {use: mlp, width: 8}
critic: {use: style, width: 4}
loss: {use: non_saturating}
optimizer: {use: sgd, lr: 1.0}
train: {rounds: 4, batch_size: 8, precision: fp64, compile: never, threads: 1}
"""


def parts(tmp_path, *changes, group=None):
    (tmp_path / "groups.yaml").write_text(RECIPE)
    return Parts(read_recipe(tmp_path / "groups.yaml", list(changes)), group)


@pytest.mark.parametrize(
    ("changes", "workers", "text"),
    [
        (["train.accumulate=4"], 1, "^train.accumulate: the critic compares 4 examples with each other, and of a batch cut into "
         "4 micro-batches a piece has 2: take pieces of a multiple of 4, or set train.accumulate=1$"),
        ([], 4, "^workers: the critic compares 4 examples .* shared by 4 workers a piece has 2: .*, or train with one$"),
        (["train.one_pass=true"], 1, "^train.one_pass: the critic compares 4 examples with each other, which would mix real "
         "and fake ones; set train.one_pass=false$"),
    ],
)  # fmt: skip
def test_what_would_cut_or_mix_groups_is_refused(changes, workers, text, tmp_path):
    with pytest.raises(GanflowError, match=text):
        parts(tmp_path, *changes, group=Workers(workers) if workers > 1 else None)
    parts(tmp_path, *changes, "critic.group=1", group=Workers(workers) if workers > 1 else None)


def test_micro_batches_of_whole_groups_train_what_the_whole_batch_does(tmp_path):
    trained = []
    for changes in ([], ["train.accumulate=2"]):
        made = parts(tmp_path, *changes)
        batch = {"real": made.game.data.train["real"][:8].double(), "z": made.game.latents(8).double()}
        made.round.begin(0)
        made.round.critic_step(batch)
        trained.append(torch.cat([p.detach().flatten() for p in made.game.critic.parameters()]))
    torch.testing.assert_close(*trained, rtol=1e-10, atol=1e-12)


def test_the_largest_group_counts():
    nested = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Sequential(torch.nn.ReLU(), torch.nn.ReLU()))
    assert group_size(nested) == group_size(None) == 1
    nested[1][0].group_size, nested[1][1].group_size = 3, 8
    assert group_size(nested) == 8
