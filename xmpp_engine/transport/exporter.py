"""What OpenSSL offers and Python's `ssl` does not: keying material (RFC 5705, 8446), no session cache, and certificates
of clients that are taken as they come.

The functions are found through the `_ssl` extension module itself, so they come from the very library that Python uses.
They want OpenSSL's own pointers, which lie in Python's C objects right behind the object header. That is a build's
private affair, therefore nothing here is used before `exporter_works` has looked: the objects must have the expected
neighbours, and a handshake in memory must give both ends the same material, another than the handshake before. Where
anything differs, the binding is not offered and the cache stays as it is.
"""

from __future__ import annotations

import ctypes
import datetime
import functools
import logging
import ssl
import tempfile
from pathlib import Path
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

log = logging.getLogger("mlink.tls")

_POINTER: Final = ctypes.sizeof(ctypes.c_void_p)
#: A connection: object header, owner, SSL *, context object. A context: object header, SSL_CTX *.
_HEADER: Final = object.__basicsize__
_SSL_OFFSET: Final = _HEADER + _POINTER
_CONTEXT_OFFSET: Final = _HEADER + 2 * _POINTER
_SET_SESSION_CACHE_MODE: Final = 44
_Verify: Final = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)


def _accept(_store: int, _argument: int) -> int:
    """OpenSSL asks whether a chain is good: the handshake goes on whatever it is."""
    return 1


#: OpenSSL calls it as long as the process lives.
_ACCEPT: Final = _Verify(_accept)


@functools.cache
def _library() -> ctypes.CDLL | None:
    """OpenSSL as linked into `_ssl`, None where the functions are not to be seen."""
    try:
        import _ssl

        library = ctypes.CDLL(getattr(_ssl, "__file__", None))
        export = library.SSL_export_keying_material
        size, text = ctypes.c_size_t, ctypes.c_char_p
        export.argtypes = [ctypes.c_void_p, text, size, text, size, text, size, ctypes.c_int]
        export.restype = ctypes.c_int
        library.SSL_get_SSL_CTX.argtypes = [ctypes.c_void_p]
        library.SSL_get_SSL_CTX.restype = ctypes.c_void_p
        library.SSL_CTX_ctrl.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_long, ctypes.c_void_p]
        library.SSL_CTX_ctrl.restype = ctypes.c_long
        library.SSL_CTX_set_cert_verify_callback.argtypes = [ctypes.c_void_p, _Verify, ctypes.c_void_p]
        library.SSL_CTX_set_cert_verify_callback.restype = None
    except (ImportError, OSError, AttributeError):
        return None
    return library


def _word(address: int) -> int:
    return ctypes.c_void_p.from_address(address).value or 0


def key_material(connection: ssl.SSLObject, label: bytes, length: int) -> bytes | None:
    """Exported keying material with an empty context; None where OpenSSL gives none. Only once `exporter_works()`."""
    library = _library()
    inner: Any = getattr(connection, "_sslobj", None)
    if library is None or inner is None:
        return None
    out = ctypes.create_string_buffer(length)
    pointer = _word(id(inner) + _SSL_OFFSET)
    done = library.SSL_export_keying_material(pointer, out, length, label, len(label), b"", 0, 1)
    return out.raw if done == 1 else None


def forget_sessions(context: ssl.SSLContext) -> None:
    """Keep no TLS 1.2 sessions for resumption: 20,000 per host would be 20 MB that no XMPP client asks for."""
    library = _library()
    if library is not None and exporter_works():
        library.SSL_CTX_ctrl(_word(id(context) + _HEADER), _SET_SESSION_CACHE_MODE, 0, None)


def ask_for_certificates(context: ssl.SSLContext) -> bool:
    """Have a server's context ask for the client's certificate and go on with any, or with none: whoever needs one
    judges it himself. (Python's CERT_OPTIONAL breaks the handshake off where OpenSSL does not know the authority.)
    False, and nobody is asked, where this build does not allow it."""
    library = _library()
    if library is None or not exporter_works():
        return False
    library.SSL_CTX_set_cert_verify_callback(_word(id(context) + _HEADER), _ACCEPT, None)
    context.verify_mode = ssl.CERT_OPTIONAL
    return True


@functools.cache
def exporter_works() -> bool:
    """Whether this build's objects are as expected and both ends of a handshake export the same; looked up once."""
    try:
        works = _self_test()
    except Exception:
        log.exception("the self-test of the TLS exporter failed")
        works = False
    if not works:
        log.warning("tls-exporter channel binding is not available with this build of Python and OpenSSL")
    return works


def _self_test() -> bool:
    library = _library()
    if library is None:
        return False
    server_context = _throw_away_context()
    seen: set[bytes] = set()
    for _ in range(2):
        client, server = _handshake(server_context)
        for connection in (client, server):
            if not _expected_layout(library, connection):
                return False
        ours = key_material(server, b"EXPORTER-Channel-Binding", 32)
        if not ours or ours != key_material(client, b"EXPORTER-Channel-Binding", 32) or ours in seen:
            return False
        seen.add(ours)
    return True


def _expected_layout(library: ctypes.CDLL, connection: ssl.SSLObject) -> bool:
    """The word behind the supposed SSL * must be the connection's context object; then OpenSSL is asked about it."""
    inner: Any = getattr(connection, "_sslobj", None)
    if inner is None or type(inner).__basicsize__ < _CONTEXT_OFFSET + _POINTER:
        return False
    if _word(id(inner) + _CONTEXT_OFFSET) != id(connection.context):
        return False
    inside: int | None = library.SSL_get_SSL_CTX(_word(id(inner) + _SSL_OFFSET))
    return inside is not None and inside == _word(id(connection.context) + _HEADER)


def _handshake(server_context: ssl.SSLContext) -> tuple[ssl.SSLObject, ssl.SSLObject]:
    """A client and a server object that have shaken hands through memory."""
    client_context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    # The certificate was made a moment ago in this process; what is tested is the keys, not who holds them.
    client_context.check_hostname = False
    client_context.verify_mode = ssl.CERT_NONE
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_context.wrap_bio(to_client, to_server)
    server = server_context.wrap_bio(to_server, to_client, server_side=True)
    waiting = [client, server]
    for _ in range(10):
        for connection in list(waiting):
            try:
                connection.do_handshake()
                waiting.remove(connection)
            except ssl.SSLWantReadError:
                pass
        if not waiting:
            return client, server
    raise ssl.SSLError("no handshake in memory")


def _throw_away_context() -> ssl.SSLContext:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "self-test")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "pem")
        encoding = serialization.Encoding.PEM
        path.touch(mode=0o600)
        path.write_bytes(
            key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
            + certificate.public_bytes(encoding)
        )
        context.load_cert_chain(path)
    return context
