"""`python -m sandbox [redis postgres mariadb s3]`: run servers until Ctrl-C, printing a line for each."""

import argparse
import signal
import sys
from collections.abc import Sequence

from sandbox.errors import SandboxError, ServerUnavailable
from sandbox.kinds import KINDS
from sandbox.servers import Sandbox

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the named servers, or all there are. Exit status: 0 stopped on request, 1 one could not be started."""
    parser = argparse.ArgumentParser(prog="python -m sandbox", description="Run real servers on loopback ports.")
    parser.add_argument(
        "names", nargs="*", metavar="server", help=f"any of: {' '.join(KINDS)} (default: all there are)"
    )
    names = parser.parse_args(arguments).names
    for number in SIGNALS:
        signal.signal(number, _interrupt)
    try:
        with Sandbox() as sandbox:
            _serve(sandbox, names or _available(sandbox))
    except SandboxError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 0
    return 0


def _serve(sandbox: Sandbox, names: Sequence[str]) -> None:
    for name, url in sandbox.start(*names).items():
        print(f"{name}  {url}  ({sandbox.source(name)})", flush=True)
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)  # pause() would miss one that comes just before it
    signal.sigwait(SIGNALS)


def _available(sandbox: Sandbox) -> list[str]:
    return [name for name in KINDS if _is_available(sandbox, name)]


def _is_available(sandbox: Sandbox, name: str) -> bool:
    try:
        sandbox.source(name)
    except ServerUnavailable as error:
        print(error, file=sys.stderr)
        return False
    return True


def _interrupt(*_: object) -> None:
    for number in SIGNALS:  # a second Ctrl-C must not interrupt the stopping
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
