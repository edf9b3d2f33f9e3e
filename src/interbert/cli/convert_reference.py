"""Turn a checkpoint of the published code into a model directory.

FILE is a state dict saved by torch (read without running anything in it), CONFIG the published JSON beside it. A
checkpoint with task heads becomes an InterBertForVLTasks, any other an InterBertForPreTraining. --tokenizer names the
BERT whose vocabulary the checkpoint has, and puts a processor into the directory.

    interbert convert reference pytorch_model.bin models/base --config bert_base_6layer_interbert.json
"""

from __future__ import annotations

from dataclasses import dataclass

from interbert.utils.terminal import say


@dataclass
class Options:
    """Options of ``interbert convert reference``."""

    file: str
    """Checkpoint of the published code (.bin)."""
    out: str
    """Model directory to make."""
    config: str = ""
    """The published configuration (.json)."""
    tokenizer: str | None = None
    """BERT directory or Hub id whose vocabulary it has; none writes no processor."""


def run(options: Options) -> None:
    """Convert."""
    from interbert.checkpoints.convert import convert_reference
    from interbert.errors import UsageError

    if not options.config:
        raise UsageError("convert reference: name the configuration: --config bert_base_6layer_interbert.json")
    model = convert_reference(options.file, options.config, options.out, options.tokenizer)
    count = sum(parameter.numel() for parameter in model.parameters())
    say(f"{options.out}: {type(model).__name__}, {count:,} parameters")
    if options.tokenizer is None:
        say("without a processor: name the BERT it was trained from with --tokenizer to have one")
