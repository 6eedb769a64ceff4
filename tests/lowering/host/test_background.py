"""Work in the background: once, by few threads, in the order of demand."""

from __future__ import annotations

import threading

from lowering.host.background import Work, Workers


def test_work_is_done_once() -> None:
    done: list[int] = []
    work = Work(lambda: done.append(1))
    work.run()
    work.run()
    assert done == [1]
    assert work.begun


def test_what_is_wanted_most_comes_first() -> None:
    workers, order, begun, go = Workers(1), [], threading.Event(), threading.Event()
    ended = threading.Event()

    def first() -> None:
        begun.set()
        go.wait()

    workers.add(Work(first))
    begun.wait()
    for name, wanted in (("seldom", 1), ("often", 5), ("last", 0)):

        def note(name: str = name) -> None:
            order.append(name)
            if name == "last":
                ended.set()

        work = Work(note)
        work.wanted = wanted
        workers.add(work)
    go.set()
    assert ended.wait(60)
    assert order == ["often", "seldom", "last"]


def test_work_that_another_thread_began_is_left_to_it() -> None:
    workers, begun, go, ended = Workers(1), threading.Event(), threading.Event(), threading.Event()
    done: list[str] = []
    workers.add(Work(lambda: begun.set() or (go.wait() and None)))
    begun.wait()
    taken = Work(lambda: done.append("here"))
    workers.add(taken)
    workers.add(Work(lambda: ended.set()))
    taken.run()
    go.set()
    assert ended.wait(60)
    assert done == ["here"]


def test_a_worker_ends_where_nothing_is_left_and_another_takes_over() -> None:
    workers = Workers(1, idle=0.01)
    for _ in range(2):
        ended = threading.Event()
        workers.add(Work(ended.set))
        assert ended.wait(60)
        while workers._threads:
            threading.Event().wait(0.001)
