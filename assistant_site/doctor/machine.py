"""What can be seen of this machine without any server: settings, secrets, disks, limits."""

import os
import resource
import stat
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path
from shutil import disk_usage

from cryptography.fernet import Fernet
from django.conf import settings
from django.core import checks

from assistant_site.doctor.findings import Finding, warning, well, wrong
from files import storage

SHORTEST_SECRET = 32
FEWEST_CHARACTERS = 10  # different ones, that a secret made by chance has
LOW_DISK = 2 * 1024**3
FULL_DISK = 512 * 1024**2
LOW_INODES = 0.05
FEWEST_FILES = 4_096


def _is_loopback() -> bool:
    if settings.HOST.startswith("/") or settings.HOST == "localhost":
        return True
    try:
        return ip_address(settings.HOST).is_loopback
    except ValueError:
        return False


def look_at_settings() -> Iterator[Finding]:
    """Those that work, but not as an installation that others can reach should have them."""
    part, found = "settings", []
    if settings.DEBUG:
        found.append(wrong(part, "DEBUG is on: error pages show source code and settings.", "Remove DEBUG."))
    if not settings.AUTH_ENABLED:
        told = "AUTH_ENABLED is off: whoever reaches the port speaks for the tenant default."
        remedy = "Remove it (or APP_AUTH_ENABLE), and give each program a token: manage.py create_token."
        found.append((warning if _is_loopback() else wrong)(part, told, remedy))
    if "*" in settings.ALLOWED_HOSTS and not _is_loopback():
        told = "ALLOWED_HOSTS is *: the server answers to any Host header."
        found.append(warning(part, told, "Set it to the names that the server is reached by."))
    if not settings.TRUST_PROXY_HEADERS and any(each.startswith("https:") for each in settings.CSRF_TRUSTED_ORIGINS):
        told = "CSRF_TRUSTED_ORIGINS has an https:// address, and TRUST_PROXY_HEADERS is off: callers seem the proxy."
        found.append(warning(part, told, "Behind a proxy that ends TLS, set TRUST_PROXY_HEADERS=true."))
    if not _is_loopback() and not settings.TRUST_PROXY_HEADERS:
        told = (
            f"HOST is {settings.HOST}, and nothing says that a proxy ends TLS: tokens may cross the network in clear."
        )
        found.append(warning(part, told, "Put a proxy with TLS before it, and set TRUST_PROXY_HEADERS=true."))
    yield from found or [well(part, "Nothing in them is unsafe.")]


def look_at_secrets() -> Iterator[Finding]:
    part, found = "secrets", []
    if len(settings.SECRET_KEY) < SHORTEST_SECRET or len(set(settings.SECRET_KEY)) < FEWEST_CHARACTERS:
        told = "SECRET_KEY is easy to guess: who guesses it signs in to the admin."
        found.append(wrong(part, told, "Set it to the output of: openssl rand -base64 48"))
    for number, key in enumerate(settings.ENCRYPTION_KEYS, 1):
        try:
            Fernet(key)
        except ValueError:
            told = f"Key {number} of ENCRYPTION_KEYS is no Fernet key: no credential can be read or stored."
            remedy = "A key is 32 bytes in URL-safe base64: openssl rand -base64 32 | tr +/ -_"
            found.append(wrong(part, told, remedy))
    tokens = {
        "ADMIN_TOKEN": settings.ADMIN_TOKEN,
        "METRICS_TOKEN": settings.METRICS_TOKEN,
        "PLAYGROUND_KEY": settings.PLAYGROUND_KEY,
    }
    given = [(name, value) for name, value in tokens.items() if value]
    for name, value in given:
        if len(set(value)) < FEWEST_CHARACTERS:
            found.append(wrong(part, f"{name} is easy to guess.", "Set it to the output of: openssl rand -hex 24"))
    if len({value for _, value in given}) < len(given):
        told = "ADMIN_TOKEN, METRICS_TOKEN and PLAYGROUND_KEY are not all different: one opens what another is for."
        found.append(wrong(part, told, "Set each to a secret of its own."))
    file = settings.VAR_DIR / "secrets.json"
    if file.exists() and stat.S_IMODE(file.stat().st_mode) & 0o077:
        found.append(wrong(part, f"Others on this machine may read {file}.", f"chmod 600 {file}"))
    yield from found or [well(part, "They are long enough, and nobody else's to read.")]


def look_at_disks() -> Iterator[Finding]:
    """Each disk once, by whichever of our folders is on it."""
    part = "disk"
    seen: set[int] = set()
    folders = [settings.VAR_DIR, settings.BODIES_DIR, *([] if settings.S3_BUCKET_NAME else [settings.FILES_DIR])]
    for folder in map(_existing, folders):
        if folder.stat().st_dev in seen:
            continue
        seen.add(folder.stat().st_dev)
        free = disk_usage(folder).free
        told = f"{free / 1024**3:.1f} GB are free at {folder}."
        remedy = "Make room (docs/operations.md#the-disk-is-full)."
        inodes = os.statvfs(folder)
        if not os.access(folder, os.W_OK):
            yield wrong(part, f"{folder} is not writable.", "Give it to the user that Holdfast runs as.")
        elif free < FULL_DISK:
            yield wrong(part, told, remedy)
        elif free < LOW_DISK:
            yield warning(part, told, remedy)
        elif inodes.f_files and inodes.f_favail < LOW_INODES * inodes.f_files:
            yield warning(part, f"Few files more can be made at {folder}: its inodes are nearly used up.", remedy)
        else:
            yield well(part, told)


def _existing(folder: Path) -> Path:
    while not folder.exists():
        folder = folder.parent
    return folder


def look_at_limits() -> Iterator[Finding]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    told = f"A process may have {soft:,} files and connections open."
    if soft < FEWEST_FILES:
        remedy = f"Each stream is one. Raise it (up to {hard:,}): ulimit -n, or LimitNOFILE= in the unit."
        yield warning("limits", told, remedy)
    else:
        yield well("limits", told)


def look_at_storage() -> Iterator[Finding]:
    """Writes a small blob, reads it back and removes it: what files need of the storage."""
    part = "storage"
    where = f"the bucket {settings.S3_BUCKET_NAME}" if settings.S3_BUCKET_NAME else str(settings.FILES_DIR)
    content = os.urandom(64)
    try:
        stored = storage.save([content])
        try:
            with storage.opened(stored.blob) as file:
                read = file.read()
        finally:
            storage.remove(stored.blob)
    except (storage.StorageFailed, storage.BlobMissing) as failed:
        advice = storage.blobs().advice(failed.__cause__) if isinstance(failed.__cause__, Exception) else None
        yield wrong(part, f"Files cannot be stored in {where}.", advice or str(failed))
        return
    if read != content:
        yield wrong(
            part, f"What is read from {where} is not what was written.", "Do not use this storage: try its disk."
        )
    else:
        yield well(part, f"A file was written to {where}, read and removed.")


def look_at_checks() -> Iterator[Finding]:
    """What `manage.py check` finds."""
    messages = [each for each in checks.run_checks() if not each.is_silenced()]
    for message in messages:
        say = wrong if message.level >= checks.ERROR else warning
        yield say("check", str(message.msg), str(message.hint or ""))
    if not messages:
        yield well("check", "manage.py check finds nothing.")
