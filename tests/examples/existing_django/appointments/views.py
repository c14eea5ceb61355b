"""Appointments over HTTP."""

from datetime import datetime, timedelta

from django.core.cache import cache
from django.db import IntegrityError, transaction
from django.http import HttpRequest, JsonResponse

from appointments.models import Appointment


def free(request: HttpRequest, doctor: int) -> JsonResponse:
    """How many appointments a doctor has; kept in the cache until one is made."""
    taken = cache.get_or_set(
        f"taken:{doctor}", lambda: Appointment.objects.filter(doctor=doctor).count()
    )
    return JsonResponse({"taken": taken})


def book(request: HttpRequest, doctor: int) -> JsonResponse:
    """Take half an hour."""
    begin = datetime.fromisoformat(request.POST["begin"])
    try:
        with transaction.atomic():
            made = Appointment.objects.create(
                doctor_id=doctor,
                patient_id=request.user.id,
                during=(begin, begin + timedelta(minutes=30)),
            )
            transaction.on_commit(lambda: cache.delete(f"taken:{doctor}"))
    except IntegrityError:
        return JsonResponse({"error": "taken"}, status=409)
    return JsonResponse({"id": made.id}, status=201)
