import numpy as np
import pandas as pd
import pytest

from surroundings_odds import KNOTS, odds


def drawn(rng, n=20_000):
    """Draw regions whose log-odds of *other* rise twice as fast as the logarithm of remoteness."""
    remoteness = rng.normal(0, 0.4, n)
    level = np.where(rng.random(n) < 0.3, np.nan, rng.normal(0, 0.2, n))
    chances = 1 / (1 + np.exp(-(-3 + 2 * remoteness)))
    return pd.DataFrame(
        {
            "size": rng.normal(0, 0.3, n), "remoteness": remoteness, "level": level,
            "outlines": rng.choice(["boxes", "plain"], n), "other": rng.random(n) < chances,
        }
    )  # fmt: skip


def test_the_tables_follow_what_was_counted(rng):
    regions = drawn(rng)
    tables = odds(regions, regions["other"], ("remoteness", "level"))
    assert list(tables) == ["remoteness", "level"]
    at, adds = (np.array(tables["remoteness"][name]) for name in ("at", "adds"))
    np.testing.assert_allclose(at, KNOTS["remoteness"], atol=1e-4)
    assert np.polyfit(at, adds, 1)[0] == pytest.approx(2.0, abs=0.4)
    assert np.abs(tables["level"]["adds"]).max() < 0.6
    half = odds(regions, regions["other"], ("remoteness",), trust=0.5)
    slope = np.polyfit(at, half["remoteness"]["adds"], 1)[0]
    assert slope == pytest.approx(np.polyfit(at, adds, 1)[0] / 2, abs=0.1)


def test_on_average_the_odds_stay_as_they_are(rng):
    regions = drawn(rng)
    table = odds(regions, regions["other"], ("remoteness",))["remoteness"]
    rest = regions.loc[~regions["other"], "remoteness"]
    factors = np.exp(np.interp(rest, table["at"], table["adds"]))
    assert factors.mean() == pytest.approx(1.0, abs=0.02)
