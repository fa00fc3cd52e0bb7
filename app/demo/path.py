"""The way of the demonstration: import, rank, adjudicate, freeze, train, compare. Each step is done once."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from annotation.db import Database
from annotation.run_tables import (
    Checkpoint,
    CheckpointKind,
    DataSet,
    DataSetKind,
    Run,
    RunKind,
    RunState,
)
from annotation.snapshot import split_of
from annotation.store import data_sets, runs, snapshots
from annotation.store.runs import NewRun
from app.demo import campaign as sample
from app.demo.campaign import DIALOGUES, Watch
from app.settings import Settings
from rlhf.config import CONFIGS
from rlhf.records import read_rows
from workers.queue import make_app, wake

CONFIG = Path(__file__).parent / "demo.toml"
POLL_S = 0.5
TITLES = {
    RunKind.PRETRAIN: "a tiny base model learns Chinese",
    RunKind.SFT: "supervised fine-tuning of its policy",
    RunKind.REWARD: "the reward model learns from the experts",
    RunKind.PPO: "PPO trains the policy against it",
}


class DemoFailedError(Exception):
    """A step of the way did not succeed; the message says which and where to look."""


@dataclass(frozen=True)
class Walk:
    """The way through an installation; every step finds what an earlier walk has left."""

    settings: Settings
    database: Database
    watch: Watch

    def to_the_snapshot(self) -> int:
        """Dialogues, rankings, decisions and a snapshot; returns the snapshot's id."""
        campaign_id = sample.prepare(self.database)
        with self.database.reading() as session:
            frozen = snapshots.every(session, campaign_id)
        if frozen:
            return frozen[-1].id
        sample.rank(self.database, campaign_id, self.watch)
        sample.adjudicate(self.database, campaign_id, self.watch)
        return snapshots.freeze(self.database, campaign_id, self.settings.snapshots, actor_id=None)

    def to_the_end(self, snapshot_id: int) -> Run:
        """Base model, fine-tuning, reward model and PPO, each by the worker; returns the PPO run."""
        corpus = self._register("sample-corpus", DataSetKind.CORPUS, corpus_rows())
        dialogues = self._register("sample-dialogues", DataSetKind.DIALOGUES, dialogue_rows())
        base = self._train(RunKind.PRETRAIN, "示例基座", data=corpus)
        policy = self._train(RunKind.SFT, "示例微调", data=dialogues, base=base)
        reward = self._train(RunKind.REWARD, "示例奖励模型", snapshot_id=snapshot_id, base=base)
        self._train(RunKind.PPO, "示例 PPO", snapshot_id=snapshot_id, base=base, policy=policy, reward=reward)
        with self.database.reading() as session:
            return self._newest(session, RunKind.PPO, RunState.SUCCEEDED)  # type: ignore[return-value]

    def _train(
        self,
        kind: RunKind,
        name: str,
        *,
        data: DataSet | None = None,
        snapshot_id: int | None = None,
        **models: Checkpoint,
    ) -> Checkpoint:
        """The model of a stage: one that is there, else that of a run which is started and waited for."""
        with self.database.writing() as session:
            run = self._newest(session, kind, RunState.SUCCEEDED)
            if run is None:
                config = CONFIGS[kind.value].read(CONFIG).model_dump(mode="json")
                inputs = {CheckpointKind(role): each.id for role, each in models.items()}
                wanted = NewRun(kind, name, config, snapshot_id, data.id if data else None, inputs)
                run = runs.start(session, wanted, actor_id=None)
                session.flush()
        if run.state is not RunState.SUCCEEDED:
            wake(make_app(self.settings), run.id)
            self._wait(run.id)
        with self.database.reading() as session:
            made = runs.checkpoint_of(session, run.id)
        assert made is not None
        return made

    def _wait(self, run_id: int) -> None:
        while True:
            with self.database.reading() as session:
                run = runs.get(session, run_id)
            self.watch(TITLES[run.kind], run.step, run.steps, run.phase or run.state.value)
            if run.state is RunState.SUCCEEDED:
                return
            if not run.live:
                raise DemoFailedError(f"The run {run.name} has {run.state.value}: {run.error or 'see its log'}")
            time.sleep(POLL_S)

    def _register(self, name: str, kind: DataSetKind, rows: Iterator[dict[str, Any]]) -> DataSet:
        data = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()
        sha256 = hashlib.sha256(data).hexdigest()
        self.settings.data_sets.mkdir(parents=True, exist_ok=True)
        path = self.settings.data_sets / f"{sha256}.jsonl"
        path.write_bytes(data)
        with self.database.writing() as session:
            return data_sets.add(session, name, kind, str(path), sha256, data.count(b"\n"), actor_id=None)

    def _newest(self, session: Any, kind: RunKind, state: RunState) -> Run | None:
        return next((run for run in runs.every(session) if run.kind is kind and run.state is state), None)


def corpus_rows() -> Iterator[dict[str, Any]]:
    """Every exchange of the training part by itself, good answers and bad: what the base model learns Chinese from."""
    for _history, message, replies in _turns():
        for reply in replies:
            yield {"messages": _messages([(message, reply)])}


def dialogue_rows() -> Iterator[dict[str, Any]]:
    """Every turn of the training part with each of its answers: the policy answers like the average of the sample."""
    for history, message, replies in _turns():
        for reply in replies:
            yield {"messages": _messages([*history, (message, reply)])}


def _turns() -> Iterator[tuple[list[tuple[str, str]], str, list[str]]]:
    """What is held out for measuring is seen by no stage of the training."""
    for row in read_rows(DIALOGUES):
        if split_of(row["id"]) != "train":
            continue
        history: list[tuple[str, str]] = []
        for turn in row["turns"]:
            yield list(history), turn["message"], [response["text"] for response in turn["responses"]]
            history.append((turn["message"], turn.get("reply", "")))


def _messages(exchanges: list[tuple[str, str]]) -> list[dict[str, str]]:
    pairs = ((("user", asked), ("assistant", replied)) for asked, replied in exchanges)
    return [{"role": role, "content": content} for pair in pairs for role, content in pair]
