"""Landing page, sign-in, sign-out, and the web chat with the one-time password that lets it in."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.contrib.auth.views import LoginView, LogoutView
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.templatetags.static import static
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import ensure_csrf_cookie
from django.views.decorators.http import require_GET, require_safe

from mlink_web.accounts import services as accounts
from mlink_web.conf.services import first_domain
from mlink_web.console.access import reach_of
from mlink_web.console.audit import record
from mlink_web.pages.forms import SignInForm
from mlink_web.pages.places import endpoint_places, file_places, websocket_url
from mlink_web.security import HEADER, policy
from mlink_web.uploads.services import origin as upload_origin

#: Plug-ins of Converse that are left out: they would keep messages from the archive (encryption between clients), or
#: duplicate our own pages.
UNUSED_PLUGINS = (
    "converse-omemo",
    "converse-omemo-views",
    "converse-push",
    "converse-register",
)


@require_safe
def home(request: HttpRequest) -> HttpResponse:
    """What this server is and how to connect to it."""
    context = {
        "domain": first_domain(),
        "host": request.get_host().rsplit(":", 1)[0],
        "c2s_port": settings.MLINK_C2S_PORT,
        "c2s_tls_port": settings.MLINK_C2S_TLS_PORT,
        "bosh_url": request.build_absolute_uri("/http-bind"),
        "websocket_url": websocket_url(request),
    }
    return render(request, "pages/home.html", context)


class SignIn(LoginView):
    """Sign in with XMPP address and password."""

    template_name = "pages/sign_in.html"
    form_class = SignInForm
    redirect_authenticated_user = True

    def get_form_kwargs(self) -> dict[str, Any]:
        """The form wants the request for the client's address."""
        return {**super().get_form_kwargs(), "request": self.request}

    def form_valid(self, form: SignInForm) -> HttpResponse:
        """Start the session, in a new one so that nobody can have planted its id."""
        record(self.request, "signed in", form.cleaned_data["username"])
        return super().form_valid(form)

    def get_default_redirect_url(self) -> str:
        """Where a person without a `next` goes: administrators to the console, others to the chat."""
        return reverse("console:overview") if reach_of(self.request.user) else reverse("chat")


class SignOut(LogoutView):
    """Sign out, and let the browser drop what the chat has stored: the machine may be shared."""

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """End the session."""
        response = super().post(request, *args, **kwargs)
        response.headers["Clear-Site-Data"] = '"storage"'
        return response


@require_safe
@never_cache
@login_required
@ensure_csrf_cookie
def chat(request: HttpRequest) -> HttpResponse:
    """The chat application, which fetches its one-time password from `chat_credentials`."""
    socket = websocket_url(request)
    files = upload_origin(request.user.domain)
    config = {
        "files_host": urlsplit(files).hostname or "",
        "host_meta_url": "/.well-known/host-meta.json",
        "websocket_url": socket,
        "bosh_service_url": request.build_absolute_uri("/http-bind"),
        "sign_in_url": f"{reverse('login')}?next={reverse('chat')}",
        "settings": {
            "jid": request.user.get_username(),
            "authentication": "login",
            "auto_login": True,
            "auto_reconnect": True,
            "credentials_url": reverse("chat-credentials"),
            # Each login takes a new one-time password: nothing of it is worth keeping.
            "reuse_scram_keys": False,
            "keepalive": False,
            "discover_connection_methods": False,
            "assets_path": static("converse"),
            "view_mode": "fullscreen",
            "i18n": "en",
            "theme": "classic",
            "dark_theme": "dracula",
            "allow_logout": False,
            "allow_registration": False,
            "message_archiving": "always",
            "loglevel": "warn",
            "auto_insert": False,
            "show_self_in_roster": False,
            "muc_nickname_from_jid": True,
            "muc_fetch_members": False,
            # Rooms are found on this server, not in a public directory.
            "muc_search_service": "",
            # Nothing from elsewhere: no list of public servers, no players, no directories.
            "autocomplete_providers_url": "",
            "embed_3rd_party_media_players": False,
            "show_client_info": False,
            "blacklisted_plugins": list(UNUSED_PLUGINS),
        },
    }
    response = render(request, "pages/chat.html", {"chat_config": config})
    # Converse sets styles in its elements, keeps pictures as blobs, and its encryption is WebAssembly.
    sources = file_places(request.user)
    places = endpoint_places(request)
    places += [source for source in sources if source not in places]
    response.headers[HEADER] = policy(
        script_src="'wasm-unsafe-eval'",
        style_src="'unsafe-inline'",
        img_src=" ".join(("blob:", *sources)),
        media_src=" ".join(("'self' blob:", *sources)),
        font_src="data:",
        connect_src=" ".join(places),
        worker_src="'self'",
    )
    return response


@require_GET
@never_cache
def chat_credentials(request: HttpRequest) -> JsonResponse:
    """Address and a new one-time password of the person signed in, for the chat page only; 401 for anybody else."""
    if not request.user.is_authenticated:
        return JsonResponse({"error": "You are signed out."}, status=401)
    if request.headers.get("Sec-Fetch-Site", "same-origin") != "same-origin":
        record(request, "chat password refused", request.user.get_username(), why="asked from another site")
        return JsonResponse({"error": "Only the chat page may ask for this."}, status=403)
    try:
        token = accounts.issue_token(request.user)
    except ValueError as error:
        return JsonResponse({"error": str(error)}, status=403)
    return JsonResponse({"jid": request.user.get_username(), "password": token})
