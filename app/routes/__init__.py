"""One file a screen; routes translate, rules decide."""

from app.routes import (
    api_page,
    audit,
    blind_audit,
    calibration,
    campaigns,
    data,
    doubts,
    handing_out,
    history,
    imports,
    login,
    overview,
    ranking,
    review,
    review_policy,
    runs,
    scores,
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
        blind_audit,
        overview,
        statistics,
        campaigns,
        review_policy,
        doubts,
        handing_out,
        calibration,
        scores,
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
