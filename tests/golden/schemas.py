"""Says which answers do not fit their schemas.

Reads lines of {"schema": …, "answer": …}, prints the number of each line whose answer does not fit, and why.
"""

import json
import sys

from jsonschema.validators import validator_for

lines = [json.loads(line) for line in open(sys.argv[1], encoding="utf-8")]
for number, line in enumerate(lines):
    schema = line["schema"]
    validator = validator_for(schema)(schema)
    for error in validator.iter_errors(json.loads(line["answer"])):
        print(f"{number}: {error.message[:200]} at {list(error.path)}")
        break
print(f"{len(lines)} answers judged")
