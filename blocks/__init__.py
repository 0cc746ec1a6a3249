"""Credentials in, a client out; one module per system."""

from blocks.redis_credentials import RedisCredentials

Credentials = RedisCredentials
"""Every kind of store that a plan can be for; a union once there is a second one."""

__all__ = ["Credentials", "RedisCredentials"]
