"""Every metric of the daemon: name, kind, help, labels. Names keep to Prometheus' conventions.

docs/METRICS.md is made from this list; a sample that is not in it is an error when the page is made.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["counter", "gauge", "histogram"]


@dataclass(frozen=True, slots=True)
class Definition:
    """One metric. Counters count since the process began."""

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()


CATALOG: dict[str, Definition] = {
    definition.name: definition
    for definition in (
        Definition("tidegate_build_info", "gauge", "Always 1; the version that runs.", ("version",)),
        Definition("tidegate_config_info", "gauge", "Always 1; the document that runs.", ("revision", "source")),
        Definition("tidegate_config_applied_total", "counter", "Documents that were applied."),
        Definition("tidegate_config_refused_total", "counter", "Documents that were refused."),
        Definition("tidegate_unit_state", "gauge", "1 for the state that the unit is in.", ("unit", "state")),
        Definition("tidegate_unit_crashes_total", "counter", "Crashes of the unit.", ("unit",)),
        Definition(
            "tidegate_unit_waits_total", "counter", "Attempts that ended in waiting for the outside.", ("unit",)
        ),
        Definition("tidegate_readings_total", "counter", "Readings taken in.", ("sensor_type",)),
        Definition(
            "tidegate_at_problems_total",
            "counter",
            "Readings whose device time could not be used, or is in doubt, by the reason in `at_problem`.",
            ("reason",),
        ),
        Definition(
            "tidegate_not_judged_total",
            "counter",
            "Readings of sensors with limits that changed no alarm, for when they were measured.",
            ("reason",),
        ),
        Definition(
            "tidegate_device_clocks_wrong", "gauge", "Sensors whose clock runs at a wrong time since it was noticed."
        ),
        Definition(
            "tidegate_dropped_total",
            "counter",
            "What was dropped: messages, frames or records, and why.",
            ("what", "source", "reason"),
        ),
        Definition(
            "tidegate_ack_latency_seconds", "histogram", "From a reading's receipt until it is on disk, by batch."
        ),
        Definition(
            "tidegate_delivery_latency_seconds",
            "histogram",
            "From the commit of the oldest record of a batch until Kafka has it.",
            ("lane",),
        ),
        Definition("tidegate_mqtt_connected", "gauge", "1 while the session is up.", ("connection",)),
        Definition("tidegate_mqtt_messages_total", "counter", "Messages received.", ("connection",)),
        Definition("tidegate_mqtt_acknowledged_total", "counter", "Messages acknowledged.", ("connection",)),
        Definition("tidegate_mqtt_redelivered_total", "counter", "Messages that came with DUP set.", ("connection",)),
        Definition(
            "tidegate_mqtt_recognised_total",
            "counter",
            "Messages that came again and were taken already: they stand in the log once.",
            ("connection",),
        ),
        Definition(
            "tidegate_mqtt_suspected_repeats_total",
            "counter",
            "Messages that were probably sent again and are stored twice: the broker does not mark them.",
            ("connection",),
        ),
        Definition(
            "tidegate_mqtt_window_messages",
            "gauge",
            "Messages that the broker lets wait for our acknowledgement, once it has stopped there.",
            ("connection",),
        ),
        Definition(
            "tidegate_mqtt_ceiling_messages_per_second",
            "gauge",
            "Messages a second that come through that window, while it is what bounds them.",
            ("connection",),
        ),
        Definition("tidegate_mqtt_disconnects_total", "counter", "Sessions that ended.", ("connection",)),
        Definition(
            "tidegate_mqtt_sessions_lost_total",
            "counter",
            "Connects at which the broker no longer had the session: what it held is lost.",
            ("connection",),
        ),
        Definition("tidegate_mqtt_outstanding_messages", "gauge", "Received, not yet acknowledged.", ("connection",)),
        Definition("tidegate_camera_frames_total", "counter", "Frames captured.", ("camera",)),
        Definition("tidegate_camera_restarts_total", "counter", "Capture processes started anew.", ("camera",)),
        Definition("tidegate_model_frames_total", "counter", "Frames that the model looked at.", ("model",)),
        Definition("tidegate_model_detections_total", "counter", "Objects that the model saw.", ("model",)),
        Definition("tidegate_model_inference_seconds", "histogram", "The bare session, a frame.", ("model",)),
        Definition("tidegate_alerts_active", "gauge", "Alerts that are raised now."),
        Definition("tidegate_alerts_published_total", "counter", "Alerts that the local broker acknowledged."),
        Definition("tidegate_alerts_unpublished_total", "counter", "Tries that the local broker was not there for."),
        Definition("tidegate_log_depth_records", "gauge", "Records not yet settled.", ("lane",)),
        Definition("tidegate_log_delivered_records_total", "counter", "Records that Kafka has.", ("lane",)),
        Definition(
            "tidegate_log_oldest_undelivered_age_seconds", "gauge", "Age of the oldest unsettled record.", ("lane",)
        ),
        Definition(
            "tidegate_log_waiting_records", "gauge", "Of a restored or copied log: unsettled until someone decides."
        ),
        Definition("tidegate_log_dead_letters", "gauge", "Records that Kafka refused for themselves."),
        Definition("tidegate_log_bytes", "gauge", "Pages in use in the log's file."),
        Definition("tidegate_log_bound_bytes", "gauge", "What they are kept within."),
        Definition(
            "tidegate_log_undelivered_bytes", "gauge", "What unsettled records take of the file, about.", ("lane",)
        ),
        Definition("tidegate_log_room_bytes", "gauge", "What is left beside them, delivered history included."),
        Definition(
            "tidegate_log_incoming_bytes_per_second",
            "gauge",
            "What the file takes for what came in during the last minutes; none before a minute was measured.",
            ("lane",),
        ),
        Definition(
            "tidegate_log_full_seconds",
            "gauge",
            "Until the lane's first record is thinned or lost, at that rate, if none is delivered; +Inf for never.",
            ("lane",),
        ),
        Definition(
            "tidegate_log_written_bytes_per_day",
            "gauge",
            "Bytes to the disk in a day, at the rate of the last hour; none before five minutes were measured.",
        ),
        Definition("tidegate_log_disk_free_bytes", "gauge", "Free on the log's disk, where it is looked at."),
        Definition("tidegate_log_disk_short", "gauge", "1 while that is less than log.min_free_bytes."),
        Definition("tidegate_log_wal_bytes", "gauge", "Size of the write-ahead log."),
        Definition("tidegate_log_last_commit_age_seconds", "gauge", "Since the last commit that succeeded."),
        Definition("tidegate_log_stalled", "gauge", "1 while the disk takes no commit and readings are lost."),
        Definition("tidegate_log_quarantined_files", "gauge", "Log files put aside, damaged or held open by others."),
        Definition("tidegate_log_checkpoint_held", "gauge", "1 while a foreign reader keeps the WAL from shrinking."),
        Definition("tidegate_clock_trusted", "gauge", "1 while the wall clock is believed."),
        Definition(
            "tidegate_log_corrected_records_total", "counter", "Records whose time was set right before they left."
        ),
        Definition("tidegate_log_commit_duration_seconds", "histogram", "A group commit, fsync included."),
        Definition("tidegate_log_body_bytes_total", "counter", "Keys, values and headers that came in."),
        Definition("tidegate_log_written_bytes_total", "counter", "Bytes written to the disk for them."),
        Definition("tidegate_shipper_batches_total", "counter", "Batches that Kafka acknowledged.", ("lane",)),
        Definition("tidegate_shipper_bytes_total", "counter", "Bytes of those batches.", ("lane",)),
        Definition(
            "tidegate_shipper_retries_total",
            "counter",
            "Attempts at a batch that were not acknowledged.",
            ("reason",),
        ),
        Definition(
            "tidegate_shipper_looked_up_batches_total",
            "counter",
            "Batches that Kafka was asked about before they went again.",
            ("lane",),
        ),
        Definition(
            "tidegate_shipper_read_back_batches_total",
            "counter",
            "Those of them that were looked for in the topic itself.",
            ("lane",),
        ),
        Definition(
            "tidegate_shipper_possibly_repeated_records_total",
            "counter",
            "Records that went again with the header possibly_repeated.",
            ("lane",),
        ),
        Definition(
            "tidegate_shipper_lost_upstream_records_total",
            "counter",
            "Records that a topic had acknowledged and lost, and that are sent again from local history.",
            ("topic",),
        ),
        Definition("tidegate_shipper_circuit_open", "gauge", "1 while connecting to Kafka fails."),
        Definition("tidegate_shipper_circuit_state", "gauge", "1 for the state of the circuit breaker.", ("state",)),
        Definition(
            "tidegate_shipper_topic_waiting",
            "gauge",
            "1 while Kafka does not take the topic although the link is up. `topic` is empty if that is so of all; "
            "`setting` is the key of config.yaml that cures it, `broker` the address that cannot be reached or "
            "refuses the login; both are empty if it is neither.",
            ("topic", "setting", "broker"),
        ),
        Definition(
            "tidegate_shipper_lane_waiting",
            "gauge",
            "1 while the lane has something to send and waits for budget, rate or share.",
            ("lane",),
        ),
        Definition("tidegate_shipper_batch_limit_bytes", "gauge", "About two seconds of the lane's rate.", ("lane",)),
        Definition(
            "tidegate_link_bytes_total",
            "counter",
            "Bytes to and from Kafka on the wire, headers and repeats included; `control` is all but batches.",
            ("line", "direction"),
        ),
        Definition("tidegate_link_connections_total", "counter", "Connections to Kafka that were made.", ("line",)),
        Definition("tidegate_link_today_bytes", "gauge", "Bytes both ways since midnight UTC.", ("line",)),
        Definition(
            "tidegate_link_idle_bytes_per_day",
            "gauge",
            "What line `control` comes to in a day, at its rate while a broker answers; absent until an hour of that "
            "was measured.",
        ),
        Definition("tidegate_link_budget_bytes", "gauge", "The day's budget, where one is set."),
        Definition("tidegate_link_budget_left_bytes", "gauge", "What is left of it today; below 0 once over."),
        Definition(
            "tidegate_link_budget_runs_out_seconds",
            "gauge",
            "Until it is used up at the rate of the last minutes; +Inf where it lasts the day.",
        ),
    )
}
