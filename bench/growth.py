"""How much slower the web gets as a campaign grows: the same load on 2,000, 20,000 and 200,000 turns, in turn.

Each round visits every size once, so that whatever else the machine does falls on all of them; the ratios are those of
the medians over the rounds.
"""

from __future__ import annotations

import sys
from functools import partial
from itertools import chain
from statistics import median
from typing import Annotated

import typer

from annotation.tables import TurnOrder
from bench.figures import say
from bench.schedule import percentile
from bench.servers import databases
from bench.site import Site, Stretch, VoidError, build, note, run
from bench.visits import Seen

WHOLE_SIZES, QUICK_SIZES = (2_000, 20_000, 200_000), (500, 2_000)
WHOLE, QUICK = Stretch(8, 25), Stretch(2, 6)
ROUNDS = 4
RATIO = 1.2
FIGURES = {
    TurnOrder.IMPORT: "web.growth",
    TurnOrder.DIALOGUE: "web.growth.by_dialogue",
    TurnOrder.INFORMATIVE: "web.growth.most_informative",
}


def main(
    seed: Annotated[int, typer.Option(help="Draws the campaigns, the arrivals and the rankings")] = 0,
    order: Annotated[TurnOrder, typer.Option(help="Which turns come first")] = TurnOrder.IMPORT,
    quick: Annotated[bool, typer.Option("--quick", help="A look: two small sizes, one round of six seconds")] = False,
) -> None:
    """The same load on campaigns of three sizes."""
    stretch, rounds = (QUICK, 1) if quick else (WHOLE, ROUNDS)
    try:
        with databases("postgresql") as new_database:
            sites = [
                build(new_database, "postgresql", turns, seed, order)
                for turns in (QUICK_SIZES if quick else WHOLE_SIZES)
            ]
            seen = [[run(site, stretch, seed + number) for site in sites] for number in range(rounds)]
    except VoidError as error:
        note(str(error))
        sys.exit(1)
    report(FIGURES[order], sites, [list(of_size) for of_size in zip(*seen, strict=True)], stretch)


def report(name: str, sites: list[Site], seen: list[list[Seen]], stretch: Stretch) -> None:
    """The median of each size's rounds, and the ratio of the largest to the smallest."""
    how = f"median of {len(seen[0])} rounds of {stretch.seconds:g} s after {stretch.warm_up:g} s of warming up"
    middle: dict[tuple[float, int], float] = {}
    for site, rounds in zip(sites, seen, strict=True):
        turns = site.size.finished
        tell = partial(say, better="lower", conditions=f"{site.conditions}, {how}")
        for share in (0.5, 0.95, 0.99):
            middle[share, turns] = median(percentile(_every(one), share) for one in rounds)
            tell(f"{name}.{turns}.p{100 * share:g}_ms", round(middle[share, turns], 1), "ms")
        cpu = median(1000 * one.web_cpu / one.requests for one in rounds)
        tell(f"{name}.{turns}.cpu_ms_per_request", round(cpu, 2), "ms")
        tell(f"{name}.{turns}.errors", sum(len(one.errors) for one in rounds), "requests", target=0)
    small, large = sites[0].size.finished, sites[-1].size.finished
    tell = partial(say, unit="ratio", better="lower", conditions=f"{sites[0].conditions}, {how}; sizes in turn")
    for share, target in ((0.5, None), (0.99, RATIO)):
        value = round(middle[share, large] / middle[share, small], 3)
        tell(f"{name}.p{100 * share:g}_ratio_{large}_to_{small}", value, target=target)


def _every(seen: Seen) -> list[float]:
    return list(chain.from_iterable(seen.latencies.values()))


if __name__ == "__main__":
    typer.run(main)
