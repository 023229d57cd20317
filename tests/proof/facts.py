"""What holds of each example, and why not where it does not: the tests try it, and docs/proof.md says it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Facts:
    """Each is "" where it works, else a part of the sentence by which it is refused."""

    compiled: str = ""
    workers: str = ""
    packed: str = ""


SOME_ROUNDS = "some terms take part in some rounds only"
FACTS = {
    "began": Facts(),
    "foreign": Facts(),
    "gradnorm": Facts(),
    "henon": Facts(),
    "infogan": Facts(),
    "learnt": Facts(),
    "mapping": Facts(),
    "noise": Facts(),
    "pathlength": Facts(packed=SOME_ROUNDS),
    "scales": Facts(),
    "sinkhorn": Facts(workers="with the term 'sinkhorn' a batch cannot be shared by 2 workers"),
    "textlog": Facts(),
}
