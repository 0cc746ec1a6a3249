"""What goes wrong with credentials before anything is opened."""


class UnusableCredentials(Exception):
    """What was given has the form of these credentials, but cannot be used; the message says why, without secrets."""
