"""The overview: figures of the node and counts from the database."""

from __future__ import annotations

from django.db.models import Count, Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from mlink_web.accounts.models import Account
from mlink_web.conf.models import Domain
from mlink_web.console import node
from mlink_web.console.access import reach, within_domains
from mlink_web.reports.store import open_count
from mlink_web.uploads.services import totals


@require_safe
@within_domains
def overview(request: HttpRequest) -> HttpResponse:
    """Figures as of now; a script renews those of the node."""
    own = reach(request)
    active = Q(state=Account.State.ACTIVE)
    accounts = own.narrowed(Account.objects.all(), "domain__name")
    users = accounts.aggregate(on=Count("pk", filter=active), off=Count("pk", filter=~active))
    known = own.narrowed(Domain.objects.all(), "name")
    domains = known.aggregate(on=Count("pk", filter=Q(enabled=True)), off=Count("pk", filter=Q(enabled=False)))
    context = {
        "section": "overview",
        "node": node.figures(own),
        "users": users,
        "domains": domains,
        "whole": own.everything,
        "names": own.names,
        "reports": open_count(own.domains),
        "uploads": totals(own.domains),
    }
    return render(request, "console/overview.html", context)
