"""What a reward model contradicts, handed to the blind audits."""

from __future__ import annotations

from fastapi import APIRouter, Response
from fastapi.responses import RedirectResponse

from annotation.store import second_look
from app.deps import Admin, RunSeen, Writing

router = APIRouter(prefix="/admin/runs/{run_id}/second-look")


@router.post("")
def hand_over(user: Admin, run: RunSeen, session: Writing) -> Response:
    """Hands over the turns that both doctors agreed on."""
    second_look.hand_over(session, run.id, actor_id=user.id)
    return RedirectResponse(f"/admin/runs/{run.id}#second-look", status_code=303)
