"""Chunks of samples on several threads: the numbers, the failures and the progress of one thread."""

from __future__ import annotations

import itertools
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import nn

import uae
from uae import losses, models
from uae.attacks import threads

COUNT = 3 * threads.FEWEST


@pytest.fixture
def three():
    """Three threads, whatever the machine has."""
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


class Remembers(nn.Module):
    """A network that hands its loss a value by way of itself."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(1, 4, 3, padding=1)
        self.hidden = None

    def forward(self, x):
        self.hidden = self.first(x).tanh()
        return self.hidden.mean(1, keepdim=True).sigmoid()


class OfTheHidden(losses.Reconstruction):
    def __call__(self, x_adv, x):
        output = self.model(x_adv)
        time.sleep(1e-3)  # another thread's call would come between
        return (output - x).flatten(1).norm(dim=1) + self.model.hidden.flatten(1).square().mean(1)


def attack(**changes):
    settings = {"steps": 6, "alpha": 0.2, "beta": 2.0, "mi": uae.MINE(inner_steps=2, lr=2e-3)}
    return uae.MinMaxAttack(**settings | changes)


def images(count=COUNT):
    torch.manual_seed(3)
    return torch.rand(count, 1, 8, 8, dtype=torch.float64)


def autoencoder():
    torch.manual_seed(2)
    return models.build("convolutional", (1, 8, 8), widths=(6, 4)).double().eval()


def on_one_thread(function):
    torch.set_num_threads(1)
    result = function()
    torch.set_num_threads(3)
    return result


def same(ours, theirs):
    torch.testing.assert_close(ours.adv, theirs.adv, atol=1e-9, rtol=0)
    torch.testing.assert_close(ours.mi, theirs.mi, atol=1e-9, rtol=0, equal_nan=True)
    assert torch.equal(ours.success, theirs.success)
    assert torch.equal(ours.index, theirs.index)


def test_results_are_one_thread_s(three):
    """Also of a loss with labels, whose rows must go with their images."""
    x = images(COUNT + 5)
    loss = losses.Reconstruction(autoencoder())
    same(attack()(loss, x, seed=1), on_one_thread(lambda: attack()(loss, x, seed=1)))
    classifier = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 5)).double().eval()
    with torch.no_grad():
        classifier[-1].bias -= classifier(x).mean(0)  # or it would see one class in all
    labels = classifier(x).argmax(1)
    assert len(labels.unique()) > 1
    loss = losses.Margin(classifier, labels)
    ours = attack(maximize_mi=True)(loss, x, seed=1)
    assert ours.eligible.all()
    same(ours, on_one_thread(lambda: attack(maximize_mi=True)(loss, x, seed=1)))


def test_three_threads_at_a_time_with_networks_of_their_own(three, monkeypatch):
    """Or the other tests here would say nothing."""
    seen, together = set(), threading.Barrier(3)
    search = uae.MinMaxAttack._search

    def noted(self, problem, kept):
        together.wait(60)
        seen.add((threading.get_ident(), id(problem.loss.model), torch.get_num_threads()))
        search(self, problem, kept)

    monkeypatch.setattr(uae.MinMaxAttack, "_search", noted)
    attack()(losses.Reconstruction(autoencoder()), images())
    for column in (0, 1):
        assert len({entry[column] for entry in seen}) == 3
    assert {count for *_, count in seen} == {1}
    assert torch.get_num_threads() == 3


def test_few_batches_share_all_threads():
    seen = []
    with ThreadPoolExecutor(1) as pool:  # a thread of its own: six are not this process's business
        pool.submit(torch.set_num_threads, 6).result()
        made = threads.in_order(lambda *_: seen.append(torch.get_num_threads()), [slice(0, 1)] * 2, [0, 1])
        pool.submit(list, made).result()
        assert seen == [3, 3]
        assert pool.submit(torch.get_num_threads).result() == 6


def test_a_network_that_remembers_is_each_thread_s_own(three):
    """Chunks of unequal lengths, and a value that another thread's call would change."""
    torch.manual_seed(0)
    loss, x = OfTheHidden(Remembers().double().eval()), images(COUNT + 2)
    chunks = attack(mi=None, batch_size=19)
    same(chunks(loss, x), on_one_thread(lambda: chunks(loss, x)))


@pytest.mark.parametrize("why", ["closure", "hook", "forward", "autocast", "does not say so"])
def test_what_threads_would_mix_stays_on_one(three, why):
    loss = losses.Reconstruction(autoencoder())
    assert threads.suitable(loss, torch.device("cpu"))
    if why == "closure":
        loss = loss.__call__
    elif why == "hook":
        loss.model.encoder[0].register_forward_hook(lambda *_: None)
    elif why == "forward":
        loss.model.encoder.forward = loss.model.encoder.forward
    elif why == "does not say so":
        loss.threaded = False
    with torch.autocast("cpu", enabled=why == "autocast"):
        assert not threads.suitable(loss, torch.device("cpu"))


def test_copies_share_their_parameters_and_nothing_else():
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))
    one, two = (loss.model for loss in threads.copies(losses.Reconstruction(model), 2))
    assert one[0] is not two[0] and one[1].running_mean is not two[1].running_mean
    assert all(a is b for a, b in zip(one.parameters(), two.parameters(), strict=True))


def test_a_loss_that_cannot_be_copied_stays_on_one_thread(three):
    loss = losses.Reconstruction(autoencoder())
    loss.model.graph = loss.model.encoder[0].weight * 2  # a tensor of a graph has no copy
    assert threads.copies(loss, 3) == [loss]
    assert len(attack()(loss, images())) == COUNT


def test_a_failure_is_raised_and_names_its_sample(three):
    """NaN in the third chunk alone."""

    class Breaks(losses.Reconstruction):
        def __call__(self, x_adv, x):
            value = super().__call__(x_adv, x)
            return torch.where(x[:, 0, 0, 0] == 0.25, torch.nan, value)

    x = images()
    x[2 * threads.FEWEST + 3 :, 0, 0, 0] = 0.25
    with pytest.raises(ValueError, match=f"sample {2 * threads.FEWEST + 3}"):
        attack(batch_size=threads.FEWEST)(Breaks(autoencoder()), x)
    assert torch.get_num_threads() == 3


def test_an_interrupt_does_not_wait_for_the_chunks_to_end(three, monkeypatch):
    """As a terminal's: to the thread that waits, by the system."""
    waits, search, calls = threading.get_ident(), uae.MinMaxAttack._search, itertools.count()

    def interrupted(self, problem, kept):
        if next(calls) == 0:  # a second one could come after the test
            signal.pthread_kill(waits, signal.SIGINT)
        search(self, problem, kept)

    monkeypatch.setattr(uae.MinMaxAttack, "_search", interrupted)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    start = time.monotonic()
    try:
        with pytest.raises(KeyboardInterrupt):
            attack(steps=100_000)(losses.Reconstruction(autoencoder()), images())
    finally:
        signal.signal(signal.SIGINT, before)
    assert time.monotonic() - start < 60  # all steps: many minutes


@pytest.mark.parametrize("fails", [0, 2])
def test_work_stops_where_another_chunk_s_has_failed(three, fails):
    """The first chunk's error, and a later one's while the first is at work."""
    together, stopped = threading.Barrier(3), []

    def work(context, chunk, stop):
        together.wait(60)
        if chunk.start == fails:
            raise OSError("no space")
        assert stop.wait(60)
        stopped.append(chunk.start)
        raise threads.Stopped

    with pytest.raises(OSError, match="no space"):
        list(threads.in_order(work, [slice(i, i + 1) for i in range(5)], [0, 1, 2]))
    assert sorted([*stopped, fails]) == [0, 1, 2]  # the fourth and fifth chunk never began


def test_progress_never_goes_back_and_ends_complete(three, monkeypatch):
    monkeypatch.setattr("uae.attacks.problem.STEPS_BETWEEN_REPORTS", 2)
    told = []
    attack(batch_size=threads.FEWEST)(
        losses.Reconstruction(autoencoder()), images(), progress=lambda *counts: told.append(counts)
    )
    done = [count for count, total in told]
    assert done == sorted(done) and done[-1] == COUNT
    assert {total for _, total in told} == {COUNT}
    assert len(set(done)) > 3  # also within chunks
