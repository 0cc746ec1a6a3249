"""Every kind of store that a plan can be for."""

from __future__ import annotations

from blocks.database_credentials import DatabaseCredentials
from blocks.object_store_credentials import ObjectStoreCredentials
from blocks.redis_credentials import RedisCredentials

Credentials = RedisCredentials | DatabaseCredentials | ObjectStoreCredentials
