"""Stand-in for Channel.io: an HTTP server that makes a new chat for every POST.

Tests use ``ChannelIo`` of ``stand_in.py``; ``behaviours.py`` lists its behaviours.
``python -m tools.stack.channel_io --port N`` runs it until SIGTERM or Ctrl-C.
"""

from tools.stack.channel_io.answers import CHANNEL_ID, PERSONAL
from tools.stack.channel_io.barrier import Withheld
from tools.stack.channel_io.behaviours import Behaviour, Operation
from tools.stack.channel_io.ledger import Create, Message, Open, Request
from tools.stack.channel_io.stand_in import ChannelIo

__all__ = [
    "CHANNEL_ID",
    "PERSONAL",
    "Behaviour",
    "ChannelIo",
    "Create",
    "Message",
    "Open",
    "Operation",
    "Request",
    "Withheld",
]
