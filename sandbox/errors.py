"""What can go wrong between asking for a server and having one."""


class SandboxError(RuntimeError):
    """Base of everything the sandbox raises."""


class UnknownServer(SandboxError):
    """No kind of server has this name."""


class ServerUnavailable(SandboxError):
    """This machine has no such server; the message says how to install it."""


class ServerDead(SandboxError):
    """The URL given in the environment does not answer."""


class StartFailed(SandboxError):
    """A server of our own did not come up; the message ends with the tail of its log."""


class AnyKeyAccepted(SandboxError):
    """An object store took a request signed with a wrong secret key, so nothing it says about access can be trusted."""


class NoAnswer(SandboxError):
    """A server did not serve a real request, or does not yet."""


class DockerFailed(SandboxError):
    """A docker or compose command ended with another status than 0; the message ends with the tail of its output."""
