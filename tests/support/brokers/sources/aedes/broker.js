// aedes with its queues in memory, as it comes: node broker.js HOST PORT, beside the node_modules that hold it.
import net from 'node:net'
import { Aedes } from 'aedes'

const [, , host, port] = process.argv
const broker = await Aedes.createBroker()
net.createServer(broker.handle).listen(Number(port), host)
process.on('SIGTERM', () => broker.close(() => process.exit(0)))
