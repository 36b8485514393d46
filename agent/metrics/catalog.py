"""Every metric of the daemon: name, kind, help, labels. Names keep to Prometheus' conventions.

docs/METRICS.md is generated from this list. A sample that is not in it is an error when /metrics is rendered.
"""

from __future__ import annotations

from agent.metrics.definition import Definition
from agent.metrics.farm_catalog import FARM

CATALOG: dict[str, Definition] = {
    definition.name: definition
    for definition in (
        Definition("tidegate_build_info", "gauge", "Always 1; the label is the running version.", ("version",)),
        Definition(
            "tidegate_config_info", "gauge", "Always 1; labels name the configuration in use.", ("revision", "source")
        ),
        Definition("tidegate_config_applied_total", "counter", "Configurations applied."),
        Definition("tidegate_config_refused_total", "counter", "Configurations refused."),
        Definition(
            "tidegate_unit_state", "gauge", "1 for the unit's current state, 0 for the others.", ("unit", "state")
        ),
        Definition("tidegate_unit_crashes_total", "counter", "Crashes of the unit.", ("unit",)),
        Definition(
            "tidegate_unit_waits_total",
            "counter",
            "Attempts that ended waiting for something outside (a broker, the link, a camera).",
            ("unit",),
        ),
        Definition("tidegate_readings_total", "counter", "Readings received.", ("sensor_type",)),
        Definition(
            "tidegate_at_problems_total",
            "counter",
            "Readings whose device time is unusable or doubtful, by the reason in `at_problem`.",
            ("reason",),
        ),
        Definition(
            "tidegate_not_judged_total",
            "counter",
            "Readings not held against their limits because of their time (too old, "
            "retained, older than one judged).",
            ("reason",),
        ),
        Definition(
            "tidegate_doubted_readings_total",
            "counter",
            "Readings judged suspect or bad; one with several reasons counts for each.",
            ("quality", "reason"),
        ),
        Definition("tidegate_device_clocks_wrong", "gauge", "Sensors whose device clock is known to be wrong now."),
        Definition(
            "tidegate_dropped_total",
            "counter",
            "Messages, frames or records dropped, by reason.",
            ("what", "source", "reason"),
        ),
        Definition(
            "tidegate_ack_latency_seconds",
            "histogram",
            "Time from receiving a reading until it is on disk, per batch.",
        ),
        Definition(
            "tidegate_delivery_latency_seconds",
            "histogram",
            "Time from the commit of a batch's oldest record until Kafka acknowledged the batch.",
            ("lane",),
        ),
        Definition(
            "tidegate_mqtt_connected", "gauge", "1 while the connection is up and subscribed.", ("connection",)
        ),
        Definition("tidegate_mqtt_messages_total", "counter", "Messages received.", ("connection",)),
        Definition("tidegate_mqtt_acknowledged_total", "counter", "Messages acknowledged.", ("connection",)),
        Definition("tidegate_mqtt_redelivered_total", "counter", "Messages received with DUP set.", ("connection",)),
        Definition(
            "tidegate_mqtt_recognised_total",
            "counter",
            "Redelivered messages that were recognised: each is in the log once.",
            ("connection",),
        ),
        Definition(
            "tidegate_mqtt_suspected_repeats_total",
            "counter",
            "Messages probably redelivered without DUP, so that their readings are stored twice.",
            ("connection",),
        ),
        Definition(
            "tidegate_mqtt_window_messages",
            "gauge",
            "Unacknowledged messages the broker allows; absent until it has reached that limit.",
            ("connection",),
        ),
        Definition(
            "tidegate_mqtt_ceiling_messages_per_second",
            "gauge",
            "Messages a second that this window allows, while it is the bottleneck.",
            ("connection",),
        ),
        Definition("tidegate_mqtt_disconnects_total", "counter", "Connections that ended.", ("connection",)),
        Definition(
            "tidegate_mqtt_sessions_lost_total",
            "counter",
            "Connects at which the broker no longer had the session: the messages queued in it are lost.",
            ("connection",),
        ),
        Definition(
            "tidegate_mqtt_outstanding_messages",
            "gauge",
            "Messages received and not yet acknowledged.",
            ("connection",),
        ),
        Definition("tidegate_camera_frames_total", "counter", "Frames captured.", ("camera",)),
        Definition("tidegate_camera_restarts_total", "counter", "Restarts of the capture process.", ("camera",)),
        Definition("tidegate_model_frames_total", "counter", "Frames that the model processed.", ("model",)),
        Definition("tidegate_model_detections_total", "counter", "Objects that the model detected.", ("model",)),
        Definition(
            "tidegate_model_inference_seconds",
            "histogram",
            "Inference time of one frame, without pre- and post-processing.",
            ("model",),
        ),
        Definition("tidegate_alerts_active", "gauge", "Alerts raised now."),
        Definition("tidegate_alerts_published_total", "counter", "Alerts that the local broker acknowledged."),
        Definition(
            "tidegate_alerts_unpublished_total",
            "counter",
            "Attempts to publish an alert that failed: no connection to the local broker.",
        ),
        Definition(
            "tidegate_log_depth_records", "gauge", "Records pending or unsettled: not yet delivered.", ("lane",)
        ),
        Definition("tidegate_log_delivered_records_total", "counter", "Records that Kafka acknowledged.", ("lane",)),
        Definition(
            "tidegate_log_oldest_undelivered_age_seconds",
            "gauge",
            "Age of the oldest record that is not delivered yet.",
            ("lane",),
        ),
        Definition(
            "tidegate_log_waiting_records",
            "gauge",
            "Records of a restored or copied log, held until `tidegate log adopt` or `discard`.",
        ),
        Definition("tidegate_log_dead_letters", "gauge", "Dead letters kept in the log: records that Kafka refused."),
        Definition("tidegate_log_bytes", "gauge", "Size of the pages in use in the log's file."),
        Definition("tidegate_log_bound_bytes", "gauge", "Upper bound of tidegate_log_bytes (log.max_bytes)."),
        Definition(
            "tidegate_log_undelivered_bytes",
            "gauge",
            "Approximate size of the undelivered records in the file.",
            ("lane",),
        ),
        Definition(
            "tidegate_log_room_bytes", "gauge", "Room left for undelivered records; delivered history counts as room."
        ),
        Definition(
            "tidegate_log_incoming_bytes_per_second",
            "gauge",
            "Growth of the file by new records over the last minutes; absent in the first minute.",
            ("lane",),
        ),
        Definition(
            "tidegate_log_full_seconds",
            "gauge",
            "Time until the lane's first record is thinned or lost if nothing is delivered; +Inf: never.",
            ("lane",),
        ),
        Definition(
            "tidegate_log_written_bytes_per_day",
            "gauge",
            "Bytes written to the disk per day at the rate of the last hour; absent in the first five minutes.",
        ),
        Definition("tidegate_log_disk_free_bytes", "gauge", "Free space on the log's disk, if it can be read."),
        Definition("tidegate_log_disk_short", "gauge", "1 while the free space is below log.min_free_bytes."),
        Definition("tidegate_log_wal_bytes", "gauge", "Size of the write-ahead log."),
        Definition("tidegate_log_last_commit_age_seconds", "gauge", "Time since the last successful commit."),
        Definition("tidegate_log_stalled", "gauge", "1 while no commit succeeds and readings are lost."),
        Definition(
            "tidegate_log_quarantined_files",
            "gauge",
            "Log files put aside: corrupt, or held open by another program.",
        ),
        Definition(
            "tidegate_log_checkpoint_held", "gauge", "1 while another program's reader keeps the WAL from shrinking."
        ),
        Definition("tidegate_clock_trusted", "gauge", "1 while the wall clock is trusted."),
        Definition(
            "tidegate_log_corrected_records_total",
            "counter",
            "Records whose time was corrected before they were sent.",
        ),
        Definition(
            "tidegate_log_commit_duration_seconds", "histogram", "Duration of a group commit, fsync included."
        ),
        Definition("tidegate_log_body_bytes_total", "counter", "Size of the keys, values and headers stored."),
        Definition("tidegate_log_written_bytes_total", "counter", "Bytes written to the disk to store them."),
        Definition("tidegate_shipper_batches_total", "counter", "Batches that Kafka acknowledged.", ("lane",)),
        Definition(
            "tidegate_shipper_bytes_total", "counter", "Size of the batches that Kafka acknowledged.", ("lane",)
        ),
        Definition(
            "tidegate_shipper_retries_total",
            "counter",
            "Attempts to send a batch that Kafka did not acknowledge.",
            ("reason",),
        ),
        Definition(
            "tidegate_shipper_looked_up_batches_total",
            "counter",
            "Batches looked up in Kafka before they were sent again.",
            ("lane",),
        ),
        Definition(
            "tidegate_shipper_read_back_batches_total",
            "counter",
            "Batches for which the topic itself was read to find them.",
            ("lane",),
        ),
        Definition(
            "tidegate_shipper_possibly_repeated_records_total",
            "counter",
            "Records sent with the header possibly_repeated.",
            ("lane",),
        ),
        Definition(
            "tidegate_shipper_lost_upstream_records_total",
            "counter",
            "Records that Kafka acknowledged and lost, and that are sent again from the log's history.",
            ("topic",),
        ),
        Definition("tidegate_shipper_circuit_open", "gauge", "1 while connecting to Kafka fails."),
        Definition(
            "tidegate_shipper_circuit_state", "gauge", "1 for the current state of the circuit breaker.", ("state",)
        ),
        Definition(
            "tidegate_shipper_topic_waiting",
            "gauge",
            "1 while Kafka does not accept records of the topic although the link is up. "
            "`topic` is empty: all topics. "
            "`setting` is the key of config.yaml to correct, `broker` the address that cannot be reached or "
            "refuses the login; both are empty for other causes.",
            ("topic", "setting", "broker"),
        ),
        Definition(
            "tidegate_shipper_lane_waiting",
            "gauge",
            "1 while the lane has records to send but its budget, rate or share does not allow it.",
            ("lane",),
        ),
        Definition(
            "tidegate_shipper_batch_limit_bytes",
            "gauge",
            "Largest batch now: about two seconds of the lane's rate.",
            ("lane",),
        ),
        Definition(
            "tidegate_link_bytes_total",
            "counter",
            "Bytes to and from Kafka on the wire, packet headers and retransmissions "
            "included; `control`: all but batches.",
            ("line", "direction"),
        ),
        Definition("tidegate_link_connections_total", "counter", "Connections made to Kafka.", ("line",)),
        Definition("tidegate_link_today_bytes", "gauge", "Bytes both ways since midnight UTC.", ("line",)),
        Definition(
            "tidegate_link_idle_bytes_per_day",
            "gauge",
            "Bytes per day of `control` traffic at its rate while a broker answers; absent until an hour of that "
            "was measured.",
        ),
        Definition("tidegate_link_budget_bytes", "gauge", "Budget of the day, if one is set."),
        Definition("tidegate_link_budget_left_bytes", "gauge", "Budget left today; negative once exceeded."),
        Definition(
            "tidegate_link_budget_runs_out_seconds",
            "gauge",
            "Time until the budget is used up at the rate of the last minutes; +Inf: it lasts the day.",
        ),
        *FARM,
    )
}
