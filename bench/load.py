"""How the web holds up while doctors work: requests at a fixed rate, whatever the answers take.

Afterwards the database is asked whether every ranking that was acknowledged is there, and there once.
"""

from __future__ import annotations

import sys
from functools import partial
from itertools import chain
from typing import Annotated

import typer

from bench.figures import say
from bench.schedule import percentile
from bench.servers import Backend, databases
from bench.site import Site, Stretch, VoidError, build, kept, note, run
from bench.visits import Seen

WHOLE, QUICK = Stretch(10, 60), Stretch(2, 10)
P99_MS, CPU_MS = 100.0, 10.0


def main(
    turns: Annotated[int, typer.Option(help="Turns that have been ranked already", min=1)] = 20_000,
    backend: Annotated[Backend, typer.Option(help="Which database")] = "postgresql",
    seed: Annotated[int, typer.Option(help="Draws the campaign, the arrivals and the rankings")] = 0,
    quick: Annotated[bool, typer.Option("--quick", help="A look: a tenth of the turns, ten seconds")] = False,
) -> None:
    """Doctors at work on a large campaign, 100 requests a second."""
    stretch = QUICK if quick else WHOLE
    try:
        with databases(backend) as new_database:
            site = build(new_database, backend, turns // 10 if quick else turns, seed)
            seen = run(site, stretch, seed)
            report(site, seen, stretch)
    except VoidError as error:
        note(str(error))
        sys.exit(1)


def report(site: Site, seen: Seen, stretch: Stretch) -> None:
    """The figures of one run."""
    prefix = "web.load" if site.backend == "postgresql" else "web.load.sqlite"
    conditions = f"{site.conditions}, {stretch.seconds:g} s after {stretch.warm_up:g} s of warming up"
    tell = partial(say, better="lower", conditions=conditions)
    every = list(chain.from_iterable(seen.latencies.values()))
    for share, target in ((0.5, None), (0.95, None), (0.99, P99_MS)):
        tell(f"{prefix}.p{100 * share:g}_ms", round(percentile(every, share), 1), "ms", target=target)
    for kind, latencies in sorted(seen.latencies.items()):
        tell(f"{prefix}.{kind}.p99_ms", round(percentile(latencies, 0.99), 1), "ms", target=P99_MS)
    tell(f"{prefix}.errors", len(seen.errors), "requests", target=0)
    tell(f"{prefix}.cpu_ms_per_request", round(1000 * seen.web_cpu / seen.requests, 2), "ms", target=CPU_MS)
    if site.backend == "postgresql":
        tell(f"{prefix}.database_cpu_ms_per_request", round(1000 * seen.database_cpu / seen.requests, 2), "ms")
    tell(f"{prefix}.generator_lag_p99_ms", round(percentile(seen.lags, 0.99), 1), "ms")
    found = kept(site)
    tell(f"{prefix}.lost", found.lost, "of " + f"{len(site.acknowledged)} acknowledged rankings", target=0)
    tell(f"{prefix}.stored_twice", found.stored_twice, "rankings", target=0)
    tell(f"{prefix}.double_places", found.double_places, "turns", target=0)


if __name__ == "__main__":
    typer.run(main)
