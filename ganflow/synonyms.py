"""Words of other programs and papers, and near matches: the hints that messages end with.

Every target of the tables is something that can be typed, and tests/cli/test_synonyms.py asks of each whether it exists.
"""

from __future__ import annotations

import difflib
import re
import shlex
from collections.abc import Callable, Iterable

COMMANDS: dict[str, tuple[str, ...]] = {
    "train": ("run",), "fit": ("run",), "start": ("run",), "launch": ("run",), "exec": ("run",), "learn": ("run",),
    "resume": ("run --resume latest",), "continue": ("run --resume latest",), "restart": ("run --resume latest",),
    "validate": ("check",), "lint": ("check",), "verify": ("check",),
    "config": ("show",), "cat": ("recipes cat", "show"), "print": ("show",), "view": ("show",),
    "copy": ("recipes copy",), "init": ("recipes copy",), "new": ("recipes copy",), "examples": ("recipes",),
    "dataset": ("data",), "datasets": ("data",), "components": ("plugins",), "models": ("plugins",), "losses": ("plugins",),
    "search": ("tune",), "optimize": ("tune",), "hpo": ("tune",), "sweep": ("tune", "sweeps"), "trials": ("sweeps",),
    "list": ("runs",), "ls": ("runs",), "experiments": ("runs",), "status": ("runs",), "rm": ("runs rm",), "delete": ("runs rm",),
    "remove": ("runs rm",), "clean": ("runs rm",),
    "generate": ("sample",), "infer": ("sample",), "predict": ("sample",), "samples": ("sample",), "walk": ("interpolate",),
    "gif": ("animate",), "video": ("animate",), "eval": ("evaluate",), "test": ("evaluate",), "score": ("evaluate",),
    "fid": ("evaluate",), "metrics": ("evaluate",), "diff": ("compare",), "upload": ("sync",), "push": ("sync",),
    "version": ("--version",), "about": ("--version",), "env": ("plugins",), "doctor": ("plugins",), "installed": ("plugins",),
    "info": ("plugins", "runs show latest"), "log": ("runs show latest",), "logs": ("runs show latest",),
    "history": ("runs show latest",), "tail": ("runs show latest",), "plot": ("report latest",), "curves": ("report latest",),
    "html": ("report latest",), "web": ("ui", "report latest"), "serve": ("export latest --to mlflow",),
    "deploy": ("export latest --to mlflow",), "save": ("export latest --to safetensors",),
    "convert": ("export latest --to onnx",), "onnx": ("export latest --to onnx",),
    "mlflow": ("ui",), "dashboard": ("ui",), "tensorboard": ("ui",), "board": ("ui",),
}  # fmt: skip
"""Command of other programs → those of `ganflow` that do it."""

WORDS: dict[str, tuple[str, ...]] = {
    "discriminator": ("critic",), "disc": ("critic",), "d": ("critic",), "net_d": ("critic",), "netd": ("critic",),
    "gen": ("generator",), "g": ("generator",), "net_g": ("generator",), "netg": ("generator",), "decoder": ("generator",),
    "model": ("generator", "critic"), "network": ("generator", "critic"), "networks": ("generator", "critic"),
    "dataset": ("data",), "datasets": ("data",), "dataloader": ("data",), "data_loader": ("data",), "real": ("data",),
    "noise": ("prior",), "latent": ("prior.dim",), "z": ("prior.dim",), "latents": ("prior",),
    "z_dim": ("prior.dim",), "nz": ("prior.dim",), "latent_dim": ("prior.dim",), "latent_size": ("prior.dim",),
    "noise_dim": ("prior.dim",), "z_size": ("prior.dim",), "gaussian": ("prior=normal",), "randn": ("prior=normal",),
    "criterion": ("loss",), "objective": ("loss",), "losses": ("loss",), "adversarial_loss": ("loss",), "gan_mode": ("loss",),
    "optim": ("optimizer",), "optimiser": ("optimizer",), "optimizers": ("optimizer",), "solver": ("optimizer",),
    "scheduler": ("schedule",), "lr_scheduler": ("schedule",), "lr_schedule": ("schedule",), "lr_policy": ("schedule",),
    "regularizer": ("modifiers",), "regularizers": ("modifiers",), "regularization": ("modifiers",), "penalty": ("modifiers",),
    "modifier": ("modifiers",), "callbacks": ("modifiers", "trackers"), "metric": ("metrics",), "evaluation": ("metrics",),
    "eval": ("metrics",), "evaluate": ("metrics",), "score": ("metrics",), "scores": ("metrics",),
    "logger": ("trackers", "track"), "loggers": ("trackers", "track"), "logging": ("trackers", "track"),
    "mlflow": ("track",), "tracking": ("track",), "tensorboard": ("+trackers=tensorboard",),
    "wandb": ("+trackers=wandb",), "weights_and_biases": ("+trackers=wandb",),
    "training": ("train",), "trainer": ("train",), "hyperparameters": ("tune",), "sweep": ("tune",), "search": ("tune.search",),
    "labels": ("condition",), "label": ("condition",), "conditional": ("condition",), "early_stopping": ("train.best",),
    "early_stop": ("train.best",), "patience": ("train.best",), "save_best": ("train.best",),
    "version": ("recipe_version",), "seeds": ("tune.seeds", "train.seed"),
    "epochs": ("train.rounds",), "epoch": ("train.rounds",), "n_epochs": ("train.rounds",), "num_epochs": ("train.rounds",),
    "max_epochs": ("train.rounds",), "iterations": ("train.rounds",), "iters": ("train.rounds",), "n_iter": ("train.rounds",),
    "max_iter": ("train.rounds",), "niter": ("train.rounds",), "steps": ("train.rounds",), "n_steps": ("train.rounds",),
    "max_steps": ("train.rounds",), "total_steps": ("train.rounds",), "num_steps": ("train.rounds",), "round": ("train.rounds",),
    "batch": ("train.batch_size",), "batchsize": ("train.batch_size",), "bs": ("train.batch_size",),
    "minibatch": ("train.batch_size",), "n_dis": ("train.n_critic",), "d_steps": ("train.n_critic",),
    "critic_iters": ("train.n_critic",), "critic_iterations": ("train.n_critic",), "critic_steps": ("train.n_critic",),
    "random_seed": ("train.seed",), "manual_seed": ("train.seed",),
    "gpu": ("train.device=cuda",), "gpus": ("train.device=cuda", "--workers"), "n_gpus": ("--workers",), "n_gpu": ("--workers",),
    "num_gpus": ("--workers",), "devices": ("--workers",), "workers": ("--workers",), "ddp": ("--workers",),
    "distributed": ("--workers",), "data_parallel": ("--workers",), "world_size": ("--workers",),
    "nproc_per_node": ("--workers",), "num_processes": ("--workers",), "cuda": ("train.device=cuda",),
    "use_cuda": ("train.device=cuda",), "accelerator": ("train.device",), "cpu": ("train.device=cpu",),
    "fp16": ("train.precision=bf16",), "float16": ("train.precision=bf16",), "half": ("train.precision=bf16",),
    "16": ("train.precision=bf16",), "amp": ("train.precision=bf16",), "mixed": ("train.precision=bf16",),
    "mixed_precision": ("train.precision=bf16",), "autocast": ("train.precision=bf16",), "bfloat16": ("train.precision=bf16",),
    "float32": ("train.precision=fp32",), "float": ("train.precision=fp32",), "tf32": ("train.precision=fp32",),
    "single": ("train.precision=fp32",), "float64": ("train.precision=fp64",), "double": ("train.precision=fp64",),
    "dtype": ("train.precision",), "grad_clip": ("train.clip_grad",), "clip_grad": ("train.clip_grad",),
    "gradient_clipping": ("train.clip_grad",),
    "clip_grad_norm": ("train.clip_grad",), "max_grad_norm": ("train.clip_grad",), "grad_accum": ("train.accumulate",),
    "gradient_accumulation": ("train.accumulate",), "accumulation_steps": ("train.accumulate",),
    "log_every": ("train.report_every",), "log_interval": ("train.report_every",), "print_every": ("train.report_every",),
    "save_every": ("train.checkpoint_every",), "checkpoint_interval": ("train.checkpoint_every",),
    "save": ("train.checkpoint_every",), "save_interval": ("train.checkpoint_every",), "checkpoints": ("train.checkpoint_every",),
    "sample_interval": ("train.sample_every",), "eval_every": ("train.evaluate_every",), "resume": ("train.start_from",),
    "pretrained": ("train.start_from",), "checkpoint": ("train.checkpoint_every", "train.start_from"),
    "init_from": ("train.start_from",),
    "num_threads": ("train.threads",), "num_workers": ("train.threads",), "torch_compile": ("train.compile",),
    "experiment_name": ("track.experiment",),
    "tracking_uri": ("track.uri",), "n_trials": ("tune.trials",), "num_samples": ("tune.trials",),
    "lr": ("optimizer.lr",), "learning_rate": ("optimizer.lr",), "lr_g": ("optimizer.generator.lr",),
    "g_lr": ("optimizer.generator.lr",), "lr_d": ("optimizer.critic.lr",), "d_lr": ("optimizer.critic.lr",),
    "betas": ("optimizer.beta1", "optimizer.beta2"), "beta_1": ("optimizer.beta1",), "beta_2": ("optimizer.beta2",),
    "b1": ("optimizer.beta1",), "b2": ("optimizer.beta2",), "wd": ("optimizer.weight_decay",),
    "ngf": ("generator.width",), "ndf": ("critic.width",), "nf": ("generator.width", "critic.width"),
    "channels": ("generator.width", "critic.width"), "filters": ("generator.width", "critic.width"),
    "hidden": ("generator.width", "critic.width"), "hidden_dim": ("generator.width", "critic.width"),
    "n_layers": ("generator.depth", "critic.depth"), "layers": ("generator.depth", "critic.depth"),
    "dropout_rate": ("generator.dropout",), "batchnorm": ("generator.batch_norm",),
    "batch_norm": ("critic.norm=batch", "generator.norm=batch"),
    "image_size": ("data.size",), "img_size": ("data.size",), "imsize": ("data.size",), "resolution": ("data.size",),
    "res": ("data.size",), "px": ("data.size",), "root": ("data.path", "data=image_folder"),
    "dataroot": ("data.path", "data=image_folder"), "data_dir": ("data.path", "data=image_folder"),
    "dir": ("data.path", "data=image_folder"), "path": ("data.path", "data=image_folder"),
    "folder": ("data=image_folder", "data.path"), "hflip": ("data.flip",),
    "images": ("data=image_folder",), "imagefolder": ("data=image_folder",), "pictures": ("data=image_folder",),
    "photos": ("data=image_folder",), "mnist": ("data=digits",), "stacked_mnist": ("data=stacked_digits",),
    "huggingface": ("data=hub",), "hf": ("data=hub",), "webdataset": ("data=shards",), "parquet": ("data=shards", "data=hub"),
    "fashion_mnist": ("data=hub",), "svhn": ("data=hub",), "cifar100": ("data=hub",),
    "imagenet": ("data=image_folder", "data=hub"),
    "lsun": ("data=image_folder", "data=hub"), "ffhq": ("data=image_folder", "data=hub"),
    "npz": ("data=tensor_file",), "numpy": ("data=tensor_file",), "npy": ("data=tensor_file",), "cub": ("data=birds",),
    "mixture": ("data=gaussians",), "mog": ("data=gaussians",), "8gaussians": ("data=gaussians",),
    "linear": ("generator=mlp", "critic=mlp"), "fc": ("generator=mlp", "critic=mlp"), "dense": ("generator=mlp", "critic=mlp"),
    "conv": ("generator=dcgan", "critic=dcgan"), "cnn": ("generator=dcgan", "critic=dcgan"),
    "sngan": ("generator=resnet", "critic=resnet"), "stylegan": ("generator=style", "critic=style"),
    "stylegan2": ("generator=style", "critic=style"), "patchgan": ("critic=patch",),
    "vae": ("generator=conv_autoencoder", "loss=elbo"),
    "autoencoder": ("generator=conv_autoencoder", "loss=reconstruction"), "u_net": ("generator=unet",),
    "bce": ("loss=non_saturating", "loss=minimax"), "bce_with_logits": ("loss=non_saturating", "loss=minimax"),
    "cross_entropy": ("loss=non_saturating", "loss=minimax"), "logistic": ("loss=non_saturating",),
    "vanilla": ("loss=non_saturating", "loss=minimax"), "gan": ("loss=non_saturating", "loss=minimax"),
    "nsgan": ("loss=non_saturating",), "ns": ("loss=non_saturating",), "softplus": ("loss=non_saturating",),
    "mse": ("loss=lsgan",), "ls": ("loss=lsgan",), "least_squares": ("loss=lsgan",), "l2": ("loss=lsgan",),
    "wgan": ("loss=wasserstein",), "w": ("loss=wasserstein",), "emd": ("loss=wasserstein",), "rgan": ("loss=relativistic",),
    "ragan": ("loss=relativistic",), "r3gan": ("loss=relativistic",), "cyclegan": ("loss=cycle",),
    "wgan_gp": ("loss=wasserstein +modifiers=gradient_penalty", "+modifiers=gradient_penalty"),
    "gp": ("+modifiers=gradient_penalty",),
    "grad_penalty": ("+modifiers=gradient_penalty",), "lambda_gp": ("+modifiers=gradient_penalty",),
    "clip": ("train.clip_grad", "+modifiers=weight_clip"), "clip_value": ("+modifiers=weight_clip",),
    "weight_clipping": ("+modifiers=weight_clip",),
    "sn": ("+modifiers=spectral_norm",), "spectral": ("+modifiers=spectral_norm",),
    "spectral_norm": ("+modifiers=spectral_norm",), "use_spectral_norm": ("+modifiers=spectral_norm",),
    "use_sn": ("+modifiers=spectral_norm",),
    "spectral_normalization": ("+modifiers=spectral_norm",),
    "ema": ("+modifiers=ema",), "ema_decay": ("+modifiers=ema",), "averaging": ("+modifiers=ema",),
    "moving_average": ("+modifiers=ema",),
    "augment": ("+modifiers=diffaugment", "+modifiers=ada"), "augmentation": ("+modifiers=diffaugment", "+modifiers=ada"),
    "diff_augment": ("+modifiers=diffaugment",), "r1_penalty": ("+modifiers=r1",), "ppl": ("+modifiers=path_length",),
    "fid": ("+metrics=frechet",), "kid": ("+metrics=kernel_distance",), "is": ("+metrics=inception_score",),
    "inception": ("+metrics=inception_score",), "swd": ("+metrics=sliced_wasserstein",), "prdc": ("+metrics=precision_recall",),
    "recall": ("+metrics=precision_recall",),
    "multistep": ("schedule=step",), "exponential": ("schedule=step",), "cosine_annealing": ("schedule=cosine",),
    "linear_schedule": ("schedule=linear_decay",), "none": ("schedule=constant",), "adam_w": ("optimizer=adamw",),
    "rms_prop": ("optimizer=rmsprop",), "momentum": ("optimizer=sgd", "optimizer.momentum"), "csv": ("+trackers=jsonl",),
}  # fmt: skip
"""A word that means something else here, or nothing → what to write: a section, a key, a value of a key, or a component, as an
override has it. Those that come first are the likelier."""

OPTIONS = {"--workers": "the option --workers of ganflow run (in Python workers=)"}
"""Targets that are options of a command, in messages."""

FIELDS: dict[str, tuple[str, ...]] = {
    "images": ("real",), "image": ("real",), "x": ("real",), "labels": ("label",), "y": ("label",), "class": ("label",),
    "classes": ("label",), "caption": ("text",), "captions": ("text",),
}  # fmt: skip
"""Field of data of other programs → the one that it is here."""

FORMATS: dict[str, tuple[str, ...]] = {
    "torchscript": ("pt2",), "script": ("pt2",), "jit": ("pt2",), "trace": ("pt2",), "torch": ("pt2",), "pytorch": ("pt2",),
    "torch_export": ("pt2",), "pt": ("pt2", "safetensors"), "pth": ("pt2", "safetensors"), "pickle": ("safetensors",),
    "state_dict": ("safetensors",), "huggingface": ("hub",), "hf": ("hub",), "pyfunc": ("mlflow",), "tensorrt": ("onnx",),
    "onnxruntime": ("onnx",), "openvino": ("onnx",), "tflite": ("onnx",), "coreml": ("onnx",),
}  # fmt: skip
"""Format of models of other programs → the export that these read, or that is in its place."""

DATA: dict[str, tuple[str, ...]] = {
    "horse2zebra": ("cyclegan_horses", "hub_horse2zebra"), "cifar": ("hub_cifar10",), "cifar10": ("hub_cifar10",),
    "celeba": ("hub_faces",), "faces": ("hub_faces",),
}  # fmt: skip
"""Data of other programs → recipes that have them, and no component alone."""

RECIPES: dict[str, tuple[str, ...]] = {
    "mnist": ("gan", "wgan", "cgan_digits"), "digits": ("gan", "wgan", "vae_digits"), "dcgan": ("gan",), "vanilla": ("gan",),
    "vanilla_gan": ("gan",), "wasserstein": ("wgan",), "gradient_penalty": ("wgan_gp",), "stylegan": ("photos_style",),
    "stylegan2": ("photos_style",), "images": ("photos",), "folder": ("photos",), "conditional": ("cgan_digits",),
    "facades": ("pix2pix_facades",), "cub": ("stackgan_birds", "hub_cub"),
    "birds": ("stackgan_birds",), "text2image": ("stackgan_birds",), "gaussians": ("ring", "grid"), "8gaussians": ("ring",),
    "25gaussians": ("grid",), "toy": ("ring", "grid", "swiss_roll"), "mode_collapse": ("theory/collapse",), **DATA,
}  # fmt: skip
"""What a recipe might be called → recipes that come with ganflow."""


def normal(word: str) -> str:
    """A word in the tables' form: small letters, "_" between its parts, no dashes in front."""
    return re.sub(r"[\s.-]+", "_", word.strip().lstrip("-").lower())


def near(word: str, known: Iterable[str], n: int = 1) -> list[str]:
    """Known names that are nearly this one. Names that differ in a number are no near matches: fp64 is not fp16."""
    known, other = list(known), (FIELDS | FORMATS).get(normal(word), ())
    if same := [name for name in known if normal(name) == normal(word) != "" or name in other][:n]:
        return same
    close = difflib.get_close_matches(word, known, n=n)
    numbers = re.findall(r"\d+", word)
    return [name for name in close if not numbers or re.findall(r"\d+", name) in ([], numbers)]


def hint(word: str, known: Iterable[str], *, role: str = "", path: str = "", elsewhere: Iterable[str] = ()) -> str:
    """'; did you mean …?', or where else in a recipe what `word` means is written; nothing where neither is known.

    Args:
        known: the names that could be meant here.
        role: of the component that is to be named, "" where it is a key or a section.
        path: of the section whose key is to be named, "" where it is a section.
        elsewhere: what this very word means in other sections.
    """
    known = list(known)
    found = [name for name in known if normal(name) == normal(word)][:1]
    targets = WORDS.get(normal(word), ())
    if role and not found and role in (normal(word), *targets):
        return "; that is the section itself, which names one of these"
    heads = (f"{role}=", f"+{role}s=") if role else (f"{path}." if path else "",)
    below = [target.removeprefix(head) for head in heads for target in targets if target.startswith(head)]
    found = found or [name for name in below if name in known]
    if found:
        return _asked(found)
    if (role or path) and (len(normal(word)) == 1 or normal(word) == "none"):
        other = []  # too little to mean something elsewhere
    elif role:  # another component is needed, or several together; in place of a modifier a key may do
        keys = [target for target in targets if "." in target and role == "modifier"]
        other = keys or [target for target in targets if "=" in target and (" " in target or not target.startswith(heads))]
    elif path and below and not any("." in name or name.partition("=")[0] in known for name in below):
        other = [target for target in targets if target.startswith(f"{path}=")]  # which may have the key
    else:
        other = sorted(targets, key=lambda target: bool(path) and not target.startswith(heads))
    if role == "data" and (recipes := DATA.get(normal(word))):
        return f"; recipes with such data: {', '.join(recipes)} (ganflow recipes show {recipes[0]})"
    if other := other or list(elsewhere):
        return f"; that is {written(other[: 1 if ' ' in other[0] else 2])} here"
    return _asked(near(word, known))


def component_of(word: str, role: str, known: Iterable[str]) -> str | None:
    """The component of a role that a word means: its name, another program's for it, or a near match; None without one."""
    known = list(known)
    targets, heads = WORDS.get(normal(word), ()), (f"{role}=", f"+{role}s=")
    called = [target.removeprefix(head) for head in heads for target in targets if target.startswith(head)]
    return next((name for name in (word, *called, *near(word, known)) if name in known), None)


def value_hint(word: str, key: str, choices: Iterable[str]) -> str:
    """'; did you mean …?' of a value that a key has by another name, or a near one."""
    choices = list(choices)
    targets = WORDS.get(normal(word), ())
    values = [target.rpartition("=")[2] for target in targets if f".{key}=" in target]
    if close := [value for value in values if value in choices] or near(word, choices):
        return _asked(close)
    added = [target for target in targets if target.startswith("+") and normal(word) != "none"]
    return f"; that is {written(added[:1])} here" if added else ""


def option_hint(option: str, elsewhere: Callable[[str], Iterable[str]]) -> str:
    """'; that is … here' of an option that is a key of recipes, here or in other programs; otherwise nothing."""
    word = normal(option.partition("=")[0])
    targets = WORDS.get(word) or tuple(elsewhere(word))
    changes = [target if "=" in target else f"{target}=…" for target in targets if "." in target or "=" in target]
    return f"; that is {written(changes[:2])} here, without dashes" if changes else ""


def _asked(names: Iterable[str]) -> str:
    names = [f"'{name}'" for name in names]
    return f"; did you mean {' or '.join(names)}?" if names else ""


def written(targets: Iterable[str]) -> str:
    """Changes as one would type them."""
    typed = (" ".join(f"'{part}'" if part.startswith("+") else part for part in each.split()) for each in targets)
    return " or ".join(OPTIONS.get(each, each) for each in typed)


def action_hint(command: str, word: str) -> str:
    """'; did you mean …?' where a thing is named and an action of the command was needed."""
    return _asked([shlex.join([*command.split()[1:], "show", word])])


def command_hint(word: str, known: Iterable[str]) -> str:
    """'; did you mean …?' of a command of `ganflow`."""
    known = list(known)
    meant = [each for each in COMMANDS.get(normal(word), ()) if each.partition(" ")[0] in (*known, "--version")]
    if not meant:
        meant = near(word, known) or [each for name in near(word, COMMANDS) for each in COMMANDS[name]]
    return _asked(meant)


def role_hint(word: str, roles: Iterable[str]) -> str:
    """'; did you mean …?' of a role."""
    roles = list(roles)
    sections = [re.split("[.=]", target.removeprefix("+"))[0] for target in WORDS.get(normal(word), ())]
    named = dict.fromkeys(section if section in roles else section.removesuffix("s") for section in sections)
    return _asked([name for name in named if name in roles] or near(word, roles))


def component_hint(word: str, known: Iterable[str]) -> str:
    """'; did you mean …?' of a component's name, whatever its role."""
    known = list(known)
    named = [target.rpartition("=")[2] for target in WORDS.get(normal(word), ()) if "." not in target and "=" in target]
    return _asked([name for name in dict.fromkeys(named) if name in known] or near(word, known))
