"""What embeddings of images and of prompts have in common: the folder, its manifest, and how the job is run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from synthgap.core.counting import counted
from synthgap.core.errors import Interrupted, RunError
from synthgap.core.fingerprint import fingerprint
from synthgap.core.interruption import how_to_continue
from synthgap.core.specs import EncoderSpec, Resources
from synthgap.execution import Job, execute
from synthgap.models.devices import pick_devices
from synthgap.models.encoder import Encoder, encoder_fingerprint, load_encoder
from synthgap.models.folders import ModelFolder, locate_encoder
from synthgap.store.embeddings import EmbeddingWriter
from synthgap.store.manifest import EmbeddingManifest, check_claim, kind_of, read_manifest

Progress = Callable[[int, int, str], None]
"""Called with rows done, rows in all, and what is being done."""

BATCH_SIZE = 64
"""Most rows per forward pass, where the user does not say."""


@dataclass(frozen=True)
class Content:
    """What is to be embedded."""

    modality: Literal["image", "prompt"]
    classes: dict[str, str]
    identity: str
    """Of the images or prompts, the same when they become more."""
    parts: dict[str, str]
    """Fingerprint of the rows of each shard, in order."""


@dataclass(frozen=True)
class Place:
    """Where embeddings go, and what makes them. Picklable, but for the encoder, which is loaded where it is needed."""

    out: Path
    spec: EncoderSpec
    resources: Resources
    encoder: Encoder | None = None
    """Loaded already, for the work that is done in this process."""

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"encoder": None}

    def load(self, device: str | None) -> Encoder:
        """The encoder on a device."""
        if self.encoder is not None:
            return self.encoder
        return load_encoder(self.spec, self.resources.model_copy(update={"device": device}))

    def writer(self) -> EmbeddingWriter:
        """The folder, begun before any worker starts."""
        return EmbeddingWriter(self.out)


def embed(content: Content, place: Place, progress: Progress | None, job: Callable[[Place], Job]) -> Path:
    """Embed what is not embedded yet; returns the folder.

    Raises:
        InputError: no such encoder, or a folder that holds something else.
        FingerprintError: the folder holds embeddings of something else, or of another encoder.
        RunError: the disk is full, or the encoder failed.
        Interrupted: SIGINT or SIGTERM came; finished shards are kept.
    """
    source = locate_encoder(place.spec)
    # Ray's workers pick their own; the driver's machine may have no GPU.
    devices = ["cpu"] if place.resources.executor == "ray" else pick_devices(place.resources.device)
    manifest = _there(place.out, content, source, place.spec)
    if manifest is None:
        encoder = load_encoder(place.spec, place.resources.model_copy(update={"device": devices[0]}), source)
        if content.modality == "prompt" and not encoder.has_text:
            raise encoder.no_text()
        manifest = _manifest(content, source, place.spec, encoder.name, encoder.dim)
        place = Place(
            place.out,
            place.spec,
            place.resources,
            encoder if len(devices) == 1 and place.resources.executor != "ray" else None,
        )
    writer = EmbeddingWriter(place.out, manifest)
    todo = job(place)
    report = None if progress is None else lambda done, total: progress(done, total, f"{content.modality}s embedded")
    try:
        execute(todo, place.resources, devices, report=report)
    except Interrupted as stop:
        rows = todo.shards()
        kept = sum(rows[shard] for shard in writer.done_shards())
        raise Interrupted(
            f"{stop}: {kept} of {counted(sum(rows.values()), 'row')} are in {place.out}; {how_to_continue()}"
        ) from None
    return place.out


def _there(out: Path, content: Content, source: ModelFolder, spec: EncoderSpec) -> EmbeddingManifest | None:
    """The manifest of a folder of this very content, whose dimensions need not be asked of the encoder."""
    if kind_of(out) != "embeddings":
        return None
    there = read_manifest(out)
    if not isinstance(there, EmbeddingManifest) or there.fingerprint != _identity(content, source, spec):
        return None
    return there.model_copy(
        update={"classes": content.classes, "shards": tuple(content.parts), "parts": dict(content.parts)}
    )


def check_embeddings(content: Content, spec: EncoderSpec, out: Path) -> None:
    """Raise what `embed` would where ``out`` holds something else; no encoder is loaded and nothing is written.

    Raises:
        InputError: no such encoder.
        FingerprintError: the folder holds embeddings of something else, or of another encoder.
    """
    source = locate_encoder(spec)
    if kind_of(out) == "embeddings" and isinstance(there := read_manifest(out), EmbeddingManifest):
        check_claim(out, _manifest(content, source, spec, source.name, there.dim))


def _identity(content: Content, source: ModelFolder, spec: EncoderSpec) -> str:
    # Images know no templates: other templates need no other embeddings of images.
    templates = [list(spec.templates)] if content.modality == "prompt" and spec.templates else []
    return fingerprint(
        "embeddings", content.modality, content.identity, encoder_fingerprint(source, spec.dtype), *templates
    )


def _manifest(content: Content, source: ModelFolder, spec: EncoderSpec, name: str, dim: int) -> EmbeddingManifest:
    encoder_hash = encoder_fingerprint(source, spec.dtype)
    return EmbeddingManifest(
        fingerprint=_identity(content, source, spec),
        spec=spec.model_dump(mode="json", exclude={"templates"} if content.modality == "image" else None)
        | {"encoder": name},
        classes=content.classes,
        parents={f"{content.modality}s": content.identity, "encoder": encoder_hash},
        modality=content.modality,
        encoder=name,
        encoder_fingerprint=encoder_hash,
        dim=dim,
        shards=tuple(content.parts),
        parts=content.parts,
    )


@contextmanager
def encoder_errors() -> Iterator[None]:
    """Tell torch's errors (no memory, a device that failed) in one line."""
    try:
        yield
    except RuntimeError as error:
        first = str(error).strip().splitlines()[0]
        raise RunError(
            f"the encoder failed: {first}; try a smaller batch_size and run the same command again"
        ) from error
