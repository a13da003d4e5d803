"""Checkpoints in the form of Hugging Face's `transformers`: read, written, evaluated. Needs neither it nor a network.

    model = from_pretrained("state-spaces/mamba-130m-hf")     # or a folder
    save_pretrained(model, "folder")                          # AutoModelForCausalLM.from_pretrained("folder") opens it

Families: Mamba, Mamba-2, GPT-2 (which is `transformer` here) and Llama (`transformer_pp`).
Weights are read from safetensors alone: nothing is unpickled.
"""

from seqscale.hub.checkpoint import from_pretrained, save_pretrained
from seqscale.hub.export import export_run
from seqscale.hub.generate import greedy

__all__ = ["export_run", "from_pretrained", "greedy", "save_pretrained"]
