// Node's own HTTP server and client, over the TCP of this process: two stacks with a line between them that delays and loses packets.
// Needs no privilege.
//
//   node examples/stack-http.mjs
import { createServer, get } from 'node:http'
import { text } from 'node:stream/consumers'
import { createSocketApi } from 'tsnat/sockets'
import { StackLink } from 'tsnat/testing'

const link = new StackLink({ leftAddress: '10.0.0.1/24', rightAddress: '10.0.0.2/24', delay: 10, loss: 0.01 }).start()
const client = createSocketApi(link.left.stack)
const server = createSocketApi(link.right.stack)

const http = createServer((request, response) => response.end(`${request.socket.remoteAddress} asked for ${request.url}\n`))
const listener = server.createServer((socket) => http.emit('connection', socket)).listen(80)

const ask = (path) =>
  new Promise((resolve, reject) =>
    get({ host: '10.0.0.2', port: 80, path, createConnection: client.connect }, (response) => resolve(text(response))).on('error', reject))

for (const path of ['/first', '/second']) process.stdout.write(await ask(path))
console.log(`${link.passed} packets arrived, ${link.lost} were lost`)

http.close()
listener.close(() => link.stop())
