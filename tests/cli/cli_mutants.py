"""Seeded mutants of shipped recipes: sections dropped and doubled, components of other roles, wrong numbers and types."""

import copy
import random

import yaml

from ganflow.recipe import find_shipped

RECIPES = ("wgan", "wgan_gp", "gan", "ring", "cgan_digits", "vae_digits", "autoencoder_digits", "gan_minimax", "acgan_digits")
ROLES = ("data", "prior", "generator", "critic", "loss", "optimizer")
COMPONENTS = {
    "data": ("digits", "gaussians", "swiss_roll"),
    "prior": ("normal", "uniform"),
    "generator": ("mlp", "dcgan", "autoencoder", "vae"),
    "critic": ("mlp", "dcgan", "acgan"),
    "loss": ("wasserstein", "hinge", "elbo", "vae_gan", "reconstruction", "non_saturating", "relativistic"),
    "optimizer": ("adam", "sgd", "rmsprop"),
    "modifiers": ("gradient_penalty", "weight_clipping", "average", "r1", "spectral_norm", "auxiliary_classifier", "ada"),
    "metrics": ("frechet", "sliced_wasserstein", "modes", "emd", "jsd"),
}
ODD = (-1, 0, 10**12, 1.5, float("nan"), "many", None, True, [1], {"a": 1}, "", "1e999")


def mutant(seed):
    """(what was changed, the recipe's text)."""
    rng = random.Random(seed)
    name = rng.choice(RECIPES)
    tree = yaml.safe_load(find_shipped(name).path.read_text())
    tree["track"] = {"mlflow": False}
    tree.pop("tune", None)
    what = f"{name}: "
    kind = rng.choice(("drop", "double", "swap", "swap", "add", "number", "number", "name"))
    if kind == "drop":
        key = rng.choice([key for key in tree if key != "track"])
        tree.pop(key)
        what += f"without {key}"
    elif kind == "double":
        section = rng.choice([key for key in ("modifiers", "metrics") if key in tree] or ["metrics"])
        found = tree.setdefault(section, ["sliced_wasserstein"])
        found = found if isinstance(found, list) else [found]
        tree[section] = [*found, copy.deepcopy(rng.choice(found))]
        what += f"{section} doubled"
    elif kind == "swap":
        role = rng.choice(ROLES)
        tree[role] = rng.choice(COMPONENTS[role])
        what += f"{role} {tree[role]}"
    elif kind == "add":
        role = rng.choice(("modifiers", "metrics"))
        found = tree.get(role) or []
        tree[role] = [*(found if isinstance(found, list) else [found]), rng.choice(COMPONENTS[role])]
        what += f"{role} {tree[role][-1]} added"
    elif kind == "number":
        section = rng.choice([key for key, value in tree.items() if isinstance(value, dict) and len(value) > 1])
        key = rng.choice([key for key in tree[section] if key != "use"])
        tree[section][key] = rng.choice(ODD)
        what += f"{section}.{key} {tree[section][key]!r}"
    else:
        role = rng.choice(ROLES)
        tree[role] = rng.choice(COMPONENTS[rng.choice(ROLES)])
        what += f"{role} is {tree[role]}"
    return what, yaml.safe_dump(tree, sort_keys=False)
