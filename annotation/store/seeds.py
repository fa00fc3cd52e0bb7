"""Runs that differ in nothing but their seed."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from annotation.run_tables import Run, RunState

SEED = "seed"
LOOKED_AT = 200


def with_other_seeds(session: Session, run: Run) -> Sequence[Run]:
    """The finished runs that are this one but for the seed, itself among them, one a seed: the newest, by seed."""
    alike = select(Run).where(
        Run.kind == run.kind,
        Run.snapshot_id == run.snapshot_id,
        Run.data_set_id == run.data_set_id,
        Run.state == RunState.SUCCEEDED,
    )
    found = {
        each.config.get(SEED, 0): each
        for each in reversed(session.scalars(alike.order_by(Run.id.desc()).limit(LOOKED_AT)).all())
        if _but_for_the_seed(each) == _but_for_the_seed(run)
    }
    if run.state is RunState.SUCCEEDED:
        found[run.config.get(SEED, 0)] = run
    return [found[seed] for seed in sorted(found)]


def _but_for_the_seed(run: Run) -> tuple[object, ...]:
    settings = {name: value for name, value in run.config.items() if name != SEED}
    return settings, {each.role: each.checkpoint_id for each in run.inputs}
