"""The doctor who is always there."""

from django.db import migrations


def add(apps, _):
    apps.get_model("appointments", "Doctor").objects.create(name="House")


class Migration(migrations.Migration):
    dependencies = (("appointments", "0001_initial"),)
    operations = (migrations.RunPython(add, migrations.RunPython.noop),)
