"""Screening: its bound holds, nothing is lost on any path, adversarial sets, and the guard of torch's int8 product."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from synthgap.metrics import _blocks, _neighbours, _screening
from synthgap.metrics._blocks import TIE
from synthgap.metrics._neighbours import Search, nearest
from synthgap.metrics._screening import Path, Screen, int8_is_exact

PATHS: list[Path] = ["int8", "bfloat16", "float32"]
SETS = ["plain", "outliers", "giant", "sparse", "near", "equal", "copies", "scaled"]


@pytest.fixture(autouse=True)
def _a_cpu_that_can(request: pytest.FixtureRequest) -> None:
    if "int8" in getattr(request.node, "name", "") and not int8_is_exact():
        pytest.skip("no int8 instructions on this CPU")


def make(name: str, n: int, m: int, d: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """References and queries with what tempts a low precision to lose a neighbour."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, dtype=torch.float64, generator=generator)

    base = normal(1, d)
    reference, query = base + normal(n, d), base + normal(m, d)
    if name == "outliers":  # two columns in which all vectors are large and much alike, as CLIP's have
        reference[:, :2], query[:, :2] = 40 + reference[:, :2], 30 + query[:, :2]
    elif name == "giant":  # single coordinates without measure
        reference[::7, 0], query[::3, -1] = 1e6, -1e6
    elif name == "sparse":
        reference, query = reference * (normal(n, d) > 1), query * (normal(m, d) > 0.5)
        reference[:, 0] = query[:, 0] = 1e-3
    elif name == "near":
        reference = query[torch.arange(n) % m] + 1e-5 * normal(n, d)
    elif name == "equal":
        reference = base.expand(n, d)
    elif name == "copies":
        reference = reference[torch.arange(n) % 5]
    elif name == "scaled":  # equal cosines but for float64 rounding, no equal rows
        reference = base * (0.1 + torch.rand(n, 1, dtype=torch.float64, generator=generator))
    return reference, query


def by_the_rule(reference: Tensor, query: Tensor, k: int) -> np.ndarray:
    """The documented order, in numpy and Python: falling cosine, runs of ties by row, nothing below the k-th and its ties."""
    wide = [e.numpy().astype(np.longdouble) for e in (reference, query)]
    a, b = (e / np.sqrt((e**2).sum(axis=1, keepdims=True)) for e in wide)
    found = []
    for cosines in b @ a.T:
        order = sorted(range(len(cosines)), key=lambda row: -cosines[row])
        order = [row for row in order if cosines[row] >= cosines[order[k - 1]] - TIE]
        runs: list[list[int]] = [[order[0]]]
        for before, row in pairwise(order):
            if cosines[before] - cosines[row] > TIE:
                runs.append([])
            runs[-1].append(row)
        found.append([row for run in runs for row in sorted(run)][:k])
    return np.array(found)


@pytest.fixture(autouse=True)
def always_screened(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sets as small as these would not be screened at all."""
    monkeypatch.setattr(_neighbours, "FEW", 0)


@pytest.mark.parametrize("name", SETS)
def test_few_pairs_have_the_same_neighbours(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    reference, query = make(name, 300, 17, 33)
    monkeypatch.setattr(_neighbours, "FEW", 10**9)
    monkeypatch.setattr(_neighbours, "Search", None)  # all cosines at once, or an error
    for k in (1, 5, len(reference)):
        assert np.array_equal(nearest(reference, query, k).numpy(), by_the_rule(reference, query, k)), k


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("name", SETS)
def test_the_neighbours_are_those_of_long_double(path: Path, name: str) -> None:
    reference, query = make(name, 300, 17, 33)
    for k, block in ((1, (5, 64)), (5, (16, 40)), (5, (256, 8192)), (70, (16, 128))):
        expected = by_the_rule(reference, query, k)
        assert np.array_equal(nearest(reference, query, k, block, path).numpy(), expected), (k, block)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("n", [1, 2, 31, 32, 33])
def test_few_references_and_all_of_them(path: Path, n: int) -> None:
    reference, query = make("plain", n, 3, 5)
    assert np.array_equal(nearest(reference, query, n, path=path).numpy(), by_the_rule(reference, query, n))


@pytest.mark.parametrize("path", PATHS)
def test_float32_other_strides_and_one_dimension(path: Path) -> None:
    reference, query = (e.float() for e in make("plain", 200, 9, 12))
    expected = by_the_rule(reference.double(), query.double(), 4)
    aside = (torch.stack([e, -e], dim=2)[:, :, 0] for e in (reference.T.contiguous(), query.T.contiguous()))
    turned, turned_query = (e.T for e in aside)
    assert not turned.is_contiguous()
    assert np.array_equal(nearest(turned, turned_query, 4, (4, 64), path).numpy(), expected)
    signs = torch.tensor([[1.0], [-2.0], [3.0]])
    assert nearest(signs, torch.tensor([[-1.0]]), 2, path=path).tolist() == [[1, 0]]


@pytest.mark.parametrize("path", PATHS)
@settings(max_examples=40, deadline=None, derandomize=True)
@given(data=st.data())
def test_the_bound_holds(path: Path, data: st.DataObject) -> None:
    name, seed = data.draw(st.sampled_from(SETS)), data.draw(st.integers(0, 10**6))
    n, d = data.draw(st.integers(1, 70)), data.draw(st.integers(2, 300))
    reference, query = make(name, n, 11, d, seed)
    screen = Screen(path, query, reference[: n // 2 + 1])
    queries, references = screen.queries(query), screen.references(torch.arange(n), reference)
    products = queries.codes.values.double() @ references.codes.values[:n].double().T
    steps = (queries.codes.step * references.codes.step).unsqueeze(1)
    found = (queries.unit.double() @ references.mean).unsqueeze(1) + steps * products
    exact = torch.nn.functional.normalize(query) @ torch.nn.functional.normalize(reference).T
    assert ((found - exact).abs().amax(dim=1) <= screen.bound(queries, references)).all()


@pytest.mark.parametrize("path", PATHS)
def test_screening_leaves_little(path: Path) -> None:
    reference, query = make("plain", 20000, 64, 128)
    search = Search(query.float(), 5, (64, 4096), path)
    search.add(reference.float())
    assert np.array_equal(search.found().numpy(), nearest(reference.float(), query.float(), 5, path="float32").numpy())
    assert search.pairs / len(query) < {"int8": 250, "bfloat16": 60, "float32": 30}[path]


def test_int8_copes_with_columns_that_hardly_differ() -> None:
    reference, query = (e.float() for e in make("outliers", 8192, 64, 128))
    search = Search(query, 5, path="int8")
    search.add(reference)
    search.found()
    weighted = search.pairs
    plain = Search(query, 5, path="int8")
    plain._screen = Screen("int8", query, reference)
    plain._screen.weights = torch.ones(128)
    plain._queries = [plain._screen.queries(query)]
    plain.add(reference)
    assert torch.equal(plain.found(), search.found())
    assert weighted * 2 < plain.pairs


def test_ties_without_end_take_little_room() -> None:
    reference, query = make("scaled", 3000, 4, 24)
    search = Search(query, 5, (4, 256))
    search.add(reference)
    assert search.found().tolist() == [[0, 1, 2, 3, 4]] * 4
    assert search._lists[0].cosines.shape[1] < 200


@pytest.mark.parametrize("name", ["copies", "near", "equal"])
def test_blocks_that_hold_copies(name: str) -> None:
    reference, query = make(name, 300, 9, 12)
    blocks = reference.split([70, 3, 0, 127, 100])
    assert np.array_equal(nearest(iter(blocks), query, 4, (4, 64)).numpy(), by_the_rule(reference, query, 4))


def test_rows_count_on_past_copies_that_were_dropped() -> None:
    reference = torch.tensor([[1.0, 0.0]] * 10 + [[0.0, 1.0]])
    assert nearest(iter(reference.split([10, 1])), torch.tensor([[0.0, 1.0]]), 2).tolist() == [[10, 0]]


def test_ties_that_rise_through_the_rows() -> None:
    # each a little nearer than the one before: none is beaten, and the lowest row still goes first
    angles = 1e-3 - 1.3e-11 * torch.arange(200, dtype=torch.float64)
    reference = torch.stack([angles.cos(), angles.sin()], dim=1)
    query = torch.tensor([[1.0, 0.0]], dtype=torch.float64)
    for block in ((1, 16), (1, 64), (1, 512)):
        found = nearest(reference, query, 2, block)[0].tolist()
        cosines = reference[:, 0]
        first = int((cosines >= cosines[-2] - TIE).nonzero()[0])
        assert found == [first, first + 1]


@pytest.mark.parametrize("precision", ["high", "medium"])
def test_lowered_matmul_precision_changes_nothing(precision: str) -> None:
    reference, query = (e.float() for e in make("near", 300, 17, 33))
    expected = nearest(reference, query, 5)
    before = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision(precision)
        assert torch.equal(nearest(reference, query, 5, path="float32"), expected)
        assert Screen("float32", query, reference).dtype == torch.float64
    finally:
        torch.set_float32_matmul_precision(before)


@pytest.fixture
def fresh_guard() -> Iterator[None]:
    int8_is_exact.cache_clear()
    yield
    int8_is_exact.cache_clear()


def _saturating(query: Tensor, reference: Tensor) -> Tensor:
    """As of AVX2's instruction, whose sums of two products end at 16 bits."""
    pairs = (query[:, None].int() + 128) * reference[None].int()
    pairs = torch.nn.functional.pad(pairs, (0, pairs.shape[2] % 2)).unflatten(2, (-1, 2)).sum(dim=3)
    return (pairs.clamp(-(2**15), 2**15 - 1).sum(dim=2) - 128 * reference.int().sum(dim=1)).int()


def _absent(query: Tensor, reference: Tensor) -> Tensor:
    raise AttributeError("module 'torch' has no attribute '_int_mm'")


@pytest.mark.usefixtures("fresh_guard")
@pytest.mark.parametrize("broken", [_saturating, _absent])
def test_an_int8_product_that_is_wrong_or_absent_is_not_used(
    broken: Callable[[Tensor, Tensor], Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert _screening.choose_path(torch.device("cpu"), 64) == ("int8" if int8_is_exact() else "float32")
    int8_is_exact.cache_clear()
    monkeypatch.setattr(torch.cpu, "_is_vnni_supported", lambda: True)
    monkeypatch.setattr(_screening, "code_products", broken)
    assert _screening.choose_path(torch.device("cpu"), 64) == "float32"


@pytest.mark.usefixtures("fresh_guard")
def test_a_cpu_without_int8_instructions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "_is_vnni_supported", lambda: False)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False, raising=False)
    assert _screening.choose_path(torch.device("cpu"), 64) == "float32"


def test_vectors_too_long_for_int32_sums() -> None:
    assert _screening.MOST_DIMENSIONS * 127**2 < 2**31
    assert _screening.choose_path(torch.device("cpu"), _screening.MOST_DIMENSIONS + 1) == "float32"


def test_dense_blocks_and_single_pairs_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    reference, query = make("near", 400, 8, 20)
    expected = by_the_rule(reference, query, 6)
    monkeypatch.setattr(_blocks, "BLOCK_VALUES", 200)
    for dense in (0, 10**9):  # never, always
        monkeypatch.setattr(_neighbours, "DENSE", dense)
        assert np.array_equal(nearest(reference, query, 6, (8, 64)).numpy(), expected)
