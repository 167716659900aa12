"""Augmentation beyond the appearance of one laboratory."""

import numpy as np
import pytest
import torch

from wide_augmentation import augment_wide, jitter_bands, random_warp, smooth_outlines


def disc(radius, side=100):
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    return (np.hypot(y, x) < radius).astype(np.float32)


def banded(n):
    """A disc with stripes around the median level of a region, and a soft edge outside."""
    mask = disc(38)
    stripes = 1 / 3 + 0.15 * np.sign(np.sin(np.arange(100) / 3))[None]
    signal = np.where(mask > 0, stripes, 0.1 * disc(42)).astype(np.float32)
    return torch.from_numpy(signal).expand(n, 100, 100), torch.from_numpy(mask).expand(n, 100, 100)


def test_some_outlines_lose_the_steps_of_their_pixels():
    round_ = disc(38)
    steps = round_[2::5, 2::5].repeat(5, 0).repeat(5, 1)
    mask = torch.from_numpy(steps).expand(300, 100, 100)
    signal, varied = smooth_outlines(mask, mask, torch.Generator().manual_seed(0))
    changed = (varied != mask).any(dim=2).any(dim=1)
    assert 0.25 < float(changed.float().mean()) < 0.45
    assert bool(((varied == 0) | (varied == 1)).all())
    # Nearer to the disc whose pixels these were, and a part of the signals with them.
    off = (varied[changed] - torch.from_numpy(round_)).abs().sum(dim=(1, 2))
    assert float(off.max()) < 0.8 * float(np.abs(steps - round_).sum())
    cut = (signal != mask).any(dim=2).any(dim=1)
    assert 0.05 < float(cut.float().mean()) < 0.2


def test_bands_get_fainter_and_stronger_while_the_level_stays():
    signal, mask = banded(400)
    varied = jitter_bands(signal, mask, torch.Generator().manual_seed(0))
    inside = mask[0] > 0
    spread = varied[:, inside].std(dim=1) / signal[0][inside].std()
    assert 0.05 < float((spread < 0.8).float().mean()) < 0.5
    assert 0.05 < float((spread > 1.2).float().mean()) < 0.5
    assert float(varied[:, inside].mean(dim=1).median()) == pytest.approx(1 / 3, rel=0.1)


def test_the_soft_edge_comes_and_goes():
    signal, mask = banded(400)
    varied = jitter_bands(signal, mask, torch.Generator().manual_seed(0))
    rim = (mask[0] == 0) & (signal[0] > 0)
    edge = varied[:, rim].mean(dim=1) / signal[0][rim].mean()
    assert 0.02 < float((edge < 0.3).float().mean()) < 0.4
    assert 0.02 < float((edge > 1.2).float().mean()) < 0.5


def test_half_of_the_crops_bend_a_little():
    moves = random_warp(400, 32, torch.Generator().manual_seed(0))
    still = (moves == 0).flatten(1).all(dim=1)
    assert 0.4 < float(still.float().mean()) < 0.6
    assert float(moves.abs().amax()) < 0.35


def test_same_seed_same_looks():
    signal, mask = banded(8)
    out = [
        augment_wide(signal, mask, torch.zeros(8), 64, "wide", torch.Generator().manual_seed(seed))
        for seed in (3, 3, 4)
    ]
    assert torch.equal(out[0][0], out[1][0])
    assert not torch.equal(out[0][0], out[2][0])
