"""Runs of the training: started, watched, cancelled, compared."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse
from pydantic.fields import FieldInfo

from annotation.refusals import Invalid, Missing
from annotation.run_tables import CheckpointKind, DataSet, DataSetKind, Engine, Run, RunKind
from annotation.store import campaigns, data_sets, runs, scores, second_look, seeds, snapshots
from annotation.store.data_sets import MIXTURE
from annotation.store.pipelines import PIPELINE
from annotation.store.runs import NewRun
from annotation.tables import TurnState
from app import misfits, mixture, planning, reward_view
from app.deps import Admin, Data, Launchers, Reading, RunSeen, SubmittedForm, WebSettings, Writing
from app.figures import SOURCES
from app.render import page, say
from app.settings import Settings
from app.words import N_
from rlhf.config import CONFIGS, ConfigError
from rlhf.config import Settings as StageSettings
from rlhf.records import read_rows
from workers.launchers.config import LOCAL
from workers.launchers.dry_run import submission
from workers.queue import CONTROL, TRAINING, wake

router = APIRouter(prefix="/admin/runs")

SHOWN_SAMPLES = 60


@dataclass(frozen=True)
class Needs:
    """What a stage starts from; ``data`` is the kind of data set, which is optional where ``data_optional``.

    ``campaign`` names the states of the turns that are worked on; none where the stage works on no campaign.
    """

    snapshot: bool = False
    snapshot_optional: bool = False
    data: DataSetKind | None = None
    data_optional: bool = False
    models: tuple[CheckpointKind, ...] = ()
    optional_models: tuple[CheckpointKind, ...] = ()
    campaign: tuple[TurnState, ...] = ()


SAID_BY_THE_CAMPAIGN = {"k"}
NEEDS = {
    RunKind.PRETRAIN: Needs(data=DataSetKind.CORPUS, optional_models=(CheckpointKind.BASE,)),
    RunKind.SFT: Needs(snapshot_optional=True, data=DataSetKind.DIALOGUES, models=(CheckpointKind.BASE,)),
    RunKind.GENERATE: Needs(
        campaign=(TurnState.NEEDS_RESPONSES,),
        models=(CheckpointKind.BASE,),
        optional_models=(CheckpointKind.POLICY,),
    ),
    RunKind.REWARD: Needs(snapshot=True, models=(CheckpointKind.BASE,)),
    RunKind.PPO: Needs(
        snapshot=True,
        data=DataSetKind.PROMPTS,
        data_optional=True,
        models=(CheckpointKind.BASE, CheckpointKind.REWARD),
        optional_models=(CheckpointKind.POLICY,),
    ),
    RunKind.EVALUATE: Needs(
        snapshot=True,
        models=(CheckpointKind.BASE, CheckpointKind.REWARD),
        optional_models=(CheckpointKind.POLICY,),
    ),
    RunKind.SCORE: Needs(
        campaign=(*scores.UNSETTLED, TurnState.SETTLED),
        models=(CheckpointKind.BASE, CheckpointKind.REWARD),
    ),
}


@router.get("")
def list_runs(request: Request, _user: Admin, session: Reading) -> HTMLResponse:
    """Every run, newest first."""
    return page(
        request,
        "admin/runs.html",
        runs=runs.every(session),
        kinds=list(RunKind),
        listening=runs.listening(session, TRAINING),
    )


@router.get("/new/{kind}")
def show_new(request: Request, kind: RunKind, _user: Admin, session: Reading, known: Launchers) -> HTMLResponse:
    """The form for a new run: what it starts from, its settings, and where it is to run."""
    return page(request, "admin/run_new.html", **_form_context(session, kind, known), values={}, problems=[])


@router.post("/new/{kind}")
def start(
    request: Request, kind: RunKind, user: Admin, database: Data, form: SubmittedForm, known: Launchers
) -> Response:
    """Queues the run and wakes a worker once the row is committed."""
    values = {name: str(value) for name, value in form.items()}
    try:
        settings = CONFIGS[kind.value].of(settings_from(values, CONFIGS[kind.value]))
        with database.writing() as session:
            run = runs.start(session, wanted(session, kind, values, settings, known), actor_id=user.id)
            session.flush()
    except (ConfigError, Invalid) as refusal:
        with database.reading() as session:
            context = _form_context(session, kind, known) | {
                "values": values,
                "problems": problems_of(request, refusal),
            }
            return page(request, "admin/run_new.html", status=422, **context)
    wake(request.app.state.queue, run.id, held=run.held)
    return RedirectResponse(f"/admin/runs/{run.id}", status_code=303)


def problems_of(request: Request, refusal: ConfigError | Invalid) -> list[tuple[str, str]]:
    """What does not fit, each with the setting where it is one of a single setting."""
    said = partial(say, request)
    if isinstance(refusal, Invalid):
        return [("", said(refusal.message, **refusal.parts))]
    return [(".".join(map(str, each["loc"])), misfits.sentence(said, each)) for each in misfits.unfit(refusal)]


@router.get("/{run_id}")
def show(request: Request, run: RunSeen, session: Reading, settings: WebSettings) -> HTMLResponse:
    """One run: what, with what, by what, how far, how well."""
    return page(request, "admin/run.html", **_run_context(session, run), submission=submission(settings, run))


@router.get("/{run_id}/live")
def live(request: Request, run: RunSeen, session: Reading) -> HTMLResponse:
    """What of a run changes while it works."""
    return page(request, "admin/_run_live.html", **_run_context(session, run))


@router.get("/{run_id}/curves")
def curves(run: RunSeen, session: Reading) -> JSONResponse:
    """Every metric that a run shows as two lists: steps and values."""
    names = [name for chart in CHARTS.get(run.kind, []) for name in chart["series"]]
    measured = {name: runs.curve(session, run.id, name) for name in names}
    return JSONResponse(
        {name: {"steps": [s for s, _ in c], "values": [v for _, v in c]} for name, c in measured.items() if c}
    )


@router.post("/{run_id}/cancel")
def cancel(run_id: int, user: Admin, session: Writing) -> Response:
    """Asks for the end of a run."""
    runs.cancel(session, run_id, actor_id=user.id)
    return RedirectResponse(f"/admin/runs/{run_id}", status_code=303)


@router.get("/{run_id}/comparison")
def comparison(request: Request, run: RunSeen, settings: WebSettings) -> HTMLResponse:
    """The same questions answered before and after, those that changed most first."""
    file = samples_of(settings, run)
    samples = list(islice(read_rows(file), SHOWN_SAMPLES))
    return page(request, "admin/comparison.html", run=run, samples=samples)


def samples_of(settings: Settings, run: Run) -> Path:
    """The file of what a run has answered before and after; raises Missing where it compared nothing."""
    file = settings.runs / str(run.id) / "samples.jsonl"
    if not file.exists():
        raise Missing("This run has no answers to compare.")
    return file


def _run_context(session: Reading, run: Run) -> dict[str, Any]:
    left = runs.checkpoint_of(session, run.id)
    return {
        "run": run,
        "events": runs.events_of(session, run.id),
        "log": runs.log_tail(session, run.id),
        "checkpoint": left,
        "listening": runs.listening(session, TRAINING if run.held else CONTROL),
        "charts": CHARTS.get(run.kind, []),
        "campaign": campaigns.get(session, run.config["campaign_id"]) if "campaign_id" in run.config else None,
        "linked": _linked(session, run),
        "mixture": data_sets.mixture_of(session, run),
        "pipeline": run.config.get(PIPELINE),
        "earlier": [runs.get(session, number) for number in run.config.get(PIPELINE, {}).get("earlier", ())],
        "second_look": second_look.waiting(session, run),
        "of_seeds": seeds.with_other_seeds(session, run) if run.kind is RunKind.REWARD else [],
        "reward_view": reward_view,
        "sources": SOURCES,
    }


def _linked(session: Reading, run: Run) -> dict[tuple[str, int], int]:
    """The turns that a run names for a second look, by dialogue and number."""
    named = {(each["dialogue"], each["number"]) for each in (run.result or {}).get("disagreements", [])}
    return scores.turn_ids(session, run.snapshot.campaign_id, named) if named and run.snapshot else {}


CHARTS: dict[RunKind, list[dict[str, Any]]] = {
    RunKind.PRETRAIN: [{"title": N_("Loss"), "series": ["loss"]}],
    RunKind.SFT: [{"title": N_("Loss"), "series": ["loss"]}],
    RunKind.REWARD: [
        {"title": N_("Loss"), "series": ["loss", "eval_loss"]},
        {"title": N_("Pair accuracy"), "series": ["accuracy", "eval_accuracy"]},
    ],
    RunKind.PPO: [
        {"title": N_("Score of the rollouts"), "series": ["rollout/score"]},
        {"title": N_("KL from the reference, nats a response"), "series": ["rollout/kl"]},
        {"title": N_("Response length, tokens"), "series": ["rollout/response_tokens"]},
        {"title": N_("Responses that ended"), "series": ["rollout/ended"]},
        {"title": N_("Policy and value loss"), "series": ["policy_loss", "value_loss"]},
        {"title": N_("Clipped tokens"), "series": ["clipped_share"]},
    ],
}


def _form_context(session: Reading, kind: RunKind, known: Launchers) -> dict[str, Any]:
    needs = NEEDS[kind]
    waiting = [
        (campaign, sum(progress.count(state) for state in needs.campaign))
        for campaign in campaigns.every(session)
        if needs.campaign and (progress := campaigns.progress(session, campaign.id))
    ]
    policies = runs.checkpoints(session, CheckpointKind.POLICY)
    return {
        "kind": kind,
        "needs": needs,
        "fine_tuned": next((each.id for each in policies if each.lineage.get("stage") == RunKind.SFT), ""),
        "kinds": list(RunKind),
        "launchers": known,
        "snapshots": snapshots.every(session),
        "data_sets": data_sets.every(session, needs.data) if needs.data else [],
        "mixed": needs.data in mixture.MIXED,
        "models": {model: runs.checkpoints(session, model) for model in (*needs.models, *needs.optional_models)},
        "campaigns": [(campaign, count) for campaign, count in waiting if count],
        "settings": _described(CONFIGS[kind.value]),
        **planning.gpus(),
    }


def _described(config: type[StageSettings]) -> list[dict[str, Any]]:
    """The settings of a stage as the form shows them."""
    return [
        {
            "name": name,
            "default": field.default,
            "description": field.description or "",
            "choices": _choices(field),
            "flag": field.annotation is bool,
        }
        for name, field in config.model_fields.items()
        if name not in SAID_BY_THE_CAMPAIGN
    ]


def _choices(field: FieldInfo) -> list[str]:
    return [str(choice) for choice in getattr(field.annotation, "__args__", ())]


def settings_from(values: dict[str, str], config: type[StageSettings]) -> dict[str, Any]:
    """The settings that a form says; an empty field is the default, a missing flag is off."""
    told: dict[str, Any] = {}
    for name, field in config.model_fields.items():
        value = values.get(f"set-{name}", "")
        if field.annotation is bool:
            told[name] = value == "on"
        elif value.strip():
            told[name] = value.strip()
    return told


def wanted(
    session: Writing,
    kind: RunKind,
    values: dict[str, str],
    settings: StageSettings,
    known: Launchers,
    made: Collection[CheckpointKind] = (),
) -> NewRun:
    """The run that a form describes; raises Invalid where something it starts from is not chosen.

    Models that are ``made`` before it begins are not asked for.
    """
    needs = NEEDS[kind]
    config = settings.model_dump(mode="json")
    if needs.campaign:
        campaign = campaigns.get(session, _chosen(values, "campaign"))
        config |= {"campaign_id": campaign.id} | dict.fromkeys(SAID_BY_THE_CAMPAIGN & config.keys(), campaign.k)
    asked = [model for model in needs.models if model not in made]
    inputs = {model: runs.checkpoint(session, _chosen(values, model.value)).id for model in asked}
    for model in needs.optional_models:
        if values.get(model.value) and model not in made:
            inputs[model] = runs.checkpoint(session, _chosen(values, model.value)).id
    snapshot = None
    if needs.snapshot or (needs.snapshot_optional and values.get("snapshot")):
        snapshot = snapshots.get(session, _chosen(values, "snapshot"))
    data: DataSet | None = None
    mixed = mixture.told(session, needs.data, values) if needs.data in mixture.MIXED else {}
    if mixed:
        config |= {MIXTURE: mixed}
        data = data_sets.get(session, int(next(iter(mixed))))
    elif needs.data and (values.get("data") or not needs.data_optional):
        data = data_sets.get(session, _chosen(values, "data"))
    return NewRun(
        kind=kind,
        name=values.get("name", "").strip()[:128],
        config=config,
        snapshot_id=snapshot.id if snapshot else None,
        data_set_id=data.id if data else None,
        inputs=inputs,
        **_launched(values, known),
    )


def _launched(values: dict[str, str], known: Launchers) -> dict[str, Any]:
    """On which launcher; the form says its name, and nothing else of it."""
    name = values.get("launcher") or LOCAL
    if name not in known:
        raise Invalid("There is no launcher named {name}: choose another one.", name=name)
    return {"launcher": name, "engine": Engine(known[name].engine)}


def _chosen(values: dict[str, str], name: str) -> int:
    value = values.get(name, "")
    if not value.isdecimal():
        raise Invalid("Choose what the run starts from: {name}.", name=name)
    return int(value)
