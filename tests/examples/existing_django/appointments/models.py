"""Doctors, and who sees them when."""

from django.contrib.auth.models import User
from django.contrib.postgres.constraints import ExclusionConstraint
from django.contrib.postgres.fields import DateTimeRangeField, RangeOperators
from django.db import models


class Doctor(models.Model):
    name = models.CharField(max_length=80, unique=True)


class Appointment(models.Model):
    doctor = models.ForeignKey(Doctor, on_delete=models.CASCADE)
    patient = models.ForeignKey(User, on_delete=models.CASCADE)
    during = DateTimeRangeField()

    class Meta:
        constraints = (
            # Only Postgres knows this: no doctor sees two patients at a time.
            ExclusionConstraint(
                name="one_patient_at_a_time",
                expressions=[("doctor", RangeOperators.EQUAL), ("during", RangeOperators.OVERLAPS)],
            ),
        )
