"""The campaign on which an admin's pages are timed."""

from __future__ import annotations

import random

from annotation.db import Database, utcnow
from annotation.store import campaigns, statistics
from annotation.tables import TurnState
from bench.seed import Size, seed
from bench.statistics_pages import decide


def test_most_of_what_was_contested_is_decided_and_every_part_has_figures(database: Database) -> None:
    seeded = seed(database, Size(60, 5, annotators=4, agreed=0.4))
    waiting = decide(database, random.Random(0))
    with database.reading() as session:
        states = campaigns.progress(session, seeded.campaign_id).by_state
        assert states[TurnState.CONTESTED] == waiting
        assert states[TurnState.SETTLED] == 60 - waiting
        assert 0 < waiting < 30
        campaign = campaigns.get(session, seeded.campaign_id)
        for part in set(statistics.SECTIONS) - {"measuring"}:
            assert statistics.section(session, campaign, part, utcnow().date()).tables
