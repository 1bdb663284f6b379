// An HTTP server on a stack of its own: the kernel reaches it as another host, through a TUN. Needs root.
//
//   node examples/stack-tun.mjs &
//   curl http://10.9.0.2/
import { createServer } from 'node:http'
import { openTunStack } from 'tsnat/sockets'

const stack = openTunStack({ hostAddress: '10.9.0.1/24', addresses: ['10.9.0.2/24'] })
const http = createServer((request, response) => response.end(`${request.socket.remoteAddress} asked for ${request.url}\n`))
const server = stack.createServer((socket) => http.emit('connection', socket)).listen(80, () => console.log(`http://10.9.0.2/ on ${stack.device.name}`))

const stop = () => {
  http.close()
  server.close()
  stack.close()
}
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, stop)
