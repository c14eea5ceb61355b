"""Where everything is."""

from django.urls import path

from appointments.views import book, free

urlpatterns = [path("free/<int:doctor>/", free), path("book/<int:doctor>/", book)]
