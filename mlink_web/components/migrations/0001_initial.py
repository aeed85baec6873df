from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies = []

    operations = [
        migrations.CreateModel(
            name="Component",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("domain", models.CharField(max_length=1023, unique=True)),
                ("description", models.CharField(blank=True, default="", max_length=200)),
                ("enabled", models.BooleanField(default=True)),
                ("secret", models.TextField(help_text="Sealed.")),
                ("renewed", models.DateTimeField()),
                (
                    "networks",
                    models.JSONField(blank=True, default=list, help_text="Addresses and networks; none for all."),
                ),
                (
                    "conflict",
                    models.CharField(
                        choices=[("refuse", "Is refused"), ("replace", "Takes the place of the first")],
                        default="refuse",
                        max_length=8,
                    ),
                ),
                (
                    "delegated",
                    models.JSONField(
                        blank=True, default=dict, help_text="Namespace to names of attributes (XEP-0355)."
                    ),
                ),
                (
                    "privileges",
                    models.JSONField(blank=True, default=dict, help_text="Kind to permission (XEP-0356)."),
                ),
                (
                    "domains",
                    models.JSONField(
                        blank=True, default=list, help_text="Domains for which the two hold; none for all."
                    ),
                ),
                ("queue_bytes", models.PositiveIntegerField(default=8388608)),
                ("created", models.DateTimeField(auto_now_add=True)),
            ],
            options={
                "ordering": ("domain",),
            },
        ),
    ]
