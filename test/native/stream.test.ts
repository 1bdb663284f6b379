import { once } from 'node:events'
import { Socket, createServer } from 'node:net'
import { afterAll, describe, expect, it } from 'vitest'
import { native } from '../../src/native.js'
import { inNewNamespace, privileged, thrownBy } from './network.js'

const LOOPBACK = 0x7f000001
const SOURCE = 0x7f000009

describe.skipIf(!privileged)('a bound TCP socket', () => {
  inNewNamespace()
  const server = createServer()
  afterAll(() => void server.close())

  it('connects from its address, from a port that the kernel chooses', async () => {
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const { port } = server.address() as { port: number }
    const accepted = once(server, 'connection') as Promise<[Socket]>
    const socket = new Socket({ fd: native().streamOpen(native().interfaceIndex('lo'), SOURCE) }).connect({ host: '127.0.0.1', port })
    const [peer] = await accepted
    expect([peer.remoteAddress, socket.localAddress]).toEqual(['127.0.0.9', '127.0.0.9'])
    peer.end('word')
    expect(String((await once(socket, 'data') as [Buffer])[0])).toBe('word')
    await once(socket, 'close')
  })

  it('connects nowhere when its interface is gone', async () => {
    const socket = new Socket({ fd: native().streamOpen(12345, LOOPBACK) }).connect({ host: '127.0.0.1', port: 80 })
    expect((await once(socket, 'error') as [NodeJS.ErrnoException])[0].code).toBe('ENODEV')
  })

  it('says what was wrong when it cannot be opened', () => {
    expect(thrownBy(() => native().streamOpen(0, LOOPBACK)).message).toBe('argument "ifindex" must be positive')
    const lo = native().interfaceIndex('lo')
    expect(thrownBy(() => native().streamOpen(lo, 0x08080808))).toMatchObject({ code: 'EADDRNOTAVAIL', syscall: 'bind' })
  })
})
