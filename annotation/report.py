"""What the page of statistics shows and its files hold: tables of figures, each with its interval and its n."""

from __future__ import annotations

import enum
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from math import ceil
from typing import Any

import numpy as np

from annotation import bias, pace
from annotation.abilities import Ability
from annotation.agreement import (
    Grouping,
    Statistic,
    agreement_by,
    decided_by,
    groups,
    pairs_alike,
    summaries,
    tallies,
)
from annotation.bias import Anchoring, Length, Tested, Verdicts
from annotation.bootstrap import UNDEFINED, Estimate, estimates, ratio
from annotation.ceiling import Ceiling, ceiling, true_accuracy
from annotation.columns import Doubles, Floats, Ints, Judgements, Times
from annotation.upheld import upheld

SHOWN = (Statistic.PAIRS, Statistic.EXACT, Statistic.BEST, Statistic.TAU_B, Statistic.ALPHA)


EVERYBODY = 0
"""The key of the line that takes all people together."""


class By(enum.StrEnum):
    """What the rows of a table are, beside the groupings of agreement."""

    ALL = "all"
    PERSON = "person"
    ADJUDICATOR = "adjudicator"
    POSITION = "position"
    PERSON_ABILITY = "person and ability"
    DAY = "day"
    WORK = "work"
    POLICY = "policy"
    RUN = "run"
    RUN_ABILITY = "run and ability"


@dataclass(frozen=True)
class Table:
    """A table of figures: for each key of ``by`` the figures by name. ``name`` is a word of the face."""

    name: str
    by: Grouping | By
    rows: Mapping[Any, Mapping[str, Estimate]]

    @property
    def columns(self) -> list[str]:
        """The names of the figures, as they first come."""
        return list(dict.fromkeys(name for row in self.rows.values() for name in row))


def exactly(value: float | None, n: int = 0) -> Estimate:
    """A number that is counted and not estimated."""
    return UNDEFINED if value is None else Estimate(float(value), None, None, n)


def of_agreement(doubles: Doubles, dialogues: int) -> list[Table]:
    """Agreement over all and by everything."""
    if len(doubles.rows) == 0:
        return []
    table = tallies(doubles)
    [over_all] = summaries(table, doubles.dialogue, dialogues, [np.arange(len(table))])
    return [
        Table("agreement", By.ALL, {"": _shown(over_all)}),
        *(_agreement_by(doubles, dialogues, grouping, table) for grouping in Grouping),
    ]


def _agreement_by(doubles: Doubles, dialogues: int, grouping: Grouping, table: Floats) -> Table:
    found = agreement_by(doubles, dialogues, grouping, table)
    return Table("agreement", grouping, {key: _shown(figures) for key, figures in found.items()})


def _shown(found: Mapping[Statistic, Estimate]) -> dict[str, Estimate]:
    return {name: found[name] for name in SHOWN}


def of_bias(judgements: Judgements, dialogues: int, lengths: Ints) -> list[Table]:
    """Position and length."""
    if not judgements.ordered.any():
        return []
    positions = bias.first_place_by_position(judgements, dialogues)
    firsts = bias.first_place_of_the_first(judgements, dialogues)
    return [
        Table("position bias", By.POSITION, {i + 1: _tested(each) for i, each in enumerate(positions)}),
        Table("position bias", By.PERSON, {person: _tested(each) for person, each in firsts.items()}),
        Table(
            "length bias",
            By.PERSON,
            {
                EVERYBODY: _length(bias.length(judgements, lengths, dialogues)),
                **{
                    who: _length(each) for who, each in bias.length_by_annotator(judgements, lengths, dialogues).items()
                },
            },
        ),
    ]


def _tested(found: Tested) -> dict[str, Estimate]:
    return {"first_place": found.share, "p_value": exactly(found.p, found.share.n)}


def _length(found: Length) -> dict[str, Estimate]:
    return {"longer_wins": found.longer_wins, "log_length_ratio": found.log_ratio}


def of_adjudication(verdicts: Verdicts, doubles: Doubles, dialogues: int) -> list[Table]:
    """The pull of the rule's suggestion, and whom the adjudicators upheld."""
    if len(verdicts.row) == 0:
        return []
    over_all = bias.anchoring(verdicts, doubles, dialogues)
    each = {
        person: _anchoring(bias.anchoring(verdicts, doubles, dialogues, verdicts.adjudicator == person))
        for person in np.unique(verdicts.adjudicator).tolist()
    }
    _, kept = upheld(verdicts, doubles)
    shares: dict[Hashable, dict[str, Estimate]] = {
        key: {"upheld_shrunken": exactly(found.shrunken, found.n), "upheld": exactly(found.raw, found.n)}
        for key, found in kept.items()
    }
    return [
        Table("suggestion anchoring", By.ADJUDICATOR, {EVERYBODY: _anchoring(over_all), **each}),
        Table("upheld by adjudication", By.PERSON_ABILITY, shares),
    ]


def _anchoring(found: Anchoring) -> dict[str, Estimate]:
    return {"taken_shown": found.shown, "taken_hidden": found.hidden, "anchoring": found.difference}


@dataclass(frozen=True)
class Work:
    """What the pace is computed from: on which days things happened, and how much is left.

    ``left`` counts rankings that are still to come, ``waiting`` contested turns.
    """

    rankings: Times
    settled: Times
    contested: Times
    decided: Times
    left: int
    waiting: int


def of_pace(judgements: Judgements, work: Work, today: date) -> list[Table]:
    """Time a ranking, throughput, the projected ends, and the days they are projected from."""
    timed = {
        person: {
            "seconds_median": exactly(each.median, each.n),
            "seconds_lower": exactly(each.lower, each.n),
            "seconds_upper": exactly(each.upper, each.n),
            "too_fast": exactly(each.too_fast, each.n),
        }
        for person, each in pace.seconds(judgements).items()
    }
    worked = {
        person: {
            "rankings": exactly(each.rankings, each.rankings),
            "last_week": exactly(each.last_week, each.last_week),
            "days_worked": exactly(each.days, each.rankings),
            "a_working_day": exactly(each.a_working_day, each.rankings),
        }
        for person, each in pace.throughput(judgements, today).items()
    }
    return [
        Table("time a ranking", By.PERSON, timed),
        Table("throughput", By.PERSON, worked),
        Table("projection", By.WORK, projections(work, today)),
        Table("days", By.DAY, days(work, today)),
    ]


def projections(work: Work, today: date) -> dict[Hashable, dict[str, Estimate]]:
    """When the last ranking comes, and when the adjudicators' queue is empty, in days from today."""
    ranked = pace.projection(work.left, pace.by_day(work.rankings, *pace.looking_back(today, work.rankings)))
    window = pace.looking_back(today, work.contested, work.decided)
    arriving, deciding = pace.by_day(work.contested, *window), pace.by_day(work.decided, *window)
    emptied = pace.projection(work.waiting, deciding - arriving)
    return {
        name: {
            "left": exactly(found.left, found.left),
            "a_day": exactly(found.a_day, found.left),
            "days_left": UNDEFINED if found.days is None else Estimate(found.days, found.low, found.high, found.left),
        }
        for name, found in (("rankings", ranked), ("contested", emptied))
    }


def days(work: Work, today: date, most: int = 3650) -> dict[Hashable, dict[str, Estimate]]:
    """What happened on each day, today included as far as it has come."""
    series = {
        "rankings": work.rankings,
        "settled": work.settled,
        "contested": work.contested,
        "decided": work.decided,
    }
    first, count = pace.looking_back(today, *series.values(), most=most)
    counted = {name: pace.by_day(times, first, count + 1) for name, times in series.items()}
    return {
        first + timedelta(days=i): {name: exactly(float(counts[i]), int(counts[i])) for name, counts in counted.items()}
        for i in range(count + 1)
    }


@dataclass(frozen=True)
class Measured:
    """What a run has measured of its reward model, as ``rlhf.evaluate`` writes it."""

    run: int
    result: Mapping[str, Any]


def of_ceiling(doubles: Doubles, dialogues: int, measured: Sequence[Measured]) -> list[Table]:
    """What the experts' agreement allows, beside what reward models reached on held-out dialogues."""
    over_all = ceiling(doubles, dialogues)
    if over_all.agreement.n == 0:
        return []
    by_ability = {
        ability: _ceiling(found)
        for ability in Ability
        if (found := ceiling(doubles, dialogues, decided_by(doubles, ability))).agreement.n
    }
    by_run: dict[Hashable, dict[str, Estimate]] = {each.run: _reached(each.result, over_all) for each in measured}
    abilities: dict[Hashable, dict[str, Estimate]] = {
        (each.run, int(number)): {"accuracy": _estimate(share)}
        for each in measured
        for number, share in (each.result.get("by_ability") or {}).items()
    }
    return [
        Table("ceiling", By.ALL, {"": _ceiling(over_all)}),
        Table("ceiling", Grouping.ABILITY, by_ability),
        Table("reward models", By.RUN, by_run),
        Table("reward models", By.RUN_ABILITY, abilities),
    ]


def _ceiling(found: Ceiling) -> dict[str, Estimate]:
    return {
        Statistic.STRICT: found.agreement,
        "ceiling_settled": found.settled,
        "ceiling_fresh": found.fresh,
    }


def _reached(result: Mapping[str, Any], limit: Ceiling) -> dict[str, Estimate]:
    accuracy = _estimate(result.get("accuracy"))
    settled = limit.settled.value
    true = None if accuracy.value is None or settled is None else true_accuracy(accuracy.value, settled)
    return {
        "accuracy": accuracy,
        "experts_agree": _estimate(result.get("experts_agree")),
        "longer_wins": _estimate(result.get("longer_wins")),
        "true_accuracy": exactly(true, accuracy.n),
    }


def _estimate(share: Mapping[str, Any] | None) -> Estimate:
    if not share or share.get("value") is None:
        return UNDEFINED
    return Estimate(share["value"], share.get("low"), share.get("high"), share.get("n", 0))


RECENT = 500
"""Agreement now is that of so many turns: those ranked twice last."""

FAR = 0.03
"""An annotator stands apart whose whole interval lies so far below the agreement of all."""


def at_a_glance(doubles: Doubles, dialogues: int, work: Work, total: int, today: date) -> list[Table]:
    """What the overview shows of a campaign: agreement now and its way, who stands apart, and the way to the end."""
    table = tallies(doubles)
    latest = np.argsort(doubles.arrived, kind="stable")[-RECENT:]
    [now] = summaries(table, doubles.dialogue, dialogues, [latest])
    ends = projections(work, today)
    return [
        Table("agreement", By.ALL, {"": _shown(now)}),
        Table("agreement", Grouping.ANNOTATORS, of_two(doubles, dialogues, table)),
        _agreement_by(doubles, dialogues, Grouping.WEEK, table),
        Table("agreement", By.PERSON, apart(doubles, dialogues, table)),
        Table("projection", By.WORK, {"settled": {"days_left": finish(ends)}, **ends}),
        Table("days", By.DAY, course(work, total, today, finish(ends).value)),
    ]


def of_two(doubles: Doubles, dialogues: int, table: Floats) -> dict[Hashable, dict[str, Estimate]]:
    """What the matrix of every two annotators shows: pairs with the same relation, and on how many turns of all."""
    rows = groups(doubles, Grouping.ANNOTATORS)
    found = pairs_alike(table, doubles.dialogue, dialogues, list(rows.values()))
    return {
        both: {Statistic.PAIRS: own, Statistic.EXACT: exactly(table[rows[both], 2].mean(), len(rows[both]))}
        for both, own in zip(rows, found, strict=True)
    }


def apart(doubles: Doubles, dialogues: int, table: Floats) -> dict[Hashable, dict[str, Estimate]]:
    """The annotators who agree far less with their colleagues than all do among each other."""
    people = np.unique(doubles.annotators).tolist()
    rows = [np.flatnonzero((doubles.annotators == person).any(axis=1)) for person in people]
    usual, *each = pairs_alike(table, doubles.dialogue, dialogues, [np.arange(len(table)), *rows])
    return {
        person: {Statistic.PAIRS: own}
        for person, own in zip(people, each, strict=True)
        if own.high is not None and usual.value is not None and own.high < usual.value - FAR
    }


def finish(ends: Mapping[Hashable, Mapping[str, Estimate]]) -> Estimate:
    """In how many days every turn is settled: when both the rankings and the adjudications are done."""
    both = [end["days_left"] for end in ends.values()]
    values, lows, highs = ([getattr(each, bound) for each in both] for bound in ("value", "low", "high"))
    if None in values:
        return UNDEFINED
    low, high = (None if None in bounds else max(bounds) for bounds in (lows, highs))
    return Estimate(max(values), low, high, sum(each.n for each in both))


def course(work: Work, total: int, today: date, ahead: float | None) -> dict[Hashable, dict[str, Estimate]]:
    """By day the number of settled turns so far, and from today on the straight way to all of them."""
    first, count = pace.looking_back(today, work.settled, most=pace.HORIZON)
    so_far = np.cumsum(pace.by_day(work.settled, first, count + 1))
    left = ceil(ahead) if ahead else 0
    way = np.linspace(so_far[-1], total, left + 1) if left else np.array([])
    return {
        first + timedelta(days=i): {
            "settled": exactly(float(so_far[i])) if i <= count else UNDEFINED,
            "expected": exactly(float(way[i - count])) if left and i >= count else UNDEFINED,
        }
        for i in range(count + left + 1)
    }


@dataclass(frozen=True)
class Audited:
    """What an audit of an agreed turn found: whether it was overturned, and of its pairs those seen otherwise."""

    dialogue: int
    overturned: bool
    differing: int
    pairs: int


def of_measuring(repeats: Doubles, gold: Doubles, audits: Sequence[Audited]) -> list[Table]:
    """People against themselves, people against settled turns, and agreed turns against a blind auditor."""
    tables = [
        Table(name, By.PERSON, _by_person(found))
        for name, found in (("agreement with oneself", repeats), ("agreement with gold turns", gold))
        if len(found.rows)
    ]
    if audits:
        tables.append(Table("agreed but wrong", By.ALL, {"": _audited(audits)}))
    return tables


def _by_person(found: Doubles) -> dict[Hashable, dict[str, Estimate]]:
    """For everybody together and each person; the person is who gave the second ranking."""
    people = found.judgements.annotator[found.rows[:, 1]]
    dialogues = int(found.dialogue.max()) + 1
    rows: dict[Hashable, Ints] = {EVERYBODY: np.arange(len(people))}
    rows |= {person: np.flatnonzero(people == person) for person in np.unique(people).tolist()}
    figures = summaries(tallies(found), found.dialogue, dialogues, list(rows.values()))
    return {person: _shown(own) for person, own in zip(rows, figures, strict=True)}


def _audited(audits: Sequence[Audited]) -> dict[str, Estimate]:
    _, dialogue = np.unique([each.dialogue for each in audits], return_inverse=True)
    table = np.array([[each.overturned, 1, each.differing, each.pairs] for each in audits], dtype=float)
    figures = {"overturned": ratio(0, 1), "seen_otherwise": ratio(2, 3)}
    counts = {"overturned": len(audits), "seen_otherwise": int(table[:, 3].sum())}
    return estimates(table, dialogue, int(dialogue.max()) + 1, figures, counts)
