"""Makes calls in a patched process: ``python -m tests.channel.patched_call CALLS``.

``CALLS`` is a list of calls in JSON. All of them begin at once; their ends are printed as JSON.
"""

from gevent import monkey

monkey.patch_all()

import sys  # noqa: E402 - everything is imported after the patch
import time  # noqa: E402

import gevent  # noqa: E402

from app.channel.attempt import CallContext  # noqa: E402
from app.channel.tasks import ChannelTasks  # noqa: E402
from app.chats.grant import Grant  # noqa: E402
from tests.channel.calls import client_of  # noqa: E402
from tests.channel.grants import create_of, message_of, open_of, resolve_of  # noqa: E402
from tests.channel.patched import CALLS, ENDED, Ended, PatchedCall  # noqa: E402
from tests.channel.raw_server import trusting_tls  # noqa: E402
from tools.stack import hanging_look_ups  # noqa: E402


def make(call: PatchedCall) -> Ended:
    """Make one call."""
    client = client_of(
        call.url,
        connect_timeout_seconds=call.connect_timeout_seconds,
        proxy=call.proxy,
        tls=trusting_tls() if call.trusts_loopback else None,
    )
    began = time.monotonic()
    if call.is_probe:
        problem = client.probe(deadline=began + call.seconds)
        return Ended(None, problem, time.monotonic() - began)
    context = CallContext(began + call.seconds)
    tasks = ChannelTasks(client, key_prefix="relay", bot_name=None)
    outcome = tasks.perform(grant_of(call), context)
    return Ended(outcome, None, time.monotonic() - began, context.requests)


def grant_of(call: PatchedCall) -> Grant:
    """Return the grant of a call's task."""
    if call.member_id:
        return resolve_of(call.member_id)
    if call.chat_id:
        return open_of(call.chat_id) if call.is_open else message_of(chat_id=call.chat_id)
    return create_of(call.user_id)


if __name__ == "__main__":
    hanging_look_ups.install()
    greenlets = [gevent.spawn(make, call) for call in CALLS.validate_json(sys.argv[1])]
    gevent.joinall(greenlets, raise_error=True)
    sys.stdout.buffer.write(ENDED.dump_json([greenlet.value for greenlet in greenlets]))
