"""How often a third expert sided with an annotator, by the ability that they named."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from annotation.abilities import Ability
from annotation.bias import Verdicts
from annotation.columns import Doubles

PRIOR_PAIRS = 20
"""So many pairs at the campaign's own share are added to everybody's: a few decisions then move nobody far."""

FEW = 30
"""Below so many pairs a share is shown with a warning."""


@dataclass(frozen=True)
class Upheld:
    """Of ``n`` contested strict relations of somebody the share that adjudication kept, as it is and shrunken."""

    raw: float
    shrunken: float
    n: int

    @property
    def few(self) -> bool:
        """Whether this says little yet."""
        return self.n < FEW


def upheld(verdicts: Verdicts, doubles: Doubles) -> tuple[float | None, dict[tuple[int, int], Upheld]]:
    """The campaign's share, and that of each annotator and deciding ability; ability 0 takes all of them together.

    Only strict relations with a named ability count, for a tie names none. Shrunken is (kept + m p) / (n + m), the mean
    of a beta posterior whose prior is the campaign's share p at the weight of m = PRIOR_PAIRS pairs.
    """
    judgements = doubles.judgements
    sides = doubles.rows[verdicts.row]
    own = judgements.relations[sides, verdicts.pair[:, None]]
    named = judgements.deciding[sides, verdicts.pair[:, None]]
    counted = (own != 0) & (named != 0)
    kept = (own == verdicts.relation[:, None])[counted]
    people, abilities = judgements.annotator[sides][counted], named[counted].astype(np.int64)
    if len(kept) == 0:
        return None, {}
    share = float(kept.mean())
    found = {}
    for person in np.unique(people).tolist():
        for ability in (0, *Ability):
            mine = kept[(people == person) & ((abilities == ability) | (ability == 0))]
            if len(mine):
                found[person, int(ability)] = _upheld(int(mine.sum()), len(mine), share)
    return share, found


def _upheld(kept: int, n: int, share: float) -> Upheld:
    return Upheld(kept / n, (kept + PRIOR_PAIRS * share) / (n + PRIOR_PAIRS), n)
