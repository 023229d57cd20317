"""What a recipe can get wrong, as the command line says it: where, what, and nothing is written."""

from pathlib import Path

import pytest

RECIPE = """\
# ganflow run mine.yaml
name: mine
data: {use: digits, size: 16}
prior: {use: normal, dim: 4}
generator: {use: dcgan, width: 4}
critic: {use: dcgan, width: 4, norm: none}
loss: {use: wasserstein}
optimizer: {use: rmsprop, lr: 1.0e-3}
modifiers:
  - {use: weight_clip, c: 0.02}
train: {rounds: 2, n_critic: 2, batch_size: 4, compile: never}
track: {mlflow: false}
"""


@pytest.fixture
def mine(tmp_path):
    """Writes the recipe with a change; the file's name."""

    def write(old="", new=""):
        assert old in RECIPE
        (tmp_path / "mine.yaml").write_text(RECIPE.replace(old, new, 1))
        return "mine.yaml"

    return write


def test_the_recipe_itself_is_right(command, mine):
    assert command("run", mine(), "-q")[0] == 0


@pytest.mark.parametrize(
    ("old", "new", "line", "sentence"),
    [
        ("prior:", "priro:", 4, "unknown section 'priro'; did you mean 'prior'?"),
        ("n_critic", "n_critc", 11, "unknown key 'n_critc' in train; did you mean 'n_critic'?"),
        ("{use: dcgan, width: 4}", "{use: dcgam, width: 4}", 5, "unknown generator 'dcgam'; did you mean 'dcgan'?"),
        ("weight_clip", "wgan/weight_clop", 10, "unknown modifier 'wgan/weight_clop'; did you mean 'wgan/weight_clip'?"),
        ("use: weight_clip", "use: acme/clip", 10, "unknown modifier 'acme/clip': no plugin 'acme'"),
        ("use: wasserstein", "use: mlp", 7, "unknown loss 'mlp'; that is the name of a critic and a generator"),
        ("c: 0.02", "clip: 0.02", 10, "unknown key 'clip' in modifier 'weight_clip'"),
        ("rounds: 2", "rounds: lots", 11, "train.rounds: 'lots' is not an integer"),
        ("rounds: 2", "rounds: 2.5", 11, "train.rounds: 2.5 is not an integer"),
        ("rounds: 2", "rounds: true", 11, "train.rounds: true is not an integer"),
        ("rounds: 2", "rounds: 0", 11, "train.rounds: 0 is below 1"),
        ("rounds: 2", "rounds: -3", 11, "train.rounds: -3 is below 1"),
        ("rounds: 2", "rounds: 99999999999999999999", 11, "train.rounds: 99999999999999999999 does not fit into 64 bits"),
        ("batch_size: 4", "batch_size: 0", 11, "train.batch_size: 0 is below 1"),
        ("batch_size: 4", "batch_size: [4]", 11, "train.batch_size: "),
        ("batch_size: 4", "threads: 1000000", 11, "train.threads: 1000000 is above 1024"),
        ("batch_size: 4", "accumulate: 3", 11, "train.accumulate: 3 micro-batches do not divide a batch_size of 64 evenly"),
        ("batch_size: 4", "device: tpu", 11, "train.device: 'tpu' is not a device; use auto, cpu, cuda, cuda:N or mps"),
        ("compile: never", "compile: no", 11, "train.compile: "),
        ("lr: 1.0e-3", "lr: -1.0e-3", 8, "optimizer.lr: -0.001 is below 0"),
        ("lr: 1.0e-3", "lr: .nan", 8, "optimizer.lr: .nan is not a finite number"),
        ("lr: 1.0e-3", "lr: .inf", 8, "optimizer.lr: .inf is not a finite number"),
        ("lr: 1.0e-3", "lr: fast", 8, "optimizer.lr: 'fast' is not a number"),
        ("c: 0.02", "c: 0", 10, "modifiers[0].c: 0 is not above 0"),
        ("size: 16", "size: 100000", 3, "data.size: 100000 is above 128"),
        ("width: 4}", "width: 1000000}", 5, "generator.width: 1000000 is above 4096"),
        ("dim: 4", "dim: 1000000000", 4, "prior.dim: 1000000000 is above 65536"),
        ("mlflow: false", "mlflow: 2", 12, "track.mlflow: 2 is not "),
        ("name: mine", "name: ../mine", 2, "name: '../mine' cannot name a folder"),
        ("width: 4}", "width: '${oc.env:HOME}'}", 5, "generator.width: "),
        ("critic: {use: dcgan", "critic: {_target_: os.system, use: dcgan", 6, "unknown key '_target_' in critic 'dcgan'"),
    ],
)
def test_one_mistake(command, mine, tmp_path, old, new, line, sentence):
    file = mine(old, new)
    for verb in (("check",), ("run", "-q")):
        said = command.refused(*verb, file).removeprefix("ganflow: ")
        assert said.startswith(f"mine.yaml:{line}: {sentence}")
        assert "\n" not in said
    assert [path.name for path in tmp_path.iterdir()] == ["mine.yaml"]


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("train.rouns=3", "unknown key 'rouns' in train; did you mean 'rounds'?"),
        ("trian.rounds=3", "unknown section 'trian'; did you mean 'train'?"),
        ("rounds=3", "unknown section 'rounds'"),
        ("train.rounds=lots", "train.rounds: 'lots' is not an integer"),
        ("train.rounds=", "train.rounds: "),
        ("train.rounds", "'train.rounds' has no value; write train.rounds=VALUE"),
        ("critic=dcgam", "unknown critic 'dcgam'; did you mean 'dcgan'?"),
        ("modifiers[7].c=1", "modifiers[7]"),
        ("optimizer.lr=1e400", "optimizer.lr: 1e400 is not a finite number"),
        ("~datta", "~datta"),
        ("data={use: digits", "data: not valid YAML: expected ',' or '}'"),
    ],
)
def test_one_mistake_on_the_command_line(command, mine, tmp_path, override, sentence):
    said = command.refused("run", mine(), "-q", override)
    assert said.startswith("ganflow: command line: ")
    assert sentence in said
    assert "\n" not in said
    assert [path.name for path in tmp_path.iterdir()] == ["mine.yaml"]


def test_all_mistakes_at_once_in_the_order_of_their_lines(command, mine, tmp_path):
    file = mine("lr: 1.0e-3", "lr: -1")
    Path(file).write_text(Path(file).read_text().replace("use: digits", "use: digit").replace("n_critic", "critics"))
    said = command.refused("run", file, "train.seed=-1", "generator.width=0").splitlines()
    places = [line.split(": ")[0] for line in said]
    assert places == ["command line", "command line", "mine.yaml:3", "mine.yaml:8", "mine.yaml:11"]
    assert [path.name for path in tmp_path.iterdir()] == ["mine.yaml"]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "mine.yaml:1: the recipe is empty; `ganflow recipes copy wgan` gives one to start from"),
        (b"- a\n- b\n", "mine.yaml:1: a recipe is a mapping of sections"),
        (b"data: {use: digits\nloss: x\n", "mine.yaml:"),
        (b"data: digits\x00", "mine.yaml:"),
        (b"data: \xff\xfe", "mine.yaml:1: not UTF-8 text"),
        (b"#" * 300_000, "mine.yaml is larger than 256 KiB; is it a recipe?"),
        (b"\x89PNG\r\n\x1a\n", "mine.yaml:1: not UTF-8 text"),
    ],
    ids=["empty", "list", "open-bracket", "nul", "latin", "huge", "a-picture"],
)
def test_what_is_no_recipe(command, tmp_path, content, sentence):
    (tmp_path / "mine.yaml").write_bytes(content)
    said = command.refused("run", "mine.yaml").removeprefix("ganflow: ")
    assert said.startswith(sentence)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.yaml"]


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (["~critic", "loss=reconstruction"], "modifier 'weight_clip' needs a critic, and the recipe has none"),
        (["~prior"], "generator 'dcgan'"),
        (["data={use: gaussians}"], "dcgan"),
        (["critic=mlp", "critic.width=4", "data={use: gaussians}", "prior.dim=2", "generator.use=dcgan"], "generator 'dcgan'"),
    ],
    ids=" ".join,
)
def test_parts_that_do_not_fit(command, mine, tmp_path, overrides, sentence):
    said = command.refused("run", mine(), "-q", *overrides)
    assert sentence in said
    assert said.count("\n") < 2  # a line for each part
    assert [path.name for path in tmp_path.iterdir()] == ["mine.yaml"]


@pytest.mark.parametrize("override", ["train.batch_size=10000000000000", "train.n_critic=10000000000000"])
def test_what_does_not_fit_in_memory(command, mine, override):
    said = command.refused("run", mine(), "-q", override)
    assert said.startswith("ganflow: train.batch_size: a round on ")
    assert f"; use {override.partition('=')[0]}=" in said or f", or {override.partition('=')[0]}=" in said


def test_data_that_do_not_fit_in_memory(command, tmp_path):
    for key in ("samples", "held_out"):
        said = command.refused("run", "ring", "-q", f"data.{key}=1000000000000")
        assert said == f"ganflow: command line: data.{key}: 1000000000000 is above 100000000"
    assert list(tmp_path.iterdir()) == []


def test_a_loss_that_needs_a_critic(command, mine):
    said = command.refused("run", mine(), "-q", "~critic", "~modifiers")
    assert said.endswith("loss 'wasserstein' needs a critic, and the recipe has none: add the section 'critic', or use another")


def test_one_value_where_a_list_is_wanted(command):
    """With what can be typed instead."""
    said = "command line: data.classes: 3 is not a list of {}; write {}"
    assert command.refused("check", "cgan_digits", "data.classes=3") == said.format("integers", "[3]")
    shards = ("check", "cgan_digits", "data={use: shards, path: x}")
    assert command.refused(*shards, "data.classes=3") == said.format("texts", "them in brackets: [cat, dog]")
    assert command.refused(*shards, "data.classes=cat").endswith("is not a list of texts; write [cat], or several: [cat, other]")
    assert command.refused(*shards, "data.range=4095").endswith("4095 is not a list of numbers; write [4095]")
    assert command.refused(*shards, "data.range=true").endswith("true is not a list of numbers")
