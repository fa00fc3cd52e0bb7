"""Where webhooks may lead, as far as an address says so itself."""

from __future__ import annotations

from urllib.parse import urlsplit

from annotation.refusals import Invalid
from workers.outward import is_public
from workers.settings import Settings


def require_reachable(url: str, settings: Settings) -> None:
    """Raises Invalid for an address in a private network, where nothing is sent under these settings.

    A name is looked up when a message is sent, for only then it is known where it leads.
    """
    if _plainly_private(url) and not settings.webhooks_to_private:
        raise Invalid(
            "This address is in a private network, where nothing is sent to. If it is meant, whoever runs this "
            "installation sets ZHONGJING_WEBHOOKS_TO_PRIVATE to true and starts it again."
        )


def _plainly_private(url: str) -> bool:
    try:
        host = urlsplit(url.strip()).hostname or ""
        return host == "localhost" or host.endswith(".localhost") or not is_public(host)
    except ValueError:  # a name, or no address at all, which is refused elsewhere
        return False
