/** The network chooses the source of a connection, and may choose again; other ends of the same kind are in the way. */
import { describe, expect, it } from 'vitest'
import { SOCKET_FLAG } from '../../../../src/stack/sockets/socket-table.js'
import * as ipv4 from '../../../../src/stack/wire/ipv4.js'
import { ip } from '../../support.js'
import { Bed } from './bed.js'

const ADDRESSES = { addresses: ['10.0.0.1', '10.1.0.1'] }

describe('the source of a connection', () => {
  it('is what the network says before the handshake is done, and its row is found by it', () => {
    const bed = new Bed(ADDRESSES)
    const peer = bed.puppet({ address: '10.0.0.2' })
    const user = bed.connect(peer)
    expect(user.endpoint.localAddress).toBe(ip('10.0.0.1'))
    const { table } = bed.stack
    const row = table.findConnected(ipv4.PROTOCOL_TCP, ip('10.0.0.2'), peer.port, ip('10.0.0.1'), user.endpoint.localPort, 0)
    expect(table.flagsOf(row)).toBe(SOCKET_FLAG.connected)
    // Routes changed before the SYN was sent again.
    bed.stack.path(row, ip('10.1.0.1'), 1400)
    expect(user.endpoint.localAddress).toBe(ip('10.1.0.1'))
    expect(table.findConnected(ipv4.PROTOCOL_TCP, ip('10.0.0.2'), peer.port, ip('10.0.0.1'), user.endpoint.localPort, 0)).toBe(-1)
    expect(table.findConnected(ipv4.PROTOCOL_TCP, ip('10.0.0.2'), peer.port, ip('10.1.0.1'), user.endpoint.localPort, 0)).toBe(row)
    peer.segments()
    peer.stackAddress = '10.1.0.1'
    bed.advance(1000)
    const again = peer.segment()
    expect(again.text).toBe('S 0')
    expect(again.options.mss).toBe(1360)
    peer.send('SA')
    expect(user.events).toEqual(['connect'])
  })

  it('stays once the handshake is done', () => {
    const bed = new Bed(ADDRESSES)
    const { user } = bed.connected()
    const row = [...bed.stack.tcp.sockets()].find(({ state }) => state === 'ESTABLISHED')!.row
    bed.stack.path(row, ip('10.1.0.1'), 1400)
    expect(user.endpoint.localAddress).toBe(ip('10.0.0.1'))
  })

  it('gets another port when the first is taken with it, and the SYN is sent again', () => {
    const bed = new Bed(ADDRESSES)
    const peer = bed.puppet()
    const user = bed.connect(peer)
    peer.segments()
    const first = user.endpoint.localPort
    const { row } = [...bed.stack.tcp.sockets()][0]!
    peer.stackPort = -1
    peer.stackAddress = '10.1.0.1'
    bed.stack.taken(row, ip('10.1.0.1'))
    expect(user.endpoint.localAddress).toBe(ip('10.1.0.1'))
    expect(user.endpoint.localPort).not.toBe(first)
    expect(peer.segment().text).toBe('S 0')
    expect(peer.stackPort).toBe(user.endpoint.localPort)
    peer.send('SA')
    expect(user.events).toEqual(['connect'])
  })

  it('without a way out is an error at once', () => {
    const bed = new Bed(ADDRESSES)
    const user = bed.connect(bed.puppet())
    bed.stack.refused([...bed.stack.tcp.sockets()][0]!.row, 101)
    expect(user.events).toEqual(['error ENETUNREACH', 'close'])
    expect(user.error).toMatchObject({ syscall: 'connect', errno: -101, address: '10.0.0.2', port: 5000 })
    expect(bed.stack.table.count).toBe(0)
  })
})

describe('connect', () => {
  const bed = (): Bed => new Bed(ADDRESSES)

  it.each([['224.0.0.1', 'ENETUNREACH'], ['255.255.255.255', 'ENETUNREACH'], ['10.0.0.255', 'ENETUNREACH']])('SOCK-15: refuses %s', (address, code) => {
    expect(() => bed().stack.tcp.connect({ address: ip(address), port: 80 })).toThrow(expect.objectContaining({ code }))
  })

  it('refuses a local address that is none, unless it is transparent', () => {
    const { stack } = bed()
    const options = { address: ip('10.0.0.2'), port: 80, localAddress: ip('192.0.2.7'), localPort: 7 }
    expect(() => stack.tcp.connect(options)).toThrow(expect.objectContaining({ code: 'EADDRNOTAVAIL', address: '192.0.2.7' }))
    const endpoint = stack.tcp.connect({ ...options, transparent: true })
    expect([endpoint.localAddress, endpoint.localPort]).toEqual([ip('192.0.2.7'), 7])
  })

  it('refuses a local port that is taken, and leaves nothing behind', () => {
    const { stack } = bed()
    stack.tcp.listen({ port: 4000 })
    expect(() => stack.tcp.connect({ address: ip('10.0.0.2'), port: 80, localPort: 4000 })).toThrow(expect.objectContaining({ code: 'EADDRINUSE' }))
    expect(stack.table.count).toBe(1)
  })

  it('sends data with the SYN, and again if the other end did not take it', () => {
    const one = bed()
    const peer = one.puppet({ timestamps: true })
    const user = one.connect(peer, { fastOpenData: Buffer.from('hello') })
    expect(peer.segment().text).toBe('S 0:5')
    one.advance(1000)
    expect(peer.segment().text).toBe('S 0')
    peer.send('SA', { ack: 1 })
    expect(peer.sent()).toEqual(['A 1:6 ack 1'])
    expect(user.events).toEqual(['connect'])
  })

  it('sends data with the SYN once when the other end took it', () => {
    const one = bed()
    const peer = one.puppet()
    const user = one.connect(peer, { fastOpenData: Buffer.from('hello') })
    peer.segment()
    peer.send('SA', { ack: 6 })
    expect(peer.sent()).toEqual(['A 6 ack 1'])
    expect(user.endpoint.writeLength).toBe(0)
  })
})

describe('ends that a connection in TIME_WAIT has', () => {
  const again = (timestamps: boolean, pause: number) => {
    const bed = new Bed()
    const peer = bed.puppet({ timestamps })
    const options = { address: ip(peer.address), port: peer.port, localAddress: ip('10.0.0.1'), localPort: 4000 }
    const user = bed.connect(peer, options)
    peer.accept()
    user.endpoint.close()
    peer.segments()
    peer.send('FA').segments()
    expect(user.events).toEqual(['connect', 'finish', 'close'])
    const before = peer.stackFirst
    bed.advance(pause)
    return { bed, peer, before, connect: () => bed.stack.tcp.connect(options) }
  }

  it('SOCK-7: can be used again after a second where timestamps tell the segments of both apart, with higher numbers', () => {
    const { bed, peer, before, connect } = again(true, 1000)
    connect()
    expect(peer.segment().text).toBe('S 0')
    expect((peer.stackFirst - before) | 0).toBeGreaterThan(0)
    expect(bed.stack.table.count).toBe(1)
  })

  it.each([[false, 1000], [true, 999]])('SOCK-7: cannot be used else (timestamps %s, after %i ms)', (timestamps, pause) => {
    expect(again(timestamps, pause).connect).toThrow(expect.objectContaining({ code: 'EADDRINUSE' }))
  })
})
