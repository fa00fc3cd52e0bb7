"""One file a screen; routes translate, rules decide."""

from app.routes import (
    api_page,
    audit,
    campaigns,
    data,
    history,
    imports,
    login,
    overview,
    ranking,
    review,
    runs,
    snapshots,
    statistics,
    tokens,
    users,
    webhooks,
)

ROUTERS = [
    module.router
    for module in (
        login,
        ranking,
        history,
        review,
        overview,
        statistics,
        campaigns,
        imports,
        users,
        snapshots,
        data,
        runs,
        audit,
        tokens,
        api_page,
        webhooks,
    )
]
