"""Training in torch: tasks, methods, one trainer, and runs that can be resumed bit for bit."""

from cpt.model.guard import TrainingDiverged
from cpt.model.training.catalog import open_task
from cpt.model.training.config import TorchConfig
from cpt.model.training.run import TorchRun
from cpt.model.training.tasks import (
    Classification,
    LanguageModel,
    NodeClassification,
    SuperResolution,
    Task,
)
from cpt.model.training.trainer import TorchTrainer

__all__ = [
    "Classification",
    "LanguageModel",
    "NodeClassification",
    "SuperResolution",
    "Task",
    "TorchConfig",
    "TorchRun",
    "TorchTrainer",
    "TrainingDiverged",
    "open_task",
]
