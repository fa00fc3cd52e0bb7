"""Pipelines: several stages, each started when the one before it has succeeded."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse

from annotation.refusals import Invalid
from annotation.store import pipelines
from app.deps import Admin, Data, Launchers, Reading, SubmittedForm
from app.pipelines import offered, steps_of
from app.render import page
from app.routes.runs import problems_of
from rlhf.config import ConfigError
from workers.queue import wake

router = APIRouter(prefix="/admin/pipelines")


@router.get("/new")
def show_new(request: Request, _user: Admin, session: Reading, known: Launchers) -> HTMLResponse:
    """The form: which steps, from what, with which settings."""
    return page(request, "admin/pipeline_new.html", **offered(session), launchers=known, values={}, problems=[])


@router.post("/new")
def start(request: Request, user: Admin, database: Data, form: SubmittedForm, known: Launchers) -> Response:
    """Queues the first step, which brings the others after it."""
    values = {name: str(value) for name, value in form.items()}
    try:
        with database.writing() as session:
            run = pipelines.start(session, steps_of(session, values, known), actor_id=user.id)
            session.flush()
    except (ConfigError, Invalid) as refusal:
        said = problems_of(request, refusal)
        with database.reading() as session:
            context = offered(session) | {"launchers": known, "values": values, "problems": said}
            return page(request, "admin/pipeline_new.html", status=422, **context)
    wake(request.app.state.queue, run.id, held=run.held)
    return RedirectResponse(f"/admin/runs/{run.id}", status_code=303)
