"""Turns to learn from: which answer is better can be told from its words."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from rlhf import networks
from rlhf.config import PpoConfig
from rlhf.quartet import Quartet

POLITE, PLAIN, RUDE, WRONG = "您好，请问还有别的不舒服吗？", "多喝水。", "自己看着办。", "加倍吃药就好。"
SENTENCES = [POLITE, PLAIN, RUDE, WRONG, "孩子发烧怎么办？", "头痛三天了。", "很抱歉，我不知道。"] * 5
SPLITS = {8: "validation", 9: "validation", 10: "report", 11: "report"}


def turn_row(number: int, **changes: Any) -> dict[str, Any]:
    """A settled turn as a snapshot has it: A > B > C = D."""
    history = [["孩子发烧怎么办？", PLAIN]] if number % 2 else []
    pairs = [(0, 1, 1), (0, 2, 1), (0, 3, 1), (1, 2, 9), (1, 3, 9)]
    return {
        "dialogue": f"d{number}",
        "number": len(history) + 1,
        "split": SPLITS.get(number, "train"),
        "department": "儿科",
        "in_distribution": True,
        "safety": False,
        "system": None,
        "history": history,
        "message": f"头痛{number}天了。",
        "responses": [{"text": text, "model": "m", "sampling": {}} for text in (POLITE, PLAIN, RUDE, WRONG)],
        "rewrite": None,
        "none_acceptable": False,
        "settled_by": "agreed",
        "order": "A > B > C = D",
        "pairs": [
            *({"better": b, "worse": w, "ability": a, "provenance": "agreed"} for b, w, a in pairs),
            {"tie": [2, 3], "ability": None, "provenance": "agreed"},
        ],
        "unlocked_because": None,
        **changes,
    }


def scores_alone(model: Any, sequences: Sequence[Sequence[int]]) -> list[float]:
    """The score of each sequence in a row of its own, without anything beside it."""
    rows = [torch.tensor([list(ids)]) for ids in sequences]
    with torch.no_grad():
        return [model(input_ids=row, score_positions=torch.tensor([row.shape[1] - 1])).logits.item() for row in rows]


def four_networks(base: Path, folder: Path, config: PpoConfig) -> Quartet:
    """Policy, reference, reward model and critic that say different things; ``folder`` takes the reward model."""
    reward_model_in(folder, base, config)
    quartet = Quartet(base, None, folder, config)
    for name, weight in quartet.model.named_parameters():
        if "lora_B" in name and ".reference." not in name:
            torch.nn.init.normal_(weight, std=0.3)
    return quartet


def reward_model_in(folder: Path, base: Path, config: PpoConfig) -> None:
    """A reward model that nobody trained, saved as any other."""
    torch.manual_seed(1)
    lora = networks.lora(config, "SEQ_CLS", modules_to_save=["score"])
    networks.with_adapter(networks.load_scorer(base, "float32", 0), lora).save_pretrained(str(folder))
    networks.write_scale(folder, 0.0, 1.0)
