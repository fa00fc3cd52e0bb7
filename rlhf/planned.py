"""What the memory planner says at the terminal."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rlhf.config import PpoConfig, PretrainConfig, Settings
from rlhf.data import DataError
from rlhf.expected import Tokens, expected_tokens, plain_encoder
from rlhf.plan import GIGABYTE, GPUS, Plan, new_shape, other_ways, plan
from rlhf.sequences import Encoder
from rlhf.shapes import SIZES, Shape, ShapeError, shape_of


def shape_named(base: str | None, settings: Settings) -> Shape:
    """The shape of a well-known size, of the model in a folder, or of a new one; raises DataError for anything else."""
    if base is None:
        if not isinstance(settings, PretrainConfig):
            raise DataError("Name the model to plan for with --base: its folder, or one of " + ", ".join(SIZES) + ".")
        return new_shape(settings)
    if base in SIZES:
        return SIZES[base]
    try:
        return shape_of(Path(base))
    except ShapeError as error:
        raise DataError(f"{error} Name another folder or one of {', '.join(SIZES)}.") from error


def memory_named(gpu: str) -> float:
    """10^9 bytes of a GPU, by its name or as a number; raises DataError where it is neither."""
    try:
        return float(GPUS.get(gpu, gpu))
    except ValueError as error:
        raise DataError(f"{gpu} is no GPU known here: say its memory in GB, or one of {', '.join(GPUS)}.") from error


def _encoder(base: str | None) -> Encoder:
    """The encoder of the training where it is installed, else one without chat template."""
    if base is None or base in SIZES:
        return plain_encoder(None)
    try:
        from rlhf.networks import load_tokenizer
    except ModuleNotFoundError:
        return plain_encoder(Path(base))
    return Encoder.of(load_tokenizer(Path(base)))


@dataclass(frozen=True)
class Meant:
    """What a settings file is for, as its section ``for`` says: a size, a GPU, how many."""

    size: str | None = None
    gpu: str | None = None
    gpus: int = 1

    @classmethod
    def by(cls, file: Path | None) -> Meant:
        """What a file says, if there is one that does."""
        return cls(**tomllib.loads(file.read_text(encoding="utf-8")).get("for", {})) if file else cls()


def said(base: str | None, settings: Settings, meant: Meant, snapshot: Path | None) -> Iterator[str]:
    """The lines of the answer; raises DataError where the question makes no sense."""
    base, gpus = base or meant.size, 1 if isinstance(settings, PpoConfig) else meant.gpus  # it runs in one process
    shape = shape_named(base, settings)
    found = plan(shape, settings, gpus=gpus)
    yield f"{settings.stage}: {shape.parameters:,} parameters, on each of {gpus} GPU" + ("s" if gpus > 1 else "")
    yield from (f"  {part.what:<32}{_gb(part.bytes):>10}  {part.when}" for part in found.parts)
    yield f"  {'most at one time':<32}{_gb(found.peak):>10}"
    yield from _fitting(found, meant.gpu)
    if isinstance(settings, PpoConfig):
        others = ", ".join(f"{name} {_gb(size)}" for name, size in other_ways(shape, settings).items())
        yield f"Without the updates and the sampling: one base with its adapters {_gb(found.always)}; {others}"
    tokens = expected_tokens(snapshot, _encoder(base), settings) if snapshot else None
    if tokens is not None:
        yield from _saving(tokens)


def _fitting(found: Plan, gpu: str | None) -> Iterator[str]:
    for name in [gpu] if gpu else GPUS:
        yield f"  {name:<32}{memory_named(name):>7.0f} GB  {found.verdict(memory_named(name))}"


def _saving(tokens: Tokens) -> Iterator[str]:
    how = "counted with the model's tokenizer" if tokens.counted else "estimated at a token a character"
    yield f"Tokens of an epoch over {tokens.turns} turns of this snapshot, {how}:"
    yield f"  {'pairs of independent responses':<32}{tokens.pairs:>12,}"
    yield f"  {'a row a response':<32}{tokens.rows:>12,}"
    yield f"  {'token tries':<32}{tokens.tries:>12,}  {tokens.fewer_than_pairs:.1f} times fewer than pairs"


def _gb(size: int) -> str:
    return f"{size / GIGABYTE:.2f} GB"
