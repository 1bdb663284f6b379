// A program that has a gateway, as one does who takes tsnat as a library: its sockets do what lines of JSON on standard input ask for,
// and it prints a line for each. Rules and routes come by the control socket, from the commands of another process.
// Arguments: the configuration, as JSON.
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { pipeline, Readable } from 'node:stream'
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

/** Says what a stream was, when it has ended: bytes and their hash. */
const digestOf = async (stream) => {
  const hash = createHash('sha256')
  let length = 0
  stream.on('data', (data) => {
    hash.update(data)
    length += data.length
  })
  await once(stream, 'end')
  return `${length} ${hash.digest('hex')}`
}

/** So many bytes that repeat after a prime number of them. */
const patternOf = function* (bytes) {
  const block = Buffer.from({ length: 65_521 }, (_, index) => index * 31 + (index >> 8))
  for (let left = bytes; left > 0; left -= block.length) yield left < block.length ? block.subarray(0, left) : block
}

const SERVICES = {
  tell: () => tellTcp,
  relay: relayTcp,
  echo: () => (socket) => pipeline(socket, socket, () => {}),
  digest: () => async (socket) => socket.end(await digestOf(socket)),
  bytes: ({ bytes }) => (socket) => pipeline(Readable.from(patternOf(bytes)), socket, () => {}),
  hold: () => (socket) => void held.add(socket.on('error', () => {}).on('close', () => held.delete(socket))),
}
/** Connections that are just open. */
const held = new Set()

/** Sends many bytes, and hears what the other side says of them. */
const upload = async ({ host, port, bytes }) => {
  const socket = sockets.connect({ host, port, allowHalfOpen: true })
  const hash = createHash('sha256')
  const heard = textOf(socket)
  pipeline(Readable.from(patternOf(bytes)), async function* (source) {
    for await (const data of source) {
      hash.update(data)
      yield data
    }
  }, socket, () => {})
  const seen = await heard
  return { seen, sent: `${bytes} ${hash.digest('hex')}` }
}
const textOf = async (socket) => {
  let text = ''
  socket.on('data', (data) => (text += String(data)))
  await once(socket, 'end')
  return text.trim()
}

const download = async ({ host, port }) => ({ seen: await digestOf(sockets.connect({ host, port })) })

/** Sockets that stay from one question to the next. */
const named = new Map()

const openUdp = async ({ name, localPort = 0, localAddress, host, port }) => {
  const socket = sockets.createDatagramSocket()
  named.set(name, socket)
  socket.errors = []
  socket.on('error', (error) => socket.errors.push(error.code))
  socket.bind(localPort, localAddress)
  await once(socket, 'listening')
  if (host !== undefined) {
    socket.connect(port, host)
    await once(socket, 'connect')
  }
  return { local: endOf(socket.address()) }
}

const sendUdp = async ({ name, host, port, send = 'who am I?', wait = 5000 }) => {
  const socket = named.get(name)
  const answer = once(socket, 'message', { signal: globalThis.AbortSignal.timeout(wait) })
  const failure = new Promise((_, reject) => socket.once('error', reject))
  if (host === undefined) socket.send(send)
  else socket.send(send, port, host)
  const [seen, from] = await Promise.race([answer, failure])
  return { local: endOf(socket.address()), seen: String(seen), from: endOf(from) }
}

const openTcp = async ({ name, host, port }) => {
  const socket = sockets.connect({ host, port })
  named.set(name, socket)
  await once(socket, 'connect')
  socket.heard = ''
  socket.on('data', (data) => (socket.heard += String(data)))
  socket.on('error', (error) => (socket.failure = error.code))
  return { local: `${socket.localAddress}:${socket.localPort}` }
}

/** Says something, and waits until so much has come. */
const sayTcp = async ({ name, send, wait = 10_000 }) => {
  const socket = named.get(name)
  const before = socket.heard.length
  socket.write(send)
  const limit = Date.now() + wait
  while (socket.heard.length < before + send.length && Date.now() < limit && socket.failure === undefined) await new Promise((resolve) => setTimeout(resolve, 5))
  return socket.failure === undefined ? { seen: socket.heard.slice(before) } : { error: socket.failure }
}

const measure = async () => {
  globalThis.gc?.()
  return { flows: gateway.flowCount(), held: held.size, memory: process.memoryUsage().heapUsed + process.memoryUsage().arrayBuffers }
}

const serveTcp = async ({ port, host, transparent = false, as, ...words }) => {
  const server = sockets.createServer({ allowHalfOpen: true }, SERVICES[as](words))
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
  socket.on('error', (error) => console.error(error))
  const upstreams = new Map()
  socket.on('message', (bytes, { address, port: from, originalDestination }) => {
    const wanted = originalDestination ?? socket.address()
    const answer = (text) => (transparent ? foreignSocket(wanted).send(text, from, address) : socket.send(text, from, address))
    if (as === 'echo') {
      socket.send(bytes, from, address)
      return
    }
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

const ACTIONS = {
  tcp: connectTcp, udp: askUdp, ping: askPing, 'serve tcp': serveTcp, 'serve udp': serveUdp,
  upload, download, 'open udp': openUdp, 'send udp': sendUdp, 'open tcp': openTcp, 'say tcp': sayTcp, measure,
}

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
