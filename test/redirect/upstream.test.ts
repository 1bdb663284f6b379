/** The way to the upstream, with proxies that do what dante never would. */
import { once } from 'node:events'
import { connect, createServer, type Server, type Socket } from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
import { Redirector } from '../../src/redirect/redirector.js'
import { parseUpstream, Upstream, upstreamText } from '../../src/redirect/upstream.js'
import { freePort, KernelSockets, until } from './support.js'

describe('the address of an upstream', () => {
  it.each([
    ['socks5://192.0.2.1:1081', { host: '192.0.2.1', port: 1081, user: null, password: '' }],
    ['socks5://proxy.example.test', { host: 'proxy.example.test', port: 1080, user: null, password: '' }],
    ['socks5h://a%40b:p%3A%2F@192.0.2.1:1080/', { host: '192.0.2.1', port: 1080, user: 'a@b', password: 'p:/' }],
    ['socks5://name@192.0.2.1', { host: '192.0.2.1', port: 1080, user: 'name', password: '' }],
  ])('%s', (text, address) => {
    expect(parseUpstream(text)).toEqual(address)
  })

  it.each(['', 'socks4://192.0.2.1', '192.0.2.1:1080', 'socks5://192.0.2.300', 'socks5://192.0.2.1:0', 'socks5://192.0.2.1:65536', 'socks5://%zz@192.0.2.1', `socks5://${'a'.repeat(256)}@192.0.2.1`, 'socks5://[2001:db8::1]:1080'])(
    'is not "%s"', (text) => {
      expect(parseUpstream(text)).toBeNull()
    })

  it('is shown without its password', () => {
    expect(upstreamText(parseUpstream('socks5://me%40x:secret@192.0.2.1')!)).toBe('socks5://me%40x@192.0.2.1:1080')
  })
})

const GRANTED = Buffer.from([5, 0, 0, 1, 127, 0, 0, 1, 0x12, 0x34])
const CLIENT = '127.1.0.9'

let server: Server
let redirector: Redirector
let api: KernelSockets
let port: number
let failures: string[]

/** A proxy that does what `serve` says with each connection. */
const start = async (serve: (socket: Socket) => Promise<void>, timeout = 2000): Promise<void> => {
  server = createServer({ allowHalfOpen: true }, (socket) => {
    socket.on('error', () => {})
    void serve(socket)
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  api = new KernelSockets()
  api.meant.set(CLIENT, { address: '192.0.2.80', port: 80 })
  port = await freePort(CLIENT)
  failures = []
  const address = parseUpstream(`socks5://127.0.0.1:${(server.address() as { port: number }).port}`)!
  const upstream = new Upstream({ address, ip: '127.0.0.1', dialer: api, timeout, isLocal: false })
  redirector = await Redirector.start({
    sockets: api, upstream, tcp: true, udp: false, by: 'tproxy', address: '0.0.0.0', port, onFailure: ({ message }) => failures.push(message),
  })
}
/** Takes greeting and request; resolves with the request. */
const agree = async (socket: Socket): Promise<Buffer> => {
  await once(socket, 'data')
  socket.write(Buffer.from([5, 0]))
  const [request] = await once(socket, 'data') as [Buffer]
  return request
}

const talk = (): { socket: Socket; end: Promise<string>; heard: () => string } => {
  const socket = connect(port, CLIENT)
  let heard = ''
  socket.on('data', (data) => { heard += String(data) })
  const end = new Promise<string>((resolve) => socket.on('error', ({ code }: NodeJS.ErrnoException) => resolve(code!)).on('end', () => resolve('end')))
  return { socket, end, heard: () => heard }
}

describe('an upstream', () => {
  afterEach(async () => {
    await redirector.close()
    await until(() => api.streams.size === 0)
    expect(redirector.counters.tcp.active).toBe(0)
    server.close()
  })

  it('is asked for the destination of the client', async () => {
    let asked = ''
    await start(async (socket) => {
      asked = (await agree(socket)).toString('hex')
      socket.end(GRANTED)
    })
    expect(await talk().end).toBe('end')
    expect(asked).toBe('05010001c00002500050')
  })

  it('may answer byte by byte, and send data right behind its answer', async () => {
    await start(async (socket) => {
      await agree(socket)
      for (const byte of GRANTED.subarray(0, -1)) {
        socket.write(Buffer.from([byte]))
        await new Promise((resolve) => setTimeout(resolve, 2))
      }
      socket.write(Buffer.concat([GRANTED.subarray(-1), Buffer.from('first ')]))
      for (let index = 0; index < 200; index++) socket.write(`${index} `)
      socket.end()
    })
    const { end, heard } = talk()
    expect(await end).toBe('end')
    expect(heard()).toBe(`first ${Array.from({ length: 200 }, (_, index) => `${index} `).join('')}`)
  })

  it('may answer, send all, and end in one go', async () => {
    await start(async (socket) => {
      await agree(socket)
      socket.end(Buffer.concat([GRANTED, Buffer.from('all')]))
    })
    const { end, heard } = talk()
    expect(await end).toBe('end')
    expect(heard()).toBe('all')
    expect(redirector.counters.tcp).toMatchObject({ opened: 1, received: 3 })
  })

  it('that never answers is a RST', async () => {
    await start(() => Promise.resolve(), 100)
    expect(await talk().end).toBe('ECONNRESET')
    expect(failures).toEqual([expect.stringMatching(/in time/)])
  })

  it.each([
    ['speaks nonsense', Buffer.from('HTTP/1.1 400 Bad Request\r\n\r\n')],
    ['takes no way of authentication', Buffer.from([5, 255])],
    ['hangs up', Buffer.alloc(0)],
  ])('that %s is a RST', async (_, answer) => {
    await start(async (socket) => {
      await once(socket, 'data')
      socket.end(answer)
    })
    expect(await talk().end).toBe('ECONNRESET')
    expect(redirector.counters.tcp).toMatchObject({ failed: 1, opened: 0 })
  })

  it('that refuses is a RST', async () => {
    await start(async (socket) => {
      await agree(socket)
      socket.end(Buffer.from([5, 5, 0, 1, 0, 0, 0, 0, 0, 0]))
    })
    expect(await talk().end).toBe('ECONNRESET')
    expect(failures).toEqual([expect.stringMatching(/ConnectionRefused/)])
  })

  it('that resets a connection is a RST for its client', async () => {
    await start(async (socket) => {
      await agree(socket)
      socket.write(GRANTED)
      await once(socket, 'data')
      socket.resetAndDestroy()
    })
    const { socket, end } = talk()
    socket.write('hello')
    expect(await end).toBe('ECONNRESET')
    expect(redirector.counters.tcp).toMatchObject({ opened: 1, broken: 1 })
  })

  it('is left when the client leaves during the handshake', async () => {
    let left = false
    let greeted = false
    await start((socket) => {
      socket.on('data', () => { greeted = true }).once('close', () => { left = true }).on('end', () => socket.end())
      return Promise.resolve()
    }, 60_000)
    const { socket } = talk()
    await until(() => greeted)
    socket.resetAndDestroy()
    await until(() => left)
    expect(redirector.counters.tcp).toMatchObject({ failed: 0, opened: 0 })
  })

  it('gets the end of a client that has said all, and its bytes that came before the handshake was over', async () => {
    let got = ''
    await start(async (socket) => {
      await agree(socket)
      socket.on('data', (data) => { got += String(data) }).on('end', () => socket.end('thanks'))
      await new Promise((resolve) => setTimeout(resolve, 50))
      socket.write(GRANTED)
    })
    const { socket, end, heard } = talk()
    socket.end('all of it')
    expect(await end).toBe('end')
    expect([got, heard()]).toEqual(['all of it', 'thanks'])
  })
})
