import { once } from 'node:events'
import { describe, expect, it } from 'vitest'
import { TcpServer } from '../../../../src/stack/sockets/node/tcp-server.js'
import type { TcpSocket } from '../../../../src/stack/sockets/node/tcp-socket.js'
import { closed, collect, connected, failure, LEFT, listening, RIGHT, useLinks } from './support.js'

const count = (server: TcpServer): Promise<number> => new Promise((resolve, reject) => server.getConnections((error, number) => (error ? reject(error) : resolve(number))))

describe('TcpServer', () => {
  const pair = useLinks()

  it('takes the arguments of net.Server', async () => {
    const { right } = pair()
    const ports = await Promise.all([
      new Promise<TcpServer>((resolve) => { const server: TcpServer = right.createServer().listen(1001, RIGHT, 7, () => resolve(server)) }),
      new Promise<TcpServer>((resolve) => { const server: TcpServer = right.createServer().listen(1002, () => resolve(server)) }),
      new Promise<TcpServer>((resolve) => { const server: TcpServer = right.createServer().listen({ port: 1003, host: '127.0.0.1' }, () => resolve(server)) }),
    ])
    expect(ports.map((server) => server.address())).toEqual([
      { address: RIGHT, port: 1001, family: 'IPv4' }, { address: '0.0.0.0', port: 1002, family: 'IPv4' }, { address: '127.0.0.1', port: 1003, family: 'IPv4' },
    ])
    const any = right.createServer().listen()
    await once(any, 'listening')
    expect(any.address()!.port).toBeGreaterThan(1023)
  })

  it('says in Node\'s words why it cannot listen', async () => {
    const { right } = pair()
    await listening(right, {}, 80)
    const second = right.createServer().listen(80)
    expect(((await once(second, 'error')) as [NodeJS.ErrnoException])[0]).toMatchObject({ code: 'EADDRINUSE', errno: -98, syscall: 'listen', port: 80 })
    expect([second.listening, second.address()]).toEqual([false, null])
    const foreign = right.createServer().listen(81, '192.0.2.1')
    expect(((await once(foreign, 'error')) as [NodeJS.ErrnoException])[0]).toMatchObject({ code: 'EADDRNOTAVAIL', errno: -99, syscall: 'listen', address: '192.0.2.1', port: 81 })
    const twice = right.createServer().listen(82)
    expect(() => twice.listen(83)).toThrow(expect.objectContaining({ code: 'ERR_SERVER_ALREADY_LISTEN' }))
    expect(() => right.createServer().listen(70000)).toThrow(expect.objectContaining({ code: 'ERR_SOCKET_BAD_PORT' }))
  })

  it('closes when its last connection has ended, and no sooner', async () => {
    const both = pair()
    const { client, server, listener } = await connected(both)
    let isClosed = false
    listener.close(() => (isClosed = true))
    expect(listener.listening).toBe(false)
    const late = both.left.connect(server.localPort!, RIGHT)
    expect((await failure(late)).code).toBe('ECONNREFUSED')
    expect([isClosed, await count(listener)]).toEqual([false, 1])
    client.end()
    server.resume()
    client.resume()
    await once(listener, 'close')
    expect([isClosed, await count(listener)]).toEqual([true, 0])
    const again = await new Promise<Error | undefined>((resolve) => listener.close(resolve))
    expect(again).toMatchObject({ code: 'ERR_SERVER_NOT_RUNNING' })
    await listener[Symbol.asyncDispose]()
  })

  it('can listen again at once', async () => {
    const both = pair()
    const { client, server, listener } = await connected(both)
    const { port } = listener.address()!
    listener.close()
    server.end()
    client.resume()
    server.resume()
    await once(listener, 'close')
    listener.listen(port)
    await once(listener, 'listening')
    const second = both.left.connect(port, RIGHT)
    await once(second, 'connect')
  })

  it('drops connections beyond its limit', async () => {
    const both = pair()
    const { listener, client } = await connected(both)
    listener.maxConnections = 1
    const dropped = once(listener, 'drop')
    const second = both.left.connect(listener.address()!.port, RIGHT)
    second.on('error', () => {})
    expect((await dropped)[0]).toMatchObject({ localAddress: RIGHT, localPort: listener.address()!.port, remoteAddress: LEFT, remoteFamily: 'IPv4' })
    await closed(second)
    expect([client.destroyed, await count(listener)]).toEqual([false, 1])
  })

  it('listens on one address only, when told so', async () => {
    const both = pair()
    both.right.createServer((socket) => socket.end('local')).listen(80, '127.0.0.1')
    const outside = both.left.connect(80, RIGHT)
    expect((await failure(outside)).code).toBe('ECONNREFUSED')
    const inside = both.right.connect(80, '127.0.0.1')
    expect((await collect(inside)).toString()).toBe('local')
    expect(inside.localAddress).toBe('127.0.0.1')
  })

  it('can be closed by a signal', async () => {
    const { right } = pair()
    const controller = new AbortController()
    const server = right.createServer().listen({ port: 80, signal: controller.signal })
    await once(server, 'listening')
    controller.abort()
    await once(server, 'close')
    expect(server.listening).toBe(false)
  })

  it('leaves a socket alone until somebody reads, when told so', async () => {
    const both = pair()
    const { client, server } = await connected(both, {}, { pauseOnConnect: true })
    client.end('later')
    expect(server.isPaused()).toBe(true)
    const got: Buffer[] = []
    server.on('data', (chunk: Buffer) => got.push(chunk)).resume()
    await once(server, 'end')
    expect(Buffer.concat(got).toString()).toBe('later')
  })

  it('spreads connections over listeners that share a port', async () => {
    const { left, right } = pair()
    const counts = [0, 0]
    counts.forEach((_, index) => right.createServer((socket: TcpSocket) => {
      counts[index]!++
      socket.end()
    }).listen({ port: 80, reusePort: true }))
    for (let number = 0; number < 40; number++) {
      const client = left.connect(80, RIGHT).resume()
      await once(client, 'close')
    }
    expect(counts[0]! + counts[1]!).toBe(40)
    expect(Math.min(...counts)).toBeGreaterThan(5)
  })
})
