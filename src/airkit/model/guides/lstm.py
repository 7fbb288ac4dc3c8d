"""The guide of Eslami et al. (arXiv 1603.08575): a recurrent net that reads the whole image.

An LSTM is fed the image and the latents of the slot before; a small net on its output predicts
presence and pose; the window at that pose is cropped off the image and encoded (section 2.1
and figure 2 there). It never sees what is painted: the LSTM must remember it.

Legend: B batch, C channels, H height, W width, Z code size.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from airkit.config.schema import Config
from airkit.model.distributions import Normal
from airkit.model.guides.base import Guide, Slot
from airkit.model.guides.residual import Residual
from airkit.model.networks import NONLINEARITIES, Encoder, ImageLSTM, LSTMState, mlp, positive
from airkit.model.poses import Pose


class LSTMGuide(Guide):
    """Read the image and the last latents, propose presence and pose, crop the image, encode.

    Its state is that of the LSTM: z_where, z_what and z_pres of the slot before are its latents.
    """

    sees_canvas = False

    def __init__(self, config: Config, pose: Pose, canvas_size: int) -> None:
        """Build the networks for the configuration's canvases."""
        super().__init__(config, pose, canvas_size)
        guide, nonlinearity = config.guide, config.model.nonlinearity
        latents = Slot.length(config.code_size)
        widths = config.data.numel, *guide.embed_net
        self.presence_bias, self.pose_sd_bias = guide.presence_bias, guide.pose_sd_bias
        self.embed = nn.Sequential()
        if guide.embed_net:
            activation = NONLINEARITIES[nonlinearity]()
            self.embed = nn.Sequential(*mlp(*widths, nonlinearity=nonlinearity), activation)
        self.rnn = ImageLSTM(widths[-1], latents, guide.rnn_size)
        self.first = nn.Parameter(torch.zeros(latents - 1))
        sizes = guide.rnn_size, *config.predict_net, 7
        self.predict = mlp(*sizes, nonlinearity=nonlinearity)
        self.encoder = Encoder(config, channels=config.data.channels)

    def start(self, images: Tensor) -> LSTMState:
        """The learnt initial state; the slot before the first counts as on."""
        first = torch.cat([self.first, self.first.new_ones(1)]).expand(len(images), -1)
        return self.rnn.start(self.embed(images.flatten(1)), first)

    def propose(
        self, state: LSTMState, residual: Residual, look: Tensor | None
    ) -> tuple[Tensor, Normal, LSTMState]:
        """One step of the LSTM; see ``Guide.propose``. Poses start out at the prior's."""
        del residual, look
        state = self.rnn(state)
        out = self.predict(state.hidden)
        mean = self.pose.mean + self.pose.sd * out[:, 1:4]
        where = Normal(mean, self.pose.sd * positive(out[:, 4:] + self.pose_sd_bias))
        return out[:, 0] + self.presence_bias, where, state

    def encode(self, residual: Residual, size: Tensor, centre: Tensor) -> Normal:
        """Encode a window of the image alone; see ``Guide.encode``."""
        code: Normal = self.encoder(residual.crop_image(size, centre, self.window))
        return code

    def advance(self, state: LSTMState, slot: Slot) -> LSTMState:
        """Feed the slot's latents to the LSTM at the next step."""
        return state._replace(latents=slot.latents())
