"""xmppctl called in this process, for tests of commands on the database."""

from __future__ import annotations

import json
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command


def ctl(*words: str) -> Any:
    """What a command says, as JSON."""
    out = StringIO()
    call_command("xmppctl", *words, "--json", stdout=out, stderr=StringIO())
    return json.loads(out.getvalue())


def refused(*words: str) -> str:
    """The sentence with which a command is refused."""
    said = StringIO()
    with pytest.raises(SystemExit) as ended:
        call_command("xmppctl", *words, stdout=StringIO(), stderr=said)
    assert ended.value.code == 1
    return said.getvalue()
