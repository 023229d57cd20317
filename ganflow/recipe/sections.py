"""The sections of a recipe, and the keys of those that belong to ganflow itself."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Literal

from ganflow.addresses import password_problem
from ganflow.contract.settings import key, part, settings
from ganflow.errors import SettingsError, did_you_mean

PLAYERS = ("generator", "critic")
ONE = ("data", "prior", "generator", "critic", "loss")  # sections with one component, whose role is the section's name
PARTS = (*PLAYERS, "loss")  # what optimizers train, or, after a dot, what is inside
PER_PART = ("optimizer", "schedule")  # one component for everything, or one for each part
MANY = {"modifiers": "modifier", "metrics": "metric", "trackers": "tracker"}  # sections with a list of components, and their role
SECTIONS = ("name", "recipe_version", "condition", *ONE, *PER_PART, *MANY, "train", "track", "tune")
EXTENDS = "extends"  # at the top of a file: the recipe that it changes; see ganflow.recipe.extends
REQUIRED = ("data", "generator", "loss", "optimizer")

RECIPE_VERSION = 3
"""Version of recipes' meaning. It grows when a default, or the meaning of a key, changes: `key(..., before={2: old})`. A recipe
that is written out in full says it (`recipe_version`); a user's may, and means the newest if it does not. Runs that began before
there was a version have 1.

2: least squares in CycleGAN, pix2pix and UNIT without LSGAN's ½; several scales of a critic are summed; an average's batch-norm
statistics are its own; initial weights, z, and the latents of scores and sheets have streams of their own; VAE/GAN compares what
the critic sees without the augmentation in front of it.
3: `modes`, `sliced_wasserstein` and `frechet` draw three times (`repeats`), for the standard error of their mean."""

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_REGISTERED = re.compile(r"[\w.-]{1,100}(@(?!latest$|v\d+$)[\w-]{1,100})?", re.ASCII)
_DEVICE = re.compile(r"auto|cpu|mps|cuda(:(0|[1-9][0-9]{0,3}))?")


@settings
class Head:
    """Keys at the top of a recipe, outside all sections."""

    recipe_version: int = key(RECIPE_VERSION, "which meaning of recipes this one was written for", ge=1)
    name: str = key(doc="names the folder of the runs, runs/<name>/; the recipe's file name if not given")
    condition: Any = key(
        None,
        "fields of the data that generator and critic get besides: label, text, source, or a list; not given: source of pairs, "
        "text of captions; []: none",
    )

    def __post_init__(self) -> None:
        if isinstance(self.condition, str):
            self.condition = [self.condition]
        wanted = [] if self.condition is None else self.condition
        if not (isinstance(wanted, (list, tuple)) and all(isinstance(name, str) for name in wanted)):
            raise SettingsError([("condition", "give the name of a field of the data (label, text, source), or a list of names")])
        if self.recipe_version > RECIPE_VERSION:
            newer = f"{self.recipe_version} is a newer ganflow's; this one reads recipes up to {RECIPE_VERSION}: upgrade ganflow"
            raise SettingsError([("recipe_version", newer)])
        if not NAME.fullmatch(self.name):
            rule = "up to 100 letters, digits, '.', '_' and '-', a letter or digit first"
            raise SettingsError([("name", f"{self.name[:50]!r} cannot name a folder; use {rule}")])


@settings
class Train:
    """Rules by which the game is played."""

    rounds: int = key(1000, "rounds to play: n_critic critic steps and one generator step each", ge=1)
    n_critic: int = key(1, "critic steps per round, each on a fresh batch; without a critic it means nothing", ge=1)
    schedule_rounds: int = key(
        0, "rounds that schedules are over, after which the learning rate stays as it was in the last of them; 0: rounds", ge=0
    )
    batch_size: int = key(64, "examples per step", ge=1)
    seed: int = key(0, "where all randomness of the run starts", ge=0, lt=2**63)
    device: str = key("auto", "auto (cuda, then mps, then cpu), cpu, cuda, cuda:N or mps")
    precision: Literal["fp32", "bf16", "fp64", "auto"] = key(
        "fp32",
        "of the networks' arithmetic; bf16: autocast, weights stay float32; auto: bf16 where it is faster when the run begins "
        "(a GPU that has it; on a CPU it is tried), else fp32",
    )
    channels_last: bool = key(False, "memory layout that convolutions like on many devices")
    compile: Literal["auto", "never", "step", "round"] = key(
        "auto", "what torch.compile gets: nothing, each step, or the whole round; auto weighs its cost against the work ahead"
    )
    one_pass: bool = key(
        False,
        "score real and fake in one critic pass and draw the fakes of all critic steps in one generator pass; "
        "same mathematics, other rounding",
    )
    one_batch: bool = key(
        False,
        "the generator's step plays on the critic's last batch and what was generated for it, one generator pass fewer: "
        "as in the code of pix2pix and CycleGAN, not as in Algorithm 1",
    )
    clip_grad: float | None = key(None, "largest norm of a player's whole gradient; longer ones are scaled down", gt=0)
    accumulate: int = key(1, "micro-batches per update; they must divide batch_size, and terms be means over examples", ge=1)
    batch_norm: Literal["local", "sync"] = key(
        "local", "with several workers: each normalizes its own share of the batch, or all of them the whole batch together"
    )
    deterministic: bool = key(False, "only algorithms that give the same bits every time, also where slower ones")
    threads: int = key(
        0, "CPU threads; 0: as many of the cores as make it faster when the run begins, which is tried then", ge=0, le=1024
    )
    report_every: int = key(0, "rounds between reports of the terms; 0: chosen from rounds, 20 at most in the first 100", ge=0)
    sample_every: int = key(0, "rounds between pictures of the fixed latent points; 0: chosen from rounds", ge=0)
    checkpoint_every: int = key(0, "rounds between checkpoints; 0: chosen from rounds, 20 at least in a sweep's trial", ge=0)
    evaluate_every: int = key(0, "rounds between evaluations of the metrics; 0: chosen from rounds", ge=0)
    keep: int = key(3, "checkpoints kept, besides the best", ge=1)
    on_alarm: Literal["auto", "warn", "stop", "never"] = key(
        "auto",
        "what happens when training shows a sign of ill health (collapse, a saturated critic, …): warn: a line; stop: the end "
        "of the run, with a checkpoint; never: it is not watched; auto: warn; in a sweep stop at those after which nothing more "
        "is learnt",
    )
    best: str | None = key(
        None, "score by which the best checkpoint is chosen, or a metric, whose first score is meant; not given: the first metric"
    )
    best_mode: Literal["min", "max"] | None = key(
        None, "which of these scores is better, of those for which no metric has a goal: it has one for its first score"
    )
    start_from: str | None = key(
        None, "a run whose players' weights to start from: a path, an id, a name or 'latest'; or a checkpoint's file"
    )

    def __post_init__(self) -> None:
        problems = []
        if not _DEVICE.fullmatch(self.device):
            problems.append(("device", f"{self.device[:50]!r} is not a device; use auto, cpu, cuda, cuda:N or mps"))
        if self.batch_size % self.accumulate:
            text = f"{self.accumulate} micro-batches do not divide a batch_size of {self.batch_size} evenly"
            problems.append(("accumulate", text))
        if problems:
            raise SettingsError(problems)


@settings
class Track:
    """Settings of MLflow. Other trackers are in the section `trackers`, a list of components."""

    mlflow: bool = key(True, "record the run in MLflow")
    uri: str | None = key(None, "tracking server or store; if not given MLFLOW_TRACKING_URI, else SQLite in the runs folder")
    experiment: str | None = key(None, "MLflow experiment; if not given MLFLOW_EXPERIMENT_NAME, else 'ganflow'")
    run_name: str | None = key(
        None, "name of the run in MLflow; if not given MLFLOW_RUN_NAME, else the recipe's name and the run's id"
    )
    images: bool = key(True, "send the sample pictures")
    log_model: bool = key(True, "send the trained generator as a model that can be served")
    register: str | None = key(
        None,
        "name in MLflow's model registry of which the trained generator becomes a version; NAME@ALIAS moves this alias to it, "
        "NAME alone the alias 'newest'",
    )
    system_metrics: bool = key(
        False, "send the use of CPU, GPU, memory, disk and network; also with MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING=true"
    )
    wait: float = key(60.0, "seconds to wait at the end for what is not yet sent", ge=0)

    def __post_init__(self) -> None:
        problems = []
        if self.uri and (problem := password_problem(self.uri)):
            problems.append(("uri", problem))
        if self.register is not None and not _REGISTERED.fullmatch(self.register):
            rule = "use NAME or NAME@ALIAS: letters, digits, '_', '.' and '-', the alias neither 'latest' nor v and a number"
            problems.append(("register", f"{self.register[:50]!r} names no registered model; {rule}"))
        if self.register is not None and not self.log_model:
            problems.append(("register", "what is not sent cannot be registered; remove log_model: false"))
        if problems:
            raise SettingsError(problems)


MOST_SEEDS = 1000
MOST_METRICS = 4
SEARCHERS = ("random", "grid", "tpe", "gp", "cmaes", "nsga2", "hyperopt", "optuna")
BY_ONE = ("cmaes", "hyperopt")  # searchers by one score
BUDGETS = ("hours", "gpu_hours", "failures")
UNSUPPORTED = {
    "ax": "Ray Tune's adapter does not work with today's ax",  # tried: 1.3
    "bayesopt": "Ray Tune's adapter does not work with today's bayesian-optimization",  # tried: 3.4
    "hebo": "HEBO does not install beside this numpy",
}
"""Searchers that Ray Tune has and ganflow has not, and why."""


@settings
class Tune:
    """Settings of `ganflow tune`. `space` maps keys of the recipe to what is tried for them: see docs/recipe.md."""

    metric: str | list[str] | None = key(
        None,
        "what a trial is judged by: a score, a term or an estimate, or a list of 2 to 4; the first metric if not given",
    )
    mode: Literal["min", "max"] | list[Literal["min", "max"]] | None = key(
        None, "which is better, for all metrics or a list of one for each; a metric's own goal if not given"
    )
    trials: int = key(16, "configurations to try, if there are as many; grid tries as many as the grid has points", ge=1)
    seeds: int | list[int] = key(
        1, "runs of each trial: with so many seeds from train.seed on, or with the seeds [1, 2, 3]; a trial's score is their mean"
    )
    quantile: float | None = key(None, "of the seeds' scores by which a trial is judged, instead of their mean", ge=0, le=1)
    rounds: int = key(0, "rounds of a trial, where fewer than train.rounds are enough to judge; 0: train.rounds", ge=0)
    space: dict[str, Any] = key({}, "key of the recipe → what is tried for it, e.g. optimizer.lr: {loguniform: [1e-5, 1e-3]}")
    points: list[dict[str, Any]] = key([], "configurations to try first, each a mapping of keys of the space to values")
    search: str = key("random", "random, grid, tpe, gp, cmaes or nsga2 (Optuna's samplers; optuna means tpe), hyperopt (its tpe)")
    grid_samples: int = key(1, "grid: trials of each of its points, with other draws of the keys outside the grid", ge=1)
    population_size: int = key(0, "nsga2: trials of a generation; 0: a quarter of `trials`, 4 at least and 50 at most", ge=0)
    seed: int = key(0, "of the search", ge=0, lt=2**32)
    scheduler: Literal["none", "asha", "hyperband", "median", "pbt"] = key(
        "none", "what stops trials before their last round, or copies them; hyperband with search: tpe is BOHB"
    )
    grace: float = key(0.1, "share of the rounds that every trial plays before the scheduler judges it", gt=0, le=1)
    reduction: int = key(3, "asha, hyperband: one in so many goes on at each rung", ge=2)
    interval: float = key(0.1, "pbt: share of the rounds between copies of good trials over bad ones", gt=0, le=1)
    resample_probability: float = key(0.25, "pbt: probability that a copy's value is drawn anew from the space", ge=0, le=1)
    perturbation_factors: list[float] = key([0.8, 1.2], "pbt: by one of them a copy's number is multiplied otherwise", gt=0)
    resources: dict[str, float] = key({"cpus": 1.0, "gpus": 0.0}, "of a trial; gpus: a fraction up to 1, or a whole number")
    concurrency: int = key(0, "trials at a time; 0: as many as the resources allow", ge=0)
    retries: int = key(2, "times that a trial which died is begun again from its last checkpoint, over all resumes", ge=0)
    budget: dict[str, float] = key(
        {}, "of the whole sweep: hours, gpu_hours, failures (trials that failed); where one is used up it ends"
    )
    stop: dict[str, float] = key({}, "end a trial when a value is reached, e.g. {frechet: 5, seconds: 600}")
    pack: int = key(1, "trials that train together as one batched computation", ge=1)
    confirm: int | None = key(
        None,
        "of packed trials: so many of the best (of the front) train again, each by itself, and these scores are reported; "
        "if not given 1, with several metrics 0",
        ge=0,
    )
    executor: Any = part("executor", None, "what plays the trials; if not given each by itself, or `pack` of them together")

    def __post_init__(self) -> None:
        problems = []
        if self.search in UNSUPPORTED:
            text = f"{self.search} is not supported: {UNSUPPORTED[self.search]}; use {', '.join(SEARCHERS)}"
            problems.append(("search", text))
        elif self.search not in SEARCHERS:
            close = did_you_mean(self.search, SEARCHERS)
            problems.append(("search", f"unknown searcher {self.search[:50]!r}{close} (searchers: {', '.join(SEARCHERS)})"))
        unknown = [name for name in self.resources if name not in ("cpus", "gpus")]
        if unknown:
            problems.append(("resources", f"unknown key {unknown[0]!r} in tune.resources (keys: cpus, gpus)"))
        cpus, gpus = self.resources.get("cpus", 1), self.resources.get("gpus", 0)
        if not cpus > 0:
            problems.append(("resources", f"a trial needs CPUs, not {cpus:g}"))
        if gpus < 0 or (gpus > 1 and gpus != int(gpus)):
            problems.append(("resources", f"{gpus:g} GPUs cannot be given to a trial; use a fraction up to 1, or a whole number"))
        problems += [("budget", text) for text in self._budget_problems(gpus)]
        if not self.perturbation_factors:
            problems.append(("perturbation_factors", "at least one factor is needed; [1] keeps the source's numbers"))
        if self.pack > 1 and self.scheduler != "none":
            text = f"packed trials play to their end together, which {self.scheduler} does not allow; use scheduler: none"
            problems.append(("pack", text))
        problems += self._seeds_problems()
        problems += self._objectives_problems()
        if 0 < self.concurrency < self.pack:
            rule = f"tune.concurrency is {self.concurrency}; use as many, or less in a pack"
            problems.append(("pack", f"{self.pack} trials train together, and {rule}"))
        if self.confirmed > 1 and self.pack == 1:
            how = f"{_without('confirm')}, or set tune.pack"
            text = f"trials that are not packed have the scores that they have by themselves; {how}"
            problems.append(("confirm", text))
        if self.pack > 1 and self.executor is not None:
            problems.append(("pack", "an executor decides by itself what trains together; remove one of the two"))
        if problems:
            raise SettingsError(problems)

    @property
    def metrics(self) -> tuple[str | None, ...]:
        """Names in `metric`; a single None for the recipe's first metric."""
        return tuple(self.metric) if isinstance(self.metric, list) else (self.metric,)

    @property
    def modes(self) -> tuple[Literal["min", "max"] | None, ...]:
        """Mode of each of the metrics; None for its goal."""
        return tuple(self.mode) if isinstance(self.mode, list) else (self.mode,) * len(self.metrics)

    @property
    def confirmed(self) -> int:
        """Packed trials that are trained again, each by itself."""
        return int(len(self.metrics) == 1) if self.confirm is None else self.confirm

    @property
    def generation(self) -> int:
        """Trials of a generation of nsga2."""
        return self.population_size or min(50, max(4, self.trials // 4))

    def seeds_from(self, first: int) -> tuple[int, ...]:
        """Seeds of each trial's runs; () where a trial is one run, with the recipe's seed.

        Args:
            first: the recipe's train.seed.
        """
        if isinstance(self.seeds, list):
            return tuple(self.seeds)
        return tuple(range(first, first + self.seeds)) if self.seeds > 1 else ()

    def _seeds_problems(self) -> list[tuple[str, str]]:
        problems = []
        seeds = self.seeds if isinstance(self.seeds, list) else []
        count = len(seeds) if isinstance(self.seeds, list) else self.seeds
        if not 1 <= count <= MOST_SEEDS:
            problems.append(("seeds", f"{count} seeds cannot be trained; give 1 to {MOST_SEEDS}, or a list of seeds"))
        if repeated := [seed for seed in seeds if seeds.count(seed) > 1]:
            problems.append(("seeds", f"{repeated[0]} is named twice, and the same seed trains the same run; name each once"))
        if wrong := [seed for seed in seeds if not 0 <= seed < 2**63]:
            problems.append(("seeds", f"{wrong[0]} is no seed; they are from 0 to below 2^63"))
        several = count > 1
        if several and self.scheduler == "pbt":
            problems.append(("seeds", "pbt copies one trial's weights to another, which a mean over seeds has none of; use 1"))
        if self.quantile is not None and not several:
            problems.append(("quantile", f"it is one of several seeds' scores; set tune.seeds, or {_without('quantile')}"))
        if several and self.scheduler != "none" and self.resources.get("gpus", 0) > 1:
            text = f"with {self.scheduler} a trial's seeds train in one process; give it one GPU, or use scheduler: none"
            problems.append(("seeds", text))
        return problems

    def _objectives_problems(self) -> Iterator[tuple[str, str]]:
        names, several = self.metrics, len(self.metrics) > 1
        if not 1 <= len(names) <= MOST_METRICS:
            yield "metric", f"trials cannot be judged by {len(names)} metrics; name 1 to {MOST_METRICS}"
        elif repeated := [name for name in names if names.count(name) > 1]:
            yield "metric", f"'{str(repeated[0])[:50]}' is named twice; name each metric once"
        elif len(self.modes) != len(names):
            words = f"{len(self.modes)} mode{'s' if len(self.modes) != 1 else ''} for {len(names)} metric{'s' if several else ''}"
            yield "mode", f"{words}; give one for each, or one word for all"
        if several and self.scheduler != "none":
            text = f"{self.scheduler} judges trials by one score, and tune.metric names {len(names)}; use scheduler: none"
            yield "scheduler", f"{text}, or one metric"
        if several and self.search in BY_ONE:
            text = f"{self.search} searches by one score, and tune.metric names {len(names)}"
            yield "search", f"{text}; use {', '.join(s for s in SEARCHERS if s not in (*BY_ONE, 'optuna'))}, or one metric"
        if self.population_size == 1:
            yield "population_size", "a generation has two trials or more; 0 chooses"
        if self.population_size and self.search in SEARCHERS and self.search != "nsga2":
            yield "population_size", f"{self.search} has no generations; {_without('population_size')}, or use search: nsga2"

    def _budget_problems(self, gpus: float) -> Iterator[str]:
        for name, limit in self.budget.items():
            if name not in BUDGETS:
                yield f"unknown key {name[:50]!r} in tune.budget (keys: {', '.join(BUDGETS)})"
            elif not limit > 0 or (name == "failures" and limit != int(limit)):
                yield f"{limit:g} {name} are no budget; use a {'whole ' if name == 'failures' else ''}number above 0"
        if "gpu_hours" in self.budget and not gpus:
            how = f"set tune.resources.gpus, or {_without('budget.gpu_hours')} and use hours"
            yield f"gpu_hours are not used by trials without a GPU; {how}"


def _without(name: str) -> str:
    """Advice that works in a file and on the command line."""
    return f"leave it out (tune.{name}=null)"
