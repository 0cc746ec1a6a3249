"""Real servers on loopback for the demo and the tests, and a proxy that breaks their connections on command."""

from sandbox.chaos import ChaosProxy
from sandbox.errors import (
    AnyKeyAccepted,
    NoAnswer,
    SandboxError,
    ServerDead,
    ServerUnavailable,
    StartFailed,
    UnknownServer,
)
from sandbox.kinds import KINDS
from sandbox.servers import Sandbox

__all__ = [
    "KINDS",
    "AnyKeyAccepted",
    "ChaosProxy",
    "NoAnswer",
    "Sandbox",
    "SandboxError",
    "ServerDead",
    "ServerUnavailable",
    "StartFailed",
    "UnknownServer",
]
