"""Calls a server through OpenAI's own client and checks what comes back."""

import sys
import typing

import openai
import pydantic

client = openai.OpenAI(base_url=sys.argv[1], api_key="unused", max_retries=0)
question = [{"role": "user", "content": "Name two fruits."}]
greedy = {"messages": question, "model": "default", "temperature": 0, "max_tokens": 24}

models = [model.id for model in client.models.list()]
assert models == ["smollm2-135m-instruct"], models

whole = client.chat.completions.create(**greedy)
assert whole.choices[0].message.role == "assistant"
assert whole.usage.completion_tokens > 0
assert whole.usage.total_tokens == whole.usage.prompt_tokens + whole.usage.completion_tokens

pieces, usage = [], None
for chunk in client.chat.completions.create(
    **greedy, stream=True, stream_options={"include_usage": True}
):
    usage = chunk.usage or usage
    pieces += [choice.delta.content or "" for choice in chunk.choices]
assert "".join(pieces) == whole.choices[0].message.content
assert usage.completion_tokens == whole.usage.completion_tokens

scored = client.chat.completions.create(**greedy, logprobs=True, top_logprobs=3)
first = scored.choices[0].logprobs.content[0]
assert first.logprob <= 0 and len(first.top_logprobs) == 3
assert bytes(first.bytes).decode() == first.token

capital = {
    "model": "default",
    "prompt": "The capital of France is",
    "temperature": 0,
    "max_tokens": 2,
}
text = client.completions.create(**capital)
assert text.choices[0].text == " Paris.", text.choices[0].text
assert text.choices[0].finish_reason == "length"
chunks = client.completions.create(**capital, stream=True)
assert "".join(chunk.choices[0].text for chunk in chunks) == " Paris."



class Fruit(pydantic.BaseModel):
    name: typing.Annotated[str, pydantic.Field(max_length=12)]
    colour: typing.Literal["red", "green", "yellow"]
    grams: typing.Annotated[int, pydantic.Field(ge=1, le=5000)]


for seed in range(3):
    parsed = client.chat.completions.parse(
        **{**greedy, "temperature": 1, "max_tokens": 200},
        seed=seed,
        response_format=Fruit,
    )
    assert isinstance(parsed.choices[0].message.parsed, Fruit), parsed

for wrong, error in [
    ({"messages": []}, openai.BadRequestError),
    ({"temperature": 9}, openai.BadRequestError),
    ({"model": "nobody"}, openai.NotFoundError),
    ({"response_format": {"type": "yaml"}}, openai.BadRequestError),
    ({"tools": [{"type": "function", "function": {"name": "f"}}]}, openai.BadRequestError),
]:
    try:
        client.chat.completions.create(**{**greedy, **wrong})
    except error as caught:
        assert caught.body["message"], caught
    else:
        raise AssertionError(f"{wrong} was accepted")

try:
    client.models.retrieve("nobody")
except openai.NotFoundError:
    pass
else:
    raise AssertionError("a model that is not there was described")

print("all calls answered as expected")
