"""The stand-in of Channel.io: a real HTTP server that makes a new chat for every POST.

``stand_in.py`` is what tests hold in their hands; ``behaviours.py`` lists how it can behave.
``python -m tools.stack.channel_io --port N`` runs it by itself, until SIGTERM or Ctrl-C.
"""

from tools.stack.channel_io.answers import CHANNEL_ID, PERSONAL
from tools.stack.channel_io.barrier import Withheld
from tools.stack.channel_io.behaviours import Behaviour
from tools.stack.channel_io.ledger import Create, Request
from tools.stack.channel_io.stand_in import ChannelIo

__all__ = ["CHANNEL_ID", "PERSONAL", "Behaviour", "ChannelIo", "Create", "Request", "Withheld"]
