// A transparent proxy within a gateway of one's own: every TCP connection of the inside is taken by TPROXY, told of, and relayed by tsnat's
// own sockets to where it wanted to go, in the client's name with "--as-client". Needs root.
//
//   node examples/intercept.mjs eth0 br0 [--as-client]
import { pipeline } from 'node:stream'
import { createGateway, parseConfig } from 'tsnat'

const [wan, lan, ...options] = process.argv.slice(2)
const asClient = options.includes('--as-client')
const PORT = 10_000

const gateway = await createGateway(parseConfig({
  name: 'intercept', wan, capture: { iif: [lan] },
  rules: `*mangle
-A PREROUTING -p tcp -m socket -j MARK --set-mark 1
-A PREROUTING -p tcp -m socket -j ACCEPT
-A PREROUTING -p tcp -i tun0 -j TPROXY --on-ip 127.0.0.1 --on-port ${PORT} --tproxy-mark 1
COMMIT
`,
  ipBatch: 'rule add fwmark 1 table 100\nroute add local default dev lo table 100\n',
}))
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => gateway.stop())

const server = gateway.sockets.createServer({ allowHalfOpen: true }, (client) => {
  // Under TPROXY the accepted socket has the address that the client asked for.
  const { localAddress: host, localPort: port, remoteAddress, remotePort } = client
  console.log(`${remoteAddress}:${remotePort} to ${host}:${port}`)
  const name = asClient ? { localAddress: remoteAddress, localPort: remotePort, transparent: true } : {}
  const upstream = gateway.sockets.connect({ host, port, allowHalfOpen: true, ...name })
  const end = (error) => error && client.resetAndDestroy()
  pipeline(client, upstream, end)
  pipeline(upstream, client, end)
})
server.listen({ host: '127.0.0.1', port: PORT, transparent: true }, () => console.log('ready'))

const reason = await gateway.closed
if (reason !== null) throw reason
process.exit()
