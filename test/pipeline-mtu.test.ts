import { describe, expect, it } from 'vitest'
import type { Offloads } from '../src/stack/device/device.js'
import { ACK, SYN } from '../src/stack/wire/tcp.js'
import { checkPacket } from '../src/testing/check-packet.js'
import { MemoryGateway } from '../src/testing/memory-gateway.js'
import { buildFragments, buildTcp, buildUdp } from '../src/testing/packets.js'
import { A, bytesOf, destinationOf, E, G, icmp, only, P, sourceOf, superpacket, u16, u32 } from './stack/support.js'

const UDP = { source: A, destination: P, sourcePort: 5000, destinationPort: 53 }
const TCP = { source: A, destination: P, sourcePort: 5000, destinationPort: 80 }
const ALL: Offloads = { checksum: true, tcp: true, udp: true }
const lengths = (sent: readonly { bytes: Uint8Array }[]): number[] => sent.map(({ bytes }) => bytes.length)

describe('packets longer than the MTU of the way out', () => {
  it('UDP-14 (REQ-13): with DF the sender is told the MTU, and no flow is opened', () => {
    const gateway = new MemoryGateway({ wanMtu: 1400 })
    const packet = buildUdp({ ...UDP, df: true, payload: bytesOf(1472) })
    gateway.fromLan(packet)
    expect(gateway.toWan()).toEqual([])
    const told = only(gateway.toLan())
    expect(checkPacket(told)).toEqual([])
    expect([sourceOf(told), destinationOf(told), icmp(told), u32(told, 24)]).toEqual([G, A, '3/4', 1400])
    expect(told.subarray(28)).toEqual(packet.subarray(0, 548))
    expect(gateway.flows).toBe(0)
    expect(gateway.drops).toEqual({ 'too-big': 1 })
  })

  it('UDP-14, UPD-13: DF is kept on what fits; what just fits passes', () => {
    const gateway = new MemoryGateway({ wanMtu: 1400 })
    gateway.fromLan(buildUdp({ ...UDP, df: true, payload: bytesOf(1372) }))
    const out = only(gateway.toWan())
    expect(out.length).toBe(1400)
    expect(out[6]).toBe(0x40)
    gateway.fromLan(buildUdp({ ...UDP, df: true, payload: bytesOf(1373) }))
    expect(gateway.toWan()).toEqual([])
  })

  it('UDP-14, FRG-8: without DF it is cut, in order, into as few as possible', () => {
    const gateway = new MemoryGateway({ wanMtu: 1400 })
    gateway.fromLan(buildUdp({ ...UDP, id: 3, payload: bytesOf(2773) }))
    const out = gateway.toWan().map(({ bytes }) => bytes)
    // All have the one ID that the gateway chose.
    expect(out).toEqual(buildFragments(buildUdp({ ...UDP, source: E, id: u16(out[0]!, 4), ttl: 63, payload: bytesOf(2773) }), 1400))
    expect(out).toHaveLength(3)
  })

  it('tells the sender outside about the MTU of the LAN', () => {
    const gateway = new MemoryGateway({ lanMtu: 1280 })
    gateway.fromLan(buildUdp(UDP))
    gateway.toWan()
    gateway.fromWan(buildUdp({ source: P, destination: E, sourcePort: 53, destinationPort: 5000, df: true, payload: bytesOf(1400) }))
    expect(gateway.toLan()).toEqual([])
    const told = only(gateway.toWan())
    expect([sourceOf(told), destinationOf(told), icmp(told), u32(told, 24)]).toEqual([E, P, '3/4', 1280])
  })
})

describe('superpackets and the MTU', () => {
  /** A connection that is established, through a gateway with these MTUs and offloads. */
  const connected = (wanMtu: number, offloads: Offloads): MemoryGateway => {
    const gateway = new MemoryGateway({ wanMtu, lanMtu: 9000, lanOffloads: offloads, wanOffloads: offloads, mssClamp: false })
    gateway.fromLan(buildTcp({ ...TCP, flags: SYN }))
    gateway.toWan()
    return gateway
  }
  const segment = (df: boolean, gsoSize: number, length = 8000) => superpacket(buildTcp({ ...TCP, flags: ACK, df, payload: bytesOf(length) }), gsoSize)

  it('pass whole as long as their segments fit', () => {
    const gateway = connected(1500, ALL)
    const { bytes, vnet } = segment(true, 1460)
    gateway.fromLan(bytes, vnet)
    const sent = gateway.toWan()
    expect(lengths(sent)).toEqual([8040])
    expect(sent[0]!.vnet).toEqual(vnet)
    expect(checkPacket(sent[0]!.bytes, sent[0]!.vnet)).toEqual([])
  })

  it('are refused with 3/4 when DF is set and their segments do not fit', () => {
    for (const offloads of [ALL, { checksum: false, tcp: false, udp: false }]) {
      const gateway = connected(1500, offloads)
      const { bytes, vnet } = segment(true, 1461)
      gateway.fromLan(bytes, vnet)
      expect(gateway.toWan()).toEqual([])
      const told = only(gateway.toLan())
      expect([icmp(told), u32(told, 24)]).toEqual(['3/4', 1500])
    }
  })

  it('are cut into segments and those into fragments without DF', () => {
    const gateway = connected(1000, ALL)
    const { bytes, vnet } = segment(false, 1460, 2920)
    gateway.fromLan(bytes, vnet)
    const sent = gateway.toWan()
    expect(lengths(sent)).toEqual([996, 524, 996, 524])
    expect(sent.flatMap((packet) => checkPacket(packet.bytes, packet.vnet))).toEqual([])
  })

  it('a single segment marked as a superpacket passes although the MTU is exceeded by nothing', () => {
    const gateway = connected(1500, ALL)
    const { bytes, vnet } = segment(true, 60000, 1460)
    gateway.fromLan(bytes, vnet)
    expect(lengths(gateway.toWan())).toEqual([1500])
  })

  it('UDP superpackets likewise', () => {
    const gateway = new MemoryGateway({ wanOffloads: ALL })
    const { bytes, vnet } = superpacket(buildUdp({ ...UDP, payload: bytesOf(8000) }), 1472)
    gateway.fromLan(bytes, vnet)
    expect(lengths(gateway.toWan())).toEqual([8028])
    const large = superpacket(buildUdp({ ...UDP, payload: bytesOf(2946) }), 1473)
    gateway.fromLan(large.bytes, large.vnet)
    expect(lengths(gateway.toWan())).toEqual([1500, 21, 1500, 21])
  })

  it('of tiny segments, more of them than a batch holds, are cut in software', () => {
    const gateway = connected(1500, { checksum: false, tcp: false, udp: false })
    const { bytes, vnet } = segment(true, 48, 60_000)
    gateway.fromLan(bytes, vnet)
    const sent = gateway.toWan()
    expect(sent).toHaveLength(1250)
    expect(sent.every((packet) => checkPacket(packet.bytes).length === 0)).toBe(true)
    expect(gateway.drops).toEqual({})
  })

  it('that would need more room than there is are dropped, and the next packet passes', () => {
    const gateway = connected(1500, { checksum: false, tcp: false, udp: false })
    const { bytes, vnet } = segment(true, 1, 60_000)
    gateway.fromLan(bytes, vnet)
    expect(gateway.drops).toEqual({ 'scratch-full': 1 })
    gateway.toWan()
    // An error that finds no room is counted too.
    gateway.lan.push(bytes, vnet)
    gateway.fromLan(buildUdp({ ...UDP, ttl: 1 }))
    expect(gateway.toLan()).toEqual([])
    expect(gateway.drops).toEqual({ 'scratch-full': 3, 'ttl-expired': 1 })
    gateway.toWan()
    gateway.fromLan(segment(true, 1000).bytes, segment(true, 1000).vnet)
    expect(gateway.toWan()).toHaveLength(8)
  })
})
