"""Poisson blending: the gradients of one image inside a hole, the pixels of another around it (Pérez et al. 2003)."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def blend(made: Tensor, image: Tensor, known: Tensor) -> Tensor:
    """Images x that equal `image` where pixels are known, and whose differences between neighbours in the hole come as near
    to those of `made` as they can: the x with the least Σ ((x_p − x_q) − (made_p − made_q))² over pairs of neighbours p, q
    of which one at least is in the hole (Yeh et al. 2016, eq. 6). So at each p in the hole

        Σ_q (x_p − x_q) = Σ_q (made_p − made_q),   q over the 2 to 4 neighbours of p,

    which is the discrete Poisson equation. Values may leave the images' range.

    Args:
        made, image: (…, height, width).
        known: (height, width), bool; True somewhere.
    """
    from scipy.sparse import csr_array
    from scipy.sparse.linalg import splu

    height, width = known.shape
    hole = ~known.numpy()
    pixels = np.arange(height * width).reshape(height, width)
    pairs = np.concatenate([np.stack((a.ravel(), b.ravel()), 1) for a, b in (
        (pixels[1:], pixels[:-1]), (pixels[:-1], pixels[1:]), (pixels[:, 1:], pixels[:, :-1]), (pixels[:, :-1], pixels[:, 1:]),
    )])  # fmt: skip
    p, q = pairs[hole.ravel()[pairs[:, 0]]].T  # p in the hole, q any neighbour
    ones = np.ones(len(p))
    size = (height * width, height * width)
    laplace = csr_array((np.concatenate((ones, -ones)), (np.concatenate((p, p)), np.concatenate((p, q)))), size)
    inside, outside = pixels[hole], pixels[~hole]
    rows = laplace[inside]
    truth, guide = (t.double().cpu().reshape(-1, height * width).numpy().T for t in (image, made))
    found = splu(rows[:, inside].tocsc()).solve(rows @ guide - rows[:, outside] @ truth[outside])
    result = image.double().cpu().reshape(-1, height * width).clone()
    result[:, torch.from_numpy(inside)] = torch.from_numpy(found.T.copy())
    return result.reshape(image.shape).to(image)


def paste(made: Tensor, image: Tensor, known: Tensor) -> Tensor:
    """`image` where pixels are known, `made` in the hole."""
    return torch.where(known, image, made)
