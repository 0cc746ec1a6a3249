"""Credentials in, a client out; one module per system."""

from blocks.database_credentials import DatabaseCredentials
from blocks.object_store_credentials import ObjectStoreCredentials
from blocks.redis_credentials import RedisCredentials

Credentials = RedisCredentials | DatabaseCredentials | ObjectStoreCredentials
"""Every kind of store that a plan can be for."""

__all__ = ["Credentials", "DatabaseCredentials", "ObjectStoreCredentials", "RedisCredentials"]
