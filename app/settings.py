"""The settings of the web, on top of those that it shares with the workers."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from workers.settings import Settings as SharedSettings


class Settings(SharedSettings):
    """Refuses to start in production with anything left open."""

    host: str = Field("127.0.0.1", description="Address that the web listens on")
    port: int = Field(8000, ge=1, le=65535, description="Port that the web listens on")
    allowed_hosts: str = Field("", description="Host names it answers to, separated by commas; empty: any")
    https: bool = Field(False, description="It is reached by TLS only, through a proxy: cookies are marked secure")
    most_upload_mb: int = Field(64, ge=1, le=4096, description="Largest file that may be imported, in MiB")
    demo: bool = Field(False, description="The sample campaign runs here: its logins are shown on the login page")

    @model_validator(mode="after")
    def _closed_in_production(self) -> Self:
        if self.environment != "production":
            return self
        wrong = []
        if not self.https:
            wrong.append("ZHONGJING_HTTPS must be true: put a proxy with TLS in front (see README)")
        if not self.allowed_hosts:
            wrong.append("ZHONGJING_ALLOWED_HOSTS must name the host names that it is reached by")
        if self.database_url.startswith("sqlite"):
            wrong.append("DATABASE_URL must name a PostgreSQL database")
        if not self.redis_url:
            wrong.append("REDIS_URL must name a Redis or Valkey server")
        if self.demo:
            wrong.append("ZHONGJING_DEMO must be off: its passwords are known to everybody")
        if wrong:
            raise ValueError("; ".join(wrong))
        return self

    @property
    def hosts(self) -> list[str]:
        """The host names it answers to."""
        return [host.strip() for host in self.allowed_hosts.split(",") if host.strip()] or ["*"]

    @property
    def public_url(self) -> str:
        """Where people reach it: by the first of its host names where it has one, else on this machine."""
        if self.hosts != ["*"]:
            return f"https://{self.hosts[0]}" if self.https else f"http://{self.hosts[0]}:{self.port}"
        host = "127.0.0.1" if self.host in ("0.0.0.0", "::") else self.host  # noqa: S104  (recognised, not bound)
        return f"{'https' if self.https else 'http'}://{host}:{self.port}"

    @property
    def cookie(self) -> str:
        """The name of the login cookie; with TLS the browser itself holds it to this host."""
        return "__Host-zhongjing" if self.https else "zhongjing"
