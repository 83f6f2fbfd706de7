"""A bad pool is found as early as chance allows, a good one is left alone, and it is said in numbers."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from ansible_collections.slipway.compose.plugins.module_utils._core.gate.chances import (
    at_least,
    fraction_above,
    percentile,
)
from ansible_collections.slipway.compose.plugins.module_utils._core.gate.judging import Sample, judge
from ansible_collections.slipway.compose.plugins.module_utils._core.stack.model_rollout import (
    GateQuery,
    Gates,
)
from hypothesis import given
from hypothesis import strategies as st

BOUNDS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, math.inf)
OFF = Gates(100, 100, None, None, None, 20, ())
RANK = {"pass": 0, "inconclusive": 1, "fail": 2}


def errors(limit, minimum=20, **more):
    return replace(OFF, errors=limit, minimum_requests=minimum, **more)


def took(*seconds, failed=0):
    """A sample of requests that took so long."""
    buckets = tuple((bound, sum(one <= bound for one in seconds)) for bound in BOUNDS)
    return Sample(len(seconds), failed, percentile(buckets, 0.95), percentile(buckets, 0.99), buckets)


@pytest.mark.parametrize(
    ("counted", "limit", "minimum", "verdict", "clear"),
    [
        pytest.param((0, 20), 2, 20, "pass", False, id="nothing-failed"),
        pytest.param((2, 100), 2, 20, "pass", False, id="at-the-limit"),
        pytest.param((0, 19), 2, 20, "inconclusive", False, id="too-few-to-say"),
        pytest.param((0, 0), 2, 20, "inconclusive", False, id="no-traffic"),
        pytest.param((1, 3), 2, 20, "inconclusive", False, id="one-unlucky-of-three"),
        pytest.param((1, 20), 2, 20, "inconclusive", False, id="one-is-an-accident-even-at-the-minimum"),
        pytest.param((2, 3), 2, 20, "fail", True, id="two-of-three-are-none"),
        pytest.param((3, 100), 2, 20, "fail", False, id="above-the-limit-but-it-may-be-chance"),
        pytest.param((10, 100), 2, 20, "fail", True, id="far-above-the-limit"),
        pytest.param((4, 12), 15, 20, "fail", False, id="lost-even-if-all-up-to-the-minimum-went-well"),
        pytest.param((3, 12), 15, 20, "inconclusive", False, id="not-yet-lost"),
        pytest.param((5, 5), 60, 20, "fail", True, id="all-of-the-first-five"),
        pytest.param((4, 4), 60, 20, "inconclusive", False, id="four-are-fewer"),
        pytest.param((50, 50), 100, 20, "pass", False, id="not-judged"),
    ],
)
def test_errors_are_judged(counted, limit, minimum, verdict, clear):
    failed, requests = counted
    judgement = judge(Sample(requests, failed), None, errors(limit, minimum), {})
    assert (judgement.verdict, judgement.clear) == (verdict, clear)


@pytest.mark.parametrize(
    ("sample", "sentence"),
    [
        (Sample(250, 1), "1 of 250 requests failed (0.4 %), limit 2 %"),
        (Sample(3, 0), "0 of 3 requests failed, limit 2 % (3 of at least 20 requests)"),
    ],
    ids=["enough", "too-few"],
)
def test_a_finding_says_its_numbers(sample, sentence):
    (finding,) = judge(sample, None, errors(2), {}).findings
    assert finding.sentence == sentence


def test_a_pool_may_fail_as_much_as_the_one_before_and_a_little_more():
    gates = replace(OFF, errors_above_old=1)
    old = Sample(1000, 40)
    assert judge(Sample(1000, 49), old, gates, {}).verdict == "pass"
    worse = judge(Sample(1000, 90), old, gates, {})
    assert worse.clear
    assert worse.findings[0].sentence == (
        "90 of 1000 requests failed (9 %), 4 % of the old pool's 1000; limit 1 points above it"
    )
    assert worse.findings[0].observed == pytest.approx(5)


def test_two_errors_are_not_clear_when_the_old_pool_without_any_was_small():
    gates = replace(OFF, errors_above_old=0)
    few, many = Sample(20, 0), Sample(10_000, 0)
    assert not judge(Sample(40, 2), few, gates, {}).clear
    assert judge(Sample(40, 2), many, gates, {}).clear


@pytest.mark.parametrize("old", [None, Sample(19, 0)], ids=["none", "idle"])
def test_what_cannot_be_compared_is_no_reason_to_doubt_the_rest(old):
    gates = errors(2, errors_above_old=1, slower_than_old=2.0)
    judgement = judge(took(*[0.01] * 50), old, gates, {})
    assert judgement.verdict == "pass"
    assert [finding.verdict for finding in judgement.findings] == ["pass", "skipped", "skipped"]
    assert judge(Sample(50, 9), old, replace(OFF, errors_above_old=1), {}).verdict == "inconclusive"


def test_nothing_to_judge_by_is_a_pass():
    assert judge(Sample(0, 0), None, OFF, {}).verdict == "pass"


@pytest.mark.parametrize(
    ("seconds", "verdict", "clear"),
    [
        pytest.param([0.05] * 30, "pass", False, id="fast"),
        pytest.param([0.05] * 19, "inconclusive", False, id="too-few"),
        pytest.param([0.05] * 24 + [5.0], "pass", False, id="one-slow"),
        pytest.param([5.0] * 3, "inconclusive", False, id="slow-as-the-first-answers-are"),
        pytest.param([5.0] * 10, "fail", True, id="slow-for-longer-than-a-start"),
        pytest.param([0.05] * 50 + [5.0] * 10, "fail", True, id="too-many-slow-for-chance"),
        pytest.param([0.05] * 37 + [5.0] * 3, "fail", False, id="slow-but-it-may-be-chance"),
    ],
)
def test_times_are_judged(seconds, verdict, clear):
    judgement = judge(took(*seconds), None, replace(OFF, p95=200), {})
    assert (judgement.verdict, judgement.clear) == (verdict, clear)


def test_one_slow_request_of_twenty_does_not_fail_a_p99():
    gates = replace(OFF, p99=1000)
    assert judge(took(*[0.05] * 19, 5.0), None, gates, {}).verdict == "inconclusive"
    assert judge(took(*[0.05] * 18, 5.0, 5.0), None, gates, {}).verdict == "fail"


def test_a_pool_four_times_as_slow_is_found():
    old, gates = took(*[0.012] * 400), replace(OFF, slower_than_old=2.0)
    judgement = judge(took(*[0.048] * 40), old, gates, {})
    assert judgement.clear
    assert "limit 2 times as long" in judgement.findings[0].sentence
    assert judge(took(*[0.015] * 40), old, gates, {}).verdict == "pass"
    assert not judge(took(*[0.3] * 12), old, gates, {}).clear


def test_what_the_edge_cannot_tell_apart_is_not_slower():
    gates = replace(OFF, slower_than_old=1.0)
    assert judge(took(*[0.008] * 40), took(*[0.004] * 40), gates, {}).verdict == "pass"


def test_times_without_a_histogram_are_judged_at_the_end_only():
    gates = replace(OFF, p95=200)
    slow = judge(Sample(40, 0, 0.5, 0.6), None, gates, {})
    assert (slow.verdict, slow.clear) == ("fail", False)
    assert judge(Sample(40, 0), None, gates, {}).verdict == "inconclusive"


@pytest.mark.parametrize(
    ("value", "verdict"),
    [(10.0, "pass"), (10.1, "fail"), (None, "inconclusive"), (math.nan, "inconclusive")],
)
def test_a_query_of_the_users_own_is_judged(value, verdict):
    gates = replace(OFF, queries=(GateQuery("queue", "queue_length", 10),))
    judgement = judge(Sample(0, 0), None, gates, {"queue": value})
    assert (judgement.verdict, judgement.clear) == (verdict, verdict == "fail")


counts = st.integers(0, 400)
limits = st.floats(0, 100)


@given(requests=counts, failed=counts, limit=limits, least=st.integers(1, 300))
def test_more_errors_among_as_many_requests_are_never_better(requests, failed, limit, least):
    failed = min(failed, requests)
    gates = errors(limit, least)
    now = judge(Sample(requests, failed), None, gates, {})
    worse = judge(Sample(requests, min(failed + 1, requests)), None, gates, {})
    assert RANK[worse.verdict] >= RANK[now.verdict]
    assert worse.clear >= now.clear


@given(requests=counts, failed=counts, limit=limits, least=st.integers(1, 300))
def test_another_failed_request_never_takes_a_failure_back(requests, failed, limit, least):
    failed = min(failed, requests)
    now = judge(Sample(requests, failed), None, errors(limit, least), {})
    then = judge(Sample(requests + 1, failed + 1), None, errors(limit, least), {})
    assert then.clear >= now.clear
    assert now.verdict != "fail" or then.verdict == "fail"


@given(requests=counts, failed=counts, limit=limits, least=st.integers(1, 300), stricter=limits)
def test_a_stricter_limit_is_never_better(requests, failed, limit, least, stricter):
    sample = Sample(requests, min(failed, requests))
    strict, loose = sorted((limit, stricter))
    verdicts = [judge(sample, None, errors(bound, least), {}).verdict for bound in (strict, loose)]
    assert RANK[verdicts[0]] >= RANK[verdicts[1]]


@given(requests=counts, failed=counts, limit=limits, least=st.integers(1, 300))
def test_a_single_error_fails_nobody(requests, failed, limit, least):
    assert judge(Sample(requests + 1, 1), None, errors(limit, least), {}).verdict != "fail"
    below = judge(Sample(min(requests, least - 1), 0), None, errors(min(limit, 99), least), {})
    assert below.verdict == "inconclusive"


@given(old=st.integers(0, 200), worse=st.integers(0, 100), failed=st.integers(0, 100))
def test_an_old_pool_that_failed_more_never_harms_the_new_one(old, worse, failed):
    gates = replace(OFF, errors_above_old=1)
    verdicts = [judge(Sample(100, failed), Sample(300, before), gates, {}) for before in (old, old + worse)]
    assert RANK[verdicts[1].verdict] <= RANK[verdicts[0].verdict]
    assert verdicts[1].clear <= verdicts[0].clear


@given(st.lists(st.floats(0, 4), min_size=1, max_size=60), st.integers(0, 59), st.floats(0.001, 4))
def test_a_slower_answer_is_never_better(seconds, position, more):
    position %= len(seconds)
    slower = [one + more if at == position else one for at, one in enumerate(seconds)]
    gates = replace(OFF, p95=200, p99=1000)
    now, then = (judge(took(*times), None, gates, {}) for times in (seconds, slower))
    assert RANK[then.verdict] >= RANK[now.verdict]
    assert then.clear >= now.clear


@given(st.integers(1, 120), st.integers(0, 120), st.floats(0.001, 0.999))
def test_chances_are_those_of_the_binomial_distribution(of, bad, share):
    bad = min(bad, of)
    if bad > share * of:
        exact = sum(
            math.comb(of, count) * share**count * (1 - share) ** (of - count) for count in range(bad, of + 1)
        )
        assert at_least(bad, of, share) == pytest.approx(exact, rel=1e-6, abs=1e-12)
    else:
        assert at_least(bad, of, share) == 1.0


def test_chances_of_many_requests_are_quick_and_finite():
    assert at_least(30_000, 1_000_000, 0.02) < 1e-100
    assert 0.1 < at_least(20_010, 1_000_000, 0.02) < 0.5


@given(st.lists(st.floats(0, 6), min_size=1, max_size=60), st.floats(0.01, 0.99))
def test_percentile_and_fraction_are_each_others_reverse(seconds, share):
    buckets = took(*seconds).buckets
    value = percentile(buckets, share)
    if value < 5:
        assert fraction_above(buckets, value) <= 1 - share + 1e-9
    assert fraction_above(buckets, 0) <= 1


def test_percentiles_are_interpolated_as_prometheus_does():
    buckets = ((0.1, 10.0), (0.2, 20.0), (math.inf, 20.0))
    assert percentile(buckets, 0.75) == pytest.approx(0.15)
    assert percentile(((0.1, 0.0), (math.inf, 4.0)), 0.5) == 0.1
    assert percentile((), 0.5) is None
    assert fraction_above(buckets, 0.15) == pytest.approx(0.25)
    assert fraction_above(((0.1, 0.0), (math.inf, 4.0)), 60) == 0.0
