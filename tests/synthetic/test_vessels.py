"""Vessels: Murray's law at every branching, tapering, and a macula left free."""

from __future__ import annotations

import numpy as np

from retinalab.synthetic.geometry import generator
from retinalab.synthetic.vessels import _branch_off, grow_vessels


def test_cubes_of_radii_add_up_at_a_branching() -> None:
    points = np.stack([np.linspace(0, 5, 90), np.zeros(90)], axis=1)
    trunk, buds = _branch_off(generator(1), points, 0.04, False, 0.4)
    taper = np.minimum(np.linspace(1.0, 0.72, 90), 0.15 + np.arange(90)[::-1] / 10)
    assert len(buds) > 3
    for place, _, child, _, _ in buds:
        k = int(np.argmin(np.hypot(*(points - place).T)))
        before, after = (trunk.radius / taper)[[k - 1, k]]
        np.testing.assert_allclose(before**3, after**3 + child**3, rtol=1e-6)


def test_vessels_taper_and_spare_the_fovea() -> None:
    for seed in range(5):
        vessels = grow_vessels(generator(seed), (2.5, -0.3), 1.0)
        assert 40 < len(vessels) < 900
        for vessel in vessels:
            assert (np.diff(vessel.radius) <= 1e-9).all()
            assert np.hypot(*vessel.points.T).min() > 0.2
        # arcades pass above and below the macula
        near = np.concatenate([v.points for v in vessels if v.radius[0] > 0.02])
        beside = near[np.abs(near[:, 0]) < 0.3]
        assert beside[:, 1].min() < -1
        assert beside[:, 1].max() > 1
