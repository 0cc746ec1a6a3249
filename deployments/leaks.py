"""Secrets in prefect.yaml: Prefect resolves templates when it deploys and stores the result in clear text."""

import re
from collections.abc import Iterator, Mapping

from deployments.templates import TEMPLATE, fill, texts, value_of

SECRET_NAME = re.compile(
    r"pass(?!ive)|pwd|secret|token|(api|access|account|private)_?key|_auth\b|auth_string|credential", re.IGNORECASE
)
SECRET_URL = re.compile(
    r"://[^\s@]*:[^\s@]+@|://[^/?#\n]*:[^/?#\n]*@"  # a password may hold a slash, or a blank
    r"|://[A-Za-z0-9_-]{20,}@"  # a key in the place of the user
    r"|(^|[?&;,\s])(password|passwd|pwd|secret|token|(api|access|account)_?key)\s*=\s*[^\s&]",
    re.IGNORECASE,
)
KEY = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY"
    r"|\b(AKIA|ASIA)[0-9A-Z]{16}\b"  # Amazon
    r"|\b(gh[oprsu]|github_pat|glpat|xox[abprs]|sk|pnu|pnb)[_-][A-Za-z0-9_-]{16,}"  # GitHub, GitLab, Slack, …, Prefect
    r"|\beyJ[A-Za-z0-9_-]{8,}\.eyJ"  # a JSON web token
    r"|^(?![0-9a-f]{40}$)[0-9a-fA-F]{32,}$"  # a name of a git commit is none
    # What no one writes by hand: long, of one piece, with small and large letters and digits.
    r"|^(?=.*[a-z])(?=.*[A-Z])(?=.*[0-9])(?![/.~])[A-Za-z0-9+/=_-]{32,}$"
)


def has_password(text: str) -> bool:
    """Return whether the text looks like a URL with a password."""
    return bool(SECRET_URL.search(text))


def is_secret(text: str) -> bool:
    """Return whether the text looks like a URL with a password, or like a key."""
    return has_password(text) or bool(KEY.search(text))


def leaks(data: object, environ: Mapping[str, str], where: str = "") -> Iterator[str]:
    """Find each place in the data that holds a secret, or would once it is deployed; never the secret itself."""
    for place, key, text in texts(data, where):
        names = TEMPLATE.findall(text)
        if any(name.startswith("prefect.blocks.") for name in names):
            yield f"{place}: a prefect.blocks template is stored in clear text; use $ref: {{block_document_slug: …}}"
        elif any(SECRET_NAME.search(name) for name in names) or (SECRET_NAME.search(key) and text):
            yield f"{place}: looks like a secret; put it in a block and refer to that with $ref"
        elif is_secret(text):
            yield f"{place}: a URL with a password, or a key; put it in a block and refer to that with $ref"
        elif is_secret(fill(text, environ)) or any(is_secret(value_of(name, environ) or "") for name in names):
            yield (
                f"{place}: the value of {' and '.join(names)} looks like a secret, a URL with a password or a key, and "
                "would be stored in clear text; put it in a block and refer to that with $ref"
            )
