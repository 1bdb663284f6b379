/** Checksums, row by row, on packets that cross the whole gateway. */
import { describe, expect, it } from 'vitest'
import { SYN } from '../../src/stack/wire/tcp.js'
import { seededRandom } from '../../src/testing/memory-gateway.js'
import {
  A, B, buildFragments, buildIcmpEcho, buildIpv4, buildTcp, buildUdp, bytesOf, checkPacket, E, end, gatewayOf, leave, mssOption, outward, P, packet, ping, Q, same,
  superpacket, u16, unfinish,
} from './support.js'

const UDP = { source: A, sourcePort: 5000, destination: P, destinationPort: 53, df: true }
const ALL_OFFLOADS = { checksum: true, tcp: true, udp: true }
const onesSum = (one: number, other: number): number => (one + other > 0xffff ? one + other - 0xffff : one + other)

describe('incremental updates', () => {
  it('CSUM-1: 3000 packets with random contents, addresses and ports leave right, as a computation from scratch finds', () => {
    const gateway = gatewayOf('behave')
    const random = seededRandom(4711)
    const number = (below: number): number => random.next() % below
    for (let count = 0; count < 1000; count++) {
      const ends = {
        source: `10.0.${number(4)}.${2 + number(200)}`, destination: `198.51.${number(256)}.${1 + number(250)}`, sourcePort: 1 + number(65535), destinationPort: 1 + number(65535),
        tos: number(256), id: number(65536), ttl: 2 + number(254), df: true, payload: bytesOf(number(50), number(1000)),
      }
      // The gateway verifies everything that it is seen to send.
      expect(gateway.fromLan(buildUdp(ends)).fromLan(buildTcp({ ...ends, flags: SYN })).fromLan(buildIcmpEcho({ ...ends, identifier: number(65536) })).toWan()).toHaveLength(3)
    }
  })

  it('CSUM-2: a header checksum that comes out as zero is sent as 0000, never as ffff', () => {
    const gateway = gatewayOf('behave')
    // The ID makes up for what the sum of the translated header lacks.
    const lacking = u16(buildUdp({ ...UDP, source: E, ttl: 63 }), 10)
    expect(u16(outward(gateway, buildUdp({ ...UDP, id: lacking })), 10)).toBe(0)
    for (let id = 0; id < 65536; id += 7) gateway.lan.push(buildUdp({ ...UDP, id }))
    const sent = gateway.fromLan(buildUdp(UDP)).toWan()
    expect(sent.length).toBeGreaterThan(9000)
    expect(sent.filter(({ bytes }) => u16(bytes, 10) === 0xffff)).toEqual([])
  })

  it('CSUM-3: UDP without checksum leaves without; one that comes out as zero is sent as ffff', () => {
    const gateway = gatewayOf('behave')
    expect(u16(outward(gateway, buildUdp({ ...UDP, checksum: false })), 26)).toBe(0)
    const lacking = u16(buildUdp({ ...UDP, source: E, payload: Uint8Array.of(0, 0) }), 26)
    expect(u16(outward(gateway, buildUdp({ ...UDP, payload: Uint8Array.of(lacking >> 8, lacking & 0xff) })), 26)).toBe(0xffff)
  })

  it('CSUM-4: a TCP checksum that comes out as zero is sent as 0000', () => {
    const tcp = { ...UDP, destinationPort: 80, flags: SYN }
    const lacking = u16(buildTcp({ ...tcp, source: E, payload: Uint8Array.of(0, 0) }), 36)
    expect(u16(outward(gatewayOf('behave'), buildTcp({ ...tcp, payload: Uint8Array.of(lacking >> 8, lacking & 0xff) })), 36)).toBe(0)
  })

  it('CSUM-5: a ping\'s checksum changes by its id only: with the id kept it stays, though the address changes', () => {
    const gateway = gatewayOf('behave')
    const asked = buildIcmpEcho({ source: B, destination: P, identifier: 7, payload: bytesOf(20) })
    expect(u16(outward(gateway, asked), 22)).toBe(u16(asked, 22))
    const other = buildIcmpEcho({ source: A, destination: P, identifier: 7, payload: bytesOf(20) })
    const sent = outward(gateway, other)
    // Checksum and id together are what they were.
    expect(onesSum(u16(sent, 22), u16(sent, 24)) % 0xffff).toBe(onesSum(u16(other, 22), 7) % 0xffff)
    expect(ping(gateway, A, Q)).toBe(u16(sent, 24))
  })

  it('CSUM-6: an MSS option at an odd offset is lowered and the checksum stays right', () => {
    const gateway = gatewayOf('behave', { wanMtu: 1400 })
    for (const before of [[], [1], [1, 1], [1, 1, 1]]) {
      const options = Uint8Array.of(...before, ...mssOption(1460))
      const sent = outward(gateway, buildTcp({ ...UDP, sourcePort: 6000 + before.length, flags: SYN, options }))
      expect([u16(sent, 42 + before.length), checkPacket(sent)]).toEqual([1360, []])
    }
  })

  it('CSUM-7: of a fragmented datagram the receiver finds the checksum right', () => {
    const gateway = gatewayOf('behave', { ports: [[40000, 40000]] })
    for (const piece of buildFragments(buildUdp({ ...UDP, df: false, id: 7, payload: bytesOf(1500) }), 600)) gateway.fromLan(piece)
    const payload = Buffer.concat(gateway.toWan().map(({ bytes }) => bytes.subarray(20)))
    expect([u16(payload, 0), checkPacket(buildIpv4({ source: E, destination: P, protocol: 17, payload }))]).toEqual([40000, []])
  })

  it('CSUM-9: a wrong checksum leaves as wrong as it came', () => {
    const gateway = gatewayOf('behave')
    const port = leave(gateway, 'tcp', end(B, 5000), end(P, 80))
    leave(gateway, 'tcp', end(A, 5000), end(P, 80))
    gateway.isLenient = true
    for (const build of [buildUdp, buildTcp]) {
      const sent = outward(gateway, build({ ...UDP, destinationPort: 80, payload: bytesOf(9), corrupt: 'transport' }))
      expect(checkPacket(sent).join()).toMatch(/checksum is wrong/)
    }
    expect(port).toBe(5000)
  })
})

describe('offloads', () => {
  const withOffloads = (lan: boolean, wan: boolean) =>
    gatewayOf('behave', { lanOffloads: lan ? ALL_OFFLOADS : { checksum: false, tcp: false, udp: false }, wanOffloads: wan ? ALL_OFFLOADS : { checksum: false, tcp: false, udp: false }, mssClamp: false, ports: [[40000, 50000]] })

  it('CSUM-8: an unfinished checksum follows the addresses and not the ports, and is finished where the way out cannot', () => {
    for (const original of [buildUdp({ ...UDP, payload: bytesOf(99) }), buildTcp({ ...UDP, flags: SYN, payload: bytesOf(99) })]) {
      const { bytes, vnet } = unfinish(original)
      const [kept] = withOffloads(true, true).fromLan(bytes, vnet).toWan()
      expect([kept!.vnet.flags & 1, checkPacket(kept!.bytes, kept!.vnet)]).toEqual([1, []])
      const [finished] = withOffloads(true, false).fromLan(bytes, vnet).toWan()
      expect([finished!.vnet.flags & 1, checkPacket(finished!.bytes)]).toEqual([0, []])
      expect(same(finished!.bytes.subarray(-99), bytesOf(99))).toBe(true)
    }
  })

  it('CSUM-8: a superpacket crosses whole, or leaves in segments with right checksums', () => {
    for (const isOffloaded of [true, false]) {
      const gateway = withOffloads(true, isOffloaded)
      gateway.fromLan(packet('tcp', end(A, 5000), end(P, 53))).toWan()
      const { bytes, vnet } = superpacket(buildTcp({ ...UDP, flags: 0x10, sequence: 1, acknowledgment: 1, payload: bytesOf(8000) }), 1400)
      expect(gateway.fromLan(bytes, vnet).toWan()).toHaveLength(isOffloaded ? 1 : 6)
    }
  })
})

it('CSUM-1: hairpinned packets, whose both ends change, are right too', () => {
  const gateway = gatewayOf('behave')
  leave(gateway, 'udp', end(B, 5000), end(P, 53))
  const port = leave(gateway, 'udp', end(A, 5000), end(P, 53))
  expect(gateway.fromLan(packet('udp', end(B, 5000), end(E, port), 0, bytesOf(77))).toLan()).toHaveLength(1)
})
