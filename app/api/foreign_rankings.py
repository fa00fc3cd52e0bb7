"""Rankings made with the RLHF-Label-Tool, for the admin's programs to bring in, mended where that is asked for."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel, Field

from annotation.store import foreign_rankings
from app.api.campaigns import file_sent, in_row
from app.api.problems import ProblemError
from app.api.shapes import Words
from app.deps import Admin, CampaignSeen, Data
from app.words import N_

router = APIRouter(tags=["campaigns"])

NOTHING_IMPORTED = N_("Nothing was imported: mend the rows under errors, and send the table again.")
TABLE_BODY = {
    "requestBody": {
        "required": True,
        "description": "The table itself, as docs/formats.md describes it",
        "content": {"text/tab-separated-values": {"schema": {"type": "string", "format": "binary"}}},
    }
}


class RankingsReport(BaseModel):
    """What an import of rankings did."""

    rankings: int = Field(description="Rankings added")
    numbered: int = Field(description="Of how many it is known which response is which")
    differing: int = Field(description="How many of those the table holds inverted")
    mended: bool = Field(description="Whether those were put right")


@router.post("/campaigns/{campaign_id}/rankings", openapi_extra=TABLE_BODY)
def import_rankings(
    request: Request,
    user: Admin,
    campaign: CampaignSeen,
    database: Data,
    data: Annotated[bytes, Depends(file_sent)],
    annotator: Annotated[Words, Query(max_length=foreign_rankings.LONGEST_NAME, description="Who made them")],
    mend: Annotated[bool, Query(description="Put right what the tool stores inverted")] = False,
    source: Annotated[Words, Query(max_length=256, description="What the file is called")] = "api",
) -> RankingsReport:
    """Import a table of rankings of the RLHF-Label-Tool: all of it, or nothing and a report of what does not fit.

    To have them mended, import the tool's input file first, as dialogues: it says which response is which.
    """
    done = foreign_rankings.bring(
        database, campaign, data, annotator=annotator, mend=mend, source=source, actor_id=user.id
    )
    if done.problems:
        raise ProblemError(422, NOTHING_IMPORTED, errors=[in_row(request, each) for each in done.problems])
    return RankingsReport(rankings=done.rankings, numbered=done.numbered, differing=done.differing, mended=done.mended)
