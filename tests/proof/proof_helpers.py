"""The examples by name, their recipes, and games that are played in this process."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock

from ganflow.engine.distributed import Group
from ganflow.recipe import read_recipe
from ganflow.runs.run import Parts

PACKAGES = Path(__file__).parent / "packages"
NAMES = sorted(path.name.removeprefix("gf_") for path in PACKAGES.glob("gf_*"))
BUILDING = Lock()  # weights come from torch's generator, which threads share


def recipe_of(name, *changes):
    return read_recipe(PACKAGES / f"gf_{name}" / "recipe.yaml", list(changes))


def built(name, *changes, group=None):
    """All parts of a run, ready to be played."""
    parts = Parts(recipe_of(name, *changes), group)
    parts.composition.begin(parts.game)
    return parts


def played(name, *changes, rounds=6, group=None):
    """A trainer that has played so many rounds, and its report; of one of several workers, where there is a group."""
    with BUILDING:
        parts = built(name, *changes, group=group)
    if group:
        group.join(parts.game.device)
        parts.trainer.share()
    report = parts.trainer.advance(rounds)
    parts.feed.close()
    if group:
        group.close()
    return parts.trainer, report


def together(size, work):
    """What `work(group)` gives for each of several workers, which are threads."""
    groups = [first := Group.host(size), *(Group(rank, size, first.address) for rank in range(1, size))]
    with ThreadPoolExecutor(size) as pool:
        return list(pool.map(work, groups))
