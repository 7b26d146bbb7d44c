"""Calls a server through OpenAI's own client and checks what comes back."""

import json
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

weather = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "Tells the weather of a city.",
        "parameters": {
            "type": "object",
            "properties": {
                "city": {"type": "string", "maxLength": 16},
                "days": {"type": "integer", "minimum": 1, "maximum": 7},
            },
            "required": ["city", "days"],
            "additionalProperties": False,
        },
    },
}
calling = {
    **greedy,
    "max_tokens": 200,
    "tools": [weather],
    "tool_choice": "required",
    "parallel_tool_calls": False,
}


def check_call(call):
    assert call.type == "function" and call.function.name == "weather", call
    arguments = json.loads(call.function.arguments)
    assert set(arguments) == {"city", "days"} and 1 <= arguments["days"] <= 7, call
    return call.function.arguments


called = client.chat.completions.create(**calling).choices[0]
assert called.finish_reason == "tool_calls" and called.message.content is None, called
[call] = called.message.tool_calls
arguments = check_call(call)
with client.chat.completions.stream(**calling) as stream:
    final = stream.get_final_completion().choices[0]
assert final.finish_reason == "tool_calls", final
assert check_call(final.message.tool_calls[0]) == arguments

told = [
    *question,
    called.message,
    {"role": "tool", "tool_call_id": call.id, "content": "Rain."},
]
went_on = client.chat.completions.create(**{**greedy, "messages": told}, tools=[weather])
assert went_on.choices[0].finish_reason in ("stop", "length", "tool_calls"), went_on

for wrong, error in [
    ({"messages": []}, openai.BadRequestError),
    ({"temperature": 9}, openai.BadRequestError),
    ({"model": "nobody"}, openai.NotFoundError),
    ({"response_format": {"type": "yaml"}}, openai.BadRequestError),
    ({"tools": [{"type": "function", "function": {"name": "f g"}}]}, openai.BadRequestError),
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
