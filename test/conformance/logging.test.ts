/** What of RFC 6888 asks for records of who had a port, on the whole pipeline: the data plane's events, as the log reads them. */
import { describe, expect, it } from 'vitest'
import { type Binding, type BindingLogSettings, readBinding } from '../../src/control/binding-log.js'
import { EventConsumer, WANT_BLOCKS, WANT_FLOWS, WANT_MAPPINGS } from '../../src/nat/event-ring.js'
import { PROFILES } from '../../src/nat/profiles.js'
import type { MemoryGatewayOptions } from '../../src/testing/memory-gateway.js'
import { A, B, E, end, gatewayOf, leave, P, ping, Q, type WatchedGateway } from './support.js'

const WANTS = { mappings: WANT_MAPPINGS, flows: WANT_FLOWS, blocks: WANT_BLOCKS } as const

/** What the log says of what a gateway does. */
const logOf = (bindings: keyof typeof WANTS, act: (gateway: WatchedGateway) => void, options: MemoryGatewayOptions & Partial<BindingLogSettings> = {}, profile: 'behave' | 'linux' = 'behave'): Binding[] => {
  const { destinations = false, ...rest } = options
  const gateway = gatewayOf(profile, rest)
  const consumer = new EventConsumer(gateway.eventRing)
  consumer.want(WANTS[bindings])
  act(gateway)
  const found: Binding[] = []
  while (consumer.read()) {
    const binding = readBinding(consumer.words, { bindings, destinations, syslog: 'off' })
    if (binding !== null) found.push(binding)
  }
  return found
}
const browse = (gateway: WatchedGateway): void => {
  for (const remote of [P, Q]) for (const port of [80, 443]) leave(gateway, 'tcp', end(A, 5000), end(remote, port))
  gateway.advance(10_000)
}
const ENDS = { insideAddress: A, insidePort: 5000, outsideAddress: E, outsidePort: 5000 }

describe('the log of bindings', () => {
  it('CGN-16: a mapping is logged when it begins and when it ends: protocol, inside and outside endpoint, once for all its flows', () => {
    expect(logOf('mappings', browse)).toEqual([
      { event: 'create', kind: 'mapping', protocol: 'tcp', ...ENDS }, { event: 'delete', kind: 'mapping', protocol: 'tcp', ...ENDS },
    ])
  })

  it('CGN-16: of pings too; where ports are shared and there are no mappings, of each flow', () => {
    const pinged = logOf('mappings', (gateway) => ping(gateway, A, P))
    expect(pinged).toEqual([{ event: 'create', kind: 'mapping', protocol: 'icmp', insideAddress: A, insidePort: 7, outsideAddress: E, outsidePort: 7 }])
    const shared = logOf('mappings', browse, {}, 'linux').filter(({ event }) => event === 'create')
    expect(shared).toEqual(Array.from({ length: 4 }, () => ({ event: 'create', kind: 'flow', protocol: 'tcp', ...ENDS })))
  })

  it('CGN-12: destinations are not in it; with log.destinations a flow has its own', () => {
    for (const kind of ['mappings', 'flows'] as const) {
      for (const profile of ['behave', 'linux'] as const) {
        const text = JSON.stringify(logOf(kind, browse, {}, profile))
        expect([text.includes(P), text.includes(Q), text.includes('443')]).toEqual([false, false, false])
      }
    }
    expect(logOf('flows', browse, { destinations: true }, 'linux')[0]).toMatchObject({ remoteAddress: P, remotePort: 80 })
  })

  it('CGN-14: with blocks of 64 ports there is one line for up to 64 mappings', () => {
    const ports = { ...PROFILES.behave.nat.ports, blockSize: 64 }
    const lines = logOf('blocks', (gateway) => {
      for (let port = 0; port < 64; port++) leave(gateway, 'udp', end(A, 5000 + port), end(P, 53))
      leave(gateway, 'udp', end(B, 5000), end(P, 53))
    }, { nat: { ports } })
    expect(lines.map(({ event, kind, insideAddress, outsideAddress }) => [event, kind, insideAddress, outsideAddress])).toEqual([['create', 'block', A, E], ['create', 'block', B, E]])
    expect(lines.map(({ firstPort, lastPort }) => lastPort! - firstPort!)).toEqual([63, 63])
  })
})
