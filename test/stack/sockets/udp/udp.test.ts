import { beforeEach, describe, expect, it } from 'vitest'
import { type Datagram, DATAGRAM_COST, PAYLOAD_MAX } from '../../../../src/stack/sockets/datagram.js'
import { formatIpv4 } from '../../../../src/stack/wire/address.js'
import { checkPacket } from '../../../../src/testing/check-packet.js'
import { buildUdp } from '../../../../src/testing/packets.js'
import { bytesOf, ip, u16 } from '../../support.js'
import { Bed, bound, LEFT, open, RIGHT, text } from './support.js'

describe('UDP sockets', () => {
  let bed: Bed
  beforeEach(() => {
    bed = new Bed()
  })

  it('send to one another, and see who it was', () => {
    const client = open(bed.left)
    const server = bound(bed.right, 53)
    expect(client.endpoint.send(text('ask'), ip(RIGHT), 53)).toBeNull()
    bed.settle()
    const [asked] = server.got()
    expect([formatIpv4(asked!.address), asked!.port, formatIpv4(asked!.localAddress), asked!.originalDestination]).toEqual([
      LEFT, client.endpoint.localPort, RIGHT, null,
    ])
    expect(server.endpoint.send(text('answer'), asked!.address, asked!.port)).toBeNull()
    bed.settle()
    expect(client.texts()).toEqual(['answer'])
    expect([...bed.toRight, ...bed.toLeft].flatMap((packet) => checkPacket(packet))).toEqual([])
  })

  it('that are not connected stay at 0.0.0.0 with a port of their own, and get from everybody', () => {
    const server = bound(bed.right, 53)
    const client = open(bed.left)
    client.endpoint.send(text('a'), ip(RIGHT), 53)
    bed.settle()
    expect(client.endpoint.localAddress).toBe(0)
    expect(client.endpoint.localPort).toBeGreaterThanOrEqual(1024)
    expect(server.texts()).toEqual(['a'])
    bed.inject({ source: '10.0.0.77' })
    expect(server.got().map(({ address }) => formatIpv4(address))).toEqual(['10.0.0.77'])
  })

  it('that are connected hear their peer alone, until they are not any more', () => {
    const client = bound(bed.left, 5000)
    client.endpoint.connect(ip(RIGHT), 53)
    const server = bound(bed.right, 53)
    const stranger = bound(bed.right, 54)
    server.endpoint.send(text('right, before anything was sent'), ip(LEFT), 5000)
    stranger.endpoint.send(text('wrong'), ip(LEFT), 5000)
    bed.settle()
    expect(client.texts()).toEqual(['right, before anything was sent'])
    client.endpoint.send(text('a'))
    bed.settle()
    expect(server.texts()).toEqual(['a'])
    server.endpoint.send(text('right'), ip(LEFT), 5000)
    stranger.endpoint.send(text('wrong'), ip(LEFT), 5000)
    bed.settle()
    expect(client.texts()).toEqual(['right'])
    client.endpoint.disconnect()
    expect([client.endpoint.localAddress, client.endpoint.isConnected]).toEqual([0, false])
    stranger.endpoint.send(text('now right'), ip(LEFT), 5000)
    bed.settle()
    expect(client.texts()).toEqual(['now right'])
  })

  it('FRG-8: send what is longer than the MTU in fragments that have an ID of their own', () => {
    const server = bound(bed.right, 53)
    const client = open(bed.left)
    for (const length of [4000, PAYLOAD_MAX]) {
      expect(client.endpoint.send(bytesOf(length), ip(RIGHT), 53)).toBeNull()
      bed.settle()
      expect(server.got().map(({ data }) => Buffer.from(data).equals(bytesOf(length)))).toEqual([true])
    }
    expect(new Set(bed.toRight.map((packet) => u16(packet, 4))).size).toBe(2)
    expect(bed.right.stack.reassembly.counters.reassembled).toBe(2)
  })

  it('refuse what cannot be sent', () => {
    const { endpoint } = open(bed.left)
    expect(endpoint.send(bytesOf(PAYLOAD_MAX + 1), ip(RIGHT), 53)).toBe('EMSGSIZE')
    expect(endpoint.send(bytesOf(1))).toBe('EDESTADDRREQ')
    expect(endpoint.send(bytesOf(1), ip(RIGHT), 0)).toBe('EINVAL')
    expect(endpoint.send(bytesOf(1), ip('10.0.0.255'), 53)).toBe('EACCES')
    expect(endpoint.send(bytesOf(1), ip('255.255.255.255'), 53)).toBe('EACCES')
    endpoint.close()
    expect(endpoint.send(bytesOf(1), ip(RIGHT), 53)).toBe('EBADF')
    expect(bed.left.stack.table.count).toBe(0)
  })

  it('send to broadcast addresses when they are allowed to, and all that would take it get one', () => {
    const client = open(bed.left, { broadcast: true })
    const shared = { reuseAddress: true }
    const servers = [bound(bed.right, 67, shared), bound(bed.right, 67, shared), bound(bed.right, 67, shared, RIGHT)]
    expect(client.endpoint.send(text('all'), ip('10.0.0.255'), 67)).toBeNull()
    bed.settle()
    expect(servers.map(({ texts }) => texts())).toEqual([['all'], ['all'], []])
    client.endpoint.setBroadcast(false)
    expect(client.endpoint.send(text('all'), ip('10.0.0.255'), 67)).toBe('EACCES')
    expect(() => open(bed.left).endpoint.connect(ip('10.0.0.255'), 67)).toThrow('connect EACCES 10.0.0.255:67')
  })

  it('CSUM-3: accept a datagram without checksum, and not one with a wrong checksum', () => {
    const server = bound(bed.right, 53)
    const packet = buildUdp({ source: LEFT, destination: RIGHT, sourcePort: 1000, destinationPort: 53, payload: bytesOf(4) })
    const damaged = packet.slice()
    damaged[29]! ^= 1
    bed.injectRight(damaged)
    bed.settle()
    expect(server.got()).toEqual([])
    expect([...bed.right.stack.drops.values()]).toEqual([1])
    packet.fill(0, 26, 28)
    bed.injectRight(packet)
    bed.settle()
    expect(server.got().length).toBe(1)
  })

  it('take superpackets apart', () => {
    bed = new Bed({ offloads: { checksum: true, tcp: true, udp: true } })
    const server = bound(bed.right, 53)
    const { network } = bed.left
    const payload = bytesOf(3500)
    const packet = buildUdp({ source: LEFT, destination: RIGHT, sourcePort: 1000, destinationPort: 53, payload })
    const at = network.reserve(packet.length)
    network.slab.bytes.set(packet, at)
    const { view } = network.slab
    let sum = 17 + packet.length - 20
    for (let word = 12; word < 20; word += 2) sum += u16(packet, word)
    view.setUint16(at + 26, (sum & 0xffff) + (sum >>> 16))
    // NEEDS_CSUM, GSO_UDP_L4, 28 bytes of headers, 1000 bytes a segment, the checksum of UDP.
    view.setUint8(at - 10, 1)
    view.setUint8(at - 9, 5)
    view.setUint16(at - 8, 28, true)
    view.setUint16(at - 6, 1000, true)
    view.setUint16(at - 4, 20, true)
    view.setUint16(at - 2, 6, true)
    network.send(at, packet.length, -1)
    bed.settle()
    expect(bed.toRight.length).toBe(1)
    const got = server.got()
    expect(got.map(({ data }) => data.length)).toEqual([1000, 1000, 1000, 500])
    expect(Buffer.concat(got.map(({ data }) => data)).equals(payload)).toBe(true)
  })

  it('take datagrams of no bytes, and no bytes behind the datagram', () => {
    const server = bound(bed.right, 53)
    bed.inject({ payload: bytesOf(0) })
    const padded = buildUdp({ source: LEFT, destination: RIGHT, sourcePort: 1000, destinationPort: 53, payload: bytesOf(10) })
    padded[25] = 8 + 4
    padded.fill(0, 26, 28)
    bed.injectRight(padded)
    bed.settle()
    expect(server.got().map(({ data }) => data.length)).toEqual([0, 4])
  })

  it('keep a bounded number of bytes until they are read, and count the rest', () => {
    const endpoint = bed.right.stack.udp.open({ receiveBuffer: 10 * (DATAGRAM_COST + 100) })
    endpoint.bind(0, 53)
    let calls = 0
    endpoint.events = { ...endpoint.events, onReadable: () => calls++ }
    for (let count = 0; count < 15; count++) bed.inject({ payload: bytesOf(100) })
    expect([endpoint.dropped, endpoint.readable, calls]).toEqual([5, 1000, 1])
    for (let count = 0; count < 10; count++) expect(endpoint.read()!.data).toEqual(bytesOf(100))
    expect([endpoint.read(), endpoint.readable]).toEqual([null, 0])
    bed.inject({ payload: bytesOf(60_000) })
    expect([endpoint.dropped, endpoint.read()!.data.length, calls]).toEqual([5, 60_000, 2])
  })

  it('are bound where that is free, and to addresses of others only transparently', () => {
    bound(bed.right, 53)
    expect(() => bound(bed.right, 53)).toThrow('bind EADDRINUSE 0.0.0.0:53')
    expect(() => bound(bed.right, 53, {}, RIGHT)).toThrow('bind EADDRINUSE 10.0.0.2:53')
    expect(() => bound(bed.right, 54, {}, '203.0.113.5')).toThrow('bind EADDRNOTAVAIL 203.0.113.5:54')
    const foreign = bound(bed.right, 54, { transparent: true }, '203.0.113.5')
    expect(() => foreign.endpoint.bind(0, 55)).toThrow('bind EINVAL')
    const free = bound(bed.right, 0)
    expect(free.endpoint.localPort).toBeGreaterThanOrEqual(1024)
    free.endpoint.close()
    foreign.endpoint.close()
    foreign.endpoint.close()
    expect(bed.right.stack.table.count).toBe(1)
  })

  it('are refused when the table is full', () => {
    bed = new Bed({ capacity: 1 })
    bound(bed.left, 53)
    expect(() => bound(bed.left, 54)).toThrow('bind ENOBUFS 0.0.0.0:54')
    expect(open(bed.left).endpoint.send(text('a'), ip(RIGHT), 53)).toBe('ENOBUFS')
  })

  it('send with the TOS, TTL and mark that were set', () => {
    const client = open(bed.left, { tos: 0xb8, ttl: 9, mark: 0x2333 })
    client.endpoint.send(text('a'), ip(RIGHT), 53)
    bed.settle()
    const { table } = bed.left.stack
    const row = table.ports.first(17, client.endpoint.localPort)
    expect([bed.toRight[0]![1], bed.toRight[0]![8], table.markOf(row), table.tosOf(row)]).toEqual([0xb8, 9, 0x2333, 0xb8])
    client.endpoint.setTos(0x10)
    client.endpoint.setTtl(33)
    client.endpoint.setMark(-1)
    client.endpoint.send(text('b'), ip(RIGHT), 53)
    bed.settle()
    expect([bed.toRight[1]![1], bed.toRight[1]![8], table.markOf(row)]).toEqual([0x10, 33, 0xffffffff])
  })

  it('send on the loopback', () => {
    const client = open(bed.left)
    const server = bound(bed.left, 53, {}, '127.0.0.1')
    client.endpoint.connect(0, 53)
    client.endpoint.send(text('a'))
    bed.settle()
    expect(server.got().map(({ address, interface: iface }: Datagram) => `${formatIpv4(address)} by ${iface}`)).toEqual(['127.0.0.1 by 1'])
  })

  it('are spread over by reuseport', () => {
    const servers = Array.from({ length: 3 }, () => bound(bed.right, 53, { reusePort: true }))
    for (let port = 1; port <= 90; port++) bed.inject({ sourcePort: port })
    const counts = servers.map(({ got }) => got().length)
    expect(counts.reduce((sum, count) => sum + count, 0)).toBe(90)
    for (const count of counts) expect(count).toBeGreaterThan(5)
  })

  it('say EAGAIN when there is no room, and when there is some again', () => {
    const client = open(bed.left)
    let result: string | null = null
    let sent = 0
    while (result === null && sent < 100_000) {
      result = client.endpoint.send(bytesOf(1000), ip(LEFT), 9)
      if (result === null) sent++
    }
    expect(result).toBe('EAGAIN')
    bed.settle()
    expect(client.errors).toContain('drain')
    expect(client.endpoint.send(bytesOf(1000), ip(LEFT), 9)).toBeNull()
  })
})
