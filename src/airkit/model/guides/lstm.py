"""The guide of Eslami et al. 2016: a recurrent net that reads the whole canvas at every slot.

An LSTM is fed the image and the latents of the slot before; a small net on its output predicts
presence and pose; the window at that pose is cropped off the image and encoded (section 2.2
and figure 2 there). It never sees what is painted: the LSTM must remember it.

Legend: B batch, H canvas side, R units of the LSTM, Z code size.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from airkit.config.schema import Config
from airkit.model.guides.base import Guide, Slot
from airkit.model.networks import NONLINEARITIES, Encoder, ImageLSTM, Normal, mlp, spread
from airkit.model.poses import Pose
from airkit.model.tape import Known, afresh


class Sight(NamedTuple):
    """What the guide proposes from."""

    hidden: Tensor
    """The LSTM's output, [B, R]."""


class State(NamedTuple):
    """What the guide carries from slot to slot."""

    product: Tensor
    """The image's part of the LSTM's input product, [B, 4 R]."""
    hidden: Tensor
    """The LSTM's output, [B, R]."""
    cell: Tensor
    """The LSTM's memory, [B, R]."""
    latents: Tensor
    """z_where, z_what and z_pres of the slot before, [B, 3 + Z + 1]."""


class LSTMGuide(Guide):
    """Read the image and the last latents, propose presence and pose, crop the pose, encode."""

    looks, sees_canvas, any_canvas = False, False, False

    def __init__(self, config: Config, pose: Pose, canvas: int) -> None:
        """Build the networks for canvases of ``canvas`` pixels."""
        super().__init__(config, pose, canvas)
        guide, nonlinearity = config.guide, config.model.nonlinearity
        latents = Slot.length(config.model.code_size)
        widths = canvas**2, *guide.embed_net
        self.presence_bias, self.pose_sd_bias = guide.presence_bias, guide.pose_sd_bias
        self.embed = nn.Sequential()
        if guide.embed_net:
            activation = NONLINEARITIES[nonlinearity]()
            self.embed = nn.Sequential(*mlp(*widths, nonlinearity=nonlinearity), activation)
        self.rnn = ImageLSTM(widths[-1], latents, guide.rnn_size)
        self.first = nn.Parameter(torch.zeros(latents - 1))
        sizes = guide.rnn_size, *config.predict_net, 7
        self.predict = mlp(*sizes, nonlinearity=nonlinearity)
        self.encoder = Encoder(config, channels=1)

    def start(self, images: Tensor) -> State:
        """The learnable initial states; the slot before the first counts as on."""
        product, hidden, cell = self.rnn.start(self.embed(images.flatten(1)))
        first = torch.cat([self.first, self.first.new_ones(1)]).expand(len(images), -1)
        return State(product, hidden, cell, first)

    def attend(self, state: State, seen: Tensor, look: Tensor | None) -> tuple[Sight, State]:
        """One step of the LSTM."""
        del seen, look
        hidden, cell = self.rnn(state.product, state.latents, state.hidden, state.cell)
        return Sight(hidden), state._replace(hidden=hidden, cell=cell)

    def propose(self, sight: Sight, known: Known = afresh) -> tuple[Tensor, Normal]:
        """What is predicted from the LSTM's output; poses start out at the prior's."""
        out: Tensor = self.predict(sight.hidden, known)
        mean = self.pose.mean + self.pose.sd * out[:, 1:4]
        where = Normal(mean, self.pose.sd * spread(out[:, 4:] + self.pose_sd_bias))
        return out[:, 0] + self.presence_bias, where

    def advance(self, state: State, slot: Slot) -> State:
        """Remember the slot's latents, for the LSTM to read."""
        return state._replace(latents=slot.latents())
