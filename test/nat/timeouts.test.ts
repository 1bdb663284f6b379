import { describe, expect, it } from 'vitest'
import type { FlowRecord } from '../../src/api/types.js'
import { readFlows } from '../../src/control/flow-reader.js'
import { PROFILES } from '../../src/nat/profiles.js'
import { TIMEOUT_NAMES, type TimeoutName, timeoutColumn } from '../../src/nat/timeouts.js'
import { MemoryGateway } from '../../src/testing/memory-gateway.js'
import { buildIcmpEcho, buildIcmpError, buildUdp } from '../../src/testing/packets.js'
import { A, E, P } from '../stack/support.js'
import { TcpTalk } from '../tcp-talk.js'

const OUT = { source: A, destination: P, sourcePort: 5000, destinationPort: 80 }
const BACK = { source: P, destination: E, sourcePort: 80, destinationPort: 5000 }
const talk = (gateway: MemoryGateway): TcpTalk => new TcpTalk(gateway)
const opened = (gateway: MemoryGateway): TcpTalk => talk(gateway).open()
/** Flags in turn, `>` from inside. */
const say = (one: TcpTalk, ...segments: readonly string[]): void => {
  for (const text of segments) if (text[0] === '>') one.out(text.slice(1)); else one.back(text.slice(1))
}
const stream = (gateway: MemoryGateway): void => {
  gateway.fromLan(buildUdp(OUT)).fromWan(buildUdp(BACK))
  gateway.advance(3)
  gateway.fromLan(buildUdp(OUT))
}

/** How a flow gets into each class, its last packet being the last thing done. */
const WAYS: Partial<Record<TimeoutName, (gateway: MemoryGateway) => void>> = {
  udp: (gateway) => gateway.fromLan(buildUdp(OUT)).fromWan(buildUdp(BACK)),
  udpStream: stream,
  icmp: (gateway) => gateway.fromLan(buildIcmpEcho({ source: A, destination: P, identifier: 9 })).fromWan(buildIcmpEcho({ source: P, destination: E, identifier: 9, reply: true })),
  tcpSynSent: (gateway) => say(talk(gateway), '>S'),
  tcpSynRecv: (gateway) => say(talk(gateway), '>S', '<SA'),
  tcpEstablished: (gateway) => say(opened(gateway), '>PA', '<A'),
  tcpFinWait: (gateway) => say(opened(gateway), '>FA'),
  tcpCloseWait: (gateway) => say(opened(gateway), '>FA', '<A'),
  tcpLastAck: (gateway) => say(opened(gateway), '>FA', '<FA'),
  tcpTimeWait: (gateway) => say(opened(gateway), '>FA', '<FA', '>A'),
  tcpClose: (gateway) => say(opened(gateway), '<R'),
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
  // Those by which a state's is shortened are above them here: what they do is tested below.
  timeouts.tcpUnacknowledged = timeouts.tcpMaxRetrans = 1000
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
    const one = opened(gateway)
    say(one, '>FA', '<A')
    gateway.advance(7000)
    expect(one.back('PA', { length: 10 })).toBe(true)
    gateway.advance(7440)
    expect(gateway.flows).toBe(1)
    gateway.advance(1)
    expect(gateway.flows).toBe(0)
  })

  it('UPD-3: after a RST data of the other side still passes, and keeps the flow', () => {
    const gateway = new MemoryGateway()
    const one = opened(gateway)
    expect(one.back('R')).toBe(true)
    gateway.advance(239)
    expect(one.out('PA', { length: 10 })).toBe(true)
    gateway.advance(1000)
    expect(gateway.flows).toBe(1)
    expect(one.out('R')).toBe(true)
    gateway.advance(241)
    expect(gateway.flows).toBe(0)
  })

  it.each(['tcpLastAck', 'tcpTimeWait', 'tcpClose'] as const)('TCP-14: a new SYN in the class %s opens again on the same port', (name) => {
    const gateway = new MemoryGateway()
    WAYS[name]!(gateway)
    gateway.advance(10)
    gateway.toWan()
    const again = new TcpTalk(gateway, { first: [3_000_000_000, 7] }).open()
    expect(again.out('PA', { length: 100 })).toBe(true)
    expect(again.back('PA', { length: 100 })).toBe(true)
    expect(gateway.flows).toBe(1)
    gateway.advance(1000)
    expect(gateway.flows).toBe(1)
    expect(gateway.drops).toEqual({})
  })

  it('TCP-14: the last acknowledgment was lost: the repeated FIN and its answer pass in TIME_WAIT', () => {
    const gateway = new MemoryGateway()
    const one = opened(gateway)
    say(one, '>FA', '<FA', '>A')
    gateway.advance(30)
    expect(one.back('FA', { sequence: one.next[1] - 1 })).toBe(true)
    expect(one.out('A')).toBe(true)
  })

  it('UPD-7, CT-7: RSTs prolong nothing', () => {
    const gateway = new MemoryGateway()
    const one = opened(gateway)
    for (let rst = 0; rst < 10; rst++) {
      expect(one.out('R')).toBe(true)
      gateway.advance(24)
    }
    expect(gateway.flows).toBe(1)
    gateway.advance(2)
    expect(gateway.flows).toBe(0)
  })

  it('§20.1: a SYN that is repeated without answer prolongs the flow in behave, and not in linux', () => {
    for (const [profile, left] of [['behave', 1], ['linux', 0]] as const) {
      const gateway = new MemoryGateway({ profile })
      const one = talk(gateway)
      one.out('S')
      gateway.advance(100)
      expect(one.out('S', { sequence: 1000 })).toBe(true)
      gateway.advance(30)
      expect(gateway.flows).toBe(left)
    }
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

  describe('of UDP, when it is a stream', () => {
    const recordOf = (gateway: MemoryGateway): FlowRecord => [...readFlows(gateway.plane.table.columns, timeoutColumn(PROFILES.linux.timeouts), {})][0]!.record

    it('CT-5: a question and its answer never are, and never assured', () => {
      const gateway = new MemoryGateway({ profile: 'linux' })
      gateway.fromLan(buildUdp(OUT)).fromWan(buildUdp(BACK)).fromLan(buildUdp(OUT)).fromWan(buildUdp(BACK))
      expect(recordOf(gateway)).toMatchObject({ replied: true, assured: false, timeout: 30 })
      gateway.advance(2)
      gateway.fromLan(buildUdp(OUT))
      expect(recordOf(gateway)).toMatchObject({ replied: true, assured: false, timeout: 30 })
    })

    it('CT-5: a packet after more than 2 s makes it one, and assured, when it has been answered before', () => {
      for (const isAnswered of [true, false]) {
        const gateway = new MemoryGateway({ profile: 'linux' })
        gateway.fromLan(buildUdp(OUT))
        if (isAnswered) gateway.fromWan(buildUdp(BACK))
        gateway.advance(3)
        gateway.fromLan(buildUdp(OUT))
        expect(recordOf(gateway)).toMatchObject({ replied: isAnswered, assured: isAnswered, timeout: isAnswered ? 120 : 30 })
        gateway.advance(31)
        expect(gateway.flows).toBe(isAnswered ? 1 : 0)
      }
    })

    it('CT-5: the first answer alone makes none, however late', () => {
      const gateway = new MemoryGateway({ profile: 'linux' })
      gateway.fromLan(buildUdp(OUT))
      gateway.advance(20)
      gateway.fromWan(buildUdp(BACK))
      expect(recordOf(gateway)).toMatchObject({ replied: true, assured: false, timeout: 30 })
      gateway.fromWan(buildUdp(BACK))
      expect(recordOf(gateway)).toMatchObject({ replied: true, assured: true, timeout: 120 })
    })
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
