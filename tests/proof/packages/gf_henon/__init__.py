"""A simulation as data: points of Hénon's attractor, as they come, a little shuffled (Hénon 1976, doi:10.1007/BF01608556)."""

import torch

from ganflow import Field, IterableData, hookimpl, key, settings

GANFLOW_CONTRACT = 2


class Henon(IterableData):
    """(x, y) → (1 − a x² + y, b x), without end. `buffer` points wait, and a random one of them comes next."""

    name = "henon"

    def __init__(self, a, b, buffer, held_out, seed):
        self.a, self.b, self.size_of_buffer, self.seed = a, b, buffer, seed
        self.fields = {"real": Field((2,))}
        self.rng = torch.Generator().manual_seed(seed)
        self.at = torch.zeros(2, dtype=torch.float64)
        for _ in range(100):  # towards the attractor
            self.at = self.next(self.at)
        kept = [self.at]
        for _ in range(held_out):
            kept.append(self.next(kept[-1]))
        self.held_out = {"real": torch.stack(kept[1:]).float()} if held_out else {}
        self.at, self.waiting = kept[-1], torch.empty(0, 2, dtype=torch.float64)

    def next(self, point):
        x, y = point
        return torch.stack((1 - self.a * x * x + y, self.b * x))

    def fingerprint(self):
        return f"henon {self.a} {self.b} {self.size_of_buffer} {self.seed}"

    def __iter__(self):
        while True:
            while len(self.waiting) < self.size_of_buffer:
                self.at = self.next(self.at)
                self.waiting = torch.cat((self.waiting, self.at[None]))
            i = int(torch.randint(len(self.waiting), (), generator=self.rng))
            chosen = self.waiting[i].float()
            self.waiting = torch.cat((self.waiting[:i], self.waiting[i + 1 :]))
            yield {"real": chosen}

    def state_dict(self):
        return {"at": self.at, "waiting": self.waiting, "rng": self.rng.get_state()}

    def load_state_dict(self, state):
        self.at, self.waiting = state["at"], state["waiting"]
        self.rng.set_state(state["rng"])


@settings
class HenonData:
    """Points of Hénon's attractor, computed while training goes on."""

    a: float = key(1.4, "of the map")
    b: float = key(0.3, "of the map")
    buffer: int = key(64, "points of which the next is drawn", ge=1)
    held_out: int = key(256, "points that are not trained on", ge=0)
    seed: int = key(0, "of the draws from the buffer")

    @hookimpl
    def data(self):
        return Henon(self.a, self.b, self.buffer, self.held_out, self.seed)


@hookimpl
def register(offer):
    offer("data", "henon", HenonData)
