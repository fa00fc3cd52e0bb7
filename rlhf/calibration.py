"""Whether a reward model is as sure as it is right: log-loss, temperature, calibration curve and error.

A pair is led by d, the better's score minus the worse's; the model gives the settled relation the probability
sigmoid(d / T). T = 1 is what training aims at; another T is fitted on validation and measured on what it has not seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize_scalar
from scipy.special import expit

Floats = npt.NDArray[np.float64]

BINS = 10
HOTTEST = 100.0
"""Temperatures from 1 / HOTTEST to HOTTEST are tried: where every pair is right, the lowest would be none."""


def calibration(validation: Sequence[float], report: Sequence[float]) -> dict[str, Any]:
    """Log-loss, error and curve of the leads (P,) of report pairs, at T = 1 and at the T fitted on validation pairs.

    ``fitted`` is None where validation has no pair, and everything is where report has none.
    """
    if not report:
        return {"temperature": None, "pairs": 0, "fitted_on": len(validation), "raw": None, "fitted": None}
    leads = np.asarray(report, dtype=np.float64)
    temperature = fit_temperature(validation) if validation else None
    return {
        "temperature": temperature,
        "pairs": len(leads),
        "fitted_on": len(validation),
        "raw": _measured(leads),
        "fitted": None if temperature is None else _measured(leads / temperature),
    }


def fit_temperature(leads: Sequence[float]) -> float:
    """The temperature that makes the log-loss of these pairs the least. Source: Guo et al. 2017."""
    found = np.asarray(leads, dtype=np.float64)
    limit = float(np.log(HOTTEST))
    best = minimize_scalar(lambda log_t: log_loss(found / np.exp(log_t)), bounds=(-limit, limit), method="bounded")
    return float(np.exp(best.x))


def log_loss(leads: Floats) -> float:
    """The mean of -log sigmoid(lead) over pairs (P,), in nats; ln 2 = 0.693 says nothing."""
    return float(np.logaddexp(0, -leads).mean())


def curve(leads: Floats) -> list[dict[str, Any]]:
    """Up to ten bins of equal counts, by how sure the model is: what it predicts, how often it is right, how many.

    Sure is the probability of the response that it scores higher, so from a half to one; equal scores are half right.
    Source: Nixon et al. 2019, for bins of equal counts.
    """
    sure = expit(np.abs(leads))
    right = np.where(leads == 0, 0.5, leads > 0)
    order = np.argsort(sure, kind="stable")
    return [
        {"predicted": float(sure[part].mean()), "right": float(right[part].mean()), "n": len(part)}
        for part in np.array_split(order, min(BINS, len(order)))
    ]


def calibration_error(bins: Sequence[dict[str, Any]]) -> float:
    """The mean over pairs of how far their bin's prediction lies from how often it is right."""
    total = sum(each["n"] for each in bins)
    return float(sum(each["n"] * abs(each["predicted"] - each["right"]) for each in bins) / total)


def _measured(leads: Floats) -> dict[str, Any]:
    bins = curve(leads)
    return {"log_loss": log_loss(leads), "error": calibration_error(bins), "curve": bins}
