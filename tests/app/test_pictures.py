"""Two orders as a picture: only opposite opinions cross."""

from __future__ import annotations

from annotation.adjudication import Case
from app.pictures import two_orders
from tests.material import ranked

LETTERS = dict(enumerate("ABCD"))


def test_opposite_opinions_cross_and_agreed_places_are_quiet() -> None:
    sides = [ranked("A > B > C > D"), ranked("B > A > C > D")]
    picture = two_orders(sides, LETTERS, Case(4, *sides))
    assert picture is not None
    a, b, c, d = picture.lines
    assert (a.left_y < b.left_y, a.right_y < b.right_y) == (True, False)
    assert [line.quiet for line in (a, b, c, d)] == [False, False, True, True]


def test_a_tie_stands_as_the_other_side_has_it_and_crosses_nothing() -> None:
    sides = [ranked("A = C > B > D"), ranked("C > A > B > D")]
    picture = two_orders(sides, LETTERS, Case(4, *sides))
    assert picture is not None
    assert all(line.left_y == line.right_y for line in picture.lines)
    assert len(picture.left_ties) == 1


def test_without_an_order_on_both_sides_there_is_no_picture() -> None:
    sides = [ranked("A > B > C > D"), ranked("", none_acceptable=True)]
    assert two_orders(sides, LETTERS, Case(4, *sides)) is None
