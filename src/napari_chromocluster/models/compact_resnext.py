"""The compact ResNeXt: a body small enough to train and run on a CPU.

Residual blocks with grouped convolutions as in Xie et al., CVPR 2017, with
few channels, for crops of 96 to 144 px.
"""

from __future__ import annotations

from torch import Tensor, nn


class CompactBlock(nn.Module):
    """Bottleneck block with a grouped 3 x 3 convolution in the middle."""

    def __init__(self, inputs: int, outputs: int, stride: int, group_width: int) -> None:
        super().__init__()
        width = outputs // 2
        self.branch = nn.Sequential(
            nn.Conv2d(inputs, width, 1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
            nn.Conv2d(width, width, 3, stride, 1, groups=max(1, width // group_width), bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
            nn.Conv2d(width, outputs, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(
                nn.AvgPool2d(stride, ceil_mode=True) if stride != 1 else nn.Identity(),
                nn.Conv2d(inputs, outputs, 1, bias=False),
                nn.BatchNorm2d(outputs),
            )
        self.activation = nn.ReLU(inplace=True)
        # Each block starts as the identity, which makes deep bodies easier to train.
        nn.init.zeros_(self.branch[-1].weight)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        """Add the branch to the shortcut."""
        out: Tensor = self.activation(self.branch(x) + self.shortcut(x))
        return out


class CompactResNeXt(nn.Sequential):
    """Body of the compact network.

    Parameters
    ----------
    channels : int
        Input channels.
    widths : tuple of int
        Output channels of the four stages.
    depths : tuple of int
        Blocks of the four stages.
    group_width : int
        Channels of one group of the grouped convolutions.

    Attributes
    ----------
    out_features : int
        Channels of the feature map.
    """

    def __init__(
        self,
        channels: int = 3,
        widths: tuple[int, int, int, int] = (64, 128, 256, 512),
        depths: tuple[int, int, int, int] = (2, 3, 4, 2),
        group_width: int = 16,
    ) -> None:
        stem = nn.Sequential(
            nn.Conv2d(channels, 32, 3, 2, 1, bias=False),
            nn.BatchNorm2d(32),
            nn.ReLU(inplace=True),
            nn.Conv2d(32, 48, 3, 1, 1, bias=False),
            nn.BatchNorm2d(48),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, 2, 1),
        )
        stages: list[nn.Module] = []
        inputs = 48
        for number, (width, depth) in enumerate(zip(widths, depths, strict=True)):
            blocks: list[nn.Module] = []
            for block in range(depth):
                stride = 2 if block == 0 and number > 0 else 1
                blocks.append(CompactBlock(inputs, width, stride, group_width))
                inputs = width
            stages.append(nn.Sequential(*blocks))
        super().__init__(stem, *stages)
        self.out_features = inputs


class LargeCompactResNeXt(CompactResNeXt):
    """The same with 1.5 times the channels and more blocks; takes twice the time on a CPU."""

    def __init__(self, channels: int = 3) -> None:
        super().__init__(channels, widths=(96, 192, 384, 768), depths=(2, 4, 6, 3))
