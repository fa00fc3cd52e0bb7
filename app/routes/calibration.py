"""A calibration round: begun, revealed and closed by the admin, looked at by all who ranked it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Form, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse

from annotation.agreement import Statistic
from annotation.calibration import said_of, spoken_of
from annotation.comparison import figures, figures_by_ability
from annotation.measure_tables import CalibrationRound
from annotation.people_tables import Role
from annotation.ranking import LETTERS
from annotation.store import calibration, campaigns
from annotation.store.calibration import Case
from app.deps import Admin, CampaignChanged, CurrentUser, Reading, Writing
from app.render import page

router = APIRouter()


def round_seen(round_id: int, user: CurrentUser, session: Reading) -> CalibrationRound:
    """A round, for the admin at any time, for who ranks in its campaign once it is revealed."""
    if user.role is Role.ADMIN:
        return calibration.get(session, round_id)
    return calibration.seen_by(session, user, round_id)


def round_changed(round_id: int, _user: Admin, session: Writing) -> CalibrationRound:
    """A round, for the admin to change."""
    return calibration.get(session, round_id)


RoundSeen = Annotated[CalibrationRound, Depends(round_seen)]
RoundChanged = Annotated[CalibrationRound, Depends(round_changed)]


@router.post("/admin/campaigns/{campaign_id}/calibration")
def begin(
    user: Admin,
    campaign: CampaignChanged,
    session: Writing,
    name: Annotated[str, Form(max_length=128)],
    turns: Annotated[int, Form()] = 20,
) -> Response:
    """Begins a round."""
    begun = calibration.begin(session, campaign, name.strip(), turns, actor_id=user.id)
    return RedirectResponse(f"/calibration/{begun.id}", status_code=303)


@router.get("/calibration/{round_id}")
def show(request: Request, user: CurrentUser, found: RoundSeen, session: Reading) -> HTMLResponse:
    """How far a round is and, once it is revealed, its rankings side by side, with the agreement before and after."""
    campaign = campaigns.get(session, found.campaign_id)
    cases = calibration.cases(session, found)
    sides = calibration.agreement(cases)
    names = calibration.pseudonyms(found, cases)
    revealed = found.revealed_at is not None
    return page(
        request,
        "calibration.html",
        round=found,
        campaign=campaign,
        members=campaigns.members(session, found.campaign_id),
        turns=len(cases),
        done=calibration.done(cases),
        statistics=[each for each in Statistic if each not in (Statistic.ALPHA, Statistic.STRICT)],
        figures=[figures(side, campaign.k) for side in sides],
        by_ability=[figures_by_ability(side, campaign.k) for side in sides],
        names=names,
        cases=[_shown(case, user.id, names) for case in cases] if revealed else [],
    )


@router.post("/calibration/{round_id}/reveal")
def reveal(user: Admin, found: RoundChanged, session: Writing) -> Response:
    """Shows everyone's rankings to everyone."""
    calibration.reveal(session, found, actor_id=user.id)
    return RedirectResponse(f"/calibration/{found.id}", status_code=303)


@router.post("/calibration/{round_id}/close")
def close(user: Admin, found: RoundChanged, session: Writing) -> Response:
    """Ends the round."""
    calibration.close(session, found, actor_id=user.id)
    return RedirectResponse(f"/calibration/{found.id}", status_code=303)


def _shown(case: Case, viewer_id: int, names: Mapping[int, int]) -> dict[str, Any]:
    """A turn in the letters that are everybody's since the reveal, its people in the order of their pseudonyms."""
    letters = {response: LETTERS[place] for place, response in enumerate(case.order)}

    def group(responses: tuple[int, ...]) -> str:
        return " = ".join(sorted(letters[response] for response in responses))

    said = {
        ability: {
            person: (
                [(group(upper), group(lower)) for upper, lower in said_of(ranking, ability).decides],
                sorted(letters[response] for response in said_of(ranking, ability).marked),
            )
            for person, ranking in case.after.items()
        }
        for ability in spoken_of(case.after)
    }
    return {
        "turn": case.turn,
        "own": case.assignments.get(viewer_id),
        "responses": [(letters[number], case.turn.responses[number]) for number in case.order],
        "orders": {
            person: (_order(case.before.get(person), group), _order(case.after[person], group))
            for person in sorted(case.after, key=lambda each: names[each])
        },
        "none": {person for person, ranking in case.after.items() if ranking.none_acceptable},
        "said": said,
    }


def _order(ranking: Any, group: Any) -> str:
    return "" if ranking is None else " > ".join(group(responses) for responses in ranking.groups)
