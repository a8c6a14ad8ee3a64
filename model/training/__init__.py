"""Training in torch: tasks, methods, one trainer, and runs that can be resumed bit for bit."""

from model.guard import TrainingDiverged
from model.training.catalog import open_task
from model.training.config import TorchConfig
from model.training.run import TorchRun
from model.training.tasks import Classification, LanguageModel, SuperResolution, Task
from model.training.trainer import TorchTrainer

__all__ = [
    "Classification",
    "LanguageModel",
    "SuperResolution",
    "Task",
    "TorchConfig",
    "TorchRun",
    "TorchTrainer",
    "TrainingDiverged",
    "open_task",
]
