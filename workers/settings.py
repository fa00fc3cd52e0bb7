"""Where things are: the settings that the web, the workers and the command line share."""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

LONGEST_SOCKET = 100


class Settings(BaseSettings):
    """Read from the environment. Without any, everything lies in ./var and nothing has to be installed beside it."""

    model_config = SettingsConfigDict(env_prefix="ZHONGJING_", frozen=True, extra="ignore", populate_by_name=True)

    home: Path = Field(Path("var"), description="Folder for the embedded database, snapshots, runs and data sets")
    database_url: str = Field(
        "",
        validation_alias="DATABASE_URL",
        description="postgresql://… in production; empty: SQLite in home",
    )
    redis_url: str = Field(
        "", validation_alias="REDIS_URL", description="redis://… in production; empty: the embedded Valkey"
    )
    environment: Literal["development", "production"] = Field(
        "development", description="production refuses to start with anything left open"
    )

    launchers_file: str = Field(
        "",
        validation_alias="ZHONGJING_LAUNCHERS",
        description="File that says what else than this machine may carry runs; empty: launchers.toml in home",
    )
    webhooks_to_private: bool = Field(
        False, description="Webhooks may lead to private addresses, such as a machine in the same intranet"
    )

    @model_validator(mode="after")
    def _fill_in(self) -> Self:
        home = self.home.resolve()
        object.__setattr__(self, "home", home)
        if not self.database_url:
            object.__setattr__(self, "database_url", f"sqlite:///{home / 'zhongjing.sqlite3'}")
        return self

    @property
    def embedded_socket(self) -> Path:
        """Where the embedded Valkey listens: in the home folder, or where that is too deep for a socket, in /tmp."""
        inside = self.home / "valkey" / "valkey.sock"
        if len(str(inside)) <= LONGEST_SOCKET:
            return inside
        name = hashlib.sha256(str(self.home).encode()).hexdigest()[:16]
        return Path(tempfile.gettempdir()) / f"zhongjing-{name}" / "valkey.sock"

    @property
    def broker_url(self) -> str:
        """What Celery connects to."""
        return self.redis_url or f"redis+socket://{self.embedded_socket}?virtual_host=0"

    @property
    def launchers(self) -> Path:
        """Where the launchers are configured."""
        return Path(self.launchers_file or self.home / "launchers.toml").resolve()

    @property
    def snapshots(self) -> Path:
        """Where frozen campaigns lie."""
        return self.home / "snapshots"

    @property
    def runs(self) -> Path:
        """Where runs work, a folder each."""
        return self.home / "runs"

    @property
    def data_sets(self) -> Path:
        """Where registered data sets are kept."""
        return self.home / "data_sets"
