import { beforeEach, describe, expect, it } from 'vitest'
import type { Datagram } from '../../../../src/stack/sockets/datagram.js'
import { formatIpv4 } from '../../../../src/stack/wire/address.js'
import { checkPacket } from '../../../../src/testing/check-packet.js'
import { buildUdp } from '../../../../src/testing/packets.js'
import { bytesOf, destinationOf, ip, sourceOf, u16 } from '../../support.js'
import { Bed, bound, LEFT, open, RIGHT, text } from './support.js'

describe('addresses of UDP sockets', () => {
  let bed: Bed
  beforeEach(() => {
    bed = new Bed()
  })

  it('of connected ones are those that routes choose, and they are found by them', () => {
    const client = open(bed.left)
    client.endpoint.connect(ip(RIGHT), 53)
    expect(client.endpoint.localAddress).toBe(0)
    client.endpoint.send(text('a'))
    bed.settle()
    expect(formatIpv4(client.endpoint.localAddress)).toBe(LEFT)
    const { table } = bed.left.stack
    const row = table.findConnected(17, ip(RIGHT), 53, ip(LEFT), client.endpoint.localPort, 0)
    expect(row).toBeGreaterThanOrEqual(0)
    bed.left.stack.path(row, ip('10.1.0.1'), 1400)
    expect(formatIpv4(client.endpoint.localAddress)).toBe('10.1.0.1')
    expect(table.find(17, ip(RIGHT), 53, ip('10.1.0.1'), client.endpoint.localPort, 0, 0)).toBe(row)
    expect(table.find(17, ip(RIGHT), 53, ip(LEFT), client.endpoint.localPort, 0, 0)).toBe(-1)
  })

  it('of others stay 0.0.0.0', () => {
    const { endpoint } = open(bed.left)
    endpoint.send(text('a'), ip(RIGHT), 53)
    bed.settle()
    const row = bed.left.stack.table.findBound(17, ip(LEFT), endpoint.localPort, 0, 0)
    bed.left.stack.path(row, ip('10.1.0.1'), 1400)
    expect(endpoint.localAddress).toBe(0)
    expect(bed.left.stack.table.localAddressOf(row)).toBe(0)
  })

  it('stay what they were bound to', () => {
    const { endpoint } = bound(bed.left, 5000, {}, LEFT)
    endpoint.connect(ip(RIGHT), 53)
    bed.left.stack.path(bed.left.stack.table.ports.first(17, 5000), ip('10.0.0.99'), 1400)
    expect(formatIpv4(endpoint.localAddress)).toBe(LEFT)
    endpoint.disconnect()
    expect(formatIpv4(endpoint.localAddress)).toBe(LEFT)
  })

  it('with a port that is another\'s there: another port is chosen, and what was sent is sent again', () => {
    const client = open(bed.left)
    client.endpoint.connect(ip(RIGHT), 53)
    const server = bound(bed.right, 53)
    client.endpoint.send(text('a'))
    const port = client.endpoint.localPort
    // Before the network says anything of the path.
    bed.left.stack.taken(bed.left.stack.table.ports.first(17, port), ip(LEFT))
    expect(client.endpoint.localPort).not.toBe(port)
    bed.settle()
    expect(server.got().map((datagram) => datagram.port)).toEqual([port, client.endpoint.localPort])
    expect(client.errors).toEqual([])
  })

  it('with a port that is another\'s there: what was sent before that was known is sent again once, what is old is not', () => {
    const client = open(bed.left)
    client.endpoint.connect(ip(RIGHT), 53)
    const server = bound(bed.right, 53)
    client.endpoint.send(text('old'))
    bed.left.stack.advance(bed.now + 1001)
    client.endpoint.send(text('a'))
    client.endpoint.send(text('b'))
    const row = bed.left.stack.table.ports.first(17, client.endpoint.localPort)
    for (let count = 0; count < 3; count++) bed.left.stack.taken(row, ip(LEFT))
    const port = client.endpoint.localPort
    bed.dropToRight((packet) => u16(packet, 20) !== port)
    bed.settle()
    expect(server.got().map(({ data, port: from }) => `${Buffer.from(data).toString()} from ${from}`)).toEqual([`a from ${port}`, `b from ${port}`])
  })

  it('with a port that is another\'s there, and that the user has named: the user is told', () => {
    const named = bound(bed.left, 6000)
    named.endpoint.send(text('a'), ip(RIGHT), 53)
    bed.left.stack.taken(bed.left.stack.table.ports.first(17, 6000), ip(LEFT))
    expect(named.errors).toEqual(['EADDRINUSE: send EADDRINUSE'])
    expect(named.endpoint.localPort).toBe(6000)
  })

  it('TPX-7: of transparent ones may be foreign, and they send from there', () => {
    const foreign = bound(bed.right, 53, { transparent: true }, '203.0.113.5')
    expect(foreign.endpoint.send(text('answer'), ip(LEFT), 1000)).toBeNull()
    bed.settle()
    expect(bed.toLeft.map(sourceOf)).toEqual(['203.0.113.5'])
    expect(bed.toLeft.map(destinationOf)).toEqual([LEFT])
    expect(bed.toLeft.flatMap((packet) => checkPacket(packet))).toEqual([])
  })

  it('ORG-2: that datagrams were sent to before rules led them here are said with each', () => {
    const plain = bound(bed.right, 1080)
    const transparent = bound(bed.right, 1081, { transparent: true })
    const { network, stack } = bed.right
    const deliver = (destination: string, port: number, arrival: { socket: number; originalAddress: number; originalPort: number }): void => {
      const packet = buildUdp({ source: LEFT, destination, sourcePort: 1000, destinationPort: port, payload: bytesOf(4) })
      const at = network.reserve(packet.length)
      network.slab.bytes.set(packet, at)
      stack.receive(network.slab, at, packet.length, { interface: 2, mark: 7, ...arrival })
      stack.settle()
    }
    deliver(RIGHT, 1080, { socket: -1, originalAddress: ip('203.0.113.5'), originalPort: 53 })
    deliver(RIGHT, 1080, { socket: -1, originalAddress: 0, originalPort: -1 })
    deliver('203.0.113.6', 54, { socket: stack.table.findBound(17, ip(RIGHT), 1081, 0, 0), originalAddress: 0, originalPort: -1 })
    const original = ({ originalDestination }: Datagram): unknown => originalDestination
    expect(plain.got().map(original)).toEqual([{ address: ip('203.0.113.5'), port: 53 }, null])
    const [intercepted] = transparent.got()
    expect([original(intercepted!), intercepted!.mark, intercepted!.interface]).toEqual([{ address: ip('203.0.113.6'), port: 54 }, 7, 2])
  })
})
