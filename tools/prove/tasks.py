"""Events with all tasks: members, messages and opens, under faults of every part.

The stand-in's lists of creates, messages and opens are the truth: one chat is published, it has one
message and one open, and no other chat has any. Where a fault breaks a condition of the promise
(docs/guarantees.md), a chat may have two messages.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from random import Random
from threading import Event, Thread

from app.chats.errors import NothingDone
from app.chats.record import FailureCode, Record
from app.store.keys import Keys
from app.store.operations import Operations
from app.store.scripts import Scripts
from tools.prove.account import Fault, account
from tools.prove.scene import run_relay, stop_workers
from tools.prove.table import Proof, ProofRow
from tools.stack.channel_io import Behaviour, Operation
from tools.stack.deployment import Deployment
from tools.stack.load import EventPoster, event_with_tasks
from tools.stack.redis_line import RedisLine

DEADLINE_SECONDS = 0.6
LEASE_SECONDS = DEADLINE_SECONDS + 5
SETTINGS = {
    "CALL_DEADLINE_SECONDS": str(DEADLINE_SECONDS),
    "CALL_CONNECT_TIMEOUT_SECONDS": str(DEADLINE_SECONDS),
    "BREAKER_THRESHOLD": "1000",
    "BOT_NAME": "Relay",
}
PAUSE_SECONDS = 0.2
KILLS = 6
LOST_SHARE = 0.05
# Longer than the relay waits before it looks: the lease, and three deadlines.
LAG_SECONDS = 12.0
TTL_SECONDS = 2_592_000
B = Behaviour

READS = [*[B.CREATE] * 6, B.SERVER_ERROR, B.THROTTLED, B.CLOSE_WITHOUT_CREATE, B.CREATE_SLOW]
WRITES = [
    *[B.CREATE] * 6,
    *(B.CREATE_THEN_CLOSE, B.CREATE_THEN_TRUNCATE, B.CREATE_THEN_GATEWAY_TIMEOUT, B.CREATE_SLOW),
    *(B.CLOSE_WITHOUT_CREATE, B.SERVER_ERROR, B.THROTTLED),
]
OPERATIONS = (
    *(Operation.RESOLVE, Operation.CREATE, Operation.LIST_MESSAGES),
    *(Operation.MESSAGE, Operation.GET_CHAT, Operation.OPEN),
)
# Late, cut, lost, refused for now, or not answered at all.
WRONG = (
    *(B.CREATE_SLOW, B.CREATE_THEN_TRUNCATE, B.CREATE_THEN_CLOSE, B.CREATE_THEN_SILENCE),
    *(B.CREATE_THEN_GATEWAY_TIMEOUT, B.THROTTLED, B.SERVER_ERROR, B.CLOSE_WITHOUT_CREATE),
    *(B.SILENCE, B.CONFLICT),
)
LOSSES = [B.CREATE, B.CREATE, B.CREATE_THEN_CLOSE, B.CREATE_THEN_SILENCE]


@dataclass
class TaskScene:
    """A relay under load.

    ``consents`` counts an operator's consents to one more create of an event, ``redriven`` those
    to one more message.
    """

    deployment: Deployment
    load: EventPoster
    random: Random
    consents: Counter[str] = field(default_factory=Counter)
    redriven: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True)
class TaskFault:
    """One kind of fault. ``begin`` sets the stand-in up; ``disturb`` happens under load."""

    name: str
    begin: Callable[[Deployment, Random], None] = lambda _, __: None
    disturb: Callable[[TaskScene], None] = lambda _: None
    end: Callable[[Deployment], None] = lambda _: None
    may_recreate: bool = False
    most_messages: int = 1


def proofs() -> Sequence[Proof]:
    """Return one proof for each fault, and those that are not about a load."""
    return [
        Proof(_ONE_LOST, _lose_one_of_each, is_short=True),
        *(Proof(each.name, partial(_prove, each), is_short=False) for each in _FAULTS),
        Proof(_EACH_WRONG, _answer_each_way, is_short=False),
        *(
            Proof(name, partial(_never_answer, name, deduplicates), is_short=False)
            for name, deduplicates in _NEVER_ANSWERED.items()
        ),
        Proof("tasks: replies from Redis are dropped", _drop_replies, is_short=False),
    ]


def _prove(fault: TaskFault, directory: Path, random: Random) -> ProofRow:
    consent = {"ON_UNKNOWN": "recreate"} if fault.may_recreate else {}
    deployment = Deployment(directory, **SETTINGS, **consent)
    with run_relay(deployment):
        fault.begin(deployment, random)
        scene = _load(deployment, random)
        try:
            fault.disturb(scene)
        finally:
            scene.load.end()
        fault.end(deployment)
        doing = Fault(
            name=fault.name,
            over_at=time.monotonic(),
            may_recreate=fault.may_recreate,
            most_messages=fault.most_messages,
            consents=scene.consents,
            redriven=scene.redriven,
        )
        row = account(deployment, doing)
        return row.with_faults(_find_repeated_opens(deployment))


def _load(deployment: Deployment, random: Random) -> TaskScene:
    load = EventPoster(deployment.caller, PAUSE_SECONDS, event_of=event_with_tasks)
    scene = TaskScene(deployment, load, random)
    load.wait_for_more()
    return scene


def _lose_one_of_each(directory: Path, _: Random) -> ProofRow:
    """Lose one answer to each operation, each of an event of its own."""
    return _prove_plans(directory, _ONE_LOST, {each: [B.CREATE_THEN_CLOSE] for each in OPERATIONS})


def _answer_each_way(directory: Path, _: Random) -> ProofRow:
    """Answer each operation in each wrong way once, each of an event of its own."""
    return _prove_plans(directory, _EACH_WRONG, dict.fromkeys(OPERATIONS, WRONG))


def _prove_plans(
    directory: Path, name: str, plans: Mapping[Operation, Sequence[Behaviour]]
) -> ProofRow:
    deployment = Deployment(directory, **SETTINGS)
    with run_relay(deployment):
        stand_in = deployment.channel_io
        for operation, behaviours in plans.items():
            for behaviour in behaviours:
                event = event_with_tasks(f"{operation}-{behaviour}")
                member_id = event["member_id"]
                is_resolve = operation is Operation.RESOLVE
                user_id = member_id if is_resolve else stand_in.user_id_of(member_id)
                stand_in.plan(behaviour, user_id=user_id, operation=operation)
                deployment.caller.post(event).raise_for_status()
        times = len(deployment.accepted)
        row = account(deployment, Fault(name=name, times=times, over_at=time.monotonic()))
        return row.with_faults([*_find_repeated_opens(deployment), *_find_unasked_ends(deployment)])


def _find_unasked_ends(deployment: Deployment) -> Iterator[str]:
    """Yield events that are not whole, though each answer but one was good.

    A create without an answer is held; what ended without one may be done.
    """
    for event_id in sorted(deployment.accepted):
        record = deployment.caller.find(event_id)
        assert record is not None
        is_whole = all(task["status"] == "done" for task in record["tasks"].values())
        is_held = record["status"] == "unknown" and Operation.CREATE in event_id
        if not is_held and not (record["status"] == "opened" and is_whole):
            yield f"{event_id} is {record['status']}, with {record['tasks']}"


def _never_answer(name: str, deduplicates: bool, directory: Path, _: Random) -> ProofRow:  # noqa: FBT001
    """Answer and list no message: it is sent twice, then a last look decides."""
    deployment = Deployment(directory, **SETTINGS)
    with run_relay(deployment):
        deployment.channel_io.switches.list_lag_seconds = 1e9
        deployment.channel_io.switches.deduplicates_request_ids = deduplicates
        deployment.channel_io.always(B.CREATE_THEN_CLOSE, operation=Operation.MESSAGE)
        for number in range(10):
            deployment.caller.post(event_with_tasks(f"never-{number}")).raise_for_status()
        expected = 1 if deduplicates else 2
        doing = Fault(name=name, over_at=time.monotonic(), most_messages=expected)
        return account(deployment, doing).with_faults(_find_other_ends(deployment, expected))


def _find_other_ends(deployment: Deployment, expected: int) -> Iterator[str]:
    messages = Counter(each.chat_id for each in deployment.messages)
    for event_id in sorted(deployment.accepted):
        record = deployment.caller.find(event_id)
        assert record is not None
        message = record["tasks"]["message"]
        code = (message["failure"] or {}).get("code")
        count = messages[record["chat"]["id"]]
        if (count, message["attempts"], code) != (expected, 2, FailureCode.NO_ANSWER):
            yield f"{event_id} has {count} messages, sent {message['attempts']} times: {code}"


def _find_repeated_opens(deployment: Deployment) -> Iterator[str]:
    for chat_id, count in Counter(each.chat_id for each in deployment.opens).items():
        if count > 1:
            yield f"{chat_id} was opened {count} times"


def _drop_replies(directory: Path, random: Random) -> ProofRow:
    name = "tasks: replies from Redis are dropped"
    deployment = Deployment(directory, **SETTINGS)
    with RedisLine(deployment.valkey.port) as line, run_relay(deployment, REDIS_URL=line.url):
        scene = _load(deployment, random)
        line.lose(random, LOST_SHARE, resets=True)
        time.sleep(2)
        line.mend()
        scene.load.wait_for_more()
        scene.load.end()
        doing = Fault(name=name, times=line.losses, over_at=time.monotonic())
        return account(deployment, doing).with_faults(_find_repeated_opens(deployment))


def _lose_answers(deployment: Deployment, random: Random) -> None:
    """Let every operation but the create end in any way, then well."""
    plan = deployment.channel_io.plan
    for operation, behaviours in (
        (Operation.RESOLVE, READS),
        (Operation.LIST_MESSAGES, READS),
        (Operation.GET_CHAT, READS),
        (Operation.MESSAGE, WRITES),
        (Operation.OPEN, WRITES),
    ):
        plan(*random.choices(behaviours, k=24), operation=operation)


def _lose_creates(deployment: Deployment, random: Random) -> None:
    deployment.channel_io.plan(*random.choices(LOSSES, k=20))


def _lose_messages(deployment: Deployment, random: Random) -> None:
    deployment.channel_io.plan(*random.choices(LOSSES, k=12), operation=Operation.MESSAGE)


def _lag(deployment: Deployment, random: Random) -> None:
    """Let the list lack new messages for longer than the relay waits."""
    deployment.channel_io.switches.list_lag_seconds = LAG_SECONDS
    _lose_messages(deployment, random)


def _lag_a_little(deployment: Deployment, random: Random) -> None:
    """Let the list show new messages just before the relay looks."""
    deployment.channel_io.switches.list_lag_seconds = LEASE_SECONDS
    _lose_messages(deployment, random)


def _come_late(deployment: Deployment, _: Random) -> None:
    """Let messages be made long after their connection was closed."""
    deployment.channel_io.plan(*[B.CLOSE_THEN_CREATE] * 6, operation=Operation.MESSAGE)


def _arrive(scene: TaskScene) -> None:
    """Let late requests arrive after the relay has looked, and sent again."""
    scene.load.stop()
    time.sleep(LEASE_SECONDS + 3 * DEADLINE_SECONDS + 2)
    scene.deployment.channel_io.release()


def _kill(scene: TaskScene) -> None:
    deployment = scene.deployment
    for _ in range(KILLS):
        time.sleep(scene.random.uniform(0.1, 0.5))
        running = [worker for worker in deployment.workers if worker.child.poll() is None]
        scene.random.choice(running).kill()
        deployment.start_worker()
    scene.load.wait_for_more()


def _stop(scene: TaskScene) -> None:
    """Stop one worker until its leases are over, while the other one goes on."""
    with stop_workers(scene.deployment.workers[:1]):
        time.sleep(LEASE_SECONDS + 1)
    scene.load.wait_for_more()


def _operate(scene: TaskScene) -> None:
    """Let an operator decide about events at random, while they go on."""
    over = Event()
    with _decisions(scene, over):
        for _ in range(3):
            scene.load.wait_for_more()
        scene.load.stop()
        time.sleep(LEASE_SECONDS + 3 * DEADLINE_SECONDS)
        over.set()


@contextmanager
def _decisions(scene: TaskScene, over: Event) -> Iterator[None]:
    errors: list[BaseException] = []

    def decide() -> None:
        try:
            with scene.deployment.connect() as client:
                scripts = Scripts(client.relay, Keys("relay"))
                operations = Operations(scripts, record_ttl_seconds=TTL_SECONDS)
                while not over.wait(0.02):
                    event_id = scene.random.choice(sorted(scene.deployment.accepted))
                    with suppress(NothingDone):
                        _decide(scene, operations, event_id)
        except BaseException as error:  # noqa: BLE001 - raised where the thread is joined
            errors.append(error)

    thread = Thread(target=decide)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
    if errors:
        raise errors[0]


def _decide(scene: TaskScene, operations: Operations, event_id: str) -> None:
    record = operations.event_history(event_id).record
    decision = scene.random.choice(["cancel", "redrive", "give_up", "recreate"])
    if decision == "cancel" and scene.random.random() < 0.7:
        return  # most events are to get on
    getattr(operations, decision)(event_id, by="anna")
    scene.consents[event_id] += decision == "recreate"
    scene.redriven[event_id] += decision == "redrive" and _is_doubtful(record)


def _is_doubtful(record: Record) -> bool:
    name, failure = record.failed_task or (None, None)
    return name == "message" and failure is not None and failure.code == FailureCode.NO_ANSWER


def _lose_all(deployment: Deployment, random: Random) -> None:
    _lose_creates(deployment, random)
    _lose_messages(deployment, random)


_ONE_LOST = "tasks: one answer to each operation is lost"
_EACH_WRONG = "tasks: each operation is answered in each wrong way"
_NEVER_ANSWERED = {
    "tasks: messages are never answered or listed": False,
    "tasks: messages are never answered or listed, and deduplicated": True,
}
_FAULTS = (
    TaskFault("tasks: answers of Channel.io are lost", begin=_lose_answers),
    TaskFault("tasks: kill -9 of workers", begin=_lose_messages, disturb=_kill),
    TaskFault("tasks: a worker is stopped until its leases expire, and resumed", disturb=_stop),
    TaskFault("tasks: creates are lost, with consent", begin=_lose_creates, may_recreate=True),
    TaskFault("tasks: creates are lost, and held", begin=_lose_creates),
    TaskFault(
        "tasks: an operator cancels, redrives, recreates and gives up meanwhile",
        begin=_lose_all,
        disturb=_operate,
        may_recreate=True,
    ),
    TaskFault("tasks: the list of messages lags too long", begin=_lag, most_messages=2),
    TaskFault("tasks: the list of messages lags, and not too long", begin=_lag_a_little),
    TaskFault(
        "tasks: messages arrive after the look",
        begin=_come_late,
        disturb=_arrive,
        most_messages=2,
    ),
)
