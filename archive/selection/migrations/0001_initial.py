"""The tables."""

from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True
    dependencies = []
    operations = [
        migrations.CreateModel(
            name="Decision",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("kind", models.CharField(choices=[("user", "Person"), ("room", "Room")], max_length=4)),
                ("address", models.CharField(max_length=2047)),
                ("kept", models.BooleanField()),
                ("who", models.CharField(blank=True, default="", max_length=2047)),
                ("when", models.DateTimeField(auto_now=True)),
            ],
            options={
                "ordering": ("kind", "address"),
                "constraints": [models.UniqueConstraint(fields=("kind", "address"), name="selection_decision_once")],
            },
        ),
        migrations.CreateModel(
            name="DecisionsVersion",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("version", models.BigIntegerField(default=0)),
            ],
        ),
    ]
