"""Settings, from the environment or from .env."""

from pydantic import PostgresDsn, RedisDsn, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    model_config = SettingsConfigDict(env_file=".env")

    database_url: PostgresDsn
    redis_url: RedisDsn
    jwt_secret: SecretStr


settings = Settings()
