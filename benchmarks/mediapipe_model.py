"""YAMNet as MediaPipe's AudioClassifier takes it: one output, and notes on what goes in and comes out.

MediaPipe refuses a model file without such metadata. Its own writer for it is not in every wheel, so the
notes are written here with the flatbuffer classes that are.
"""

from __future__ import annotations

import io
import zipfile
from typing import Any

RATE_HZ = 16_000
LABELS = "labels.txt"
PARSER = "1.3.0"
"""Version of the metadata's format."""


def with_metadata(content: bytes, labels: list[str]) -> bytes:
    """A `.tflite` that classifies a waveform, with the metadata of an audio classifier.

    Args:
        content: the model; of its outputs the one with a score for each label is kept.
        labels: in the order of the scores.
    """
    import flatbuffers
    from mediapipe.tasks.metadata import schema_py_generated as tflite

    model = tflite.ModelT.InitFromObj(tflite.Model.GetRootAsModel(content, 0))
    network = model.subgraphs[0]
    network.outputs = [at for at in network.outputs if network.tensors[at].shape[-1] == len(labels)]
    model.signatureDefs = None
    notes = tflite.BufferT()
    notes.data = list(_notes())
    model.buffers.append(notes)
    entry = tflite.MetadataT()
    entry.name, entry.buffer = "TFLITE_METADATA", len(model.buffers) - 1
    model.metadata = [*(model.metadata or []), entry]
    builder = flatbuffers.Builder(0)
    builder.Finish(model.Pack(builder), b"TFL3")
    out = io.BytesIO(bytes(builder.Output()))
    with zipfile.ZipFile(out, "a") as archive:
        archive.writestr(LABELS, "\n".join(labels))
    return out.getvalue()


def _notes() -> bytes:
    import flatbuffers
    from mediapipe.tasks.metadata import metadata_schema_py_generated as schema

    def tensor(name: str, kind: int, properties: Any, files: tuple[Any, ...] = ()) -> Any:
        found = schema.TensorMetadataT()
        found.name, found.associatedFiles = name, list(files)
        found.content = schema.ContentT()
        found.content.contentPropertiesType, found.content.contentProperties = kind, properties
        return found

    sound = schema.AudioPropertiesT()
    sound.sampleRate, sound.channels = RATE_HZ, 1
    names = schema.AssociatedFileT()
    names.name, names.type = LABELS, schema.AssociatedFileType.TENSOR_AXIS_LABELS
    scores = schema.FeaturePropertiesT()
    network = schema.SubGraphMetadataT()
    network.inputTensorMetadata = [tensor("waveform", schema.ContentProperties.AudioProperties, sound)]
    network.outputTensorMetadata = [
        tensor("scores", schema.ContentProperties.FeatureProperties, scores, (names,))
    ]
    model = schema.ModelMetadataT()
    model.name, model.subgraphMetadata, model.minParserVersion = "YAMNet", [network], PARSER
    builder = flatbuffers.Builder(0)
    builder.Finish(model.Pack(builder), b"M001")
    return bytes(builder.Output())
