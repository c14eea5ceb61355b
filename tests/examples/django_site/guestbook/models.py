"""What guests leave."""

from django.db import models


class Entry(models.Model):
    name = models.CharField(max_length=80)
    words = models.TextField()
    written = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ("id",)
