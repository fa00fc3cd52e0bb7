"""Which base each network of PPO stands on: one for all, or two where the fine-tuned model was merged into its own."""

from __future__ import annotations

from pathlib import Path

from rlhf import checkpoints, networks
from rlhf.checkpoints import LINEAGE, Lineage
from rlhf.config import Settings
from rlhf.records import N_
from rlhf.sequences import Encoder
from rlhf.stage import Stage


def base_of_reward(stage: Stage, config: Settings) -> Path | None:
    """Where the reward model's own base stands if that is not --base; None where one base carries all.

    Two of them are in memory then, which the run says. Ends the run where the reward model's base is not there as it
    was, or has another tokenizer; raises CheckpointError where the policy was trained on another base than --base.
    """
    base, reward, policy = stage.input("base"), stage.input("reward"), stage.optional("policy")
    sha256 = stage.lineage(config).inputs["base"]["sha256"]
    if policy is not None:
        checkpoints.require_same_base(policy, base, sha256)
    named = Lineage.read(reward).inputs.get("base") if (reward / LINEAGE).exists() else None
    if named is None or named["sha256"] == sha256:
        return None
    own = Path(named["path"])
    if not own.exists() or checkpoints.hash_folder(own) != named["sha256"]:
        checkpoints.require_same_base(reward, base, sha256)  # says which base it was trained on
    if not _same_words(base, own):
        stage.refuse(
            N_("The reward model's base {own} has another tokenizer than {base}: it could not read what is answered."),
            own=own,
            base=base,
        )
    stage.records.event("two bases", 0, base=str(base), of_the_reward_model=str(own))
    return own


def _same_words(first: Path, second: Path) -> bool:
    """Whether two bases make the same ids of every text."""
    one, other = networks.load_tokenizer(first), networks.load_tokenizer(second)
    ends = [(each.pieces, each.end_id, each.pad_id) for each in map(Encoder.of, (one, other))]
    return one.backend_tokenizer.to_str() == other.backend_tokenizer.to_str() and ends[0] == ends[1]
