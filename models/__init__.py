"""Spoke: arrays in, answers out. Blocking, no asyncio, no knowledge of the hub or the other spokes."""

import os

# onnxruntime reports its use to its maker, over a link that is metered and not ours. It looks at this when it is
# imported, in this process or in a child.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
