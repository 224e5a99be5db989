"""How well scores rank right over wrong completions, and how sure that is."""

import bisect
import random
import statistics


def wins(pairs):
    """(right completions that stand above a wrong one, pairs of a right and a wrong one); a tie is half a win.

    `pairs` holds (score, reward), reward 1 for right and 0 for wrong.
    """
    wrong = sorted(score for score, reward in pairs if reward == 0)
    right = [score for score, reward in pairs if reward == 1]
    won = sum((bisect.bisect_left(wrong, s) + bisect.bisect_right(wrong, s)) / 2 for s in right)
    return won, len(right) * len(wrong)


def auc(problems):
    """(pooled, within a problem) for `problems`, a list of lists of (score, reward).

    Pooled compares every right completion with every wrong one; within a problem only those that answer the same
    question, every such pair weighing the same. NaN where there is no pair.
    """
    pooled = wins([pair for problem in problems for pair in problem])
    within = [sum(column) for column in zip(*map(wins, problems))]
    return tuple(won / pairs if pairs else float("nan") for won, pairs in (pooled, within))


def mean_auc(scorers):
    """The mean (pooled, within) over scorers of the same completions, such as the seeds of one method."""
    return tuple(statistics.fmean(column) for column in zip(*map(auc, scorers)))


def standard_error_of_gain(scorers, baseline, resamples=1000, seed=0):
    """Standard errors (pooled, within) of `mean_auc(scorers) - auc(baseline)`, by resampling the problems.

    The seeds' spread says nothing of the luck in which problems were held out; this does.
    """
    rng = random.Random(seed)
    gains = []
    for _ in range(resamples):
        drawn = rng.choices(range(len(baseline)), k=len(baseline))
        method = mean_auc([[scorer[i] for i in drawn] for scorer in scorers])
        base = auc([baseline[i] for i in drawn])
        gains.append([m - b for m, b in zip(method, base)])
    return tuple(statistics.stdev(column) for column in zip(*gains))
