"""A pipeline's next step begins when the one before it has succeeded, from what the steps before it left."""

from __future__ import annotations

import json

from sqlalchemy import select
from sqlalchemy.orm import Session

from annotation.run_tables import CheckpointKind, Run, RunKind, RunState
from annotation.store import pipelines, runs
from annotation.store.pipelines import PIPELINE, Step
from annotation.store.runs import NewRun

BASE, POLICY, REWARD = CheckpointKind.BASE, CheckpointKind.POLICY, CheckpointKind.REWARD


def the_method() -> list[Step]:
    """Pre-training, fine-tuning, a reward model on the new base, and PPO with all three."""
    return [
        Step(NewRun(RunKind.PRETRAIN, "", {"epochs": 1})),
        Step(NewRun(RunKind.SFT, "", {"epochs": 2}), (BASE,)),
        Step(NewRun(RunKind.REWARD, "", {"epochs": 3}), (BASE,)),
        Step(NewRun(RunKind.PPO, "", {"epochs": 4}), (BASE, REWARD, POLICY)),
    ]


def succeed(session: Session, run: Run) -> Run | None:
    """A worker's success: its model, and what follows."""
    kind = pipelines.LEAVES[run.kind]
    runs.add_checkpoint(session, f"{run.kind}-{run.id}", kind, f"/models/{run.id}", "0" * 64, run_id=run.id)
    return pipelines.go_on(session, run)


def started_from(run: Run) -> dict[CheckpointKind, str]:
    return {each.role: each.checkpoint.name for each in run.inputs}


def test_each_step_starts_from_what_the_steps_before_it_left(session: Session) -> None:
    pretraining = pipelines.start(session, the_method(), actor_id=None)
    assert len(session.scalars(select(Run)).all()) == 1
    tuning = succeed(session, pretraining)
    assert tuning is not None
    assert (tuning.kind, tuning.state, tuning.config["epochs"]) == (RunKind.SFT, RunState.QUEUED, 2)
    base = f"pretrain-{pretraining.id}"
    assert started_from(tuning) == {BASE: base}
    rewarding = succeed(session, tuning)
    assert rewarding is not None
    assert started_from(rewarding) == {BASE: base}
    ppo = succeed(session, rewarding)
    assert ppo is not None
    assert started_from(ppo) == {BASE: base, POLICY: f"sft-{tuning.id}", REWARD: f"reward-{rewarding.id}"}
    assert ppo.config[PIPELINE]["earlier"] == [pretraining.id, tuning.id, rewarding.id]
    assert succeed(session, ppo) is None


def test_what_is_to_come_is_kept_as_json_says_it(session: Session) -> None:
    """A worker that was started again reads it from the row."""
    for step in the_method():
        assert Step.of(json.loads(json.dumps(step.told()))) == step


def test_a_run_outside_a_pipeline_is_followed_by_nothing(session: Session) -> None:
    alone = runs.start(session, NewRun(RunKind.SFT, "", {}), actor_id=None)
    assert succeed(session, alone) is None


def test_a_chosen_model_stays_beside_those_that_are_made(session: Session) -> None:
    chosen = runs.add_checkpoint(session, "own", BASE, "/models/own", "0" * 64)
    steps = [Step(NewRun(RunKind.SFT, "", {}, inputs={BASE: chosen.id})),
             Step(NewRun(RunKind.PPO, "", {}, inputs={BASE: chosen.id}), (POLICY,))]  # fmt: skip
    tuning = pipelines.start(session, steps, actor_id=None)
    ppo = succeed(session, tuning)
    assert ppo is not None
    assert started_from(ppo) == {BASE: "own", POLICY: f"sft-{tuning.id}"}


def test_nothing_follows_a_run_that_is_to_be_cancelled(session: Session) -> None:
    pretraining = pipelines.start(session, the_method(), actor_id=None)
    pretraining.cancel_requested = True
    assert succeed(session, pretraining) is None


def test_nothing_follows_a_run_that_left_no_model(session: Session) -> None:
    pretraining = pipelines.start(session, the_method(), actor_id=None)
    assert pipelines.go_on(session, pretraining) is None
