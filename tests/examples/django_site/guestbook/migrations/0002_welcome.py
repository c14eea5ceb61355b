"""A first entry, by the house."""

from django.db import migrations


def welcome(apps, _):
    apps.get_model("guestbook", "Entry").objects.create(name="The house", words="Welcome!")


class Migration(migrations.Migration):
    dependencies = (("guestbook", "0001_entries"),)
    operations = (migrations.RunPython(welcome, migrations.RunPython.noop),)
