#!/usr/bin/env bash
# pysparkplug 0.6.1 (protobuf 7.36.2), Python 3.11: negative integers, and the type of a metric.
#
# Sparkplug B writes a negative Int8 as an unsigned number of 32 bits in int_value. pysparkplug writes as many bits as the
# type has: an Int8 of -5 is 251, an Int16 of -300 is 65236. And only births carry the data type: a metric in NDATA has
# none, so that 251 may be -5 or 251 for who has not seen the birth.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet pysparkplug==0.6.1 protobuf==7.36.2
"$folder/venv/bin/python" - <<'EOF'
from pysparkplug import DataType, Metric, NBirth, NData

at = 1790000000000
birth = NBirth(at, 0, (Metric(at, "a", DataType.INT8, value=-5), Metric(at, "b", DataType.INT16, value=-300))).encode()
data = NData(at, 1, (Metric(at, "a", DataType.INT8, value=-5),)).encode()
int_value, datatype = b"\x50", b"\x20\x01"
print("birth:", birth.hex())
print("data: ", data.hex())
assert int_value + b"\xfb\x01" in birth, "an Int8 of -5 is no longer 251"
assert int_value + b"\xd4\xfd\x03" in birth, "an Int16 of -300 is no longer 65236"
assert datatype in birth, "a birth no longer has the data type"
assert datatype not in data, "data has the data type now"
print("as written here: 8 and 16 bits, and no data type in NDATA")
EOF
