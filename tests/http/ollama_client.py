"""Calls the server as programs do that use Ollama's official client. The first argument is its address."""

import sys

import ollama

client = ollama.Client(host=sys.argv[1])
models = client.list().models
generator = models[0].model
encoder = models[-1].model
assert generator.endswith(":latest") and len(models[0].digest) == 64, models
greedy = {"temperature": 0, "num_predict": 24}
question = [{"role": "user", "content": "Name three colours."}]

whole = client.chat(model=generator, messages=question, options=greedy)
assert whole.done and whole.done_reason in ("stop", "length") and whole.model == generator, whole
assert whole.message.role == "assistant" and whole.message.content, whole
assert whole.eval_count and whole.prompt_eval_count and whole.total_duration >= whole.eval_duration > 0, whole
parts = list(client.chat(model=generator, messages=question, options=greedy, stream=True))
assert "".join(it.message.content for it in parts) == whole.message.content, parts
assert [it.done for it in parts] == [False] * (len(parts) - 1) + [True], parts
assert (parts[-1].eval_count, parts[-1].done_reason) == (whole.eval_count, whole.done_reason), parts[-1]

prompt = "Name three colours."
generated = client.generate(model=generator, prompt=prompt, options=greedy)
assert generated.response == whole.message.content, (generated, whole)
raw = client.generate(model=generator, prompt="One, two, three,", raw=True, options=greedy)
assert raw.response and raw.response != generated.response, raw
streamed = client.generate(model=generator, prompt=prompt, options=greedy, stream=True)
assert "".join(it.response for it in streamed) == generated.response
assert client.generate(model=generator).done_reason == "load"

schema = {
    "type": "object", "required": ["colour"], "additionalProperties": False,
    "properties": {"colour": {"enum": ["red", "blue"]}},
}
formed = client.chat(model=generator, messages=question, format=schema, options=greedy)
assert '"colour"' in formed.message.content, formed


def weather(city: str) -> str:
    """Tells the weather.

    Args:
        city: a city
    """
    return city


told = question + [
    {"role": "assistant", "content": "", "tool_calls": [{"function": {"name": "weather", "arguments": {"city": "Oslo"}}}]},
    {"role": "tool", "tool_name": "weather", "content": "3 degrees"},
]
assert client.chat(model=generator, messages=told, tools=[weather], options=greedy).done

shown = client.show(generator)
assert "completion" in shown.capabilities and shown.template, shown
assert shown.modelinfo["sconce.context_length"] > 0, shown.modelinfo
assert [it.model for it in client.ps().models][0] == generator

vectors = client.embed(model=encoder, input=["a cat", "a dog"])
assert len(vectors.embeddings) == 2 and abs(sum(it * it for it in vectors.embeddings[0]) - 1) < 1e-4
assert len(client.embeddings(model=encoder, prompt="a cat").embedding) == len(vectors.embeddings[0])


def refused(status, call):
    try:
        call()
    except ollama.ResponseError as error:
        assert error.status_code == status, (error, status)
        return error.error
    raise AssertionError("nothing was refused")


assert "nobody" in refused(404, lambda: client.chat(model="nobody", messages=question))
assert "options.num_ctx" in refused(
    400, lambda: client.chat(model=generator, messages=question, options={"num_ctx": 9})
)
assert "images" in refused(
    400, lambda: client.chat(model=generator, messages=[{"role": "user", "content": "a", "images": [b"AAAA"]}])
)

print("all calls answered as expected")
