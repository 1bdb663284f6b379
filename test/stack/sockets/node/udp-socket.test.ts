import { once } from 'node:events'
import { describe, expect, it } from 'vitest'
import type { SocketApi } from '../../../../src/stack/sockets/node/api.js'
import { QUEUE_BYTES } from '../../../../src/stack/sockets/node/datagram-socket.js'
import type { RemoteInfo, UdpSocket, UdpSocketOptions } from '../../../../src/stack/sockets/node/udp-socket.js'
import { bytesOf, ip } from '../../support.js'
import { LEFT, RIGHT, useLinks } from './support.js'

type Message = [data: Buffer, from: RemoteInfo]

describe('UdpSocket', () => {
  const pair = useLinks()

  const bound = async (api: SocketApi, port = 0, options: UdpSocketOptions = {}, address?: string): Promise<UdpSocket> => {
    const socket = api.createDatagramSocket(options)
    socket.bind({ port, ...(address === undefined ? {} : { address }) })
    await once(socket, 'listening')
    return socket
  }
  const message = async (socket: UdpSocket): Promise<Message> => (await once(socket, 'message')) as Message
  const code = (act: () => unknown): string | undefined => {
    try {
      act()
    } catch (error) {
      return (error as NodeJS.ErrnoException).code
    }
    return undefined
  }

  it('asks and answers', async () => {
    const { left, right } = pair()
    const server = await bound(right, 53)
    expect(server.address()).toEqual({ address: '0.0.0.0', family: 'IPv4', port: 53 })
    server.on('message', (data: Buffer, { port, address }: RemoteInfo) => server.send(`${data.toString()}!`, port, address))
    const client = left.createDatagramSocket('udp4')
    const sent = new Promise((resolve) => client.send('ask', 53, RIGHT, (error, bytes) => resolve([error, bytes])))
    const [data, from] = await message(client)
    expect(await sent).toEqual([null, 3])
    expect(data.toString()).toBe('ask!')
    expect(from).toEqual({ address: RIGHT, family: 'IPv4', port: 53, size: 4, originalDestination: null })
    expect(client.address()).toMatchObject({ address: '0.0.0.0' })
  })

  it('connects, says where to and from where, and disconnects', async () => {
    const { left, right } = pair()
    const server = await bound(right, 53)
    const client = left.createDatagramSocket()
    client.connect(53, RIGHT)
    await once(client, 'connect')
    expect(client.remoteAddress()).toEqual({ address: RIGHT, family: 'IPv4', port: 53 })
    client.send('a')
    const [, { address, port }] = await message(server)
    expect([address, client.address().address, client.address().port]).toEqual([LEFT, LEFT, port])
    expect(code(() => client.send('a', 53, RIGHT))).toBe('ERR_SOCKET_DGRAM_IS_CONNECTED')
    expect(code(() => client.connect(53, RIGHT))).toBe('ERR_SOCKET_DGRAM_IS_CONNECTED')
    client.disconnect()
    expect(code(() => client.disconnect())).toBe('ERR_SOCKET_DGRAM_NOT_CONNECTED')
    expect(code(() => client.remoteAddress())).toBe('ERR_SOCKET_DGRAM_NOT_CONNECTED')
    expect(code(() => client.send('a'))).toBe('ERR_SOCKET_BAD_PORT')
  })

  it('sends parts, lists and views', async () => {
    const { left, right } = pair()
    const server = await bound(right, 53)
    const client = left.createDatagramSocket()
    const got: string[] = []
    const all = new Promise<void>((resolve) => server.on('message', (data: Buffer) => got.push(data.toString()) === 4 && resolve()))
    client.send('0123456', 2, 3, 53, RIGHT)
    client.send(['a', Buffer.from('b'), new Uint8Array([99])], 53, RIGHT)
    client.send(new DataView(Uint8Array.of(0, 100, 101).buffer, 1), 53, RIGHT)
    client.send('', 53, RIGHT)
    await all
    expect(got).toEqual(['234', 'abc', 'de', ''])
    expect(code(() => client.send('abc', 2, 2, 53, RIGHT))).toBe('ERR_BUFFER_OUT_OF_BOUNDS')
    expect(code(() => client.send('abc', 53, 'not.an.address'))).toBe('ERR_INVALID_IP_ADDRESS')
    expect(code(() => client.send('abc', 70_000, RIGHT))).toBe('ERR_SOCKET_BAD_PORT')
  })

  it('tells what it cannot send to the callback, otherwise as an error', async () => {
    const { left } = pair()
    const client = left.createDatagramSocket()
    const done = await new Promise<NodeJS.ErrnoException | null>((resolve) => client.send(bytesOf(65508), 53, RIGHT, resolve))
    expect(done).toMatchObject({ code: 'EMSGSIZE', syscall: 'send' })
    client.send('a', 53, '10.0.0.255')
    expect((await once(client, 'error'))[0]).toMatchObject({ code: 'EACCES' })
    client.setBroadcast(true)
    expect(await new Promise((resolve) => client.send('a', 53, '10.0.0.255', resolve))).toBeNull()
  })

  it('is told that nobody listens', async () => {
    const { left } = pair()
    const client = left.createDatagramSocket()
    client.connect(53, RIGHT, () => client.send('a'))
    expect((await once(client, 'error'))[0]).toMatchObject({ code: 'ECONNREFUSED', errno: -111, address: RIGHT, port: 53 })
  })

  it('cannot be bound twice, nor where another is', async () => {
    const { left } = pair()
    const first = await bound(left, 53)
    expect(code(() => first.bind(54))).toBe('ERR_SOCKET_ALREADY_BOUND')
    const second = left.createDatagramSocket().bind(53)
    expect((await once(second, 'error'))[0]).toMatchObject({ code: 'EADDRINUSE', syscall: 'bind', address: '0.0.0.0', port: 53 })
    const foreign = left.createDatagramSocket().bind(53, '203.0.113.5')
    expect((await once(foreign, 'error'))[0]).toMatchObject({ code: 'EADDRNOTAVAIL' })
    expect(code(() => left.createDatagramSocket().address())).toBe('EBADF')
    await Promise.all([await bound(left, 55, { reuseAddr: true }), await bound(left, 55, { reuseAddr: true })])
  })

  it('answers from a foreign address, and says to which address a datagram was sent', async () => {
    const { link, left, right } = pair()
    const foreign = await bound(right, 53, { transparent: true }, '203.0.113.5')
    const client = await bound(left, 1000)
    foreign.send('answer', 1000, LEFT)
    expect((await message(client))[1]).toMatchObject({ address: '203.0.113.5', port: 53 })
    const listener = await bound(right, 1080)
    const { stack } = link.right
    const receive = stack.receive.bind(stack)
    stack.receive = (slab, at, length, arrival) => receive(slab, at, length, { ...arrival, originalAddress: ip('203.0.113.9'), originalPort: 53 })
    client.send('a', 1080, RIGHT)
    expect((await message(listener))[1].originalDestination).toEqual({ address: '203.0.113.9', port: 53 })
  })

  it('keeps what finds no room and sends it later, up to a limit', async () => {
    const { right } = pair()
    const server = await bound(right, 53, { recvBufferSize: 64 << 20 })
    let got = 0
    server.on('message', () => got++)
    const client = right.createDatagramSocket()
    const results = await Promise.all(
      Array.from({ length: 6000 }, () => new Promise<string>((resolve) => client.send(bytesOf(1000), 53, RIGHT, (error) => resolve(error?.code ?? 'sent')))),
    )
    const sent = results.filter((result) => result === 'sent').length
    expect(new Set(results)).toEqual(new Set(['sent', 'ENOBUFS']))
    expect(sent).toBeGreaterThan(QUEUE_BYTES / 1000)
    expect([client.getSendQueueSize(), client.getSendQueueCount()]).toEqual([0, 0])
    await expect.poll(() => got).toBe(sent)
  })

  it('is closed once, by a signal too', async () => {
    const { left, link } = pair()
    const socket = await bound(left, 53)
    const closed = once(socket, 'close')
    socket.close()
    await closed
    expect(code(() => socket.close())).toBe('ERR_SOCKET_DGRAM_NOT_RUNNING')
    expect(code(() => socket.send('a', 53, RIGHT))).toBe('ERR_SOCKET_DGRAM_NOT_RUNNING')
    const controller = new AbortController()
    const other = await bound(left, 53, { signal: controller.signal })
    controller.abort()
    await once(other, 'close')
    const { signal } = controller
    await once(left.createDatagramSocket({ signal }), 'close')
    expect(link.left.stack.table.count).toBe(0)
  })

  it('goes on when a listener throws', async () => {
    const { left, right } = pair()
    const server = await bound(right, 53)
    const thrown: unknown[] = []
    const listeners = process.listeners('uncaughtException')
    process.removeAllListeners('uncaughtException')
    process.once('uncaughtException', (error) => thrown.push(error))
    let got = 0
    const both = new Promise<void>((resolve) =>
      server.on('message', () => {
        if (++got === 2) setImmediate(resolve)
        else throw new Error('of the listener')
      }),
    )
    const client = left.createDatagramSocket()
    client.send('a', 53, RIGHT)
    client.send('b', 53, RIGHT)
    await both
    for (const listener of listeners) process.on('uncaughtException', listener)
    expect(thrown).toEqual([new Error('of the listener')])
  })
})
