"""What a run may end with that its user can mend."""

from __future__ import annotations

from rlhf.checkpoints import CheckpointError
from rlhf.config import ConfigError
from rlhf.data import DataError

REFUSALS = (DataError, CheckpointError, ConfigError)
