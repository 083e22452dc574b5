"""Digests: what the index keeps of a run says what its logs say, and nothing worse when damaged."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from currgym.report.data import MOST_FAINT, faint, load
from currgym.report.digests import Digest, unpack
from currgym.report.files import table_of
from currgym.report.page import render, write_page
from currgym.report.records import Run, digest_of
from currgym.runs import RunConfig
from currgym.studies import Arm, Study

Make = Callable[..., Path]


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    base = RunConfig("toy/cube", "random", "cube", steps=320, env_parameters={"cubes": 3})
    arms = [Arm("random", "random"), Arm("alp-gmm", "alp-gmm")]
    made = Study.of(tmp_path_factory.mktemp("digests") / "study", base, arms, [0, 1, 2])
    made.create()
    assert made.run(1, engine="inline") == []
    return made


def logs_of(run: Run) -> Digest:
    """The same run, read from its logs."""
    return Digest(*(getattr(Run(run.folder, run.config, {}), n) for n in _PARTS))


_PARTS = ("evaluated", "cells", "optimizer")


def same(a: Any, b: Any) -> None:
    if isinstance(a, dict):
        assert a.keys() == b.keys()
        for key in a:
            same(a[key], b[key])
    elif isinstance(a, tuple):
        assert len(a) == len(b)
        for one, other in zip(a, b, strict=True):
            same(one, other)
    else:
        np.testing.assert_array_equal(a, b)


def test_a_digest_says_what_the_logs_say(study: Study) -> None:
    for run in load(study.folder).runs:
        assert run.packed is not None
        assert len(run.packed) < 20_000
        digest, logs = unpack(run.packed), logs_of(run)
        for part in _PARTS:
            same(dict(vars(getattr(digest, part))), dict(vars(getattr(logs, part))))


def test_returns_without_a_success_keep_their_gaps(tmp_path: Path, run_folder: Make) -> None:
    folder = run_folder(tmp_path / "run", tell_success=False, mastery=None)
    run = load(folder).runs[0]
    digest, logs = unpack(digest_of(folder)), logs_of(run)
    assert np.isnan(digest.evaluated.solved).all()
    for part in _PARTS:
        same(dict(vars(getattr(digest, part))), dict(vars(getattr(logs, part))))


def test_no_log_is_read_for_a_page(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[Path] = []

    def watched(path: Path, dtype: list[tuple[str, str]]) -> Any:
        read.append(path)
        return table_of(path, dtype)

    monkeypatch.setattr("currgym.report.records.table_of", watched)
    render(load(study.folder))
    assert read == []


def test_the_page_is_the_same_without_an_index(study: Study, tmp_path: Path) -> None:
    quick = write_page(study.folder, tmp_path / "quick.html").read_bytes()
    index = study.store.path.rename(tmp_path / "away")
    try:
        assert write_page(study.folder, tmp_path / "slow.html").read_bytes() == quick
        assert not study.store.path.exists()  # a page makes no index
    finally:
        index.rename(study.store.path)


def test_a_damaged_digest_is_no_loss(study: Study) -> None:
    whole = render(load(study.folder))
    with sqlite3.connect(study.store.path) as connection:
        kept = connection.execute("SELECT key, digest FROM digests ORDER BY key").fetchall()
        damages = [kept[0][1][:-20], kept[1][1][:60], b"", b"\0\0\0\2[]", b"\0\0\0\5{}abc"]
        for (key, _), damaged in zip(kept, damages, strict=False):
            connection.execute("UPDATE digests SET digest=? WHERE key=?", (damaged, key))
    connection.close()
    assert render(load(study.folder)) == whole
    study.store.rebuild()
    with sqlite3.connect(study.store.path) as connection:
        again = connection.execute("SELECT key, digest FROM digests ORDER BY key").fetchall()
    connection.close()
    assert again == kept


def test_a_digest_cannot_claim_more_than_it_holds(study: Study) -> None:
    packed = load(study.folder).runs[0].packed
    assert packed is not None
    size = int.from_bytes(packed[:4], "big")
    header = packed[4 : 4 + size].replace(b'"steps","|u1",[96]', b'"steps","<u8",[999999999999]')
    with pytest.raises(ValueError, match="says that it holds"):
        unpack(len(header).to_bytes(4, "big") + header + packed[4 + size :])


def test_many_seeds_are_drawn_in_part_and_the_page_says_so(
    tmp_path: Path, study_folder: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert faint(3).tolist() == [0, 1, 2]
    assert faint(500)[[0, -1]].tolist() == [0, 499]
    assert len(set(faint(500).tolist())) == MOST_FAINT
    folder = study_folder(tmp_path / "study", seeds=4)
    assert "every seed" in render(load(folder))
    for module in ("data", "sections"):
        monkeypatch.setattr(f"currgym.report.{module}.MOST_FAINT", 2)
    page = render(load(folder))
    assert "2 of the 4 seeds, evenly (mean and band are of all)" in page
    assert "faint: every seed" not in page
