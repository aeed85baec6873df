"""Who is subscribed to a node, and who is what to it."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_POST

from mlink_web.console.access import administrators_only
from mlink_web.pubsub.forms import AFFILIATIONS, AffiliationForm, SubscribeForm
from mlink_web.pubsub.views.node import do, node_page


@require_POST
@administrators_only
def subscribe(request: HttpRequest, service: str) -> HttpResponse:
    """Subscribe somebody."""
    form = SubscribeForm(request.POST)
    if not form.is_valid():
        return node_page(request, service, subscription=form)
    jid = form.cleaned_data["subscriber"]
    return do(request, service, "subscribed to node", "pubsub subscribe", f"{jid} is subscribed.", jid=jid)


@require_POST
@administrators_only
def decide(request: HttpRequest, service: str) -> HttpResponse:
    """Approve a subscription, or end it."""
    wish = {"jid": request.POST.get("jid", "")[:3071], "subid": request.POST.get("subid", "")[:1023]}
    if request.POST.get("allowed") == "yes":
        sentence = f"The subscription of {wish['jid']} is approved."
        return do(request, service, "approved subscription to node", "pubsub approve", sentence, **wish)
    sentence = f"The subscription of {wish['jid']} has ended."
    return do(request, service, "ended subscription to node", "pubsub unsubscribe", sentence, **wish)


@require_POST
@administrators_only
def affiliate(request: HttpRequest, service: str) -> HttpResponse:
    """Add, change or remove an affiliation."""
    form = AffiliationForm(request.POST)
    if not form.is_valid():
        return node_page(request, service, affiliation=form)
    data = form.cleaned_data
    words = dict(AFFILIATIONS)[data["affiliation"]].lower()
    sentence = f"{data['jid']} now has the affiliation: {words}."
    return do(request, service, "changed affiliation with node", "pubsub affiliate", sentence, **data)
