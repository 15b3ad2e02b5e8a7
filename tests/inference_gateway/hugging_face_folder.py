"""The bundled model as a Hugging Face folder. ``python -m tests.inference_gateway.hugging_face_folder FOLDER``.

Needs torch, transformers, gguf and accelerate, which the tests of the Transformers backend skip without.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
import transformers

from inference_gateway.runtime.model_files import find_model_files


def convert(folder: Path) -> None:
    gguf = find_model_files("SmolLM2-135M-Instruct").path
    source = {"pretrained_model_name_or_path": gguf.parent, "gguf_file": gguf.name}
    model = transformers.AutoModelForCausalLM.from_pretrained(**source, dtype=torch.float32)
    # The weights are no longer those of the file, and would be looked for in its layout.
    model.hf_quantizer = None
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    model.save_pretrained(folder)
    transformers.AutoTokenizer.from_pretrained(**source).save_pretrained(folder)


if __name__ == "__main__":
    convert(Path(sys.argv[1]))
