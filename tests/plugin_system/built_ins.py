"""Small settings, partners and files for the components that come with ganflow."""

import io
import tarfile

import numpy as np
from PIL import Image

from ganflow.plugins import load_catalogue

CATALOGUE = load_catalogue()
COMPONENTS = [component for component in CATALOGUE.components() if component.built_in]


def made(role, name, **values):
    """A component with values, as keys of others hold it."""
    return CATALOGUE.find(role, name).settings(**values)


VAE = {"generator": ("mlp_autoencoder", {"width": 8})}
STAGE1 = {"width": 4, "dim": 6}
LINE = {"generator": ("affine", {}), "prior": ("normal", {"dim": 1})}
UNIT = {"width": 4, "blocks": 0, "downs": 1}
FEW = {"size": 16, "train": 16, "held_out": 8}
WORDS, MATCHED = made("encoder", "bag_of_words"), made("encoder", "matched", steps=3, dim=8)

VALUES = {
    "metric modes": {"within": 30.0},  # so that some samples of an untrained generator count
    "metric emd": {"samples": 8},
    "metric mmd": {"samples": 8},
    "metric jsd": {"samples": 32, "bins": 16},
    "metric kl": {"samples": 32, "bins": 16},
    "metric stacked_modes": {"samples": 8},
    "generator mlp": {"width": 8},
    "generator dcgan": {"width": 4},
    "generator resnet": {"width": 4},
    "generator r3gan": {"width": 4, "blocks": 1},
    "generator style": {"width": 4, "code": 4, "mapping": 1},
    "generator mlp_autoencoder": {"width": 8},
    "generator conv_autoencoder": {"width": 4},
    "generator stackgan_stage1": STAGE1,
    "generator stackgan_stage2": {"stage1": made("generator", "stackgan_stage1", **STAGE1), "factor": 2, "blocks": 1, **STAGE1},
    "generator unet": {"width": 4},
    "generator resnet_translator": {"width": 4, "blocks": 1, "downs": 1},
    "generator unit": UNIT,
    "critic mlp": {"width": 8},
    "critic dcgan": {"width": 4},
    "critic resnet": {"width": 4},
    "critic r3gan": {"width": 4, "blocks": 1},
    "critic style": {"width": 4},
    "critic stackgan": {"width": 4, "dim": 5, "norm": "none"},
    "critic patch": {"width": 4, "receptive_field": 16},
    "critic multiscale": {"width": 4},
    "encoder matched": {"steps": 3, "dim": 8},
    "data gaussians": {"samples": 64, "held_out": 16},
    "data swiss_roll": {"samples": 64, "held_out": 16},
    "data gaussians_1d": {"samples": 64, "held_out": 16},
    "data lines": {"samples": 64, "held_out": 16},
    "data linear_gaussian": {"samples": 64, "held_out": 16},
    "data birds": {**FEW, "encoder": WORDS},
    "data facades": FEW,
    "data street": FEW,
    "data horses": FEW,
    "data image_folder": {"path": "images", "size": 16, "in_memory": "never", "flip": True},
    "data tensor_file": {"path": "tensors.npy", "labels": "labels.npy"},
    "data shards": {"path": "shards", "size": 16, "held_out": 4, "shuffle": 8, "flip": True, "classes": ["even", "odd"]},
    "data captioned_folder": {"path": "captioned", "size": 16, "encoder": WORDS},
    "data paired_folder": {"path": "paired", "size": 16, "in_memory": "never"},
    "data unpaired_folder": {"path": "unpaired", "size": 16, "in_memory": "never"},
}
"""What is smaller or must be said."""
PARTNERS = {
    "generator mlp_autoencoder": {"loss": ("elbo", {})},
    "generator conv_autoencoder": {"loss": ("elbo", {})},
    "loss elbo": VAE,
    "loss reconstruction": VAE,
    "loss vae_gan": VAE,
    "metric iwae": {**VAE, "loss": ("elbo", {})},
    "metric linear_elbo": {"generator": ("mlp_autoencoder", {"depth": 0}), "loss": ("elbo", {})},
    "metric optimal_critic": {**LINE, "loss": ("minimax", {})},
    "metric duality": {**LINE, "loss": ("wasserstein", {})},
    "metric exact_jsd": LINE,
    "generator unit": {"loss": ("unit", {})},
    "loss unit": {"generator": ("unit", UNIT)},
    "generator stackgan_stage1": {"loss": ("stackgan", {})},
    "loss stackgan": {"generator": ("stackgan_stage1", STAGE1)},
}
DATA = {
    "metric modes": ("gaussians", {"samples": 64, "held_out": 64}),
    "metric jsd": ("gaussians", {"layout": "grid", "std": 0.5, "samples": 64, "held_out": 64}),
    "metric kl": ("gaussians", {"layout": "grid", "std": 0.5, "samples": 64, "held_out": 64}),
    "metric class_accuracy": ("digits", {}),
    "metric stacked_modes": ("stacked_digits", {"size": 16, "held_out_pictures": 16}),
    "metric linear_elbo": ("linear_gaussian", {"samples": 64, "held_out": 64}),
    "metric optimal_critic": ("gaussians_1d", {"samples": 64, "held_out": 64}),
    "metric duality": ("gaussians_1d", {"samples": 64, "held_out": 64}),
    "metric exact_jsd": ("gaussians_1d", {"samples": 64, "held_out": 64}),
    "metric bird_colours": ("birds", {**FEW, "size": 32, "encoder": WORDS}),
}
"""Where they are made for one kind of data alone."""


def write_shard(path, numbers, broken, channels=3):
    """A tar file of six samples: two pictures, and two labels."""
    with tarfile.open(path, "w") as archive:
        for i in range(6):
            parts = {"cls": b"%d" % (i % 2), "kind": b"odd" if i < 3 else b"even"}
            for name in ("png", "other.png"):
                file = io.BytesIO()
                Image.fromarray(numbers.integers(0, 255, (20, 26, channels), dtype=np.uint8)).save(file, "PNG")
                parts[name] = b"junk" if broken and i == 5 else file.getvalue()
            for name, content in parts.items():
                member = tarfile.TarInfo(f"{i}.{name}")
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))


def write_files(root):
    """Folders of pictures in every layout, and a file of tensors with labels."""
    numbers = np.random.default_rng(0)

    def picture(name, width=20):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(numbers.integers(0, 255, (20, width, 3), dtype=np.uint8)).save(root / name)

    for i in range(12):
        picture(f"images/{'even' if i % 2 == 0 else 'odd'}/{i}.png")
        picture(f"captioned/{i}.png")
        (root / f"captioned/{i}.txt").write_text(f"a {'red' if i % 2 else 'blue'} bird\n")
        picture(f"paired/{i}.png", 40)
        picture(f"unpaired/trainA/{i}.png")
        picture(f"unpaired/trainB/{i}.png")
    places = {"": ["."], "captioned ": ["."], "unpaired ": ["trainA", "trainB"]}
    for i in range(12):
        frames = [Image.fromarray(numbers.integers(0, 255, (20, 20, 4), dtype=np.uint8)) for _ in range(2)]
        for kind, below in places.items():
            for folder in below:
                clear, pages = (root / f"{kind}{name}" / folder for name in ("clear", "pages"))
                clear.mkdir(parents=True, exist_ok=True)
                pages.mkdir(parents=True, exist_ok=True)
                frames[0].save(clear / f"{i}.png")
                frames[0].convert("RGB").save(pages / f"{i}.tif", save_all=True, append_images=[frames[1].convert("RGB")])
                if kind == "captioned ":
                    for page in (clear, pages):
                        (page / f"{i}.txt").write_text(f"a {'red' if i % 2 else 'blue'} bird\n")
    for folder in ("shards", "shards again", "broken shards"):
        (root / folder).mkdir()
        for shard in range(2):
            write_shard(root / folder / f"{shard}.tar", numbers, broken=folder == "broken shards")
    (root / "clear shards").mkdir()
    write_shard(root / "clear shards" / "0.tar", np.random.default_rng(1), broken=False, channels=4)
    rows = [f"{'even' if i % 2 == 0 else 'odd'}/{i}.png,{'low' if i < 6 else 'high'}" for i in range(12)]
    (root / "images" / "labels.csv").write_text("\n".join(["file,label", *rows]) + "\n")
    np.save(root / "tensors.npy", numbers.integers(0, 255, (20, 1, 16, 16), dtype=np.uint8))
    np.save(root / "labels.npy", np.arange(20) % 2)
