"""Locks that outlive a fork."""

import os
import signal
import threading

import pytest

from bge_fast.runtime.locks import Lock


@pytest.mark.filterwarnings("ignore:This process")
def test_a_lock_that_another_thread_holds_is_free_in_a_forked_child():
    lock, taken, ended = Lock(), threading.Event(), threading.Event()

    def hold() -> None:
        with lock.held():
            taken.set()
            ended.wait()

    holder = threading.Thread(target=hold)
    holder.start()
    taken.wait()
    child = os.fork()
    if child == 0:
        signal.alarm(10)
        with lock.held():
            os._exit(7)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    ended.set()
    holder.join()


@pytest.mark.filterwarnings("ignore:This process")
def test_a_thread_that_forks_while_it_holds_a_lock_lets_go_of_it_in_the_child_too():
    lock = Lock()
    with lock.held():
        child = os.fork()
    if child == 0:
        signal.alarm(10)
        with lock.held():
            os._exit(7)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7


def test_a_thread_may_take_a_lock_twice_and_others_wait():
    lock, order = Lock(), []
    with lock.held(), lock.held():
        other = threading.Thread(target=lambda: take(lock, order))
        other.start()
        other.join(0.05)
        order.append("first")
    other.join()
    assert order == ["first", "second"]


def take(lock: Lock, order: list[str]) -> None:
    with lock.held():
        order.append("second")
