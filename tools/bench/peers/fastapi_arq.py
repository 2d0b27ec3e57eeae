"""FastAPI and arq."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from arq import create_pool
from arq.connections import RedisSettings
from fastapi import FastAPI, Header, HTTPException, Request, Response

from tools.bench.peers.common import REDIS_URL, TTL_SECONDS, Event, answer_to, is_known, key_of


@asynccontextmanager
async def _connected(app: FastAPI) -> AsyncIterator[None]:
    app.state.redis = await create_pool(RedisSettings.from_dsn(REDIS_URL))
    yield
    await app.state.redis.aclose()


application = FastAPI(lifespan=_connected)


@application.post("/v1/events")
async def post_event(
    event: Event, request: Request, response: Response, authorization: Annotated[str, Header()] = ""
) -> dict[str, str]:
    """Claim and enqueue an event."""
    if not is_known(authorization):
        raise HTTPException(401)
    redis = request.app.state.redis
    is_new = await redis.set(key_of(event), "accepted", nx=True, ex=TTL_SECONDS)
    if is_new:
        await redis.enqueue_job("open_chat", event.event_id, event.user_id)
    response.status_code = 202 if is_new else 200
    return answer_to(event)
