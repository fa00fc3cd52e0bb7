"""What the tests of the whole way have in common: dialogues, who likes what, and runs of a minute."""

from __future__ import annotations

from annotation.abilities import Ability
from tests.material import json_lines
from tests.rlhf.material import PLAIN, POLITE, RUDE, WRONG
from tests.visitors import Visitor, options_of

DIALOGUES = 40
ASPECTS = (Ability.ACCURACY, Ability.WARM_TONE)
GOOD = {POLITE: (1, 1), PLAIN: (1, 0), RUDE: (0, 0), WRONG: (-1, 1)}
TINY = {"threads": "1", "dtype": "float32", "seed": "0"}
BASE = {
    **TINY,
    "hidden_size": "32",
    "layers": "2",
    "heads": "2",
    "vocabulary": "400",
    "block_length": "48",
    "epochs": "4",
    "learning_rate": "5e-3",
}
ADAPTED = {**TINY, "batch_size": "8", "max_length": "256", "lora_rank": "4", "epochs": "1"}
PPO = {
    **ADAPTED,
    "max_new_tokens": "16",
    "micro_batch_size": "8",
    "rollout_size": "16",
    "compared": "6",
    "ppo_epochs": "1",
    "despite_gate": "on",
}


def rows() -> bytes:
    """Dialogues of two turns, with an answer of each kind."""
    answers = [{"text": text, "model": f"model-{i}"} for i, text in enumerate((WRONG, PLAIN, RUDE, POLITE))]
    return json_lines(
        *(
            {
                "id": f"d{number}",
                "department": "内科",
                "turns": [
                    {"message": f"头痛{number}天了。", "responses": answers, "reply": POLITE},
                    {"message": "还要做什么检查吗？", "responses": answers},
                ],
            }
            for number in range(DIALOGUES)
        )
    )


def corpus() -> bytes:
    """Texts to pre-train on."""
    return json_lines(*({"text": f"头痛{number}天了。{text}"} for number in range(30) for text in GOOD))


def exchanges() -> bytes:
    """Dialogues to fine-tune on."""
    asked = {"role": "user", "content": "头痛怎么办？"}
    return json_lines(
        *({"messages": [asked, {"role": "assistant", "content": text}]} for text in GOOD for _ in range(8))
    )


def careful(text: str) -> tuple[float, ...]:
    """Ranks the polite answer first, then the plain, the rude and the wrong one."""
    return GOOD[text]


def careless(text: str) -> tuple[float, ...]:
    """Holds the rude answer for as good as the polite one."""
    return (1, 1) if text == RUDE else GOOD[text]


def register_data(admin: Visitor) -> None:
    """Uploads what the base and the fine-tuning learn from."""
    admin.upload("/admin/data-sets", corpus(), name="corpus", kind="corpus")
    admin.upload("/admin/data-sets", exchanges(), name="dialogues", kind="dialogues")


def started(admin: Visitor, kind: str, **fields: str) -> str:
    """The name of the model that a run of this stage left; inputs are named, not numbered, as on the form."""
    form = admin.get(f"/admin/runs/new/{kind}")
    for role in ("base", "policy", "reward", "data"):
        if role in fields:
            shown = {text.split(" · ")[0]: value for text, value in options_of(form, role).items()}
            fields[role] = shown[fields[role]]
    run_id = admin.start_run(kind, name=kind, **fields)
    admin.wait_for_run(run_id)
    return f"{kind}-{run_id}"
