"""What the pages of forms share."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from django import forms
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render

from fdp import services
from fdp.definition import DefinitionError
from fdp.models import Topic


def when(seconds: float | None) -> datetime | None:
    """A stored time, None for none."""
    return datetime.fromtimestamp(seconds, UTC) if seconds else None


def get_topic(pk: int) -> Topic:
    """The topic with this key; raises Http404 for one that is not there or was removed."""
    topic = services.topics().filter(pk=pk).first()
    if topic is None:
        raise Http404
    return topic


def topic_page(
    request: HttpRequest, topic: Topic, tab: str, template: str, context: dict[str, Any], *, bad: bool = False
) -> HttpResponse:
    """One of the pages of a topic, with its navigation; `bad` answers what was refused."""
    context = {"section": "forms", "part": "topics", "topic": topic, "tab": tab, **context}
    return render(request, template, context, status=400 if bad else 200)


def refuse(form: forms.Form, error: ValueError) -> None:
    """Show a refusal of the services at the field that it is about."""
    if isinstance(error, DefinitionError) and error.path in form.fields:
        sentence = error.reason[:1].upper() + error.reason[1:]
        form.add_error(error.path, sentence if sentence.endswith(".") else f"{sentence}.")
    else:
        form.add_error(None, str(error))
