import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies = []

    operations = [
        migrations.CreateModel(
            name="Options",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("second", models.BooleanField(default=False)),
            ],
        ),
        migrations.CreateModel(
            name="Redaction",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("proposed", "Waits for a second officer"),
                            ("declined", "Declined"),
                            ("working", "Being carried out"),
                            ("done", "Carried out"),
                        ],
                        default="proposed",
                        max_length=8,
                    ),
                ),
                ("reason", models.TextField()),
                ("told", models.BooleanField(default=False)),
                ("operator", models.TextField()),
                ("created", models.FloatField()),
                ("second", models.TextField(blank=True, default="")),
                ("decided", models.FloatField(blank=True, null=True)),
                ("note", models.TextField(blank=True, default="")),
                ("job", models.CharField(blank=True, default="", max_length=40)),
                ("finished", models.FloatField(blank=True, null=True)),
            ],
            options={
                "ordering": ("-id",),
                "indexes": [
                    models.Index(
                        condition=models.Q(("state__in", ("proposed", "working"))),
                        fields=["state"],
                        name="redaction_open",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="Redacted",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("message", models.BigIntegerField(db_index=True)),
                (
                    "how",
                    models.CharField(
                        choices=[("chosen", "Chosen"), ("correction", "Another version of it"), ("reply", "Quotes it")],
                        default="chosen",
                        max_length=10,
                    ),
                ),
                ("sender", models.TextField()),
                ("recipient", models.TextField()),
                ("room", models.BigIntegerField(default=0)),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("waiting", "Waits"),
                            ("gone", "Redacted"),
                            ("held", "Kept by a legal hold"),
                            ("missing", "No longer in the archive"),
                        ],
                        default="waiting",
                        max_length=7,
                    ),
                ),
                ("sha256", models.CharField(blank=True, default="", max_length=64)),
                (
                    "redaction",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="messages", to="redaction.redaction"
                    ),
                ),
            ],
            options={
                "ordering": ("message",),
                "constraints": [models.UniqueConstraint(fields=("redaction", "message"), name="redacted_once")],
            },
        ),
        migrations.CreateModel(
            name="Place",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("name", models.CharField(max_length=10)),
                ("order", models.PositiveSmallIntegerField()),
                (
                    "state",
                    models.CharField(
                        choices=[("waiting", "Waits"), ("done", "Done"), ("trouble", "Tried again")],
                        default="waiting",
                        max_length=7,
                    ),
                ),
                ("result", models.TextField(blank=True, default="")),
                ("changed", models.FloatField(default=0.0)),
                (
                    "redaction",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="places", to="redaction.redaction"
                    ),
                ),
            ],
            options={
                "ordering": ("order",),
                "constraints": [models.UniqueConstraint(fields=("redaction", "name"), name="redaction_place_once")],
            },
        ),
    ]
