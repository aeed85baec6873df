"""A column whose order is that of code points on every database."""

from __future__ import annotations

from typing import Any

from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper


class CodePointField(models.CharField):
    """Text that is listed page by page: databases sort by the alphabet of their locale, which would differ from the
    engine's order, and from one machine to the next. SQLite compares bytes anyway."""

    def db_parameters(self, connection: BaseDatabaseWrapper) -> dict[str, Any]:
        """The column's type with its collation."""
        parameters: dict[str, Any] = super().db_parameters(connection)
        if connection.vendor == "postgresql":
            parameters["collation"] = "C"
        return parameters
