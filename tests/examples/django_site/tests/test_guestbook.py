"""Tests as pytest-django has them: each is a transaction that is rolled back at its end."""

import pytest
from django.test import TestCase

from guestbook.models import Entry

pytestmark = pytest.mark.django_db


def test_entry_is_found_by_its_name():
    Entry.objects.create(name="Ada", words="How nice!")
    assert Entry.objects.get(name="Ada").words == "How nice!"


@pytest.mark.parametrize("name", ["Ada", "Ben"])
def test_guest_finds_what_the_migrations_made_and_nothing_else(name):
    assert list(Entry.objects.values_list("name", flat=True)) == ["The house"]
    Entry.objects.create(name=name, words="Me too!")


def test_what_is_posted_is_shown(client):
    answer = client.post("/entries/", {"name": "Ada", "words": "How nice!"})
    assert answer.status_code == 201
    shown = client.get("/entries/").json()["entries"]
    assert shown[-1] == {"name": "Ada", "words": "How nice!"}


class EntryTest(TestCase):
    """Django's own classes work, too."""

    @classmethod
    def setUpTestData(cls):
        cls.entry = Entry.objects.create(name="Ada", words="How nice!")

    def test_house_is_first(self):
        self.assertEqual([one.name for one in Entry.objects.all()], ["The house", "Ada"])
