"""Exports are jobs like others (`mlink_web.jobs`)."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [
        ("fdp", "0003_newest"),
    ]

    operations = [
        migrations.DeleteModel(
            name="Export",
        ),
    ]
