// A program that has a gateway, as one does who takes tsnat as a library: its sockets do what lines of JSON on standard input ask for,
// and it prints a line for each. Rules and routes come by the control socket, from the commands of another process.
// Arguments: the configuration, as JSON.
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { pipeline } from 'node:stream'
import { createGateway, openControlServer, parseConfig } from '../../../dist/index.js'

const config = parseConfig(JSON.parse(process.argv[2]))
const control = await openControlServer({ name: config.name, path: config.socket, onError: (error) => console.error(error) })
const gateway = await createGateway(config)
control.attach(gateway)
const { sockets } = gateway

const endOf = ({ address, port }) => `${address}:${port}`
const original = (socket) => (socket.originalDestination === null ? `${socket.localAddress}:${socket.localPort}` : endOf(socket.originalDestination))

const connectTcp = async ({ host, port, localAddress, localPort, send = '', wait = 5000 }) => {
  const socket = sockets.connect({ host, port, localAddress, localPort })
  const timer = setTimeout(() => socket.destroy(new Error('silence')), wait)
  try {
    await once(socket, 'connect')
    const local = `${socket.localAddress}:${socket.localPort}`
    if (send !== '') socket.write(send)
    const [seen] = await once(socket, 'data')
    return { local, seen: String(seen) }
  } finally {
    clearTimeout(timer)
    socket.destroy()
  }
}

const askUdp = async ({ host, port, localPort = 0, localAddress, connected = false, send = 'who am I?', wait = 5000 }) => {
  const socket = sockets.createDatagramSocket()
  const timer = setTimeout(() => socket.emit('error', new Error('silence')), wait)
  try {
    socket.bind(localPort, localAddress)
    await once(socket, 'listening')
    if (connected) {
      socket.connect(port, host)
      await once(socket, 'connect')
      socket.send(send)
    } else socket.send(send, port, host)
    const [seen, from] = await once(socket, 'message')
    return { local: endOf(socket.address()), seen: String(seen), from: endOf(from) }
  } finally {
    clearTimeout(timer)
    socket.close()
  }
}

const askPing = async ({ host, wait = 5000 }) => {
  const socket = sockets.createPingSocket()
  const timer = setTimeout(() => socket.emit('error', new Error('silence')), wait)
  try {
    socket.send(Buffer.from('hello'), host)
    const [seen, from] = await once(socket, 'reply')
    return { seen: String(seen), from: from.address }
  } finally {
    clearTimeout(timer)
    socket.close()
  }
}

/** Tells who came, and where it wanted to go. */
const tellTcp = (socket) => socket.end(`${socket.remoteAddress}:${socket.remotePort} ${original(socket)} ${socket.localAddress}:${socket.localPort}\n`)

/** Passes on to where it wanted to go, as itself or in the client's name. */
const relayTcp = ({ asClient = false }) => (socket) => {
  const [address, port] = original(socket).split(':')
  const name = asClient ? { localAddress: socket.remoteAddress, localPort: socket.remotePort, transparent: true } : {}
  const server = sockets.connect({ host: address, port: Number(port), allowHalfOpen: true, ...name })
  pipeline(socket, server, () => {})
  pipeline(server, socket, () => {})
}

const serveTcp = async ({ port, host, transparent = false, as, asClient }) => {
  const server = sockets.createServer({ allowHalfOpen: true }, as === 'tell' ? tellTcp : relayTcp({ asClient }))
  server.on('error', (error) => console.error(error))
  server.listen({ port, host, transparent })
  await once(server, 'listening')
  return { listening: endOf(server.address()) }
}

/** Answers come from the foreign address: one socket for each. */
const foreign = new Map()
const foreignSocket = ({ address, port }) => {
  const name = `${address}:${port}`
  let socket = foreign.get(name)
  if (socket === undefined) {
    socket = sockets.createDatagramSocket({ transparent: true, reuseAddr: true })
    socket.bind(port, address)
    foreign.set(name, socket)
  }
  return socket
}

const serveUdp = async ({ port, host, transparent = false, as }) => {
  const socket = sockets.createDatagramSocket({ transparent })
  const upstreams = new Map()
  socket.on('message', (bytes, { address, port: from, originalDestination }) => {
    const wanted = originalDestination ?? socket.address()
    const answer = (text) => (transparent ? foreignSocket(wanted).send(text, from, address) : socket.send(text, from, address))
    if (as === 'tell') {
      answer(`${address}:${from} ${endOf(wanted)}\n`)
      return
    }
    const key = `${address}:${from} ${endOf(wanted)}`
    let upstream = upstreams.get(key)
    if (upstream === undefined) {
      upstream = sockets.createDatagramSocket()
      upstreams.set(key, upstream)
      upstream.on('message', answer)
      upstream.on('error', (error) => console.error(error))
    }
    upstream.send(bytes, wanted.port, wanted.address)
  })
  socket.bind(port, host)
  await once(socket, 'listening')
  return { listening: endOf(socket.address()) }
}

const ACTIONS = { tcp: connectTcp, udp: askUdp, ping: askPing, 'serve tcp': serveTcp, 'serve udp': serveUdp }

gateway.closed.then(async () => {
  await control.close()
  process.exit()
})
console.log('ready')
for await (const line of createInterface({ input: process.stdin })) {
  const { id, do: action, ...words } = JSON.parse(line)
  ACTIONS[action](words)
    .then((answer) => ({ id, ...answer }), (error) => ({ id, error: error.code ?? error.message }))
    .then((answer) => console.log(JSON.stringify(answer)))
}
