"""Searches side by side: what each asks for next is computed in one batch with what all others ask for.

A search is an ordinary function that calls `evaluate(x)` and waits for the answer, such as a minimisation by
`scipy.optimize`. All run in threads; when every one waits, the batch is computed.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np

from hxcli.phylogeny import FloatArray

Answer = TypeVar("Answer")
# From one place x to a value and its gradient.
Evaluate = Callable[[FloatArray], tuple[float, FloatArray]]
# The same for K places, (K, P).
EvaluateAll = Callable[[FloatArray], tuple[FloatArray, FloatArray]]


def side_by_side(function: EvaluateAll, searches: Sequence[Callable[[Evaluate], Answer]]) -> list[Answer]:
    """Runs searches whose evaluations are computed together.

    Args:
        function: From (K, P) places to (K,) values and (K, P) gradients.
        searches: Each is given an `evaluate` of its own.

    Returns:
        What they return, in order.

    Raises:
        Exception: What `function` or a search raised first.
    """
    turn = threading.Condition()
    asked: dict[int, FloatArray] = {}
    answers: dict[int, Any] = {}
    results: list[Any] = [None] * len(searches)
    running = set(range(len(searches)))
    failures: list[BaseException] = []

    def evaluate_for(number: int) -> Evaluate:
        def evaluate(x: FloatArray) -> tuple[float, FloatArray]:
            with turn:
                asked[number] = np.array(x, np.float64)
                turn.notify_all()
                turn.wait_for(lambda: number in answers or failures)
                if failures:
                    raise _Stopped
                return answers.pop(number)

        return evaluate

    def run(number: int) -> None:
        try:
            results[number] = searches[number](evaluate_for(number))
        except _Stopped:
            pass
        except BaseException as error:
            failures.append(error)
        with turn:
            running.discard(number)
            turn.notify_all()

    threads = [threading.Thread(target=run, args=(number,), daemon=True) for number in range(len(searches))]
    for thread in threads:
        thread.start()
    with turn:
        while running:
            turn.wait_for(lambda: len(asked) == len(running) or failures)
            if failures or not asked:
                turn.notify_all()
                break
            numbers = sorted(asked)
            try:
                values, gradients = function(np.stack([asked[number] for number in numbers]))
            except BaseException as error:
                failures.append(error)
                turn.notify_all()
                break
            asked.clear()
            for place, number in enumerate(numbers):
                answers[number] = (float(values[place]), gradients[place])
            turn.notify_all()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    return results


class _Stopped(Exception):
    """Another search has failed."""
