"""Settings of the site."""

import os
from urllib.parse import unquote, urlsplit

_database = urlsplit(os.environ["DATABASE_URL"])

DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": _database.path[1:],
        "USER": unquote(_database.username or ""),
        "PASSWORD": unquote(_database.password or ""),
        "HOST": _database.hostname,
        "PORT": _database.port,
    }
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
INSTALLED_APPS = ["django.contrib.contenttypes", "guestbook"]
ROOT_URLCONF = "config.urls"
SECRET_KEY = os.environ.get("SECRET_KEY", "for tests only")
TEST_RUNNER = "config.runner.RunnerOnLease"
USE_TZ = True
