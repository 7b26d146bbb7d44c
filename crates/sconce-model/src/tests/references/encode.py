# Computes encoders with numpy in double precision, and prints what encoders.rs compares.
# Usage, where numpy is installed: python encode.py FOLDER > encoders.txt
# FOLDER is what the ignored test of encoders.rs wrote. Definitions: Devlin et al. 2018 (BERT), section 3,
# and Hendrycks and Gimpel 2016 for the activations.
import json
import math
import pathlib
import sys

import numpy as np

KINDS = {"F32": np.float32, "F16": np.float16, "I64": np.int64}
ERF = np.vectorize(math.erf)
BENDS = {
    "gelu": lambda x: x * (1 + ERF(x / math.sqrt(2))) / 2,
    "gelu_new": lambda x: x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))) / 2,
    "relu": lambda x: np.maximum(x, 0),
}


def tensors(path):
    raw = path.read_bytes()
    length = int.from_bytes(raw[:8], "little")
    header, data = json.loads(raw[8 : 8 + length]), raw[8 + length :]
    for name, it in header.items():
        if name != "__metadata__":
            start, end = it["data_offsets"]
            values = np.frombuffer(data[start:end], KINDS[it["dtype"]]).reshape(it["shape"])
            yield name.removeprefix("bert."), values.astype(np.float64)


class Encoder:
    def __init__(self, folder):
        self.config = json.loads((folder / "config.json").read_text())
        self.pooling = json.loads((folder / "1_Pooling/config.json").read_text())
        self.w = dict(tensors(folder / "model.safetensors"))

    def linear(self, name, x):
        return x @ self.w[name + ".weight"].T + self.w[name + ".bias"]

    def norm(self, name, x):
        x = x - x.mean(-1, keepdims=True)
        x = x / np.sqrt((x**2).mean(-1, keepdims=True) + self.config["layer_norm_eps"])
        return x * self.w[name + ".weight"] + self.w[name + ".bias"]

    def attention(self, name, x):
        heads = self.config["num_attention_heads"]
        split = lambda it: it.reshape(len(x), heads, -1).transpose(1, 0, 2)
        q, k, v = (split(self.linear(f"{name}.{it}", x)) for it in ("query", "key", "value"))
        scores = q @ k.transpose(0, 2, 1) / math.sqrt(q.shape[-1])
        weights = np.exp(scores - scores.max(-1, keepdims=True))
        mixed = weights / weights.sum(-1, keepdims=True) @ v
        return mixed.transpose(1, 0, 2).reshape(len(x), -1)

    def __call__(self, tokens, second_starts=None):
        places = np.arange(len(tokens))
        segments = (places >= (len(tokens) if second_starts is None else second_starts)).astype(int)
        x = self.w["embeddings.word_embeddings.weight"][tokens]
        x = x + self.w["embeddings.position_embeddings.weight"][places]
        x = x + self.w["embeddings.token_type_embeddings.weight"][segments]
        x = self.norm("embeddings.LayerNorm", x)
        for index in range(self.config["num_hidden_layers"]):
            layer = f"encoder.layer.{index}."
            mixed = self.linear(layer + "attention.output.dense", self.attention(layer + "attention.self", x))
            x = self.norm(layer + "attention.output.LayerNorm", x + mixed)
            inner = BENDS[self.config["hidden_act"]](self.linear(layer + "intermediate.dense", x))
            x = self.norm(layer + "output.LayerNorm", x + self.linear(layer + "output.dense", inner))
        if self.config["architectures"] == ["BertForSequenceClassification"]:
            return self.linear("classifier", np.tanh(self.linear("pooler.dense", x[0])))
        return x[0] if self.pooling["pooling_mode_cls_token"] else x.mean(0)


if __name__ == "__main__":
    root = pathlib.Path(sys.argv[1])
    print(f"# numpy {np.__version__}, double precision (encode.py). Each line: the encoder, a text's result.")
    for folder in sorted(it for it in root.iterdir() if it.is_dir()):
        encoder = Encoder(folder)
        for text in json.loads((root / "texts.json").read_text()):
            print(f"{folder.name}:", *(f"{it:.7f}" for it in encoder(**text)))
