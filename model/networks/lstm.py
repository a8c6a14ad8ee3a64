"""Two-layer LSTM language model (Zaremba et al. 2014), for Penn Treebank."""

from __future__ import annotations

from torch import Tensor, nn

State = tuple[Tensor, Tensor]


class LstmLM(nn.Module):
    """Tokens (B, T) to logits (B, T, vocabulary); the output layer stays in full precision."""

    full_precision_layers = frozenset({"head"})

    def __init__(
        self,
        vocabulary: int,
        width: int = 650,
        depth: int = 2,
        dropout: float = 0.5,
        init_range: float = 0.05,
    ) -> None:
        super().__init__()
        self.tokens = nn.Embedding(vocabulary, width)
        self.lstm = nn.LSTM(width, width, depth, batch_first=True, dropout=dropout)
        self.head = nn.Linear(width, vocabulary)
        self.dropout = nn.Dropout(dropout)
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -init_range, init_range)

    def forward(self, tokens: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Tokens (B, T) and the state left by those before -> (logits (B, T, vocabulary), state)."""
        y, state = self.lstm(self.dropout(self.tokens(tokens)), state)
        return self.head(self.dropout(y)), state
