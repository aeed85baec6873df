"""Options of nodes in one table, for all and for single nodes.

What stood in EngineOptions and Listener is copied. Their tables stay, empty of use, for nodes of the version before,
which read them as long as the two run side by side.
"""

from typing import Any

from django.db import migrations, models


def copy(apps: Any, schema: Any) -> None:
    """What is set for all nodes, in the database that is migrated."""
    using = schema.connection.alias
    values = {}
    for options in apps.get_model("conf", "EngineOptions").objects.using(using).filter(pk=1):
        values.update({f"http.{name}": value for name, value in options.http.items()})
        values.update({f"node.{name}": value for name, value in options.engine.items()})
    for listener in apps.get_model("conf", "Listener").objects.using(using).all():
        values.update({f"{listener.name}.{name}": value for name, value in listener.limits.items()})
    if values:
        apps.get_model("conf", "NodeOptions").objects.using(using).create(node="", values=values)


class Migration(migrations.Migration):
    dependencies = [
        ("conf", "0003_moved_to"),
    ]

    operations = [
        migrations.CreateModel(
            name="NodeOptions",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "node",
                    models.CharField(
                        blank=True, help_text="Name of the node, empty for all nodes.", max_length=100, unique=True
                    ),
                ),
                (
                    "values",
                    models.JSONField(
                        blank=True, default=dict, help_text="Values by key, for example c2s.stanza_bytes."
                    ),
                ),
            ],
            options={
                "ordering": ("node",),
            },
        ),
        migrations.RunPython(copy, migrations.RunPython.noop),
        migrations.SeparateDatabaseAndState(
            state_operations=[
                migrations.DeleteModel(name="EngineOptions"),
                migrations.DeleteModel(name="Listener"),
            ],
        ),
    ]
