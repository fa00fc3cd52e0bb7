"""Whom a visitor of the demonstration may be."""

from __future__ import annotations

from dataclasses import dataclass

from annotation.people_tables import Role


@dataclass(frozen=True)
class Login:
    """Somebody whom the visitor may be."""

    login: str
    name: str
    role: Role

    @property
    def password(self) -> str:
        """Only the demo has passwords that anybody can know."""
        return f"demo-{self.login}-2026"


VISITORS = (
    Login("annotator", "访客医生", Role.ANNOTATOR),
    Login("adjudicator", "访客专家", Role.ADJUDICATOR),
    Login("admin", "访客管理员", Role.ADMIN),
)
