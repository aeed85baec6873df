"""The account with an ACME authority: chosen, its terms agreed to, made."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods

from mlink_web.certificates import renewal
from mlink_web.certificates.authorities import DIRECTORIES, Failed
from mlink_web.certificates.forms import OTHER, AccountForm
from mlink_web.certificates.models import AcmeDomain
from mlink_web.console.access import administrators_only
from mlink_web.console.audit import record


@sensitive_post_parameters("binding_key")
@require_http_methods(["GET", "HEAD", "POST"])
@administrators_only
def account(request: HttpRequest) -> HttpResponse:
    """The form; where the authority has terms, it comes back once with them to be agreed to."""
    from mlink_web.certificates import orders

    known = renewal.account()
    form = AccountForm(request.POST or None, initial=_initial(known))
    terms = ""
    if request.method == "POST" and form.is_valid():
        given = form.cleaned_data
        try:
            directory = orders.look(given["url"], given["trusted"])
            terms = directory.terms
            if directory.needs_binding and not given["binding"]:
                form.add_error("binding", "This authority gives an account only with a key identifier and an HMAC key.")
            elif not terms or given["agreed"] == terms:
                row = renewal.set_account(
                    given["url"],
                    contact=given["contact"],
                    agreed_by=request.user.get_username(),
                    terms=terms,
                    trusted=given["trusted"],
                    binding=given["binding"],
                    binding_key=given["binding_key"],
                )
                record(request, "set up ACME account", row.directory, terms=terms)
                messages.success(request, "The account is made. Domains can have certificates from there now.")
                return redirect("certificates:certificates")
        except Failed as failure:
            form.add_error(None, str(failure))
            terms = ""
    context = {
        "section": "certificates",
        "part": "account",
        "form": form,
        "known": known,
        "terms": terms,
        "domains": AcmeDomain.objects.filter(enabled=True).count(),
    }
    return render(request, "certificates/account.html", context, status=422 if form.errors else 200)


def _initial(known: object) -> dict[str, str]:
    directory = getattr(known, "directory", "") or DIRECTORIES[0][0]
    listed = directory in dict(DIRECTORIES)
    return {
        "known": directory if listed else OTHER,
        "directory": "" if listed else directory,
        "contact": getattr(known, "contact", ""),
        "trusted": getattr(known, "trusted", ""),
        "binding": getattr(known, "binding", ""),
    }
