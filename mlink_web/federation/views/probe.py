"""Testing the way to another server, step by step. With a script the steps appear as they end (`consumers.Probe`)."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_http_methods

from mlink_web.console import commands
from mlink_web.console.access import administrators_only
from mlink_web.console.audit import record
from mlink_web.console.node import NodeUnavailable
from mlink_web.federation import services
from mlink_web.federation.forms import ProbeForm
from mlink_web.federation.rows import STEPS, as_step, verdict

#: A little more than the node takes at most (`admin/federation.py`).
PROBE_SECONDS = 95.0


@require_http_methods(["GET", "HEAD", "POST"])
@administrators_only
def probe(request: HttpRequest) -> HttpResponse:
    """The form, and after it was sent what the test found."""
    steps: list[dict[str, Any]] = []
    outcome: dict[str, Any] = {}
    initial = {"domain": request.GET.get("domain", "")[:1023]}
    form = ProbeForm(request.POST or None, initial=initial)
    if form.is_valid():
        domain, sender = form.cleaned_data["domain"], form.cleaned_data["sender"]
        try:
            found = commands.ask("peer test", PROBE_SECONDS, domain=domain, sender=sender)
        except (commands.Refused, NodeUnavailable) as error:
            form.add_error(None, str(error))
            record(request, "tested peer", domain, sender=sender, why=str(error))
        else:
            steps, outcome = [as_step(step) for step in found], verdict(found, domain)
            record(request, "tested peer", domain, sender=sender, reached=outcome["ok"])
            outcome["peer"] = services.matching(domain)
    context = {
        "section": "federation",
        "part": "test",
        "form": form,
        "steps": steps,
        "outcome": outcome,
        "labels": {name: label for name, label in STEPS.items() if name != "end"},
    }
    return render(request, "federation/test.html", context, status=400 if form.errors else 200)
