"""What can go wrong in a deploy; each knows the exit status it means."""


class DeployError(RuntimeError):
    """Base of everything a deploy raises: something failed on the way, exit status 1."""

    exit_status = 1


class BadInput(DeployError):
    """A file or a variable is wrong; nothing has been changed, exit status 2."""

    exit_status = 2


class ApiUrlMissing(BadInput):
    """No PREFECT_API_URL, so no server to deploy to."""


class SecretInUrl(BadInput):
    """The server's address has a password in it, which would be shown and stored."""


class ApiUnreachable(DeployError):
    """The server did not answer in time, or refused us."""


class PrefectYamlRejected(BadInput):
    """prefect.yaml says something that Prefect would drop or refuse later; the message lists all of it."""


class BadEnvFile(BadInput):
    """The `.env` beside prefect.yaml cannot be read; the message names the line and never its value."""


class BadBlockVariable(BadInput):
    """A STEWARD_BLOCK__… variable names no block type or field, or has a value that the block refuses."""


class BadAlertChannel(BadInput):
    """A STEWARD_ALERT_… variable is not an address that the channel can send to."""


class WorkerTypeMissing(BadInput):
    """prefect.yaml names a pool whose type of worker is not installed here."""


class WorkPoolTypeDiffers(DeployError):
    """The server has a pool of this name and another type, which cannot be changed."""


class PrefectDeployFailed(DeployError):
    """`prefect deploy` ended with another status than 0; its own output says why."""
