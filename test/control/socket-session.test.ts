/** Sessions of clients over two stacks, with a line between them, on the real clock. */
import { once } from 'node:events'
import { setImmediate } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { PingLine, SocketEvent, SocketFrame, SocketRequest } from '../../src/api/socket-types.js'
import { Outbox } from '../../src/control/outbox.js'
import { openPing } from '../../src/control/ping-session.js'
import { countSockets, listSockets } from '../../src/control/socket-list.js'
import { openSession } from '../../src/control/socket-session.js'
import { createSocketApi, type SocketApi } from '../../src/stack/sockets/node/api.js'
import type { TcpSocket } from '../../src/stack/sockets/node/tcp-socket.js'
import { StackLink } from '../../src/testing/stack-link.js'

const LEFT = '10.0.0.1'
const RIGHT = '10.0.0.2'

let link: StackLink
let sockets: SocketApi
let other: SocketApi
beforeEach(() => {
  link = new StackLink({ delay: 1 }).start()
  sockets = createSocketApi(link.left.stack)
  other = createSocketApi(link.right.stack)
})
afterEach(() => link.stop())

/** A client: what it sends, what it has got, and its going. */
class Client {
  readonly input = new Outbox<SocketFrame>({ limit: Infinity })
  readonly gone = new AbortController()
  readonly stopped = new AbortController()
  readonly events: SocketEvent[] = []
  isHolding = false
  isOver = false
  got = Buffer.alloc(0)

  constructor(request: Partial<SocketRequest>) {
    const { gone: { signal: gone }, stopped: { signal: stopped }, input } = this
    const whole = { protocol: 'tcp', remote: null, localAddress: null, localPort: 0, mark: 0, tos: 0, ...request } as const
    void this.#read(openSession({ sockets, request: whole, input, gone, stopped}))
  }

  async #read(frames: AsyncIterable<SocketFrame>): Promise<void> {
    for await (const frame of frames) {
      if (frame instanceof Uint8Array) this.got = Buffer.concat([this.got, frame])
      else this.events.push(frame)
      while (this.isHolding) await setImmediate()
    }
    this.isOver = true
  }

  get types(): string[] {
    return this.events.map(({ type }) => type)
  }
}

/** Resolves when somebody listens, with whom it will accept. */
const listenRight = async (port: number): Promise<{ accepted: Promise<TcpSocket> }> => {
  const server = other.createServer({ allowHalfOpen: true }).listen(port)
  await once(server, 'listening')
  return { accepted: once(server, 'connection').then(([socket]) => { server.close(); return socket as TcpSocket }) }
}

const sizeOf = (): number => [...listSockets(link.left.stack)].filter(({ state }) => state !== 'TIME-WAIT').length

describe('a TCP session', () => {
  it('carries both directions, and ends each of them alone', async () => {
    const { accepted } = await listenRight(80)
    const client = new Client({ remote: { address: RIGHT, port: 80 } })
    const socket = await accepted
    client.input.push(Buffer.from('question'))
    client.input.push({ type: 'end' })
    const heard: string[] = []
    socket.on('data', (data) => heard.push(String(data)))
    await once(socket, 'end')
    expect(heard.join('')).toBe('question')
    socket.end('answer')
    await expect.poll(() => client.isOver).toBe(true)
    expect(client.got.toString()).toBe('answer')
    expect(client.events).toEqual([{ type: 'open', local: { address: LEFT, port: expect.any(Number) }, remote: { address: RIGHT, port: 80 }, original: null }, { type: 'end' }])
    expect(sizeOf()).toBe(0)
  })

  it('is read no faster than its client takes', async () => {
    const { accepted } = await listenRight(80)
    const client = new Client({ remote: { address: RIGHT, port: 80 } })
    client.isHolding = true
    const socket = await accepted
    const total = 8 << 20
    let isWritten = false
    socket.write(Buffer.alloc(total, 5), () => (isWritten = true))
    // Until the window is closed nothing new can be sent.
    await expect.poll(() => [...listSockets(link.left.stack)][0]?.receiveQueue ?? 0, { timeout: 10_000 }).toBeGreaterThan(100_000)
    expect(isWritten).toBe(false)
    client.isHolding = false
    await expect.poll(() => client.got.length, { timeout: 20_000 }).toBe(total)
    client.gone.abort()
    client.input.end()
  })

  it.each(['its body ends', 'it dies'])('is closed when its client goes (%s); what it wrote arrives', async (how) => {
    const { accepted } = await listenRight(80)
    const client = new Client({ remote: { address: RIGHT, port: 80 } })
    const socket = await accepted
    socket.resume()
    client.input.push(Buffer.alloc(100_000))
    if (how === 'it dies') client.gone.abort()
    client.input.end()
    await once(socket, 'end')
    expect(socket.bytesRead).toBe(100_000)
    socket.end()
    await expect.poll(() => [client.isOver, sizeOf()]).toEqual([true, 0])
  })

  it('tells a refusal, and what cannot be bound', async () => {
    const refused = new Client({ remote: { address: RIGHT, port: 9 } })
    await expect.poll(() => refused.isOver).toBe(true)
    expect(refused.events).toEqual([{ type: 'error', code: 'ECONNREFUSED', syscall: 'connect' }])
    const unbound = new Client({ remote: { address: RIGHT, port: 9 }, localAddress: '192.0.2.1' })
    await expect.poll(() => unbound.isOver).toBe(true)
    expect(unbound.events).toMatchObject([{ type: 'error', code: 'EADDRNOTAVAIL' }])
  })

  it('accepts one connection, and listens no more', async () => {
    const client = new Client({ localPort: 8080 })
    await expect.poll(() => client.types).toEqual(['listening'])
    const first = other.connect(8080, LEFT)
    await once(first, 'connect')
    first.write('hello')
    await expect.poll(() => client.got.toString()).toBe('hello')
    expect(client.events[1]).toMatchObject({ type: 'open', remote: { address: RIGHT } })
    const second = other.connect(8080, LEFT)
    const [error] = await once(second, 'error')
    expect(error).toMatchObject({ code: 'ECONNREFUSED' })
    first.resetAndDestroy()
    await expect.poll(() => client.isOver).toBe(true)
    expect(client.events.at(-1)).toMatchObject({ type: 'error', code: 'ECONNRESET' })
  })

  it('that waits ends with its client, or with the gateway', async () => {
    const [goes, stays] = [new Client({ localPort: 8080 }), new Client({ localPort: 8081 })]
    await expect.poll(() => [goes.types, stays.types].flat()).toEqual(['listening', 'listening'])
    const taken = new Client({ localPort: 8080 })
    await expect.poll(() => taken.events).toMatchObject([{ type: 'error', code: 'EADDRINUSE' }])
    goes.gone.abort()
    stays.stopped.abort()
    await expect.poll(() => [goes.isOver, stays.isOver, sizeOf()]).toEqual([true, true, 0])
    expect(stays.types).toEqual(['listening', 'stopped'])
  })
})

describe('a UDP session', () => {
  it('sends datagrams, tells the address that routes chose, and what comes back', async () => {
    const echo = other.createDatagramSocket('udp4', (data, { port, address }) => echo.send(data, port, address)).bind(53)
    await once(echo, 'listening')
    const client = new Client({ protocol: 'udp', remote: { address: RIGHT, port: 53 } })
    await expect.poll(() => client.types).toEqual(['open'])
    client.input.push(Buffer.from('one'))
    await expect.poll(() => client.got.toString()).toBe('one')
    expect(client.events.at(-1)).toEqual({ type: 'moved', local: { address: LEFT, port: expect.any(Number) } })
    // The end of the input is no end of the socket; the going of the client is.
    client.input.push({ type: 'end' })
    await setImmediate()
    expect([client.isOver, sizeOf()]).toEqual([false, 1])
    client.input.end()
    await expect.poll(() => [client.isOver, sizeOf()]).toEqual([true, 0])
    echo.close()
  })

  it('tells that nobody is there', async () => {
    const client = new Client({ protocol: 'udp', remote: { address: RIGHT, port: 9 } })
    client.input.push(Buffer.from('one'))
    await expect.poll(() => client.isOver).toBe(true)
    expect(client.events.at(-1)).toEqual({ type: 'error', code: 'ECONNREFUSED', syscall: 'recvmsg' })
  })

  it('waits for a datagram, and talks with who sent it alone', async () => {
    const client = new Client({ protocol: 'udp', localPort: 6000 })
    await expect.poll(() => client.types).toEqual(['listening'])
    const [first, second] = [other.createDatagramSocket(), other.createDatagramSocket()]
    const heard = once(first, 'message')
    first.send('hello', 6000, LEFT)
    second.send('me too', 6000, LEFT)
    await expect.poll(() => client.got.toString()).toBe('hello')
    client.input.push(Buffer.from('welcome'))
    expect(String((await heard)[0])).toBe('welcome')
    expect(client.got.toString()).toBe('hello')
    client.stopped.abort()
    await expect.poll(() => client.types.at(-1)).toBe('stopped')
    for (const one of [first, second]) one.close()
    expect(sizeOf()).toBe(0)
  })
})

describe('a ping session', () => {
  const REQUEST = { host: RIGHT, count: 0, interval: 0.002, size: 56, wait: 0.05, localAddress: null, mark: 0, tos: 0, ttl: 64 }
  const collect = async (lines: AsyncIterable<PingLine[]>): Promise<PingLine[]> => {
    const found: PingLine[] = []
    for await (const batch of lines) found.push(...batch)
    return found
  }

  it('ends when each request has been answered', async () => {
    const lines = await collect(openPing({ sockets, request: { ...REQUEST, count: 3 }, signal: new AbortController().signal }))
    expect(lines.map(({ type }) => type)).toEqual(['started', 'reply', 'reply', 'reply', 'ended'])
    expect(lines[1]).toMatchObject({ from: RIGHT, sequence: 1, ttl: 64, bytes: 64, duplicate: false })
    const last = lines.at(-1)!
    if (last.type !== 'ended' || last.rtt === null) throw new Error('no summary')
    expect(last).toMatchObject({ transmitted: 3, received: 3, duplicates: 0, errors: 0 })
    expect(last.rtt.min).toBeGreaterThan(1)
    expect(last.rtt.avg).toBeLessThanOrEqual(last.rtt.max)
    expect(sizeOf()).toBe(0)
  })

  it('ends when the last request had its time, or when it is told to', async () => {
    link.dropToRight(() => true)
    const lines = await collect(openPing({ sockets, request: { ...REQUEST, count: 2 }, signal: new AbortController().signal }))
    expect(lines).toMatchObject([{ type: 'started' }, { type: 'ended', transmitted: 2, received: 0, rtt: null }])
    const abort = new AbortController()
    const endless = collect(openPing({ sockets, request: { ...REQUEST, interval: 100 }, signal: abort.signal }))
    await expect.poll(() => link.lost).toBe(3)
    abort.abort()
    expect((await endless).at(-1)).toMatchObject({ type: 'ended', transmitted: 1, received: 0 })
    expect(sizeOf()).toBe(0)
  })

  it('tells what cannot be bound', async () => {
    const lines = await collect(openPing({ sockets, request: { ...REQUEST, localAddress: '192.0.2.1' }, signal: new AbortController().signal }))
    expect(lines).toMatchObject([{ type: 'started' }, { type: 'error', code: 'EADDRNOTAVAIL', syscall: 'bind' }, { type: 'ended', transmitted: 0 }])
  })
})

it('sockets are listed in the words of ss, and counted', async () => {
  const server = other.createServer().listen(80)
  await once(server, 'listening')
  const socket = other.createDatagramSocket().bind(53)
  const client = sockets.connect(80, RIGHT)
  await once(client, 'connect')
  const [listed] = [...listSockets(link.left.stack)]
  expect(listed).toEqual({ protocol: 'tcp', state: 'ESTAB', receiveQueue: 0, sendQueue: 0, local: { address: LEFT, port: client.localPort }, remote: { address: RIGHT, port: 80 } })
  await expect.poll(() => [...listSockets(link.right.stack)].map(({ state }) => state).sort()).toEqual(['ESTAB', 'LISTEN', 'UNCONN'])
  expect([...listSockets(link.right.stack)].find(({ state }) => state === 'UNCONN')).toMatchObject({ protocol: 'udp', local: { address: '0.0.0.0', port: 53 }, remote: null })
  client.end().resume()
  await expect.poll(() => [...listSockets(link.left.stack)].map(({ state }) => state)).toEqual(['TIME-WAIT'])
  expect(countSockets(link.left.stack.table)).toMatchObject({ count: 1, tcp: 0, udp: 0, icmp: 0, timeWait: 1 })
  server.close()
  socket.close()
})
