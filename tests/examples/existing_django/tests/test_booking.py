import pytest
from django.core.cache import cache
from django.db import IntegrityError, connection, transaction
from django.test import TestCase, TransactionTestCase

from appointments.models import Appointment, Doctor

NINE, TEN = "2026-03-02T09:00+00:00", "2026-03-02T10:00+00:00"


@pytest.mark.django_db
def test_migrations_have_made_the_house_doctor():
    assert list(Doctor.objects.values_list("name", flat=True)) == ["House"]


@pytest.mark.parametrize("begin", [NINE, TEN])
def test_patient_books_half_an_hour(client, patient, doctor, begin):
    assert client.post(f"/book/{doctor.id}/", {"begin": begin}).status_code == 201
    assert Appointment.objects.get().patient == patient


def test_time_that_is_taken_is_refused(client, patient, doctor):
    client.post(f"/book/{doctor.id}/", {"begin": NINE})
    again = client.post(f"/book/{doctor.id}/", {"begin": "2026-03-02T09:15+00:00"})
    assert again.status_code == 409


def test_answer_comes_from_the_cache(client, patient, doctor):
    assert client.get(f"/free/{doctor.id}/").json() == {"taken": 0}
    assert cache.get(f"taken:{doctor.id}") == 0


@pytest.mark.django_db(transaction=True)
def test_cache_is_emptied_when_the_appointment_is_there(client, django_user_model):
    client.force_login(django_user_model.objects.create_user("ben"))
    doctor = Doctor.objects.create(name="Grey")
    client.get(f"/free/{doctor.id}/")
    client.post(f"/book/{doctor.id}/", {"begin": NINE})
    assert client.get(f"/free/{doctor.id}/").json() == {"taken": 1}


@pytest.mark.django_db(transaction=True, reset_sequences=True)
@pytest.mark.parametrize("name", ["ada", "ben"])
def test_numbers_begin_anew(django_user_model, name):
    assert django_user_model.objects.create_user(name).id == 1


class DoctorTest(TestCase):
    @classmethod
    def setUpTestData(cls):
        cls.doctor = Doctor.objects.create(name="Grey")

    def test_name_is_taken_once(self):
        with pytest.raises(IntegrityError), transaction.atomic():
            Doctor.objects.create(name="Grey")

    def test_data_of_the_class_is_there(self):
        assert Doctor.objects.count() == 2


class CommitTest(TransactionTestCase):
    serialized_rollback = True

    def test_what_migrations_made_is_there(self):
        assert Doctor.objects.filter(name="House").exists()
        assert connection.in_atomic_block is False

    def test_it_is_there_for_the_next_test_as_well(self):
        assert Doctor.objects.filter(name="House").exists()
