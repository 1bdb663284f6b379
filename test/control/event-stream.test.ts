import { describe, expect, it, vi } from 'vitest'
import { FLOW_EVENT_TYPES } from '../../src/api/types.js'
import { MemoryGateway } from '../../src/testing/memory-gateway.js'
import { buildUdp } from '../../src/testing/packets.js'
import { collect, streamsOf } from '../events.js'
import { A, B, E, P } from '../stack/support.js'

const ALL = { filter: {}, types: FLOW_EVENT_TYPES }
const udp = (source: string, sourcePort: number): Uint8Array => buildUdp({ source, destination: P, sourcePort, destinationPort: 53 })
const setUp = () => {
  const gateway = new MemoryGateway()
  return { gateway, ...streamsOf(gateway) }
}

describe('the event stream', () => {
  it('serves several readers, each with its filter and its kinds', async () => {
    const { gateway, streams } = setUp()
    const end = new AbortController()
    const all = collect(streams.open(ALL, end.signal))
    const begins = collect(streams.open({ filter: { origSrc: `${B}/32` }, types: ['new'] }, end.signal))
    expect(streams.readers).toBe(2)
    gateway.fromLan(udp(A, 5000)).fromLan(udp(B, 6000))
    gateway.fromWan(buildUdp({ source: P, destination: E, sourcePort: 53, destinationPort: 6000 }))
    end.abort()
    expect((await all).map(({ type }) => type)).toEqual(['new', 'new', 'update'])
    expect(await begins).toMatchObject([{ type: 'new', flow: { original: { src: B, sport: 6000 } } }])
    expect(streams.readers).toBe(0)
  })

  it('tells a reader nothing of what was before it came, or after it went', async () => {
    const { gateway, streams } = setUp()
    const first = new AbortController()
    const second = new AbortController()
    const early = collect(streams.open(ALL, first.signal))
    gateway.fromLan(udp(A, 1))
    const late = collect(streams.open(ALL, second.signal))
    gateway.fromLan(udp(A, 2))
    first.abort()
    gateway.fromLan(udp(A, 3))
    second.abort()
    const ports = async (events: typeof early) => (await events).map((event) => (event.type === 'lost' ? 0 : event.flow.original.sport))
    expect([await ports(early), await ports(late)]).toEqual([[1, 2], [2, 3]])
  })

  it('hands over as it goes', async () => {
    const { gateway, streams } = setUp()
    const end = new AbortController()
    const stream = streams.open(ALL, end.signal)
    gateway.fromLan(udp(A, 1))
    expect((await stream.next()).value).toMatchObject([{ type: 'new' }])
    const next = stream.next()
    gateway.fromLan(udp(A, 2)).fromLan(udp(A, 3))
    expect((await next).value).toHaveLength(2)
    end.abort()
    expect(await stream.next()).toEqual({ done: true, value: undefined })
  })

  it('forgets a reader who went before it asked for anything', () => {
    const { streams } = setUp()
    const end = new AbortController()
    streams.open(ALL, end.signal)
    expect(streams.readers).toBe(1)
    end.abort()
    expect(streams.readers).toBe(0)
    streams.open(ALL, end.signal)
    expect(streams.readers).toBe(0)
  })

  it('tells a slow reader how much it has lost, and goes on for the others', async () => {
    const { gateway, hub, streams } = setUp()
    const end = new AbortController()
    const slow = streams.open({ filter: {}, types: ['new'] }, end.signal)
    const quick = streams.open({ filter: { origPortSrc: 65000 }, types: ['new'] }, end.signal)
    let lost = 0
    for (let port = 1; port <= 17_000; port++) {
      gateway.fromLan(udp(A, port))
      if (port % 500 === 0) {
        hub.drainAll()
        gateway.advance(400)
      }
    }
    gateway.fromLan(udp(A, 65000))
    end.abort()
    const events = await collect(slow)
    for (const event of events) if (event.type === 'lost') lost += event.count
    expect([events.length, lost]).toEqual([16_384 + 1, 17_001 - 16_384])
    expect(await collect(quick)).toHaveLength(1)
  })

  it('looks at the ring only while somebody reads', async () => {
    vi.useFakeTimers()
    try {
      const { streams } = setUp()
      expect(vi.getTimerCount()).toBe(0)
      const end = new AbortController()
      const stream = streams.open(ALL, end.signal)
      expect(vi.getTimerCount()).toBe(1)
      await vi.advanceTimersByTimeAsync(100)
      expect(vi.getTimerCount()).toBe(1)
      end.abort()
      expect(vi.getTimerCount()).toBe(0)
      expect(await collect(stream)).toEqual([])
    } finally {
      vi.useRealTimers()
    }
  })
})
