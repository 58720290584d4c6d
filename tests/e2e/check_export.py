#!/usr/bin/env python3
"""Reads a packed export with the code in README.md and compares it, bit for
bit, with the fp32 export of the same network."""
import re
import sys

readme, packed_path, plain_path = sys.argv[1:]
code = re.search(r"```python\n(.*?)```", open(readme).read(), re.S).group(1)
names = {}
exec(code, names)
packed = names["read_network"](packed_path)
plain = names["read_network"](plain_path)
if sorted(packed) != sorted(plain):
    sys.exit(f"other tensors: {sorted(packed)} and {sorted(plain)}")
for name in plain:
    if packed[name].shape != plain[name].shape:
        sys.exit(f"{name}: another shape")
    if packed[name].tobytes() != plain[name].tobytes():
        sys.exit(f"{name}: other bits")
