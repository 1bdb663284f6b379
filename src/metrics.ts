/** Prometheus metrics, read from the gateway's status at each scrape; nothing is counted here. */
import { Counter, Gauge, Registry } from 'prom-client'
import type { GatewayStatus, InterfaceStatus, RedirectStatus } from './api/types.js'

export interface Metrics {
  readonly contentType: string
  /** Text exposition, format 0.0.4. */
  text(): Promise<string>
}

const STATES: readonly GatewayStatus['state'][] = ['starting', 'ready', 'degraded', 'stopping']

/** @param read gives the status of the moment; called once a scrape */
export const createMetrics = (read: () => GatewayStatus): Metrics => {
  const registry = new Registry()
  // The status of the scrape under way.
  let status: GatewayStatus

  /** A gauge, or a counter whose value is counted elsewhere and only set here. */
  const metric = <L extends string>(
    kind: 'gauge' | 'counter',
    name: string,
    help: string,
    labelNames: readonly L[],
    values: () => Iterable<readonly [number, ...string[]]>,
  ): void => {
    const labels = (words: readonly string[]): Record<L, string> =>
      Object.fromEntries(labelNames.map((label, i) => [label, words[i] ?? ''])) as Record<L, string>
    const configuration = { name: `tsnat_${name}`, help, labelNames: [...labelNames], registers: [registry] }
    if (kind === 'gauge') {
      new Gauge<L>({
        ...configuration,
        collect() {
          this.reset()
          for (const [value, ...words] of values()) this.set(labels(words), value)
        },
      })
    } else {
      new Counter<L>({
        ...configuration,
        collect() {
          this.reset()
          for (const [value, ...words] of values()) this.inc(labels(words), value)
        },
      })
    }
  }
  type Reading = (one: InterfaceStatus) => number
  const perInterface = (name: string, help: string, value: Reading, kind: 'gauge' | 'counter' = 'counter'): void =>
    metric(kind, name, help, ['side', 'interface'], () => [
      [value(status.lan), 'lan', status.lan.name],
      ...status.wans.map((wan) => [value(wan), 'wan', wan.name] as const),
    ])

  metric('gauge', 'info', 'Always 1; name and version of this instance.', ['name', 'version'], () => [[1, status.name, status.version]])
  metric('gauge', 'state', '1 for the state that the gateway is in, 0 for the others.', ['state'], () =>
    STATES.map((state) => [status.state === state ? 1 : 0, state] as const),
  )
  metric('gauge', 'uptime_seconds', 'Seconds since the gateway started.', [], () => [[status.uptime]])
  metric('gauge', 'flows', 'Live flows by protocol.', ['protocol'], () =>
    (['tcp', 'udp', 'icmp', 'sctp', 'gre', 'other'] as const).map((protocol) => [status.flows[protocol], protocol] as const),
  )
  metric('gauge', 'flows_capacity', 'Flows that the table holds at most.', [], () => [[status.flows.capacity]])
  metric('counter', 'flows_opened_total', 'Flows opened.', [], () => [[status.flows.opened]])
  metric('counter', 'flows_expired_total', 'Flows that ended by their timer.', [], () => [[status.flows.expired]])
  metric('counter', 'flows_refused_total', 'Flows refused at a limit.', [], () => [[status.flows.refused]])
  metric('gauge', 'inside_addresses', 'Inside addresses that have flows.', [], () => [[status.limits.sources]])
  metric('gauge', 'half_open_flows', 'TCP flows that are not established yet.', [], () => [[status.limits.halfOpen.count]])
  metric('gauge', 'held_fragment_bytes', 'Bytes of fragments that wait for the first of their datagram.', [], () => [[status.limits.fragmentBytes.count]])
  metric('counter', 'icmp_errors_withheld_total', 'ICMP errors that were not sent, because of their limit.', [], () => [[status.limits.icmpErrorsWithheld]])
  metric('counter', 'flows_gave_way_total', 'Flows that gave way in a flood of forged addresses.', [], () => [[status.limits.gaveWay]])
  metric('gauge', 'sockets', 'Sockets of the gateway\'s own, by kind.', ['kind'], () => [
    [status.sockets.tcp, 'tcp'], [status.sockets.udp, 'udp'], [status.sockets.icmp, 'icmp'], [status.sockets.timeWait, 'time-wait'],
  ])
  metric('gauge', 'sockets_capacity', 'Sockets of the gateway\'s own at most.', [], () => [[status.sockets.limit]])
  metric('counter', 'events_lost_total', 'Events that the data plane could not hand over.', [], () => [[status.events.lost]])
  metric('counter', 'bindings_logged_total', 'Lines of the log of bindings.', [], () => [[status.bindings.logged]])
  metric('counter', 'bindings_lost_total', 'Lines of the log of bindings that were lost.', [], () => [[status.bindings.lost]])
  metric('counter', 'rule_log_lines_total', 'Lines of the log that LOG and NFLOG rules wrote.', [], () => [[status.log.lines]])
  metric('counter', 'rule_log_packets_total', 'Packets that NFLOG rules wrote to capture files.', [], () => [[status.log.packets]])
  metric('counter', 'rule_log_lost_total', 'Packets that rules logged and that were lost.', [], () => [[status.log.lost]])
  type OfRedirect = (one: RedirectStatus) => number
  const perRedirect = (name: string, help: string, tcp: OfRedirect, udp: OfRedirect, kind: 'gauge' | 'counter' = 'counter'): void =>
    metric(kind, `redirect_${name}`, help, ['port', 'protocol'], () => status.redirects.flatMap((one) => [
      [tcp(one), String(one.port), 'tcp'] as const, [udp(one), String(one.port), 'udp'] as const,
    ]))
  perRedirect('active', 'TCP connections, and UDP associations, of a redirector.', ({ tcp }) => tcp.active, ({ udp }) => udp.active, 'gauge')
  perRedirect('opened_total', 'The same, opened.', ({ tcp }) => tcp.opened, ({ udp }) => udp.opened)
  perRedirect('failed_total', 'The same, for which the upstream could not be used.', ({ tcp }) => tcp.failed, ({ udp }) => udp.failed)
  perRedirect('refused_total', 'TCP connections refused at once, and UDP associations that gave way.', ({ tcp }) => tcp.refused, ({ udp }) => udp.displaced)
  perRedirect('sent_total', 'Bytes of TCP, and datagrams of UDP, relayed to the upstream.', ({ tcp }) => tcp.sent, ({ udp }) => udp.sent)
  perRedirect('received_total', 'Bytes of TCP, and datagrams of UDP, relayed from the upstream.', ({ tcp }) => tcp.received, ({ udp }) => udp.received)
  perRedirect('lost_total', 'TCP connections that broke off, and datagrams of UDP that were dropped.', ({ tcp }) => tcp.broken, ({ udp }) => udp.dropped)
  metric('counter', 'dropped_packets_total', 'Packets dropped, by reason.', ['reason'], () =>
    Object.entries(status.drops).map(([reason, count]) => [count, reason] as const),
  )
  metric('gauge', 'wan_usable', '1 while new flows can leave by the WAN.', ['interface'], () =>
    status.wans.map(({ state, name }) => [state === 'ready' ? 1 : 0, name] as const),
  )
  perInterface('interface_up', '1 while the interface is up.', ({ up }) => (up ? 1 : 0), 'gauge')
  perInterface('interface_mtu_bytes', 'MTU of the interface.', ({ mtu }) => mtu, 'gauge')
  perInterface('receive_packets_total', 'Packets received; a superpacket counts once.', ({ rx }) => rx.packets)
  perInterface('receive_bytes_total', 'Bytes of IP datagrams received.', ({ rx }) => rx.bytes)
  perInterface('transmit_packets_total', 'Packets sent; a superpacket counts once.', ({ tx }) => tx.packets)
  perInterface('transmit_bytes_total', 'Bytes of IP datagrams sent.', ({ tx }) => tx.bytes)
  perInterface('transmit_errors_total', 'Packets that the device did not take.', ({ tx }) => tx.errors)
  perInterface('kernel_drops_total', 'Packets that the kernel dropped before tsnat could read them.', ({ kernelDrops }) => kernelDrops)

  return {
    contentType: registry.contentType,
    text: () => {
      status = read()
      return registry.metrics()
    },
  }
}
