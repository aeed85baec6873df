"""Officers, searches and requests (see archive/oversight/models.py)."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="Options",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("administrators", models.BooleanField(default=True)),
                ("four_eyes", models.BooleanField(default=False)),
                ("hours", models.PositiveIntegerField(default=24)),
            ],
        ),
        migrations.CreateModel(
            name="Officer",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("rights", models.JSONField(default=list)),
                ("everywhere", models.BooleanField(default=False)),
                ("domains", models.JSONField(blank=True, default=list)),
                ("appointed", models.FloatField()),
                ("appointed_by", models.TextField()),
                (
                    "account",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE, related_name="officer", to=settings.AUTH_USER_MODEL
                    ),
                ),
            ],
            options={
                "ordering": ("account__username",),
            },
        ),
        migrations.CreateModel(
            name="Request",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("asker", models.TextField()),
                ("asker_account", models.BigIntegerField()),
                ("people", models.JSONField()),
                ("together", models.BooleanField(default=False)),
                ("start", models.FloatField()),
                ("end", models.FloatField()),
                ("reason", models.TextField()),
                ("created", models.FloatField()),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("waiting", "Waiting"),
                            ("granted", "Granted"),
                            ("refused", "Refused"),
                            ("withdrawn", "Withdrawn"),
                        ],
                        default="waiting",
                        max_length=9,
                    ),
                ),
                ("decided_by", models.TextField(blank=True, default="")),
                ("decided", models.FloatField(default=0.0)),
                ("note", models.TextField(blank=True, default="")),
                ("expires", models.FloatField(default=0.0)),
            ],
            options={
                "indexes": [
                    models.Index(fields=["asker_account", "state", "expires"], name="oversight_request_asker"),
                    models.Index(fields=["state", "created"], name="oversight_request_state"),
                ],
            },
        ),
        migrations.CreateModel(
            name="Search",
            fields=[
                ("token", models.CharField(max_length=32, primary_key=True, serialize=False)),
                ("criteria", models.JSONField()),
                ("used", models.FloatField()),
            ],
            options={
                "indexes": [models.Index(fields=["used"], name="oversight_search_used")],
            },
        ),
        migrations.CreateModel(
            name="SavedSearch",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("name", models.CharField(max_length=100)),
                ("criteria", models.JSONField()),
                ("shared", models.BooleanField(default=False)),
                ("created", models.FloatField()),
                (
                    "owner",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="saved_searches",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "ordering": ("name", "pk"),
                "constraints": [models.UniqueConstraint(fields=("owner", "name"), name="oversight_saved_once")],
            },
        ),
    ]
