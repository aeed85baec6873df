"""What the forms of the console share: how browsers treat names and secrets, and where a refusal stands."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

from django.core.exceptions import ValidationError

Value = TypeVar("Value")
#: Names, addresses, keys: no browser shall write them with a capital, mark them as wrong or fill them in.
PLAIN: Final = {"autocapitalize": "none", "spellcheck": "false", "autocomplete": "off"}
#: What stands in lines, as in a file.
CODE: Final = {**PLAIN, "class": "code"}
#: A browser offers to make a new one, and never fills in the one of who looks.
NEW_SECRET: Final = {"autocomplete": "new-password"}


def checked(check: Callable[..., Value], *given: object) -> Value:
    """What `check` makes of what was typed; its ValueError is told at the field."""
    try:
        return check(*given)
    except ValueError as error:
        raise ValidationError(str(error)) from None
