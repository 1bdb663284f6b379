import { describe, expect, it } from 'vitest'
import { PROFILES } from '../../src/nat/profiles.js'
import { TIMEOUT_NAMES, type TimeoutName, timeoutColumn } from '../../src/nat/timeouts.js'
import { ACK, FIN, RST, SYN } from '../../src/stack/wire/tcp.js'
import { MemoryGateway } from '../../src/testing/memory-gateway.js'
import { buildIcmpEcho, buildIcmpError, buildTcp, buildUdp } from '../../src/testing/packets.js'
import { A, E, P } from '../stack/support.js'

const OUT = { source: A, destination: P, sourcePort: 5000, destinationPort: 80 }
const BACK = { source: P, destination: E, sourcePort: 80, destinationPort: 5000 }
const flowOut = (gateway: MemoryGateway, flags: number): MemoryGateway => gateway.fromLan(buildTcp({ ...OUT, flags }))
const flowBack = (gateway: MemoryGateway, flags: number): MemoryGateway => gateway.fromWan(buildTcp({ ...BACK, flags }))
const handshake = (gateway: MemoryGateway): MemoryGateway => flowOut(flowBack(flowOut(gateway, SYN), SYN | ACK), ACK)

/** How a flow gets into each class, its last packet being the last thing done. */
const WAYS: Partial<Record<TimeoutName, (gateway: MemoryGateway) => void>> = {
  udp: (gateway) => gateway.fromLan(buildUdp(OUT)),
  udpStream: (gateway) => gateway.fromLan(buildUdp(OUT)).fromWan(buildUdp(BACK)),
  icmp: (gateway) => gateway.fromLan(buildIcmpEcho({ source: A, destination: P, identifier: 9 })).fromWan(buildIcmpEcho({ source: P, destination: E, identifier: 9, reply: true })),
  tcpSynSent: (gateway) => flowOut(gateway, SYN),
  tcpSynRecv: (gateway) => flowBack(flowOut(gateway, SYN), SYN | ACK),
  tcpEstablished: (gateway) => handshake(gateway),
  tcpFinWait: (gateway) => flowOut(handshake(gateway), FIN | ACK),
  tcpCloseWait: (gateway) => flowBack(flowOut(handshake(gateway), FIN | ACK), ACK),
  tcpLastAck: (gateway) => flowBack(flowOut(handshake(gateway), FIN | ACK), FIN | ACK),
  tcpTimeWait: (gateway) => flowOut(flowBack(flowOut(handshake(gateway), FIN | ACK), FIN | ACK), ACK),
  tcpClose: (gateway) => flowBack(handshake(gateway), RST),
}

describe('timeouts', () => {
  it('behave has what the standards ask for', () => {
    const { timeouts } = PROFILES.behave
    expect([timeouts.udp, timeouts.udpStream]).toEqual([300, 300])
    expect(timeouts.icmp).toBe(60)
    for (const name of ['tcpEstablished', 'tcpFinWait', 'tcpCloseWait', 'tcpUnacknowledged', 'tcpMaxRetrans'] as const) expect(timeouts[name]).toBe(7440)
    for (const name of ['tcpSynSent', 'tcpSynRecv', 'tcpLastAck', 'tcpTimeWait', 'tcpClose'] as const) expect(timeouts[name]).toBe(240)
    expect(timeoutColumn(timeouts)).toHaveLength(TIMEOUT_NAMES.length)
  })

  // Each idle time is another, so that a flow in the wrong class shows.
  const timeouts = Object.fromEntries(TIMEOUT_NAMES.map((name, index) => [name, 100 + index])) as Record<TimeoutName, number>
  for (const [name, prepare] of Object.entries(WAYS)) {
    const idle = timeouts[name as TimeoutName]
    it(`UDP-6, ICMP-2, TCP-5: ${name}: alive at T, gone after`, () => {
      // Also when the last packet comes late in a second: idle time must never be cut short.
      for (const late of [0, 0.9]) {
        const gateway = new MemoryGateway({ timeouts })
        gateway.advance(late)
        prepare(gateway)
        expect(gateway.flows).toBe(1)
        gateway.advance(idle - 1)
        expect(gateway.flows).toBe(1)
        gateway.advance(0.999)
        expect(gateway.flows).toBe(1)
        gateway.advance(1.001)
        expect(gateway.flows).toBe(0)
      }
    })
  }

  it('UDP-7 (REQ-6): packets refresh in both directions', () => {
    const gateway = new MemoryGateway()
    gateway.fromLan(buildUdp(OUT))
    for (let hour = 0; hour < 10; hour++) {
      gateway.advance(299)
      gateway.fromLan(buildUdp(OUT))
      gateway.advance(299)
      gateway.fromWan(buildUdp(BACK))
    }
    expect(gateway.flows).toBe(1)
    expect(gateway.drops).toEqual({})
  })

  it('TCP-5b: half closed and idle for 7000 s, data still passes', () => {
    const gateway = new MemoryGateway()
    flowBack(flowOut(handshake(gateway), FIN | ACK), ACK)
    gateway.advance(7000)
    gateway.toLan()
    flowBack(gateway, ACK)
    expect(gateway.toLan()).toHaveLength(1)
    gateway.advance(7440)
    expect(gateway.flows).toBe(1)
    gateway.advance(1)
    expect(gateway.flows).toBe(0)
  })

  it('UPD-3: after a RST data of the other side still passes, and keeps the flow', () => {
    const gateway = new MemoryGateway()
    flowBack(handshake(gateway), RST)
    expect(gateway.toLan()).toHaveLength(2)
    gateway.advance(239)
    flowOut(gateway, ACK)
    gateway.advance(1000)
    expect(gateway.flows).toBe(1)
    flowOut(gateway, RST)
    gateway.advance(241)
    expect(gateway.flows).toBe(0)
  })

  it('TCP-14: a new SYN in TIME_WAIT opens again on the same port', () => {
    const gateway = new MemoryGateway()
    WAYS.tcpLastAck!(gateway)
    gateway.advance(10)
    handshake(gateway)
    expect(gateway.flows).toBe(1)
    gateway.advance(1000)
    expect(gateway.flows).toBe(1)
    expect(gateway.drops).toEqual({})
  })

  it('UDP-13, TCP-10, ICMP-6: an ICMP error neither refreshes nor ends a flow', () => {
    const gateway = new MemoryGateway()
    gateway.fromLan(buildUdp(OUT))
    const quote = gateway.toWan()[0]!.bytes
    gateway.advance(299)
    for (const [type, code] of [[3, 0], [3, 1], [3, 3], [3, 4], [3, 13], [11, 0], [12, 0]] as const) {
      gateway.fromWan(buildIcmpError({ source: '192.0.2.1', destination: E, type, code, quote }))
      expect(gateway.toLan()).toHaveLength(1)
    }
    expect(gateway.flows).toBe(1)
    gateway.advance(2)
    expect(gateway.flows).toBe(0)
  })

  it('ends thousands of flows a bounded number at a time', () => {
    const gateway = new MemoryGateway({ limits: { flows: 5000, flowsPerSource: 5000 } })
    for (let port = 1; port <= 5000; port++) gateway.fromLan(buildUdp({ ...OUT, sourcePort: port }))
    expect(gateway.flows).toBe(5000)
    const { pipeline, table } = gateway.plane
    expect(pipeline.tick(gateway.now + 400_000)).toBe(true)
    expect(table.count).toBe(5000 - 512)
    gateway.advance(400)
    expect(table.count).toBe(0)
  })
})
