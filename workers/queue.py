"""The Celery app: light enough for the web to import. A message only says which run to look at."""

from __future__ import annotations

import logging

from celery import Celery
from kombu.exceptions import OperationalError

from workers.settings import Settings

TRAINING, CONTROL = "training", "control"
TRAIN, SWEEP, TELL, POLL = "train", "sweep", "tell", "poll"
SWEEP_EVERY_S = 10.0
WAKE_EXPIRES_S = 60.0  # the sweeper calls again, so that nothing piles up behind a long training

log = logging.getLogger(__name__)


def make_app(settings: Settings) -> Celery:
    """The app for a broker: JSON only, nothing prefetched, no results kept (the database has them)."""
    app = Celery("zhongjing", broker=settings.broker_url)
    app.conf.update(
        task_serializer="json",
        accept_content=["json"],
        task_ignore_result=True,
        task_acks_late=False,  # a run is claimed in the database; redelivery would only wake a worker for nothing
        worker_prefetch_multiplier=1,
        worker_disable_prefetch=True,
        worker_hijack_root_logger=False,
        worker_send_task_events=False,
        broker_connection_retry_on_startup=True,
        broker_transport_options={"visibility_timeout": 3600, "socket_timeout": 30, "socket_connect_timeout": 2},
        task_routes={
            TRAIN: {"queue": TRAINING},
            SWEEP: {"queue": CONTROL},
            TELL: {"queue": CONTROL},
            POLL: {"queue": CONTROL},
        },
        task_default_queue=CONTROL,
        beat_schedule={
            task: {"task": task, "schedule": SWEEP_EVERY_S, "options": {"expires": SWEEP_EVERY_S}}
            for task in (SWEEP, TELL, POLL)
        },
        timezone="UTC",
    )
    return app


def wake(app: Celery, run_id: int, *, held: bool = True) -> bool:
    """Has somebody look at a run; says whether that went out. If not, the sweeper or beat does it later.

    A run that is held is a training worker's; one on an engine is the control worker's, which only submits and polls.
    """
    task, arguments = (TRAIN, [run_id]) if held else (POLL, [])
    try:
        app.send_task(task, args=arguments, retry=False, expires=WAKE_EXPIRES_S)
    except (OperationalError, OSError) as error:
        log.warning("run %s waits for the sweeper, the broker is away: %s", run_id, error)
        return False
    return True


def wake_teller(app: Celery) -> bool:
    """Tells the control worker that hooks wait to be told; says whether that went out. If not, beat does it later."""
    try:
        app.send_task(TELL, retry=False, expires=WAKE_EXPIRES_S)
    except (OperationalError, OSError) as error:
        log.warning("hooks wait for beat, the broker is away: %s", error)
        return False
    return True
