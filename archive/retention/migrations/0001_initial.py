from django.db import migrations, models

import archive.models


class Migration(migrations.Migration):
    initial = True

    dependencies = []

    operations = [
        migrations.CreateModel(
            name="Horizon",
            fields=[
                ("days", models.PositiveIntegerField(primary_key=True, serialize=False)),
                ("reached", models.BigIntegerField(default=0)),
                ("version", models.BigIntegerField(default=0)),
                ("begun", models.FloatField(default=0.0)),
            ],
        ),
        migrations.CreateModel(
            name="Keeping",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("domain", models.CharField(blank=True, max_length=1023, unique=True)),
                ("by", models.TextField()),
                ("since", models.FloatField()),
            ],
        ),
        migrations.CreateModel(
            name="Leaving",
            fields=[
                ("id", archive.models.RowId(primary_key=True, serialize=False)),
            ],
        ),
        migrations.CreateModel(
            name="Original",
            fields=[
                ("id", archive.models.RowId(primary_key=True, serialize=False)),
                ("xml", models.TextField()),
                ("kept", models.FloatField()),
                ("hold", models.BigIntegerField(default=0)),
            ],
        ),
        migrations.CreateModel(
            name="Rules",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("version", models.BigIntegerField(default=0)),
            ],
        ),
        migrations.CreateModel(
            name="Run",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("started", models.FloatField()),
                ("ended", models.FloatField(null=True)),
                ("seen", models.BigIntegerField(default=0)),
                ("removed", models.BigIntegerField(default=0)),
                ("sides", models.BigIntegerField(default=0)),
                ("held", models.BigIntegerField(default=0)),
                ("complete", models.BooleanField(default=False)),
                ("trouble", models.TextField(default="")),
            ],
            options={
                "ordering": ("-id",),
            },
        ),
        migrations.CreateModel(
            name="Expired",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("day", models.DateField()),
                ("domain", models.CharField(max_length=1023)),
                ("kind", models.CharField(max_length=4)),
                ("messages", models.BigIntegerField(default=0)),
            ],
            options={
                "ordering": ("-day", "domain", "kind"),
                "constraints": [
                    models.UniqueConstraint(fields=("day", "domain", "kind"), name="retention_expired_once")
                ],
            },
        ),
        migrations.CreateModel(
            name="Hold",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "scope",
                    models.CharField(
                        choices=[
                            ("account", "Everything a person sent or received"),
                            ("talk", "What two people wrote each other"),
                            ("room", "Everything in a room"),
                            ("domain", "Everything of a domain and the domains below it"),
                            ("all", "Everything"),
                        ],
                        max_length=7,
                    ),
                ),
                ("address", models.TextField(blank=True, default="")),
                ("peer", models.TextField(blank=True, default="")),
                ("start", models.FloatField(blank=True, null=True)),
                ("end", models.FloatField(blank=True, null=True)),
                ("reason", models.TextField()),
                ("placed_by", models.TextField()),
                ("placed", models.FloatField()),
                ("released", models.FloatField(blank=True, null=True)),
                ("released_by", models.TextField(blank=True, default="")),
                ("release_reason", models.TextField(blank=True, default="")),
            ],
            options={
                "ordering": ("-id",),
                "indexes": [
                    models.Index(condition=models.Q(("released", None)), fields=["id"], name="retention_hold_active")
                ],
            },
        ),
        migrations.CreateModel(
            name="Policy",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "subject",
                    models.CharField(
                        choices=[
                            ("label", "Messages with a label"),
                            ("room", "A room"),
                            ("user", "A person's own archive"),
                            ("domain", "A domain and the domains below it"),
                            ("everything", "Everything"),
                        ],
                        max_length=10,
                    ),
                ),
                ("value", models.TextField(blank=True, default="")),
                (
                    "kind",
                    models.CharField(
                        blank=True,
                        choices=[("", "All conversations"), ("chat", "Between two"), ("room", "In rooms")],
                        default="",
                        max_length=4,
                    ),
                ),
                ("days", models.PositiveIntegerField(blank=True, null=True)),
                ("files", models.BooleanField(default=False)),
                ("note", models.TextField(blank=True, default="")),
                ("changed", models.FloatField()),
                ("changed_by", models.TextField()),
            ],
            options={
                "ordering": ("subject", "value", "kind"),
                "constraints": [
                    models.UniqueConstraint(fields=("subject", "value", "kind"), name="retention_policy_once")
                ],
            },
        ),
    ]
