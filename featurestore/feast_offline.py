"""Feast's Spark offline store behind the offline port."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Sequence
from functools import reduce
from operator import add

import pandas as pd
import pyarrow as pa
from feast import FeatureStore
from feast.infra.offline_stores.contrib.spark_offline_store.spark import SparkRetrievalJob
from pyspark.sql import SparkSession

from contracts.errors import UsageError
from contracts.features import AS_OF, ENTITY_KEYS, VIEWS, features_of
from contracts.settings import Settings
from featurestore.iceberg import IcebergTables, plain_types
from featurestore.registry import require_catalogue
from featurestore.spark_session import feast_in, lake_session

_ROW = "question_row"
_TIME = "event_timestamp"


class FeastOfflineStore:
    """An OfflineStore over Feast, Spark and PyIceberg."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._tables = IcebergTables(settings)
        self._session: SparkSession | None = None
        self._started = False

    def point_in_time(self, questions: pa.Table, views: Sequence[str]) -> pa.Table:
        """See OfflineStore."""
        names = _output_names(views)
        clash = set(questions.column_names) & set(names.values())
        if clash:
            raise ValueError(f"a column to pass through is named like a feature: {', '.join(sorted(clash))}")
        store = require_catalogue(self._settings, views)
        asked, row_of_question = distinct_questions(questions, views)
        parts = [self._join(store, part, names) for part in told_apart(asked, views)]
        answers = pa.concat_tables(parts).sort_by(_ROW)
        if answers.num_rows != len(asked):
            raise RuntimeError(f"Feast answered {len(asked)} questions with {answers.num_rows} rows")
        answers = answers.drop_columns([_ROW]).take(pa.array(row_of_question))
        columns = {**dict(zip(questions.column_names, questions.columns, strict=True))}
        columns |= {names[name]: answers.column(name) for name in names}
        return pa.table(columns)

    def read_table(self, name: str, columns: Sequence[str] | None = None, row_filter: str | None = None) -> pa.Table:
        """See OfflineStore."""
        return self._tables.read(name, columns, row_filter)

    def overwrite(self, name: str, table: pa.Table, row_filter: str | None = None) -> None:
        """See OfflineStore."""
        self._tables.overwrite(name, table, row_filter)

    def append(self, name: str, table: pa.Table) -> None:
        """See OfflineStore."""
        self._tables.append(name, table)

    def close(self) -> None:
        """See OfflineStore."""
        if self._session is not None and self._started:
            self._session.stop()
        self._session = None

    def _join(self, store: FeatureStore, asked: pd.DataFrame, names: dict[str, str]) -> pa.Table:
        if self._session is None:
            self._session, self._started = lake_session(self._settings)
        frame = asked.drop(columns=[AS_OF]).assign(**{_TIME: pd.to_datetime(asked[AS_OF], unit="ms", utc=True)})
        refs = [name.replace("__", ":", 1) for name in names]
        with feast_in(self._session, "joining features"), contextlib.redirect_stdout(sys.stderr):  # Feast prints its progress
            job = store.get_historical_features(frame, refs, full_feature_names=True)
            if not isinstance(job, SparkRetrievalJob):
                raise TypeError(f"the offline store is Spark, but Feast answered with a {type(job).__name__}")
            # Feast's own `to_arrow` goes through pandas, where a null makes integers floats
            return plain_types(job.to_spark_df().select(_ROW, *names).toArrow())


def distinct_questions(questions: pa.Table, views: Sequence[str]) -> tuple[pd.DataFrame, list[int]]:
    """The distinct (keys of the views, as of) of the questions, numbered in `question_row`, and the number of each question.

    Raises UsageError where the questions lack a key of some view.
    """
    names = [*dict.fromkeys(key for view in views for key in _keys(view)), AS_OF]
    missing = [name for name in names if name not in questions.column_names]
    if missing:
        raise UsageError(
            f"The questions lack {', '.join(missing)}",
            doing=f"joining features of {', '.join(views)}",
            hint="A view is asked by all of its keys; ask those that need others apart.",
        )
    keys = questions.select(names).to_pandas()
    numbers = keys.groupby(names, sort=False).ngroup()
    return keys.assign(**{_ROW: numbers}).drop_duplicates(_ROW), numbers.tolist()


def told_apart(asked: pd.DataFrame, views: Sequence[str]) -> list[pd.DataFrame]:
    """The questions in as few parts as it takes for Feast to tell the keys of a part from one another.

    Feast's join names a question by its ids written one after another, so that ("s1", "1p") and ("s11", "p") are one to it, and
    each would get the other's features. Most often there is one part.
    """
    names = list(dict.fromkeys(tuple(_keys(view)) for view in views))
    parts = [f"part_{number}" for number in range(len(names))]
    for part, of_view in zip(parts, map(list, names), strict=True):
        keys = asked[of_view].drop_duplicates()
        written = reduce(add, (keys[name] for name in of_view))
        asked = asked.merge(keys.assign(**{part: written.groupby(written).cumcount()}), how="left", on=of_view)
    return [some.drop(columns=parts) for _, some in asked.groupby(parts)]


def _keys(view: str) -> list[str]:
    return [ENTITY_KEYS[entity] for entity in VIEWS[view].entities]


def _output_names(views: Sequence[str]) -> dict[str, str]:
    """Feast's column names -> ours."""
    names: dict[str, str] = {}
    for view in views:
        names[f"{view}__{AS_OF}"] = f"{view}__{AS_OF}"
        names |= {f"{view}__{feature.name}": feature.name for feature in features_of(view)}
    return names
