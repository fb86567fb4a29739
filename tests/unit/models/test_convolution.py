"""Our convolutions against PyTorch's: values, gradients, and what they leave to PyTorch."""

from __future__ import annotations

import copy
import functools
import re

import pytest
import torch
from torch import nn

from uae import models
from uae.models.convolution import Conv2d, UpsampledConv2d


def twins(*arguments, **options):
    """PyTorch's convolution and ours, with the same weights."""
    theirs = nn.Conv2d(*arguments, **options).double()
    ours = Conv2d(*arguments, **options).double()
    ours.load_state_dict(theirs.state_dict())
    return theirs, ours


def results(convolution, x):
    """The result for x, and its gradients by x and the weights."""
    x = x.clone().requires_grad_()
    out = convolution(x)
    weights = torch.rand(out.shape, dtype=x.dtype, generator=torch.Generator().manual_seed(1))
    return [out, *torch.autograd.grad(out, [x, *convolution.parameters()], weights)]


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize(
    ("channels", "units", "kernel", "size", "options"),
    [
        (1, 16, 5, (28, 28), {"padding": "same"}),  # the autoencoder
        (1, 32, 3, (28, 28), {}),  # the classifier
        (3, 64, 3, (32, 32), {"padding": 1, "bias": False}),  # ResNet
        (3, 9, 3, (12, 19), {"padding": "same"}),  # sizes that do not fill the registers
        (2, 11, 4, (14, 13), {"padding": "valid"}),
        (2, 17, 1, (9, 10), {"bias": False}),
    ],
)
def test_is_pytorchs(channels, units, kernel, size, options, last):
    theirs, ours = twins(channels, units, kernel, **options)
    x = torch.rand(4, channels, *size, dtype=torch.float64, requires_grad=True)
    assert ours._pixels(x) is not None
    if last:
        x, ours = x.to(memory_format=torch.channels_last), ours.to(memory_format=torch.channels_last)
    for one, other in zip(results(theirs, x), results(ours, x), strict=True):
        torch.testing.assert_close(other, one, rtol=1e-10, atol=1e-11)
    with torch.no_grad():
        torch.testing.assert_close(ours(x), theirs(x), rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize(
    ("channels", "units", "kernel", "size", "options"),
    [
        (4, 16, 3, (20, 20), {}),  # not few
        (16, 1, 5, (28, 28), {"padding": "same"}),
        (1, 4, 3, (20, 20), {}),  # not many
        (1, 16, 3, (20, 20), {"stride": 2}),
        (1, 16, 3, (20, 20), {"dilation": 2}),
        (1, 16, (3, 5), (20, 20), {"padding": "same"}),
        (1, 16, 3, (20, 20), {"padding": (1, 0)}),
        (1, 16, 4, (20, 20), {"padding": "same"}),
        (1, 16, 3, (20, 20), {"padding": 4}),
        (1, 16, 3, (20, 20), {"padding": 1, "padding_mode": "circular"}),
        (1, 16, 3, (20, 6), {}),  # a narrow image
    ],
)
@pytest.mark.filterwarnings("ignore:Using padding='same'")
def test_leaves_to_pytorch_what_the_kernel_does_not_take(channels, units, kernel, size, options):
    theirs, ours = twins(channels, units, kernel, **options)
    x = torch.rand(2, channels, *size, dtype=torch.float64, requires_grad=True)
    assert ours._pixels(x) is None
    assert all(map(torch.equal, results(theirs, x), results(ours, x)))


def test_threads_share_pytorchs():
    theirs, ours = twins(1, 16, 3)
    x = torch.rand(2, 1, 20, 20, dtype=torch.float64, requires_grad=True)
    assert ours._pixels(x) is not None
    torch.set_num_threads(2)
    try:
        assert ours._pixels(x) is None
        assert all(map(torch.equal, results(theirs, x), results(ours, x)))
    finally:
        torch.set_num_threads(1)


@pytest.mark.parametrize("broken", ["channels", "dtype"])
def test_an_input_that_does_not_fit_fails_as_in_pytorch(broken):
    theirs, ours = twins(1, 16, 3)
    x = torch.rand(1, 2, 20, 20).double() if broken == "channels" else torch.rand(1, 1, 20, 20)
    x.requires_grad_()
    with pytest.raises(RuntimeError) as error:
        theirs(x)
    with pytest.raises(RuntimeError, match=re.escape(str(error.value))):
        ours(x)


def test_an_attack_does_not_pay_for_the_gradient_by_the_weights():
    _, ours = twins(1, 16, 3)
    x = torch.rand(2, 1, 20, 20, dtype=torch.float64, requires_grad=True)
    out = ours(x)
    with torch.profiler.profile() as of_x:
        torch.autograd.grad(out.sum(), x, retain_graph=True)
    with torch.profiler.profile() as of_weight:
        torch.autograd.grad(out.sum(), ours.weight)
    pytorchs = "aten::convolution_backward"
    assert pytorchs not in {event.key for event in of_x.key_averages()}
    assert pytorchs in {event.key for event in of_weight.key_averages()}


@pytest.mark.filterwarnings("ignore:.*is deprecated")
@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize(
    ("channels", "units", "kernel", "size"), [(8, 16, 5, 7), (16, 1, 5, 14), (3, 2, 7, 4)]
)
def test_an_upsampled_convolution_is_pytorchs(channels, units, kernel, size, last):
    ours = UpsampledConv2d(channels, units, kernel).double()
    theirs = nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(channels, units, kernel, padding="same"))
    theirs.double()[1].load_state_dict(ours.state_dict())
    x = torch.rand(4, channels, size, size + 1, dtype=torch.float64)
    if last:
        x, ours = x.to(memory_format=torch.channels_last), ours.to(memory_format=torch.channels_last)
    for one, other in zip(results(theirs, x), results(ours, x), strict=True):
        torch.testing.assert_close(other, one, rtol=1e-10, atol=1e-11)
    for made in (
        torch.jit.script(ours),
        torch.jit.trace(ours, x),
        torch.export.export(ours, (x,)).module(),
        torch.fx.symbolic_trace(ours),
    ):
        torch.testing.assert_close(made(x), theirs(x))


def test_an_upsampled_convolution_in_an_ensemble_of_an_empty_batch_and_elsewhere():
    nets = [UpsampledConv2d(3, 4, 5) for _ in range(2)]
    weights, rest = torch.func.stack_module_state(nets)
    x = torch.rand(2, 3, 6, 6, requires_grad=True)
    found = torch.vmap(lambda w, b: torch.func.functional_call(nets[0], (w, b), (x,)))(weights, rest)
    torch.testing.assert_close(found, torch.stack([net(x) for net in nets]))
    (grad,) = torch.autograd.grad(nets[0](x[:0]).sum(), x)
    assert not grad.any()
    assert nets[0].to("meta")(x.to("meta")).shape == (2, 4, 12, 12)
    with torch.device("meta"):
        assert nets[1](x).isfinite().all()
    assert list(nets[1].state_dict()) == ["weight", "bias"]


def test_an_upsampled_convolution_needs_an_odd_kernel():
    with pytest.raises(ValueError, match="odd kernel, got 4"):
        UpsampledConv2d(8, 16, 4)


def summed_gradient(module):
    """By one sample, through torch.func."""
    return torch.func.grad(lambda x: module(x).sum())(torch.rand(1, 1, 20, 20, dtype=torch.float64))


def test_autocast_and_no_gradients_are_pytorchs():
    theirs, ours = twins(1, 16, 3)
    theirs, ours = theirs.float(), ours.float()
    x = torch.rand(2, 1, 20, 20, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16):
        assert ours._pixels(x) is None
        one, other = results(theirs, x), results(ours, x)
    assert all(map(torch.equal, one, other)) and one[0].dtype == torch.bfloat16
    with torch.no_grad():
        assert ours._pixels(x) is None
    assert ours._pixels(x.detach()) is None and ours._pixels(x[:0]) is None


@pytest.mark.filterwarnings("ignore:.*is deprecated")
def test_vmap_compilation_and_a_second_derivative():
    theirs, ours = twins(1, 16, 3)
    x = torch.rand(3, 2, 1, 20, 20, dtype=torch.float64)
    torch.testing.assert_close(torch.vmap(ours)(x), torch.vmap(theirs)(x))
    given = x[0].requires_grad_()
    for transformed in (lambda m: torch.func.vjp(m, given)[1](torch.ones_like(m(given)))[0], summed_gradient):
        torch.testing.assert_close(transformed(ours), transformed(theirs))
    made = torch.jit.script(ours), torch.jit.trace(ours, given), torch.export.export(ours, (given,)).module()
    for module in made:
        torch.testing.assert_close(module(given), theirs(given))
    (grad,) = torch.autograd.grad(ours(given).square().sum(), given, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        grad.sum().backward()


def written(convolution, x):
    """What `UpsampledConv2d` computes, by PyTorch."""
    x = nn.functional.interpolate(x, scale_factor=2.0)
    return nn.functional.conv2d(x, convolution.weight, convolution.bias, padding="same")


@pytest.mark.parametrize("network", ["convolutional", "carlini-wagner", "madry", "resnet18"])
def test_a_network_is_what_it_is_with_pytorchs(network):
    torch.manual_seed(0)
    ours = models.build(network, (1, 28, 28)).eval().double()
    theirs = copy.deepcopy(ours)
    fewer = 0
    for module in list(theirs.modules()):
        for child in module.children():
            if type(child) is Conv2d:
                child.__class__ = nn.Conv2d
                fewer += 1
            if type(child) is UpsampledConv2d:
                child.forward = functools.partial(written, child)
                fewer += 1
    assert fewer == (3 if network == "convolutional" else 1)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    x = torch.rand(3, 1, 28, 28, dtype=torch.float64, requires_grad=True)
    one, other = (
        torch.autograd.grad(model(x).square().sum(), [x, *model.parameters()], allow_unused=True)
        for model in (ours, theirs)
    )
    for a, b in zip(one, other, strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            torch.testing.assert_close(a, b, rtol=1e-8, atol=1e-10)
