"""How much a turn counts, and by how much the better answer of a pair has to lead."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from annotation import snapshot as files
from rlhf.config import RewardConfig
from rlhf.data import Pair, Prompt, Snapshot, Turn
from rlhf.weighting import PLAIN, Weighting, hasty_rankings
from tests.rlhf.material import turn_row


def ranking(number: int, seconds: float, **changes: Any) -> dict[str, Any]:
    row = turn_row(number)
    about = {"dialogue": row["dialogue"], "number": row["number"], "annotator": "x", "groups": [[0], [1], [2, 3]]}
    return {**about, "active_seconds": seconds, **changes}


def snapshot_of(folder: Path, *rankings: dict[str, Any], **changes: Any) -> Snapshot:
    rows = [(files.TURNS, turn_row(0, **changes)), *((files.RANKINGS, each) for each in rankings)]
    files.write(folder / "s", {}, rows)
    return Snapshot.load(folder / "s")


def test_a_ranking_is_hasty_below_a_quarter_of_the_median_time(tmp_path: Path) -> None:
    """Of 0 (not measured), 24, 25, 100, 100, 240 the median of those measured is 100."""
    given = [ranking(0, 24.0), ranking(0, 25.0), ranking(2, 100.0), ranking(2, 0.0), ranking(4, 100.0)]
    late = ranking(6, 1.0, counts=False)
    found = snapshot_of(tmp_path, *given, ranking(4, 240.0), late)
    assert hasty_rankings(found) == {("d0", 1): 1}


def test_rankings_without_times_are_not_hasty(tmp_path: Path) -> None:
    assert hasty_rankings(snapshot_of(tmp_path, ranking(0, 0.0))) == {}


def turn(settled_by: str, *strengths: str | None) -> Turn:
    pairs = tuple(Pair(0, 1, None, "agreed", strength) for strength in strengths)
    return Turn("d", 1, "train", Prompt((), "?"), ("a", "b"), pairs, settled_by=settled_by)


def test_only_pairs_called_clear_have_a_margin() -> None:
    weighting = Weighting(margin=0.5)
    assert weighting.margins(turn("agreed", "clear", "slight", None)) == [0.5, 0.0, 0.0]


@pytest.mark.parametrize(
    ("settled_by", "hasty", "weight"),
    [
        ("agreed", 0, 1.0),
        ("rewritten", 0, 1.0),
        ("adjudicated", 0, 0.5),
        ("agreed", 2, 0.0625),
        ("adjudicated", 1, 0.125),
    ],
)
def test_a_turn_counts_less_where_it_was_disputed_or_ranked_in_haste(
    settled_by: str, hasty: int, weight: float
) -> None:
    weighting = Weighting(disputed_weight=0.5, hasty_weight=0.25, hasty={("d", 1): hasty})
    assert weighting.weight(turn(settled_by)) == weight


def test_every_turn_counts_the_same_unless_told_otherwise(tmp_path: Path) -> None:
    found = snapshot_of(tmp_path, ranking(0, 1.0), ranking(0, 100.0), ranking(0, 100.0), settled_by="adjudicated")
    for weighting in (PLAIN, Weighting.of(RewardConfig(), found)):
        assert [(weighting.weight(each), weighting.margins(each)) for each in found.turns] == [(1.0, [0.0] * 5)]
    told = Weighting.of(RewardConfig(hasty_weight=0.5, disputed_weight=0.5), found)
    assert told.weight(found.turns[0]) == 0.25


def test_the_strength_of_a_pair_is_read_from_the_snapshot(tmp_path: Path) -> None:
    pairs = [{"better": 0, "worse": 1, "ability": 1, "provenance": "agreed", "strength": "clear"}]
    [read] = snapshot_of(tmp_path, pairs=pairs).turns
    assert read.pairs == (Pair(0, 1, 1, "agreed", "clear"),)
