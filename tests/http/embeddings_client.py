# The official client asks for vectors: by default it wants base64 and decodes it.
import math
import sys
from array import array

import openai

client = openai.OpenAI(base_url=sys.argv[1], api_key="none", max_retries=0)
MODEL = "all-minilm-l6-v2"
cat, kitten, loan = "A cat sits on the mat.", "A kitten rests on a rug.", "The bank raised its loan rates."


def single(vector):
    """The numbers as they were computed: text and base64 widen to double in different ways."""
    return array("f", vector)


def dot(a, b):
    return sum(x * y for x, y in zip(a, b))


answer = client.embeddings.create(model=MODEL, input=[cat, kitten, loan])
vectors = [it.embedding for it in answer.data]
assert [it.index for it in answer.data] == [0, 1, 2], answer
assert answer.model == MODEL and answer.object == "list", answer
assert answer.usage.prompt_tokens == answer.usage.total_tokens > 10, answer.usage
for vector in vectors:
    assert len(vector) == 384 and math.isclose(dot(vector, vector), 1, abs_tol=1e-5), len(vector)
assert dot(vectors[0], vectors[1]) > 0.4 > 0.2 > dot(vectors[0], vectors[2])

plain = client.embeddings.create(model="minilm", input=cat, encoding_format="float")
assert single(plain.data[0].embedding) == single(vectors[0]), "a text has the same vector in any company and format"
assert client.embeddings.create(model=MODEL, input=cat, dimensions=384).data[0].embedding == vectors[0]
ids = client.embeddings.create(model=MODEL, input=[101, 2054, 2003, 2784, 4083, 1029, 102])
text = client.embeddings.create(model=MODEL, input="What is Deep Learning?")
assert ids.data[0].embedding == text.data[0].embedding, "ids are the whole text, markers included"

long = "word " * 400
for wrong, error in [
    ({"input": ""}, openai.BadRequestError),
    ({"input": long}, openai.BadRequestError),
    ({"dimensions": 64}, openai.BadRequestError),
    ({"model": "nobody"}, openai.NotFoundError),
    ({"model": "smollm2"}, openai.BadRequestError),
]:
    try:
        client.embeddings.create(**{"model": MODEL, "input": cat, **wrong})
    except error as caught:
        assert caught.body["message"], caught
    else:
        raise AssertionError(f"{wrong} was accepted")
cut = client.embeddings.create(model=MODEL, input=long, extra_body={"truncate": True})
assert cut.usage.prompt_tokens == 256, cut.usage

print("all vectors came as expected")
