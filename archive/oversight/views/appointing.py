"""Officers and options: the administrators' part."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST

from archive.oversight import access, officers, showing
from archive.oversight.forms import OfficerForm, OptionsForm
from archive.oversight.officers import LABELS
from archive.oversight.views.common import View, answer, attempt, in_zone, who
from mlink_web.console.access import administrators_only


def recorded(view: View) -> View:
    """Administrators only; nothing is done while the audit log takes nothing."""
    return administrators_only(view, access.BEFOREHAND)


@require_http_methods(["GET", "HEAD", "POST"])
@recorded
@in_zone
def listed(request: HttpRequest) -> HttpResponse:
    """All officers, the form that appoints one, and the options."""
    posted = request.method == "POST"
    change = request.GET.get("change", "")
    form = OfficerForm(request.POST if posted else None, initial=_initial(change) if change else None)
    status = 200
    if posted:
        status = 400
        if form.is_valid():
            data = form.cleaned_data
            domains = None if data["everywhere"] else data["domains"]
            try:
                officer = officers.appoint(data["account"], data["rights"], domains, **who(request))
            except ValueError as error:
                form.add_error(None, str(error))
            else:
                messages.success(request, f"{officer} is an archive officer.")
                return redirect("oversight:officers")
    options = access.options()
    zone = timezone.get_current_timezone()
    context = {
        "form": form,
        "options": OptionsForm(
            initial={
                "administrators": options.administrators,
                "four_eyes": options.four_eyes,
                "hours": options.hours,
            },
            prefix="options",
        ),
        "officers": [
            {
                "row": row,
                "rights": [LABELS[right] for right in row.rights if right in LABELS],
                "when": showing.moment(row.appointed, zone),
            }
            for row in officers.listed()
        ],
    }
    return answer(request, "oversight/officers.html", context, status)


@require_POST
@recorded
def remove(request: HttpRequest) -> HttpResponse:
    """Take an officer's rights."""
    account = request.POST.get("account", "")
    attempt(request, f"{account} is no archive officer any more.", lambda: officers.remove(account, **who(request)))
    return redirect("oversight:officers")


@require_POST
@recorded
def change_options(request: HttpRequest) -> HttpResponse:
    """Set how oversight works."""
    form = OptionsForm(request.POST, prefix="options")
    if not form.is_valid():
        messages.error(request, f"A grant lasts 1 to {officers.MAX_HOURS} hours.")
        return redirect("oversight:officers")
    attempt(request, "The options are changed.", lambda: officers.change_options(**form.cleaned_data, **who(request)))
    return redirect("oversight:officers")


def _initial(address: str) -> dict[str, object] | None:
    """The form with what an officer has."""
    try:
        officer = officers.find(address)
    except ValueError:
        return None
    return {
        "account": str(officer),
        "rights": officer.rights,
        "everywhere": officer.everywhere,
        "domains": officer.domains,
    }
