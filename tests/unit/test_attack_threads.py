"""Chunks of samples on several threads: the numbers, the failures and the progress of one thread."""

from __future__ import annotations

import signal
import threading
import time

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
        assert len(self.model.hidden) == len(x)
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


def test_results_are_one_thread_s(three):
    """Also of a loss with labels, whose rows must go with their images."""
    torch.manual_seed(2)
    classifier = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 5)).double().eval()
    x = images(COUNT + 5)
    labels = classifier(x).argmax(1)
    for loss, changes in (
        (losses.Reconstruction(autoencoder()), {}),
        (losses.Margin(classifier, labels), {"maximize_mi": True}),
    ):
        ours = attack(**changes)(loss, x, seed=1)
        torch.set_num_threads(1)
        theirs = attack(**changes)(loss, x, seed=1)
        torch.set_num_threads(3)
        torch.testing.assert_close(ours.adv, theirs.adv, atol=1e-9, rtol=0)
        torch.testing.assert_close(ours.mi, theirs.mi, atol=1e-9, rtol=0, equal_nan=True)
        assert torch.equal(ours.success, theirs.success)
        assert torch.equal(ours.index, torch.arange(len(x)))


def test_several_threads_were_at_it(three, monkeypatch):
    """Or the other tests here would say nothing."""
    seen = set()
    search = uae.MinMaxAttack._search

    def noted(self, problem, kept):
        seen.add((threading.get_ident(), id(problem.loss.model), torch.get_num_threads()))
        search(self, problem, kept)

    monkeypatch.setattr(uae.MinMaxAttack, "_search", noted)
    attack()(losses.Reconstruction(autoencoder()), images())
    assert len({model for _, model, _ in seen}) == len(seen) == 3
    assert {count for *_, count in seen} == {1}
    assert threading.get_ident() not in {thread for thread, *_ in seen}
    assert torch.get_num_threads() == 3


def test_a_network_that_remembers_is_each_thread_s_own(three):
    torch.manual_seed(0)
    result = attack(mi=None)(OfTheHidden(Remembers().double().eval()), images())
    assert len(result) == COUNT


@pytest.mark.parametrize("loss", ["closure", "uncopied"])
def test_a_loss_that_cannot_be_copied_stays_on_one_thread(three, loss):
    model = autoencoder()
    reconstruction = losses.Reconstruction(model)
    if loss == "closure":
        made = lambda x_adv, x: reconstruction(x_adv, x)  # noqa: E731
    else:
        model.graph = model.encoder[0].weight * 2  # a tensor of a graph has no copy
        made = reconstruction
    assert threads.copies(made, torch.device("cpu"), COUNT) == [made]


def test_the_first_failure_is_raised_and_names_its_sample(three):
    """NaN from the third chunk on; the threads are free again afterwards."""

    class Breaks(losses.Reconstruction):
        def __call__(self, x_adv, x):
            value = super().__call__(x_adv, x)
            return torch.where(x[:, 0, 0, 0] == 0.25, torch.nan, value)

    x = images()
    x[2 * threads.FEWEST + 3 :, 0, 0, 0] = 0.25
    with pytest.raises(ValueError, match=f"sample {2 * threads.FEWEST + 3}"):
        attack(batch_size=threads.FEWEST)(Breaks(autoencoder()), x)
    assert torch.get_num_threads() == 3


def test_an_interrupt_does_not_wait_for_the_chunks_to_end(three):
    # As a terminal's: to the thread that waits, by the system.
    timer = threading.Timer(1, signal.pthread_kill, (threading.get_ident(), signal.SIGINT))
    timer.start()
    start = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        attack(steps=10**9)(losses.Reconstruction(autoencoder()), images())
    assert time.monotonic() - start < 60


def test_work_stops_where_another_chunk_s_has_failed(three):
    reached = []

    def work(context, chunk, stop):
        if chunk.start == 0:
            raise OSError("no space")
        if stop.wait(60):
            reached.append(chunk.start)
            raise threads.Stopped
        pytest.fail("nobody said to stop")

    with pytest.raises(OSError, match="no space"):
        list(threads.in_order(work, [slice(0, 1), slice(1, 2), slice(2, 3)], [0, 1, 2]))
    assert set(reached) <= {1, 2}


def test_progress_never_goes_back_and_ends_complete(three, monkeypatch):
    monkeypatch.setattr("uae.attacks.constrained.STEPS_BETWEEN_REPORTS", 2)
    told = []
    attack(batch_size=threads.FEWEST)(
        losses.Reconstruction(autoencoder()), images(), progress=lambda *counts: told.append(counts)
    )
    done = [count for count, total in told]
    assert done == sorted(done) and done[-1] == COUNT
    assert {total for _, total in told} == {COUNT}
    assert len(set(done)) > 3  # also within chunks
