import { once } from 'node:events'
import { describe, expect, it } from 'vitest'
import type { FailureInfo, ReplyInfo } from '../../../../src/stack/sockets/node/ping-socket.js'
import { buildIcmpError } from '../../../../src/testing/packets.js'
import { LEFT, RIGHT, useLinks } from './support.js'

describe('PingSocket', () => {
  const pair = useLinks()

  it('gets replies, each with its number', async () => {
    const { left } = pair()
    const socket = left.createPingSocket()
    expect([socket.send('one', RIGHT), socket.send('two', RIGHT)]).toEqual([1, 2])
    const replies: [string, ReplyInfo][] = []
    await new Promise<void>((resolve) => socket.on('reply', (data: Buffer, info: ReplyInfo) => replies.push([data.toString(), info]) === 2 && resolve()))
    const info = { address: RIGHT, family: 'IPv4', ttl: 64, size: 3 }
    expect(replies).toEqual([['one', { ...info, sequence: 1 }], ['two', { ...info, sequence: 2 }]])
    expect(socket.address().port).toBeGreaterThan(0)
  })

  it('hears the address alone that it is connected to', async () => {
    const { left } = pair()
    const socket = left.createPingSocket()
    socket.connect(RIGHT)
    await once(socket, 'connect')
    expect(socket.send('a', undefined, { sequence: 700 })).toBe(700)
    expect(((await once(socket, 'reply')) as [Buffer, ReplyInfo])[1].sequence).toBe(700)
    expect(socket.address().address).toBe(LEFT)
    expect(() => socket.connect(RIGHT)).toThrow('Already connected')
  })

  it('is told by whom a request was not let through', async () => {
    const { left, link } = pair()
    link.dropToRight((packet) => {
      link.injectLeft(buildIcmpError({ source: '10.0.0.254', destination: LEFT, type: 11, code: 0, quote: packet }))
      return true
    })
    const socket = left.createPingSocket({ ttl: 1 })
    socket.send('a', '198.51.100.10')
    const [error, info] = (await once(socket, 'failure')) as [NodeJS.ErrnoException, FailureInfo]
    expect(error.code).toBe('EHOSTUNREACH')
    expect(info).toEqual({ address: '198.51.100.10', sequence: 1, from: '10.0.0.254', type: 11, code: 0 })
  })

  it('has the identifier that it was bound to', async () => {
    const { left } = pair()
    const socket = left.createPingSocket().bind(7)
    await once(socket, 'listening')
    expect(socket.address()).toEqual({ address: '0.0.0.0', family: 'IPv4', port: 7 })
    const other = left.createPingSocket().bind(7)
    expect((await once(other, 'error'))[0]).toMatchObject({ code: 'EADDRINUSE' })
    expect(() => other.bind(70_000)).toThrow('an identifier is 0 to 65535')
    expect(() => socket.send('a')).toThrow('Not connected')
  })
})
