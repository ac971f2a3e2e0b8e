"""What an experiment file may say: frozen models, unknown keys forbidden, limits and units beside each field."""

from retinalab.config.augment import AugmentConfig, PrincipalColours
from retinalab.config.background import BackgroundConfig
from retinalab.config.base import Model, TaskConfig
from retinalab.config.class_weights import ALL, ClassWeights
from retinalab.config.data import BalanceConfig, DataConfig, MixConfig, NormaliseConfig
from retinalab.config.experiment import Experiment, Stage, StartFrom, TestConfig
from retinalab.config.trainer import EarlyStopping, TrainerConfig, WeightAveraging
from retinalab.config.windows import WindowConfig

__all__ = [
    "ALL",
    "AugmentConfig",
    "BackgroundConfig",
    "BalanceConfig",
    "ClassWeights",
    "DataConfig",
    "EarlyStopping",
    "Experiment",
    "MixConfig",
    "Model",
    "NormaliseConfig",
    "PrincipalColours",
    "Stage",
    "StartFrom",
    "TaskConfig",
    "TestConfig",
    "TrainerConfig",
    "WeightAveraging",
    "WindowConfig",
]
