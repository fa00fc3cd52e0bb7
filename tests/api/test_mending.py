"""A ranking that contradicts its marks comes back to its program with the mend, ready to be sent."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.testclient import TestClient

from annotation.tables import Campaign
from tests.api.conftest import ORDER, Program, reserve
from tests.api.test_access import is_problem

ABCD = [["A"], ["B"], ["C"], ["D"]]
Order = dict[str, Any]


@pytest.fixture
def li(program: Program) -> TestClient:
    return program("li")


@pytest.fixture
def place(li: TestClient, imported: Campaign) -> str:
    return f"/api/v1/assignments/{reserve(li, imported)['id']}"


def refused(client: TestClient, place: str, order: Order) -> dict[str, Any]:
    return is_problem(client.put(f"{place}/ranking", json={**order, "key": f"key-of-{place}"}), 422)


def accepted(client: TestClient, place: str, order: Order) -> Order:
    """Sends an order, and returns what is kept of it."""
    answer = client.put(f"{place}/ranking", json={**order, "key": f"key-of-{place}"})
    assert answer.status_code == 200, answer.text
    return dict(client.get(place).json()["ranking"])


def reasons(order: Order) -> list[int | None]:
    return [boundary["ability"] for boundary in order["boundaries"]]


def test_a_marked_response_sinks_below_all_that_is_no_worse_in_what_is_marked(li: TestClient, place: str) -> None:
    """A, marked in accuracy, stands above B by accuracy. C and D are below B by less, so accuracy puts A below them."""
    problem = refused(li, place, {**ORDER, "faults": {"A": [1]}})
    [found] = problem["errors"]
    assert (found["where"], found["pair"], found["ability"]) == ("faults", ["A", "B"], 1)
    assert found["message"].startswith("A stands above B, but has a fault in ability 1")
    mended = problem["mended"]
    assert (mended["groups"], reasons(mended), mended["faults"]) == (
        [["B"], ["C"], ["D"], ["A"]],
        [4, 9, 1],
        {"A": [1]},
    )
    assert found["mended"] == mended
    assert accepted(li, place, mended) == mended


def test_a_mark_on_the_lower_that_matters_more_decides_and_the_order_stays(li: TestClient, place: str) -> None:
    """D, marked in safety, stands below C by warm tone: the order is right, and safety is why."""
    problem = refused(li, place, {**ORDER, "faults": {"D": [2]}})
    assert [(each["pair"], each["ability"]) for each in problem["errors"]] == [(["C", "D"], 2)]
    assert (problem["mended"]["groups"], reasons(problem["mended"])) == (ABCD, [1, 4, 2])
    assert accepted(li, place, problem["mended"]) == problem["mended"]


def test_of_two_contradictions_each_has_its_own_mend_beside_that_of_both(li: TestClient, place: str) -> None:
    """C, marked in safety: it must decide below B, and C stands above D by less. The first mend leaves the second."""
    problem = refused(li, place, {**ORDER, "faults": {"C": [2]}})
    below_b, above_d = problem["errors"]
    assert (below_b["pair"], above_d["pair"]) == (["B", "C"], ["C", "D"])
    assert (below_b["mended"]["groups"], reasons(below_b["mended"])) == (ABCD, [1, 2, 9])
    assert [each["pair"] for each in refused(li, place, below_b["mended"])["errors"]] == [["C", "D"]]
    assert problem["mended"]["groups"] == [["A"], ["B"], ["D"], ["C"]]
    assert reasons(problem["mended"]) == [1, None, 2]  # what stands between B and D has to be said


def test_where_the_mend_leaves_open_what_decides_it_is_named_and_then_accepted(li: TestClient, place: str) -> None:
    """B and C are level, but B alone is marked in ethics: B moves below C, and who is beside whom has changed."""
    tied = {"groups": [["A"], ["C", "B"], ["D"]], "boundaries": [{"ability": 1}, {"ability": 2}], "faults": {"B": [3]}}
    problem = refused(li, place, tied)
    [found] = problem["errors"]
    assert (found["pair"], found["ability"]) == (["C", "B"], 3)
    mended = problem["mended"]
    assert (mended["groups"], reasons(mended)) == ([["A"], ["C"], ["B"], ["D"]], [None, 3, None])
    asked = refused(li, place, mended)
    assert [each["where"] for each in asked["errors"]] == ["boundaries.0", "boundaries.2"]
    assert "mended" not in asked
    mended["boundaries"][0]["ability"], mended["boundaries"][2]["ability"] = 1, 2
    assert reasons(accepted(li, place, mended)) == [1, 3, 2]


def test_the_letters_of_a_mend_are_those_of_the_assignment(program: Program, imported: Campaign) -> None:
    """Whatever stands under A in somebody's order: it is that response which is kept as the last."""
    for number, login in enumerate(("li", "wang")):
        client = program(login)
        turn = reserve(client, imported)
        path = f"/api/v1/assignments/{turn['id']}"
        accepted(client, path, refused(client, path, {**ORDER, "faults": {"A": [1]}})["mended"])
        kept = program("sun").get(f"/api/v1/campaigns/{imported.id}/turns/1").json()
        text = {each["letter"]: each["text"] for each in kept["responses"]}
        [last] = kept["rankings"][number]["order"]["groups"][-1]
        assert text[last] == next(each["text"] for each in turn["turn"]["responses"] if each["letter"] == "A")
