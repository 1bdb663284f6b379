import { describe, expect, it } from 'vitest'
import { readLiveTrace, type TraceWords } from '../../src/api/trace-request.js'
import { LiveTrace, TRACES_PER_SECOND } from '../../src/trace/live.js'
import { buildIcmpEcho, buildUdp } from '../../src/testing/packets.js'
import { AT, TraceBed } from './support.js'

const dns = buildUdp({ source: '10.77.0.2', destination: '198.51.100.10', sourcePort: 5000, destinationPort: 53 })
const ping = buildIcmpEcho({ source: '10.77.0.2', destination: '198.51.100.10', identifier: 7 })

const open = (words: TraceWords, zone: number | null = null) => {
  const { bed, table } = new TraceBed('')
  const clock = { now: 5000 }
  const { filter, count } = readLiveTrace(words)
  const live = new LiveTrace({ ruleset: bed.compiled, table, get now() { return clock.now } }, { filter: { zone, ...filter }, count })
  const takes = (bytes: Uint8Array, from = 0): boolean => {
    const slab = new Uint8Array(AT + bytes.length)
    slab.set(bytes, AT)
    if (!live.takes(new DataView(slab.buffer), AT, bytes.length, from)) return false
    live.recorder.dropped(1)
    live.ended()
    return true
  }
  return { live, clock, takes }
}

describe('packets that are traced as they pass', () => {
  it.each<[TraceWords, number | null, boolean, boolean]>([
    [{}, null, true, true],
    [{ protocol: 'udp' }, null, true, false],
    [{ icmpType: 'ping' }, null, false, true],
    [{ icmpType: 'echo-reply' }, null, false, false],
    [{ src: '10.77.0.0/24', dst: '198.51.100.10' }, null, true, true],
    [{ src: '10.78.0.0/24' }, null, false, false],
    [{ dst: '198.51.100.11' }, null, false, false],
    [{ dport: '53' }, null, true, false],
    [{ sport: '53' }, null, false, false],
    [{}, 1, false, false],
    [{}, 0, true, true],
  ])('are those that fit the filter: %j, zone %j', (words, zone, isDns, isPing) => {
    const { takes } = open(words, zone)
    expect([takes(dns), takes(ping)]).toEqual([isDns, isPing])
  })

  it('wait until they are collected', () => {
    const { live, takes } = open({})
    expect(live.collect()).toBeNull()
    takes(dns)
    takes(ping)
    const batch = live.collect()!
    expect(batch.missed).toBe(0)
    expect(batch.traces.map(({ time, steps }) => [time, steps.length])).toEqual([[5000, 2], [5000, 2]])
    expect(live.collect()).toBeNull()
  })

  it('end with the count', () => {
    const { takes } = open({ count: '2', protocol: 'udp' })
    expect([takes(dns), takes(ping), takes(dns), takes(dns)]).toEqual([true, false, true, false])
  })

  it('are so many a second; others are counted', () => {
    const { live, clock, takes } = open({})
    for (let n = 0; n < TRACES_PER_SECOND + 20; n++) takes(dns)
    expect(live.collect()).toMatchObject({ missed: 20 })
    clock.now += 10
    for (let n = 0; n < 12; n++) takes(dns)
    const batch = live.collect()!
    expect([batch.traces.length, batch.missed]).toEqual([10, 2])
  })

  it('are not those that have no IPv4 header', () => {
    const { takes } = open({})
    expect(takes(dns.subarray(0, 19))).toBe(false)
    expect(takes(Uint8Array.of(0x60, ...dns.subarray(1)))).toBe(false)
  })
})
