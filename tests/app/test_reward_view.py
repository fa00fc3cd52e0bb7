"""An evaluation of a reward model as its page shows it."""

from __future__ import annotations

from html import unescape
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from starlette.testclient import TestClient

from annotation.db import Database, utcnow
from annotation.run_tables import CheckpointKind, Run, RunKind, RunState
from annotation.store import runs, seeds, snapshots
from annotation.store.runs import NewRun
from annotation.tables import Campaign, Dialogue, Turn
from app import reward_view
from app.curves import plane
from tests.app.test_admin import settle_one
from tests.conftest import Cast

NO = {"value": None, "low": None, "high": None, "n": 0}


def share(value: float, n: int = 40) -> dict[str, Any]:
    return {"value": value, "low": value - 0.05, "high": value + 0.05, "n": n}


def of_calibration(right: float) -> dict[str, Any]:
    return {"log_loss": 0.61, "error": 0.08, "curve": [{"predicted": 0.6, "right": right, "n": 20},
                                                      {"predicted": 0.9, "right": 0.8, "n": 20}]}  # fmt: skip


def evaluation(accuracy: float = 0.7) -> dict[str, Any]:
    """What ``rlhf.evaluate`` says of a reward model."""
    figures = {"top1": share(0.6, 10), "tau": share(0.4, 10)}
    return {
        "turns": 10,
        "accuracy": share(accuracy), "longer_wins": share(0.55), "experts_agree": share(0.76),
        "by_gap": {"1": share(0.61), "2": share(0.83)}, "longer_wins_by_gap": {"1": share(0.52)},
        "by_ability": {"1": share(0.7)}, "by_department": {"儿科": share(0.71), "": share(0.69)},
        "by_depth": {"2": share(0.7)}, "by_source": {"0": share(0.66)},
        "orders": {"model": figures, "longer": figures, "experts": {"top1": NO, "tau": NO}},
        "calibration": {"temperature": 1.7, "pairs": 40, "fitted_on": 38, "raw": of_calibration(0.4),
                        "fitted": of_calibration(0.6)},
        "length": {"n": 40, "pearson": 0.31, "spearman": 0.28, "pearson_within": 0.11, "spearman_within": None,
                   "settled_within": 0.05},
        "boilerplate": {"n": 3, "mean": -0.52, "scored_above": share(0.25), "settled_above": NO},
        "disagreements": [],
    }  # fmt: skip


@pytest.fixture
def frozen(database: Database, campaign: Campaign, cast: Cast, tmp_path: Path) -> int:
    """A snapshot of a campaign."""
    settle_one(database, cast, campaign)
    return snapshots.freeze(database, campaign.id, tmp_path / "s", actor_id=None)


def done(database: Database, snapshot_id: int, result: dict[str, Any], **config: Any) -> int:
    """A finished reward run."""
    with database.writing() as session:
        base = runs.checkpoints(session, CheckpointKind.BASE) or [
            runs.add_checkpoint(session, "base", CheckpointKind.BASE, "/models/base", "0" * 64)
        ]
        wanted = NewRun(RunKind.REWARD, "", config, snapshot_id, inputs={CheckpointKind.BASE: base[0].id})
        run = runs.start(session, wanted, actor_id=None)
        run.state, run.result, run.finished_at = RunState.SUCCEEDED, result, utcnow()
        return run.id


def test_the_page_of_an_evaluation_says_all_of_it(admin: TestClient, database: Database, frozen: int) -> None:
    run_id = done(database, frozen, evaluation(), seed=0)
    admin.cookies.set("locale", "en")
    page = unescape(admin.get(f"/admin/runs/{run_id}").text)
    for said in ("best answer first", "unlike the fine-tuning data", "turn 2 of its dialogue", "儿科", "1.70",
                 "surer than it is right", "38 validation pairs", "0.31", "3 responses say",
                 "-0.52 standard deviations", "above 25% of the other answers"):  # fmt: skip
        assert said in page, said
    assert 'class="curves"' in page
    assert "Over seeds" not in page
    assert "where they put one above the other" not in page


def test_an_evaluation_of_an_earlier_version_is_shown_as_far_as_it_goes(
    admin: TestClient, database: Database, frozen: int
) -> None:
    known = {name: evaluation()[name] for name in ("accuracy", "longer_wins", "experts_agree", "by_gap")}
    page = admin.get(f"/admin/runs/{done(database, frozen, known, seed=0)}")
    assert page.status_code == 200
    assert 'id="by-gap"' in page.text
    assert not any(f'id="{each}"' in page.text for each in ("orders", "calibration", "shortcuts", "by-ability"))


def test_an_evaluation_of_nothing_and_one_of_fewer_pairs_say_so(
    admin: TestClient, database: Database, frozen: int
) -> None:
    figures = {"top1": NO, "tau": NO}
    nothing = {
        "turns": 0, "accuracy": NO, "longer_wins": NO, "experts_agree": NO, "by_gap": {},
        "orders": {"model": figures, "longer": figures, "experts": figures},
        "calibration": {"temperature": None, "pairs": 0, "fitted_on": 0, "raw": None, "fitted": None},
        "length": dict.fromkeys(evaluation()["length"]),
        "boilerplate": {"n": 0, "mean": None, "scored_above": NO, "settled_above": NO}, "disagreements": [],
    }  # fmt: skip
    admin.cookies.set("locale", "en")
    page = admin.get(f"/admin/runs/{done(database, frozen, nothing, seed=0)}")
    assert "On 0 pairs of 0 turns" in page.text
    assert 'class="curves"' not in page.text
    fewer = evaluation() | {"experts_agree_by_gap": {"2": share(0.75, 17)}}
    assert "n = 17" in admin.get(f"/admin/runs/{done(database, frozen, fewer, seed=1)}").text


def test_runs_that_differ_in_their_seed_alone_are_set_side_by_side(
    admin: TestClient, database: Database, frozen: int
) -> None:
    """0.70 and 0.74 have the mean 0.72 and the deviation 0.02 * sqrt(2); another learning rate is another run."""
    first = done(database, frozen, evaluation(0.99), seed=0, learning_rate=0.1)
    again = done(database, frozen, evaluation(0.70), seed=0, learning_rate=0.1)
    other = done(database, frozen, evaluation(0.74), seed=1, learning_rate=0.1)
    done(database, frozen, evaluation(0.1), seed=2, learning_rate=0.2)
    with database.reading() as session:
        alike = {
            run.id: [each.id for each in seeds.with_other_seeds(session, run)] for run in session.scalars(select(Run))
        }
        spread = reward_view.over_seeds(seeds.with_other_seeds(session, runs.get(session, again)))
    assert (alike[again], alike[other], alike[first]) == ([again, other], [again, other], [first, other])
    assert (spread["accuracy"].mean, spread["accuracy"].least) == (pytest.approx(0.72), 0.7)
    assert spread["accuracy"].deviation == pytest.approx(0.02 * 2**0.5)
    page = admin.get(f"/admin/runs/{again}").text
    assert "0.720 ± 0.028" in page
    assert f'href="/admin/runs/{other}"' in page


def test_what_both_doctors_agree_on_is_handed_to_the_blind_audits_from_the_page(
    admin: TestClient, database: Database, frozen: int
) -> None:
    with database.reading() as session:
        [name] = session.scalars(select(Dialogue.external_id))
    named = {"dialogue": name, "number": 1, "split": "report", "better": 0, "worse": 1, "provenance": "agreed",
             "ability": 1, "margin": 1.7}  # fmt: skip
    run_id = done(database, frozen, {**evaluation(), "disagreements": [named]}, seed=0)
    admin.cookies.set("locale", "en")
    assert "Hand 1 turn to the blind audits" in admin.get(f"/admin/runs/{run_id}").text
    for _ in range(2):
        assert admin.post(f"/admin/runs/{run_id}/second-look").status_code == 303
    page = admin.get(f"/admin/runs/{run_id}").text
    assert "1 of these turns was handed to the blind audits." in page
    assert "/second-look" not in page
    with database.reading() as session:
        assert session.scalars(select(Turn.audit_drawn)).all() == [True]


def test_strata_keep_the_order_of_the_evaluation_and_say_what_is_unknown() -> None:
    [one, two] = reward_view.strata(evaluation())["gap"]
    assert (one.key, [each and each["value"] for each in one.shares]) == ("1", [0.61, 0.52, None])
    assert (two.key, [each and each["value"] for each in two.shares]) == ("2", [0.83, None, None])


def test_the_calibration_curve_leaves_room_below_a_half_only_where_it_goes_there() -> None:
    below = reward_view.calibration_curve(evaluation())
    above = reward_view.calibration_curve({"calibration": {"raw": of_calibration(0.5), "fitted": None}})
    assert below is not None
    assert above is not None
    assert ([line.name for line in below.lines], below.y_marks[0][1]) == (
        ["as scored", "with the temperature", "as sure as right"], 0.0,
    )  # fmt: skip
    assert ([line.name for line in above.lines], above.y_marks[0][1]) == (["as scored", "as sure as right"], 0.5)
    assert reward_view.calibration_curve({}) is None


def test_points_of_a_plane_stand_between_its_ends() -> None:
    """Of 560 by 220, 52 and 12 at the sides and 12 and 28 above and below are left out."""
    drawn = plane({"a": [(0.5, 0.0), (1.0, 1.0), (0.75, 0.5)]}, (0.5, 1.0), (0.0, 1.0))
    assert drawn.lines[0].points == "52.0,192.0 548.0,12.0 300.0,102.0"
    assert [mark for _, mark in drawn.x_marks] == ["0.5", "0.6", "0.7", "0.8", "0.9", "1.0"]
    assert [y for y, _ in drawn.y_marks] == [192.0, 156.0, 120.0, 84.0, 48.0, 12.0]
