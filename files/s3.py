"""Blobs in a bucket of any S3. Only loaded, and boto3 with it, when S3_BUCKET_NAME is set."""

import contextlib
import errno
import shutil
import tempfile
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO, cast

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, PartialCredentialsError
from django.utils.http import content_disposition_header
from storages.backends.s3 import S3Storage

PART = 8 * 1024 * 1024  # held in memory per upload; S3 takes 10,000 parts of 5 MB or more
_IN_MEMORY = 1024 * 1024
_LONGEST_LINK = 4000  # a file's name of 512 characters becomes longer; servers and proxies take 8,000 or so

_MISSING = {"NoSuchKey", "404"}
_ADVICE = {
    "NoSuchBucket": "the bucket does not exist: create it, or correct S3_BUCKET_NAME",
    "InvalidAccessKeyId": "the access key is unknown: correct S3_ACCESS_KEY",
    "SignatureDoesNotMatch": "the secret key is wrong: correct S3_SECRET_KEY (or S3_REGION)",
    "AccessDenied": "access is denied: let S3_ACCESS_KEY read, write and delete the objects of the bucket",
    "403": "access is denied: let S3_ACCESS_KEY read, write and delete the objects of the bucket",
    "AuthorizationHeaderMalformed": "the region is not the bucket's: correct S3_REGION",
    "PermanentRedirect": "the bucket is in another region: correct S3_REGION and S3_ENDPOINT",
    "EntityTooLarge": "the object is too large for this S3: lower MAX_FILE_MB",
    "SlowDown": "it asks for fewer requests; they are tried again",
}


class S3Writing:
    """A small blob in one request, a larger one in parts."""

    def __init__(self, target: Any) -> None:
        self._target = target
        self._held = bytearray()
        self._upload: Any = None
        self._parts: list[dict[str, Any]] = []

    def write(self, piece: bytes) -> None:
        self._held += piece
        while len(self._held) > PART:
            self._send(bytes(self._held[:PART]))
            del self._held[:PART]

    def close(self) -> None:
        if self._upload is None:
            self._target.put(Body=bytes(self._held))
            return
        self._send(bytes(self._held))
        self._upload.complete(MultipartUpload={"Parts": self._parts})

    def abandon(self) -> None:
        if self._upload is not None:
            self._upload.abort()

    def _send(self, part: bytes) -> None:
        if self._upload is None:
            self._upload = self._target.initiate_multipart_upload()
        number = len(self._parts) + 1
        answer = self._upload.Part(number).upload(Body=part)
        self._parts.append({"ETag": answer["ETag"], "PartNumber": number})


class S3Blobs(S3Storage):  # type: ignore[misc]
    """django-storages' S3, with streams in both directions."""

    def __init__(self, *, public_endpoint: str | None = None, **options: Any) -> None:
        own_server = bool(options.get("endpoint_url"))
        options.setdefault(
            "client_config",
            Config(
                connect_timeout=5,
                read_timeout=60,
                retries={"max_attempts": 3, "mode": "standard"},
                s3={"addressing_style": "path" if own_server else "auto"},
                # boto3's own choice since 1.36; many servers that speak S3 refuse its checksums.
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
                signature_version="s3v4",  # links would be signed the old way, which newer servers refuse
            ),
        )
        super().__init__(**options)
        self._public_endpoint = public_endpoint

    def writing(self, blob: str) -> S3Writing:
        return S3Writing(self.bucket.Object(blob))

    def stream(self, blob: str) -> Any:
        try:
            return self.bucket.Object(blob).get()["Body"]
        except ClientError as error:
            if _code(error) in _MISSING:
                raise FileNotFoundError(blob) from error
            raise

    @contextlib.contextmanager
    def opened(self, blob: str) -> Iterator[BinaryIO]:
        with tempfile.SpooledTemporaryFile(_IN_MEMORY) as copy:
            self._download(blob, cast(BinaryIO, copy))
            yield cast(BinaryIO, copy)

    @contextlib.contextmanager
    def local_copy(self, blob: str, suffix: str) -> Iterator[Path]:
        with tempfile.NamedTemporaryFile(suffix=suffix) as copy:
            self._download(blob, cast(BinaryIO, copy))
            yield Path(copy.name)

    def link(self, blob: str, filename: str, seconds: int) -> str | None:
        self.size(blob)  # who follows a link to nothing would learn it from the bucket, in XML, and nobody here
        address: str = self._signer.generate_presigned_url(
            "get_object",
            Params={
                "Bucket": self.bucket_name,
                "Key": blob,
                "ResponseContentType": "application/octet-stream",
                "ResponseContentDisposition": content_disposition_header(True, filename) or "attachment",
                "ResponseCacheControl": "private, no-store",
            },
            ExpiresIn=seconds,
        )
        return address if len(address) <= _LONGEST_LINK else None

    @cached_property
    def _signer(self) -> Any:
        """A client that signs addresses as clients see them. It asks nobody, and threads may share it."""
        return self._create_session().client(
            "s3",
            region_name=self.region_name,
            endpoint_url=self._public_endpoint or self.endpoint_url,
            config=self.client_config,
        )

    def forget_draft(self, blob: str) -> None:
        with contextlib.suppress(ClientError):  # not every key may list these, and not every server can
            for upload in self.bucket.multipart_uploads.filter(Prefix=blob):
                upload.abort()

    def _download(self, blob: str, copy: BinaryIO) -> None:
        with contextlib.closing(self.stream(blob)) as stream:
            shutil.copyfileobj(stream, copy, _IN_MEMORY)
        copy.flush()
        copy.seek(0)

    def advice(self, error: Exception) -> str | None:
        where = f"bucket {self.bucket_name!r} at {self.endpoint_url or 'AWS'}"
        if isinstance(error, ClientError):
            said = error.response.get("Error", {}).get("Message", "")
            return f"S3 ({where}) refused: {_ADVICE.get(_code(error), f'{_code(error)} {said}'.strip())}."
        if isinstance(error, NoCredentialsError | PartialCredentialsError):
            return f"S3 ({where}) needs credentials: set S3_ACCESS_KEY and S3_SECRET_KEY."
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            return f"No space is left for the copy of a file in {tempfile.gettempdir()}: free some, or set TMPDIR."
        if isinstance(error, BotoCoreError):
            return f"S3 ({where}) cannot be reached: check S3_ENDPOINT and the network. {error}"
        return None


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))
