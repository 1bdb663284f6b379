import { describe, expect, it } from 'vitest'
import { checkPacket } from '../src/testing/check-packet.js'
import { describePacket } from '../src/testing/describe-packet.js'
import { MemoryGateway } from '../src/testing/memory-gateway.js'
import { buildIcmpEcho, buildTcp, buildUdp } from '../src/testing/packets.js'
import * as tcp from '../src/stack/wire/tcp.js'

const A = '10.0.0.2'
const P = '198.51.100.10'
const E = '203.0.113.1'

describe('the path of a packet', () => {
  it('translates UDP out and back, keeping the source port', () => {
    const gateway = new MemoryGateway()
    gateway.fromLan(buildUdp({ source: A, destination: P, sourcePort: 5000, destinationPort: 53, payload: Uint8Array.of(1, 2, 3) }))
    const [out] = gateway.toWan()
    expect(checkPacket(out!.bytes)).toEqual([])
    expect(describePacket(out!.bytes)).toContain(`${E}:5000`)
    gateway.fromWan(buildUdp({ source: P, destination: E, sourcePort: 53, destinationPort: 5000, payload: Uint8Array.of(9) }))
    const [back] = gateway.toLan()
    expect(checkPacket(back!.bytes)).toEqual([])
    expect(describePacket(back!.bytes)).toContain(`${A}:5000`)
    expect(gateway.flows).toBe(1)
    expect(gateway.drops).toEqual({})
  })

  it('opens TCP by SYN only', () => {
    const gateway = new MemoryGateway()
    gateway.fromLan(buildTcp({ source: A, destination: P, sourcePort: 5000, destinationPort: 80, flags: tcp.ACK }))
    expect(gateway.toWan()).toEqual([])
    gateway.fromLan(buildTcp({ source: A, destination: P, sourcePort: 5000, destinationPort: 80, flags: tcp.SYN }))
    expect(gateway.toWan()).toHaveLength(1)
    expect(gateway.drops).toEqual({ 'not-a-flow-opener': 1 })
  })

  it('answers pings to its own LAN address and translates those that go further', () => {
    const gateway = new MemoryGateway()
    gateway.fromLan(buildIcmpEcho({ source: A, destination: '10.0.0.1', identifier: 7, sequence: 1 }))
    const [own] = gateway.toLan()
    expect(checkPacket(own!.bytes)).toEqual([])
    gateway.fromLan(buildIcmpEcho({ source: A, destination: P, identifier: 7, sequence: 1 }))
    expect(checkPacket(gateway.toWan()[0]!.bytes)).toEqual([])
  })
})
