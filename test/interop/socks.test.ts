/**
 * The redirector through a real SOCKS5 proxy (dante; microsocks for passwords), on loopback and with the kernel's sockets in the place of the stack's: programs at
 * both ends, thousands of connections, and a proxy that is gone.
 */
import { execFile } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { connect, createServer, type Server, type Socket } from 'node:net'
import { promisify } from 'node:util'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { Redirector, type RedirectorOptions } from '../../src/redirect/redirector.js'
import { parseUpstream, Upstream } from '../../src/redirect/upstream.js'
import { Danted, freePort, KernelSockets, Microsocks, until } from '../redirect/support.js'
import { Dnsmasq } from '../redirect/dnsmasq.js'

const run = promisify(execFile)

/** Where clients go, and the services that they reach by it. */
const ECHO = '127.1.0.1'
const NAMES = '127.1.0.2'
const NOBODY = '127.1.0.3'
const OTHER = '127.1.0.4'

let proxy: Danted
let dns: Dnsmasq
let echo: Server
const services = new Map<string, number>()
const sockets = new Set<Socket>()

beforeAll(async () => {
  proxy = await Danted.start()
  echo = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.add(socket.on('error', () => {}).once('close', () => sockets.delete(socket)))
    socket.pipe(socket)
  }).listen({ port: 0, host: ECHO, backlog: 4096 })
  await once(echo, 'listening')
  services.set(ECHO, (echo.address() as { port: number }).port)
  dns = await Dnsmasq.start(NAMES, 53_530)
  services.set(NAMES, dns.port).set(NOBODY, await freePort(NOBODY)).set(OTHER, await freePort(OTHER))
})
afterAll(async () => {
  await proxy.stop()
  await dns.stop()
  echo.close()
})

let api: KernelSockets
let redirector: Redirector
let port: number
const failures: string[] = []
const start = async (options: Partial<RedirectorOptions> = {}, url = `socks5://127.0.0.1:${proxy.port}`): Promise<void> => {
  api = new KernelSockets()
  for (const [address, service] of services) api.meant.set(address, { address, port: service })
  port = await freePort()
  failures.length = 0
  const upstream = new Upstream({ address: parseUpstream(url)!, ip: '127.0.0.1', dialer: api, timeout: 5000, isLocal: false })
  redirector = await Redirector.start({
    sockets: api, upstream, tcp: true, udp: true, by: 'redirect', address: '0.0.0.0', port, onFailure: ({ message }) => failures.push(message), ...options,
  })
}
afterEach(async () => {
  await redirector.close()
  // Nothing is left, whatever the test did.
  await until(() => api.streams.size === 0 && sockets.size === 0, () => [api.streams.size, sockets.size])
  expect(redirector.counters.tcp.active).toBe(0)
  expect(redirector.counters.udp.active).toBe(0)
})

/** Sends all of it and the end; resolves with what came back until the end. */
const roundTrip = async (address: string, data: Buffer): Promise<Buffer> => {
  const socket = connect({ host: address, port, allowHalfOpen: true })
  socket.end(data)
  const chunks: Buffer[] = []
  for await (const chunk of socket) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks)
}

/** How a connection ends: `end`, or the code of an error. */
const fate = (socket: Socket): Promise<string> =>
  new Promise((resolve) => {
    socket.on('error', ({ code }: NodeJS.ErrnoException) => resolve(code!)).on('end', () => resolve('end')).resume()
  })

describe('TCP', () => {
  it('16 MiB go both ways unchanged, with the end of one direction before the other', async () => {
    await start()
    const data = randomBytes(16 << 20)
    const back = await roundTrip(ECHO, data)
    expect(createHash('sha256').update(back).digest('hex')).toBe(createHash('sha256').update(data).digest('hex'))
    await until(() => redirector.counters.tcp.active === 0)
    expect(redirector.counters.tcp).toMatchObject({ opened: 1, failed: 0, broken: 0, sent: data.length, received: data.length })
  })

  it('a client that only ends gets the end', async () => {
    await start()
    expect((await roundTrip(ECHO, Buffer.alloc(0))).length).toBe(0)
    expect(redirector.counters.tcp).toMatchObject({ opened: 1, broken: 0 })
  })

  it('a receiver that does not read slows the sender down', async () => {
    await start()
    const socket = connect({ host: ECHO, port })
    let isFull = false
    const chunk = Buffer.alloc(1 << 16)
    // Nobody reads the echo: what is on the way fills up, and then nothing more is taken.
    let written = 0
    const fill = (): void => {
      do written += chunk.length
      while (socket.write(chunk) && written < 1 << 30)
      isFull = true
    }
    socket.on('drain', () => { isFull = false; fill() })
    socket.once('connect', fill)
    let seen = -1
    await until(async () => {
      const { sent } = redirector.counters.tcp
      const isStill = isFull && sent === seen && sent > 0
      seen = sent
      await new Promise((resolve) => setTimeout(resolve, 300))
      return isStill
    })
    expect(written).toBeLessThan(256 << 20)
    for (const stream of api.streams) expect(stream.writableLength).toBeLessThan(4 << 20)
    socket.resetAndDestroy()
  })

  it('a service that refuses is a RST for the client', async () => {
    await start()
    expect(await fate(connect({ host: NOBODY, port }))).toBe('ECONNRESET')
    expect(redirector.counters.tcp).toMatchObject({ opened: 0, failed: 1 })
  })

  it('a client that resets takes the connection of the proxy with it', async () => {
    await start()
    const socket = connect({ host: ECHO, port })
    socket.write('hello')
    await once(socket, 'data')
    socket.resetAndDestroy()
    await until(() => sockets.size === 0)
  })

  it('2000 connections at once, each with its own bytes', async () => {
    await start()
    const clients = await Promise.all(Array.from({ length: 2000 }, async (_, index) => {
      const socket = connect({ host: ECHO, port })
      socket.write(`this is ${index}`)
      const [answer] = await once(socket, 'data') as [Buffer]
      expect(String(answer)).toBe(`this is ${index}`)
      return socket
    }))
    expect(redirector.counters.tcp).toMatchObject({ active: 2000, opened: 2000, failed: 0 })
    for (const socket of clients) socket.end()
    await until(() => redirector.counters.tcp.active === 0)
    expect(redirector.counters.tcp.broken).toBe(0)
  })

  it('beyond the limit, and for nowhere, there is a RST at once', async () => {
    await start({ limits: { connections: 1 } })
    const socket = connect({ host: ECHO, port })
    socket.write('hello')
    await once(socket, 'data')
    expect(await fate(connect({ host: ECHO, port }))).toBe('ECONNRESET')
    // Nothing stands for this address: the client wanted the redirector itself.
    expect(await fate(connect({ host: '127.0.0.1', port }))).toBe('ECONNRESET')
    expect(redirector.counters.tcp.refused).toBe(2)
    socket.destroy()
  })

  it('what is idle for too long ends with RST', async () => {
    await start({ limits: { tcpIdle: 100 } })
    expect(await fate(connect({ host: ECHO, port }))).toBe('ECONNRESET')
    expect(redirector.counters.tcp).toMatchObject({ opened: 1, broken: 1 })
  })

  it('ends with RST when the redirector ends', async () => {
    await start()
    const socket = connect({ host: ECHO, port })
    socket.write('hello')
    await once(socket, 'data')
    const end = fate(socket)
    await redirector.close()
    expect(await end).toBe('ECONNRESET')
  })
})

/** Asks dnsmasq by dig; resolves with the answer. */
const dig = async (name: string, ...options: string[]): Promise<string> =>
  (await run('dig', [`@${NAMES}`, '-p', String(port), '+short', '+tries=1', '+time=3', ...options, name])).stdout.trim()

describe('UDP', () => {
  it('dig gets its answers, over UDP and over TCP', async () => {
    await start()
    expect(await dig('one.example.test')).toBe('192.0.2.1')
    expect(await dig('two.example.test')).toBe('192.0.2.2')
    expect(await dig('two.example.test', '+tcp')).toBe('192.0.2.2')
    expect(redirector.counters.udp).toMatchObject({ opened: 2, sent: 2, received: 2, dropped: 0, failed: 0 })
    expect(redirector.counters.tcp.opened).toBe(1)
  })

  it('one endpoint has one association, and answers come from whom they are of by one socket each', async () => {
    await start({ by: 'tproxy' })
    const servers = await Promise.all([ECHO, OTHER].map(async (address) => {
      const server = createSocket('udp4')
      server.on('message', (data, from) => server.send(data, from.port, from.address))
      server.bind(services.get(address), address)
      await once(server, 'listening')
      return server
    }))
    const client = createSocket('udp4')
    const heard: string[] = []
    client.on('message', (data, from) => heard.push(`${String(data)} ${from.address}:${from.port - 10_000}`))
    const all = [ECHO, OTHER].flatMap((address) => Array.from({ length: 20 }, (_, index) => [address, `${index}`] as const))
    for (const [address, word] of all) {
      client.send(word, port, address)
      await until(() => heard.some((line) => line === `${word} ${address}:${services.get(address)}`), () => heard)
    }
    expect(redirector.counters.udp).toMatchObject({ active: 1, opened: 1, sent: 40, received: 40, dropped: 0 })
    expect(api.foreign).toEqual([ECHO, OTHER].map((address) => `${address}:${services.get(address)}`))
    client.close()
    for (const server of servers) server.close()
  })

  it('associations end when they are idle, and the oldest when there are too many', async () => {
    await start({ limits: { associations: 4, udpIdle: 400 } })
    for (let index = 0; index < 6; index++) expect(await dig('one.example.test')).toBe('192.0.2.1')
    expect(redirector.counters.udp).toMatchObject({ opened: 6, displaced: 2 })
    await until(() => redirector.counters.udp.active === 0)
    await until(() => api.streams.size === 0)
  })

  it('200 clients ask at once', async () => {
    await start()
    const answers = await Promise.all(Array.from({ length: 200 }, () => new Promise<string>((resolve) => {
      const client = createSocket('udp4')
      client.on('message', (data) => { client.close(); resolve(data.subarray(-4).join('.')) })
      client.send(dns.question('one.example.test'), port, NAMES)
    })))
    expect(new Set(answers)).toEqual(new Set(['192.0.2.1']))
    expect(redirector.counters.udp).toMatchObject({ opened: 200, dropped: 0 })
  })
})

describe('user and password', () => {
  let locked: Microsocks
  beforeAll(async () => {
    locked = await Microsocks.start('somebody', 'se:cret/@')
  })
  afterAll(() => locked.stop())

  it('that are right are let through', async () => {
    await start({ udp: false }, `socks5://somebody:se%3Acret%2F%40@127.0.0.1:${locked.port}`)
    const socket = connect({ host: ECHO, port })
    socket.write('hello')
    expect(String((await once(socket, 'data'))[0])).toBe('hello')
    socket.destroy()
  })

  it('that are wrong are a RST, and told of', async () => {
    await start({}, `socks5://nobody:wrong@127.0.0.1:${locked.port}`)
    expect(await fate(connect({ host: ECHO, port }))).toBe('ECONNRESET')
    expect(failures).toEqual([expect.stringMatching(/authentication/i)])
  })

  it('that are missing are a RST, and told of', async () => {
    await start({}, `socks5://127.0.0.1:${locked.port}`)
    expect(await fate(connect({ host: ECHO, port }))).toBe('ECONNRESET')
    expect(failures).toEqual([expect.stringMatching(/accepted authentication/i)])
  })
})

describe('without the proxy', () => {
  it('connections end, new ones get a RST, datagrams are counted, and nothing hangs', async () => {
    const doomed = await Danted.start()
    await start({}, `socks5://127.0.0.1:${doomed.port}`)
    const clients = await Promise.all(Array.from({ length: 50 }, async () => {
      const socket = connect({ host: ECHO, port })
      socket.write('hello')
      await once(socket, 'data')
      return socket
    }))
    expect(await dig('one.example.test')).toBe('192.0.2.1')
    // They go on talking: the kernel of the proxy's host answers with RST.
    const ends = clients.map((socket) => {
      const talk = setInterval(() => socket.write('more'), 20)
      return fate(socket).finally(() => clearInterval(talk))
    })
    await doomed.kill()
    for (const end of await Promise.all(ends)) expect(['ECONNRESET', 'EPIPE', 'end']).toContain(end)
    for (const socket of clients) socket.destroy()
    for (let index = 0; index < 20; index++) expect(await fate(connect({ host: ECHO, port }))).toBe('ECONNRESET')
    expect(redirector.counters.tcp.failed).toBe(20)
    await expect(dig('one.example.test')).rejects.toThrow()
    expect(redirector.counters.udp).toMatchObject({ failed: 1, dropped: 1 })
    await until(() => redirector.counters.udp.active === 0 && redirector.counters.tcp.active === 0)
    await doomed.stop()
  })
})
