from __future__ import annotations

from typing import Any

import pytest
import torch
from model_factory import generator, tiny_config
from torch import nn

from airkit.config.schema import Config
from airkit.model.decoders import MLPDecoder
from airkit.model.networks import Encoder, ImageLSTM

DTYPES = [torch.float32, torch.float64]


def _config(**model: Any) -> Config:
    return tiny_config(window_size=5, **model)


def _widths(module: nn.Module) -> list[tuple[int, int]]:
    layers = [layer for layer in module.modules() if isinstance(layer, nn.Linear)]
    return [(layer.in_features, layer.out_features) for layer in layers]


def test_networks_have_the_depth_and_widths_of_their_settings() -> None:
    deep = _config(encoder_net=(11, 12), decoder_net=(), nonlinearity="elu")
    assert _widths(Encoder(deep, channels=2)) == [(50, 11), (11, 12), (12, 6)]
    assert _widths(MLPDecoder(deep)) == [(3, 25)]
    assert [type(part) for part in Encoder(deep, channels=2).layers].count(nn.ELU) == 2
    assert _widths(MLPDecoder(_config(channels=3))) == [(3, 8), (8, 75)]
    plain = _config()
    assert _widths(Encoder(plain, channels=1)) == [(25, 8), (8, 6)]
    assert _widths(MLPDecoder(plain)) == [(3, 8), (8, 25)]


def test_a_linear_decoder_leaves_its_output_as_it_is() -> None:
    decoder = MLPDecoder(_config(decoder_output="linear", decoder_bias=-0.5))
    codes = torch.randn(4, 3, generator=generator(0))
    assert torch.equal(decoder(codes), (decoder.layers(codes) - 0.5).view(4, 1, 5, 5))


@pytest.mark.parametrize("compositing", ["add", "over"])
@pytest.mark.parametrize("polarity", ["bright", "both"])
def test_windows_start_nearly_blank(polarity: str, compositing: str) -> None:
    decoder = MLPDecoder(_config(polarity=polarity, compositing=compositing, decoder_bias="auto"))
    codes = torch.randn(50, 3, generator=generator(0))
    assert decoder(codes)[:, 0].mean().abs() < 0.15


def test_the_bias_follows_the_output_unless_it_is_set() -> None:
    for output, bias in (("sigmoid", -2.0), ("linear", 0.0)):
        assert MLPDecoder(_config(decoder_output=output, decoder_bias="auto")).bias == bias
        assert MLPDecoder(_config(decoder_output=output, decoder_bias=-1.0)).bias == -1.0


def test_the_lstm_is_that_of_torch() -> None:
    """The image's and the latents' products, taken apart, are one product of both together."""
    cell, ours = nn.LSTMCell(7 + 4, 5).double(), ImageLSTM(7, 4, 5).double()
    with torch.no_grad():
        ours.image.copy_(cell.weight_ih[:, :7].T)
        ours.recur.bias.copy_(cell.bias_ih + cell.bias_hh)
        ours.recur.weight.copy_(torch.cat([cell.weight_ih[:, 7:], cell.weight_hh], 1))
        ours.initial.copy_(torch.randn(2, 5, generator=generator(1)))
    image, *latents = torch.randn(4, 3, 7, generator=generator(0), dtype=torch.float64)
    state = ours.start(image, latents[0][:, :4])
    theirs = state.hidden, state.cell
    for each in latents:
        state = ours(state._replace(latents=each[:, :4]))
        theirs = cell(torch.cat([image, each[:, :4]], 1), theirs)
        torch.testing.assert_close((state.hidden, state.cell), theirs)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("dtype", DTYPES)
def test_decoder_gives_ink_that_a_negative_bias_blanks(dtype: torch.dtype, channels: int) -> None:
    codes = torch.randn(4, 3, generator=generator(0), dtype=dtype)
    decoder = MLPDecoder(_config(channels=channels)).to(dtype)
    windows = decoder(codes)
    assert windows.shape == (4, channels, 5, 5)
    assert windows.dtype == dtype
    logits = decoder.layers(codes).view(4, channels, 5, 5)
    torch.testing.assert_close(windows, 1 / (1 + torch.exp(-logits)))
    decoder.bias = -2.0
    torch.testing.assert_close(decoder(codes), 1 / (1 + torch.exp(2 - logits)))


@pytest.mark.parametrize("dtype", DTYPES)
def test_encoder_predicts_means_and_positive_sds(dtype: torch.dtype) -> None:
    windows = 20 * torch.randn(4, 5, 2, 5, generator=generator(0), dtype=dtype)
    encoder = Encoder(_config(), channels=2).to(dtype)
    normal = encoder(windows)
    raw = encoder.layers(windows.reshape(4, -1))
    assert normal.mean.shape == normal.sd.shape == (4, 3)
    assert normal.mean.dtype == dtype
    torch.testing.assert_close(normal.mean, raw[:, :3])
    torch.testing.assert_close(normal.sd, torch.log1p(torch.exp(raw[:, 3:])) + 1e-6)
    assert (normal.sd > 0).all()
