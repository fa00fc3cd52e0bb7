"""Runs that follow each other: each begins when the one before it has succeeded, from the models left by then.

What is still to come stands in the row of the run that goes before it, and the next row is made in the transaction in
which that one succeeds. So nothing is forgotten when a worker or the web is started again, nothing begins twice, and
after a run that failed or was cancelled nothing begins.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from sqlalchemy.orm import Session

from annotation.run_tables import CheckpointKind, Engine, Run, RunKind
from annotation.store import runs
from annotation.store.runs import NewRun

PIPELINE = "pipeline"
LEAVES = {
    RunKind.PRETRAIN: CheckpointKind.BASE,
    RunKind.SFT: CheckpointKind.POLICY,
    RunKind.REWARD: CheckpointKind.REWARD,
    RunKind.PPO: CheckpointKind.POLICY,
}
"""What kind of model a run leaves."""


@dataclass(frozen=True)
class Step:
    """A run of a pipeline; ``takes`` names the models that it starts from as steps before it left them."""

    run: NewRun
    takes: tuple[CheckpointKind, ...] = ()

    def told(self) -> dict[str, Any]:
        """As a row keeps it."""
        values = {field.name: getattr(self.run, field.name) for field in fields(NewRun)}
        return {**values, "inputs": dict(self.run.inputs), "config": dict(self.run.config), "takes": list(self.takes)}

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> Step:
        """What ``told`` said."""
        values = {name: value for name, value in told.items() if name != "takes"}
        inputs = {CheckpointKind(role): number for role, number in told["inputs"].items()}
        enums = {"kind": RunKind(told["kind"]), "engine": Engine(told["engine"])}
        run = NewRun(**{**values, **enums, "inputs": inputs})
        return cls(run, tuple(map(CheckpointKind, told["takes"])))


def start(session: Session, steps: Sequence[Step], *, actor_id: int | None) -> Run:
    """Queues the first of some steps, which bring the others after them."""
    return _queue(session, steps, {}, [], actor_id)


def go_on(session: Session, run: Run) -> Run | None:
    """Queues what follows a run that has succeeded and registered its model; None where nothing does.

    Nothing follows a run whose cancelling was asked for while its end was written, or that left no model (a dry run).
    """
    told = run.config.get(PIPELINE)
    left = runs.checkpoint_of(session, run.id)
    if not told or not told["then"] or run.cancel_requested or (run.kind in LEAVES and left is None):
        return None
    made = told["made"] | ({left.kind.value: left.id} if left else {})
    return _queue(
        session, [Step.of(each) for each in told["then"]], made, [*told["earlier"], run.id], run.created_by_id
    )


def _queue(
    session: Session, steps: Sequence[Step], made: Mapping[str, int], earlier: Sequence[int], actor_id: int | None
) -> Run:
    first, *then = steps
    inputs = {**first.run.inputs, **{role: made[role.value] for role in first.takes}}
    told = {"made": dict(made), "earlier": list(earlier), "then": [step.told() for step in then]}
    wanted = replace(first.run, inputs=inputs, config={**first.run.config, PIPELINE: told})
    return runs.start(session, wanted, actor_id=actor_id)
