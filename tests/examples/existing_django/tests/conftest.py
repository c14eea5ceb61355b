import pytest
from django.core.cache import cache

from appointments.models import Doctor


@pytest.fixture(autouse=True)
def empty_cache():
    cache.clear()


@pytest.fixture
def doctor(db):
    return Doctor.objects.create(name="Grey")


@pytest.fixture
def patient(db, client, django_user_model):
    """Somebody who is logged in."""
    user = django_user_model.objects.create_user("ada", password="for tests")
    client.force_login(user)
    return user
