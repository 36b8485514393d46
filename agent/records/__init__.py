"""What the farm itself records, in `farm.sqlite`: events, hourly values, and figures on their way upstream.

G5  An event is on the disk of `farm.sqlite` before anyone is told that it is recorded. It goes upstream after that,
    under the same id, and is marked once the log has it. If the mark was lost, a receipt in the log's commit tells.
G6  Nothing removes events. Hourly values stay for 400 days, minute values for 8.
"""

from agent.records.farm_file import FarmFile, Told

__all__ = ["FarmFile", "Told"]
