import math
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from synthgap.core.errors import InputError, RunError
from synthgap.core.records import Finding, Measurement
from synthgap.store import tables

MEASURED = [
    Measurement("centroid_accuracy", "natural", "synthetic", "overall", 0.5, 0.4, 0.6, 100),
    Measurement("centroid_shift", "natural", "synthetic", 'a "b"\n🐸', float("nan"), n=1, reason="1 image; expected 2"),
]


def test_measurements_survive_with_nan_and_reason(tmp_path: Path) -> None:
    path = tmp_path / "run" / "measurements.parquet"
    tables.write_measurements(path, MEASURED)
    expected = "metric reference query class_key value ci_low ci_high n reason"
    assert " ".join(pq.read_schema(path).names) == expected
    first, second = tables.read_measurements(path)
    assert first == MEASURED[0]
    assert math.isnan(second.value) and (second.class_key, second.n, second.reason) == (
        'a "b"\n🐸',
        1,
        "1 image; expected 2",
    )


def test_findings_survive(tmp_path: Path) -> None:
    findings = [
        Finding("frog", "low-diversity", 0.7, True, "augmented", "one tree frog", 0.6, 0.8, '{"recipe": "augmented"}')
    ]
    tables.write_findings(tmp_path / "f.parquet", findings)
    names = pq.read_schema(tmp_path / "f.parquet").names
    assert " ".join(names) == "class_key cause severity flagged suggestion evidence ci_low ci_high change"
    assert tables.read_findings(tmp_path / "f.parquet") == findings


@pytest.mark.parametrize(
    "schema", [tables.MAP, tables.THUMBNAILS, tables.CLASSIFIER, tables.MEASUREMENTS, tables.FINDINGS]
)
def test_a_table_without_rows_keeps_its_columns(tmp_path: Path, schema: pa.Schema) -> None:
    tables.write_table(tmp_path / "x.parquet", [], schema)
    assert tables.read_table(tmp_path / "x.parquet") == []
    assert pq.read_schema(tmp_path / "x.parquet").equals(schema)


def test_missing_values_are_null_and_unknown_columns_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    tables.write_table(path, [{"set": "s", "x": 1.5}], tables.MAP)
    assert tables.read_table(path) == [dict.fromkeys(tables.MAP.names) | {"set": "s", "x": 1.5}]
    with pytest.raises(ValueError, match=r"columns \['z'\] are not in the table's schema"):
        tables.write_table(path, [{"z": 1}], tables.MAP)
    assert len(tables.read_table(path)) == 1


def test_many_rows_and_the_same_bytes(tmp_path: Path) -> None:
    rows = [
        {"set": f"s{i % 3}", "class_key": "c", "image_key": str(i), "image": bytes([i % 256])} for i in range(25_000)
    ]
    tables.write_table(tmp_path / "a.parquet", iter(rows), tables.THUMBNAILS)
    tables.write_table(tmp_path / "b.parquet", rows, tables.THUMBNAILS)
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()
    assert tables.read_table(tmp_path / "a.parquet") == rows


def test_tables_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        tables.read_table(tmp_path / "x.parquet")
    (tmp_path / "x.parquet").write_text("no")
    with pytest.raises(InputError, match="cannot be read as Parquet"):
        tables.read_table(tmp_path / "x.parquet")


def test_a_full_disk_keeps_the_old_table(tmp_path: Path, full_disk: Callable[[], None]) -> None:
    path = tmp_path / "x.parquet"
    tables.write_measurements(path, MEASURED)
    before = path.read_bytes()
    full_disk()
    with pytest.raises(RunError, match="No space left on device"):
        tables.write_measurements(path, MEASURED * 1000)
    assert path.read_bytes() == before
    assert [one.name for one in tmp_path.iterdir()] == ["x.parquet"]
