"""Forty lines of paho and aiokafka, as one would write them: `python plain_bridge.py MQTT_PORT BOOTSTRAP TOPIC`."""

import asyncio
import sys

import paho.mqtt.client as mqtt
from aiokafka import AIOKafkaProducer


async def main(port: int, bootstrap: str, topic: str) -> None:
    loop = asyncio.get_running_loop()
    waiting: asyncio.Queue[mqtt.MQTTMessage] = asyncio.Queue(10_000)
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all", linger_ms=5)
    await producer.start()
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id="plain", clean_session=False, manual_ack=True)

    def received(_client: mqtt.Client, _userdata: object, message: mqtt.MQTTMessage) -> None:
        asyncio.run_coroutine_threadsafe(waiting.put(message), loop)

    def connected(*_: object) -> None:
        client.subscribe("farm/#", qos=1)

    def subscribed(*_: object) -> None:
        print("ready", flush=True)

    client.on_message, client.on_connect, client.on_subscribe = received, connected, subscribed
    client.connect("127.0.0.1", port)
    client.loop_start()
    while True:
        message = await waiting.get()
        sent = await producer.send(topic, message.payload, key=message.topic.encode())
        sent.add_done_callback(lambda _, mid=message.mid, qos=message.qos: client.ack(mid, qos))


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), sys.argv[2], sys.argv[3]))
