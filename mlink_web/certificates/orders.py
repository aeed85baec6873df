"""One order with an ACME authority (RFC 8555), by the library `acme`: account, order, proof over HTTP, certificate.

The proofs stand in the database while an order runs, and every node answers the authority from there, on its HTTP port
(`challenge_urls.py`): the authority asks port 80 of each name, so that port must lead here.

Everything blocks; all that goes wrong is Failed with a sentence for people.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import josepy
import requests
from acme import challenges, client, errors, messages
from cryptography.hazmat.primitives.asymmetric import ec
from django.utils import timezone

from mlink_web.certificates import bundle as bundles
from mlink_web.certificates import signing_requests
from mlink_web.certificates.authorities import Failed
from mlink_web.certificates.bundle import Bundle
from mlink_web.certificates.models import AcmeAccount, Challenge
from mlink_web.conf import sealing

PLACE: Final = "ACME account"
NETWORK_SECONDS: Final = 20
ORDER_SECONDS: Final = 120
#: Proofs that nobody took away, because a worker died.
CHALLENGE_SECONDS: Final = 900
NONCES: Final = 3
#: Characters of an address that an authority gives; they are kept.
MAX_ADDRESS: Final = 500
_AGENT: Final = "mlink"


class Network(client.ClientNetwork):
    """Tries a few times where the authority wants a fresh nonce (RFC 8555, 6.5); the library does so once."""

    def post(self, *arguments: Any, **options: Any) -> requests.Response:
        """See the library."""
        for _ in range(NONCES):
            try:
                return super().post(*arguments, **options)
            except messages.Error as error:
                if error.code != "badNonce":
                    raise
        return super().post(*arguments, **options)


@dataclass(frozen=True, slots=True)
class Directory:
    """What an authority says of itself: the address of its terms, and whether accounts need a binding."""

    terms: str
    needs_binding: bool


def look(url: str, trusted: str = "") -> Directory:
    """Ask a directory; raises Failed."""
    _check_address(url)
    with _network(None, trusted) as net, _sentences(url):
        directory = client.ClientV2.get_directory(url, net)
        directory["newOrder"]
        meta = getattr(directory, "meta", None)
        terms = str(getattr(meta, "terms_of_service", None) or "")
        if len(terms) > MAX_ADDRESS:
            raise ValueError("the address of its terms is too long.")
        return Directory(terms, bool(getattr(meta, "external_account_required", None)))


def _check_address(directory: str) -> None:
    """RFC 8555, 6.1: nothing is said to an authority in clear text."""
    if not directory.startswith("https://") or len(directory) > MAX_ADDRESS:
        raise Failed("The address of a directory begins with https://.")


def new_account_key() -> str:
    """A key for an account, sealed."""
    key = josepy.JWKEC(key=ec.generate_private_key(ec.SECP256R1()))
    return str(sealing.sealed({"secret": json.dumps(key.to_partial_json())}, PLACE)["secret"])


def register(account: AcmeAccount) -> None:
    """Make the account with the authority, or find it there, and note its URL in the row, which the caller saves. Not
    inside a transaction: others would wait for the authority. Raises Failed."""
    _check_address(account.directory)
    key = _key(account)
    with _network(key, account.trusted) as net, _sentences(account.directory):
        connection = client.ClientV2(client.ClientV2.get_directory(account.directory, net), net)
        binding = None
        if account.binding:
            secret = sealing.opened({"secret": account.binding_key}, PLACE).get("secret") or ""
            binding = messages.ExternalAccountBinding.from_data(
                key.public_key(), account.binding, secret, connection.directory
            )
        wanted = messages.NewRegistration.from_data(
            email=account.contact or None, terms_of_service_agreed=True, external_account_binding=binding
        )
        try:
            account.uri = connection.new_account(wanted).uri
        except errors.ConflictError as known:
            account.uri = known.location
        if len(account.uri) > MAX_ADDRESS:
            raise ValueError("the address of the account is too long.")


def obtain(account: AcmeAccount, names: Sequence[str], note: Callable[[str], None] = lambda _: None) -> Bundle:
    """A certificate for these names (A-labels) with a new key; `note` is told how far it is. Raises Failed."""
    if not account.uri:
        register(account)
        account.save(update_fields=("uri",))
    key = signing_requests.new_key("ec256")
    request = signing_requests.make(key, names, xmpp=False)
    with _network(_key(account), account.trusted) as net, _sentences(account.directory):
        connection = client.ClientV2(client.ClientV2.get_directory(account.directory, net), net)
        net.account = messages.RegistrationResource(uri=account.uri, body=messages.Registration())
        note("The order is placed.")
        order = connection.new_order(request.encode())
        deadline = datetime.now() + timedelta(seconds=ORDER_SECONDS)
        with _proofs(connection, order) as asked:
            note(f"The authority asks for {', '.join(asked) or 'no proof again'}.")
            order = connection.poll_authorizations(order, deadline)
        note("The authority makes the certificate.")
        order = connection.finalize_order(order, deadline)
    try:
        return bundles.read([order.fullchain_pem.encode()], key=key)
    except bundles.Unusable as error:
        raise Failed(f"The authority’s answer cannot be used: {error}") from None


@contextlib.contextmanager
def _proofs(connection: Any, order: Any) -> Iterator[list[str]]:
    """Put the proofs up, tell the authority, and take them down again; gives the names that it asks for."""
    made, asked = [], []
    try:
        for authorization in order.authorizations:
            if authorization.body.status == messages.STATUS_VALID:
                continue
            name = authorization.body.identifier.value
            body = next(
                (one for one in authorization.body.challenges if isinstance(one.chall, challenges.HTTP01)), None
            )
            if body is None:
                raise Failed(f"The authority takes no proof over HTTP for {name}, and this server knows no other.")
            response, validation = body.response_and_validation(connection.net.key)
            token = body.chall.encode("token")
            ends = timezone.now() + timedelta(seconds=CHALLENGE_SECONDS)
            Challenge.objects.update_or_create(token=token, defaults={"answer": validation, "ends": ends})
            made.append(token)
            asked.append(name)
            connection.answer_challenge(body, response)
        yield asked
    finally:
        Challenge.objects.filter(token__in=made).delete()
        Challenge.objects.filter(ends__lt=timezone.now()).delete()


@contextlib.contextmanager
def _network(key: Any, trusted: str) -> Iterator[Any]:
    """HTTP to an authority, which is held against its own list of authorities where it has one."""
    path = ""
    net = Network(key, alg=josepy.ES256, user_agent=_AGENT, timeout=NETWORK_SECONDS)
    try:
        if trusted:
            descriptor, path = tempfile.mkstemp(suffix=".pem")
            with os.fdopen(descriptor, "w") as file:
                file.write(trusted)
            net.verify_ssl = path
        yield net
    finally:
        net.session.close()
        if path:
            os.unlink(path)


@contextlib.contextmanager
def _sentences(directory: str) -> Iterator[None]:
    """What the library and the network raise, as Failed."""
    try:
        yield
    except errors.ValidationError as error:
        raise Failed(_refused_proofs(error)) from None
    except errors.TimeoutError:
        raise Failed(f"The authority did not finish within {ORDER_SECONDS} seconds; it is tried again later.") from None
    except errors.IssuanceError as error:
        raise Failed(f"The authority refused the certificate: {_problem(error.error)}") from None
    except messages.Error as error:
        raise Failed(f"The authority refused: {_problem(error)}") from None
    except requests.exceptions.SSLError:
        text = f"{directory} shows a certificate that is not trusted here; a private authority’s own can be named."
        raise Failed(text) from None
    except requests.exceptions.Timeout:
        raise Failed(f"{directory} did not answer within {NETWORK_SECONDS} seconds.") from None
    except requests.exceptions.RequestException:
        raise Failed(f"{directory} cannot be reached.") from None
    except (errors.Error, josepy.errors.Error, KeyError, AttributeError) as error:
        raise Failed(f"{directory} answered something that is no ACME ({type(error).__name__}).") from None
    except ValueError as error:
        raise Failed(f"{directory}: {error}") from None


def _refused_proofs(error: Any) -> str:
    """Which names the authority could not see, and why."""
    parts = []
    for authorization in error.failed_authzrs:
        name = authorization.body.identifier.value
        why = next((one.error for one in authorization.body.challenges if one.error is not None), None)
        parts.append(f"{name}: {_problem(why)}" if why is not None else name)
    return (
        "The authority could not see the proof over HTTP: port 80 of each name must lead to this server; take those "
        f"out of the list that do not. {' '.join(parts)}"
    )


def _problem(error: Any) -> str:
    """A problem document (RFC 7807) for people."""
    details = [str(error.detail or error.description or error.code or "no reason was given")]
    for part in getattr(error, "subproblems", None) or ():
        identifier = getattr(part, "identifier", None)
        details.append(f"{identifier.value}: {part.detail}" if identifier is not None else str(part.detail))
    text = " ".join(" ".join(details).split())
    return text[:600] + ("" if text.endswith((".", "!", "?")) else ".")


def _key(account: AcmeAccount) -> Any:
    text = sealing.opened({"secret": account.key}, PLACE).get("secret")
    if not text:
        raise Failed("The account’s key was sealed with another SECRET_KEY; set the account up again.")
    return josepy.JWKEC.from_json(json.loads(text))
