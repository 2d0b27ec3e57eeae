"""The routes that are open to all: how the service is, and what it says of itself."""

from app.web.openapi.answers import Json, found, json_of, problems
from app.web.openapi.operations import operation, parameter
from app.web.openapi.schemas import TEXT, ref
from app.web.problems import PROBLEMS

OPEN: list[Json] = []
HTML: dict[str, Json] = {"text/html": {"schema": TEXT}}

GET_LIVEZ = operation(
    "Whether the process serves",
    '"$RELAY/livez"',
    OPEN,
    operationId="getLivez",
    tags=["service"],
    responses={"200": found("It does.", json_of(ref("Alive"), {"status": "ok"})), **problems()},
)

GET_READYZ = operation(
    "Whether events can be accepted",
    '"$RELAY/readyz"',
    OPEN,
    operationId="getReadyz",
    tags=["service"],
    description="Channel.io may be down meanwhile: accepting works without it.",
    responses={
        "200": found("They can.", json_of(ref("Ready"), {"status": "ok", "warnings": []})),
        **problems("not-ready"),
    },
)

GET_METRICS = operation(
    "Metrics for Prometheus",
    '"$RELAY/metrics"',
    OPEN,
    operationId="getMetrics",
    tags=["service"],
    responses={
        "200": found(
            "Without Redis: what can be told without it.", {"text/plain": {"schema": TEXT}}
        ),
        **problems(),
    },
)

GET_OPENAPI = operation(
    "This description for programs",
    '"$RELAY/openapi.json"',
    OPEN,
    operationId="getOpenapi",
    tags=["service"],
    responses={"200": found("OpenAPI 3.1.", json_of({"type": "object"})), **problems()},
)

GET_DOCS = operation(
    "This description for people",
    '"$RELAY/docs"',
    OPEN,
    operationId="getDocs",
    tags=["service"],
    responses={"200": found("A page.", HTML), **problems()},
)

GET_PROBLEM = operation(
    "What a problem means",
    '"$RELAY/problems/event-id-reused"',
    OPEN,
    operationId="getProblem",
    tags=["service"],
    description="The `type` of every problem is its address here.",
    parameters=[
        parameter("path", "slug", "Which problem.", {"enum": [*PROBLEMS]}, "event-id-reused")
    ],
    responses={
        "200": found(
            "What it means and what to do; as a page, where `Accept` prefers that.",
            json_of(ref("ProblemPage")) | HTML,
        ),
        **problems("not-found"),
    },
)

PATHS: Json = {
    "/livez": {"get": GET_LIVEZ},
    "/readyz": {"get": GET_READYZ},
    "/metrics": {"get": GET_METRICS},
    "/openapi.json": {"get": GET_OPENAPI},
    "/docs": {"get": GET_DOCS},
    "/problems/{slug}": {"get": GET_PROBLEM},
}
