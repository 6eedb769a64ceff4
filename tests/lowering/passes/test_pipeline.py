"""Pipelines, on lists of words: order, checks, what a caller sees, and bisection."""

from __future__ import annotations

import pytest

from lowering.passes.pipeline import Observation, Pass, Pipeline, PipelineError, observed

Words = tuple[str, ...]


def words_only(words: Words) -> None:
    if not all(isinstance(word, str) for word in words):
        raise TypeError("not a word")


def no_doubles(words: Words) -> None:
    if len(set(words)) < len(words):
        raise ValueError("a word is there twice")


def pipeline(*passes: Pass[Words], given: tuple[str, ...] = ()) -> Pipeline[Words]:
    return Pipeline("words", "list of words", passes, words_only, " ".join, {"single": no_doubles}, given)


SINGLE = Pass[Words]("deduplicate", lambda w: tuple(dict.fromkeys(w)), "Drop doubles.", ensures=("single",))
SORT = Pass[Words]("sort", lambda w: tuple(sorted(w)), "Sort.", requires=("single",))
UPPER = Pass[Words]("upper", lambda w: tuple(x.upper() for x in w), "Shout.", {"loud": True}, required=True)


def test_passes_run_in_order() -> None:
    assert pipeline(SINGLE, SORT, UPPER).run(("b", "a", "b")) == ("A", "B")


def test_what_results_depend_on() -> None:
    assert pipeline(SINGLE, SORT, UPPER).identity() == "words(deduplicate, sort, upper{loud=True})"


def test_a_requirement_must_be_ensured_before() -> None:
    with pytest.raises(PipelineError, match="sort of words requires single, which no pass before it ensures"):
        pipeline(SORT, SINGLE)
    assert pipeline(SORT, given=("single",)).run(("b", "a")) == ("a", "b")


def test_a_bisection_leaves_out_nothing_that_a_required_pass_requires() -> None:
    loud = Pass[Words]("loud", UPPER.run, "Shout.", requires=("single",), required=True)
    with pytest.raises(PipelineError, match="loud of words requires single, which a bisection may leave out"):
        pipeline(SINGLE, loud)
    always = Pass[Words]("always", SINGLE.run, "Drop doubles.", ensures=("single",), required=True)
    with observed(Observation(until=0, verify=True)):
        assert pipeline(SORT, always, loud, given=("single",)).run(("b", "a", "b")) == ("B", "A")


def test_names_are_unique() -> None:
    with pytest.raises(PipelineError, match="two passes named sort"):
        pipeline(SINGLE, SORT, SORT)


def test_a_property_is_checked_to_the_end() -> None:
    double = Pass[Words]("double", lambda w: w * 2, "Break what was ensured.")
    with observed(Observation(verify=True)), pytest.raises(ValueError, match="twice") as caught:
        pipeline(SINGLE, double).run(("a",))
    assert caught.value.__notes__ == ["after the pass double of the pipeline words"]
    with observed(Observation(verify=False)):
        assert pipeline(SINGLE, double).run(("a",)) == ("a", "a")


def test_the_subject_is_verified_after_each_pass() -> None:
    broken = Pass[Words]("number", lambda w: (*w, 3), "Add a number.")  # pyright: ignore[reportArgumentType]
    with observed(Observation(verify=True)), pytest.raises(TypeError, match="not a word"):
        pipeline(broken, UPPER).run(("a",))


def test_printing_after_a_pass_and_after_changes() -> None:
    told: list[str] = []
    with observed(Observation(told.append, after=frozenset(("sort",)))):
        pipeline(SINGLE, SORT, UPPER).run(("a", "b"))
    assert told == ["// 2: words, after sort\na b"]
    told.clear()
    with observed(Observation(told.append, changed=True)):
        pipeline(SINGLE, SORT, UPPER).run(("a", "b"))
    assert told == ["// 3: words, after upper{loud=True}\nA B"]


def test_bisection_counts_over_pipelines_and_keeps_what_is_required() -> None:
    with observed(Observation(until=1)) as observation:
        assert pipeline(SINGLE, SORT, UPPER).run(("b", "a", "b")) == ("B", "A")
        assert pipeline(SINGLE).run(("b", "b")) == ("b", "b")
    assert [timing.name for timing in observation.timings] == ["deduplicate", "upper"]
