"""The verdict must follow the bars, above all when a value is missing or not a number."""

import math

import pytest

from tests.bench.load import percentile
from tests.bench.measures import Results
from tests.bench.table import judge, missed, render


@pytest.mark.parametrize(
    ("cell", "values", "verdict"),
    [
        ("cpu|plain, 100 pairs, 1 in flight", {"Prosody": 200.0, "ejabberd": 80.0, "mlink": 40.0}, "pass"),
        ("cpu|plain, 100 pairs, 1 in flight", {"Prosody": 200.0, "ejabberd": 80.0, "mlink": 41.0}, "MISS"),
        ("cpu|TLS, 100 pairs, 1 in flight", {"Prosody": 100.0, "ejabberd": 80.0, "mlink": 30.0}, "MISS"),
        ("cpu|archive on, plain, 100 pairs, 1 in flight", {"Prosody": 90.0, "ejabberd": 80.0, "mlink": 40.0}, "pass"),
        ("cpu|archive on, plain, 100 pairs, 1 in flight", {"Prosody": 70.0, "ejabberd": 80.0, "mlink": 40.0}, "MISS"),
        ("memory|TLS", {"Prosody": 58.0, "ejabberd": 30.0, "mlink": 30.0}, "pass"),
        ("memory|TLS", {"Prosody": 58.0, "ejabberd": 30.0, "mlink": 31.0}, "MISS"),
        ("login|plain", {"Prosody": 1.0, "ejabberd": 2.0, "mlink": math.nan}, "MISS"),
        ("login|plain", {"Prosody": 1.0, "ejabberd": 2.0}, ""),
        ("ratio|flood", {"mlink": 2.0}, "MISS"),
        ("second|1 in flight", {"mlink": 1.69}, "MISS"),
        ("second|1 in flight", {"mlink": 1.7}, "pass"),
        ("secondcpu|1 in flight", {"mlink": 1.2}, ""),
        ("held", {"mlink": 9999.0}, "MISS"),
        ("held", {"mlink": 10000.0}, "pass"),
        ("p99|plain, 100 pairs, 1 in flight", {"Prosody": 1.0, "mlink": 5.0}, ""),
    ],
)
def test_verdicts(cell: str, values: dict[str, float], verdict: str) -> None:
    assert judge(cell, values, 10_000)[1] == verdict


def test_table_has_ratios_and_names_the_missed_bars() -> None:
    results = Results(progress=lambda _: None)
    for server, value in (("Prosody", 2.0), ("ejabberd", 1.0), ("mlink", 1.5)):
        results.put("login|plain", server, value)
    results.note("something went wrong")
    table = render(results, 10_000)
    assert "| 2.00 | 1.00 | 1.50 | 0.75 | 1.50 | better of the two | MISS |" in table
    assert "* something went wrong" in table
    assert missed(results, 10_000) == ["login|plain"]


def test_percentile_is_the_nearest_rank() -> None:
    assert percentile([float(value) for value in range(1, 101)], 0.99) == 100.0
    assert percentile([5.0], 0.99) == 5.0
    assert math.isnan(percentile([], 0.99))
