/** SCTP through the whole pipeline. */
import { describe, expect, it } from 'vitest'
import { PROFILES } from '../src/nat/profiles.js'
import type { VnetHeader } from '../src/stack/device/memory.js'
import * as sctp from '../src/stack/wire/sctp.js'
import { checkPacket } from '../src/testing/check-packet.js'
import { MemoryGateway, type MemoryGatewayOptions } from '../src/testing/memory-gateway.js'
import { buildFragments, buildSctp } from '../src/testing/packets.js'
import { chunk, delivered, INIT, init, INIT_ACK, initValue, lines, livesFor, SCTP, SCTP_BACK, sent } from './protocol-support.js'
import { A, B, bytesOf, E, from, NOTHING, only, P, Q, to, u16 } from './stack/support.js'

describe('SCTP', () => {
  const open = (options: MemoryGatewayOptions = {}): MemoryGateway => {
    const gateway = new MemoryGateway(options)
    gateway.fromLan(init())
    const port = u16(sent(gateway), 20)
    const back = { ...SCTP_BACK, destinationPort: port, tag: 77 }
    gateway.fromWan(buildSctp({ ...back, chunks: INIT_ACK })).fromLan(buildSctp({ ...SCTP, tag: 99, chunks: chunk(sctp.COOKIE_ECHO) }))
    gateway.fromWan(buildSctp({ ...back, chunks: chunk(sctp.COOKIE_ACK, 0) }))
    expect(gateway.toLan().map(({ bytes }) => [to(bytes), checkPacket(bytes)])).toEqual([[`${A}:5000`, []], [`${A}:5000`, []]])
    expect(from(sent(gateway))).toBe(`${E}:${port}`)
    return gateway
  }

  it('an association opens through kept and changed ports, its CRC32c right each time', () => {
    open()
    open({ ports: [[40000, 40000]] })
  })

  it('keeps the checksum to the bit where the ports stay', () => {
    const gateway = new MemoryGateway()
    const packet = init()
    gateway.fromLan(packet)
    expect([...sent(gateway).subarray(20)]).toEqual([...packet.subarray(20)])
  })

  it('CSUM-9: a wrong checksum stays wrong', () => {
    const gateway = new MemoryGateway({ ports: [[40000, 40000]] })
    gateway.fromLan(init({ corrupt: 'transport' }))
    expect(checkPacket(only(gateway.toWan())).join()).toMatch(/^SCTP checksum is/)
  })

  it('CSUM-8: a checksum that the kernel left to the device is computed, for no device is told to', () => {
    for (const ports of [[[1, 65535]], [[40000, 40000]]] as const) {
      const gateway = new MemoryGateway({ ports, wanOffloads: { checksum: true, tcp: true, udp: true } })
      const packet = init()
      packet.fill(0, 28, 32)
      const vnet: VnetHeader = { ...NOTHING, flags: 1, checksumStart: 20, checksumOffset: 8 }
      gateway.fromLan(packet, vnet)
      const [out] = gateway.toWan()
      expect(checkPacket(out!.bytes)).toEqual([])
      expect(out!.vnet.flags).toBe(0)
      gateway.fromLan(packet, { ...vnet, gsoType: 5, gsoSize: 100 }).fromLan(packet, { ...vnet, checksumOffset: 6 })
      expect(gateway.drops).toEqual({ 'bad-offload': 2 })
    }
  })

  it('opens by INIT only, which is whole', () => {
    const gateway = new MemoryGateway()
    for (const type of [sctp.DATA, sctp.INIT_ACK, sctp.HEARTBEAT, sctp.ABORT, sctp.SHUTDOWN_ACK, sctp.COOKIE_ECHO]) {
      gateway.fromLan(buildSctp({ ...SCTP, tag: 5, chunks: chunk(type) }))
    }
    gateway.fromLan(init({ sourcePort: 0 }))
    expect(gateway.drops).toEqual({ 'not-a-flow-opener': 7 })
    gateway.fromLan(buildFragments(init({ chunks: [{ type: sctp.INIT, value: bytesOf(900) }] }), 500)[0]!)
    expect(gateway.drops).toEqual({ 'not-a-flow-opener': 8 })
    expect(gateway.toWan()).toEqual([])
    expect(gateway.flows).toBe(0)
  })

  it('is on the short timer until it is answered, and from its end on', () => {
    const data = buildSctp({ ...SCTP_BACK, tag: 77, chunks: chunk(sctp.DATA, 20) })
    const abort = buildSctp({ ...SCTP_BACK, tag: 77, chunks: chunk(sctp.ABORT, 0) })
    const unanswered = new MemoryGateway()
    unanswered.fromLan(init())
    expect(livesFor(unanswered, data, 240)).toBe(true)
    const refused = new MemoryGateway()
    refused.fromLan(init()).fromWan(abort)
    refused.toLan()
    expect(livesFor(refused, data, 242)).toBe(false)
    expect(livesFor(open(), data, 7440)).toBe(true)
    expect(livesFor(open(), data, 7442)).toBe(false)
    const aborted = open()
    aborted.fromWan(abort)
    aborted.toLan()
    expect(livesFor(aborted, data, 242)).toBe(false)
    // An ABORT may be forged: what comes after it brings the association back.
    const survivor = open()
    survivor.fromWan(abort).fromWan(data)
    survivor.toLan()
    expect(livesFor(survivor, data, 7440)).toBe(true)
  })

  it('an end without the right tag is somebody else\'s: it passes and changes nothing', () => {
    const ends = (direction: 'in' | 'out', type: number, tag: number, flags = 0): string => {
      const gateway = open()
      const chunks = [{ type, flags }]
      if (direction === 'in') gateway.fromWan(buildSctp({ ...SCTP_BACK, tag, chunks }))
      else gateway.fromLan(buildSctp({ ...SCTP, tag, chunks }))
      expect(gateway.toLan().length + gateway.toWan().length).toBe(1)
      return /sctp +132 \d+ (\w+)/.exec(lines(gateway)[0]!)![1]!
    }
    for (const type of [sctp.ABORT, sctp.SHUTDOWN_COMPLETE]) {
      // A wants to see 77, P 99; with flag T each sends back what it saw itself.
      expect([ends('in', type, 77), ends('out', type, 99), ends('in', type, 99, 1), ends('out', type, 77, 1)]).toEqual(Array(4).fill('CLOSED'))
      expect([ends('in', type, 99), ends('out', type, 77), ends('in', type, 77, 1), ends('in', type, 0), ends('out', type, 78)]).toEqual(Array(5).fill('ESTABLISHED'))
    }
  })

  it('an INIT that comes between does not change the tags; one after the end does', () => {
    const abort = buildSctp({ ...SCTP, tag: 55, chunks: chunk(sctp.ABORT, 0) })
    const inInit = buildSctp({ ...SCTP_BACK, chunks: [{ type: sctp.INIT, value: initValue(55) }] })
    const gateway = open().fromWan(inInit).fromLan(abort)
    expect(lines(gateway)[0]).toMatch(/ESTABLISHED/)
    gateway.fromLan(buildSctp({ ...SCTP, tag: 99, chunks: chunk(sctp.ABORT, 0) })).fromWan(inInit)
    expect(lines(gateway)[0]).toMatch(/COOKIE_WAIT/)
    gateway.fromLan(abort)
    expect(lines(gateway)[0]).toMatch(/CLOSED/)
  })

  it('CT-2: is listed as conntrack does', () => {
    const gateway = new MemoryGateway({ profile: 'linux' })
    gateway.fromLan(init())
    const tuples = (answered: boolean, ...counts: number[]): string =>
      `src=${A} dst=${P} sport=5000 dport=80 packets=${counts[0]} bytes=${counts[1]}${answered ? '' : ' [UNREPLIED]'} ` +
      `src=${P} dst=${E} sport=80 dport=5000 packets=${counts[2]} bytes=${counts[3]}`
    expect(lines(gateway, PROFILES.linux.timeouts)).toEqual([`sctp     132 3 CLOSED ${tuples(false, 1, 52, 0, 0)} mark=0 use=1`])
    expect(lines(open({ profile: 'linux' }), PROFILES.linux.timeouts)).toEqual([`sctp     132 210 ESTABLISHED ${tuples(true, 2, 96, 2, 88)} [ASSURED] mark=0 use=1`])
  })

  it('has the mapping and filtering of TCP', () => {
    const gateway = new MemoryGateway({ profile: 'behave' })
    gateway.fromLan(init()).fromLan(init({ destination: Q })).fromLan(init({ source: B }))
    const [one, two, other] = gateway.toWan().map(({ bytes }) => from(bytes))
    expect([one, two]).toEqual([`${E}:5000`, `${E}:5000`])
    expect(other).not.toBe(one)
    gateway.fromWan(buildSctp({ ...SCTP_BACK, sourcePort: 81, chunks: INIT }))
    expect(to(delivered(gateway))).toBe(`${A}:5000`)
    gateway.fromWan(buildSctp({ ...SCTP_BACK, sourcePort: 82, chunks: chunk(sctp.DATA) })).fromWan(buildSctp({ ...SCTP_BACK, source: '192.0.2.7', chunks: INIT }))
    expect(gateway.toLan()).toEqual([])
    expect(gateway.drops).toEqual({ 'no-flow': 1, filtered: 1 })
  })

  it('UDP-10: two inside hosts reach each other by their outside endpoints', () => {
    const gateway = new MemoryGateway({ profile: 'behave' })
    gateway.fromLan(init({ source: B, sourcePort: 6000 }))
    sent(gateway)
    gateway.fromLan(init({ destination: E, destinationPort: 6000 }))
    const bytes = delivered(gateway)
    expect([from(bytes), to(bytes)]).toEqual([`${E}:5000`, `${B}:6000`])
  })

  it('FRG-7: pieces of a packet pass where the ports stay, and are dropped where the checksum would have to change', () => {
    const data = { ...SCTP, tag: 99, id: 7, chunks: chunk(sctp.DATA, 2000) }
    const kept = open()
    for (const piece of buildFragments(buildSctp(data), 1000)) kept.fromLan(piece)
    expect(kept.toWan()).toHaveLength(3)
    expect(kept.drops).toEqual({})
    const changed = open({ ports: [[40000, 40000]] })
    for (const piece of buildFragments(buildSctp(data), 1000)) changed.fromLan(piece)
    expect(changed.toWan()).toEqual([])
    expect(changed.drops).toEqual({ 'sctp-fragment': 1, 'fragment-orphan': 2 })
  })
})
