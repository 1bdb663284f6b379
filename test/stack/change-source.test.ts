import { describe, expect, it } from 'vitest'
import { changeSource } from '../../src/stack/change-source.js'
import * as checksum from '../../src/stack/wire/checksum.js'
import * as ipv4 from '../../src/stack/wire/ipv4.js'
import * as tcp from '../../src/stack/wire/tcp.js'
import * as udp from '../../src/stack/wire/udp.js'
import * as vnet from '../../src/stack/wire/vnet.js'
import { checkPacket } from '../../src/testing/check-packet.js'
import { buildIcmpEcho, buildTcp, buildUdp } from '../../src/testing/packets.js'
import { ip } from './support.js'

const ENDS = { source: '10.0.0.1', destination: '192.0.2.9' }
const PORTS = { sourcePort: 5000, destinationPort: 80, payload: Uint8Array.of(1, 2, 3) }
const AT = 64

/** The packet with another source, as it was made with an unfinished checksum or a whole one. */
const changed = (packet: Uint8Array, isPartial = false): { readonly view: DataView; readonly bytes: Uint8Array } => {
  const slab = new Uint8Array(AT + packet.length)
  slab.set(packet, AT)
  const view = new DataView(slab.buffer)
  if (isPartial) vnet.setFlags(view, AT - vnet.LENGTH, vnet.F_NEEDS_CSUM)
  changeSource(view, AT, ip('198.51.100.7'))
  return { view, bytes: slab.subarray(AT) }
}

describe('changeSource', () => {
  it.each([
    ['TCP', buildTcp({ ...ENDS, ...PORTS, flags: tcp.SYN })],
    ['UDP', buildUdp({ ...ENDS, ...PORTS })],
    ['ICMP', buildIcmpEcho({ ...ENDS, identifier: 7, sequence: 1 })],
  ])('leaves right checksums in a packet of %s', (_, packet) => {
    const { view, bytes } = changed(packet)
    expect(ipv4.source(view, AT)).toBe(ip('198.51.100.7'))
    expect(checkPacket(bytes)).toEqual([])
  })

  it('leaves an unfinished checksum unfinished: the sum of the pseudo header', () => {
    const packet = buildTcp({ ...ENDS, ...PORTS, flags: tcp.SYN })
    const length = packet.length - ipv4.HEADER_MIN
    new DataView(packet.buffer).setUint16(ipv4.HEADER_MIN + tcp.CHECKSUM_OFFSET, checksum.pseudoHeader(ip(ENDS.source), ip(ENDS.destination), ipv4.PROTOCOL_TCP, length))
    const { view } = changed(packet, true)
    const expected = checksum.pseudoHeader(ip('198.51.100.7'), ip(ENDS.destination), ipv4.PROTOCOL_TCP, length)
    expect(tcp.checksum(view, AT + ipv4.HEADER_MIN)).toBe(expected)
  })

  it('gives a datagram without a checksum none', () => {
    const packet = buildUdp({ ...ENDS, ...PORTS })
    udp.setChecksum(new DataView(packet.buffer), ipv4.HEADER_MIN, 0)
    expect(udp.checksum(changed(packet).view, AT + ipv4.HEADER_MIN)).toBe(0)
  })
})
