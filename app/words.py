"""How the things of the domain are called on the screen. ``N_`` marks a sentence for the catalogues."""

from __future__ import annotations

from annotation.abilities import Ability, Dimension


def N_(message: str) -> str:  # noqa: N802  (the name that catalogue tools look for)
    """Marks a sentence for translation where it stands; it is translated where it is shown."""
    return message


DIMENSIONS = {
    Dimension.SAFETY: N_("Safety"),
    Dimension.PROFESSIONALISM: N_("Professionalism"),
    Dimension.FLUENCY: N_("Fluency"),
}

ABILITIES = {
    Ability.ACCURACY: (
        N_("accuracy"),
        N_("Scientific, correct medical knowledge; admits what it does not know."),
    ),
    Ability.SAFETY: (N_("safety"), N_("Protects the patient; refuses what may harm.")),
    Ability.ETHICS: (
        N_("ethics"),
        N_("Keeps medical ethics and respects the patient's choice; refuses what violates them."),
    ),
    Ability.COMPREHENSION: (N_("comprehension"), N_("Understands the patient's question and need.")),
    Ability.CLARITY: (N_("clarity"), N_("Explains complex medicine clearly and briefly.")),
    Ability.INITIATIVE: (N_("initiative"), N_("Asks about the condition and what else is needed.")),
    Ability.COHERENCE: (N_("coherence"), N_("Coherent, no logical errors, nothing irrelevant.")),
    Ability.CONSISTENCY: (N_("consistency"), N_("Consistent in style and content, no contradiction.")),
    Ability.WARM_TONE: (N_("warm tone"), N_("Friendly and warm; not cold or curt.")),
}

WORDS = {
    "annotator": N_("annotator"),
    "adjudicator": N_("adjudicator"),
    "admin": N_("admin"),
    "invited": N_("invited"),
    "active": N_("active"),
    "paused": N_("paused"),
    "deactivated": N_("deactivated"),
    "needs responses": N_("needs responses"),
    "open": N_("open"),
    "one ranking": N_("one ranking"),
    "contested": N_("contested"),
    "in review": N_("in review"),
    "settled": N_("settled"),
    "withdrawn": N_("withdrawn"),
    "agreed": N_("agreed"),
    "adjudicated": N_("adjudicated"),
    "rewritten": N_("rewritten"),
    "implied": N_("implied"),
    "queued": N_("queued"),
    "running": N_("running"),
    "succeeded": N_("succeeded"),
    "failed": N_("failed"),
    "cancelled": N_("cancelled"),
    "submitted": N_("submitted"),
    "cannot judge": N_("cannot judge"),
    "pretrain": N_("pre-training"),
    "sft": N_("fine-tuning"),
    "generate": N_("sampling responses"),
    "reward": N_("reward model"),
    "ppo": N_("PPO"),
    "evaluate": N_("evaluation"),
    "base": N_("base model"),
    "policy": N_("policy"),
    "corpus": N_("corpus"),
    "dialogues": N_("dialogues"),
    "prompts": N_("prompts"),
    "train": N_("training"),
    "validation": N_("validation"),
    "report": N_("report"),
    "enforce": N_("enforce"),
    "warn": N_("warn"),
    "turns": N_("turns"),
    "turns agreed": N_("turns agreed"),
    "turns adjudicated": N_("turns adjudicated"),
    "turns rewritten": N_("turns rewritten"),
    "pairs": N_("pairs"),
    "ties": N_("ties"),
    "rankings": N_("rankings"),
    "pair_agreement": N_("pairs with the same relation"),
    "exact_agreement": N_("same whole order"),
    "top1_agreement": N_("same best answer"),
    "tau_b": N_("Kendall's τ-b"),
    "alpha": N_("Krippendorff's α"),
    "answering prompts": N_("answering prompts"),
    "updating the policy": N_("updating the policy"),
    "pre-training": N_("pre-training"),
    "fine-tuning": N_("fine-tuning"),
    "training the reward model": N_("training the reward model"),
    "measuring": N_("measuring on held-out dialogues"),
    "answering held-out prompts before the training": N_("answering held-out prompts before the training"),
    "answering held-out prompts after the training": N_("answering held-out prompts after the training"),
}
