"""What a run will take, shown beside the form that starts it."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from annotation.refusals import Refused
from annotation.run_tables import RunKind
from app.deps import Admin, Reading
from app.planning import planned
from app.render import page, say
from app.routes.runs import settings_from
from app.words import N_
from rlhf.config import CONFIGS, ConfigError

router = APIRouter(prefix="/admin/plan")

UNFIT = N_("A setting does not fit yet: the memory that the run takes stands here once it does.")


@router.get("/{kind}")
def show(request: Request, kind: RunKind, _user: Admin, session: Reading) -> HTMLResponse:
    """The memory of the run that the form's fields describe, or why it cannot be said."""
    values = dict(request.query_params)
    try:
        settings = CONFIGS[kind.value].of(settings_from(values, CONFIGS[kind.value]))
        return page(request, "admin/_plan.html", refused="", **planned(session, settings, values))
    except ConfigError:
        return page(request, "admin/_plan.html", refused=say(request, UNFIT))
    except Refused as refusal:
        return page(request, "admin/_plan.html", refused=say(request, refusal.message, **refusal.parts))
