"""Contrast kinetics: arterial input, Tofts model, signal of a spoiled gradient echo."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

RELAXIVITY = 4.5
"""r1 of a gadolinium agent at 1.5 T, 1/(mM·s)."""

FLIP_ANGLE_RAD = float(np.deg2rad(12.0))
REPETITION_TIME_S = 0.0054


def population_aif(time_s: NDArray[np.float64]) -> NDArray[np.float64]:
    """Plasma concentration in mM at times after injection (Parker et al., MRM 2006;56:993).

    The blood curve of the paper divided by 1 − haematocrit (0.42); zero before injection.
    """
    t = time_s / 60.0
    gaussians = 0.809 / (0.0563 * np.sqrt(2 * np.pi)) * np.exp(
        -((t - 0.17046) ** 2) / (2 * 0.0563**2)
    ) + 0.330 / (0.132 * np.sqrt(2 * np.pi)) * np.exp(-((t - 0.365) ** 2) / (2 * 0.132**2))
    tail = 1.050 * np.exp(-0.1685 * t) / (1 + np.exp(-38.078 * (t - 0.483)))
    return np.asarray(np.where(t >= 0, (gaussians + tail) / (1 - 0.42), 0.0))


def tofts_uptake(time_s: float, kep_per_min: float) -> float:
    """Tissue concentration at one time for Ktrans = 1/min, in mM (Tofts et al., JMRI 1999;10:223).

    ``C(t) = Ktrans ∫ Cp(τ) exp(−kep (t − τ)) dτ`` with ``kep = Ktrans / ve``; C is proportional
    to Ktrans at a given kep, so a map of Ktrans scales it.
    """
    if time_s <= 0:
        return 0.0
    tau = np.linspace(0.0, time_s, max(int(time_s) + 1, 8))
    decay = np.exp(-kep_per_min * (time_s - tau) / 60.0)
    return float(np.trapezoid(population_aif(tau) * decay, tau / 60.0))


def enhancement(
    concentration_mm: NDArray[np.float64], t1_s: float | NDArray[np.float64]
) -> NDArray[np.float64]:
    """Signal relative to the signal without contrast, minus one (spoiled gradient echo)."""

    def signal(rate: NDArray[np.float64]) -> NDArray[np.float64]:
        decay = np.exp(-REPETITION_TIME_S * rate)
        return np.asarray((1 - decay) / (1 - np.cos(FLIP_ANGLE_RAD) * decay))

    rate = np.asarray(1.0 / np.asarray(t1_s, dtype=np.float64))
    return signal(rate + RELAXIVITY * concentration_mm) / signal(rate) - 1.0
