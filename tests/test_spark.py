"""The Spark recipe in the docstring of `fastgmm.statistics` runs on a local session."""

from __future__ import annotations

import pickle
import shutil
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import fastgmm

pyspark = pytest.importorskip("pyspark", reason="pyspark is not installed")
pytestmark = [
    pytest.mark.skipif(shutil.which("java") is None, reason="Spark needs a Java runtime"),
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning", "ignore::FutureWarning"),
]


@pytest.fixture(scope="module")
def spark() -> Iterator[Any]:
    """A session of two local workers."""
    from pyspark.sql import SparkSession

    builder = SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false")
    builder = builder.config("spark.driver.host", "127.0.0.1").config("spark.sql.shuffle.partitions", "2")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYSPARK_PYTHON", sys.executable)
        session = builder.getOrCreate()
        session.sparkContext.setLogLevel("ERROR")
        yield session
        session.stop()


def test_spark_recipe(spark: Any) -> None:
    """The recipe ends where a fit in memory does, also with an empty partition."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(3000, 2)) + 4 * rng.integers(2, size=(3000, 1))
    mixture = fastgmm.GaussianMixture(2, random_state=0, max_iter=0).fit(X)
    frame = spark.createDataFrame([tuple(map(float, row)) for row in X], ["a", "b"]).repartition(5).where("a > -100")

    def e_step(batches: Iterator[Any]) -> Iterator[Any]:
        import pyarrow as pa

        parts = [fastgmm.statistics(mixture, np.column_stack(batch.columns)) for batch in batches if batch.num_rows]
        if parts:
            yield pa.RecordBatch.from_pydict({"statistics": [pickle.dumps(fastgmm.merge(*parts))]})

    while not mixture.converged_:
        parts = frame.mapInArrow(e_step, "statistics binary").rdd.map(lambda row: pickle.loads(row.statistics))
        mixture = fastgmm.maximize(mixture, parts.treeReduce(fastgmm.merge))
    whole = fastgmm.GaussianMixture(2, random_state=0).fit(X)
    assert mixture.n_iter_ == whole.n_iter_ > 1
    np.testing.assert_allclose(mixture.means_, whole.means_, rtol=1e-10)
    np.testing.assert_allclose(mixture.covariances_, whole.covariances_, rtol=1e-10)
