"""Poisson blending against what it is by definition."""

import pytest
import torch
from ganflow_inpainting.blend import blend, paste
from ganflow_inpainting.masks import make_mask

MASKS = ["centre", "left", "bottom", "random:0.8", "random:0.2"]


def images(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * 2 - 1


def neighbours(i, j, height, width):
    around = ((i - 1, j), (i + 1, j), (i, j - 1), (i, j + 1))
    return [(a, b) for a, b in around if 0 <= a < height and 0 <= b < width]


@pytest.mark.parametrize("mask", MASKS)
def test_a_constant_offset_vanishes(mask):
    image, known = images(2, 3, 9, 7), make_mask(mask, 9, 7)
    offset = torch.tensor([0.3, -1.0, 2.0], dtype=torch.float64)[:, None, None]
    torch.testing.assert_close(blend(image + offset, image, known), image, rtol=0, atol=1e-12)


@pytest.mark.parametrize("mask", MASKS)
def test_it_solves_the_discrete_poisson_equation(mask):
    image, made, known = images(6, 5), images(6, 5, seed=1), make_mask(mask, 6, 5)
    x = blend(made, image, known)
    for i, j in (~known).nonzero().tolist():
        around = neighbours(i, j, 6, 5)
        ours, wanted = (sum(t[i, j] - t[a, b] for a, b in around) for t in (x, made))
        assert float(ours) == pytest.approx(float(wanted), abs=1e-12)


def test_no_other_filling_comes_nearer_to_the_gradients():
    image, made, known = images(6, 6), images(6, 6, seed=1), make_mask("centre", 6, 6)

    def far(x):
        d = x - made
        counted = [(~known[1:] | ~known[:-1], d[1:] - d[:-1]), (~known[:, 1:] | ~known[:, :-1], d[:, 1:] - d[:, :-1])]
        return sum(float((step[where] ** 2).sum()) for where, step in counted)

    x = blend(made, image, known)
    for seed in range(20):
        assert far(x + 0.01 * images(6, 6, seed=seed) * ~known) > far(x)


def test_a_flat_filling_becomes_the_harmonic_one():
    """On one row between 0 and 1, a straight line."""
    image = torch.tensor([[0.0, 9, 9, 9, 1.0]])
    x = blend(torch.full((1, 5), 5.0), image, torch.tensor([[True, False, False, False, True]]))
    torch.testing.assert_close(x, torch.tensor([[0, 0.25, 0.5, 0.75, 1]]))


@pytest.mark.parametrize("join", [blend, paste])
def test_known_pixels_are_the_images_own(join):
    image, made, known = images(2, 4, 3, 8, 8).float(), images(2, 4, 3, 8, 8, seed=1).float(), make_mask("random:0.5", 8, 8)
    x = join(made, image, known)
    assert (x.shape, x.dtype) == (image.shape, image.dtype)
    assert torch.equal(x[..., known], image[..., known])
    image[..., ~known] = 7.0
    assert torch.equal(join(made, image, known), x), "what the image holds in the hole does not matter"
    assert torch.allclose(join(made[1:], image[1:], known), x[1:], atol=1e-6)
