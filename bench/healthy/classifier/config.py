from dataclasses import dataclass, field


@dataclass
class ModelConfig:
    in_channels: int = 3
    widths: tuple = (16, 32)
    hidden: int = 64
    classes: int = 5
    dropout: float = 0.1


@dataclass
class Config:
    model: ModelConfig = field(default_factory=ModelConfig)
    image_size: int = 16
    samples: int = 60
    batch_size: int = 20
    lr: float = 1e-2
    epochs: int = 2
