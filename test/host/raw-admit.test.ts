import fc from 'fast-check'
import { beforeEach, describe, expect, it } from 'vitest'
import { parsePorts } from '../../src/host/port-set.js'
import { Admission, Admit } from '../../src/host/raw-admit.js'
import { Packet, parse } from '../../src/stack/parse.js'
import { parseIpv4 } from '../../src/stack/wire/address.js'
import * as checksum from '../../src/stack/wire/checksum.js'
import * as icmp4 from '../../src/stack/wire/icmp4.js'
import * as ipv4 from '../../src/stack/wire/ipv4.js'
import * as tcp from '../../src/stack/wire/tcp.js'
import * as vnet from '../../src/stack/wire/vnet.js'
import { checkPacket, type Unfinished } from '../../src/testing/check-packet.js'
import { buildIcmp, buildIcmpEcho, buildIcmpError, buildTcp, buildUdp, type TcpOptions, type UdpOptions } from '../../src/testing/packets.js'

const AT = 64
const OURS = '203.0.113.1'
const PEER = '198.51.100.9'
const bytes = new Uint8Array(AT + 65536)
const view = new DataView(bytes.buffer)
let scope = { addresses: [parseIpv4(OURS)!], ports: parsePorts('512-599,40000-40001'), wanMtu: 1500, lanMtu: 1500 }
const admission = new Admission({
  addresses: () => scope.addresses,
  ports: () => scope.ports,
  wanMtu: () => scope.wanMtu,
  lanMtu: () => scope.lanMtu,
}, bytes)
const initial = scope
beforeEach(() => {
  scope = initial
})

const judge = (packet: Uint8Array): Admit => {
  bytes.fill(0xee, 0, AT)
  bytes.set(packet, AT)
  return admission.judge(AT, packet.length)
}
const header = (): Unfinished & { headerLength: number } => {
  const at = AT - vnet.LENGTH
  return {
    flags: vnet.flags(view, at),
    gsoType: vnet.gsoType(view, at),
    gsoSize: vnet.gsoSize(view, at),
    checksumStart: vnet.checksumStart(view, at),
    checksumOffset: vnet.checksumOffset(view, at),
    headerLength: vnet.headerLength(view, at),
  }
}
const NOTHING_LEFT = { flags: 0, gsoType: 0, gsoSize: 0, checksumStart: 0, checksumOffset: 0, headerLength: 0 }

const tcpPacket = (options: Partial<TcpOptions> = {}): Uint8Array =>
  buildTcp({ source: PEER, destination: OURS, sourcePort: 443, destinationPort: 40000, df: true, ...options })
const udpPacket = (options: Partial<UdpOptions> = {}): Uint8Array =>
  buildUdp({ source: PEER, destination: OURS, sourcePort: 53, destinationPort: 40000, ...options })

/** Puts the pseudo-header sum into the checksum field, as a sender does that leaves the rest to its interface. */
const unfinished = (packet: Uint8Array, field: number): Uint8Array => {
  const of = new DataView(packet.buffer)
  const start = ipv4.headerLength(of, 0)
  const sum = checksum.pseudoHeader(ipv4.source(of, 0), ipv4.destination(of, 0), ipv4.protocol(of, 0), packet.length - start)
  of.setUint16(start + field, sum)
  return packet
}
/** What the data plane would make of it. */
const parsed = (length: number): number => parse(view, AT, length, new Packet())

describe('what is passed on', () => {
  it('is TCP and UDP to our addresses and ports', () => {
    expect(judge(tcpPacket())).toBe(Admit.pass)
    expect(header()).toEqual(NOTHING_LEFT)
    expect(judge(udpPacket({ destinationPort: 599 }))).toBe(Admit.pass)
    expect(header()).toEqual(NOTHING_LEFT)
    for (const destinationPort of [511, 600, 22, 39999, 40002, 65535]) {
      expect(judge(tcpPacket({ destinationPort }))).toBe(Admit.other)
      expect(judge(udpPacket({ destinationPort }))).toBe(Admit.other)
    }
    expect(judge(tcpPacket({ destination: '203.0.113.2' }))).toBe(Admit.other)
  })

  it('is ICMP but for echo requests', () => {
    expect(judge(buildIcmpEcho({ source: PEER, destination: OURS, identifier: 7, reply: true }))).toBe(Admit.pass)
    expect(header()).toEqual(NOTHING_LEFT)
    const quote = buildUdp({ source: OURS, destination: PEER, sourcePort: 40000, destinationPort: 53 })
    const error = buildIcmpError({ source: PEER, destination: OURS, type: icmp4.UNREACHABLE, code: icmp4.CODE_PORT, quote })
    expect(judge(error)).toBe(Admit.pass)
    expect(judge(buildIcmpEcho({ source: PEER, destination: OURS, identifier: 7 }))).toBe(Admit.other)
    expect(judge(buildIcmp({ source: PEER, destination: '203.0.113.2', type: icmp4.ECHO_REPLY }))).toBe(Admit.other)
  })

  it('follows changes of addresses and ports', () => {
    scope = { ...scope, ports: parsePorts('80') }
    expect(judge(tcpPacket())).toBe(Admit.other)
    expect(judge(tcpPacket({ destinationPort: 80 }))).toBe(Admit.pass)
    scope = { ...scope, addresses: [] }
    expect(judge(tcpPacket({ destinationPort: 80 }))).toBe(Admit.other)
  })

  it('finds the ports behind IP options', () => {
    const ipOptions = Uint8Array.of(148, 4, 0, 0)
    expect(judge(tcpPacket({ ipOptions }))).toBe(Admit.pass)
    expect(judge(udpPacket({ ipOptions, destinationPort: 22 }))).toBe(Admit.other)
  })

  it('is nothing that is cut short', () => {
    for (const packet of [tcpPacket(), udpPacket(), buildIcmpEcho({ source: PEER, destination: OURS, identifier: 1, reply: true })]) {
      for (let length = 0; length < packet.length; length++) expect(judge(packet.subarray(0, length))).not.toBe(Admit.pass)
    }
  })
})

describe('unfinished checksums', () => {
  it.each([['TCP', unfinished(tcpPacket({ payload: new Uint8Array(99) }), tcp.CHECKSUM_OFFSET)], ['UDP', unfinished(udpPacket({ payload: new Uint8Array(99) }), 6)]])('of %s are marked', (_, packet) => {
    expect(judge(packet)).toBe(Admit.pass)
    expect(header()).toMatchObject({ flags: vnet.F_NEEDS_CSUM, gsoType: 0, gsoSize: 0 })
    expect(checkPacket(bytes.slice(AT, AT + packet.length), header())).toEqual([])
    expect(parsed(packet.length)).toBe(0)
  })

  it('are not seen where there is none, or where it is wrong', () => {
    expect(judge(udpPacket({ checksum: false }))).toBe(Admit.pass)
    expect(header()).toEqual(NOTHING_LEFT)
    expect(judge(tcpPacket({ corrupt: 'transport' }))).toBe(Admit.pass)
    expect(header()).toEqual(NOTHING_LEFT)
  })
})

describe('TCP superpackets', () => {
  const payload = Uint8Array.from({ length: 7240 }, (_, i) => i)
  const options = Uint8Array.of(1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2)

  const expectMarked = (length: number, gsoSize: number): void => {
    expect(header()).toMatchObject({ flags: vnet.F_NEEDS_CSUM, gsoType: vnet.GSO_TCPV4, gsoSize, headerLength: 52 })
    expect(checkPacket(bytes.slice(AT, AT + length), header())).toEqual([])
    expect(parsed(length)).toBe(0)
  }

  it('that the kernel merged are marked to be cut to the MTU', () => {
    const packet = unfinished(tcpPacket({ payload, options }), tcp.CHECKSUM_OFFSET)
    expect(judge(packet)).toBe(Admit.pass)
    expectMarked(packet.length, 1448)
  })

  it('are cut to the smaller MTU of the two links', () => {
    const packet = unfinished(tcpPacket({ payload: payload.subarray(0, 1448), options }), tcp.CHECKSUM_OFFSET)
    scope = { ...scope, lanMtu: 1400 }
    expect(judge(packet)).toBe(Admit.pass)
    expectMarked(packet.length, 1348)
    scope = { ...scope, lanMtu: 9000, wanMtu: 1280 }
    expect(judge(packet)).toBe(Admit.pass)
    expectMarked(packet.length, 1228)
    scope = { ...scope, wanMtu: 0 }
    expect(judge(packet)).toBe(Admit.pass)
    expectMarked(packet.length, 524)
  })

  it('that an interface merged have the checksum of something else', () => {
    const packet = tcpPacket({ payload, options, corrupt: 'transport' })
    expect(judge(packet)).toBe(Admit.pass)
    expectMarked(packet.length, 1448)
  })

  it('say that a segment carried CWR', () => {
    const packet = unfinished(tcpPacket({ payload, options, flags: tcp.ACK | tcp.CWR }), tcp.CHECKSUM_OFFSET)
    expect(judge(packet)).toBe(Admit.pass)
    expect(header().gsoType).toBe(vnet.GSO_TCPV4 | vnet.GSO_ECN)
    expect(parsed(packet.length)).toBe(0)
  })

  it('put together from fragments are verified', () => {
    const whole = tcpPacket({ payload, options, df: false })
    expect(judge(whole)).toBe(Admit.pass)
    expectMarked(whole.length, 1448)
    expect(judge(tcpPacket({ payload, options, df: false, corrupt: 'transport' }))).toBe(Admit.corrupt)
  })

  it('longer than an IPv4 datagram are refused', () => {
    const packet = tcpPacket({ payload: new Uint8Array(65495) })
    const longer = new Uint8Array(65536)
    longer.set(packet)
    new DataView(longer.buffer).setUint16(2, 0)
    expect(judge(longer)).toBe(Admit.corrupt)
  })
})

describe('UDP longer than the MTU', () => {
  it('is a datagram when its checksum is finished', () => {
    expect(judge(udpPacket({ payload: new Uint8Array(4000) }))).toBe(Admit.pass)
    expect(header()).toEqual(NOTHING_LEFT)
  })

  it('is a superpacket when it is not', () => {
    expect(judge(unfinished(udpPacket({ payload: new Uint8Array(4000) }), 6))).toBe(Admit.udpSuperpacket)
    scope = { ...scope, wanMtu: 9000 }
    expect(judge(unfinished(udpPacket({ payload: new Uint8Array(4000) }), 6))).toBe(Admit.pass)
    expect(header().flags).toBe(vnet.F_NEEDS_CSUM)
  })
})

it('never throws, and passes nothing that is not ours, whatever the bytes', () => {
  const options = fc.record({ bytes: fc.uint8Array({ minLength: 0, maxLength: 120 }), ours: fc.boolean(), protocol: fc.constantFrom(1, 6, 17) })
  fc.assert(fc.property(options, ({ bytes: packet, ours, protocol }) => {
    if (packet.length >= 20) {
      packet[9] = protocol
      if (ours) new DataView(packet.buffer, packet.byteOffset).setInt32(16, scope.addresses[0]!)
    }
    const admit = judge(packet)
    if (!ours && admit === Admit.pass) expect(ipv4.destination(view, AT)).toBe(scope.addresses[0])
    if (admit === Admit.pass && protocol !== ipv4.PROTOCOL_ICMP) expect(ipv4.totalLength(view, AT)).toBe(packet.length)
  }))
})
