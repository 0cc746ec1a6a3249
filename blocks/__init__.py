"""Credentials in, a client out; one module per system."""

from blocks.database_credentials import DatabaseCredentials
from blocks.redis_credentials import RedisCredentials

Credentials = RedisCredentials | DatabaseCredentials
"""Every kind of store that a plan can be for."""

__all__ = ["Credentials", "DatabaseCredentials", "RedisCredentials"]
