import { pino } from 'pino'
import { describe, expect, it } from 'vitest'
import { BindingLog, type BindingLogSettings } from '../../src/control/binding-log.js'
import { EventHub } from '../../src/control/event-hub.js'
import { parseForward } from '../../src/forward-text.js'
import { EventProducer } from '../../src/nat/event-ring.js'
import { FlowEvents } from '../../src/nat/events.js'
import { ACK, SYN } from '../../src/stack/wire/tcp.js'
import { MemoryGateway, type MemoryGatewayOptions } from '../../src/testing/memory-gateway.js'
import { buildIcmpEcho, buildTcp, buildUdp } from '../../src/testing/packets.js'
import { A, B, E, ip, P, Q } from '../stack/support.js'

const UDP = { source: A, destination: P, sourcePort: 5000, destinationPort: 53 }

interface Line {
  readonly level: number
  readonly msg: string
  readonly at?: string
}

/** What a gateway logs of the bindings while `work` runs, from the first line to the last. */
const linesOf = async (settings: Partial<BindingLogSettings>, work: (gateway: MemoryGateway) => void, options: MemoryGatewayOptions = { profile: 'behave' }, level = 'error') => {
  const lines: Line[] = []
  const log = pino({ level, base: null, timestamp: false }, { write: (line: string) => void lines.push(JSON.parse(line) as Line) })
  const gateway = new MemoryGateway(options)
  const bindings = new BindingLog('test', { bindings: 'off', destinations: false, syslog: 'off', ...settings }, new EventHub(gateway.eventRing), log, (time) => time)
  bindings.start()
  work(gateway)
  await bindings.stop()
  return { lines, bindings, gateway }
}
/** Without the first and the last line and what all have. */
const bare = (lines: readonly Line[]): object[] => lines.slice(1, -1).map((line) => ({ ...line, level: undefined, msg: undefined, at: undefined }))

const RESET = { level: 30, msg: 'binding', event: 'reset', kind: 'all' }

describe('the log of bindings', () => {
  it('CGN-16: tells the begin and the end of each mapping: when, protocol, inside and outside endpoint', async () => {
    const { lines } = await linesOf({ bindings: 'mappings' }, (gateway) => {
      gateway.fromLan(buildUdp(UDP))
      gateway.advance(1)
      gateway.fromLan(buildTcp({ source: A, destination: P, sourcePort: 5000, destinationPort: 80, flags: SYN }))
      gateway.advance(1000)
    })
    const outside = { insideAddress: A, insidePort: 5000, outsideAddress: E, outsidePort: 5000, level: 30, msg: 'binding', kind: 'mapping' }
    expect(lines).toEqual([
      { ...RESET, at: expect.any(String) },
      { ...outside, event: 'create', protocol: 'udp', at: new Date(1_000_000).toISOString() },
      { ...outside, event: 'create', protocol: 'tcp', at: new Date(1_001_000).toISOString() },
      { ...outside, event: 'delete', protocol: 'udp', at: new Date(2_001_000).toISOString() },
      { ...outside, event: 'delete', protocol: 'tcp', at: new Date(2_001_000).toISOString() },
      { ...RESET, at: expect.any(String) },
    ])
  })

  it('CGN-12: tells no destinations, and one mapping once, however many remotes there are', async () => {
    const { lines } = await linesOf({ bindings: 'mappings' }, (gateway) => {
      for (const destination of [P, Q, '192.0.2.1']) gateway.fromLan(buildUdp({ ...UDP, destination }))
      gateway.advance(1000)
    })
    expect(bare(lines).map((line) => (line as { event: string }).event)).toEqual(['create', 'delete'])
    expect(JSON.stringify(lines)).not.toContain(P)
  })

  it('CGN-16: tells flows where ports are shared and there are no mappings', async () => {
    const { lines } = await linesOf({ bindings: 'mappings' }, (gateway) => {
      gateway.fromLan(buildUdp(UDP)).fromLan(buildUdp({ ...UDP, source: B, destination: Q }))
      gateway.advance(1000)
    }, { profile: 'linux' })
    const line = { kind: 'flow', protocol: 'udp', insidePort: 5000, outsideAddress: E, outsidePort: 5000 }
    expect(bare(lines)).toEqual(['create', 'delete'].flatMap((event) => [A, B].map((insideAddress) => ({ ...line, event, insideAddress }))))
  })

  it('tells each flow with its destination where that is asked for', async () => {
    const { lines } = await linesOf({ bindings: 'flows', destinations: true }, (gateway) => {
      gateway.fromLan(buildUdp(UDP)).fromLan(buildUdp({ ...UDP, destination: Q })).fromLan(buildIcmpEcho({ source: A, destination: P, identifier: 9 }))
    })
    const line = { event: 'create', kind: 'flow', protocol: 'udp', insideAddress: A, insidePort: 5000, outsideAddress: E, outsidePort: 5000, remotePort: 53 }
    expect(bare(lines)).toEqual([
      { ...line, remoteAddress: P }, { ...line, remoteAddress: Q },
      { event: 'create', kind: 'flow', protocol: 'icmp', insideAddress: A, insidePort: 9, outsideAddress: E, outsidePort: expect.any(Number), remoteAddress: P },
    ])
  })

  it('tells flows from outside with the inside endpoint that they lead to; as mappings, forwards are none', async () => {
    const forwards: MemoryGatewayOptions = { profile: 'behave', forwards: [parseForward(`tcp:8080:${B}:80`)!] }
    const work = (gateway: MemoryGateway): void => {
      gateway.fromWan(buildTcp({ source: P, destination: E, sourcePort: 4000, destinationPort: 8080, flags: SYN }))
      gateway.fromLan(buildTcp({ source: B, destination: P, sourcePort: 80, destinationPort: 4000, flags: SYN | ACK }))
    }
    const { lines } = await linesOf({ bindings: 'flows' }, work, forwards)
    expect(bare(lines)).toEqual([{ event: 'create', kind: 'flow', protocol: 'tcp', insideAddress: B, insidePort: 80, outsideAddress: E, outsidePort: 8080 }])
    expect(bare((await linesOf({ bindings: 'mappings' }, work, forwards)).lines)).toEqual([])
  })

  it('tells blocks of ports, and nothing else', async () => {
    const { lines } = await linesOf({ bindings: 'blocks' }, (gateway) => {
      const events = new FlowEvents(gateway.eventRing, gateway.plane.table, undefined as never, () => gateway.now)
      gateway.fromLan(buildUdp(UDP))
      events.block(true, ip(A), ip(E), 60000, 60063)
      events.block(false, ip(A), ip(E), 60000, 60063)
    })
    const line = { kind: 'block', insideAddress: A, outsideAddress: E, firstPort: 60000, lastPort: 60063 }
    expect(bare(lines)).toEqual([{ ...line, event: 'create' }, { ...line, event: 'delete' }])
  })

  it('is off unless asked for, and then wants nothing of the data plane', async () => {
    const { lines, bindings } = await linesOf({}, (gateway) => {
      gateway.fromLan(buildUdp(UDP))
      expect(new EventProducer(gateway.eventRing).wanted).toBe(0)
    })
    expect([lines, bindings.logged]).toEqual([[], 0])
  })

  it('counts what it has lost, and says so', async () => {
    const { lines, bindings } = await linesOf({ bindings: 'mappings' }, (gateway) => {
      for (let port = 1; port <= 1100; port++) gateway.fromLan(buildUdp({ ...UDP, sourcePort: port }))
    }, { profile: 'behave' }, 'warn')
    expect([bindings.logged, bindings.lost]).toEqual([1024 + 2, 76])
    expect(lines.filter(({ level }) => level === 40)).toEqual([{ level: 40, lost: 76, msg: 'lines of the log of bindings were lost' }])
  })
})
