"""Calls the server as programs do that use Anthropic's official client. The first argument is its address."""

import sys

import anthropic

client = anthropic.Anthropic(base_url=sys.argv[1], api_key="x", max_retries=0)
model = next(iter(client.models.list())).id
question = [{"role": "user", "content": "Name three colours."}]
# The client's newest release has no argument for the temperature, older ones send it.
common = {"model": model, "max_tokens": 24, "extra_body": {"temperature": 0}}

whole = client.messages.create(messages=question, system="Be brief.", **common)
assert whole.type == "message" and whole.role == "assistant" and whole.model == model, whole
assert whole.content[0].type == "text" and whole.content[0].text, whole
assert whole.stop_reason in ("end_turn", "max_tokens"), whole
asked = whole.usage.input_tokens + whole.usage.cache_read_input_tokens

counted = client.messages.count_tokens(model=model, messages=question, system="Be brief.")
assert counted.input_tokens == asked, (counted, whole.usage)

with client.messages.stream(messages=question, system="Be brief.", **common) as stream:
    text = "".join(stream.text_stream)
    final = stream.get_final_message()
assert text == whole.content[0].text == final.content[0].text, (text, whole)
assert (final.stop_reason, final.usage.output_tokens) == (whole.stop_reason, whole.usage.output_tokens), final
assert final.usage.input_tokens + final.usage.cache_read_input_tokens == asked, final

word = text.split()[1]
stopped = client.messages.create(messages=question, system="Be brief.", stop_sequences=[word], **common)
assert (stopped.stop_reason, stopped.stop_sequence) == ("stop_sequence", word), stopped

tool = {
    "name": "weather",
    "description": "Tells the weather of a city.",
    "input_schema": {
        "type": "object", "required": ["city"], "additionalProperties": False,
        "properties": {"city": {"type": "string", "maxLength": 12}},
    },
}
must = {"tools": [tool], "tool_choice": {"type": "tool", "name": "weather", "disable_parallel_tool_use": True}}
asks = [{"role": "user", "content": "How warm is it in Oslo?"}]
long = {**common, "max_tokens": 200}
called = client.messages.create(messages=asks, **long, **must)
call = called.content[0]
assert called.stop_reason == "tool_use" and call.type == "tool_use" and call.name == "weather", called
assert list(call.input) == ["city"], call
with client.messages.stream(messages=asks, **long, **must) as stream:
    streamed = stream.get_final_message()
assert (streamed.stop_reason, streamed.content[0].input) == ("tool_use", call.input), streamed

answered = asks + [
    {"role": "assistant", "content": [call.model_dump(include={"type", "id", "name", "input"})]},
    {"role": "user", "content": [{"type": "tool_result", "tool_use_id": call.id, "content": "3 degrees"}]},
]
assert client.messages.create(messages=answered, tools=[tool], **common).content, "no answer to a result"


def refused(kind, **request):
    try:
        client.messages.create(**{**common, "messages": question, **request})
    except kind as error:
        return error
    raise AssertionError(f"{request} was not refused")


image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}}
error = refused(anthropic.BadRequestError, messages=[{"role": "user", "content": [image]}])
assert "messages[0].content[0].type" in error.body["error"]["message"], error.body
assert error.request_id.startswith("req-") and error.body["error"]["type"] == "invalid_request_error", error.body
assert refused(anthropic.NotFoundError, model="nobody").body["error"]["type"] == "not_found_error"
refused(anthropic.BadRequestError, messages=[])

print("all calls answered as expected")
