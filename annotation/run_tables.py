"""The tables of the training side: snapshots, data sets, runs with their metrics and logs, checkpoints, workers.

A run's row is the truth about it. Whoever works on it holds a fencing token; a write with an older one changes nothing.
"""

from __future__ import annotations

import enum
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, String, Text, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from annotation.db import Base, Json, UtcDateTime, choice, utcnow
from annotation.people_tables import User
from annotation.tables import Campaign


class DataSetKind(enum.StrEnum):
    """What the rows of a data set are."""

    CORPUS = "corpus"
    DIALOGUES = "dialogues"
    PROMPTS = "prompts"


class RunKind(enum.StrEnum):
    """A stage of the training."""

    PRETRAIN = "pretrain"
    SFT = "sft"
    GENERATE = "generate"
    REWARD = "reward"
    PPO = "ppo"
    EVALUATE = "evaluate"
    SCORE = "score"


class RunState(enum.StrEnum):
    """Where a run stands."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


LIVE_STATES = (RunState.QUEUED, RunState.RUNNING)


class Engine(enum.StrEnum):
    """What carries a run's processes."""

    LOCAL = "local"
    HOSTS = "hosts"
    SLURM = "slurm"
    RAY = "ray"
    KUBERNETES = "kubernetes"


HELD_ENGINES = (Engine.LOCAL, Engine.HOSTS)
"""Those whose processes end with the worker that started them; on the others a job lives without any of us."""


class CheckpointKind(enum.StrEnum):
    """What a folder of weights is."""

    BASE = "base"
    POLICY = "policy"
    REWARD = "reward"


class Snapshot(Base):
    """A frozen folder of settled turns; ``sha256`` is that of its manifest."""

    __tablename__ = "snapshots"
    __table_args__ = (UniqueConstraint("campaign_id", "name"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    campaign_id: Mapped[int] = mapped_column(ForeignKey("campaigns.id"))
    name: Mapped[str] = mapped_column(String(64))
    folder: Mapped[str] = mapped_column(String(512))
    sha256: Mapped[str] = mapped_column(String(64))
    counts: Mapped[dict[str, Any]] = mapped_column(Json)
    created_by_id: Mapped[int | None] = mapped_column(ForeignKey("users.id"))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utcnow)

    campaign: Mapped[Campaign] = relationship(lazy="joined", innerjoin=True)


class DataSet(Base):
    """A registered file of rows for pre-training, fine-tuning or prompting, known by its hash."""

    __tablename__ = "data_sets"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(64), unique=True)
    kind: Mapped[DataSetKind] = mapped_column(choice(DataSetKind))
    path: Mapped[str] = mapped_column(String(512))
    sha256: Mapped[str] = mapped_column(String(64))
    rows: Mapped[int]
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utcnow)


class Run(Base):
    """One training. ``token`` grows with every claim; ``live_key`` keeps the same run from being started twice.

    ``submission`` counts what was handed to an engine that is not held, and ``external_id`` is what that calls the job;
    ``records_read`` and ``log_read`` say how far its files were carried into the database, in bytes.
    """

    __tablename__ = "runs"
    __table_args__ = (
        Index(
            "uq_runs_live_key",
            "live_key",
            unique=True,
            sqlite_where=text("state IN ('queued', 'running')"),
            postgresql_where=text("state IN ('queued', 'running')"),
        ),
        Index("ix_runs_state", "state", "created_at"),
        CheckConstraint("attempts >= 0", name="attempts_not_negative"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[RunKind] = mapped_column(choice(RunKind))
    name: Mapped[str] = mapped_column(String(128))
    snapshot_id: Mapped[int | None] = mapped_column(ForeignKey("snapshots.id"))
    data_set_id: Mapped[int | None] = mapped_column(ForeignKey("data_sets.id"))
    config: Mapped[dict[str, Any]] = mapped_column(Json)
    live_key: Mapped[str] = mapped_column(String(64))
    state: Mapped[RunState] = mapped_column(choice(RunState), default=RunState.QUEUED)
    token: Mapped[int] = mapped_column(default=0)
    attempts: Mapped[int] = mapped_column(default=0)
    worker: Mapped[str | None] = mapped_column(String(128))
    leased_until: Mapped[datetime | None] = mapped_column(UtcDateTime)
    launcher: Mapped[str] = mapped_column(String(64), default="local")
    engine: Mapped[Engine] = mapped_column(choice(Engine), default=Engine.LOCAL)
    submission: Mapped[int] = mapped_column(default=0)
    external_id: Mapped[str | None] = mapped_column(String(128))
    records_read: Mapped[int] = mapped_column(BigInteger, default=0)
    log_read: Mapped[int] = mapped_column(BigInteger, default=0)
    cancel_requested: Mapped[bool] = mapped_column(default=False)
    step: Mapped[int] = mapped_column(default=0)
    steps: Mapped[int] = mapped_column(default=0)
    phase: Mapped[str] = mapped_column(String(64), default="")
    result: Mapped[dict[str, Any] | None] = mapped_column(Json)
    error: Mapped[str | None] = mapped_column(Text)
    created_by_id: Mapped[int | None] = mapped_column(ForeignKey("users.id"))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utcnow)
    started_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    finished_at: Mapped[datetime | None] = mapped_column(UtcDateTime)

    snapshot: Mapped[Snapshot | None] = relationship(lazy="joined")
    data_set: Mapped[DataSet | None] = relationship(lazy="joined")
    inputs: Mapped[list[RunInput]] = relationship(order_by="RunInput.role", lazy="selectin")
    created_by: Mapped[User | None] = relationship()

    @property
    def live(self) -> bool:
        """Whether the run still waits or works."""
        return self.state in LIVE_STATES

    @property
    def held(self) -> bool:
        """Whether its processes end with the worker that started them."""
        return self.engine in HELD_ENGINES


class RunInput(Base):
    """A checkpoint that a run starts from: its base, its policy before PPO, its reward model."""

    __tablename__ = "run_inputs"

    run_id: Mapped[int] = mapped_column(ForeignKey("runs.id"), primary_key=True)
    role: Mapped[CheckpointKind] = mapped_column(choice(CheckpointKind), primary_key=True)
    checkpoint_id: Mapped[int] = mapped_column(ForeignKey("checkpoints.id"))

    checkpoint: Mapped[Checkpoint] = relationship(lazy="joined", innerjoin=True)


class RunRecord(Base):
    """One line that the training wrote: metrics at a step, or an event such as a gradient spike."""

    __tablename__ = "run_records"

    run_id: Mapped[int] = mapped_column(ForeignKey("runs.id"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    step: Mapped[int]
    event: Mapped[str | None] = mapped_column(String(64))
    values: Mapped[dict[str, Any]] = mapped_column(Json)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utcnow)


class RunLog(Base):
    """A piece of what the training printed, in order."""

    __tablename__ = "run_logs"

    run_id: Mapped[int] = mapped_column(ForeignKey("runs.id"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    text: Mapped[str] = mapped_column(Text)


class Checkpoint(Base):
    """A folder of weights: of a run, or a base model registered from a local folder (``run_id`` is None).

    ``lineage`` is what the folder's own lineage.json says: snapshot, base, config, seed, versions.
    """

    __tablename__ = "checkpoints"

    id: Mapped[int] = mapped_column(primary_key=True)
    run_id: Mapped[int | None] = mapped_column(ForeignKey("runs.id"), index=True)
    name: Mapped[str] = mapped_column(String(64), unique=True)
    kind: Mapped[CheckpointKind] = mapped_column(choice(CheckpointKind))
    path: Mapped[str] = mapped_column(String(512))
    sha256: Mapped[str] = mapped_column(String(64))
    step: Mapped[int] = mapped_column(default=0)
    lineage: Mapped[dict[str, Any]] = mapped_column(Json, default=dict)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utcnow)


class Worker(Base):
    """A process that listens for work, as of when it was last heard of."""

    __tablename__ = "workers"

    name: Mapped[str] = mapped_column(String(128), primary_key=True)
    queue: Mapped[str] = mapped_column(String(32))
    seen_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utcnow)
