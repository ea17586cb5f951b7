"""How certain a share is that was counted on a sample."""

from __future__ import annotations

from math import sqrt
from statistics import NormalDist


def wilson_interval(hits: int, trials: int, confidence: float = 0.95) -> tuple[float, float]:
    """Least and greatest share, of 0 to 1, that `hits` of `trials` speak for; (0, 1) for no trials.

    The score interval of Wilson (1927, "Probable inference, the law of succession, and statistical inference"), which
    holds its confidence for small samples and shares near 0 and 1 too.
    """
    if not 0 <= hits <= trials:
        raise ValueError(f"There can be 0 to {trials} hits, not {hits}.")
    if trials == 0:
        return 0.0, 1.0
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    share, spread = hits / trials, z * z / trials
    center = (share + spread / 2) / (1 + spread)
    half = z / (1 + spread) * sqrt(share * (1 - share) / trials + spread / (4 * trials))
    return (0.0 if hits == 0 else center - half), (1.0 if hits == trials else center + half)
