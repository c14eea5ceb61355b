"""Where everything is."""

from django.urls import path

from guestbook.views import entries

urlpatterns = [path("entries/", entries)]
