"""The recipes of the matrix: every shipped loss, and every shipped term that is added to one; as small as they can be."""

from dataclasses import dataclass

from ganflow.recipe import read_recipe

POINTS = """data: {use: gaussians, layout: ring, samples: 64}
prior: {use: normal, dim: 2}
generator: {use: mlp, width: 6, depth: 1}
critic: {use: mlp, width: 6, depth: 1}"""
CLASSES = """condition: label
data: {use: digits, size: 16}
prior: {use: normal, dim: 2}
generator: {use: mlp, width: 6, depth: 1}
critic: {use: mlp, width: 6, depth: 1, classifier: label}"""
CODES = """data: {use: digits, size: 16}
prior: {use: normal, dim: 3}
generator: {use: mlp_autoencoder, width: 6}"""
JUDGED = f"{CODES}\ncritic: {{use: mlp, width: 6, depth: 2}}"
DRAWN = """data: {use: digits, size: 16}
prior: {use: normal, dim: 2}
generator: {use: mlp, width: 6, depth: 1}
critic: {use: mlp, width: 6, depth: 1}"""
PATCH = "critic: {use: patch, receptive_field: 7, width: 2, norm: none}"
PAIRS = f"""data: {{use: facades, size: 16, train: 16, held_out: 2}}
generator: {{use: unet, width: 2, norm: instance, dropout: 0.5}}
{PATCH}"""
STREET = "data: {use: street, size: 16, train: 16, held_out: 2}"
DOMAINS = f"{STREET}\ngenerator: {{use: resnet_translator, width: 2, blocks: 1, downs: 1}}\n{PATCH}"
SHARED = f"{STREET}\ngenerator: {{use: unit, width: 2, blocks: 0, downs: 1}}\n{PATCH}"
CAPTIONS = """data: {use: birds, size: 16, train: 16, held_out: 2, encoder: {use: bag_of_words, words: 8}}
prior: {use: normal, dim: 2}
generator: {use: stackgan_stage1, width: 2, dim: 2}
critic: {use: stackgan, width: 2, dim: 2, norm: none}"""
REST = """
name: matrix
loss: {loss}
modifiers: [{modifiers}]
optimizer: {{use: sgd, lr: 0.05, momentum: 0.9}}
schedule: {{use: cosine, warmup: 0.5}}
train: {{rounds: 3, batch_size: 8, seed: 2, precision: fp64, threads: 1, clip_grad: 5.0}}
track: {{mlflow: false}}
"""


@dataclass(frozen=True)
class Case:
    """A recipe.

    Attributes:
        whole: its batches cannot be cut: `train.accumulate` and `--workers` are refused.
        keeps: state that follows from how a batch was cut, in the names of which this occurs.
    """

    parts: str
    loss: str
    modifiers: str = ""
    whole: bool = False
    keeps: str = "no state"

    def recipe(self, file, *changes):
        """The recipe as read from a file, which is written."""
        file.write_text(self.parts + REST.format(loss=f"{{use: {self.loss}}}", modifiers=self.modifiers))
        return read_recipe(file, changes)


GP, R1, R2, EMA = "{use: gradient_penalty}", "{use: r1}", "{use: r2}", "{use: ema, decay: 0.8}"
CASES = {
    "minimax": Case(POINTS, "minimax, label_smoothing: 0.1", GP),
    "non_saturating": Case(POINTS, "non_saturating", R1),
    "lsgan": Case(POINTS, "lsgan", R2),
    "hinge": Case(POINTS, "hinge", "{use: gradient_penalty, one_sided: true}"),
    "wasserstein": Case(POINTS, "wasserstein", f"{GP}, {R1}, {R2}, {EMA}"),
    "relativistic": Case(POINTS, "relativistic", f"{R1}, {R2}"),
    "relativistic with average": Case(POINTS, "relativistic, average: true", whole=True),
    "auxiliary_classifier": Case(CLASSES, "hinge", "{use: auxiliary_classifier}, " + R1),
    "path_length": Case(POINTS, "non_saturating", "{use: path_length, every: 2, decay: 0.5}"),
    "ada": Case(DRAWN, "non_saturating", "{use: ada, steps: 8, start: 0.5, target: -0.9, policy: [blit, color]}"),
    "reconstruction": Case(CODES, "reconstruction"),
    "elbo": Case(CODES, "elbo, samples: 3"),
    "elbo with free_bits": Case(CODES, "elbo, free_bits: 0.1", whole=True),
    "vae_gan": Case(JUDGED, "vae_gan", whole=True),
    "pix2pix": Case(PAIRS, "pix2pix", GP),
    "cycle": Case(DOMAINS, "cycle, pool: 64", EMA, keeps="extras.loss"),  # never full
    "cycle with a full pool": Case(DOMAINS, "cycle, pool: 12"),
    "cycle without a pool": Case(DOMAINS, "cycle, pool: 0, adversarial: {use: relativistic}"),
    "unit": Case(SHARED, "unit"),
    "stackgan": Case(CAPTIONS, "stackgan, mismatch: 0"),
    "stackgan with mismatch": Case(CAPTIONS, "stackgan", whole=True),
}
SWITCHES = {
    "n_critic": (1, 2),
    "one_batch": (False, True),
    "one_pass": (False, True),
    "accumulate": (1, 2),
    "workers": (1, 2),
    "resume": (False, True),
    "traced": ("", "step", "round"),
}
PLAIN = {name: values[0] for name, values in SWITCHES.items()}
ALGORITHM = ("n_critic", "one_batch")
"""Switches that make another algorithm: the run to compare with has them, too."""
SINGLE = {"cycle with a full pool": "a full pool's exchanges follow from how a batch is cut, and every worker has its own"}
"""Cases whose cut batches are trained, and cannot be compared with whole ones."""


def refused(case, row):
    """Whether this combination is refused."""
    cut = row["accumulate"] > 1 or row["workers"] > 1
    return (cut and CASES[case].whole) or (row["workers"] > 1 and bool(row["traced"]))


def compared(case, row):
    """Whether this combination is played, and must train what the plain one does."""
    cut = row["accumulate"] > 1 or row["workers"] > 1
    return not refused(case, row) and not (cut and case in SINGLE)
