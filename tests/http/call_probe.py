"""Probes a server for how it calls functions; prints each outcome as a line of JSON.

The scenarios are the collection's own. Only their answers are bounded: a small model that is asked
to call rather tells a story, and tells it to the end of its context.
"""

import json
import sys
from dataclasses import replace

from canitoolcall.probe import BUILTIN_SCENARIOS, probe

TOKENS_MAX = 160

bounded = [
    replace(it, extra_body={**it.extra_body, "max_tokens": TOKENS_MAX})
    for it in BUILTIN_SCENARIOS
]
for outcome in probe(sys.argv[1], "default", scenarios=bounded).outcomes:
    print(json.dumps(outcome.to_dict()))
