"""Tests that commit, each in a database of its own: `own_database` is in conftest.py."""

from threading import Thread

import pytest
from django.db import connection, transaction

from guestbook.models import Entry

pytestmark = pytest.mark.usefixtures("own_database")


@pytest.mark.parametrize("name", ["Ada", "Ben"])
def test_guest_is_the_second_entry_whoever_came_before(name):
    # Sequences begin anew as well; a rollback leaves them where they are.
    assert Entry.objects.create(name=name, words="Me too!").id == 2


def test_hook_runs_when_the_entry_is_there():
    seen = []
    with transaction.atomic():
        Entry.objects.create(name="Ada", words="How nice!")
        transaction.on_commit(lambda: seen.append(Entry.objects.count()))
    assert seen == [2]


def test_another_thread_sees_the_entry():
    Entry.objects.create(name="Ada", words="How nice!")
    seen = []

    def look():
        seen.append(Entry.objects.count())
        connection.close()

    other = Thread(target=look)
    other.start()
    other.join()
    assert seen == [2]


@pytest.mark.asyncio
@pytest.mark.parametrize("name", ["Ada", "Ben"])
async def test_async_code_has_the_same_database(name):
    # It queries in another thread, where the transaction of django_db would not reach.
    await Entry.objects.acreate(name=name, words="Me too!")
    assert await Entry.objects.acount() == 2
