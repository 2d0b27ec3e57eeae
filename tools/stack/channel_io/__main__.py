"""Command that runs the stand-in as a process of its own."""

import argparse
import signal
import sys

from tools.stack.channel_io.stand_in import ChannelIo

STOP_SIGNALS = {signal.SIGTERM, signal.SIGINT}


def main() -> None:
    """Serve until SIGTERM or Ctrl-C."""
    options = _arguments().parse_args()
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)  # threads inherit the mask
    with ChannelIo(
        options.key,
        options.secret,
        options.port,
        limit_per_second=options.limit_per_second,
        burst=options.burst,
    ) as stand_in:
        sys.stdout.write(f"the stand-in for Channel.io serves {stand_in.url}\n")
        sys.stdout.flush()
        signal.sigwait(STOP_SIGNALS)


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="tools.stack.channel_io", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="default: any free port")
    parser.add_argument("--key", default="key", help="the valid x-access-key")
    parser.add_argument("--secret", default="secret", help="the valid x-access-secret")
    parser.add_argument("--limit-per-second", type=float, help="default: no rate limit")
    parser.add_argument("--burst", type=int, default=1000)
    return parser


if __name__ == "__main__":
    main()
