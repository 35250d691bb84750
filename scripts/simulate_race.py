#!/usr/bin/env python3
"""Simulates a large race on a cluster whose nodes differ, fail and are taken away: rungs that wait for their last candidate, as scnas has them, against
promotion as soon as a candidate is good enough among those judged so far (asynchronous halving; Li et al. 2020).

    scripts/simulate_race.py [--runs 200] [--candidates 1000] [--nodes 100]

A candidate has a true Dice; a rung shows it with an error that falls with the epochs. A node is slow for good, some are. A job is taken away at random moments,
saved, and waits to be queued again. Prints hours until the winner is known, node-hours and idle share, medians over runs; and what the winner lacks against the best on average.
"""

import argparse
import heapq
import random
import statistics

EPOCHS = [5, 15, 45]  # at the end of each rung
KEEP = 1 / 3
EPOCH_HOURS = 40 / 3600  # of a u-resnet-half at 40×56×40 on one thread
SPREAD = 0.010  # standard deviation of the candidates' true Dice
ERROR = [0.010, 0.005, 0.002]  # standard error of what a rung shows
SLOW_SHARE, SLOWER = 0.05, 3.0
AWAY_PER_HOUR, BACK_HOURS = 0.1, 0.5


def hours(rung, speed, chance):
    """Time of a job on a node, and of its waits in the queue."""
    epochs = EPOCHS[rung] - (EPOCHS[rung - 1] if rung else 0)
    work = epochs * EPOCH_HOURS * speed * chance.lognormvariate(0, 0.1)
    taken = chance.expovariate(AWAY_PER_HOUR) < work
    return work, chance.expovariate(1 / BACK_HOURS) if taken else 0.0


def race(waits, candidates, nodes, chance):
    true = [chance.gauss(0, SPREAD) for _ in range(candidates)]
    speed = [SLOWER if chance.random() < SLOW_SHARE else 1.0 for _ in range(nodes)]
    shown = [{} for _ in EPOCHS]  # of each rung, what its candidates showed
    promoted = [set() for _ in EPOCHS]
    expected = [candidates]
    for _ in EPOCHS[1:]:
        expected.append(max(1, round(expected[-1] * KEEP)))
    fresh = list(range(candidates))
    now, busy = 0.0, 0.0
    free, running = list(range(nodes)), []

    def next_job():
        for rung in reversed(range(1, len(EPOCHS))):
            below = shown[rung - 1]
            whole = len(below) == expected[rung - 1]
            if waits and not whole:
                continue
            most = expected[rung] if whole else int(len(below) * KEEP)
            ranked = sorted(below, key=below.get, reverse=True)[:most]
            open_ = [c for c in ranked if c not in promoted[rung]]
            if open_ and len(promoted[rung]) < expected[rung]:
                promoted[rung].add(open_[0])
                return open_[0], rung
        if fresh:
            return fresh.pop(), 0
        return None

    while True:
        while free:
            job = next_job()
            if job is None:
                break
            node = free.pop()
            work, away = hours(job[1], speed[node], chance)
            busy += work
            heapq.heappush(running, (now + work + away, node, job))
        if not running:
            break
        now, node, (candidate, rung) = heapq.heappop(running)
        free.append(node)
        shown[rung][candidate] = true[candidate] + chance.gauss(0, ERROR[rung])
    last = shown[-1]
    winner = max(last, key=last.get)
    return now, busy, 1 - busy / (now * nodes), max(true) - true[winner]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--candidates", type=int, default=1000)
    parser.add_argument("--nodes", type=int, default=100)
    told = parser.parse_args()
    print("rungs           hours  node-hours  idle  Dice behind the best")
    for name, waits in (("wait", True), ("do not wait", False)):
        ran = [race(waits, told.candidates, told.nodes, random.Random(seed)) for seed in range(told.runs)]
        time, work, idle, behind = zip(*ran)
        print(
            f"{name:14} {statistics.median(time):6.2f} {statistics.median(work):11.1f} {statistics.median(idle):5.0%}"
            f" {statistics.mean(behind):20.5f}"
        )


main()
