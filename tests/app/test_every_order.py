"""Every order there is goes from the form through database and snapshot to the pairs that a model learns from."""

from __future__ import annotations

import re
from itertools import combinations
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from annotation.db import Database
from annotation.ranking import LETTERS, weak_orders
from annotation.store import campaigns, imports, snapshots
from annotation.tables import Campaign
from app.settings import Settings
from rlhf.data import Snapshot
from tests.app.conftest import Browse
from tests.material import dialogue
from tests.visitors import fields_of

CARD = re.compile(r'data-letter="([a-e])".*?<div class="said text">d(\d+) 回答1(.)</div>', re.DOTALL)
NAMES = "甲乙丙丁"


@pytest.mark.parametrize("ties", [False, True], ids=["24 strict orders", "75 weak orders"])
def test_every_order_of_four_arrives_as_the_pairs_it_means(
    browse: Browse, database: Database, campaign: Campaign, settings: Settings, tmp_path: Path, ties: bool
) -> None:
    orders = [{each: n for n, group in enumerate(order, 1) for each in group} for order in weak_orders(4, ties=ties)]
    with database.writing() as session:
        campaigns.get(session, campaign.id).ties_allowed = ties
        given = [dialogue(f"d{number}") for number in range(len(orders))]
        imports.add(session, campaign, given, source="t", actor_id=None)
    for login in ("li", "wang"):
        rank_all(browse(login), campaign, orders)

    snapshot_id = snapshots.freeze(database, campaign.id, tmp_path / "frozen", actor_id=None)
    with database.reading() as session:
        frozen = Snapshot.load(Path(snapshots.get(session, snapshot_id).folder))

    assert len(frozen.turns) == len(orders) == (75 if ties else 24)
    for turn in frozen.turns:
        place = orders[int(turn.dialogue.removeprefix("d"))]
        meant = {
            pair for i, j in combinations(range(4), 2) for pair in ((i, j), (j, i)) if place[pair[0]] < place[pair[1]]
        }
        assert {(pair.better, pair.worse) for pair in turn.pairs} == meant
        assert len(turn.pairs) == len(meant)
        assert [text[-1] for text in turn.responses] == list(NAMES)


def rank_all(client: TestClient, campaign: Campaign, orders: list[dict[int, int]]) -> None:
    """Fills the form of each turn by what stands on the page: the order of the turn's own number."""
    for _ in orders:
        path = client.post(f"/rank/{campaign.id}/next").headers["location"]
        page = client.get(path).text
        cards = CARD.findall(page)
        place = orders[int(cards[0][1])]
        assert [letter for letter, _, _ in cards] == [each.lower() for each in LETTERS[:4]]
        places = {f"place-{letter}": str(place[NAMES.index(name)]) for letter, _, name in cards}
        abilities = {f"ability-{n}": "1" for n in range(1, max(place.values()))}
        answer = client.post(f"{path}/ranking", data={**fields_of(page), **places, **abilities, "acts": "9"})
        assert answer.status_code == 303, answer.text
