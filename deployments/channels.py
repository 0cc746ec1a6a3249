"""Where alerts go: notification blocks from environment variables, sent by the server itself."""

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from uuid import UUID

import apprise
from prefect.blocks.abstract import NotificationBlock
from prefect.blocks.notifications import CustomWebhookNotificationBlock, SlackWebhook
from prefect.types import SecretDict
from pydantic import SecretStr

from deployments.block_documents import save_block
from deployments.errors import BadAlertChannel


@dataclass(frozen=True)
class Channel:
    """One place that alerts are sent to."""

    document: str
    block: NotificationBlock = field(repr=False)


def _slack(url: str) -> NotificationBlock:
    return SlackWebhook(url=SecretStr(url))


def _webhook(url: str) -> NotificationBlock:
    # The address goes where the API hides it: the block's own `url` field is not a secret.
    return CustomWebhookNotificationBlock(
        name="steward",
        url="{{url}}",
        json_data={"subject": "{{subject}}", "body": "{{body}}"},
        headers=None,
        cookies=None,
        secrets=SecretDict({"url": url}),
    )


def _email(url: str) -> NotificationBlock:
    # The server can only load block types that Prefect ships, and none is plain e-mail. This one hands any URL that is
    # not Slack's to Apprise, which does SMTP (mailto, mailtos) and a dozen mail services.
    return SlackWebhook(url=SecretStr(url))


@dataclass(frozen=True)
class _Kind:
    document: str
    schemes: tuple[str, ...]
    make: Callable[[str], NotificationBlock]
    example: str


KINDS = {
    "STEWARD_ALERT_SLACK_URL": _Kind(
        "steward-alerts-slack", ("https",), _slack, "https://hooks.slack.com/services/T…/B…/…"
    ),
    "STEWARD_ALERT_EMAIL_URL": _Kind(
        "steward-alerts-email",
        ("mailto", "mailtos", "sendgrid", "mailgun", "ses"),
        _email,
        "mailtos://user:password@smtp.example.org?from=steward@example.org&to=ops@example.org",
    ),
    "STEWARD_ALERT_WEBHOOK_URL": _Kind(
        "steward-alerts-webhook", ("http", "https"), _webhook, "https://alerts.example.org/steward"
    ),
}


def channels_from(environ: Mapping[str, str]) -> list[Channel]:
    """Read the channels that the environment names; an empty variable is none.

    Raises:
        BadAlertChannel: an address cannot be sent to; the message names the variable and never its value.
    """
    return [_channel(name, environ[name]) for name in KINDS if environ.get(name)]


def upsert_channel(channel: Channel) -> UUID:
    """Save the channel's block over the one of the same name, where that differs, and return its id."""
    document, _ = save_block(channel.block, channel.document)
    return document


def _channel(variable: str, url: str) -> Channel:
    kind = KINDS[variable]
    sendable = url.partition("://")[0] in kind.schemes and (kind.make is _webhook or _apprise_knows(url))
    if not sendable:
        raise BadAlertChannel(f"{variable}: no address that can be sent to; write it like {kind.example}")
    return Channel(kind.document, kind.make(url))


def _apprise_knows(url: str) -> bool:
    with _quiet("apprise"):
        return isinstance(apprise.Apprise.instantiate(url), apprise.NotifyBase)


@contextmanager
def _quiet(name: str) -> Iterator[None]:
    # Apprise logs the whole address, password included, when it does not like it.
    logger = logging.getLogger(name)
    before, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = before
