"""Accounts: one row is an XMPP account and a Django user at once. Only `services.py` and the account store write here.

No password is stored: a credential holds the SCRAM keys that RFC 5802 (section 3) derives from it, and the web sign-in
derives them again to compare.
"""

from __future__ import annotations

import hmac
from typing import Any, ClassVar

from asgiref.sync import sync_to_async
from django.contrib.auth.models import AbstractBaseUser, BaseUserManager
from django.db import models, transaction
from django.utils import timezone
from django.utils.crypto import salted_hmac

from mlink_web.accounts import scram
from mlink_web.conf.models import Domain


class AccountManager(BaseUserManager["Account"]):
    """Finds accounts by address."""

    def get_by_natural_key(self, username: str | None) -> Account:
        """The account with this bare address."""
        return self.get(username=username)


class Account(AbstractBaseUser):
    """A person (or program) that signs in: by XMPP with its bare JID, on the web with the same address and password."""

    class State(models.TextChoices):
        """Whether the account may sign in."""

        ACTIVE = "active", "Active"
        DISABLED = "disabled", "Disabled"
        LOCKED = "locked", "Locked"
        EXPIRED = "expired", "Password expired"

    class Archive(models.TextChoices):
        """Which messages of the account are archived (XEP-0313, preferences)."""

        DOMAIN = "", "As the domain says"
        ALWAYS = "always", "All"
        NEVER = "never", "None"
        ROSTER = "roster", "Those with contacts"

    # The field of the base class; the keys are in Credential.
    password = None
    username = models.CharField("address", max_length=2047, unique=True, help_text="Bare JID in canonical form.")
    domain = models.ForeignKey(Domain, on_delete=models.PROTECT, related_name="accounts")
    local = models.CharField(max_length=1023)
    state = models.CharField(max_length=8, choices=State.choices, default=State.ACTIVE)
    is_staff = models.BooleanField("may use the console", default=False)
    is_superuser = models.BooleanField("administrator", default=False)
    created = models.DateTimeField(default=timezone.now)
    last_logout = models.DateTimeField(null=True, blank=True)
    last_status = models.TextField(default="", blank=True)
    #: When the message of the day was set that the user was told last, in seconds since the epoch.
    motd_seen = models.FloatField(default=0.0)
    roster_version = models.BigIntegerField(default=0)
    archive = models.CharField(max_length=6, choices=Archive.choices, default=Archive.DOMAIN, blank=True)
    archive_always = models.JSONField(default=list, blank=True)
    archive_never = models.JSONField(default=list, blank=True)
    #: Where its owner is now; others are told (XEP-0283). Nodes of an older version do not know the column.
    moved_to = models.CharField(
        "has moved to", max_length=2047, default="", db_default="", blank=True, help_text="Bare JID in canonical form."
    )

    objects: ClassVar[AccountManager] = AccountManager()
    USERNAME_FIELD = "username"
    REQUIRED_FIELDS: ClassVar[list[str]] = []

    class Meta:
        ordering = ("username",)
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=("domain", "local"), name="account_domain_local"),
            models.Index(fields=("moved_to",), name="account_moved_to", condition=~models.Q(moved_to="")),
        ]

    def __str__(self) -> str:
        return self.username

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Store the row, and the keys of a password set before."""
        new_keys = self.__dict__.pop("_new_keys", None)
        with transaction.atomic():
            super().save(*args, **kwargs)
            if new_keys is not None:
                Credential.replace(self, new_keys)
        if new_keys is not None:
            self._keys_cache = None

    @property
    def is_active(self) -> bool:  # type: ignore[override]
        """Whether the account may sign in."""
        return self.state == self.State.ACTIVE

    @property
    def bare(self) -> str:
        """The address, by the word that the engine uses."""
        return self.username

    def get_full_name(self) -> str:
        """The address: accounts have no other name."""
        return self.username

    get_short_name = get_full_name

    def set_password(self, raw_password: str | None) -> None:
        """Take a new password; its keys are stored by the next `save`. None means that no password fits."""
        self.__dict__["_new_keys"] = [] if raw_password is None else scram.derive(raw_password)

    def set_unusable_password(self) -> None:
        """No password fits any more after the next `save`."""
        self.set_password(None)

    def check_password(self, raw_password: str) -> bool:
        """Whether this is the password. Takes the same time for an account that has none."""
        keys = self._keys()
        return scram.matches(raw_password, keys.get("SCRAM-SHA-256") or keys.get("SCRAM-SHA-1"))

    async def acheck_password(self, raw_password: str) -> bool:
        """See `check_password`."""
        return await sync_to_async(self.check_password)(raw_password)

    def has_usable_password(self) -> bool:
        """Whether a password is set."""
        return bool(self._keys())

    def _get_session_auth_hash(self, secret: str | None = None) -> str:
        """Changes with the stored keys, so a new password ends the web sessions of the account."""
        keys = self._keys()
        material = b"".join(keys[name].stored_key for name in sorted(keys)).hex()
        return salted_hmac("mlink.accounts.session", material, secret=secret, algorithm="sha256").hexdigest()

    def get_session_auth_hash(self) -> str:
        """See `_get_session_auth_hash`."""
        return self._get_session_auth_hash()

    def _keys(self) -> dict[str, scram.ScramKeys]:
        cached = self.__dict__.get("_keys_cache")
        if cached is None:
            cached = {row.mechanism: row.as_keys() for row in self.credentials.all()}
            self.__dict__["_keys_cache"] = cached
        return cached

    def has_perm(self, perm: str, obj: object = None) -> bool:
        """Administrators may do everything, others nothing beyond their own account."""
        return self.is_active and self.is_superuser

    def has_perms(self, perm_list: list[str], obj: object = None) -> bool:
        """See `has_perm`."""
        return all(self.has_perm(perm, obj) for perm in perm_list)

    def has_module_perms(self, app_label: str) -> bool:
        """See `has_perm`."""
        return self.is_active and self.is_superuser


class Credential(models.Model):
    """The SCRAM keys of an account's password for one hash. All rows of an account share salt and iterations, unless
    they were imported."""

    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="credentials")
    mechanism = models.CharField(max_length=32)
    salt = models.BinaryField()
    iterations = models.PositiveIntegerField()
    stored_key = models.BinaryField()
    server_key = models.BinaryField()

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=("account", "mechanism"), name="credential_once")
        ]

    def __str__(self) -> str:
        return f"{self.mechanism} of account {self.account_id}"

    def as_keys(self) -> scram.ScramKeys:
        """The row as the engine's value."""
        return scram.ScramKeys(
            self.mechanism, bytes(self.salt), self.iterations, bytes(self.stored_key), bytes(self.server_key)
        )

    @classmethod
    def of(cls, account: Account, keys: list[scram.ScramKeys]) -> list[Credential]:
        """Rows for these keys, not stored yet."""
        return [
            cls(
                account=account,
                mechanism=key.mechanism,
                salt=key.salt,
                iterations=key.iterations,
                stored_key=key.stored_key,
                server_key=key.server_key,
            )
            for key in keys
        ]

    @classmethod
    def replace(cls, account: Account, keys: list[scram.ScramKeys]) -> None:
        """Store these keys in place of the account's; its one-time tokens go, their salt is gone too."""
        using = account._state.db
        cls.objects.using(using).filter(account=account).delete()
        SignInToken.objects.using(using).filter(account=account).delete()
        cls.objects.using(using).bulk_create(cls.of(account, keys))


class SignInToken(models.Model):
    """Keys of a one-time password for signing in by XMPP without typing the real one (the web chat).

    One token makes a row per mechanism; they share `token`, and spending one spends all.
    """

    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="tokens")
    token = models.CharField(max_length=32, db_index=True)
    mechanism = models.CharField(max_length=32)
    stored_key = models.BinaryField()
    server_key = models.BinaryField()
    #: Seconds since the epoch.
    expires = models.FloatField(db_index=True)
    used = models.BooleanField(default=False)

    def __str__(self) -> str:
        return f"token of account {self.account_id}"

    def fits(self, stored_key: bytes) -> bool:
        """Whether this is the token with that key."""
        return hmac.compare_digest(bytes(self.stored_key), stored_key)


class AccountChange(models.Model):
    """A change that running nodes must see (password, state, removal): nodes read the rows they have not seen."""

    bare = models.CharField(max_length=2047)
    when = models.DateTimeField(auto_now_add=True, db_index=True)

    def __str__(self) -> str:
        return self.bare
