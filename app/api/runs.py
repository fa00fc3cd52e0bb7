"""Runs of the training and what they start from, for the admin's programs."""

from __future__ import annotations

from datetime import datetime
from itertools import islice
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel, Field

from annotation.run_tables import CheckpointKind, DataSetKind, Run, RunKind, RunState
from annotation.store import data_sets, listing, runs
from app import registering
from app.api.campaigns import FILE_BODY, file_sent
from app.api.paging import Cursor, Limit, Page, number_in, page_of, place_in
from app.api.problems import MISFIT, ProblemError, misfitting
from app.api.shapes import Exchange, Given, Words
from app.deps import Admin, Data, Launchers, Reading, RunSeen, WebSettings, Writing
from app.misfits import unfit
from app.routes.runs import NEEDS, samples_of, wanted
from rlhf.config import CONFIGS, ConfigError
from rlhf.records import read_rows
from workers.queue import TRAINING, wake

router = APIRouter(tags=["runs"])


class RunShape(BaseModel):
    """One training, and how far it is."""

    id: int
    kind: RunKind
    name: str
    state: RunState
    snapshot_id: int | None
    data_set_id: int | None
    models: dict[CheckpointKind, int] = Field(description="The models that it starts from")
    config: dict[str, Any]
    step: int
    steps: int
    phase: str
    attempts: int
    launcher: str
    external_id: str | None = Field(description="What its engine calls the job, where it has one")
    cancel_requested: bool
    result: dict[str, Any] | None
    error: str | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None


class NewRun(Given):
    """A run to start; what it needs besides its settings depends on its kind."""

    kind: RunKind
    name: Words = Field("", max_length=128)
    settings: dict[Words, Any] = Field(default_factory=dict, description="Those of the stage; left out: the defaults")
    campaign_id: int | None = Field(None, description="Whose turns are worked on")
    snapshot_id: int | None = None
    data_set_id: int | None = None
    models: dict[CheckpointKind, int] = Field(
        default_factory=dict, description="By what they are: base, policy, reward"
    )
    launcher: Words = Field("local", max_length=64, description="Where it is to run: a name that the operator gave")


class RecordShape(BaseModel):
    """Metrics at a step, or an event."""

    number: int
    step: int
    event: str | None
    values: dict[str, Any]
    created_at: datetime


class LogShape(BaseModel):
    """The end of what a run has printed."""

    text: str


class Answered(BaseModel):
    """What a model answered, and what the reward model says of it."""

    text: str
    score: float
    tokens: int
    ended: bool = Field(description="Whether the answer came to its end by itself")
    kl: float = Field(description="Divergence from the model before, nats a response")


class Compared(BaseModel):
    """A held-out prompt answered before the training and after it, drawn with the same seed."""

    dialogue: str
    number: int = Field(description="Which turn of the dialogue, from 1")
    department: str
    history: list[Exchange]
    message: str
    before: Answered
    after: Answered


class WorkerShape(BaseModel):
    """A training worker that was heard of lately."""

    name: str
    seen_at: datetime


class StageShape(BaseModel):
    """A kind of run: what it starts from, and its settings."""

    kind: RunKind
    snapshot: Literal["required", "optional"] | None
    data_set: Literal["required", "optional"] | None
    data_set_kind: DataSetKind | None = Field(description="What the rows of its data set are")
    campaign: bool = Field(description="Whether it works on the turns of a campaign")
    models: list[CheckpointKind] = Field(description="The models that it needs")
    optional_models: list[CheckpointKind]
    settings: dict[str, Any] = Field(description="The JSON schema of its settings, with their defaults")


class ModelShape(BaseModel):
    """A registered model."""

    id: int
    name: str
    kind: CheckpointKind
    run_id: int | None
    sha256: str
    step: int
    lineage: dict[str, Any]
    created_at: datetime


class DataSetShape(BaseModel):
    """A registered file of rows."""

    id: int
    name: str
    kind: DataSetKind
    sha256: str
    rows: int
    created_at: datetime


@router.get("/runs")
def list_runs(
    _user: Admin,
    session: Reading,
    kind: RunKind | None = None,
    state: RunState | None = None,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> Page[RunShape]:
    """Every run, newest first."""
    rows = listing.runs(session, kind, state, number_in(cursor), limit + 1)
    return page_of(rows, limit, _shown, lambda row: (row.id,))


@router.post("/runs", status_code=201)
def start_run(request: Request, user: Admin, database: Data, given: NewRun, known: Launchers) -> RunShape:
    """Start a run; the same one that still waits or works is returned instead of a second."""
    try:
        settings = CONFIGS[given.kind.value].of(given.settings)
    except ConfigError as error:
        raise _misfit(request, error) from error
    with database.writing() as session:
        run = runs.start(session, wanted(session, given.kind, _values(given), settings, known), actor_id=user.id)
        session.flush()
        shown = _shown(run)
    wake(request.app.state.queue, run.id, held=run.held)
    return shown


@router.get("/runs/{run_id}")
def get_run(run: RunSeen) -> RunShape:
    """One run."""
    return _shown(run)


@router.post("/runs/{run_id}/cancel")
def cancel_run(run_id: int, user: Admin, session: Writing) -> RunShape:
    """Ask for the end of a run."""
    return _shown(runs.cancel(session, run_id, actor_id=user.id))


@router.get("/runs/{run_id}/records")
def list_records(
    run: RunSeen,
    session: Reading,
    cursor: Cursor = None,
    limit: Annotated[int, Query(ge=1, le=1000, description="How many at most")] = 200,
) -> Page[RecordShape]:
    """What a run has measured, in order."""
    rows = listing.records(session, run.id, number_in(cursor), limit + 1)
    names = RecordShape.model_fields
    return page_of(
        rows, limit, lambda row: RecordShape(**{n: getattr(row, n) for n in names}), lambda row: (row.number,)
    )


@router.get("/runs/{run_id}/log")
def get_log(run: RunSeen, session: Reading) -> LogShape:
    """The end of what a run has printed."""
    return LogShape(text=runs.log_tail(session, run.id))


@router.get("/runs/{run_id}/comparison")
def list_compared(run: RunSeen, settings: WebSettings, cursor: Cursor = None, limit: Limit = 50) -> Page[Compared]:
    """The same questions answered before and after a run, those whose score changed most first."""
    begin = place_in(cursor)
    rows = list(islice(enumerate(read_rows(samples_of(settings, run)), start=1), begin, begin + limit + 1))
    return page_of(rows, limit, lambda row: _compared(row[1]), lambda row: (row[0],))


@router.get("/stages")
def list_stages(_user: Admin) -> list[StageShape]:
    """What each kind of run starts from, and the settings that it takes."""
    return [_stage(kind) for kind in RunKind]


@router.get("/workers")
def list_workers(_user: Admin, session: Reading) -> list[WorkerShape]:
    """The training workers that listen; where none does, runs wait."""
    return [WorkerShape(name=each.name, seen_at=each.seen_at) for each in runs.listening(session, TRAINING)]


@router.get("/models")
def list_models(
    _user: Admin,
    session: Reading,
    run_id: Annotated[int | None, Query(description="Only what this run left behind")] = None,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> Page[ModelShape]:
    """Every registered model, newest first."""
    rows = listing.models(session, run_id, number_in(cursor), limit + 1)
    names = ModelShape.model_fields
    return page_of(rows, limit, lambda row: ModelShape(**{n: getattr(row, n) for n in names}), lambda row: (row.id,))


@router.get("/data-sets")
def list_data_sets(_user: Admin, session: Reading, cursor: Cursor = None, limit: Limit = 50) -> Page[DataSetShape]:
    """Every registered data set, newest first."""
    rows = listing.data_sets(session, number_in(cursor), limit + 1)
    names = DataSetShape.model_fields
    return page_of(rows, limit, lambda row: DataSetShape(**{n: getattr(row, n) for n in names}), lambda row: (row.id,))


@router.post("/data-sets", status_code=201, openapi_extra=FILE_BODY)
def register_data_set(
    user: Admin,
    session: Writing,
    settings: WebSettings,
    data: Annotated[bytes, Depends(file_sent)],
    name: Annotated[Words, Query(max_length=64)],
    kind: DataSetKind,
) -> DataSetShape:
    """Register a file of rows; the body is the file itself."""
    kept = registering.keep_data(settings.data_sets, name, data, kind)
    made = data_sets.add(session, name, kind, str(kept.path), kept.sha256, kept.rows, actor_id=user.id)
    return DataSetShape(**{n: getattr(made, n) for n in DataSetShape.model_fields})


def _compared(row: dict[str, Any]) -> Compared:
    history = [Exchange(patient=patient, doctor=doctor) for patient, doctor in row["history"]]
    return Compared.model_validate(row | {"history": history})


def _stage(kind: RunKind) -> StageShape:
    needs = NEEDS[kind]
    return StageShape(
        kind=kind,
        snapshot="required" if needs.snapshot else "optional" if needs.snapshot_optional else None,
        data_set=None if needs.data is None else "optional" if needs.data_optional else "required",
        data_set_kind=needs.data,
        campaign=bool(needs.campaign),
        models=list(needs.models),
        optional_models=list(needs.optional_models),
        settings=CONFIGS[kind.value].model_json_schema(),
    )


def _misfit(request: Request, error: ConfigError) -> ProblemError:
    """Which settings cannot be, each with what was expected."""
    return ProblemError(422, MISFIT, errors=misfitting(request, unfit(error), "body", "settings"))


def _values(given: NewRun) -> dict[str, str]:
    """What a run starts from, as the form says it."""
    chosen = {"campaign": given.campaign_id, "snapshot": given.snapshot_id, "data": given.data_set_id}
    chosen |= {kind.value: number for kind, number in given.models.items()}
    return {"name": given.name, "launcher": given.launcher} | {
        name: str(number) for name, number in chosen.items() if number is not None
    }


def _shown(run: Run) -> RunShape:
    names = set(RunShape.model_fields) - {"models"}
    models = {each.role: each.checkpoint_id for each in run.inputs}
    return RunShape(**{name: getattr(run, name) for name in names}, models=models)
