"""A group of workers without processes."""


class Workers:
    """As much of a group as the building of a game asks for."""

    rank, device, threads = 0, None, 1

    def __init__(self, size):
        self.size = size

    def share(self, n, parts=1):
        return list(range(n // self.size))
