"""Taking a finished policy out: merged into its base, or spoken to at the terminal."""

from __future__ import annotations

from pathlib import Path

import torch
import typer
from transformers import set_seed

from rlhf import checkpoints, networks
from rlhf.checkpoints import CheckpointError, Lineage
from rlhf.data import Prompt
from rlhf.sampling import SamplingRule, sample
from rlhf.sequences import Encoder


def base_of(adapter: Path, base: Path | None) -> Path:
    """The base model of an adapter: the one given, else the one its lineage names; raises CheckpointError."""
    if base is not None:
        return base
    named = Lineage.read(adapter).inputs.get("base")
    if named is None or not Path(named["path"]).exists():
        raise CheckpointError(f"The base model of {adapter} is not where it was trained: name it with --base.")
    return Path(named["path"])


def merge(adapter: Path, out: Path, base: Path | None = None) -> Path:
    """Merges an adapter into its base in float32, where nothing is lost, and saves an ordinary model folder."""
    if out.exists():
        raise CheckpointError(f"{out} exists already: name a new folder.")
    found = base_of(adapter, base)
    named = _named(found)
    checkpoints.require_same_base(adapter, found, named["sha256"])
    model = networks.load_policy(found, adapter, "float32").merge_and_unload()
    with checkpoints.writing(out) as folder:
        model.save_pretrained(str(folder))
        networks.load_tokenizer(found).save_pretrained(str(folder))
        Lineage("merge", {"base": named, "policy": _named(adapter)}, {}).write(folder)
    return out


def talk(adapter: Path | None, base: Path | None, temperature: float, max_new_tokens: int, seed: int) -> None:
    """A dialogue at the terminal, the history kept, until an empty line."""
    found, on_it = _parts_of(adapter, base)
    if on_it is not None:
        checkpoints.require_same_base(on_it, found, checkpoints.hash_folder(found))
    model = networks.load_policy(found, on_it, "float32").to(networks.best_device())
    encoder = Encoder.of(networks.load_tokenizer(found))
    set_seed(seed)
    history: list[tuple[str, str]] = []
    while message := _asked():
        reply = answer(model, encoder, Prompt(tuple(history), message), SamplingRule(max_new_tokens, temperature))
        typer.echo(f"医生：{reply}")
        history.append((message, reply))


@torch.no_grad()
def answer(model: object, encoder: Encoder, prompt: Prompt, rule: SamplingRule) -> str:
    """One reply to a prompt."""
    [ids] = sample(model, [encoder.prompt(prompt)], rule, end_id=encoder.end_id, pad_id=encoder.pad_id, batch_size=1)
    return encoder.decode(ids)


def _parts_of(named: Path | None, base: Path | None) -> tuple[Path, Path | None]:
    """The model and the adapter on it, if any: a named folder without an adapter is a whole model by itself."""
    if named is not None and (named / networks.ADAPTER_WEIGHTS).exists():
        return base_of(named, base), named
    whole = named or base
    if whole is None:
        raise CheckpointError("Name the model folder of a run, or a base model with --base.")
    return whole, None


def _asked() -> str:
    try:
        return input("患者：").strip()
    except EOFError:
        return ""


def _named(folder: Path) -> dict[str, str]:
    return {"path": str(folder), "sha256": checkpoints.hash_folder(folder)}
